//! The subcommands that follow from stored runs: `tables` and `compare`. Nothing here trains or
//! needs libtorch.

use std::path::Path;

use serde_json::json;

use seedbed::error::{Error, Result};
use seedbed::experiment::Experiment;
use seedbed::paper::{self, Paper};
use seedbed::report::{csv, terminal};
use seedbed::summary::{self, Comparison, Row, Verdict};

use super::{Common, Shown, colour, print_documents};
use crate::derived::Derived;

pub fn papers_of(experiment: &Experiment) -> Result<Vec<Paper>> {
    let folder = experiment.papers_folder();
    experiment.papers.iter().map(|name| paper::load(&folder, name)).collect()
}

pub fn tables(common: &Common) -> Result<u8> {
    let mut documents = Vec::new();
    for experiment in common.load(None)? {
        let derived = Derived::new(&experiment, &common.out())?;
        derived.require_rows()?;
        derived.write_tables()?;
        summary_shown(&derived).print(common.json, &mut documents)?;
    }
    print_documents(common.json, documents)?;
    Ok(0)
}

/// The rows of one experiment in a `runs.csv` of any origin.
fn rows_in(file: &Path, experiment: &str) -> Result<Vec<Row>> {
    let rows = csv::read_runs(file)?;
    let mut others: Vec<&str> = rows.iter().map(|row| row.experiment.as_str()).collect();
    others.dedup();
    if !others.is_empty() && !others.contains(&experiment) {
        let others = others.join(", ");
        return Err(Error::Data(format!(
            "{} has no run of experiment '{experiment}', only of {others}",
            file.display()
        )));
    }
    Ok(rows.into_iter().filter(|row| row.experiment == experiment).collect())
}

pub fn compare(common: &Common, runs: Option<&Path>, strict: bool) -> Result<u8> {
    let mut code = 0;
    let mut documents = Vec::new();
    for experiment in common.load(None)? {
        let papers = papers_of(&experiment)?;
        if papers.is_empty() {
            eprintln!("{} names no paper, so there is nothing to compare it with", experiment.name);
            continue;
        }
        let (comparisons, from) = match runs {
            Some(file) => {
                let rows = rows_in(file, &experiment.name)?;
                let summaries = summary::summarise(&rows)?;
                let of = |paper| summary::compare(&summaries, paper, &experiment.name);
                (papers.iter().flat_map(of).collect(), file.display().to_string())
            }
            None => {
                let derived = Derived::new(&experiment, &common.out())?;
                derived.require_rows()?;
                (derived.write_comparison(&papers)?, derived.from())
            }
        };
        comparison_shown(&comparisons, &papers, &from).print(common.json, &mut documents)?;
        code = code.max(strict_code(strict, &comparisons));
    }
    print_documents(common.json, documents)?;
    Ok(code)
}

/// One table a paper.
pub fn comparison_shown(comparisons: &[Comparison], papers: &[Paper], from: &str) -> Shown {
    let table = |paper: &Paper| {
        let of_paper = comparisons.iter().filter(|one| one.paper == paper.name).cloned();
        let table =
            terminal::comparison_table(&of_paper.collect::<Vec<_>>(), paper, from, colour());
        format!("{table}\n")
    };
    let names: Vec<&str> = papers.iter().map(|paper| paper.name.as_str()).collect();
    let fields = [("papers", json!(names)), ("comparison", json!(comparisons))];
    Shown::new(papers.iter().map(table).collect(), fields)
}

/// The summary of an experiment, with the ceiling that a made-up data set has.
pub fn summary_shown(derived: &Derived) -> Shown {
    let table = terminal::summary_table(&derived.summaries, &derived.from(), colour());
    let ceiling = derived.best_auroc.map_or(String::new(), |best| {
        format!("no score can have an expected auroc above {best:.4} on these made-up rows\n")
    });
    let Experiment { name, title, .. } = derived.experiment;
    let fields = [("experiment", json!(name)), ("summary", json!(derived.summaries))];
    Shown::new(format!("{title}\n{table}{ceiling}\n"), fields)
}

pub fn strict_code(strict: bool, comparisons: &[Comparison]) -> u8 {
    let failed = |one: &Comparison| one.verdict == Verdict::NotReproduced && !one.null_model;
    u8::from(strict && comparisons.iter().any(failed))
}
