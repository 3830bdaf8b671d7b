//! A training step of the fully connected VAE on CPU cores: `model::vae`'s, with its gradient written out.
//! Layers are `mlp`'s; what lies between them is libtorch's operations on whole tensors, all seeds at once.

use std::f64::consts::TAU;

use tch::{Tensor, no_grad};

use super::mlp::Gradient;
use crate::model::vae::Vae;
use crate::model::variational::{LOG_TAU, Latent, Likelihood, Objective, halves};
use crate::model::{Batch, Evaluated, Loss, VaeSpec};
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
            let weights = self.objective.row_weights(batch);
            let Errors { value, d_output } = self.errors(decoded.output(), &batch.x, &weights[0]);
            let evaluated = self.objective.total(value, &latent, &weights);
            let mut gradient = Gradient::new(parameters);
            let d_first = gradient.back(&self.decoder, &decoded, d_output);
            let d_z = gradient.d_input(&self.decoder, &d_first);
            let d_heads = d_heads(&latent, &d_z, &(&weights[1] * self.objective.beta()));
            let _ = gradient.back(&self.encoder, &encoded, d_heads);
            let Evaluated { total, terms, failed } = evaluated;
            Loss { total, terms, failed, gradient: gradient.flat() }
        })
    }

    /// The rows' errors, and their gradient, each row's times its `weight`, [S, B] or [S, 1].
    fn errors(&self, output: &Tensor, x: &Tensor, weight: &Tensor) -> Errors {
        let weight = &weight.to_kind(x.kind()).unsqueeze(-1);
        match self.objective {
            Objective::Notebook { .. } => {
                let difference = output - x;
                Errors { value: square_sum(&difference), d_output: difference * (weight * 2.0) }
            }
            Objective::Elbo { likelihood, .. } => match likelihood {
                Likelihood::Gaussian { bounds } => gaussian(output, x, bounds, weight),
                Likelihood::FixedGaussian { sigma } => fixed_gaussian(output, x, sigma, weight),
                Likelihood::Bernoulli => bernoulli(output, x, weight),
                Likelihood::BernoulliProbabilities => probabilities(output, x, weight),
                Likelihood::Blog { bounds } => blog(output, x, bounds, weight),
            },
        }
    }
}

/// What each row has for an error, [S, B], and the gradient with respect to the decoder's outputs.
struct Errors {
    value: Tensor,
    d_output: Tensor,
}

/// Over the features, the last axis.
fn sum(values: &Tensor) -> Tensor {
    values.sum_dim_intlist(-1, false, None)
}

fn square_sum(values: &Tensor) -> Tensor {
    sum(&(values * values))
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

fn gaussian(output: &Tensor, x: &Tensor, bounds: Option<[f64; 2]>, weight: &Tensor) -> Errors {
    let (mean, raw) = halves(output);
    let (log_variance, slope) = log_variance(&raw, bounds);
    let difference = mean - x;
    let d_mean = &difference * (-&log_variance).exp_();
    let square = &d_mean * difference;
    let value = (sum(&(&square + log_variance)) + LOG_TAU * x.size()[2] as f64) * 0.5;
    let d_log_variance = times((1.0 - square) * (weight * 0.5), slope);
    Errors { value, d_output: Tensor::cat(&[d_mean * weight, d_log_variance], 2) }
}

fn fixed_gaussian(output: &Tensor, x: &Tensor, sigma: f64, weight: &Tensor) -> Errors {
    let difference = output - x;
    let precision = 1.0 / (sigma * sigma);
    let constant = x.size()[2] as f64 * (LOG_TAU + 2.0 * sigma.ln());
    let value = (square_sum(&difference) * precision + constant) * 0.5;
    Errors { value, d_output: difference * (weight * precision) }
}

fn bernoulli(logits: &Tensor, x: &Tensor, weight: &Tensor) -> Errors {
    let softplus = logits.clamp_min(0.0) + (-logits.abs()).exp_().log1p_();
    let value = sum(&(softplus - logits * x));
    Errors { value, d_output: (logits.sigmoid() - x) * weight }
}

/// Through p = σ(l), so that it breaks down where an automatic gradient does.
fn probabilities(logits: &Tensor, x: &Tensor, weight: &Tensor) -> Errors {
    let p = logits.sigmoid();
    let (rest_p, rest_x): (Tensor, Tensor) = (1.0 - &p, 1.0 - x);
    let value = -sum(&(x * p.log() + &rest_x * rest_p.log()));
    let d_p = (rest_x / rest_p - x / &p) * weight;
    Errors { value, d_output: Tensor::sigmoid_backward(&d_p, &p) }
}

/// Of the Euclidean norm over the features; its gradient at 0 is 0.
fn blog(output: &Tensor, x: &Tensor, bounds: Option<[f64; 2]>, weight: &Tensor) -> Errors {
    let (mean, raw) = halves(output);
    let (log_variance, slope) = log_variance(&raw, bounds);
    let difference = mean - x;
    let ratio = &difference * (log_variance * -0.5).exp_();
    let feature = &ratio * difference * (TAU.sqrt() / 2.0);
    let square = (&feature * &feature).sum_dim_intlist(-1, true, None);
    let norm = square.sqrt();
    let safe = norm.where_self(&square.greater(0.0), &norm.ones_like());
    let d_feature = &feature * (weight / safe);
    let d_mean = &d_feature * ratio * TAU.sqrt();
    let d_log_variance = times(d_feature * feature * -0.5, slope);
    let d_output = Tensor::cat(&[d_mean, d_log_variance], 2);
    Errors { value: norm.squeeze_dim(-1), d_output }
}
