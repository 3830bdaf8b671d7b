//! What a model is: its part of an experiment file (`spec`), and what training and scoring ask of it
//! (`detector`). Models know tensors but no files. One file a model.

#[cfg(feature = "training")]
mod conv_core;
#[cfg(feature = "training")]
mod conv_kernels;
#[cfg(feature = "training")]
mod conv_layers;
#[cfg(feature = "training")]
pub mod conv_vae;
#[cfg(feature = "training")]
pub mod convolution;
#[cfg(feature = "training")]
pub mod dagmm;
#[cfg(feature = "training")]
mod dagmm_core;
#[cfg(feature = "training")]
mod detector;
#[cfg(feature = "training")]
mod kernels;
#[cfg(feature = "training")]
mod lanes;
#[cfg(feature = "training")]
pub mod layers;
#[cfg(feature = "training")]
pub mod mixture;
#[cfg(feature = "training")]
mod mixture_core;
#[cfg(feature = "training")]
mod noise;
#[cfg(feature = "training")]
mod real;
mod spec;
#[cfg(feature = "training")]
pub mod vae;
#[cfg(feature = "training")]
pub mod variational;

#[cfg(feature = "training")]
pub use detector::*;
#[cfg(feature = "training")]
pub use noise::Noise;
pub use spec::*;
