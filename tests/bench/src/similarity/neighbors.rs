//! The most similar users of every user, where items follow Zipf's law: ours in a process of its
//! own, so that its peak memory is seen, beside implicit and scikit-learn.

use std::{
    env, fs,
    io::{BufWriter, Read as _, Write as _},
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context as _, bail, ensure};
use sommos_core::{
    control::Unstoppable,
    limits::Limits,
    par::Par,
    rng::Rng,
    similarity::{Measure, Options, Ratings, top_k},
};

use super::{NAME, pool};
use crate::{
    report::{Report, cpu_seconds},
    zipf::{EXPONENT, Zipf},
};

/// The hidden argument that makes the benchmark the measured process:
/// `COMMAND FILE THREADS OUT`.
pub const COMMAND: &str = "neighbors-of-all";

const USERS: u32 = 100_000;
const ITEMS: u64 = 10_000;
/// Items of a user, 50 in the mean.
const ROW: (u64, u64) = (10, 90);
const K: usize = 20;
/// Users whose neighbours scikit-learn finds: all would take minutes.
const SAMPLE: usize = 2000;

/// Runs it.
pub fn run(report: &mut Report) -> anyhow::Result<()> {
    let folder = Folder::new()?;
    let (file, values) = (folder.0.join("ratings.bin"), folder.0.join("values.bin"));
    let ratings = write(&file)?;
    report.note(
        NAME,
        &format!(
            "neighbours: cosine zero-filled, top {K} of {USERS} users, {ITEMS} items by Zipf \
             {EXPONENT}, {ratings} ratings; of each program the time of the search alone"
        ),
    );
    let own = env::current_exe().context("own path")?;
    let mut ours = Vec::new();
    for threads in ["1", "2"] {
        let mut command = Command::new(&own);
        command.arg(COMMAND).arg(&file).arg(threads).arg(&values);
        let [wall, cpu, peak] = measured(&mut command)?;
        let users = f64::from(USERS) / 1e3;
        let case = |what: &str| format!("neighbours, {threads} threads, {what}");
        report.figure(NAME, &case("wall"), "seconds", wall);
        report.figure(NAME, &case("peak memory"), "MB of the process", peak);
        ours.push((users / wall, users / cpu));
    }
    let [(one_wall, one_cpu), (two_wall, _)] = ours[..] else {
        bail!("two figures");
    };
    let (wall_unit, cpu_unit) = ("k users per second", "k users per CPU-second");
    let title = "neighbours, 2 threads";
    report.case(NAME, title, wall_unit, two_wall, "1 thread", one_wall);
    for (name, sample) in [("implicit", USERS as usize), ("scikit-learn", SAMPLE)] {
        let python = env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let twin = Path::new(env!("CARGO_MANIFEST_DIR")).join("twins/similarity_neighbors.py");
        let mut command = Command::new(python);
        command.arg(twin).arg(name).arg(&file).arg(&values);
        command.arg(sample.to_string()).arg(K.to_string());
        command.env("OPENBLAS_NUM_THREADS", "1");
        let [wall, cpu, difference] = match measured(&mut command) {
            Ok(figures) => figures,
            Err(error) => {
                report.note(NAME, &format!("neighbours: no {name}: {error:#}"));
                continue;
            }
        };
        let users = sample as f64 / 1e3;
        report.case(
            NAME,
            &format!("neighbours ({name}'s of {sample})"),
            cpu_unit,
            one_cpu,
            name,
            users / cpu,
        );
        if name == "implicit" {
            report.case(NAME, title, wall_unit, two_wall, name, users / wall);
        }
        let title = format!("neighbours, {name}");
        let unit = "x 1e-9 largest difference of values";
        report.figure(NAME, &title, unit, difference * 1e9);
        ensure!(
            difference <= 1e-6,
            "neighbours differ from {name}'s by {difference}"
        );
    }
    Ok(())
}

/// A folder for the files, removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> anyhow::Result<Self> {
        let folder = env::temp_dir().join(format!("sommos-neighbors-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What remains in the temporary folder does no harm.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The three numbers that the program prints in one line.
fn measured(command: &mut Command) -> anyhow::Result<[f64; 3]> {
    let output = command.output().context("starting it")?;
    let text = String::from_utf8_lossy(if output.status.success() {
        &output.stdout
    } else {
        &output.stderr
    });
    let last = text.trim().lines().last().unwrap_or("it said nothing");
    if !output.status.success() {
        bail!("{last}");
    }
    let numbers: Result<Vec<f64>, _> = last.split_whitespace().map(str::parse).collect();
    let numbers = numbers.with_context(|| format!("reading {last:?}"))?;
    numbers.try_into().ok().context("three numbers")
}

/// Writes the ratings: users, ratings (count), then offsets, items (u32) and ratings (f32), all
/// little-endian. Gives the count of ratings.
fn write(path: &Path) -> anyhow::Result<usize> {
    let mut rng = Rng::new(1);
    let zipf = Zipf::new(ITEMS, EXPONENT);
    let (mut offsets, mut items, mut ratings) = (vec![0u32], Vec::new(), Vec::new());
    let mut last_user = vec![u32::MAX; ITEMS as usize];
    for user in 0..USERS {
        let mut left = ROW.0 + rng.below(ROW.1 - ROW.0 + 1);
        while left > 0 {
            let item = zipf.sample(&mut rng) as u32 - 1;
            if core::mem::replace(&mut last_user[item as usize], user) != user {
                items.push(item);
                ratings.push((1 + rng.below(10)) as f32 / 2.0);
                left -= 1;
            }
        }
        offsets.push(items.len() as u32);
    }
    let mut file = BufWriter::new(fs::File::create(path)?);
    for number in [USERS, items.len() as u32]
        .iter()
        .chain(&offsets)
        .chain(&items)
    {
        file.write_all(&number.to_le_bytes())?;
    }
    for rating in &ratings {
        file.write_all(&rating.to_le_bytes())?;
    }
    file.flush()?;
    Ok(ratings.len())
}

fn read(path: &Path) -> anyhow::Result<Ratings> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.read_to_end(&mut bytes)?;
    let (words, _) = bytes.as_chunks::<4>();
    let mut words = words.iter().copied();
    let mut numbers =
        |count: usize| -> Vec<u32> { words.by_ref().take(count).map(u32::from_le_bytes).collect() };
    let [users, count] = numbers(2)[..] else {
        bail!("{} is too short", path.display());
    };
    let (offsets, items) = (numbers(users as usize + 1), numbers(count as usize));
    let ratings: Vec<f32> = words.map(f32::from_le_bytes).collect();
    Ok(Ratings::from_csr(
        &offsets,
        &items,
        &ratings,
        &Limits::default(),
    )?)
}

/// The measured process: prints wall seconds, CPU seconds and the peak of its memory (MB), and
/// writes the values, `K` a user (NaN where there are fewer), as f64.
pub fn main(arguments: &[String]) -> anyhow::Result<()> {
    let [file, threads, out] = arguments else {
        bail!("{COMMAND} FILE THREADS OUT");
    };
    let ratings = read(Path::new(file))?;
    let pool = pool(threads.parse()?)?;
    let options = Options {
        max_pairs: usize::MAX,
        ..Options::new(Measure::CosineZeroFilled)
    };
    let (start, cpu) = (Instant::now(), cpu_seconds());
    let lists = pool.install(|| top_k(&ratings, K, None, &options, Par::Rayon, &Unstoppable))?;
    let (wall, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    let status = fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|kb| kb.split_whitespace().next());
    let peak: f64 = peak.context("no VmHWM")?.parse()?;
    let mut file = BufWriter::new(fs::File::create(out)?);
    for list in &lists {
        for i in 0..K {
            let value = list.get(i).map_or(f64::NAN, |neighbor| neighbor.similarity);
            file.write_all(&value.to_le_bytes())?;
        }
    }
    file.flush()?;
    println!("{wall} {cpu} {}", peak / 1024.0);
    Ok(())
}
