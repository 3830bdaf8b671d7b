//! What trains: models in tensors, the loop that trains them, and faster steps of the same models for
//! a CPU core. Its program, `seedbed-train`, gets jobs from `seedbed` and answers with messages
//! (docs/trainer.md); which runs there are, where they run and what is stored is the harness's
//! business, and everything that knows no tensor is in the crate `seedbed`.
//!
//! ```text
//! run        a job → data, split, scaling → training → scores → metrics → records
//! training   the loop over epochs and batches, and which step it takes
//! model      forward pass, loss and scores of each model, with the papers' equations
//! nn         layers, parameters and the optimiser that the models share
//! native     the same training steps for one CPU core, by kernels
//! kernels    machine code on slices; knows no model
//! ```

pub mod about;
pub mod determinism;
pub mod device;
mod kernels;
pub mod libtorch;
pub mod model;
pub mod native;
pub mod nn;
pub mod run;
pub mod training;
