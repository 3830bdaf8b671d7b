//! Layers with the seed axis first: a parameter is [seeds, …], an activation [seeds, rows, features].
//! All parameters of a model lie in one flat [seeds, count] tensor, so the optimiser, gradient
//! clipping and digests each are a few operations on it; the layers see views of it.

use tch::{Device, Kind, Tensor, no_grad};

use crate::kernels::gather::gather as gather_rows;
use crate::kernels::pointwise::{move_moments, move_values};
use crate::kernels::product::{Finish, Panels, multiply, multiply_transposed};
use crate::kernels::sparse::{Sparse, multiply_sparse, multiply_transposed_sparse};
use crate::kernels::{Isa, sums::column_sums};
use crate::model::{Activation, Start};
use seedbed::random::{Numbers, Stream};

/// Name, shape (without the seed axis) and initial values of one parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct ParameterSpec {
    pub name: String,
    pub shape: Vec<i64>,
    pub initial: Initial,
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
    specs: Vec<ParameterSpec>,
    /// [seeds, count of all parameters]
    flat: Tensor,
    /// Views of `flat`, [seeds, shape…], in the order of `specs`.
    views: Vec<Tensor>,
    /// Where each parameter begins in a seed's values.
    starts: Vec<usize>,
    /// What kernels compute with where they take the place of libtorch: in memory, in f32.
    pub(crate) isa: Option<Isa>,
}

impl Parameters {
    /// Draws every seed's parameters from its own stream: the same values in any company.
    pub fn initialise(specs: Vec<ParameterSpec>, seeds: &[u64], device: Device) -> Self {
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
    pub fn from_flat(specs: Vec<ParameterSpec>, flat: Tensor) -> Self {
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
        Self::from_flat(self.specs.clone(), self.flat.narrow(0, index as i64, 1))
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

    fn seeds(&self) -> usize {
        self.flat.size()[0] as usize
    }

    /// One parameter of one seed, where they are in memory.
    fn of(&self, index: usize, seed: usize) -> &[f32] {
        let flat = values(&self.flat);
        let start = seed * (flat.len() / self.seeds()) + self.starts[index];
        &flat[start..start + self.specs[index].count() as usize]
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

/// The gradient of a loss, gathered parameter by parameter while going back through a network.
#[derive(Debug)]
pub struct Gradient {
    /// [seeds, count], in the order of the parameters.
    flat: Tensor,
    /// The parameters that are still to come.
    missing: Vec<bool>,
}

impl Gradient {
    /// Nothing gathered yet.
    pub fn new(parameters: &Parameters) -> Self {
        let missing = vec![true; parameters.specs.len()];
        Self { flat: parameters.flat.empty_like(), missing }
    }

    /// Files the gradient by one parameter, [seeds, shape…].
    pub fn put(&mut self, parameters: &Parameters, index: usize, gradient: &Tensor) {
        let (start, count) = (parameters.starts[index], parameters.specs[index].count());
        let mut place = self.flat.narrow(1, start as i64, count);
        place.copy_(&gradient.reshape([-1, count]));
        self.missing[index] = false;
    }

    /// Where the gradient by one parameter of one seed is to be written.
    fn place(&mut self, parameters: &Parameters, index: usize, seed: usize) -> &mut [f32] {
        self.missing[index] = false;
        let flat = values_mut(&mut self.flat);
        let start = seed * (flat.len() / parameters.seeds()) + parameters.starts[index];
        &mut flat[start..start + parameters.specs[index].count() as usize]
    }

    /// [seeds, count], in the order of the parameters.
    ///
    /// # Panics
    /// If a parameter has no gradient: the model then forgot one of its layers.
    pub fn flat(self) -> Tensor {
        assert!(!self.missing.contains(&true), "every layer was visited");
        self.flat
    }
}

/// y = x·W + b for every seed; the numbers are the parameters' indices.
#[derive(Debug, Clone, Copy)]
pub struct Linear {
    weight: usize,
    bias: usize,
}

impl Linear {
    /// Adds the layer's parameters, initialised as PyTorch does: uniform in ±1/√inputs.
    pub fn new(name: &str, inputs: i64, outputs: i64, specs: &mut Vec<ParameterSpec>) -> Self {
        let bound = 1.0 / (inputs as f64).sqrt();
        let mut add = |suffix: &str, shape: Vec<i64>| {
            let (name, initial) = (format!("{name}.{suffix}"), Initial::Uniform(bound));
            specs.push(ParameterSpec { name, shape, initial });
            specs.len() - 1
        };
        Self { weight: add("weight", vec![inputs, outputs]), bias: add("bias", vec![outputs]) }
    }

    /// [seeds, rows, inputs] → [seeds, rows, outputs]
    pub fn forward(&self, parameters: &Parameters, x: &Tensor) -> Tensor {
        self.activated(parameters, x, None, None)
    }

    /// `forward`, then an activation; `sparse` is what is not zero in x, seed by seed.
    fn activated(
        &self,
        parameters: &Parameters,
        x: &Tensor,
        sparse: Option<&[Sparse]>,
        activation: Option<Activation>,
    ) -> Tensor {
        let shape = self.shape(parameters, x);
        let Some(isa) = shape.isa(parameters, x, shape.outputs) else {
            let bias = parameters.get(self.bias).unsqueeze(1);
            let sum = bias.baddbmm(x, parameters.get(self.weight), 1.0, 1.0);
            return activation.map_or_else(
                || sum.shallow_clone(),
                |activation| activate(activation, sum.shallow_clone()),
            );
        };
        let tanh = activation == Some(Activation::Tanh);
        let finish = if tanh { Finish::Tanh } else { Finish::Nothing };
        let mut output = shape.empty(shape.outputs);
        let input = values(x).chunks_exact(shape.rows * shape.inputs);
        let places = values_mut(&mut output).chunks_exact_mut(shape.rows * shape.outputs);
        for (seed, (input, place)) in input.zip(places).enumerate() {
            let [weight, bias] = [self.weight, self.bias].map(|index| parameters.of(index, seed));
            let done = sparse.and_then(|sparse| {
                multiply_sparse(isa, &sparse[seed], weight, bias, finish, place)
            });
            if done.is_none() {
                let weight = Panels::of(isa, weight, shape.inputs, shape.outputs);
                multiply(input, &weight, Some(bias), finish, place);
            }
        }
        match activation.filter(|_| !tanh) {
            Some(activation) => activate(activation, output),
            None => output,
        }
    }

    fn shape(&self, parameters: &Parameters, rows_of: &Tensor) -> Shape {
        let (size, weight) = (rows_of.size(), parameters.get(self.weight).size());
        let [seeds, rows, inputs, outputs] =
            [size[0], size[1], weight[1], weight[2]].map(|n| n as usize);
        Shape { seeds, rows, inputs, outputs }
    }

    /// Gathers the layer's gradient from that of its outputs, [seeds, rows, outputs].
    pub fn gather(
        &self,
        parameters: &Parameters,
        x: &Tensor,
        by_output: &Tensor,
        gradient: &mut Gradient,
    ) {
        self.gather_from(parameters, x, None, by_output, gradient);
    }

    fn gather_from(
        &self,
        parameters: &Parameters,
        x: &Tensor,
        sparse: Option<&[Sparse]>,
        by_output: &Tensor,
        gradient: &mut Gradient,
    ) {
        let shape = self.shape(parameters, x);
        let isa = shape.isa(parameters, x, shape.outputs);
        let suits = shape.inputs >= FEWEST_INPUTS && in_memory(by_output);
        let Some(isa) = isa.filter(|_| suits) else {
            gradient.put(parameters, self.weight, &x.transpose(1, 2).bmm(by_output));
            let sums = by_output.sum_dim_intlist(1, false, None);
            return gradient.put(parameters, self.bias, &sums);
        };
        let inputs = values(x).chunks_exact(shape.rows * shape.inputs);
        let by_outputs = values(by_output).chunks_exact(shape.rows * shape.outputs);
        for (seed, (input, by_output)) in inputs.zip(by_outputs).enumerate() {
            let place = gradient.place(parameters, self.weight, seed);
            match sparse {
                Some(sparse) => multiply_transposed_sparse(isa, &sparse[seed], by_output, place),
                None => multiply_transposed(isa, input, by_output, shape.rows, place),
            }
            column_sums(isa, by_output, gradient.place(parameters, self.bias, seed));
        }
    }

    /// The gradient by the layer's inputs, [seeds, rows, inputs].
    pub fn by_input(&self, parameters: &Parameters, by_output: &Tensor) -> Tensor {
        self.by_activation(parameters, by_output, None)
    }

    /// `by_input`, then back through the activation that gave the inputs.
    fn by_activation(
        &self,
        parameters: &Parameters,
        by_output: &Tensor,
        activation: Option<(Activation, &Tensor)>,
    ) -> Tensor {
        let shape = self.shape(parameters, by_output);
        let Some(isa) = shape.isa(parameters, by_output, shape.inputs) else {
            let by_input = by_output.bmm(&parameters.get(self.weight).transpose(1, 2));
            return match activation {
                Some((activation, input)) => through_activation(activation, &by_input, input),
                None => by_input,
            };
        };
        let fused = activation
            .filter(|(activation, input)| *activation == Activation::Tanh && in_memory(input));
        let mut by_input = shape.empty(shape.inputs);
        let size = shape.rows * shape.inputs;
        let by_outputs = values(by_output).chunks_exact(shape.rows * shape.outputs);
        let places = values_mut(&mut by_input).chunks_exact_mut(size);
        for (seed, (by_output, place)) in by_outputs.zip(places).enumerate() {
            let weight = parameters.of(self.weight, seed);
            let weight = Panels::of_transposed(isa, weight, shape.outputs, shape.inputs);
            let finish = fused.map_or(Finish::Nothing, |(_, input)| {
                Finish::TanhBackward(&values(input)[seed * size..(seed + 1) * size])
            });
            multiply(by_output, &weight, None, finish, place);
        }
        match activation.filter(|_| fused.is_none()) {
            Some((activation, input)) => through_activation(activation, &by_input, input),
            None => by_input,
        }
    }
}

/// Smaller products are MKL's, which takes their terms in another order.
const FEWEST_COLUMNS: usize = 12;
const FEWEST_ROWS: usize = 64;
const FEWEST_INPUTS: usize = 10;

/// What a linear layer maps.
#[derive(Debug, Clone, Copy)]
struct Shape {
    seeds: usize,
    rows: usize,
    inputs: usize,
    outputs: usize,
}

impl Shape {
    /// [seeds, rows, columns], for `kernels` to fill.
    fn empty(self, columns: usize) -> Tensor {
        let size = [self.seeds, self.rows, columns].map(|n| n as i64);
        Tensor::empty(size, (Kind::Float, Device::Cpu))
    }

    /// What kernels compute a product with so many columns with; none where it is for libtorch.
    fn isa(self, parameters: &Parameters, operand: &Tensor, columns: usize) -> Option<Isa> {
        let suits = columns >= FEWEST_COLUMNS && self.rows >= FEWEST_ROWS && in_memory(operand);
        parameters.isa.filter(|_| suits)
    }
}

/// tanh(x) = 2σ(2x) − 1, in place: much faster than libtorch's tanh on a CPU, and within a
/// rounding of 1 of it, which is what a bounded activation needs.
pub fn tanh(mut x: Tensor) -> Tensor {
    let _ = x.g_mul_scalar_(2.0).sigmoid_().g_mul_scalar_(2.0).g_sub_scalar_(1.0);
    x
}

/// Applies an activation in place.
fn activate(activation: Activation, mut x: Tensor) -> Tensor {
    match activation {
        Activation::Tanh => tanh(x),
        Activation::Relu => x.relu_(),
        Activation::Sigmoid => x.sigmoid_(),
    }
}

/// The gradient by the input from that by the output and the output itself.
fn through_activation(activation: Activation, by_output: &Tensor, output: &Tensor) -> Tensor {
    match activation {
        Activation::Tanh => Tensor::tanh_backward(by_output, output),
        Activation::Relu => output.threshold_backward(by_output, 0.0),
        Activation::Sigmoid => Tensor::sigmoid_backward(by_output, output),
    }
}

/// Linear layers with an activation between them and a linear last layer.
#[derive(Debug, Clone)]
pub struct Mlp {
    layers: Vec<Linear>,
    activation: Activation,
}

impl Mlp {
    /// Layers from `widths[0]` inputs to `widths[last]` outputs.
    ///
    /// # Panics
    /// If there are fewer than two widths.
    pub fn new(
        name: &str,
        widths: &[i64],
        activation: Activation,
        specs: &mut Vec<ParameterSpec>,
    ) -> Self {
        assert!(widths.len() > 1, "a network has at least one layer");
        let layer = |(number, pair): (usize, &[i64])| {
            Linear::new(&format!("{name}.{number}"), pair[0], pair[1], specs)
        };
        Self { layers: widths.windows(2).enumerate().map(layer).collect(), activation }
    }

    /// From x, `[seeds, rows, widths[0]]`.
    pub fn forward(&self, parameters: &Parameters, x: &Tensor) -> Activations {
        let sparse = self.sparse(parameters, x);
        let mut tensors = vec![x.shallow_clone()];
        for (number, layer) in self.layers.iter().enumerate() {
            let hidden = number + 1 < self.layers.len();
            let sparse = sparse.as_deref().filter(|_| number == 0);
            tensors.push(layer.activated(
                parameters,
                &tensors[number],
                sparse,
                hidden.then_some(self.activation),
            ));
        }
        Activations { tensors, sparse }
    }

    /// What is not zero in the network's inputs, where that is worth knowing.
    fn sparse(&self, parameters: &Parameters, x: &Tensor) -> Option<Vec<Sparse>> {
        let shape = self.layers[0].shape(parameters, x);
        let isa = shape.isa(parameters, x, shape.outputs);
        let isa = isa.filter(|_| Sparse::WORTH.contains(&shape.inputs))?;
        let of_seed = |rows| Sparse::of(isa, rows, shape.inputs);
        values(x).chunks_exact(shape.rows * shape.inputs).map(of_seed).collect()
    }

    /// Gathers every layer's gradient from that of the network's outputs; `activations` are what
    /// `forward` returned. Returns the gradient by the first layer's outputs before its activation, from
    /// which `by_input` goes on where it is needed.
    pub fn backward(
        &self,
        parameters: &Parameters,
        activations: &Activations,
        by_output: Tensor,
        gradient: &mut Gradient,
    ) -> Tensor {
        let mut by_sum = by_output;
        let Activations { tensors, sparse } = activations;
        for (number, layer) in self.layers.iter().enumerate().rev() {
            let sparse = sparse.as_deref().filter(|_| number == 0);
            layer.gather_from(parameters, &tensors[number], sparse, &by_sum, gradient);
            if number > 0 {
                by_sum = layer.by_activation(
                    parameters,
                    &by_sum,
                    Some((self.activation, &tensors[number])),
                );
            }
        }
        by_sum
    }

    /// The gradient by the network's input from what `backward` returned.
    pub fn by_input(&self, parameters: &Parameters, by_first: &Tensor) -> Tensor {
        self.layers[0].by_input(parameters, by_first)
    }
}

/// A pass through a network.
#[derive(Debug)]
pub struct Activations {
    /// The input, then the output of every layer.
    tensors: Vec<Tensor>,
    /// What is not zero in the input, seed by seed, where that is little.
    sparse: Option<Vec<Sparse>>,
}

impl Activations {
    /// The network's, `[seeds, rows, widths[last]]`.
    pub fn output(&self) -> &Tensor {
        &self.tensors[self.tensors.len() - 1]
    }
}

/// Adam (Kingma and Ba, 2015, algorithm 1) on flat [seeds, count] parameters.
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
                [&parameters.flat, &self.first, &self.second]
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
                let targets = [&mut parameters.flat, &mut self.first, &mut self.second];
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
        let targets = values_mut(&mut parameters.flat).chunks_exact_mut(count).zip(&self.steps);
        for ((target, &steps), (first, root)) in targets.zip(sources) {
            let rate = rate(steps.max(1)) as f32 * -self.learning_rate as f32;
            move_values(isa, target, first, root, rate, epsilon(steps.max(1)) as f32);
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
        let _ = parameters.flat.addcmul_(&direction, &rate);
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

    /// Of a gradient that is 1 at every step Adam's moments, freed of their bias, are 1: each step moves by α/(1+ε).
    #[test]
    fn a_seed_that_is_idle_now_and_then_moves_by_its_own_count_of_steps_also_after_a_thousand() {
        let spec =
            ParameterSpec { name: "w".into(), shape: vec![2], initial: Initial::Constant(0.0) };
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
