//! Bindings of the core for JavaScript: one file a class. They translate and do nothing else.

mod service;

pub use service::{Answer, Service};
