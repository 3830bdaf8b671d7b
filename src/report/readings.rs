//! What readings come to, in words: for a terminal, and the sentences of a report.

use crate::paper::Paper;
use crate::paper::fingerprint::Quantity;
use crate::report::chart::Published;
use crate::report::derive::Derived;
use crate::report::terminal::{BOLD, DIM, paint, printable};
use crate::report::{columns, table};
use crate::summary::Comparison;
use crate::summary::readings::{Attribution, Effect, Explained, Specified};

/// Cells that a terminal shows of either end of the curve.
const ENDS: usize = 5;
/// The column of the fingerprint.
const FINGERPRINT: usize = 5;
/// Effects that a terminal shows of a quantity.
const EFFECTS: usize = 12;

/// The figure of a quantity that these papers print for an experiment, and its margin.
pub fn published(papers: &[Paper], experiment: &str, of: &Quantity) -> Option<Published> {
    let is_own = |name: &Option<String>| name.as_deref() == Some(experiment);
    papers.iter().find_map(|paper| {
        let margin = |metric| paper.margins.get(&metric).map(|margin| margin.value);
        let mut figures = paper.figures.iter().filter(|one| is_own(&one.experiment));
        let figure = figures.find(|one| of.metric() == Some(one.metric));
        let mut marks = paper.fingerprints.iter().filter(|one| is_own(&one.experiment));
        let mark = marks.find(|one| Quantity::from(&one.of) == *of);
        let of_figure =
            figure.map(|one| Published { value: one.value, margin: margin(one.metric) });
        of_figure.or(mark.map(|one| Published { value: one.value, margin: None }))
    })
}

/// Says which cells come within the margin of the figure, and which of those that have the fingerprint too.
pub fn reached(explained: &Explained, papers: &[Paper], experiment: &str) -> Option<String> {
    let published = |of: &Quantity| published(papers, experiment, of);
    let figure = published(&explained.of)?;
    let margin = figure.margin?;
    let near = |cell: &&Specified| (cell.mean - figure.value).abs() <= margin;
    let cells: Vec<&Specified> = explained.specification.iter().filter(near).collect();
    let all = explained.specification.len();
    let mut text = format!(
        "{} of {all} cells have a mean {} within ±{} of the published {}",
        cells.len(),
        table::quantity(&explained.of),
        table::trimmed(margin),
        table::number(figure.value),
    );
    let mark = explained.fingerprint.as_ref().and_then(|of| Some((of, published(of)?)));
    if let Some((of, mark)) = mark {
        let (low, high) = (mark.value / 1.5, mark.value * 1.5);
        let has =
            |cell: &&&Specified| cell.fingerprint.is_some_and(|mark| (low..=high).contains(&mark));
        let both = cells.iter().filter(has).count();
        text += &format!(
            "; {both} of those also come within a factor of 1.5 of the {} of {} that it prints",
            table::quantity(of),
            table::number(mark.value),
        );
    }
    Some(text + ".")
}

/// Says what stands for what, and on which seeds.
pub fn basis(explained: &Explained) -> String {
    let Explained { combinations, specification, seeds, fitted_seeds, explained: share, .. } =
        explained;
    let mut text = format!(
        "{combinations} combinations of the readings, {} cells, {} seeds each at most",
        specification.len(),
        seeds.len()
    );
    match (fitted_seeds, share) {
        (0, _) => text += "; too few cells have run to tell effects apart",
        (count, Some(share)) => {
            text += &format!(
                "; effects over {count} seeds; main effects and two-way terms explain {} of the variance \
                 between cells",
                table::percent(*share)
            );
        }
        (_, None) => {}
    }
    text + ". Cells are chosen by nothing but these runs, so verdicts come from seeds 101 on alone."
}

/// Says where the most literal reading stands among all cells.
pub fn literal(explained: &Explained) -> Option<String> {
    let is_literal = |cell: &&Specified| cell.levels.iter().all(|&level| level == 0);
    let cell = explained.specification.iter().find(is_literal)?;
    Some(format!(
        "The most literal reading, {}, has {} ({} of {} from above).",
        cell.cell,
        table::number(cell.mean),
        cell.rank,
        explained.specification.len()
    ))
}

/// The effects of a quantity, the largest first.
pub fn largest<'a>(explained: &'a Explained, of: &str) -> Vec<&'a Effect> {
    let mut effects: Vec<&Effect> = explained.effects.iter().filter(|one| one.of == of).collect();
    effects.sort_by(|a, b| b.estimate.abs().total_cmp(&a.estimate.abs()));
    effects
}

/// The quantities that have effects, in order.
pub fn quantities(explained: &Explained) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for one in &explained.effects {
        if !names.contains(&one.of) {
            names.push(one.of.clone());
        }
    }
    names
}

/// `0.0312 [0.0120, 0.0504]`
fn with_interval(estimate: f64, low: Option<f64>, high: Option<f64>) -> [String; 2] {
    [table::signed(estimate), table::interval(low, high, table::signed)]
}

/// What `seedbed explain` shows.
pub fn text(derived: &Derived, colour: bool) -> String {
    let Derived { name, title, explained, papers, comparisons, .. } = derived;
    let mut text = paint(&format!("{name}: {}", printable(title)), BOLD, colour) + "\n";
    let Some(explained) = explained else {
        return text + "  no run of an exploring seed (below 101) is stored\n";
    };
    text += &format!("  {}\n", basis(explained));
    let said = [literal(explained), reached(explained, papers, name)];
    text.extend(said.into_iter().flatten().map(|said| format!("  {said}\n")));
    text += &curve_text(explained, colour);
    for of in quantities(explained) {
        text += &effects_text(explained, &of, colour);
    }
    for one in &explained.attribution {
        text += &attribution_text(one, colour);
    }
    text + &judged_text(name, explained, comparisons)
}

fn curve_text(explained: &Explained, colour: bool) -> String {
    let specification = &explained.specification;
    let head = ["rank", "mean", "95 %", "n", "untrained", "fingerprint", "cell"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    let value = |value: Option<f64>| value.map(table::number).unwrap_or_default();
    let shown = specification.len() > 2 * ENDS + 1;
    for (place, cell) in specification.iter().enumerate() {
        if shown && place == ENDS {
            rows.push(["…", "", "", "", "", "", ""].map(str::to_owned).to_vec());
        }
        if shown && place >= ENDS && place < specification.len() - ENDS {
            continue;
        }
        rows.push(vec![
            cell.rank.to_string(),
            table::number(cell.mean),
            table::interval(cell.low, cell.high, table::number),
            cell.n.to_string(),
            value(cell.control_mean),
            value(cell.fingerprint),
            cell.cell.to_string(),
        ]);
    }
    if explained.fingerprint.is_none() {
        rows.iter_mut().for_each(|row| drop(row.remove(FINGERPRINT)));
    }
    let title = format!("cells by {}", table::quantity(&explained.of));
    let numbers = 0..rows[0].len() - 1;
    laid_out(&title, &rows, numbers, colour)
}

fn effects_text(explained: &Explained, of: &str, colour: bool) -> String {
    let effects = largest(explained, of);
    let mut rows = vec![["effect", "from", "to", "estimate", "95 %"].map(str::to_owned).to_vec()];
    for one in effects.iter().take(EFFECTS) {
        let [estimate, interval] = with_interval(one.estimate, one.low, one.high);
        rows.push(vec![one.term.clone(), one.from.clone(), one.to.clone(), estimate, interval]);
    }
    let left = effects.len().saturating_sub(EFFECTS);
    let more =
        if left > 0 { format!(" ({left} smaller ones in effects.csv)") } else { String::new() };
    laid_out(&format!("effects on {of}{more}"), &rows, 3..5, colour)
}

fn attribution_text(one: &Attribution, colour: bool) -> String {
    let mut rows =
        vec![["key", "from", "to", "Shapley value", "95 %", "share"].map(str::to_owned).to_vec()];
    for share in &one.shares {
        let [value, interval] = with_interval(share.value, share.low, share.high);
        let of_whole = share.share.map(table::percent).unwrap_or_default();
        let (key, from, to) = (share.key.clone(), share.from.clone(), share.to.clone());
        rows.push(vec![key, from, to, value, interval, of_whole]);
    }
    let title = attribution_title(one);
    laid_out(&title, &rows, 3..6, colour)
}

/// Says whose difference is shared out.
pub fn attribution_title(one: &Attribution) -> String {
    let model = if one.observed { "" } else { ", by the model of main effects and two-way terms" };
    format!(
        "{}: from {} ({}) to {} ({}), {} seeds{model}",
        one.of,
        one.from,
        table::number(one.from_mean),
        one.to,
        table::number(one.to_mean),
        one.seeds,
    )
}

fn judged_text(name: &str, explained: &Explained, comparisons: &[Comparison]) -> String {
    let judged = comparisons.iter().filter(|one| !one.null_model && one.metric == explained.of);
    let said: Vec<String> = judged
        .map(|one| {
            let mean = one.mean.map(table::number).unwrap_or_default();
            format!(
                "  {}: {} ({mean} beside {}); {}\n",
                one.cell,
                one.verdict_text(),
                table::number(one.published),
                one.note
            )
        })
        .collect();
    if said.is_empty() {
        let best = explained.specification.first().map(|cell| cell.cell.to_string());
        let cell = best.unwrap_or_default();
        return format!(
            "  No cell is judged: to judge one on fresh seeds, seedbed run {name} --cell {cell} --seeds 101-120\n"
        );
    }
    said.concat()
}

fn laid_out(
    title: &str,
    rows: &[Vec<String>],
    numbers: std::ops::Range<usize>,
    colour: bool,
) -> String {
    let code = |row: usize, _| if row == 0 && colour { DIM } else { "" };
    let lines = columns::lines(rows, numbers, code);
    let lines: String = lines.iter().map(|line| format!("  {line}\n")).collect();
    format!("{}\n{lines}", paint(&printable(title), BOLD, colour))
}
