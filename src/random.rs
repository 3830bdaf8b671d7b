//! Counter-based random numbers: every number comes from (seed, stream, step, index), so a run
//! draws the same numbers whatever else its process does. ChaCha8 is the counter-based generator:
//! the key holds seed and stream, the nonce holds the step, the block counter is the index.
//! Nothing in the crate uses libtorch's generator, which is one global per process.

use rand::{Rng, RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What a sequence of random numbers is for. The number of a variant is part of every result:
/// never renumber one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Stream {
    /// Which rows train and which test; the model does not enter, so two models under one seed
    /// see the same split.
    Split = 1,
    /// Initial weights; the step is the number of the layer.
    Initialisation = 2,
    /// The order of the training rows; the step is the epoch.
    Shuffle = 3,
    /// Dropout masks; the step is the epoch · 2³² + the step within it, from 0.
    Dropout = 4,
    /// Latent noise of variational models in training; the step is as for dropout masks.
    LatentNoise = 5,
    /// Made-up data (`synthetic`).
    Data = 6,
    /// The order in which the training rows are visited when scores are computed.
    Scoring = 7,
    /// Latent noise when rows are scored; the step is the draw, + 2³² for training rows.
    ScoringNoise = 8,
    /// Which values a bootstrap resample holds.
    Bootstrap = 9,
    /// Which attack rows of KDD Cup 99 there are, where not all; the seed is the data set's own.
    Attacks = 10,
}

/// The numbers of one (seed, stream, step), from index 0 on.
#[derive(Debug, Clone)]
pub struct Numbers(ChaCha8Rng);

impl Numbers {
    /// Starts the sequence of (`seed`, `stream`, `step`) at index 0.
    pub fn new(seed: u64, stream: Stream, step: u64) -> Self {
        let mut key = [0u8; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&(stream as u64).to_le_bytes());
        key[16..23].copy_from_slice(b"seedbed");
        let mut generator = ChaCha8Rng::from_seed(key);
        generator.set_stream(step);
        Self(generator)
    }

    /// A uniform number in [0, 1), 53 random bits.
    pub fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// A uniform number in [0, 1), 24 random bits: exact in f32.
    pub fn uniform_f32(&mut self) -> f32 {
        (self.0.next_u32() >> 8) as f32 * (1.0 / (1u32 << 24) as f32)
    }

    /// `count` numbers as `uniform_f32` gives them.
    pub fn uniforms_f32(&mut self, count: usize) -> Vec<f32> {
        let mut bytes = vec![0u8; 4 * count];
        self.0.fill_bytes(&mut bytes);
        let number = |word: &[u8; 4]| (u32::from_le_bytes(*word) >> 8) as f32;
        bytes.as_chunks().0.iter().map(|word| number(word) * (1.0 / (1u32 << 24) as f32)).collect()
    }

    /// A uniform index in `0..count`, from 32 random bits (their product's upper half), so that some
    /// indices are likelier than others by at most `count`/2³². For a `count` below 2³².
    pub fn below(&mut self, count: usize) -> usize {
        ((u64::from(self.0.next_u32()) * count as u64) >> 32) as usize
    }

    /// A standard normal number (Box and Muller, 1958; the cosine branch, so one pair of uniform
    /// numbers makes one normal number and the index stays countable).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// `count` standard normal numbers (Box and Muller, both branches, in f64), rounded to f32.
    pub fn normals(&mut self, count: usize) -> Vec<f32> {
        let mut normals = Vec::with_capacity(count + 1);
        while normals.len() < count {
            let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
            let (sine, cosine) = (std::f64::consts::TAU * self.uniform()).sin_cos();
            normals.extend([(radius * cosine) as f32, (radius * sine) as f32]);
        }
        normals.truncate(count);
        normals
    }

    /// A uniformly random order of `0..length` (Fisher and Yates).
    ///
    /// # Panics
    /// If `length` exceeds `u32::MAX`.
    pub fn permutation(&mut self, length: usize) -> Vec<u32> {
        let mut order: Vec<u32> =
            (0..u32::try_from(length).expect("row numbers fit u32")).collect();
        for last in (1..order.len()).rev() {
            order.swap(last, self.0.random_range(0..=last as u32) as usize);
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(seed: u64, stream: Stream, step: u64) -> f64 {
        Numbers::new(seed, stream, step).uniform()
    }

    #[test]
    fn every_part_of_the_counter_changes_the_numbers() {
        let base = first(1, Stream::Split, 0);
        assert_ne!(base, first(2, Stream::Split, 0));
        assert_ne!(base, first(1, Stream::Shuffle, 0));
        assert_ne!(base, first(1, Stream::Split, 1));
        assert_eq!(base, first(1, Stream::Split, 0));
    }

    #[test]
    fn numbers_drawn_together_are_those_drawn_one_by_one() {
        let mut numbers = Numbers::new(3, Stream::Dropout, 9);
        let singly: Vec<f32> = (0..1003).map(|_| numbers.uniform_f32()).collect();
        assert_eq!(Numbers::new(3, Stream::Dropout, 9).uniforms_f32(1003), singly);
    }

    #[test]
    fn a_permutation_holds_every_row_once_and_differs_between_seeds() {
        let order = Numbers::new(7, Stream::Shuffle, 3).permutation(1000);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..1000).collect::<Vec<u32>>());
        assert_ne!(order, Numbers::new(8, Stream::Shuffle, 3).permutation(1000));
    }

    #[test]
    fn moments_are_those_of_the_named_distributions() {
        let mut numbers = Numbers::new(1, Stream::Data, 0);
        let count = 200_000;
        let (mut sum, mut square) = (0.0, 0.0);
        for _ in 0..count {
            let x = numbers.normal();
            sum += x;
            square += x * x;
        }
        // five standard errors of the mean and of the variance of a standard normal
        assert!((sum / count as f64).abs() < 5.0 / (count as f64).sqrt());
        assert!((square / count as f64 - 1.0).abs() < 5.0 * (2.0 / count as f64).sqrt());
        let mean = (0..count).map(|_| numbers.uniform()).sum::<f64>() / count as f64;
        assert!((mean - 0.5).abs() < 5.0 / (12.0 * count as f64).sqrt());
    }
}
