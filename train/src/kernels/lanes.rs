//! Vector registers of f32 on x86-64, of 8 and of 16 lanes, so that `kernels` and `conv_kernels` are
//! written once for both. What is computed with them lane by lane has the same bits in either.

use std::arch::x86_64::{
    __m256, __m256i, __m512, __mmask16, _mm256_add_epi32, _mm256_add_ps, _mm256_castsi256_ps,
    _mm256_cvtepi32_ps, _mm256_cvtps_epi32, _mm256_div_ps, _mm256_fmadd_ps, _mm256_loadu_ps,
    _mm256_loadu_si256, _mm256_maskload_ps, _mm256_maskstore_ps, _mm256_max_ps, _mm256_min_ps,
    _mm256_mul_ps, _mm256_set1_epi32, _mm256_set1_ps, _mm256_setzero_ps, _mm256_slli_epi32,
    _mm256_storeu_ps, _mm256_sub_ps, _mm512_add_epi32, _mm512_add_ps, _mm512_castsi512_ps,
    _mm512_cvtepi32_ps, _mm512_cvtps_epi32, _mm512_div_ps, _mm512_fmadd_ps, _mm512_loadu_ps,
    _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps, _mm512_max_ps, _mm512_min_ps, _mm512_mul_ps,
    _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps, _mm512_slli_epi32, _mm512_storeu_ps,
    _mm512_sub_ps,
};

/// A register.
///
/// # Safety
/// Every function needs a processor with the register's instructions (AVX2 and FMA, or AVX-512F), and
/// is fast only inlined into a function that has them enabled.
pub trait Register: Copy {
    /// f32 numbers in a register.
    const COUNT: usize;

    /// Zeros.
    unsafe fn zero() -> Self;

    /// One number in every lane.
    unsafe fn splat(value: f32) -> Self;

    /// `COUNT` numbers from `place` on.
    unsafe fn read(place: *const f32) -> Self;

    /// The first `count` of `COUNT` numbers from `place` on, then zeros.
    unsafe fn read_first(place: *const f32, count: usize) -> Self;

    /// As many numbers as there are, at most `COUNT`, then zeros.
    #[inline(always)]
    unsafe fn load(values: &[f32]) -> Self {
        // SAFETY: no more numbers than there are are read
        unsafe {
            match values.len() {
                length if length >= Self::COUNT => Self::read(values.as_ptr()),
                length => Self::read_first(values.as_ptr(), length),
            }
        }
    }

    /// All lanes, from `place` on.
    unsafe fn write(self, place: *mut f32);

    /// As many lanes as there are places, at most `COUNT`.
    unsafe fn store(self, into: &mut [f32]);

    unsafe fn add(self, other: Self) -> Self;

    unsafe fn minus(self, other: Self) -> Self;

    unsafe fn times(self, other: Self) -> Self;

    unsafe fn over(self, other: Self) -> Self;

    /// Not below −bound and not above it; what is not a number stays.
    unsafe fn within(self, bound: f32) -> Self;

    /// The nearest whole numbers n, and 2ⁿ; within ±126.
    unsafe fn whole(self) -> [Self; 2];

    /// self · factor + sum, rounded once.
    unsafe fn times_plus(self, factor: Self, sum: Self) -> Self;
}

impl Register for __m256 {
    const COUNT: usize = 8;

    #[inline(always)]
    unsafe fn zero() -> Self {
        unsafe { _mm256_setzero_ps() }
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        unsafe { _mm256_set1_ps(value) }
    }

    #[inline(always)]
    unsafe fn read(place: *const f32) -> Self {
        unsafe { _mm256_loadu_ps(place) }
    }

    #[inline(always)]
    unsafe fn write(self, place: *mut f32) {
        unsafe { _mm256_storeu_ps(place, self) }
    }

    #[inline(always)]
    unsafe fn read_first(place: *const f32, count: usize) -> Self {
        unsafe { _mm256_maskload_ps(place, mask(count)) }
    }

    #[inline(always)]
    unsafe fn store(self, into: &mut [f32]) {
        // SAFETY: no more lanes than there are places are written
        unsafe {
            match into.len() {
                8.. => _mm256_storeu_ps(into.as_mut_ptr(), self),
                length => _mm256_maskstore_ps(into.as_mut_ptr(), mask(length), self),
            }
        }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        unsafe { _mm256_add_ps(self, other) }
    }

    #[inline(always)]
    unsafe fn minus(self, other: Self) -> Self {
        unsafe { _mm256_sub_ps(self, other) }
    }

    #[inline(always)]
    unsafe fn times(self, other: Self) -> Self {
        unsafe { _mm256_mul_ps(self, other) }
    }

    #[inline(always)]
    unsafe fn over(self, other: Self) -> Self {
        unsafe { _mm256_div_ps(self, other) }
    }

    #[inline(always)]
    unsafe fn within(self, bound: f32) -> Self {
        // where one operand is not a number, the second is what comes out
        unsafe {
            let below = _mm256_min_ps(_mm256_set1_ps(bound), self);
            _mm256_max_ps(_mm256_set1_ps(-bound), below)
        }
    }

    #[inline(always)]
    unsafe fn whole(self) -> [Self; 2] {
        unsafe {
            let whole = _mm256_cvtps_epi32(self);
            let exponent = _mm256_add_epi32(whole, _mm256_set1_epi32(127));
            let power = _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent));
            [_mm256_cvtepi32_ps(whole), power]
        }
    }

    #[inline(always)]
    unsafe fn times_plus(self, factor: Self, sum: Self) -> Self {
        unsafe { _mm256_fmadd_ps(self, factor, sum) }
    }
}

/// The first `length` of eight lanes.
#[inline(always)]
unsafe fn mask(length: usize) -> __m256i {
    const ONES: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    // SAFETY: eight numbers from one of the first nine places of sixteen
    unsafe { _mm256_loadu_si256(ONES[8 - length.min(8)..].as_ptr().cast()) }
}

impl Register for __m512 {
    const COUNT: usize = 16;

    #[inline(always)]
    unsafe fn zero() -> Self {
        unsafe { _mm512_setzero_ps() }
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    unsafe fn read(place: *const f32) -> Self {
        unsafe { _mm512_loadu_ps(place) }
    }

    #[inline(always)]
    unsafe fn write(self, place: *mut f32) {
        unsafe { _mm512_storeu_ps(place, self) }
    }

    #[inline(always)]
    unsafe fn read_first(place: *const f32, count: usize) -> Self {
        unsafe { _mm512_maskz_loadu_ps(first(count), place) }
    }

    #[inline(always)]
    unsafe fn store(self, into: &mut [f32]) {
        // SAFETY: no more lanes than there are places are written
        unsafe {
            match into.len() {
                16.. => _mm512_storeu_ps(into.as_mut_ptr(), self),
                length => _mm512_mask_storeu_ps(into.as_mut_ptr(), first(length), self),
            }
        }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        unsafe { _mm512_add_ps(self, other) }
    }

    #[inline(always)]
    unsafe fn minus(self, other: Self) -> Self {
        unsafe { _mm512_sub_ps(self, other) }
    }

    #[inline(always)]
    unsafe fn times(self, other: Self) -> Self {
        unsafe { _mm512_mul_ps(self, other) }
    }

    #[inline(always)]
    unsafe fn over(self, other: Self) -> Self {
        unsafe { _mm512_div_ps(self, other) }
    }

    #[inline(always)]
    unsafe fn within(self, bound: f32) -> Self {
        // where one operand is not a number, the second is what comes out
        unsafe {
            let below = _mm512_min_ps(_mm512_set1_ps(bound), self);
            _mm512_max_ps(_mm512_set1_ps(-bound), below)
        }
    }

    #[inline(always)]
    unsafe fn whole(self) -> [Self; 2] {
        unsafe {
            let whole = _mm512_cvtps_epi32(self);
            let exponent = _mm512_add_epi32(whole, _mm512_set1_epi32(127));
            let power = _mm512_castsi512_ps(_mm512_slli_epi32::<23>(exponent));
            [_mm512_cvtepi32_ps(whole), power]
        }
    }

    #[inline(always)]
    unsafe fn times_plus(self, factor: Self, sum: Self) -> Self {
        unsafe { _mm512_fmadd_ps(self, factor, sum) }
    }
}

/// The first `length` of sixteen lanes.
#[inline(always)]
fn first(length: usize) -> __mmask16 {
    ((1u32 << length.min(16)) - 1) as __mmask16
}
