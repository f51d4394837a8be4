//! What the figures were measured on: a figure without it says nothing.

use std::{fs, path::Path, process::Command};

use serde_json::{Map, Value, json};

const LOCK: &str = include_str!("../../../../Cargo.lock");

/// The crates that are peers, or whose speed is ours too.
const CRATES: [&str; 17] = [
    "axum",
    "brotli",
    "faer",
    "fastbloom",
    "flate2",
    "gemm",
    "lru",
    "lz4_flex",
    "matrixmultiply",
    "miniz_oxide",
    "moka",
    "quick_cache",
    "redis",
    "rusqlite",
    "sprs",
    "zlib-rs",
    "zstd",
];

/// Machine and versions, for people (one line each) and as JSON.
pub fn describe() -> (Vec<String>, Value) {
    let cpu = cpu_model();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let caches = caches(Path::new("/sys/devices/system/cpu/cpu0/cache"));
    let release = |name| {
        let text = fs::read_to_string(Path::new("/proc/sys/kernel").join(name));
        text.map_or_else(|_| "unknown".to_owned(), |t| t.trim().to_owned())
    };
    let os = format!("{} {}", release("ostype"), release("osrelease"));
    let rustc = env!("SOMMOS_BENCH_RUSTC");
    let ours = env!("CARGO_PKG_VERSION");
    let versions = versions();
    let shown: Vec<_> = versions
        .iter()
        .map(|(name, version)| format!("{name} {}", version.as_str().unwrap_or_default()))
        .collect();
    let lines = vec![
        format!("machine: {cpu}, {threads} threads, {}", caches.join(", ")),
        format!("system: {os}, {rustc}, sommos {ours}"),
        format!("peers: {}", shown.join(", ")),
    ];
    let json = json!({"machine": {
        "cpu": cpu, "threads": threads, "caches": caches, "os": os, "rustc": rustc,
        "sommos": ours, "versions": versions,
    }});
    (lines, json)
}

fn cpu_model() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    info.lines()
        .find_map(|l| l.strip_prefix("model name"))
        .map_or("unknown", |l| l.trim_start_matches([' ', '\t', ':']))
        .to_owned()
}

/// `L1 data 32K` and so on, of the first processor.
fn caches(folder: &Path) -> Vec<String> {
    let read = |index: usize, name: &str| {
        let file = folder.join(format!("index{index}")).join(name);
        fs::read_to_string(file).map(|t| t.trim().to_owned())
    };
    (0..)
        .map_while(|index| {
            let level = read(index, "level").ok()?;
            let kind = read(index, "type").ok()?.to_lowercase();
            Some(format!(
                "L{level} {kind} {}",
                read(index, "size").unwrap_or_default()
            ))
        })
        .collect()
}

/// By name: of crates from the lock file, of the rest as they say themselves.
fn versions() -> Map<String, Value> {
    let mut versions = Map::new();
    for name in CRATES {
        if let Some(version) = locked(LOCK, name) {
            versions.insert(name.to_owned(), version.into());
        }
    }
    let python = std::env::var("SOMMOS_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    for (program, script) in [("node", "versions.cjs"), (&python, "versions.py")] {
        versions.extend(asked(program, script).unwrap_or_default());
    }
    versions
}

/// The highest version of a crate in a lock file.
fn locked(lock: &str, name: &str) -> Option<String> {
    let wanted = format!("name = \"{name}\"");
    let mut lines = lock.lines();
    let mut found: Option<String> = None;
    while lines.any(|line| line == wanted) {
        let line = lines.next()?;
        let version = line.strip_prefix("version = \"")?.strip_suffix('"')?;
        // Of several versions the last is the highest: the file is sorted.
        found = Some(version.to_owned());
    }
    found
}

/// A program that is not there has no peers either.
fn asked(program: &str, script: &str) -> Option<Map<String, Value>> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("twins")
        .join(script);
    let output = Command::new(program).arg(script).output().ok()?;
    serde_json::from_slice(&output.stdout).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_crate_that_is_a_peer_has_a_version() {
        for name in CRATES {
            let version = locked(LOCK, name).unwrap_or_default();
            assert!(version.starts_with(|c: char| c.is_ascii_digit()), "{name}");
        }
        assert_eq!(locked(LOCK, "no such crate"), None);
    }

    #[test]
    fn the_line_for_programs_has_what_the_issue_wants() {
        let (lines, json) = describe();
        assert_eq!(lines.len(), 3);
        for key in ["cpu", "threads", "caches", "os", "rustc", "versions"] {
            assert!(!json["machine"][key].is_null(), "{key}");
        }
    }
}
