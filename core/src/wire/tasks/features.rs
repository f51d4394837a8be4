//! feature_extraction.

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::result::Output;
use crate::{
    control::Control,
    features::{FeatureError, FeatureOptions, FeatureType, extract},
    limits::Limits,
    wire::{decode, error::ApiError},
};

/// Input of feature_extraction: `data.items`, `data.featureTypes` and `data.options`.
#[derive(Debug)]
pub(super) struct Extraction {
    items: Vec<Value>,
    types: Vec<FeatureType>,
    options: FeatureOptions,
    limits: Limits,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields<'a> {
    #[serde(borrow)]
    items: Option<&'a RawValue>,
    feature_types: Option<Value>,
    options: Option<FeatureOptions>,
}

impl Extraction {
    pub(super) fn parse(data: &RawValue, limits: &Limits) -> Result<Self, ApiError> {
        const REQUIRED: &str = "data.items and data.featureTypes are required";
        let fields: Fields<'_> = decode::part(data, "data")?;
        let raw = fields
            .items
            .ok_or_else(|| ApiError::missing("data.items", REQUIRED))?;
        let names = fields
            .feature_types
            .ok_or_else(|| ApiError::missing("data.featureTypes", REQUIRED))?;
        let mut items = Vec::new();
        decode::each(raw, "data.items", |index, value| {
            if index >= limits.records {
                let (got, limit) = (index + 1, limits.records as u64);
                return Err(ApiError::over("data.items", "items", got, limit));
            }
            items.push(value);
            Ok(())
        })?;
        let types = FeatureType::parse_list(&names).map_err(refused)?;
        let options = fields.options.unwrap_or_default();
        Ok(Self {
            items,
            types,
            options,
            limits: limits.clone(),
        })
    }

    pub(super) fn cost(&self) -> u64 {
        (self.items.len() as u64).saturating_mul(8 * self.types.len() as u64)
    }

    pub(super) fn run(self, control: &dyn Control) -> Result<Output, ApiError> {
        let features = extract(
            &self.items,
            &self.types,
            &self.options,
            &self.limits,
            &control,
        )
        .map_err(refused)?;
        Output::json(&features)
    }
}

fn refused(error: FeatureError) -> ApiError {
    match error {
        FeatureError::Stopped(stopped) => stopped.into(),
        FeatureError::Invalid { path, message } => {
            ApiError::invalid(&format!("data.{path}"), message)
        }
    }
}
