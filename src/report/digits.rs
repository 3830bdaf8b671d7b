//! What `seedbed check-figures` prints for people about the digits of figures: which test sets can have
//! printed them. Builds a string and prints nothing; colour only where asked for.

use crate::metrics::Metric;
use crate::paper::plausibility::granularity::{
    Batches, Digits, Fit, Fitting, Granularity, Joint, Search, Whole,
};
use crate::report::columns;
use crate::report::terminal::{BOLD, GREEN, RED, YELLOW, paint, printable};

/// Batch sizes that one line names; more are counted.
const NAMED: usize = 16;

/// The figures beside the test sets of the paper's file; empty where it names none.
pub fn granularity_text(granularity: &Granularity, colour: bool) -> String {
    if granularity.figures.is_empty() {
        return String::new();
    }
    let mut text = paint("which test sets can have printed these digits?", BOLD, colour) + "\n";
    let mut place = String::new();
    for digits in &granularity.figures {
        let this = printable(&format!(
            "{} · {} · {} · {}",
            digits.table, digits.dataset, digits.setting, digits.method
        ))
        .to_string();
        if this != place {
            text += &format!("  {this}\n");
            place = this;
        }
        text += &digits_text(digits, colour);
    }
    let rows: Vec<Vec<String>> = granularity.test_sets.iter().map(joint_fields).collect();
    let lines = columns::lines(&rows, 0..0, |row, column| match column {
        1 if colour => code(granularity.test_sets[row].verdict),
        _ => "",
    });
    text.extend(lines.iter().map(|line| format!("  {line}\n")));
    text
}

fn digits_text(digits: &Digits, colour: bool) -> String {
    let runs = match digits.runs {
        Some(1) => "one run".to_owned(),
        Some(runs) => format!("mean of {runs} runs"),
        None => "number of runs not stated".to_owned(),
    };
    let metric = digits.metric.as_str();
    let mut text =
        format!("    {metric} {} ({}, {runs})\n", digits.printed, digits.status.as_str());
    let row = |fitting: &Fitting| {
        vec![set_text(fitting), fitting.verdict.as_str().to_owned(), reason(digits, fitting)]
    };
    let rows: Vec<Vec<String>> = digits.test_sets.iter().map(row).collect();
    let lines = columns::lines(&rows, 0..0, |row, column| match column {
        1 if colour => code(digits.test_sets[row].verdict),
        _ => "",
    });
    text.extend(lines.iter().map(|line| format!("      {line}\n")));
    for search in &digits.searches {
        text += &search_text(search);
    }
    text
}

fn set_text(fitting: &Fitting) -> String {
    format!("{}, {} anomalies + {} normal", fitting.test_set, fitting.positives, fitting.negatives)
}

fn code(fit: Fit) -> &'static str {
    match fit {
        Fit::Fits => GREEN,
        Fit::CannotTell => YELLOW,
        Fit::Excluded => RED,
    }
}

fn reason(digits: &Digits, fitting: &Fitting) -> String {
    let chance = match fitting.expected {
        // of precision and F1 they are not counted further
        Some(expected) if fitting.whole.is_none() && expected > 1.0 => {
            "more than 1 by chance".to_owned()
        }
        Some(expected) => format!("{} by chance", amount(expected)),
        None if digits.runs.is_none() => return "the number of runs is not stated".to_owned(),
        None => return "a mean of fractions with other denominators".to_owned(),
    };
    match (&fitting.whole, fitting.verdict) {
        (Some(whole), Fit::Excluded) => {
            format!("{}: no whole number", whole_text(digits.metric, whole))
        }
        (Some(whole), Fit::Fits | Fit::CannotTell) => {
            format!("{}; whole numbers expected there: {chance}", whole_text(digits.metric, whole))
        }
        (None, Fit::Excluded) => "no whole numbers of flagged rows and hits print so".to_owned(),
        (None, Fit::Fits | Fit::CannotTell) => {
            format!("numbers of flagged rows and hits that print so: {chance}")
        }
    }
}

fn whole_text(metric: Metric, whole: &Whole) -> String {
    let name = metric.as_str();
    let figure = match metric {
        Metric::AurocOfFlags => format!("(2·{name} − 1)"),
        _ => name.to_owned(),
    };
    let Whole { multiple, value, within } = whole;
    let within = if *within < 0.0005 { String::new() } else { format!(" ± {}", amount(*within)) };
    format!("{figure}·{multiple} is {value:.3}{within}")
}

/// A count that may be tiny, with two significant digits.
fn amount(value: f64) -> String {
    match value {
        value if value >= 10.0 => format!("{value:.0}"),
        value if value >= 0.995 => format!("{value:.1}"),
        value if value < 0.0001 => "less than 0.0001".to_owned(),
        value => {
            let digits = (1.0 - value.log10().floor()) as usize;
            format!("{value:.digits$}")
        }
    }
}

fn search_text(search: &Search) -> String {
    let sizes = |fit: Fit| -> Vec<&Batches> {
        search.left.iter().filter(|batches| batches.fitting.verdict == fit).collect()
    };
    let (fit, unknown) = (sizes(Fit::Fits), sizes(Fit::CannotTell));
    let all = search.up_to - 1;
    format!(
        "      {}, in whole batches of 2 to {} rows: {} of {all} sizes fit{} ({} expected by chance), {} \
         cannot be told, {} excluded\n",
        printable(&search.test_set),
        search.up_to,
        fit.len(),
        named(&fit),
        amount(search.expected),
        unknown.len(),
        search.excluded
    )
}

fn named(sizes: &[&Batches]) -> String {
    if sizes.is_empty() {
        return String::new();
    }
    let sizes_text: Vec<String> =
        sizes.iter().take(NAMED).map(|batches| batches.size.to_string()).collect();
    let more = if sizes.len() > NAMED { ", …" } else { "" };
    format!(", {}{more}", sizes_text.join(", "))
}

fn joint_fields(joint: &Joint) -> Vec<String> {
    let batches =
        joint.batches.map_or(String::new(), |size| format!(", in whole batches of {size}"));
    let figures = match joint.figures {
        1 => "1 figure:".to_owned(),
        figures => format!("{figures} figures together:"),
    };
    let words = match joint.verdict {
        Fit::Excluded => format!("by {}", joint.excluded_by.join("; ")),
        Fit::Fits => format!("{} would by chance", amount(joint.expected)),
        Fit::CannotTell => "too few digits".to_owned(),
    };
    let verdict = joint.verdict.as_str().to_owned();
    vec![figures, verdict, format!("{}{batches} ({words})", joint.test_set)]
}
