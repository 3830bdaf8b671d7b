//! `seedbed split`: writes the rows of runs for who trains by hand.

use seedbed::elsewhere;
use seedbed::error::Result;

use crate::args::searched;
use crate::by_hand::SplitOptions;
use crate::output::print;

/// Writes a folder for each cell and seed, and prints its name when it is whole.
pub fn split(options: &SplitOptions) -> Result<u8> {
    let experiment = options.runs.load()?;
    let cells = experiment.select(&options.runs.cell)?;
    let search = searched(options.runs.data.as_deref())?;
    let mut tell = |folder: &std::path::Path| print(&format!("{}\n", folder.display()));
    elsewhere::split(&experiment, &cells, (&options.to, &search), &mut tell)?;
    Ok(0)
}
