//! A queue of bounded length that forgets its oldest element.

use std::collections::{VecDeque, vec_deque};

use super::{BufferError, ELEMENTS_MAX, check};

/// The last `capacity` elements pushed. Every operation is O(1); memory grows with the elements up
/// to the capacity, and pushes into a full buffer allocate nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CircularBuffer<T> {
    items: VecDeque<T>,
    capacity: usize,
}

impl<T> CircularBuffer<T> {
    /// An empty buffer.
    ///
    /// # Errors
    /// [`BufferError::Config`] unless `capacity` is 1 to [`ELEMENTS_MAX`].
    pub fn new(capacity: usize) -> Result<Self, BufferError> {
        check("capacity", capacity, 1, ELEMENTS_MAX)?;
        Ok(Self {
            items: VecDeque::new(),
            capacity,
        })
    }

    /// Appends an element; a full buffer gives up its oldest for it and returns it.
    pub fn push(&mut self, item: T) -> Option<T> {
        let oldest = if self.items.len() == self.capacity {
            self.items.pop_front()
        } else {
            None
        };
        if self.items.len() == self.items.capacity() {
            let more = self
                .items
                .len()
                .max(4)
                .min(self.capacity - self.items.len());
            self.items.reserve_exact(more);
        }
        self.items.push_back(item);
        oldest
    }

    /// Takes the oldest element.
    pub fn pop(&mut self) -> Option<T> {
        self.items.pop_front()
    }

    /// The oldest element kept.
    pub fn peek(&self) -> Option<&T> {
        self.items.front()
    }

    /// The newest element.
    pub fn newest(&self) -> Option<&T> {
        self.items.back()
    }

    /// Forgets all elements.
    pub fn clear(&mut self) {
        self.items.clear();
    }

    /// Elements kept.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether no element is kept.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Most elements kept.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// From the oldest to the newest.
    pub fn iter(&self) -> vec_deque::Iter<'_, T> {
        self.items.iter()
    }

    /// Heap bytes of the elements' places, without what they point to.
    pub fn memory_usage(&self) -> usize {
        self.items.capacity() * size_of::<T>()
    }
}

impl<'a, T> IntoIterator for &'a CircularBuffer<T> {
    type Item = &'a T;
    type IntoIter = vec_deque::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
