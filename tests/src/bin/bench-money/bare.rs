//! Bare QUIC round trips: as many connections as clients wait, sockets of their own, bytes as many as an order and its answer
//! have, nothing looked at and nothing kept. What packets alone take of the same cores in the same run.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Instant,
};

use quinn::{ClientConfig, Connection, Endpoint, ServerConfig};
use tests::fixture::{Failed, address};
use tokio::runtime::Runtime;

use super::{Moment, Run};

/// Bytes of an order as it is handed in.
const ORDER: usize = 300;
/// Bytes of its answer: a receipt with the payer's certificate and the proof of a log of some hundred thousand entries.
const ANSWER: usize = 1_500;

/// So many round trips, each client waiting for each of its own.
pub(super) fn measure(here: &Runtime, there: &Runtime, waiting: usize, count: usize) -> Result<Run, Failed> {
    let key = rcgen::generate_simple_self_signed(["tuppence.invalid".to_owned()])?;
    let certificate = key.cert.der().clone();
    let private = rustls::pki_types::PrivateKeyDer::try_from(key.signing_key.serialize_der())?;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.clone())?;
    let config = ClientConfig::with_root_certificates(Arc::new(roots))?;
    let server = {
        let _runtime = there.enter();
        let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Endpoint::server(ServerConfig::with_single_cert(vec![certificate], private)?, local)?
    };
    let at = server.local_addr()?;
    there.spawn(accept(server.clone()));
    let run = here.block_on(async {
        let mut clients = Vec::new();
        for number in 0..waiting {
            let endpoint = Endpoint::client(address(number))?;
            let connection = endpoint.connect_with(config.clone(), at, "tuppence.invalid")?.await?;
            clients.push((endpoint, connection));
        }
        let begun = Moment::now();
        let tasks: Vec<_> =
            clients.into_iter().map(|client| tokio::spawn(ask(client, count.div_ceil(waiting)))).collect();
        let mut times = Vec::new();
        for task in tasks {
            times.extend(task.await??);
        }
        Ok::<_, Failed>(Run::new(begun, times))
    });
    server.close(0_u32.into(), b"");
    run
}

async fn ask(
    (_endpoint, connection): (Endpoint, Connection),
    count: usize,
) -> Result<Vec<std::time::Duration>, Failed> {
    let order = [7; ORDER];
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let begun = Instant::now();
        let (mut send, mut receive) = connection.open_bi().await?;
        send.write_all(&order).await?;
        send.finish()?;
        if receive.read_to_end(ANSWER).await?.len() != ANSWER {
            return Err("an answer is too short".into());
        }
        times.push(begun.elapsed());
    }
    Ok(times)
}

async fn accept(server: Endpoint) {
    while let Some(incoming) = server.accept().await {
        tokio::spawn(async move {
            let connection = incoming.await?;
            loop {
                let (mut send, mut receive) = connection.accept_bi().await?;
                receive.read_to_end(ORDER).await?;
                send.write_all(&[7; ANSWER]).await?;
                send.finish()?;
            }
            #[expect(unreachable_code, reason = "it names the type of the error that ends the loop")]
            Ok::<(), Failed>(())
        });
    }
}
