//! The fully connected variational autoencoder: Kingma and Welling, "Auto-Encoding Variational
//! Bayes", ICLR 2014; for anomalies An and Cho, "Variational Autoencoder based Anomaly Detection
//! using Reconstruction Probability", 2015. The networks alone: likelihoods, objective and scores
//! are in `variational`. Shapes: S seeds, B rows, F features, L latent variables.

use tch::Tensor;

use super::variational::{Latent, Likelihood, Objective, Scorer, TERMS};
use super::{
    Batch, Decoder, Evaluated, LogVariance, Network, Scores, Scoring, ToScore, VaeSpec, mirrored,
};
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
        let [mut inward, mut outward] = mirrored(features, &spec.hidden, spec.latent);
        // mean and log-variance of each latent variable, and what p(x|z) needs of each feature
        inward[spec.hidden.len() + 1] *= 2;
        outward[spec.hidden.len() + 1] *= likelihood.outputs();
        let mut parameters = Vec::new();
        let encoder = Mlp::new("encoder", &inward, spec.activation, &mut parameters);
        initialise(spec.init, &mut parameters, 2);
        let activation = spec.decoder_activation.unwrap_or(spec.activation);
        let of_decoder = parameters.len();
        let decoder = Mlp::new("decoder", &outward, activation, &mut parameters);
        initialise(spec.init, &mut parameters[of_decoder..], likelihood.outputs());
        let objective = Objective::Elbo { likelihood, beta: spec.beta, reduction: spec.reduction };
        (Self { latent: spec.latent as i64, encoder, decoder, likelihood, objective }, parameters)
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
}

impl Network for Vae {
    fn terms(&self) -> &'static [&'static str] {
        &TERMS
    }

    /// ε
    fn noise(&self) -> Option<Noise> {
        Some(Noise::Latent { variables: self.latent as usize })
    }

    fn needs_unit_interval(&self) -> bool {
        self.likelihood.needs_unit_interval()
    }

    fn evaluate(
        &self,
        parameters: &Parameters,
        batch: &Batch,
        noise: Option<&Tensor>,
    ) -> Evaluated {
        let noise = noise.expect("a VAE draws noise"); // [S, B, L]
        let latent = Latent::draw(&self.encode(parameters, &batch.x), noise);
        self.objective.evaluate(batch, &latent, &self.decode(parameters, &latent.z))
    }

    fn reconstruct(&self, parameters: &Parameters, x: &Tensor) -> Tensor {
        let mean = self.encode(parameters, x).narrow(2, 0, self.latent);
        self.likelihood.mean(&self.decode(parameters, &mean))
    }

    fn scores(&self, parameters: &Parameters, rows: ToScore, scorings: &[Scoring]) -> Vec<Scores> {
        let scorer = Scorer {
            encode: &|x| self.encode(parameters, x),
            decode: &|z| self.decode(parameters, z),
            likelihood: self.likelihood,
        };
        scorer.scores(rows, scorings)
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
