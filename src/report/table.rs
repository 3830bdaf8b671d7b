//! What every format of a report says alike: its numbers, its sentences and its tables, as plain
//! text that a renderer escapes and sets. Computes nothing that the document does not hold.

use indexmap::{IndexMap, IndexSet};

use crate::experiment::Scale;
use crate::metrics::Metric;
use crate::paper::Paper;
use crate::paper::fingerprint::Quantity;
use crate::report::document::{Document, Section};
use crate::store::record::State;
use crate::summary::{Comparison, Pair, Row, Summary, Verdict};

/// A table shows this many rows; a sentence tells of the others.
pub const ROWS: usize = 400;
/// A list of distinct values (commits, data) shows this many.
const VALUES: usize = 8;

/// A table before it is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    pub caption: &'static str,
    pub columns: Vec<Column>,
    pub rows: Vec<Vec<String>>,
    /// That rows are missing here, and where they are; empty where none is.
    pub left_out: String,
}

/// The head of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    pub name: &'static str,
    /// Whether it holds numbers, which stand flush right.
    pub number: bool,
}

impl Table {
    /// `columns`: a name each, after `#` where numbers stand in it. Columns without any text are
    /// left away.
    fn new(
        caption: &'static str,
        columns: &[&'static str],
        rows: impl ExactSizeIterator<Item = Vec<String>>,
        file: &str,
    ) -> Self {
        let all = rows.len();
        let rows: Vec<Vec<String>> = rows.take(ROWS).collect();
        let used: Vec<usize> = (0..columns.len())
            .filter(|&at| at == 0 || rows.iter().any(|row| !row[at].is_empty()))
            .collect();
        let head = used.iter().map(|&at| {
            let number = columns[at].starts_with('#');
            Column { name: columns[at].trim_start_matches('#'), number }
        });
        Self {
            caption,
            columns: head.collect(),
            left_out: left_out(rows.len(), all, "rows", file),
            rows: rows
                .into_iter()
                .map(|row| used.iter().map(|&at| row[at].clone()).collect())
                .collect(),
        }
    }
}

/// A sentence on what is not shown, empty where everything is.
pub fn left_out(shown: usize, all: usize, what: &str, file: &str) -> String {
    if shown >= all {
        return String::new();
    }
    format!("Shown are the first {} of {} {what}; all are in {file}.", count(shown), count(all))
}

/// What the verdict rule is, for a reader who knows none of it.
pub const RULE: &str = "A figure is reproduced when the 90 % interval of (our mean − published \
    figure) lies inside its margin, not reproduced when it lies wholly outside, and inconclusive \
    otherwise, or undecidable where the source's own runs are too few for any number of ours to decide. \
    The interval holds the sampling error of both sides. A figure is compatible when as many runs of \
    this protocol as the source made could print it (95 % prediction interval). Margins were declared, with their reasons, in the papers' files. Runs that failed are \
    counted and are in no mean.";

/// What the intervals of the other tables are.
pub const INTERVALS: &str = "Intervals of a mean are 95 % t intervals over the runs; std divides by \
    n − 1; BCa is the bias-corrected accelerated bootstrap. There is none of \
    fewer than five runs, but for the one that a verdict rests on. A t interval that leaves [0, 1] has too \
    few runs for its kind. The interval beside a published figure is \
    the 90 % t interval of the difference, which is the one that two one-sided tests at 5 % ask for.";

/// The comparisons that count as rows of the overview: those of controls say how little a figure
/// proves, and stand beside their cell.
pub fn judged(document: &Document) -> impl Iterator<Item = &Comparison> {
    document.sections.iter().flat_map(|section| &section.comparisons).filter(|one| !one.null_model)
}

/// How the comparisons went: first the verdicts, then what has none.
pub fn lead(document: &Document) -> [String; 2] {
    let full: Vec<&Comparison> = judged(document).filter(|one| one.scale == Scale::Full).collect();
    let reduced: Vec<&Comparison> =
        judged(document).filter(|one| one.scale == Scale::Quick).collect();
    let with = |verdicts: &[(Verdict, &str)]| -> (Vec<&Comparison>, String) {
        let (mut rows, mut said) = (Vec::new(), Vec::new());
        for (verdict, words) in verdicts {
            let of_verdict = full.iter().filter(|one| one.verdict == *verdict);
            let of_verdict: Vec<&Comparison> = of_verdict.copied().collect();
            if of_verdict.is_empty() {
                continue;
            }
            let lost = of_verdict.iter().filter(|one| one.verdict_holm != one.verdict).count();
            let lost = match lost {
                0 => String::new(),
                lost => format!(" ({} of them open after Holm’s correction)", count(lost)),
            };
            said.push(format!("{} {words}{lost}", count(of_verdict.len())));
            rows.extend(of_verdict);
        }
        (rows, said.join(", "))
    };
    let (verdicts, said) = with(&[
        (Verdict::Reproduced, "reproduced"),
        (Verdict::NotReproduced, "not reproduced"),
        (Verdict::Inconclusive, "inconclusive"),
        (Verdict::Undecidable, "undecidable"),
        (Verdict::TooFewRuns, "with too few runs"),
    ]);
    let (shown, beside) = with(&[
        (Verdict::NoMargin, "without a declared margin"),
        (Verdict::Unverified, "not verified in their source"),
    ]);
    let first = match (verdicts.len(), shown.len() + reduced.len()) {
        (0, 0) => "No published figure is compared here.".to_owned(),
        (0, _) => "No published figure is judged here.".to_owned(),
        (_, _) => format!("{}: {said}.", figures(&verdicts)),
    };
    let mut others = Vec::new();
    if !shown.is_empty() {
        others.push(format!("{} shown without a verdict: {beside}.", figures(&shown)));
    }
    if !reduced.is_empty() {
        others.push(format!("{} beside reduced runs, which judge nothing.", figures(&reduced)));
    }
    [first, others.join(" ")]
}

/// A figure that names no cell is compared with every cell, so there can be more comparisons than
/// figures.
fn figures(comparisons: &[&Comparison]) -> String {
    let distinct: IndexSet<_> = comparisons
        .iter()
        .map(|one| {
            let place = (&one.experiment, &one.paper, &one.table, &one.method, &one.metric);
            (place, one.published.to_bits())
        })
        .collect();
    let figures = match distinct.len() {
        1 => "1 published figure".to_owned(),
        number => format!("{} published figures", count(number)),
    };
    match comparisons.len() {
        number if number == distinct.len() => figures,
        number => format!("{} comparisons with {figures}", count(number)),
    }
}

/// How many runs there are and how many failed.
pub fn runs(document: &Document) -> String {
    let rows = || document.sections.iter().flat_map(|section| &section.rows);
    let (all, experiments) = (rows().count(), document.sections.len());
    let of = if experiments == 1 {
        "one experiment".into()
    } else {
        format!("{experiments} experiments")
    };
    let failed = match rows().filter(|row| row.state != State::Ok).count() {
        0 => "none failed".to_owned(),
        some => format!("{} failed", count(some)),
    };
    format!("{} runs of {of}; {failed}.", count(all))
}

/// What stands beside a verdict: corrections that change it, and what it would take to change it.
pub fn asides(one: &Comparison) -> Vec<String> {
    let mut said: Vec<String> = one.runs_of_declared().into_iter().collect();
    said.extend(corrections(one));
    if let Some(runs) = one.runs_needed {
        said.push(match one.verdict {
            Verdict::Undecidable => {
                format!("about {} runs would show that it is not reproduced", count(runs))
            }
            _ => format!("about {} runs would decide", count(runs)),
        });
    }
    said.extend(one.compatible.map(|yes| compatible(yes).into()));
    if one.share_low.is_some() {
        let share = interval(one.share_low, one.share_high, number);
        said.push(format!("exact 95 % interval of the share {share}"));
    }
    if one.verdict.is_of_an_interval() {
        said.extend(one.smallest_margin.map(|m| format!("smallest margin {}", number(m))));
        said.extend(one.power.map(|power| format!("power {}", percent(power))));
    }
    if one.verdict == Verdict::Undecidable {
        let margin = one.decidable_margin.map(number).unwrap_or_default();
        said.push(format!("no margin up to {margin} was ever decidable"));
    }
    if one.versions > 1 {
        said.push(format!("{} versions of the code", one.versions));
    }
    if !one.note.is_empty() {
        said.push(one.note.clone());
    }
    said
}

/// Verdicts under a correction, where they differ from the raw one.
fn corrections(one: &Comparison) -> Vec<String> {
    let mut said = Vec::new();
    if one.verdict_holm != one.verdict {
        said.push(format!("{} after Holm's correction", one.verdict_holm.as_str()));
    }
    if one.verdict_rounded != one.verdict {
        said.push(format!("{} given the figure's rounding", one.verdict_rounded.as_str()));
    }
    said
}

/// The word for whether the source's number of runs of our protocol could print the figure.
fn compatible(yes: bool) -> &'static str {
    if yes { "compatible" } else { "not compatible" }
}

/// At which standard deviation of the source's runs another verdict would hold.
fn flip(one: &Comparison) -> String {
    match one.flip_std.zip(one.flip_below) {
        Some((std, below)) if below == one.verdict => format!("above {}", number(std)),
        Some((std, below)) => format!("{} below {}", below.as_str(), number(std)),
        None => String::new(),
    }
}

/// The tables of one experiment that have a row.
pub fn all(section: &Section) -> Vec<Table> {
    let tables = [comparisons(section), tests(section), summaries(section), pairs(section)];
    tables.into_iter().filter(|table| !table.rows.is_empty()).collect()
}

/// Published figures beside our means.
pub fn comparisons(section: &Section) -> Table {
    const COLUMNS: [&str; 12] = [
        "cell",
        "metric",
        "verdict",
        "source",
        "#published",
        "#n",
        "#failed",
        "#mean",
        "#std",
        "#difference",
        "#90 % interval",
        "#margin",
    ];
    let rows = section.comparisons.iter().map(|one| {
        let published = match (one.published_std, one.published_runs) {
            (Some(std), Some(runs)) => {
                format!("{} ± {} ({runs} runs)", number(one.published), number(std))
            }
            (Some(std), None) => format!("{} ± {}", number(one.published), number(std)),
            (None, _) => number(one.published),
        };
        vec![
            one.cell.to_string(),
            quantity(&one.metric),
            if one.null_model { format!("control: {}", reach(one)) } else { one.verdict_text() },
            format!("{}, {}, {}, {}", one.paper, one.table, one.method, one.status.as_str()),
            published,
            one.n.to_string(),
            one.n_failed.to_string(),
            blank(one.mean),
            blank(one.std),
            one.difference.map(signed).unwrap_or_default(),
            interval(one.ci90_low, one.ci90_high, signed),
            one.margin.map(|margin| format!("±{}", trimmed(margin))).unwrap_or_default(),
        ]
    });
    Table::new("Published figures beside our means", &COLUMNS, rows, "comparison.csv")
}

/// Of a control beside a figure that was published for the trained model.
fn reach(one: &Comparison) -> String {
    match (one.mean, one.reach()) {
        (_, Some(share)) => format!("reaches {} of the figure", percent(share)),
        (Some(mean), None) => format!("reaches {}", number(mean)),
        (None, None) => "no value".into(),
    }
}

/// The statistics behind the verdicts.
pub fn tests(section: &Section) -> Table {
    const COLUMNS: [&str; 16] = [
        "cell",
        "metric",
        "source",
        "test",
        "#p equivalent",
        "#p different",
        "corrected",
        "#95 % prediction",
        "compatible",
        "#smallest margin",
        "#decidable above",
        "flips at a paper-std",
        "#runs to decide",
        "#power",
        "#untrained",
        "note",
    ];
    let trained: Vec<&Comparison> =
        section.comparisons.iter().filter(|one| !one.null_model).collect();
    let rows = trained.into_iter().map(|one| {
        vec![
            one.cell.to_string(),
            quantity(&one.metric),
            format!("{}, {}, {}", one.paper, one.table, one.method),
            one.test.as_str().into(),
            one.p_equivalent.map(p).unwrap_or_default(),
            one.p_different.map(p).unwrap_or_default(),
            corrections(one).join("; "),
            interval(one.prediction_low, one.prediction_high, number),
            one.compatible.map_or("", |yes| if yes { "yes" } else { "no" }).into(),
            blank(one.smallest_margin),
            blank(one.decidable_margin),
            flip(one),
            one.runs_needed.map(count).unwrap_or_default(),
            one.power.map(percent).unwrap_or_default(),
            one.control_mean.map_or_else(String::new, |mean| match one.control_share {
                Some(share) => format!("{} ({})", number(mean), percent(share)),
                None => number(mean),
            }),
            one.note.clone(),
        ]
    });
    Table::new("What stands behind the verdicts", &COLUMNS, rows, "comparison.csv")
}

/// Estimates of each metric in each cell; metrics that no run has are left away.
pub fn summaries(section: &Section) -> Table {
    const COLUMNS: [&str; 14] = [
        "cell",
        "metric",
        "#n",
        "#failed",
        "#mean",
        "#95 % interval",
        "#BCa interval",
        "#std",
        "#min",
        "#lower quartile",
        "#median",
        "#upper quartile",
        "#max",
        "note",
    ];
    let known: Vec<&Summary> = section
        .summaries
        .iter()
        .filter(|one| one.n > 0 || (one.n_failed == one.runs && one.metric == Metric::F1))
        .collect();
    let rows = known.into_iter().map(|one| {
        vec![
            one.cell.to_string(),
            metric(one.metric).into(),
            one.n.to_string(),
            one.n_failed.to_string(),
            blank(one.mean),
            interval(one.ci95_low, one.ci95_high, number),
            interval(one.bca95_low, one.bca95_high, number),
            blank(one.std),
            blank(one.min),
            blank(one.q1),
            blank(one.median),
            blank(one.q3),
            blank(one.max),
            one.note.clone(),
        ]
    });
    Table::new("Estimates over the runs", &COLUMNS, rows, "summary.csv")
}

/// Cells against each other, seed by seed.
pub fn pairs(section: &Section) -> Table {
    const COLUMNS: [&str; 12] = [
        "cell",
        "against",
        "axis",
        "metric",
        "#seeds",
        "#mean difference",
        "#95 % interval",
        "#p (Wilcoxon)",
        "#p after Holm",
        "#Cohen's dz",
        "#rank-biserial",
        "note",
    ];
    let rows = section.pairs.iter().map(|one: &Pair| {
        vec![
            one.cell.to_string(),
            one.against.to_string(),
            one.axis.to_string(),
            metric(one.metric).into(),
            one.n.to_string(),
            one.mean_difference.map(signed).unwrap_or_default(),
            interval(one.ci95_low, one.ci95_high, signed),
            one.p_wilcoxon.map(p).unwrap_or_default(),
            one.p_holm.map(p).unwrap_or_default(),
            one.cohen_dz.map(|value| decimals(value, 2)).unwrap_or_default(),
            one.rank_biserial.map(|value| decimals(value, 2)).unwrap_or_default(),
            one.note.clone(),
        ]
    });
    Table::new("Cells against each other under the same seeds", &COLUMNS, rows, "pairs.csv")
}

/// Title, address and margins of a paper, as sentences.
pub fn margins(section: &Section, paper: &Paper) -> Vec<String> {
    let used = |wanted: Metric| section.comparisons.iter().any(|one| one.metric == wanted);
    let stated = paper.margins.iter().filter(|(metric, _)| used(**metric));
    let own = paper.fingerprints.iter().filter_map(|one| {
        let of = Quantity::from(&one.of);
        let margin = one.margin.as_ref()?;
        let used = section.comparisons.iter().any(|compared| compared.metric == of);
        let said = || format!("Margin of {of}: ±{} ({})", trimmed(margin.value), margin.reason);
        used.then(said)
    });
    let said: Vec<String> = stated
        .map(|(of, margin)| {
            format!("Margin of {}: ±{} ({})", metric(*of), trimmed(margin.value), margin.reason)
        })
        .chain(own)
        .collect();
    if said.is_empty() {
        return vec!["No margin is declared, so none of its figures is judged.".into()];
    }
    said
}

/// What made the runs: topics, each with its distinct values and the number of runs of each.
pub fn provenance(section: &Section) -> Vec<(&'static str, Vec<String>)> {
    type Value = fn(&Row) -> String;
    let topics: [(&'static str, Value); 7] = [
        ("commit", |row| match row.is_elsewhere() {
            true => format!("judged by {}", row.commit),
            false => row.commit.clone(),
        }),
        ("libtorch", |row| row.libtorch.clone()),
        ("protocol version", |row| {
            row.protocol_version.map(|version| version.to_string()).unwrap_or_default()
        }),
        ("device", |row| row.device.clone()),
        ("data (SHA-256)", |row| row.data_sha256.clone()),
        ("epochs", |row| row.epochs.map(|epochs| epochs.to_string()).unwrap_or_default()),
        ("seeds trained together", |row| {
            row.batch_width.map(|width| width.to_string()).unwrap_or_default()
        }),
    ];
    let said = |value: Value| {
        let mut values: IndexMap<String, usize> = IndexMap::new();
        for row in &section.rows {
            *values.entry(value(row)).or_default() += 1;
        }
        let all = values.len();
        let shown = values.into_iter().take(VALUES).map(|(value, runs)| {
            let value = if value.is_empty() { "not recorded" } else { &value };
            format!("{value} ({} {})", count(runs), if runs == 1 { "run" } else { "runs" })
        });
        let mut shown: Vec<String> = shown.collect();
        if all > VALUES {
            shown.push(format!("and {} more, see runs.csv", count(all - VALUES)));
        }
        shown
    };
    topics.map(|(topic, value)| (topic, said(value))).into()
}

/// The word for a way to end, after a number of runs.
pub fn state(state: State) -> &'static str {
    match state {
        State::Ok => "ok",
        State::Diverged => "diverged",
        State::OutOfMemory => "out of memory",
        State::Crashed => "crashed",
        State::TimedOut => "timed out",
        State::InvalidData => "invalid data",
    }
}

/// How a reduced section is marked; none for the full protocol.
pub fn reduced(section: &Section) -> Option<&'static str> {
    match section.scale {
        Scale::Full => None,
        Scale::Quick => Some(
            "Reduced run (--quick or --set), not the full protocol: whatever these runs reach, it \
             is no answer to the published figures.",
        ),
    }
}

/// What a figure is of, in running text.
pub fn quantity(of: &Quantity) -> String {
    match of {
        Quantity::Metric(of) => metric(*of).into(),
        Quantity::Diagnostic(name) => name.clone(),
        Quantity::Outcome(ended) => format!("runs that ended {}", state(*ended)),
    }
}

/// A metric's name in running text.
pub fn metric(metric: Metric) -> &'static str {
    match metric {
        Metric::Precision => "precision",
        Metric::Recall => "recall",
        Metric::F1 => "F1",
        Metric::Auroc => "AUROC",
        Metric::Auprc => "AUPRC",
        Metric::AurocOfFlags => "AUROC of the flags",
    }
}

/// Four decimals, as the tables of papers have them.
pub fn number(value: f64) -> String {
    decimals(value, 4)
}

/// Four decimals and a sign.
pub fn signed(value: f64) -> String {
    let text = number(value);
    if text.starts_with('−') { text } else { format!("+{text}") }
}

/// With a true minus sign, and none before a zero.
pub fn decimals(value: f64, digits: usize) -> String {
    if !value.is_finite() {
        return String::new();
    }
    let text = format!("{:.digits$}", value.abs());
    let zero = text.chars().all(|c| c == '0' || c == '.');
    if value < 0.0 && !zero { format!("−{text}") } else { text }
}

/// A margin as it was declared.
pub fn trimmed(value: f64) -> String {
    value.to_string().replace('-', "−")
}

/// A share in whole percent; one that is nearly all is not called all.
pub fn percent(share: f64) -> String {
    let percent = 100.0 * share;
    if percent >= 1000.0 {
        return ">\u{a0}999\u{a0}%".into();
    }
    let text = if (99.5..100.0).contains(&percent) {
        decimals((10.0 * percent).floor() / 10.0, 1)
    } else {
        decimals(percent, 0)
    };
    format!("{text}\u{a0}%")
}

/// A count with a comma before each three digits.
pub fn count(number: usize) -> String {
    crate::report::picture::axis::count(number)
}

fn p(value: f64) -> String {
    if value < 0.0001 { "< 0.0001".into() } else { number(value) }
}

fn blank(value: Option<f64>) -> String {
    value.map(number).unwrap_or_default()
}

/// `[low, high]`; empty where there is none.
pub fn interval(low: Option<f64>, high: Option<f64>, number: impl Fn(f64) -> String) -> String {
    match low.zip(high) {
        Some((low, high)) => format!("[{}, {}]", number(low), number(high)),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_four_decimals_a_true_minus_and_no_negative_zero() {
        assert_eq!([number(0.93694), number(-0.05446)], ["0.9369", "−0.0545"]);
        assert_eq!(
            [signed(0.00004), signed(-0.00004), signed(-0.1)],
            ["+0.0000", "+0.0000", "−0.1000"]
        );
        assert_eq!([number(f64::NAN), number(f64::INFINITY)], ["", ""]);
        assert_eq!(interval(Some(-0.1), Some(0.2), signed), "[−0.1000, +0.2000]");
        assert_eq!(interval(Some(-0.1), None, signed), "");
        assert_eq!([p(0.00009), p(0.5)], ["< 0.0001", "0.5000"]);
    }

    #[test]
    fn a_share_near_all_is_not_called_all() {
        let shares = [0.923, 0.9961, 0.99999, 1.0, 2.16, 60.0].map(percent);
        let expected = ["92 %", "99.6 %", "99.9 %", "100 %", "216 %", "> 999 %"];
        assert_eq!(shares.map(|share| share.replace('\u{a0}', " ")), expected);
    }

    #[test]
    fn a_column_without_text_is_left_away_and_missing_rows_are_told() {
        let rows: Vec<Vec<String>> =
            (0..1000).map(|row| vec![row.to_string(), String::new(), "x".into()]).collect();
        let table = Table::new("c", &["#a", "note", "b"], rows.into_iter(), "f.csv");
        let names: Vec<(&str, bool)> = table.columns.iter().map(|c| (c.name, c.number)).collect();
        assert_eq!(names, [("a", true), ("b", false)]);
        assert_eq!((table.rows.len(), &table.rows[7]), (ROWS, &vec!["7".to_owned(), "x".into()]));
        assert_eq!(table.left_out, "Shown are the first 400 of 1,000 rows; all are in f.csv.");
    }
}
