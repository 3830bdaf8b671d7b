//! The table of the fully connected VAE.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    ABOVE_ZERO, Activation, NOT_NEGATIVE, Reduction, Start, Table, WIDTH, WIDTHS, are_widths,
    is_default, is_positive, is_weight, is_width, one,
};

/// Switches of the fully connected VAE (Kingma and Welling, 2014). The decoder's hidden layers
/// mirror the encoder's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct VaeSpec {
    /// Widths of the encoder's hidden layers.
    pub hidden: Vec<usize>,
    /// Number of latent variables.
    pub latent: usize,
    /// Between the layers of the encoder.
    #[serde(default)]
    pub activation: Activation,
    /// Between the layers of the decoder; as the encoder's where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decoder_activation: Option<Activation>,
    /// What p(x|z) is.
    pub decoder: Decoder,
    /// A Gaussian decoder's standard deviation where it is not learnt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sigma: Option<f64>,
    /// Whether the decoder's learnt log-variances have bounds.
    #[serde(default)]
    pub log_variance: LogVariance,
    /// The bounds: log σ² between these.
    #[serde(default = "log_variance_bounds")]
    pub log_variance_bounds: [f64; 2],
    /// Weight of the Kullback-Leibler divergence (Higgins et al., 2017); 1 in the ELBO.
    #[serde(default = "one")]
    pub beta: f64,
    /// How a batch's rows become one loss.
    #[serde(default)]
    pub reduction: Reduction,
    /// How the weights start.
    #[serde(default, skip_serializing_if = "is_default")]
    pub init: Start,
}

/// p(x|z), or what stands in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Decoder {
    /// Independent normal features; mean and, without `sigma`, log-variance are learnt.
    Gaussian,
    /// Independent features in [0, 1], by cross-entropy with logits.
    Bernoulli,
    /// The same from probabilities, without any guard: ends in NaN where a probability is rounded to 0
    /// or 1. For repeating what others did.
    BernoulliProbabilities,
    /// A VAE blog's √(2πσ²)·(x−μ)²/(2σ²) a feature, which is no likelihood.
    Blog,
}

/// `bounded`: kept between `log-variance-bounds`, smoothly; `unbounded`: as the network gives it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LogVariance {
    #[default]
    Bounded,
    Unbounded,
}

impl Table for VaeSpec {
    fn protocol_version(&self) -> u32 {
        1
    }

    fn checks(&self) -> Vec<(&'static str, bool, &'static str)> {
        let [low, high] = self.log_variance_bounds;
        let gaussian = self.decoder == Decoder::Gaussian;
        let bounds = low.is_finite() && high.is_finite() && low < high;
        vec![
            ("hidden", are_widths(&self.hidden), WIDTHS),
            ("latent", is_width(self.latent), WIDTH),
            ("sigma", self.sigma.is_none_or(is_positive), ABOVE_ZERO),
            ("sigma", self.sigma.is_none() || gaussian, "belongs to decoder = \"gaussian\" alone"),
            ("log-variance-bounds", bounds, "must be two numbers, the lower one first"),
            ("beta", is_weight(self.beta), NOT_NEGATIVE),
        ]
    }

    fn has_scores(&self) -> bool {
        true
    }
}

fn log_variance_bounds() -> [f64; 2] {
    [-6.0, 6.0]
}
