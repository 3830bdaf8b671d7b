//! Student's t distribution and the interval of a mean. Accurate to 1e-9 of each number for 1 to
//! 100,000 degrees of freedom.

use statrs::distribution::{Continuous, ContinuousCDF, StudentsT};
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

/// The t with P(T > t) = `tail`, for a tail in (0, 0.5]. statrs' inverse is off by up to one part
/// in 20,000; two of Newton's steps mend that.
pub(super) fn upper_quantile(tail: f64, degrees: f64) -> f64 {
    let student = student(degrees);
    let mut t = student.inverse_cdf(1.0 - tail);
    for _ in 0..2 {
        t += (upper_tail(t, degrees) - tail) / student.pdf(t);
    }
    t
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
            for tail in [0.4999, 0.25, 0.1, 0.05, 0.025, 1e-6] {
                let back = upper_tail(upper_quantile(tail, degrees), degrees);
                assert!((back / tail - 1.0).abs() < 1e-9, "{degrees} {tail}: {back}");
            }
        }
    }
}
