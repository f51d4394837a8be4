//! The native shell of SommOS's performance engine: HTTP, SQLite and processes around
//! [`sommos_core`], which makes every decision.

pub mod auth;
pub mod cache;
pub mod config;
pub mod loadtest;
pub mod memtest;
pub mod queue;
pub mod sandbox;
pub mod system;
