//! What goes wrong and how often: one setting for a whole run, drawn from its seed.

use super::chance::Chance;

/// Chances are in parts of a million; times in milliseconds.
#[derive(Debug, Clone, Default)]
pub struct Weather {
    /// Whether frames and requests are lost, repeated and reordered singly, as no QUIC connection would do it: the cores
    /// must survive that too.
    pub hostile: bool,
    /// Shortest and longest way of anything between two participants.
    pub delay_ms: (u64, u64),
    /// A frame between peers is lost; with its connection, unless the weather is hostile.
    pub frame_lost: u64,
    /// A frame comes twice (hostile weather only).
    pub frame_twice: u64,
    /// A request is lost before the directory sees it.
    pub request_lost: u64,
    /// The answer to a request is lost.
    pub answer_lost: u64,
    /// A request is carried out twice (hostile weather only).
    pub request_twice: u64,
    /// The directory leaves a Welcome or a commit out of a drain (hostile weather only).
    pub handshake_withheld: u64,
    /// A dial finds nobody although somebody is there.
    pub dial_fails: u64,
    /// A node dies, at each point where it can.
    pub node_crash: u64,
    /// A node's disk is full, at each commit.
    pub disk_full: u64,
    /// The directory dies, at each point where it can.
    pub directory_crash: u64,
    /// A partition begins, each second.
    pub partition: u64,
}

impl Weather {
    /// Nothing goes wrong.
    #[must_use]
    pub fn calm() -> Self {
        Self { delay_ms: (1, 20), ..Self::default() }
    }

    /// Much goes wrong; how much, the seed decides.
    #[must_use]
    pub fn stormy(chance: &mut Chance) -> Self {
        let hostile = chance.happens(400_000);
        let mut up_to = |most: u64| if chance.happens(300_000) { 0 } else { chance.between(0, most) };
        Self {
            hostile,
            delay_ms: (1, 20 + up_to(600)),
            frame_lost: up_to(if hostile { 150_000 } else { 15_000 }),
            frame_twice: up_to(if hostile { 150_000 } else { 0 }),
            request_lost: up_to(40_000),
            answer_lost: up_to(40_000),
            request_twice: up_to(if hostile { 80_000 } else { 0 }),
            handshake_withheld: up_to(if hostile { 200_000 } else { 0 }),
            dial_fails: up_to(300_000),
            node_crash: up_to(8_000),
            disk_full: up_to(4_000),
            directory_crash: up_to(5_000),
            partition: up_to(30_000),
        }
    }
}
