//! Adam: Kingma and Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015, algorithm 1.

use tch::{Device, Kind, Tensor, no_grad};

use super::parameters::{Parameters, in_memory, values, values_mut};
use crate::kernels::Isa;
use crate::kernels::pointwise::{move_moments, move_values};

/// Adam on flat [seeds, count] parameters.
#[derive(Debug)]
pub struct Adam {
    learning_rate: f64,
    /// Steps taken by each seed.
    steps: Vec<i32>,
    first: Tensor,
    second: Tensor,
    /// Seeds that stayed as they were in the last step, if any did.
    idle: Option<Sent>,
    /// Steps that each seed was behind the furthest in the last step by libtorch.
    behind: Option<Sent>,
    factors: Option<Factors>,
}

/// Numbers where the parameters are: sent when they change, not at every step.
#[derive(Debug)]
struct Sent {
    numbers: Vec<i64>,
    tensor: Tensor,
}

impl Sent {
    /// `held`, if it holds these numbers.
    fn renewed(held: Option<Self>, numbers: Vec<i64>, device: Device) -> Self {
        held.filter(|held| held.numbers == numbers).unwrap_or_else(|| {
            let tensor = Tensor::from_slice(&numbers).to_device(device);
            Self { numbers, tensor }
        })
    }
}

/// What a seed's step depends on beside its gradient, for its steps from 1 on, [steps, 1] each.
#[derive(Debug)]
struct Factors {
    /// −α·√(1−β₂ᵗ)/(1−β₁ᵗ)
    rate: Tensor,
    /// ε·√(1−β₂ᵗ)
    epsilon: Tensor,
}

impl Factors {
    fn new(steps: i32, learning_rate: f64, (kind, device): (Kind, Device)) -> Self {
        let column = |value: &dyn Fn(i32) -> f64| {
            let values: Vec<f64> = (1..=steps).map(value).collect();
            Tensor::from_slice(&values).unsqueeze(1).to_kind(kind)
        };
        let rate = column(&rate) * -learning_rate;
        Self { rate: rate.to_device(device), epsilon: column(&epsilon).to_device(device) }
    }
}

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

impl Adam {
    /// State for `parameters`, nothing seen yet.
    pub fn new(parameters: &Parameters, learning_rate: f64) -> Self {
        Self {
            learning_rate,
            steps: vec![0; parameters.flat().size()[0] as usize],
            first: parameters.flat().zeros_like(),
            second: parameters.flat().zeros_like(),
            idle: None,
            behind: None,
            factors: None,
        }
    }

    /// Moves the parameters of every `active` seed against its gradient, [seeds, count]; the other
    /// seeds and their moments stay as they are.
    pub fn step(&mut self, parameters: &mut Parameters, gradient: &Tensor, active: &[bool]) {
        no_grad(|| {
            let idle: Vec<i64> =
                (0..active.len()).filter(|&s| !active[s]).map(|s| s as i64).collect();
            self.idle = (!idle.is_empty())
                .then(|| Sent::renewed(self.idle.take(), idle, gradient.device()));
            let kept = self.idle.as_ref().map(|idle| {
                [parameters.flat(), &self.first, &self.second]
                    .map(|tensor| tensor.index_select(0, &idle.tensor))
            });
            for (steps, _) in self.steps.iter_mut().zip(active).filter(|(_, active)| **active) {
                *steps += 1;
            }
            match parameters.isa.filter(|_| in_memory(gradient)) {
                Some(isa) => self.step_in_memory(isa, parameters, gradient),
                None => {
                    let _ = self.first.lerp_(gradient, 1.0 - BETA1);
                    let _ = self.second.lerp_(&(gradient * gradient), 1.0 - BETA2);
                    self.move_parameters(parameters, active);
                }
            }
            if let (Some(idle), Some(kept)) = (&self.idle, kept) {
                let mut flat = parameters.flat().shallow_clone();
                let targets = [&mut flat, &mut self.first, &mut self.second];
                for (target, values) in targets.into_iter().zip(&kept) {
                    let _ = target.index_copy_(0, &idle.tensor, values);
                }
            }
        });
    }

    /// The same by kernels, but for the roots, of which libtorch's are not the nearest f32.
    fn step_in_memory(&mut self, isa: Isa, parameters: &mut Parameters, gradient: &Tensor) {
        let (first, second) = (values_mut(&mut self.first), values_mut(&mut self.second));
        let shares = [1.0 - BETA1, 1.0 - BETA2].map(|share| share as f32);
        move_moments(isa, first, second, values(gradient), shares);
        let root = self.second.sqrt();
        let count = gradient.size()[1] as usize;
        let sources =
            values(&self.first).chunks_exact(count).zip(values(&root).chunks_exact(count));
        let mut flat = parameters.flat().shallow_clone();
        let targets = values_mut(&mut flat).chunks_exact_mut(count).zip(&self.steps);
        for ((target, &steps), (first, root)) in targets.zip(sources) {
            let rate = rate(steps.max(1)) as f32 * -self.learning_rate as f32;
            move_values(isa, target, first, root, [rate, epsilon(steps.max(1)) as f32]);
        }
    }

    /// θ ← θ − α·√(1−β₂ᵗ)/(1−β₁ᵗ) · m / (√v + ε·√(1−β₂ᵗ)), with each seed's own t; seeds that are
    /// not `active` by any.
    fn move_parameters(&mut self, parameters: &mut Parameters, active: &[bool]) {
        let place = (self.first.kind(), self.first.device());
        let furthest = self.steps.iter().copied().max().unwrap_or(0).max(1);
        if self.factors.as_ref().is_none_or(|f| f.rate.size()[0] < i64::from(furthest)) {
            let steps = furthest.saturating_mul(2).max(1024);
            self.factors = Some(Factors::new(steps, self.learning_rate, place));
        }
        let Some(factors) = &self.factors else { return };
        let behind = self.steps.iter().zip(active);
        let behind = behind
            .map(|(&steps, &active)| if active { i64::from(furthest - steps) } else { 0 })
            .collect();
        let behind = Sent::renewed(self.behind.take(), behind, place.1);
        let number = i64::from(furthest - 1) - &behind.tensor;
        let [rate, epsilon] =
            [&factors.rate, &factors.epsilon].map(|column| column.index_select(0, &number));
        self.behind = Some(behind);
        let direction = &self.first / (self.second.sqrt() + epsilon);
        let _ = parameters.flat().shallow_clone().addcmul_(&direction, &rate);
    }
}

/// √(1−β₂ᵗ)/(1−β₁ᵗ)
fn rate(t: i32) -> f64 {
    (1.0 - BETA2.powi(t)).sqrt() / (1.0 - BETA1.powi(t))
}

/// ε·√(1−β₂ᵗ)
fn epsilon(t: i32) -> f64 {
    EPSILON * (1.0 - BETA2.powi(t)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::parameters::{Initial, ParameterSpec};

    /// Of a gradient that is 1 at every step Adam's moments, freed of their bias, are 1: each step moves by
    /// α/(1+ε).
    #[test]
    fn a_seed_that_is_idle_now_and_then_moves_by_its_own_count_of_steps_also_after_a_thousand() {
        let initial = Initial::Constant(0.0);
        let spec = ParameterSpec { name: "w".into(), shape: vec![2], initial, trained: true };
        let flat = Tensor::zeros([3, 2], (Kind::Double, Device::Cpu));
        let mut parameters = Parameters::from_flat(vec![spec], flat);
        let mut adam = Adam::new(&parameters, 1e-3);
        let gradient = Tensor::ones([3, 2], (Kind::Double, Device::Cpu));
        let steps = 2500;
        for step in 0..steps {
            adam.step(&mut parameters, &gradient, &[true, step % 3 > 0, step < 1100]);
        }
        for (seed, taken) in [steps, steps * 2 / 3, 1100].into_iter().enumerate() {
            let moved = parameters.flat().get(seed as i64).mean(Kind::Double).double_value(&[]);
            assert!((moved / f64::from(taken) + 1e-3).abs() < 1e-10, "seed {seed}: {moved}");
        }
    }
}
