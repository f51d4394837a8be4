//! Probabilistic structures: the Bloom filter.

mod bloom;
mod codec;

#[cfg(test)]
mod tests;

pub use bloom::{BITS_MAX, BloomFilter, HASHES_MAX, SketchError};
