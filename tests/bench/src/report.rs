//! What a benchmark prints: a table for people, JSON lines for programs, plots for both.

mod machine;

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use rustix::time::{ClockId, clock_gettime};

use crate::plot::{self, Case, Curve, Point};

/// Collects cases and prints each as it comes.
pub struct Report {
    json: Option<File>,
    lines: usize,
    cases: Vec<Case>,
    points: Vec<Point>,
}

impl Report {
    /// Prints machine and versions first.
    pub fn new(json: Option<&Path>) -> anyhow::Result<Self> {
        let (lines, machine) = machine::describe();
        lines.iter().for_each(|line| println!("{line}"));
        println!(
            "{:<12} {:<46} {:>14} {:>14} {:>8}  unit, peer",
            "bench", "case", "ours", "peer", "ratio"
        );
        let mut json = json
            .map(|p| OpenOptions::new().create(true).append(true).open(p))
            .transpose()?;
        if let Some(file) = &mut json {
            writeln!(file, "{machine}")?;
        }
        Ok(Self {
            json,
            lines: 0,
            cases: Vec::new(),
            points: Vec::new(),
        })
    }

    /// One case where more is better: `ratio` is ours over the peer's.
    pub fn case(
        &mut self,
        bench: &str,
        case: &str,
        unit: &str,
        ours: f64,
        peer_name: &str,
        peer: f64,
    ) {
        let ratio = ours / peer;
        println!(
            "{bench:<12} {case:<46} {ours:>14.3} {peer:>14.3} {ratio:>8.2}  {unit}, {peer_name}"
        );
        self.compared(bench, case, unit, ours, peer_name, peer);
    }

    /// One case against several peers: the table shows the best of them and notes the others;
    /// peers that could not run are NaN.
    pub fn contest(
        &mut self,
        bench: &str,
        case: &str,
        unit: &str,
        ours: f64,
        peers: &[(&str, f64)],
    ) {
        let mut peers: Vec<_> = peers.iter().filter(|p| p.1.is_finite()).collect();
        peers.sort_by(|a, b| b.1.total_cmp(&a.1));
        let Some((&&(best, figure), others)) = peers.split_first() else {
            return self.figure(bench, case, unit, ours);
        };
        self.case(bench, case, unit, ours, best, figure);
        for &&(name, figure) in others {
            self.compared(bench, case, unit, ours, name, figure);
        }
        if !others.is_empty() {
            let others: Vec<_> = others
                .iter()
                .map(|p| format!("{} {:.3}", p.0, p.1))
                .collect();
            self.note(bench, &format!("  others: {}", others.join(", ")));
        }
    }

    /// One case in percent, where the difference in points is what counts.
    pub fn points(&mut self, bench: &str, case: &str, ours: f64, peer_name: &str, peer: f64) {
        let points = ours - peer;
        println!(
            "{bench:<12} {case:<46} {ours:>14.2} {peer:>14.2} {points:>+8.2}  points, {peer_name}"
        );
        self.line(&serde_json::json!({
            "bench": bench, "case": case, "ours": ours, "peer": peer,
            "peer_name": peer_name, "points": points, "ratio": ours / peer, "unit": "percent",
        }));
        let peer = Some((peer_name, peer));
        self.cases
            .push(Case::new(bench, case, "percent", ours, peer));
    }

    /// A figure of ours that has no peer.
    pub fn figure(&mut self, bench: &str, case: &str, unit: &str, ours: f64) {
        println!(
            "{bench:<12} {case:<46} {ours:>14.3} {:>14} {:>8}  {unit}",
            "-", "-"
        );
        self.line(&serde_json::json!({"bench": bench, "case": case, "ours": ours, "unit": unit}));
        self.cases.push(Case::new(bench, case, unit, ours, None));
    }

    /// A remark: what is compared, what could not run here.
    pub fn note(&mut self, bench: &str, text: &str) {
        println!("{bench:<12} # {text}");
    }

    /// The case that follows is also the point of `curve` at `size`.
    pub fn at<'a>(&'a mut self, curve: &'a Curve<'a>, size: usize) -> At<'a> {
        At {
            report: self,
            curve,
            size,
        }
    }

    fn compared(
        &mut self,
        bench: &str,
        case: &str,
        unit: &str,
        ours: f64,
        peer_name: &str,
        peer: f64,
    ) {
        self.line(&serde_json::json!({
            "bench": bench, "case": case, "ours": ours, "peer": peer,
            "peer_name": peer_name, "ratio": ours / peer, "unit": unit,
        }));
        let peer = Some((peer_name, peer));
        self.cases.push(Case::new(bench, case, unit, ours, peer));
    }

    fn line(&mut self, value: &serde_json::Value) {
        self.lines += 1;
        if let Some(file) = &mut self.json {
            // A full disk must not end a long benchmark; the table above has the figure.
            let _ = writeln!(file, "{value}");
        }
    }

    /// Writes `BENCH.svg` with all cases of each benchmark so far, and one more file a curve.
    pub fn draw(&self, folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {folder:?}"))?;
        let mut written = Vec::new();
        for (name, svg) in plot::all(&self.cases, &self.points)? {
            let file = folder.join(name).with_extension("svg");
            fs::write(&file, svg).with_context(|| format!("cannot write {file:?}"))?;
            written.push(file);
        }
        Ok(written)
    }

    /// The closing line.
    pub fn finish(&self) {
        println!("{} cases", self.lines);
    }
}

/// A report whose next case has a place on a curve.
pub struct At<'a> {
    report: &'a mut Report,
    curve: &'a Curve<'a>,
    size: usize,
}

impl At<'_> {
    /// As [`Report::case`].
    pub fn case(self, bench: &str, case: &str, unit: &str, ours: f64, name: &str, peer: f64) {
        let figures = [(self.curve.ours, ours), (name, peer)];
        let points = self.curve.points(bench, self.size, &figures);
        self.report.points.extend(points);
        self.report.case(bench, case, unit, ours, name, peer);
    }

    /// As [`Report::contest`].
    pub fn contest(self, bench: &str, case: &str, unit: &str, ours: f64, peers: &[(&str, f64)]) {
        let mut figures = vec![(self.curve.ours, ours)];
        figures.extend(peers);
        let points = self.curve.points(bench, self.size, &figures);
        self.report.points.extend(points);
        self.report.contest(bench, case, unit, ours, peers);
    }
}

/// CPU seconds that this process has used, all threads together.
pub fn cpu_seconds() -> f64 {
    let t = clock_gettime(ClockId::ProcessCPUTime);
    t.tv_sec as f64 + t.tv_nsec as f64 * 1e-9
}

/// Runs the contestants in turn, `rounds` times, and gives each one's median figure. Interleaving
/// spreads the machine's moods over all of them.
pub fn interleaved(rounds: usize, contestants: &mut [&mut dyn FnMut() -> f64]) -> Vec<f64> {
    let mut figures = vec![Vec::with_capacity(rounds); contestants.len()];
    for _ in 0..rounds.max(1) {
        for (contestant, figures) in contestants.iter_mut().zip(&mut figures) {
            figures.push(contestant());
        }
    }
    figures.into_iter().map(median).collect()
}

/// The middle value; of an even count the upper one.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
