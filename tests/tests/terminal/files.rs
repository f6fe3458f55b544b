//! The line above the prompt that says how far a file is, while somebody types below it.

use std::{fs::File, time::Instant};

use crate::session::Place;

/// What is sent: enough that it is on its way for a while. There is nothing in it, so it takes no room.
const BYTES: u64 = 512 << 20;
/// What is typed meanwhile.
const TEXT: &str = "SEND alice it is coming, and I am writing to you all the while";
/// How often the line may change in a second.
const CHANGES: f64 = 4.0;

/// What the line said, one after the other.
fn said(everything: &str) -> Vec<String> {
    let mut said: Vec<String> = Vec::new();
    for rest in everything.split("large.bin ").skip(1) {
        let Some((percent, _)) = rest.split_once('%') else { continue };
        let speed = rest.split(['\r', '\n', '\u{1b}']).next().unwrap_or_default();
        if percent.len() <= 3
            && percent.chars().all(|c| c.is_ascii_digit())
            && said.last().is_none_or(|last| last != speed)
        {
            said.push(speed.to_owned());
        }
    }
    said
}

#[test]
fn a_file_on_its_way_is_told_above_what_is_typed_and_garbles_none_of_it() {
    let place = Place::new();
    let large = place.folder.path().join("large.bin");
    File::create(&large).unwrap().set_len(BYTES).unwrap();
    let (mut alice, mut bob) = (place.sign_up("alice"), place.sign_up("bob"));
    alice.type_text(&format!("send bob file {}\r", large.display()));
    bob.wait_for_text("f1");
    let begun = Instant::now();
    bob.type_text("accept f1\r");
    bob.wait_for_text("large.bin 0%");
    let (mut typed, mut met) = ("bob ● › ".to_owned(), 0);
    for key in TEXT.chars() {
        bob.type_text(&key.to_string());
        typed.push(key);
        bob.wait_for_typed(&typed);
        let lines = bob.lines();
        let at = lines.iter().position(|line| *line == typed.trim_end()).unwrap();
        let above = at.checked_sub(1).map_or("", |above| lines[above].as_str());
        met += usize::from(above.starts_with("large.bin ") && above.contains('%'));
    }
    assert!(met > 0, "it was there before anything was typed");
    bob.wait_for_text("f1 from alice is there");
    let seconds = begun.elapsed().as_secs_f64();
    bob.wait_for_typed(&typed);
    let lines = bob.lines();
    assert!(!lines.iter().any(|line| line.starts_with("large.bin ")), "it says so still: {lines:#?}");
    let said = said(&bob.everything_shown());
    // The first one stands at the beginning of the first second.
    let most = (seconds * CHANGES).floor() + 1.0;
    assert!(said.len() >= 3 && said.len() as f64 <= most, "{} changes in {seconds} s: {said:#?}", said.len());
    bob.type_text("\r");
    alice.wait_for_text("bob: it is coming, and I am writing to you all the while");
}
