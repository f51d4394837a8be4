//! Panics on demand, for the tests of the shim. What is deployed is built without this file.

#![expect(clippy::panic, reason = "the tests ask for it")]

use std::time::Duration;

use worker::Delay;

/// In the request's first turn, after I/O, or by a stack that is used up.
pub(crate) async fn on_request(path: &str) {
    match path {
        "/panic" => panic!("asked for"),
        "/panic-later" => {
            Delay::from(Duration::from_millis(20)).await;
            panic!("asked for, after I/O");
        }
        "/overflow" => {
            std::hint::black_box(descend(path.len() as u64));
        }
        "/slow" => Delay::from(Duration::from_millis(300)).await,
        _ => {}
    }
}

/// Uses up the stack.
fn descend(depth: u64) -> u64 {
    if depth == u64::MAX {
        return depth;
    }
    let frame = std::hint::black_box([depth; 64]);
    frame.iter().sum::<u64>() ^ descend(std::hint::black_box(depth + 1))
}

/// In a Durable Object, in its first turn or after I/O.
pub(crate) async fn in_object(path: &str) {
    match path {
        "/count/panic" => panic!("asked for"),
        "/count/panic-later" => {
            Delay::from(Duration::from_millis(20)).await;
            panic!("asked for, after I/O");
        }
        _ => {}
    }
}

/// In the first alarm of an object.
pub(crate) fn in_alarm(count: u64) {
    if count == 1 {
        panic!("asked for");
    }
}

/// By a message that says so.
pub(crate) fn on_message(body: &serde_json::Value) {
    if body == "panic" {
        panic!("asked for");
    }
}

/// By a cron pattern that no trigger has.
pub(crate) fn on_cron(cron: &str) {
    if cron == "panic" {
        panic!("asked for");
    }
}
