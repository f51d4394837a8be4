//! [`AllocationLedger`]: bytes that a host application says it allocated and gave back.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What the ledger refuses. Nothing is then counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// The sum would be over the limit.
    #[error("{used} tracked bytes would be over the limit of {limit}")]
    OverLimit {
        /// What would be tracked, bytes.
        used: u64,
        /// Most that may be, bytes.
        limit: u64,
    },
    /// More given back than is tracked.
    #[error("{size} bytes is more than the {tracked} bytes that are tracked")]
    NotTracked {
        /// Bytes given back.
        size: u64,
        /// Bytes tracked.
        tracked: u64,
    },
}

/// Tracked bytes, their peak and the calls that changed them. Every call is O(1).
///
/// ```
/// use sommos_core::ledger::AllocationLedger;
/// let mut ledger = AllocationLedger::new(1000);
/// ledger.allocate(600)?;
/// assert!(ledger.allocate(500).is_err());
/// assert_eq!((ledger.deallocate(600)?, ledger.peak()), (0, 600));
/// # Ok::<(), sommos_core::ledger::LedgerError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllocationLedger {
    usage: u64,
    peak: u64,
    allocations: u64,
    deallocations: u64,
    limit: u64,
}

impl AllocationLedger {
    /// A ledger that refuses to go over `limit` bytes.
    #[must_use]
    pub fn new(limit: u64) -> Self {
        Self {
            limit,
            ..Self::default()
        }
    }

    /// Adds `size` bytes and gives the sum.
    ///
    /// # Errors
    /// [`LedgerError::OverLimit`].
    pub fn allocate(&mut self, size: u64) -> Result<u64, LedgerError> {
        let used = self.usage.saturating_add(size);
        let limit = self.limit;
        if used > limit {
            return Err(LedgerError::OverLimit { used, limit });
        }
        self.usage = used;
        self.peak = self.peak.max(used);
        self.allocations += 1;
        Ok(used)
    }

    /// Takes `size` bytes away and gives the rest.
    ///
    /// # Errors
    /// [`LedgerError::NotTracked`].
    pub fn deallocate(&mut self, size: u64) -> Result<u64, LedgerError> {
        let tracked = self.usage;
        if size > tracked {
            return Err(LedgerError::NotTracked { size, tracked });
        }
        self.usage -= size;
        self.deallocations += 1;
        Ok(self.usage)
    }

    /// Bytes tracked now.
    #[must_use]
    pub fn usage(&self) -> u64 {
        self.usage
    }

    /// The most bytes that were tracked.
    #[must_use]
    pub fn peak(&self) -> u64 {
        self.peak
    }

    /// Allocations counted.
    #[must_use]
    pub fn allocations(&self) -> u64 {
        self.allocations
    }

    /// Deallocations counted.
    #[must_use]
    pub fn deallocations(&self) -> u64 {
        self.deallocations
    }

    /// Most bytes.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_call_counts_nothing() {
        let mut ledger = AllocationLedger::new(100);
        assert_eq!(ledger.allocate(60), Ok(60));
        assert_eq!(ledger.allocate(40), Ok(100));
        let before = ledger.clone();
        assert_eq!(
            ledger.allocate(u64::MAX),
            Err(LedgerError::OverLimit {
                used: u64::MAX,
                limit: 100
            })
        );
        assert_eq!(
            ledger.deallocate(101).unwrap_err().to_string(),
            "101 bytes is more than the 100 bytes that are tracked"
        );
        assert_eq!(ledger, before);
        assert_eq!(ledger.deallocate(70), Ok(30));
        assert_eq!((ledger.peak(), ledger.usage()), (100, 30));
        assert_eq!((ledger.allocations(), ledger.deallocations()), (2, 1));
    }
}
