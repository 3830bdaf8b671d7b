//! What our runs say about a quantity that a source publishes: of a metric its estimates, of a further
//! measurement its mean, of an outcome how many runs ended so.

use std::collections::HashMap;

use indexmap::IndexSet;
use serde::{Deserialize, Serialize};

use super::estimates::cells;
use super::{Row, Summary, codes};
use crate::experiment::{CellName, Scale};
use crate::paper::Paper;
use crate::paper::fingerprint::{Mark, Quantity};
use crate::stats;
use crate::store::record::State;

/// One further measurement of one run: a line of `diagnostics.csv`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measurement {
    pub experiment: String,
    pub cell: CellName,
    pub seed: u64,
    pub scale: Scale,
    pub name: String,
    pub value: f64,
}

/// The runs of one cell in one quantity.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    pub experiment: String,
    pub cell: CellName,
    pub scale: Scale,
    pub quantity: Quantity,
    /// All runs of the cell.
    pub runs: usize,
    /// Runs that the mean is over; for an outcome all.
    pub n: usize,
    pub n_failed: usize,
    pub mean: Option<f64>,
    pub std: Option<f64>,
    /// Runs that ended so, for an outcome.
    pub ended: Option<usize>,
    pub versions: usize,
    pub code: String,
    /// Why something is blank; empty where nothing is.
    pub note: String,
}

impl From<&Summary> for Evidence {
    fn from(one: &Summary) -> Self {
        Self {
            experiment: one.experiment.clone(),
            cell: one.cell.clone(),
            scale: one.scale,
            quantity: one.metric.into(),
            runs: one.runs,
            n: one.n,
            n_failed: one.n_failed,
            mean: one.mean,
            std: one.std,
            ended: None,
            versions: one.versions,
            code: one.code.clone(),
            note: one.note.clone(),
        }
    }
}

impl Evidence {
    /// A cell that nobody ran.
    pub(super) fn none(
        experiment: &str,
        cell: &CellName,
        scale: Scale,
        quantity: Quantity,
    ) -> Self {
        Self {
            experiment: experiment.into(),
            cell: cell.clone(),
            scale,
            quantity,
            runs: 0,
            n: 0,
            n_failed: 0,
            mean: None,
            std: None,
            ended: None,
            versions: 0,
            code: String::new(),
            note: "nobody ran this cell".into(),
        }
    }
}

/// The summaries as evidence, followed by what the rows and their further measurements say about the
/// fingerprints that these papers print. A control has evidence of what was measured of it, and
/// of no outcome: it is not trained.
pub fn evidence(
    summaries: &[Summary],
    rows: &[Row],
    measurements: &[Measurement],
    papers: &[Paper],
) -> Vec<Evidence> {
    let mut evidence: Vec<Evidence> = summaries.iter().map(Evidence::from).collect();
    let marks: IndexSet<Quantity> = papers
        .iter()
        .flat_map(|paper| &paper.fingerprints)
        .map(|one| Quantity::from(&one.of))
        .collect();
    let mut values: HashMap<(&str, &str, u64, &str), f64> = HashMap::new();
    for one in measurements.iter().filter(|one| one.value.is_finite()) {
        values.insert((&one.experiment, &one.cell, one.seed, &one.name), one.value);
    }
    let cells = cells(rows);
    for quantity in &marks {
        for runs in cells.values() {
            evidence.extend(match quantity {
                Quantity::Metric(_) => None,
                Quantity::Diagnostic(name) => {
                    let value = |row: &&&Row| {
                        let place = (row.experiment.as_str(), row.cell.as_str(), row.seed);
                        values.get(&(place.0, place.1, place.2, name.as_str())).copied()
                    };
                    let ok = runs.iter().filter(|row| row.state == State::Ok);
                    measured(runs, quantity, &ok.filter_map(|row| value(&row)).collect::<Vec<_>>())
                }
                Quantity::Outcome(state) => ended(runs, quantity, *state),
            });
        }
    }
    // a cell's fingerprints stand below its metrics
    let order: IndexSet<(String, CellName)> =
        evidence.iter().map(|one| (one.experiment.clone(), one.cell.clone())).collect();
    let place = |one: &Evidence| (one.experiment.clone(), one.cell.clone());
    evidence.sort_by_cached_key(|one| order.get_index_of(&place(one)));
    evidence
}

/// None for a control that was not measured.
fn measured(runs: &[&Row], quantity: &Quantity, values: &[f64]) -> Option<Evidence> {
    if values.is_empty() && runs[0].cell.is_control() {
        return None;
    }
    let note = match values.len() {
        0 => "no run has this measurement",
        1 => "one run has no spread",
        _ => "",
    };
    Some(Evidence {
        n: values.len(),
        mean: stats::mean(values),
        std: stats::std(values),
        note: note.into(),
        ..of_cell(runs, quantity)
    })
}

fn ended(runs: &[&Row], quantity: &Quantity, state: State) -> Option<Evidence> {
    if runs[0].cell.is_control() {
        return None;
    }
    let ended = runs.iter().filter(|row| row.state == state).count();
    Some(Evidence {
        n: runs.len(),
        mean: Some(ended as f64 / runs.len() as f64),
        ended: Some(ended),
        ..of_cell(runs, quantity)
    })
}

fn of_cell(runs: &[&Row], quantity: &Quantity) -> Evidence {
    let (versions, code) = codes(runs.iter().copied());
    Evidence {
        experiment: runs[0].experiment.clone(),
        cell: runs[0].cell.clone(),
        scale: runs[0].scale,
        quantity: quantity.clone(),
        runs: runs.len(),
        n: 0,
        n_failed: runs.iter().filter(|row| row.state != State::Ok).count(),
        mean: None,
        std: None,
        ended: None,
        versions,
        code,
        note: String::new(),
    }
}

/// What a paper says of one experiment: figures of metrics, then fingerprints, each in the order of
/// its file.
pub(super) struct Claim<'a> {
    pub quantity: Quantity,
    pub table: &'a str,
    pub method: &'a str,
    pub value: f64,
    pub rounding: f64,
    pub std: Option<f64>,
    pub runs: Option<u64>,
    pub status: crate::paper::Status,
    pub cell: Option<&'a CellName>,
    pub margin: Option<f64>,
}

pub(super) fn claims<'a>(paper: &'a Paper, experiment: &str) -> Vec<Claim<'a>> {
    let figures = paper.figures.iter().filter(|one| one.experiment.as_deref() == Some(experiment));
    let figures = figures.map(|one| Claim {
        quantity: one.metric.into(),
        table: &one.table,
        method: &one.method,
        value: one.value,
        rounding: one.rounding(),
        std: one.std,
        runs: one.runs,
        status: one.status,
        cell: one.cell.as_ref(),
        margin: paper.margins.get(&one.metric).map(|margin| margin.value),
    });
    let own = |one: &&crate::paper::fingerprint::Fingerprint| {
        one.experiment.as_deref() == Some(experiment)
    };
    let fingerprints = paper.fingerprints.iter().filter(own).map(|one| Claim {
        quantity: Quantity::from(&one.of),
        table: &one.table,
        method: &one.method,
        value: one.value,
        rounding: match one.of {
            Mark::Diagnostic(_) => 0.5 / 10f64.powi(one.decimals as i32),
            Mark::Outcome(_) => 0.0,
        },
        std: one.std,
        runs: one.runs,
        status: one.status,
        cell: one.cell.as_ref(),
        margin: one.margin.as_ref().map(|margin| margin.value),
    });
    figures.chain(fingerprints).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{figure, paper, rows};
    use super::super::{compare, summarise};
    use super::*;
    use crate::paper::fingerprint::Fingerprint;
    use crate::paper::{Margin, Status};

    fn fingerprint(of: Mark, value: f64) -> Fingerprint {
        Fingerprint {
            table: "output".into(),
            dataset: "made-up".into(),
            setting: "one run".into(),
            method: "DAGMM".into(),
            of,
            value,
            decimals: 2,
            std: None,
            runs: Some(1),
            status: Status::Verified,
            source: None,
            experiment: Some("made-up".into()),
            cell: None,
            margin: None,
        }
    }

    fn measurement(cell: &str, seed: u64, value: f64) -> Measurement {
        Measurement {
            experiment: "made-up".into(),
            cell: cell.into(),
            seed,
            scale: Scale::Full,
            name: "energy".into(),
            value,
        }
    }

    fn compared(
        rows: &[Row],
        measurements: &[Measurement],
        paper: &Paper,
    ) -> Vec<super::super::Comparison> {
        let papers = std::slice::from_ref(paper);
        let evidence = evidence(&summarise(rows).unwrap(), rows, measurements, papers);
        compare(&evidence, paper, "made-up", Some(4))
    }

    #[test]
    fn a_measurement_is_compared_over_the_runs_that_ended_ok() {
        let mut runs = rows("base", &[0.9, 0.9, 0.9, 0.9]);
        runs[3].state = State::Diverged;
        runs.extend(rows("base,control=untrained", &[0.5, 0.5, 0.5]));
        let measured: Vec<Measurement> = (1..)
            .zip([11.0, 12.0, 13.0, f64::INFINITY])
            .map(|(seed, value)| measurement("base", seed, value))
            .collect();
        let energy = fingerprint(Mark::Diagnostic("energy".into()), 11.35);
        let mut paper = paper(vec![figure()]);
        paper.fingerprints = vec![energy.clone()];
        let all = compared(&runs, &measured, &paper);
        let found: Vec<_> = all.iter().filter(|one| one.metric.metric().is_none()).collect();
        assert_eq!(found.len(), 1, "the control was not measured");
        let one = found[0];
        assert_eq!((one.n, one.n_failed, one.mean, one.std), (3, 1, Some(12.0), Some(1.0)));
        assert_eq!(one.verdict_text(), "no margin (1 of 4 runs failed)");
        assert!((one.difference.unwrap() - 0.65).abs() < 1e-12);
        // three runs have no interval
        assert_eq!((one.compatible, one.rounding), (None, 0.005));
        let margin = Margin { value: 50.0, reason: "wide".into() };
        paper.fingerprints = vec![Fingerprint { margin: Some(margin), ..energy.clone() }];
        let of_energy = |paper: &Paper| {
            let all = compared(&runs, &measured, paper);
            all.into_iter().find(|one| one.metric.metric().is_none()).unwrap()
        };
        let judged = of_energy(&paper);
        assert_eq!(judged.verdict.as_str(), "reproduced");
        paper.fingerprints = vec![Fingerprint { value: -40.0, ..energy }];
        let far = of_energy(&paper);
        assert_eq!((far.compatible, far.metric.to_string()), (None, "energy".to_owned()));
    }

    #[test]
    fn an_outcome_is_the_number_of_runs_that_ended_so_with_its_exact_interval() {
        let mut paper = paper(vec![figure()]);
        paper.fingerprints = vec![fingerprint(Mark::Outcome(State::Diverged), 1.0)];
        let of = |diverged: usize| {
            let mut runs = rows("base", &[0.9; 20]);
            runs.iter_mut().take(diverged).for_each(|row| row.state = State::Diverged);
            compared(&runs, &[], &paper).pop().unwrap()
        };
        let all = of(20);
        assert_eq!((all.n, all.mean, all.ended), (20, Some(1.0), Some(20)));
        assert_eq!((all.metric.to_string().as_str(), all.std), ("outcome:diverged", None));
        // 0.025^(1/20)
        assert!((all.share_low.unwrap() - 0.831_566_5).abs() < 1e-6);
        assert_eq!((all.share_high, all.compatible), (Some(1.0), Some(true)));
        assert_eq!(all.verdict_text(), "no margin (20 of 20 runs failed)");
        // one run that diverged is not strange where one in twenty does
        assert_eq!((of(1).compatible, of(0).compatible), (Some(true), Some(false)));
        assert_eq!(of(0).mean, Some(0.0));
    }
}
