//! What a model is: its part of an experiment file, and what training and scoring ask of it.
//! Models know tensors but no files. One file a model; the seed axis comes first everywhere.

pub mod dagmm;
pub mod layers;
pub mod mixture;

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use dagmm::Dagmm;
use layers::{ParameterSpec, Parameters};

/// The `[model]` table of an experiment file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case")]
pub enum ModelSpec {
    /// Deep autoencoding Gaussian mixture model.
    Dagmm(DagmmSpec),
}

/// Switches of DAGMM; each default is the choice of Zong et al. (2018) where they state one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct DagmmSpec {
    /// Widths of the encoder's hidden layers; the decoder mirrors them.
    pub hidden: Vec<usize>,
    /// Width of the code.
    pub latent: usize,
    /// Number of mixture components, K.
    pub mixtures: usize,
    /// Width of the estimation network's hidden layer.
    #[serde(default = "ten")]
    pub estimation_hidden: usize,
    /// Probability of dropping a unit of the estimation network's hidden layer, in [0, 1).
    #[serde(default = "half")]
    pub dropout: f64,
    /// How a row's squared differences become its reconstruction error.
    #[serde(default)]
    pub reconstruction: Reconstruction,
    /// λ₁, the weight of the energy.
    #[serde(default = "lambda_energy")]
    pub lambda_energy: f64,
    /// λ₂, the weight of the penalty on small covariance diagonals.
    #[serde(default = "lambda_covariance")]
    pub lambda_covariance: f64,
    /// Added to every diagonal entry of every covariance.
    #[serde(default = "covariance_epsilon")]
    pub covariance_epsilon: f64,
    /// Which mixture scores the test rows.
    #[serde(default)]
    pub mixture: Mixture,
    /// Which power of |2πΣ| the density is divided by.
    #[serde(default)]
    pub determinant: Determinant,
    /// How the sum of exponentials in the energy is kept finite.
    #[serde(default)]
    pub energy_guard: EnergyGuard,
}

/// `sum`: ‖x−x'‖² as in the paper; `mean`: divided by the number of features, as in the ports.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reconstruction {
    #[default]
    Sum,
    Mean,
}

/// `train`: φ, μ, Σ of the whole training set; `last-batch`: danieltan07's, see `docs/protocols.md`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mixture {
    #[default]
    Train,
    LastBatch,
}

/// `sqrt`: √|2πΣ|, the Gaussian density; `fourth-root`: |2πΣ|^¼, danieltan07's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Determinant {
    #[default]
    Sqrt,
    FourthRoot,
}

/// `log-sum-exp`: exact; `clamped`: danieltan07's, which caps the energy near 27.63.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EnergyGuard {
    #[default]
    LogSumExp,
    Clamped,
}

fn ten() -> usize {
    10
}
fn half() -> f64 {
    0.5
}
fn lambda_energy() -> f64 {
    0.1
}
fn lambda_covariance() -> f64 {
    0.005
}
fn covariance_epsilon() -> f64 {
    1e-6
}

/// Rows that one optimiser step sees.
#[derive(Debug)]
pub struct Batch {
    /// [seeds, rows, features]
    pub x: Tensor,
    /// 1 for a row, 0 for padding, [seeds, rows]; absent when every row counts. Seeds may have
    /// different numbers of rows left for the last step of an epoch.
    pub weight: Option<Tensor>,
}

impl Batch {
    /// A batch in which every row counts.
    pub fn whole(x: Tensor) -> Self {
        Self { x, weight: None }
    }

    /// Mean over the rows that count: [seeds, rows] → [seeds].
    pub fn mean(&self, values: &Tensor) -> Tensor {
        match &self.weight {
            None => values.mean_dim(1, false, None),
            Some(weight) => {
                (values * weight).sum_dim_intlist(1, false, None)
                    / weight.sum_dim_intlist(1, false, None).clamp_min(1.0)
            }
        }
    }

    /// Divides sums over rows, [seeds, …], by the number of rows that count.
    pub fn per_row(&self, sums: &Tensor) -> Tensor {
        match &self.weight {
            None => sums / self.x.size()[1] as f64,
            Some(weight) => sums / weight.sum_dim_intlist(1, true, None).clamp_min(1.0),
        }
    }

    /// Sets padding to 0: [seeds, k, rows].
    pub fn weigh(&self, values: &Tensor) -> Tensor {
        match &self.weight {
            None => values.shallow_clone(),
            Some(weight) => values * weight.unsqueeze(1),
        }
    }

    /// What each row counts for in a mean, f64: [seeds, rows], or [seeds, 1] where all count alike.
    pub fn shares(&self) -> Tensor {
        match &self.weight {
            None => {
                let (seeds, rows) = (self.x.size()[0], self.x.size()[1]);
                Tensor::full([seeds, 1], 1.0 / rows as f64, (Kind::Double, self.x.device()))
            }
            Some(weight) => {
                let weight = weight.to_kind(Kind::Double);
                &weight / weight.sum_dim_intlist(1, true, None).clamp_min(1.0)
            }
        }
    }
}

/// The objective of one batch, for every seed.
#[derive(Debug)]
pub struct Loss {
    /// What is minimised, [seeds], f64.
    pub total: Tensor,
    /// Its terms before weighting, [seeds] each, f64.
    pub terms: Vec<Tensor>,
    /// Not 0 where a computation broke down (a covariance without a factor), [seeds], f64.
    pub failed: Tensor,
    /// Of `total`, each seed's own, by its parameters, [seeds, count].
    pub gradient: Tensor,
}

impl Loss {
    /// What is recorded of a step: `failed`, `total`, then the terms, [seeds] each.
    pub fn row(&self) -> Vec<Tensor> {
        let mut row = vec![self.failed.shallow_clone(), self.total.shallow_clone()];
        row.extend(self.terms.iter().map(Tensor::shallow_clone));
        row
    }
}

/// What scoring returns for one seed; higher means more anomalous.
#[derive(Debug)]
pub struct Scores {
    /// Of the training rows, [rows], f64.
    pub train: Tensor,
    /// Of the test rows, [rows], f64.
    pub test: Tensor,
    /// ‖x−x'‖² of the test rows, [rows], f64.
    pub test_error: Tensor,
    /// What makes the scores meaningless, in words.
    pub broken: Option<&'static str>,
}

/// A model that can be trained and can score.
#[derive(Debug)]
pub enum Detector {
    Dagmm(Dagmm),
}

/// The detector that a spec describes, for rows of `features` values, and its parameters.
pub fn build(spec: &ModelSpec, features: usize) -> (Detector, Vec<ParameterSpec>) {
    match spec {
        ModelSpec::Dagmm(spec) => {
            let (dagmm, parameters) = Dagmm::new(spec, features);
            (Detector::Dagmm(dagmm), parameters)
        }
    }
}

impl Detector {
    /// Names of the columns of a loss curve: the total, then its terms.
    pub fn terms(&self) -> &'static [&'static str] {
        match self {
            Self::Dagmm(_) => &["loss", "reconstruction", "energy", "penalty"],
        }
    }

    /// The objective of one training batch; `step` numbers the random draws of this batch.
    pub fn loss(&self, parameters: &Parameters, batch: &Batch, seeds: &[u64], step: u64) -> Loss {
        match self {
            Self::Dagmm(dagmm) => dagmm.training_loss(parameters, batch, seeds, step),
        }
    }

    /// Scores of one seed's rows, [rows, features] each, by parameters of that seed alone.
    pub fn scores(
        &self,
        parameters: &Parameters,
        train: &Tensor,
        test: &Tensor,
        seed: u64,
        batch_size: usize,
    ) -> Scores {
        match self {
            Self::Dagmm(dagmm) => dagmm.scores(parameters, train, test, seed, batch_size),
        }
    }
}
