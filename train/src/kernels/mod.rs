//! Machine code on slices of numbers, for models that are too small for a library's overhead. Knows no
//! model, no tensor and nothing else of this crate.

pub mod dense;
pub mod images;
mod lanes;
