//! Student's t distribution and the interval of a mean. Accurate to 1e-9 of each number for 1 to
//! 100,000 degrees of freedom.

use statrs::distribution::{Continuous, ContinuousCDF, Normal, StudentsT};
use statrs::function::beta::beta_reg;

use super::{Contrast, RUNS_CAP, Sample};

/// A confidence interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    pub low: f64,
    pub high: f64,
}

/// The two-sided `level` confidence interval of a mean of `n` values with sample standard
/// deviation `std`: mean ± t((1 + level)/2, n − 1) · std / √n (Student, 1908). `None` for fewer
/// than two values and a `level` outside (0, 1); a `std` of 0 gives an interval without width.
pub fn t_interval(n: usize, mean: f64, std: f64, level: f64) -> Option<Interval> {
    let mean = Contrast::one_sample(&Sample { n, mean, std }, 0.0)?;
    (0.0 < level && level < 1.0).then(|| mean.interval(level))
}

/// statrs' series lose their digits far beyond, where t and normal distribution differ by less
/// than one part in 100,000; holding the degrees there errs on the wide side.
fn student(degrees: f64) -> StudentsT {
    StudentsT::new(0.0, 1.0, degrees.min(RUNS_CAP as f64))
        .expect("a mean with an interval has degrees of freedom")
}

/// P(T > t) for T of Student's distribution with these `degrees` of freedom.
pub(super) fn upper_tail(t: f64, degrees: f64) -> f64 {
    let student = student(degrees);
    if t.abs() >= 1.0 {
        return student.sf(t);
    }
    // near the centre statrs takes 1 − ν/(ν + t²), which cancels; the same integral from its other
    // end does not
    let degrees = student.freedom();
    let centre = beta_reg(0.5, degrees / 2.0, t * t / (degrees + t * t));
    0.5 - 0.5 * centre.copysign(t)
}

/// The t with P(T > t) = `tail`, for a tail in (0, 0.5]: from its expansion around the normal
/// quantile (Abramowitz and Stegun, 1964, 26.7.5) by Newton's steps. statrs' own inverse takes
/// several times as long and is off by up to one part in 20,000.
pub(super) fn upper_quantile(tail: f64, degrees: f64) -> f64 {
    let student = student(degrees);
    let z = Normal::standard().inverse_cdf(tail).abs();
    let (square, degrees) = (z * z, student.freedom());
    let terms = [
        (square + 1.0) / 4.0,
        ((5.0 * square + 16.0) * square + 3.0) / 96.0,
        (((3.0 * square + 19.0) * square + 17.0) * square - 15.0) / 384.0,
        ((((79.0 * square + 776.0) * square + 1482.0) * square - 1920.0) * square - 945.0)
            / 92_160.0,
    ];
    let expansion = terms.iter().rev().fold(0.0, |sum, term| (sum + term) / degrees);
    let mut t = z * (1.0 + expansion);
    loop {
        // the tail is convex and t no smaller than z, so the steps cannot wander off
        let step = (upper_tail(t, degrees) - tail) / student.pdf(t);
        t = (t + step).max(z);
        // the next step would be about the square of this one; a step that is NaN ends it too
        let goes_on = step.abs() > 1e-6 * t;
        if !goes_on {
            return t;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_needs_two_values_and_a_level() {
        assert_eq!(t_interval(1, 0.5, 0.1, 0.9), None);
        assert_eq!(t_interval(0, 0.5, 0.1, 0.9), None);
        for level in [0.0, 1.0, -0.5, 95.0, f64::NAN] {
            assert_eq!(t_interval(5, 0.5, 0.1, level), None, "{level}");
        }
        let point = Interval { low: 0.5, high: 0.5 };
        assert_eq!(t_interval(2, 0.5, 0.0, 0.95), Some(point));
    }

    #[test]
    fn the_quantile_inverts_the_distribution_where_the_library_alone_does_not() {
        for degrees in [1.0, 1.3, 2.0, 7.5, 19.0, 999.0, 99_999.0, 1e18] {
            for tail in [0.5, 0.4999, 0.25, 0.1, 0.05, 0.025, 1e-6, 1e-15] {
                let back = upper_tail(upper_quantile(tail, degrees), degrees);
                assert!((back / tail - 1.0).abs() < 1e-9, "{degrees} {tail}: {back}");
            }
        }
    }
}
