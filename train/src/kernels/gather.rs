//! Rows of a matrix by their numbers.

use super::arch;

/// Copies rows of so many columns: row `order[i]` of `from` to row i of `into`. The rows to come are
/// asked for ahead, for they lie anywhere in memory.
///
/// # Panics
/// If there is no such row.
pub fn gather(from: &[f32], columns: usize, order: &[i64], into: &mut [f32]) {
    const AHEAD: usize = 8;
    assert_eq!(into.len(), order.len() * columns);
    for (number, (into, &row)) in into.chunks_exact_mut(columns).zip(order).enumerate() {
        if let Some(&later) = order.get(number + AHEAD) {
            arch::ask_for(&from[later as usize * columns..][..columns]);
        }
        into.copy_from_slice(&from[row as usize * columns..][..columns]);
    }
}
