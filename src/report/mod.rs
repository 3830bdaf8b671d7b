//! What people and other programs read: CSV files, tables for a terminal, and reports. Everything here
//! is made from `runs.csv` rows; nothing here trains, and nothing prints: tables are strings.

pub mod benchmarks;
pub mod brief;
mod chart;
pub mod columns;
pub mod csv;
pub mod derive;
pub mod digits;
pub mod document;
pub mod facts;
pub mod figures;
pub mod fill;
pub mod html;
pub mod latex;
pub mod lock;
pub mod markdown;
pub mod paper_table;
pub mod picture;
pub mod protocol;
pub mod published;
pub mod readings;
pub mod series;
mod table;
pub mod terminal;
mod wording;

use indexmap::IndexMap;

use crate::model::ModelSpec;
use crate::stats;
use crate::store::record::Record;
use crate::summary::{self, Row};

use document::Loss;
use series::Curve;

/// The rows of `runs.csv`, in its order, from records in any order.
pub fn rows_of(records: &[Record]) -> Vec<Row> {
    let mut rows: Vec<Row> = records.iter().map(row_of).collect();
    summary::sort(&mut rows);
    rows
}

fn row_of(record: &Record) -> Row {
    let counts = record.counts.as_ref();
    // nobody knows how long what was done elsewhere took, for how many epochs, and beside what
    let here = !record.cell.model.is_elsewhere();
    Row {
        experiment: record.experiment.clone(),
        cell: record.cell.label.clone(),
        seed: record.seed,
        scale: record.scale,
        state: record.state,
        tp: counts.map(|counts| counts.tp),
        fp: counts.map(|counts| counts.fp),
        fn_: counts.map(|counts| counts.fn_),
        tn: counts.map(|counts| counts.tn),
        metrics: record.metrics.clone().unwrap_or_default(),
        threshold: record.threshold,
        epochs: here.then_some(record.epochs),
        batch_width: here.then_some(record.batch_width),
        device: record.provenance.device.clone(),
        wall_seconds: here.then_some(record.wall_seconds),
        data_sha256: record.digests.data.clone(),
        split_sha256: record.digests.split.clone(),
        init_sha256: record.digests.init.clone(),
        scores_sha256: record.digests.scores.clone(),
        key: record.key.clone(),
        protocol_version: Some(record.protocol_version),
        commit: commit_of(record),
        libtorch: record.provenance.libtorch.clone(),
        scores_from: match &record.cell.model {
            ModelSpec::Scores(spec) => spec.files(),
            _ => String::new(),
        },
        axes: record.cell.axes.clone(),
    }
}

fn commit_of(record: &Record) -> String {
    let dirty = if record.provenance.dirty { "-dirty" } else { "" };
    format!("{}{dirty}", record.provenance.commit)
}

/// Returns how each term of the loss fell over the epochs: cells in the order of `curves`, terms in
/// that of the model, epochs from 1. Runs that ended early count as long as they ran.
pub fn losses_of(curves: &[Curve]) -> Vec<Loss> {
    let mut cells: IndexMap<(&str, &str), IndexMap<&str, Vec<&Curve>>> = IndexMap::new();
    for curve in curves {
        let terms = cells.entry((&curve.experiment, &curve.cell)).or_default();
        terms.entry(&curve.term).or_default().push(curve);
    }
    let mut losses = Vec::new();
    for runs in cells.values().flat_map(IndexMap::values) {
        let epochs = runs.iter().map(|run| run.means.len()).max().unwrap_or(0);
        losses.extend((0..epochs).map(|epoch| loss(runs, epoch)));
    }
    losses
}

fn loss(runs: &[&Curve], epoch: usize) -> Loss {
    let value = |run: &&Curve| run.means.get(epoch).copied();
    let values: Vec<f64> =
        runs.iter().filter_map(value).filter(|value| value.is_finite()).collect();
    let quartiles = stats::quartiles(&values);
    Loss {
        experiment: runs[0].experiment.clone(),
        cell: runs[0].cell.clone(),
        scale: runs[0].scale,
        term: runs[0].term.clone(),
        epoch: epoch as u64 + 1,
        n: values.len(),
        min: stats::min(&values),
        q1: quartiles.map(|(q1, _)| q1),
        median: stats::median(&values),
        q3: quartiles.map(|(_, q3)| q3),
        max: stats::max(&values),
    }
}
