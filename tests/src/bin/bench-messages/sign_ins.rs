//! Sign-ins at one directory by many clients at once, each with a connection of its own: the whole of OPAQUE, with the
//! stretching that its account was made with.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use node_core::{
    command::{CommandToken, Password},
    stretch::{StretchDone, StretchJob, start_login},
};
use protocol::directory::{Reply, Request};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use tests::{
    client::{Client, ask},
    fixture::{Account, Failed, PASSWORD, address},
};

/// What OPAQUE is bound to.
const EXPORTER: &[u8] = b"EXPORTER-tuppence-opaque";

/// Signs accounts in, so many at a time, and tells how many a second.
pub(super) async fn per_second(
    directory: SocketAddr,
    accounts: Arc<Vec<Account>>,
    at_a_time: usize,
) -> Result<f64, Failed> {
    let next = Arc::new(AtomicUsize::new(0));
    let begun = Instant::now();
    let clients: Vec<_> = (0..at_a_time)
        .map(|_| {
            let (accounts, next) = (Arc::clone(&accounts), Arc::clone(&next));
            tokio::spawn(async move {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(account) = accounts.get(index) else { return Ok::<_, Failed>(()) };
                    sign_in(directory, index, account).await?;
                }
            })
        })
        .collect();
    for client in clients {
        client.await??;
    }
    Ok(accounts.len() as f64 / begun.elapsed().as_secs_f64())
}

async fn sign_in(directory: SocketAddr, index: usize, account: &Account) -> Result<(), Failed> {
    let client = Client::connect(directory, account, address(index)).await?;
    let connection = &client.connection;
    let mut exporter = [0; 32];
    connection.export_keying_material(&mut exporter, EXPORTER, b"").map_err(|_| "no exporter")?;
    let password = Password::new(PASSWORD.to_owned());
    let mut rng = ChaCha20Rng::seed_from_u64(index as u64);
    let (state, credential) = start_login(&password, &mut rng)?;
    let start = Request::SignInStart { name: account.name.clone(), credential };
    let Reply::SignInStarted { credential } = ask(connection, &start).await? else {
        return Err("a sign-in does not start".into());
    };
    let job = StretchJob::login(CommandToken(1), state, password, credential, exporter, account.stretch, [9; 32]);
    let StretchDone::LoggedIn { finalization, .. } = tokio::task::spawn_blocking(|| job.run()).await? else {
        return Err("the password is not the account's".into());
    };
    let Reply::SignedIn { .. } = ask(connection, &Request::SignInFinish { credential: finalization }).await? else {
        return Err("a sign-in does not finish".into());
    };
    connection.close(0_u32.into(), b"");
    Ok(())
}
