//! The papers' mathematics, one file a model: forward pass, loss and scores, with equation numbers.
//! `network` is what training and scoring ask of any of them. The `[model]` tables are the harness's.

pub mod autoencoder;
mod batch;
pub mod conv_vae;
pub mod dagmm;
pub mod mixture;
mod network;
pub mod vae;
pub mod variational;

pub use batch::Batch;
pub use network::*;
pub use seedbed::model::*;

/// The widths of an encoder, from the features to the code, and of the decoder that mirrors it.
fn mirrored(features: usize, hidden: &[usize], latent: usize) -> [Vec<i64>; 2] {
    let widths = std::iter::once(&features).chain(hidden).chain([&latent]);
    let inward: Vec<i64> = widths.map(|&width| width as i64).collect();
    let outward = inward.iter().rev().copied().collect();
    [inward, outward]
}
