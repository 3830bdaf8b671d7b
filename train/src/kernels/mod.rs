//! Machine code on slices of numbers, for models that are too small for a library's overhead. Knows no
//! model, no tensor and nothing else of this crate. Every kernel takes an `Isa`, is compiled for each kind
//! of registers and gives the same bits with all of them.

mod arch;
mod exp;
pub mod gather;
pub mod images;
pub mod pointwise;
pub mod product;
pub mod sparse;
pub mod sums;
#[cfg(test)]
mod tests;

pub use arch::{Isa, Work};
