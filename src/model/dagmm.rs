//! The table of DAGMM: Zong et al., "Deep Autoencoding Gaussian Mixture Model for Unsupervised Anomaly
//! Detection", ICLR 2018.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Reconstruction, Start, Table, WIDTH, WIDTHS, are_widths, is_default, is_width};

/// Switches of DAGMM; each default is the choice of Zong et al. (2018) where they state one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    /// How the weights start.
    #[serde(default, skip_serializing_if = "is_default")]
    pub init: Start,
    /// What φ, μ, Σ, its factor, the energies and their gradients are computed in.
    #[serde(default, skip_serializing_if = "is_default")]
    pub mixture_precision: Precision,
}

/// Of a mixture; the networks are in f32 in either case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    #[default]
    F64,
    /// As the public ports have it. A covariance of rows that lie close together can then fail to be
    /// positive definite, which ends a run, and a `covariance-epsilon` below 1e-7 of a variance vanishes.
    F32,
}

/// `train`: φ, μ, Σ of the whole training set; `last-batch`: danieltan07's, see `docs/protocols.md`;
/// `test-batches`: Needle's, which scores each batch of test rows, in their order, under its own mixture.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mixture {
    #[default]
    Train,
    LastBatch,
    TestBatches,
}

/// `sqrt`: √|2πΣ|, the Gaussian density; `sqrt-detached`: the same, with no gradient through it, as
/// danieltan07's first version has it (commit f192c7e); `fourth-root`: |2πΣ|^¼, its second (f6f4647).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Determinant {
    #[default]
    Sqrt,
    SqrtDetached,
    FourthRoot,
}

/// `log-sum-exp`: exact; `clamped`: danieltan07's, which caps the energy near 27.63.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EnergyGuard {
    #[default]
    LogSumExp,
    Clamped,
}

impl Table for DagmmSpec {
    fn protocol_version(&self) -> u32 {
        match self.reconstruction {
            Reconstruction::Sum | Reconstruction::Mean => 2,
            Reconstruction::Norm => 3,
        }
    }

    fn checks(&self) -> Vec<(&'static str, bool, &'static str)> {
        vec![
            ("hidden", are_widths(&self.hidden), WIDTHS),
            ("latent", is_width(self.latent), WIDTH),
            ("mixtures", is_width(self.mixtures), WIDTH),
            ("estimation-hidden", is_width(self.estimation_hidden), WIDTH),
            ("dropout", (0.0..1.0).contains(&self.dropout), "must lie in [0, 1)"),
        ]
    }
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
