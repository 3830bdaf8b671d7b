//! Runs that are added until a verdict falls, through the real binary.

use crate::sandbox::{Sandbox, TINY};

/// `tiny` with one cell, compared with a figure that its F1 is near to or far from, by a margin.
fn sandbox(value: f64, margin: f64, runs: u64) -> Sandbox {
    let sandbox = Sandbox::new();
    let experiment = TINY
        .replace("paper = \"made-up\"", "compare = { paper = \"figure\", method = \"DAGMM\" }")
        .replace("[axes]\n\"model.reconstruction\" = [\"sum\", \"mean\"]\n", "");
    sandbox.write("experiments/tiny.toml", &experiment);
    let paper = format!(
        "name = \"figure\"\ntitle = \"A figure\"\nsource = \"none\"\n\n[margins.f1]\nvalue = {margin}\n\
         reason = \"a test\"\n\n[[figures]]\ntable = \"Table 1\"\ndataset = \"synthetic\"\n\
         setting = \"a test\"\nmethod = \"DAGMM\"\nmetric = \"f1\"\nvalue = {value}\nruns = {runs}\n\
         status = \"verified\"\n"
    );
    sandbox.write("experiments/papers/figure.toml", &paper);
    sandbox
}

fn runs(sandbox: &Sandbox) -> usize {
    let records = sandbox.records("results");
    records.keys().filter(|(cell, _)| cell == "base").count()
}

#[test]
fn a_figure_far_off_is_decided_at_the_first_look_and_the_looks_are_stored() {
    let sandbox = sandbox(0.99, 0.02, 1000);
    let run = sandbox.seedbed("run tiny --until-decided --max-runs 40").expect(0);
    run.says("every figure is decided after 5 runs").prints("not reproduced");
    assert_eq!(runs(&sandbox), 5);
    let looks = sandbox.read("results/tiny/looks.csv");
    let numbers: Vec<&str> =
        looks.lines().skip(1).filter_map(|line| line.split(',').nth(1)).collect();
    assert_eq!(numbers, ["5", "10", "20", "40"]);
    let table = sandbox.read("results/tiny/comparison.csv");
    assert!(table.contains("look 1 of 4, at 5 runs"), "{table}");
    sandbox.seedbed("plan tiny").expect(0).prints("looks, until decided: 5 runs (t ");
    // going on changes nothing, and no other plan takes its place
    sandbox.seedbed("run tiny --until-decided --max-runs 40").expect(0).says("nothing to run");
    sandbox.seedbed("run tiny --until-decided").expect(2).says("go on with --max-runs 40");
    // runs that are added beside the looks count for no verdict
    sandbox.seedbed("run tiny --seeds 6-8").expect(0);
    assert!(sandbox.read("results/tiny/comparison.csv").contains("look 1 of 4, at 5 runs"));
    // tables say the same without the flag
    sandbox.seedbed("compare tiny").expect(0).prints("not reproduced");
}

#[test]
fn an_open_figure_gets_more_runs_up_to_the_most() {
    let sandbox = sandbox(0.5, 0.02, 1000);
    // wherever the mean lies, set the figure a margin from it
    sandbox.seedbed("run tiny --runs 10 --out probe").expect(0);
    let values: Vec<f64> = sandbox
        .records("probe")
        .iter()
        .filter(|((cell, _), _)| cell == "base")
        .map(|(_, record)| record["metrics"]["f1"].as_f64().unwrap())
        .collect();
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let again = self::sandbox((mean - 0.02).clamp(0.0, 1.0), 0.02, 1000);
    let run = again.seedbed("run tiny --until-decided --max-runs 10").expect(0);
    run.says("0 of 1 figures are decided after 5 runs; 1 cells go on")
        .says("after 10 runs; the most that were planned")
        .prints("inconclusive");
    assert_eq!(runs(&again), 10);
}

#[test]
fn a_source_of_one_run_ends_as_undecidable_or_refuted_and_not_after_all_runs() {
    let sandbox = sandbox(0.5, 0.001, 1);
    let run = sandbox.seedbed("run tiny --until-decided --max-runs 320").expect(0);
    run.says("every figure is decided after 5 runs");
    assert_eq!(runs(&sandbox), 5);
}

#[test]
fn what_nobody_planned_is_refused() {
    let sandbox = sandbox(0.99, 0.02, 1000);
    sandbox.seedbed("run tiny --runs 1").expect(0);
    sandbox
        .seedbed("run tiny --until-decided")
        .expect(2)
        .says("holds 2 runs already")
        .says("--out DIR");
    assert!(!sandbox.path("results/tiny/looks.csv").exists());
    sandbox.seedbed("run tiny --until-decided --runs 3 --out other").expect(2);
    sandbox
        .seedbed("run tiny --until-decided --max-runs 4 --out other")
        .expect(2)
        .says("from 5 to");
    sandbox
        .seedbed("run synthetic --until-decided --out other")
        .expect(2)
        .says("nothing to decide");
}

#[test]
fn two_processes_that_decide_together_train_each_run_once() {
    let sandbox = sandbox(0.99, 0.02, 1000);
    let start = || sandbox.command("run tiny --until-decided --max-runs 20").spawn().unwrap();
    let both = [start(), start()].map(|child| child.wait_with_output().unwrap());
    for ended in &both {
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    }
    assert_eq!(runs(&sandbox), 5);
}
