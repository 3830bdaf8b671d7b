//! What a number of runs can show before they are made: the probability of each verdict of the
//! rule (the 90 % t interval inside ±margin, or wholly outside it) against a published mean whose runs
//! spread as ours do, for normally distributed runs. Exact up to quadrature, not by simulation.

use std::f64::consts::{FRAC_PI_2, LN_2};

use statrs::distribution::{ContinuousCDF, Normal};
use statrs::function::gamma::ln_gamma;

use super::interval::upper_quantile;
use super::{RUNS_CAP, RUNS_MIN, VERDICT_LEVEL};

/// A planned comparison.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Design {
    /// Runs; fewer than three earn no verdict.
    pub n: usize,
    /// The true standard deviation of a run, of ours and of the source's.
    pub std: f64,
    pub margin: f64,
    /// Runs that the published number is the mean of, at least 1; `None` for an exact number.
    pub published: Option<usize>,
}

impl Design {
    fn tail(&self) -> f64 {
        upper_quantile((1.0 - VERDICT_LEVEL) / 2.0, (self.n - 1) as f64)
    }

    fn standard_error(&self) -> f64 {
        let theirs = self.published.map_or(0.0, |runs| 1.0 / runs as f64);
        self.std * (1.0 / self.n as f64 + theirs).sqrt()
    }
}

/// The probability of "reproduced" when the true means lie `true_difference` apart:
/// ∫ [Φ((m − δ)/e − tx) − Φ((−m − δ)/e + tx)] f(x) dx over x below m/(te), with the standard error
/// e = std·√(1/n + 1/n₂), t its 95 % quantile and f the density of the sample's standard deviation in units of
/// the true one, χ(n − 1)/√(n − 1) (Owen, 1965; Phillips, 1990).
pub fn power_reproduced(design: &Design, true_difference: f64) -> f64 {
    if design.n < RUNS_MIN || design.margin <= 0.0 {
        return 0.0;
    }
    if design.std == 0.0 {
        return if true_difference.abs() < design.margin { 1.0 } else { 0.0 };
    }
    let (t, error, normal) = (design.tail(), design.standard_error(), Normal::standard());
    let from = (-design.margin - true_difference) / error;
    let to = (design.margin - true_difference) / error;
    let widest = design.margin / (t * error);
    over_std(design.n, widest, |x| (normal.cdf(to - t * x) - normal.cdf(from + t * x)).max(0.0))
}

/// The probability of "not reproduced" when the true means lie `true_difference` apart, on whichever
/// side: ∫ [Φ((δ − m)/e − tx) + Φ((−δ − m)/e − tx)] f(x) dx, which is two tails of
/// noncentral t distributions. For a true difference inside the margin this is the rate of error:
/// 5 % on the margin and less inside where the margin is wide beside the standard error, and up to
/// 10 % where it is narrow, because both sides are looked at.
pub fn power_not_reproduced(design: &Design, true_difference: f64) -> f64 {
    if design.n < RUNS_MIN {
        return 0.0;
    }
    if design.std == 0.0 {
        return if true_difference.abs() > design.margin { 1.0 } else { 0.0 };
    }
    let (t, error, normal) = (design.tail(), design.standard_error(), Normal::standard());
    let above = (true_difference - design.margin) / error;
    let below = (-true_difference - design.margin) / error;
    over_std(design.n, f64::INFINITY, |x| normal.cdf(above - t * x) + normal.cdf(below - t * x))
}

/// The smallest number of runs, at least 3, that show "reproduced" with probability `power` when
/// the true means lie `true_difference` apart; the `n` of the design is not looked at. `None` where
/// no number does (a difference on the margin or beyond, a power of 1 with any spread, a source of too
/// few runs) and above [`RUNS_CAP`].
pub fn runs_for_power(design: &Design, true_difference: f64, power: f64) -> Option<usize> {
    if true_difference.abs() >= design.margin {
        return None;
    }
    let enough = |n| power_reproduced(&Design { n, ..*design }, true_difference) >= power;
    let (mut few, mut many) = (RUNS_MIN - 1, RUNS_MIN);
    while !enough(many) {
        if many == RUNS_CAP {
            return None;
        }
        (few, many) = (many, (2 * many).min(RUNS_CAP));
    }
    while many - few > 1 {
        let middle = few + (many - few) / 2;
        if enough(middle) {
            many = middle;
        } else {
            few = middle;
        }
    }
    Some(many)
}

/// The smallest margin at which the design's runs show "reproduced" with probability `power`, in
/// (0, 1), when nothing differs; proportional to the std, and the `margin` of the design is not looked
/// at. `None` for fewer than three runs and a power outside (0, 1).
pub fn margin_for_power(design: &Design, power: f64) -> Option<f64> {
    Some(margin_in_stds(design, power)? * design.std)
}

/// The largest standard deviation of a run at which the design's runs show "reproduced" within its
/// margin with probability `power`, in (0, 1), when nothing differs; its `std` is not looked at. `None`
/// for fewer than three runs, a power outside (0, 1) and a margin of 0.
pub fn std_for_power(design: &Design, power: f64) -> Option<f64> {
    if design.margin <= 0.0 {
        return None;
    }
    Some(design.margin / margin_in_stds(design, power)?)
}

/// Bisected to the last bits: the power rises with the margin.
fn margin_in_stds(design: &Design, power: f64) -> Option<f64> {
    if design.n < RUNS_MIN || !(0.0 < power && power < 1.0) {
        return None;
    }
    let enough = |margin| power_reproduced(&Design { std: 1.0, margin, ..*design }, 0.0) >= power;
    let (mut narrow, mut wide) = (0.0, 1.0);
    while !enough(wide) {
        // beyond every standard deviation that has a chance: power lost to rounding
        if wide > 1e6 {
            return None;
        }
        (narrow, wide) = (wide, 2.0 * wide);
    }
    while wide - narrow > 1e-13 * wide {
        let middle = f64::midpoint(narrow, wide);
        if enough(middle) {
            wide = middle;
        } else {
            narrow = middle;
        }
    }
    Some(wide)
}

/// The mean of `value` over the distribution of a sample's standard deviation in units of the true
/// one, χ(n − 1)/√(n − 1), as far as `widest`: density 2(ν/2)^(ν/2)/Γ(ν/2) · x^(ν−1) · e^(−νx²/2).
fn over_std(n: usize, widest: f64, value: impl Fn(f64) -> f64) -> f64 {
    let degrees = (n - 1) as f64;
    // twelve times its standard deviation on either side leaves out less than 1e-30
    let reach = 12.0 / (2.0 * degrees).sqrt();
    let (from, to) = ((1.0 - reach).max(0.0), (1.0 + reach).min(widest));
    if to <= from {
        return 0.0;
    }
    let scale = LN_2 + degrees / 2.0 * (degrees / 2.0).ln() - ln_gamma(degrees / 2.0);
    let density = |x: f64| (scale + (degrees - 1.0) * x.ln() - degrees / 2.0 * x * x).exp();
    integral(from, to, |x| density(x) * value(x)).clamp(0.0, 1.0)
}

/// ∫ `value` between two ends by the double exponential rule (Takahasi and Mori, 1974): the
/// trapezoidal rule after x = middle + half · tanh(π/2 · sinh u). Good to 1e-12 for what is smooth.
fn integral(from: f64, to: f64, value: impl Fn(f64) -> f64) -> f64 {
    const STEP: f64 = 1.0 / 24.0;
    let (middle, half) = (f64::midpoint(from, to), (to - from) / 2.0);
    let sum: f64 = (-75..=75)
        .map(|index| {
            let u = STEP * f64::from(index);
            let bend = FRAC_PI_2 * u.sinh();
            let weight = FRAC_PI_2 * u.cosh() / bend.cosh().powi(2);
            weight * value(middle + half * bend.tanh())
        })
        .sum();
    STEP * half * sum
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXACT: Design = Design { n: 20, std: 0.03, margin: 0.02, published: None };

    #[test]
    fn without_runs_margin_or_spread_the_power_is_its_limit() {
        let of = |n, std, margin, difference| {
            let design = Design { n, std, margin, published: None };
            (power_reproduced(&design, difference), power_not_reproduced(&design, difference))
        };
        assert_eq!(of(0, 0.1, 0.02, 0.0), (0.0, 0.0));
        assert_eq!(of(2, 0.0, 0.02, 0.0), (0.0, 0.0));
        assert_eq!(of(3, 0.0, 0.02, 0.01), (1.0, 0.0));
        assert_eq!(of(3, 0.0, 0.02, 0.02), (0.0, 0.0));
        assert_eq!(of(3, 0.0, 0.02, -0.03), (0.0, 1.0));
        assert_eq!(of(3, 0.1, 0.0, 0.0).0, 0.0);
        // a margin of 0 is missed by chance in 5 % on each side
        assert!((of(20, 0.1, 0.0, 0.0).1 - 0.1).abs() < 1e-9);
        assert!((of(20, 1e-9, 0.02, 0.0).0 - 1.0).abs() < 1e-12);
        assert!((of(20, 1e-9, 0.02, 0.03).1 - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_plan_is_the_smallest_that_has_the_power() {
        for (published, difference, power) in [(None, 0.0, 0.8), (Some(200), 0.008, 0.8)] {
            let design = Design { published, ..EXACT };
            let n = runs_for_power(&design, difference, power).unwrap();
            let at = |n| power_reproduced(&Design { n, ..design }, difference);
            assert!(at(n) >= power && at(n - 1) < power);
            let margin = margin_for_power(&design, 0.8).unwrap();
            let found = power_reproduced(&Design { margin, ..design }, 0.0);
            assert!((found - 0.8).abs() < 1e-9);
            let std = std_for_power(&Design { margin, ..design }, 0.8).unwrap();
            assert!((std - 0.03).abs() < 1e-12);
        }
    }

    #[test]
    fn what_no_number_of_runs_shows_is_none() {
        let runs = |margin, std, difference| {
            runs_for_power(&Design { margin, std, ..EXACT }, difference, 0.8)
        };
        assert_eq!(runs(0.02, 0.03, 0.02), None);
        assert_eq!(runs(0.0, 0.03, 0.0), None);
        assert_eq!(runs(0.02, 0.03, 0.0199999), None);
        assert_eq!(runs(0.02, 0.0, 0.01), Some(RUNS_MIN));
        for power in [0.0, 1.0, f64::NAN] {
            assert_eq!(margin_for_power(&EXACT, power), None);
        }
        assert_eq!(margin_for_power(&Design { n: 2, ..EXACT }, 0.8), None);
        assert_eq!(std_for_power(&Design { margin: 0.0, ..EXACT }, 0.8), None);
        assert_eq!(margin_for_power(&Design { std: 0.0, ..EXACT }, 0.8), Some(0.0));
    }

    /// With infinitely many runs of ours the interval is that of the source alone: at n₂ = 20 and a std of
    /// 0.0583 margins below z(.95)·σ/√n₂ = 0.0214 are never shown, and 80 % takes 0.038.
    #[test]
    fn a_source_of_few_runs_bounds_what_any_number_of_ours_shows() {
        let zong = Design { n: RUNS_CAP, std: 0.0583, margin: 0.0214, published: Some(20) };
        assert!(power_reproduced(&zong, 0.0) < 0.001);
        assert!(power_reproduced(&Design { margin: 0.022, ..zong }, 0.0) > 0.01);
        assert_eq!(runs_for_power(&Design { margin: 0.037, ..zong }, 0.0, 0.8), None);
        assert!(runs_for_power(&Design { margin: 0.039, ..zong }, 0.0, 0.8).is_some());
        assert!((margin_for_power(&zong, 0.8).unwrap() - 0.0382).abs() < 0.0001);
    }
}
