//! The output of a decompression: grows in steps and never past its limit.

use super::{CompressError, OutputLimits};

/// Bytes that the output grows by at least; also what a codec makes between two checkpoints.
const STEP: usize = 256 << 10;

pub(super) struct Output {
    /// Written bytes, then room that is zeroed but not written.
    data: Vec<u8>,
    written: usize,
    limit: usize,
    over: CompressError,
}

impl Output {
    pub(super) fn new(limits: &OutputLimits, input: usize) -> Self {
        let by_ratio = input
            .saturating_mul(limits.max_ratio)
            .max(limits.free_bytes);
        let over = if limits.max_bytes <= by_ratio {
            CompressError::TooLarge {
                limit: limits.max_bytes,
            }
        } else {
            CompressError::RatioExceeded {
                limit: limits.max_ratio,
            }
        };
        Self {
            data: Vec::new(),
            written: 0,
            limit: limits.max_bytes.min(by_ratio),
            over,
        }
    }

    pub(super) fn written(&self) -> usize {
        self.written
    }

    #[cfg(feature = "zstd")]
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// What is written from `start` on, and at least one byte of room behind it. One byte over
    /// the limit is room too: only a stream that fills it is too long.
    pub(super) fn since(&mut self, start: usize) -> &mut [u8] {
        if self.data.len() == self.written {
            let most = self.limit.saturating_add(1);
            // Doubling keeps copies linear; near the limit exactly what may still come.
            let capacity = (self.written * 2).max(STEP).min(most);
            self.data
                .reserve_exact(capacity.saturating_sub(self.written));
            let len = (self.written + STEP).min(most).max(self.written + 1);
            self.data.resize(len, 0);
        }
        self.data.get_mut(start..).unwrap_or_default()
    }

    /// Room for at least one byte.
    pub(super) fn room(&mut self) -> &mut [u8] {
        self.since(self.written)
    }

    /// The last `count` bytes of what has been written.
    pub(super) fn last(&self, count: usize) -> &[u8] {
        let start = self.written.saturating_sub(count);
        self.data.get(start..self.written).unwrap_or_default()
    }

    /// `count` bytes of the room are written now.
    pub(super) fn advance(&mut self, count: usize) -> Result<(), CompressError> {
        self.written = (self.written + count).min(self.data.len());
        if self.written > self.limit {
            return Err(self.over.clone());
        }
        Ok(())
    }

    /// Copies `bytes` behind what is written.
    #[cfg(any(test, not(feature = "native-codecs")))]
    #[cfg(any(feature = "brotli", feature = "zstd"))]
    pub(super) fn extend(&mut self, mut bytes: &[u8]) -> Result<(), CompressError> {
        while !bytes.is_empty() {
            let room = self.room();
            let count = room.len().min(bytes.len());
            let (now, later) = bytes.split_at(count);
            room[..count].copy_from_slice(now);
            bytes = later;
            self.advance(count)?;
        }
        Ok(())
    }

    pub(super) fn into_vec(mut self) -> Vec<u8> {
        self.data.truncate(self.written);
        // A caller that keeps the result keeps no room beside it.
        if self.data.capacity() - self.written > self.written / 8 {
            self.data.shrink_to_fit();
        }
        self.data
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capacity_never_exceeds_the_limit_and_a_byte() {
        let limits = OutputLimits {
            max_bytes: 3 * STEP + 17,
            max_ratio: usize::MAX,
            free_bytes: 0,
        };
        let mut out = Output::new(&limits, 1);
        let mut total = 0;
        let error = loop {
            let count = out.room().len().min(STEP / 3);
            total += count;
            if let Err(error) = out.advance(count) {
                break error;
            }
            assert!(out.data.capacity() <= limits.max_bytes + 1);
        };
        assert_eq!(total, limits.max_bytes + 1);
        assert!(matches!(error, CompressError::TooLarge { limit } if limit == limits.max_bytes));
    }
}
