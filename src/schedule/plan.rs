//! What is stored, what is to run and why, and how long it will take. Reads the store and an
//! experiment's expansion; trains nothing and prints nothing.
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use indexmap::{IndexMap, IndexSet};
use serde_json::{Value, json};

use crate::dataset::{self, DataFile, DatasetSpec};
use crate::error::{Error, Result};
use crate::experiment::{Cell, CellName, Experiment, Scale};
use crate::machine::device;
use crate::machine::memory::Need;
use crate::model::ModelSpec;
use crate::report::columns;
use crate::report::terminal::printable;
use crate::schedule::estimate::{Estimate, Source};
use crate::schedule::{self, trainer};
use crate::shell;
use crate::store::claim::{self, Claims};
use crate::store::record::{Calibration, Digests, Job, Kept, Pictures, Record, State};
use crate::store::{self, Store, Stored, Wanted, scores};
use crate::summary::Row;

use crate::report::published::{Grid, Keyless, Published};

/// What a line of a plan's table says of one cell or of several.
#[derive(PartialEq, Eq, Hash)]
struct Line {
    /// The cell's place, where each has a line of its own.
    own: Option<usize>,
    /// Runs, stored ones, and those to run.
    counts: [usize; 3],
    why: String,
}

/// Cells of a plan that have a line each.
const MOST_LINES: usize = 40;

/// One experiment's runs.
pub struct Plan {
    pub experiment: Experiment,
    pub store: Store,
    pub cells: Vec<PlannedCell>,
    /// To be made of one seed.
    pub pictures: Option<Pictures>,
    /// Whether the scores of what runs are kept beside its records.
    pub keep_scores: bool,
    /// Rows of the folder's `runs.csv` that are no run of the experiment as it now is.
    others: Published,
    /// The device kind that runs are for, `cpu` or `cuda`.
    kind: &'static str,
}

/// One cell's runs, one a seed.
pub struct PlannedCell {
    pub cell: Cell,
    pub data_sha256: String,
    pub runs: IndexMap<u64, Status>,
}

/// What the store has for a run, by what `run` does about it.
pub enum Status {
    /// Left alone.
    Stored(Box<Record>),
    /// Left alone too: a row of the folder's `runs.csv` whose record is elsewhere.
    Published(Box<Row>),
    Missing,
    /// Failed, and is to be tried again; its record, unless a published row says so.
    Failed(State, Option<Box<Record>>),
    /// Another run's record is in its place; the parts that differ.
    Changed(Box<Record>, Vec<String>),
    /// A file that is no record is in its place.
    Unreadable(String),
}

impl Plan {
    /// Looks every run of `cells` up in the store below `out`, and what has no record there in the
    /// `runs.csv` beside it. With `retry_failed` a run that failed
    /// is to run again even where it would fail again.
    ///
    /// # Errors
    /// `Usage` for a made-up data set that cannot be made, `Data` for a `runs.csv` that cannot be read,
    /// and as [`Store::refuse_links`] and [`Store::get`].
    pub fn new(
        experiment: Experiment,
        cells: Vec<Cell>,
        out: &Path,
        kind: &'static str,
        retry_failed: bool,
    ) -> Result<Self> {
        let store = Store::open(out, &experiment.name);
        store.refuse_links()?;
        let mut digests: Vec<(DatasetSpec, String)> = Vec::new();
        let mut planned = Vec::new();
        for cell in cells {
            let known = digests.iter().find(|(spec, _)| *spec == cell.dataset);
            let data_sha256 = match known {
                Some((_, digest)) => digest.clone(),
                None => {
                    let digest = cell.dataset.sha256()?;
                    digests.push((cell.dataset.clone(), digest.clone()));
                    digest
                }
            };
            let status = |&seed: &u64| {
                let wanted = Wanted {
                    cell: &cell,
                    seed,
                    scale: experiment.scale,
                    data_sha256: &data_sha256,
                    device_kind: Some(kind),
                };
                Ok((seed, Status::of(store.get(&wanted)?, retry_failed)))
            };
            let runs = experiment.seeds.iter().map(status).collect::<Result<_>>()?;
            planned.push(PlannedCell { cell, data_sha256, runs });
        }
        let mut plan = Self {
            experiment,
            store,
            cells: planned,
            pictures: None,
            keep_scores: false,
            others: Published::default(),
            kind,
        };
        if plan.to_run() > 0 {
            plan.take_published(retry_failed)?;
        }
        Ok(plan)
    }

    /// Counts rows of the folder's `runs.csv` as stored where a run has no record of its own.
    fn take_published(&mut self, retry_failed: bool) -> Result<()> {
        let recorded = |status: &Status| match status {
            Status::Stored(record) | Status::Failed(_, Some(record)) => Some(record.key.clone()),
            Status::Published(_) | Status::Missing | Status::Failed(_, None) => None,
            Status::Changed(..) | Status::Unreadable(_) => None,
        };
        let statuses = self.cells.iter().flat_map(|planned| planned.runs.values());
        let recorded: Vec<String> = statuses.filter_map(recorded).collect();
        let known: HashSet<&str> = recorded.iter().map(String::as_str).collect();
        let grid = Grid::new(&self.experiment)?;
        let table = self.store.dir().join("runs.csv");
        let mut published = Published::read(&table, &grid, &known, Keyless::LeftOut)?;
        let mut rows: HashMap<(CellName, u64), Row> = HashMap::new();
        for run in std::mem::take(&mut published.runs) {
            if device::kind(&run.row.device) == self.kind {
                rows.insert((run.row.cell.clone(), run.row.seed), run.row);
            }
        }
        for planned in &mut self.cells {
            for (seed, status) in &mut planned.runs {
                if matches!(status, Status::Missing | Status::Changed(..))
                    && let Some(row) = rows.remove(&(planned.cell.label.clone(), *seed))
                {
                    *status = Status::of_row(row, retry_failed);
                }
            }
        }
        self.others = published;
        self.check_origin()
    }

    /// Refuses to train into a folder of scores that were made elsewhere: no table could say what its rows
    /// are.
    fn check_origin(&self) -> Result<()> {
        let mut others = self.others.others.iter();
        if self.experiment.is_elsewhere() || others.all(|(row, _)| row.scores_from.is_empty()) {
            return Ok(());
        }
        Err(Error::Usage(format!(
            "{} holds scores from elsewhere that 'seedbed score' judged, and runs that seedbed makes need \
             a folder of their own: name another with --out DIR",
            self.store.dir().display()
        )))
    }

    /// Makes the jobs that train what is not stored, with the indices of their cells. Cells that share
    /// their training share a job.
    pub fn jobs(&self, width: usize, data: &[PathBuf]) -> Vec<(Vec<usize>, Job)> {
        let mut jobs = Vec::new();
        for group in self.trained_together() {
            // seeds by the cells that lack them
            let mut lacking: IndexMap<Vec<usize>, Vec<u64>> = IndexMap::new();
            for &seed in &self.experiment.seeds {
                let lack = |&&cell: &&usize| {
                    let planned = &self.cells[cell];
                    planned.is_to_run(seed) || self.lacks_pictures(planned, seed)
                };
                let cells: Vec<usize> = group.iter().filter(lack).copied().collect();
                if !cells.is_empty() {
                    lacking.entry(cells).or_default().push(seed);
                }
            }
            for (cells, seeds) in lacking {
                let pieces = schedule::chunks(&self.job(&cells, data), &seeds, width);
                jobs.extend(pieces.into_iter().map(|job| (cells.clone(), job)));
            }
        }
        jobs
    }

    /// Whether anything of a cell is to be trained.
    fn is_needed(&self, planned: &PlannedCell) -> bool {
        let mut seeds = self.experiment.seeds.iter();
        seeds.any(|&seed| planned.is_to_run(seed) || self.lacks_pictures(planned, seed))
    }

    /// Whether a stored run is to be trained once more for its pictures.
    fn lacks_pictures(&self, planned: &PlannedCell, seed: u64) -> bool {
        self.pictures.as_ref().filter(|pictures| pictures.seed == seed).is_some_and(|pictures| {
            let key = store::key(&planned.cell, seed, &planned.data_sha256, self.kind);
            planned.cell.model.is_trained()
                && !store::pictures::are_complete(pictures, &planned.cell.label, &key)
        })
    }

    /// Indices of cells, grouped by what is trained.
    fn trained_together(&self) -> Vec<Vec<usize>> {
        let mut groups: IndexMap<String, Vec<usize>> = IndexMap::new();
        for (index, planned) in self.cells.iter().enumerate() {
            groups.entry(planned.cell.training_identity()).or_default().push(index);
        }
        groups.into_values().collect()
    }

    /// Makes a job of cells, without seeds.
    fn job(&self, cells: &[usize], data: &[PathBuf]) -> Job {
        let Experiment { name, scale, .. } = &self.experiment;
        let cells = cells.iter().map(|&cell| self.cells[cell].cell.clone()).collect();
        let (data, pictures) = (self.experiment.searched(data), self.pictures.clone());
        // a worker's programs start in folders of their own
        let folder = std::path::absolute(self.experiment.folder()).ok();
        let job = Job { data, folder, pictures, ..Job::of(name, *scale, cells, Vec::new()) };
        let has_environment = |cell: &Cell| match &cell.model {
            ModelSpec::Command(spec) => !spec.environment.is_empty(),
            _ => false,
        };
        let keeps = self.keep_scores || job.cells.iter().any(has_environment);
        let (folder, scores) = (self.store.dir().to_owned(), self.keep_scores);
        Job { kept: keeps.then_some(Kept { folder, scores }), ..job }
    }

    /// Returns how a run that is left alone ended, and the digests of what it was made from and made.
    pub fn left_alone(&self, cell: &str, seed: u64) -> Option<(State, Digests)> {
        let planned = self.cells.iter().find(|planned| planned.cell.label == cell)?;
        match planned.runs.get(&seed)? {
            Status::Stored(record) => Some((record.state, record.digests.clone())),
            Status::Published(row) => {
                let digests = Digests {
                    data: row.data_sha256.clone(),
                    split: row.split_sha256.clone(),
                    init: row.init_sha256.clone(),
                    scores: row.scores_sha256.clone(),
                };
                Some((row.state, digests))
            }
            Status::Missing | Status::Failed(..) | Status::Changed(..) | Status::Unreadable(_) => {
                None
            }
        }
    }

    /// Claims every run of a job or none, then looks again at what is stored.
    pub fn claim(&self, job: &Job, claims: &Claims) -> schedule::Claim {
        let mut cells = job.cells.iter();
        let checked = cells.try_for_each(|cell| self.store.check_cell(&cell.label));
        let claimed = checked.and_then(|()| self.claim_all(job, claims));
        claimed.unwrap_or_else(schedule::Claim::Refused)
    }

    fn claim_all(&self, job: &Job, claims: &Claims) -> Result<schedule::Claim> {
        let mut taken = Vec::new();
        for path in job.cells.iter().flat_map(|cell| self.claimed(cell, &job.seeds)) {
            let other = match claims.take(&path) {
                Ok(None) => {
                    taken.push(path);
                    continue;
                }
                Ok(Some(by)) => Ok(schedule::Claim::Elsewhere(by)),
                Err(error) => Err(Error::of_file("claim a run with", &path, &error)),
            };
            taken.iter().for_each(|path| claims.release(path));
            return other;
        }
        let mut found = Vec::new();
        let mut lacking: IndexMap<Vec<usize>, Vec<u64>> = IndexMap::new();
        for &seed in &job.seeds {
            let mut cells = Vec::new();
            for (index, cell) in job.cells.iter().enumerate() {
                match self.stored_since(&cell.label, seed)? {
                    Some(record) => found.push(*record),
                    None => {
                        self.check_overwritten(&cell.label, seed)?;
                        cells.push(index);
                    }
                }
            }
            if !cells.is_empty() {
                lacking.entry(cells).or_default().push(seed);
            }
        }
        let rest = lacking.into_iter().map(|(cells, seeds)| {
            let cells = cells.into_iter().map(|index| job.cells[index].clone()).collect();
            Job { cells, seeds, ..job.clone() }
        });
        Ok(schedule::Claim::Ours { found, rest: rest.collect() })
    }

    /// Lists the files that claim a cell's runs.
    pub fn claimed(&self, cell: &Cell, seeds: &[u64]) -> Vec<PathBuf> {
        let path = |&seed: &u64| self.store.path(&cell.label, seed).with_extension("claim");
        seeds.iter().map(path).collect()
    }

    fn run(&self, cell: &str, seed: u64) -> Option<(&PlannedCell, &Status)> {
        let planned = self.cells.iter().find(|planned| planned.cell.label == cell)?;
        Some((planned, planned.runs.get(&seed)?))
    }

    fn wanted<'a>(&'a self, planned: &'a PlannedCell, seed: u64) -> Wanted<'a> {
        Wanted {
            cell: &planned.cell,
            seed,
            scale: self.experiment.scale,
            data_sha256: &planned.data_sha256,
            device_kind: Some(self.kind),
        }
    }

    /// Refuses to put a record in the place of a finished full one that was made otherwise and that was not
    /// there when the plan was made: nobody was asked about that one.
    ///
    /// # Errors
    /// `Usage`, with what differs and the way on, and as [`Store::get`].
    pub fn check_overwritten(&self, cell: &str, seed: u64) -> Result<()> {
        let Some((planned, status)) = self.run(cell, seed) else { return Ok(()) };
        let Stored::Different(record, parts) = self.store.get(&self.wanted(planned, seed))? else {
            return Ok(());
        };
        let is_known = status.is_left_alone()
            || matches!(status, Status::Changed(known, _) if *known == record);
        if is_known || !record.state.is_final() || record.scale != Scale::Full {
            return Ok(());
        }
        Err(Error::Usage(format!(
            "{} holds a finished run that was made otherwise ({}) and was not there when this command began: \
             another one trains into the same folder; name a folder of its own with --out DIR",
            self.store.path(cell, seed).display(),
            parts.join(", "),
        )))
    }

    /// Lists the places of records that are not there, of runs that no published row stands for.
    pub fn unrecorded(&self) -> impl Iterator<Item = PathBuf> {
        let runs = self.cells.iter().flat_map(|planned| {
            planned.runs.iter().map(move |(seed, status)| (&planned.cell.label, *seed, status))
        });
        let recorded = runs.filter(|(_, _, status)| !matches!(status, Status::Published(_)));
        let places = recorded.map(|(label, seed, _)| self.store.path(label, seed));
        places.filter(|path| path.symlink_metadata().is_err())
    }

    /// Counts the runs that are none of these rows.
    pub fn without_row(&self, rows: &[Row]) -> usize {
        let there: HashSet<(&str, u64)> =
            rows.iter().map(|row| (row.cell.as_str(), row.seed)).collect();
        let is_there = |planned: &PlannedCell, seed: &&u64| {
            there.contains(&(planned.cell.label.as_str(), **seed))
        };
        let of = |planned: &PlannedCell| {
            planned.runs.keys().filter(|seed| !is_there(planned, seed)).count()
        };
        self.cells.iter().map(of).sum()
    }

    /// Returns the record that another process has stored of a run since the plan was made, failed or not.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub fn stored_since(&self, cell: &str, seed: u64) -> Result<Option<Box<Record>>> {
        let Some((planned, status)) = self.run(cell, seed) else { return Ok(None) };
        let before = match status {
            Status::Stored(record) | Status::Failed(_, Some(record)) => Some(record),
            Status::Missing | Status::Failed(_, None) => None,
            Status::Published(_) | Status::Changed(..) | Status::Unreadable(_) => None,
        };
        Ok(match self.store.get(&self.wanted(planned, seed))? {
            Stored::Same(record) if before != Some(&record) => {
                (!self.lacks_pictures(planned, seed)).then_some(record)
            }
            Stored::Same(_) | Stored::Missing | Stored::Different(..) | Stored::Unreadable(_) => {
                None
            }
        })
    }

    /// Counts the runs that have a file in the place of their record by now.
    pub fn recorded(&self) -> usize {
        let of = |planned: &PlannedCell| {
            let place = |&seed: &u64| self.store.path(&planned.cell.label, seed);
            planned.runs.keys().map(place).filter(|path| path.exists()).count()
        };
        self.cells.iter().map(of).sum()
    }

    /// Counts the runs that have no record and count as stored by the folder's `runs.csv`.
    pub fn published(&self) -> usize {
        let statuses = self.cells.iter().flat_map(|planned| planned.runs.values());
        statuses.filter(|status| matches!(status, Status::Published(_))).count()
    }

    /// Counts the runs that are to run.
    pub fn to_run(&self) -> usize {
        self.cells.iter().map(|planned| planned.seeds_to_run().len()).sum()
    }

    /// Refuses to put new records in the place of finished full ones that were made otherwise.
    ///
    /// # Errors
    /// `Usage`, with what differs and the two ways on.
    pub fn check_replaced(&self) -> Result<()> {
        let mut lost = Vec::new();
        for planned in &self.cells {
            for (seed, status) in &planned.runs {
                if let Status::Changed(record, parts) = status {
                    // a quick run costs little and promises nothing
                    if record.state.is_final() && record.scale == Scale::Full {
                        lost.push((planned.cell.label.as_str(), seed, parts.join(", ")));
                    }
                }
            }
        }
        let Some((label, seed, parts)) = lost.first() else { return Ok(()) };
        Err(Error::Usage(format!(
            "{} holds {} finished runs that were made otherwise (cell {label}, seed {seed}: \
             {parts}), and training would overwrite them; keep them with --out DIR, or give \
             --replace",
            self.store.dir().display(),
            lost.len(),
        )))
    }

    /// Refuses to let the tables of a reduced run take the place of finished full runs: that is a slip.
    ///
    /// # Errors
    /// `Usage`, with the two ways on.
    pub fn check_published(&self) -> Result<()> {
        let full = self.others.full_others();
        if full == 0 || self.experiment.scale == Scale::Full {
            return Ok(());
        }
        Err(Error::Usage(format!(
            "{}/runs.csv holds {full} finished runs of the full protocol, and the tables of this \
             reduced run (--quick or --set) would take its place; name another folder with --out \
             DIR, or give --replace, which keeps it aside",
            self.store.dir().display(),
        )))
    }

    /// Says what will happen to rows of the folder's `runs.csv` that cannot share a table with what is to run;
    /// nothing where there are none.
    pub fn on_others(&self) -> Option<String> {
        let count = self.others.others.len();
        (count > 0).then(|| {
            format!(
                "{}/runs.csv holds {count} runs that are none of this experiment as it now is ({}); \
                 before tables without them take its place, it is kept aside",
                self.store.dir().display(),
                printable(&self.others.reasons()),
            )
        })
    }

    /// Refuses to add runs to those that another version of the code made: they could not share a
    /// table. Commits may differ, for a stored run has the protocol version of this program in its key,
    /// and that is raised when results change.
    ///
    /// # Errors
    /// `Usage`, with both versions, and as [`trainer::versions`]; and for a device that a method cannot
    /// compute on.
    pub fn check_code(&self) -> Result<()> {
        let Some(open) = self.cells.iter().find(|planned| self.is_needed(planned)) else {
            return Ok(());
        };
        let model = &open.cell.model;
        if !model.is_trained() && self.kind != "cpu" {
            return Err(Error::Usage(format!(
                "the method of experiment {} computes on the CPU alone: run it with --device cpu",
                self.experiment.name
            )));
        }
        if self.to_run() == 0 {
            return Ok(());
        }
        let versions = trainer::versions(model)?;
        let runs = self.cells.iter().flat_map(|planned| planned.runs.values());
        let other = runs
            .filter_map(|status| match status {
                Status::Stored(record) => Some(record.provenance.libtorch.as_str()),
                Status::Published(row) => Some(row.libtorch.as_str()),
                Status::Missing
                | Status::Failed(..)
                | Status::Changed(..)
                | Status::Unreadable(_) => None,
            })
            .find(|libtorch| *libtorch != versions.libtorch);
        let Some(libtorch) = other else { return Ok(()) };
        let libtorch = if libtorch.is_empty() { "of an unknown version" } else { libtorch };
        Err(Error::Usage(format!(
            "{} holds runs that another version of the code made (with libtorch {libtorch}; this is \
             {}): keep them apart with --out DIR, or put them into one table with --mixed-code",
            self.store.dir().display(),
            versions.libtorch,
        )))
    }

    /// Refuses to run programs that an experiment names, unless they are `allowed`: a file from elsewhere
    /// could name any. Refuses an experiment without a method too.
    ///
    /// # Errors
    /// `Usage`, with the programs of what is to run.
    pub fn check_commands(&self, allowed: bool) -> Result<()> {
        let Experiment { name, path, .. } = &self.experiment;
        let open = self.cells.iter().filter(|planned| self.is_needed(planned));
        let mut programs: IndexSet<String> = IndexSet::new();
        for planned in open {
            match &planned.cell.model {
                ModelSpec::Command(spec) if self.experiment.ships(spec) => {}
                ModelSpec::Command(spec) => {
                    let both = [&spec.program, &spec.environment];
                    let words = both.into_iter().filter(|words| !words.is_empty());
                    programs.extend(words.map(|words| said(words)));
                }
                ModelSpec::Scores(_) => {
                    return Err(Error::Usage(format!(
                        "experiment {name} has no method to run, its scores come from elsewhere: 'seedbed \
                         split {name} --to DIR' writes rows to train on, and 'seedbed score {name} --scores \
                         DIR/{{cell}}/{{seed}}.npy' judges the scores"
                    )));
                }
                _ => {}
            }
        }
        if allowed || programs.is_empty() {
            return Ok(());
        }
        let count = programs.len();
        let more = if count > MOST_SAID {
            format!(" and {} more", count - MOST_SAID)
        } else {
            String::new()
        };
        let shown: Vec<String> = programs.into_iter().take(MOST_SAID).collect();
        Err(Error::Usage(format!(
            "experiment {name} runs a program that is not seedbed's: {}{more} (from {}). Read it, then say \
             --allow-commands",
            shown.join("; "),
            path.display(),
        )))
    }

    /// Says that a run takes more cores than there are slots; nothing where none does.
    pub fn on_cores(&self, slots: usize) -> Option<String> {
        let open = self.cells.iter().filter(|planned| self.is_needed(planned));
        let widest = open.map(|planned| planned.cell.model.cores()).max()?;
        (widest > slots).then(|| {
            format!(
                "a run of {} takes {widest} cores (model.threads), and --slots gives {slots}: each has them \
                 to itself",
                self.experiment.name
            )
        })
    }

    /// Counts the runs that are left alone and have no scores beside their records.
    pub fn without_scores(&self) -> usize {
        let lacks = |planned: &PlannedCell, seed: u64| {
            let place =
                scores::place(self.store.dir(), &planned.cell.label, seed, scores::Of::Test);
            !place.exists()
        };
        let of = |planned: &PlannedCell| {
            let runs = planned.runs.iter().filter(|(_, status)| match status {
                Status::Stored(record) => record.state == State::Ok,
                Status::Published(row) => row.state == State::Ok,
                Status::Missing | Status::Failed(..) => false,
                Status::Changed(..) | Status::Unreadable(_) => false,
            });
            runs.filter(|(seed, _)| lacks(planned, **seed)).count()
        };
        self.cells.iter().map(of).sum()
    }

    /// Checks that the data of everything that is to run can be found.
    ///
    /// # Errors
    /// `Data` for the first file that cannot, with the next step.
    pub fn check_data(&self, search: &[PathBuf]) -> Result<()> {
        let search = &self.experiment.searched(search);
        let places: Vec<String> = search.iter().map(|dir| dir.display().to_string()).collect();
        for planned in self.cells.iter().filter(|planned| self.is_needed(planned)) {
            for file in planned.cell.dataset.files() {
                if dataset::find(&file, search).is_none() {
                    return Err(Error::Data(format!(
                        "experiment {} needs {}, which is not in {}; {}",
                        self.experiment.name,
                        file.name,
                        places.join(", "),
                        file.if_missing(),
                    )));
                }
            }
        }
        Ok(())
    }

    /// Checks that the data files of everything that is to run hold the right bytes.
    ///
    /// # Errors
    /// As [`dataset::fetch::check`].
    pub fn check_bytes(&self, search: &[PathBuf]) -> Result<()> {
        let search = &self.experiment.searched(search);
        let to_run = self.cells.iter().filter(|planned| self.is_needed(planned));
        let mut checked: Vec<DataFile> = Vec::new();
        for file in to_run.flat_map(|planned| planned.cell.dataset.files()) {
            if let (Some(path), false) = (dataset::find(&file, search), checked.contains(&file)) {
                dataset::fetch::check(&file, &path)?;
                checked.push(file);
            }
        }
        Ok(())
    }

    /// Estimates every cell by its stored runs or those of another cell.
    pub fn estimates(&self) -> Vec<Estimate> {
        let own: Vec<Option<f64>> = self.cells.iter().map(PlannedCell::median_seconds).collect();
        let epochs = |index: usize| self.cells[index].cell.training.epochs;
        let estimate = |index: usize| {
            if let Some(seconds) = own[index] {
                return Some((seconds, Source::Cell));
            }
            let trains = epochs(index) > 0;
            let other = (0..own.len())
                .find(|&other| own[other].is_some() && (epochs(other) > 0) == trains)?;
            let scale = if trains { epochs(index) as f64 / epochs(other) as f64 } else { 1.0 };
            Some((own[other]? * scale, Source::OtherCells))
        };
        (0..self.cells.len()).map(estimate).collect()
    }

    /// Fills the gaps of `estimates` for cells with something to run. `calibrate` times a job; one
    /// cell that trains stands for the others, by the number of epochs, and its loading time for
    /// the controls.
    ///
    /// # Errors
    /// Those of `calibrate`.
    pub fn calibrate(
        &self,
        estimates: &mut [Estimate],
        width: usize,
        data: &[PathBuf],
        calibrate: &dyn Fn(&Job) -> Result<Calibration>,
    ) -> Result<()> {
        let open: Vec<usize> = (0..self.cells.len())
            .filter(|&i| estimates[i].is_none() && !self.cells[i].seeds_to_run().is_empty())
            .collect();
        let trained = |i: &&usize| self.cells[**i].cell.training.epochs > 0;
        let Some(&sample) = open.iter().find(trained).or(open.first()) else { return Ok(()) };
        let seeds = self.cells[sample].seeds_to_run();
        let seeds: Vec<u64> = seeds.into_iter().take(width.max(1)).collect();
        let together = seeds.len() as f64;
        let timed = calibrate(&Job { seeds, ..self.job(&[sample], data) })?;
        let groups = self.trained_together();
        for index in open {
            let steps = (timed.steps_per_epoch * self.cells[index].cell.training.epochs) as f64;
            let seconds = timed.load_seconds + steps * timed.seconds_per_step;
            // a record's time is its share of the training, and its own scoring
            let sharing = groups.iter().find(|group| group.contains(&index)).map_or(1, Vec::len);
            let seconds = seconds / (together * sharing as f64) + timed.scoring_seconds;
            let is_trained = self.cells[index].cell.model.is_trained();
            let source = if is_trained { Source::Calibration } else { Source::TimedRun };
            estimates[index] = Some((seconds, source));
        }
        Ok(())
    }

    /// Returns what a job of each cell needs at most, in bytes: of `width` seeds or as many as the experiment has.
    pub fn bytes_per_job(&self, needs: &[Option<Need>], width: usize) -> Vec<Option<u64>> {
        let width = width.min(self.experiment.seeds.len());
        needs.iter().map(|need| need.map(|need| need.of(width))).collect()
    }

    /// Why a cell has runs to run, and who is at them.
    fn reasons(&self, planned: &PlannedCell) -> Vec<String> {
        let paths = self.claimed(&planned.cell, &planned.seeds_to_run());
        let mut holders: BTreeMap<String, usize> = BTreeMap::new();
        for holder in paths.iter().filter_map(|path| claim::holder(path)) {
            *holders.entry(holder).or_default() += 1;
        }
        let claimed =
            |(who, count): (&String, &usize)| format!("{count} claimed by {}", printable(who));
        let claimed: Vec<String> = holders.iter().map(claimed).collect();
        [planned.reasons(), claimed].concat()
    }

    /// Writes `cells × (runs, stored, to run and why)` for people; of many cells those that are alike are one
    /// line.
    pub fn table(&self) -> String {
        let mut lines: IndexMap<Line, Vec<&CellName>> = IndexMap::new();
        for (place, planned) in self.cells.iter().enumerate() {
            let to_run = planned.seeds_to_run().len();
            let (runs, why) = (planned.runs.len(), self.reasons(planned).join("; "));
            let own_line = (self.cells.len() <= MOST_LINES).then_some(place);
            let line = Line { own: own_line, counts: [runs, runs - to_run, to_run], why };
            lines.entry(line).or_default().push(&planned.cell.label);
        }
        let mut rows = vec![["cell", "runs", "stored", "to run", ""].map(str::to_owned).to_vec()];
        for (Line { counts, why, .. }, cells) in lines {
            let (name, each) = match &cells[..] {
                [cell] => (cell.to_string(), ""),
                [first, ..] => (format!("{} cells, the first is {first}", cells.len()), ", each"),
                [] => continue,
            };
            let why = if why.is_empty() { why } else { format!("{why}{each}") };
            let counts = counts.map(|count| (count * cells.len()).to_string());
            rows.push([vec![name], counts.to_vec(), vec![why]].concat());
        }
        let head = format!("{}: {}", self.experiment.name, printable(&self.experiment.title));
        let lines = columns::lines(&rows, 1..4, |_, _| "");
        std::iter::once(head)
            .chain(lines.iter().map(|line| format!("  {line}")))
            .map(|line| line + "\n")
            .collect()
    }

    /// Writes the same for programs.
    pub fn json(&self, estimates: &[Estimate], needs: &[Option<Need>], width: usize) -> Value {
        let bytes = self.bytes_per_job(needs, width);
        let cells =
            self.cells.iter().zip(estimates).zip(bytes).map(|((planned, estimate), bytes)| {
                let to_run = planned.seeds_to_run();
                json!({
                    "cell": planned.cell.label,
                    "runs": planned.runs.len(),
                    "stored": planned.runs.len() - to_run.len(),
                    "published": planned.published(),
                    "to-run": to_run,
                    "reasons": self.reasons(planned),
                    "seconds-per-run": estimate.map(|(seconds, _)| seconds),
                    "seconds-from": estimate.map(|(_, source)| source),
                    "bytes-per-job": bytes,
                })
            });
        let cells: Vec<Value> = cells.collect();
        let (name, scale) = (&self.experiment.name, self.experiment.scale);
        json!({"experiment": name, "scale": scale, "cells": cells})
    }
}

/// Asks what a job of each cell of each plan needs of its device's memory, where that is known and something
/// of the cell is to run; asks the trainer once.
///
/// # Errors
/// As [`trainer::needs`].
pub fn memory_needs(plans: &[&Plan]) -> Result<Vec<Vec<Option<Need>>>> {
    let open: Vec<&Cell> = plans
        .iter()
        .flat_map(|plan| plan.cells.iter().filter(|planned| plan.is_needed(planned)))
        .map(|planned| &planned.cell)
        .collect();
    let Some(kind) = plans.first().map(|plan| plan.kind) else { return Ok(Vec::new()) };
    let mut found = trainer::needs(&open, kind)?.into_iter();
    let mut needs = Vec::new();
    for plan in plans {
        let need = |planned| if plan.is_needed(planned) { found.next().flatten() } else { None };
        needs.push(plan.cells.iter().map(need).collect());
    }
    Ok(needs)
}

impl PlannedCell {
    /// Lists the seeds that are to run.
    pub fn seeds_to_run(&self) -> Vec<u64> {
        let open = self.runs.iter().filter(|(_, status)| !status.is_left_alone());
        open.map(|(seed, _)| *seed).collect()
    }

    fn is_to_run(&self, seed: u64) -> bool {
        self.runs.get(&seed).is_some_and(|status| !status.is_left_alone())
    }

    fn published(&self) -> usize {
        self.runs.values().filter(|status| matches!(status, Status::Published(_))).count()
    }

    fn median_seconds(&self) -> Option<f64> {
        let stored = self.runs.iter().filter_map(|(_, status)| match status {
            Status::Stored(record) if record.state == State::Ok => Some(record.wall_seconds),
            Status::Stored(_) | Status::Missing | Status::Failed(..) => None,
            // made on a machine that need not be like this one
            Status::Published(_) | Status::Changed(..) | Status::Unreadable(_) => None,
        });
        crate::stats::median(&stored.collect::<Vec<f64>>())
    }

    /// `2 missing`, `key differs: training.epochs 200 -> 3 (20 runs)` …
    fn reasons(&self) -> Vec<String> {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        let mut unreadable = Vec::new();
        for (_, status) in &self.runs {
            match status {
                Status::Stored(record) if record.state == State::Ok => {}
                // stored and not trained again, but worth a word
                Status::Stored(record) => *counts.entry(left(record.state)).or_default() += 1,
                Status::Published(row) if row.state == State::Ok => {
                    *counts.entry("published".to_owned()).or_default() += 1;
                }
                Status::Published(row) => {
                    let text = format!("published, {}", left(row.state));
                    *counts.entry(text).or_default() += 1;
                }
                Status::Missing => *counts.entry("missing".to_owned()).or_default() += 1,
                Status::Failed(state, _) => {
                    let text = format!("{} (to be tried again)", state.as_str());
                    *counts.entry(text).or_default() += 1;
                }
                Status::Changed(_, parts) => {
                    let parts = format!("with another key: {}", parts.join(", "));
                    *counts.entry(parts).or_default() += 1;
                }
                Status::Unreadable(why) => unreadable.push(printable(why)),
            }
        }
        let counted = counts.into_iter().map(|(what, count)| format!("{count} {what}"));
        let first = unreadable.first().map(|why| match unreadable.len() {
            1 => format!("unreadable: {why}"),
            count => format!("{count} unreadable, such as {why}"),
        });
        counted.chain(first).collect()
    }
}

impl Status {
    fn of(stored: Stored, retry_failed: bool) -> Self {
        match stored {
            Stored::Missing => Self::Missing,
            Stored::Same(record) if record.state == State::Ok => Self::Stored(record),
            Stored::Same(record) if record.state.is_final() && !retry_failed => {
                Self::Stored(record)
            }
            Stored::Same(record) => Self::Failed(record.state, Some(record)),
            Stored::Different(record, parts) => Self::Changed(record, parts),
            Stored::Unreadable(why) => Self::Unreadable(why),
        }
    }

    fn of_row(row: Row, retry_failed: bool) -> Self {
        let state = row.state;
        if state == State::Ok || (state.is_final() && !retry_failed) {
            Self::Published(Box::new(row))
        } else {
            Self::Failed(state, None)
        }
    }

    fn is_left_alone(&self) -> bool {
        matches!(self, Self::Stored(_) | Self::Published(_))
    }
}

/// Commands of an experiment that are shown.
const MOST_SAID: usize = 5;

/// A command as people are shown it.
fn said(words: &[String]) -> String {
    printable(&shell::command(words.iter().map(String::as_str))).into_owned()
}

/// Of a stored run that failed: why it is left alone.
fn left(state: State) -> String {
    format!("{} (left: it would come again; run --retry failed)", state.as_str())
}
