//! Training that happens elsewhere, in a notebook or on another machine: what a person is given of a run
//! (`split`), and what becomes of the scores that come back (`judge`). Trains nothing, runs nothing and
//! prints nothing. How to use it: `docs/methods.md`.

mod judge;
mod pattern;
mod split;

use std::path::PathBuf;

use indexmap::IndexMap;

use crate::experiment::{Cell, Experiment};
use crate::store::record::Job;

pub use judge::{Files, Judged, judge, store};
pub use pattern::Pattern;
pub use split::split;

/// Cells whose rows are the same, with their places among all; each as it judges scores.
fn same_rows<'a>(experiment: &Experiment, cells: &[&'a Cell]) -> Vec<Vec<(usize, &'a Cell)>> {
    let judging = experiment.of_scores();
    let mut groups: IndexMap<String, Vec<(usize, &Cell)>> = IndexMap::new();
    for (place, &cell) in cells.iter().enumerate() {
        // how a cell trains has no part in its rows
        let known = judging.cells.iter().find(|known| known.label == cell.label);
        let rows = known.map(Cell::training_identity).unwrap_or_default();
        groups.entry(rows).or_default().push((place, cell));
    }
    groups.into_values().collect()
}

/// A job of cells whose rows are the same, without seeds: its data are loaded once for all.
fn job(experiment: &Experiment, cells: &[(usize, &Cell)], search: &[PathBuf]) -> Job {
    let cells = cells.iter().map(|(_, cell)| (*cell).clone()).collect();
    let job = Job::of(&experiment.name, experiment.scale, cells, Vec::new());
    Job { data: experiment.searched(search), ..job }
}
