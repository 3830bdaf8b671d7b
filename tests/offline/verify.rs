//! Can a published result be trusted without training it again? The seed audit of every table, and
//! `results.lock`. Nothing here trains or needs libtorch.

use std::path::Path;
use std::process::Command;

use crate::records::ended_well;
use crate::sandbox::Sandbox;
use seedbed::experiment::{Experiment, Scale, Selection};
use seedbed::report::csv;
use seedbed::store::record::{Job, Record};
use seedbed::store::{self, Store};

/// Three runs of a cell and one of its control, from a harness whose seeds take effect.
const INDEPENDENT: &str =
    "experiment,cell,seed,scale,state,f1,split_sha256,init_sha256,scores_sha256
tiny,reconstruction=sum,1,full,ok,0.5,5a,1a,ca
tiny,reconstruction=sum,2,full,ok,0.6,5b,1b,cb
tiny,reconstruction=sum,3,full,ok,0.7,5c,1c,cc
tiny,\"reconstruction=sum,control=untrained\",1,full,ok,0.2,5a,1a,cd
";

#[test]
fn runs_of_a_cell_that_share_a_split_weights_or_scores_get_no_table() {
    let sandbox = Sandbox::new();
    sandbox.write("mine.csv", INDEPENDENT);
    for command in ["tables", "compare", "report"] {
        sandbox.seedbed(&format!("{command} tiny --from mine.csv")).expect(0);
    }
    for (own, shared, named) in [
        (
            "5c",
            "5a",
            "share their split: tiny reconstruction=sum, seeds 1 and 3, have split_sha256 5a",
        ),
        (
            "1c",
            "1b",
            "initial weights: tiny reconstruction=sum, seeds 2 and 3, have init_sha256 1b",
        ),
        ("cb", "ca", "scores: tiny reconstruction=sum, seeds 1 and 2, have scores_sha256 ca"),
    ] {
        let text = INDEPENDENT.replace(own, shared);
        sandbox.write("mine.csv", &text);
        sandbox.write("results/tiny/runs.csv", &text);
        for command in ["tables", "compare", "report"] {
            sandbox.seedbed(&format!("{command} tiny --from mine.csv")).expect(3).says(named);
            sandbox.seedbed(&format!("{command} tiny")).expect(3).says(named);
        }
        assert!(!sandbox.path("results/tiny/summary.csv").exists(), "a table of one run, twice");
    }
}

#[test]
fn a_file_that_says_nothing_of_digests_is_not_suspected() {
    let sandbox = Sandbox::new();
    sandbox.write("mine.csv", &INDEPENDENT.replace(",5a,1a,ca", ",,,").replace(",5b,1b,cb", ",,,"));
    sandbox.seedbed("tables tiny --from mine.csv").expect(0);
    // runs that failed are in no mean
    let failed = INDEPENDENT.replace("2,full,ok,0.6,5b", "2,full,diverged,,5a");
    sandbox.write("mine.csv", &failed);
    sandbox.seedbed("tables tiny --from mine.csv").expect(0);
}

/// Keys are what every later check rests on: each published row has that of its cell.
#[test]
fn every_published_run_has_the_key_of_its_cell() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (results, quick) in [("results", false), ("results/reduced", true)] {
        for folder in crate::sandbox::folders(&project.join(results)) {
            let table = folder.join("runs.csv");
            if !table.exists() {
                continue;
            }
            let name = folder.file_name().expect("a name").to_string_lossy().into_owned();
            let path = project.join("experiments").join(format!("{name}.toml"));
            let selection = Selection { quick, ..Selection::default() };
            let experiment = Experiment::load(&path.to_string_lossy(), &selection).expect("a file");
            let rows = csv::read_runs(&table).expect("rows");
            assert!(!rows.is_empty(), "{name}");
            for row in rows {
                let cell = experiment.cells.iter().find(|cell| cell.label == row.cell);
                let cell = cell.expect("a cell of the experiment");
                let key = store::key(cell, row.seed, &row.data_sha256, "cpu");
                assert_eq!(row.key, key, "{name} {} seed {}", row.cell, row.seed);
            }
        }
    }
}

/// One experiment with records and two that are published without.
fn locked() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("results/tiny/runs.csv", INDEPENDENT);
    sandbox.write("results/other/runs.csv", &INDEPENDENT.replace("tiny", "other"));
    let records = Store::open(&sandbox.path("results"), "synthetic");
    for seed in 1..=3 {
        records.put(&record(seed)).expect("a record");
    }
    let lock = sandbox.seedbed("lock").expect(0);
    lock.prints("results/results.lock: 11 runs, root ");
    sandbox
}

/// Of the base cell of `experiments/synthetic.toml`, as far as a lock is concerned.
fn record(seed: u64) -> Record {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/synthetic.toml");
    let experiment = Experiment::load(&path.to_string_lossy(), &Selection::default());
    let cell = experiment.expect("a file").cells.remove(0);
    let job = Job::of("synthetic", Scale::Full, Vec::new(), vec![seed]);
    Record {
        threshold: Some(0.25),
        epochs: 1,
        loss_curve: vec![vec![0.5]],
        loss_terms: vec!["loss".to_owned()],
        wall_seconds: 1.5,
        ..ended_well(Record::of(&job, &cell, seed, "d"))
    }
}

#[test]
fn a_lock_that_nothing_differs_from_is_the_same_whenever_it_is_written() {
    let sandbox = locked();
    let lock = sandbox.read("results/results.lock");
    assert_eq!(lock.lines().count(), 13);
    let agrees = sandbox.seedbed("verify --lock").expect(0);
    agrees.prints("results/results.lock: all 11 runs are those of the lock");
    sandbox.seedbed("lock").expect(0);
    assert_eq!(sandbox.read("results/results.lock"), lock);
    // as anyone can without seedbed
    let (lines, root) = lock.split_at(lock.rfind("root ").expect("a root"));
    sandbox.write("lines", lines);
    let rows = seedbed::report::rows_of(&[record(1), record(2)]);
    sandbox.write("row", &csv::runs_text(&rows[1..]).expect("a row"));
    let sum = |file: &str| {
        let output = Command::new("sha256sum").arg(sandbox.path(file)).output().expect("sha256sum");
        String::from_utf8_lossy(&output.stdout).split(' ').next().unwrap_or_default().to_owned()
    };
    assert_eq!(root, format!("root {}\n", sum("lines")));
    let fields = "import csv, hashlib, json, sys; row = next(csv.DictReader(open(sys.argv[1]))); \
        filled = {name: value for name, value in sorted(row.items()) if value}; \
        print(hashlib.sha256(json.dumps(filled, separators=(',', ':')).encode()).hexdigest())";
    let mut python = Command::new("python3");
    let digest = python.args(["-c", fields]).arg(sandbox.path("row")).output().expect("python3");
    let digest = String::from_utf8_lossy(&digest.stdout).trim().to_owned();
    assert!(lines.contains(&format!("synthetic,base,2,{digest},")), "{lines}");
    let only = sandbox.seedbed("lock other --out results").expect(0);
    only.prints("4 runs");
    sandbox.seedbed("verify --lock").expect(1).prints("added    tiny reconstruction=sum seed 1");
    sandbox.seedbed("verify --lock other").expect(0).prints("all 4 runs");
}

#[test]
fn every_changed_added_or_missing_run_is_found_and_named() {
    let sandbox = locked();
    let changes: [(&dyn Fn(), &str); 8] = [
        (
            &|| sandbox.write("results/tiny/runs.csv", &INDEPENDENT.replace("0.6", "0.61")),
            "changed  tiny reconstruction=sum seed 2: its row",
        ),
        (
            &|| {
                let less: String = INDEPENDENT.lines().take(3).map(|l| format!("{l}\n")).collect();
                sandbox.write("results/tiny/runs.csv", &less);
            },
            "missing  tiny reconstruction=sum,control=untrained seed 1",
        ),
        (
            &|| {
                let more = "tiny,reconstruction=sum,4,full,ok,0.9,5d,1d,ce\n";
                sandbox.write("results/tiny/runs.csv", &format!("{INDEPENDENT}{more}"));
            },
            "added    tiny reconstruction=sum seed 4",
        ),
        (
            &|| std::fs::remove_dir_all(sandbox.path("results/other")).expect("a folder"),
            "missing  other reconstruction=sum seed 3",
        ),
        (
            &|| {
                let mut lie = record(2);
                lie.loss_curve[0][0] = 0.25;
                put(&sandbox, &lie);
            },
            "changed  synthetic base seed 2: its record, in what no row holds",
        ),
        (&|| put(&sandbox, &record(4)), "added    synthetic base seed 4"),
        (
            &|| {
                std::fs::remove_file(sandbox.path("results/synthetic/runs/base/3.json"))
                    .expect("it")
            },
            "missing  synthetic base seed 3",
        ),
        (
            &|| {
                let text = sandbox.read("results/synthetic/runs/base/1.json");
                sandbox.write("results/synthetic/runs/base/1.json", &text.replace("1.5", "2.5"));
            },
            "changed  results/synthetic/runs/base/1.json: was changed since it was written",
        ),
    ];
    for (change, named) in changes {
        change();
        let found = sandbox.seedbed("verify --lock").expect(1).prints(named);
        assert!(found.stdout.contains("differences from the lock"), "{}", found.stdout);
    }
    let json = sandbox.seedbed("verify --lock --json").expect(1).stdout;
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!((&json["agrees"], &json["runs"]), (&false.into(), &11.into()));
    let refused = sandbox.seedbed("lock").expect(3);
    refused.says("1.json: was changed since it was written");
}

fn put(sandbox: &Sandbox, record: &Record) {
    Store::open(&sandbox.path("results"), "synthetic").put(record).expect("a record");
}

#[test]
fn rows_published_without_their_records_are_held_to_the_lock_of_both() {
    let sandbox = locked();
    sandbox.write("experiments/synthetic.toml", include_str!("../../experiments/synthetic.toml"));
    let rows = seedbed::report::rows_of(&[record(1), record(2), record(3)]);
    csv::write_runs(&sandbox.path("results/synthetic/runs.csv"), &rows).expect("a table");
    std::fs::remove_dir_all(sandbox.path("results/synthetic/runs")).expect("records");
    sandbox.seedbed("verify --lock").expect(0).prints("all 11 runs");
    let table = sandbox.read("results/synthetic/runs.csv");
    sandbox.write("results/synthetic/runs.csv", &table.replacen("0.25", "0.26", 1));
    sandbox.seedbed("verify --lock").expect(1).prints("changed  synthetic base seed 1: its row");
}

#[test]
fn the_line_ends_of_a_lock_say_nothing_of_its_runs() {
    let sandbox = locked();
    let lock = sandbox.read("results/results.lock");
    sandbox.write("results/results.lock", &lock.replace('\n', "\r\n"));
    sandbox.seedbed("verify --lock").expect(0).prints("all 11 runs are those of the lock");
    // what changes beside them does
    let edited = lock.replace('\n', "\r\n").replacen(
        "tiny,reconstruction=sum,3,",
        "tiny,reconstruction=sum,9,",
        1,
    );
    sandbox.write("results/results.lock", &edited);
    sandbox.seedbed("verify --lock").expect(1).prints("changed  results.lock itself");
}

#[test]
fn a_lock_that_was_edited_or_is_none_is_not_believed() {
    let sandbox = locked();
    let lock = sandbox.read("results/results.lock");
    let (_, after) = lock.split_once("tiny,reconstruction=sum,3,").expect("a line");
    let digest = after.split(',').next().expect("a digest").to_owned();
    let edited = lock.replace(&digest, &"0".repeat(64));
    sandbox.write("results/results.lock", &edited);
    let found = sandbox.seedbed("verify --lock").expect(1);
    found
        .prints("changed  results.lock itself: its root is ")
        .prints("tiny reconstruction=sum seed 3");
    sandbox.write("results/results.lock", &lock[..lock.len() / 2]);
    sandbox.seedbed("verify --lock").expect(3).says("does not end with its root");
    std::fs::remove_file(sandbox.path("results/results.lock")).expect("a lock");
    sandbox.seedbed("verify --lock").expect(3).says("'seedbed lock' writes one");
    sandbox.seedbed("verify --lock --sample 2").expect(2);
    sandbox.seedbed("lock nowhere").expect(2).says("holds no runs of 'nowhere'");
    sandbox.seedbed("lock --out empty").expect(3).says("empty");
}
