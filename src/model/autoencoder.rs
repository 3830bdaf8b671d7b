//! The table of the fully connected autoencoder: what DAGMM is without its mixture, as Zong et al. (2018)
//! compare it ("E2E-AE").

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Activation, Reconstruction, Start, Table, WIDTH, WIDTHS, are_widths, is_default, is_width,
};

/// Switches of the autoencoder; its decoder mirrors the encoder, and it scores a row by its error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct AutoencoderSpec {
    /// Widths of the encoder's hidden layers.
    pub hidden: Vec<usize>,
    /// Width of the code.
    pub latent: usize,
    /// Between the layers; code and reconstruction are linear.
    #[serde(default)]
    pub activation: Activation,
    /// How a row's squared differences become its reconstruction error.
    #[serde(default)]
    pub reconstruction: Reconstruction,
    /// How the weights start.
    #[serde(default, skip_serializing_if = "is_default")]
    pub init: Start,
}

impl Table for AutoencoderSpec {
    fn protocol_version(&self) -> u32 {
        1
    }

    fn checks(&self) -> Vec<(&'static str, bool, &'static str)> {
        vec![("hidden", are_widths(&self.hidden), WIDTHS), ("latent", is_width(self.latent), WIDTH)]
    }
}
