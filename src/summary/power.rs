//! What a number of runs can show about a published figure, before or after they are made.

use serde::Serialize;

use super::Summary;
use crate::experiment::CellName;
use crate::metrics::Metric;
use crate::paper::{Figure, Paper, Status};
use crate::stats::{self, Design};

/// The power that plans are made for.
const WANTED: f64 = 0.8;
const HIGH: f64 = 0.9;

/// What `runs` runs of one cell can show about figures of one metric that are means of as many runs.
/// Where the std is not known yet, only what follows from the margin is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Power {
    pub experiment: String,
    pub cell: CellName,
    pub metric: Metric,
    /// Whose margin it is; empty for one of the user's.
    pub paper: String,
    pub margin: f64,
    /// Runs of the source, 1 where it does not say; `None` without a figure, for an exact number.
    pub published_runs: Option<usize>,
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
    /// The power that no number of runs exceeds if nothing differs: that of [`stats::RUNS_CAP`].
    pub most_power: Option<f64>,
}

/// What is asked of [`power`].
#[derive(Debug, Clone, Copy)]
pub struct Planned<'a> {
    pub experiment: &'a str,
    pub cells: &'a [CellName],
    /// Of the stored runs, if any.
    pub summaries: &'a [Summary],
    pub papers: &'a [Paper],
    /// How many runs a cell is to have.
    pub runs: usize,
    /// In place of the margins that the papers declare.
    pub margin: Option<f64>,
}

/// One line a cell (controls left out, unless a figure names one), paper, metric with a margin and
/// number of runs of its verified figures; with a `margin` of the caller's one line a trained cell,
/// metric and number of runs, of those that figures are compared in, else F1 and AUROC against an exact
/// number. Figures that print a std are judged by Welch's test, whose power is not computed; their runs
/// are taken to spread as ours do here.
pub fn power(asked: &Planned) -> Vec<Power> {
    let &Planned { experiment, papers, margin, .. } = asked;
    let mut lines = Vec::new();
    for cell in asked.cells {
        let judged = match margin {
            Some(margin) if !cell.is_control() => planned(experiment, papers, margin),
            Some(_) => Vec::new(),
            None => declared(experiment, cell, papers),
        };
        lines.extend(judged.iter().map(|one| line(asked, cell, one)));
    }
    lines
}

/// What is judged of a cell, each once.
#[derive(PartialEq)]
struct Judged<'a> {
    metric: Metric,
    /// Empty for a margin of the caller's.
    paper: &'a str,
    margin: f64,
    published_runs: Option<usize>,
}

/// Metrics of a cell that a paper declares a margin for and prints a verified figure of.
fn declared<'a>(experiment: &str, cell: &CellName, papers: &'a [Paper]) -> Vec<Judged<'a>> {
    let mut judged = Vec::new();
    for paper in papers {
        for (&metric, margin) in &paper.margins {
            let of_cell = |figure: &&Figure| match &figure.cell {
                Some(named) => named == cell,
                None => !cell.is_control(),
            };
            let figures = figures(experiment, paper).filter(|figure| figure.metric == metric);
            let verified = figures.filter(|figure| figure.status == Status::Verified);
            for figure in verified.filter(of_cell) {
                let published_runs = Some(source_runs(figure));
                let one =
                    Judged { metric, paper: &paper.name, margin: margin.value, published_runs };
                if !judged.contains(&one) {
                    judged.push(one);
                }
            }
        }
    }
    judged
}

/// Metrics that a margin can be planned for, without a paper's margin for them.
fn planned<'a>(experiment: &str, papers: &[Paper], margin: f64) -> Vec<Judged<'a>> {
    let compared: Vec<&Figure> =
        papers.iter().flat_map(|paper| figures(experiment, paper)).collect();
    let mut judged = Vec::new();
    for metric in Metric::ALL {
        let figures = compared.iter().filter(|figure| figure.metric == metric);
        let mut sources: Vec<Option<usize>> = figures.map(|one| Some(source_runs(one))).collect();
        if compared.is_empty() && matches!(metric, Metric::F1 | Metric::Auroc) {
            sources.push(None);
        }
        for published_runs in sources {
            let one = Judged { metric, paper: "", margin, published_runs };
            if !judged.contains(&one) {
                judged.push(one);
            }
        }
    }
    judged
}

/// As a verdict takes them: one where the source does not say.
fn source_runs(figure: &Figure) -> usize {
    figure.runs.and_then(|runs| usize::try_from(runs).ok()).unwrap_or(1)
}

fn figures<'a>(experiment: &str, paper: &'a Paper) -> impl Iterator<Item = &'a Figure> {
    paper.figures.iter().filter(move |one| one.experiment.as_deref() == Some(experiment))
}

fn line(asked: &Planned, cell: &CellName, judged: &Judged) -> Power {
    let &Planned { experiment, runs, .. } = asked;
    let Judged { metric, paper, margin, published_runs: published } = *judged;
    let stored = asked
        .summaries
        .iter()
        .find(|one| one.experiment == experiment && one.cell == *cell && one.metric == metric);
    let std = stored.and_then(|one| one.std).filter(|&std| std > 0.0);
    let plan = Design { n: runs, std: std.unwrap_or(1.0), margin, published };
    let known = std.map(|_| &plan);
    let planned = known.filter(|_| runs >= stats::RUNS_MIN);
    let without_end = Design { n: stats::RUNS_CAP, ..plan };
    Power {
        experiment: experiment.into(),
        cell: cell.clone(),
        metric,
        paper: paper.into(),
        margin,
        published_runs: published,
        runs,
        std,
        n: stored.map_or(0, |one| one.n),
        power: planned.map(|plan| stats::power_reproduced(plan, 0.0)),
        power_half: planned.map(|plan| stats::power_reproduced(plan, margin / 2.0)),
        power_twice: planned.map(|plan| stats::power_not_reproduced(plan, 2.0 * margin)),
        smallest_margin: known.and_then(|plan| stats::margin_for_power(plan, WANTED)),
        largest_std: stats::std_for_power(&plan, WANTED),
        runs_for_80: known.and_then(|plan| stats::runs_for_power(plan, 0.0, WANTED)),
        runs_for_90: known.and_then(|plan| stats::runs_for_power(plan, 0.0, HIGH)),
        most_power: known.map(|_| stats::power_reproduced(&without_end, 0.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::summarise;
    use super::super::tests::{figure, paper, rows};
    use super::*;

    fn lines(cells: &[&str], papers: &[Paper], margin: Option<f64>) -> Vec<Power> {
        let cells: Vec<CellName> = cells.iter().map(|&cell| cell.into()).collect();
        let summaries = summarise(&rows("base", &[0.88, 0.9, 0.92])).unwrap();
        power(&Planned {
            experiment: "made-up",
            cells: &cells,
            summaries: &summaries,
            papers,
            runs: 20,
            margin,
        })
    }

    #[test]
    fn a_line_stands_for_each_margin_that_a_verified_figure_is_judged_by() {
        let of_one = Figure { method: "other".into(), runs: None, ..figure() };
        let both = [figure(), figure(), of_one];
        let sources: Vec<Option<usize>> = lines(&["base"], &[paper(both.into())], None)
            .into_iter()
            .map(|one| one.published_runs)
            .collect();
        assert_eq!(sources, [Some(20), Some(1)], "figures of as many runs share a line");
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
        // beside a figure of one run nothing is ever shown within one std
        let of_one = paper(vec![Figure { runs: None, ..figure() }]);
        let one = &lines(&["base"], &[of_one], None)[0];
        assert!(one.smallest_margin.unwrap() > 0.02 && one.largest_std.unwrap() < 0.02);
        assert_eq!((one.runs_for_80, one.runs_for_90), (None, None));
        assert!(one.most_power.unwrap() < 0.01);
        let of_200 = paper(vec![Figure { runs: Some(200), ..figure() }]);
        let many = &lines(&["base"], &[of_200], None)[0];
        assert!(many.runs_for_80.unwrap() < many.runs_for_90.unwrap());
        assert!(many.power.unwrap() < many.most_power.unwrap());
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
