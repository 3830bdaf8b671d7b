//! What is computed number by number: combinations of matrices, and Adam's moments and steps.

use super::arch::kernel;

/// A matrix and a factor a row.
#[derive(Debug, Clone, Copy)]
pub struct Scaled<'a> {
    pub matrix: &'a [f32],
    pub factors: &'a [f32],
}

kernel! {
    /// Writes the sum of two matrices, each row times its factor.
    pub fn combine(V, proof, x: Scaled, y: Scaled, into: &mut [f32]) {
        let Scaled { matrix: x, factors: along_x } = x;
        let Scaled { matrix: y, factors: along_y } = y;
        let columns = x.len() / along_x.len();
        assert!(x.len() == y.len() && x.len() == into.len() && along_x.len() == along_y.len());
        assert_eq!(x.len(), columns * along_x.len());
        let rows = x
            .chunks_exact(columns)
            .zip(y.chunks_exact(columns))
            .zip(into.chunks_exact_mut(columns));
        for (((x, y), into), (along_x, along_y)) in rows.zip(along_x.iter().zip(along_y)) {
            let (along_x, along_y) = (V::splat(proof, *along_x), V::splat(proof, *along_y));
            let vectors = x.chunks(V::LANES).zip(y.chunks(V::LANES));
            for ((x, y), into) in vectors.zip(into.chunks_mut(V::LANES)) {
                let along_y = V::load(proof, y).times(along_y);
                V::load(proof, x).times_plus(along_x, along_y).store(into);
            }
        }
    }

    /// Moves Adam's moments: m ← m + shares[0] (g−m), v ← v + shares[1] (g²−v).
    pub fn move_moments(
        V,
        proof,
        first: &mut [f32],
        second: &mut [f32],
        gradient: &[f32],
        shares: [f32; 2],
    ) {
        assert!(first.len() == gradient.len() && second.len() == gradient.len());
        let shares = shares.map(|share| V::splat(proof, share));
        let moments = first.chunks_mut(V::LANES).zip(second.chunks_mut(V::LANES));
        for ((first, second), gradient) in moments.zip(gradient.chunks(V::LANES)) {
            let g = V::load(proof, gradient);
            let (m, v) = (V::load(proof, first), V::load(proof, second));
            let square = g.times(g);
            shares[0].times_plus(g.minus(m), m).store(first);
            shares[1].times_plus(square.minus(v), v).store(second);
        }
    }

    /// Moves values by a step of Adam: θ ← θ + rate · m / (root + ε), given rate and ε.
    pub fn move_values(
        V,
        proof,
        values: &mut [f32],
        first: &[f32],
        root: &[f32],
        step: [f32; 2],
    ) {
        assert!(first.len() == values.len() && root.len() == values.len());
        let [rate, epsilon] = step.map(|number| V::splat(proof, number));
        let vectors = values
            .chunks_mut(V::LANES)
            .zip(first.chunks(V::LANES).zip(root.chunks(V::LANES)));
        for (values, (first, root)) in vectors {
            let direction = V::load(proof, first).over(V::load(proof, root).add(epsilon));
            direction.times_plus(rate, V::load(proof, values)).store(values);
        }
    }
}
