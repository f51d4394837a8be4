//! Hit ratios that others have published, in percent. Charts were read off to 0.3 points.

/// Sizes at which a trace has been published; others are replayed at 5 and 10 % of their keys.
pub const SIZES: [(&str, &[usize]); 3] = [
    ("arc-oltp", &[250, 500, 750, 1000, 1250, 1500, 1750, 2000]),
    ("lirs-loop", &[256, 512]),
    (MIXED, &[250, 500, 750, 1000]),
];

/// Recency, a loop, recency again: what is published for a mix of traces.
pub const MIXED: &str = "corda+loop+corda";
/// The traces of the mix.
pub const MIXED_PARTS: [&str; 3] = ["corda-vault", "lirs-loop", "corda-vault"];

/// Peers whose hit ratios a folder's `references.json` may hold (libCacheSim 0.3.5).
pub const SIMULATED: [&str; 4] = ["ARC", "LIRS", "S3FIFO", "WTinyLFU"];

struct Row {
    trace: &'static str,
    peer: &'static str,
    /// At the sizes of the trace, from the smallest.
    percent: &'static [f64],
}

const ROWS: [Row; 7] = [
    // BitFaster.Caching, pull request 191: W-TinyLFU with hill climbing.
    Row {
        trace: "arc-oltp",
        peer: "BitFaster",
        percent: &[24.73, 33.70, 37.11, 39.95, 42.33, 43.71, 45.01, 46.07],
    },
    // Caffeine's wiki, efficiency/oltp.png.
    Row {
        trace: "arc-oltp",
        peer: "Caffeine",
        percent: &[24.8, 33.0, 37.9, 39.8, 42.8, 43.4, 45.1, 46.0],
    },
    Row {
        trace: "arc-oltp",
        peer: "ARC",
        percent: &[21.5, 30.7, 35.9, 39.0, 41.5, 43.0, 44.4, 46.0],
    },
    Row {
        trace: "arc-oltp",
        peer: "LIRS",
        percent: &[18.3, 26.8, 31.7, 34.9, 37.2, 39.2],
    },
    // maypok86/otter@af06af47, docs/results/hit-ratio: otter 2, W-TinyLFU.
    Row {
        trace: "arc-oltp",
        peer: "otter 2",
        percent: &[23.8, 32.1, 35.7, 39.9, 42.5, 43.9, 45.0, 45.7],
    },
    Row {
        trace: MIXED,
        peer: "otter 2",
        percent: &[25.7, 41.2, 55.8, 72.2],
    },
    Row {
        trace: MIXED,
        peer: "theine",
        percent: &[22.7, 36.3, 53.8, 72.9],
    },
];

/// maypok86/benchmarks@f1307587: otter 1, S3-FIFO, of a cache that held more than its capacity (see
/// [`super::otter`]).
const BEHIND: Row = Row {
    trace: "arc-oltp",
    peer: "otter 1, its chart",
    percent: &[26.7, 34.8, 38.9, 41.4, 43.3, 44.9, 46.1, 47.2],
};

/// As [`at`], where the cache held [`super::otter::BEHIND`] entries more than its size.
pub fn behind(trace: &str, size: usize) -> Option<(&'static str, f64)> {
    figure(&BEHIND, trace, size)
}

/// Who has published for this trace at this size, and what, percent.
pub fn at(trace: &str, size: usize) -> impl Iterator<Item = (&'static str, f64)> {
    ROWS.iter().filter_map(move |row| figure(row, trace, size))
}

fn figure(row: &Row, trace: &str, size: usize) -> Option<(&'static str, f64)> {
    let (_, sizes) = SIZES.iter().find(|(name, _)| *name == trace)?;
    let place = sizes.iter().position(|&s| s == size)?;
    let percent = row.percent.get(place).filter(|_| row.trace == trace)?;
    Some((row.peer, *percent))
}
