//! A training step of the fully connected VAE on CPU cores: `model::vae`'s, with its gradient written out.
//! Layers are `mlp`'s; what lies between them is libtorch's operations on whole tensors, all seeds at once.

use std::f64::consts::TAU;

use tch::{Tensor, no_grad};

use super::mlp::Gradient;
use crate::model::vae::Vae;
use crate::model::variational::{Latent, Likelihood, Objective, halves};
use crate::model::{Batch, Loss, VaeSpec};
use crate::nn::activation::tanh;
use crate::nn::linear::Mlp;
use crate::nn::{ParameterSpec, Parameters};

/// The network's layers and objective.
#[derive(Debug)]
pub struct Core {
    encoder: Mlp,
    decoder: Mlp,
    objective: Objective,
}

impl Core {
    /// The step of a network with such parameters.
    pub fn new(spec: &VaeSpec, parameters: &[ParameterSpec]) -> Self {
        // the first is the encoder's first weight, [features, …]
        let (vae, _) = Vae::new(spec, parameters[0].shape[0] as usize);
        Self { encoder: vae.encoder, decoder: vae.decoder, objective: vae.objective }
    }

    /// Does as `Detector::loss`; `noise` is ε, [S, B, L].
    pub fn loss(&self, parameters: &Parameters, batch: &Batch, noise: &Tensor) -> Loss {
        no_grad(|| {
            let encoded = self.encoder.pass(parameters, &batch.x);
            let latent = Latent::draw(encoded.output(), noise);
            let decoded = self.decoder.pass(parameters, &latent.z);
            let value = self.objective.evaluate(batch, &latent, decoded.output());

            let [weight, divergence_weight] = self.objective.row_weights(batch);
            let d_output = self.d_output(decoded.output(), &batch.x, &weight);
            let mut gradient = Gradient::new(parameters);
            let d_first = gradient.back(&self.decoder, &decoded, d_output);
            let d_z = gradient.d_input(&self.decoder, &d_first);
            let d_heads = d_heads(&latent, &d_z, &(divergence_weight * self.beta()));
            let _ = gradient.back(&self.encoder, &encoded, d_heads);
            let (total, terms, failed) = (value.total, value.terms, value.failed);
            Loss { total, terms, failed, gradient: gradient.flat() }
        })
    }

    fn beta(&self) -> f64 {
        match self.objective {
            Objective::Elbo { beta, .. } | Objective::Notebook { beta } => beta,
        }
    }

    /// The gradient of the rows' errors, each times its `weight`, [S, B] or [S, 1], with respect to the
    /// decoder's outputs.
    fn d_output(&self, output: &Tensor, x: &Tensor, weight: &Tensor) -> Tensor {
        let weight = &weight.to_kind(x.kind()).unsqueeze(-1);
        match self.objective {
            Objective::Notebook { .. } => (output - x) * (weight * 2.0),
            Objective::Elbo { likelihood, .. } => match likelihood {
                Likelihood::Gaussian { bounds } => gaussian(output, x, bounds, weight),
                Likelihood::FixedGaussian { sigma } => {
                    (output - x) * (weight * (1.0 / (sigma * sigma)))
                }
                Likelihood::Bernoulli => (output.sigmoid() - x) * weight,
                Likelihood::BernoulliProbabilities => probabilities(output, x, weight),
                Likelihood::Blog { bounds } => blog(output, x, bounds, weight),
            },
        }
    }
}

/// The gradient with respect to the heads, from that by z and what each row's divergence counts for,
/// [S, B] or [S, 1].
fn d_heads(latent: &Latent, d_z: &Tensor, weight: &Tensor) -> Tensor {
    let weight = weight.to_kind(d_z.kind()).unsqueeze(-1);
    let d_mean = d_z + &latent.mean * &weight;
    let d_divergence = (latent.log_variance.exp() - 1.0) * weight;
    let d_log_variance = (d_z * &latent.spread + d_divergence) * 0.5;
    Tensor::cat(&[d_mean, d_log_variance], 2)
}

/// Log-variances as `variational` bounds them, and their derivative with respect to the raw ones; absent
/// where that is 1.
fn log_variance(raw: &Tensor, bounds: Option<[f64; 2]>) -> (Tensor, Option<Tensor>) {
    let Some([low, high]) = bounds else { return (raw.shallow_clone(), None) };
    let (mid, half) = ((low + high) / 2.0, (high - low) / 2.0);
    let bent = tanh((raw - mid) / half);
    (&bent * half + mid, Some(1.0 - bent.square()))
}

fn times(values: Tensor, slope: Option<Tensor>) -> Tensor {
    match slope {
        Some(slope) => values * slope,
        None => values,
    }
}

fn gaussian(output: &Tensor, x: &Tensor, bounds: Option<[f64; 2]>, weight: &Tensor) -> Tensor {
    let (mean, raw) = halves(output);
    let (log_variance, slope) = log_variance(&raw, bounds);
    let difference = mean - x;
    let d_mean = &difference * (-log_variance).exp();
    let square = &d_mean * difference;
    let d_log_variance = times((1.0 - square) * (weight * 0.5), slope);
    Tensor::cat(&[d_mean * weight, d_log_variance], 2)
}

/// Through p = σ(l), so that it breaks down where an automatic gradient does.
fn probabilities(logits: &Tensor, x: &Tensor, weight: &Tensor) -> Tensor {
    let p = logits.sigmoid();
    let (rest_p, rest_x): (Tensor, Tensor) = (1.0 - &p, 1.0 - x);
    let d_p = (rest_x / rest_p - x / &p) * weight;
    Tensor::sigmoid_backward(&d_p, &p)
}

/// Of the Euclidean norm over the features; 0 where that is 0.
fn blog(output: &Tensor, x: &Tensor, bounds: Option<[f64; 2]>, weight: &Tensor) -> Tensor {
    let (mean, raw) = halves(output);
    let (log_variance, slope) = log_variance(&raw, bounds);
    let difference = mean - x;
    let ratio = &difference * (log_variance * -0.5).exp();
    let feature = &ratio * difference * (TAU.sqrt() / 2.0);
    let square = (&feature * &feature).sum_dim_intlist(-1, true, None);
    let norm = square.sqrt();
    let safe = norm.where_self(&square.greater(0.0), &norm.ones_like());
    let d_feature = &feature * (weight / safe);
    let d_mean = &d_feature * ratio * TAU.sqrt();
    let d_log_variance = times(d_feature * feature * -0.5, slope);
    Tensor::cat(&[d_mean, d_log_variance], 2)
}
