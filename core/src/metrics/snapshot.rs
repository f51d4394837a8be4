//! The registry as bytes, for hosts that end a process and start another in its place.
//!
//! A head of 13 bytes (four of magic, the version, length and CRC-32 of the rest, little-endian),
//! then numbers and texts as in [`codec`]. Rows and copies are written as what changed since the
//! one before, counters of buckets without the empty ones. The bytes depend on no platform.
//!
//! Nothing read is trusted beyond the checksum: lengths are held against the input and the bounds
//! of the live registry, counters against sums that could overflow.

mod alerts;
mod codec;
mod figures;
mod journal;
mod records;
mod routes;
mod series;

use thiserror::Error;

use self::codec::{Packed, Reader, Writer};
pub use self::journal::Saved;
use super::{
    Monitor, MonitorConfig, MonitorError,
    category::COLUMNS,
    histogram::BUCKETS,
    state::State,
    traffic::{BOUNDARIES_US, CLASSES},
};
use crate::time::Timestamp;

const MAGIC: [u8; 4] = *b"SMet";
const VERSION: u8 = 2;
const HEAD_BYTES: usize = 13;

// Version 2 stands for these. Who changes one, or any order in which fields are packed, gives the
// format another version.
const _: () = assert!(COLUMNS == 48 && BUCKETS == 896 && CLASSES == 5 && BOUNDARIES_US.len() == 14);

/// Why bytes could not be restored.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The bytes begin otherwise.
    #[error("no snapshot of metrics: it must begin with \"SMet\" and a head of 13 bytes")]
    NotASnapshot,
    /// Written in another format.
    #[error("a snapshot of metrics of version {found}; this build reads version {known}")]
    Version {
        /// The version of the bytes.
        found: u8,
        /// The version that is read.
        known: u8,
    },
    /// Bytes are missing at the end, or too many.
    #[error(
        "a snapshot of metrics with {found} bytes after its head; it was written with {written}"
    )]
    Length {
        /// Bytes there are.
        found: u64,
        /// Bytes that the head names.
        written: u64,
    },
    /// The bytes are not those that were written.
    #[error(
        "the snapshot of metrics is damaged: its checksum is {found:08x}, written was {written:08x}"
    )]
    Checksum {
        /// CRC-32 of the bytes.
        found: u32,
        /// CRC-32 that the head names.
        written: u32,
    },
    /// The bytes mean nothing that a registry can hold.
    #[error("the snapshot of metrics is malformed before byte {at}: {what}")]
    Malformed {
        /// Where reading stopped, from the begin.
        at: usize,
        /// What is wrong there.
        what: &'static str,
    },
    /// The configuration was refused.
    #[error(transparent)]
    Config(#[from] MonitorError),
}

impl Monitor {
    /// Everything that answers depend on, as bytes for [`Monitor::restore`]: counters, windows,
    /// history, alerts, errors, vitals and the last sample of the system. Not the configuration,
    /// and not which requests are at work: they end with the process.
    ///
    /// The same state gives the same bytes on every platform. A full day of history and full
    /// windows take about 0.4 MB, a route whose responses took all sorts of time 2 KB more.
    #[must_use]
    pub fn snapshot(&self) -> Vec<u8> {
        let state = self.lock();
        sealed(MAGIC, |to| {
            routes::pack_traffic(&self.traffic, to);
            journal::pack_present(&state, to);
            state.rolling.pack(to);
            series::pack_history(&state.history, to);
        })
    }

    /// A registry that goes on from a [`Monitor::snapshot`], under a configuration of its own.
    ///
    /// - Routes are found again by method and template. What belongs to one that is no longer
    ///   listed counts as `other`, so that totals go on; a new one begins at zero.
    /// - Alerts are found again by their rule's name; where the rule is gone or disabled, an open
    ///   alert is dropped. Alerts that ended stay remembered.
    /// - A shorter history keeps the youngest rows.
    /// - No request is in flight; those begun stay counted.
    /// - The windows cover the time between, as after any pause; they begin at `now` when the
    ///   snapshot is more than a minute ahead of it.
    ///
    /// # Errors
    /// What is wrong with the bytes, or with the configuration as [`Monitor::new`].
    pub fn restore(
        now: Timestamp,
        config: MonitorConfig,
        bytes: &[u8],
    ) -> Result<Self, SnapshotError> {
        let mut from = opened(MAGIC, bytes)?;
        let monitor = Self::new(now, config)?;
        routes::unpack_traffic(&monitor.traffic, &mut from)?;
        unpack_state(&mut monitor.lock(), &mut from)?;
        from.end()?;
        monitor.catch_up(now);
        Ok(monitor)
    }
}

/// A head for what `pack` writes, and that.
fn sealed(magic: [u8; 4], pack: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut to = Writer(vec![0; HEAD_BYTES]);
    pack(&mut to);
    let mut bytes = to.0;
    let (head, body) = bytes.split_at_mut(HEAD_BYTES);
    head[..4].copy_from_slice(&magic);
    head[4] = VERSION;
    head[5..9].copy_from_slice(&(body.len() as u32).to_le_bytes());
    head[9..].copy_from_slice(&crc32fast::hash(body).to_le_bytes());
    bytes
}

/// A reader of what stands after the head, which must fit it.
fn opened(magic: [u8; 4], bytes: &[u8]) -> Result<Reader<'_>, SnapshotError> {
    let Some((head, body)) = bytes.split_first_chunk::<HEAD_BYTES>() else {
        return Err(SnapshotError::NotASnapshot);
    };
    let [m0, m1, m2, m3, found, l0, l1, l2, l3, c0, c1, c2, c3] = *head;
    if [m0, m1, m2, m3] != magic {
        return Err(SnapshotError::NotASnapshot);
    }
    if found != VERSION {
        return Err(SnapshotError::Version {
            found,
            known: VERSION,
        });
    }
    let (found, written) = (
        body.len() as u64,
        u32::from_le_bytes([l0, l1, l2, l3]).into(),
    );
    if found != written {
        return Err(SnapshotError::Length { found, written });
    }
    let (found, written) = (crc32fast::hash(body), u32::from_le_bytes([c0, c1, c2, c3]));
    if found != written {
        return Err(SnapshotError::Checksum { found, written });
    }
    Ok(Reader::new(bytes, HEAD_BYTES))
}

fn unpack_state(state: &mut State, from: &mut Reader<'_>) -> Result<(), SnapshotError> {
    journal::unpack_present(state, from)?;
    state.rolling = Packed::unpack(from)?;
    series::unpack_history(&mut state.history, from)
}
