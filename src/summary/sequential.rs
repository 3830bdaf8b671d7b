//! Verdicts on runs that were added until something was decided: each look has a bound of its own, so that all looks
//! together are wrong no more often than one. Takes the looks as they were stored before the first run; when to
//! look, and whether to go on, the programs decide.

use std::collections::{HashMap, HashSet};

use super::{Comparison, Row, Verdict};
use crate::experiment::CellName;
use crate::stats::{self, Looks, Published, Sample, SequentialContrast};

/// Judges comparisons by the bounds of their looks in place of those of one look.
pub fn judge(comparisons: &mut [Comparison], looks: &Looks) {
    comparisons.iter_mut().filter(|one| is_judged(one)).for_each(|one| judge_one(one, looks));
}

/// The runs that looks are at: of each cell those of the last look of which every seed has run, counted from the
/// first seed; runs that somebody added beside them count for no verdict.
pub fn looked_at(rows: &[Row], looks: &Looks, first: u64) -> Vec<Row> {
    let mut seeds: HashMap<&CellName, HashSet<u64>> = HashMap::new();
    for row in rows {
        seeds.entry(&row.cell).or_default().insert(row.seed);
    }
    let run = |cell: &CellName| {
        let known = seeds.get(cell)?;
        let all = |look: &&usize| (first..first + **look as u64).all(|seed| known.contains(&seed));
        looks.runs.iter().rev().find(all).copied()
    };
    let reached: HashMap<&CellName, usize> =
        seeds.keys().filter_map(|cell| Some((*cell, run(cell)?))).collect();
    let counts = |row: &&Row| {
        let seeds = reached
            .get(&row.cell)
            .copied()
            .unwrap_or_else(|| looks.runs.first().map_or(0, |look| look - 1));
        (first..first + seeds as u64).contains(&row.seed)
    };
    rows.iter().filter(counts).cloned().collect()
}

/// Whether a verdict is asked for: those that are barred say why themselves.
fn is_judged(one: &Comparison) -> bool {
    one.verdict.is_of_an_interval() || one.verdict == Verdict::TooFewRuns
}

/// Whether more runs are asked for: the figure has a verdict to come, and no look has decided it.
pub fn is_open(one: &Comparison) -> bool {
    let open = matches!(one.verdict, Verdict::Inconclusive | Verdict::TooFewRuns);
    open && !one.null_model && one.margin.is_some()
}

fn judge_one(one: &mut Comparison, looks: &Looks) {
    let sample = one.mean.zip(one.std).map(|(mean, std)| Sample { n: one.n, mean, std });
    let runs = one.published_runs.and_then(|runs| usize::try_from(runs).ok()).unwrap_or(1);
    let std = one.published_std.filter(|_| runs > 1);
    let published = Published { mean: one.published, runs, std };
    let look = looks.runs.iter().take_while(|&&runs| runs <= one.n).count();
    let judged = sample.zip(looks.tail(one.n)).zip(one.margin);
    one.p_equivalent = None;
    one.p_different = None;
    one.power = None;
    one.flip_std = None;
    one.flip_below = None;
    one.runs_needed = None;
    let all = looks.runs.len();
    let Some(((sample, tail), margin)) = judged else {
        let first = looks.runs.first().copied().unwrap_or_default();
        one.verdict = Verdict::TooFewRuns;
        one.verdict_rounded = Verdict::TooFewRuns;
        one.verdict_holm = Verdict::TooFewRuns;
        add_note(one, format!("before the first of {all} looks, at {first} runs"));
        return;
    };
    let contrast = SequentialContrast::of(&sample, &published, tail);
    let is_last = look == all;
    let decide = |rounding: f64| decide(&contrast, margin, rounding, is_last);
    let noise = 1e-12 * sample.mean.abs().max(published.mean.abs());
    one.verdict = decide(noise);
    one.verdict_rounded = decide(one.rounding + noise);
    one.verdict_holm = one.verdict;
    one.ci90_low = Some(contrast.interval.low);
    one.ci90_high = Some(contrast.interval.high);
    one.smallest_margin = Some(contrast.interval.low.abs().max(contrast.interval.high.abs()));
    one.decidable_margin = Some(contrast.source_width);
    if one.verdict == Verdict::Inconclusive {
        one.runs_needed = looks.runs.get(look).copied();
    }
    add_note(
        one,
        format!(
            "look {look} of {all}, at {} runs, by the bounds of looks.csv",
            looks.runs[look - 1]
        ),
    );
}

/// The verdict at a look, wherever within its rounding the figure lies. Before the last, a figure is undecidable
/// only where the least spread that the runs leave plausible makes it so: five runs may spread more by chance.
fn decide(contrast: &SequentialContrast, margin: f64, rounding: f64, is_last: bool) -> Verdict {
    let (inner, outer) = (margin - rounding, margin + rounding);
    let (low, high) = (contrast.interval.low, contrast.interval.high);
    let source = if is_last { contrast.source_width } else { contrast.least_source_width };
    if -inner < low && high < inner {
        Verdict::Reproduced
    } else if outer < low || high < -outer {
        Verdict::NotReproduced
    } else if source >= inner {
        Verdict::Undecidable
    } else {
        Verdict::Inconclusive
    }
}

fn add_note(one: &mut Comparison, said: String) {
    one.note = if one.note.is_empty() { said } else { format!("{said}; {}", one.note) };
}

/// Runs at the most where nobody says how many.
pub const MOST_RUNS: usize = 320;

/// As [`stats::Looks::doubling`]: 5, 10, 20, … and the most.
///
/// # Errors
/// Fewer runs than the first look has.
pub fn looks(most: usize) -> Result<Looks, String> {
    Looks::doubling(most).filter(|_| most <= stats::RUNS_CAP).ok_or_else(|| {
        format!("--max-runs {most}: from 5 to {} runs can be looked at", stats::RUNS_CAP)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Numbers, Stream};

    const STD: f64 = 0.0583;

    /// What papers come to whose true mean lies so far from ours: the shares of `reproduced`, `not reproduced` and
    /// `undecidable`, and the mean number of runs.
    struct Outcome {
        reproduced: f64,
        refuted: f64,
        undecidable: f64,
        runs: f64,
    }

    fn simulate(off: f64, margin: f64, source_runs: usize, seed: u64) -> Outcome {
        const PAPERS: usize = 4_000;
        let looks = looks(MOST_RUNS).unwrap();
        let mut numbers = Numbers::new(seed, Stream::Bootstrap, 3);
        let mut normal = || {
            let (a, b) = (1.0 - numbers.uniform(), numbers.uniform());
            (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()
        };
        let mut counts = [0usize; 3];
        let mut runs = 0;
        for _ in 0..PAPERS {
            let mean = 0.9 + STD / (source_runs as f64).sqrt() * normal();
            let published = Published { mean, runs: source_runs, std: None };
            let mut ours: Vec<f64> = Vec::new();
            for (place, &look) in looks.runs.iter().enumerate() {
                while ours.len() < look {
                    ours.push(0.9 + off + STD * normal());
                }
                let (mean, std) = (stats::mean(&ours).unwrap(), stats::std(&ours).unwrap());
                let sample = Sample { n: look, mean, std };
                let contrast = SequentialContrast::of(&sample, &published, looks.tails[place]);
                let verdict = decide(&contrast, margin, 0.0, place + 1 == looks.runs.len());
                let which = match verdict {
                    Verdict::Reproduced => 0,
                    Verdict::NotReproduced => 1,
                    Verdict::Undecidable => 2,
                    _ => continue,
                };
                counts[which] += 1;
                break;
            }
            runs += ours.len();
        }
        let share = |count: usize| count as f64 / PAPERS as f64;
        let [reproduced, refuted, undecidable] = counts.map(share);
        Outcome { reproduced, refuted, undecidable, runs: runs as f64 / PAPERS as f64 }
    }

    /// `docs/verdicts.md` shows what this prints under `-- --nocapture`.
    #[test]
    fn runs_beside_the_looks_count_for_nothing() {
        let looks = Looks::doubling(20).unwrap();
        let rows =
            |seeds: &[u64]| seeds.iter().map(|&seed| Row::new("e", "c", seed)).collect::<Vec<_>>();
        let kept = |seeds: &[u64], first: u64| -> Vec<u64> {
            looked_at(&rows(seeds), &looks, first).iter().map(|row| row.seed).collect()
        };
        assert_eq!(kept(&[1, 2, 3, 4, 5, 6, 7, 8], 1), [1, 2, 3, 4, 5]);
        assert_eq!(kept(&[1, 2, 3, 4, 6], 1), [1, 2, 3, 4], "a look is not reached");
        assert_eq!(kept(&(1..=25).collect::<Vec<_>>(), 1), (1..=20).collect::<Vec<_>>());
        assert_eq!(kept(&[3, 101, 102, 103, 104, 105], 101), [101, 102, 103, 104, 105]);
    }

    #[test]
    fn all_looks_together_are_wrong_in_at_most_5_percent() {
        println!(
            "source's runs  margin  truth off by  reproduced  not reproduced  undecidable  mean runs"
        );
        let of = |off: f64, margin: f64, source: usize| {
            let found = simulate(off, margin, source, 11);
            let Outcome { reproduced, refuted, undecidable, runs } = found;
            println!(
                "{source:>13}  {margin:>6}  {off:>12}  {reproduced:>10.4}  {refuted:>14.4}  {undecidable:>11.4}  {runs:>9.1}"
            );
            found
        };
        // of 4,000 papers a true share of 5 % is found above 6 % in one of 500 simulations
        const MOST: f64 = 0.06;
        for (margin, source) in [(0.02, 1_000_000), (0.05, 20), (0.03, 20), (0.1, 5)] {
            let on_the_edge = of(margin, margin, source);
            assert!(on_the_edge.reproduced <= MOST && on_the_edge.refuted <= MOST);
            let equal = of(0.0, margin, source);
            assert!(equal.refuted <= 0.01);
        }
        let far = of(0.06, 0.02, 20);
        assert!(far.refuted > 0.5 && far.reproduced < 0.001);
        // no number of runs can show ±0.02 of a mean of 20 runs, and few are needed to say so
        let hopeless = of(0.0, 0.015, 20);
        assert!(hopeless.undecidable > 0.9 && hopeless.runs < 60.0, "{}", hopeless.runs);
    }
}
