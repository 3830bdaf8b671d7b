//! Estimates, intervals, tests and power against numpy, scipy and statsmodels: the fixture and the
//! script that made it are `tests/golden/stats.json` and `stats.py`.

use std::path::Path;

use seedbed::stats::{
    self, Contrast, Design, Factorial, Interval, Looks, Place, Published, Sample, Term,
};
use serde_json::Value;

fn cases(section: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/stats.json");
    let text = std::fs::read_to_string(path).expect("the fixture is part of the project");
    let fixture: Value = serde_json::from_str(&text).expect("the fixture is JSON");
    fixture[section].as_array().expect("a section is a list").clone()
}

fn number(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("a list").iter().map(number).collect()
}

fn count(value: &Value) -> usize {
    value.as_u64().expect("a whole number") as usize
}

/// Entries of an object whose keys are numbers.
fn by_number(value: &Value) -> impl Iterator<Item = (f64, &Value)> {
    value.as_object().expect("an object").iter().map(|(key, value)| (key.parse().unwrap(), value))
}

#[track_caller]
fn assert_close(found: f64, expected: &Value, tolerance: f64, what: &str) {
    let expected = number(expected);
    // written so that NaN fails
    assert!((found - expected).abs() <= tolerance, "{what}: {found} is not {expected}");
}

/// Both ends to 1e-9 of the width.
#[track_caller]
fn assert_interval(found: Interval, expected: &Value, what: &str) {
    let ends = numbers(expected);
    let tolerance = 1e-9 * (ends[1] - ends[0]) + 1e-15;
    assert_close(found.low, &expected[0], tolerance, what);
    assert_close(found.high, &expected[1], tolerance, what);
}

fn sample(values: &Value) -> Sample {
    let values = numbers(values);
    let (mean, std) = (stats::mean(&values).unwrap(), stats::std(&values).unwrap());
    Sample { n: values.len(), mean, std }
}

fn published(case: &Value) -> Published {
    let std = case.get("their_std").and_then(Value::as_f64);
    Published { mean: number(&case["figure"]), runs: count(&case["runs"]), std }
}

fn design(case: &Value) -> Design {
    let [std, margin] = ["std", "margin"].map(|key| case.get(key).map_or(1.0, number));
    let published = case["published"].as_u64().map(|runs| runs as usize);
    Design { n: case.get("n").map_or(3, count), std, margin, published }
}

#[test]
fn descriptions_equal_those_of_numpy() {
    for case in cases("samples") {
        let values = numbers(&case["values"]);
        for (found, expected) in [
            (stats::mean(&values), "mean"),
            (stats::std(&values), "std"),
            (stats::median(&values), "median"),
            (stats::min(&values), "min"),
            (stats::max(&values), "max"),
        ] {
            assert_close(found.unwrap(), &case[expected], 1e-14, expected);
        }
        let (first, third) = stats::quartiles(&values).unwrap();
        assert_close(first, &case["quartiles"][0], 1e-15, "first quartile");
        assert_close(third, &case["quartiles"][1], 1e-15, "third quartile");
        for (share, expected) in by_number(&case["quantiles"]) {
            assert_close(stats::quantile(values.clone(), share).unwrap(), expected, 1e-15, "share");
        }
    }
}

#[test]
fn t_intervals_equal_those_of_scipy_up_to_100_000_runs() {
    for case in cases("t_intervals") {
        let (n, mean, std) = (count(&case["n"]), number(&case["mean"]), number(&case["std"]));
        for (level, expected) in by_number(&case["intervals"]) {
            let found = stats::t_interval(n, mean, std, level).unwrap();
            assert_interval(found, expected, &format!("{level} interval of {n} values"));
        }
    }
}

#[test]
fn one_sample_and_welch_tests_of_equivalence_equal_those_of_scipy_and_statsmodels() {
    for case in cases("contrasts") {
        let ours = sample(&case["ours"]);
        let contrast = match case.get("theirs") {
            Some(theirs) => {
                let Sample { n, mean, std } = sample(theirs);
                Contrast::welch(&ours, &Published { mean, runs: n, std: Some(std) })
            }
            None => Contrast::one_sample(&ours, number(&case["figure"])),
        }
        .unwrap();
        let what = format!("{} runs against {}", ours.n, case.get("theirs").is_some());
        let error = contrast.standard_error;
        assert_close(contrast.difference, &case["difference"], 1e-15, &what);
        assert_close(error, &case["standard_error"], 1e-12 * error, &what);
        assert_close(contrast.degrees, &case["degrees"], 1e-11 * contrast.degrees, &what);
        for (level, expected) in by_number(&case["intervals"]) {
            assert_interval(contrast.interval(level), expected, &format!("{level}, {what}"));
        }
        for (margin, expected) in by_number(&case["equivalent"]) {
            let p = contrast.p_equivalent(margin);
            assert_close(p, expected, 1e-10, &format!("equivalence within {margin}, {what}"));
        }
        for (margin, expected) in by_number(&case["different"]) {
            let p = contrast.p_different(margin);
            assert_close(p, expected, 1e-10, &format!("difference beyond {margin}, {what}"));
        }
        let smallest = contrast.smallest_margin(0.05);
        assert_close(smallest, &case["smallest_margin"], 1e-9 * error, &what);
    }
}

/// Of one run statsmodels' prediction interval of a new observation, of more runs scipy's quantiles.
#[test]
fn a_source_without_a_std_is_compared_and_predicted_as_by_scipy_and_statsmodels() {
    for case in cases("sources") {
        let ours =
            Sample { n: count(&case["n"]), mean: number(&case["mean"]), std: number(&case["std"]) };
        let published = published(&case);
        let (contrast, what) = (Contrast::of(&ours, &published).unwrap(), case.to_string());
        let error = contrast.standard_error;
        assert_close(error, &case["standard_error"], 1e-12 * error, &what);
        assert_interval(contrast.interval(0.9), &case["interval"], &what);
        // around our mean, not around the difference
        let Interval { low, high } = contrast.interval(0.95);
        let shift = ours.mean - contrast.difference;
        let predicted = Interval { low: low + shift, high: high + shift };
        assert_interval(predicted, &case["prediction"], &what);
        assert_close(contrast.p_equivalent(0.02), &case["p_equivalent"], 1e-10, &what);
        assert_close(contrast.p_different(0.02), &case["p_different"], 1e-10, &what);
        let floor = contrast.decidable_margin(0.05);
        assert_close(floor, &case["decidable_margin"], 1e-9 * error, &what);
        let flip = stats::flip(&ours, &published, 0.02);
        match case["flip"].as_f64() {
            Some(std) => {
                assert_close(flip.unwrap().std, &case["flip"], 1e-8 * std, &what);
                let outside = contrast.difference.abs() > 0.02;
                let below = if outside { Place::Outside } else { Place::Inside };
                assert_eq!(flip.unwrap().below, below, "{what}");
            }
            None => assert_eq!(flip, None, "{what}"),
        }
    }
}

#[test]
fn runs_needed_are_the_first_that_decide_of_all_up_to_100_000() {
    for case in cases("runs_needed") {
        let ours =
            Sample { n: 3, mean: 0.5 + number(&case["difference"]), std: number(&case["std"]) };
        let theirs = Published {
            mean: 0.5,
            runs: count(&case["published"][1]),
            std: case["published"][0].as_f64(),
        };
        let runs = stats::runs_needed(&ours, &theirs, number(&case["margin"]));
        assert_eq!(runs.map(|runs| runs as u64), case["runs"].as_u64(), "{case}");
    }
}

#[test]
fn exact_intervals_and_tests_of_shares_equal_those_of_scipy() {
    for case in cases("shares") {
        let [k, n, their_k, their_n] =
            ["k", "n", "their_k", "their_n"].map(|key| count(&case[key]) as u64);
        let what = case.to_string();
        assert_interval(stats::exact_share(k, n, 0.95).unwrap(), &case["interval"], &what);
        assert_close(stats::fisher(k, n, their_k, their_n), &case["fisher"], 1e-10, &what);
    }
}

#[test]
fn holm_equals_that_of_statsmodels() {
    for case in cases("holm") {
        let found = stats::holm(&numbers(&case["p"]));
        assert_eq!(found.len(), case["adjusted"].as_array().unwrap().len());
        for (index, found) in found.into_iter().enumerate() {
            assert_close(found, &case["adjusted"][index], 1e-15, &case["p"].to_string());
        }
    }
}

#[test]
fn signed_ranks_equal_those_of_scipy_with_ties_and_zeros() {
    for case in cases("wilcoxon") {
        let (name, differences) = (case["name"].as_str().unwrap(), numbers(&case["differences"]));
        let test = stats::wilcoxon(&differences).unwrap();
        assert_eq!(test.exact, case["exact"], "{name}");
        assert_close(test.statistic, &case["statistic"], 0.0, name);
        assert_close(test.p, &case["p"], 1e-10 * test.p, name);
        let correlation = stats::rank_biserial(&differences).unwrap();
        assert_close(correlation, &case["rank_biserial"], 1e-14, name);
        match case["cohen_dz"].as_f64() {
            Some(_) => {
                let effect = stats::cohen_dz(&differences).unwrap();
                assert_close(effect, &case["cohen_dz"], 1e-12, name);
            }
            None => assert!(stats::cohen_dz(&differences).is_err()),
        }
    }
}

#[test]
fn a_bootstrap_interval_of_given_resamples_equals_that_of_scipy() {
    for case in cases("bca") {
        let (values, means) = (numbers(&case["values"]), numbers(&case["means"]));
        let found = stats::bca_from(&values, means, number(&case["level"])).unwrap();
        assert_interval(found, &case["interval"], case["name"].as_str().unwrap());
    }
}

/// An end is a quantile of the resampled means, which B of them leave uncertain by √(α(1 − α)/B)/f,
/// moved by twice the uncertainty √(π/2B) of the bias: together about 3.7/√B standard errors of the
/// mean at a level of 95 %. Allowed are five times that of this sample and scipy's together.
#[test]
fn bootstrap_intervals_agree_with_those_of_scipy_within_monte_carlo_error() {
    for case in cases("bca").iter().skip(2) {
        let (values, level) = (numbers(&case["values"]), number(&case["level"]));
        let error = stats::std(&values).unwrap() / (values.len() as f64).sqrt();
        for resamples in [10_000, 200_000] {
            let found = stats::bca_interval(&values, level, resamples, 1).unwrap();
            let uncertain = 3.7 * (1.0 / resamples as f64 + 1.0 / 200_000.0).sqrt() * error;
            let what = format!("{resamples} resamples of {}", case["name"]);
            assert_close(found.low, &case["converged"][0], 5.0 * uncertain, &what);
            assert_close(found.high, &case["converged"][1], 5.0 * uncertain, &what);
        }
    }
}

#[test]
fn power_equals_that_of_independent_integrals_and_of_one_sided_tests() {
    for case in cases("power") {
        let (design, difference) = (design(&case), number(&case["difference"]));
        let what = case.to_string();
        let reproduced = stats::power_reproduced(&design, difference);
        assert_close(reproduced, &case["reproduced"], 1e-10, &what);
        let refused = stats::power_not_reproduced(&design, difference);
        assert_close(refused, &case["not_reproduced"], 1e-10, &what);
    }
}

#[test]
fn planned_runs_margins_and_spreads_equal_independent_searches() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/stats.json");
    let fixture: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    for case in fixture["plans"]["runs"].as_array().unwrap() {
        let [difference, power] = ["difference", "power"].map(|key| number(&case[key]));
        let runs = stats::runs_for_power(&design(case), difference, power);
        assert_eq!(runs.map(|runs| runs as u64), case["runs"].as_u64(), "{case}");
    }
    for case in fixture["plans"]["margins"].as_array().unwrap() {
        let (design, power) = (design(case), number(&case["power"]));
        let found = stats::margin_for_power(&design, power).unwrap();
        assert_close(found, &case["margin"], 1e-8 * design.margin, &case.to_string());
        let found = stats::std_for_power(&design, power).unwrap();
        assert_close(found, &case["std"], 1e-8 * design.std, &case.to_string());
    }
}

/// As `cases`, of what `tests/golden/factorial.py` wrote.
fn factorial_cases(section: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/factorial.json");
    let text = std::fs::read_to_string(path).expect("the fixture is part of the project");
    let fixture: Value = serde_json::from_str(&text).expect("the fixture is JSON");
    fixture[section].as_array().expect("a section is a list").clone()
}

fn counts(value: &Value) -> Vec<usize> {
    value.as_array().expect("a list").iter().map(count).collect()
}

/// A mean of one estimate a seed, with its t interval, is what least squares with an intercept a seed and errors
/// robust to clusters of seeds say.
#[test]
fn effects_of_a_factorial_are_those_of_statsmodels() {
    for case in factorial_cases("effects") {
        let cells = case["cells"].as_array().unwrap().iter().map(counts).collect();
        let design = Factorial::new(counts(&case["sizes"]), cells);
        let values: Vec<Vec<f64>> =
            case["values"].as_array().unwrap().iter().map(numbers).collect();
        let fits: Vec<_> = values
            .iter()
            .map(|seed| design.fit(&seed.iter().copied().map(Some).collect::<Vec<_>>()).unwrap())
            .collect();
        let terms = case["terms"].as_array().unwrap();
        assert_eq!(terms.len(), design.terms().len());
        for term in terms {
            let (factors, levels) = (counts(&term["factors"]), counts(&term["levels"]));
            let asked = match (&factors[..], &levels[..]) {
                (&[factor], &[level]) => Term::Main { factor, level },
                (&[a, b], &[i, j]) => Term::TwoWay { factors: [a, b], levels: [i, j] },
                _ => panic!("{term}"),
            };
            let of_seeds: Vec<f64> = fits.iter().map(|fit| fit.effect(asked)).collect();
            let (mean, std) = (stats::mean(&of_seeds).unwrap(), stats::std(&of_seeds).unwrap());
            let interval = stats::t_interval(of_seeds.len(), mean, std, 0.95).unwrap();
            assert_close(mean, &term["estimate"], 1e-10, "estimate");
            assert_close(interval.low, &term["low"], 1e-9, "low end");
            assert_close(interval.high, &term["high"], 1e-9, "high end");
        }
    }
}

#[test]
fn shapley_values_are_means_over_all_orders() {
    for case in factorial_cases("shapley") {
        let values = numbers(&case["values"]);
        let players = values.len().ilog2() as usize;
        let found = stats::shapley(players, |set| values[set as usize]);
        for (found, expected) in found.iter().zip(case["shares"].as_array().unwrap()) {
            assert_close(*found, expected, 1e-12, "share");
        }
    }
}

#[test]
fn bounds_of_looks_are_those_of_the_multivariate_normal_distribution() {
    for case in factorial_cases("bounds") {
        let looks = Looks::at(counts(&case["looks"]));
        for (tail, expected) in looks.tails.iter().zip(case["tails"].as_array().unwrap()) {
            // scipy integrates by chance
            assert_close(*tail, expected, 2e-5, "tail");
        }
    }
}
