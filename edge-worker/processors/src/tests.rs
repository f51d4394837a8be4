//! Processors, well-behaved and faulty. What ends as a trap is tested in workerd.
#![allow(clippy::unwrap_used, clippy::panic)]

use serde_json::{Value, json};

use super::{Fault, FaultKind, Limits};

const NOW_MS: u64 = 1_700_000_000_000;

fn run_in(source: &str, chunk: &Value, limits: &Limits) -> Result<Value, Fault> {
    let out = super::run(source, chunk.to_string().as_bytes(), limits, NOW_MS)?;
    Ok(serde_json::from_slice(&out).unwrap())
}

fn run(source: &str, chunk: &Value) -> Result<Value, Fault> {
    run_in(source, chunk, &Limits::default())
}

fn fault(source: &str) -> (FaultKind, String, Option<u32>) {
    match run(source, &json!([1])) {
        Err(fault) => (fault.kind, fault.message, fault.line),
        other => panic!("{source}: expected a fault, got {other:?}"),
    }
}

#[test]
fn functions_arrows_async_functions_and_expressions_run() {
    let chunk = json!([{"id": 1, "value": "data1"}, {"id": 2}]);
    let marked =
        json!([{"id": 1, "value": "data1", "processed": true}, {"id": 2, "processed": true}]);
    for source in [
        "function(chunk) { return chunk.map(item => ({...item, processed: true})); }",
        "chunk => chunk.map(item => ({...item, processed: true}));",
        "async function f(chunk) { await 0; return chunk.map(i => ({...i, processed: !0})) } // x",
        "async (chunk) => Promise.all(chunk.map(async i => ({...i, processed: true})))",
        "chunk.map(item => ({...item, processed: true}))",
        "function mark(i) { return {...i, processed: true} }\n(chunk) => chunk.map(mark)",
        "/* a */ c => { console.log(c); return c.map(i => Object.assign(i, {processed: true})) }\n",
    ] {
        assert_eq!(run(source, &chunk), Ok(marked.clone()), "{source}");
    }
    assert_eq!(run("c => c.length", &chunk), Ok(json!(2)));
    assert_eq!(run("() => null", &chunk), Ok(json!(null)));
    assert_eq!(run("() => Date.now()", &chunk), Ok(json!(NOW_MS)));
    let noon = run("() => new Date(2020, 5, 1, 12).toISOString()", &chunk);
    assert_eq!(noon, Ok(json!("2020-06-01T12:00:00.000Z")));
    assert_eq!(
        run("c => 'żółć \u{1F377}'", &chunk),
        Ok(json!("żółć \u{1F377}"))
    );
}

/// The sources of `tests/vectors/batch/javascript*.json`.
#[test]
fn the_vectors_answer_as_natively() {
    let threes =
        "function(chunk) { if (chunk.includes(3)) throw new Error(\"no threes\"); return chunk; }";
    assert_eq!(run(threes, &json!([1])), Ok(json!([1])));
    let error = run(threes, &json!([3])).unwrap_err();
    assert_eq!(error.to_string(), "processor: Error: no threes (line 1)");
    let filter = "chunk => chunk.filter(x => x > 1)";
    assert_eq!(run(filter, &json!([1, 2])), Ok(json!([2])));
    assert_eq!(fault("function(chunk) { return").0, FaultKind::Syntax);
}

#[test]
fn faults_say_what_and_where() {
    use FaultKind::{BadResult, Exception, NotAFunction, Syntax};
    let (kind, message, line) = fault("chunk => {\n  return chunk.map(;\n}");
    assert_eq!((kind, line), (Syntax, Some(2)), "{message}");
    assert!(message.starts_with("SyntaxError: "), "{message}");
    let (kind, message, line) = fault("chunk => {\n\n  throw new TypeError('no vintage');\n}");
    assert_eq!((kind, line), (Exception, Some(3)));
    assert_eq!(message, "TypeError: no vintage");
    let (kind, message, _) = fault("chunk => { throw {code: 7} }");
    assert_eq!((kind, message.as_str()), (Exception, "threw {\"code\":7}"));
    let (kind, message, _) = fault("async chunk => { await 0; throw new Error('later') }");
    assert_eq!((kind, message.as_str()), (Exception, "Error: later"));
    let (kind, message, _) = fault(
        "chunk => { class Corked extends Error { get name() { return 'Corked' } } throw new Corked('2003') }",
    );
    assert_eq!((kind, message.as_str()), (Exception, "Corked: 2003"));
    let (kind, message, _) = fault("42");
    assert_eq!(kind, NotAFunction);
    assert!(message.contains("of type int, not a function"), "{message}");
    let (kind, message, _) = fault("chunk => { chunk.map(x => x) }");
    assert_eq!(kind, BadResult);
    assert_eq!(
        message,
        "returned undefined; return an array or another JSON value"
    );
    assert_eq!(fault("chunk => new Promise(() => {})").0, BadResult);
    assert_eq!(
        fault("chunk => { const a = []; a.push(a); return a }").0,
        BadResult
    );
    assert_eq!(fault("chunk => 10n").0, BadResult);
    assert_eq!(fault("chunk => missing(chunk)").0, Exception);
    assert_eq!(fault("chunk => JSON.parse('{')").0, Exception);
    assert_eq!(fault("async chunk => import('fs')").0, Exception);
}

#[test]
fn json_passes_as_it_is() {
    let text =
        r#"[{"b":1,"a":[null,true,-0.5,1e300,4294967296],"2":"x","1":"\u0000ż","__proto__":7}]"#;
    let out = super::run("c => c", text.as_bytes(), &Limits::default(), NOW_MS).unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        r#"[{"1":"\u0000ż","2":"x","b":1,"a":[null,true,-0.5,1e+300,4294967296],"__proto__":7}]"#
    );
    let source = "c => [undefined, () => 1, NaN, -0, 1e21, 0.1, new Date(0), {a: undefined, b: 1},
        '\\ud800\"\\n', new Number(3), new String('s'), new Boolean(false), [], {},
        {toJSON(k) { return 'key ' + k }}, JSON.stringify({a: [1, {}]}, null, 2), JSON.parse('[1]')]";
    let out = super::run(source, b"[]", &Limits::default(), NOW_MS).unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        r#"[null,null,null,0,1e+21,0.1,"1970-01-01T00:00:00.000Z",{"b":1},"\ud800\"\n",3,"s",false,[],{},"key 14","{\n  \"a\": [\n    1,\n    {}\n  ]\n}",[1]]"#
    );
    let broken = super::run("c => c", b"[1", &Limits::default(), NOW_MS).unwrap_err();
    assert_eq!(broken.kind, FaultKind::Exception);
    let deep = "[".repeat(200) + &"]".repeat(200);
    let deep = super::run("c => c", deep.as_bytes(), &Limits::default(), NOW_MS).unwrap_err();
    assert!(deep.message.contains("recursion limit"), "{deep}");
}

#[test]
fn a_processor_sees_no_host_and_no_other_run() {
    let source = "chunk => ['require', 'process', 'fetch', 'setTimeout', 'WebAssembly', 'Atomics',
        'SharedArrayBuffer', 'WeakRef', 'eval', 'gc', 'chunk']
        .filter(name => globalThis[name] !== undefined)";
    assert_eq!(run(source, &json!([1])), Ok(json!([])));
    let poison = "chunk => { Object.prototype.owned = 1; Array.prototype.map = () => 'stolen';
        JSON.stringify = () => 'forged'; Promise.prototype.then = undefined; return [chunk] }";
    assert_eq!(run(poison, &json!([1])), Ok(json!([[1]])));
    let look = "chunk => [({}).owned === undefined, chunk.map(x => x), JSON.stringify({a: 1})]";
    assert_eq!(run(look, &json!([2])), Ok(json!([true, [2], "{\"a\":1}"])));
}

#[test]
fn endless_work_ends() {
    let limits = Limits {
        loop_iterations: 100_000,
        promise_jobs: 100_000,
        ..Limits::default()
    };
    for source in [
        "chunk => { for (;;) {} }",
        "chunk => { while (true) { try { for (;;) {} } catch (e) {} finally { continue } } }",
        "chunk => chunk.map(() => { for (;;) {} })",
        "async chunk => { for (;;) await 0 }",
        "chunk => { const f = () => Promise.resolve().then(f); return f() }",
        "chunk => ({ toJSON() { for (;;) {} } })",
        "for (;chunk;) {}",
    ] {
        let fault = run_in(source, &json!([1]), &limits).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Work, "{source}: {fault}");
        assert!(fault.message.contains("100000"), "{fault}");
    }
}

#[test]
fn depth_and_size_end() {
    let recursion = fault("chunk => { const f = n => f(n + 1) + 1; return f(0) }");
    assert_eq!(recursion.0, FaultKind::Stack);
    assert_eq!(recursion.1, "RangeError: Maximum call stack size exceeded");
    let getter = fault("chunk => { const o = { get a() { return this.a } }; return o.a }");
    assert_eq!(getter.0, FaultKind::Stack);
    let sum = "chunk => { const f = n => n === 0 ? 0 : 1 + f(n - 1); return f(400) }";
    assert_eq!(run(sum, &json!([1])), Ok(json!(400)));

    let limits = Limits {
        output_bytes: 5,
        ..Limits::default()
    };
    assert_eq!(
        run_in("c => 'żó'", &json!([]), &limits).unwrap_err().kind,
        FaultKind::Output
    );
    assert_eq!(run_in("c => 'żo'", &json!([]), &limits), Ok(json!("żo")));
    let long = fault(&" ".repeat((64 << 10) + 1));
    assert_eq!(
        (long.0, long.1.as_str()),
        (FaultKind::Source, "the source is longer than 65536 bytes")
    );
}
