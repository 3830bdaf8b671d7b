//! Where the scores of a run lie that `run --keep-scores` keeps, beside its record: `<seed>.scores.npy` and,
//! where the threshold ranks them, `<seed>.train_scores.npy`. The record has their digest.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Which rows scores are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    Test,
    Train,
}

/// The place of a run's scores, below an experiment's folder of results.
pub fn place(experiment: &Path, cell: &str, seed: u64, of: Of) -> PathBuf {
    let name = match of {
        Of::Test => format!("{seed}.scores.npy"),
        Of::Train => format!("{seed}.train_scores.npy"),
    };
    experiment.join("runs").join(cell).join(name)
}

/// Removes what is kept of a run that another one is to replace.
///
/// # Errors
/// Those of the file system.
pub fn forget(experiment: &Path, cell: &str, seed: u64) -> io::Result<()> {
    for of in [Of::Test, Of::Train] {
        match fs::remove_file(place(experiment, cell, seed, of)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}
