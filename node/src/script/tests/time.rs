//! How long what may take.

use std::time::Duration;

use super::{fake::message, played::Script};

#[tokio::test(start_paused = true)]
async fn every_step_waits_as_long_as_its_line_says_and_no_longer() {
    let seconds = Duration::from_secs;
    for (script, took, code) in [
        ("EXPECT MESSAGE", seconds(10), 9),
        ("EXPECT MESSAGE WITHIN 3s", seconds(3), 9),
        ("EXPECT NOT MESSAGE", seconds(1), 0),
        ("EXPECT NOT MESSAGE WITHIN 2m", seconds(120), 0),
        // EXPECT is not bounded by TIMEOUT, neither up nor down.
        ("TIMEOUT 1s\nEXPECT MESSAGE", seconds(10), 9),
        ("TIMEOUT 60s\nEXPECT MESSAGE", seconds(10), 9),
        ("SLEEP 250ms", Duration::from_millis(250), 0),
        ("SLEEP 1h", seconds(3_600), 0),
        ("SLEEP 1d", seconds(86_400), 0),
        // Commands and WAIT are.
        ("WAIT ONLINE bob", Duration::ZERO, 0),
        ("WAIT ONLINE carol", seconds(30), 9),
        ("WAIT OFFLINE bob", seconds(30), 9),
        ("WAIT OFFLINE carol", Duration::ZERO, 0),
        ("WAIT OFFLINE bob WITHIN 2s", seconds(2), 9),
        ("WAIT OFFLINE bob within 45s", seconds(45), 9),
        ("TIMEOUT 4s\nWAIT OFFLINE bob", seconds(4), 9),
        ("SEND bob take 29 s", seconds(29), 0),
        ("SEND bob take 31 s", seconds(30), 3),
        ("TIMEOUT 500ms\nSEND bob take 1 s", Duration::from_millis(500), 3),
        ("TIMEOUT 1m\nSEND bob take 59 s", seconds(59), 0),
        ("WAIT IDLE", Duration::ZERO, 0),
        ("SEND bob queue\nWAIT IDLE WITHIN 7s", seconds(7), 9),
        ("SEND bob queue\nTIMEOUT 8s\nWAIT IDLE", seconds(8), 9),
        // So is the end: a kept profile hands the rest over next time.
        ("SEND bob queue", seconds(30), 0),
        ("TIMEOUT 2s\nSEND bob queue", seconds(2), 0),
    ] {
        let played = Script::new(script).play().await;
        assert_eq!((played.took, played.code), (took, code), "{script}: {}", played.words);
    }
}

#[tokio::test(start_paused = true)]
async fn an_expectation_is_met_by_what_came_before_and_as_soon_as_it_comes() {
    let ms = Duration::from_millis;
    for (script, after_ms, took, code) in [
        ("SLEEP 1s\nEXPECT MESSAGE", 0, ms(1_000), 0),
        ("EXPECT MESSAGE", 9_999, ms(9_999), 0),
        ("EXPECT MESSAGE", 10_001, ms(10_000), 9),
        ("EXPECT MESSAGE WITHIN 500ms", 400, ms(400), 0),
        // What is already there fails it at once, what comes in time does when it comes.
        ("SLEEP 1s\nEXPECT NOT MESSAGE", 0, ms(1_000), 9),
        ("EXPECT NOT MESSAGE", 300, ms(300), 9),
        ("EXPECT NOT MESSAGE", 1_001, ms(1_000), 0),
        ("EXPECT NOT MESSAGE \"other\"", 300, ms(1_000), 0),
        // What was taken is no match any more.
        ("EXPECT MESSAGE\nEXPECT NOT MESSAGE", 300, ms(1_300), 0),
        // NOT takes nothing.
        ("!9 SEND bob fail 9\nEXPECT NOT MESSAGE FROM carol\nEXPECT MESSAGE", 300, ms(1_000), 0),
    ] {
        let played = Script::new(script).event("me", after_ms, message("bob", 1, "hi")).play().await;
        assert_eq!((played.took, played.code), (took, code), "{script} {after_ms}: {}", played.words);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_duration_is_refused_before_anything_runs() {
    for duration in ["5", "5 s", "s", "-1s", "1.5s", "1w", "1S", "367d", "99999999999999999999s"] {
        let played = Script::new(&format!("PING\nSLEEP {duration}")).play().await;
        assert_eq!((played.code, played.asked.len()), (2, 0), "{duration}");
        assert!(played.words.starts_with("dir/s.txt:2: usage: "), "{}", played.words);
    }
}
