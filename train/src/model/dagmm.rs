//! DAGMM: Zong et al., "Deep Autoencoding Gaussian Mixture Model for Unsupervised Anomaly
//! Detection", ICLR 2018. Shapes: S seeds, B rows, F features, D = latent + 2, K mixtures.
//! The networks run in the parameters' precision, the mixture in f64 or, where asked for, f32 (`mixture`).
//! Expect about 0.94 F1 on KDD Cup 99 in the paper, under its own protocol.

use tch::{Kind, Tensor, no_grad};

use super::Activation;
use super::mixture::{EMPTY, Mixture, Rules};
use super::{
    Batch, DagmmSpec, Evaluated, Mixture as WhichMixture, Network, Precision, Reconstruction,
    Scores, Scoring, ToScore, mirrored,
};
use crate::nn::activation::tanh;
use crate::nn::linear::{Linear, Mlp};
use crate::nn::parameters::initialise;
use crate::nn::{Noise, ParameterSpec, Parameters};
use seedbed::random::{Numbers, Stream};

/// The network; its parameters are kept apart, in `Parameters`.
#[derive(Debug)]
pub struct Dagmm {
    spec: DagmmSpec,
    encoder: Mlp,
    decoder: Mlp,
    estimation: [Linear; 2],
}

impl Dagmm {
    /// The network for rows of `features` values, and the parameters that it needs.
    pub fn new(spec: &DagmmSpec, features: usize) -> (Self, Vec<ParameterSpec>) {
        let mut parameters = Vec::new();
        let [inward, outward] = mirrored(features, &spec.hidden, spec.latent);
        let encoder = Mlp::new("encoder", &inward, Activation::Tanh, &mut parameters);
        let decoder = Mlp::new("decoder", &outward, Activation::Tanh, &mut parameters);
        let (coordinates, hidden) = (spec.latent as i64 + 2, spec.estimation_hidden as i64);
        let estimation = [
            Linear::new("estimation.0", coordinates, hidden, &mut parameters),
            Linear::new("estimation.1", hidden, spec.mixtures as i64, &mut parameters),
        ];
        initialise(spec.init, &mut parameters, 1);
        (Self { spec: spec.clone(), encoder, decoder, estimation }, parameters)
    }

    /// Code [S, B, latent] and reconstruction x' [S, B, F] of x [S, B, F].
    pub fn autoencode(&self, parameters: &Parameters, x: &Tensor) -> (Tensor, Tensor) {
        let code = self.encoder.forward(parameters, x);
        let reconstruction = self.decoder.forward(parameters, &code);
        (code, reconstruction)
    }

    /// γ [S, B, K] of z [S, B, D] (equation 4), without dropout.
    pub fn memberships(&self, parameters: &Parameters, z: &Tensor) -> Tensor {
        self.softmax(parameters, &tanh(self.estimation[0].forward(parameters, z)))
    }

    fn softmax(&self, parameters: &Parameters, hidden: &Tensor) -> Tensor {
        let logits = self.estimation[1].forward(parameters, hidden);
        // rows last: a softmax along so short an axis is slow when it is the last one
        logits.transpose(1, 2).softmax(1, logits.kind()).transpose(1, 2)
    }

    /// E(z) [S, B] of z [S, B, D] under a mixture (equation 6).
    pub fn energy(&self, z: &Tensor, mixture: &Mixture) -> Tensor {
        self.rules().energy(z, mixture)
    }

    /// The spec's choices about densities.
    pub fn rules(&self) -> Rules {
        Rules::of(&self.spec)
    }
}

impl Network for Dagmm {
    fn terms(&self) -> &'static [&'static str] {
        &["loss", "reconstruction", "energy", "penalty"]
    }

    /// The masks of the estimation network's hidden units: 0 or 1/(1−p) each.
    fn noise(&self) -> Option<Noise> {
        let units = self.spec.estimation_hidden;
        let probability = self.spec.dropout;
        (probability > 0.0).then_some(Noise::Dropout { units, probability })
    }

    /// Equation 7.
    fn evaluate(
        &self,
        parameters: &Parameters,
        batch: &Batch,
        dropout: Option<&Tensor>,
    ) -> Evaluated {
        let (code, reconstruction) = self.autoencode(parameters, &batch.x);
        let sums = RowSums::of(&batch.x, &reconstruction);
        let z = sums.coordinates(&code); // [S, B, D]
        let hidden = tanh(self.estimation[0].forward(parameters, &z));
        let dropped = dropout.map_or_else(|| hidden.shallow_clone(), |mask| &hidden * mask);
        let gamma = self.softmax(parameters, &dropped); // [S, B, K]
        let mixed = self.rules().evaluate(&z, &gamma, batch);

        let scale = self.spec.reconstruction.scale(batch.x.size()[2] as usize);
        let of_rows = sums.error(self.spec.reconstruction).to_kind(Kind::Double);
        let error = batch.mean(&of_rows) * scale;
        let (energy, penalty) = (self.spec.lambda_energy, self.spec.lambda_covariance);
        Evaluated {
            total: &error + &mixed.energy * energy + &mixed.penalty * penalty,
            terms: vec![error, mixed.energy, mixed.penalty],
            failed: mixed.failed,
        }
    }

    fn reconstruct(&self, parameters: &Parameters, x: &Tensor) -> Tensor {
        self.autoencode(parameters, x).1
    }

    fn scores(&self, parameters: &Parameters, rows: ToScore, _: &[Scoring]) -> Vec<Scores> {
        vec![self.score(parameters, rows)]
    }

    fn space(&self, parameters: &Parameters, rows: &Tensor) -> Option<([&'static str; 3], Tensor)> {
        let names = ["code", "relative distance", "cosine"];
        Some((names, self.coordinates(parameters, rows)))
    }
}

/// Rows that scoring passes through the network at a time; bounds its memory.
const CHUNK: i64 = 4096;

const NO_FACTOR: &str = "a covariance has no Cholesky factor when the rows are scored";

/// z, γ and ‖x−x'‖² of many rows of one seed: [1, N, D], [1, N, K], [N].
struct Projection {
    z: Tensor,
    gamma: Tensor,
    error: Tensor,
}

impl Dagmm {
    /// Energies of one seed's rows, [N, F] each, under the mixture that the spec asks for.
    fn score(&self, parameters: &Parameters, rows: ToScore) -> Scores {
        let ToScore { train, test, seed, batch_size } = rows;
        no_grad(|| {
            let seen = self.project(parameters, train);
            let precision = self.spec.mixture_precision;
            let unseen = self.project(parameters, test);
            let (for_train, for_test) = match self.spec.mixture {
                WhichMixture::Train => (Mixture::of_rows(&seen.z, &seen.gamma, precision), None),
                WhichMixture::TestBatches => {
                    return self.scores_by_batch(&seen, unseen, batch_size);
                }
                WhichMixture::LastBatch => {
                    let rows = seen.z.size()[1] as usize;
                    let order = Numbers::new(seed, Stream::Scoring, 0).permutation(rows);
                    let order: Vec<i64> = order.into_iter().map(i64::from).collect();
                    let (aggregate, last) =
                        batch_mixtures([&seen.z, &seen.gamma], &order, batch_size, precision);
                    (aggregate, Some(last))
                }
            };
            let for_test = for_test.as_ref().unwrap_or(&for_train);
            let rules = self.rules();
            let broken = !(rules.is_definite(&for_train) && rules.is_definite(for_test));
            let energy = |z: &Tensor, mixture: &Mixture| {
                self.energy(z, mixture).squeeze_dim(0).to_kind(Kind::Double)
            };
            Scores {
                train: Some(energy(&seen.z, &for_train)),
                test: energy(&unseen.z, for_test),
                test_error: unseen.error,
                broken: broken.then_some(NO_FACTOR),
            }
        })
    }

    /// Energies of each batch of test rows, in their order, under the batch's own mixture; training rows
    /// under that of all of them.
    fn scores_by_batch(&self, seen: &Projection, unseen: Projection, batch_size: usize) -> Scores {
        let (rules, precision) = (self.rules(), self.spec.mixture_precision);
        let energy = |z: &Tensor, mixture: &Mixture| {
            self.energy(z, mixture).squeeze_dim(0).to_kind(Kind::Double)
        };
        let for_train = Mixture::of_rows(&seen.z, &seen.gamma, precision);
        let mut broken = !rules.is_definite(&for_train);
        let size = batch_size as i64;
        let batches = unseen.z.split(size, 1).into_iter().zip(unseen.gamma.split(size, 1));
        let energies: Vec<Tensor> = batches
            .map(|(z, gamma)| {
                let mixture = Mixture::of_rows(&z, &gamma, precision);
                broken |= !rules.is_definite(&mixture);
                energy(&z, &mixture)
            })
            .collect();
        Scores {
            train: Some(energy(&seen.z, &for_train)),
            test: Tensor::cat(&energies, 0),
            test_error: unseen.error,
            broken: broken.then_some(NO_FACTOR),
        }
    }

    /// First coordinate of the code, relative distance and cosine of one seed's rows, [N, F]:
    /// [N, 3].
    fn coordinates(&self, parameters: &Parameters, rows: &Tensor) -> Tensor {
        let z = self.project(parameters, rows).z.squeeze_dim(0);
        let latent = self.spec.latent as i64;
        Tensor::cat(&[z.narrow(1, 0, 1), z.narrow(1, latent, 2)], 1)
    }

    /// Passes rows [N, F] through the network, without dropout.
    fn project(&self, parameters: &Parameters, rows: &Tensor) -> Projection {
        let (mut z, mut gamma, mut error) = (Vec::new(), Vec::new(), Vec::new());
        for chunk in rows.split(CHUNK, 0) {
            let x = chunk.unsqueeze(0);
            let (code, reconstruction) = self.autoencode(parameters, &x);
            let sums = RowSums::of(&x, &reconstruction);
            let coordinates = sums.coordinates(&code);
            gamma.push(self.memberships(parameters, &coordinates));
            error.push(sums.squared_error.squeeze_dim(0).to_kind(Kind::Double));
            z.push(coordinates);
        }
        Projection {
            z: Tensor::cat(&z, 1),
            gamma: Tensor::cat(&gamma, 1),
            error: Tensor::cat(&error, 0),
        }
    }
}

/// The two mixtures of danieltan07's evaluation, which goes through the training rows once more in
/// shuffled batches. First the mean of the batches' mixtures weighted by membership (covariances
/// without the spread between batches), which scores the training rows; then that of the last
/// batch, which scores the test rows. z [S, N, D] and γ [S, N, K]; `order` holds every row once.
///
/// # Panics
/// If `order` is empty.
pub fn batch_mixtures(
    [z, gamma]: [&Tensor; 2],
    order: &[i64],
    batch_size: usize,
    precision: Precision,
) -> (Mixture, Mixture) {
    let mixtures: Vec<(Tensor, Mixture)> = order
        .chunks(batch_size)
        .map(|batch| {
            let rows = Tensor::from_slice(batch).to_device(z.device());
            let [z, gamma] = [z, gamma].map(|values| values.index_select(1, &rows));
            let mixture = Mixture::of_rows(&z, &gamma, precision);
            (&mixture.phi * batch.len() as f64, mixture)
        })
        .collect();
    // [batches, S, K]
    let mass = Tensor::stack(&mixtures.iter().map(|(mass, _)| mass).collect::<Vec<_>>(), 0);
    let total = mass.sum_dim_intlist(0, false, None);
    let average = |part: fn(&Mixture) -> &Tensor, extra: usize| {
        let parts = Tensor::stack(&mixtures.iter().map(|(_, m)| part(m)).collect::<Vec<_>>(), 0);
        let widen = |t: &Tensor| (0..extra).fold(t.shallow_clone(), |t, _| t.unsqueeze(-1));
        (parts * widen(&mass)).sum_dim_intlist(0, false, None) / widen(&total.clamp_min(EMPTY))
    };
    let aggregate = Mixture {
        phi: &total / order.len() as f64,
        mean: average(|m| &m.mean, 1),
        covariance: average(|m| &m.covariance, 2),
    };
    let (_, last) = mixtures.into_iter().last().expect("there is a row");
    (aggregate, last)
}

/// Sums over the features of a row, [S, B] each: all that features and error need of x and x'.
/// Norms of 0 are held as 1, beside a mask that is 0 there: the gradient of a norm at 0 is then 0.
pub struct RowSums {
    /// ‖x−x'‖²
    pub squared_error: Tensor,
    /// x·x'
    product: Tensor,
    /// ‖x‖
    x: Norm,
    /// ‖x'‖
    reconstruction: Norm,
    /// ‖x−x'‖
    error: Norm,
}

struct Norm {
    safe: Tensor,
    positive: Tensor,
}

impl Norm {
    fn of(square: &Tensor) -> Self {
        let positive = square.greater(0.0);
        let safe = square.where_self(&positive, &square.ones_like()).sqrt();
        Self { safe, positive: positive.to_kind(square.kind()) }
    }
}

impl RowSums {
    /// Of x and x', [S, B, F] each.
    pub fn of(x: &Tensor, reconstruction: &Tensor) -> Self {
        let dot = |a: &Tensor, b: &Tensor| (a * b).sum_dim_intlist(-1, false, None);
        let difference = reconstruction - x;
        let squared_error = dot(&difference, &difference);
        let (of_x, of_reconstruction) = (dot(x, x), dot(reconstruction, reconstruction));
        Self {
            product: dot(x, reconstruction),
            x: Norm::of(&of_x),
            reconstruction: Norm::of(&of_reconstruction),
            error: Norm::of(&squared_error),
            squared_error,
        }
    }

    /// The error that a row has in the loss, before its scale, [S, B]; the gradient of the norm at 0 is 0.
    pub(super) fn error(&self, reconstruction: Reconstruction) -> Tensor {
        match reconstruction {
            Reconstruction::Sum | Reconstruction::Mean => self.squared_error.shallow_clone(),
            Reconstruction::Norm => &self.error.safe * &self.error.positive,
        }
    }

    /// z = [code, ‖x−x'‖/‖x‖, cos(x, x')] [S, B, D] (equation 3). With ‖x‖ = 0 the distance is
    /// ‖x'‖ and the cosine 0; with ‖x'‖ = 0 the cosine is 0.
    pub fn coordinates(&self, code: &Tensor) -> Tensor {
        let distance = &self.error.safe * &self.error.positive / &self.x.safe;
        let cosine = &self.product * &self.reconstruction.positive
            / (&self.x.safe * &self.reconstruction.safe);
        Tensor::cat(&[code, &distance.unsqueeze(-1), &cosine.unsqueeze(-1)], -1)
    }
}
