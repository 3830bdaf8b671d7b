//! What follows from the stored runs of an experiment: its rows and summaries, and the files made of
//! them. It trains nothing and prints no table; what it leaves out it tells on stderr.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use seedbed::error::{Error, Result};
use seedbed::experiment::{Cell, Experiment};
use seedbed::paper::Paper;
use seedbed::record::{PROTOCOL_VERSION, Record};
use seedbed::report::{self, csv};
use seedbed::store::{self, Store, Wanted};
use seedbed::summary::{self, Comparison, Row, Summary};

/// The rows of an experiment as it now is.
pub struct Derived<'a> {
    pub experiment: &'a Experiment,
    pub rows: Vec<Row>,
    pub summaries: Vec<Summary>,
    /// The best possible AUROC, of a made-up data set.
    pub best_auroc: Option<f64>,
    store: Store,
    /// Of the rows; none where the rows come from a `runs.csv`.
    records: Vec<Record>,
    /// Whether the rows come from a `runs.csv` that no record stands behind here.
    published: bool,
}

impl<'a> Derived<'a> {
    /// Takes every stored run of the grid, of any device and seed. Where nothing is stored beside a
    /// `runs.csv`, its rows are taken: published results come without their records.
    ///
    /// # Errors
    /// Those of the store and of a damaged `runs.csv`.
    pub fn new(experiment: &'a Experiment, out: &Path) -> Result<Self> {
        let store = Store::open(out, &experiment.name);
        let (records, unreadable) = store.load_all()?;
        let table = store.dir().join("runs.csv");
        let published = records.is_empty() && unreadable.is_empty() && table.exists();
        for why in unreadable {
            eprintln!("left out: {why}");
        }
        let mut current = Vec::new();
        let rows = if published {
            eprintln!("no run of {} is stored here: reading {}", experiment.name, table.display());
            published_rows(experiment, &table)?
        } else {
            current = current_records(experiment, records)?;
            report::rows_of(&current)
        };
        let best_auroc = current.iter().find_map(|r| r.diagnostics.get("bayes_auroc").copied());
        let summaries = summary::summarise(&rows)?;
        Ok(Self { experiment, rows, summaries, best_auroc, store, records: current, published })
    }

    /// Tables without rows would only hide that nothing was run here.
    ///
    /// # Errors
    /// `Usage` when there is no row.
    pub fn require_rows(&self) -> Result<()> {
        if !self.rows.is_empty() {
            return Ok(());
        }
        Err(Error::Usage(format!(
            "{} holds no run of this experiment; run 'seedbed run {}' first, or name its directory \
             with --out",
            self.store.dir().display(),
            self.experiment.name,
        )))
    }

    /// Where the rows come from, as tables say it.
    pub fn from(&self) -> String {
        self.store.dir().display().to_string()
    }

    /// Writes runs.csv, diagnostics.csv and summary.csv. A runs.csv with runs that have no record here (published
    /// ones) is kept as `runs.csv.before`.
    ///
    /// # Errors
    /// `Failed` when the file system refuses.
    pub fn write_tables(&self) -> Result<()> {
        let dir = self.store.dir();
        if !self.published {
            let table = dir.join("runs.csv");
            if let Some(kept) = self.keep_others(&table)? {
                eprintln!("runs without a record here are kept in {}", kept.display());
            }
            csv::write_runs(&table, &self.rows)?;
            csv::write_diagnostics(&dir.join("diagnostics.csv"), &self.records)?;
        }
        csv::write_summary(&dir.join("summary.csv"), &self.summaries)
    }

    fn keep_others(&self, table: &Path) -> Result<Option<PathBuf>> {
        let Ok(before) = csv::read_runs(table) else { return Ok(None) };
        let stored = |row: &Row| self.store.path(&row.cell, row.seed).exists();
        if before.iter().all(stored) {
            return Ok(None);
        }
        let kept = table.with_extension("csv.before");
        fs::copy(table, &kept).map_err(|error| {
            Error::Failed(format!("cannot keep {} as {}: {error}", table.display(), kept.display()))
        })?;
        Ok(Some(kept))
    }

    /// Compares with papers' figures, in the order of the papers, and writes comparison.csv.
    ///
    /// # Errors
    /// `Failed` when the file system refuses.
    pub fn write_comparison(&self, papers: &[Paper]) -> Result<Vec<Comparison>> {
        let of = |paper| summary::compare(&self.summaries, paper, &self.experiment.name);
        let comparisons: Vec<Comparison> = papers.iter().flat_map(of).collect();
        csv::write_comparison(&self.store.dir().join("comparison.csv"), &comparisons)?;
        Ok(comparisons)
    }
}

/// What was left out, and how often for the same reason.
#[derive(Default)]
struct LeftOut(Vec<(String, usize)>);

impl LeftOut {
    fn add(&mut self, why: String) {
        match self.0.iter_mut().find(|(known, _)| *known == why) {
            Some((_, count)) => *count += 1,
            None => self.0.push((why, 1)),
        }
    }

    fn tell(self, experiment: &Experiment) {
        for (why, count) in self.0 {
            eprintln!("left out: {count} runs of {}: {why}", experiment.name);
        }
    }
}

/// Every cell of the experiment by its label, with its data's digest (which takes making the data
/// where they are made up, so once).
fn cells(experiment: &Experiment) -> Result<HashMap<&str, (&Cell, String)>> {
    let mut cells = HashMap::new();
    for cell in &experiment.cells {
        cells.insert(cell.label.as_str(), (cell, cell.dataset.sha256()?));
    }
    Ok(cells)
}

/// The records of runs that the experiment, as it now is, has.
fn current_records(experiment: &Experiment, records: Vec<Record>) -> Result<Vec<Record>> {
    let cells = cells(experiment)?;
    let mut current = Vec::new();
    let mut left_out = LeftOut::default();
    for record in records {
        let label = &record.cell.label;
        let Some((cell, data_sha256)) = cells.get(label.as_str()) else {
            left_out.add(format!("cell {label}, which the experiment does not have"));
            continue;
        };
        let wanted = Wanted {
            cell,
            seed: record.seed,
            scale: experiment.scale,
            data_sha256,
            protocol_version: PROTOCOL_VERSION,
            device_kind: None,
        };
        let differences = store::differences(&record, &wanted);
        if differences.is_empty() {
            current.push(record);
        } else {
            left_out.add(format!("cell {label}: key differs: {}", differences.join(", ")));
        }
    }
    left_out.tell(experiment);
    Ok(current)
}

/// The rows of a runs.csv whose keys are those of the experiment as it now is. A row without a key
/// (a table of another origin) cannot be checked and is taken.
fn published_rows(experiment: &Experiment, table: &Path) -> Result<Vec<Row>> {
    let cells = cells(experiment)?;
    let mut current = Vec::new();
    let mut left_out = LeftOut::default();
    for row in csv::read_runs(table)? {
        let label = &row.cell;
        let Some((cell, data)) = cells.get(label.as_str()) else {
            left_out.add(format!("cell {label}, which the experiment does not have"));
            continue;
        };
        let kind = if row.device.starts_with("cuda") { "cuda" } else { "cpu" };
        let key = store::key(cell, row.seed, data, PROTOCOL_VERSION, kind);
        if row.scale != experiment.scale || (!row.key.is_empty() && row.key != key) {
            left_out.add(format!("cell {label}: made otherwise (another scale or key)"));
            continue;
        }
        current.push(row);
    }
    left_out.tell(experiment);
    Ok(current)
}
