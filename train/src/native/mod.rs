//! Training steps of the models on a CPU core: the same as `model`'s, faster, by `kernels` and with
//! gradients written out. `training::stepper` chooses between the two.

mod conv_layers;
mod conv_vae;
mod dagmm;
mod mixture;
mod mlp;
mod real;
#[cfg(test)]
mod tests;
mod vae;

use tch::Tensor;

use crate::kernels::Isa;
use crate::model::{Batch, Loss, ModelSpec};
use crate::nn::parameters::{ParameterSpec, Parameters, values, values_mut};

/// A model's training step, with the room that it needs.
#[derive(Debug)]
pub struct Step(Core);

#[derive(Debug)]
enum Core {
    Dagmm(Box<dagmm::Core>),
    Vae(vae::Core),
    ConvVae(Box<conv_vae::Core>),
}

/// What a seed's rows come to in a step; the gradient is written where it belongs.
#[derive(Debug, Clone, PartialEq)]
struct Measured {
    /// What is minimised.
    total: f64,
    /// Its terms before weighting.
    terms: Vec<f64>,
    /// Not 0 where a computation broke down.
    failed: f64,
}

/// What a step is given of one seed.
#[derive(Debug, Clone, Copy)]
struct Rows<'a> {
    /// [rows, features]
    x: &'a [f32],
    /// What the model draws for each row, [rows, values].
    noise: Option<&'a [f32]>,
}

impl Step {
    /// The step of a model whose parameters are f32 in memory. None where there is no such step for the
    /// model, or where this processor has no vector instructions for it: tensors are faster then.
    pub fn for_model(model: &ModelSpec, parameters: &Parameters) -> Option<Self> {
        Self::with(parameters.isa?, model, parameters.specs())
    }

    fn with(isa: Isa, model: &ModelSpec, specs: &[ParameterSpec]) -> Option<Self> {
        let core = match model {
            ModelSpec::Dagmm(table) => Core::Dagmm(Box::new(dagmm::Core::new(isa, table, specs))),
            ModelSpec::Vae(table) => Core::Vae(vae::Core::new(table, specs)),
            ModelSpec::ConvVae(table) => {
                Core::ConvVae(Box::new(conv_vae::Core::new(isa, table, specs)?))
            }
            ModelSpec::Autoencoder(_)
            | ModelSpec::Pca(_)
            | ModelSpec::Command(_)
            | ModelSpec::Scores(_) => return None,
        };
        Some(Self(core))
    }

    /// Does as `Detector::loss`. A seed's loss and gradient have the same bits in any company, but for a
    /// fully connected VAE's.
    ///
    /// # Panics
    /// If the batch or the noise is not f32 in memory, or a VAE gets no noise.
    pub fn loss(&mut self, parameters: &Parameters, batch: &Batch, noise: Option<&Tensor>) -> Loss {
        match &mut self.0 {
            Core::Vae(core) => core.loss(parameters, batch, noise.expect("a VAE draws noise")),
            Core::Dagmm(core) => {
                by_seed(parameters, batch, noise, dagmm::TERMS, |own, rows, into| {
                    core.loss(own, rows, into)
                })
            }
            Core::ConvVae(core) => {
                by_seed(parameters, batch, noise, conv_vae::TERMS, |own, rows, into| {
                    core.loss(own, rows, into)
                })
            }
        }
    }
}

/// Takes seed after seed through `step`, which writes a seed's gradient and moves its running statistics,
/// where the model has any. A seed without rows stays as it is.
fn by_seed(
    parameters: &Parameters,
    batch: &Batch,
    noise: Option<&Tensor>,
    terms: usize,
    mut step: impl FnMut(&mut [f32], Rows, &mut [f32]) -> Measured,
) -> Loss {
    let [seeds, width] = [0, 1].map(|axis| batch.x.size()[axis] as usize);
    let count = parameters.flat().numel() / seeds;
    let mut gradient = parameters.flat().zeros_like();
    // running statistics move; nobody else reads a seed's parameters during its step
    let mut flat = parameters.flat().shallow_clone();
    let own = values_mut(&mut flat).chunks_exact_mut(count);
    let places = values_mut(&mut gradient).chunks_exact_mut(count);
    let mut losses = Vec::new();
    for ((seed, rows), (own, gradient)) in
        batch.counts().into_iter().enumerate().zip(own.zip(places))
    {
        let of_seed = |all: &Tensor| {
            let values = all.size()[2] as usize;
            (seed * width * values)..(seed * width + rows) * values
        };
        let x = &values(&batch.x)[of_seed(&batch.x)];
        let noise = noise.map(|noise| &values(noise)[of_seed(noise)]);
        losses.push(match rows {
            0 => Measured { total: 0.0, terms: vec![0.0; terms], failed: 0.0 },
            _ => step(own, Rows { x, noise }, gradient),
        });
    }
    let column = |of: &dyn Fn(&Measured) -> f64| {
        Tensor::from_slice(&losses.iter().map(of).collect::<Vec<_>>())
    };
    Loss {
        total: column(&|loss| loss.total),
        terms: (0..terms).map(|term| column(&|loss| loss.terms[term])).collect(),
        failed: column(&|loss| loss.failed),
        gradient,
    }
}
