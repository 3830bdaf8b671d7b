//! Products with a matrix of mostly zeros, by what is not zero. Adding 0 · finite changes no sum, so they
//! have the bits of `product`'s.

use std::ops::Range;

use super::Isa;
use super::arch::{Register, kernel};
use super::product::{Ends, Finish, block, finish_part, padded};

/// Columns of a product that are computed at a time.
const STRIP: usize = 64;

/// As many numbers, where no register's lie across two cache lines.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(super) struct Strip(pub(super) [f32; STRIP]);

const EMPTY: Strip = Strip([0.0; STRIP]);

/// A matrix whose rows are filled up to whole strips.
struct Strips {
    strips: Vec<Strip>,
    columns: usize,
}

/// Rows that lie `stride` apart, of which the first `width` values count.
#[derive(Clone, Copy)]
struct Part<'a> {
    values: &'a [f32],
    stride: usize,
    width: usize,
}

/// What is not zero in a matrix, row by row.
#[derive(Debug)]
pub struct Sparse {
    isa: Isa,
    /// Where each row begins in `entries`, and the end.
    starts: Vec<u32>,
    /// Column and value; what lies beyond the last row's means nothing.
    entries: Vec<(u32, f32)>,
    columns: usize,
}

impl Sparse {
    /// Columns of a matrix whose zeros are worth leaving out; the terms of a product are one block.
    pub const WORTH: std::ops::RangeInclusive<usize> = 48..=192;

    /// Of no rows yet.
    pub fn empty(isa: Isa) -> Self {
        Self { isa, starts: vec![0], entries: Vec::new(), columns: 0 }
    }

    /// Lists a matrix of so many columns, if at most a third of it differs from zero.
    pub fn of(isa: Isa, matrix: &[f32], columns: usize) -> Option<Self> {
        let mut sparse = Self::empty(isa);
        sparse.refill(matrix, columns).then_some(sparse)
    }

    /// Does as `of` in the same storage; false, and nothing of use, if more differs from zero.
    pub fn refill(&mut self, matrix: &[f32], columns: usize) -> bool {
        let limit = matrix.len() / 3;
        self.columns = columns;
        self.entries.resize(limit + columns, (0, 0.0));
        self.starts.clear();
        self.starts.push(0);
        let mut count = 0;
        for row in matrix.chunks_exact(columns) {
            count += list_nonzero(self.isa, row, &mut self.entries[count..count + columns]);
            if count > limit {
                return false;
            }
            self.starts.push(count as u32);
        }
        true
    }

    fn rows(&self) -> usize {
        self.starts.len() - 1
    }

    fn row(&self, number: usize) -> &[(u32, f32)] {
        &self.entries[self.starts[number] as usize..self.starts[number + 1] as usize]
    }
}

/// Writes bias + left · right, finished, where the right matrix, [inner, columns], is finite; `None`, and
/// nothing written, where it is not.
pub fn multiply_sparse(
    left: &Sparse,
    right: &[f32],
    bias: &[f32],
    finish: Finish,
    into: &mut [f32],
) -> Option<()> {
    let columns = bias.len();
    assert_eq!(right.len(), left.columns * columns);
    assert_eq!(into.len(), left.rows() * columns);
    assert_eq!(block(left.columns), left.columns, "one block of terms");
    if !right.iter().all(|value| value.is_finite()) {
        return None;
    }
    let bias = padded(Some(bias), columns, STRIP);
    let right = strips_of(right, columns);
    multiply_strips(left.isa, left, &right, Ends { bias: &bias, finish }, into);
    Some(())
}

/// The rows of a matrix, each filled up to whole strips.
fn strips_of(matrix: &[f32], columns: usize) -> Strips {
    let count = columns.div_ceil(STRIP);
    let mut strips = vec![EMPTY; matrix.len() / columns * count];
    for (wide, row) in strips.chunks_exact_mut(count).zip(matrix.chunks_exact(columns)) {
        for (Strip(strip), values) in wide.iter_mut().zip(row.chunks(STRIP)) {
            strip[..values.len()].copy_from_slice(values);
        }
    }
    Strips { strips, columns }
}

/// Writes leftᵀ · right, [m, n]: left [rows, m], right [rows, n], which is finite.
pub fn multiply_transposed_sparse(left: &Sparse, right: &[f32], into: &mut [f32]) {
    let rows = left.rows();
    let (m, n) = (left.columns, right.len() / rows);
    assert!(right.len() == rows * n && into.len() == m * n);
    into.fill(0.0);
    let mut strips = vec![EMPTY; m];
    for start in (0..n).step_by(STRIP) {
        let width = STRIP.min(n - start);
        for first in (0..rows).step_by(block(rows)) {
            let last = rows.min(first + block(rows));
            strips.fill(EMPTY);
            let right = Part { values: &right[start..], stride: n, width };
            add_outer(left.isa, left, first..last, right, &mut strips);
            for (into, Strip(strip)) in into.chunks_exact_mut(n).zip(&strips) {
                into[start..start + width]
                    .iter_mut()
                    .zip(strip)
                    .for_each(|(into, term)| *into += term);
            }
        }
    }
}

kernel! {
    /// Writes column and value of what is not zero in a row; returns how many there are.
    fn list_nonzero(V, proof, row: &[f32], into: &mut [(u32, f32)]) -> usize {
        let mut count = 0;
        for (number, values) in row.chunks(V::LANES).enumerate() {
            let mut differ = V::load(proof, values).nonzero();
            while differ != 0 {
                let lane = differ.trailing_zeros() as usize;
                into[count] = ((number * V::LANES + lane) as u32, values[lane]);
                count += 1;
                differ &= differ - 1;
            }
        }
        count
    }

    /// `multiply_sparse` with a right matrix whose rows, like the bias, are filled up to whole strips.
    fn multiply_strips(V, proof, left: &Sparse, right: &Strips, ends: Ends, into: &mut [f32]) {
        match V::LANES {
            16 => multiply_rows::<V, 4>(proof, left, right, ends, into),
            _ => multiply_rows::<V, 8>(proof, left, right, ends, into),
        }
    }

    /// strips[column] += value · right, over the entries of some rows.
    fn add_outer(V, proof, left: &Sparse, rows: Range<usize>, right: Part, strips: &mut [Strip]) {
        match V::LANES {
            16 => add_rows::<V, 4>(proof, left, rows, right, strips),
            _ => add_rows::<V, 8>(proof, left, rows, right, strips),
        }
    }
}

/// `multiply_strips`, where VECTORS registers hold a strip.
#[inline(always)]
fn multiply_rows<V: Register, const VECTORS: usize>(
    proof: V::Proof,
    left: &Sparse,
    right: &Strips,
    ends: Ends,
    into: &mut [f32],
) {
    let (strips, length) = (ends.bias.len() / STRIP, into.len());
    for (number, into) in into.chunks_exact_mut(right.columns).enumerate() {
        let entries = left.row(number);
        for (place, into) in into.chunks_mut(STRIP).enumerate() {
            let mut sum = [V::zero(proof); VECTORS];
            for &(column, value) in entries {
                let value = V::splat(proof, value);
                let Strip(row) = &right.strips[column as usize * strips + place];
                for (sum, right) in sum.iter_mut().zip(row.chunks_exact(V::LANES)) {
                    *sum = value.times_plus(V::load(proof, right), *sum);
                }
            }
            let bias = ends.bias[place * STRIP..].chunks_exact(V::LANES);
            for ((into, sum), bias) in into.chunks_mut(V::LANES).zip(sum).zip(bias) {
                V::load(proof, bias).add(sum).store(into);
            }
        }
        finish_part::<V>(proof, into, ends.finish, number * right.columns, length);
    }
}

/// `add_outer`, where VECTORS registers hold a strip.
#[inline(always)]
fn add_rows<V: Register, const VECTORS: usize>(
    proof: V::Proof,
    left: &Sparse,
    rows: Range<usize>,
    right: Part,
    strips: &mut [Strip],
) {
    for row in rows {
        let mut loaded = [V::zero(proof); VECTORS];
        let values = right.values[row * right.stride..][..right.width].chunks(V::LANES);
        loaded.iter_mut().zip(values).for_each(|(loaded, values)| *loaded = V::load(proof, values));
        for &(column, value) in left.row(row) {
            let value = V::splat(proof, value);
            let Strip(strip) = &mut strips[column as usize];
            for (sum, right) in strip.chunks_exact_mut(V::LANES).zip(loaded) {
                value.times_plus(right, V::load(proof, sum)).store(sum);
            }
        }
    }
}
