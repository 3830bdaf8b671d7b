//! Made-up rows from a Gaussian mixture, labelled, with a best possible AUROC that is known exactly:
//! a run without any file, and a ceiling to hold its figures against. It does not imitate a real
//! data set.
//!
//! A row is x = Q [u; v] with a fixed random rotation Q. The p numbers u say where the row lies in
//! the subspace of the normal rows: u ~ N(cₖ, I) around one of K centres, for normal rows and
//! anomalies alike. The q numbers v say how far it lies off that subspace: v ~ N(0, s² I) for a
//! normal row, N(0, (r s)² I) for an anomaly. So the likelihood ratio depends on ‖v‖² alone, grows
//! with it, and ranks an anomaly above a normal row with probability
//! P(r² A > B) = P(B / A < r²), where A and B are independent χ²_q:
//! AUROC* = F_{q,q}(r²) = I_{r²/(1+r²)}(q/2, q/2), the regularised incomplete beta function.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use statrs::function::beta::beta_reg;

use super::{Dataset, Fit, ScalingSpec};
use crate::digest;
use crate::error::{Error, Result};
use crate::random::{Numbers, Stream};

/// `[dataset]` with `name = "synthetic"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct SyntheticSpec {
    /// Number of rows.
    pub rows: usize,
    /// Number of columns, p + q.
    pub features: usize,
    /// Dimensions of the subspace that normal rows lie near, p, at least 2.
    pub subspace: usize,
    /// Mixture components, K, evenly spaced on a circle in the subspace.
    pub clusters: usize,
    /// Radius of that circle, in standard deviations of a component.
    pub separation: f64,
    /// Standard deviation of normal rows off the subspace, s, in the same unit.
    pub noise: f64,
    /// How many times larger it is for anomalies, r, above 1.
    pub excess: f64,
    /// Share of anomalies among the rows, between 0 and 1.
    pub anomaly_share: f64,
    /// Seed of the data; the seeds of the runs do not change them.
    pub seed: u64,
    pub scaling: ScalingSpec,
}

impl Default for SyntheticSpec {
    fn default() -> Self {
        Self {
            rows: 4000,
            features: 8,
            subspace: 2,
            clusters: 3,
            separation: 4.0,
            noise: 0.3,
            excess: 2.5,
            anomaly_share: 0.2,
            seed: 1,
            scaling: ScalingSpec::default(),
        }
    }
}

/// Bounds of what is made up: every load of the data makes it anew, and the rotation takes the cube of the
/// columns.
const MOST_VALUES: usize = 100_000_000;
const MOST_FEATURES: usize = 1000;

impl SyntheticSpec {
    /// [`Error::Usage`] names the first key whose value makes no data.
    pub(super) fn check(&self) -> Result<()> {
        let wrong = |key: &str, value: &dyn std::fmt::Display, wanted: &str| {
            Err(Error::Usage(format!("dataset.{key} is {value}; it must be {wanted}")))
        };
        let anomalies = self.anomalies();
        // far beyond what anyone makes up, and far from where f64 ends
        let within = |value: f64, least: f64| (least..=1e6).contains(&value);
        if self.rows > MOST_VALUES {
            wrong("rows", &self.rows, "at most 100,000,000")
        } else if self.features > MOST_FEATURES {
            wrong("features", &self.features, "at most 1000")
        } else if self.rows * self.features > MOST_VALUES {
            wrong("rows", &self.rows, "so many that rows × features is at most 100,000,000")
        } else if self.subspace < 2 {
            wrong("subspace", &self.subspace, "at least 2")
        } else if self.features <= self.subspace {
            wrong("features", &self.features, "more than dataset.subspace")
        } else if !(1..=1000).contains(&self.clusters) {
            wrong("clusters", &self.clusters, "between 1 and 1000")
        } else if !within(self.separation, 0.0) {
            wrong("separation", &self.separation, "between 0 and 1,000,000")
        } else if !within(self.noise, 1e-6) {
            wrong("noise", &self.noise, "between 0.000001 and 1,000,000")
        } else if !within(self.excess, 1.0) || self.excess <= 1.0 {
            wrong("excess", &self.excess, "above 1, and at most 1,000,000")
        } else if anomalies == 0 || anomalies >= self.rows {
            let wanted = "a share of dataset.rows that leaves anomalies and normal rows";
            wrong("anomaly-share", &self.anomaly_share, wanted)
        } else if self.scaling.fit == Fit::Attack {
            wrong("scaling.fit", &"attack", "train or all: only kddcup has attack rows")
        } else {
            self.scaling.check()
        }
    }

    fn anomalies(&self) -> usize {
        (self.anomaly_share * self.rows as f64).round() as usize
    }

    /// AUROC*, the area under the ROC curve of the likelihood ratio; see the head of this file.
    fn bayes_auroc(&self) -> f64 {
        let half = (self.features - self.subspace) as f64 / 2.0;
        let square = self.excess * self.excess;
        beta_reg(half, half, square / (1.0 + square))
    }

    /// The centre of a component, [p].
    fn centre(&self, component: usize) -> Vec<f64> {
        let angle = std::f64::consts::TAU * component as f64 / self.clusters as f64;
        let mut centre = vec![0.0; self.subspace];
        centre[0] = self.separation * angle.cos();
        centre[1] = self.separation * angle.sin();
        centre
    }
}

pub(super) fn load(spec: &SyntheticSpec) -> Result<Dataset> {
    spec.check()?;
    let (values, labels) = draw(spec);
    let mut hasher = Sha256::new();
    values.iter().for_each(|value| hasher.update(value.to_le_bytes()));
    labels.iter().for_each(|&label| hasher.update([u8::from(label)]));
    Ok(Dataset {
        columns: (1..=spec.features).map(|column| format!("x{column}")).collect(),
        scaled: vec![true; spec.features],
        labels,
        sha256: digest::ended(hasher),
        scaling: spec.scaling,
        table: super::Table::Dense(values),
        bayes_auroc: Some(spec.bayes_auroc()),
        image: None,
        official_train: None,
    })
}

/// Values, C order [rows, features], and labels.
fn draw(spec: &SyntheticSpec) -> (Vec<f64>, Vec<bool>) {
    let rotation = rotation(spec);
    let mut numbers = Numbers::new(spec.seed, Stream::Data, 1);
    let mut labels = vec![false; spec.rows];
    for &row in &numbers.permutation(spec.rows)[..spec.anomalies()] {
        labels[row as usize] = true;
    }
    let mut values = Vec::with_capacity(spec.rows * spec.features);
    for &anomaly in &labels {
        let component = (numbers.uniform() * spec.clusters as f64) as usize;
        let mut inner = spec.centre(component);
        inner.iter_mut().for_each(|u| *u += numbers.normal());
        let width = if anomaly { spec.excess * spec.noise } else { spec.noise };
        inner.extend((spec.subspace..spec.features).map(|_| width * numbers.normal()));
        let outer = rotation.iter().map(|line| line.iter().zip(&inner).map(|(a, b)| a * b).sum());
        values.extend(outer.collect::<Vec<f64>>());
    }
    (values, labels)
}

/// Q [features, features]: normal numbers made orthonormal, row by row (Gram and Schmidt).
fn rotation(spec: &SyntheticSpec) -> Vec<Vec<f64>> {
    let mut numbers = Numbers::new(spec.seed, Stream::Data, 0);
    let mut rows: Vec<Vec<f64>> = Vec::with_capacity(spec.features);
    for _ in 0..spec.features {
        let mut row: Vec<f64> = (0..spec.features).map(|_| numbers.normal()).collect();
        for earlier in &rows {
            let along: f64 = row.iter().zip(earlier).map(|(a, b)| a * b).sum();
            row.iter_mut().zip(earlier).for_each(|(a, b)| *a -= along * b);
        }
        let norm = row.iter().map(|a| a * a).sum::<f64>().sqrt();
        row.iter_mut().for_each(|a| *a /= norm);
        rows.push(row);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    /// log of the mixture density of a row, up to a constant, computed from x: off the subspace the
    /// standard deviation is `width`.
    fn log_density(spec: &SyntheticSpec, rotation: &[Vec<f64>], x: &[f64], width: f64) -> f64 {
        // Q is orthonormal: its inverse is its transpose
        let inner: Vec<f64> = (0..spec.features)
            .map(|column| rotation.iter().zip(x).map(|(line, x)| line[column] * x).sum())
            .collect();
        let (u, v) = inner.split_at(spec.subspace);
        let near = (0..spec.clusters).map(|component| {
            let centre = spec.centre(component);
            let distance: f64 = u.iter().zip(&centre).map(|(u, c)| (u - c) * (u - c)).sum();
            (-distance / 2.0).exp()
        });
        let far: f64 = v.iter().map(|v| v * v).sum();
        near.sum::<f64>().ln() - far / (2.0 * width * width) - v.len() as f64 * width.ln()
    }

    #[test]
    fn the_ceiling_is_the_auroc_of_the_true_likelihood_ratio() {
        let spec = SyntheticSpec { rows: 100_000, anomaly_share: 0.5, ..SyntheticSpec::default() };
        let (values, labels) = draw(&spec);
        let rotation = rotation(&spec);
        let ratio = |x: &[f64]| {
            log_density(&spec, &rotation, x, spec.excess * spec.noise)
                - log_density(&spec, &rotation, x, spec.noise)
        };
        let mut scored: Vec<(f64, bool)> =
            values.chunks(spec.features).map(ratio).zip(labels).collect();
        scored.sort_by(|a, b| a.0.total_cmp(&b.0));
        let ranks = scored.iter().enumerate().filter(|(_, row)| row.1);
        let sum: f64 = ranks.map(|(below, _)| (below + 1) as f64).sum();
        let half = 50_000.0;
        let auroc = (sum - half * (half + 1.0) / 2.0) / (half * half);
        // its standard error is at most √(A (1 − A) / 50,000) (Birnbaum and Klose, 1957)
        let ceiling = spec.bayes_auroc();
        let error = (ceiling * (1.0 - ceiling) / half).sqrt();
        assert!((auroc - ceiling).abs() < 4.0 * error, "{auroc} is not {ceiling} ± {error}");
    }

    /// scipy 1.17.1: `scipy.stats.f.cdf(excess**2, q, q)`.
    #[test]
    fn the_ceiling_equals_scipys_f_distribution() {
        for (features, excess, wanted) in SCIPY {
            let spec = SyntheticSpec { features, excess, ..SyntheticSpec::default() };
            let got = spec.bayes_auroc();
            assert!((got - wanted).abs() < 1e-12, "{got} is not {wanted}");
        }
    }

    const SCIPY: [(usize, f64, f64); 4] = [
        (8, 2.5, 0.9788883596915999),
        (8, 1.1, 0.5885489206608879),
        (3, 3.0, 0.7951672353008665),
        (16, 1.5, 0.9293477391035895),
    ];

    #[test]
    fn rows_have_the_shares_and_widths_that_the_keys_say() {
        let spec = SyntheticSpec { rows: 20_000, ..SyntheticSpec::default() };
        let (values, labels) = draw(&spec);
        assert_eq!(labels.iter().filter(|&&label| label).count(), 4000);
        let rotation = rotation(&spec);
        for (anomaly, width) in [(false, 0.3), (true, 0.75)] {
            let rows = values.chunks(8).zip(&labels).filter(|(_, label)| **label == anomaly);
            let squares: Vec<f64> = rows
                .map(|(x, _)| {
                    // the squared distance from the subspace, over its dimensions
                    let along = |column: usize| -> f64 {
                        rotation.iter().zip(x).map(|(line, x)| line[column] * x).sum()
                    };
                    (2..8).map(along).map(|v| v * v).sum::<f64>() / 6.0
                })
                .collect();
            let mean = squares.iter().sum::<f64>() / squares.len() as f64;
            assert!((mean.sqrt() / width - 1.0).abs() < 0.02, "{} is not {width}", mean.sqrt());
        }
    }

    #[test]
    fn the_seed_of_the_data_and_nothing_else_makes_other_rows() {
        let digest = |spec: &SyntheticSpec| load(spec).unwrap().sha256().to_string();
        let spec = SyntheticSpec::default();
        assert_eq!(digest(&spec), digest(&spec.clone()));
        assert_ne!(digest(&spec), digest(&SyntheticSpec { seed: 2, ..spec.clone() }));
        assert_ne!(digest(&spec), digest(&SyntheticSpec { noise: 0.31, ..spec }));
    }

    #[test]
    fn values_that_make_no_data_are_refused_by_key() {
        for (text, key) in [
            ("rows = 0", "dataset.anomaly-share"),
            ("features = 2", "dataset.features"),
            ("rows = 4294967295", "dataset.rows"),
            ("rows = 9223372036854775807", "dataset.rows"),
            ("rows = 1000000\nfeatures = 101", "dataset.rows"),
            ("features = 20000", "dataset.features"),
            ("features = 9223372036854775807", "dataset.features"),
            ("clusters = 4294967296", "dataset.clusters"),
            ("excess = 1e308", "dataset.excess"),
            ("noise = 1e-300", "dataset.noise"),
            ("subspace = 1", "dataset.subspace"),
            ("clusters = 0", "dataset.clusters"),
            ("separation = -1.0", "dataset.separation"),
            ("noise = 0.0", "dataset.noise"),
            ("excess = 1.0", "dataset.excess"),
            ("anomaly-share = 1.0", "dataset.anomaly-share"),
            ("anomaly-share = nan", "dataset.anomaly-share"),
            ("scaling = { fit = 'attack' }", "dataset.scaling.fit"),
        ] {
            let error = load(&toml::from_str(text).unwrap()).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().starts_with(&format!("{key} is ")), "{text}: {error}");
        }
    }
}
