//! seedbed answers one question: does this paper's table reproduce?

pub mod dataset;
pub mod error;
pub mod libtorch;
pub mod metrics;
pub mod model;
pub mod random;
pub mod stats;
pub mod train;
