//! Alerts reach a webhook: once each, in order, through failures, silence and restarts.

// A test may unwrap: a panic there is the report.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use support::{Folder, Reaction, Received, Receiver, Server, until};

/// One rule that alarms at once; the others keep still.
const RULES: &str = "HIGH_MEMORY.threshold=0.001,HIGH_MEMORY.forMs=0,HIGH_CPU.enabled=false";

fn start(folder: &Folder, receiver: &Receiver, more: &[&str]) -> Server {
    let url = format!("http://{}/alerts?team=cellar", receiver.address);
    let mut flags = vec!["--monitoring-interval-ms", "100", "--alert-rule", RULES];
    flags.extend(["--alert-webhook", &url]);
    flags.extend(more);
    Server::start(folder.path(), &flags)
}

fn resolve(server: &Server) -> String {
    let alert = until("an alert", || {
        server.data("monitoring/alerts").get(0).cloned()
    });
    let id = alert["id"].as_str().unwrap().to_owned();
    let path = format!("/api/performance/monitoring/alert/{id}/resolve");
    assert_eq!(server.ask("POST", &path, "", "").0, 200);
    id
}

fn keys(received: &[Received]) -> Vec<String> {
    let key = |r: &Received| r.header("idempotency-key").unwrap().to_owned();
    received.iter().map(key).collect()
}

fn fate(server: &Server, fate: &str) -> Option<f64> {
    server.metric(&format!("sommos_webhook_messages_total{{fate=\"{fate}\"}}"))
}

#[test]
fn a_receiver_that_fails_at_first_gets_every_message_in_order() {
    let receiver = Receiver::start(|n| Reaction::Answer(if n < 2 { 503 } else { 204 }));
    let folder = Folder::new("webhook-fails");
    let server = start(&folder, &receiver, &[]);
    let id = resolve(&server);
    until("both messages", || {
        (fate(&server, "delivered")? >= 2.0).then_some(())
    });
    let received = receiver.received();
    let (raised, resolved) = (
        format!("{id}:alertTriggered"),
        format!("{id}:alertResolved"),
    );
    assert_eq!(keys(&received), [&*raised, &*raised, &*raised, &*resolved]);
    let message = received[3].json();
    assert_eq!(received[3].path, "/alerts?team=cellar");
    assert_eq!(received[3].header("content-type"), Some("application/json"));
    assert_eq!(
        (&message["event"], &message["key"]),
        (&"alertResolved".into(), &resolved.into())
    );
    assert_eq!(message["alert"]["resolution"], "manual");
    assert_eq!(received[0].json()["alert"]["type"], "HIGH_MEMORY");
    assert_eq!(received[0].body, received[2].body);
    assert_eq!(
        server.metric("sommos_webhook_failed_attempts_total"),
        Some(2.0)
    );
    assert_eq!(server.metric("sommos_webhook_waiting"), Some(0.0));
    assert!(server.log().contains("webhook failed"), "{}", server.log());
}

#[test]
fn a_receiver_that_hangs_is_left_and_asked_again() {
    let receiver = Receiver::start(|n| match n {
        0 => Reaction::Hang,
        _ => Reaction::Answer(200),
    });
    let folder = Folder::new("webhook-hangs");
    let server = start(&folder, &receiver, &["--alert-webhook-timeout-ms", "300"]);
    until("the message", || {
        (fate(&server, "delivered")? >= 1.0).then_some(())
    });
    let keys = keys(&receiver.received());
    assert_eq!((keys.len(), &keys[0]), (2, &keys[1]));
}

#[test]
fn attempts_are_limited_and_refusals_final() {
    let receiver = Receiver::start(|n| Reaction::Answer(if n == 0 { 400 } else { 500 }));
    let folder = Folder::new("webhook-refuses");
    let server = start(&folder, &receiver, &["--alert-webhook-attempts", "2"]);
    resolve(&server);
    until("the end of both", || {
        (fate(&server, "given_up")? >= 2.0).then_some(())
    });
    let keys = keys(&receiver.received());
    // The first was refused for good; the second was tried twice.
    assert_eq!(keys.len(), 3, "{keys:?}");
    assert!(keys[0] != keys[1] && keys[1] == keys[2], "{keys:?}");
    assert_eq!(fate(&server, "delivered"), Some(0.0));
    assert!(
        server.log().contains("webhook given up"),
        "{}",
        server.log()
    );
}

#[test]
fn what_waits_survives_a_kill() {
    let folder = Folder::new("webhook-kill");
    let dead = Receiver::start(|_| Reaction::Answer(503));
    let server = start(&folder, &dead, &[]);
    let id = resolve(&server);
    until("a failure", || (!dead.received().is_empty()).then_some(()));
    server.kill();
    let receiver = Receiver::start(|_| Reaction::Answer(200));
    let server = start(&folder, &receiver, &[]);
    until("both messages", || {
        (fate(&server, "delivered")? >= 2.0).then_some(())
    });
    let events = [
        format!("{id}:alertTriggered"),
        format!("{id}:alertResolved"),
    ];
    assert_eq!(keys(&receiver.received()), events);
}

#[test]
fn a_full_queue_drops_and_counts() {
    let receiver = Receiver::start(|_| Reaction::Answer(503));
    let folder = Folder::new("webhook-full");
    let server = start(&folder, &receiver, &["--alert-webhook-queue", "1"]);
    resolve(&server);
    assert_eq!(fate(&server, "dropped"), Some(1.0));
    assert_eq!(server.metric("sommos_webhook_waiting"), Some(1.0));
}
