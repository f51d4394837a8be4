//! Parallelism as an argument. Chunks are fixed by the caller, never by the number of threads, so
//! a result is the same, to the bit, for any degree of parallelism.

#[cfg(feature = "rayon")]
mod shared;

/// How a kernel may spread its chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Par {
    /// In the calling thread.
    #[default]
    Seq,
    /// In the calling thread and those of the rayon pool that it is in (or the global one).
    #[cfg(feature = "rayon")]
    Rayon,
}

impl Par {
    /// `f(0), f(1), .., f(chunks - 1)` in this order, computed in any order. The first error by
    /// chunk number wins; chunks not yet begun are then skipped.
    ///
    /// # Errors
    /// The error of the first failing chunk.
    pub fn try_map<T, E, F>(self, chunks: usize, f: F) -> Result<Vec<T>, E>
    where
        T: Send,
        E: Send,
        F: Fn(usize) -> Result<T, E> + Sync + Send,
    {
        match self {
            Self::Seq => (0..chunks).map(f).collect(),
            #[cfg(feature = "rayon")]
            Self::Rayon => shared::try_map(chunks, self.threads(), f),
        }
    }

    /// Threads that may work at once.
    #[must_use]
    pub fn threads(self) -> usize {
        match self {
            Self::Seq => 1,
            #[cfg(feature = "rayon")]
            Self::Rayon => rayon::current_num_threads(),
        }
    }
}
