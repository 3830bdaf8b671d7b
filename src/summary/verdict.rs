//! Estimates and published figures → verdicts. How to read a verdict, and why it is made this way:
//! `docs/verdicts.md`.

use std::collections::HashMap;

use serde::Serialize;

use super::Evidence;
use super::evidence::{Claim, claims};
use crate::experiment::{CellName, Control, Scale};
use crate::metrics::Metric;
use crate::paper::fingerprint::Quantity;
use crate::paper::{Paper, Status};
use crate::stats::{self, Contrast, Design, Flip, Interval, Place, Published, Sample};
use crate::words::words;

/// Of each of the two one-sided tests behind the interval that decides.
const ALPHA: f64 = (1.0 - stats::VERDICT_LEVEL) / 2.0;

/// Of the interval in which the source's runs of our protocol would put their mean.
const PREDICTION_LEVEL: f64 = 0.95;

words! {
    /// What may be said about one published figure.
    pub enum Verdict {
        /// The 90 % interval of the difference lies inside the margin.
        Reproduced = "reproduced",
        /// It lies wholly outside the margin.
        NotReproduced = "not reproduced",
        /// Neither, and more runs of ours can decide.
        Inconclusive = "inconclusive",
        /// Neither, and the source's own sampling error is as wide as the margin: no number of our
        /// runs can show that the figure is reproduced.
        Undecidable = "undecidable",
        /// Fewer than three runs.
        TooFewRuns = "too few runs",
        /// The figure was not seen in its source.
        Unverified = "unverified",
        /// The paper's file declares no margin for the metric.
        NoMargin = "no margin",
        /// The runs did not follow the full protocol.
        ReducedRun = "reduced run",
    }
}

impl Verdict {
    /// Whether it answers the question, or says that the runs do not: all others say that nothing
    /// was asked, or that there were too few runs to ask.
    pub fn is_of_an_interval(self) -> bool {
        match self {
            Self::Reproduced | Self::NotReproduced | Self::Inconclusive | Self::Undecidable => true,
            Self::TooFewRuns | Self::Unverified | Self::NoMargin | Self::ReducedRun => false,
        }
    }
}

words! {
    /// How our mean and the published one are compared.
    pub enum Test {
        /// The paper prints no standard deviation, so its runs are taken to spread as ours do.
        OurStd = "t with our std",
        /// The paper prints a standard deviation and a number of runs.
        Welch = "Welch t",
        /// Shares of runs that ended so.
        Fisher = "Fisher",
    }
}

/// One published figure beside one cell.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    pub experiment: String,
    pub cell: CellName,
    pub scale: Scale,
    /// What was published; the column keeps its name from the time when all were metrics.
    pub metric: Quantity,
    /// Name of the paper's file.
    pub paper: String,
    pub table: String,
    /// Whose figure it is, as the paper names it.
    pub method: String,
    pub published: f64,
    pub published_std: Option<f64>,
    /// Runs that the published mean is over, where that is stated; else it counts as one run's.
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
    /// 90 % t interval of the difference: of the runs that a verdict rests on, or of
    /// [`stats::INTERVAL_MIN`] runs or more.
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
    /// How many runs would decide, see [`stats::runs_needed`]; of an undecidable figure how many would
    /// show that it is not reproduced.
    pub runs_needed: Option<usize>,
    /// How often `n` runs with this std would earn `reproduced` if nothing differed, unless the figure
    /// has a spread of its own.
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
    /// Runs that the experiment declares for a cell, where it is known.
    pub declared_runs: Option<u64>,
    /// The 95 % prediction interval of the mean of as many runs as the source has.
    pub prediction_low: Option<f64>,
    pub prediction_high: Option<f64>,
    /// Whether the published figure lies in it: whether the source's number of runs of this protocol
    /// could print it.
    pub compatible: Option<bool>,
    /// The source's own part of the 90 % interval: no margin up to this can be shown by any number of
    /// our runs.
    pub decidable_margin: Option<f64>,
    /// The standard deviation of the source's runs at which the verdict would be another one, where the
    /// source prints none, and the verdict for any smaller one.
    pub flip_std: Option<f64>,
    pub flip_below: Option<Verdict>,
    /// Of an outcome: how many of our runs ended so, and the exact 95 % interval of their share.
    pub ended: Option<usize>,
    pub share_low: Option<f64>,
    pub share_high: Option<f64>,
}

impl Comparison {
    /// The verdict with what is missing from it: `VERDICT`, then ` (R of D runs)` when the cell has fewer
    /// runs than the experiment declares, then ` (F of T runs failed)` when any run failed, then ` (U of T runs without a value)` when the metric was undefined in any, then
    /// ` (N versions of the code)` when more than one made the runs.
    pub fn verdict_text(&self) -> String {
        let mut text = self.verdict.as_str().to_string();
        if let Some(missing) = self.runs_of_declared() {
            text += &format!(" ({missing})");
        }
        if self.n_failed > 0 {
            text += &format!(" ({} of {} runs failed)", self.n_failed, self.runs);
        }
        // failed runs count for an outcome too
        let undefined = self.runs.saturating_sub(self.n + self.n_failed);
        if undefined > 0 {
            text += &format!(" ({undefined} of {} runs without a value)", self.runs);
        }
        if self.versions > 1 {
            text += &format!(" ({} versions of the code)", self.versions);
        }
        text
    }

    /// `6 of 20 runs`, where the cell has fewer runs than the experiment declares.
    pub fn runs_of_declared(&self) -> Option<String> {
        let declared = self.declared_runs.filter(|&declared| (self.runs as u64) < declared)?;
        Some(format!("{} of {declared} runs", self.runs))
    }

    /// How much of the figure our mean is, for a control beside a figure of the trained model.
    pub fn reach(&self) -> Option<f64> {
        self.mean
            .filter(|_| self.null_model)
            .and_then(|mean| share(&self.metric, mean, self.published))
    }
}

/// `mean` as a share of `published`. None for an area under the ROC curve, whose worst is not 0: a
/// detector that knows nothing has 0.5, and no share of a figure says how much that is; none for what
/// is no metric.
fn share(quantity: &Quantity, mean: f64, published: f64) -> Option<f64> {
    match quantity.metric()? {
        Metric::Auroc | Metric::AurocOfFlags => None,
        Metric::Precision | Metric::Recall | Metric::F1 | Metric::Auprc => {
            (published > 0.0).then(|| mean / published)
        }
    }
}

/// Every figure and fingerprint that `paper` prints for `experiment`, beside the cells it is to be
/// compared with: cells in the order of the evidence, within each quantity; last the cells that a
/// figure names and nobody ran. `declared` is the number of runs that the experiment declares for a
/// cell, where the experiment is known.
pub fn compare(
    evidence: &[Evidence],
    paper: &Paper,
    experiment: &str,
    declared: Option<u64>,
) -> Vec<Comparison> {
    let claims = claims(paper, experiment);
    let evidence: Vec<&Evidence> =
        evidence.iter().filter(|one| one.experiment == experiment).collect();
    // a file of someone else's may have other controls beside the one that a figure is measured by
    let controls = evidence.iter().filter(|one| one.cell.is(Control::Untrained));
    let controls: HashMap<(&str, &Quantity), &Evidence> =
        controls.map(|one| ((one.cell.trained(), &one.quantity), *one)).collect();
    let mut comparisons = Vec::new();
    for one in &evidence {
        let control = controls.get(&(one.cell.as_str(), &one.quantity)).copied();
        let met = claims.iter().filter(|claim| meets(claim, one));
        comparisons.extend(met.map(|claim| compare_one(one, claim, &paper.name, control)));
    }
    let Some(any) = evidence.first() else {
        return comparisons;
    };
    for claim in &claims {
        let Some(cell) = claim.cell else { continue };
        if evidence.iter().all(|one| one.cell != *cell) {
            let quantity = claim.quantity.clone();
            let nobody_ran = Evidence::none(experiment, cell, any.scale, quantity);
            comparisons.push(compare_one(&nobody_ran, claim, &paper.name, None));
        }
    }
    correct_by_holm(&mut comparisons);
    for one in &mut comparisons {
        one.declared_runs = declared;
    }
    comparisons
}

/// Whether a figure is to be set beside a cell: it names none, or this one, or the cell that this
/// one is a control of.
fn meets(claim: &Claim, evidence: &Evidence) -> bool {
    let of_cell = claim.cell.is_none_or(|cell| evidence.cell.belongs_to(cell));
    claim.quantity == evidence.quantity && of_cell
}

fn compare_one(
    ours: &Evidence,
    claim: &Claim,
    paper: &str,
    control: Option<&Evidence>,
) -> Comparison {
    let margin = claim.margin;
    let contrast = sample(ours).and_then(|ours| Contrast::of(&ours, &published(claim)));
    let decided = |rounding: f64| match (barred(claim.status, ours, margin), contrast, margin) {
        (Some(verdict), _, _) => verdict,
        (None, Some(contrast), Some(margin)) => decide(&contrast, margin, rounding),
        (None, _, _) => Verdict::TooFewRuns,
    };
    let verdict = decided(0.0);
    let shown = verdict.is_of_an_interval() || ours.n >= stats::INTERVAL_MIN;
    let interval =
        contrast.filter(|_| shown).map(|contrast| contrast.interval(stats::VERDICT_LEVEL));
    let outlook = outlook(ours, claim, margin, verdict);
    let prediction = contrast.zip(ours.mean).filter(|_| shown && ours.scale == Scale::Full);
    let prediction = prediction.map(|(contrast, mean)| prediction_interval(&contrast, mean));
    let judged = contrast.zip(margin);
    Comparison {
        ci90_low: interval.map(|interval| interval.low),
        ci90_high: interval.map(|interval| interval.high),
        verdict,
        verdict_rounded: decided(claim.rounding),
        verdict_holm: verdict,
        p_equivalent: judged.map(|(contrast, margin)| contrast.p_equivalent(margin)),
        p_different: judged.map(|(contrast, margin)| contrast.p_different(margin)),
        smallest_margin: contrast.map(|contrast| contrast.smallest_margin(ALPHA)),
        runs_needed: outlook.runs_needed,
        power: outlook.power,
        note: note(ours, claim, margin, &outlook),
        prediction_low: prediction.map(|interval| interval.low),
        prediction_high: prediction.map(|interval| interval.high),
        compatible: match prediction {
            Some(interval) => Some(holds(&interval, claim.value)),
            None => outcome_is_compatible(ours, claim),
        },
        decidable_margin: contrast.map(|contrast| contrast.decidable_margin(ALPHA)),
        flip_std: outlook.flip.map(|flip| flip.std),
        flip_below: outlook.flip.map(|flip| verdict_of(flip.below)),
        ..beside(ours, claim, paper, control)
    }
}

/// A figure beside our runs, before anything is inferred from them.
fn beside(ours: &Evidence, claim: &Claim, paper: &str, control: Option<&Evidence>) -> Comparison {
    let control_mean = control.and_then(|control| control.mean);
    let share_of_runs = ours.ended.and_then(|ended| exact_share(ended, ours.runs));
    Comparison {
        experiment: ours.experiment.clone(),
        cell: ours.cell.clone(),
        scale: ours.scale,
        metric: claim.quantity.clone(),
        paper: paper.into(),
        table: claim.table.into(),
        method: claim.method.into(),
        published: claim.value,
        published_std: claim.std,
        published_runs: claim.runs,
        rounding: claim.rounding,
        status: claim.status,
        runs: ours.runs,
        n: ours.n,
        n_failed: ours.n_failed,
        mean: ours.mean,
        std: ours.std,
        difference: ours.mean.map(|mean| mean - claim.value),
        test: test(claim),
        margin: claim.margin,
        control_mean,
        control_share: control_mean.and_then(|mean| share(&claim.quantity, mean, claim.value)),
        null_model: ours.cell.is_control() && claim.cell != Some(&ours.cell),
        versions: ours.versions,
        code: ours.code.clone(),
        ended: ours.ended,
        share_low: share_of_runs.map(|share| share.low),
        share_high: share_of_runs.map(|share| share.high),
        verdict: Verdict::TooFewRuns,
        verdict_rounded: Verdict::TooFewRuns,
        verdict_holm: Verdict::TooFewRuns,
        ci90_low: None,
        ci90_high: None,
        p_equivalent: None,
        p_different: None,
        smallest_margin: None,
        runs_needed: None,
        power: None,
        note: String::new(),
        declared_runs: None,
        prediction_low: None,
        prediction_high: None,
        compatible: None,
        decidable_margin: None,
        flip_std: None,
        flip_below: None,
    }
}

fn exact_share(ended: usize, runs: usize) -> Option<Interval> {
    stats::exact_share(ended as u64, runs as u64, PREDICTION_LEVEL)
}

/// Whether runs of one kind could end as ours and the source's did, by Fisher's exact test at 5 %. None
/// for what is no outcome, and for reduced runs.
fn outcome_is_compatible(ours: &Evidence, claim: &Claim) -> Option<bool> {
    let ended = ours.ended.filter(|_| ours.scale == Scale::Full)?;
    let their_runs = claim.runs.unwrap_or(1);
    let their_ended = (claim.value * their_runs as f64).round() as u64;
    let p = stats::fisher(ended as u64, ours.runs as u64, their_ended, their_runs);
    Some(p >= 1.0 - PREDICTION_LEVEL)
}

fn test(claim: &Claim) -> Test {
    match claim.quantity {
        Quantity::Outcome(_) => Test::Fisher,
        Quantity::Metric(_) | Quantity::Diagnostic(_) if has_spread(&published(claim)) => {
            Test::Welch
        }
        Quantity::Metric(_) | Quantity::Diagnostic(_) => Test::OurStd,
    }
}

/// What more runs would show, and why that cannot be said.
#[derive(Default)]
struct Outlook {
    runs_needed: Option<usize>,
    power: Option<f64>,
    flip: Option<Flip>,
    notes: Vec<String>,
}

fn outlook(summary: &Evidence, figure: &Claim, margin: Option<f64>, verdict: Verdict) -> Outlook {
    let known = sample(summary).zip(margin).filter(|_| summary.n >= stats::RUNS_MIN);
    let Some((ours, margin)) = known else {
        return Outlook::default();
    };
    let mut outlook = Outlook::default();
    let published = published(figure);
    if has_spread(&published) {
        outlook.notes.push("no power: the figure has a spread of its own".into());
    } else {
        let runs = Some(published.runs);
        let design = Design { n: ours.n, std: ours.std, margin, published: runs };
        outlook.power = Some(stats::power_reproduced(&design, 0.0));
        if verdict.is_of_an_interval() {
            outlook.flip = stats::flip(&ours, &published, margin);
        }
    }
    let can_only_be_missed = (ours.mean - published.mean).abs() > margin;
    if verdict == Verdict::Inconclusive || (verdict == Verdict::Undecidable && can_only_be_missed) {
        outlook.runs_needed = stats::runs_needed(&ours, &published, margin);
    }
    if verdict == Verdict::Inconclusive && outlook.runs_needed.is_none() {
        outlook.notes.push(format!("at this difference not even {} runs decide", stats::RUNS_CAP));
    }
    outlook
}

fn sample(summary: &Evidence) -> Option<Sample> {
    summary.mean.zip(summary.std).map(|(mean, std)| Sample { n: summary.n, mean, std })
}

/// The figure as a sample: of one run where the source does not say of how many.
fn published(figure: &Claim) -> Published {
    let runs = figure.runs.and_then(|runs| usize::try_from(runs).ok());
    let std = figure.std.filter(|_| runs.is_some());
    Published { mean: figure.value, runs: runs.unwrap_or(1), std }
}

fn has_spread(published: &Published) -> bool {
    published.runs > 1 && published.std.is_some()
}

/// Where as many runs of our protocol as the source made would put their mean: our mean ± t(.975) ·
/// standard error of the difference (Patil, Peng and Leek, 2016; Spence and Stanley, 2016).
fn prediction_interval(contrast: &Contrast, mean: f64) -> Interval {
    let Interval { low, high } = contrast.interval(PREDICTION_LEVEL);
    let (below, above) = (contrast.difference - low, high - contrast.difference);
    Interval { low: mean - below, high: mean + above }
}

/// Equal up to rounding is equal: runs without spread can print exactly their own mean.
fn holds(interval: &Interval, value: f64) -> bool {
    let noise = 1e-12 * value.abs();
    interval.low - noise <= value && value <= interval.high + noise
}

/// Why there can be no verdict, whatever the runs came to.
fn barred(status: Status, summary: &Evidence, margin: Option<f64>) -> Option<Verdict> {
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
    match contrast.place(stats::VERDICT_LEVEL, margin, rounding) {
        Place::Across if contrast.decidable_margin(ALPHA) >= margin - rounding => {
            Verdict::Undecidable
        }
        place => verdict_of(place),
    }
}

fn verdict_of(place: Place) -> Verdict {
    match place {
        Place::Inside => Verdict::Reproduced,
        Place::Outside => Verdict::NotReproduced,
        Place::Across => Verdict::Inconclusive,
    }
}

/// Holm's correction (1979) over the figures that one table of a paper prints for one cell: of many
/// figures one is reproduced, or not reproduced, by chance.
fn correct_by_holm(comparisons: &mut [Comparison]) {
    let mut families: HashMap<(CellName, String), Vec<usize>> = HashMap::new();
    for (index, one) in comparisons.iter().enumerate() {
        if one.verdict.is_of_an_interval() {
            families.entry((one.cell.clone(), one.table.clone())).or_default().push(index);
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
            let one = &comparisons[at];
            let open = match one.decidable_margin.zip(one.margin) {
                Some((decidable, margin)) if decidable >= margin => Verdict::Undecidable,
                Some(_) | None => Verdict::Inconclusive,
            };
            comparisons[at].verdict_holm = match one.verdict {
                Verdict::Reproduced if equivalent[place] >= ALPHA => open,
                Verdict::NotReproduced if different[place] >= ALPHA => open,
                verdict => verdict,
            };
        }
    }
}

/// What a reader of the numbers should know beside them.
fn note(summary: &Evidence, figure: &Claim, margin: Option<f64>, outlook: &Outlook) -> String {
    let mut notes = Vec::new();
    if summary.n < 2 {
        notes.push(summary.note.clone());
    }
    notes.extend(summary.ended.map(|ended| format!("{ended} of {} runs ended so", summary.runs)));
    if figure.runs.is_none() && figure.status == Status::Verified {
        notes.push(match figure.std {
            None => "the source does not say of how many runs: it counts as one".into(),
            Some(_) => "published std without a number of runs: the figure counts as one run, and \
                        its spread as ours"
                .into(),
        });
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
    use crate::paper::Figure;
    use crate::store::record::State;

    fn compared(rows: &[Row], paper: &Paper, declared: Option<u64>) -> Vec<Comparison> {
        let evidence: Vec<Evidence> = summarise(rows).unwrap().iter().map(Evidence::from).collect();
        compare(&evidence, paper, "made-up", declared)
    }

    fn against(rows: &[Row], paper: &Paper) -> Vec<Comparison> {
        compared(rows, paper, None)
    }

    fn verdict(rows: &[Row]) -> Comparison {
        against(rows, &paper(vec![figure()])).remove(0)
    }

    #[test]
    fn runs_without_a_value_are_counted_apart_from_failed_ones() {
        let mut runs = rows("base", &[0.9, 0.9, 0.9, 0.9, 0.9]);
        runs[0].metrics[Metric::F1] = None;
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
            (vec![0.9, 0.925, 0.875], Verdict::Inconclusive),
            (vec![0.9, 0.95, 0.85], Verdict::Undecidable),
            (vec![0.92, 0.925, 0.915], Verdict::Inconclusive),
            (vec![0.9, 0.9], Verdict::TooFewRuns),
        ] {
            assert_eq!(verdict(&rows("base", &f1)).verdict, expected, "{f1:?}");
        }
    }

    #[test]
    fn only_an_inconclusive_verdict_asks_for_more_runs() {
        let open = verdict(&rows("base", &[0.9, 0.925, 0.875]));
        let needed = open.runs_needed.unwrap();
        let half = |n: usize| {
            let ours = Sample { n, mean: 0.9, std: open.std.unwrap() };
            let source = Published { mean: 0.9, runs: 20, std: None };
            Contrast::of(&ours, &source).unwrap().interval(0.9).high
        };
        assert!(needed > 3 && half(needed) < 0.02 && half(needed - 1) >= 0.02);
        assert_eq!(verdict(&rows("base", &[0.7, 0.71, 0.69])).runs_needed, None);
    }

    #[test]
    fn no_verdict_rests_on_an_unverified_figure_a_missing_margin_or_a_reduced_run() {
        let runs = rows("base", &[0.9, 0.9, 0.9]);
        for status in [Status::Indirect, Status::Derived, Status::Recalled] {
            let figures = paper(vec![Figure { status, ..figure() }]);
            let comparison = &compared(&runs, &figures, None)[0];
            assert_eq!(comparison.verdict, Verdict::Unverified);
            assert!(comparison.difference.is_some());
        }
        let mut unmargined = paper(vec![figure()]);
        unmargined.margins.clear();
        let comparison = &compared(&runs, &unmargined, None)[0];
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
        let comparisons = compared(&runs, &paper, None);
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
        let mut runs = rows("base", &[0.88, 0.9, 0.1, 0.92]);
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
        assert!(two.ci90_low.is_none() && two.power.is_none());
    }

    #[test]
    fn a_paper_with_std_and_runs_is_compared_as_a_sample() {
        let runs = rows("base", &[0.9, 0.905, 0.895]);
        let published = |runs| Figure { std: Some(0.03), runs, ..figure() };
        let single = &against(&runs, &paper(vec![published(None)]))[0];
        assert_eq!((single.test, single.verdict), (Test::OurStd, Verdict::Reproduced));
        assert!(single.note.contains("counts as one run"), "{}", single.note);
        let sample = &against(&runs, &paper(vec![published(Some(5))]))[0];
        assert_eq!((sample.test, sample.verdict), (Test::Welch, Verdict::Undecidable));
        assert!(sample.ci90_high.unwrap() > single.ci90_high.unwrap());
        // its own std alone keeps the difference open, however many runs we make
        assert_eq!((sample.runs_needed, sample.power, sample.flip_std), (None, None, None));
        assert!(sample.decidable_margin.unwrap() >= 0.02);
        assert!(sample.note.contains("no power: "), "{}", sample.note);
        let many = &against(&runs, &paper(vec![published(Some(100))]))[0];
        assert_eq!(many.verdict, Verdict::Reproduced);
    }

    /// Runs of a given mean and standard deviation: half of them as far below as half above.
    fn runs_of(n: usize, mean: f64, std: f64) -> Vec<Row> {
        let step = std * ((n - 1) as f64 / n as f64).sqrt();
        let f1: Vec<f64> =
            (0..n).map(|run| mean + if run % 2 == 0 { step } else { -step }).collect();
        rows("base", &f1)
    }

    /// 20 runs of ours with F1 .8751 and a std of .0583 beside Zong et al.'s .9369 of 20 runs.
    #[test]
    fn the_source_is_a_sample_too() {
        let runs = runs_of(20, 0.8751, 0.0583);
        let figures = paper(vec![Figure { value: 0.9369, ..figure() }]);
        let one = &against(&runs, &figures)[0];
        assert_eq!((one.test, one.verdict), (Test::OurStd, Verdict::NotReproduced));
        for (found, expected, tolerance) in [
            (one.difference, -0.0618, 1e-9),
            (one.ci90_low, -0.0937, 5e-5),
            (one.ci90_high, -0.0300, 1e-4),
            (one.p_different, 0.0176, 5e-5),
            (one.prediction_low, 0.8365, 5e-5),
            (one.prediction_high, 0.9137, 5e-5),
            (one.flip_std, 0.0937, 5e-4),
            (one.decidable_margin, 0.0225, 5e-5),
        ] {
            let found = found.unwrap();
            assert!((found - expected).abs() < tolerance, "{found} is not {expected}");
        }
        assert_eq!((one.flip_below, one.compatible), (Some(Verdict::NotReproduced), Some(false)));
        // of one run instead of 20 the same number says next to nothing
        let single = paper(vec![Figure { value: 0.9369, runs: Some(1), ..figure() }]);
        let one = &against(&runs, &single)[0];
        assert_eq!((one.verdict, one.compatible), (Verdict::Undecidable, Some(true)));
        assert!((one.decidable_margin.unwrap() - 1.7291 * 0.0583).abs() < 1e-4);
        assert_eq!(one.flip_below, Some(Verdict::NotReproduced), "beside an exact figure");
        assert!(one.flip_std.unwrap() < 0.0583);
    }

    #[test]
    fn an_undecidable_figure_can_still_be_missed_with_more_runs() {
        let single = Figure { runs: Some(1), ..figure() };
        let of = |mean| against(&runs_of(4, mean, 0.05), &paper(vec![single.clone()])).remove(0);
        let far = of(0.8);
        assert_eq!(far.verdict, Verdict::Undecidable);
        assert!(far.runs_needed.is_none(), "one std of the source is more than the difference");
        let further = of(0.78);
        assert_eq!(further.verdict, Verdict::Undecidable);
        assert!(further.runs_needed.is_some_and(|runs| runs > 4));
        assert_eq!(of(0.9).runs_needed, None);
    }

    #[test]
    fn runs_missing_from_the_declared_number_are_named() {
        let runs = rows("base", &[0.9, 0.905, 0.895]);
        let of = |declared| compared(&runs, &paper(vec![figure()]), declared).remove(0);
        assert_eq!(of(Some(20)).verdict_text(), "reproduced (3 of 20 runs)");
        assert_eq!(of(Some(3)).verdict_text(), "reproduced");
        assert_eq!(of(None).verdict_text(), "reproduced");
    }

    #[test]
    fn an_interval_that_touches_the_margin_is_open_on_both_sides() {
        let figures = paper(vec![Figure { value: 0.9369, ..figure() }]);
        for edge in [0.9569, 0.9169] {
            let one = against(&rows("base", &[edge; 20]), &figures).remove(0);
            assert_eq!((one.verdict, one.runs_needed), (Verdict::Inconclusive, None), "{edge}");
            assert_eq!((one.p_equivalent, one.p_different), (Some(0.5), Some(0.5)));
            assert!(one.note.contains("all runs are equal"), "{}", one.note);
        }
        let last_bit = f64::from_bits(0.9569f64.to_bits() + 1);
        let one = against(&rows("base", &[0.9569, last_bit, 0.9569]), &figures).remove(0);
        assert_eq!(one.verdict, Verdict::Inconclusive);
        assert!(one.note.contains("all runs are equal"), "{}", one.note);
        let equal = against(&rows("base", &[0.9369; 3]), &figures).remove(0);
        assert_eq!((equal.verdict, equal.compatible), (Verdict::Reproduced, Some(true)));
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
        let runs = rows("base", &[0.903, 0.913, 0.898, 0.923, 0.906]);
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
            ([0.9, 0.9, 0.9], Verdict::Undecidable),
            ([0.899, 0.901, 0.9], Verdict::Undecidable),
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
        runs.iter_mut().for_each(|row| row.metrics[Metric::Auroc] = row.metrics[Metric::F1]);
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
