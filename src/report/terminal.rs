//! Tables for a terminal: estimates of each cell, and published figures beside them. Builds
//! strings and prints nothing; colour only where asked for, and no wider than asked for.

use std::borrow::Cow;

use crate::experiment::Scale;
use crate::metrics::Metric;
use crate::paper::Paper;
use crate::paper::fingerprint::Quantity;
use crate::report::columns::{self, Last};
use crate::summary::{Comparison, Pair, Power, Summary, Test, Verdict};

pub(super) const BOLD: &str = "1";
pub(super) const DIM: &str = "2";
pub(super) const RED: &str = "31";
pub(super) const GREEN: &str = "32";
pub(super) const YELLOW: &str = "33";

/// Text from a file as a terminal may show it: what would move its cursor, colour it, or turn the
/// direction of writing is written as an escape, such as `\u{1b}`.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::new();
    text.chars().for_each(|c| show(c, &mut shown));
    Cow::Owned(shown)
}

/// A text of lines, with whatever others wrote in it, as a terminal or a page may show it: as [`printable`],
/// but for the ends of lines and, with `colour`, the colours in it.
pub fn printable_lines(text: &str, colour: bool) -> Cow<'_, str> {
    let is_shown = |c: char| c == '\n' || !is_hidden(c);
    if text.chars().all(is_shown) {
        return Cow::Borrowed(text);
    }
    let (mut shown, mut rest) = (String::new(), text);
    while let Some(c) = rest.chars().next() {
        let length = match colour_length(rest).filter(|_| colour) {
            Some(length) => {
                shown += &rest[..length];
                length
            }
            None if is_shown(c) => {
                shown.push(c);
                c.len_utf8()
            }
            None => {
                show(c, &mut shown);
                c.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    Cow::Owned(shown)
}

/// The length of the colour, such as `ESC [1;31m`, that a text begins with.
fn colour_length(text: &str) -> Option<usize> {
    let codes = text.strip_prefix("\x1b[")?;
    let end = codes.find(|c: char| !c.is_ascii_digit() && c != ';')?;
    codes[end..].starts_with('m').then_some(2 + end + 1)
}

/// JSON as a terminal may show it, which stays the same JSON.
pub fn printable_json(text: &str) -> Cow<'_, str> {
    let is_shown = |c: char| c == '\n' || !is_hidden(c);
    if text.chars().all(is_shown) {
        return Cow::Borrowed(text);
    }
    // none of these is outside a string
    let shown =
        |c: char| if is_shown(c) { c.to_string() } else { format!("\\u{:04x}", u32::from(c)) };
    Cow::Owned(text.chars().map(shown).collect())
}

/// Whether a character does something else to a terminal than stand there.
fn is_hidden(c: char) -> bool {
    let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}');
    c.is_control() || turns || matches!(c, '\u{2028}' | '\u{2029}' | '\u{2066}'..='\u{2069}')
}

fn show(c: char, shown: &mut String) {
    match is_hidden(c) {
        true => shown.extend(c.escape_default()),
        false => shown.push(c),
    }
}

/// What tables are written on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sheet {
    pub colour: bool,
    /// Columns that there are; none where lines may be as wide as they like.
    pub width: Option<usize>,
}

impl Sheet {
    /// Writes a paragraph whose line ends are those of a wide sheet.
    fn prose(self, text: &str) -> String {
        match self.width {
            None => format!("{text}\n"),
            Some(width) => columns::wrapped(&text.replace('\n', " "), width, 0).join("\n") + "\n",
        }
    }
}

/// A column: its head, and its rank among those that a narrow sheet leaves out: the highest first, those
/// of 0 never.
type Head = (&'static str, u8);

/// Columns under one heading a cell; the last column's text is wrapped where it is too wide.
struct Table {
    header: Vec<Head>,
    /// Where what a narrow sheet leaves out can be read.
    all_in: &'static str,
    /// Cell, fields, colour of the last field.
    lines: Vec<(String, Vec<String>, &'static str)>,
    /// Below each line, as far as there are any; an empty one is not set.
    details: Vec<String>,
    /// Columns from the left that hold words; the others, but the last, hold numbers.
    words: usize,
}

impl Table {
    fn render(mut self, sheet: Sheet) -> String {
        let last = self.header.len() - 1;
        if self.lines.iter().all(|(_, fields, _)| fields[last].is_empty()) {
            self.header[last].0 = "";
        }
        let mut rows = vec![self.header.iter().map(|(name, _)| (*name).to_owned()).collect()];
        rows.extend(self.lines.iter_mut().map(|(_, fields, _)| std::mem::take(fields)));
        let ranks: Vec<u8> = self.header.iter().map(|(_, rank)| *rank).collect();
        let fit = columns::fit(&rows, &ranks, sheet.width.map(|width| width.saturating_sub(2)));
        let below = cut_last(&mut rows, &fit);
        let before = |end: usize| fit.kept.iter().filter(|&&at| at < end).count();
        let numbers = before(self.words)..before(last);
        let kept = |row: Vec<String>| {
            let fields = row.into_iter().enumerate().filter(|(at, _)| fit.kept.contains(at));
            fields.map(|(_, field)| field).collect()
        };
        let rows: Vec<Vec<String>> = rows.into_iter().map(kept).collect();
        let code = |row: usize, column: usize| match row {
            _ if !sheet.colour => "",
            0 => DIM,
            _ if fit.kept[column] == last => self.lines[row - 1].2,
            _ => "",
        };
        let laid_out = columns::lines(&rows, numbers, code);
        let text = self.under_cells(&laid_out, &below, sheet);
        let names =
            fit.left_out.iter().map(|&at| self.header[at].0).filter(|name| !name.is_empty());
        match names.collect::<Vec<_>>().join(", ") {
            none if none.is_empty() => text,
            names => {
                let said = format!("no room here for: {names} ({})", self.all_in);
                format!("{text}  {}\n", paint(&said, DIM, sheet.colour))
            }
        }
    }

    /// Writes lines below the heads of their cells: the first is the table's, and `below` each of the
    /// others goes on.
    fn under_cells(&self, laid_out: &[String], below: &[Vec<String>], sheet: Sheet) -> String {
        let mut laid_out = laid_out.iter();
        let mut text = laid_out.next().map_or(String::new(), |header| format!("  {header}\n"));
        let mut cell = "";
        for (index, (line, (this, _, code))) in laid_out.zip(&self.lines).enumerate() {
            if this != cell {
                text += &format!("{}\n", paint(this, BOLD, sheet.colour));
                cell = this;
            }
            text += &format!("  {line}\n");
            for more in below.get(index + 1).into_iter().flatten() {
                let at = more.len() - more.trim_start().len();
                let said = paint(more.trim_start(), code, sheet.colour);
                text += &format!("  {}{said}\n", " ".repeat(at));
            }
            if let Some(detail) = self.details.get(index).filter(|detail| !detail.is_empty()) {
                text += &format!("    {}\n", paint(detail, DIM, sheet.colour));
            }
        }
        text
    }
}

/// Cuts the last text of each row to its room; returns, by row, the lines that go on below it.
fn cut_last(rows: &mut [Vec<String>], fit: &columns::Fit) -> Vec<Vec<String>> {
    let (begin, room, is_below) = match fit.last {
        None => return Vec::new(),
        Some(Last::Beside { begin, room }) => (begin, room, false),
        Some(Last::Below { begin, room }) => (begin, room, true),
    };
    let cut = |(at, row): (usize, &mut Vec<String>)| {
        let Some(last) = row.last_mut() else { return Vec::new() };
        let lines = columns::wrapped(&printable(last), room, 0);
        // the head of a column that stands below says so where it is
        let kept = usize::from(!is_below || at == 0);
        *last = lines.iter().take(kept).cloned().collect();
        lines.iter().skip(kept).map(|line| " ".repeat(begin) + line).collect()
    };
    rows.iter_mut().enumerate().map(cut).collect()
}

/// Estimates of every cell. `from` says where the runs come from: a file or a folder. Metrics
/// that no run has are left out.
pub fn summary_table(summaries: &[Summary], from: &str, sheet: Sheet) -> String {
    let Some(first) = summaries.first() else {
        return format!("no runs in {}\n", printable(from));
    };
    let known = |metric: Metric| summaries.iter().any(|one| one.metric == metric && one.n > 0);
    let number = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:.4}"));
    let shown = summaries.iter().filter(|one| known(one.metric) || one.metric == Metric::F1);
    let lines = shown.map(|one| {
        let fields = vec![
            one.metric.as_str().into(),
            one.n.to_string(),
            one.n_failed.to_string(),
            number(one.mean),
            number(one.std),
            number(one.min),
            number(one.q1),
            number(one.median),
            number(one.q3),
            number(one.max),
            bracket(one.ci95_low, one.ci95_high, |value| format!("{value:.4}")),
            bracket(one.bca95_low, one.bca95_high, |value| format!("{value:.4}")),
            one.note.clone(),
        ];
        (place(&one.experiment, &first.experiment, &one.cell), fields, DIM)
    });
    let lines = lines.collect();
    let (header, all_in) = (SUMMARY_HEADER.into(), "summary.csv and --json have all");
    let table = Table { header, all_in, lines, details: Vec::new(), words: 1 };
    let codes = codes(summaries.iter().map(|one| (one.versions, one.code.as_str())));
    let title = title(&first.experiment, first.scale, from, sheet.colour);
    columns::reflowed(&format!("{title}{}{codes}", table.render(sheet)), sheet.width)
}

const SUMMARY_HEADER: [Head; 13] = [
    ("metric", 0),
    ("n", 2),
    ("failed", 3),
    ("mean", 0),
    ("std", 0),
    ("min", 6),
    ("q1", 8),
    ("median", 7),
    ("q3", 8),
    ("max", 6),
    ("95 % t interval", 4),
    ("95 % BCa interval", 9),
    ("note", 5),
];

/// Pairs that a terminal shows; of a large grid there are many times as many as cells.
const PAIRS: usize = 1000;

/// Cells of one experiment beside each other under the same seeds.
pub fn pairs_table(pairs: &[&Pair], from: &str, sheet: Sheet) -> String {
    let Some(first) = pairs.first() else {
        return String::new();
    };
    let p = |value: Option<f64>| match value {
        None => String::new(),
        Some(p) if p < 0.0001 => "<0.0001".into(),
        Some(p) => format!("{p:.4}"),
    };
    let effect = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:+.2}"));
    let lines = pairs.iter().take(PAIRS).map(|one| {
        let fields = vec![
            one.metric.as_str().into(),
            one.against.to_string(),
            one.n.to_string(),
            one.mean_difference.map_or(String::new(), signed),
            bracket(one.ci95_low, one.ci95_high, signed),
            p(one.p_wilcoxon),
            p(one.p_holm),
            effect(one.cohen_dz),
            effect(one.rank_biserial),
            one.note.clone(),
        ];
        (place(&one.experiment, &first.experiment, &one.cell), fields, DIM)
    });
    let lines = lines.collect();
    let (header, all_in) = (PAIRS_HEADER.into(), "pairs.csv and --json have all");
    let table = Table { header, all_in, lines, details: Vec::new(), words: 2 };
    let title = title(&first.experiment, first.scale, from, sheet.colour);
    let more = match pairs.len().saturating_sub(PAIRS) {
        0 => String::new(),
        more => format!("… and {more} more pairs: pairs.csv or --json has all\n"),
    };
    let text = format!(
        "{title}{}{more}paired by seed; d_z is the mean difference in standard deviations of the \
         differences, r the rank-biserial correlation\n",
        table.render(sheet)
    );
    columns::reflowed(&text, sheet.width)
}

const PAIRS_HEADER: [Head; 10] = [
    ("metric", 0),
    ("against", 0),
    ("n", 5),
    ("difference", 0),
    ("95 % t interval", 3),
    ("Wilcoxon p", 6),
    ("Holm p", 2),
    ("d_z", 7),
    ("r", 8),
    ("note", 4),
];

const POWER_HEADER: [Head; 14] = [
    ("metric", 0),
    ("margin", 0),
    ("source", 5),
    ("runs", 4),
    ("std", 3),
    ("of n", 9),
    ("d = 0", 0),
    ("d = m/2", 7),
    ("d = 2m", 6),
    ("m for 80 %", 8),
    ("std for 80 %", 8),
    ("runs for 80 %", 2),
    ("runs for 90 %", 7),
    ("at most", 1),
];

/// What as many runs as planned can show.
pub fn power_table(lines: &[Power], experiment: &str, from: &str, sheet: Sheet) -> String {
    if lines.is_empty() {
        return format!(
            "no verified figure with a margin is compared with {experiment}; try one with --margin\n"
        );
    }
    let number = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:.4}"));
    let share =
        |value: Option<f64>| value.map_or(String::new(), |value| format!("{:.1} %", 100.0 * value));
    let rows = lines.iter().map(|one| {
        // of a known std a missing number is none at all
        let count = |value: Option<usize>| match (value, one.std) {
            (Some(value), _) => value.to_string(),
            (None, Some(_)) => "none".into(),
            (None, None) => String::new(),
        };
        let fields = vec![
            one.metric.as_str().into(),
            format!("±{}", one.margin),
            one.published_runs.map_or("exact".into(), |runs| runs.to_string()),
            one.runs.to_string(),
            number(one.std),
            one.n.to_string(),
            share(one.power),
            share(one.power_half),
            share(one.power_twice),
            number(one.smallest_margin),
            number(one.largest_std),
            count(one.runs_for_80),
            count(one.runs_for_90),
            share(one.most_power),
        ];
        (one.cell.to_string(), fields, "")
    });
    let lines_of_table = rows.collect();
    let (header, all_in) = (POWER_HEADER.into(), "--json has all");
    let table = Table { header, all_in, lines: lines_of_table, details: Vec::new(), words: 1 };
    let text = format!(
        "{} · what as many runs can show · std of the runs in {}\n{}{}{}",
        paint(experiment, BOLD, sheet.colour),
        printable(from),
        table.render(sheet),
        sheet.prose(POWER_EXPLAINED),
        hopeless(lines),
    );
    columns::reflowed(&text, sheet.width)
}

const POWER_EXPLAINED: &str = "source: runs of the published mean (1 where it does not say), taken to spread as ours do. d = 0 \
    and d = m/2: chance of\n'reproduced' when the true difference is none or half the margin m; d = \
    2m: chance of 'not reproduced' when it is twice the\nmargin; then the smallest margin, the \
    largest std and the runs that give 'reproduced' a chance of 80 % (90 %) when the true\n\
    difference is none, and the chance that no number of runs exceeds";

/// Says of which lines no number of runs has a chance of 80 %.
fn hopeless(lines: &[Power]) -> String {
    let mut text = String::new();
    for one in lines.iter().filter(|one| one.std.is_some() && one.runs_for_80.is_none()) {
        let (cell, metric) = (printable(&one.cell), one.metric.as_str());
        let source = match one.published_runs {
            Some(1) => "a source of one run".to_owned(),
            Some(runs) => format!("a source of {runs} runs"),
            None => "an exact number".to_owned(),
        };
        text += &format!(
            "{cell}, {metric}: no number of runs has a chance of 80 % within ±{} of {source}\n",
            one.margin
        );
    }
    text
}

/// Said only where it matters: of more than one version.
fn codes<'a>(mut codes: impl Iterator<Item = (usize, &'a str)>) -> String {
    match codes.find(|(versions, _)| *versions > 1) {
        Some((_, names)) => {
            let names = printable(names);
            format!("runs of several versions of the code share a cell: {names}\n")
        }
        None => String::new(),
    }
}

fn signed(value: f64) -> String {
    format!("{value:+.4}")
}

/// The published figures of one experiment beside its cells, and what may be said about each.
/// `from` says where the runs come from: a file or a folder.
pub fn comparison_table(
    comparisons: &[&Comparison],
    paper: &Paper,
    from: &str,
    sheet: Sheet,
) -> String {
    let Some(first) = comparisons.first() else {
        let (name, from) = (printable(&paper.name), printable(from));
        return format!(
            "no figure of {name} is compared with runs in {from}; an experiment chooses its figures: \
             compare = {{ paper = \"{name}\", table = \"…\" }}; of one with [[readings]] seeds from 101 on alone \
             are compared (docs/readings.md)\n"
        );
    };
    let number = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:.4}"));
    let lines = comparisons.iter().map(|one| {
        let spread = one.published_std.map_or(String::new(), |std| format!(" ± {std:.4}"));
        let fields = vec![
            one.metric.to_string(),
            format!("{:.4}{spread}", one.published),
            format!("{}, {}", one.table, one.status.as_str()),
            one.n.to_string(),
            one.n_failed.to_string(),
            number(one.mean),
            number(one.std),
            one.difference.map_or(String::new(), signed),
            bracket(one.ci90_low, one.ci90_high, signed),
            number(one.margin),
            said(one),
        ];
        (place(&one.experiment, &first.experiment, &one.cell), fields, verdict_colour(one))
    });
    let (lines, details) = (lines.collect(), comparisons.iter().map(|one| details(one)).collect());
    let (header, all_in) = (COMPARISON_HEADER.into(), "comparison.csv and --json have all");
    let table = Table { header, all_in, lines, details, words: 3 };
    let title = title(&first.experiment, first.scale, from, sheet.colour);
    let text =
        format!("{title}{}{}{}", table.render(sheet), notes(comparisons, paper), sheet.prose(RULE));
    columns::reflowed(&text, sheet.width)
}

const COMPARISON_HEADER: [Head; 11] = [
    ("metric", 0),
    ("published", 0),
    ("source", 8),
    ("n", 5),
    ("failed", 7),
    ("mean", 0),
    ("std", 2),
    ("difference", 6),
    ("90 % t interval", 4),
    ("margin", 3),
    ("verdict", 0),
];

const RULE: &str = "a figure is reproduced when the 90 % t interval of (mean − published), with the sampling \
    error of both sides, lies inside its\nmargin, and compatible when as many runs of this protocol as \
    the source made could print it; failed runs are in no mean";

fn title(experiment: &str, scale: Scale, from: &str, colour: bool) -> String {
    let (scale, code) = match scale {
        Scale::Full => ("full protocol", BOLD),
        Scale::Quick => ("REDUCED RUN (--quick or --set), not the full protocol", YELLOW),
    };
    let (experiment, scale) = (paint(experiment, BOLD, colour), paint(scale, code, colour));
    format!("{experiment} · {scale} · {}\n", printable(from))
}

/// The cell, after its experiment where that is not the title's.
fn place(experiment: &str, title: &str, cell: &str) -> String {
    if experiment == title { cell.into() } else { format!("{experiment} · {cell}") }
}

fn bracket(low: Option<f64>, high: Option<f64>, number: impl Fn(f64) -> String) -> String {
    match (low, high) {
        (Some(low), Some(high)) => format!("[{}, {}]", number(low), number(high)),
        (Some(_), None) | (None, Some(_)) | (None, None) => String::new(),
    }
}

fn said(one: &Comparison) -> String {
    let mut text = one.verdict_text();
    text += match one.compatible {
        Some(true) => ", compatible",
        Some(false) => ", not compatible",
        None => "",
    };
    if let Some(runs) = one.runs_needed {
        text += &match one.verdict {
            Verdict::Undecidable => {
                format!("; about {runs} runs would show that it is not reproduced")
            }
            _ => format!("; about {runs} runs would decide"),
        };
    }
    if one.verdict_holm != one.verdict {
        text += &format!("; {} after Holm's correction for its table", one.verdict_holm.as_str());
    }
    if one.verdict_rounded != one.verdict {
        text += &format!("; {} given the figure's rounding", one.verdict_rounded.as_str());
    }
    if let (Some(share), Some(control)) = (one.reach(), one.cell.control()) {
        text += &format!("; {control} reaches {:.0} % of the figure", 100.0 * share);
    }
    if !one.note.is_empty() {
        text += &format!("; {}", one.note);
    }
    text
}

/// No colour praises a control: that an untrained network reproduces a figure is no success.
fn verdict_colour(one: &Comparison) -> &'static str {
    if one.null_model {
        return DIM;
    }
    match one.verdict {
        Verdict::Reproduced => GREEN,
        Verdict::NotReproduced => RED,
        Verdict::Inconclusive | Verdict::Undecidable | Verdict::TooFewRuns => YELLOW,
        Verdict::Unverified | Verdict::NoMargin | Verdict::ReducedRun => DIM,
    }
}

fn notes(comparisons: &[&Comparison], paper: &Paper) -> String {
    let said = [&paper.title, &paper.name, &paper.source].map(|text| printable(text));
    let mut text = format!("published: {} ({}), {}\n", said[0], said[1], said[2]);
    for (metric, margin) in &paper.margins {
        if comparisons.iter().any(|one| one.metric == *metric) {
            let reason = printable(&margin.reason);
            text += &format!("margin of {}: ±{} ({reason})\n", metric.as_str(), margin.value);
        }
    }
    for one in &paper.fingerprints {
        let of = Quantity::from(&one.of);
        let used = comparisons.iter().any(|compared| compared.metric == of);
        if let Some(margin) = one.margin.as_ref().filter(|_| used) {
            let (of, reason) = (of.to_string(), printable(&margin.reason));
            text += &format!("margin of {}: ±{} ({reason})\n", printable(&of), margin.value);
        }
    }
    if comparisons.iter().any(|one| one.test == Test::Welch) {
        text += "Welch's t interval where the paper prints a std and its number of runs\n";
    }
    text + &codes(comparisons.iter().map(|one| (one.versions, one.code.as_str())))
}

/// What stands behind a verdict, for the line below it; empty of a control beside a figure of the
/// trained model, and where nothing is judged.
fn details(one: &Comparison) -> String {
    let mut said = Vec::new();
    if let Some((low, high)) = one.share_low.zip(one.share_high) {
        return format!("exact 95 % interval of the share [{low:.4}, {high:.4}]");
    }
    if one.null_model || !one.verdict.is_of_an_interval() {
        return String::new();
    }
    if let Some((low, high)) = one.prediction_low.zip(one.prediction_high) {
        let runs = match one.published_runs {
            Some(runs) if runs > 1 => format!("{runs} such runs"),
            Some(_) | None => "one such run".into(),
        };
        said.push(format!("{runs} would print [{low:.4}, {high:.4}]"));
    }
    said.extend(
        one.decidable_margin
            .map(|margin| format!("no margin up to {margin:.4} was ever decidable")),
    );
    said.extend(one.flip_std.zip(one.flip_below).map(|(std, below)| {
        if below == one.verdict {
            format!("flips above a paper-std of {std:.4}")
        } else {
            format!("{} below a paper-std of {std:.4}", below.as_str())
        }
    }));
    said.join("; ")
}

/// A text from a file, in a colour.
pub(super) fn paint(text: &str, code: &str, colour: bool) -> String {
    let text = printable(text);
    if colour && !code.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paper::{Figure, Status};
    use crate::store::record::State;
    use crate::summary::tests::{figure, paper, rows};
    use crate::summary::{Evidence, Row, bootstrap, compare, summarise};

    const PLAIN: Sheet = Sheet { colour: false, width: None };

    fn runs() -> Vec<Row> {
        let mut runs = rows("base", &[0.9, 0.905, 0.895, 0.1]);
        runs[3].state = State::Diverged;
        runs.extend(rows("base,control=untrained", &[0.81, 0.81, 0.81]));
        runs
    }

    fn comparison(runs: &[Row], sheet: Sheet) -> String {
        let recalled = Figure {
            status: Status::Recalled,
            table: "Table 3".into(),
            std: Some(0.01),
            ..figure()
        };
        let paper = paper(vec![figure(), recalled]);
        let evidence: Vec<Evidence> = summarise(runs).unwrap().iter().map(Evidence::from).collect();
        let comparisons = compare(&evidence, &paper, "made-up", Some(5));
        let comparisons: Vec<&Comparison> = comparisons.iter().collect();
        comparison_table(&comparisons, &paper, "results/made-up/runs.csv", sheet)
    }

    #[test]
    fn a_comparison_says_where_everything_comes_from() {
        let expected = "\
made-up · full protocol · results/made-up/runs.csv
  metric  published        source             n  failed    mean     std  difference     90 % t interval  margin  verdict
base
  f1      0.9000           Table 2, verified  3       1  0.9000  0.0050     +0.0000  [-0.0090, +0.0090]  0.0200  reproduced (4 of 5 runs) (1 of 4 runs failed), compatible
    20 such runs would print [0.8867, 0.9133]; no margin up to 0.0033 was ever decidable; flips above a paper-std of 0.0503
  f1      0.9000 ± 0.0100  Table 3, recalled  3       1  0.9000  0.0050     +0.0000                      0.0200  unverified (4 of 5 runs) (1 of 4 runs failed); no power: the figure has a spread of its own
base,control=untrained
  f1      0.9000           Table 2, verified  3       0  0.8100  0.0000     -0.0900  [-0.0900, -0.0900]  0.0200  not reproduced (3 of 5 runs), not compatible; untrained reaches 90 % of the figure; all runs are equal
  f1      0.9000 ± 0.0100  Table 3, recalled  3       0  0.8100  0.0000     -0.0900                      0.0200  unverified (3 of 5 runs); untrained reaches 90 % of the figure; all runs are equal; no power: the figure has a spread of its own
published: A paper (paper), https://example.org
margin of f1: ±0.02 (two points)
Welch's t interval where the paper prints a std and its number of runs
a figure is reproduced when the 90 % t interval of (mean − published), with the sampling error of both sides, lies inside its
margin, and compatible when as many runs of this protocol as the source made could print it; failed runs are in no mean
";
        assert_eq!(comparison(&runs(), PLAIN), expected);
    }

    #[test]
    fn a_summary_leaves_out_metrics_that_no_run_has() {
        let expected = "\
made-up · full protocol · results/made-up
  metric  n  failed    mean     std     min      q1  median      q3     max  95 % t interval  95 % BCa interval  note
base
  f1      3       1  0.9000  0.0050  0.8950  0.8975  0.9000  0.9025  0.9050                                      no interval: fewer than 5 runs
base,control=untrained
  f1      3       0  0.8100  0.0000  0.8100  0.8100  0.8100  0.8100  0.8100                                      no interval: fewer than 5 runs
";
        let mut summaries = summarise(&runs()).unwrap();
        bootstrap(&mut summaries, &runs(), 1000);
        assert_eq!(summary_table(&summaries, "results/made-up", PLAIN), expected);
    }

    #[test]
    fn a_reduced_run_is_named_in_the_title_and_earns_no_verdict() {
        let mut quick = runs();
        quick.iter_mut().for_each(|row| row.scale = Scale::Quick);
        let text = comparison(&quick, PLAIN);
        assert!(text.lines().next().unwrap().contains("REDUCED RUN"), "{text}");
        assert!(!text.contains("  reproduced") && text.contains("  reduced run"), "{text}");
        let summary = summary_table(&summarise(&quick).unwrap(), "results/quick/made-up", PLAIN);
        assert!(summary.lines().next().unwrap().contains("REDUCED RUN"), "{summary}");
    }

    #[test]
    fn one_run_and_no_run_leave_blanks_and_never_nan() {
        let mut one = rows("base", &[0.9]);
        let text = comparison(&one, PLAIN);
        assert!(text.contains("too few runs") && !text.to_lowercase().contains("nan"), "{text}");
        one[0].state = State::Crashed;
        let text = comparison(&one, PLAIN);
        assert!(text.contains("(1 of 1 runs failed)") && !text.contains("NaN"), "{text}");
        assert!(
            summary_table(&summarise(&one).unwrap(), "here", PLAIN).contains("f1      0       1")
        );
        assert_eq!(summary_table(&[], "here", PLAIN), "no runs in here\n");
    }

    #[test]
    fn control_characters_of_a_file_do_not_reach_the_terminal() {
        let label = "a\x1b[2J\n\u{9b}31m\u{202e}b";
        let escaped = r"a\u{1b}[2J\n\u{9b}31m\u{202e}b";
        assert_eq!(printable(label), escaped);
        assert!(matches!(printable("± ö"), Cow::Borrowed("± ö")));
        let mut runs = rows(label, &[0.9, 0.8, 0.7]);
        runs.iter_mut().for_each(|row| row.experiment = label.into());
        let summaries = summarise(&runs).unwrap();
        let text = summary_table(&summaries, label, PLAIN);
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text}");
        assert_eq!(text.lines().count(), 4, "{text}");
        assert!(text.starts_with(escaped), "{text}");
    }

    #[test]
    fn colour_is_added_only_when_asked_for_and_changes_no_text() {
        let coloured = comparison(&runs(), Sheet { colour: true, ..PLAIN });
        assert!(
            coloured.contains(
                "\x1b[32mreproduced (4 of 5 runs) (1 of 4 runs failed), compatible\x1b[0m"
            )
        );
        let codes = ["1", "2", "31", "32", "33", "0"];
        let plain =
            codes.iter().fold(coloured, |text, code| text.replace(&format!("\x1b[{code}m"), ""));
        assert_eq!(plain, comparison(&runs(), PLAIN));
        assert!(!plain.contains('\x1b'));
    }
}
