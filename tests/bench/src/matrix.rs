//! The `matrix` workloads: square products, sparse storage, similarity of rows.

mod dense;
mod peak;
mod peers;
mod sparse;

use std::hint::black_box;

use sommos_core::{
    control::Unstoppable,
    matrix::{Matrix, ProductLimits, RowMeasure, multiply, row_similarity},
    par::Par,
    rng::Rng,
};

use self::dense::WORK;
use crate::{
    Options,
    report::{Report, cpu_seconds, interleaved},
    twin::Twin,
};

/// Runs them.
pub fn run(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    dense::run(options, report);
    javascript(options, report);
    rows(options, report);
    sparse::run(options, report)
}

fn javascript(options: &Options, report: &mut Report) {
    let mut twin = match Twin::start("node", "matmul.mjs", |_| ()) {
        Ok(twin) => twin,
        Err(error) => return report.note("matrix", &format!("without Node: {error:#}")),
    };
    let n = 512;
    let data = (0..n * n).map(|i| (i % 13) as f64).collect();
    let Ok(a) = Matrix::from_vec(n, n, data, usize::MAX) else {
        return;
    };
    let mut ours = || {
        let start = cpu_seconds();
        let limits = ProductLimits::default();
        (0..16).for_each(|_| drop(black_box(multiply(&a, &a, &limits, Par::Seq, &Unstoppable))));
        2e-9 * (n * n * n * 16) as f64 / (cpu_seconds() - start)
    };
    let request = format!("f64 {n} {WORK}");
    let mut js = || twin.measure(&request);
    let figures = interleaved(options.rounds, &mut [&mut ours, &mut js]);
    let peer = format!("JavaScript ({})", twin.version);
    let case = format!("f64 {n} x {n}, 1 thread, against JS");
    report.case("matrix", &case, "GFLOPS", figures[0], &peer, figures[1]);
}

fn rows(options: &Options, report: &mut Report) {
    let (n, cols) = (1000, 500);
    let mut rng = Rng::new(1);
    let data = (0..n * cols).map(|_| rng.below(11) as f64 / 2.0).collect();
    let Ok(m) = Matrix::from_vec(n, cols, data, usize::MAX) else {
        return;
    };
    let limits = ProductLimits::default();
    for measure in [
        RowMeasure::Cosine,
        RowMeasure::Pearson,
        RowMeasure::Euclidean,
    ] {
        let mut ours = || {
            let start = cpu_seconds();
            let result = row_similarity(&m, measure, &limits, Par::Seq, &Unstoppable);
            black_box(result).ok();
            (n * (n - 1) / 2) as f64 * 1e-6 / (cpu_seconds() - start)
        };
        let figures = interleaved(options.rounds, &mut [&mut ours]);
        let case = format!("{measure:?} of {n} rows of {cols}");
        report.figure("matrix", &case, "M pairs per CPU-second", figures[0]);
    }
}
