//! Lines of scripts.

use std::fs;

use crate::{
    Next::{Do, NodeFlag, Type, Write},
    Row, Says,
    processes::node,
    row, settle,
};

pub(crate) fn rows() -> Vec<Row<&'static str>> {
    let usage = |sent, says: Says, next| row(sent, "usage", says, next);
    vec![
        usage("PING\nfrobnicate\n", &["-:2: ", "there is no command \"frobnicate\""], Type("HELP")),
        usage("alice> PING\nbob> PING\nPING\n", &["-:3: ", "with several actors"], Write("alice> PING")),
        usage("SLEEP\n", &["-:1: ", "SLEEP duration"], Write("SLEEP 500ms")),
        usage("SLEEP well\n", &["-:1: ", "`well` is no duration"], Do("`500ms`, `10s` or `2m`")),
        usage("TIMEOUT\n", &["TIMEOUT duration"], Write("TIMEOUT 10s")),
        usage("LET\n", &["LET var value"], Write("LET greeting good morning")),
        usage("LET 1x 5\n", &["`1x` is no name of a variable"], Do("letters, digits and _")),
        usage("WAIT\n", &["the form is"], Do("WAIT ONLINE user")),
        usage("ASSERT\n", &["the form is"], Do("ASSERT ONLINE user")),
        usage("ASSERT MEMBERS team\n", &["the form is"], Do("ASSERT MEMBERS group count")),
        usage("ASSERT MEMBERS team three\n", &["`three` is no number"], Write("ASSERT MEMBERS team 3")),
        usage("TO bob\n", &["-:1: ", "TO is for the prompt alone"], Type("@bob hi")),
        usage("TO &team\n", &["-:1: ", "TO is for the prompt alone"], Type("&team hi")),
        usage("EXPECT NONSENSE\n", &["the form is", "EXPECT"], Do("MESSAGE")),
        usage("EXPECT MESSAGE \"open\n", &["a text in quotes does not end"], Do("close it")),
        usage("EXPECT MESSAGE ~/open\n", &["a regex does not end"], Do("close it")),
        usage("ECHO ${\n", &["`${` without `}`"], Do("write `$${`")),
        usage("ECHO ${NOBODY_SET_THIS}\n", &["NOBODY_SET_THIS is not set"], NodeFlag("--set")),
        usage("!refsued SEND bob hi\n", &["`refsued` is no code"], Do("refused")),
        usage("!LET x 1\n", &["only commands can be required to fail"], Write("!refused SEND alice hi")),
        usage("INCLUDE\n", &["INCLUDE path"], Do("INCLUDE accounts.txt")),
        usage("INCLUDE itself.txt\n", &["itself.txt:1: ", "includes itself"], Do("includes itself")),
        row("INCLUDE absent.txt\n", "conflict", &["-:1: ", "absent.txt can't be included"], Do("No such file")),
        row("!auth HELP\n", "timeout", &["-:1: ", "it succeeded"], Do("should have failed")),
    ]
}

/// Whether a line is one of a script's; what it then comes to is its own affair. Nobody answers it.
pub(crate) fn can_be_played(line: &str) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let nobody = ["--directory", "127.0.0.1:9", "--script", "-"];
    node(folder.path(), &nobody, &format!("TIMEOUT 100ms\n{line}\n")).0 != "usage"
}

#[test]
fn a_line_of_a_script_that_is_wrong_is_named_with_its_place_and_what_would_be_right() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("itself.txt"), "INCLUDE itself.txt\n").unwrap();
    settle(rows().into_iter().map(|row| {
        let (code, sentence) = node(folder.path(), &["--directory", "127.0.0.1:9", "--script", "-"], row.sent);
        row.complaint(row.sent, code, &sentence)
    }));
}
