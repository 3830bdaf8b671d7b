//! Runs a detector of one's own under an experiment's data, split, threshold and metrics, and hands
//! its runs to the same tables: `cargo run --example own_model -- RUNS.csv`, or without a file to look
//! only. `cargo run --example judge_runs -- RUNS.csv PAPER.toml` then judges them.
//!
//! The detector here is the distance to the mean training row; put your own into [`fit`]. It trains
//! wherever you like: seedbed asks for a score a row, higher where a row is more anomalous. For a
//! network that seedbed itself trains, see CONTRIBUTING.md, "A model of your own".

use std::path::{Path, PathBuf};

use seedbed::dataset::{Dataset, load, search_path, split};
use seedbed::error::Result;
use seedbed::experiment::{Cell, Experiment, Selection};
use seedbed::metrics::{evaluate, flag};
use seedbed::report::csv;
use seedbed::report::terminal::{self, Sheet};
use seedbed::summary::{Row, summarise};

fn main() -> Result<()> {
    let runs = std::env::args_os().nth(1).map(PathBuf::from);
    print!("{}", run(runs.as_deref())?);
    Ok(())
}

/// Runs every seed of the experiment `synthetic`; writes `runs.csv` where it is asked for one.
///
/// # Errors
/// Data that cannot be found, scores that are not numbers, and a file that cannot be written.
pub fn run(runs: Option<&Path>) -> Result<String> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/experiments/synthetic.toml");
    let experiment = Experiment::load(file, &Selection::default())?;
    // its [model] and [training] tables are not ours; everything else is
    let cell = &experiment.cells[0];
    let data = load(&cell.dataset, &search_path(None))?;
    let rows: Result<Vec<Row>> =
        experiment.seeds.iter().map(|&seed| run_seed(&data, cell, seed)).collect();
    let rows = rows?;
    if let Some(path) = runs {
        csv::write_runs(path, &rows)?;
    }
    Ok(terminal::summary_table(&summarise(&rows)?, "this run", Sheet::default()))
}

/// Trains and measures one run.
fn run_seed(data: &Dataset, cell: &Cell, seed: u64) -> Result<Row> {
    // the seed alone decides on the split, so cells and models under one seed share it
    let parts = split(data, &cell.protocol.split, cell.protocol.contamination, seed)?;
    let scaling = data.fit(&parts.train);
    let [train, test] = [&parts.train, &parts.test].map(|rows| data.encode(rows, &scaling));
    let score = fit(&train, data.features());
    let scores = |rows: &[f32]| rows.chunks_exact(data.features()).map(&score).collect::<Vec<_>>();
    let (train, test) = (scores(&train), scores(&test));

    let labels: Vec<bool> = parts.test.iter().map(|&row| data.labels()[row as usize]).collect();
    let flagged = flag(&cell.protocol.threshold, &test, &labels, &train)?;
    let (counts, metrics) = evaluate(&test, &labels, &flagged.flags)?;
    Ok(Row {
        metrics,
        tp: Some(counts.tp),
        fp: Some(counts.fp),
        fn_: Some(counts.fn_),
        tn: Some(counts.tn),
        threshold: Some(flagged.threshold),
        data_sha256: data.sha256().to_owned(),
        split_sha256: parts.sha256(),
        ..Row::new("distance-to-mean", "base", seed)
    })
}

/// Fits the detector to training rows, C order [rows, features]; gives the score of a row.
fn fit(train: &[f32], features: usize) -> impl Fn(&[f32]) -> f64 {
    let mut mean = vec![0.0; features];
    for row in train.chunks_exact(features) {
        mean.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x));
    }
    let count = (train.len() / features) as f64;
    mean.iter_mut().for_each(|sum| *sum /= count);
    move |row| row.iter().zip(&mean).map(|(&x, mean)| (f64::from(x) - mean).powi(2)).sum()
}
