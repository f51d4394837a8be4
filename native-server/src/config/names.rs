//! Values of flags that are one of a few names.

use clap::ValueEnum;
use sommos_core::cache::CachePolicy;

/// Form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// [`CachePolicy`] as a flag's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CachePolicyName {
    /// Those not asked for longest.
    Lru,
    /// Learns from the accesses.
    Adaptive,
}

impl From<CachePolicyName> for CachePolicy {
    fn from(name: CachePolicyName) -> Self {
        match name {
            CachePolicyName::Lru => Self::Lru,
            CachePolicyName::Adaptive => Self::Adaptive,
        }
    }
}
