//! The mixture's passes over a batch, several of libtorch's fused into one, for f64 tensors in this
//! process's memory: `None` for others, and for so many components or coordinates that libtorch would
//! not add them one after another. Each value is rounded as libtorch's own passes round it; products
//! of matrices, sums over rows, exp and log stay libtorch's. Shapes as in `mixture`.

use tch::{Device, Kind, Tensor};

/// Components, and coordinates, whose sums are taken one after another.
const MOST: usize = 4;

fn values(tensor: &Tensor) -> Option<&[f64]> {
    let here = tensor.device() == Device::Cpu && tensor.kind() == Kind::Double;
    // SAFETY: contiguous f64 values, which live as long as the tensor
    (here && tensor.is_contiguous()).then(|| unsafe {
        std::slice::from_raw_parts(tensor.data_ptr() as *const f64, tensor.numel())
    })
}

/// A tensor that `fill` gives its values.
fn filled(size: &[i64], fill: impl FnOnce(&mut [f64])) -> Tensor {
    let tensor = Tensor::empty(size, (Kind::Double, Device::Cpu));
    // SAFETY: contiguous f64 values of a tensor that nothing else refers to
    fill(unsafe { std::slice::from_raw_parts_mut(tensor.data_ptr() as *mut f64, tensor.numel()) });
    tensor
}

/// Components, coordinates and rows of a tensor [S, K, D, B], if they are few enough.
fn sizes(tensor: &Tensor) -> Option<[usize; 3]> {
    let [_, k, d, b] = tensor.size()[..] else { return None };
    let [k, d, b] = [k, d, b].map(|n| n as usize);
    (k <= MOST && d <= MOST && b > 0).then_some([k, d, b])
}

/// z − μ and γ (z − μ), [S, K, D, B] each, of z [S, D, B], μ [S, K, D] and γ [S, K, B].
pub fn centre(z: &Tensor, mean: &Tensor, gamma: &Tensor) -> Option<(Tensor, Tensor)> {
    let [seeds, mixtures, dimensions] = mean.size()[..] else { return None };
    let size = [seeds, mixtures, dimensions, z.size()[2]];
    let [k, d, b] = size[1..].try_into().map(|sizes: [i64; 3]| sizes.map(|n| n as usize)).ok()?;
    if b == 0 {
        return None;
    }
    let (z, mean, gamma) = (values(z)?, values(mean)?, values(gamma)?);
    let centred = filled(&size, |into| {
        for (line, into) in into.chunks_exact_mut(b).enumerate() {
            let z = &z[(line / (k * d) * d + line % d) * b..][..b];
            into.iter_mut().zip(z).for_each(|(into, z)| *into = z - mean[line]);
        }
    });
    let of_centred = values(&centred)?;
    let weighted = filled(&size, |into| {
        for (line, into) in into.chunks_exact_mut(b).enumerate() {
            let (gamma, centred) = (&gamma[line / d * b..][..b], &of_centred[line * b..][..b]);
            into.iter_mut().zip(centred).zip(gamma).for_each(|((into, c), g)| *into = c * g);
        }
    });
    Some((centred, weighted))
}

/// Energies [S, B] by log-sum-exp and each component's density over the mixture's [S, K, B], of
/// whitened rows [S, K, D, B], φ and the logarithms of the norms [S, K].
pub fn log_sum_exp(
    whitened: &Tensor,
    phi: &Tensor,
    log_norm: &Tensor,
    largest_exponent: f64,
) -> Option<(Tensor, Tensor)> {
    let [k, d, b] = sizes(whitened)?;
    let seeds = whitened.size()[0];
    let log_phi = phi.log();
    let (of_whitened, phi) = (values(whitened)?, values(phi)?);
    let (log_phi, log_norm) = (values(&log_phi)?, values(log_norm)?);
    let mut largest = vec![f64::NEG_INFINITY; seeds as usize * b];
    let mut shifted = filled(&[seeds, k as i64, b as i64], |into| {
        for (component, into) in into.chunks_exact_mut(b).enumerate() {
            into.fill(0.0);
            for line in of_whitened[component * d * b..][..d * b].chunks_exact(b) {
                into.iter_mut().zip(line).for_each(|(into, w)| *into += w * w);
            }
            let largest = &mut largest[component / k * b..][..b];
            for (into, largest) in into.iter_mut().zip(largest) {
                *into = *into * -0.5 - log_norm[component];
                *largest = largest.max(*into + log_phi[component]);
            }
        }
        for (component, into) in into.chunks_exact_mut(b).enumerate() {
            for (into, largest) in into.iter_mut().zip(&largest[component / k * b..][..b]) {
                let exponent = *into - largest;
                // what is not a number stays so
                *into = if exponent > largest_exponent { largest_exponent } else { exponent };
            }
        }
    });
    let density = shifted.exp_();
    let of_density = values(&density)?;
    let mut sum = filled(&[seeds, b as i64], |into| {
        into.fill(0.0);
        for (component, density) in of_density.chunks_exact(b).enumerate() {
            let into = &mut into[component / k * b..][..b];
            into.iter_mut().zip(density).for_each(|(into, p)| *into += phi[component] * p);
        }
    });
    let of_sum = values(&sum)?;
    let ratio = filled(&[seeds, k as i64, b as i64], |into| {
        for (component, into) in into.chunks_exact_mut(b).enumerate() {
            let parts =
                of_density[component * b..][..b].iter().zip(&of_sum[component / k * b..][..b]);
            into.iter_mut().zip(parts).for_each(|(into, (part, sum))| *into = part / sum);
        }
    });
    let log = sum.log_();
    let energy = filled(&[seeds, b as i64], |into| {
        let logs = values(&log).unwrap_or_default();
        into.iter_mut().zip(logs).zip(&largest).for_each(|((into, l), most)| *into = -(l + most));
    });
    Some((energy, ratio))
}

/// What leads back from energies to z, φ, μ and Σ.
pub struct Pulls {
    /// ratio · share · λ, [S, K, B]
    pub pulled: Tensor,
    /// pulled · φ, [S, K, B]
    pub pull: Tensor,
}

/// Of ratios [S, K, B], one share of all rows and φ [S, K].
pub fn pulls(ratio: &Tensor, share: &Tensor, lambda: f64, phi: &Tensor) -> Option<Pulls> {
    let size = ratio.size();
    let b = size[2] as usize;
    let (ratio, share, phi) = (values(ratio)?, same_share(share)?, values(phi)?);
    let pulled = filled(&size, |into| {
        into.iter_mut().zip(ratio).for_each(|(into, ratio)| *into = ratio * share * lambda);
    });
    let of_pulled = values(&pulled)?;
    let pull = filled(&size, |into| {
        for (component, into) in into.chunks_exact_mut(b).enumerate() {
            let pulled = &of_pulled[component * b..][..b];
            into.iter_mut().zip(pulled).for_each(|(into, pulled)| *into = pulled * phi[component]);
        }
    });
    Some(Pulls { pulled, pull })
}

/// The share of every row of every seed, where it is one.
fn same_share(shares: &Tensor) -> Option<f64> {
    let seeds = shares.size()[0] as usize;
    let shares = values(shares)?;
    (shares.len() == seeds && shares.iter().all(|share| share == &shares[0])).then(|| shares[0])
}

/// The gradients by a fitted mixture's parts, and the parts.
pub struct Back<'a> {
    /// [S, K, D, B]
    pub centred: &'a Tensor,
    /// G (z − μ), [S, K, D, B]
    pub stretched: &'a Tensor,
    /// By z at a fixed mixture, [S, K, D, B].
    pub by_rows: &'a Tensor,
    /// [S, K, D]
    pub by_mean: &'a Tensor,
    /// tr(G Σ), [S, K]
    pub trace: &'a Tensor,
    /// [S, K]
    pub by_phi: &'a Tensor,
    /// [S, K, B]
    pub gamma: &'a Tensor,
    /// [S, K]
    pub mass: &'a Tensor,
    pub share: &'a Tensor,
}

impl Back<'_> {
    /// The gradients by z [S, D, B] and γ [S, K, B].
    pub fn gradients(&self) -> Option<(Tensor, Tensor)> {
        let [k, d, b] = sizes(self.centred)?;
        let seeds = self.centred.size()[0];
        let [centred, stretched, by_rows, gamma] = [
            values(self.centred)?,
            values(self.stretched)?,
            values(self.by_rows)?,
            values(self.gamma)?,
        ];
        let [by_mean, trace, by_phi, mass] =
            [values(self.by_mean)?, values(self.trace)?, values(self.by_phi)?, values(self.mass)?];
        let share = same_share(self.share)?;
        let mut along = vec![0.0; gamma.len()];
        let by_z = filled(&[seeds, d as i64, b as i64], |into| {
            into.fill(0.0);
            for (line, by_mean) in by_mean.iter().enumerate() {
                let (component, place) = (line / d, (line / (k * d) * d + line % d) * b);
                let [stretched, by_rows] = [stretched, by_rows].map(|v| &v[line * b..][..b]);
                let gamma = &gamma[component * b..][..b];
                let into = &mut into[place..][..b];
                for (row, into) in into.iter_mut().enumerate() {
                    let towards = stretched[row] + by_mean;
                    *into +=
                        by_rows[row] + (towards + stretched[row]) * (gamma[row] / mass[component]);
                }
            }
        });
        for (line, by_mean) in by_mean.iter().enumerate() {
            let along = &mut along[line / d * b..][..b];
            let lines = centred[line * b..][..b].iter().zip(&stretched[line * b..][..b]);
            along.iter_mut().zip(lines).for_each(|(along, (c, s))| *along += c * (s + by_mean));
        }
        let by_gamma = filled(&[seeds, k as i64, b as i64], |into| {
            for (component, into) in into.chunks_exact_mut(b).enumerate() {
                let constant = by_phi[component] * share;
                let along = &along[component * b..][..b];
                for (into, along) in into.iter_mut().zip(along) {
                    *into = (along - trace[component]) / mass[component] + constant;
                }
            }
        });
        Some((by_z, by_gamma))
    }
}
