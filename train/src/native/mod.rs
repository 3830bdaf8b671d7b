//! Training steps of the models for one CPU core: the same step as `model`'s, on slices and by `kernels`.

pub mod conv_layers;
pub mod conv_vae;
pub mod dagmm;
pub mod mixture;
pub mod real;
