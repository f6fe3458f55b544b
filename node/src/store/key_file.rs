//! `profile.key`: the database's random key, wrapped by the password.
//!
//! ```text
//! "tuppence profile\n"  format: u8  header: postcard(Header)  sealed: 48 bytes
//! ```
//! The wrapping key is HKDF-SHA-256(Argon2id(password, salt)); everything before `sealed` is its associated data, so
//! neither name nor parameters can be changed unseen. The header is in the clear because it is needed before the
//! password is: the name for the prompt, the salt and the parameters for the stretching.

use aes_gcm::{
    Aes256Gcm, KeyInit as _,
    aead::{Aead as _, Payload},
};
use hkdf::Hkdf;
use node_core::{command::Password, stretch::StretchParameters};
use protocol::Name;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::error::ProfileError;

const MAGIC: &[u8] = b"tuppence profile\n";
/// The only format so far.
pub(super) const FORMAT: u8 = 1;
const WRAP_LABEL: &[u8] = b"tuppence profile key wrap v1";
/// Longest key file: magic, the longest name, numbers and the sealed key stay far below.
const LENGTH_MAX: usize = 1_024;
/// Most memory that a key file may ask for (1 GiB): a damaged one must not take the machine down.
const MEMORY_KIB_MAX: u32 = 1024 * 1024;
/// Most passes and lanes that a key file may ask for, for the same reason.
const EFFORT_MAX: u32 = 64;

/// The key that the database is encrypted with.
pub(super) struct DatabaseKey(Zeroizing<[u8; 32]>);

impl DatabaseKey {
    pub(super) fn random() -> Result<Self, ProfileError> {
        let mut key = Zeroizing::new([0; 32]);
        getrandom::fill(key.as_mut()).map_err(ProfileError::Entropy)?;
        Ok(Self(key))
    }

    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

#[derive(Serialize, Deserialize)]
struct Header {
    name: Name,
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: [u8; 16],
    nonce: [u8; 12],
}

impl Header {
    const fn parameters(&self) -> StretchParameters {
        StretchParameters { memory_kib: self.memory_kib, passes: self.passes, lanes: self.lanes }
    }
}

/// Why a key file did not give its key.
#[derive(Debug)]
pub(super) enum KeyFileError {
    NotAKeyFile,
    Newer(u8),
    WrongPassword,
    Profile(ProfileError),
}

impl From<ProfileError> for KeyFileError {
    fn from(error: ProfileError) -> Self {
        Self::Profile(error)
    }
}

/// What the file says about itself, and how it was stretched.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Clear {
    pub(super) name: Name,
    pub(super) parameters: StretchParameters,
}

/// Wraps a key anew: fresh salt, fresh nonce.
pub(super) fn wrap(
    key: &DatabaseKey,
    name: &Name,
    password: &Password,
    parameters: StretchParameters,
) -> Result<Vec<u8>, ProfileError> {
    let mut header = Header {
        name: name.clone(),
        memory_kib: parameters.memory_kib,
        passes: parameters.passes,
        lanes: parameters.lanes,
        salt: [0; 16],
        nonce: [0; 12],
    };
    getrandom::fill(&mut header.salt).map_err(ProfileError::Entropy)?;
    getrandom::fill(&mut header.nonce).map_err(ProfileError::Entropy)?;
    let wrapping = stretch(password, &header)?;

    let mut file = [MAGIC, &[FORMAT]].concat();
    #[expect(clippy::expect_used, reason = "a header of plain numbers and a short text always encodes")]
    file.extend(postcard::to_allocvec(&header).expect("an encodable header"));
    let payload = Payload { msg: key.bytes(), aad: &file };
    #[expect(clippy::expect_used, reason = "AES-GCM refuses only texts of many gibibytes")]
    let sealed = Aes256Gcm::new((&*wrapping).into()).encrypt(&header.nonce.into(), payload).expect("a short text");
    file.extend(sealed);
    Ok(file)
}

/// What the file says about itself, without a password. It is proven only by [`unwrap`].
pub(super) fn peek(file: &[u8]) -> Result<Clear, KeyFileError> {
    parse(file).map(|(header, _)| Clear { parameters: header.parameters(), name: header.name })
}

/// The key, if the password is right.
pub(super) fn unwrap(file: &[u8], password: &Password) -> Result<(DatabaseKey, Clear), KeyFileError> {
    let (header, sealed) = parse(file)?;
    let wrapping = stretch(password, &header)?;
    let aad = file.get(..file.len() - sealed.len()).unwrap_or_default();
    let opened = Aes256Gcm::new((&*wrapping).into())
        .decrypt(&header.nonce.into(), Payload { msg: sealed, aad })
        .map(Zeroizing::new)
        .map_err(|_| KeyFileError::WrongPassword)?;
    let key = <[u8; 32]>::try_from(opened.as_slice()).map_err(|_| KeyFileError::NotAKeyFile)?;
    let clear = Clear { parameters: header.parameters(), name: header.name };
    Ok((DatabaseKey(Zeroizing::new(key)), clear))
}

fn parse(file: &[u8]) -> Result<(Header, &[u8]), KeyFileError> {
    if file.len() > LENGTH_MAX {
        return Err(KeyFileError::NotAKeyFile);
    }
    let (&format, rest) = file.strip_prefix(MAGIC).and_then(<[u8]>::split_first).ok_or(KeyFileError::NotAKeyFile)?;
    if format != FORMAT {
        return Err(if format > FORMAT { KeyFileError::Newer(format) } else { KeyFileError::NotAKeyFile });
    }
    let (header, sealed) = postcard::take_from_bytes::<Header>(rest).map_err(|_| KeyFileError::NotAKeyFile)?;
    let sane = header.memory_kib <= MEMORY_KIB_MAX && header.passes <= EFFORT_MAX && header.lanes <= EFFORT_MAX;
    if sane { Ok((header, sealed)) } else { Err(KeyFileError::NotAKeyFile) }
}

fn stretch(password: &Password, header: &Header) -> Result<Zeroizing<[u8; 32]>, ProfileError> {
    let mut stretched = Zeroizing::new([0; 32]);
    header
        .parameters()
        .argon2()
        .and_then(|argon2| argon2.hash_password_into(password.expose(), &header.salt, stretched.as_mut()))
        .map_err(ProfileError::Stretching)?;
    let mut wrapping = Zeroizing::new([0; 32]);
    #[expect(clippy::expect_used, reason = "HKDF refuses only outputs of more than 255 blocks")]
    Hkdf::<Sha256>::new(None, stretched.as_ref()).expand(WRAP_LABEL, wrapping.as_mut()).expect("one block");
    Ok(wrapping)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: StretchParameters = StretchParameters { memory_kib: 8, passes: 1, lanes: 1 };

    fn password(text: &str) -> Password {
        Password::new(text.to_owned())
    }

    fn wrapped() -> (DatabaseKey, Vec<u8>) {
        let key = DatabaseKey::random().unwrap();
        let file = wrap(&key, &Name::parse("alice").unwrap(), &password("open sesame"), CHEAP).unwrap();
        (key, file)
    }

    #[test]
    fn the_right_password_gives_the_key_and_the_name() {
        let (key, file) = wrapped();
        let (opened, clear) = unwrap(&file, &password("open sesame")).ok().unwrap();
        assert_eq!(opened.bytes(), key.bytes());
        assert_eq!(clear, Clear { name: Name::parse("alice").unwrap(), parameters: CHEAP });
        assert_eq!(peek(&file).ok().unwrap(), clear);
    }

    #[test]
    fn a_wrong_password_is_called_wrong() {
        let (_, file) = wrapped();
        assert!(matches!(unwrap(&file, &password("open sesamE")), Err(KeyFileError::WrongPassword)));
    }

    #[test]
    fn no_bit_of_the_file_can_be_changed_unseen() {
        let (_, file) = wrapped();
        for position in 0..file.len() {
            let mut changed = file.clone();
            changed[position] ^= 1;
            assert!(unwrap(&changed, &password("open sesame")).is_err(), "byte {position}");
        }
        for length in 0..file.len() {
            assert!(unwrap(&file[..length], &password("open sesame")).is_err(), "cut to {length}");
        }
    }

    #[test]
    fn wrapping_twice_repeats_nothing() {
        let key = DatabaseKey::random().unwrap();
        let name = Name::parse("alice").unwrap();
        let one = wrap(&key, &name, &password("open sesame"), CHEAP).unwrap();
        let other = wrap(&key, &name, &password("open sesame"), CHEAP).unwrap();
        assert_ne!(one[one.len() - 48..], other[other.len() - 48..]);
    }

    #[test]
    fn a_newer_format_is_told_from_a_damaged_file() {
        let (_, mut file) = wrapped();
        file[MAGIC.len()] = FORMAT + 1;
        assert!(matches!(peek(&file), Err(KeyFileError::Newer(2))));
        assert!(matches!(peek(b"something else"), Err(KeyFileError::NotAKeyFile)));
    }

    #[test]
    fn a_file_that_asks_for_too_much_memory_is_refused_before_it_is_stretched() {
        let key = DatabaseKey::random().unwrap();
        let name = Name::parse("alice").unwrap();
        let mut header = Header { name, memory_kib: u32::MAX, passes: 1, lanes: 1, salt: [0; 16], nonce: [0; 12] };
        let encode = |header: &Header| {
            let mut file = [MAGIC, &[FORMAT]].concat();
            file.extend(postcard::to_allocvec(header).unwrap());
            file.extend(key.bytes());
            file
        };
        assert!(matches!(peek(&encode(&header)), Err(KeyFileError::NotAKeyFile)));
        header.memory_kib = 8;
        assert!(peek(&encode(&header)).is_ok());
    }
}
