//! `seedbed explain` through the real program, on tables that were made up so that the answer is known.

use std::fmt::Write;

use crate::sandbox::Sandbox;

/// Four readings in all 16 combinations, and how long it trains.
const EXPERIMENT: &str = r#"title = "Made-up readings"
runs = 4
compare = { paper = "made-up", method = "DAGMM" }

[dataset]
name = "synthetic"
rows = 600

[protocol]
split = { kind = "half-of-all" }
threshold = { top = 0.2, of = "test" }

[model]
name = "dagmm"
hidden = [6]
latent = 1
mixtures = 2

[training]
batch-size = 128
learning-rate = 1e-3

[[readings]]
key = "model.init"
values = ["pytorch", "glorot"]
stated = "no"
why = "a test"

[[readings]]
key = "training.last-batch"
values = ["keep", "drop"]
stated = "no"
why = "a test"

[[readings]]
key = "model.mixture-precision"
values = ["f64", "f32"]
stated = ["yes", "contradicted"]
why = ["it says so", "it does not"]

[axes]
"training.epochs" = [2, 1]

[controls]
untrained = true
"#;

const PAPER: &str = r#"name = "made-up"
title = "Made-up figures"
source = "none"

[margins.f1]
value = 0.02
reason = "a test"

[[figures]]
table = "Table 1"
dataset = "synthetic"
setting = "a test"
method = "another method, which comes first"
metric = "f1"
value = 0.1
runs = 20
status = "verified"

[[figures]]
table = "Table 1"
dataset = "synthetic"
setting = "a test"
method = "DAGMM"
metric = "f1"
value = 0.95
runs = 20
status = "verified"
"#;

const LEVELS: [[&str; 2]; 4] =
    [["pytorch", "glorot"], ["keep", "drop"], ["f64", "f32"], ["2", "1"]];

/// The F1 of a cell and seed: 0.8, 0.1 more with Glorot, 0.04 more where both of Glorot and f32 are chosen,
/// 0.02 less for one epoch, and what each seed adds; nothing of an untrained network depends on anything.
fn f1(levels: [usize; 4], seed: u64) -> f64 {
    let [init, _, precision, epochs] = levels.map(|level| level as f64);
    0.8 + 0.1 * init + 0.04 * init * precision - 0.02 * epochs + 0.0001 * seed as f64
}

/// A folder with a runs.csv of these seeds.
fn stored(seeds: impl Iterator<Item = u64> + Clone) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("experiments/made.toml", EXPERIMENT);
    sandbox.write("experiments/papers/made-up.toml", PAPER);
    let mut table = "experiment,cell,seed,scale,state,f1\n".to_owned();
    for cell in 0..16 {
        let levels = [3, 2, 1, 0].map(|bit| cell >> bit & 1);
        let words: Vec<&str> =
            LEVELS.iter().zip(levels).map(|(words, level)| words[level]).collect();
        let label = format!(
            "init={},last-batch={},mixture-precision={},epochs={}",
            words[0], words[1], words[2], words[3]
        );
        for seed in seeds.clone() {
            let value = f1(levels, seed);
            writeln!(table, "made,\"{label}\",{seed},full,ok,{value}").unwrap();
            writeln!(table, "made,\"{label},control=untrained\",{seed},full,ok,0.5").unwrap();
        }
    }
    sandbox.write("results/made/runs.csv", &table);
    sandbox
}

/// The line of effects.csv of this beginning, its fields.
fn line(table: &str, start: &str) -> Vec<String> {
    let found = table.lines().find(|line| line.starts_with(start));
    let found = found.unwrap_or_else(|| panic!("no '{start}' in:\n{table}"));
    found.split(',').map(str::to_owned).collect()
}

#[test]
fn known_effects_and_shares_are_found_and_written() {
    let sandbox = stored(1..=4);
    sandbox.seedbed("explain made").expect(0).prints("8 combinations of the readings, 16 cells")
        .prints("2 of 16 cells have a mean F1 within ±0.02 of the published 0.9500")
        .prints("The most literal reading, init=pytorch,last-batch=keep,mixture-precision=f64,epochs=2, has 0.8003");
    let effects = sandbox.read("results/made/effects.csv");
    let estimate = |start: &str| line(&effects, start)[5].parse::<f64>().unwrap();
    // of Glorot: 0.1, and half of 0.04 on average over the precision
    assert!((estimate("f1,main,init,pytorch,glorot") - 0.12).abs() < 1e-9);
    assert!((estimate("f1,main,last-batch,keep,drop")).abs() < 1e-9);
    assert!((estimate("f1,main,epochs,2,1") + 0.02).abs() < 1e-9);
    assert!((estimate("f1,two-way,init × mixture-precision") - 0.02).abs() < 1e-9);
    assert!(effects.contains("\"f1, untrained\",main,init,pytorch,glorot,0.0,"), "{effects}");
    // Shapley shares the 0.04 of both equally
    let share = line(&effects, "f1,shapley,model.init,pytorch,glorot");
    assert!((share[5].parse::<f64>().unwrap() - 0.12).abs() < 1e-9);
    assert!((share[8].parse::<f64>().unwrap() - 0.12 / 0.12).abs() < 1e-9);
    let specification = sandbox.read("results/made/specification.csv");
    let best = specification.lines().nth(1).unwrap();
    assert!(
        best.starts_with(
            "f1,1,\"init=glorot,last-batch=keep,mixture-precision=f32,epochs=2\",4,0,"
        )
    );
    assert_eq!(specification.lines().count(), 17);
}

#[test]
fn ends_are_named_and_wrong_names_are_refused() {
    let sandbox = stored(1..=4);
    let from = "init=pytorch,last-batch=keep,mixture-precision=f64,epochs=2";
    let to = "init=pytorch,last-batch=keep,mixture-precision=f64,epochs=1";
    let run = sandbox.seedbed(&format!("explain made --from {from} --to {to}")).expect(0);
    run.prints("training.epochs").lists("2 1 −0.0200");
    sandbox.seedbed("explain made --from init=pytorc").expect(2).says("no cell 'init=pytorc'");
    sandbox.seedbed("explain made --metric f2").expect(2).says("no metric").says("f1");
    sandbox.seedbed("explain synthetic").expect(2).says("[[readings]]");
}

#[test]
fn a_cell_that_was_chosen_is_judged_on_fresh_seeds_alone() {
    let explored = stored(1..=4);
    explored
        .seedbed("explain made")
        .expect(0)
        .prints("No cell is judged")
        .prints("--seeds 101-120");
    explored.seedbed("compare made --strict").expect(0);
    let table = explored.read("results/made/comparison.csv");
    assert_eq!(table.lines().count(), 1, "{table}");
    let judged = stored((1..=4).chain(101..=105));
    judged.seedbed("compare made").expect(0).lists("judged on seeds 101-105");
    let table = judged.read("results/made/comparison.csv");
    assert!(table.contains("chosen from 8 readings; judged on seeds 101-105"));
    // the curve and the effects are of the exploring seeds
    judged.seedbed("explain made").expect(0).prints("4 seeds each at most");
}

#[test]
fn a_report_shows_what_the_readings_do() {
    let sandbox = stored(1..=4);
    sandbox.seedbed("report made").expect(0);
    let page = sandbox.read("results/report.html");
    for words in [
        "<h3>Readings</h3>",
        "class=\"curve\"",
        "Effects on f1",
        "it does not",
        "stated: contradicted",
    ] {
        assert!(page.contains(words), "{words}");
    }
    assert!(!page.contains("NaN"));
    assert!(sandbox.read("results/report.json").contains("\"specification\""));
}
