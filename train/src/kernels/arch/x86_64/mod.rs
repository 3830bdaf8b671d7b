//! The vector registers of x86-64 processors.

mod avx2;
mod avx512;

use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

pub(crate) use avx2::{Avx2, F32x8};
pub(crate) use avx512::{Avx512, F32x16};

/// Has the processor fetch the memory around a value.
#[inline(always)]
pub(super) fn ask_for(value: &f32) {
    // SAFETY: every x86-64 processor has the instruction, and the value is there
    unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(value).cast()) };
}
