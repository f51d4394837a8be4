//! Replays of real traces: get, on a miss insert; capacity counts entries. Our adaptive policy
//! stands against the peers run here and against what others have published; our LRU is held
//! equal to the exact one.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fs::File,
    io::{BufRead as _, BufReader, Read},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail, ensure};
use flate2::read::MultiGzDecoder;
use serde_json::Value;

use super::otter::{self, Otter};
use super::peers::{Adaptive, Lru, Moka, Ours, Quick, ReadThrough, replay};
use super::{published, weighted};
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
        "traces: ours is adaptive, in percent against the best peer, difference in points; our \
         LRU is held equal to the exact one; moka settles each step; otter 1 is its policy at \
         its size, and its chart stands beside caches of the size that explains it",
    );
    // What is published is for the traces of the data set, whatever another folder calls so.
    let known = options.traces.is_none();
    let mut cells = Vec::new();
    let mut kept = BTreeMap::new();
    for (name, path) in &traces {
        let keys = read(path)?;
        let sizes = &references["traces"][name]["sizes"];
        one_trace(report, name, &keys, known, sizes, &mut cells)?;
        if known && published::MIXED_PARTS.contains(&name.as_str()) {
            kept.insert(name.as_str(), keys);
        }
    }
    let parts = published::MIXED_PARTS.map(|part| kept.get(part));
    if let [Some(first), Some(second), Some(third)] = parts {
        let keys = [&first[..], &second[..], &third[..]].concat();
        one_trace(
            report,
            published::MIXED,
            &keys,
            true,
            &Value::Null,
            &mut cells,
        )?;
    }
    summary(report, &cells);
    weighted::run(&traces, read, report)
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

/// One trace at one size.
struct Cell {
    case: String,
    /// Percent.
    ours: f64,
    /// Percent by peer; the same peer run here and published stands by its better figure.
    peers: BTreeMap<String, f64>,
}

impl Cell {
    /// The best peer.
    fn best(&self) -> (&str, f64) {
        let peers = self.peers.iter().map(|(name, &percent)| (&**name, percent));
        peers
            .max_by(|a, b| a.1.total_cmp(&b.1))
            .unwrap_or(("", 0.0))
    }
}

fn one_trace(
    report: &mut Report,
    name: &str,
    keys: &[u64],
    known: bool,
    references: &Value,
    cells: &mut Vec<Cell>,
) -> anyhow::Result<()> {
    let unique = keys.iter().collect::<HashSet<_>>().len();
    if unique == 0 {
        report.note("cache", &format!("{name}: no requests"));
        return Ok(());
    }
    let percent = [5, 10].map(|percent| ((unique * percent + 50) / 100).max(1));
    let published = published::SIZES.iter().find(|(trace, _)| *trace == name);
    let capacities: BTreeSet<usize> = match published {
        Some((_, sizes)) if known => sizes.iter().copied().collect(),
        _ => BTreeSet::from(percent),
    };
    for capacity in capacities {
        let mut cell = one_capacity(name, keys, capacity, &references[capacity.to_string()])?;
        if known {
            for (peer, percent) in published::at(name, capacity) {
                better(&mut cell.peers, peer, percent);
            }
        }
        push(report, cells, cell);
        if known && let Some((peer, percent)) = published::behind(name, capacity) {
            let held = capacity + otter::BEHIND;
            let cell = Cell {
                case: format!("{name}, capacity {capacity} and {} behind", otter::BEHIND),
                ours: share(keys, &mut Adaptive::new(held)?),
                peers: BTreeMap::from([
                    (peer.to_owned(), percent),
                    (
                        "otter 1, behind".to_owned(),
                        share(keys, &mut Otter::new(capacity, otter::BEHIND)),
                    ),
                ]),
            };
            push(report, cells, cell);
        }
    }
    Ok(())
}

fn push(report: &mut Report, cells: &mut Vec<Cell>, cell: Cell) {
    let (peer, percent) = cell.best();
    report.points("cache", &cell.case, cell.ours, peer, percent);
    cells.push(cell);
}

/// Hits, in percent.
fn share(keys: &[u64], cache: &mut impl ReadThrough) -> f64 {
    100.0 * replay(keys, cache) as f64 / keys.len() as f64
}

fn better(peers: &mut BTreeMap<String, f64>, peer: &str, percent: f64) {
    let held = peers.entry(peer.to_owned()).or_insert(percent);
    *held = held.max(percent);
}

fn one_capacity(
    name: &str,
    keys: &[u64],
    capacity: usize,
    reference: &Value,
) -> anyhow::Result<Cell> {
    let case = format!("{name}, capacity {capacity}");
    let exact = replay(keys, &mut Ours::new(capacity, None)?);
    let lru = replay(keys, &mut Lru::new(capacity)?);
    if exact != lru {
        bail!("{case}: {exact} hits, the exact LRU has {lru}");
    }
    if let Some(known) = reference["LRU_hits"].as_u64() {
        ensure!(exact == known, "{case}: {exact} hits, published {known}");
    }
    let mut peers = BTreeMap::from(
        [
            ("lru", 100.0 * lru as f64 / keys.len() as f64),
            ("quick_cache", share(keys, &mut Quick::new(capacity))),
            ("moka", share(keys, &mut Moka::new(capacity, true))),
            ("otter 1", share(keys, &mut Otter::new(capacity, 0))),
        ]
        .map(|(peer, percent)| (peer.to_owned(), percent)),
    );
    for peer in published::SIMULATED {
        if let Some(percent) = reference["libCacheSim"][peer].as_f64() {
            better(&mut peers, peer, percent);
        }
    }
    let ours = share(keys, &mut Adaptive::new(capacity)?);
    Ok(Cell { case, ours, peers })
}

/// How far below the best peer of a cell is still called level, points: charts are read to 0.3.
const LEVEL: f64 = 0.5;

/// Where ours is behind, and the means against each peer over the cells for which he has figures.
fn summary(report: &mut Report, cells: &[Cell]) {
    let behind: Vec<String> = cells
        .iter()
        .filter(|cell| cell.ours < cell.best().1 - LEVEL)
        .map(|cell| format!("{} by {:.2}", cell.case, cell.best().1 - cell.ours))
        .collect();
    let text = format!(
        "{} of {} cells more than {LEVEL} points below the best peer: {}",
        behind.len(),
        cells.len(),
        behind.join("; ")
    );
    report.note("cache", &text);
    let peers: BTreeSet<&String> = cells.iter().flat_map(|cell| cell.peers.keys()).collect();
    for peer in peers {
        let known = cells
            .iter()
            .filter_map(|c| Some((c.ours, *c.peers.get(peer)?)));
        let known: Vec<(f64, f64)> = known.collect();
        let count = known.len() as f64;
        let ours = known.iter().map(|cell| cell.0).sum::<f64>() / count;
        let theirs = known.iter().map(|cell| cell.1).sum::<f64>() / count;
        let case = format!("mean over {} cells", known.len());
        report.points("cache", &case, ours, peer, theirs);
    }
}
