//! Reading ahead: who has lines in a script, and whose each line is, before anything of it runs.

use std::path::{Path, PathBuf};

use node_core::command::{Failure, FailureCode};

use super::{
    Stage,
    parse::{Body, STEPS_MAX, Step, body, parse, split},
    runner::{Failed, Runner, usage},
    variables::has_variables,
};
use crate::language::Expanded;

/// Includes within includes.
const INCLUDE_DEPTH_MAX: usize = 16;

/// What is known of a script without running it.
#[derive(Default)]
struct Survey {
    /// Its lines, and those of the files that it includes.
    steps: Vec<Step>,
    /// Whether a path has variables, so that more may come.
    may_grow: bool,
}

/// What a line is, if that does not depend on variables. What must fail may be of bad grammar, and is read when it runs.
fn known(step: &Step) -> Option<Body> {
    match has_variables(&step.text) {
        Ok(false) if !step.text.starts_with('!') => body(&Expanded::literal(&step.text)).ok(),
        _ => None,
    }
}

impl<S: Stage> Runner<S> {
    /// Reads ahead, through included files too: who has lines, which lines have nobody, and who is asked for in vain.
    pub(super) fn survey(&mut self, steps: &[Step], folder: &Path) -> Result<(), Failed> {
        let mut survey = Survey::default();
        let top = steps.first().map(|step| PathBuf::from(&*step.place.file));
        self.gather(steps, folder, &mut top.into_iter().collect(), &mut survey)?;
        self.named.extend(survey.steps.iter().filter_map(|step| step.actor.clone()));
        self.output.named = !self.named.is_empty();
        for step in survey.steps.iter().filter(|step| step.actor.is_none()) {
            if let Some(body) = known(step) {
                self.whose(step, &body).map_err(|failure| Failed::at(step, failure))?;
            }
        }
        match survey.may_grow {
            true => Ok(()),
            false => self.check_asked_for(steps),
        }
    }

    fn gather(
        &mut self,
        steps: &[Step],
        folder: &Path,
        within: &mut Vec<PathBuf>,
        survey: &mut Survey,
    ) -> Result<(), Failed> {
        for step in steps {
            survey.steps.push(step.clone());
            if survey.steps.len() > STEPS_MAX {
                return Err(Failed::at(step, usage(format!("a script has at most {STEPS_MAX} steps"))));
            }
            match known(step) {
                Some(Body::Include(path)) => {
                    let path = self.resolved(folder, &path);
                    let inner = match self.included(&path, within, step) {
                        // The lines of somebody who plays elsewhere include what is elsewhere, too.
                        Err(_) if !self.is_played(step) => continue,
                        inner => inner?,
                    };
                    within.push(path.clone());
                    self.gather(&inner, path.parent().unwrap_or(folder), within, survey)?;
                    within.pop();
                }
                Some(_) => {}
                None => survey.may_grow |= split(&step.text).0.eq_ignore_ascii_case("include"),
            }
        }
        Ok(())
    }

    /// Where an included file is: below the file that includes it, or in the person's own folder.
    pub(super) fn resolved(&self, folder: &Path, path: &Path) -> PathBuf {
        match (path.strip_prefix("~"), self.variables.home()) {
            (Ok(path), Some(home)) => Path::new(home).join(path),
            _ => folder.join(path),
        }
    }

    /// The steps of a file that a line includes; `within` are the files on the way to it.
    pub(super) fn included(&mut self, path: &Path, within: &[PathBuf], step: &Step) -> Result<Vec<Step>, Failed> {
        let shown = path.display().to_string();
        if within.iter().any(|outer| outer == path) {
            return Err(Failed::at(step, usage(format!("{shown} includes itself"))));
        }
        // The script itself is the first of them.
        if within.len() > INCLUDE_DEPTH_MAX {
            let text = format!("{shown} is included too deep, or includes itself; {INCLUDE_DEPTH_MAX} levels can be");
            return Err(Failed::at(step, usage(text)));
        }
        let text = self.stage.read(path).map_err(|error| {
            Failed::at(step, Failure::new(FailureCode::Conflict, format!("{shown} can't be included: {error}")))
        })?;
        parse(&shown, &text).map_err(|(place, failure)| Failed { place: place.prefix(), failure })
    }

    /// Refuses a `--actor` whom the script does not know: nothing of it would run, and nobody would notice.
    pub(super) fn check_asked_for(&self, steps: &[Step]) -> Result<(), Failed> {
        let Some(stranger) = self.only.iter().find(|name| !self.named.contains(*name)) else { return Ok(()) };
        let names: Vec<&str> = self.named.iter().map(String::as_str).collect();
        let text = if names.is_empty() {
            format!("no line of this script has an actor, so --actor {stranger} plays nothing; leave it out")
        } else {
            format!("nobody in this script is called {stranger}; its actors are {}", names.join(", "))
        };
        let place = steps.first().map(|step| format!("{}: ", step.place.file)).unwrap_or_default();
        Err(Failed { place, failure: usage(text) })
    }

    /// Whether a line is to be played here.
    pub(super) fn is_played(&self, step: &Step) -> bool {
        step.actor.as_ref().is_none_or(|actor| self.only.is_empty() || self.only.contains(actor))
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
