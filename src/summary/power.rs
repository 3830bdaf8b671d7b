//! What a number of runs can show about a published figure, before or after they are made.

use serde::Serialize;

use super::{Summary, split_control};
use crate::metrics::Metric;
use crate::paper::{Paper, Status};
use crate::stats::{self, Design};

/// The power that plans are made for.
const WANTED: f64 = 0.8;
const HIGH: f64 = 0.9;

/// What `runs` runs of one cell can show about figures of one metric. Where the std is not known
/// yet, only what follows from the margin is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Power {
    pub experiment: String,
    pub cell: String,
    pub metric: Metric,
    pub paper: String,
    pub margin: f64,
    /// Runs that are planned.
    pub runs: usize,
    /// Of the runs that are stored, and their number.
    pub std: Option<f64>,
    pub n: usize,
    /// How often that many runs earn `reproduced` if nothing differs.
    pub power: Option<f64>,
    /// How often they earn `reproduced` if the difference is half the margin.
    pub power_half: Option<f64>,
    /// How often they earn `not reproduced` if the difference is twice the margin.
    pub power_twice: Option<f64>,
    /// The smallest margin that they show in 80 % of repetitions if nothing differs.
    pub smallest_margin: Option<f64>,
    /// The largest std at which they show this margin in 80 % of repetitions if nothing differs.
    pub largest_std: Option<f64>,
    /// Runs that it takes for 80 % and for 90 %.
    pub runs_for_80: Option<usize>,
    pub runs_for_90: Option<usize>,
}

/// One line a cell (controls left out, unless a figure names one), paper and metric with a margin
/// and a verified figure. Figures that print a std and a number of runs are judged by Welch's test,
/// whose power is not computed; they are treated as exact here.
pub fn power(
    experiment: &str,
    cells: &[String],
    summaries: &[Summary],
    papers: &[Paper],
    runs: usize,
) -> Vec<Power> {
    let mut lines = Vec::new();
    for cell in cells {
        for paper in papers {
            for (&metric, margin) in &paper.margins {
                let judged = paper.figures.iter().any(|figure| {
                    let of_cell = match &figure.cell {
                        Some(named) => named == cell,
                        None => split_control(cell).1.is_none(),
                    };
                    figure.experiment.as_deref() == Some(experiment)
                        && figure.metric == metric
                        && figure.status == Status::Verified
                        && of_cell
                });
                if judged {
                    let known = summaries.iter().find(|one| {
                        one.experiment == experiment && one.cell == *cell && one.metric == metric
                    });
                    let std = known.and_then(|one| one.std).filter(|&std| std > 0.0);
                    let n = known.map_or(0, |one| one.n);
                    let place = (experiment, cell.as_str(), metric, paper.name.as_str());
                    lines.push(line(place, margin.value, runs, std, n));
                }
            }
        }
    }
    lines
}

fn line(
    (experiment, cell, metric, paper): (&str, &str, Metric, &str),
    margin: f64,
    runs: usize,
    std: Option<f64>,
    n: usize,
) -> Power {
    let enough = runs >= stats::RUNS_MIN;
    let design = std.filter(|_| enough).map(|std| Design { n: runs, std, margin });
    Power {
        experiment: experiment.into(),
        cell: cell.into(),
        metric,
        paper: paper.into(),
        margin,
        runs,
        std,
        n,
        power: design.as_ref().map(|design| stats::power_reproduced(design, 0.0)),
        power_half: design.as_ref().map(|design| stats::power_reproduced(design, margin / 2.0)),
        power_twice: design
            .as_ref()
            .map(|design| stats::power_not_reproduced(design, 2.0 * margin)),
        smallest_margin: std.and_then(|std| stats::margin_for_power(runs, std, WANTED)),
        largest_std: stats::std_for_power(runs, margin, WANTED),
        runs_for_80: std.and_then(|std| stats::runs_for_power(std, margin, 0.0, WANTED)),
        runs_for_90: std.and_then(|std| stats::runs_for_power(std, margin, 0.0, HIGH)),
    }
}
