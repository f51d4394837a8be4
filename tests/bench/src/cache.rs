//! The `cache` workloads.

use crate::{Options, report::Report};

/// Runs them.
pub fn run(_options: &Options, _report: &mut Report) -> anyhow::Result<()> {
    Ok(())
}
