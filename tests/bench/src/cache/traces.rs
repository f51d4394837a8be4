//! Replays of real traces: get, on a miss insert; capacity counts entries.

use std::{
    collections::{BTreeSet, HashSet},
    fs::File,
    io::{BufRead as _, BufReader, Read},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail, ensure};
use flate2::read::MultiGzDecoder;
use serde_json::Value;

use super::peers::{Lru, Moka, Ours, Quick, replay};
use crate::{Options, report::Report};

/// How a trace's file may be called; the name before it is the trace's.
const SUFFIXES: [&str; 4] = [".keys.gz", ".keys", ".txt.gz", ".txt"];

/// Replays every trace of the folder.
pub fn run(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let folder = match &options.traces {
        Some(folder) => folder.clone(),
        None => options.data.join("traces"),
    };
    if options.traces.is_none() && !folder.is_dir() {
        report.note(
            "cache",
            &format!("no traces: {} is no folder", folder.display()),
        );
        return Ok(());
    }
    let traces = list(&folder)?;
    ensure!(
        !traces.is_empty(),
        "{}: no trace; one is called NAME{}",
        folder.display(),
        SUFFIXES.join(", NAME")
    );
    let references = references(&folder)?;
    report.note(
        "cache",
        "traces: ours is LRU, held equal to the exact LRU; moka settles each step",
    );
    for (name, path) in &traces {
        let keys = read(path)?;
        one_trace(report, name, &keys, &references["traces"][name]["sizes"])?;
    }
    Ok(())
}

/// Name and path of every trace, by name.
fn list(folder: &Path) -> anyhow::Result<Vec<(String, PathBuf)>> {
    let entries = folder
        .read_dir()
        .with_context(|| format!("folder {}", folder.display()))?;
    let mut traces = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let name = SUFFIXES.iter().find_map(|suffix| file.strip_suffix(suffix));
        if let Some(name) = name.map(str::to_owned) {
            traces.push((name, path));
        }
    }
    traces.sort();
    Ok(traces)
}

/// Exact hit counts by trace and size, where the folder has them; else null.
fn references(folder: &Path) -> anyhow::Result<Value> {
    let path = folder.join("references.json");
    if !path.exists() {
        return Ok(Value::Null);
    }
    let file = BufReader::new(File::open(&path)?);
    serde_json::from_reader(file).with_context(|| format!("{}", path.display()))
}

/// One decimal key a line; blank lines are skipped.
fn read(path: &Path) -> anyhow::Result<Vec<u64>> {
    let file = File::open(path).with_context(|| format!("{}", path.display()))?;
    let packed = path.extension().is_some_and(|e| e == "gz");
    let plain: Box<dyn Read> = if packed {
        Box::new(MultiGzDecoder::new(file))
    } else {
        Box::new(file)
    };
    let mut keys = Vec::new();
    for (number, line) in BufReader::with_capacity(1 << 16, plain).lines().enumerate() {
        let at = || format!("{} line {}", path.display(), number + 1);
        let line = line.with_context(at)?;
        if !line.trim().is_empty() {
            let key = line.trim().parse();
            keys.push(key.with_context(|| format!("{}: {line:?} is no u64", at()))?);
        }
    }
    Ok(keys)
}

fn one_trace(report: &mut Report, name: &str, keys: &[u64], sizes: &Value) -> anyhow::Result<()> {
    let unique = keys.iter().collect::<HashSet<_>>().len();
    if unique == 0 {
        report.note("cache", &format!("{name}: no requests"));
        return Ok(());
    }
    let percent = [5, 10].map(|percent| ((unique * percent + 50) / 100).max(1));
    let mut capacities = BTreeSet::from(percent);
    for size in sizes.as_object().into_iter().flatten() {
        let capacity = size
            .0
            .parse()
            .with_context(|| format!("{name}: size {:?}", size.0))?;
        capacities.insert(capacity);
    }
    for capacity in capacities {
        one_capacity(report, name, keys, capacity, &sizes[capacity.to_string()])?;
    }
    Ok(())
}

fn one_capacity(
    report: &mut Report,
    name: &str,
    keys: &[u64],
    capacity: usize,
    reference: &Value,
) -> anyhow::Result<()> {
    let ours = replay(keys, &mut Ours::new(capacity, None)?);
    let lru = replay(keys, &mut Lru::new(capacity)?);
    let quick = replay(keys, &mut Quick::new(capacity));
    let moka = replay(keys, &mut Moka::new(capacity, true));
    if ours != lru {
        bail!("{name}, capacity {capacity}: {ours} hits, the exact LRU has {lru}");
    }
    if let Some(known) = reference["LRU_hits"].as_u64() {
        ensure!(
            ours == known,
            "{name}, capacity {capacity}: {ours} hits, published {known}"
        );
    }
    let case = format!("{name}, capacity {capacity}");
    let ratio = |hits: u64| hits as f64 / keys.len() as f64;
    for (peer, hits) in [("lru", lru), ("quick_cache", quick), ("moka", moka)] {
        report.case("cache", &case, "hit ratio", ratio(ours), peer, ratio(hits));
    }
    Ok(())
}
