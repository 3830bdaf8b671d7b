//! `seedbed doctor`: versions, devices and data, and the next step for each thing that is missing.
use std::path::Path;

use seedbed::error::Result;
use seedbed::machine::doctor::{diagnose, text};
use seedbed::schedule::trainer;

use crate::output::{print_json, print_text};

/// Shows what is found; 1 where something is missing for training.
pub fn doctor(data: Option<&Path>, json: bool) -> Result<u8> {
    let found = diagnose(&trainer::about(), data, Path::new("experiments"), Path::new("results"));
    if json {
        print_json(&found)?;
    } else {
        print_text(&text(&found))?;
    }
    Ok(u8::from(!found.ready))
}
