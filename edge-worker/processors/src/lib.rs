//! JavaScript processors of batches, in Boa, in a wasm module of their own.
//!
//! The rules and the messages are those of the native server's sandbox: the source is a function
//! of a chunk or an expression over `chunk`, promises settle, `console` discards, dates are in UTC
//! and the clock stands at the time handed in. `Math.random` starts from a fixed seed: the same
//! chunk gives the same result everywhere.
//!
//! The edge worker instantiates the module anew for every chunk, with a fixed maximum of memory
//! and a fixed number of steps, which `cargo xtask build-edge` builds into every loop of the
//! module. Steps or memory that run out, a stack that runs over and the engine's own panics are
//! traps of that instance alone; they end the chunk, not the worker. So nothing here counts bytes
//! or watches builtins. What ends as a [`Fault`] before that, with a better message: a loop over
//! its iterations, promises over their jobs, calls over their depth, a source or a result over its
//! size.
//!
//! # Not bounded
//! Wall time: steps are counted, not milliseconds. A chunk that uses them all takes seconds; where
//! the platform's CPU limit is shorter, that ends the invocation. The free plan's 10 ms do so for
//! all but small chunks. The shim gives all instances one memory, one after the other and zeroed
//! between: it stays as large as the largest chunk made it. Used as a library, without the module's
//! bounds, neither memory nor the work of builtins has a limit.
//!
//! Other than natively: JSON nested at most 127 deep on its way in, and the engine's own words in
//! the errors that it makes itself (`TypeError`, `SyntaxError`).

#[cfg(target_family = "wasm")]
mod abi;
mod chunk;
mod fault;
mod jobs;
mod json;
mod script;
#[cfg(test)]
mod tests;

pub use fault::{Fault, FaultKind};

/// Limits of one chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Iterations of the loops of one call of one function.
    pub loop_iterations: u64,
    /// Jobs of promises, in all; an `await` is one or a few.
    pub promise_jobs: u64,
    /// Calls within calls.
    pub recursion: usize,
    /// Length of the source, bytes.
    pub source_bytes: usize,
    /// Size of the result's JSON, bytes.
    pub output_bytes: usize,
}

impl Default for Limits {
    /// 10 million iterations, 500,000 jobs, 512 calls, 64 KiB of source, 16 MiB of output.
    fn default() -> Self {
        Self {
            loop_iterations: 10_000_000,
            promise_jobs: 500_000,
            recursion: 512,
            source_bytes: 64 << 10,
            output_bytes: 16 << 20,
        }
    }
}

/// Runs `source` over `chunk`, a JSON text, at the time `now_ms`; gives the JSON of the result.
///
/// # Errors
/// [`Fault`]: the same chunk would fail again.
pub fn run(source: &str, chunk: &[u8], limits: &Limits, now_ms: u64) -> Result<Vec<u8>, Fault> {
    if source.len() > limits.source_bytes {
        let message = format!("the source is longer than {} bytes", limits.source_bytes);
        return Err(Fault::new(FaultKind::Source, message));
    }
    script::Run::new(limits, now_ms)?.run(source, chunk)
}
