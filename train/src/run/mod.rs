//! A job (a cell and the seeds trained together) in, records out: train and score. What comes before and
//! after, the same for every method, is the harness's `method`.

pub mod album;

use std::collections::HashSet;
use std::panic::{self, AssertUnwindSafe};
use std::rc::Rc;
use std::time::Instant;

use tch::{Device, Kind, Tensor, no_grad};

use crate::device;
use crate::model::{self, Detector, Scores, Scoring, ToScore};
use crate::nn::{ParameterSpec, Parameters};
use crate::run::album::{Album, Shown, TestRows};
use crate::training::{self, Course, Epoch, Training, TrainingRows};
use seedbed::dataset::{self, Dataset, Split};
use seedbed::digest;
use seedbed::error::{Error, Result};
use seedbed::experiment::Cell;
use seedbed::machine::memory::Need;
use seedbed::method::{Ending, Measured, Outcome, Prepared, Run, Scored};
use seedbed::store::record::{Calibration, Job, Message, OnCard, Provenance, State};

/// Rows that are encoded at a time.
const CHUNK: usize = 16_384;

/// Trains and scores every run of a job, and emits a record for each, whatever becomes of it.
///
/// # Errors
/// When no run could begin: data missing or wrong, a device that is not there, a split that the
/// data set cannot give.
pub fn execute(job: &Job, emit: &mut dyn FnMut(Message)) -> Result<()> {
    let started = Instant::now();
    let ready = Ready::new(job)?;
    let mut ended = HashSet::new();
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| {
        ready.run(started, &mut |message| {
            if let Message::Record(record) = &message {
                ended.insert((record.seed, record.cell.label.clone()));
            }
            emit(message);
        });
    }));
    if let Err(cause) = outcome {
        let text = panic_text(cause.as_ref());
        let cells = 0..job.cells.len();
        let runs = ready.prepared.runs.iter();
        let runs = runs.flat_map(|run| cells.clone().map(move |cell| (run, cell)));
        let left = |(run, cell): &(&Run, usize)| {
            !ended.contains(&(run.seed, job.cells[*cell].label.clone()))
        };
        for (run, cell) in runs.filter(left) {
            let failure = Err((failed_state(&text), text.clone()));
            let wall = started.elapsed().as_secs_f64() / (job.seeds.len() * job.cells.len()) as f64;
            emit(ready.record(run, cell, failure, Vec::new(), wall));
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
    let ready = Ready::new(job)?;
    let spec = &job.cell().training;
    let load_seconds = started.elapsed().as_secs_f64();
    let timed = training::Timed { warm_up: WARM_UP, steps };
    let mut parameters = ready.parameters.copy();
    let seconds = training::time_steps(ready.training(), &mut parameters, timed, first);
    // NVML tells of the last second or less
    let utilisation = device::utilisation(ready.device);
    let seconds_per_step = seedbed::stats::median(&seconds)
        .ok_or_else(|| Error::Usage("a calibration needs at least one step".into()))?;
    let steps_per_epoch = ready.rows.steps(spec) as u64;
    let scoring_seconds = ready.time_scoring();
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
struct Ready<'a> {
    prepared: Prepared<'a>,
    device: Device,
    card: Option<OnCard>,
    detector: Detector,
    /// What scores for each cell: they may differ in what only scoring reads of a model's table.
    readers: Vec<Detector>,
    parameters: Parameters,
    rows: TrainingRows,
}

/// What the seeds of a job have come to, a course each.
struct Reached<'a> {
    courses: &'a [Course],
    parameters: &'a Parameters,
    /// Since when nothing of the job was put down to a run.
    since: Instant,
}

impl<'a> Ready<'a> {
    fn new(job: &'a Job) -> Result<Self> {
        // One thread a worker: sums split over threads would depend on their number.
        tch::set_num_threads(1);
        let device = device::open(&job.device)?;
        let mut prepared = Prepared::new(job)?;
        let Prepared { dataset, runs, .. } = &mut prepared;
        let (detector, specs) =
            model::build(&job.cell().model, dataset.features(), dataset.image())?;
        let reader = |cell: &Cell| model::build(&cell.model, dataset.features(), dataset.image());
        let readers = job.cells.iter().map(|cell| reader(cell).map(|(reader, _)| reader));
        let readers = readers.collect::<Result<_>>()?;
        if detector.network.needs_unit_interval() {
            check_unit_interval(dataset, runs)?;
        }
        let parameters = Parameters::initialise(specs, &job.seeds, device);
        for run in &mut *runs {
            let initial = parameters.of_seed(run.index);
            run.digests.init = digest::of_numbers(&values(initial.flat()));
        }
        let counts = runs.iter().map(|run| run.split.train.len()).collect();
        let rows = TrainingRows::empty(counts, dataset.features(), device);
        for run in &*runs {
            encode_into(&rows.of_seed(run.index), dataset, &run.split.train, &run.scaling);
        }
        let card = device::on_card(device);
        Ok(Self { prepared, device, card, detector, readers, parameters, rows })
    }

    /// Seconds that scoring the first seed for the first cell takes, by those of a few rows.
    fn time_scoring(&self) -> f64 {
        const ROWS: usize = 2048;
        let Prepared { job, dataset, runs } = &self.prepared;
        let (run, cell) = (&runs[0], job.cell());
        let few = &run.split.test[..ROWS.min(run.split.test.len())];
        let test = encode(dataset, few, &run.scaling, self.device);
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
        let Prepared { job, .. } = &self.prepared;
        let (detector, rows, seeds) = (&self.detector, &self.rows, &job.seeds[..]);
        Training { detector, rows, seeds, spec: &job.cell().training }
    }

    fn run(&self, started: Instant, emit: &mut dyn FnMut(Message)) {
        let job = self.prepared.job;
        let epochs = job.cell().training.epochs;
        emit(Message::Progress { epoch: 0, epochs, loss: None, rows_per_second: 0.0 });
        let mut album = self.album();
        let mut parameters = self.parameters.copy();
        let (mut left, mut since) = (Vec::from_iter(0..job.cells.len()), started);
        // cells whose training is over before the job's is
        let mut over = |epoch: u64| -> Vec<usize> {
            let is_over = |cell: &mut usize| job.cells[*cell].training.epochs == epoch;
            if epoch < epochs { left.extract_if(.., is_over).collect() } else { Vec::new() }
        };
        let courses = vec![Course::default(); job.seeds.len()];
        let untrained = Reached { courses: &courses, parameters: &parameters, since };
        since = self.end(&over(0), untrained, album.as_mut(), emit);
        let mut told = |epoch: Epoch, courses: &[Course], parameters: &Parameters| {
            emit(Message::Progress {
                epoch: epoch.number,
                epochs,
                loss: epoch.loss,
                rows_per_second: epoch.rows_per_second,
            });
            if let Some(album) = &mut album {
                album.epoch(epoch.number, &parameters.of_seed(album.index()));
            }
            let reached = Reached { courses, parameters, since };
            since = self.end(&over(epoch.number), reached, album.as_mut(), emit);
        };
        let courses = training::train(self.training(), &mut parameters, &mut told);
        let trained = Reached { courses: &courses, parameters: &parameters, since };
        self.end(&left, trained, album.as_mut(), emit);
        for text in album.map(Album::close).unwrap_or_default() {
            emit(Message::Warning { text });
        }
    }

    /// Scores what every seed has come to for some of the job's cells, and emits the records of their runs;
    /// returns when that was done.
    fn end(
        &self,
        cells: &[usize],
        Reached { courses, parameters, since }: Reached,
        mut album: Option<&mut Album>,
        emit: &mut dyn FnMut(Message),
    ) -> Instant {
        let Prepared { job, runs, .. } = &self.prepared;
        if cells.is_empty() {
            return since;
        }
        // A run's share of what the job did together, then its own scoring.
        let share = since.elapsed().as_secs_f64() / runs.len() as f64;
        for (run, course) in runs.iter().zip(courses) {
            let mut album = album.as_deref_mut().filter(|album| album.is_of(run.seed));
            if let Some(album) = &mut album {
                album.trained(cells, course, &parameters.of_seed(run.index));
            }
            let scoring = Instant::now();
            let outcomes: Vec<Outcome> = match &course.divergence {
                Some(divergence) => {
                    let failure = (State::Diverged, divergence.to_string());
                    cells.iter().map(|_| Err(failure.clone())).collect()
                }
                None => {
                    let parameters = parameters.of_seed(run.index);
                    self.measure(run, cells, &parameters, album.as_deref_mut())
                }
            };
            let wall = (share + scoring.elapsed().as_secs_f64()) / cells.len() as f64;
            for (&cell, outcome) in cells.iter().zip(outcomes) {
                let message = self.record(run, cell, outcome, course.curve.clone(), wall);
                if let (Some(album), Message::Record(record)) = (&mut album, &message) {
                    album.ended(&job.cells[cell].label, &record.key);
                }
                emit(message);
            }
        }
        Instant::now()
    }

    fn album(&self) -> Option<Album<'_>> {
        let Prepared { job, dataset, runs } = &self.prepared;
        let pictures = job.pictures.as_ref()?;
        let run = runs.iter().find(|run| run.seed == pictures.seed)?;
        let rows = TestRows {
            values: encode(dataset, &run.split.test, &run.scaling, self.device),
            labels: self.prepared.labels(run),
            image: dataset.image(),
        };
        Some(Album::new(job, pictures, run.index, &self.detector, rows))
    }

    /// Scores the run's rows once for all of some cells; then for each flags them by its rule and measures
    /// the outcome.
    fn measure(
        &self,
        run: &Run,
        cells: &[usize],
        parameters: &Parameters,
        mut album: Option<&mut Album>,
    ) -> Vec<Outcome> {
        let Prepared { job, dataset, .. } = &self.prepared;
        let test = encode(dataset, &run.split.test, &run.scaling, self.device);
        let train = self.rows.of_seed(run.index);
        let batch_size = job.cell().training.batch_size;
        let rows = ToScore { train: &train, test: &test, seed: run.seed, batch_size };
        let scores = self.scores(cells, parameters, rows);
        let labels = self.prepared.labels(run);
        let mut outcomes = Vec::new();
        for (&cell, scored) in cells.iter().zip(&scores) {
            let outcome = self.prepared.measure(run, cell, scored, &labels);
            if let (Some(album), Ok(measured)) = (&mut album, &outcome) {
                let Measured { threshold, counts, metrics, .. } = measured;
                let (threshold, counts) = (*threshold, *counts);
                let tested = &run.tested[cell];
                let (scores, labels) = (&tested.of(&scored.test), &tested.of(&labels));
                let shown = Shown { scores, labels, threshold, counts, metrics };
                album.scored(&job.cells[cell], &shown);
            }
            outcomes.push(outcome);
        }
        outcomes
    }

    /// Scores rows for each of some cells.
    fn scores(&self, cells: &[usize], parameters: &Parameters, rows: ToScore) -> Vec<Rc<Scored>> {
        let job = self.prepared.job;
        let mut scores: Vec<Option<Rc<Scored>>> = vec![None; cells.len()];
        // cells whose models differ in what only scoring reads have networks of their own over the same parameters
        while let Some(first) = scores.iter().position(Option::is_none) {
            let model = &job.cells[cells[first]].model;
            let same = (0..cells.len()).filter(|&place| job.cells[cells[place]].model == *model);
            let same: Vec<usize> = same.collect();
            let scorings =
                same.iter().filter_map(|&place| job.cells[cells[place]].protocol.scoring());
            let scorings: Vec<Scoring> = scorings.collect();
            let network = &self.readers[cells[first]].network;
            let of_model = no_grad(|| network.scores(parameters, rows, &scorings));
            let of_model: Vec<Rc<Scored>> =
                of_model.iter().map(|scores| Rc::new(scored(scores))).collect();
            // a model without a choice of scores has one for every cell
            for (place, of_cell) in same.into_iter().zip(of_model.iter().cycle()) {
                scores[place] = Some(Rc::clone(of_cell));
            }
        }
        scores.into_iter().flatten().collect()
    }

    /// The record of a run for the job's cell of this number.
    fn record(
        &self,
        run: &Run,
        cell: usize,
        outcome: Outcome,
        curve: Vec<Vec<f64>>,
        wall: f64,
    ) -> Message {
        let terms = self.detector.network.terms().iter().map(|&term| term.to_owned()).collect();
        let of_device = device::provenance(&self.prepared.job.device);
        let provenance = Provenance { card: self.card.clone(), ..of_device };
        let ending = Ending { outcome, curve, terms, wall, provenance };
        Message::Record(Box::new(self.prepared.record(run, cell, ending)))
    }
}

/// A network's scores, read back from where it computes.
fn scored(scores: &Scores) -> Scored {
    Scored {
        train: scores.train.as_ref().map(values),
        test: values(&scores.test),
        test_error: values(&scores.test_error),
        broken: scores.broken,
    }
}

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
