//! Histogram of scores: normal rows and anomalies over the same bins, and the threshold.

use super::axis::{Axis, count, is_placeable, number};
use super::canvas::{
    Anchor, Canvas, LEFT_OF_PANEL, Mark, Panel, anomalous_area, length, normal_area,
};
use super::class_sizes;

/// Scores of both classes in bins of equal width on the axis.
#[derive(Debug, Clone, PartialEq)]
struct Histogram {
    axis: Axis,
    /// Normal rows and anomalies of each bin, from the lowest scores up.
    bins: Vec<[u64; 2]>,
    /// Normal rows and anomalies without a place on the axis.
    off: Off,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Off {
    /// −∞ or below −10¹⁰⁰.
    below: [u64; 2],
    /// ∞ or above 10¹⁰⁰.
    above: [u64; 2],
    undefined: [u64; 2],
}

impl Histogram {
    fn new(scores: &[f64], labels: &[bool], threshold: f64) -> Self {
        let axis = Axis::spanning(scores.iter().copied().chain([threshold]), 0.05);
        // Rice's rule, within what can be told apart in print
        let rule = (2.0 * (scores.len() as f64).cbrt()).ceil() as usize;
        let mut bins = vec![[0; 2]; rule.clamp(8, 60)];
        let mut off = Off::default();
        for (&score, &anomaly) in scores.iter().zip(labels) {
            let class = usize::from(anomaly);
            if is_placeable(score) {
                let bin = (axis.place(score) * bins.len() as f64) as usize;
                let last = bins.len() - 1;
                bins[bin.min(last)][class] += 1;
            } else if score.is_nan() {
                off.undefined[class] += 1;
            } else if score > 0.0 {
                off.above[class] += 1;
            } else {
                off.below[class] += 1;
            }
        }
        Self { axis, bins, off }
    }

    /// Path data of one class's bars as steps, empty bins left out.
    fn outline(&self, panel: Panel, counts: &Axis, class: usize) -> String {
        let (base, width) = (length(panel.y(0.0)), 1.0 / self.bins.len() as f64);
        let mut data = String::new();
        let mut drawing = false;
        for (bin, rows) in self.bins.iter().map(|rows| rows[class]).enumerate() {
            let [left, right] = [bin, bin + 1].map(|edge| length(panel.x(edge as f64 * width)));
            match (drawing, rows > 0) {
                (false, true) => data += &format!("M{left} {base}"),
                (true, false) => data += &format!("V{base}z"),
                (true, true) | (false, false) => {}
            }
            drawing = rows > 0;
            if drawing {
                data += &format!("V{}H{right}", length(panel.y(counts.place(rows as f64))));
            }
        }
        if drawing { data + &format!("V{base}z") } else { data }
    }
}

/// Scores of normal rows and of anomalies over the same bins, with the threshold, as SVG.
/// `score_name` names the score with its unit, such as `energy (nats)`; `labels` is true for an
/// anomaly. The horizontal axis is linear, logarithmic, or linear about the middle and logarithmic
/// far from it, whichever shows the middle half of the scores; the vertical one counts rows and is
/// logarithmic where bins differ a hundredfold. Scores without a place on it are counted below.
///
/// # Panics
/// When there is not one label for each score.
pub fn score_histogram(
    title: &str,
    score_name: &str,
    scores: &[f64],
    labels: &[bool],
    threshold: f64,
) -> String {
    assert_eq!(scores.len(), labels.len(), "one label for each score");
    let histogram = Histogram::new(scores, labels, threshold);
    let sizes = class_sizes(labels);
    let description = format!(
        "Histogram of the score {score_name} of {} normal rows and {} anomalies. The threshold \
         is {}.",
        count(sizes[0]),
        count(sizes[1]),
        number(threshold)
    );
    let mut canvas = Canvas::new(488.0, title, &description);
    canvas.legend(&[
        (Mark::NormalArea, format!("normal, n = {}", count(sizes[0]))),
        (Mark::AnomalousArea, format!("anomalous, n = {}", count(sizes[1]))),
    ]);
    let top = canvas.bottom + 20.0;
    let panel = Panel { left: LEFT_OF_PANEL, top, width: 400.0, height: 220.0 };
    let counts = Axis::of_counts(histogram.bins.iter().flatten().copied());
    canvas.axes(panel, (&histogram.axis, score_name), (&counts, "rows in a bin"));
    canvas.path(&histogram.outline(panel, &counts, 0), &normal_area());
    canvas.path(&histogram.outline(panel, &counts, 1), &anomalous_area());
    draw_threshold(&mut canvas, panel, &histogram.axis, threshold);
    for note in notes(&histogram.off, scores.len(), threshold) {
        canvas.note(&note);
    }
    canvas.finish()
}

fn draw_threshold(canvas: &mut Canvas, panel: Panel, axis: &Axis, threshold: f64) {
    if !is_placeable(threshold) {
        return;
    }
    let place = axis.place(threshold);
    let (x, top) = (panel.x(place), panel.top - 5.0);
    let line = format!("M{} {}V{}", length(x), length(top), length(panel.top + panel.height));
    canvas
        .path(&line, "stroke=\"#000\" stroke-width=\"1.8\" stroke-dasharray=\"6 3\" fill=\"none\"");
    let text = format!("threshold {}", number(threshold));
    let (anchor, x) = match place {
        ..0.2 => (Anchor::Start, x - 4.0),
        0.8.. => (Anchor::End, x + 4.0),
        _ => (Anchor::Middle, x),
    };
    canvas.text((x, top - 4.0), anchor, &text);
}

fn notes(off: &Off, rows: usize, threshold: f64) -> Vec<String> {
    let mut notes = Vec::new();
    if rows == 0 {
        notes.push("There are no rows.".to_owned());
    }
    for (classes, what) in [
        (off.above, "above 10¹⁰⁰ or ∞"),
        (off.below, "below −10¹⁰⁰ or −∞"),
        (off.undefined, "not numbers"),
    ] {
        let [normal, anomalous] = classes.map(|rows| rows as usize);
        if normal + anomalous > 0 {
            notes.push(format!(
                "Off the axis: {} of {} scores are {what} ({} normal, {} anomalous).",
                count(normal + anomalous),
                count(rows),
                count(normal),
                count(anomalous)
            ));
        }
    }
    if !is_placeable(threshold) {
        notes.push(format!("The threshold is {}, off the axis.", number(threshold)));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Numbers, Stream};

    fn heavy_tails() -> (Vec<f64>, Vec<bool>) {
        let mut numbers = Numbers::new(1, Stream::Data, 0);
        let mut row = || {
            let (anomaly, u) = (numbers.uniform() < 0.2, numbers.uniform());
            (if anomaly { 0.01 / (1.001 - u).powi(5) } else { u - 12.0 }, anomaly)
        };
        (0..5000).map(|_| row()).unzip()
    }

    #[test]
    fn bins_hold_the_rows_between_their_edges() {
        let (scores, labels) = heavy_tails();
        let histogram = Histogram::new(&scores, &labels, 0.5);
        assert_eq!(histogram.axis.scale_name(), Some("asinh scale"));
        let bins = histogram.bins.len() as f64;
        for (bin, counted) in histogram.bins.iter().enumerate() {
            let (low, high) = (bin as f64 / bins, (bin + 1) as f64 / bins);
            for class in [false, true] {
                let within = |(score, label): &(&f64, &bool)| {
                    (low..high).contains(&histogram.axis.place(**score)) && **label == class
                };
                let rows = scores.iter().zip(&labels).filter(within).count() as u64;
                assert_eq!(counted[usize::from(class)], rows, "bin {bin}");
            }
        }
        let total: u64 = histogram.bins.iter().flatten().sum();
        assert_eq!((total, histogram.off), (5000, Off::default()));
    }

    #[test]
    fn the_highest_score_is_in_the_last_bin_and_none_is_lost() {
        let labels = [false, true, false, true, true];
        let scores = [f64::INFINITY, 1.0, 2.0, f64::NEG_INFINITY, 1e101];
        let histogram = Histogram::new(&scores, &labels, f64::INFINITY);
        let total: u64 = histogram.bins.iter().flatten().sum();
        assert_eq!(total, 2);
        let off = Off { above: [1, 1], below: [0, 1], undefined: [0, 0] };
        assert_eq!(histogram.off, off);
        let svg = score_histogram("t", "s", &scores, &labels, f64::INFINITY);
        assert!(svg.contains("2 of 5 scores are above 10¹⁰⁰ or ∞ (1 normal, 1 anomalous)"));
        assert!(svg.contains("The threshold is ∞"));
    }

    /// The top of a bar lies at the count's place on the axis, its sides at the bin's edges.
    #[test]
    fn bars_are_as_high_as_their_counts() {
        let histogram = Histogram {
            axis: Axis::linear(0.0, 1.0),
            bins: vec![[0, 1], [3, 0], [4, 0], [0, 0], [1, 0]],
            off: Off::default(),
        };
        let panel = Panel { left: 0.0, top: 0.0, width: 50.0, height: 40.0 };
        let counts = Axis::linear(0.0, 4.0);
        let normal = histogram.outline(panel, &counts, 0);
        assert_eq!(normal, "M10 40V10H20V0H30V40zM40 40V30H50V40z");
        assert_eq!(histogram.outline(panel, &counts, 1), "M0 40V30H10V40z");
    }

    #[test]
    fn the_threshold_stands_at_its_place_with_its_value() {
        let svg = score_histogram("t", "s", &[0.0, 10.0], &[false, true], 5.0);
        let middle = length(LEFT_OF_PANEL + 200.0);
        assert!(svg.contains("threshold 5") && svg.contains(&format!("<path d=\"M{middle} ")));
        assert!(svg.contains("normal, n = 1") && svg.contains("anomalous, n = 1"));
    }
}
