//! Where the process spends its CPU time, as a flame graph.
//!
//! A timer of the system counts the process's CPU time and interrupts whichever thread is at work
//! (SIGPROF), 199 times a second of it; the handler walks that thread's stack. Interrupted system
//! calls go on by themselves (SA_RESTART). Children neither inherit the timer nor the handler.

#[cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
mod sampler;

use std::time::Duration;

use thiserror::Error;
use tokio::sync::Semaphore;

/// Timer and handler are the process's: one profile at a time.
static TURN: Semaphore = Semaphore::const_new(1);

/// Why there is no flame graph.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// Another is being taken.
    #[error("a profile is being taken already; try again when it is done, within 60 s")]
    Busy,
    /// This system cannot be sampled.
    #[error("profiles are taken on Linux with x86-64 or AArch64 only")]
    Unsupported,
    /// No thread was at work.
    #[error("the process used no CPU time meanwhile, so there is nothing to draw; put it to work")]
    Idle,
    /// The sampler failed.
    #[error("no profile: {0}")]
    Failed(String),
}

/// Samples the process for `length` and draws what it saw: an SVG document. Costs about 1 % of the
/// CPU time meanwhile, and up to a second of one core to find the functions' names afterwards.
/// Dropping the future ends the sampling.
///
/// # Errors
/// [`ProfileError`].
pub async fn flame_graph(length: Duration) -> Result<Vec<u8>, ProfileError> {
    let turn = TURN.try_acquire().map_err(|_| ProfileError::Busy)?;
    #[cfg(all(
        target_os = "linux",
        any(target_arch = "x86_64", target_arch = "aarch64")
    ))]
    {
        let sampling = sampler::start()?;
        tokio::time::sleep(length).await;
        let drawn = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            sampling.draw(length)
        });
        drawn
            .await
            .unwrap_or_else(|error| Err(ProfileError::Failed(error.to_string())))
    }
    #[cfg(not(all(
        target_os = "linux",
        any(target_arch = "x86_64", target_arch = "aarch64")
    )))]
    {
        drop((turn, length));
        Err(ProfileError::Unsupported)
    }
}
