//! Times loading KDD Cup 99 by its own reader and as a table of one's own, one after the other in each
//! round, and prints one JSON object: `cargo bench --bench load_table -- DATA_DIR [ROUNDS]`.

use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

use seedbed::dataset::{DatasetSpec, load, search_path};

const TABLE: &str = r#"{
    "name": "table",
    "file": "kddcup.data_10_percent.gz",
    "sha256": "f8c8267ebcd9c0ed1fd7d6277fe5bfff8732e9b7db8e61b873542b2a534b6f9a",
    "header": false, "label": "42", "anomaly": ["normal."], "categorical": ["2", "3", "4"],
    "unscaled": ["7", "12", "14", "15", "20", "21", "22"]
}"#;

fn main() -> Result<(), Box<dyn Error>> {
    // cargo adds --bench
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let data = arguments.next().map(PathBuf::from);
    let rounds = arguments.next().map_or(Ok(5), |rounds| rounds.parse())?;
    let search = search_path(data.as_deref());
    let built_in: DatasetSpec = serde_json::from_str(r#"{ "name": "kddcup" }"#)?;
    let table: DatasetSpec = serde_json::from_str(TABLE)?;
    let mut seconds = [Vec::new(), Vec::new()];
    for _ in 0..rounds {
        for (spec, seconds) in [&built_in, &table].into_iter().zip(&mut seconds) {
            let start = Instant::now();
            let dataset = load(spec, &search)?;
            seconds.push(start.elapsed().as_secs_f64());
            assert_eq!(dataset.rows(), 494_021);
        }
    }
    let [built_in, table] = seconds;
    let median = |seconds: &[f64]| seedbed::stats::median(seconds).unwrap_or(f64::NAN);
    let ratio = median(&table) / median(&built_in);
    println!(
        "{}",
        serde_json::json!({ "built_in_seconds": built_in, "table_seconds": table, "ratio": ratio })
    );
    Ok(())
}
