//! The papers' mathematics, one file a model: forward pass, loss and scores, with equation numbers.
//! `detector` is what training and scoring ask of any of them. The `[model]` tables are the harness's.

pub mod conv_vae;
pub mod dagmm;
mod detector;
pub mod mixture;
pub mod vae;
pub mod variational;

pub use detector::*;
pub use seedbed::model::*;
