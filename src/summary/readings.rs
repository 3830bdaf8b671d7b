//! What the choices that a source leaves open do to a figure: runs of a grid of readings → the specification curve
//! (cells in the order of a quantity), the effects of the readings, and whose share of the difference between two
//! cells is how large. Pure, and over seeds below [`FRESH`] alone: fresh seeds judge what these have chosen.

use std::collections::{BTreeSet, HashMap};

use serde::Serialize;

use super::{Measurement, Row};
use crate::experiment::{Cell, CellName, Control, Design, Experiment, FRESH, Reading};
use crate::metrics::Metric;
use crate::paper::fingerprint::Quantity;
use crate::random::{Numbers, Stream};
use crate::stats::{self, Factorial, Fit, Interval, Term, shapley, t_interval};
use crate::store::record::State;

/// Of the intervals of means, effects and shares.
const LEVEL: f64 = 0.95;
/// Resamples of the seeds.
const RESAMPLES: usize = 10_000;
/// Switches between two cells: all subsets of them are gone through.
const MOST_SWITCHES: usize = 16;

/// What is known of the readings of an experiment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explained {
    /// The quantity that cells are ordered by.
    pub of: Quantity,
    /// The measurement beside it that tells readings apart, where the source prints one.
    pub fingerprint: Option<Quantity>,
    /// What the source leaves open.
    pub readings: Vec<Reading>,
    /// The keys of the grid, readings first, with their values.
    pub factors: Vec<Factor>,
    /// How many combinations of the readings were meant to run.
    pub combinations: usize,
    /// The seeds of these runs.
    pub seeds: Vec<u64>,
    /// Cells with a run, the highest mean first.
    pub specification: Vec<Specified>,
    pub effects: Vec<Effect>,
    /// Seeds whose runs tell all effects apart.
    pub fitted_seeds: usize,
    /// The share of the variance between cells that main effects and two-way terms explain, mean over the seeds.
    pub explained: Option<f64>,
    pub attribution: Vec<Attribution>,
}

/// A key of the grid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Factor {
    pub key: String,
    pub values: Vec<String>,
    /// Whether it is a reading, and no other axis.
    pub is_reading: bool,
}

impl Factor {
    /// The part of the key that stands in labels.
    pub fn short(&self) -> &str {
        self.key.rsplit('.').next().unwrap_or(&self.key)
    }
}

/// A cell of the specification curve; a line of `specification.csv`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Specified {
    /// From 1, the highest mean first.
    pub rank: usize,
    pub cell: CellName,
    /// The place of each factor's value.
    #[serde(skip)]
    pub levels: Vec<usize>,
    pub n: usize,
    pub n_failed: usize,
    pub mean: f64,
    /// 95 % t interval of the mean.
    pub low: Option<f64>,
    pub high: Option<f64>,
    /// The mean of the cell's own untrained control.
    pub control_mean: Option<f64>,
    /// The mean of the fingerprint.
    pub fingerprint: Option<f64>,
}

/// A line of `effects.csv`: what changing one factor, or two, does to a mean.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Effect {
    pub of: String,
    /// `kind`, or `kind × init`.
    pub term: String,
    /// Of the factors, the values that are changed from and to.
    pub from: String,
    pub to: String,
    pub estimate: f64,
    /// 95 % t interval over the seeds, each of which has an estimate of its own.
    pub low: Option<f64>,
    pub high: Option<f64>,
    pub seeds: usize,
}

/// How the difference between two cells is shared out among the factors in which they differ.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Attribution {
    pub of: String,
    pub from: CellName,
    pub to: CellName,
    /// The mean of each.
    pub from_mean: f64,
    pub to_mean: f64,
    /// Whether every cell between them was run; the model of main effects and two-way terms stands in otherwise.
    pub observed: bool,
    pub seeds: usize,
    pub shares: Vec<Share>,
}

/// One factor's Shapley value.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Share {
    pub key: String,
    pub from: String,
    pub to: String,
    pub value: f64,
    /// 95 % percentile interval of 10,000 resamples of the seeds.
    pub low: Option<f64>,
    pub high: Option<f64>,
    /// `value` over the whole difference, with its interval.
    pub share: Option<f64>,
    pub share_low: Option<f64>,
    pub share_high: Option<f64>,
}

/// What is asked of the readings.
#[derive(Debug, Clone)]
pub struct Asked<'a> {
    pub of: Quantity,
    pub fingerprint: Option<Quantity>,
    /// Cells whose difference is shared out; the first of the grid, and the last of a whole grid or the highest
    /// of a fraction, where they are not named.
    pub from: Option<&'a str>,
    pub to: Option<&'a str>,
}

/// What runs came to, by cell and seed.
type Values = HashMap<(CellName, u64), f64>;

/// Explains a quantity by the readings of an experiment. None for an experiment without readings, or without
/// a run.
///
/// # Errors
/// `no cell 'LABEL' …` for a cell that is not there.
pub fn explain(
    experiment: &Experiment,
    rows: &[Row],
    measurements: &[Measurement],
    asked: &Asked,
) -> Result<Option<Explained>, String> {
    if experiment.readings.is_empty() {
        return Ok(None);
    }
    let rows: Vec<&Row> = rows.iter().filter(|row| row.seed < FRESH).collect();
    let values = |quantity: &Quantity| values_of(&rows, measurements, quantity);
    let grid = Grid::of(experiment);
    let (of, marks) = (values(&asked.of), asked.fingerprint.as_ref().map(values));
    let specification = specification(&grid, &rows, &of, marks.as_ref());
    if specification.is_empty() {
        return Ok(None);
    }
    let seeds: BTreeSet<u64> = of.keys().map(|(_, seed)| *seed).collect();
    let seeds: Vec<u64> = seeds.into_iter().collect();
    let name = asked.of.to_string();
    let [from, to] = ends(experiment, &grid, &specification, asked)?;
    let mut effects = Vec::new();
    let mut attribution = Vec::new();
    let fitted = grid.fits(&of, &seeds, false);
    let explained: Vec<f64> = fitted.iter().map(|fit| fit.explained).collect();
    for (quantity, values, untrained) in
        [(name.clone(), Some(&of), false), (format!("{name}, untrained"), Some(&of), true)]
            .into_iter()
            .chain([(
                asked.fingerprint.as_ref().map(Quantity::to_string).unwrap_or_default(),
                marks.as_ref(),
                false,
            )])
    {
        let Some(values) = values else { continue };
        let fits = grid.fits(values, &seeds, untrained);
        effects.extend(grid.effects(&quantity, &fits));
        attribution.extend(grid.attribution(&quantity, values, &seeds, untrained, [from, to]));
    }
    Ok(Some(Explained {
        of: asked.of.clone(),
        fingerprint: asked.fingerprint.clone(),
        readings: experiment.readings.clone(),
        factors: grid.factors.clone(),
        combinations: combinations(experiment),
        seeds,
        specification,
        effects,
        fitted_seeds: explained.len(),
        explained: stats::mean(&explained),
        attribution,
    }))
}

/// How many combinations of its readings an experiment runs.
pub fn combinations(experiment: &Experiment) -> usize {
    match &experiment.design {
        Design::Full => experiment.readings.iter().map(|reading| reading.values.len()).product(),
        Design::Fraction(fraction) => 1 << fraction.free,
    }
}

fn values_of(rows: &[&Row], measurements: &[Measurement], quantity: &Quantity) -> Values {
    let ok = rows.iter().filter(|row| row.state == State::Ok);
    match quantity {
        Quantity::Metric(metric) => {
            ok.filter_map(|row| Some(((row.cell.clone(), row.seed), row.value(*metric)?))).collect()
        }
        Quantity::Diagnostic(name) => {
            let known: BTreeSet<(&CellName, u64)> = ok.map(|row| (&row.cell, row.seed)).collect();
            let of_run = |one: &&Measurement| {
                one.name == *name && one.value.is_finite() && known.contains(&(&one.cell, one.seed))
            };
            let measured = measurements.iter().filter(of_run);
            measured.map(|one| ((one.cell.clone(), one.seed), one.value)).collect()
        }
        Quantity::Outcome(_) => Values::new(),
    }
}

/// The cells of an experiment, by the places of their values.
struct Grid {
    factors: Vec<Factor>,
    /// Trained cells and the levels of each.
    cells: Vec<(CellName, Vec<usize>)>,
    design: Factorial,
}

impl Grid {
    fn of(experiment: &Experiment) -> Self {
        let trained: Vec<&Cell> =
            experiment.cells.iter().filter(|cell| cell.control.is_none()).collect();
        let mut factors: Vec<Factor> = Vec::new();
        if let Some(first) = trained.first() {
            let is_reading =
                |key: &String| experiment.readings.iter().any(|reading| reading.key == *key);
            let factor = |key: &String| Factor {
                key: key.clone(),
                values: Vec::new(),
                is_reading: is_reading(key),
            };
            factors.extend(first.axes.keys().map(factor));
        }
        let mut cells = Vec::new();
        for cell in trained {
            let levels = factors.iter_mut().zip(cell.axes.values()).map(|(factor, value)| {
                factor.values.iter().position(|known| known == value).unwrap_or_else(|| {
                    factor.values.push(value.clone());
                    factor.values.len() - 1
                })
            });
            cells.push((cell.label.clone(), levels.collect()));
        }
        let sizes = factors.iter().map(|factor| factor.values.len()).collect();
        let levels =
            cells.iter().map(|(_, levels): &(CellName, Vec<usize>)| levels.clone()).collect();
        let design = Factorial::new(sizes, levels);
        Self { factors, cells, design }
    }

    /// The label that a cell's values are under: its own, or its control's.
    fn label(cell: &CellName, untrained: bool) -> CellName {
        match untrained {
            true => cell.with(Control::Untrained),
            false => cell.clone(),
        }
    }

    /// The model of each seed whose cells tell all terms apart.
    fn fits(&self, values: &Values, seeds: &[u64], untrained: bool) -> Vec<Fit<'_>> {
        let of_seed = |&seed: &u64| {
            let value = |(cell, _): &(CellName, Vec<usize>)| {
                values.get(&(Self::label(cell, untrained), seed)).copied()
            };
            self.design.fit(&self.cells.iter().map(value).collect::<Vec<_>>())
        };
        seeds.iter().filter_map(of_seed).collect()
    }

    fn effects(&self, of: &str, fits: &[Fit]) -> Vec<Effect> {
        let effect = |term: Term| {
            let values: Vec<f64> = fits.iter().map(|fit| fit.effect(term)).collect();
            let estimate = stats::mean(&values)?;
            let interval = interval(&values);
            let (names, from, to) = self.words(term);
            Some(Effect {
                of: of.to_owned(),
                term: names,
                from,
                to,
                estimate,
                low: interval.map(|interval| interval.low),
                high: interval.map(|interval| interval.high),
                seeds: values.len(),
            })
        };
        self.design.terms().into_iter().filter_map(effect).collect()
    }

    /// A term's factors, and the values that it changes from and to.
    fn words(&self, term: Term) -> (String, String, String) {
        let value = |factor: usize, level: usize| self.factors[factor].values[level].as_str();
        match term {
            Term::Main { factor, level } => (
                self.factors[factor].short().to_owned(),
                value(factor, 0).to_owned(),
                value(factor, level).to_owned(),
            ),
            Term::TwoWay { factors: [a, b], levels: [i, j] } => (
                format!("{} × {}", self.factors[a].short(), self.factors[b].short()),
                format!("{} × {}", value(a, 0), value(b, 0)),
                format!("{} × {}", value(a, i), value(b, j)),
            ),
        }
    }

    /// What each seed came to at these levels, and whether that was run: all of them were, or the model stands
    /// in.
    fn games(
        &self,
        between: &[Vec<usize>],
        values: &Values,
        seeds: &[u64],
        untrained: bool,
    ) -> (bool, Vec<Vec<f64>>) {
        let places: HashMap<&Vec<usize>, &CellName> =
            self.cells.iter().map(|(cell, levels)| (levels, cell)).collect();
        let label = |levels| places.get(levels).map(|cell| Self::label(cell, untrained));
        let cells: Option<Vec<CellName>> = between.iter().map(label).collect();
        let Some(cells) = cells else {
            let mean = |fit: &Fit, levels: &Vec<usize>| {
                fit.mean(&levels.iter().copied().map(Some).collect::<Vec<_>>())
            };
            let fits = self.fits(values, seeds, untrained);
            let game = |fit| between.iter().map(|levels| mean(fit, levels)).collect();
            return (false, fits.iter().map(game).collect());
        };
        let game = |&seed: &u64| {
            cells.iter().map(|cell| values.get(&(cell.clone(), seed)).copied()).collect()
        };
        (true, seeds.iter().filter_map(game).collect())
    }

    /// Shares the difference between two cells out among the factors in which they differ.
    fn attribution(
        &self,
        of: &str,
        values: &Values,
        seeds: &[u64],
        untrained: bool,
        ends: [usize; 2],
    ) -> Option<Attribution> {
        let [from, to] = ends.map(|place| &self.cells[place]);
        let differ: Vec<usize> =
            (0..self.factors.len()).filter(|&factor| from.1[factor] != to.1[factor]).collect();
        if differ.is_empty() || differ.len() > MOST_SWITCHES {
            return None;
        }
        let mixed = |set: u32| -> Vec<usize> {
            let mut levels = from.1.clone();
            for (bit, &factor) in differ.iter().enumerate() {
                if set >> bit & 1 == 1 {
                    levels[factor] = to.1[factor];
                }
            }
            levels
        };
        let between: Vec<Vec<usize>> = (0..1u32 << differ.len()).map(mixed).collect();
        let (observed, games) = self.games(&between, values, seeds, untrained);
        let end = |set: usize| stats::mean(&games.iter().map(|game| game[set]).collect::<Vec<_>>());
        let (from_mean, to_mean) = (end(0)?, end(between.len() - 1)?);
        let by_seed: Vec<Vec<f64>> =
            games.iter().map(|game| shapley(differ.len(), |set| game[set as usize])).collect();
        let key = |&factor: &usize| {
            let Factor { key, values, .. } = &self.factors[factor];
            (key.clone(), values[from.1[factor]].clone(), values[to.1[factor]].clone())
        };
        let shares = shares(&by_seed, &differ.iter().map(key).collect::<Vec<_>>());
        Some(Attribution {
            of: of.to_owned(),
            from: from.0.clone(),
            to: to.0.clone(),
            from_mean,
            to_mean,
            observed,
            seeds: games.len(),
            shares,
        })
    }
}

/// The mean over seeds of each factor's Shapley value, and what resamples of the seeds make of it.
fn shares(by_seed: &[Vec<f64>], keys: &[(String, String, String)]) -> Vec<Share> {
    let count = by_seed.len();
    let mean_of = |seeds: &[usize]| -> Vec<f64> {
        let sum = |factor: usize| seeds.iter().map(|&seed| by_seed[seed][factor]).sum::<f64>();
        (0..keys.len()).map(|factor| sum(factor) / seeds.len() as f64).collect()
    };
    let all: Vec<usize> = (0..count).collect();
    let means = mean_of(&all);
    let mut numbers = Numbers::new(1, Stream::Bootstrap, 0);
    let resamples: Vec<Vec<f64>> = match count {
        0 | 1 => Vec::new(),
        _ => (0..RESAMPLES)
            .map(|_| mean_of(&(0..count).map(|_| numbers.below(count)).collect::<Vec<_>>()))
            .collect(),
    };
    let tail = (1.0 - LEVEL) / 2.0;
    let ends = |values: Vec<f64>| {
        let high = stats::quantile(values.clone(), 1.0 - tail)?;
        Some(Interval { low: stats::quantile(values, tail)?, high })
    };
    let whole = |values: &[f64]| values.iter().sum::<f64>();
    let share_of = |values: &[f64], factor: usize| {
        let whole = whole(values);
        (whole != 0.0).then(|| values[factor] / whole)
    };
    keys.iter()
        .enumerate()
        .map(|(factor, (key, from, to))| {
            let interval = ends(resamples.iter().map(|means| means[factor]).collect());
            let of_whole = resamples.iter().filter_map(|means| share_of(means, factor));
            let of_whole = ends(of_whole.collect());
            Share {
                key: key.clone(),
                from: from.clone(),
                to: to.clone(),
                value: means[factor],
                low: interval.map(|interval| interval.low),
                high: interval.map(|interval| interval.high),
                share: share_of(&means, factor),
                share_low: of_whole.map(|interval| interval.low),
                share_high: of_whole.map(|interval| interval.high),
            }
        })
        .collect()
}

fn interval(values: &[f64]) -> Option<Interval> {
    let (mean, std) = (stats::mean(values)?, stats::std(values)?);
    t_interval(values.len(), mean, std, LEVEL)
}

/// The cells with a value, the highest mean first.
fn specification(
    grid: &Grid,
    rows: &[&Row],
    values: &Values,
    marks: Option<&Values>,
) -> Vec<Specified> {
    let mut runs: HashMap<&CellName, Vec<&Row>> = HashMap::new();
    for row in rows {
        runs.entry(&row.cell).or_default().push(row);
    }
    let mean_of = |values: &Values, cell: &CellName| {
        let rows = runs.get(cell)?;
        let values = rows.iter().filter_map(|row| values.get(&(cell.clone(), row.seed)).copied());
        stats::mean(&values.collect::<Vec<_>>())
    };
    let specified = |(cell, levels): &(CellName, Vec<usize>)| {
        let rows = runs.get(cell)?;
        let of_cell = rows.iter().filter_map(|row| values.get(&(cell.clone(), row.seed)).copied());
        let of_cell: Vec<f64> = of_cell.collect();
        let mean = stats::mean(&of_cell)?;
        let interval = interval(&of_cell);
        Some(Specified {
            rank: 0,
            cell: cell.clone(),
            levels: levels.clone(),
            n: of_cell.len(),
            n_failed: rows.iter().filter(|row| row.state != State::Ok).count(),
            mean,
            low: interval.map(|interval| interval.low),
            high: interval.map(|interval| interval.high),
            control_mean: mean_of(values, &Grid::label(cell, true)),
            fingerprint: marks.and_then(|marks| mean_of(marks, cell)),
        })
    };
    let mut cells: Vec<Specified> = grid.cells.iter().filter_map(specified).collect();
    cells.sort_by(|a, b| b.mean.total_cmp(&a.mean));
    cells.iter_mut().enumerate().for_each(|(place, cell)| cell.rank = place + 1);
    cells
}

/// The cells whose difference is shared out.
fn ends(
    experiment: &Experiment,
    grid: &Grid,
    specification: &[Specified],
    asked: &Asked,
) -> Result<[usize; 2], String> {
    let named = |label: &str| {
        let cell = experiment.cell(label)?;
        let place = grid.cells.iter().position(|(known, _)| *known == cell.label);
        place.ok_or_else(|| format!("'{label}' is a control: name the cell beside it"))
    };
    let best = |cell: &Specified| grid.cells.iter().position(|(known, _)| *known == cell.cell);
    let last = match experiment.design {
        Design::Full => grid.cells.len() - 1,
        Design::Fraction(_) => specification.first().and_then(best).unwrap_or(0),
    };
    Ok([asked.from.map_or(Ok(0), named)?, asked.to.map_or(Ok(last), named)?])
}

impl Default for Asked<'_> {
    fn default() -> Self {
        Self { of: Metric::F1.into(), fingerprint: None, from: None, to: None }
    }
}
