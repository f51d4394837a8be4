//! Data sets in chunks: the plan of a batch, its progress, and the built-in operations on records.
