//! RFC 5869, appendix A: the three cases with SHA-256, through the crate that derives what seals backups and profiles,
//! and through the MLS provider.

use data_encoding::HEXLOWER;
use hkdf::Hkdf;
use mls_rs_core::crypto::{CipherSuiteProvider as _, CryptoProvider as _};
use mls_rs_crypto_awslc::AwsLcCryptoProvider;
use sha2::Sha256;

struct Case {
    name: &'static str,
    input: Vec<u8>,
    salt: Vec<u8>,
    info: Vec<u8>,
    pseudorandom_key: &'static str,
    output: &'static str,
}

fn cases() -> [Case; 3] {
    [
        Case {
            name: "A.1, basic",
            input: vec![0x0b; 22],
            salt: (0x00..=0x0c).collect(),
            info: (0xf0..=0xf9).collect(),
            pseudorandom_key: "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
            output: "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
        },
        Case {
            name: "A.2, longer inputs and outputs",
            input: (0x00..=0x4f).collect(),
            salt: (0x60..=0xaf).collect(),
            info: (0xb0..=0xff).collect(),
            pseudorandom_key: "06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244",
            output: "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09\
                     da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
        },
        Case {
            name: "A.3, neither salt nor info",
            input: vec![0x0b; 22],
            salt: Vec::new(),
            info: Vec::new(),
            pseudorandom_key: "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04",
            output: "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
        },
    ]
}

#[test]
fn rfc_5869_gives_the_published_keys_through_the_crate_that_seals() {
    for case in cases() {
        let (pseudorandom_key, hkdf) = Hkdf::<Sha256>::extract(Some(&case.salt), &case.input);
        assert_eq!(HEXLOWER.encode(&pseudorandom_key), case.pseudorandom_key, "{}", case.name);
        let mut output = vec![0; case.output.len() / 2];
        hkdf.expand(&case.info, &mut output).unwrap();
        assert_eq!(HEXLOWER.encode(&output), case.output, "{}", case.name);
    }
    // Sealing passes no salt at all, which the RFC says is the same as an empty one.
    let [_, _, case] = cases();
    let mut output = vec![0; case.output.len() / 2];
    Hkdf::<Sha256>::new(None, &case.input).expand(&case.info, &mut output).unwrap();
    assert_eq!(HEXLOWER.encode(&output), case.output);
}

#[test]
fn rfc_5869_gives_the_published_keys_through_the_mls_provider() {
    let suite = AwsLcCryptoProvider::new().cipher_suite_provider(membership::SUITE).unwrap();
    for case in cases() {
        let pseudorandom_key = suite.kdf_extract(&case.salt, &case.input).unwrap();
        assert_eq!(HEXLOWER.encode(&pseudorandom_key), case.pseudorandom_key, "{}", case.name);
        let output = suite.kdf_expand(&pseudorandom_key, &case.info, case.output.len() / 2).unwrap();
        assert_eq!(HEXLOWER.encode(&output), case.output, "{}", case.name);
    }
}
