//! The report of the committed results, through the library and a real browser. It trains nothing.
//! `UPDATE`-free: nothing here compares with stored bytes, but with what the page is to do.

use std::path::Path;

use seedbed::experiment::{Experiment, Selection};
use seedbed::paper;
use seedbed::report::document::{Document, Loss, Picture, Section};
use seedbed::report::{csv, html, latex, markdown};
use seedbed::summary;

const RESULTS: [(&str, &str); 8] = [
    ("dagmm-kddcup", "results"),
    ("danieltan07-kddcup", "results"),
    ("vae-blog-kddcup", "results"),
    ("conv-vae-notebook-mnist", "results"),
    ("vae-kddcup", "results"),
    ("vae-families-kddcup", "results"),
    ("vae-mnist", "results/reduced"),
    ("conv-vae-mnist", "results/reduced"),
];

fn section(name: &str, folder: &str) -> Section {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let quick = folder.ends_with("reduced");
    let selection = Selection { quick, ..Selection::default() };
    let path = root.join(format!("experiments/{name}.toml"));
    let text = std::fs::read_to_string(&path).unwrap();
    let experiment = Experiment::parse(&path, &text, &selection).unwrap();
    let papers: Vec<_> = experiment
        .papers
        .iter()
        .map(|paper| paper::load(&experiment.papers_folder(), paper).unwrap())
        .collect();
    let from = format!("{folder}/{name}");
    let rows = csv::read_runs(&root.join(&from).join("runs.csv")).unwrap();
    let summaries = summary::summarise(&rows).unwrap();
    let compare = |paper| summary::compare(&summaries, paper, name);
    Section {
        experiment: name.into(),
        title: experiment.title.clone(),
        scale: experiment.scale,
        from,
        comparisons: papers.iter().flat_map(compare).collect(),
        pairs: summary::pairs(&rows),
        papers,
        cells: experiment.cells,
        summaries,
        rows,
        losses: Vec::new(),
        pictures: Vec::new(),
        commands: vec![format!("seedbed run {name}{}", if quick { " --quick" } else { "" })],
        notes: Vec::new(),
    }
}

fn committed() -> Document {
    Document { sections: RESULTS.iter().map(|(name, folder)| section(name, folder)).collect() }
}

#[test]
fn draft() {
    let document = committed();
    let start = std::time::Instant::now();
    let page = html::render(&document);
    eprintln!("html {:?} {} bytes", start.elapsed(), page.len());
    let out = Path::new("/work/scratch/h/report-shots");
    std::fs::create_dir_all(out).unwrap();
    std::fs::write(out.join("report.html"), page).unwrap();
    std::fs::write(out.join("report.md"), markdown::render(&document)).unwrap();
    std::fs::write(out.join("report.tex"), latex::render(&document)).unwrap();
}
