//! Native steps against the same steps by tensors in f64, and against themselves in other company.

use tch::{Device, Kind, Tensor};

use super::*;
use crate::model::{DagmmSpec, Detector, build};
use crate::nn::ParameterSpec;
use seedbed::random::{Numbers, Stream};

/// A detector for rows of so many values, and its parameters.
fn dagmm(spec: &str, features: usize) -> (Detector, Vec<ParameterSpec>) {
    let spec: DagmmSpec = serde_json::from_str(spec).expect("a model");
    build(&ModelSpec::Dagmm(spec), features, None).expect("rows")
}

/// A native step with the instructions of this processor, which may be the portable ones.
fn step(detector: &Detector, parameters: &Parameters) -> Step {
    Step::with(Isa::detect(), &detector.spec, parameters.specs()).expect("a native step")
}

fn rows(seeds: usize, rows: usize, features: usize, zeros: f32) -> Tensor {
    let mut numbers = Numbers::new(5, Stream::Data, 0);
    let mut value = || match numbers.uniform_f32() {
        number if number < zeros => 0.0,
        number => number,
    };
    let values: Vec<f32> = (0..seeds * rows * features).map(|_| value()).collect();
    Tensor::from_slice(&values).view([seeds as i64, rows as i64, features as i64])
}

/// Holds a native step of two seeds, the second with fewer rows, against autograd in f64: the objective and
/// the gradient of each parameter, relative to its own largest value.
fn check(detector: &Detector, specs: &[ParameterSpec], x: &Tensor, tolerance: f64) -> [Loss; 2] {
    let [seeds, count, _] = x.size()[..] else { unreachable!("rows have three axes") };
    let parameters = Parameters::initialise(specs, &[1, 2], Device::Cpu);
    let wide = Parameters::from_flat(specs, parameters.flat().to_kind(Kind::Double));
    let noise = detector.network.noise().map(|noise| {
        let mut values = vec![0.0; (seeds * count) as usize * noise.per_row()];
        noise.draw(1, 3, &mut values);
        Tensor::from_slice(&values).view([seeds, count, -1])
    });
    let mut weight = vec![1.0f32; (seeds * count) as usize];
    weight[(seeds * count) as usize - 9..].fill(0.0);
    let weight = Tensor::from_slice(&weight).view([seeds, count]);
    let batch = |kind: Kind| Batch { x: x.to_kind(kind), weight: Some(weight.to_kind(kind)) };
    let wide_noise = noise.as_ref().map(|noise| noise.to_kind(Kind::Double));
    let mut step = step(detector, &parameters);
    let got = step.loss(&parameters, &batch(Kind::Float), noise.as_ref());
    let expected = detector.loss(&wide, &batch(Kind::Double), wide_noise.as_ref());
    for (got, expected) in got.row().iter().zip(expected.row()) {
        let gap = (got - &expected).abs().max().double_value(&[]);
        let size = expected.abs().max().double_value(&[]).max(1.0);
        assert!(gap <= tolerance * size, "{gap}");
    }
    let mut start = 0;
    for spec in specs {
        let of = |gradient: &Tensor| gradient.narrow(1, start, spec.count());
        let largest = of(&expected.gradient).abs().max().double_value(&[]);
        let gap = of(&(&got.gradient - &expected.gradient)).abs().max().double_value(&[]);
        let close = largest > 0.0 && gap <= tolerance * largest;
        assert!(close, "{:?}, {}: {gap} of {largest}", detector.spec, spec.name);
        start += spec.count();
    }
    let alone = Batch::whole(x.narrow(0, 0, 1));
    let of_first = noise.map(|noise| noise.narrow(0, 0, 1));
    [step.loss(&parameters.of_seed(0), &alone, of_first.as_ref()), got]
}

#[test]
fn a_batch_of_dagmm_has_the_loss_and_gradient_that_autograd_gives_in_f64() {
    let published = r#"{"hidden": [60, 30, 10], "latent": 1, "mixtures": 4}"#;
    let other = r#"{"hidden": [], "latent": 3, "mixtures": 2, "estimation-hidden": 7,
        "reconstruction": "mean", "determinant": "fourth-root", "energy-guard": "clamped"}"#;
    let norm = r#"{"hidden": [9], "latent": 2, "mixtures": 2, "reconstruction": "norm",
        "determinant": "sqrt-detached"}"#;
    let single = r#"{"hidden": [6], "latent": 2, "mixtures": 2, "covariance-epsilon": 1e-3,
        "mixture-precision": "f32"}"#;
    for (spec, features, zeros, count, tolerance) in [
        (published, 118, 0.8, 300, 1e-4),
        (published, 118, 0.0, 300, 1e-4),
        (other, 5, 0.3, 33, 1e-4),
        (norm, 20, 0.3, 70, 1e-4),
        (single, 20, 0.3, 130, 2e-3),
    ] {
        let (dagmm, specs) = dagmm(spec, features);
        let x = rows(2, count, features, zeros);
        let [alone, together] = check(&dagmm, &specs, &x, tolerance);
        assert!(alone.gradient.equal(&together.gradient.narrow(0, 0, 1)), "a seed in company");
        assert!(alone.total.equal(&together.total.narrow(0, 0, 1)), "a seed in company");
    }
}

#[test]
fn a_batch_of_the_vae_has_the_loss_and_gradient_that_autograd_gives_in_f64() {
    for (choice, tolerance) in [
        (r#""decoder": "gaussian""#, 1e-4),
        (r#""decoder": "gaussian", "sigma": 0.3, "activation": "relu", "reduction": "sum""#, 1e-4),
        (r#""decoder": "gaussian", "log-variance": "unbounded", "beta": 0.5"#, 1e-4),
        (r#""decoder": "bernoulli", "decoder-activation": "sigmoid""#, 1e-4),
        (r#""decoder": "bernoulli-probabilities""#, 1e-4),
        (r#""decoder": "blog", "reduction": "sum""#, 1e-4),
    ] {
        let spec = format!(r#"{{"name": "vae", "hidden": [40, 16], "latent": 2, {choice}}}"#);
        let spec: ModelSpec = serde_json::from_str(&spec).expect("a model");
        for (features, count, zeros) in [(118, 130, 0.8), (7, 20, 0.0)] {
            let (detector, specs) = build(&spec, features, None).expect("rows");
            check(&detector, &specs, &rows(2, count, features, zeros), tolerance);
        }
    }
}

#[test]
fn a_seed_that_diverged_leaves_one_with_fewer_rows_beside_it_alone() {
    let (dagmm, specs) = dagmm(r#"{"hidden": [6], "latent": 1, "mixtures": 2}"#, 8);
    let parameters = Parameters::initialise(specs, &[1, 2], Device::Cpu);
    let mut step = step(&dagmm, &parameters);
    let alone = parameters.of_seed(1).copy();
    let _ = parameters.of_seed(0).flat().shallow_clone().fill_(f64::NAN);
    let x = rows(2, 40, 8, 0.0);
    let mut weight = vec![1.0f32; 80];
    weight[75..].fill(0.0);
    let weight = Some(Tensor::from_slice(&weight).view([2, 40]));
    let got = step.loss(&parameters, &Batch { x: x.copy(), weight }, None);
    assert!(got.total.double_value(&[0]).is_nan());
    let own = Batch::whole(x.narrow(0, 1, 1).narrow(1, 0, 35).contiguous());
    let expected = step.loss(&alone, &own, None);
    assert!(got.gradient.narrow(0, 1, 1).equal(&expected.gradient));
    assert!(got.total.narrow(0, 1, 1).equal(&expected.total));
}

#[test]
fn a_model_has_a_native_step_in_f32_in_memory_where_the_processor_has_vectors() {
    let fast = !Isa::detect().is_portable();
    for (spec, native) in [
        (r#"{"name": "dagmm", "hidden": [4], "latent": 1, "mixtures": 2}"#, fast),
        (
            r#"{"name": "dagmm", "hidden": [4], "latent": 1, "mixtures": 2,
                "reconstruction": "norm"}"#,
            fast,
        ),
        (r#"{"name": "vae", "hidden": [4], "latent": 1, "decoder": "gaussian"}"#, fast),
        (r#"{"name": "conv-vae"}"#, fast),
        (r#"{"name": "conv-vae", "channels": [3, 5]}"#, false),
    ] {
        let spec_of_model: ModelSpec = serde_json::from_str(spec).expect("a model");
        let (detector, specs) = build(&spec_of_model, 784, Some((28, 28))).expect("images");
        let parameters = Parameters::initialise(specs.clone(), &[1], Device::Cpu);
        assert_eq!(Step::for_model(&detector.spec, &parameters).is_some(), native, "{spec}");
        let wide = Parameters::from_flat(specs, parameters.flat().to_kind(Kind::Double));
        assert!(Step::for_model(&detector.spec, &wide).is_none(), "{spec}, f64");
    }
}
