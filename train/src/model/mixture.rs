//! The Gaussian mixture of DAGMM (Zong et al., 2018, equations 5 to 7): φ, μ, Σ from soft memberships,
//! energies, and the penalty on small variances. Shapes: S seeds, B rows, D coordinates, K components. All
//! in f64 unless the spec asks for f32, where a covariance of rows that lie close together can stop being
//! positive definite. It knows nothing of networks.

use std::f64::consts::TAU;

use tch::{Kind, Tensor};

use super::{Batch, DagmmSpec, Determinant, EnergyGuard, Precision};

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

/// The mixture's terms of the loss, `[S]` each, f64.
#[derive(Debug)]
pub struct MixtureTerms {
    /// Mean energy of the rows.
    pub energy: Tensor,
    /// Σₖ Σⱼ 1/(Σₖⱼⱼ + ε)
    pub penalty: Tensor,
    /// Not 0 where a covariance has no Cholesky factor.
    pub failed: Tensor,
}

/// A mixture and what it was made from.
struct Fitted {
    mixture: Mixture,
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
        Self { mixture: Mixture { phi, mean, covariance }, centred }
    }
}

/// z − μ of every component: [S, D, B] and [S, K, D] → [S, K, D, B].
fn centre(z: &Tensor, mean: &Tensor) -> Tensor {
    z.unsqueeze(1) - mean.unsqueeze(-1)
}

impl Rules {
    /// The choices of a table.
    pub fn of(spec: &DagmmSpec) -> Self {
        Self {
            epsilon: spec.covariance_epsilon,
            determinant: spec.determinant,
            guard: spec.energy_guard,
            precision: spec.mixture_precision,
        }
    }

    /// E(z) [S, B] of z [S, B, D] (equation 6).
    pub fn energy(&self, z: &Tensor, mixture: &Mixture) -> Tensor {
        let centred = centre(&rows_last(z, mixture.mean.kind()), &mixture.mean);
        self.energies(&centred, &mixture.phi, &self.factorise(&mixture.covariance))
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
        let log_norm = match self.determinant {
            Determinant::Sqrt | Determinant::FourthRoot => log_norm,
            // the port takes it out of the graph
            Determinant::SqrtDetached => log_norm.detach(),
        };
        Factorised { inverse, log_norm, info }
    }

    /// 1 for √|2πΣ|, ½ for its square root.
    pub fn power(&self) -> f64 {
        match self.determinant {
            Determinant::Sqrt | Determinant::SqrtDetached => 1.0,
            Determinant::FourthRoot => 0.5,
        }
    }

    /// E(z) [S, B] of z − μ, [S, K, D, B].
    fn energies(&self, centred: &Tensor, phi: &Tensor, factorised: &Factorised) -> Tensor {
        let whitened = factorised.inverse.matmul(centred); // L⁻¹ (z − μ)
        // −½ (z−μ)ᵀ Σ⁻¹ (z−μ) less the norm's logarithm, [S, K, B]
        let exponent = (&whitened * &whitened).sum_dim_intlist(2, false, None) * -0.5
            - factorised.log_norm.unsqueeze(-1);
        let phi = phi.unsqueeze(-1);
        let mixed = |density: &Tensor| (&phi * density).sum_dim_intlist(1, false, None);
        match self.guard {
            EnergyGuard::LogSumExp => {
                // a constant: the energy does not depend on what is taken out of the sum
                let largest = (exponent.detach() + phi.detach().log()).amax(1, true);
                let limit = largest_exponent(self.precision);
                let density = (exponent - &largest).clamp_max(limit).exp();
                -(mixed(&density).log() + largest.squeeze_dim(1))
            }
            // The published code subtracts max(0, largest Mahalanobis term), which is always 0.
            EnergyGuard::Clamped => -(mixed(&exponent.exp()) + CLAMP).log(),
        }
    }

    /// Mean energy and penalty of z [S, B, D] under the mixture that γ [S, B, K] makes of it.
    pub fn evaluate(&self, z: &Tensor, gamma: &Tensor, batch: &Batch) -> MixtureTerms {
        let kind = kind(self.precision);
        let fitted = Fitted::new(&rows_last(z, kind), &rows_last(gamma, kind), batch);
        let Mixture { phi, covariance, .. } = &fitted.mixture;
        let factorised = self.factorise(covariance);
        let energies = self.energies(&fitted.centred, phi, &factorised);
        let variances = covariance.diagonal(0, 2, 3) + self.epsilon;
        let penalty = variances.reciprocal().sum_dim_intlist([1i64, 2].as_slice(), false, None);
        MixtureTerms {
            energy: batch.mean(&energies.to_kind(Kind::Double)),
            penalty: penalty.to_kind(Kind::Double),
            failed: factorised.info.amax(1, false).to_kind(Kind::Double),
        }
    }
}
