//! The only training loop: a network, the training rows of every seed and the numbers of the
//! optimiser in, trained parameters and a loss curve out. It knows nothing of data sets,
//! thresholds or files, and it gives up on one seed without disturbing the others.

mod batches;
mod draws;
mod stepper;
#[cfg(test)]
mod tests;
mod timing;

use std::thread;
use std::time::Instant;

use tch::{Device, Kind, Tensor};

use crate::model::Detector;
use crate::nn::Parameters;
use seedbed::experiment::TrainingSpec;

pub use batches::TrainingRows;
pub use stepper::clip_norm;
pub use timing::{Timed, time_steps};

use batches::Walk;
use draws::Draws;
use stepper::Stepper;

/// Where and on what a run broke down.
#[derive(Debug, Clone, PartialEq)]
pub struct Divergence {
    /// From 1.
    pub epoch: u64,
    /// Step within the epoch, from 1.
    pub step: usize,
    /// The first term that was not finite, or `covariance` where one had no Cholesky factor.
    pub term: &'static str,
}

impl std::fmt::Display for Divergence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { epoch, step, term } = self;
        match *term {
            "covariance" => {
                write!(f, "a covariance has no Cholesky factor in epoch {epoch}, step {step}")
            }
            term => write!(f, "{term} is not finite in epoch {epoch}, step {step}"),
        }
    }
}

/// What training tells of one seed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Course {
    /// One entry an epoch: the mean over its rows of the total loss and then of each term.
    pub curve: Vec<Vec<f64>>,
    pub divergence: Option<Divergence>,
}

/// Told to the caller after each epoch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Epoch {
    /// From 1.
    pub number: u64,
    /// Mean loss of the first seed that goes on.
    pub loss: Option<f64>,
    /// Rows of all seeds together.
    pub rows_per_second: f64,
}

/// What is trained: a network, the training rows of every seed, and the numbers of the optimiser.
#[derive(Debug, Clone, Copy)]
pub struct Training<'a> {
    pub detector: &'a Detector,
    pub rows: &'a TrainingRows,
    pub seeds: &'a [u64],
    pub spec: &'a TrainingSpec,
}

/// Trains `parameters` in place for `spec.epochs` epochs and returns each seed's course. `told` learns of each
/// epoch what every seed has come to: its course so far and its parameters, which are those that training for
/// so many epochs ends with.
pub fn train(
    Training { detector, rows, seeds, spec }: Training,
    parameters: &mut Parameters,
    told: &mut dyn FnMut(Epoch, &[Course], &Parameters),
) -> Vec<Course> {
    let walk = Walk::new(rows, seeds, spec);
    let mut courses = vec![Course::default(); seeds.len()];
    let mut stepper = Stepper::new(detector, parameters, rows, &walk, spec);
    thread::scope(|scope| {
        let device = rows.values.device();
        let mut draws = Draws::new(scope, &walk, detector.network.noise(), spec.epochs, device);
        for epoch in 1..=spec.epochs {
            let started = Instant::now();
            let order = draws.next_order();
            let measured: Vec<Tensor> = (0..walk.steps)
                .map(|step| {
                    let going = |seed: usize| courses[seed].divergence.is_none();
                    let active: Vec<bool> = (0..seeds.len())
                        .map(|seed| walk.rows_of(seed, step) > 0 && going(seed))
                        .collect();
                    stepper.step(&order, step, draws.next_noise().as_ref(), &active)
                })
                .collect();
            if walk.steps > 0 {
                let measured = Tensor::stack(&measured, 0);
                note_epoch(&walk, detector.network.terms(), &measured, epoch, &mut courses);
            }
            let going = courses.iter().find(|course| course.divergence.is_none());
            let told_epoch = Epoch {
                number: epoch,
                loss: going.and_then(|course| course.curve.last()).map(|means| means[0]),
                rows_per_second: rows.counts.iter().sum::<usize>() as f64
                    / started.elapsed().as_secs_f64(),
            };
            told(told_epoch, &courses, stepper.parameters);
            if going.is_none() {
                break;
            }
        }
    });
    courses
}

/// Reads an epoch's losses back, once, and files them: [steps, seeds, failed + total + terms].
fn note_epoch(
    walk: &Walk,
    terms: &[&'static str],
    measured: &Tensor,
    epoch: u64,
    courses: &mut [Course],
) {
    let size = measured.size();
    let (steps, seeds, columns) = (size[0] as usize, size[1] as usize, size[2] as usize);
    let flat = measured.to_device(Device::Cpu).to_kind(Kind::Double).reshape([-1]);
    let values = Vec::<f64>::try_from(flat).expect("a contiguous f64 tensor on the CPU");
    for (seed, course) in courses.iter_mut().enumerate().filter(|(_, c)| c.divergence.is_none()) {
        let mut means = vec![0.0; columns - 1];
        for step in 0..steps {
            let count = walk.rows_of(seed, step);
            if count == 0 {
                continue;
            }
            let row = &values[(step * seeds + seed) * columns..][..columns];
            if let Some(term) = broken(row, terms) {
                course.divergence = Some(Divergence { epoch, step: step + 1, term });
                break;
            }
            let share = count as f64 / walk.taken[seed] as f64;
            for (mean, value) in means.iter_mut().zip(&row[1..]) {
                *mean += value * share;
            }
        }
        if course.divergence.is_none() {
            course.curve.push(means);
        }
    }
}

/// The first thing wrong with a step's `Loss::row`, in the order of computation: the first term,
/// what broke down after it, the other terms, their sum.
fn broken(row: &[f64], terms: &[&'static str]) -> Option<&'static str> {
    let (failed, total, values) = (row[0] != 0.0, row[1], &row[2..]);
    match values.iter().position(|value| !value.is_finite()) {
        Some(0) => Some(terms[1]),
        Some(_) | None if failed => Some("covariance"),
        Some(number) => Some(terms[number + 1]),
        None => (!total.is_finite()).then_some(terms[0]),
    }
}
