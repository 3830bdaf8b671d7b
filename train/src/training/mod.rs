//! The only training loop: a network, the training rows of every seed and the numbers of the
//! optimiser in, trained parameters and a loss curve out. It knows nothing of data sets,
//! thresholds or files, and it gives up on one seed without disturbing the others.

use std::ops::Range;
use std::sync::mpsc;
use std::thread::{self, Scope};
use std::time::Instant;

use rayon::prelude::*;
use tch::{Device, Kind, Tensor, no_grad};

use crate::device;
use crate::model::{Batch, Detector, Noise};
use crate::nn::layers::{Adam, Parameters, gather};
use seedbed::experiment::TrainingSpec;
use seedbed::random::{Numbers, Stream};

/// The training rows of every seed, resident on the device, one seed's after another's.
#[derive(Debug)]
pub struct TrainingRows {
    /// [rows of all seeds, features]
    values: Tensor,
    /// Number of rows of each seed.
    counts: Vec<usize>,
}

impl TrainingRows {
    /// Room for so many rows of each seed; `of_seed` is where they are to be written.
    pub fn empty(counts: Vec<usize>, features: usize, device: Device) -> Self {
        let shape = [counts.iter().sum::<usize>() as i64, features as i64];
        let values = Tensor::empty(shape, (Kind::Float, device));
        if device == Device::Cpu {
            ask_for_huge_pages(&values);
        }
        Self { values, counts }
    }

    fn start(&self, seed: usize) -> usize {
        self.counts[..seed].iter().sum()
    }

    /// One seed's rows, [rows, features], sharing storage.
    pub fn of_seed(&self, seed: usize) -> Tensor {
        self.values.narrow(0, self.start(seed) as i64, self.counts[seed] as i64)
    }

    /// Steps of an epoch: those of the seed with the most rows.
    pub fn steps(&self, spec: &TrainingSpec) -> usize {
        let steps = |&count: &usize| spec.rows_of_epoch(count).div_ceil(spec.batch_size);
        self.counts.iter().map(steps).max().unwrap_or(0)
    }
}

/// Batches take rows from anywhere in memory, and few pages' places are known at a time.
fn ask_for_huge_pages(values: &Tensor) {
    const HUGE: usize = 1 << 21;
    let start = (values.data_ptr() as usize).next_multiple_of(HUGE);
    let end = values.data_ptr() as usize + values.numel() * size_of::<f32>();
    if start < end {
        // SAFETY: advice about memory that the tensor holds; the kernel may decline it
        unsafe { libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_HUGEPAGE) };
    }
}

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

/// Trains `parameters` in place for `spec.epochs` epochs and returns each seed's course.
pub fn train(
    detector: &Detector,
    parameters: &mut Parameters,
    rows: &TrainingRows,
    seeds: &[u64],
    spec: &TrainingSpec,
    told: &mut dyn FnMut(Epoch, &Parameters),
) -> Vec<Course> {
    let walk = Walk::new(rows, seeds, spec);
    let mut courses = vec![Course::default(); seeds.len()];
    let mut stepper = Stepper::new(detector, parameters, rows, &walk, spec);
    thread::scope(|scope| {
        let device = rows.values.device();
        let mut draws = Draws::new(scope, &walk, detector.noise(), spec.epochs, device);
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
                note_epoch(&walk, detector.terms(), &measured, epoch, &mut courses);
            }
            let going = courses.iter().find(|course| course.divergence.is_none());
            let told_epoch = Epoch {
                number: epoch,
                loss: going.and_then(|course| course.curve.last()).map(|means| means[0]),
                rows_per_second: rows.counts.iter().sum::<usize>() as f64
                    / started.elapsed().as_secs_f64(),
            };
            told(told_epoch, stepper.parameters);
            if going.is_none() {
                break;
            }
        }
    });
    courses
}

/// Steps that a device is given before they are timed together: one by one it would stand still
/// between them.
const TIMED_TOGETHER: usize = 20;

/// Seconds of `steps` steps (on a device of groups of them, each step's share), all seeds together, after
/// `warm_up` untimed ones; `first` is told when the first step of all is done.
pub fn time_steps(
    detector: &Detector,
    parameters: &mut Parameters,
    rows: &TrainingRows,
    seeds: &[u64],
    spec: &TrainingSpec,
    [warm_up, steps]: [usize; 2],
    first: &mut dyn FnMut(),
) -> Vec<f64> {
    let mut walk = Walk::new(rows, seeds, spec);
    // the last step of an epoch is smaller and would flatter the figure
    walk.steps = (walk.steps - 1).max(1);
    let epochs = (warm_up + steps).div_ceil(walk.steps) as u64;
    let device = rows.values.device();
    let together = if device == Device::Cpu { 1 } else { TIMED_TOGETHER.min(steps.max(1)) };
    let active = vec![true; seeds.len()];
    let mut stepper = Stepper::new(detector, parameters, rows, &walk, spec);
    thread::scope(|scope| {
        let mut draws = Draws::new(scope, &walk, detector.noise(), epochs, device);
        let mut order = None;
        let mut started = Instant::now();
        let mut seconds = Vec::new();
        for number in 0..warm_up + steps {
            if number % walk.steps == 0 {
                order = Some(draws.next_order());
            }
            let order = order.as_ref().expect("the first step begins an epoch");
            let noise = draws.next_noise();
            let _ = stepper.step(order, number % walk.steps, noise.as_ref(), &active);
            if number == 0 {
                device::wait_for(device);
                first();
            }
            let timed = (number + 1).saturating_sub(warm_up);
            if number + 1 == warm_up || (timed > 0 && timed % together == 0) {
                device::wait_for(device);
                if timed > 0 {
                    seconds.push(started.elapsed().as_secs_f64() / together as f64);
                }
                started = Instant::now();
            }
        }
        seconds
    })
}

/// What takes one step after another.
struct Stepper<'a> {
    detector: &'a Detector,
    parameters: &'a mut Parameters,
    rows: &'a TrainingRows,
    walk: &'a Walk<'a>,
    /// Of each step of an epoch, as `Batch` has them.
    weights: Vec<Option<Tensor>>,
    adam: Adam,
    clip: Option<f64>,
    decay: Option<f64>,
}

impl<'a> Stepper<'a> {
    fn new(
        detector: &'a Detector,
        parameters: &'a mut Parameters,
        rows: &'a TrainingRows,
        walk: &'a Walk<'a>,
        spec: &TrainingSpec,
    ) -> Self {
        let adam = Adam::new(parameters, spec.learning_rate);
        let weights = walk.weights(rows.values.device());
        Self {
            detector,
            parameters,
            rows,
            walk,
            weights,
            adam,
            clip: spec.gradient_clip,
            decay: spec.weight_decay,
        }
    }

    /// Moves the `active` seeds; returns the batch's `Loss::row`, [seeds, failed + total + terms].
    fn step(
        &mut self,
        order: &Tensor,
        step: usize,
        noise: Option<&Tensor>,
        active: &[bool],
    ) -> Tensor {
        let (start, width) = (step * self.walk.batch_size, self.walk.width(step));
        let index = order.narrow(1, start as i64, width as i64).reshape([-1]);
        let shape = [self.walk.seeds.len() as i64, width as i64, -1];
        let x = gather(&self.rows.values, &index).view(shape);
        let weight = self.weights[step].as_ref().map(Tensor::shallow_clone);
        let loss = self.detector.loss(self.parameters, &Batch { x, weight }, noise);
        let row = Tensor::stack(&loss.row(), 1);
        let mut gradient = loss.gradient;
        if let Some(bound) = self.clip {
            no_grad(|| clip_norm(&mut gradient, bound));
        }
        if let Some(decay) = self.decay {
            let _ = no_grad(|| gradient.g_add_(&(self.parameters.flat() * decay)));
        }
        self.adam.step(self.parameters, &gradient, active);
        row
    }
}

/// Scales each seed's gradient, [seeds, count], to a norm of at most `bound`, as PyTorch's
/// `clip_grad_norm_` does.
pub fn clip_norm(gradient: &mut Tensor, bound: f64) {
    let norm = gradient.norm_scalaropt_dim(2.0, [1i64].as_slice(), true);
    let scale = (bound / (norm + 1e-6)).clamp_max(1.0);
    let _ = gradient.g_mul_(&scale);
}

/// Which rows the steps of an epoch take: numbers alone, for threads that draw ahead of the steps.
struct Walk<'a> {
    seeds: &'a [u64],
    /// Training rows of each seed.
    counts: &'a [usize],
    /// How many of them an epoch takes.
    taken: Vec<usize>,
    batch_size: usize,
    /// Of an epoch.
    steps: usize,
}

impl<'a> Walk<'a> {
    fn new(rows: &'a TrainingRows, seeds: &'a [u64], spec: &TrainingSpec) -> Self {
        let taken = rows.counts.iter().map(|&count| spec.rows_of_epoch(count)).collect();
        let (batch_size, steps) = (spec.batch_size, rows.steps(spec));
        Self { seeds, counts: &rows.counts, taken, batch_size, steps }
    }

    /// Rows of a seed that a step (from 0) takes.
    fn rows_of(&self, seed: usize, step: usize) -> usize {
        self.taken[seed].saturating_sub(step * self.batch_size).min(self.batch_size)
    }

    /// The most rows that a step takes of any seed.
    fn width(&self, step: usize) -> usize {
        (0..self.counts.len()).map(|seed| self.rows_of(seed, step)).max().unwrap_or(0)
    }

    /// For each step in which seeds have different numbers of rows: 1 for a row, 0 for the padding
    /// after them, [seeds, width].
    fn weights(&self, device: Device) -> Vec<Option<Tensor>> {
        let weight = |step: usize| {
            let width = self.width(step);
            let taken = (0..self.counts.len()).map(|seed| self.rows_of(seed, step));
            let ragged = taken.clone().any(|count| count < width);
            let values = || -> Vec<f32> {
                taken.flat_map(|count| (0..width).map(move |row| f32::from(row < count))).collect()
            };
            ragged.then(|| Tensor::from_slice(&values()).view([-1, width as i64]).to_device(device))
        };
        (0..self.steps).map(weight).collect()
    }

    /// The order in which an epoch visits the rows of every seed: row numbers into `TrainingRows`,
    /// padded with 0, [seeds, steps · batch size].
    fn order(&self, epoch: u64) -> Tensor {
        let most = self.counts.iter().copied().max().unwrap_or(0);
        let length = most.div_ceil(self.batch_size) * self.batch_size;
        let mut order = vec![0i64; self.seeds.len() * length];
        let mut start = 0;
        for (number, (&seed, &count)) in self.seeds.iter().zip(self.counts).enumerate() {
            let permutation = Numbers::new(seed, Stream::Shuffle, epoch).permutation(count);
            let slots = &mut order[number * length..(number + 1) * length];
            for (slot, row) in slots.iter_mut().zip(permutation) {
                *slot = start + i64::from(row);
            }
            start += count as i64;
        }
        Tensor::from_slice(&order).view([self.seeds.len() as i64, length as i64])
    }

    /// What some steps of an epoch draw, one step's [seeds, width, values a row] after another's; on
    /// all cores where `parallel`.
    fn noise(&self, noise: Noise, epoch: u64, steps: Range<usize>, parallel: bool) -> Tensor {
        let counts = |step| self.width(step) * noise.per_row();
        let total: usize = steps.clone().map(|step| counts(step) * self.seeds.len()).sum();
        let mut values = vec![0.0; total];
        let mut rest = values.as_mut_slice();
        let mut places = Vec::new();
        for step in steps {
            for &seed in self.seeds {
                let (place, more) = rest.split_at_mut(counts(step));
                places.push((seed, (epoch << 32) | step as u64, place));
                rest = more;
            }
        }
        let draw =
            |(seed, counter, place): (u64, u64, &mut [f32])| noise.draw(seed, counter, place);
        if parallel {
            places.into_par_iter().for_each(draw);
        } else {
            places.into_iter().for_each(draw);
        }
        Tensor::from_slice(&values)
    }

    /// The noise of each step of each epoch, [seeds, width, values a row], drawn for so many steps at
    /// once and `brought` where it is needed.
    fn noise_by_step<'s>(
        &'s self,
        noise: Noise,
        epochs: u64,
        at_once: usize,
        brought: impl FnOnce(Drawn<'s>) -> Drawn<'s>,
    ) -> Drawn<'s> {
        let starts = move || {
            let starts = move |epoch| (0..self.steps).step_by(at_once).map(move |s| (epoch, s));
            (1..=epochs).flat_map(starts)
        };
        let steps = move |start: usize| start..(start + at_once).min(self.steps);
        let drawn =
            starts().map(move |(epoch, start)| self.noise(noise, epoch, steps(start), at_once > 1));
        let views = move |(values, (_, start)): (Tensor, (u64, usize))| {
            let mut taken = 0;
            steps(start).map(move |step| {
                let shape = [self.seeds.len(), self.width(step), noise.per_row()].map(|n| n as i64);
                let count = shape.iter().product();
                taken += count;
                values.narrow(0, taken - count, count).view(shape)
            })
        };
        Box::new(brought(Box::new(drawn)).zip(starts()).flat_map(views))
    }
}

/// Tensors in the order in which they are needed.
type Drawn<'a> = Box<dyn Iterator<Item = Tensor> + Send + 'a>;

/// What the steps take that comes from the seeds' streams. On the CPU it is drawn when a step asks
/// for it. For a device threads draw ahead of the steps, many at once, and it is sent without waiting.
struct Draws<'a> {
    /// Of each epoch, as `Walk::order` says.
    orders: Drawn<'a>,
    /// Of each step, for a model that draws any.
    noise: Option<Drawn<'a>>,
}

/// Values of noise that are drawn and sent at once: 64 MiB.
const AT_ONCE: usize = 16 << 20;

impl<'a> Draws<'a> {
    fn new(
        scope: &'a Scope<'a, '_>,
        walk: &'a Walk,
        noise: Option<Noise>,
        epochs: u64,
        device: Device,
    ) -> Self {
        let on_cpu = device == Device::Cpu;
        let brought = |drawn: Drawn<'a>| if on_cpu { drawn } else { sent(scope, drawn, device) };
        let at_once = |noise: Noise| {
            let step = walk.seeds.len() * walk.batch_size * noise.per_row();
            if on_cpu { 1 } else { (AT_ONCE / step.max(1)).clamp(1, walk.steps.max(1)) }
        };
        Self {
            orders: brought(Box::new((1..=epochs).map(|epoch| walk.order(epoch)))),
            noise: noise.map(|noise| walk.noise_by_step(noise, epochs, at_once(noise), brought)),
        }
    }

    fn next_order(&mut self) -> Tensor {
        self.orders.next().expect("there is an order for each epoch")
    }

    fn next_noise(&mut self) -> Option<Tensor> {
        self.noise.as_mut().map(|noise| noise.next().expect("there is noise for each step"))
    }
}

/// The same tensors on a device: drawn ahead, into memory from which the device takes them while it
/// and this thread go on.
fn sent<'a>(scope: &'a Scope<'a, '_>, drawn: Drawn<'a>, device: Device) -> Drawn<'a> {
    let pinned = drawn.map(move |tensor| tensor.f_pin_memory(device));
    Box::new(ahead(scope, pinned).map(move |tensor| {
        let tensor = tensor.expect("memory for what is sent to a device");
        tensor.to_device_(device, tensor.kind(), true, false)
    }))
}

/// The same items, of which a thread makes the next while one is in use.
fn ahead<'a, T: Send + 'a>(
    scope: &'a Scope<'a, '_>,
    items: impl Iterator<Item = T> + Send + 'a,
) -> impl Iterator<Item = T> + Send + 'a {
    let (sender, receiver) = mpsc::sync_channel(0);
    scope.spawn(move || {
        for item in items {
            // nobody takes any more
            if sender.send(item).is_err() {
                break;
            }
        }
    });
    receiver.into_iter()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ModelSpec, build};
    use seedbed::experiment::LastBatch;

    const TERMS: [&str; 4] = ["loss", "reconstruction", "energy", "penalty"];

    #[test]
    fn the_first_thing_that_broke_is_named() {
        let nan = f64::NAN;
        assert_eq!(broken(&[0.0, 1.0, 1.0, 1.0, 1.0], &TERMS), None);
        assert_eq!(broken(&[2.0, nan, nan, nan, nan], &TERMS), Some("reconstruction"));
        assert_eq!(broken(&[2.0, nan, 1.0, nan, 1.0], &TERMS), Some("covariance"));
        assert_eq!(broken(&[2.0, 1.0, 1.0, 1.0, 1.0], &TERMS), Some("covariance"));
        assert_eq!(broken(&[0.0, nan, 1.0, nan, 1.0], &TERMS), Some("energy"));
        assert_eq!(broken(&[0.0, f64::INFINITY, 1.0, 1.0, 1.0], &TERMS), Some("loss"));
    }

    fn spec() -> TrainingSpec {
        let text = "epochs = 3\nbatch-size = 16\nlearning-rate = 1e-3\ngradient-clip = 5.0";
        toml::from_str(text).expect("a training table")
    }

    fn rows(count: usize, seed: u64) -> Tensor {
        let mut numbers = Numbers::new(seed, Stream::Data, 0);
        let values: Vec<f32> = (0..count * 5).map(|_| numbers.uniform_f32()).collect();
        Tensor::from_slice(&values).view([count as i64, 5])
    }

    fn detector() -> (Detector, Vec<crate::nn::layers::ParameterSpec>) {
        let spec = r#"{"name": "dagmm", "hidden": [4], "latent": 1, "mixtures": 2}"#;
        let spec: ModelSpec = serde_json::from_str(spec).expect("a model");
        build(&spec, 5, None).expect("five columns suit it")
    }

    fn stacked(rows: &[Tensor]) -> TrainingRows {
        let counts = rows.iter().map(|rows| rows.size()[0] as usize).collect();
        let stacked = TrainingRows::empty(counts, rows[0].size()[1] as usize, Device::Cpu);
        rows.iter().enumerate().for_each(|(seed, rows)| stacked.of_seed(seed).copy_(rows));
        stacked
    }

    /// 40, 50 and 31 rows in batches of 16 make 3, 4 and 2 steps, and last batches of 8, 2 and 15.
    #[test]
    fn seeds_with_different_numbers_of_rows_train_as_if_alone() {
        let (detector, specs) = detector();
        let seeds = [3, 4, 5];
        let data = [rows(40, 3), rows(50, 4), rows(31, 5)];
        let mut together = Parameters::initialise(specs.clone(), &seeds, Device::Cpu);
        let all = stacked(&data);
        let courses = train(&detector, &mut together, &all, &seeds, &spec(), &mut |_, _| {});
        for (index, &seed) in seeds.iter().enumerate() {
            let mut alone = Parameters::initialise(specs.clone(), &[seed], Device::Cpu);
            let own = stacked(&data[index..=index]);
            let course = &train(&detector, &mut alone, &own, &[seed], &spec(), &mut |_, _| {})[0];
            let gap = (together.of_seed(index).flat() - alone.flat()).abs().max();
            assert!(gap.double_value(&[]) < 1e-5, "seed {seed}");
            for (a, b) in course.curve.iter().flatten().zip(courses[index].curve.iter().flatten()) {
                assert!((a - b).abs() <= 1e-4 * a.abs().max(1.0), "seed {seed}: {a} {b}");
            }
        }
    }

    #[test]
    fn dropped_last_batches_train_nobody_and_count_in_no_mean() {
        let (detector, specs) = detector();
        let seeds = [3];
        let dropped = TrainingSpec { last_batch: LastBatch::Drop, ..spec() };
        let trained = |rows: Tensor, spec: &TrainingSpec| {
            let mut parameters = Parameters::initialise(specs.clone(), &seeds, Device::Cpu);
            let all = stacked(&[rows]);
            assert_eq!(all.steps(spec), 2);
            let courses = train(&detector, &mut parameters, &all, &seeds, spec, &mut |_, _| {});
            (parameters, courses)
        };
        // 32 rows are two whole batches: nothing is dropped
        let (kept, kept_courses) = trained(rows(32, 3), &spec());
        let (whole, whole_courses) = trained(rows(32, 3), &dropped);
        assert!(whole.flat().equal(kept.flat()));
        assert_eq!(whole_courses, kept_courses);
        // of 40 rows the 8 that an epoch leaves over are other ones in each epoch
        let (_, courses) = trained(rows(40, 3), &dropped);
        assert_eq!(courses[0].curve.len(), 3);
        assert!(courses[0].curve.iter().flatten().all(|mean| mean.is_finite()));
        let walk_spec = dropped;
        let all = stacked(&[rows(40, 3)]);
        let walk = Walk::new(&all, &seeds, &walk_spec);
        assert_eq!([0, 1, 2].map(|step| walk.rows_of(0, step)), [16, 16, 0]);
    }

    #[test]
    fn a_diverged_seed_says_where_and_leaves_the_others_alone() {
        let (detector, specs) = detector();
        let seeds = [1, 2];
        let data = [rows(40, 1), rows(40, 2)];
        let mut parameters = Parameters::initialise(specs.clone(), &seeds, Device::Cpu);
        let _ = parameters.of_seed(0).flat().shallow_clone().fill_(f64::NAN);
        let all = stacked(&data);
        let courses = train(&detector, &mut parameters, &all, &seeds, &spec(), &mut |_, _| {});
        let expected = Divergence { epoch: 1, step: 1, term: "reconstruction" };
        assert_eq!(courses[0].divergence, Some(expected));
        assert!(courses[0].curve.is_empty());

        let mut alone = Parameters::initialise(specs, &seeds[1..], Device::Cpu);
        let own = stacked(&data[1..]);
        let course = &train(&detector, &mut alone, &own, &seeds[1..], &spec(), &mut |_, _| {})[0];
        assert_eq!(courses[1].divergence, None);
        assert_eq!(courses[1].curve.len(), 3);
        for (a, b) in course.curve.iter().flatten().zip(courses[1].curve.iter().flatten()) {
            assert!((a - b).abs() <= 1e-4 * a.abs().max(1.0), "{a} {b}");
        }
    }

    /// 40 and 31 rows in batches of 16: the last of three steps is 8 rows wide, and ragged.
    #[test]
    fn noise_drawn_for_many_steps_at_once_is_what_each_step_draws_alone() {
        let (data, seeds) = (stacked(&[rows(40, 3), rows(31, 4)]), [3, 4]);
        let spec = spec();
        let walk = Walk::new(&data, &seeds, &spec);
        for noise in [Noise::Dropout { units: 3, probability: 0.5 }, Noise::Latent { variables: 3 }]
        {
            let singly: Vec<Tensor> = walk.noise_by_step(noise, 2, 1, |drawn| drawn).collect();
            let shapes: Vec<Vec<i64>> = singly.iter().map(Tensor::size).collect();
            let (whole, last) = (vec![2, 16, 3], vec![2, 8, 3]);
            assert_eq!(shapes, [&whole, &whole, &last, &whole, &whole, &last].map(Vec::clone));
            let mut alone = [0.0; 8 * 3];
            noise.draw(4, (2 << 32) | 2, &mut alone);
            assert_eq!(values(&singly[5].get(1)), alone);
            for at_once in [2, 3] {
                let together = thread::scope(|scope| {
                    walk.noise_by_step(noise, 2, at_once, |drawn| Box::new(ahead(scope, drawn)))
                        .collect::<Vec<Tensor>>()
                });
                assert_eq!(together, singly);
            }
        }
    }

    fn values(tensor: &Tensor) -> Vec<f32> {
        Vec::try_from(tensor.contiguous().view([-1])).expect("f32")
    }

    #[test]
    fn items_come_in_order_from_a_thread_that_ends_when_no_more_are_taken() {
        let taken: Vec<u32> = thread::scope(|scope| ahead(scope, 0..5).collect());
        assert_eq!(taken, [0, 1, 2, 3, 4]);
        // the scope would not end before its thread
        let some: Vec<u64> = thread::scope(|scope| ahead(scope, 0..).take(3).collect());
        assert_eq!(some, [0, 1, 2]);
    }

    #[test]
    fn a_gradient_is_scaled_to_the_bound_seed_by_seed_and_a_short_one_is_left() {
        let mut gradient = Tensor::from_slice(&[3.0f32, 4.0, 0.3, 0.4]).view([2, 2]);
        clip_norm(&mut gradient, 1.0);
        let expected = Tensor::from_slice(&[0.6f32, 0.8, 0.3, 0.4]).view([2, 2]);
        assert!((gradient - expected).abs().max().double_value(&[]) < 1e-6);
    }
}
