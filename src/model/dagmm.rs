//! DAGMM: Zong et al., "Deep Autoencoding Gaussian Mixture Model for Unsupervised Anomaly
//! Detection", ICLR 2018. Shapes: S seeds, B rows, F features, D = latent + 2, K mixtures.
//! Networks run in the parameters' precision; features, mixture and energy from z on in f64, for
//! covariances in f32 stop being positive definite after some tens of epochs.
//! Expect about 0.94 F1 on KDD Cup 99 in the paper, under its own protocol.

use std::f64::consts::TAU;

use tch::{Kind, Tensor, no_grad};

use super::layers::{Linear, Mlp, ParameterSpec, Parameters, tanh};
use super::{Batch, DagmmSpec, Determinant, EnergyGuard, Loss, Reconstruction, Scores};
use crate::random::{Numbers, Stream};

/// Components that hold less than this total membership keep a mean and covariance of 0
/// (plus ε) instead of 0/0; small enough to touch no component that has rows.
const EMPTY: f64 = 1e-12;

/// Keeps exp() of an empty component finite, so that 0·exp() is 0.
const LARGEST_EXPONENT: f64 = 700.0;

/// The network; its parameters are kept apart, in `Parameters`.
#[derive(Debug)]
pub struct Dagmm {
    spec: DagmmSpec,
    encoder: Mlp,
    decoder: Mlp,
    estimation: [Linear; 2],
}

/// φ, μ, Σ of equation 5, in f64; Σ without the ε that every use adds.
#[derive(Debug)]
pub struct Mixture {
    /// [S, K]
    pub phi: Tensor,
    /// [S, K, D]
    pub mean: Tensor,
    /// [S, K, D, D]
    pub covariance: Tensor,
}

/// Σ + ε in the form that the density needs.
struct Factorised {
    /// Inverse of the lower Cholesky factor of Σ + εI, [S, K, D, D]
    inverse: Tensor,
    /// Logarithm of what the density is divided by, [S, K]
    log_norm: Tensor,
    /// Order of the first leading minor that is not positive definite, else 0, [S, K]
    info: Tensor,
}

impl Dagmm {
    /// The network for rows of `features` values, and the parameters that it needs.
    pub fn new(spec: &DagmmSpec, features: usize) -> (Self, Vec<ParameterSpec>) {
        let mut widths = vec![features as i64];
        widths.extend(spec.hidden.iter().map(|&width| width as i64));
        widths.push(spec.latent as i64);
        let mut parameters = Vec::new();
        let encoder = Mlp::new("encoder", &widths, &mut parameters);
        widths.reverse();
        let decoder = Mlp::new("decoder", &widths, &mut parameters);
        let (coordinates, hidden) = (spec.latent as i64 + 2, spec.estimation_hidden as i64);
        let estimation = [
            Linear::new("estimation.0", coordinates, hidden, &mut parameters),
            Linear::new("estimation.1", hidden, spec.mixtures as i64, &mut parameters),
        ];
        (Self { spec: spec.clone(), encoder, decoder, estimation }, parameters)
    }

    /// Code [S, B, latent] and reconstruction x' [S, B, F] of x [S, B, F] (equations 1 and 2).
    pub fn autoencode(&self, parameters: &Parameters, x: &Tensor) -> (Tensor, Tensor) {
        let code = self.encoder.forward(parameters, x);
        let reconstruction = self.decoder.forward(parameters, &code);
        (code, reconstruction)
    }

    /// z [S, B, D] of x, its reconstruction x' and its code (equation 3).
    pub fn coordinates(x: &Tensor, reconstruction: &Tensor, code: &Tensor) -> Tensor {
        RowSums::of(x, reconstruction).coordinates(code)
    }

    /// γ [S, B, K] of z [S, B, D] (equation 4); `dropout` is 0 or 1/(1−p) for each hidden unit,
    /// [S, B, hidden].
    pub fn memberships(
        &self,
        parameters: &Parameters,
        z: &Tensor,
        dropout: Option<&Tensor>,
    ) -> Tensor {
        let mut hidden = tanh(&self.estimation[0].forward(parameters, z));
        if let Some(mask) = dropout {
            hidden = hidden * mask;
        }
        let kind = hidden.kind();
        let logits = self.estimation[1].forward(parameters, &hidden);
        // rows last: a softmax over a last axis of K = 4 costs ten times as much
        logits.transpose(1, 2).softmax(1, kind).transpose(1, 2)
    }

    /// φ, μ, Σ (equation 5) of z [S, B, D] and γ [S, B, K]; rows of weight 0 do not count.
    pub fn mixture(z: &Tensor, gamma: &Tensor, batch: &Batch) -> Mixture {
        let z = z.to_kind(Kind::Double);
        let gamma = batch.weigh(&gamma.to_kind(Kind::Double));
        let mass = gamma.sum_dim_intlist(1, false, None);
        let divisor = mass.clamp_min(EMPTY);
        let transposed = gamma.transpose(1, 2);
        let mean = transposed.bmm(&z) / divisor.unsqueeze(-1);
        let centred = centre(&z, &mean);
        let weighted = &centred * transposed.unsqueeze(2);
        let covariance =
            weighted.matmul(&centred.transpose(2, 3)) / divisor.unsqueeze(-1).unsqueeze(-1);
        Mixture { phi: batch.per_row(&mass), mean, covariance }
    }

    fn factorise(&self, mixture: &Mixture) -> Factorised {
        let dimensions = mixture.mean.size()[2];
        let options = (Kind::Double, mixture.mean.device());
        let identity = Tensor::eye(dimensions, options);
        let covariance = &mixture.covariance + &identity * self.spec.covariance_epsilon;
        let (lower, info) = covariance.linalg_cholesky_ex(false, false);
        let inverse = lower.linalg_solve_triangular(&identity, false, true, false);
        let half_log_det = lower.diagonal(0, 2, 3).log().sum_dim_intlist(-1, false, None);
        let log_norm = half_log_det + 0.5 * dimensions as f64 * TAU.ln();
        let log_norm = match self.spec.determinant {
            Determinant::Sqrt => log_norm,
            Determinant::FourthRoot => log_norm * 0.5,
        };
        Factorised { inverse, log_norm, info }
    }

    /// E(z) [S, B] of z [S, B, D] under a mixture (equation 6).
    pub fn energy(&self, z: &Tensor, mixture: &Mixture) -> Tensor {
        self.energy_of(z, mixture, &self.factorise(mixture))
    }

    fn energy_of(&self, z: &Tensor, mixture: &Mixture, factorised: &Factorised) -> Tensor {
        let z = z.to_kind(Kind::Double);
        let whitened = factorised.inverse.matmul(&centre(&z, &mixture.mean));
        // −½ (z−μ)ᵀ Σ⁻¹ (z−μ), [S, K, B]
        let distance = whitened.square().sum_dim_intlist(2, false, None) * -0.5;
        let phi = mixture.phi.unsqueeze(-1);
        let exponent = distance - factorised.log_norm.unsqueeze(-1);
        match self.spec.energy_guard {
            EnergyGuard::LogSumExp => {
                let largest = no_grad(|| (&exponent + phi.log()).amax(1, true));
                let terms = phi * (exponent - &largest).clamp_max(LARGEST_EXPONENT).exp();
                -(terms.sum_dim_intlist(1, false, None).log() + largest.squeeze_dim(1))
            }
            // The published code subtracts max(0, largest Mahalanobis term), which is always 0.
            EnergyGuard::Clamped => {
                -((phi * exponent.exp()).sum_dim_intlist(1, false, None) + 1e-12).log()
            }
        }
    }

    /// Σₖ Σⱼ 1/(Σₖⱼⱼ + ε), [S] (equation 7's last term).
    fn penalty(&self, mixture: &Mixture) -> Tensor {
        let diagonal = mixture.covariance.diagonal(0, 2, 3) + self.spec.covariance_epsilon;
        diagonal.reciprocal().sum_dim_intlist([1i64, 2].as_slice(), false, None)
    }

    /// A row's squared error as the loss counts it.
    fn reconstruction_error(&self, squared: &Tensor, features: i64) -> Tensor {
        match self.spec.reconstruction {
            Reconstruction::Sum => squared.shallow_clone(),
            Reconstruction::Mean => squared / features as f64,
        }
    }

    /// `loss` with the dropout masks of a training step.
    pub fn training_loss(
        &self,
        parameters: &Parameters,
        batch: &Batch,
        seeds: &[u64],
        step: u64,
    ) -> Loss {
        let rows = batch.x.size()[1];
        let mask = (self.spec.dropout > 0.0).then(|| {
            let mask =
                dropout_mask(seeds, step, rows, self.spec.estimation_hidden, self.spec.dropout);
            mask.to_device(batch.x.device())
        });
        self.loss(parameters, batch, mask.as_ref())
    }

    /// The objective (equation 7) and its terms for one batch.
    pub fn loss(&self, parameters: &Parameters, batch: &Batch, dropout: Option<&Tensor>) -> Loss {
        let (code, reconstruction) = self.autoencode(parameters, &batch.x);
        let sums = RowSums::of(&batch.x, &reconstruction);
        let z = sums.coordinates(&code);
        let gamma = self.memberships(parameters, &z, dropout);
        let mixture = Self::mixture(&z, &gamma, batch);
        let factorised = self.factorise(&mixture);
        let energy = batch.mean(&self.energy_of(&z, &mixture, &factorised));
        let penalty = self.penalty(&mixture);
        let error = self.reconstruction_error(&sums.difference, batch.x.size()[2]);
        let error = batch.mean(&error.to_kind(Kind::Double));
        let total =
            &error + &energy * self.spec.lambda_energy + &penalty * self.spec.lambda_covariance;
        let failed = factorised.info.amax(1, false).to_kind(Kind::Double);
        Loss { total, terms: vec![error, energy, penalty], failed }
    }
}

/// Rows that scoring passes through the network at a time; bounds its memory.
const CHUNK: i64 = 4096;

/// z, γ and ‖x−x'‖² of many rows of one seed: [1, N, D], [1, N, K], [N].
struct Projection {
    z: Tensor,
    gamma: Tensor,
    error: Tensor,
}

impl Dagmm {
    /// Energies of one seed's rows, [N, F] each, under the mixture that the spec asks for.
    pub fn scores(
        &self,
        parameters: &Parameters,
        train: &Tensor,
        test: &Tensor,
        seed: u64,
        batch_size: usize,
    ) -> Scores {
        no_grad(|| {
            let seen = self.project(parameters, train);
            let (for_train, for_test) = match self.spec.mixture {
                super::Mixture::Train => {
                    let mixture =
                        Self::mixture(&seen.z, &seen.gamma, &Batch::whole(seen.z.shallow_clone()));
                    (mixture, None)
                }
                super::Mixture::LastBatch => {
                    let (aggregate, last) = Self::batch_mixtures(&seen, seed, batch_size);
                    (aggregate, Some(last))
                }
            };
            let unseen = self.project(parameters, test);
            let energy = |z: &Tensor, mixture: &Mixture| self.energy(z, mixture).squeeze_dim(0);
            Scores {
                train: energy(&seen.z, &for_train),
                test: energy(&unseen.z, for_test.as_ref().unwrap_or(&for_train)),
                test_error: unseen.error,
            }
        })
    }

    /// Passes rows [N, F] through the network, without dropout.
    fn project(&self, parameters: &Parameters, rows: &Tensor) -> Projection {
        let (mut z, mut gamma, mut error) = (Vec::new(), Vec::new(), Vec::new());
        for chunk in rows.split(CHUNK, 0) {
            let x = chunk.unsqueeze(0);
            let (code, reconstruction) = self.autoencode(parameters, &x);
            let sums = RowSums::of(&x, &reconstruction);
            let coordinates = sums.coordinates(&code);
            gamma.push(self.memberships(parameters, &coordinates, None));
            error.push(sums.difference.squeeze_dim(0).to_kind(Kind::Double));
            z.push(coordinates);
        }
        Projection {
            z: Tensor::cat(&z, 1),
            gamma: Tensor::cat(&gamma, 1),
            error: Tensor::cat(&error, 0),
        }
    }

    /// The two mixtures of danieltan07's evaluation, which goes through the training rows in
    /// shuffled batches: the mean of the batches' mixtures weighted by membership (covariances
    /// without the spread between batches), for the training rows, and that of the last batch,
    /// for the test rows.
    fn batch_mixtures(seen: &Projection, seed: u64, batch_size: usize) -> (Mixture, Mixture) {
        let rows = seen.z.size()[1];
        let order: Vec<i64> = Numbers::new(seed, Stream::Scoring, 0)
            .permutation(rows as usize)
            .into_iter()
            .map(i64::from)
            .collect();
        let order = Tensor::from_slice(&order).to_device(seen.z.device());
        let mixtures: Vec<(Tensor, Mixture)> = order
            .split(batch_size as i64, 0)
            .into_iter()
            .map(|batch| {
                let z = seen.z.index_select(1, &batch);
                let gamma = seen.gamma.index_select(1, &batch);
                let mixture = Self::mixture(&z, &gamma, &Batch::whole(z.shallow_clone()));
                (&mixture.phi * batch.size()[0] as f64, mixture)
            })
            .collect();
        // [batches, S, K]
        let mass = Tensor::stack(&mixtures.iter().map(|(mass, _)| mass).collect::<Vec<_>>(), 0);
        let total = mass.sum_dim_intlist(0, false, None);
        let average = |part: fn(&Mixture) -> &Tensor, extra: usize| {
            let parts =
                Tensor::stack(&mixtures.iter().map(|(_, m)| part(m)).collect::<Vec<_>>(), 0);
            let widen = |t: &Tensor| (0..extra).fold(t.shallow_clone(), |t, _| t.unsqueeze(-1));
            (parts * widen(&mass)).sum_dim_intlist(0, false, None) / widen(&total.clamp_min(EMPTY))
        };
        let aggregate = Mixture {
            phi: &total / rows as f64,
            mean: average(|m| &m.mean, 1),
            covariance: average(|m| &m.covariance, 2),
        };
        let (_, last) = mixtures.into_iter().last().expect("a split has training rows");
        (aggregate, last)
    }
}

/// 0 with probability p, else 1/(1−p): [seeds, rows, units].
fn dropout_mask(seeds: &[u64], step: u64, rows: i64, units: usize, p: f64) -> Tensor {
    let keep = (1.0 / (1.0 - p)) as f32;
    let count = rows as usize * units;
    let mut mask = Vec::with_capacity(seeds.len() * count);
    for &seed in seeds {
        let mut numbers = Numbers::new(seed, Stream::Dropout, step);
        let unit = || if f64::from(numbers.uniform_f32()) < p { 0.0 } else { keep };
        mask.extend(std::iter::repeat_with(unit).take(count));
    }
    Tensor::from_slice(&mask).view([seeds.len() as i64, rows, units as i64])
}

/// z − μ of every component, rows last: [S, B, D] and [S, K, D] → [S, K, D, B].
fn centre(z: &Tensor, mean: &Tensor) -> Tensor {
    z.transpose(1, 2).unsqueeze(1) - mean.unsqueeze(-1)
}

/// Sums over the features of a row, [S, B] each: all that features and error need of x and x'.
struct RowSums {
    /// ‖x‖²
    x: Tensor,
    /// ‖x'‖²
    reconstruction: Tensor,
    /// x·x'
    product: Tensor,
    /// ‖x−x'‖²
    difference: Tensor,
}

impl RowSums {
    fn of(x: &Tensor, reconstruction: &Tensor) -> Self {
        let sum = |t: Tensor| t.sum_dim_intlist(-1, false, None);
        Self {
            x: sum(x.square()),
            reconstruction: sum(reconstruction.square()),
            product: sum(x * reconstruction),
            difference: sum((reconstruction - x).square()),
        }
    }

    /// z = [code, ‖x−x'‖/‖x‖, cos(x, x')] [S, B, D] (equation 3). With ‖x‖ = 0 the distance is
    /// ‖x'‖ and the cosine 0; with ‖x'‖ = 0 the cosine is 0; gradients stay finite.
    fn coordinates(&self, code: &Tensor) -> Tensor {
        let root = |square: &Tensor| {
            let positive = square.greater(0.0);
            let safe = square.where_self(&positive, &square.ones_like());
            (safe.sqrt(), positive.to_kind(square.kind()))
        };
        let (x, _) = root(&self.x);
        let (reconstruction, reconstructed) = root(&self.reconstruction);
        let (difference, differs) = root(&self.difference);
        let distance = difference * differs / &x;
        let cosine = &self.product / (x * reconstruction) * reconstructed;
        Tensor::cat(&[code, &distance.unsqueeze(-1), &cosine.unsqueeze(-1)], -1)
    }
}
