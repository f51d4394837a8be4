//! data_processing: operations over records.

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::result::Output;
use crate::{
    batch::operations::{self, Operation, OperationError, Record},
    control::Control,
    limits::Limits,
    wire::{
        decode,
        error::{ApiError, ErrorCode},
    },
};

/// Input of data_processing: `data.dataset` and `data.operations`.
#[derive(Debug)]
pub(super) struct Processing {
    records: Vec<Record>,
    operations: Vec<Operation>,
}

#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    dataset: Option<&'a RawValue>,
    operations: Option<Value>,
}

impl Processing {
    pub(super) fn parse(data: &RawValue, limits: &Limits) -> Result<Self, ApiError> {
        const REQUIRED: &str = "data.dataset and data.operations are required";
        let fields: Fields<'_> = decode::part(data, "data")?;
        let dataset = fields
            .dataset
            .ok_or_else(|| ApiError::missing("data.dataset", REQUIRED))?;
        let list = fields
            .operations
            .ok_or_else(|| ApiError::missing("data.operations", REQUIRED))?;
        let operations = parse_operations("data.", &list, limits)?;
        let mut records = Vec::new();
        decode::each(dataset, "data.dataset", |index, value| {
            if index >= limits.records {
                let (got, limit) = (index + 1, limits.records as u64);
                return Err(ApiError::over("data.dataset", "records", got, limit));
            }
            let record = operations::record_of(index as u64, value);
            records.push(record.map_err(|error| refused("data.dataset", error))?);
            Ok(())
        })?;
        Ok(Self {
            records,
            operations,
        })
    }

    pub(super) fn cost(&self) -> u64 {
        (self.records.len() as u64).saturating_mul(1 + self.operations.len() as u64)
    }

    pub(super) fn run(self, control: &dyn Control) -> Result<Output, ApiError> {
        let records = operations::apply(self.records, &self.operations, &control)
            .map_err(|error| refused("data.dataset", error))?;
        Output::json(&records)
    }
}

/// Parses operations that stand below `prefix`.
///
/// # Errors
/// 400 naming the field.
pub fn parse_operations(
    prefix: &str,
    list: &Value,
    limits: &Limits,
) -> Result<Vec<Operation>, ApiError> {
    operations::parse(list, limits).map_err(|error| refused(prefix, error))
}

/// An operation's error on the wire: a wrong request names its path, a wrong record its index.
pub fn refused(prefix: &str, error: OperationError) -> ApiError {
    match error {
        OperationError::Stopped(stopped) => stopped.into(),
        OperationError::Invalid { path, message } => {
            ApiError::invalid(&format!("{prefix}{path}"), message)
        }
        other => ApiError::new(ErrorCode::InvalidField, other.to_string()).at(prefix.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dataset_is_refused_where_it_goes_wrong() {
        let limits = Limits {
            records: 2,
            ..Limits::default()
        };
        let parse = |dataset: &str| {
            let json = format!(r#"{{"operations":[],"dataset":{dataset}}}"#);
            let data: &RawValue = serde_json::from_str(&json).unwrap();
            Processing::parse(data, &limits).map(|p| p.records.len())
        };
        assert_eq!(parse("[{},{}]"), Ok(2));
        // The third is refused before the rest is read, which is no object.
        let error = parse("[{},{},{},4]").unwrap_err();
        assert_eq!(error.code, ErrorCode::LimitExceeded, "{error}");
        let error = parse("[{},7,{},{}]").unwrap_err();
        assert!(error.message.contains("record 1"), "{error}");
        let error = parse(r#"{"a":1}"#).unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidField, "{error}");
        assert_eq!(error.field.as_deref(), Some("data.dataset"));
    }
}
