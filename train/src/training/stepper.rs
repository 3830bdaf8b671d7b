//! One optimiser step after another: batch, loss and gradient, clipping, decay, Adam. Here and nowhere else
//! is decided whether a loss and its gradient come from a model's tensors or from its native step.

use tch::{Tensor, no_grad};

use super::batches::{TrainingRows, Walk};
use crate::model::{Batch, Detector};
use crate::native;
use crate::nn::parameters::gather;
use crate::nn::{Adam, Parameters};
use seedbed::experiment::TrainingSpec;

/// What takes one step after another.
pub(super) struct Stepper<'a> {
    detector: &'a Detector,
    /// The model's step without tensors, where there is one.
    native: Option<native::Step>,
    pub(super) parameters: &'a mut Parameters,
    rows: &'a TrainingRows,
    walk: &'a Walk<'a>,
    /// Of each step of an epoch, as `Batch` has them.
    weights: Vec<Option<Tensor>>,
    adam: Adam,
    clip: Option<f64>,
    decay: Option<f64>,
}

impl<'a> Stepper<'a> {
    pub(super) fn new(
        detector: &'a Detector,
        parameters: &'a mut Parameters,
        rows: &'a TrainingRows,
        walk: &'a Walk<'a>,
        spec: &TrainingSpec,
    ) -> Self {
        let adam = Adam::new(parameters, spec.learning_rate);
        let weights = walk.weights(rows.values.device());
        Self {
            detector,
            native: native::Step::for_model(&detector.spec, parameters),
            parameters,
            rows,
            walk,
            weights,
            adam,
            clip: spec.gradient_clip,
            decay: spec.weight_decay,
        }
    }

    /// Moves the `active` seeds; returns the batch's `Loss::row`, [seeds, failed + total + terms].
    pub(super) fn step(
        &mut self,
        order: &Tensor,
        step: usize,
        noise: Option<&Tensor>,
        active: &[bool],
    ) -> Tensor {
        let (start, width) = (step * self.walk.batch_size, self.walk.width(step));
        let index = order.narrow(1, start as i64, width as i64).reshape([-1]);
        let shape = [self.walk.seeds.len() as i64, width as i64, -1];
        let x = gather(&self.rows.values, &index).view(shape);
        let weight = self.weights[step].as_ref().map(Tensor::shallow_clone);
        let batch = Batch { x, weight };
        let loss = match &mut self.native {
            Some(native) => native.loss(self.parameters, &batch, noise),
            None => self.detector.loss(self.parameters, &batch, noise),
        };
        let row = Tensor::stack(&loss.row(), 1);
        let mut gradient = loss.gradient;
        if let Some(bound) = self.clip {
            no_grad(|| clip_norm(&mut gradient, bound));
        }
        if let Some(decay) = self.decay {
            let _ = no_grad(|| gradient.g_add_(&(self.parameters.flat() * decay)));
        }
        self.adam.step(self.parameters, &gradient, active);
        row
    }
}

/// Scales each seed's gradient, [seeds, count], to a norm of at most `bound`, as PyTorch's
/// `clip_grad_norm_` does.
pub fn clip_norm(gradient: &mut Tensor, bound: f64) {
    let norm = gradient.norm_scalaropt_dim(2.0, [1i64].as_slice(), true);
    let scale = (bound / (norm + 1e-6)).clamp_max(1.0);
    let _ = gradient.g_mul_(&scale);
}
