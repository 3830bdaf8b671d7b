//! A convolutional variational autoencoder of 28×28 images: the architecture of a public notebook
//! (MNIST, one digit the anomaly), every width its own. Two convolutions, two heads, and back by a
//! linear layer and two transposed convolutions; batch normalisation and ReLU between them, a
//! linear output. The network alone: its layers are in `convolution`, likelihoods, objective and
//! scores in `variational`. Shapes: S seeds, B rows, F = 28² pixels, L latent variables.

use tch::Tensor;

use super::variational::{self, Latent, Likelihood, Objective, Scorer};
use super::{
    Batch, ConvDecoder, ConvLoss, ConvVaeSpec, Evaluated, Network, Reduction, Scores, Scoring,
    ToScore, linear_outputs,
};
use crate::nn::convolution::{BatchNorm, Convolution, Statistics, TransposedConvolution};
use crate::nn::linear::Linear;
use crate::nn::{Noise, ParameterSpec, Parameters};

/// Height and width of the images.
pub const IMAGE: (usize, usize) = (SIDE as usize, SIDE as usize);
const SIDE: i64 = 28;
/// Pixels along an edge after the second convolution.
const INNER: i64 = SIDE / 4;

/// The network; its parameters are kept apart, in `Parameters`.
#[derive(Debug)]
pub struct ConvVae {
    latent: i64,
    channels: [i64; 2],
    convolutions: [Convolution; 2],
    norms: [BatchNorm; 2],
    /// From the second convolution's outputs, row by row, column by column, channel by channel.
    heads: Linear,
    widening: Linear,
    transposed: [TransposedConvolution; 2],
    transposed_norm: BatchNorm,
    likelihood: Likelihood,
    objective: Objective,
}

/// [S, B, edge·edge·C] → [B, edge, edge, S·C]; a view of one seed.
fn seeds_last(flat: &Tensor, [edge, channels]: [i64; 2]) -> Tensor {
    let (seeds, rows) = (flat.size()[0], flat.size()[1]);
    let pixels = flat.view([seeds, rows, edge * edge, channels]).permute([1, 2, 0, 3]);
    pixels.reshape([rows, edge, edge, seeds * channels])
}

/// [B, H, W, S·C] → [S, B, H·W·C]; a view of one seed.
fn seeds_first(images: &Tensor, seeds: i64) -> Tensor {
    let rows = images.size()[0];
    let pixels = images.reshape([rows, images.size()[1] * images.size()[2], seeds, -1]);
    pixels.permute([2, 0, 1, 3]).reshape([seeds, rows, -1])
}

impl ConvVae {
    /// The network for rows that are such images, and the parameters that it needs.
    pub fn new(spec: &ConvVaeSpec) -> (Self, Vec<ParameterSpec>) {
        let latent = spec.latent as i64;
        let channels @ [first, second] = spec.channels.map(|channels| channels as i64);
        let flat = INNER * INNER * second;
        let likelihood = match spec.decoder {
            ConvDecoder::Gaussian => Likelihood::FixedGaussian { sigma: spec.sigma },
            ConvDecoder::Bernoulli => Likelihood::Bernoulli,
        };
        let objective = match spec.loss {
            ConvLoss::Elbo => {
                Objective::Elbo { likelihood, beta: spec.beta, reduction: Reduction::Mean }
            }
            ConvLoss::Notebook => Objective::Notebook { beta: spec.beta },
        };
        let mut specs = Vec::new();
        let network = Self {
            latent,
            channels,
            convolutions: [
                Convolution::new("encoder.0", 1, first, &mut specs),
                Convolution::new("encoder.1", first, second, &mut specs),
            ],
            norms: [
                BatchNorm::new("encoder.norm.0", first, &mut specs),
                BatchNorm::new("encoder.norm.1", second, &mut specs),
            ],
            heads: Linear::new("heads", flat, 2 * latent, &mut specs),
            widening: Linear::new("decoder.0", latent, flat, &mut specs),
            transposed: [
                TransposedConvolution::new("decoder.1", second, first, &mut specs),
                TransposedConvolution::new("decoder.2", first, 1, &mut specs),
            ],
            transposed_norm: BatchNorm::new("decoder.norm.1", first, &mut specs),
            likelihood,
            objective,
        };
        (network, specs)
    }

    /// The heads of q(z|x), [S, B, 2L], of x [S, B, F].
    pub fn encode(&self, parameters: &Parameters, x: &Tensor, by: Statistics) -> Tensor {
        let mut images = seeds_last(x, [SIDE, 1]);
        for (convolution, norm) in self.convolutions.iter().zip(&self.norms) {
            images = norm.forward(parameters, &convolution.forward(parameters, &images), by);
        }
        // [B, 7, 7, S·C₂] → [S, B, 7·7·C₂]
        self.heads.forward(parameters, &seeds_first(&images, x.size()[0]))
    }

    /// The mean or the logits of each pixel, [S, B, F], of z [S, B, L].
    pub fn decode(&self, parameters: &Parameters, z: &Tensor, by: Statistics) -> Tensor {
        let flat = self.widening.forward(parameters, z);
        let widened = seeds_last(&flat, [INNER, self.channels[1]]); // [B, 7, 7, S·C₂]
        let sum = self.transposed[0].forward(parameters, &widened); // [B, 14, 14, S·C₁]
        let images = self.transposed_norm.forward(parameters, &sum, by);
        seeds_first(&self.transposed[1].forward(parameters, &images), z.size()[0])
    }

    fn evaluate_whole(&self, parameters: &Parameters, batch: &Batch, noise: &Tensor) -> Evaluated {
        let latent = Latent::draw(&self.encode(parameters, &batch.x, Statistics::Batch), noise);
        let output = self.decode(parameters, &latent.z, Statistics::Batch);
        self.objective.evaluate(batch, &latent, &output)
    }
}

impl Network for ConvVae {
    fn terms(&self) -> &'static [&'static str] {
        &variational::TERMS
    }

    /// ε
    fn noise(&self) -> Option<Noise> {
        Some(Noise::Latent { variables: self.latent as usize })
    }

    fn needs_unit_interval(&self) -> bool {
        self.likelihood.needs_unit_interval()
    }

    /// Moves the running statistics of the seeds that have rows in the batch.
    fn evaluate(
        &self,
        parameters: &Parameters,
        batch: &Batch,
        noise: Option<&Tensor>,
    ) -> Evaluated {
        let noise = noise.expect("a VAE draws noise"); // [S, B, L]
        if batch.weight.is_none() {
            return self.evaluate_whole(parameters, batch, noise);
        }
        // each seed's rows alone, which come first: padding would count in a batch's statistics
        let counts = batch.counts().into_iter().enumerate();
        let seeds = counts.map(|(seed, rows)| {
            if rows == 0 {
                return Evaluated::nothing(variational::TERMS.len() - 1, batch.x.device());
            }
            let of_seed = |t: &Tensor| t.narrow(0, seed as i64, 1).narrow(1, 0, rows as i64);
            let alone = Batch::whole(of_seed(&batch.x));
            self.evaluate_whole(&parameters.of_seed(seed), &alone, &of_seed(noise))
        });
        Evaluated::join(&seeds.collect::<Vec<_>>())
    }

    /// By running statistics.
    fn reconstruct(&self, parameters: &Parameters, x: &Tensor) -> Tensor {
        let heads = self.encode(parameters, x, Statistics::Running);
        let mean = heads.narrow(2, 0, self.latent);
        self.likelihood.mean(&self.decode(parameters, &mean, Statistics::Running))
    }

    fn scores(&self, parameters: &Parameters, rows: ToScore, scorings: &[Scoring]) -> Vec<Scores> {
        let scorer = Scorer {
            encode: &|x| self.encode(parameters, x, Statistics::Running),
            decode: &|z| self.decode(parameters, z, Statistics::Running),
            likelihood: self.likelihood,
        };
        scorer.scores(rows, scorings)
    }

    /// Encoder and decoder halve an image's edges once and twice.
    fn activations(&self, specs: &[ParameterSpec]) -> usize {
        let [first, second] = self.channels.map(|channels| channels as usize);
        let pixels = (SIDE * SIDE) as usize;
        linear_outputs(specs) + 2 * (first * pixels / 4 + second * pixels / 16)
    }
}

#[cfg(test)]
mod tests {
    use crate::model::{ModelSpec, build};

    #[test]
    fn rows_that_are_no_images_of_28_by_28_are_refused() {
        let spec: ModelSpec = serde_json::from_str(r#"{"name": "conv-vae"}"#).expect("a model");
        assert!(build(&spec, 784, Some((28, 28))).is_ok());
        for (features, image, words) in [
            (118, None, "118 columns"),
            (784, None, "784 columns"),
            (784, Some((16, 49)), "16 × 49"),
        ] {
            let message = build(&spec, features, image).map(|_| ()).unwrap_err().to_string();
            assert!(message.contains("28 × 28") && message.contains(words), "{message}");
        }
    }
}
