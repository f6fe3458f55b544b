//! Nodes that break the rules are cut off with a reason, and nobody else notices.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its own helpers too")]

mod support;

use std::{net::SocketAddr, time::Duration};

use directory::server::{Patience, Server};
use protocol::{
    BoundedBytes,
    directory::{Reply, Request},
    frame,
    limits::{DIRECTORY_FRAME_MAX, STRANGER_FRAME_MAX},
    peer::CloseCode,
};
use support::{Device, Raw, connect, doorkeeper};

/// Long enough for anything on one machine that behaves, short enough to wait for in a test.
const BRIEF: Duration = Duration::from_millis(300);

async fn directory(patience: Patience) -> Server {
    doorkeeper(patience)
}

/// Sends raw bytes on one stream while another node talks; says how the first was closed.
async fn cut_off(bytes: &[u8]) -> (u64, String) {
    let server = directory(Patience::default()).await;
    let (good, bad) = two(server.local_addr()).await;
    let (mut send, _receive) = bad.connection.open_bi().await.unwrap();
    send.write_all(bytes).await.unwrap();
    let _ = send.finish();
    let closed = bad.closed().await;
    assert_eq!(good.connection.close_reason(), None);
    pong(&good).await;
    server.shutdown().await;
    closed
}

async fn two(address: SocketAddr) -> (Raw, Raw) {
    let (good, bad) = (connect(address, &Device::new(1)).await, connect(address, &Device::new(2)).await);
    pong(&good).await;
    pong(&bad).await;
    (good, bad)
}

async fn pong(raw: &Raw) {
    let answer = raw.ask(&Request::Ping).await;
    assert!(matches!(answer, Ok(Reply::Pong { .. })), "{answer:?}");
}

fn code(code: CloseCode) -> u64 {
    u64::from(code as u32)
}

#[tokio::test]
async fn a_frame_that_is_no_request_is_malformed() {
    let (closed, why) = cut_off(&[0, 0, 0, 2, 0xff, 0xff]).await;
    assert_eq!(closed, code(CloseCode::Malformed));
    assert!(why.starts_with("a malformed frame"), "{why}");
}

#[tokio::test]
async fn a_request_with_bytes_after_its_value_is_malformed() {
    let closed = cut_off(&[0, 0, 0, 2, 0, 0]).await;
    assert_eq!(closed, (code(CloseCode::Malformed), "1 bytes too many at the end of a frame".to_owned()));
}

#[tokio::test]
async fn bytes_after_the_frame_are_malformed() {
    let closed = cut_off(&[0, 0, 0, 1, 0, 0]).await;
    assert_eq!(closed, (code(CloseCode::Malformed), "bytes follow the frame".to_owned()));
}

#[tokio::test]
async fn a_stream_that_ends_inside_its_frame_is_malformed() {
    for bytes in [&[0, 0][..], &[0, 0, 0, 9, 0], &[]] {
        let closed = cut_off(bytes).await;
        assert_eq!(closed, (code(CloseCode::Malformed), "the stream ended inside a frame".to_owned()));
    }
}

#[tokio::test]
async fn a_stranger_may_not_even_announce_a_long_frame() {
    let length = u32::try_from(STRANGER_FRAME_MAX + 1).unwrap();
    let closed = cut_off(&length.to_be_bytes()).await;
    let why = format!("a frame of {length} bytes where at most {STRANGER_FRAME_MAX} are allowed");
    assert_eq!(closed, (code(CloseCode::TooMuch), why));
}

#[tokio::test]
async fn a_request_that_never_ends_is_cut_off() {
    let server = directory(Patience { arrival: BRIEF, ..Patience::default() }).await;
    let (good, bad) = two(server.local_addr()).await;
    let (mut send, _receive) = bad.connection.open_bi().await.unwrap();
    send.write_all(&[0, 0, 0, 9, 0]).await.unwrap();
    assert_eq!(bad.closed().await, (code(CloseCode::Idle), "a request did not arrive whole in time".to_owned()));
    pong(&good).await;
    server.shutdown().await;
}

#[tokio::test]
async fn streams_of_the_nodes_own_are_not_welcome() {
    let server = directory(Patience::default()).await;
    let (good, bad) = two(server.local_addr()).await;
    let mut send = bad.connection.open_uni().await.unwrap();
    send.write_all(b"hello").await.unwrap();
    let why = "nodes open no unidirectional streams".to_owned();
    assert_eq!(bad.closed().await, (code(CloseCode::Malformed), why));
    pong(&good).await;
    server.shutdown().await;
}

#[tokio::test]
async fn a_node_has_a_bounded_number_of_requests_open() {
    let server = directory(Patience::default()).await;
    let (good, bad) = two(server.local_addr()).await;
    let mut held = Vec::new();
    // Opening more waits for an answer to one of these; the transport sees to it.
    while let Ok(opened) = tokio::time::timeout(BRIEF, bad.connection.open_bi()).await {
        let (mut send, receive) = opened.unwrap();
        send.write_all(&[0]).await.unwrap();
        held.push((send, receive));
    }
    // Of those that the ping used up it is told later.
    assert!((56..=64).contains(&held.len()), "{}", held.len());
    pong(&good).await;
    server.shutdown().await;
}

#[tokio::test]
async fn a_node_has_four_requests_in_hand_and_the_fifth_waits() {
    let server = directory(Patience::default()).await;
    let (good, bad) = two(server.local_addr()).await;
    let ping = frame::encode(&Request::Ping, DIRECTORY_FRAME_MAX).unwrap();
    let (first, rest) = ping.split_at(1);
    let mut held = Vec::new();
    for _ in 0..4 {
        let (mut send, receive) = bad.connection.open_bi().await.unwrap();
        send.write_all(first).await.unwrap();
        held.push((send, receive));
    }
    let mut fifth = std::pin::pin!(pong(&bad));
    assert!(tokio::time::timeout(BRIEF, fifth.as_mut()).await.is_err());
    pong(&good).await;
    let (send, _) = held.first_mut().unwrap();
    send.write_all(rest).await.unwrap();
    send.finish().unwrap();
    fifth.await;
    server.shutdown().await;
}

#[tokio::test]
async fn a_connection_on_which_nobody_signs_in_is_closed_in_the_end() {
    let server = directory(Patience { stranger: BRIEF, ..Patience::default() }).await;
    let raw = connect(server.local_addr(), &Device::new(1)).await;
    assert_eq!(raw.closed().await, (code(CloseCode::Idle), "nobody signed in".to_owned()));
    server.shutdown().await;
}

#[tokio::test]
async fn a_node_that_takes_no_answers_harms_nobody() {
    let server = directory(Patience::default()).await;
    let (good, bad) = two(server.local_addr()).await;
    let ping = frame::encode(&Request::Ping, DIRECTORY_FRAME_MAX).unwrap();
    for _ in 0..50 {
        let (mut send, mut receive) = bad.connection.open_bi().await.unwrap();
        send.write_all(&ping).await.unwrap();
        receive.stop(0_u32.into()).unwrap();
        let _ = send.finish();
    }
    pong(&good).await;
    pong(&bad).await;
    server.shutdown().await;
}

#[tokio::test]
async fn a_shutdown_tells_the_node_why() {
    let server = directory(Patience::default()).await;
    let raw = connect(server.local_addr(), &Device::new(1)).await;
    pong(&raw).await;
    let mut pushes = Box::pin(raw.pushes());
    let (pushed, ()) = tokio::join!(async { pushes.as_mut().await.next().await }, server.shutdown());
    assert_eq!(pushed, Some(protocol::directory::Push::Closing));
    assert_eq!(raw.closed().await, (code(CloseCode::ShuttingDown), "shutting down".to_owned()));
}

#[tokio::test]
async fn random_bytes_never_stop_the_directory() {
    let server = directory(Patience::default()).await;
    let good = connect(server.local_addr(), &Device::new(1)).await;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for round in 0..64_u64 {
        let bad = connect(server.local_addr(), &Device::new(2)).await;
        let mut bytes = Vec::new();
        for _ in 0..=round {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.extend_from_slice(&state.to_le_bytes());
        }
        let body = BoundedBytes::<DIRECTORY_FRAME_MAX>::new(bytes).unwrap();
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        let (mut send, mut receive) = bad.connection.open_bi().await.unwrap();
        send.write_all(&[&length[..], &body].concat()).await.unwrap();
        let _ = send.finish();
        let _ = receive.read_to_end(DIRECTORY_FRAME_MAX).await;
    }
    pong(&good).await;
    server.shutdown().await;
}
