//! Linear layers with the seed axis first: a parameter is [seeds, …], an activation
//! [seeds, rows, features]. Forward passes alone: by kernels where rows lie in memory and no gradient is
//! recorded, by libtorch elsewhere.

use tch::{Device, Kind, Tensor};

use super::activation::activate;
use super::parameters::{Initial, ParameterSpec, Parameters, in_memory, values, values_mut};
use crate::kernels::Isa;
use crate::kernels::product::{Finish, Panels, multiply};
use crate::kernels::sparse::{Sparse, multiply_sparse};
use seedbed::model::Activation;

/// y = x·W + b for every seed; the numbers are the parameters' indices.
#[derive(Debug, Clone, Copy)]
pub struct Linear {
    pub(crate) weight: usize,
    pub(crate) bias: usize,
}

impl Linear {
    /// Adds the layer's parameters, initialised as PyTorch does: uniform in ±1/√inputs.
    pub fn new(name: &str, inputs: i64, outputs: i64, specs: &mut Vec<ParameterSpec>) -> Self {
        let bound = 1.0 / (inputs as f64).sqrt();
        let mut add = |suffix: &str, shape: Vec<i64>| {
            let (name, initial) = (format!("{name}.{suffix}"), Initial::Uniform(bound));
            specs.push(ParameterSpec { name, shape, initial, trained: true });
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
            return match activation {
                Some(activation) => activate(activation, sum),
                None => sum,
            };
        };
        let tanh = activation == Some(Activation::Tanh);
        let finish = if tanh { Finish::Tanh } else { Finish::Nothing };
        let mut output = shape.empty(shape.outputs);
        let input = values(x).chunks_exact(shape.rows * shape.inputs);
        let places = values_mut(&mut output).chunks_exact_mut(shape.rows * shape.outputs);
        for (seed, (input, place)) in input.zip(places).enumerate() {
            let [weight, bias] = [self.weight, self.bias].map(|index| parameters.of(index, seed));
            let done = sparse
                .and_then(|sparse| multiply_sparse(&sparse[seed], weight, bias, finish, place));
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

    /// What the layer maps where `rows_of` has so many seeds and rows.
    pub(crate) fn shape(&self, parameters: &Parameters, rows_of: &Tensor) -> Shape {
        let (size, weight) = (rows_of.size(), parameters.get(self.weight).size());
        let [seeds, rows, inputs, outputs] =
            [size[0], size[1], weight[1], weight[2]].map(|n| n as usize);
        Shape { seeds, rows, inputs, outputs }
    }
}

/// The fewest outputs and rows of a product that kernels compute. Smaller ones are MKL's, which takes their
/// terms in another order.
const FEWEST_COLUMNS: usize = 12;
const FEWEST_ROWS: usize = 64;

/// What a linear layer maps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) seeds: usize,
    pub(crate) rows: usize,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
}

impl Shape {
    /// [seeds, rows, columns], for `kernels` to fill.
    pub(crate) fn empty(self, columns: usize) -> Tensor {
        let size = [self.seeds, self.rows, columns].map(|n| n as i64);
        Tensor::empty(size, (Kind::Float, Device::Cpu))
    }

    /// What kernels compute a product with so many columns with; none where it is for libtorch.
    pub(crate) fn isa(
        self,
        parameters: &Parameters,
        operand: &Tensor,
        columns: usize,
    ) -> Option<Isa> {
        let suits = columns >= FEWEST_COLUMNS && self.rows >= FEWEST_ROWS && in_memory(operand);
        parameters.isa.filter(|_| suits)
    }
}

/// Linear layers with an activation between them and a linear last layer.
#[derive(Debug, Clone)]
pub struct Mlp {
    pub(crate) layers: Vec<Linear>,
    pub(crate) activation: Activation,
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

    /// `[seeds, rows, widths[0]]` → `[seeds, rows, widths[last]]`
    pub fn forward(&self, parameters: &Parameters, x: &Tensor) -> Tensor {
        self.pass(parameters, x).output().shallow_clone()
    }

    /// `forward`, and what every layer gave on the way.
    pub(crate) fn pass(&self, parameters: &Parameters, x: &Tensor) -> Activations {
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
}

/// A pass through a network.
#[derive(Debug)]
pub(crate) struct Activations {
    /// The input, then the output of every layer.
    pub(crate) tensors: Vec<Tensor>,
    /// What is not zero in the input, seed by seed, where that is little.
    pub(crate) sparse: Option<Vec<Sparse>>,
}

impl Activations {
    /// The network's, `[seeds, rows, widths[last]]`.
    pub(crate) fn output(&self) -> &Tensor {
        &self.tensors[self.tensors.len() - 1]
    }
}
