//! Wrong and oversized input: the right refusal for each, and bounded memory.

use std::{io::Write as _, thread, time::Instant};

use anyhow::{Context as _, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use flate2::{Compression, write::GzEncoder};
use serde_json::json;

use super::{
    Options,
    http::{Framing, text},
    load::wait,
    server::{Folder, Server},
};

const MB: usize = 1 << 20;
/// The server's defaults that the bound is made of: bodies in memory, largest body, stored payloads
/// that are kept in memory.
const BODIES: u64 = 256 << 20;
const BODY: u64 = 32 << 20;
const PAYLOADS: u64 = 64 << 20;
/// Most bytes that a byte of a body becomes while it is read: an empty array of two bytes and its
/// comma is a value of 72.
const EXPANSION: u64 = 24;
/// What the server needs besides, and what its allocator keeps.
const BESIDES: u64 = 192 << 20;
/// Bodies at once, and the size of each.
const CROWD: usize = 64;
const CROWD_BYTES: usize = 30 * MB;

#[derive(Clone)]
struct Case {
    name: &'static str,
    path: &'static str,
    lines: &'static str,
    body: Vec<u8>,
    framing: Framing,
    expected: (u16, &'static str),
}

const JSON: &str = "content-type: application/json\r\n";
const SET: &str = "/api/performance/cache/set";
const JOB: &str = "/api/performance/async/job";
const BATCH: &str = "/api/performance/batch/process";

fn case(
    name: &'static str,
    path: &'static str,
    body: impl Into<Vec<u8>>,
    status: u16,
    code: &'static str,
) -> Case {
    let (lines, framing, body) = (JSON, Framing::Length, body.into());
    Case {
        name,
        path,
        lines,
        body,
        framing,
        expected: (status, code),
    }
}

fn job(name: &'static str, job_type: &str, data: &str, status: u16, code: &'static str) -> Case {
    let body = format!(r#"{{"jobType":"{job_type}","data":{data}}}"#);
    case(name, JOB, body, status, code)
}

/// Fields with wrong values.
fn fields() -> Vec<Case> {
    let bad = "INVALID_FIELD";
    let batch = |name, options: &str| {
        let body = format!(r#"{{"data":[1],"options":{{{options}}}}}"#);
        case(name, BATCH, body, 400, bad)
    };
    let options = |name, options: &str| {
        let body = format!(
            r#"{{"jobType":"data_processing","data":{{"dataset":[],"operations":[]}},
            "options":{{{options}}}}}"#
        );
        case(name, JOB, body, 400, bad)
    };
    vec![
        batch("batchSize 0", r#""batchSize":0"#),
        batch("batchSize 10^9", r#""batchSize":1000000000"#),
        batch("maxConcurrency 10^9", r#""maxConcurrency":1000000000"#),
        case(
            "ttl \"abc\"",
            SET,
            r#"{"key":"k","value":1,"ttl":"abc"}"#,
            400,
            bad,
        ),
        case("ttl 0", SET, r#"{"key":"k","value":1,"ttl":0}"#, 400, bad),
        case("no value", SET, r#"{"key":"k"}"#, 400, "MISSING_FIELD"),
        options("priority -1", r#""priority":-1"#),
        options("priority 10^9", r#""priority":1000000000"#),
        options("timeout 0", r#""timeout":0"#),
        options("retries 10^9", r#""retries":1000000000"#),
        case(
            "job type unknown",
            JOB,
            r#"{"jobType":"x","data":{}}"#,
            400,
            "UNKNOWN_NAME",
        ),
        case("no body", JOB, "", 400, "INVALID_JSON"),
        case("not JSON", JOB, "{\"jobType\": ", 400, "INVALID_JSON"),
        case(
            "not UTF-8",
            SET,
            b"{\"key\":\"\xff\xfe\",\"value\":1}".as_slice(),
            400,
            "INVALID_JSON",
        ),
        case("data no array", BATCH, r#"{"data":{"a":1}}"#, 400, bad),
        case(
            "processor no function",
            BATCH,
            r#"{"data":[1],"processor":"evil"}"#,
            400,
            "UNKNOWN_NAME",
        ),
    ]
}

/// Matrices and ratings.
fn shapes() -> Vec<Case> {
    let bad = "INVALID_FIELD";
    let product = "matrix_multiplication";
    let mut npy = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    let header = "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000, 1000000000), }";
    npy.extend_from_slice(format!("{header:<117}\n").as_bytes());
    vec![
        job(
            "ragged matrix",
            product,
            r#"{"matrixA":[[1,2],[3]],"matrixB":[[1],[2]]}"#,
            400,
            bad,
        ),
        job(
            "mismatched matrices",
            product,
            r#"{"matrixA":[[1,2]],"matrixB":[[1,2]]}"#,
            400,
            bad,
        ),
        job(
            "empty matrix",
            product,
            r#"{"matrixA":[],"matrixB":[]}"#,
            400,
            bad,
        ),
        job(
            "NaN",
            product,
            r#"{"matrixA":[[NaN]],"matrixB":[[1]]}"#,
            400,
            "INVALID_JSON",
        ),
        job(
            "1e999",
            product,
            r#"{"matrixA":[[1e999]],"matrixB":[[1]]}"#,
            400,
            bad,
        ),
        job(
            "null in a matrix",
            product,
            r#"{"matrixA":[[null]],"matrixB":[[1]]}"#,
            400,
            bad,
        ),
        job(
            "10^9 x 10^9 without data",
            product,
            r#"{"matrixA":{"rows":1000000000,"cols":1000000000,"data":[]},"matrixB":[[1]]}"#,
            400,
            bad,
        ),
        job(
            "2^32 x 2^32 without data",
            product,
            r#"{"matrixA":{"rows":4294967296,"cols":4294967296,"data":[]},"matrixB":[[1]]}"#,
            400,
            bad,
        ),
        Case {
            path: "/api/performance/async/job?jobType=matrix_multiplication",
            lines: "content-type: application/x-npy\r\n",
            ..case("NPY of 10^9 x 10^9", JOB, npy, 422, "LIMIT_EXCEEDED")
        },
        job(
            "ratings of unequal length",
            "similarity_calculation",
            r#"{"users":[1,2],"items":[1],"ratings":[1,2]}"#,
            400,
            bad,
        ),
        job(
            "topK 10^9 over the pairs",
            "similarity_calculation",
            r#"{"users":[1],"items":[1],"ratings":[1],"options":{"topK":1000000000}}"#,
            400,
            bad,
        ),
        job(
            "factors 10^9",
            "model_training",
            r#"{"trainingData":[{"user":1,"item":1,"rating":1}],"parameters":{"factors":1000000000}}"#,
            400,
            bad,
        ),
    ]
}

/// Sizes far over the limits.
fn sizes() -> anyhow::Result<Vec<Case>> {
    let large = || {
        let mut body = br#"{"key":"k","value":""#.to_vec();
        body.resize(100 * MB, b'x');
        body
    };
    let deep = format!(
        r#"{{"key":"k","value":{}{}}}"#,
        "[".repeat(10_000),
        "]".repeat(10_000)
    );
    let mut value = br#"{"key":"k","value":""#.to_vec();
    value.resize(5 * MB, b'x');
    value.extend_from_slice(b"\"}");
    let key = json!({"key": "k".repeat(10_000), "value": 1}).to_string();
    Ok(vec![
        case(
            "allocate 10^9",
            "/api/performance/memory/allocate",
            r#"{"size":1000000000}"#,
            422,
            "LIMIT_EXCEEDED",
        ),
        case(
            "allocate 10^18",
            "/api/performance/memory/allocate",
            r#"{"size":1000000000000000000}"#,
            422,
            "LIMIT_EXCEEDED",
        ),
        case(
            "load test of 10^9 requests",
            "/api/performance/test/load",
            r#"{"requests":1000000000,"concurrency":1,"endpoint":"/health/live"}"#,
            400,
            "INVALID_FIELD",
        ),
        case(
            "memory test of 10^9 bytes",
            "/api/performance/test/memory",
            r#"{"iterations":1,"dataSize":1000000000}"#,
            400,
            "INVALID_FIELD",
        ),
        case("body of 100 MB", SET, large(), 413, "TOO_LARGE"),
        Case {
            framing: Framing::Chunked,
            ..case("the same in chunks", SET, large(), 413, "TOO_LARGE")
        },
        case("value of 5 MB", SET, value, 413, "TOO_LARGE"),
        case("key of 10,000 bytes", SET, key, 422, "LIMIT_EXCEEDED"),
        case("10,000 levels of JSON", SET, deep, 422, "LIMIT_EXCEEDED"),
    ])
}

/// Compressed data that is cut short or grows a thousandfold.
fn compressed() -> anyhow::Result<Vec<Case>> {
    let pack = |bytes: &[u8]| -> anyhow::Result<Vec<u8>> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes)?;
        Ok(encoder.finish()?)
    };
    let body = |bytes: &[u8]| {
        json!({"compressedData": BASE64.encode(bytes), "algorithm": "gzip"}).to_string()
    };
    let path = "/api/performance/memory/decompress";
    let words: String = (0..10_000).map(|n| format!("wine {n} ")).collect();
    let whole = pack(words.as_bytes())?;
    let bomb = pack(&vec![0; 60 * MB])?;
    let ratio = 60 * MB / bomb.len();
    ensure!(ratio >= 1000, "the bomb is only 1:{ratio}");
    Ok(vec![
        case(
            "truncated gzip",
            path,
            body(&whole[..whole.len() / 2]),
            422,
            "CORRUPT_DATA",
        ),
        case("gzip of nothing", path, body(b""), 400, ""),
        case(
            "gzip that is none",
            path,
            body(b"hello, I am no gzip"),
            422,
            "CORRUPT_DATA",
        ),
        case("gzip bomb of 1:1000", path, body(&bomb), 413, "TOO_LARGE"),
        case(
            "gzip bomb of 1 GB",
            path,
            body(&pack(&vec![0; 1 << 30])?),
            413,
            "TOO_LARGE",
        ),
    ])
}

/// The check.
pub(crate) fn check(_: &Options) -> anyhow::Result<()> {
    let folder = Folder::new()?;
    // Decoding all the large bodies takes long where other work shares the processor.
    let args = [
        "--request-timeout-ms",
        "120000",
        "--monitoring-interval-ms",
        "100",
    ];
    let server = Server::start(folder.path(), &args)?;
    let cores = thread::available_parallelism().map_or(1, usize::from) as u64;
    let before = server.memory("VmRSS")?;
    let bound = before + BODIES + PAYLOADS + cores * BODY * EXPANSION + BESIDES;
    println!(
        "  RSS before: {} MB; bound {} MB = that + {} (bodies in memory) + {} (payloads kept) + \
         {cores} x {} x {EXPANSION} (bodies being read, each expanded) + {} (allocator)",
        before >> 20,
        bound >> 20,
        BODIES >> 20,
        PAYLOADS >> 20,
        BODY >> 20,
        BESIDES >> 20
    );
    server.reset_peak()?;
    let mut wrong = Vec::new();
    for case in [fields(), shapes(), sizes()?, compressed()?].concat() {
        let answer = server
            .client()
            .send("POST", case.path, case.lines, &case.body, case.framing)
            .with_context(|| case.name)?;
        let (status, code) = case.expected;
        let right = answer.status == status && (code.is_empty() || answer.code() == code);
        println!(
            "  {}: {} {}{}",
            case.name,
            answer.status,
            answer.code(),
            if right { "" } else { " WRONG" }
        );
        if !right {
            wrong.push(format!(
                "{}: {}, expected {status} {code}",
                case.name,
                String::from_utf8_lossy(&answer.body)
            ));
        }
    }
    println!("  peak so far: {} MB", server.memory("VmHWM")? >> 20);
    crowds(&server)?;
    let peak = server.memory("VmHWM")?;
    println!("  peak: {} MB of {} MB", peak >> 20, bound >> 20);
    ensure!(wrong.is_empty(), "{}", wrong.join("; "));
    ensure!(
        peak <= bound,
        "{} MB are more than {} MB",
        peak >> 20,
        bound >> 20
    );
    let alive = server
        .client()
        .post(SET, r#"{"key":"k","value":1}"#)?
        .status;
    ensure!(alive == 200, "afterwards: {alive}");
    Ok(())
}

/// Many large bodies at once, of four kinds.
fn crowds(server: &Server) -> anyhow::Result<()> {
    let fill = |head: &str, unit: &str, tail: &str| {
        let mut body = String::with_capacity(CROWD_BYTES + 64);
        body.push_str(head);
        while body.len() < CROWD_BYTES {
            body.push_str(unit);
        }
        body.push_str(tail);
        body.into_bytes()
    };
    let text = fill(r#"{"key":"k","value":""#, "xxxxxxxxxxxxxxxx", "\"}");
    crowd(server, "values", SET, JSON, &text, &[413])?;
    // Text does not expand: what is read is there once more at most.
    let (peak, bound) = (server.memory("VmHWM")?, BODIES + 2 * BODY + BESIDES);
    ensure!(
        peak <= bound,
        "bodies alone take {} MB of {} MB",
        peak >> 20,
        bound >> 20
    );
    crowd(server, "values in chunks", SET, JSON, &text, &[413])?;
    let head = r#"{"jobType":"matrix_multiplication","data":{"matrixB":[[1]],"matrixA":[["#;
    let matrix = fill(head, "1,", "1]]}}");
    crowd(
        server,
        "matrices of 15 M numbers",
        JOB,
        JSON,
        &matrix,
        &[400, 422],
    )?;
    accepted(server, &fill)?;
    let head = r#"{"jobType":"data_processing","data":{"operations":[],"dataset":["#;
    let records = fill(head, "[],", "{}]}}");
    crowd(
        server,
        "records that are none",
        JOB,
        JSON,
        &records,
        &[400, 422],
    )
}

fn crowd(
    server: &Server,
    name: &str,
    path: &str,
    lines: &str,
    body: &[u8],
    expected: &[u16],
) -> anyhow::Result<()> {
    let framing = if name.contains("chunks") {
        Framing::Chunked
    } else {
        Framing::Length
    };
    let began = Instant::now();
    let answers: Vec<anyhow::Result<(u16, String)>> = thread::scope(|scope| {
        let one = || {
            let answer = server.client().send("POST", path, lines, body, framing)?;
            Ok((answer.status, answer.code()))
        };
        let clients: Vec<_> = (0..CROWD).map(|_| scope.spawn(one)).collect();
        let joined = clients.into_iter().map(|c| c.join());
        joined
            .map(|c| c.unwrap_or_else(|_| Err(anyhow::anyhow!("panicked"))))
            .collect()
    });
    let mut tally = std::collections::BTreeMap::<String, usize>::new();
    for answer in &answers {
        let text = match answer {
            Ok((status, code)) => format!("{status} {code}"),
            Err(error) => format!("{error:#}"),
        };
        *tally.entry(text).or_default() += 1;
    }
    println!(
        "  {CROWD} x {} MB at once, {name}: {tally:?} in {:.1} s; peak so far {} MB, of which \
         allocated at once: {} MB",
        CROWD_BYTES >> 20,
        began.elapsed().as_secs_f64(),
        server.memory("VmHWM")? >> 20,
        allocated(server)? >> 20
    );
    let right =
        |a: &anyhow::Result<(u16, String)>| a.as_ref().is_ok_and(|a| expected.contains(&a.0));
    ensure!(
        answers.iter().all(right),
        "{name}: expected {expected:?}, got {tally:?}"
    );
    Ok(())
}

/// Most bytes that the server's own allocator had given out at once.
fn allocated(server: &Server) -> anyhow::Result<u64> {
    let stats = server.client().get("/api/performance/memory/stats")?.ok()?;
    let peak = stats["data"]["tracking"]["allocatorPeak"].as_u64();
    peak.with_context(|| format!("no allocatorPeak: {stats}"))
}

/// Large bodies that are right: the jobs wait for long, so what is stored must not stay in memory.
fn accepted(server: &Server, fill: &dyn Fn(&str, &str, &str) -> Vec<u8>) -> anyhow::Result<()> {
    let head = r#"{"jobType":"data_processing","options":{"delay":86400000},
        "data":{"operations":[],"dataset":["#;
    let body = fill(head, r#"{"n":"a text of some length"},"#, "{}]}}");
    crowd(
        server,
        "jobs that are accepted",
        JOB,
        JSON,
        &body,
        &[200, 503],
    )?;
    // One of them again, now to be run.
    let body = String::from_utf8(body)?.replacen("86400000", "0", 1);
    let mut client = server.client();
    let answer = client.post(JOB, body)?.ok()?;
    let job = wait(
        &mut client,
        &text(&answer["jobId"]),
        std::time::Duration::from_secs(60),
    )?;
    ensure!(job["status"] == "completed", "status {}", job["status"]);
    Ok(())
}
