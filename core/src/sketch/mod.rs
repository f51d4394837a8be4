//! Probabilistic structures: the Bloom filter.
