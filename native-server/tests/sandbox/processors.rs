//! What processors may be, and what they see.

use super::*;

#[test]
fn functions_arrows_async_functions_and_expressions_run() {
    let sandbox = sandbox();
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
    let look = "chunk => [typeof kept, ({}).owned === undefined, chunk.map(x => x),
        JSON.stringify({a: 1})]";
    let clean = json!(["undefined", true, [2], "{\"a\":1}"]);
    assert_eq!(run_in(&sandbox, look, &json!([2])), Ok(clean));
    assert_eq!(sandbox.stats().started, 1, "both ran in the same child");
}
