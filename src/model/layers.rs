//! Layers with the seed axis first: a parameter is [seeds, …], an activation [seeds, rows, features].
//! All parameters of a model lie in one flat [seeds, count] tensor, so the optimiser, gradient
//! clipping and digests each are a few operations on it; the layers see views of it.

use tch::{Device, Tensor, no_grad};

use super::Activation;
use crate::random::{Numbers, Stream};

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

/// Parameters of one model under several seeds.
#[derive(Debug)]
pub struct Parameters {
    specs: Vec<ParameterSpec>,
    /// [seeds, count of all parameters]
    flat: Tensor,
    /// Views of `flat`, [seeds, shape…], in the order of `specs`.
    views: Vec<Tensor>,
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
        let views = specs
            .iter()
            .map(|spec| {
                let mut shape = vec![seeds];
                shape.extend(&spec.shape);
                let view = flat.narrow(1, start, spec.count()).view(shape.as_slice());
                start += spec.count();
                view
            })
            .collect();
        Self { specs, flat, views }
    }

    /// The same values in storage of their own.
    pub fn copy(&self) -> Self {
        Self::from_flat(self.specs.clone(), self.flat.copy())
    }

    /// One seed's parameters alone, [1, …], sharing storage.
    pub fn of_seed(&self, index: usize) -> Self {
        Self::from_flat(self.specs.clone(), self.flat.narrow(0, index as i64, 1))
    }

    /// All values, [seeds, count].
    pub fn flat(&self) -> &Tensor {
        &self.flat
    }

    /// One parameter, [seeds, shape…].
    pub fn get(&self, index: usize) -> &Tensor {
        &self.views[index]
    }
}

/// The gradient of a loss, gathered parameter by parameter while going back through a network.
#[derive(Debug)]
pub struct Gradient(Vec<Option<Tensor>>);

impl Gradient {
    /// Nothing gathered yet.
    pub fn new(parameters: &Parameters) -> Self {
        Self(parameters.specs.iter().map(|_| None).collect())
    }

    /// Files the gradient by one parameter, [seeds, shape…].
    pub fn put(&mut self, index: usize, gradient: Tensor) {
        self.0[index] = Some(gradient);
    }

    /// [seeds, count], in the order of the parameters.
    ///
    /// # Panics
    /// If a parameter has no gradient: the model then forgot one of its layers.
    pub fn flat(self) -> Tensor {
        let flatten = |part: Option<Tensor>| part.expect("every layer was visited").flatten(1, -1);
        Tensor::cat(&self.0.into_iter().map(flatten).collect::<Vec<_>>(), 1)
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
        parameters.get(self.bias).unsqueeze(1).baddbmm(x, parameters.get(self.weight), 1.0, 1.0)
    }

    /// Gathers the layer's gradient from that of its outputs, [seeds, rows, outputs].
    pub fn gather(&self, x: &Tensor, by_output: &Tensor, gradient: &mut Gradient) {
        gradient.put(self.weight, x.transpose(1, 2).bmm(by_output));
        gradient.put(self.bias, by_output.sum_dim_intlist(1, false, None));
    }

    /// The gradient by the layer's inputs, [seeds, rows, inputs].
    pub fn by_input(&self, parameters: &Parameters, by_output: &Tensor) -> Tensor {
        by_output.bmm(&parameters.get(self.weight).transpose(1, 2))
    }
}

/// tanh(x) = 2σ(2x) − 1, in place: much faster than libtorch's tanh on a CPU, and within a
/// rounding of 1 of it, which is what a bounded activation needs.
pub fn tanh(mut x: Tensor) -> Tensor {
    let _ = x.g_mul_scalar_(2.0).sigmoid_().g_mul_scalar_(2.0).g_sub_scalar_(1.0);
    x
}

impl Activation {
    /// In place.
    fn forward(self, mut x: Tensor) -> Tensor {
        match self {
            Self::Tanh => tanh(x),
            Self::Relu => x.relu_(),
            Self::Sigmoid => x.sigmoid_(),
        }
    }

    /// The gradient by the input from that by the output and the output itself.
    fn backward(self, by_output: &Tensor, output: &Tensor) -> Tensor {
        match self {
            Self::Tanh => Tensor::tanh_backward(by_output, output),
            Self::Relu => output.threshold_backward(by_output, 0.0),
            Self::Sigmoid => Tensor::sigmoid_backward(by_output, output),
        }
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

    /// The input, [seeds, rows, widths[0]], and the output of every layer; the network's own is the
    /// last.
    pub fn forward(&self, parameters: &Parameters, x: &Tensor) -> Vec<Tensor> {
        let mut activations = vec![x.shallow_clone()];
        for (number, layer) in self.layers.iter().enumerate() {
            let sum = layer.forward(parameters, &activations[number]);
            let hidden = number + 1 < self.layers.len();
            activations.push(if hidden { self.activation.forward(sum) } else { sum });
        }
        activations
    }

    /// Gathers every layer's gradient from that of the network's outputs; `activations` are what
    /// `forward` returned. Returns the gradient by the first layer's outputs before its activation, from
    /// which `by_input` goes on where it is needed.
    pub fn backward(
        &self,
        parameters: &Parameters,
        activations: &[Tensor],
        by_output: Tensor,
        gradient: &mut Gradient,
    ) -> Tensor {
        let mut by_sum = by_output;
        for (number, layer) in self.layers.iter().enumerate().rev() {
            layer.gather(&activations[number], &by_sum, gradient);
            if number > 0 {
                let by_activation = layer.by_input(parameters, &by_sum);
                by_sum = self.activation.backward(&by_activation, &activations[number]);
            }
        }
        by_sum
    }

    /// The gradient by the network's input from what `backward` returned.
    pub fn by_input(&self, parameters: &Parameters, by_first: &Tensor) -> Tensor {
        self.layers[0].by_input(parameters, by_first)
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
        }
    }

    /// Moves the parameters of every `active` seed against its gradient, [seeds, count]; the other
    /// seeds and their moments stay as they are.
    pub fn step(&mut self, parameters: &mut Parameters, gradient: &Tensor, active: &[bool]) {
        no_grad(|| {
            let idle: Vec<i64> =
                (0..active.len()).filter(|&s| !active[s]).map(|s| s as i64).collect();
            let idle = Tensor::from_slice(&idle).to_device(gradient.device());
            let kept = (idle.numel() > 0).then(|| {
                [&parameters.flat, &self.first, &self.second].map(|t| t.index_select(0, &idle))
            });
            for (steps, _) in self.steps.iter_mut().zip(active).filter(|(_, active)| **active) {
                *steps += 1;
            }
            let _ = self.first.lerp_(gradient, 1.0 - BETA1);
            let _ = self.second.lerp_(&(gradient * gradient), 1.0 - BETA2);
            self.move_parameters(parameters);
            if let Some(kept) = kept {
                let targets = [&mut parameters.flat, &mut self.first, &mut self.second];
                for (target, values) in targets.into_iter().zip(&kept) {
                    let _ = target.index_copy_(0, &idle, values);
                }
            }
        });
    }

    /// θ ← θ − α·√(1−β₂ᵗ)/(1−β₁ᵗ) · m / (√v + ε·√(1−β₂ᵗ)), with each seed's own t.
    fn move_parameters(&self, parameters: &mut Parameters) {
        let per_seed = |value: fn(i32) -> f64| {
            let values: Vec<f64> = self.steps.iter().map(|&t| value(t.max(1))).collect();
            Tensor::from_slice(&values)
                .unsqueeze(1)
                .to_kind(self.first.kind())
                .to_device(self.first.device())
        };
        let rate = per_seed(|t| (1.0 - BETA2.powi(t)).sqrt() / (1.0 - BETA1.powi(t)));
        let epsilon = per_seed(|t| EPSILON * (1.0 - BETA2.powi(t)).sqrt());
        let direction = &self.first / (self.second.sqrt() + epsilon);
        let _ = parameters.flat.addcmul_(&direction, &(rate * -self.learning_rate));
    }
}
