//! What HELP says about things that are no verbs.

/// Something that HELP explains.
struct Topic {
    word: &'static str,
    /// Other words that lead to it.
    also: &'static [&'static str],
    text: &'static str,
}

const TOPICS: [Topic; 6] = [
    Topic {
        word: "SCRIPTS",
        also: &["SCRIPT", "EXPECT", "WAIT", "SLEEP", "ASSERT", "LET", "INCLUDE", "TIMEOUT", "ECHO", "!"],
        text: r#"A script has one command a line, and ends with the code of its first failure.
NAME> before a line says whose it is; # begins a comment.
    as in  alice> SEND bob hi
An event that must come (within 10s), or must not (for 1s); AS keeps its id:
    as in  bob> EXPECT MESSAGE FROM alice "hi" WITHIN 30s AS m
    as in  alice> EXPECT RECEIPT TO bob ID ${m} STATE delivered
    as in  bob> EXPECT NOT MESSAGE ~/spam|offer/
    as in  bob> EXPECT MEMBER FROM carol IN team STATE joined
    as in  bob> EXPECT PAYMENT FROM alice AMOUNT 12.50 "lunch"
    as in  alice> EXPECT REQUEST FROM bob AMOUNT 12.50 AS r
    as in  bob> EXPECT CLOSED ID ${r} STATE paid
    as in  bob> EXPECT FILE FROM alice ~/cat/ STATE offered AS f
A state to wait for, or one that must hold now:
    as in  alice> WAIT OFFLINE bob WITHIN 1m
    as in  alice> WAIT IDLE
    as in  alice> ASSERT ONLINE bob
    as in  alice> ASSERT STATE ${m} delivered
    as in  alice> ASSERT MEMBERS team 3
    as in  alice> ASSERT BALANCE 87.50
A command that must fail, with any code or with this one:
    as in  alice> !SEND nobody hi
    as in  alice> !conflict SEND nobody hi
And for all actors:
    as in  LET greeting good morning
    as in  ECHO ${greeting}, ${NAME:-everybody}
    as in  TIMEOUT 10s
    as in  SLEEP 500ms
    as in  INCLUDE accounts.txt"#,
    },
    Topic {
        word: "GROUPS",
        also: &["GROUP", "ROLES", "&"],
        text: r#"Everybody comes into an open group who was not kicked, and every member invites.
Into others come those whom an owner or an admin invites. Who is invited is no
member before JOIN, and sees then what was said since the invitation.
    as in  CREATE team INVITE
    as in  INVITE team bob
    as in  JOIN team
    as in  &team see you all at eight
Owners promote and demote by one step, and kick admins; admins kick members.
    as in  PROMOTE team bob
    as in  KICK team carol
The last owner of a group with others in it makes another one before leaving.
    as in  LEAVE team"#,
    },
    Topic {
        word: "MONEY",
        also: &["AMOUNT", "AMOUNTS", "LIMITS", "#"],
        text: r#"An amount is digits and at most one point: no sign, comma, blank or exponent.
Each order is settled once. It is paid, or not paid, or unknown and being
checked: then wait, and never pay again.
    as in  PAY bob 12.50 lunch
    as in  REQUEST bob 12.50 lunch
    as in  REQUEST GROUP team 90 the boat
    as in  ACCEPT r7
    as in  REFUND p4 2.50
Limits of your own, lower than the directory's; and above what a prompt asks
before it pays:
    as in  SET limit.payment 100
    as in  SET limit.day 200
    as in  SET limit.peer 150
    as in  SET confirm.above 50
    as in  SET limit.day none
The memo is sealed like a message; the directory sees who pays whom how much."#,
    },
    Topic {
        word: "PATHS",
        also: &["PATH", "FILE", "FOLDER", "INBOX"],
        text: r#"A file or a folder is offered, and goes from your disk to theirs when they
accept it; what is interrupted goes on where it was. What has at most 24 KiB
comes with its offer: it can be taken though you have gone. Quotes, or \ before
each, keep the blanks of a path together; a caption follows --.
    as in  SEND bob FILE cat.png
    as in  SEND GROUP team FILE "my photos" -- from the boat
What somebody offers is put into your inbox (--inbox DIR), or where you say:
    as in  ACCEPT f3
    as in  ACCEPT f3 AS ~/cat.png
    as in  DECLINE f3 too large
    as in  CANCEL f3
Up to a size of your choice, files from somebody are taken unasked:
    as in  SET accept.bob 10M
    as in  SET accept.bob none"#,
    },
    Topic {
        word: "CODES",
        also: &["CODE", "ERRORS"],
        text: "A script, a pipe or -c ends with the code of its first failure:\n\
               0 ok, 1 other, 2 usage, 3 unreachable, 4 auth, 5 trust, 6 conflict, 7 refused,\n\
               8 unknown (outcome), 9 timeout (of an expectation), 130 and 143 (signals)",
    },
    Topic {
        word: "TEXT",
        also: &["MESSAGES", "--", "@"],
        text: "A text starts after one blank and goes on to the end of its line. There are no\n\
               quoting rules; -- before it sends words that would mean something else.\n\
               At the prompt, Alt-Enter begins a new line; after TO bob or TO &team, bare lines\n\
               are messages, and / before a line makes it a command.\n    \
               as in  SEND bob it's \"eight\", not nine\n    \
               as in  SEND bob -- FILE is the first word of this message",
    },
];

/// What there is to say about a topic.
pub(super) fn find(word: &str) -> Option<&'static str> {
    let leads = |topic: &&Topic| {
        topic.word.eq_ignore_ascii_case(word) || topic.also.iter().any(|also| also.eq_ignore_ascii_case(word))
    };
    TOPICS.iter().find(leads).map(|topic| topic.text)
}

/// Every topic.
#[cfg(test)]
pub(super) fn all() -> impl Iterator<Item = &'static str> {
    TOPICS.iter().map(|topic| topic.word)
}
