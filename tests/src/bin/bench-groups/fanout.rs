//! Bare QUIC: the same frame to many connections, nothing sealed and nothing stored.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use tests::fixture::{Failed, cpu};

/// Length of a frame: a short message, sealed and padded, in its envelope.
const FRAME: usize = 640;
/// Frames written altogether.
const FRAMES: usize = 50_000;

/// Frames for each second of CPU, both ends', to so many connections one after the other.
pub(super) async fn per_second(connections: usize) -> Result<f64, Failed> {
    let key = rcgen::generate_simple_self_signed(["tuppence.invalid".to_owned()])?;
    let certificate = key.cert.der().clone();
    let private = rustls::pki_types::PrivateKeyDer::try_from(key.signing_key.serialize_der())?;
    let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let server =
        quinn::Endpoint::server(quinn::ServerConfig::with_single_cert(vec![certificate.clone()], private)?, local)?;
    let address = server.local_addr()?;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate)?;
    let client = quinn::Endpoint::client(local)?;
    let config = quinn::ClientConfig::with_root_certificates(Arc::new(roots))?;
    let (mut streams, mut readers) = (Vec::new(), Vec::new());
    for _ in 0..connections {
        let connecting = client.connect_with(config.clone(), address, "tuppence.invalid")?;
        let incoming = server.accept().await.ok_or("no connection")?;
        let (there, here) =
            tokio::try_join!(async { Ok::<_, Failed>(incoming.await?) }, async { Ok(connecting.await?) })?;
        streams.push(there.open_uni().await?);
        readers.push(tokio::spawn(async move {
            let (mut stream, mut total) = (here.accept_uni().await?, 0);
            let mut buffer = vec![0; 64 * 1024];
            while let Some(length) = stream.read(&mut buffer).await? {
                total += length;
            }
            Ok::<_, Failed>(total)
        }));
    }
    let (frame, begun) = (vec![7; FRAME], cpu());
    for _ in 0..FRAMES / connections {
        for stream in &mut streams {
            stream.write_all(&frame).await?;
        }
    }
    for stream in &mut streams {
        stream.finish()?;
    }
    let mut total = 0;
    for reader in readers {
        total += reader.await??;
    }
    Ok((total / FRAME) as f64 / (cpu() - begun).as_secs_f64())
}
