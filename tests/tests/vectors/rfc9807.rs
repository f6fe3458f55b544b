//! RFC 9807 (OPAQUE), appendix C: the vectors for P-256, through the library that checks passwords.
//!
//! Group, hash and key exchange are those of the programs; what differs is what the vectors prescribe. They stretch
//! nothing where the programs use Argon2id, and their context is a text where the programs take the connection's TLS
//! exporter; so these tests have a suite of their own, since the programs have no way to choose another. The programs
//! draw from a generator with a seed, which no vector can be fed into; the library itself takes any generator, and these
//! hand out the vectors' bytes in the order in which the library draws. No part of OPAQUE is computed here.

use data_encoding::HEXLOWER;
use opaque_ke::{
    CipherSuite, ClientLogin, ClientLoginFinishParameters, ClientRegistration, ClientRegistrationFinishParameters,
    CredentialFinalization, CredentialRequest, CredentialResponse, Identifiers, RegistrationRequest,
    RegistrationResponse, RegistrationUpload, ServerLogin, ServerLoginParameters, ServerRegistration, ServerSetup,
    TripleDh, errors::ProtocolError, ksf::Identity,
};
use rand_core::{CryptoRng, Error, RngCore};

struct Suite;

impl CipherSuite for Suite {
    type OprfCs = opaque_p256::NistP256;
    type KeyExchange = TripleDh<opaque_p256::NistP256, opaque_sha2::Sha256>;
    type Ksf = Identity;
}

const CONTEXT: &[u8] = b"OPAQUE-POC";
const CREDENTIAL_IDENTIFIER: &[u8] = b"1234";
const PASSWORD: &[u8] = b"CorrectHorseBatteryStaple";
const NAMED: Identifiers<'static> = Identifiers { client: Some(b"alice"), server: Some(b"bob") };
/// Without names the public keys stand in for them.
const NAMELESS: Identifiers<'static> = Identifiers { client: None, server: None };

/// Inputs that both real vectors share.
mod real {
    pub(super) const OPRF_SEED: &str = "62f60b286d20ce4fd1d64809b0021dad6ed5d52a2c8cf27ae6582543a0a8dce2";
    pub(super) const ENVELOPE_NONCE: &str = "a921f2a014513bd8a90e477a629794e89fec12d12206dde662ebdcf65670e51f";
    pub(super) const MASKING_NONCE: &str = "38fe59af0df2c79f57b8780278f5ae47355fe1f817119041951c80f612fdfc6d";
    pub(super) const SERVER_PRIVATE_KEY: &str = "c36139381df63bfc91c850db0b9cfbec7a62e86d80040a41aa7725bf0e79d5e5";
    pub(super) const SERVER_PUBLIC_KEY: &str = "035f40ff9cf88aa1f5cd4fe5fd3da9ea65a4923a5594f84fd9f2092d6067784874";
    pub(super) const SERVER_NONCE: &str = "71cd9960ecef2fe0d0f7494986fa3d8b2bb01963537e60efb13981e138e3d4a1";
    pub(super) const CLIENT_NONCE: &str = "ab3d33bde0e93eda72392346a7a73051110674bbf6b1b7ffab8be4f91fdaeeb1";
    pub(super) const CLIENT_KEYSHARE_SEED: &str = "633b875d74d1556d2a2789309972b06db21dfcc4f5ad51d7e74d783b7cfab8dc";
    pub(super) const SERVER_KEYSHARE_SEED: &str = "05a4f54206eef1ba2f615bc0aa285cb22f26d1153b5b40a1e85ff80da12f982f";
    pub(super) const BLIND_REGISTRATION: &str = "411bf1a62d119afe30df682b91a0a33d777972d4f2daa4b34ca527d597078153";
    pub(super) const BLIND_LOGIN: &str = "c497fddf6056d241e6cf9fb7ac37c384f49b357a221eb0a802c989b9942256c1";
}

/// What a real vector publishes.
struct Real {
    name: &'static str,
    identifiers: Identifiers<'static>,
    registration_request: &'static str,
    registration_response: &'static str,
    registration_upload: &'static str,
    ke1: &'static str,
    ke2: &'static str,
    ke3: &'static str,
    export_key: &'static str,
    session_key: &'static str,
}

const REGISTRATION_REQUEST: &str = "029e949a29cfa0bf7c1287333d2fb3dc586c41aa652f5070d26a5315a1b50229f8";
const REGISTRATION_RESPONSE: &str = "0350d3694c00978f00a5ce7cd08a00547e4ab5fb5fc2b2f6717cdaa6c89136efef\
                                     035f40ff9cf88aa1f5cd4fe5fd3da9ea65a4923a5594f84fd9f2092d6067784874";
const KE1: &str = "037342f0bcb3ecea754c1e67576c86aa90c1de3875f390ad599a26686cdfee6e07\
                   ab3d33bde0e93eda72392346a7a73051110674bbf6b1b7ffab8be4f91fdaeeb1\
                   022ed3f32f318f81bab80da321fecab3cd9b6eea11a95666dfa6beeaab321280b6";
const EXPORT_KEY: &str = "c3c9a1b0e33ac84dd83d0b7e8af6794e17e7a3caadff289fbd9dc769a853c64b";

const REALS: [Real; 2] = [
    Real {
        name: "C.1.5, without identities",
        identifiers: NAMELESS,
        registration_request: REGISTRATION_REQUEST,
        registration_response: REGISTRATION_RESPONSE,
        registration_upload: "03b218507d978c3db570ca994aaf36695a731ddb2db272c817f79746fc37ae5214\
                              7f0ed53532d3ae8e505ecc70d42d2b814b6b0e48156def71ea029148b2803aaf\
                              a921f2a014513bd8a90e477a629794e89fec12d12206dde662ebdcf65670e51f\
                              ad30bbcfc1f8eda0211553ab9aaf26345ad59a128e80188f035fe4924fad67b8",
        ke1: KE1,
        ke2: "0246da9fe4d41d5ba69faa6c509a1d5bafd49a48615a47a8dd4b0823cc14764811\
              38fe59af0df2c79f57b8780278f5ae47355fe1f817119041951c80f612fdfc6d\
              2f0c547f70deaeca54d878c14c1aa5e1ab405dec833777132eea905c2fbb12504a\
              67dcbe0e66740c76b62c13b04a38a77926e19072953319ec65e41f9bfd2ae268\
              37b6ce688bf9af2542f04eec9ab96a1b9328812dc2f5c89182ed47fead61f09f\
              71cd9960ecef2fe0d0f7494986fa3d8b2bb01963537e60efb13981e138e3d4a1\
              03c1701353219b53acf337bf6456a83cefed8f563f1040b65afbf3b65d3bc9a19b\
              50a73b145bc87a157e8c58c0342e2047ee22ae37b63db17e0a82a30fcc4ecf7b",
        ke3: "e97cab4433aa39d598e76f13e768bba61c682947bdcf9936035e8a3a3ebfb66e",
        export_key: EXPORT_KEY,
        session_key: "484ad345715ccce138ca49e4ea362c6183f0949aaaa1125dc3bc3f80876e7cd1",
    },
    Real {
        name: "C.1.6, with identities",
        identifiers: NAMED,
        registration_request: REGISTRATION_REQUEST,
        registration_response: REGISTRATION_RESPONSE,
        registration_upload: "03b218507d978c3db570ca994aaf36695a731ddb2db272c817f79746fc37ae5214\
                              7f0ed53532d3ae8e505ecc70d42d2b814b6b0e48156def71ea029148b2803aaf\
                              a921f2a014513bd8a90e477a629794e89fec12d12206dde662ebdcf65670e51f\
                              4d7773a36a208a866301dbb2858e40dc5638017527cf91aef32d3848eebe0971",
        ke1: KE1,
        ke2: "0246da9fe4d41d5ba69faa6c509a1d5bafd49a48615a47a8dd4b0823cc14764811\
              38fe59af0df2c79f57b8780278f5ae47355fe1f817119041951c80f612fdfc6d\
              2f0c547f70deaeca54d878c14c1aa5e1ab405dec833777132eea905c2fbb12504a\
              67dcbe0e66740c76b62c13b04a38a77926e19072953319ec65e41f9bfd2ae268\
              d7f106042021c80300e4c6f585980cf39fc51a4a6bba41b0729f9b240c729e56\
              71cd9960ecef2fe0d0f7494986fa3d8b2bb01963537e60efb13981e138e3d4a1\
              03c1701353219b53acf337bf6456a83cefed8f563f1040b65afbf3b65d3bc9a19b\
              84922c7e5d074838a8f278592c53f61fb59f031e85ad480c0c71086b871e1b24",
        ke3: "46833578cee137775f6be3f01b80748daac5a694101ad0e9e7025480552da56a",
        export_key: EXPORT_KEY,
        session_key: "27766fabd8dd88ff37fbd0ef1a491e601d10d9f016c2b28c4bd1b0fb7511a3c3",
    },
];

/// Vector C.2.3: what a server answers for a name that nobody registered.
mod fake {
    pub(super) const OPRF_SEED: &str = "bb1cd59e16ac09bc0cb6d528541695d7eba2239b1613a3db3ade77b36280f725";
    pub(super) const MASKING_NONCE: &str = "9c035896a043e70f897d87180c543e7a063b83c1bb728fbd189c619e27b6e5a6";
    pub(super) const CLIENT_PUBLIC_KEY: &str = "03b81708eae026a9370616c22e1e8542fe9dbebd36ce8a2661b708e9628f4a57fc";
    pub(super) const SERVER_PRIVATE_KEY: &str = "34fbe7e830be1fe8d2187c97414e3826040cbe49b893b64229bab5e85a5888c7";
    pub(super) const SERVER_PUBLIC_KEY: &str = "0221e034c0e202fe883dcfc96802a7624166fed4cfcab4ae30cf5f3290d01c88bf";
    pub(super) const SERVER_NONCE: &str = "1e10f6eeab2a7a420bf09da9b27a4639645622c46358de9cf7ae813055ae2d12";
    pub(super) const SERVER_KEYSHARE_SEED: &str = "360b0937f47d45f6123a4d8f0d0c0814b6120d840ebb8bc5b4f6b62df07f78c2";
    pub(super) const MASKING_KEY: &str = "caecc6ccb4cae27cb54d8f3a1af1bac52a3d53107ce08497cdd362b1992e4e5e";
    pub(super) const KE1: &str = "0396875da2b4f7749bba411513aea02dc514a48d169d8a9531bd61d3af3fa9baae\
                                  42d4e61ed3f8d64cdd3b9d153343eca15b9b0d5e388232793c6376bd2d9cfd0a\
                                  02147a6583983cc9973b5082db5f5070890cb373d70f7ac1b41ed2305361009784";
    pub(super) const KE2: &str = "0201198dcd13f9792eb75dcfa815f61b049abfe2e3e9456d4bbbceec5f442efd04\
                                  9c035896a043e70f897d87180c543e7a063b83c1bb728fbd189c619e27b6e5a6\
                                  facda65ce0a97b9085e7af07f61fd3fdd046d257cbf2183ce8766090b8041a8bf2\
                                  8d79dd4c9031ddc75bb6ddb4c291e639937840e3d39fc0d5a3d6e7723c09f794\
                                  5df485bcf9aefe3fe82d149e84049e259bb5b33d6a2ff3b25e4bfb7eff096282\
                                  1e10f6eeab2a7a420bf09da9b27a4639645622c46358de9cf7ae813055ae2d12\
                                  023f82bbb24e75b8683fd13b843cd566efae996cd0016cffdcc24ee2bc937d026f\
                                  80144878749a69565b433c1040aff67e94f79345de888a877422b9bbe21ec329";
}

fn bytes(hex: &str) -> Vec<u8> {
    HEXLOWER.decode(hex.as_bytes()).unwrap()
}

/// A generator that hands out the vector's bytes, and nothing once they are used up.
struct Given(Vec<u8>);

impl Given {
    fn new(parts: &[&str]) -> Self {
        Self(parts.iter().flat_map(|part| bytes(part)).collect())
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        assert!(std::thread::panicking() || self.0.is_empty(), "{} bytes were not drawn", self.0.len());
    }
}

impl CryptoRng for Given {}

impl RngCore for Given {
    fn next_u32(&mut self) -> u32 {
        let mut word = [0; 4];
        self.fill_bytes(&mut word);
        u32::from_le_bytes(word)
    }

    fn next_u64(&mut self) -> u64 {
        let mut word = [0; 8];
        self.fill_bytes(&mut word);
        u64::from_le_bytes(word)
    }

    fn fill_bytes(&mut self, to: &mut [u8]) {
        assert!(to.len() <= self.0.len(), "more is drawn than the vector gives");
        let given: Vec<u8> = self.0.drain(..to.len()).collect();
        to.copy_from_slice(&given);
    }

    fn try_fill_bytes(&mut self, to: &mut [u8]) -> Result<(), Error> {
        self.fill_bytes(to);
        Ok(())
    }
}

/// A server with these secrets; the last one is the key that it answers with for names that nobody registered.
fn server(oprf_seed: &str, private_key: &str, unregistered_key: &str) -> ServerSetup<Suite> {
    ServerSetup::deserialize(&bytes(&[oprf_seed, private_key, unregistered_key].concat())).unwrap()
}

fn real_server() -> ServerSetup<Suite> {
    server(real::OPRF_SEED, real::SERVER_PRIVATE_KEY, fake::CLIENT_PUBLIC_KEY)
}

fn login_parameters(vector: &Real) -> ServerLoginParameters<'static, 'static> {
    ServerLoginParameters { context: Some(CONTEXT), identifiers: vector.identifiers }
}

fn begin_login() -> (ClientLogin<Suite>, String) {
    let mut given = Given::new(&[real::BLIND_LOGIN, real::CLIENT_KEYSHARE_SEED, real::CLIENT_NONCE]);
    let start = ClientLogin::<Suite>::start(&mut given, PASSWORD).unwrap();
    (start.state, HEXLOWER.encode(&start.message.serialize()))
}

/// The first draw is the masking key of a record that is made for every login, so that a name that nobody registered
/// takes no less time; with a record nothing of it is used.
fn answer_login(vector: &Real) -> (ServerLogin<Suite>, String) {
    let unused = "00".repeat(32);
    let mut given = Given::new(&[&unused, real::MASKING_NONCE, real::SERVER_KEYSHARE_SEED, real::SERVER_NONCE]);
    let record = ServerRegistration::<Suite>::deserialize(&bytes(vector.registration_upload)).unwrap();
    let request = CredentialRequest::deserialize(&bytes(vector.ke1)).unwrap();
    let parameters = login_parameters(vector);
    let start =
        ServerLogin::start(&mut given, &real_server(), Some(record), request, CREDENTIAL_IDENTIFIER, parameters);
    let start = start.unwrap();
    (start.state, HEXLOWER.encode(&start.message.serialize()))
}

#[test]
fn a_registration_has_the_published_bytes() {
    let server = real_server();
    assert_eq!(HEXLOWER.encode(&server.keypair().public().serialize()), real::SERVER_PUBLIC_KEY);
    for vector in REALS {
        let start = ClientRegistration::<Suite>::start(&mut Given::new(&[real::BLIND_REGISTRATION]), PASSWORD).unwrap();
        assert_eq!(HEXLOWER.encode(&start.message.serialize()), vector.registration_request, "{}", vector.name);

        let request = RegistrationRequest::deserialize(&bytes(vector.registration_request)).unwrap();
        let answer = ServerRegistration::<Suite>::start(&server, request, CREDENTIAL_IDENTIFIER).unwrap();
        assert_eq!(HEXLOWER.encode(&answer.message.serialize()), vector.registration_response, "{}", vector.name);

        let response = RegistrationResponse::deserialize(&bytes(vector.registration_response)).unwrap();
        let parameters = ClientRegistrationFinishParameters::new(vector.identifiers, Some(&Identity));
        let mut given = Given::new(&[real::ENVELOPE_NONCE]);
        let done = start.state.finish(&mut given, PASSWORD, response, parameters).unwrap();
        assert_eq!(HEXLOWER.encode(&done.message.serialize()), vector.registration_upload, "{}", vector.name);
        assert_eq!(HEXLOWER.encode(&done.export_key), vector.export_key, "{}", vector.name);

        let upload = RegistrationUpload::<Suite>::deserialize(&bytes(vector.registration_upload)).unwrap();
        let record = ServerRegistration::finish(upload).serialize();
        assert_eq!(HEXLOWER.encode(&record), vector.registration_upload, "{}", vector.name);
    }
}

#[test]
fn a_login_has_the_published_bytes_and_ends_in_the_published_keys() {
    for vector in REALS {
        let (client, ke1) = begin_login();
        assert_eq!(ke1, vector.ke1, "{}", vector.name);
        let (server, ke2) = answer_login(&vector);
        assert_eq!(ke2, vector.ke2, "{}", vector.name);

        let response = CredentialResponse::deserialize(&bytes(vector.ke2)).unwrap();
        let parameters = ClientLoginFinishParameters::new(Some(CONTEXT), vector.identifiers, Some(&Identity));
        let done = client.finish(&mut Given::new(&[]), PASSWORD, response, parameters).unwrap();
        assert_eq!(HEXLOWER.encode(&done.message.serialize()), vector.ke3, "{}", vector.name);
        assert_eq!(HEXLOWER.encode(&done.export_key), vector.export_key, "{}", vector.name);
        assert_eq!(HEXLOWER.encode(&done.session_key), vector.session_key, "{}", vector.name);
        assert_eq!(HEXLOWER.encode(&done.server_s_pk.serialize()), real::SERVER_PUBLIC_KEY, "{}", vector.name);

        let finalization = CredentialFinalization::deserialize(&bytes(vector.ke3)).unwrap();
        let done = server.finish(finalization, login_parameters(&vector)).unwrap();
        assert_eq!(HEXLOWER.encode(&done.session_key), vector.session_key, "{}", vector.name);
    }
}

#[test]
fn a_published_login_is_refused_under_another_password_context_or_name() {
    let [_, vector] = REALS;
    let other_name = Identifiers { client: Some(b"mallory"), ..NAMED };
    let rows: [(&str, &[u8], &[u8], Identifiers<'_>); 4] = [
        ("password", b"CorrectHorseBatteryStapler", CONTEXT, NAMED),
        ("context", PASSWORD, b"OPAQUE-POD", NAMED),
        ("name", PASSWORD, CONTEXT, other_name),
        ("no name", PASSWORD, CONTEXT, NAMELESS),
    ];
    for (row, password, context, identifiers) in rows {
        let response = CredentialResponse::deserialize(&bytes(vector.ke2)).unwrap();
        let parameters = ClientLoginFinishParameters::new(Some(context), identifiers, Some(&Identity));
        let (client, _) = begin_login();
        let refused = client.finish(&mut Given::new(&[]), password, response, parameters);
        assert_eq!(refused.err(), Some(ProtocolError::InvalidLoginError), "{row}");
    }
    let [nameless, _] = REALS;
    let (server, _) = answer_login(&vector);
    let finalization = CredentialFinalization::deserialize(&bytes(nameless.ke3)).unwrap();
    let refused = server.finish(finalization, login_parameters(&vector));
    assert_eq!(refused.err(), Some(ProtocolError::InvalidLoginError));
}

#[test]
fn an_unregistered_name_is_answered_with_the_published_bytes() {
    let server = server(fake::OPRF_SEED, fake::SERVER_PRIVATE_KEY, fake::CLIENT_PUBLIC_KEY);
    assert_eq!(HEXLOWER.encode(&server.keypair().public().serialize()), fake::SERVER_PUBLIC_KEY);
    let mut given =
        Given::new(&[fake::MASKING_KEY, fake::MASKING_NONCE, fake::SERVER_KEYSHARE_SEED, fake::SERVER_NONCE]);
    let request = CredentialRequest::deserialize(&bytes(fake::KE1)).unwrap();
    let parameters = ServerLoginParameters { context: Some(CONTEXT), identifiers: NAMED };
    let start =
        ServerLogin::<Suite>::start(&mut given, &server, None, request, CREDENTIAL_IDENTIFIER, parameters).unwrap();
    assert_eq!(HEXLOWER.encode(&start.message.serialize()), fake::KE2);
}
