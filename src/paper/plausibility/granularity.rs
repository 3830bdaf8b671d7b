//! Which test sets can have printed these digits? On a test set of P anomalies and N normal rows a
//! recall is a whole number over P, and the AUROC of flags is (TP/P + TN/N)/2, so a known multiple of it
//! is a whole number. A figure that is printed with enough digits therefore excludes nearly every
//! other pair of counts. The candidates come from the paper's file; the arithmetic and its limits
//! in words: `docs/check-figures.md`.

use serde::Serialize;

use super::SLACK;
use crate::metrics::Metric;
use crate::paper::{Figure, Paper, Status, TestSet};

/// A fit that is expected more often than this by chance says nothing.
pub const CHANCE: f64 = 0.05;

/// Ratios of whole numbers up to this one (0, 1/4, 1/3, 1/2, …) fit so many test sets that a fit says
/// nothing, however many digits are printed.
const SIMPLE: u32 = 4;

/// What digits say about a test set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fit {
    /// Whole numbers of rows of this test set print these digits, and of a random one hardly would.
    Fits,
    /// They do, and those of most other test sets of this size would too.
    CannotTell,
    /// No whole numbers of rows of this test set print these digits.
    Excluded,
}

impl Fit {
    /// The word in tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fits => "fits",
            Self::CannotTell => "cannot tell",
            Self::Excluded => "excluded",
        }
    }
}

/// What the digits of a paper's figures say about the test sets that its file names.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Granularity {
    pub figures: Vec<Digits>,
    /// Each test set held against all of its figures at once, in the file's order; then the batch
    /// sizes that no figure excludes.
    pub test_sets: Vec<Joint>,
}

/// One figure beside the test sets that may have printed it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Digits {
    pub table: String,
    pub dataset: String,
    pub setting: String,
    pub method: String,
    pub metric: Metric,
    /// The digits as typed.
    pub printed: String,
    pub runs: Option<u64>,
    pub status: Status,
    pub test_sets: Vec<Fitting>,
    pub searches: Vec<Search>,
}

impl Digits {
    fn same_line(&self, other: &Self) -> bool {
        (&self.table, &self.dataset, &self.setting, &self.method)
            == (&other.table, &other.dataset, &other.setting, &other.method)
    }
}

/// One figure beside one test set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fitting {
    pub test_set: String,
    pub positives: u64,
    pub negatives: u64,
    pub verdict: Fit,
    /// How many whole numbers (for precision and F1: pairs of them) lie where a random figure of as
    /// many digits is rounded from. `None` where nothing follows: the number of runs is not stated, or
    /// a precision or F1 is a mean.
    pub expected: Option<f64>,
    /// `None` for precision and F1 too, which have no multiple in common.
    pub whole: Option<Whole>,
}

/// The multiple of a figure that must be a whole number.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Whole {
    /// Of the figure; for the AUROC of flags, of 2·AUROC − 1.
    pub multiple: f64,
    pub value: f64,
    /// What rounding can have moved `value` by.
    pub within: f64,
}

/// A test set without its incomplete batches, for every batch size.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Search {
    pub test_set: String,
    /// Sizes from 2 to this one.
    pub up_to: u64,
    /// Sizes that leave no anomaly or no normal row count as excluded.
    pub excluded: u64,
    /// The others, by size.
    pub left: Vec<Batches>,
    /// How many sizes would be called a fit by chance.
    pub expected: f64,
}

/// A batch size that a figure does not exclude, and what is left of the test set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Batches {
    pub size: u64,
    #[serde(flatten)]
    pub fitting: Fitting,
}

/// One test set beside all of its figures.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Joint {
    pub test_set: String,
    /// The batch size, where a search found it.
    pub batches: Option<u64>,
    /// How many figures were held against it.
    pub figures: u64,
    pub verdict: Fit,
    /// The product of what each figure expects by chance, 1 where it cannot tell. Figures of one line
    /// depend on each other: of them the smallest counts.
    pub expected: f64,
    /// Settings of the figures that exclude it.
    pub excluded_by: Vec<String>,
}

/// Holds the figures of `paper` against the test sets of its file. A figure is looked at once, even
/// where it is compared with several experiments.
pub fn check(paper: &Paper) -> Granularity {
    let mut figures: Vec<Digits> = Vec::new();
    for figure in &paper.figures {
        let of_figure = |set: &&TestSet| {
            set.dataset == figure.dataset
                && set.setting.as_ref().is_none_or(|setting| *setting == figure.setting)
        };
        let sets: Vec<&TestSet> = paper.test_sets.iter().filter(of_figure).collect();
        let same = |known: &Digits| {
            (&known.table, &known.dataset, &known.setting, &known.method, known.metric)
                == (&figure.table, &figure.dataset, &figure.setting, &figure.method, figure.metric)
        };
        if !sets.is_empty() && figure.metric != Metric::Auprc && !figures.iter().any(same) {
            figures.push(digits(figure, &sets));
        }
    }
    let mut names: Vec<&str> = Vec::new();
    for set in &paper.test_sets {
        if !names.contains(&set.name.as_str()) {
            names.push(&set.name);
        }
    }
    let mut test_sets: Vec<Joint> = names.iter().filter_map(|name| joint(name, &figures)).collect();
    test_sets.extend(names.iter().flat_map(|name| joint_sizes(name, &figures)));
    Granularity { figures, test_sets }
}

fn digits(figure: &Figure, sets: &[&TestSet]) -> Digits {
    let searched = |set: &&TestSet| Some(search(figure, set, u64::from(set.whole_batches_up_to?)));
    let fitted = |set: &&TestSet| {
        let rows = Rows::of(set);
        rows.fitting(figure, &set.name)
    };
    Digits {
        table: figure.table.clone(),
        dataset: figure.dataset.clone(),
        setting: figure.setting.clone(),
        method: figure.method.clone(),
        metric: figure.metric,
        printed: format!("{:.*}", figure.decimals as usize, figure.value),
        runs: figure.runs,
        status: figure.status,
        test_sets: sets.iter().map(fitted).collect(),
        searches: sets.iter().filter_map(searched).collect(),
    }
}

fn search(figure: &Figure, set: &TestSet, up_to: u64) -> Search {
    let whole = Rows::of(set);
    let mut search =
        Search { test_set: set.name.clone(), up_to, excluded: 0, left: Vec::new(), expected: 0.0 };
    for size in 2..=up_to {
        let rows = Rows {
            positives: whole.positives - whole.positives % size,
            negatives: whole.negatives - whole.negatives % size,
        };
        if rows.positives == 0 || rows.negatives == 0 {
            search.excluded += 1;
            continue;
        }
        let fitting = rows.fitting(figure, &set.name);
        search.expected += fitting.expected.filter(|expected| *expected <= CHANCE).unwrap_or(0.0);
        match fitting.verdict {
            Fit::Excluded => search.excluded += 1,
            Fit::Fits | Fit::CannotTell => search.left.push(Batches { size, fitting }),
        }
    }
    search
}

/// What all figures together say of the test sets of one name.
fn joint(name: &str, figures: &[Digits]) -> Option<Joint> {
    let named = figures.iter().flat_map(|figure| {
        let of_name = figure.test_sets.iter().filter(|one| one.test_set == name);
        of_name.map(move |one| (figure, Some(one)))
    });
    joined(name, None, &named.collect::<Vec<_>>())
}

/// The batch sizes that no figure with such a search excludes.
fn joint_sizes(name: &str, figures: &[Digits]) -> Vec<Joint> {
    let searches: Vec<(&Digits, &Search)> = figures
        .iter()
        .flat_map(|figure| figure.searches.iter().map(move |search| (figure, search)))
        .filter(|(_, search)| search.test_set == name)
        .collect();
    let Some((_, first)) = searches.first() else { return Vec::new() };
    let of_size = |size: u64| {
        let searched = searches.iter().filter(|(_, search)| size <= search.up_to);
        let found = searched.map(|(figure, search)| {
            let batches = search.left.iter().find(|batches| batches.size == size);
            (*figure, batches.map(|batches| &batches.fitting))
        });
        joined(name, Some(size), &found.collect::<Vec<_>>())
    };
    let sizes = first.left.iter().filter_map(|batches| of_size(batches.size));
    sizes.filter(|joint| joint.verdict != Fit::Excluded).collect()
}

/// Without a fitting a figure excludes the test set.
fn joined(name: &str, batches: Option<u64>, all: &[(&Digits, Option<&Fitting>)]) -> Option<Joint> {
    if all.is_empty() {
        return None;
    }
    let excludes =
        |fitting: &Option<&Fitting>| fitting.is_none_or(|fitting| fitting.verdict == Fit::Excluded);
    let excluded_by: Vec<String> = all
        .iter()
        .filter(|(_, fitting)| excludes(fitting))
        .map(|(figure, _)| figure.setting.clone())
        .collect();
    let mut lines: Vec<(&Digits, f64)> = Vec::new();
    for (figure, fitting) in all {
        let Some(fitting) = fitting.filter(|fitting| fitting.verdict == Fit::Fits) else {
            continue;
        };
        let expected = fitting.expected.unwrap_or(1.0);
        match lines.iter_mut().find(|(known, _)| figure.same_line(known)) {
            Some((_, known)) => *known = known.min(expected),
            None => lines.push((figure, expected)),
        }
    }
    let expected: f64 = lines.iter().map(|(_, expected)| expected).product();
    let verdict = match (excluded_by.is_empty(), expected <= CHANCE) {
        (false, _) => Fit::Excluded,
        (true, true) => Fit::Fits,
        (true, false) => Fit::CannotTell,
    };
    let figures = all.len() as u64;
    Some(Joint { test_set: name.to_owned(), batches, figures, verdict, expected, excluded_by })
}

/// Rows of a test set by label.
#[derive(Debug, Clone, Copy)]
struct Rows {
    positives: u64,
    negatives: u64,
}

/// Where the unrounded figure lies.
#[derive(Debug, Clone, Copy)]
struct Window {
    value: f64,
    within: f64,
}

impl Window {
    fn of(figure: &Figure) -> Self {
        Self { value: figure.value, within: figure.rounding() + SLACK }
    }

    fn low(self) -> f64 {
        self.value - self.within
    }

    fn high(self) -> f64 {
        self.value + self.within
    }

    fn scaled(self, factor: f64) -> Self {
        Self { value: factor * self.value, within: factor * self.within }
    }

    /// Whether a whole number from `least` to `most` lies within.
    fn holds_whole(self, least: f64, most: f64) -> bool {
        self.low().max(least).ceil() <= self.high().min(most)
    }

    fn holds_any_whole(self) -> bool {
        self.holds_whole(f64::NEG_INFINITY, f64::INFINITY)
    }

    /// Whether a ratio of numbers up to [`SIMPLE`] lies within.
    fn is_simple(self) -> bool {
        (1..=SIMPLE).any(|denominator| self.scaled(f64::from(denominator)).holds_any_whole())
    }
}

impl Rows {
    fn of(set: &TestSet) -> Self {
        Self { positives: u64::from(set.positives), negatives: u64::from(set.negatives) }
    }

    fn fitting(self, figure: &Figure, test_set: &str) -> Fitting {
        let printed = Window::of(figure);
        let (found, whole) = match (figure.metric, figure.runs) {
            (Metric::Auprc, _) | (_, None) => (None, None),
            (Metric::Recall, Some(runs)) => self.recall(printed, runs),
            (Metric::Auroc, Some(runs)) => self.auroc(printed, runs),
            (Metric::AurocOfFlags, Some(runs)) => self.auroc_of_flags(printed, runs),
            (Metric::Precision, Some(1)) => (Some(self.fraction(printed, 1, 0)), None),
            (Metric::F1, Some(1)) => (Some(self.fraction(printed, 2, self.positives)), None),
            // sums of fractions with denominators of their own
            (Metric::Precision | Metric::F1, Some(_)) => (None, None),
        };
        let verdict = match &found {
            Some(found) if !found.any => Fit::Excluded,
            Some(found) if found.expected <= CHANCE && !printed.is_simple() => Fit::Fits,
            Some(_) | None => Fit::CannotTell,
        };
        let Self { positives, negatives } = self;
        let (test_set, expected) = (test_set.to_owned(), found.map(|found| found.expected));
        Fitting { test_set, positives, negatives, verdict, expected, whole }
    }

    /// TP/P; a mean over runs is a whole number over runs·P.
    fn recall(self, printed: Window, runs: u64) -> (Option<Found>, Option<Whole>) {
        lattice(printed, self.positives as f64 * runs as f64)
    }

    /// Pairs of an anomaly and a normal row in the right order, ties counted half, over P·N.
    fn auroc(self, printed: Window, runs: u64) -> (Option<Found>, Option<Whole>) {
        let pairs = self.positives as f64 * self.negatives as f64;
        lattice(printed, 2.0 * pairs * runs as f64)
    }

    /// (TP/P + TN/N)/2, so 2·AUROC − 1 is a whole number over the least common multiple.
    fn auroc_of_flags(self, printed: Window, runs: u64) -> (Option<Found>, Option<Whole>) {
        let common = self.positives / gcd(self.positives, self.negatives);
        let multiple = common as f64 * self.negatives as f64 * runs as f64;
        let gain = Window { value: 2.0 * printed.value - 1.0, within: 2.0 * printed.within };
        let (found, whole) = lattice(gain, multiple);
        let attained = |found: Found| Found {
            any: found.any && (runs > 1 || self.rates_add_up(gain)),
            ..found
        };
        (found.map(attained), whole)
    }

    /// Whether there are TP up to P and TN up to N for TP/P + TN/N − 1.
    fn rates_add_up(self, gain: Window) -> bool {
        let (positives, negatives) = (self.positives as f64, self.negatives as f64);
        (0..=self.positives).any(|found| {
            let rest = Window { value: gain.value + 1.0 - found as f64 / positives, ..gain };
            rest.scaled(negatives).holds_whole(0.0, negatives)
        })
    }

    /// Precision, TP/flagged, or F1, 2 TP/(flagged + P): `times`·TP over flagged + `more`, for any number
    /// of flagged rows. `expected` is counted up to where it tells nothing any more.
    fn fraction(self, printed: Window, times: u64, more: u64) -> Found {
        let mut found = Found { any: printed.low() <= 0.0, expected: 0.0 };
        for hits in 1..=self.positives {
            let (low, high) = ((hits + more) as f64, (hits + self.negatives + more) as f64);
            let numerator = (times * hits) as f64;
            let least = (numerator / printed.high()).max(low);
            let most = (numerator / printed.low().max(f64::MIN_POSITIVE)).min(high);
            if least <= most {
                found.expected += most - least;
                found.any |= least.ceil() <= most.floor();
            }
            if found.any && found.expected > 1.0 {
                break;
            }
        }
        found
    }
}

/// Whether whole numbers print a figure, and how many would be expected to.
#[derive(Debug, Clone, Copy)]
struct Found {
    any: bool,
    expected: f64,
}

fn lattice(window: Window, multiple: f64) -> (Option<Found>, Option<Whole>) {
    let scaled = window.scaled(multiple);
    let found = Found { any: scaled.holds_any_whole(), expected: 2.0 * scaled.within };
    let whole = Whole { multiple, value: scaled.value, within: scaled.within };
    (Some(found), Some(whole))
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn figure(metric: Metric, value: f64, decimals: u32, runs: Option<u64>) -> Figure {
        Figure {
            table: "Table 1".into(),
            dataset: "made-up".into(),
            setting: "made-up".into(),
            method: "made-up".into(),
            metric,
            value,
            decimals,
            std: None,
            runs,
            status: Status::Verified,
            source: None,
            experiment: None,
            cell: None,
        }
    }

    fn verdict(rows: Rows, metric: Metric, digits: u64, decimals: u32, runs: u64) -> Fitting {
        let value = digits as f64 / 10f64.powi(decimals as i32);
        rows.fitting(&figure(metric, value, decimals, Some(runs)), "made-up")
    }

    /// How numerator/denominator prints; a half is rounded either way.
    fn printed(numerator: u64, denominator: u64, decimals: u32) -> Vec<u64> {
        let numerator = numerator * 10u64.pow(decimals);
        let (whole, rest) = (numerator / denominator, numerator % denominator);
        match (2 * rest).cmp(&denominator) {
            std::cmp::Ordering::Less => vec![whole],
            std::cmp::Ordering::Equal => vec![whole, whole + 1],
            std::cmp::Ordering::Greater => vec![whole + 1],
        }
    }

    /// Everything that one run on these rows can print.
    fn possible(rows: Rows, metric: Metric, decimals: u32) -> BTreeSet<u64> {
        let Rows { positives, negatives } = rows;
        let pairs = positives * negatives;
        let mut all = BTreeSet::new();
        let mut print =
            |numerator, denominator| all.extend(printed(numerator, denominator, decimals));
        for hits in 0..=positives {
            for false_flags in 0..=negatives {
                let right = negatives - false_flags;
                match metric {
                    Metric::Recall => print(hits, positives),
                    Metric::Precision if hits + false_flags > 0 => print(hits, hits + false_flags),
                    Metric::F1 => print(2 * hits, hits + false_flags + positives),
                    Metric::AurocOfFlags => print(hits * negatives + right * positives, 2 * pairs),
                    Metric::Precision | Metric::Auroc | Metric::Auprc => {}
                }
            }
        }
        if metric == Metric::Auroc {
            (0..=2 * pairs).for_each(|half_pairs| print(half_pairs, 2 * pairs));
        }
        all
    }

    const METRICS: [Metric; 5] =
        [Metric::Precision, Metric::Recall, Metric::F1, Metric::Auroc, Metric::AurocOfFlags];

    #[test]
    fn one_run_is_excluded_exactly_if_no_whole_numbers_print_it() {
        let mut seen = [0; 3];
        for (positives, negatives) in [(1, 1), (3, 7), (5, 5), (6, 9), (12, 8), (2, 31)] {
            let rows = Rows { positives, negatives };
            for metric in METRICS {
                for decimals in [2, 4] {
                    let possible = possible(rows, metric, decimals);
                    for digits in 0..=10u64.pow(decimals) {
                        let found = verdict(rows, metric, digits, decimals, 1);
                        let excluded = found.verdict == Fit::Excluded;
                        assert_eq!(
                            excluded,
                            !possible.contains(&digits),
                            "{metric:?} {digits} {found:?}"
                        );
                        seen[found.verdict as usize] += 1;
                    }
                }
            }
        }
        assert!(seen.iter().all(|&count| count > 50), "{seen:?}");
    }

    #[test]
    fn what_is_expected_by_chance_is_how_many_figures_fit() {
        for (positives, negatives, metric, low, high) in [
            (4_000, 9_000, Metric::Recall, 0, 99_999),
            (48, 125, Metric::AurocOfFlags, 40_000, 60_000),
            (60, 80, Metric::AurocOfFlags, 40_000, 60_000),
            (30, 40, Metric::Auroc, 0, 99_999),
        ] {
            let rows = Rows { positives, negatives };
            let found: Vec<Fitting> =
                (low..=high).map(|digits| verdict(rows, metric, digits, 5, 1)).collect();
            let fit = found.iter().filter(|one| one.verdict != Fit::Excluded).count();
            let share = fit as f64 / found.len() as f64;
            let expected = found[0].expected.unwrap();
            // somewhat fewer, where no hits and misses make some of the whole numbers
            let ratio = share / expected;
            assert!((0.9..1.05).contains(&ratio), "{metric:?}: {share}, {expected}");
        }
    }

    #[test]
    fn a_mean_over_runs_is_a_whole_number_over_all_their_rows() {
        let rows = Rows { positives: 7, negatives: 9 };
        // (2/7 + 3/7)/2 = 5/14
        assert_eq!(verdict(rows, Metric::Recall, 357_143, 6, 1).verdict, Fit::Excluded);
        let two = verdict(rows, Metric::Recall, 357_143, 6, 2);
        assert_eq!((two.verdict, two.whole.unwrap().multiple), (Fit::Fits, 14.0));
        assert_eq!(verdict(rows, Metric::Recall, 357_143, 6, 3).verdict, Fit::Excluded);
        for metric in [Metric::Precision, Metric::F1] {
            let mean = verdict(rows, metric, 357_143, 6, 2);
            assert_eq!((mean.verdict, mean.expected), (Fit::CannotTell, None));
        }
        let unknown = rows.fitting(&figure(Metric::Recall, 0.123_456, 6, None), "made-up");
        assert_eq!((unknown.verdict, unknown.expected), (Fit::CannotTell, None));
    }

    #[test]
    fn ratios_that_most_test_sets_have_and_few_digits_tell_nothing() {
        let rows = Rows { positives: 12, negatives: 36 };
        for digits in [0, 250_000, 333_333, 500_000, 750_000, 1_000_000] {
            let found = verdict(rows, Metric::Recall, digits, 6, 1);
            assert_eq!(found.verdict, Fit::CannotTell, "{digits}");
        }
        assert_eq!(verdict(rows, Metric::Recall, 416_667, 6, 1).verdict, Fit::Fits);
        assert_eq!(verdict(rows, Metric::Recall, 42, 2, 1).verdict, Fit::CannotTell);
    }
}
