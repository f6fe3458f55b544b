//! What programs send that do not speak the protocol, or speak it wrongly.

use std::net::{Ipv4Addr, SocketAddr};

use directory::{
    core::{Caller, Service, ServiceConfig},
    store::memory::MemoryStore,
};
use protocol::{
    Name, PublicKey, Timestamp,
    directory::{OpaqueMessage, Refusal, Registration, Request, Who},
    frame::{self, FrameError},
    limits::{DIRECTORY_FRAME_MAX, LOOK_UP_MAX, OPAQUE_MAX, STRANGER_FRAME_MAX},
    peer::PeerFrame,
};

use crate::{
    Next::{Do, Nothing},
    Row, Says, row, settle,
};

const NOW: Timestamp = Timestamp(33_000_000_000_000);

/// A frame's bytes, and who reads it.
pub(crate) enum Sent {
    ToDirectory(Vec<u8>),
    ToPeer(Vec<u8>),
    Header([u8; 4]),
}

/// A request as it stands on the wire, with another value in the place of one that could not be made.
fn request(from: &Request) -> Vec<u8> {
    frame::encode_body(from, DIRECTORY_FRAME_MAX).unwrap()
}

fn look_up(count: usize) -> Vec<u8> {
    let who: Vec<Who> = (0..LOOK_UP_MAX).map(|n| Who::Name(Name::parse(&format!("name-{n}")).unwrap())).collect();
    let written = request(&Request::LookUp { who: who.try_into().unwrap() });
    // Variant, then the list's length as a number of seven bits a byte.
    let (variant, rest) = (written[0], &written[1..]);
    let length = if LOOK_UP_MAX < 128 { 1 } else { 2 };
    let number = [(count & 127) as u8 | 128, (count >> 7) as u8];
    [&[variant], &number[..], &rest[length..]].concat()
}

fn start(name: &str) -> Vec<u8> {
    let known = Name::parse("somebody").unwrap();
    let written = request(&Request::SignInStart { name: known, credential: OpaqueMessage::new(vec![1; 9]).unwrap() });
    let at = written.windows(8).position(|window| window == b"somebody").unwrap();
    let length = u8::try_from(name.len()).unwrap();
    [&written[..at - 1], &[length], name.as_bytes(), &written[at + 8..]].concat()
}

pub(crate) fn decoded() -> Vec<Row<Sent>> {
    use Sent::{Header, ToDirectory, ToPeer};
    let malformed = |sent: Sent| row(sent, "malformed", &["a malformed frame"], Nothing);
    let announced = u32::try_from(STRANGER_FRAME_MAX + 1).unwrap().to_be_bytes();
    let ping = request(&Request::Ping);
    vec![
        malformed(ToDirectory(Vec::new())),
        malformed(ToDirectory(vec![0xff, 0xff])),
        malformed(ToDirectory(vec![0xff; 20])),
        malformed(ToDirectory(start("Somebody"))),
        malformed(ToDirectory(start("some\u{202e}body"))),
        malformed(ToDirectory(start("send"))),
        malformed(ToDirectory(start("somebody")[..9].to_vec())),
        malformed(ToDirectory(look_up(LOOK_UP_MAX + 1))),
        malformed(ToPeer(Vec::new())),
        malformed(ToPeer(vec![0xff; 3])),
        malformed(ToPeer(vec![1, 2, 3])),
        row(ToDirectory([&ping[..], &[0]].concat()), "malformed", &["1 bytes too many at the end"], Nothing),
        row(ToDirectory(vec![0; DIRECTORY_FRAME_MAX + 1]), "too much", &["a frame of", "are allowed"], Nothing),
        row(Header(announced), "too much", &["a frame of 16385 bytes", "16384"], Nothing),
        row(Header([0xff; 4]), "too much", &["a frame of 4294967295 bytes"], Nothing),
    ]
}

#[test]
fn a_frame_that_is_none_is_named_by_what_is_wrong_with_it() {
    // What is cut, and what is put in place of something, would else be right.
    assert!(frame::decode_body::<Request>(&start("somebody"), DIRECTORY_FRAME_MAX).is_ok());
    assert!(frame::decode_body::<Request>(&look_up(LOOK_UP_MAX), DIRECTORY_FRAME_MAX).is_ok());
    settle(decoded().into_iter().enumerate().map(|(number, row)| {
        let error = match &row.sent {
            Sent::ToDirectory(bytes) => frame::decode_body::<Request>(bytes, DIRECTORY_FRAME_MAX).unwrap_err(),
            Sent::ToPeer(bytes) => frame::decode_body::<PeerFrame>(bytes, DIRECTORY_FRAME_MAX).unwrap_err(),
            Sent::Header(header) => frame::body_length(*header, STRANGER_FRAME_MAX).unwrap_err(),
        };
        let code = if matches!(error, FrameError::TooLong { .. }) { "too much" } else { "malformed" };
        row.complaint(&format!("frame {number}"), code, &error.to_string())
    }));
}

/// Requests that a directory refuses, asked one after the other on one connection; the last one's answer counts.
type Asked = (&'static str, fn() -> Vec<Request>);

fn sign_in_start(credential: Vec<u8>) -> Request {
    let credential = OpaqueMessage::new(credential).unwrap();
    Request::SignInStart { name: Name::parse("somebody").unwrap(), credential }
}

fn sign_in_finish() -> Request {
    Request::SignInFinish { credential: OpaqueMessage::new(vec![7; 32]).unwrap() }
}

pub(crate) fn asked() -> Vec<Row<Asked>> {
    let malformed = |sent: Asked, says: Says| row(sent, "malformed", says, Nothing);
    vec![
        malformed(("an empty start", || vec![sign_in_start(Vec::new())]), &["malformed", "no OPAQUE request"]),
        malformed(("a start that is none", || vec![sign_in_start(vec![7; OPAQUE_MAX])]), &["no OPAQUE request"]),
        malformed(("an end without a start", || vec![sign_in_finish()]), &["there was no start"]),
        malformed(
            ("a registration that is none", || {
                let registration = OpaqueMessage::new(vec![9; 33]).unwrap();
                vec![Request::SignUpStart { name: Name::parse("somebody").unwrap(), invite: None, registration }]
            }),
            &["no OPAQUE request"],
        ),
        row(("mail of nobody's", || vec![Request::Drain { after: None }]), "refused", &["not signed in"], Nothing),
        row(
            ("a list for a stranger", || vec![Request::ListOnline { after: None }]),
            "refused",
            &["not signed in"],
            Nothing,
        ),
        row(("a stranger closes", || vec![Request::CloseAccount]), "refused", &["not signed in"], Nothing),
        row(("a flood", || vec![Request::Ping; 3_000]), "refused", &["too many requests"], Do("try again in")),
    ]
}

#[test]
fn a_request_that_cannot_be_is_refused_with_its_reason() {
    settle(asked().into_iter().map(|row| {
        let config = ServiceConfig { registration: Registration::Open, presence_to_everyone: true, seed: [1; 32] };
        let service = Service::new(MemoryStore::default(), config, |_| {}).unwrap();
        let mut caller = Caller::new(PublicKey([4; 65]), [1; 32], SocketAddr::from((Ipv4Addr::LOCALHOST, 7_000)));
        let (what, requests) = row.sent;
        let answers = requests().into_iter().map(|request| service.handle(NOW, &mut caller, request).answer);
        let refusal = answers.last().unwrap().unwrap_err();
        let code = if matches!(refusal, Refusal::Malformed(_)) { "malformed" } else { "refused" };
        row.complaint(what, code, &refusal.to_string())
    }));
}
