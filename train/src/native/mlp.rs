//! Back through linear layers on CPU cores: products by `kernels` where they suit, by libtorch elsewhere.
//! `nn::linear` has the way forward.

use tch::Tensor;

use crate::kernels::product::{Finish, Panels, multiply, multiply_transposed};
use crate::kernels::sparse::{Sparse, multiply_transposed_sparse};
use crate::kernels::sums::column_sums;
use crate::model::Activation;
use crate::nn::linear::{Activations, Linear, Mlp};
use crate::nn::parameters::{Parameters, in_memory, values, values_mut};

/// The fewest inputs of a layer whose weight's gradient kernels compute.
const FEWEST_INPUTS: usize = 10;

/// The gradient of a loss, gathered parameter by parameter while going back through a network.
#[derive(Debug)]
pub struct Gradient<'a> {
    parameters: &'a Parameters,
    /// [seeds, count], in the order of the parameters.
    flat: Tensor,
    /// The parameters that are still to come.
    missing: Vec<bool>,
}

impl<'a> Gradient<'a> {
    /// Nothing gathered yet.
    pub fn new(parameters: &'a Parameters) -> Self {
        let missing = vec![true; parameters.specs().len()];
        Self { parameters, flat: parameters.flat().empty_like(), missing }
    }

    /// [seeds, count], in the order of the parameters.
    ///
    /// # Panics
    /// If a parameter has no gradient: the step then forgot one of its layers.
    pub fn flat(self) -> Tensor {
        assert!(!self.missing.contains(&true), "every layer was visited");
        self.flat
    }

    /// Files the gradient with respect to one parameter, [seeds, shape…].
    fn put(&mut self, index: usize, gradient: &Tensor) {
        let place = self.parameters.place(index, 0);
        let (start, count) = (place.start as i64, place.len() as i64);
        self.flat.narrow(1, start, count).copy_(&gradient.reshape([-1, count]));
        self.missing[index] = false;
    }

    /// Where the gradient with respect to one parameter of one seed is to be written.
    fn place(&mut self, index: usize, seed: usize) -> &mut [f32] {
        self.missing[index] = false;
        &mut values_mut(&mut self.flat)[self.parameters.place(index, seed)]
    }

    /// Gathers every layer's gradient from that of the network's outputs. Returns the gradient with respect
    /// to the first layer's outputs before its activation, from which `d_input` goes on.
    pub fn back(&mut self, mlp: &Mlp, activations: &Activations, d_output: Tensor) -> Tensor {
        let mut d_sum = d_output;
        let Activations { tensors, sparse } = activations;
        for (number, layer) in mlp.layers.iter().enumerate().rev() {
            let sparse = sparse.as_deref().filter(|_| number == 0);
            self.gather(layer, &tensors[number], sparse, &d_sum);
            if number > 0 {
                let activation = Some((mlp.activation, &tensors[number]));
                d_sum = through_layer(self.parameters, layer, &d_sum, activation);
            }
        }
        d_sum
    }

    /// The gradient with respect to the network's input from what `back` returned.
    pub fn d_input(&self, mlp: &Mlp, d_first: &Tensor) -> Tensor {
        through_layer(self.parameters, &mlp.layers[0], d_first, None)
    }

    /// Gathers a layer's gradient from its inputs x and that of its outputs, [seeds, rows, outputs];
    /// `sparse` is what is not zero in x, seed by seed.
    fn gather(&mut self, layer: &Linear, x: &Tensor, sparse: Option<&[Sparse]>, d_output: &Tensor) {
        let shape = layer.shape(self.parameters, x);
        let isa = shape.isa(self.parameters, x, shape.outputs);
        let suits = shape.inputs >= FEWEST_INPUTS && in_memory(d_output);
        let Some(isa) = isa.filter(|_| suits) else {
            self.put(layer.weight, &x.transpose(1, 2).bmm(d_output));
            return self.put(layer.bias, &d_output.sum_dim_intlist(1, false, None));
        };
        let inputs = values(x).chunks_exact(shape.rows * shape.inputs);
        let d_outputs = values(d_output).chunks_exact(shape.rows * shape.outputs);
        for (seed, (input, d_output)) in inputs.zip(d_outputs).enumerate() {
            let place = self.place(layer.weight, seed);
            match sparse {
                Some(sparse) => multiply_transposed_sparse(&sparse[seed], d_output, place),
                None => multiply_transposed(isa, input, d_output, shape.rows, place),
            }
            column_sums(isa, d_output, self.place(layer.bias, seed));
        }
    }
}

/// The gradient with respect to a layer's inputs, [seeds, rows, inputs], and back through the activation
/// that gave them.
fn through_layer(
    parameters: &Parameters,
    layer: &Linear,
    d_output: &Tensor,
    activation: Option<(Activation, &Tensor)>,
) -> Tensor {
    let shape = layer.shape(parameters, d_output);
    let Some(isa) = shape.isa(parameters, d_output, shape.inputs) else {
        let d_input = d_output.bmm(&parameters.get(layer.weight).transpose(1, 2));
        return match activation {
            Some((activation, input)) => through_activation(activation, &d_input, input),
            None => d_input,
        };
    };
    let fused = activation
        .filter(|(activation, input)| *activation == Activation::Tanh && in_memory(input));
    let mut d_input = shape.empty(shape.inputs);
    let size = shape.rows * shape.inputs;
    let d_outputs = values(d_output).chunks_exact(shape.rows * shape.outputs);
    let places = values_mut(&mut d_input).chunks_exact_mut(size);
    for (seed, (d_output, place)) in d_outputs.zip(places).enumerate() {
        let weight = parameters.of(layer.weight, seed);
        let weight = Panels::of_transposed(isa, weight, shape.outputs, shape.inputs);
        let finish = fused.map_or(Finish::Nothing, |(_, input)| {
            Finish::TanhBackward(&values(input)[seed * size..(seed + 1) * size])
        });
        multiply(d_output, &weight, None, finish, place);
    }
    match activation.filter(|_| fused.is_none()) {
        Some((activation, input)) => through_activation(activation, &d_input, input),
        None => d_input,
    }
}

/// The gradient with respect to an activation's input from that of its output and the output itself.
fn through_activation(activation: Activation, d_output: &Tensor, output: &Tensor) -> Tensor {
    match activation {
        Activation::Tanh => Tensor::tanh_backward(d_output, output),
        // the receiver is the output: tch's order is not libtorch's
        Activation::Relu => output.threshold_backward(d_output, 0.0),
        Activation::Sigmoid => Tensor::sigmoid_backward(d_output, output),
    }
}
