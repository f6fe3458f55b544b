//! A device's connection to a directory, without a node around it.

use std::net::SocketAddr;

use node::net::{
    endpoint::{NodeEndpoint, bind},
    tls::{AcceptedPeers, DeviceIdentity, Tls},
};
use protocol::{
    directory::{Refusal, Reply, Request},
    frame::{self, HEADER_LENGTH},
    limits::DIRECTORY_FRAME_MAX,
};
use quinn::Connection;

use crate::fixture::{Account, Failed};

/// A connection and the socket that it lives on.
#[derive(Debug)]
pub struct Client {
    /// The connection.
    pub connection: Connection,
    _endpoint: NodeEndpoint,
}

impl Client {
    /// Connects as an account's device, from this address; a device that is signed in needs no password.
    ///
    /// # Errors
    /// Whatever keeps it from connecting.
    pub async fn connect(directory: SocketAddr, account: &Account, from: SocketAddr) -> Result<Self, Failed> {
        let identity = DeviceIdentity::new(account.keys.tls_pkcs8())?;
        let endpoint = NodeEndpoint::new(bind(from)?, Tls::new(identity), AcceptedPeers::default())?;
        let (connection, _) = endpoint.connect_directory(directory, None).await?;
        Ok(Self { connection, _endpoint: endpoint })
    }
}

/// One request on a stream of its own; a refusal is an error.
///
/// # Errors
/// The refusal, or whatever kept the answer away.
pub async fn ask(connection: &Connection, request: &Request) -> Result<Reply, Failed> {
    Ok(answer(connection, request).await??)
}

/// One request on a stream of its own, and what came of it.
///
/// # Errors
/// Whatever kept the answer away: it may have happened or not.
pub async fn answer(connection: &Connection, request: &Request) -> Result<Result<Reply, Refusal>, Failed> {
    let (mut send, mut receive) = connection.open_bi().await?;
    send.write_all(&frame::encode(request, DIRECTORY_FRAME_MAX)?).await?;
    send.finish()?;
    let bytes = receive.read_to_end(HEADER_LENGTH + DIRECTORY_FRAME_MAX).await?;
    let body = bytes.get(HEADER_LENGTH..).ok_or("no answer")?;
    Ok(frame::decode_body(body, DIRECTORY_FRAME_MAX)?)
}
