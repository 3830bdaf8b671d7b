//! The fully connected variational autoencoder: Kingma and Welling, "Auto-Encoding Variational
//! Bayes", ICLR 2014; for anomalies An and Cho, "Variational Autoencoder based Anomaly Detection
//! using Reconstruction Probability", 2015. The networks alone: likelihoods, objective and scores
//! are in `variational`. Shapes: S seeds, B rows, F features, L latent variables.

use tch::{Tensor, no_grad};

use super::variational::{Evaluated, Latent, Likelihood, Network, Objective};
use super::{Batch, Decoder, LogVariance, Loss, Noise, Scores, Scoring, ToScore, VaeSpec};
use crate::nn::layers::{Gradient, Mlp, ParameterSpec, Parameters, initialise};

/// The network; its parameters are kept apart, in `Parameters`.
#[derive(Debug)]
pub struct Vae {
    latent: i64,
    encoder: Mlp,
    decoder: Mlp,
    likelihood: Likelihood,
    objective: Objective,
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
        self.encoder.forward(parameters, x).output().shallow_clone()
    }

    /// The decoder's outputs, [S, B, F] or [S, B, 2F], of z [S, B, L].
    pub fn decode(&self, parameters: &Parameters, z: &Tensor) -> Tensor {
        self.decoder.forward(parameters, z).output().shallow_clone()
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

    /// The objective, its terms and its gradient for one batch; `noise` is ε, [S, B, L].
    pub fn loss(&self, parameters: &Parameters, batch: &Batch, noise: &Tensor) -> Loss {
        no_grad(|| {
            let encoded = self.encoder.forward(parameters, &batch.x);
            let latent = Latent::draw(encoded.output(), noise);
            let decoded = self.decoder.forward(parameters, &latent.z);
            let Evaluated { total, terms, by_output, divergence_weight } =
                self.objective.evaluate(batch, &latent, decoded.output());

            let mut gradient = Gradient::new(parameters);
            let by_first = self.decoder.backward(parameters, &decoded, by_output, &mut gradient);
            let by_z = self.decoder.by_input(parameters, &by_first);
            let by_heads = latent.by_heads(&by_z, &divergence_weight);
            let _ = self.encoder.backward(parameters, &encoded, by_heads, &mut gradient);
            let failed = total.zeros_like();
            Loss { total, terms, failed, gradient: gradient.flat() }
        })
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
