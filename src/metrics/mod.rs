//! Thresholds and metrics over slices: scores and labels in, flags and figures out. A score is
//! higher for a more anomalous row, a label is true for an anomaly, anomalies are the positive
//! class. Definitions and tie rules: `docs/metrics.md`. Knows neither tensors nor files.

use std::collections::BTreeMap;
use std::ops::{Index, IndexMut};

use schemars::JsonSchema;
use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, Result};
use crate::stats;
use crate::words::words;

/// Test rows by label and flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Anomalies flagged.
    pub tp: u64,
    /// Normal rows flagged.
    pub fp: u64,
    /// Anomalies not flagged.
    #[serde(rename = "fn")]
    pub fn_: u64,
    /// Normal rows not flagged.
    pub tn: u64,
}

impl Counts {
    /// A metric that follows from counts, `Some(None)` where its definition divides by zero; `None` for
    /// those of scores.
    pub fn metric(&self, metric: Metric) -> Option<Option<f64>> {
        let Self { tp, fp, fn_, tn } = *self;
        // flags are scores with two values: flagged anomalies beat unflagged normal rows, equal
        // flags count half
        let flags = || {
            auroc(&[
                Tied { score: 1.0, anomalies: tp, normals: fp },
                Tied { score: 0.0, anomalies: fn_, normals: tn },
            ])
        };
        match metric {
            Metric::Precision => Some(ratio(tp, tp + fp)),
            Metric::Recall => Some(ratio(tp, tp + fn_)),
            Metric::F1 => Some(ratio(2 * tp, 2 * tp + fp + fn_)),
            Metric::AurocOfFlags => Some(flags()),
            Metric::Auroc | Metric::Auprc => None,
        }
    }

    /// Whether no sum or product of them leaves u64.
    fn are_sound(&self) -> bool {
        [self.tp, self.fp, self.fn_, self.tn].iter().all(|&count| count <= u64::from(u32::MAX))
    }
}

words! {
    /// The metrics that tables are made of, each in [0, 1].
    pub enum Metric {
        /// tp / (tp + fp); undefined when nothing is flagged.
        Precision = "precision",
        /// tp / (tp + fn); undefined without anomalies.
        Recall = "recall",
        /// 2 tp / (2 tp + fp + fn); undefined when nothing is flagged and there is no anomaly.
        F1 = "f1",
        /// Area under the ROC curve of the scores, ties counted half; undefined with one class.
        Auroc = "auroc",
        /// Average precision of the scores, no interpolation; undefined without anomalies.
        Auprc = "auprc",
        /// Area under the ROC curve of the 0/1 flags, which some sources print as "AUROC".
        AurocOfFlags = "auroc_of_flags",
    }
}

/// The value of every metric of one run; `None` where its definition divides by zero, never NaN.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metrics([Option<f64>; Metric::ALL.len()]);

impl Metrics {
    /// Makes each metric's value by a function of the metric.
    pub fn from_fn(value: impl FnMut(Metric) -> Option<f64>) -> Self {
        Self(Metric::ALL.map(value))
    }

    /// Makes each metric's value by a function that may fail.
    ///
    /// # Errors
    /// The first one of `value`.
    pub fn try_from_fn(mut value: impl FnMut(Metric) -> Result<Option<f64>>) -> Result<Self> {
        let mut metrics = Self::default();
        for metric in Metric::ALL {
            metrics[metric] = value(metric)?;
        }
        Ok(metrics)
    }

    /// Names the first metric that lies outside [0, 1] or is not what the counts give, and why.
    pub fn fault(&self, counts: Option<&Counts>) -> Option<String> {
        if counts.is_some_and(|counts| !counts.are_sound()) {
            return Some("counts: more than 4,294,967,295 rows".to_owned());
        }
        Metric::ALL.into_iter().find_map(|metric| {
            let (name, found) = (metric.as_str(), self[metric]);
            if let Some(value) = found.filter(|value| !(0.0..=1.0).contains(value)) {
                return Some(format!("{name}: {value} is not between 0 and 1"));
            }
            let given = counts?.metric(metric)?;
            let same = match (found, given) {
                (Some(found), Some(given)) => (found - given).abs() <= 1e-12,
                (found, given) => found == given,
            };
            let number = |value: Option<f64>| {
                value.map_or("undefined".to_owned(), |value| value.to_string())
            };
            (!same).then(|| {
                format!("{name}: {} is not what the counts give, {}", number(found), number(given))
            })
        })
    }
}

impl Index<Metric> for Metrics {
    type Output = Option<f64>;

    fn index(&self, metric: Metric) -> &Self::Output {
        &self.0[metric as usize]
    }
}

impl IndexMut<Metric> for Metrics {
    fn index_mut(&mut self, metric: Metric) -> &mut Self::Output {
        &mut self.0[metric as usize]
    }
}

/// As a struct with one field a metric.
impl Serialize for Metrics {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Metrics", Metric::ALL.len())?;
        for metric in Metric::ALL {
            fields.serialize_field(metric.as_str(), &self[metric])?;
        }
        fields.end()
    }
}

/// A metric that is not there has no value: the file is of a time before it. An unknown one is an error.
impl<'de> Deserialize<'de> for Metrics {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let values = BTreeMap::<Metric, Option<f64>>::deserialize(deserializer)?;
        Ok(Self::from_fn(|metric| values.get(&metric).copied().flatten()))
    }
}

/// How scores become flags. In an experiment file `{ top = 0.2, of = "test" }`, `{ value = 0.3 }`
/// `{ anomaly-count = true }` or `{ best-f1 = true }`; any other key or combination is refused.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "RuleTable", into = "RuleTable")]
pub enum ThresholdRule {
    /// A share, in (0, 1), of a population of rows.
    Top { top: f64, of: Population },
    /// Flags scores above this finite value.
    Value(f64),
    /// Flags as many test rows as there are anomalies among them, those with the highest scores, so that
    /// precision, recall and F1 are one number (GOAD's rule: Bergman and Hoshen, 2020). It looks at the test
    /// labels, for their number only.
    AnomalyCount,
    /// The threshold with the largest F1, which looks at the test labels: an upper bound on
    /// what a threshold can do, not a detector anyone could use.
    BestF1,
}

/// The rows whose scores place a `top` threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Population {
    /// The test rows: exactly round(top · n) of them are flagged.
    Test,
    /// Training and test rows together: flagged above their percentile.
    TrainAndTest,
    /// The training rows: flagged above their percentile.
    Train,
}

// `ThresholdRule` as its TOML and JSON table spells it
/// How scores become flags: `{ top = 0.2, of = "test" }`, `{ value = 0.3 }`,
/// `{ anomaly-count = true }` or `{ best-f1 = true }`.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RuleTable {
    /// The share of rows that is flagged, in (0, 1); with `of`.
    #[serde(skip_serializing_if = "Option::is_none")]
    top: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    of: Option<Population>,
    /// Scores above this are flagged.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<f64>,
    /// As many test rows are flagged as there are anomalies among them, which takes the test labels to know.
    #[serde(skip_serializing_if = "Option::is_none")]
    anomaly_count: Option<bool>,
    /// The threshold with the largest F1, which looks at the test labels: an upper bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    best_f1: Option<bool>,
}

impl TryFrom<RuleTable> for ThresholdRule {
    type Error = String;

    fn try_from(table: RuleTable) -> std::result::Result<Self, String> {
        let RuleTable { top, of, value, anomaly_count, best_f1 } = table;
        match (top, of, value, anomaly_count, best_f1) {
            (Some(top), Some(of), None, None, None) if top > 0.0 && top < 1.0 => {
                Ok(Self::Top { top, of })
            }
            (Some(top), Some(_), None, None, None) => Err(format!(
                "threshold: top = {top} is not a share between 0 and 1 (0.2 flags a fifth)"
            )),
            (Some(_), None, None, None, None) => {
                Err("threshold: top needs the rows it is a share of: \
                add of = \"test\", \"train-and-test\" or \"train\""
                    .into())
            }
            (None, None, Some(value), None, None) if value.is_finite() => Ok(Self::Value(value)),
            (None, None, Some(value), None, None) => {
                Err(format!("threshold: value = {value} is not a finite number"))
            }
            (None, None, None, Some(true), None) => Ok(Self::AnomalyCount),
            (None, None, None, None, Some(true)) => Ok(Self::BestF1),
            (None, None, None, Some(false), None) => Err(no_rule("anomaly-count")),
            (None, None, None, None, Some(false)) => Err(no_rule("best-f1")),
            (_, _, _, _, _) => Err("threshold: exactly one rule is needed: \
                { top = 0.2, of = \"test\" }, { value = 0.3 }, { anomaly-count = true } or \
                { best-f1 = true }"
                .into()),
        }
    }
}

fn no_rule(key: &str) -> String {
    format!("threshold: {key} = false chooses no rule: write {key} = true or another rule")
}

impl From<ThresholdRule> for RuleTable {
    fn from(rule: ThresholdRule) -> Self {
        let empty = Self { top: None, of: None, value: None, anomaly_count: None, best_f1: None };
        match rule {
            ThresholdRule::Top { top, of } => Self { top: Some(top), of: Some(of), ..empty },
            ThresholdRule::Value(value) => Self { value: Some(value), ..empty },
            ThresholdRule::AnomalyCount => Self { anomaly_count: Some(true), ..empty },
            ThresholdRule::BestF1 => Self { best_f1: Some(true), ..empty },
        }
    }
}

/// What a [`ThresholdRule`] did.
#[derive(Debug, Clone, PartialEq)]
pub struct Flagged {
    /// The lowest flagged score for `top … of test`, `anomaly-count` and `best-f1` (+∞ when nothing is flagged);
    /// the value that flagged scores exceed for the other rules.
    pub threshold: f64,
    /// One flag for each test row, in the order of the scores.
    pub flags: Vec<bool>,
}

/// Flags test rows by `rule`. `test` and `labels` run over the test rows, `train` over the scores
/// of the training rows; only `anomaly-count` and `best-f1` look at `labels`, only two populations at `train`.
///
/// `top … of test` flags exactly round-half-up(top · n) rows, `anomaly-count` as many as there are anomalies; among
/// rows tied at the boundary the first ones in the slice are flagged. Callers pass test rows in the split's random order, so
/// that is a random choice made by the seed. The other rules treat tied rows alike.
///
/// # Errors
/// A NaN score, by its row; slices of different lengths; an empty population; a percentile
/// between −∞ and +∞; `best-f1` without an anomaly.
pub fn flag(rule: &ThresholdRule, test: &[f64], labels: &[bool], train: &[f64]) -> Result<Flagged> {
    check_lengths("labels", labels.len(), test.len())?;
    check_scores("test", test)?;
    check_scores("training", train)?;
    match *rule {
        ThresholdRule::Top { top, of: Population::Test } => {
            Ok(flag_highest(top_rows(top, test.len()), test))
        }
        ThresholdRule::Top { top, of: Population::TrainAndTest } => {
            flag_above(percentile(top, [train, test].concat(), "train-and-test")?, test)
        }
        ThresholdRule::Top { top, of: Population::Train } => {
            flag_above(percentile(top, train.to_vec(), "train")?, test)
        }
        ThresholdRule::Value(value) => flag_above(value, test),
        ThresholdRule::AnomalyCount => {
            Ok(flag_highest(labels.iter().filter(|&&label| label).count(), test))
        }
        ThresholdRule::BestF1 => flag_best_f1(test, labels),
    }
}

/// The number of rows that are the `top` share of `rows`: round half up. A share such as 0.145
/// is a decimal that someone wrote, and 0.145 · 100 in f64 falls short of the half it stands
/// for: the 1e-9 restores it.
fn top_rows(top: f64, rows: usize) -> usize {
    ((top * rows as f64 + 0.5 + 1e-9).floor() as usize).min(rows)
}

fn flag_highest(flagged: usize, test: &[f64]) -> Flagged {
    let mut flags = vec![false; test.len()];
    if flagged == 0 {
        return Flagged { threshold: f64::INFINITY, flags };
    }
    let mut order: Vec<usize> = (0..test.len()).collect();
    let descending =
        |a: &usize, b: &usize| ordered(test[*b]).total_cmp(&ordered(test[*a])).then(a.cmp(b));
    let (_, last, _) = order.select_nth_unstable_by(flagged - 1, descending);
    let threshold = test[*last];
    for &row in &order[..flagged] {
        flags[row] = true;
    }
    Flagged { threshold, flags }
}

fn percentile(top: f64, population: Vec<f64>, name: &str) -> Result<f64> {
    if population.is_empty() {
        return Err(Error::Failed(format!("threshold of {name}: there is no row to rank")));
    }
    // as numpy.percentile(population, 100 * (1 - top)) computes its share
    let share = 100.0 * (1.0 - top) / 100.0;
    stats::quantile(population, share).ok_or_else(|| {
        Error::Failed(format!(
            "threshold of {name}: the percentile lies between the scores -inf and inf"
        ))
    })
}

fn flag_above(threshold: f64, test: &[f64]) -> Result<Flagged> {
    Ok(Flagged { threshold, flags: test.iter().map(|&score| score > threshold).collect() })
}

fn flag_best_f1(test: &[f64], labels: &[bool]) -> Result<Flagged> {
    let anomalies = labels.iter().filter(|&&label| label).count() as u64;
    if anomalies == 0 {
        return Err(Error::Failed(
            "threshold best-f1: the test rows hold no anomaly, so no F1 can be best".into(),
        ));
    }
    // F1 = 2 tp / (flagged + anomalies), compared as fractions so that equal ones are equal
    let (mut tp, mut flagged) = (0, 0);
    let (mut best_tp, mut best_total, mut threshold) = (0u64, 1u64, f64::INFINITY);
    for tied in tied_groups(test, labels) {
        tp += tied.anomalies;
        flagged += tied.anomalies + tied.normals;
        if tp * best_total > best_tp * (flagged + anomalies) {
            (best_tp, best_total, threshold) = (tp, flagged + anomalies, tied.score);
        }
    }
    Ok(Flagged { threshold, flags: test.iter().map(|&score| score >= threshold).collect() })
}

/// Counts and figures of one run from the scores, labels and flags of its test rows.
///
/// # Errors
/// A NaN score, by its row; slices of different lengths.
pub fn evaluate(scores: &[f64], labels: &[bool], flags: &[bool]) -> Result<(Counts, Metrics)> {
    check_lengths("labels", labels.len(), scores.len())?;
    check_lengths("flags", flags.len(), scores.len())?;
    check_scores("test", scores)?;
    let counts = count(labels, flags);
    let groups = tied_groups(scores, labels);
    let metrics = Metrics::from_fn(|metric| match metric {
        Metric::Precision | Metric::Recall | Metric::F1 | Metric::AurocOfFlags => {
            counts.metric(metric).flatten()
        }
        Metric::Auroc => auroc(&groups),
        Metric::Auprc => average_precision(&groups),
    });
    Ok((counts, metrics))
}

fn count(labels: &[bool], flags: &[bool]) -> Counts {
    let mut counts = Counts { tp: 0, fp: 0, fn_: 0, tn: 0 };
    for (&label, &flag) in labels.iter().zip(flags) {
        match (label, flag) {
            (true, true) => counts.tp += 1,
            (false, true) => counts.fp += 1,
            (true, false) => counts.fn_ += 1,
            (false, false) => counts.tn += 1,
        }
    }
    counts
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// Rows with one score.
struct Tied {
    score: f64,
    anomalies: u64,
    normals: u64,
}

/// Rows by score, from the highest down.
fn tied_groups(scores: &[f64], labels: &[bool]) -> Vec<Tied> {
    let mut rows: Vec<(f64, bool)> =
        scores.iter().map(|&score| ordered(score)).zip(labels.iter().copied()).collect();
    rows.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    rows.chunk_by(|a, b| a.0 == b.0)
        .map(|tied| {
            let anomalies = tied.iter().filter(|(_, label)| *label).count() as u64;
            Tied { score: tied[0].0, anomalies, normals: tied.len() as u64 - anomalies }
        })
        .collect()
}

/// The probability that an anomaly outscores a normal row, ties counting half (Mann and Whitney,
/// 1947): exact integers until the last division.
fn auroc(descending: &[Tied]) -> Option<f64> {
    let anomalies: u64 = descending.iter().map(|tied| tied.anomalies).sum();
    let normals: u64 = descending.iter().map(|tied| tied.normals).sum();
    let mut normals_below = normals;
    let mut half_wins = 0;
    for tied in descending {
        normals_below -= tied.normals;
        half_wins += tied.anomalies * (2 * normals_below + tied.normals);
    }
    ratio(half_wins, 2 * anomalies * normals)
}

/// Σ (recall step) · precision over the distinct thresholds, as scikit-learn's
/// `average_precision_score`.
fn average_precision(descending: &[Tied]) -> Option<f64> {
    let anomalies: u64 = descending.iter().map(|tied| tied.anomalies).sum();
    let (mut tp, mut flagged, mut sum) = (0, 0, 0.0);
    for tied in descending {
        tp += tied.anomalies;
        flagged += tied.anomalies + tied.normals;
        sum += tied.anomalies as f64 * (tp as f64 / flagged as f64);
    }
    (anomalies > 0).then(|| sum / anomalies as f64)
}

/// Makes −0 equal to 0 under `total_cmp`.
fn ordered(score: f64) -> f64 {
    score + 0.0
}

fn check_lengths(what: &str, found: usize, rows: usize) -> Result<()> {
    if found == rows {
        return Ok(());
    }
    Err(Error::Failed(format!("{found} {what} for {rows} scores: each row needs one of each")))
}

fn check_scores(which: &str, scores: &[f64]) -> Result<()> {
    match scores.iter().position(|score| score.is_nan()) {
        None => Ok(()),
        Some(row) => Err(Error::Failed(format!(
            "the score of {which} row {row} (counted from 0) is NaN and cannot be ranked"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INF: f64 = f64::INFINITY;

    fn top(top: f64, of: Population) -> ThresholdRule {
        ThresholdRule::Top { top, of }
    }

    fn flags(rule: ThresholdRule, test: &[f64], train: &[f64]) -> Vec<bool> {
        flag(&rule, test, &vec![false; test.len()], train).unwrap().flags
    }

    #[test]
    fn top_of_test_flags_exactly_the_rounded_share_and_the_first_of_the_tied() {
        let rule = top(0.5, Population::Test);
        assert_eq!(flags(rule, &[1.0; 5], &[]), [true, true, true, false, false]);
        assert_eq!(flags(rule, &[0.0, -0.0, -1.0, 2.0], &[]), [true, false, false, true]);
        assert_eq!(flags(rule, &[-INF, INF, INF, 0.0], &[]), [false, true, true, false]);
        for rows in 1..200 {
            let scores: Vec<f64> = (0..rows).map(|row| (row % 7) as f64).collect();
            let flagged = flags(top(0.2, Population::Test), &scores, &[]);
            let expected = (2 * rows + 5) / 10;
            assert_eq!(flagged.iter().filter(|&&flag| flag).count(), expected, "{rows} rows");
        }
    }

    #[test]
    fn a_half_row_is_rounded_up_although_f64_falls_short_of_it() {
        // 0.145 · 100 = 14.499999999999998 in f64
        assert_eq!(top_rows(0.145, 100), 15);
        assert_eq!(top_rows(0.2, 247_011), 49_402);
        assert_eq!(top_rows(0.9999, 1), 1);
    }

    #[test]
    fn top_of_test_reports_its_lowest_flagged_score() {
        let flagged = |top| {
            let rule = ThresholdRule::Top { top, of: Population::Test };
            flag(&rule, &[3.0, 1.0, 2.0], &[false; 3], &[]).unwrap()
        };
        assert_eq!(flagged(0.67).threshold, 2.0);
        assert_eq!(flagged(0.1), Flagged { threshold: INF, flags: vec![false; 3] });
    }

    #[test]
    fn percentile_rules_flag_nothing_that_ties_with_the_percentile() {
        let rule = top(0.5, Population::TrainAndTest);
        assert_eq!(flags(rule, &[1.0, 1.0, 1.0], &[1.0, 1.0]), [false; 3]);
        assert_eq!(flags(rule, &[2.0, 3.0], &[0.0, 1.0, 2.0]), [false, true]);
        assert_eq!(flags(top(0.5, Population::Train), &[0.4, 0.6], &[0.0, 1.0]), [false, true]);
        assert_eq!(flags(ThresholdRule::Value(0.3), &[0.3, 0.30001], &[]), [false, true]);
    }

    #[test]
    fn best_f1_takes_the_fewest_flagged_among_equal_thresholds() {
        // one anomaly of one flagged: 2/(1+3); three of five: 6/(5+3) is the best
        let labels = [true, false, false, true, true, false];
        let scores = [6.0, 5.0, 4.0, 3.0, 2.0, 1.0];
        let flagged = flag(&ThresholdRule::BestF1, &scores, &labels, &[]).unwrap();
        assert_eq!(flagged.threshold, 2.0);
        assert_eq!(flagged.flags, [true, true, true, true, true, false]);
        // 2/(1+2) for one flagged, 4/(4+2) for four: equal
        let labels = [true, false, false, true];
        let flagged = flag(&ThresholdRule::BestF1, &[4.0, 3.0, 2.0, 1.0], &labels, &[]).unwrap();
        assert_eq!(flagged.flags, [true, false, false, false]);
    }

    #[test]
    fn as_many_rows_are_flagged_as_there_are_anomalies() {
        let labels = [false, true, false, true, true];
        let rule = ThresholdRule::AnomalyCount;
        let flagged = flag(&rule, &[5.0, 4.0, 4.0, 4.0, 1.0], &labels, &[]).unwrap();
        // two of three tied rows: the first ones
        assert_eq!(
            (flagged.threshold, &flagged.flags[..]),
            (4.0, &[true, true, true, false, false][..])
        );
        let (_, metrics) = evaluate(&[5.0, 4.0, 4.0, 4.0, 1.0], &flagged.flags, &labels).unwrap();
        for metric in [Metric::Precision, Metric::Recall, Metric::F1] {
            assert_eq!(metrics[metric], Some(1.0 / 3.0), "{metric:?}");
        }
        let nothing = flag(&rule, &[1.0, 2.0], &[false, false], &[]).unwrap();
        assert_eq!((nothing.threshold, &nothing.flags[..]), (INF, &[false, false][..]));
    }

    #[test]
    fn undefined_thresholds_are_errors() {
        let refused = |rule, test: &[f64], train: &[f64]| {
            flag(&rule, test, &vec![false; test.len()], train).unwrap_err().to_string()
        };
        assert!(refused(top(0.2, Population::Train), &[1.0], &[]).contains("no row to rank"));
        let split = refused(top(0.5, Population::Train), &[1.0], &[-INF, INF]);
        assert!(split.contains("between the scores -inf and inf"), "{split}");
        assert!(refused(ThresholdRule::BestF1, &[1.0], &[]).contains("no anomaly"));
    }

    #[test]
    fn nan_is_an_error_that_names_the_row() {
        let error = evaluate(&[0.0, f64::NAN], &[true, false], &[true, false]).unwrap_err();
        assert!(error.to_string().contains("test row 1 "), "{error}");
        let rule = top(0.5, Population::Train);
        let error = flag(&rule, &[0.0], &[true], &[0.0, 1.0, f64::NAN]).unwrap_err();
        assert!(error.to_string().contains("training row 2 "), "{error}");
        assert!(evaluate(&[0.0], &[true, false], &[true]).is_err());
    }

    #[test]
    fn what_divides_by_zero_is_undefined_and_the_rest_is_not() {
        let (_, normals) = evaluate(&[1.0, 2.0], &[false, false], &[false, false]).unwrap();
        assert_eq!(
            (normals[Metric::Precision], normals[Metric::Recall], normals[Metric::F1]),
            (None, None, None)
        );
        assert_eq!(
            (normals[Metric::Auroc], normals[Metric::Auprc], normals[Metric::AurocOfFlags]),
            (None, None, None)
        );
        let (_, missed) = evaluate(&[1.0, 2.0], &[true, false], &[false, false]).unwrap();
        assert_eq!(
            (missed[Metric::Precision], missed[Metric::Recall], missed[Metric::F1]),
            (None, Some(0.0), Some(0.0))
        );
        let (_, anomalies) = evaluate(&[1.0, 2.0], &[true, true], &[true, false]).unwrap();
        assert_eq!((anomalies[Metric::Auroc], anomalies[Metric::Auprc]), (None, Some(1.0)));
        let (counts, empty) = evaluate(&[], &[], &[]).unwrap();
        assert_eq!(
            (counts.tp + counts.fp + counts.fn_ + counts.tn, empty[Metric::Auroc]),
            (0, None)
        );
    }

    #[test]
    fn rules_read_back_and_wrong_ones_say_what_is_wrong() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct File {
            threshold: ThresholdRule,
        }
        for text in [
            "{ top = 0.2, of = \"test\" }",
            "{ top = 0.2, of = \"train-and-test\" }",
            "{ value = 0.3 }",
            "{ anomaly-count = true }",
            "{ best-f1 = true }",
        ] {
            let file: File = toml::from_str(&format!("threshold = {text}")).unwrap();
            let json = serde_json::to_string(&file).unwrap();
            assert_eq!(serde_json::from_str::<File>(&json).unwrap(), file);
        }
        for (text, complaint) in [
            ("{ top = 0.2 }", "add of ="),
            ("{ top = 20, of = \"test\" }", "not a share"),
            ("{ top = 0.2, of = \"tests\" }", "unknown variant `tests`"),
            ("{ top = 0.2, off = \"test\" }", "unknown field `off`"),
            ("{ value = 0.3, best-f1 = true }", "exactly one rule"),
            ("{ value = nan }", "not a finite number"),
            ("{ best-f1 = false }", "best-f1 = false chooses no rule"),
            ("{ anomaly-count = false }", "anomaly-count = false chooses no rule"),
            ("{ anomaly-count = true, best-f1 = true }", "exactly one rule"),
            ("{}", "exactly one rule"),
        ] {
            let error = toml::from_str::<File>(&format!("threshold = {text}")).unwrap_err();
            assert!(error.to_string().contains(complaint), "{text}: {error}");
        }
    }
}
