use foldhash::fast::FixedState;
use proptest::prelude::*;

use super::at;
use crate::{
    distributed::{Grant, RateLimiter, Verdict},
    time::Timestamp,
};

type Limiter = RateLimiter<u8, FixedState>;

fn limiter(per_second: u32, shared: bool) -> Limiter {
    RateLimiter::new(per_second, 100, shared, FixedState::default())
}

/// The bucket in the store.
struct Bucket {
    rate: f64,
    tokens: f64,
    at: Timestamp,
    asks: u64,
}

impl Bucket {
    fn new(rate: u32) -> Self {
        let rate = f64::from(rate);
        let (tokens, at, asks) = (2.0 * rate, Timestamp(0), 0);
        Self {
            rate,
            tokens,
            at,
            asks,
        }
    }

    fn ask(&mut self, now: Timestamp, asked: u32) -> Grant {
        self.asks += 1;
        let refill = now.ms_since(self.at) as f64 / 1000.0 * self.rate;
        self.tokens = (self.tokens + refill).min(2.0 * self.rate);
        self.at = now;
        let granted = asked.min(self.tokens as u32);
        self.tokens -= f64::from(granted);
        let missing = f64::from(asked) - self.tokens;
        Grant {
            asked,
            granted,
            wait_ms: (missing.max(0.0) / self.rate * 1000.0).ceil() as u64,
        }
    }
}

/// One request of address 0, admitted or not.
fn request(server: &mut Limiter, bucket: &mut Bucket, now: Timestamp) -> bool {
    match server.check(now, 0) {
        Verdict::Ask(tokens) => {
            let grant = bucket.ask(now, tokens);
            server.told(now, 0, grant) == Verdict::Admit
        }
        verdict => verdict == Verdict::Admit,
    }
}

#[test]
fn a_bucket_alone_refills_with_time() {
    let mut limiter = limiter(1, false);
    assert_eq!(limiter.check(at(0), 0), Verdict::Admit);
    assert_eq!(limiter.check(at(0), 0), Verdict::Admit);
    assert_eq!(limiter.check(at(0), 0), Verdict::Refuse);
    assert_eq!(limiter.check(at(0), 1), Verdict::Admit, "of each address");
    assert_eq!(limiter.check(at(1000), 0), Verdict::Admit);
}

#[test]
fn addresses_are_bounded_and_idle_ones_make_room() {
    let mut limiter = limiter(5, true);
    for address in 0..100 {
        assert_eq!(limiter.check(at(0), address), Verdict::Ask(1));
    }
    assert_eq!(limiter.check(at(1999), 100), Verdict::Refuse);
    assert_eq!(limiter.check(at(2000), 100), Verdict::Ask(1));
}

#[test]
fn a_store_that_does_not_answer_leaves_the_own_bucket() {
    let mut limiter = limiter(10, true);
    let admitted = (0..100)
        .filter(|_| match limiter.check(at(0), 0) {
            Verdict::Ask(_) => limiter.untold(at(0), 0) == Verdict::Admit,
            verdict => verdict == Verdict::Admit,
        })
        .count();
    assert_eq!(admitted, 20);
    assert_eq!(limiter.check(at(0), 0), Verdict::Refuse, "without asking");
}

#[test]
fn slow_limits_have_slices_of_one_token() {
    let mut servers = [limiter(19, true), limiter(19, true)];
    let mut bucket = Bucket::new(19);
    let admitted = (0..20_000u64)
        .filter(|i| request(&mut servers[*i as usize % 2], &mut bucket, at(i * 7)))
        .count() as u64;
    assert_eq!(servers[0].slice_max(), 1);
    // 140 s: what was taken out of the bucket was admitted at once, none of it kept.
    let one = 19 * 140 + 38;
    assert!(admitted <= one && admitted + 38 >= one, "{admitted}");
}

#[test]
fn a_busy_address_costs_few_questions() {
    for per_second in [1000, 100, 10] {
        let mut server = limiter(per_second, true);
        let mut bucket = Bucket::new(per_second);
        // Ten times as many requests as are admitted.
        let step_us = 100_000 / u64::from(per_second);
        let seconds = 20;
        let admitted = (0..seconds * 1_000_000 / step_us)
            .filter(|i| request(&mut server, &mut bucket, at(i * step_us / 1000)))
            .count() as u64;
        let rate = u64::from(per_second);
        assert!(admitted <= rate * (seconds + 2), "{admitted} at {rate}");
        assert!(
            admitted + rate >= rate * (seconds + 2),
            "{admitted} at {rate}"
        );
        assert!(
            bucket.asks <= 20 * seconds + 40,
            "{} at {rate}",
            bucket.asks
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Over every stretch of time, servers admit at most what one bucket would and a slice each.
    #[test]
    fn together_they_admit_what_one_would(
        per_second in prop::sample::select(vec![1u32, 5, 30, 100, 400]),
        count in 1usize..5,
        steps in prop::collection::vec((0u64..40, 0usize..5, 1usize..12), 1..400),
    ) {
        let mut servers: Vec<_> = (0..count).map(|_| limiter(per_second, true)).collect();
        let mut bucket = Bucket::new(per_second);
        let (mut now, mut log) = (0, Vec::new());
        for (pause, server, requests) in steps {
            now += pause;
            let server = &mut servers[server % count];
            let admitted = (0..requests).filter(|_| request(server, &mut bucket, at(now))).count();
            log.push((now, admitted));
        }
        let slices = f64::from(servers[0].slice_max()) * count as f64;
        let rate = f64::from(per_second);
        for (i, &(from, _)) in log.iter().enumerate() {
            let mut sum = 0;
            for &(to, admitted) in &log[i..] {
                sum += admitted;
                let one = 2.0 * rate + (to - from) as f64 / 1000.0 * rate;
                prop_assert!(sum as f64 <= one + slices, "{sum} in {from}..{to}");
            }
        }
    }

    /// Who asks for more than the limit on all servers at once gets it, but for a slice each.
    #[test]
    fn together_they_admit_no_less(
        per_second in prop::sample::select(vec![2u32, 20, 100, 1000]),
        count in 1usize..5,
    ) {
        let mut servers: Vec<_> = (0..count).map(|_| limiter(per_second, true)).collect();
        let mut bucket = Bucket::new(per_second);
        let mut admitted = 0u64;
        let each = (per_second / 100).max(1);
        for now in (0..10_000).step_by(5) {
            for server in &mut servers {
                for _ in 0..each {
                    admitted += u64::from(request(server, &mut bucket, at(now)));
                }
            }
        }
        let one = u64::from(per_second) * 12;
        let slices = u64::from(servers[0].slice_max()) * count as u64;
        prop_assert!(admitted <= one + slices, "{admitted} of {one}");
        prop_assert!(admitted + 2 * slices + 2 >= one, "{admitted} of {one}");
    }
}
