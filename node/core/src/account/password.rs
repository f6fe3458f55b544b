//! A new password, by the old one or by the recovery code.

use membership::certificate::verify_device_list;
use mls_rs::CryptoProvider;
use protocol::{
    Name,
    certificate::SignedDeviceList,
    directory::{OpaqueMessage, Recovery, Refusal, Reply, Request},
};

use super::{
    AccountCommand, Kind, Stage,
    failures::{misbehaves, refused, swapped_backup},
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
    records::PendingEnrolment,
};

impl<C: CryptoProvider + Clone> Core<C> {
    pub(crate) fn passwd(&mut self, token: CommandToken, old: Password, new: Password) {
        let Some(name) = self.own().map(|own| own.name.clone()) else { return };
        self.start_account_command(token, name, old, Kind::Passwd { new, sent: false, new_first: false });
    }

    pub(crate) fn recover(&mut self, token: CommandToken, name: Name, code: &str, password: Password) {
        if self.own().is_some() {
            let text = format!("this profile has an account; start with --profile NAME to recover {name} there");
            return self.done(token, Err(Failure::new(FailureCode::Conflict, text)));
        }
        match code.parse::<RecoveryCode>() {
            Ok(code) => self.start_account_command(token, name, password, Kind::Recover { code, found: None }),
            Err(error) => self.done(token, Err(Failure::new(FailureCode::Usage, error.to_string()))),
        }
    }

    /// The old password is proven: the new one begins.
    pub(super) fn start_passwd(&mut self, command: AccountCommand) {
        let Kind::Passwd { new, .. } = &command.kind else { return };
        match self.registration(new) {
            Ok((state, registration)) => {
                let call = self.ask(Purpose::RegistrationStart, Request::PasswordStart { registration });
                let stage = Stage::Registering(call, state);
                self.account_flow.command = Some(AccountCommand { stage, ..command });
            }
            Err(failure) => self.done(command.token, Err(failure)),
        }
    }

    pub(super) fn finish_passwd(
        &mut self,
        mut command: AccountCommand,
        registration: OpaqueMessage,
        export_key: &[u8],
    ) {
        let Some(account) = self.own().map(|own| own.account) else { return self.done_nothing(command) };
        let Some(secrets) = command.secrets.take() else { return self.put_back(command) };
        let Ok(root_backup) = seal::seal_root(&secrets, export_key, account, &mut *self.entropy) else {
            return self.done_nothing(command);
        };
        if let Kind::Passwd { sent, .. } = &mut command.kind {
            *sent = true;
        }
        let call = self.ask(Purpose::ChangePassword, Request::ChangePassword { registration, root_backup });
        self.account_flow.command = Some(AccountCommand { stage: Stage::Finishing(call), ..command });
    }

    fn done_nothing(&mut self, command: AccountCommand) {
        let failure = Failure::new(FailureCode::Other, "a bug of this program: the account's keys cannot be sealed");
        self.done(command.token, Err(failure));
    }

    pub(crate) fn on_password_changed(&mut self, call: CallId, answer: Answer) {
        let Some(command) = self.take_stage(|stage| matches!(stage, Stage::Finishing(own) if *own == call)) else {
            return;
        };
        let Ok((reply, command)) = self.account_reply(command, answer) else { return };
        let result = if reply == Reply::Done { Ok(Outcome::Done) } else { Err(misbehaves()) };
        self.done(command.token, result);
    }

    /// Opens the backup that the directory gave, if it is this list's account's and the code is right.
    pub(super) fn open_recovery(
        devices: &SignedDeviceList,
        backup: &[u8],
        code: &RecoveryCode,
    ) -> Result<AccountSecrets, Failure> {
        let list = verify_device_list(devices).map_err(|_| misbehaves())?;
        let wrong =
            |_| Failure::new(FailureCode::Auth, "wrong name or recovery code; compare the code letter by letter");
        let secrets = seal::open_root_with_code(backup, code, list.account).map_err(wrong)?;
        if secrets.root.public() == list.root_key { Ok(secrets) } else { Err(swapped_backup()) }
    }

    pub(super) fn finish_recovery(
        &mut self,
        mut command: AccountCommand,
        registration: OpaqueMessage,
        export_key: &[u8],
    ) {
        let found = match &mut command.kind {
            Kind::Recover { found, .. } => found.take(),
            _ => None,
        };
        let (Some((devices, secrets)), Some(exporter)) = (found.map(|found| *found), self.link.exporter()) else {
            return self.put_back(command);
        };
        let own = match self.next_list_with_this_device(&command.name, &devices, &secrets) {
            Ok(own) => own,
            Err(failure) => return self.done(command.token, Err(failure)),
        };
        let code = RecoveryCode::generate(&mut *self.entropy);
        let sealed = seal::seal_root(&secrets, export_key, own.account, &mut *self.entropy).and_then(|backup| {
            Ok((backup, seal::seal_root_with_code(&secrets, &code, own.account, &mut *self.entropy)?))
        });
        let Ok((root_backup, recovery_backup)) = sealed else { return self.done_nothing(command) };
        let signature = protocol::Signature([0; 64]);
        let (name, devices) = (command.name.clone(), own.devices.clone());
        let mut recovery = Recovery { name, registration, devices, root_backup, recovery_backup, signature };
        let Ok(signed) = recovery.signed(&exporter) else { return self.done_nothing(command) };
        recovery.signature = secrets.root.sign_recovery(&signed);
        self.account.enrolling = Some(PendingEnrolment {
            account: own,
            book_key: (&secrets.book).into(),
            book: None,
            recovery_code: Some(code.to_string()),
        });
        self.account_changed = true;
        let call = self.ask(Purpose::Enrol, Request::RecoveryFinish(Box::new(recovery)));
        self.account_flow.command = Some(AccountCommand { stage: Stage::Finishing(call), ..command });
    }

    /// The recovery's refusals say more than an enrolment's.
    pub(super) fn enrolment_refused(refusal: &Refusal) -> Failure {
        match refusal {
            Refusal::NotSignedIn => {
                Failure::new(FailureCode::Auth, "the sign-in was interrupted; try SIGNIN NAME again")
            }
            Refusal::Stale => {
                let text = "the account's devices change all the time, or the directory shows an old list of them; \
                            nothing was changed: try SIGNIN NAME again, and if that does not help tell the operator";
                Failure::new(FailureCode::Refused, text)
            }
            refusal => refused(refusal),
        }
    }
}
