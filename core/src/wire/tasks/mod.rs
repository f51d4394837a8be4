//! The six kinds of work: their inputs, how they run, and their results.

mod features;
mod inputs;
mod matrices;
mod records;
mod result;
mod similarity;
mod training;

pub use records::{parse_operations, refused as operation_refused};
pub use result::{result_json, result_msgpack, result_npy, stored_json};

use serde_json::value::RawValue;

use super::{
    decode,
    error::{ApiError, ErrorCode},
};
use crate::{control::Control, limits::Limits, par::Par};

/// Which work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TaskType {
    /// Similarities between entities.
    SimilarityCalculation,
    /// The product of two matrices.
    MatrixMultiplication,
    /// Similarities between the rows of a matrix.
    MatrixSimilarity,
    /// Numbers out of records.
    FeatureExtraction,
    /// Operations on records.
    DataProcessing,
    /// Matrix factorization.
    ModelTraining,
}

impl TaskType {
    /// All of them, by name.
    pub const NAMES: [&'static str; 6] = [
        "similarity_calculation",
        "matrix_multiplication",
        "matrix_similarity",
        "feature_extraction",
        "data_processing",
        "model_training",
    ];

    const ALL: [Self; 6] = [
        Self::SimilarityCalculation,
        Self::MatrixMultiplication,
        Self::MatrixSimilarity,
        Self::FeatureExtraction,
        Self::DataProcessing,
        Self::ModelTraining,
    ];

    /// The type of this name.
    ///
    /// # Errors
    /// `UNKNOWN_NAME` listing the valid ones.
    pub fn parse(field: &'static str, name: &str) -> Result<Self, ApiError> {
        let what = if field == "taskType" {
            "task type"
        } else {
            "job type"
        };
        Self::NAMES
            .iter()
            .position(|n| *n == name)
            .map(|i| Self::ALL[i])
            .ok_or_else(|| ApiError::unknown(field, what, name, &Self::NAMES))
    }

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// First byte of a stored input that is JSON text.
pub const PAYLOAD_JSON: u8 = b'J';
/// First byte of a stored input that is a query string, a line break, and NPY arrays.
pub const PAYLOAD_NPY: u8 = b'N';
/// First byte of a stored input that is a MessagePack body.
pub const PAYLOAD_MSGPACK: u8 = b'M';

fn only_json(task_type: TaskType) -> ApiError {
    let message = format!(
        "{} takes application/json; NPY and MessagePack are for matrices",
        task_type.as_str()
    );
    ApiError::new(ErrorCode::UnsupportedMediaType, message)
}

/// Parsed and checked input, ready to run.
#[derive(Debug)]
pub struct Task(Work);

#[derive(Debug)]
enum Work {
    Similarity(similarity::Similarity),
    Multiplication(matrices::Multiplication),
    RowSimilarity(matrices::RowSimilarity),
    Features(features::Extraction),
    Records(records::Processing),
    Training(training::Training),
}

impl Task {
    /// Parses the input of a type.
    ///
    /// # Errors
    /// 400, 413 or 422 naming the field below `data`.
    pub fn parse(task_type: TaskType, data: &RawValue, limits: &Limits) -> Result<Self, ApiError> {
        Ok(Self(match task_type {
            TaskType::SimilarityCalculation => {
                Work::Similarity(similarity::Similarity::parse(data, limits)?)
            }
            TaskType::MatrixMultiplication => {
                Work::Multiplication(matrices::Multiplication::parse(data, limits)?)
            }
            TaskType::MatrixSimilarity => {
                Work::RowSimilarity(matrices::RowSimilarity::parse(data, limits)?)
            }
            TaskType::FeatureExtraction => {
                Work::Features(features::Extraction::parse(data, limits)?)
            }
            TaskType::DataProcessing => Work::Records(records::Processing::parse(data, limits)?),
            TaskType::ModelTraining => Work::Training(training::Training::parse(data, limits)?),
        }))
    }

    /// Reads the matrices of a matrix task from concatenated NPY arrays.
    ///
    /// # Errors
    /// 400, 415 or 422 naming the field.
    pub fn parse_npy(
        task_type: TaskType,
        query: &str,
        bytes: &[u8],
        limits: &Limits,
    ) -> Result<Self, ApiError> {
        let mut at = 0;
        let mut next = |name: &str| inputs::read_npy(name, bytes, &mut at, limits);
        let work = match task_type {
            TaskType::MatrixMultiplication => {
                let (a, b) = (next("data.matrixA")?, next("data.matrixB")?);
                Work::Multiplication(matrices::Multiplication::new(a, b, limits)?)
            }
            TaskType::MatrixSimilarity => {
                let matrix = next("data.matrix")?;
                let algorithm = decode::query_value(query, "algorithm");
                let top_k = match decode::query_value(query, "topK") {
                    None => None,
                    Some(_) => Some(decode::query_number(
                        query,
                        "topK",
                        1..=u64::MAX,
                        "rows",
                        0,
                    )?),
                };
                let algorithm = algorithm.as_deref();
                Work::RowSimilarity(matrices::RowSimilarity::new(
                    matrix, algorithm, top_k, limits,
                )?)
            }
            other => return Err(only_json(other)),
        };
        if at < bytes.len() {
            let what = format!("{} bytes follow the last array", bytes.len() - at);
            return Err(ApiError::invalid("body", what));
        }
        Ok(Self(work))
    }

    /// Reads the `data` of a matrix task from MessagePack.
    ///
    /// # Errors
    /// 400, 415 or 422 naming the field.
    pub fn parse_msgpack(
        task_type: TaskType,
        bytes: &[u8],
        limits: &Limits,
    ) -> Result<Self, ApiError> {
        #[derive(serde::Deserialize)]
        struct Body<'a> {
            #[serde(borrow)]
            data: Option<matrices::MatrixFields<'a>>,
        }
        if !matches!(
            task_type,
            TaskType::MatrixMultiplication | TaskType::MatrixSimilarity
        ) {
            return Err(only_json(task_type));
        }
        let body: Body<'_> = rmp_serde::from_slice(bytes)
            .map_err(|error| ApiError::invalid("body", format!("MessagePack: {error}")))?;
        let fields = body
            .data
            .ok_or_else(|| ApiError::missing("data", "data is required"))?;
        Ok(Self(if task_type == TaskType::MatrixMultiplication {
            Work::Multiplication(matrices::Multiplication::from_fields(fields, limits)?)
        } else {
            Work::RowSimilarity(matrices::RowSimilarity::from_fields(fields, limits)?)
        }))
    }

    /// Parses an input that was checked and stored before.
    ///
    /// # Errors
    /// As at submission; `INTERNAL` when the stored bytes have no known form.
    pub fn parse_stored(
        task_type: &str,
        payload: &[u8],
        limits: &Limits,
    ) -> Result<Self, ApiError> {
        let task_type = TaskType::parse("jobType", task_type)?;
        let broken = |what: String| ApiError::new(ErrorCode::Internal, what);
        match payload.split_first() {
            Some((&PAYLOAD_JSON, json)) => {
                let data: &RawValue = serde_json::from_slice(json)
                    .map_err(|error| broken(format!("stored input: {error}")))?;
                Self::parse(task_type, data, limits)
            }
            Some((&PAYLOAD_NPY, stored)) => {
                // The query stands before the arrays, ended by a line break.
                let end = stored.iter().position(|b| *b == b'\n').unwrap_or(0);
                let query = core::str::from_utf8(&stored[..end]).unwrap_or_default();
                Self::parse_npy(task_type, query, &stored[end + 1..], limits)
            }
            Some((&PAYLOAD_MSGPACK, body)) => Self::parse_msgpack(task_type, body, limits),
            _ => Err(broken("a stored input has no known form".to_owned())),
        }
    }

    /// Estimated work, in multiply-adds or visited records: what balancing goes by.
    #[must_use]
    pub fn cost(&self) -> u64 {
        match &self.0 {
            Work::Similarity(w) => w.cost(),
            Work::Multiplication(w) => w.cost(),
            Work::RowSimilarity(w) => w.cost(),
            Work::Features(w) => w.cost(),
            Work::Records(w) => w.cost(),
            Work::Training(w) => w.cost(),
        }
    }

    /// Runs it: the result as it is stored ([`result_json`] and its like read it).
    ///
    /// # Errors
    /// `CANCELLED` or `TIMED_OUT` when `control` says so, 422 when the result is over a limit.
    pub fn run(
        self,
        par: Par,
        control: &dyn Control,
        limits: &Limits,
    ) -> Result<Vec<u8>, ApiError> {
        let out = match self.0 {
            Work::Similarity(w) => w.run(par, control, limits),
            Work::Multiplication(w) => w.run(par, control),
            Work::RowSimilarity(w) => w.run(par, control, limits),
            Work::Features(w) => w.run(control),
            Work::Records(w) => w.run(control),
            Work::Training(w) => w.run(control),
        }?
        .stored();
        if out.len() > limits.result_bytes {
            return Err(ApiError::too_large(
                "result",
                out.len(),
                limits.result_bytes as u64,
            ));
        }
        Ok(out)
    }
}
