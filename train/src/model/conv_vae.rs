//! A convolutional variational autoencoder of 28×28 images: the architecture of a public notebook
//! (MNIST, one digit the anomaly), every width its own. Two convolutions, two heads, and back by a
//! linear layer and two transposed convolutions; batch normalisation and ReLU between them, a
//! linear output. The network alone: its layers are in `convolution`, likelihoods, objective and
//! scores in `variational`. Shapes: S seeds, B rows, F = 28² pixels, L latent variables.

use tch::{Kind, Tensor, no_grad};

use super::variational::{Evaluated, Latent, Likelihood, Network, Objective};
use super::{
    Batch, ConvDecoder, ConvLoss, ConvVaeSpec, Loss, Noise, Reduction, Scores, Scoring, ToScore,
};
use crate::nn::convolution::{
    BatchNorm, Convolution, Halved, Normalised, Statistics, TransposedConvolution,
};
use crate::nn::layers::{Gradient, Linear, ParameterSpec, Parameters};

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
    spec: ConvVaeSpec,
}

/// A pass through the encoder.
#[derive(Debug)]
pub struct Encoded {
    convolved: [Halved; 2],
    /// After each convolution, [B, 14, 14, S·C₁] and [B, 7, 7, S·C₂].
    pub normalised: [Normalised; 2],
    /// The second one's output, [S, B, 7·7·C₂].
    flat: Tensor,
    /// Means, then log-variances, of q(z|x), [S, B, 2L].
    pub heads: Tensor,
}

/// A pass through the decoder.
#[derive(Debug)]
pub struct Decoded {
    z: Tensor,
    /// After the linear layer, [B, 7, 7, S·C₂].
    pub widened: Tensor,
    /// After the first transposed convolution, [B, 14, 14, S·C₁].
    pub normalised: Normalised,
    /// The mean or the logits of each pixel, [S, B, F].
    pub output: Tensor,
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
            spec: spec.clone(),
        };
        (network, specs)
    }

    /// The choices that the network was made by.
    pub fn spec(&self) -> &ConvVaeSpec {
        &self.spec
    }

    /// What p(x|z) is.
    pub fn likelihood(&self) -> Likelihood {
        self.likelihood
    }

    /// Of x [S, B, F].
    pub fn encode(&self, parameters: &Parameters, x: &Tensor, by: Statistics) -> Encoded {
        let image = seeds_last(x, [SIDE, 1]);
        let (sum, first) = self.convolutions[0].forward(parameters, &image);
        let norm_0 = self.norms[0].forward(parameters, sum, by);
        let (sum, second) = self.convolutions[1].forward(parameters, &norm_0.output);
        let norm_1 = self.norms[1].forward(parameters, sum, by);
        let flat = seeds_first(&norm_1.output, x.size()[0]);
        let heads = self.heads.forward(parameters, &flat);
        Encoded { convolved: [first, second], normalised: [norm_0, norm_1], flat, heads }
    }

    /// Of z [S, B, L].
    pub fn decode(&self, parameters: &Parameters, z: &Tensor, by: Statistics) -> Decoded {
        let flat = self.widening.forward(parameters, z);
        let widened = seeds_last(&flat, [INNER, self.channels[1]]);
        let sum = self.transposed[0].forward(parameters, &widened);
        let normalised = self.transposed_norm.forward(parameters, sum, by);
        let image = self.transposed[1].forward(parameters, &normalised.output);
        let output = seeds_first(&image, z.size()[0]);
        Decoded { z: z.shallow_clone(), widened, normalised, output }
    }

    /// Gathers the decoder's gradient from that of its outputs, [S, B, F]; returns the one by z.
    fn decoder_backward(
        &self,
        parameters: &Parameters,
        decoded: &Decoded,
        by_output: &Tensor,
        gradient: &mut Gradient,
    ) -> Tensor {
        let Decoded { z, widened, normalised, .. } = decoded;
        let by_image = seeds_last(by_output, [SIDE, 1]);
        let by_norm =
            self.transposed[1].backward(parameters, &normalised.output, &by_image, gradient);
        let by_sum = self.transposed_norm.backward(parameters, normalised, &by_norm, gradient);
        let by_widened = self.transposed[0].backward(parameters, widened, &by_sum, gradient);
        let by_flat = seeds_first(&by_widened, z.size()[0]);
        self.widening.gather(parameters, z, &by_flat, gradient);
        self.widening.by_input(parameters, &by_flat)
    }

    /// Gathers the encoder's gradient from that of its heads, [S, B, 2L].
    fn encoder_backward(
        &self,
        parameters: &Parameters,
        encoded: &Encoded,
        by_heads: &Tensor,
        gradient: &mut Gradient,
    ) {
        let Encoded { convolved, normalised, flat, .. } = encoded;
        self.heads.gather(parameters, flat, by_heads, gradient);
        let by_flat = self.heads.by_input(parameters, by_heads);
        let by_norm = seeds_last(&by_flat, [INNER, self.channels[1]]);
        let by_sum = self.norms[1].backward(parameters, &normalised[1], &by_norm, gradient);
        self.convolutions[1].gather(parameters, &convolved[1], &by_sum, gradient);
        let by_norm = self.convolutions[1].by_input(parameters, &by_sum);
        let by_sum = self.norms[0].backward(parameters, &normalised[0], &by_norm, gradient);
        self.convolutions[0].gather(parameters, &convolved[0], &by_sum, gradient);
    }

    /// What a training step draws: ε.
    pub fn noise(&self) -> Noise {
        Noise::Latent { variables: self.latent as usize }
    }

    /// The objective, its terms and its gradient for one batch; `noise` is ε, [S, B, L]. Moves the
    /// running statistics of the seeds that have rows in it.
    pub fn loss(&self, parameters: &Parameters, batch: &Batch, noise: &Tensor) -> Loss {
        no_grad(|| match &batch.weight {
            None => self.whole_loss(parameters, batch, noise),
            Some(_) => self.loss_by_seed(parameters, batch, noise),
        })
    }

    fn whole_loss(&self, parameters: &Parameters, batch: &Batch, noise: &Tensor) -> Loss {
        let encoded = self.encode(parameters, &batch.x, Statistics::Batch);
        let latent = Latent::draw(&encoded.heads, noise);
        let decoded = self.decode(parameters, &latent.z, Statistics::Batch);
        let Evaluated { total, terms, by_output, divergence_weight } =
            self.objective.evaluate(batch, &latent, &decoded.output);

        let mut gradient = Gradient::new(parameters);
        let by_z = self.decoder_backward(parameters, &decoded, &by_output, &mut gradient);
        let by_heads = latent.by_heads(&by_z, &divergence_weight);
        self.encoder_backward(parameters, &encoded, &by_heads, &mut gradient);
        let failed = total.zeros_like();
        Loss { total, terms, failed, gradient: gradient.flat() }
    }

    /// Each seed's rows alone, which come first: padding would count in a batch's statistics.
    fn loss_by_seed(&self, parameters: &Parameters, batch: &Batch, noise: &Tensor) -> Loss {
        let counts = batch.counts().into_iter().enumerate();
        let losses: Vec<Loss> = counts
            .map(|(seed, rows)| {
                let alone = parameters.of_seed(seed);
                if rows == 0 {
                    return nothing(&alone);
                }
                let of_seed = |t: &Tensor| t.narrow(0, seed as i64, 1).narrow(1, 0, rows as i64);
                self.whole_loss(&alone, &Batch::whole(of_seed(&batch.x)), &of_seed(noise))
            })
            .collect();
        let join = |part: &dyn Fn(&Loss) -> &Tensor| {
            Tensor::cat(&losses.iter().map(part).collect::<Vec<_>>(), 0)
        };
        Loss {
            total: join(&|loss| &loss.total),
            terms: (0..2).map(|term| join(&|loss| &loss.terms[term])).collect(),
            failed: join(&|loss| &loss.failed),
            gradient: join(&|loss| &loss.gradient),
        }
    }

    /// Scores of one seed's rows, for each way of scoring.
    pub fn scores(
        &self,
        parameters: &Parameters,
        rows: ToScore,
        scorings: &[Scoring],
    ) -> Vec<Scores> {
        let network = Network {
            encode: &|x| self.encode(parameters, x, Statistics::Running).heads,
            decode: &|z| self.decode(parameters, z, Statistics::Running).output,
            likelihood: self.likelihood,
        };
        network.scores(rows, scorings)
    }

    /// x̂ of x, [S, B, F] each, from the mean of q(z|x) and by running statistics.
    pub fn reconstruct(&self, parameters: &Parameters, x: &Tensor) -> Tensor {
        let heads = self.encode(parameters, x, Statistics::Running).heads;
        let mean = heads.narrow(2, 0, self.latent);
        self.likelihood.mean(&self.decode(parameters, &mean, Statistics::Running).output)
    }
}

/// The loss of a seed without rows, whose parameters and statistics stay as they are.
fn nothing(parameters: &Parameters) -> Loss {
    let zero = || Tensor::zeros([1], (Kind::Double, parameters.flat().device()));
    let gradient = parameters.flat().zeros_like();
    Loss { total: zero(), terms: vec![zero(), zero()], failed: zero(), gradient }
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
