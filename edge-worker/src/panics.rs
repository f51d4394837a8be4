//! Panics on demand, for the tests of the shim. What is deployed is built without this file.

#![expect(clippy::panic, reason = "the tests ask for it")]

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use worker::{Delay, Env, Request, Response, Result, SqlStorage, State};

/// Answers the paths of the tests: in the request's first turn, after I/O, or by a stack that is
/// used up; and those that the object counts.
pub(crate) async fn on_request(request: &Request, env: &Env) -> Option<Result<Response>> {
    let path = request.path();
    match path.as_str() {
        "/panic" => panic!("asked for"),
        "/panic-later" => {
            Delay::from(Duration::from_millis(20)).await;
            panic!("asked for, after I/O");
        }
        "/overflow" => {
            std::hint::black_box(descend(path.len() as u64));
        }
        "/slow" => Delay::from(Duration::from_millis(300)).await,
        _ => {}
    }
    if path.starts_with("/count") || path.starts_with("/read") {
        return Some(count_there(env, &path).await);
    }
    None
}

/// Lets the object count.
async fn count_there(env: &Env, path: &str) -> Result<Response> {
    let stub = env.durable_object("JOBS")?.get_by_name("panics")?;
    stub.fetch_with_str(&format!("https://object{path}")).await
}

/// Uses up the stack.
fn descend(depth: u64) -> u64 {
    if depth == u64::MAX {
        return depth;
    }
    let frame = std::hint::black_box([depth; 64]);
    frame.iter().sum::<u64>() ^ descend(std::hint::black_box(depth + 1))
}

#[derive(Deserialize)]
struct Row {
    count: u64,
}

fn table(state: &State) -> Result<SqlStorage> {
    let sql = state.storage().sql();
    sql.exec(
        "CREATE TABLE IF NOT EXISTS counts (name TEXT PRIMARY KEY, count INTEGER)",
        None,
    )?;
    Ok(sql)
}

fn count(state: &State, name: &str) -> Result<u64> {
    let rows: Vec<Row> = table(state)?
        .exec(
            "INSERT INTO counts VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET count = count + 1 \
             RETURNING count",
            vec![name.into()],
        )?
        .to_array()?;
    Ok(rows.first().map_or(0, |row| row.count))
}

fn read(state: &State, name: &str) -> Result<u64> {
    let select = "SELECT count FROM counts WHERE name = ?";
    let rows: Vec<Row> = table(state)?.exec(select, vec![name.into()])?.to_array()?;
    Ok(rows.first().map_or(0, |row| row.count))
}

/// In a Durable Object: counts by path, panics in its first turn or after I/O, sets its alarm.
pub(crate) async fn in_object(state: &State, request: &Request) -> Option<Result<Response>> {
    let path = request.path();
    match path.as_str() {
        "/count/panic" => panic!("asked for"),
        "/count/panic-later" => {
            Delay::from(Duration::from_millis(20)).await;
            panic!("asked for, after I/O");
        }
        "/" => return None,
        _ => {}
    }
    Some(counted(state, &path).await)
}

async fn counted(state: &State, path: &str) -> Result<Response> {
    if path.ends_with("/alarm") {
        state.storage().set_alarm(Duration::from_millis(20)).await?;
    }
    let count = match path.strip_prefix("/read") {
        Some(name) => read(state, &format!("/count{name}"))?,
        None => count(state, path)?,
    };
    Response::from_json(&json!({ "success": true, "count": count }))
}

/// In the first alarm of an object that counts.
pub(crate) fn in_alarm(state: &State) -> Result<()> {
    if read(state, "/count/alarm")? > 0 && count(state, "/count/alarms")? == 1 {
        panic!("asked for");
    }
    Ok(())
}

/// By a message that says so; another is counted.
pub(crate) async fn on_message(body: &str, env: &Env) -> Result<()> {
    match body {
        "panic" => panic!("asked for"),
        "good" => count_there(env, "/count/queue").await.map(|_| ()),
        _ => Ok(()),
    }
}

/// By a cron pattern that no trigger has.
pub(crate) fn on_cron(cron: &str) {
    if cron == "panic" {
        panic!("asked for");
    }
}
