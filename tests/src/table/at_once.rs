//! Several commands at once, ones whose end nobody waits for, and what happens to files outside.

use node_core::{
    command::{Command, CommandResult, CommandToken},
    input::{FileInput, Input},
};

use super::{COMMAND_MS, Seat, Table};

impl Table {
    /// Gives a command and waits for nothing but what comes of it at once.
    pub fn begin(&mut self, seat: Seat, command: Command) -> CommandToken {
        self.tokens += 1;
        let token = CommandToken(self.tokens);
        self.queue.push_back((seat, Input::Command { token, command }));
        self.settle();
        token
    }

    /// Something happens to a node's files.
    pub fn happen(&mut self, seat: Seat, input: FileInput) {
        self.queue.push_back((seat, Input::File(input)));
        self.settle();
    }

    /// Whether a node is awake.
    #[must_use]
    pub fn is_awake(&self, seat: Seat) -> bool {
        self.guests[seat].core.is_some()
    }

    /// Gives several nodes a command each before any of them hears an answer, and waits for all their ends.
    ///
    /// # Panics
    /// If one has not ended within thirty seconds of virtual time, and not even then when it is given up.
    #[expect(clippy::expect_used, reason = "for tests")]
    pub fn commands(&mut self, all: Vec<(Seat, Command)>) -> Vec<CommandResult> {
        let mut given = Vec::new();
        for (seat, command) in all {
            self.tokens += 1;
            let token = CommandToken(self.tokens);
            self.queue.push_back((seat, Input::Command { token, command }));
            given.push((seat, token));
        }
        self.settle();
        let until = self.now.plus_ms(COMMAND_MS);
        let open = |table: &Self| given.iter().any(|(seat, token)| !table.guests[*seat].results.contains_key(token));
        while open(self) && self.now < until {
            self.step(until);
        }
        for (seat, token) in &given {
            if !self.guests[*seat].results.contains_key(token) {
                self.queue.push_back((*seat, Input::Abandoned { token: *token }));
            }
        }
        self.settle();
        given
            .iter()
            .map(|(seat, token)| self.guests[*seat].results.remove(token).expect("a command that ends"))
            .collect()
    }
}
