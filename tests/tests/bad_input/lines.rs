//! Lines that people type.

use protocol::limits::TEXT_MAX;

use crate::{
    Next::{Do, Type},
    Row, Says, row, settle,
};

const SEND: &str = "SEND bob see you at eight";
const BLANKS: &str = "leave it out to be asked";

pub(crate) fn rows() -> Vec<Row<String>> {
    let line = |sent: &str, says: Says, next| row(sent.to_owned(), "usage", says, next);
    let text = |sent: &str, length, says: Says, next| row(format!("{sent}{}", "x".repeat(length)), "usage", says, next);
    vec![
        line("sned bob hi", &["there is no command \"sned\"", "did you mean SEND?"], Type(SEND)),
        line("histroy", &["there is no command", "did you mean HISTORY?"], Type("HISTORY")),
        line("frobnicate", &["there is no command \"frobnicate\""], Type("HELP")),
        line("bob hi", &["there is no command \"bob\""], Type(SEND)),
        line("\u{1b}[2J", &["there is no command"], Type("HELP")),
        line("hello bob", &["PING takes no \"bob\""], Type("PING")),
        line("quit now", &["QUIT takes no \"now\""], Type("QUIT")),
        line("whoami really", &["WHOAMI takes no \"really\""], Type("WHOAMI")),
        line("status \u{202e}x", &["STATUS takes no \"\\u{202e}x\""], Type("STATUS")),
        line("SEND", &["SEND needs a name and a text"], Type(SEND)),
        line("SEND bob", &["there is no text"], Type("SEND bob text")),
        line("SEND bob ", &["there is no text"], Type("SEND bob text")),
        line("@bob", &["there is no text"], Type("SEND bob text")),
        line("@bob -- ", &["there is no text"], Type("SEND bob text")),
        text("SEND bob ", TEXT_MAX + 1, &["a text has at most", "16384 bytes", "16385"], Do("send it in parts")),
        text("SEND bob ", 64 * 1024, &["a line has at most"], Do("split it")),
        line("signup", &["SIGNUP needs a name"], Type("SIGNUP bob")),
        line("signin", &["SIGNIN needs a name"], Type("SIGNIN bob")),
        line("signup bob short", &["a password has 8 or more characters"], Do("8 or more")),
        line("signup bob correcthorse battery", &["a password on the line is one word"], Do(BLANKS)),
        line("signin bob correcthorse battery", &["a password on the line is one word"], Do(BLANKS)),
        line("signup bob INVITE", &["INVITE needs a code"], Type("SIGNUP bob")),
        line("resend", &["RESEND needs a message's id"], Type("RESEND m12")),
        line("resend 12", &["begins with its letter"], Type("RESEND m12")),
        line("resend twelve", &["\"twelve\" is no message's id"], Type("HISTORY")),
        line("history bob 0", &["\"0\" is no number of messages", "10000"], Type("HISTORY")),
        line("list everything", &["LIST takes no \"everything\""], Type("LIST")),
        line("help send me", &["HELP takes no \"me\""], Type("HELP")),
    ]
}

#[test]
fn a_line_that_is_wrong_says_what_is_and_what_would_be_right() {
    settle(rows().into_iter().map(|row| {
        let what: String = row.sent.chars().take(40).collect();
        let failure = node::language::parse(&row.sent).unwrap_err();
        row.complaint(&what, failure.code.name(), &failure.message)
    }));
}
