//! How the commands of people in groups end, and which failures have a cause.

use node_core::{
    Session,
    command::{CommandResult, Failure, FailureCode, Outcome},
};

use crate::world::{
    World,
    node::Asked,
    witness::{NodeIndex, Violation},
};

impl World {
    /// A command ended.
    pub(in crate::world) fn done_in_groups(
        &mut self,
        index: NodeIndex,
        asked: &Asked,
        result: CommandResult,
    ) -> Result<(), Violation> {
        match (asked, result) {
            (Asked::Send(_), Ok(Outcome::Sent { uid, .. })) | (Asked::Say(_), Ok(Outcome::SentGroup { uid, .. })) => {
                if !self.nodes[index].disk.timeline().any(|entry| entry.uid == uid) {
                    return Err(Violation::AcknowledgedNotDurable { uid });
                }
            }
            (Asked::WaitIdle, Ok(_)) => self.nodes[index].idle = true,
            (_, Ok(_)) => {}
            (_, Err(failure)) if self.has_cause_in_groups(index, asked, &failure) => {
                let failed = format!("{} fails {asked:?}: {}", self.of_groups(index), failure.message);
                self.trace.note(self.now, &|| failed.clone());
            }
            (_, Err(failure)) => {
                let what = format!("{asked:?} failed with {:?}: {}", failure.code, failure.message);
                return Err(Violation::UnexpectedFailure { node: self.of_groups(index), what });
            }
        }
        Ok(())
    }

    fn has_cause_in_groups(&self, index: NodeIndex, asked: &Asked, failure: &Failure) -> bool {
        let has_account = self.nodes[index].core.as_ref().is_some_and(|core| core.session() != Session::None);
        match (asked, failure.code) {
            // A sign-up that was given up goes on by itself, and may be done before it is asked for again.
            (Asked::SignUp, FailureCode::Conflict) => has_account,
            (Asked::SignUp | Asked::SignIn, FailureCode::Auth | FailureCode::Refused) => false,
            (_, FailureCode::Auth | FailureCode::Trust | FailureCode::Usage | FailureCode::Other) => false,
            // Others may have been quicker, or not allow it; and nobody may be there.
            _ => true,
        }
    }
}
