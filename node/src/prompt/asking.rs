//! What a person is asked for, unseen, before a command can run: passwords and codes, one after the other.

use node_core::command::{Command, Password};
use protocol::Name;
use zeroize::Zeroizing;

use crate::driver::NodeCommand;

/// A command that lacks secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Lacking {
    SignUp { name: Name, invite: Option<String> },
    SignIn { name: Name },
    Revoke { device: String },
    Passwd,
    Recover { name: Name },
    CloseAccount,
}

/// A question whose answer nobody sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    /// The password that is in force.
    Present,
    /// One that shall be.
    New,
    /// The same once more, since nobody sees what was typed.
    Again,
    Code,
}

/// What an answer leads to.
pub(super) enum Answered {
    /// Another question.
    More(Asking),
    /// The command, whole.
    Whole(NodeCommand),
    /// Nothing; what to say.
    Nothing(String),
}

/// A command, and what was answered so far.
pub(super) struct Asking {
    lacking: Lacking,
    given: Vec<Zeroizing<String>>,
}

impl Lacking {
    const fn questions(&self) -> &'static [Question] {
        match self {
            Self::SignUp { .. } => &[Question::New, Question::Again],
            Self::SignIn { .. } | Self::Revoke { .. } | Self::CloseAccount => &[Question::Present],
            Self::Passwd => &[Question::Present, Question::New, Question::Again],
            Self::Recover { .. } => &[Question::Code, Question::New, Question::Again],
        }
    }

    const fn verb(&self) -> &'static str {
        match self {
            Self::SignUp { .. } => "SIGNUP",
            Self::SignIn { .. } => "SIGNIN",
            Self::Revoke { .. } => "REVOKE",
            Self::Passwd => "PASSWD",
            Self::Recover { .. } => "RECOVER",
            Self::CloseAccount => "CLOSE ACCOUNT",
        }
    }

    /// The command, from as many answers as there are questions.
    fn command(self, given: &[Zeroizing<String>]) -> Option<NodeCommand> {
        let password = |at: usize| given.get(at).map(|word| Password::new(word.to_string()));
        Some(match self {
            Self::SignUp { name, invite } => NodeCommand::SignUp { name, password: password(0)?, invite },
            Self::SignIn { name } => NodeCommand::SignIn { name, password: password(0)? },
            Self::Revoke { device } => NodeCommand::Core(Command::Revoke { device, password: password(0)? }),
            Self::Passwd => NodeCommand::Core(Command::Passwd { old: password(0)?, new: password(1)? }),
            Self::Recover { name } => {
                let code = given.first()?.to_string();
                NodeCommand::Core(Command::Recover { name, code, password: password(1)? })
            }
            Self::CloseAccount => NodeCommand::Core(Command::CloseAccount { password: password(0)? }),
        })
    }
}

impl Asking {
    pub(super) const fn new(lacking: Lacking) -> Self {
        Self { lacking, given: Vec::new() }
    }

    fn question(&self) -> Option<Question> {
        self.lacking.questions().get(self.given.len()).copied()
    }

    /// What stands before the answer.
    pub(super) fn text(&self) -> String {
        let of = match &self.lacking {
            Lacking::SignUp { name, .. } | Lacking::SignIn { name } | Lacking::Recover { name } => Some(name),
            Lacking::Revoke { .. } | Lacking::Passwd | Lacking::CloseAccount => None,
        };
        match (self.question(), of) {
            (Some(Question::New), Some(name)) => format!("New password for {name} (8 or more characters): "),
            (Some(Question::New), None) => "New password (8 or more characters): ".to_owned(),
            (Some(Question::Again), _) => "The same again: ".to_owned(),
            (Some(Question::Code), _) => "Recovery code: ".to_owned(),
            (_, Some(name)) => format!("Password of {name}: "),
            (_, None) if self.lacking == Lacking::CloseAccount => "Password (closing can't be undone): ".to_owned(),
            (_, None) => "Your password: ".to_owned(),
        }
    }

    /// Takes an answer.
    pub(super) fn answer(mut self, secret: Zeroizing<String>) -> Answered {
        if secret.is_empty() {
            return Answered::Nothing("No password given.".to_owned());
        }
        if self.question() == Some(Question::Again) && self.given.last() != Some(&secret) {
            let verb = self.lacking.verb();
            return Answered::Nothing(format!("These were two different passwords; {verb} asks again."));
        }
        self.given.push(secret);
        if self.question().is_some() {
            return Answered::More(self);
        }
        match self.lacking.command(&self.given) {
            Some(command) => Answered::Whole(command),
            None => Answered::Nothing("No password given.".to_owned()),
        }
    }

    /// Takes what the command line says a password is: for everything but what only the person knows.
    pub(super) fn answer_from_source(self, password: &Password) -> Answered {
        let word = || Zeroizing::new(String::from_utf8_lossy(password.expose()).into_owned());
        let mut asking = self;
        for question in asking.lacking.questions() {
            let known = *question == Question::Present || matches!(asking.lacking, Lacking::SignUp { .. });
            if !known {
                break;
            }
            match asking.answer(word()) {
                Answered::More(more) => asking = more,
                done => return done,
            }
        }
        Answered::More(asking)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bob() -> Name {
        Name::parse("bob").unwrap()
    }

    fn secret(text: &str) -> Zeroizing<String> {
        Zeroizing::new(text.to_owned())
    }

    /// The questions of a command, answered one after the other, and what comes of it.
    fn play(lacking: Lacking, answers: &[&str]) -> (Vec<String>, Option<NodeCommand>) {
        let mut asking = Asking::new(lacking);
        let mut asked = Vec::new();
        for answer in answers {
            asked.push(asking.text());
            match asking.answer(secret(answer)) {
                Answered::More(more) => asking = more,
                Answered::Whole(command) => return (asked, Some(command)),
                Answered::Nothing(text) => {
                    asked.push(text);
                    return (asked, None);
                }
            }
        }
        asked.push(asking.text());
        (asked, None)
    }

    fn password(text: &str) -> Password {
        Password::new(text.to_owned())
    }

    #[test]
    fn each_command_asks_for_what_it_lacks_and_then_is_whole() {
        let (asked, command) = play(Lacking::Passwd, &["old-one-1", "new-one-2", "new-one-2"]);
        assert_eq!(asked, ["Your password: ", "New password (8 or more characters): ", "The same again: "]);
        let (old, new) = (password("old-one-1"), password("new-one-2"));
        assert!(
            matches!(command, Some(NodeCommand::Core(Command::Passwd { old: o, new: n })) if (&o, &n) == (&old, &new))
        );

        let (asked, command) = play(Lacking::Recover { name: bob() }, &["a code", "new-one-2", "new-one-2"]);
        assert_eq!(asked, ["Recovery code: ", "New password for bob (8 or more characters): ", "The same again: "]);
        assert!(matches!(command, Some(NodeCommand::Core(Command::Recover { code, .. })) if code == "a code"));

        let (asked, command) = play(Lacking::CloseAccount, &["old-one-1"]);
        assert_eq!(asked, ["Password (closing can't be undone): "]);
        assert!(matches!(command, Some(NodeCommand::Core(Command::CloseAccount { .. }))));

        let (asked, command) = play(Lacking::Revoke { device: "3f9a".to_owned() }, &["old-one-1"]);
        assert_eq!(asked, ["Your password: "]);
        assert!(matches!(command, Some(NodeCommand::Core(Command::Revoke { device, .. })) if device == "3f9a"));
    }

    #[test]
    fn a_slip_or_nothing_at_all_ends_the_questions_with_a_word() {
        let (asked, command) = play(Lacking::SignUp { name: bob(), invite: None }, &["new-one-2", "new-one-3"]);
        assert_eq!(asked.last().unwrap(), "These were two different passwords; SIGNUP asks again.");
        assert!(command.is_none());
        let (asked, command) = play(Lacking::SignIn { name: bob() }, &[""]);
        assert_eq!(asked, ["Password of bob: ", "No password given."]);
        assert!(command.is_none());
    }

    #[test]
    fn a_password_file_answers_for_the_present_password_and_for_a_new_account() {
        let from_file = |lacking| Asking::new(lacking).answer_from_source(&password("from-a-file"));
        let sign_up = from_file(Lacking::SignUp { name: bob(), invite: None });
        assert!(matches!(sign_up, Answered::Whole(NodeCommand::SignUp { .. })));
        assert!(matches!(from_file(Lacking::CloseAccount), Answered::Whole(_)));
        let Answered::More(asking) = from_file(Lacking::Passwd) else { panic!("the new one is to be asked for") };
        assert_eq!(asking.text(), "New password (8 or more characters): ");
        let Answered::More(asking) = from_file(Lacking::Recover { name: bob() }) else {
            panic!("the code is to be asked for")
        };
        assert_eq!(asking.text(), "Recovery code: ");
    }
}
