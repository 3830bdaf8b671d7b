//! What the networks are made of: parameters of many seeds in one tensor, layers, their gradient, Adam, and
//! the numbers that training steps draw. Layers are forward passes; a single product may be a kernel's.

pub mod activation;
pub mod adam;
pub mod autograd;
pub mod convolution;
pub mod linear;
mod noise;
pub mod parameters;

pub use adam::Adam;
pub use noise::Noise;
pub use parameters::{ParameterSpec, Parameters};
