//! Processors, well-behaved and hostile, in the real child process.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod children;
mod limits;
mod processors;

use std::{
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use sommos_core::control::{Control, Stopped, Unstoppable};
use sommos_server::sandbox::{
    LimitKind, Limits, ProcessorErrorKind, Sandbox, SandboxError, SandboxOptions,
};

const SHORT: Limits = Limits {
    time_ms: 400,
    memory_bytes: 64 << 20,
    output_bytes: 8 << 20,
    stack_bytes: 512 << 10,
};

fn options() -> SandboxOptions {
    SandboxOptions {
        program: env!("CARGO_BIN_EXE_sommos-server").into(),
        children_max: 2,
        ..SandboxOptions::default()
    }
}

fn sandbox() -> Sandbox {
    Sandbox::new(options()).unwrap()
}

fn run_in(sandbox: &Sandbox, source: &str, chunk: &Value) -> Result<Value, SandboxError> {
    // Generous: these tests are about results, and the machine may be busy.
    let limits = Limits {
        time_ms: 20_000,
        ..SHORT
    };
    let out = sandbox.run(source, chunk.to_string().as_bytes(), limits, &Unstoppable)?;
    Ok(serde_json::from_slice(&out).expect("output is JSON"))
}

fn run(source: &str, chunk: &Value) -> Result<Value, SandboxError> {
    run_in(&sandbox(), source, chunk)
}

fn fault(source: &str) -> (ProcessorErrorKind, String, Option<u32>) {
    match run(source, &json!([1])) {
        Err(SandboxError::Processor {
            kind,
            message,
            line,
        }) => (kind, message, line),
        other => panic!("{source}: expected a processor error, got {other:?}"),
    }
}

/// Runs a hostile source under the short limits and checks that it ends in time.
fn broken_limit(sandbox: &Sandbox, source: &str) -> (LimitKind, String) {
    broken_limit_in(sandbox, source, SHORT)
}

fn broken_limit_in(sandbox: &Sandbox, source: &str, limits: Limits) -> (LimitKind, String) {
    let started = Instant::now();
    let result = sandbox.run(source, b"[1]", limits, &Unstoppable);
    let took = started.elapsed();
    // The promise: limit + 1 s. The rest is for starting a child on a busy machine.
    assert!(
        took < Duration::from_millis(limits.time_ms + 3000),
        "{source}: took {took:?}"
    );
    match result {
        Err(error @ SandboxError::Limit { .. }) => {
            assert!(!error.is_retryable());
            let SandboxError::Limit { kind, message } = error else {
                unreachable!()
            };
            (kind, message)
        }
        other => panic!("{source}: expected a limit, got {other:?}"),
    }
}

fn children_of_this_process() -> Vec<u32> {
    let mut children = Vec::new();
    for entry in std::fs::read_dir("/proc/self/task").unwrap() {
        let path = entry.unwrap().path().join("children");
        let list = std::fs::read_to_string(path).unwrap_or_default();
        children.extend(
            list.split_whitespace()
                .map(|pid| pid.parse::<u32>().unwrap()),
        );
    }
    children
}
