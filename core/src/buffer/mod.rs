//! Sequences of bounded or compressed size: circular buffer, run-length array, LRU map.

mod circular;
mod lru_map;
mod run_length;

#[cfg(test)]
mod tests;

pub use circular::CircularBuffer;
pub use lru_map::{LruMap, LruMapConfig};
pub use run_length::{RunLengthArray, RunLengthConfig};

use thiserror::Error;

/// Most elements of one buffer.
pub const ELEMENTS_MAX: usize = 1 << 30;

/// What a buffer refuses.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BufferError {
    /// A setting out of range.
    #[error("buffer {field} is {value}: must be {min} to {max}")]
    Config {
        /// Name of the field.
        field: &'static str,
        /// Its value.
        value: usize,
        /// Least value allowed.
        min: usize,
        /// Greatest value allowed.
        max: usize,
    },
    /// The array holds as many elements as it may.
    #[error("array is full: it holds {len} elements, the most it may")]
    Full {
        /// Elements held.
        len: usize,
    },
}

fn check(field: &'static str, value: usize, min: usize, max: usize) -> Result<(), BufferError> {
    if value < min || value > max {
        return Err(BufferError::Config {
            field,
            value,
            min,
            max,
        });
    }
    Ok(())
}
