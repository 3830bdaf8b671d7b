//! The small drawings of a report, as SVG within its page: an interval beside a figure and its margin,
//! the runs of a cell as dots, a loss over the epochs. They take the page's colours and stretch with
//! its width; places are percentages, so nothing is distorted. They compute no statistics.

mod readings;

use std::fmt::{self, Display, Write};

use askama::filters::{Escaper, Html, HtmlSafe};

use crate::paper::fingerprint::Quantity;
use crate::report::document::Loss;
use crate::report::picture::axis::{Axis, is_placeable};
use crate::report::table;
use crate::summary::Comparison;

pub use readings::{Published, curve, effect, effect_axis, scatter};

/// A cell's dots are drawn up to this many.
pub const DOTS: usize = 400;
/// Epochs drawn of a loss; more than this are drawn by the extremes of neighbours.
const POINTS: usize = 240;
/// A margin is this share of the width of an interval's drawing, so four of them fit on either side.
const MARGIN: f64 = 12.0;

/// A finished drawing, safe to print in HTML: all text in it went through [`text`].
#[derive(Debug, Clone)]
pub struct Svg(String);

impl Display for Svg {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        to.write_str(&self.0)
    }
}

impl HtmlSafe for Svg {}

impl Svg {
    /// `words` say what is seen to those who do not see it.
    fn new(class: &str, height: f64, words: &str) -> Self {
        let mut svg = Self(String::new());
        svg.add(format_args!(
            "<svg class=\"{class}\" role=\"img\" width=\"100%\" height=\"{height}\" aria-label=\""
        ));
        svg.text(words);
        svg.0.push_str("\">");
        svg
    }

    /// Of an axis or a mark that says nothing by itself.
    fn silent(class: &str, height: f64) -> Self {
        Self(format!(
            "<svg class=\"{class}\" aria-hidden=\"true\" width=\"100%\" height=\"{height}\">"
        ))
    }

    fn add(&mut self, piece: fmt::Arguments) {
        // a String takes whatever is written
        let _ = self.0.write_fmt(piece);
    }

    fn text(&mut self, text: &str) {
        let _ = Html.write_escaped_str(&mut self.0, text);
    }

    /// A shape of fixed size with its origin at a place of the drawing.
    fn shape(&mut self, class: &str, x: f64, y: f64, path: &str) {
        self.add(format_args!(
            "<svg x=\"{x:.2}%\" y=\"{y}\" overflow=\"visible\"><path class=\"{class}\" d=\"{path}\"/>\
             </svg>"
        ));
    }

    fn line(&mut self, class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
        self.add(format_args!(
            "<line class=\"{class}\" x1=\"{x1:.2}%\" y1=\"{y1}\" x2=\"{x2:.2}%\" y2=\"{y2}\"/>"
        ));
    }

    fn label(&mut self, anchor: &str, x: f64, y: f64, text: &str) {
        self.add(format_args!("<text x=\"{x:.2}%\" y=\"{y}\" text-anchor=\"{anchor}\">"));
        self.text(text);
        self.0.push_str("</text>");
    }

    fn finish(mut self) -> Self {
        self.0.push_str("</svg>");
        self
    }
}

/// How an interval beside a figure is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// By the distance from the published figure in margins, from −4 to 4: bands line up.
    Margins,
    /// From 0 to 1.
    Absolute,
}

impl Scale {
    /// In percent of the width.
    fn place(self, one: &Comparison, value: f64) -> f64 {
        match (self, one.margin) {
            (Self::Margins, Some(margin)) if margin > 0.0 => {
                50.0 + MARGIN * (value - one.published) / margin
            }
            // at a margin of 0 whatever differs lies beyond every scale
            (Self::Margins, Some(_)) if value == one.published => 50.0,
            (Self::Margins, Some(_)) => 50.0 + (value - one.published).signum() * 1000.0,
            (Self::Margins | Self::Absolute, _) => unit(value),
        }
    }
}

/// A value in [0, 1] on the width, with some room at the ends.
fn unit(value: f64) -> f64 {
    2.0 + 96.0 * value
}

const FOREST: f64 = 30.0;
/// Our mean and its interval lie above the control's.
const OURS: f64 = 11.0;
const CONTROL: f64 = 23.0;

/// One published figure, its margin, our mean with its interval and the control's mean, drawn to
/// scale. What lies beyond the scale is an arrow at its end.
pub fn forest(one: &Comparison, scale: Scale) -> Svg {
    let mut svg = Svg::new("forest", FOREST, &forest_words(one));
    // a measurement has a unit of its own, and without a margin nothing says how wide a drawing is
    if one.margin.is_none() && matches!(one.metric, Quantity::Diagnostic(_)) {
        return svg.finish();
    }
    let at = |value: f64| scale.place(one, value);
    if let Some(margin) = one.margin.filter(|&margin| margin > 0.0) {
        let (low, high) = (at(one.published - margin), at(one.published + margin));
        let width = high - low;
        svg.add(format_args!(
            "<rect class=\"band\" x=\"{low:.2}%\" y=\"0\" width=\"{width:.2}%\" height=\"100%\"/>"
        ));
    }
    if scale == Scale::Absolute {
        for end in [0.0, 0.5, 1.0] {
            svg.line("grid", (unit(end), 0.0), (unit(end), FOREST));
        }
    }
    let published = at(one.published);
    svg.line("published", (published, 0.0), (published, FOREST));
    if let Some(mean) = one.control_mean {
        mark(&mut svg, "control", at(mean), CONTROL, "M0-4.5 4.5 0 0 4.5-4.5 0z");
    }
    if let Some((low, high)) = one.ci90_low.zip(one.ci90_high) {
        whisker(&mut svg, at(one.published + low), at(one.published + high), OURS);
    }
    if let Some(mean) = one.mean {
        mark(&mut svg, "ours", at(mean), OURS, "M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0-9 0z");
    }
    svg.finish()
}

fn mark(svg: &mut Svg, class: &str, x: f64, y: f64, path: &str) {
    if x < 0.5 {
        svg.shape(class, 0.5, y, "M0 0l8-4.5v9z");
    } else if x > 99.5 {
        svg.shape(class, 99.5, y, "M0 0l-8-4.5v9z");
    } else {
        svg.shape(class, x, y, path);
    }
}

fn whisker(svg: &mut Svg, low: f64, high: f64, y: f64) {
    let (from, to) = (low.clamp(0.5, 99.5), high.clamp(0.5, 99.5));
    svg.line("whisker", (from, y), (to, y));
    for (end, drawn) in [(low, from), (high, to)] {
        if end == drawn {
            svg.line("whisker", (end, y - 4.0), (end, y + 4.0));
        }
    }
}

fn forest_words(one: &Comparison) -> String {
    let mut words = format!("Published {}", table::number(one.published));
    if let Some(margin) = one.margin {
        words += &format!(", margin ±{}", table::trimmed(margin));
    }
    match one.mean {
        Some(mean) => words += &format!("; our mean {}", table::number(mean)),
        None => words += "; no mean of ours",
    }
    let interval = table::interval(one.ci90_low, one.ci90_high, table::signed);
    if !interval.is_empty() {
        words += &format!(", 90 % interval of the difference {interval}");
    }
    if let Some(mean) = one.control_mean {
        words += &format!("; untrained control {}", table::number(mean));
    }
    words + "."
}

/// What stands above the drawings of [`forest`]: differences where all have this margin.
pub fn forest_axis(scale: Scale, margin: Option<f64>) -> Svg {
    let mut svg = Svg::silent("axis", 16.0);
    match scale {
        Scale::Margins => {
            let label = |times: f64| {
                let sign = if times > 0.0 { "+" } else { "" };
                match margin {
                    // no noise of the multiplication
                    Some(margin) => {
                        format!("{sign}{}", table::trimmed((times * margin * 1e9).round() / 1e9))
                    }
                    None => format!("{sign}{}m", table::trimmed(times)),
                }
            };
            svg.label("start", 0.5, 12.0, &label(-4.0));
            for times in [-1.0, 1.0] {
                svg.label("middle", 50.0 + MARGIN * times, 12.0, &label(times));
            }
            svg.label("end", 99.5, 12.0, &label(4.0));
        }
        Scale::Absolute => {
            for (value, anchor) in [(0.0, "start"), (0.5, "middle"), (1.0, "end")] {
                svg.label(anchor, unit(value), 12.0, &value.to_string());
            }
        }
    }
    svg.finish()
}

/// The axis that the dots of some cells share: as wide as the values and figures, within [0, 1].
pub fn strip_axis(values: impl Iterator<Item = f64>) -> Axis {
    let (low, high) = values
        .filter(|&value| is_placeable(value))
        .fold((1.0f64, 0.0f64), |(low, high), value| (low.min(value), high.max(value)));
    if low > high {
        return Axis::linear(0.0, 1.0);
    }
    let room = (0.05 * (high - low)).max(0.002);
    Axis::linear((low - room).max(-0.002), (high + room).min(1.002))
}

/// In percent, with room for half a dot at the ends.
fn place(axis: &Axis, value: f64) -> f64 {
    1.5 + 97.0 * axis.place(value).clamp(0.0, 1.0)
}

/// Ticks and their values below the dots.
pub fn strip_ticks(axis: &Axis) -> Svg {
    let mut svg = Svg::silent("axis", 16.0);
    for tick in axis.ticks(5).iter().filter(|tick| !tick.label.is_empty()) {
        let x = 1.5 + 97.0 * tick.place;
        let anchor = if x < 6.0 {
            "start"
        } else if x > 94.0 {
            "end"
        } else {
            "middle"
        };
        svg.label(anchor, x, 12.0, &tick.label);
    }
    svg.finish()
}

/// The runs of one cell.
#[derive(Debug, Clone)]
pub struct Strip<'a> {
    /// Says whose runs these are.
    pub words: String,
    pub values: &'a [f64],
    pub mean: Option<f64>,
    /// Published figures, each with its margin.
    pub figures: Vec<(f64, Option<f64>)>,
    /// Whether the cell is a control, whose dots are hollow.
    pub control: bool,
}

const STRIP: f64 = 34.0;

/// Every run as a dot, their mean as a stroke, published figures with their margins behind.
pub fn strip(axis: &Axis, strip: &Strip) -> Svg {
    let mut svg = Svg::new(if strip.control { "strip null" } else { "strip" }, STRIP, &strip.words);
    for tick in axis.ticks(5).iter().filter(|tick| !tick.label.is_empty()) {
        let x = 1.5 + 97.0 * tick.place;
        svg.line("grid", (x, 0.0), (x, STRIP));
    }
    for (value, margin) in &strip.figures {
        if let Some(margin) = margin {
            let (low, high) = (place(axis, value - margin), place(axis, value + margin));
            svg.add(format_args!(
                "<rect class=\"band\" x=\"{low:.2}%\" y=\"0\" width=\"{:.2}%\" height=\"100%\"/>",
                high - low
            ));
        }
    }
    for (value, _) in &strip.figures {
        let x = place(axis, *value);
        svg.line("published", (x, 0.0), (x, STRIP));
    }
    let values = &strip.values[..strip.values.len().min(DOTS)];
    for (x, y) in swarm(values.iter().map(|&value| place(axis, value)).collect()) {
        svg.add(format_args!("<circle cx=\"{x:.2}%\" cy=\"{y:.1}\" r=\"2.8\"/>"));
    }
    if let Some(mean) = strip.mean {
        let x = place(axis, mean);
        svg.line("mean", (x, 5.0), (x, STRIP - 5.0));
    }
    svg.finish()
}

/// Dots that would lie on one another are moved up and down about the middle.
fn swarm(mut places: Vec<f64>) -> Vec<(f64, f64)> {
    places.sort_unstable_by(f64::total_cmp);
    let mut dots = Vec::with_capacity(places.len());
    let mut rest = &places[..];
    while let [first, ..] = rest {
        let together = rest.iter().take_while(|&x| x - first < 0.9).count();
        let step = (22.0 / together as f64).min(6.0);
        for (index, &x) in rest[..together].iter().enumerate() {
            // 0, 1, −1, 2, −2 … steps from the middle
            let steps = index.div_ceil(2) as f64 * if index % 2 == 1 { 1.0 } else { -1.0 };
            dots.push((x, STRIP / 2.0 + steps * step));
        }
        rest = &rest[together..];
    }
    dots
}

/// The size of a loss's drawing and of the plot in it; unlike the others it is scaled as a whole.
const LOSS: (f64, f64) = (300.0, 140.0);
const LEFT: f64 = 54.0;
const RIGHT: f64 = 292.0;
const TOP: f64 = 8.0;
const BOTTOM: f64 = 118.0;

/// One term of the loss over the epochs, ascending: the median of the runs, their middle half, and
/// the lowest and highest.
pub fn loss(losses: &[&Loss], words: &str) -> Svg {
    let bands = thinned(losses);
    let values: Vec<f64> =
        bands.iter().flat_map(|band| band.values).flatten().filter(|v| is_placeable(*v)).collect();
    let axis = Axis::of_curve(&values);
    let last = losses.last().map_or(1, |loss| loss.epoch);
    let mut svg = Svg::new("loss", LOSS.1, words);
    // a viewBox makes the height follow the width
    let sized = format!("viewBox=\"0 0 {} {}\"", LOSS.0, LOSS.1);
    svg.0 = svg.0.replacen(&format!("width=\"100%\" height=\"{}\"", LOSS.1), &sized, 1);
    for tick in axis.ticks(4).iter().filter(|tick| !tick.label.is_empty()) {
        let y = BOTTOM - (BOTTOM - TOP) * tick.place;
        svg.add(format_args!(
            "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{RIGHT}\" y2=\"{y:.1}\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">",
            LEFT - 6.0,
            y + 3.5
        ));
        svg.text(&tick.label);
        svg.0.push_str("</text>");
    }
    let x = |epoch: f64| LEFT + (RIGHT - LEFT) * (epoch - 1.0) / (last.max(2) - 1) as f64;
    let y = |value: f64| BOTTOM - (BOTTOM - TOP) * axis.place(value);
    curves(&mut svg, &bands, x, y);
    svg.add(format_args!(
        "<text x=\"{LEFT}\" y=\"134\">epoch 1</text>\
         <text x=\"{RIGHT}\" y=\"134\" text-anchor=\"end\">{last}</text>"
    ));
    svg.finish()
}

/// Some neighbouring epochs.
struct Band {
    epoch: f64,
    /// min, q1, median, q3, max; none where no run has a finite value.
    values: Option<[f64; 5]>,
}

/// At most [`POINTS`] bands; of neighbours the extremes, so that no peak is lost.
fn thinned(losses: &[&Loss]) -> Vec<Band> {
    let known = |loss: &&Loss| {
        let values = [loss.min?, loss.q1?, loss.median?, loss.q3?, loss.max?];
        values.iter().all(|&value| is_placeable(value)).then_some(values)
    };
    losses
        .chunks(losses.len().div_ceil(POINTS).max(1))
        .map(|group| Band {
            epoch: group[group.len() - 1].epoch as f64,
            values: group.iter().filter_map(known).reduce(|a, b| {
                [a[0].min(b[0]), a[1].min(b[1]), b[2], a[3].max(b[3]), a[4].max(b[4])]
            }),
        })
        .collect()
}

fn curves(svg: &mut Svg, bands: &[Band], x: impl Fn(f64) -> f64, y: impl Fn(f64) -> f64) {
    for stretch in bands.split(|band| band.values.is_none()).filter(|stretch| !stretch.is_empty()) {
        let line = |which: usize| {
            let points = stretch.iter().filter_map(|band| Some((band.epoch, band.values?[which])));
            points.map(|(epoch, value)| format!("{:.1} {:.1}", x(epoch), y(value))).collect()
        };
        for (class, low, high) in [("range", 0, 4), ("half", 1, 3)] {
            let (lower, mut upper): (Vec<String>, Vec<String>) = (line(low), line(high));
            upper.reverse();
            let outline = [lower, upper].concat().join("L");
            svg.add(format_args!("<path class=\"{class}\" d=\"M{outline}z\"/>"));
        }
        let median: Vec<String> = line(2);
        if let [only] = &median[..] {
            let (cx, cy) = only.split_once(' ').unwrap_or_default();
            svg.add(format_args!("<circle class=\"median\" cx=\"{cx}\" cy=\"{cy}\" r=\"2.5\"/>"));
        } else {
            svg.add(format_args!("<path class=\"median\" d=\"M{}\"/>", median.join("L")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::Scale as RunScale;

    fn of(epoch: u64, value: Option<f64>) -> Loss {
        let (experiment, cell, term) = ("e".into(), "c".into(), "loss".into());
        let [min, q1, median, q3, max] = [value; 5];
        Loss {
            experiment,
            cell,
            scale: RunScale::Full,
            term,
            epoch,
            n: 3,
            min,
            q1,
            median,
            q3,
            max,
        }
    }

    #[test]
    fn equal_runs_do_not_hide_each_other_and_stay_in_their_row() {
        let dots = swarm(vec![50.0; 20]);
        let mut heights: Vec<f64> = dots.iter().map(|(_, y)| *y).collect();
        heights.sort_by(f64::total_cmp);
        assert!(heights.windows(2).all(|pair| pair[1] - pair[0] > 1.0), "{heights:?}");
        assert!(heights[0] > 2.8 && heights[19] < STRIP - 2.8, "{heights:?}");
        let apart = swarm(vec![10.0, 90.0, 50.0]);
        assert!(apart.iter().all(|(_, y)| *y == STRIP / 2.0));
    }

    #[test]
    fn thinning_keeps_peaks_and_gaps_part_a_curve() {
        let value = |epoch| Some(if epoch == 777 { 99.0 } else { 1.0 });
        let losses: Vec<Loss> = (1..=2000).map(|epoch| of(epoch, value(epoch))).collect();
        let bands = thinned(&losses.iter().collect::<Vec<_>>());
        assert!(bands.len() <= POINTS);
        assert!(bands.iter().any(|band| band.values.is_some_and(|values| values[4] == 99.0)));
        let gap: Vec<Loss> = (1..=9).map(|epoch| of(epoch, (epoch != 5).then_some(1.0))).collect();
        let svg = loss(&gap.iter().collect::<Vec<_>>(), "w").to_string();
        assert_eq!(svg.matches("path class=\"median\"").count(), 2);
        for values in [&[][..], &[of(1, None)], &[of(1, Some(1e300))], &[of(1, Some(0.0))]] {
            let svg = loss(&values.iter().collect::<Vec<_>>(), "<w>").to_string();
            assert!(!svg.contains("NaN") && !svg.contains("inf") && svg.contains("&#60;w&#62;"));
            assert!(roxmltree::Document::parse(&svg).is_ok(), "{svg}");
        }
    }

    #[test]
    fn an_axis_holds_every_value_and_never_much_more_than_0_to_1() {
        for values in [&[][..], &[0.0, 1.0], &[0.5], &[0.99, 0.999, f64::NAN]] {
            let axis = strip_axis(values.iter().copied());
            for &value in values.iter().filter(|value| !value.is_nan()) {
                assert!((0.0..=1.0).contains(&axis.place(value)), "{value}");
            }
            assert!(axis.place(-0.01) < 0.0 && axis.place(1.01) > 1.0);
        }
    }
}
