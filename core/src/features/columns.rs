//! Figures of whole columns: numerical and categorical fields.
//!
//! Numerical: every number but `id`. Categorical: every boolean and every string that is no date
//! and no longer than 100 bytes (a text is no category), but `id`. Mean and deviation are of the
//! population; Welford's update (Knuth, TAOCP 2, 4.2.2) in item order.

use std::collections::BTreeMap;

use foldhash::fast::FixedState;
use indexmap::IndexMap;
use serde_json::{Map, Value, json};

use super::{FeatureError, FeatureType, fields::number, temporal};

/// Fields of one kind, count.
const FIELDS_MAX: usize = 1000;
/// Distinct values of one field that are counted one by one; later ones count as `other`.
const DISTINCT_MAX: usize = 10_000;
/// A longer string is a text, bytes.
const CATEGORY_BYTES_MAX: usize = 100;
const OTHER: &str = "other";

type Fields<T> = IndexMap<String, T, FixedState>;

#[derive(Debug, Clone, Copy, Default)]
struct Numbers {
    count: u64,
    mean: f64,
    /// Sum of squared distances from the mean.
    squares: f64,
    min: f64,
    max: f64,
}

impl Numbers {
    fn add(&mut self, x: f64) {
        (self.min, self.max) = if self.count == 0 {
            (x, x)
        } else {
            (self.min.min(x), self.max.max(x))
        };
        self.count += 1;
        let delta = x - self.mean;
        self.mean += delta / self.count as f64;
        self.squares += delta * (x - self.mean);
    }

    fn deviation(&self) -> f64 {
        if self.count == 0 {
            0.0
        } else {
            (self.squares / self.count as f64).max(0.0).sqrt()
        }
    }

    /// Distance from the mean in deviations; 0 where all values are equal.
    fn z_score(&self, x: f64) -> f64 {
        let deviation = self.deviation();
        if deviation > 0.0 {
            (x - self.mean) / deviation
        } else {
            0.0
        }
    }

    /// 0 at the smallest, 1 at the largest; 0 where all values are equal.
    fn min_max(&self, x: f64) -> f64 {
        let range = self.max - self.min;
        if range > 0.0 {
            (x - self.min) / range
        } else {
            0.0
        }
    }
}

#[derive(Debug, Clone, Default)]
struct Categories {
    count: u64,
    counts: BTreeMap<String, u64>,
    /// Values beyond [`DISTINCT_MAX`].
    uncounted: u64,
    /// The values with a column of their own, most frequent first.
    columns: Vec<String>,
}

impl Categories {
    fn add(&mut self, value: &str) {
        self.count += 1;
        if let Some(count) = self.counts.get_mut(value) {
            *count += 1;
        } else if self.counts.len() < DISTINCT_MAX {
            self.counts.insert(value.to_owned(), 1);
        } else {
            self.uncounted += 1;
        }
    }

    fn rank(&mut self, columns_max: usize) {
        let mut ranked: Vec<(&String, u64)> = self.counts.iter().map(|(v, n)| (v, *n)).collect();
        // The map is in the values' order and the sort is stable: ties stay in that order.
        ranked.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        self.columns = ranked
            .into_iter()
            .take(columns_max)
            .map(|(v, _)| v.clone())
            .collect();
        self.columns.sort_unstable();
    }

    fn column<'a>(&self, value: &'a str) -> &'a str {
        let own = self
            .columns
            .binary_search_by(|column| column.as_str().cmp(value));
        if own.is_ok() { value } else { OTHER }
    }
}

/// What the first pass learns.
pub(super) struct Columns {
    numbers: Option<Fields<Numbers>>,
    categories: Option<Fields<Categories>>,
}

/// A field's value as a category.
fn category(value: &Value) -> Option<&str> {
    match value {
        Value::Bool(true) => Some("true"),
        Value::Bool(false) => Some("false"),
        Value::String(s) if s.len() <= CATEGORY_BYTES_MAX && !temporal::is_date(s) => Some(s),
        _ => None,
    }
}

fn column<'a, T: Default>(
    fields: &'a mut Fields<T>,
    name: &str,
    kind: &str,
) -> Result<&'a mut T, FeatureError> {
    let index = match fields.get_index_of(name) {
        Some(index) => index,
        None if fields.len() >= FIELDS_MAX => {
            let message = format!("at most {FIELDS_MAX} {kind} fields over all items");
            return Err(FeatureError::new("items", message));
        }
        None => fields.insert_full(name.to_owned(), T::default()).0,
    };
    Ok(&mut fields[index])
}

impl Columns {
    /// Keeps only what these types need.
    pub(super) fn new(types: &[FeatureType]) -> Self {
        Self {
            numbers: types
                .contains(&FeatureType::Numerical)
                .then(Fields::default),
            categories: types
                .contains(&FeatureType::Categorical)
                .then(Fields::default),
        }
    }

    pub(super) fn observe(&mut self, item: &Map<String, Value>) -> Result<(), FeatureError> {
        for (name, value) in item.iter().filter(|(name, _)| *name != "id") {
            if let (Some(fields), Some(x)) = (&mut self.numbers, value.as_f64()) {
                column(fields, name, "numerical")?.add(x);
            }
            if let (Some(fields), Some(text)) = (&mut self.categories, category(value)) {
                column(fields, name, "categorical")?.add(text);
            }
        }
        Ok(())
    }

    pub(super) fn finish(&mut self, columns_max: usize) {
        for field in self
            .categories
            .iter_mut()
            .flat_map(|fields| fields.values_mut())
        {
            field.rank(columns_max);
        }
    }

    pub(super) fn numerical(&self, item: &Map<String, Value>) -> Map<String, Value> {
        let mut map = Map::new();
        for (name, value) in item {
            let column = self.numbers.as_ref().and_then(|fields| fields.get(name));
            if let (Some(column), Some(x)) = (column, value.as_f64()) {
                map.insert(name.clone(), value.clone());
                map.insert(format!("{name}_zScore"), number(column.z_score(x)));
                map.insert(format!("{name}_minMax"), number(column.min_max(x)));
            }
        }
        map
    }

    pub(super) fn categorical(&self, item: &Map<String, Value>) -> Map<String, Value> {
        let mut map = Map::new();
        let mut one_hot = Map::new();
        for (name, value) in item {
            let column = self.categories.as_ref().and_then(|fields| fields.get(name));
            if let (Some(column), Some(text)) = (column, category(value)) {
                // A value that was not counted one by one is rare: less than any counted one.
                let count = column.counts.get(text).copied().unwrap_or(1);
                map.insert(name.clone(), value.clone());
                let frequency = count as f64 / column.count as f64;
                map.insert(format!("{name}_frequency"), number(frequency));
                one_hot.insert(format!("{name}={}", column.column(text)), 1.into());
            }
        }
        if !one_hot.is_empty() {
            map.insert("oneHot".to_owned(), Value::Object(one_hot));
        }
        map
    }

    /// Adds `numerical` and `categorical`, each by field.
    pub(super) fn statistics(&self, statistics: &mut Map<String, Value>) {
        if let Some(fields) = &self.numbers {
            let figures = |(name, n): (&String, &Numbers)| {
                let figures = json!({
                    "count": n.count, "mean": number(n.mean), "stdDev": number(n.deviation()),
                    "min": number(n.min), "max": number(n.max),
                });
                (name.clone(), figures)
            };
            let map = fields.iter().map(figures).collect();
            statistics.insert("numerical".to_owned(), Value::Object(map));
        }
        if let Some(fields) = &self.categories {
            let figures = |(name, c): (&String, &Categories)| {
                let own: Map<String, Value> = c
                    .columns
                    .iter()
                    .map(|v| (v.clone(), c.counts[v].into()))
                    .collect();
                let distinct = c.counts.len();
                let complete = c.uncounted == 0;
                let figures = json!({
                    "count": c.count, "distinct": distinct, "distinctComplete": complete,
                    "counts": own,
                });
                (name.clone(), figures)
            };
            let map = fields.iter().map(figures).collect();
            statistics.insert("categorical".to_owned(), Value::Object(map));
        }
    }
}
