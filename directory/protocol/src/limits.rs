//! Named limits of everything that crosses a wire, each with its reason.

/// Longest text of one message, in bytes of UTF-8 (the command language's limit).
pub const TEXT_MAX: usize = 16_384;
/// Longest MLS application message: a text with its envelope, padding and signature, rounded up generously.
pub const CIPHERTEXT_MAX: usize = 32 * 1024;
/// Commits whose progress is asked for at once: one for each conversation that a new device comes into, up to what a busy
/// person talks in.
pub const SETTLING_MAX: usize = 128;
/// Groups whose epochs are asked for at once: as many as one account can be in.
pub const EPOCHS_MAX: usize = 256;
/// Longest commit, Welcome or GroupInfo without its tree. A commit carries two HPKE ciphertexts for each level that it
/// re-keys and one for each unmerged leaf; a thousand blank leaves stay well below this.
pub const HANDSHAKE_MAX: usize = 512 * 1024;
/// Longest exported ratchet tree: two thousand leaves of less than a kibibyte each, and their parents.
pub const TREE_MAX: usize = 3 * 1024 * 1024;
/// Longest frame between a node and its directory: a new conversation's GroupInfo, tree and Welcome, with room.
pub const DIRECTORY_FRAME_MAX: usize = 5 * 1024 * 1024;
/// Longest frame that the directory takes from a connection that no account has signed in on.
pub const STRANGER_FRAME_MAX: usize = 16 * 1024;
/// Longest frame between two nodes: one ciphertext and its envelope.
pub const PEER_FRAME_MAX: usize = CIPHERTEXT_MAX + 1_024;
/// Longest key package; ours are about 900 bytes with their certificate.
pub const KEY_PACKAGE_MAX: usize = 4_096;
/// Key packages that a device keeps at the directory, besides its last-resort one.
pub const KEY_PACKAGES: usize = 50;
/// A device refills its key packages when no more than this many are left.
pub const KEY_PACKAGES_LOW: usize = 20;
/// Devices of one account: a person's machines, with room; it bounds the fan-out of each message.
pub const DEVICES_MAX: usize = 16;
/// Accounts in one group, those who are invited too.
pub const GROUP_MEMBERS_MAX: usize = 1_000;
/// Devices in one group: two for each of a thousand people; more of them have to fit into [`TREE_MAX`].
pub const GROUP_DEVICES_MAX: usize = 2_000;
/// Owners of one group: each of them can do everything.
pub const GROUP_OWNERS_MAX: usize = 32;
/// Admins of one group.
pub const GROUP_ADMINS_MAX: usize = 128;
/// Invitations to one group that wait at a time.
pub const GROUP_INVITED_MAX: usize = 512;
/// Accounts banned from one group: every change of the policy carries them all.
pub const GROUP_BANNED_MAX: usize = 512;
/// Departures from one group that are remembered, so that no request counts twice: at most as many as there are epochs
/// in which one counts.
pub const GROUP_LEFT_MAX: usize = 256;
/// Epochs for which a request to leave counts.
pub const LEAVE_EPOCHS: u64 = 256;
/// Devices that one message can be addressed to: those of a full group.
pub const RECIPIENTS_MAX: usize = GROUP_DEVICES_MAX;
/// Longest serialised device certificate.
pub const CERTIFICATE_MAX: usize = 1_024;
/// Longest serialised, signed device list.
pub const DEVICE_LIST_MAX: usize = DEVICES_MAX * CERTIFICATE_MAX;
/// Longest OPAQUE message (RFC 9807; on P-256 the longest has 320 bytes).
pub const OPAQUE_MAX: usize = 512;
/// Longest sealed root key.
pub const ROOT_BACKUP_MAX: usize = 512;
/// Longest sealed book: pins and marks of some thousand contacts.
pub const BOOK_MAX: usize = 256 * 1024;
/// Network addresses that one device announces.
pub const ADDRESSES_MAX: usize = 8;
/// Direct conversations named in one answer that the asking device is not in: the book names all but the latest, so they are
/// few.
pub const ELSEWHERE_MAX: usize = 64;
/// Names or accounts asked for in one look-up.
pub const LOOK_UP_MAX: usize = 64;
/// People listed in one page.
pub const LIST_MAX: usize = 1_000;
/// Envelopes deposited in one request.
pub const DEPOSIT_MAX: usize = 64;
/// Recipients of all envelopes of one deposit together: four messages to a full group, since each recipient is a change of
/// a mailbox.
pub const DEPOSIT_RECIPIENTS_MAX: usize = 4 * RECIPIENTS_MAX;
/// Bytes of ciphertext deposited in one request: below the frame's limit with room for the envelopes.
pub const DEPOSIT_BYTES_MAX: usize = 1024 * 1024;
/// Mail items that one drain returns at most.
pub const DRAIN_MAX: usize = 256;
/// Bytes of mail that one drain returns at most, unless a single item is longer.
pub const DRAIN_BYTES_MAX: usize = 1024 * 1024;
/// Cursors acknowledged in one request.
pub const REMOVE_MAX: usize = 1_024;
/// Ids of the latest messages that a sender had seen, carried in each message.
pub const SEEN_MAX: usize = 16;
/// Single sequence numbers beyond the contiguous run that one receipt can carry.
pub const RECEIPT_EXTRAS_MAX: usize = 256;
/// Read marks in one message: one for each device that ever wrote in a direct conversation and still can.
pub const READ_MARKS_MAX: usize = 2 * DEVICES_MAX;
/// Conversations that one peer hello names.
pub const HELLO_CONVERSATIONS_MAX: usize = 64;
/// Longest reason in words that a refusal or a closing connection carries.
pub const REASON_MAX: usize = 512;
/// Longest invite code.
pub const INVITE_MAX: usize = 64;
/// Past epochs whose messages a member can still open.
pub const PAST_EPOCHS: u64 = 32;
/// How many epochs behind the mailbox still takes a message: half of what a member keeps, since the commits of the other
/// half may come to the member before the message does, by other ways.
pub const MAIL_EPOCHS: u64 = PAST_EPOCHS / 2;
/// How long a presence lease lasts without renewal, in milliseconds: two missed keep-alives.
pub const LEASE_MS: u64 = 45_000;
/// How often a connected node renews its lease, in milliseconds: a third of the lease.
pub const LEASE_RENEWAL_MS: u64 = 15_000;
/// How long the mailbox keeps an envelope, in milliseconds: fourteen days.
pub const MAILBOX_RETENTION_MS: u64 = 14 * 24 * 3_600 * 1_000;
/// How long a key package is valid, in seconds: eighty-four days.
pub const KEY_PACKAGE_LIFETIME_S: u64 = 84 * 24 * 3_600;
/// How long a device certificate and a device list are valid, in milliseconds: about thirteen months, renewed with
/// the password long before.
pub const CERTIFICATE_LIFETIME_MS: u64 = 400 * 24 * 3_600 * 1_000;
/// Strangers' envelopes that wait for one recipient from one sender within an hour.
pub const STRANGER_ENVELOPES_PER_HOUR: u32 = 20;
/// Entries of one's own in one page: each up to some four kibibytes with its proof.
pub const ENTRIES_PAGE_MAX: usize = 128;
/// Changes of requests in one page.
pub const REQUESTS_PAGE_MAX: usize = 256;
/// Requests from one account that are open at a time: two for everybody in a full group.
pub const REQUESTS_OPEN_MAX: usize = 2 * GROUP_MEMBERS_MAX;
/// Requests from one account to one other that are open at a time.
pub const REQUESTS_OPEN_PAIR_MAX: usize = 64;
/// Orders that were refused after their id was taken, from one account within an hour: each stays in the ledger's journal.
pub const REFUSED_ORDERS_PER_HOUR: u32 = 600;
/// Longest reason in words of a request's end.
pub const CLOSING_REASON_MAX: usize = 1_024;
/// Longest file name that is offered, in bytes: four times what file systems take, so that whoever receives one cuts it and
/// says so, rather than to refuse the file.
pub const FILE_NAME_MAX: usize = 1_024;
/// Longest caption of a file: a short text beside it, not in its place.
pub const CAPTION_MAX: usize = 4_096;
/// Longest reason in words for which a file was declined, or did not arrive.
pub const FILE_REASON_MAX: usize = 1_024;
/// Shortest length of a file's chunks: with its envelope, one fits into a message.
pub const CHUNK_LENGTH_MIN: u32 = 16 * 1024;
/// Longest length of a file's chunks: what one transfer has in memory is a few of them.
pub const CHUNK_LENGTH_MAX: u32 = 1024 * 1024;
/// Chunks of one file, or of one folder's files together: 16 TiB of the longest, and far below what one key may seal.
pub const FILE_CHUNKS_MAX: u64 = 1 << 24;
/// Files and folders within one offered folder: what a large working copy has, and little enough to be held in memory.
pub const MANIFEST_ENTRIES_MAX: usize = 32_768;
/// Longest manifest of a folder: over a hundred bytes for each of the most entries.
pub const MANIFEST_MAX: u32 = 4 * 1024 * 1024;
/// Longest path within a folder, in bytes.
pub const FILE_PATH_MAX: usize = 4_096;
/// Longest file, or folder with its manifest, that comes with its offer: with the longest name and caption, all of it is one
/// message, so that it waits in a mailbox as a text does.
pub const FILE_ENCLOSED_MAX: usize = 24 * 1024;
/// Deepest path within a folder: a tree that no tool can walk any more helps nobody.
pub const FILE_DEPTH_MAX: usize = 64;
/// Longest frame on a file's stream; chunks are no frames.
pub const FILE_FRAME_MAX: usize = 256;
/// Streams of files that one side of a peer connection serves at a time: with the window of each, they leave room in the
/// connection's for the messages.
pub const FILE_STREAMS_MAX: usize = 3;
/// Bytes of chunks that one side of a peer connection has sent, or written, before the other said that it took them in: a
/// part of the connection's send window, so that messages always find room in it.
pub const FILE_UNTAKEN_MAX: u32 = 6 * 1024 * 1024;
/// How long an offer stands, in milliseconds: thirty days.
pub const OFFER_LIFETIME_MS: u64 = 30 * 24 * 3_600 * 1_000;
