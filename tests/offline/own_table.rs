//! A table of one's own from its file to rows of `runs.csv`, by experiments that a person writes.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use crate::sandbox::Sandbox;

/// Rows whose anomalies lie apart, with a word, a number of the row and a class.
fn rows(separator: char) -> String {
    let mut text = "id;a;b;kind;class\n".replace(';', &separator.to_string());
    for row in 0..200 {
        let anomaly = row % 10 == 0;
        let (a, b) = (f64::from(row * 37 % 100) / 100.0, f64::from(row * 53 % 100) / 50.0);
        let b = if anomaly { b + 40.0 } else { b };
        let (kind, class) =
            (["tcp", "udp"][row as usize % 2], if anomaly { "bad" } else { "good" });
        let cells = [row.to_string(), a.to_string(), b.to_string(), kind.into(), class.into()];
        writeln!(text, "{}", cells.join(&separator.to_string())).expect("memory");
    }
    text
}

fn sha256(bytes: impl AsRef<[u8]>) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An experiment on the table `mine.csv` with these bytes.
fn experiment(bytes: &str, more: &str) -> String {
    format!(
        "name = 'mine'\ntitle = 'mine'\nruns = 2\n\
         [dataset]\nname = 'table'\nfile = 'mine.csv'\nsha256 = '{}'\nlabel = 'class'\n\
         anomaly = ['bad']\n{more}\n\
         [protocol]\nsplit = {{ kind = 'half-of-all' }}\nthreshold = {{ top = 0.1, of = 'test' }}\n\
         [model]\nname = 'pca'\ncomponents = 1\n",
        sha256(bytes)
    )
}

const MORE: &str = "drop = ['id']\ncategorical = ['kind']";

#[test]
fn a_table_beside_its_experiment_is_planned_run_resumed_and_reported() {
    let sandbox = Sandbox::new();
    let text = rows(',');
    sandbox.write("work/mine.csv", &text);
    sandbox.write("work/mine.toml", &experiment(&text, MORE));
    sandbox.seedbed("plan work/mine.toml --out out").expect(0).prints("2 missing");
    sandbox.seedbed("run work/mine.toml --out out").expect(0);
    let table = sandbox.read("out/mine/runs.csv");
    assert_eq!(table.lines().count(), 3, "{table}");
    assert!(table.contains(&sha256(&text)), "{table}");
    sandbox.seedbed("run work/mine.toml --out out").expect(0);
    assert_eq!(sandbox.read("out/mine/runs.csv"), table);
    // rows for who trains by hand come from the same place
    sandbox.seedbed("split work/mine.toml --seed 1 --to hand").expect(0).prints("hand/base/1");
    sandbox.seedbed("report work/mine.toml --out out").expect(0);
    let report = sandbox.read("out/report.md");
    assert!(report.contains("The table mine.csv (sha256 "), "{report}");
    assert!(report.contains("Left out: id. One-hot: kind. Each column of numbers is scaled"));
    assert!(report.contains("Rows whose class is bad are anomalies; all others are normal."));
}

#[test]
fn the_same_rows_written_otherwise_give_the_same_scores() {
    let scores = |text: &str| {
        let sandbox = Sandbox::new();
        sandbox.write("mine.csv", text);
        sandbox.write("mine.toml", &experiment(text, MORE));
        sandbox.seedbed("run mine.toml --out out").expect(0);
        let table = sandbox.read("out/mine/runs.csv");
        let mut reader = csv::Reader::from_reader(table.as_bytes());
        let header = reader.headers().expect("a header").clone();
        let column = header.iter().position(|name| name == "scores_sha256").expect("a column");
        reader.records().map(|row| row.expect("a row")[column].to_owned()).collect::<Vec<_>>()
    };
    let wanted = scores(&rows(','));
    assert_eq!(wanted.len(), 2);
    assert_eq!(scores(&rows(';').replace('\n', "\r\n")), wanted);
    assert_eq!(scores(&format!("\u{feff}{}", rows('\t'))), wanted);
}

#[test]
fn what_a_table_lacks_ends_the_run_with_its_place_and_the_exit_code_of_its_kind() {
    let sandbox = Sandbox::new();
    let text = rows(',');
    sandbox.write("mine.csv", &text);
    for (more, code, words) in [
        ("drop = ['id']", 3, "mine.csv: line 2, column 4 (kind): 'tcp' is not a number"),
        (
            "drop = ['ids']",
            2,
            "dataset.drop names the column 'ids', which it has not; did you mean 'id'?",
        ),
    ] {
        sandbox.write("mine.toml", &experiment(&text, more));
        sandbox.seedbed("run mine.toml --out out").expect(code).says(words);
    }
    sandbox.write("mine.toml", &experiment("other bytes", MORE));
    sandbox.seedbed("run mine.toml --out out").expect(3).says("its 200 rows can be read");
    sandbox.write("mine.toml", &experiment(&text, MORE).replace("mine.csv", "none.csv"));
    sandbox.seedbed("run mine.toml --out out").expect(3).says("needs none.csv, which is not in");
}
