//! Published figures, the margins within which a figure counts as reproduced, and the counts that a
//! figure must agree with, from `experiments/papers/*.toml`. Says what was published and how well that
//! is known; compares nothing.

pub mod begin;
pub mod choice;
pub mod fingerprint;
pub mod plausibility;
pub mod schema;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use toml::Spanned;

use crate::error::{Error, Result};
use crate::experiment::CellName;
use crate::files::read_text;
use crate::metrics::{Metric, Population};
use crate::shipped;
use crate::store::record::State;
use crate::text::{explained, nearest, pointed};
use crate::words::words;
use fingerprint::{Fingerprint, Mark, Quantity};

/// A paper, a repository or another source of figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Paper {
    /// The file's name without `.toml`.
    pub name: String,
    pub title: String,
    /// Where it can be read: a URL.
    pub source: String,
    /// By metric; a figure of a metric without a margin gets no verdict.
    #[serde(default)]
    pub margins: BTreeMap<Metric, Margin>,
    /// By `dataset` of the figures; what `seedbed check-figures` holds them against.
    #[serde(default)]
    pub counts: BTreeMap<String, Counts>,
    /// Test sets that may have printed the figures; `seedbed check-figures` says which can have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub test_sets: Vec<TestSet>,
    pub figures: Vec<Figure>,
    /// Published numbers that are not metrics; in a file they stand among the figures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fingerprints: Vec<Fingerprint>,
}

/// Bytes of a paper's file: figures are compared each with each.
const LARGEST_FILE: u64 = 1 << 18;
/// The largest batch whose dropping can be searched for: each size is tried.
const LARGEST_BATCH: u32 = 1 << 12;
/// Anomalies or normal rows of a test set that is held against digits: each number of hits is tried.
const MOST_ROWS: u32 = 10_000_000;
/// Decimals of a figure in [0, 1] that a double can tell apart.
const MOST_DECIMALS: u32 = 17;

/// How far from a published figure still counts as reproduced; declared before the runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Margin {
    /// Half the width of the accepted band, in [0, 1]. No interval lies inside a margin of 0: a figure
    /// with one can be missed, and never counts as reproduced.
    #[serde(deserialize_with = "fraction")]
    pub value: f64,
    /// Why this much and not more.
    #[serde(deserialize_with = "said")]
    pub reason: String,
}

/// How many rows a data set has, and which share of them is flagged: what precision and recall follow
/// from, whatever the detector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Counts {
    /// All rows; with `train-normals`, the rows of the test set.
    pub rows: u32,
    /// Anomalies among `rows`.
    pub positives: u32,
    /// Normal training rows, where training and test rows are the source's own files. Without it
    /// a random half of the rows is the training part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_normals: Option<u32>,
    /// The share of rows that is flagged, in (0, 1).
    #[serde(deserialize_with = "share")]
    pub top: f64,
    /// The protocol that the source says it followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stated: Option<Protocol>,
}

/// How many rows of each label a test set has that may have printed figures. Figures of single runs, or of
/// runs that all have these counts, follow from whole numbers of these rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TestSet {
    /// What it is; entries of one name are held against their figures together.
    #[serde(deserialize_with = "said")]
    pub name: String,
    /// Of the figures.
    pub dataset: String,
    /// Of the figures; without it, all figures of the data set are held against it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setting: Option<String>,
    /// Anomalies, at least 1.
    pub positives: u32,
    /// Normal rows, at least 1.
    pub negatives: u32,
    /// Also try this test set without its incomplete batches, anomalies and normal rows apart, for
    /// every batch size from 2 to this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whole_batches_up_to: Option<u32>,
}

/// What a test set is, and whose scores place the threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Protocol {
    pub split: SplitKind,
    pub of: Population,
}

/// The splits whose counts follow from `rows` and `positives`; their names are those of
/// `protocol.split` in an experiment file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SplitKind {
    /// A random half of all rows tests; the normal rows of the other half train.
    HalfOfAll,
    /// A random half of the normal rows trains; the other half and all anomalies test.
    HalfOfNormals,
    /// The source's own training and test files.
    Official,
}

/// One published number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figure {
    /// Table, section or thread that prints it.
    #[serde(deserialize_with = "said")]
    pub table: String,
    pub dataset: String,
    /// Protocol and number of runs, as published.
    pub setting: String,
    pub method: String,
    pub metric: Metric,
    /// In [0, 1].
    #[serde(deserialize_with = "fraction")]
    pub value: f64,
    /// Decimals of `value` as it is typed in the file: 4 for `0.9370`. Type it as it is printed.
    #[serde(skip_deserializing)]
    pub decimals: u32,
    /// The published standard deviation, where there is one.
    #[serde(default, deserialize_with = "some_fraction", skip_serializing_if = "Option::is_none")]
    pub std: Option<f64>,
    /// How many runs the value is the mean of, at least 1, where the source says so.
    #[serde(default, deserialize_with = "at_least_one", skip_serializing_if = "Option::is_none")]
    pub runs: Option<u64>,
    pub status: Status,
    /// Where this figure can be read, if not in the paper's `source`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The experiment that reproduces it. A figure without one is of a method that nobody runs here: it
    /// is checked against the others and compared with no run.
    #[serde(default, deserialize_with = "some_said", skip_serializing_if = "Option::is_none")]
    pub experiment: Option<String>,
    /// The label of the one cell that it and the cell's control are compared with; without one it is
    /// compared with every cell and control of the experiment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cell: Option<CellName>,
}

impl Figure {
    /// Half a unit of the last printed digit: the unrounded number lies within it of `value`.
    pub fn rounding(&self) -> f64 {
        0.5 / 10f64.powi(self.decimals as i32)
    }
}

words! {
    /// How well a figure is known, from best to worst. Only a verified one earns a verdict.
    pub enum Status {
        /// Seen in the source itself.
        Verified = "verified",
        /// Quoted by a later text.
        Indirect = "indirect",
        /// Computed from verified numbers.
        Derived = "derived",
        /// From memory, not seen.
        Recalled = "recalled",
    }
}

/// The names of the papers in a folder, sorted.
///
/// # Errors
/// A folder that cannot be read, or without a `.toml` file.
pub fn names(dir: &Path) -> Result<Vec<String>> {
    let unread = |why: String| {
        let place = dir.display();
        Error::Usage(format!(
            "cannot read published figures from {place}: {why}; name another folder with --papers"
        ))
    };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(|error| unread(error.to_string()))? {
        let path = entry.map_err(|error| unread(error.to_string()))?.path();
        if path.extension().is_some_and(|extension| extension == "toml")
            && let Some(name) = path.file_stem()
        {
            names.push(name.to_string_lossy().into_owned());
        }
    }
    if names.is_empty() {
        return Err(unread("there is no .toml file".into()));
    }
    names.sort();
    Ok(names)
}

/// Reads `DIR/NAME.toml` or, where there is no such file, the shipped paper's file of this name.
///
/// # Errors
/// A paper that is in neither place, with the nearest name, and as [`load`].
pub fn find(dir: &Path, name: &str) -> Result<Paper> {
    let path = path_of(dir, name)?;
    if path.symlink_metadata().is_ok() {
        return load(dir, name);
    }
    if let Some(text) = shipped::paper(name) {
        let file = format!("papers/{name}.toml, as it ships");
        return parse(text, name).map_err(|complaint| Error::Usage(format!("{file}:{complaint}")));
    }
    let known = all_names(dir);
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    Err(Error::Usage(format!(
        "cannot read published figures from {}: there is no such file, and no paper of that name \
         ships{}; there are: {}; 'seedbed new-paper {name}' begins one",
        path.display(),
        nearest(name, &known),
        known.join(" "),
    )))
}

/// Returns the names of the papers in a folder, where there is such, and of the shipped ones, sorted.
pub fn all_names(dir: &Path) -> Vec<String> {
    let shipped = shipped::papers().into_iter().map(str::to_owned);
    let all = names(dir).unwrap_or_default().into_iter().chain(shipped);
    all.collect::<BTreeSet<String>>().into_iter().collect()
}

/// Says that a paper's file is not the shipped one, where it has the name of one.
pub fn beside_shipped(dir: &Path, name: &str) -> Option<String> {
    let path = path_of(dir, name).ok()?;
    let text = read_text(&path, LARGEST_FILE).ok()?;
    let differs = shipped::paper(name).is_some_and(|shipped| shipped != text);
    let file = path.display();
    differs.then(|| {
        format!("{file} is taken, which differs from the paper {name} that ships with seedbed")
    })
}

/// Reads `DIR/NAME.toml`.
///
/// # Errors
/// A missing file; TOML that does not parse, an unknown key or a value out of range, by line and
/// column; a `name` that is not the file's; one number published twice in one place.
pub fn load(dir: &Path, name: &str) -> Result<Paper> {
    let path = path_of(dir, name)?;
    let text = read_text(&path, LARGEST_FILE).map_err(|error| {
        Error::Usage(format!("cannot read published figures from {}: {error}", path.display()))
    })?;
    parse(&text, name).map_err(|complaint| Error::Usage(format!("{}:{complaint}", path.display())))
}

/// Returns the path of a paper's file; a name that is a path is refused.
fn path_of(dir: &Path, name: &str) -> Result<PathBuf> {
    let mut parts = Path::new(name).components();
    // "a/." and "a/" are one part too
    let plain = matches!((parts.next(), parts.next()), (Some(Component::Normal(part)), None) if part == name);
    if !plain || name.contains(char::is_control) {
        return Err(Error::Usage(format!(
            "'{name}' is no paper's name: it must be that of a file in {}, without '.toml'",
            dir.display()
        )));
    }
    Ok(dir.join(format!("{name}.toml")))
}

/// The error reads `LINE:COLUMN: what is wrong` with that line below, or ` what is wrong` where no line is
/// to blame.
fn parse(text: &str, name: &str) -> std::result::Result<Paper, String> {
    read(text, name).map_err(|complaint| pointed(&complaint, "", text))
}

fn read(text: &str, name: &str) -> std::result::Result<Paper, String> {
    let at = |start: usize, complaint: &str| {
        let before = &text[..start];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        format!("{line}:{column}: {complaint}")
    };
    let misread = |error: toml::de::Error| {
        at(error.span().map_or(0, |span| span.start), &explained(error.message()))
    };
    let file: File = toml::from_str(text).map_err(misread)?;
    if file.name != name {
        return Err(format!(" name is `{}`, but the file is named `{name}.toml`", file.name));
    }
    let File { name, title, source, margins, counts, test_sets, figures: lines } = file;
    let (figures, fingerprints) = (Vec::new(), Vec::new());
    let mut paper =
        Paper { name, title, source, margins, counts, test_sets, figures, fingerprints };
    for line in lines {
        let start = line.value.span().start;
        line.add_to(&mut paper, text).map_err(|complaint| at(start, &complaint))?;
    }
    refuse_repetition(&paper.figures)?;
    refuse_repeated_fingerprints(&paper.fingerprints)?;
    refuse_wrong_counts(&paper)?;
    refuse_wrong_test_sets(&paper)?;
    Ok(paper)
}

/// A paper, a repository or another source of figures, as its file is written.
#[derive(Deserialize, JsonSchema)]
#[schemars(title = "Paper")]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct File {
    /// The file's name without `.toml`.
    name: String,
    /// A line for people: title, authors, year.
    title: String,
    /// Where it can be read: a URL.
    source: String,
    /// How far from a figure still counts as reproduced, by metric; declared before the runs. A figure of a
    /// metric without a margin gets no verdict.
    #[serde(default)]
    margins: BTreeMap<Metric, Margin>,
    /// How many rows a data set has, by the `dataset` of the figures: what `seedbed check-figures` holds
    /// figures against.
    #[serde(default)]
    counts: BTreeMap<String, Counts>,
    /// Test sets that may have printed the figures; `seedbed check-figures` says which can have.
    #[serde(default)]
    test_sets: Vec<TestSet>,
    /// The published numbers.
    figures: Vec<Line>,
}

/// One published number: of a metric, a diagnostic or an outcome.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Line {
    /// Table, section or thread that prints it.
    #[serde(deserialize_with = "said")]
    table: String,
    /// The data set, as the source calls it.
    dataset: String,
    /// Protocol and number of runs, as published.
    setting: String,
    /// Whose figure it is.
    method: String,
    /// What it is of: a metric,
    metric: Option<Metric>,
    /// or a measurement of `diagnostics.csv`,
    #[serde(default, deserialize_with = "some_said")]
    diagnostic: Option<String>,
    /// or a share of runs that ended so.
    outcome: Option<State>,
    /// With the digits that are printed: 0.9370, not 0.937.
    #[schemars(with = "f64")]
    value: Spanned<f64>,
    /// The published standard deviation, where there is one.
    std: Option<f64>,
    /// How many runs the value is the mean of; without it the figure counts as one run's.
    #[serde(default, deserialize_with = "at_least_one")]
    runs: Option<u64>,
    /// How well it is known; only a verified one earns a verdict.
    status: Status,
    /// Where this figure can be read, if not in the paper's `source`.
    source: Option<String>,
    /// The experiment that reproduces it, where that does not choose its figures by `compare`.
    #[serde(default, deserialize_with = "some_said")]
    experiment: Option<String>,
    /// The label of the one cell that it is compared with; else all.
    #[schemars(with = "Option<String>")]
    cell: Option<CellName>,
    /// Of a diagnostic alone.
    margin: Option<OwnMargin>,
}

/// The margin of a measurement, which can have any unit.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OwnMargin {
    /// Half the width of the accepted band, from 0 on.
    #[serde(deserialize_with = "width")]
    value: f64,
    /// Why this much and not more.
    #[serde(deserialize_with = "said")]
    reason: String,
}

impl Line {
    fn add_to(self, paper: &mut Paper, text: &str) -> std::result::Result<(), String> {
        let decimals = printed_decimals(&text[self.value.span()], *self.value.get_ref())?;
        if self.std.is_some_and(|std| !(std.is_finite() && std >= 0.0)) {
            return Err("std must be a number from 0 on".into());
        }
        match (self.metric, self.diagnostic.clone(), self.outcome) {
            (Some(metric), None, None) => paper.figures.push(self.figure(metric, decimals)?),
            (None, Some(name), None) => {
                let of = Mark::Diagnostic(name);
                paper.fingerprints.push(self.fingerprint(of, decimals));
            }
            (None, None, Some(state)) => {
                refuse_beyond_1(*self.value.get_ref())?;
                if self.margin.is_some() || self.std.is_some() {
                    return Err("an outcome is a share of runs, with neither std nor margin".into());
                }
                paper.fingerprints.push(self.fingerprint(Mark::Outcome(state), decimals));
            }
            _ => {
                return Err(
                    "a figure is of one metric, one diagnostic or one outcome: give one of \
                            the three"
                        .into(),
                );
            }
        }
        Ok(())
    }

    fn figure(self, metric: Metric, decimals: u32) -> std::result::Result<Figure, String> {
        let value = self.value.into_inner();
        for number in self.std.into_iter().chain([value]) {
            refuse_beyond_1(number)?;
        }
        if self.margin.is_some() {
            return Err(format!("the margin of a metric is that of [margins.{}]", metric.as_str()));
        }
        Ok(Figure {
            table: self.table,
            dataset: self.dataset,
            setting: self.setting,
            method: self.method,
            metric,
            value,
            decimals,
            std: self.std,
            runs: self.runs,
            status: self.status,
            source: self.source,
            experiment: self.experiment,
            cell: self.cell,
        })
    }

    fn fingerprint(self, of: Mark, decimals: u32) -> Fingerprint {
        let margin = |OwnMargin { value, reason }| Margin { value, reason };
        Fingerprint {
            table: self.table,
            dataset: self.dataset,
            setting: self.setting,
            method: self.method,
            of,
            value: self.value.into_inner(),
            decimals,
            std: self.std,
            runs: self.runs,
            status: self.status,
            source: self.source,
            experiment: self.experiment,
            cell: self.cell,
            margin: self.margin.map(margin),
        }
    }
}

fn refuse_beyond_1(value: f64) -> std::result::Result<(), String> {
    if (0.0..=1.0).contains(&value) {
        return Ok(());
    }
    Err(format!("{value} is not between 0 and 1 (0.93, not 93 %)"))
}

fn printed_decimals(digits: &str, value: f64) -> std::result::Result<u32, String> {
    if !value.is_finite() {
        return Err(format!("{digits} is not a number that can be compared"));
    }
    let decimals = decimals(digits).ok_or_else(|| {
        format!(
            "{digits} has an exponent, which hides how many decimals are printed: write {value:?}"
        )
    })?;
    if decimals > MOST_DECIMALS {
        return Err(format!("{decimals} decimals are more than a figure can have"));
    }
    Ok(decimals)
}

/// Decimals of a TOML number; `None` if it has an exponent.
fn decimals(digits: &str) -> Option<u32> {
    if digits.contains(['e', 'E']) {
        return None;
    }
    let decimals = digits.split_once('.').map_or("", |(_, decimals)| decimals);
    Some(decimals.chars().filter(char::is_ascii_digit).count() as u32)
}

/// One number must not be compared with a cell twice, nor be printed with two values.
fn refuse_repetition(figures: &[Figure]) -> std::result::Result<(), String> {
    for (index, figure) in figures.iter().enumerate() {
        for other in &figures[..index] {
            let same_column = (&other.table, other.metric, &other.method)
                == (&figure.table, figure.metric, &figure.method);
            let same_line = (&other.dataset, &other.setting) == (&figure.dataset, &figure.setting);
            let same_cell = (&other.experiment, &other.cell) == (&figure.experiment, &figure.cell);
            let what =
                || format!("{} of {}, {}", figure.metric.as_str(), figure.method, figure.table);
            if same_column && same_cell && (same_line || figure.experiment.is_some()) {
                let place = figure.experiment.as_ref().map_or_else(
                    || format!("{}, {}", figure.dataset, figure.setting),
                    |experiment| format!("experiment {experiment}"),
                );
                return Err(format!(" {}, is published twice for {place}: remove one", what()));
            }
            if same_column && same_line && other.value != figure.value {
                return Err(format!(
                    " {}, is {} and {} for {}, {}: say in dataset, setting or method what \
                     tells them apart",
                    what(),
                    other.value,
                    figure.value,
                    figure.dataset,
                    figure.setting
                ));
            }
        }
    }
    Ok(())
}

/// As for figures: one fingerprint must not be compared with a cell twice.
fn refuse_repeated_fingerprints(all: &[Fingerprint]) -> std::result::Result<(), String> {
    for (index, one) in all.iter().enumerate() {
        let same = |other: &&Fingerprint| {
            (&other.table, &other.method, &other.of, &other.experiment, &other.cell)
                == (&one.table, &one.method, &one.of, &one.experiment, &one.cell)
                && (&other.dataset, &other.setting) == (&one.dataset, &one.setting)
        };
        if all[..index].iter().any(|other| same(&other)) {
            let (method, table) = (&one.method, &one.table);
            let name = Quantity::from(&one.of);
            return Err(format!(" {name} of {method}, {table}, is published twice: remove one"));
        }
    }
    Ok(())
}

fn refuse_wrong_counts(paper: &Paper) -> std::result::Result<(), String> {
    for (dataset, counts) in &paper.counts {
        let Counts { rows, positives, .. } = counts;
        if paper.figures.iter().all(|figure| figure.dataset != *dataset) {
            return Err(format!(" counts.{dataset}: no figure has this dataset; correct the name"));
        }
        if *positives == 0 || positives >= rows {
            return Err(format!(
                " counts.{dataset}: {positives} positives of {rows} rows leave no anomaly or no \
                 normal row"
            ));
        }
        let official = counts.stated.map(|protocol| protocol.split == SplitKind::Official);
        if counts.train_normals == Some(0) {
            return Err(format!(" counts.{dataset}: train-normals must be at least 1"));
        }
        if official.is_some_and(|official| official != counts.train_normals.is_some()) {
            return Err(format!(
                " counts.{dataset}: train-normals goes with the split \"official\" and with no other"
            ));
        }
    }
    Ok(())
}

fn refuse_wrong_test_sets(paper: &Paper) -> std::result::Result<(), String> {
    for (index, set) in paper.test_sets.iter().enumerate() {
        let TestSet { name, dataset, .. } = set;
        let wrong = |what: &str| Err(format!(" test set \"{name}\" of {dataset}: {what}"));
        let has = |figure: &Figure| {
            figure.dataset == *dataset
                && set.setting.as_ref().is_none_or(|setting| *setting == figure.setting)
        };
        if !paper.figures.iter().any(has) {
            return wrong("no figure has this dataset and setting; correct them");
        }
        let possible = 1..=MOST_ROWS;
        if !possible.contains(&set.positives) || !possible.contains(&set.negatives) {
            return wrong(&format!("positives and negatives must be from 1 to {MOST_ROWS}"));
        }
        if set.whole_batches_up_to.is_some_and(|size| !(2..=LARGEST_BATCH).contains(&size)) {
            return wrong(&format!("whole-batches-up-to must be from 2 to {LARGEST_BATCH}"));
        }
        let again = |other: &TestSet| {
            (&other.name, dataset, &other.setting) == (name, &other.dataset, &set.setting)
        };
        if paper.test_sets[..index].iter().any(again) {
            return wrong("it is given twice: remove one, or tell them apart by name or setting");
        }
    }
    Ok(())
}

fn fraction<'de, D: Deserializer<'de>>(input: D) -> std::result::Result<f64, D::Error> {
    let value = f64::deserialize(input)?;
    if (0.0..=1.0).contains(&value) {
        return Ok(value);
    }
    Err(serde::de::Error::custom(format!("{value} is not between 0 and 1 (0.93, not 93 %)")))
}

fn some_fraction<'de, D: Deserializer<'de>>(
    input: D,
) -> std::result::Result<Option<f64>, D::Error> {
    fraction(input).map(Some)
}

fn width<'de, D: Deserializer<'de>>(input: D) -> std::result::Result<f64, D::Error> {
    let value = f64::deserialize(input)?;
    if value.is_finite() && value >= 0.0 {
        return Ok(value);
    }
    Err(serde::de::Error::custom(format!("{value} is not a width: give a number from 0 on")))
}

fn share<'de, D: Deserializer<'de>>(input: D) -> std::result::Result<f64, D::Error> {
    let value = fraction(input)?;
    if value > 0.0 && value < 1.0 {
        return Ok(value);
    }
    Err(serde::de::Error::custom(format!(
        "{value} flags no row or every row: give a share between"
    )))
}

fn at_least_one<'de, D: Deserializer<'de>>(input: D) -> std::result::Result<Option<u64>, D::Error> {
    let runs = u64::deserialize(input)?;
    if runs > 0 {
        return Ok(Some(runs));
    }
    Err(serde::de::Error::custom("runs must be at least 1; leave it out where it is not stated"))
}

fn some_said<'de, D: Deserializer<'de>>(input: D) -> std::result::Result<Option<String>, D::Error> {
    said(input).map(Some)
}

fn said<'de, D: Deserializer<'de>>(input: D) -> std::result::Result<String, D::Error> {
    let text = String::deserialize(input)?;
    if text.trim().is_empty() {
        return Err(serde::de::Error::custom("must not be empty"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
name = "made-up"
title = "A made-up paper"
source = "https://example.org"

[margins.f1]
value = 0.02
reason = "two points"

[[figures]]
table = "Table 1"
dataset = "made-up"
setting = "mean of 20 runs"
method = "DAGMM"
metric = "f1"
value = 0.9
status = "verified"
experiment = "made-up"
"#;

    #[test]
    fn every_shipped_paper_loads_and_states_margins_for_all_its_figures_or_for_none() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/papers");
        let papers = names(&dir).unwrap();
        for name in &papers {
            let paper = load(&dir, name).unwrap();
            for figure in &paper.figures {
                let stated = paper.margins.contains_key(&figure.metric);
                assert!(stated || paper.margins.is_empty(), "{name}");
            }
        }
        assert!(papers.len() >= 10, "{papers:?}");
    }

    #[test]
    fn the_published_figures_are_those_of_the_sources() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/papers");
        let values = |paper: &str, table: &str| -> Vec<f64> {
            let paper = load(&dir, paper).unwrap();
            let compared = paper.figures.iter().filter(|figure| figure.experiment.is_some());
            compared.filter(|figure| figure.table == table).map(|figure| figure.value).collect()
        };
        assert_eq!(
            values("zong2018", "Table 2, double-blind submission"),
            // E2E-AE, then DAGMM on KDD Cup 99, Thyroid and Arrhythmia
            [
                0.0024, 0.0025, 0.0024, 0.9297, 0.9442, 0.9369, 0.4766, 0.4834, 0.4782, 0.4909,
                0.5078, 0.4983
            ]
        );
        assert_eq!(values("danieltan07", "README"), [0.9677, 0.9538, 0.9607]);
        assert_eq!(values("danieltan07", "notebook, test cell"), [0.9683, 0.9540, 0.9611]);
        assert_eq!(values("danieltan07", "issue 19"), [0.9573, 0.9312, 0.9441]);
        assert_eq!(values("danieltan07", "issue 29"), [0.9169, 0.8786, 0.8974]);
        assert_eq!(values("csdn-vae-blog", "text"), [0.6825, 0.7598]);
        assert_eq!(values("tnakae", "KDDCup99.ipynb"), [0.932, 0.942, 0.937]);
        assert_eq!(values("zefang-liu-needle", "project.ipynb"), [0.4, 0.4, 0.4]);
        assert_eq!(values("mnist-vae-notebook", "output"), [0.740_291_819_852_941_1, 0.353171]);
    }

    #[test]
    fn the_published_fingerprints_are_those_of_the_sources() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/papers");
        let values = |paper: &str| -> Vec<(String, f64, u32)> {
            let fingerprints = load(&dir, paper).unwrap().fingerprints;
            let said =
                |one: Fingerprint| (Quantity::from(&one.of).to_string(), one.value, one.decimals);
            fingerprints.into_iter().map(said).collect()
        };
        let of = |name: &str, value, decimals| (name.to_owned(), value, decimals);
        let error = "reconstruction_error_normal_test";
        assert_eq!(values("zong2018"), [of(error, 0.26, 2), of(error, 1.13, 2)]);
        assert_eq!(
            values("danieltan07"),
            [
                of("energy_last_epoch", 0.539, 3),
                of("penalty_last_epoch", 11.35, 2),
                of("loss_last_epoch", 0.189, 3),
                of("reconstruction_last_epoch", 0.0788, 4),
            ]
        );
        assert_eq!(
            values("mnist-vae-notebook"),
            [
                of("score_train", 0.2573, 4),
                of("loss_first_epoch", 19.68, 2),
                of("score_train", 0.2767, 4),
                of("loss_first_epoch", 23.2, 2),
            ]
        );
        assert_eq!(values("csdn-vae-blog"), [of("outcome:diverged", 1.0, 0)]);
    }

    #[test]
    fn figures_that_no_experiment_reproduces_are_there_for_every_method_of_a_table() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/papers");
        let paper = load(&dir, "zong2018").unwrap();
        for dataset in ["kddcup", "thyroid", "arrhythmia"] {
            for metric in [Metric::Precision, Metric::Recall, Metric::F1] {
                let line = |figure: &&Figure| {
                    (figure.table.as_str(), figure.dataset.as_str(), figure.metric)
                        == ("Table 2, double-blind submission", dataset, metric)
                };
                let methods: Vec<_> = paper
                    .figures
                    .iter()
                    .filter(line)
                    .map(|figure| figure.method.as_str())
                    .collect();
                let all = ["OC-SVM", "DSEBM-r", "DSEBM-e", "DCN", "GMM-EN", "PAE", "E2E-AE"];
                assert_eq!(methods, [&all[..], &["PAE-GMM", "DAGMM-p", "DAGMM"]].concat());
            }
        }
        assert!(paper.figures.iter().all(|figure| figure.decimals == 4 && figure.runs == Some(20)));
    }

    #[test]
    fn a_figure_is_an_interval_of_the_width_that_is_printed() {
        for (typed, decimals, rounding) in
            [("0.9370", 4, 0.00005), ("0.937", 3, 0.0005), ("0.93_70", 4, 0.00005), ("1", 0, 0.5)]
        {
            let paper = parse(&TEXT.replace("0.9\n", &format!("{typed}\n")), "made-up").unwrap();
            let figure = &paper.figures[0];
            assert_eq!(figure.decimals, decimals, "{typed}");
            assert!((figure.rounding() - rounding).abs() < 1e-12, "{typed}");
        }
        let inline = "name = \"made-up\"\ntitle = \"A\"\nsource = \"none\"\nfigures = [\n{ table = \"1\", \
            dataset = \"d\", setting = \"s\", method = \"m\", metric = \"f1\", value = 0.90, status = \"verified\" }]";
        assert_eq!(parse(inline, "made-up").unwrap().figures[0].decimals, 2);
    }

    #[test]
    fn one_number_is_given_once_and_with_one_value() {
        let again = &TEXT[TEXT.find("[[figures]]").unwrap()..];
        let nobody = again.replace("experiment = \"made-up\"\n", "");
        let with = |more: &[&str]| parse(&format!("{TEXT}{}", more.concat()), "made-up");
        assert!(with(&[again]).unwrap_err().contains("twice for experiment made-up: remove one"));
        assert!(
            with(&[&nobody, &nobody]).unwrap_err().contains("twice for made-up, mean of 20 runs")
        );
        // of another data set it is another number
        let other = nobody.replace("dataset = \"made-up\"", "dataset = \"other\"");
        assert_eq!(with(&[&nobody, &other]).unwrap().figures.len(), 3);
        let differs = nobody.replace("0.9\n", "0.8\n");
        assert!(with(&[&differs]).unwrap_err().contains("is 0.9 and 0.8 for made-up, mean of 20"));
    }

    #[test]
    fn what_is_wrong_is_refused_with_line_and_column() {
        let paper = parse(TEXT, "made-up").unwrap();
        assert_eq!((paper.figures[0].value, paper.figures[0].cell.as_deref()), (0.9, None));
        for (right, wrong, complaint) in [
            ("table = ", "tabel = ", "11:1: unknown field `tabel`"),
            ("value = 0.9\n", "value = 93.0\n", "16:9: 93 is not between 0 and 1"),
            ("value = 0.02", "value = -0.02", "7:9: -0.02 is not between 0 and 1"),
            ("value = 0.9\n", "value = 9e-1\n", "16:9: 9e-1 has an exponent"),
            ("\"verified\"", "\"verified\"\nruns = 0", "18:8: runs must be at least 1"),
            ("\"verified\"", "\"verified\"\ndecimals = 4", "18:1: unknown field `decimals`"),
            ("experiment = \"made-up\"", "experiment = \"\"", "18:14: must not be empty"),
            ("\"two points\"", "\"\"", "8:10: must not be empty"),
            ("\"f1\"", "\"F1\"", "15:10: unknown variant `F1`"),
            ("[margins.f1]", "[margins.g1]", "6:10: unknown variant `g1`"),
            ("\"verified\"", "\"seen\"", "17:10: unknown variant `seen`"),
            ("\"made-up\"\ntitle", "\"other\"\ntitle", " name is `other`"),
        ] {
            assert!(TEXT.contains(right), "{right}");
            let error = parse(&TEXT.replace(right, wrong), "made-up").unwrap_err();
            assert!(error.starts_with(complaint), "{wrong}: {error}");
        }
        let error = load(Path::new("nowhere"), "made-up").unwrap_err().to_string();
        assert!(error.contains("nowhere/made-up.toml"), "{error}");
    }

    #[test]
    fn a_figure_can_be_of_a_measurement_or_of_an_outcome() {
        let of = |line: &str, value: &str| {
            let text = TEXT.replace("metric = \"f1\"", line);
            parse(&text.replace("0.9\n", &format!("{value}\n")), "made-up")
        };
        let paper = of("diagnostic = \"energy_last_epoch\"", "-11.350").unwrap();
        let one = &paper.fingerprints[0];
        assert_eq!((paper.figures.len(), one.value, one.decimals), (0, -11.35, 3));
        assert_eq!(Quantity::from(&one.of).to_string(), "energy_last_epoch");
        let own = "diagnostic = \"a\"\nmargin = { value = 2.5, reason = \"wide\" }";
        let margin = of(own, "7").unwrap().fingerprints[0].margin.clone();
        assert_eq!(margin.map(|margin| margin.value), Some(2.5));
        let outcome = of("outcome = \"diverged\"", "1").unwrap();
        assert_eq!(Quantity::from(&outcome.fingerprints[0].of).to_string(), "outcome:diverged");
        for (line, value, complaint) in [
            ("", "0.9", "16:9: a figure is of one metric, one diagnostic or one outcome"),
            ("metric = \"f1\"\noutcome = \"diverged\"", "1", "17:9: a figure is of one metric"),
            ("outcome = \"exploded\"", "1", "15:11: unknown variant `exploded`"),
            ("outcome = \"diverged\"", "2", "16:9: 2 is not between 0 and 1"),
            ("diagnostic = \"\"", "2", "15:14: must not be empty"),
            ("diagnostic = \"a\"", "nan", "16:9: nan is not a number"),
            (
                "metric = \"f1\"\nmargin = { value = 0.1, reason = \"r\" }",
                "0.9",
                "17:9: the margin of a metric is that of [margins.f1]",
            ),
            (
                "outcome = \"diverged\"\nmargin = { value = 0.1, reason = \"r\" }",
                "1",
                "17:9: an outcome is a share of runs",
            ),
        ] {
            let error = of(line, value).unwrap_err();
            assert!(error.starts_with(complaint), "{line}: {error}");
        }
        let again = &TEXT[TEXT.find("[[figures]]").unwrap()..];
        let twice = format!("{TEXT}{again}").replace("metric = \"f1\"", "diagnostic = \"a\"");
        assert!(
            parse(&twice, "made-up").unwrap_err().contains("a of DAGMM, Table 1, is published")
        );
    }

    #[test]
    fn a_paper_is_a_file_of_the_papers_folder() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("made-up.toml"), TEXT).unwrap();
        let papers = folder.path().join("papers");
        std::fs::create_dir(&papers).unwrap();
        let absolute = folder.path().join("made-up").display().to_string();
        for name in ["../made-up", "../papers/../made-up", &absolute, "a/", "./a", "..", "", "a\0b"]
        {
            let error = load(&papers, name).unwrap_err().to_string();
            assert!(error.contains("is no paper's name"), "{name}: {error}");
        }
        assert!(load(folder.path(), "made-up").is_ok());
    }

    #[test]
    fn a_figure_has_no_more_decimals_than_a_number_can_have() {
        let text = TEXT.replace("0.9\n", &format!("0.9{}\n", "0".repeat(70_000)));
        let error = parse(&text, "made-up").unwrap_err();
        assert!(error.starts_with("16:9: 70001 decimals are more than"), "{error}");
    }
}
