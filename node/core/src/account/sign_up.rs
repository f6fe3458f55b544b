//! Signing up: the root key made, used, sealed and wiped.
//!
//! A sign-up is durable before the directory hears of it, so that a crash in between never leaves an account whose keys
//! nobody holds.

use mls_rs::CryptoProvider;
use protocol::{
    BoundedText, DeviceId, Name,
    directory::{OpaqueMessage, Refusal, Reply, Request, SignUp},
    limits::CERTIFICATE_LIFETIME_MS,
};

use super::{
    AccountCommand, Kind, Stage,
    failures::{misbehaves, refused},
};
use crate::{
    command::{CommandToken, Failure, FailureCode, Outcome, Password},
    core::Core,
    crypto::{
        keys::AccountSecrets,
        seal::{self, RecoveryCode},
    },
    input::{Answer, CallId},
    link::Purpose,
    records::{OwnAccount, PendingSignUp},
};

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
        self.start_account_command(token, name, password, Kind::SignUp { invite });
    }

    /// Makes the account's root key, lets it sign this device, seals it, and forgets it.
    pub(super) fn finish_sign_up(&mut self, command: AccountCommand, registration: OpaqueMessage, export_key: &[u8]) {
        let invite = match &command.kind {
            Kind::SignUp { invite } => invite.clone().and_then(|invite| BoundedText::new(invite).ok()),
            _ => return,
        };
        let not_after = self.now.plus_ms(CERTIFICATE_LIFETIME_MS);
        let mut device = [0; 16];
        self.entropy.fill_bytes(&mut device);
        let device = DeviceId(device);
        let secrets = AccountSecrets::generate(&mut *self.entropy);
        let root_key = secrets.root.public();
        let account = membership::account_id(&root_key);
        let code = RecoveryCode::generate(&mut *self.entropy);
        let made = secrets.root.certify(&self.keys, device, not_after).and_then(|certificate| {
            let devices = secrets.root.device_list(1, vec![certificate.clone()], not_after)?;
            Ok((certificate, devices))
        });
        let sealed = seal::seal_root(&secrets, export_key, account, &mut *self.entropy)
            .and_then(|backup| Ok((backup, seal::seal_root_with_code(&secrets, &code, account, &mut *self.entropy)?)));
        let (Ok((certificate, devices)), Ok((root_backup, recovery_backup))) = (made, sealed) else {
            let failure =
                Failure::new(FailureCode::Other, "a bug of this program: the account's keys cannot be sealed");
            return self.done(command.token, Err(failure));
        };
        let name = command.name.clone();
        let request =
            SignUp { name: name.clone(), invite, registration, devices: devices.clone(), root_backup, recovery_backup };
        let account = OwnAccount { name, account, root_key, device, certificate, devices };
        let recovery_code = code.to_string();
        let book_key = (&secrets.book).into();
        self.account.pending = Some(PendingSignUp { request: request.clone(), account, recovery_code, book_key });
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
            self.done(command.token, Err(failure));
        }
    }

    fn on_account_made(&mut self, command: Option<AccountCommand>) {
        let Some(pending) = self.account.pending.take() else { return };
        let name = pending.account.name.clone();
        self.money.begin();
        self.begin_account(pending.account, pending.book_key);
        if let Some(command) = command {
            let outcome = Outcome::SignedUp { name, recovery_code: pending.recovery_code };
            self.done(command.token, Ok(outcome));
        }
    }
}
