//! matrix_multiplication and matrix_similarity.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{inputs::MatrixInput, result::Output};
use crate::{
    control::Control,
    limits::Limits,
    matrix::{
        self, Matrix, MatrixError, ProductLimits, RowMeasure, row_similarity, row_similarity_top_k,
    },
    par::Par,
    wire::{
        decode,
        error::{ApiError, ErrorCode},
    },
};

/// Input of matrix_multiplication: `data.matrixA` · `data.matrixB`.
#[derive(Debug)]
pub(super) struct Multiplication {
    a: Matrix<f64>,
    b: Matrix<f64>,
    limits: ProductLimits,
}

/// The fields of both matrix tasks, whatever the encoding.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MatrixFields<'a> {
    matrix_a: Option<MatrixInput>,
    matrix_b: Option<MatrixInput>,
    matrix: Option<MatrixInput>,
    #[serde(borrow)]
    algorithm: Option<Cow<'a, str>>,
    top_k: Option<u64>,
}

impl Multiplication {
    pub(super) fn parse(data: &RawValue, limits: &Limits) -> Result<Self, ApiError> {
        Self::from_fields(decode::part(data, "data")?, limits)
    }

    pub(super) fn from_fields(fields: MatrixFields<'_>, limits: &Limits) -> Result<Self, ApiError> {
        const REQUIRED: &str = "data.matrixA and data.matrixB are required";
        let a = fields
            .matrix_a
            .ok_or_else(|| ApiError::missing("data.matrixA", REQUIRED))?;
        let b = fields
            .matrix_b
            .ok_or_else(|| ApiError::missing("data.matrixB", REQUIRED))?;
        Self::new(
            a.read("data.matrixA", limits)?,
            b.read("data.matrixB", limits)?,
            limits,
        )
    }

    /// Checks now what the product would refuse later.
    pub(super) fn new(a: Matrix<f64>, b: Matrix<f64>, limits: &Limits) -> Result<Self, ApiError> {
        if a.cols() != b.rows() {
            let what = format!(
                "has {} rows, but data.matrixA has {} columns: the two must be equal",
                b.rows(),
                a.cols()
            );
            return Err(ApiError::invalid("data.matrixB", what));
        }
        let product = Self {
            a,
            b,
            limits: product_limits(limits),
        };
        let elements = product.a.rows().saturating_mul(product.b.cols());
        if elements > limits.matrix_elements {
            let limit = limits.matrix_elements as u64;
            return Err(ApiError::over(
                "data",
                "elements of the product",
                elements,
                limit,
            ));
        }
        if product.cost() > limits.matrix_flops {
            let limit = limits.matrix_flops;
            return Err(ApiError::over(
                "data",
                "multiply-adds",
                product.cost(),
                limit,
            ));
        }
        Ok(product)
    }

    pub(super) fn cost(&self) -> u64 {
        (self.a.rows() as u64)
            .saturating_mul(self.a.cols() as u64)
            .saturating_mul(self.b.cols() as u64)
    }

    pub(super) fn run(self, par: Par, control: &dyn Control) -> Result<Output, ApiError> {
        let product =
            matrix::multiply(&self.a, &self.b, &self.limits, par, control).map_err(refused)?;
        Ok(Output::Matrix(product))
    }
}

/// Input of matrix_similarity: the rows of `data.matrix` with each other.
#[derive(Debug)]
pub(super) struct RowSimilarity {
    matrix: Matrix<f64>,
    measure: RowMeasure,
    top_k: Option<usize>,
}

/// `result` of matrix_similarity with topK: for each row its nearest ones.
#[derive(Debug, Serialize)]
struct RowNeighbourResponse {
    row: usize,
    similarity: f64,
}

impl RowSimilarity {
    pub(super) fn parse(data: &RawValue, limits: &Limits) -> Result<Self, ApiError> {
        Self::from_fields(decode::part(data, "data")?, limits)
    }

    pub(super) fn from_fields(fields: MatrixFields<'_>, limits: &Limits) -> Result<Self, ApiError> {
        let matrix = fields
            .matrix
            .ok_or_else(|| ApiError::missing("data.matrix", "data.matrix is required"))?
            .read("data.matrix", limits)?;
        Self::new(matrix, fields.algorithm.as_deref(), fields.top_k, limits)
    }

    pub(super) fn new(
        matrix: Matrix<f64>,
        algorithm: Option<&str>,
        top_k: Option<u64>,
        limits: &Limits,
    ) -> Result<Self, ApiError> {
        const NAMES: [&str; 3] = ["cosine", "pearson", "euclidean"];
        let measure = match algorithm.unwrap_or("cosine") {
            "cosine" => RowMeasure::Cosine,
            "pearson" => RowMeasure::Pearson,
            "euclidean" => RowMeasure::Euclidean,
            other => {
                return Err(ApiError::unknown(
                    "data.algorithm",
                    "algorithm",
                    other,
                    &NAMES,
                ));
            }
        };
        let rows = matrix.rows() as u64;
        let top_k = match top_k {
            None => None,
            some => {
                let k = decode::in_range("data.topK", some, 1..=rows, "rows", 0)?;
                Some(k as usize)
            }
        };
        let kept = top_k.map_or(rows, |k| k as u64).saturating_mul(rows);
        if kept > limits.matrix_elements as u64 {
            let limit = limits.matrix_elements as u64;
            let what = "similarities (ask for topK)";
            return Err(ApiError::over("data.matrix", what, kept, limit));
        }
        Ok(Self {
            matrix,
            measure,
            top_k,
        })
    }

    pub(super) fn cost(&self) -> u64 {
        let rows = self.matrix.rows() as u64;
        rows.saturating_mul(rows)
            .saturating_mul(self.matrix.cols() as u64)
            / 2
    }

    pub(super) fn run(
        self,
        par: Par,
        control: &dyn Control,
        limits: &Limits,
    ) -> Result<Output, ApiError> {
        let limits = product_limits(limits);
        let Some(k) = self.top_k else {
            return row_similarity(&self.matrix, self.measure, &limits, par, control)
                .map(Output::Matrix)
                .map_err(refused);
        };
        let lists = row_similarity_top_k(&self.matrix, self.measure, k, &limits, par, control)
            .map_err(refused)?;
        let response: Vec<Vec<_>> = lists
            .iter()
            .map(|list| {
                let entry = |n: &matrix::RowNeighbour| RowNeighbourResponse {
                    row: n.row,
                    similarity: n.similarity,
                };
                list.iter().map(entry).collect()
            })
            .collect();
        Output::json(&response)
    }
}

fn product_limits(limits: &Limits) -> ProductLimits {
    ProductLimits {
        elements: limits.matrix_elements,
        multiply_adds: limits.matrix_flops,
    }
}

fn refused(error: MatrixError) -> ApiError {
    match error {
        MatrixError::Stopped(stopped) => stopped.into(),
        MatrixError::TooLarge { .. } | MatrixError::TooMuchWork { .. } => {
            ApiError::new(ErrorCode::LimitExceeded, error.to_string()).at("data")
        }
        other => ApiError::invalid("data", other),
    }
}
