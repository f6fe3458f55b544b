//! The end of actors and of the whole: what is still to be handed over, and what would be lost.

use std::time::Duration;

use node_core::command::{Command, Failure, FailureCode, Outcome};
use tokio::time::Instant;

use super::{Actor as _, Stage, runner::Runner};
use crate::language::Line;

impl<S: Stage> Runner<S> {
    /// Ends every actor's node.
    pub(super) async fn close(&mut self) {
        for player in self.players.values_mut() {
            if let Some(actor) = player.actor.take() {
                actor.close().await;
            }
        }
    }

    /// What a temporary profile leaves undone when it is closed is lost with it: noted, so that the end can say so.
    pub(super) async fn note_left(&mut self, name: Option<&str>, line: &Line) {
        let leaves = matches!(line, Line::Quit | Line::Core(Command::SignOut));
        let open = self.players.get(&name.map(str::to_owned)).is_some_and(|player| player.actor.is_some());
        let left = match leaves && open {
            true => match self.ask(name, Command::Status, self.timeout).await {
                Ok(Outcome::Status(status)) => status.queued + status.files,
                _ => 0,
            },
            false => 0,
        };
        if let Some(player) = self.players.get_mut(&name.map(str::to_owned)) {
            player.left = left;
        }
    }

    pub(super) async fn quit(&mut self, name: Option<&str>) {
        // What it saw until now stays in its log.
        self.see_all();
        if let Some(player) = self.players.get_mut(&name.map(str::to_owned))
            && let Some(actor) = player.actor.take()
        {
            actor.close().await;
        }
    }

    /// The end of a script waits until nothing is queued; what is still pending in a temporary profile is lost.
    pub(super) async fn settle(&mut self) -> Result<(), Failure> {
        let until = Instant::now() + self.timeout;
        let all: Vec<Option<String>> = self.players.keys().cloned().collect();
        for name in all {
            let player = self.players.get(&name);
            let mut pending = player.is_some_and(|player| player.left > 0);
            if player.is_some_and(|player| player.actor.is_some()) {
                let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
                // Signed out, or never signed in: nothing more can be waited for.
                if let Err(failure) = self.ask(name.as_deref(), Command::WaitIdle, left).await {
                    pending |= matches!(failure.code, FailureCode::Timeout | FailureCode::Unreachable);
                }
            }
            self.see_all();
            if pending && self.stage.is_temporary(name.as_deref()) {
                let who = name.as_deref().unwrap_or("this profile");
                let text = format!(
                    "messages or files of {who} are still on their way, and its profile is temporary: they are lost"
                );
                return Err(Failure::new(FailureCode::Unreachable, text));
            }
        }
        Ok(())
    }
}
