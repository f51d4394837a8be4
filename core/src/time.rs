//! Time as an argument.

use serde::{Deserialize, Serialize};

/// A point in time: Unix milliseconds. Every value up to 2^53 survives JSON.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The Unix epoch.
    pub const ZERO: Self = Self(0);
    /// Later than any deadline.
    pub const FAR_FUTURE: Self = Self(u64::MAX);

    /// This time plus `ms` milliseconds, at most [`Self::FAR_FUTURE`].
    #[must_use]
    pub const fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds since `earlier`; 0 when the clock went backwards.
    #[must_use]
    pub const fn ms_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}
