//! From runs to estimates and from estimates to verdicts: rows of `runs.csv` → [`Summary`] →
//! [`Comparison`]. Pure: what is here depends on the rows and the published figures alone.
//! How to read a verdict, and why it is made this way: `docs/verdicts.md`.

use std::cmp::Ordering;

use indexmap::IndexMap;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::metrics::Metric;
use crate::paper::{Figure, Paper, Status};
use crate::record::{Scale, State};
use crate::stats;

/// One line of `runs.csv`: one run, however it ended. Only experiment, cell, seed, scale and state
/// are always known; a file of someone else's may hold nothing more than those and one metric.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    pub experiment: String,
    pub cell: String,
    pub seed: u64,
    pub scale: Scale,
    pub state: State,
    pub tp: Option<u64>,
    pub fp: Option<u64>,
    #[serde(rename = "fn")]
    pub fn_: Option<u64>,
    pub tn: Option<u64>,
    pub precision: Option<f64>,
    pub recall: Option<f64>,
    pub f1: Option<f64>,
    pub auroc: Option<f64>,
    pub auprc: Option<f64>,
    /// AUROC of the 0/1 flags.
    pub auroc_of_flags: Option<f64>,
    pub threshold: Option<f64>,
    /// Epochs trained.
    pub epochs: Option<u64>,
    /// Seeds trained together in the job.
    pub batch_width: Option<usize>,
    pub device: String,
    pub wall_seconds: Option<f64>,
    pub data_sha256: String,
    pub split_sha256: String,
    pub init_sha256: String,
    pub scores_sha256: String,
    pub key: String,
    /// Axis (full dotted key) → value as text.
    #[serde(skip)]
    pub axes: IndexMap<String, String>,
}

impl Row {
    /// The run's value of `metric`, whatever the run's state.
    pub fn value(&self, metric: Metric) -> Option<f64> {
        match metric {
            Metric::Precision => self.precision,
            Metric::Recall => self.recall,
            Metric::F1 => self.f1,
            Metric::Auroc => self.auroc,
            Metric::Auprc => self.auprc,
            Metric::AurocOfFlags => self.auroc_of_flags,
        }
    }
}

/// One metric of one cell over its runs. What is undefined is `None`, never NaN.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    pub experiment: String,
    pub cell: String,
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
    pub median: Option<f64>,
    pub max: Option<f64>,
    /// 95 % t interval of the mean.
    pub ci95_low: Option<f64>,
    pub ci95_high: Option<f64>,
}

/// What may be said about one published figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Verdict {
    /// The 90 % t interval of the difference lies inside the margin.
    #[serde(rename = "reproduced")]
    Reproduced,
    /// It lies wholly outside the margin.
    #[serde(rename = "not reproduced")]
    NotReproduced,
    /// Neither.
    #[serde(rename = "inconclusive")]
    Inconclusive,
    /// Fewer than three runs.
    #[serde(rename = "too few runs")]
    TooFewRuns,
    /// The figure was not seen in its source.
    #[serde(rename = "unverified")]
    Unverified,
    /// The paper's file declares no margin for the metric.
    #[serde(rename = "no margin")]
    NoMargin,
    /// The runs did not follow the full protocol.
    #[serde(rename = "reduced run")]
    ReducedRun,
}

impl Verdict {
    /// The words in files and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reproduced => "reproduced",
            Self::NotReproduced => "not reproduced",
            Self::Inconclusive => "inconclusive",
            Self::TooFewRuns => "too few runs",
            Self::Unverified => "unverified",
            Self::NoMargin => "no margin",
            Self::ReducedRun => "reduced run",
        }
    }
}

/// One published figure beside one cell.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    pub experiment: String,
    pub cell: String,
    pub scale: Scale,
    pub metric: Metric,
    /// Name of the paper's file.
    pub paper: String,
    pub table: String,
    pub published: f64,
    pub published_std: Option<f64>,
    pub status: Status,
    /// All runs of the cell; 0 for a cell that a figure names and nobody ran.
    pub runs: usize,
    pub n: usize,
    pub n_failed: usize,
    pub mean: Option<f64>,
    pub std: Option<f64>,
    /// mean − published.
    pub difference: Option<f64>,
    /// 90 % t interval of the difference; the published figure counts as exact.
    pub ci90_low: Option<f64>,
    pub ci90_high: Option<f64>,
    pub margin: Option<f64>,
    pub verdict: Verdict,
    /// For an inconclusive verdict: how many runs would decide, see [`stats::runs_needed`].
    pub runs_needed: Option<usize>,
    /// A control beside a figure that was published for the trained model: its verdict tells how
    /// little the figure proves, not whether anything reproduces.
    pub null_model: bool,
}

impl Comparison {
    /// The verdict with what is missing from it: `VERDICT`, then ` (F of T runs failed)` when any
    /// run failed, then ` (U of T runs without a value)` when the metric was undefined in any.
    pub fn verdict_text(&self) -> String {
        let mut text = self.verdict.name().to_string();
        if self.n_failed > 0 {
            text += &format!(" ({} of {} runs failed)", self.n_failed, self.runs);
        }
        let undefined = self.runs - self.n - self.n_failed;
        if undefined > 0 {
            text += &format!(" ({undefined} of {} runs without a value)", self.runs);
        }
        text
    }
}

/// Puts rows into the order of every file: experiment, cell (numbers by value, a control after
/// its cell), seed.
pub fn sort(rows: &mut [Row]) {
    rows.sort_by(|a, b| {
        a.experiment
            .cmp(&b.experiment)
            .then_with(|| cell_order(&a.cell, &b.cell))
            .then(a.seed.cmp(&b.seed))
    });
}

/// A cell's label without its control, and the control's name.
pub fn split_control(label: &str) -> (&str, Option<&str>) {
    match label.rsplit_once(",control=") {
        Some((cell, control)) => (cell, Some(control)),
        None => (label, None),
    }
}

fn cell_order(a: &str, b: &str) -> Ordering {
    let ((a_cell, a_control), (b_cell, b_control)) = (split_control(a), split_control(b));
    let parts = |label: &str| -> Vec<(String, bool, f64, String)> {
        label.split(',').map(part_order).collect()
    };
    let by_parts = parts(a_cell)
        .iter()
        .zip(&parts(b_cell))
        .map(|(a, b)| {
            a.0.cmp(&b.0).then(a.1.cmp(&b.1)).then(a.2.total_cmp(&b.2)).then(a.3.cmp(&b.3))
        })
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal);
    by_parts.then_with(|| a_cell.cmp(b_cell)).then(a_control.cmp(&b_control))
}

/// What a part `axis=value` of a label is sorted by: axis, numbers before words, number, word.
fn part_order(part: &str) -> (String, bool, f64, String) {
    let (axis, value) = part.split_once('=').unwrap_or(("", part));
    let number = value.parse::<f64>();
    (axis.into(), number.is_err(), number.unwrap_or(0.0), value.into())
}

/// Estimates of every metric in every cell, cells in the order of their first rows. Runs that
/// failed are counted and never averaged.
///
/// # Errors
/// Rows of the full protocol beside rows of a reduced one, by an example of each.
pub fn summarise(rows: &[Row]) -> Result<Vec<Summary>> {
    refuse_mixed_scales(rows)?;
    let mut cells: IndexMap<(&str, &str), Vec<&Row>> = IndexMap::new();
    for row in rows {
        cells.entry((&row.experiment, &row.cell)).or_default().push(row);
    }
    Ok(cells
        .values()
        .flat_map(|runs| Metric::ALL.map(|metric| summarise_cell(runs, metric)))
        .collect())
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

fn summarise_cell(runs: &[&Row], metric: Metric) -> Summary {
    let ok = runs.iter().filter(|row| row.state == State::Ok);
    let values: Vec<f64> = ok.clone().filter_map(|row| row.value(metric)).collect();
    let (mean, std) = (stats::mean(&values), stats::std(&values));
    let interval = interval(values.len(), mean, std, 0.95);
    Summary {
        experiment: runs[0].experiment.clone(),
        cell: runs[0].cell.clone(),
        scale: runs[0].scale,
        metric,
        runs: runs.len(),
        n: values.len(),
        n_failed: runs.len() - ok.count(),
        mean,
        std,
        min: stats::min(&values),
        median: stats::median(&values),
        max: stats::max(&values),
        ci95_low: interval.map(|(low, _)| low),
        ci95_high: interval.map(|(_, high)| high),
    }
}

fn interval(n: usize, centre: Option<f64>, std: Option<f64>, level: f64) -> Option<(f64, f64)> {
    let interval = stats::t_interval(n, centre?, std?, level)?;
    Some((interval.low, interval.high))
}

/// Every figure that `paper` prints for `experiment`, beside the cells it is to be compared with:
/// cells in the order of the summaries, then metrics, then figures in the order of the paper's
/// file; last the cells that a figure names and nobody ran.
pub fn compare(summaries: &[Summary], paper: &Paper, experiment: &str) -> Vec<Comparison> {
    let figures: Vec<&Figure> = paper
        .figures
        .iter()
        .filter(|figure| figure.experiment.as_deref() == Some(experiment))
        .collect();
    let summaries: Vec<&Summary> =
        summaries.iter().filter(|summary| summary.experiment == experiment).collect();
    let mut comparisons = Vec::new();
    for summary in &summaries {
        for figure in &figures {
            // a figure is set beside the control of its cell too
            let of_cell = figure.cell.as_ref().is_none_or(|cell| {
                let (trained, control) = split_control(&summary.cell);
                *cell == summary.cell || (control.is_some() && *cell == trained)
            });
            if figure.metric == summary.metric && of_cell {
                comparisons.push(compare_one(summary, figure, paper));
            }
        }
    }
    let Some(any) = summaries.first() else {
        return comparisons;
    };
    for figure in figures {
        let Some(cell) = &figure.cell else { continue };
        if summaries.iter().all(|summary| summary.cell != *cell) {
            let nobody_ran = no_runs(experiment, cell, any.scale, figure.metric);
            comparisons.push(compare_one(&nobody_ran, figure, paper));
        }
    }
    comparisons
}

fn no_runs(experiment: &str, cell: &str, scale: Scale, metric: Metric) -> Summary {
    Summary {
        experiment: experiment.into(),
        cell: cell.into(),
        scale,
        metric,
        runs: 0,
        n: 0,
        n_failed: 0,
        mean: None,
        std: None,
        min: None,
        median: None,
        max: None,
        ci95_low: None,
        ci95_high: None,
    }
}

fn compare_one(summary: &Summary, figure: &Figure, paper: &Paper) -> Comparison {
    let margin = paper.margins.get(&figure.metric).map(|margin| margin.value);
    let difference = summary.mean.map(|mean| mean - figure.value);
    let interval = interval(summary.n, difference, summary.std, 0.9);
    let verdict = decide(figure.status, summary.scale, summary.n, interval, margin);
    let runs_needed = match (difference, summary.std, margin) {
        (Some(difference), Some(std), Some(margin)) if verdict == Verdict::Inconclusive => {
            stats::runs_needed(difference, std, None, margin)
        }
        (_, _, _) => None,
    };
    Comparison {
        experiment: summary.experiment.clone(),
        cell: summary.cell.clone(),
        scale: summary.scale,
        metric: figure.metric,
        paper: paper.name.clone(),
        table: figure.table.clone(),
        published: figure.value,
        published_std: figure.std,
        status: figure.status,
        runs: summary.runs,
        n: summary.n,
        n_failed: summary.n_failed,
        mean: summary.mean,
        std: summary.std,
        difference,
        ci90_low: interval.map(|(low, _)| low),
        ci90_high: interval.map(|(_, high)| high),
        margin,
        verdict,
        runs_needed,
        null_model: split_control(&summary.cell).1.is_some()
            && figure.cell.as_ref() != Some(&summary.cell),
    }
}

/// The verdict rule: an interval inside ±margin rejects, at α = 0.05, that the true mean lies a
/// margin or more away (two one-sided tests; Schuirmann, 1987).
fn decide(
    status: Status,
    scale: Scale,
    n: usize,
    interval: Option<(f64, f64)>,
    margin: Option<f64>,
) -> Verdict {
    match status {
        Status::Verified => {}
        Status::Indirect | Status::Derived | Status::Recalled => return Verdict::Unverified,
    }
    let Some(margin) = margin else {
        return Verdict::NoMargin;
    };
    match scale {
        Scale::Full => {}
        Scale::Quick => return Verdict::ReducedRun,
    }
    match interval {
        Some((low, high)) if n >= 3 => {
            if -margin < low && high < margin {
                Verdict::Reproduced
            } else if margin < low || high < -margin {
                Verdict::NotReproduced
            } else {
                Verdict::Inconclusive
            }
        }
        Some(_) | None => Verdict::TooFewRuns,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::paper::Margin;
    use crate::random::{Numbers, Stream};

    /// A run that ended `ok` with this F1 and nothing else.
    pub(crate) fn row(cell: &str, seed: u64, f1: f64) -> Row {
        Row {
            experiment: "made-up".into(),
            cell: cell.into(),
            seed,
            scale: Scale::Full,
            state: State::Ok,
            tp: None,
            fp: None,
            fn_: None,
            tn: None,
            precision: None,
            recall: None,
            f1: Some(f1),
            auroc: None,
            auprc: None,
            auroc_of_flags: None,
            threshold: None,
            epochs: None,
            batch_width: None,
            device: String::new(),
            wall_seconds: None,
            data_sha256: String::new(),
            split_sha256: String::new(),
            init_sha256: String::new(),
            scores_sha256: String::new(),
            key: String::new(),
            axes: IndexMap::new(),
        }
    }

    pub(crate) fn rows(cell: &str, f1: &[f64]) -> Vec<Row> {
        (1..).zip(f1).map(|(seed, &f1)| row(cell, seed, f1)).collect()
    }

    /// A figure of F1 0.9, and a paper that prints it with a margin of 0.02.
    pub(crate) fn figure() -> Figure {
        Figure {
            table: "Table 2".into(),
            dataset: "made-up".into(),
            setting: "mean of 20 runs".into(),
            method: "DAGMM".into(),
            metric: Metric::F1,
            value: 0.9,
            decimals: 4,
            std: None,
            runs: None,
            status: Status::Verified,
            source: None,
            experiment: Some("made-up".into()),
            cell: None,
        }
    }

    pub(crate) fn paper(figures: Vec<Figure>) -> Paper {
        let margin = Margin { value: 0.02, reason: "two points".into() };
        Paper {
            name: "paper".into(),
            title: "A paper".into(),
            source: "https://example.org".into(),
            margins: BTreeMap::from([(Metric::F1, margin)]),
            counts: BTreeMap::new(),
            figures,
        }
    }

    fn verdict(rows: &[Row]) -> Comparison {
        compare(&summarise(rows).unwrap(), &paper(vec![figure()]), "made-up").remove(0)
    }

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
        assert_eq!(verdict(&runs).verdict_text(), "inconclusive (1 of 4 runs failed)");
    }

    #[test]
    fn runs_without_a_value_are_counted_apart_from_failed_ones() {
        let mut runs = rows("base", &[0.9, 0.9, 0.9, 0.9, 0.9]);
        runs[0].f1 = None;
        runs[1].state = State::OutOfMemory;
        let comparison = verdict(&runs);
        let text = "reproduced (1 of 5 runs failed) (1 of 5 runs without a value)";
        assert_eq!(comparison.verdict_text(), text);
        assert_eq!((comparison.n, comparison.n_failed), (3, 1));
    }

    #[test]
    fn what_cannot_be_estimated_is_blank() {
        let one = f1_of(&rows("base", &[0.9]));
        assert_eq!((one.mean, one.std, one.ci95_low), (Some(0.9), None, None));
        let mut runs = rows("base", &[0.9]);
        runs[0].state = State::Crashed;
        let none = f1_of(&runs);
        assert_eq!((none.n, none.n_failed, none.mean, none.median), (0, 1, None, None));
        assert_eq!(verdict(&runs).verdict_text(), "too few runs (1 of 1 runs failed)");
        assert_eq!(verdict(&runs).difference, None);
    }

    #[test]
    fn the_verdict_follows_the_interval_and_the_margin() {
        for (f1, expected) in [
            (vec![0.9, 0.905, 0.895], Verdict::Reproduced),
            (vec![0.9, 0.9, 0.9], Verdict::Reproduced),
            (vec![0.7, 0.71, 0.69], Verdict::NotReproduced),
            (vec![0.95, 0.951, 0.952], Verdict::NotReproduced),
            (vec![0.9, 0.95, 0.85], Verdict::Inconclusive),
            (vec![0.92, 0.925, 0.915], Verdict::Inconclusive),
            (vec![0.9, 0.9], Verdict::TooFewRuns),
        ] {
            assert_eq!(verdict(&rows("base", &f1)).verdict, expected, "{f1:?}");
        }
    }

    #[test]
    fn only_an_inconclusive_verdict_asks_for_more_runs() {
        let open = verdict(&rows("base", &[0.9, 0.95, 0.85]));
        let needed = open.runs_needed.unwrap();
        let interval = stats::t_interval(needed, 0.0, open.std.unwrap(), 0.9).unwrap();
        assert!(interval.high < 0.02);
        assert!(needed > 3);
        assert_eq!(verdict(&rows("base", &[0.7, 0.71, 0.69])).runs_needed, None);
    }

    #[test]
    fn no_verdict_rests_on_an_unverified_figure_a_missing_margin_or_a_reduced_run() {
        let runs = rows("base", &[0.9, 0.9, 0.9]);
        for status in [Status::Indirect, Status::Derived, Status::Recalled] {
            let figures = paper(vec![Figure { status, ..figure() }]);
            let comparison = &compare(&summarise(&runs).unwrap(), &figures, "made-up")[0];
            assert_eq!(comparison.verdict, Verdict::Unverified);
            assert!(comparison.difference.is_some());
        }
        let mut unmargined = paper(vec![figure()]);
        unmargined.margins.clear();
        let comparison = &compare(&summarise(&runs).unwrap(), &unmargined, "made-up")[0];
        assert_eq!((comparison.verdict, comparison.margin), (Verdict::NoMargin, None));
        for f1 in [[0.9, 0.9, 0.9], [0.1, 0.1, 0.1], [0.8, 0.9, 1.0]] {
            let mut quick = rows("base", &f1);
            quick.iter_mut().for_each(|row| row.scale = Scale::Quick);
            assert_eq!(verdict(&quick).verdict, Verdict::ReducedRun);
        }
    }

    #[test]
    fn full_and_reduced_runs_never_share_a_summary() {
        let mut runs = rows("base", &[0.9, 0.9, 0.9]);
        runs[1].scale = Scale::Quick;
        let error = summarise(&runs).unwrap_err();
        assert!(error.to_string().contains("made-up base seed 2 is quick"), "{error}");
    }

    #[test]
    fn figures_meet_the_cells_they_name_and_controls_are_told_apart() {
        let mut runs = rows("base", &[0.9, 0.9, 0.9]);
        runs.extend(rows("base,control=untrained", &[0.8, 0.8, 0.8]));
        let named = |cell: &str, table: &str| Figure {
            cell: Some(cell.into()),
            table: table.into(),
            ..figure()
        };
        let elsewhere = Figure { experiment: Some("other".into()), ..figure() };
        let paper = paper(vec![
            figure(),
            named("base,control=untrained", "issue 19"),
            named("base,control=untrained", "issue 29"),
            named("latent=2", "Table 3"),
            elsewhere,
        ]);
        let comparisons = compare(&summarise(&runs).unwrap(), &paper, "made-up");
        let met: Vec<(&str, &str, bool, usize)> = comparisons
            .iter()
            .map(|one| (one.cell.as_str(), one.table.as_str(), one.null_model, one.n))
            .collect();
        assert_eq!(
            met,
            [
                ("base", "Table 2", false, 3),
                ("base,control=untrained", "Table 2", true, 3),
                ("base,control=untrained", "issue 19", false, 3),
                ("base,control=untrained", "issue 29", false, 3),
                ("latent=2", "Table 3", false, 0),
            ]
        );
        assert_eq!(comparisons[4].verdict_text(), "too few runs");
    }

    #[test]
    fn cells_stand_in_the_order_of_their_numbers_with_controls_beside_them() {
        let ordered = [
            "latent=1,mixtures=2",
            "latent=1,mixtures=2,control=untrained",
            "latent=1,mixtures=10",
            "latent=1.5,mixtures=2",
            "latent=10,mixtures=2",
            "latent=10,mixtures=2,control=untrained",
            "latent=none,mixtures=2",
        ];
        let mut runs: Vec<Row> =
            ordered.iter().rev().flat_map(|cell| [row(cell, 10, 0.9), row(cell, 9, 0.9)]).collect();
        sort(&mut runs);
        let sorted: Vec<&str> = runs.iter().step_by(2).map(|row| row.cell.as_str()).collect();
        assert_eq!(sorted, ordered);
        assert_eq!((runs[0].seed, runs[1].seed), (9, 10));
    }

    /// Where the true mean lies exactly a margin away, "reproduced" is wrong, and so is "not
    /// reproduced": each may come in at most 5 % of repetitions, whatever the number of runs.
    #[test]
    fn a_mean_on_the_margin_is_called_reproduced_in_at_most_5_percent() {
        let mut random = Numbers::new(1, Stream::Data, 0);
        for (n, std) in [(3, 0.002), (20, 0.02)] {
            let repetitions = 4000;
            let (mut reproduced, mut refused) = (0, 0);
            for _ in 0..repetitions {
                let f1: Vec<f64> = (0..n).map(|_| 0.88 + std * random.normal()).collect();
                let verdict = verdict(&rows("base", &f1)).verdict;
                reproduced += i32::from(verdict == Verdict::Reproduced);
                refused += i32::from(verdict == Verdict::NotReproduced);
            }
            // 5 % and four standard errors of a share of 5 %; no less than 3 %: the rule has power
            let bound = 0.05 + 4.0 * (0.05f64 * 0.95 / f64::from(repetitions)).sqrt();
            for count in [reproduced, refused] {
                let share = f64::from(count) / f64::from(repetitions);
                assert!((0.03..bound).contains(&share), "{share} of {n} runs");
            }
        }
    }
}
