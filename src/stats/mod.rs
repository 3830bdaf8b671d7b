//! Estimates, intervals and tests over slices of finite numbers: plain functions, each with its
//! formula and source. Here: what describes a sample; beside it what is inferred from one. What is
//! undefined is `None` or `Err(why)`, never NaN. Knows nothing of runs, cells or files.
//! All of it is set beside scipy, statsmodels and numpy in `tests/offline/golden_stats.rs`; which estimate
//! means what: `docs/statistics.md`.

mod bootstrap;
mod contrast;
mod factorial;
mod interval;
mod paired;
mod power;
mod proportion;
mod sequential;

pub use bootstrap::{bca_from, bca_interval};
pub use contrast::{Contrast, Flip, Place, Published, Sample, flip, holm, runs_needed};
pub use factorial::{Factorial, Fit, Term, shapley};
pub use interval::{Interval, t_interval};
pub use paired::{Wilcoxon, cohen_dz, rank_biserial, wilcoxon};
pub use power::{
    Design, margin_for_power, power_not_reproduced, power_reproduced, runs_for_power, std_for_power,
};
pub use proportion::{exact_share, fisher};
pub use sequential::{Looks, SequentialContrast};

/// More runs than this nobody makes: no search for a number of runs goes further.
pub const RUNS_CAP: usize = 100_000;

/// Fewer runs than this earn no verdict.
pub const RUNS_MIN: usize = 3;

/// Fewer runs than this have no interval beside them: of two runs the t interval of an AUPRC can reach
/// from −1.9 to 3.1. The interval that a verdict rests on is shown from [`RUNS_MIN`] on.
pub const INTERVAL_MIN: usize = 5;

/// Of the interval that decides a verdict: 1 − 2α of two one-sided tests at α = 0.05.
pub const VERDICT_LEVEL: f64 = 0.9;

/// The arithmetic mean; `None` of nothing. Summed as differences from the first value, so that
/// equal values have exactly that mean (and a standard deviation of exactly 0).
pub fn mean(values: &[f64]) -> Option<f64> {
    let first = *values.first()?;
    let excess: f64 = values.iter().map(|value| value - first).sum();
    Some(first + excess / values.len() as f64)
}

/// Values that differ by no more than this share of the largest are equal: printed figures have far
/// fewer digits, and sums in another order differ in the last bits.
const EQUAL: f64 = 1e-12;

/// The sample standard deviation √(Σ(x − mean)² / (n − 1)); `None` for fewer than two values. Exactly
/// 0 where the values are equal up to rounding.
pub fn std(values: &[f64]) -> Option<f64> {
    if values.len() < 2 {
        return None;
    }
    let (low, high) = (min(values)?, max(values)?);
    if high - low <= EQUAL * low.abs().max(high.abs()) {
        return Some(0.0);
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

/// The first and third quartile as [`quantile`] has them; `None` where either is undefined.
pub fn quartiles(values: &[f64]) -> Option<(f64, f64)> {
    Some((quantile(values.to_vec(), 0.25)?, quantile(values.to_vec(), 0.75)?))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_has_no_estimate_and_one_value_no_spread() {
        assert_eq!((mean(&[]), median(&[]), min(&[]), max(&[])), (None, None, None, None));
        assert_eq!((mean(&[0.7]), median(&[0.7]), std(&[0.7])), (Some(0.7), Some(0.7), None));
        assert_eq!((quartiles(&[]), quartiles(&[0.7])), (None, Some((0.7, 0.7))));
    }

    #[test]
    fn equal_values_have_exactly_no_spread() {
        assert_ne!((0.1 + 0.1 + 0.1) / 3.0, 0.1, "a plain sum is not exact");
        assert_eq!((mean(&[0.1; 3]), std(&[0.1; 3])), (Some(0.1), Some(0.0)));
        let last_bit = [0.9569, f64::from_bits(0.9569f64.to_bits() + 1), 0.9569];
        assert_eq!(std(&last_bit), Some(0.0));
        assert!(std(&[0.9569, 0.9569, 0.9569 + 1e-9]).unwrap() > 0.0);
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
}
