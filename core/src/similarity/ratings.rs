//! Who rated what: rows of sorted item indices with their ratings (CSR).

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use thiserror::Error;

use core::hash::BuildHasher as _;

use crate::{id::Key, limits::Limits};

/// Why ratings were refused.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum RatingsError {
    /// Offsets of compressed rows that do not fit.
    #[error(
        "offsets must begin with 0, never fall, and end with the length of items ({items}) and of \
         ratings ({ratings})"
    )]
    Offsets {
        /// Items given.
        items: usize,
        /// Ratings given.
        ratings: usize,
    },
    /// A rating is NaN or infinite (also: beyond f32, ±3.4e38).
    #[error("the rating of item {item} by {entity} is {value}: a finite number is needed")]
    NotFinite {
        /// Who rated.
        entity: Key,
        /// What was rated.
        item: Key,
        /// The value.
        value: f32,
    },
    /// The three arrays of triplets differ in length.
    #[error(
        "{entities} entities, {items} items and {ratings} ratings: the arrays must be equally long"
    )]
    LengthMismatch {
        /// Length of the entity array.
        entities: usize,
        /// Length of the item array.
        items: usize,
        /// Length of the rating array.
        ratings: usize,
    },
    /// More entities than allowed.
    #[error("more than {max} entities, the limit")]
    TooManyEntities {
        /// The limit.
        max: usize,
    },
    /// More ratings than allowed, duplicates counted.
    #[error("more than {max} ratings, the limit")]
    TooManyRatings {
        /// The limit.
        max: usize,
    },
}

/// Ids in the order of first sight, with a table from id to index (about 5 bytes an id beside it).
#[derive(Debug, Clone, Default)]
struct Interner {
    keys: Vec<Key>,
    table: HashTable<u32>,
}

/// Fixed: the same table on every run.
const HASHER: FixedState = FixedState::with_seed(0x5151_5eed);

impl Interner {
    fn index(&self, key: &Key) -> Option<u32> {
        let same = |&i: &u32| self.keys[i as usize] == *key;
        self.table.find(HASHER.hash_one(key), same).copied()
    }

    fn intern(&mut self, key: Key) -> u32 {
        if let Some(index) = self.index(&key) {
            return index;
        }
        let index = self.keys.len() as u32;
        let hash = HASHER.hash_one(&key);
        self.keys.push(key);
        let keys = &self.keys;
        self.table
            .insert_unique(hash, index, |&i| HASHER.hash_one(&keys[i as usize]));
        index
    }
}

/// Ratings by entity (a user, or a wine after [`Ratings::transpose`]), immutable.
///
/// Entities and items get indices 0, 1, .. in the order of first sight. Each row is sorted by item
/// index. When an entity rates an item twice the last rating wins. Ratings are kept as `f32`, which
/// holds half steps exactly; sums over them are `f64`. Memory: 8 bytes a rating, and the ids.
#[derive(Debug, Clone, Default)]
pub struct Ratings {
    entities: Interner,
    items: Interner,
    /// `starts[a]..starts[a + 1]` is row a.
    starts: Vec<u32>,
    columns: Vec<u32>,
    values: Vec<f32>,
}

/// Collects ratings one by one; see [`Ratings`].
#[derive(Debug, Clone)]
pub struct RatingsBuilder {
    entities: Interner,
    items: Interner,
    rows: Vec<u32>,
    columns: Vec<u32>,
    values: Vec<f32>,
    entities_max: usize,
    ratings_max: usize,
}

impl RatingsBuilder {
    /// An empty one that accepts at most `limits.entities` and `limits.ratings`.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        Self {
            entities: Interner::default(),
            items: Interner::default(),
            rows: Vec::new(),
            columns: Vec::new(),
            values: Vec::new(),
            entities_max: limits.entities.min(u32::MAX as usize),
            ratings_max: limits.ratings.min(u32::MAX as usize),
        }
    }

    /// The index of an entity, known or new. An entity without ratings keeps an empty row.
    ///
    /// # Errors
    /// [`RatingsError::TooManyEntities`].
    pub fn entity(&mut self, key: Key) -> Result<u32, RatingsError> {
        let index = self.entities.intern(key);
        if index as usize >= self.entities_max {
            return Err(RatingsError::TooManyEntities {
                max: self.entities_max,
            });
        }
        Ok(index)
    }

    /// The index of an item, known or new.
    pub fn item(&mut self, key: Key) -> u32 {
        self.items.intern(key)
    }

    /// Adds one rating by the entity of that index.
    ///
    /// # Errors
    /// [`RatingsError::NotFinite`], [`RatingsError::TooManyRatings`].
    pub fn rate(&mut self, entity: u32, item: Key, rating: f32) -> Result<(), RatingsError> {
        if !rating.is_finite() {
            return Err(self.not_finite(entity, item, rating));
        }
        let item = self.items.intern(item);
        self.rate_indexed(entity, item, rating)
    }

    /// The same with the index of [`Self::item`]: no id is hashed.
    ///
    /// # Errors
    /// [`RatingsError::NotFinite`], [`RatingsError::TooManyRatings`].
    pub fn rate_indexed(
        &mut self,
        entity: u32,
        item: u32,
        rating: f32,
    ) -> Result<(), RatingsError> {
        if !rating.is_finite() {
            let item = self.items.keys[item as usize].clone();
            return Err(self.not_finite(entity, item, rating));
        }
        if self.values.len() >= self.ratings_max {
            return Err(RatingsError::TooManyRatings {
                max: self.ratings_max,
            });
        }
        self.rows.push(entity);
        self.columns.push(item);
        self.values.push(rating);
        Ok(())
    }

    fn not_finite(&self, entity: u32, item: Key, value: f32) -> RatingsError {
        RatingsError::NotFinite {
            entity: self.entities.keys[entity as usize].clone(),
            item,
            value,
        }
    }

    /// The ratings, in O(ratings + entities + items).
    #[must_use]
    pub fn build(self) -> Ratings {
        let (entities, items) = (self.entities, self.items);
        // Two stable counting sorts, by item and then by entity, leave every row sorted by item
        // and duplicates side by side in input order.
        let by_item = order_by(
            &self.columns,
            items.keys.len(),
            0..self.columns.len() as u32,
        );
        let order = order_by(&self.rows, entities.keys.len(), by_item.into_iter());
        let mut ratings = Ratings {
            starts: Vec::with_capacity(entities.keys.len() + 1),
            columns: Vec::with_capacity(order.len()),
            values: Vec::with_capacity(order.len()),
            entities,
            items,
        };
        let mut at = order.iter().map(|&i| i as usize).peekable();
        ratings.starts.push(0);
        for row in 0..ratings.entities.keys.len() as u32 {
            let start = ratings.columns.len();
            while let Some(i) = at.next_if(|&i| self.rows[i] == row) {
                let column = self.columns[i];
                if ratings.columns[start..].last() == Some(&column) {
                    ratings.columns.pop();
                    ratings.values.pop();
                }
                ratings.columns.push(column);
                ratings.values.push(self.values[i]);
            }
            ratings.starts.push(ratings.columns.len() as u32);
        }
        ratings
    }
}

/// The positions of `input`, stably sorted by their key (each below `keys_end`).
fn order_by(keys: &[u32], keys_end: usize, input: impl Iterator<Item = u32>) -> Vec<u32> {
    let mut next = vec![0u32; keys_end + 1];
    for &key in keys {
        next[key as usize + 1] += 1;
    }
    for k in 1..next.len() {
        next[k] += next[k - 1];
    }
    let mut order = vec![0; keys.len()];
    for i in input {
        let slot = &mut next[keys[i as usize] as usize];
        order[*slot as usize] = i;
        *slot += 1;
    }
    order
}

impl Ratings {
    /// The same ratings by item: rows are items, so that similarities are between items.
    /// O(ratings + items); an item that lost its only rating to a duplicate does not exist, so no
    /// row is empty.
    #[must_use]
    pub fn transpose(&self) -> Self {
        let mut starts = vec![0u32; self.items.keys.len() + 1];
        for &column in &self.columns {
            starts[column as usize + 1] += 1;
        }
        for k in 1..starts.len() {
            starts[k] += starts[k - 1];
        }
        let mut next = starts.clone();
        let mut columns = vec![0; self.columns.len()];
        let mut values = vec![0.0; self.columns.len()];
        for a in 0..self.len() {
            let (row, ratings) = self.row(a);
            for (&item, &rating) in row.iter().zip(ratings) {
                let slot = &mut next[item as usize];
                columns[*slot as usize] = a;
                values[*slot as usize] = rating;
                *slot += 1;
            }
        }
        Self {
            entities: self.items.clone(),
            items: self.entities.clone(),
            starts,
            columns,
            values,
        }
    }

    /// Entities, count (rows).
    #[must_use]
    pub fn len(&self) -> u32 {
        self.entities.keys.len() as u32
    }

    /// No entity at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entities.keys.is_empty()
    }

    /// Distinct items, count (columns).
    #[must_use]
    pub fn items_len(&self) -> u32 {
        self.items.keys.len() as u32
    }

    /// Ratings, count, duplicates removed.
    #[must_use]
    pub fn ratings_len(&self) -> usize {
        self.values.len()
    }

    /// Row `a`: item indices ascending, and the ratings beside them. Empty when out of range.
    #[must_use]
    pub fn row(&self, a: u32) -> (&[u32], &[f32]) {
        let range = self.range(a);
        (&self.columns[range.clone()], &self.values[range])
    }

    /// Where row `a` lies in the arrays of all ratings.
    pub(super) fn range(&self, a: u32) -> core::ops::Range<usize> {
        let a = a as usize;
        if a + 1 < self.starts.len() {
            self.starts[a] as usize..self.starts[a + 1] as usize
        } else {
            0..0
        }
    }

    /// Item indices of all ratings, row after row.
    pub(super) fn columns(&self) -> &[u32] {
        &self.columns
    }

    /// All ratings, row after row.
    pub(super) fn values(&self) -> &[f32] {
        &self.values
    }

    /// The id of entity `a`.
    #[must_use]
    pub fn entity(&self, a: u32) -> Option<&Key> {
        self.entities.keys.get(a as usize)
    }

    /// The id of item `i`.
    #[must_use]
    pub fn item(&self, i: u32) -> Option<&Key> {
        self.items.keys.get(i as usize)
    }

    /// The index of an entity, O(1).
    #[must_use]
    pub fn entity_index(&self, key: &Key) -> Option<u32> {
        self.entities.index(key)
    }

    /// The index of an item, O(1).
    #[must_use]
    pub fn item_index(&self, key: &Key) -> Option<u32> {
        self.items.index(key)
    }
}
