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
pub struct Alone {
    pub sandbox: Sandbox,
    program: PathBuf,
}

impl Alone {
    pub fn new(experiment: &str) -> Self {
        let sandbox = Sandbox::new();
        sandbox.write("experiments/residuals.toml", experiment);
        let program = sandbox.path("alone/seedbed");
        std::fs::create_dir_all(sandbox.path("alone")).expect("a folder");
        std::fs::copy(env!("CARGO_BIN_EXE_seedbed"), &program).expect("a copy");
        Self { sandbox, program }
    }

    pub fn run(&self, arguments: &str) -> Output {
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
    pub fn done(&self, arguments: &str) -> String {
        let output = self.run(arguments);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{arguments}: {}", text(&output.stderr));
        text(&output.stdout) + &text(&output.stderr)
    }

    #[track_caller]
    pub fn refused(&self, arguments: &str, words: &str) {
        self.ends(arguments, 2, words);
    }

    /// It ends with this code and says these words on stderr.
    #[track_caller]
    pub fn ends(&self, arguments: &str, code: i32, words: &str) {
        let output = self.run(arguments);
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments}: {message}");
        assert!(message.contains(words), "{arguments}: {message}");
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

pub const COMMAND: &str = r#"name = "residuals"
title = "Somebody's program"
runs = 2

[dataset]
name = "synthetic"
rows = 300

[protocol]
split = { kind = "half-of-all" }
threshold = { top = 0.2, of = "train-and-test" }

[model]
name = "command"
program = ["python3", "-B", "method.py"]
files = ["method.py"]

[model.settings]
power = 2
"#;

/// The program alone, and an experiment whose method is `method.py`, with these settings too.
pub fn with_program(settings: &str) -> Alone {
    let alone = Alone::new(&format!("{COMMAND}{settings}\n"));
    alone.sandbox.write("experiments/method.py", include_str!("method.py"));
    alone
}

#[test]
fn an_experiment_that_is_named_without_a_folder_has_its_program_beside_it() {
    let alone = Alone::new(PCA);
    alone.sandbox.write("residuals.toml", COMMAND);
    alone.sandbox.write("method.py", include_str!("method.py"));
    alone.done("run residuals.toml --allow-commands");
    let runs = alone.sandbox.read("results/residuals/runs.csv");
    assert_eq!(runs.lines().filter(|line| line.contains(",ok,")).count(), 2, "{runs}");
}

#[test]
fn somebodys_program_is_a_method_like_any_other_once_it_is_allowed() {
    let alone = with_program("");
    alone.refused("run residuals", "python3 -B method.py (from experiments/residuals.toml)");
    assert!(!alone.sandbox.path("results/residuals").join("runs").exists(), "something ran");
    assert!(alone.done("plan residuals").contains("--allow-commands"));
    let timed = alone.done("plan residuals --allow-commands");
    assert!(timed.contains("(from a run that was timed)") && !timed.contains("steps"), "{timed}");
    alone.done("run residuals --allow-commands");
    let runs = alone.sandbox.read("results/residuals/runs.csv");
    assert_eq!(runs.lines().filter(|line| line.contains(",ok,")).count(), 2, "{runs}");
    // the program's seed is the run's: other scores
    let scores =
        runs.lines().next().expect("a header").split(',').position(|c| c == "scores_sha256");
    let digests: Vec<&str> =
        runs.lines().skip(1).filter_map(|row| row.split(',').nth(scores?)).collect();
    assert_ne!(digests[0], digests[1]);
    assert!(alone.done("run residuals --allow-commands").contains("every run is stored"));
    assert!(alone.done("verify residuals --allow-commands").contains("same bits"));
    alone.done("report residuals");
    let report = alone.sandbox.read("results/report.md");
    assert!(report.contains("The program python3 -B method.py, with power = 2."), "{report}");
    assert!(report.contains("run residuals --allow-commands --seeds 1-2"), "{report}");

    // another text of the program, and another setting, are other runs
    let set = alone.done("plan residuals --allow-commands --set model.settings.power=3");
    assert!(set.contains("model.settings.power 2 -> 3"), "{set}");
    let changed = include_str!("method.py").replace("1e-6", "2e-6");
    alone.sandbox.write("experiments/method.py", &changed);
    let other = alone.done("plan residuals --allow-commands");
    assert!(other.contains("another key: model.sha256.method.py"), "{other}");
    std::fs::remove_file(alone.sandbox.path("experiments/method.py")).expect("the program");
    alone.refused("plan residuals", "cannot read experiments/method.py");
}

/// The failure of the first run, as its record has it.
fn failure(alone: &Alone) -> (String, String) {
    let record = alone.sandbox.read("results/residuals/runs/base/1.json");
    let record: serde_json::Value = serde_json::from_str(&record).expect("JSON");
    let text = |key: &str| record[key].as_str().unwrap_or_default().to_owned();
    (text("state"), text("failure"))
}

#[test]
fn what_a_program_does_wrong_is_a_failed_run_with_a_reason() {
    for (fault, state, words) in [
        ("code", "crashed", "the program ended with exit code 3"),
        ("signal", "crashed", "the program ended by signal 9"),
        ("nan", "diverged", "scores.npy: score 3 is NaN"),
        ("short", "crashed", "scores.npy has the shape [149], and there are 150 rows"),
        ("huge", "crashed", "more than 150 scores take"),
        ("text", "crashed", "scores.npy is no array of numpy's"),
        ("link", "crashed", "scores.npy is no regular file"),
        ("missing", "crashed", "scores.npy cannot be read"),
        ("no-train", "crashed", "the program wrote no train_scores.npy"),
    ] {
        let alone = with_program(&format!("fault = \"{fault}\""));
        let output = alone.run("run residuals --allow-commands --seeds 1");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{fault}: {said}");
        let (found, why) = failure(&alone);
        assert!(found == state && why.contains(words), "{fault}: {found}, {why}");
    }
    let alone = with_program("fault = \"code\"");
    alone.sandbox.write(
        "experiments/residuals.toml",
        &COMMAND.replace("\"python3\", \"-B\", \"method.py\"", "\"no-such-program\""),
    );
    assert_eq!(alone.run("run residuals --allow-commands --seeds 1").status.code(), Some(1));
    assert!(failure(&alone).1.contains("cannot start the program 'no-such-program'"));
}

#[test]
fn what_a_program_says_much_of_or_leaves_behind_disturbs_no_run() {
    for fault in ["stdout", "stderr", "child"] {
        let alone = with_program(&format!("fault = \"{fault}\"\npid = \"PLACE\""));
        let place = alone.sandbox.path("child.pid");
        let text = alone.sandbox.read("experiments/residuals.toml");
        let text = text.replace("PLACE", place.to_str().expect("UTF-8"));
        alone.sandbox.write("experiments/residuals.toml", &text);
        alone.done("run residuals --allow-commands --seeds 1");
        assert_eq!(failure(&alone).0, "ok", "{fault}");
        if fault == "stderr" {
            // of 64 MB the beginning and the end
            let log = alone.sandbox.read("results/residuals/logs/base-1.1.log");
            assert!(log.len() < 1_200_000, "{}", log.len());
            assert!(log.ends_with("\nlast words\n") && log.contains("bytes are left out"));
        }
        if fault == "child" {
            let child: i32 = alone.sandbox.read("child.pid").trim().parse().expect("a number");
            let status = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            let gone = status.is_empty() || status.contains(") Z ");
            assert!(gone, "the program's child lives on: {status}");
        }
    }
    let alone = with_program("fault = \"hang\"");
    let output = alone.run("run residuals --allow-commands --seeds 1 --timeout 2 --retries 0");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(failure(&alone).0, "timed-out");
}

/// The record of a run, as it is stored.
fn record(alone: &Alone, seed: u64) -> serde_json::Value {
    let text = alone.sandbox.read(&format!("results/residuals/runs/base/{seed}.json"));
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn a_curve_and_measurements_of_a_programs_own_are_recorded_and_tabulated() {
    let alone = with_program(
        "\"curve.csv\" = \"epoch,loss,kl\\n1,0.5,0.25\\n2,0.25,0.125\\n\"\n\
         \"diagnostics.json\" = \"{\\\"trees\\\": 100}\"",
    );
    alone.done("run residuals --allow-commands");
    let record = record(&alone, 1);
    assert_eq!(record["epochs"], 2);
    assert_eq!(record["loss_terms"], serde_json::json!(["loss", "kl"]));
    assert_eq!(record["loss_curve"], serde_json::json!([[0.5, 0.25], [0.25, 0.125]]));
    assert_eq!(record["diagnostics"]["trees"], 100.0);
    let diagnostics = alone.sandbox.read("results/residuals/diagnostics.csv");
    assert!(diagnostics.contains(",trees,100"), "{diagnostics}");
    let curves = alone.sandbox.read("results/residuals/curves.csv");
    assert!(curves.contains(",kl,0.25 0.125"), "{curves}");
    for (wrong, state, words) in [
        ("\"curve.csv\" = \"epoch,loss\\n1,nan\\n\"", "diverged", "loss of epoch 1 is NaN"),
        ("\"diagnostics.json\" = \"[]\"", "crashed", "diagnostics.json is no JSON object"),
    ] {
        let alone = with_program(wrong);
        alone.ends("run residuals --allow-commands --seeds 1", 1, words);
        assert_eq!(failure(&alone).0, state);
    }
}

/// With further keys of `[model]`.
fn with_model(keys: &str, settings: &str) -> Alone {
    let alone = with_program(settings);
    let text = alone.sandbox.read("experiments/residuals.toml");
    let text = text.replace("[model.settings]", &format!("{keys}\n\n[model.settings]"));
    alone.sandbox.write("experiments/residuals.toml", &text);
    alone
}

#[test]
fn what_an_environment_prints_is_kept_once_and_is_no_part_of_a_key() {
    let alone = with_program("");
    alone.done("run residuals --allow-commands --seeds 1");
    assert!(record(&alone, 1)["provenance"].get("environment").is_none());
    let keys = "environment = [\"python3\", \"-c\", \"print('numpy==2.4.6')\"]";
    let text = alone.sandbox.read("experiments/residuals.toml");
    let text = text.replace("[model.settings]", &format!("{keys}\n\n[model.settings]"));
    alone.sandbox.write("experiments/residuals.toml", &text);
    alone.refused("run residuals", "; python3 -c \"print('numpy==2.4.6')\" (from");
    // the stored run stays, and the other is made in the environment
    assert!(alone.done("run residuals --allow-commands").contains("1 runs in 1 jobs"));
    let found = record(&alone, 2)["provenance"]["environment"].as_str().expect("text").to_owned();
    let kept = alone.sandbox.read(&format!("results/residuals/environments/{found}.txt"));
    assert_eq!(kept, "numpy==2.4.6\n");
    assert_eq!(seedbed::digest::sha256(kept), found);
    alone.done("verify residuals --allow-commands --sample 2");

    let failing = with_model("environment = [\"python3\", \"-c\", \"raise SystemExit(3)\"]", "");
    failing.ends("run residuals --allow-commands --seeds 1", 1, "of model.environment ended with");
    assert_eq!(failure(&failing).0, "crashed");
}

#[test]
fn cores_and_memory_that_a_run_declares_are_kept_for_it() {
    let alone =
        with_model("threads = 2\nmemory = \"3 GiB\"", "fault = \"slow\"\nplace = \"PLACE\"");
    let place = alone.sandbox.path(".");
    let text = alone.sandbox.read("experiments/residuals.toml");
    let text = text.replace("PLACE", place.to_str().expect("UTF-8"));
    alone.sandbox.write("experiments/residuals.toml", &text);
    assert!(alone.done("plan residuals").contains("up to 3.1 GiB each"));
    alone.done("run residuals --allow-commands --slots 3");
    let at = |name: &str| -> f64 { alone.sandbox.read(name).parse().expect("a time") };
    let first_ended = at("1.ended") <= at("2.begun");
    assert!(first_ended || at("2.ended") <= at("1.begun"), "two runs of two cores on three");
    assert_eq!(record(&alone, 1)["provenance"]["threads"], 2);
    let said = alone.done("run residuals --allow-commands --slots 1 --seeds 3");
    assert!(said.contains("takes 2 cores (model.threads), and --slots gives 1"), "{said}");

    let huge = with_model("memory = \"900 TiB\"", "");
    let said = huge.done("run residuals --allow-commands --seeds 1");
    assert!(said.contains("tried with the device to itself"), "{said}");
    let wrong = with_model("memory = \"2 GB\"", "");
    wrong.refused("plan residuals", "model.memory: must be a size such as");
}

#[test]
fn a_program_that_does_not_repeat_itself_is_named_as_that() {
    let alone = with_program("fault = \"noise\"");
    alone.done("run residuals --allow-commands --seeds 1");
    let output = alone.run("verify residuals --allow-commands");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("not repeatable: run twice more under its seed"), "{said}");
    assert!(!said.contains("DIFFERS"), "{said}");
    // one that repeats itself and was changed without its file's digest is another matter
    let alone = with_model("files = []", "noise = 1");
    let text = alone.sandbox.read("experiments/residuals.toml").replacen(
        "files = [\"method.py\"]\n",
        "",
        1,
    );
    let program = alone.sandbox.path("experiments/method.py");
    let text = text.replace("\"method.py\"", &format!("{program:?}"));
    alone.sandbox.write("experiments/residuals.toml", &text);
    alone.done("run residuals --allow-commands --seeds 1");
    let changed = include_str!("method.py").replace("1e-6", "2e-6");
    alone.sandbox.write("experiments/method.py", &changed);
    let output = alone.run("verify residuals --allow-commands");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("DIFFERS"), "{said}");
}

#[test]
fn a_program_whose_seed_has_no_effect_is_named_and_gets_no_table() {
    let alone = with_program("fault = \"same\"");
    let words = "the program python3 -B method.py makes the same of every seed";
    alone.ends("run residuals --allow-commands", 3, words);
}
