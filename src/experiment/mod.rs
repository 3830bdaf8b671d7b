//! TOML → Experiment → cells → runs: reads an experiment file, applies `[quick]`, `--set` and the
//! like, and expands the grid. Unknown keys are refused with their place and the nearest name.
//! Knows no data, no tensors and no stored records.
pub mod begin;
mod compare;
mod name;
mod readings;
pub mod schema;

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use indexmap::{IndexMap, IndexSet};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use toml::de::DeTable;
use toml::{Spanned, Table, Value};

use crate::dataset::{DatasetSpec, SplitSpec};
use crate::error::{Error, Result};
use crate::files::read_text;
use crate::metrics::{Population, ThresholdRule};
use crate::model::{Average, CommandSpec, FileDigests, ModelSpec, Score, ScoresSpec, Scoring};
use crate::shipped;
use crate::text::{explained, is_of_list, nearest, pointed};
use crate::words::words;

pub use compare::Choice;
pub use name::CellName;
pub use readings::{Design, FRESH, Fraction, Reading, ReadingValue, Stated, letters};

words! {
    /// Whether a run follows the experiment's full protocol or a reduction of it.
    #[derive(Default)]
    pub enum Scale {
        /// As the experiment file says.
        #[default]
        Full = "full",
        /// Reduced by `--quick`, or changed by `--set`.
        Quick = "quick",
    }
}

/// A grid point: everything about a run but its seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cell {
    /// `reconstruction=sum,latent=1`; `base` without axes; a control adds `,control=untrained`.
    pub label: CellName,
    /// Axis (full dotted key) → value as text, in file order.
    pub axes: IndexMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<Control>,
    pub dataset: DatasetSpec,
    pub protocol: ProtocolSpec,
    pub model: ModelSpec,
    pub training: TrainingSpec,
}

words! {
    /// A null model that runs beside a cell.
    pub enum Control {
        /// The same network with 0 epochs of training.
        Untrained = "untrained",
    }
}

/// The `[protocol]` table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ProtocolSpec {
    pub split: SplitSpec,
    pub threshold: ThresholdRule,
    /// Share of anomalies among the training rows, in [0, 1).
    #[serde(default)]
    pub contamination: f64,
    /// What a variational model's score is; absent for a model that has one alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<Score>,
    /// Draws of the latent variables a row when it is scored; 0 takes their mean alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples: Option<u32>,
    /// How the reconstruction probability averages its draws.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub average: Option<Average>,
}

/// The `[training]` table of an experiment file. The optimiser is Adam (Kingma and Ba, 2015)
/// with β₁ = 0.9, β₂ = 0.999, ε = 1e-8.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TrainingSpec {
    /// Passes over the training rows; 0 leaves the network untrained.
    pub epochs: u64,
    /// Rows of a step.
    pub batch_size: usize,
    /// What becomes of the rows that are left for an epoch's last step.
    // not written when `keep`: the keys of stored runs were made without it
    #[serde(default, skip_serializing_if = "LastBatch::is_kept")]
    pub last_batch: LastBatch,
    /// Adam's step size.
    pub learning_rate: f64,
    /// Upper bound of the Euclidean norm of a run's whole gradient; none where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gradient_clip: Option<f64>,
    /// Times the parameters, added to the (clipped) gradient before Adam sees it, as PyTorch's Adam
    /// does; 0 where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f64>,
}

/// `keep`: the last step of an epoch takes the rows that are left; `drop`: only whole batches train,
/// and other rows are left over in each epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LastBatch {
    #[default]
    Keep,
    Drop,
}

impl LastBatch {
    fn is_kept(&self) -> bool {
        *self == Self::Keep
    }
}

impl TrainingSpec {
    /// What stands in a cell of a method that is not trained.
    fn none() -> Self {
        let (last_batch, gradient_clip, weight_decay) = (LastBatch::Keep, None, None);
        let (epochs, batch_size, learning_rate) = (0, 1, 0.0);
        Self { epochs, batch_size, last_batch, learning_rate, gradient_clip, weight_decay }
    }

    /// How many of a run's training rows an epoch takes.
    pub fn rows_of_epoch(&self, rows: usize) -> usize {
        match self.last_batch {
            LastBatch::Keep => rows,
            LastBatch::Drop => rows - rows % self.batch_size,
        }
    }
}

impl ProtocolSpec {
    /// How rows are scored, where the model has a choice.
    pub fn scoring(&self) -> Option<Scoring> {
        let (score, samples, average) = (self.score?, self.samples?, self.average?);
        Some(Scoring { score, samples, average, train: self.scores_training_rows() })
    }

    /// Whether the training rows are to be scored too: some thresholds rank them, and their mean
    /// reconstruction error is a figure that sources print.
    pub fn scores_training_rows(&self) -> bool {
        let ranked = match self.threshold {
            ThresholdRule::Top { of: Population::Train | Population::TrainAndTest, .. } => true,
            ThresholdRule::Top { of: Population::Test, .. }
            | ThresholdRule::Value(_)
            | ThresholdRule::AnomalyCount
            | ThresholdRule::BestF1 => false,
        };
        ranked || self.score == Some(Score::ReconstructionError)
    }
}

impl Cell {
    /// The first axis whose value the cell contradicts under its key.
    pub fn false_axis(&self) -> Option<&str> {
        let tables = serde_json::to_value(self).ok()?;
        let is_false = |(key, text): &(&String, &String)| {
            // a control has no epochs, whatever its cell's axis says
            if self.control.is_some() && *key == "training.epochs" {
                return false;
            }
            let said = serde_json::to_value(set_value(text)).unwrap_or_default();
            let found = split_key(key).iter().try_fold(&tables, |value, part| value.get(part));
            found.is_some_and(|found| !agrees(found, &said) && found.as_str() != Some(text))
        };
        self.axes.iter().find(is_false).map(|(key, _)| key.as_str())
    }

    /// Names what is trained: cells of one identity differ in how long they train, in which test rows
    /// count, and in how scores are made and flagged. The shorter training is the beginning of the longer.
    pub fn training_identity(&self) -> String {
        let ProtocolSpec { split, contamination, .. } = &self.protocol;
        let split = split.before_batches();
        let model = self.model.as_trained();
        let epochs = match self.model.is_trained() {
            true => 0,
            // a program is told how many there are, and may do as it likes with them
            false => self.training.epochs,
        };
        let training = TrainingSpec { epochs, ..self.training.clone() };
        let parts = (&self.dataset, split, contamination, model, training, self.control);
        serde_json::to_string(&parts).expect("a cell serialises")
    }
}

/// Whether a value of a cell is as an axis says; a key that is at its default may be missing from it.
fn agrees(found: &serde_json::Value, said: &serde_json::Value) -> bool {
    use serde_json::Value::{Array, Number, Object, String};
    match (found, said) {
        (Object(found), Object(said)) => {
            said.iter().all(|(key, said)| found.get(key).is_none_or(|found| agrees(found, said)))
        }
        (Array(found), Array(said)) => {
            found.len() == said.len() && found.iter().zip(said).all(|(a, b)| agrees(a, b))
        }
        (Number(found), Number(said)) => found.as_f64() == said.as_f64(),
        // labels have words of their own for tables: `0.2-test`
        (Object(_) | Array(_), String(_)) => true,
        _ => found == said,
    }
}

/// An experiment file with a selection applied to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Experiment {
    pub name: String,
    pub title: String,
    /// The papers whose figures it is compared with, in the order in which the file names them.
    pub papers: Vec<String>,
    /// Which figures of those papers; of a paper that no choice names, those that name the experiment.
    pub compare: Vec<Choice>,
    pub path: PathBuf,
    pub scale: Scale,
    /// In the order they are to run; the file's `runs = n` means 1..=n.
    pub seeds: Vec<u64>,
    /// The file's `runs`, whatever seeds were asked for: fewer runs than this are not all of them.
    pub declared_runs: u64,
    /// The grid in file order, each cell followed by its controls.
    pub cells: Vec<Cell>,
    /// What the source leaves open: the first axes of the grid.
    pub readings: Vec<Reading>,
    /// Which combinations of the readings the grid has.
    pub design: Design,
    /// `key=value`, what `--set` changed.
    pub set: Vec<String>,
    /// Whether the file is, byte for byte, the one of that name that ships with the program.
    pub is_shipped: bool,
}

/// What the command line asks of an experiment file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Selection {
    /// Apply the `[quick]` table.
    pub quick: bool,
    /// Replaces `runs`.
    pub runs: Option<u64>,
    /// Replaces the seeds `1..=runs`.
    pub seeds: Option<Vec<u64>>,
    /// `key=value`, later ones win; they win over `[quick]` too.
    pub set: Vec<String>,
}

/// What a file says beside its cells.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    name: Option<String>,
    title: String,
    #[serde(default)]
    paper: Papers,
    runs: u64,
    #[serde(default)]
    controls: Controls,
}

/// `paper = "a"` or `paper = ["a", "b"]`.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged, expecting = "a paper's name or a list of names")]
enum Papers {
    One(String),
    Several(Vec<String>),
}

impl Default for Papers {
    fn default() -> Self {
        Self::Several(Vec::new())
    }
}

impl From<Papers> for Vec<String> {
    fn from(papers: Papers) -> Self {
        match papers {
            Papers::One(name) => vec![name],
            Papers::Several(names) => names,
        }
    }
}

/// Null models beside the cells.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Controls {
    /// Beside every cell the same network with 0 epochs of training.
    #[serde(default)]
    untrained: bool,
}

/// A key that something other than its own line in the file gives a value.
#[derive(Clone)]
struct Override {
    path: Vec<String>,
    value: Value,
    /// `experiments/x.toml:12:3` or `--set a.b=c`, to begin an error with.
    origin: String,
}

struct Axis {
    key: String,
    path: Vec<String>,
    values: Vec<(String, Value)>,
    origin: String,
}

const SECTIONS: [&str; 4] = ["dataset", "protocol", "model", TRAINING];
const TRAINING: &str = "training";
const HEAD: [&str; 5] = ["name", "title", "paper", "runs", "controls"];
const COMPARE: [&str; 1] = [compare::KEY];
const READINGS: [&str; 2] = [readings::KEY, readings::DESIGN];
const GRID: [&str; 2] = ["axes", "quick"];

/// Bytes of an experiment file: nobody writes more by hand, and places in it are counted from its start.
const LARGEST_FILE: u64 = 1 << 18;
/// Bytes of all cells together, each as long as the file.
const LARGEST_GRID: u128 = 1 << 28;
/// Where experiments are found by their names.
const FOLDER: &str = "experiments";
const MOST_CELLS: u128 = 10_000;
const MOST_SEEDS: u64 = 100_000;
/// Cells times seeds.
const MOST_RUNS: usize = 1_000_000;
/// Parts of a dotted key.
const DEEPEST_KEY: usize = 6;

impl Experiment {
    /// Finds an experiment by path, or by name: `experiments/<name>.toml`, or else the shipped one.
    ///
    /// # Errors
    /// `Usage` with file, line and column for everything that is wrong with the file or the
    /// selection.
    pub fn load(name: &str, selection: &Selection) -> Result<Self> {
        let (path, text) = find(name)?;
        Self::parse(&path, &text, selection)
    }

    /// Reads the text of an experiment file; `path` names it in errors and gives its name.
    ///
    /// # Errors
    /// As [`Experiment::load`].
    pub fn parse(path: &Path, text: &str, selection: &Selection) -> Result<Self> {
        let shown = path.display().to_string();
        Self::read(path, text, selection).map_err(|error| match error {
            Error::Usage(what) => Error::Usage(pointed(&what, &shown, text)),
            other => other,
        })
    }

    fn read(path: &Path, text: &str, selection: &Selection) -> Result<Self> {
        if text.len() as u64 > LARGEST_FILE {
            let (file, length) = (path.display(), text.len());
            return Err(Error::Usage(format!(
                "{file}: it has {length} bytes; {LARGEST_FILE} is the limit of an experiment file"
            )));
        }
        let source = Source::new(path, text)?;
        let mut spec: Table = toml::from_str(text).map_err(|error| source.syntax(&error))?;
        source.check_top_level(&spec)?;
        let (readings, mut axes) = readings::readings(&source, spec.remove(readings::KEY))?;
        let design = readings::design(&source, spec.remove(readings::DESIGN), &readings)?;
        axes.extend(source.axes(spec.remove("axes"))?);
        readings::refuse_axes(&readings, &axes[readings.len()..])?;
        let mut compare = compare::choices(&source, spec.remove(compare::KEY))?;
        let overrides = overrides(&source, spec.remove("quick"), selection, &axes)?;
        for change in &overrides {
            assign(&mut spec, change)?;
        }
        let mut head = Table::new();
        for key in HEAD {
            if let Some(value) = spec.remove(key) {
                head.insert(key.to_owned(), value);
            }
        }
        let head: Head = source.read("", &head, &overrides)?;
        let name = source.name(head.name)?;
        let runs = runs(&source, head.runs, selection)?;
        let seeds = selection.seeds.clone().unwrap_or_else(|| (1..=runs).collect());
        let grid = Grid { axes: &axes, readings: readings.len(), design: &design };
        let cells = expand(&source, &spec, grid, &overrides, &head.controls)?;
        compare::settle(&mut compare, &source, &cells)?;
        if cells.len() * seeds.len() > MOST_RUNS {
            let (cells, seeds) = (cells.len(), seeds.len());
            let what = format!("{cells} cells under {seeds} seeds are more than 1,000,000 runs");
            return Err(source.fault("axes", &what));
        }
        let is_shipped = shipped::experiment(&name) == Some(text);
        let papers: Vec<String> = head.paper.into();
        let chosen = compare.iter().map(|choice| choice.paper.clone());
        let papers: IndexSet<String> = papers.into_iter().chain(chosen).collect();
        Ok(Self {
            name,
            title: head.title,
            papers: papers.into_iter().collect(),
            compare,
            path: path.to_owned(),
            // a changed protocol is not the one whose figures were published
            scale: match selection.quick || !selection.set.is_empty() {
                true => Scale::Quick,
                false => Scale::Full,
            },
            seeds,
            declared_runs: head.runs,
            cells,
            readings,
            design,
            set: selection.set.clone(),
            is_shipped,
        })
    }

    /// The folder of the experiment file, `.` where it is named without one.
    pub fn folder(&self) -> &Path {
        let named = self.path.parent().filter(|folder| *folder != Path::new(""));
        named.unwrap_or(Path::new("."))
    }

    /// The directory with the figures of papers: `papers` beside the experiment file.
    pub fn papers_folder(&self) -> PathBuf {
        self.folder().join("papers")
    }

    /// Returns where data files are searched: last of all beside the experiment file.
    pub fn searched(&self, search: &[PathBuf]) -> Vec<PathBuf> {
        search.iter().cloned().chain([self.folder().to_owned()]).collect()
    }

    /// Whether its scores are made elsewhere.
    pub fn is_elsewhere(&self) -> bool {
        self.cells.iter().all(|cell| cell.model.is_elsewhere())
    }

    /// Returns the experiment as it judges scores that were made elsewhere: the same data, splits and
    /// thresholds, and no word of its own method, which did not make them. It has no controls: those are of
    /// the method.
    #[must_use]
    pub fn of_scores(&self) -> Self {
        if self.is_elsewhere() {
            return self.clone();
        }
        let trained = self.cells.iter().filter(|cell| cell.control.is_none());
        let cells = trained.map(|cell| {
            let (score, samples, average) = (None, None, None);
            let protocol = ProtocolSpec { score, samples, average, ..cell.protocol.clone() };
            let model = match &cell.model {
                ModelSpec::Scores(spec) => spec.clone(),
                _ => ScoresSpec::default(),
            };
            let (model, training) = (ModelSpec::Scores(model), TrainingSpec::none());
            Cell { protocol, model, training, ..cell.clone() }
        });
        let title = format!("{}: scores from elsewhere", self.title);
        Self { title, cells: cells.collect(), ..self.clone() }
    }

    /// Keeps the cells with these labels and the controls that belong to them.
    ///
    /// # Errors
    /// `Usage` for a label that the grid does not have.
    pub fn select(&self, labels: &[String]) -> Result<Vec<Cell>> {
        let named = |label: &String| {
            let file = self.path.display();
            self.cell(label).map_err(|what| Error::Usage(format!("{file} has {what}")))
        };
        let labels: Vec<&CellName> = labels
            .iter()
            .map(|label| named(label).map(|cell| &cell.label))
            .collect::<Result<_>>()?;
        let chosen = |cell: &&Cell| {
            labels.is_empty() || labels.iter().any(|label| cell.label.belongs_to(label))
        };
        Ok(self.cells.iter().filter(chosen).cloned().collect())
    }

    /// Says that the file is not the shipped one, where it has the name of one.
    pub fn beside_shipped(&self) -> Option<String> {
        let differs = !self.is_shipped && shipped::experiment(&self.name).is_some();
        let (file, name) = (self.path.display(), &self.name);
        differs.then(|| {
            format!(
                "{file} is taken, which differs from the experiment {name} that ships with seedbed"
            )
        })
    }

    /// Whether a program is run without being asked about: the file is the shipped one, the program's
    /// files are, and nothing on the command line changes which they are.
    pub fn ships(&self, program: &CommandSpec) -> bool {
        let changes = |set: &String| {
            let key: Vec<String> = set.split('=').next().map(split_key).unwrap_or_default();
            key.first().is_some_and(|table| table == "model")
                && key
                    .get(1)
                    .is_none_or(|key| !["settings", "threads", "memory"].contains(&key.as_str()))
        };
        self.is_shipped && !self.set.iter().any(changes) && program.has_shipped_files()
    }

    /// Returns the cell of this label, however its numbers are spelled.
    ///
    /// # Errors
    /// `no cell 'LABEL'`, the nearest one and the others.
    pub fn cell(&self, label: &str) -> std::result::Result<&Cell, String> {
        cell_named(&self.cells, label)
    }
}

/// Returns how many seeds there are: what is asked for, or what the file says.
fn runs(source: &Source, declared: u64, selection: &Selection) -> Result<u64> {
    let runs = selection.runs.unwrap_or(declared);
    if runs == 0 {
        return Err(source.fault("runs", "'runs' must be at least 1"));
    }
    if runs > MOST_SEEDS {
        return Err(match selection.runs {
            Some(runs) => Error::Usage(format!("--runs {runs}: 100,000 seeds are the limit")),
            None => source.fault("runs", "'runs' must be at most 100,000"),
        });
    }
    Ok(runs)
}

/// Finds a cell by its label, as [`Experiment::cell`].
fn cell_named<'a>(cells: &'a [Cell], label: &str) -> std::result::Result<&'a Cell, String> {
    let same = |cell: &&Cell| cell.label == label;
    let found = cells.iter().find(same).or_else(|| {
        let mut equal = cells.iter().filter(|cell| are_equal(&cell.label, label));
        // of two that are equal in value, as 1 and 1.0, neither is meant more than the other
        equal.next().filter(|_| equal.next().is_none())
    });
    found.ok_or_else(|| {
        let names: Vec<&str> = cells.iter().map(|cell| cell.label.as_str()).collect();
        format!("no cell '{label}'{}; its cells: {}", nearest(label, &names), names.join(" "))
    })
}

/// Whether two labels have the same keys and values: numbers are equal by what they are.
fn are_equal(one: &str, other: &str) -> bool {
    let number = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite());
    let part = |(one, other): (&str, &str)| match (one.split_once('='), other.split_once('=')) {
        (Some((key, value)), Some((other_key, other_value))) => {
            let equal = number(value).is_some_and(|value| Some(value) == number(other_value));
            key == other_key && (value == other_value || equal)
        }
        _ => one == other,
    };
    one.split(',').count() == other.split(',').count()
        && one.split(',').zip(other.split(',')).all(part)
}

/// Reads `3,7-9` as the seeds 3, 7, 8, 9.
///
/// # Errors
/// `Usage` for anything else, a seed named twice, or more than 100,000 seeds.
pub fn parse_seeds(text: &str) -> Result<Vec<u64>> {
    let wrong = |why: &str| Error::Usage(format!("--seeds {text}: {why}; write for example 3,7-9"));
    let (mut seeds, mut known) = (Vec::new(), HashSet::new());
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |digits: &str| {
            digits
                .trim()
                .parse::<u64>()
                .map_err(|_| wrong(&format!("'{part}' is no seed or range")))
        };
        let (first, last) = (number(first)?, number(last)?);
        if last < first {
            return Err(wrong(&format!("the range '{part}' is empty")));
        }
        if last - first >= MOST_SEEDS {
            return Err(wrong(&format!("the range '{part}' holds more than 100,000 seeds")));
        }
        if seeds.len() as u64 + (last - first) >= MOST_SEEDS {
            return Err(wrong("there are more than 100,000 seeds"));
        }
        for seed in first..=last {
            if !known.insert(seed) {
                return Err(wrong(&format!("seed {seed} is named twice")));
            }
            seeds.push(seed);
        }
    }
    Ok(seeds)
}

/// Returns the text of an experiment, found as [`Experiment::load`] finds it.
///
/// # Errors
/// `Usage` for an experiment that is not there.
pub fn text(name: &str) -> Result<Cow<'static, str>> {
    find(name).map(|(_, text)| text)
}

/// Returns the file of an experiment, and its text. One in `experiments/` comes before the shipped one.
fn find(name: &str) -> Result<(PathBuf, Cow<'static, str>)> {
    let is_path = name.ends_with(".toml") || name.contains(std::path::MAIN_SEPARATOR);
    let path = match is_path {
        true => PathBuf::from(name),
        false => Path::new(FOLDER).join(format!("{name}.toml")),
    };
    if is_path || path.is_file() {
        let text = read_text(&path, LARGEST_FILE)
            .map_err(|error| Error::Usage(format!("cannot read {}: {error}", path.display())))?;
        return Ok((path, text.into()));
    }
    if let Some(text) = shipped::experiment(name) {
        return Ok((path, text.into()));
    }
    let known = names();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    Err(Error::Usage(format!(
        "no experiment '{name}' in {FOLDER}/ or among the shipped ones{}; there are: {}; or give the \
         path of a .toml file",
        nearest(name, &known),
        known.join(" ")
    )))
}

/// Returns the names of all experiments, sorted: of `experiments/` and the shipped ones.
pub fn names() -> Vec<String> {
    let entries = std::fs::read_dir(FOLDER).into_iter().flatten().flatten();
    let files = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let names = files.filter_map(|file| file.strip_suffix(".toml").map(str::to_owned));
    let shipped = shipped::experiments().into_iter().map(str::to_owned);
    names.chain(shipped).collect::<BTreeSet<String>>().into_iter().collect()
}

/// The text of a file with the place of every key, for errors.
struct Source<'a> {
    path: &'a Path,
    text: &'a str,
    root: Spanned<DeTable<'a>>,
    /// Of files that cells name.
    digests: RefCell<FileDigests>,
}

impl<'a> Source<'a> {
    fn new(path: &'a Path, text: &'a str) -> Result<Self> {
        match DeTable::parse(text) {
            Ok(root) => Ok(Self { path, text, root, digests: RefCell::default() }),
            Err(error) => {
                let at = error.span().map_or(0, |span| span.start);
                Err(Error::Usage(format!(
                    "{}: {}",
                    place(path, text, at),
                    one_line(error.message())
                )))
            }
        }
    }

    fn syntax(&self, error: &toml::de::Error) -> Error {
        let at = error.span().map_or(0, |span| span.start);
        Error::Usage(format!("{}: {}", place(self.path, self.text, at), one_line(error.message())))
    }

    /// `file:line:column` of a dotted key, or of its nearest parent that the file has.
    fn place_of(&self, keys: &[String]) -> String {
        let mut table = self.root.get_ref();
        let mut at = 0;
        for key in keys {
            let Some((name, value)) = table.get_key_value(key.as_str()) else { break };
            at = name.span().start;
            match value.get_ref().as_table() {
                Some(inner) => table = inner,
                None => break,
            }
        }
        place(self.path, self.text, at)
    }

    /// The place of a quoted (`"a.b" = 1`) or bare (`a.b = 1`) dotted key in a table.
    fn place_in(&self, table: &str, key: &str) -> String {
        let entry = self.root.get_ref().get(table).and_then(|inner| inner.get_ref().as_table());
        let mut keys = vec![table.to_owned()];
        match entry {
            Some(entry) if entry.contains_key(key) => keys.push(key.to_owned()),
            Some(_) | None => keys.extend(split_key(key)),
        }
        self.place_of(&keys)
    }

    fn fault(&self, key: &str, what: &str) -> Error {
        Error::Usage(format!("{}: {what}", self.place_of(&split_key(key))))
    }

    fn check_top_level(&self, spec: &Table) -> Result<()> {
        let known: Vec<&str> =
            HEAD.into_iter().chain(COMPARE).chain(READINGS).chain(SECTIONS).chain(GRID).collect();
        for (key, value) in spec {
            let tables = SECTIONS.iter().chain(&GRID).any(|table| table == key);
            if !known.contains(&key.as_str()) {
                let known = format!("{}; known: {}", nearest(key, &known), known.join(", "));
                return Err(self.fault(key, &format!("unknown key '{key}'{known}")));
            }
            if tables && !value.is_table() {
                return Err(self.fault(key, &format!("'{key}' must be a table: write [{key}]")));
            }
        }
        // whether [training] may be missing depends on the model
        let mut needed = SECTIONS.into_iter().filter(|section| *section != TRAINING);
        match needed.find(|section| !spec.contains_key(*section)) {
            Some(section) => Err(self.missing(section)),
            None => Ok(()),
        }
    }

    fn missing(&self, section: &str) -> Error {
        self.fault("", &format!("the table [{section}] is missing"))
    }

    /// Returns the experiment's name, which is the file's whether the file says it or not.
    fn name(&self, given: Option<String>) -> Result<String> {
        let stem = self.path.file_stem().unwrap_or_default().to_string_lossy();
        let name = given.unwrap_or_else(|| stem.clone().into_owned());
        if name != stem {
            let advice = "correct it, or leave 'name' out";
            return Err(self.fault(
                "name",
                &format!("the name '{name}' is not the file's, '{stem}'; {advice}"),
            ));
        }
        // it becomes a directory and a field of CSV files
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        if name.is_empty() || !name.chars().all(plain) {
            let rule = "may hold only letters, digits, '-' and '_'";
            return Err(self.fault("name", &format!("the name '{name}' {rule}")));
        }
        Ok(name)
    }

    fn axes(&self, axes: Option<Value>) -> Result<Vec<Axis>> {
        let Some(Value::Table(axes)) = axes else { return Ok(Vec::new()) };
        // `[axes] model.reconstruction = […]` without quotes is a nested table; both are meant
        let mut flat = Vec::new();
        flatten("", axes, &mut flat);
        flat.into_iter().map(|(key, value)| self.axis("axes", key, value)).collect()
    }

    /// Reads a key of `[axes]`, or of `[[readings]]`, and its values.
    fn axis(&self, table: &str, key: String, value: Value) -> Result<Axis> {
        let (origin, kind) = match table {
            readings::KEY => (self.place_of(&[table.to_owned()]), "the reading"),
            _ => (self.place_in(table, &key), "axis"),
        };
        let wrong = |what: String| Err(Error::Usage(format!("{origin}: {kind} '{key}' {what}")));
        let path = split_key(&key);
        if !SECTIONS.contains(&path[0].as_str()) || path.len() < 2 {
            return wrong(format!(
                "must begin with one of {}",
                SECTIONS.map(|s| format!("{s}.")).join(", ")
            ));
        }
        // the last part is in every label, and labels are directory names
        let name = path[path.len() - 1].as_str();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        if path.len() > DEEPEST_KEY || name.is_empty() || !name.chars().all(plain) {
            return wrong("is no key of an experiment".to_owned());
        }
        let Value::Array(list) = value else {
            return wrong("must be a list: each value is a cell".to_owned());
        };
        if list.is_empty() {
            return wrong("is empty: list at least one value".to_owned());
        }
        if list.len() as u128 > MOST_CELLS {
            return wrong(format!("has {} values; 10,000 cells are the limit", list.len()));
        }
        let mut values: Vec<(String, Value)> = Vec::new();
        for value in list {
            let text = label_of(&value);
            // labels are directory names
            if text.is_empty() || !text.chars().all(|c| c.is_alphanumeric() || "._+-".contains(c)) {
                return wrong(format!("has the value {value}, which cannot be part of a label"));
            }
            if values.iter().any(|(known, _)| *known == text) {
                return wrong(format!("holds {value} twice"));
            }
            values.push((text, value));
        }
        Ok(Axis { key, path, values, origin })
    }

    /// Deserialises one table; an error names the key it is about and the key's place.
    fn read<T: DeserializeOwned>(
        &self,
        section: &str,
        table: &Table,
        overrides: &[Override],
    ) -> Result<T> {
        let attempt = |table: Table| table.try_into::<T>();
        let message = match attempt(table.clone()) {
            Ok(value) => return Ok(value),
            Err(error) => one_line(error.message()),
        };
        // serde loses the place behind a tagged enum: the first key with which the same error
        // appears is the one it is about
        let mut prefix = Table::new();
        let mut culprit = Vec::new();
        if !section.is_empty() {
            culprit.push(section.to_owned());
        }
        let tag = table.iter().filter(|(key, _)| *key == "name");
        for (key, value) in tag.chain(table.iter().filter(|(key, _)| *key != "name")) {
            prefix.insert(key.clone(), value.clone());
            if attempt(prefix.clone()).is_err_and(|error| one_line(error.message()) == message) {
                // a missing field is the table's fault, not that of a key it has
                if !message.starts_with("missing field") {
                    culprit.push(key.clone());
                }
                break;
            }
        }
        Err(self.explain(culprit, &message, overrides))
    }

    /// Turns serde's message about a key into one with place and advice.
    fn explain(&self, mut culprit: Vec<String>, message: &str, overrides: &[Override]) -> Error {
        let names: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
        let unknown = message.starts_with("unknown field");
        // a field of a table in the section's table: the key above it is known already
        let field = names.first().filter(|_| unknown);
        if let Some(field) = field.filter(|field| culprit.last().is_none_or(|last| last != *field))
        {
            culprit.push((*field).to_owned());
        }
        let changed = overrides.iter().rev().find(|change| {
            // a change of the key, or of something in it or around it, but not of its section
            let common = change.path.len().min(culprit.len());
            change.path == culprit || (common >= 2 && change.path[..common] == culprit[..common])
        });
        let at = changed.map_or_else(|| self.place_of(&culprit), |change| change.origin.clone());
        let key = culprit.join(".");
        let list =
            is_of_list(message) && culprit.len() >= 2 && SECTIONS.contains(&culprit[0].as_str());
        Error::Usage(match names.split_first() {
            _ if list => format!(
                "{at}: {key}: a list of values belongs in [axes], where each is a cell: \
                 \"{key}\" = […]; here one is wanted ({message})"
            ),
            Some((wrong, known)) if unknown => {
                let advice = nearest(wrong, known);
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                format!("{at}: unknown key '{key}'{advice}; known: {known}")
            }
            Some(_) | None if key.is_empty() => format!("{at}: {}", explained(message)),
            Some(_) | None => format!("{at}: {key}: {}", explained(message)),
        })
    }
}

/// `[quick]` and then `--set`, in the order in which they apply.
fn overrides(
    source: &Source,
    quick: Option<Value>,
    selection: &Selection,
    axes: &[Axis],
) -> Result<Vec<Override>> {
    let mut all = Vec::new();
    if let Some(Value::Table(quick)) = quick {
        let mut flat = Vec::new();
        flatten("", quick, &mut flat);
        for (key, value) in flat {
            let origin = source.place_in("quick", &key);
            all.push(Override { path: split_key(&key), value, origin });
        }
    } else if selection.quick {
        return Err(source.fault("", "there is no [quick] table, so --quick has no meaning here"));
    }
    let quick_keys = all.len();
    for text in &selection.set {
        let origin = format!("--set {text}");
        let Some((key, value)) = text.split_once('=') else {
            return Err(Error::Usage(format!("{origin}: no '='; write --set training.epochs=25")));
        };
        let key = key.trim();
        all.push(Override { path: split_key(key), value: set_value(value.trim()), origin });
    }
    for change in &all {
        check_override(change, axes)?;
    }
    if !selection.quick {
        // checked all the same: a wrong key in [quick] should not wait for a --quick
        let mut spec: Table = toml::from_str(source.text).map_err(|error| source.syntax(&error))?;
        let quick: Vec<Override> = all.drain(..quick_keys).collect();
        for change in &quick {
            assign(&mut spec, change)?;
        }
        // a key that only the grid gives is not missing
        for Axis { path, values, origin, .. } in axes {
            let (path, value, origin) = (path.clone(), values[0].1.clone(), origin.clone());
            assign(&mut spec, &Override { path, value, origin })?;
        }
        for section in quick.iter().map(|change| change.path[0].as_str()) {
            check_section(source, section, &spec, &quick)?;
        }
    }
    Ok(all)
}

fn check_override(change: &Override, axes: &[Axis]) -> Result<()> {
    let Override { path, origin, .. } = change;
    let key = path.join(".");
    let known: Vec<&str> = SECTIONS.into_iter().chain(["runs"]).collect();
    let section = path[0].as_str();
    if !known.contains(&section) || (section == "runs") != (path.len() == 1) {
        let what = if SECTIONS.contains(&section) && path.len() == 1 {
            format!("'{key}' is a whole table: name one of its keys")
        } else {
            let must = "keys begin with dataset., protocol., model. or training., or are 'runs'";
            format!("unknown key '{key}'{}; {must}", nearest(section, &known))
        };
        return Err(Error::Usage(format!("{origin}: {what}")));
    }
    if path.len() > DEEPEST_KEY {
        return Err(Error::Usage(format!("{origin}: unknown key '{key}'")));
    }
    match axes.iter().find(|axis| axis.path == *path) {
        Some(axis) => Err(Error::Usage(format!(
            "{origin}: '{key}' is an axis of the grid ({}); choose a cell of it with --cell",
            axis.origin
        ))),
        None => Ok(()),
    }
}

/// A value in TOML's syntax, or else a bare string.
fn set_value(text: &str) -> Value {
    match toml::from_str::<Table>(&format!("value = {text}\n")) {
        Ok(mut table) if table.len() == 1 => {
            table.remove("value").unwrap_or_else(|| Value::String(text.to_owned()))
        }
        Ok(_) | Err(_) => Value::String(text.to_owned()),
    }
}

/// Puts a value at a dotted path, making the tables on the way.
fn assign(spec: &mut Table, change: &Override) -> Result<()> {
    let mut table = spec;
    let Some((last, parents)) = change.path.split_last() else { return Ok(()) };
    for key in parents {
        let entry = table.entry(key.clone()).or_insert_with(|| Value::Table(Table::new()));
        match entry {
            Value::Table(inner) => table = inner,
            other => {
                return Err(Error::Usage(format!(
                    "{}: '{key}' is {other}, not a table, so it has no key '{last}'",
                    change.origin
                )));
            }
        }
    }
    table.insert(last.clone(), change.value.clone());
    Ok(())
}

fn check_section(source: &Source, section: &str, spec: &Table, changes: &[Override]) -> Result<()> {
    match section {
        "dataset" => {
            source.read::<DatasetSpec>(section, table_of(spec, section), changes).map(drop)
        }
        "protocol" => {
            source.read::<ProtocolSpec>(section, table_of(spec, section), changes).map(drop)
        }
        "model" => source.read::<ModelSpec>(section, table_of(spec, section), changes).map(drop),
        "training" => {
            source.read::<TrainingSpec>(section, table_of(spec, section), changes).map(drop)
        }
        _ => match spec.get("runs") {
            Some(Value::Integer(1..)) => Ok(()),
            Some(_) | None => {
                Err(source.explain(split_key("runs"), "must be a whole number from 1 on", changes))
            }
        },
    }
}

fn table_of<'a>(spec: &'a Table, section: &str) -> &'a Table {
    static EMPTY: std::sync::LazyLock<Table> = std::sync::LazyLock::new(Table::new);
    spec.get(section).and_then(Value::as_table).unwrap_or(&EMPTY)
}

/// What cells a file has: of its readings those of the design, of its other axes every combination.
#[derive(Clone, Copy)]
struct Grid<'a> {
    axes: &'a [Axis],
    /// How many of the axes are readings; they come first.
    readings: usize,
    design: &'a Design,
}

/// Every combination of the grid, the last axis fastest, each followed by its controls.
fn expand(
    source: &Source,
    spec: &Table,
    Grid { axes, readings, design }: Grid,
    overrides: &[Override],
    controls: &Controls,
) -> Result<Vec<Cell>> {
    let rows = readings::combinations(design, readings, axes, MOST_CELLS).map_err(|count| {
        source.fault("axes", &format!("the grid has {count} cells; 10,000 is the limit"))
    })?;
    let length = source.text.len();
    if (rows.len() * length) as u128 > LARGEST_GRID {
        let count = rows.len();
        let what = format!("the grid has {count} cells, too many for a file of {length} bytes");
        return Err(source.fault("axes", &what));
    }
    let mut cells = Vec::new();
    for row in rows {
        let chosen = axes.iter().zip(row).map(|(axis, value)| (axis, &axis.values[value]));
        let chosen: Vec<(&Axis, &(String, Value))> = chosen.collect();
        let cell = cell_of(source, spec, &chosen, overrides)?;
        if controls.untrained && !cell.model.is_trained() {
            let what = "this model is fitted at once: there is no untrained one beside it";
            return Err(source.fault("controls.untrained", what));
        }
        let control = controls.untrained.then(|| untrained(&cell));
        cells.push(cell);
        cells.extend(control);
    }
    Ok(cells)
}

fn cell_of(
    source: &Source,
    spec: &Table,
    chosen: &[(&Axis, &(String, Value))],
    overrides: &[Override],
) -> Result<Cell> {
    let mut spec = spec.clone();
    let mut changes = overrides.to_vec();
    let mut label = Vec::new();
    let mut axes = IndexMap::new();
    for (axis, (text, value)) in chosen {
        let origin = axis.origin.clone();
        let change = Override { path: axis.path.clone(), value: value.clone(), origin };
        assign(&mut spec, &change)?;
        changes.push(change);
        label.push(format!("{}={text}", axis.path[axis.path.len() - 1]));
        axes.insert(axis.key.clone(), text.clone());
    }
    let label = if label.is_empty() { "base".to_owned() } else { label.join(",") };
    if label.len() > 200 {
        let what = format!("the label '{label}' is too long for a directory name (200 bytes)");
        return Err(source.fault("axes", &what));
    }
    for section in SECTIONS {
        if let Some(path) = not_finite(&[section.to_owned()], spec.get(section)) {
            return Err(source.explain(path, "must be a finite number", &changes));
        }
    }
    let model: ModelSpec = source.read("model", table_of(&spec, "model"), &changes)?;
    let mut cell = Cell {
        label: label.into(),
        axes,
        control: None,
        dataset: source.read("dataset", table_of(&spec, "dataset"), &changes)?,
        protocol: source.read("protocol", table_of(&spec, "protocol"), &changes)?,
        training: training(source, &spec, &model, &changes)?,
        model,
    };
    match &mut cell.model {
        ModelSpec::Command(command) => {
            let folder = source.path.parent().unwrap_or(Path::new(""));
            let mut known = source.digests.borrow_mut();
            command.digest_files(folder, &mut known).map_err(|(name, error)| {
                let path = folder.join(name);
                source.fault("model.files", &format!("cannot read {}: {error}", path.display()))
            })?;
        }
        ModelSpec::Scores(scores) => scores.forget_files(),
        _ => {}
    }
    cell.dataset.check().map_err(|error| source.fault("dataset", &error.to_string()))?;
    let split = cell.protocol.split.check(&cell.dataset);
    split.map_err(|error| source.fault("protocol.split", &error.to_string()))?;
    check_values(source, &cell, &changes)?;
    complete_scoring(source, &mut cell, &changes)?;
    Ok(cell)
}

/// The first number below a key that is infinite or NaN: no key takes one, and JSON, which jobs and keys are
/// written in, has none.
fn not_finite(path: &[String], value: Option<&Value>) -> Option<Vec<String>> {
    match value? {
        Value::Float(number) => (!number.is_finite()).then(|| path.to_vec()),
        Value::Table(table) => table.iter().find_map(|(key, value)| {
            not_finite(&[path, std::slice::from_ref(key)].concat(), Some(value))
        }),
        Value::Array(values) => values.iter().find_map(|value| not_finite(path, Some(value))),
        Value::String(_) | Value::Integer(_) | Value::Boolean(_) | Value::Datetime(_) => None,
    }
}

/// Reads the `[training]` table of a network; other methods have none.
fn training(
    source: &Source,
    spec: &Table,
    model: &ModelSpec,
    changes: &[Override],
) -> Result<TrainingSpec> {
    let table = spec.get(TRAINING).and_then(Value::as_table);
    if model.is_trained() {
        return source.read(TRAINING, table.ok_or_else(|| source.missing(TRAINING))?, changes);
    }
    match table.and_then(|table| table.keys().next()) {
        None => Ok(TrainingSpec::none()),
        Some(key) => {
            let what = "is no key beside this model, which is fitted at once";
            Err(source.explain(vec![TRAINING.to_owned(), key.clone()], what, changes))
        }
    }
}

fn untrained(cell: &Cell) -> Cell {
    let training = TrainingSpec { epochs: 0, ..cell.training.clone() };
    let (label, control) = (cell.label.with(Control::Untrained), Some(Control::Untrained));
    Cell { label, control, training, ..cell.clone() }
}

/// What the types allow and the protocol does not.
fn check_values(source: &Source, cell: &Cell, changes: &[Override]) -> Result<()> {
    let TrainingSpec { epochs, batch_size, learning_rate, gradient_clip, weight_decay, .. } =
        &cell.training;
    let positive = |value: f64| value.is_finite() && value > 0.0;
    let share = cell.protocol.contamination;
    let checks = [
        ("training.epochs", *epochs <= 10_000_000, "must be at most 10,000,000"),
        (
            "training.batch-size",
            (1..=10_000_000).contains(batch_size),
            "must lie between 1 and 10,000,000",
        ),
        (
            "training.learning-rate",
            positive(*learning_rate) || !cell.model.is_trained(),
            "must be a number above 0",
        ),
        ("training.gradient-clip", gradient_clip.is_none_or(positive), "must be a number above 0"),
        ("training.weight-decay", weight_decay.is_none_or(positive), "must be a number above 0"),
        ("protocol.contamination", (0.0..1.0).contains(&share), "must lie in [0, 1)"),
        (
            "protocol.samples",
            cell.protocol.samples.is_none_or(|samples| samples <= 10_000),
            "must lie between 0 and 10,000",
        ),
    ];
    let own = checks.into_iter().find(|(_, good, _)| !good);
    let of_model = cell.model.fault().map(|(key, what)| (format!("model.{key}"), what));
    match own.map(|(key, _, what)| (key.to_owned(), what)).or(of_model) {
        Some((key, what)) => Err(source.explain(split_key(&key), what, changes)),
        None => Ok(()),
    }
}

/// Gives a variational model's scoring its defaults, so that they are part of what is stored, and
/// refuses to choose a score.
fn complete_scoring(source: &Source, cell: &mut Cell, changes: &[Override]) -> Result<()> {
    let protocol = &mut cell.protocol;
    let wrong = |key: &str, what: &str| Err(source.explain(split_key(key), what, changes));
    let given = [
        ("protocol.score", protocol.score.is_some()),
        ("protocol.samples", protocol.samples.is_some()),
        ("protocol.average", protocol.average.is_some()),
    ];
    if !cell.model.has_scores() {
        return match given.into_iter().find(|(_, given)| *given) {
            Some((key, _)) => wrong(key, "is no key beside this model, which has one score"),
            None => Ok(()),
        };
    }
    if protocol.score.is_none() {
        let scores = "reconstruction-probability, reconstruction-error or negative-elbo";
        return wrong("protocol", &format!("this model needs a 'score': {scores}"));
    }
    protocol.samples.get_or_insert(10);
    protocol.average.get_or_insert(Average::LogLikelihood);
    Ok(())
}

/// A value as it stands in a label: lists and tables join what they hold with `-`.
fn label_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Boolean(truth) => truth.to_string(),
        Value::Datetime(moment) => moment.to_string(),
        Value::Array(list) => list.iter().map(label_of).collect::<Vec<_>>().join("-"),
        Value::Table(table) => table.values().map(label_of).collect::<Vec<_>>().join("-"),
    }
}

/// Dotted keys of nested tables. A table that is itself a value (it sits below a section's key)
/// cannot be told from dotted keys, so quoted keys are the way to give one.
fn flatten(prefix: &str, table: Table, out: &mut Vec<(String, Value)>) {
    for (key, value) in table {
        let section = prefix.is_empty() && SECTIONS.contains(&key.as_str());
        match value {
            Value::Table(inner) if section => flatten(&format!("{key}."), inner, out),
            value => out.push((format!("{prefix}{key}"), value)),
        }
    }
}

fn split_key(key: &str) -> Vec<String> {
    key.split('.').map(|part| part.trim().trim_matches('"').to_owned()).collect()
}

/// `file:line:column`, both from 1, of a byte offset.
fn place(path: &Path, text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    format!("{}:{line}:{column}", path.display())
}

fn one_line(message: &str) -> String {
    message.lines().map(str::trim).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ModelSpec;

    const TEXT: &str = r#"name = "x"
title = "X"
runs = 3

[dataset]
name = "kddcup"
encoding = "protocol-service-flag"
scaling = { kind = "min-max", fit = "train" }

[protocol]
split = { kind = "half-of-all" }
threshold = { top = 0.2, of = "test" }

[model]
name = "dagmm"
hidden = [60, 30, 10]
latent = 1
mixtures = 4

[training]
epochs = 200
batch-size = 1024
learning-rate = 1e-4

[axes]
"model.reconstruction" = ["sum", "mean"]
"model.latent" = [1, 2]

[controls]
untrained = true

[quick]
runs = 2
"training.epochs" = 25
"#;

    fn parse(text: &str, selection: &Selection) -> Result<Experiment> {
        Experiment::parse(Path::new("experiments/x.toml"), text, selection)
    }

    fn changed(from: &str, to: &str) -> String {
        assert!(TEXT.contains(from));
        TEXT.replacen(from, to, 1)
    }

    fn error(text: &str) -> String {
        parse(text, &Selection::default()).unwrap_err().to_string()
    }

    fn set_error(set: &str) -> String {
        let selection = Selection { set: vec![set.to_owned()], ..Selection::default() };
        parse(TEXT, &selection).unwrap_err().to_string()
    }

    #[test]
    fn the_grid_follows_the_file_and_every_cell_has_its_control() {
        let experiment = parse(TEXT, &Selection::default()).unwrap();
        let labels: Vec<&str> = experiment.cells.iter().map(|cell| cell.label.as_str()).collect();
        assert_eq!(
            labels,
            [
                "reconstruction=sum,latent=1",
                "reconstruction=sum,latent=1,control=untrained",
                "reconstruction=sum,latent=2",
                "reconstruction=sum,latent=2,control=untrained",
                "reconstruction=mean,latent=1",
                "reconstruction=mean,latent=1,control=untrained",
                "reconstruction=mean,latent=2",
                "reconstruction=mean,latent=2,control=untrained",
            ]
        );
        assert_eq!(experiment.cells[0].training.epochs, 200);
        assert_eq!(experiment.cells[1].training.epochs, 0);
        assert_eq!(experiment.cells[1].control, Some(Control::Untrained));
        let ModelSpec::Dagmm(model) = &experiment.cells[6].model else { panic!("not DAGMM") };
        assert_eq!(model.latent, 2);
        assert_eq!(experiment.cells[6].axes["model.reconstruction"], "mean");
        assert_eq!((experiment.seeds, experiment.scale), (vec![1, 2, 3], Scale::Full));
    }

    #[test]
    fn without_axes_there_is_one_base_cell() {
        let text = TEXT.split("[axes]").next().unwrap();
        let experiment = parse(text, &Selection::default()).unwrap();
        assert_eq!(experiment.cells.len(), 1);
        assert_eq!(experiment.cells[0].label, "base");
    }

    #[test]
    fn quick_overrides_what_it_names_and_set_wins_over_quick() {
        let quick = Selection { quick: true, ..Selection::default() };
        let experiment = parse(TEXT, &quick).unwrap();
        assert_eq!((experiment.seeds.clone(), experiment.scale), (vec![1, 2], Scale::Quick));
        assert_eq!(experiment.cells[0].training.epochs, 25);
        assert_eq!(experiment.cells[1].training.epochs, 0);
        let set = vec!["training.epochs=3".to_owned(), "training.gradient-clip = 5".to_owned()];
        let experiment = parse(TEXT, &Selection { set, runs: Some(4), ..quick }).unwrap();
        assert_eq!(experiment.cells[0].training.epochs, 3);
        assert_eq!(experiment.cells[0].training.gradient_clip, Some(5.0));
        assert_eq!(experiment.seeds, [1, 2, 3, 4]);
    }

    #[test]
    fn set_takes_bare_strings_tables_and_lists() {
        let set = ["dataset.encoding=all-categorical", "model.hidden=[8, 4]"];
        let set = set.into_iter().chain(["protocol.split={ kind = \"half-of-normals\" }"]);
        let set = set.map(str::to_owned).collect();
        let cell = parse(TEXT, &Selection { set, ..Selection::default() }).unwrap().cells.remove(0);
        let ModelSpec::Dagmm(model) = &cell.model else { panic!("not DAGMM") };
        assert_eq!(model.hidden, [8, 4]);
        assert_eq!(cell.protocol.split, SplitSpec::HalfOfNormals);
    }

    #[test]
    fn unknown_keys_are_refused_with_place_and_nearest_name() {
        let at = |text: &str, place: &str, advice: &str| {
            let message = error(text);
            assert!(message.starts_with(&format!("experiments/x.toml:{place}: ")), "{message}");
            assert!(message.contains(advice), "{message}");
        };
        at(&changed("latent = 1", "latnet = 1"), "17:1", "'model.latnet'; did you mean 'latent'?");
        at(&changed("[training]", "[trainig]"), "20:2", "did you mean 'training'?");
        at(&changed("epochs = 200", "epoch = 200"), "21:1", "did you mean 'epochs'?");
        at(&changed("title", "titel"), "2:1", "did you mean 'title'?");
        at(&changed("untrained", "untraind"), "30:1", "did you mean 'untrained'?");
        at(&changed("\"model.latent\"", "\"model.latnet\""), "27:1", "did you mean 'latent'?");
        at(&changed("\"training.epochs\"", "\"training.epoch\""), "34:1", "mean 'epochs'?");
        at(&changed("\"training.epochs\"", "\"trainig.epochs\""), "34:1", "mean 'training'?");
        at(&changed("encoding =", "encodin ="), "7:1", "did you mean 'encoding'?");
        at(&changed("\"dagmm\"", "\"dagm\""), "15:1", "did you mean 'dagmm'?");
        at(&changed("\"train\"", "\"trian\""), "8:1", "did you mean 'train'?");
    }

    #[test]
    fn wrong_types_and_missing_keys_name_their_place() {
        let message = error(&changed("mixtures = 4", "mixtures = \"four\""));
        assert!(message.starts_with("experiments/x.toml:18:1: model.mixtures: "), "{message}");
        let message = error(&changed("epochs = 200\n", ""));
        assert!(message.contains("x.toml:20:2: training: missing field `epochs`"), "{message}");
        let message = error(&changed("batch-size = 1024", "batch-size = 0"));
        assert!(message.contains(":22:1: training.batch-size: must lie between 1"), "{message}");
        let message = error(&changed("runs = 3", "runs = 0"));
        assert!(message.contains("x.toml:3:1: 'runs' must be at least 1"), "{message}");
        let message = error(&changed("runs = 3", "runs = 3 3"));
        assert!(message.starts_with("experiments/x.toml:3:"), "{message}");
        let message = error(&changed("name = \"x\"", "name = \"y\""));
        assert!(message.contains("x.toml:1:1: the name 'y' is not the file's, 'x'"), "{message}");
    }

    #[test]
    fn axes_must_be_lists_without_doubles() {
        let message = error(&changed("[1, 2]", "[]"));
        assert!(message.contains("27:1: axis 'model.latent' is empty"), "{message}");
        let message = error(&changed("[1, 2]", "[1, 2, 1]"));
        assert!(message.contains("axis 'model.latent' holds 1 twice"), "{message}");
        let message = error(&changed("[1, 2]", "2"));
        assert!(message.contains("must be a list"), "{message}");
        let message = error(&changed("\"model.latent\"", "\"runs\""));
        assert!(message.contains("must begin with one of dataset., "), "{message}");
        let message = error(&changed("[1, 2]", "[1, \"two\"]"));
        assert!(message.contains("27:1: model.latent: "), "{message}");
    }

    #[test]
    fn set_errors_name_the_flag() {
        let message = set_error("training.epoch=3");
        assert!(message.starts_with("--set training.epoch=3: unknown key"), "{message}");
        assert!(message.contains("did you mean 'epochs'?"), "{message}");
        assert!(set_error("training.epochs=many").starts_with("--set training.epochs=many: "));
        assert!(set_error("training.epochs").contains("no '='"));
        assert!(set_error("training=3").contains("is a whole table"));
        assert!(set_error("model.latent=3").contains("is an axis of the grid"));
        assert!(set_error("epochs=3").contains("unknown key 'epochs'"));
        assert!(set_error("training.epochs.x=3").contains("not a table"));
        assert!(set_error("training.learning-rate=-1").contains("must be a number above 0"));
        for (change, key) in [
            ("training.learning-rate=nan", "training.learning-rate"),
            ("model.lambda-energy=-inf", "model.lambda-energy"),
            ("protocol.threshold={ value = inf }", "protocol.threshold.value"),
        ] {
            let message = set_error(change);
            assert!(message.contains(&format!("{key}: must be a finite number")), "{message}");
        }
        for change in ["training.epochs=10000001", "training.batch-size=9223372036854775807"] {
            let message = set_error(change);
            assert!(message.contains("10,000,000"), "{message}");
        }
    }

    #[test]
    fn seeds_are_lists_of_numbers_and_ranges() {
        assert_eq!(parse_seeds("3,7-9").unwrap(), [3, 7, 8, 9]);
        for wrong in ["", "a", "9-7", "1,1", "1-", "-1", "1,,2", "0-18446744073709551615"] {
            assert!(parse_seeds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_selected_cell_brings_its_controls() {
        let experiment = parse(TEXT, &Selection::default()).unwrap();
        let chosen = experiment.select(&["reconstruction=sum,latent=1".to_owned()]).unwrap();
        let labels: Vec<&str> = chosen.iter().map(|cell| cell.label.as_str()).collect();
        let control = "reconstruction=sum,latent=1,control=untrained";
        assert_eq!(labels, ["reconstruction=sum,latent=1", control]);
        let message = experiment.select(&["reconstruction=sun".to_owned()]).unwrap_err();
        assert!(message.to_string().contains("its cells: reconstruction=sum,latent=1 "));
    }

    #[test]
    fn the_experiments_that_ship_parse_and_have_the_cells_that_their_papers_name() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments");
        let entries = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        let mut count = 0;
        for path in entries.filter(|path| path.extension().is_some_and(|end| end == "toml")) {
            count += 1;
            let text = std::fs::read_to_string(&path).unwrap();
            for quick in [false, true] {
                let selection = Selection { quick, ..Selection::default() };
                let experiment = Experiment::parse(&path, &text, &selection).unwrap();
                for paper in &experiment.papers {
                    let paper = crate::paper::load(&experiment.papers_folder(), paper).unwrap();
                    let figures = paper.figures.iter().map(|one| (&one.experiment, &one.cell));
                    let marks = paper.fingerprints.iter();
                    let all = figures.chain(marks.map(|one| (&one.experiment, &one.cell)));
                    let own = all.filter(|(of, _)| of.as_ref() == Some(&experiment.name));
                    let cells: Vec<_> = own.map(|(_, cell)| cell).collect();
                    let chosen = experiment.compare.iter().any(|one| one.paper == paper.name);
                    assert!(chosen || !cells.is_empty(), "{} of {}", paper.name, experiment.name);
                    for cell in cells.into_iter().flatten() {
                        experiment.select(&[cell.to_string()]).unwrap();
                    }
                }
            }
        }
        assert!(count >= 13, "{count}");
    }

    #[test]
    fn a_grid_of_astronomically_many_cells_is_refused_before_it_is_made() {
        // 100^10, and 256^8, which is 0 modulo 2^64
        for (axes, values) in [(10, 100), (8, 256)] {
            let values: Vec<String> = (0..values).map(|value: u32| value.to_string()).collect();
            let axis = |axis| format!("\"model.a{axis}\" = [{}]\n", values.join(", "));
            let axes: String = (0..axes).map(axis).collect();
            let text = changed("[controls]", &format!("{axes}[controls]"));
            let error = error(&text);
            assert!(error.contains("10,000 is the limit"), "{error}");
        }
        let values: Vec<String> = (0..10_001).map(|value: u32| value.to_string()).collect();
        let error = error(&changed("[1, 2]", &format!("[{}]", values.join(", "))));
        assert!(error.contains("axis 'model.latent' has 10001 values"), "{error}");
    }

    #[test]
    fn more_runs_than_anyone_can_keep_are_refused_before_they_are_listed() {
        let of = |runs: u64| error(&changed("runs = 3", &format!("runs = {runs}")));
        assert!(
            of(1_000_000_000_000_000_000).contains("x.toml:3:1: 'runs' must be at most 100,000")
        );
        let asked = |selection: Selection| parse(TEXT, &selection).unwrap_err().to_string();
        let all = asked(Selection { runs: Some(u64::MAX), ..Selection::default() });
        assert!(all.starts_with("--runs 18446744073709551615: 100,000 seeds"), "{all}");
        assert!(parse_seeds("1-18446744073709551615").is_err());
        assert!(parse_seeds("1-100000").is_ok_and(|seeds| seeds.len() == 100_000));
        let ranges = parse_seeds("1-100000,100001").unwrap_err().to_string();
        assert!(ranges.contains("there are more than 100,000 seeds"), "{ranges}");
        let values: Vec<String> = (1..=20).map(|value: u32| value.to_string()).collect();
        let grid = changed("[1, 2]", &format!("[{}]", values.join(", ")));
        let error = error(&grid.replacen("runs = 3", "runs = 100000", 1));
        assert!(error.contains("80 cells under 100000 seeds are more than 1,000,000"), "{error}");
    }

    #[test]
    fn a_file_that_nobody_wrote_by_hand_is_refused() {
        let error = error(&format!("{TEXT}# {}\n", "x".repeat(LARGEST_FILE as usize)));
        assert!(error.contains("262144 is the limit of an experiment file"), "{error}");
        // each cell is as long as its file
        let values: Vec<String> = (0..2500).map(|value: u32| value.to_string()).collect();
        let grid = changed("[1, 2]", &format!("[{}]", values.join(", ")));
        let error = super::tests::error(&format!("{grid}# {}\n", "x".repeat(100_000)));
        assert!(error.contains("the grid has 5000 cells, too many for a file of"), "{error}");
    }

    #[test]
    fn a_key_cannot_become_a_path_or_a_tower_of_tables() {
        for key in ["protocol.split./tmp/x", "model.a b", "model.x\\ny", "model.é"] {
            let error = error(&changed("\"model.latent\"", &format!("\"{key}\"")));
            assert!(error.contains("is no key of an experiment"), "{key}: {error}");
        }
        let tower = vec!["a"; 50_000].join(".");
        let error = error(&changed("\"model.latent\"", &format!("\"model.{tower}\"")));
        assert!(error.contains("is no key of an experiment"));
        for (set, quick) in [(vec![format!("model.{tower}=1")], false), (vec![], true)] {
            let text = changed("\"training.epochs\" = 25", &format!("\"model.{tower}\" = 1"));
            let text = if quick { text } else { TEXT.to_owned() };
            let selection = Selection { set, quick, ..Selection::default() };
            let error = parse(&text, &selection).unwrap_err().to_string();
            assert!(error.contains("unknown key 'model.a.a"));
        }
    }
}
