//! Rectangles of a result that threads write at the same time.
#![allow(unsafe_code)]

use std::{
    marker::PhantomData,
    mem::MaybeUninit,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

use super::gemm::{Block, Kernel, Right, product};
use crate::pages;

/// A row-major matrix cut into rectangles that threads write at the same time, each at most once.
pub(super) struct Tiles<'a, T> {
    data: *mut T,
    rows: usize,
    cols: usize,
    tile_rows: usize,
    tile_cols: usize,
    claimed: Vec<AtomicBool>,
    _data: PhantomData<&'a mut [T]>,
}

// SAFETY: a shared `Tiles` only hands out tiles, each once (`claimed`), and tiles do not overlap;
// so sharing it sends disjoint `&mut [T]` to threads, which is sound when T: Send.
unsafe impl<T: Send> Sync for Tiles<'_, T> {}
// SAFETY: it is a `&mut [T]` with bookkeeping.
unsafe impl<T: Send> Send for Tiles<'_, T> {}

impl<'a, T> Tiles<'a, T> {
    /// `data` must hold `rows * cols` elements, or there are no tiles.
    pub(super) fn new(
        data: &'a mut [T],
        (rows, cols): (usize, usize),
        (tile_rows, tile_cols): (usize, usize),
    ) -> Self {
        let fits = rows.checked_mul(cols) == Some(data.len()) && tile_rows > 0 && tile_cols > 0;
        debug_assert!(fits, "tiles of a matrix of another shape");
        let (rows, cols) = if fits { (rows, cols) } else { (0, 0) };
        let (tile_rows, tile_cols) = (tile_rows.max(1), tile_cols.max(1));
        let tiles = rows.div_ceil(tile_rows) * cols.div_ceil(tile_cols);
        Self {
            data: data.as_mut_ptr(),
            rows,
            cols,
            tile_rows,
            tile_cols,
            claimed: (0..tiles).map(|_| AtomicBool::new(false)).collect(),
            _data: PhantomData,
        }
    }

    /// How many there are, row by row.
    pub(super) fn len(&self) -> usize {
        self.claimed.len()
    }

    /// Tiles in one row of tiles.
    pub(super) fn across(&self) -> usize {
        self.cols.div_ceil(self.tile_cols)
    }

    /// Tile `index`, the first time it is asked for.
    pub(super) fn claim(&self, index: usize) -> Option<Tile<'_, T>> {
        // Relaxed: the flag guards against a second claim only; what a tile holds travels to the
        // caller with the join of the threads.
        if self.claimed.get(index)?.swap(true, Ordering::Relaxed) {
            return None;
        }
        let row = index / self.across() * self.tile_rows;
        let col = index % self.across() * self.tile_cols;
        Some(Tile {
            // SAFETY: row < rows and col < cols, since index < tiles; so the offset is inside
            // `data`, which holds rows * cols elements (checked in `new`).
            data: unsafe { self.data.add(row * self.cols + col) },
            row,
            col,
            rows: self.tile_rows.min(self.rows - row),
            cols: self.tile_cols.min(self.cols - col),
            stride: self.cols,
            _tiles: PhantomData,
        })
    }
}

/// A rectangle that its holder alone may use.
pub(super) struct Tile<'a, T> {
    data: *mut T,
    /// First row in the matrix.
    pub(super) row: usize,
    /// First column in the matrix.
    pub(super) col: usize,
    /// Rows of this tile.
    pub(super) rows: usize,
    /// Columns of this tile.
    pub(super) cols: usize,
    stride: usize,
    _tiles: PhantomData<&'a mut [T]>,
}

impl<'a, T> Tile<'a, T> {
    /// All of a matrix; an empty tile when `data` does not hold `rows * cols` elements.
    pub(super) fn whole(data: &'a mut [T], rows: usize, cols: usize) -> Self {
        let fits = rows.checked_mul(cols) == Some(data.len());
        debug_assert!(fits, "a tile of a matrix of another shape");
        Self {
            data: data.as_mut_ptr(),
            row: 0,
            col: 0,
            rows: if fits { rows } else { 0 },
            cols,
            stride: cols,
            _tiles: PhantomData,
        }
    }

    /// Row `row` of the tile; empty outside.
    pub(super) fn row_mut(&mut self, row: usize) -> &mut [T] {
        if row >= self.rows {
            return &mut [];
        }
        // SAFETY: the tile is `rows` rows of `cols` elements, `stride` apart, inside the matrix;
        // it was handed out once and `&mut self` makes this the only view of it.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(row * self.stride), self.cols) }
    }

    /// All of the tile, row after row; empty unless it is as wide as the matrix.
    pub(super) fn full_rows_mut(&mut self) -> &mut [T] {
        if self.cols != self.stride {
            return &mut [];
        }
        // SAFETY: rows as long as their distance lie without gaps; as in `row_mut`, this is the
        // only view of them.
        unsafe { std::slice::from_raw_parts_mut(self.data, self.rows * self.cols) }
    }
}

impl<T: Kernel> Tile<'_, T> {
    /// `self = a * b`, or `self += a * b`. Shapes must fit; otherwise nothing happens.
    pub(super) fn product(&mut self, a: Block<'_, T>, b: Right<'_, T>, accumulate: bool) {
        let c = (self.data, self.rows, self.cols, self.stride);
        // SAFETY: the tile lies inside its matrix, was handed out once, and holds numbers.
        unsafe { product(c, a, b, accumulate) };
    }
}

/// A result that nothing was written to yet: clearing it first would be a third of the time of a
/// thin product.
pub(super) struct Fresh<T> {
    data: Vec<T>,
    len: usize,
    written: AtomicUsize,
}

impl<T: Kernel> Fresh<T> {
    /// Of `len` numbers, in large pages when they are many.
    pub(super) fn new(len: usize) -> Self {
        let mut data = Vec::with_capacity(len);
        pages::advise(&data.spare_capacity_mut()[..len]);
        Self {
            data,
            len,
            written: AtomicUsize::new(0),
        }
    }

    /// See [`Tiles::new`].
    pub(super) fn tiles(
        &mut self,
        shape: (usize, usize),
        tile: (usize, usize),
    ) -> FreshTiles<'_, T> {
        *self.written.get_mut() = 0;
        FreshTiles {
            tiles: Tiles::new(&mut self.data.spare_capacity_mut()[..self.len], shape, tile),
            written: Some(&self.written),
        }
    }

    /// The result, once each of its tiles was written.
    ///
    /// # Panics
    /// When one was not, which is a mistake of the caller's.
    pub(super) fn into_written(mut self) -> Vec<T> {
        assert_eq!(*self.written.get_mut(), self.len, "a tile was not written");
        // SAFETY: tiles do not overlap and each is handed out once, to be written as a whole; so
        // as many numbers as there are were written means that all of them were.
        unsafe { self.data.set_len(self.len) };
        self.data
    }
}

/// Tiles that are written before they are read.
pub(super) struct FreshTiles<'a, T> {
    tiles: Tiles<'a, MaybeUninit<T>>,
    /// Numbers written, for who has to know.
    written: Option<&'a AtomicUsize>,
}

impl<'a, T: Kernel> FreshTiles<'a, T> {
    /// Of a matrix whose values do not matter.
    pub(super) fn over(data: &'a mut [T], shape: (usize, usize), tile: (usize, usize)) -> Self {
        let len = data.len();
        // SAFETY: the same memory, for as long; through these tiles it is only ever written with
        // numbers.
        let data = unsafe { std::slice::from_raw_parts_mut(data.as_mut_ptr().cast(), len) };
        Self {
            tiles: Tiles::new(data, shape, tile),
            written: None,
        }
    }

    /// See [`Tiles::len`].
    pub(super) fn len(&self) -> usize {
        self.tiles.len()
    }

    /// See [`Tiles::claim`].
    pub(super) fn claim(&self, index: usize) -> Option<FreshTile<'_, T>> {
        let tile = self.tiles.claim(index)?;
        Some(FreshTile {
            tile,
            written: self.written,
        })
    }
}

/// A rectangle that its holder alone may use, to be written first.
pub(super) struct FreshTile<'a, T> {
    tile: Tile<'a, MaybeUninit<T>>,
    written: Option<&'a AtomicUsize>,
}

impl<'a, T: Kernel> FreshTile<'a, T> {
    /// First row, first column, rows, columns.
    pub(super) fn place(&self) -> (usize, usize, usize, usize) {
        let Tile {
            row,
            col,
            rows,
            cols,
            ..
        } = self.tile;
        (row, col, rows, cols)
    }

    /// The tile with `a * b` in it; nothing, when the shapes do not fit.
    pub(super) fn into_product(self, a: Block<'_, T>, b: Right<'_, T>) -> Option<Tile<'a, T>> {
        let tile = self.tile;
        let data = tile.data.cast::<T>();
        // SAFETY: the tile lies inside its matrix and was handed out once; it is only written.
        let fits = unsafe { product((data, tile.rows, tile.cols, tile.stride), a, b, false) };
        if !fits {
            return None;
        }
        if let Some(written) = self.written {
            // Relaxed: read after the threads were joined.
            written.fetch_add(tile.rows * tile.cols, Ordering::Relaxed);
        }
        Some(Tile {
            data,
            row: tile.row,
            col: tile.col,
            rows: tile.rows,
            cols: tile.cols,
            stride: tile.stride,
            _tiles: PhantomData,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 5 x 3 by 3 x 4 in tiles of 2 x 3, of which those on the right and below are smaller.
    const SHAPE: (usize, usize) = (5, 4);
    const TILE: (usize, usize) = (2, 3);
    const K: usize = 3;

    fn sides() -> (Vec<f64>, Vec<f64>) {
        let numbers = |len: usize, by: usize| (0..len).map(|i| (i * by % 7) as f64).collect();
        (numbers(SHAPE.0 * K, 3), numbers(K * SHAPE.1, 5))
    }

    fn expected((a, b): &(Vec<f64>, Vec<f64>)) -> Vec<f64> {
        let (m, n) = SHAPE;
        let cell = |i: usize| (0..K).map(|p| a[i / n * K + p] * b[p * n + i % n]).sum();
        (0..m * n).map(cell).collect()
    }

    /// Sets the tiles of `order`, then adds the same once more.
    fn fill(tiles: &FreshTiles<'_, f64>, (a, b): &(Vec<f64>, Vec<f64>), order: &[usize]) {
        for &index in order {
            let tile = tiles.claim(index).unwrap();
            assert!(tiles.claim(index).is_none(), "handed out twice");
            let (row, col, rows, cols) = tile.place();
            let left = Block::new(a, row * K, rows, K, K);
            let right = || Right::Lies(Block::new(b, col, K, cols, SHAPE.1));
            let mut tile = tile.into_product(left, right()).unwrap();
            tile.product(left, right(), true);
            assert_eq!(tile.row_mut(rows), [0.0; 0]);
        }
    }

    #[test]
    fn every_tile_is_written_where_it_belongs() {
        let sides = sides();
        let twice: Vec<f64> = expected(&sides).iter().map(|x| 2.0 * x).collect();
        let mut fresh = Fresh::new(SHAPE.0 * SHAPE.1);
        fill(&fresh.tiles(SHAPE, TILE), &sides, &[4, 0, 5, 2, 1, 3]);
        assert_eq!(fresh.into_written(), twice);
        let mut data = vec![f64::NAN; SHAPE.0 * SHAPE.1];
        fill(
            &FreshTiles::over(&mut data, SHAPE, TILE),
            &sides,
            &[0, 1, 2, 3, 4, 5],
        );
        assert_eq!(data, twice);
    }

    #[test]
    fn only_a_tile_as_wide_as_the_matrix_is_one_slice() {
        let mut data = vec![0; 5 * 4];
        let tiles = Tiles::new(&mut data, SHAPE, (2, 4));
        for index in [2, 0, 1] {
            let mut tile = tiles.claim(index).unwrap();
            assert_eq!(tile.full_rows_mut().len(), tile.rows * 4);
            tile.full_rows_mut().fill(index + 1);
        }
        drop(tiles);
        let expected: Vec<_> = (0..20).map(|i| i / 8 + 1).collect();
        assert_eq!(data, expected);
        let tiles = Tiles::new(&mut data, SHAPE, TILE);
        assert_eq!(tiles.claim(0).unwrap().full_rows_mut(), [0; 0]);
    }

    #[test]
    #[should_panic(expected = "a tile was not written")]
    fn a_result_with_a_hole_is_refused() {
        let mut fresh = Fresh::new(SHAPE.0 * SHAPE.1);
        fill(&fresh.tiles(SHAPE, TILE), &sides(), &[0, 1, 3, 4, 5]);
        fresh.into_written();
    }
}
