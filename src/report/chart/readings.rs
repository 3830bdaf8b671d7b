//! The drawings of readings: the specification curve with its switches, effects, and a figure against a
//! fingerprint. Places are percentages of the width; heights are fixed.

use super::{Svg, is_placeable};
use crate::report::picture::axis::Axis;
use crate::report::table;
use crate::summary::readings::{Explained, Factor, Specified};

/// Of the curve, above the switches.
const CURVE: f64 = 190.0;
/// Room for the values at its side, in percent.
const SIDE: f64 = 6.0;
/// A line of a factor's name, and a row of one of its values.
const NAME: f64 = 17.0;
const VALUE: f64 = 8.0;
const SCATTER: f64 = 280.0;
const EFFECT: f64 = 22.0;

/// A published number and its margin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Published {
    pub value: f64,
    pub margin: Option<f64>,
}

/// The means of all cells, the highest first, with their intervals and their untrained controls; below, which value
/// of each key each cell has.
pub fn curve(explained: &Explained, published: Option<Published>) -> Svg {
    let Explained { specification, factors, .. } = explained;
    let height = factors.iter().map(switches_height).sum::<f64>() + CURVE;
    let mut svg = Svg::new("curve", height, &words(explained, published));
    let ends = specification.iter().flat_map(|cell| {
        [Some(cell.mean), cell.low.map(|low| low.max(0.0)), cell.high, cell.control_mean]
    });
    let axis = Axis::spanning(ends.flatten().chain(published.map(|one| one.value)), 0.0);
    let y = |value: f64| CURVE - 8.0 - (CURVE - 20.0) * axis.place(value).clamp(0.0, 1.0);
    let count = specification.len().max(1) as f64;
    let x = |rank: usize| SIDE + (99.5 - SIDE) * (rank as f64 - 0.5) / count;
    if let Some(Published { value, margin }) = published {
        if let Some(margin) = margin {
            let (high, low) = (y(value + margin), y(value - margin));
            svg.add(format_args!(
                "<rect class=\"band\" x=\"{SIDE}%\" y=\"{high:.1}\" width=\"{}%\" height=\"{:.1}\"/>",
                100.0 - SIDE,
                low - high
            ));
        }
        svg.line("published", (SIDE, y(value)), (100.0, y(value)));
    }
    for tick in axis.ticks(5).iter().filter(|tick| !tick.label.is_empty()) {
        let height = CURVE - 8.0 - (CURVE - 20.0) * tick.place;
        svg.line("grid", (SIDE, height), (100.0, height));
        svg.label("start", 0.0, height + 3.5, &tick.label);
    }
    for cell in specification {
        let x = x(cell.rank);
        if let Some((low, high)) = cell.low.zip(cell.high) {
            svg.line("whisker", (x, y(low)), (x, y(high)));
        }
        if let Some(mean) = cell.control_mean {
            dot(&mut svg, "control", x, y(mean), 1.6);
        }
        dot(&mut svg, "ours", x, y(cell.mean), 2.2);
    }
    switches(&mut svg, explained, x);
    svg.finish()
}

fn switches_height(factor: &Factor) -> f64 {
    NAME + VALUE * factor.values.len() as f64
}

fn switches(svg: &mut Svg, explained: &Explained, x: impl Fn(usize) -> f64) {
    let mut top = CURVE;
    for (place, factor) in explained.factors.iter().enumerate() {
        let values = factor.values.join(" · ");
        svg.label("start", SIDE, top + 12.0, &format!("{}, from above: {values}", factor.short()));
        for cell in &explained.specification {
            let at = top + NAME + VALUE * cell.levels[place] as f64;
            let x = x(cell.rank);
            svg.line("switch", (x, at), (x, at + VALUE - 1.5));
        }
        top += switches_height(factor);
    }
}

fn dot(svg: &mut Svg, class: &str, x: f64, y: f64, radius: f64) {
    svg.add(format_args!(
        "<circle class=\"{class}\" cx=\"{x:.2}%\" cy=\"{y:.1}\" r=\"{radius}\"/>"
    ));
}

fn words(explained: &Explained, published: Option<Published>) -> String {
    let Explained { specification, of, .. } = explained;
    let (Some(first), Some(last)) = (specification.first(), specification.last()) else {
        return String::new();
    };
    let published = published
        .map_or_else(String::new, |one| format!("; published {}", table::number(one.value)));
    format!(
        "The mean of {} in {} cells, from {} in {} to {} in {}{published}.",
        table::quantity(of),
        specification.len(),
        table::number(first.mean),
        first.cell,
        table::number(last.mean),
        last.cell,
    )
}

/// The axis of effects, with 0 in its middle.
pub fn effect_axis(ends: impl Iterator<Item = f64>) -> Axis {
    let most =
        ends.filter(|&end| is_placeable(end)).fold(0.0, |most: f64, end| most.max(end.abs()));
    let most = if most > 0.0 { 1.05 * most } else { 1.0 };
    Axis::linear(-most, most)
}

/// An effect with its interval.
pub fn effect(axis: &Axis, estimate: f64, interval: Option<(f64, f64)>, words: &str) -> Svg {
    let mut svg = Svg::new("effect", EFFECT, words);
    let x = |value: f64| super::place(axis, value);
    svg.line("zero", (x(0.0), 0.0), (x(0.0), EFFECT));
    if let Some((low, high)) = interval {
        svg.line("whisker", (x(low), EFFECT / 2.0), (x(high), EFFECT / 2.0));
    }
    dot(&mut svg, "ours", x(estimate), EFFECT / 2.0, 3.6);
    svg.finish()
}

/// Cells by their fingerprint, from left to right, and their mean, from below; filled dots are cells with the first
/// value of a factor. The source's own point is a cross.
pub fn scatter(
    explained: &Explained,
    factor: usize,
    source: (Option<f64>, Option<Published>),
) -> Svg {
    let (mark, published) = source;
    let known: Vec<(&Specified, f64)> = explained
        .specification
        .iter()
        .filter_map(|cell| Some((cell, cell.fingerprint.filter(|&mark| is_placeable(mark))?)))
        .collect();
    let across: Vec<f64> = known.iter().map(|(_, mark)| *mark).chain(mark).collect();
    let across = Axis::of_curve(&across);
    let up = known.iter().map(|(cell, _)| cell.mean).chain(published.map(|one| one.value));
    let up = Axis::spanning(up, 0.0);
    let words = format!(
        "{} cells by their reconstruction error and their mean; the source's point is a cross.",
        known.len()
    );
    let mut svg = Svg::new("scatter", SCATTER, &words);
    let bottom = SCATTER - 22.0;
    let x = |value: f64| SIDE + 2.0 + (96.0 - SIDE) * across.place(value).clamp(0.0, 1.0);
    let y = |value: f64| bottom - 8.0 - (bottom - 20.0) * up.place(value).clamp(0.0, 1.0);
    for tick in up.ticks(5).iter().filter(|tick| !tick.label.is_empty()) {
        let height = bottom - 8.0 - (bottom - 20.0) * tick.place;
        svg.line("grid", (SIDE, height), (100.0, height));
        svg.label("start", 0.0, height + 3.5, &tick.label);
    }
    for tick in across.ticks(6).iter().filter(|tick| !tick.label.is_empty()) {
        let place = SIDE + 2.0 + (96.0 - SIDE) * tick.place;
        svg.line("grid", (place, 0.0), (place, bottom));
        svg.label("middle", place, SCATTER - 6.0, &tick.label);
    }
    for (cell, mark) in known {
        let class = if cell.levels.get(factor) == Some(&0) { "ours" } else { "other" };
        dot(&mut svg, class, x(mark), y(cell.mean), 3.2);
    }
    if let (Some(mark), Some(published)) = (mark, published) {
        svg.shape("source", x(mark), y(published.value), "M-7 0H7M0-7V7");
    }
    svg.finish()
}
