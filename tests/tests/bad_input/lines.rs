//! Lines that people type.

use protocol::limits::{CAPTION_MAX, FILE_REASON_MAX, TEXT_MAX};

use crate::{
    Next::{Do, Type},
    Row, Says, row, settle,
};

const SEND: &str = "SEND bob see you at eight";
const BLANKS: &str = "leave it out to be asked";

/// What people type about groups.
fn groups() -> Vec<Row<String>> {
    let line = |sent: &str, says: Says, next| row(sent.to_owned(), "usage", says, next);
    vec![
        line("creat team", &["there is no command \"creat\"", "did you mean CREATE?"], Type("CREATE team")),
        line("invit team bob", &["there is no command", "did you mean INVITE?"], Type("INVITE team bob")),
        line("CREATE", &["CREATE needs a group's name"], Type("CREATE team")),
        line("CREATE GROUP team", &["CREATE", "without GROUP before it"], Type("CREATE team")),
        line("CREATE team secret", &["OPEN or by INVITE", "\"secret\""], Type("CREATE team")),
        line("CREATE team OPEN now", &["CREATE takes no \"now\""], Type("CREATE team")),
        line("JOIN", &["JOIN needs a group's name"], Type("JOIN team")),
        line("JOIN team bob", &["JOIN takes no \"bob\""], Type("JOIN team")),
        line("LEAVE", &["LEAVE needs a group's name"], Type("LEAVE team")),
        line("LEAVE team bob", &["LEAVE takes no \"bob\""], Type("LEAVE team")),
        line("INVITE", &["INVITE needs a group's name"], Type("INVITE team bob")),
        line("INVITE bob", &["INVITE needs a group and a person"], Type("INVITE team bob")),
        line("KICK bob", &["KICK needs a group and a person"], Type("KICK team bob")),
        line("KICK team bob carol", &["KICK takes no \"carol\""], Type("KICK team bob")),
        line("PROMOTE bob", &["PROMOTE needs a group and a person"], Type("PROMOTE team bob")),
        line("PROMOTE team bob owner", &["PROMOTE takes no \"owner\""], Type("PROMOTE team bob")),
        line("DEMOTE team", &["DEMOTE needs a group and a person"], Type("DEMOTE team bob")),
        line("MEMBERS", &["MEMBERS needs a group's name"], Type("MEMBERS team")),
        line(
            "SEND GROUP",
            &["SEND GROUP needs a group's name and a text"],
            Type("SEND GROUP team see you all at eight"),
        ),
        line("SEND GROUP team", &["there is no text"], Type("SEND GROUP team text")),
        line("&team", &["there is no text"], Type("SEND GROUP team text")),
        line("SEND GROUP team FILE", &["there is no path"], Type("SEND GROUP team FILE PATH")),
        line("READ", &["READ needs the name of a person or a group"], Type("READ bob")),
        line("MUTE", &["MUTE needs the name of a person or a group"], Type("MUTE team 8h")),
        line("MUTE team soon", &["\"soon\" is no duration"], Type("MUTE team 8h")),
        line("MUTE team 5", &["\"5\" is no duration"], Type("MUTE team 8h")),
        line("MUTE team 400d", &["longer than a year"], Type("MUTE team")),
        line("MUTE team off", &["heard again"], Type("UNMUTE team")),
        line("UNMUTE", &["UNMUTE needs the name of a person or a group"], Type("UNMUTE team")),
        line("TO bob hi", &["TO takes no \"hi\""], Type("TO bob")),
        line("TO GROUP", &["TO GROUP needs a group's name"], Type("TO bob")),
    ]
}

pub(crate) fn rows() -> Vec<Row<String>> {
    people().into_iter().chain(groups()).collect()
}

fn people() -> Vec<Row<String>> {
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
        line("SEARCH", &["SEARCH needs words to look for"], Type("SEARCH biscuits")),
        line("search -- ", &["SEARCH needs words to look for"], Type("SEARCH biscuits")),
        line("search :-)", &["SEARCH needs letters or digits"], Type("SEARCH biscuits")),
        line("search milk since monday", &["\"monday\" is no date", "2026-01-31"], Type("SEARCH -- TEXT")),
        line("search milk since 2026-02-30", &["\"2026-02-30\" is no date"], Type("SEARCH -- TEXT")),
        line("search milk since 2026-2-3", &["\"2026-2-3\" is no date"], Type("SEARCH -- TEXT")),
        line("search milk in 7up", &["\"7up\" is no name"], Type("SEARCH -- TEXT")),
        line("SEND bob FILE", &["there is no path"], Type("SEND bob FILE PATH")),
        line(
            "SEND bob FILE my cat.png",
            &["a path with blanks stands in quotes"],
            Type("SEND bob FILE \"my cat.png\""),
        ),
        line("SEND bob FILE \"cat.png", &["a path in quotes ends with its quote"], Do("close it")),
        text("SEND bob FILE cat.png -- ", CAPTION_MAX + 1, &["a caption has at most", "4096"], Do("shorten it")),
        line("ACCEPT f3 AS", &["there is no path"], Type("ACCEPT f3 AS PATH")),
        line("ACCEPT f3 AS my cat.png", &["a path with blanks stands in quotes"], Type("ACCEPT f3 AS \"my cat.png\"")),
        line("ACCEPT x3", &["\"x3\" is not the id of a request or a file"], Type("FILES")),
        text("DECLINE f3 ", FILE_REASON_MAX + 1, &["a reason has at most", "1024"], Do("shorten it")),
        line("set accept.bob lots", &["\"lots\" is no size"], Type("SET accept.bob 10M")),
        line("set accept.bob", &["accept.bob needs a size or none"], Type("SET accept.bob 10M")),
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
