//! Dense products beside the crates and OpenBLAS, square and of other shapes.

use std::{
    hint::black_box,
    sync::OnceLock,
    time::{Duration, Instant},
};

use sommos_core::{
    control::Unstoppable,
    matrix::{Matrix, ProductLimits, multiply},
    par::Par,
};

use super::{
    peak::{self, Peak},
    peers::{Peers, Shape},
};
use crate::{
    Options,
    plot::Curve,
    report::{Report, cpu_seconds, interleaved},
    twin::Twin,
};

const SIZES: [usize; 5] = [64, 256, 512, 1024, 2048];
/// Tall, skinny, thin inside, few columns, one row.
const SHAPES: [Shape; 5] = [
    (10_000, 32, 32),
    (32, 10_000, 32),
    (4096, 64, 4096),
    (2000, 500, 8),
    (1, 1000, 1000),
];
/// Multiply-adds of one measurement: some 100 ms for squares, less for shapes that memory holds up.
pub(super) const WORK: usize = 4 << 30;
const WORK_OF_SHAPES: usize = 1 << 30;
const WORK_OF_PEAK: usize = 1 << 30;
const PEERS: [&str; 4] = ["faer", "gemm", "matrixmultiply", "openblas"];

/// Every shape, in one thread and in two.
pub(super) fn run(options: &Options, report: &mut Report) {
    report.note(
        "matrix",
        "GFLOPS a CPU-second in one thread, a second in two; fresh results",
    );
    for threads in [1, 2] {
        let mut numpy = openblas(threads, report);
        products::<f32>("f32", threads, options, report, numpy.as_mut());
        products::<f64>("f64", threads, options, report, numpy.as_mut());
    }
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

fn products<T: Peers + Peak>(
    kind: &str,
    threads: usize,
    options: &Options,
    report: &mut Report,
    mut numpy: Option<&mut Twin>,
) {
    let plural = if threads == 1 { "thread" } else { "threads" };
    let title = format!("product of n x n in {kind}, {threads} {plural}");
    let curve = Curve {
        title: &title,
        ours: "ours",
        size_unit: "n",
        unit: "GFLOPS",
        cost: |gflops| gflops,
    };
    let shapes = SIZES.map(|n| (n, n, n)).into_iter().chain(SHAPES);
    for (m, k, n) in shapes {
        let square = m == n && n == k;
        let Some(figures) = contest::<T>(kind, threads, (m, k, n), options.rounds, &mut numpy)
        else {
            continue;
        };
        let [ours, peak, peers @ ..] = &figures[..] else {
            continue;
        };
        let peers: Vec<_> = PEERS.into_iter().zip(peers.iter().copied()).collect();
        let case = match square {
            true => format!("{kind} {n} x {n}, {threads} {plural}"),
            false => format!("{kind} {m} x {k} by {k} x {n}, {threads} {plural}"),
        };
        match square {
            true => report
                .at(&curve, n)
                .contest("matrix", &case, "GFLOPS", *ours, &peers),
            false => report.contest("matrix", &case, "GFLOPS", *ours, &peers),
        }
        let share = 100.0 * ours / peak;
        let note = format!("  {share:.1} % of the measured FMA peak of {peak:.1} GFLOPS");
        report.note("matrix", &note);
    }
}

/// Ours, the peak of the processor, then the peers.
fn contest<T: Peers + Peak>(
    kind: &str,
    threads: usize,
    (m, k, n): Shape,
    rounds: usize,
    numpy: &mut Option<&mut Twin>,
) -> Option<Vec<f64>> {
    let fill = |rows: usize, cols: usize, modulus: usize| {
        let data = (0..rows * cols).map(|i| T::from_f64((i % modulus) as f64));
        Matrix::from_vec(rows, cols, data.collect(), usize::MAX).ok()
    };
    let (a, b) = (fill(m, k, 13)?, fill(k, n, 11)?);
    let (x, y) = (a.as_slice(), b.as_slice());
    let par = if threads == 1 { Par::Seq } else { Par::Rayon };
    let clock = if threads == 1 { cpu_seconds } else { seconds };
    let limits = ProductLimits::default();
    let work = if m == n && n == k {
        WORK
    } else {
        WORK_OF_SHAPES
    };
    let repeats = (work / (m * k * n)).max(1);
    let measure = |product: &mut dyn FnMut()| {
        settle(threads);
        // As OpenBLAS's twin has it: memory that nobody had for a while is slow at its first use.
        product();
        let start = clock();
        (0..repeats).for_each(|_| product());
        2e-9 * (m * k * n * repeats) as f64 / (clock() - start)
    };
    let mut ours = || {
        measure(&mut || {
            black_box(multiply(&a, &b, &limits, par, &Unstoppable)).ok();
        })
    };
    let mut peak = || {
        settle(threads);
        peak::gflops::<T>(threads, WORK_OF_PEAK, clock)
    };
    let shape = (m, k, n);
    let mut faer = || measure(&mut || drop(black_box(T::faer(shape, x, y, threads))));
    let mut gemm = || measure(&mut || drop(black_box(T::gemm(shape, x, y, threads))));
    let mut mm = || match threads {
        1 => measure(&mut || drop(black_box(T::matrixmultiply(shape, x, y)))),
        _ => f64::NAN,
    };
    let mut blas = || match numpy {
        Some(twin) => {
            settle(threads);
            twin.measure(&format!("{kind} {m} {k} {n} {work}"))
        }
        None => f64::NAN,
    };
    Some(interleaved(
        rounds,
        &mut [
            &mut ours, &mut peak, &mut faer, &mut gemm, &mut mm, &mut blas,
        ],
    ))
}

/// Threads of the contestant before spin for work for a while: OpenBLAS some 30 ms, faer longer.
fn settle(threads: usize) {
    if threads > 1 {
        std::thread::sleep(Duration::from_millis(150));
    }
}

fn seconds() -> f64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_secs_f64()
}
