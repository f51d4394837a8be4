//! Inputs that are read straight into their compact form: ratings and matrices.

use core::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{
    id::Key,
    limits::Limits,
    matrix::{Matrix, MatrixError, NpyError, parse_npy},
    similarity::{Ratings, RatingsBuilder, RatingsError},
    wire::error::{ApiError, ErrorCode},
};

/// Ratings by entity (`entities`) or as triplets (`users`, `items`, `ratings`).
#[derive(Debug, Deserialize)]
pub(super) struct RatingsInput<'a> {
    #[serde(borrow)]
    pub entities: Option<&'a RawValue>,
    pub users: Option<Vec<Key>>,
    pub items: Option<Vec<Key>>,
    pub ratings: Option<Vec<f32>>,
}

impl RatingsInput<'_> {
    /// Reads whichever form is given.
    pub(super) fn read(self, limits: &Limits) -> Result<Ratings, ApiError> {
        match self {
            Self {
                entities: Some(raw),
                users: None,
                ..
            } => entities(raw, limits),
            Self {
                entities: None,
                users: Some(users),
                items: Some(items),
                ratings: Some(values),
            } => Ratings::from_triplets(&users, &items, &values, limits)
                .map_err(|error| refused("data", &error)),
            _ => Err(ApiError::missing(
                "data.entities",
                "Entities are required: either data.entities as [{id, ratings: [{item_id, rating}]}] \
                 or data.users, data.items and data.ratings as arrays of equal length",
            )),
        }
    }
}

fn refused(field: &str, error: &RatingsError) -> ApiError {
    match error {
        RatingsError::TooManyEntities { .. } | RatingsError::TooManyRatings { .. } => {
            ApiError::new(ErrorCode::LimitExceeded, format!("{field}: {error}"))
                .at(field.to_owned())
        }
        _ => ApiError::invalid(field, error),
    }
}

/// `[{id, ratings: [{item_id, rating}]}]`, without a temporary object for any rating.
fn entities(raw: &RawValue, limits: &Limits) -> Result<Ratings, ApiError> {
    let mut sink = Sink {
        builder: RatingsBuilder::new(limits),
        entity: 0,
        rating: None,
        refused: None,
    };
    let mut de = serde_json::Deserializer::from_str(raw.get());
    if let Err(error) = Entities(&mut sink).deserialize(&mut de) {
        let at = match sink.rating {
            Some(rating) => format!("data.entities[{}].ratings[{rating}]", sink.entity),
            None => format!("data.entities[{}]", sink.entity),
        };
        return Err(match sink.refused {
            Some(error) => refused(&at, &error),
            None => {
                let what = error.to_string();
                ApiError::invalid(&at, what.split(" at line ").next().unwrap_or(&what))
            }
        });
    }
    Ok(sink.builder.build())
}

/// Where the ratings go, and where reading stands.
struct Sink {
    builder: RatingsBuilder,
    entity: usize,
    rating: Option<usize>,
    refused: Option<RatingsError>,
}

impl Sink {
    fn keep<T, E: de::Error>(&mut self, result: Result<T, RatingsError>) -> Result<T, E> {
        result.map_err(|error| {
            let message = E::custom(&error);
            self.refused = Some(error);
            message
        })
    }
}

struct Entities<'s>(&'s mut Sink);

impl<'de> DeserializeSeed<'de> for Entities<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, de: D) -> Result<(), D::Error> {
        de.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Entities<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of entities")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(Entity(self.0))?.is_some() {
            self.0.entity += 1;
        }
        Ok(())
    }
}

struct Entity<'s>(&'s mut Sink);

impl<'de> DeserializeSeed<'de> for Entity<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, de: D) -> Result<(), D::Error> {
        de.deserialize_map(self)
    }
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum EntityField {
    Id,
    Ratings,
    #[serde(other)]
    Other,
}

impl<'de> Visitor<'de> for Entity<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an entity {id, ratings}")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut index = None;
        // Only filled when `ratings` comes before `id`.
        let mut early: Option<Vec<Rating>> = None;
        let mut seen = false;
        while let Some(field) = map.next_key()? {
            match (field, index) {
                (EntityField::Id, _) => {
                    let key: Key = map.next_value()?;
                    let entity = self.0.builder.entity(key);
                    index = Some(self.0.keep(entity)?);
                }
                (EntityField::Ratings, Some(entity)) => {
                    seen = true;
                    map.next_value_seed(RatingList {
                        sink: self.0,
                        entity,
                    })?;
                }
                (EntityField::Ratings, None) => {
                    seen = true;
                    early = Some(map.next_value()?);
                }
                (EntityField::Other, _) => {
                    map.next_value::<de::IgnoredAny>()?;
                }
            }
        }
        let entity = index.ok_or_else(|| de::Error::missing_field("id"))?;
        if !seen {
            return Err(de::Error::missing_field("ratings"));
        }
        for rating in early.into_iter().flatten() {
            let result = self.0.builder.rate(entity, rating.item, rating.rating);
            self.0.keep(result)?;
        }
        Ok(())
    }
}

struct RatingList<'s> {
    sink: &'s mut Sink,
    entity: u32,
}

impl<'de> DeserializeSeed<'de> for RatingList<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, de: D) -> Result<(), D::Error> {
        de.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for RatingList<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of ratings {item_id, rating}")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        self.sink.rating = Some(0);
        while let Some(rating) = seq.next_element::<Rating>()? {
            let result = self
                .sink
                .builder
                .rate(self.entity, rating.item, rating.rating);
            self.sink.keep(result)?;
            self.sink.rating = self.sink.rating.map(|n| n + 1);
        }
        self.sink.rating = None;
        Ok(())
    }
}

#[derive(Deserialize)]
struct Rating {
    #[serde(rename = "item_id", alias = "itemId", alias = "item")]
    item: Key,
    rating: f32,
}

/// The next of several concatenated NPY arrays.
pub(super) fn read_npy(
    field: &str,
    bytes: &[u8],
    at: &mut usize,
    limits: &Limits,
) -> Result<Matrix<f64>, ApiError> {
    let rest = bytes
        .get(*at..)
        .filter(|rest| !rest.is_empty())
        .ok_or_else(|| {
            ApiError::invalid(
                field,
                "expected one more NPY array; several stand one after the other",
            )
        })?;
    let (matrix, consumed) =
        parse_npy(rest, limits.matrix_elements).map_err(|error| match error {
            NpyError::Matrix(MatrixError::TooLarge { .. }) => {
                ApiError::new(ErrorCode::LimitExceeded, format!("{field}: {error}"))
                    .at(field.to_owned())
            }
            other => ApiError::invalid(field, other),
        })?;
    *at += consumed;
    matrix
        .into_f64()
        .map_err(|error| ApiError::invalid(field, error))
}

/// A matrix as nested rows `[[1, 2], [3, 4]]` or flat `{rows, cols, data}`.
#[derive(Debug)]
pub(super) struct MatrixInput {
    // Claims, not yet sizes: a claim may be more than this machine's usize.
    rows: u64,
    cols: u64,
    data: Vec<f64>,
}

impl MatrixInput {
    /// The matrix, checked.
    pub(super) fn read(self, field: &str, limits: &Limits) -> Result<Matrix<f64>, ApiError> {
        let elements = self.data.len();
        if elements > limits.matrix_elements {
            return Err(ApiError::over(
                field,
                "elements",
                elements,
                limits.matrix_elements as u64,
            ));
        }
        let (Ok(rows), Ok(cols)) = (usize::try_from(self.rows), usize::try_from(self.cols)) else {
            let (rows, cols) = (self.rows, self.cols);
            let what = format!("{rows} x {cols} needs {rows} * {cols} elements, got {elements}");
            return Err(ApiError::invalid(field, what));
        };
        Matrix::from_vec(rows, cols, self.data, limits.matrix_elements)
            .map_err(|error| ApiError::invalid(field, error))
    }
}

impl<'de> Deserialize<'de> for MatrixInput {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MatrixVisitor)
    }
}

struct MatrixVisitor;

impl<'de> Visitor<'de> for MatrixVisitor {
    type Value = MatrixInput;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a matrix: an array of rows of numbers, or {rows, cols, data}")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<MatrixInput, A::Error> {
        let mut matrix = MatrixInput {
            rows: 0,
            cols: 0,
            data: Vec::new(),
        };
        loop {
            let before = matrix.data.len();
            if seq.next_element_seed(Row(&mut matrix.data))?.is_none() {
                break;
            }
            let length = (matrix.data.len() - before) as u64;
            if matrix.rows == 0 {
                matrix.cols = length;
            } else if length != matrix.cols {
                return Err(de::Error::custom(format!(
                    "row {} has {length} numbers, row 0 has {}; all rows must be equally long",
                    matrix.rows, matrix.cols
                )));
            }
            matrix.rows += 1;
        }
        if matrix.data.is_empty() {
            return Err(de::Error::custom(
                "the matrix is empty; at least one number is expected",
            ));
        }
        Ok(matrix)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<MatrixInput, A::Error> {
        #[derive(Deserialize)]
        struct Flat {
            rows: u64,
            cols: u64,
            data: Elements,
        }
        let flat = Flat::deserialize(de::value::MapAccessDeserializer::new(map))?;
        Ok(MatrixInput {
            rows: flat.rows,
            cols: flat.cols,
            data: flat.data.0,
        })
    }
}

/// Numbers, or (in MessagePack) the bytes of little-endian f64s.
struct Elements(Vec<f64>);

impl<'de> Deserialize<'de> for Elements {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ElementsVisitor;
        impl<'de> Visitor<'de> for ElementsVisitor {
            type Value = Elements;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of numbers, or the bytes of little-endian f64s")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Elements, A::Error> {
                let mut data = Vec::new();
                while let Some(x) = seq.next_element()? {
                    data.push(x);
                }
                Ok(Elements(data))
            }
            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Elements, E> {
                let (numbers, rest) = bytes.as_chunks::<8>();
                if !rest.is_empty() {
                    return Err(E::invalid_length(bytes.len(), &"a multiple of 8 bytes"));
                }
                Ok(Elements(
                    numbers.iter().map(|b| f64::from_le_bytes(*b)).collect(),
                ))
            }
        }
        deserializer.deserialize_any(ElementsVisitor)
    }
}

struct Row<'v>(&'v mut Vec<f64>);

impl<'de> DeserializeSeed<'de> for Row<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, de: D) -> Result<(), D::Error> {
        de.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Row<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a row of numbers")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(x) = seq.next_element()? {
            self.0.push(x);
        }
        Ok(())
    }
}
