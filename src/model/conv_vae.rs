//! The table of the convolutional VAE.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    ABOVE_ZERO, NOT_NEGATIVE, Table, WIDTH, WIDTHS, are_widths, is_positive, is_weight, is_width,
    one,
};

/// Switches of the convolutional VAE; the defaults are a public notebook's widths.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ConvVaeSpec {
    /// Number of latent variables.
    #[serde(default = "hundred")]
    pub latent: usize,
    /// Channels after the first and after the second convolution.
    #[serde(default = "channels")]
    pub channels: [usize; 2],
    /// What p(x|z) is.
    #[serde(default)]
    pub decoder: ConvDecoder,
    /// A Gaussian decoder's standard deviation, in units of the scaled pixels.
    #[serde(default = "one")]
    pub sigma: f64,
    #[serde(default)]
    pub loss: ConvLoss,
    /// Weight of the Kullback-Leibler divergence.
    #[serde(default = "one")]
    pub beta: f64,
}

/// p(x|z) of the convolutional VAE.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ConvDecoder {
    /// Independent normal pixels with the standard deviation `sigma`.
    #[default]
    Gaussian,
    /// Independent pixels in [0, 1], by cross-entropy with logits.
    Bernoulli,
}

/// `elbo`: the negative ELBO, mean over the rows; `notebook`: squared error, mean over all pixels of
/// the batch, plus the divergence *summed* over the batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ConvLoss {
    #[default]
    Elbo,
    Notebook,
}

impl Table for ConvVaeSpec {
    fn protocol_version(&self) -> u32 {
        2
    }

    fn checks(&self) -> Vec<(&'static str, bool, &'static str)> {
        let notebook = self.loss == ConvLoss::Notebook;
        let gaussian = self.decoder == ConvDecoder::Gaussian;
        vec![
            ("latent", is_width(self.latent), WIDTH),
            ("channels", are_widths(&self.channels), WIDTHS),
            ("sigma", is_positive(self.sigma), ABOVE_ZERO),
            ("beta", is_weight(self.beta), NOT_NEGATIVE),
            (
                "sigma",
                self.sigma == 1.0 || (gaussian && !notebook),
                "belongs to decoder = \"gaussian\" with loss = \"elbo\" alone",
            ),
            (
                "decoder",
                !notebook || gaussian,
                "must be \"gaussian\" beside loss = \"notebook\", a squared error",
            ),
        ]
    }

    fn has_scores(&self) -> bool {
        true
    }
}

fn hundred() -> usize {
    100
}

fn channels() -> [usize; 2] {
    [16, 32]
}
