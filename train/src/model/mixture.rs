//! The Gaussian mixture of DAGMM (Zong et al., 2018, equations 5 to 7): φ, μ, Σ from soft
//! memberships, energies, the penalty on small variances, and the gradients of both by z and γ in
//! closed form. Shapes: S seeds, B rows, D coordinates, K components. All in f64 unless the spec asks for
//! f32, where a covariance of rows that lie close together can stop being positive definite. It knows
//! nothing of networks.

use std::f64::consts::TAU;

use tch::{Kind, Tensor};

use super::{Batch, Determinant, EnergyGuard, Precision};

/// Components that hold less than this total membership keep a mean and covariance of 0
/// (plus ε) instead of 0/0; small enough to touch no component that has rows.
pub const EMPTY: f64 = 1e-12;

/// What danieltan07 adds inside the logarithm, which caps the energy near 27.63.
pub const CLAMP: f64 = 1e-12;

/// φ, μ, Σ of equation 5; Σ without the ε that every use adds.
#[derive(Debug)]
pub struct Mixture {
    /// [S, K]
    pub phi: Tensor,
    /// [S, K, D]
    pub mean: Tensor,
    /// [S, K, D, D]
    pub covariance: Tensor,
}

/// How densities are computed.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Added to the diagonal of every Σ.
    pub epsilon: f64,
    pub determinant: Determinant,
    pub guard: EnergyGuard,
    pub precision: Precision,
}

/// The type of tensors of this precision.
fn kind(precision: Precision) -> Kind {
    match precision {
        Precision::F64 => Kind::Double,
        Precision::F32 => Kind::Float,
    }
}

/// Keeps exp() of an empty component finite, so that 0·exp() is 0.
fn largest_exponent(precision: Precision) -> f64 {
    match precision {
        Precision::F64 => 700.0,
        Precision::F32 => 87.0,
    }
}

/// λ₁ and λ₂ of equation 7.
#[derive(Debug, Clone, Copy)]
pub struct Weights {
    pub energy: f64,
    pub penalty: f64,
}

/// The mixture's terms of the loss, `[S]` each, and the gradient of their weighted sum.
#[derive(Debug)]
pub struct MixtureLoss {
    /// Mean energy of the rows.
    pub energy: Tensor,
    /// Σₖ Σⱼ 1/(Σₖⱼⱼ + ε)
    pub penalty: Tensor,
    /// Not 0 where a covariance has no Cholesky factor.
    pub failed: Tensor,
    /// [S, B, D]
    pub by_z: Tensor,
    /// [S, B, K]
    pub by_gamma: Tensor,
}

/// A mixture and what it was made from.
struct Fitted {
    mixture: Mixture,
    /// Memberships, 0 for rows that do not count, [S, K, B]
    gamma: Tensor,
    /// Sum of a component's memberships, at least `EMPTY`, [S, K]
    mass: Tensor,
    /// z − μ, [S, K, D, B]
    centred: Tensor,
}

/// Σ + εI in the form that densities need.
struct Factorised {
    /// Inverse of the lower Cholesky factor, [S, K, D, D]
    inverse: Tensor,
    /// Logarithm of what the density is divided by, [S, K]
    log_norm: Tensor,
    /// Order of the first leading minor that is not positive definite, else 0, [S, K]
    info: Tensor,
}

/// Energies, and each component's part in them.
struct Densities {
    /// L⁻¹ (z − μ), [S, K, D, B]
    whitened: Tensor,
    /// [S, B]
    energy: Tensor,
    /// −dE/dφ: a component's density over the mixture's, [S, K, B]
    ratio: Tensor,
}

impl Mixture {
    /// φ, μ, Σ of z [S, B, D] and γ [S, B, K]; rows of weight 0 do not count.
    pub fn of(z: &Tensor, gamma: &Tensor, batch: &Batch, precision: Precision) -> Self {
        let kind = kind(precision);
        Fitted::new(&rows_last(z, kind), &rows_last(gamma, kind), batch).mixture
    }

    /// `of` where every row counts.
    pub fn of_rows(z: &Tensor, gamma: &Tensor, precision: Precision) -> Self {
        Self::of(z, gamma, &Batch::whole(z.shallow_clone()), precision)
    }
}

/// [S, B, n] → [S, n, B]: the long axis is the one that vector instructions run along.
fn rows_last(values: &Tensor, kind: Kind) -> Tensor {
    values.to_kind(kind).transpose(1, 2).contiguous()
}

impl Fitted {
    /// From z [S, D, B] and γ [S, K, B].
    fn new(z: &Tensor, gamma: &Tensor, batch: &Batch) -> Self {
        // a batch's weights have the precision of its rows
        let gamma = batch.weigh(gamma).to_kind(gamma.kind());
        let sums = gamma.sum_dim_intlist(-1, false, None);
        let mass = sums.clamp_min(EMPTY);
        let mean = gamma.bmm(&z.transpose(1, 2)) / mass.unsqueeze(-1);
        let centred = centre(z, &mean);
        let products = (&centred * gamma.unsqueeze(2)).matmul(&centred.transpose(2, 3));
        let covariance = products / mass.unsqueeze(-1).unsqueeze(-1);
        let phi = batch.per_row(&sums).to_kind(gamma.kind());
        Self { mixture: Mixture { phi, mean, covariance }, gamma, mass, centred }
    }
}

/// z − μ of every component: [S, D, B] and [S, K, D] → [S, K, D, B].
fn centre(z: &Tensor, mean: &Tensor) -> Tensor {
    z.unsqueeze(1) - mean.unsqueeze(-1)
}

impl Rules {
    /// E(z) [S, B] of z [S, B, D] (equation 6).
    pub fn energy(&self, z: &Tensor, mixture: &Mixture) -> Tensor {
        let centred = centre(&rows_last(z, mixture.mean.kind()), &mixture.mean);
        self.densities(&centred, &mixture.phi, &self.factorise(&mixture.covariance)).energy
    }

    /// Whether every covariance has a Cholesky factor; without one an energy means nothing.
    pub fn is_definite(&self, mixture: &Mixture) -> bool {
        let info = self.factorise(&mixture.covariance).info;
        info.to_kind(Kind::Double).abs().max().double_value(&[]) == 0.0
    }

    fn factorise(&self, covariance: &Tensor) -> Factorised {
        let dimensions = covariance.size()[3];
        let identity = Tensor::eye(dimensions, (covariance.kind(), covariance.device()));
        let (lower, info) =
            (covariance + &identity * self.epsilon).linalg_cholesky_ex(false, false);
        let inverse = lower.linalg_solve_triangular(&identity, false, true, false);
        let half_log_det = lower.diagonal(0, 2, 3).log().sum_dim_intlist(-1, false, None);
        let log_norm = (half_log_det + 0.5 * dimensions as f64 * TAU.ln()) * self.power();
        Factorised { inverse, log_norm, info }
    }

    /// 1 for √|2πΣ|, ½ for its square root.
    pub fn power(&self) -> f64 {
        match self.determinant {
            Determinant::Sqrt | Determinant::SqrtDetached => 1.0,
            Determinant::FourthRoot => 0.5,
        }
    }

    /// `power` as the gradient sees it: 0 where the determinant is taken for a constant.
    pub fn power_in_gradient(&self) -> f64 {
        match self.determinant {
            Determinant::Sqrt | Determinant::FourthRoot => self.power(),
            Determinant::SqrtDetached => 0.0,
        }
    }

    fn densities(&self, centred: &Tensor, phi: &Tensor, factorised: &Factorised) -> Densities {
        let whitened = factorised.inverse.matmul(centred);
        let log_norm = &factorised.log_norm;
        // −½ (z−μ)ᵀ Σ⁻¹ (z−μ) less the norm's logarithm, [S, K, B]
        let exponent =
            (&whitened * &whitened).sum_dim_intlist(2, false, None) * -0.5 - log_norm.unsqueeze(-1);
        let phi = phi.unsqueeze(-1);
        match self.guard {
            EnergyGuard::LogSumExp => {
                let largest = (&exponent + phi.log()).amax(1, true);
                let density =
                    (exponent - &largest).clamp_max_(largest_exponent(self.precision)).exp_();
                let sum = (&phi * &density).sum_dim_intlist(1, true, None);
                let energy = -(sum.log() + largest).squeeze_dim(1);
                Densities { whitened, energy, ratio: density / sum }
            }
            // The published code subtracts max(0, largest Mahalanobis term), which is always 0.
            EnergyGuard::Clamped => {
                let density = exponent.exp();
                let sum = (&phi * &density).sum_dim_intlist(1, true, None) + CLAMP;
                let energy = -sum.log().squeeze_dim(1);
                Densities { whitened, energy, ratio: density / sum }
            }
        }
    }

    /// Mean energy and penalty of z [S, B, D] under the mixture that γ [S, B, K] makes of it, and
    /// the gradient of λ₁ · energy + λ₂ · penalty.
    pub fn loss(&self, z: &Tensor, gamma: &Tensor, batch: &Batch, weights: Weights) -> MixtureLoss {
        let kind = kind(self.precision);
        let fitted = Fitted::new(&rows_last(z, kind), &rows_last(gamma, kind), batch);
        let Mixture { phi, covariance, .. } = &fitted.mixture;
        let factorised = self.factorise(covariance);
        let densities = self.densities(&fitted.centred, phi, &factorised);
        let precision_bound = (covariance.diagonal(0, 2, 3) + self.epsilon).reciprocal();
        let penalty = precision_bound.sum_dim_intlist([1i64, 2].as_slice(), false, None);

        let shares = batch.shares().unsqueeze(1).to_kind(kind);
        // λ₁ · share · posterior: how strongly a component's density at a row counts, [S, K, B]
        let pulled = &densities.ratio * &shares * weights.energy;
        let pull = &pulled * phi.unsqueeze(-1);
        let by_phi = -pulled.sum_dim_intlist(-1, false, None);
        let transposed = factorised.inverse.transpose(2, 3);
        // Σ⁻¹ (z−μ), [S, K, D, B]
        let direction = transposed.matmul(&densities.whitened);
        let drawn = &direction * pull.unsqueeze(2);
        let by_mean = -drawn.sum_dim_intlist(-1, false, None);
        // dE/dΣ = ½ r (p Σ⁻¹ − Σ⁻¹ (z−μ)(z−μ)ᵀ Σ⁻¹), with p = 1, ½ for the fourth root, 0 if detached
        let pulls = pull.sum_dim_intlist(-1, false, None).unsqueeze(-1).unsqueeze(-1);
        let by_determinant =
            transposed.matmul(&factorised.inverse) * pulls * self.power_in_gradient();
        let by_energy = (by_determinant - drawn.matmul(&direction.transpose(2, 3))) * 0.5;
        let by_penalty = &precision_bound * &precision_bound * weights.penalty;
        let by_covariance = by_energy - by_penalty.diag_embed(0, 2, 3);

        let (by_z, by_gamma) =
            fitted.backward(&drawn, &by_phi, &by_mean, &by_covariance, batch, &shares);
        MixtureLoss {
            energy: batch.mean(&densities.energy.to_kind(Kind::Double)),
            penalty: penalty.to_kind(Kind::Double),
            failed: factorised.info.amax(1, false).to_kind(Kind::Double),
            by_z,
            by_gamma,
        }
    }
}

impl Fitted {
    /// From the gradients by z (at a fixed mixture), φ, μ and Σ to those by z and γ. Σₖ does not
    /// change with μₖ to first order, for Σᵢ γᵢₖ (zᵢ − μₖ) = 0.
    fn backward(
        &self,
        by_rows: &Tensor,
        by_phi: &Tensor,
        by_mean: &Tensor,
        by_covariance: &Tensor,
        batch: &Batch,
        shares: &Tensor,
    ) -> (Tensor, Tensor) {
        let mass = self.mass.unsqueeze(-1);
        let stretched = by_covariance.matmul(&self.centred);
        let trace = by_covariance * &self.mixture.covariance;
        let trace = trace.sum_dim_intlist([2i64, 3].as_slice(), false, None);
        // dΣ/dz = 2 γ/N G (z−μ) and dμ/dz = γ/N, through every component
        let towards = &stretched + by_mean.unsqueeze(-1);
        let share = (&self.gamma / &mass).unsqueeze(2);
        let by_z = (by_rows + (&towards + stretched) * share).sum_dim_intlist(1, false, None);
        // dΣ/dγ = ((z−μ)ᵀ G (z−μ) − tr(G Σ))/N, dμ/dγ = (z−μ)/N
        let along = (&self.centred * towards).sum_dim_intlist(2, false, None);
        let by_moments = (along - trace.unsqueeze(-1)) / mass;
        let by_moments = batch.weigh(&by_moments).to_kind(by_moments.kind());
        let by_gamma = by_moments + by_phi.unsqueeze(-1) * shares;
        (by_z.transpose(1, 2), by_gamma.transpose(1, 2))
    }
}
