//! Agreement with golden values that other libraries computed.

use std::{collections::HashMap, fs, path::Path};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use sommos_core::{
    control::Unstoppable,
    id::Key,
    par::Par,
    similarity::{Measure, Options, Ratings, Similarity},
};

/// Golden name, measure and support.
const CASES: [(&str, Measure, u32); 8] = [
    ("pearson_corated_min3", Measure::Pearson, 3),
    ("cosine_corated_min3", Measure::Cosine, 3),
    ("pearson_corated_min20", Measure::Pearson, 20),
    ("cosine_corated_min20", Measure::Cosine, 20),
    ("cosine_zero_filled", Measure::CosineZeroFilled, 1),
    ("jaccard_items", Measure::Jaccard, 1),
    ("euclidean_distance_corated", Measure::EuclideanDistance, 3),
    ("euclidean_similarity_corated_min3", Measure::Euclidean, 3),
];
/// Golden values are rounded to this.
const ROUNDING: f64 = 1e-9;

/// The largest absolute difference by measure, over top-20 lists, full vectors and (per pair) the
/// sum over all pairs. Counts that differ are an error.
pub fn differences(path: &Path, ratings: &Ratings) -> anyhow::Result<Vec<(&'static str, f64)>> {
    let golden: Value = serde_json::from_slice(&fs::read(path)?)?;
    let mut found = Vec::new();
    for (name, measure, min_common) in CASES {
        let options = Options {
            min_common,
            max_pairs: usize::MAX,
            ..Options::new(measure)
        };
        let similarity = Similarity::new(ratings, &options)?;
        let check = Check {
            name,
            ratings,
            similarity: &similarity,
        };
        let lists = check
            .lists(&golden)
            .with_context(|| format!("{name}, lists"))?;
        let vectors = check
            .vectors(&golden)
            .with_context(|| format!("{name}, vectors"))?;
        // The golden sum of distances is over all pairs with any item in common.
        let any = Options {
            min_common: 1,
            ..options
        };
        let any = Similarity::new(ratings, &any)?;
        let of_sums = match measure {
            Measure::EuclideanDistance => &any,
            _ => &similarity,
        };
        let check = Check {
            similarity: of_sums,
            ..check
        };
        let sums = check
            .sums(&golden)
            .with_context(|| format!("{name}, sums"))?;
        found.push((name, lists.max(vectors).max(sums)));
    }
    Ok(found)
}

struct Check<'a> {
    name: &'a str,
    ratings: &'a Ratings,
    similarity: &'a Similarity<'a>,
}

impl Check<'_> {
    fn entity(&self, id: i64) -> anyhow::Result<u32> {
        self.ratings
            .entity_index(&Key::Int(id))
            .with_context(|| format!("no entity {id}"))
    }

    /// Each list's values in order, each of its neighbors' values, and how many were eligible.
    fn lists(&self, golden: &Value) -> anyhow::Result<f64> {
        let lists = golden["neighbours"][self.name]
            .as_object()
            .context("no lists")?;
        let mut largest = 0.0f64;
        for (id, list) in lists {
            let a = self.entity(id.parse()?)?;
            let all = self
                .similarity
                .top_k(usize::MAX, Some(&[a]), Par::Seq, &Unstoppable)?;
            let ours = all.first().context("no list")?;
            let by_entity: HashMap<u32, _> = ours.iter().map(|n| (n.entity, n)).collect();
            let top = list["top20"].as_array().context("no top20")?;
            ensure!(
                ours.len() >= top.len(),
                "{id}: {} of {}",
                ours.len(),
                top.len()
            );
            for (place, entry) in top.iter().enumerate() {
                let neighbor = self.entity(entry[0].as_i64().context("no id")?)?;
                let value = entry[1].as_f64().context("no value")?;
                let found = by_entity.get(&neighbor).context("a neighbor is missing")?;
                ensure!(
                    entry[2].as_u64() == Some(found.common.into()),
                    "{id}: co-rated items"
                );
                largest = largest.max((found.similarity - value).abs());
                // Ties may stand in another order; the values at each place may not differ.
                largest = largest.max((ours[place].similarity - value).abs());
            }
        }
        Ok(largest)
    }

    fn vectors(&self, golden: &Value) -> anyhow::Result<f64> {
        let Some(vectors) = golden["full_vectors_first_3_ids"][self.name].as_object() else {
            return Ok(0.0);
        };
        let mut ids: Vec<i64> = Vec::new();
        for a in 0..self.ratings.len() {
            match self.ratings.entity(a) {
                Some(Key::Int(id)) => ids.push(*id),
                other => anyhow::bail!("entity {a} is {other:?}, not an integer"),
            }
        }
        ids.sort_unstable();
        let mut largest = 0.0f64;
        for (id, vector) in vectors {
            let row = self
                .similarity
                .row(self.entity(id.parse()?)?, &Unstoppable)?;
            let vector = vector.as_array().context("no vector")?;
            ensure!(
                vector.len() == ids.len(),
                "{} values for {}",
                vector.len(),
                ids.len()
            );
            for (id, value) in ids.iter().zip(vector) {
                let value = value.as_f64().context("no value")?;
                largest = largest.max((row[self.entity(*id)? as usize] - value).abs());
            }
        }
        Ok(largest)
    }

    fn sums(&self, golden: &Value) -> anyhow::Result<f64> {
        let golden = &golden["all_pairs"][self.name];
        let pairs = self.similarity.all_pairs(Par::Seq, &Unstoppable)?;
        let nonzero = pairs
            .iter()
            .filter(|p| p.similarity.abs() > ROUNDING)
            .count() as u64;
        let expected = golden["nonzero"].as_u64().context("no count")?;
        ensure!(
            nonzero == expected,
            "{nonzero} pairs are not 0, golden has {expected}"
        );
        let sum: f64 = pairs.iter().map(|p| p.similarity).sum();
        let expected = golden["sum_upper_triangle"].as_f64().context("no sum")?;
        Ok((sum - expected).abs() / pairs.len().max(1) as f64)
    }
}
