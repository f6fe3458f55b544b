//! One suite over both implementations: what a profile promises, whoever keeps it.

mod events;
mod money;

use node_core::{
    command::{HistoryEntry, MemberLine, MessageRef},
    event::{ConnectionState, DeliveryState, Event, EventKind, MemberChange, ShortId},
    stored::{Change, Stored, Table, Transaction},
    stretch::StretchParameters,
};
use proptest::prelude::*;
use protocol::{ConversationId, MessageId, Name, Timestamp};

use super::{CommitError, EVENTS_KEPT, EventsError, MemoryProfile, Profile, ProfileStore, ReadError};

const CHEAP: StretchParameters = StretchParameters { memory_kib: 8, passes: 1, lanes: 1 };
const TABLES: [Table; 16] = [
    Table::Account,
    Table::GroupState,
    Table::GroupEpoch,
    Table::KeyPackage,
    Table::Conversation,
    Table::Outbox,
    Table::Seen,
    Table::Waiting,
    Table::Contact,
    Table::Handled,
    Table::GroupTree,
    Table::Outgoing,
    Table::Audience,
    Table::GroupStateHead,
    Table::GroupStateRest,
    Table::Enclosed,
];
const STATES: [DeliveryState; 5] =
    [DeliveryState::Queued, DeliveryState::Sent, DeliveryState::Delivered, DeliveryState::Read, DeliveryState::Failed];

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn password() -> node_core::command::Password {
    node_core::command::Password::new("correct horse".to_owned())
}

/// Runs a claim against both implementations.
fn on_both(claim: impl Fn(&mut dyn ProfileStore)) {
    claim(&mut MemoryProfile::default());
    let folder = tempfile::tempdir().unwrap();
    claim(&mut Profile::create(&folder.path().join("p"), &name("alice"), &password(), CHEAP).unwrap());
}

fn commit(changes: Vec<Change>) -> Transaction {
    Transaction { changes }
}

fn put(table: Table, key: &[u8], value: &[u8]) -> Change {
    Change::Put { table, key: key.to_vec(), value: value.to_vec() }
}

fn entry(number: u64, from: &str, to: &str, state: Option<DeliveryState>) -> HistoryEntry {
    let mut uid = [0; 16];
    uid[8..].copy_from_slice(&number.to_be_bytes());
    HistoryEntry {
        id: ShortId::Message(number),
        uid: MessageId(uid),
        from: name(from),
        to: name(to),
        text: format!("text {number}\n\u{1b}[31m"),
        at: Timestamp(1_000 + number),
        sent_at: Timestamp(u64::MAX - number),
        state,
        gap: number.is_multiple_of(2),
        in_group: false,
        member: None,
        money: None,
    }
}

fn timeline(entry: HistoryEntry) -> Change {
    Change::Timeline { conversation: ConversationId([7; 32]), entry }
}

fn event(seq: u64) -> Event {
    Event { seq: Some(seq), at: Timestamp(seq), kind: EventKind::Connection { state: ConnectionState::Online } }
}

fn sorted(mut stored: Stored) -> Stored {
    stored.records.sort();
    stored
}

#[test]
fn a_put_replaces_and_a_delete_of_nothing_is_harmless() {
    on_both(|store| {
        store.commit(commit(vec![put(Table::Outbox, b"k", b"1"), put(Table::Seen, b"k", b"2")])).unwrap();
        store
            .commit(commit(vec![
                put(Table::Outbox, b"k", b"3"),
                Change::Delete { table: Table::Contact, key: b"k".to_vec() },
                put(Table::Account, b"", b""),
                Change::Delete { table: Table::Seen, key: b"k".to_vec() },
            ]))
            .unwrap();
        let expected = vec![(Table::Account, vec![], vec![]), (Table::Outbox, b"k".to_vec(), b"3".to_vec())];
        assert_eq!(sorted(store.records().unwrap()), Stored { records: expected, last_event: 0 });
    });
}

#[test]
fn history_gives_the_latest_with_one_person_or_with_all_oldest_first() {
    on_both(|store| {
        let entries = vec![
            entry(1, "alice", "bob", Some(DeliveryState::Queued)),
            entry(2, "bob", "alice", None),
            entry(3, "carol", "alice", None),
            entry(4, "alice", "bob", Some(DeliveryState::Sent)),
        ];
        store.commit(commit(entries.iter().cloned().map(timeline).collect())).unwrap();
        assert_eq!(store.history(None, 100).unwrap(), entries);
        assert_eq!(store.history(None, 2).unwrap(), entries[2..]);
        let with_bob = [entries[0].clone(), entries[1].clone(), entries[3].clone()];
        assert_eq!(store.history(Some(&name("bob")), 100).unwrap(), with_bob);
        assert_eq!(store.history(Some(&name("bob")), 2).unwrap(), with_bob[1..]);
        assert_eq!(store.history(Some(&name("dave")), 100).unwrap(), []);
        assert_eq!(store.history(None, 0).unwrap(), []);
    });
}

/// Words, with whom, since when, how many at most; and which entries are found.
type Sought = (&'static str, Option<&'static str>, Option<u64>, usize, &'static [usize]);

#[test]
fn a_search_finds_the_beginnings_of_words_in_the_latest_texts_that_have_them_all() {
    let texts = [
        ("alice", "bob", false, "I bring the biscuits, you bring tea"),
        ("bob", "alice", false, "BISCUIT? it's \"eight\" o'clock"),
        ("carol", "alice", false, "no dogs OR cats"),
        ("bob", "team", true, "biscuits for everybody"),
        ("alice", "team", true, "well-known"),
    ];
    let entries: Vec<HistoryEntry> = (1..)
        .zip(texts)
        .map(|(number, (from, to, in_group, text))| HistoryEntry {
            text: text.to_owned(),
            in_group,
            ..entry(number, from, to, None)
        })
        .collect();
    // A change of members has no text, and is not found.
    let member = Some(MemberLine { user: name("biscuit"), change: MemberChange::Joined });
    let change = HistoryEntry { text: String::new(), in_group: true, member, ..entry(6, "bob", "team", None) };
    let rows: [Sought; 26] = [
        ("biscuit", None, None, 9, &[0, 1, 3]),
        ("Biscuits", None, None, 9, &[0, 3]),
        ("biscuit", None, None, 2, &[1, 3]),
        ("biscuit", None, None, 0, &[]),
        ("biscuit", Some("bob"), None, 9, &[0, 1]),
        ("biscuit", Some("team"), None, 9, &[3]),
        ("biscuit", Some("dave"), None, 9, &[]),
        ("biscuit", None, Some(1_002), 9, &[1, 3]),
        ("biscuit", Some("bob"), Some(1_002), 9, &[1]),
        ("biscuit", None, Some(u64::MAX), 9, &[]),
        ("tea bring", None, None, 9, &[0]),
        ("tea coffee", None, None, 9, &[]),
        ("iscuit", None, None, 9, &[]),
        // Whatever a question could mean to the index, here it is words.
        ("dogs OR", None, None, 9, &[2]),
        ("tea OR dogs", None, None, 9, &[]),
        ("NOT tea", None, None, 9, &[]),
        ("\"eight", None, None, 9, &[1]),
        ("eight\"\" o'clock", None, None, 9, &[1]),
        ("it's", None, None, 9, &[1]),
        ("its", None, None, 9, &[]),
        ("text:tea", None, None, 9, &[]),
        ("bis*", None, None, 9, &[0, 1, 3]),
        ("well-kn", None, None, 9, &[4]),
        ("tea :-)", None, None, 9, &[0]),
        (":-) \"", None, None, 9, &[]),
        ("te\0a", None, None, 9, &[]),
    ];
    on_both(|store| {
        let said = entries.iter().cloned().chain([change.clone()]);
        store.commit(commit(said.map(timeline).collect())).unwrap();
        assert!(matches!(store.index(), Ok(true)));
        for (text, with, since, count, expected) in rows {
            let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
            let found = store.search(&words, with.map(name).as_ref(), since.map(Timestamp), count).unwrap();
            let expected: Vec<HistoryEntry> = expected.iter().map(|index| entries[*index].clone()).collect();
            assert_eq!(found, expected, "{text:?} with {with:?} since {since:?}");
        }
    });
}

#[test]
fn only_own_messages_change_their_state_even_if_somebody_copied_the_id() {
    on_both(|store| {
        let own = entry(1, "alice", "bob", Some(DeliveryState::Queued));
        let copied = HistoryEntry { id: ShortId::Message(2), state: None, ..own.clone() };
        store.commit(commit(vec![timeline(own.clone()), timeline(copied.clone())])).unwrap();
        let state = DeliveryState::Delivered;
        store.commit(commit(vec![Change::TimelineState { uid: own.uid, state }])).unwrap();
        let changed = HistoryEntry { state: Some(state), ..own };
        assert_eq!(store.history(None, 10).unwrap(), [changed.clone(), copied]);
        assert_eq!(store.message(MessageRef::Full(changed.uid)).unwrap(), Some(changed));
    });
}

#[test]
fn a_message_is_found_by_its_short_and_by_its_full_id() {
    on_both(|store| {
        let message = entry(7, "bob", "alice", None);
        store.commit(commit(vec![timeline(message.clone())])).unwrap();
        assert_eq!(store.message(MessageRef::Short(message.id)).unwrap().as_ref(), Some(&message));
        assert_eq!(store.message(MessageRef::Full(message.uid)).unwrap(), Some(message));
        assert_eq!(store.message(MessageRef::Short(ShortId::Message(8))).unwrap(), None);
        assert_eq!(store.message(MessageRef::Full(MessageId([9; 16]))).unwrap(), None);
    });
}

#[test]
fn a_commit_that_fails_changes_nothing_and_stops_all_others_until_reopened() {
    let out_of_order = Event { seq: None, ..event(1) };
    let failing: [fn(&CommitError) -> bool; 3] = [
        |error| matches!(error, CommitError::EventOutOfOrder { last: 1, found: 3 }),
        |error| matches!(error, CommitError::EventOutOfOrder { last: 1, found: 0 }),
        |error| matches!(error, CommitError::ShortIdTaken(1)),
    ];
    let changes = [Change::Event(event(3)), Change::Event(out_of_order), timeline(entry(1, "bob", "alice", None))];
    for (change, is_expected) in changes.into_iter().zip(failing) {
        on_both(|store| {
            let before = commit(vec![
                put(Table::Account, b"k", b"before"),
                Change::Event(event(1)),
                timeline(entry(1, "alice", "bob", Some(DeliveryState::Queued))),
            ]);
            store.commit(before).unwrap();
            let stored = sorted(store.records().unwrap());
            let torn = commit(vec![put(Table::Account, b"k", b"after"), change.clone()]);
            assert!(is_expected(&store.commit(torn).unwrap_err()));
            assert!(matches!(store.commit(commit(vec![])), Err(CommitError::Refused)));
            assert!(matches!(store.history(None, 1), Err(ReadError::NotOpen)));
            assert_eq!(sorted(store.reopen().unwrap()), stored);
            store.commit(commit(vec![Change::Event(event(2))])).unwrap();
            assert_eq!(store.history(None, 9).unwrap().len(), 1);
        });
    }
}

#[test]
fn every_table_and_every_state_comes_back_as_it_went() {
    on_both(|store| {
        let puts = TABLES.iter().map(|table| put(*table, b"key", &[*table as u8])).collect();
        store.commit(commit(puts)).unwrap();
        let expected: Vec<_> = TABLES.iter().map(|table| (*table, b"key".to_vec(), vec![*table as u8])).collect();
        assert_eq!(sorted(store.reopen().unwrap()).records, expected);
        let entries: Vec<_> =
            STATES.iter().zip(1..).map(|(state, number)| entry(number, "alice", "bob", Some(*state))).collect();
        store.commit(commit(entries.iter().cloned().map(timeline).collect())).unwrap();
        assert_eq!(store.history(None, 9).unwrap(), entries);
    });
}

/// A change without its running numbers, which the test gives when it applies it.
#[derive(Debug, Clone)]
enum Step {
    Put(Table, Vec<u8>, Vec<u8>),
    Delete(Table, Vec<u8>),
    Message(bool, u8),
    State(u8, DeliveryState),
    Event,
    WrongEvent,
}

fn steps() -> impl Strategy<Value = Vec<Vec<Step>>> {
    let table = || prop::sample::select(TABLES.to_vec());
    let key = || prop::collection::vec(0_u8..3, 0..3);
    let step = prop_oneof![
        8 => (table(), key(), prop::collection::vec(any::<u8>(), 0..40)).prop_map(|(t, k, v)| Step::Put(t, k, v)),
        4 => (table(), key()).prop_map(|(t, k)| Step::Delete(t, k)),
        4 => (any::<bool>(), any::<u8>()).prop_map(|(own, who)| Step::Message(own, who % 3)),
        2 => (0_u8..20, prop::sample::select(STATES.to_vec())).prop_map(|(m, state)| Step::State(m, state)),
        3 => Just(Step::Event),
        1 => Just(Step::WrongEvent),
    ];
    prop::collection::vec(prop::collection::vec(step, 0..8), 0..12)
}

fn change(step: Step, messages: &mut u64, events: &mut u64) -> Change {
    match step {
        Step::Put(table, key, value) => Change::Put { table, key, value },
        Step::Delete(table, key) => Change::Delete { table, key },
        Step::Message(own, who) => {
            *messages += 1;
            let who = ["bob", "carol", "dave"][usize::from(who)];
            let state = own.then_some(DeliveryState::Queued);
            timeline(if own { entry(*messages, "alice", who, state) } else { entry(*messages, who, "alice", None) })
        }
        Step::State(message, state) => {
            Change::TimelineState { uid: entry(u64::from(message), "alice", "bob", None).uid, state }
        }
        Step::Event => {
            *events += 1;
            Change::Event(event(*events))
        }
        Step::WrongEvent => Change::Event(event(*events + 2)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn both_implementations_agree_on_every_run_of_transactions(batches in steps()) {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("p");
        let mut disk = Profile::create(&folder, &name("alice"), &password(), CHEAP).unwrap();
        let mut memory = MemoryProfile::default();
        let (mut messages, mut events) = (0, 0);
        for batch in batches {
            let (messages_before, events_before) = (messages, events);
            let changes = batch.into_iter().map(|step| change(step, &mut messages, &mut events)).collect();
            let transaction = Transaction { changes };
            let (left, right) = (disk.commit(transaction.clone()), memory.commit(transaction));
            prop_assert_eq!(format!("{left:?}"), format!("{right:?}"));
            if left.is_err() {
                (messages, events) = (messages_before, events_before);
                prop_assert_eq!(sorted(disk.reopen().unwrap()), sorted(memory.reopen().unwrap()));
            }
        }
        drop(disk);
        let (mut disk, stored) = Profile::open(&folder, &password()).unwrap();
        prop_assert_eq!(sorted(stored), sorted(memory.records().unwrap()));
        for with in [None, Some(name("bob")), Some(name("carol"))] {
            for count in [1, 3, 1_000] {
                prop_assert_eq!(
                    disk.history(with.as_ref(), count).unwrap(),
                    memory.history(with.as_ref(), count).unwrap()
                );
            }
        }
        prop_assert_eq!(disk.events_since(0, 1_000).unwrap(), memory.events_since(0, 1_000).unwrap());
        for number in 0..messages + 2 {
            let uid = MessageRef::Full(entry(number, "alice", "bob", None).uid);
            prop_assert_eq!(disk.message(uid).unwrap(), memory.message(uid).unwrap());
        }
    }
}
