//! What turns a job into records, whatever scores its rows: load, split, fit the scaling; then flag and
//! measure. Methods that fit and score without libtorch lie here too, each in a file; networks are the
//! trainer's, which takes everything else from here. Decides nothing that an experiment file does not say,
//! and stores nothing: `store` does.

mod measure;
mod pca;
mod prepare;

use std::time::Instant;

use crate::error::Result;
use crate::experiment::Cell;
use crate::machine::Versions;
use crate::machine::memory::Need;
use crate::model::ModelSpec;
use crate::store::record::{Calibration, Job, Message};

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

/// Fits a method on training rows, and scores them and test rows.
fn fit_and_score(model: &ModelSpec, train: Rows, test: Rows) -> Scored {
    match model {
        ModelSpec::Pca(spec) => {
            let pca = pca::Pca::fit(spec, train);
            let scores = pca.scores(test);
            Scored {
                train: Some(pca.scores(train)),
                test_error: scores.clone(),
                test: scores,
                broken: None,
            }
        }
        ModelSpec::Dagmm(_)
        | ModelSpec::Autoencoder(_)
        | ModelSpec::Vae(_)
        | ModelSpec::ConvVae(_) => unreachable!("networks are the trainer's"),
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
        let scored = score(&prepared, run);
        let labels = prepared.labels(run);
        let wall = started.elapsed().as_secs_f64() / job.cells.len() as f64;
        for cell in 0..job.cells.len() {
            let outcome = prepared.measure(run, cell, &scored, &labels);
            let provenance = Versions::of_build(String::new()).provenance(&job.device, 1);
            let ending = Ending { outcome, curve: Vec::new(), terms: Vec::new(), wall, provenance };
            emit(Message::Record(Box::new(prepared.record(run, cell, ending))));
        }
    }
    Ok(())
}

fn score(prepared: &Prepared, run: &Run) -> Scored {
    let features = prepared.dataset.features();
    let [train, test] =
        [&run.split.train, &run.split.test].map(|rows| prepared.dataset.encode(rows, &run.scaling));
    let rows = |values| Rows { values, features };
    fit_and_score(&prepared.job.cell().model, rows(&train), rows(&test))
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
    let _ = score(&prepared, &prepared.runs[0]);
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
