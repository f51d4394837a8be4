//! What monitoring knew is still known after the server was killed.

// A test may unwrap: a panic there is the report.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::Value;
use support::{Folder, Server, until};

/// Memory in use is over 0.001 % of any machine: this rule alarms at once and for good.
const FLAGS: [&str; 8] = [
    "--monitoring-interval-ms",
    "200",
    "--alert-rule",
    "HIGH_MEMORY.threshold=0.001",
    "--alert-rule",
    "HIGH_MEMORY.forMs=0",
    "--alert-rule",
    "HIGH_CPU.enabled=false",
];

/// The rows of the history, which are at most five seconds apart.
fn rows(server: &Server, category: &str) -> Vec<Value> {
    let path = format!("monitoring/metrics?category={category}&startTime=0");
    server.data(&path).as_array().unwrap().clone()
}

fn last_time(server: &Server) -> u64 {
    let last = rows(server, "system").pop();
    last.map_or(0, |row| row["timestamp"].as_u64().unwrap())
}

fn now() -> u64 {
    u64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap()
}

#[test]
fn history_counters_and_alerts_survive_a_kill() {
    let folder = Folder::new("restart");
    let server = Server::start(folder.path(), &FLAGS);
    for i in 0..7 {
        let path = format!("/api/performance/cache/get/absent-{i}");
        assert_eq!(server.ask("GET", &path, "", "").0, 404);
    }
    let alert = until("an alert", || {
        server.data("monitoring/alerts").get(0).cloned()
    });
    assert_eq!(alert["type"], "HIGH_MEMORY");
    // Over more than one row of the history.
    let began = last_time(&server);
    until("another row", || {
        (last_time(&server) > began + 6000).then_some(())
    });
    // A sample that is seen is written before the next one is taken: what is read here must be
    // there after the kill, and nothing that is read later.
    let before = rows(&server, "application");
    let kept_at = before.last().unwrap()["timestamp"].as_u64().unwrap();
    until("the next sample", || {
        (last_time(&server) > kept_at).then_some(())
    });
    let counted = before.last().unwrap()["data"]["requests"].as_u64().unwrap();
    assert!(counted >= 8, "{before:?}");
    let killed_at = now();
    server.kill();

    let back_at = now();
    let server = Server::start(folder.path(), &FLAGS);
    let after = rows(&server, "application");
    let time = |row: &Value| row["timestamp"].as_u64().unwrap();
    let kept: Vec<&Value> = after.iter().filter(|row| time(row) <= killed_at).collect();
    // All rows but the last are as they were; the last may have taken in more samples.
    for (old, kept) in before.iter().zip(&kept).take(before.len() - 1) {
        assert_eq!(&old, kept);
    }
    assert!(kept.len() >= before.len(), "{before:?} {after:?}");
    let last = time(kept.last().unwrap());
    assert!(last >= kept_at, "{last} {kept_at}");
    // No row stands where there was no server.
    assert!(
        after
            .iter()
            .all(|row| time(row) <= killed_at || time(row) >= back_at),
        "{killed_at} {back_at} {after:?}"
    );
    let requests = server.data("monitoring/summary")["application"]["requests"].clone();
    assert!(
        requests.as_u64().unwrap() >= counted,
        "{requests} {counted}"
    );
    // The alert is open once, as it was, and is not raised again.
    let again = last_time(&server);
    until("more samples", || {
        (last_time(&server) > again + 1000).then_some(())
    });
    assert_eq!(
        server.data("monitoring/alerts"),
        Value::from(vec![alert.clone()])
    );
    let history = server.data("monitoring/alerts/history");
    assert_eq!(history["total"], 0, "{history}");

    // Resolved by hand it stays resolved, whatever happens right after.
    let id = alert["id"].as_str().unwrap();
    let path = format!("/api/performance/monitoring/alert/{id}/resolve");
    assert_eq!(server.ask("POST", &path, "", "").0, 200);
    server.kill();
    let server = Server::start(folder.path(), &FLAGS);
    let again = last_time(&server);
    until("more samples", || {
        (last_time(&server) > again + 1000).then_some(())
    });
    assert_eq!(server.data("monitoring/alerts"), Value::Array(Vec::new()));
    let ended = &server.data("monitoring/alerts/history")["alerts"][0];
    assert_eq!(
        (&ended["id"], &ended["resolution"]),
        (&alert["id"], &"manual".into())
    );
}

#[test]
fn a_damaged_history_keeps_no_server_from_starting() {
    let folder = Folder::new("damage");
    std::fs::write(
        folder.path().join("monitoring.db"),
        "no database ".repeat(1000),
    )
    .unwrap();
    let server = Server::start(folder.path(), &FLAGS);
    until("a sample", || {
        (!rows(&server, "system").is_empty()).then_some(())
    });
    assert!(server.log().contains("damaged"), "{}", server.log());
    assert!(folder.path().join("monitoring.damaged").exists());
}

#[test]
fn the_file_stays_small() {
    let folder = Folder::new("small");
    let flags = ["--monitoring-interval-ms", "100"];
    let server = Server::start(folder.path(), &flags);
    // More samples than rows are kept: snapshots took their place.
    until("many samples", || {
        (server.metric("sommos_samples_total")? >= 300.0).then_some(())
    });
    let bytes = server
        .metric("sommos_database_file_bytes{database=\"monitoring\"}")
        .unwrap();
    assert!(bytes < 4e6, "{bytes}");
    assert_eq!(
        server.metric("sommos_monitoring_write_failures_total"),
        Some(0.0)
    );
}
