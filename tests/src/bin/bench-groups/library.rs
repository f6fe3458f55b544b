//! What the MLS library alone does with the same tree, nothing stored.

use std::time::Duration;

use mls_rs::{Group, MlsMessage, group::ReceivedMessage};
use protocol::Timestamp;
use tests::{
    crowd::{Config, Crowd, client, mls_time},
    fixture::{Account, Failed, cpu},
};

use super::median;

/// How often each thing is done.
const TIMES: usize = 9;
/// Messages sealed.
const SEALED: usize = 500;

/// What one thing costs each.
pub(super) struct Library {
    pub(super) commit: Duration,
    pub(super) apply: Duration,
    pub(super) join: Duration,
    pub(super) seal: Duration,
    pub(super) open: Duration,
    pub(super) bytes: usize,
}

fn timed<T, E: Into<Failed>>(of: &mut Vec<Duration>, what: impl FnOnce() -> Result<T, E>) -> Result<T, Failed> {
    let begun = cpu();
    let done = what().map_err(Into::into)?;
    of.push(cpu() - begun);
    Ok(done)
}

fn receive(group: &mut Group<Config>, message: MlsMessage, now: Timestamp) -> Result<ReceivedMessage, Failed> {
    Ok(group.process_incoming_message_with_time(message, mls_time(now))?)
}

pub(super) fn measure(now: Timestamp, crowd: &mut Crowd, stranger: &Account) -> Result<Library, Failed> {
    let (mut commits, mut applied, mut joins) = (Vec::new(), Vec::new(), Vec::new());
    let mut bytes = 0;
    for _ in 0..TIMES {
        let first = &mut crowd.first;
        let commit = timed(&mut commits, || first.commit_builder().commit_time(mls_time(now)).build())?.commit_message;
        bytes = commit.to_bytes()?.len();
        crowd.first.apply_pending_commit()?;
        let second = &mut crowd.second;
        timed(&mut applied, || receive(second, commit, now))?;
        let info = crowd.first.group_info_message_allowing_ext_commit(false)?;
        let tree = crowd.first.export_tree().into_owned();
        let client = client(stranger)?;
        timed(&mut joins, || {
            let builder = client.external_commit_builder()?.with_tree_data(tree).commit_time(mls_time(now));
            builder.build(info)
        })?;
    }
    let text = vec![7; 256];
    let (mut seal, mut open, mut sealed) = (Vec::new(), Vec::new(), Vec::new());
    let first = &mut crowd.first;
    timed(&mut seal, || {
        for _ in 0..SEALED {
            sealed.push(first.encrypt_application_message(&text, Vec::new())?);
        }
        Ok::<_, Failed>(())
    })?;
    let second = &mut crowd.second;
    timed(&mut open, || sealed.into_iter().try_for_each(|sealed| receive(second, sealed, now).map(|_| ())))?;
    let each = |spent: &[Duration]| spent.iter().sum::<Duration>() / u32::try_from(SEALED).unwrap_or(1);
    let (commit, apply, join) = (median(&mut commits), median(&mut applied), median(&mut joins));
    Ok(Library { commit, apply, join, seal: each(&seal), open: each(&open), bytes })
}
