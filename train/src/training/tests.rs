//! The loop, its batches and its draws.

use std::thread;

use tch::{Device, Tensor};

use super::batches::Walk;
use super::draws::ahead;
use super::*;
use crate::model::{ModelSpec, build};
use crate::nn::Noise;
use seedbed::experiment::LastBatch;
use seedbed::random::{Numbers, Stream};

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

fn detector() -> (Detector, Vec<crate::nn::ParameterSpec>) {
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

fn trained(
    detector: &Detector,
    parameters: &mut Parameters,
    rows: &TrainingRows,
    seeds: &[u64],
    spec: &TrainingSpec,
) -> Vec<Course> {
    train(Training { detector, rows, seeds, spec }, parameters, &mut |_, _, _| {})
}

/// 40, 50 and 31 rows in batches of 16 make 3, 4 and 2 steps, and last batches of 8, 2 and 15.
#[test]
fn seeds_with_different_numbers_of_rows_train_as_if_alone() {
    let (detector, specs) = detector();
    let seeds = [3, 4, 5];
    let data = [rows(40, 3), rows(50, 4), rows(31, 5)];
    let mut together = Parameters::initialise(specs.clone(), &seeds, Device::Cpu);
    let all = stacked(&data);
    let courses = trained(&detector, &mut together, &all, &seeds, &spec());
    for (index, &seed) in seeds.iter().enumerate() {
        let mut alone = Parameters::initialise(specs.clone(), &[seed], Device::Cpu);
        let own = stacked(&data[index..=index]);
        let course = &trained(&detector, &mut alone, &own, &[seed], &spec())[0];
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
    let of_rows = |rows: Tensor, spec: &TrainingSpec| {
        let mut parameters = Parameters::initialise(specs.clone(), &seeds, Device::Cpu);
        let all = stacked(&[rows]);
        assert_eq!(all.steps(spec), 2);
        let courses = trained(&detector, &mut parameters, &all, &seeds, spec);
        (parameters, courses)
    };
    // 32 rows are two whole batches: nothing is dropped
    let (kept, kept_courses) = of_rows(rows(32, 3), &spec());
    let (whole, whole_courses) = of_rows(rows(32, 3), &dropped);
    assert!(whole.flat().equal(kept.flat()));
    assert_eq!(whole_courses, kept_courses);
    // of 40 rows the 8 that an epoch leaves over are other ones in each epoch
    let (_, courses) = of_rows(rows(40, 3), &dropped);
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
    let courses = trained(&detector, &mut parameters, &all, &seeds, &spec());
    let expected = Divergence { epoch: 1, step: 1, term: "reconstruction" };
    assert_eq!(courses[0].divergence, Some(expected));
    assert!(courses[0].curve.is_empty());

    let mut alone = Parameters::initialise(specs, &seeds[1..], Device::Cpu);
    let own = stacked(&data[1..]);
    let course = &trained(&detector, &mut alone, &own, &seeds[1..], &spec())[0];
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
    for noise in [Noise::Dropout { units: 3, probability: 0.5 }, Noise::Latent { variables: 3 }] {
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
