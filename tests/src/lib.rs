//! Shared vectors and their runners: the same requests and expected answers for every shell.
//!
//! A vector is a JSON file of steps (README.md tells the format). [`replay()`] sends its steps to a
//! [`Shell`] and compares each answer with the expectation. The format knows nothing of Rust, so
//! that a runner in another language replays the same files.

pub mod client;
pub mod core_shell;
pub mod edge_shell;
pub mod matcher;
pub mod parallel;
pub mod redis_shell;
pub mod replay;
pub mod server_shell;
pub mod template;
pub mod vector;
pub mod wasm_shell;

pub use replay::{Reply, Send, Shell, replay};
pub use vector::{Vector, load_all};
