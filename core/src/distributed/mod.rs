//! What several servers with one store between them decide: when to trust their own copies, when
//! to stop asking a store that fails, what to repeat once it is back. No I/O: the native server
//! does what comes out.
//!
//! The store is a Redis that tells its clients which keys changed (client tracking). Its messages
//! and its answers come over one connection and in order, so a copy read before a change and
//! entered after the message of it is found by [`Coherence`] and not kept.

mod breaker;
mod clock;
mod coherence;
mod entry;
mod rate;
mod replay;

pub use breaker::{Breaker, BreakerConfig, BreakerState};
pub use clock::StoreClock;
pub use coherence::{Coherence, Flight, Trust};
pub use entry::{EntryError, SharedEntry, Tag};
pub use rate::{Grant, RateLimiter, Verdict};
pub use replay::{Change, Replay, ReplayStats};

#[cfg(test)]
mod tests;
