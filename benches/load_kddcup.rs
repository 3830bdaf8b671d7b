//! Times loading, fitting and encoding KDD Cup 99 on one thread, and prints one JSON object:
//! `cargo bench --bench load_kddcup -- DATA_DIR [ROUNDS]`. `benches/bench_load.py` runs it beside pandas.

use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

use seedbed::dataset::{DatasetSpec, load, search_path};

fn main() -> Result<(), Box<dyn Error>> {
    // cargo adds --bench
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let data = arguments.next().map(PathBuf::from);
    let rounds = arguments.next().map_or(Ok(1), |rounds| rounds.parse())?;
    let search = search_path(data.as_deref());
    let spec: DatasetSpec = serde_json::from_str(
        r#"{ "name": "kddcup", "encoding": "protocol-service-flag",
             "scaling": { "kind": "min-max", "fit": "attack" } }"#,
    )?;
    let (mut loads, mut fits, mut encodes, mut totals) = (vec![], vec![], vec![], vec![]);
    for _ in 0..rounds {
        let start = Instant::now();
        let dataset = load(&spec, &search)?;
        let loaded = start.elapsed();
        let scaling = dataset.fit(&[]);
        let fitted = start.elapsed();
        let rows: Vec<u32> = (0..dataset.rows() as u32).collect();
        let encoded = dataset.encode(&rows, &scaling);
        let done = start.elapsed();
        assert_eq!(encoded.len(), dataset.rows() * dataset.features());
        loads.push(loaded.as_secs_f64());
        fits.push((fitted - loaded).as_secs_f64());
        encodes.push((done - fitted).as_secs_f64());
        totals.push(done.as_secs_f64());
    }
    println!(
        "{}",
        serde_json::json!({
            "load_seconds": loads, "fit_seconds": fits, "encode_seconds": encodes,
            "total_seconds": totals,
        })
    );
    Ok(())
}
