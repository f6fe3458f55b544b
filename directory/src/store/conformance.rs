//! What every store must do, checked on each: the same cases over the model and SQLite, and long random histories in
//! which SQLite, closed and opened again now and then, must answer exactly as the model does.

mod changes;
mod conversations;
mod groups;
mod handouts;
mod histories;
mod ledger;
mod packages;

use super::{
    AccountMade, AccountRecord, Counts, Delivery, DeviceRecord, ExpiredMessage, NewAccount, Quota, Store,
    memory::MemoryStore, sqlite::SqliteStore,
};
use protocol::{
    AccountId, BoundedBytes, ConversationId, DeviceId, MessageId, Name, PublicKey, Signature, Timestamp,
    certificate::SignedDeviceList, directory::Cursor, money::Amount,
};

/// Each case as a test of its own for each store.
macro_rules! conformance {
    ($($case:ident),* $(,)?) => {
        mod model {
            $(#[test] fn $case() { super::$case(&super::MemoryStore::default()); })*
        }
        mod sqlite {
            $(#[test] fn $case() {
                let folder = tempfile::tempdir().unwrap();
                super::$case(&super::SqliteStore::open(folder.path()).unwrap());
            })*
        }
    };
}

conformance!(
    an_account_is_made_once_and_its_repetition_is_the_same,
    what_is_in_the_way_of_an_account_is_named_in_order,
    an_invite_is_good_for_one_account,
    devices_are_found_by_key_and_keep_their_highest_counter,
    only_a_newer_book_is_kept,
    acceptance_has_a_direction,
    a_key_package_is_reserved_until_it_is_used_and_never_stocked_again,
    a_key_package_that_has_ended_is_given_to_nobody,
    what_a_change_owes_is_kept_with_it_until_it_is_handed_out,
    what_waits_is_counted_by_what_it_counts_against,
    the_first_commit_of_an_epoch_wins_for_good,
    a_conversation_is_made_once,
    mail_is_in_order_and_delivered_once_also_after_removal,
    a_replacing_item_takes_the_place_of_the_earlier_one,
    one_full_mailbox_refuses_the_whole_delivery,
    a_drain_stops_at_its_limits_but_gives_at_least_one,
    expiry_names_the_messages_that_nobody_came_for,
    a_secret_is_kept_once,
    a_device_list_takes_the_place_of_the_one_that_it_was_made_from,
    new_secrets_take_the_place_of_the_old_ones,
    a_closed_account_is_gone_and_its_name_is_nobody_elses,
    whoever_shows_the_offered_code_gets_the_name_and_the_old_account_is_closed,
    what_belongs_to_devices_that_are_gone_is_forgotten,
    when_a_device_was_seen_and_whom_somebody_blocks_is_kept,
    a_name_is_given_out_once_to_a_person_or_a_group,
    groups_are_listed_by_name_to_whom_they_concern,
    who_is_in_a_conversation_and_where_it_stands_is_read_without_its_state,
    a_request_to_leave_is_kept_if_nothing_has_changed_since_it_was_looked_at,
    a_closed_conversation_is_gone_for_good,
    whoever_left_without_a_request_is_gone_from_the_lists_all_the_same,
    what_the_ledger_owes_is_known_until_it_is_posted,
    certificates_that_are_kept_stay_as_they_are,
    who_has_joined_the_same_group_shares_it,
    a_device_is_told_of_the_direct_conversations_that_only_others_of_its_account_are_in,
);

use changes::{
    a_closed_account_is_gone_and_its_name_is_nobody_elses,
    a_device_list_takes_the_place_of_the_one_that_it_was_made_from, new_secrets_take_the_place_of_the_old_ones,
    what_belongs_to_devices_that_are_gone_is_forgotten, when_a_device_was_seen_and_whom_somebody_blocks_is_kept,
    whoever_shows_the_offered_code_gets_the_name_and_the_old_account_is_closed,
};

use changes::{certificates_that_are_kept_stay_as_they_are, what_the_ledger_owes_is_known_until_it_is_posted};
use conversations::{
    a_conversation_is_made_once, a_device_is_told_of_the_direct_conversations_that_only_others_of_its_account_are_in,
    the_first_commit_of_an_epoch_wins_for_good,
};
use groups::{
    a_closed_conversation_is_gone_for_good, a_name_is_given_out_once_to_a_person_or_a_group,
    a_request_to_leave_is_kept_if_nothing_has_changed_since_it_was_looked_at,
    groups_are_listed_by_name_to_whom_they_concern, who_has_joined_the_same_group_shares_it,
    who_is_in_a_conversation_and_where_it_stands_is_read_without_its_state,
    whoever_left_without_a_request_is_gone_from_the_lists_all_the_same,
};
use handouts::what_a_change_owes_is_kept_with_it_until_it_is_handed_out;
use packages::{
    a_key_package_is_reserved_until_it_is_used_and_never_stocked_again, a_key_package_that_has_ended_is_given_to_nobody,
};

const NOW: Timestamp = Timestamp(1_000);

fn account(n: u8) -> AccountId {
    AccountId([n; 32])
}

fn device(n: u8) -> DeviceId {
    DeviceId([n; 16])
}

fn key(n: u8) -> PublicKey {
    PublicKey([n; 65])
}

fn name(n: u8) -> Name {
    Name::parse(["alice", "bob", "carol", "dave", "erin", "frank"][usize::from(n) % 6]).unwrap()
}

/// An account whose parts can be chosen apart, so that each can be in another's way.
fn new_account(id: u8, named: u8, looks: u8, of: u8, invite: Option<&str>) -> NewAccount {
    let list = BoundedBytes::new(vec![id; 8]).unwrap();
    let record = AccountRecord {
        account: account(id),
        name: name(named),
        root_key: key(id),
        devices: SignedDeviceList { list, signature: Signature([id; 64]) },
        password: vec![id; 3],
        root_backup: vec![id; 4],
        recovery_backup: vec![id; 5],
        made_by: [named ^ of.rotate_left(4); 32],
    };
    let (signed_in, send_counter) = (true, 0);
    let device = DeviceRecord {
        device: device(of),
        account: account(id),
        tls_key: key(of),
        mls_key: key(of.wrapping_add(100)),
        signed_in,
        send_counter,
        revoked: false,
    };
    NewAccount {
        record,
        device,
        skeleton: format!("looks-{looks}"),
        invite: invite.map(str::to_owned),
        reset: None,
        opening: Amount::ZERO,
    }
}

fn simple(n: u8) -> NewAccount {
    new_account(n, n, n, n, None)
}

fn an_account_is_made_once_and_its_repetition_is_the_same(store: &impl Store) {
    let new = simple(1);
    assert_eq!(store.create_account(&new).unwrap(), AccountMade::Made);
    assert_eq!(store.create_account(&new).unwrap(), AccountMade::Made);
    let other = NewAccount { record: AccountRecord { made_by: [9; 32], ..new.record.clone() }, ..new.clone() };
    assert_eq!(store.create_account(&other).unwrap(), AccountMade::DeviceTaken);
    assert_eq!(store.accounts_by_name(&[name(2), name(1)]).unwrap(), [None, Some(new.record.clone())]);
    assert_eq!(store.accounts_by_id(&[account(1), account(2)]).unwrap(), [Some(new.record), None]);
    let counts = Counts { accounts: 1, signed_in: 1, ..Counts::default() };
    assert_eq!(store.counts().unwrap(), counts);
}

fn what_is_in_the_way_of_an_account_is_named_in_order(store: &impl Store) {
    store.create_account(&simple(1)).unwrap();
    let cases = [
        (new_account(2, 1, 1, 1, Some("none")), AccountMade::DeviceTaken),
        (new_account(2, 1, 1, 2, Some("none")), AccountMade::NameTaken),
        (new_account(2, 2, 1, 2, Some("none")), AccountMade::NameConfusable),
        (new_account(2, 2, 2, 2, Some("none")), AccountMade::InviteUsed),
        (new_account(2, 2, 2, 2, None), AccountMade::Made),
    ];
    for (new, outcome) in cases {
        assert_eq!(store.create_account(&new).unwrap(), outcome);
    }
}

fn an_invite_is_good_for_one_account(store: &impl Store) {
    store.add_invites(&["one".to_owned(), "one".to_owned(), "two".to_owned()]).unwrap();
    assert_eq!(store.counts().unwrap().invites, 2);
    assert!(store.invite_is_free("one").unwrap());
    assert!(!store.invite_is_free("three").unwrap());
    // A name that is taken costs no invite.
    store.create_account(&simple(1)).unwrap();
    assert_eq!(store.create_account(&new_account(2, 1, 2, 2, Some("one"))).unwrap(), AccountMade::NameTaken);
    assert!(store.invite_is_free("one").unwrap());
    assert_eq!(store.create_account(&new_account(2, 2, 2, 2, Some("one"))).unwrap(), AccountMade::Made);
    assert_eq!(store.create_account(&new_account(2, 2, 2, 2, Some("one"))).unwrap(), AccountMade::Made);
    assert_eq!(store.create_account(&new_account(3, 3, 3, 3, Some("one"))).unwrap(), AccountMade::InviteUsed);
    store.add_invites(&["one".to_owned()]).unwrap();
    assert!(!store.invite_is_free("one").unwrap(), "a used code that is added again stays used");
}

fn devices_are_found_by_key_and_keep_their_highest_counter(store: &impl Store) {
    let new = simple(1);
    store.create_account(&new).unwrap();
    assert_eq!(store.device_by_key(&key(2)).unwrap(), None);
    assert_eq!(store.raise_send_counter(device(1), 7).unwrap(), 7);
    assert_eq!(store.raise_send_counter(device(1), 3).unwrap(), 7);
    store.set_signed_in(device(1), false).unwrap();
    let found = DeviceRecord { signed_in: false, send_counter: 7, ..new.device };
    assert_eq!(store.device_by_key(&key(1)).unwrap(), Some(found.clone()));
    assert_eq!(store.devices_by_id(&[device(2), device(1)]).unwrap(), [None, Some(found)]);
    store.note_seen(account(1), NOW).unwrap();
    assert_eq!(store.last_seen(&[account(1), account(2)]).unwrap(), [Some(NOW), None]);
}

fn only_a_newer_book_is_kept(store: &impl Store) {
    store.create_account(&simple(1)).unwrap();
    assert_eq!(store.book(account(1)).unwrap(), None);
    assert!(store.put_book(account(1), 2, b"two").unwrap());
    assert!(!store.put_book(account(1), 2, b"again").unwrap());
    assert!(!store.put_book(account(1), 1, b"one").unwrap());
    assert!(!store.put_book(account(9), 1, b"nobody's").unwrap());
    assert_eq!(store.book(account(1)).unwrap(), Some((2, b"two".to_vec())));
}

fn acceptance_has_a_direction(store: &impl Store) {
    store.accept(account(1), &[account(2), account(3)]).unwrap();
    store.accept(account(1), &[account(2)]).unwrap();
    let pairs = [(account(1), account(2)), (account(2), account(1)), (account(1), account(3))];
    assert_eq!(store.has_accepted(&pairs).unwrap(), [true, false, true]);
}

/// A message for devices 1 and, if asked, 2, from device 9.
fn mail(n: u8, recipients: &[u8]) -> Delivery {
    Delivery {
        recipients: recipients.iter().map(|n| (device(*n), n % 2 == 1)).collect(),
        key: [n; 32],
        replaces: false,
        item: vec![n; 10],
        message: Some((device(9), ConversationId([1; 32]), MessageId([n; 16]))),
        expires: Timestamp(2_000 + u64::from(n)),
        quota: None,
    }
}

/// Two items of those of `mail`.
const QUOTA: Quota = Quota { counted: [9; 32], items: 2, bytes: 25 };

fn what_waits_is_counted_by_what_it_counts_against(store: &impl Store) {
    let all = [device(1), device(2), device(3)];
    let counted = |counted: u8| store.waiting(&all, [counted; 32]).unwrap();
    let by = |counted: u8, n: u8, recipients: &[u8]| Delivery {
        quota: Some(Quota { counted: [counted; 32], items: 9, bytes: 999 }),
        ..mail(n, recipients)
    };
    let receipt = |n: u8| Delivery { key: [50; 32], replaces: true, item: vec![n; 5], ..by(8, n, &[2]) };
    store.deliver(&[by(9, 1, &[1, 2]), by(9, 2, &[1]), by(8, 3, &[1]), mail(4, &[1]), receipt(5), receipt(6)]).unwrap();
    assert_eq!(counted(9), [(2, 20), (1, 10), (0, 0)]);
    assert_eq!(counted(8), [(1, 10), (1, 5), (0, 0)]);
    store.deliver(&[by(9, 1, &[1, 2])]).unwrap();
    let holds = || store.holds(&all, mail(1, &[]).key).unwrap();
    assert_eq!(holds(), [true, true, false]);
    store.remove(device(1), &[Cursor(1)]).unwrap();
    assert_eq!(holds(), [false, true, false], "what was taken is known, but no longer held");
    assert_eq!(counted(9), [(1, 10), (1, 10), (0, 0)]);
    store.forget_mail(&[device(2)]).unwrap();
    store.expire(Timestamp(2_003), 9, &|_| None).unwrap();
    assert_eq!((counted(9), counted(8)), (vec![(0, 0); 3], vec![(0, 0); 3]));
}

/// Cursors and first bytes of all that waits for a device.
fn waiting(store: &impl Store, of: u8) -> Vec<(u64, u8, bool)> {
    let (items, more) = store.drain(device(of), None, 1_000, usize::MAX).unwrap();
    assert!(!more);
    items.into_iter().map(|item| (item.cursor.0, item.item[0], item.accepted)).collect()
}

fn mail_is_in_order_and_delivered_once_also_after_removal(store: &impl Store) {
    assert_eq!(store.deliver(&[mail(1, &[1, 2]), mail(2, &[1])]).unwrap(), [true, true]);
    assert_eq!(store.deliver(&[mail(1, &[1, 2])]).unwrap(), [true]);
    assert_eq!(waiting(store, 1), [(1, 1, true), (2, 2, true)]);
    assert_eq!(waiting(store, 2), [(1, 1, false)]);
    store.remove(device(1), &[Cursor(1), Cursor(77)]).unwrap();
    assert_eq!(store.deliver(&[mail(1, &[1, 2]), mail(3, &[1])]).unwrap(), [true, true]);
    assert_eq!(waiting(store, 1), [(2, 2, true), (3, 3, true)]);
    assert_eq!(waiting(store, 2), [(1, 1, false)], "another's removal is not ours");
    store.remove(device(1), &[Cursor(2), Cursor(3)]).unwrap();
    assert_eq!(store.deliver(&[mail(4, &[1])]).unwrap(), [true]);
    assert_eq!(waiting(store, 1), [(4, 4, true)], "an order that never begins again");
}

fn a_replacing_item_takes_the_place_of_the_earlier_one(store: &impl Store) {
    let receipt = |n: u8| Delivery { key: [50; 32], replaces: true, message: None, item: vec![n; 3], ..mail(n, &[1]) };
    store.deliver(&[receipt(1), mail(2, &[1]), receipt(3)]).unwrap();
    assert_eq!(waiting(store, 1), [(2, 2, true), (3, 3, true)]);
    store.remove(device(1), &[Cursor(3)]).unwrap();
    store.deliver(&[receipt(4)]).unwrap();
    assert_eq!(waiting(store, 1), [(2, 2, true), (4, 4, true)]);
    assert_eq!(store.counts().unwrap().mail, 2);
}

fn one_full_mailbox_refuses_the_whole_delivery(store: &impl Store) {
    let limited = |n: u8, recipients: &[u8]| Delivery { quota: Some(QUOTA), ..mail(n, recipients) };
    assert_eq!(store.deliver(&[limited(1, &[1]), limited(2, &[1])]).unwrap(), [true, true]);
    assert_eq!(store.deliver(&[limited(3, &[2, 1]), limited(4, &[2])]).unwrap(), [false, true]);
    assert_eq!(waiting(store, 2), [(1, 4, false)]);
    assert_eq!(store.deliver(&[limited(1, &[1])]).unwrap(), [true], "what is there already has custody");
    let long = Delivery { item: vec![5; 26], ..limited(5, &[3]) };
    assert_eq!(store.deliver(&[long]).unwrap(), [false]);
}

fn a_drain_stops_at_its_limits_but_gives_at_least_one(store: &impl Store) {
    store.deliver(&[mail(1, &[1]), mail(2, &[1]), mail(3, &[1])]).unwrap();
    let drain = |after: Option<u64>, items, bytes| {
        let (taken, more) = store.drain(device(1), after.map(Cursor), items, bytes).unwrap();
        (taken.into_iter().map(|item| item.cursor.0).collect::<Vec<_>>(), more)
    };
    assert_eq!(drain(None, 2, 1_000), (vec![1, 2], true));
    assert_eq!(drain(Some(1), 2, 1_000), (vec![2, 3], false));
    assert_eq!(drain(None, 9, 25), (vec![1, 2], true));
    assert_eq!(drain(None, 9, 1), (vec![1], true));
    assert_eq!(drain(Some(3), 9, 1_000), (vec![], false));
}

fn expiry_names_the_messages_that_nobody_came_for(store: &impl Store) {
    let welcome = Delivery { message: None, ..mail(3, &[1]) };
    store.deliver(&[mail(1, &[2, 1]), mail(2, &[1]), welcome]).unwrap();
    assert_eq!(store.expire(Timestamp(2_000), 10, &|_| None).unwrap(), []);
    let expired = |n: u8, of: u8| ExpiredMessage {
        sender: device(9),
        conversation: ConversationId([1; 32]),
        id: MessageId([n; 16]),
        recipient: device(of),
    };
    // Its sender's notice comes into the sender's mailbox in the same step.
    let notice = |message: &ExpiredMessage| Some(Delivery { message: None, ..mail(message.id.0[0] + 100, &[9]) });
    assert_eq!(store.expire(Timestamp(2_001), 10, &notice).unwrap(), [expired(1, 1), expired(1, 2)]);
    assert_eq!(waiting(store, 9).len(), 1, "the same notice of two devices is one");
    assert_eq!(waiting(store, 1), [(2, 2, true), (3, 3, true)]);
    assert_eq!(store.expire(Timestamp(3_000), 1, &|_| None).unwrap(), [expired(2, 1)]);
    assert_eq!(store.expire(Timestamp(3_000), 1, &|_| None).unwrap(), [], "a welcome has no sender to be told");
    assert_eq!(waiting(store, 1), []);
}

fn a_secret_is_kept_once(store: &impl Store) {
    assert_eq!(store.secret("key").unwrap(), None);
    assert_eq!(store.secret_or("key", b"first").unwrap(), b"first");
    assert_eq!(store.secret_or("key", b"second").unwrap(), b"first");
    assert_eq!(store.secret("key").unwrap(), Some(b"first".to_vec()));
}
