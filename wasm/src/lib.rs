//! Bindings of the core for JavaScript: one file a class. They translate and do nothing else.
//!
//! A module of the package is this crate with some of its features; see `Cargo.toml`.

#[cfg(feature = "engine")]
pub mod batch;
#[cfg(feature = "engine")]
pub mod bloom;
#[cfg(feature = "engine")]
pub mod cache;
#[cfg(any(
    feature = "engine",
    feature = "compute",
    feature = "tasks",
    feature = "codecs"
))]
mod checkpoint;
#[cfg(feature = "engine")]
pub mod circular;
#[cfg(any(feature = "compute", feature = "codecs"))]
pub mod compress;
mod error;
#[cfg(feature = "engine")]
pub mod jobs;
#[cfg(feature = "engine")]
pub mod lz4;
#[cfg(feature = "compute")]
pub mod matrix;
#[cfg(feature = "engine")]
pub mod memory;
#[cfg(feature = "monitor")]
pub mod monitor;
#[cfg(feature = "engine")]
pub mod run_length;
#[cfg(feature = "service")]
pub mod service;
#[cfg(feature = "compute")]
pub mod similarity;
#[cfg(feature = "engine")]
pub mod sparse;
#[cfg(feature = "tasks")]
pub mod tasks;

#[cfg(feature = "threads")]
pub use wasm_bindgen_rayon::init_thread_pool;
