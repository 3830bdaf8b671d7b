//! Estimates over slices of finite numbers: plain functions, each with its formula and source.
//! Undefined means `None`, never NaN. Knows nothing of runs, cells or files.

use statrs::distribution::{ContinuousCDF, StudentsT};

/// More runs than this nobody makes: [`runs_needed`] does not look further.
pub const RUNS_CAP: usize = 100_000;

/// The arithmetic mean; `None` of nothing. Summed as differences from the first value, so that
/// equal values have exactly that mean (and a standard deviation of exactly 0).
pub fn mean(values: &[f64]) -> Option<f64> {
    let first = *values.first()?;
    let excess: f64 = values.iter().map(|value| value - first).sum();
    Some(first + excess / values.len() as f64)
}

/// The sample standard deviation √(Σ(x − mean)² / (n − 1)); `None` for fewer than two values.
pub fn std(values: &[f64]) -> Option<f64> {
    if values.len() < 2 {
        return None;
    }
    let mean = mean(values)?;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    Some((squares / (values.len() - 1) as f64).sqrt())
}

/// The smallest value; `None` of nothing.
pub fn min(values: &[f64]) -> Option<f64> {
    values.iter().copied().reduce(f64::min)
}

/// The largest value; `None` of nothing.
pub fn max(values: &[f64]) -> Option<f64> {
    values.iter().copied().reduce(f64::max)
}

/// The middle value, or the mean of the two middle ones; `None` of nothing.
pub fn median(values: &[f64]) -> Option<f64> {
    quantile(values.to_vec(), 0.5)
}

/// The `share` quantile, `share` in [0, 1], as `numpy.percentile` has it by default: linear
/// between the two order statistics around share · (n − 1) (Hyndman and Fan, 1996, type 7), in
/// numpy's order of operations. Infinite values are ranked; `None` of nothing, and between −∞ and
/// +∞. Reorders its values; takes linear time.
pub fn quantile(mut values: Vec<f64>, share: f64) -> Option<f64> {
    let last = values.len().checked_sub(1)?;
    let position = share * last as f64;
    let index = (position.floor() as usize).min(last);
    let (_, below, rest) = values.select_nth_unstable_by(index, f64::total_cmp);
    let below = *below;
    let weight = position - index as f64;
    let above = min(rest).unwrap_or(below);
    if weight == 0.0 || below == above {
        return Some(below);
    }
    let step = above - below;
    let value = if weight >= 0.5 { above - step * (1.0 - weight) } else { below + step * weight };
    // an infinite neighbour decides, whatever its weight
    if below.is_infinite() && above.is_infinite() {
        None
    } else if below.is_infinite() {
        Some(below)
    } else if above.is_infinite() {
        Some(above)
    } else {
        Some(value)
    }
}

/// Half the width of the two-sided `level` confidence interval of a mean of `n` values with
/// sample standard deviation `std`: t(1 − (1 − level)/2, n − 1) · std / √n (Student, 1908).
/// `None` for fewer than two values; 0 for a `std` of 0.
pub fn half_width(n: usize, std: f64, level: f64) -> Option<f64> {
    if n < 2 {
        return None;
    }
    let student = StudentsT::new(0.0, 1.0, (n - 1) as f64).ok()?;
    Some(student.inverse_cdf(0.5 + level / 2.0) * std / (n as f64).sqrt())
}

/// The smallest number of runs, at least 3, at which the 90 % t interval of a `difference` from
/// a published figure would lie inside ±`margin` or wholly outside it, if difference and `std`
/// stayed what they are: a plan, not a promise. `None` when the difference sits on the margin,
/// where no number decides, and above [`RUNS_CAP`].
pub fn runs_needed(difference: f64, std: f64, margin: f64) -> Option<usize> {
    let room = (difference.abs() - margin).abs();
    let decides = |n| half_width(n, std, 0.9).is_some_and(|half| half < room);
    if !decides(RUNS_CAP) {
        return None;
    }
    // the half width falls with n, so bisection finds where it first fits
    let (mut undecided, mut decided) = (2, RUNS_CAP);
    while decided - undecided > 1 {
        let middle = undecided + (decided - undecided) / 2;
        if decides(middle) {
            decided = middle;
        } else {
            undecided = middle;
        }
    }
    Some(decided)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_has_no_estimate_and_one_value_no_spread() {
        assert_eq!((mean(&[]), median(&[]), min(&[]), max(&[])), (None, None, None, None));
        assert_eq!((mean(&[0.7]), median(&[0.7]), std(&[0.7])), (Some(0.7), Some(0.7), None));
        assert_eq!(half_width(1, 0.1, 0.9), None);
    }

    #[test]
    fn equal_values_have_exactly_no_spread() {
        assert_ne!((0.1 + 0.1 + 0.1) / 3.0, 0.1, "a plain sum is not exact");
        assert_eq!((mean(&[0.1; 3]), std(&[0.1; 3])), (Some(0.1), Some(0.0)));
        assert_eq!(half_width(3, 0.0, 0.95), Some(0.0));
    }

    #[test]
    fn a_quantile_next_to_infinity_is_infinite_and_between_two_undefined() {
        let inf = f64::INFINITY;
        assert_eq!(quantile(vec![inf, 1.0], 0.25), Some(inf));
        assert_eq!(quantile(vec![inf, 1.0], 0.0), Some(1.0));
        assert_eq!(quantile(vec![-inf, 1.0], 0.75), Some(-inf));
        assert_eq!(quantile(vec![inf, inf], 0.5), Some(inf));
        assert_eq!(quantile(vec![-inf, inf], 0.5), None);
    }

    #[test]
    fn runs_needed_is_the_first_number_that_decides() {
        for (difference, std, margin) in
            [(0.015, 0.03, 0.02), (-0.03, 0.05, 0.02), (0.0, 0.2, 0.02), (0.0199, 0.01, 0.02)]
        {
            let n = runs_needed(difference, std, margin).unwrap();
            let room = (f64::abs(difference) - margin).abs();
            assert!(half_width(n, std, 0.9).unwrap() < room);
            assert!(n == 3 || half_width(n - 1, std, 0.9).unwrap() >= room);
        }
        assert_eq!(runs_needed(0.0, 1e-6, 0.02), Some(3));
    }

    #[test]
    fn no_number_of_runs_decides_on_the_margin_or_beyond_the_cap() {
        assert_eq!(runs_needed(0.02, 0.01, 0.02), None);
        assert_eq!(runs_needed(0.02, 0.0, 0.02), None);
        assert_eq!(runs_needed(0.0199999, 0.05, 0.02), None);
    }
}
