//! Shares of runs: the exact interval of one, and the exact test of two.

use statrs::function::beta::beta_reg;
use statrs::function::factorial::ln_binomial;

use super::Interval;

/// The two-sided `level` confidence interval of a probability of which `k` of `n` draws came true,
/// exact in that it never holds less than its level (Clopper and Pearson, 1934): its ends are the
/// probabilities at which as many or more, and as few or fewer, are just (1 − level)/2 likely.
/// `None` for no draw, more than `n`, and a `level` outside (0, 1).
pub fn exact_share(k: u64, n: u64, level: f64) -> Option<Interval> {
    if n == 0 || k > n || !(0.0 < level && level < 1.0) {
        return None;
    }
    let tail = (1.0 - level) / 2.0;
    let (hits, misses) = (k as f64, (n - k) as f64);
    // P(at least k of n) at probability p is the regularised incomplete beta function I_p(k, n − k + 1)
    let low = match k {
        0 => 0.0,
        _ => root(|p| beta_reg(hits, misses + 1.0, p) - tail),
    };
    let high = match n - k {
        0 => 1.0,
        _ => root(|p| beta_reg(hits + 1.0, misses, p) - (1.0 - tail)),
    };
    Some(Interval { low, high })
}

/// Where a function that rises over [0, 1] is 0.
fn root(value: impl Fn(f64) -> f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    while high - low > 1e-15 {
        let middle = f64::midpoint(low, high);
        if middle <= low || middle >= high {
            break;
        }
        if value(middle) < 0.0 {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

/// The two-sided p value that `k` of `n` and `their_k` of `their_n` draws have one probability: the
/// chance, given how many came true in all, of every division that is no likelier than this one
/// (Fisher, 1935).
pub fn fisher(k: u64, n: u64, their_k: u64, their_n: u64) -> f64 {
    let all = k + their_k;
    let chance = |k: u64| ln_binomial(n, k) + ln_binomial(their_n, all - k);
    let whole = ln_binomial(n + their_n, all);
    let seen = chance(k);
    let divisions = all.saturating_sub(their_n)..=all.min(n);
    // equal chances differ in the last bits
    let unlikely = divisions.map(chance).filter(|&one| one <= seen + 1e-7);
    unlikely.map(|one| (one - whole).exp()).sum::<f64>().min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exact_interval_ends_at_0_and_1_where_nothing_or_everything_came_true() {
        let none = exact_share(0, 20, 0.95).unwrap();
        assert_eq!(none.low, 0.0);
        assert!((none.high - (1.0 - 0.025f64.powf(0.05))).abs() < 1e-12);
        let all = exact_share(20, 20, 0.95).unwrap();
        assert_eq!(all.high, 1.0);
        assert!((all.low - 0.025f64.powf(0.05)).abs() < 1e-12);
        assert_eq!((exact_share(0, 0, 0.95), exact_share(2, 1, 0.95)), (None, None));
        assert_eq!(exact_share(1, 2, 1.0), None);
    }

    #[test]
    fn shares_of_one_probability_are_told_apart_by_their_numbers() {
        assert!((fisher(0, 20, 1, 1) - 1.0 / 21.0).abs() < 1e-12);
        assert_eq!(fisher(20, 20, 1, 1), 1.0);
        assert!((fisher(5, 5, 0, 5) - 2.0 / 252.0).abs() < 1e-12);
    }
}
