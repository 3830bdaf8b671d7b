//! Readings through the real binary: cells that share a training, designs, and what is stored of them.

use crate::sandbox::{Sandbox, TINY};

/// `tiny` with axes of how long it trains and which mixture scores.
fn nested(epochs: &str) -> String {
    let axes =
        format!("\"training.epochs\" = {epochs}\n\"model.mixture\" = [\"train\", \"last-batch\"]");
    TINY.replace("paper = \"made-up\"\n", "")
        .replace("\"model.reconstruction\" = [\"sum\", \"mean\"]", &axes)
        .replace("\"training.epochs\" = 2\n", "")
}

/// `tiny` with four readings, all combinations of which are 16 cells.
fn readings(design: &str) -> String {
    let mut readings = String::new();
    for (key, values) in [
        ("dataset.scaling.kind", "[\"min-max\", \"standard\"]"),
        ("model.init", "[\"pytorch\", \"glorot\"]"),
        ("training.last-batch", "[\"keep\", \"drop\"]"),
        ("model.covariance-epsilon", "[1e-6, 1e-3]"),
        ("model.mixture-precision", "[\"f64\", \"f32\"]"),
    ] {
        let table =
            format!("key = \"{key}\"\nvalues = {values}\nstated = \"no\"\nwhy = \"a test\"");
        readings += &format!("[[readings]]\n{table}\n\n");
    }
    TINY.replace("paper = \"made-up\"\n", design)
        .replace("[axes]\n\"model.reconstruction\" = [\"sum\", \"mean\"]\n", &readings)
}

fn with(text: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("experiments/tiny.toml", text);
    sandbox
}

#[test]
fn cells_that_train_for_other_epochs_are_checkpoints_of_one_training() {
    let all = with(&nested("[0, 1, 5, 3]"));
    all.seedbed("run tiny --runs 2 --width 2").expect(0).says("32 runs in 2 jobs");
    let together = all.records("results");
    for epochs in [0, 1, 3, 5] {
        for mixture in ["train", "last-batch"] {
            let label = format!("epochs={epochs},mixture={mixture}");
            let alone = with(&nested("[0, 1, 5, 3]"));
            alone.seedbed(&format!("run tiny --seeds 2 --cell {label}")).expect(0);
            let run = (label, 2);
            let one = &alone.records("results")[&run];
            for part in
                ["key", "state", "epochs", "digests", "metrics", "loss_curve", "diagnostics"]
            {
                assert_eq!(one[part], together[&run][part], "{run:?} {part}");
            }
            assert_eq!(one["loss_curve"].as_array().map(Vec::len), Some(epochs));
        }
    }
    let scores = |label: &str| &together[&(label.to_owned(), 1)]["digests"]["scores"];
    assert_ne!(scores("epochs=3,mixture=train"), scores("epochs=5,mixture=train"));
    assert_ne!(scores("epochs=3,mixture=train"), scores("epochs=3,mixture=last-batch"));
    // what is lost of the shorter is trained for so many epochs alone
    std::fs::remove_file(all.path("results/tiny/runs/epochs=1,mixture=train/1.json")).unwrap();
    std::fs::remove_file(all.path("results/tiny/runs.csv")).unwrap();
    all.seedbed("run tiny --runs 2").expect(0).says("1 runs in 1 jobs");
    let again = all.records("results");
    let run = ("epochs=1,mixture=train".to_owned(), 1);
    assert_eq!(again[&run]["digests"], together[&run]["digests"]);
}

#[test]
fn a_training_that_diverges_leaves_the_checkpoints_before_it() {
    let sandbox =
        with(&nested("[0, 2, 4]").replace("learning-rate = 1e-3", "learning-rate = 1e30"));
    sandbox.seedbed("run tiny --runs 1").expect(1);
    let records = sandbox.records("results");
    let state = |epochs: u64| &records[&(format!("epochs={epochs},mixture=train"), 1)]["state"];
    assert_eq!(state(0), "ok");
    assert_eq!(state(2), "diverged");
    assert_eq!(state(4), "diverged");
}

#[test]
fn every_cell_of_a_shared_training_has_pictures_of_its_own() {
    let sandbox = with(&nested("[1, 3]"));
    sandbox.seedbed("run tiny --runs 1 --pictures").expect(0);
    let drawn = |epochs: u64| {
        let folder = format!("results/tiny/pictures/epochs={epochs},mixture=train/seed-1/loss.svg");
        std::fs::read_to_string(sandbox.path(&folder)).unwrap_or_else(|_| panic!("{folder}"))
    };
    assert_ne!(drawn(1), drawn(3));
    sandbox.seedbed("run tiny --runs 1 --pictures").expect(0).says("nothing to run");
}

#[test]
fn a_design_is_planned_stored_before_the_runs_and_never_replaced() {
    let sandbox = with(&readings("design = { fraction = 16 }\n"));
    let plan = sandbox.seedbed("plan tiny").expect(0);
    plan.prints("16 of the 32 combinations of 5 readings, resolution V")
        .prints("E = ABCD; I = ABCDE")
        .prints("A dataset.scaling.kind: min-max (stated: no) | standard")
        .prints("main effects are aliased with terms of 4 readings and more")
        .prints("16 cells, which share 16 trainings a seed");
    let design = || std::fs::read_to_string(sandbox.path("results/tiny/design.csv"));
    assert!(design().is_err(), "a plan stores nothing");
    sandbox.seedbed("run tiny --runs 1 --cell kind=min-max,init=pytorch,last-batch=keep,covariance-epsilon=0.000001,mixture-precision=f64").expect(0);
    let stored = design().unwrap();
    assert_eq!(stored.lines().count(), 17);
    assert!(stored.starts_with("cell,dataset.scaling.kind,model.init,"), "{stored}");
    sandbox.write("experiments/tiny.toml", &readings(""));
    sandbox.seedbed("run tiny --runs 1").expect(2).says("design.csv").says("--out DIR");
    assert_eq!(design().unwrap(), stored);
}

#[test]
fn readings_that_say_too_little_or_too_much_are_refused() {
    let refused = |change: &dyn Fn(String) -> String| {
        let text = change(readings("design = { fraction = 16 }\n"));
        with(&text).seedbed("plan tiny").expect(2)
    };
    let with_axis = |axis: &str| format!("\n[axes]\n{axis}\n\n[controls]");
    refused(&|text| text.replacen("why = \"a test\"", "why = \"\"", 1)).says("'why' is empty");
    refused(&|text| text.replacen("why = \"a test\"\n", "", 1)).says("missing").says("why");
    refused(&|text| text.replacen("stated = \"no\"", "stated = \"perhaps\"", 1))
        .says("contradicted");
    refused(&|text| text.replacen("stated = \"no\"", "stated = [\"no\"]", 1)).says("one a value");
    refused(&|text| text.replace("[\"keep\", \"drop\"]", "[\"keep\"]")).says("has one value");
    refused(&|text| text.replace("[1e-6, 1e-3]", "[1e-6, 1e-3, 1e-2]"))
        .says("two values, and")
        .says("has 3");
    refused(&|text| text.replace("fraction = 16", "fraction = 8")).says("and not 8");
    refused(&|text| text.replace("fraction = 16", "fraction = 32")).says("leave 'design' out");
    refused(&|text| text.replace("[controls]", &with_axis("\"model.init\" = [\"he\"]")))
        .says("is a reading and an axis");
}
