//! A report as one HTML file: no network, no script, light and dark, for a screen, a phone and paper.
//! Lays out what the document says and computes nothing; how to read it: `docs/report.md`.

mod readings;

use std::collections::HashMap;
use std::fmt;

use askama::Template;
use askama::filters::{Escaper, Html, HtmlSafe};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use indexmap::{IndexMap, IndexSet};

use crate::experiment::{CellName, Scale};
use crate::metrics::Metric;
use crate::paper::Paper;
use crate::report::chart::{self, Strip, Svg};
use crate::report::document::{Document, Loss, Picture, Section};
use crate::report::picture::axis::Axis;
use crate::report::protocol::{self, Part};
use crate::report::table::{self, Table};
use crate::report::terminal::printable_lines;
use crate::store::record::State;
use crate::summary::{Comparison, Row, Verdict};

use readings::Readings;

/// Cells of a section that are drawn: dots, losses and pictures; tables have a limit of their own.
const CELLS: usize = 60;
/// Rows of an overview.
const FIGURES: usize = 300;
/// Tables with more rows than this are closed until they are asked for.
const OPEN: usize = 24;
/// Pictures embedded in a section, in bytes: beyond it a page is slow to open.
const PICTURES: usize = 12_000_000;

/// The document as HTML; the same document gives the same bytes.
pub fn render(document: &Document) -> String {
    let sections: Vec<View> = document.sections.iter().enumerate().map(View::of).collect();
    let page = Page {
        lead: table::lead(document),
        runs: table::runs(document),
        overviews: Kind::ALL.iter().filter_map(|kind| Overview::of(*kind, document)).collect(),
        sections,
    };
    let page = page.render().expect("writing to a string does not fail");
    // names of someone else's may hold anything; people look at pages in terminals too
    printable_lines(&page, false).into_owned()
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    lead: [String; 2],
    runs: String,
    overviews: Vec<Overview>,
    sections: Vec<View<'a>>,
}

/// What may be said of the rows of an overview.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Judged,
    Shown,
    Reduced,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Judged, Self::Shown, Self::Reduced];

    fn of(one: &Comparison) -> Self {
        match (one.scale, one.verdict) {
            (Scale::Quick, _) | (_, Verdict::ReducedRun) => Self::Reduced,
            (Scale::Full, Verdict::NoMargin | Verdict::Unverified) => Self::Shown,
            (
                Scale::Full,
                Verdict::Reproduced
                | Verdict::NotReproduced
                | Verdict::Inconclusive
                | Verdict::Undecidable
                | Verdict::TooFewRuns,
            ) => Self::Judged,
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Judged => "Verdicts",
            Self::Shown => "Shown, not judged",
            Self::Reduced => "Reduced runs: no verdicts",
        }
    }

    fn explanation(self) -> &'static str {
        match self {
            Self::Judged => {
                "Is the interval inside the band? The band is the margin about the published figure, \
                 the dot our mean, the bar its 90 % interval; every row has the same scale in \
                 margins. The diamond is the same network before any training."
            }
            Self::Shown => {
                "These figures have no declared margin, or nobody saw them in their source. They \
                 stand beside our means for orientation, drawn from 0 to 1; what has a unit of its own, \
                 such as a loss, is not drawn."
            }
            Self::Reduced => {
                "Fewer epochs or a changed protocol: these runs show that everything works. Whatever \
                 they reach is no answer to a published figure."
            }
        }
    }

    fn scale(self) -> chart::Scale {
        match self {
            Self::Judged => chart::Scale::Margins,
            Self::Shown | Self::Reduced => chart::Scale::Absolute,
        }
    }
}

/// A cell's label, which may break after its commas and equals signs.
struct Label(String);

impl fmt::Display for Label {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        for piece in self.0.split_inclusive([',', '=']) {
            Html.write_escaped_str(&mut *to, piece)?;
            if piece.ends_with([',', '=']) {
                to.write_str("<wbr>")?;
            }
        }
        Ok(())
    }
}

impl HtmlSafe for Label {}

impl Label {
    fn of(text: &str) -> Self {
        Self(text.to_owned())
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A table of the first screen.
struct Overview {
    kind: Kind,
    axis: Svg,
    groups: Vec<Group>,
    /// How many are shown.
    rows: usize,
    left_out: String,
}

/// The figures of one paper beside one experiment.
struct Group {
    /// Place of the experiment's section.
    section: usize,
    title: String,
    paper: String,
    rows: Vec<Figure>,
}

struct Figure {
    metric: String,
    /// Empty for the only cell of an experiment.
    cell: Label,
    table: String,
    verdict: Verdict,
    asides: String,
    chart: Svg,
    published: String,
    spread: String,
    mean: String,
    difference: String,
    interval: String,
    n: usize,
    failed: String,
    any_failed: bool,
    control: String,
    control_mean: String,
}

impl Overview {
    fn of(kind: Kind, document: &Document) -> Option<Self> {
        let mut groups: IndexMap<(usize, &str), Vec<&Comparison>> = IndexMap::new();
        let (mut all, mut margins) = (0, IndexSet::new());
        for (place, section) in document.sections.iter().enumerate() {
            let rows = section.comparisons.iter().filter(|one| !one.null_model);
            for one in rows.filter(|one| Kind::of(one) == kind) {
                all += 1;
                margins.extend(one.margin.map(f64::to_bits));
                if all <= FIGURES {
                    groups.entry((place, &one.paper)).or_default().push(one);
                }
            }
        }
        let margin = margins.first().copied().filter(|_| margins.len() == 1).map(f64::from_bits);
        (all > 0).then(|| Self {
            kind,
            axis: chart::forest_axis(kind.scale(), margin),
            groups: groups
                .into_iter()
                .map(|((place, paper), rows)| Group {
                    section: place + 1,
                    title: document.sections[place].title.clone(),
                    paper: title_of(&document.sections[place], paper),
                    rows: rows.into_iter().map(|one| Figure::of(kind, one)).collect(),
                })
                .collect(),
            rows: FIGURES.min(all),
            left_out: table::left_out(FIGURES.min(all), all, "comparisons", "comparison.csv"),
        })
    }
}

fn title_of(section: &Section, paper: &str) -> String {
    let known = section.papers.iter().find(|one| one.name == paper);
    known.map_or(paper, |paper| &paper.title).to_owned()
}

impl Figure {
    fn of(kind: Kind, one: &Comparison) -> Self {
        Self {
            metric: table::quantity(&one.metric),
            cell: Label::of(if one.cell == "base" { "" } else { &one.cell }),
            table: format!("{}, {}", one.table, one.method),
            verdict: if kind == Kind::Reduced { Verdict::ReducedRun } else { one.verdict },
            asides: asides(kind, one),
            chart: chart::forest(one, kind.scale()),
            published: table::number(one.published),
            spread: published_spread(one),
            mean: match one.ended {
                Some(ended) => format!("{ended} of {} runs", one.runs),
                None => one.mean.map(table::number).unwrap_or_default(),
            },
            difference: one.difference.map(table::signed).unwrap_or_default(),
            interval: table::interval(one.ci90_low, one.ci90_high, table::signed),
            n: one.n,
            failed: failed(one),
            any_failed: one.n_failed > 0,
            control: one.control_share.map(table::percent).unwrap_or_default(),
            control_mean: match one.control_mean {
                Some(mean) => table::number(mean),
                None if one.cell.is_control() => "is a control".into(),
                None => "no control".into(),
            },
        }
    }

    /// A class of the page's style, and the name of the icon.
    fn class(&self) -> &'static str {
        class(self.verdict)
    }
}

/// A reduced run has none of the words that a verdict has.
fn asides(kind: Kind, one: &Comparison) -> String {
    match kind {
        Kind::Judged | Kind::Shown => table::asides(one).join(" · "),
        Kind::Reduced if one.verdict == Verdict::ReducedRun => one.note.clone(),
        Kind::Reduced if one.note.is_empty() => one.verdict.as_str().into(),
        Kind::Reduced => format!("{} · {}", one.verdict.as_str(), one.note),
    }
}

fn class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Reproduced => "reproduced",
        Verdict::NotReproduced => "not-reproduced",
        Verdict::Inconclusive => "inconclusive",
        Verdict::Undecidable => "undecidable",
        Verdict::TooFewRuns => "too-few-runs",
        Verdict::Unverified => "unverified",
        Verdict::NoMargin => "no-margin",
        Verdict::ReducedRun => "reduced-run",
    }
}

fn published_spread(one: &Comparison) -> String {
    let std = one.published_std.map(|std| format!("± {}", table::number(std)));
    let runs = Some(match one.published_runs {
        Some(1) => "one run".to_owned(),
        Some(many) => format!("{many} runs"),
        None => "runs not said".to_owned(),
    });
    std.into_iter().chain(runs).collect::<Vec<String>>().join(", ")
}

fn failed(one: &Comparison) -> String {
    let undefined = one.runs.saturating_sub(one.n + one.n_failed);
    let parts = [(one.n_failed, "failed"), (undefined, "without a value")];
    let parts = parts.into_iter().filter(|(number, _)| *number > 0);
    let parts: Vec<String> =
        parts.map(|(number, what)| format!("{} {what}", table::count(number))).collect();
    if parts.is_empty() { "0 failed".into() } else { parts.join(", ") }
}

/// One experiment.
struct View<'a> {
    place: usize,
    section: &'a Section,
    warning: Option<&'static str>,
    papers: Vec<Source<'a>>,
    readings: Option<Readings>,
    comparisons: Table,
    tests: Table,
    summaries: Table,
    pairs: Table,
    /// Compared metrics, which are shown, and the others.
    dots: [Vec<Dots>; 2],
    dots_left_out: String,
    losses: Vec<LossChart>,
    loss_parts: Vec<LossChart>,
    losses_left_out: String,
    pictures: Vec<Album>,
    pictures_left_out: String,
    protocol: Vec<Part>,
    provenance: Vec<(&'static str, Vec<String>)>,
}

impl<'a> View<'a> {
    fn of((index, section): (usize, &'a Section)) -> Self {
        let (dots, dots_left_out) = dots(section);
        let (losses, losses_left_out) = losses(section);
        let (losses, loss_parts) = losses.into_iter().partition(|chart| chart.term == "loss");
        let (pictures, pictures_left_out) = albums(section);
        Self {
            place: index + 1,
            section,
            warning: table::reduced(section),
            papers: section.papers.iter().map(|paper| Source::of(section, paper)).collect(),
            readings: Readings::of(section),
            comparisons: table::comparisons(section),
            tests: table::tests(section),
            summaries: table::summaries(section),
            pairs: table::pairs(section),
            dots,
            dots_left_out,
            losses,
            loss_parts,
            losses_left_out,
            pictures,
            pictures_left_out,
            protocol: protocol::of_cells(&section.cells),
            provenance: table::provenance(section),
        }
    }
}

/// Where figures come from.
struct Source<'a> {
    paper: &'a Paper,
    /// Whether the source is an address that a reader can safely follow.
    link: bool,
    margins: Vec<String>,
    /// Table and setting of its figures of this experiment.
    settings: IndexSet<(&'a str, &'a str)>,
}

impl<'a> Source<'a> {
    fn of(section: &'a Section, paper: &'a Paper) -> Self {
        let own = |figure: &&crate::paper::Figure| {
            figure.experiment.as_ref() == Some(&section.experiment)
        };
        let settings = paper.figures.iter().filter(own);
        let marks = paper.fingerprints.iter();
        let marks = marks.filter(|one| one.experiment.as_ref() == Some(&section.experiment));
        let marks = marks.map(|one| (one.table.as_str(), one.setting.as_str()));
        Self {
            paper,
            link: ["https://", "http://"].iter().any(|start| paper.source.starts_with(start)),
            margins: table::margins(section, paper),
            settings: settings
                .map(|f| (f.table.as_str(), f.setting.as_str()))
                .chain(marks)
                .collect(),
        }
    }
}

/// The runs of a section's cells in one metric.
struct Dots {
    metric: &'static str,
    ticks: Svg,
    rows: Vec<DotRow>,
}

struct DotRow {
    cell: Label,
    control: Option<String>,
    chart: Svg,
    mean: String,
    runs: String,
}

/// The metrics that a figure is compared in and those that none is, and what was left out.
fn dots(section: &Section) -> ([Vec<Dots>; 2], String) {
    let mut cells: IndexMap<&CellName, Vec<&Row>> = IndexMap::new();
    for row in &section.rows {
        cells.entry(&row.cell).or_default().push(row);
    }
    let compared: IndexSet<Metric> =
        section.comparisons.iter().filter_map(|one| one.metric.metric()).collect();
    let mut figures: HashMap<(&CellName, Metric), Vec<&Comparison>> = HashMap::new();
    for one in &section.comparisons {
        if let Some(metric) = one.metric.metric() {
            figures.entry((&one.cell, metric)).or_default().push(one);
        }
    }
    let mut panels = [Vec::new(), Vec::new()];
    for metric in Metric::ALL {
        let beside = |cell| figures.get(&(cell, metric)).map_or(&[][..], Vec::as_slice);
        let drawn = cells.iter().take(CELLS).map(|(cell, rows)| (*cell, &rows[..], beside(cell)));
        // without any figure to compare with, F1 and AUROC are what a reader looks for
        let first = match compared.is_empty() {
            true => matches!(metric, Metric::F1 | Metric::Auroc),
            false => compared.contains(&metric),
        };
        panels[usize::from(!first)].extend(panel(metric, &drawn.collect::<Vec<_>>()));
    }
    (panels, table::left_out(CELLS, cells.len(), "cells", "runs.csv"))
}

type CellRuns<'a> = (&'a CellName, &'a [&'a Row], &'a [&'a Comparison]);

/// None where no run has the metric.
fn panel(metric: Metric, cells: &[CellRuns]) -> Option<Dots> {
    let values: Vec<Vec<f64>> = cells
        .iter()
        .map(|(_, rows, _)| {
            let ok = rows.iter().filter(|row| row.state == State::Ok);
            ok.filter_map(|row| row.value(metric)).collect()
        })
        .collect();
    if values.iter().all(Vec::is_empty) {
        return None;
    }
    let published =
        cells.iter().flat_map(|(_, _, figures)| figures.iter().map(|one| one.published));
    let axis = chart::strip_axis(values.iter().flatten().copied().chain(published));
    let rows = cells.iter().zip(&values);
    Some(Dots {
        metric: table::metric(metric),
        ticks: chart::strip_ticks(&axis),
        rows: rows.map(|(cell, values)| dot_row(&axis, metric, cell, values)).collect(),
    })
}

fn dot_row(
    axis: &Axis,
    metric: Metric,
    (cell, rows, figures): &CellRuns,
    values: &[f64],
) -> DotRow {
    let mean = crate::stats::mean(values).map(table::number).unwrap_or_default();
    let runs = run_counts(rows, values.len());
    let mut words =
        format!("{} of {} runs of {cell}", table::metric(metric), table::count(rows.len()));
    if let (Some(low), Some(high)) = (crate::stats::min(values), crate::stats::max(values)) {
        let (low, high) = (table::number(low), table::number(high));
        words += &format!(": from {low} to {high}, mean {mean}");
    }
    // a control's dots lie beside the figure of its cell
    let figures = figures.iter().map(|one| (one.published, one.margin)).collect();
    let strip = Strip {
        words: words + ".",
        values,
        mean: crate::stats::mean(values),
        figures,
        control: cell.is_control(),
    };
    DotRow {
        cell: Label::of(cell.trained()),
        control: cell.control().map(Into::into),
        chart: chart::strip(axis, &strip),
        mean,
        runs,
    }
}

/// `20 runs`, and what became of those that are no dot.
fn run_counts(rows: &[&Row], drawn: usize) -> String {
    let mut states: IndexMap<&str, usize> = IndexMap::new();
    for row in rows.iter().filter(|row| row.state != State::Ok) {
        *states.entry(table::state(row.state)).or_default() += 1;
    }
    let failed: usize = states.values().sum();
    let mut said =
        vec![format!("{} {}", table::count(drawn), if drawn == 1 { "run" } else { "runs" })];
    said.extend(states.iter().map(|(state, number)| format!("{} {state}", table::count(*number))));
    let undefined = rows.len() - failed - drawn;
    if undefined > 0 {
        said.push(format!("{} without a value", table::count(undefined)));
    }
    if drawn > chart::DOTS {
        said.push(format!("the first {} drawn", chart::DOTS));
    }
    said.join(", ")
}

/// One term of the loss of one cell.
struct LossChart {
    cell: String,
    term: String,
    chart: Svg,
    words: String,
}

fn losses(section: &Section) -> (Vec<LossChart>, String) {
    let mut terms: IndexMap<(&str, &str), Vec<&Loss>> = IndexMap::new();
    for loss in &section.losses {
        terms.entry((&loss.cell, &loss.term)).or_default().push(loss);
    }
    let cells: IndexSet<&str> = terms.keys().map(|(cell, _)| *cell).collect();
    let drawn: IndexSet<&str> = cells.iter().take(CELLS).copied().collect();
    let charts = terms.iter().filter(|((cell, _), _)| drawn.contains(cell));
    let charts = charts.map(|((cell, term), losses)| {
        let words = loss_words(losses);
        LossChart {
            cell: (*cell).to_owned(),
            term: (*term).to_owned(),
            chart: chart::loss(losses, &format!("{term} of {cell}: {words}")),
            words,
        }
    });
    (charts.collect(), table::left_out(CELLS, cells.len(), "cells", "losses.csv"))
}

/// Where the medians begin and end.
fn loss_words(losses: &[&Loss]) -> String {
    let median = |loss: Option<&&Loss>| {
        loss.and_then(|loss| loss.median)
            .map_or_else(|| "not finite".to_owned(), crate::report::picture::axis::number)
    };
    let last = losses.last().map_or(0, |loss| loss.epoch);
    let runs = losses.iter().map(|loss| loss.n).max().unwrap_or(0);
    format!(
        "median {} after the first epoch, {} after epoch {last}; {runs} {}.",
        median(losses.first()),
        median(losses.last()),
        if runs == 1 { "run" } else { "runs" }
    )
}

/// The stored pictures of one run.
struct Album {
    cell: String,
    seed: u64,
    pictures: Vec<Shown>,
}

struct Shown {
    /// A `data:` address.
    address: String,
    alt: String,
    name: String,
}

fn albums(section: &Section) -> (Vec<Album>, String) {
    let mut albums: IndexMap<(&str, u64), Vec<Shown>> = IndexMap::new();
    let (mut bytes, mut left_out) = (0, 0);
    for picture in &section.pictures {
        let place = (picture.cell.as_str(), picture.seed);
        bytes += picture.bytes.len();
        let full = bytes > PICTURES || (albums.len() >= CELLS && !albums.contains_key(&place));
        match kind(picture).filter(|_| !full) {
            Some(kind) => albums.entry(place).or_default().push(shown(picture, kind)),
            None => left_out += 1,
        }
    }
    let albums = albums.into_iter();
    let albums = albums
        .map(|((cell, seed), pictures)| Album { cell: cell.into(), seed, pictures })
        .collect();
    let all = section.pictures.len();
    let missing = match left_out {
        0 => String::new(),
        some => {
            let shown = table::count(all - some);
            format!(
                "Shown are {shown} of {} pictures; all are in the folder pictures.",
                table::count(all)
            )
        }
    };
    (albums, missing)
}

/// None for a file that is no picture by its name.
fn kind(picture: &Picture) -> Option<&'static str> {
    match picture.name.rsplit_once('.')?.1 {
        "svg" => Some("image/svg+xml"),
        "png" => Some("image/png"),
        _ => None,
    }
}

fn shown(picture: &Picture, kind: &str) -> Shown {
    let name = picture_name(&picture.name);
    let described = description(&picture.bytes).unwrap_or_default();
    let alt = format!("{name} of {}, seed {}. {described}", picture.cell, picture.seed);
    let address = format!("data:{kind};base64,{}", STANDARD.encode(&picture.bytes));
    Shown { address, alt: alt.trim_end().to_owned(), name }
}

fn picture_name(file: &str) -> String {
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    match stem {
        "loss" => "Loss".into(),
        "scores" => "Scores".into(),
        "roc" => "ROC curve".into(),
        "latent" => "Latent space".into(),
        other => match other.strip_prefix("reconstructions-epoch-") {
            Some(epoch) => format!("Reconstructions after epoch {epoch}"),
            None => other.to_owned(),
        },
    }
}

/// The words that an SVG of ours holds for those who do not see it.
fn description(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (_, rest) = text.split_once("<desc>")?;
    let (words, _) = rest.split_once("</desc>")?;
    let entities = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")];
    Some(entities.iter().fold(words.to_owned(), |text, (entity, c)| text.replace(entity, c)))
}
