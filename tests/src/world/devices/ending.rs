//! How the commands of people with several devices end, and which failures have a cause.

use node_core::command::{CommandResult, Failure, FailureCode, Outcome};

use super::Origin;
use crate::world::{
    World,
    clock::Moment,
    coverage::Case,
    node::Asked,
    witness::{NodeIndex, Violation},
};

impl World {
    /// A command ended.
    pub(in crate::world) fn done_with_devices(
        &mut self,
        index: NodeIndex,
        asked: &Asked,
        since: Moment,
        result: CommandResult,
    ) -> Result<(), Violation> {
        match (asked, result) {
            (Asked::SignIn, Ok(_)) => {
                if let Some(devices) = self.devices.as_mut() {
                    devices.begin_with_current(index);
                    devices.machines[index].fresh = false;
                }
            }
            (Asked::Send(_), Ok(Outcome::Sent { uid, .. })) => {
                if !self.nodes[index].disk.timeline().any(|entry| entry.uid == uid) {
                    return Err(Violation::AcknowledgedNotDurable { uid });
                }
            }
            (Asked::Revoke, Ok(_)) => self.coverage.met(Case::DeviceRevoked),
            (Asked::Passwd, Ok(_)) => self.coverage.met(Case::PasswordChanged),
            (Asked::WaitIdle, Ok(_)) => self.nodes[index].idle = true,
            (_, Ok(_)) => {}
            (_, Err(failure)) if self.has_cause(index, asked, since, &failure) => {}
            (_, Err(failure)) => {
                let what = format!("{asked:?} failed with {:?}: {}", failure.code, failure.message);
                return Err(Violation::UnexpectedFailure { node: self.nodes[index].name.to_string(), what });
            }
        }
        Ok(())
    }

    fn has_cause(&self, index: NodeIndex, asked: &Asked, since: Moment, failure: &Failure) -> bool {
        let Some(devices) = self.devices.as_ref() else { return false };
        let (machine, person) = (&devices.machines[index], devices.person(index));
        let listed = machine.device.is_some_and(|device| person.current().contains(&device));
        match (asked, failure.code) {
            (_, FailureCode::Auth) if failure.message.starts_with("wrong name or password") => person.changed >= since,
            (Asked::SignIn, FailureCode::Auth) if failure.message.starts_with("this device is not one of") => {
                // A device is dropped because it was revoked, or because it is a copy; never without a cause.
                !listed || devices.has_twin(index) || machine.entering == Some(Origin::Copied)
            }
            // An answer that was on its way while another device changed the account is told from a lie by nobody.
            (_, FailureCode::Trust) => person.listed >= since,
            // A sign-up that was given up goes on by itself, and may be done before it is asked for again.
            (Asked::SignUp, FailureCode::Conflict) => !person.lists.is_empty(),
            (_, FailureCode::Usage | FailureCode::Other) => false,
            // Others may not have signed up yet, devices may be gone, and the directory may have had enough of attempts.
            _ => true,
        }
    }
}
