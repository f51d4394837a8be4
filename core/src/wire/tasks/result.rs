//! Results as the store keeps them: JSON text, or a matrix in NPY, which is a tenth of the time
//! and half of the bytes. The first byte tells which.

use std::borrow::Cow;

use serde::Serialize;

use crate::{
    limits::Limits,
    matrix::{Matrix, parse_npy, write_npy},
    wire::{
        envelope,
        error::{ApiError, ErrorCode},
    },
};

const JSON: u8 = b'J';
const NPY: u8 = b'N';

/// What a task produced.
#[derive(Debug)]
pub(super) enum Output {
    /// JSON text.
    Json(Vec<u8>),
    /// A matrix.
    Matrix(Matrix<f64>),
}

impl Output {
    pub(super) fn json<T: Serialize>(value: &T) -> Result<Self, ApiError> {
        envelope::encode(value).map(Self::Json)
    }

    /// The bytes to store.
    pub(super) fn stored(self) -> Vec<u8> {
        match self {
            Self::Json(json) => stored_json(json),
            Self::Matrix(matrix) => {
                let mut out = vec![NPY];
                write_npy(&matrix, &mut out);
                out
            }
        }
    }
}

/// JSON text as a stored result: what [`result_json`] reads.
#[must_use]
pub fn stored_json(mut json: Vec<u8>) -> Vec<u8> {
    json.insert(0, JSON);
    json
}

/// A stored result as JSON text. A matrix becomes an array of rows.
///
/// # Errors
/// `INTERNAL` when the bytes are not what [`super::Task::run`] gave.
pub fn result_json<'a>(stored: &'a [u8], limits: &Limits) -> Result<Cow<'a, [u8]>, ApiError> {
    match stored.split_first() {
        Some((&JSON, json)) => Ok(Cow::Borrowed(json)),
        Some((&NPY, npy)) => {
            let matrix = read(npy, limits)?;
            let mut out = Vec::with_capacity(npy.len() * 2);
            out.push(b'[');
            for (i, row) in matrix.iter_rows().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                serde_json::to_writer(&mut out, row)
                    .map_err(|e| ApiError::new(ErrorCode::Internal, e.to_string()))?;
            }
            out.push(b']');
            Ok(Cow::Owned(out))
        }
        _ => Err(ApiError::new(
            ErrorCode::Internal,
            "a stored result has no known form",
        )),
    }
}

/// The NPY bytes of a stored matrix.
///
/// # Errors
/// `INVALID_FIELD` when the result is no matrix.
pub fn result_npy(stored: &[u8]) -> Result<&[u8], ApiError> {
    match stored.split_first() {
        Some((&NPY, npy)) => Ok(npy),
        _ => Err(ApiError::invalid(
            "accept",
            "this result is no matrix; ask for application/json",
        )),
    }
}

/// The MessagePack form of a stored matrix: `{rows, cols, data}` with the bytes of little-endian
/// f64s.
///
/// # Errors
/// `INVALID_FIELD` when the result is no matrix.
pub fn result_msgpack(stored: &[u8], limits: &Limits) -> Result<Vec<u8>, ApiError> {
    #[derive(Serialize)]
    struct Flat<'a> {
        rows: usize,
        cols: usize,
        #[serde(serialize_with = "bytes")]
        data: &'a [u8],
    }
    fn bytes<S: serde::Serializer>(data: &&[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(data)
    }
    let matrix = read(result_npy(stored)?, limits)?;
    let data: Vec<u8> = matrix
        .as_slice()
        .iter()
        .flat_map(|x| x.to_le_bytes())
        .collect();
    let flat = Flat {
        rows: matrix.rows(),
        cols: matrix.cols(),
        data: &data,
    };
    rmp_serde::to_vec_named(&flat)
        .map_err(|error| ApiError::new(ErrorCode::Internal, error.to_string()))
}

fn read(npy: &[u8], limits: &Limits) -> Result<Matrix<f64>, ApiError> {
    parse_npy(npy, limits.matrix_elements)
        .and_then(|(matrix, _)| Ok(matrix.into_f64()?))
        .map_err(|error| ApiError::new(ErrorCode::Internal, format!("stored result: {error}")))
}
