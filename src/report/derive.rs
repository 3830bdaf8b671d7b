//! What follows from the runs of an experiment: its rows, estimates and verdicts, and the files made
//! of them. It trains nothing and prints no table; what it leaves out it says to `Making::tell`.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use indexmap::{IndexMap, IndexSet};

use crate::error::{Error, Result};
use crate::experiment::{Cell, CellName, Experiment, FRESH, Scale};
use crate::model::ModelSpec;
use crate::paper::fingerprint::{Fingerprint, Quantity};
use crate::paper::{self, Paper, choice};
use crate::report::document::{Loss, Picture, Section};
use crate::report::terminal::printable;
use crate::report::{self, csv, series};
use crate::shell::{self, quoted};
use crate::stats::Looks;
use crate::store::record::Record;
use crate::store::whole;
use crate::store::{self, Store, Wanted};
use crate::summary::readings::{self, Asked, Explained};
use crate::summary::{self, Comparison, Measurement, Pair, Row, Summary};

use crate::report::published::{self, Beside, Grid, Keyed, Keyless, Keys, Published};

/// How tables are made.
#[derive(Debug, Clone, Copy)]
pub struct Making {
    /// Resamples of a bootstrap interval; 0 makes none.
    pub resamples: usize,
    /// Put runs of different versions of the code into one table.
    pub mixed_code: bool,
    /// Is given lines for people: what is left out, and why.
    pub tell: fn(&str),
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
    /// Of an experiment with readings.
    pub explained: Option<Explained>,
    pub losses: Vec<Loss>,
    /// The best possible AUROC, of a made-up data set.
    pub best_auroc: Option<f64>,
    /// Cells with fewer runs than the experiment declares, a sentence each.
    pub missing: Vec<String>,
    cells: Vec<Cell>,
    /// What `--set` changed.
    set: Vec<String>,
    /// Whether a program of these cells is run only when that is allowed.
    asks: bool,
    origin: Origin,
    notes: Vec<String>,
    tell: fn(&str),
}

/// Where the rows come from.
enum Origin {
    /// A folder of results.
    Folder(Box<Folder>),
    /// A runs.csv of any origin.
    File(PathBuf),
}

impl Origin {
    /// When the runs were to be looked at, where that was planned.
    fn looks(&self) -> Result<Option<Looks>> {
        match self {
            Self::Folder(folder) => store::looks::read(folder.store.dir()),
            Self::File(_) => Ok(None),
        }
    }

    /// The best possible AUROC, of a made-up data set.
    fn best_auroc(&self) -> Option<f64> {
        let known = |record: &Record| record.diagnostics.get("bayes_auroc").copied();
        match self {
            Self::Folder(folder) => folder.records.iter().find_map(known),
            Self::File(_) => None,
        }
    }
}

/// A folder of results, and what was found in it.
struct Folder {
    store: Store,
    /// Those of the rows.
    records: Vec<Record>,
    /// Records that the experiment, as it was asked for, does not describe: the key and why.
    left_out: Vec<(String, String)>,
    /// Rows of the `runs.csv` that have no record.
    published: Published,
    beside: Beside,
}

/// What to do where a new `runs.csv` would lose runs whose records are here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Losing {
    /// Refuse: the experiment was asked for with other flags than the runs were trained with.
    Refused,
    /// Keep the file aside: what was asked for was trained.
    KeptAside,
}

impl Derived {
    /// Takes every stored run of the grid, of any device and seed: those with a record, and rows of the
    /// `runs.csv` beside them that have none, for published results come without their records.
    ///
    /// # Errors
    /// Those of the store, of a damaged `runs.csv` or paper, and runs that cannot share a table.
    pub fn stored(experiment: &Experiment, out: &Path, making: Making) -> Result<Self> {
        let store = Store::open(out, &experiment.name);
        let (records, unreadable) = store.load_all()?;
        let table = store.dir().join("runs.csv");
        if records.is_empty() && unreadable.is_empty() && table.exists() {
            let (name, table) = (&experiment.name, table.display());
            (making.tell)(&format!("no run of {name} is stored here: reading {table}"));
            return Self::published(experiment, out, making);
        }
        for why in unreadable {
            (making.tell)(&format!("left out: {}", printable(&why)));
        }
        let experiment = &*as_made(experiment, &records, &table)?;
        let grid = Grid::new(experiment)?;
        let mut left_out = LeftOut::default();
        let places: Places = records.iter().map(|one| (one.cell.label.clone(), one.seed)).collect();
        let (records, others) = current_records(experiment, &grid, records);
        others.iter().for_each(|(_, why)| left_out.add(why.clone()));
        let published = beside_records(&store, &grid, &records, &places)?;
        let mut rows = report::rows_of(&records);
        rows.extend(published.runs.iter().map(|run| run.row.clone()));
        summary::sort(&mut rows);
        let beside = Beside::read(store.dir(), &published.runs)?;
        let mut curves = series::curves_of(&records);
        curves.extend(beside.curves.iter().cloned());
        series::sort(&mut curves);
        let losses = published::merged_losses(report::losses_of(&curves), &beside.losses);
        let folder = Folder { store, records, left_out: others, published, beside };
        let origin = Origin::Folder(Box::new(folder));
        let derived = Self::of_rows(&experiment.name, rows, origin, Some(experiment), making)?;
        Ok(Self { losses, notes: left_out.tell(&experiment.name, making.tell), ..derived })
    }

    /// Takes the runs of the grid in the `runs.csv` below `out`, whether records lie beside it or not.
    ///
    /// # Errors
    /// A missing or damaged `runs.csv`, a damaged paper, and runs that cannot share a table.
    pub fn published(experiment: &Experiment, out: &Path, making: Making) -> Result<Self> {
        let store = Store::open(out, &experiment.name);
        let table = store.dir().join("runs.csv");
        if !table.exists() {
            return Err(Error::Data(format!(
                "cannot read {}: there is no such file; name another folder with --out or --against",
                table.display()
            )));
        }
        let experiment = &*as_made(experiment, &[], &table)?;
        let grid = Grid::new(experiment)?;
        let published = Published::read(&table, &grid, &HashSet::new(), Keyless::Taken)?;
        let mut left_out = LeftOut::default();
        published.others.iter().for_each(|(_, why)| left_out.add(why.clone()));
        let mut rows: Vec<Row> = published.runs.iter().map(|run| run.row.clone()).collect();
        summary::sort(&mut rows);
        let (beside, losses) = if published.is_renamed() {
            let beside = Beside::read(store.dir(), &published.runs)?;
            let from_curves = report::losses_of(&beside.curves);
            let losses = published::merged_losses(from_curves, &beside.losses);
            (beside, losses)
        } else {
            let file = store.dir().join("losses.csv");
            let losses = if file.exists() { csv::read_losses(&file)? } else { Vec::new() };
            (Beside::default(), losses)
        };
        let (records, others) = (Vec::new(), Vec::new());
        let folder = Folder { store, records, left_out: others, published, beside };
        let origin = Origin::Folder(Box::new(folder));
        let derived = Self::of_rows(&experiment.name, rows, origin, Some(experiment), making)?;
        Ok(Self { losses, notes: left_out.tell(&experiment.name, making.tell), ..derived })
    }

    /// Whether the runs' scores were made elsewhere, so that nothing can make them again.
    pub fn is_elsewhere(&self) -> bool {
        self.rows.iter().any(Row::is_elsewhere)
    }

    /// Explains the readings again, for what is asked of them.
    ///
    /// # Errors
    /// A cell that is not there, and a damaged `diagnostics.csv`.
    pub fn explain(&mut self, experiment: &Experiment, asked: Asked) -> Result<()> {
        let measurements = measurements_of(&self.origin)?;
        let asked = Asked { fingerprint: fingerprint(&self.papers, &self.name), ..asked };
        self.explained = readings::explain(experiment, &self.rows, &measurements, &asked)
            .map_err(Error::Usage)?;
        Ok(())
    }

    /// The experiment's cells and controls, in its order; none where the experiment is not known.
    pub fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// The records of the rows, where they were made from records.
    pub fn records(&self) -> &[Record] {
        match &self.origin {
            Origin::Folder(folder) => &folder.records,
            Origin::File(_) => &[],
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
        let judged = experiment.filter(|_| rows.iter().all(Row::is_elsewhere));
        let judged = judged.map(Experiment::of_scores);
        let experiment = judged.as_ref().or(experiment);
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
        summary::refuse_shared(&rows, &|cell| program_of(experiment, cell))?;
        let papers = experiment.map_or(Ok(Vec::new()), papers_of)?;
        let mut summaries = summary::summarise(&rows)?;
        add_bootstrap(&mut summaries, &rows, making);
        let declared = experiment.map(|experiment| experiment.declared_runs);
        let measurements = measurements_of(&origin)?;
        let asked = Asked { fingerprint: fingerprint(&papers, name), ..Asked::default() };
        let explain = |one| readings::explain(one, &rows, &measurements, &asked);
        let explained = experiment.map_or(Ok(None), explain).map_err(Error::Usage)?;
        let looks = origin.looks()?;
        let afresh = experiment.filter(|one| !one.readings.is_empty());
        let first = if afresh.is_some() { FRESH } else { 1 };
        let looked_at =
            looks.as_ref().map(|looks| summary::sequential::looked_at(&rows, looks, first));
        let judged = looked_at.as_deref().unwrap_or(&rows);
        let mut comparisons = match afresh {
            Some(experiment) => judged_afresh(experiment, judged, &measurements, &papers)?,
            None => {
                let of_looks = looked_at.as_deref().map(summary::summarise).transpose()?;
                let summaries = of_looks.as_ref().unwrap_or(&summaries);
                let evidence = summary::evidence(summaries, judged, &measurements, &papers);
                let declared = declared.filter(|_| looks.is_none());
                let of_paper = |paper| summary::compare(&evidence, paper, name, declared);
                papers.iter().flat_map(of_paper).collect()
            }
        };
        if let Some(looks) = &looks {
            summary::sequential::judge(&mut comparisons, looks);
        }
        Ok(Self {
            name: name.to_owned(),
            title: experiment.map_or_else(|| name.to_owned(), |one| one.title.clone()),
            comparisons,
            explained,
            missing: declared.map_or_else(Vec::new, |declared| missing(&rows, declared)),
            pairs: summary::pairs(&rows),
            papers,
            rows,
            summaries,
            losses: Vec::new(),
            best_auroc: origin.best_auroc(),
            cells: experiment.map_or_else(Vec::new, |experiment| experiment.cells.clone()),
            set: experiment.map_or_else(Vec::new, |experiment| experiment.set.clone()),
            asks: experiment.is_some_and(asks),
            origin,
            notes: Vec::new(),
            tell: making.tell,
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
        let (from, name) = (self.from(), &self.name);
        if self.notes.is_empty() {
            return Err(Error::Usage(format!(
                "{from} holds no run of this experiment; run 'seedbed run {name}' first, or name \
                 its directory with --out"
            )));
        }
        Err(Error::Usage(format!(
            "{from} holds no run of this experiment as it is asked for ({}): give the flags that \
             its runs were trained with, such as --quick or --set KEY=VALUE, or name another \
             directory with --out",
            self.notes.join("; "),
        )))
    }

    /// Where the rows come from, as tables say it.
    pub fn from(&self) -> String {
        match &self.origin {
            Origin::Folder(folder) => folder.store.dir().display().to_string(),
            Origin::File(file) => file.display().to_string(),
        }
    }

    /// Writes every table that follows from the rows into the experiment's folder of results:
    /// summary.csv and pairs.csv, and where records or new labels make them others, also runs.csv,
    /// diagnostics.csv, curves.csv and losses.csv. A runs.csv whose runs would not all be in the new
    /// one is kept under another name first. For a file of any origin nothing is written.
    ///
    /// # Errors
    /// `Failed` when the file system refuses, `Usage` for runs that `losing` refuses to lose.
    pub fn write_tables(&self, losing: Losing) -> Result<()> {
        let Origin::Folder(folder) = &self.origin else { return Ok(()) };
        let dir = folder.store.dir();
        let published = &folder.published;
        // rows alone are what they are, unless the experiment calls their cells otherwise
        if !folder.records.is_empty() || !folder.left_out.is_empty() {
            self.keep_lost(folder, losing)?;
            self.write_runs(folder)?;
        } else if published.is_renamed() && published.others.is_empty() {
            self.write_runs(folder)?;
        }
        whole::sweep(dir);
        if let Some(explained) = &self.explained {
            csv::write_specification(&dir.join("specification.csv"), explained)?;
            csv::write_effects(&dir.join("effects.csv"), explained)?;
        }
        csv::write_summary(&dir.join("summary.csv"), &self.summaries)?;
        csv::write_pairs(&dir.join("pairs.csv"), &self.pairs)
    }

    /// Writes what records hold: `runs.csv` comes last, for by its labels the others are read.
    fn write_runs(&self, folder: &Folder) -> Result<()> {
        let (dir, Folder { records, published, beside, .. }) = (folder.store.dir(), folder);
        published::move_pictures(dir, &published.runs)?;
        let mut diagnostics = series::diagnostics_of(records);
        diagnostics.extend(beside.diagnostics.iter().cloned());
        series::sort(&mut diagnostics);
        let mut curves = series::curves_of(records);
        curves.extend(beside.curves.iter().cloned());
        series::sort(&mut curves);
        series::write_diagnostics(&dir.join("diagnostics.csv"), &diagnostics)?;
        series::write_curves(&dir.join("curves.csv"), &curves)?;
        csv::write_losses(&dir.join("losses.csv"), &self.losses)?;
        csv::write_runs(&dir.join("runs.csv"), &self.rows)
    }

    /// Keeps a runs.csv whose runs are not all among the new rows, and says so.
    fn keep_lost(&self, folder: &Folder, losing: Losing) -> Result<()> {
        let table = folder.store.dir().join("runs.csv");
        let before = published::rows(&table)?;
        let lost = published::lost(&before, &self.rows);
        if lost.is_empty() {
            return Ok(());
        }
        let left_out: HashMap<&str, &str> =
            folder.left_out.iter().map(|(key, why)| (key.as_str(), why.as_str())).collect();
        let here = |row: &&Row| left_out.get(row.key.as_str()).copied();
        let records_here: Vec<&str> = lost.iter().filter_map(here).collect();
        if losing == Losing::Refused && !records_here.is_empty() {
            return Err(Error::Usage(format!(
                "{} holds {} runs whose records are here and which this command leaves out ({}): \
                 give the flags that they were trained with, such as --quick or --set KEY=VALUE, or \
                 move that file away to have tables without them",
                table.display(),
                records_here.len(),
                printable(&published::reasons(records_here.into_iter())),
            )));
        }
        let others = folder.published.why_others();
        let kept: HashSet<&str> = self.rows.iter().map(|row| row.key.as_str()).collect();
        let why = |row: &&Row| match here(row)
            .or_else(|| others.get(&(row.cell.as_str(), row.seed)).copied())
        {
            Some(why) => why,
            None if kept.contains(row.key.as_str()) => "a column that the new one does not have",
            None => "a place that has the record of another run, or one that cannot be read",
        };
        let why = published::reasons(lost.iter().map(why));
        let kept = published::set_aside(folder.store.dir())?;
        (self.tell)(&format!(
            "kept what was {} as {}: {} of its {} runs are not in the new one as they were ({})",
            table.display(),
            kept.display(),
            lost.len(),
            before.len(),
            printable(&why),
        ));
        Ok(())
    }

    /// Writes comparison.csv, unless the rows are of a file of any origin.
    ///
    /// # Errors
    /// `Failed` when the file system refuses.
    pub fn write_comparison(&self) -> Result<()> {
        match &self.origin {
            Origin::Folder(folder) => {
                let table = folder.store.dir().join("comparison.csv");
                csv::write_comparison(&table, &self.comparisons)
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
            Origin::Folder(_) => format!("{}/runs.csv", self.name),
            Origin::File(file) => {
                file.file_name().map_or_else(String::new, |name| name.to_string_lossy().into())
            }
        };
        let pictures = match &self.origin {
            Origin::Folder(folder) => pictures(&folder.store, &self.rows)?,
            Origin::File(_) => Vec::new(),
        };
        let commands = self.commands();
        let (cells, unrecorded) = match self.is_recorded() {
            true => (self.cells, None),
            false => {
                (Vec::new(), Some(format!("Rows from {from}; their protocol is not recorded.")))
            }
        };
        let scale = self.rows.first().map_or(Scale::Full, |row| row.scale);
        Ok(Section {
            experiment: self.name,
            title: self.title,
            scale,
            from,
            papers: self.papers,
            cells,
            unrecorded,
            comparisons: self.comparisons,
            summaries: self.summaries,
            pairs: self.pairs,
            readings: self.explained,
            rows: self.rows,
            losses: self.losses,
            pictures,
            commands,
            notes: self.notes.into_iter().chain(self.missing).collect(),
        })
    }

    /// Whether every row says by its key what was done; those of a file of any origin, and those without
    /// a key in a folder that has nothing else, do not.
    fn is_recorded(&self) -> bool {
        match &self.origin {
            Origin::Folder(folder) => {
                folder.published.runs.iter().all(|run| !run.row.key.is_empty())
            }
            Origin::File(_) => false,
        }
    }

    /// What makes the runs again: one `run` for all cells with the same seeds. A file of someone
    /// else's does not say how it was made.
    fn commands(&self) -> Vec<String> {
        if !self.is_recorded() || self.cells.is_empty() {
            return Vec::new();
        }
        let mut seeds_of: Vec<(&CellName, Vec<u64>)> = Vec::new();
        for row in self.rows.iter().filter(|row| !row.cell.is_control()) {
            match seeds_of.last_mut() {
                Some((cell, seeds)) if **cell == row.cell => seeds.push(row.seed),
                Some(_) | None => seeds_of.push((&row.cell, vec![row.seed])),
            }
        }
        let mut groups: Vec<(Vec<u64>, Vec<&CellName>)> = Vec::new();
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
        if self.is_elsewhere() {
            let train = self.cells.iter().any(|cell| cell.protocol.scores_training_rows());
            let train = if train { " --train-scores 'DIR/{cell}/{seed}.train.npy'" } else { "" };
            let name = quoted(&self.name);
            let judge = |(seeds, _): (Vec<u64>, Vec<&CellName>)| {
                let seeds = ranges(&seeds);
                format!(
                    "seedbed score {name}{quick}{set} --seeds {seeds} --scores 'DIR/{{cell}}/{{seed}}.npy'{train}"
                )
            };
            let made = "# the scores were made elsewhere, and nothing here makes them again; to judge them:";
            return [made.to_owned()].into_iter().chain(groups.into_iter().map(judge)).collect();
        }
        let allow = if self.asks { " --allow-commands" } else { "" };
        let mut commands = checkout(&self.rows);
        commands.push("make build".to_owned());
        commands.extend(groups.into_iter().map(|(seeds, cells)| {
            let chosen = cells.iter().map(|cell| format!(" --cell {}", quoted(cell)));
            let chosen = if cells.len() == trained { String::new() } else { chosen.collect() };
            let (name, seeds) = (quoted(&self.name), ranges(&seeds));
            format!("target/release/seedbed run {name}{quick}{set}{allow} --seeds {seeds}{chosen}")
        }));
        commands
    }
}

/// The first further measurement that papers print for an experiment.
fn fingerprint(papers: &[Paper], experiment: &str) -> Option<Quantity> {
    let own = |one: &&Fingerprint| one.experiment.as_deref() == Some(experiment);
    let marks = papers.iter().flat_map(|paper| &paper.fingerprints).filter(own);
    let mut quantities = marks.map(|one| Quantity::from(&one.of));
    quantities.find(|quantity| matches!(quantity, Quantity::Diagnostic(_)))
}

/// Judges cells of readings by fresh seeds alone: the best of many cells is best partly by chance, and other
/// seeds do not know of it.
fn judged_afresh(
    experiment: &Experiment,
    rows: &[Row],
    measurements: &[Measurement],
    papers: &[Paper],
) -> Result<Vec<Comparison>> {
    let fresh: Vec<Row> = rows.iter().filter(|row| row.seed >= FRESH).cloned().collect();
    let summaries = summary::summarise(&fresh)?;
    let evidence = summary::evidence(&summaries, &fresh, measurements, papers);
    let compared =
        papers.iter().flat_map(|paper| summary::compare(&evidence, paper, &experiment.name, None));
    let combinations = readings::combinations(experiment);
    let said = |one: Comparison| {
        let of_cell = fresh.iter().filter(|row| row.cell == one.cell).map(|row| row.seed);
        let seeds = ranges(&of_cell.collect::<Vec<_>>());
        let chosen = format!("chosen from {combinations} readings; judged on seeds {seeds}");
        let note = match one.note.is_empty() {
            true => chosen,
            false => format!("{chosen}; {}", one.note),
        };
        Comparison { note, ..one }
    };
    Ok(compared.map(said).collect())
}

/// Whether an experiment runs a program that is run only when that is allowed.
fn asks(experiment: &Experiment) -> bool {
    let program = |cell: &Cell| match &cell.model {
        ModelSpec::Command(program) => !experiment.ships(program),
        _ => false,
    };
    experiment.cells.iter().any(program)
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
        [..] if rows.iter().all(|row| row.is_of_version_of(&rows[0])) => {
            match commits.iter().find(|commit| hash(commit)) {
                Some(commit) => {
                    let count = commits.len();
                    return vec![
                        format!("# made at {count} commits of one version of the code, see above"),
                        format!("git checkout {commit}"),
                    ];
                }
                None => format!("# made at {} commits, none of them known", commits.len()),
            }
        }
        [..] => {
            format!("# made by several versions of the code ({} commits), see above", commits.len())
        }
    };
    vec![said]
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
/// A damaged `diagnostics.csv`, or one of the files that are read with it.
fn measurements_of(origin: &Origin) -> Result<Vec<Measurement>> {
    match origin {
        Origin::Folder(folder) => {
            let mut lines = series::diagnostics_of(&folder.records);
            lines.extend(match folder.beside == Beside::default() {
                true => Beside::read(folder.store.dir(), &folder.published.runs)?.diagnostics,
                false => folder.beside.diagnostics.clone(),
            });
            Ok(lines)
        }
        Origin::File(file) => series::read_diagnostics(&file.with_file_name("diagnostics.csv")),
    }
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

/// The program that makes a cell's scores, for people.
fn program_of(experiment: Option<&Experiment>, cell: &CellName) -> Option<String> {
    let cell = experiment?.cells.iter().find(|known| known.label == *cell)?;
    match &cell.model {
        ModelSpec::Command(spec) => {
            let words = shell::command(spec.program.iter().map(String::as_str));
            Some(printable(&words).into_owned())
        }
        _ => None,
    }
}

/// Returns the papers that an experiment names; their figures that it is compared with name it.
///
/// # Errors
/// A paper that cannot be read, and a choice of figures that are not there.
pub fn papers_of(experiment: &Experiment) -> Result<Vec<Paper>> {
    let folder = experiment.papers_folder();
    let paper = |name: &String| choice::of_experiment(paper::find(&folder, name)?, experiment);
    experiment.papers.iter().map(paper).collect()
}

/// Says what it took: of all that is derived the bootstrap alone can take long.
fn add_bootstrap(summaries: &mut [Summary], rows: &[Row], making: Making) {
    let resamples = making.resamples;
    if resamples == 0 {
        return;
    }
    let started = Instant::now();
    let count = summary::bootstrap(summaries, rows, resamples);
    let seconds = started.elapsed().as_secs_f64();
    if seconds > 0.5 {
        let threads = rayon::current_num_threads();
        (making.tell)(&format!(
            "{count} bootstrap intervals of {resamples} resamples took {seconds:.1} s on {threads} \
             threads; --resamples 0 leaves them out"
        ));
    }
}

/// The pictures stored of the rows' runs, in the order of the cells, then by name.
fn pictures(store: &Store, rows: &[Row]) -> Result<Vec<Picture>> {
    let mut pictures = Vec::new();
    for Row { cell, seed, .. } in rows {
        let folder = store::pictures::folder(store.dir(), cell, *seed);
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
            let (cell, seed) = (cell.clone(), *seed);
            pictures.push(Picture { cell, seed, name: name.to_owned(), bytes });
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

    /// Says it to people now, and again for the report.
    fn tell(self, experiment: &str, tell: fn(&str)) -> Vec<String> {
        let said = |(why, count): (String, usize)| {
            tell(&format!("left out: {count} runs of {experiment}: {}", printable(&why)));
            format!("{count} runs left out: {why}")
        };
        self.0.into_iter().map(said).collect()
    }
}

/// The records of runs that the experiment, as it now is, has, under the labels of its cells; of the
/// others the key and why they are none.
fn current_records(
    experiment: &Experiment,
    grid: &Grid,
    records: Vec<Record>,
) -> (Vec<Record>, Vec<(String, String)>) {
    let (mut current, mut others): (Vec<Record>, Vec<(Record, String)>) = (Vec::new(), Vec::new());
    for record in records {
        match difference(&record, experiment, grid) {
            None => current.push(record),
            Some(why) => others.push((record, why)),
        }
    }
    let mut known: Places =
        current.iter().map(|record| (record.cell.label.clone(), record.seed)).collect();
    let mut keys = Keys::new(grid);
    let mut left_out = Vec::new();
    for (record, why) in others {
        let cell = keys.cell(&Keyed {
            label: &record.cell.label,
            seed: record.seed,
            kind: &record.device_kind,
            key: &record.key,
            scores_from: "",
        });
        let same_scale = record.scale == experiment.scale;
        match cell.filter(|_| same_scale).cloned() {
            // stored before its cell was given another label
            Some(cell) => {
                if known.insert((cell.label.clone(), record.seed)) {
                    current.push(Record { cell, ..record });
                }
            }
            None => left_out.push((record.key, why)),
        }
    }
    (current, left_out)
}

/// Returns the experiment as a folder's runs have it: where their scores were made elsewhere, it has no
/// method of its own.
///
/// # Errors
/// `Data` for records of both kinds, which no table could be made of, and a damaged `runs.csv`.
fn as_made<'a>(
    experiment: &'a Experiment,
    records: &[Record],
    table: &Path,
) -> Result<Cow<'a, Experiment>> {
    let elsewhere = records.iter().filter(|record| record.cell.model.is_elsewhere()).count();
    if elsewhere > 0 && elsewhere < records.len() {
        return Err(Error::Data(format!(
            "{} holds {elsewhere} scores from elsewhere beside {} runs that seedbed made: move one kind's \
             folders of runs/ away, into another folder of --out",
            table.parent().unwrap_or(Path::new("")).display(),
            records.len() - elsewhere,
        )));
    }
    let judged = if records.is_empty() { published::is_elsewhere(table)? } else { elsewhere > 0 };
    Ok(if judged { Cow::Owned(experiment.of_scores()) } else { Cow::Borrowed(experiment) })
}

/// In what a record is not the run of the cell with its label; nothing when it is.
fn difference(record: &Record, experiment: &Experiment, grid: &Grid) -> Option<String> {
    let label = &record.cell.label;
    let Some((cell, data_sha256)) = grid.get(label) else {
        return Some(format!("cell {label}, which the experiment does not have"));
    };
    let wanted =
        Wanted { cell, seed: record.seed, scale: experiment.scale, data_sha256, device_kind: None };
    let differences = store::differences(record, &wanted);
    let said = || format!("cell {label}: key differs: {}", differences.join(", "));
    (!differences.is_empty()).then(said)
}

/// Cells' labels and seeds.
type Places = HashSet<(CellName, u64)>;

/// The runs of the grid that a `runs.csv` holds beside these records. `places` are those of all
/// records: another file in the place of one says that its run is to be trained again, and its row
/// does not count.
fn beside_records(
    store: &Store,
    grid: &Grid,
    records: &[Record],
    places: &Places,
) -> Result<Published> {
    let known: HashSet<&str> = records.iter().map(|record| record.key.as_str()).collect();
    let table = store.dir().join("runs.csv");
    let mut published = Published::read(&table, grid, &known, Keyless::LeftOut)?;
    let here: HashSet<(&str, u64)> =
        records.iter().map(|record| (record.cell.label.as_str(), record.seed)).collect();
    published.runs.retain(|run| {
        let (label, seed) = (&run.row.cell, run.row.seed);
        let is_broken =
            !places.contains(&(label.clone(), seed)) && store.path(label, seed).exists();
        !here.contains(&(label.as_str(), seed)) && !is_broken
    });
    Ok(published)
}
