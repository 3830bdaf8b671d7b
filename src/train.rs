//! The only training loop: a network, the training rows of every seed and the numbers of the
//! optimiser in, trained parameters and a loss curve out. It knows nothing of data sets,
//! thresholds or files, and it gives up on one seed without disturbing the others.

use std::time::Instant;

use tch::{Device, Kind, Tensor, no_grad};

use crate::experiment::TrainingSpec;
use crate::model::layers::{Adam, Parameters, gather};
use crate::model::{Batch, Detector, Loss};
use crate::random::{Numbers, Stream};

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
    pub fn steps(&self, batch_size: usize) -> usize {
        self.counts.iter().map(|count| count.div_ceil(batch_size)).max().unwrap_or(0)
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
    let mut courses = vec![Course::default(); seeds.len()];
    let mut adam = Adam::new(parameters, spec.learning_rate);
    for epoch in 1..=spec.epochs {
        let started = Instant::now();
        let plan = EpochPlan::new(rows, seeds, epoch, spec.batch_size);
        let steps = rows.steps(spec.batch_size);
        let measured: Vec<Tensor> = (0..steps)
            .map(|step| {
                let active: Vec<bool> = (0..seeds.len())
                    .map(|seed| plan.rows_of(seed, step) > 0 && courses[seed].divergence.is_none())
                    .collect();
                let batch = plan.batch(rows, step);
                let counter = (epoch << 32) | step as u64;
                let loss = detector.loss(parameters, &batch, seeds, counter);
                let row = Tensor::stack(&loss.row(), 1);
                descend(parameters, &mut adam, loss, spec.gradient_clip, &active);
                row
            })
            .collect();
        if steps > 0 {
            note_epoch(&plan, detector.terms(), &Tensor::stack(&measured, 0), epoch, &mut courses);
        }
        let going = courses.iter().find(|course| course.divergence.is_none());
        let told_epoch = Epoch {
            number: epoch,
            loss: going.and_then(|course| course.curve.last()).map(|means| means[0]),
            rows_per_second: rows.counts.iter().sum::<usize>() as f64
                / started.elapsed().as_secs_f64(),
        };
        told(told_epoch, parameters);
        if going.is_none() {
            break;
        }
    }
    courses
}

/// Seconds of each of `steps` steps, all seeds together, after `warm_up` untimed ones.
pub fn time_steps(
    detector: &Detector,
    parameters: &mut Parameters,
    rows: &TrainingRows,
    seeds: &[u64],
    spec: &TrainingSpec,
    warm_up: usize,
    steps: usize,
) -> Vec<f64> {
    let mut adam = Adam::new(parameters, spec.learning_rate);
    let plan = EpochPlan::new(rows, seeds, 1, spec.batch_size);
    // the last step of an epoch is smaller and would flatter the figure
    let whole = (rows.steps(spec.batch_size) - 1).max(1);
    let active = vec![true; seeds.len()];
    let seconds = (0..warm_up + steps).map(|number| {
        let started = Instant::now();
        let batch = plan.batch(rows, number % whole);
        let loss = detector.loss(parameters, &batch, seeds, number as u64);
        let _ = Tensor::stack(&loss.row(), 1);
        descend(parameters, &mut adam, loss, spec.gradient_clip, &active);
        started.elapsed().as_secs_f64()
    });
    seconds.skip(warm_up).collect()
}

/// One step of the optimiser.
fn descend(
    parameters: &mut Parameters,
    adam: &mut Adam,
    loss: Loss,
    clip: Option<f64>,
    active: &[bool],
) {
    let mut gradient = loss.gradient;
    if let Some(bound) = clip {
        no_grad(|| clip_norm(&mut gradient, bound));
    }
    adam.step(parameters, &gradient, active);
}

/// Scales each seed's gradient, [seeds, count], to a norm of at most `bound`, as PyTorch's
/// `clip_grad_norm_` does.
fn clip_norm(gradient: &mut Tensor, bound: f64) {
    let norm = gradient.norm_scalaropt_dim(2.0, [1i64].as_slice(), true);
    let scale = (bound / (norm + 1e-6)).clamp_max(1.0);
    let _ = gradient.g_mul_(&scale);
}

/// The order in which an epoch visits the rows of every seed.
struct EpochPlan {
    batch_size: usize,
    counts: Vec<usize>,
    /// Row numbers into `TrainingRows`, padded with 0, [seeds, steps · batch size].
    order: Tensor,
}

impl EpochPlan {
    fn new(rows: &TrainingRows, seeds: &[u64], epoch: u64, batch_size: usize) -> Self {
        let length = rows.steps(batch_size) * batch_size;
        let mut order = vec![0i64; seeds.len() * length];
        for (number, &seed) in seeds.iter().enumerate() {
            let start = rows.start(number) as i64;
            let permutation =
                Numbers::new(seed, Stream::Shuffle, epoch).permutation(rows.counts[number]);
            let slots = &mut order[number * length..(number + 1) * length];
            for (slot, row) in slots.iter_mut().zip(permutation) {
                *slot = start + i64::from(row);
            }
        }
        let order = Tensor::from_slice(&order)
            .view([seeds.len() as i64, length as i64])
            .to_device(rows.values.device());
        Self { batch_size, counts: rows.counts.clone(), order }
    }

    /// Rows of `seed` that `step` (from 0) takes.
    fn rows_of(&self, seed: usize, step: usize) -> usize {
        self.counts[seed].saturating_sub(step * self.batch_size).min(self.batch_size)
    }

    fn batch(&self, rows: &TrainingRows, step: usize) -> Batch {
        let seeds = self.counts.len();
        let taken: Vec<usize> = (0..seeds).map(|seed| self.rows_of(seed, step)).collect();
        let width = taken.iter().copied().max().unwrap_or(0);
        let index = self.order.narrow(1, (step * self.batch_size) as i64, width as i64);
        let x = gather(&rows.values, &index.reshape([-1])).view([seeds as i64, width as i64, -1]);
        let ragged = taken.iter().any(|&count| count < width);
        Batch { x, weight: ragged.then(|| weights(&taken, width, rows.values.device())) }
    }
}

/// 1 for the first `taken[seed]` rows, 0 for the padding after them, [seeds, width].
fn weights(taken: &[usize], width: usize, device: Device) -> Tensor {
    let values: Vec<f32> = taken
        .iter()
        .flat_map(|&count| (0..width).map(move |row| if row < count { 1.0 } else { 0.0 }))
        .collect();
    Tensor::from_slice(&values).view([taken.len() as i64, width as i64]).to_device(device)
}

/// Reads an epoch's losses back, once, and files them: [steps, seeds, failed + total + terms].
fn note_epoch(
    plan: &EpochPlan,
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
            let count = plan.rows_of(seed, step);
            if count == 0 {
                continue;
            }
            let row = &values[(step * seeds + seed) * columns..][..columns];
            if let Some(term) = broken(row, terms) {
                course.divergence = Some(Divergence { epoch, step: step + 1, term });
                break;
            }
            let share = count as f64 / plan.counts[seed] as f64;
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
        TrainingSpec { epochs: 3, batch_size: 16, learning_rate: 1e-3, gradient_clip: Some(5.0) }
    }

    fn rows(count: usize, seed: u64) -> Tensor {
        let mut numbers = Numbers::new(seed, Stream::Data, 0);
        let values: Vec<f32> = (0..count * 5).map(|_| numbers.uniform_f32()).collect();
        Tensor::from_slice(&values).view([count as i64, 5])
    }

    fn detector() -> (Detector, Vec<crate::model::layers::ParameterSpec>) {
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

    #[test]
    fn a_gradient_is_scaled_to_the_bound_seed_by_seed_and_a_short_one_is_left() {
        let mut gradient = Tensor::from_slice(&[3.0f32, 4.0, 0.3, 0.4]).view([2, 2]);
        clip_norm(&mut gradient, 1.0);
        let expected = Tensor::from_slice(&[0.6f32, 0.8, 0.3, 0.4]).view([2, 2]);
        assert!((gradient - expected).abs().max().double_value(&[]) < 1e-6);
    }
}
