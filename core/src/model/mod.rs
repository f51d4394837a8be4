//! Biased matrix factorization over ratings.
