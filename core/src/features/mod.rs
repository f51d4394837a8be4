//! Numbers out of records: text, numerical, categorical, temporal, wine and dish features.
//!
//! [`extract`] reads items twice: once for statistics over the whole set (means, ranges, category
//! counts), once to write each item's features. The same input gives the same output, in the same
//! order, everywhere; nothing depends on a clock or a locale.
//!
//! The output keeps the shape that SommOS reads, `{id, features: {text, numerical, ..}}` per item,
//! and adds the flat list of feature names and the statistics. Features that cannot be known (no
//! vintage, no reference year) are absent, not zero.

mod columns;
mod dish;
mod fields;
mod temporal;
mod text;
mod wine;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::{
    control::{Control, Stopped},
    limits::Limits,
};
use columns::Columns;

/// Items between two questions to the control.
const BLOCK: usize = 512;

/// Why features could not be extracted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FeatureError {
    /// The request is wrong.
    #[error("{path}: {message}")]
    Invalid {
        /// Where, such as `featureTypes[1]` or `items[3].price`.
        path: String,
        /// What was expected and what was there.
        message: String,
    },
    /// The caller stopped it.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl FeatureError {
    fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid {
            path: path.into(),
            message: message.into(),
        }
    }
}

/// A group of features.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FeatureType {
    /// Length, words and tone of the item's text.
    Text,
    /// Every number: value, z-score, min-max.
    Numerical,
    /// Every short string and boolean: value, frequency, one-hot.
    Categorical,
    /// Every date: year, month, day, hour, day of week, season.
    Temporal,
    /// Type, age, grapes, alcohol, body, acidity, price, region.
    Wine,
    /// Ingredients, cuisine, spice, cooking method, protein, intensity.
    Dish,
}

impl FeatureType {
    /// Every type and its name in requests.
    pub const NAMES: [(&'static str, Self); 6] = [
        ("text_features", Self::Text),
        ("numerical_features", Self::Numerical),
        ("categorical_features", Self::Categorical),
        ("temporal_features", Self::Temporal),
        ("wine_features", Self::Wine),
        ("dish_features", Self::Dish),
    ];

    /// Reads `featureTypes`, an array of names; repeated names count once.
    ///
    /// # Errors
    /// [`FeatureError::Invalid`] that lists the valid names.
    pub fn parse_list(names: &Value) -> Result<Vec<Self>, FeatureError> {
        let valid = || Self::NAMES.map(|(name, _)| name).join(", ");
        let list = names
            .as_array()
            .filter(|list| !list.is_empty())
            .ok_or_else(|| {
                FeatureError::new("featureTypes", format!("expected an array of {}", valid()))
            })?;
        let mut types = Vec::new();
        for (i, name) in list.iter().enumerate() {
            let found = Self::NAMES
                .iter()
                .find(|(known, _)| name.as_str() == Some(known));
            let Some((_, found)) = found else {
                let message = format!("unknown feature type {name}; expected one of {}", valid());
                return Err(FeatureError::new(format!("featureTypes[{i}]"), message));
            };
            if !types.contains(found) {
                types.push(*found);
            }
        }
        Ok(types)
    }

    /// Its key in an item's features.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Numerical => "numerical",
            Self::Categorical => "categorical",
            Self::Temporal => "temporal",
            Self::Wine => "wine",
            Self::Dish => "dish",
        }
    }
}

/// Which half of the earth the seasons belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hemisphere {
    /// March to May is spring.
    #[default]
    North,
    /// September to November is spring.
    South,
}

/// Choices of an extraction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct FeatureOptions {
    /// The year that a vintage's age counts to; without it wines have no age.
    pub reference_year: Option<i32>,
    /// The text's field. Default: the first of `text`, `description`, `tasting_notes`, `name` that
    /// is there.
    pub text_field: Option<String>,
    /// Buckets of hashed term counts (FNV-1a, 64 bits, modulo); 0: none. At most 4096.
    pub term_buckets: usize,
    /// One-hot columns of a field, the rest counts as `other`. 1 to 1000, default 50.
    pub categories_max: usize,
    /// For seasons.
    pub hemisphere: Hemisphere,
}

impl Default for FeatureOptions {
    fn default() -> Self {
        Self {
            reference_year: None,
            text_field: None,
            term_buckets: 0,
            categories_max: 50,
            hemisphere: Hemisphere::North,
        }
    }
}

impl FeatureOptions {
    fn check(&self) -> Result<(), FeatureError> {
        if self.term_buckets > 4096 {
            let message = format!("expected 0 to 4096, got {}", self.term_buckets);
            return Err(FeatureError::new("options.termBuckets", message));
        }
        if !(1..=1000).contains(&self.categories_max) {
            let message = format!("expected 1 to 1000, got {}", self.categories_max);
            return Err(FeatureError::new("options.categoriesMax", message));
        }
        Ok(())
    }
}

/// One item's features.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ItemFeatures {
    /// The item's `id`, or its index where it has none.
    pub id: Value,
    /// Feature type's key to its features.
    pub features: Map<String, Value>,
}

/// What [`extract`] gives.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Extraction {
    /// One for each item, in order.
    pub features: Vec<ItemFeatures>,
    /// Every feature that occurs, as `type.feature`, sorted.
    pub feature_names: Vec<String>,
    /// `items`, and for numerical and categorical features the figures of each field.
    pub statistics: Map<String, Value>,
}

/// Extracts features of these types from every item.
///
/// O(total size of the items); output of the same order, plus `categories_max` names a field.
///
/// # Errors
/// [`FeatureError::Invalid`] for an item that is no object, a known field of the wrong type (its
/// path names the item's index), more items than `limits.records`, more term counts than
/// `limits.matrix_elements`, or more than 1000 fields of one kind; [`FeatureError::Stopped`].
pub fn extract(
    items: &[Value],
    types: &[FeatureType],
    options: &FeatureOptions,
    limits: &Limits,
    control: &impl Control,
) -> Result<Extraction, FeatureError> {
    options.check()?;
    if items.len() > limits.records {
        let message = format!("at most {} items, got {}", limits.records, items.len());
        return Err(FeatureError::new("items", message));
    }
    if options.term_buckets.saturating_mul(items.len()) > limits.matrix_elements {
        let (buckets, max) = (options.term_buckets, limits.matrix_elements);
        let message = format!("{buckets} for {} items; at most {max} in all", items.len());
        return Err(FeatureError::new("options.termBuckets", message));
    }
    let total = 2 * items.len() as u64;
    let mut columns = Columns::new(types);
    for (index, item) in items.iter().enumerate() {
        if index.is_multiple_of(BLOCK) {
            control.checkpoint(index as u64, total)?;
        }
        columns.observe(object_of(index, item)?)?;
    }
    columns.finish(options.categories_max);
    let mut names = BTreeSet::new();
    let mut features = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        if index.is_multiple_of(BLOCK) {
            control.checkpoint((items.len() + index) as u64, total)?;
        }
        let item = Item {
            index,
            fields: object_of(index, item)?,
        };
        let one = item_features(&item, types, options, &columns)?;
        collect_names(&one.features, &mut names);
        features.push(one);
    }
    let mut statistics = Map::new();
    statistics.insert("items".into(), items.len().into());
    columns.statistics(&mut statistics);
    Ok(Extraction {
        features,
        feature_names: names.into_iter().collect(),
        statistics,
    })
}

/// An item and where it stands, for messages.
struct Item<'a> {
    index: usize,
    fields: &'a Map<String, Value>,
}

fn object_of(index: usize, item: &Value) -> Result<&Map<String, Value>, FeatureError> {
    item.as_object().ok_or_else(|| {
        let message = format!("expected an object, got {}", fields::type_name(item));
        FeatureError::new(format!("items[{index}]"), message)
    })
}

fn item_features(
    item: &Item<'_>,
    types: &[FeatureType],
    options: &FeatureOptions,
    columns: &Columns,
) -> Result<ItemFeatures, FeatureError> {
    let mut features = Map::new();
    for kind in types {
        let values = match kind {
            FeatureType::Text => text::features(item, options)?,
            FeatureType::Numerical => columns.numerical(item.fields),
            FeatureType::Categorical => columns.categorical(item.fields),
            FeatureType::Temporal => temporal::features(item.fields, options.hemisphere),
            FeatureType::Wine => wine::features(item, options.reference_year)?,
            FeatureType::Dish => dish::features(item)?,
        };
        features.insert(kind.key().to_owned(), Value::Object(values));
    }
    let id = item
        .fields
        .get("id")
        .cloned()
        .unwrap_or_else(|| item.index.into());
    Ok(ItemFeatures { id, features })
}

/// `type.feature`, and `type.group.feature` for groups such as one-hot columns and dates.
fn collect_names(features: &Map<String, Value>, names: &mut BTreeSet<String>) {
    let mut add = |name: String| {
        if !names.contains(&name) {
            names.insert(name);
        }
    };
    for (kind, values) in features {
        for (name, value) in values.as_object().into_iter().flatten() {
            match value {
                Value::Object(group) => {
                    group
                        .keys()
                        .for_each(|inner| add(format!("{kind}.{name}.{inner}")));
                }
                _ => add(format!("{kind}.{name}")),
            }
        }
    }
}
