//! From scores to a record: flags by the cell's rule, metrics, and what is kept of them.

use std::collections::BTreeMap;

use super::prepare::{Prepared, Run};
use super::score_file;
use crate::digest;
use crate::error::Error;
use crate::files;
use crate::metrics::{self, Counts, Metrics};
use crate::store::record::{Provenance, Record, State};
use crate::store::scores::{self, Of};

/// Scores of a run's rows; higher means more anomalous.
#[derive(Debug, Clone)]
pub struct Scored {
    /// Of the training rows, where they were asked for.
    pub train: Option<Vec<f64>>,
    pub test: Vec<f64>,
    /// ‖x−x'‖² of the test rows.
    pub test_error: Vec<f64>,
    /// What makes the scores meaningless, in words.
    pub broken: Option<&'static str>,
}

/// What is measured on the scores of an `ok` run.
#[derive(Debug)]
pub struct Measured {
    pub counts: Counts,
    pub metrics: Metrics,
    pub threshold: f64,
    pub diagnostics: BTreeMap<String, f64>,
    pub scores_digest: String,
}

/// What became of one cell of a run: its measures, or how it failed and why.
pub type Outcome = Result<Measured, (State, String)>;

/// How a run ended, as far as it came.
#[derive(Debug)]
pub struct Ending {
    pub outcome: Outcome,
    /// One entry an epoch: the mean of each term of the loss, by the names in `terms`.
    pub curve: Vec<Vec<f64>>,
    pub terms: Vec<String>,
    /// Seconds.
    pub wall: f64,
    pub provenance: Provenance,
}

impl Prepared<'_> {
    /// Flags a run's test rows by the rule of the job's cell of this number, and measures the outcome.
    /// `labels` are those of all rows that were scored.
    pub fn measure(&self, run: &Run, cell: usize, scored: &Scored, labels: &[bool]) -> Outcome {
        let (protocol, tested) = (&self.job.cells[cell].protocol, &run.tested[cell]);
        let (test, labels) = (tested.of(&scored.test), tested.of(labels));
        let train = scored.train.as_deref().filter(|_| protocol.scores_training_rows());
        let train = train.unwrap_or_default();
        if let Some(why) = scored.broken {
            return Err((State::Diverged, why.into()));
        }
        if test.iter().chain(train).any(|score| score.is_nan()) {
            return Err((State::Diverged, "a score is not a number after training".into()));
        }
        let invalid = |error: Error| (State::InvalidData, error.to_string());
        let flagged = metrics::flag(&protocol.threshold, &test, &labels, train).map_err(invalid)?;
        let (counts, metrics) =
            metrics::evaluate(&test, &labels, &flagged.flags).map_err(invalid)?;
        let errors = tested.of(&scored.test_error);
        let mut diagnostics = diagnostics(&errors, &labels, self.dataset.bayes_auroc());
        let mean = train.iter().sum::<f64>() / train.len() as f64;
        if mean.is_finite() {
            diagnostics.insert("score_train".to_owned(), mean);
        }
        self.keep_scores(run, cell, scored, train)?;
        let (threshold, scores_digest) = (flagged.threshold, digest::of_numbers(&test));
        Ok(Measured { counts, metrics, threshold, diagnostics, scores_digest })
    }

    /// Writes the scores of all rows that were scored beside the run's record, where the job keeps them.
    fn keep_scores(
        &self,
        run: &Run,
        cell: usize,
        scored: &Scored,
        train: &[f64],
    ) -> Result<(), (State, String)> {
        let Some(kept) = self.job.kept.as_ref().filter(|kept| kept.scores) else { return Ok(()) };
        let label = &self.job.cells[cell].label;
        for (of, scores) in [(Of::Test, scored.test.as_slice()), (Of::Train, train)] {
            if of == Of::Train && scores.is_empty() {
                continue;
            }
            let path = scores::place(&kept.folder, label, run.seed, of);
            // a full disk says nothing of the run: it may be tried again
            let folder = path.parent().unwrap_or(&kept.folder);
            let kept = files::refuse_links(&kept.folder, folder)
                .and_then(|()| score_file::write(&path, scores));
            kept.map_err(|error| {
                (State::Crashed, format!("cannot write {}: {error}", path.display()))
            })?;
        }
        Ok(())
    }

    /// Makes the record of a run for the job's cell of this number.
    pub fn record(&self, run: &Run, cell: usize, ending: Ending) -> Record {
        let mut record = Record {
            epochs: ending.curve.len() as u64,
            loss_curve: ending.curve,
            loss_terms: ending.terms,
            provenance: ending.provenance,
            wall_seconds: ending.wall,
            ..Record::of(self.job, &self.job.cells[cell], run.seed, &run.digests.data)
        };
        record.digests.clone_from(&run.digests);
        record.digests.split.clone_from(&run.tested[cell].split_digest);
        match ending.outcome {
            Ok(measured) => {
                record.counts = Some(measured.counts);
                record.metrics = Some(measured.metrics);
                record.threshold = Some(measured.threshold);
                record.diagnostics = measured.diagnostics;
                record.digests.scores = measured.scores_digest;
            }
            Err((state, why)) => (record.state, record.failure) = (state, Some(why)),
        }
        record
    }
}

/// Measurements beside the metrics: the mean squared error, summed over the features, of each
/// class of test rows, and the ceiling of a made-up data set.
fn diagnostics(errors: &[f64], labels: &[bool], bayes_auroc: Option<f64>) -> BTreeMap<String, f64> {
    let mean = |anomaly: bool| {
        let chosen: Vec<f64> =
            errors.iter().zip(labels).filter(|(_, l)| **l == anomaly).map(|(e, _)| *e).collect();
        (!chosen.is_empty()).then(|| chosen.iter().sum::<f64>() / chosen.len() as f64)
    };
    [
        ("reconstruction_error_normal_test", mean(false)),
        ("reconstruction_error_anomaly_test", mean(true)),
        ("bayes_auroc", bayes_auroc),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name.to_owned(), value.filter(|v| v.is_finite())?)))
    .collect()
}
