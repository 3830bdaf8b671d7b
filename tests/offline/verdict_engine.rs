//! How often the verdicts are wrong: simulated papers and runs of known truth, judged by the public
//! path from runs to verdicts. Both the published mean and ours are drawn anew in each repetition.
//! Seeded, so the shares below are the same on every machine.

use std::fs;
use std::path::Path;

use seedbed::metrics::{Metric, Metrics};
use seedbed::paper::{self, Paper};
use seedbed::random::{Numbers, Stream};
use seedbed::report::csv;
use seedbed::stats::{self, Design};
use seedbed::summary::{self, Comparison, Evidence, Row, Summary, Verdict};

const REPETITIONS: u32 = 2000;
const MARGIN: f64 = 0.02;

/// What runs are drawn from, around their true mean.
#[derive(Debug, Clone, Copy)]
enum Runs {
    Normal,
    /// Beta(a, b): bounded, and for a > b with its long tail towards low values, like an F1 near 1.
    Beta(u32, u32),
}

impl Runs {
    /// One run with mean 0 and standard deviation 1.
    fn draw(self, random: &mut Numbers) -> f64 {
        match self {
            Self::Normal => random.normal(),
            Self::Beta(a, b) => {
                // a gamma variable of whole shape is a sum of exponential ones
                let mut gamma =
                    |shape: u32| -(0..shape).map(|_| (1.0 - random.uniform()).ln()).sum::<f64>();
                let (x, y) = (gamma(a), gamma(b));
                let (a, b) = (f64::from(a), f64::from(b));
                let variance = a * b / ((a + b).powi(2) * (a + b + 1.0));
                (x / (x + y) - a / (a + b)) / variance.sqrt()
            }
        }
    }

    fn skewness(self) -> f64 {
        match self {
            Self::Normal => 0.0,
            Self::Beta(a, b) => {
                let (a, b) = (f64::from(a), f64::from(b));
                2.0 * (b - a) * (a + b + 1.0).sqrt() / ((a + b + 2.0) * (a * b).sqrt())
            }
        }
    }
}

/// `n` runs of ours against the mean of `published` runs of a source; all of them have one standard
/// deviation, unless the source's is another one, which it then prints.
#[derive(Debug, Clone, Copy)]
struct Setting {
    n: usize,
    published: u64,
    std: f64,
    their_std: Option<f64>,
    runs: Runs,
}

impl Setting {
    fn normal(n: usize, published: u64, std: f64) -> Self {
        Self { n, published, std, their_std: None, runs: Runs::Normal }
    }

    /// One whose margin is `margins` standard errors of the difference wide.
    fn of_margin(n: usize, published: u64, runs: Runs, margins: f64) -> Self {
        let std = MARGIN / margins / (1.0 / n as f64 + 1.0 / published as f64).sqrt();
        Self { runs, ..Self::normal(n, published, std) }
    }

    fn design(&self) -> Design {
        let published = usize::try_from(self.published).ok();
        Design { n: self.n, std: self.std, margin: MARGIN, published }
    }
}

/// Shares of repetitions.
#[derive(Debug, Clone, Copy, Default)]
struct Shares {
    reproduced: f64,
    refused: f64,
    undecidable: f64,
    compatible: f64,
}

/// A run and a paper as their files hold them.
fn files() -> (Row, Paper) {
    let folder = tempfile::tempdir().unwrap();
    let runs = folder.path().join("runs.csv");
    fs::write(&runs, "experiment,cell,seed,state,scale,f1\nmade-up,base,1,ok,full,0.5\n").unwrap();
    let text = format!(
        "name = \"made-up\"\ntitle = \"A paper\"\nsource = \"https://example.org\"\n\
         [margins.f1]\nvalue = {MARGIN}\nreason = \"two points\"\n\
         [[figures]]\ntable = \"Table 1\"\ndataset = \"made-up\"\nsetting = \"means\"\n\
         method = \"DAGMM\"\nmetric = \"f1\"\nvalue = 0.5\nstatus = \"verified\"\n\
         experiment = \"made-up\"\n"
    );
    fs::write(folder.path().join("made-up.toml"), text).unwrap();
    let row = csv::read_runs(&runs).unwrap().remove(0);
    (row, paper::load(folder.path(), "made-up").unwrap())
}

fn judged(summary: &Summary, paper: &Paper) -> Comparison {
    let evidence = [Evidence::from(summary)];
    let mut comparisons = summary::compare(&evidence, paper, "made-up", None);
    assert!(comparisons.len() == 1 && comparisons[0].metric == Metric::F1);
    comparisons.remove(0)
}

/// Draws paper and runs anew in each repetition and counts what they are called where the true means
/// lie this far apart, each of `differences`.
fn judge<const N: usize>(setting: &Setting, differences: [f64; N], seed: u64) -> [Shares; N] {
    let mut random = Numbers::new(seed, Stream::Data, 0);
    let (row, mut paper) = files();
    let of_f1 = |one: &Summary| one.metric == Metric::F1;
    let template = summary::summarise(&[row]).unwrap().into_iter().find(of_f1).unwrap();
    paper.figures[0].runs = Some(setting.published);
    let mut shares = [Shares::default(); N];
    for _ in 0..REPETITIONS {
        let mut drawn = |n: usize, std: f64| -> Vec<f64> {
            (0..n).map(|_| 0.5 + std * setting.runs.draw(&mut random)).collect()
        };
        let ours = drawn(setting.n, setting.std);
        let theirs = drawn(setting.published as usize, setting.their_std.unwrap_or(setting.std));
        paper.figures[0].value = stats::mean(&theirs).unwrap();
        paper.figures[0].std = setting.their_std.and_then(|_| stats::std(&theirs));
        let (mean, std) = (stats::mean(&ours).unwrap(), stats::std(&ours));
        for (difference, shares) in differences.iter().zip(&mut shares) {
            let (runs, mean) = (setting.n, Some(mean + difference));
            let summary = Summary { runs, n: runs, mean, std, ..template.clone() };
            let one = judged(&summary, &paper);
            let share = |yes: bool| f64::from(u8::from(yes)) / f64::from(REPETITIONS);
            shares.reproduced += share(one.verdict == Verdict::Reproduced);
            shares.refused += share(one.verdict == Verdict::NotReproduced);
            shares.undecidable += share(one.verdict == Verdict::Undecidable);
            shares.compatible += share(one.compatible == Some(true));
        }
    }
    shares
}

/// Four standard errors of a share that is truly `p`, and of no less than one repetition.
fn four_errors(p: f64) -> f64 {
    let repetitions = f64::from(REPETITIONS);
    4.0 * (p * (1.0 - p) / repetitions).sqrt().max(1.0 / repetitions)
}

#[track_caller]
fn assert_at_most(share: f64, bound: f64, what: &str) {
    assert!(share <= bound + four_errors(bound), "{what}: {share} exceeds {bound}");
}

#[track_caller]
fn assert_near(share: f64, expected: f64, what: &str) {
    let off = (share - expected).abs();
    assert!(off <= four_errors(expected), "{what}: {share} is not {expected}");
}

/// Numbers of our runs and of the source's.
fn sizes() -> impl Iterator<Item = (usize, u64)> {
    [3, 5, 20, 75, 1000].into_iter().flat_map(|n| [1, 5, 20].map(|published| (n, published)))
}

#[test]
fn a_summary_of_rows_is_judged_as_one_of_their_mean_and_std() {
    let (row, mut paper) = files();
    paper.figures[0].runs = Some(20);
    let f1 = [0.499, 0.5, 0.502, 0.5005];
    let with_f1 = |f1| Metrics::from_fn(|metric| (metric == Metric::F1).then_some(f1));
    let rows: Vec<Row> =
        (1..).zip(f1).map(|(seed, f1)| Row { seed, metrics: with_f1(f1), ..row.clone() }).collect();
    let of_f1 = |one: &Summary| one.metric == Metric::F1;
    let whole = summary::summarise(&rows).unwrap().into_iter().find(of_f1).unwrap();
    let first = summary::summarise(&rows[..1]).unwrap().into_iter().find(of_f1).unwrap();
    let (mean, std) = (stats::mean(&f1), stats::std(&f1));
    let short = Summary { runs: 4, n: 4, mean, std, note: String::new(), ..first };
    assert_eq!(judged(&whole, &paper).verdict, Verdict::Reproduced);
    assert_eq!(
        Comparison { note: String::new(), ..judged(&whole, &paper) },
        Comparison { note: String::new(), ..judged(&short, &paper) }
    );
}

/// The least favourable truth lies on the margin for both verdicts: there each is wrong, in exactly 5 % of
/// repetitions where the margin is wide. Inside, "not reproduced" is wrong, and rarer. Where the margin
/// is one standard error, hardly anything is reproduced, and "not reproduced" still errs in 5.1 %.
#[test]
fn normal_runs_earn_each_wrong_verdict_in_at_most_5_percent_whatever_the_source_made() {
    for (seed, (n, published)) in (1..).zip(sizes()) {
        for margins in [4.0, 1.0] {
            let setting = Setting::of_margin(n, published, Runs::Normal, margins);
            let what = format!("{setting:?}");
            // normal runs err alike on both sides
            let [edge, equal] = judge(&setting, [MARGIN, 0.0], seed);
            assert_at_most(edge.reproduced, 0.05, &what);
            assert_at_most(edge.refused, 0.051, &what);
            if margins > 3.0 && n > 3 {
                assert_near(edge.reproduced, 0.05, &what);
                assert_near(edge.refused, 0.05, &what);
            }
            assert_at_most(equal.refused, 0.05, &what);
            // would as many runs of one protocol print the figure?
            assert_near(equal.compatible, 0.95, &what);
        }
    }
}

/// Skewed runs move errors from one side to the other, to first order by φ(z)·(ρ/2 + (3ρ − λ)(z² − 1)/6)
/// at z = 1.645, with λ the skewness of the difference of the means and ρ the correlation of our mean
/// and variance that studentising brings in (Hall, 1992, section 2.6, for one sample). The mean of both
/// sides stays near 5 %. At 3 to 5 runs the formula overstates the excess.
#[test]
fn skewed_and_bounded_runs_err_more_on_one_side_by_no_more_than_is_known() {
    for runs in [Runs::Beta(40, 10), Runs::Beta(8, 2)] {
        for (seed, (n, published)) in (101..).zip(sizes()) {
            let setting = Setting::of_margin(n, published, runs, 4.0);
            let (ours, theirs) = (1.0 / n as f64, 1.0 / published as f64);
            let scale = 1.0 / (ours + theirs).sqrt();
            let lambda = runs.skewness() * (ours.powi(2) - theirs.powi(2)) * scale.powi(3);
            let rho = runs.skewness() * ours * scale;
            let excess = (0.1031 * (rho / 2.0 + (3.0 * rho - lambda) * 0.2843)).abs();
            let what = format!("{setting:?}");
            let [low, high, equal] = judge(&setting, [-MARGIN, MARGIN, 0.0], seed);
            // the long tail lies below: a mean that is truly below is reproduced too often
            for (one, other) in [(low.reproduced, high.reproduced), (high.refused, low.refused)] {
                assert_at_most(one, 0.05 + excess, &what);
                assert_at_most(other, 0.05, &what);
                assert_at_most((one + other) / 2.0, 0.06, &what);
            }
            assert_at_most(equal.refused, 0.05, &what);
            assert!(equal.compatible > 0.93 - four_errors(0.93), "{what}: {}", equal.compatible);
        }
    }
}

/// What a published mean taken as exact did: the same runs, judged as if the source had made
/// a million.
#[test]
fn the_source_taken_as_exact_would_err_in_a_fifth_of_the_repetitions() {
    let (n, published) = (75, 20);
    let setting = Setting::normal(n, published, 0.0583);
    let [edge] = judge(&setting, [MARGIN], 201);
    assert_at_most(edge.reproduced, 0.05, "as a sample");
    let mut random = Numbers::new(201, Stream::Data, 1);
    let (row, mut paper) = files();
    let of_f1 = |one: &Summary| one.metric == Metric::F1;
    let template = summary::summarise(&[row]).unwrap().into_iter().find(of_f1).unwrap();
    paper.figures[0].runs = Some(1_000_000);
    let mut wrong = 0;
    for _ in 0..REPETITIONS {
        let mut mean = |n: usize| -> (f64, f64) {
            let runs: Vec<f64> = (0..n).map(|_| 0.5 + 0.0583 * random.normal()).collect();
            (stats::mean(&runs).unwrap(), stats::std(&runs).unwrap())
        };
        let ((ours, std), (theirs, _)) = (mean(n), mean(published as usize));
        paper.figures[0].value = theirs;
        let (mean, std) = (Some(ours + MARGIN), Some(std));
        let summary = Summary { runs: n, n, mean, std, ..template.clone() };
        wrong += u32::from(judged(&summary, &paper).verdict == Verdict::Reproduced);
    }
    let share = f64::from(wrong) / f64::from(REPETITIONS);
    assert!((share - 0.2).abs() < 0.04, "{share}");
}

/// A paper that prints mean, std and n of runs of its own. Welch's test is not exact: with few
/// runs on one side and the other side's spread small it errs in up to 6 % (Welch, 1947).
#[test]
fn against_a_mean_with_its_own_spread_too() {
    for (seed, (n, std, (theirs, published), bound)) in (11..).zip([
        (3, 0.003, (0.003, 5), 0.05),
        (5, 0.003, (0.009, 5), 0.052),
        (20, 0.01, (0.02, 20), 0.05),
        (20, 0.02, (0.01, 5), 0.05),
        (3, 0.004, (0.004, 20), 0.061),
    ]) {
        let setting = Setting { their_std: Some(theirs), ..Setting::normal(n, published, std) };
        let what = format!("{setting:?}");
        let [low, high, half] = judge(&setting, [-MARGIN, MARGIN, MARGIN / 2.0], seed);
        for edge in [low, high] {
            assert_at_most(edge.reproduced, bound, &what);
            assert_at_most(edge.refused, bound, &what);
        }
        assert_at_most(half.refused, 0.05, &what);
    }
}

/// With a margin below one standard error, "not reproduced" looks beyond both edges: up to 10 % for
/// a margin near 0. The power function knows how many. A source of one run whose spread is three
/// margins is such a case, and nothing is ever reproduced beside it.
#[test]
fn a_margin_below_the_noise_is_missed_by_chance_as_often_as_computed() {
    for (seed, (n, published, std)) in
        (31..).zip([(3, 20, 0.2), (20, 20, 0.4), (3, 1, 0.0583), (20, 1, 0.0583), (1000, 1, 0.05)])
    {
        let setting = Setting::normal(n, published, std);
        for (difference, found) in
            [0.0, MARGIN].into_iter().zip(judge(&setting, [0.0, MARGIN], seed))
        {
            let expected = stats::power_not_reproduced(&setting.design(), difference);
            assert!(expected < 0.1, "{expected}");
            assert_near(found.refused, expected, &format!("{setting:?} {difference}"));
            assert_at_most(found.reproduced, 0.05, &format!("{setting:?}"));
            if published == 1 && n > 3 {
                assert!(found.undecidable > 0.85, "{setting:?}: {}", found.undecidable);
            }
        }
    }
}

#[test]
fn observed_shares_of_verdicts_agree_with_their_power() {
    for (seed, (n, published, std)) in
        (41..).zip([(3, 5, 0.005), (5, 1, 0.004), (20, 20, 0.02), (20, 5, 0.01), (75, 20, 0.02)])
    {
        let setting = Setting::normal(n, published, std);
        let differences = [0.0, -0.5, 1.5, 2.0].map(|share| share * MARGIN);
        for (difference, found) in differences.into_iter().zip(judge(&setting, differences, seed)) {
            let what = format!("{setting:?} {difference}");
            let reproduced = stats::power_reproduced(&setting.design(), difference);
            assert_near(found.reproduced, reproduced, &what);
            let refused = stats::power_not_reproduced(&setting.design(), difference);
            assert_near(found.refused, refused, &what);
        }
    }
}

/// The reasons of the shipped margins say what 20 runs can show, in numbers that follow from the rule.
#[test]
fn the_reasons_of_the_margins_say_what_20_runs_can_show() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/papers");
    let largest_std = |published| {
        let design = Design { n: 20, std: 1.0, margin: MARGIN, published: Some(published) };
        stats::std_for_power(&design, 0.8).unwrap()
    };
    let at_5_points = Design { n: 20, std: 0.05, margin: MARGIN, published: Some(20) };
    let of_20 = format!(
        "up to a standard deviation of {:.3}; at 0.05 their power is {:.1} %",
        largest_std(20),
        100.0 * stats::power_reproduced(&at_5_points, 0.0)
    );
    let of_one = format!("up to a standard deviation of {:.4}", largest_std(1));
    let mut said = 0;
    for (name, words) in [
        ("zong2018", of_20),
        ("danieltan07", of_one.clone()),
        ("csdn-vae-blog", of_one.clone()),
        ("tnakae", of_one.clone()),
        ("mnist-vae-notebook", of_one),
    ] {
        let paper = paper::load(&folder, name).unwrap();
        let reasons = paper.margins.values().map(|margin| &margin.reason);
        let reasons: Vec<&String> =
            reasons.filter(|reason| reason.contains("standard deviation")).collect();
        assert!(!reasons.is_empty(), "{name}");
        for reason in reasons {
            assert!(reason.contains(&words), "{name}: {reason} does not say '{words}'");
            said += 1;
        }
    }
    assert!(said >= 5);
}
