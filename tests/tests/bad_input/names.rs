//! Names that are none.

use crate::{Next::Do, Row, Says, row, settle};

pub(crate) fn rows() -> Vec<Row<&'static str>> {
    let name = |sent, says: Says, next| row(sent, "usage", says, Do(next));
    vec![
        name("a", &["\"a\" is no name"], "2 to 32 characters"),
        name("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", &["is no name"], "2 to 32 characters"),
        name("1abc", &["\"1abc\" is no name"], "starts with a letter"),
        name("-abc", &["is no name"], "starts with a letter"),
        name("a/b", &["\"a/b\" is no name"], "letters, digits, '-', '_' and '.'"),
        name("ali\u{1b}ce", &["\"ali\\u{1b}ce\" is no name"], "letters, digits, '-', '_' and '.'"),
        name("a\u{202e}b", &["\"a\\u{202e}b\" is no name"], "letters, digits, '-', '_' and '.'"),
        name("a\u{200b}b", &["\"a\\u{200b}b\" is no name"], "letters, digits, '-', '_' and '.'"),
        name("m12", &["\"m12\" is no name", "like an id"], "add a letter"),
        name("R7", &["\"R7\" is no name", "like an id"], "add a letter"),
        name("group", &["\"group\" is no name", "reserved"], "choose another name"),
        name("Send", &["\"Send\" is no name", "reserved"], "choose another name"),
    ]
}

#[test]
fn a_name_that_is_none_is_refused_wherever_a_name_stands() {
    for row in rows() {
        let name = row.sent;
        let of_people = [format!("SIGNUP {name} correct-horse-1"), format!("SIGNIN {name}"), format!("@{name} hi")];
        let of_groups = [format!("CREATE &{name}"), format!("INVITE team {name}"), format!("&{name} hi")];
        settle(of_people.into_iter().chain(of_groups).map(|line| {
            let failure = node::language::parse(&line).unwrap_err();
            row.complaint(&line, failure.code.name(), &failure.message)
        }));
    }
}
