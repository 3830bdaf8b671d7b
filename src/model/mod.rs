//! The `[model]` table of an experiment file, and how a trained model scores: names, defaults and the
//! values that make sense. Knows no tensors; what the switches do is in the models' own files.

use serde::{Deserialize, Serialize};

/// What stands between the layers of a network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    #[default]
    Tanh,
    Relu,
    Sigmoid,
}

/// The `[model]` table of an experiment file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case")]
pub enum ModelSpec {
    /// Deep autoencoding Gaussian mixture model.
    Dagmm(DagmmSpec),
    /// Fully connected variational autoencoder.
    Vae(VaeSpec),
    /// Convolutional variational autoencoder of 28 × 28 images.
    ConvVae(ConvVaeSpec),
}

impl DagmmSpec {
    /// What a row's error, summed over so many features, is multiplied by in the loss.
    pub fn error_scale(&self, features: usize) -> f64 {
        match self.reconstruction {
            Reconstruction::Sum | Reconstruction::Norm => 1.0,
            Reconstruction::Mean => 1.0 / features as f64,
        }
    }
}

impl ModelSpec {
    /// Raised whenever a change of the code changes the bits of a run of this model; part of every key.
    pub fn protocol_version(&self) -> u32 {
        match self {
            Self::Dagmm(spec) if spec.reconstruction == Reconstruction::Norm => 3,
            Self::Dagmm(_) | Self::ConvVae(_) => 2,
            Self::Vae(_) => 1,
        }
    }

    /// The first key whose value the types allow and the model does not, and what it must be.
    pub fn fault(&self) -> Option<(&'static str, &'static str)> {
        let positive = |value: f64| value.is_finite() && value > 0.0;
        let weight = |value: f64| value.is_finite() && value >= 0.0;
        let width = |width: usize| (1..=WIDEST).contains(&width);
        let layers = |widths: &[usize]| widths.iter().all(|&one| width(one));
        let checks = match self {
            Self::Dagmm(spec) => vec![
                ("hidden", layers(&spec.hidden), WIDTHS),
                ("latent", width(spec.latent), WIDTH),
                ("mixtures", width(spec.mixtures), WIDTH),
                ("estimation-hidden", width(spec.estimation_hidden), WIDTH),
                ("dropout", (0.0..1.0).contains(&spec.dropout), "must lie in [0, 1)"),
            ],
            Self::Vae(spec) => {
                let [low, high] = spec.log_variance_bounds;
                let gaussian = spec.decoder == Decoder::Gaussian;
                vec![
                    ("hidden", layers(&spec.hidden), WIDTHS),
                    ("latent", width(spec.latent), WIDTH),
                    ("sigma", spec.sigma.is_none_or(positive), ABOVE_ZERO),
                    (
                        "sigma",
                        spec.sigma.is_none() || gaussian,
                        "belongs to decoder = \"gaussian\" alone",
                    ),
                    (
                        "log-variance-bounds",
                        low.is_finite() && high.is_finite() && low < high,
                        "must be two numbers, the lower one first",
                    ),
                    ("beta", weight(spec.beta), NOT_NEGATIVE),
                ]
            }
            Self::ConvVae(spec) => {
                let notebook = spec.loss == ConvLoss::Notebook;
                vec![
                    ("latent", width(spec.latent), WIDTH),
                    ("channels", layers(&spec.channels), WIDTHS),
                    ("sigma", positive(spec.sigma), ABOVE_ZERO),
                    ("beta", weight(spec.beta), NOT_NEGATIVE),
                    (
                        "sigma",
                        spec.sigma == 1.0 || (spec.decoder == ConvDecoder::Gaussian && !notebook),
                        "belongs to decoder = \"gaussian\" with loss = \"elbo\" alone",
                    ),
                    (
                        "decoder",
                        !notebook || spec.decoder == ConvDecoder::Gaussian,
                        "must be \"gaussian\" beside loss = \"notebook\", a squared error",
                    ),
                ]
            }
        };
        checks.into_iter().find(|(_, good, _)| !good).map(|(key, _, what)| (key, what))
    }

    /// Whether a `score` must be chosen; DAGMM has one alone, its energy.
    pub fn has_scores(&self) -> bool {
        match self {
            Self::Dagmm(_) => false,
            Self::Vae(_) | Self::ConvVae(_) => true,
        }
    }
}

/// More would be a slip of the pen, and overflow on the way to an allocation.
const WIDEST: usize = 1_000_000;
const WIDTHS: &str = "must hold widths from 1 to 1,000,000";
const WIDTH: &str = "must lie between 1 and 1,000,000";
const ABOVE_ZERO: &str = "must be a number above 0";
const NOT_NEGATIVE: &str = "must be a number from 0 on";

/// How the weights of linear layers start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
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

/// Whether a key has its default, with which it stays out of a cell's JSON: runs made before the key
/// existed keep their keys.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
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
    /// How the weights start.
    #[serde(default, skip_serializing_if = "is_default")]
    pub init: Start,
    /// What φ, μ, Σ, its factor, the energies and their gradients are computed in.
    #[serde(default, skip_serializing_if = "is_default")]
    pub mixture_precision: Precision,
}

/// Of a mixture; the networks are in f32 in either case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    #[default]
    F64,
    /// As the public ports have it. A covariance of rows that lie close together can then fail to be
    /// positive definite, which ends a run, and a `covariance-epsilon` below 1e-7 of a variance vanishes.
    F32,
}

/// `sum`: ‖x−x'‖² as in the paper; `mean`: divided by the number of features, as in the ports; `norm`:
/// ‖x−x'‖, Needle's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reconstruction {
    #[default]
    Sum,
    Mean,
    Norm,
}

/// `train`: φ, μ, Σ of the whole training set; `last-batch`: danieltan07's, see `docs/protocols.md`;
/// `test-batches`: Needle's, which scores each batch of test rows, in their order, under its own mixture.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mixture {
    #[default]
    Train,
    LastBatch,
    TestBatches,
}

/// `sqrt`: √|2πΣ|, the Gaussian density; `sqrt-detached`: the same, with no gradient through it, as
/// danieltan07's first version has it (commit f192c7e); `fourth-root`: |2πΣ|^¼, its second (f6f4647).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Determinant {
    #[default]
    Sqrt,
    SqrtDetached,
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

/// Switches of the fully connected VAE (Kingma and Welling, 2014). The decoder's hidden layers
/// mirror the encoder's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogVariance {
    #[default]
    Bounded,
    Unbounded,
}

/// `mean`: over the rows of a batch; `sum`: over them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reduction {
    #[default]
    Mean,
    Sum,
}

/// Switches of the convolutional VAE; the defaults are a public notebook's widths.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConvLoss {
    #[default]
    Elbo,
    Notebook,
}

/// What a variational model's score of a row is; higher is more anomalous for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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

fn log_variance_bounds() -> [f64; 2] {
    [-6.0, 6.0]
}
fn one() -> f64 {
    1.0
}
fn hundred() -> usize {
    100
}
fn channels() -> [usize; 2] {
    [16, 32]
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
