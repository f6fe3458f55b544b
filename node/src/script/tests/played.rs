//! A script played on the stage of fakes, and what came of it.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use node_core::event::EventKind;
use tokio::time::Instant;

use super::fake::{FakeStage, World};
use crate::{
    script::{
        output::{Form, Output},
        parse::parse,
        runner::Runner,
        variables::Variables,
    },
    view::Style,
};

#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Paper {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// A script, and what surrounds it.
#[derive(Default)]
pub(super) struct Script {
    text: String,
    name: Option<String>,
    files: Vec<(String, String)>,
    given: Vec<(String, String)>,
    environment: BTreeMap<String, String>,
    only: Vec<String>,
    events: Vec<(String, Duration, EventKind)>,
    kept: bool,
    password: Option<String>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Played {
    pub(super) code: u8,
    pub(super) data: String,
    pub(super) words: String,
    /// What was asked of the actors.
    pub(super) asked: Vec<String>,
    /// How long it seemed to take.
    pub(super) took: Duration,
}

impl Script {
    /// The script `dir/s.txt`.
    pub(super) fn new(text: &str) -> Self {
        Self { text: text.to_owned(), ..Self::default() }
    }

    /// In a file of another name than `dir/s.txt`.
    pub(super) fn named(self, name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..self }
    }

    pub(super) fn file(mut self, path: &str, text: &str) -> Self {
        self.files.push((path.to_owned(), text.to_owned()));
        self
    }

    pub(super) fn set(mut self, name: &str, value: &str) -> Self {
        self.given.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(super) fn only(mut self, name: &str) -> Self {
        self.only.push(name.to_owned());
        self
    }

    /// What an actor will see after so many milliseconds.
    pub(super) fn event(mut self, actor: &str, after_ms: u64, kind: EventKind) -> Self {
        self.events.push((actor.to_owned(), Duration::from_millis(after_ms), kind));
        self
    }

    pub(super) fn kept(self) -> Self {
        Self { kept: true, ..self }
    }

    pub(super) fn password(self, password: &str) -> Self {
        Self { password: Some(password.to_owned()), ..self }
    }

    pub(super) async fn play(self) -> Played {
        self.play_as(Form::Plain(style())).await
    }

    pub(super) async fn play_as(self, form: Form) -> Played {
        let begun = Instant::now();
        let (data, words) = (Paper::default(), Paper::default());
        let mut output =
            Output { form, data: Box::new(data.clone()), words: Box::new(words.clone()), named: false, step: None };
        let mut world = World::default();
        for (actor, after, kind) in self.events {
            world.post(&actor, after, kind);
        }
        let world = Arc::new(Mutex::new(world));
        let code = match parse(self.name.as_deref().unwrap_or("dir/s.txt"), &self.text) {
            Err((place, failure)) => {
                output.failed(&place.prefix(), &failure);
                failure.code as u8
            }
            Ok(steps) => {
                let stage = FakeStage {
                    world: Arc::clone(&world),
                    files: self.files.into_iter().collect(),
                    kept: self.kept,
                    password: self.password,
                };
                let variables = Variables::new(&self.given, self.environment);
                Runner::new(stage, variables, self.only, output).play(steps, Path::new("dir")).await
            }
        };
        let asked = world.lock().unwrap().asked.clone();
        Played { code, data: data.text(), words: words.text(), asked, took: begun.elapsed() }
    }
}

/// Text without colours, in UTC.
pub(super) fn style() -> Style {
    Style { color: false, zone: jiff::tz::TimeZone::UTC, reader: None }
}

/// Plays a script that ends well; what was asked of its actors.
pub(super) async fn asked(script: Script) -> Vec<String> {
    let played = script.play().await;
    assert_eq!((played.code, played.words.as_str()), (0, ""));
    played.asked.into_iter().filter(|line| !line.ends_with(": closed") && !line.ends_with(": WaitIdle")).collect()
}

/// Plays a script to its exit code and the words about it.
pub(super) async fn end(script: Script) -> (u8, String) {
    let played = script.play().await;
    (played.code, played.words)
}
