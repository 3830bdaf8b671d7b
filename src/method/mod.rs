//! What turns a job into records, whatever scores its rows: load, split, fit the scaling; then flag and
//! measure. Methods that fit and score without libtorch lie here too, each in a file, and the door to those
//! that are somebody's program. Networks are the trainer's, which takes everything else from here. Decides
//! nothing that an experiment file does not say, and stores nothing: `store` does.

pub mod folder;
mod measure;
mod pca;
mod prepare;
mod program;
pub mod score_file;

use std::collections::BTreeMap;
use std::time::Instant;

use crate::error::{Error, Result};
use crate::experiment::Cell;
use crate::machine::Versions;
use crate::machine::memory::Need;
use crate::model::{Bytes, ModelSpec};
use crate::store::record::{Calibration, Job, Message, Provenance, State};

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

/// What a method gives back of a run.
#[derive(Debug, Clone)]
struct Fitted {
    scored: Scored,
    /// Names of the loss's terms, and their means, an entry an epoch; empty for a method without epochs.
    terms: Vec<String>,
    curve: Vec<Vec<f64>>,
    /// What the method measured itself.
    diagnostics: BTreeMap<String, f64>,
}

impl Fitted {
    fn of(scored: Scored) -> Self {
        let (terms, curve, diagnostics) = (Vec::new(), Vec::new(), BTreeMap::new());
        Self { scored, terms, curve, diagnostics }
    }
}

/// How a run failed, and why.
pub type Failure = (State, String);

/// Fits a job's method on a run's training rows, and scores them and the test rows.
fn fit_and_score(
    prepared: &Prepared,
    run: &Run,
    emit: &mut dyn FnMut(Message),
) -> std::result::Result<Fitted, Failure> {
    match &prepared.job.cell().model {
        ModelSpec::Pca(spec) => {
            let dataset = &prepared.dataset;
            let [train, test] =
                [&run.split.train, &run.split.test].map(|rows| dataset.encode(rows, &run.scaling));
            let [train, test] = [&train, &test]
                .map(|values| Rows { values, features: prepared.dataset.features() });
            let pca = pca::Pca::fit(spec, train);
            let (train, test) = (Some(pca.scores(train)), pca.scores(test));
            Ok(Fitted::of(Scored { train, test_error: test.clone(), test, broken: None }))
        }
        ModelSpec::Command(spec) => program::fit_and_score(spec, prepared, run, emit),
        ModelSpec::Scores(_) => {
            let what = "these scores come from elsewhere: 'seedbed score' judges them";
            Err((State::InvalidData, what.to_owned()))
        }
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
/// how large they are and nothing is declared. A program needs what its experiment declares beside.
pub fn memory_need(cell: &Cell) -> Option<Need> {
    const PROGRAM: u64 = 64 << 20;
    let declared = match &cell.model {
        ModelSpec::Command(spec) => spec.memory.map(|Bytes(bytes)| bytes),
        _ => None,
    };
    let Some(shape) = cell.dataset.shape() else {
        return declared.map(|bytes| Need { fixed: PROGRAM + bytes, per_seed: 0 });
    };
    // the data set as it is read, a byte a value
    let table = (shape.rows * shape.features) as u64;
    let bytes = |values: usize| (values * size_of::<f32>()) as u64;
    let (train, test) = cell.protocol.split.at_most(&shape);
    let fitted = match declared {
        // rows go to the program some at a time
        Some(bytes) => bytes,
        // covariance, its vectors and some rows in f64; a program is taken to hold its rows
        None => {
            8 * bytes(shape.features * shape.features.max(ROWS_AT_ONCE))
                + bytes((train + test) * shape.features)
        }
    };
    Some(Need { fixed: PROGRAM + table + fitted, per_seed: 0 })
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
    let model = &job.cell().model;
    model.fits(prepared.dataset.features())?;
    emit(Message::Progress { epoch: 0, epochs: 0, loss: None, rows_per_second: 0.0 });
    let environment = match model {
        ModelSpec::Command(spec) => program::environment(spec, job),
        _ => Ok(String::new()),
    };
    for run in &prepared.runs {
        let started = Instant::now();
        let fitted = environment.clone().and_then(|_| fit_and_score(&prepared, run, emit));
        let wall = started.elapsed().as_secs_f64() / job.cells.len() as f64;
        let provenance = Provenance {
            environment: environment.clone().unwrap_or_default(),
            ..Versions::of_build(String::new()).provenance(&job.device, model.cores())
        };
        emit_records(&prepared, run, &fitted, (wall, &provenance), emit);
    }
    Ok(())
}

/// Emits the record of each cell of a run.
fn emit_records(
    prepared: &Prepared,
    run: &Run,
    fitted: &std::result::Result<Fitted, Failure>,
    (wall, provenance): (f64, &Provenance),
    emit: &mut dyn FnMut(Message),
) {
    let labels = prepared.labels(run);
    for cell in 0..prepared.job.cells.len() {
        let mut ending = Ending {
            outcome: match fitted {
                Ok(fitted) => prepared.measure(run, cell, &fitted.scored, &labels),
                Err(failure) => Err(failure.clone()),
            },
            curve: Vec::new(),
            terms: Vec::new(),
            wall,
            provenance: provenance.clone(),
        };
        if let Ok(fitted) = fitted {
            (ending.curve, ending.terms) = (fitted.curve.clone(), fitted.terms.clone());
        }
        if let (Ok(measured), Ok(fitted)) = (&mut ending.outcome, fitted) {
            measured.diagnostics.extend(fitted.diagnostics.clone());
        }
        emit(Message::Record(Box::new(prepared.record(run, cell, ending))));
    }
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
    if let Err((_, why)) = fit_and_score(&prepared, &prepared.runs[0], &mut |_| {}) {
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
