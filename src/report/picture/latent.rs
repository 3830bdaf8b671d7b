//! Scatter of three coordinates of rows, such as DAGMM's z = [code, relative distance, cosine]
//! (Zong et al., 2018, equation 3), in its three projections.

use std::collections::BTreeMap;

use super::axis::{Axis, count, is_placeable};
use super::canvas::{Canvas, LEFT_OF_PANEL, Mark, NORMAL, Panel, cross, crosses, dot, dots};
use super::class_sizes;

/// Side of the squares in which rows of one class share a mark, in units.
const SQUARE: f64 = 6.0;

/// The fewest rows that each size of mark stands for.
const STEPS: [usize; 4] = [1, 10, 100, 1000];
/// Diameters of dots and widths of crosses, for each of `STEPS`.
const DOTS: [f64; 4] = [3.0, 4.0, 5.2, 6.6];
const CROSSES: [f64; 4] = [5.0, 5.6, 6.2, 6.8];

/// Three projections of rows with three coordinates, side by side, as SVG. `names` are the
/// coordinates' names; they have no unit. Every row is shown: rows of a class within a small square
/// share a mark at their mean, larger for more of them, which keeps the file below 300 kB.
/// Anomalies are open crosses above the dots of normal rows, so that neither hides the other. Rows
/// with a coordinate that is not finite are counted below.
///
/// # Panics
/// When there is not one label for each row.
pub fn scatter_projections(
    title: &str,
    coordinates: &[[f64; 3]],
    names: [&str; 3],
    labels: &[bool],
) -> String {
    assert_eq!(coordinates.len(), labels.len(), "one label for each row");
    let [normals, anomalies] = class_sizes(labels).map(count);
    let description = format!(
        "Rows by {}, {} and {}, two of these in each of three panels: {normals} normal rows as \
         dots, {anomalies} anomalies as crosses.",
        names[0], names[1], names[2]
    );
    let side = 236.0;
    let column = LEFT_OF_PANEL + side + 14.0;
    let mut canvas = Canvas::new(3.0 * column, title, &description);
    canvas.legend(&legend(&normals, &anomalies));
    let shown: Vec<([f64; 3], bool)> =
        coordinates.iter().copied().zip(labels.iter().copied()).filter(is_shown).collect();
    let axes = [0, 1, 2]
        .map(|coordinate| Axis::spanning(shown.iter().map(|(row, _)| row[coordinate]), 0.01));
    let top = canvas.bottom + 8.0;
    for (index, (across, up)) in [(0, 1), (0, 2), (1, 2)].into_iter().enumerate() {
        let left = index as f64 * column + LEFT_OF_PANEL;
        let panel = Panel { left, top, width: side, height: side };
        let [x, y] = [across, up].map(|coordinate| &axes[coordinate]);
        let [x_label, y_label] = [across, up].map(|at| format!("{} (no unit)", names[at]));
        canvas.axes(panel, (x, &x_label), (y, &y_label));
        for class in [false, true] {
            let rows = shown.iter().filter(|(_, label)| *label == class);
            let places =
                rows.map(|(row, _)| (panel.x(x.place(row[across])), panel.y(y.place(row[up]))));
            draw(&mut canvas, &marks(places), class);
        }
    }
    let lost = coordinates.len() - shown.len();
    if lost > 0 {
        let rows = count(coordinates.len());
        canvas
            .note(&format!("{} of {rows} rows have a coordinate that is not finite.", count(lost)));
    }
    canvas.finish()
}

fn is_shown((row, _): &([f64; 3], bool)) -> bool {
    row.iter().all(|&value| is_placeable(value))
}

fn legend(normals: &str, anomalies: &str) -> Vec<(Mark, String)> {
    let mut entries = vec![
        (Mark::NormalDots(DOTS[2]), format!("normal, n = {normals}")),
        (Mark::AnomalousCrosses(CROSSES[2]), format!("anomalous, n = {anomalies}")),
    ];
    let rows = ["mark for 1–9 rows", "10–99", "100–999", "1,000 or more"];
    for ((dot, cross), rows) in DOTS.into_iter().zip(CROSSES).zip(rows) {
        entries.push((Mark::NormalDots(dot), String::new()));
        entries.push((Mark::AnomalousCrosses(cross), rows.into()));
    }
    entries
}

/// The mean place and the number of the rows of each square, in the squares' order.
fn marks(places: impl Iterator<Item = (f64, f64)>) -> Vec<(f64, f64, usize)> {
    let mut squares: BTreeMap<(i64, i64), (f64, f64, usize)> = BTreeMap::new();
    for (x, y) in places {
        let square = ((x / SQUARE).floor() as i64, (y / SQUARE).floor() as i64);
        let (sum_x, sum_y, rows) = squares.entry(square).or_default();
        *sum_x += x;
        *sum_y += y;
        *rows += 1;
    }
    squares.into_values().map(|(x, y, rows)| (x / rows as f64, y / rows as f64, rows)).collect()
}

/// A path for each size of mark.
fn draw(canvas: &mut Canvas, marks: &[(f64, f64, usize)], anomalous: bool) {
    for (index, least) in STEPS.into_iter().enumerate() {
        let next = STEPS.get(index + 1).copied().unwrap_or(usize::MAX);
        let of_size = marks.iter().filter(|(_, _, rows)| (least..next).contains(rows));
        let (data, attributes): (String, String) = match anomalous {
            true => {
                let size = CROSSES[index];
                (of_size.map(|(x, y, _)| cross(*x, *y, size)).collect(), crosses(size))
            }
            false => (of_size.map(|(x, y, _)| dot(*x, *y)).collect(), dots(NORMAL, DOTS[index])),
        };
        if !data.is_empty() {
            canvas.path(&data, &attributes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::canvas::length;
    use super::*;
    use crate::random::{Numbers, Stream};

    const NAMES: [&str; 3] = ["code", "relative distance", "cosine similarity"];

    fn spread(rows: usize) -> Vec<[f64; 3]> {
        let mut numbers = Numbers::new(1, Stream::Data, 0);
        (0..rows).map(|_| [(); 3].map(|()| numbers.uniform())).collect()
    }

    #[test]
    fn every_row_counts_in_one_mark() {
        let places = spread(5000).into_iter().map(|[x, y, _]| (x * 236.0, y * 236.0));
        let marks = marks(places);
        assert_eq!(marks.iter().map(|(_, _, rows)| rows).sum::<usize>(), 5000);
        assert!(marks.len() <= 40 * 40);
        assert_eq!(super::marks([(1.0, 2.0), (3.0, 4.0)].into_iter()), [(2.0, 3.0, 2)]);
    }

    #[test]
    fn a_file_of_many_rows_stays_small_and_the_same() {
        let rows = spread(200_000);
        let labels: Vec<bool> = (0..rows.len()).map(|row| row % 3 == 0).collect();
        let svg = scatter_projections("t", &rows, NAMES, &labels);
        assert!(svg.len() < 300_000, "{} bytes", svg.len());
        assert_eq!(svg, scatter_projections("t", &rows, NAMES, &labels));
    }

    #[test]
    fn a_single_anomaly_is_drawn_above_the_normal_rows() {
        let rows = vec![[1.0, 2.0, 0.5]; 3000];
        let labels: Vec<bool> = (0..rows.len()).map(|row| row == 7).collect();
        let svg = scatter_projections("t", &rows, NAMES, &labels);
        // all rows are in the middle of the first panel, and the legend shows marks before it
        let middle = LEFT_OF_PANEL + 236.0 / 2.0;
        let dot = svg.find(&format!("\"M{} ", length(middle)));
        let cross = svg.find(&format!("\"M{} ", length(middle - CROSSES[0] / 2.0)));
        assert!(dot.is_some() && dot < cross);
    }

    #[test]
    fn rows_that_are_not_finite_are_counted() {
        let rows = [[1.0, 2.0, 0.5], [f64::NAN, 2.0, 0.5], [1.0, f64::INFINITY, 0.5]];
        let svg = scatter_projections("t", &rows, NAMES, &[false, false, true]);
        assert!(svg.contains("2 of 3 rows have a coordinate that is not finite."));
    }
}
