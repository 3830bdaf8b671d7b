//! Cells of one experiment against each other, seed by seed: under one seed two cells draw the same
//! split, so their difference is free of what the split does to both.

use std::collections::HashMap;
use std::sync::Arc;

use indexmap::IndexMap;
use serde::Serialize;

use super::Row;
use crate::experiment::{CellName, Scale};
use crate::metrics::Metric;
use crate::stats;
use crate::store::record::State;

/// Along an axis with more values than this each is compared with the first only.
const ALL_PAIRS_UP_TO: usize = 3;

/// One metric of one cell against another cell.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pair {
    pub experiment: Arc<str>,
    pub scale: Scale,
    pub cell: CellName,
    /// The other cell.
    pub against: CellName,
    /// The axis that differs, or `control`.
    pub axis: Arc<str>,
    pub metric: Metric,
    /// Seeds under which both cells have a value on the same split.
    pub n: usize,
    /// Mean of (cell − against) over these seeds.
    pub mean_difference: Option<f64>,
    /// With n − 1.
    pub std_difference: Option<f64>,
    /// 95 % t interval of the mean difference.
    pub ci95_low: Option<f64>,
    pub ci95_high: Option<f64>,
    /// Wilcoxon's signed-rank test, two-sided.
    pub p_wilcoxon: Option<f64>,
    /// The same, with Holm's correction for all pairs of the experiment and metric.
    pub p_holm: Option<f64>,
    /// Mean difference in standard deviations of the differences.
    pub cohen_dz: Option<f64>,
    /// Matched-pairs rank-biserial correlation, in [−1, 1].
    pub rank_biserial: Option<f64>,
    /// Why something is blank; empty where nothing is.
    pub note: String,
}

/// Every cell against its control, and against the cells that differ from it in one axis alone: all
/// of them along an axis of up to three values, else the one with the axis's first value. Cells whose
/// splits differ under the same seeds (other data) are no pairs. In the order of the rows.
pub fn pairs(rows: &[Row]) -> Vec<Pair> {
    let mut cells: IndexMap<(&str, &CellName), Cell> = IndexMap::new();
    for row in rows {
        let cell = cells.entry((&row.experiment, &row.cell)).or_insert_with(|| Cell::of(row));
        cell.runs.insert(row.seed, row);
    }
    // of a large grid there are many pairs, and each names its experiment and axis
    let names =
        cells.values().flat_map(|cell| cell.axes.keys().copied().chain([cell.experiment, CONTROL]));
    let names: HashMap<&str, Arc<str>> = names.map(|name| (name, Arc::from(name))).collect();
    let mut pairs = Vec::new();
    let partners = Partners::of(&cells);
    for cell in cells.values() {
        for (axis, other) in partners.of_cell(&cells, cell) {
            let place = [cell.experiment, axis].map(|name| &names[name]);
            pairs.extend(
                Metric::ALL.iter().filter_map(|&metric| compare(cell, other, place, metric)),
            );
        }
    }
    correct_by_holm(&mut pairs);
    pairs
}

/// The axis between a cell and its control.
const CONTROL: &str = "control";

/// A cell with its runs.
struct Cell<'a> {
    experiment: &'a str,
    name: &'a CellName,
    scale: Scale,
    /// Axis → value.
    axes: IndexMap<&'a str, &'a str>,
    runs: IndexMap<u64, &'a Row>,
}

impl<'a> Cell<'a> {
    fn of(row: &'a Row) -> Self {
        let mut axes: IndexMap<&str, &str> =
            row.axes.iter().map(|(axis, value)| (axis.as_str(), value.as_str())).collect();
        if axes.is_empty() {
            // a file without columns for its axes says them in the label
            axes = label_parts(row.cell.trained())
                .into_iter()
                .filter_map(|part| part.split_once('='))
                .collect();
        }
        let (experiment, name, scale) = (&row.experiment, &row.cell, row.scale);
        Self { experiment, name, scale, axes, runs: IndexMap::new() }
    }
}

/// Returns the parts of a label, `axis=value` each; a comma within brackets parts nothing.
pub fn label_parts(label: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0usize);
    for (at, c) in label.char_indices() {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&label[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&label[start..]);
    parts
}

/// What a line of trained cells along one axis has in common: experiment, axis, the other axes.
type Line<'a> = (&'a str, &'a str, Vec<(&'a str, &'a str)>);

/// Which cells belong together, by their places, in the order of the rows.
struct Partners<'a> {
    lines: HashMap<Line<'a>, Vec<usize>>,
    /// Experiment and cell → its controls.
    controls: HashMap<(&'a str, &'a str), Vec<usize>>,
}

impl<'a> Partners<'a> {
    fn of(cells: &IndexMap<(&'a str, &'a CellName), Cell<'a>>) -> Self {
        let mut lines: HashMap<Line<'a>, Vec<usize>> = HashMap::new();
        let mut controls: HashMap<_, Vec<usize>> = HashMap::new();
        for (place, cell) in cells.values().enumerate() {
            if cell.name.is_control() {
                let trained = (cell.experiment, cell.name.trained());
                controls.entry(trained).or_default().push(place);
                continue;
            }
            for axis in cell.axes.keys() {
                lines.entry(line(cell, axis)).or_default().push(place);
            }
        }
        Self { lines, controls }
    }

    /// The axis and the other cell of each pair in which `cell` comes first.
    fn of_cell<'b>(
        &self,
        cells: &'b IndexMap<(&'a str, &'a CellName), Cell<'a>>,
        cell: &'b Cell<'a>,
    ) -> Vec<(&'b str, &'b Cell<'a>)> {
        if cell.name.is_control() {
            return Vec::new();
        }
        let place = cells.get_index_of(&(cell.experiment, cell.name));
        let controls =
            self.controls.get(&(cell.experiment, cell.name.as_str())).into_iter().flatten();
        let mut partners: Vec<(&str, &Cell)> =
            controls.map(|&control| (CONTROL, &cells[control])).collect();
        for axis in cell.axes.keys() {
            let on_line = &self.lines[&line(cell, axis)];
            let earlier = on_line.iter().take_while(|&&other| Some(other) != place);
            let all = on_line.len() <= ALL_PAIRS_UP_TO;
            let compared = earlier.take(if all { ALL_PAIRS_UP_TO } else { 1 });
            partners.extend(compared.map(|&other| (*axis, &cells[other])));
        }
        partners
    }
}

fn line<'a>(cell: &Cell<'a>, axis: &'a str) -> Line<'a> {
    let others = cell.axes.iter().filter(|(name, _)| **name != axis);
    let others = others.map(|(name, value)| (*name, *value)).collect();
    (cell.experiment, axis, others)
}

/// `None` where the two share no seed with a value of the metric, or never a split.
fn compare(
    cell: &Cell,
    other: &Cell,
    [experiment, axis]: [&Arc<str>; 2],
    metric: Metric,
) -> Option<Pair> {
    let value = |row: &Row| (row.state == State::Ok).then(|| row.value(metric)).flatten();
    let mut other_splits = 0;
    let mut differences = Vec::new();
    for (seed, row) in &cell.runs {
        let Some(against) = other.runs.get(seed) else { continue };
        let Some((ours, theirs)) = value(row).zip(value(against)) else { continue };
        let known = !row.split_sha256.is_empty() && !against.split_sha256.is_empty();
        if known && row.split_sha256 != against.split_sha256 {
            other_splits += 1;
        } else {
            differences.push(without_noise(ours - theirs));
        }
    }
    if differences.is_empty() {
        return None;
    }
    let (mean, std) = (stats::mean(&differences), stats::std(&differences));
    let n = differences.len();
    let enough = mean.zip(std).filter(|_| n >= stats::INTERVAL_MIN);
    let interval = enough.and_then(|(mean, std)| stats::t_interval(n, mean, std, 0.95));
    let mut notes = Vec::new();
    if other_splits > 0 {
        notes.push(format!("{other_splits} seeds with different splits left out"));
    }
    let wilcoxon = stats::wilcoxon(&differences);
    let cohen_dz = stats::cohen_dz(&differences);
    if let Err(why) = &cohen_dz {
        notes.push(format!("no effect size: {why}"));
    }
    if let Err(why) = &wilcoxon {
        notes.push(format!("no Wilcoxon test: {why}"));
    }
    Some(Pair {
        experiment: experiment.clone(),
        scale: cell.scale,
        cell: cell.name.clone(),
        against: other.name.clone(),
        axis: axis.clone(),
        metric,
        n,
        mean_difference: mean,
        std_difference: std,
        ci95_low: interval.map(|interval| interval.low),
        ci95_high: interval.map(|interval| interval.high),
        p_wilcoxon: wilcoxon.ok().map(|test| test.p),
        p_holm: None,
        cohen_dz: cohen_dz.ok(),
        rank_biserial: stats::rank_biserial(&differences).ok(),
        note: notes.join("; "),
    })
}

/// Metrics lie in [0, 1], so a difference has an error of about 1e-16: enough to part differences that
/// are equal, which tests by ranks and spreads would take for what the runs say.
fn without_noise(difference: f64) -> f64 {
    (difference * 1e12).round() / 1e12
}

fn correct_by_holm(pairs: &mut [Pair]) {
    let mut families: IndexMap<(Arc<str>, Metric), Vec<usize>> = IndexMap::new();
    for (place, pair) in pairs.iter().enumerate().filter(|(_, pair)| pair.p_wilcoxon.is_some()) {
        families.entry((pair.experiment.clone(), pair.metric)).or_default().push(place);
    }
    for family in families.values() {
        let p: Vec<f64> = family.iter().filter_map(|&place| pairs[place].p_wilcoxon).collect();
        for (&place, adjusted) in family.iter().zip(stats::holm(&p)) {
            pairs[place].p_holm = Some(adjusted);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{row, rows};
    use super::*;

    fn names(rows: &[Row]) -> Vec<(String, String, String)> {
        let mut rows = rows.to_vec();
        super::super::sort(&mut rows);
        let of = |pair: Pair| (pair.cell.into(), pair.against.into(), pair.axis.to_string());
        pairs(&rows).into_iter().map(of).collect()
    }

    fn grid(cells: &[&str]) -> Vec<Row> {
        cells.iter().flat_map(|cell| rows(cell, &[0.5, 0.6, 0.7])).collect()
    }

    #[test]
    fn cells_meet_their_control_and_those_that_differ_in_one_axis() {
        let runs = grid(&[
            "a=1,b=x",
            "a=1,b=x,control=untrained",
            "a=1,b=y",
            "a=2,b=x",
            "a=2,b=y",
            "a=2,b=y,control=untrained",
        ]);
        let own = |a: &str, b: &str, axis: &str| (a.into(), b.into(), axis.into());
        assert_eq!(
            names(&runs),
            [
                own("a=1,b=x", "a=1,b=x,control=untrained", "control"),
                own("a=1,b=y", "a=1,b=x", "b"),
                own("a=2,b=x", "a=1,b=x", "a"),
                own("a=2,b=y", "a=2,b=y,control=untrained", "control"),
                own("a=2,b=y", "a=1,b=y", "a"),
                own("a=2,b=y", "a=2,b=x", "b"),
            ]
        );
    }

    #[test]
    fn a_long_axis_is_compared_with_its_first_value_alone() {
        let labels: Vec<String> = (1..=4).map(|latent| format!("latent={latent}")).collect();
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        let long = names(&grid(&labels));
        assert_eq!(long.len(), 3);
        assert!(long.iter().all(|(_, against, _)| against == "latent=1"));
        let short: Vec<_> = names(&grid(&labels[..3]));
        assert_eq!(short.len(), 3);
        assert!(short.iter().any(|(cell, other, _)| cell == "latent=3" && other == "latent=2"));
    }

    #[test]
    fn every_control_of_a_cell_is_compared_in_whatever_order_the_rows_come() {
        let mut runs = grid(&["base", "base,control=random", "base,control=untrained"]);
        runs.reverse();
        let against: Vec<String> =
            pairs(&runs).iter().map(|pair| pair.against.to_string()).collect();
        assert_eq!(against, ["base,control=untrained", "base,control=random"]);
    }

    #[test]
    fn differences_that_only_rounding_parts_are_equal() {
        // each 0.1 apart, in numbers that floating point cannot hold
        let mut runs = rows("x=1", &[0.31, 0.45, 0.9, 0.72, 0.63]);
        runs.extend(rows("x=2", &[0.21, 0.35, 0.8, 0.62, 0.53]));
        let pair = &pairs(&runs)[0];
        assert_eq!((pair.std_difference, pair.cohen_dz), (Some(0.0), None));
        assert!(pair.note.contains("no effect size"), "{}", pair.note);
        // 5 differences of one size and sign: 2 / 2⁵
        assert_eq!(pair.p_wilcoxon, Some(0.0625));
    }

    #[test]
    fn a_list_in_a_label_is_one_value() {
        assert_eq!(label_parts("hidden=[60, 30],latent=1"), ["hidden=[60, 30]", "latent=1"]);
        let pairs = names(&grid(&["hidden=[60, 30],latent=1", "hidden=[60],latent=1"]));
        assert_eq!(pairs.len(), 1);
        assert_eq!(pairs[0].2, "hidden");
    }

    #[test]
    fn only_seeds_that_both_cells_have_on_the_same_split_count() {
        let mut runs = rows("a=1", &[0.5, 0.6, 0.7, 0.8, 0.9]);
        runs.extend(rows("a=2", &[0.6, 0.8, 0.7, 0.9]));
        for row in &mut runs {
            row.split_sha256 = format!("split of seed {}", row.seed);
        }
        runs[1].state = State::Diverged;
        runs[7].split_sha256 = "another".into();
        let pair = &pairs(&runs)[0];
        // seed 1: 0.6 − 0.5; seed 4: 0.9 − 0.8; seed 2 failed, seed 3 drew two splits, seed 5 is alone
        assert_eq!((&*pair.cell, pair.n), ("a=2", 2));
        assert!((pair.mean_difference.unwrap() - 0.1).abs() < 1e-12);
        assert!(pair.note.contains("1 seeds with different splits left out"), "{}", pair.note);
        for row in runs.iter_mut().filter(|row| row.cell == "a=2") {
            row.split_sha256 = "another data set".into();
        }
        assert_eq!(pairs(&runs), []);
    }

    #[test]
    fn a_difference_comes_with_interval_test_and_effect() {
        let mut runs = rows("a=1", &[0.5, 0.6, 0.7, 0.8, 0.9, 0.55]);
        runs.extend(rows("a=2", &[0.52, 0.63, 0.74, 0.85, 0.96, 0.56]));
        let pair = &pairs(&runs)[0];
        assert!((pair.mean_difference.unwrap() - 0.035).abs() < 1e-12);
        assert!(pair.ci95_low.unwrap() > 0.0);
        // six differences of one sign: 2 / 2⁶
        assert!((pair.p_wilcoxon.unwrap() - 0.03125).abs() < 1e-12);
        assert_eq!((pair.p_holm, pair.rank_biserial), (pair.p_wilcoxon, Some(1.0)));
        assert!(pair.cohen_dz.unwrap() > 1.0);
        assert_eq!(pair.note, "");
        let alone = [row("a=1", 1, 0.5), row("a=2", 1, 0.5)];
        let pair = &pairs(&alone)[0];
        assert_eq!(
            (pair.mean_difference, pair.std_difference, pair.cohen_dz),
            (Some(0.0), None, None)
        );
        assert!(pair.note.contains("no effect size") && pair.note.contains("no Wilcoxon"));
    }
}
