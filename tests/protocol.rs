//! A run's result depends on its cell and seed, and on nothing else: not on the workers, the order,
//! or the seeds beside it.
mod sandbox;

use std::collections::BTreeMap;

use sandbox::Sandbox;
use serde_json::Value;

type Records = BTreeMap<(String, u64), Value>;

/// Trains both cells under four seeds for 50 epochs.
fn records(arguments: &str) -> Records {
    let sandbox = Sandbox::new();
    let whole = format!("run tiny --device cpu --set training.epochs=50 {arguments}");
    sandbox.seedbed(&whole).expect(0);
    sandbox.records("results")
}

fn digests(records: &Records) -> BTreeMap<&(String, u64), &Value> {
    records.iter().map(|(run, record)| (run, &record["digests"])).collect()
}

#[test]
fn one_and_two_workers_agree_bit_for_bit() {
    for width in [1, 4] {
        let one = records(&format!("--runs 4 --width {width} --slots 1"));
        let two = records(&format!("--runs 4 --width {width} --slots 2"));
        assert_eq!(one.len(), 16);
        assert_eq!(digests(&one), digests(&two), "width {width}");
    }
}

#[test]
fn the_order_of_the_seeds_and_what_ran_before_change_no_bit() {
    let forth = records("--seeds 1,2,3,4 --width 1 --slots 1");
    let back = records("--seeds 4,3,2,1 --width 1 --slots 2");
    assert_eq!(digests(&forth), digests(&back));
    let alone = records("--seeds 3 --width 1");
    for (run, record) in &alone {
        assert_eq!(record["digests"], forth[run]["digests"]);
    }
}

#[test]
fn every_seed_has_a_split_and_weights_of_its_own_and_cells_share_the_split() {
    let records = records("--runs 4");
    let of = |cell: &str, seed: u64, what: &str| {
        records[&(format!("reconstruction={cell}"), seed)]["digests"][what].clone()
    };
    for what in ["split", "init", "scores"] {
        let mut seen: Vec<String> = (1..=4).map(|seed| of("sum", seed, what).to_string()).collect();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 4, "{what}");
    }
    for seed in 1..=4 {
        assert_eq!(of("sum", seed, "split"), of("mean", seed, "split"));
        assert_ne!(of("sum", seed, "scores"), of("mean", seed, "scores"));
    }
}

/// Sums of floating-point numbers run in another order at another width. The stated tolerance, over
/// these 50 epochs: 1e-5 of a loss's size and 0.005 of a metric. Measured on an AMD EPYC with
/// libtorch 2.11.0: 4e-7 and 7e-5 (one pair of test rows changes places).
#[test]
fn batch_widths_1_and_4_agree_within_the_stated_tolerance() {
    let one = records("--runs 4 --width 1");
    let four = records("--runs 4 --width 4");
    assert_eq!(one.len(), four.len());
    let (mut loss_gap, mut metric_gap) = (0.0f64, 0.0f64);
    for (run, alone) in &one {
        let beside = &four[run];
        assert_eq!(
            (&alone["batch_width"], &beside["batch_width"]),
            (&Value::from(1), &Value::from(4))
        );
        for what in ["data", "split", "init"] {
            assert_eq!(alone["digests"][what], beside["digests"][what]);
        }
        for (a, b) in numbers(&alone["loss_curve"]).into_iter().zip(numbers(&beside["loss_curve"]))
        {
            loss_gap = loss_gap.max((a - b).abs() / a.abs().max(1.0));
        }
        for metric in ["precision", "recall", "f1", "auroc", "auprc"] {
            let value = |record: &Value| record["metrics"][metric].as_f64().expect("a metric");
            metric_gap = metric_gap.max((value(alone) - value(beside)).abs());
        }
    }
    println!(
        "widths 1 and 4: losses differ by {loss_gap:e} of their size, metrics by {metric_gap:e}"
    );
    assert!(loss_gap <= 1e-5, "{loss_gap:e}");
    assert!(metric_gap <= 0.005, "{metric_gap}");
}

fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(list) => list.iter().flat_map(numbers).collect(),
        other => vec![other.as_f64().expect("a number")],
    }
}
