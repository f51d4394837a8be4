//! A circuit breaker: a store that fails is not asked until a probe of it succeeded.
//!
//! Nygard, Release It! (2007), chapter 5.2: closed, open, half-open; the time open doubles with
//! every probe that fails.

use serde::Serialize;

use crate::time::Timestamp;

/// The bounds of a [`Breaker`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerConfig {
    /// Failures in a row that open it, count; at least 1.
    pub failures: u32,
    /// Time until the first probe, ms.
    pub open_ms: u64,
    /// Longest time between probes, ms.
    pub open_max_ms: u64,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            failures: 5,
            open_ms: 100,
            open_max_ms: 5000,
        }
    }
}

/// Where a breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum BreakerState {
    /// Calls pass.
    Closed,
    /// Calls are refused at once.
    Open,
    /// One call is on its way to find out.
    HalfOpen,
}

/// A circuit breaker.
#[derive(Debug, Clone)]
pub struct Breaker {
    config: BreakerConfig,
    state: BreakerState,
    failures: u32,
    wait_ms: u64,
    probe_at: Timestamp,
    opened: u64,
}

impl Breaker {
    /// A closed breaker.
    #[must_use]
    pub fn new(config: BreakerConfig) -> Self {
        Self {
            config,
            state: BreakerState::Closed,
            failures: 0,
            wait_ms: config.open_ms,
            probe_at: Timestamp::ZERO,
            opened: 0,
        }
    }

    /// Where it stands.
    #[must_use]
    pub fn state(&self) -> BreakerState {
        self.state
    }

    /// How often it opened, count.
    #[must_use]
    pub fn opened(&self) -> u64 {
        self.opened
    }

    /// When the next probe is due; `None` unless open.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        (self.state == BreakerState::Open).then_some(self.probe_at)
    }

    /// Whether an ordinary call may pass.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.state == BreakerState::Closed
    }

    /// Whether it is closed and the last call did not fail: another success changes nothing.
    #[must_use]
    pub fn is_calm(&self) -> bool {
        self.is_closed() && self.failures == 0
    }

    /// Whether the caller shall probe: once for each time that it is due. The caller must say how
    /// it went.
    pub fn probe(&mut self, now: Timestamp) -> bool {
        let due = self.state == BreakerState::Open && now >= self.probe_at;
        if due {
            self.state = BreakerState::HalfOpen;
        }
        due
    }

    /// A call succeeded. Open stays open: the answer was asked for before it failed.
    pub fn succeeded(&mut self) {
        self.failures = 0;
        if self.state == BreakerState::HalfOpen {
            self.state = BreakerState::Closed;
            self.wait_ms = self.config.open_ms;
        }
    }

    /// A call failed or took too long.
    pub fn failed(&mut self, now: Timestamp) {
        self.failures = self.failures.saturating_add(1);
        match self.state {
            BreakerState::Closed if self.failures >= self.config.failures.max(1) => {
                self.trip(now);
            }
            BreakerState::HalfOpen => {
                self.wait_ms = (self.wait_ms.saturating_mul(2)).min(self.config.open_max_ms);
                self.wait(now);
            }
            BreakerState::Closed | BreakerState::Open => {}
        }
    }

    /// Opens it at once: the connection is gone.
    pub fn trip(&mut self, now: Timestamp) {
        if self.state == BreakerState::Closed {
            self.opened += 1;
            self.wait_ms = self.config.open_ms.min(self.config.open_max_ms);
            self.wait(now);
        }
    }

    fn wait(&mut self, now: Timestamp) {
        self.state = BreakerState::Open;
        self.probe_at = now.plus_ms(self.wait_ms);
    }
}
