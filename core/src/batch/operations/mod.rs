//! Built-in work on records: the `data_processing` operations and the named processors.
//!
//! An operation list is JSON, parsed once by [`parse()`] and then run by [`apply()`] over records,
//! or by a [`RowPipeline`] over NDJSON lines in constant memory where every operation looks at one
//! record at a time. Each operation is an object with a `type`:
//!
//! - `filter`, `criteria: {field: value}` or `{field: {op: value}}`: keeps the records that pass
//!   all tests; `op` is `eq`, `ne`, `gt`, `gte`, `lt`, `lte` or `in`.
//! - `transform`, `transform: {field: {type, ..}}`: `multiply` and `add` with `value`, `normalize`
//!   with `min` and `max` ((x-min)/(max-min)), `log` (ln(x+1)), `sqrt`.
//! - `aggregate`, `groupBy: [field]`, `aggregations: {field: name}`: one record a group, groups in
//!   order of first appearance; `name` is `sum`, `avg`, `count`, `min`, `max` or `median`.
//! - `sort`, `sortBy: field`, `order`: `asc` (default) or `desc`; stable.
//! - `normalize`, `fields: [field]`: (x-min)/(max-min) over the whole data set.
//!
//! Rules that JSON leaves open:
//! - Equality is JavaScript's `===` for primitives (1 equals 1.0; a missing field equals nothing,
//!   not even null) and deep for arrays and objects. `gt` and its kin compare numbers with numbers
//!   and strings with strings; other pairs do not pass.
//! - A missing or null field is no number and no mistake: `transform` leaves it, `aggregate` skips
//!   it. Any other non-number where a number is needed is an error that names record and field, and
//!   so is a result that is not finite. `normalize` alone leaves non-numbers as they are, and also
//!   a field whose values are all equal.
//! - `count` counts the records of the group. `median` of an even number of values is the mean of
//!   the middle two. An aggregation without any number gives null, `sum` 0.
//! - Sorting ascends through false, true, numbers, strings (by code point), arrays, objects; arrays
//!   and objects among themselves keep their order. Missing and null come last in both directions.
//! - Numbers are f64, as in JavaScript; whole results within ±2^53 are written without a point.

mod aggregate;
mod apply;
#[cfg(target_arch = "x86_64")]
mod flat;
#[cfg(target_arch = "x86_64")]
mod marks;
mod parse;
mod rows;
mod scan;
mod sort;
mod value;

#[cfg(test)]
mod tests;

use serde_json::{Map, Value};
use thiserror::Error;

use crate::control::Stopped;

pub use apply::{apply, record_of, records_of};
pub use parse::parse;
pub use rows::{Processor, RowPipeline};

/// One record; its fields keep their order.
pub type Record = Map<String, Value>;

/// Why operations could not be read or applied.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OperationError {
    /// The request is wrong: `operations[2].order: expected "asc" or "desc", got "up"`.
    #[error("{path}: {message}")]
    Invalid {
        /// Where in the request.
        path: String,
        /// What was expected and what was there.
        message: String,
    },
    /// A record does not fit an operation.
    #[error("record {record}{}: {message}", in_field(.field.as_deref()))]
    Record {
        /// Index in the input, from 0; after an aggregate the number of the group.
        record: u64,
        /// The field.
        field: Option<String>,
        /// What was expected and what was there.
        message: String,
    },
    /// A line of NDJSON is no JSON value.
    #[error("record {record}: not a JSON value: {message} at byte {at}")]
    Json {
        /// Number of the line, from 0; blank lines do not count.
        record: u64,
        /// Offset in the line.
        at: usize,
        /// What is wrong there.
        message: String,
    },
    /// The caller stopped it.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

fn in_field(field: Option<&str>) -> String {
    field
        .map(|name| format!(", field {name:?}"))
        .unwrap_or_default()
}

/// One step over records.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Operation {
    /// Keeps the records that pass every test.
    Filter {
        /// Field and its test.
        tests: Vec<(String, Test)>,
    },
    /// Replaces numbers, field by field.
    Transform {
        /// Field and its function.
        fields: Vec<(String, Function)>,
    },
    /// One record a group.
    Aggregate {
        /// Fields that make a group; none: one group of everything.
        group_by: Vec<String>,
        /// Field and what is made of its values.
        aggregations: Vec<(String, Aggregation)>,
    },
    /// Stable sort by one field.
    Sort {
        /// The field.
        sort_by: String,
        /// Largest first.
        descending: bool,
    },
    /// Scales fields to 0..1 over the whole data set.
    Normalize {
        /// The fields.
        fields: Vec<String>,
    },
}

impl Operation {
    /// Whether it looks at one record at a time.
    #[must_use]
    pub fn is_row_wise(&self) -> bool {
        matches!(self, Self::Filter { .. } | Self::Transform { .. })
    }
}

/// What a filter asks of a field.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Test {
    /// Equal.
    Eq(Value),
    /// Not equal; a missing field passes.
    Ne(Value),
    /// Greater.
    Gt(Value),
    /// Greater or equal.
    Gte(Value),
    /// Less.
    Lt(Value),
    /// Less or equal.
    Lte(Value),
    /// Equal to one of these.
    In(Vec<Value>),
}

/// What a transform makes of a number.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Function {
    /// x · value.
    Multiply(f64),
    /// x + value.
    Add(f64),
    /// (x - min) / (max - min).
    Normalize {
        /// Becomes 0.
        min: f64,
        /// Becomes 1.
        max: f64,
    },
    /// ln(x + 1).
    Log,
    /// Square root.
    Sqrt,
}

/// What an aggregate makes of a group's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Aggregation {
    /// Sum (compensated: Neumaier 1974).
    Sum,
    /// Mean.
    Avg,
    /// Records of the group.
    Count,
    /// Smallest.
    Min,
    /// Largest.
    Max,
    /// Middle value.
    Median,
}
