//! Estimates and published figures → verdicts. How to read a verdict, and why it is made this way:
//! `docs/verdicts.md`.

use std::collections::HashMap;

use serde::Serialize;

use super::{Summary, split_control};
use crate::metrics::Metric;
use crate::paper::{Figure, Paper, Status};
use crate::record::Scale;
use crate::stats::{self, Contrast, Design, Sample};

/// Of each of the two one-sided tests behind the interval that decides.
const ALPHA: f64 = (1.0 - stats::VERDICT_LEVEL) / 2.0;

/// The control that a figure is measured by; a file of someone else's may have others beside it.
const UNTRAINED: &str = "untrained";

/// What may be said about one published figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Verdict {
    /// The 90 % interval of the difference lies inside the margin.
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

/// How our mean and the published one are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Test {
    /// The published mean counts as exact.
    #[serde(rename = "one-sample t")]
    OneSample,
    /// The paper prints a standard deviation and a number of runs.
    #[serde(rename = "Welch t")]
    Welch,
}

impl Test {
    /// The words in files and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::OneSample => "one-sample t",
            Self::Welch => "Welch t",
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
    /// Whose figure it is, as the paper names it.
    pub method: String,
    pub published: f64,
    pub published_std: Option<f64>,
    /// Runs that the published mean is over, where that is stated.
    pub published_runs: Option<u64>,
    /// The published number stands for all within this much of it: half a unit of its last digit.
    pub rounding: f64,
    pub status: Status,
    /// All runs of the cell; 0 for a cell that a figure names and nobody ran.
    pub runs: usize,
    pub n: usize,
    pub n_failed: usize,
    pub mean: Option<f64>,
    pub std: Option<f64>,
    /// mean − published.
    pub difference: Option<f64>,
    pub test: Test,
    /// 90 % t interval of the difference.
    pub ci90_low: Option<f64>,
    pub ci90_high: Option<f64>,
    pub margin: Option<f64>,
    pub verdict: Verdict,
    /// The same rule with the published number anywhere within its rounding.
    pub verdict_rounded: Verdict,
    /// The same rule with Holm's correction for all figures of the paper's table in this cell.
    pub verdict_holm: Verdict,
    /// That the difference reaches the margin, by two one-sided tests: small speaks for `reproduced`.
    pub p_equivalent: Option<f64>,
    /// That the difference stays within the margin: small speaks for `not reproduced`.
    pub p_different: Option<f64>,
    /// The figure would be reproduced under any margin above this.
    pub smallest_margin: Option<f64>,
    /// For an inconclusive verdict: how many runs would decide, see [`stats::runs_needed`].
    pub runs_needed: Option<usize>,
    /// How often `n` runs with this std would earn `reproduced` if nothing differed, where the
    /// published figure counts as exact.
    pub power: Option<f64>,
    /// The mean of the cell's untrained control, and how much of the figure that is.
    pub control_mean: Option<f64>,
    pub control_share: Option<f64>,
    /// A control beside a figure that was published for the trained model: its verdict tells how
    /// little the figure proves, not whether anything reproduces.
    pub null_model: bool,
    /// Number of versions of the code that made the runs.
    pub versions: usize,
    /// Their names; empty where they are not known.
    pub code: String,
    /// Why something is blank or not what one expects; empty where there is nothing to say.
    pub note: String,
}

impl Comparison {
    /// The verdict with what is missing from it: `VERDICT`, then ` (F of T runs failed)` when any
    /// run failed, then ` (U of T runs without a value)` when the metric was undefined in any, then
    /// ` (N versions of the code)` when more than one made the runs.
    pub fn verdict_text(&self) -> String {
        let mut text = self.verdict.name().to_string();
        if self.n_failed > 0 {
            text += &format!(" ({} of {} runs failed)", self.n_failed, self.runs);
        }
        let undefined = self.runs - self.n - self.n_failed;
        if undefined > 0 {
            text += &format!(" ({undefined} of {} runs without a value)", self.runs);
        }
        if self.versions > 1 {
            text += &format!(" ({} versions of the code)", self.versions);
        }
        text
    }

    /// How much of the figure our mean is, for a control beside a figure of the trained model.
    pub fn reach(&self) -> Option<f64> {
        self.mean
            .filter(|_| self.null_model)
            .and_then(|mean| share(self.metric, mean, self.published))
    }
}

/// `mean` as a share of `published`. None for an area under the ROC curve, whose worst is not 0: a
/// detector that knows nothing has 0.5, and no share of a figure says how much that is.
fn share(metric: Metric, mean: f64, published: f64) -> Option<f64> {
    match metric {
        Metric::Auroc | Metric::AurocOfFlags => None,
        Metric::Precision | Metric::Recall | Metric::F1 | Metric::Auprc => {
            (published > 0.0).then(|| mean / published)
        }
    }
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
    let controls: HashMap<(&str, Metric), &Summary> = summaries
        .iter()
        .filter_map(|one| {
            let (cell, control) = split_control(&one.cell);
            (control == Some(UNTRAINED)).then_some(((cell, one.metric), *one))
        })
        .collect();
    let mut comparisons = Vec::new();
    for summary in &summaries {
        let control = controls.get(&(summary.cell.as_str(), summary.metric)).copied();
        let met = figures.iter().filter(|figure| meets(figure, summary));
        comparisons.extend(met.map(|figure| compare_one(summary, figure, paper, control)));
    }
    let Some(any) = summaries.first() else {
        return comparisons;
    };
    for figure in figures {
        let Some(cell) = &figure.cell else { continue };
        if summaries.iter().all(|summary| summary.cell != *cell) {
            let nobody_ran = no_runs(experiment, cell, any.scale, figure.metric);
            comparisons.push(compare_one(&nobody_ran, figure, paper, None));
        }
    }
    correct_by_holm(&mut comparisons);
    comparisons
}

/// Whether a figure is to be set beside a cell: it names none, or this one, or the cell that this
/// one is a control of.
fn meets(figure: &Figure, summary: &Summary) -> bool {
    let of_cell = figure.cell.as_ref().is_none_or(|cell| {
        let (trained, control) = split_control(&summary.cell);
        *cell == summary.cell || (control.is_some() && *cell == trained)
    });
    figure.metric == summary.metric && of_cell
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
        q1: None,
        median: None,
        q3: None,
        max: None,
        ci95_low: None,
        ci95_high: None,
        bca95_low: None,
        bca95_high: None,
        versions: 0,
        code: String::new(),
        note: "nobody ran this cell".into(),
    }
}

fn compare_one(
    summary: &Summary,
    figure: &Figure,
    paper: &Paper,
    control: Option<&Summary>,
) -> Comparison {
    let margin = paper.margins.get(&figure.metric).map(|margin| margin.value);
    let (test, contrast) = contrast(summary, figure);
    let interval = contrast.map(|contrast| contrast.interval(stats::VERDICT_LEVEL));
    let decided = |rounding: f64| match (barred(figure.status, summary, margin), contrast, margin) {
        (Some(verdict), _, _) => verdict,
        (None, Some(contrast), Some(margin)) => decide(&contrast, margin, rounding),
        (None, _, _) => Verdict::TooFewRuns,
    };
    let verdict = decided(0.0);
    let outlook = outlook(summary, figure, margin, verdict);
    let control_mean = control.and_then(|control| control.mean);
    let judged = contrast.zip(margin);
    Comparison {
        experiment: summary.experiment.clone(),
        cell: summary.cell.clone(),
        scale: summary.scale,
        metric: figure.metric,
        paper: paper.name.clone(),
        table: figure.table.clone(),
        method: figure.method.clone(),
        published: figure.value,
        published_std: figure.std,
        published_runs: figure.runs,
        rounding: figure.rounding(),
        status: figure.status,
        runs: summary.runs,
        n: summary.n,
        n_failed: summary.n_failed,
        mean: summary.mean,
        std: summary.std,
        difference: summary.mean.map(|mean| mean - figure.value),
        test,
        ci90_low: interval.map(|interval| interval.low),
        ci90_high: interval.map(|interval| interval.high),
        margin,
        verdict,
        verdict_rounded: decided(figure.rounding()),
        verdict_holm: verdict,
        p_equivalent: judged.map(|(contrast, margin)| contrast.p_equivalent(margin)),
        p_different: judged.map(|(contrast, margin)| contrast.p_different(margin)),
        smallest_margin: contrast.map(|contrast| contrast.smallest_margin(ALPHA)),
        runs_needed: outlook.runs_needed,
        power: outlook.power,
        control_mean,
        control_share: control_mean.and_then(|mean| share(figure.metric, mean, figure.value)),
        null_model: split_control(&summary.cell).1.is_some()
            && figure.cell.as_ref() != Some(&summary.cell),
        versions: summary.versions,
        code: summary.code.clone(),
        note: note(summary, figure, margin, &outlook),
    }
}

/// What more runs would show, and why that cannot be said.
#[derive(Default)]
struct Outlook {
    runs_needed: Option<usize>,
    power: Option<f64>,
    notes: Vec<String>,
}

fn outlook(summary: &Summary, figure: &Figure, margin: Option<f64>, verdict: Verdict) -> Outlook {
    let known = summary.mean.zip(summary.std).zip(margin);
    let Some(((mean, std), margin)) = known.filter(|_| summary.n >= stats::RUNS_MIN) else {
        return Outlook::default();
    };
    let mut outlook = Outlook::default();
    let spread = published_spread(figure);
    match spread {
        Some(_) => outlook.notes.push("no power: the figure has a spread of its own".into()),
        None => {
            let design = Design { n: summary.n, std, margin };
            outlook.power = Some(stats::power_reproduced(&design, 0.0));
        }
    }
    if verdict == Verdict::Inconclusive {
        outlook.runs_needed = stats::runs_needed(mean - figure.value, std, spread, margin);
        if outlook.runs_needed.is_none() {
            outlook.notes.push(match spread {
                Some(_) => "no number of runs decides, beside the figure's own spread".into(),
                None => format!("at this difference not even {} runs decide", stats::RUNS_CAP),
            });
        }
    }
    outlook
}

/// Standard deviation and number of runs of a figure that is a sample.
fn published_spread(figure: &Figure) -> Option<(f64, usize)> {
    let runs = figure.runs.and_then(|runs| usize::try_from(runs).ok());
    figure.std.zip(runs).filter(|&(_, runs)| runs >= 2)
}

/// Welch's comparison where the paper prints a standard deviation and its number of runs, else that
/// with an exact figure.
fn contrast(summary: &Summary, figure: &Figure) -> (Test, Option<Contrast>) {
    let ours = summary.mean.zip(summary.std).map(|(mean, std)| Sample { n: summary.n, mean, std });
    match published_spread(figure) {
        Some((std, n)) => {
            let published = Sample { n, mean: figure.value, std };
            (Test::Welch, ours.and_then(|ours| Contrast::welch(&ours, &published)))
        }
        None => (Test::OneSample, ours.and_then(|o| Contrast::one_sample(&o, figure.value))),
    }
}

/// Why there can be no verdict, whatever the runs came to.
fn barred(status: Status, summary: &Summary, margin: Option<f64>) -> Option<Verdict> {
    match status {
        Status::Verified => {}
        Status::Indirect | Status::Derived | Status::Recalled => return Some(Verdict::Unverified),
    }
    if margin.is_none() {
        return Some(Verdict::NoMargin);
    }
    match summary.scale {
        Scale::Full => {}
        Scale::Quick => return Some(Verdict::ReducedRun),
    }
    (summary.n < stats::RUNS_MIN).then_some(Verdict::TooFewRuns)
}

/// The verdict rule: an interval inside ±margin rejects, at α = 0.05, that the true difference is a
/// margin or more (two one-sided tests; Schuirmann, 1987). A rounded figure may be off by
/// `rounding`, so the verdict must hold wherever it lies.
fn decide(contrast: &Contrast, margin: f64, rounding: f64) -> Verdict {
    let interval = contrast.interval(stats::VERDICT_LEVEL);
    let (inner, outer) = (margin - rounding, margin + rounding);
    if -inner < interval.low && interval.high < inner {
        Verdict::Reproduced
    } else if outer < interval.low || interval.high < -outer {
        Verdict::NotReproduced
    } else {
        Verdict::Inconclusive
    }
}

/// Holm's correction (1979) over the figures that one table of a paper prints for one cell: of many
/// figures one is reproduced, or not reproduced, by chance.
fn correct_by_holm(comparisons: &mut [Comparison]) {
    let mut families: HashMap<(String, String), Vec<usize>> = HashMap::new();
    for (index, one) in comparisons.iter().enumerate() {
        match one.verdict {
            Verdict::Reproduced | Verdict::NotReproduced | Verdict::Inconclusive => {
                families.entry((one.cell.clone(), one.table.clone())).or_default().push(index);
            }
            Verdict::TooFewRuns | Verdict::Unverified | Verdict::NoMargin | Verdict::ReducedRun => {
            }
        }
    }
    for family in families.values() {
        let adjusted = |p: fn(&Comparison) -> Option<f64>| {
            let p: Vec<f64> = family.iter().filter_map(|&at| p(&comparisons[at])).collect();
            stats::holm(&p)
        };
        let equivalent = adjusted(|one| one.p_equivalent);
        let different = adjusted(|one| one.p_different);
        for (place, &at) in family.iter().enumerate() {
            comparisons[at].verdict_holm = match comparisons[at].verdict {
                Verdict::Reproduced if equivalent[place] >= ALPHA => Verdict::Inconclusive,
                Verdict::NotReproduced if different[place] >= ALPHA => Verdict::Inconclusive,
                verdict => verdict,
            };
        }
    }
}

/// What a reader of the numbers should know beside them.
fn note(summary: &Summary, figure: &Figure, margin: Option<f64>, outlook: &Outlook) -> String {
    let mut notes = Vec::new();
    if summary.n < 2 {
        notes.push(summary.note.clone());
    }
    if figure.std.is_some() && published_spread(figure).is_none() {
        notes.push("published std without a number of runs: the figure counts as exact".into());
    }
    if margin == Some(0.0) {
        notes.push("a margin of 0 can only be missed".into());
    }
    if summary.std == Some(0.0) {
        notes.push("all runs are equal".into());
    }
    notes.extend(outlook.notes.iter().cloned());
    notes.retain(|note| !note.is_empty());
    notes.join("; ")
}

#[cfg(test)]
mod tests {
    use super::super::tests::{figure, paper, rows};
    use super::super::{Row, summarise};
    use super::*;
    use crate::record::State;

    fn against(rows: &[Row], paper: &Paper) -> Vec<Comparison> {
        compare(&summarise(rows).unwrap(), paper, "made-up")
    }

    fn verdict(rows: &[Row]) -> Comparison {
        against(rows, &paper(vec![figure()])).remove(0)
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
        assert!(stats::t_interval(needed, 0.0, open.std.unwrap(), 0.9).unwrap().high < 0.02);
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
    fn a_verdict_says_which_runs_failed_and_that_several_versions_made_them() {
        let mut runs = rows("base", &[0.8, 0.9, 0.1, 1.0]);
        runs[2].state = State::Diverged;
        assert_eq!(verdict(&runs).verdict_text(), "inconclusive (1 of 4 runs failed)");
        runs[0].commit = "abc".into();
        let text = "inconclusive (1 of 4 runs failed) (2 versions of the code)";
        assert_eq!(verdict(&runs).verdict_text(), text);
    }

    #[test]
    fn too_few_runs_leave_blanks_and_a_reason() {
        let mut runs = rows("base", &[0.9]);
        let one = verdict(&runs);
        assert_eq!((one.verdict, one.p_equivalent, one.power), (Verdict::TooFewRuns, None, None));
        assert_eq!(one.note, "one run has no spread");
        runs[0].state = State::Crashed;
        let none = verdict(&runs);
        assert_eq!(none.verdict_text(), "too few runs (1 of 1 runs failed)");
        assert_eq!((none.difference, none.note.as_str()), (None, "no run ended ok"));
        let two = verdict(&rows("base", &[0.9, 0.91]));
        assert_eq!(two.verdict, Verdict::TooFewRuns);
        assert!(two.ci90_low.is_some() && two.power.is_none());
    }

    #[test]
    fn a_paper_with_std_and_runs_is_compared_as_a_sample() {
        let runs = rows("base", &[0.9, 0.905, 0.895]);
        let published = |runs| Figure { std: Some(0.03), runs, ..figure() };
        let exact = &against(&runs, &paper(vec![published(None)]))[0];
        assert_eq!((exact.test, exact.verdict), (Test::OneSample, Verdict::Reproduced));
        assert!(exact.note.contains("counts as exact"), "{}", exact.note);
        let sample = &against(&runs, &paper(vec![published(Some(5))]))[0];
        assert_eq!((sample.test, sample.verdict), (Test::Welch, Verdict::Inconclusive));
        assert!(sample.ci90_high.unwrap() > exact.ci90_high.unwrap());
        // its own std alone keeps the difference open, however many runs we make
        assert_eq!((sample.runs_needed, sample.power), (None, None));
        assert!(sample.note.contains("no power: ") && sample.note.contains("no number of runs"));
        let many = &against(&runs, &paper(vec![published(Some(100))]))[0];
        assert_eq!(many.verdict, Verdict::Reproduced);
    }

    #[test]
    fn a_rounded_figure_is_an_interval_and_the_verdict_must_hold_all_over_it() {
        // 0.0004 within the margin, then 0.0004 beyond it
        let near = rows("base", &[0.9196, 0.9196, 0.9196]);
        let far = rows("base", &[0.9204, 0.9204, 0.9204]);
        for (runs, verdict) in [(near, Verdict::Reproduced), (far, Verdict::NotReproduced)] {
            for (decimals, rounded) in [(4, verdict), (3, Verdict::Inconclusive)] {
                let one = &against(&runs, &paper(vec![Figure { decimals, ..figure() }]))[0];
                assert_eq!((one.verdict, one.verdict_rounded), (verdict, rounded));
            }
        }
    }

    #[test]
    fn holm_corrects_over_the_figures_of_a_table_in_one_cell() {
        // its p is just below 0.05: alone reproduced, beside an open figure of the same table not
        let runs = rows("base", &[0.905, 0.915, 0.9, 0.925, 0.908]);
        let alone = verdict(&runs);
        assert_eq!((alone.verdict, alone.verdict_holm), (Verdict::Reproduced, Verdict::Reproduced));
        let p = alone.p_equivalent.unwrap();
        assert!((0.025..0.05).contains(&p), "{p}");
        let open = |table: &str| {
            let (method, table) = ("b".into(), table.into());
            Figure { value: 0.93, method, table, ..figure() }
        };
        let same = against(&runs, &paper(vec![figure(), open("Table 2")]));
        assert_eq!(same[1].verdict, Verdict::Inconclusive);
        assert_eq!(same[0].verdict_holm, Verdict::Inconclusive);
        let other = against(&runs, &paper(vec![figure(), open("Table 3")]));
        assert_eq!(other[0].verdict_holm, Verdict::Reproduced);
    }

    #[test]
    fn a_margin_of_0_can_only_be_missed() {
        let mut exact = paper(vec![figure()]);
        exact.margins.get_mut(&Metric::F1).unwrap().value = 0.0;
        for (f1, expected) in [
            ([0.9, 0.9, 0.9], Verdict::Inconclusive),
            ([0.899, 0.901, 0.9], Verdict::Inconclusive),
            ([0.7, 0.71, 0.69], Verdict::NotReproduced),
        ] {
            let one = &against(&rows("base", &f1), &exact)[0];
            assert_eq!(one.verdict, expected);
            assert!(one.note.contains("can only be missed"), "{}", one.note);
            for number in [one.p_equivalent, one.p_different, one.power] {
                assert!(number.unwrap().is_finite());
            }
            assert!(one.power.unwrap() < 0.05);
        }
    }

    #[test]
    fn runs_without_spread_give_numbers_and_say_so() {
        let one = verdict(&rows("base", &[0.91, 0.91, 0.91]));
        assert_eq!(one.verdict, Verdict::Reproduced);
        assert!(one.note.contains("all runs are equal"), "{}", one.note);
        for number in [one.p_equivalent, one.p_different, one.power] {
            assert!(number.unwrap().is_finite());
        }
        assert!((one.smallest_margin.unwrap() - 0.01).abs() < 1e-12);
    }

    #[test]
    fn a_difference_on_the_margin_says_why_no_number_of_runs_is_named() {
        let one = verdict(&rows("base", &[0.9, 0.94, 0.92]));
        assert_eq!((one.verdict, one.runs_needed), (Verdict::Inconclusive, None));
        assert!(one.note.contains("not even 100000 runs decide"), "{}", one.note);
    }

    #[test]
    fn a_control_has_no_share_of_an_area_under_the_roc_curve() {
        let area = Figure { metric: Metric::Auroc, ..figure() };
        let mut runs = rows("base", &[0.9, 0.9, 0.9]);
        runs.extend(rows("base,control=untrained", &[0.5, 0.5, 0.5]));
        runs.iter_mut().for_each(|row| row.auroc = row.f1);
        let comparisons = against(&runs, &paper(vec![area]));
        assert_eq!((comparisons[0].control_mean, comparisons[0].control_share), (Some(0.5), None));
        assert_eq!(comparisons[1].reach(), None);
    }

    #[test]
    fn a_trained_cell_knows_what_its_control_reaches() {
        let mut runs = rows("base", &[0.9, 0.9, 0.9]);
        runs.extend(rows("base,control=untrained", &[0.45, 0.45, 0.45]));
        let comparisons = against(&runs, &paper(vec![figure()]));
        assert_eq!(comparisons[0].control_mean, Some(0.45));
        assert!((comparisons[1].reach().unwrap() - 0.5).abs() < 1e-12);
        assert!((comparisons[0].control_share.unwrap() - 0.5).abs() < 1e-12);
        assert_eq!(comparisons[1].control_mean, None);
    }
}
