//! What training and scoring ask of a model. The seed axis comes first everywhere.

use tch::{Device, Kind, Tensor};

use seedbed::error::{Error, Result};

use super::autoencoder::Autoencoder;
use super::conv_vae::{self, ConvVae};
use super::dagmm::Dagmm;
use super::vae::Vae;
use super::{Batch, ModelSpec, Scoring};
use crate::nn::autograd::with_gradient;
use crate::nn::{Noise, ParameterSpec, Parameters};

/// A model's objective on one batch, for every seed.
#[derive(Debug)]
pub struct Evaluated {
    /// What is minimised, `[seeds]`, f64.
    pub total: Tensor,
    /// Its terms before weighting, `[seeds]` each, f64.
    pub terms: Vec<Tensor>,
    /// Not 0 where a computation broke down (a covariance without a factor), `[seeds]`, f64.
    pub failed: Tensor,
}

impl Evaluated {
    /// What a seed without rows has.
    pub(super) fn nothing(terms: usize, device: Device) -> Self {
        let zero = || Tensor::zeros([1], (Kind::Double, device));
        Self { total: zero(), terms: (0..terms).map(|_| zero()).collect(), failed: zero() }
    }

    /// Seeds that were evaluated apart, in one.
    pub(super) fn join(seeds: &[Self]) -> Self {
        let join = |part: &dyn Fn(&Self) -> &Tensor| {
            Tensor::cat(&seeds.iter().map(part).collect::<Vec<_>>(), 0)
        };
        let terms = 0..seeds.first().map_or(0, |seed| seed.terms.len());
        Self {
            total: join(&|seed| &seed.total),
            terms: terms.map(|term| join(&|seed| &seed.terms[term])).collect(),
            failed: join(&|seed| &seed.failed),
        }
    }
}

/// The objective of one batch and its gradient, for every seed.
#[derive(Debug)]
pub struct Loss {
    /// As `Evaluated` has them.
    pub total: Tensor,
    pub terms: Vec<Tensor>,
    pub failed: Tensor,
    /// Of each seed's `total` with respect to its own parameters, [seeds, count].
    pub gradient: Tensor,
}

impl Loss {
    /// Differentiates what `evaluate` gives of the parameters.
    pub fn of(parameters: &Parameters, evaluate: impl FnOnce(&Parameters) -> Evaluated) -> Self {
        let (value, gradient) = with_gradient(parameters, evaluate, |value| &value.total);
        Self {
            total: value.total.detach(),
            terms: value.terms.iter().map(Tensor::detach).collect(),
            failed: value.failed.detach(),
            gradient,
        }
    }

    /// What is recorded of a step: `failed`, `total`, then the terms, `[seeds]` each.
    pub fn row(&self) -> Vec<Tensor> {
        let mut row = vec![self.failed.shallow_clone(), self.total.shallow_clone()];
        row.extend(self.terms.iter().map(Tensor::shallow_clone));
        row
    }
}

/// What scoring returns for one seed and one way of scoring; higher means more anomalous.
#[derive(Debug)]
pub struct Scores {
    /// Of the training rows, `[rows]`, f64; where they were asked for.
    pub train: Option<Tensor>,
    /// Of the test rows, `[rows]`, f64.
    pub test: Tensor,
    /// ‖x−x'‖² of the test rows, `[rows]`, f64.
    pub test_error: Tensor,
    /// What makes the scores meaningless, in words.
    pub broken: Option<&'static str>,
}

/// What is to be scored, of one seed.
#[derive(Debug, Clone, Copy)]
pub struct ToScore<'a> {
    /// [rows, features]
    pub train: &'a Tensor,
    /// [rows, features]
    pub test: &'a Tensor,
    pub seed: u64,
    /// Rows of a training step.
    pub batch_size: usize,
}

/// A model's network; its parameters are kept apart, in `Parameters`.
pub trait Network: std::fmt::Debug {
    /// Names of the columns of a loss curve: the total, then its terms.
    fn terms(&self) -> &'static [&'static str];

    /// What a training step draws, if anything.
    fn noise(&self) -> Option<Noise> {
        None
    }

    /// Whether the model means something only for values in [0, 1].
    fn needs_unit_interval(&self) -> bool {
        false
    }

    /// The objective of one training batch with what `noise` draws for it, [seeds, rows, values a
    /// row], where the batch is. A network with running statistics moves them in place.
    ///
    /// # Panics
    /// If a network that draws noise gets none.
    fn evaluate(&self, parameters: &Parameters, batch: &Batch, noise: Option<&Tensor>)
    -> Evaluated;

    /// x̂ of x, [seeds, rows, features] each; a variational model's from the mean of q(z|x).
    fn reconstruct(&self, parameters: &Parameters, x: &Tensor) -> Tensor;

    /// Scores of one seed's rows by parameters of that seed alone, one for each way of scoring; one alone
    /// from a network that has no choice of them.
    fn scores(&self, parameters: &Parameters, rows: ToScore, scorings: &[Scoring]) -> Vec<Scores>;

    /// Names and values, [rows, 3], of three coordinates of the space in which one seed's rows,
    /// [rows, features], are scored, for a network that has one.
    fn space(&self, _: &Parameters, _: &Tensor) -> Option<([&'static str; 3], Tensor)> {
        None
    }

    /// Values that its layers give for a row, roughly: the outputs of linear layers, and what it has beside
    /// them.
    fn activations(&self, specs: &[ParameterSpec]) -> usize {
        linear_outputs(specs)
    }
}

/// The outputs of all linear layers among the parameters.
pub(super) fn linear_outputs(specs: &[ParameterSpec]) -> usize {
    let outputs = specs.iter().filter_map(|spec| match spec.shape[..] {
        // the weights of a linear layer
        [_, outputs] => Some(outputs as usize),
        _ => None,
    });
    outputs.sum()
}

/// A network, and the `[model]` table that it was made by.
#[derive(Debug)]
pub struct Detector {
    pub spec: ModelSpec,
    pub network: Box<dyn Network>,
}

impl Detector {
    /// The objective of one batch and its gradient; see [`Network::evaluate`].
    pub fn loss(&self, parameters: &Parameters, batch: &Batch, noise: Option<&Tensor>) -> Loss {
        Loss::of(parameters, |recorded| self.network.evaluate(recorded, batch, noise))
    }
}

/// The detector that a table describes, for rows of `features` values, and its parameters; `image` is
/// the height and width of the images that rows are, if any.
///
/// # Errors
/// `Usage` for rows that the model cannot take.
pub fn build(
    spec: &ModelSpec,
    features: usize,
    image: Option<(usize, usize)>,
) -> Result<(Detector, Vec<ParameterSpec>)> {
    fn boxed<N: Network + 'static>(
        (network, specs): (N, Vec<ParameterSpec>),
    ) -> (Box<dyn Network>, Vec<ParameterSpec>) {
        (Box::new(network), specs)
    }
    let (network, specs) = match spec {
        ModelSpec::Dagmm(table) => boxed(Dagmm::new(table, features)),
        ModelSpec::Autoencoder(table) => boxed(Autoencoder::new(table, features)),
        ModelSpec::Vae(table) => boxed(Vae::new(table, features)),
        ModelSpec::Pca(_) | ModelSpec::Command(_) | ModelSpec::Scores(_) => {
            let what = "this model has no network: 'seedbed fit' takes its jobs";
            return Err(Error::Usage(what.into()));
        }
        ModelSpec::ConvVae(table) if image == Some(conv_vae::IMAGE) => boxed(ConvVae::new(table)),
        ModelSpec::ConvVae(_) => {
            let columns = || format!("{features} columns that are no image");
            let rows = image.map_or_else(columns, |(h, w)| format!("images of {h} × {w} pixels"));
            return Err(Error::Usage(format!(
                "model conv-vae takes images of 28 × 28 pixels, and the data set has {rows}; \
                 choose another model or data set"
            )));
        }
    };
    Ok((Detector { spec: spec.clone(), network }, specs))
}
