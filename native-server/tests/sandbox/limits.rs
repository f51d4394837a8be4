//! Processors that would take the machine.

use super::*;

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
    let (kind, _) = broken_limit_in(
        &sandbox,
        "chunk => { const f = n => f(n + 1) + 1; return f(0) }",
        roomy,
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
        "() => { let o = {}; for (let i = 0; i < 1e5; i++) o = new Proxy(o, {}); return o.x ?? 1 }",
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
