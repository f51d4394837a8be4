//! Plots as SVG text: bars of every case, and lines of cost against size. Nothing is measured and
//! nothing random here: the same figures give the same bytes.

mod bars;
mod lines;
mod style;

/// One row of the table.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    bench: String,
    case: String,
    unit: String,
    ours: f64,
    peer: Option<(String, f64)>,
}

impl Case {
    /// Of a benchmark; the peer by name and figure.
    pub fn new(bench: &str, case: &str, unit: &str, ours: f64, peer: Option<(&str, f64)>) -> Self {
        Self {
            bench: bench.to_owned(),
            case: case.trim().to_owned(),
            unit: unit.to_owned(),
            ours,
            peer: peer.map(|(name, figure)| (name.to_owned(), figure)),
        }
    }
}

/// What a plot of cost against size is of.
#[derive(Debug, Clone, Copy)]
pub struct Curve<'a> {
    /// Title; curves of one title in one benchmark are one plot.
    pub title: &'a str,
    /// The name of our line.
    pub ours: &'a str,
    /// What the size counts.
    pub size_unit: &'a str,
    /// Of the cost.
    pub unit: &'a str,
    /// The cost from a figure of the table.
    pub cost: fn(f64) -> f64,
}

/// One figure in a plot of cost against size.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    bench: String,
    title: String,
    series: String,
    size_unit: String,
    unit: String,
    size: usize,
    cost: f64,
}

impl Curve<'_> {
    /// Of several contestants at one size.
    pub fn points(&self, bench: &str, size: usize, figures: &[(&str, f64)]) -> Vec<Point> {
        let point = |&(series, figure): &(&str, f64)| Point {
            bench: bench.to_owned(),
            title: self.title.to_owned(),
            series: series.to_owned(),
            size_unit: self.size_unit.to_owned(),
            unit: self.unit.to_owned(),
            size,
            cost: (self.cost)(figure),
        };
        figures.iter().map(point).collect()
    }
}

/// `(name, SVG)` of every benchmark's bars and of every curve.
pub fn all(cases: &[Case], points: &[Point]) -> anyhow::Result<Vec<(String, String)>> {
    let mut plots = Vec::new();
    for bench in in_order(cases.iter().map(|c| c.bench.as_str())) {
        let cases: Vec<_> = cases.iter().filter(|c| c.bench == bench).collect();
        plots.push((bench.to_owned(), bars::draw(bench, &cases)?));
    }
    for (bench, title) in in_order(points.iter().map(|p| (p.bench.as_str(), p.title.as_str()))) {
        let one = |p: &&Point| p.bench == bench && p.title == title;
        let points: Vec<_> = points.iter().filter(one).collect();
        let svg = lines::draw(bench, title, &points)?;
        plots.push((format!("{bench}-{}", file_name(title)), svg));
    }
    Ok(plots)
}

/// Each once, as they first come.
fn in_order<T: PartialEq>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut seen = Vec::new();
    for item in items {
        if !seen.contains(&item) {
            seen.push(item);
        }
    }
    seen
}

/// Letters and digits of a title, other characters as single hyphens.
fn file_name(title: &str) -> String {
    let words = title.split(|c: char| !c.is_ascii_alphanumeric());
    let words: Vec<_> = words.filter(|w| !w.is_empty()).collect();
    words.join("-").to_lowercase()
}

#[cfg(test)]
mod tests;
