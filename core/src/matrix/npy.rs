//! NumPy's `.npy` files, versions 1.0 to 3.0.
//!
//! Format: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>: magic,
//! version, header length, a Python dictionary `{'descr': '<f8', 'fortran_order': False,
//! 'shape': (2, 3), }`, then the elements.

use thiserror::Error;

use super::{Element, Matrix, MatrixError, checked_len};

const MAGIC: &[u8] = b"\x93NUMPY";
/// Longest header read, bytes; NumPy itself reads at most 10,000.
const HEADER_BYTES_MAX: usize = 10_000;
/// Elements start at a multiple of this, as NumPy writes them.
const ALIGN: usize = 64;
/// Largest magnitude up to which every integer is an f64: 2⁵³.
const INTEGER_MAX: u64 = 1 << 53;

/// Why bytes are not an array that can be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NpyError {
    /// Not an `.npy` file.
    #[error("not an .npy array: it must start with \\x93NUMPY")]
    Magic,
    /// A version from the future.
    #[error("unsupported .npy version {0}.{1}; 1.0, 2.0 and 3.0 are supported")]
    Version(u8, u8),
    /// The bytes end early.
    #[error(".npy array is cut short: {needed} bytes needed, {len} given")]
    Truncated {
        /// Bytes that the array takes, as far as is known.
        needed: usize,
        /// Bytes given.
        len: usize,
    },
    /// A header too long or not as NumPy writes it.
    #[error("malformed .npy header: {0}")]
    Header(&'static str),
    /// An element type that is not supported.
    #[error(
        "unsupported .npy element type {0:?}; supported are little-endian \
         '<f4', '<f8', '<i4' and '<i8'"
    )]
    ElementType(String),
    /// No shape of a matrix.
    #[error("an .npy array of {0} dimensions is no matrix; 1 (a single row) or 2 are")]
    Dimensions(usize),
    /// An integer that f64 cannot hold exactly.
    #[error("integer at row {row}, column {col} is beyond 2^53 and would lose digits as f64")]
    IntegerTooLarge {
        /// Its row.
        row: usize,
        /// Its column.
        col: usize,
    },
    /// The matrix is empty, too large or holds NaN or infinity.
    #[error(transparent)]
    Matrix(#[from] MatrixError),
}

/// A matrix in the precision of its file.
#[derive(Debug, Clone, PartialEq)]
pub enum NpyMatrix {
    /// From `<f4`.
    F32(Matrix<f32>),
    /// From `<f8`, `<i4` or `<i8`.
    F64(Matrix<f64>),
}

impl NpyMatrix {
    /// As f64, whatever it was.
    ///
    /// # Errors
    /// None in practice: every f32 is an f64.
    pub fn into_f64(self) -> Result<Matrix<f64>, MatrixError> {
        match self {
            Self::F32(m) => m.convert(),
            Self::F64(m) => Ok(m),
        }
    }
}

/// Reads the array at the start of `bytes` and tells how many bytes it took, so that arrays one
/// after the other in a buffer are read by calling again on the rest. A 1-dimensional array is a
/// single row; Fortran order is turned into row-major.
///
/// At most `limit` elements; nothing is allocated before the header has passed and the elements
/// are known to be there.
///
/// # Errors
/// [`NpyError`].
pub fn parse_npy(bytes: &[u8], limit: usize) -> Result<(NpyMatrix, usize), NpyError> {
    let (header, start) = split_header(bytes)?;
    let header = Header::parse(header)?;
    let (rows, cols) = header.shape;
    let len = checked_len(rows, cols, limit)?;
    let needed = len
        .checked_mul(header.element.bytes())
        .and_then(|n| n.checked_add(start))
        .ok_or(MatrixError::TooLarge { rows, cols, limit })?;
    let Some(data) = bytes.get(start..needed) else {
        let len = bytes.len();
        return Err(NpyError::Truncated { needed, len });
    };
    let matrix = match header.element {
        NpyElement::F4 => {
            NpyMatrix::F32(header.matrix(data, limit, |b| Ok(f32::from_le_bytes(b)))?)
        }
        NpyElement::F8 => {
            NpyMatrix::F64(header.matrix(data, limit, |b| Ok(f64::from_le_bytes(b)))?)
        }
        NpyElement::I4 => {
            let convert = |b| Ok(f64::from(i32::from_le_bytes(b)));
            NpyMatrix::F64(header.matrix(data, limit, convert)?)
        }
        NpyElement::I8 => NpyMatrix::F64(header.matrix(data, limit, |b| {
            let value = i64::from_le_bytes(b);
            if value.unsigned_abs() > INTEGER_MAX {
                return Err(());
            }
            Ok(value as f64)
        })?),
    };
    Ok((matrix, needed))
}

/// Appends `matrix` as an `.npy` array (version 1.0, `<f4` or `<f8`, C order) to `out`.
pub fn write_npy<T: Element>(matrix: &Matrix<T>, out: &mut Vec<u8>) {
    let single = size_of::<T>() == size_of::<f32>();
    let descr = if single { "<f4" } else { "<f8" };
    let mut header = format!(
        "{{'descr': '{descr}', 'fortran_order': False, 'shape': ({}, {}), }}",
        matrix.rows(),
        matrix.cols()
    );
    // Magic, version and length take 10 bytes, the newline 1.
    let unpadded = 10 + header.len() + 1;
    header.extend(std::iter::repeat_n(
        ' ',
        unpadded.next_multiple_of(ALIGN) - unpadded,
    ));
    header.push('\n');
    out.reserve(10 + header.len() + size_of_val(matrix.as_slice()));
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&[1, 0]);
    // A header of two numbers is far below 64 KiB.
    out.extend_from_slice(&(header.len() as u16).to_le_bytes());
    out.extend_from_slice(header.as_bytes());
    for value in matrix.as_slice() {
        let value = value.to_f64();
        if single {
            out.extend_from_slice(&(value as f32).to_le_bytes());
        } else {
            out.extend_from_slice(&value.to_le_bytes());
        }
    }
}

/// The header's text and where the elements start.
fn split_header(bytes: &[u8]) -> Result<(&str, usize), NpyError> {
    let magic = bytes
        .get(..MAGIC.len().min(bytes.len()))
        .unwrap_or_default();
    if !MAGIC.starts_with(magic) {
        return Err(NpyError::Magic);
    }
    let truncated = |needed| NpyError::Truncated {
        needed,
        len: bytes.len(),
    };
    let &[_, _, _, _, _, _, major, minor, low, high, ref rest @ ..] = bytes else {
        return Err(truncated(10));
    };
    let short = usize::from(u16::from_le_bytes([low, high]));
    let (before, len) = match (major, minor) {
        (1, 0) => (10, short),
        (2 | 3, 0) => {
            let &[third, fourth, ..] = rest else {
                return Err(truncated(12));
            };
            (12, u32::from_le_bytes([low, high, third, fourth]) as usize)
        }
        _ => return Err(NpyError::Version(major, minor)),
    };
    if len > HEADER_BYTES_MAX {
        return Err(NpyError::Header("longer than 10000 bytes"));
    }
    let header = bytes
        .get(before..before + len)
        .ok_or(truncated(before + len))?;
    let text = str::from_utf8(header).map_err(|_| NpyError::Header("not UTF-8"))?;
    Ok((text, before + len))
}

#[derive(Clone, Copy)]
enum NpyElement {
    F4,
    F8,
    I4,
    I8,
}

impl NpyElement {
    fn bytes(self) -> usize {
        match self {
            Self::F4 | Self::I4 => 4,
            Self::F8 | Self::I8 => 8,
        }
    }
}

struct Header {
    element: NpyElement,
    fortran: bool,
    shape: (usize, usize),
}

impl Header {
    fn parse(text: &str) -> Result<Self, NpyError> {
        let mut cursor = Cursor(text);
        let (mut element, mut fortran, mut shape) = (None, None, None);
        cursor.expect("{")?;
        while !cursor.take("}") {
            let key = cursor.string()?;
            cursor.expect(":")?;
            match key {
                "descr" => element = Some(cursor.element()?),
                "fortran_order" => fortran = Some(cursor.boolean()?),
                "shape" => shape = Some(cursor.shape()?),
                _ => return Err(NpyError::Header("unknown key")),
            }
            if !cursor.take(",") {
                cursor.expect("}")?;
                break;
            }
        }
        if !cursor.0.trim().is_empty() {
            return Err(NpyError::Header("text after the dictionary"));
        }
        match (element, fortran, shape) {
            (Some(element), Some(fortran), Some(shape)) => Ok(Self {
                element,
                fortran,
                shape,
            }),
            _ => Err(NpyError::Header(
                "needs 'descr', 'fortran_order' and 'shape'",
            )),
        }
    }

    /// `data` holds exactly the elements of the shape.
    fn matrix<T: Element, const N: usize>(
        &self,
        data: &[u8],
        limit: usize,
        convert: impl Fn([u8; N]) -> Result<T, ()>,
    ) -> Result<Matrix<T>, NpyError> {
        let (rows, cols) = self.shape;
        let (elements, _) = data.as_chunks::<N>();
        let mut values = Vec::with_capacity(elements.len());
        for (i, &bytes) in elements.iter().enumerate() {
            let (row, col) = if self.fortran {
                (i % rows, i / rows)
            } else {
                (i / cols, i % cols)
            };
            values.push(convert(bytes).map_err(|()| NpyError::IntegerTooLarge { row, col })?);
        }
        if !self.fortran {
            return Ok(Matrix::from_vec(rows, cols, values, limit)?);
        }
        let stored = Matrix::from_vec(cols, rows, values, limit).map_err(|e| match e {
            MatrixError::NonFinite { row, col } => MatrixError::NonFinite { row: col, col: row },
            other => other,
        })?;
        Ok(stored.transposed())
    }
}

/// What is left of the header.
struct Cursor<'a>(&'a str);

impl<'a> Cursor<'a> {
    fn take(&mut self, token: &str) -> bool {
        self.0 = self.0.trim_start();
        match self.0.strip_prefix(token) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, token: &'static str) -> Result<(), NpyError> {
        if self.take(token) {
            return Ok(());
        }
        Err(NpyError::Header(match token {
            "{" => "must start with {",
            ":" => "a key must be followed by :",
            "(" => "a shape must start with (",
            "," => "numbers of a shape must be separated by ,",
            _ => "must end with }",
        }))
    }

    fn string(&mut self) -> Result<&'a str, NpyError> {
        let quote = if self.take("'") {
            '\''
        } else if self.take("\"") {
            '"'
        } else {
            return Err(NpyError::Header("a quoted string is missing"));
        };
        let (text, rest) = self
            .0
            .split_once(quote)
            .ok_or(NpyError::Header("a string has no end"))?;
        self.0 = rest;
        Ok(text)
    }

    fn element(&mut self) -> Result<NpyElement, NpyError> {
        self.0 = self.0.trim_start();
        if self.0.starts_with(['[', '(']) {
            return Err(NpyError::ElementType("a structure".to_owned()));
        }
        match self.string()? {
            "<f4" => Ok(NpyElement::F4),
            "<f8" => Ok(NpyElement::F8),
            "<i4" => Ok(NpyElement::I4),
            "<i8" => Ok(NpyElement::I8),
            other => Err(NpyError::ElementType(other.chars().take(16).collect())),
        }
    }

    fn boolean(&mut self) -> Result<bool, NpyError> {
        if self.take("True") {
            Ok(true)
        } else if self.take("False") {
            Ok(false)
        } else {
            Err(NpyError::Header("'fortran_order' must be True or False"))
        }
    }

    fn shape(&mut self) -> Result<(usize, usize), NpyError> {
        self.expect("(")?;
        let mut sizes = Vec::new();
        while !self.take(")") {
            self.0 = self.0.trim_start();
            let end = self
                .0
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(self.0.len());
            let (digits, rest) = self.0.split_at(end);
            let size = digits
                .parse()
                .map_err(|_| NpyError::Header("a shape must hold numbers below 2^64"))?;
            sizes.push(size);
            self.0 = rest;
            if !self.take(",") && !self.0.trim_start().starts_with(')') {
                self.expect(",")?;
            }
        }
        match *sizes {
            [cols] => Ok((1, cols)),
            [rows, cols] => Ok((rows, cols)),
            _ => Err(NpyError::Dimensions(sizes.len())),
        }
    }
}

#[cfg(test)]
mod tests;
