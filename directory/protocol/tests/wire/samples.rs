//! One value of each variant that crosses a wire, with every field distinguishable.

#[path = "samples/files.rs"]
pub(crate) mod files;
#[path = "samples/money.rs"]
pub(crate) mod money;

use std::net::SocketAddr;

use protocol::{
    AccountId, Bounded, BoundedBytes, BoundedText, CommitHash, ConversationId, DeviceId, MessageId, Name, PublicKey,
    Signature, Timestamp,
    certificate::{Certificate, DeviceEntry, DeviceList, Receipt, SignedDeviceList, SignedReceipt},
    directory::{
        CommitSubmission, Cursor, Deposit, DepositResult, DeviceAddresses, DeviceSeen, GroupListing, LedgerRefusal,
        LedgerReply, LedgerRequest, MailItem, NewConversation, Person, Push, Recovery, Refusal, Registration, Reply,
        Request, SignUp, Who,
    },
    peer::{Body, Content, Envelope, Hello, PeerFrame, PeerRefusal, ReadMark},
    policy::{Access, GroupPolicy, Leave, Policy, PolicyRefusal, Role, SignedLeave},
};

pub(crate) fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

pub(crate) fn bytes<const MAX: usize>(bytes: &[u8]) -> BoundedBytes<MAX> {
    BoundedBytes::new(bytes.to_vec()).unwrap()
}

pub(crate) fn text<const MAX: usize>(text: &str) -> BoundedText<MAX> {
    BoundedText::new(text.to_owned()).unwrap()
}

pub(crate) fn list<T, const MAX: usize>(items: Vec<T>) -> Bounded<T, MAX> {
    Bounded::new(items).ok().unwrap()
}

pub(crate) fn key(byte: u8) -> PublicKey {
    PublicKey([byte; 65])
}

pub(crate) fn signature() -> Signature {
    Signature([0x5a; 64])
}

fn address() -> SocketAddr {
    "127.0.0.1:7000".parse().unwrap()
}

pub(crate) const ACCOUNT: AccountId = AccountId([0xa1; 32]);
pub(crate) const DEVICE: DeviceId = DeviceId([0xd1; 16]);
const CONVERSATION: ConversationId = ConversationId([0xc1; 32]);
const MESSAGE: MessageId = MessageId([0xe1; 16]);

pub(crate) fn certificate() -> Certificate {
    Certificate { entry: bytes(&[1, 2, 3]), signature: signature() }
}

fn devices() -> SignedDeviceList {
    SignedDeviceList { list: bytes(&[4, 5]), signature: signature() }
}

fn receipt() -> SignedReceipt {
    SignedReceipt { receipt: bytes(&[6]), signature: signature() }
}

fn envelope() -> Envelope {
    let ciphertext = bytes(&[7, 8]);
    Envelope { conversation: CONVERSATION, epoch: 300, sender: DEVICE, id: MESSAGE, ciphertext }
}

pub(crate) fn requests() -> Vec<Request> {
    vec![
        Request::Ping,
        Request::SignUpStart { name: name("alice"), invite: Some(text("code")), registration: bytes(&[1]) },
        Request::SignUpFinish(Box::new(SignUp {
            name: name("alice"),
            invite: None,
            registration: bytes(&[2]),
            devices: devices(),
            root_backup: bytes(&[3]),
            recovery_backup: bytes(&[4]),
        })),
        Request::SignInStart { name: name("bob"), credential: bytes(&[5]) },
        Request::SignInFinish { credential: bytes(&[6]) },
        Request::SignOut,
        Request::Announce { addresses: list(vec![address()]), send_counter: 9 },
        Request::LookUp { who: list(vec![Who::Name(name("bob")), Who::Account(ACCOUNT)]) },
        Request::ListOnline { after: Some(name("bob")) },
        Request::Accept { accounts: list(vec![ACCOUNT]) },
        Request::Addresses { account: ACCOUNT },
        Request::PublishKeyPackages { packages: list(vec![bytes(&[1])]), last_resort: Some(bytes(&[2])) },
        Request::TakeKeyPackages { account: ACCOUNT },
        Request::CreateConversation(Box::new(NewConversation {
            conversation: CONVERSATION,
            group_info: bytes(&[1]),
            tree: bytes(&[2]),
            welcome: bytes(&[3]),
        })),
        Request::SubmitCommit(Box::new(CommitSubmission {
            conversation: CONVERSATION,
            epoch: 1,
            commit: bytes(&[1]),
            welcome: None,
            group_info: bytes(&[2]),
        })),
        Request::Group { conversation: CONVERSATION },
        Request::Deposit {
            items: list(vec![
                Deposit::Message { envelope: envelope(), recipients: list(vec![DEVICE]) },
                Deposit::Receipt { receipt: receipt(), recipient: DEVICE },
            ]),
        },
        Request::Drain { after: Some(Cursor(7)) },
        Request::Remove { cursors: list(vec![Cursor(7), Cursor(300)]) },
        Request::PutBook { version: 2, book: bytes(&[9]) },
        Request::Account,
        Request::Book,
        Request::UpdateDevices { devices: devices() },
        Request::PasswordStart { registration: bytes(&[1]) },
        Request::ChangePassword { registration: bytes(&[2]), root_backup: bytes(&[3]) },
        Request::RecoveryStart { name: name("carol"), registration: bytes(&[4]) },
        Request::RecoveryFinish(Box::new(Recovery {
            name: name("carol"),
            registration: bytes(&[5]),
            devices: devices(),
            root_backup: bytes(&[6]),
            recovery_backup: bytes(&[7]),
            signature: signature(),
        })),
        Request::CloseAccount,
        Request::Block { accounts: list(vec![ACCOUNT]), blocked: true },
        Request::Settling { commits: list(vec![(CONVERSATION, 300)]) },
        Request::ListGroups { after: Some(name("team")) },
        Request::FindGroup { name: name("team") },
        Request::Leave { leave: leave() },
        Request::Ledger(Box::new(LedgerRequest::Terms)),
        Request::Epochs { groups: list(vec![(CONVERSATION, 300)]) },
    ]
}

pub(crate) fn replies() -> Vec<Reply> {
    // Those that shipped with the first page of mail; the others have golden bytes of their own.
    let mail = mail_items().into_iter().take(5);
    let person = Person {
        account: ACCOUNT,
        name: name("bob"),
        devices: devices(),
        online: true,
        last_seen: Some(Timestamp(1_000)),
    };
    vec![
        Reply::Done,
        Reply::Pong {
            time: Timestamp(1),
            observed: address(),
            account: Some(ACCOUNT),
            registration: Registration::Invite,
        },
        Reply::SignUpStarted { registration: bytes(&[1]) },
        Reply::SignInStarted { credential: bytes(&[2]) },
        Reply::SignedIn {
            account: ACCOUNT,
            devices: devices(),
            root_backup: bytes(&[3]),
            book: Some((4, bytes(&[5]))),
            enrolled: true,
        },
        Reply::Announced { observed: address(), send_counter: 6, key_packages: 50, last_resort: true },
        Reply::People(list(vec![person])),
        Reply::Addresses(list(vec![DeviceAddresses {
            device: DEVICE,
            tls_key: key(4),
            addresses: list(vec!["[::1]:9".parse().unwrap()]),
        }])),
        Reply::KeyPackageStock { left: 50 },
        Reply::KeyPackages(list(vec![(DEVICE, bytes(&[1]))])),
        Reply::CommitAccepted,
        Reply::CommitLost { winner: CommitHash([9; 32]) },
        Reply::ConversationExists,
        Reply::Group { epoch: 3, group_info: bytes(&[1]), tree: bytes(&[2]) },
        Reply::Deposited(list(vec![
            DepositResult::Stored,
            DepositResult::StaleEpoch,
            DepositResult::Refused(Refusal::MailboxFull),
        ])),
        Reply::Mail { items: list((1..).map(Cursor).zip(mail).collect()), more: true },
        Reply::Account {
            devices: devices(),
            seen: list(vec![DeviceSeen { device: DEVICE, online: true, last_seen: Some(Timestamp(300)) }]),
            book_version: 7,
            elsewhere: list(vec![CONVERSATION]),
        },
        Reply::Book(Some((300, bytes(&[1])))),
        Reply::RecoveryStarted { registration: bytes(&[1]), devices: devices(), recovery_backup: bytes(&[2]) },
        Reply::Settling { devices: 300 },
        Reply::Groups(list(vec![GroupListing {
            conversation: CONVERSATION,
            name: name("team"),
            access: Access::Invite,
            members: 300,
            role: Some(Role::Admin),
        }])),
        Reply::Ledger(Box::new(LedgerReply::Done)),
        Reply::Epochs(list(vec![Some(300), None])),
    ]
}

pub(crate) fn mail_items() -> Vec<MailItem> {
    vec![
        MailItem::Message { envelope: envelope(), stranger: true },
        MailItem::Welcome { conversation: CONVERSATION, welcome: bytes(&[1]), tree: bytes(&[2]) },
        MailItem::Commit { conversation: CONVERSATION, epoch: 5, commit: bytes(&[3]) },
        MailItem::Receipt(receipt()),
        MailItem::Expired { conversation: CONVERSATION, id: MESSAGE, recipient: DEVICE },
        MailItem::Leave { conversation: CONVERSATION, leave: leave() },
    ]
}

pub(crate) fn roles() -> Vec<Role> {
    vec![Role::Invited, Role::Member, Role::Admin, Role::Owner]
}

pub(crate) fn refusals() -> Vec<Refusal> {
    vec![
        Refusal::Malformed(text("why")),
        Refusal::RateLimited { retry_after_ms: 500 },
        Refusal::NotSignedIn,
        Refusal::WrongCredentials,
        Refusal::NameTaken,
        Refusal::NameConfusable,
        Refusal::RegistrationClosed,
        Refusal::InviteNeeded,
        Refusal::DeviceTaken,
        Refusal::Unknown,
        Refusal::NotMember,
        Refusal::StrangerLimit,
        Refusal::MailboxFull,
        Refusal::Stale,
        Refusal::Policy(PolicyRefusal::ForeignAccount),
        Refusal::Unavailable,
        Refusal::PasswordNeeded,
        Refusal::Blocked,
        Refusal::Ledger(LedgerRefusal::Oneself),
    ]
}

pub(crate) fn policy_refusals() -> Vec<PolicyRefusal> {
    vec![
        PolicyRefusal::ForeignAccount,
        PolicyRefusal::ForeignRemoval,
        PolicyRefusal::TooManyRemovals,
        PolicyRefusal::UnknownChange,
        PolicyRefusal::Banned,
        PolicyRefusal::InviteOnly,
        PolicyRefusal::NotPermitted,
        PolicyRefusal::AlreadyMember,
        PolicyRefusal::PartialRemoval,
        PolicyRefusal::StaleLeave,
        PolicyRefusal::LastOwner,
        PolicyRefusal::Full,
        PolicyRefusal::TooMany,
        PolicyRefusal::Unsound,
    ]
}

pub(crate) fn registrations() -> Vec<Registration> {
    vec![Registration::Open, Registration::Invite, Registration::Closed]
}

pub(crate) fn pushes() -> Vec<Push> {
    vec![
        Push::Mail,
        Push::Presence { account: ACCOUNT, name: name("bob"), online: true },
        Push::KeyPackagesLow,
        Push::Closing,
        Push::Account,
        Push::Ledger,
    ]
}

pub(crate) fn peer_refusals() -> Vec<PeerRefusal> {
    vec![PeerRefusal::UnknownConversation, PeerRefusal::EpochGone, PeerRefusal::Unreadable, PeerRefusal::Full]
}

pub(crate) fn peer_frames() -> Vec<PeerFrame> {
    vec![
        PeerFrame::Hello(Hello { certificate: certificate(), list_version: 1, echo: 2 }),
        PeerFrame::Message(envelope()),
        PeerFrame::Receipt(receipt()),
        PeerFrame::ReceiptStored { conversation: CONVERSATION, delivered_below: 300, read_below: 4 },
        PeerFrame::Refused { id: MESSAGE, reason: PeerRefusal::EpochGone },
    ]
}

pub(crate) fn bodies() -> Vec<Body> {
    let mark = ReadMark { device: DEVICE, below: 300 };
    vec![
        Body::Text(text("héllo")),
        Body::Devices(devices()),
        Body::Read(list(vec![mark])),
        Body::Payment(Box::new(money::payment_notice())),
        Body::Request(Box::new(money::request_notice())),
        Body::Closed(money::closed_notice()),
        Body::FileOffer(Box::new(files::offer())),
        Body::FileNotice(files::notice()),
        Body::FileEnclosed(Box::new(files::enclosed())),
    ]
}

pub(crate) fn content() -> Content {
    Content {
        id: MESSAGE,
        sequence: 300,
        shared: 200,
        previous: [0x11; 32],
        seen: list(vec![MESSAGE]),
        sent_at: Timestamp(1_000_000),
        checkpoint: Some(Box::new(money::vouched_checkpoint())),
        body: Body::Text(text("héllo")),
    }
}

pub(crate) fn entry() -> DeviceEntry {
    DeviceEntry {
        root_key: key(1),
        device: DEVICE,
        tls_key: key(2),
        mls_key: key(3),
        order_key: key(4),
        not_after: Timestamp(300),
    }
}

pub(crate) fn device_list() -> DeviceList {
    DeviceList { root_key: key(1), version: 2, devices: list(vec![certificate()]), not_after: Timestamp(300) }
}

pub(crate) fn plain_receipt() -> Receipt {
    Receipt {
        conversation: CONVERSATION,
        recipient: ACCOUNT,
        device: DEVICE,
        sender: DeviceId([0xd2; 16]),
        delivered_below: 300,
        delivered_also: list(vec![301, 305]),
        read_below: 2,
    }
}

pub(crate) fn policies() -> Vec<Policy> {
    let account = |seed| AccountId([seed; 32]);
    let group = GroupPolicy {
        name: name("team"),
        founder: account(1),
        nonce: [7; 16],
        access: Access::Invite,
        owners: list(vec![account(1)]),
        admins: list(vec![account(2)]),
        invited: list(vec![account(3)]),
        banned: list(vec![account(4)]),
        left: list(vec![(account(5), 300)]),
    };
    vec![Policy::Direct { roots: [key(1), key(2)], generation: 3 }, Policy::Group(Box::new(group))]
}

pub(crate) fn leave() -> SignedLeave {
    let leave = Leave { conversation: CONVERSATION, account: ACCOUNT, device: DEVICE, epoch: 300 };
    SignedLeave { leave: SignedLeave::bytes(&leave).unwrap(), signature: signature() }
}
