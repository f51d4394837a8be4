//! Processors, well-behaved and hostile, in the real child process.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

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

#[test]
fn functions_arrows_async_functions_and_expressions_run() {
    let sandbox = sandbox();
    let chunk = json!([{"id": 1, "value": "data1"}, {"id": 2}]);
    let marked =
        json!([{"id": 1, "value": "data1", "processed": true}, {"id": 2, "processed": true}]);
    for source in [
        "function(chunk) { return chunk.map(item => ({...item, processed: true})); }",
        "chunk => chunk.map(item => ({...item, processed: true}));",
        "async function run(chunk) { await null; return chunk.map(i => ({...i, processed: true})) } // x",
        "async (chunk) => Promise.all(chunk.map(async i => ({...i, processed: true})))",
        "chunk.map(item => ({...item, processed: true}))",
        "function mark(i) { return {...i, processed: true} }\n(chunk) => chunk.map(mark)",
        "  /* a */ chunk => { console.log('x'); return chunk.map(i => Object.assign(i, {processed: true})) }\n",
    ] {
        assert_eq!(
            run_in(&sandbox, source, &chunk),
            Ok(marked.clone()),
            "{source}"
        );
    }
    assert_eq!(run_in(&sandbox, "c => c.length", &chunk), Ok(json!(2)));
    assert_eq!(run_in(&sandbox, "() => null", &chunk), Ok(json!(null)));
    assert_eq!(
        run_in(&sandbox, "c => 'żółć \u{1F377}'", &chunk),
        Ok(json!("żółć \u{1F377}"))
    );
}

#[test]
fn faults_say_what_and_where() {
    let (kind, message, line) = fault("chunk => {\n  return chunk.map(;\n}");
    assert_eq!(
        (kind, line),
        (ProcessorErrorKind::Syntax, Some(2)),
        "{message}"
    );
    let (kind, message, line) = fault("chunk => {\n\n  throw new TypeError('no vintage');\n}");
    assert_eq!((kind, line), (ProcessorErrorKind::Exception, Some(3)));
    assert_eq!(message, "TypeError: no vintage");
    let (kind, message, _) = fault("chunk => { throw {code: 7} }");
    assert_eq!(
        (kind, message.as_str()),
        (ProcessorErrorKind::Exception, "threw {\"code\":7}")
    );
    let (kind, message, _) = fault("async chunk => { await 0; throw new Error('later') }");
    assert_eq!(
        (kind, message.as_str()),
        (ProcessorErrorKind::Exception, "Error: later")
    );
    assert_eq!(fault("42").0, ProcessorErrorKind::NotAFunction);
    let (kind, message, _) = fault("chunk => { chunk.map(x => x) }");
    assert_eq!(kind, ProcessorErrorKind::BadResult);
    assert!(message.contains("undefined"), "{message}");
    assert_eq!(
        fault("chunk => new Promise(() => {})").0,
        ProcessorErrorKind::BadResult
    );
    assert_eq!(
        fault("chunk => { const a = []; a.push(a); return a }").0,
        ProcessorErrorKind::BadResult
    );
    assert_eq!(fault("chunk => 10n").0, ProcessorErrorKind::BadResult);
    assert_eq!(
        fault("chunk => missing(chunk)").0,
        ProcessorErrorKind::Exception
    );
}

#[test]
fn every_limit_ends_the_chunk_and_the_child() {
    let sandbox = sandbox();
    let times = [
        "chunk => { for (;;) {} }",
        "chunk => { for (;;) { try { for (;;) {} } catch (e) {} } }",
        // Time inside builtins does not reach the interrupt handler: only the kill ends it.
        "chunk => { const a = Array.from({length: 100000}, (_, i) => (i * 7919) % 100003); \
         for (;;) { a.sort(); a.reverse() } }",
        "async chunk => { for (;;) await 0 }",
        "chunk => /^(a+)+$/.test('a'.repeat(40) + '!')",
        "chunk => ({ toJSON() { for (;;) {} } })",
        "for (;chunk;) {}",
    ];
    for source in times {
        let (kind, message) = broken_limit(&sandbox, source);
        assert_eq!(kind, LimitKind::Time, "{source}: {message}");
        assert!(message.contains("400 ms"), "{message}");
    }
    // Time enough, so that the limit under test comes first on a busy machine too.
    let roomy = Limits {
        time_ms: 20_000,
        ..SHORT
    };
    let memory = [
        "chunk => { const a = []; for (;;) a.push(new Array(1000).fill(1)) }",
        "chunk => { let s = 'x'; for (;;) s += s + 'y' }",
        "chunk => 'x'.repeat(2 ** 29).split('')",
        "chunk => new Uint8Array(2 ** 30)",
        "chunk => { const m = new Map(); for (let i = 0; ; i++) m.set(i, {i}) }",
    ];
    for source in memory {
        let (kind, message) = broken_limit_in(&sandbox, source, roomy);
        assert_eq!(kind, LimitKind::Memory, "{source}: {message}");
    }
    let output = [
        "chunk => 'x'.repeat(10 << 20)",
        // A gigabyte of JSON out of a megabyte of heap.
        "chunk => new Array(1000).fill('x'.repeat(1 << 20))",
        "chunk => new Array(100000).fill(new Array(10000).fill(0))",
    ];
    for source in output {
        let (kind, message) = broken_limit_in(&sandbox, source, roomy);
        assert_eq!(kind, LimitKind::Output, "{source}: {message}");
    }
    let (kind, _) = broken_limit(
        &sandbox,
        "chunk => { const f = n => f(n + 1) + 1; return f(0) }",
    );
    assert_eq!(kind, LimitKind::Stack);
    assert_eq!(
        sandbox.stats().idle,
        0,
        "a child that broke a limit is not reused"
    );
    assert_eq!(sandbox.stats().started, sandbox.stats().ended);
    assert_eq!(
        run_in(&sandbox, "c => c", &json!([1])),
        Ok(json!([1])),
        "the next chunk runs"
    );
}

#[test]
fn other_chunks_go_on_beside_a_hostile_one() {
    let sandbox = sandbox();
    std::thread::scope(|scope| {
        let hostile =
            scope.spawn(|| broken_limit(&sandbox, "chunk => { for (;;) [3, 1, 2].sort() }"));
        let mut good = 0;
        while !hostile.is_finished() || good == 0 {
            assert_eq!(
                run_in(&sandbox, "c => c.map(n => n + 1)", &json!([good])),
                Ok(json!([good + 1]))
            );
            good += 1;
        }
        assert_eq!(hostile.join().unwrap().0, LimitKind::Time);
    });
}

#[test]
fn a_processor_sees_no_host() {
    let sandbox = sandbox();
    let seen = run_in(
        &sandbox,
        "async chunk => {
            const see = async probe => {
                try { const v = await probe(); return v === undefined ? 'undefined' : String(v) }
                catch (e) { return 'threw ' + e.name }
            };
            const global = (0, (() => {}).constructor)('return globalThis')();
            const names = ['require', 'process', 'fetch', 'module', 'std', 'os', 'bjson', 'Worker',
                'setTimeout', 'WebAssembly', 'Atomics', 'SharedArrayBuffer', 'eval', 'scriptArgs',
                'XMLHttpRequest', 'Deno', 'Bun', 'print', 'loadScript', 'gc'];
            return {
                globals: names.filter(name => global[name] !== undefined),
                require: await see(() => require('fs')),
                fetch: await see(() => fetch('http://127.0.0.1/')),
                process: await see(() => process.env),
                import: await see(() => import('os')),
                file: await see(() => import('file:///etc/passwd')),
                escape: await see(() => chunk.constructor.constructor('return process')()),
                caller: await see(() => (function () { return arguments.callee.caller })()),
            };
        }",
        &json!([1]),
    )
    .unwrap();
    assert_eq!(
        seen,
        json!({
            "globals": [],
            "require": "threw ReferenceError",
            "fetch": "threw ReferenceError",
            "process": "threw ReferenceError",
            "import": seen["import"],
            "file": seen["file"],
            "escape": "threw ReferenceError",
            "caller": seen["caller"],
        })
    );
    for name in ["import", "file"] {
        assert!(seen[name].as_str().unwrap().starts_with("threw "), "{seen}");
    }
    assert!(
        !seen["caller"].as_str().unwrap().contains("native"),
        "{seen}"
    );
}

#[test]
fn nothing_leaks_into_the_next_chunk() {
    let sandbox = Sandbox::new(SandboxOptions {
        children_max: 1,
        ..options()
    })
    .unwrap();
    let poison = "chunk => {
        Object.prototype.owned = 1; Array.prototype.map = () => 'stolen';
        JSON.stringify = () => 'forged'; JSON.parse = () => 'forged';
        Promise.prototype.then = undefined; globalThis.kept = chunk; return chunk
    }";
    assert_eq!(run_in(&sandbox, poison, &json!([1])), Ok(json!([1])));
    let look = "chunk => [typeof kept, ({}).owned === undefined, chunk.map(x => x), JSON.stringify({a: 1})]";
    let clean = json!(["undefined", true, [2], "{\"a\":1}"]);
    assert_eq!(run_in(&sandbox, look, &json!([2])), Ok(clean));
    assert_eq!(sandbox.stats().started, 1, "both ran in the same child");
}

/// Cancels at the first question after `set`.
struct Switch(AtomicBool);

impl Control for Switch {
    fn checkpoint(&self, _: u64, _: u64) -> Result<(), Stopped> {
        if self.0.load(Ordering::Relaxed) {
            Err(Stopped::Cancelled)
        } else {
            Ok(())
        }
    }
}

#[test]
fn a_cancel_ends_a_running_and_a_waiting_chunk() {
    let sandbox = Sandbox::new(SandboxOptions {
        children_max: 1,
        ..options()
    })
    .unwrap();
    let switch = Switch(AtomicBool::new(false));
    let limits = Limits {
        time_ms: 60_000,
        ..SHORT
    };
    std::thread::scope(|scope| {
        let calls: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| sandbox.run("chunk => { for (;;) {} }", b"[1]", limits, &switch))
            })
            .collect();
        while sandbox.stats().started == 0 {
            std::thread::yield_now();
        }
        switch.0.store(true, Ordering::Relaxed);
        for call in calls {
            assert_eq!(
                call.join().unwrap(),
                Err(SandboxError::Stopped(Stopped::Cancelled))
            );
        }
    });
    assert_eq!(sandbox.stats().busy, 0);
}

#[test]
fn no_child_is_left_over() {
    // Other tests of this process have children too: look at these by id.
    let sandbox = sandbox();
    run_in(&sandbox, "c => c", &json!([1])).unwrap();
    let ids = sandbox.idle_ids();
    assert_eq!(ids.len(), 1);
    assert!(
        children_of_this_process().contains(&ids[0]),
        "a warm child is a child of ours"
    );
    broken_limit(&sandbox, "chunk => { for (;;) {} }");
    assert!(
        !children_of_this_process().contains(&ids[0]),
        "killed and reaped"
    );
    run_in(&sandbox, "c => c", &json!([1])).unwrap();
    let ids = sandbox.idle_ids();
    drop(sandbox);
    assert!(
        !Path::new(&format!("/proc/{}", ids[0])).exists(),
        "ended with its sandbox"
    );
}

#[test]
fn children_are_recycled_and_idle_ones_end() {
    let few = SandboxOptions {
        children_max: 1,
        chunks_max: 3,
        idle_ms: 1,
        ..options()
    };
    let sandbox = Sandbox::new(few).unwrap();
    for n in 0..7 {
        run_in(&sandbox, "c => c", &json!([n])).unwrap();
    }
    assert!(sandbox.stats().started >= 3, "{:?}", sandbox.stats());
    let patience = Instant::now() + Duration::from_secs(20);
    while sandbox.stats().idle > 0 {
        assert!(Instant::now() < patience, "an idle child did not end");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_child_killed_from_outside_is_replaced() {
    let sandbox = Sandbox::new(SandboxOptions {
        children_max: 1,
        ..options()
    })
    .unwrap();
    run_in(&sandbox, "c => c", &json!([1])).unwrap();
    let id = sandbox.idle_ids()[0];
    let status = std::process::Command::new("kill")
        .args(["-9", &id.to_string()])
        .status()
        .unwrap();
    assert!(status.success());
    // Whether the pool sees the death before or during the exchange, only "retry" may come out.
    match run_in(&sandbox, "c => c", &json!([2])) {
        Ok(value) => assert_eq!(value, json!([2])),
        Err(error) => assert!(error.is_retryable(), "{error}"),
    }
    assert_eq!(run_in(&sandbox, "c => c", &json!([3])), Ok(json!([3])));
}

#[test]
fn a_missing_program_is_retryable() {
    let sandbox = Sandbox::new(SandboxOptions {
        program: "/nonexistent/sommos".into(),
        ..options()
    })
    .unwrap();
    let error = sandbox
        .run("c => c", b"[1]", SHORT, &Unstoppable)
        .unwrap_err();
    assert!(error.is_retryable(), "{error}");
}

#[test]
#[cfg(target_os = "linux")]
fn the_layers_are_told_and_hold() {
    let sandbox = sandbox();
    let layers = sandbox.layers().unwrap();
    for name in [
        "parent_death_signal",
        "closed_descriptors",
        "no_new_privileges",
        "resource_limits",
    ] {
        assert!(layers.is_active(name), "{layers}");
    }
    // Of these two a kernel may have none; then the layer says why.
    for layer in layers.0.iter().filter(|layer| !layer.active) {
        assert!(
            ["landlock", "seccomp"].contains(&layer.name.as_str()),
            "{layer:?}"
        );
        assert!(layer.detail.is_some(), "{layer:?}");
    }
    let id = sandbox.idle_ids()[0];
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let field = |name: &str| {
        let line = status
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap_or_default();
        line.split_whitespace()
            .nth(1)
            .unwrap_or_default()
            .to_owned()
    };
    assert_eq!(field("NoNewPrivs:"), "1");
    assert_eq!(
        field("Seccomp:"),
        if layers.is_active("seccomp") {
            "2"
        } else {
            "0"
        }
    );
    assert_eq!(field("Threads:"), "1");
}

#[test]
fn recursion_inside_the_engine_is_a_clear_error() {
    let sandbox = sandbox();
    let limits = Limits {
        time_ms: 20_000,
        ..SHORT
    };
    let deep = "(".repeat(200_000);
    let sources = [
        "chunk => { let a = []; for (let i = 0; i < 1e6; i++) a = [a]; return a }",
        "chunk => { let a = []; for (let i = 0; i < 1e5; i++) a = [a]; return String(a) }",
        "chunk => JSON.parse('['.repeat(1e6) + ']'.repeat(1e6))",
        "chunk => new RegExp('('.repeat(1e5) + ')'.repeat(1e5)).test('a')",
        "chunk => (() => 0).constructor('('.repeat(1e6))",
        "chunk => { let o = {}; for (let i = 0; i < 1e5; i++) o = new Proxy(o, {}); return o.x ?? 1 }",
        "chunk => { let f = () => 1; for (let i = 0; i < 1e5; i++) f = f.bind(null); return f() }",
        "chunk => { const o = { get a() { return this.a } }; return o.a }",
        "chunk => [1, 2].sort(function f() { return f() })",
        "chunk => chunk.map(function f() { return [1].map(f) })",
        deep.as_str(),
    ];
    for source in sources {
        let name = &source[..source.len().min(60)];
        match sandbox.run(source, b"[1]", limits, &Unstoppable) {
            Err(SandboxError::Processor { kind, message, .. }) => {
                assert_ne!(kind, ProcessorErrorKind::Crashed, "{name}: {message}");
            }
            Err(SandboxError::Limit { .. }) => {}
            other => panic!("{name}: {other:?}"),
        }
    }
    let nested = "[".repeat(1_000_000) + &"]".repeat(1_000_000);
    let result = sandbox.run("c => 1", nested.as_bytes(), limits, &Unstoppable);
    assert!(
        matches!(
            result,
            Err(SandboxError::Limit {
                kind: LimitKind::Stack,
                ..
            })
        ),
        "{result:?}"
    );
    let result = sandbox.run("c => 1", b"[1,", limits, &Unstoppable);
    assert!(
        matches!(result, Err(SandboxError::Processor { .. })),
        "{result:?}"
    );
}

#[test]
fn a_child_without_its_parent_ends() {
    let child = |parent: u32| {
        std::process::Command::new(env!("CARGO_BIN_EXE_sommos-server"))
            .args(["sandbox-child", &parent.to_string(), "8000000000", "10"])
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .status()
            .unwrap()
    };
    assert!(
        child(std::process::id()).success(),
        "a closed pipe is the normal end"
    );
    assert_eq!(
        child(1 << 30).code(),
        Some(71),
        "another parent than the one announced"
    );
}
