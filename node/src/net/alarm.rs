//! What makes a panic in any task of a node known to its driver, so that the node ends instead of hanging.

use tokio_util::sync::CancellationToken;

/// Raised by the first task that panics. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Alarm(CancellationToken);

impl Alarm {
    /// Held by a task for as long as it runs.
    #[must_use]
    pub fn guard(&self) -> AlarmGuard {
        AlarmGuard(self.0.clone())
    }

    /// Completes when a task has panicked.
    pub async fn raised(&self) {
        self.0.cancelled().await;
    }
}

/// Raises the alarm if it is dropped by a panic.
#[derive(Debug)]
pub struct AlarmGuard(CancellationToken);

impl Drop for AlarmGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_panics_raises_the_alarm_and_one_that_ends_does_not() {
        let alarm = Alarm::default();
        let guard = alarm.guard();
        tokio::spawn(async move { drop(guard) }).await.unwrap();
        assert!(!alarm.0.is_cancelled());
        let guard = alarm.guard();
        tokio::spawn(async move {
            let _guard = guard;
            panic!("on purpose");
        });
        alarm.raised().await;
    }
}
