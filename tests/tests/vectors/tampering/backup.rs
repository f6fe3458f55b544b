//! The root key as it rests at the directory, sealed under the password's export key and under the recovery code.

use std::ops::Range;

use data_encoding::Specification;
use node_core::crypto::{
    keys::AccountSecrets,
    seal::{NotACode, RecoveryCode, SealError, open_root, open_root_with_code, seal_root, seal_root_with_code},
};
use protocol::{AccountId, PublicKey};
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore as _, SeedableRng as _};

use super::{Account, flips};

const FIELDS: [(&str, Range<usize>); 4] = [("version", 0..1), ("nonce", 1..13), ("secrets", 13..77), ("tag", 77..93)];

/// The characters of a recovery code.
const ALPHABET: &str = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// What opens an account's backups.
struct Secrets {
    export_key: Vec<u8>,
    code: RecoveryCode,
}

impl Account {
    fn openers(&mut self) -> Secrets {
        let mut export_key = vec![0; 32];
        self.rng.fill_bytes(&mut export_key);
        Secrets { export_key, code: RecoveryCode::generate(&mut self.rng) }
    }
}

/// The two ways in which a root key is sealed.
struct Way {
    name: &'static str,
    seal: fn(&AccountSecrets, &Secrets, AccountId, &mut ChaCha20Rng) -> Vec<u8>,
    open: fn(&[u8], &Secrets, AccountId) -> Result<AccountSecrets, SealError>,
}

const WAYS: [Way; 2] = [
    Way {
        name: "password",
        seal: |root, secrets, account, rng| seal_root(root, &secrets.export_key, account, rng).unwrap().into_inner(),
        open: |sealed, secrets, account| open_root(sealed, &secrets.export_key, account),
    },
    Way {
        name: "recovery code",
        seal: |root, secrets, account, rng| {
            seal_root_with_code(root, &secrets.code, account, rng).unwrap().into_inner()
        },
        open: |sealed, secrets, account| open_root_with_code(sealed, &secrets.code, account),
    },
];

/// Opens a backup, to the public half of what was in it.
fn opened(way: &Way, sealed: &[u8], secrets: &Secrets, account: AccountId) -> Result<PublicKey, SealError> {
    (way.open)(sealed, secrets, account).map(|opened| opened.root.public())
}

#[test]
fn no_bit_of_a_backup_can_be_flipped_and_no_byte_cut_or_added() {
    for way in WAYS {
        let mut account = Account::new(1);
        let secrets = account.openers();
        let sealed = (way.seal)(&account.secrets, &secrets, account.id, &mut account.rng);
        assert_eq!(opened(&way, &sealed, &secrets, account.id), Ok(account.secrets.root.public()), "{}", way.name);
        assert_eq!(sealed.len(), FIELDS[3].1.end, "{}", way.name);
        for (at, changed) in flips(&sealed) {
            let (field, _) = FIELDS.iter().find(|(_, range)| range.contains(&at)).unwrap();
            let expected = if *field == "version" { SealError::Version } else { SealError::DoesNotOpen };
            let refused = opened(&way, &changed, &secrets, account.id);
            assert_eq!(refused, Err(expected), "{}, byte {at} in {field}", way.name);
        }
        for length in 0..sealed.len() {
            let refused = opened(&way, &sealed[..length], &secrets, account.id);
            assert_eq!(refused, Err(SealError::DoesNotOpen), "{}, cut at {length}", way.name);
        }
        let refused = opened(&way, &[&sealed[..], &[0]].concat(), &secrets, account.id);
        assert_eq!(refused, Err(SealError::DoesNotOpen), "{}", way.name);
    }
}

#[test]
fn neither_a_backup_nor_a_part_of_it_can_be_taken_from_another_account() {
    for way in WAYS {
        let (mut account, mut other) = (Account::new(1), Account::new(2));
        let (secrets, other_secrets) = (account.openers(), other.openers());
        let sealed = (way.seal)(&account.secrets, &secrets, account.id, &mut account.rng);
        let other_sealed = (way.seal)(&other.secrets, &other_secrets, other.id, &mut other.rng);
        for (field, range) in FIELDS.into_iter().skip(1) {
            let mut changed = sealed.clone();
            changed[range.clone()].copy_from_slice(&other_sealed[range]);
            assert_ne!(changed, sealed, "{}, {field} changes nothing", way.name);
            let refused = opened(&way, &changed, &secrets, account.id);
            assert_eq!(refused, Err(SealError::DoesNotOpen), "{}, {field}", way.name);
        }
        let rows = [
            ("another's backup under one's own secret", &other_sealed, &secrets, account.id),
            ("another's backup under its secret", &other_sealed, &other_secrets, account.id),
            ("one's own backup under another's secret", &sealed, &other_secrets, account.id),
            ("one's own backup for another account", &sealed, &secrets, other.id),
        ];
        for (row, sealed, secrets, account) in rows {
            assert_eq!(opened(&way, sealed, secrets, account), Err(SealError::DoesNotOpen), "{}, {row}", way.name);
        }
    }
}

#[test]
fn a_backup_of_an_earlier_password_or_code_does_not_open_under_the_present_one() {
    for way in WAYS {
        let mut account = Account::new(1);
        let (earlier, present) = (account.openers(), account.openers());
        let sealed = (way.seal)(&account.secrets, &earlier, account.id, &mut account.rng);
        assert_eq!(opened(&way, &sealed, &present, account.id), Err(SealError::DoesNotOpen), "{}", way.name);
        assert_eq!(opened(&way, &sealed, &earlier, account.id), Ok(account.secrets.root.public()), "{}", way.name);
    }
}

#[test]
fn a_backup_opens_only_in_the_way_in_which_it_was_sealed() {
    let mut account = Account::new(1);
    let mut secrets = account.openers();
    // One secret for both ways, so that only their labels keep them apart: a code's characters, without its checksum.
    let characters: String = secrets.code.to_string().replace('-', "").chars().take(32).collect();
    let mut crockford = Specification::new();
    crockford.symbols.push_str(ALPHABET);
    secrets.export_key = crockford.encoding().unwrap().decode(characters.as_bytes()).unwrap();
    let [password, code] = WAYS.map(|way| (way.seal)(&account.secrets, &secrets, account.id, &mut account.rng));
    assert_eq!(opened(&WAYS[0], &code, &secrets, account.id), Err(SealError::DoesNotOpen));
    assert_eq!(opened(&WAYS[1], &password, &secrets, account.id), Err(SealError::DoesNotOpen));
}

#[test]
fn a_recovery_code_with_any_other_character_opens_nothing() {
    let mut account = Account::new(1);
    let secrets = account.openers();
    let sealed = (WAYS[1].seal)(&account.secrets, &secrets, account.id, &mut account.rng);
    let written = secrets.code.to_string();
    let (mut tried, mut noticed) = (0, 0);
    for (at, character) in written.char_indices().filter(|(_, character)| *character != '-') {
        for another in ALPHABET.chars().filter(|another| *another != character) {
            let mut changed = written.clone();
            changed.replace_range(at..=at, &another.to_string());
            tried += 1;
            match changed.parse::<RecoveryCode>() {
                Err(NotACode) => noticed += 1,
                // Its checksum holds by chance; then it is the wrong key.
                Ok(code) => {
                    let refused = open_root_with_code(&sealed, &code, account.id).map(|opened| opened.root.public());
                    assert_eq!(refused, Err(SealError::DoesNotOpen), "{at}, {another}");
                }
            }
        }
    }
    assert_eq!((tried, noticed), (35 * 31, 35 * 31));
    let fresh = RecoveryCode::generate(&mut ChaCha20Rng::seed_from_u64(9));
    let refused = open_root_with_code(&sealed, &fresh, account.id).map(|opened| opened.root.public());
    assert_eq!(refused, Err(SealError::DoesNotOpen));
}
