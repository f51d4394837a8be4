//! The `similarity` workloads: all pairs per CPU-second on one thread beside numpy, scikit-surprise
//! and the straightforward JavaScript; agreement with golden values; the trained model's errors.

mod data;
mod golden;
pub mod neighbors;
mod peers;

use std::{path::Path, time::Instant};

use anyhow::Context as _;
use rayon::ThreadPoolBuilder;
use sommos_core::{
    control::Unstoppable,
    model,
    par::Par,
    similarity::{Measure, Options as Similar, Ratings, Similarity, all_pairs},
};

use crate::{
    Options,
    report::{Report, cpu_seconds, interleaved},
};
use data::{load, synthetic};
use peers::{Peer, Workload};

const NAME: &str = "similarity";
const UNIT: &str = "M pairs per CPU-second";
const MEASURES: [(&str, Measure); 5] = [
    ("pearson", Measure::Pearson),
    ("cosine", Measure::Cosine),
    ("jaccard", Measure::Jaccard),
    ("euclidean", Measure::Euclidean),
    ("cosine zero-filled", Measure::CosineZeroFilled),
];

/// Runs them.
pub fn run(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    report.note(
        NAME,
        "values: all pairs' values, as numpy and surprise give them; sorted: the list of pairs \
         from 0.1 on, best first, as the JavaScript gives it; both from prepared ratings",
    );
    if let Some(path) = &options.ratings {
        let ratings = load(path)?;
        let case = path
            .file_name()
            .map_or_else(String::new, |n| n.to_string_lossy().into());
        return against_python(options, report, &case, &ratings, false);
    }
    let ratings = synthetic(1000, 50, 500);
    against_python(options, report, "1000x50 of 500", &ratings, true)?;
    against_javascript(options, report, &ratings)?;
    against_python(
        options,
        report,
        "1000x250 of 500",
        &synthetic(1000, 250, 500),
        true,
    )?;
    threads(options, report)?;
    neighbors::run(report)?;
    let users = options.data.join("ratings/ml-latest-small.ratings.csv");
    let wines = options
        .data
        .join("wine/XWines_Slim_ratings_shared_users.csv.gz");
    let golden = options.data.join("golden");
    for (name, path, transposed, golden) in [
        (
            "ml-latest-small users",
            users,
            false,
            "ml-latest-small.user-similarity.json",
        ),
        (
            "x-wines wines",
            wines,
            true,
            "xwines-slim-shared.item-similarity.json",
        ),
    ]
    .map(|(name, path, transposed, file)| (name, path, transposed, golden.join(file)))
    {
        if !path.exists() {
            report.note(
                NAME,
                &format!("{name}: left out, {} is not there", path.display()),
            );
            continue;
        }
        let by_user = load(&path)?;
        train(report, name, &by_user)?;
        let ratings = if transposed {
            by_user.transpose()
        } else {
            by_user
        };
        against_python(options, report, name, &ratings, true)?;
        agreement(report, name, &golden, &ratings)?;
    }
    Ok(())
}

/// Pairs of all entities, millions.
fn pairs(ratings: &Ratings) -> f64 {
    let n = f64::from(ratings.len());
    n * (n - 1.0) / 2.0 / 1e6
}

fn similar(measure: Measure) -> Similar {
    Similar {
        max_pairs: usize::MAX,
        ..Similar::new(measure)
    }
}

/// CPU seconds of one run, from as many as take a twentieth of a second.
fn cpu_seconds_of(mut work: impl FnMut()) -> f64 {
    let start = cpu_seconds();
    let mut runs = 0;
    loop {
        work();
        runs += 1;
        let used = cpu_seconds() - start;
        if used > 0.05 {
            return used / f64::from(runs);
        }
    }
}

fn values(ratings: &Ratings, measure: Measure, par: Par) {
    let similarity = Similarity::new(ratings, &similar(measure));
    let values = similarity.and_then(|s| s.triangle(par, &Unstoppable));
    std::hint::black_box(values.is_ok());
}

fn sorted(ratings: &Ratings, measure: Measure) {
    let options = Similar {
        min_similarity: 0.1,
        ..similar(measure)
    };
    let pairs = all_pairs(ratings, &options, Par::Seq, &Unstoppable);
    std::hint::black_box(pairs.is_ok());
}

/// All values beside numpy's five products and scikit-surprise.
fn against_python(
    options: &Options,
    report: &mut Report,
    case: &str,
    ratings: &Ratings,
    with_numpy: bool,
) -> anyhow::Result<()> {
    let workload = Workload::new(ratings)?;
    let million = pairs(ratings);
    for (name, measure) in MEASURES {
        let mut peers = Vec::new();
        if with_numpy && measure == Measure::Pearson {
            peers.push(Peer::Python("numpy"));
        }
        match measure {
            Measure::Pearson => peers.push(Peer::Python("surprise-pearson")),
            Measure::Cosine => peers.push(Peer::Python("surprise-cosine")),
            Measure::Euclidean => peers.push(Peer::Python("surprise-msd")),
            _ => {}
        }
        let title = format!("{name}, {case}, values");
        compare(options, report, &title, million, &peers, &workload, || {
            values(ratings, measure, Par::Seq)
        })?;
    }
    Ok(())
}

/// The sorted list beside the straightforward JavaScript.
fn against_javascript(
    options: &Options,
    report: &mut Report,
    ratings: &Ratings,
) -> anyhow::Result<()> {
    let workload = Workload::new(ratings)?;
    for (name, measure) in &MEASURES[..4] {
        let title = format!("{name}, 1000x50 of 500, sorted");
        let million = pairs(ratings);
        let peers = [Peer::JavaScript(name)];
        compare(options, report, &title, million, &peers, &workload, || {
            sorted(ratings, *measure);
        })?;
    }
    Ok(())
}

/// Ours and its peers, interleaved; a peer that cannot run is a note.
fn compare(
    options: &Options,
    report: &mut Report,
    title: &str,
    million: f64,
    peers: &[Peer<'_>],
    workload: &Workload,
    mut work: impl FnMut(),
) -> anyhow::Result<()> {
    let mut runnable = Vec::new();
    for peer in peers {
        match workload.seconds(peer) {
            Ok(_) => runnable.push(peer),
            Err(error) => report.note(NAME, &format!("{title}: no {}: {error:#}", peer.name())),
        }
    }
    let mut ours = || million / cpu_seconds_of(&mut work);
    let mut theirs: Vec<_> = runnable
        .iter()
        .map(|peer| {
            || {
                workload
                    .seconds(peer)
                    .map_or(f64::NAN, |seconds| million / seconds)
            }
        })
        .collect();
    let mut contestants: Vec<&mut dyn FnMut() -> f64> = vec![&mut ours];
    for peer in &mut theirs {
        contestants.push(peer);
    }
    let figures = interleaved(options.rounds, &mut contestants);
    let ours = figures.first().copied().context("no figure")?;
    if runnable.is_empty() {
        report.figure(NAME, title, UNIT, ours);
    }
    for (peer, figure) in runnable.iter().zip(&figures[1..]) {
        report.case(NAME, title, UNIT, ours, peer.name(), *figure);
    }
    Ok(())
}

/// Two threads over one, by the clock, until the result is there.
fn threads(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let ratings = synthetic(4000, 50, 500);
    let (one, two) = (pool(1)?, pool(2)?);
    let kept = Similar {
        min_similarity: 0.1,
        ..similar(Measure::Pearson)
    };
    let sorted = |pool: &rayon::ThreadPool| {
        let start = Instant::now();
        let pairs = pool.install(|| all_pairs(&ratings, &kept, Par::Rayon, &Unstoppable));
        let figure = pairs_per_second(&ratings, start);
        std::hint::black_box(pairs.is_ok());
        figure
    };
    let values = |pool: &rayon::ThreadPool| {
        let start = Instant::now();
        let values = pool.install(|| {
            let similarity = Similarity::new(&ratings, &similar(Measure::Pearson))?;
            similarity.triangle(Par::Rayon, &Unstoppable)
        });
        let figure = pairs_per_second(&ratings, start);
        std::hint::black_box(values.is_ok());
        figure
    };
    let rounds = options.rounds.max(9);
    let unit = "M pairs per second";
    let figures = interleaved(rounds, &mut [&mut || sorted(&two), &mut || sorted(&one)]);
    let title = "pearson, 4000x50 of 500, sorted, 2 threads";
    report.case(NAME, title, unit, figures[0], "1 thread", figures[1]);
    let figures = interleaved(rounds, &mut [&mut || values(&two), &mut || values(&one)]);
    let title = "pearson, 4000x50 of 500, values, 2 threads";
    report.case(NAME, title, unit, figures[0], "1 thread", figures[1]);
    Ok(())
}

fn pairs_per_second(ratings: &Ratings, start: Instant) -> f64 {
    pairs(ratings) / start.elapsed().as_secs_f64()
}

fn pool(threads: usize) -> anyhow::Result<rayon::ThreadPool> {
    Ok(ThreadPoolBuilder::new().num_threads(threads).build()?)
}

/// The largest difference from the golden values, by measure.
fn agreement(
    report: &mut Report,
    name: &str,
    path: &Path,
    ratings: &Ratings,
) -> anyhow::Result<()> {
    if !path.exists() {
        report.note(
            NAME,
            &format!("{name}: no golden values at {}", path.display()),
        );
        return Ok(());
    }
    for (measure, difference) in golden::differences(path, ratings)? {
        let title = format!("{measure}, {name}");
        report.figure(
            NAME,
            &title,
            "x 1e-9 largest difference from golden",
            difference * 1e9,
        );
    }
    Ok(())
}

/// The model's error beside that of the biases alone (a ratio above 1: the model is better).
fn train(report: &mut Report, name: &str, ratings: &Ratings) -> anyhow::Result<()> {
    let start = cpu_seconds();
    let trained = model::train(ratings, &model::Parameters::default(), &Unstoppable)?;
    let used = cpu_seconds() - start;
    let title = format!("1 / held-out RMSE, {name}");
    let (ours, baseline) = (
        1.0 / trained.rmse_held_out,
        1.0 / trained.baseline_rmse_held_out,
    );
    report.case(NAME, &title, "model", ours, "biases alone", baseline);
    let title = format!("held-out RMSE, {name}");
    report.figure(NAME, &title, "rating points", trained.rmse_held_out);
    report.figure(NAME, &format!("training, {name}"), "CPU-seconds", used);
    Ok(())
}
