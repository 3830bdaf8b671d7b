//! What follows from the runs of an experiment: its rows, estimates and verdicts, and the files made
//! of them. It trains nothing and prints no table; what it leaves out it tells on stderr.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use indexmap::{IndexMap, IndexSet};

use seedbed::error::{Error, Result};
use seedbed::experiment::{Cell, Experiment};
use seedbed::paper::{self, Paper};
use seedbed::record::{Record, Scale};
use seedbed::report::document::{Loss, Picture, Section};
use seedbed::report::terminal::printable;
use seedbed::report::{self, csv};
use seedbed::store::{self, Store, Wanted};
use seedbed::summary::{self, Comparison, Measurement, Pair, Row, Summary, split_control};
use seedbed::whole;

use crate::say;

/// How tables are made.
#[derive(Debug, Clone, Copy)]
pub struct Making {
    /// Resamples of a bootstrap interval; 0 makes none.
    pub resamples: usize,
    /// Put runs of different versions of the code into one table.
    pub mixed_code: bool,
}

/// The runs of an experiment and what follows from them.
pub struct Derived {
    pub name: String,
    pub title: String,
    pub papers: Vec<Paper>,
    pub rows: Vec<Row>,
    pub summaries: Vec<Summary>,
    pub comparisons: Vec<Comparison>,
    pub pairs: Vec<Pair>,
    pub losses: Vec<Loss>,
    /// The best possible AUROC, of a made-up data set.
    pub best_auroc: Option<f64>,
    /// Cells with fewer runs than the experiment declares, a sentence each.
    pub missing: Vec<String>,
    cells: Vec<Cell>,
    /// What `--set` changed.
    set: Vec<String>,
    origin: Origin,
    notes: Vec<String>,
}

/// Where the rows come from.
enum Origin {
    /// Records; those of the rows.
    Store(Store, Vec<Record>),
    /// A runs.csv in a folder of results where no record is.
    Published(Store),
    /// A runs.csv of any origin.
    File(PathBuf),
}

impl Derived {
    /// Takes every stored run of the grid, of any device and seed. Where nothing is stored beside a
    /// `runs.csv`, its rows are taken: published results come without their records.
    ///
    /// # Errors
    /// Those of the store, of a damaged `runs.csv` or paper, and runs that cannot share a table.
    pub fn stored(experiment: &Experiment, out: &Path, making: Making) -> Result<Self> {
        let store = Store::open(out, &experiment.name);
        let (records, unreadable) = store.load_all()?;
        let table = store.dir().join("runs.csv");
        if records.is_empty() && unreadable.is_empty() && table.exists() {
            let (name, table) = (&experiment.name, table.display());
            say(&format!("no run of {name} is stored here: reading {table}"));
            return Self::published(experiment, out, making);
        }
        for why in unreadable {
            say(&format!("left out: {}", printable(&why)));
        }
        let mut left_out = LeftOut::default();
        let current = current_records(experiment, records, &mut left_out)?;
        let (rows, losses) = (report::rows_of(&current), report::losses_of(&current));
        let origin = Origin::Store(store, current);
        let derived = Self::of_rows(&experiment.name, rows, origin, Some(experiment), making)?;
        Ok(Self { losses, notes: left_out.tell(&experiment.name), ..derived })
    }

    /// Takes the runs of the grid in the `runs.csv` below `out`, whether records lie beside it or not.
    ///
    /// # Errors
    /// A missing or damaged `runs.csv`, a damaged paper, and runs that cannot share a table.
    pub fn published(experiment: &Experiment, out: &Path, making: Making) -> Result<Self> {
        let store = Store::open(out, &experiment.name);
        let mut left_out = LeftOut::default();
        let rows = published_rows(experiment, &store.dir().join("runs.csv"), &mut left_out)?;
        let file = store.dir().join("losses.csv");
        let losses = if file.exists() { csv::read_losses(&file)? } else { Vec::new() };
        let origin = Origin::Published(store);
        let derived = Self::of_rows(&experiment.name, rows, origin, Some(experiment), making)?;
        Ok(Self { losses, notes: left_out.tell(&experiment.name), ..derived })
    }

    /// The records of the rows, where they were made from records.
    #[cfg(feature = "training")]
    pub fn records(&self) -> &[Record] {
        match &self.origin {
            Origin::Store(_, records) => records,
            Origin::Published(_) | Origin::File(_) => &[],
        }
    }

    /// The rows of experiment `name` in a `runs.csv` of any origin, with the papers of `experiment`
    /// where there is one.
    ///
    /// # Errors
    /// A damaged paper, and runs that cannot share a table.
    pub fn of_file(
        name: &str,
        rows: Vec<Row>,
        file: &Path,
        experiment: Option<&Experiment>,
        making: Making,
    ) -> Result<Self> {
        Self::of_rows(name, rows, Origin::File(file.to_owned()), experiment, making)
    }

    fn of_rows(
        name: &str,
        rows: Vec<Row>,
        origin: Origin,
        experiment: Option<&Experiment>,
        making: Making,
    ) -> Result<Self> {
        if !making.mixed_code {
            summary::refuse_mixed_code(&rows)?;
        }
        summary::refuse_shared_digests(&rows)?;
        let papers = experiment.map_or(Ok(Vec::new()), papers_of)?;
        let mut summaries = summary::summarise(&rows)?;
        add_bootstrap(&mut summaries, &rows, making.resamples);
        let declared = experiment.map(|experiment| experiment.declared_runs);
        let measurements = measurements_beside(&origin)?;
        let evidence = summary::evidence(&summaries, &rows, &measurements, &papers);
        let of_paper = |paper| summary::compare(&evidence, paper, name, declared);
        let best_auroc = match &origin {
            Origin::Store(_, records) => {
                records.iter().find_map(|r| r.diagnostics.get("bayes_auroc").copied())
            }
            Origin::Published(_) | Origin::File(_) => None,
        };
        Ok(Self {
            name: name.to_owned(),
            title: experiment.map_or_else(|| name.to_owned(), |one| one.title.clone()),
            comparisons: papers.iter().flat_map(of_paper).collect(),
            missing: declared.map_or_else(Vec::new, |declared| missing(&rows, declared)),
            pairs: summary::pairs(&rows),
            papers,
            rows,
            summaries,
            losses: Vec::new(),
            best_auroc,
            cells: experiment.map_or_else(Vec::new, |experiment| experiment.cells.clone()),
            set: experiment.map_or_else(Vec::new, |experiment| experiment.set.clone()),
            origin,
            notes: Vec::new(),
        })
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
            self.from(),
            self.name,
        )))
    }

    /// Where the rows come from, as tables say it.
    pub fn from(&self) -> String {
        match &self.origin {
            Origin::Store(store, _) | Origin::Published(store) => store.dir().display().to_string(),
            Origin::File(file) => file.display().to_string(),
        }
    }

    /// Writes every table that follows from the rows into the experiment's folder of results:
    /// summary.csv and pairs.csv, and from records also runs.csv, diagnostics.csv and losses.csv. A
    /// runs.csv with runs that have no record here (published ones) is kept as `runs.csv.before`.
    /// For a file of any origin nothing is written.
    ///
    /// # Errors
    /// `Failed` when the file system refuses.
    pub fn write_tables(&self) -> Result<()> {
        let dir = match &self.origin {
            Origin::Store(store, records) => {
                let table = store.dir().join("runs.csv");
                if let Some(kept) = self.keep_others(store, &table)? {
                    say(&format!("runs without a record here are kept in {}", kept.display()));
                }
                csv::write_runs(&table, &self.rows)?;
                csv::write_diagnostics(&store.dir().join("diagnostics.csv"), records)?;
                csv::write_losses(&store.dir().join("losses.csv"), &self.losses)?;
                store.dir()
            }
            Origin::Published(store) => store.dir(),
            Origin::File(_) => return Ok(()),
        };
        whole::sweep(dir);
        csv::write_summary(&dir.join("summary.csv"), &self.summaries)?;
        csv::write_pairs(&dir.join("pairs.csv"), &self.pairs)
    }

    fn keep_others(&self, store: &Store, table: &Path) -> Result<Option<PathBuf>> {
        let Ok(before) = csv::read_runs(table) else { return Ok(None) };
        let stored = |row: &Row| store.path(&row.cell, row.seed).exists();
        if before.iter().all(stored) {
            return Ok(None);
        }
        let kept = table.with_extension("csv.before");
        // not by fs::copy, which writes through a link
        let kept_whole = fs::read(table).and_then(|bytes| whole::write(&kept, bytes));
        kept_whole.map_err(|error| {
            Error::of_file(&format!("keep {} as", table.display()), &kept, &error)
        })?;
        Ok(Some(kept))
    }

    /// Writes comparison.csv, unless the rows are of a file of any origin.
    ///
    /// # Errors
    /// `Failed` when the file system refuses.
    pub fn write_comparison(&self) -> Result<()> {
        match &self.origin {
            Origin::Store(store, _) | Origin::Published(store) => {
                csv::write_comparison(&store.dir().join("comparison.csv"), &self.comparisons)
            }
            Origin::File(_) => Ok(()),
        }
    }

    /// The experiment's part of a report, with its stored pictures.
    ///
    /// # Errors
    /// `Failed` for a picture that cannot be read.
    pub fn section(self) -> Result<Section> {
        // a report is read elsewhere, and the same runs give the same bytes wherever they lie
        let from = match &self.origin {
            Origin::Store(..) | Origin::Published(_) => format!("{}/runs.csv", self.name),
            Origin::File(file) => {
                file.file_name().map_or_else(String::new, |name| name.to_string_lossy().into())
            }
        };
        let pictures = match &self.origin {
            Origin::Store(store, _) | Origin::Published(store) => pictures(store, &self.rows)?,
            Origin::File(_) => Vec::new(),
        };
        let commands = self.commands();
        let scale = self.rows.first().map_or(Scale::Full, |row| row.scale);
        Ok(Section {
            experiment: self.name,
            title: self.title,
            scale,
            from,
            papers: self.papers,
            cells: self.cells,
            comparisons: self.comparisons,
            summaries: self.summaries,
            pairs: self.pairs,
            rows: self.rows,
            losses: self.losses,
            pictures,
            commands,
            notes: self.notes.into_iter().chain(self.missing).collect(),
        })
    }

    /// What makes the runs again: one `run` for all cells with the same seeds. A file of someone
    /// else's does not say how it was made.
    fn commands(&self) -> Vec<String> {
        if matches!(self.origin, Origin::File(_)) || self.cells.is_empty() {
            return Vec::new();
        }
        let mut seeds_of: Vec<(&str, Vec<u64>)> = Vec::new();
        for row in self.rows.iter().filter(|row| split_control(&row.cell).1.is_none()) {
            match seeds_of.last_mut() {
                Some((cell, seeds)) if *cell == row.cell => seeds.push(row.seed),
                Some(_) | None => seeds_of.push((&row.cell, vec![row.seed])),
            }
        }
        let mut groups: Vec<(Vec<u64>, Vec<&str>)> = Vec::new();
        for (cell, seeds) in seeds_of {
            match groups.iter_mut().find(|(known, _)| *known == seeds) {
                Some((_, cells)) => cells.push(cell),
                None => groups.push((seeds, vec![cell])),
            }
        }
        let trained = self.cells.iter().filter(|cell| cell.control.is_none()).count();
        let quick = match self.rows.first().map(|row| row.scale) {
            Some(Scale::Quick) => " --quick",
            Some(Scale::Full) | None => "",
        };
        let set = self.set.iter().map(|change| format!(" --set {}", quoted(change)));
        let set = set.collect::<String>();
        let mut commands = checkout(&self.rows);
        commands.push("make build".to_owned());
        commands.extend(groups.into_iter().map(|(seeds, cells)| {
            let chosen = cells.iter().map(|cell| format!(" --cell {}", quoted(cell)));
            let chosen = if cells.len() == trained { String::new() } else { chosen.collect() };
            let (name, seeds) = (&self.name, ranges(&seeds));
            format!("target/release/seedbed run {name}{quick}{set} --seeds {seeds}{chosen}")
        }));
        commands
    }
}

/// Checks out the version that made all runs, or says why that cannot be done.
fn checkout(rows: &[Row]) -> Vec<String> {
    let commits: IndexSet<&str> = rows.iter().map(|row| row.commit.as_str()).collect();
    // it may come from a runs.csv of someone else's, and people paste commands
    let hash = |name: &str| {
        (7..=64).contains(&name.len()) && name.bytes().all(|digit| digit.is_ascii_hexdigit())
    };
    let said = match commits.iter().copied().collect::<Vec<_>>()[..] {
        [commit] if hash(commit) => format!("git checkout {commit}"),
        [commit] => match commit.strip_suffix("-dirty").filter(|commit| hash(commit)) {
            Some(commit) => format!("# made by a changed {commit}, which nobody can check out"),
            None => "# the commit that made these runs is not known".to_owned(),
        },
        [] => "# the commit that made these runs is not known".to_owned(),
        _ => format!("# made by {} versions of the code, see above", commits.len()),
    };
    vec![said]
}

/// A word as a shell takes it, whatever is in it.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// `1-20`, `1,3,7-9`: as `--seeds` takes them.
fn ranges(seeds: &[u64]) -> String {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for &seed in seeds {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == seed => *last = seed,
            Some(_) | None => ranges.push((seed, seed)),
        }
    }
    let text = |(first, last): (u64, u64)| match last - first {
        0 => first.to_string(),
        _ => format!("{first}-{last}"),
    };
    ranges.into_iter().map(text).collect::<Vec<_>>().join(",")
}

/// What was measured of the runs beside their metrics: by their records, or in the `diagnostics.csv`
/// beside a `runs.csv`.
///
/// # Errors
/// A damaged `diagnostics.csv`.
fn measurements_beside(origin: &Origin) -> Result<Vec<Measurement>> {
    let file = match origin {
        Origin::Store(_, records) => return Ok(csv::measurements_of(records)),
        Origin::Published(store) => store.dir().join("diagnostics.csv"),
        Origin::File(file) => file.with_file_name("diagnostics.csv"),
    };
    if file.exists() { csv::read_diagnostics(&file) } else { Ok(Vec::new()) }
}

/// Which cells have fewer runs than the experiment declares: runs that are left out of a table can be
/// chosen by what they came to.
fn missing(rows: &[Row], declared: u64) -> Vec<String> {
    let mut cells: IndexMap<&str, u64> = IndexMap::new();
    for row in rows {
        *cells.entry(&row.cell).or_default() += 1;
    }
    let few = cells.into_iter().filter(|(_, runs)| *runs < declared);
    few.map(|(cell, runs)| format!("{cell}: {runs} of {declared} runs")).collect()
}

/// The papers an experiment names.
///
/// # Errors
/// A paper that cannot be read.
pub fn papers_of(experiment: &Experiment) -> Result<Vec<Paper>> {
    let folder = experiment.papers_folder();
    experiment.papers.iter().map(|name| paper::load(&folder, name)).collect()
}

/// Says what it took: of all that is derived the bootstrap alone can take long.
fn add_bootstrap(summaries: &mut [Summary], rows: &[Row], resamples: usize) {
    if resamples == 0 {
        return;
    }
    let started = Instant::now();
    let count = summary::bootstrap(summaries, rows, resamples);
    let seconds = started.elapsed().as_secs_f64();
    if seconds > 0.5 {
        let threads = rayon::current_num_threads();
        say(&format!(
            "{count} bootstrap intervals of {resamples} resamples took {seconds:.1} s on {threads} \
             threads; --resamples 0 leaves them out"
        ));
    }
}

/// The pictures stored of the rows' runs, in the order of the cells, then by name.
fn pictures(store: &Store, rows: &[Row]) -> Result<Vec<Picture>> {
    let mut pictures = Vec::new();
    let mut known: Vec<(&str, u64)> = Vec::new();
    for row in rows {
        known.push((&row.cell, row.seed));
    }
    for (cell, seed) in known {
        let folder = store.dir().join("pictures").join(cell).join(format!("seed-{seed}"));
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths {
            // a link could name any file of the reader's, and reports are published
            if !fs::symlink_metadata(&path).is_ok_and(|found| found.is_file()) {
                continue;
            }
            let drawn = path.extension().is_some_and(|kind| kind == "svg" || kind == "png");
            let Some(name) = path.file_name().and_then(|name| name.to_str()).filter(|_| drawn)
            else {
                continue;
            };
            let bytes = fs::read(&path).map_err(|error| {
                Error::Failed(format!("cannot read {}: {error}", path.display()))
            })?;
            pictures.push(Picture { cell: cell.to_owned(), seed, name: name.to_owned(), bytes });
        }
    }
    Ok(pictures)
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

    /// Says it on stderr, and again for the report.
    fn tell(self, experiment: &str) -> Vec<String> {
        let said = |(why, count): (String, usize)| {
            say(&format!("left out: {count} runs of {experiment}: {}", printable(&why)));
            format!("{count} runs left out: {why}")
        };
        self.0.into_iter().map(said).collect()
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
fn current_records(
    experiment: &Experiment,
    records: Vec<Record>,
    left_out: &mut LeftOut,
) -> Result<Vec<Record>> {
    let cells = cells(experiment)?;
    let mut current = Vec::new();
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
            protocol_version: cell.model.protocol_version(),
            device_kind: None,
        };
        let differences = store::differences(&record, &wanted);
        if differences.is_empty() {
            current.push(record);
        } else {
            left_out.add(format!("cell {label}: key differs: {}", differences.join(", ")));
        }
    }
    Ok(current)
}

/// The rows of a runs.csv whose keys are those of the experiment as it now is. A row without a key
/// (a table of another origin) cannot be checked and is taken.
fn published_rows(
    experiment: &Experiment,
    table: &Path,
    left_out: &mut LeftOut,
) -> Result<Vec<Row>> {
    let cells = cells(experiment)?;
    let mut current = Vec::new();
    for row in csv::read_runs(table)? {
        let label = &row.cell;
        if row.experiment != experiment.name {
            left_out.add(format!("of experiment {}", row.experiment));
            continue;
        }
        let Some((cell, data)) = cells.get(label.as_str()) else {
            left_out.add(format!("cell {label}, which the experiment does not have"));
            continue;
        };
        let kind = if row.device.starts_with("cuda") { "cuda" } else { "cpu" };
        let key = store::key(cell, row.seed, data, cell.model.protocol_version(), kind);
        if row.scale != experiment.scale || (!row.key.is_empty() && row.key != key) {
            left_out.add(format!("cell {label}: made otherwise (another scale or key)"));
            continue;
        }
        current.push(row);
    }
    Ok(current)
}
