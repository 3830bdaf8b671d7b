//! Methods that need no trainer: run, resumed and verified by the program alone, in a folder without
//! `seedbed-train`.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use crate::sandbox::Sandbox;

const PCA: &str = r#"name = "residuals"
title = "PCA residuals of made-up rows"
runs = 3

[dataset]
name = "synthetic"
rows = 600

[protocol]
split = { kind = "half-of-all" }
threshold = { top = 0.2, of = "train-and-test" }

[model]
name = "pca"
components = 2

[axes]
"model.components" = [1, 2]
"#;

/// The program alone, and an experiment.
struct Alone {
    sandbox: Sandbox,
    program: PathBuf,
}

impl Alone {
    fn new(experiment: &str) -> Self {
        let sandbox = Sandbox::new();
        sandbox.write("experiments/residuals.toml", experiment);
        let program = sandbox.path("alone/seedbed");
        std::fs::create_dir_all(sandbox.path("alone")).expect("a folder");
        std::fs::copy(env!("CARGO_BIN_EXE_seedbed"), &program).expect("a copy");
        Self { sandbox, program }
    }

    fn run(&self, arguments: &str) -> Output {
        let mut command = Command::new(&self.program);
        command.args(arguments.split_whitespace()).current_dir(self.sandbox.path("."));
        loop {
            match command.output() {
                // a process that another test forked still holds the copy open for writing
                Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                ended => return ended.expect("the program starts"),
            }
        }
    }

    #[track_caller]
    fn done(&self, arguments: &str) -> String {
        let output = self.run(arguments);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{arguments}: {}", text(&output.stderr));
        text(&output.stdout) + &text(&output.stderr)
    }

    #[track_caller]
    fn refused(&self, arguments: &str, words: &str) {
        let output = self.run(arguments);
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert!(message.contains(words), "{message}");
    }
}

fn changed(from: &str, to: &str) -> String {
    assert!(PCA.contains(from), "{from}");
    PCA.replacen(from, to, 1)
}

#[test]
fn a_method_without_a_network_is_run_resumed_and_verified_without_a_trainer() {
    let alone = Alone::new(PCA);
    assert!(alone.done("plan residuals").contains("6 runs in about"));
    alone.done("run residuals --seeds 2");
    alone.done("run residuals --slots 2");
    let runs = alone.sandbox.read("results/residuals/runs.csv");
    let rows: Vec<&str> = runs.lines().skip(1).collect();
    assert_eq!(rows.len(), 6, "{runs}");
    assert!(rows.iter().all(|row| row.contains(",ok,")), "{runs}");
    // the last columns are libtorch's version, which has no part in it, and the axis
    assert!(rows.iter().all(|row| row.rsplit(',').nth(1) == Some("")), "{runs}");
    assert!(alone.done("run residuals").contains("every run is stored"));
    let verified = alone.done("verify residuals --runs 4");
    assert!(verified.contains("same bits") && !verified.contains("DIFFERS"), "{verified}");
    alone.done("report residuals");
    let report = alone.sandbox.read("results/report.md");
    assert!(report.contains("Principal component analysis with 2 components"), "{report}");
}

#[test]
fn a_key_that_means_nothing_beside_such_a_method_is_refused_by_name() {
    let training = format!("{PCA}\n[training]\nepochs = 3\n");
    Alone::new(&training).refused("plan residuals", "training.epochs: is no key beside this model");
    let control = format!("{PCA}\n[controls]\nuntrained = true\n");
    Alone::new(&control).refused("plan residuals", "there is no untrained one beside it");
    let many = changed("[1, 2]", "[1, 2000]");
    Alone::new(&many).refused("run residuals", "model.components is 2000, and the data have");
    let none = changed("components = 2", "components = 0").replace("[1, 2]", "[0]");
    Alone::new(&none).refused("plan residuals", "must lie between 1 and 1,000,000");
    let network = changed(
        "name = \"pca\"\ncomponents = 2",
        "name = \"autoencoder\"\nhidden = []\nlatent = 1",
    );
    let network = network.replace("\"model.components\"", "\"model.latent\"");
    Alone::new(&network).refused("plan residuals", "the table [training] is missing");
}
