//! Registers of eight numbers: AVX2 and FMA.

use std::arch::x86_64::{
    __m256, __m256i, _CMP_NEQ_UQ, _mm_add_ps, _mm_storeu_ps, _mm256_add_epi32, _mm256_add_ps,
    _mm256_castps256_ps128, _mm256_castsi256_ps, _mm256_cmp_ps, _mm256_cvtepi32_ps,
    _mm256_cvtps_epi32, _mm256_div_ps, _mm256_extractf128_ps, _mm256_fmadd_ps, _mm256_hadd_ps,
    _mm256_loadu_ps, _mm256_loadu_si256, _mm256_maskload_ps, _mm256_maskstore_ps, _mm256_max_ps,
    _mm256_min_ps, _mm256_movemask_ps, _mm256_mul_ps, _mm256_permute2f128_ps, _mm256_set1_epi32,
    _mm256_set1_ps, _mm256_setzero_ps, _mm256_shuffle_ps, _mm256_slli_epi32, _mm256_storeu_ps,
    _mm256_sub_ps, _mm256_unpackhi_ps, _mm256_unpacklo_ps,
};

use super::super::{Arithmetic, Register};

/// The proof that this processor has AVX2 and FMA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Avx2(());

impl Avx2 {
    pub(crate) fn detect() -> Option<Self> {
        let found = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        found.then_some(Self(()))
    }
}

/// Eight numbers. One is made with an `Avx2` alone, which is why every instruction below is there.
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
pub(crate) struct F32x8(pub(super) __m256);

/// The first `length` of eight lanes.
#[inline(always)]
fn mask(_: Avx2, length: usize) -> __m256i {
    const ONES: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    // SAFETY: there is AVX2; eight numbers from one of the first nine places of sixteen
    unsafe { _mm256_loadu_si256(ONES[8 - length.min(8)..].as_ptr().cast()) }
}

impl Arithmetic for F32x8 {
    #[inline(always)]
    fn like(self, value: f32) -> Self {
        // SAFETY: there is AVX2, as `self` is
        Self(unsafe { _mm256_set1_ps(value) })
    }

    #[inline(always)]
    fn times(self, other: Self) -> Self {
        // SAFETY: there is AVX2, as `self` is
        Self(unsafe { _mm256_mul_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn times_plus(self, factor: Self, sum: Self) -> Self {
        // SAFETY: there is FMA, as `self` is
        Self(unsafe { _mm256_fmadd_ps(self.0, factor.0, sum.0) })
    }
}

impl Register for F32x8 {
    type Proof = Avx2;
    const LANES: usize = 8;

    #[inline(always)]
    fn splat(_: Avx2, value: f32) -> Self {
        // SAFETY: there is AVX2, as its proof is
        Self(unsafe { _mm256_set1_ps(value) })
    }

    #[inline(always)]
    fn zero(_: Avx2) -> Self {
        // SAFETY: there is AVX2, as its proof is
        Self(unsafe { _mm256_setzero_ps() })
    }

    #[inline(always)]
    unsafe fn read(_: Avx2, place: *const f32) -> Self {
        // SAFETY: there is AVX2, as its proof is; the numbers are the caller's
        Self(unsafe { _mm256_loadu_ps(place) })
    }

    #[inline(always)]
    unsafe fn read_first(proof: Avx2, place: *const f32, count: usize) -> Self {
        // SAFETY: there is AVX2, as its proof is; lanes beyond the caller's numbers are not read
        Self(unsafe { _mm256_maskload_ps(place, mask(proof, count)) })
    }

    #[inline(always)]
    unsafe fn write(self, place: *mut f32) {
        // SAFETY: there is AVX2, as `self` is; the places are the caller's
        unsafe { _mm256_storeu_ps(place, self.0) }
    }

    #[inline(always)]
    unsafe fn write_first(self, place: *mut f32, count: usize) {
        // SAFETY: there is AVX2, as `self` is; lanes beyond the caller's places are not written
        unsafe { _mm256_maskstore_ps(place, mask(Avx2(()), count), self.0) }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: there is AVX2, as `self` is
        Self(unsafe { _mm256_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn minus(self, other: Self) -> Self {
        // SAFETY: there is AVX2, as `self` is
        Self(unsafe { _mm256_sub_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn over(self, other: Self) -> Self {
        // SAFETY: there is AVX2, as `self` is
        Self(unsafe { _mm256_div_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn within(self, bound: f32) -> Self {
        // SAFETY: there is AVX2, as `self` is
        unsafe {
            // where one operand is NaN, the second is what comes out
            let below = _mm256_min_ps(_mm256_set1_ps(bound), self.0);
            Self(_mm256_max_ps(_mm256_set1_ps(-bound), below))
        }
    }

    #[inline(always)]
    fn whole(self) -> [Self; 2] {
        // SAFETY: there is AVX2, as `self` is
        unsafe {
            let whole = _mm256_cvtps_epi32(self.0);
            let exponent = _mm256_add_epi32(whole, _mm256_set1_epi32(127));
            let power = _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent));
            [Self(_mm256_cvtepi32_ps(whole)), Self(power)]
        }
    }

    #[inline(always)]
    fn nonzero(self) -> u32 {
        // SAFETY: there is AVX2, as `self` is
        let bits = unsafe {
            _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_NEQ_UQ>(self.0, _mm256_setzero_ps()))
        };
        bits as u32
    }

    #[inline(always)]
    fn sums([a, b, c, d]: [Self; 4]) -> [f32; 4] {
        let mut four = [0.0; 4];
        // SAFETY: there is AVX2, as the registers are; four places
        unsafe {
            // each of the four has a lane of its own in either half
            let pairs = [_mm256_hadd_ps(a.0, b.0), _mm256_hadd_ps(c.0, d.0)];
            let sums = _mm256_hadd_ps(pairs[0], pairs[1]);
            let [low, high] = [_mm256_castps256_ps128(sums), _mm256_extractf128_ps::<1>(sums)];
            _mm_storeu_ps(four.as_mut_ptr(), _mm_add_ps(low, high));
        }
        four
    }

    #[inline(always)]
    unsafe fn transpose(
        _: Avx2,
        from: *const f32,
        from_stride: usize,
        into: *mut f32,
        into_stride: usize,
    ) {
        // SAFETY: there is AVX2, as its proof is; rows and places are the caller's
        unsafe {
            let r: [__m256; 8] =
                std::array::from_fn(|i| _mm256_loadu_ps(from.add(i * from_stride)));
            let pairs: [__m256; 8] = std::array::from_fn(|i| match i % 2 {
                0 => _mm256_unpacklo_ps(r[i], r[i + 1]),
                _ => _mm256_unpackhi_ps(r[i - 1], r[i]),
            });
            let fours: [__m256; 8] = std::array::from_fn(|i| {
                let [a, b] = [i / 4 * 4 + i % 4 / 2, i / 4 * 4 + i % 4 / 2 + 2];
                match i % 2 {
                    0 => _mm256_shuffle_ps::<0x44>(pairs[a], pairs[b]),
                    _ => _mm256_shuffle_ps::<0xEE>(pairs[a], pairs[b]),
                }
            });
            for i in 0..4 {
                let low = _mm256_permute2f128_ps::<0x20>(fours[i], fours[i + 4]);
                let high = _mm256_permute2f128_ps::<0x31>(fours[i], fours[i + 4]);
                _mm256_storeu_ps(into.add(i * into_stride), low);
                _mm256_storeu_ps(into.add((i + 4) * into_stride), high);
            }
        }
    }
}
