//! e^x and what is made of it, with Sleef's coefficients (N. Shibata, "SLEEF vectorized math library",
//! expf_u10): x = n log 2 + r, and a polynomial of r. There is one polynomial and two ways to n, for
//! results keep their bits: networks whose runs are published round x / log 2 in different places.

use super::arch::{Arithmetic, Register};

/// Splits x into n · log 2 + r, given n; log 2 in two parts.
#[inline(always)]
#[allow(clippy::excessive_precision, reason = "the source's digits")]
fn rest<N: Arithmetic>(x: N, n: N) -> N {
    let rest = n.times_plus(n.like(-0.693145751953125), x);
    n.times_plus(n.like(-1.428606765330187045e-06), rest)
}

/// e^r − 1 for |r| ≤ ½ log 2.
#[inline(always)]
#[allow(clippy::excessive_precision, reason = "the source's digits")]
fn power_less_1<N: Arithmetic>(r: N) -> N {
    const COEFFICIENTS: [f32; 5] = [
        0.00139304355252534151,
        0.00833336077630519867,
        0.0416664853692054749,
        0.166666671633720398,
        0.5,
    ];
    let mut sum = r.like(0.000198527617612853646);
    for coefficient in COEFFICIENTS {
        sum = sum.times_plus(r, r.like(coefficient));
    }
    r.times(r).times_plus(sum, r)
}

/// e^x within an ulp for |x| ≤ 87, and beyond that e^±87, as libtorch's sigmoid has it: 1 / (1 + e^±87)
/// has its bits.
#[inline(always)]
fn exp_bounded<V: Register>(x: V) -> V {
    let x = x.within(87.0);
    let [n, power] = x.times(x.like(std::f32::consts::LOG2_E)).whole();
    x.like(1.0).add(power_less_1(rest(x, n))).times(power)
}

/// 2 / (1 + e^(−2x)) − 1.
#[inline(always)]
pub(super) fn tanh<V: Register>(x: V) -> V {
    let (one, two) = (x.like(1.0), x.like(2.0));
    let power = exp_bounded(x.like(0.0).minus(x.times(two)));
    one.over(one.add(power)).times(two).minus(one)
}

/// `tanh` by the standard library's exponential.
#[inline(always)]
pub(super) fn tanh_by_library(x: f32) -> f32 {
    2.0 / (1.0 + (-2.0 * x).exp()) - 1.0
}

/// e^x, within two roundings; 0 far below 0 and ∞ far above.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    // added to a small number it leaves the nearest integer in the lowest bits
    const ROUNDING: f32 = 12_582_912.0;
    let bounded = if x < -104.0 { -104.0 } else { x };
    let bounded = if bounded > 100.0 { 100.0 } else { bounded };
    let shifted = bounded.mul_add(std::f32::consts::LOG2_E, ROUNDING);
    let sum = power_less_1(rest(bounded, shifted - ROUNDING)) + 1.0;
    let whole = shifted.to_bits().wrapping_sub(ROUNDING.to_bits()) as i32;
    let half = whole >> 1;
    let power = |count: i32| f32::from_bits((count.wrapping_add(127) << 23) as u32);
    sum * power(half) * power(whole.wrapping_sub(half))
}

/// log(1 + u) for u in [0, 1]: 2 artanh(u / (2 + u)) by its series.
#[inline(always)]
pub(super) fn log_of_1_and(u: f32) -> f32 {
    let ratio = u / (2.0 + u);
    let square = ratio * ratio;
    let mut sum = 1.0 / 17.0;
    for odd in [15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0f32] {
        sum = square.mul_add(sum, 1.0 / odd);
    }
    2.0 * ratio * sum
}
