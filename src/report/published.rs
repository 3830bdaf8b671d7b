//! Runs that a folder of results holds as rows of its `runs.csv` and not as records: which of them are
//! runs of the experiment as it now is, what lies beside them, and how a table is kept that would lose
//! any. A row is known by its key: its label may be that of an earlier form of the experiment.
//! What counts when, and why: `docs/store.md`.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;

use crate::error::{Error, Result};
use crate::experiment::{Cell, CellName, Experiment, Scale};
use crate::files;
use crate::machine::device;
use crate::model::ModelSpec;
use crate::report::csv;
use crate::report::document::Loss;
use crate::report::series::{self, Curve, OfRun};
use crate::store;
use crate::store::{pictures, whole};
use crate::summary::{Measurement, Row};

/// The tables that hold runs. What else lies beside them follows from the first.
const TABLES: [&str; 4] = ["runs.csv", "diagnostics.csv", "curves.csv", "losses.csv"];

/// An experiment's cells with the digests of their data, by which a row finds its cell.
pub struct Grid<'a> {
    experiment: &'a Experiment,
    cells: Vec<(&'a Cell, String)>,
    by_label: HashMap<&'a str, usize>,
}

impl<'a> Grid<'a> {
    /// # Errors
    /// `Usage` for a made-up data set that cannot be made.
    pub fn new(experiment: &'a Experiment) -> Result<Self> {
        let mut cells: Vec<(&Cell, String)> = Vec::new();
        for cell in &experiment.cells {
            // making up data takes a while, and most cells share theirs
            let known = cells.iter().rev().find(|(known, _)| known.dataset == cell.dataset);
            let digest =
                known.map_or_else(|| cell.dataset.sha256(), |known| Ok(known.1.clone()))?;
            cells.push((cell, digest));
        }
        let labels = cells.iter().enumerate();
        let by_label = labels.map(|(place, (cell, _))| (cell.label.as_str(), place)).collect();
        Ok(Self { experiment, cells, by_label })
    }

    /// The cell of this label, with its data's digest.
    pub fn get(&self, label: &str) -> Option<(&'a Cell, &str)> {
        let (cell, digest) = &self.cells[*self.by_label.get(label)?];
        Some((*cell, digest))
    }

    /// The key of a cell's run; of scores from elsewhere, of those in these files.
    fn key(&self, place: usize, seed: u64, kind: &str, scores_from: &str) -> String {
        let (cell, data) = &self.cells[place];
        match &cell.model {
            ModelSpec::Scores(spec) => {
                let model = ModelSpec::Scores(spec.with_files(scores_from));
                store::key(&Cell { model, ..(*cell).clone() }, seed, data, kind)
            }
            _ => store::key(cell, seed, data, kind),
        }
    }
}

/// A row that is a run of the experiment.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Under the label and the axes of its cell.
    pub row: Row,
    /// The label that the file has.
    pub was: CellName,
}

/// What a `runs.csv` holds beyond the records that lie beside it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Published {
    pub runs: Vec<Run>,
    /// Rows that are no run of the experiment as it now is, with why.
    pub others: Vec<(Row, String)>,
}

/// Whether rows count that do not say how they were made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keyless {
    /// Where there is nothing but rows, those of a table of any origin are all there is to show.
    Taken,
    /// Beside runs that were trained here nobody can tell what they are.
    LeftOut,
}

impl Published {
    /// Sorts out the rows of a `runs.csv`; those with a key in `known` are left away. Nothing is found
    /// where there is no file.
    ///
    /// # Errors
    /// As [`rows`].
    pub fn read(
        table: &Path,
        grid: &Grid,
        known: &HashSet<&str>,
        keyless: Keyless,
    ) -> Result<Self> {
        let mut found = Self::default();
        let mut places: HashSet<(usize, u64)> = HashSet::new();
        let mut keys = Keys::new(grid);
        for row in rows(table)? {
            if known.contains(row.key.as_str()) {
                continue;
            }
            match keys.cell_of(&row, keyless) {
                // a run that the file has under two labels is one run
                Ok(place) if !places.insert((place, row.seed)) => {}
                Ok(place) => {
                    let cell = grid.cells[place].0;
                    let axes =
                        if row.key.is_empty() { row.axes.clone() } else { cell.axes.clone() };
                    let was = row.cell.clone();
                    let row = Row { cell: cell.label.clone(), axes, ..row };
                    found.runs.push(Run { row, was });
                }
                Err(why) => found.others.push((row, why)),
            }
        }
        Ok(found)
    }

    /// Whether any cell has another label than the file says.
    pub fn is_renamed(&self) -> bool {
        self.runs.iter().any(|run| run.was != run.row.cell)
    }

    /// Rows that are no run of the experiment, counted by why.
    pub fn reasons(&self) -> String {
        reasons(self.others.iter().map(|(_, why)| why.as_str()))
    }

    /// Why each of the others is none, by its label and seed.
    pub fn why_others(&self) -> HashMap<(&str, u64), &str> {
        self.others.iter().map(|(row, why)| ((row.cell.as_str(), row.seed), why.as_str())).collect()
    }

    /// How many of the others are finished runs of the full protocol.
    pub fn full_others(&self) -> usize {
        let full = |(row, _): &&(Row, String)| row.scale == Scale::Full && row.state.is_final();
        self.others.iter().filter(full).count()
    }
}

/// `3 of cell base: made otherwise (another key)`, joined.
pub fn reasons<'a>(each: impl Iterator<Item = &'a str>) -> String {
    let mut counts: IndexMap<&str, usize> = IndexMap::new();
    for why in each {
        *counts.entry(why).or_default() += 1;
    }
    let said: Vec<String> = counts.iter().map(|(why, count)| format!("{count} of {why}")).collect();
    said.join("; ")
}

/// Reads the rows of a `runs.csv` in a folder of results; none where there is no file, or one without
/// a line below its header.
///
/// # Errors
/// `Data` for a file that cannot be read, with what to do: what it holds may count as stored, and no
/// table may take its place.
pub fn rows(table: &Path) -> Result<Vec<Row>> {
    let text = match files::read(table, files::LARGEST_TABLE) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::of_file("read", table, &error)),
    };
    if text.trim_ascii().iter().filter(|&&byte| byte == b'\n').count() == 0 {
        return Ok(Vec::new());
    }
    csv::read_runs(table).map_err(|error| {
        Error::Data(format!(
            "{error}; its runs may count as stored, so it stays as it is: mend it, or move it \
             away ('seedbed tables --from FILE' reads it anywhere)"
        ))
    })
}

/// Says whether all rows of a `runs.csv` are of scores that were made elsewhere.
///
/// # Errors
/// As [`rows`].
pub fn is_elsewhere(table: &Path) -> Result<bool> {
    // most tables can be told by their header, and some are long
    if !csv::may_be_elsewhere(table) {
        return Ok(false);
    }
    let rows = rows(table)?;
    Ok(!rows.is_empty() && rows.iter().all(Row::is_elsewhere))
}

/// A run as a file names it.
#[derive(Debug, Clone, Copy)]
pub struct Keyed<'a> {
    pub label: &'a str,
    pub seed: u64,
    /// `cpu` or `cuda`.
    pub kind: &'a str,
    pub key: &'a str,
    /// See [`Row::scores_from`].
    pub scores_from: &'a str,
}

/// Finds the cells of keys.
pub struct Keys<'a, 'b> {
    grid: &'b Grid<'a>,
    /// By seed and kind of device, the cell of each key. Made only for runs whose label does not lead
    /// to their cell.
    by_run: HashMap<(u64, String), HashMap<String, usize>>,
}

impl<'a, 'b> Keys<'a, 'b> {
    pub fn new(grid: &'b Grid<'a>) -> Self {
        Self { grid, by_run: HashMap::new() }
    }

    /// The cell that a run is of by its key, whatever its label was.
    pub fn cell(&mut self, run: &Keyed) -> Option<&'a Cell> {
        let place = self.place_of(run)?;
        Some(self.grid.cells[place].0)
    }

    fn place_of(&mut self, run: &Keyed) -> Option<usize> {
        let (grid, &Keyed { label, seed, kind, key, scores_from }) = (self.grid, run);
        // most have the label of their cell
        if let Some(&place) = grid.by_label.get(label)
            && grid.key(place, seed, kind, scores_from) == key
        {
            return Some(place);
        }
        // the same file of scores may be given for two cells: only a label tells them apart
        if grid.experiment.is_elsewhere() {
            return None;
        }
        let keys = self.by_run.entry((seed, kind.to_owned())).or_insert_with(|| {
            (0..grid.cells.len()).map(|place| (grid.key(place, seed, kind, ""), place)).collect()
        });
        keys.get(key).copied()
    }

    /// The place of a row's cell, or why it has none.
    fn cell_of(&mut self, row: &Row, keyless: Keyless) -> std::result::Result<usize, String> {
        let experiment = self.grid.experiment;
        if row.experiment != experiment.name {
            return Err(format!("experiment {}", row.experiment));
        }
        let label = &row.cell;
        let here = self.grid.by_label.get(label.as_str()).copied();
        let unknown = || format!("cell {label}, which the experiment does not have");
        if row.scale != experiment.scale {
            let (was, is) = (row.scale, experiment.scale);
            return Err(format!("cell {label}: made otherwise (scale {was} -> {is})"));
        }
        if row.key.is_empty() {
            return match keyless {
                Keyless::Taken => here.ok_or_else(unknown),
                Keyless::LeftOut => Err(format!("cell {label}, without a key")),
            };
        }
        if row.is_elsewhere() != experiment.is_elsewhere() {
            let what = if row.is_elsewhere() { "scores from elsewhere" } else { "made by seedbed" };
            return Err(format!("cell {label}: {what}"));
        }
        let run = Keyed {
            label,
            seed: row.seed,
            kind: device::kind(&row.device),
            key: &row.key,
            scores_from: &row.scores_from,
        };
        if let Some(place) = self.place_of(&run) {
            return Ok(place);
        }
        let Some(place) = here else { return Err(unknown()) };
        let (cell, data) = &self.grid.cells[place];
        let version = cell.model.protocol_version();
        let parts = match row.protocol_version {
            Some(was) if was != version => format!("protocol version {was} -> {version}"),
            Some(_) | None if !row.data_sha256.is_empty() && row.data_sha256 != *data => {
                "other data".to_owned()
            }
            Some(_) | None => "another key".to_owned(),
        };
        Err(format!("cell {label}: made otherwise ({parts})"))
    }
}

/// What lies beside published rows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Beside {
    pub diagnostics: Vec<Measurement>,
    pub curves: Vec<Curve>,
    /// Of cells, not of runs: what is known of runs that were published before there were curves.
    pub losses: Vec<Loss>,
}

impl Beside {
    /// Reads what the files of a folder say of these runs, under the labels of their cells.
    ///
    /// # Errors
    /// `Data` for a file that cannot be read.
    pub fn read(folder: &Path, runs: &[Run]) -> Result<Self> {
        if runs.is_empty() {
            return Ok(Self::default());
        }
        // a command that was ended among the tables leaves some with the labels of before
        let now = runs.iter().map(|run| (&run.row.cell, run));
        let before = runs.iter().map(|run| (&run.was, run));
        let labels = now.chain(before);
        let of_run = labels.clone().map(|(label, run)| ((label, run.row.seed), &run.row.cell));
        let of_run: HashMap<(&CellName, u64), &CellName> = of_run.collect();
        let of_cell: HashMap<&CellName, &CellName> =
            labels.map(|(label, run)| (label, &run.row.cell)).collect();
        let diagnostics = series::read_diagnostics(&folder.join("diagnostics.csv"))?;
        let curves = of_runs(series::read_curves(&folder.join("curves.csv"))?, &of_run);
        let file = folder.join("losses.csv");
        let losses = if file.exists() { csv::read_losses(&file)? } else { Vec::new() };
        let without = without_curve(runs, &curves);
        let relabelled = |loss: Loss| {
            let cell = (*of_cell.get(&loss.cell)?).clone();
            without.contains(&cell).then_some(Loss { cell, ..loss })
        };
        Ok(Self {
            diagnostics: of_runs(diagnostics, &of_run),
            losses: losses.into_iter().filter_map(relabelled).collect(),
            curves,
        })
    }
}

/// The cells with a run that trained and has no curve.
fn without_curve<'a>(runs: &'a [Run], curves: &[Curve]) -> HashSet<&'a CellName> {
    let known: HashSet<(&CellName, u64)> = curves.iter().map(OfRun::run).collect();
    let lacks =
        |run: &&Run| run.row.epochs != Some(0) && !known.contains(&(&run.row.cell, run.row.seed));
    runs.iter().filter(lacks).map(|run| &run.row.cell).collect()
}

fn of_runs<T: OfRun>(lines: Vec<T>, labels: &HashMap<(&CellName, u64), &CellName>) -> Vec<T> {
    let mut kept = Vec::new();
    for mut line in lines {
        if let Some(&label) = labels.get(&line.run()) {
            line.relabel(label);
            kept.push(line);
        }
    }
    kept
}

/// Puts losses from curves beside those of runs that have none: of each cell those that rest on more
/// runs.
pub fn merged_losses(from_curves: Vec<Loss>, published: &[Loss]) -> Vec<Loss> {
    let runs = |losses: &[Loss]| {
        let mut most: IndexMap<CellName, usize> = IndexMap::new();
        for loss in losses {
            let known = most.entry(loss.cell.clone()).or_default();
            *known = loss.n.max(*known);
        }
        most
    };
    let (ours, theirs) = (runs(&from_curves), runs(published));
    let is_theirs = |cell: &CellName| theirs.get(cell) > ours.get(cell);
    let mut losses: Vec<Loss> =
        from_curves.into_iter().filter(|loss| !is_theirs(&loss.cell)).collect();
    losses.extend(published.iter().filter(|loss| is_theirs(&loss.cell)).cloned());
    // by cell alone: terms and epochs are in order
    losses.sort_by(|a, b| a.cell.cmp(&b.cell));
    losses
}

/// The rows of a table that another one in its place would lose: those whose run, by its key, it does
/// not have, and rows without a key that it does not have as they are.
pub fn lost<'a>(before: &'a [Row], after: &[Row]) -> Vec<&'a Row> {
    let keys: HashSet<(&str, Scale)> =
        after.iter().map(|row| (row.key.as_str(), row.scale)).collect();
    // an axis that the experiment no longer has, or a column of the user's own
    let columns: HashSet<&str> =
        after.iter().flat_map(|row| row.axes.keys()).map(String::as_str).collect();
    let is_kept = |row: &Row| {
        if row.key.is_empty() {
            return after.contains(row);
        }
        keys.contains(&(row.key.as_str(), row.scale))
            && row.axes.keys().all(|axis| columns.contains(axis.as_str()))
    };
    before.iter().filter(|row| !is_kept(row)).collect()
}

/// Copies the tables of a folder to the first free names, `runs.csv.before`, `runs.csv.before.2`, …
/// and returns that of `runs.csv`.
///
/// # Errors
/// `Failed` when the file system refuses.
pub fn set_aside(folder: &Path) -> Result<PathBuf> {
    let free = |count: usize| {
        TABLES.iter().all(|name| aside(folder, name, count).symlink_metadata().is_err())
    };
    let mut count = 1;
    loop {
        while !free(count) {
            count += 1;
        }
        if copy_all(folder, count)? {
            return Ok(aside(folder, TABLES[0], count));
        }
    }
}

/// False where another process took one of the names meanwhile.
fn copy_all(folder: &Path, count: usize) -> Result<bool> {
    for name in TABLES {
        let (table, kept) = (folder.join(name), aside(folder, name, count));
        let refused =
            |error| Error::of_file(&format!("keep {} as", table.display()), &kept, &error);
        let bytes = match files::read(&table, files::LARGEST_TABLE) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(refused(error)),
        };
        // never over anything, and not by fs::copy, which writes through a link
        if !whole::create(&kept, bytes).map_err(refused)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn aside(folder: &Path, name: &str, count: usize) -> PathBuf {
    match count {
        1 => folder.join(format!("{name}.before")),
        _ => folder.join(format!("{name}.before.{count}")),
    }
}

/// Moves the pictures of renamed runs to the places of their new labels. Those of another run, by the
/// key beside them, and those whose new place is taken stay where they are.
///
/// # Errors
/// `Failed` when the file system refuses.
pub fn move_pictures(folder: &Path, runs: &[Run]) -> Result<()> {
    // a label of someone else's could be a path
    let is_folder = |label: &str| !label.contains('/') && label != "." && label != "..";
    let renamed = |run: &&Run| run.was != run.row.cell && is_folder(&run.was);
    for Run { row, was } in runs.iter().filter(renamed) {
        let place = |label| pictures::folder(folder, label, row.seed);
        let (from, to) = (place(was), place(&row.cell));
        let mark = files::read_text(&from.join(pictures::MARK), files::LARGEST_NOTE);
        let Ok(mark) = mark else { continue };
        let mark: serde_json::Value = serde_json::from_str(&mark).unwrap_or_default();
        if mark["key"] != row.key.as_str() || to.exists() {
            continue;
        }
        let parent = to.parent().unwrap_or(folder);
        let moved = fs::create_dir_all(parent).and_then(|()| fs::rename(&from, &to));
        moved.map_err(|error| {
            Error::of_file(&format!("move the pictures {} to", from.display()), &to, &error)
        })?;
        // where it was the last; one with others in it stays
        from.parent().map(fs::remove_dir);
    }
    Ok(())
}
