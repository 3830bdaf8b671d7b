//! Pictures of one run, for papers and for the doubtful: what was measured in, the bytes of an SVG
//! or a PNG out. The same input gives the same bytes. Nothing here reads or writes files, prints,
//! or knows tensors. How to read each picture: `docs/pictures.md`. The pictures of benchmarks are drawn
//! by the same means (`lines`).
//!
//! Normal rows are light blue and plain, anomalies dark red and hatched or crossed, so that they
//! stay apart in grey and for the colour-blind (after Okabe and Ito, 2008, vermilion darkened).

pub(crate) mod axis;
mod canvas;
mod images;
mod latent;
mod lines;
mod loss;
mod roc;
mod scores;

pub use images::{ImageGroup, reconstruction_grid};
pub use latent::scatter_projections;
pub use lines::{Line, grid_growth, job_width};
pub use loss::loss_curves;
pub use roc::roc_curve;
pub use scores::score_histogram;

/// How many of `labels` are normal rows and how many are anomalies.
fn class_sizes(labels: &[bool]) -> [usize; 2] {
    let anomalies = labels.iter().filter(|&&anomaly| anomaly).count();
    [labels.len() - anomalies, anomalies]
}

#[cfg(test)]
mod tests {
    use super::*;

    const TITLE: &str = "a<b>&\"c\" · 'd'";
    const NAMES: [&str; 3] = ["code", "<distance>", "cosine & more"];

    /// Every kind of SVG from a few values that have done harm before.
    fn pictures(values: &[f64]) -> Vec<String> {
        let labels: Vec<bool> = (0..values.len()).map(|row| row % 3 == 1).collect();
        let same = vec![true; values.len()];
        let curve: Vec<Vec<f64>> = values.iter().map(|&value| vec![value, -value]).collect();
        let points: Vec<[f64; 3]> = values.iter().map(|&value| [value, -value, 0.5]).collect();
        let terms = ["loss".to_owned(), "<kl>".to_owned()];
        let first = values.first().copied().unwrap_or(0.5);
        let mut pictures = vec![loss_curves(TITLE, &terms, &curve), loss_curves(TITLE, &[], &[])];
        for labels in [&labels, &same] {
            pictures.push(score_histogram(TITLE, "error <&> (nats)", values, labels, first));
            pictures.push(score_histogram(TITLE, "error", values, labels, -1e300));
            pictures.push(roc_curve(TITLE, values, labels, Some(0.5), (0.25, 0.75)));
            pictures.push(roc_curve(TITLE, values, labels, None, (f64::NAN, f64::INFINITY)));
            pictures.push(scatter_projections(TITLE, &points, NAMES, labels));
        }
        pictures
    }

    const HARMFUL: [&[f64]; 8] = [
        &[],
        &[0.0],
        &[-3.5; 7],
        &[1e-3, 1.0, 7.0, 1e9, f64::INFINITY],
        &[f64::NAN, f64::NEG_INFINITY, -1e308, 1e308, 5e-324, -0.0, 0.0],
        &[f64::INFINITY, f64::INFINITY],
        &[1.0, 1.0 + 1e-15, 1.0 + 2e-15],
        &[-1e12, -8.0, -8.1, -8.2, -7.9, -7.7, 3e7],
    ];

    #[test]
    fn every_picture_is_well_formed_and_has_a_size_and_words() {
        for svg in HARMFUL.into_iter().flat_map(pictures) {
            let tree = roxmltree::Document::parse(&svg).expect("well-formed XML");
            let root = tree.root_element();
            let size = |name| root.attribute(name).and_then(|text| text.parse::<f64>().ok());
            let (width, height) = (size("width").expect("width"), size("height").expect("height"));
            let view = format!("0 0 {width} {height}");
            assert_eq!(root.attribute("viewBox"), Some(view.as_str()));
            let words = |name| root.children().find(|n| n.has_tag_name(name))?.text();
            assert_eq!(words("title"), Some(TITLE));
            assert!(words("desc").is_some_and(|text| text.len() > 20));
            for node in tree.descendants() {
                for attribute in node.attributes() {
                    let value = attribute.value();
                    assert!(!value.contains("NaN") && !value.contains("inf"), "{value} in {svg}");
                }
            }
        }
    }

    #[test]
    fn the_same_data_give_the_same_bytes() {
        for values in HARMFUL {
            assert_eq!(pictures(values), pictures(values));
        }
    }
}
