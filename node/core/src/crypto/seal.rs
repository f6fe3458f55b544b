//! Sealing what rests at the directory: the root key, under the password and under the recovery code.
//!
//! HKDF-SHA256 (RFC 5869) derives a key for each use under a label of its own; AES-256-GCM seals with a random nonce
//! and the account as associated data, so that one account's backup is never taken for another's.
//!
//! ```text
//! version (1) | nonce (12) | ciphertext and tag
//! ```

use std::{fmt, str::FromStr};

use aes_gcm::{
    Aes256Gcm,
    aead::{Aead as _, KeyInit as _, Payload},
};
use hkdf::Hkdf;
use protocol::{
    AccountId, BoundedBytes,
    limits::{BOOK_MAX, ROOT_BACKUP_MAX},
};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::{
    crypto::keys::{AccountSecrets, BookKey},
    entropy::Entropy,
};

/// HKDF label of the key that seals the root key under the password's export key.
const ROOT_BY_PASSWORD: &[u8] = b"tuppence root key by password v1";
/// HKDF label of the key that seals the root key under the recovery code.
const ROOT_BY_CODE: &[u8] = b"tuppence root key by recovery code v1";
/// HKDF label of the key that seals the book under the book key.
const BOOK: &[u8] = b"tuppence book v1";
/// Label before a recovery code's bytes when its checksum is taken.
const CODE_CHECKSUM: &[u8] = b"tuppence recovery code checksum v1";
const SEALED_VERSION: u8 = 1;
const NONCE_LENGTH: usize = 12;
/// Random bytes of a recovery code: 160 bits, 32 characters.
const CODE_LENGTH: usize = 20;
/// Checksum bytes: three characters of the last group, so that a slip of the pen is noticed before it is tried.
const CHECKSUM_CHARACTERS: usize = 3;
/// Crockford's alphabet: no I, L, O, U.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const GROUP: usize = 5;

/// Why something sealed does not open, or cannot be sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Wrong key, or the bytes were changed.
    #[error("it was sealed under another password or code, or it was changed")]
    DoesNotOpen,
    /// A newer program sealed it.
    #[error("a newer program sealed it")]
    Version,
    /// It does not fit; a bug.
    #[error("it is too long to be sealed")]
    TooLong,
}

type Sealed = BoundedBytes<ROOT_BACKUP_MAX>;

fn cipher(secret: &[u8], label: &[u8]) -> Result<Aes256Gcm, SealError> {
    let mut key = Zeroizing::new([0; 32]);
    Hkdf::<Sha256>::new(None, secret).expand(label, &mut *key).map_err(|_| SealError::TooLong)?;
    Aes256Gcm::new_from_slice(&*key).map_err(|_| SealError::TooLong)
}

fn associated(label: &[u8], context: &[u8]) -> Vec<u8> {
    [&[SEALED_VERSION], label, context].concat()
}

fn seal<const MAX: usize>(
    secret: &[u8],
    label: &[u8],
    context: &[u8],
    plain: &[u8],
    entropy: &mut dyn Entropy,
) -> Result<BoundedBytes<MAX>, SealError> {
    let mut nonce = [0; NONCE_LENGTH];
    entropy.fill_bytes(&mut nonce);
    let payload = Payload { msg: plain, aad: &associated(label, context) };
    let body = cipher(secret, label)?.encrypt(&nonce.into(), payload).map_err(|_| SealError::TooLong)?;
    BoundedBytes::new([&[SEALED_VERSION], nonce.as_slice(), &body].concat()).map_err(|_| SealError::TooLong)
}

fn open(secret: &[u8], label: &[u8], context: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let (version, rest) = sealed.split_first().ok_or(SealError::DoesNotOpen)?;
    if *version != SEALED_VERSION {
        return Err(SealError::Version);
    }
    let (nonce, body) = rest.split_first_chunk::<NONCE_LENGTH>().ok_or(SealError::DoesNotOpen)?;
    let payload = Payload { msg: body, aad: &associated(label, context) };
    let plain = cipher(secret, label)?.decrypt(&(*nonce).into(), payload).map_err(|_| SealError::DoesNotOpen)?;
    Ok(Zeroizing::new(plain))
}

/// Seals the root key under OPAQUE's export key.
///
/// # Errors
/// [`SealError::TooLong`]; a bug.
pub fn seal_root(
    secrets: &AccountSecrets,
    export_key: &[u8],
    account: AccountId,
    entropy: &mut dyn Entropy,
) -> Result<Sealed, SealError> {
    seal(export_key, ROOT_BY_PASSWORD, &account.0, &secrets.to_bytes(), entropy)
}

/// Opens what [`seal_root`] sealed.
///
/// # Errors
/// [`SealError`] if it does not open under this key for this account.
pub fn open_root(sealed: &[u8], export_key: &[u8], account: AccountId) -> Result<AccountSecrets, SealError> {
    let bytes = open(export_key, ROOT_BY_PASSWORD, &account.0, sealed)?;
    AccountSecrets::from_bytes(&bytes).map_err(|_| SealError::DoesNotOpen)
}

/// Seals the root key under the recovery code.
///
/// # Errors
/// [`SealError::TooLong`]; a bug.
pub fn seal_root_with_code(
    secrets: &AccountSecrets,
    code: &RecoveryCode,
    account: AccountId,
    entropy: &mut dyn Entropy,
) -> Result<Sealed, SealError> {
    seal(&*code.0, ROOT_BY_CODE, &account.0, &secrets.to_bytes(), entropy)
}

/// Opens what [`seal_root_with_code`] sealed.
///
/// # Errors
/// [`SealError`] if it does not open under this code for this account.
pub fn open_root_with_code(
    sealed: &[u8],
    code: &RecoveryCode,
    account: AccountId,
) -> Result<AccountSecrets, SealError> {
    let bytes = open(&*code.0, ROOT_BY_CODE, &account.0, sealed)?;
    AccountSecrets::from_bytes(&bytes).map_err(|_| SealError::DoesNotOpen)
}

fn book_context(account: AccountId, version: u64) -> Vec<u8> {
    [account.0.as_slice(), &version.to_be_bytes()].concat()
}

/// Seals a version of the book.
///
/// # Errors
/// [`SealError::TooLong`] if it is too long.
pub fn seal_book(
    book: &[u8],
    key: &BookKey,
    account: AccountId,
    version: u64,
    entropy: &mut dyn Entropy,
) -> Result<BoundedBytes<BOOK_MAX>, SealError> {
    seal(key.as_bytes(), BOOK, &book_context(account, version), book, entropy)
}

/// Opens a version of the book: another version's bytes do not open as this one's.
///
/// # Errors
/// [`SealError`].
pub fn open_book(
    sealed: &[u8],
    key: &BookKey,
    account: AccountId,
    version: u64,
) -> Result<Zeroizing<Vec<u8>>, SealError> {
    open(key.as_bytes(), BOOK, &book_context(account, version), sealed)
}

/// What opens an account whose password is lost: 160 random bits, written down by a person. Shown once.
pub struct RecoveryCode(Zeroizing<[u8; CODE_LENGTH]>);

/// A text is no recovery code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("that is no recovery code; compare it with what SIGNUP printed, letter by letter")]
pub struct NotACode;

impl RecoveryCode {
    /// Draws a new one.
    pub fn generate(entropy: &mut dyn Entropy) -> Self {
        let mut bytes = Zeroizing::new([0; CODE_LENGTH]);
        entropy.fill_bytes(&mut *bytes);
        Self(bytes)
    }

    fn checksum(&self) -> Vec<u8> {
        let hash = Sha256::new().chain_update(CODE_CHECKSUM).chain_update(*self.0).finalize();
        hash.iter().take(CHECKSUM_CHARACTERS).map(|byte| ALPHABET[usize::from(byte % 32)]).collect()
    }
}

impl fmt::Display for RecoveryCode {
    /// Seven groups of five characters.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut characters = Zeroizing::new(Vec::new());
        for five in self.0.chunks(5) {
            let number = five.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
            for shift in (0..8).rev() {
                characters.push(ALPHABET[(number >> (shift * 5) & 31) as usize]);
            }
        }
        characters.extend(self.checksum());
        for (at, character) in characters.iter().enumerate() {
            if at > 0 && at % GROUP == 0 {
                f.write_str("-")?;
            }
            write!(f, "{}", char::from(*character))?;
        }
        Ok(())
    }
}

impl FromStr for RecoveryCode {
    type Err = NotACode;

    /// Takes any case, and dashes and blanks anywhere; reads I and L as 1, O as 0.
    fn from_str(text: &str) -> Result<Self, NotACode> {
        let mut values = Zeroizing::new(Vec::new());
        for character in text.chars().filter(|c| !matches!(c, '-' | ' ')) {
            let character = match character.to_ascii_uppercase() {
                'I' | 'L' => '1',
                'O' => '0',
                other => other,
            };
            let value = ALPHABET.iter().position(|known| char::from(*known) == character).ok_or(NotACode)?;
            values.push(value as u64);
        }
        if values.len() != CODE_LENGTH * 8 / 5 + CHECKSUM_CHARACTERS {
            return Err(NotACode);
        }
        let (code, checksum) = values.split_at(CODE_LENGTH * 8 / 5);
        let mut bytes = Zeroizing::new([0; CODE_LENGTH]);
        for (five, eight) in bytes.chunks_mut(5).zip(code.chunks(8)) {
            let number = eight.iter().fold(0_u64, |number, value| number << 5 | value);
            five.copy_from_slice(&number.to_be_bytes()[3..]);
        }
        let code = Self(bytes);
        let holds =
            code.checksum().iter().zip(checksum).all(|(a, b)| u64::from(*a) == u64::from(ALPHABET[*b as usize]));
        if holds { Ok(code) } else { Err(NotACode) }
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng as _;

    use super::*;

    const ACCOUNT: AccountId = AccountId([3; 32]);

    #[test]
    fn a_sealed_root_key_opens_under_its_key_for_its_account_and_not_otherwise() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let secrets = AccountSecrets::generate(&mut rng);
        let sealed = seal_root(&secrets, b"export key", ACCOUNT, &mut rng).unwrap();
        let opened = open_root(&sealed, b"export key", ACCOUNT).unwrap();
        assert_eq!(opened.root.public(), secrets.root.public());
        assert_eq!(opened.book.as_bytes(), secrets.book.as_bytes());
        assert_eq!(open_root(&sealed, b"another key", ACCOUNT).err(), Some(SealError::DoesNotOpen));
        assert_eq!(open_root(&sealed, b"export key", AccountId([4; 32])).err(), Some(SealError::DoesNotOpen));
        for at in 0..sealed.len() {
            let mut changed = sealed.to_vec();
            changed[at] ^= 1;
            let expected = if at == 0 { SealError::Version } else { SealError::DoesNotOpen };
            assert_eq!(open_root(&changed, b"export key", ACCOUNT).err(), Some(expected), "byte {at}");
            assert!(open_root(&sealed[..at], b"export key", ACCOUNT).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_password_backup_does_not_open_as_a_code_backup() {
        let mut rng = ChaCha20Rng::seed_from_u64(2);
        let secrets = AccountSecrets::generate(&mut rng);
        let code = RecoveryCode::generate(&mut rng);
        let sealed = seal_root(&secrets, &*code.0, ACCOUNT, &mut rng).unwrap();
        assert_eq!(open_root_with_code(&sealed, &code, ACCOUNT).err(), Some(SealError::DoesNotOpen));
        let sealed = seal_root_with_code(&secrets, &code, ACCOUNT, &mut rng).unwrap();
        let opened = open_root_with_code(&sealed, &code, ACCOUNT).unwrap();
        assert_eq!(opened.root.public(), secrets.root.public());
    }

    #[test]
    fn a_book_opens_under_its_key_for_its_account_and_as_its_version_and_not_otherwise() {
        let mut rng = ChaCha20Rng::seed_from_u64(4);
        let (key, other) = (BookKey::generate(&mut rng), BookKey::generate(&mut rng));
        let sealed = seal_book(b"names and marks", &key, ACCOUNT, 7, &mut rng).unwrap();
        let open =
            |sealed: &[u8], key, account, version| open_book(sealed, key, account, version).map(|book| book.to_vec());
        assert_eq!(open(&sealed, &key, ACCOUNT, 7), Ok(b"names and marks".to_vec()));
        assert_eq!(open(&sealed, &other, ACCOUNT, 7), Err(SealError::DoesNotOpen));
        assert_eq!(open(&sealed, &key, AccountId([4; 32]), 7), Err(SealError::DoesNotOpen));
        assert_eq!(open(&sealed, &key, ACCOUNT, 8), Err(SealError::DoesNotOpen), "an old book as a new one");
        for at in 0..sealed.len() {
            let mut changed = sealed.to_vec();
            changed[at] ^= 1;
            let expected = if at == 0 { SealError::Version } else { SealError::DoesNotOpen };
            assert_eq!(open(&changed, &key, ACCOUNT, 7), Err(expected), "byte {at}");
            assert!(open(&sealed[..at], &key, ACCOUNT, 7).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_recovery_code_is_read_back_however_it_was_written() {
        let code = RecoveryCode::generate(&mut ChaCha20Rng::seed_from_u64(3));
        let text = code.to_string();
        assert_eq!(text.len(), 35 + 6);
        for form in
            [text.clone(), text.to_lowercase(), text.replace('-', " "), text.replace('0', "o").replace('1', "l")]
        {
            assert_eq!(form.parse::<RecoveryCode>().map(|code| code.to_string()).ok(), Some(text.clone()));
        }
        let slip = if text.starts_with('7') { text.replacen('7', "8", 1) } else { format!("7{}", &text[1..]) };
        assert_eq!(slip.parse::<RecoveryCode>().err(), Some(NotACode));
        assert_eq!("".parse::<RecoveryCode>().err(), Some(NotACode));
    }

    /// RFC 5869, appendix A.1, through the crate as it is used here.
    #[test]
    fn hkdf_gives_the_published_output() {
        let info = [0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9];
        let salt: Vec<u8> = (0..=12).collect();
        let mut output = [0; 42];
        Hkdf::<Sha256>::new(Some(&salt), &[0x0b; 22]).expand(&info, &mut output).unwrap();
        let expected = [
            0x3c, 0xb2, 0x5f, 0x25, 0xfa, 0xac, 0xd5, 0x7a, 0x90, 0x43, 0x4f, 0x64, 0xd0, 0x36, 0x2f, 0x2a, 0x2d, 0x2d,
            0x0a, 0x90, 0xcf, 0x1a, 0x5a, 0x4c, 0x5d, 0xb0, 0x2d, 0x56, 0xec, 0xc4, 0xc5, 0xbf, 0x34, 0x00, 0x72, 0x08,
            0xd5, 0xb8, 0x87, 0x18, 0x58, 0x65,
        ];
        assert_eq!(output, expected);
    }
}
