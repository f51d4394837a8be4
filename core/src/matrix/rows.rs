//! Similarity between the rows of a dense matrix.

use std::{cmp::Ordering, collections::BinaryHeap};

use super::{
    Matrix, MatrixError, checked_len,
    gemm::{Block, Right},
    product::{ProductLimits, Work, depths},
    tiles::{Tile, Tiles},
};
use crate::{
    control::{Control, Stopped},
    par::Par,
};

/// Side of a tile of the result; 256 so that some hundred rows already feed several threads.
const SIDE: usize = 256;

/// A squared distance below this share of |x|² + |y|² is computed anew from the differences:
/// |x|² + |y|² - 2x·y has an absolute error of some `k·ε·(|x|² + |y|²)`, which above this share
/// leaves at least ten digits of the distance.
const CANCELLED: f64 = 1e-4;

/// How alike two rows are, over all columns.
///
/// Sources: Pearson's correlation and the cosine by their definitions (Manning, Raghavan, Schütze,
/// Introduction to Information Retrieval, §6.3.1); the Euclidean one is 1 / (1 + distance).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RowMeasure {
    /// x·y / (|x||y|), in [-1, 1]; 0 beside a zero row.
    Cosine,
    /// Cosine of the rows less their means, in [-1, 1]; 0 beside a constant row.
    Pearson,
    /// 1 / (1 + |x - y|), in [0, 1].
    Euclidean,
}

/// One of the rows most like another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RowNeighbour {
    /// The other row, from 0.
    pub row: usize,
    /// Its similarity.
    pub similarity: f64,
}

/// All pairs: a symmetric n x n matrix with diagonal 1, `n` the rows of `m`.
///
/// O(n²·cols) time through products of tiles of the upper triangle, 8·n² bytes and a scaled copy
/// of `m`. Values differ from the definitions by some `cols`·2⁻⁵³; scaling by powers of two keeps
/// rows of any finite size from overflowing. Equal to the bit for any [`Par`].
///
/// # Errors
/// [`MatrixError::TooLarge`] when n² is above `limits.elements`; [`MatrixError::TooMuchWork`];
/// [`MatrixError::Stopped`].
pub fn row_similarity(
    m: &Matrix<f64>,
    measure: RowMeasure,
    limits: &ProductLimits,
    par: Par,
    control: &(impl Control + ?Sized),
) -> Result<Matrix<f64>, MatrixError> {
    let n = m.rows();
    let len = limits.check(n, m.cols(), n)?;
    let work = Work::new(control, len as u64 / 2 * m.cols() as u64);
    let rows = Rows::new(m, measure, &work)?;
    let mut data = vec![0.0; len];
    let tiles = Tiles::new(&mut data, (n, n), (SIDE, SIDE));
    let across = tiles.across();
    let upper: Vec<_> = (0..across)
        .flat_map(|i| (i..across).map(move |j| (i, j)))
        .collect();
    par.try_map(upper.len(), |task| {
        let (i, j) = upper[task];
        let Some(mut tile) = tiles.claim(i * across + j) else {
            return Ok(());
        };
        let place = (tile.row, tile.col);
        rows.fill(&mut tile, place, &work)?;
        if i != j
            && let Some(mut mirror) = tiles.claim(j * across + i)
        {
            for row in 0..tile.rows {
                for (col, &value) in tile.row_mut(row).iter().enumerate() {
                    mirror.row_mut(col)[row] = value;
                }
            }
        }
        Ok::<(), Stopped>(())
    })?;
    drop(tiles);
    Ok(Matrix::from_parts(n, n, data))
}

/// For each row its `k` most similar others (itself left out), the most similar first, ties by
/// row. Takes `rows·k` results and one panel of 256 x 256 a thread, never n².
///
/// # Errors
/// [`MatrixError::TooLarge`] when `rows·k` is above `limits.elements`;
/// [`MatrixError::TooMuchWork`]; [`MatrixError::Stopped`].
pub fn row_similarity_top_k(
    m: &Matrix<f64>,
    measure: RowMeasure,
    k: usize,
    limits: &ProductLimits,
    par: Par,
    control: &(impl Control + ?Sized),
) -> Result<Vec<Vec<RowNeighbour>>, MatrixError> {
    let n = m.rows();
    let k = k.min(n - 1);
    if k == 0 {
        return Ok(vec![Vec::new(); n]);
    }
    checked_len(n, k, limits.elements)?;
    let unbounded = ProductLimits {
        elements: usize::MAX,
        ..*limits
    };
    let total = unbounded.check(n, m.cols(), n)? as u64 * m.cols() as u64;
    let work = Work::new(control, total);
    let rows = Rows::new(m, measure, &work)?;
    let panels = par.try_map(n.div_ceil(SIDE), |panel| {
        rows.best_of_panel(panel * SIDE, k, &work)
    })?;
    Ok(panels.into_iter().flatten().collect())
}

/// A candidate; the greatest of a heap is the one to drop first.
#[derive(PartialEq)]
struct Candidate(RowNeighbour);

impl Eq for Candidate {}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_similarity = other.0.similarity.total_cmp(&self.0.similarity);
        by_similarity.then(self.0.row.cmp(&other.0.row))
    }
}

/// Rows ready for products: of length 1 (or 0) for the angles, as they are for distances.
struct Rows<'a> {
    original: &'a Matrix<f64>,
    measure: RowMeasure,
    /// Only for the angles.
    unit: Option<Matrix<f64>>,
    /// |x|², only for distances.
    squares: Vec<f64>,
}

impl<'a> Rows<'a> {
    fn new<C: Control + ?Sized>(
        original: &'a Matrix<f64>,
        measure: RowMeasure,
        work: &Work<'_, C>,
    ) -> Result<Self, Stopped> {
        let mut rows = Self {
            original,
            measure,
            unit: None,
            squares: Vec::new(),
        };
        if measure == RowMeasure::Euclidean {
            for row in original.iter_rows() {
                rows.squares.push(dot(row, row));
                work.go_on()?;
            }
            return Ok(rows);
        }
        let mut unit = original.clone();
        for row in unit.as_mut_slice().chunks_exact_mut(original.cols()) {
            scale(row);
            if measure == RowMeasure::Pearson {
                centre(row);
            }
            let length = dot(row, row).sqrt();
            if length > 0.0 {
                row.iter_mut().for_each(|v| *v /= length);
            }
            work.go_on()?;
        }
        rows.unit = Some(unit);
        Ok(rows)
    }

    /// The similarities of the rows from `row0` on with those from `col0` on.
    fn fill<C: Control + ?Sized>(
        &self,
        tile: &mut Tile<'_, f64>,
        (row0, col0): (usize, usize),
        work: &Work<'_, C>,
    ) -> Result<(), Stopped> {
        let source = self.unit.as_ref().unwrap_or(self.original);
        let (data, cols) = (source.as_slice(), source.cols());
        for (p, depth) in depths(cols) {
            let left = Block::new(data, row0 * cols + p, tile.rows, depth, cols);
            let right = Block::new(data, col0 * cols + p, tile.cols, depth, cols);
            tile.product(left, Right::Lies(right.transposed()), p > 0);
            work.advance(tile, depth)?;
        }
        for i in 0..tile.rows {
            let row = row0 + i;
            match self.measure {
                RowMeasure::Euclidean => {
                    self.distances(tile.row_mut(i), row, col0);
                    work.go_on()?;
                }
                // Adding 0 turns -0 into 0.
                _ => tile
                    .row_mut(i)
                    .iter_mut()
                    .for_each(|v| *v = v.clamp(-1.0, 1.0) + 0.0),
            }
            if let Some(own) = row.checked_sub(col0).filter(|&j| j < tile.cols) {
                tile.row_mut(i)[own] = 1.0;
            }
        }
        Ok(())
    }

    /// Products to similarities, in place.
    fn distances(&self, products: &mut [f64], row: usize, col0: usize) {
        let own = self.squares[row];
        for (j, value) in products.iter_mut().enumerate() {
            let sum = own + self.squares[col0 + j];
            let mut square = sum - 2.0 * *value;
            // Written so that NaN, from rows whose squares overflow, is computed anew too.
            let reliable = square >= CANCELLED * sum && sum < f64::MAX && sum > f64::MIN_POSITIVE;
            if !reliable {
                let distance = distance(self.original.row(row), self.original.row(col0 + j));
                *value = 1.0 / (1.0 + distance);
                continue;
            }
            square = square.max(0.0);
            *value = 1.0 / (1.0 + square.sqrt());
        }
    }

    fn best_of_panel<C: Control + ?Sized>(
        &self,
        row0: usize,
        k: usize,
        work: &Work<'_, C>,
    ) -> Result<Vec<Vec<RowNeighbour>>, Stopped> {
        let n = self.original.rows();
        let rows = SIDE.min(n - row0);
        let mut heaps: Vec<BinaryHeap<Candidate>> = (0..rows)
            .map(|_| BinaryHeap::with_capacity(k + 1))
            .collect();
        let mut panel = vec![0.0; rows * SIDE];
        for col0 in (0..n).step_by(SIDE) {
            let cols = SIDE.min(n - col0);
            let mut tile = Tile::whole(&mut panel[..rows * cols], rows, cols);
            self.fill(&mut tile, (row0, col0), work)?;
            for (i, heap) in heaps.iter_mut().enumerate() {
                keep_best(heap, k, tile.row_mut(i), row0 + i, col0);
            }
        }
        Ok(heaps
            .into_iter()
            .map(|h| h.into_sorted_vec().into_iter().map(|c| c.0).collect())
            .collect())
    }
}

fn keep_best(
    heap: &mut BinaryHeap<Candidate>,
    k: usize,
    similarities: &[f64],
    own: usize,
    col0: usize,
) {
    let mut worst = match heap.peek() {
        Some(c) if heap.len() == k => c.0.similarity,
        _ => f64::NEG_INFINITY,
    };
    for (j, &similarity) in similarities.iter().enumerate() {
        // Rows come in order, so a tie never beats what is kept.
        if similarity <= worst || col0 + j == own {
            continue;
        }
        if heap.len() == k {
            heap.pop();
        }
        let row = col0 + j;
        heap.push(Candidate(RowNeighbour { row, similarity }));
        if heap.len() == k {
            worst = heap.peek().map_or(worst, |c| c.0.similarity);
        }
    }
}

/// Σ x·y over eight running sums: vectorized, and the same order everywhere.
fn dot(x: &[f64], y: &[f64]) -> f64 {
    let (xs, x_rest) = x.as_chunks::<8>();
    let (ys, y_rest) = y.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for (x, y) in xs.iter().zip(ys) {
        for lane in 0..8 {
            sums[lane] += x[lane] * y[lane];
        }
    }
    let rest: f64 = x_rest.iter().zip(y_rest).map(|(x, y)| x * y).sum();
    sums.iter().sum::<f64>() + rest
}

/// Scales by a power of two so that the largest magnitude lies in [1, 2), which is exact and
/// keeps squares within range.
fn scale(row: &mut [f64]) {
    let largest = row.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    if largest > 0.0 {
        let exponent = libm::ilogb(largest);
        row.iter_mut()
            .for_each(|v| *v = libm::scalbn(*v, -exponent));
    }
}

/// Takes the mean off. A constant row becomes exactly 0, whatever its mean rounds to.
fn centre(row: &mut [f64]) {
    let first = row.first().copied().unwrap_or(0.0);
    if row.iter().all(|&v| v == first) {
        return row.fill(0.0);
    }
    let mean = row.iter().sum::<f64>() / row.len() as f64;
    row.iter_mut().for_each(|v| *v -= mean);
}

/// |x - y| from the differences, scaled when their squares leave the range.
fn distance(x: &[f64], y: &[f64]) -> f64 {
    let difference = |scale: f64| {
        let squares = x.iter().zip(y).map(|(x, y)| {
            let d = x * scale - y * scale;
            d * d
        });
        squares.sum::<f64>().sqrt() / scale
    };
    let plain = difference(1.0);
    // 2^-600 and 2^600: squares of what is left stay within 2^±1022.
    if plain > 1e150 {
        difference(libm::scalbn(1.0, -600))
    } else if plain < 1e-150 {
        difference(libm::scalbn(1.0, 600))
    } else {
        plain
    }
}

#[cfg(test)]
mod tests;
