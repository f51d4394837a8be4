//! similarity_calculation.

use std::borrow::Cow;

use serde::{Deserialize, Serialize, Serializer, ser::SerializeSeq as _};
use serde_json::value::RawValue;

use super::{inputs::RatingsInput, result::Output};
use crate::{
    control::Control,
    id::Key,
    limits::Limits,
    par::Par,
    similarity::{self, Measure, Pair, Ratings, SimilarityError},
    wire::{
        decode,
        error::{ApiError, ErrorCode},
    },
};

/// Similarities below this are left out when the request does not say; SommOS's default.
const MIN_SIMILARITY: f64 = 0.1;

/// Names of the measures.
const NAMES: [&str; 6] = [
    "pearson",
    "cosine",
    "cosine_zero_filled",
    "jaccard",
    "euclidean",
    "euclidean_distance",
];
const MEASURES: [Measure; 6] = [
    Measure::Pearson,
    Measure::Cosine,
    Measure::CosineZeroFilled,
    Measure::Jaccard,
    Measure::Euclidean,
    Measure::EuclideanDistance,
];

#[derive(Deserialize)]
struct Fields<'a> {
    // Not flattened: serde would buffer the ratings, which can be most of the body.
    #[serde(borrow)]
    entities: Option<&'a RawValue>,
    users: Option<Vec<Key>>,
    items: Option<Vec<Key>>,
    ratings: Option<Vec<f32>>,
    #[serde(borrow)]
    algorithm: Option<Cow<'a, str>>,
    options: Option<Options>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Options {
    min_similarity: Option<f64>,
    min_common_items: Option<u64>,
    top_k: Option<u64>,
    limit: Option<u64>,
    query_ids: Option<Vec<Key>>,
    compact: Option<bool>,
    by: Option<By>,
}

/// Whose similarity: that of the entities, or that of the items they rated.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum By {
    Entity,
    Item,
}

/// Input of similarity_calculation.
#[derive(Debug)]
pub(super) struct Similarity {
    ratings: Ratings,
    name: &'static str,
    options: similarity::Options,
    top_k: Option<usize>,
    queries: Option<Vec<u32>>,
    compact: bool,
}

impl Similarity {
    pub(super) fn parse(data: &RawValue, limits: &Limits) -> Result<Self, ApiError> {
        let fields: Fields<'_> = decode::part(data, "data")?;
        let name = fields.algorithm.as_deref().unwrap_or("pearson");
        let Some(index) = NAMES.iter().position(|n| *n == name) else {
            return Err(ApiError::unknown(
                "data.algorithm",
                "algorithm",
                name,
                &NAMES,
            ));
        };
        let measure = MEASURES[index];
        let given = fields.options.unwrap_or_default();
        let input = RatingsInput {
            entities: fields.entities,
            users: fields.users,
            items: fields.items,
            ratings: fields.ratings,
        };
        let mut ratings = input.read(limits)?;
        if given.by == Some(By::Item) {
            ratings = ratings.transpose();
        }
        let options = options(measure, &given, limits)?;
        let entities = u64::from(ratings.len()).max(1);
        let top_k = match given.top_k {
            None => None,
            some => {
                let k = decode::in_range(
                    "data.options.topK",
                    some,
                    1..=entities.max(limits.similarity_pairs as u64),
                    "neighbours",
                    0,
                )?;
                Some(k.min(entities) as usize)
            }
        };
        let queries = match given.query_ids {
            None => None,
            Some(ids) => Some(find_queries(&ratings, &ids)?),
        };
        if queries.is_some() && top_k.is_none() {
            return Err(ApiError::missing(
                "data.options.topK",
                "queryIds need a topK",
            ));
        }
        let compact = given.compact.unwrap_or(false);
        Ok(Self {
            ratings,
            name: NAMES[index],
            options,
            top_k,
            queries,
            compact,
        })
    }

    pub(super) fn cost(&self) -> u64 {
        let n = u64::from(self.ratings.len()).max(1);
        let per_entity = self.ratings.ratings_len() as u64 / n + 1;
        let rows = self.queries.as_ref().map_or(n, |q| q.len() as u64);
        rows.saturating_mul(n).saturating_mul(per_entity) / 8
    }

    pub(super) fn run(
        self,
        par: Par,
        control: &dyn Control,
        limits: &Limits,
    ) -> Result<Output, ApiError> {
        let Some(k) = self.top_k else {
            let pairs = similarity::all_pairs(&self.ratings, &self.options, par, &control)
                .map_err(refused)?;
            let pairs = Pairs {
                ratings: &self.ratings,
                pairs: &pairs,
                algorithm: self.name,
            };
            return if self.compact {
                Output::json(&pairs.columns())
            } else {
                Output::json(&pairs)
            };
        };
        let rows = self
            .queries
            .as_ref()
            .map_or(self.ratings.len() as usize, Vec::len);
        let most = rows.saturating_mul(k);
        if most > limits.similarity_pairs {
            let limit = limits.similarity_pairs as u64;
            return Err(ApiError::over(
                "data.options.topK",
                "neighbours in all",
                most,
                limit,
            ));
        }
        let queries = self.queries.as_deref();
        let lists = similarity::top_k(&self.ratings, k, queries, &self.options, par, &control)
            .map_err(refused)?;
        let entity = |row: usize| {
            let index = queries.map_or(row as u32, |q| q[row]);
            self.ratings.entity(index)
        };
        let response: Vec<_> = lists
            .iter()
            .enumerate()
            .map(|(row, list)| NeighboursResponse {
                entity: entity(row),
                neighbours: list
                    .iter()
                    .map(|n| NeighbourResponse {
                        entity: self.ratings.entity(n.entity),
                        similarity: n.similarity,
                        common_items: n.common,
                    })
                    .collect(),
            })
            .collect();
        Output::json(&response)
    }
}

fn options(
    measure: Measure,
    given: &Options,
    limits: &Limits,
) -> Result<similarity::Options, ApiError> {
    let min_similarity = given.min_similarity.unwrap_or(MIN_SIMILARITY);
    if !min_similarity.is_finite() {
        return Err(ApiError::invalid(
            "data.options.minSimilarity",
            "must be a finite number",
        ));
    }
    let min_common = decode::in_range(
        "data.options.minCommonItems",
        given.min_common_items,
        1..=limits.ratings as u64,
        "items",
        u64::from(measure.min_common_default()),
    )?;
    let limit = match given.limit {
        None => None,
        some => {
            let most = limits.similarity_pairs as u64;
            Some(decode::in_range("data.options.limit", some, 1..=most, "pairs", 0)? as usize)
        }
    };
    Ok(similarity::Options {
        measure,
        min_similarity,
        min_common: min_common as u32,
        max_pairs: limits.similarity_pairs,
        limit,
    })
}

fn find_queries(ratings: &Ratings, ids: &[Key]) -> Result<Vec<u32>, ApiError> {
    let find = |id: &Key| {
        ratings.entity_index(id).ok_or_else(|| {
            ApiError::invalid(
                "data.options.queryIds",
                format!("no entity has the id {id}"),
            )
        })
    };
    ids.iter().map(find).collect()
}

/// `[{entity1, entity2, similarity, algorithm, commonItems}]`, written without a copy.
struct Pairs<'a> {
    ratings: &'a Ratings,
    pairs: &'a [Pair],
    algorithm: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PairResponse<'a> {
    entity1: Option<&'a Key>,
    entity2: Option<&'a Key>,
    similarity: f64,
    algorithm: &'static str,
    common_items: u32,
}

/// The same in columns: a third of the bytes.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ColumnsResponse<'a> {
    algorithm: &'static str,
    entity1: Vec<Option<&'a Key>>,
    entity2: Vec<Option<&'a Key>>,
    similarity: Vec<f64>,
    common_items: Vec<u32>,
}

impl<'a> Pairs<'a> {
    fn columns(&self) -> ColumnsResponse<'a> {
        ColumnsResponse {
            algorithm: self.algorithm,
            entity1: self
                .pairs
                .iter()
                .map(|p| self.ratings.entity(p.a))
                .collect(),
            entity2: self
                .pairs
                .iter()
                .map(|p| self.ratings.entity(p.b))
                .collect(),
            similarity: self.pairs.iter().map(|p| p.similarity).collect(),
            common_items: self.pairs.iter().map(|p| p.common).collect(),
        }
    }
}

impl Serialize for Pairs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(Some(self.pairs.len()))?;
        for pair in self.pairs {
            seq.serialize_element(&PairResponse {
                entity1: self.ratings.entity(pair.a),
                entity2: self.ratings.entity(pair.b),
                similarity: pair.similarity,
                algorithm: self.algorithm,
                common_items: pair.common,
            })?;
        }
        seq.end()
    }
}

/// With topK: an entity and those most like it.
#[derive(Serialize)]
struct NeighboursResponse<'a> {
    entity: Option<&'a Key>,
    neighbours: Vec<NeighbourResponse<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NeighbourResponse<'a> {
    entity: Option<&'a Key>,
    similarity: f64,
    common_items: u32,
}

fn refused(error: SimilarityError) -> ApiError {
    match error {
        SimilarityError::Stopped(stopped) => stopped.into(),
        SimilarityError::TooManyPairs { .. } => {
            ApiError::new(ErrorCode::LimitExceeded, error.to_string()).at("data.options")
        }
        other => ApiError::invalid("data", other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        control::Unstoppable,
        wire::tasks::{Task, TaskType, result_json},
    };

    fn run(data: &str) -> Result<serde_json::Value, ApiError> {
        let limits = Limits::default();
        let data: &RawValue = serde_json::from_str(data).unwrap();
        let task = Task::parse(TaskType::SimilarityCalculation, data, &limits)?;
        let stored = task.run(Par::Seq, &Unstoppable, &limits)?;
        Ok(serde_json::from_slice(&result_json(&stored, &limits)?).unwrap())
    }

    #[test]
    fn entities_and_triplets_give_the_same() {
        let entities = run(r#"{"algorithm":"cosine","entities":[
                {"id":"a","ratings":[{"item_id":1,"rating":5},{"itemId":2,"rating":3}]},
                {"ratings":[{"item_id":1,"rating":4},{"item_id":2,"rating":2}],"id":"b"}]}"#);
        let triplets = run(
            r#"{"algorithm":"cosine","users":["a","a","b","b"],"items":[1,2,1,2],
                "ratings":[5,3,4,2]}"#,
        );
        let pairs = entities.unwrap();
        assert_eq!(pairs, triplets.unwrap());
        assert_eq!(pairs[0]["entity1"], "a");
        assert_eq!(pairs[0]["commonItems"], 2);
    }

    #[test]
    fn a_wrong_rating_is_named() {
        let error = run(r#"{"entities":[{"id":1,"ratings":[{"item_id":1,"rating":"x"}]}]}"#);
        let error = error.unwrap_err();
        assert_eq!(
            error.field.as_deref(),
            Some("data.entities[0].ratings[0]"),
            "{error}"
        );
        let error = run(r#"{"entities":[{"id":1}]}"#).unwrap_err();
        assert_eq!(error.field.as_deref(), Some("data.entities[0]"), "{error}");
        let error = run(r#"{"users":[1],"items":[1]}"#).unwrap_err();
        assert_eq!(error.field.as_deref(), Some("data.entities"), "{error}");
    }
}
