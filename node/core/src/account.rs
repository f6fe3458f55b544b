//! Signing up, in and out: OPAQUE with the directory, the root key made, used and wiped.
//!
//! A sign-up is durable before the directory hears of it, so that a crash in between never leaves an account whose keys
//! nobody holds. The password is held only while its command runs.

use mls_rs::CryptoProvider;
use protocol::{
    BoundedText, DeviceId, Name, Timestamp,
    directory::{OpaqueMessage, Refusal, Reply, Request, SignUp},
    limits::CERTIFICATE_LIFETIME_MS,
};

use crate::{
    command::{CommandToken, Failure, FailureCode, Outcome, Password},
    core::Core,
    crypto::{
        keys::RootKey,
        seal::{self, RecoveryCode},
    },
    event::ConnectionState,
    input::{Answer, CallId},
    link::Purpose,
    output::Effect,
    records::{OwnAccount, PendingSignUp},
    stretch::{
        LoginState, RegistrationState, StretchDone, StretchFailure, StretchJob, start_login, start_registration,
    },
};

/// How long after a lost answer the exchange starts again, in milliseconds.
const RETRY_MS: u64 = 1_000;

/// What the account's command is waiting for.
enum Stage {
    /// For a connection to the directory.
    Connection,
    /// For the directory's first answer.
    Registering(CallId, RegistrationState),
    /// For the directory's first answer.
    LoggingIn(CallId, LoginState),
    /// For the password to be stretched; the number names the job.
    Stretching(CommandToken),
    /// For the directory's last answer.
    Finishing(CallId),
}

enum Kind {
    Up { invite: Option<String> },
    In,
}

/// A SIGNUP or SIGNIN under way. There is one at a time.
pub(crate) struct AccountCommand {
    token: CommandToken,
    name: Name,
    password: Password,
    kind: Kind,
    stage: Stage,
}

/// What of an account is under way.
#[derive(Default)]
pub(crate) struct AccountFlow {
    command: Option<AccountCommand>,
    last_job: u64,
    /// A sign-up that is finished without a command, after a crash.
    finishing: Option<CallId>,
    /// When to start again after an answer was lost on a connection that stands.
    retry_at: Option<Timestamp>,
}

impl<C: CryptoProvider + Clone> Core<C> {
    pub(crate) fn sign_up(&mut self, token: CommandToken, name: Name, password: Password, invite: Option<String>) {
        if let Some(own) = self.own() {
            let text = format!("this profile belongs to {}; start with --profile {name} for another one", own.name);
            return self.done(token, Err(Failure::new(FailureCode::Conflict, text)));
        }
        let pending = self.account.pending.as_ref().map(|pending| pending.account.name.clone());
        if let Some(pending) = pending.filter(|pending| *pending != name) {
            let text = format!("a sign-up as {pending} is not finished here; SIGNUP {pending} goes on with it");
            return self.done(token, Err(Failure::new(FailureCode::Conflict, text)));
        }
        self.start_account_command(token, name, password, Kind::Up { invite });
    }

    pub(crate) fn sign_in(&mut self, token: CommandToken, name: Name, password: Password) {
        if let Some(own) = self.own().filter(|own| own.name != name) {
            let text = format!("this profile belongs to {}; start with --profile {name} for another one", own.name);
            return self.done(token, Err(Failure::new(FailureCode::Conflict, text)));
        }
        self.start_account_command(token, name, password, Kind::In);
    }

    fn start_account_command(&mut self, token: CommandToken, name: Name, password: Password, kind: Kind) {
        if self.account_flow.command.is_some() {
            let text = "another SIGNUP or SIGNIN is under way; wait for it";
            return self.done(token, Err(Failure::new(FailureCode::Conflict, text)));
        }
        let stage = Stage::Connection;
        self.account_flow.command = Some(AccountCommand { token, name, password, kind, stage });
        if self.link.is_connected() {
            self.resume_account();
        }
    }

    /// A connection stands: goes on with what waits for one.
    pub(crate) fn resume_account(&mut self) {
        if let Some(pending) = &self.account.pending {
            let request = Request::SignUpFinish(Box::new(pending.request.clone()));
            let call = self.ask(Purpose::SignUpFinish, request);
            match &mut self.account_flow.command {
                Some(command) => command.stage = Stage::Finishing(call),
                None => self.account_flow.finishing = Some(call),
            }
            return;
        }
        let Some(command) = &self.account_flow.command else { return };
        let name = command.name.clone();
        let stage = match &command.kind {
            Kind::Up { invite } => {
                let invite = match invite.clone().map(BoundedText::new).transpose() {
                    Ok(invite) => invite,
                    Err(_) => return self.account_failed(FailureCode::Usage, "that is no invite code"),
                };
                match start_registration(&command.password, &mut *self.entropy) {
                    Ok((state, registration)) => {
                        let request = Request::SignUpStart { name, invite, registration };
                        Stage::Registering(self.ask(Purpose::SignUpStart, request), state)
                    }
                    Err(error) => return self.account_failed(FailureCode::Other, &error.to_string()),
                }
            }
            Kind::In => match start_login(&command.password, &mut *self.entropy) {
                Ok((state, credential)) => {
                    let call = self.ask(Purpose::SignInStart, Request::SignInStart { name, credential });
                    Stage::LoggingIn(call, state)
                }
                Err(error) => return self.account_failed(FailureCode::Other, &error.to_string()),
            },
        };
        if let Some(command) = &mut self.account_flow.command {
            command.stage = stage;
        }
    }

    /// The connection is gone; what was under way starts again with the next one.
    pub(crate) fn interrupt_account(&mut self) {
        self.account_flow.finishing = None;
        if let Some(command) = &mut self.account_flow.command {
            command.stage = Stage::Connection;
        }
    }

    /// Whoever asked waits no longer. A sign-up that the directory has perhaps heard of goes on by itself.
    pub(crate) fn abandon_account(&mut self, token: CommandToken) -> bool {
        let own = self.account_flow.command.as_ref().is_some_and(|command| command.token == token);
        if own {
            self.account_flow.command = None;
        }
        own
    }

    fn account_failed(&mut self, code: FailureCode, message: &str) {
        if let Some(command) = self.account_flow.command.take() {
            self.done(command.token, Err(Failure::new(code, message)));
        }
    }

    fn next_job(&mut self) -> (CommandToken, [u8; 32]) {
        self.account_flow.last_job += 1;
        let mut seed = [0; 32];
        self.entropy.fill_bytes(&mut seed);
        (CommandToken(self.account_flow.last_job), seed)
    }

    pub(crate) fn on_sign_up_started(&mut self, call: CallId, answer: Answer) {
        let Some(mut command) = self.take_stage(|stage| matches!(stage, Stage::Registering(own, _) if *own == call))
        else {
            return;
        };
        let Stage::Registering(_, state) = std::mem::replace(&mut command.stage, Stage::Connection) else { return };
        let response = match answer {
            Answer::Reply(reply) => match *reply {
                Reply::SignUpStarted { registration } => registration,
                _ => return self.end_account(command, Err(misbehaves())),
            },
            Answer::Refusal(refusal) => return self.end_account(command, Err(refused(&refusal))),
            Answer::Lost => return self.put_back(command),
        };
        let (job, seed) = self.next_job();
        let password = command.password.duplicate();
        let parameters = self.config.stretch;
        let job_effect = StretchJob::registration(job, state, password, response, parameters, seed);
        self.batch.effect(Effect::Stretch { job: Box::new(job_effect) });
        command.stage = Stage::Stretching(job);
        self.account_flow.command = Some(command);
    }

    pub(crate) fn on_sign_in_started(&mut self, call: CallId, answer: Answer) {
        let Some(mut command) = self.take_stage(|stage| matches!(stage, Stage::LoggingIn(own, _) if *own == call))
        else {
            return;
        };
        let Stage::LoggingIn(_, state) = std::mem::replace(&mut command.stage, Stage::Connection) else { return };
        let response = match answer {
            Answer::Reply(reply) => match *reply {
                Reply::SignInStarted { credential } => credential,
                _ => return self.end_account(command, Err(misbehaves())),
            },
            Answer::Refusal(refusal) => return self.end_account(command, Err(refused(&refusal))),
            Answer::Lost => return self.put_back(command),
        };
        let Some(exporter) = self.link.exporter() else { return self.put_back(command) };
        let (job, seed) = self.next_job();
        let password = command.password.duplicate();
        let parameters = self.config.stretch;
        let job_effect = StretchJob::login(job, state, password, response, exporter, parameters, seed);
        self.batch.effect(Effect::Stretch { job: Box::new(job_effect) });
        command.stage = Stage::Stretching(job);
        self.account_flow.command = Some(command);
    }

    pub(crate) fn on_stretched(&mut self, done: StretchDone) {
        let job = done.job();
        let Some(command) = self.take_stage(|stage| matches!(stage, Stage::Stretching(own) if *own == job)) else {
            return;
        };
        match done {
            StretchDone::Registered { upload, export_key, .. } => self.finish_sign_up(command, upload, &export_key),
            StretchDone::LoggedIn { finalization, .. } => {
                let call = self.ask(Purpose::SignInFinish, Request::SignInFinish { credential: finalization });
                self.account_flow.command = Some(AccountCommand { stage: Stage::Finishing(call), ..command });
            }
            StretchDone::Failed { reason: StretchFailure::WrongPassword, .. } => {
                self.end_account(command, Err(wrong_credentials()));
            }
            StretchDone::Failed { reason: StretchFailure::Malformed, .. } => {
                self.end_account(command, Err(misbehaves()));
            }
        }
    }

    /// Makes the account's root key, lets it sign this device, seals it, and forgets it.
    fn finish_sign_up(&mut self, command: AccountCommand, registration: OpaqueMessage, export_key: &[u8]) {
        let invite = match &command.kind {
            Kind::Up { invite } => invite.clone().and_then(|invite| BoundedText::new(invite).ok()),
            Kind::In => return,
        };
        let not_after = self.now.plus_ms(CERTIFICATE_LIFETIME_MS);
        let mut device = [0; 16];
        self.entropy.fill_bytes(&mut device);
        let device = DeviceId(device);
        let root = RootKey::generate(&mut *self.entropy);
        let root_key = root.public();
        let account = membership::account_id(&root_key);
        let code = RecoveryCode::generate(&mut *self.entropy);
        let made = root.certify(&self.keys, device, not_after).and_then(|certificate| {
            let devices = root.device_list(1, vec![certificate.clone()], not_after)?;
            Ok((certificate, devices))
        });
        let sealed = seal::seal_root(&root, export_key, account, &mut *self.entropy)
            .and_then(|backup| Ok((backup, seal::seal_root_with_code(&root, &code, account, &mut *self.entropy)?)));
        let (Ok((certificate, devices)), Ok((root_backup, recovery_backup))) = (made, sealed) else {
            let failure =
                Failure::new(FailureCode::Other, "a bug of this program: the account's keys cannot be sealed");
            return self.end_account(command, Err(failure));
        };
        let name = command.name.clone();
        let request =
            SignUp { name: name.clone(), invite, registration, devices: devices.clone(), root_backup, recovery_backup };
        let own = OwnAccount { name, account, root_key, device, certificate, devices };
        let recovery_code = code.to_string();
        self.account.pending = Some(PendingSignUp { request: request.clone(), account: own, recovery_code });
        self.account_changed = true;
        let call = self.ask(Purpose::SignUpFinish, Request::SignUpFinish(Box::new(request)));
        self.account_flow.command = Some(AccountCommand { stage: Stage::Finishing(call), ..command });
    }

    pub(crate) fn on_signed_up(&mut self, call: CallId, answer: Answer) {
        let command = self.take_stage(|stage| matches!(stage, Stage::Finishing(own) if *own == call));
        if command.is_none() && self.account_flow.finishing.take_if(|own| *own == call).is_none() {
            return;
        }
        match answer {
            Answer::Reply(reply) => match *reply {
                Reply::SignedIn { enrolled: true, .. } => self.on_account_made(command),
                _ => self.end_sign_up(command, misbehaves()),
            },
            Answer::Refusal(refusal) => {
                // A refusal for good: nothing of the attempt is an account, and the name is free to be tried anew.
                if !matches!(refusal, Refusal::RateLimited { .. } | Refusal::Unavailable) {
                    self.account.pending = None;
                    self.account_changed = true;
                }
                self.end_sign_up(command, refused(&refusal));
            }
            Answer::Lost => {
                if let Some(command) = command {
                    self.put_back(command);
                }
            }
        }
    }

    fn end_sign_up(&mut self, command: Option<AccountCommand>, failure: Failure) {
        if let Some(command) = command {
            self.end_account(command, Err(failure));
        }
    }

    fn on_account_made(&mut self, command: Option<AccountCommand>) {
        let Some(pending) = self.account.pending.take() else { return };
        let name = pending.account.name.clone();
        if let Err(error) = self.start_mls(&pending.account.certificate) {
            self.report_bug("the account's certificate cannot be used", &error);
        }
        self.account.own = Some(pending.account);
        self.account.session = true;
        self.account_changed = true;
        self.mail.want_all();
        if let Some(command) = command {
            let outcome = Outcome::SignedUp { name, recovery_code: pending.recovery_code };
            self.done(command.token, Ok(outcome));
        }
    }

    pub(crate) fn on_signed_in(&mut self, call: CallId, answer: Answer) {
        let Some(command) = self.take_stage(|stage| matches!(stage, Stage::Finishing(own) if *own == call)) else {
            return;
        };
        let reply = match answer {
            Answer::Reply(reply) => *reply,
            Answer::Refusal(refusal) => return self.end_account(command, Err(refused(&refusal))),
            Answer::Lost => return self.put_back(command),
        };
        let Reply::SignedIn { account, enrolled, .. } = reply else {
            return self.end_account(command, Err(misbehaves()));
        };
        let own = self.own().map(|own| own.account);
        if own.is_none() || !enrolled {
            let text = format!(
                "the password is right, but this profile is not a device of {}; sign in from the profile that signed up",
                command.name
            );
            return self.end_account(command, Err(Failure::new(FailureCode::Refused, text)));
        }
        if own != Some(account) {
            return self.end_account(command, Err(misbehaves()));
        }
        if !self.account.session {
            self.account.session = true;
            self.account_changed = true;
            self.mail.want_all();
        }
        self.wait_for_mail(command.token);
    }

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

    fn end_account(&mut self, command: AccountCommand, result: Result<Outcome, Failure>) {
        self.done(command.token, result);
    }

    pub(crate) fn reconcile_account(&mut self) {
        if self.link.is_connected() && self.account_flow.retry_at.is_some_and(|at| at <= self.now) {
            self.account_flow.retry_at = None;
            self.resume_account();
        }
    }

    pub(crate) fn account_timer(&self) -> Option<Timestamp> {
        self.account_flow.retry_at.filter(|_| self.link.is_connected())
    }
}

fn refused(refusal: &Refusal) -> Failure {
    let code = match refusal {
        Refusal::WrongCredentials => return wrong_credentials(),
        Refusal::NameTaken | Refusal::NameConfusable => FailureCode::Conflict,
        Refusal::DeviceTaken => FailureCode::Conflict,
        _ => FailureCode::Refused,
    };
    let next = match refusal {
        Refusal::NameTaken | Refusal::NameConfusable => "; choose another one",
        Refusal::InviteNeeded => "; ask the operator for one (directory invite) and use SIGNUP NAME INVITE CODE",
        Refusal::RegistrationClosed => "; ask the operator",
        _ => "",
    };
    Failure::new(code, format!("{refusal}{next}"))
}

fn wrong_credentials() -> Failure {
    Failure::new(FailureCode::Auth, "wrong name or password; try SIGNIN again")
}

fn misbehaves() -> Failure {
    Failure::new(FailureCode::Trust, "the directory's answer does not hold; nothing was changed here")
}
