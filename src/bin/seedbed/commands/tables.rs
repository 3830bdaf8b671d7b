//! `seedbed tables`: every table that follows from stored runs or a runs.csv. Nothing here trains.
use std::path::Path;

use indexmap::IndexMap;
use serde_json::json;

use seedbed::error::{Error, Result};
use seedbed::experiment::{Experiment, Selection};
use seedbed::report::derive::{Derived, Losing, Making};
use seedbed::report::terminal::printable;
use seedbed::report::{csv, terminal};
use seedbed::shipped;
use seedbed::summary::Row;

use crate::args::{Common, Source, tell_beside_shipped};
use crate::output::{Output, sheet};
use crate::screen::say;

/// Writes the tables and shows the estimates.
pub fn tables(common: &Common, source: &Source, making: Making) -> Result<u8> {
    let mut output = Output::new(common.json);
    for derived in derive(common, source, making)? {
        derived.write_tables(Losing::Refused)?;
        output.next();
        show_summary(&derived, &mut output)?;
    }
    output.end()?;
    Ok(0)
}

/// Derives what follows from the rows of the experiments asked for: of stored runs or of a file. Without names those that
/// have results below `--out`, or rows in the file.
pub fn derive(common: &Common, source: &Source, making: Making) -> Result<Vec<Derived>> {
    let Some(file) = source.file()? else {
        let experiments = match common.experiments.is_empty() {
            true => with_results(common)?,
            false => common.load(None)?,
        };
        let derived = experiments.iter().map(|one| {
            let derived = Derived::stored(one, &common.out(), making)?;
            derived.require_rows()?;
            Ok(derived)
        });
        return derived.collect();
    };
    if common.out.is_some() {
        return Err(Error::Usage(
            "--out says where results are, and --from reads a file instead; 'report' takes --to DIR"
                .to_owned(),
        ));
    }
    let mut rows: IndexMap<String, Vec<Row>> = IndexMap::new();
    if let Some(what) = csv::left_out(file) {
        say(&what);
    }
    for row in csv::read_runs(file)? {
        rows.entry(row.experiment.clone()).or_default().push(row);
    }
    let mut derived = Vec::new();
    if common.experiments.is_empty() {
        for (name, rows) in rows {
            let known = known(&name, common)?;
            derived.push(Derived::of_file(&name, rows, file, known.as_ref(), making)?);
        }
        return Ok(derived);
    }
    for experiment in common.load(None)? {
        let Some(rows) = rows.shift_remove(&experiment.name) else {
            let others = rows.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            return Err(Error::Data(format!(
                "{} has no run of experiment '{}', only of {others}",
                file.display(),
                experiment.name,
            )));
        };
        derived.push(Derived::of_file(&experiment.name, rows, file, Some(&experiment), making)?);
    }
    Ok(derived)
}

/// The experiments of `experiments/`, and the shipped ones, that have results below `--out`.
fn with_results(common: &Common) -> Result<Vec<Experiment>> {
    let out = common.out();
    let mut experiments = Vec::new();
    for name in stored_names(&out)? {
        match known(&name, common)? {
            Some(experiment) => experiments.push(experiment),
            None => {
                let name = printable(&name);
                say(&format!(
                    "left out: {name}: there is no experiments/{name}.toml, and none of that name \
                     ships"
                ));
            }
        }
    }
    if experiments.is_empty() {
        return Err(Error::Usage(format!(
            "{} holds no results of any experiment in experiments/ or of a shipped one; name its \
             directory with --out",
            out.display()
        )));
    }
    Ok(experiments)
}

/// The names of the folders below `out` that hold runs, sorted.
///
/// # Errors
/// `Usage` for a folder that cannot be read.
pub fn stored_names(out: &Path) -> Result<Vec<String>> {
    let unreadable = |error: std::io::Error| {
        Error::Usage(format!("cannot look for results in {}: {error}", out.display()))
    };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(out).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let folder = entry.path();
        let has_runs = folder.join("runs.csv").exists() || folder.join("runs").is_dir();
        if !has_runs {
            continue;
        }
        match entry.file_name().into_string() {
            Ok(name) => names.push(name),
            Err(_) => say(&format!("left out: {}: its name is not UTF-8", folder.display())),
        }
    }
    names.sort();
    Ok(names)
}

/// The experiment of this name, where there is one.
pub fn known(name: &str, common: &Common) -> Result<Option<Experiment>> {
    let file = Path::new("experiments").join(format!("{name}.toml"));
    let is_there = file.exists() || shipped::experiment(name).is_some();
    // a name in someone else's file is no path
    if name.contains(['/', '\\']) || name.ends_with(".toml") || !is_there {
        return Ok(None);
    }
    let selection =
        Selection { quick: common.quick, set: common.set.clone(), ..Selection::default() };
    let experiment = Experiment::load(name, &selection)?;
    tell_beside_shipped(&experiment);
    Ok(Some(experiment))
}

/// Shows the summary of an experiment, with the ceiling that a made-up data set has.
pub fn show_summary(derived: &Derived, output: &mut Output) -> Result<()> {
    let text = || {
        let table = terminal::summary_table(&derived.summaries, &derived.from(), sheet());
        let ceiling = derived.best_auroc.map_or(String::new(), |best| {
            format!("no score can have an expected auroc above {best:.4} on these made-up rows\n")
        });
        let missing: String = match derived.missing.len() {
            0 => String::new(),
            _ => format!("fewer runs than declared: {}\n", printable(&derived.missing.join(", "))),
        };
        format!("{}\n{table}{missing}{ceiling}\n", printable(&derived.title))
    };
    output
        .show(text, || [("experiment", json!(derived.name)), ("summary", json!(derived.summaries))])
}
