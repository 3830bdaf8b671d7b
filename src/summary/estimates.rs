//! Runs of a cell → estimates of each metric. What cannot be estimated is `None`, and the summary
//! says why.

use indexmap::IndexMap;
use rayon::prelude::*;
use serde::Serialize;

use super::{Row, codes};
use crate::error::{Error, Result};
use crate::experiment::{CellName, Scale};
use crate::metrics::Metric;
use crate::stats;
use crate::store::record::State;

/// The bootstrap draws the same numbers for every cell and metric: the same runs give the same
/// interval, whatever stands beside them.
const BOOTSTRAP_SEED: u64 = 1;

/// One metric of one cell over its runs. What is undefined is `None`, never NaN.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    pub experiment: String,
    pub cell: CellName,
    pub scale: Scale,
    pub metric: Metric,
    /// All runs of the cell.
    pub runs: usize,
    /// Runs that ended `ok` and have the metric: those the estimates are made of.
    pub n: usize,
    /// Runs that did not end `ok`.
    pub n_failed: usize,
    pub mean: Option<f64>,
    /// With n − 1; `None` for one run.
    pub std: Option<f64>,
    pub min: Option<f64>,
    /// Lower quartile.
    pub q1: Option<f64>,
    pub median: Option<f64>,
    /// Upper quartile.
    pub q3: Option<f64>,
    pub max: Option<f64>,
    /// 95 % t interval of the mean, of [`stats::INTERVAL_MIN`] runs or more.
    pub ci95_low: Option<f64>,
    pub ci95_high: Option<f64>,
    /// 95 % bias-corrected accelerated bootstrap interval of the mean, where [`bootstrap`] made one.
    pub bca95_low: Option<f64>,
    pub bca95_high: Option<f64>,
    /// Number of versions of the code that made the runs.
    pub versions: usize,
    /// Their names; empty where they are not known.
    pub code: String,
    /// Why something is blank; empty where nothing is.
    pub note: String,
}

/// Estimates of every metric in every cell, cells in the order of their first rows. Runs that
/// failed are counted and never averaged.
///
/// # Errors
/// Rows of the full protocol beside rows of a reduced one, by an example of each.
pub fn summarise(rows: &[Row]) -> Result<Vec<Summary>> {
    refuse_mixed_scales(rows)?;
    Ok(cells(rows)
        .values()
        .flat_map(|runs| {
            let codes = codes(runs.iter().copied());
            Metric::ALL.map(|metric| summarise_cell(runs, metric, &codes))
        })
        .collect())
}

/// Adds bootstrap intervals of `resamples` resamples each, on as many threads as rayon has, to the
/// summaries that [`summarise`] made of `rows`. Returns how many there are.
pub fn bootstrap(summaries: &mut [Summary], rows: &[Row], resamples: usize) -> usize {
    let cells = cells(rows);
    let made: usize = summaries
        .par_iter_mut()
        .filter(|summary| summary.n >= stats::INTERVAL_MIN)
        .map(|summary| {
            let runs = &cells[&(summary.experiment.as_str(), summary.cell.as_str())];
            let values = values(runs, summary.metric);
            match stats::bca_interval(&values, 0.95, resamples, BOOTSTRAP_SEED) {
                Ok(interval) => {
                    summary.bca95_low = Some(interval.low);
                    summary.bca95_high = Some(interval.high);
                    1
                }
                Err(why) => {
                    summary.note = format!("no bootstrap interval: {why}");
                    0
                }
            }
        })
        .sum();
    made
}

pub(super) fn cells(rows: &[Row]) -> IndexMap<(&str, &str), Vec<&Row>> {
    let mut cells: IndexMap<(&str, &str), Vec<&Row>> = IndexMap::new();
    for row in rows {
        cells.entry((&row.experiment, &row.cell)).or_default().push(row);
    }
    cells
}

/// The metric's value in every run that ended `ok` and has one.
fn values(runs: &[&Row], metric: Metric) -> Vec<f64> {
    let ok = runs.iter().filter(|row| row.state == State::Ok);
    ok.filter_map(|row| row.value(metric)).collect()
}

fn refuse_mixed_scales(rows: &[Row]) -> Result<()> {
    let Some(first) = rows.first() else {
        return Ok(());
    };
    let Some(other) = rows.iter().find(|row| row.scale != first.scale) else {
        return Ok(());
    };
    let (full, quick) = match first.scale {
        Scale::Full => (first, other),
        Scale::Quick => (other, first),
    };
    let place = |row: &Row| format!("{} {} seed {}", row.experiment, row.cell, row.seed);
    Err(Error::Data(format!(
        "runs of the full protocol and reduced runs cannot share a table: {} is full, {} is quick; \
         keep them in separate files",
        place(full),
        place(quick)
    )))
}

fn summarise_cell(runs: &[&Row], metric: Metric, (versions, code): &(usize, String)) -> Summary {
    let values = values(runs, metric);
    let n_failed = runs.iter().filter(|row| row.state != State::Ok).count();
    let quartiles = stats::quartiles(&values);
    let (mean, std) = (stats::mean(&values), stats::std(&values));
    let enough = mean.zip(std).filter(|_| values.len() >= stats::INTERVAL_MIN);
    let interval = enough.and_then(|(mean, std)| stats::t_interval(values.len(), mean, std, 0.95));
    Summary {
        experiment: runs[0].experiment.clone(),
        cell: runs[0].cell.clone(),
        scale: runs[0].scale,
        metric,
        runs: runs.len(),
        n: values.len(),
        n_failed,
        mean,
        std,
        min: stats::min(&values),
        q1: quartiles.map(|(q1, _)| q1),
        median: stats::median(&values),
        q3: quartiles.map(|(_, q3)| q3),
        max: stats::max(&values),
        ci95_low: interval.map(|interval| interval.low),
        ci95_high: interval.map(|interval| interval.high),
        bca95_low: None,
        bca95_high: None,
        versions: *versions,
        code: code.clone(),
        note: note(runs.len(), values.len(), n_failed),
    }
}

/// Why estimates are blank.
fn note(runs: usize, n: usize, n_failed: usize) -> String {
    match n {
        0 if n_failed == runs => "no run ended ok".into(),
        0 => "no run has a value".into(),
        1 => "one run has no spread".into(),
        2..stats::INTERVAL_MIN => few_runs(),
        _ => String::new(),
    }
}

/// Why there is no interval.
pub(super) fn few_runs() -> String {
    format!("no interval: fewer than {} runs", stats::INTERVAL_MIN)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{row, rows};
    use super::*;

    fn f1_of(rows: &[Row]) -> Summary {
        let metric = |summary: &Summary| summary.metric == Metric::F1;
        summarise(rows).unwrap().into_iter().find(metric).unwrap()
    }

    #[test]
    fn failed_runs_are_counted_and_never_averaged() {
        let mut runs = rows("base", &[0.8, 0.9, 0.1, 1.0]);
        runs[2].state = State::Diverged;
        let summary = f1_of(&runs);
        assert_eq!((summary.runs, summary.n, summary.n_failed), (4, 3, 1));
        assert!((summary.mean.unwrap() - 0.9).abs() < 1e-15);
        assert_eq!((summary.min, summary.median, summary.max), (Some(0.8), Some(0.9), Some(1.0)));
        assert!((summary.q1.unwrap() - 0.85).abs() < 1e-15);
        assert!((summary.q3.unwrap() - 0.95).abs() < 1e-15);
    }

    #[test]
    fn what_cannot_be_estimated_is_blank_and_says_why() {
        let one = f1_of(&rows("base", &[0.9]));
        assert_eq!((one.mean, one.std, one.ci95_low), (Some(0.9), None, None));
        assert_eq!(one.note, "one run has no spread");
        let mut runs = rows("base", &[0.9]);
        runs[0].metrics[Metric::F1] = None;
        assert_eq!(f1_of(&runs).note, "no run has a value");
        runs[0].state = State::Crashed;
        let none = f1_of(&runs);
        assert_eq!((none.n, none.n_failed, none.mean, none.median), (0, 1, None, None));
        assert_eq!(none.note, "no run ended ok");
    }

    #[test]
    fn below_five_runs_there_is_a_spread_and_no_interval() {
        let mut runs = rows("base", &[0.2, 0.9, 0.4, 0.7, 0.5]);
        let mut five = summarise(&runs).unwrap();
        bootstrap(&mut five, &runs, 200);
        let five = five.into_iter().find(|one| one.metric == Metric::F1).unwrap();
        assert!(five.ci95_low.is_some() && five.bca95_low.is_some() && five.note.is_empty());
        runs.pop();
        let mut four = summarise(&runs).unwrap();
        bootstrap(&mut four, &runs, 200);
        let four = four.into_iter().find(|one| one.metric == Metric::F1).unwrap();
        assert!(four.std.is_some());
        assert_eq!((four.ci95_low, four.ci95_high), (None, None));
        assert_eq!((four.bca95_low, four.bca95_high), (None, None));
        assert_eq!(four.note, "no interval: fewer than 5 runs");
    }

    #[test]
    fn a_bootstrap_interval_depends_on_the_runs_of_its_cell_alone() {
        let mut runs = rows("base", &[0.80, 0.84, 0.86, 0.87, 0.88, 0.91]);
        let alone = {
            let mut summaries = summarise(&runs).unwrap();
            assert_eq!(bootstrap(&mut summaries, &runs, 2000), 1);
            summaries.into_iter().find(|one| one.metric == Metric::F1).unwrap()
        };
        let (low, high) = (alone.bca95_low.unwrap(), alone.bca95_high.unwrap());
        let mean = alone.mean.unwrap();
        assert!(0.80 < low && low < mean && mean < high && high < 0.91);
        runs.extend(rows("other", &[0.1, 0.2]));
        let mut summaries = summarise(&runs).unwrap();
        assert_eq!(bootstrap(&mut summaries, &runs, 2000), 1);
        assert!(summaries.contains(&alone));
        let other = summaries.iter().find(|one| one.cell == "other" && one.n > 0).unwrap();
        assert_eq!(other.bca95_low, None);
        assert_eq!(other.note, "no interval: fewer than 5 runs");
    }

    #[test]
    fn a_metric_that_no_run_has_stays_blank_beside_one_that_they_have() {
        let summaries = summarise(&[row("base", 1, 0.5), row("base", 2, 0.6)]).unwrap();
        for summary in summaries.iter().filter(|one| one.metric != Metric::F1) {
            assert_eq!((summary.runs, summary.n, summary.mean), (2, 0, None));
        }
    }

    #[test]
    fn full_and_reduced_runs_never_share_a_summary() {
        let mut runs = rows("base", &[0.9, 0.9, 0.9]);
        runs[1].scale = Scale::Quick;
        let error = summarise(&runs).unwrap_err();
        assert!(error.to_string().contains("made-up base seed 2 is quick"), "{error}");
    }
}
