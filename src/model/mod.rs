//! The `[model]` table of an experiment file, one file a model, and how a trained model scores: names,
//! defaults and the values that make sense. Knows no tensors; what the switches do is in the models' own
//! files.

mod autoencoder;
mod classical;
mod command;
mod conv_vae;
mod dagmm;
mod scores;
mod vae;

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

pub use autoencoder::AutoencoderSpec;
pub use classical::PcaSpec;
pub(crate) use command::FileDigests;
pub use command::{Bytes, CommandSpec, Placed};
pub use conv_vae::{ConvDecoder, ConvLoss, ConvVaeSpec};
pub use dagmm::{DagmmSpec, Determinant, EnergyGuard, Mixture, Precision};
pub use scores::ScoresSpec;
pub use vae::{Decoder, LogVariance, VaeSpec};

/// The `[model]` table of an experiment file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "name", rename_all = "kebab-case")]
pub enum ModelSpec {
    /// Deep autoencoding Gaussian mixture model.
    Dagmm(DagmmSpec),
    /// Fully connected autoencoder.
    Autoencoder(AutoencoderSpec),
    /// Fully connected variational autoencoder.
    Vae(VaeSpec),
    /// Convolutional variational autoencoder of 28 × 28 images.
    ConvVae(ConvVaeSpec),
    /// Principal component analysis.
    Pca(PcaSpec),
    /// Somebody's program.
    Command(CommandSpec),
    /// No method of seedbed's: scores that were made elsewhere.
    Scores(ScoresSpec),
}

/// The names of models, as files have them, with a few words on each.
pub const NAMES: [(&str, &str); 7] = [
    ("dagmm", "deep autoencoding Gaussian mixture model (Zong et al., 2018)"),
    ("autoencoder", "fully connected autoencoder"),
    ("vae", "fully connected variational autoencoder"),
    ("conv-vae", "convolutional variational autoencoder of 28 × 28 images"),
    ("pca", "distance from principal components; needs no trainer"),
    ("command", "a program of your own (docs/methods.md); needs no trainer"),
    ("scores", "scores that were made elsewhere (docs/methods.md); judged, not run"),
];

/// What is asked of every model's table.
trait Table {
    /// Raised whenever a change of the code changes the bits of a run of this model; part of every key.
    fn protocol_version(&self) -> u32;

    /// Of each key whose type allows what the model does not: whether its value makes sense, and what it
    /// must be.
    fn checks(&self) -> Vec<(&'static str, bool, &'static str)>;

    /// Whether a `score` must be chosen; other models have one alone.
    fn has_scores(&self) -> bool {
        false
    }

    /// Whether it is trained in epochs, by the trainer; other methods fit and score in the harness's own
    /// program.
    fn is_trained(&self) -> bool {
        true
    }
}

impl ModelSpec {
    fn table(&self) -> &dyn Table {
        match self {
            Self::Dagmm(table) => table,
            Self::Autoencoder(table) => table,
            Self::Vae(table) => table,
            Self::ConvVae(table) => table,
            Self::Pca(table) => table,
            Self::Command(table) => table,
            Self::Scores(table) => table,
        }
    }

    /// Raised whenever a change of the code changes the bits of a run of this model; part of every key.
    pub fn protocol_version(&self) -> u32 {
        self.table().protocol_version()
    }

    /// The first key whose value the types allow and the model does not, and what it must be.
    pub fn fault(&self) -> Option<(&'static str, &'static str)> {
        let checks = self.table().checks();
        checks.into_iter().find(|(_, good, _)| !good).map(|(key, _, what)| (key, what))
    }

    /// Whether a `score` must be chosen; DAGMM, the autoencoder and PCA have one alone.
    pub fn has_scores(&self) -> bool {
        self.table().has_scores()
    }

    /// Whether it is trained in epochs, by the trainer; other methods fit and score without libtorch.
    pub fn is_trained(&self) -> bool {
        self.table().is_trained()
    }

    /// Whether its scores are made elsewhere: seedbed judges them and runs nothing.
    pub fn is_elsewhere(&self) -> bool {
        matches!(self, Self::Scores(_))
    }

    /// Cores that a run takes.
    pub fn cores(&self) -> usize {
        match self {
            Self::Command(spec) => spec.threads,
            Self::Scores(_)
            | Self::Pca(_)
            | Self::Dagmm(_)
            | Self::Autoencoder(_)
            | Self::Vae(_)
            | Self::ConvVae(_) => 1,
        }
    }

    /// The table as a run's key has it: without what a result does not depend on.
    pub fn of_key(&self) -> Cow<'_, Self> {
        match self {
            Self::Command(spec) if !spec.environment.is_empty() || spec.memory.is_some() => {
                let (environment, memory) = (Vec::new(), None);
                Cow::Owned(Self::Command(CommandSpec { environment, memory, ..spec.clone() }))
            }
            _ => Cow::Borrowed(self),
        }
    }

    /// The table as training sees it: without what only scoring reads.
    pub fn as_trained(&self) -> Cow<'_, Self> {
        match self {
            Self::Dagmm(spec) if spec.mixture != Mixture::default() => {
                let mixture = Mixture::default();
                Cow::Owned(Self::Dagmm(DagmmSpec { mixture, ..spec.clone() }))
            }
            _ => Cow::Borrowed(self),
        }
    }

    /// Refuses data of so many columns that the model cannot be fitted to.
    ///
    /// # Errors
    /// `Usage`.
    pub fn fits(&self, features: usize) -> Result<()> {
        match self {
            Self::Pca(PcaSpec { components }) if *components > features => {
                Err(Error::Usage(format!(
                    "model.components is {components}, and the data have {features} columns; choose \
                     fewer components"
                )))
            }
            Self::Pca(_)
            | Self::Command(_)
            | Self::Scores(_)
            | Self::Dagmm(_)
            | Self::Autoencoder(_)
            | Self::Vae(_)
            | Self::ConvVae(_) => Ok(()),
        }
    }
}

/// More would be a slip of the pen, and overflow on the way to an allocation.
const WIDEST: usize = 1_000_000;
const WIDTHS: &str = "must hold widths from 1 to 1,000,000";
const WIDTH: &str = "must lie between 1 and 1,000,000";
const ABOVE_ZERO: &str = "must be a number above 0";
const NOT_NEGATIVE: &str = "must be a number from 0 on";

fn is_width(width: usize) -> bool {
    (1..=WIDEST).contains(&width)
}

fn are_widths(widths: &[usize]) -> bool {
    widths.iter().all(|&width| is_width(width))
}

fn is_positive(value: f64) -> bool {
    value.is_finite() && value > 0.0
}

fn is_weight(value: f64) -> bool {
    value.is_finite() && value >= 0.0
}

/// Whether a key has its default, with which it stays out of a cell's JSON: runs made before the key
/// existed keep their keys.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn one() -> f64 {
    1.0
}

/// What stands between the layers of a network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    #[default]
    Tanh,
    Relu,
    Sigmoid,
}

/// How the weights of linear layers start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// PyTorch's default: weights and biases uniform in ±1/√inputs.
    #[default]
    Pytorch,
    /// TensorFlow's (Glorot and Bengio, 2010): weights uniform in ±√(6/(inputs + outputs)), biases 0.
    Glorot,
    /// Needle's (He et al., 2015): weights uniform in ±√(6/inputs), biases in ±√(6/outputs).
    He,
}

/// `sum`: ‖x−x'‖² as in the paper; `mean`: divided by the number of features, as in the ports; `norm`:
/// ‖x−x'‖, Needle's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Reconstruction {
    #[default]
    Sum,
    Mean,
    Norm,
}

impl Reconstruction {
    /// What a row's error, summed over so many features, is multiplied by in the loss.
    pub fn scale(self, features: usize) -> f64 {
        match self {
            Self::Sum | Self::Norm => 1.0,
            Self::Mean => 1.0 / features as f64,
        }
    }
}

/// `mean`: over the rows of a batch; `sum`: over them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Reduction {
    #[default]
    Mean,
    Sum,
}

/// What a variational model's score of a row is; higher is more anomalous for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Score {
    /// The negative of An and Cho's (2015) reconstruction probability; see [`Average`].
    ReconstructionProbability,
    /// Squared error, mean over the features.
    ReconstructionError,
    /// −E[log p(x|z)] + KL(q(z|x) ‖ p(z)).
    NegativeElbo,
}

/// Which of its two definitions the reconstruction probability has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Average {
    /// E[log p(x|z)], as An and Cho's text defines it.
    LogLikelihood,
    /// log E[p(x|z)], as their algorithm averages probabilities.
    Likelihood,
}

/// How rows are scored by a variational model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scoring {
    pub score: Score,
    /// Draws of z a row; 0 takes the mean of q(z|x) alone.
    pub samples: u32,
    pub average: Average,
    /// Whether the training rows are scored too.
    pub train: bool,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The model's table as a run's key has it.
    fn written(table: serde_json::Value) -> String {
        let model: ModelSpec = serde_json::from_value(table).expect("a model");
        serde_json::to_string(&model).expect("plain values")
    }

    #[test]
    fn the_names_are_those_that_a_file_may_have() {
        let unknown = serde_json::from_value::<ModelSpec>(json!({"name": "nothing"}));
        let message = unknown.expect_err("no such model").to_string();
        let known: Vec<&str> = message.split('`').skip(1).step_by(2).skip(1).collect();
        assert_eq!(NAMES.map(|(name, _)| name)[..], known);
    }

    /// Keys of published runs are digests of these texts, written before the later keys existed.
    #[test]
    fn later_keys_stay_out_of_the_text_of_a_model_that_has_their_defaults() {
        let dagmm = json!({"name": "dagmm", "hidden": [60, 30, 10], "latent": 1, "mixtures": 4});
        let before = r#"{"name":"dagmm","hidden":[60,30,10],"latent":1,"mixtures":4,"estimation-hidden":10,"dropout":0.5,"reconstruction":"sum","lambda-energy":0.1,"lambda-covariance":0.005,"covariance-epsilon":1e-6,"mixture":"train","determinant":"sqrt","energy-guard":"log-sum-exp"}"#;
        assert_eq!(written(dagmm.clone()), before);
        let vae = json!({"name": "vae", "hidden": [60], "latent": 10, "decoder": "blog"});
        let before_vae = r#"{"name":"vae","hidden":[60],"latent":10,"activation":"tanh","decoder":"blog","log-variance":"bounded","log-variance-bounds":[-6.0,6.0],"beta":1.0,"reduction":"mean"}"#;
        assert_eq!(written(vae.clone()), before_vae);
        for (model, before, key, default, other) in [
            (&dagmm, before, "init", "pytorch", "glorot"),
            (&dagmm, before, "mixture-precision", "f64", "f32"),
            (&vae, before_vae, "init", "pytorch", "glorot"),
        ] {
            let with = |value: &str| {
                let mut model = model.clone();
                model[key] = value.into();
                written(model)
            };
            assert_eq!(with(default), before);
            assert!(with(other).contains(&format!(r#""{key}":"{other}""#)), "{key}");
        }
    }
}
