//! The two precisions in which a mixture can be computed on a core: f64, and f32 as PyTorch's ports have
//! it. The same formulas are written once and compiled for both; nothing of f64 depends on f32.

use std::f64::consts::{LN_2, LOG2_E};
use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Sub};

/// A floating-point number, f32 or f64. Every function is inlined: a loop around it is then compiled
/// for the registers of the function that holds the loop.
pub trait Real:
    Copy
    + Default
    + PartialOrd
    + Neg<Output = Self>
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + AddAssign
    + MulAssign
    + DivAssign
    + Sum
{
    const NAN: Self;
    const NEG_INFINITY: Self;
    /// Keeps exp() of an empty component finite, so that 0·exp() is 0.
    const LARGEST_EXPONENT: Self;

    /// Rounds to the nearest number of this precision.
    fn of(value: f64) -> Self;
    fn to_f64(self) -> f64;
    /// Rounds to f32, in which the networks compute.
    fn to_f32(self) -> f32;
    fn mul_add(self, factor: Self, addend: Self) -> Self;
    fn is_nan(self) -> bool;
    fn sqrt(self) -> Self;
    fn ln(self) -> Self;
    /// e^x within two units in the last place, 0 where that is below the smallest normal number.
    fn exp(self) -> Self;
}

impl Real for f64 {
    const NAN: Self = Self::NAN;
    const NEG_INFINITY: Self = Self::NEG_INFINITY;
    const LARGEST_EXPONENT: Self = 700.0;

    #[inline(always)]
    fn of(value: f64) -> Self {
        value
    }

    #[inline(always)]
    fn to_f64(self) -> f64 {
        self
    }

    #[inline(always)]
    fn to_f32(self) -> f32 {
        self as f32
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        Self::mul_add(self, factor, addend)
    }

    #[inline(always)]
    fn is_nan(self) -> bool {
        Self::is_nan(self)
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        Self::sqrt(self)
    }

    #[inline(always)]
    fn ln(self) -> Self {
        Self::ln(self)
    }

    /// x = n log 2 + r, and Taylor's series of e^r, whose 14th term is below 2⁻⁵⁷ for |r| ≤ ½ log 2.
    #[inline(always)]
    fn exp(self) -> Self {
        // log 2 in two parts, of which the first has 21 zeros at its end
        const HIGH: f64 = f64::from_bits(0x3fe6_2e42_fee0_0000);
        const LOW: f64 = 1.908_214_929_270_587_7e-10;
        // adding it leaves a whole number in the last bits
        const ROUND: f64 = 6_755_399_441_055_744.0;
        let x = self;
        debug_assert!((HIGH + LOW - LN_2).abs() < 1e-16);
        let rounded = x.mul_add(LOG2_E, ROUND);
        let whole = rounded - ROUND;
        let rest = whole.mul_add(-LOW, whole.mul_add(-HIGH, x));
        let mut sum = 1.0 / 6_227_020_800.0;
        for factorial in [
            479_001_600.0,
            39_916_800.0,
            3_628_800.0,
            362_880.0,
            40_320.0,
            5_040.0,
            720.0,
            120.0,
            24.0,
            6.0,
            2.0,
            1.0,
            1.0,
        ] {
            sum = rest.mul_add(sum, 1.0 / factorial);
        }
        let power = rounded.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(1023) << 52;
        let value = sum * f64::from_bits(power);
        if x < -708.0 {
            0.0
        } else if x > 709.0 {
            f64::INFINITY
        } else {
            value
        }
    }
}

impl Real for f32 {
    const NAN: Self = Self::NAN;
    const NEG_INFINITY: Self = Self::NEG_INFINITY;
    const LARGEST_EXPONENT: Self = 87.0;

    #[inline(always)]
    fn of(value: f64) -> Self {
        value as Self
    }

    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(self)
    }

    #[inline(always)]
    fn to_f32(self) -> f32 {
        self
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        Self::mul_add(self, factor, addend)
    }

    #[inline(always)]
    fn is_nan(self) -> bool {
        Self::is_nan(self)
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        Self::sqrt(self)
    }

    #[inline(always)]
    fn ln(self) -> Self {
        Self::ln(self)
    }

    /// As f64's, to the term that is below 2⁻²⁷.
    #[inline(always)]
    fn exp(self) -> Self {
        // log 2 in two parts, of which the first has 15 zeros at its end
        const HIGH: f32 = f32::from_bits(0x3f31_8000);
        const LOW: f32 = -2.121_944_4e-4;
        const ROUND: f32 = 12_582_912.0;
        let x = self;
        let rounded = x.mul_add(std::f32::consts::LOG2_E, ROUND);
        let whole = rounded - ROUND;
        let rest = whole.mul_add(-LOW, whole.mul_add(-HIGH, x));
        let mut sum = 1.0 / 5_040.0;
        for factorial in [720.0, 120.0, 24.0, 6.0, 2.0, 1.0, 1.0] {
            sum = rest.mul_add(sum, 1.0 / factorial);
        }
        let power = rounded.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23;
        let value = sum * f32::from_bits(power);
        if x < -87.0 {
            0.0
        } else if x > 88.0 {
            f32::INFINITY
        } else {
            value
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_within_two_units_in_the_last_place_and_keeps_nan() {
        for number in -70_700..70_900 {
            let x = f64::from(number) / 100.0 + 0.001;
            let (got, expected) = (Real::exp(x), x.exp());
            let unit = f64::from_bits(expected.to_bits() + 1) - expected;
            assert!((got - expected).abs() <= 2.0 * unit, "e^{x}: {got}, {expected}");
        }
        let exp = <f64 as Real>::exp;
        assert_eq!((exp(0.0), exp(-1e9), exp(f64::NEG_INFINITY)), (1.0, 0.0, 0.0));
        assert_eq!((exp(1e9), exp(f64::INFINITY)), (f64::INFINITY, f64::INFINITY));
        assert!(exp(f64::NAN).is_nan());
    }

    #[test]
    fn exp_in_f32_is_within_two_units_in_the_last_place_and_keeps_nan() {
        for number in -86_999..88_000 {
            let x = number as f32 / 1000.0 + 0.000_1;
            let (got, expected) = (Real::exp(x), f64::from(x).exp());
            let near = expected as f32;
            let unit = f64::from(f32::from_bits(near.to_bits() + 1)) - f64::from(near);
            assert!((f64::from(got) - expected).abs() <= 2.0 * unit, "e^{x}: {got}, {expected}");
        }
        let exp = <f32 as Real>::exp;
        assert_eq!((exp(0.0), exp(-1e9), exp(f32::NEG_INFINITY)), (1.0, 0.0, 0.0));
        assert_eq!((exp(1e9), exp(f32::INFINITY)), (f32::INFINITY, f32::INFINITY));
        assert!(exp(f32::NAN).is_nan());
    }
}
