//! The fully connected variational autoencoder: Kingma and Welling, "Auto-Encoding Variational
//! Bayes", ICLR 2014; for anomalies An and Cho, "Variational Autoencoder based Anomaly Detection
//! using Reconstruction Probability", 2015. The networks alone: likelihoods, objective and scores
//! are in `variational`. Shapes: S seeds, B rows, F features, L latent variables.

use tch::Tensor;

use super::variational::{Latent, Likelihood, Network, Objective};
use super::{Batch, Decoder, Evaluated, LogVariance, Scores, Scoring, ToScore, VaeSpec};
use crate::nn::linear::Mlp;
use crate::nn::parameters::initialise;
use crate::nn::{Noise, ParameterSpec, Parameters};

/// The network; its parameters are kept apart, in `Parameters`.
#[derive(Debug)]
pub struct Vae {
    latent: i64,
    pub(crate) encoder: Mlp,
    pub(crate) decoder: Mlp,
    likelihood: Likelihood,
    pub(crate) objective: Objective,
}

impl Vae {
    /// The network for rows of `features` values, and the parameters that it needs.
    pub fn new(spec: &VaeSpec, features: usize) -> (Self, Vec<ParameterSpec>) {
        let likelihood = likelihood(spec);
        let (features, latent) = (features as i64, spec.latent as i64);
        let hidden: Vec<i64> = spec.hidden.iter().map(|&width| width as i64).collect();
        let inward = [vec![features], hidden.clone(), vec![2 * latent]].concat();
        let mirrored = hidden.into_iter().rev().collect();
        let outward = [vec![latent], mirrored, vec![likelihood.outputs() * features]].concat();
        let mut parameters = Vec::new();
        let encoder = Mlp::new("encoder", &inward, spec.activation, &mut parameters);
        initialise(spec.init, &mut parameters, 2);
        let activation = spec.decoder_activation.unwrap_or(spec.activation);
        let of_decoder = parameters.len();
        let decoder = Mlp::new("decoder", &outward, activation, &mut parameters);
        initialise(spec.init, &mut parameters[of_decoder..], likelihood.outputs());
        let objective = Objective::Elbo { likelihood, beta: spec.beta, reduction: spec.reduction };
        (Self { latent, encoder, decoder, likelihood, objective }, parameters)
    }

    /// What p(x|z) is.
    pub fn likelihood(&self) -> Likelihood {
        self.likelihood
    }

    /// The heads of q(z|x), [S, B, 2L], of x [S, B, F].
    pub fn encode(&self, parameters: &Parameters, x: &Tensor) -> Tensor {
        self.encoder.forward(parameters, x)
    }

    /// The decoder's outputs, [S, B, F] or [S, B, 2F], of z [S, B, L].
    pub fn decode(&self, parameters: &Parameters, z: &Tensor) -> Tensor {
        self.decoder.forward(parameters, z)
    }

    /// x̂ of x, [S, B, F] each, from the mean of q(z|x).
    pub fn reconstruct(&self, parameters: &Parameters, x: &Tensor) -> Tensor {
        let mean = self.encode(parameters, x).narrow(2, 0, self.latent);
        self.likelihood.mean(&self.decode(parameters, &mean))
    }

    /// What a training step draws: ε.
    pub fn noise(&self) -> Noise {
        Noise::Latent { variables: self.latent as usize }
    }

    /// The objective and its terms for one batch; `noise` is ε, [S, B, L].
    pub fn evaluate(&self, parameters: &Parameters, batch: &Batch, noise: &Tensor) -> Evaluated {
        let latent = Latent::draw(&self.encode(parameters, &batch.x), noise);
        self.objective.evaluate(batch, &latent, &self.decode(parameters, &latent.z))
    }

    /// Scores of one seed's rows, for each way of scoring.
    pub fn scores(
        &self,
        parameters: &Parameters,
        rows: ToScore,
        scorings: &[Scoring],
    ) -> Vec<Scores> {
        let network = Network {
            encode: &|x| self.encode(parameters, x),
            decode: &|z| self.decode(parameters, z),
            likelihood: self.likelihood,
        };
        network.scores(rows, scorings)
    }
}

fn likelihood(spec: &VaeSpec) -> Likelihood {
    let bounds = match spec.log_variance {
        LogVariance::Bounded => Some(spec.log_variance_bounds),
        LogVariance::Unbounded => None,
    };
    match (spec.decoder, spec.sigma) {
        (Decoder::Gaussian, Some(sigma)) => Likelihood::FixedGaussian { sigma },
        (Decoder::Gaussian, None) => Likelihood::Gaussian { bounds },
        (Decoder::Bernoulli, _) => Likelihood::Bernoulli,
        (Decoder::BernoulliProbabilities, _) => Likelihood::BernoulliProbabilities,
        (Decoder::Blog, _) => Likelihood::Blog { bounds },
    }
}
