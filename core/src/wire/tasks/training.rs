//! model_training: a collaborative filter that is really trained, and its predictions.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{inputs::RatingsInput, result::Output};
use crate::{
    control::Control,
    id::Key,
    limits::Limits,
    model::{self, ModelError, Parameters},
    similarity::Ratings,
    wire::{decode, error::ApiError},
};

const NAMES: [&str; 1] = ["collaborative_filtering"];
/// Recommendations of one user.
const RECOMMEND_MAX: u64 = 1000;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields<'a> {
    #[serde(borrow)]
    model_type: Option<Cow<'a, str>>,
    #[serde(borrow)]
    training_data: Option<&'a RawValue>,
    #[serde(borrow)]
    parameters: Option<&'a RawValue>,
    predict: Option<Vec<Query>>,
    recommend: Option<Recommend>,
    include_model: Option<bool>,
}

/// One rating to predict.
#[derive(Debug, Deserialize)]
struct Query {
    user: Key,
    item: Key,
}

/// Users to recommend to, and how many items each.
#[derive(Debug, Deserialize)]
struct Recommend {
    users: Vec<Key>,
    count: Option<u64>,
}

/// Input of model_training.
#[derive(Debug)]
pub(super) struct Training {
    ratings: Ratings,
    parameters: Parameters,
    predict: Vec<Query>,
    recommend: Vec<u32>,
    count: usize,
    include_model: bool,
}

/// `result` of model_training.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TrainingResponse<'a> {
    model_type: &'static str,
    users: u32,
    items: u32,
    ratings: usize,
    #[serde(flatten)]
    figures: Figures,
    parameters: Parameters,
    predictions: Vec<Prediction<'a>>,
    recommendations: Vec<Recommendations<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Figures {
    rmse_held_out: Option<f64>,
    rmse_train: f64,
    baseline_rmse_held_out: Option<f64>,
    global_mean_rmse_held_out: Option<f64>,
    epochs_run: u32,
}

#[derive(Serialize)]
struct Prediction<'a> {
    user: &'a Key,
    item: &'a Key,
    rating: f64,
}

#[derive(Serialize)]
struct Recommendations<'a> {
    user: Option<&'a Key>,
    items: Vec<Recommended<'a>>,
}

#[derive(Serialize)]
struct Recommended<'a> {
    item: Option<&'a Key>,
    rating: f64,
}

impl Training {
    pub(super) fn parse(data: &RawValue, limits: &Limits) -> Result<Self, ApiError> {
        let fields: Fields<'_> = decode::part(data, "data")?;
        let name = fields.model_type.as_deref().unwrap_or(NAMES[0]);
        if !NAMES.contains(&name) {
            return Err(ApiError::unknown(
                "data.modelType",
                "model type",
                name,
                &NAMES,
            ));
        }
        let raw = fields.training_data.ok_or_else(|| {
            ApiError::missing("data.trainingData", "data.trainingData is required")
        })?;
        let ratings = read(raw, limits)?;
        let parameters: Parameters = match fields.parameters {
            None => Parameters::default(),
            Some(raw) => decode::part(raw, "data.parameters")?,
        };
        parameters.validate().map_err(refused)?;
        let predict = fields.predict.unwrap_or_default();
        if predict.len() > limits.records {
            let limit = limits.records as u64;
            return Err(ApiError::over(
                "data.predict",
                "predictions",
                predict.len(),
                limit,
            ));
        }
        let (users, count) = match fields.recommend {
            None => (Vec::new(), 0),
            Some(r) => {
                let field = "data.recommend.count";
                (
                    r.users,
                    decode::in_range(field, r.count, 1..=RECOMMEND_MAX, "items", 10)?,
                )
            }
        };
        let most = (users.len() as u64).saturating_mul(count);
        if most > limits.similarity_pairs as u64 {
            let limit = limits.similarity_pairs as u64;
            return Err(ApiError::over(
                "data.recommend",
                "recommendations",
                most,
                limit,
            ));
        }
        let find = |user: &Key| {
            ratings.entity_index(user).ok_or_else(|| {
                ApiError::invalid(
                    "data.recommend.users",
                    format!("nothing is known of {user}"),
                )
            })
        };
        let recommend = users.iter().map(find).collect::<Result<_, _>>()?;
        let include_model = fields.include_model.unwrap_or(false);
        Ok(Self {
            ratings,
            parameters,
            predict,
            recommend,
            count: count as usize,
            include_model,
        })
    }

    pub(super) fn cost(&self) -> u64 {
        let p = &self.parameters;
        (self.ratings.ratings_len() as u64)
            .saturating_mul(u64::from(p.factors) + 1)
            .saturating_mul(u64::from(p.epochs) + 1)
    }

    pub(super) fn run(self, control: &dyn Control) -> Result<Output, ApiError> {
        let trained = model::train(&self.ratings, &self.parameters, &control).map_err(refused)?;
        let model = &trained.model;
        // An index that no user or item has: what is known of the other one still counts.
        let index = |found: Option<u32>| found.unwrap_or(u32::MAX);
        let predictions = self.predict.iter().map(|q| Prediction {
            user: &q.user,
            item: &q.item,
            rating: model.predict(
                index(self.ratings.entity_index(&q.user)),
                index(self.ratings.item_index(&q.item)),
            ),
        });
        let recommendations = self.recommend.iter().map(|&user| {
            let (rated, _) = self.ratings.row(user);
            let best = model.recommend(user, self.count, rated);
            let items = best.iter().map(|r| Recommended {
                item: self.ratings.item(r.item),
                rating: r.rating,
            });
            Recommendations {
                user: self.ratings.entity(user),
                items: items.collect(),
            }
        });
        let bytes = self
            .include_model
            .then(|| model.to_bytes())
            .transpose()
            .map_err(refused)?;
        Output::json(&TrainingResponse {
            model_type: NAMES[0],
            users: self.ratings.len(),
            items: self.ratings.items_len(),
            ratings: self.ratings.ratings_len(),
            figures: Figures {
                rmse_held_out: known(trained.rmse_held_out),
                rmse_train: trained.rmse_train,
                baseline_rmse_held_out: known(trained.baseline_rmse_held_out),
                global_mean_rmse_held_out: known(trained.global_mean_rmse),
                epochs_run: trained.epochs_run,
            },
            parameters: self.parameters,
            predictions: predictions.collect(),
            recommendations: recommendations.collect(),
            model: bytes.map(|b| BASE64.encode(b)),
        })
    }
}

/// Without held-out ratings nothing is known: null, not NaN.
fn known(rmse: f64) -> Option<f64> {
    rmse.is_finite().then_some(rmse)
}

/// Ratings as `[{user_id, item_id, rating}]`, as entities or as triplets.
fn read(raw: &RawValue, limits: &Limits) -> Result<Ratings, ApiError> {
    #[derive(Deserialize)]
    struct Row {
        #[serde(alias = "user_id", alias = "userId")]
        user: Key,
        #[serde(alias = "item_id", alias = "itemId", alias = "wine_id")]
        item: Key,
        rating: f32,
    }
    const FIELD: &str = "data.trainingData";
    if !raw.get().starts_with('[') {
        let input: RatingsInput<'_> = decode::part(raw, FIELD)?;
        return input.read(limits);
    }
    let rows: Vec<Row> = decode::part(raw, FIELD)?;
    let mut input = RatingsInput {
        entities: None,
        users: None,
        items: None,
        ratings: None,
    };
    let (mut users, mut items, mut values) = (Vec::new(), Vec::new(), Vec::new());
    for row in rows {
        users.push(row.user);
        items.push(row.item);
        values.push(row.rating);
    }
    (input.users, input.items, input.ratings) = (Some(users), Some(items), Some(values));
    input.read(limits)
}

fn refused(error: ModelError) -> ApiError {
    match error {
        ModelError::Stopped(stopped) => stopped.into(),
        ModelError::Parameter { name, .. } => {
            ApiError::invalid(&format!("data.parameters.{name}"), error)
        }
        ModelError::TooFewRatings { .. } => ApiError::invalid("data.trainingData", error),
        other => ApiError::invalid("data", other),
    }
}
