//! Ratings out of the forms in which callers have them.

use super::ratings::{Ratings, RatingsBuilder, RatingsError};
use crate::{id::Key, limits::Limits};

impl Ratings {
    /// From rows: each entity with its items and ratings. Rows of the same entity are merged.
    ///
    /// # Errors
    /// [`RatingsError`]: a rating that is not finite, or too many.
    pub fn from_rows<I, R>(rows: I, limits: &Limits) -> Result<Self, RatingsError>
    where
        I: IntoIterator<Item = (Key, R)>,
        R: IntoIterator<Item = (Key, f32)>,
    {
        let mut builder = RatingsBuilder::new(limits);
        for (entity, row) in rows {
            let entity = builder.entity(entity)?;
            for (item, rating) in row {
                builder.rate(entity, item, rating)?;
            }
        }
        Ok(builder.build())
    }

    /// From three arrays of equal length: who, what, how much.
    ///
    /// # Errors
    /// [`RatingsError`].
    pub fn from_triplets(
        entities: &[Key],
        items: &[Key],
        ratings: &[f32],
        limits: &Limits,
    ) -> Result<Self, RatingsError> {
        Self::triplets(
            entities.iter().cloned(),
            items.iter().cloned(),
            ratings,
            limits,
        )
    }

    /// As [`Ratings::from_triplets`], with integer ids (those from 2^63 on become text).
    ///
    /// # Errors
    /// [`RatingsError`].
    pub fn from_integer_triplets(
        entities: &[u64],
        items: &[u64],
        ratings: &[f32],
        limits: &Limits,
    ) -> Result<Self, RatingsError> {
        let key =
            |&n: &u64| i64::try_from(n).map_or_else(|_| Key::Text(n.to_string().into()), Key::Int);
        Self::triplets(
            entities.iter().map(key),
            items.iter().map(key),
            ratings,
            limits,
        )
    }

    fn triplets(
        entities: impl ExactSizeIterator<Item = Key>,
        items: impl ExactSizeIterator<Item = Key>,
        ratings: &[f32],
        limits: &Limits,
    ) -> Result<Self, RatingsError> {
        if entities.len() != ratings.len() || items.len() != ratings.len() {
            return Err(RatingsError::LengthMismatch {
                entities: entities.len(),
                items: items.len(),
                ratings: ratings.len(),
            });
        }
        let mut builder = RatingsBuilder::new(limits);
        for ((entity, item), &rating) in entities.zip(items).zip(ratings) {
            let entity = builder.entity(entity)?;
            builder.rate(entity, item, rating)?;
        }
        Ok(builder.build())
    }

    /// From compressed sparse rows over positions: entity `e` rated `items[offsets[e]..offsets[e +
    /// 1]]`. Entities and items are then called by their positions, [`Key::Int`]; an item that
    /// nobody rated does not exist. Hashes each entity and item once, and no rating.
    ///
    /// # Errors
    /// [`RatingsError::Offsets`], [`RatingsError`] as for the other forms.
    pub fn from_csr(
        offsets: &[u32],
        items: &[u32],
        ratings: &[f32],
        limits: &Limits,
    ) -> Result<Self, RatingsError> {
        let rising = offsets.is_sorted() && offsets.first() == Some(&0);
        let end = offsets.last().map_or(0, |&end| end as usize);
        if !rising || end != items.len() || end != ratings.len() {
            return Err(RatingsError::Offsets {
                items: items.len(),
                ratings: ratings.len(),
            });
        }
        // A position is a name: it may be any u32, but a table of all of them only pays when most
        // are used.
        let positions = items.iter().max().map_or(0, |&most| most as usize + 1);
        let mut known = vec![u32::MAX; positions.min(items.len().saturating_mul(4))];
        let mut builder = RatingsBuilder::new(limits);
        let mut at = items.iter().zip(ratings);
        for (row, ends) in offsets.windows(2).enumerate() {
            let entity = builder.entity(Key::Int(row as i64))?;
            let length = (ends[1] - ends[0]) as usize;
            for (&position, &rating) in at.by_ref().take(length) {
                let key = || Key::Int(i64::from(position));
                let item = match known.get_mut(position as usize) {
                    Some(known) if *known != u32::MAX => *known,
                    Some(known) => {
                        *known = builder.item(key());
                        *known
                    }
                    None => builder.item(key()),
                };
                builder.rate_indexed(entity, item, rating)?;
            }
        }
        Ok(builder.build())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_give_what_rows_of_numbers_give() {
        let limits = Limits::default();
        let (offsets, items) = ([0, 3, 3, 5], [7, 2, 7, 4_000_000_000, 2]);
        let ratings = [1.0, 2.0, 3.0, 4.0, 5.0];
        let csr = Ratings::from_csr(&offsets, &items, &ratings, &limits).unwrap();
        let rows = (0..3).map(|row| {
            let range = offsets[row] as usize..offsets[row + 1] as usize;
            let row_items = range.map(|i| (Key::Int(i64::from(items[i])), ratings[i]));
            (Key::Int(row as i64), row_items.collect::<Vec<_>>())
        });
        let rows = Ratings::from_rows(rows, &limits).unwrap();
        assert_eq!(csr.len(), 3);
        for row in 0..3 {
            assert_eq!(csr.row(row), rows.row(row));
            assert_eq!(csr.entity(row), rows.entity(row));
        }
        assert_eq!(csr.item(1), rows.item(1));
    }

    #[test]
    fn offsets_that_do_not_fit_are_refused() {
        let limits = Limits::default();
        for offsets in [&[][..], &[1, 2], &[0, 2, 1], &[0, 1]] {
            let refused = Ratings::from_csr(offsets, &[1, 2], &[1.0, 2.0], &limits);
            assert!(
                matches!(refused, Err(RatingsError::Offsets { .. })),
                "{offsets:?}"
            );
        }
        let refused = Ratings::from_csr(&[0, 1], &[1], &[f32::NAN], &limits);
        assert!(matches!(refused, Err(RatingsError::NotFinite { .. })));
    }
}
