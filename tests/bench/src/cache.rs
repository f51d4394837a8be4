//! The `cache` workloads: read-through on Zipf keys, replays of real traces, the Bloom filter.

mod bloom;
mod otter;
mod peers;
mod published;
mod threads;
mod traces;
mod weighted;
mod zipf;

use crate::{Options, report::Report};

/// Runs them.
pub fn run(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    zipf::run(options, report)?;
    threads::run(options, report)?;
    bloom::run(options, report)?;
    traces::run(options, report)
}
