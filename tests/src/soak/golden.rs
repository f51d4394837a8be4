//! Real ratings over HTTP, against values that other libraries computed.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::Read,
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use super::{
    Options,
    http::{Client, text},
    load::wait,
    server::{Folder, Server},
};

/// Largest difference.
const TOLERANCE: f64 = 1e-6;
/// Values below are 0: golden values are rounded.
const ROUNDING: f64 = 1e-9;
/// Below every value of every measure.
const LOWEST: f64 = -1e12;

/// Golden name, algorithm, fewest common items, and the same for the sum over all pairs (that of
/// the distances is over all pairs with any item in common).
const MEASURES: [(&str, &str, u32, u32); 8] = [
    ("pearson_corated_min3", "pearson", 3, 3),
    ("cosine_corated_min3", "cosine", 3, 3),
    ("pearson_corated_min20", "pearson", 20, 20),
    ("cosine_corated_min20", "cosine", 20, 20),
    ("cosine_zero_filled", "cosine_zero_filled", 1, 1),
    ("jaccard_items", "jaccard", 1, 1),
    ("euclidean_distance_corated", "euclidean_distance", 3, 1),
    ("euclidean_similarity_corated_min3", "euclidean", 3, 3),
];

/// Ratings as the API takes them.
struct Triplets {
    users: Vec<i64>,
    items: Vec<i64>,
    ratings: Vec<f32>,
}

/// A data set and whose similarity is asked for.
struct Data {
    name: &'static str,
    ratings: &'static str,
    golden: &'static str,
    columns: [&'static str; 3],
    by: &'static str,
}

const SETS: [Data; 2] = [
    Data {
        name: "ml-latest-small, user to user",
        ratings: "ratings/ml-latest-small.ratings.csv",
        golden: "golden/ml-latest-small.user-similarity.json",
        columns: ["userId", "movieId", "rating"],
        by: "entity",
    },
    Data {
        name: "X-Wines, wine to wine",
        ratings: "wine/XWines_Slim_ratings_shared_users.csv.gz",
        golden: "golden/xwines-slim-shared.item-similarity.json",
        columns: ["UserID", "WineID", "Rating"],
        by: "item",
    },
];

/// The check.
pub(crate) fn check(options: &Options) -> anyhow::Result<()> {
    if !options.data.is_dir() {
        println!(
            "  SKIPPED: no folder {} (--data DIR)",
            options.data.display()
        );
        ensure!(options.allow_missing, "the real data is missing");
        return Ok(());
    }
    let folder = Folder::new()?;
    let server = Server::start(folder.path(), &[])?;
    let mut client = server.client();
    let mut wrong = Vec::new();
    for set in &SETS {
        let triplets = load(&options.data.join(set.ratings), set.columns)?;
        let golden = fs::read(options.data.join(set.golden))?;
        let golden: Value = serde_json::from_slice(&golden)?;
        println!("  {}: {} ratings", set.name, triplets.ratings.len());
        for measure in &MEASURES {
            let mut asked = Asked {
                client: &mut client,
                set,
                triplets: &triplets,
                golden: &golden,
            };
            let differences = asked.compare(measure).with_context(|| measure.0)?;
            let [lists, vectors, sums] = differences;
            println!(
                "    {:34} lists {lists:.1e}, vectors {}, sum per pair {sums:.1e}",
                measure.0,
                vectors.map_or("-".to_owned(), |v| format!("{v:.1e}")),
                lists = lists.unwrap_or(f64::NAN),
                sums = sums.unwrap_or(f64::NAN),
            );
            if !differences.iter().flatten().all(|d| *d <= TOLERANCE) {
                wrong.push(format!("{} {}", set.name, measure.0));
            }
        }
        let better = train(&mut client, &triplets)?;
        if !better && set.by == "entity" {
            wrong.push(format!("{}: no better than its baseline", set.name));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("; "));
    Ok(())
}

fn load(path: &Path, columns: [&str; 3]) -> anyhow::Result<Triplets> {
    let file = File::open(path).with_context(|| path.display().to_string())?;
    let reader: Box<dyn Read> = match path.extension() {
        Some(e) if e == "gz" => Box::new(flate2::read::MultiGzDecoder::new(file)),
        _ => Box::new(file),
    };
    let mut csv = csv::Reader::from_reader(reader);
    let header = csv.headers()?.clone();
    let at = |name: &str| {
        header
            .iter()
            .position(|h| h == name)
            .context("no such column")
    };
    let [user, item, rating] = columns.map(at);
    let (user, item, rating) = (user?, item?, rating?);
    let mut all = Triplets {
        users: Vec::new(),
        items: Vec::new(),
        ratings: Vec::new(),
    };
    for record in csv.records() {
        let record = record?;
        let field = |i: usize| record.get(i).unwrap_or_default();
        all.users.push(field(user).parse()?);
        all.items.push(field(item).parse()?);
        all.ratings.push(field(rating).parse()?);
    }
    Ok(all)
}

/// Submits a job and waits for its result.
fn run(client: &mut Client, job_type: &str, data: &Value) -> anyhow::Result<Value> {
    let body = json!({"jobType": job_type, "data": data}).to_string();
    let answer = client.post("/api/performance/async/job", body)?.ok()?;
    let id = text(&answer["jobId"]);
    let mut job = wait(client, &id, Duration::from_secs(300))?;
    if job["status"] != "completed" {
        bail!("{job_type}: {} {}", job["status"], job["error"]);
    }
    Ok(job["result"].take())
}

/// Held-out error against that of biases alone; whether ours is lower.
fn train(client: &mut Client, all: &Triplets) -> anyhow::Result<bool> {
    let data = json!({"modelType": "collaborative_filtering", "trainingData":
        {"users": all.users, "items": all.items, "ratings": all.ratings}});
    let result = run(client, "model_training", &data)?;
    let at = |name: &str| result[name].as_f64().with_context(|| format!("no {name}"));
    let (ours, baseline) = (at("rmseHeldOut")?, at("baselineRmseHeldOut")?);
    println!(
        "    model_training: held-out RMSE {ours:.4}, biases only {baseline:.4}, {} epochs",
        result["epochsRun"]
    );
    Ok(ours < baseline)
}

struct Asked<'a> {
    client: &'a mut Client,
    set: &'a Data,
    triplets: &'a Triplets,
    golden: &'a Value,
}

impl Asked<'_> {
    fn ask(&mut self, algorithm: &str, min_common: u32, more: Value) -> anyhow::Result<Value> {
        let mut options = json!({"by": self.set.by, "minSimilarity": LOWEST,
            "minCommonItems": min_common});
        if let (Some(options), Value::Object(more)) = (options.as_object_mut(), more) {
            options.extend(more);
        }
        let all = self.triplets;
        let data = json!({"users": all.users, "items": all.items, "ratings": all.ratings,
            "algorithm": algorithm, "options": options});
        run(self.client, "similarity_calculation", &data)
    }

    /// Largest difference of the lists, of the full vectors, and of the sum over its pairs.
    fn compare(
        &mut self,
        &(name, algorithm, min_common, of_sum): &(&str, &str, u32, u32),
    ) -> anyhow::Result<[Option<f64>; 3]> {
        let queries = self.golden["queried_ids"].clone();
        let count = self.golden["count"].as_u64().context("no count")?;
        let more = json!({"queryIds": queries, "topK": count - 1});
        let ours = self.ask(algorithm, min_common, more)?;
        let ours: HashMap<String, &Vec<Value>> = ours
            .as_array()
            .context("no lists")?
            .iter()
            .filter_map(|list| Some((list["entity"].to_string(), list["neighbours"].as_array()?)))
            .collect();
        let lists = lists(&self.golden["neighbours"][name], &ours)?;
        let vectors = match self.golden["full_vectors_first_3_ids"][name].as_object() {
            None => None,
            Some(vectors) => Some(self.vectors(vectors, &ours)?),
        };
        let pairs = self.ask(algorithm, of_sum, json!({"compact": true}))?;
        let sums = sums(&self.golden["all_pairs"][name], &pairs)?;
        Ok([Some(lists), vectors, Some(sums)])
    }

    /// Against the values for every entity in the order of ids; its own is 1.
    fn vectors(
        &self,
        vectors: &serde_json::Map<String, Value>,
        ours: &HashMap<String, &Vec<Value>>,
    ) -> anyhow::Result<f64> {
        let mut ids = match self.set.by {
            "item" => self.triplets.items.clone(),
            _ => self.triplets.users.clone(),
        };
        ids.sort_unstable();
        ids.dedup();
        let mut largest = 0f64;
        for (id, vector) in vectors {
            let vector = vector.as_array().context("no vector")?;
            ensure!(
                vector.len() == ids.len(),
                "{} values for {}",
                vector.len(),
                ids.len()
            );
            let mut values: HashMap<i64, f64> = ours
                .get(id)
                .context("no list")?
                .iter()
                .filter_map(|n| Some((n["entity"].as_i64()?, n["similarity"].as_f64()?)))
                .collect();
            values.insert(id.parse()?, 1.0);
            for (id, expected) in ids.iter().zip(vector) {
                let expected = expected.as_f64().context("no value")?;
                let value = values.get(id).copied().unwrap_or(0.0);
                largest = largest.max((value - expected).abs());
            }
        }
        Ok(largest)
    }
}

/// Values at each rank, each named neighbour's value and support, and who stands above the last
/// tied value.
fn lists(golden: &Value, ours: &HashMap<String, &Vec<Value>>) -> anyhow::Result<f64> {
    let mut largest = 0f64;
    for (id, list) in golden.as_object().context("no golden lists")? {
        let ours = ours.get(id).with_context(|| format!("no list of {id}"))?;
        let top = list["top20"].as_array().context("no top20")?;
        ensure!(
            ours.len() >= top.len(),
            "{id}: {} of {}",
            ours.len(),
            top.len()
        );
        let by_id: HashMap<i64, &Value> = ours
            .iter()
            .filter_map(|n| Some((n["entity"].as_i64()?, n)))
            .collect();
        let last = top
            .last()
            .and_then(|entry| entry[1].as_f64())
            .unwrap_or(0.0);
        for (rank, entry) in top.iter().enumerate() {
            let value = entry[1].as_f64().context("no value")?;
            let at = |n: &Value| n["similarity"].as_f64().unwrap_or(f64::NAN);
            let neighbor = entry[0].as_i64().context("no id")?;
            let found = by_id
                .get(&neighbor)
                .with_context(|| format!("{id}: no {neighbor}"))?;
            ensure!(
                found["commonItems"] == entry[2],
                "{id}, {neighbor}: co-rated items"
            );
            let mut difference = (at(found) - value)
                .abs()
                .max((at(&ours[rank]) - value).abs());
            if difference.is_nan() {
                difference = f64::INFINITY;
            }
            largest = largest.max(difference);
            // Above the last tied value the sets are equal: nobody else of ours stands there.
            let stranger = top.iter().all(|e| e[0] != ours[rank]["entity"]);
            let tied = (at(&ours[rank]) - last).abs() <= TOLERANCE;
            ensure!(
                !stranger || tied,
                "{id}, rank {rank}: {} is not in the list",
                ours[rank]
            );
        }
    }
    Ok(largest)
}

/// The difference of the sums over the number of pairs; counts that differ are an error.
fn sums(golden: &Value, pairs: &Value) -> anyhow::Result<f64> {
    let values = pairs["similarity"].as_array().context("no pairs")?;
    let values: Vec<f64> = values.iter().filter_map(Value::as_f64).collect();
    let nonzero = values.iter().filter(|v| v.abs() > ROUNDING).count() as u64;
    let expected = golden["nonzero"].as_u64().context("no count")?;
    ensure!(
        nonzero == expected,
        "{nonzero} pairs are not 0, golden has {expected}"
    );
    let expected = golden["sum_upper_triangle"].as_f64().context("no sum")?;
    let sum: f64 = values.iter().sum();
    Ok((sum - expected).abs() / values.len().max(1) as f64)
}
