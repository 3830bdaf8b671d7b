//! Products of f32 matrices that lie row by row in memory, with what a layer does to their results. Every
//! sum is taken in the order in which libtorch 2.11 (with MKL on an AMD processor) takes it, so results
//! keep their bits: terms are added with fused multiply-adds in blocks (`block`).

use super::Isa;
use super::arch::{Register, kernel};
use super::exp::{tanh, tanh_by_library};

/// The terms of a product that are added up before they are added to the result.
pub(super) fn block(inner: usize) -> usize {
    const LARGEST: usize = 192;
    match inner {
        0..=LARGEST => inner.max(1),
        _ if inner < 2 * LARGEST => inner / 2,
        _ => LARGEST,
    }
}

/// What becomes of a product's entries once they are complete.
#[derive(Debug, Clone, Copy)]
pub enum Finish<'a> {
    Nothing,
    Tanh,
    /// Times 1 − o², where o is the tanh whose gradient this goes through.
    TanhBackward(&'a [f32]),
}

/// How a product's entries begin and end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ends<'a> {
    /// What terms are added to, filled up to whole panels or strips.
    pub bias: &'a [f32],
    pub finish: Finish<'a>,
}

/// A right-hand matrix in panels of columns, each row by row, the last one filled up with zeros.
#[derive(Debug)]
pub struct Panels {
    /// For whose registers the panels are cut.
    isa: Isa,
    inner: usize,
    columns: usize,
    /// Columns of a panel: two registers.
    width: usize,
    values: Vec<f32>,
}

impl Panels {
    /// Cuts a matrix [inner, columns].
    pub fn of(isa: Isa, matrix: &[f32], inner: usize, columns: usize) -> Self {
        assert_eq!(matrix.len(), inner * columns);
        let panel = 2 * isa.lanes();
        let mut values = Vec::with_capacity(inner * columns.next_multiple_of(panel));
        for start in (0..columns).step_by(panel) {
            let width = panel.min(columns - start);
            for row in matrix.chunks_exact(columns) {
                values.extend_from_slice(&row[start..start + width]);
                values.resize(values.len() + panel - width, 0.0);
            }
        }
        Self { isa, inner, columns, width: panel, values }
    }

    /// Cuts the transpose of a matrix [columns, inner].
    pub fn of_transposed(isa: Isa, matrix: &[f32], inner: usize, columns: usize) -> Self {
        assert_eq!(matrix.len(), inner * columns);
        let width = 2 * isa.lanes();
        let mut values = vec![0.0; inner * columns.next_multiple_of(width)];
        for (column, row) in matrix.chunks_exact(inner).enumerate() {
            let panel = &mut values[column / width * width * inner..];
            for (value, place) in row.iter().zip(panel[column % width..].iter_mut().step_by(width))
            {
                *place = *value;
            }
        }
        Self { isa, inner, columns, width, values }
    }

    /// Its panels, the first column of each and how many it has.
    fn each(&self) -> impl Iterator<Item = (&[f32], usize, usize)> {
        let panels = self.values.chunks_exact(self.inner * self.width).enumerate();
        panels.map(|(number, panel)| {
            let start = number * self.width;
            (panel, start, self.width.min(self.columns - start))
        })
    }
}

/// Writes bias + left · right, finished: left [rows, inner], into [rows, columns]. Without a bias the
/// product alone.
pub fn multiply(
    left: &[f32],
    right: &Panels,
    bias: Option<&[f32]>,
    finish: Finish,
    into: &mut [f32],
) {
    let rows = into.len() / right.columns;
    assert_eq!(left.len(), rows * right.inner);
    assert_eq!(into.len(), rows * right.columns);
    let bias = padded(bias, right.columns, right.width);
    multiply_panels(right.isa, left, right, Ends { bias: &bias, finish }, into);
}

/// A bias, zeros where there is none, filled up to whole panels or strips.
pub(super) fn padded(bias: Option<&[f32]>, columns: usize, whole: usize) -> Vec<f32> {
    let mut padded = bias.map_or_else(|| vec![0.0; columns], <[f32]>::to_vec);
    assert_eq!(padded.len(), columns);
    padded.resize(columns.next_multiple_of(whole), 0.0);
    padded
}

kernel! {
    fn multiply_panels(V, proof, left: &[f32], right: &Panels, ends: Ends, into: &mut [f32]) {
        match V::LANES {
            16 => multiply_rows::<V, 12>(proof, left, right, ends, into),
            _ => multiply_rows::<V, 6>(proof, left, right, ends, into),
        }
    }

    /// Adds leftᵀ · right: left [rows, m], right [rows, n], into [m, n].
    fn add_block(V, proof, left: &[f32], right: &[f32], size: [usize; 2], into: &mut [f32]) {
        match V::LANES {
            16 => add_rows::<V, 12>(proof, left, right, size, into),
            _ => add_rows::<V, 6>(proof, left, right, size, into),
        }
    }
}

/// TILE rows at a time, then what is left in tiles of four and of one.
#[inline(always)]
fn multiply_rows<V: Register, const TILE: usize>(
    proof: V::Proof,
    left: &[f32],
    right: &Panels,
    ends: Ends,
    into: &mut [f32],
) {
    let Panels { inner, columns, .. } = *right;
    let count = into.len() / columns;
    let mut row = 0;
    while row < count {
        let tile = [TILE, 4, 1].into_iter().find(|tile| row + tile <= count).unwrap_or(1);
        let left = &left[row * inner..(row + tile) * inner];
        let rows = &mut into[row * columns..(row + tile) * columns];
        for (panel, start, width) in right.each() {
            let bias = &ends.bias[start..];
            let place = Place { values: &mut rows[start..], stride: columns, width };
            match (tile == TILE, tile, width <= V::LANES) {
                (true, _, false) => tile_of::<V, TILE, 2>(proof, left, panel, bias, place),
                (true, _, true) => tile_of::<V, TILE, 1>(proof, left, panel, bias, place),
                (false, 4, false) => tile_of::<V, 4, 2>(proof, left, panel, bias, place),
                (false, 4, true) => tile_of::<V, 4, 1>(proof, left, panel, bias, place),
                (false, ..) => tile_of::<V, 1, 2>(proof, left, panel, bias, place),
            }
        }
        finish_part::<V>(proof, rows, ends.finish, row * columns, count * columns);
        row += tile;
    }
}

/// The columns of a product that a panel gives: `width` of every `stride` numbers.
struct Place<'a> {
    values: &'a mut [f32],
    stride: usize,
    width: usize,
}

/// ROWS × one panel of a product, each block of terms added to the bias in turn.
#[inline(always)]
fn tile_of<V: Register, const ROWS: usize, const VECTORS: usize>(
    proof: V::Proof,
    left: &[f32],
    panel: &[f32],
    bias: &[f32],
    into: Place,
) {
    let inner = left.len() / ROWS;
    let bias: [V; VECTORS] = std::array::from_fn(|v| V::load(proof, &bias[v * V::LANES..]));
    let mut sum = [bias; ROWS];
    let block = block(inner);
    for start in (0..inner).step_by(block) {
        let length = block.min(inner - start);
        let panel = &panel[start * 2 * V::LANES..];
        // panels are filled up: whole registers of them
        let width = VECTORS * V::LANES;
        let left = Strided { values: &left[start..], row: inner, term: 1 };
        let right = Strided { values: panel, row: 2 * V::LANES, term: 1 };
        let terms: [[V; VECTORS]; ROWS] = chain(proof, left, right, width, length);
        for (sum, term) in sum.iter_mut().zip(terms) {
            *sum = std::array::from_fn(|v| sum[v].add(term[v]));
        }
    }
    for (row, sum) in sum.into_iter().enumerate() {
        put(sum, &mut into.values[row * into.stride..][..into.width]);
    }
}

/// Writes registers side by side.
#[inline(always)]
fn put<V: Register, const VECTORS: usize>(sum: [V; VECTORS], into: &mut [f32]) {
    for (sum, into) in sum.into_iter().zip(into.chunks_mut(V::LANES)) {
        sum.store(into);
    }
}

/// A matrix whose element (i, k) lies at i · row + k · term.
#[derive(Clone, Copy)]
struct Strided<'a> {
    values: &'a [f32],
    row: usize,
    term: usize,
}

/// Σ of `length` terms for ROWS × the first `width` columns of the right matrix, from 0, one fused
/// multiply-add after another. Of the right matrix row k is term k.
#[inline(always)]
fn chain<V: Register, const ROWS: usize, const VECTORS: usize>(
    proof: V::Proof,
    left: Strided,
    right: Strided,
    width: usize,
    length: usize,
) -> [[V; VECTORS]; ROWS] {
    let stride = right.row;
    assert!(left.values.len() > (ROWS - 1) * left.row + (length - 1) * left.term);
    assert!(width <= VECTORS * V::LANES && right.values.len() >= (length - 1) * stride + width);
    let right = right.values.as_ptr();
    // SAFETY: both lengths were just checked
    unsafe {
        if width == VECTORS * V::LANES {
            terms(proof, left, length, |k, v| V::read(proof, right.add(k * stride + v * V::LANES)))
        } else {
            terms(proof, left, length, |k, v| {
                let first = V::LANES * v;
                V::read_first(proof, right.add(k * stride + first), width.saturating_sub(first))
            })
        }
    }
}

/// `chain`, with a way to vector v of row k of the right matrix.
///
/// # Safety
/// `left` has ROWS rows and `length` terms.
#[inline(always)]
unsafe fn terms<V: Register, const ROWS: usize, const VECTORS: usize>(
    proof: V::Proof,
    left: Strided,
    length: usize,
    right: impl Fn(usize, usize) -> V,
) -> [[V; VECTORS]; ROWS] {
    let values = left.values.as_ptr();
    let mut sum = [[V::zero(proof); VECTORS]; ROWS];
    for k in 0..length {
        let right: [V; VECTORS] = std::array::from_fn(|v| right(k, v));
        for (row, sum) in sum.iter_mut().enumerate() {
            // SAFETY: the caller's
            let value = V::splat(proof, unsafe { *values.add(row * left.row + k * left.term) });
            for (sum, right) in sum.iter_mut().zip(right) {
                *sum = value.times_plus(right, *sum);
            }
        }
    }
    sum
}

/// Writes leftᵀ · right: left [rows, m], right [rows, n], into [m, n].
pub fn multiply_transposed(isa: Isa, left: &[f32], right: &[f32], rows: usize, into: &mut [f32]) {
    into.fill(0.0);
    add_transposed(isa, left, right, rows, into);
}

/// Adds leftᵀ · right, a block of terms after the other.
pub fn add_transposed(isa: Isa, left: &[f32], right: &[f32], rows: usize, into: &mut [f32]) {
    let (m, n) = (left.len() / rows, right.len() / rows);
    assert!(left.len() == rows * m && right.len() == rows * n && into.len() == m * n);
    let block = block(rows);
    for (left, right) in left.chunks(block * m).zip(right.chunks(block * n)) {
        add_block(isa, left, right, [m, n], into);
    }
}

/// `add_block`, TILE rows at a time.
#[inline(always)]
fn add_rows<V: Register, const TILE: usize>(
    proof: V::Proof,
    left: &[f32],
    right: &[f32],
    [m, n]: [usize; 2],
    into: &mut [f32],
) {
    for start in (0..n).step_by(2 * V::LANES) {
        let width = (2 * V::LANES).min(n - start);
        let mut row = 0;
        while row < m {
            let tile = [TILE, 4, 1].into_iter().find(|tile| row + tile <= m).unwrap_or(1);
            let (left, right) = (&left[row..], &right[start..]);
            let into = &mut into[row * n + start..];
            let size = [m, n, width];
            match (tile == TILE, tile, width <= V::LANES) {
                (true, _, false) => add_tile::<V, TILE, 2>(proof, left, right, into, size),
                (true, _, true) => add_tile::<V, TILE, 1>(proof, left, right, into, size),
                (false, 4, false) => add_tile::<V, 4, 2>(proof, left, right, into, size),
                (false, 4, true) => add_tile::<V, 4, 1>(proof, left, right, into, size),
                (false, ..) => add_tile::<V, 1, 2>(proof, left, right, into, size),
            }
            row += tile;
        }
    }
}

#[inline(always)]
fn add_tile<V: Register, const ROWS: usize, const VECTORS: usize>(
    proof: V::Proof,
    left: &[f32],
    right: &[f32],
    into: &mut [f32],
    [m, n, width]: [usize; 3],
) {
    let rows = (right.len() - width) / n + 1;
    let left = Strided { values: left, row: 1, term: m };
    let right = Strided { values: right, row: n, term: 1 };
    let terms: [[V; VECTORS]; ROWS] = chain(proof, left, right, width, rows);
    for (row, terms) in terms.into_iter().enumerate() {
        let into = &mut into[row * n..row * n + width];
        for (term, into) in terms.into_iter().zip(into.chunks_mut(V::LANES)) {
            V::load(proof, into).add(term).store(into);
        }
    }
}

/// Finishes the part from `start` on of a product of `length` entries.
#[inline(always)]
pub(super) fn finish_part<V: Register>(
    proof: V::Proof,
    values: &mut [f32],
    finish: Finish,
    start: usize,
    length: usize,
) {
    match finish {
        Finish::Nothing => {}
        Finish::Tanh => {
            // libtorch takes what fills no two of its widest vectors one by one
            let whole = (length / 32 * 32).saturating_sub(start).min(values.len());
            let (vectors, rest) = values.split_at_mut(whole);
            let mut vectors = vectors.chunks_exact_mut(V::LANES);
            for values in &mut vectors {
                tanh(V::load(proof, values)).store(values);
            }
            let values = vectors.into_remainder();
            tanh(V::load(proof, values)).store(values);
            for value in rest {
                *value = tanh_by_library(*value);
            }
        }
        Finish::TanhBackward(outputs) => {
            let one = V::splat(proof, 1.0);
            let outputs = &outputs[start..start + values.len()];
            for (values, outputs) in values.chunks_mut(V::LANES).zip(outputs.chunks(V::LANES)) {
                let output = V::load(proof, outputs);
                let slope = V::zero(proof).minus(output).times_plus(output, one);
                V::load(proof, values).times(slope).store(values);
            }
        }
    }
}
