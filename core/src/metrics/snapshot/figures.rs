//! The figures of an instance as bytes, for the others to add up.

use super::{
    SnapshotError,
    codec::{Packed, Reader, Writer, packed},
    opened, sealed,
};
use crate::metrics::{
    Figures, Histogram, Instance, InstanceJobs, record::Predictions, window::WindowCounts,
};

const MAGIC: [u8; 4] = *b"SFig";
/// Most that a counter of one instance may be: 2^14 of them add up without running over.
const COUNT_MAX: u64 = 1 << 48;
const ADDRESS_BYTES_MAX: usize = 256;

packed! { InstanceJobs { active, queued } }

/// A counter of one instance.
fn counter(from: &mut Reader<'_>) -> Result<u64, SnapshotError> {
    let value = from.number()?;
    from.check(value <= COUNT_MAX, "a counter over 2^48")?;
    Ok(value)
}

/// A sum of fractions, which is neither negative nor infinite.
fn sum(from: &mut Reader<'_>) -> Result<f64, SnapshotError> {
    let value = f64::unpack(from)?;
    from.check(
        (0.0..=1e300).contains(&value),
        "a sum that is not of figures",
    )?;
    Ok(value)
}

impl Packed for WindowCounts {
    fn pack(&self, to: &mut Writer) {
        self.span_ms.pack(to);
        self.per_second.pack(to);
        for count in [
            self.responses,
            self.errors,
            self.sum_us,
            self.queries,
            self.slow_queries,
            self.hits,
            self.misses,
        ] {
            count.pack(to);
        }
        self.durations.pack(to);
    }

    fn unpack(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        let window = Self {
            span_ms: counter(from)?,
            per_second: sum(from)?,
            responses: counter(from)?,
            errors: counter(from)?,
            sum_us: counter(from)?,
            queries: counter(from)?,
            slow_queries: counter(from)?,
            hits: counter(from)?,
            misses: counter(from)?,
            durations: Histogram::unpack(from)?,
        };
        let fits = window.durations.count() <= COUNT_MAX;
        from.check(fits, "a histogram of over 2^48 values")?;
        Ok(window)
    }
}

impl Packed for Figures {
    fn pack(&self, to: &mut Writer) {
        for count in [
            self.requests,
            self.in_flight,
            self.responses,
            self.errors,
            self.measured,
            self.sum_us,
            self.queries,
            self.slow_queries,
            self.hits,
            self.misses,
            self.alerts,
            self.cpu.1,
        ] {
            count.pack(to);
        }
        self.query_ms.pack(to);
        self.cpu.0.pack(to);
        self.predictions.pack(to);
        self.memory.pack(to);
        self.uptime_s.pack(to);
        for window in &self.windows {
            window.pack(to);
        }
    }

    fn unpack(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        let mut figures = Self::default();
        for count in [
            &mut figures.requests,
            &mut figures.in_flight,
            &mut figures.responses,
            &mut figures.errors,
            &mut figures.measured,
            &mut figures.sum_us,
            &mut figures.queries,
            &mut figures.slow_queries,
            &mut figures.hits,
            &mut figures.misses,
            &mut figures.alerts,
            &mut figures.cpu.1,
        ] {
            *count = counter(from)?;
        }
        figures.query_ms = sum(from)?;
        figures.cpu.0 = sum(from)?;
        figures.predictions = Predictions {
            count: counter(from)?,
            ms: sum(from)?,
            accuracy: sum(from)?,
            rated: counter(from)?,
        };
        figures.memory = Packed::unpack(from)?;
        figures.uptime_s = Packed::unpack(from)?;
        for window in &mut figures.windows {
            *window = WindowCounts::unpack(from)?;
        }
        Ok(figures)
    }
}

impl Instance {
    /// The longest that [`Self::encode`] can give, bytes: three histograms whose every bucket has a
    /// large count. Some kilobytes are usual.
    pub const BYTES_MAX: usize = 64 * 1024;

    /// As bytes, the same on every platform.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        sealed(MAGIC, |to| {
            super::super::clipped(&self.address, ADDRESS_BYTES_MAX).pack(to);
            self.fresh_ms.pack(to);
            self.jobs.pack(to);
            self.figures.pack(to);
        })
    }

    /// Reads what another instance encoded. Nothing of it is trusted beyond what adds up without
    /// running over.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let mut from = opened(MAGIC, bytes)?;
        let instance = Self {
            address: from.text(ADDRESS_BYTES_MAX)?,
            fresh_ms: counter(&mut from)?,
            jobs: Packed::unpack(&mut from)?,
            figures: Figures::unpack(&mut from)?,
        };
        from.end()?;
        Ok(instance)
    }
}
