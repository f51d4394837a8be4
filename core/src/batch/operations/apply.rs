//! Operations over a whole data set.

use serde_json::Value;

use super::{
    Function, Operation, OperationError, Record, Test, aggregate,
    parse::not_a_record,
    sort,
    value::{compare, number, same, type_name},
};
use crate::control::Control;

/// Records between two questions to the control where each costs little: well under 5 ms of work.
pub(super) const BLOCK: usize = 4096;
/// Field look-ups and comparisons between two questions.
const STEPS_MAX: usize = 1 << 15;

/// A record and its index in the input, for messages.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) origin: u64,
    pub(super) record: Record,
}

/// The records of a JSON data set. Moves them: O(n), no copies of values.
///
/// # Errors
/// [`OperationError::Record`] for the first item that is no object.
pub fn records_of(items: Vec<Value>) -> Result<Vec<Record>, OperationError> {
    let record = |(index, item)| record_of(index as u64, item);
    items.into_iter().enumerate().map(record).collect()
}

/// One JSON value as the record of this index.
///
/// # Errors
/// [`OperationError::Record`] when it is no object.
pub fn record_of(index: u64, item: Value) -> Result<Record, OperationError> {
    match item {
        Value::Object(record) => Ok(record),
        other => Err(not_a_record(index, &other)),
    }
}

/// Runs the operations in order. Works in place: beside the records themselves it keeps 8 bytes a
/// record, 16 more while sorting, and an aggregate's groups.
///
/// O(n) per operation, `sort` O(n log n). The control sees `operations · n` units of work.
///
/// # Errors
/// [`OperationError::Record`] for a record that does not fit; [`OperationError::Stopped`].
pub fn apply(
    records: Vec<Record>,
    operations: &[Operation],
    control: &impl Control,
) -> Result<Vec<Record>, OperationError> {
    let number_rows = |(origin, record)| Row {
        origin: origin as u64,
        record,
    };
    let mut rows: Vec<Row> = records.into_iter().enumerate().map(number_rows).collect();
    let total = rows.len() as u64 * operations.len() as u64;
    for (step, operation) in operations.iter().enumerate() {
        let progress = Progress {
            control,
            block: (STEPS_MAX / operation.steps()).clamp(1, BLOCK),
            base: step as u64 * (total / operations.len() as u64),
            total,
        };
        match operation {
            Operation::Filter { .. } | Operation::Transform { .. } => {
                rows = row_by_row(rows, operation, &progress)?;
            }
            Operation::Aggregate {
                group_by,
                aggregations,
            } => {
                rows = aggregate::aggregate(rows, group_by, aggregations, &progress)?;
            }
            Operation::Sort {
                sort_by,
                descending,
            } => {
                rows = sort::sort(rows, sort_by, *descending, &progress)?;
            }
            Operation::Normalize { fields } => normalize(&mut rows, fields, &progress)?,
        }
    }
    Ok(rows.into_iter().map(|row| row.record).collect())
}

/// The control, and how far the operations before have come.
pub(super) struct Progress<'a, C> {
    control: &'a C,
    /// Records between two questions.
    block: usize,
    base: u64,
    total: u64,
}

impl<C: Control> Progress<'_, C> {
    /// Asks at the start of every block of records.
    pub(super) fn at(&self, index: usize) -> Result<(), OperationError> {
        if index.is_multiple_of(self.block) {
            self.ask(index)
        } else {
            Ok(())
        }
    }

    /// Asks now.
    pub(super) fn ask(&self, done: usize) -> Result<(), OperationError> {
        let done = self.base.saturating_add(done as u64).min(self.total);
        Ok(self.control.checkpoint(done, self.total)?)
    }
}

fn row_by_row(
    rows: Vec<Row>,
    operation: &Operation,
    progress: &Progress<'_, impl Control>,
) -> Result<Vec<Row>, OperationError> {
    let mut kept = Vec::with_capacity(rows.len());
    for (index, mut row) in rows.into_iter().enumerate() {
        progress.at(index)?;
        if apply_row(&mut row.record, operation, row.origin)? {
            kept.push(row);
        }
    }
    Ok(kept)
}

/// One row-wise operation on one record; whether the record stays. Operations that need the whole
/// data set leave it alone.
pub(super) fn apply_row(
    record: &mut Record,
    operation: &Operation,
    origin: u64,
) -> Result<bool, OperationError> {
    match operation {
        Operation::Filter { tests } => Ok(tests
            .iter()
            .all(|(field, test)| test.passes(record.get(field)))),
        Operation::Transform { fields } => {
            for (field, function) in fields {
                if let Some(value) = record.get_mut(field) {
                    transform(value, *function).map_err(|message| OperationError::Record {
                        record: origin,
                        field: Some(field.clone()),
                        message,
                    })?;
                }
            }
            Ok(true)
        }
        _ => Ok(true),
    }
}

impl Operation {
    /// Field look-ups and comparisons that one record costs at most; at least 1.
    pub(super) fn steps(&self) -> usize {
        let of_test = |(_, test): &(String, Test)| match test {
            Test::In(list) => 1 + list.len(),
            _ => 1,
        };
        let steps = match self {
            Self::Filter { tests } => tests.iter().map(of_test).sum(),
            Self::Transform { fields } => fields.len(),
            Self::Aggregate {
                group_by,
                aggregations,
            } => group_by.len() + aggregations.len(),
            // One field at a time.
            Self::Sort { .. } | Self::Normalize { .. } => 1,
        };
        steps.max(1)
    }
}

impl Test {
    /// Whether a field with this value, or none, passes.
    #[must_use]
    pub fn passes(&self, value: Option<&Value>) -> bool {
        let ordered = |limit: &Value, accept: fn(std::cmp::Ordering) -> bool| {
            value
                .and_then(|value| compare(value, limit))
                .is_some_and(accept)
        };
        match self {
            Self::Eq(wanted) => value.is_some_and(|value| same(value, wanted)),
            Self::Ne(other) => !value.is_some_and(|value| same(value, other)),
            Self::In(list) => value.is_some_and(|value| list.iter().any(|one| same(value, one))),
            Self::Gt(limit) => ordered(limit, std::cmp::Ordering::is_gt),
            Self::Gte(limit) => ordered(limit, std::cmp::Ordering::is_ge),
            Self::Lt(limit) => ordered(limit, std::cmp::Ordering::is_lt),
            Self::Lte(limit) => ordered(limit, std::cmp::Ordering::is_le),
        }
    }
}

fn transform(value: &mut Value, function: Function) -> Result<(), String> {
    let x = match value {
        Value::Null => return Ok(()),
        Value::Number(n) => n.as_f64().unwrap_or(f64::NAN),
        other => return Err(format!("expected a number, got {}", type_name(other))),
    };
    let y = function.of(x);
    if !y.is_finite() {
        return Err(format!("{} of {x} is not a finite number", function.name()));
    }
    *value = number(y);
    Ok(())
}

impl Function {
    /// f(x); NaN or infinite outside the function's domain.
    #[must_use]
    pub fn of(self, x: f64) -> f64 {
        match self {
            Self::Multiply(value) => x * value,
            Self::Add(value) => x + value,
            Self::Normalize { min, max } => (x - min) / (max - min),
            Self::Log => libm::log1p(x),
            Self::Sqrt => x.sqrt(),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Multiply(_) => "multiply",
            Self::Add(_) => "add",
            Self::Normalize { .. } => "normalize",
            Self::Log => "log",
            Self::Sqrt => "sqrt",
        }
    }
}

fn normalize(
    rows: &mut [Row],
    fields: &[String],
    progress: &Progress<'_, impl Control>,
) -> Result<(), OperationError> {
    for field in fields {
        let (mut min, mut max) = (f64::INFINITY, f64::NEG_INFINITY);
        for (index, row) in rows.iter().enumerate() {
            progress.at(index)?;
            if let Some(x) = row.record.get(field).and_then(Value::as_f64) {
                min = min.min(x);
                max = max.max(x);
            }
        }
        let range = max - min;
        // Equal values and no values stay; a range beyond f64 cannot be divided by.
        if !(range > 0.0 && range.is_finite()) {
            continue;
        }
        for (index, row) in rows.iter_mut().enumerate() {
            progress.at(index)?;
            if let Some(value) = row.record.get_mut(field)
                && let Some(x) = value.as_f64()
            {
                *value = number((x - min) / range);
            }
        }
    }
    Ok(())
}
