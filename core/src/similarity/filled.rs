//! A vector whose parts are filled by several threads where they stay: filling it with something
//! first would be a serial pass over all of it. The only unsafe code of sorting.
#![allow(unsafe_code)]

use core::mem::MaybeUninit;
use std::sync::{Mutex, PoisonError};

use crate::{pages, par::Par};

/// A part of the vector: places in a row, filled from the first on.
pub(super) struct Part<'a, T> {
    places: &'a mut [MaybeUninit<T>],
    /// Places that hold a value.
    len: usize,
}

impl<T> Part<'_, T> {
    /// Puts the values into the next places; what does not fit is dropped.
    pub(super) fn extend(&mut self, values: impl Iterator<Item = T>) {
        for (place, value) in self.places[self.len..].iter_mut().zip(values) {
            place.write(value);
            self.len += 1;
        }
    }
}

/// The parts of these lengths one after the other, each as `fill` leaves it.
///
/// # Panics
/// When `fill` leaves a place empty.
pub(super) fn filled<T: Copy + Send>(
    lens: &[usize],
    par: Par,
    fill: impl Fn(usize, &mut Part<'_, T>) + Sync,
) -> Vec<T> {
    let total = lens.iter().sum();
    let mut all = Vec::with_capacity(total);
    pages::advise(all.spare_capacity_mut());
    let mut rest = &mut all.spare_capacity_mut()[..total];
    let cut = |&len: &usize| {
        let (places, later) = core::mem::take(&mut rest).split_at_mut(len);
        rest = later;
        Mutex::new(Part { places, len: 0 })
    };
    let parts: Vec<_> = lens.iter().map(cut).collect();
    let Ok(_) = par.try_map(parts.len(), |i| {
        let mut part = parts[i].lock().unwrap_or_else(PoisonError::into_inner);
        fill(i, &mut part);
        Ok::<_, core::convert::Infallible>(())
    });
    let full = parts.into_iter().all(|part| {
        let part = part.into_inner().unwrap_or_else(PoisonError::into_inner);
        part.len == part.places.len()
    });
    assert!(full, "places left empty");
    // SAFETY: the parts lie one after the other in the first `total` places, for which there is
    // capacity; a part counts the places that it has written, and each has written all of its own.
    unsafe {
        all.set_len(total);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_follow_each_other() {
        let all = filled(&[2, 0, 3], Par::Seq, |i, part| {
            part.extend(core::iter::once(10 * i));
            part.extend((1..).map(|j| 10 * i + j));
        });
        assert_eq!(all, [0, 1, 20, 21, 22]);
    }

    #[test]
    #[should_panic(expected = "places left empty")]
    fn a_place_left_empty_is_noticed() {
        filled(&[2, 2], Par::Seq, |_, part| part.extend([1].into_iter()));
    }
}
