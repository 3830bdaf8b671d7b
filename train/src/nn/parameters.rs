//! Parameters of one model under several seeds: all of them lie in one flat [seeds, count] tensor, so that
//! the optimiser, gradient clipping and digests each are a few operations on it; layers see views of it.

use std::ops::Range;
use std::sync::Arc;

use tch::{Device, Kind, Tensor};

use crate::kernels::Isa;
use crate::kernels::gather::gather as gather_rows;
use seedbed::model::Start;
use seedbed::random::{Numbers, Stream};

/// Name, shape (without the seed axis) and initial values of one parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct ParameterSpec {
    pub name: String,
    pub shape: Vec<i64>,
    pub initial: Initial,
    /// Whether the loss is differentiated with respect to it; running statistics move otherwise.
    pub trained: bool,
}

/// What a parameter is before training.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Initial {
    /// Uniform in [−bound, bound).
    Uniform(f64),
    Constant(f64),
}

impl ParameterSpec {
    /// Number of values of one seed.
    pub fn count(&self) -> i64 {
        self.shape.iter().product()
    }
}

/// Gives the parameters of one network's linear layers, [inputs, outputs] and [outputs] in turn, their
/// initial values. The last layer is `heads` layers side by side, each of which has its own outputs.
pub(crate) fn initialise(start: Start, specs: &mut [ParameterSpec], heads: i64) {
    let last = specs.len().saturating_sub(2);
    let uniform = |values: i64| Initial::Uniform((6.0 / values as f64).sqrt());
    for (number, spec) in specs.iter_mut().enumerate() {
        let own = |outputs: i64| if number >= last { outputs / heads } else { outputs };
        spec.initial = match (start, &spec.shape[..]) {
            // as `Linear::new` left them
            (Start::Pytorch, _) => spec.initial,
            (Start::Glorot, [inputs, outputs]) => uniform(inputs + own(*outputs)),
            (Start::Glorot, _) => Initial::Constant(0.0),
            (Start::He, [inputs, _]) => uniform(*inputs),
            (Start::He, shape) => uniform(own(shape.iter().product())),
        };
    }
}

/// Parameters of one model under several seeds.
#[derive(Debug)]
pub struct Parameters {
    specs: Arc<[ParameterSpec]>,
    /// [seeds, count of all parameters]
    flat: Tensor,
    /// Views of `flat`, [seeds, shape…], in the order of `specs`.
    views: Vec<Tensor>,
    /// Where each parameter begins in a seed's values.
    starts: Vec<usize>,
    /// What kernels compute with where they take the place of libtorch: in memory, in f32, and not where a
    /// gradient is recorded.
    pub(crate) isa: Option<Isa>,
}

impl Parameters {
    /// Draws every seed's parameters from its own stream: the same values in any company.
    pub fn initialise(
        specs: impl Into<Arc<[ParameterSpec]>>,
        seeds: &[u64],
        device: Device,
    ) -> Self {
        let specs = specs.into();
        let mut values: Vec<f32> = Vec::new();
        for &seed in seeds {
            for (number, spec) in specs.iter().enumerate() {
                let mut numbers = Numbers::new(seed, Stream::Initialisation, number as u64);
                values.extend((0..spec.count()).map(|_| match spec.initial {
                    Initial::Uniform(bound) => ((2.0 * numbers.uniform() - 1.0) * bound) as f32,
                    Initial::Constant(value) => value as f32,
                }));
            }
        }
        let flat = Tensor::from_slice(&values).view([seeds.len() as i64, -1]).to_device(device);
        Self::from_flat(specs, flat)
    }

    /// Wraps given values, [seeds, count].
    pub fn from_flat(specs: impl Into<Arc<[ParameterSpec]>>, flat: Tensor) -> Self {
        let specs = specs.into();
        let seeds = flat.size()[0];
        let mut start = 0;
        let mut starts = Vec::new();
        let views = specs
            .iter()
            .map(|spec| {
                let mut shape = vec![seeds];
                shape.extend(&spec.shape);
                let view = flat.narrow(1, start, spec.count()).view(shape.as_slice());
                starts.push(start as usize);
                start += spec.count();
                view
            })
            .collect();
        // portable kernels are no faster than libtorch
        let isa = Some(Isa::detect()).filter(|isa| in_memory(&flat) && !isa.is_portable());
        Self { specs, flat, views, starts, isa }
    }

    /// The same values in storage of their own.
    pub fn copy(&self) -> Self {
        Self::from_flat(self.specs.clone(), self.flat.copy())
    }

    /// One seed's parameters alone, [1, …], sharing storage.
    pub fn of_seed(&self, index: usize) -> Self {
        let of = |tensor: &Tensor| tensor.narrow(0, index as i64, 1);
        let (flat, views) = (of(&self.flat), self.views.iter().map(of).collect());
        Self { specs: self.specs.clone(), flat, views, starts: self.starts.clone(), isa: self.isa }
    }

    /// The same values as leaves of a graph that libtorch is to record; what is not trained shares its
    /// storage, so that it moves.
    pub(super) fn recorded(&self) -> Self {
        let leaf = |(spec, view): (&ParameterSpec, &Tensor)| match spec.trained {
            true => view.detach().copy().set_requires_grad(true),
            false => view.detach(),
        };
        let views = self.specs.iter().zip(&self.views).map(leaf).collect();
        let (specs, starts) = (self.specs.clone(), self.starts.clone());
        Self { specs, flat: self.flat.shallow_clone(), views, starts, isa: None }
    }

    /// Name, shape and initial values of each parameter.
    pub fn specs(&self) -> &[ParameterSpec] {
        &self.specs
    }

    /// All values, [seeds, count].
    pub fn flat(&self) -> &Tensor {
        &self.flat
    }

    /// One parameter, [seeds, shape…].
    pub fn get(&self, index: usize) -> &Tensor {
        &self.views[index]
    }

    /// One parameter of one seed, where they are in memory.
    pub(crate) fn of(&self, index: usize, seed: usize) -> &[f32] {
        &values(&self.flat)[self.place(index, seed)]
    }

    /// Where one parameter of one seed lies among the values of all seeds.
    pub(crate) fn place(&self, index: usize, seed: usize) -> Range<usize> {
        let start = seed * self.flat.size()[1] as usize + self.starts[index];
        start..start + self.specs[index].count() as usize
    }
}

/// Whether the tensor lies in this process's memory as f32, row by row.
pub(crate) fn in_memory(tensor: &Tensor) -> bool {
    tensor.device() == Device::Cpu && tensor.kind() == Kind::Float && tensor.is_contiguous()
}

/// The values of a tensor that is `in_memory`.
pub(crate) fn values(tensor: &Tensor) -> &[f32] {
    assert!(in_memory(tensor), "a tensor that is not f32 in memory");
    // SAFETY: contiguous f32 values, which live as long as the tensor
    unsafe { std::slice::from_raw_parts(tensor.data_ptr() as *const f32, tensor.numel()) }
}

/// The values of a tensor that is `in_memory` and shares its storage with no tensor that is read
/// meanwhile.
pub(crate) fn values_mut(tensor: &mut Tensor) -> &mut [f32] {
    assert!(in_memory(tensor), "a tensor that is not f32 in memory");
    // SAFETY: contiguous f32 values, which live as long as the tensor
    unsafe { std::slice::from_raw_parts_mut(tensor.data_ptr() as *mut f32, tensor.numel()) }
}

/// Rows of x [rows, features] by their numbers, i64.
pub fn gather(x: &Tensor, order: &Tensor) -> Tensor {
    if !in_memory(x) {
        return x.index_select(0, order);
    }
    let columns = x.size()[1];
    let mut rows = Tensor::empty([order.numel() as i64, columns], (Kind::Float, Device::Cpu));
    let order = order.contiguous();
    // SAFETY: contiguous row numbers, which live as long as the tensor
    let numbers =
        unsafe { std::slice::from_raw_parts(order.data_ptr() as *const i64, order.numel()) };
    gather_rows(values(x), columns as usize, numbers, values_mut(&mut rows));
    rows
}
