//! One table as a paper prints it: means ± standard deviations of chosen metrics in rows and columns,
//! published figures beside them. It computes nothing: what stands in it are estimates and figures that
//! are there. A renderer for each format.

use askama::filters::{Escaper, Html};
use indexmap::{IndexMap, IndexSet};

use super::derive::Derived;
use super::latex::Latex;
use super::markdown::Markdown;
use super::table;
use crate::error::{Error, Result};
use crate::experiment::{CellName, Scale};
use crate::metrics::Metric;
use crate::store::record::State;
use crate::summary::{Summary, label_parts};
use crate::text::nearest;

/// What a table is to hold, and how.
#[derive(Debug, Clone)]
pub struct Layout {
    /// `cell`, `experiment`, `metric` or an axis.
    pub rows: String,
    pub columns: String,
    /// Those that are shown; empty for those that figures are of, else F1, AUPRC and AUROC.
    pub metrics: Vec<Metric>,
    pub decimals: usize,
    /// Whether the best mean of each column is marked.
    pub best: bool,
    /// Whether published figures stand beside.
    pub published: bool,
    /// Whether controls have rows too.
    pub controls: bool,
}

/// How a table is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A `tabular` with booktabs' rules, to be put into a paper.
    Latex,
    /// The same in a document that pdflatex sets as it is, with Type 1 fonts.
    LatexDocument,
    Markdown,
    /// Numbers alone, unrounded: mean, std and runs in columns of their own.
    Csv,
    Html,
}

/// A table before it is written.
#[derive(Debug, Clone, PartialEq)]
pub struct PaperTable {
    /// Over the row names.
    corner: String,
    columns: Vec<Head>,
    rows: Vec<(String, Vec<Option<Entry>>)>,
    /// Over how many runs, and what else a reader must know.
    pub caption: String,
}

/// A column of means, and whether published figures stand beside it.
#[derive(Debug, Clone, PartialEq)]
struct Head {
    name: String,
    published: bool,
}

/// A mean with its spread.
#[derive(Debug, Clone, PartialEq)]
struct Entry {
    mean: f64,
    std: Option<f64>,
    runs: usize,
    /// As they are printed; none where there is no figure.
    published: Vec<String>,
    best: bool,
}

/// Where an estimate stands in a table.
struct Place {
    row: String,
    column: String,
}

impl PaperTable {
    /// Lays estimates out.
    ///
    /// # Errors
    /// `Usage` for a dimension that there is not, for rows and columns of one, and where there is no run.
    pub fn new(all: &[Derived], layout: &Layout) -> Result<Self> {
        let metrics = metrics(all, layout);
        let estimates: Vec<(&Derived, &Summary)> = all
            .iter()
            .flat_map(|derived| in_order(derived).into_iter().map(move |one| (derived, one)))
            .filter(|(_, one)| metrics.contains(&one.metric))
            .filter(|(_, one)| layout.controls || !one.cell.is_control())
            .collect();
        check(&estimates, layout)?;
        let places = places(&estimates, layout);
        let mut columns: IndexMap<String, bool> = IndexMap::new();
        let mut rows: IndexMap<String, IndexMap<String, Entry>> = IndexMap::new();
        // metrics come in the order in which they were asked for
        let rank = |metric: &str| metrics.iter().position(|one| table::metric(*one) == metric);
        for ((derived, one), place) in estimates.iter().zip(places) {
            let entry = entry(derived, one, layout);
            let row = rows.entry(place.row).or_default();
            let known = columns.entry(place.column.clone()).or_default();
            *known |= entry.as_ref().is_some_and(|entry| !entry.published.is_empty());
            if let Some(entry) = entry {
                row.insert(place.column, entry);
            }
        }
        columns.sort_by(|a, _, b, _| rank(a).cmp(&rank(b)));
        let names: Vec<String> = columns.keys().cloned().collect();
        let cells = |mut row: IndexMap<String, Entry>| -> Vec<Option<Entry>> {
            names.iter().map(|name| row.shift_remove(name)).collect()
        };
        let rows = rows.into_iter().map(|(name, row)| (name, cells(row))).collect();
        let columns =
            columns.into_iter().map(|(name, published)| Head { name, published }).collect();
        let mut made =
            Self { corner: layout.rows.clone(), columns, rows, caption: caption(all, &estimates) };
        if layout.best {
            made.mark_best();
        }
        Ok(made)
    }

    /// Marks the highest mean of each column: every metric is better when it is higher.
    fn mark_best(&mut self) {
        for column in 0..self.columns.len() {
            let entries = || self.rows.iter().filter_map(|(_, row)| row[column].as_ref());
            let Some(best) = entries().map(|entry| entry.mean).reduce(f64::max) else { continue };
            for entry in self.rows.iter_mut().filter_map(|(_, row)| row[column].as_mut()) {
                entry.best = entry.mean == best;
            }
        }
    }

    /// Writes the table.
    ///
    /// # Errors
    /// `Failed` where a CSV line cannot be written.
    pub fn render(&self, format: Format, decimals: usize) -> Result<String> {
        Ok(match format {
            Format::Markdown => self.markdown(decimals),
            Format::Latex => self.latex(decimals),
            Format::LatexDocument => format!(
                "\\documentclass{{article}}\n{PREAMBLE}\\begin{{document}}\n\\begin{{table}}\n\\centering\n{}\
                 \\caption{{{}}}\n\\end{{table}}\n\\end{{document}}\n",
                self.latex(decimals),
                escaped(Latex, &self.caption),
            ),
            Format::Html => self.html(decimals),
            Format::Csv => self.csv()?,
        })
    }

    fn markdown(&self, decimals: usize) -> String {
        let line = |fields: Vec<String>| format!("| {} |\n", fields.join(" | "));
        let head = self.head().into_iter().map(|name| escaped(Markdown, &name));
        let mut text = line(head.collect());
        let rules = self.head().into_iter().enumerate();
        text +=
            &line(rules.map(|(at, _)| if at == 0 { "---" } else { "---:" }.to_owned()).collect());
        for row in self.fields(decimals, ["**", "**"], |text| escaped(Markdown, text)) {
            text += &line(row);
        }
        format!("{text}\n{}\n", escaped(Markdown, &self.caption))
    }

    fn latex(&self, decimals: usize) -> String {
        let head: Vec<String> = self.head().iter().map(|name| escaped(Latex, name)).collect();
        let columns = "r".repeat(head.len() - 1);
        let mut text = format!(
            "% {}\n% needs \\usepackage{{booktabs}}; Type 1 fonts: \\usepackage[T1]{{fontenc}} and \
             \\usepackage{{lmodern}}\n\\begin{{tabular}}{{l{columns}}}\n\\toprule\n{} \\\\\n\\midrule\n",
            self.caption,
            head.join(" & ")
        );
        for row in self.fields(decimals, ["\\textbf{", "}"], |text| escaped(Latex, text)) {
            text += &format!("{} \\\\\n", row.join(" & "));
        }
        text + "\\bottomrule\n\\end{tabular}\n"
    }

    fn html(&self, decimals: usize) -> String {
        let cell = |tag: &str, fields: Vec<String>| {
            let cells = fields.iter().enumerate().map(|(at, field)| match at {
                0 => format!("<th>{field}</th>"),
                _ => format!("<{tag}>{field}</{tag}>"),
            });
            format!("<tr>{}</tr>\n", cells.collect::<String>())
        };
        let head = self.head().iter().map(|name| escaped(Html, name)).collect();
        let rows = self.fields(decimals, ["<b>", "</b>"], |text| escaped(Html, text));
        let rows: String = rows.into_iter().map(|row| cell("td", row)).collect();
        format!(
            "<table>\n<caption>{}</caption>\n<thead>\n{}</thead>\n<tbody>\n{rows}</tbody>\n</table>\n",
            escaped(Html, &self.caption),
            cell("th", head)
        )
    }

    fn csv(&self) -> Result<String> {
        let wrong = |error: csv::Error| Error::Failed(format!("cannot write CSV: {error}"));
        let mut to = csv::Writer::from_writer(Vec::new());
        let mut head = vec![self.corner.clone()];
        for Head { name, published } in &self.columns {
            head.extend(["mean", "std", "runs"].map(|what| format!("{name} {what}")));
            head.extend(published.then(|| format!("{name} published")));
        }
        to.write_record(&head).map_err(wrong)?;
        for (name, row) in &self.rows {
            let mut fields = vec![name.clone()];
            for (entry, Head { published, .. }) in row.iter().zip(&self.columns) {
                let number = |value: Option<f64>| value.map_or(String::new(), |v| v.to_string());
                fields.push(number(entry.as_ref().map(|entry| entry.mean)));
                fields.push(number(entry.as_ref().and_then(|entry| entry.std)));
                fields.push(entry.as_ref().map_or(String::new(), |entry| entry.runs.to_string()));
                let figures =
                    || entry.as_ref().map_or(String::new(), |one| one.published.join(" / "));
                fields.extend(published.then(figures));
            }
            to.write_record(&fields).map_err(wrong)?;
        }
        let bytes =
            to.into_inner().map_err(|error| Error::Failed(format!("cannot write CSV: {error}")))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The names of all columns, the corner first.
    fn head(&self) -> Vec<String> {
        let mut head = vec![self.corner.clone()];
        for Head { name, published } in &self.columns {
            head.push(name.clone());
            head.extend(published.then(|| "published".to_owned()));
        }
        head
    }

    /// The fields of each row, escaped; the best between marks.
    fn fields(
        &self,
        decimals: usize,
        [before, after]: [&str; 2],
        escape: impl Fn(&str) -> String,
    ) -> Vec<Vec<String>> {
        let of_row = |(name, row): &(String, Vec<Option<Entry>>)| {
            let mut fields = vec![escape(name)];
            for (entry, Head { published, .. }) in row.iter().zip(&self.columns) {
                let said = entry.as_ref().map_or_else(|| "—".to_owned(), |one| one.said(decimals));
                fields.push(match entry {
                    Some(Entry { best: true, .. }) => format!("{before}{}{after}", escape(&said)),
                    Some(_) | None => escape(&said),
                });
                let figures =
                    || entry.as_ref().map_or(String::new(), |one| one.published.join(" / "));
                fields.extend(published.then(|| escape(&figures())));
            }
            fields
        };
        self.rows.iter().map(of_row).collect()
    }
}

/// What a document needs to have booktabs' rules, and fonts that are outlines and no bitmaps.
const PREAMBLE: &str = "\\usepackage[T1]{fontenc}\n\\usepackage{lmodern}\n\\usepackage{textcomp}\n\
    \\usepackage{booktabs}\n";

impl Entry {
    /// `0.875 ± 0.058`.
    fn said(&self, decimals: usize) -> String {
        let number = |value| table::decimals(value, decimals);
        match self.std {
            Some(std) => format!("{} ± {}", number(self.mean), number(std)),
            None => number(self.mean),
        }
    }
}

fn escaped(escaper: impl Escaper, text: &str) -> String {
    let mut to = String::new();
    // writing to a string does not fail
    let written = escaper.write_escaped_str(&mut to, text);
    debug_assert!(written.is_ok());
    to
}

/// Those that were asked for, else those that figures are of, else the usual.
fn metrics(all: &[Derived], layout: &Layout) -> Vec<Metric> {
    if !layout.metrics.is_empty() {
        return layout.metrics.clone();
    }
    let figures = all.iter().flat_map(|derived| &derived.comparisons);
    let compared: IndexSet<Metric> = figures.filter_map(|one| one.metric.metric()).collect();
    match compared.is_empty() {
        true => vec![Metric::F1, Metric::Auprc, Metric::Auroc],
        false => Metric::ALL.into_iter().filter(|metric| compared.contains(metric)).collect(),
    }
}

/// The estimates of an experiment, cells in the order of its file.
fn in_order(derived: &Derived) -> Vec<&Summary> {
    let place = |cell: &CellName| derived.cells().iter().position(|one| one.label == *cell);
    let mut all: Vec<&Summary> = derived.summaries.iter().collect();
    all.sort_by_key(|one| place(&one.cell).unwrap_or(usize::MAX));
    all
}

/// Refuses dimensions that there are not.
fn check(estimates: &[(&Derived, &Summary)], layout: &Layout) -> Result<()> {
    if estimates.is_empty() {
        return Err(Error::Usage(
            "no run has one of these metrics; --metric names others".to_owned(),
        ));
    }
    let cells: IndexSet<&CellName> = estimates.iter().map(|(_, one)| &one.cell).collect();
    let axes = cells.iter().flat_map(|cell| axes(cell)).map(|(axis, _)| axis);
    let axes: IndexSet<String> = axes.map(str::to_owned).collect();
    let known = ["cell", "experiment", "metric"].into_iter().chain(axes.iter().map(String::as_str));
    let known: Vec<&str> = known.collect();
    for (flag, asked) in [("--rows", &layout.rows), ("--columns", &layout.columns)] {
        if !known.contains(&asked.as_str()) {
            return Err(Error::Usage(format!(
                "{flag} {asked}: there is no such axis{}; there are: {}",
                nearest(asked, &known),
                known.join(", ")
            )));
        }
    }
    if layout.rows == layout.columns {
        let both = &layout.rows;
        return Err(Error::Usage(format!(
            "--rows and --columns are both {both}: choose another for one of them"
        )));
    }
    Ok(())
}

/// The axes of a cell with their values.
fn axes(cell: &CellName) -> Vec<(&str, &str)> {
    label_parts(cell.as_str()).into_iter().filter_map(|part| part.split_once('=')).collect()
}

/// Where each estimate stands. What neither rows nor columns tell apart stands in the row's name.
fn places(estimates: &[(&Derived, &Summary)], layout: &Layout) -> Vec<Place> {
    let asked = [layout.rows.as_str(), layout.columns.as_str()];
    // a cell without what rows and columns say of it
    let rest = |one: &Summary| -> String {
        let parts = label_parts(one.cell.as_str());
        let is_rest =
            |part: &&str| part.split_once('=').is_none_or(|(axis, _)| !asked.contains(&axis));
        if asked.contains(&"cell") {
            return String::new();
        }
        parts.into_iter().filter(is_rest).collect::<Vec<_>>().join(",")
    };
    let others = estimates.iter().map(|(derived, one)| {
        let of = |dimension: &str, value: String| {
            if asked.contains(&dimension) { String::new() } else { value }
        };
        let metric = of("metric", table::metric(one.metric).to_owned());
        [of("experiment", derived.name.clone()), rest(one), metric]
    });
    let others: Vec<[String; 3]> = others.collect();
    let varies = [0, 1, 2].map(|at| others.iter().any(|other| other[at] != others[0][at]));
    let place = |((derived, one), other): (&(&Derived, &Summary), &[String; 3])| {
        let row = value(derived, one, &layout.rows);
        let [experiment, cell, metric] =
            [0, 1, 2].map(|at| Some(&other[at]).filter(|_| varies[at]));
        let parts = [experiment, Some(&row), cell, metric].into_iter().flatten();
        let parts: Vec<&str> = parts.map(String::as_str).filter(|part| !part.is_empty()).collect();
        Place { row: parts.join(", "), column: value(derived, one, &layout.columns) }
    };
    estimates.iter().zip(&others).map(place).collect()
}

/// An estimate's value of a dimension.
fn value(derived: &Derived, one: &Summary, dimension: &str) -> String {
    match dimension {
        "cell" => one.cell.as_str().to_owned(),
        "experiment" => derived.name.clone(),
        "metric" => table::metric(one.metric).to_owned(),
        axis => {
            let found = axes(&one.cell).into_iter().find(|(name, _)| *name == axis);
            found.map_or_else(|| "—".to_owned(), |(_, value)| value.to_owned())
        }
    }
}

fn entry(derived: &Derived, one: &Summary, layout: &Layout) -> Option<Entry> {
    let figures = derived.comparisons.iter().filter(|figure| {
        layout.published
            && figure.cell == one.cell
            && figure.metric == one.metric
            && !figure.null_model
    });
    let figures: IndexSet<String> = figures
        .map(|figure| {
            // half a unit of the last printed digit
            let digits = (-(2.0 * figure.rounding).log10()).round().clamp(0.0, 17.0);
            table::decimals(figure.published, digits as usize)
        })
        .collect();
    let (std, runs, best) = (one.std, one.n, false);
    Some(Entry { mean: one.mean?, std, runs, published: figures.into_iter().collect(), best })
}

/// What the numbers are, over how many runs.
fn caption(all: &[Derived], estimates: &[(&Derived, &Summary)]) -> String {
    let runs = || estimates.iter().map(|(_, one)| one.n).filter(|&runs| runs > 0);
    let over = match (runs().min(), runs().max()) {
        (Some(1), Some(1)) => "of one run".to_owned(),
        (Some(least), Some(most)) if least == most => format!("over {most} runs"),
        (Some(least), Some(most)) => format!("over {least} to {most} runs"),
        _ => "of no run".to_owned(),
    };
    let mut said = vec![format!("Mean ± standard deviation {over}.")];
    if estimates.iter().any(|(_, one)| one.scale == Scale::Quick) {
        said.push("REDUCED RUNS, not the full protocol.".to_owned());
    }
    let failed = all.iter().filter(|one| one.rows.iter().any(|row| row.state != State::Ok));
    let failed: Vec<&str> = failed.map(|one| one.name.as_str()).collect();
    if !failed.is_empty() {
        said.push(format!("Failed runs of {} are in no mean.", failed.join(", ")));
    }
    said.join(" ")
}
