//! The examples of this project do what they say, and one can be given what another made.

use std::path::Path;

#[path = "../../examples/judge_runs/main.rs"]
#[allow(dead_code, reason = "its main function is run by cargo")]
mod judge_runs;
#[path = "../../examples/own_data.rs"]
#[allow(dead_code, reason = "its main function is run by cargo")]
mod own_data;
#[path = "../../examples/own_model.rs"]
#[allow(dead_code, reason = "its main function is run by cargo")]
mod own_model;

use crate::sandbox::{Sandbox, unaligned};

#[test]
fn runs_made_elsewhere_are_judged_by_a_paper_of_ones_own() {
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/judge_runs");
    let text = judge_runs::judge(&files.join("runs.csv"), &files.join("my-paper.toml")).unwrap();
    assert!(text.contains("  reproduced (1 of 10 runs failed), compatible"), "{text}");
    assert!(text.contains("base,control=untrained"), "{text}");
    let none = judge_runs::judge(&files.join("none.csv"), &files.join("my-paper.toml"));
    assert!(none.unwrap_err().to_string().contains("none.csv"));
}

#[test]
fn data_of_ones_own_are_found_by_the_experiment_that_names_them() {
    let sandbox = Sandbox::new();
    let folder = sandbox.path("it's mine");
    let text = own_data::bring(&folder).unwrap();
    assert!(text.contains("800 rows of 64 columns"), "{text}");
    assert!(text.contains("train on 480 rows, 0 of them anomalies"), "{text}");
    assert!(text.contains("test on 200, 40 of them anomalies"), "{text}");
    // the command is one for a shell, whatever is in the folder's name
    let (_, command) = text.trim_end().rsplit_once("train with: ").unwrap();
    let words = shlex::split(command).unwrap();
    assert_eq!(words.last().map(Path::new), Some(folder.as_path()));
    assert!(Path::new(&words[2]).exists(), "{command}");
    // other bytes than the experiment names are no data of it
    std::fs::write(folder.join("stripes/test-labels"), "other").unwrap();
    let experiment = folder.join("experiments/stripes.toml");
    let read = seedbed::experiment::Experiment::load(
        &experiment.to_string_lossy(),
        &seedbed::experiment::Selection::default(),
    );
    let wrong = seedbed::dataset::load(&read.unwrap().cells[0].dataset, &[folder]);
    assert!(wrong.unwrap_err().to_string().contains("test-labels"));
}

#[test]
fn a_model_of_ones_own_leaves_runs_that_can_be_judged() {
    let sandbox = Sandbox::new();
    let runs = sandbox.path("runs.csv");
    let text = own_model::run(Some(&runs)).unwrap();
    assert!(unaligned(&text).contains("\nauroc 5 0 0."), "{text}");
    let rows = seedbed::report::csv::read_runs(&runs).unwrap();
    let splits: std::collections::BTreeSet<&str> =
        rows.iter().map(|row| row.split_sha256.as_str()).collect();
    assert_eq!((rows.len(), splits.len()), (5, 5));
    // the same data, seeds and detector are the same runs
    let again = sandbox.path("again.csv");
    own_model::run(Some(&again)).unwrap();
    assert_eq!(sandbox.read("again.csv"), sandbox.read("runs.csv"));

    let paper = std::fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/judge_runs/my-paper.toml"),
    );
    sandbox.write("my-paper.toml", &paper.unwrap().replace("my-detector", "distance-to-mean"));
    let text = judge_runs::judge(&runs, &sandbox.path("my-paper.toml")).unwrap();
    assert!(text.contains("  not reproduced, not compatible"), "{text}");
}
