//! What is computed number by number on blocks of images, and sums over pixels of it: normalisation, ReLU,
//! the draw of latent variables, errors; each with its gradient. Loops run along the images and are
//! compiled for the widest registers.

use super::{IMAGES, Images, Lanes};
use crate::kernels::arch::kernel;
use crate::kernels::exp::{exp, log_of_1_and};

/// x where there is an image, else 0, whatever x is.
#[inline(always)]
fn kept(x: f32, mask: u32) -> f32 {
    f32::from_bits(x.to_bits() & mask)
}

/// How a batch normalisation maps a channel: (x − mean) · scale + bias.
#[derive(Debug, Clone, Copy, Default)]
pub struct Affine {
    pub mean: f32,
    pub scale: f32,
    pub bias: f32,
}

impl Affine {
    #[inline(always)]
    fn of(self, x: f32) -> f32 {
        (x - self.mean).mul_add(self.scale, self.bias)
    }
}

/// The gradient with respect to a batch normalisation's input: along · centred + scale · gradient +
/// constant.
#[derive(Debug, Clone, Copy, Default)]
pub struct Backward {
    pub mean: f32,
    pub along: f32,
    pub scale: f32,
    pub constant: f32,
}

/// Sums a channel: of numbers, and of each number's product with another.
#[derive(Debug)]
pub struct Sums<'a> {
    pub plain: &'a mut [Lanes],
    pub products: &'a mut [Lanes],
}

impl Sums<'_> {
    fn channels(&mut self) -> impl Iterator<Item = (&mut Lanes, &mut Lanes)> {
        self.plain.iter_mut().zip(self.products.iter_mut())
    }
}

kernel! {
    /// Adds the lanes that hold images, less each channel's centre, and their squares.
    pub fn add_moments(V, _proof, block: Images, centres: &[f32], sums: Sums) {
        let mut sums = sums;
        let Images { lanes: block, mask } = block;
        for pixel in block.chunks_exact(centres.len()) {
            for ((x, centre), (sums, squares)) in pixel.iter().zip(centres).zip(sums.channels()) {
                for lane in 0..IMAGES {
                    let centred = kept(x[lane] - centre, mask[lane]);
                    sums[lane] += centred;
                    squares[lane] = centred.mul_add(centred, squares[lane]);
                }
            }
        }
    }

    /// Normalisation, then ReLU; 0 in lanes without an image.
    pub fn normalise(V, _proof, block: Images, affine: &[Affine], into: &mut [Lanes]) {
        let Images { lanes: block, mask } = block;
        let channels = affine.len();
        for (pixel, into) in block.chunks_exact(channels).zip(into.chunks_exact_mut(channels)) {
            for ((x, affine), into) in pixel.iter().zip(affine).zip(into) {
                for lane in 0..IMAGES {
                    let y = affine.of(x[lane]);
                    // NaN stays
                    into[lane] = kept(if y < 0.0 { 0.0 } else { y }, mask[lane]);
                }
            }
        }
    }

    /// Takes the gradient with respect to `normalise`'s output back through ReLU, and adds it and its
    /// product with the centred input.
    pub fn through_relu(
        V,
        _proof,
        gradient: &mut [Lanes],
        block: &[Lanes],
        affine: &[Affine],
        sums: Sums,
    ) {
        let mut sums = sums;
        let channels = affine.len();
        let pixels = gradient.chunks_exact_mut(channels).zip(block.chunks_exact(channels));
        for (gradient, pixel) in pixels {
            let channels = gradient.iter_mut().zip(pixel).zip(affine).zip(sums.channels());
            for (((gradient, x), affine), (sums, products)) in channels {
                for lane in 0..IMAGES {
                    let passed = if affine.of(x[lane]) > 0.0 { gradient[lane] } else { 0.0 };
                    gradient[lane] = passed;
                    sums[lane] += passed;
                    products[lane] = passed.mul_add(x[lane] - affine.mean, products[lane]);
                }
            }
        }
    }

    /// The gradient with respect to a normalisation's input from what `through_relu` left; 0 in lanes
    /// without an image.
    pub fn through_norm(
        V,
        _proof,
        gradient: &[Lanes],
        block: Images,
        backward: &[Backward],
        into: &mut [Lanes],
    ) {
        let Images { lanes: block, mask } = block;
        let channels = backward.len();
        let pixels = gradient.chunks_exact(channels).zip(block.chunks_exact(channels));
        for ((gradient, pixel), into) in pixels.zip(into.chunks_exact_mut(channels)) {
            for (((gradient, x), by), into) in gradient.iter().zip(pixel).zip(backward).zip(into) {
                for lane in 0..IMAGES {
                    let along = (x[lane] - by.mean).mul_add(by.along, by.constant);
                    into[lane] = kept(gradient[lane].mul_add(by.scale, along), mask[lane]);
                }
            }
        }
    }

    /// z = μ + σ ε and σ ε of heads (means, then log-variances) and noise ε; each image's KL
    /// divergence from N(0, I). z is 0 in lanes without an image.
    pub fn draw(
        V,
        _proof,
        heads: Images,
        noise: &[Lanes],
        z: &mut [Lanes],
        spread: &mut [Lanes],
    ) -> Lanes {
        let Images { lanes: heads, mask } = heads;
        let (means, log_variances) = heads.split_at(noise.len());
        let mut divergence = [0.0; IMAGES];
        for (number, noise) in noise.iter().enumerate() {
            let (mean, log_variance) = (&means[number], &log_variances[number]);
            let (z, spread) = (&mut z[number], &mut spread[number]);
            for lane in 0..IMAGES {
                spread[lane] = exp(log_variance[lane] * 0.5) * noise[lane];
                z[lane] = kept(mean[lane] + spread[lane], mask[lane]);
                let grown = exp(log_variance[lane]) - log_variance[lane] - 1.0;
                divergence[lane] += kept(mean[lane].mul_add(mean[lane], grown), mask[lane]);
            }
        }
        divergence.map(|sum| sum * 0.5)
    }

    /// Replaces the heads by the gradient with respect to them, from that by z; `weight` is what an image's
    /// divergence counts for.
    pub fn through_draw(
        V,
        _proof,
        d_z: Images,
        spread: &[Lanes],
        weight: f32,
        heads: &mut [Lanes],
    ) {
        let Images { lanes: d_z, mask } = d_z;
        let (means, log_variances) = heads.split_at_mut(d_z.len());
        for (number, d_z) in d_z.iter().enumerate() {
            let (mean, log_variance) = (&mut means[number], &mut log_variances[number]);
            for lane in 0..IMAGES {
                mean[lane] = kept(mean[lane].mul_add(weight, d_z[lane]), mask[lane]);
                let d_divergence = (exp(log_variance[lane]) - 1.0) * weight;
                let d_both = d_z[lane].mul_add(spread[number][lane], d_divergence);
                log_variance[lane] = kept(d_both * 0.5, mask[lane]);
            }
        }
    }

    /// Squared errors of a row of pixels, added up for every image, and their gradients with respect to the
    /// outputs, times `weight`. Of every four outputs the first two are a row's, the row's first is
    /// left out.
    pub fn squared_error(
        V,
        _proof,
        output: Images,
        x: &[Lanes],
        weight: f32,
        d_output: &mut [Lanes],
    ) -> Lanes {
        let Images { lanes: output, mask } = output;
        let mut sums = [0.0; IMAGES];
        let output = output.chunks(4).flat_map(|four| &four[..2]).skip(1);
        for ((output, x), d_output) in output.zip(x).zip(d_output) {
            for lane in 0..IMAGES {
                let difference = kept(output[lane] - x[lane], mask[lane]);
                sums[lane] = difference.mul_add(difference, sums[lane]);
                d_output[lane] = difference * weight;
            }
        }
        sums
    }

    /// The same of −log p of values in [0, 1] given logits: log(1 + e^l) − l·x.
    pub fn cross_entropy(
        V,
        _proof,
        logits: Images,
        x: &[Lanes],
        weight: f32,
        d_logits: &mut [Lanes],
    ) -> Lanes {
        let Images { lanes: logits, mask } = logits;
        let mut sums = [0.0; IMAGES];
        let logits = logits.chunks(4).flat_map(|four| &four[..2]).skip(1);
        for ((logits, x), d_logits) in logits.zip(x).zip(d_logits) {
            for lane in 0..IMAGES {
                let logit = logits[lane];
                let power = exp(-logit.abs());
                let softplus = if logit < 0.0 { 0.0 } else { logit } + log_of_1_and(power);
                sums[lane] += kept((-logit).mul_add(x[lane], softplus), mask[lane]);
                let numerator = if logit < 0.0 { power } else { 1.0 };
                let gap = numerator / (1.0 + power) - x[lane];
                d_logits[lane] = kept(gap * weight, mask[lane]);
            }
        }
        sums
    }
}
