//! The `matrix` workloads: square products, sparse storage, similarity of rows.

mod peers;

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use sommos_core::{
    control::Unstoppable,
    matrix::{Matrix, ProductLimits, RowMeasure, SparseMatrix, multiply, row_similarity},
    par::Par,
    rng::Rng,
};

use self::peers::Peers;
use crate::{
    Options,
    report::{Report, cpu_seconds, interleaved},
    twin::Twin,
};

const SIZES: [usize; 5] = [64, 256, 512, 1024, 2048];
/// Multiply-adds of one measurement: some 100 ms.
const WORK: usize = 4 << 30;

/// Runs them.
pub fn run(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    report.note(
        "matrix",
        "GFLOPS a CPU-second in one thread, a second in two; fresh results",
    );
    for threads in [1, 2] {
        let mut numpy = openblas(threads, report);
        products::<f32>("f32", threads, options, report, numpy.as_mut());
        products::<f64>("f64", threads, options, report, numpy.as_mut());
    }
    javascript(options, report);
    rows(options, report);
    sparse(report)
}

/// `SOMMOS_PYTHON`, by default python3, with numpy.
fn openblas(threads: usize, report: &mut Report) -> Option<Twin> {
    let python = std::env::var("SOMMOS_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let twin = Twin::start(&python, "matmul.py", |command| {
        // Settings for older processors would slow the peer down.
        command
            .env_remove("OPENBLAS_CORETYPE")
            .env_remove("OPENBLAS_L2_SIZE")
            .env("OPENBLAS_NUM_THREADS", threads.to_string());
    });
    match twin {
        Ok(twin) => Some(twin),
        Err(error) => {
            report.note("matrix", &format!("without OpenBLAS: {error:#}"));
            None
        }
    }
}

fn products<T: Peers>(
    kind: &str,
    threads: usize,
    options: &Options,
    report: &mut Report,
    mut numpy: Option<&mut Twin>,
) {
    let par = if threads == 1 { Par::Seq } else { Par::Rayon };
    let clock = if threads == 1 { cpu_seconds } else { seconds };
    for n in SIZES {
        let fill = |modulus: usize| {
            let data = (0..n * n).map(|i| T::from_f64((i % modulus) as f64));
            Matrix::from_vec(n, n, data.collect(), usize::MAX)
        };
        let (Ok(a), Ok(b)) = (fill(13), fill(11)) else {
            continue;
        };
        let limits = ProductLimits::default();
        let (x, y) = (a.as_slice(), b.as_slice());
        let repeats = (WORK / (n * n * n)).max(1);
        let measure = |product: &mut dyn FnMut()| {
            settle(threads);
            let start = clock();
            (0..repeats).for_each(|_| product());
            2e-9 * (n * n * n * repeats) as f64 / (clock() - start)
        };
        let mut ours = || {
            measure(&mut || {
                black_box(multiply(&a, &b, &limits, par, &Unstoppable)).ok();
            })
        };
        let mut faer = || measure(&mut || drop(black_box(T::faer(n, x, y, threads))));
        let mut gemm = || measure(&mut || drop(black_box(T::gemm(n, x, y, threads))));
        let mut mm = || measure(&mut || drop(black_box(T::matrixmultiply(n, x, y))));
        let mut blas = || match &mut numpy {
            Some(twin) => {
                settle(threads);
                twin.measure(&format!("{kind} {n} {WORK}"))
            }
            None => f64::NAN,
        };
        let figures = interleaved(
            options.rounds,
            &mut [&mut ours, &mut faer, &mut gemm, &mut mm, &mut blas],
        );
        let names = ["ours", "faer", "gemm", "matrixmultiply", "openblas"];
        let best = (1..names.len())
            .filter(|&i| !figures[i].is_nan())
            .max_by(|&i, &j| figures[i].total_cmp(&figures[j]))
            .unwrap_or(1);
        let case = format!("{kind} {n} x {n}, {threads} thread(s)");
        report.case(
            "matrix",
            &case,
            "GFLOPS",
            figures[0],
            names[best],
            figures[best],
        );
        let all: Vec<_> = names.iter().zip(&figures).skip(1).collect();
        report.note("matrix", &format!("{all:.1?}"));
    }
}

/// Threads of the contestant before spin for work for a while: OpenBLAS some 30 ms, faer longer.
fn settle(threads: usize) {
    if threads > 1 {
        std::thread::sleep(Duration::from_millis(150));
    }
}

fn seconds() -> f64 {
    use std::sync::OnceLock;
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_secs_f64()
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

fn sparse(report: &mut Report) -> anyhow::Result<()> {
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
