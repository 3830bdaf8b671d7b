//! What the golden tests share: reading a fixture and measuring how far off a tensor is.
#![allow(dead_code, reason = "each test program uses its part")]

use seedbed_train::model::{Batch, Detector, Loss};
use seedbed_train::native::Step;
use seedbed_train::nn::{ParameterSpec, Parameters};
use serde_json::Value;
use tch::{Kind, Tensor};

/// `tests/golden/<name>.json`.
pub fn fixture(name: &str) -> Value {
    let path = format!("{}/tests/golden/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// An array or a number of the fixture, f64.
pub fn tensor(value: &Value) -> Tensor {
    if let Some(number) = value.as_f64() {
        return Tensor::from(number);
    }
    let numbers = |key: &str| value[key].as_array().unwrap().iter();
    let values: Vec<f64> = numbers("values").map(|v| v.as_f64().unwrap()).collect();
    let shape: Vec<i64> = numbers("shape").map(|v| v.as_i64().unwrap()).collect();
    Tensor::from_slice(&values).view(shape.as_slice())
}

/// The fixture's values in the order of the specs, [1, count].
pub fn flat(specs: &[ParameterSpec], values: &Value) -> Tensor {
    let part = |spec: &ParameterSpec| {
        let part = tensor(&values[&spec.name]);
        assert_eq!(part.size(), spec.shape, "{}", spec.name);
        part.reshape([-1])
    };
    Tensor::cat(&specs.iter().map(part).collect::<Vec<_>>(), 0).unsqueeze(0)
}

/// Largest difference relative to the largest expected value (or to 1 when that is smaller).
pub fn distance(got: &Tensor, expected: &Tensor) -> f64 {
    let (got, expected) = (got.to_kind(Kind::Double), expected.to_kind(Kind::Double));
    let got = got.reshape(expected.size().as_slice());
    let scale = expected.abs().max().double_value(&[]).max(1.0);
    (got - expected).abs().max().double_value(&[]) / scale
}

#[track_caller]
pub fn assert_close(what: &str, got: &Tensor, expected: &Value, tolerance: f64) {
    let distance = distance(got, &tensor(expected));
    // written so that NaN fails
    assert!(distance <= tolerance, "{what}: relative distance {distance:e} exceeds {tolerance:e}");
}

/// [1, count] → one tensor a parameter, in the order of the network's.
pub fn split(specs: &[ParameterSpec], flat: &Tensor) -> Vec<Tensor> {
    let counts: Vec<i64> = specs.iter().map(|spec| spec.shape.iter().product()).collect();
    flat.split_with_sizes(counts.as_slice(), 1)
}

/// Largest distance between the shares of values below a point and those of a uniform law on [−1, 1].
fn distance_from_uniform(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let count = values.len() as f64;
    let distance = |(place, value): (usize, &f64)| {
        let (share, expected) = (place as f64 / count, (value + 1.0) / 2.0);
        (expected - share).max(share + 1.0 / count - expected)
    };
    values.iter().enumerate().map(distance).fold(0.0, f64::max)
}

/// Weights, [1, count], are uniform in the bounds that the fixture has for their layers, as far as so
/// many draws can tell, and biases 0.
#[track_caller]
pub fn assert_glorot(what: &str, specs: &[ParameterSpec], flat: &Tensor, case: &Value) {
    let mut scaled = Vec::new();
    for (spec, values) in specs.iter().zip(split(specs, flat)) {
        let (layer, kind) = spec.name.rsplit_once('.').unwrap();
        let values = Vec::<f64>::try_from(values.to_kind(Kind::Double).reshape([-1])).unwrap();
        if kind == "bias" {
            assert!(values.iter().all(|&bias| bias == 0.0), "{what}, {}", spec.name);
        } else {
            let bound = case["bounds"][layer].as_f64().unwrap();
            // an f32 weight may be rounded up beyond the bound
            let inside = values.iter().all(|weight| weight.abs() <= bound * (1.0 + 1e-7));
            assert!(inside, "{what}, {}", spec.name);
            scaled.extend(values.iter().map(|weight| weight / bound));
        }
    }
    assert_eq!(scaled.len() as u64, case["count"].as_u64().unwrap(), "{what}");
    let distance = distance_from_uniform(scaled);
    let most = case["largest_distance_from_uniform"].as_f64().unwrap();
    assert!(distance <= most, "{what}: {distance} above {most}");
}

/// How a model's loss and gradient are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Tensors,
    /// In f32 on a processor that has vectors, and for models that have such a step.
    Native,
}

impl Way {
    pub const ALL: [Self; 2] = [Self::Tensors, Self::Native];

    /// The loss of a batch; none where the model has no such step.
    pub fn loss(
        self,
        detector: &Detector,
        parameters: &Parameters,
        batch: &Batch,
        noise: Option<&Tensor>,
    ) -> Option<Loss> {
        match self {
            Self::Tensors => Some(detector.loss(parameters, batch, noise)),
            Self::Native => Step::for_model(&detector.spec, parameters)
                .map(|mut step| step.loss(parameters, batch, noise)),
        }
    }
}
