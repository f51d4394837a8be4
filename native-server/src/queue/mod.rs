//! The durable queue: SQLite, one writer with group commit, a pool of workers.
