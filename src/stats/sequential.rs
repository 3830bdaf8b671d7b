//! Looking more than once: when runs are added until a verdict falls, each look has a bound of its own, so that all
//! looks together err no more often than one. Bounds are those of a group-sequential test whose error is spent by
//! Pocock's function of Lan and DeMets (1983): of those that hold the error it needs the fewest runs on average
//! (`docs/verdicts.md` has the simulation).

use statrs::distribution::{ChiSquared, ContinuousCDF, Normal};

use super::interval::upper_quantile;
use super::{Interval, Published, Sample, VERDICT_LEVEL};

/// Runs at the first look; each later one has twice as many.
const FIRST: usize = 5;

/// Of each of the two one-sided tests, over all looks.
const ALPHA: f64 = (1.0 - VERDICT_LEVEL) / 2.0;

/// Points of the density between two looks.
const POINTS: usize = 601;
/// How many standard deviations it reaches below its mean.
const REACH: f64 = 8.0;

/// The looks of a test, and the tail that each may reject by.
#[derive(Debug, Clone, PartialEq)]
pub struct Looks {
    /// Ascending.
    pub runs: Vec<usize>,
    /// P(T > bound) of each look's t statistic, at n − 1 degrees of freedom.
    pub tails: Vec<f64>,
}

impl Looks {
    /// Looks at 5, 10, 20, 40, … runs and at the most. None for fewer than 5.
    pub fn doubling(most: usize) -> Option<Self> {
        if most < FIRST {
            return None;
        }
        let mut runs: Vec<usize> = std::iter::successors(Some(FIRST), |runs| Some(2 * runs))
            .take_while(|&runs| runs < most)
            .collect();
        runs.push(most);
        Some(Self::at(runs))
    }

    /// Looks at these numbers of runs, ascending, of which the last are all.
    pub fn at(runs: Vec<usize>) -> Self {
        let last = runs.last().copied().unwrap_or(1) as f64;
        let shares: Vec<f64> = runs.iter().map(|&runs| runs as f64 / last).collect();
        Self { tails: tails(&shares), runs }
    }

    /// The bound of each look's t statistic.
    pub fn bounds(&self) -> Vec<f64> {
        let bound = |(&runs, &tail): (&usize, &f64)| upper_quantile(tail, (runs.max(2) - 1) as f64);
        self.runs.iter().zip(&self.tails).map(bound).collect()
    }

    /// The tail of the last look that so many runs reach; None before the first.
    pub fn tail(&self, runs: usize) -> Option<f64> {
        let reached = self.runs.iter().take_while(|&&look| look <= runs).count();
        reached.checked_sub(1).map(|place| self.tails[place])
    }
}

/// A difference of means at one of several looks. The source's runs are looked at once, however often ours are,
/// so its part stands beside ours in full: ± t(tail) · s/√n ± t(.95) · s₂/√n₂.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SequentialContrast {
    /// Of the true difference, at this look.
    pub interval: Interval,
    /// The source's part of it to either side.
    pub source_width: f64,
    /// The same for the least spread that our runs leave plausible, at the 95 % lower bound of their standard
    /// deviation: where it reaches the margin, no number of our runs can help.
    pub least_source_width: f64,
}

impl SequentialContrast {
    /// At a look whose bound has this tail; a figure without a printed standard deviation is taken to spread as our
    /// runs do.
    ///
    /// # Panics
    /// For fewer than two of our runs.
    pub fn of(ours: &Sample, published: &Published, tail: f64) -> Self {
        assert!(ours.n > 1, "a look has runs");
        let degrees = (ours.n - 1) as f64;
        let root = |runs: usize| (runs as f64).sqrt();
        let own = if ours.std > 0.0 {
            upper_quantile(tail, degrees) * ours.std / root(ours.n)
        } else {
            0.0
        };
        let (source_width, least_source_width) = match published.std {
            Some(std) => {
                let width = upper_quantile(ALPHA, (published.runs.max(2) - 1) as f64) * std
                    / root(published.runs);
                (width, width)
            }
            None => {
                let spread =
                    ChiSquared::new(degrees).map_or(degrees, |law| law.inverse_cdf(1.0 - ALPHA));
                let least = ours.std * (degrees / spread).sqrt();
                let normal = Normal::standard().inverse_cdf(1.0 - ALPHA);
                let width = upper_quantile(ALPHA, degrees) * ours.std / root(published.runs);
                (width, normal * least / root(published.runs))
            }
        };
        let (difference, half) = (ours.mean - published.mean, own + source_width);
        let interval = Interval { low: difference - half, high: difference + half };
        Self { interval, source_width, least_source_width }
    }
}

/// The error that may be spent up to a share of all runs: α ln(1 + (e − 1) t).
fn spent(share: f64) -> f64 {
    ALPHA * (1.0 + (std::f64::consts::E - 1.0) * share).ln()
}

/// The tails of a one-sided test whose statistic, times the root of the share, is a Brownian motion: each look's
/// bound spends what is new of the error on paths that no earlier look has stopped (Armitage, McPherson and Rowe,
/// 1969; Jennison and Turnbull, 1999, chapter 19).
fn tails(shares: &[f64]) -> Vec<f64> {
    let normal = Normal::standard();
    let mut tails = Vec::new();
    let mut density: Option<Density> = None;
    let mut before = 0.0;
    for &share in shares {
        let new = spent(share) - spent(before);
        let step = (share - before).sqrt();
        let crosses = |z: f64| {
            let bound = z * share.sqrt();
            match &density {
                None => normal.sf(z),
                Some(density) => density.integrate(|at| normal.sf((bound - at) / step)),
            }
        };
        let z = bisect(|z| crosses(z) > new);
        tails.push(normal.sf(z));
        let (low, high) = (-REACH * share.sqrt(), z * share.sqrt());
        density = Some(Density::of(low, high, |at| match &density {
            None => standard_density(at / share.sqrt()) / share.sqrt(),
            Some(density) => density.integrate(|from| standard_density((at - from) / step) / step),
        }));
        before = share;
    }
    tails
}

/// The largest z for which more is spent than there is.
fn bisect(too_much: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (0.0, 10.0);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if too_much(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    (low + high) / 2.0
}

fn standard_density(z: f64) -> f64 {
    (-z * z / 2.0).exp() / std::f64::consts::TAU.sqrt()
}

/// Where the paths are that no look has stopped, at equal distances.
struct Density {
    low: f64,
    step: f64,
    values: Vec<f64>,
}

impl Density {
    fn of(low: f64, high: f64, value: impl Fn(f64) -> f64) -> Self {
        let step = (high - low) / (POINTS - 1) as f64;
        let values = (0..POINTS).map(|place| value(low + step * place as f64)).collect();
        Self { low, step, values }
    }

    /// ∫ f(x) p(x) dx by Simpson's rule.
    fn integrate(&self, f: impl Fn(f64) -> f64) -> f64 {
        let weight = |place: usize| match place {
            0 => 1.0,
            place if place == POINTS - 1 => 1.0,
            place if place % 2 == 1 => 4.0,
            _ => 2.0,
        };
        let term = |(place, value): (usize, &f64)| {
            weight(place) * value * f(self.low + self.step * place as f64)
        };
        self.values.iter().enumerate().map(term).sum::<f64>() * self.step / 3.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Numbers, Stream};

    fn normal_bounds(looks: &Looks) -> Vec<f64> {
        looks.tails.iter().map(|&tail| Normal::standard().inverse_cdf(1.0 - tail)).collect()
    }

    /// Found by simulation, for Pocock-type spending of 5 %; `tests/golden/factorial.py` has others by integration.
    #[test]
    fn bounds_are_those_that_a_simulation_finds() {
        let found = normal_bounds(&Looks::at(vec![20, 40, 80, 160, 320]));
        for (bound, expected) in found.iter().zip([2.567, 2.514, 2.307, 2.100, 1.922]) {
            assert!((bound - expected).abs() < 5e-3, "{found:?}");
        }
        let once = normal_bounds(&Looks::at(vec![20]));
        assert!((once[0] - 1.6448536).abs() < 1e-6, "one look is the fixed test: {once:?}");
    }

    #[test]
    fn looks_double_up_to_the_most() {
        let looks = |most| Looks::doubling(most).map(|looks| looks.runs);
        assert_eq!(looks(4), None);
        assert_eq!(looks(5), Some(vec![5]));
        assert_eq!(looks(80), Some(vec![5, 10, 20, 40, 80]));
        assert_eq!(looks(100), Some(vec![5, 10, 20, 40, 80, 100]));
        let looks = Looks::doubling(20).unwrap();
        assert_eq!(looks.tail(4), None);
        assert_eq!(
            [5, 9, 10, 20, 99].map(|runs| looks.tail(runs)),
            [0, 0, 1, 2, 2].map(|at| Some(looks.tails[at]))
        );
    }

    /// A Brownian motion crosses some bound as often as it may.
    #[test]
    fn all_looks_together_spend_the_error() {
        let looks = Looks::doubling(320).unwrap();
        let bounds = normal_bounds(&looks);
        let mut numbers = Numbers::new(7, Stream::Bootstrap, 2);
        let normal = Normal::standard();
        const TRIALS: usize = 40_000;
        let crossed = (0..TRIALS)
            .filter(|_| {
                let (mut sum, mut before) = (0.0, 0usize);
                looks.runs.iter().zip(&bounds).any(|(&runs, bound)| {
                    let step = ((runs - before) as f64).sqrt();
                    sum += step * normal.inverse_cdf(numbers.uniform().max(1e-300));
                    before = runs;
                    sum / (runs as f64).sqrt() > *bound
                })
            })
            .count();
        let rate = crossed as f64 / TRIALS as f64;
        assert!((rate - ALPHA).abs() < 0.004, "{rate}");
    }
}
