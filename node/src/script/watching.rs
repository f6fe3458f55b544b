//! Watching: what the actors see, and waiting for what a script expects of it.

use std::time::Duration;

use node_core::command::{Failure, FailureCode};
use tokio::time::{Instant, timeout_at};

use super::{
    Actor, Stage,
    expect::{Filters, Kind},
    runner::{Runner, not_met, usage},
};

impl<S: Stage> Runner<S> {
    /// Takes in what every actor has seen.
    pub(super) fn see_all(&mut self) {
        for (name, player) in &mut self.players {
            while let Some(event) = player.actor.as_mut().and_then(Actor::try_next_event) {
                self.output.event(name.as_deref().unwrap_or("me"), &event);
                player.log.push(event);
            }
        }
    }

    /// Waits for an actor's next event; `false` when the time is over.
    async fn see_next(&mut self, name: Option<&str>, until: Instant) -> Result<bool, Failure> {
        self.actor(name).await?;
        let Some(player) = self.players.get_mut(&name.map(str::to_owned)) else { return Ok(false) };
        let Some(actor) = player.actor.as_mut() else { return Ok(false) };
        match timeout_at(until, actor.next_event()).await {
            Ok(Some(event)) => {
                self.output.event(name.unwrap_or("me"), &event);
                player.log.push(event);
                Ok(true)
            }
            Ok(None) => Err(Failure::new(FailureCode::Other, "the actor's node has ended")),
            Err(_) => Ok(false),
        }
    }

    pub(super) async fn expect(
        &mut self,
        name: Option<&str>,
        kind: Kind,
        filters: &Filters,
        within: Duration,
        bind: Option<String>,
        text: &str,
    ) -> Result<(), Failure> {
        let until = Instant::now() + within;
        self.actor(name).await?;
        self.see_all();
        loop {
            let player = self.players.get_mut(&name.map(str::to_owned));
            if let Some(id) = player.and_then(|player| player.log.take(kind, filters)) {
                return match (bind, id) {
                    (Some(variable), Some(id)) => self.variables.set(&variable, id),
                    (Some(_), None) => Err(usage("such an event has no id that AS could keep")),
                    (None, _) => Ok(()),
                };
            }
            if !self.see_next(name, until).await? {
                return Err(not_met(format!("did not happen within {within:?}: {text}")));
            }
        }
    }

    pub(super) async fn expect_not(
        &mut self,
        name: Option<&str>,
        kind: Kind,
        filters: &Filters,
        within: Duration,
        text: &str,
    ) -> Result<(), Failure> {
        let until = Instant::now() + within;
        self.actor(name).await?;
        self.see_all();
        loop {
            let player = self.players.get(&name.map(str::to_owned));
            if player.is_some_and(|player| player.log.find(kind, filters).is_some()) {
                return Err(not_met(format!("it happened: {text}")));
            }
            if !self.see_next(name, until).await? {
                return Ok(());
            }
        }
    }
}
