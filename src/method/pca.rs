//! Principal component analysis: a row's score is its squared distance from the subspace in which the training
//! rows vary most. Closed form, in f64 (Pearson, "On lines and planes of closest fit to systems of points in
//! space", 1901; for anomalies Jackson and Mudholkar, "Control procedures for residuals associated with
//! principal component analysis", 1979).

use nalgebra::{DMatrix, DVector};

use super::{ROWS_AT_ONCE, Rows};
use crate::model::PcaSpec;

/// A mean and an orthonormal basis.
#[derive(Debug)]
pub struct Pca {
    mean: DVector<f64>,
    /// [features, components]
    basis: DMatrix<f64>,
}

impl Pca {
    /// Fits rows, at least one; with no more components than they have features.
    pub fn fit(spec: &PcaSpec, train: Rows) -> Self {
        let count = train.count() as f64;
        let mut mean = DVector::zeros(train.features);
        for chunk in chunks(train) {
            mean += chunk.column_sum();
        }
        mean /= count;
        let mut covariance = DMatrix::zeros(train.features, train.features);
        for chunk in chunks(train) {
            let centred = centre(chunk, &mean);
            covariance += &centred * centred.transpose();
        }
        let eigen = (covariance / count).symmetric_eigen();
        let mut order: Vec<usize> = (0..train.features).collect();
        order.sort_by(|&a, &b| eigen.eigenvalues[b].total_cmp(&eigen.eigenvalues[a]));
        order.truncate(spec.components);
        Self { mean, basis: eigen.eigenvectors.select_columns(&order) }
    }

    /// The squared distance of every row from the subspace.
    pub fn scores(&self, rows: Rows) -> Vec<f64> {
        let residuals = chunks(rows).flat_map(|chunk| {
            let centred = centre(chunk, &self.mean);
            let inside = &self.basis * (self.basis.transpose() * &centred);
            let residuals = centred - inside;
            let squares: Vec<f64> =
                residuals.column_iter().map(|column| column.norm_squared()).collect();
            squares
        });
        residuals.collect()
    }
}

/// Rows some at a time, a row a column.
fn chunks(rows: Rows<'_>) -> impl Iterator<Item = DMatrix<f64>> {
    rows.values.chunks(ROWS_AT_ONCE * rows.features).map(move |values| {
        let values = values.iter().map(|&value| f64::from(value));
        DMatrix::from_iterator(rows.features, values.len() / rows.features, values)
    })
}

fn centre(mut columns: DMatrix<f64>, mean: &DVector<f64>) -> DMatrix<f64> {
    for mut column in columns.column_iter_mut() {
        column -= mean;
    }
    columns
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn numbers(value: &Value) -> Vec<f64> {
        let numbers = value.as_array().expect("a list");
        numbers.iter().map(|number| number.as_f64().expect("a number")).collect()
    }

    #[test]
    fn residuals_agree_with_those_of_scikit_learn() {
        let text = include_str!("../../tests/golden/pca.json");
        let fixture: Value = serde_json::from_str(text).expect("JSON");
        let cases = fixture["cases"].as_array().expect("cases");
        assert_eq!(cases.len(), 3);
        for case in cases {
            let whole = |key: &str| case[key].as_u64().expect("a whole number") as usize;
            let (features, components) = (whole("features"), whole("components"));
            let [train, test] = ["train", "test"]
                .map(|key| numbers(&case[key]).iter().map(|&v| v as f32).collect::<Vec<f32>>());
            let rows = |values| Rows { values, features };
            let pca = Pca::fit(&PcaSpec { components }, rows(&train));
            for (values, key) in [(&train, "train_scores"), (&test, "test_scores")] {
                let expected = numbers(&case[key]);
                let scale = expected.iter().copied().fold(1.0, f64::max);
                let scores = pca.scores(rows(values));
                assert_eq!(scores.len(), expected.len());
                for (got, expected) in scores.iter().zip(expected) {
                    assert!((got - expected).abs() <= 1e-10 * scale, "{key}: {got}, {expected}");
                }
            }
        }
    }
}
