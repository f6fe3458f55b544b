//! One request at a time towards one goal, tried again with growing, jittered delays until it is reached.
//!
//! The core reconciles: after each batch of inputs it looks at what is wanted and starts what is not under way. A
//! [`Flow`] says whether a goal may be worked on now, so that a lost answer is asked for again and a refusal never
//! becomes a storm.

use protocol::Timestamp;

use crate::input::CallId;

/// Delay after the first failure, in milliseconds: longer than a round trip, too short to be felt.
const DELAY_FIRST_MS: u64 = 200;
/// Longest delay, in milliseconds: what somebody at the prompt would wait before asking what is wrong.
const DELAY_MAX_MS: u64 = 15_000;
/// Doublings after which the longest delay is reached whatever the first.
const DOUBLINGS_MAX: u32 = 8;

/// Progress towards one goal.
#[derive(Debug, Clone, Default)]
pub(crate) struct Flow {
    under_way: Option<CallId>,
    not_before: Timestamp,
    failures: u32,
}

impl Flow {
    /// Whether a request may be started now.
    pub(crate) fn is_ready(&self, now: Timestamp) -> bool {
        self.under_way.is_none() && self.not_before <= now
    }

    /// Whether this call is the one under way.
    pub(crate) fn is(&self, call: CallId) -> bool {
        self.under_way == Some(call)
    }

    /// Whether anything is under way.
    pub(crate) fn is_busy(&self) -> bool {
        self.under_way.is_some()
    }

    /// When the next try may start, if it has to wait for time alone.
    pub(crate) fn due(&self) -> Option<Timestamp> {
        self.under_way.is_none().then_some(self.not_before)
    }

    /// A request has been started.
    pub(crate) fn start(&mut self, call: CallId) {
        self.under_way = Some(call);
    }

    /// The request was answered as wished.
    pub(crate) fn succeed(&mut self) {
        *self = Self::default();
    }

    /// The request failed; the next one waits. `jitter` is any random number.
    pub(crate) fn fail(&mut self, now: Timestamp, jitter: u64) {
        let delay = (DELAY_FIRST_MS << self.failures.min(DOUBLINGS_MAX)).min(DELAY_MAX_MS);
        self.under_way = None;
        self.failures = self.failures.saturating_add(1);
        self.not_before = now.plus_ms(delay / 2 + jitter % delay);
    }

    /// Nothing is tried before this moment.
    pub(crate) fn wait_until(&mut self, at: Timestamp) {
        self.under_way = None;
        self.not_before = at;
    }

    /// The world changed for the better: the next try may start at once. What is under way stays so.
    pub(crate) fn retry_now(&mut self) {
        self.not_before = Timestamp(0);
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_request_waits_longer_each_time_up_to_a_limit() {
        let mut flow = Flow::default();
        let mut delays = Vec::new();
        for _ in 0..12 {
            flow.start(CallId(1));
            flow.fail(Timestamp(0), 0);
            delays.push(flow.due().map(|at| at.0));
        }
        let expected = [100, 200, 400, 800, 1_600, 3_200, 6_400, 7_500, 7_500, 7_500, 7_500, 7_500];
        assert_eq!(delays, expected.map(Some));
    }

    #[test]
    fn nothing_starts_while_a_request_is_under_way_or_its_delay_runs() {
        let mut flow = Flow::default();
        assert!(flow.is_ready(Timestamp(0)));
        flow.start(CallId(7));
        assert!(!flow.is_ready(Timestamp(u64::MAX)) && flow.is(CallId(7)) && flow.due().is_none());
        flow.fail(Timestamp(1_000), 0);
        assert!(!flow.is_ready(Timestamp(1_099)) && flow.is_ready(Timestamp(1_100)));
        flow.succeed();
        assert!(flow.is_ready(Timestamp(0)));
    }
}
