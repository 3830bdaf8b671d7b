//! What a job is expected to take before anything like it has run here: its rows × epochs × the cost of a
//! step, from what its cells say. Rough, and meant to be: `time_left` corrects it by what has run. Reads no
//! file and knows no clock.

use crate::dataset::Shape;
use crate::model::{CommandSpec, ModelSpec};
use crate::store::record::Job;

/// Seconds of a slot for the parts of a job, in the order in which they come.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Parts {
    /// From the start of its process until its data are loaded, split and scaled.
    pub start: f64,
    /// Its epochs; of a method without any, fitting and scoring.
    pub training: f64,
    /// From the last epoch until its records are there.
    pub end: f64,
}

impl Parts {
    /// Adds them up.
    pub fn total(&self) -> f64 {
        self.start + self.training + self.end
    }

    /// Returns the same start, with the rest scaled to these seconds.
    #[must_use]
    pub fn with_rest(self, seconds: f64) -> Self {
        match self.training + self.end {
            rest if rest > 0.0 => {
                let scale = seconds / rest;
                Self { training: self.training * scale, end: self.end * scale, ..self }
            }
            _ => Self { end: seconds, ..self },
        }
    }

    /// Returns so much of each.
    #[must_use]
    pub fn times(self, share: f64) -> Self {
        Self { start: self.start * share, training: self.training * share, end: self.end * share }
    }
}

/// Where the files alone know the size of a data set.
const UNKNOWN: Shape = Shape { rows: 20_000, official_train: None, features: 100, image: None };

/// A process that starts, with libtorch in it.
const PROCESS: f64 = 0.5;
/// To read, split and scale a value.
const VALUE: f64 = 1.5e-8;
/// A step, whatever its rows.
const STEP: f64 = 2e-4;
/// A multiplication of a dense layer, and of a convolution, whose products are larger.
const DENSE: f64 = 2e-11;
const CONVOLUTION: f64 = 8e-12;
/// A step forward is one product of each layer; its gradient takes two more.
const TRAINED: f64 = 3.0;
/// To score whatever there is, and to write the records.
const RECORDS: f64 = 0.2;
/// To score a row, beside its products: ranks, metrics, reading it again.
const SCORED: f64 = 1e-6;
/// A program that is somebody's: an interpreter and its packages.
const PROGRAM: f64 = 3.0;

/// Reckons what a job is expected to take on a core.
pub fn expected(job: &Job) -> Parts {
    let cell = job.cell();
    let shape = cell.dataset.shape().unwrap_or(UNKNOWN);
    let (train, test) = cell.protocol.split.at_most(&shape);
    let (train, test) = (train as f64, test as f64);
    let seeds = job.seeds.len() as f64;
    let work = work(&cell.model, shape.features as f64);
    let batch = cell.training.batch_size.max(1) as f64;
    let epochs = cell.training.epochs as f64;
    let steps = (train / batch).ceil();
    let training = match &cell.model {
        ModelSpec::Command(CommandSpec { .. }) => PROGRAM,
        ModelSpec::Pca(_) => train * work,
        _ => epochs * (steps * STEP + TRAINED * train * work),
    };
    let scoring = job.cells.iter().map(|cell| {
        let draws = cell.protocol.samples.map_or(1.0, |samples| f64::from(samples.max(1)));
        test * (SCORED + draws * work)
    });
    Parts {
        start: PROCESS + VALUE * (shape.rows * shape.features) as f64,
        training: seeds * training,
        end: seeds * scoring.map(|seconds| RECORDS + seconds).sum::<f64>(),
    }
}

/// Seconds of a row's way through a model.
fn work(model: &ModelSpec, features: f64) -> f64 {
    let layers = |hidden: &[usize], latent: usize| {
        let widths = hidden.iter().map(|&width| width as f64).chain([latent as f64]);
        let mut products = 0.0;
        let mut before = features;
        for width in widths {
            products += before * width;
            before = width;
        }
        products
    };
    match model {
        ModelSpec::Dagmm(spec) => DENSE * 2.0 * layers(&spec.hidden, spec.latent),
        ModelSpec::Autoencoder(spec) => DENSE * 2.0 * layers(&spec.hidden, spec.latent),
        // code and reconstruction have a mean and a variance each
        ModelSpec::Vae(spec) => DENSE * 3.0 * layers(&spec.hidden, spec.latent),
        ModelSpec::ConvVae(spec) => {
            let [first, second] = spec.channels.map(|channels| channels as f64);
            // 3 × 3 kernels that halve the image twice, and a dense layer either way
            let quarter = features / 16.0;
            let convolutions = features / 4.0 * 9.0 * first + quarter * 9.0 * first * second;
            let dense = quarter * second * 3.0 * spec.latent as f64;
            2.0 * CONVOLUTION * convolutions + DENSE * dense
        }
        // the covariance
        ModelSpec::Pca(_) => DENSE * features * features,
        ModelSpec::Command(_) | ModelSpec::Scores(_) => DENSE * features,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::tests::job;

    #[test]
    fn what_is_expected_grows_with_rows_epochs_seeds_and_cells() {
        let one = job(3, &[1]);
        let parts = expected(&one);
        assert!(parts.start > 0.0 && parts.training > 0.0 && parts.end > 0.0, "{parts:?}");
        let two = expected(&job(3, &[1, 2]));
        assert_eq!((two.start, two.training), (parts.start, 2.0 * parts.training));
        let mut longer = one.clone();
        longer.cells[0].training.epochs *= 10;
        assert!((expected(&longer).training / parts.training - 10.0).abs() < 1e-9);
        let mut both = one.clone();
        both.cells.push(both.cells[0].clone());
        assert_eq!(expected(&both).end, 2.0 * parts.end);
        let mut control = one;
        control.cells[0].training.epochs = 0;
        let control = expected(&control);
        assert_eq!((control.start, control.training), (parts.start, 0.0));
        // of a control that stored runs know, all of the time is that of scoring
        assert_eq!(control.with_rest(7.0), Parts { end: 7.0, ..control });
        let known = parts.with_rest(30.0);
        assert!((known.total() - parts.start - 30.0).abs() < 1e-9);
    }
}
