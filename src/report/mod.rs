//! What people and other programs read: CSV files and tables for a terminal. Everything here is
//! made from `runs.csv` rows; nothing here trains, and nothing prints: tables are strings.

pub mod csv;
pub mod terminal;

use crate::metrics::Metric;
use crate::record::Record;
use crate::summary::{self, Row};

/// The rows of `runs.csv`, in its order, from records in any order.
pub fn rows_of(records: &[Record]) -> Vec<Row> {
    let mut rows: Vec<Row> = records.iter().map(row_of).collect();
    summary::sort(&mut rows);
    rows
}

fn row_of(record: &Record) -> Row {
    let counts = record.counts.as_ref();
    let value = |metric| record.metrics.as_ref()?.value(metric);
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
        precision: value(Metric::Precision),
        recall: value(Metric::Recall),
        f1: value(Metric::F1),
        auroc: value(Metric::Auroc),
        auprc: value(Metric::Auprc),
        auroc_of_flags: value(Metric::AurocOfFlags),
        threshold: record.threshold,
        epochs: Some(record.epochs),
        batch_width: Some(record.batch_width),
        device: record.provenance.device.clone(),
        wall_seconds: Some(record.wall_seconds),
        data_sha256: record.digests.data.clone(),
        split_sha256: record.digests.split.clone(),
        init_sha256: record.digests.init.clone(),
        scores_sha256: record.digests.scores.clone(),
        key: record.key.clone(),
        axes: record.cell.axes.clone(),
    }
}
