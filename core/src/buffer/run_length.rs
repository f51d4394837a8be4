//! An array that stores a long run of equal elements once.

use super::{BufferError, ELEMENTS_MAX, check};

/// How a [`RunLengthArray`] compresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunLengthConfig {
    /// Shortest run that is stored as one, 2 to [`ELEMENTS_MAX`]. Default 3: a shorter one would
    /// cost more than its elements.
    pub threshold: usize,
    /// Most elements, runs counted in full, 1 to [`ELEMENTS_MAX`], which is the default.
    pub max_len: usize,
}

impl Default for RunLengthConfig {
    fn default() -> Self {
        Self {
            threshold: 3,
            max_len: ELEMENTS_MAX,
        }
    }
}

/// A stretch of the array: either one value many times or values as they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Segment {
    /// Position of its first element in the array.
    start: u32,
    /// Position of its first value among the values.
    value: u32,
    run: bool,
}

/// An append-only array in which each run of at least `threshold` equal elements occupies one
/// value and 12 bytes. Shorter runs are kept as they are; a stretch of them costs 12 bytes once.
/// Elements unequal to themselves (NaN) never form runs.
#[derive(Debug, Clone, PartialEq)]
pub struct RunLengthArray<T> {
    config: RunLengthConfig,
    segments: Vec<Segment>,
    values: Vec<T>,
    len: usize,
    /// Equal elements at the end of the array.
    tail: usize,
}

impl<T: PartialEq> RunLengthArray<T> {
    /// An empty array.
    ///
    /// # Errors
    /// [`BufferError::Config`] when `config` is out of range.
    pub fn new(config: RunLengthConfig) -> Result<Self, BufferError> {
        check("threshold", config.threshold, 2, ELEMENTS_MAX)?;
        check("maxLen", config.max_len, 1, ELEMENTS_MAX)?;
        Ok(Self {
            config,
            segments: Vec::new(),
            values: Vec::new(),
            len: 0,
            tail: 0,
        })
    }

    /// Appends an element. O(1) amortized.
    ///
    /// # Errors
    /// [`BufferError::Full`] when the array holds `max_len` elements.
    pub fn push(&mut self, item: T) -> Result<(), BufferError> {
        if self.len >= self.config.max_len {
            return Err(BufferError::Full { len: self.len });
        }
        let equal = self.values.last() == Some(&item);
        self.tail = if equal { self.tail + 1 } else { 1 };
        let in_run = self.segments.last().is_some_and(|s| s.run);
        if !(equal && in_run) {
            if in_run || self.segments.is_empty() {
                self.open(false);
            }
            self.values.push(item);
        }
        self.len += 1;
        if equal && !in_run && self.tail == self.config.threshold {
            self.close_run();
        }
        Ok(())
    }

    /// The element at `index`. O(log segments).
    pub fn get(&self, index: usize) -> Option<&T> {
        if index >= self.len {
            return None;
        }
        let after = self.segments.partition_point(|s| s.start as usize <= index);
        let segment = self.segments.get(after.checked_sub(1)?)?;
        let offset = if segment.run {
            0
        } else {
            index - segment.start as usize
        };
        self.values.get(segment.value as usize + offset)
    }

    /// All elements in order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        let ends = self
            .segments
            .iter()
            .skip(1)
            .map(|s| s.start as usize)
            .chain([self.len]);
        self.segments
            .iter()
            .zip(ends)
            .flat_map(move |(segment, end)| {
                (0..end - segment.start as usize).filter_map(move |offset| {
                    let offset = if segment.run { 0 } else { offset };
                    self.values.get(segment.value as usize + offset)
                })
            })
    }

    /// Elements, runs counted in full.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing was pushed.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Values stored: one a run, and all elements outside runs.
    pub fn stored(&self) -> usize {
        self.values.len()
    }

    /// Heap bytes of values and segments, without what values point to.
    pub fn memory_usage(&self) -> usize {
        self.values.capacity() * size_of::<T>() + self.segments.capacity() * size_of::<Segment>()
    }

    /// Begins a segment at the end of the array.
    fn open(&mut self, run: bool) {
        // Both below ELEMENTS_MAX.
        let (start, value) = (self.len as u32, self.values.len() as u32);
        self.segments.push(Segment { start, value, run });
    }

    /// Turns the last `threshold` elements, which are equal, into a run.
    fn close_run(&mut self) {
        let run = self.config.threshold;
        self.values.truncate(self.values.len() + 1 - run);
        let (start, value) = ((self.len - run) as u32, self.values.len() as u32 - 1);
        // A stretch of which nothing is left gives its place to the run.
        if self.segments.last().is_some_and(|s| s.start == start) {
            self.segments.pop();
        }
        self.segments.push(Segment {
            start,
            value,
            run: true,
        });
    }
}
