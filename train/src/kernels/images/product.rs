//! Convolutions and linear layers on blocks of images, as products whose terms are listed.

use super::{IMAGES, Lanes};
use crate::kernels::Isa;
use crate::kernels::arch::{Register, kernel};

/// Rows of a product that lie side by side in a packed left-hand matrix.
pub const ROWS: usize = 8;
/// Columns of a product that lie side by side in the right-hand matrix.
pub const PANEL: usize = IMAGES;
/// Numbers that a sum over images keeps apart until its end.
pub const PARTS: usize = 16;
/// A sum over images until then.
pub type Parts = [f32; PARTS];

/// Terms of a product that follow one another: where they begin in both matrices, and how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    pub left: usize,
    pub right: usize,
    pub length: usize,
}

/// How far apart the values of a left-hand matrix lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Strides {
    /// From one row to the next of the same eight.
    pub row: usize,
    /// From one term to the next.
    pub term: usize,
    /// From eight rows to the next eight.
    pub eight: usize,
}

/// Products of one left-hand matrix with parts of a right-hand one, [rows, columns] each.
#[derive(Debug, Clone, Copy)]
pub struct Product<'a> {
    pub left: &'a [f32],
    pub strides: Strides,
    /// In panels of `PANEL` columns, each term by term.
    pub right: &'a [f32],
    /// From one panel to the next.
    pub panel: usize,
    pub rows: usize,
    pub columns: usize,
    /// From one product to the next in the result.
    pub into_product: usize,
    /// From one row to the next in the result.
    pub into_row: usize,
    /// Whether the result is added to what is there.
    pub add: bool,
}

impl Product<'_> {
    /// Writes one product for each list of segments, whose terms are added in that order.
    pub fn compute(&self, isa: Isa, lists: &[Vec<Segment>], into: &mut [f32]) {
        compute(isa, self, lists, into);
    }

    /// Computes in tiles of TALL rows and two vectors, or fewer at the edges.
    #[inline(always)]
    fn tiles<V: Register, const TALL: usize>(
        &self,
        proof: V::Proof,
        lists: &[Vec<Segment>],
        into: &mut [f32],
    ) {
        for (number, segments) in lists.iter().enumerate() {
            let mut row = 0;
            while row < self.rows {
                let left = row / ROWS * self.strides.eight + row % ROWS * self.strides.row;
                let height = match self.rows - row {
                    rest if rest >= TALL => TALL,
                    rest if rest >= 4 => 4,
                    _ => 1,
                };
                for column in (0..self.columns).step_by(2 * V::LANES) {
                    let place = number * self.into_product + row * self.into_row + column;
                    let (at, into) = ([left, column], &mut into[place..]);
                    match height {
                        1 => self.tile::<V, 1, 2>(proof, at, segments, into),
                        4 => self.tile::<V, 4, 2>(proof, at, segments, into),
                        _ if self.columns - column <= V::LANES => {
                            self.tile::<V, TALL, 1>(proof, at, segments, into)
                        }
                        _ => self.tile::<V, TALL, 2>(proof, at, segments, into),
                    }
                }
                row += height;
            }
        }
    }

    #[inline(always)]
    fn tile<V: Register, const TALL: usize, const WIDE: usize>(
        &self,
        proof: V::Proof,
        [left, column]: [usize; 2],
        segments: &[Segment],
        into: &mut [f32],
    ) {
        let at = [left, column / PANEL * self.panel + column % PANEL];
        // strides that the compiler knows make shorter loops
        let sums = match [self.strides.row, self.strides.term] {
            [1, ROWS] => self.chains::<V, TALL, WIDE>(proof, at, [1, ROWS], segments),
            [IMAGES, 1] => self.chains::<V, TALL, WIDE>(proof, at, [IMAGES, 1], segments),
            strides => self.chains::<V, TALL, WIDE>(proof, at, strides, segments),
        };
        let width = (WIDE * V::LANES).min(self.columns - column);
        let mut row_of_tile = [0.0; PANEL];
        for (row, sums) in sums.into_iter().enumerate() {
            let into = &mut into[row * self.into_row..][..width];
            let whole = width == WIDE * V::LANES;
            let start = if whole { into.as_mut_ptr() } else { row_of_tile.as_mut_ptr() };
            for (number, sum) in sums.into_iter().enumerate() {
                // SAFETY: in either place there is room for all vectors of a row
                unsafe {
                    let place = start.add(number * V::LANES);
                    if whole && self.add { V::read(proof, place).add(sum) } else { sum }
                        .write(place);
                }
            }
            if whole {
                continue;
            }
            for (place, value) in into.iter_mut().zip(row_of_tile) {
                *place = if self.add { *place + value } else { value };
            }
        }
    }

    #[inline(always)]
    fn chains<V: Register, const TALL: usize, const WIDE: usize>(
        &self,
        proof: V::Proof,
        [left_start, right_start]: [usize; 2],
        [row_stride, term_stride]: [usize; 2],
        segments: &[Segment],
    ) -> [[V; WIDE]; TALL] {
        let mut sums = [[V::zero(proof); WIDE]; TALL];
        for segment in segments.iter().filter(|segment| segment.length > 0) {
            let (left, right) = (left_start + segment.left, right_start + segment.right);
            let last = segment.length - 1;
            assert!(left + (TALL - 1) * row_stride + last * term_stride < self.left.len());
            assert!(right + last * PANEL + WIDE * V::LANES <= self.right.len());
            let mut left = self.left[left..].as_ptr();
            let mut right = self.right[right..].as_ptr();
            for _ in 0..segment.length {
                let mut term = [V::zero(proof); WIDE];
                for (number, term) in term.iter_mut().enumerate() {
                    // SAFETY: the segment lies in the right-hand matrix, as was just checked
                    *term = unsafe { V::read(proof, right.add(number * V::LANES)) };
                }
                for (row, sums) in sums.iter_mut().enumerate() {
                    // SAFETY: the segment lies in the left-hand matrix, as was just checked
                    let value = V::splat(proof, unsafe { *left.add(row * row_stride) });
                    for (sum, term) in sums.iter_mut().zip(term) {
                        *sum = value.times_plus(term, *sum);
                    }
                }
                left = left.wrapping_add(term_stride);
                right = right.wrapping_add(PANEL);
            }
        }
        sums
    }
}

kernel! {
    fn compute(V, proof, product: &Product, lists: &[Vec<Segment>], into: &mut [f32]) {
        match V::LANES {
            16 => product.tiles::<V, 8>(proof, lists, into),
            _ => product.tiles::<V, 4>(proof, lists, into),
        }
    }

    /// Adds up what the weights of a convolution with one channel on its wide side have for a gradient:
    /// `into`, [row of the kernel][its column][channel], Σ image · map over a row of the map's pixels,
    /// images in `PARTS`. The K rows of the image, of `side` pixels each, are those that the kernel
    /// reaches.
    pub fn correlate[const K: usize][K](
        V,
        proof,
        image: &[Lanes],
        side: usize,
        map: &[Lanes],
        channels: usize,
        into: &mut [Parts],
    ) {
        assert!(image.len() == K * side && into.len() == K * K * channels);
        assert!(channels.is_multiple_of(4) && map.len().is_multiple_of(channels));
        for (image, into) in image.chunks_exact(side).zip(into.chunks_exact_mut(K * channels)) {
            match V::LANES {
                16 => correlate_row::<V, K, 4>(proof, image, map, channels, into),
                _ => correlate_row::<V, K, 2>(proof, image, map, channels, into),
            }
        }
    }

    /// Writes the transpose of a matrix of `rows`, a multiple of eight, and `columns`, no fewer than
    /// that; strides are from one row to the next.
    pub fn transpose(
        V,
        proof,
        matrix: &[f32],
        into: &mut [f32],
        size: [usize; 2],
        strides: [usize; 2],
    ) {
        let ([rows, columns], [stride, into_stride]) = (size, strides);
        assert!(rows.is_multiple_of(8) && rows > 0 && columns >= 8);
        assert!(matrix.len() >= (rows - 1) * stride + columns);
        assert!(into.len() >= (columns - 1) * into_stride + rows);
        for column in (0..columns).step_by(8) {
            // the last square may lie over the one before
            let column = column.min(columns - 8);
            for row in (0..rows).step_by(8) {
                // SAFETY: the square lies in both matrices, which are long enough
                unsafe {
                    let from = matrix.as_ptr().add(row * stride + column);
                    let to = into.as_mut_ptr().add(column * into_stride + row);
                    V::transpose(proof, from, stride, to, into_stride);
                }
            }
        }
    }
}

/// Adds one row of the map, with one of the kernel, GROUP channels at a time.
#[inline(always)]
fn correlate_row<V: Register, const K: usize, const GROUP: usize>(
    proof: V::Proof,
    image: &[Lanes],
    map: &[Lanes],
    channels: usize,
    into: &mut [Parts],
) {
    let pixels = map.len() / channels;
    assert!(2 * (pixels - 1) + K <= image.len() && into.len() == K * channels);
    for first in (0..channels).step_by(GROUP) {
        for part in (0..PARTS).step_by(V::LANES) {
            let mut sums = [[V::zero(proof); GROUP]; K];
            for pixel in 0..pixels {
                for half in (part..IMAGES).step_by(PARTS) {
                    // SAFETY: a register's lanes from `half` on lie in the images of a block
                    let of = |lanes: &Lanes| unsafe { V::read(proof, lanes.as_ptr().add(half)) };
                    let mut values = [V::zero(proof); GROUP];
                    for (number, value) in values.iter_mut().enumerate() {
                        // SAFETY: channels come in groups, and the map has all of them for each pixel
                        *value =
                            of(unsafe { map.get_unchecked(pixel * channels + first + number) });
                    }
                    for (tap, sums) in sums.iter_mut().enumerate() {
                        // SAFETY: the taps of the last pixel lie in the image, as was just checked
                        let image = of(unsafe { image.get_unchecked(2 * pixel + tap) });
                        for (sum, value) in sums.iter_mut().zip(values) {
                            *sum = image.times_plus(value, *sum);
                        }
                    }
                }
            }
            for (tap, sums) in sums.into_iter().enumerate() {
                for (number, sum) in sums.into_iter().enumerate() {
                    let place = &mut into[tap * channels + first + number][part..][..V::LANES];
                    V::load(proof, place).add(sum).store(place);
                }
            }
        }
    }
}
