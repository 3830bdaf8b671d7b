//! Rows and classes that come as two arrays.

use super::builder::Builder;
use super::{Outcome, Problem};

/// An array of a file.
#[derive(Debug)]
pub(super) struct Array {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    /// Whether columns lie together, not rows.
    pub(super) by_column: bool,
    pub(super) values: Values,
}

/// What an array holds.
#[derive(Debug)]
pub(super) enum Values {
    Numbers(Vec<f64>),
    Words(Vec<String>),
}

/// Values of an array at most: half a tebibyte of them.
pub(super) const MOST_VALUES: u128 = 1 << 36;

/// Refuses a shape whose values, of `size` bytes each, do not fit into `bytes`; else returns how many
/// values there are.
pub(super) fn count(name: &str, shape: &[u64], size: u64, bytes: u64) -> Outcome<u64> {
    let claimed = shape
        .iter()
        .try_fold(1u128, |product, &side| product.checked_mul(u128::from(side)))
        .filter(|claimed| *claimed <= MOST_VALUES);
    let fits = claimed.is_some_and(|claimed| claimed * u128::from(size) <= u128::from(bytes));
    match claimed.filter(|_| fits) {
        Some(count) => Ok(count as u64),
        None => Err(Problem::Data(format!(
            "the array '{name}' claims {} values of {size} bytes, which {bytes} bytes cannot hold",
            product(shape)
        ))),
    }
}

/// `60000 × 28 × 28`.
fn product<T: ToString>(shape: &[T]) -> String {
    shape.iter().map(T::to_string).collect::<Vec<_>>().join(" × ")
}

/// Adds the rows of one array with the classes of another.
pub(super) fn add(builder: &mut Builder, [rows, labels]: [Array; 2]) -> Outcome<()> {
    let [count, columns] = rows.shape[..] else {
        return Err(Problem::Data(format!(
            "the array '{}' has the shape {}; it must be rows × columns",
            rows.name,
            product(&rows.shape)
        )));
    };
    let Values::Numbers(values) = &rows.values else {
        return Err(Problem::Data(format!("the array '{}' holds text, not numbers", rows.name)));
    };
    let flat = matches!(labels.shape[..], [_] | [_, 1] | [1, _]);
    let classes: usize = labels.shape.iter().product();
    if !flat || classes != count {
        return Err(Problem::Data(format!(
            "the array '{}' has the shape {}; '{}' has {count} rows, each of which needs a class",
            labels.name,
            product(&labels.shape),
            rows.name
        )));
    }
    builder.begin((1..=columns).map(|place| place.to_string()).collect(), true)?;
    let (across, down) = if rows.by_column { (count, 1) } else { (1, columns) };
    for row in 0..count {
        let place = |what| Problem::Data(format!("'{}', row {}: {what}", labels.name, row + 1));
        for column in 0..columns {
            let value = values[row * down + column * across];
            builder.number(column, value).map_err(|what| {
                let (row, column) = (row + 1, column + 1);
                Problem::Data(format!("'{}', row {row}, column {column}: {what}", rows.name))
            })?;
        }
        match &labels.values {
            Values::Numbers(numbers) => builder.class_of(numbers[row]),
            Values::Words(words) => builder.class(words[row].as_bytes()),
        }
        .map_err(place)?;
        builder.end_row();
    }
    Ok(())
}
