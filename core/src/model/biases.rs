//! μ + b_u + b_i: what users and items tend to, without their taste.

use serde::{Deserialize, Serialize};

/// One known rating.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rated {
    pub(super) user: u32,
    pub(super) item: u32,
    pub(super) rating: f32,
}

/// Ratings of 0 that every item is taken to have beside its own (Koren 2010, section 2.1, in the
/// alternating form and with the values that scikit-surprise's baselines use).
const ITEM_SHRINKAGE: f64 = 10.0;
/// The same for users.
const USER_SHRINKAGE: f64 = 15.0;
/// Rounds of alternation; the biases change by less than 0.1 % after them.
const ROUNDS: usize = 10;

/// The mean and the biases by user and item.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Biases {
    pub(super) mean: f64,
    pub(super) users: Vec<f32>,
    pub(super) items: Vec<f32>,
}

impl Biases {
    /// Fits them. O(ratings); users and items without ratings get 0.
    pub(super) fn fit(ratings: &[Rated], users: usize, items: usize) -> Self {
        let sum: f64 = ratings.iter().map(|r| f64::from(r.rating)).sum();
        let mean = sum / ratings.len().max(1) as f64;
        let (mut of_users, mut of_items) = (vec![0.0f64; users], vec![0.0f64; items]);
        for _ in 0..ROUNDS {
            of_items = shrunk_means(ratings, items, ITEM_SHRINKAGE, |r| {
                (
                    r.item,
                    f64::from(r.rating) - mean - of_users[r.user as usize],
                )
            });
            of_users = shrunk_means(ratings, users, USER_SHRINKAGE, |r| {
                (
                    r.user,
                    f64::from(r.rating) - mean - of_items[r.item as usize],
                )
            });
        }
        let narrow = |values: Vec<f64>| values.into_iter().map(|v| v as f32).collect();
        Self {
            mean,
            users: narrow(of_users),
            items: narrow(of_items),
        }
    }

    /// The prediction; an unknown user or item adds nothing.
    pub(super) fn predict(&self, user: u32, item: u32) -> f64 {
        let of_user = self.users.get(user as usize).copied().unwrap_or(0.0);
        let of_item = self.items.get(item as usize).copied().unwrap_or(0.0);
        self.mean + f64::from(of_user) + f64::from(of_item)
    }
}

fn shrunk_means(
    ratings: &[Rated],
    len: usize,
    shrinkage: f64,
    rest: impl Fn(&Rated) -> (u32, f64),
) -> Vec<f64> {
    let mut sums = vec![(0.0, shrinkage); len];
    for rated in ratings {
        let (index, value) = rest(rated);
        let (sum, weight) = &mut sums[index as usize];
        *sum += value;
        *weight += 1.0;
    }
    sums.into_iter().map(|(sum, weight)| sum / weight).collect()
}
