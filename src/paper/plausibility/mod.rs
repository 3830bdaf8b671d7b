//! Can published figures be right? Holds precision, recall and F1 of one line of a table against each
//! other, and against what each flagging protocol allows on that many rows and anomalies: whatever the
//! detector, precision/recall = positives/flagged. Pure arithmetic over a paper's file: no run, no
//! tensor, no file. The arithmetic and its limits in words: `docs/check-figures.md`.

pub mod granularity;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::metrics::{Metric, Population};
use crate::paper::{Counts, Figure, Paper, Protocol, SplitKind, Status};
use crate::words::words;

/// How many standard deviations chance may move a count: 6 runs in 100,000 lie beyond, in a normal
/// approximation.
pub const DEVIATIONS: f64 = 4.0;

/// What floating point may add to a printed interval.
const SLACK: f64 = 1e-12;

words! {
    /// What may be said about figures under one protocol, or about F1 beside precision and recall.
    pub enum Verdict {
        /// Some runs of the protocol print these figures.
        Consistent = "consistent",
        /// Only runs that flag training rows and normal test rows at different rates.
        Implausible = "implausible",
        /// No runs do.
        Impossible = "impossible",
    }
}

/// Numbers from `low` to `high`, both included. A `high` without bound is infinite, `null` in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    pub low: f64,
    pub high: f64,
}

impl Interval {
    /// Where a metric that is not printed may lie.
    const UNKNOWN: Self = Self { low: 0.0, high: 1.0 };

    /// The unrounded numbers in [0, 1] that print as `figure` does, whichever way a half is rounded.
    fn printed(figure: &Figure) -> Self {
        let rounding = figure.rounding() + SLACK;
        let (low, high) = (figure.value - rounding, figure.value + rounding);
        Self { low: low.max(0.0), high: high.min(1.0) }
    }

    fn meets(self, other: Self) -> bool {
        self.low <= other.high && other.low <= self.high
    }
}

/// Precision, recall and F1 as one line of a table prints them; at least two are printed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Printed {
    pub precision: Option<Interval>,
    pub recall: Option<Interval>,
    pub f1: Option<Interval>,
}

impl Printed {
    /// The recall, derived from precision and F1 of a single run where it is not printed:
    /// R = 1 / (2/F1 − 1/P).
    fn recall(&self) -> Interval {
        let derived = |precision: Interval, f1: Interval| {
            let recall = |f1: f64, precision: f64| {
                let inverse = 2.0 / f1 - 1.0 / precision;
                if inverse > 1.0 { 1.0 / inverse } else { 1.0 }
            };
            let low = if f1.low > 0.0 { recall(f1.low, precision.high) } else { 0.0 };
            let high = if precision.low > 0.0 { recall(f1.high, precision.low) } else { 1.0 };
            Interval { low: low - SLACK, high: (high + SLACK).min(1.0) }
        };
        self.recall.unwrap_or_else(|| match (self.precision, self.f1) {
            (Some(precision), Some(f1)) => derived(precision, f1),
            (Some(_), None) | (None, Some(_)) | (None, None) => Interval::UNKNOWN,
        })
    }

    /// Where precision/recall lies.
    fn ratio(&self) -> Interval {
        let precision = self.precision.unwrap_or(Interval::UNKNOWN);
        let recall = self.recall.unwrap_or(Interval::UNKNOWN);
        Interval { low: precision.low / recall.high, high: precision.high / recall.low }
    }
}

/// One line of a table: what is printed for one method in one setting, and what follows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Check {
    pub paper: String,
    pub table: String,
    pub dataset: String,
    pub setting: String,
    pub method: String,
    /// How many runs the figures are means of, where all of them say the same. Unknown counts as
    /// several, which forbids less.
    pub runs: Option<u64>,
    /// That of the figure which is known worst.
    pub status: Status,
    /// The digits as typed.
    pub figures: BTreeMap<Metric, String>,
    pub printed: Printed,
    /// precision/recall as printed; what is not printed may be anything.
    pub ratio: Interval,
    /// F1 beside precision and recall; `None` where F1 is not printed.
    pub harmonic: Option<Harmonic>,
    /// `None` where the paper's file has no counts for the data set.
    pub protocols: Option<Vec<Finding>>,
}

impl Check {
    /// What is found for the protocol that the source says it followed.
    pub fn stated(&self) -> Option<&Finding> {
        self.protocols.as_ref()?.iter().find(|finding| finding.stated)
    }
}

/// F1 beside the harmonic mean of precision and recall.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Harmonic {
    pub verdict: Verdict,
    /// Where F1 of one run must lie.
    pub of_one_run: Interval,
    /// Where it must lie: above, or, where the figures may be means over runs, wider. F1 is
    /// concave in (P, R), so a mean of F1s is at most the F1 of the means (Jensen); its
    /// lower bound on the unit square is P + R − 1.
    pub required: Interval,
}

/// What is found for one candidate protocol.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    #[serde(flatten)]
    pub protocol: Protocol,
    /// The share that is flagged.
    pub top: f64,
    /// Whether the source says that it did this.
    pub stated: bool,
    pub verdict: Verdict,
    pub ground: Ground,
    /// What `ground` forces: an F1 for [`Ground::F1`], else precision/recall.
    pub required: Interval,
    /// What is printed for it.
    pub printed: Interval,
    /// The shares of training rows and of normal test rows that would be flagged, where the
    /// threshold depends on training rows and precision and recall are printed.
    pub rates: Option<Rates>,
}

/// What a finding rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ground {
    /// The counts of rows, anomalies and flags alone.
    Counts,
    /// The counts, and F1 for the printed precision and recall under them.
    F1,
    /// The counts of a single run: they are whole numbers.
    WholeNumbers,
    /// The counts, and that training rows are flagged as often as the normal test rows: both are
    /// normal rows, scored alike.
    EqualRates,
}

/// Shares of rows that are flagged, about: from the printed values and expected counts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Rates {
    pub train: f64,
    pub test_normals: f64,
}

/// Every line of `paper` that prints at least two of precision, recall and F1, in the file's order.
pub fn check(paper: &Paper) -> Vec<Check> {
    let line = |figure: &Figure| {
        let Figure { table, dataset, setting, method, .. } = figure.clone();
        (table, dataset, setting, method)
    };
    let mut lines: Vec<Vec<&Figure>> = Vec::new();
    for figure in &paper.figures {
        match figure.metric {
            Metric::Precision | Metric::Recall | Metric::F1 => {}
            Metric::Auroc | Metric::Auprc | Metric::AurocOfFlags => continue,
        }
        match lines.iter_mut().find(|known| line(known[0]) == line(figure)) {
            // the same number, to be compared with another experiment too
            Some(known) if known.iter().any(|other| other.metric == figure.metric) => {}
            Some(known) => known.push(figure),
            None => lines.push(vec![figure]),
        }
    }
    lines.retain(|figures| figures.len() > 1);
    lines.iter().map(|figures| check_line(paper, figures)).collect()
}

fn check_line(paper: &Paper, figures: &[&Figure]) -> Check {
    let of = |metric: Metric| {
        figures.iter().find(|figure| figure.metric == metric).map(|one| Interval::printed(one))
    };
    let printed = Printed {
        precision: of(Metric::Precision),
        recall: of(Metric::Recall),
        f1: of(Metric::F1),
    };
    let first = figures[0];
    let runs = first.runs.filter(|_| figures.iter().all(|figure| figure.runs == first.runs));
    let harmonic = harmonic(&printed, runs);
    // an F1 that contradicts precision and recall would make every protocol impossible
    let sound = harmonic.is_none_or(|harmonic| harmonic.verdict == Verdict::Consistent);
    let held = Printed { f1: printed.f1.filter(|_| sound), ..printed };
    let counts = paper.counts.get(&first.dataset);
    Check {
        paper: paper.name.clone(),
        table: first.table.clone(),
        dataset: first.dataset.clone(),
        setting: first.setting.clone(),
        method: first.method.clone(),
        runs,
        status: figures.iter().map(|figure| figure.status).max().unwrap_or(first.status),
        figures: figures
            .iter()
            .map(|one| (one.metric, format!("{:.*}", one.decimals as usize, one.value)))
            .collect(),
        ratio: printed.ratio(),
        printed,
        harmonic,
        protocols: counts.map(|counts| protocols(&held, counts, runs)),
    }
}

fn f1_of(precision: f64, recall: f64) -> f64 {
    if precision + recall > 0.0 { 2.0 * precision * recall / (precision + recall) } else { 0.0 }
}

fn harmonic(printed: &Printed, runs: Option<u64>) -> Option<Harmonic> {
    let f1 = printed.f1?;
    let precision = printed.precision.unwrap_or(Interval::UNKNOWN);
    let recall = printed.recall.unwrap_or(Interval::UNKNOWN);
    let of_one_run = Interval {
        low: f1_of(precision.low, recall.low),
        high: f1_of(precision.high, recall.high),
    };
    let required = match runs {
        Some(1) => of_one_run,
        Some(_) | None => {
            Interval { low: (precision.low + recall.low - 1.0).max(0.0), ..of_one_run }
        }
    };
    let verdict = if f1.meets(required) { Verdict::Consistent } else { Verdict::Impossible };
    Some(Harmonic { verdict, of_one_run, required })
}

fn protocols(printed: &Printed, counts: &Counts, runs: Option<u64>) -> Vec<Finding> {
    let splits: &[SplitKind] = match counts.train_normals {
        Some(_) => &[SplitKind::Official],
        None => &[SplitKind::HalfOfAll, SplitKind::HalfOfNormals],
    };
    let mut findings = Vec::new();
    for &split in splits {
        let sizes = sizes(counts, split);
        for of in [Population::Test, Population::TrainAndTest, Population::Train] {
            let protocol = Protocol { split, of };
            let rule = Rule { sizes: &sizes, of, top: counts.top };
            findings.push(Finding {
                stated: counts.stated == Some(protocol),
                ..rule.finding(printed, protocol, runs)
            });
        }
    }
    findings
}

/// How many rows of each kind a split makes.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Sizes {
    /// Anomalies in the test set.
    positives: u64,
    /// Normal rows in the test set.
    normals: u64,
    /// Normal training rows.
    train: u64,
}

/// Whole numbers from .0 to .1, both included.
type Whole = (u64, u64);

fn overlap(a: Whole, b: Whole) -> Option<Whole> {
    let (low, high) = (a.0.max(b.0), a.1.min(b.1));
    (low <= high).then_some((low, high))
}

/// Every split that may be drawn and has an anomaly to test, by anomalies. Of an odd number of rows
/// either half may be the larger one.
fn sizes(counts: &Counts, split: SplitKind) -> Vec<Sizes> {
    let (rows, anomalies) = (u64::from(counts.rows), u64::from(counts.positives));
    let normals = rows - anomalies;
    let halves = |rows: u64| (rows / 2)..=(rows - rows / 2);
    match split {
        SplitKind::Official => {
            let of = |train| Sizes { positives: anomalies, normals, train: u64::from(train) };
            counts.train_normals.map(of).into_iter().collect()
        }
        SplitKind::HalfOfNormals => halves(normals)
            .map(|test| Sizes { positives: anomalies, normals: test, train: normals - test })
            .collect(),
        SplitKind::HalfOfAll => {
            let of_half = |test: u64| {
                let (low, high) = drawn(rows, anomalies, test);
                (low.max(1)..=high).map(move |positives| Sizes {
                    positives,
                    normals: test - positives,
                    train: rows - test - (anomalies - positives),
                })
            };
            let mut sizes: Vec<Sizes> = halves(rows).flat_map(of_half).collect();
            sizes.sort_by_key(|sizes| sizes.positives);
            sizes
        }
    }
}

/// How many of `marked` rows among `rows` fall into a random part of `part` rows: within
/// [`DEVIATIONS`] of the hypergeometric mean.
fn drawn(rows: u64, marked: u64, part: u64) -> Whole {
    let mean = part as f64 * marked as f64 / rows as f64;
    let reach = DEVIATIONS * deviation(rows as f64, marked as f64, part as f64);
    let (low, high) = ((mean - reach).ceil().max(0.0) as u64, (mean + reach).floor() as u64);
    (low.max((marked + part).saturating_sub(rows)), high.min(marked).min(part))
}

/// Standard deviation of the hypergeometric distribution.
fn deviation(rows: f64, marked: f64, part: f64) -> f64 {
    let share = marked / rows;
    let of_finite = if rows > 1.0 { (rows - part) / (rows - 1.0) } else { 0.0 };
    (part * share * (1.0 - share) * of_finite).max(0.0).sqrt()
}

/// How many of `rows` a share flags, whichever way it is rounded and however a percentile is
/// interpolated, if no scores are tied at the threshold.
fn share(top: f64, rows: u64) -> Whole {
    let (exact, slack) = (top * rows as f64, SLACK * rows as f64);
    ((exact + slack).floor() as u64, (exact - slack).ceil().max(0.0) as u64)
}

/// The whole numbers d for which numerator/d prints as `value` does.
fn denominators(numerator: u64, value: Interval) -> Option<Whole> {
    if numerator == 0 {
        return (value.low <= 0.0).then_some((0, u64::MAX));
    }
    let least = (numerator as f64 / value.high).ceil() as u64;
    let most = match value.low > 0.0 {
        true => (numerator as f64 / value.low).floor() as u64,
        false => u64::MAX,
    };
    (least <= most).then_some((least, most))
}

/// A flagging rule on a split.
struct Rule<'a> {
    sizes: &'a [Sizes],
    of: Population,
    top: f64,
}

impl Rule<'_> {
    fn finding(&self, printed: &Printed, protocol: Protocol, runs: Option<u64>) -> Finding {
        let (ratio, counts) = (printed.ratio(), self.ratio());
        let means = Means::new(printed, counts);
        let f1 = printed.f1.unwrap_or(means.f1);
        let (verdict, ground, required, printed_for_it) = if !ratio.meets(counts) {
            (Verdict::Impossible, Ground::Counts, counts, ratio)
        } else if !f1.meets(means.f1) {
            (Verdict::Impossible, Ground::F1, means.f1, f1)
        } else {
            let spread = means.recall_of_runs(runs);
            let flags = self.false_flags(spread.low);
            let verdict = match (runs, &flags) {
                (Some(1), _) => self.single(printed),
                (Some(_) | None, Some(flags)) => means.at_equal_rates(flags, spread.high),
                (Some(_) | None, None) => Verdict::Consistent,
            };
            match (verdict, flags) {
                (Verdict::Impossible, _) => (verdict, Ground::WholeNumbers, counts, ratio),
                (Verdict::Consistent | Verdict::Implausible, None) => {
                    (verdict, Ground::Counts, counts, ratio)
                }
                (Verdict::Consistent | Verdict::Implausible, Some(flags)) => {
                    let low = flags.least_ratio(spread.high);
                    let required = Interval { low, high: flags.most_ratio(means.recall.low) };
                    (verdict, Ground::EqualRates, required, ratio)
                }
            }
        };
        let rates = (ground == Ground::EqualRates).then(|| self.rates(printed)).flatten();
        let (top, stated) = (self.top, false);
        Finding { protocol, top, stated, verdict, ground, required, printed: printed_for_it, rates }
    }

    /// How many test rows may be flagged by the counts alone: those of the training rows may be
    /// all or none.
    fn flagged(&self, sizes: &Sizes) -> Whole {
        let test = sizes.positives + sizes.normals;
        match self.of {
            Population::Test => share(self.top, test),
            Population::TrainAndTest => {
                let (low, high) = share(self.top, test + sizes.train);
                (low.saturating_sub(sizes.train), high.min(test))
            }
            Population::Train => (0, test),
        }
    }

    /// precision/recall = positives/flagged, by the counts alone.
    fn ratio(&self) -> Interval {
        let none = Interval { low: f64::INFINITY, high: 0.0 };
        self.sizes.iter().fold(none, |ratio, sizes| {
            let (least, most) = self.flagged(sizes);
            let positives = sizes.positives as f64;
            // x / 0 is no bound
            Interval {
                low: ratio.low.min(positives / most as f64),
                high: ratio.high.max(positives / least as f64),
            }
        })
    }

    /// A single run is whole numbers: looks for anomalies found and rows flagged that print so.
    fn single(&self, printed: &Printed) -> Verdict {
        let recall = printed.recall();
        let mut verdict = Verdict::Impossible;
        for sizes in self.sizes {
            let positives = sizes.positives as f64;
            let least = (recall.low * positives).ceil() as u64;
            let most = ((recall.high * positives).floor() as u64).min(sizes.positives);
            for found in least..=most {
                let Some(flagged) = self.flagged_with(sizes, found, printed) else { continue };
                if self.at_equal_rates(sizes, found, flagged) {
                    return Verdict::Consistent;
                }
                verdict = Verdict::Implausible;
            }
        }
        verdict
    }

    /// How many flagged rows print as precision and F1 do, with `found` anomalies among them.
    fn flagged_with(&self, sizes: &Sizes, found: u64, printed: &Printed) -> Option<Whole> {
        // nothing flagged has no precision
        let mut flagged = overlap(self.flagged(sizes), (found.max(1), found + sizes.normals))?;
        if let Some(precision) = printed.precision {
            flagged = overlap(flagged, denominators(found, precision)?)?;
        }
        if let Some(f1) = printed.f1 {
            let (least, most) = denominators(2 * found, f1)?;
            let positives = sizes.positives;
            let flags = (least.saturating_sub(positives), most.checked_sub(positives)?);
            flagged = overlap(flagged, flags)?;
        }
        Some(flagged)
    }

    /// Whether one of the numbers of `flagged` is what chance makes of training rows and normal
    /// test rows that are equally likely to be flagged.
    fn at_equal_rates(&self, sizes: &Sizes, found: u64, flagged: Whole) -> bool {
        let with = |(low, high): Whole| overlap((found + low, found + high), flagged).is_some();
        match self.of {
            Population::Test => true,
            Population::TrainAndTest => {
                let normals = sizes.normals + sizes.train;
                let (least, most) = share(self.top, sizes.positives + normals);
                (least.max(found)..=most.min(found + normals))
                    .any(|total| with(drawn(normals, total - found, sizes.normals)))
            }
            Population::Train => {
                let (mean, reach) = self.above_train(sizes);
                with(((mean - reach).max(0.0).ceil() as u64, (mean + reach).floor() as u64))
            }
        }
    }

    /// Normal test rows above a percentile of the training rows: mean, and [`DEVIATIONS`] times the
    /// standard deviation, in which the percentile's own chance counts too.
    fn above_train(&self, sizes: &Sizes) -> (f64, f64) {
        let (normals, train) = (sizes.normals as f64, sizes.train as f64);
        let variance = normals * self.top * (1.0 - self.top) * (1.0 + normals / train);
        (self.top * normals, DEVIATIONS * variance.sqrt())
    }

    /// What equal rates force, for runs that find at least the share `recall` of the anomalies.
    /// `None` where the threshold does not depend on training rows.
    fn false_flags(&self, recall: f64) -> Option<FalseFlags> {
        let of = |sizes: &Sizes| {
            let positives = sizes.positives as f64;
            let (normals, train) = (sizes.normals as f64, sizes.train as f64);
            let (low, high, slope) = match self.of {
                Population::Test => return None,
                Population::TrainAndTest => {
                    let weight = normals / (normals + train);
                    let total = share(self.top, sizes.positives + sizes.normals + sizes.train);
                    let (least, most) = (total.0 as f64, total.1 as f64);
                    // the deviation is largest where half of the rows is flagged
                    let marked = (most - recall * positives).min(0.5 * (normals + train));
                    let reach = DEVIATIONS * deviation(normals + train, marked.max(0.0), normals);
                    (weight * least - reach, weight * most + reach, weight)
                }
                Population::Train => {
                    let (mean, reach) = self.above_train(sizes);
                    (mean - reach, mean + reach, 0.0)
                }
            };
            Some(FalseFlags {
                low: low / positives,
                high: high / positives,
                steepest: slope,
                flattest: slope,
            })
        };
        self.sizes.iter().filter_map(of).reduce(|a, b| FalseFlags {
            low: a.low.min(b.low),
            high: a.high.max(b.high),
            steepest: a.steepest.max(b.steepest),
            flattest: a.flattest.min(b.flattest),
        })
    }

    fn rates(&self, printed: &Printed) -> Option<Rates> {
        let middle = |interval: Interval| (interval.low + interval.high) / 2.0;
        let (precision, recall) = (middle(printed.precision?), middle(printed.recall?));
        let Sizes { positives, normals, train } = *self.sizes.get(self.sizes.len() / 2)?;
        let (positives, normals, train) = (positives as f64, normals as f64, train as f64);
        let flagged = recall * positives / precision;
        let train_share = match self.of {
            Population::Test => return None,
            Population::Train => self.top,
            Population::TrainAndTest => {
                (self.top * (positives + normals + train) - flagged) / train
            }
        };
        let test_normals = (flagged - recall * positives) / normals;
        Some(Rates { train: train_share.clamp(0.0, 1.0), test_normals: test_normals.min(1.0) })
    }
}

/// Flagged normal test rows per anomaly of the test set, if training rows are flagged as often as
/// normal test rows: at least `low` − `steepest`·R, at most `high` − `flattest`·R.
struct FalseFlags {
    low: f64,
    high: f64,
    steepest: f64,
    flattest: f64,
}

impl FalseFlags {
    /// The largest precision/recall at this recall, from P = R / (R + false flags).
    fn most_ratio(&self, recall: f64) -> f64 {
        let most = if self.low > 0.0 {
            1.0 / (self.low + (1.0 - self.steepest) * recall)
        } else {
            f64::INFINITY
        };
        most.min(1.0 / recall)
    }

    fn least_ratio(&self, recall: f64) -> f64 {
        1.0 / (self.high + (1.0 - self.flattest) * recall)
    }
}

/// What means of runs may be whose precision/recall each lie in an interval.
struct Means {
    precision: Interval,
    recall: Interval,
    f1: Interval,
}

impl Means {
    /// As printed, narrowed by that interval. F1 = R·h(P/R) with the concave h(c) = 2c/(1 + c): at
    /// most that of the means, at least what the chord of h over the interval gives.
    fn new(printed: &Printed, ratio: Interval) -> Self {
        let precision = printed.precision.unwrap_or(Interval::UNKNOWN);
        let recall = printed.recall.unwrap_or(Interval::UNKNOWN);
        let narrow = |one: Interval, other: Interval| Interval {
            low: one.low.max(other.low),
            high: one.high.min(other.high),
        };
        let of_precision =
            Interval { low: precision.low / ratio.high, high: precision.high / ratio.low };
        let of_recall = Interval { low: ratio.low * recall.low, high: ratio.high * recall.high };
        let (precision, recall) = (narrow(precision, of_recall), narrow(recall, of_precision));
        let height = |ratio: f64| 2.0 * ratio / (1.0 + ratio);
        let slope = if ratio.high.is_finite() && ratio.high > ratio.low {
            (height(ratio.high) - height(ratio.low)) / (ratio.high - ratio.low)
        } else {
            0.0
        };
        let chord = (height(ratio.low) - slope * ratio.low) * recall.low + slope * precision.low;
        let f1 = Interval {
            low: chord.max(precision.low + recall.low - 1.0) - SLACK,
            high: f1_of(precision.high, recall.high) + SLACK,
        };
        Self { precision, recall, f1 }
    }

    /// Where the recall of each run lies: none is below 0 or above 1.
    fn recall_of_runs(&self, runs: Option<u64>) -> Interval {
        let runs = runs.map_or(f64::INFINITY, |runs| runs as f64);
        Interval {
            low: (1.0 - runs * (1.0 - self.recall.low)).max(0.0),
            high: (runs * self.recall.high).min(1.0),
        }
    }

    /// Whether runs, each with a recall up to `most_recall`, have these means at equal rates. The
    /// largest precision is a concave function of recall, so it bounds means too; the smallest is
    /// one as well, so means are bounded by its chord.
    fn at_equal_rates(&self, flags: &FalseFlags, most_recall: f64) -> Verdict {
        let most = self.recall.high * flags.most_ratio(self.recall.high);
        let least = self.recall.low * flags.least_ratio(most_recall);
        match self.precision.low <= most && least <= self.precision.high {
            true => Verdict::Consistent,
            false => Verdict::Implausible,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::random::{Numbers, Stream};

    fn figure(metric: Metric, value: f64, runs: Option<u64>) -> Figure {
        Figure {
            table: "Table 1".into(),
            dataset: "made-up".into(),
            setting: "a test".into(),
            method: "a method".into(),
            metric,
            value,
            decimals: 4,
            std: None,
            runs,
            status: Status::Verified,
            source: None,
            experiment: None,
            cell: None,
        }
    }

    fn paper(figures: Vec<Figure>, counts: Option<Counts>) -> Paper {
        Paper {
            name: "paper".into(),
            title: "A paper".into(),
            source: "https://example.org".into(),
            margins: BTreeMap::new(),
            counts: counts.map(|counts| ("made-up".into(), counts)).into_iter().collect(),
            test_sets: Vec::new(),
            figures,
            fingerprints: Vec::new(),
        }
    }

    fn checked(values: [f64; 3], runs: Option<u64>, counts: Option<Counts>) -> Check {
        let metrics = [Metric::Precision, Metric::Recall, Metric::F1];
        let figures =
            metrics.iter().zip(values).map(|(&metric, value)| figure(metric, value, runs));
        check(&paper(figures.collect(), counts)).remove(0)
    }

    fn counts(rows: u32, positives: u32, train_normals: Option<u32>, top: f64) -> Counts {
        Counts { rows, positives, train_normals, top, stated: None }
    }

    /// Precision, recall and F1 in units of the last printed digit.
    fn printed([precision, recall, f1]: [u64; 3], decimals: u32) -> Printed {
        let of = |digits: u64| {
            let value = digits as f64 / 10f64.powi(decimals as i32);
            Some(Interval::printed(&Figure { decimals, ..figure(Metric::F1, value, None) }))
        };
        Printed { precision: of(precision), recall: of(recall), f1: of(f1) }
    }

    /// What a fraction prints as: two answers where a half may go either way.
    fn digits(numerator: u64, denominator: u64, decimals: u32) -> Vec<u64> {
        let numerator = numerator * 10u64.pow(decimals);
        let (whole, rest) = (numerator / denominator, numerator % denominator);
        match (2 * rest).cmp(&denominator) {
            std::cmp::Ordering::Less => vec![whole],
            std::cmp::Ordering::Equal => vec![whole, whole + 1],
            std::cmp::Ordering::Greater => vec![whole + 1],
        }
    }

    fn prints(found: u64, flagged: u64, positives: u64, decimals: u32) -> Vec<[u64; 3]> {
        let mut all = Vec::new();
        for precision in digits(found, flagged, decimals) {
            for recall in digits(found, positives, decimals) {
                for f1 in digits(2 * found, flagged + positives, decimals) {
                    all.push([precision, recall, f1]);
                }
            }
        }
        all
    }

    /// Every line that one run can print, with its verdict: by counting in whole numbers, for
    /// the share `part`/`whole`.
    fn possible(
        sizes: &[[u64; 3]],
        of: Population,
        (part, whole): (u64, u64),
        decimals: u32,
    ) -> BTreeMap<[u64; 3], Verdict> {
        let rounded = |rows: u64| (rows * part / whole)..=(rows * part).div_ceil(whole);
        let square = |a: u64, b: u64| (i128::from(a) - i128::from(b)).pow(2);
        let mut lines = BTreeMap::new();
        for &[positives, normals, train] in sizes {
            for found in 0..=positives {
                for false_flags in 0..=normals {
                    let flagged = found + false_flags;
                    let pool = normals + train;
                    let verdicts: Vec<Verdict> = match of {
                        Population::Test => rounded(positives + normals)
                            .filter(|&total| total == flagged)
                            .map(|_| Verdict::Consistent)
                            .collect(),
                        Population::TrainAndTest => rounded(positives + pool)
                            .filter(|&total| total >= flagged && total - flagged <= train)
                            .map(|total| {
                                let marked = total - found;
                                let variance = 16 * normals * marked * (pool - marked) * train;
                                let off = square(false_flags * pool, normals * marked);
                                match off * i128::from(pool - 1) <= i128::from(variance) {
                                    true => Verdict::Consistent,
                                    false => Verdict::Implausible,
                                }
                            })
                            .collect(),
                        Population::Train => {
                            let off = square(false_flags * whole, part * normals);
                            let variance = 16 * normals * part * (whole - part) * pool;
                            match off * i128::from(train) <= i128::from(variance) {
                                true => vec![Verdict::Consistent],
                                false => vec![Verdict::Implausible],
                            }
                        }
                    };
                    let Some(&best) = verdicts.iter().min().filter(|_| flagged > 0) else {
                        continue;
                    };
                    for line in prints(found, flagged, positives, decimals) {
                        let known = lines.entry(line).or_insert(best);
                        *known = best.min(*known);
                    }
                }
            }
        }
        lines
    }

    /// Splits of few rows, all of which lie within four standard deviations.
    fn few(rows: u64, positives: u64, split: SplitKind) -> Vec<[u64; 3]> {
        let normals = rows - positives;
        let mut sizes = Vec::new();
        match split {
            SplitKind::Official => sizes.push([positives, normals, 11]),
            SplitKind::HalfOfNormals => {
                for test in [normals / 2, normals - normals / 2] {
                    sizes.push([positives, test, normals - test]);
                }
            }
            SplitKind::HalfOfAll => {
                for test in [rows / 2, rows - rows / 2] {
                    for drawn in 1..=positives.min(test) {
                        sizes.push([drawn, test - drawn, rows - test - (positives - drawn)]);
                    }
                }
            }
        }
        sizes
    }

    #[test]
    fn one_run_is_consistent_exactly_if_whole_numbers_under_the_rule_print_it() {
        let rules = [Population::Test, Population::TrainAndTest, Population::Train];
        let mut seen = [0; 3];
        for (rows, positives, official, decimals) in [
            (20, 5, None, 4),
            (31, 9, None, 4),
            (27, 8, None, 2),
            (28, 9, Some(11), 4),
            (90, 40, Some(11), 2),
        ] {
            let splits: &[SplitKind] = match official {
                Some(_) => &[SplitKind::Official],
                None => &[SplitKind::HalfOfAll, SplitKind::HalfOfNormals],
            };
            for (part, whole) in [(1, 5), (1, 4), (2, 5)] {
                let counts = counts(rows, positives, official, part as f64 / whole as f64);
                let lines = lines(u64::from(rows), u64::from(positives), decimals);
                for (&split, of) in splits.iter().flat_map(|split| rules.map(|of| (split, of))) {
                    let few = few(u64::from(rows), u64::from(positives), split);
                    let possible = possible(&few, of, (part, whole), decimals);
                    let sizes = sizes(&counts, split);
                    let rule = Rule { sizes: &sizes, of, top: counts.top };
                    for line in lines.iter().chain(possible.keys()) {
                        let protocol = Protocol { split, of };
                        let found = rule.finding(&printed(*line, decimals), protocol, Some(1));
                        let expected = possible.get(line).unwrap_or(&Verdict::Impossible);
                        assert_eq!(found.verdict, *expected, "{line:?} {counts:?} {protocol:?}");
                        seen[found.verdict as usize] += 1;
                    }
                }
            }
        }
        assert!(seen.iter().all(|&count| count > 1000), "{seen:?}");
    }

    /// Lines that whole numbers print under some rule, and their neighbours, which few do.
    fn lines(rows: u64, positives: u64, decimals: u32) -> Vec<[u64; 3]> {
        let mut lines = Vec::new();
        for flagged in 1..=rows / 2 {
            for found in 0..=positives.min(flagged) {
                lines.extend(prints(found, flagged, positives, decimals));
                lines.extend(prints(found, flagged, positives.div_ceil(2).max(found), decimals));
            }
        }
        lines.sort();
        lines.dedup();
        for [precision, recall, f1] in lines.clone() {
            lines.push([precision + 1, recall, f1]);
            lines.push([precision, recall + 1, f1]);
            lines.push([precision, recall, f1 + 1]);
            lines.push([precision, recall, f1.saturating_sub(1)]);
        }
        lines
    }

    #[test]
    fn means_of_any_runs_of_a_protocol_are_never_called_impossible() {
        let mut numbers = Numbers::new(2, Stream::Data, 0);
        let mut within = |low: u64, high: u64| {
            low + (numbers.uniform() * (high - low + 1) as f64).floor() as u64
        };
        for (rows, positives, top) in [(300, 60, 0.2), (1000, 40, 0.05), (64, 20, 0.3)] {
            let counts = counts(rows, positives, None, top);
            for (split, of) in [
                (SplitKind::HalfOfAll, Population::Test),
                (SplitKind::HalfOfAll, Population::TrainAndTest),
                (SplitKind::HalfOfAll, Population::Train),
                (SplitKind::HalfOfNormals, Population::TrainAndTest),
                (SplitKind::HalfOfNormals, Population::Train),
            ] {
                let sizes = sizes(&counts, split);
                let rule = Rule { sizes: &sizes, of, top };
                for repetition in 0..400 {
                    let runs = 2 + repetition % 5;
                    let equal_rates = repetition % 2 == 0;
                    let mut means = [0.0; 3];
                    for _ in 0..runs {
                        let size = sizes[within(0, sizes.len() as u64 - 1) as usize];
                        let (found, flagged) = loop {
                            let found = within(0, size.positives);
                            let (least, most) = rule.flagged(&size);
                            let flagged = within(least, most);
                            let fits = flagged >= found.max(1) && flagged - found <= size.normals;
                            let once = (flagged, flagged);
                            if fits && (!equal_rates || rule.at_equal_rates(&size, found, once)) {
                                break (found, flagged);
                            }
                        };
                        let (found, flagged) = (found as f64, flagged as f64);
                        let positives = size.positives as f64;
                        means[0] += found / flagged / runs as f64;
                        means[1] += found / positives / runs as f64;
                        means[2] += 2.0 * found / (flagged + positives) / runs as f64;
                    }
                    let check = checked(
                        means.map(|mean| (mean * 1e4).round() / 1e4),
                        Some(runs).filter(|_| repetition % 3 > 0),
                        Some(counts.clone()),
                    );
                    let findings = check.protocols.unwrap();
                    let protocol = Protocol { split, of };
                    let verdict =
                        findings.iter().find(|one| one.protocol == protocol).unwrap().verdict;
                    assert_eq!(check.harmonic.unwrap().verdict, Verdict::Consistent);
                    assert_ne!(verdict, Verdict::Impossible, "{means:?} {counts:?} {protocol:?}");
                    if equal_rates {
                        assert_eq!(
                            verdict,
                            Verdict::Consistent,
                            "{means:?} {counts:?} {protocol:?}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn f1_of_one_run_is_the_harmonic_mean_and_a_mean_of_f1s_is_at_most_that_of_the_means() {
        let verdict = |f1: f64, runs| checked([0.9, 0.8, f1], runs, None).harmonic.unwrap().verdict;
        // the harmonic mean is 0.84706
        for runs in [Some(1), Some(20), None] {
            assert_eq!(verdict(0.8471, runs), Verdict::Consistent);
            assert_eq!(verdict(0.8473, runs), Verdict::Impossible);
        }
        assert_eq!(verdict(0.8469, Some(1)), Verdict::Impossible);
        for runs in [Some(20), None] {
            assert_eq!(verdict(0.8469, runs), Verdict::Consistent);
            assert_eq!(verdict(0.7001, runs), Verdict::Consistent);
            assert_eq!(verdict(0.6998, runs), Verdict::Impossible);
        }
    }

    #[test]
    fn without_recall_or_precision_the_other_two_decide() {
        let counts = counts(20_000, 4_000, Some(8_000), 0.2);
        // 4,000 rows flagged, 3,000 of them anomalies
        let of = |metrics: [(Metric, f64); 2], runs| {
            let figures = metrics.map(|(metric, value)| figure(metric, value, runs));
            check(&paper(figures.into(), Some(counts.clone()))).remove(0).protocols.unwrap()
        };
        for runs in [Some(1), Some(20)] {
            for metrics in [
                [(Metric::Precision, 0.75), (Metric::F1, 0.75)],
                [(Metric::Recall, 0.75), (Metric::F1, 0.75)],
            ] {
                assert_eq!(of(metrics, runs)[0].verdict, Verdict::Consistent, "{metrics:?}");
            }
            for metrics in [
                [(Metric::Precision, 0.75), (Metric::F1, 0.7)],
                [(Metric::Recall, 0.75), (Metric::F1, 0.7)],
            ] {
                assert_eq!(of(metrics, runs)[0].verdict, Verdict::Impossible, "{metrics:?}");
            }
        }
    }

    #[test]
    fn few_runs_of_a_low_recall_have_no_single_good_one_among_them() {
        // at equal rates a run with a recall of 0.01 has a precision near 0.011, one that finds all
        // anomalies has 0.71: a mean recall of 0.01 is made of at most one of these in 100
        let counts = counts(5_000, 1_000, Some(4_000), 0.2);
        let of = |runs| {
            let findings = checked([0.0080, 0.0100, 0.0089], runs, Some(counts.clone())).protocols;
            findings.unwrap()[1].verdict
        };
        assert_eq!((of(Some(1)), of(Some(10))), (Verdict::Implausible, Verdict::Implausible));
        assert_eq!((of(Some(1_000)), of(None)), (Verdict::Consistent, Verdict::Consistent));
    }

    #[test]
    fn only_a_single_run_must_be_whole_numbers() {
        // four rows flagged: a precision of 0.6 would be 2.4 of them
        let counts = counts(10, 5, Some(5), 0.4);
        let of = |runs| checked([0.6, 0.48, 0.5333], runs, Some(counts.clone())).protocols.unwrap();
        let one = &of(Some(1))[0];
        assert_eq!((one.verdict, one.ground), (Verdict::Impossible, Ground::WholeNumbers));
        assert_eq!(of(Some(5))[0].verdict, Verdict::Consistent);
    }

    #[test]
    fn an_f1_that_contradicts_precision_and_recall_is_left_out_of_the_protocols() {
        let counts = counts(20_000, 4_000, Some(8_000), 0.2);
        let check = checked([0.75, 0.75, 0.76], Some(20), Some(counts));
        assert_eq!(check.harmonic.unwrap().verdict, Verdict::Impossible);
        assert_eq!(check.protocols.unwrap()[0].verdict, Verdict::Consistent);
    }

    #[test]
    fn lines_are_told_apart_by_table_data_set_setting_and_method() {
        let of = |metric, setting: &str, runs| Figure {
            setting: setting.into(),
            experiment: Some("one".into()),
            ..figure(metric, 0.5, runs)
        };
        let again = Figure {
            experiment: Some("another".into()),
            status: Status::Recalled,
            ..of(Metric::F1, "a", Some(20))
        };
        let paper = paper(
            vec![
                of(Metric::Precision, "a", Some(20)),
                of(Metric::F1, "b", Some(20)),
                of(Metric::F1, "a", Some(20)),
                again,
                of(Metric::Recall, "b", Some(1)),
                of(Metric::Auroc, "c", None),
                of(Metric::F1, "c", None),
            ],
            None,
        );
        let checks = check(&paper);
        let lines: Vec<_> =
            checks.iter().map(|one| (one.setting.as_str(), one.figures.len(), one.runs)).collect();
        assert_eq!(lines, [("a", 2, Some(20)), ("b", 2, None)]);
        assert!(checks.iter().all(|one| one.protocols.is_none() && one.status == Status::Verified));
    }
}
