//! Training that happens elsewhere: what `split` writes a person trains on, and `score` judges what comes
//! back as `run` would, under an identity of its own.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crate::methods::{Alone, COMMAND, with_program};
use crate::python;
use crate::sandbox::folders;
use seedbed::method::score_file;

/// Rows of a `runs.csv`, each by its columns.
fn rows(alone: &Alone, table: &str) -> Vec<BTreeMap<String, String>> {
    let text = alone.sandbox.read(table);
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    reader.deserialize().map(|row| row.expect("a row")).collect()
}

/// What a run is, but for who made its scores.
#[track_caller]
fn assert_same_results(found: &[BTreeMap<String, String>], expected: &[BTreeMap<String, String>]) {
    const COLUMNS: [&str; 19] = [
        "experiment",
        "cell",
        "seed",
        "scale",
        "state",
        "tp",
        "fp",
        "fn",
        "tn",
        "precision",
        "recall",
        "f1",
        "auroc",
        "auprc",
        "auroc_of_flags",
        "threshold",
        "data_sha256",
        "split_sha256",
        "scores_sha256",
    ];
    assert!(!expected.is_empty() && found.len() == expected.len());
    for (found, expected) in found.iter().zip(expected) {
        for column in COLUMNS {
            let value = expected.get(column).unwrap_or_else(|| panic!("no column {column}"));
            assert_eq!(found[column], *value, "{column}");
        }
        assert_ne!(found["key"], expected["key"]);
    }
}

/// Trains by hand what `split` wrote: `python3 SCRIPT FOLDER` in each folder.
fn train(python: &Path, script: &Path, folder: &Path) {
    for run in folders(folder).iter().flat_map(|cell| folders(cell)) {
        let mut command = Command::new(python);
        let ended = command.arg("-B").arg(script).arg(&run).current_dir(&run).output();
        let ended = ended.expect("python starts");
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    }
}

const SCORES: &str = "--scores hand/{cell}/{seed}/scores.npy \
                      --train-scores hand/{cell}/{seed}/train_scores.npy";

#[test]
fn what_is_trained_by_hand_is_judged_as_what_seedbed_runs_and_is_never_taken_for_it() {
    let alone = with_program("");
    alone.done("run residuals --allow-commands --keep-scores");
    let written = alone.done("split residuals --to hand");
    assert_eq!(written, "hand/base/1\nhand/base/2\n");
    train(
        Path::new("python3"),
        &alone.sandbox.path("experiments/method.py"),
        &alone.sandbox.path("hand"),
    );
    alone.refused("score residuals --scores hand/{cell}/{seed}/scores.npy", "--train-scores");
    let shown = alone.done(&format!("score residuals {SCORES}"));
    assert!(shown.contains("Somebody's program: scores from elsewhere"), "{shown}");
    let ran = rows(&alone, "results/residuals/runs.csv");
    let judged = rows(&alone, "results/scores/residuals/runs.csv");
    assert_same_results(&judged, &ran);
    for row in &judged {
        assert_eq!((row["device"].as_str(), row["epochs"].as_str()), ("elsewhere", ""));
        assert_eq!((row["wall_seconds"].as_str(), row["batch_width"].as_str()), ("", ""));
    }
    let bytes = |name: &str| {
        seedbed::digest::sha256(std::fs::read(alone.sandbox.path(name)).expect("a file"))
    };
    let files = ["hand/base/1/scores.npy", "hand/base/1/train_scores.npy"].map(bytes);
    assert_eq!(judged[0]["scores_from"], files.join(" "));
    assert!(!ran[0].contains_key("scores_from"), "a column that no row needs");

    // what was kept beside the records is the same
    let kept = "--scores results/residuals/runs/{cell}/{seed}.scores.npy \
                --train-scores results/residuals/runs/{cell}/{seed}.train_scores.npy";
    alone.done(&format!("score residuals {kept} --out kept"));
    assert_same_results(&rows(&alone, "kept/residuals/runs.csv"), &ran);

    // by records or by rows alone, nothing takes them for runs of the program
    for _ in 0..2 {
        alone.done("report residuals --out results/scores");
        let report = alone.sandbox.read("results/scores/report.md");
        assert!(report.contains("None of seedbed's: the scores were made elsewhere"), "{report}");
        assert!(!report.contains("The program python3"), "{report}");
        assert!(!report.contains("seedbed run residuals"), "{report}");
        assert!(report.contains("judged by "), "{report}");
        alone.refused(
            "verify residuals --out results/scores --allow-commands",
            "scores from elsewhere",
        );
        let run = "run residuals --out results/scores --allow-commands --runs 3";
        let output = alone.run(run);
        assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
        std::fs::remove_dir_all(alone.sandbox.path("results/scores/residuals/runs"))
            .unwrap_or_default();
    }
    let again = rows(&alone, "results/scores/residuals/runs.csv");
    assert_same_results(&again, &ran);
    alone.refused(
        &format!("score residuals {SCORES} --out results"),
        "holds runs that seedbed made",
    );
    assert!(alone.done("run residuals --allow-commands").contains("every run is stored"));
}

/// An experiment whose method nobody names, with two cells.
const NOTEBOOK: &str = r#"name = "residuals"
title = "A notebook of mine"
runs = 2

[dataset]
name = "synthetic"
rows = 300

[protocol]
split = { kind = "half-of-all" }
threshold = { top = 0.2, of = "test" }

[model]
name = "scores"

[axes]
"model.settings.width" = [8, 16]
"#;

/// Scores of 150 rows that no two runs share.
fn scores(number: usize) -> Vec<f64> {
    (0..150).map(|row| ((number + 1) as f64 * row as f64).sin()).collect()
}

fn notebook() -> Alone {
    let alone = Alone::new(NOTEBOOK);
    for (number, run) in ["width=8/1", "width=8/2", "width=16/1", "width=16/2"].iter().enumerate() {
        let path = alone.sandbox.path(&format!("mine/{run}.npy"));
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        score_file::write(&path, &scores(number)).expect("a file");
    }
    alone
}

#[test]
fn an_experiment_may_have_no_method_but_scores_and_then_nothing_runs() {
    let alone = notebook();
    alone.refused("run residuals", "has no method to run, its scores come from elsewhere");
    assert!(alone.done("plan residuals").contains("4 runs on"));
    alone.done("score residuals --scores mine/{cell}/{seed}.npy");
    let rows = rows(&alone, "results/residuals/runs.csv");
    assert_eq!(rows.len(), 4);
    assert_eq!(rows[0]["model.settings.width"], "8");
    assert!(alone.done("plan residuals").contains("nothing to run: every run is stored"));
    assert!(alone.done("run residuals").contains("every run is stored"));
    alone.done("report residuals");
    let report = alone.sandbox.read("results/report.md");
    assert!(report.contains("Whoever made them says: width = 8."), "{report}");
    // the same files again are known, and others are not taken unasked
    let again = alone.done("score residuals --scores mine/{cell}/{seed}.npy");
    assert!(again.contains("4 files of scores judged, 4 of them stored before"), "{again}");
    score_file::write(&alone.sandbox.path("mine/width=8/1.npy"), &scores(9)).expect("a file");
    alone.refused("score residuals --scores mine/{cell}/{seed}.npy", "another file of scores");
    alone.done("score residuals --scores mine/{cell}/{seed}.npy --replace");
    let changed = self::rows(&alone, "results/residuals/runs.csv");
    assert_ne!(changed[0]["scores_from"], rows[0]["scores_from"]);
    assert_eq!(changed[1..], rows[1..]);
    // a table of one's own is known by its rows
    std::fs::copy(alone.sandbox.path("results/residuals/runs.csv"), alone.sandbox.path("mine.csv"))
        .expect("a copy");
    alone.done("tables residuals --from mine.csv");
}

#[test]
fn csv_and_npz_are_read_as_npy_is() {
    let alone = notebook();
    let lines: Vec<String> = scores(0).iter().map(|score| format!("{score:?}")).collect();
    alone.sandbox.write("mine/one.csv", &format!("score\r\n{}\r\n", lines.join("\r\n")));
    alone.done("score residuals --cell width=8 --seed 1 --scores mine/one.csv --out csv");
    alone.done("score residuals --cell width=8 --seed 1 --scores mine/{cell}/{seed}.npy --out npy");
    let [csv, npy] =
        ["csv", "npy"].map(|out| rows(&alone, &format!("{out}/residuals/runs.csv")).remove(0));
    assert_eq!(csv["scores_sha256"], npy["scores_sha256"]);
    assert_eq!(csv["f1"], npy["f1"]);
    assert_ne!(csv["key"], npy["key"], "another file is another run");
}

#[test]
fn what_is_wrong_with_files_is_said_and_nothing_that_is_stored_is_lost() {
    let alone = notebook();
    let all = "score residuals --scores mine/{cell}/{seed}.npy";
    alone.done(all);
    let before = alone.sandbox.read("results/residuals/runs.csv");
    for (pattern, words) in [
        ("mine/{seed}.npy", "there are 2 cells, so the path needs {cell}"),
        ("mine/{cell}.npy", "there are 2 seeds, so the path needs {seed}"),
        ("mine/{cell}/{sed}.npy", "braces hold {cell} or {seed}"),
    ] {
        alone.refused(&format!("score residuals --scores {pattern}"), words);
    }
    let file = alone.sandbox.path("mine/width=16/2.npy");
    type Break = fn(&Path);
    let breaks: [(Break, &str); 5] = [
        (|path| score_file::write(path, &[0.5; 149]).expect("a file"), "and there are 150 rows"),
        (|path| score_file::write(path, &[f64::NAN; 150]).expect("a file"), "score 0 is NaN"),
        (|path| std::fs::write(path, "0.5\n").expect("a file"), "is no array of numpy's"),
        (
            |path| {
                let made = Command::new("mkfifo").arg(path).status().expect("mkfifo starts");
                assert!(made.success());
            },
            "is no regular file",
        ),
        (|path| std::fs::create_dir(path).expect("a folder"), "is no regular file"),
    ];
    for (act, words) in breaks {
        std::fs::remove_file(&file).expect("removed");
        act(&file);
        alone.ends(&format!("{all} --replace"), 3, words);
    }
    std::fs::remove_dir(&file).expect("removed");
    alone.ends(all, 3, "1 of 4 files of scores are missing, such as mine/width=16/2.npy");
    // the same scores under two seeds are one run
    let twin = alone.sandbox.path("mine/width=16/1.npy");
    std::fs::copy(twin, &file).expect("a copy");
    alone.ends(&format!("{all} --replace"), 3, "share their scores");
    assert_eq!(alone.sandbox.read("results/residuals/runs.csv"), before);
    alone.done("tables residuals");
    assert_eq!(alone.sandbox.read("results/residuals/runs.csv"), before);
}

#[test]
fn rows_are_written_for_any_method_once_and_hold_no_label() {
    let network = "name = \"autoencoder\"\nhidden = [4]\nlatent = 1\n\n[training]\nepochs = 3\n\
                   batch-size = 32\nlearning-rate = 1e-3\n\n[controls]\nuntrained = true\n";
    let text = NOTEBOOK.replace("name = \"scores\"\n", network);
    let text = text.replace("\"model.settings.width\" = [8, 16]", "\"model.latent\" = [1, 2]");
    let alone = Alone::new(&text);
    let written = alone.done("split residuals --seed 2 --to rows");
    assert_eq!(written, "rows/latent=1/2\nrows/latent=2/2\n", "a control has no rows of its own");
    for run in ["rows/latent=1/2", "rows/latent=2/2"] {
        let names = folders(&alone.sandbox.path(run));
        let names: Vec<&str> = names.iter().filter_map(|path| path.file_name()?.to_str()).collect();
        assert_eq!(names, ["job.json", "test.npy", "train.npy"]);
    }
    let job: serde_json::Value =
        serde_json::from_str(&alone.sandbox.read("rows/latent=2/2/job.json")).expect("JSON");
    assert_eq!((&job["seed"], &job["settings"]["model"]["latent"]), (&2.into(), &2.into()));
    assert_eq!(job["settings"]["training"]["epochs"], 3);
    alone.refused("split residuals --seed 2 --to rows", "rows/latent=1/2 is there already");
    alone.refused("split residuals --to a --cell latent=9", "has no cell 'latent=9'");
    alone.ends("split residuals --seed 2 --to rows/latent=1/2/job.json", 1, "cannot write");
}

/// A script of somebody's goes both ways: seedbed runs it, and a person runs it on what `split` wrote.
#[track_caller]
fn both_ways(python: &Path, script: &str) -> Vec<BTreeMap<String, String>> {
    let program = format!("program = [{python:?}, \"-B\", \"method.py\"]");
    let text = COMMAND.replace("program = [\"python3\", \"-B\", \"method.py\"]", &program);
    let alone = Alone::new(&text.replace("train-and-test", "test"));
    alone.sandbox.write("experiments/method.py", script);
    alone.done("run residuals --allow-commands");
    alone.done("split residuals --to hand");
    train(python, &alone.sandbox.path("experiments/method.py"), &alone.sandbox.path("hand"));
    alone.done("score residuals --scores hand/{cell}/{seed}/scores.npy");
    let (ran, judged) = (
        rows(&alone, "results/residuals/runs.csv"),
        rows(&alone, "results/scores/residuals/runs.csv"),
    );
    assert_same_results(&judged, &ran);
    alone.done("verify residuals --allow-commands");
    ran
}

#[test]
fn a_numpy_script_and_a_pytorch_model_go_both_ways_to_the_last_bit() {
    let Some(python) = python::find("a_numpy_script_and_a_pytorch_model") else { return };
    for script in [include_str!("distance.py"), include_str!("autoencoder.py")] {
        let rows = both_ways(&python, script);
        // what either finds of rows off the normal rows' subspace is more than chance
        for row in rows {
            let auroc: f64 = row["auroc"].parse().expect("a number");
            assert!(auroc > 0.55, "{auroc}");
        }
    }
}
