//! What sampling once a second costs, over a minute:
//! `cargo test -p sommos-server --test sampling_cost -- --nocapture`.

// A test may unwrap: a panic there is the report.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use support::{Folder, Server, until};

const SAMPLES: f64 = 60.0;

#[test]
fn the_share_of_one_core_is_printed() {
    let folder = Folder::new("cost");
    let flags = ["--monitoring-interval-ms", "1000"];
    let server = Server::start(folder.path(), &flags);
    let metric = |name: &str| server.metric(name).unwrap();
    until("the first samples", || {
        (metric("sommos_samples_total") >= 2.0).then_some(())
    });
    let (first, cpu) = (
        metric("sommos_samples_total"),
        metric("sommos_sampling_cpu_seconds_total"),
    );
    let mut last = first;
    while last < first + SAMPLES {
        last = until("a minute of samples", || {
            let count = metric("sommos_samples_total");
            (count >= (last + 10.0).min(first + SAMPLES)).then_some(count)
        });
    }
    let samples = last - first;
    let used = metric("sommos_sampling_cpu_seconds_total") - cpu;
    println!(
        "{samples} samples: {:.2} ms of CPU each, {:.3} % of one core at one a second",
        used * 1000.0 / samples,
        used * 100.0 / samples
    );
    assert!(used > 0.0 && samples >= SAMPLES);
}
