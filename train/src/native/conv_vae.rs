//! A training step of the convolutional VAE on a CPU core: the network and objective of
//! `model::conv_vae`, forwards and back, for one seed in f32. A batch goes through in blocks of 32 images
//! that stay in the caches; between two passes over it lies what batch normalisation needs of all of it.
//! Layers are in `conv_layers`, their arithmetic in `kernels::images`.

use std::collections::HashMap;
use std::f64::consts::TAU;

use crate::kernels::Isa;
use crate::kernels::images::{self as kernels, IMAGES, Images, Lanes, Mask, PANEL, ROWS};
use crate::model::{ConvDecoder, ConvLoss, ConvVaeSpec};
use crate::native::conv_layers::{
    BORDERED, CORNERS, Dense, HALF, Inner, Norm, Outer, QUARTER, SIDE, total, turn,
};
use crate::native::{Measured, Rows};
use crate::nn::ParameterSpec;

/// Terms of the loss.
pub const TERMS: usize = 2;

/// What the gap between a row's outputs and its pixels is measured by.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Gap {
    /// The sum of squares times a factor, plus a constant.
    Squared { factor: f64, constant: f64 },
    /// −log p of values in [0, 1] given logits.
    CrossEntropy,
}

/// A row of pixels of a block of images.
struct Pixels<'a> {
    output: Images<'a>,
    x: &'a [Lanes],
}

impl Gap {
    fn of(spec: &ConvVaeSpec) -> Self {
        match (spec.loss, spec.decoder) {
            (ConvLoss::Notebook, _) => Self::Squared { factor: 1.0, constant: 0.0 },
            (ConvLoss::Elbo, ConvDecoder::Bernoulli) => Self::CrossEntropy,
            (ConvLoss::Elbo, ConvDecoder::Gaussian) => Self::Squared {
                factor: 0.5 / (spec.sigma * spec.sigma),
                constant: (SIDE * SIDE) as f64 * (0.5 * TAU.ln() + spec.sigma.ln()),
            },
        }
    }

    /// The sum of a row of pixels' gaps, without factor and constant; see `kernels` for the
    /// outputs.
    fn judge(self, isa: Isa, pixels: &Pixels, weight: f64, d_output: &mut [Lanes]) -> f64 {
        let Pixels { output, x } = *pixels;
        total(&match self {
            Self::Squared { factor, .. } => {
                let weight = (2.0 * factor * weight) as f32;
                kernels::squared_error(isa, output, x, weight, d_output)
            }
            Self::CrossEntropy => kernels::cross_entropy(isa, output, x, weight as f32, d_output),
        })
    }
}

/// The network's layers with what one step keeps between its passes; built once, used for every
/// step. Room for a batch is made by the first step.
#[derive(Debug)]
pub struct Core {
    isa: Isa,
    latent: usize,
    channels: [usize; 2],
    loss: ConvLoss,
    beta: f64,
    gap: Gap,
    first: Outer<3>,
    second: Inner,
    heads: Dense,
    widening: Dense,
    third: Inner,
    last: Outer<4>,
    /// After the first, the second and the third of the four convolutions.
    norms: [Norm; 3],
    blocks: Vec<Block>,
    together: Together,
    scratch: Scratch,
}

/// What there is one of for error and divergence.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Sums {
    error: f64,
    divergence: f64,
}

/// What a step keeps of a block of images.
#[derive(Debug)]
struct Block {
    mask: Mask,
    /// [BORDERED²]
    image: Vec<Lanes>,
    /// What the three normalisations are given.
    sums: [Vec<Lanes>; 3],
    heads: Vec<Lanes>,
    /// σ ε
    spread: Vec<Lanes>,
    /// The widening's outputs, channels innermost: [QUARTER²][image][channel].
    widened: Vec<f32>,
    /// The gradient with respect to the outputs of a normalisation of HALF² pixels, and of that of
    /// QUARTER².
    d_half: Vec<Lanes>,
    d_quarter: Vec<Lanes>,
}

/// What a step keeps of all images, for products whose terms are images.
#[derive(Debug, Default)]
struct Together {
    /// Of each block, the second normalisation's output and 1.
    flat: Vec<Lanes>,
    /// Of each block, the draws and 1.
    z: Vec<Lanes>,
    /// The gradient with respect to the heads, those innermost: [image][head].
    d_heads: Vec<f32>,
    /// The gradient with respect to the widening's outputs, channels innermost: [QUARTER²][image][channel].
    d_widened: Vec<f32>,
}

/// What is needed of one block at a time.
#[derive(Debug, Default)]
struct Scratch {
    half: Vec<Lanes>,
    quarter: Vec<Lanes>,
    /// [QUARTER²][image][channel]
    turned: Vec<f32>,
    /// Those given, and rows of 0 after them.
    rows: Vec<f32>,
    noise: Vec<Lanes>,
    d_z: Vec<Lanes>,
    /// [CORNERS][2][2]
    corners: Vec<Lanes>,
    d_image: Vec<Lanes>,
}

fn lanes(count: usize) -> Vec<Lanes> {
    vec![[0.0; IMAGES]; count]
}

impl Core {
    /// The step of a network with parameters `specs`; none where the numbers of channels do not suit it.
    pub fn new(isa: Isa, spec: &ConvVaeSpec, specs: &[ParameterSpec]) -> Option<Self> {
        let ConvVaeSpec { latent, channels, .. } = *spec;
        let [few, many] = channels;
        if !few.is_multiple_of(ROWS) || !many.is_multiple_of(PANEL) {
            return None;
        }
        let mut start = 0;
        let mut places = HashMap::new();
        for spec in specs {
            let count = spec.count() as usize;
            places.insert(spec.name.as_str(), start..start + count);
            start += count;
        }
        let place = |name: &str| places.get(name).cloned();
        let norm = |name: &str| {
            let of = |part: &str| place(&format!("{name}.{part}"));
            Some(Norm::new([of("weight")?, of("bias")?, of("running_mean")?, of("running_var")?]))
        };
        // a layer's bias comes after its weight
        let dense = |name: &str| {
            Some(place(&format!("{name}.weight"))?.start..place(&format!("{name}.bias"))?.end)
        };
        let flat = QUARTER * QUARTER * many;
        Some(Self {
            isa,
            latent,
            channels,
            loss: spec.loss,
            beta: spec.beta,
            gap: Gap::of(spec),
            first: Outer::new(place("encoder.0.weight")?, few),
            second: Inner::new(3, place("encoder.1.weight")?, channels),
            heads: Dense::new(dense("heads")?, flat, 2 * latent),
            widening: Dense::new(dense("decoder.0")?, latent, flat),
            third: Inner::new(4, place("decoder.1.weight")?, channels),
            last: Outer::new(place("decoder.2.weight")?, few),
            norms: [norm("encoder.norm.0")?, norm("encoder.norm.1")?, norm("decoder.norm.1")?],
            blocks: Vec::new(),
            together: Together::default(),
            scratch: Scratch::default(),
        })
    }

    /// The loss of a seed's images with noise ε, [rows, latent], under its parameters; writes the gradient
    /// and moves the running statistics.
    ///
    /// # Panics
    /// If there is no noise.
    pub fn loss(&mut self, parameters: &mut [f32], rows: Rows, gradient: &mut [f32]) -> Measured {
        let (pixels, count) = (SIDE * SIDE, rows.x.len() / (SIDE * SIDE));
        let (share, divergence_share) = match self.loss {
            ConvLoss::Elbo => (1.0 / count as f64, 1.0 / count as f64),
            ConvLoss::Notebook => (1.0 / (count as f64 * pixels as f64), 1.0),
        };
        let weights = Sums { error: share, divergence: self.beta * divergence_share };
        let Sums { error, divergence } = self.step(parameters, rows, weights, gradient);
        let terms = [error * share, divergence * divergence_share];
        let total = terms[0] + self.beta * terms[1];
        Measured { total, terms: terms.into(), failed: 0.0 }
    }

    /// Error and divergence of all x [rows, SIDE²] with noise [rows, latent], and the gradient of
    /// their sum, each times its weight. Moves the running statistics.
    fn step(
        &mut self,
        parameters: &mut [f32],
        Rows { x, noise }: Rows,
        weights: Sums,
        gradient: &mut [f32],
    ) -> Sums {
        let noise = noise.expect("a variational model draws noise");
        let rows = x.len() / (SIDE * SIDE);
        assert!(x.len() == rows * SIDE * SIDE && noise.len() == rows * self.latent);
        self.prepare(parameters, rows);
        self.convolve_images(x);
        self.norms[0].settle(rows * HALF * HALF, parameters);
        self.convolve_again();
        self.norms[1].settle(rows * QUARTER * QUARTER, parameters);
        let divergence = self.encode_and_widen(parameters, noise);
        self.norms[2].settle(rows * HALF * HALF, parameters);

        let error = self.judge(weights.error);
        self.norms[2].file(gradient);
        self.return_to_heads(parameters, weights.divergence as f32);
        self.norms[1].file(gradient);
        self.return_to_first();
        self.norms[0].file(gradient);
        self.return_to_images();
        self.file(gradient);
        Sums { error, divergence }
    }

    /// Packs the weights and makes room for the blocks of a batch.
    fn prepare(&mut self, parameters: &[f32], rows: usize) {
        self.first.prepare(parameters);
        self.second.prepare(parameters);
        self.third.prepare(parameters);
        self.last.prepare(parameters);
        self.norms.iter_mut().for_each(Norm::clear);
        let count = rows.div_ceil(IMAGES);
        let (latent, channels) = (self.latent, self.channels);
        if self.scratch.half.is_empty() {
            self.scratch = Scratch::new(latent, channels);
        }
        self.blocks.truncate(count);
        self.blocks.resize_with(count, || Block::new(latent, channels));
        for (number, block) in self.blocks.iter_mut().enumerate() {
            let images = IMAGES.min(rows - number * IMAGES);
            block.mask = std::array::from_fn(|lane| if lane < images { u32::MAX } else { 0 });
        }
        let flat = self.heads.inputs;
        self.together.flat.resize(count * (flat + 1), [0.0; IMAGES]);
        self.together.z.resize(count * (latent + 1), [0.0; IMAGES]);
        let heads = self.heads.outputs.next_multiple_of(PANEL);
        self.together.d_heads.resize(count * IMAGES * heads, 0.0);
        self.together.d_widened.resize(count * IMAGES * flat, 0.0);
    }

    /// From the images to the first normalisation.
    fn convolve_images(&mut self, x: &[f32]) {
        let Self { isa, first, norms, blocks, scratch, .. } = self;
        let rows = x.chunks(IMAGES * SIDE * SIDE);
        for (block, rows) in blocks.iter_mut().zip(rows) {
            let (filled, empty) = scratch.rows.split_at_mut(rows.len());
            let rows = match empty {
                [] => rows,
                empty => {
                    filled.copy_from_slice(rows);
                    empty.fill(0.0);
                    &scratch.rows
                }
            };
            for (y, line) in block.image.chunks_exact_mut(BORDERED).skip(1).take(SIDE).enumerate() {
                let into = line[1..].as_flattened_mut();
                let from = &rows[y * SIDE..];
                kernels::transpose(*isa, from, into, [IMAGES, SIDE], [SIDE * SIDE, IMAGES]);
            }
            let Block { mask, image, sums: [sums, ..], .. } = block;
            for (y, line) in sums.chunks_exact_mut(HALF * first.channels).enumerate() {
                first.halve(*isa, image, y, line);
                norms[0].take(*isa, line, mask);
            }
        }
    }

    /// From the first normalisation to the second.
    fn convolve_again(&mut self) {
        let Self { isa, second, norms, blocks, scratch, .. } = self;
        // the kernel of row y reaches two more rows
        let pair = 2 * HALF * second.few;
        for block in blocks {
            let Block { mask, sums: [given, sums, _], .. } = block;
            let given = given.chunks_exact(pair);
            let lines = sums.chunks_exact_mut(QUARTER * second.many);
            for (y, (given, line)) in given.zip(lines).enumerate() {
                norms[0].normalise(*isa, given, mask, &mut scratch.half[y * pair..][..pair]);
                second.halve(*isa, &scratch.half, y, line);
                norms[1].take(*isa, line, mask);
            }
        }
    }

    /// From the second normalisation to the third; the divergence of all images.
    fn encode_and_widen(&mut self, parameters: &[f32], noise: &[f32]) -> f64 {
        let Self { isa, heads, widening, third, norms, blocks, together, scratch, .. } = self;
        let (flat_size, latent) = (heads.inputs, self.latent);
        let flats = together.flat.chunks_exact_mut(flat_size + 1);
        let draws = together.z.chunks_exact_mut(latent + 1);
        let noise = noise.chunks(IMAGES * latent);
        let mut divergence = 0.0;
        for (((block, flat), z), noise) in blocks.iter_mut().zip(flats).zip(draws).zip(noise) {
            let ones = block.mask.map(|lane| if lane != 0 { 1.0 } else { 0.0 });
            norms[1].normalise(*isa, &block.sums[1], &block.mask, &mut flat[..flat_size]);
            flat[flat_size] = ones;
            heads.forward(*isa, parameters, flat, &mut block.heads[..2 * latent]);
            for (image, noise) in noise.chunks_exact(latent).enumerate() {
                for (lanes, value) in scratch.noise.iter_mut().zip(noise) {
                    lanes[image] = *value;
                }
            }
            let heads = Images { lanes: &block.heads[..2 * latent], mask: &block.mask };
            let (z_alone, spread) = (&mut z[..latent], &mut block.spread);
            divergence += total(&kernels::draw(*isa, heads, &scratch.noise, z_alone, spread));
            z[latent] = ones;
            widening.forward(*isa, parameters, z, &mut scratch.quarter);
            turn(*isa, &scratch.quarter, &mut block.widened, PANEL * IMAGES);
            let Block { mask, sums: [.., sums], .. } = block;
            for (y, line) in sums.chunks_exact_mut(HALF * third.few).enumerate() {
                third.double(*isa, &scratch.quarter, y, line);
                norms[2].take(*isa, line, mask);
            }
        }
        divergence
    }

    /// The error of all images, and back to the third normalisation.
    fn judge(&mut self, weight: f64) -> f64 {
        let Self { isa, gap, last, norms, blocks, scratch, .. } = self;
        let size = HALF * last.channels;
        let mut sum = 0.0;
        for block in blocks.iter_mut() {
            let Block { mask, image, sums: [.., sums], d_half, .. } = block;
            // two rows of pixels at a time, as soon as what they need is there
            for y in 0..CORNERS {
                if let Some(line) = sums.chunks_exact(size).nth(y) {
                    norms[2].normalise(*isa, line, mask, &mut scratch.half[y * size..][..size]);
                }
                last.double(*isa, &scratch.half, y, &mut scratch.corners);
                for row in (2 * y).max(1)..(2 * y + 2).min(BORDERED - 1) {
                    let lanes = &scratch.corners[row % 2 * 2..][..4 * CORNERS - 2];
                    let output = Images { lanes, mask };
                    let pixels = row * BORDERED + 1..(row + 1) * BORDERED - 1;
                    let (x, d_output) = (&image[pixels.clone()], &mut scratch.d_image[pixels]);
                    sum += gap.judge(*isa, &Pixels { output, x }, weight, d_output);
                }
                let Some(y) = y.checked_sub(1) else { continue };
                let (place, line) = (y * size..(y + 1) * size, &mut d_half[y * size..][..size]);
                last.gather(*isa, &scratch.d_image, y, &scratch.half[place.clone()]);
                last.halve(*isa, &scratch.d_image, y, line);
                norms[2].through_relu(*isa, line, &sums[place]);
            }
        }
        match *gap {
            Gap::Squared { factor, constant } => {
                let rows: usize = blocks.iter().map(Block::images).sum();
                sum * factor + rows as f64 * constant
            }
            Gap::CrossEntropy => sum,
        }
    }

    /// From the third normalisation back to the second.
    fn return_to_heads(&mut self, parameters: &[f32], weight: f32) {
        let panel = self.blocks.len() * IMAGES * PANEL;
        let Self { isa, heads, widening, third, norms, blocks, together, scratch, .. } = self;
        let latent = self.latent;
        for (number, block) in blocks.iter_mut().enumerate() {
            let Block { mask, sums, widened, d_half, .. } = &*block;
            norms[2].backward(*isa, d_half, Images { lanes: &sums[2], mask }, &mut scratch.half);
            third.gather(*isa, &scratch.half, widened);
            let lines = scratch.quarter.chunks_exact_mut(QUARTER * third.many);
            for (y, line) in lines.enumerate() {
                third.halve(*isa, &scratch.half, y, line);
            }
            let first = number * IMAGES * PANEL;
            turn(*isa, &scratch.quarter, &mut together.d_widened[first..], panel);
            widening.d_input(*isa, parameters, &scratch.quarter, &mut scratch.d_z);
            let d_heads = &mut block.heads[..2 * latent];
            let d_z = Images { lanes: &scratch.d_z, mask: &block.mask };
            kernels::through_draw(*isa, d_z, &block.spread, weight, d_heads);
            turn(*isa, &block.heads, &mut together.d_heads[first..], panel);
            heads.d_input(*isa, parameters, &block.heads[..2 * latent], &mut block.d_quarter);
            norms[1].through_relu(*isa, &mut block.d_quarter, &block.sums[1]);
        }
    }

    /// From the second normalisation back to the first.
    fn return_to_first(&mut self) {
        let Self { isa, second, norms, blocks, scratch, .. } = self;
        let size = HALF * second.few;
        for block in blocks {
            let Block { mask, sums, d_quarter, d_half, .. } = block;
            let given = Images { lanes: &sums[1], mask };
            norms[1].backward(*isa, d_quarter, given, &mut scratch.quarter);
            turn(*isa, &scratch.quarter, &mut scratch.turned, PANEL * IMAGES);
            let lines = d_half.chunks_exact_mut(size).zip(sums[0].chunks_exact(size));
            let lines = lines.zip(scratch.half.chunks_exact_mut(size));
            for (y, ((line, given), normal)) in lines.enumerate() {
                second.double(*isa, &scratch.quarter, y, line);
                norms[0].through_relu(*isa, line, given);
                norms[0].normalise(*isa, given, mask, normal);
            }
            second.gather(*isa, &scratch.half, &scratch.turned);
        }
    }

    /// From the first normalisation back to the images.
    fn return_to_images(&mut self) {
        let Self { isa, first, norms, blocks, scratch, .. } = self;
        let size = HALF * first.channels;
        let by_line = &mut scratch.half[..size];
        for block in blocks {
            let Block { mask, sums, d_half, image, .. } = &*block;
            let lines = d_half.chunks_exact(size).zip(sums[0].chunks_exact(size));
            for (y, (line, given)) in lines.enumerate() {
                norms[0].backward(*isa, line, Images { lanes: given, mask }, by_line);
                first.gather(*isa, image, y, by_line);
            }
        }
    }

    /// Writes the gradient with respect to all weights.
    fn file(&self, gradient: &mut [f32]) {
        let Self { isa, together, .. } = self;
        self.first.file(gradient);
        self.second.file(gradient);
        self.third.file(gradient);
        self.last.file(gradient);
        let all = self.heads.outputs;
        self.heads.gather(*isa, &together.flat, &together.d_heads, all, gradient);
        self.widening.gather(*isa, &together.z, &together.d_widened, PANEL, gradient);
    }
}

impl Scratch {
    fn new(latent: usize, [few, many]: [usize; 2]) -> Self {
        let flat = QUARTER * QUARTER * many;
        Self {
            half: lanes(HALF * HALF * few),
            quarter: lanes(flat),
            turned: vec![0.0; flat * IMAGES],
            rows: vec![0.0; IMAGES * SIDE * SIDE],
            noise: lanes(latent),
            d_z: lanes(latent),
            corners: lanes(4 * CORNERS),
            d_image: lanes(BORDERED * BORDERED),
        }
    }
}

impl Block {
    fn images(&self) -> usize {
        self.mask.iter().filter(|&&lane| lane != 0).count()
    }

    fn new(latent: usize, [few, many]: [usize; 2]) -> Self {
        let (half, quarter) = (HALF * HALF * few, QUARTER * QUARTER * many);
        Self {
            mask: [0; IMAGES],
            image: lanes(BORDERED * BORDERED),
            sums: [lanes(half), lanes(quarter), lanes(half)],
            heads: lanes((2 * latent).next_multiple_of(PANEL)),
            spread: lanes(latent),
            widened: vec![0.0; quarter * IMAGES],
            d_half: lanes(half),
            d_quarter: lanes(quarter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::conv_vae::ConvVae;
    use seedbed::random::{Numbers, Stream};

    const WEIGHTS: Sums = Sums { error: 0.1, divergence: 0.2 };

    /// What a step gives, and what it makes of the parameters.
    fn step(spec: &ConvVaeSpec, isa: Isa, rows: usize) -> ([u64; 2], Vec<u32>, Vec<u32>) {
        let (_, specs) = ConvVae::new(spec);
        let mut core = Core::new(isa, spec, &specs).expect("channels that suit it");
        let mut numbers = Numbers::new(1, Stream::Data, 0);
        let mut draw = |count: usize| numbers.normals(count);
        let count = specs.iter().map(ParameterSpec::count).sum::<i64>() as usize;
        let mut parameters: Vec<f32> = draw(count).iter().map(|value| 0.1 * value).collect();
        let (x, noise) = (draw(rows * SIDE * SIDE), draw(rows * spec.latent));
        let x: Vec<f32> = x.iter().map(|value| value.clamp(0.0, 1.0)).collect();
        let mut gradient = vec![f32::NAN; count];
        let rows = Rows { x: &x, noise: Some(&noise) };
        let sums = core.step(&mut parameters, rows, WEIGHTS, &mut gradient);
        assert!(gradient.iter().all(|value| value.is_finite()), "a gradient is missing");
        let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect();
        let sums = [sums.error, sums.divergence].map(f64::to_bits);
        (sums, bits(gradient), bits(parameters))
    }

    #[test]
    fn all_instructions_give_the_same_bits() {
        for (choice, rows) in [
            (r#"{"channels": [16, 32], "latent": 100, "loss": "notebook"}"#, 40),
            (r#"{"channels": [8, 64], "latent": 3, "decoder": "bernoulli"}"#, 5),
        ] {
            let spec: ConvVaeSpec = serde_json::from_str(choice).expect("a network");
            let all = Isa::all();
            let expected = step(&spec, all[0], rows);
            for isa in &all[1..] {
                assert!(step(&spec, *isa, rows) == expected, "{choice}, {isa:?}");
            }
        }
    }

    #[test]
    fn a_smaller_batch_after_a_larger_one_has_the_bits_of_a_first_one() {
        let spec: ConvVaeSpec = serde_json::from_str(r#"{"latent": 5}"#).expect("a network");
        let (_, specs) = ConvVae::new(&spec);
        let isa = Isa::detect();
        let mut core = Core::new(isa, &spec, &specs).expect("channels that suit it");
        let count = specs.iter().map(ParameterSpec::count).sum::<i64>() as usize;
        let mut numbers = Numbers::new(2, Stream::Data, 0);
        let start: Vec<f32> = numbers.normals(count).iter().map(|value| 0.1 * value).collect();
        let (x, noise) = (numbers.normals(70 * SIDE * SIDE), numbers.normals(70 * 5));
        let step = |core: &mut Core, rows: usize| {
            let (mut parameters, mut gradient) = (start.clone(), vec![0.0; count]);
            let (x, noise) = (&x[..rows * SIDE * SIDE], Some(&noise[..rows * 5]));
            core.step(&mut parameters, Rows { x, noise }, WEIGHTS, &mut gradient);
            (parameters, gradient)
        };
        let _ = step(&mut core, 70);
        let after = step(&mut core, 33);
        let mut fresh = Core::new(isa, &spec, &specs).expect("channels that suit it");
        assert!(step(&mut fresh, 33) == after);
    }
}
