//! A stable sort that can be stopped.

use std::cmp::Ordering;

use serde_json::Value;

use super::{
    OperationError,
    apply::{BLOCK, Progress, Row},
};
use crate::control::Control;

/// What a record is sorted by, taken out of it once.
enum Key<'a> {
    Bool(bool),
    Number(f64),
    Text(&'a str),
    Array,
    Object,
    /// Last in both directions.
    Missing,
}

impl<'a> Key<'a> {
    fn of(value: Option<&'a Value>) -> Self {
        match value {
            None | Some(Value::Null) => Self::Missing,
            Some(Value::Bool(b)) => Self::Bool(*b),
            Some(Value::Number(n)) => Self::Number(n.as_f64().unwrap_or(f64::NAN)),
            Some(Value::String(s)) => Self::Text(s),
            Some(Value::Array(_)) => Self::Array,
            Some(Value::Object(_)) => Self::Object,
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Bool(_) => 0,
            Self::Number(_) => 1,
            Self::Text(_) => 2,
            Self::Array => 3,
            Self::Object => 4,
            Self::Missing => 5,
        }
    }

    fn order(&self, other: &Self, descending: bool) -> Ordering {
        let ascending = match (self, other) {
            (Self::Missing, _) | (_, Self::Missing) => return self.rank().cmp(&other.rank()),
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            // No JSON number is NaN; adding 0 makes -0 equal to 0.
            (Self::Number(a), Self::Number(b)) => (a + 0.0).total_cmp(&(b + 0.0)),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        };
        if descending {
            ascending.reverse()
        } else {
            ascending
        }
    }
}

/// Sorts blocks, then merges them pairwise: the control is asked between blocks of either.
pub(super) fn sort(
    mut rows: Vec<Row>,
    sort_by: &str,
    descending: bool,
    progress: &Progress<'_, impl Control>,
) -> Result<Vec<Row>, OperationError> {
    let mut keys = Vec::with_capacity(rows.len());
    for (index, row) in rows.iter().enumerate() {
        progress.at(index)?;
        keys.push(Key::of(row.record.get(sort_by)));
    }
    let order = |a: &usize, b: &usize| keys[*a].order(&keys[*b], descending);
    let mut sorted: Vec<usize> = (0..rows.len()).collect();
    for block in sorted.chunks_mut(BLOCK) {
        progress.ask(rows.len())?;
        block.sort_by(order);
    }
    let mut width = BLOCK;
    let mut merged = Vec::with_capacity(sorted.len());
    while width < sorted.len() {
        for pair in sorted.chunks(2 * width) {
            let (mut left, mut right) = pair.split_at(width.min(pair.len()));
            while let (Some(a), Some(b)) = (left.first(), right.first()) {
                if merged.len().is_multiple_of(BLOCK) {
                    progress.ask(rows.len())?;
                }
                // Equal: the left one first, which makes it stable.
                let side = if order(a, b).is_le() {
                    &mut left
                } else {
                    &mut right
                };
                merged.push(side[0]);
                *side = &side[1..];
            }
            merged.extend_from_slice(left);
            merged.extend_from_slice(right);
        }
        std::mem::swap(&mut sorted, &mut merged);
        merged.clear();
        width *= 2;
    }
    drop(keys);
    let take = |i: usize| {
        std::mem::replace(
            &mut rows[i],
            Row {
                origin: 0,
                record: Default::default(),
            },
        )
    };
    Ok(sorted.into_iter().map(take).collect())
}
