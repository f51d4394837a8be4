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
struct Fields {
    dataset: Option<Vec<Value>>,
    operations: Option<Value>,
}

impl Processing {
    pub(super) fn parse(data: &RawValue, limits: &Limits) -> Result<Self, ApiError> {
        const REQUIRED: &str = "data.dataset and data.operations are required";
        let fields: Fields = decode::part(data, "data")?;
        let dataset = fields
            .dataset
            .ok_or_else(|| ApiError::missing("data.dataset", REQUIRED))?;
        let list = fields
            .operations
            .ok_or_else(|| ApiError::missing("data.operations", REQUIRED))?;
        if dataset.len() > limits.records {
            let limit = limits.records as u64;
            return Err(ApiError::over(
                "data.dataset",
                "records",
                dataset.len(),
                limit,
            ));
        }
        let operations = parse_operations("data.", &list, limits)?;
        let records = operations::records_of(dataset).map_err(|e| refused("data.dataset", e))?;
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
