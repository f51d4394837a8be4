//! Groups of records.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    Aggregation, OperationError, Record,
    apply::{Progress, Row},
    value::{number, type_name},
};
use crate::control::Control;

/// One group's running values.
struct Group {
    record: Record,
    size: u64,
    columns: Vec<Column>,
}

/// One aggregation's running value.
#[derive(Default)]
struct Column {
    count: u64,
    sum: f64,
    /// What the sum lost to rounding (Neumaier, ZAMM 54, 1974).
    lost: f64,
    min: f64,
    max: f64,
    /// Only a median needs them all.
    values: Vec<f64>,
}

impl Column {
    fn add(&mut self, x: f64, keep: bool) {
        let sum = self.sum + x;
        self.lost += if self.sum.abs() >= x.abs() {
            (self.sum - sum) + x
        } else {
            (x - sum) + self.sum
        };
        self.sum = sum;
        (self.min, self.max) = if self.count == 0 {
            (x, x)
        } else {
            (self.min.min(x), self.max.max(x))
        };
        self.count += 1;
        if keep {
            self.values.push(x);
        }
    }

    fn finish(mut self, aggregation: Aggregation, size: u64) -> Value {
        let total = self.sum + self.lost;
        match aggregation {
            Aggregation::Count => Value::from(size),
            Aggregation::Sum => number(total),
            _ if self.count == 0 => Value::Null,
            Aggregation::Avg => number(total / self.count as f64),
            Aggregation::Min => number(self.min),
            Aggregation::Max => number(self.max),
            Aggregation::Median => number(median(&mut self.values)),
        }
    }
}

/// The middle value; of an even count the mean of the middle two. O(n). `values` is not empty.
fn median(values: &mut [f64]) -> f64 {
    let middle = values.len() / 2;
    let even = values.len().is_multiple_of(2);
    let (below, &mut upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    match below.iter().copied().max_by(f64::total_cmp) {
        Some(lower) if even => lower + (upper - lower) / 2.0,
        _ => upper,
    }
}

/// One record a group: the group's fields, then the aggregations under their fields' names.
pub(super) fn aggregate(
    rows: Vec<Row>,
    group_by: &[String],
    aggregations: &[(String, Aggregation)],
    progress: &Progress<'_, impl Control>,
) -> Result<Vec<Row>, OperationError> {
    let mut numbers: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
    let mut groups: Vec<Group> = Vec::new();
    let mut key = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        progress.at(index)?;
        key.clear();
        group_by
            .iter()
            .for_each(|field| write_key(&mut key, row.record.get(field)));
        let number = match numbers.get(&key) {
            Some(&number) => number,
            None => {
                numbers.insert(key.clone(), groups.len());
                groups.push(Group::new(&row.record, group_by, aggregations.len()));
                groups.len() - 1
            }
        };
        groups[number].add(row, aggregations)?;
    }
    drop(rows);
    let finish = |(origin, group): (usize, Group)| Row {
        origin: origin as u64,
        record: group.finish(aggregations),
    };
    Ok(groups.into_iter().enumerate().map(finish).collect())
}

impl Group {
    fn new(first: &Record, group_by: &[String], columns: usize) -> Self {
        let field = |name: &String| {
            (
                name.clone(),
                first.get(name).cloned().unwrap_or(Value::Null),
            )
        };
        Self {
            record: group_by.iter().map(field).collect(),
            size: 0,
            columns: std::iter::repeat_with(Column::default)
                .take(columns)
                .collect(),
        }
    }

    fn add(
        &mut self,
        row: &Row,
        aggregations: &[(String, Aggregation)],
    ) -> Result<(), OperationError> {
        self.size += 1;
        for ((field, aggregation), column) in aggregations.iter().zip(&mut self.columns) {
            if *aggregation == Aggregation::Count {
                continue;
            }
            match row.record.get(field) {
                None | Some(Value::Null) => {}
                Some(Value::Number(n)) => {
                    let keep = *aggregation == Aggregation::Median;
                    column.add(n.as_f64().unwrap_or(f64::NAN), keep);
                }
                Some(other) => {
                    return Err(OperationError::Record {
                        record: row.origin,
                        field: Some(field.clone()),
                        message: format!("expected a number, got {}", type_name(other)),
                    });
                }
            }
        }
        Ok(())
    }

    fn finish(self, aggregations: &[(String, Aggregation)]) -> Record {
        let mut record = self.record;
        for ((field, aggregation), column) in aggregations.iter().zip(self.columns) {
            record.insert(field.clone(), column.finish(*aggregation, self.size));
        }
        record
    }
}

/// Bytes that are equal exactly for equal values: a tag, then the content with its length. Missing
/// counts as null.
fn write_key(key: &mut Vec<u8>, value: Option<&Value>) {
    let mut text = |tag: u8, text: &str| {
        key.push(tag);
        key.extend_from_slice(&(text.len() as u64).to_le_bytes());
        key.extend_from_slice(text.as_bytes());
    };
    match value {
        None | Some(Value::Null) => key.push(b'n'),
        Some(Value::Bool(b)) => key.extend_from_slice(&[b'b', u8::from(*b)]),
        Some(Value::Number(n)) => {
            // 1 and 1.0 are one group, and so are 0 and -0.
            let x = n.as_f64().unwrap_or(f64::NAN) + 0.0;
            key.push(b'f');
            key.extend_from_slice(&x.to_le_bytes());
        }
        Some(Value::String(s)) => text(b's', s),
        Some(other) => text(b'j', &other.to_string()),
    }
}
