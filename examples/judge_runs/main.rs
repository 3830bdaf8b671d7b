//! Judges runs that were made elsewhere by the figures of a paper. It needs no experiment file and no
//! trainer: `cargo run --example judge_runs`, or with files of your own
//! `cargo run --example judge_runs -- RUNS.csv PAPER.toml`.
//!
//! `runs.csv` beside this file has the columns that must be there and a metric (docs/files.md has all);
//! `my-paper.toml` has a figure, with a margin that was declared before the runs
//! (docs/experiments.md). Both are made up.

use std::path::{Path, PathBuf};

use seedbed::error::{Error, Result};
use seedbed::paper;
use seedbed::report::csv;
use seedbed::report::terminal::{self, Sheet};
use seedbed::summary::{self, Comparison, Evidence};

fn main() -> Result<()> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/judge_runs");
    let mut given = std::env::args_os().skip(1).map(PathBuf::from);
    let runs = given.next().unwrap_or_else(|| here.join("runs.csv"));
    let paper = given.next().unwrap_or_else(|| here.join("my-paper.toml"));
    print!("{}", judge(&runs, &paper)?);
    Ok(())
}

/// Writes the estimates of every cell, and each of the paper's figures with its verdict.
///
/// # Errors
/// Those of either file, by its line and column.
pub fn judge(runs: &Path, paper: &Path) -> Result<String> {
    // a file that lacks a column, or has a figure outside [0, 1] or a run twice, ends here
    let rows = csv::read_runs(runs)?;
    let Some(experiment) = rows.first().map(|row| row.experiment.clone()) else {
        return Err(Error::Data(format!("{} holds no run; add a line for each", runs.display())));
    };
    // a paper's file is found by its name, which it repeats inside
    let folder = paper.parent().unwrap_or(Path::new(""));
    let name = paper.file_stem().unwrap_or_default().to_string_lossy();
    let paper = paper::load(folder, &name)?;

    // mean, standard deviation and interval of each cell's metrics; failed runs are counted apart
    let mut summaries = summary::summarise(&rows)?;
    summary::bootstrap(&mut summaries, &rows, 1000);
    let from = runs.display().to_string();
    let mut text = terminal::summary_table(&summaries, &from, Sheet::default());

    // the figures that name this experiment, beside the cells that they are of
    let evidence: Vec<Evidence> = summaries.iter().map(Evidence::from).collect();
    let comparisons = summary::compare(&evidence, &paper, &experiment, None);
    let comparisons: Vec<&Comparison> = comparisons.iter().collect();
    text += "\n";
    text += &terminal::comparison_table(&comparisons, &paper, &from, Sheet::default());
    Ok(text)
}
