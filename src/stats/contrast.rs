//! A difference of means and what may be said of it: intervals, equivalence by two one-sided
//! tests, the runs that would decide, and several tests at once. The verdict itself is made in
//! `summary`.

use super::interval::{upper_quantile, upper_tail};
use super::{Interval, RUNS_CAP, RUNS_MIN, VERDICT_LEVEL};

/// What is known of a mean: ours, or a published one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Values the mean was taken over.
    pub n: usize,
    pub mean: f64,
    /// With n − 1.
    pub std: f64,
}

/// A difference of means, ours − theirs, with its standard error and degrees of freedom.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Contrast {
    pub difference: f64,
    pub standard_error: f64,
    /// Of Student's distribution; at least 1.
    pub degrees: f64,
}

impl Contrast {
    /// Against a number that counts as exact: standard error std / √n, n − 1 degrees of freedom
    /// (Student, 1908). `None` for n < 2.
    pub fn one_sample(ours: &Sample, figure: f64) -> Option<Self> {
        let (standard_error, degrees) = spread_of_difference(ours.n, ours.std, None)?;
        Some(Self { difference: ours.mean - figure, standard_error, degrees })
    }

    /// Against a published mean with its own spread: standard error √(s₁²/n₁ + s₂²/n₂) (Welch,
    /// 1947) with the degrees of freedom of Satterthwaite (1946). `None` when either n < 2.
    pub fn welch(ours: &Sample, published: &Sample) -> Option<Self> {
        let theirs = Some((published.std, published.n));
        let (standard_error, degrees) = spread_of_difference(ours.n, ours.std, theirs)?;
        Some(Self { difference: ours.mean - published.mean, standard_error, degrees })
    }

    /// The two-sided confidence interval of the true difference, for a `level` in (0, 1):
    /// difference ± t((1 + level)/2) · standard error. Without width for a standard error of 0.
    pub fn interval(&self, level: f64) -> Interval {
        let half = self.half_width(level);
        Interval { low: self.difference - half, high: self.difference + half }
    }

    fn half_width(&self, level: f64) -> f64 {
        if self.standard_error == 0.0 {
            return 0.0;
        }
        upper_quantile((1.0 - level) / 2.0, self.degrees) * self.standard_error
    }

    /// The p value of equivalence: the larger one of the two one-sided tests that the true
    /// difference is −`margin` or below, or `margin` or above, P(T > (margin − |difference|) /
    /// standard error) (Schuirmann, 1987). Below α exactly when the 1 − 2α interval lies inside
    /// ±`margin`. For a standard error of 0 its limit: 0 inside, 1 outside, ½ on the margin.
    pub fn p_equivalent(&self, margin: f64) -> f64 {
        self.tail(margin - self.difference.abs())
    }

    /// The one-sided p value that the true difference lies beyond the edge ±`margin` on the side
    /// where it was seen: P(T > (|difference| − margin) / standard error). Below α exactly when the
    /// 1 − 2α interval lies wholly outside ±`margin`. It is 1 − [`Contrast::p_equivalent`]. As
    /// either side may be seen, a rule that rejects below α errs in at most α of repetitions where
    /// the margin is wide beside the standard error and in at most 2α for any margin.
    pub fn p_different(&self, margin: f64) -> f64 {
        self.tail(self.difference.abs() - margin)
    }

    /// P(T > distance / standard error), and its limit for a standard error of 0.
    fn tail(&self, distance: f64) -> f64 {
        if self.standard_error > 0.0 {
            return upper_tail(distance / self.standard_error, self.degrees);
        }
        if distance > 0.0 {
            0.0
        } else if distance < 0.0 {
            1.0
        } else {
            0.5
        }
    }

    /// The margin that any larger one needs to exceed for the difference to be equivalent at
    /// `alpha`, in (0, 0.5): the end of the 1 − 2`alpha` interval that lies further from 0.
    pub fn smallest_margin(&self, alpha: f64) -> f64 {
        self.difference.abs() + self.half_width(1.0 - 2.0 * alpha)
    }
}

/// Standard error and degrees of freedom of a mean of `n` values with this `std`, or of its
/// difference from a published mean of known std and n; `None` when either n < 2. Equal to
/// (v₁ + v₂)² / (v₁²/(n₁ − 1) + v₂²/(n₂ − 1)) with v = s²/n, written with the shares of v₁ + v₂ so
/// that small v do not vanish. Without any spread the degrees are those of the pooled test.
fn spread_of_difference(n: usize, std: f64, published: Option<(f64, usize)>) -> Option<(f64, f64)> {
    if n < 2 {
        return None;
    }
    let (ours, degrees) = (std / (n as f64).sqrt(), (n - 1) as f64);
    let Some((std, n)) = published else {
        return Some((ours, degrees));
    };
    if n < 2 {
        return None;
    }
    let (theirs, their_degrees) = (std / (n as f64).sqrt(), (n - 1) as f64);
    let both = ours.hypot(theirs);
    if both == 0.0 {
        return Some((0.0, degrees + their_degrees));
    }
    let (share, their_share) = ((ours / both).powi(2), (theirs / both).powi(2));
    Some((both, 1.0 / (share.powi(2) / degrees + their_share.powi(2) / their_degrees)))
}

/// The smallest number of runs, at least 3, at which the 90 % interval of a `difference` would lie
/// inside ±`margin` or wholly outside it, if difference and `std` stayed what they are: a plan,
/// not a promise. `published` is the std and n of the published mean where that has a spread;
/// more runs of ours do not narrow it. `None` when the difference sits on the margin, where no
/// number decides, when the published mean is too uncertain for any number to, and above
/// [`RUNS_CAP`].
pub fn runs_needed(
    difference: f64,
    std: f64,
    published: Option<(f64, usize)>,
    margin: f64,
) -> Option<usize> {
    let room = (difference.abs() - margin).abs();
    // by the tail beyond the room, not by the quantile: the same comparison, ten times cheaper
    let decides = |n| {
        spread_of_difference(n, std, published).is_some_and(|(standard_error, degrees)| {
            let contrast = Contrast { difference, standard_error, degrees };
            contrast.tail(room) < (1.0 - VERDICT_LEVEL) / 2.0
        })
    };
    // a published spread makes the half width rise again where its few degrees of freedom come to
    // rule, so this steps up, by one at first and then by a 32nd, and bisects the step that decides
    let mut undecided = RUNS_MIN - 1;
    let mut decided = RUNS_MIN;
    while !decides(decided) {
        if decided == RUNS_CAP {
            return None;
        }
        undecided = decided;
        decided = (decided + 1 + decided / 32).min(RUNS_CAP);
    }
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

/// Holm's (1979) step-down adjustment of the `p` values of several tests, in the order given: the
/// i-th smallest of m becomes the largest of (m − j + 1) · p₍ⱼ₎ over j ≤ i, at most 1. Rejecting
/// where it is below α keeps the chance of any false rejection below α.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let mut adjusted = vec![0.0; p.len()];
    let mut largest: f64 = 0.0;
    for (rank, &index) in order.iter().enumerate() {
        largest = largest.max((p.len() - rank) as f64 * p[index]).min(1.0);
        adjusted[index] = largest;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours(n: usize, std: f64) -> Sample {
        Sample { n, mean: 0.92, std }
    }

    #[test]
    fn a_contrast_needs_two_values_on_either_side() {
        assert_eq!(Contrast::one_sample(&ours(1, 0.1), 0.9), None);
        assert_eq!(Contrast::welch(&ours(1, 0.1), &ours(5, 0.1)), None);
        assert_eq!(Contrast::welch(&ours(5, 0.1), &ours(1, 0.0)), None);
        assert_eq!(Contrast::welch(&ours(5, 0.0), &ours(4, 0.0)).unwrap().degrees, 7.0);
    }

    #[test]
    fn without_spread_every_estimate_is_its_limit() {
        let exact = Contrast::one_sample(&ours(3, 0.0), 0.9).unwrap();
        let d = exact.difference;
        assert_eq!(exact.interval(0.9), Interval { low: d, high: d });
        assert_eq!((exact.p_equivalent(0.03), exact.p_different(0.03)), (0.0, 1.0));
        assert_eq!((exact.p_equivalent(0.01), exact.p_different(0.01)), (1.0, 0.0));
        assert_eq!((exact.p_equivalent(d), exact.p_different(d)), (0.5, 0.5));
        assert_eq!(exact.smallest_margin(0.05), d);
    }

    #[test]
    fn a_published_spread_of_0_is_no_other_than_an_exact_figure() {
        let exact = Contrast::one_sample(&ours(5, 0.1), 0.9).unwrap();
        let welch = Contrast::welch(&ours(5, 0.1), &Sample { n: 9, mean: 0.9, std: 0.0 }).unwrap();
        assert_eq!(exact, welch);
    }

    #[test]
    fn p_values_and_intervals_tell_the_same() {
        for mean in [0.9, 0.912, 0.9128, 0.93, 0.96] {
            let contrast = Contrast::one_sample(&Sample { n: 5, mean, std: 0.01 }, 0.9).unwrap();
            let Interval { low, high } = contrast.interval(VERDICT_LEVEL);
            for margin in [0.0, 0.01, 0.02, 0.0223] {
                let inside = -margin < low && high < margin;
                assert_eq!(contrast.p_equivalent(margin) < 0.05, inside, "{mean} {margin}");
                let outside = margin < low || high < -margin;
                assert_eq!(contrast.p_different(margin) < 0.05, outside, "{mean} {margin}");
            }
            let edge = contrast.smallest_margin(0.05);
            assert!((contrast.p_equivalent(edge) - 0.05).abs() < 1e-12);
        }
    }

    #[test]
    fn no_number_of_runs_decides_on_the_margin_beyond_the_cap_or_beside_a_vague_figure() {
        assert_eq!(runs_needed(0.02, 0.01, None, 0.02), None);
        assert_eq!(runs_needed(0.02, 0.0, None, 0.02), None);
        assert_eq!(runs_needed(0.0199999, 0.05, None, 0.02), None);
        assert_eq!(runs_needed(0.0, 0.0, None, 0.0), None);
        assert_eq!(runs_needed(0.0, 0.001, Some((0.05, 5)), 0.02), None);
        assert_eq!(runs_needed(0.0, 0.001, Some((0.0, 1)), 0.02), None);
        assert_eq!(runs_needed(0.0, 1e-6, None, 0.02), Some(RUNS_MIN));
    }
}
