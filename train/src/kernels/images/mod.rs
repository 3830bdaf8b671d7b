//! The arithmetic of convolutional networks on blocks of 32 images. A block's images lie side by side, in
//! the lanes of vectors ([pixel][channel][image]), so that a convolution needs no patches: each tap
//! multiplies what lies at its pixel. Registers of any width give the same bits: a product's entry is one
//! chain of fused multiply-adds, and what is added across lanes is added in an order of its own.

mod pointwise;
mod product;

pub use pointwise::*;
pub use product::*;

/// Images of a block.
pub const IMAGES: usize = 32;
/// One number of every image of a block.
pub type Lanes = [f32; IMAGES];
/// Which lanes of a block hold images: all bits of those, none of the others.
pub type Mask = [u32; IMAGES];

/// Numbers of a block, [pixel][channel], and which of their lanes hold images.
#[derive(Debug, Clone, Copy)]
pub struct Images<'a> {
    pub lanes: &'a [Lanes],
    pub mask: &'a Mask,
}
