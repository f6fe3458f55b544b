//! Payments by clients that wait for each: handed to the service in this process, or to a directory through QUIC.

use std::{
    path::Path,
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use directory::{
    core::{Begun, Caller, Handled, Money, Service, ServiceConfig},
    server::{Server, Settings, settling},
    store::sqlite::SqliteStore,
};
use protocol::{
    directory::{LedgerReply, LedgerRequest, Registration, Reply, Request},
    money::Amount,
};
use tests::{
    client::{Client, ask},
    fixture::{Account, Failed, address, now},
};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::{
    Moment, Run, cores,
    payers::{Payers, Signed, open},
};

type Paid = Result<Duration, Failed>;

fn request(signed: Signed) -> Request {
    Request::Ledger(Box::new(LedgerRequest::Settle { order: signed.order }))
}

fn is_settled(reply: &Reply) -> bool {
    matches!(reply, Reply::Ledger(reply) if matches!(**reply, LedgerReply::Settled(_)))
}

/// The service over its stores on disk, as a directory has it, without the network; on as many threads as there are cores.
pub(super) fn process(folder: &Path, payers: &Payers, orders: Vec<Signed>, waiting: usize) -> Result<Run, Failed> {
    let book = Arc::new(open(folder)?);
    let settle = Arc::new(settling::start(Arc::clone(&book), None, CancellationToken::new())?);
    let money = Money { book, settle, opening: Amount::ZERO };
    let config = ServiceConfig { registration: Registration::Open, presence_to_everyone: true, seed: [7; 32] };
    let service = Service::with_money(SqliteStore::open(folder)?, money, config, |_| std::process::abort())?;
    let threads = cores().min(waiting);
    let share = orders.len().div_ceil(threads);
    let shares: Vec<_> = orders
        .chunks(share)
        .map(|orders| Ok::<_, Failed>((orders, callers(&service, payers)?)))
        .collect::<Result<_, _>>()?;
    let begun = Moment::now();
    let paid = thread::scope(|scope| {
        let hands: Vec<_> = shares
            .into_iter()
            .map(|(orders, callers)| scope.spawn(|| hand_in(&service, callers, orders, waiting / threads)))
            .collect();
        let mut paid = Vec::new();
        for hand in hands {
            paid.extend(hand.join().map_err(|_| "a thread ended badly")??);
        }
        Ok::<_, Failed>(paid)
    })?;
    Ok(Run::new(begun, paid))
}

/// Everybody's connection, as the service knows it.
fn callers(service: &Service<SqliteStore>, payers: &Payers) -> Result<Vec<Caller>, Failed> {
    let connect = |(number, account): (usize, &Account)| {
        let mut caller = Caller::new(account.certificate.entry()?.tls_key, [0; 32], address(number));
        service.connected(now(), &mut caller);
        Ok(caller)
    };
    payers.accounts.iter().enumerate().map(connect).collect()
}

/// Hands orders in, so many waiting at a time.
fn hand_in(
    service: &Service<SqliteStore>,
    mut callers: Vec<Caller>,
    orders: &[Signed],
    waiting: usize,
) -> Result<Vec<Duration>, Failed> {
    let (settled, answers) = mpsc::channel();
    let mut paid = Vec::with_capacity(orders.len());
    let mut under_way = 0;
    for order in orders {
        while under_way >= waiting.max(1) {
            paid.push(answers.recv()??);
            under_way -= 1;
        }
        let begun = Instant::now();
        let caller = callers.get_mut(order.payer).ok_or("a payer")?;
        let Begun::Later(pending) = service.begin(now(), caller, request(order.clone())) else {
            return Err("an order was refused at the door".into());
        };
        let settled = settled.clone();
        pending.settle(move |Handled { answer, .. }| {
            let paid: Paid = match answer {
                Ok(reply) if is_settled(&reply) => Ok(begun.elapsed()),
                other => Err(format!("{other:?}").into()),
            };
            let _ = settled.send(paid);
        });
        under_way += 1;
    }
    for _ in 0..under_way {
        paid.push(answers.recv()??);
    }
    Ok(paid)
}

/// A directory and as many connections as clients wait, each client with one order at a time; each side on threads of its own.
pub(super) fn quic(
    folder: &Path,
    payers: &Payers,
    orders: Vec<Signed>,
    (waiting, here, there): (usize, &Runtime, &Runtime),
) -> Result<Run, Failed> {
    let server = there.block_on(Server::start(Settings::in_folder(folder)))?;
    let mut queues: Vec<Vec<Signed>> = vec![Vec::new(); waiting];
    for order in orders {
        queues.get_mut(order.payer).ok_or("a client")?.push(order);
    }
    let run = here.block_on(async {
        let mut clients = Vec::new();
        for (number, account) in payers.accounts.iter().enumerate().take(waiting) {
            clients.push(Client::connect(server.local_addr(), account, address(number)).await?);
        }
        let begun = Moment::now();
        let pairs = clients.into_iter().zip(queues);
        let tasks: Vec<_> = pairs.map(|(client, orders)| tokio::spawn(pay(client, orders))).collect();
        let mut paid = Vec::new();
        for task in tasks {
            paid.extend(task.await??);
        }
        Ok(Run::new(begun, paid))
    });
    there.block_on(server.shutdown());
    run
}

async fn pay(client: Client, orders: Vec<Signed>) -> Result<Vec<Duration>, Failed> {
    let mut paid = Vec::with_capacity(orders.len());
    for order in orders {
        let begun = Instant::now();
        let reply = ask(&client.connection, &request(order)).await?;
        if !is_settled(&reply) {
            return Err(format!("{reply:?}").into());
        }
        paid.push(begun.elapsed());
    }
    Ok(paid)
}
