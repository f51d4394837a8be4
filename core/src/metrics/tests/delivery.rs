use super::{at, monitor_with};
use crate::metrics::{Answer, DeliveryPolicy, MonitorConfig, NextStep, SystemSample, Thresholds};

#[test]
fn the_message_names_its_event_and_key() {
    let mut rules = Thresholds::default().rules();
    rules.truncate(1);
    (rules[0].for_ms, rules[0].keep_ms) = (0, 0);
    let monitor = monitor_with(MonitorConfig {
        rules,
        ..MonitorConfig::default()
    });
    let mut events = Vec::new();
    for (second, percent) in [(1, 99.0), (2, 10.0)] {
        let sample = SystemSample {
            cpu_percent: Some(percent),
            ..SystemSample::default()
        };
        monitor.record_system(at(second), &sample);
        events.extend(monitor.evaluate(at(second), &mut || [7; 16]));
    }
    let messages: Vec<_> = events.iter().map(|e| e.delivery().unwrap()).collect();
    assert_eq!(messages.len(), 2);
    for (message, event) in messages.iter().zip(["alertTriggered", "alertResolved"]) {
        let json: serde_json::Value = serde_json::from_slice(&message.body).unwrap();
        assert_eq!(json["event"], event);
        assert_eq!(json["key"], message.key);
        assert_eq!(json["alert"]["type"], "HIGH_CPU");
        let id = json["alert"]["id"].as_str().unwrap();
        assert_eq!(message.key, format!("{id}:{event}"));
    }
}

#[test]
fn what_may_change_is_tried_again() {
    let policy = DeliveryPolicy::new(3);
    for answer in [204, 200] {
        assert_eq!(policy.after(1, Answer::Status(answer), 1), NextStep::Done);
    }
    for answer in [302, 400, 401, 404, 410] {
        assert_eq!(policy.after(1, Answer::Status(answer), 1), NextStep::GiveUp);
    }
    for answer in [
        Answer::None,
        Answer::Status(408),
        Answer::Status(429),
        Answer::Status(500),
        Answer::Status(503),
    ] {
        let NextStep::Again(first) = policy.after(1, answer, 1) else {
            panic!("{answer:?}")
        };
        let NextStep::Again(second) = policy.after(2, answer, 1) else {
            panic!("{answer:?}")
        };
        assert!((500..=1500).contains(&first) && (1000..=3000).contains(&second));
        assert_eq!(policy.after(3, answer, 1), NextStep::GiveUp);
    }
}

#[test]
fn waits_are_spread_and_bounded() {
    let policy = DeliveryPolicy::new(u32::MAX);
    let wait = |attempt, seed| match policy.after(attempt, Answer::None, seed) {
        NextStep::Again(ms) => ms,
        other => panic!("{other:?}"),
    };
    assert!((0..50).map(|seed| wait(1, seed)).any(|ms| ms != wait(1, 0)));
    assert!((1..200).all(|attempt| wait(attempt, 9) <= 300_000));
}
