//! A difference of means and what may be said of it: intervals, equivalence by two one-sided
//! tests, the runs that would decide, and several tests at once. The verdict itself is made in
//! `summary`.

use super::interval::{upper_quantile, upper_tail};
use super::{Interval, RUNS_CAP, RUNS_MIN, VERDICT_LEVEL};

/// Relative to the numbers compared: a distance up to this is made by floating point alone, for
/// figures have far fewer decimals.
const NOISE: f64 = 1e-12;

/// What is known of a mean of values that we have.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Values the mean was taken over.
    pub n: usize,
    pub mean: f64,
    /// With n − 1.
    pub std: f64,
}

/// What is known of a published mean, which is a sample too.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Published {
    pub mean: f64,
    /// Runs that it is the mean of, at least 1.
    pub runs: usize,
    /// Its standard deviation with n − 1, where that is printed; of one run there is none.
    pub std: Option<f64>,
}

impl Published {
    fn spread(&self) -> Option<f64> {
        self.std.filter(|_| self.runs > 1)
    }

    fn error_of(&self, std: f64) -> f64 {
        std / (self.runs as f64).sqrt()
    }
}

/// Where an interval lies beside ±margin. Touching is neither inside nor outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Inside,
    /// Wholly outside, on one side.
    Outside,
    Across,
}

/// A difference of means, ours − theirs, with its standard error and degrees of freedom.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Contrast {
    pub difference: f64,
    pub standard_error: f64,
    /// The part of it that the source's own runs leave, however many of ours there are.
    pub source_error: f64,
    /// Of Student's distribution; at least 1.
    pub degrees: f64,
    /// Distances up to this are made by floating point.
    noise: f64,
}

impl Contrast {
    /// Against a number that counts as exact: standard error std / √n, n − 1 degrees of freedom
    /// (Student, 1908). `None` for n < 2.
    pub fn one_sample(ours: &Sample, figure: f64) -> Option<Self> {
        let ours_alone = Error::of_mean(ours.n, ours.std)?;
        Some(Self::with(ours, figure, ours_alone, 0.0))
    }

    /// Against a published mean: by [`Contrast::welch`] where its standard deviation is printed, else
    /// with our standard deviation for both, s·√(1/n + 1/n₂) with n − 1 degrees of freedom. The latter
    /// is exact for normal runs whose standard deviation the source shares. `None` for n < 2.
    pub fn of(ours: &Sample, published: &Published) -> Option<Self> {
        if published.spread().is_some() {
            return Self::welch(ours, published);
        }
        let alone = Error::of_mean(ours.n, ours.std)?;
        let theirs = published.error_of(ours.std);
        let both = Error { size: alone.size.hypot(theirs), ..alone };
        Some(Self::with(ours, published.mean, both, theirs))
    }

    /// Against a published mean with its own spread: standard error √(s₁²/n₁ + s₂²/n₂) (Welch,
    /// 1947) with the degrees of freedom of Satterthwaite (1946). `None` when either n < 2, or
    /// where no standard deviation is printed.
    pub fn welch(ours: &Sample, published: &Published) -> Option<Self> {
        let theirs = Error::of_mean(published.runs, published.spread()?)?;
        let both = Error::of_mean(ours.n, ours.std)?.beside(theirs);
        Some(Self::with(ours, published.mean, both, theirs.size))
    }

    fn with(ours: &Sample, figure: f64, error: Error, source_error: f64) -> Self {
        Self {
            difference: ours.mean - figure,
            standard_error: error.size,
            source_error,
            degrees: error.degrees,
            noise: NOISE * ours.mean.abs().max(figure.abs()),
        }
    }

    /// The two-sided confidence interval of the true difference, for a `level` in (0, 1):
    /// difference ± t((1 + level)/2) · standard error. Without width for a standard error of 0.
    pub fn interval(&self, level: f64) -> Interval {
        let half = self.half_width(level);
        Interval { low: self.difference - half, high: self.difference + half }
    }

    fn half_width(&self, level: f64) -> f64 {
        self.times_quantile((1.0 - level) / 2.0, self.standard_error)
    }

    fn times_quantile(&self, tail: f64, error: f64) -> f64 {
        if error == 0.0 {
            return 0.0;
        }
        upper_quantile(tail, self.degrees) * error
    }

    /// Where the interval of this `level` lies beside ±`margin` when the published number may be off
    /// by `rounding` to either side: it must be inside, or outside, wherever that number is.
    pub fn place(&self, level: f64, margin: f64, rounding: f64) -> Place {
        let Interval { low, high } = self.interval(level);
        let (inner, outer) = (margin - rounding - self.noise, margin + rounding + self.noise);
        if -inner < low && high < inner {
            Place::Inside
        } else if outer < low || high < -outer {
            Place::Outside
        } else {
            Place::Across
        }
    }

    /// Whether the interval that decides a verdict lies inside ±`margin` or wholly outside it: by the
    /// tail beyond the room, not by the quantile, which is the same comparison, several times cheaper.
    fn decides(&self, margin: f64) -> bool {
        let room = (self.difference.abs() - margin).abs();
        room > self.noise && self.tail(room) < (1.0 - VERDICT_LEVEL) / 2.0
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
        if distance.abs() <= self.noise {
            0.5
        } else if distance > 0.0 {
            0.0
        } else {
            1.0
        }
    }

    /// The margin that any larger one needs to exceed for the difference to be equivalent at
    /// `alpha`, in (0, 0.5): the end of the 1 − 2`alpha` interval that lies further from 0.
    pub fn smallest_margin(&self, alpha: f64) -> f64 {
        self.difference.abs() + self.half_width(1.0 - 2.0 * alpha)
    }

    /// The half width of the 1 − 2`alpha` interval that the source's own runs alone leave, with the
    /// spread as it is seen now. A margin that is not wider was never to be decided by this source:
    /// however many runs of ours there are, the interval does not fit into it.
    pub fn decidable_margin(&self, alpha: f64) -> f64 {
        self.times_quantile(alpha, self.source_error)
    }
}

/// A standard error with its degrees of freedom.
#[derive(Clone, Copy)]
struct Error {
    size: f64,
    degrees: f64,
}

impl Error {
    /// Of a mean of `n` values with this `std`; `None` for n < 2.
    fn of_mean(n: usize, std: f64) -> Option<Self> {
        (n > 1).then(|| Self { size: std / (n as f64).sqrt(), degrees: (n - 1) as f64 })
    }

    /// Of the difference of two means. The degrees equal (v₁ + v₂)² / (v₁²/(n₁ − 1) + v₂²/(n₂ − 1))
    /// with v = s²/n, written with the shares of v₁ + v₂ so that small v do not vanish. Without any
    /// spread they are those of the pooled test.
    fn beside(self, theirs: Self) -> Self {
        let both = self.size.hypot(theirs.size);
        if both == 0.0 {
            return Self { size: 0.0, degrees: self.degrees + theirs.degrees };
        }
        let part = |one: Self| (one.size / both).powi(4) / one.degrees;
        Self { size: both, degrees: 1.0 / (part(self) + part(theirs)) }
    }
}

/// The smallest number of runs, at least 3, at which the 90 % interval of the difference would lie
/// inside ±`margin` or wholly outside it, if our mean and std stayed what they are: a plan, not a
/// promise. More runs of ours do not narrow what the source's own runs leave open. `None` when the
/// difference sits on the margin, where no number decides, when the published mean is too uncertain
/// for any number to, and above [`RUNS_CAP`].
pub fn runs_needed(ours: &Sample, published: &Published, margin: f64) -> Option<usize> {
    let decides = |n| {
        Contrast::of(&Sample { n, ..*ours }, published)
            .is_some_and(|contrast| contrast.decides(margin))
    };
    // a published spread makes the half width rise again where its few degrees of freedom come to
    // rule, so this steps up, by one at first and then by a 32nd, and bisects the step that decides
    let step = |n: usize| if published.spread().is_some() { 1 + n / 32 } else { n };
    let mut undecided = RUNS_MIN - 1;
    let mut decided = RUNS_MIN;
    while !decides(decided) {
        if decided == RUNS_CAP {
            return None;
        }
        undecided = decided;
        decided = (decided + step(decided)).min(RUNS_CAP);
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

/// A standard deviation that a source did not print, at which a verdict would be another one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Flip {
    pub std: f64,
    /// What holds for any smaller one.
    pub below: Place,
}

/// The standard deviation of the source's runs at which the 90 % interval would begin to cross an edge
/// of ±`margin`: Welch's interval with that std over the source's runs, of one run with a spread that
/// is known exactly. `None` where the interval crosses an edge even beside an exact figure.
pub fn flip(ours: &Sample, published: &Published, margin: f64) -> Option<Flip> {
    let alone = Error::of_mean(ours.n, ours.std)?;
    let decides = |std: f64| {
        let size = published.error_of(std);
        let degrees = if published.runs > 1 { (published.runs - 1) as f64 } else { f64::INFINITY };
        let both = if size > 0.0 { alone.beside(Error { size, degrees }) } else { alone };
        Contrast::with(ours, published.mean, both, size).decides(margin)
    };
    if !decides(0.0) {
        return None;
    }
    let difference = (ours.mean - published.mean).abs();
    let scale = difference.max(margin).max(ours.std);
    let (mut low, mut high) = (0.0, 1e-3 * scale);
    while decides(high) {
        if high > 1e6 * scale {
            return None;
        }
        (low, high) = (high, 1.5 * high);
    }
    while high - low > 1e-10 * high {
        let middle = f64::midpoint(low, high);
        if decides(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    let below = if difference < margin { Place::Inside } else { Place::Outside };
    Some(Flip { std: high, below })
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

    fn published(runs: usize, std: Option<f64>) -> Published {
        Published { mean: 0.9, runs, std }
    }

    #[test]
    fn a_contrast_needs_two_values_on_either_side() {
        assert_eq!(Contrast::one_sample(&ours(1, 0.1), 0.9), None);
        assert_eq!(Contrast::of(&ours(1, 0.1), &published(5, None)), None);
        assert_eq!(Contrast::welch(&ours(1, 0.1), &published(5, Some(0.1))), None);
        assert_eq!(Contrast::welch(&ours(5, 0.1), &published(1, Some(0.0))), None);
        assert_eq!(Contrast::welch(&ours(5, 0.1), &published(5, None)), None);
        let welch = Contrast::welch(&ours(5, 0.0), &published(4, Some(0.0)));
        assert_eq!(welch.unwrap().degrees, 7.0);
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
        assert_eq!(exact, Contrast::welch(&ours(5, 0.1), &published(9, Some(0.0))).unwrap());
    }

    #[test]
    fn a_source_without_a_std_has_ours_over_its_own_runs() {
        let of = |runs| Contrast::of(&ours(20, 0.0583), &published(runs, None)).unwrap();
        assert!((of(20).standard_error - 0.0583 * 0.1f64.sqrt()).abs() < 1e-15);
        assert!((of(1).standard_error - 0.0583 * 1.05f64.sqrt()).abs() < 1e-15);
        assert_eq!((of(20).degrees, of(1).degrees), (19.0, 19.0));
        // one run has no std, whatever is printed beside it
        let printed = Contrast::of(&ours(20, 0.0583), &published(1, Some(0.5))).unwrap();
        assert_eq!(printed, of(1));
        let floor = of(20).decidable_margin(0.05);
        assert!((floor - 1.729_132_8 * 0.0583 / 20f64.sqrt()).abs() < 1e-9, "{floor}");
    }

    #[test]
    fn touching_the_margin_is_neither_inside_nor_outside_whatever_floating_point_makes_of_it() {
        for (mean, figure, margin) in
            [(0.9569, 0.9369, 0.02), (0.9169, 0.9369, 0.02), (0.3, 0.1, 0.2), (11.37, 11.35, 0.02)]
        {
            let edge = Published { mean: figure, runs: 20, std: None };
            let at = |mean| Contrast::of(&Sample { n: 20, mean, std: 0.0 }, &edge).unwrap();
            assert_eq!(at(mean).place(VERDICT_LEVEL, margin, 0.0), Place::Across, "{mean}");
            assert_eq!((at(mean).p_equivalent(margin), at(mean).p_different(margin)), (0.5, 0.5));
            let inward = (figure - mean).signum() * 1e-9;
            assert_eq!(at(mean + inward).place(VERDICT_LEVEL, margin, 0.0), Place::Inside);
            assert_eq!(at(mean - inward).place(VERDICT_LEVEL, margin, 0.0), Place::Outside);
        }
    }

    #[test]
    fn a_flip_is_where_the_interval_begins_to_cross_an_edge() {
        let far = Sample { n: 20, mean: 0.8751, std: 0.0583 };
        let zong = Published { mean: 0.9369, runs: 20, std: None };
        let found = flip(&far, &zong, 0.02).unwrap();
        assert_eq!(found.below, Place::Outside);
        let place = |std| {
            let published = Published { std: Some(std), ..zong };
            Contrast::welch(&far, &published).unwrap().place(VERDICT_LEVEL, 0.02, 0.0)
        };
        let [below, above] = [0.999, 1.001].map(|factor| place(factor * found.std));
        assert_eq!((below, above), (Place::Outside, Place::Across));
        // on the margin nothing decides, not even an exact figure
        assert_eq!(flip(&Sample { mean: 0.9169, ..far }, &zong, 0.02), None);
        let one = flip(&Sample { std: 0.0, ..far }, &Published { runs: 1, ..zong }, 0.02).unwrap();
        assert!((one.std - 0.0418 / 1.644_85).abs() < 1e-4, "{one:?}");
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
        let needed = |difference: f64, std: f64, runs: usize, their_std: Option<f64>| {
            let ours = Sample { n: 5, mean: 0.5 + difference, std };
            runs_needed(&ours, &Published { mean: 0.5, runs, std: their_std }, 0.02)
        };
        let many = RUNS_CAP * RUNS_CAP;
        assert_eq!(needed(0.02, 0.01, many, None), None);
        assert_eq!(needed(0.02, 0.0, many, None), None);
        assert_eq!(needed(0.0199999, 0.05, many, None), None);
        assert_eq!(needed(0.0, 0.001, 5, Some(0.05)), None);
        assert_eq!(needed(0.0, 0.02, 1, None), None, "one run of the source leaves too much open");
        assert_eq!(needed(0.0, 0.01, 1, None), Some(9));
        assert_eq!(needed(0.0, 1e-6, 1, None), Some(RUNS_MIN));
        let exact = Published { mean: 0.5, runs: 20, std: None };
        assert_eq!(runs_needed(&Sample { n: 5, mean: 0.5, std: 0.0 }, &exact, 0.0), None);
    }
}
