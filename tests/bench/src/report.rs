//! What a benchmark prints: a table for people, JSON lines for programs.

use std::{
    fs::{File, OpenOptions},
    io::Write as _,
    path::Path,
};

use rustix::time::{ClockId, clock_gettime};

/// Collects cases and prints each as it comes.
pub struct Report {
    json: Option<File>,
    cases: usize,
}

impl Report {
    /// Prints the machine first: a figure without it says nothing.
    pub fn new(json: Option<&Path>) -> anyhow::Result<Self> {
        let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpu
            .lines()
            .find_map(|l| l.strip_prefix("model name"))
            .map_or("unknown", |l| l.trim_start_matches([' ', '\t', ':']));
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        println!(
            "machine: {model}, {threads} threads, sommos {}",
            env!("CARGO_PKG_VERSION")
        );
        println!(
            "{:<12} {:<46} {:>14} {:>14} {:>8}  unit, peer",
            "bench", "case", "ours", "peer", "ratio"
        );
        let json = json
            .map(|p| OpenOptions::new().create(true).append(true).open(p))
            .transpose()?;
        Ok(Self { json, cases: 0 })
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
        self.line(serde_json::json!({
            "bench": bench, "case": case, "ours": ours, "peer": peer,
            "peer_name": peer_name, "ratio": ratio, "unit": unit,
        }));
    }

    /// One case in percent, where the difference in points is what counts.
    pub fn points(&mut self, bench: &str, case: &str, ours: f64, peer_name: &str, peer: f64) {
        let points = ours - peer;
        println!(
            "{bench:<12} {case:<46} {ours:>14.2} {peer:>14.2} {points:>+8.2}  points, {peer_name}"
        );
        self.line(serde_json::json!({
            "bench": bench, "case": case, "ours": ours, "peer": peer,
            "peer_name": peer_name, "points": points, "ratio": ours / peer, "unit": "percent",
        }));
    }

    /// A figure of ours that has no peer.
    pub fn figure(&mut self, bench: &str, case: &str, unit: &str, ours: f64) {
        println!(
            "{bench:<12} {case:<46} {ours:>14.3} {:>14} {:>8}  {unit}",
            "-", "-"
        );
        self.line(serde_json::json!({"bench": bench, "case": case, "ours": ours, "unit": unit}));
    }

    /// A remark: what is compared, what could not run here.
    pub fn note(&mut self, bench: &str, text: &str) {
        println!("{bench:<12} # {text}");
    }

    fn line(&mut self, value: serde_json::Value) {
        self.cases += 1;
        if let Some(file) = &mut self.json {
            // A full disk must not end a long benchmark; the table above has the figure.
            let _ = writeln!(file, "{value}");
        }
    }

    /// The closing line.
    pub fn finish(&self) {
        println!("{} cases", self.cases);
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
