//! `seedbed compare`: each mean beside the published figure.
use serde_json::json;

use seedbed::error::Result;
use seedbed::metrics::Metric;
use seedbed::paper::Paper;
use seedbed::report::derive::{Derived, Making};
use seedbed::report::terminal::{self, printable};
use seedbed::summary::{Comparison, Pair, Verdict};

use super::tables::derive;
use crate::args::{Common, Source, Strict};
use crate::output::{Output, sheet};
use crate::screen::say;

/// Writes the comparisons and shows them; 1 where a figure falls short of what `strict` asks for.
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
                "{name} names no paper ('compare' in its file), so there is no published figure to \
                 compare it with"
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

/// Shows published figures beside the cells, one table a paper, then cells beside each other.
pub fn show_comparison(derived: &Derived, output: &mut Output) -> Result<()> {
    let Derived { comparisons, papers, pairs, .. } = derived;
    let from = derived.from();
    let table = |paper: &Paper| {
        let of_paper: Vec<&Comparison> =
            comparisons.iter().filter(|one| one.paper == paper.name).collect();
        format!("{}\n", terminal::comparison_table(&of_paper, paper, &from, sheet()))
    };
    let text = || {
        let compared: Vec<Metric> =
            comparisons.iter().filter_map(|one| one.metric.metric()).collect();
        let metrics = if compared.is_empty() { vec![Metric::F1, Metric::Auroc] } else { compared };
        let shown: Vec<&Pair> =
            pairs.iter().filter(|pair| metrics.contains(&pair.metric)).collect();
        papers.iter().map(table).collect::<String>()
            + &terminal::pairs_table(&shown, &from, sheet())
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

/// Returns 1 where a judged figure falls short of what is asked for. Figures that nobody judges (not verified,
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
