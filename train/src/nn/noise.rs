//! The random numbers of training steps: dropout masks and latent noise. They come from each seed's own
//! stream and are drawn by the processor, so that they are the same on every device; `train` says when,
//! and takes them where the step runs.

use seedbed::random::{Numbers, Stream};

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
    fn a_mask_keeps_the_units_whose_number_is_not_below_the_probability() {
        for probability in [0.1, 0.5, 1.0 / 3.0] {
            let mut mask = [f32::NAN; 400];
            Noise::Dropout { units: 10, probability }.draw(7, 1, &mut mask);
            let numbers = Numbers::new(7, Stream::Dropout, 1).uniforms_f32(400);
            for (mask, number) in mask.into_iter().zip(numbers) {
                let kept = f64::from(number) >= probability;
                let expected = if kept { (1.0 / (1.0 - probability)) as f32 } else { 0.0 };
                assert_eq!(mask, expected, "{number}");
            }
        }
    }

    #[test]
    fn fewer_rows_have_the_same_values() {
        for noise in
            [Noise::Dropout { units: 3, probability: 0.25 }, Noise::Latent { variables: 3 }]
        {
            let (mut many, mut few) = ([0.0; 90], [0.0; 33]);
            noise.draw(3, 7, &mut many);
            noise.draw(3, 7, &mut few);
            assert_eq!(few, many[..33]);
        }
    }
}
