//! Convolutions with stride 2 and padding 1, their transposes, and batch normalisation. Activations are
//! [rows, height, width, seeds · channels], a seed's channels side by side: seeds are groups of one
//! convolution, and batch normalisation keeps them apart by itself. Channels come last because libtorch's
//! kernels for CPUs are fastest so.

use tch::Tensor;

use super::parameters::{Initial, ParameterSpec, Parameters};

/// Stride 2 and padding 1 of x with kernels [S·C', C, k, k]: [B, H, W, S·C] → [B, H/2, W/2, S·C'].
fn halve(x: &Tensor, kernels: &Tensor, seeds: i64) -> Tensor {
    let x = x.permute([0, 3, 1, 2]);
    x.conv2d(kernels, None::<Tensor>, [2, 2], [1, 1], [1, 1], seeds).permute([0, 2, 3, 1])
}

/// The transpose of `halve` with kernels [S·C, C', k, k]: [B, H, W, S·C] → [B, 2H, 2W, S·C'].
fn double(x: &Tensor, kernels: &Tensor, seeds: i64) -> Tensor {
    // an odd kernel does not reach the last row and column
    let extra = kernels.size()[2] % 2;
    x.permute([0, 3, 1, 2])
        .conv_transpose2d(kernels, None::<Tensor>, [2, 2], [1, 1], [extra, extra], seeds, [1, 1])
        .permute([0, 2, 3, 1])
        .contiguous()
}

/// `double` to one channel a seed, for which libtorch's kernel is slow: [B, H, W, S·C] →
/// [B, 2H, 2W, S], by kernels [S, C, 1, k, k].
fn double_to_one(x: &Tensor, kernels: &Tensor) -> Tensor {
    let [rows, height, width] = [0, 1, 2].map(|axis| x.size()[axis]);
    let [seeds, channels, k] = [0, 1, 3].map(|axis| kernels.size()[axis]);
    let pixels = x.reshape([-1, seeds, channels]).transpose(0, 1);
    pixels
        .bmm(&kernels.flatten(2, 4))
        .view([seeds * rows, height * width, k * k])
        .transpose(1, 2)
        .col2im([2 * height, 2 * width], [k, k], [1, 1], [1, 1], [2, 2])
        .view([seeds, rows, 2 * height, 2 * width])
        .permute([1, 2, 3, 0])
}

/// A convolution's weight, [outputs, inputs, k, k] or, transposed, [inputs, outputs, k, k].
#[derive(Debug, Clone, Copy)]
struct Weight(usize);

impl Weight {
    /// Adds the parameter, initialised by Glorot and Bengio (2010), equation 16.
    fn new(name: &str, shape: [i64; 4], specs: &mut Vec<ParameterSpec>) -> Self {
        let fans = (shape[0] + shape[1]) * shape[2] * shape[3];
        let initial = Initial::Uniform((6.0 / fans as f64).sqrt());
        let name = format!("{name}.weight");
        specs.push(ParameterSpec { name, shape: shape.to_vec(), initial, trained: true });
        Self(specs.len() - 1)
    }

    /// All seeds' kernels, [S·outputs, inputs, k, k], in storage of their own, channels last.
    fn kernels(&self, parameters: &Parameters) -> Tensor {
        let kernels = parameters.get(self.0).flatten(0, 1).permute([0, 2, 3, 1]).copy();
        kernels.contiguous().permute([0, 3, 1, 2])
    }
}

/// 3×3, stride 2, padding 1, no bias; the weight is [outputs, inputs, 3, 3].
#[derive(Debug, Clone, Copy)]
pub struct Convolution(Weight);

impl Convolution {
    /// Adds the layer's parameters, Xavier-uniform.
    pub fn new(name: &str, inputs: i64, outputs: i64, specs: &mut Vec<ParameterSpec>) -> Self {
        Self(Weight::new(name, [outputs, inputs, 3, 3], specs))
    }

    /// [B, H, W, S·inputs] → [B, H/2, W/2, S·outputs]
    pub fn forward(&self, parameters: &Parameters, x: &Tensor) -> Tensor {
        halve(x, &self.0.kernels(parameters), parameters.get(self.0.0).size()[0])
    }
}

/// 4×4, stride 2, padding 1, no bias; the weight is [inputs, outputs, 4, 4].
#[derive(Debug, Clone, Copy)]
pub struct TransposedConvolution(Weight);

impl TransposedConvolution {
    /// Adds the layer's parameters, Xavier-uniform.
    pub fn new(name: &str, inputs: i64, outputs: i64, specs: &mut Vec<ParameterSpec>) -> Self {
        Self(Weight::new(name, [inputs, outputs, 4, 4], specs))
    }

    /// [B, H, W, S·inputs] → [B, 2H, 2W, S·outputs]
    pub fn forward(&self, parameters: &Parameters, x: &Tensor) -> Tensor {
        let weight = parameters.get(self.0.0);
        match weight.size()[2] {
            1 => double_to_one(x, weight),
            _ => double(x, &self.0.kernels(parameters), weight.size()[0]),
        }
    }
}

/// Which mean and variance a batch is normalised by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statistics {
    /// Its own, as in training; moves the running ones.
    Batch,
    /// The running ones, as in scoring.
    Running,
}

/// Batch normalisation (Ioffe and Szegedy, 2015) of every channel, then ReLU. The running mean and
/// variance are parameters without a gradient, so that they are copied and digested as the others.
#[derive(Debug, Clone, Copy)]
pub struct BatchNorm {
    weight: usize,
    bias: usize,
    mean: usize,
    variance: usize,
}

/// PyTorch's defaults.
pub(crate) const EPSILON: f64 = 1e-5;
pub(crate) const MOMENTUM: f64 = 0.1;

impl BatchNorm {
    /// Adds the layer's parameters, with PyTorch's initial values.
    pub fn new(name: &str, channels: i64, specs: &mut Vec<ParameterSpec>) -> Self {
        let mut add = |suffix: &str, value: f64, trained: bool| {
            let (name, initial) = (format!("{name}.{suffix}"), Initial::Constant(value));
            specs.push(ParameterSpec { name, shape: vec![channels], initial, trained });
            specs.len() - 1
        };
        Self {
            weight: add("weight", 1.0, true),
            bias: add("bias", 0.0, true),
            mean: add("running_mean", 0.0, false),
            variance: add("running_var", 1.0, false),
        }
    }

    /// Normalises x, [B, H, W, S·C], and applies ReLU.
    pub fn forward(&self, parameters: &Parameters, x: &Tensor, by: Statistics) -> Tensor {
        let of = |index: usize| parameters.get(index).flatten(0, 1);
        let mean_over_pixels = |t: &Tensor| t.mean_dim([0i64, 1, 2].as_slice(), false, None);
        let (centred, variance) = match by {
            Statistics::Running => (x - of(self.mean), of(self.variance)),
            Statistics::Batch => {
                let mean = mean_over_pixels(x);
                let centred = x - &mean;
                let variance = mean_over_pixels(&(&centred * &centred));
                let count = (x.numel() as i64 / mean.size()[0]) as f64;
                // the running variance is n − 1's, the one normalised by is n's
                self.update(parameters, &mean, &(&variance * (count / (count - 1.0))));
                (centred, variance)
            }
        };
        let scale = (variance + EPSILON).rsqrt() * of(self.weight);
        of(self.bias).addcmul(&centred, &scale).relu()
    }

    fn update(&self, parameters: &Parameters, mean: &Tensor, variance: &Tensor) {
        for (index, value) in [(self.mean, mean), (self.variance, variance)] {
            let mut running = parameters.get(index).shallow_clone();
            let _ = running.lerp_(&value.detach().view_as(&running), MOMENTUM);
        }
    }
}
