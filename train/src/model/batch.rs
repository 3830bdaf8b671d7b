//! Rows that one optimiser step sees. The seed axis comes first.

use tch::{Kind, Tensor};

/// Rows that one optimiser step sees.
#[derive(Debug)]
pub struct Batch {
    /// [seeds, rows, features]
    pub x: Tensor,
    /// 1 for a row, 0 for padding, [seeds, rows]; absent when every row counts. Seeds may have
    /// different numbers of rows left for the last step of an epoch.
    pub weight: Option<Tensor>,
}

impl Batch {
    /// A batch in which every row counts.
    pub fn whole(x: Tensor) -> Self {
        Self { x, weight: None }
    }

    /// How many rows of each seed count; they come first.
    pub fn counts(&self) -> Vec<usize> {
        let (seeds, rows) = (self.x.size()[0] as usize, self.x.size()[1] as usize);
        match &self.weight {
            None => vec![rows; seeds],
            Some(weight) => {
                let counts = weight.sum_dim_intlist(1, false, Kind::Int64);
                (0..seeds).map(|seed| counts.int64_value(&[seed as i64]) as usize).collect()
            }
        }
    }

    /// Mean over the rows that count: [seeds, rows] → `[seeds]`.
    pub fn mean(&self, values: &Tensor) -> Tensor {
        match &self.weight {
            None => values.mean_dim(1, false, None),
            Some(weight) => {
                (values * weight).sum_dim_intlist(1, false, None)
                    / weight.sum_dim_intlist(1, false, None).clamp_min(1.0)
            }
        }
    }

    /// Divides sums over rows, [seeds, …], by the number of rows that count.
    pub fn per_row(&self, sums: &Tensor) -> Tensor {
        match &self.weight {
            None => sums / self.x.size()[1] as f64,
            Some(weight) => sums / weight.sum_dim_intlist(1, true, None).clamp_min(1.0),
        }
    }

    /// What each row counts for in a sum: [seeds, rows], or [seeds, 1] where all count alike; f64.
    pub fn ones(&self) -> Tensor {
        match &self.weight {
            None => Tensor::ones([self.x.size()[0], 1], (Kind::Double, self.x.device())),
            Some(weight) => weight.to_kind(Kind::Double),
        }
    }

    /// Sets padding to 0: [seeds, k, rows].
    pub fn weigh(&self, values: &Tensor) -> Tensor {
        match &self.weight {
            None => values.shallow_clone(),
            Some(weight) => values * weight.unsqueeze(1),
        }
    }

    /// What each row counts for in a mean, f64: [seeds, rows], or [seeds, 1] where all count alike.
    pub fn shares(&self) -> Tensor {
        match &self.weight {
            None => {
                let (seeds, rows) = (self.x.size()[0], self.x.size()[1]);
                Tensor::full([seeds, 1], 1.0 / rows as f64, (Kind::Double, self.x.device()))
            }
            Some(weight) => {
                let weight = weight.to_kind(Kind::Double);
                &weight / weight.sum_dim_intlist(1, true, None).clamp_min(1.0)
            }
        }
    }
}
