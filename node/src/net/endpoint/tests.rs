//! The endpoint and its socket, over real sockets.

use std::time::Duration;

use tokio::{net::UdpSocket, time::timeout};

use super::*;
use crate::net::tls::material::Key;

/// How long a packet on loopback may take on a machine that does much else.
const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn an_endpoint_that_was_closed_takes_no_packet_from_the_next_one_on_its_socket() {
    let socket = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let next = socket.try_clone().unwrap();
    let endpoint = NodeEndpoint::new(socket, Tls::new(Key::new().identity()), AcceptedPeers::default()).unwrap();
    // A handshake with somebody who says nothing is not forgotten before the closing time is over.
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (dialling, address) = (endpoint.clone(), silent.local_addr().unwrap());
    let dial = tokio::spawn(async move { dialling.connect_directory(address, None).await.map(|_| ()) });
    timeout(SOON, silent.recv_from(&mut [0; 2_048])).await.unwrap().unwrap();
    endpoint.close(CloseCode::Done).await;
    assert!(dial.await.unwrap().is_err());

    let next = UdpSocket::from_std(next).unwrap();
    for number in 0..100_u8 {
        silent.send_to(&[number], endpoint.local_address()).await.unwrap();
        let mut taken = [0; 2];
        let length = timeout(SOON, next.recv(&mut taken)).await.expect("somebody else took it").unwrap();
        assert_eq!((length, taken[0]), (1, number));
    }
}
