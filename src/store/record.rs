//! What goes into a worker and what comes out: the job, its messages and the record of each run.
//! Types alone: `run` makes records, `store` keeps them, `report` reads them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::experiment::{Cell, Scale};
use crate::machine::device;
use crate::metrics::{Counts, Metrics};
use crate::store;
use crate::words::words;

/// What one worker process trains; what `seedbed-train run` reads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    pub experiment: String,
    /// One cell or more that share their training: they differ in how long it goes on, and in how scores are
    /// made and flagged.
    pub cells: Vec<Cell>,
    /// The seeds that are trained together.
    pub seeds: Vec<u64>,
    pub scale: Scale,
    /// `cpu` or `cuda:0` …
    pub device: String,
    /// Where data files are searched, in order.
    pub data: Vec<PathBuf>,
    /// The experiment file's folder, from which a method's program and files are named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
    /// Of one seed; none where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pictures: Option<Pictures>,
    /// What a worker leaves in the experiment's folder of results beside records; nothing where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<Kept>,
}

/// What a worker keeps of runs, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The experiment's folder of results.
    pub folder: PathBuf,
    /// Whether the scores of each run are written beside its record.
    pub scores: bool,
}

/// Which pictures are made, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pictures {
    /// Whose pictures; nothing is drawn by a job without it.
    pub seed: u64,
    /// The experiment's folder of results.
    pub folder: PathBuf,
    /// After which epochs reconstructions are shown, beside the last.
    pub epochs: Vec<u64>,
}

impl Job {
    /// Makes a job of cells on the CPU, without pictures or folders of data.
    pub fn of(experiment: &str, scale: Scale, cells: Vec<Cell>, seeds: Vec<u64>) -> Self {
        let (experiment, device) = (experiment.to_owned(), "cpu".to_owned());
        let (data, folder, pictures, kept) = (Vec::new(), None, None, None);
        Self { experiment, cells, seeds, scale, device, data, folder, pictures, kept }
    }

    /// The cell that stands for all in what they share, everything up to the trained network: the first of
    /// those that train longest.
    ///
    /// # Panics
    /// Without a cell; jobs are made of cells.
    pub fn cell(&self) -> &Cell {
        let longest = self.cells.iter().rev().max_by_key(|cell| cell.training.epochs);
        longest.expect("a job has cells")
    }

    /// Number of runs: one a cell and seed.
    pub fn runs(&self) -> usize {
        self.cells.len() * self.seeds.len()
    }

    /// The cells, for people.
    pub fn label(&self) -> String {
        match self.cells.len() {
            1 => self.cell().label.to_string(),
            count => format!("{} and {} more", self.cell().label, count - 1),
        }
    }
}

words! {
    /// How a run ended; well, where nothing else is said.
    #[derive(Default)]
    pub enum State {
        #[default]
        Ok = "ok",
        Diverged = "diverged",
        OutOfMemory = "out-of-memory",
        Crashed = "crashed",
        TimedOut = "timed-out",
        InvalidData = "invalid-data",
    }
}

/// What a worker writes on stdout, one JSON object a line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "message")]
pub enum Message {
    /// After every epoch (and once with `epoch` 0 when the data are loaded).
    Progress {
        epoch: u64,
        epochs: u64,
        /// Mean loss of the epoch, of the job's first run that has not diverged.
        loss: Option<f64>,
        /// Training rows a second, all the job's seeds together.
        rows_per_second: f64,
    },
    /// One run ended.
    Record(Box<Record>),
    /// Something that people should know and that changes no record.
    Warning { text: String },
}

/// What a run leaves: enough to check it, and to make every table without training again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    pub experiment: String,
    pub cell: Cell,
    pub seed: u64,
    pub scale: Scale,
    /// `store::key` of cell, seed, data digest, protocol version and device kind.
    pub key: String,
    pub protocol_version: u32,
    /// `cpu` or `cuda`.
    pub device_kind: String,
    pub state: State,
    /// Why a run that is not `ok` ended, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counts: Option<Counts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Metrics>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// Further measurements by name, such as `reconstruction_error_normal_test`.
    pub diagnostics: BTreeMap<String, f64>,
    /// Epochs trained.
    pub epochs: u64,
    /// One entry an epoch: the mean of each term of the loss, by the names in `loss_terms`.
    pub loss_curve: Vec<Vec<f64>>,
    pub loss_terms: Vec<String>,
    pub digests: Digests,
    /// Seeds trained together in the job.
    pub batch_width: usize,
    pub provenance: Provenance,
    pub wall_seconds: f64,
}

impl Record {
    /// Makes the record of a job's run, as one that ended well and of which nothing is known but what
    /// it was made from: how it ended and what it left are then filled in.
    pub fn of(job: &Job, cell: &Cell, seed: u64, data_sha256: &str) -> Self {
        let device_kind = device::kind(&job.device);
        Self {
            experiment: job.experiment.clone(),
            cell: cell.clone(),
            seed,
            scale: job.scale,
            key: store::key(cell, seed, data_sha256, device_kind),
            protocol_version: cell.model.protocol_version(),
            device_kind: device_kind.to_owned(),
            state: State::Ok,
            failure: None,
            counts: None,
            metrics: None,
            threshold: None,
            diagnostics: BTreeMap::new(),
            epochs: 0,
            loss_curve: Vec::new(),
            loss_terms: Vec::new(),
            digests: Digests { data: data_sha256.to_owned(), ..Digests::default() },
            batch_width: job.seeds.len(),
            provenance: Provenance::default(),
            wall_seconds: 0.0,
        }
    }
}

#[cfg(test)]
impl Record {
    /// The record with what every run that ended well has.
    pub fn ended_well(self) -> Self {
        let counts = Counts { tp: 2, fp: 1, fn_: 2, tn: 5 };
        let metrics = Metrics::from_fn(|metric| counts.metric(metric).unwrap_or(Some(0.1)));
        let [split, scores] = ["s", "c"].map(str::to_owned);
        Self {
            counts: Some(counts),
            metrics: Some(metrics),
            threshold: Some(0.1 + 0.2),
            digests: Digests { split, scores, ..self.digests },
            ..self
        }
    }
}

/// SHA-256, in hexadecimal, of what a run was made from and made.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Digests {
    pub data: String,
    pub split: String,
    pub init: String,
    /// Empty for a run that is not `ok`.
    pub scores: String,
}

/// Where and with what a run was made; no part of it enters a key.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// Commit of the source the binary was built from; empty outside a repository.
    pub commit: String,
    /// Whether the source differed from that commit.
    pub dirty: bool,
    pub seedbed: String,
    pub tch: String,
    pub libtorch: String,
    pub device: String,
    pub cpu: String,
    pub threads: usize,
    pub host: String,
    /// The compiler, as it names itself, and the C library, whose functions compute too; empty in
    /// records of a time before they were kept, and where there is no such library.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rustc: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub glibc: String,
    /// Of a run on a card; absent where no worker could write its record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card: Option<OnCard>,
    /// SHA-256 of what the program of `model.environment` printed; its text lies in the experiment's folder
    /// of results, `environments/<sha256>.txt`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub environment: String,
    /// Of scores that were made elsewhere: their files. What stands beside it is then of the program that
    /// judged them; what made them is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elsewhere: Option<Elsewhere>,
}

/// The files of scores that somebody gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Elsewhere {
    /// As it was named; its digest is in `cell.model`, and so in the key.
    pub scores: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_scores: Option<String>,
}

/// The card that made a run, and how it was told to compute, as its worker found both.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnCard {
    /// As its driver names it; empty where that does not tell.
    pub model: String,
    pub switches: Switches,
    /// CUBLAS_WORKSPACE_CONFIG, without which cuBLAS may add in another order each time.
    pub cublas_workspace: String,
}

/// libtorch's switches for how a device computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Switches {
    /// Whether it takes kernels that give the same bits each time, and fails where there are none.
    pub deterministic_algorithms: bool,
    pub cudnn_deterministic: bool,
    /// Whether cuDNN may choose a convolution's kernel by trying several.
    pub cudnn_benchmark: bool,
    /// Whether f32 factors may be rounded to 10 bits.
    pub tf32_products: bool,
    pub tf32_convolutions: bool,
}

/// What a few timed steps tell about a job.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Seconds until the first step: loading, splitting, scaling.
    pub load_seconds: f64,
    /// From the start of the worker's process to the end of its first step; known to who started it.
    #[serde(default)]
    pub first_step_seconds: f64,
    /// The share of the timed steps' last second in which a card computed, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub utilisation: Option<u32>,
    /// Median over the timed steps, of all the job's seeds together.
    pub seconds_per_step: f64,
    pub steps_per_epoch: u64,
    /// To score one seed for one cell, from a few of its rows.
    pub scoring_seconds: f64,
}
