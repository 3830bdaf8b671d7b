//! Where the pictures of a run lie, and the mark that says whose they are and that they are complete.
//! Which pictures there are, and how they look, is others' business.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::record::Pictures;
use crate::files;

/// Written when a run's pictures are done: of which run they are, and which were asked for.
pub const MARK: &str = "pictures.json";

/// The folder of a cell's pictures, below an experiment's.
pub fn folder(experiment: &Path, cell: &str, seed: u64) -> PathBuf {
    experiment.join("pictures").join(cell).join(format!("seed-{seed}"))
}

/// What the mark says of the pictures of the run with this key.
pub fn mark(pictures: &Pictures, key: &str) -> String {
    format!("{}\n", json!({ "key": key, "epochs": pictures.epochs }))
}

/// Whether a cell has its pictures, of the run with this key.
pub fn are_complete(pictures: &Pictures, cell: &str, key: &str) -> bool {
    let path = folder(&pictures.folder, cell, pictures.seed).join(MARK);
    files::read_text(&path, files::LARGEST_NOTE).is_ok_and(|text| text == mark(pictures, key))
}
