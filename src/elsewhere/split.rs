//! Writes the rows of runs for who trains by hand: the folder that a program would be given, for any
//! experiment.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{job, same_rows};
use crate::error::{Error, Result};
use crate::experiment::{Cell, Experiment};
use crate::method::{Prepared, folder};

/// Writes `<to>/<cell>/<seed>/` for each of the cells and each seed of the experiment, and tells of each when
/// it is whole. Controls are left out: they are of a method, and the method is not ours.
///
/// # Errors
/// `Usage` where there is no cell, or a folder is there already; data that are missing or wrong; and what
/// the file system refuses.
pub fn split(
    experiment: &Experiment,
    cells: &[Cell],
    (to, search): (&Path, &[PathBuf]),
    tell: &mut dyn FnMut(&Path) -> Result<()>,
) -> Result<()> {
    let cells: Vec<&Cell> = cells.iter().filter(|cell| cell.control.is_none()).collect();
    if cells.is_empty() {
        let what = "a control is a method's own network untrained, and has no rows of its own: name its cell";
        return Err(Error::Usage(what.to_owned()));
    }
    for (cell, seed) in
        cells.iter().flat_map(|cell| experiment.seeds.iter().map(move |seed| (cell, seed)))
    {
        let place = place(to, cell, *seed);
        if place.symlink_metadata().is_ok() {
            return Err(Error::Usage(format!(
                "{} is there already, and may hold somebody's work: remove it, or name another folder with \
                 --to",
                place.display()
            )));
        }
    }
    for group in same_rows(experiment, &cells) {
        let job = job(experiment, &group, search);
        let prepared = Prepared::without_runs(&job)?;
        for &seed in &experiment.seeds {
            let run = prepared.run(0, seed)?;
            for (_, cell) in &group {
                let place = place(to, cell, seed);
                write(&place, |folder| folder::write(folder, &prepared, &run, cell))
                    .map_err(|error| Error::of_file("write", &place, &error))?;
                tell(&place)?;
            }
        }
    }
    Ok(())
}

/// A cell's label is a folder's name as it is, as it is below `runs/`.
fn place(to: &Path, cell: &Cell, seed: u64) -> PathBuf {
    to.join(cell.label.as_str()).join(seed.to_string())
}

/// Makes a folder that appears whole or not at all.
fn write(place: &Path, fill: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let parent = place.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent)?;
    let unfinished = tempfile::Builder::new().prefix(".writing-").tempdir_in(parent)?;
    fill(unfinished.path())?;
    // it is for others to read too, as any folder that a program makes
    let mode = fs::metadata(parent)?.permissions();
    fs::set_permissions(unfinished.path(), mode)?;
    fs::rename(unfinished.keep(), place)
}
