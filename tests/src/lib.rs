//! Shared vectors and their runners.
