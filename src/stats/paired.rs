//! Differences of pairs: two cells' values under the same seeds. Signed-rank test and effect
//! sizes; the mean difference with its interval is a one-sample contrast with 0.

use statrs::distribution::{ContinuousCDF, Normal};

use super::{mean, std};

/// The exact distribution is computed up to this many differences other than 0.
const EXACT: usize = 50;

/// Wilcoxon's signed-rank test of differences being symmetric about 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wilcoxon {
    /// The smaller one of the sums of ranks of positive and of negative differences.
    pub statistic: f64,
    /// Two-sided.
    pub p: f64,
    /// Whether `p` comes from the exact distribution or from the normal approximation.
    pub exact: bool,
}

/// Two-sided signed-rank test (Wilcoxon, 1945). Differences of 0 are dropped; equal ones share the
/// mean of their ranks. Up to 50 differences remaining, `p` is exact: twice the share of the 2ⁿ
/// choices of signs whose rank sum is as small, ties included. Beyond, it is the normal
/// approximation with corrections for ties and continuity (Hollander, Wolfe and Chicken, 2014,
/// section 3.1). As `scipy.stats.wilcoxon` with `method="exact"` (no ties), `PermutationMethod`
/// (ties) and `method="asymptotic", correction=True`.
///
/// # Errors
/// No differences, or none other than 0.
pub fn wilcoxon(differences: &[f64]) -> Result<Wilcoxon, &'static str> {
    let ranks = Ranks::of(differences)?;
    let smaller = ranks.positive.min(ranks.total() - ranks.positive);
    let exact = ranks.twice.len() <= EXACT;
    let p = if exact { ranks.exact_p(smaller) } else { ranks.normal_p(smaller) };
    Ok(Wilcoxon { statistic: smaller as f64 / 2.0, p, exact })
}

/// The mean difference in units of the standard deviation of the differences, with n − 1 (Cohen,
/// 1988, d_z).
///
/// # Errors
/// Fewer than two pairs, or differences that are all equal.
pub fn cohen_dz(differences: &[f64]) -> Result<f64, &'static str> {
    match (mean(differences), std(differences)) {
        (Some(_), Some(0.0)) => Err("all differences are equal"),
        (Some(mean), Some(std)) => Ok(mean / std),
        (_, None) | (None, _) => Err("fewer than 2 pairs"),
    }
}

/// The matched-pairs rank-biserial correlation (W₊ − W₋) / (W₊ + W₋) (Kerby, 2014): 1 when every
/// difference is positive, −1 when every one is negative. Differences of 0 are dropped.
///
/// # Errors
/// No differences, or none other than 0.
pub fn rank_biserial(differences: &[f64]) -> Result<f64, &'static str> {
    let ranks = Ranks::of(differences)?;
    Ok(2.0 * ranks.positive as f64 / ranks.total() as f64 - 1.0)
}

/// Ranks of the absolute differences, all doubled so that shared ones are whole.
struct Ranks {
    twice: Vec<usize>,
    /// Twice the sum over positive differences.
    positive: usize,
    /// Σ(t³ − t) over groups of t equal ones.
    ties: f64,
}

impl Ranks {
    fn of(differences: &[f64]) -> Result<Self, &'static str> {
        let mut sorted: Vec<f64> = differences.iter().copied().filter(|&d| d != 0.0).collect();
        if sorted.is_empty() {
            return Err(if differences.is_empty() { "no pairs" } else { "all differences are 0" });
        }
        sorted.sort_by(|a, b| a.abs().total_cmp(&b.abs()));
        let mut ranks = Self { twice: Vec::new(), positive: 0, ties: 0.0 };
        for equal in sorted.chunk_by(|a, b| a.abs() == b.abs()) {
            // the ranks first + 1 ..= first + count, at their mean
            let (first, count) = (ranks.twice.len(), equal.len());
            let twice = 2 * first + count + 1;
            ranks.positive += twice * equal.iter().filter(|&&difference| difference > 0.0).count();
            ranks.ties += (count as f64).powi(3) - count as f64;
            ranks.twice.extend(std::iter::repeat_n(twice, count));
        }
        Ok(ranks)
    }

    /// Twice the sum of all ranks.
    fn total(&self) -> usize {
        self.twice.len() * (self.twice.len() + 1)
    }

    /// Counts the choices of signs by their rank sum, one rank at a time; 2⁵⁰ is whole in f64.
    fn exact_p(&self, smaller: usize) -> f64 {
        let mut choices = vec![0.0; smaller + 1];
        choices[0] = 1.0;
        for &rank in &self.twice {
            for sum in (rank..=smaller).rev() {
                choices[sum] += choices[sum - rank];
            }
        }
        let as_small: f64 = choices.iter().sum();
        (2.0 * as_small / 2f64.powi(self.twice.len() as i32)).min(1.0)
    }

    fn normal_p(&self, smaller: usize) -> f64 {
        let n = self.twice.len() as f64;
        let (statistic, mean) = (smaller as f64 / 2.0, n * (n + 1.0) / 4.0);
        let variance = n * (n + 1.0) * (2.0 * n + 1.0) / 24.0 - self.ties / 48.0;
        let z = (mean - statistic - 0.5).max(0.0) / variance.sqrt();
        2.0 * Normal::standard().sf(z)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_difference_there_is_no_test_and_no_effect_size() {
        assert_eq!(wilcoxon(&[]), Err("no pairs"));
        assert_eq!(wilcoxon(&[0.0, -0.0]), Err("all differences are 0"));
        assert_eq!(rank_biserial(&[0.0]), Err("all differences are 0"));
        assert_eq!(cohen_dz(&[0.1]), Err("fewer than 2 pairs"));
        assert_eq!(cohen_dz(&[]), Err("fewer than 2 pairs"));
        assert_eq!(cohen_dz(&[0.1, 0.1, 0.1]), Err("all differences are equal"));
    }

    #[test]
    fn one_sided_differences_reach_the_ends_of_both_scales() {
        let all_up = [0.1, 0.2, 0.3, 0.4, 0.5];
        let test = wilcoxon(&all_up).unwrap();
        assert_eq!(test, Wilcoxon { statistic: 0.0, p: 2.0 / 32.0, exact: true });
        assert_eq!(rank_biserial(&all_up), Ok(1.0));
        assert_eq!(rank_biserial(&all_up.map(|d| -d)), Ok(-1.0));
        assert_eq!(wilcoxon(&[0.1]).unwrap().p, 1.0);
    }

    #[test]
    fn ties_share_their_ranks_and_stay_exact() {
        // ranks 1.5, 1.5, 3: of the 8 choices of signs two sum to 1.5 or less and one to 0
        let test = wilcoxon(&[-0.1, 0.1, 0.2, 0.0]).unwrap();
        assert_eq!(test, Wilcoxon { statistic: 1.5, p: 0.75, exact: true });
    }
}
