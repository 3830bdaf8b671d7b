//! `seedbed verify` trains stored runs again: the true ones come out the same, and one that lies, its
//! checksum in order, is found.

use crate::sandbox::{Sandbox, TINY};
use seedbed::metrics::Metric;
use seedbed::store::Store;
use seedbed::store::record::Record;
use serde_json::Value;

/// Rewrites the record of seed 2 of the first cell through the library, so that its checksum fits.
fn forge(sandbox: &Sandbox, lie: impl Fn(&mut Record)) {
    let store = Store::open(&sandbox.path("results"), "tiny");
    for mut record in store.load_all().expect("records").0 {
        if record.seed == 2 && record.cell.label == "reconstruction=sum" {
            lie(&mut record);
            store.put(&record).expect("a record");
        }
    }
}

fn verdicts(json: &str) -> Vec<(String, u64, String)> {
    let parsed: Value =
        serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}"));
    let runs = parsed[0]["runs"].as_array().expect("runs");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let run = |run: &Value| {
        (text(&run["cell"]), run["seed"].as_u64().expect("a seed"), text(&run["verdict"]))
    };
    runs.iter().map(run).collect()
}

#[test]
fn stored_runs_come_out_again_to_the_last_bit_and_nothing_is_stored_of_it() {
    let sandbox = Sandbox::new();
    sandbox.seedbed("verify tiny").expect(3).says("no run of tiny that could be trained again");
    sandbox.seedbed("run tiny").expect(0);
    let before = sandbox.records("results");
    let one = sandbox.seedbed("verify tiny").expect(0);
    one.prints("4 of 12 stored runs trained again on cpu").prints("same bits");
    let all = sandbox.seedbed("verify tiny --sample 9 --json").expect(0).stdout;
    let all = verdicts(&all);
    assert_eq!(all.len(), 12);
    assert!(all.iter().all(|(_, _, verdict)| verdict == "same-bits"), "{all:?}");
    assert_eq!(sandbox.records("results"), before);

    // the rule of the sample: the smallest SHA-256 of `tiny 1`, `tiny 2`, `tiny 3`
    let sample = verdicts(&sandbox.seedbed("verify tiny --json").expect(0).stdout);
    assert!(sample.iter().all(|(_, seed, _)| *seed == SMALLEST), "{sample:?}");
    let cell = "verify tiny --cell reconstruction=mean --seeds 3 --json";
    let cell = verdicts(&sandbox.seedbed(cell).expect(0).stdout);
    assert_eq!(cell.len(), 2, "a cell and its control: {cell:?}");
    assert!(cell.iter().all(|(_, seed, _)| *seed == 3));
}

/// Of the seeds 1 to 3, by `for s in 1 2 3; do printf "tiny $s" | sha256sum; done`.
const SMALLEST: u64 = 2;

#[test]
fn a_record_that_lies_is_found_and_named() {
    type Lie = fn(&mut Record);
    let lies: [(Lie, &str); 5] = [
        (
            |record| record.metrics.as_mut().expect("metrics")[Metric::Auroc] = Some(0.999),
            "auroc: stored 0.999",
        ),
        (|record| record.digests.scores = "0".repeat(64), "other: scores"),
        (|record| record.digests.split = "0".repeat(64), "other: split"),
        (|record| record.loss_curve[0][0] += 1e-9, "other: loss curve"),
        (|record| record.threshold = Some(0.0), "other: threshold"),
    ];
    let sandbox = Sandbox::new();
    sandbox.seedbed("run tiny --cell reconstruction=sum").expect(0);
    let whole = sandbox.read("results/tiny/runs/reconstruction=sum/2.json");
    for (lie, named) in lies {
        forge(&sandbox, lie);
        sandbox.seedbed("plan tiny --cell reconstruction=sum").expect(0).prints("nothing to run");
        let found = sandbox.seedbed("verify tiny --cell reconstruction=sum --seeds 2").expect(1);
        found.prints("DIFFERS").prints(named);
        sandbox.write("results/tiny/runs/reconstruction=sum/2.json", &whole);
    }
    sandbox.seedbed("verify tiny --cell reconstruction=sum --seeds 2").expect(0);
}

#[test]
fn runs_of_another_batch_width_are_held_to_the_tolerance_and_their_distance_is_told() {
    let sandbox = Sandbox::new();
    sandbox.seedbed("run tiny --cell reconstruction=sum --width 3").expect(0);
    let verify = "verify tiny --cell reconstruction=sum --sample 3";
    // on a core DAGMM's seeds are stepped one after another, so that their company shows in no bit
    sandbox.seedbed(verify).expect(0).prints("same bits");
    sandbox.seedbed(&format!("{verify} --width 3")).expect(0).prints("same bits");
    let other_scores = |by: f64| {
        move |record: &mut Record| {
            record.digests.scores = "0".repeat(64);
            let auroc = record.metrics.as_mut().and_then(|metrics| metrics[Metric::Auroc].as_mut());
            *auroc.expect("an auroc") -= by;
        }
    };
    forge(&sandbox, other_scores(0.001));
    let near = sandbox.seedbed(verify).expect(0);
    near.prints("batch width 3 -> 1").prints("within tolerance").prints("auroc: stored ");
    sandbox.seedbed(&format!("{verify} --width 3")).expect(1).prints("DIFFERS");
    forge(&sandbox, other_scores(0.1));
    sandbox.seedbed(verify).expect(1).prints("DIFFERS").prints("auroc: stored ");
}

#[test]
fn a_published_folder_without_records_is_verified_by_its_rows() {
    let sandbox = Sandbox::new();
    sandbox.seedbed("run tiny --cell reconstruction=sum --out public").expect(0);
    // the records beside the table, if any, have no part in it
    let verify = "verify tiny --against public --sample 3";
    sandbox.seedbed(verify).expect(0).prints("6 of 6 stored runs").prints("same bits");
    std::fs::remove_dir_all(sandbox.path("public/tiny/runs")).expect("records");
    sandbox.seedbed(verify).expect(0).prints("6 of 6 stored runs").prints("same bits");
    let table = sandbox.read("public/tiny/runs.csv");
    let row =
        table.lines().find(|line| line.starts_with("tiny,reconstruction=sum,2,")).expect("a row");
    let field = |place: usize| row.split(',').nth(place).expect("a field");
    // recall and scores digest, by the order of columns
    for (old, named) in [(field(10), "recall: stored 0.5,"), (field(23), "scores")] {
        let lie = row.replacen(old, if named == "scores" { "00ff" } else { "0.5" }, 1);
        sandbox.write("public/tiny/runs.csv", &table.replace(row, &lie));
        let found = sandbox.seedbed(verify);
        // another processor may have made rows with other scores, but not with the same metrics
        match named {
            "scores" => found.expect(0).prints("within tolerance").prints("processor unknown"),
            named => found.expect(1).prints("DIFFERS").prints(named),
        };
    }
    sandbox.seedbed("verify tiny --against nowhere").expect(3).says("nowhere/tiny/runs.csv");
}

#[test]
fn missing_data_end_with_3() {
    let sandbox = Sandbox::new();
    let text = TINY.replace("name = \"synthetic\"\nrows = 600", "name = \"kddcup\"");
    sandbox.write("experiments/tiny.toml", &text);
    let row = "tiny,reconstruction=sum,1,full,ok,0.9\n";
    sandbox.write("public/tiny/runs.csv", &format!("experiment,cell,seed,scale,state,f1\n{row}"));
    let missing = sandbox.seedbed("verify tiny --against public").expect(3);
    missing.says("kddcup.data_10_percent.gz").says("seedbed data fetch kddcup");
}
