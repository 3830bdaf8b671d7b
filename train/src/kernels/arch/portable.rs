//! Registers for every processor: arrays, which the compiler may turn into what vectors there are.

use super::{Arithmetic, Register};

/// Eight numbers side by side.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Portable8([f32; 8]);

/// The proof that there is nothing to prove.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Portable;

impl Portable8 {
    #[inline(always)]
    fn each(self, other: Self, of: impl Fn(f32, f32) -> f32) -> Self {
        Self(std::array::from_fn(|lane| of(self.0[lane], other.0[lane])))
    }
}

impl Arithmetic for Portable8 {
    #[inline(always)]
    fn like(self, value: f32) -> Self {
        Self([value; 8])
    }

    #[inline(always)]
    fn times(self, other: Self) -> Self {
        self.each(other, |a, b| a * b)
    }

    #[inline(always)]
    fn times_plus(self, factor: Self, sum: Self) -> Self {
        Self(std::array::from_fn(|lane| self.0[lane].mul_add(factor.0[lane], sum.0[lane])))
    }
}

impl Register for Portable8 {
    type Proof = Portable;
    const LANES: usize = 8;

    #[inline(always)]
    fn splat(_: Portable, value: f32) -> Self {
        Self([value; 8])
    }

    #[inline(always)]
    unsafe fn read(_: Portable, place: *const f32) -> Self {
        // SAFETY: the caller's; an array has no alignment but its numbers'
        Self(unsafe { *place.cast() })
    }

    #[inline(always)]
    unsafe fn read_first(_: Portable, place: *const f32, count: usize) -> Self {
        // SAFETY: the caller's
        let values = unsafe { std::slice::from_raw_parts(place, count.min(8)) };
        let mut lanes = [0.0; 8];
        lanes[..values.len()].copy_from_slice(values);
        Self(lanes)
    }

    #[inline(always)]
    unsafe fn write(self, place: *mut f32) {
        // SAFETY: the caller's; an array has no alignment but its numbers'
        unsafe { *place.cast() = self.0 };
    }

    #[inline(always)]
    unsafe fn write_first(self, place: *mut f32, count: usize) {
        for (lane, value) in self.0.into_iter().take(count).enumerate() {
            // SAFETY: the caller's
            unsafe { *place.add(lane) = value };
        }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.each(other, |a, b| a + b)
    }

    #[inline(always)]
    fn minus(self, other: Self) -> Self {
        self.each(other, |a, b| a - b)
    }

    #[inline(always)]
    fn over(self, other: Self) -> Self {
        self.each(other, |a, b| a / b)
    }

    #[inline(always)]
    fn within(self, bound: f32) -> Self {
        let bounded = |x: f32| {
            let below = if bound < x { bound } else { x };
            if -bound > below { -bound } else { below }
        };
        Self(self.0.map(bounded))
    }

    #[inline(always)]
    fn whole(self) -> [Self; 2] {
        // added to a small number it leaves the nearest whole one in the lowest bits
        const ROUNDING: f32 = 12_582_912.0;
        let shifted = self.0.map(|x| x + ROUNDING);
        let power = |shifted: f32| {
            let whole = shifted.to_bits().wrapping_sub(ROUNDING.to_bits());
            f32::from_bits(whole.wrapping_add(127) << 23)
        };
        [Self(shifted.map(|shifted| shifted - ROUNDING)), Self(shifted.map(power))]
    }

    #[inline(always)]
    fn nonzero(self) -> u32 {
        let bits = self.0.into_iter().enumerate();
        bits.fold(0, |bits, (lane, value)| bits | u32::from(value != 0.0) << lane)
    }

    #[inline(always)]
    fn sums(four: [Self; 4]) -> [f32; 4] {
        four.map(|Self([a, b, c, d, e, f, g, h])| ((a + b) + (c + d)) + ((e + f) + (g + h)))
    }

    #[inline(always)]
    unsafe fn transpose(
        _: Portable,
        from: *const f32,
        from_stride: usize,
        into: *mut f32,
        into_stride: usize,
    ) {
        for row in 0..8 {
            for column in 0..8 {
                // SAFETY: the caller's
                unsafe {
                    *into.add(column * into_stride + row) = *from.add(row * from_stride + column);
                }
            }
        }
    }
}
