//! Reading ahead: who has lines in a script, and whose each line is, before anything of it runs.

use std::path::Path;

use node_core::command::Failure;

use super::{
    Stage,
    parse::{Body, Step, body, parse},
    runner::{Failed, INCLUDE_DEPTH_MAX, Runner, usage},
    variables::has_variables,
};
use crate::language::Expanded;

impl<S: Stage> Runner<S> {
    /// Reads ahead, through included files too: who has lines, and which lines have nobody.
    pub(super) fn survey(&mut self, steps: &[Step], folder: &Path, depth: usize) -> Result<(), Failed> {
        self.named.extend(steps.iter().filter_map(|step| step.actor.clone()));
        let known = |step: &Step| match has_variables(&step.text) {
            Ok(false) => body(&Expanded::literal(&step.text)).ok(),
            _ => None,
        };
        for step in steps {
            if let Some(Body::Include(path)) = known(step)
                && depth < INCLUDE_DEPTH_MAX
                && let Ok(text) = self.stage.read(&folder.join(&path))
            {
                let path = folder.join(path);
                let inner = parse(&path.display().to_string(), &text);
                let inner = inner.map_err(|(place, failure)| Failed { place, failure })?;
                self.survey(&inner, path.parent().unwrap_or(folder), depth + 1)?;
            }
        }
        for step in steps.iter().filter(|step| step.actor.is_none()) {
            if let Some(body) = known(step) {
                self.whose(step, &body).map_err(|failure| Failed { place: step.place.clone(), failure })?;
            }
        }
        Ok(())
    }

    /// Whose line it is: a line without a prefix is the single actor's.
    pub(super) fn whose(&self, step: &Step, body: &Body) -> Result<Option<String>, Failure> {
        match (&step.actor, self.named.len()) {
            (Some(actor), _) => Ok(Some(actor.clone())),
            (None, 0) => Ok(None),
            (None, 1) => Ok(self.named.first().cloned()),
            (None, _) if body.is_global() => Ok(None),
            (None, _) => Err(usage("with several actors this line needs one; as in `alice> PING`")),
        }
    }

    /// The one actor who has lines, if there is one.
    pub(super) fn single(&self) -> Option<&str> {
        self.named.first().filter(|_| self.named.len() == 1).map(String::as_str)
    }
}
