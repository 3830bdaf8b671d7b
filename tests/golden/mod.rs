//! What the golden tests share: reading a fixture and measuring how far off a tensor is.
#![allow(dead_code, reason = "each test program uses its part")]

use seedbed::model::layers::ParameterSpec;
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
