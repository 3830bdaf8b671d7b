//! Models and layers, values and gradients, against PyTorch, scipy and numpy in f64.

mod autoencoder;
mod conv_vae;
mod dagmm;
mod devices;
mod support;
mod vae;
