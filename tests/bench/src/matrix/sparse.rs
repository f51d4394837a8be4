//! Sparse matrices: what an entry costs, and products beside sprs and scipy.

use std::hint::black_box;

use ndarray::Array2;
use sommos_core::{
    control::Unstoppable,
    matrix::{Csr, Matrix, ProductLimits, SparseMatrix, csr_times_csr, csr_times_dense},
    par::Par,
    rng::Rng,
};
use sprs::{CsMat, TriMat, prod::csr_mulacc_dense_rowmaj, smmp::mul_csr_csr};

use crate::{
    Options,
    report::{Report, cpu_seconds, interleaved},
    twin::Twin,
};

const UNIT: &str = "M multiply-adds per CPU-second";
/// Side, entries, columns of a dense right operand (0: another of the kind), repeats.
const CASES: [(usize, usize, usize, usize); 6] = [
    (10_000, 100_000, 64, 20),
    (2000, 200_000, 256, 4),
    (10_000, 100_000, 1, 500),
    (10_000, 100_000, 0, 20),
    (2000, 200_000, 0, 2),
    (100_000, 300_000, 0, 5),
];

/// Runs them.
pub(super) fn run(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    storage(report)?;
    let python = std::env::var("SOMMOS_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let mut scipy = match Twin::start(&python, "sparse.py", |_| ()) {
        Ok(twin) => Some(twin),
        Err(error) => {
            report.note("matrix", &format!("without scipy: {error:#}"));
            None
        }
    };
    for (side, entries, columns, repeats) in CASES {
        let kind = if columns > 0 { "dense" } else { "sparse" };
        let request = format!("{kind} {side} {entries} {columns} {repeats}");
        let mut scipy = || match &mut scipy {
            Some(twin) => twin.measure(&request),
            None => f64::NAN,
        };
        let a = Operand::random(side, entries, 1)?;
        let figures = if columns > 0 {
            by_dense(&a, columns, repeats, options.rounds, &mut scipy)?
        } else {
            let b = Operand::random(side, entries, 2)?;
            by_sparse(&a, &b, repeats, options.rounds, &mut scipy)
        };
        let [ours, sprs, scipy] = figures[..] else {
            continue;
        };
        let right = match columns {
            0 => "another".to_owned(),
            _ => format!("{columns} columns"),
        };
        let case = format!("sparse {side}², {entries} entries, by {right}");
        report.contest(
            "matrix",
            &case,
            UNIT,
            ours,
            &[("sprs", sprs), ("scipy", scipy)],
        );
    }
    Ok(())
}

/// One matrix as both libraries have it.
struct Operand {
    side: usize,
    ours: Csr,
    sprs: CsMat<f64>,
}

impl Operand {
    fn random(side: usize, entries: usize, seed: u64) -> anyhow::Result<Self> {
        let mut rng = Rng::new(seed);
        let mut place = || rng.below(side as u64) as usize;
        let mut places: Vec<_> = (0..entries).map(|_| (place(), place())).collect();
        places.sort_unstable();
        places.dedup();
        let value = |(row, col): (usize, usize)| (row, col, ((row + col) % 7 + 1) as f64);
        let entries: Vec<_> = places.into_iter().map(value).collect();
        let mut sprs = TriMat::new((side, side));
        for &(row, col, value) in &entries {
            sprs.add_triplet(row, col, value);
        }
        Ok(Self {
            side,
            ours: Csr::from_entries(side, side, &entries, usize::MAX)?,
            sprs: sprs.to_csr(),
        })
    }
}

/// Million multiply-adds a CPU-second of `repeats` products that take `work` each.
fn speed(work: usize, repeats: usize, mut product: impl FnMut()) -> f64 {
    let start = cpu_seconds();
    (0..repeats).for_each(|_| product());
    1e-6 * (work * repeats) as f64 / (cpu_seconds() - start)
}

fn by_dense(
    a: &Operand,
    columns: usize,
    repeats: usize,
    rounds: usize,
    scipy: &mut dyn FnMut() -> f64,
) -> anyhow::Result<Vec<f64>> {
    let data: Vec<_> = (0..a.side * columns).map(|i| (i % 11) as f64).collect();
    let theirs = Array2::from_shape_vec((a.side, columns), data.clone())?;
    let b = Matrix::from_vec(a.side, columns, data, usize::MAX)?;
    let work = a.ours.entries() * columns;
    let limits = ProductLimits::default();
    let mut ours = || {
        speed(work, repeats, || {
            black_box(csr_times_dense(
                &a.ours,
                &b,
                &limits,
                Par::Seq,
                &Unstoppable,
            ))
            .ok();
        })
    };
    let mut sprs = || {
        speed(work, repeats, || {
            let mut out = Array2::<f64>::zeros((a.side, columns));
            csr_mulacc_dense_rowmaj(a.sprs.view(), theirs.view(), out.view_mut());
            black_box(out);
        })
    };
    Ok(interleaved(rounds, &mut [&mut ours, &mut sprs, scipy]))
}

fn by_sparse(
    a: &Operand,
    b: &Operand,
    repeats: usize,
    rounds: usize,
    scipy: &mut dyn FnMut() -> f64,
) -> Vec<f64> {
    let length = |row| b.sprs.outer_view(row).map_or(0, |v| v.nnz());
    let work = a.sprs.indices().iter().map(|&row| length(row)).sum();
    let limits = ProductLimits::default();
    let mut ours = || {
        speed(work, repeats, || {
            black_box(csr_times_csr(
                &a.ours,
                &b.ours,
                &limits,
                Par::Seq,
                &Unstoppable,
            ))
            .ok();
        })
    };
    let mut sprs = || {
        speed(work, repeats, || {
            let product: CsMat<f64> = mul_csr_csr(a.sprs.view(), b.sprs.view());
            black_box(product);
        })
    };
    interleaved(rounds, &mut [&mut ours, &mut sprs, scipy])
}

fn storage(report: &mut Report) -> anyhow::Result<()> {
    let mut rng = Rng::new(1);
    let mut m = SparseMatrix::new(10_000, 10_000, 0.0, usize::MAX)?;
    let start = cpu_seconds();
    let sets = 1_000_000;
    for _ in 0..sets {
        m.set(rng.below(10_000) as usize, rng.below(10_000) as usize, 1.5)?;
    }
    let rate = f64::from(sets) * 1e-6 / (cpu_seconds() - start);
    report.figure(
        "matrix",
        "sparse set, 1 M random",
        "M sets per CPU-second",
        rate,
    );
    let bytes = |m: &SparseMatrix| m.memory_usage() as f64 / m.size() as f64;
    report.figure("matrix", "sparse, as written", "bytes an entry", bytes(&m));
    m.compact();
    report.figure("matrix", "sparse, compact", "bytes an entry", bytes(&m));
    Ok(())
}
