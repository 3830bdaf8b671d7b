//! Loss curves: a panel for each term of the loss over the epochs.

use super::axis::{Axis, count, is_placeable, number};
use super::canvas::{Anchor, Canvas, LEFT_OF_PANEL, NORMAL_DARK, Panel, curve, dot, dots};

/// More epochs than this are drawn by the lowest and highest of neighbours.
const POINTS: usize = 1000;

/// The terms of a loss over the epochs, as SVG: `curve` has a row for each epoch, a value for each
/// of `terms`. A panel's vertical axis is logarithmic where its values ask for it. Values that are
/// not finite leave gaps and are counted below; without epochs the picture says so.
pub fn loss_curves(title: &str, terms: &[String], curve: &[Vec<f64>]) -> String {
    let description = description(terms, curve);
    let columns = match terms.len() {
        0 | 1 => 1,
        2 | 4 => 2,
        _ => 3,
    };
    let (panel_width, panel_height) = (if columns == 1 { 390.0 } else { 270.0 }, 180.0);
    let column = LEFT_OF_PANEL + panel_width + 18.0;
    let mut canvas = Canvas::new(columns as f64 * column, title, &description);
    if terms.is_empty() || curve.is_empty() {
        canvas.note("No epoch was trained, so there is no loss to show.");
        return canvas.finish();
    }
    let (top, row_height) = (canvas.bottom + 22.0, panel_height + 74.0);
    for (index, term) in terms.iter().enumerate() {
        let (row, place) = (index / columns, index % columns);
        let panel = Panel {
            left: place as f64 * column + LEFT_OF_PANEL,
            top: top + row as f64 * row_height,
            width: panel_width,
            height: panel_height,
        };
        draw(&mut canvas, panel, term, &column_of(curve, index));
    }
    for (index, term) in terms.iter().enumerate() {
        let missing = column_of(curve, index).iter().filter(|value| !is_placeable(**value)).count();
        if missing > 0 {
            let epochs = count(curve.len());
            canvas.note(&format!("{term}: not finite in {} of {epochs} epochs.", count(missing)));
        }
    }
    canvas.finish()
}

/// One term over the epochs; NaN where a row has no such term.
fn column_of(curve: &[Vec<f64>], term: usize) -> Vec<f64> {
    curve.iter().map(|row| row.get(term).copied().unwrap_or(f64::NAN)).collect()
}

fn description(terms: &[String], curve: &[Vec<f64>]) -> String {
    let mut text = format!("Loss over {} epochs, each term in a panel of its own.", curve.len());
    if let (Some(first), Some(last)) = (curve.first(), curve.last()) {
        for (term, (first, last)) in terms.iter().zip(first.iter().zip(last)) {
            text += &format!(
                " {term}: {} after the first epoch, {} after the last.",
                number(*first),
                number(*last)
            );
        }
    }
    text
}

fn draw(canvas: &mut Canvas, panel: Panel, term: &str, values: &[f64]) {
    let x = Axis::of_epochs(values.len());
    let y = Axis::of_curve(values);
    canvas.axes(panel, (&x, "epoch"), (&y, "epoch mean (no unit)"));
    canvas.panel_name((panel.left, panel.top - 8.0), term);
    if let Some(last) = values.last() {
        let text = format!("last {}", number(*last));
        canvas.text((panel.left + panel.width, panel.top - 8.0), Anchor::End, &text);
    }
    let numbered: Vec<(usize, f64)> =
        values.iter().copied().zip(1..).map(|(v, e)| (e, v)).collect();
    for stretch in numbered.split(|(_, value)| !is_placeable(*value)) {
        let places = || {
            let thinned = thinned(stretch).into_iter();
            thinned.map(|(epoch, value)| (x.place(epoch as f64), y.place(value)))
        };
        if stretch.len() > 1 {
            canvas.path(&panel.line(places()), &curve());
        }
        if values.len() <= 30 || stretch.len() == 1 {
            let places = places().map(|(x, y)| dot(panel.x(x), panel.y(y)));
            canvas.path(&places.collect::<String>(), &dots(NORMAL_DARK, 5.0));
        }
    }
}

/// The first, lowest, highest and last of each group of neighbours, so that no peak is lost.
fn thinned(stretch: &[(usize, f64)]) -> Vec<(usize, f64)> {
    if stretch.len() <= POINTS {
        return stretch.to_vec();
    }
    let mut kept = Vec::new();
    for group in stretch.chunks(stretch.len().div_ceil(POINTS / 4)) {
        let by_value = |a: &&(usize, f64), b: &&(usize, f64)| a.1.total_cmp(&b.1);
        let mut few: Vec<(usize, f64)> =
            group.first().into_iter().chain(group.last()).copied().collect();
        few.extend(group.iter().min_by(by_value).into_iter().chain(group.iter().max_by(by_value)));
        few.sort_unstable_by_key(|(epoch, _)| *epoch);
        few.dedup_by_key(|(epoch, _)| *epoch);
        kept.extend(few);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_epochs_the_picture_says_so() {
        let svg = loss_curves("t", &["loss".into()], &[]);
        assert!(svg.contains("No epoch was trained"));
    }

    #[test]
    fn a_value_that_is_not_finite_leaves_a_gap_and_is_counted() {
        let curve: Vec<Vec<f64>> =
            [3.0, 2.0, f64::NAN, f64::INFINITY, 1.0, 0.5].map(|value| vec![value]).to_vec();
        let svg = loss_curves("t", &["loss".into()], &curve);
        assert_eq!(svg.matches("stroke-linejoin").count(), 2, "two stretches");
        assert!(svg.contains("loss: not finite in 2 of 6 epochs."));
    }

    #[test]
    fn negative_losses_get_no_log_axis_and_steep_positive_ones_do() {
        let terms = ["loss".to_owned()];
        let falling = |offset: f64| -> Vec<Vec<f64>> {
            (1..40).map(|epoch| vec![100.0 / f64::from(epoch) + offset]).collect()
        };
        assert!(loss_curves("t", &terms, &falling(0.0)).contains("log scale"));
        assert!(!loss_curves("t", &terms, &falling(-50.0)).contains("log scale"));
    }

    #[test]
    fn thinning_keeps_ends_and_extremes() {
        let value = |epoch: usize| if epoch == 7777 { 99.0 } else { (epoch as f64).sin() };
        let all: Vec<(usize, f64)> = (1..=20_000).map(|epoch| (epoch, value(epoch))).collect();
        let kept = thinned(&all);
        assert!(kept.len() <= POINTS && kept.is_sorted_by_key(|(epoch, _)| *epoch));
        assert_eq!((kept[0], kept[kept.len() - 1]), (all[0], all[19_999]));
        assert!(kept.contains(&(7777, 99.0)));
    }
}
