//! The Python of tests that need libraries: PyTorch, numpy, scikit-learn.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Finds a Python with PyTorch and numpy: the one that `SEEDBED_PYTHON` names, else the one that `make methods`
/// puts below the project's folder. None where there is none, which is said.
///
/// # Panics
/// Where CI is set and there is none: a test that is left out there would be missed by nobody.
#[track_caller]
pub fn find(test: &str) -> Option<PathBuf> {
    let named = std::env::var_os("SEEDBED_PYTHON").map(PathBuf::from);
    let usual = Path::new(env!("CARGO_MANIFEST_DIR")).join(".methods/bin/python");
    let python = named.unwrap_or(usual);
    let import = Command::new(&python).args(["-c", "import torch, numpy"]).output();
    if import.is_ok_and(|ended| ended.status.success()) {
        return Some(python);
    }
    let why = format!("{} has no PyTorch: run 'make methods'", python.display());
    assert!(std::env::var_os("CI").is_none(), "{test}: {why}");
    eprintln!("SKIPPED {test}: {why}");
    None
}
