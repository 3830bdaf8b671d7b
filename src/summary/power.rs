//! What a number of runs can show about a published figure, before or after they are made.

use serde::Serialize;

use super::{Summary, split_control};
use crate::metrics::Metric;
use crate::paper::{Figure, Paper, Status};
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
    /// Whose margin it is; empty for one of the user's.
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
/// and a verified figure; with a `margin` of the caller's one line a trained cell and metric, of
/// those that figures are compared in, else F1 and AUROC. Figures that print a std and a number of
/// runs are judged by Welch's test, whose power is not computed; they are treated as exact here.
pub fn power(
    experiment: &str,
    cells: &[String],
    summaries: &[Summary],
    papers: &[Paper],
    runs: usize,
    margin: Option<f64>,
) -> Vec<Power> {
    let mut lines = Vec::new();
    for cell in cells {
        let judged = match margin {
            Some(margin) if split_control(cell).1.is_none() => planned(experiment, papers, margin),
            Some(_) => Vec::new(),
            None => declared(experiment, cell, papers),
        };
        for (metric, paper, margin) in judged {
            let known = summaries.iter().find(|one| {
                one.experiment == experiment && one.cell == *cell && one.metric == metric
            });
            let std = known.and_then(|one| one.std).filter(|&std| std > 0.0);
            let n = known.map_or(0, |one| one.n);
            lines.push(line((experiment, cell, metric, paper), margin, runs, std, n));
        }
    }
    lines
}

/// Metrics of a cell that a paper declares a margin for and prints a verified figure of.
fn declared<'a>(experiment: &str, cell: &str, papers: &'a [Paper]) -> Vec<(Metric, &'a str, f64)> {
    let mut judged = Vec::new();
    for paper in papers {
        for (&metric, margin) in &paper.margins {
            let of_cell = |figure: &&Figure| match &figure.cell {
                Some(named) => named == cell,
                None => split_control(cell).1.is_none(),
            };
            let mut figures = figures(experiment, paper).filter(|figure| figure.metric == metric);
            if figures.any(|figure| figure.status == Status::Verified && of_cell(&figure)) {
                judged.push((metric, paper.name.as_str(), margin.value));
            }
        }
    }
    judged
}

/// Metrics that a margin can be planned for, without a paper's margin for them.
fn planned(experiment: &str, papers: &[Paper], margin: f64) -> Vec<(Metric, &'static str, f64)> {
    let compared: Vec<Metric> = papers
        .iter()
        .flat_map(|paper| figures(experiment, paper))
        .map(|figure| figure.metric)
        .collect();
    let metrics = Metric::ALL.into_iter().filter(|metric| match compared.is_empty() {
        true => matches!(metric, Metric::F1 | Metric::Auroc),
        false => compared.contains(metric),
    });
    metrics.map(|metric| (metric, "", margin)).collect()
}

fn figures<'a>(experiment: &str, paper: &'a Paper) -> impl Iterator<Item = &'a Figure> {
    paper.figures.iter().filter(move |one| one.experiment.as_deref() == Some(experiment))
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

#[cfg(test)]
mod tests {
    use super::super::summarise;
    use super::super::tests::{figure, paper, rows};
    use super::*;

    fn lines(cells: &[&str], papers: &[Paper], margin: Option<f64>) -> Vec<Power> {
        let cells: Vec<String> = cells.iter().map(|&cell| cell.into()).collect();
        let summaries = summarise(&rows("base", &[0.88, 0.9, 0.92])).unwrap();
        power("made-up", &cells, &summaries, papers, 20, margin)
    }

    #[test]
    fn a_line_stands_for_each_margin_that_a_verified_figure_is_judged_by() {
        let recalled = Figure { status: Status::Recalled, ..figure() };
        let of_control = Figure { cell: Some("base,control=untrained".into()), ..figure() };
        let cells = ["base", "base,control=untrained"];
        let named = |lines: Vec<Power>| lines.into_iter().map(|one| one.cell).collect::<Vec<_>>();
        assert_eq!(named(lines(&cells, &[paper(vec![figure()])], None)), ["base"]);
        assert_eq!(named(lines(&cells, &[paper(vec![of_control])], None)), cells[1..]);
        assert_eq!(named(lines(&cells, &[paper(vec![recalled])], None)), [""; 0]);
    }

    #[test]
    fn what_runs_can_show_follows_from_their_std_and_without_it_from_the_margin_alone() {
        let known = &lines(&["base"], &[paper(vec![figure()])], None)[0];
        assert_eq!((known.runs, known.n, known.margin), (20, 3, 0.02));
        assert!((known.std.unwrap() - 0.02).abs() < 1e-12);
        assert!(known.power.unwrap() > known.power_half.unwrap());
        assert!(known.smallest_margin.unwrap() < 0.02 && known.largest_std.unwrap() > 0.02);
        assert!(known.runs_for_80.unwrap() < known.runs_for_90.unwrap());
        let unknown = &lines(&["other"], &[paper(vec![figure()])], None)[0];
        assert_eq!((unknown.std, unknown.power, unknown.runs_for_80), (None, None, None));
        assert_eq!(unknown.largest_std, known.largest_std);
    }

    #[test]
    fn a_margin_of_ones_own_can_be_tried_where_no_paper_declares_one() {
        let cells = ["base", "base,control=untrained"];
        let tried = lines(&cells, &[], Some(0.05));
        let metrics: Vec<Metric> = tried.iter().map(|one| one.metric).collect();
        assert_eq!(metrics, [Metric::F1, Metric::Auroc]);
        assert!(tried.iter().all(|one| one.margin == 0.05 && one.cell == "base"));
        assert_eq!(lines(&cells, &[paper(vec![figure()])], Some(0.05)).len(), 1);
    }
}
