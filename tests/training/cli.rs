//! The real binary, from the command line: what it trains, stores, prints and answers.

use crate::sandbox::{Sandbox, TINY};
use serde_json::Value;

#[test]
fn a_second_run_trains_nothing_and_the_same_records_give_the_same_tables() {
    let sandbox = Sandbox::new();
    sandbox.seedbed("plan tiny").expect(0).prints("3 missing").prints("from a calibration of");
    let first = sandbox.seedbed("run tiny").expect(0);
    let files = ["runs.csv", "summary.csv", "comparison.csv"];
    let read = || files.map(|file| sandbox.read(&format!("results/tiny/{file}")));
    let (tables, records) = (read(), sandbox.records("results"));
    assert_eq!(records.len(), 12);
    assert!(records.values().all(|record| record["state"] == "ok" && record["scale"] == "full"));

    let second = sandbox.seedbed("run tiny").expect(0).says("nothing to run");
    // but for the time that it took
    let lines = |text: &str| -> Vec<String> {
        text.lines().filter(|line| !line.starts_with("time: ")).map(str::to_owned).collect()
    };
    assert_eq!(lines(&second.stdout), lines(&first.stdout));
    assert_eq!(sandbox.records("results"), records);
    sandbox.seedbed("tables tiny").expect(0).prints("reconstruction=mean,control=untrained");
    sandbox.seedbed("compare tiny").expect(0).prints("Table 1");
    assert_eq!(read(), tables);
    sandbox.seedbed("plan tiny").expect(0).prints("nothing to run: every run is stored");
    assert_eq!(tables[0].lines().count(), 13);
    assert!(tables[0].starts_with("experiment,cell,seed,scale,state,tp,fp,fn,tn,precision,"));
}

#[test]
fn a_control_has_no_epochs_and_the_same_split_as_its_cell() {
    let sandbox = Sandbox::new();
    sandbox.seedbed("run tiny --seeds 7 --cell reconstruction=sum").expect(0);
    let records = sandbox.records("results");
    assert_eq!(records.len(), 2);
    let of = |label: &str| &records[&(label.to_owned(), 7)];
    let (cell, control) = (of("reconstruction=sum"), of("reconstruction=sum,control=untrained"));
    assert_eq!((&cell["epochs"], &control["epochs"]), (&Value::from(3), &Value::from(0)));
    assert_eq!(cell["digests"]["split"], control["digests"]["split"]);
    assert_eq!(cell["digests"]["init"], control["digests"]["init"]);
    assert_ne!(cell["digests"]["scores"], control["digests"]["scores"]);
}

#[test]
fn more_runs_train_only_those_that_are_missing() {
    let sandbox = Sandbox::new();
    sandbox.seedbed("run tiny --runs 1").expect(0);
    sandbox.seedbed("plan tiny").expect(0).prints("2 missing").prints("from stored runs");
    sandbox.seedbed("run tiny --width 1").expect(0).says("8 runs in 8 jobs");
}

#[test]
fn a_changed_spec_is_named_and_does_not_overwrite_full_records() {
    let sandbox = Sandbox::new();
    sandbox.seedbed("run tiny").expect(0);
    let before = sandbox.records("results");
    let changed = "--set training.epochs=1";
    let difference = "training.epochs 3 -> 1";
    sandbox.seedbed(&format!("plan tiny {changed}")).expect(0).prints(difference);
    let refused = sandbox.seedbed(&format!("run tiny {changed}")).expect(2);
    refused.says(difference).says("--out DIR").says("--replace");
    assert_eq!(sandbox.records("results"), before);
    sandbox.seedbed(&format!("run tiny {changed} --out other")).expect(0);
    assert_eq!(sandbox.records("results"), before);

    // the other spec's runs are no runs of the experiment as it ships
    sandbox.seedbed("tables tiny --out other").expect(2).says("training.epochs 1 -> 3");
    sandbox.seedbed(&format!("run tiny {changed} --replace")).expect(0);
    assert_eq!(sandbox.records("results")[&("reconstruction=sum".to_owned(), 1)]["epochs"], 1);
}

#[test]
fn quick_runs_have_a_place_and_a_mark_of_their_own() {
    let sandbox = Sandbox::new();
    sandbox
        .seedbed("run tiny --quick")
        .expect(0)
        .prints("quick")
        .prints("not judged (reduced run)");
    let records = sandbox.records("results/quick");
    assert_eq!(records.len(), 8);
    assert!(records.values().all(|record| record["scale"] == "quick"));
    assert!(sandbox.read("results/quick/tiny/comparison.csv").contains("reduced run"));
    // even where they lie in the way of full ones, they are not taken for them
    sandbox.write("experiments/tiny.toml", &TINY.replace("epochs = 3", "epochs = 2"));
    sandbox.seedbed("plan tiny --out results/quick").expect(0).prints("scale quick -> full");
}

#[test]
fn usage_errors_end_with_2_and_name_place_and_nearest_name() {
    let sandbox = Sandbox::new();
    sandbox.seedbed("run tiny --no-such-flag").expect(2);
    sandbox.seedbed("run tyni").expect(2).says("no experiment 'tyni'").says("did you mean 'tiny'?");
    sandbox
        .write("experiments/typo.toml", &TINY.replace("tiny", "typo").replace("latent", "latnet"));
    let typo = sandbox.seedbed("plan typo").expect(2);
    typo.says("experiments/typo.toml:17:1: unknown key 'model.latnet'; did you mean 'latent'?");
    let set = sandbox.seedbed("plan tiny --set training.epoch=1").expect(2);
    set.says("--set training.epoch=1: unknown key").says("did you mean 'epochs'?");
    sandbox.seedbed("run tiny --device cuda:99").expect(2).says("cuda:99").says("doctor");
    sandbox.seedbed("run tiny --device gpu").expect(2).says("write auto, cpu, cuda");
    sandbox.seedbed("run tiny --cell sum").expect(2).says("its cells: reconstruction=sum ");
    sandbox.seedbed("run tiny --seeds 3,3").expect(2).says("seed 3 is named twice");
    sandbox.seedbed("run tiny tiny").expect(2).says("named twice");
    sandbox.seedbed("data fetch kddcop").expect(2).says("kddcup");
    assert!(!sandbox.path("results").exists());
}

/// An experiment whose data no test can find.
fn with_kddcup(sandbox: &Sandbox) {
    let dataset = "name = \"synthetic\"\nrows = 600";
    let text = TINY.replace("tiny", "real").replace(dataset, "name = \"kddcup\"");
    sandbox.write("experiments/real.toml", &text);
}

#[test]
fn missing_data_end_with_3_and_the_command_that_helps() {
    let sandbox = Sandbox::new();
    with_kddcup(&sandbox);
    let run = sandbox.seedbed("run tiny real").expect(3);
    run.says("kddcup.data_10_percent.gz").says("seedbed data fetch kddcup").says("--data");
    assert!(sandbox.records("results").is_empty());
    sandbox.seedbed("plan real").expect(0).prints("seedbed data fetch kddcup");
    sandbox.seedbed("data check").expect(3).prints("missing");
}

#[test]
fn available_runs_what_it_can_and_ends_with_what_was_left_out() {
    let sandbox = Sandbox::new();
    with_kddcup(&sandbox);
    let run = sandbox.seedbed("run real tiny --available --quick").expect(0);
    assert_eq!(sandbox.records("results/quick").len(), 8);
    let last = run.stderr.lines().last().unwrap_or_default();
    assert!(last.starts_with("left out: real: "), "{last}");
    assert!(last.contains("run 'seedbed data fetch kddcup'"), "{last}");
}

#[test]
fn available_leaves_out_data_that_are_not_what_they_should_be() {
    let sandbox = Sandbox::new();
    with_kddcup(&sandbox);
    sandbox.write("data/kddcup.data_10_percent.gz", "no such data");
    let run = sandbox.seedbed("run real tiny --available --quick").expect(0);
    assert_eq!(sandbox.records("results/quick").len(), 8);
    let last = run.stderr.lines().last().unwrap_or_default();
    assert!(last.starts_with("left out: real: ") && last.contains("sha256"), "{last}");
    sandbox.seedbed("run real").expect(3).says("sha256");
}

#[test]
fn a_protocol_changed_by_set_gets_no_verdict() {
    let sandbox = Sandbox::new();
    let run = sandbox.seedbed("run tiny --set training.epochs=2 --out changed").expect(0);
    run.prints("not judged (reduced run)");
    let tables = "tables tiny --set training.epochs=2 --out changed";
    sandbox.seedbed(tables).expect(0).prints("REDUCED RUN (--quick or --set)");
    let comparison = sandbox.read("changed/tiny/comparison.csv");
    assert!(!comparison.contains("reproduced"), "{comparison}");
}

#[test]
fn published_rows_of_another_protocol_are_left_out() {
    let sandbox = Sandbox::new();
    sandbox.seedbed("run tiny --cell reconstruction=sum").expect(0);
    std::fs::remove_dir_all(sandbox.path("results/tiny/runs")).expect("records");
    sandbox.write("experiments/tiny.toml", &TINY.replace("mixtures = 2", "mixtures = 3"));
    sandbox.seedbed("compare tiny").expect(2).says("made otherwise").says("holds no run");

    // and a new run keeps them beside its own
    let published = sandbox.read("results/tiny/runs.csv");
    sandbox.seedbed("run tiny --cell reconstruction=sum --seeds 1").expect(0).says("before");
    assert_eq!(sandbox.read("results/tiny/runs.csv.before"), published);
}

#[test]
fn a_verdict_decides_the_exit_code_only_with_strict() {
    let sandbox = Sandbox::new();
    sandbox.seedbed("run tiny").expect(0);
    sandbox.seedbed("compare tiny").expect(0).prints("not reproduced").prints("reproduced");
    sandbox.seedbed("compare tiny --strict").expect(1);
    sandbox.seedbed("compare tiny --strict=not-refuted").expect(1);
    sandbox.seedbed("run tiny --strict").expect(1);
}

#[test]
fn runs_are_not_added_to_those_of_another_version_of_the_code_unless_asked() {
    let sandbox = Sandbox::new();
    sandbox.seedbed("run tiny --cell reconstruction=sum --seeds 1-2").expect(0);
    let store = seedbed::store::Store::open(&sandbox.path("results"), "tiny");
    for mut record in store.load_all().expect("records").0 {
        record.provenance.libtorch = "1.0.0".into();
        store.put(&record).expect("a record");
    }
    // nothing is to be added
    sandbox.seedbed("run tiny --cell reconstruction=sum --seeds 1-2").expect(0);
    let refused = sandbox.seedbed("run tiny --cell reconstruction=sum --seeds 1-3").expect(2);
    refused.says("another version of the code made (with libtorch 1.0.0").says("--mixed-code");
    assert_eq!(sandbox.records("results").len(), 4, "nothing was trained");
    let mixed = "run tiny --cell reconstruction=sum --seeds 1-3 --mixed-code";
    sandbox.seedbed(&format!("{mixed} --tables")).expect(0).prints("(2 versions of the code)");
    assert!(sandbox.read("results/tiny/summary.csv").contains(" libtorch 1.0.0 protocol 2 + "));
    sandbox.seedbed("tables tiny").expect(3).says("made by different versions of the code");
}

#[test]
fn any_runs_csv_can_be_compared() {
    let sandbox = Sandbox::new();
    let rows = "tiny,reconstruction=sum,1,ok,full,0.010\ntiny,reconstruction=sum,2,ok,full,0.012\n\
                tiny,reconstruction=sum,3,ok,full,0.008\n";
    sandbox.write("mine.csv", &format!("experiment,cell,seed,state,scale,auroc\n{rows}"));
    let compared = sandbox.seedbed("compare tiny --from mine.csv").expect(0);
    compared.prints("reproduced").prints("mine.csv");
    assert!(!sandbox.path("results").exists());
    sandbox.seedbed("compare tiny --from none.csv").expect(3).says("none.csv");
}

#[test]
fn published_tables_are_read_where_their_records_are_not() {
    let sandbox = Sandbox::new();
    sandbox.seedbed("run tiny").expect(0);
    let tables = ["runs.csv", "summary.csv", "comparison.csv"];
    let read = || tables.map(|file| sandbox.read(&format!("results/tiny/{file}")));
    let (before, shown) = (read(), sandbox.seedbed("compare tiny").expect(0).stdout);
    std::fs::remove_dir_all(sandbox.path("results/tiny/runs")).expect("records");

    let again = sandbox.seedbed("compare tiny").expect(0).says("no run of tiny is stored here");
    assert_eq!(again.stdout, shown);
    sandbox.seedbed("tables tiny").expect(0);
    assert_eq!(read(), before);
    let foreign = sandbox.read("results/tiny/runs.csv").replace("tiny,", "other,");
    sandbox.write("foreign.csv", &foreign);
    sandbox.seedbed("compare tiny --from foreign.csv").expect(3).says("only of other");
}

#[test]
fn json_on_stdout_is_all_of_stdout() {
    let sandbox = Sandbox::new();
    let parsed = |arguments: &str| -> Value {
        let ended = sandbox.seedbed(arguments).expect(0);
        serde_json::from_str(&ended.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", ended.stdout))
    };
    let plan = parsed("plan tiny --json");
    assert_eq!(plan["experiments"][0]["cells"][0]["to-run"], serde_json::json!([1, 2, 3]));
    assert!(plan["seconds"].as_f64().is_some_and(|seconds| seconds > 0.0));
    sandbox.seedbed("run tiny").expect(0);
    assert_eq!(parsed("plan tiny --json")["seconds"], 0.0);
    assert_eq!(parsed("tables tiny --json")[0]["experiment"], "tiny");
    assert_eq!(parsed("run tiny --json")[0]["papers"][0], "made-up");
    assert!(parsed("data list --json").is_array());
    let timed = parsed("bench-step tiny --width 2 --steps 3");
    assert!(timed["seconds_per_step"].as_f64().is_some_and(|seconds| seconds > 0.0));
}
