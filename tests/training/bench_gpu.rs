//! `make bench-gpu` where there is no card: it refuses, and its dry run on the CPU goes all the way.

use std::process::{Command, Output};

/// `benches/bench_gpu.py` with arguments separated by spaces, and no card to be seen.
fn bench_gpu(arguments: &str) -> Output {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/bench_gpu.py");
    let mut command = Command::new("python3");
    command.arg(script).args(arguments.split_whitespace());
    command.env("SEEDBED", env!("CARGO_BIN_EXE_seedbed")).env("CUDA_VISIBLE_DEVICES", "");
    command.output().expect("python3 starts")
}

#[test]
fn without_a_card_it_refuses_and_says_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let table = folder.path().join("bench-gpu.csv");
    let ended = bench_gpu(&format!("--out {}", table.display()));
    assert_eq!(ended.status.code(), Some(1));
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.contains("no device 'cuda:0' here") && said.contains("seedbed doctor"), "{said}");
    assert!(!table.exists());
}

#[test]
fn a_dry_run_on_the_cpu_measures_steps_equality_and_whole_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    let table = folder.path().join("bench-gpu.csv");
    let ended =
        bench_gpu(&format!("--dry --device cpu --without-pytorch --out {}", table.display()));
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let mut rows = csv::Reader::from_path(table).expect("a table");
    let rows: Vec<csv::StringRecord> =
        rows.records().map(|row| row.expect("a row of the table")).collect();
    // measure, model, contender, value, unit, target, holds
    let found = |measure: &str, contender: &str| {
        let row = rows.iter().find(|row| &row[0] == measure && &row[2] == contender);
        row.unwrap_or_else(|| panic!("no '{measure}' of '{contender}' in {rows:?}"))
    };
    for contender in ["seedbed, 1 seed", "seedbed, 20 seeds"] {
        assert!(found("step", contender)[3].parse::<f64>().expect("ms") > 0.0);
    }
    assert!(!found("step of 20 seeds over that of 1", "seedbed")[3].is_empty());
    assert_eq!(&found("same bits when run twice", "seedbed")[3], "20");
    for measure in ["losses in a job of 20 and alone", "metrics in a job of 20 and alone"] {
        assert_eq!(&found(measure, "seedbed")[6], "yes");
    }
    assert!(found("20 runs", "seedbed")[7].contains("of 300 epochs"));
}
