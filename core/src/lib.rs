//! The decisions of SommOS's performance engine, without any I/O.
//!
//! This crate never reads a clock, never draws randomness, opens no file and no socket and starts
//! no thread. Time arrives as [`time::Timestamp`], seeds as integers, parallelism as [`par::Par`],
//! the right to go on as [`control::Control`]. Deadlines go back to the caller, who waits.
//!
//! The domain modules know nothing of HTTP or JSON envelopes; [`wire`] alone knows the format, and
//! no domain module imports it.

pub mod batch;
pub mod buffer;
pub mod cache;
pub mod compress;
pub mod control;
pub mod distributed;
pub mod events;
pub mod features;
pub mod id;
pub mod jobs;
pub mod ledger;
pub mod limits;
pub mod matrix;
pub mod metrics;
pub mod model;
mod pages;
pub mod par;
pub mod rng;
pub mod service;
mod simd;
pub mod similarity;
pub mod sketch;
pub mod time;
pub mod wire;
