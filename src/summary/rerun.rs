//! A run beside the same run trained again: which of its parts are the same bits, how far apart the
//! others lie, and whether that is as it should be. Pure: it trains nothing and reads no file.
//! How to read its verdicts: `docs/verification.md`.

use serde::Serialize;

use crate::experiment::CellName;
use crate::metrics::Metric;
use crate::store::record::{Record, State};
use crate::summary::Row;

/// How far a metric, in [0, 1], may lie from its stored value where other hardware, another libtorch or
/// another batch width made it.
pub const TOLERANCE: f64 = 0.005;

/// What is known of a stored run: its row, and its record where that is stored too.
#[derive(Debug, Clone, Copy)]
pub struct Stored<'a> {
    pub row: &'a Row,
    pub record: Option<&'a Record>,
}

/// How a run came out that was trained again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Everything that is known of the stored run is the same, to the last bit of every score.
    SameBits,
    /// Made in other circumstances, from the same data and split, with every metric near its stored one.
    WithinTolerance,
    /// Not what is stored.
    Differs,
    /// Not what is stored, and nothing else was to be expected: the method does not give the same scores
    /// twice under one seed.
    NotRepeatable,
}

impl Verdict {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SameBits => "same bits",
            Self::WithinTolerance => "within tolerance",
            Self::Differs => "DIFFERS",
            Self::NotRepeatable => "not repeatable",
        }
    }
}

/// One part of a run and whether it is the same; none where the stored run does not say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Part {
    pub name: &'static str,
    pub same: Option<bool>,
}

/// A number of a run, stored and made again.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Distance {
    pub name: &'static str,
    pub stored: Option<f64>,
    pub again: Option<f64>,
    /// |again − stored|, where there are both.
    pub distance: Option<f64>,
}

/// A stored run and the same run trained again.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Check {
    pub cell: CellName,
    pub seed: u64,
    pub verdict: Verdict,
    /// Why bits need not agree: `libtorch 2.11.0 -> 2.12.0`; nothing where they must.
    pub circumstances: Vec<String>,
    pub parts: Vec<Part>,
    /// Each metric and the threshold.
    pub distances: Vec<Distance>,
    /// Largest |again − stored| / max(|again|, |stored|) over the loss curve; none without a record.
    pub loss_distance: Option<f64>,
}

impl Check {
    /// Whether a part is the same, and known to be.
    fn is_same(&self, name: &str) -> bool {
        self.parts.iter().any(|part| part.name == name && part.same == Some(true))
    }

    /// Whether it differs in what a program writes, from the same rows: worth making once more. The same
    /// scores have the same metrics whoever made them.
    pub fn is_doubtful(&self) -> bool {
        let beside_scores = ["loss curve", "diagnostics", "epochs"];
        let only_beside = self.different().iter().all(|name| beside_scores.contains(name));
        self.verdict == Verdict::Differs
            && self.is_same("data")
            && self.is_same("split")
            && (!self.is_same("scores") || only_beside)
    }

    /// Takes in how the run came out when it was made twice again. Where those two are apart, the method
    /// is not repeatable, and that the stored run is apart too says nothing.
    pub fn made_twice(&mut self, again: &Record, once_more: &Record) {
        let same = again.state == once_more.state
            && again.digests.scores == once_more.digests.scores
            && bits(&again.loss_curve) == bits(&once_more.loss_curve)
            && again.diagnostics == once_more.diagnostics;
        if self.is_doubtful() && !same {
            self.verdict = Verdict::NotRepeatable;
        }
    }

    /// The parts that are not the same.
    pub fn different(&self) -> Vec<&'static str> {
        let different = self.parts.iter().filter(|part| part.same == Some(false));
        different.map(|part| part.name).collect()
    }

    /// The largest distance of a metric.
    pub fn largest(&self) -> Option<&Distance> {
        let metrics = self.distances.iter().filter(|one| one.name != THRESHOLD);
        let known = metrics.filter(|one| one.distance.is_some());
        known.max_by(|a, b| a.distance.unwrap_or(0.0).total_cmp(&b.distance.unwrap_or(0.0)))
    }

    fn judge(&self, tolerance: f64, blank: bool) -> Verdict {
        let different = self.different();
        // a row may say little: scores decide that bits agree, and a failed run has none
        if different.is_empty() && (self.is_same("scores") || self.is_same("failure")) {
            return Verdict::SameBits;
        }
        let decisive = ["state", "data", "split", "epochs"];
        // the same scores have the same metrics on any machine, and no circumstance empties a field
        if blank
            || (self.circumstances.is_empty() && !different.is_empty())
            || different.iter().any(|name| decisive.contains(name))
            || self.is_same("scores")
        {
            return Verdict::Differs;
        }
        let near = |one: &Distance| match (one.stored, one.again) {
            (Some(_), Some(_)) => one.distance.is_some_and(|distance| distance <= tolerance),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        let mut metrics = self.distances.iter().filter(|one| one.name != THRESHOLD);
        if metrics.all(near) { Verdict::WithinTolerance } else { Verdict::Differs }
    }
}

const THRESHOLD: &str = "threshold";

/// Compares a stored run with `again`, the same run trained again, and its row.
pub fn check(stored: Stored, again: &Record, again_row: &Row, tolerance: f64) -> Check {
    let distances: Vec<Distance> = Metric::ALL
        .map(|metric| (metric.as_str(), stored.row.value(metric), again_row.value(metric)))
        .into_iter()
        .chain([(THRESHOLD, stored.row.threshold, again_row.threshold)])
        .map(|(name, stored, again)| {
            let distance = stored.zip(again).map(|(stored, again)| distance(stored, again));
            Distance { name, stored, again, distance }
        })
        .collect();
    let mut check = Check {
        cell: stored.row.cell.clone(),
        seed: stored.row.seed,
        verdict: Verdict::Differs,
        circumstances: circumstances(stored, again, again_row),
        parts: parts(stored, again, again_row, &distances),
        distances,
        loss_distance: stored.record.map(|record| loss_distance(record, again)),
    };
    check.verdict = check.judge(tolerance, has_blanks(stored.row));
    check
}

/// Whether a row of a run that ended well lacks what each such run has.
fn has_blanks(row: &Row) -> bool {
    let digests = [&row.data_sha256, &row.split_sha256, &row.init_sha256, &row.scores_sha256];
    let counts = [row.tp, row.fp, row.fn_, row.tn];
    row.state == State::Ok
        && (digests.iter().any(|digest| digest.is_empty()) || counts.contains(&None))
}

/// 0 also between equal infinities.
fn distance(stored: f64, again: f64) -> f64 {
    if stored == again { 0.0 } else { (again - stored).abs() }
}

fn parts(stored: Stored, again: &Record, again_row: &Row, numbers: &[Distance]) -> Vec<Part> {
    let row = stored.row;
    // a run that ended well has them all: what is blank was taken out
    let complete = row.state == State::Ok;
    let digest = |name, known: &str, now: &str| Part {
        name,
        same: (!known.is_empty() || complete).then_some(known == now),
    };
    let counts = [row.tp, row.fp, row.fn_, row.tn];
    let counts_again = [again_row.tp, again_row.fp, again_row.fn_, again_row.tn];
    let mut parts = vec![
        Part { name: "state", same: Some(row.state == again_row.state) },
        digest("data", &row.data_sha256, &again_row.data_sha256),
        digest("split", &row.split_sha256, &again_row.split_sha256),
        digest("weights", &row.init_sha256, &again_row.init_sha256),
        digest("scores", &row.scores_sha256, &again_row.scores_sha256),
    ];
    let known = |name, known: bool, same: bool| Part { name, same: known.then_some(same) };
    parts.push(known(
        "counts",
        complete || counts.iter().any(Option::is_some),
        counts == counts_again,
    ));
    parts.push(known("epochs", row.epochs.is_some(), row.epochs == again_row.epochs));
    parts.extend(numbers.iter().map(|one| {
        let bits = |value: Option<f64>| value.map(f64::to_bits);
        known(one.name, complete || one.stored.is_some(), bits(one.stored) == bits(one.again))
    }));
    if let Some(record) = stored.record {
        let same = record.loss_terms == again.loss_terms
            && bits(&record.loss_curve) == bits(&again.loss_curve);
        parts.push(known("loss curve", true, same));
        parts.push(known("diagnostics", true, record.diagnostics == again.diagnostics));
        if row.state != State::Ok {
            parts.push(known("failure", true, record.failure == again.failure));
        }
    }
    parts
}

/// A curve's bits: NaN is no number, and is the same NaN.
fn bits(curve: &[Vec<f64>]) -> Vec<Vec<u64>> {
    curve.iter().map(|means| means.iter().map(|mean| mean.to_bits()).collect()).collect()
}

/// In what the circumstances differ that may move bits and are no part of a run's spec.
fn circumstances(stored: Stored, again: &Record, again_row: &Row) -> Vec<String> {
    let mut found = Vec::new();
    let mut compare = |what: &str, stored: &str, again: &str| {
        // a method without libtorch has no version of it, then and now
        if stored.is_empty() && again.is_empty() {
            return;
        }
        if stored.is_empty() {
            found.push(format!("{what} unknown -> {again}"));
        } else if stored != again {
            found.push(format!("{what} {stored} -> {again}"));
        }
    };
    let kind = match &stored.row.device {
        device if device.starts_with("cuda") => "cuda",
        device => device.as_str(),
    };
    compare("device", kind, &again.device_kind);
    compare("libtorch", &stored.row.libtorch, &again_row.libtorch);
    let cpu = stored.record.map_or("", |record| &record.provenance.cpu);
    compare("processor", cpu, &again.provenance.cpu);
    if let Some(card) = &again.provenance.card {
        let stored = stored.record.and_then(|record| record.provenance.card.as_ref());
        compare("card", stored.map_or("", |card| &card.model), &card.model);
    }
    let environment = stored.record.map_or("", |record| &record.provenance.environment);
    compare("environment", environment, &again.provenance.environment);
    let width = |row: &Row| row.batch_width.map_or(String::new(), |width| width.to_string());
    compare("batch width", &width(stored.row), &width(again_row));
    found
}

/// Infinite where one curve is longer, or one value no number and the other one.
fn loss_distance(stored: &Record, again: &Record) -> f64 {
    let lengths = |record: &Record| record.loss_curve.iter().map(Vec::len).collect::<Vec<_>>();
    if lengths(stored) != lengths(again) {
        return f64::INFINITY;
    }
    let pairs = stored.loss_curve.iter().flatten().zip(again.loss_curve.iter().flatten());
    let relative = |(&a, &b): (&f64, &f64)| {
        if a.to_bits() == b.to_bits() || a == b {
            0.0
        } else {
            (b - a).abs() / a.abs().max(b.abs())
        }
    };
    let distances = pairs.map(relative).map(|far| if far.is_nan() { f64::INFINITY } else { far });
    distances.fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::experiment::Scale;
    use crate::experiment::{Experiment, Selection};
    use crate::metrics::{Counts, Metrics};
    use crate::report::rows_of;
    use crate::store::record::{Digests, Job, OnCard, Provenance, Switches};

    fn record() -> Record {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/synthetic.toml");
        let experiment = Experiment::load(&path.to_string_lossy(), &Selection::default()).unwrap();
        let digest = |text: &str| text.to_owned();
        let (f1, auroc) = (Some(0.8), Some(0.9));
        let cell = &experiment.cells[0];
        let job = Job::of(&experiment.name, Scale::Full, Vec::new(), vec![1]);
        Record {
            counts: Some(Counts { tp: 4, fp: 1, fn_: 1, tn: 14 }),
            metrics: Some(Metrics::from_fn(|metric| match metric {
                Metric::Precision | Metric::Recall | Metric::F1 => f1,
                Metric::Auroc | Metric::AurocOfFlags => auroc,
                Metric::Auprc => None,
            })),
            threshold: Some(f64::INFINITY),
            epochs: 2,
            loss_curve: vec![vec![2.0], vec![f64::NAN]],
            loss_terms: vec!["loss".into()],
            digests: Digests {
                data: digest("d"),
                split: digest("s"),
                init: digest("i"),
                scores: digest("c"),
            },
            provenance: Provenance {
                libtorch: "2.11.0".into(),
                device: "cpu".into(),
                cpu: "a processor".into(),
                ..Provenance::default()
            },
            wall_seconds: 1.0,
            ..Record::of(&job, cell, 1, "d")
        }
    }

    /// Of a stored record, or of its row alone, beside [`record`].
    fn checked(stored: &Record, with_record: bool) -> Check {
        let (row, again) = (&rows_of(std::slice::from_ref(stored))[0], record());
        let again_row = &rows_of(std::slice::from_ref(&again))[0];
        let stored = Stored { row, record: with_record.then_some(stored) };
        check(stored, &again, again_row, TOLERANCE)
    }

    fn changed(change: impl Fn(&mut Record)) -> Record {
        let mut record = record();
        change(&mut record);
        record
    }

    #[test]
    fn the_same_run_has_the_same_bits_with_and_without_its_record() {
        let check = checked(&record(), true);
        assert_eq!((check.verdict, check.different()), (Verdict::SameBits, vec![]));
        assert_eq!((check.loss_distance, check.circumstances.len()), (Some(0.0), 0));
        let row = checked(&record(), false);
        assert_eq!((row.verdict, row.loss_distance), (Verdict::SameBits, None));
        assert_eq!(row.circumstances, ["processor unknown -> a processor"]);
        // time and place are no part of a result
        let moved =
            changed(|record| (record.provenance.host, record.wall_seconds) = ("h".into(), 9.0));
        assert_eq!(checked(&moved, true).verdict, Verdict::SameBits);
    }

    #[test]
    fn in_the_same_circumstances_one_other_bit_is_a_difference() {
        type Change = fn(&mut Record);
        let changes: [(&str, Change); 8] = [
            ("state", |record| record.state = State::Diverged),
            ("split", |record| record.digests.split = "x".into()),
            ("weights", |record| record.digests.init = "x".into()),
            ("scores", |record| record.digests.scores = "x".into()),
            ("counts", |record| record.counts = None),
            ("threshold", |record| record.threshold = Some(f64::MAX)),
            ("loss curve", |record| record.loss_curve[0][0] = 2.0_f64.next_up()),
            ("f1", |record| record.metrics.as_mut().unwrap()[Metric::F1] = Some(0.8_f64.next_up())),
        ];
        for (name, change) in changes {
            let check = checked(&changed(change), true);
            assert_eq!(check.verdict, Verdict::Differs, "{name}");
            assert_eq!(check.different(), [name]);
        }
    }

    #[test]
    fn in_other_circumstances_metrics_near_the_stored_ones_will_do() {
        let elsewhere = |f1: f64, scores: &str| {
            changed(|record| {
                record.provenance.cpu = "another".into();
                record.digests.scores = scores.into();
                record.metrics.as_mut().unwrap()[Metric::F1] = Some(f1);
            })
        };
        let near = checked(&elsewhere(0.804, "x"), true);
        assert_eq!(near.verdict, Verdict::WithinTolerance);
        assert_eq!(near.circumstances, ["processor another -> a processor"]);
        assert_eq!(near.largest().unwrap().name, "f1");
        assert!((near.largest().unwrap().distance.unwrap() - 0.004).abs() < 1e-12);
        assert_eq!(checked(&elsewhere(0.806, "x"), true).verdict, Verdict::Differs);
        // the same scores cannot have other metrics, wherever they were made
        assert_eq!(checked(&elsewhere(0.801, "c"), true).verdict, Verdict::Differs);
        let mut other_split = elsewhere(0.8, "x");
        other_split.digests.split = "x".into();
        assert_eq!(checked(&other_split, true).verdict, Verdict::Differs);
    }

    #[test]
    fn a_run_that_comes_out_otherwise_each_time_is_its_methods_and_a_lie_is_none() {
        let (again, other) = (record(), changed(|record| record.digests.scores = "y".into()));
        let mut noisy = checked(&changed(|record| record.digests.scores = "x".into()), true);
        let mut forged = noisy.clone();
        forged.made_twice(&again, &again);
        assert_eq!(forged.verdict, Verdict::Differs);
        noisy.made_twice(&again, &other);
        assert_eq!(noisy.verdict, Verdict::NotRepeatable);
        let set_f1 = |record: &mut Record| record.metrics.as_mut().unwrap()[Metric::F1] = Some(0.9);
        let mut lie = checked(&changed(set_f1), true);
        assert!(!lie.is_doubtful());
        lie.made_twice(&again, &other);
        assert_eq!(lie.verdict, Verdict::Differs);
        let timed = |seconds: f64| {
            changed(|record| record.diagnostics = [("seconds".to_owned(), seconds)].into())
        };
        let mut timing = checked(&timed(1.0), true);
        timing.made_twice(&timed(2.0), &timed(3.0));
        assert_eq!(timing.verdict, Verdict::NotRepeatable);
    }

    #[test]
    fn what_a_method_does_not_have_is_no_circumstance() {
        let without = |record: &mut Record| record.provenance.libtorch.clear();
        let again = changed(without);
        let again_row = &rows_of(std::slice::from_ref(&again))[0];
        let stored = changed(|record| {
            without(record);
            record.digests.scores = "x".into();
        });
        let row = &rows_of(std::slice::from_ref(&stored))[0];
        let stored = Stored { row, record: Some(&stored) };
        let check = check(stored, &again, again_row, TOLERANCE);
        assert_eq!((check.circumstances.len(), check.verdict), (0, Verdict::Differs));
    }

    #[test]
    fn another_environment_than_the_stored_runs_is_a_circumstance() {
        let of = |digest: &str| changed(|record| record.provenance.environment = digest.into());
        let again = of("a");
        let again_row = &rows_of(std::slice::from_ref(&again))[0];
        for (stored, expected) in [
            ("a", vec![]),
            ("b", vec!["environment b -> a"]),
            ("", vec!["environment unknown -> a"]),
        ] {
            let stored = of(stored);
            let row = &rows_of(std::slice::from_ref(&stored))[0];
            let found = circumstances(Stored { row, record: Some(&stored) }, &again, again_row);
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn another_card_than_the_stored_runs_is_a_circumstance() {
        let on = |model: &str| {
            let switches = Switches {
                deterministic_algorithms: true,
                cudnn_deterministic: true,
                cudnn_benchmark: false,
                tf32_products: false,
                tf32_convolutions: false,
            };
            let card = OnCard { model: model.into(), switches, cublas_workspace: ":4096:8".into() };
            changed(|record| record.provenance.card = Some(card.clone()))
        };
        let again = on("a card");
        let again_row = &rows_of(std::slice::from_ref(&again))[0];
        for (stored, expected) in [
            (on("a card"), vec![]),
            (on("another"), vec!["card another -> a card"]),
            (record(), vec!["card unknown -> a card"]),
        ] {
            let row = &rows_of(std::slice::from_ref(&stored))[0];
            let found = circumstances(Stored { row, record: Some(&stored) }, &again, again_row);
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn what_a_row_leaves_blank_is_a_difference() {
        let elsewhere = |change: fn(&mut Record)| {
            let bare = changed(|record| {
                record.provenance = Provenance::default();
                record.digests.scores = "x".into();
                change(record);
            });
            checked(&bare, false)
        };
        assert_eq!(elsewhere(|_| ()).verdict, Verdict::WithinTolerance);
        let changes: [fn(&mut Record); 6] = [
            |record| record.digests.data.clear(),
            |record| record.digests.split.clear(),
            |record| record.digests.scores.clear(),
            |record| record.metrics.as_mut().unwrap()[Metric::F1] = None,
            |record| record.counts = None,
            |record| record.epochs = 30_000,
        ];
        for (number, change) in changes.into_iter().enumerate() {
            assert_eq!(elsewhere(change).verdict, Verdict::Differs, "change {number}");
        }
    }
}
