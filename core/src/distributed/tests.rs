mod rate;

use std::borrow::Cow;

use proptest::prelude::*;

use super::*;
use crate::time::Timestamp;

fn at(ms: u64) -> Timestamp {
    Timestamp(ms)
}

#[test]
fn a_breaker_opens_probes_and_closes() {
    let mut breaker = Breaker::new(BreakerConfig {
        failures: 2,
        open_ms: 100,
        open_max_ms: 300,
    });
    breaker.failed(at(0));
    breaker.succeeded();
    breaker.failed(at(1));
    assert!(breaker.is_closed(), "only failures in a row count");
    breaker.failed(at(2));
    assert_eq!(breaker.state(), BreakerState::Open);
    assert_eq!(breaker.next_deadline(), Some(at(102)));
    assert!(!breaker.probe(at(101)));
    assert!(breaker.probe(at(102)));
    assert!(!breaker.probe(at(103)), "one probe at a time");
    breaker.failed(at(110));
    assert_eq!(breaker.next_deadline(), Some(at(310)));
    assert!(breaker.probe(at(310)));
    breaker.failed(at(320));
    assert_eq!(breaker.next_deadline(), Some(at(620)), "at most 300 ms");
    // An answer to what was asked before it opened.
    breaker.succeeded();
    assert_eq!(breaker.state(), BreakerState::Open);
    assert!(breaker.probe(at(620)));
    breaker.succeeded();
    assert!(breaker.is_closed());
    assert_eq!(breaker.opened(), 1);
    breaker.trip(at(700));
    assert_eq!(
        breaker.next_deadline(),
        Some(at(800)),
        "from the start again"
    );
}

#[test]
fn a_copy_is_kept_only_if_nothing_else_happened() {
    let mut c = Coherence::default();
    let read = c.begin("k", false);
    assert!(c.land(&read));

    let read = c.begin("k", false);
    c.changed("k");
    assert!(!c.land(&read), "changed while it was read");

    let (read, write) = (c.begin("k", false), c.begin("k", true));
    assert!(
        !c.land(&read) && !c.land(&write),
        "written while it was read"
    );

    let (one, two) = (c.begin("k", true), c.begin("k", true));
    assert!(
        !c.land(&two) && !c.land(&one),
        "the order of two writes is the store's"
    );

    let (one, two) = (c.begin("k", false), c.begin("k", false));
    assert!(c.land(&one) && c.land(&two), "two reads do no harm");

    let read = c.begin("k", false);
    c.tag_changed("t");
    assert!(!c.land(&read), "it may have had the tag");
    let read = c.begin("k", false);
    c.all_changed();
    assert!(!c.land(&read));
    assert_eq!(c.in_flight(), 0);
}

#[test]
fn a_barrier_learnt_across_a_change_is_not_kept() {
    let mut c = Coherence::default();
    let era = c.era();
    c.learn("t", 7, era);
    assert_eq!(c.barrier("t"), Some(7));
    c.tag_changed("t");
    assert_eq!(c.barrier("t"), None);
    c.learn("t", 7, era);
    assert_eq!(c.barrier("t"), None);
}

#[test]
fn trust_ends_at_the_bound() {
    let trust = |now| Trust::at(at(now), at(1000), 500, 2000);
    assert_eq!(trust(1500), Trust::Fresh);
    assert_eq!(trust(1501), Trust::Bounded);
    assert_eq!(trust(3000), Trust::Bounded);
    assert_eq!(trust(3001), Trust::None);
}

fn set(key: &str, value: &str) -> Change {
    Change::Set {
        key: key.into(),
        entry: value.as_bytes().into(),
        ttl_ms: 1000,
    }
}

#[test]
fn a_log_keeps_the_newest_of_a_key_in_order() {
    let mut log = Replay::new(10, 1 << 20);
    log.push(at(0), set("a", "1"));
    log.push(at(0), set("b", "1"));
    log.push(at(5), set("a", "2"));
    log.push(at(5), Change::InvalidateTag { tag: "t".into() });
    assert!(matches!(log.get("a"), Some(Change::Set { entry, .. }) if **entry == *b"2"));
    let batch = log.batch(at(105), 2);
    assert!(matches!(&batch[0].1, Change::Set { key, ttl_ms: 895, .. } if &**key == "b"));
    assert!(matches!(&batch[1].1, Change::Set { key, ttl_ms: 900, .. } if &**key == "a"));
    assert_eq!(log.stats().waiting, 3, "they wait until they are there");
    // b changes while the batch is under way.
    log.push(at(106), Change::Remove { key: "b".into() });
    batch.iter().for_each(|(seq, _)| log.sent(*seq));
    assert!(log.get("a").is_none());
    assert_eq!(log.get("b"), Some(&Change::Remove { key: "b".into() }));
    let rest = log.batch(at(106), 9);
    assert_eq!(rest.len(), 2);
    rest.iter().for_each(|(seq, _)| log.sent(*seq));
    assert_eq!(log.stats().superseded, 2);
    assert!(log.is_empty() && log.stats().bytes == 0);
}

#[test]
fn a_tag_voids_the_values_that_wait() {
    let tagged = |name| {
        let entry = SharedEntry {
            value: "1".into(),
            stale_ms: 0,
            fresh_until: at(1000),
            until: at(1000),
            tags: vec![Tag { name, barrier: 0 }],
        };
        let (key, ttl_ms) = (name.into(), 1000);
        let entry = entry.encode(usize::MAX).into();
        Change::Set { key, entry, ttl_ms }
    };
    let mut log = Replay::new(10, 1 << 20);
    for name in ["red", "white"] {
        log.push(at(0), tagged(name));
    }
    log.push(at(1), Change::InvalidateTag { tag: "red".into() });
    assert_eq!(log.get("red"), Some(&Change::Remove { key: "red".into() }));
    assert!(matches!(log.get("white"), Some(Change::Set { .. })));
    // What is set afterwards holds.
    log.push(at(2), tagged("red"));
    assert!(matches!(log.get("red"), Some(Change::Set { .. })));
    let all = log.batch(at(2), 9);
    all.iter().for_each(|(seq, _)| log.sent(*seq));
    assert!(log.is_empty() && log.stats().bytes == 0);
}

#[test]
fn a_full_log_drops_the_oldest_and_counts() {
    let mut log = Replay::new(2, 1 << 20);
    for key in ["a", "b", "c"] {
        log.push(at(0), set(key, "1"));
    }
    assert!(log.get("a").is_none());
    assert_eq!((log.stats().waiting, log.stats().dropped), (2, 1));
    log.push(at(0), Change::Clear);
    let batch = log.batch(at(0), 9);
    assert_eq!(
        batch.iter().map(|b| &b.1).collect::<Vec<_>>(),
        [&Change::Clear]
    );
    log.sent(batch[0].0);
    log.push(at(0), set("old", "1"));
    assert!(log.batch(at(1000), 9).is_empty(), "its time is over");
    assert!(log.is_empty());
    let mut none = Replay::new(0, 0);
    none.push(at(0), set("a", "1"));
    assert!(none.is_empty());
}

#[test]
fn bytes_that_are_no_entry_are_refused() {
    let entry = SharedEntry {
        value: Cow::Borrowed("[1,2,3]"),
        stale_ms: 5,
        fresh_until: at(77),
        until: at(1030),
        tags: vec![Tag {
            name: "wine",
            barrier: 9,
        }],
    };
    let bytes = entry.encode(usize::MAX);
    let times = |now, left: u64| entry.times_left(at(now), at(1030 - left));
    assert_eq!(times(0, 30), (25, 5));
    assert_eq!(times(70, 30), (7, 5), "the writer's clock shortens it");
    assert_eq!(times(80, 30), (0, 5));
    assert_eq!(times(0, 3), (0, 3));
    assert_eq!(entry.times_left(at(0), at(2000)), (0, 0));
    assert_eq!(SharedEntry::decode(&bytes, 7), Ok(entry));
    assert_eq!(
        SharedEntry::decode(&bytes, 6),
        Err(EntryError::TooLarge(7, 6))
    );
    for cut in 0..bytes.len() {
        assert!(SharedEntry::decode(&bytes[..cut], 100).is_err(), "{cut}");
    }
    for at in 0..bytes.len() {
        let mut bad = bytes.clone();
        bad[at] ^= 0x80;
        // Whatever it says, it says it without a panic.
        let _ = SharedEntry::decode(&bad, 100);
    }
}

proptest! {
    #[test]
    fn entries_come_back_as_they_were(
        value in "\\PC{0,300}",
        stale_ms in any::<u64>(),
        names in proptest::collection::vec(("\\PC{0,20}", any::<u64>()), 0..5),
        pack_from in 0usize..400,
    ) {
        let tags = names.iter().map(|(name, barrier)| Tag { name, barrier: *barrier }).collect();
        let (fresh_until, until) = (at(stale_ms / 2), at(stale_ms / 3));
        let entry = SharedEntry { value: Cow::Borrowed(&value), stale_ms, fresh_until, until, tags };
        let bytes = entry.encode(pack_from);
        prop_assert_eq!(SharedEntry::decode(&bytes, value.len()).unwrap(), entry);
    }

    /// Against a twin of the store: a copy that is kept equals what the store has, whatever the
    /// order of messages and answers, as long as they come in the store's order.
    #[test]
    fn no_copy_is_older_than_the_messages(steps in proptest::collection::vec(0u8..6, 1..200)) {
        let (mut store, mut newest) = (0u32, 0u32);
        let mut copy: Option<u32> = None;
        let mut c = Coherence::default();
        // Sent, in order: what the store will answer or announce.
        let mut sent: Vec<(Flight, Option<u32>)> = Vec::new();
        let mut line: std::collections::VecDeque<Message> = Default::default();
        enum Message { Answer(Flight, u32), Changed }
        for step in steps {
            match step {
                0 => sent.push((c.begin("k", false), None)),
                1 => {
                    newest += 1;
                    let flight = c.begin("k", true);
                    sent.push((flight, Some(newest)));
                }
                // The store takes the oldest request.
                2 | 3 if !sent.is_empty() => {
                    let (flight, write) = sent.remove(0);
                    store = write.unwrap_or(store);
                    line.push_back(Message::Answer(flight, store));
                }
                // Another server writes.
                4 => { newest += 1; store = newest; line.push_back(Message::Changed); }
                _ => match line.pop_front() {
                    Some(Message::Answer(flight, value)) => {
                        copy = c.land(&flight).then_some(value);
                    }
                    Some(Message::Changed) => { c.changed("k"); copy = None; }
                    None => {}
                },
            }
            // All messages read and nothing under way: the copy, if any, is the store's value.
            if line.is_empty() && sent.is_empty() && c.in_flight() == 0 {
                prop_assert!(copy.is_none_or(|value| value == store));
            }
        }
    }
}
