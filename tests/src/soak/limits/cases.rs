//! Single requests that must be refused, and how.

use std::io::Write as _;

use anyhow::ensure;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use flate2::{Compression, write::GzEncoder};
use serde_json::json;

use super::{super::http::Framing, MB};

#[derive(Clone)]
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) path: &'static str,
    pub(super) lines: &'static str,
    pub(super) body: Vec<u8>,
    pub(super) framing: Framing,
    pub(super) expected: (u16, &'static str),
}

pub(super) const JSON: &str = "content-type: application/json\r\n";
pub(super) const SET: &str = "/api/performance/cache/set";
pub(super) const JOB: &str = "/api/performance/async/job";
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

/// Every case.
pub(super) fn all() -> anyhow::Result<Vec<Case>> {
    Ok([fields(), shapes(), sizes()?, compressed()?].concat())
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
