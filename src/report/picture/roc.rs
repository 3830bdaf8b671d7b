//! ROC curve: shares of anomalies against shares of normal rows flagged, over all thresholds.

use super::axis::{Axis, count, is_placeable, number};
use super::canvas::{CHANCE, Canvas, LEFT_OF_PANEL, Mark, Panel, curve};
use super::class_sizes;

/// Most points of the drawn curve.
const POINTS: usize = 1000;

/// The ROC curve of scores, as SVG: rows with one score are a slanted segment. Beside it chance and
/// the `operating_point` (share of normal rows, share of anomalies that the protocol's rule flags;
/// not marked where one is not a number). `auroc` stands in the legend. With one class only the
/// curve is undefined, and the picture says so.
///
/// # Panics
/// When there is not one label for each score.
pub fn roc_curve(
    title: &str,
    scores: &[f64],
    labels: &[bool],
    auroc: Option<f64>,
    operating_point: (f64, f64),
) -> String {
    assert_eq!(scores.len(), labels.len(), "one label for each score");
    let [normals, anomalies] = class_sizes(labels);
    let points = roc_points(scores, labels);
    let area = auroc.map_or("undefined".into(), |auroc| format!("{auroc:.4}"));
    let (fpr, tpr) = operating_point;
    let marked = is_placeable(fpr) && is_placeable(tpr);
    let rule = format!("flagging rule: ({}, {})", share(fpr), share(tpr));
    let description = format!(
        "ROC curve over {} normal rows and {} anomalies; AUROC {area}; {rule}.",
        count(normals),
        count(anomalies)
    );
    let mut canvas = Canvas::new(428.0, title, &description);
    let mut legend = vec![(Mark::Curve, format!("scores, AUROC {area}"))];
    if marked {
        legend.push((Mark::Ring, rule));
    }
    legend.push((Mark::Chance, "chance, AUROC 0.5".into()));
    canvas.legend(&legend);
    let panel =
        Panel { left: LEFT_OF_PANEL, top: canvas.bottom + 8.0, width: 340.0, height: 340.0 };
    let axis = Axis::linear(0.0, 1.0);
    canvas.axes(
        panel,
        (&axis, "false positive rate (share of normal rows flagged)"),
        (&axis, "true positive rate (share of anomalies flagged)"),
    );
    canvas.path(&panel.line([(0.0, 0.0), (1.0, 1.0)].into_iter()), CHANCE);
    if let Some(points) = &points {
        canvas.path(&panel.line(thinned(points).into_iter()), &curve());
    }
    if marked {
        canvas.ring(panel.x(fpr), panel.y(tpr));
    }
    let lack = if points.is_none() { "No curve without rows of both classes: " } else { "" };
    canvas.note(&format!("{lack}{} normal rows, {} anomalies.", count(normals), count(anomalies)));
    canvas.finish()
}

fn share(value: f64) -> String {
    if value.is_finite() { format!("{value:.3}") } else { number(value) }
}

/// Corners of the ROC curve from (0, 0) to (1, 1), (share of normal rows, share of anomalies) with
/// scores at or above each distinct score, those on a straight line left out. `None` without rows
/// of both classes or with a score that is not a number.
fn roc_points(scores: &[f64], labels: &[bool]) -> Option<Vec<(f64, f64)>> {
    let [normals, anomalies] = class_sizes(labels);
    if normals == 0 || anomalies == 0 || scores.iter().any(|score| score.is_nan()) {
        return None;
    }
    let mut rows: Vec<(f64, bool)> = scores.iter().copied().zip(labels.iter().copied()).collect();
    rows.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    let mut corners = vec![(0i64, 0i64)];
    for tied in rows.chunk_by(|a, b| a.0 == b.0) {
        let positive = tied.iter().filter(|(_, anomaly)| *anomaly).count() as i64;
        let (fp, tp) = corners[corners.len() - 1];
        let next = (fp + tied.len() as i64 - positive, tp + positive);
        if let [.., before, last] = corners[..] {
            let (along, ahead) =
                ((last.0 - before.0, last.1 - before.1), (next.0 - last.0, next.1 - last.1));
            if along.0 * ahead.1 == along.1 * ahead.0 {
                corners.pop();
            }
        }
        corners.push(next);
    }
    let shares = |(fp, tp): (i64, i64)| (fp as f64 / normals as f64, tp as f64 / anomalies as f64);
    Some(corners.into_iter().map(shares).collect())
}

/// At most `POINTS` of the points, so that the line through them stays within the least tolerance
/// that suffices (Douglas and Peucker, 1973), from a tenth of a unit of the picture upwards.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut tolerance = 0.0003;
    loop {
        let mut kept = Vec::new();
        keep(points, tolerance, &mut kept);
        kept.extend(points.last());
        if kept.len() <= POINTS {
            return kept;
        }
        tolerance *= 1.5;
    }
}

/// Adds the first of `points` and those between the ends that a line must pass to stay within
/// `tolerance`. Halves the work list by hand: the curve of many rows would make recursion deep.
fn keep(points: &[(f64, f64)], tolerance: f64, kept: &mut Vec<(f64, f64)>) {
    let mut open = vec![(0, points.len().saturating_sub(1))];
    while let Some((first, last)) = open.pop() {
        let ((x0, y0), (x1, y1)) = (points[first], points[last]);
        let norm = (x1 - x0).hypot(y1 - y0).max(f64::MIN_POSITIVE);
        let distance = |at: usize| {
            let (x, y) = points[at];
            ((x - x0) * (y1 - y0) - (y - y0) * (x1 - x0)).abs() / norm
        };
        let farthest = (first + 1..last).max_by(|&a, &b| distance(a).total_cmp(&distance(b)));
        match farthest.filter(|&at| distance(at) > tolerance) {
            Some(at) => open.extend([(at, last), (first, at)]),
            None => kept.push(points[first]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics;
    use crate::random::{Numbers, Stream};

    fn area(points: &[(f64, f64)]) -> f64 {
        points.windows(2).map(|pair| (pair[1].0 - pair[0].0) * (pair[0].1 + pair[1].1) / 2.0).sum()
    }

    /// Overlapping classes; scores are rounded to `steps` values a unit, so many are tied.
    fn rows(count: usize, steps: f64) -> (Vec<f64>, Vec<bool>) {
        let mut numbers = Numbers::new(1, Stream::Data, 0);
        let mut row = || {
            let anomaly = numbers.uniform() < 0.2;
            let score = numbers.normal() + if anomaly { 1.0 } else { 0.0 };
            ((score * steps).round() / steps, anomaly)
        };
        (0..count).map(|_| row()).unzip()
    }

    #[test]
    fn the_area_under_the_points_is_the_auroc() {
        for (count, steps) in [(50, 4.0), (3000, 10.0), (3000, 1e9)] {
            let (mut scores, labels) = rows(count, steps);
            scores[3] = f64::INFINITY;
            let flags = vec![false; scores.len()];
            let (_, found) = metrics::evaluate(&scores, &labels, &flags).expect("metrics");
            let auroc = found[metrics::Metric::Auroc].expect("both classes");
            let points = roc_points(&scores, &labels).expect("both classes");
            assert!((area(&points) - auroc).abs() < 1e-12);
            assert!((area(&thinned(&points)) - auroc).abs() < 3e-4);
        }
    }

    #[test]
    fn ties_are_slanted_and_straight_lines_have_no_points_between() {
        let labels = [true, true, false, true, false, false];
        let points = roc_points(&[6.0, 5.0, 4.0, 4.0, 3.0, 2.0], &labels);
        let third = 1.0 / 3.0;
        let corners = vec![(0.0, 0.0), (0.0, 2.0 * third), (third, 1.0), (1.0, 1.0)];
        assert_eq!(points, Some(corners));
    }

    #[test]
    fn a_curve_of_many_rows_is_thinned_within_a_third_of_a_unit() {
        let (scores, labels) = rows(200_000, 1e9);
        let points = roc_points(&scores, &labels).expect("both classes");
        let kept = thinned(&points);
        assert!(points.len() > 10_000 && kept.len() <= POINTS, "{} {}", points.len(), kept.len());
        assert_eq!((kept[0], kept[kept.len() - 1]), ((0.0, 0.0), (1.0, 1.0)));
        for &(x, y) in &points {
            let along = |pair: &[(f64, f64)]| {
                let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
                let (dx, dy) = (x1 - x0, y1 - y0);
                let t = (((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy)).clamp(0.0, 1.0);
                (x - x0 - t * dx).hypot(y - y0 - t * dy)
            };
            let distance = kept.windows(2).map(along).fold(f64::INFINITY, f64::min);
            assert!(distance < 0.001, "({x}, {y}) is {distance} off");
        }
    }

    #[test]
    fn one_class_has_no_curve() {
        assert_eq!(roc_points(&[1.0, 2.0], &[true, true]), None);
        let svg = roc_curve("t", &[1.0, 2.0], &[true, true], None, (f64::NAN, 0.5));
        assert!(svg.contains("No curve without rows of both classes"));
        assert!(svg.contains("AUROC undefined"));
        assert_eq!(svg.matches("a4.5 4.5").count(), 0, "no operating point");
    }
}
