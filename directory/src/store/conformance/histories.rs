//! Long random histories, in which SQLite must answer exactly as the model does.

use protocol::{CommitHash, ConversationId, Timestamp, directory::Cursor, policy::Access};
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore as _, SeedableRng as _};
use tempfile::TempDir;

use super::{
    QUOTA, account, changes, conversations::conversation, device, groups, handouts::handout, key, mail, name,
    new_account, packages::package, waiting,
};
use crate::store::{Delivery, DevicesChange, NewAccount, Store, memory::MemoryStore, sqlite::SqliteStore};

/// SQLite in a folder, closed and opened again in the middle.
struct Reopened {
    folder: TempDir,
    store: Option<SqliteStore>,
}

impl Reopened {
    fn store(&mut self) -> &SqliteStore {
        let Self { folder, store } = self;
        store.get_or_insert_with(|| SqliteStore::open(folder.path()).unwrap())
    }
}

/// One step, drawn from few ids, so that steps meet; what it came to, in words.
fn step(store: &impl Store, seed: u64) -> String {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let mut draw = |below: u32| u8::try_from(rng.next_u32() % below).unwrap();
    let (a, b, c, d) = (draw(4), draw(4), draw(4), draw(4));
    // A group is never a conversation of two.
    let group = a + 10;
    let time = Timestamp(2_000 + u64::from(draw(30)));
    let invite = ["one", "two", "three"].get(usize::from(draw(6))).copied();
    match draw(39) {
        0..=2 => {
            let reset = (time.0.is_multiple_of(2)).then(|| "reset".to_owned());
            format!("{:?}", store.create_account(&NewAccount { reset, ..new_account(a, b, c, d, invite) }))
        }
        3 => format!("{:?}", store.accounts_by_name(&[name(a), name(b)])),
        4 => format!("{:?}", store.accounts_by_id(&[account(a), account(b)])),
        5 => format!("{:?} {:?}", store.device_by_key(&key(a)), store.devices_by_id(&[device(b), device(c)])),
        6 => format!("{:?}", store.set_signed_in(device(a), b % 2 == 0)),
        7 => format!("{:?}", store.raise_send_counter(device(a), u64::from(b))),
        8 => format!("{:?} {:?}", store.note_seen(account(a), time), store.last_seen(&[account(a), account(b)])),
        9 => format!("{:?} {:?}", store.put_book(account(a), u64::from(b), &[c]), store.book(account(d))),
        10 => format!("{:?}", store.accept(account(a), &[account(b), account(c)])),
        11 => format!("{:?}", store.has_accepted(&[(account(a), account(b)), (account(c), account(d))])),
        12 => format!("{:?}", store.add_invites(&invite.map(str::to_owned).into_iter().collect::<Vec<_>>())),
        13 => format!("{:?} {:?}", store.invite_is_free(invite.unwrap_or("none")), store.counts()),
        14 => {
            let last = (d == 0).then(|| package(200, u64::from(b)));
            let packages = [package(b, u64::from(d) + 1), package(c, u64::from(c) + 1)];
            let published = store.publish(device(a), &packages, last.as_ref());
            format!("{published:?} {:?}", store.stock(device(a), Timestamp(u64::from(c))))
        }
        15 => format!("{:?}", store.take(device(a), &[device(b), device(c)], Timestamp(u64::from(d)))),
        16 => format!("{:?}", store.used(device(a), &[device(b)])),
        17 => format!("{:?}", store.create_conversation(&conversation(a, 1, b), &[handout(a, 1)])),
        18 => {
            let committed = store.commit(
                CommitHash([b; 32]),
                &conversation(a, u64::from(c) + 1, d),
                &[handout(a, u64::from(c) + 1)],
            );
            format!("{committed:?} {:?}", store.conversation(ConversationId([a; 32])))
        }
        19 | 20 => {
            let replaces = d == 0;
            let message = if replaces { None } else { mail(b, &[]).message };
            let quota = (c == 0).then_some(QUOTA);
            let deliveries =
                [Delivery { replaces, message, quota, ..mail(b, &[a, c]) }, Delivery { quota, ..mail(b + 4, &[d]) }];
            format!("{:?}", store.deliver(&deliveries))
        }
        21 => format!("{:?}", store.drain(device(a), Some(Cursor(u64::from(b))), usize::from(c) + 1, 25)),
        22 => format!("{:?}", store.remove(device(a), &[Cursor(u64::from(b)), Cursor(u64::from(c))])),
        23 => format!("{:?}", store.expire(time, usize::from(a) + 1, &|_| None)),
        24 | 25 => {
            let secrets = (d == 0).then(|| changes::secrets(b, c == 0));
            let change = DevicesChange { secrets, ..changes::change(a, b, c, &[c, c + 4], &[d]) };
            format!("{:?} {:?}", store.replace_devices(&change), store.devices_of(account(a)))
        }
        26 => format!("{:?}", store.replace_secrets(account(a), &changes::secrets(b, c == 0))),
        27 if d == 0 => format!("{:?} {:?}", store.close_account(account(a)), store.devices_of(account(a))),
        27 => format!("{:?} {:?}", store.offer_reset(&name(a), "reset"), store.reset_is_offered(&name(b), "reset")),
        28 if d == 0 => format!("{:?} {:?}", store.forget_mail(&[device(a)]), store.forget_packages(&[device(b)])),
        28 => format!("{:?} {:?}", store.note_device_seen(device(a), time), store.devices_seen(&[device(b)])),
        29 => format!("{:?}", store.block(account(a), &[account(b)], c > 0)),
        30 => format!("{:?}", store.expire_packages(Timestamp(u64::from(a) + 1), usize::from(b))),
        31 => {
            let done = store.handed_out(ConversationId([a; 32]), u64::from(b) + 1, u64::from(c % 2));
            format!("{done:?} {:?}", store.handouts((c == 0).then_some(ConversationId([a; 32])), usize::from(d)))
        }
        32 => {
            let (both, key) = ([device(a), device(b)], mail(c, &[]).key);
            format!("{:?} {:?}", store.waiting(&both, QUOTA.counted), store.holds(&both, key))
        }
        33 => {
            let (looks, id) = (format!("looks-{b}"), ConversationId([a; 32]));
            let claimed = store.claim_name(&if c == 0 { name(d) } else { groups::group_name(d) }, &looks, id);
            format!("{claimed:?} {:?}", store.name_of_group(&groups::group_name(c)))
        }
        34 | 35 => {
            // Its epoch and count of departures are right now and then.
            let mut next =
                groups::group(group, u64::from(b), access(c), &[1, 2, 3, 4][usize::from(c % 2)..=usize::from(d)]);
            next.roster.leaves = u64::from(c % 2);
            let made = store.create_conversation(&next, &[handout(group, u64::from(b))]);
            format!("{made:?} {:?}", store.commit(CommitHash([c; 32]), &next, &[handout(group, u64::from(b))]))
        }
        36 => {
            let (id, many) = (ConversationId([group; 32]), usize::from(d % 2));
            let asked = store.roster(id).unwrap().map(|mut roster| {
                // Looked at too early now and then.
                roster.leaves = roster.leaves.saturating_sub(u64::from(b == 0));
                store.ask_to_leave(&groups::left(&roster, &[[1, 2][many]]), &[handout(group, 9)])
            });
            format!("{asked:?} {:?}", store.standing(id, &[device(b), device(d)]))
        }
        37 if d == 0 => {
            let id = ConversationId([group; 32]);
            let roster = store.roster(id).unwrap();
            let request = (b > 0).then(|| groups::leave(b));
            let closed = roster.map(|roster| store.close_conversation(&roster, request.as_ref()));
            format!("{closed:?} {:?}", store.closed_by(id))
        }
        37 => {
            let listed = store.groups(account(a), (b > 0).then(|| groups::group_name(b)).as_ref(), usize::from(c) + 1);
            let after = (c > 0).then_some(ConversationId([c + 9; 32]));
            let of = store.groups_of(account(b), after, usize::from(d) + 1);
            format!("{listed:?} {:?} {of:?}", store.group(account(d), ConversationId([c + 10; 32])))
        }
        _ => format!("{:?}", store.has_blocked(&[(account(a), account(b)), (account(c), account(d))])),
    }
}

fn access(n: u8) -> Access {
    if n == 0 { Access::Invite } else { Access::Open }
}

#[test]
fn sqlite_answers_as_the_model_does_through_long_histories_and_reopening() {
    for seed in 0..16_u64 {
        let model = MemoryStore::default();
        let mut sqlite = Reopened { folder: tempfile::tempdir().unwrap(), store: None };
        for number in 0..250_u64 {
            let step_seed = seed * 1_000_000 + number;
            if step_seed % 41 == 0 {
                sqlite.store = None;
            }
            let (expected, found) = (step(&model, step_seed), step(sqlite.store(), step_seed));
            assert_eq!(found, expected, "seed {seed}, step {number}");
        }
        for of in 0..4 {
            assert_eq!(waiting(sqlite.store(), of), waiting(&model, of), "seed {seed}");
        }
    }
}
