//! Words of a line, and the text after them.

/// Longest line, in bytes.
pub const LINE_MAX: usize = 64 * 1024;

/// What stands for the blanks, line ends and quotes of a variable's value while the line is cut into words: a value never
/// adds words or lines. They are noncharacters, which hardly any text holds; one that does is kept apart by [`VERBATIM`].
const PLACEHOLDERS: [(char, char); 7] = [
    (' ', '\u{fdd0}'),
    ('\t', '\u{fdd1}'),
    ('\n', '\u{fdd2}'),
    ('\r', '\u{fdd3}'),
    // What ends or escapes a quoted text or a regex.
    ('"', '\u{fdd4}'),
    ('\\', '\u{fdd5}'),
    ('/', '\u{fdd6}'),
];
/// Stands before a noncharacter that the text itself holds.
const VERBATIM: char = '\u{fdd7}';

fn is_placeholder(c: char) -> bool {
    ('\u{fdd0}'..=VERBATIM).contains(&c)
}

/// A line whose variables are expanded, each value still one word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expanded(String);

impl Expanded {
    /// A line without variables.
    #[must_use]
    pub fn literal(line: &str) -> Self {
        let mut expanded = Self::empty();
        expanded.push_literal(line);
        expanded
    }

    /// Nothing yet.
    #[must_use]
    pub const fn empty() -> Self {
        Self(String::new())
    }

    /// A part of a line that was expanded already.
    pub(crate) fn part(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Appends what stands in the line itself.
    pub fn push_literal(&mut self, text: &str) {
        for c in text.chars() {
            hold(&mut self.0, c);
        }
    }

    /// Appends a variable's value.
    pub fn push_value(&mut self, value: &str) {
        for c in value.chars() {
            match PLACEHOLDERS.iter().find(|(plain, _)| *plain == c) {
                Some((_, held)) => self.0.push(*held),
                None => hold(&mut self.0, c),
            }
        }
    }

    /// The line, with placeholders in the values.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text that is meant.
    #[must_use]
    pub fn to_text(&self) -> String {
        restore(&self.0)
    }
}

/// Appends a character that means itself, such that [`restore`] gives it back.
pub(crate) fn hold(text: &mut String, c: char) {
    if is_placeholder(c) {
        text.push(VERBATIM);
    }
    text.push(c);
}

/// Puts the blanks of values back.
pub(crate) fn restore(text: &str) -> String {
    let mut characters = text.chars();
    let mut restored = String::with_capacity(text.len());
    while let Some(c) = characters.next() {
        if c == VERBATIM {
            restored.extend(characters.next());
        } else {
            restored.push(PLACEHOLDERS.iter().find(|(_, held)| *held == c).map_or(c, |(plain, _)| *plain));
        }
    }
    restored
}

/// What is left of a line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Words<'a> {
    rest: &'a str,
}

impl<'a> Words<'a> {
    pub(super) fn new(line: &'a str) -> Self {
        Self { rest: line.trim_start_matches('\u{feff}').trim_end_matches(['\n', '\r']) }
    }

    /// Everything after the one blank that follows the last word, verbatim.
    pub(super) fn text(&mut self) -> &'a str {
        let rest = std::mem::take(&mut self.rest);
        rest.strip_prefix([' ', '\t']).unwrap_or(rest)
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let rest = self.rest.trim_start_matches([' ', '\t']);
        let end = rest.find([' ', '\t', '\n']).unwrap_or(rest.len());
        let (word, rest) = rest.split_at(end);
        self.rest = rest;
        if word.is_empty() { None } else { Some(word) }
    }
}
