//! What training and scoring ask of a model. The seed axis comes first everywhere.

use tch::{Device, Kind, Tensor};

use seedbed::error::{Error, Result};

use super::conv_vae::{self, ConvVae};
use super::dagmm::Dagmm;
use super::vae::Vae;
use super::{ModelSpec, Scoring};
use crate::nn::autograd::with_gradient;
use crate::nn::{Noise, ParameterSpec, Parameters};

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

    /// How many rows of each seed count; they come first.
    pub fn counts(&self) -> Vec<usize> {
        let (seeds, rows) = (self.x.size()[0] as usize, self.x.size()[1] as usize);
        match &self.weight {
            None => vec![rows; seeds],
            Some(weight) => {
                let counts = weight.sum_dim_intlist(1, false, Kind::Int64);
                (0..seeds).map(|seed| counts.int64_value(&[seed as i64]) as usize).collect()
            }
        }
    }

    /// Mean over the rows that count: [seeds, rows] → `[seeds]`.
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

    /// What each row counts for in a sum: [seeds, rows], or [seeds, 1] where all count alike; f64.
    pub fn ones(&self) -> Tensor {
        match &self.weight {
            None => Tensor::ones([self.x.size()[0], 1], (Kind::Double, self.x.device())),
            Some(weight) => weight.to_kind(Kind::Double),
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

/// A model that can be trained and can score.
#[derive(Debug)]
pub enum Detector {
    Dagmm(Dagmm),
    Vae(Vae),
    ConvVae(ConvVae),
}

/// The detector that a spec describes, for rows of `features` values, and its parameters; `image` is
/// the height and width of the images that rows are, if any.
///
/// # Errors
/// `Usage` for rows that the model cannot take.
pub fn build(
    spec: &ModelSpec,
    features: usize,
    image: Option<(usize, usize)>,
) -> Result<(Detector, Vec<ParameterSpec>)> {
    Ok(match spec {
        ModelSpec::Dagmm(spec) => {
            let (dagmm, parameters) = Dagmm::new(spec, features);
            (Detector::Dagmm(dagmm), parameters)
        }
        ModelSpec::Vae(spec) => {
            let (vae, parameters) = Vae::new(spec, features);
            (Detector::Vae(vae), parameters)
        }
        ModelSpec::ConvVae(spec) => {
            if image != Some(conv_vae::IMAGE) {
                let rows = image
                    .map_or(format!("{features} columns that are no image"), |(h, w)| {
                        format!("images of {h} × {w} pixels")
                    });
                return Err(Error::Usage(format!(
                    "model conv-vae takes images of 28 × 28 pixels, and the data set has {rows}; \
                     choose another model or data set"
                )));
            }
            let (vae, parameters) = ConvVae::new(spec);
            (Detector::ConvVae(vae), parameters)
        }
    })
}

impl Detector {
    /// Names of the columns of a loss curve: the total, then its terms.
    pub fn terms(&self) -> &'static [&'static str] {
        match self {
            Self::Dagmm(_) => &["loss", "reconstruction", "energy", "penalty"],
            Self::Vae(_) | Self::ConvVae(_) => &["loss", "reconstruction", "divergence"],
        }
    }

    /// Whether the model means something only for values in [0, 1].
    pub fn needs_unit_interval(&self) -> bool {
        match self {
            Self::Dagmm(_) => false,
            Self::Vae(vae) => vae.likelihood().needs_unit_interval(),
            Self::ConvVae(vae) => vae.likelihood().needs_unit_interval(),
        }
    }

    /// Reconstructions of one seed's rows, [rows, features]; a variational model's from the mean of
    /// q(z|x).
    pub fn reconstruct(&self, parameters: &Parameters, rows: &Tensor) -> Tensor {
        let x = rows.unsqueeze(0);
        match self {
            Self::Dagmm(dagmm) => dagmm.autoencode(parameters, &x).1,
            Self::Vae(vae) => vae.reconstruct(parameters, &x),
            Self::ConvVae(vae) => vae.reconstruct(parameters, &x),
        }
        .squeeze_dim(0)
    }

    /// Names and values, [rows, 3], of three coordinates of the space in which one seed's rows are
    /// scored, for a model that has one.
    pub fn space(
        &self,
        parameters: &Parameters,
        rows: &Tensor,
    ) -> Option<([&'static str; 3], Tensor)> {
        match self {
            Self::Dagmm(dagmm) => {
                let names = ["code", "relative distance", "cosine"];
                Some((names, dagmm.coordinates(parameters, rows)))
            }
            Self::Vae(_) | Self::ConvVae(_) => None,
        }
    }

    /// What a training step draws, if anything.
    pub fn noise(&self) -> Option<Noise> {
        match self {
            Self::Dagmm(dagmm) => dagmm.noise(),
            Self::Vae(vae) => Some(vae.noise()),
            Self::ConvVae(vae) => Some(vae.noise()),
        }
    }

    /// The objective of one training batch with what `noise` draws for it, [seeds, rows, values a
    /// row], where the batch is. A model with running statistics moves them in place.
    ///
    /// # Panics
    /// If a variational model gets no noise.
    fn evaluate(
        &self,
        parameters: &Parameters,
        batch: &Batch,
        noise: Option<&Tensor>,
    ) -> Evaluated {
        let latent = || noise.expect("a variational model draws noise");
        match self {
            Self::Dagmm(dagmm) => dagmm.evaluate(parameters, batch, noise),
            Self::Vae(vae) => vae.evaluate(parameters, batch, latent()),
            Self::ConvVae(vae) => vae.evaluate(parameters, batch, latent()),
        }
    }

    /// The objective and its gradient; see `evaluate`.
    pub fn loss(&self, parameters: &Parameters, batch: &Batch, noise: Option<&Tensor>) -> Loss {
        Loss::of(parameters, |recorded| self.evaluate(recorded, batch, noise))
    }

    /// Scores of one seed's rows by parameters of that seed alone, for each way of scoring; DAGMM
    /// has one, whatever is asked.
    pub fn scores(
        &self,
        parameters: &Parameters,
        rows: ToScore,
        scorings: &[Scoring],
    ) -> Vec<Scores> {
        match self {
            Self::Dagmm(dagmm) => vec![dagmm.scores(parameters, rows)],
            Self::Vae(vae) => vae.scores(parameters, rows, scorings),
            Self::ConvVae(vae) => vae.scores(parameters, rows, scorings),
        }
    }
}
