//! What the store's clock shows, known from one look at it.

use crate::time::Timestamp;

/// Bounds of the store's clock. A look at it takes time: what it showed was true at some moment
/// between asking and hearing the answer.
#[derive(Debug, Clone, Copy, Default)]
pub struct StoreClock {
    /// Of the last look, in milliseconds of a local clock that nobody sets.
    asked: Timestamp,
    heard: Timestamp,
    showed: Timestamp,
}

impl StoreClock {
    /// The store's clock showed `showed`, asked at `asked` and heard at `heard` by a local clock,
    /// both whole milliseconds.
    #[must_use]
    pub fn seen(asked: Timestamp, heard: Timestamp, showed: Timestamp) -> Self {
        Self {
            asked,
            heard,
            showed,
        }
    }

    /// What it shows at least, at `now` of the local clock.
    #[must_use]
    pub fn earliest(&self, now: Timestamp) -> Timestamp {
        // Heard up to a millisecond after the one that the local clock told.
        self.showed
            .plus_ms(now.ms_since(self.heard).saturating_sub(1))
    }

    /// What it shows at most.
    #[must_use]
    pub fn latest(&self, now: Timestamp) -> Timestamp {
        // Rounded down were what it showed and what the local clock shows.
        self.showed
            .plus_ms(now.ms_since(self.asked).saturating_add(2))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// In microseconds, with clocks that tell whole milliseconds.
        #[test]
        fn the_true_time_is_between_the_bounds(
            ahead in 0u64..1 << 50,
            asked in 0u64..1 << 30,
            there in 0u64..1 << 20,
            back in 0u64..1 << 20,
            later in 0u64..1 << 40,
        ) {
            let ms = |us: u64| Timestamp(us / 1000);
            let heard = asked + there + back;
            let clock = StoreClock::seen(ms(asked), ms(heard), ms(asked + there + ahead));
            let now = heard + later;
            let is = ms(now + ahead);
            prop_assert!(clock.earliest(ms(now)) <= is && is <= clock.latest(ms(now)));
            let spread = clock.latest(ms(now)).ms_since(clock.earliest(ms(now)));
            prop_assert!(spread <= (there + back) / 1000 + 4);
        }
    }
}
