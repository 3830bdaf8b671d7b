//! What `seedbed check-figures` prints for people: each line of a paper's tables with what may be said
//! about it. Builds a string and prints nothing; colour only where asked for.

use crate::metrics::Population;
use crate::paper::plausibility::granularity::Granularity;
use crate::paper::plausibility::{Check, Finding, Ground, Harmonic, Interval, Verdict};
use crate::paper::{Paper, SplitKind};
use crate::report::terminal::{BOLD, GREEN, RED, YELLOW, paint, printable};
use crate::report::{columns, digits};

/// The checks of one paper, and the words to read them by.
pub fn check_text(
    checks: &[Check],
    granularity: &Granularity,
    paper: &Paper,
    colour: bool,
) -> String {
    let title = paint(&format!("{} · {}", paper.name, paper.title), BOLD, colour);
    let digits = digits::granularity_text(granularity, colour);
    if checks.is_empty() {
        return format!("{title}\n  no line prints two of precision, recall and f1\n{digits}\n");
    }
    let mut text = format!("{title}\n");
    let mut place = String::new();
    for check in checks {
        let this = format!("{} · {} · {}", check.table, check.dataset, check.setting);
        if this != place {
            text += &format!("{}\n", paint(&place_text(&this, check, paper), BOLD, colour));
            place = this;
        }
        text += &line_text(check, colour);
    }
    text + &notes(checks) + &digits + "\n"
}

fn place_text(place: &str, check: &Check, paper: &Paper) -> String {
    match paper.counts.get(&check.dataset) {
        Some(counts) => {
            let share = 100.0 * f64::from(counts.positives) / f64::from(counts.rows);
            format!(
                "{place} ({} anomalies in {} rows, {share:.1} %)",
                counts.positives, counts.rows
            )
        }
        None => format!("{place} (no counts in the paper's file: protocols are not checked)"),
    }
}

fn line_text(check: &Check, colour: bool) -> String {
    let figures =
        check.figures.iter().map(|(metric, digits)| format!("{} {digits}", metric.as_str()));
    let figures: Vec<String> = figures.collect();
    let runs = match check.runs {
        Some(1) => "one run".to_owned(),
        Some(runs) => format!("mean of {runs} runs"),
        None => "number of runs not stated".to_owned(),
    };
    let method = printable(&check.method);
    let mut text =
        format!("  {method}: {} ({}, {runs})\n", figures.join(", "), check.status.as_str());
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut verdicts: Vec<Verdict> = Vec::new();
    let mut add = |what: String, verdict: Verdict, words: String| {
        rows.push(vec![what, verdict.as_str().to_owned(), words]);
        verdicts.push(verdict);
    };
    if let Some(harmonic) = check.harmonic {
        let words = harmonic_text(check, &harmonic);
        add("f1 of precision and recall".into(), harmonic.verdict, words);
    }
    for finding in check.protocols.iter().flatten() {
        add(protocol_text(finding), finding.verdict, finding_text(finding));
    }
    let lines = columns::lines(&rows, 0..0, |row, column| match column {
        1 if colour => code(verdicts[row]),
        _ => "",
    });
    text.extend(lines.iter().map(|line| format!("    {line}\n")));
    text
}

fn code(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Consistent => GREEN,
        Verdict::Implausible => YELLOW,
        Verdict::Impossible => RED,
    }
}

fn harmonic_text(check: &Check, harmonic: &Harmonic) -> String {
    let mean = interval(harmonic.of_one_run);
    let below = check.printed.f1.is_some_and(|f1| f1.high < harmonic.of_one_run.low);
    match (harmonic.verdict, below) {
        (Verdict::Impossible, _) => format!(
            "their harmonic mean is {mean}, and f1 must be {}; set aside below",
            interval(harmonic.required)
        ),
        (Verdict::Consistent | Verdict::Implausible, true) => format!(
            "below their harmonic mean, {mean}: only a mean over runs that differ in precision/recall"
        ),
        (Verdict::Consistent | Verdict::Implausible, false) => {
            format!("their harmonic mean is {mean}")
        }
    }
}

fn protocol_text(finding: &Finding) -> String {
    let split = match finding.protocol.split {
        SplitKind::HalfOfAll => "half of all rows",
        SplitKind::HalfOfNormals => "half of the normal rows",
        SplitKind::Official => "the source's test set",
    };
    let of = match finding.protocol.of {
        Population::Test => "test",
        Population::TrainAndTest => "train and test",
        Population::Train => "train",
    };
    let stated = if finding.stated { " (stated)" } else { "" };
    let top = 100.0 * finding.top;
    format!("{split}, top {top} % of {of}{stated}")
}

fn finding_text(finding: &Finding) -> String {
    let (required, printed) = (interval(finding.required), interval(finding.printed));
    match finding.ground {
        Ground::Counts => format!("precision/recall is {printed}, must be {required}"),
        Ground::F1 => format!("f1 is {printed}, must be {required}"),
        Ground::WholeNumbers => "no whole numbers of rows print these figures".to_owned(),
        Ground::EqualRates => {
            let text = format!("precision/recall is {printed}, would be {required}");
            finding.rates.map_or(text.clone(), |rates| {
                let (train, test) = (100.0 * rates.train, 100.0 * rates.test_normals);
                format!("{text}; {train:.2} % of train and {test:.2} % of normal test rows")
            })
        }
    }
}

fn interval(interval: Interval) -> String {
    let (low, high) = (format!("{:.4}", interval.low), format!("{:.4}", interval.high));
    if interval.high.is_infinite() {
        return format!("at least {low}");
    }
    if low == high { low } else { format!("{low} to {high}") }
}

fn named(check: &Check) -> String {
    format!("{} ({}, {})", check.method, check.table, check.dataset)
}

fn notes(checks: &[Check]) -> String {
    let findings = || checks.iter().flat_map(|check| check.protocols.iter().flatten());
    let mut text = String::new();
    let stated: Vec<_> =
        checks.iter().filter_map(|check| Some((check, check.stated()?.verdict))).collect();
    if !stated.is_empty() {
        let wrong = stated.iter().filter(|(_, verdict)| *verdict != Verdict::Consistent);
        let wrong: Vec<String> = wrong
            .map(|(check, verdict)| format!("{} {}", printable(&named(check)), verdict.as_str()))
            .collect();
        let consistent = stated.len() - wrong.len();
        text += &format!(
            "{consistent} of {} lines are consistent with the stated protocol{}{}\n",
            stated.len(),
            if wrong.is_empty() { "" } else { "; " },
            wrong.join(", ")
        );
    }
    let false_f1 =
        |check: &&Check| check.harmonic.is_some_and(|one| one.verdict != Verdict::Consistent);
    for check in checks.iter().filter(false_f1) {
        text += &format!(
            "the f1 of {} follows from no precision and recall that print so\n",
            printable(&named(check))
        );
    }
    if findings().any(|finding| finding.ground == Ground::EqualRates) {
        text += "where training rows place the threshold, precision/recall would be so if they were \
                 flagged as often as normal test rows; implausible: only if they are not, with \
                 about the two shares shown\n";
    }
    text
}
