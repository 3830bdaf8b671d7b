//! The random numbers of training steps: dropout masks and latent noise. They come from each seed's own
//! stream and are drawn by the processor, so that they are the same on every device; `train` says when,
//! and takes them where the step runs.

use crate::random::{Numbers, Stream};

/// What a training step draws for each of its rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Noise {
    /// Of every unit of a layer: 0 with `probability`, else 1/(1 − `probability`).
    Dropout { units: usize, probability: f64 },
    /// Of every latent variable: a standard normal number.
    Latent { variables: usize },
}

impl Noise {
    /// Values for a row.
    pub fn per_row(self) -> usize {
        match self {
            Self::Dropout { units, .. } => units,
            Self::Latent { variables } => variables,
        }
    }

    /// Fills `place` with a seed's values for a step, row after row; `step` is the epoch · 2³² + the
    /// step within it, from 0.
    pub fn draw(self, seed: u64, step: u64, place: &mut [f32]) {
        match self {
            Self::Dropout { probability, .. } => {
                let keep = (1.0 / (1.0 - probability)) as f32;
                // uniform numbers are multiples of 2⁻²⁴: the least that is not below the probability
                let parts = f64::from(1u32 << 24);
                let least = ((probability * parts).ceil() / parts) as f32;
                let numbers = Numbers::new(seed, Stream::Dropout, step).uniforms_f32(place.len());
                for (value, number) in place.iter_mut().zip(numbers) {
                    *value = if number < least { 0.0 } else { keep };
                }
            }
            Self::Latent { .. } => {
                let numbers = Numbers::new(seed, Stream::LatentNoise, step).normals(place.len());
                place.copy_from_slice(&numbers);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_drops_its_share_and_keeps_the_mean_and_fewer_rows_have_the_same_values() {
        let noise = Noise::Dropout { units: 10, probability: 0.25 };
        let mut mask = vec![f32::NAN; 10_000];
        noise.draw(3, 7, &mut mask);
        let dropped = mask.iter().filter(|value| **value == 0.0).count();
        // five standard errors of a share of 0.25
        assert!((dropped as f64 / 1e4 - 0.25).abs() < 5.0 * (0.25 * 0.75 / 1e4f64).sqrt());
        assert!(mask.iter().all(|&value| value == 0.0 || value == (1.0 / 0.75) as f32));
        let mut fewer = vec![0.0; 30];
        noise.draw(3, 7, &mut fewer);
        assert_eq!(fewer, mask[..30]);
    }
}
