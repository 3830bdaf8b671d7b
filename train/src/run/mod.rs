//! The protocol on one page: a job (a cell and the seeds trained together) in, records out.
//! Load, split, fit the scaling, train, score, flag, measure. It decides nothing that an
//! experiment file does not say, and stores nothing: `store` does.

pub mod album;

use std::collections::{BTreeMap, HashSet};
use std::panic::{self, AssertUnwindSafe};
use std::time::Instant;

use sha2::{Digest, Sha256};
use tch::{Device, Kind, Tensor, no_grad};

use crate::model::{self, Detector, Scores, Scoring, ToScore};
use crate::nn::{ParameterSpec, Parameters};
use crate::run::album::{Album, Scored, TestRows};
use crate::training::{self, Course, Training, TrainingRows};
use seedbed::dataset::{self, Dataset, Split};
use seedbed::error::{Error, Result};
use seedbed::experiment::Cell;
use seedbed::machine::memory::Need;
use seedbed::metrics::{self, Counts, Metrics};
use seedbed::store::record::{
    Calibration, Digests, Job, Message, OnCard, Provenance, Record, State,
};

use crate::device;

/// Rows that are encoded at a time.
const CHUNK: usize = 16_384;

/// Trains and scores every run of a job, and emits a record for each, whatever becomes of it.
///
/// # Errors
/// When no run could begin: data missing or wrong, a device that is not there, a split that the
/// data set cannot give.
pub fn execute(job: &Job, emit: &mut dyn FnMut(Message)) -> Result<()> {
    let started = Instant::now();
    let prepared = Prepared::new(job)?;
    // records come seed by seed, and a seed's cell by cell
    let mut ended = 0;
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| {
        prepared.run(started, &mut |message| {
            ended += usize::from(matches!(message, Message::Record(_)));
            emit(message);
        });
    }));
    if let Err(cause) = outcome {
        let text = panic_text(cause.as_ref());
        let cells = 0..job.cells.len();
        let runs = prepared.runs.iter().flat_map(|run| cells.clone().map(move |cell| (run, cell)));
        for (run, cell) in runs.skip(ended) {
            let failure = Some((failed_state(&text), text.clone()));
            let wall = started.elapsed().as_secs_f64() / (job.seeds.len() * job.cells.len()) as f64;
            let ending = Ending { failure, wall, ..Ending::default() };
            emit(Message::Record(Box::new(prepared.record(run, cell, ending))));
        }
    }
    Ok(())
}

/// What a job of a cell needs of its device, host or card, roughly and rather more; none where only
/// the data's files know how large they are.
///
/// A worker holds the training rows of every seed, six values a parameter (itself, its gradient, Adam's
/// two moments and their temporaries), and the activations of a batch about eight times; scoring takes
/// one seed's test rows twice.
pub fn memory_need(cell: &Cell, device_kind: &str) -> Option<Need> {
    const MIB: u64 = 1 << 20;
    // libtorch and what it keeps for itself; on a card its context, and noise drawn ahead of its use
    let library = if device_kind == "cpu" { 256 * MIB } else { 1152 * MIB };
    let shape = cell.dataset.shape()?;
    let (train, test) = cell.protocol.split.at_most(&shape);
    let (detector, specs) = model::build(&cell.model, shape.features, shape.image).ok()?;
    let parameters: i64 = specs.iter().map(ParameterSpec::count).sum();
    let of_row = shape.features + detector.network.activations(&specs);
    let activations = of_row * cell.training.batch_size.min(train);
    let bytes = |values: usize| (values * size_of::<f32>()) as u64;
    // of the data set as it is read, a byte a value
    let table = if device_kind == "cpu" { (shape.rows * shape.features) as u64 } else { 0 };
    let fixed = library + table + 2 * bytes(test * shape.features);
    let rows = bytes(train * shape.features);
    let per_seed = rows + 6 * bytes(parameters as usize) + 8 * bytes(activations);
    Some(Need { fixed, per_seed })
}

/// Times `steps` optimiser steps of a job after a few untimed ones, of which `first` is told when the
/// first is done; nothing is stored.
pub fn calibrate(job: &Job, steps: usize, first: &mut dyn FnMut()) -> Result<Calibration> {
    const WARM_UP: usize = 5;
    let started = Instant::now();
    let prepared = Prepared::new(job)?;
    let spec = &job.cell().training;
    let load_seconds = started.elapsed().as_secs_f64();
    let timed = training::Timed { warm_up: WARM_UP, steps };
    let mut parameters = prepared.parameters.copy();
    let seconds = training::time_steps(prepared.training(), &mut parameters, timed, first);
    // NVML tells of the last second or less
    let utilisation = device::utilisation(prepared.device);
    let seconds_per_step = seedbed::stats::median(&seconds)
        .ok_or_else(|| Error::Usage("a calibration needs at least one step".into()))?;
    let steps_per_epoch = prepared.rows.steps(spec) as u64;
    let scoring_seconds = prepared.time_scoring();
    Ok(Calibration {
        load_seconds,
        first_step_seconds: 0.0,
        utilisation,
        seconds_per_step,
        steps_per_epoch,
        scoring_seconds,
    })
}

/// Everything of a job that exists before the first step.
struct Prepared<'a> {
    job: &'a Job,
    dataset: Dataset,
    device: Device,
    card: Option<OnCard>,
    runs: Vec<Run>,
    detector: Detector,
    parameters: Parameters,
    rows: TrainingRows,
}

/// One seed of a job.
struct Run {
    /// Place in the job, from 0.
    index: usize,
    seed: u64,
    /// What trains, and all that is scored.
    split: Split,
    /// Of each cell: the test rows that count for it.
    tested: Vec<Tested>,
    scaling: dataset::Scaling,
    digests: Digests,
}

/// The test rows that count for a cell.
struct Tested {
    /// Their places among the rows that are scored, in order; none where all count.
    places: Option<Vec<usize>>,
    split_digest: String,
}

impl Tested {
    fn new(split: &Split, scored: &Split) -> Self {
        let counted: HashSet<u32> = split.test.iter().copied().collect();
        let places = (split != scored).then(|| {
            let all = scored.test.iter().enumerate();
            all.filter(|(_, row)| counted.contains(row)).map(|(place, _)| place).collect()
        });
        Self { places, split_digest: split.sha256() }
    }

    /// Those of `values`, one a scored row, that count.
    fn of<T: Copy>(&self, values: &[T]) -> Vec<T> {
        match &self.places {
            Some(places) => places.iter().map(|&place| values[place]).collect(),
            None => values.to_vec(),
        }
    }
}

/// How a run ended, as far as it came.
#[derive(Default)]
struct Ending {
    course: Course,
    measured: Option<Measured>,
    failure: Option<(State, String)>,
    wall: f64,
}

/// What is measured on the scores of an `ok` run.
struct Measured {
    counts: Counts,
    metrics: Metrics,
    threshold: f64,
    diagnostics: BTreeMap<String, f64>,
    scores_digest: String,
}

impl<'a> Prepared<'a> {
    fn new(job: &'a Job) -> Result<Self> {
        // One thread a worker: sums split over threads would depend on their number.
        tch::set_num_threads(1);
        let device = device::open(&job.device)?;
        let cell = job.cell();
        let dataset = dataset::load(&cell.dataset, &job.data)?;
        let protocol = &cell.protocol;
        let mut runs = Vec::new();
        for (index, &seed) in job.seeds.iter().enumerate() {
            let scored = protocol.split.before_batches();
            let contamination = protocol.contamination;
            let split = dataset::split(&dataset, &scored, contamination, seed)?;
            let of_cell = |cell: &Cell| {
                let own = dataset::split(&dataset, &cell.protocol.split, contamination, seed)?;
                Ok(Tested::new(&own, &split))
            };
            let tested = job.cells.iter().map(of_cell).collect::<Result<_>>()?;
            let scaling = dataset.fit(&split.train);
            let digests = Digests { data: dataset.sha256().to_owned(), ..Digests::default() };
            runs.push(Run { index, seed, split, tested, scaling, digests });
        }
        let (detector, specs) = model::build(&cell.model, dataset.features(), dataset.image())?;
        if detector.network.needs_unit_interval() {
            check_unit_interval(&dataset, &runs)?;
        }
        let parameters = Parameters::initialise(specs, &job.seeds, device);
        for run in &mut runs {
            run.digests.init = digest(&parameters.of_seed(run.index).flat().to_kind(Kind::Double));
        }
        let counts = runs.iter().map(|run| run.split.train.len()).collect();
        let rows = TrainingRows::empty(counts, dataset.features(), device);
        for run in &runs {
            encode_into(&rows.of_seed(run.index), &dataset, &run.split.train, &run.scaling);
        }
        let card = device::on_card(device);
        Ok(Self { job, dataset, device, card, runs, detector, parameters, rows })
    }

    /// Seconds that scoring the first seed for the first cell takes, by those of a few rows.
    fn time_scoring(&self) -> f64 {
        const ROWS: usize = 2048;
        let (run, cell) = (&self.runs[0], self.job.cell());
        let few = &run.split.test[..ROWS.min(run.split.test.len())];
        let test = encode(&self.dataset, few, &run.scaling, self.device);
        let train = self.rows.of_seed(0);
        let some = train.narrow(0, 0, train.size()[0].min(ROWS as i64));
        let batch_size = cell.training.batch_size;
        let rows = ToScore { train: &some, test: &test, seed: run.seed, batch_size };
        let scoring = cell.protocol.scoring();
        let started = Instant::now();
        let _ = no_grad(|| {
            self.detector.network.scores(&self.parameters.of_seed(0), rows, scoring.as_slice())
        });
        let seconds = started.elapsed().as_secs_f64();
        // a model without a choice of scores passes the training rows too
        let with_train = scoring.is_none_or(|scoring| scoring.train);
        let count =
            |test: usize, train: i64| test as f64 + if with_train { train as f64 } else { 0.0 };
        seconds * count(run.split.test.len(), train.size()[0]) / count(few.len(), some.size()[0])
    }

    fn training(&self) -> Training<'_> {
        let (detector, rows, seeds) = (&self.detector, &self.rows, &self.job.seeds[..]);
        Training { detector, rows, seeds, spec: &self.job.cell().training }
    }

    fn run(&self, started: Instant, emit: &mut dyn FnMut(Message)) {
        let epochs = self.job.cell().training.epochs;
        emit(Message::Progress { epoch: 0, epochs, loss: None, rows_per_second: 0.0 });
        let mut album = self.album();
        let mut parameters = self.parameters.copy();
        let courses =
            training::train(self.training(), &mut parameters, &mut |epoch, parameters| {
                emit(Message::Progress {
                    epoch: epoch.number,
                    epochs,
                    loss: epoch.loss,
                    rows_per_second: epoch.rows_per_second,
                });
                if let Some(album) = &mut album {
                    album.epoch(epoch.number, &parameters.of_seed(album.index()));
                }
            });
        // A run's share of what the job did together, then its own scoring.
        let share = started.elapsed().as_secs_f64() / self.runs.len() as f64;
        for (run, course) in self.runs.iter().zip(courses) {
            let mut album = album.as_mut().filter(|album| album.is_of(run.seed));
            if let Some(album) = &mut album {
                album.trained(&course, &parameters.of_seed(run.index));
            }
            let scoring = Instant::now();
            let outcomes = match &course.divergence {
                Some(divergence) => {
                    let failure = (State::Diverged, divergence.to_string());
                    self.job.cells.iter().map(|_| Err(failure.clone())).collect()
                }
                None => self.measure(run, &parameters.of_seed(run.index), album.as_deref_mut()),
            };
            let wall = share + scoring.elapsed().as_secs_f64();
            for (place, (cell, outcome)) in self.job.cells.iter().zip(outcomes).enumerate() {
                let wall = wall / self.job.cells.len() as f64;
                let (measured, failure) = match outcome {
                    Ok(measured) => (Some(measured), None),
                    Err(failure) => (None, Some(failure)),
                };
                let ending = Ending { course: course.clone(), measured, failure, wall };
                let record = self.record(run, place, ending);
                if let Some(album) = &mut album {
                    album.ended(&cell.label, &record.key);
                }
                emit(Message::Record(Box::new(record)));
            }
        }
        for text in album.map(Album::close).unwrap_or_default() {
            emit(Message::Warning { text });
        }
    }

    fn album(&self) -> Option<Album<'_>> {
        let pictures = self.job.pictures.as_ref()?;
        let run = self.runs.iter().find(|run| run.seed == pictures.seed)?;
        let rows = TestRows {
            values: encode(&self.dataset, &run.split.test, &run.scaling, self.device),
            labels: self.labels(run),
            image: self.dataset.image(),
        };
        Some(Album::new(self.job, pictures, run.index, &self.detector, rows))
    }

    /// Of the test rows.
    fn labels(&self, run: &Run) -> Vec<bool> {
        run.split.test.iter().map(|&row| self.dataset.labels()[row as usize]).collect()
    }

    /// Scores the run's rows once for all cells; then for each flags them by its rule and measures
    /// the outcome.
    fn measure(
        &self,
        run: &Run,
        parameters: &Parameters,
        mut album: Option<&mut Album>,
    ) -> Vec<Outcome> {
        let test = encode(&self.dataset, &run.split.test, &run.scaling, self.device);
        let train = self.rows.of_seed(run.index);
        let cells = &self.job.cells;
        let rows = ToScore {
            train: &train,
            test: &test,
            seed: run.seed,
            batch_size: self.job.cell().training.batch_size,
        };
        let scorings: Vec<Scoring> =
            cells.iter().filter_map(|cell| cell.protocol.scoring()).collect();
        let scores = no_grad(|| self.detector.network.scores(parameters, rows, &scorings));
        let labels = self.labels(run);
        // a model without a choice of scores has one for every cell
        let of_cells = scores.iter().cycle().take(cells.len());
        let mut outcomes = Vec::new();
        for ((cell, tested), scores) in cells.iter().zip(&run.tested).zip(of_cells) {
            let outcome = self.measure_cell(cell, tested, scores, &labels);
            if let (Some(album), Ok(measured)) = (&mut album, &outcome) {
                let Measured { threshold, counts, metrics, .. } = measured;
                let (threshold, counts) = (*threshold, *counts);
                let (scores, labels) = (&tested.of(&values(&scores.test)), &tested.of(&labels));
                album.scored(cell, &Scored { scores, labels, threshold, counts, metrics });
            }
            outcomes.push(outcome);
        }
        outcomes
    }

    fn measure_cell(
        &self,
        cell: &Cell,
        tested: &Tested,
        scores: &Scores,
        labels: &[bool],
    ) -> Outcome {
        let (test, labels) = (tested.of(&values(&scores.test)), tested.of(labels));
        let train = scores.train.as_ref().filter(|_| cell.protocol.scores_training_rows());
        let train = train.map(values).unwrap_or_default();
        if let Some(why) = scores.broken {
            return Err((State::Diverged, why.into()));
        }
        if test.iter().chain(&train).any(|score| score.is_nan()) {
            return Err((State::Diverged, "a score is not a number after training".into()));
        }
        let invalid = |error: Error| (State::InvalidData, error.to_string());
        let rule = &cell.protocol.threshold;
        let flagged = metrics::flag(rule, &test, &labels, &train).map_err(invalid)?;
        let (counts, metrics) =
            metrics::evaluate(&test, &labels, &flagged.flags).map_err(invalid)?;
        let mut diagnostics = diagnostics(
            &tested.of(&values(&scores.test_error)),
            &labels,
            self.dataset.bayes_auroc(),
        );
        let mean = train.iter().sum::<f64>() / train.len() as f64;
        if mean.is_finite() {
            diagnostics.insert("score_train".to_owned(), mean);
        }
        Ok(Measured {
            counts,
            metrics,
            threshold: flagged.threshold,
            diagnostics,
            scores_digest: digest(&Tensor::from_slice(&test)),
        })
    }

    /// Of a run for the job's cell of this number.
    fn record(&self, run: &Run, cell: usize, ending: Ending) -> Record {
        let (job, tested) = (self.job, &run.tested[cell]);
        let cell = &job.cells[cell];
        let mut digests = run.digests.clone();
        digests.split.clone_from(&tested.split_digest);
        let (state, failure) = match ending.failure {
            Some((state, text)) => (state, Some(text)),
            None => (State::Ok, None),
        };
        let measured = ending.measured;
        if let Some(measured) = &measured {
            digests.scores.clone_from(&measured.scores_digest);
        }
        Record {
            state,
            failure,
            counts: measured.as_ref().map(|m| m.counts),
            metrics: measured.as_ref().map(|m| m.metrics.clone()),
            threshold: measured.as_ref().map(|m| m.threshold),
            diagnostics: measured.map(|m| m.diagnostics).unwrap_or_default(),
            epochs: ending.course.curve.len() as u64,
            loss_curve: ending.course.curve,
            loss_terms: self.detector.network.terms().iter().map(|&term| term.to_owned()).collect(),
            digests,
            provenance: Provenance { card: self.card.clone(), ..device::provenance(&job.device) },
            wall_seconds: ending.wall,
            ..Record::of(job, cell, run.seed, &run.digests.data)
        }
    }
}

/// What became of one cell of a run.
type Outcome = std::result::Result<Measured, (State, String)>;

/// Refuses values for which a Bernoulli decoder is no likelihood.
fn check_unit_interval(dataset: &Dataset, runs: &[Run]) -> Result<()> {
    for run in runs {
        let Split { train, test } = &run.split;
        for rows in train.chunks(CHUNK).chain(test.chunks(CHUNK)) {
            let values = dataset.encode(rows, &run.scaling);
            let outside = values.iter().position(|value| !(0.0..=1.0).contains(value));
            let Some(place) = outside else { continue };
            let column = &dataset.columns()[place % dataset.features()];
            return Err(Error::Usage(format!(
                "column '{column}' holds {} after scaling (seed {}), and a Bernoulli decoder takes \
                 values from 0 to 1; set dataset.scaling = {{ kind = \"min-max\", fit = \"train\", \
                 clip = true }}, for images range = [0.0, 1.0], or choose another decoder",
                values[place], run.seed
            )));
        }
    }
    Ok(())
}

/// Scaled rows as a tensor, [rows, features].
fn encode(dataset: &Dataset, rows: &[u32], scaling: &dataset::Scaling, device: Device) -> Tensor {
    let shape = [rows.len() as i64, dataset.features() as i64];
    let encoded = Tensor::empty(shape, (Kind::Float, device));
    encode_into(&encoded, dataset, rows, scaling);
    encoded
}

/// Fills a tensor, [rows, features], with scaled rows, some at a time: a second copy of them all would
/// double what a worker takes.
fn encode_into(place: &Tensor, dataset: &Dataset, rows: &[u32], scaling: &dataset::Scaling) {
    for (number, rows) in rows.chunks(CHUNK).enumerate() {
        let values = Tensor::from_slice(&dataset.encode(rows, scaling));
        let mut place = place.narrow(0, (number * CHUNK) as i64, rows.len() as i64);
        place.copy_(&values.view([rows.len() as i64, dataset.features() as i64]));
    }
}

fn values(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.to_device(Device::Cpu).to_kind(Kind::Double).contiguous().reshape([-1]))
        .expect("a contiguous f64 tensor on the CPU")
}

/// SHA-256 of a tensor's values as little-endian f64 in C order.
fn digest(tensor: &Tensor) -> String {
    let mut hasher = Sha256::new();
    for value in values(tensor) {
        hasher.update(value.to_le_bytes());
    }
    seedbed::digest::ended(hasher)
}

/// Measurements beside the metrics: the mean squared error, summed over the features, of each
/// class of test rows, and the ceiling of a made-up data set.
fn diagnostics(errors: &[f64], labels: &[bool], bayes_auroc: Option<f64>) -> BTreeMap<String, f64> {
    let mean = |anomaly: bool| {
        let chosen: Vec<f64> =
            errors.iter().zip(labels).filter(|(_, l)| **l == anomaly).map(|(e, _)| *e).collect();
        (!chosen.is_empty()).then(|| chosen.iter().sum::<f64>() / chosen.len() as f64)
    };
    [
        ("reconstruction_error_normal_test", mean(false)),
        ("reconstruction_error_anomaly_test", mean(true)),
        ("bayes_auroc", bayes_auroc),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name.to_owned(), value.filter(|v| v.is_finite())?)))
    .collect()
}

/// The first line of what a panic says: libtorch's errors carry pages of C++ frames after it.
fn panic_text(cause: &(dyn std::any::Any + Send)) -> String {
    let text = cause
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| cause.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without a message");
    text.split("\\n").next().unwrap_or(text).lines().next().unwrap_or(text).to_owned()
}

fn failed_state(text: &str) -> State {
    let memory = ["out of memory", "can't allocate memory"];
    if memory.iter().any(|words| text.contains(words)) {
        State::OutOfMemory
    } else {
        State::Crashed
    }
}
