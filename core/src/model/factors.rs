//! p_u · q_i: the taste, by stochastic gradient descent.

use super::biases::{Biases, Rated};
use crate::{
    control::{Control, Stopped},
    rng::Rng,
};

/// Numbers that are added side by side: factor vectors are padded to a multiple of it.
const LANES: usize = 8;
/// Standard deviation of the first factors.
const START_DEVIATION: f64 = 0.1;
/// Ratings between two checkpoints: below a millisecond.
const BLOCK: usize = 1 << 13;

/// Factor vectors of all users, then of all items, each padded with zeros to `width`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Factors {
    pub(super) width: usize,
    pub(super) users: Vec<f32>,
    pub(super) items: Vec<f32>,
}

/// One epoch's parameters.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    pub(super) rate: f32,
    pub(super) regularization: f32,
}

impl Factors {
    /// Small random ones.
    pub(super) fn new(users: usize, items: usize, factors: usize, rng: &mut Rng) -> Self {
        let width = factors.next_multiple_of(LANES);
        let mut random = |count: usize| {
            let mut values = vec![0.0; count * width];
            if width > 0 {
                for vector in values.chunks_exact_mut(width) {
                    for value in &mut vector[..factors] {
                        *value = (rng.normal() * START_DEVIATION) as f32;
                    }
                }
            }
            values
        };
        Self {
            width,
            users: random(users),
            items: random(items),
        }
    }

    /// p_u · q_i; 0 for an unknown user or item.
    pub(super) fn dot(&self, user: u32, item: u32) -> f32 {
        let start = |index: u32| index as usize * self.width;
        let (u, i) = (start(user), start(item));
        match (
            self.users.get(u..u + self.width),
            self.items.get(i..i + self.width),
        ) {
            (Some(p), Some(q)) => dot(p, q),
            _ => 0.0,
        }
    }

    /// Multiplies every p·q.
    pub(super) fn scale(&mut self, by: f32) {
        self.users.iter_mut().for_each(|v| *v *= by);
    }

    /// One pass over the ratings in their order, `done` of `total` passes before it.
    pub(super) fn epoch(
        &mut self,
        ratings: &[Rated],
        biases: &Biases,
        step: Step,
        progress: &mut Progress<'_, impl Control>,
    ) -> Result<(), Stopped> {
        for block in ratings.chunks(BLOCK) {
            for rated in block {
                let (u, i) = (
                    rated.user as usize * self.width,
                    rated.item as usize * self.width,
                );
                let p = &mut self.users[u..u + self.width];
                let q = &mut self.items[i..i + self.width];
                let predicted = biases.predict(rated.user, rated.item) + f64::from(dot(p, q));
                let error = (f64::from(rated.rating) - predicted) as f32;
                for (p, q) in p.iter_mut().zip(q) {
                    let (old_p, old_q) = (*p, *q);
                    *p += step.rate * (error * old_q - step.regularization * old_p);
                    *q += step.rate * (error * old_p - step.regularization * old_q);
                }
            }
            progress.add(block.len() as u64)?;
        }
        Ok(())
    }
}

/// Adds in lanes and then the lanes, always in the same order.
fn dot(p: &[f32], q: &[f32]) -> f32 {
    let mut lanes = [0.0f32; LANES];
    for (p, q) in p.chunks_exact(LANES).zip(q.chunks_exact(LANES)) {
        for (lane, (p, q)) in lanes.iter_mut().zip(p.iter().zip(q)) {
            *lane += p * q;
        }
    }
    lanes.iter().sum()
}

/// Counts ratings passed over.
pub(super) struct Progress<'a, C> {
    pub(super) control: &'a C,
    pub(super) done: u64,
    pub(super) total: u64,
}

impl<C: Control> Progress<'_, C> {
    fn add(&mut self, ratings: u64) -> Result<(), Stopped> {
        self.done += ratings;
        self.control
            .checkpoint(self.done.min(self.total), self.total)
    }
}
