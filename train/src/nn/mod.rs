//! What the networks are made of: parameters of many seeds in one tensor, layers, and Adam.

pub mod convolution;
pub mod layers;
