//! Processor source text in a killable child process.
//!
//! A processor is JavaScript that a caller sent: nothing in this process may depend on its good
//! behaviour. Each chunk therefore runs in a child of the same binary (`sandbox-child`) that gave
//! up files, network, processes and most system calls before it read a byte of source, with QuickJS
//! inside its own memory, stack and time limits. Those limits are the polite ones; the hard one is
//! the parent, which kills the child shortly after the deadline whatever the child is doing.
//!
//! What a processor sees: a fresh global object for each chunk, the standard ECMAScript objects, a
//! `console` that discards, the chunk as an argument. What it does not see: modules, timers, files,
//! the network, the environment, other chunks; dates are in UTC. A fresh context for each chunk makes a result
//! independent of which child ran it and of what ran there before.
//!
//! ```no_run
//! use sommos_core::control::Unstoppable;
//! use sommos_server::sandbox::{Limits, Sandbox, SandboxOptions};
//!
//! let sandbox = Sandbox::new(SandboxOptions::default())?;
//! let source = "chunk => chunk.map(n => n * 2)";
//! let out = sandbox.run(source, b"[1,2]", Limits::default(), &Unstoppable)?;
//! assert_eq!(out, b"[2,4]");
//! # Ok::<(), sommos_server::sandbox::SandboxError>(())
//! ```
//!
//! This module never trusts a length that a child announces, never reads more than the output
//! limit, never waits for a child without a deadline, and leaves no zombie.

mod child;
mod confine;
mod error;
mod frame;
mod pool;
mod process;
mod script;

pub use child::child_main;
pub use confine::{Layer, Layers};
pub use error::{LimitKind, ProcessorErrorKind, SandboxError};
pub use pool::{Sandbox, SandboxOptions, SandboxStats};

/// The first argument that makes the binary a sandbox child instead of a server.
pub const CHILD_COMMAND: &str = "sandbox-child";

/// The limits of one chunk. Each is lowered to the pool's own maximum where it is above.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Wall time for parse, run and serialization, milliseconds.
    pub time_ms: u64,
    /// Memory of the JavaScript heap, the parsed chunk included, bytes.
    pub memory_bytes: u64,
    /// Size of the result's JSON, bytes.
    pub output_bytes: u64,
    /// Stack of the interpreter, bytes; at most 4 MiB counts.
    pub stack_bytes: u64,
}

impl Default for Limits {
    /// 30 s, 256 MiB, 64 MiB of output, 1 MiB of stack.
    fn default() -> Self {
        Self {
            time_ms: 30_000,
            memory_bytes: 256 << 20,
            output_bytes: 64 << 20,
            stack_bytes: 1 << 20,
        }
    }
}
