//! Sums over the rows and over the columns of f32 matrices. Those over rows are taken in the order in
//! which libtorch 2.11 takes them, in four interleaved parts; those over columns have no bits to match.

use super::arch::{Register, kernel};

/// Columns that libtorch sums side by side.
const COLUMNS: usize = 32;

/// Sums over the features of each row of x and of y.
#[derive(Debug, Default)]
pub struct RowSums<T> {
    /// ‖y−x‖²
    pub error: T,
    /// x·y
    pub product: T,
    /// ‖x‖²
    pub of_x: T,
    /// ‖y‖²
    pub of_y: T,
}

kernel! {
    /// Writes Σ over the rows of a matrix with `into.len()` columns.
    pub fn column_sums(V, proof, matrix: &[f32], into: &mut [f32]) {
        match V::LANES {
            16 => sum_columns::<V, 2>(proof, matrix, into),
            _ => sum_columns::<V, 4>(proof, matrix, into),
        }
    }

    /// Writes sums over each row of x and y, in sixteen interleaved parts.
    pub fn row_sums(V, proof, x: &[f32], y: &[f32], columns: usize, into: RowSums<&mut [f32]>) {
        let RowSums { error, product, of_x, of_y } = &into;
        let lengths = [error.len(), product.len(), of_x.len(), of_y.len()];
        assert!(x.len() == y.len() && lengths.iter().all(|length| length * columns == x.len()));
        match V::LANES {
            16 => sum_rows::<V, 1>(proof, x, y, columns, into),
            _ => sum_rows::<V, 2>(proof, x, y, columns, into),
        }
    }
}

/// `column_sums`, where VECTORS registers hold `COLUMNS`.
#[inline(always)]
fn sum_columns<V: Register, const VECTORS: usize>(
    proof: V::Proof,
    matrix: &[f32],
    into: &mut [f32],
) {
    let columns = into.len();
    let rows = matrix.len() / columns;
    assert_eq!(matrix.len(), rows * columns);
    let whole = columns / COLUMNS * COLUMNS;
    for start in (0..whole).step_by(COLUMNS) {
        let sums = cascade::<V, VECTORS>(proof, &matrix[start..], columns, rows, COLUMNS);
        for (sum, into) in sums.into_iter().zip(into[start..].chunks_mut(V::LANES)) {
            sum.store(into);
        }
    }
    for start in (whole..columns).step_by(V::LANES) {
        let width = V::LANES.min(columns - start);
        let sum = interleaved::<V>(proof, &matrix[start..], columns, rows, width);
        sum.store(&mut into[start..start + width]);
    }
}

/// Sums of the columns of VECTORS registers over rows that are `stride` apart, in levels: 2⁴ rows (or
/// more where there are very many) are added up, then as many of these sums, and so on.
#[inline(always)]
fn cascade<V: Register, const VECTORS: usize>(
    proof: V::Proof,
    matrix: &[f32],
    stride: usize,
    rows: usize,
    width: usize,
) -> [V; VECTORS] {
    const LEVELS: usize = 4;
    let power = (rows.next_power_of_two().trailing_zeros() as usize / LEVELS).max(4);
    let (step, mask) = (1 << power, (1 << power) - 1);
    let mut sums = [[V::zero(proof); VECTORS]; LEVELS];
    let add = |sum: &mut [V; VECTORS], row: usize| {
        let values = &matrix[row * stride..row * stride + width];
        for (sum, values) in sum.iter_mut().zip(values.chunks(V::LANES)) {
            *sum = sum.add(V::load(proof, values));
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
                *higher = higher.add(*lower);
                *lower = V::zero(proof);
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
            *sum = sum.add(level);
        }
    }
    sum
}

/// Sums of one register's columns: every fourth row in a cascade of its own.
#[inline(always)]
fn interleaved<V: Register>(
    proof: V::Proof,
    matrix: &[f32],
    stride: usize,
    rows: usize,
    width: usize,
) -> V {
    let quarter = rows / 4;
    let mut parts = [V::zero(proof); 4];
    for (number, part) in parts.iter_mut().enumerate() {
        if quarter > 0 {
            let matrix = &matrix[number * stride..];
            [*part] = cascade::<V, 1>(proof, matrix, 4 * stride, quarter, width);
        }
    }
    let [mut sum, others @ ..] = parts;
    for row in 4 * quarter..rows {
        sum = sum.add(V::load(proof, &matrix[row * stride..row * stride + width]));
    }
    for part in others {
        sum = sum.add(part);
    }
    sum
}

/// `row_sums`, where VECTORS registers hold the sixteen parts.
#[inline(always)]
fn sum_rows<V: Register, const VECTORS: usize>(
    proof: V::Proof,
    x: &[f32],
    y: &[f32],
    columns: usize,
    into: RowSums<&mut [f32]>,
) {
    for (row, (x, y)) in x.chunks_exact(columns).zip(y.chunks_exact(columns)).enumerate() {
        let mut sums = [[V::zero(proof); VECTORS]; 4];
        for (number, (x, y)) in x.chunks(V::LANES).zip(y.chunks(V::LANES)).enumerate() {
            let (x, y) = (V::load(proof, x), V::load(proof, y));
            let difference = y.minus(x);
            let factors = [(difference, difference), (x, y), (x, x), (y, y)];
            for (sum, (a, b)) in sums.iter_mut().zip(factors) {
                let part = &mut sum[number % VECTORS];
                *part = a.times_plus(b, *part);
            }
        }
        let together = |parts: [V; VECTORS]| {
            let mut sum = parts[0];
            for part in &parts[1..] {
                sum = sum.add(*part);
            }
            sum
        };
        let sums = V::sums(sums.map(together));
        [into.error[row], into.product[row], into.of_x[row], into.of_y[row]] = sums;
    }
}
