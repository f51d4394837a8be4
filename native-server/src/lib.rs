//! The native shell of SommOS's performance engine: HTTP, SQLite and processes around
//! [`sommos_core`], which makes every decision.

pub mod allocator;
pub mod app;
pub mod auth;
pub mod cache;
pub mod config;
mod connections;
pub mod cors;
pub mod distributed;
pub mod executor;
mod gather;
pub mod handlers;
pub mod http;
pub mod loading;
pub mod loadtest;
pub mod memtest;
pub mod monitoring;
pub mod profile;
mod push;
pub mod queue;
pub mod sandbox;
pub mod server;
pub mod system;
pub mod warming;
