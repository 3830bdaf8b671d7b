//! What a run came to, in few lines: one a method of a paper's table with its verdict, failures, and where
//! the rest is. Builds strings and prints nothing; the tables have all the numbers.

use indexmap::IndexMap;

use super::derive::Derived;
use super::terminal::printable;
use super::{columns, table};
use crate::experiment::{CellName, Control, Scale};
use crate::metrics::Metric;
use crate::paper::fingerprint::Quantity;
use crate::store::record::State;
use crate::summary::{Comparison, Summary, Verdict};

/// Lines that an ending has at most, however many experiments there are.
pub const MOST_LINES: usize = 30;
/// Lines of those that failures may take.
const FAILURE_LINES: usize = 5;
/// Columns where the terminal's are not known.
const WIDTH: usize = 100;

/// By which metric a method is shown that has figures of several.
const FIRST: [Metric; 6] = [
    Metric::F1,
    Metric::Auroc,
    Metric::AurocOfFlags,
    Metric::Auprc,
    Metric::Precision,
    Metric::Recall,
];

/// What a run ends with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ending {
    /// One a method.
    pub methods: Vec<String>,
    /// Where all of them are, for those that find no room.
    pub all_in: String,
    /// One an experiment that has failed runs.
    pub failures: Vec<String>,
    /// Time, and where things are; always shown.
    pub last: Vec<String>,
}

impl Ending {
    /// Writes it in at most [`MOST_LINES`] lines of a width.
    pub fn text(&self, width: Option<usize>) -> String {
        let width = width.unwrap_or(WIDTH);
        let wrap = |line: &String| columns::wrapped(line, width, 2);
        let last: Vec<String> = self.last.iter().flat_map(wrap).collect();
        let failures = cut(
            self.failures.iter().map(wrap),
            FAILURE_LINES,
            |more| {
                format!("… and failed runs of {more} more experiments: runs.csv has their states")
            },
            width,
        );
        let room = MOST_LINES.saturating_sub(last.len() + failures.len());
        let more = |more| format!("… and {more} more figures: {}", self.all_in);
        let methods = cut(self.methods.iter().map(wrap), room, more, width);
        let lines = [methods, failures, last].concat();
        lines.iter().take(MOST_LINES).map(|line| format!("{line}\n")).collect()
    }
}

/// Keeps whole entries as far as there is room, and says how many are left out.
fn cut(
    entries: impl Iterator<Item = Vec<String>>,
    room: usize,
    more: impl Fn(usize) -> String,
    width: usize,
) -> Vec<String> {
    let entries: Vec<Vec<String>> = entries.collect();
    if entries.iter().map(Vec::len).sum::<usize>() <= room {
        return entries.concat();
    }
    let said = |left| columns::wrapped(&more(left), width, 2);
    let for_words = said(entries.len()).len();
    let mut lines: Vec<String> = Vec::new();
    let mut shown = 0;
    for entry in &entries {
        if lines.len() + entry.len() + for_words > room {
            break;
        }
        lines.extend(entry.iter().cloned());
        shown += 1;
    }
    lines.extend(said(entries.len() - shown));
    lines
}

/// Says of each experiment what its runs came to, a line a method of a paper's table.
pub fn methods(all: &[Derived]) -> Vec<String> {
    let lines: Vec<(String, String, String)> = all.iter().flat_map(lines_of).collect();
    let mut shared: IndexMap<&str, usize> = IndexMap::new();
    for (head, ..) in &lines {
        *shared.entry(head.as_str()).or_default() += 1;
    }
    // two data sets may be columns of one table
    let line = |(head, experiment, said): &(String, String, String)| match shared[head.as_str()] {
        1 => printable(&format!("{head}: {said}")).into_owned(),
        _ => printable(&format!("{head} ({experiment}): {said}")).into_owned(),
    };
    lines.iter().map(line).collect()
}

/// Says how many runs failed of an experiment, and how; none where none did.
pub fn failures(derived: &Derived) -> Option<String> {
    let mut states: IndexMap<State, usize> = IndexMap::new();
    for row in derived.rows.iter().filter(|row| row.state != State::Ok) {
        *states.entry(row.state).or_default() += 1;
    }
    let failed: usize = states.values().sum();
    let how = states.iter().map(|(state, count)| format!("{count} {}", state.as_str()));
    let how = how.collect::<Vec<_>>().join(", ");
    let (name, from, runs) = (&derived.name, derived.from(), derived.rows.len());
    let said = format!("failed: {name}: {failed} of {runs} runs ({how}); logs are in {from}/logs");
    (failed > 0).then(|| printable(&said).into_owned())
}

/// The lines of an experiment: what each begins with, the experiment's name, and the rest.
fn lines_of(derived: &Derived) -> Vec<(String, String, String)> {
    let mut groups: IndexMap<[&str; 3], Vec<&Comparison>> = IndexMap::new();
    for one in derived.comparisons.iter().filter(|one| !one.null_model) {
        groups.entry([&one.paper, &one.table, &one.method]).or_default().push(one);
    }
    let name = || derived.name.clone();
    if groups.is_empty() {
        return unjudged(derived).map(|said| (name(), name(), said)).into_iter().collect();
    }
    let mut lines = Vec::new();
    for ([paper, table, method], group) in groups {
        let head = format!("{}, {table}, {method}", short_name(paper));
        let figures = figures(derived, group);
        lines.extend(figures.into_iter().map(|figure| (head.clone(), name(), said(&figure))));
    }
    lines
}

/// A published number of a method, beside the first cell that it is compared with.
struct Figure<'a> {
    shown: &'a Comparison,
    /// The same number beside other cells, and other numbers of those cells.
    others: Vec<&'a Comparison>,
}

/// The numbers of a method that a line is written of: those of one metric.
fn figures<'a>(derived: &Derived, mut group: Vec<&'a Comparison>) -> Vec<Figure<'a>> {
    let place = |cell: &CellName| derived.cells().iter().position(|one| one.label == *cell);
    // the order of the experiment's file, not of the alphabet
    group.sort_by_key(|one| place(&one.cell).unwrap_or(usize::MAX));
    let rank = |one: &&&Comparison| {
        let metric = one.metric.metric();
        let place = FIRST.iter().position(|first| Some(*first) == metric);
        (!one.verdict.is_of_an_interval(), place.unwrap_or(FIRST.len()))
    };
    let Some(shown) = group.iter().min_by_key(rank).map(|one| &one.metric) else {
        return Vec::new();
    };
    let mut numbers: IndexMap<u64, Vec<&'a Comparison>> = IndexMap::new();
    for &one in group.iter().filter(|one| one.metric == *shown) {
        numbers.entry(one.published.to_bits()).or_default().push(one);
    }
    let of_number = |(number, beside): (&u64, &Vec<&'a Comparison>)| {
        let is_other = |one: &&Comparison| {
            let is_of_cells = beside.iter().any(|known| known.cell == one.cell);
            let is_of_number = one.metric != *shown || one.published.to_bits() == *number;
            is_of_cells && is_of_number && !std::ptr::eq(*one, beside[0])
        };
        Figure { shown: beside[0], others: group.iter().copied().filter(is_other).collect() }
    };
    numbers.iter().map(of_number).collect()
}

/// `not reproduced: F1 0.875 against 0.937 ± 0.02; untrained 0.865; 20 runs`.
fn said(figure: &Figure) -> String {
    let one = figure.shown;
    let digits = digits(one);
    let number = |value: f64| format!("{value:.digits$}");
    let quantity = match &one.metric {
        Quantity::Metric(metric) => table::metric(*metric).to_owned(),
        other => other.to_string(),
    };
    let cells = figure.others.iter().any(|other| other.cell != one.cell);
    let cell = if cells { format!(" ({})", one.cell) } else { String::new() };
    let published = match one.margin {
        Some(margin) => format!("{} ± {margin}", number(one.published)),
        None => number(one.published),
    };
    let ours = match one.mean {
        Some(mean) => format!("{quantity} {}{cell} against {published}", number(mean)),
        None => format!("no {quantity}{cell}, published is {published}"),
    };
    let mut parts = vec![format!("{}: {ours}", verdict(one))];
    parts.extend(one.control_mean.map(|mean| format!("{} {}", Control::Untrained, number(mean))));
    parts.push(runs(one));
    parts.extend(others(&figure.others));
    parts.join("; ")
}

/// The verdict; of what nobody judges that, and why.
fn verdict(one: &Comparison) -> String {
    match one.verdict {
        Verdict::Reproduced
        | Verdict::NotReproduced
        | Verdict::Inconclusive
        | Verdict::Undecidable
        | Verdict::TooFewRuns => one.verdict.as_str().to_owned(),
        Verdict::ReducedRun => "not judged (reduced run)".to_owned(),
        Verdict::Unverified => "not judged (figure not verified)".to_owned(),
        Verdict::NoMargin => "not judged (no margin)".to_owned(),
    }
}

fn runs(one: &Comparison) -> String {
    let runs = one.runs_of_declared().filter(|_| one.scale == Scale::Full);
    let noun = if one.runs == 1 { "run" } else { "runs" };
    let runs = runs.unwrap_or_else(|| format!("{} {noun}", one.runs));
    match one.n_failed {
        0 => runs,
        failed => format!("{runs}, {failed} failed"),
    }
}

/// `5 other figures: 4 not reproduced, 1 undecidable`.
fn others(others: &[&Comparison]) -> Option<String> {
    let mut verdicts: IndexMap<Verdict, usize> = IndexMap::new();
    for one in others {
        *verdicts.entry(one.verdict).or_default() += 1;
    }
    verdicts.sort_keys();
    let judged = verdicts.keys().any(|verdict| *verdict != Verdict::ReducedRun);
    let each = verdicts.iter().map(|(verdict, count)| format!("{count} {}", verdict.as_str()));
    let each = each.collect::<Vec<_>>().join(", ");
    match others.len() {
        0 => None,
        1 if judged => Some(format!("1 other figure: {}", others[0].verdict.as_str())),
        count if judged => Some(format!("{count} other figures: {each}")),
        1 => Some("1 other figure".to_owned()),
        count => Some(format!("{count} other figures")),
    }
}

/// Decimals in which a margin can be seen, at least three.
fn digits(one: &Comparison) -> usize {
    let of_margin = |margin: f64| (1.0 - margin.log10()).ceil();
    let digits = one.margin.filter(|&margin| margin > 0.0).map_or(3.0, of_margin);
    digits.clamp(3.0, 6.0) as usize
}

/// What an experiment's first cell reached that is compared with no figure; none without runs.
fn unjudged(derived: &Derived) -> Option<String> {
    let first = derived.cells().first().map(|cell| &cell.label);
    let first = first.or(derived.rows.first().map(|row| &row.cell))?;
    let of = |cell: &str, metric| {
        let mut all = derived.summaries.iter();
        all.find(move |one| one.cell.as_str() == cell && one.metric == metric)
    };
    let spread = |one: &Summary| one.std.map_or(String::new(), |std| format!(" ± {std:.3}"));
    let reached = [Metric::F1, Metric::Auroc].into_iter().filter_map(|metric| {
        let one = of(first, metric)?;
        Some(format!("{} {:.3}{}", table::metric(metric), one.mean?, spread(one)))
    });
    let reached = reached.collect::<Vec<_>>().join(", ");
    let count = derived.cells().iter().filter(|cell| cell.control.is_none()).count();
    let cell = if count > 1 { format!(" ({first}, one of {count} cells)") } else { String::new() };
    let control = first.with(Control::Untrained);
    let control = of(&control, Metric::F1).and_then(|one| one.mean);
    let runs = of(first, Metric::F1)?.runs;
    let reached = if reached.is_empty() { "no run has a value".to_owned() } else { reached };
    let mut parts = vec![format!("no published figure: {reached}{cell}")];
    parts.extend(control.map(|mean| format!("{} F1 {mean:.3}", Control::Untrained)));
    parts.push(format!("{runs} {}", if runs == 1 { "run" } else { "runs" }));
    Some(parts.join("; "))
}

/// `zong2018` as people say it: `Zong 2018`. Another name stays as it is.
fn short_name(paper: &str) -> String {
    let stem = paper.trim_end_matches(|digit: char| digit.is_ascii_digit());
    let year = &paper[stem.len()..];
    let stem = stem.trim_end_matches('-');
    if !(year.len() == 4 && ["19", "20"].iter().any(|century| year.starts_with(century)))
        || stem.is_empty()
    {
        return paper.to_owned();
    }
    let word = |word: &str| {
        let mut letters = word.chars();
        letters.next().map_or(String::new(), |first| {
            first.to_uppercase().collect::<String>() + letters.as_str()
        })
    };
    let words: Vec<String> = stem.split('-').map(word).collect();
    format!("{} {year}", words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ending_has_thirty_lines_however_much_there_is_to_say() {
        let many = |what: &str, count| (0..count).map(|at| format!("{what} {at}")).collect();
        let mut ending = Ending {
            methods: many("method", 200),
            all_in: "'seedbed compare'".to_owned(),
            failures: many("failed", 50),
            last: vec!["time: 3 min".to_owned(), "report: results/report.html".to_owned()],
        };
        let text = ending.text(Some(72));
        assert_eq!(text.lines().count(), MOST_LINES);
        assert!(text.contains("… and 178 more figures: 'seedbed compare'"), "{text}");
        assert!(text.contains("… and failed runs of 46 more experiments"), "{text}");
        assert!(text.ends_with("time: 3 min\nreport: results/report.html\n"), "{text}");
        // entries that are wrapped stay whole
        let long = "a line of words that a narrow terminal wraps ".repeat(3);
        ending.methods = vec![long; 40];
        let text = ending.text(Some(72));
        assert!(text.lines().count() <= MOST_LINES, "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 72), "{text}");
        ending.methods.truncate(2);
        ending.failures.clear();
        assert!(!ending.text(None).contains('…'));
    }

    #[test]
    fn a_paper_is_called_by_its_author_and_year_where_its_name_has_them() {
        for (name, said) in [
            ("zong2018", "Zong 2018"),
            ("an-cho-2015", "An Cho 2015"),
            ("danieltan07", "danieltan07"),
            ("csdn-vae-blog", "csdn-vae-blog"),
            ("2018", "2018"),
            ("réf2020", "Réf 2020"),
        ] {
            assert_eq!(short_name(name), said);
        }
    }
}
