//! The account's commands: each proves or sets a password with the directory (OPAQUE), then does one thing with it.
//!
//! There is one at a time. It goes through the same stages whatever it is for; where a connection is lost it begins
//! again from the first, since an exchange belongs to its connection. Password, export key and root key are held only
//! while their command runs.

mod adopting;
mod devices;
mod ending;
mod failures;
mod password;
mod sign_up;

pub use self::failures::WRONG_CREDENTIALS;

use mls_rs::CryptoProvider;
use protocol::{
    BoundedText, Name, Timestamp,
    certificate::SignedDeviceList,
    directory::{OpaqueMessage, Reply, Request},
};
use zeroize::Zeroizing;

use self::failures::{misbehaves, other_account, refused, swapped_backup, wrong_credentials};
use crate::{
    command::{CommandToken, Failure, FailureCode, Outcome, Password},
    core::Core,
    crypto::{keys::AccountSecrets, seal, seal::RecoveryCode},
    input::{Answer, CallId},
    link::Purpose,
    output::Effect,
    stretch::{
        LoginState, RegistrationState, StretchDone, StretchFailure, StretchJob, start_login, start_registration,
    },
};

/// How long after a lost answer the exchange starts again, in milliseconds.
const RETRY_MS: u64 = 1_000;
/// How often a command begins again because the account's devices changed meanwhile. Each loser waits for a winner, and
/// an account has few devices.
const RACES_MAX: u32 = 4;

/// What the account's command is waiting for.
enum Stage {
    /// For a connection to the directory.
    Connection,
    /// For the directory's first answer about a new password.
    Registering(CallId, RegistrationState),
    /// For the directory's first answer about the present one.
    LoggingIn(CallId, LoginState),
    /// For a password to be stretched; the number names the job.
    Stretching(CommandToken),
    /// For the directory to say that the password is right.
    Proving(CallId),
    /// For the account to be out of its groups.
    Leaving,
    /// For the directory's last answer.
    Finishing(CallId),
}

/// What a command is for.
enum Kind {
    SignUp {
        invite: Option<String>,
    },
    SignIn,
    Revoke {
        device: String,
    },
    /// `sent` once the new password may be in force; `new_first` when it is tried instead of the old one.
    Passwd {
        new: Password,
        sent: bool,
        new_first: bool,
    },
    /// `sent` once the account may be closed.
    Close {
        sent: bool,
    },
    Recover {
        code: RecoveryCode,
        found: Option<Box<(SignedDeviceList, AccountSecrets)>>,
    },
}

/// A command under way.
pub(crate) struct AccountCommand {
    token: CommandToken,
    name: Name,
    password: Password,
    kind: Kind,
    stage: Stage,
    /// What the proven password gave.
    export_key: Option<Zeroizing<Vec<u8>>>,
    /// What the backup held.
    secrets: Option<AccountSecrets>,
    races: u32,
}

/// What of an account is under way.
#[derive(Default)]
pub(crate) struct AccountFlow {
    command: Option<AccountCommand>,
    last_job: u64,
    /// A sign-up or an enrolment that is finished without a command, after a crash.
    finishing: Option<CallId>,
    /// When to start again after an answer was lost on a connection that stands.
    retry_at: Option<Timestamp>,
}

impl<C: CryptoProvider + Clone> Core<C> {
    pub(crate) fn sign_in(&mut self, token: CommandToken, name: Name, password: Password) {
        if let Err(failure) = self.check_name(&name) {
            return self.done(token, Err(failure));
        }
        self.start_account_command(token, name, password, Kind::SignIn);
    }

    fn start_account_command(&mut self, token: CommandToken, name: Name, password: Password, kind: Kind) {
        if self.account_flow.command.is_some() {
            let text = "another command on the account is under way; wait for it";
            return self.done(token, Err(Failure::new(FailureCode::Conflict, text)));
        }
        if self.account.closed {
            let text = format!("{name} was closed; start with --profile NAME and SIGNUP another name");
            return self.done(token, Err(Failure::new(FailureCode::Refused, text)));
        }
        let (stage, export_key, secrets, races) = (Stage::Connection, None, None, 0);
        let command = AccountCommand { token, name, password, kind, stage, export_key, secrets, races };
        self.account_flow.command = Some(command);
        if self.link.is_connected() {
            self.resume_account();
        }
    }

    /// A connection stands: goes on with what waits for one.
    pub(crate) fn resume_account(&mut self) {
        // What is begun now is not begun a second time: of two exchanges on one connection the directory knows the last.
        self.account_flow.retry_at = None;
        let unfinished = if let Some(pending) = &self.account.pending {
            Some((Purpose::SignUpFinish, Request::SignUpFinish(Box::new(pending.request.clone()))))
        } else {
            let pending = self.account.enrolling.as_ref();
            pending.map(|pending| (Purpose::Enrol, Request::UpdateDevices { devices: pending.account.devices.clone() }))
        };
        if let Some((purpose, request)) = unfinished {
            let call = self.ask(purpose, request);
            match &mut self.account_flow.command {
                Some(command) => command.stage = Stage::Finishing(call),
                None => self.account_flow.finishing = Some(call),
            }
            return;
        }
        let Some(command) = self.account_flow.command.take() else { return };
        match self.first_stage(&command) {
            Ok(stage) => {
                self.account_flow.command = Some(AccountCommand { stage, export_key: None, secrets: None, ..command });
            }
            Err(failure) => self.done(command.token, Err(failure)),
        }
    }

    fn first_stage(&mut self, command: &AccountCommand) -> Result<Stage, Failure> {
        let name = command.name.clone();
        match &command.kind {
            Kind::SignUp { invite } => {
                let invite = invite.clone().map(BoundedText::new).transpose();
                let invite = invite.map_err(|_| Failure::new(FailureCode::Usage, "that is no invite code"))?;
                let (state, registration) = self.registration(&command.password)?;
                let request = Request::SignUpStart { name, invite, registration };
                Ok(Stage::Registering(self.ask(Purpose::RegistrationStart, request), state))
            }
            Kind::Recover { .. } => {
                let (state, registration) = self.registration(&command.password)?;
                let request = Request::RecoveryStart { name, registration };
                Ok(Stage::Registering(self.ask(Purpose::RegistrationStart, request), state))
            }
            Kind::Passwd { new, new_first: true, .. } => self.login(name, new),
            Kind::SignIn | Kind::Revoke { .. } | Kind::Close { .. } | Kind::Passwd { .. } => {
                self.login(name, &command.password)
            }
        }
    }

    fn registration(&mut self, password: &Password) -> Result<(RegistrationState, OpaqueMessage), Failure> {
        start_registration(password, &mut *self.entropy)
            .map_err(|error| Failure::new(FailureCode::Usage, error.to_string()))
    }

    fn login(&mut self, name: Name, password: &Password) -> Result<Stage, Failure> {
        let (state, credential) = start_login(password, &mut *self.entropy)
            .map_err(|error| Failure::new(FailureCode::Usage, error.to_string()))?;
        let call = self.ask(Purpose::SignInStart, Request::SignInStart { name, credential });
        Ok(Stage::LoggingIn(call, state))
    }

    /// The connection is gone; what was under way starts again with the next one.
    pub(crate) fn interrupt_account(&mut self) {
        self.account_flow.finishing = None;
        if let Some(command) = &mut self.account_flow.command {
            command.stage = Stage::Connection;
        }
    }

    /// Whoever asked waits no longer. What the directory has perhaps heard of goes on by itself.
    pub(crate) fn abandon_account(&mut self, token: CommandToken) -> bool {
        let own = self.account_flow.command.as_ref().is_some_and(|command| command.token == token);
        if own
            && let Some(command) = self.account_flow.command.take()
            && matches!(command.kind, Kind::Close { .. })
        {
            self.stay_in_groups();
        }
        own
    }

    fn next_job(&mut self) -> (CommandToken, [u8; 32]) {
        self.account_flow.last_job += 1;
        let mut seed = [0; 32];
        self.entropy.fill_bytes(&mut seed);
        (CommandToken(self.account_flow.last_job), seed)
    }

    /// The directory answered the start of a new password.
    pub(crate) fn on_registration_started(&mut self, call: CallId, answer: Answer) {
        let Some(mut command) = self.take_stage(|stage| matches!(stage, Stage::Registering(own, _) if *own == call))
        else {
            return;
        };
        let Stage::Registering(_, state) = std::mem::replace(&mut command.stage, Stage::Connection) else { return };
        let reply = match self.account_reply(command, answer) {
            Ok((reply, kept)) => {
                command = kept;
                reply
            }
            Err(()) => return,
        };
        let response = match (reply, &mut command.kind) {
            (Reply::RecoveryStarted { registration, devices, recovery_backup }, Kind::Recover { code, found }) => {
                match Self::open_recovery(&devices, &recovery_backup, code) {
                    Ok(secrets) => *found = Some(Box::new((devices, secrets))),
                    Err(failure) => return self.done(command.token, Err(failure)),
                }
                registration
            }
            (Reply::SignUpStarted { registration }, Kind::SignUp { .. } | Kind::Passwd { .. }) => registration,
            _ => return self.done(command.token, Err(misbehaves())),
        };
        let (job, seed) = self.next_job();
        let password = match &command.kind {
            Kind::Passwd { new, .. } => new.duplicate(),
            _ => command.password.duplicate(),
        };
        let stretch = StretchJob::registration(job, state, password, response, self.config.stretch, seed);
        self.batch.effect(Effect::Stretch { job: Box::new(stretch) });
        command.stage = Stage::Stretching(job);
        self.account_flow.command = Some(command);
    }

    /// The directory answered the start of a login.
    pub(crate) fn on_sign_in_started(&mut self, call: CallId, answer: Answer) {
        let Some(mut command) = self.take_stage(|stage| matches!(stage, Stage::LoggingIn(own, _) if *own == call))
        else {
            return;
        };
        let Stage::LoggingIn(_, state) = std::mem::replace(&mut command.stage, Stage::Connection) else { return };
        let Ok((reply, mut command)) = self.account_reply(command, answer) else { return };
        let Reply::SignInStarted { credential } = reply else { return self.done(command.token, Err(misbehaves())) };
        let Some(exporter) = self.link.exporter() else { return self.put_back(command) };
        let (job, seed) = self.next_job();
        let password = match &command.kind {
            Kind::Passwd { new, new_first: true, .. } => new.duplicate(),
            _ => command.password.duplicate(),
        };
        let stretch = StretchJob::login(job, state, password, credential, exporter, self.config.stretch, seed);
        self.batch.effect(Effect::Stretch { job: Box::new(stretch) });
        command.stage = Stage::Stretching(job);
        self.account_flow.command = Some(command);
    }

    pub(crate) fn on_stretched(&mut self, done: StretchDone) {
        let job = done.job();
        let Some(mut command) = self.take_stage(|stage| matches!(stage, Stage::Stretching(own) if *own == job)) else {
            return;
        };
        match done {
            StretchDone::Registered { upload, export_key, .. } => match &command.kind {
                Kind::SignUp { .. } => self.finish_sign_up(command, upload, &export_key),
                Kind::Recover { .. } => self.finish_recovery(command, upload, &export_key),
                Kind::Passwd { .. } => self.finish_passwd(command, upload, &export_key),
                Kind::SignIn | Kind::Revoke { .. } | Kind::Close { .. } => self.put_back(command),
            },
            StretchDone::LoggedIn { finalization, export_key, .. } => {
                let call = self.ask(Purpose::SignInFinish, Request::SignInFinish { credential: finalization });
                command.export_key = Some(export_key);
                self.account_flow.command = Some(AccountCommand { stage: Stage::Proving(call), ..command });
            }
            StretchDone::Failed { reason: StretchFailure::WrongPassword, .. } => {
                // The old password is wrong because the new one is in force, if its answer was lost.
                if let Kind::Passwd { sent: true, new_first, .. } = &mut command.kind
                    && !std::mem::replace(new_first, true)
                {
                    return self.put_back(command);
                }
                // And a password that was right is wrong now because the account is gone, if that answer was lost.
                if matches!(command.kind, Kind::Close { sent: true }) {
                    return self.end_account(command.token);
                }
                self.done(command.token, Err(wrong_credentials()));
            }
            StretchDone::Failed { reason: StretchFailure::Malformed, .. } => {
                self.done(command.token, Err(misbehaves()));
            }
        }
    }

    /// The directory said whether the password is right.
    pub(crate) fn on_signed_in(&mut self, call: CallId, answer: Answer) {
        let Some(command) = self.take_stage(|stage| matches!(stage, Stage::Proving(own) if *own == call)) else {
            return;
        };
        let Ok((reply, mut command)) = self.account_reply(command, answer) else { return };
        let Reply::SignedIn { account, devices, root_backup, book, enrolled } = reply else {
            return self.done(command.token, Err(misbehaves()));
        };
        if self.own().is_some_and(|own| own.account != account) {
            return self.done(command.token, Err(other_account(&command.name)));
        }
        let list = match self.check_own_list(account, &devices) {
            Ok(list) => list,
            Err(failure) => return self.done(command.token, Err(failure)),
        };
        if matches!(command.kind, Kind::SignIn) && enrolled && self.is_device() {
            return self.on_session_begun(command, devices, &list);
        }
        let secrets = command.export_key.take().map(|key| seal::open_root(&root_backup, &key, account));
        match secrets {
            Some(Ok(secrets)) if secrets.root.public() == list.root_key => command.secrets = Some(secrets),
            _ => return self.done(command.token, Err(swapped_backup())),
        }
        match &command.kind {
            Kind::SignIn if self.is_device() => self.retire(command),
            Kind::SignIn => self.join(command, devices, book, enrolled),
            Kind::Revoke { .. } => self.revoke(command, devices, &list),
            Kind::Passwd { new_first: true, .. } => self.done(command.token, Ok(Outcome::Done)),
            Kind::Passwd { .. } => self.start_passwd(command),
            Kind::Close { .. } => self.finish_close(command),
            Kind::SignUp { .. } | Kind::Recover { .. } => self.done(command.token, Err(misbehaves())),
        }
    }

    /// The reply, with the command back; or the command has ended or waits to begin again.
    fn account_reply(&mut self, command: AccountCommand, answer: Answer) -> Result<(Reply, AccountCommand), ()> {
        match answer {
            Answer::Reply(reply) => Ok((*reply, command)),
            Answer::Refusal(refusal) => {
                self.done(command.token, Err(refused(&refusal)));
                Err(())
            }
            Answer::Lost => {
                self.put_back(command);
                Err(())
            }
        }
    }

    fn take_stage(&mut self, is: impl Fn(&Stage) -> bool) -> Option<AccountCommand> {
        self.account_flow.command.take_if(|command| is(&command.stage))
    }

    fn put_back(&mut self, command: AccountCommand) {
        self.account_flow.command = Some(AccountCommand { stage: Stage::Connection, ..command });
        // An answer can be lost on a connection that stands; then nothing else would start it again.
        if self.link.is_connected() {
            self.account_flow.retry_at = Some(self.now.plus_ms(RETRY_MS));
        }
    }

    pub(crate) fn reconcile_account(&mut self) {
        if self.link.is_connected() && self.account_flow.retry_at.is_some_and(|at| at <= self.now) {
            self.account_flow.retry_at = None;
            self.resume_account();
        }
        self.close_once_left();
    }

    pub(crate) fn account_timer(&self) -> Option<Timestamp> {
        self.account_flow.retry_at.filter(|_| self.link.is_connected())
    }
}
