//! Wrong and oversized input: the right refusal for each, and bounded memory.

mod cases;

use std::{thread, time::Instant};

use anyhow::{Context as _, ensure};
use cases::{Case, JOB, JSON, SET};
use sommos_tests::edge_shell::EdgeHost;

use super::{
    Options,
    http::{Client, Framing, text},
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
const BESIDES: u64 = 64 << 20;
/// Bodies at once, and the size of each.
const CROWD: usize = 64;
const CROWD_BYTES: usize = 30 * MB;

/// The check.
pub(crate) fn check(options: &Options) -> anyhow::Result<()> {
    if let Some(build) = &options.edge {
        return check_edge(build);
    }
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
    let wrong = refused(&cases::all()?, &|| server.client())?;
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
    lives(server.client())
}

/// The same single requests to the edge worker. Its memory is the platform's to bound.
fn check_edge(build: &str) -> anyhow::Result<()> {
    let host = EdgeHost::start(build)?;
    let address = host.origin().trim_start_matches("http://").parse()?;
    let mut cases = cases::all()?;
    for case in &mut cases {
        if case.path.starts_with("/api/performance/test/") {
            case.expected = (501, "NOT_IMPLEMENTED");
        }
    }
    let wrong = refused(&cases, &|| Client::new(address))?;
    println!("  {} requests, {} wrong", cases.len(), wrong.len());
    ensure!(wrong.is_empty(), "{}", wrong.join("; "));
    lives(Client::new(address))
}

/// Sends each case and lists what was not answered as expected.
fn refused(cases: &[Case], client: &dyn Fn() -> Client) -> anyhow::Result<Vec<String>> {
    let mut wrong = Vec::new();
    for case in cases {
        let answer = client()
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
    Ok(wrong)
}

fn lives(mut client: Client) -> anyhow::Result<()> {
    let alive = client.post(SET, r#"{"key":"k","value":1}"#)?.status;
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
