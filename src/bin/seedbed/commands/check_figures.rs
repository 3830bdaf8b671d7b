//! `seedbed check-figures`: published figures held against each other, the data's counts and rules.
use std::path::Path;

use serde_json::json;

use seedbed::error::Result;
use seedbed::paper::{self, plausibility};
use seedbed::report::figures;

use crate::output::{Output, sheet};

/// Where papers' files are, unless another folder is named; the shipped ones join them.
const FOLDER: &str = "experiments/papers";

/// Shows what is found. The exit code is 0 whatever that is: a wrong figure is the paper's, not the user's.
pub fn check_figures(names: &[String], folder: Option<&Path>, json: bool) -> Result<u8> {
    let names = match (names, folder) {
        ([], Some(folder)) => paper::names(folder)?,
        ([], None) => paper::all_names(Path::new(FOLDER)),
        _ => names.to_vec(),
    };
    let mut output = Output::new(json);
    for name in &names {
        // a folder that is named is the only one
        let paper = match folder {
            Some(folder) => paper::load(folder, name)?,
            None => paper::find(Path::new(FOLDER), name)?,
        };
        let checks = plausibility::check(&paper);
        let granularity = plausibility::granularity::check(&paper);
        output.next();
        output.show(
            || figures::check_text(&checks, &granularity, &paper, sheet().colour),
            || {
                [
                    ("paper", json!(paper.name)),
                    ("checks", json!(checks)),
                    ("granularity", json!(granularity)),
                ]
            },
        )?;
    }
    output.end()?;
    Ok(0)
}
