//! Effects in a factorial design: what changing one factor, or two together, does to a mean, by least squares of
//! the main effects and two-way terms, for values of whole factorials and of fractions of resolution V. And the
//! Shapley value, which shares the difference between two cells out among the factors in which they differ. Knows
//! levels by their numbers alone.

use nalgebra::{Cholesky, DMatrix, DVector};

/// What is asked of a design.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Term {
    /// A factor at this level in place of its first, all other factors averaged over.
    Main { factor: usize, level: usize },
    /// Half of how much more that is when another factor is at this level in place of its first: the
    /// interaction effect of a two-level design (Box, Hunter and Hunter, 2005, chapter 5).
    TwoWay { factors: [usize; 2], levels: [usize; 2] },
}

/// The cells of a design, each by the level of every factor.
#[derive(Debug, Clone)]
pub struct Factorial {
    sizes: Vec<usize>,
    cells: Vec<Vec<usize>>,
    /// The model's columns for each cell.
    rows: DMatrix<f64>,
}

/// Pivots smaller than this share of the largest say that the cells do not tell terms apart.
const SMALLEST_PIVOT: f64 = 1e-6;

impl Factorial {
    /// A design of factors that have so many levels. Levels are coded to sum to 0 over a factor, so that an effect
    /// is over all levels of the others alike, whichever of them were run more.
    ///
    /// # Panics
    /// For a cell without a level of every factor.
    pub fn new(sizes: Vec<usize>, cells: Vec<Vec<usize>>) -> Self {
        let mut design = Self { sizes, cells, rows: DMatrix::zeros(0, 0) };
        let rows: Vec<f64> = design
            .cells
            .iter()
            .flat_map(|cell| {
                design.columns(&cell.iter().map(|&level| Some(level)).collect::<Vec<_>>())
            })
            .collect();
        design.rows = DMatrix::from_row_slice(design.cells.len(), design.width(), &rows);
        design
    }

    /// Columns of the model: the mean, main effects, two-way terms.
    pub fn width(&self) -> usize {
        let free: Vec<usize> = self.sizes.iter().map(|size| size - 1).collect();
        let pairs: usize = (0..free.len())
            .map(|first| free[first] * free[first + 1..].iter().sum::<usize>())
            .sum();
        1 + free.iter().sum::<usize>() + pairs
    }

    /// A factor's own columns at a level; all 0 where it is averaged over.
    fn coded(&self, factor: usize, level: Option<usize>) -> Vec<f64> {
        let last = self.sizes[factor] - 1;
        let column = |column: usize| match level {
            None => 0.0,
            // the first level is the one that the others are measured from
            Some(0) => -1.0,
            Some(level) if level == column + 1 => 1.0,
            Some(_) => 0.0,
        };
        (0..last).map(column).collect()
    }

    fn columns(&self, levels: &[Option<usize>]) -> Vec<f64> {
        assert_eq!(levels.len(), self.sizes.len(), "a level of every factor");
        let coded: Vec<Vec<f64>> =
            levels.iter().enumerate().map(|(factor, &level)| self.coded(factor, level)).collect();
        let mut columns = vec![1.0];
        columns.extend(coded.iter().flatten());
        for (place, first) in coded.iter().enumerate() {
            for second in &coded[place + 1..] {
                columns.extend(first.iter().flat_map(|a| second.iter().map(move |b| a * b)));
            }
        }
        columns
    }

    /// Every main effect, then every two-way term.
    pub fn terms(&self) -> Vec<Term> {
        let count = self.sizes.len();
        let levels = |factor: usize| 1..self.sizes[factor];
        let main = (0..count)
            .flat_map(|factor| levels(factor).map(move |level| Term::Main { factor, level }));
        let mut terms: Vec<Term> = main.collect();
        for first in 0..count {
            for second in first + 1..count {
                for level in levels(first) {
                    let term =
                        |other| Term::TwoWay { factors: [first, second], levels: [level, other] };
                    terms.extend(levels(second).map(term));
                }
            }
        }
        terms
    }

    /// Fits the values of the cells, none where a cell has none. None where the cells with a value do not tell
    /// all terms apart.
    pub fn fit(&self, values: &[Option<f64>]) -> Option<Fit<'_>> {
        let known: Vec<usize> =
            (0..self.cells.len()).filter(|&cell| values[cell].is_some()).collect();
        if known.len() < self.width() {
            return None;
        }
        let rows = self.rows.select_rows(&known);
        let observed =
            DVector::from_iterator(known.len(), known.iter().filter_map(|&cell| values[cell]));
        let factor = Cholesky::new(rows.transpose() * &rows)?;
        let pivots = factor.l_dirty().diagonal();
        if pivots.min() < SMALLEST_PIVOT * pivots.max() {
            return None;
        }
        let coefficients = factor.solve(&(rows.transpose() * &observed));
        let residual = (&observed - &rows * &coefficients).norm_squared();
        let mean = observed.mean();
        let total = observed.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
        let explained = if total > 0.0 { 1.0 - residual / total } else { 1.0 };
        Some(Fit { design: self, coefficients, explained })
    }
}

/// The model of one set of values.
#[derive(Debug, Clone)]
pub struct Fit<'a> {
    design: &'a Factorial,
    coefficients: DVector<f64>,
    /// The share of the variance between cells that main effects and two-way terms explain.
    pub explained: f64,
}

impl Fit<'_> {
    /// The model's mean where some factors have a level and the others are averaged over.
    pub fn mean(&self, levels: &[Option<usize>]) -> f64 {
        self.design.columns(levels).iter().zip(&self.coefficients).map(|(a, b)| a * b).sum()
    }

    /// The size of a term.
    pub fn effect(&self, term: Term) -> f64 {
        let at = |given: &[(usize, usize)]| {
            let mut levels = vec![None; self.design.sizes.len()];
            for &(factor, level) in given {
                levels[factor] = Some(level);
            }
            self.mean(&levels)
        };
        match term {
            Term::Main { factor, level } => at(&[(factor, level)]) - at(&[(factor, 0)]),
            Term::TwoWay { factors: [a, b], levels: [of_a, of_b] } => {
                let with = at(&[(a, of_a), (b, of_b)]) - at(&[(a, 0), (b, of_b)]);
                let without = at(&[(a, of_a), (b, 0)]) - at(&[(a, 0), (b, 0)]);
                (with - without) / 2.0
            }
        }
    }
}

/// The Shapley value of each of `players` in a game: the mean, over all orders in which they may come, of what each
/// adds to `value` when it comes (Shapley, 1953). `value` is asked of sets, a bit a player; the values add up to
/// that of all less that of none.
///
/// # Panics
/// For more than 16 players: the sets are all gone through.
pub fn shapley(players: usize, value: impl Fn(u32) -> f64) -> Vec<f64> {
    assert!(players <= 16, "2^{players} sets are too many");
    let values: Vec<f64> = (0..1u32 << players).map(value).collect();
    // of a set of this size, among the sets without a player: size! (players − size − 1)! / players!
    let mut weights = vec![1.0 / players.max(1) as f64];
    for size in 1..players {
        let last = weights[size - 1];
        weights.push(last * size as f64 / (players - size) as f64);
    }
    let share = |player: usize| {
        let without = (0..1u32 << players).filter(|set| set >> player & 1 == 0);
        let adds = |set: u32| {
            let gain = values[(set | 1 << player) as usize] - values[set as usize];
            weights[set.count_ones() as usize] * gain
        };
        without.map(adds).sum()
    };
    (0..players).map(share).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Numbers, Stream};
    use crate::stats::{mean, std, t_interval};

    /// The rows of all combinations of factors of these sizes.
    fn all(sizes: &[usize]) -> Vec<Vec<usize>> {
        sizes.iter().fold(vec![Vec::new()], |rows, &size| {
            rows.iter()
                .flat_map(|row| (0..size).map(move |level| [row.as_slice(), &[level]].concat()))
                .collect()
        })
    }

    #[test]
    fn in_a_whole_factorial_effects_are_differences_of_marginal_means() {
        let sizes = [2, 3, 2];
        let cells = all(&sizes);
        let values: Vec<f64> =
            (0..cells.len()).map(|cell| ((cell * cell * 7919) % 97) as f64 / 97.0).collect();
        let design = Factorial::new(sizes.to_vec(), cells.clone());
        let fit = design.fit(&values.iter().copied().map(Some).collect::<Vec<_>>()).unwrap();
        let marginal = |given: &[(usize, usize)]| {
            let holds =
                |cell: &Vec<usize>| given.iter().all(|&(factor, level)| cell[factor] == level);
            let chosen: Vec<f64> = cells
                .iter()
                .zip(&values)
                .filter(|(cell, _)| holds(cell))
                .map(|(_, v)| *v)
                .collect();
            mean(&chosen).unwrap()
        };
        for term in design.terms() {
            let expected = match term {
                Term::Main { factor, level } => {
                    marginal(&[(factor, level)]) - marginal(&[(factor, 0)])
                }
                Term::TwoWay { factors: [a, b], levels: [i, j] } => {
                    let at = |i, j| marginal(&[(a, i), (b, j)]);
                    ((at(i, j) - at(0, j)) - (at(i, 0) - at(0, 0))) / 2.0
                }
            };
            assert!((fit.effect(term) - expected).abs() < 1e-12, "{term:?}");
        }
        assert_eq!(design.terms().len(), design.width() - 1);
    }

    #[test]
    fn cells_that_do_not_tell_terms_apart_have_no_fit() {
        let sizes = vec![2, 2, 2];
        let design = Factorial::new(sizes.clone(), all(&sizes));
        let mut values = vec![Some(0.5); 8];
        assert!(design.fit(&values).is_some());
        values[3] = None;
        assert!(design.fit(&values).is_some(), "seven cells for seven columns");
        values[5] = None;
        assert!(design.fit(&values).is_none());
        let half: Vec<Vec<usize>> =
            all(&sizes).into_iter().filter(|cell| cell.iter().sum::<usize>() % 2 == 0).collect();
        assert!(Factorial::new(sizes, half).fit(&[Some(1.0); 4]).is_none());
    }

    /// A seed's F1 in a cell: known effects, a spread of its own seed, and a spread of each run.
    #[test]
    fn known_effects_come_back_within_their_intervals_at_the_stated_rate() {
        let fraction = crate::experiment::Fraction::new(8, 64).unwrap();
        let cells = fraction.rows();
        let sign = |level: usize| if level == 0 { -0.5 } else { 0.5 };
        let truth = |cell: &[usize]| {
            let s: Vec<f64> = cell.iter().map(|&level| sign(level)).collect();
            0.87 + 0.06 * s[0] - 0.02 * s[4] + 0.04 * 2.0 * s[0] * s[4] + 0.01 * 2.0 * s[2] * s[6]
        };
        let expected = |term: Term| match term {
            Term::Main { factor: 0, .. } => 0.06,
            Term::Main { factor: 4, .. } => -0.02,
            Term::TwoWay { factors: [0, 4], .. } => 0.04,
            Term::TwoWay { factors: [2, 6], .. } => 0.01,
            Term::Main { .. } | Term::TwoWay { .. } => 0.0,
        };
        let design = Factorial::new(vec![2; 8], cells.clone());
        let terms = design.terms();
        let (mut covered, mut of, mut errors) = (0, 0, Vec::new());
        const SEEDS: usize = 5;
        for trial in 0..200 {
            let mut numbers = Numbers::new(trial, Stream::Bootstrap, 1);
            let mut normal = || {
                let (a, b) = (1.0 - numbers.uniform(), numbers.uniform());
                (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()
            };
            let fits: Vec<Vec<f64>> = (0..SEEDS)
                .map(|_| {
                    let of_seed = 0.03 * normal();
                    let values: Vec<Option<f64>> = cells
                        .iter()
                        .map(|cell| Some(truth(cell) + of_seed + 0.058 * normal()))
                        .collect();
                    let fit = design.fit(&values).unwrap();
                    terms.iter().map(|&term| fit.effect(term)).collect()
                })
                .collect();
            for (place, &term) in terms.iter().enumerate() {
                let values: Vec<f64> = fits.iter().map(|fit| fit[place]).collect();
                let (mean, std) = (mean(&values).unwrap(), std(&values).unwrap());
                let interval = t_interval(SEEDS, mean, std, 0.95).unwrap();
                let known = expected(term);
                covered += usize::from((interval.low..=interval.high).contains(&known));
                of += 1;
                errors.push(mean - known);
            }
        }
        let rate = covered as f64 / of as f64;
        assert!((0.94..=0.96).contains(&rate), "{rate}");
        // 2σ/√N of a main effect, and of a two-way term as much
        let error = std(&errors).unwrap() / (2.0 * 0.058 / ((64 * SEEDS) as f64).sqrt());
        assert!((0.95..=1.05).contains(&error), "{error}");
    }

    #[test]
    fn shapley_values_add_up_and_share_an_interaction_equally() {
        // 3 for the first, −1 for the second, and 4 for both together
        let value = |set: u32| f64::from([0, 3, -1, 6][set as usize]);
        assert_eq!(shapley(2, value), [5.0, 1.0]);
        let random = |set: u32| f64::from((set * set * 7919 + 13) % 101);
        let shares = shapley(5, random);
        let sum: f64 = shares.iter().sum();
        assert!((sum - (random(31) - random(0))).abs() < 1e-9);
        // of all 120 orders, one by one
        let mut orders = vec![Vec::new()];
        for _ in 0..5 {
            let longer = |order: &Vec<usize>| {
                let order = order.clone();
                (0..5)
                    .filter(|player| !order.contains(player))
                    .map(|player| [order.as_slice(), &[player]].concat())
                    .collect::<Vec<_>>()
            };
            orders = orders.iter().flat_map(longer).collect();
        }
        let mut by_orders = [0.0; 5];
        for order in &orders {
            let mut set = 0;
            for &player in order {
                by_orders[player] += (random(set | 1 << player) - random(set)) / 120.0;
                set |= 1 << player;
            }
        }
        for (share, expected) in shares.iter().zip(by_orders) {
            assert!((share - expected).abs() < 1e-9);
        }
        assert_eq!(shapley(1, |set| f64::from(set) * 0.5), [0.5]);
        assert!(shapley(0, |_| 1.0).is_empty());
    }
}
