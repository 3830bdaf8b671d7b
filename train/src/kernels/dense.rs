//! The products, activations and sums of a training step on one x86-64 core, for f32 matrices that lie
//! row by row in memory. Every sum is taken in the order in which libtorch 2.11 (with MKL on an AMD
//! processor) takes it (but `row_sums`, whose results no libtorch has to match), so results keep their
//! bits: a product's terms are added with fused multiply-adds in blocks (`block`), a sum's in four
//! interleaved parts. A matrix of mostly zeros is multiplied by what is not zero: adding 0 · finite
//! changes no sum. It knows nothing of layers or seeds; `layers` decides what comes here.

use std::arch::x86_64::{
    __m256, __m256i, __m512, _CMP_NEQ_UQ, _MM_HINT_T0, _mm_add_ps, _mm_prefetch, _mm_storeu_ps,
    _mm256_add_ps, _mm256_castps256_ps128, _mm256_cmp_ps, _mm256_div_ps, _mm256_extractf128_ps,
    _mm256_fmadd_ps, _mm256_hadd_ps, _mm256_loadu_ps, _mm256_loadu_si256, _mm256_maskload_ps,
    _mm256_maskstore_ps, _mm256_movemask_ps, _mm256_mul_ps, _mm256_set1_ps, _mm256_setzero_ps,
    _mm256_storeu_ps, _mm256_sub_ps,
};
use std::ops::Range;

use crate::kernels::lanes::Register;

/// Numbers in a vector register.
const LANES: usize = 8;
/// Columns of a sparse product computed at a time.
const STRIP: usize = 8 * LANES;

/// As many numbers, where no register's lie across two cache lines.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Strip([f32; STRIP]);

const EMPTY: Strip = Strip([0.0; STRIP]);

/// Whether this processor has the instructions that everything here needs.
pub fn available() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

/// Terms of a product that are added up before they are added to the result.
fn block(inner: usize) -> usize {
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

/// A right-hand matrix in panels of columns, each row by row, the last one filled up with zeros.
#[derive(Debug)]
pub struct Panels {
    inner: usize,
    columns: usize,
    /// Columns of a panel: two registers.
    width: usize,
    values: Vec<f32>,
}

/// Columns of a panel on this processor.
fn panel_width() -> usize {
    if is_x86_feature_detected!("avx512f") { 32 } else { 16 }
}

impl Panels {
    /// Of a matrix [inner, columns].
    pub fn of(matrix: &[f32], inner: usize, columns: usize) -> Self {
        Self::with_width(panel_width(), matrix, inner, columns)
    }

    fn with_width(panel: usize, matrix: &[f32], inner: usize, columns: usize) -> Self {
        assert_eq!(matrix.len(), inner * columns);
        let mut values = Vec::with_capacity(inner * columns.next_multiple_of(panel));
        for start in (0..columns).step_by(panel) {
            let width = panel.min(columns - start);
            for row in matrix.chunks_exact(columns) {
                values.extend_from_slice(&row[start..start + width]);
                values.resize(values.len() + panel - width, 0.0);
            }
        }
        Self { inner, columns, width: panel, values }
    }

    /// Of the transpose of a matrix [columns, inner].
    pub fn of_transposed(matrix: &[f32], inner: usize, columns: usize) -> Self {
        assert_eq!(matrix.len(), inner * columns);
        let width = panel_width();
        let mut values = vec![0.0; inner * columns.next_multiple_of(width)];
        for (column, row) in matrix.chunks_exact(inner).enumerate() {
            let panel = &mut values[column / width * width * inner..];
            for (value, place) in row.iter().zip(panel[column % width..].iter_mut().step_by(width))
            {
                *place = *value;
            }
        }
        Self { inner, columns, width, values }
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

/// What is not zero in a matrix, row by row.
#[derive(Debug, Default)]
pub struct Sparse {
    /// Where each row begins in `entries`, and the end.
    starts: Vec<u32>,
    /// Column and value; what lies beyond the last row's means nothing.
    entries: Vec<(u32, f32)>,
    columns: usize,
}

impl Sparse {
    /// Columns of a matrix whose zeros are worth leaving out; the terms of a product are one block.
    pub const WORTH: std::ops::RangeInclusive<usize> = 48..=192;

    /// Of a matrix of so many columns, if at most a third of it differs from zero.
    pub fn of(matrix: &[f32], columns: usize) -> Option<Self> {
        let mut sparse = Self::default();
        sparse.refill(matrix, columns).then_some(sparse)
    }

    /// `of` in the same storage; false, and nothing of use, if more differs from zero.
    pub fn refill(&mut self, matrix: &[f32], columns: usize) -> bool {
        let limit = matrix.len() / 3;
        self.columns = columns;
        self.entries.resize(limit + columns, (0, 0.0));
        self.starts.clear();
        self.starts.push(0);
        let mut count = 0;
        for row in matrix.chunks_exact(columns) {
            // SAFETY: callers see to `available`
            count += unsafe { nonzero(row, &mut self.entries[count..count + columns]) };
            if count > limit {
                return false;
            }
            self.starts.push(count as u32);
        }
        true
    }

    fn row(&self, number: usize) -> &[(u32, f32)] {
        &self.entries[self.starts[number] as usize..self.starts[number + 1] as usize]
    }
}

/// Writes column and value of what is not zero in a row; how many there are.
#[target_feature(enable = "avx2,fma")]
fn nonzero(row: &[f32], into: &mut [(u32, f32)]) -> usize {
    let mut count = 0;
    for (number, values) in row.chunks(LANES).enumerate() {
        let loaded = load(values);
        let mut differ =
            _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_NEQ_UQ>(loaded, _mm256_setzero_ps()));
        while differ != 0 {
            let lane = differ.trailing_zeros() as usize;
            into[count] = ((number * LANES + lane) as u32, values[lane]);
            count += 1;
            differ &= differ - 1;
        }
    }
    count
}

/// Compiles functions for both widths of registers, each with a number of its own (rows of a tile, registers
/// of a strip); the panels' width, which comes first, says which to take.
macro_rules! for_both_widths {
    ($(
        $(#[$meta:meta])*
        fn $name:ident = $of:ident::<$few:literal, $many:literal>($($argument:ident: $type:ty),*);
    )*) => {$(
        $(#[$meta])*
        fn $name(panel: usize, $($argument: $type),*) {
            #[target_feature(enable = "avx2,fma")]
            fn by_8($($argument: $type),*) {
                unsafe { $of::<__m256, $few>($($argument),*) }
            }
            #[target_feature(enable = "avx2,fma,avx512f")]
            fn by_16($($argument: $type),*) {
                unsafe { $of::<__m512, $many>($($argument),*) }
            }
            // SAFETY: callers see to `available`; panels are 32 wide where there is AVX-512
            unsafe {
                match panel {
                    16 => by_8($($argument),*),
                    _ => by_16($($argument),*),
                }
            }
        }
    )*};
}

for_both_widths! {
    /// `multiply_rows`
    fn multiply_panels = multiply_rows::<6, 12>(
        left: &[f32], right: &Panels, bias: &[f32], finish: Finish, into: &mut [f32]
    );
    /// Adds leftᵀ · right: left [rows, m], right [rows, n], into [m, n].
    fn add_block_of = add_block::<6, 12>(
        left: &[f32], right: &[f32], size: [usize; 2], into: &mut [f32]
    );
    /// `sparse_rows`
    fn multiply_sparse_rows = sparse_rows::<8, 4>(
        left: &Sparse,
        right: &[Strip],
        bias: &[f32],
        columns: usize,
        finish: Finish,
        into: &mut [f32]
    );
    /// `outer_of`
    fn add_outer = outer_of::<8, 4>(
        left: &Sparse, rows: Range<usize>, right: &[f32], size: [usize; 2], strips: &mut [Strip]
    );
}

/// bias + left · right, finished: left [rows, inner], into [rows, columns]. Without a bias the product
/// alone.
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
    let bias = padded(bias, right.columns);
    multiply_panels(right.width, left, right, &bias, finish, into);
}

fn padded(bias: Option<&[f32]>, columns: usize) -> Vec<f32> {
    let mut padded = bias.map_or_else(|| vec![0.0; columns], <[f32]>::to_vec);
    assert_eq!(padded.len(), columns);
    padded.resize(columns.next_multiple_of(STRIP), 0.0);
    padded
}

/// TILE rows at a time, then what is left in tiles of four and of one.
#[inline(always)]
unsafe fn multiply_rows<V: Register, const TILE: usize>(
    left: &[f32],
    right: &Panels,
    bias: &[f32],
    finish: Finish,
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
            let (rows, bias) = (&mut rows[start..], &bias[start..]);
            let size = [inner, columns, width];
            unsafe {
                match (tile == TILE, tile, width <= V::COUNT) {
                    (true, _, false) => tile_of::<V, TILE, 2>(left, panel, bias, rows, size),
                    (true, _, true) => tile_of::<V, TILE, 1>(left, panel, bias, rows, size),
                    (false, 4, false) => tile_of::<V, 4, 2>(left, panel, bias, rows, size),
                    (false, 4, true) => tile_of::<V, 4, 1>(left, panel, bias, rows, size),
                    (false, ..) => tile_of::<V, 1, 2>(left, panel, bias, rows, size),
                }
            }
        }
        unsafe { finished::<V>(rows, finish, row * columns, count * columns) };
        row += tile;
    }
}

/// ROWS × one panel of a product of a size [inner, columns, columns of the panel], each block of terms
/// added to the bias in turn.
#[inline(always)]
unsafe fn tile_of<V: Register, const ROWS: usize, const VECTORS: usize>(
    left: &[f32],
    panel: &[f32],
    bias: &[f32],
    into: &mut [f32],
    [inner, stride, width]: [usize; 3],
) {
    unsafe {
        let bias: [V; VECTORS] = std::array::from_fn(|v| V::load(&bias[v * V::COUNT..]));
        let mut sum = [bias; ROWS];
        let block = block(inner);
        for start in (0..inner).step_by(block) {
            let length = block.min(inner - start);
            let panel = &panel[start * 2 * V::COUNT..];
            // panels are filled up: whole registers of them
            let width = VECTORS * V::COUNT;
            let terms: [[V; VECTORS]; ROWS] =
                chain((&left[start..], [inner, 1]), (panel, 2 * V::COUNT), width, length);
            for (sum, term) in sum.iter_mut().zip(terms) {
                *sum = std::array::from_fn(|v| sum[v].add(term[v]));
            }
        }
        for (row, sum) in sum.into_iter().enumerate() {
            put(sum, &mut into[row * stride..row * stride + width]);
        }
    }
}

/// Registers side by side.
#[inline(always)]
unsafe fn put<V: Register, const VECTORS: usize>(sum: [V; VECTORS], into: &mut [f32]) {
    for (sum, into) in sum.into_iter().zip(into.chunks_mut(V::COUNT)) {
        unsafe { sum.store(into) };
    }
}

/// Σ of `length` terms for ROWS × the first `width` columns of the right matrix, from 0, one fused
/// multiply-add after another. Element (row, k) of the left matrix lies at row · strides[0] +
/// k · strides[1], row k of the right one at k · stride.
#[inline(always)]
unsafe fn chain<V: Register, const ROWS: usize, const VECTORS: usize>(
    (left, strides): (&[f32], [usize; 2]),
    (right, stride): (&[f32], usize),
    width: usize,
    length: usize,
) -> [[V; VECTORS]; ROWS] {
    assert!(left.len() > (ROWS - 1) * strides[0] + (length - 1) * strides[1]);
    assert!(width <= VECTORS * V::COUNT && right.len() >= (length - 1) * stride + width);
    // SAFETY: both lengths were just checked
    unsafe {
        if width == VECTORS * V::COUNT {
            terms(left.as_ptr(), strides, length, |k, v| {
                V::read(right.as_ptr().add(k * stride + v * V::COUNT))
            })
        } else {
            terms(left.as_ptr(), strides, length, |k, v| {
                let first = V::COUNT * v;
                V::read_first(right.as_ptr().add(k * stride + first), width.saturating_sub(first))
            })
        }
    }
}

/// `chain`, with a way to vector v of row k of the right matrix.
#[inline(always)]
unsafe fn terms<V: Register, const ROWS: usize, const VECTORS: usize>(
    left: *const f32,
    strides: [usize; 2],
    length: usize,
    right: impl Fn(usize, usize) -> V,
) -> [[V; VECTORS]; ROWS] {
    unsafe {
        let mut sum = [[V::zero(); VECTORS]; ROWS];
        for k in 0..length {
            let right: [V; VECTORS] = std::array::from_fn(|v| right(k, v));
            for (row, sum) in sum.iter_mut().enumerate() {
                let value = V::splat(*left.add(row * strides[0] + k * strides[1]));
                for (sum, right) in sum.iter_mut().zip(right) {
                    *sum = value.times_plus(right, *sum);
                }
            }
        }
        sum
    }
}

/// `multiply` where the left matrix is sparse and the right one, [inner, columns], is finite; `None`
/// where it is not.
pub fn multiply_sparse(
    left: &Sparse,
    right: &[f32],
    bias: &[f32],
    finish: Finish,
    into: &mut [f32],
) -> Option<()> {
    let columns = bias.len();
    let rows = left.starts.len() - 1;
    assert_eq!(right.len(), left.columns * columns);
    assert_eq!(into.len(), rows * columns);
    assert_eq!(block(left.columns), left.columns, "one block of terms");
    if !right.iter().all(|value| value.is_finite()) {
        return None;
    }
    let bias = padded(Some(bias), columns);
    let right = strips_of(right, columns);
    multiply_sparse_rows(panel_width(), left, &right, &bias, columns, finish, into);
    Some(())
}

/// The rows of a matrix, each filled up to whole strips.
fn strips_of(matrix: &[f32], columns: usize) -> Vec<Strip> {
    let strips = columns.div_ceil(STRIP);
    let mut wide = vec![EMPTY; matrix.len() / columns * strips];
    for (wide, row) in wide.chunks_exact_mut(strips).zip(matrix.chunks_exact(columns)) {
        for (Strip(strip), values) in wide.iter_mut().zip(row.chunks(STRIP)) {
            strip[..values.len()].copy_from_slice(values);
        }
    }
    wide
}

/// `multiply_sparse` with a right matrix whose rows, like the bias, are filled up to whole strips.
#[inline(always)]
unsafe fn sparse_rows<V: Register, const VECTORS: usize>(
    left: &Sparse,
    right: &[Strip],
    bias: &[f32],
    columns: usize,
    finish: Finish,
    into: &mut [f32],
) {
    let (strips, length) = (bias.len() / STRIP, into.len());
    for (number, into) in into.chunks_exact_mut(columns).enumerate() {
        let entries = left.row(number);
        for (place, into) in into.chunks_mut(STRIP).enumerate() {
            // SAFETY: a strip is whole registers
            unsafe {
                let mut sum = [V::zero(); VECTORS];
                for &(column, value) in entries {
                    let value = V::splat(value);
                    let Strip(row) = &right[column as usize * strips + place];
                    for (sum, right) in sum.iter_mut().zip(row.chunks_exact(V::COUNT)) {
                        *sum = value.times_plus(V::read(right.as_ptr()), *sum);
                    }
                }
                let bias = bias[place * STRIP..].chunks_exact(V::COUNT);
                for ((into, sum), bias) in into.chunks_mut(V::COUNT).zip(sum).zip(bias) {
                    V::read(bias.as_ptr()).add(sum).store(into);
                }
            }
        }
        unsafe { finished::<V>(into, finish, number * columns, length) };
    }
}

/// leftᵀ · right: left [rows, m], right [rows, n], into [m, n].
pub fn multiply_transposed(left: &[f32], right: &[f32], rows: usize, into: &mut [f32]) {
    into.fill(0.0);
    add_transposed(left, right, rows, into);
}

/// Adds leftᵀ · right, a block of terms after the other.
pub fn add_transposed(left: &[f32], right: &[f32], rows: usize, into: &mut [f32]) {
    let (m, n) = (left.len() / rows, right.len() / rows);
    assert!(left.len() == rows * m && right.len() == rows * n && into.len() == m * n);
    let block = block(rows);
    for (left, right) in left.chunks(block * m).zip(right.chunks(block * n)) {
        add_block_of(panel_width(), left, right, [m, n], into);
    }
}

/// Adds leftᵀ · right: left [rows, m], right [rows, n], into [m, n].
#[inline(always)]
unsafe fn add_block<V: Register, const TILE: usize>(
    left: &[f32],
    right: &[f32],
    [m, n]: [usize; 2],
    into: &mut [f32],
) {
    for start in (0..n).step_by(2 * V::COUNT) {
        let width = (2 * V::COUNT).min(n - start);
        let mut row = 0;
        while row < m {
            let tile = [TILE, 4, 1].into_iter().find(|tile| row + tile <= m).unwrap_or(1);
            let (left, right) = (&left[row..], &right[start..]);
            let into = &mut into[row * n + start..];
            let size = [m, n, width];
            unsafe {
                match (tile == TILE, tile, width <= V::COUNT) {
                    (true, _, false) => add_tile::<V, TILE, 2>(left, right, into, size),
                    (true, _, true) => add_tile::<V, TILE, 1>(left, right, into, size),
                    (false, 4, false) => add_tile::<V, 4, 2>(left, right, into, size),
                    (false, 4, true) => add_tile::<V, 4, 1>(left, right, into, size),
                    (false, ..) => add_tile::<V, 1, 2>(left, right, into, size),
                }
            }
            row += tile;
        }
    }
}

#[inline(always)]
unsafe fn add_tile<V: Register, const ROWS: usize, const VECTORS: usize>(
    left: &[f32],
    right: &[f32],
    into: &mut [f32],
    [m, n, width]: [usize; 3],
) {
    unsafe {
        let rows = (right.len() - width) / n + 1;
        let terms: [[V; VECTORS]; ROWS] = chain((left, [1, m]), (right, n), width, rows);
        for (row, terms) in terms.into_iter().enumerate() {
            let into = &mut into[row * n..row * n + width];
            for (term, into) in terms.into_iter().zip(into.chunks_mut(V::COUNT)) {
                V::load(into).add(term).store(into);
            }
        }
    }
}

/// `multiply_transposed` where the left matrix is sparse; right [rows, n], finite.
pub fn multiply_transposed_sparse(left: &Sparse, right: &[f32], into: &mut [f32]) {
    let rows = left.starts.len() - 1;
    let (m, n) = (left.columns, right.len() / rows);
    assert!(right.len() == rows * n && into.len() == m * n);
    into.fill(0.0);
    let mut strips = vec![EMPTY; m];
    for start in (0..n).step_by(STRIP) {
        let width = STRIP.min(n - start);
        for first in (0..rows).step_by(block(rows)) {
            let last = rows.min(first + block(rows));
            strips.fill(EMPTY);
            add_outer(panel_width(), left, first..last, &right[start..], [n, width], &mut strips);
            for (into, Strip(strip)) in into.chunks_exact_mut(n).zip(&strips) {
                into[start..start + width]
                    .iter_mut()
                    .zip(strip)
                    .for_each(|(into, term)| *into += term);
            }
        }
    }
}

/// strips[column] += value · right, over the entries of some rows; `right` has rows of so many values, of
/// which the first few count.
#[inline(always)]
unsafe fn outer_of<V: Register, const VECTORS: usize>(
    left: &Sparse,
    rows: Range<usize>,
    right: &[f32],
    [stride, width]: [usize; 2],
    strips: &mut [Strip],
) {
    for row in rows {
        // SAFETY: a strip is whole registers
        unsafe {
            let mut loaded = [V::zero(); VECTORS];
            let right = right[row * stride..][..width].chunks(V::COUNT);
            loaded.iter_mut().zip(right).for_each(|(loaded, right)| *loaded = V::load(right));
            for &(column, value) in left.row(row) {
                let value = V::splat(value);
                let Strip(strip) = &mut strips[column as usize];
                for (sum, right) in strip.chunks_exact_mut(V::COUNT).zip(loaded) {
                    value.times_plus(right, V::read(sum.as_ptr())).write(sum.as_mut_ptr());
                }
            }
        }
    }
}

/// Σ over the rows of a matrix with `into.len()` columns.
pub fn column_sums(matrix: &[f32], into: &mut [f32]) {
    let columns = into.len();
    let rows = matrix.len() / columns;
    assert_eq!(matrix.len(), rows * columns);
    let four = 4 * LANES;
    let whole = columns / four * four;
    // SAFETY: callers see to `available`
    unsafe {
        for start in (0..whole).step_by(four) {
            let sums = cascade::<4>(&matrix[start..], columns, rows, four);
            for (sum, into) in sums.into_iter().zip(into[start..].chunks_mut(LANES)) {
                store(sum, into);
            }
        }
        for start in (whole..columns).step_by(LANES) {
            let width = LANES.min(columns - start);
            store(
                interleaved(&matrix[start..], columns, rows, width),
                &mut into[start..start + width],
            );
        }
    }
}

/// Sums of VECTORS × 8 columns over rows that are `stride` apart, in levels: 2⁴ rows (or more where
/// there are very many) are added up, then as many of these sums, and so on.
#[target_feature(enable = "avx2,fma")]
#[inline]
fn cascade<const VECTORS: usize>(
    matrix: &[f32],
    stride: usize,
    rows: usize,
    width: usize,
) -> [__m256; VECTORS] {
    const LEVELS: usize = 4;
    let power = (rows.next_power_of_two().trailing_zeros() as usize / LEVELS).max(4);
    let (step, mask) = (1 << power, (1 << power) - 1);
    let mut sums = [[_mm256_setzero_ps(); VECTORS]; LEVELS];
    let add = |sum: &mut [__m256; VECTORS], row: usize| {
        let values = &matrix[row * stride..row * stride + width];
        for (sum, values) in sum.iter_mut().zip(values.chunks(LANES)) {
            *sum = _mm256_add_ps(*sum, load(values));
        }
    };
    let mut row = 0;
    while row + step <= rows {
        for _ in 0..step {
            add(&mut sums[0], row);
            row += 1;
        }
        for level in 1..LEVELS {
            let (lower, higher) = sums.split_at_mut(level);
            for (lower, higher) in lower[level - 1].iter_mut().zip(&mut higher[0]) {
                *higher = _mm256_add_ps(*higher, *lower);
                *lower = _mm256_setzero_ps();
            }
            if row & (mask << (level * power)) != 0 {
                break;
            }
        }
    }
    for row in row..rows {
        add(&mut sums[0], row);
    }
    let [mut sum, higher @ ..] = sums;
    for level in higher {
        for (sum, level) in sum.iter_mut().zip(level) {
            *sum = _mm256_add_ps(*sum, level);
        }
    }
    sum
}

/// Sums of up to 8 columns: every fourth row in a cascade of its own.
#[target_feature(enable = "avx2,fma")]
fn interleaved(matrix: &[f32], stride: usize, rows: usize, width: usize) -> __m256 {
    let quarter = rows / 4;
    let mut parts = [_mm256_setzero_ps(); 4];
    for (number, part) in parts.iter_mut().enumerate() {
        if quarter > 0 {
            [*part] = cascade::<1>(&matrix[number * stride..], 4 * stride, quarter, width);
        }
    }
    let [mut sum, others @ ..] = parts;
    for row in 4 * quarter..rows {
        sum = _mm256_add_ps(sum, load(&matrix[row * stride..row * stride + width]));
    }
    for part in others {
        sum = _mm256_add_ps(sum, part);
    }
    sum
}

/// Of every row of x and y: ‖y−x‖², x·y, ‖x‖², ‖y‖², each in sixteen interleaved parts.
pub fn row_sums(x: &[f32], y: &[f32], columns: usize, into: [&mut [f32]; 4]) {
    assert!(x.len() == y.len() && into.iter().all(|into| into.len() * columns == x.len()));
    // SAFETY: callers see to `available`
    unsafe { row_sums_of(x, y, columns, into) };
}

#[target_feature(enable = "avx2,fma")]
fn row_sums_of(x: &[f32], y: &[f32], columns: usize, into: [&mut [f32]; 4]) {
    let [error, product, of_x, of_y] = into;
    for (row, (x, y)) in x.chunks_exact(columns).zip(y.chunks_exact(columns)).enumerate() {
        let mut sums = [[_mm256_setzero_ps(); 2]; 4];
        for (number, (x, y)) in x.chunks(LANES).zip(y.chunks(LANES)).enumerate() {
            let (x, y) = (load(x), load(y));
            let difference = _mm256_sub_ps(y, x);
            let factors = [(difference, difference), (x, y), (x, x), (y, y)];
            for (sum, (a, b)) in sums.iter_mut().zip(factors) {
                sum[number % 2] = _mm256_fmadd_ps(a, b, sum[number % 2]);
            }
        }
        let [a, b, c, d] = sums.map(|[even, odd]| _mm256_add_ps(even, odd));
        // halves of pairs of neighbours: each of the four in its own lane
        let sums = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
        let sums = _mm_add_ps(_mm256_castps256_ps128(sums), _mm256_extractf128_ps::<1>(sums));
        let mut four = [0.0; 4];
        // SAFETY: four places
        unsafe { _mm_storeu_ps(four.as_mut_ptr(), sums) };
        [error[row], product[row], of_x[row], of_y[row]] = four;
    }
}

/// Copies rows of so many columns: row `order[i]` of `from` to row i of `into`. The rows to come are
/// asked for ahead, for they lie anywhere in memory.
///
/// # Panics
/// If there is no such row.
pub fn gather(from: &[f32], columns: usize, order: &[i64], into: &mut [f32]) {
    const AHEAD: usize = 8;
    const LINE: usize = 64 / size_of::<f32>();
    assert_eq!(into.len(), order.len() * columns);
    for (number, (into, &row)) in into.chunks_exact_mut(columns).zip(order).enumerate() {
        if let Some(&later) = order.get(number + AHEAD) {
            for value in from[later as usize * columns..][..columns].iter().step_by(LINE) {
                // SAFETY: a hint about values that are there
                unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(value).cast()) };
            }
        }
        into.copy_from_slice(&from[row as usize * columns..][..columns]);
    }
}

/// y · along_y + x · along_x, row by row.
pub fn combine(x: &[f32], y: &[f32], along_x: &[f32], along_y: &[f32], into: &mut [f32]) {
    let columns = x.len() / along_x.len();
    assert!(x.len() == y.len() && x.len() == into.len() && along_x.len() == along_y.len());
    assert_eq!(x.len(), columns * along_x.len());
    // SAFETY: callers see to `available`
    unsafe { combine_rows(x, y, along_x, along_y, into) };
}

#[target_feature(enable = "avx2,fma")]
fn combine_rows(x: &[f32], y: &[f32], along_x: &[f32], along_y: &[f32], into: &mut [f32]) {
    let columns = x.len() / along_x.len();
    let rows =
        x.chunks_exact(columns).zip(y.chunks_exact(columns)).zip(into.chunks_exact_mut(columns));
    for (((x, y), into), (along_x, along_y)) in rows.zip(along_x.iter().zip(along_y)) {
        let (along_x, along_y) = (_mm256_set1_ps(*along_x), _mm256_set1_ps(*along_y));
        for ((x, y), into) in x.chunks(LANES).zip(y.chunks(LANES)).zip(into.chunks_mut(LANES)) {
            store(_mm256_fmadd_ps(load(x), along_x, _mm256_mul_ps(load(y), along_y)), into);
        }
    }
}

/// m ← m + shares[0] (g−m), v ← v + shares[1] (g²−v): Adam's moments.
pub fn move_moments(first: &mut [f32], second: &mut [f32], gradient: &[f32], shares: [f32; 2]) {
    assert!(first.len() == gradient.len() && second.len() == gradient.len());
    // SAFETY: callers see to `available`
    unsafe { move_moments_of(first, second, gradient, shares) };
}

#[target_feature(enable = "avx2,fma")]
fn move_moments_of(first: &mut [f32], second: &mut [f32], gradient: &[f32], shares: [f32; 2]) {
    let shares = [_mm256_set1_ps(shares[0]), _mm256_set1_ps(shares[1])];
    let moments = first.chunks_mut(LANES).zip(second.chunks_mut(LANES));
    for ((first, second), gradient) in moments.zip(gradient.chunks(LANES)) {
        let (g, m, v) = (load(gradient), load(first), load(second));
        let square = _mm256_mul_ps(g, g);
        store(_mm256_fmadd_ps(shares[0], _mm256_sub_ps(g, m), m), first);
        store(_mm256_fmadd_ps(shares[1], _mm256_sub_ps(square, v), v), second);
    }
}

/// θ ← θ + rate · m / (root + ε).
pub fn move_values(values: &mut [f32], first: &[f32], root: &[f32], rate: f32, epsilon: f32) {
    assert!(first.len() == values.len() && root.len() == values.len());
    // SAFETY: callers see to `available`
    unsafe { move_values_of(values, first, root, rate, epsilon) };
}

#[target_feature(enable = "avx2,fma")]
fn move_values_of(values: &mut [f32], first: &[f32], root: &[f32], rate: f32, epsilon: f32) {
    let (rate, epsilon) = (_mm256_set1_ps(rate), _mm256_set1_ps(epsilon));
    let vectors = values.chunks_mut(LANES).zip(first.chunks(LANES).zip(root.chunks(LANES)));
    for (values, (first, root)) in vectors {
        let direction = _mm256_div_ps(load(first), _mm256_add_ps(load(root), epsilon));
        store(_mm256_fmadd_ps(direction, rate, load(values)), values);
    }
}

/// Finishes the part from `start` on of a product of `length` entries.
#[inline(always)]
unsafe fn finished<V: Register>(values: &mut [f32], finish: Finish, start: usize, length: usize) {
    unsafe {
        match finish {
            Finish::Nothing => {}
            Finish::Tanh => {
                // libtorch takes what fills no two of its widest vectors one by one
                let whole = (length / 32 * 32).saturating_sub(start).min(values.len());
                let (vectors, rest) = values.split_at_mut(whole);
                let mut vectors = vectors.chunks_exact_mut(V::COUNT);
                for values in &mut vectors {
                    tanh(V::read(values.as_ptr())).write(values.as_mut_ptr());
                }
                let values = vectors.into_remainder();
                tanh(V::load(values)).store(values);
                for value in rest {
                    *value = 2.0 / (1.0 + (-2.0 * *value).exp()) - 1.0;
                }
            }
            Finish::TanhBackward(outputs) => {
                let one = V::splat(1.0);
                let outputs = &outputs[start..start + values.len()];
                for (values, outputs) in values.chunks_mut(V::COUNT).zip(outputs.chunks(V::COUNT)) {
                    let output = V::load(outputs);
                    let slope = V::zero().minus(output).times_plus(output, one);
                    V::load(values).times(slope).store(values);
                }
            }
        }
    }
}

/// 2 / (1 + e^(−2x)) − 1.
#[inline(always)]
unsafe fn tanh<V: Register>(x: V) -> V {
    unsafe {
        let (one, two) = (V::splat(1.0), V::splat(2.0));
        let power = exp(V::zero().minus(x.times(two)));
        one.over(one.add(power)).times(two).minus(one)
    }
}

/// e^x within an ulp for |x| ≤ 87, and beyond that e^±87, with Sleef's coefficients (N. Shibata, "SLEEF
/// vectorized math library", expf_u10), as libtorch's sigmoid has it: 1 / (1 + e^±87) has its bits.
#[inline(always)]
#[allow(clippy::excessive_precision, reason = "the source's digits")]
unsafe fn exp<V: Register>(x: V) -> V {
    const COEFFICIENTS: [f32; 5] = [
        0.00139304355252534151,
        0.00833336077630519867,
        0.0416664853692054749,
        0.166666671633720398,
        0.5,
    ];
    unsafe {
        let x = x.within(87.0);
        let [count, power] = x.times(V::splat(std::f32::consts::LOG2_E)).whole();
        // x − count · log 2, log 2 in two parts
        let rest = count.times_plus(V::splat(-0.693145751953125), x);
        let rest = count.times_plus(V::splat(-1.428606765330187045e-06), rest);
        let mut sum = V::splat(0.000198527617612853646);
        for coefficient in COEFFICIENTS {
            sum = sum.times_plus(rest, V::splat(coefficient));
        }
        let sum = rest.times(rest).times_plus(sum, rest);
        V::splat(1.0).add(sum).times(power)
    }
}

/// The first `length` lanes.
#[target_feature(enable = "avx2,fma")]
#[inline]
fn mask(length: usize) -> __m256i {
    const ONES: [i32; 2 * LANES] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    // SAFETY: eight numbers from one of the first nine places of sixteen
    unsafe { _mm256_loadu_si256(ONES[LANES - length.min(LANES)..].as_ptr().cast()) }
}

/// Up to eight values, then zeros.
#[target_feature(enable = "avx2,fma")]
#[inline]
fn load(values: &[f32]) -> __m256 {
    // SAFETY: no more lanes than there are values are read
    unsafe {
        match values.len() {
            LANES.. => _mm256_loadu_ps(values.as_ptr()),
            length => _mm256_maskload_ps(values.as_ptr(), mask(length)),
        }
    }
}

/// As many lanes as there are places.
#[target_feature(enable = "avx2,fma")]
#[inline]
fn store(vector: __m256, into: &mut [f32]) {
    // SAFETY: no more lanes than there are places are written
    unsafe {
        match into.len() {
            LANES.. => _mm256_storeu_ps(into.as_mut_ptr(), vector),
            length => _mm256_maskstore_ps(into.as_mut_ptr(), mask(length), vector),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Multiples of 1/64 in [−2, 2), most of them 0 where `sparse`.
    fn matrix(count: usize, seed: u64, sparse: bool) -> Vec<f32> {
        let mut state = seed;
        let mut draw = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as u32
        };
        let mut value = move || {
            let kept = !sparse || draw() % 8 == 0;
            if kept { (draw() % 256) as f32 / 64.0 - 2.0 } else { 0.0 }
        };
        (0..count).map(|_| value() * 1.1).collect()
    }

    /// Entry by entry, in the order that the module promises.
    fn naive(left: &[f32], right: &[f32], bias: &[f32], inner: usize) -> Vec<f32> {
        let entry = |row: &[f32], column: usize| {
            let terms = row.iter().zip(right[column..].iter().step_by(bias.len()));
            let terms: Vec<(&f32, &f32)> = terms.collect();
            let add = |sum: f32, block: &[(&f32, &f32)]| {
                sum + block.iter().fold(0.0f32, |sum, (a, b)| a.mul_add(**b, sum))
            };
            terms.chunks(block(inner)).fold(bias[column], add)
        };
        left.chunks(inner).flat_map(|row| (0..bias.len()).map(move |c| entry(row, c))).collect()
    }

    #[test]
    fn products_have_their_terms_added_in_the_promised_order_whatever_their_size() {
        for (rows, inner, columns) in
            [(1, 1, 1), (7, 118, 60), (29, 3, 17), (65, 200, 30), (6, 500, 16), (24, 10, 40)]
        {
            let left = matrix(rows * inner, 1, false);
            let right = matrix(inner * columns, 2, false);
            let bias = matrix(columns, 3, false);
            let expected = naive(&left, &right, &bias, inner);
            let mut got = vec![f32::NAN; rows * columns];
            let panels = Panels::of(&right, inner, columns);
            multiply(&left, &panels, Some(&bias), Finish::Nothing, &mut got);
            assert_eq!(got, expected, "{rows} × {inner} × {columns}");
            let narrow = Panels::with_width(16, &right, inner, columns);
            multiply(&left, &narrow, Some(&bias), Finish::Nothing, &mut got);
            assert_eq!(got, expected, "registers of 8 lanes, {rows} × {inner} × {columns}");

            let turned: Vec<f32> =
                (0..columns * inner).map(|i| right[i % inner * columns + i / inner]).collect();
            let panels = Panels::of_transposed(&turned, inner, columns);
            multiply(&left, &panels, Some(&bias), Finish::Nothing, &mut got);
            assert_eq!(got, expected, "transposed, {rows} × {inner} × {columns}");

            let turned: Vec<f32> =
                (0..rows * inner).map(|i| left[i % rows * inner + i / rows]).collect();
            multiply_transposed(&turned, &right, inner, &mut got);
            assert_eq!(got, naive(&left, &right, &vec![0.0; columns], inner));
            let [rows_before, rows_after] = [got.clone(), {
                add_transposed(&turned, &right, inner, &mut got);
                got.clone()
            }];
            let doubled = rows_before.iter().map(|value| 2.0 * value);
            let gap =
                rows_after.iter().zip(doubled).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(gap <= 1e-4, "added to what was there: {gap}");
            if inner <= 192 {
                let mut narrow = vec![0.0; rows * columns];
                add_block_of(16, &turned, &right, [rows, columns], &mut narrow);
                assert_eq!(narrow, rows_before, "registers of 8 lanes");
            }
        }
    }

    #[test]
    fn a_sparse_matrix_gives_the_bits_of_a_dense_one() {
        let (rows, inner, columns) = (300, 118, 70);
        let left = matrix(rows * inner, 4, true);
        let right = matrix(inner * columns, 5, false);
        let bias = matrix(columns, 6, false);
        let sparse = Sparse::of(&left, inner).expect("an eighth of it is not 0");
        let (mut got, mut expected) = (vec![0.0; rows * columns], vec![0.0; rows * columns]);
        multiply_sparse(&sparse, &right, &bias, Finish::Tanh, &mut got).expect("finite");
        let panels = Panels::of(&right, inner, columns);
        multiply(&left, &panels, Some(&bias), Finish::Tanh, &mut expected);
        assert_eq!(got, expected);
        got.fill(0.0);
        let (strips, filled) = (strips_of(&right, columns), padded(Some(&bias), columns));
        multiply_sparse_rows(16, &sparse, &strips, &filled, columns, Finish::Tanh, &mut got);
        assert_eq!(got, expected, "registers of 8 lanes");

        let by_output = matrix(rows * columns, 7, false);
        let (mut got, mut expected) = (vec![0.0; inner * columns], vec![0.0; inner * columns]);
        multiply_transposed_sparse(&sparse, &by_output, &mut got);
        multiply_transposed(&left, &by_output, rows, &mut expected);
        assert_eq!(got, expected);
        let outer = |panel: usize| {
            let mut strips = vec![EMPTY; inner];
            add_outer(panel, &sparse, 0..rows, &by_output, [columns, STRIP], &mut strips);
            strips.iter().map(|strip| strip.0).collect::<Vec<_>>()
        };
        assert_eq!(outer(16), outer(panel_width()), "registers of 8 lanes");
    }

    #[test]
    fn a_sparse_product_refuses_a_matrix_that_is_not_finite() {
        let sparse = Sparse::of(&[1.0, 0.0, 0.0, 0.0, 0.0, 0.0], 3).expect("sparse");
        let right = [1.0, f32::INFINITY, 0.0];
        assert_eq!(multiply_sparse(&sparse, &right, &[0.0], Finish::Nothing, &mut [0.0; 2]), None);
        assert!(Sparse::of(&[1.0, 2.0, 0.0], 3).is_none());
    }

    #[test]
    fn sums_over_rows_are_those_of_f64_and_sums_over_columns_have_libtorchs_bits() {
        for (rows, columns) in [(1, 8), (5, 13), (128, 60), (1024, 118), (300, 3), (64, 511)] {
            let (x, y) = (matrix(rows * columns, 8, false), matrix(rows * columns, 9, false));
            let mut sums = [(); 4].map(|()| vec![0.0; rows]);
            let [error, product, of_x, of_y] = &mut sums;
            row_sums(&x, &y, columns, [error, product, of_x, of_y]);
            for (row, (x, y)) in x.chunks(columns).zip(y.chunks(columns)).enumerate() {
                let sum = |term: fn(f64, f64) -> f64| {
                    let terms = x.iter().zip(y).map(|(x, y)| term(f64::from(*x), f64::from(*y)));
                    terms.sum::<f64>()
                };
                let expected = [
                    sum(|x, y| (y - x).powi(2)),
                    sum(|x, y| x * y),
                    sum(|x, _| x * x),
                    sum(|_, y| y * y),
                ];
                for (got, expected) in sums.iter().map(|sums| f64::from(sums[row])).zip(expected) {
                    assert!(
                        (got - expected).abs() <= 1e-6 * columns as f64 * expected.abs().max(1.0),
                        "{got}, {expected}"
                    );
                }
            }
            let read = |t: tch::Tensor| Vec::<f32>::try_from(t.flatten(0, -1)).expect("f32");
            let tx = tch::Tensor::from_slice(&x).view([1, rows as i64, columns as i64]);
            let mut sums = vec![0.0; columns];
            column_sums(&x, &mut sums);
            assert_eq!(sums, read(tx.sum_dim_intlist(1, false, None)), "{rows} × {columns}");
        }
    }

    #[test]
    fn tanh_is_within_a_rounding_of_1_and_goes_back() {
        let inputs: Vec<f32> =
            (-4000..4000).map(|i| i as f32 / 200.0).chain([1e30, -1e30]).collect();
        let unit = Panels::of(&[1.0], 1, 1);
        let mut outputs = vec![0.0; inputs.len()];
        multiply(&inputs, &unit, None, Finish::Tanh, &mut outputs);
        for (x, y) in inputs.iter().zip(&outputs) {
            assert!((y - x.tanh()).abs() <= 2e-7, "tanh({x}) = {y}");
        }
        let narrow = Panels::with_width(16, &[1.0], 1, 1);
        for length in [inputs.len(), 31, 33, 45] {
            let mut by_8 = vec![0.0; length];
            multiply(&inputs[..length], &narrow, None, Finish::Tanh, &mut by_8);
            let whole = length / 32 * 32;
            assert_eq!(by_8[..whole], outputs[..whole], "registers of 8 lanes");
        }
        let mut slopes = vec![0.0; inputs.len()];
        multiply(
            &vec![1.0; inputs.len()],
            &unit,
            None,
            Finish::TanhBackward(&outputs),
            &mut slopes,
        );
        for (y, slope) in outputs.iter().zip(slopes) {
            assert!((slope - (1.0 - y * y)).abs() <= 2e-7, "at {y}: {slope}");
        }
    }
}
