//! What turns a job into records, whatever scores its rows: load, split, fit the scaling; then flag and
//! measure. Methods that fit and score without libtorch lie here too, each in a file, and the door to those
//! that are somebody's program. Networks are the trainer's, which takes everything else from here. Decides
//! nothing that an experiment file does not say, and stores nothing: `store` does.

mod measure;
mod pca;
mod prepare;
mod program;

use std::path::PathBuf;
use std::time::Instant;

use crate::error::{Error, Result};
use crate::experiment::Cell;
use crate::machine::Versions;
use crate::machine::memory::Need;
use crate::model::ModelSpec;
use crate::store::record::{Calibration, Job, Message, State};

pub use measure::{Ending, Measured, Outcome, Scored};
pub use prepare::{Prepared, Run, Tested};

/// Rows of numbers, one after another.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    pub values: &'a [f32],
    pub features: usize,
}

impl Rows<'_> {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.values.len() / self.features
    }
}

/// What a method is given of a run.
#[derive(Debug)]
pub struct Given<'a> {
    pub seed: u64,
    pub train: Rows<'a>,
    pub test: Rows<'a>,
    /// Names of the features.
    pub columns: &'a [String],
    /// Height and width, where rows are images.
    pub image: Option<(usize, usize)>,
    /// Whether the training rows must be scored too.
    pub wants_train: bool,
    /// The experiment file's folder.
    pub folder: PathBuf,
}

/// How a run failed, and why.
pub type Failure = (State, String);

/// Fits a method on training rows, and scores them and test rows.
fn fit_and_score(
    model: &ModelSpec,
    given: &Given,
    emit: &mut dyn FnMut(Message),
) -> std::result::Result<Scored, Failure> {
    match model {
        ModelSpec::Pca(spec) => {
            let pca = pca::Pca::fit(spec, given.train);
            let (train, test) = (Some(pca.scores(given.train)), pca.scores(given.test));
            Ok(Scored { train, test_error: test.clone(), test, broken: None })
        }
        ModelSpec::Command(spec) => program::fit_and_score(spec, given, emit),
        ModelSpec::Dagmm(_)
        | ModelSpec::Autoencoder(_)
        | ModelSpec::Vae(_)
        | ModelSpec::ConvVae(_) => {
            let what = "a network is the trainer's: give the job to seedbed-train";
            Err((State::InvalidData, what.to_owned()))
        }
    }
}

/// What a job of a cell needs of memory, roughly and rather more; none where only the data's files know
/// how large they are.
pub fn memory_need(cell: &Cell) -> Option<Need> {
    const PROGRAM: u64 = 64 << 20;
    let shape = cell.dataset.shape()?;
    let (train, test) = cell.protocol.split.at_most(&shape);
    let bytes = |values: usize| (values * size_of::<f32>()) as u64;
    // the data set as it is read, a byte a value; covariance, its vectors and some rows in f64
    let table = (shape.rows * shape.features) as u64;
    let fitted = 8 * bytes(shape.features * shape.features.max(ROWS_AT_ONCE));
    let fixed = PROGRAM + table + fitted + bytes((train + test) * shape.features);
    Some(Need { fixed, per_seed: 0 })
}

/// Rows that a method takes into f64 at a time; bounds its memory.
const ROWS_AT_ONCE: usize = 4096;

/// Fits and scores every run of a job, and emits a record for each.
///
/// # Errors
/// When no run could begin: data missing or wrong, a split that the data set cannot give, more components
/// than columns.
pub fn execute(job: &Job, emit: &mut dyn FnMut(Message)) -> Result<()> {
    let prepared = Prepared::new(job)?;
    job.cell().model.fits(prepared.dataset.features())?;
    emit(Message::Progress { epoch: 0, epochs: 0, loss: None, rows_per_second: 0.0 });
    for run in &prepared.runs {
        let started = Instant::now();
        let scored = score(&prepared, run, emit);
        let labels = prepared.labels(run);
        let wall = started.elapsed().as_secs_f64() / job.cells.len() as f64;
        for cell in 0..job.cells.len() {
            let outcome = match &scored {
                Ok(scored) => prepared.measure(run, cell, scored, &labels),
                Err(failure) => Err(failure.clone()),
            };
            let provenance = Versions::of_build(String::new()).provenance(&job.device, 1);
            let ending = Ending { outcome, curve: Vec::new(), terms: Vec::new(), wall, provenance };
            emit(Message::Record(Box::new(prepared.record(run, cell, ending))));
        }
    }
    Ok(())
}

fn score(
    prepared: &Prepared,
    run: &Run,
    emit: &mut dyn FnMut(Message),
) -> std::result::Result<Scored, Failure> {
    let Prepared { job, dataset, .. } = prepared;
    let features = dataset.features();
    let [train, test] =
        [&run.split.train, &run.split.test].map(|rows| dataset.encode(rows, &run.scaling));
    let given = Given {
        seed: run.seed,
        train: Rows { values: &train, features },
        test: Rows { values: &test, features },
        columns: dataset.columns(),
        image: dataset.image(),
        wants_train: job.cells.iter().any(|cell| cell.protocol.scores_training_rows()),
        folder: job.folder.clone().unwrap_or_default(),
    };
    fit_and_score(&job.cell().model, &given, emit)
}

/// Times a job's first run: what a network does in steps is one here.
///
/// # Errors
/// As [`execute`].
pub fn calibrate(job: &Job, first: &mut dyn FnMut()) -> Result<Calibration> {
    let started = Instant::now();
    let prepared = Prepared::new(job)?;
    job.cell().model.fits(prepared.dataset.features())?;
    let load_seconds = started.elapsed().as_secs_f64();
    let started = Instant::now();
    if let Err((_, why)) = score(&prepared, &prepared.runs[0], &mut |_| {}) {
        return Err(Error::Failed(why));
    }
    first();
    Ok(Calibration {
        load_seconds,
        first_step_seconds: 0.0,
        utilisation: None,
        seconds_per_step: 0.0,
        steps_per_epoch: 0,
        scoring_seconds: started.elapsed().as_secs_f64(),
    })
}
