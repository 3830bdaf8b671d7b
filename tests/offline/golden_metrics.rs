//! Metrics and thresholds against scikit-learn, numpy and scipy: the fixture and the script that
//! made it lie in `tests/golden/`.

use std::path::Path;

use seedbed::metrics::{Metric, ThresholdRule, evaluate, flag};
use serde_json::Value;

const TOLERANCE: f64 = 1e-12;

fn fixture(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    let text = std::fs::read_to_string(&path).expect("the fixture is part of the project");
    serde_json::from_str(&text).expect("the fixture is JSON")
}

/// Numbers, and infinities written as strings.
fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| value.as_str().expect("a number").parse().unwrap())
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("a list").iter().map(number).collect()
}

fn flags(value: &Value) -> Vec<bool> {
    value.as_array().expect("a list").iter().map(|flag| flag == 1).collect()
}

fn close(found: f64, expected: f64) -> bool {
    found == expected || (found - expected).abs() <= TOLERANCE
}

fn assert_equal(found: Option<f64>, expected: &Value, what: &str) {
    match (found, expected.as_f64()) {
        (None, None) => {}
        (Some(found), Some(expected)) => {
            assert!(close(found, expected), "{what}: {found} is not {expected}");
        }
        (found, expected) => panic!("{what}: {found:?} is not {expected:?}"),
    }
}

#[test]
fn metrics_equal_those_of_scikit_learn() {
    let fixture = fixture("metrics.json");
    let cases = fixture["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 18);
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let (scores, labels) = (numbers(&case["scores"]), flags(&case["labels"]));
        let (counts, metrics) = evaluate(&scores, &labels, &flags(&case["flags"])).unwrap();
        let expected = &case["expected"];
        assert_eq!(serde_json::to_value(counts).unwrap(), expected["counts"], "{name}");
        for (metric, found) in Metric::ALL.map(|metric| (metric.as_str(), metrics[metric])) {
            assert_equal(found, &expected[metric], &format!("{metric} of {name}"));
        }
    }
}

#[test]
fn flags_equal_those_of_numpy_percentiles_and_stable_sorting() {
    for case in fixture("metrics.json")["cases"].as_array().unwrap() {
        let (test, train) = (numbers(&case["scores"]), numbers(&case["train"]));
        let labels = flags(&case["labels"]);
        for expected in case["rules"].as_array().unwrap() {
            let what = format!("{} under {}", case["name"], expected["rule"]);
            let rule: ThresholdRule = serde_json::from_value(expected["rule"].clone()).unwrap();
            let flagged = flag(&rule, &test, &labels, &train).unwrap();
            assert_eq!(flagged.flags, flags(&expected["flags"]), "{what}");
            if let Some(threshold) = expected.get("threshold") {
                assert!(close(flagged.threshold, number(threshold)), "{what}");
            }
        }
    }
}
