//! What lies between linear layers.

use tch::Tensor;

use seedbed::model::Activation;

/// tanh(x). Where no gradient is recorded by 2σ(2x) − 1, in place: much faster than libtorch's tanh on a
/// CPU, and within a rounding of 1 of it, which is what a bounded activation needs.
pub fn tanh(mut x: Tensor) -> Tensor {
    if x.requires_grad() {
        return x.tanh();
    }
    let _ = x.g_mul_scalar_(2.0).sigmoid_().g_mul_scalar_(2.0).g_sub_scalar_(1.0);
    x
}

/// Applies an activation, in place where that can be.
pub(crate) fn activate(activation: Activation, mut x: Tensor) -> Tensor {
    match activation {
        Activation::Tanh => tanh(x),
        Activation::Relu => x.relu_(),
        Activation::Sigmoid => x.sigmoid_(),
    }
}
