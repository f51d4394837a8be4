//! The sampler of pprof, and what it must leave alone.

use std::{ffi::CStr, time::Duration};

use pprof::{ProfilerGuard, ProfilerGuardBuilder, flamegraph::Options};

use super::ProfileError;

/// Samples a second of CPU time: no divisor of what runs a hundred or a thousand times a second.
const FREQUENCY: i32 = 199;

/// A sampling under way; ends when dropped.
pub(super) struct Sampling(ProfilerGuard<'static>);

pub(super) fn start() -> Result<Sampling, ProfileError> {
    ProfilerGuardBuilder::default()
        .frequency(FREQUENCY)
        .blocklist(blocked())
        .build()
        .map(Sampling)
        .map_err(failed)
}

impl Sampling {
    /// Ends it and draws it.
    pub(super) fn draw(self, length: Duration) -> Result<Vec<u8>, ProfileError> {
        let report = self.0.report().build().map_err(failed)?;
        drop(self);
        if report.data.is_empty() {
            return Err(ProfileError::Idle);
        }
        let mut options = Options::default();
        options.title = format!("sommos-server: CPU time over {} s", length.as_secs());
        options.count_name = "samples".to_owned();
        let mut svg = Vec::new();
        report
            .flamegraph_with_options(&mut svg, &mut options)
            .map_err(failed)?;
        Ok(svg)
    }
}

fn failed(error: pprof::Error) -> ProfileError {
    ProfileError::Failed(error.to_string())
}

/// Libraries in whose midst no stack is walked; such samples are left out. The kernel's (vdso) is
/// described wrongly by some. Walking a stack asks the C library where code lies, which before
/// glibc 2.35 takes a lock that the interrupted thread might hold: there it is left alone, at the
/// price of not seeing system calls.
fn blocked() -> &'static [&'static str] {
    match finds_code_without_a_lock() {
        true => &["vdso"],
        false => &["libc", "libgcc", "pthread", "vdso"],
    }
}

#[cfg(target_env = "gnu")]
#[expect(
    unsafe_code,
    reason = "the C library's version is told by a C function"
)]
fn finds_code_without_a_lock() -> bool {
    // SAFETY: takes nothing, and gives a string that is constant and ends with a zero.
    let version = unsafe { CStr::from_ptr(libc::gnu_get_libc_version()) };
    let mut numbers = version
        .to_str()
        .unwrap_or_default()
        .split('.')
        .map(|number| number.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    version >= (2, 35)
}

#[cfg(not(target_env = "gnu"))]
fn finds_code_without_a_lock() -> bool {
    false
}
