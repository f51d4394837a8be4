//! What is recorded behind the mutex, the web vitals and the sample of the system.

use super::{
    SnapshotError,
    codec::{Packed, Reader, Writer, packed},
};
use crate::metrics::{
    CacheFigures, ErrorEntry, ErrorType, SystemSample,
    record::{MESSAGES_MAX, MODELS_MAX, NAME_BYTES_MAX, Predictions, Records, TYPES_MAX},
    vitals::{self, CUSTOM, CUSTOM_MAX, VITALS, Vital, Vitals},
};

packed! { CacheFigures { hits, misses, size, memory } }
packed! { Predictions { count, ms, accuracy, rated } }
packed! { ErrorEntry { timestamp, kind, message, context } }
packed! { ErrorType { kind, count, last_message, last_at } }
packed! { SystemSample {
    cpu_percent, memory_used, memory_total, process_cpu_percent, rss, threads, disk_used,
    disk_total, load1, uptime_s, load5, load15, disk_read, disk_write, network_in, network_out,
    open_files, heap_used, process_read, process_write,
} }

impl Predictions {
    fn check(&self, from: &Reader<'_>) -> Result<(), SnapshotError> {
        from.count(self.count)?;
        from.count(self.rated)?;
        Ok(())
    }
}

impl Packed for Records {
    fn pack(&self, to: &mut Writer) {
        to.list(self.types.iter());
        to.list(self.recent.iter());
        to.list(self.models.iter());
        self.errors.pack(to);
        self.cache.pack(to);
        self.reported.pack(to);
        self.queries.pack(to);
        self.slow_queries.pack(to);
        self.query_ms.pack(to);
        self.predictions.pack(to);
    }

    // The last type and the last model, beyond those counted apart, are `other`.
    fn unpack(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        let types: Vec<ErrorType> = from.list(TYPES_MAX + 1, "more error types than are kept")?;
        let recent: Vec<ErrorEntry> = from.list(MESSAGES_MAX, "more errors than are kept")?;
        let models: Vec<(Box<str>, Predictions)> =
            from.list(MODELS_MAX + 1, "more models than are kept")?;
        let kinds = types.iter().map(|t| &t.kind);
        let kinds = kinds.chain(recent.iter().map(|entry| &entry.kind));
        let mut names = kinds.chain(models.iter().map(|(name, _)| name));
        let fit = names.all(|name| name.len() <= NAME_BYTES_MAX);
        from.check(fit, "a name that is too long")?;
        for error in &types {
            from.count(error.count)?;
        }
        for (_, predictions) in &models {
            predictions.check(from)?;
        }
        let records = Self {
            types,
            recent: recent.into(),
            models,
            errors: Packed::unpack(from)?,
            cache: Packed::unpack(from)?,
            reported: Packed::unpack(from)?,
            queries: Packed::unpack(from)?,
            slow_queries: Packed::unpack(from)?,
            query_ms: Packed::unpack(from)?,
            predictions: Packed::unpack(from)?,
        };
        for count in [records.errors, records.queries, records.slow_queries] {
            from.count(count)?;
        }
        records.predictions.check(from)?;
        Ok(records)
    }
}

impl Packed for Vital {
    fn pack(&self, to: &mut Writer) {
        self.name.pack(to);
        self.count.pack(to);
        for value in [self.sum, self.min, self.max, self.last] {
            value.pack(to);
        }
        for rating in &self.ratings {
            rating.pack(to);
        }
        self.values.pack(to);
    }

    fn unpack(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        let vital = Self {
            name: from.text(vitals::NAME_BYTES_MAX)?,
            count: Packed::unpack(from)?,
            sum: Packed::unpack(from)?,
            min: Packed::unpack(from)?,
            max: Packed::unpack(from)?,
            last: Packed::unpack(from)?,
            ratings: [from.number()?, from.number()?, from.number()?],
            values: Packed::unpack(from)?,
        };
        let known = VITALS.iter().any(|(name, ..)| *name == &*vital.name)
            || vital
                .name
                .strip_prefix(CUSTOM)
                .is_some_and(|rest| !rest.is_empty());
        from.check(known, "a metric that does not exist")?;
        // Percentiles are clamped to these: the wrong way round, that would panic.
        from.check(vital.min <= vital.max, "a smallest value over the largest")?;
        for count in vital.ratings.into_iter().chain([vital.count]) {
            from.count(count)?;
        }
        Ok(vital)
    }
}

impl Packed for Vitals {
    fn pack(&self, to: &mut Writer) {
        to.list(self.0.iter());
    }

    fn unpack(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        const WHAT: &str = "more metrics than are kept";
        let length = from.length(VITALS.len() + CUSTOM_MAX, WHAT)?;
        let mut vitals = Self::default();
        for _ in 0..length {
            let vital = Vital::unpack(from)?;
            from.check(!vitals.has(&vital.name), "a metric that stands there twice")?;
            vitals.0.push(vital);
        }
        let custom = vitals
            .0
            .iter()
            .filter(|vital| vital.name.starts_with(CUSTOM));
        from.check(custom.count() <= CUSTOM_MAX, WHAT)?;
        Ok(vitals)
    }
}
