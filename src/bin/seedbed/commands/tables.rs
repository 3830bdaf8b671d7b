//! The subcommands that follow from stored runs, a runs.csv or published figures: `tables`,
//! `compare`, `report`, `check-figures`, `plan --power`. Nothing here trains or needs libtorch.

use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use serde_json::json;

use seedbed::error::{Error, Result};
use seedbed::experiment::{Experiment, Selection};
use seedbed::metrics::Metric;
use seedbed::paper::plausibility;
use seedbed::paper::{self, Paper};
use seedbed::report::document::Document;
use seedbed::report::terminal::printable;
use seedbed::report::{csv, figures, html, latex, markdown, terminal};
use seedbed::store::whole;
use seedbed::summary::{self, Comparison, Pair, Row, Verdict};

use super::{Common, Output, Source, Strict, Training, colour, print, print_json};
use crate::say;
use seedbed::report::derive::{Derived, Losing, Making, papers_of};

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

pub fn compare(
    common: &Common,
    source: &Source,
    making: Making,
    strict: Option<Strict>,
) -> Result<u8> {
    let mut code = 0;
    let mut output = Output::new(common.json);
    // no table of a comparison has a bootstrap interval
    for derived in derive(common, source, Making { resamples: 0, ..making })? {
        if derived.papers.is_empty() {
            let name = printable(&derived.name);
            say(&format!(
                "{name} names no paper, so there is no published figure to compare it with"
            ));
        } else {
            derived.write_comparison()?;
        }
        output.next();
        show_comparison(&derived, &mut output)?;
        code = code.max(strict_code(strict, &derived.comparisons));
    }
    output.end()?;
    Ok(code)
}

pub fn report(common: &Common, source: &Source, making: Making, to: Option<PathBuf>) -> Result<u8> {
    let mut sections = Vec::new();
    for derived in derive(common, source, making)? {
        derived.write_tables(Losing::Refused)?;
        if !derived.papers.is_empty() {
            derived.write_comparison()?;
        }
        sections.push(derived.section()?);
    }
    let document = Document { sections };
    let folder = to.unwrap_or_else(|| match &source.file {
        Some(file) => file.parent().unwrap_or(Path::new("")).to_owned(),
        None => common.out(),
    });
    std::fs::create_dir_all(&folder).map_err(|error| {
        let folder = folder.display();
        Error::Failed(format!(
            "cannot write the report into {folder}: {error}; name another with --to"
        ))
    })?;
    let json = serde_json::to_string(&document)
        .map_err(|error| Error::Failed(format!("cannot write JSON: {error}")))?;
    whole::sweep(&folder);
    let mut paths = Vec::new();
    for (name, text) in [
        ("report.html", html::render(&document)),
        ("report.md", markdown::render(&document)),
        ("report.tex", latex::render(&document)),
        ("report.json", json + "\n"),
    ] {
        let path = folder.join(name);
        whole::write(&path, &text).map_err(|error| Error::of_file("write", &path, &error))?;
        paths.push(path);
    }
    if common.json {
        print_json(&json!({"report": paths}))?;
        return Ok(0);
    }
    for path in paths {
        print(&format!("{}\n", path.display()))?;
    }
    Ok(0)
}

/// What as many runs as planned can show about each published figure.
pub fn power(common: &Common, training: &Training, margin: Option<f64>) -> Result<u8> {
    let mut output = Output::new(common.json);
    for experiment in common.load(Some(training))? {
        let papers = papers_of(&experiment)?;
        let making = Making { resamples: 0, mixed_code: true, tell: say };
        let stored = Derived::stored(&experiment, &common.out(), making)?;
        let cells = experiment.select(&training.cell)?;
        let cells: Vec<String> = cells.into_iter().map(|cell| cell.label).collect();
        let (name, runs) = (&experiment.name, experiment.seeds.len());
        let lines = summary::power(&summary::Planned {
            experiment: name,
            cells: &cells,
            summaries: &stored.summaries,
            papers: &papers,
            runs,
            margin,
        });
        output.next();
        output.show(
            || terminal::power_table(&lines, name, &stored.from(), colour()) + "\n",
            || [("experiment", json!(name)), ("power", json!(lines))],
        )?;
    }
    output.end()?;
    Ok(0)
}

/// The experiments asked for, with their rows: of stored runs or of a file. Without names those that
/// have results below `--out`, or rows in the file.
fn derive(common: &Common, source: &Source, making: Making) -> Result<Vec<Derived>> {
    let Some(file) = &source.file else {
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
            "--out says where results are, and --runs reads a file instead; 'report' takes --to DIR"
                .to_owned(),
        ));
    }
    let mut rows: IndexMap<String, Vec<Row>> = IndexMap::new();
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

/// The experiments of `experiments/` that have results below `--out`.
fn with_results(common: &Common) -> Result<Vec<Experiment>> {
    let out = common.out();
    let unreadable = |error: std::io::Error| {
        Error::Usage(format!("cannot look for results in {}: {error}", out.display()))
    };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&out).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let folder = entry.path();
        let has_runs = folder.join("runs.csv").exists() || folder.join("runs").is_dir();
        names.extend(entry.file_name().into_string().ok().filter(|_| has_runs));
    }
    names.sort();
    let mut experiments = Vec::new();
    for name in names {
        match known(&name, common)? {
            Some(experiment) => experiments.push(experiment),
            None => {
                let name = printable(&name);
                say(&format!("left out: {name}: there is no experiments/{name}.toml"));
            }
        }
    }
    if experiments.is_empty() {
        return Err(Error::Usage(format!(
            "{} holds no results of any experiment in experiments/; name its directory with --out",
            out.display()
        )));
    }
    Ok(experiments)
}

/// The experiment of this name, where there is a file of it.
fn known(name: &str, common: &Common) -> Result<Option<Experiment>> {
    let file = Path::new("experiments").join(format!("{name}.toml"));
    // a name in someone else's file is no path
    if name.contains(['/', '\\']) || !file.exists() {
        return Ok(None);
    }
    let selection =
        Selection { quick: common.quick, set: common.set.clone(), ..Selection::default() };
    Experiment::load(name, &selection).map(Some)
}

/// Published figures beside the cells, one table a paper, then cells beside each other.
pub fn show_comparison(derived: &Derived, output: &mut Output) -> Result<()> {
    let Derived { comparisons, papers, pairs, .. } = derived;
    let from = derived.from();
    let table = |paper: &Paper| {
        let of_paper: Vec<&Comparison> =
            comparisons.iter().filter(|one| one.paper == paper.name).collect();
        format!("{}\n", terminal::comparison_table(&of_paper, paper, &from, colour()))
    };
    let text = || {
        let compared: Vec<Metric> =
            comparisons.iter().filter_map(|one| one.metric.metric()).collect();
        let metrics = if compared.is_empty() { vec![Metric::F1, Metric::Auroc] } else { compared };
        let shown: Vec<&Pair> =
            pairs.iter().filter(|pair| metrics.contains(&pair.metric)).collect();
        papers.iter().map(table).collect::<String>()
            + &terminal::pairs_table(&shown, &from, colour())
    };
    let names: Vec<&str> = papers.iter().map(|paper| paper.name.as_str()).collect();
    output.show(text, || {
        [
            ("experiment", json!(derived.name)),
            ("papers", json!(names)),
            ("comparison", json!(comparisons)),
            ("pairs", json!(pairs)),
        ]
    })
}

/// The summary of an experiment, with the ceiling that a made-up data set has.
pub fn show_summary(derived: &Derived, output: &mut Output) -> Result<()> {
    let text = || {
        let table = terminal::summary_table(&derived.summaries, &derived.from(), colour());
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

/// 1 where a judged figure falls short of what is asked for. Figures that nobody judges (not verified,
/// without a margin, beside reduced runs) and those beside which a control stands count for neither.
pub fn strict_code(strict: Option<Strict>, comparisons: &[Comparison]) -> u8 {
    let falls_short = |one: &Comparison| match (one.verdict, strict) {
        (_, None)
        | (Verdict::Reproduced | Verdict::Unverified | Verdict::NoMargin, Some(_))
        | (Verdict::ReducedRun, Some(_)) => false,
        (Verdict::NotReproduced, Some(_)) => true,
        (Verdict::Inconclusive | Verdict::Undecidable | Verdict::TooFewRuns, Some(level)) => {
            level == Strict::Reproduced
        }
    };
    u8::from(comparisons.iter().any(|one| !one.null_model && falls_short(one)))
}

/// Whatever is found, the exit code is 0: a wrong figure is the paper's, not the user's.
pub fn check_figures(names: &[String], folder: &Path, json: bool) -> Result<u8> {
    let names = if names.is_empty() { paper::names(folder)? } else { names.to_vec() };
    let mut output = Output::new(json);
    for name in &names {
        let paper = paper::load(folder, name)?;
        let checks = plausibility::check(&paper);
        let granularity = plausibility::granularity::check(&paper);
        output.next();
        output.show(
            || figures::check_text(&checks, &granularity, &paper, colour()),
            || {
                [
                    ("paper", json!(paper.name)),
                    ("checks", json!(checks)),
                    ("granularity", json!(granularity)),
                ]
            },
        )?;
    }
    output.end()?;
    Ok(0)
}
