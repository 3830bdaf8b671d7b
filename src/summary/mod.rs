//! From runs to estimates and from estimates to verdicts: rows of `runs.csv` → [`Summary`] →
//! [`Comparison`], and [`Pair`]s of cells. Pure: what is here depends on the rows and the published
//! figures alone.
//! How to read a verdict, and why it is made this way: `docs/verdicts.md`.

mod audit;
mod estimates;
mod evidence;
mod pairs;
mod power;
pub mod readings;
pub mod rerun;
pub mod sequential;
mod verdict;

use std::cmp::Ordering;
use std::collections::HashMap;

use indexmap::{IndexMap, IndexSet};
use serde::Serialize;

use crate::error::{Error, Result};
use crate::experiment::{CellName, Scale};
use crate::metrics::{Metric, Metrics};
use crate::store::record::State;

pub use audit::{refuse_shared, refuse_shared_digests};
pub use estimates::{Summary, bootstrap, summarise};
pub use evidence::{Evidence, Measurement, evidence};
pub use pairs::{Pair, label_parts, pairs};
pub use power::{Planned, Power, power};
pub use verdict::{Comparison, Test, Verdict, compare};

/// One line of `runs.csv`: one run, however it ended. Only experiment, cell, seed, scale and state
/// are always known; a file of someone else's may hold nothing more than those and one metric.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Row {
    pub experiment: String,
    pub cell: CellName,
    pub seed: u64,
    pub scale: Scale,
    pub state: State,
    pub tp: Option<u64>,
    pub fp: Option<u64>,
    #[serde(rename = "fn")]
    pub fn_: Option<u64>,
    pub tn: Option<u64>,
    /// One column a metric.
    pub metrics: Metrics,
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
    /// `ModelSpec::protocol_version` of the program that made the run.
    pub protocol_version: Option<u32>,
    /// Commit of the program, followed by `-dirty` where its source differed from it.
    pub commit: String,
    /// Version of libtorch.
    pub libtorch: String,
    /// SHA-256 of the files of scores that were made elsewhere, separated by a space; empty for a run that
    /// seedbed made. A column of files that hold such rows.
    #[serde(skip)]
    pub scores_from: String,
    /// Axis (full dotted key) → value as text.
    #[serde(skip)]
    pub axes: IndexMap<String, String>,
}

impl Row {
    /// Makes a run of which nothing is known but its place; it counts as one that ended `ok`.
    pub fn new(experiment: &str, cell: &str, seed: u64) -> Self {
        let experiment = experiment.to_owned();
        Self { experiment, cell: cell.into(), seed, ..Self::default() }
    }

    /// The run's value of `metric`, whatever the run's state.
    pub fn value(&self, metric: Metric) -> Option<f64> {
        self.metrics[metric]
    }

    /// Whether its scores were made elsewhere, and seedbed judged them.
    pub fn is_elsewhere(&self) -> bool {
        !self.scores_from.is_empty()
    }

    /// The version of the code that made the run, as far as it is known: commit, libtorch,
    /// protocol version. Empty where a file of someone else's says nothing of it.
    pub fn code(&self) -> String {
        code_name(&self.commit, self.version())
    }

    /// Returns what two runs of one version of the code have in common. A change of the code that
    /// moves results raises the protocol version, so a protocol may be finished at another commit;
    /// commits tell versions apart where the protocol version is not known.
    fn version(&self) -> Version<'_> {
        let commit = if self.protocol_version.is_some() { "" } else { &self.commit };
        Version {
            protocol_version: self.protocol_version,
            commit,
            libtorch: &self.libtorch,
            is_elsewhere: self.is_elsewhere(),
        }
    }

    /// Whether both runs were made by one version of the code, at whichever commits.
    pub fn is_of_version_of(&self, other: &Self) -> bool {
        self.version() == other.version()
    }
}

/// What runs of one version of the code have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Version<'a> {
    protocol_version: Option<u32>,
    /// Where the protocol version is unknown.
    commit: &'a str,
    libtorch: &'a str,
    /// The scores were made by other code, and judged by this.
    is_elsewhere: bool,
}

/// `06304f1, 87fe2fa libtorch 2.11.0 protocol 2`
fn code_name(commits: &str, version: Version) -> String {
    let Version { protocol_version, libtorch, is_elsewhere, .. } = version;
    let mut parts = Vec::new();
    if is_elsewhere {
        parts.push("scores from elsewhere, judged by".to_owned());
    }
    if !commits.is_empty() {
        parts.push(commits.to_owned());
    }
    if !libtorch.is_empty() {
        parts.push(format!("libtorch {libtorch}"));
    }
    parts.extend(protocol_version.map(|version| format!("protocol {version}")));
    parts.join(" ")
}

/// A git hash in its first seven digits; anything else as it is.
fn short_commit(commit: &str) -> String {
    let (hash, dirty) = match commit.strip_suffix("-dirty") {
        Some(hash) => (hash, "-dirty"),
        None => (commit, ""),
    };
    let is_hash = hash.len() == 40 && hash.bytes().all(|digit| digit.is_ascii_hexdigit());
    if is_hash { format!("{}{dirty}", &hash[..7]) } else { commit.to_owned() }
}

/// The versions of the code that made these runs: their number, and their names in the order of the
/// rows, joined by ` + `. A version names every commit that made a run.
fn codes<'a>(rows: impl Iterator<Item = &'a Row>) -> (usize, String) {
    let mut versions: IndexMap<Version, IndexSet<&str>> = IndexMap::new();
    for row in rows {
        versions.entry(row.version()).or_default().insert(&row.commit);
    }
    let all: IndexSet<&str> = versions.values().flatten().copied().collect();
    let short: IndexSet<String> = all.iter().map(|commit| short_commit(commit)).collect();
    let named = |commit: &str| {
        if short.len() == all.len() { short_commit(commit) } else { commit.to_owned() }
    };
    let name = |(version, commits): (&Version, &IndexSet<&str>)| {
        let unknown = if commits.len() > 1 { "an unknown commit" } else { "" };
        let commits = commits.iter().map(|&commit| match commit {
            "" => unknown.to_owned(),
            commit => named(commit),
        });
        code_name(&commits.collect::<Vec<_>>().join(", "), *version)
    };
    let names: Vec<String> = versions.iter().map(name).collect();
    // of runs that all say nothing there is nothing to say
    let unknown = if versions.len() > 1 { "unknown" } else { "" };
    let names = names.iter().map(|name| if name.is_empty() { unknown } else { name });
    (versions.len(), names.collect::<Vec<_>>().join(" + "))
}

/// Refuses to make one table of runs of one experiment that different versions of the code made.
///
/// # Errors
/// Two such runs, by their places.
pub fn refuse_mixed_code(rows: &[Row]) -> Result<()> {
    let mut first: HashMap<&str, &Row> = HashMap::new();
    for row in rows {
        let known = *first.entry(&row.experiment).or_insert(row);
        if known.is_of_version_of(row) {
            continue;
        }
        let place = |row: &Row| {
            let code = row.code();
            let code = if code.is_empty() { "a version that is not said" } else { &code };
            format!("{} seed {} by {code}", row.cell, row.seed)
        };
        return Err(Error::Data(format!(
            "runs of {} were made by different versions of the code: {}, {}; '--mixed-code' puts \
             them into one table all the same, which then says so",
            row.experiment,
            place(known),
            place(row),
        )));
    }
    Ok(())
}

/// Puts rows into the order of every file: experiment, cell (numbers by value, a control after
/// its cell), seed.
pub fn sort(rows: &mut [Row]) {
    // each name is taken apart once, however many rows have it
    let cells: IndexSet<&CellName> = rows.iter().map(|row| &row.cell).collect();
    let mut cells: Vec<CellName> = cells.into_iter().cloned().collect();
    cells.sort_by_cached_key(|name| {
        let parts: Vec<Part> = name.trained().split(',').map(Part::of).collect();
        (parts, name.clone())
    });
    let rank: HashMap<CellName, usize> =
        cells.into_iter().enumerate().map(|(rank, name)| (name, rank)).collect();
    rows.sort_by_cached_key(|row| (row.experiment.clone(), rank[&row.cell], row.seed));
}

/// A part `axis=value` of a label: numbers stand by their value, before words.
struct Part {
    axis: String,
    number: Option<f64>,
    word: String,
}

impl Part {
    fn of(part: &str) -> Self {
        let (axis, value) = part.split_once('=').unwrap_or(("", part));
        Self { axis: axis.into(), number: value.parse().ok(), word: value.into() }
    }
}

impl PartialEq for Part {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Part {}

impl PartialOrd for Part {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Part {
    fn cmp(&self, other: &Self) -> Ordering {
        let numbers = match (self.number, other.number) {
            (Some(a), Some(b)) => a.total_cmp(&b),
            (a, b) => b.is_some().cmp(&a.is_some()),
        };
        self.axis.cmp(&other.axis).then(numbers).then_with(|| self.word.cmp(&other.word))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::paper::{Figure, Margin, Paper, Status};

    /// A run that ended `ok` with this F1 and nothing else.
    pub(crate) fn row(cell: &str, seed: u64, f1: f64) -> Row {
        let metrics = Metrics::from_fn(|metric| (metric == Metric::F1).then_some(f1));
        Row { metrics, ..Row::new("made-up", cell, seed) }
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
            runs: Some(20),
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
            test_sets: Vec::new(),
            figures,
            fingerprints: Vec::new(),
        }
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

    #[test]
    fn runs_of_two_versions_of_the_code_are_refused_by_both_places() {
        let mut runs = rows("base", &[0.9, 0.9, 0.9]);
        for row in &mut runs {
            row.commit = "a".repeat(40);
            row.libtorch = "2.11.0".into();
        }
        assert_eq!(refuse_mixed_code(&runs), Ok(()));
        assert_eq!(codes(runs.iter()), (1, "aaaaaaa libtorch 2.11.0".into()));
        let changes: [fn(&mut Row); 4] = [
            |row| row.commit += "-dirty",
            |row| row.libtorch = "2.12.0".into(),
            |row| row.protocol_version = Some(2),
            |row| (row.commit, row.libtorch) = (String::new(), String::new()),
        ];
        for change in changes {
            let mut mixed = runs.clone();
            change(&mut mixed[1]);
            let error = refuse_mixed_code(&mixed).unwrap_err().to_string();
            assert!(error.contains("aaa libtorch 2.11.0, base seed 2 by "), "{error}");
            assert!(error.contains("--mixed-code"), "{error}");
            let (versions, names) = codes(mixed.iter());
            assert_eq!(versions, 2);
            assert!(names.starts_with("aaaaaaa libtorch 2.11.0 + "), "{names}");
            // another experiment's runs are in another table
            mixed[1].experiment = "other".into();
            assert_eq!(refuse_mixed_code(&mixed), Ok(()));
        }
    }

    #[test]
    fn a_protocol_that_was_finished_at_another_commit_is_of_one_version_that_names_both() {
        let mut runs = rows("base", &[0.9, 0.9, 0.9]);
        for (row, commit) in runs.iter_mut().zip(["b", "a", "b"]) {
            row.commit = commit.repeat(40);
            row.libtorch = "2.11.0".into();
            row.protocol_version = Some(2);
        }
        runs[1].commit += "-dirty";
        assert_eq!(refuse_mixed_code(&runs), Ok(()));
        let named = "bbbbbbb, aaaaaaa-dirty libtorch 2.11.0 protocol 2";
        assert_eq!(codes(runs.iter()), (1, named.into()));
        let changes: [fn(&mut Row); 3] = [
            |row| row.protocol_version = Some(3),
            |row| row.protocol_version = None,
            |row| row.libtorch = "2.12.0".into(),
        ];
        for change in changes {
            let mut mixed = runs.clone();
            change(&mut mixed[2]);
            assert!(refuse_mixed_code(&mixed).is_err());
            assert_eq!(codes(mixed.iter()).0, 2);
        }
    }

    #[test]
    fn runs_that_say_nothing_of_their_code_are_of_one_unknown_version() {
        let runs = rows("base", &[0.9, 0.9]);
        assert_eq!(refuse_mixed_code(&runs), Ok(()));
        assert_eq!(codes(runs.iter()), (1, String::new()));
    }

    #[test]
    fn versions_whose_short_names_agree_are_named_in_full() {
        let mut runs = rows("base", &[0.9, 0.9]);
        (runs[0].commit, runs[1].commit) = ("release-0".into(), "release-1".into());
        assert_eq!(codes(runs.iter()), (2, "release-0 + release-1".into()));
        let hash = |last: char| format!("{}{last}", "a".repeat(39));
        (runs[0].commit, runs[1].commit) = (hash('a'), hash('b'));
        assert_eq!(codes(runs.iter()), (2, format!("{} + {}", hash('a'), hash('b'))));
        runs[1].commit = hash('a');
        assert_eq!(codes(runs.iter()), (1, "aaaaaaa".into()));
    }
}
