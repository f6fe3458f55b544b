//! The end: of a session, and of the account.

use mls_rs::CryptoProvider;
use protocol::{
    directory::{Refusal, Reply, Request},
    policy::PolicyRefusal,
};

use super::{AccountCommand, Kind, Stage, failures::misbehaves};
use crate::{
    command::{CommandToken, Failure, FailureCode, Outcome, Password},
    core::Core,
    event::ConnectionState,
    input::{Answer, CallId},
    link::Purpose,
    output::Effect,
};

impl<C: CryptoProvider + Clone> Core<C> {
    pub(crate) fn sign_out(&mut self, token: CommandToken) {
        if self.link.is_connected() {
            self.ask(Purpose::SignOut { token }, Request::SignOut);
        } else {
            self.on_signed_out(token);
        }
    }

    /// The session is over here in any case: without its password this profile says nothing any more.
    pub(crate) fn on_signed_out(&mut self, token: CommandToken) {
        self.account.session = false;
        self.account_changed = true;
        self.show_connection(ConnectionState::SignedOut);
        self.batch.effect(Effect::CloseDirectory);
        self.done(token, Ok(Outcome::SignedOut));
    }

    pub(crate) fn close_account(&mut self, token: CommandToken, password: Password) {
        let Some(name) = self.own().map(|own| own.name.clone()) else { return };
        if let Some(failure) = self.needed_in_a_group().or_else(|| self.still_has_money()) {
            return self.done(token, Err(failure));
        }
        self.start_account_command(token, name, password, Kind::Close { sent: false });
    }

    /// The password is proven: the account leaves its groups, as their members must see it signed, and then ends.
    pub(super) fn finish_close(&mut self, command: AccountCommand) {
        if let Some(failure) = self.needed_in_a_group().or_else(|| self.still_has_money()) {
            return self.done(command.token, Err(failure));
        }
        self.leave_every_group();
        self.account_flow.command = Some(AccountCommand { stage: Stage::Leaving, ..command });
    }

    /// Closes the account when it has left its groups. What this device can't leave, since it is not back in it, the
    /// directory does.
    pub(super) fn close_once_left(&mut self) {
        if self.leaves_groups() {
            return;
        }
        let Some(command) = self.take_stage(|stage| matches!(stage, Stage::Leaving)) else { return };
        let call = self.ask(Purpose::CloseAccount, Request::CloseAccount);
        let kind = Kind::Close { sent: true };
        self.account_flow.command = Some(AccountCommand { kind, stage: Stage::Finishing(call), ..command });
    }

    pub(crate) fn on_account_closed(&mut self, call: CallId, answer: Answer) {
        let Some(command) = self.take_stage(|stage| matches!(stage, Stage::Finishing(own) if *own == call)) else {
            return;
        };
        // Whoever asks again after a lost answer finds no account any more: that is what was asked for.
        let gone = matches!(answer, Answer::Refusal(Refusal::NotSignedIn | Refusal::WrongCredentials));
        if matches!(answer, Answer::Refusal(Refusal::Policy(PolicyRefusal::LastOwner))) {
            let text = "a group of yours would have no owner, and the account is not closed; LIST MINE shows your groups, \
                        and PROMOTE GROUP NAME makes an admin, and again an owner";
            return self.done(command.token, Err(Failure::new(FailureCode::Refused, text)));
        }
        if !gone {
            let Ok((reply, kept)) = self.account_reply(command, answer) else { return };
            if reply != Reply::Done {
                return self.done(kept.token, Err(misbehaves()));
            }
            return self.end_account(kept.token);
        }
        self.end_account(command.token);
    }

    pub(super) fn end_account(&mut self, token: CommandToken) {
        self.account.closed = true;
        self.account.session = false;
        self.account_changed = true;
        self.show_connection(ConnectionState::SignedOut);
        self.batch.effect(Effect::CloseDirectory);
        self.done(token, Ok(Outcome::Done));
    }
}
