//! Registers of sixteen numbers: AVX-512.

use std::arch::x86_64::{
    __m512, __mmask16, _CMP_NEQ_UQ, _mm256_add_ps, _mm512_add_epi32, _mm512_add_ps,
    _mm512_castps512_ps256, _mm512_castsi512_ps, _mm512_cmp_ps_mask, _mm512_cvtepi32_ps,
    _mm512_cvtps_epi32, _mm512_div_ps, _mm512_extractf32x8_ps, _mm512_fmadd_ps, _mm512_loadu_ps,
    _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps, _mm512_max_ps, _mm512_min_ps, _mm512_mul_ps,
    _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps, _mm512_slli_epi32, _mm512_storeu_ps,
    _mm512_sub_ps,
};

use super::super::{Arithmetic, Register};
use super::{Avx2, F32x8};

/// The proof that this processor has AVX-512 (F, VL and DQ), and AVX2 and FMA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Avx512(Avx2);

impl Avx512 {
    pub(crate) fn detect() -> Option<Self> {
        let found = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512dq");
        Avx2::detect().filter(|_| found).map(Self)
    }
}

/// Sixteen numbers. One is made with an `Avx512` alone, which is why every instruction below is there.
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
pub(crate) struct F32x16(__m512);

/// The first `length` of sixteen lanes.
#[inline(always)]
fn first(length: usize) -> __mmask16 {
    ((1u32 << length.min(16)) - 1) as __mmask16
}

impl Arithmetic for F32x16 {
    #[inline(always)]
    fn like(self, value: f32) -> Self {
        // SAFETY: there is AVX-512, as `self` is
        Self(unsafe { _mm512_set1_ps(value) })
    }

    #[inline(always)]
    fn times(self, other: Self) -> Self {
        // SAFETY: there is AVX-512, as `self` is
        Self(unsafe { _mm512_mul_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn times_plus(self, factor: Self, sum: Self) -> Self {
        // SAFETY: there is AVX-512, as `self` is
        Self(unsafe { _mm512_fmadd_ps(self.0, factor.0, sum.0) })
    }
}

impl Register for F32x16 {
    type Proof = Avx512;
    const LANES: usize = 16;

    #[inline(always)]
    fn splat(_: Avx512, value: f32) -> Self {
        // SAFETY: there is AVX-512, as its proof is
        Self(unsafe { _mm512_set1_ps(value) })
    }

    #[inline(always)]
    fn zero(_: Avx512) -> Self {
        // SAFETY: there is AVX-512, as its proof is
        Self(unsafe { _mm512_setzero_ps() })
    }

    #[inline(always)]
    unsafe fn read(_: Avx512, place: *const f32) -> Self {
        // SAFETY: there is AVX-512, as its proof is; the numbers are the caller's
        Self(unsafe { _mm512_loadu_ps(place) })
    }

    #[inline(always)]
    unsafe fn read_first(_: Avx512, place: *const f32, count: usize) -> Self {
        // SAFETY: there is AVX-512, as its proof is; lanes beyond the caller's numbers are not read
        Self(unsafe { _mm512_maskz_loadu_ps(first(count), place) })
    }

    #[inline(always)]
    unsafe fn write(self, place: *mut f32) {
        // SAFETY: there is AVX-512, as `self` is; the places are the caller's
        unsafe { _mm512_storeu_ps(place, self.0) }
    }

    #[inline(always)]
    unsafe fn write_first(self, place: *mut f32, count: usize) {
        // SAFETY: there is AVX-512, as `self` is; lanes beyond the caller's places are not written
        unsafe { _mm512_mask_storeu_ps(place, first(count), self.0) }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: there is AVX-512, as `self` is
        Self(unsafe { _mm512_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn minus(self, other: Self) -> Self {
        // SAFETY: there is AVX-512, as `self` is
        Self(unsafe { _mm512_sub_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn over(self, other: Self) -> Self {
        // SAFETY: there is AVX-512, as `self` is
        Self(unsafe { _mm512_div_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn within(self, bound: f32) -> Self {
        // SAFETY: there is AVX-512, as `self` is
        unsafe {
            // where one operand is NaN, the second is what comes out
            let below = _mm512_min_ps(_mm512_set1_ps(bound), self.0);
            Self(_mm512_max_ps(_mm512_set1_ps(-bound), below))
        }
    }

    #[inline(always)]
    fn whole(self) -> [Self; 2] {
        // SAFETY: there is AVX-512, as `self` is
        unsafe {
            let whole = _mm512_cvtps_epi32(self.0);
            let exponent = _mm512_add_epi32(whole, _mm512_set1_epi32(127));
            let power = _mm512_castsi512_ps(_mm512_slli_epi32::<23>(exponent));
            [Self(_mm512_cvtepi32_ps(whole)), Self(power)]
        }
    }

    #[inline(always)]
    fn nonzero(self) -> u32 {
        // SAFETY: there is AVX-512, as `self` is
        let bits = unsafe { _mm512_cmp_ps_mask::<_CMP_NEQ_UQ>(self.0, _mm512_setzero_ps()) };
        bits.into()
    }

    #[inline(always)]
    fn sums(four: [Self; 4]) -> [f32; 4] {
        // SAFETY: there are AVX-512 and AVX2, as the registers are
        F32x8::sums(four.map(|Self(lanes)| unsafe {
            let [low, high] = [_mm512_castps512_ps256(lanes), _mm512_extractf32x8_ps::<1>(lanes)];
            F32x8(_mm256_add_ps(low, high))
        }))
    }

    #[inline(always)]
    unsafe fn transpose(
        Avx512(proof): Avx512,
        from: *const f32,
        from_stride: usize,
        into: *mut f32,
        into_stride: usize,
    ) {
        // SAFETY: rows and places are the caller's
        unsafe { F32x8::transpose(proof, from, from_stride, into, into_stride) };
    }
}
