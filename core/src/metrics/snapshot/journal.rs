//! What changes between two snapshots, in small pieces: a row for each sample, and the present.
//!
//! A snapshot with a day of history is large, so a shell that must lose nothing but the last
//! interval writes one now and then and, with every sample, two small pieces: the row, which is
//! kept beside those before it, and the present, which replaces the one before.

use super::{
    SnapshotError, alerts,
    codec::{Packed, Reader, Writer},
    opened, routes, sealed, series,
};
use crate::{
    metrics::{
        Monitor, MonitorConfig, Sample,
        category::COLUMNS,
        state::{State, snapshot},
    },
    time::Timestamp,
};

const ROW: [u8; 4] = *b"SRow";
const PRESENT: [u8; 4] = *b"SNow";

/// What a shell wrote down of a registry.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Saved<'a> {
    /// The last [`Monitor::snapshot`].
    pub snapshot: &'a [u8],
    /// Each [`Monitor::row`] since, oldest first.
    pub rows: &'a [Vec<u8>],
    /// The last [`Monitor::present`], where there was one since.
    pub present: Option<&'a [u8]>,
}

impl Monitor {
    /// A sample as bytes, with the counters that the windows are made from: below 1 KB mostly, 7 KB
    /// when every bucket of the durations counts. Call it with what [`Monitor::sample`] just gave.
    #[must_use]
    pub fn row(&self, sample: &Sample) -> Vec<u8> {
        let copy = {
            let state = self.lock();
            snapshot(sample.timestamp, &self.traffic.totals(), &state.records)
        };
        sealed(ROW, |to| {
            sample.timestamp.pack(to);
            series::pack_cells(&sample.cells(), &mut [0; COLUMNS], to);
            series::pack_copy(&copy, to);
        })
    }

    /// Everything as bytes but the history and the windows, which the rows carry on: counters,
    /// alerts, errors, vitals and the last sample of the system. 2 KB for each route whose
    /// responses took all sorts of time, 0.2 MB for the most errors, vitals and alerts.
    #[must_use]
    pub fn present(&self, now: Timestamp) -> Vec<u8> {
        let state = self.lock();
        sealed(PRESENT, |to| {
            now.pack(to);
            routes::pack_traffic(&self.traffic, to);
            pack_present(&state, to);
        })
    }

    /// A registry that goes on from what was written down, as [`Monitor::restore`] does. The time
    /// since the present was written holds no data: it neither lets an alert's time pass nor its
    /// recovery's.
    ///
    /// # Errors
    /// What is wrong with any of the bytes, or with the configuration.
    pub fn resume(
        now: Timestamp,
        config: MonitorConfig,
        saved: Saved<'_>,
    ) -> Result<Self, SnapshotError> {
        let restored = Self::restore(now, config.clone(), saved.snapshot)?;
        let Some(present) = saved.present else {
            replay(&mut restored.lock(), saved.rows)?;
            restored.catch_up(now);
            return Ok(restored);
        };
        let monitor = Self::new(now, config)?;
        let mut from = opened(PRESENT, present)?;
        let written = Timestamp::unpack(&mut from)?;
        routes::unpack_traffic(&monitor.traffic, &mut from)?;
        {
            let mut state = monitor.lock();
            unpack_present(&mut state, &mut from)?;
            from.end()?;
            let mut series = restored.lock();
            std::mem::swap(&mut state.history, &mut series.history);
            std::mem::swap(&mut state.rolling, &mut series.rolling);
            replay(&mut state, saved.rows)?;
            state.alerts.pass_over(now.ms_since(written));
        }
        monitor.catch_up(now);
        Ok(monitor)
    }
}

fn replay(state: &mut State, rows: &[Vec<u8>]) -> Result<(), SnapshotError> {
    for bytes in rows {
        let mut from = opened(ROW, bytes)?;
        let at = Timestamp::unpack(&mut from)?;
        let cells = series::unpack_cells(&mut [0; COLUMNS], &mut from)?;
        let copy = series::unpack_copy(&mut from)?;
        from.end()?;
        state.history.push(at, cells);
        state.rolling.push(copy);
    }
    Ok(())
}

/// All but the history and the windows, in the order of every snapshot.
pub(super) fn pack_present(state: &State, to: &mut Writer) {
    state.records.pack(to);
    state.vitals.pack(to);
    alerts::pack_alerts(&state.alerts, to);
    state.system.pack(to);
    state.system_at.pack(to);
    state.system_run.pack(to);
}

/// Reads what [`pack_present`] wrote.
pub(super) fn unpack_present(
    state: &mut State,
    from: &mut Reader<'_>,
) -> Result<(), SnapshotError> {
    state.records = Packed::unpack(from)?;
    state.vitals = Packed::unpack(from)?;
    alerts::unpack_alerts(&mut state.alerts, from)?;
    state.system = Packed::unpack(from)?;
    state.system_at = Packed::unpack(from)?;
    state.system_run = Packed::unpack(from)?;
    Ok(())
}
