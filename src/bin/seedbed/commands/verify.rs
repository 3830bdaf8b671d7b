//! The subcommand `verify`: trains a sample of the stored runs again, in a temporary folder, and says
//! of each whether it came out as stored. What counts as the same is `seedbed::summary::rerun`'s business.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use indexmap::IndexMap;
use serde_json::json;
use sha2::{Digest, Sha256};

use seedbed::error::{Error, Result};
use seedbed::experiment::{Cell, CellName, Experiment};
use seedbed::model::ModelSpec;
use seedbed::report::derive::{Derived, Making};
use seedbed::report::terminal::printable;
use seedbed::report::{self, columns};
use seedbed::schedule::devices::Devices;
use seedbed::schedule::plan::{Plan, memory_needs};
use seedbed::schedule::session::{Patience, Session};
use seedbed::schedule::worker::Workers;
use seedbed::store::Store;
use seedbed::store::record::Record;
use seedbed::summary::Row;
use seedbed::summary::rerun::{Check, Stored, Verdict, check};

use super::run::train;
use crate::args::{Common, Training, Verifying};
use crate::output::Output;
use crate::screen::say;
use crate::signals::{INTERRUPT_CODE, STOP, interrupted};

/// The stored runs of an experiment, and those of them that are trained again.
struct Sample {
    experiment: Experiment,
    derived: Derived,
    chosen: Chosen,
}

/// Runs by their cell: the places of their rows.
type Chosen = IndexMap<CellName, Vec<usize>>;

/// The exit code where all that differs are programs that do not give the same scores twice.
const NOT_REPEATABLE: u8 = 4;

/// Trains the sample of every experiment again; 1 when any run differs, 4 when one does because its program
/// is not repeatable.
pub fn verify(common: &Common, training: &Training, verifying: &Verifying) -> Result<u8> {
    let (devices, search) = (training.devices()?, training.search()?);
    let again = Again { training, devices: &devices, search: &search, timeout: verifying.timeout };
    let mut samples = Vec::new();
    for experiment in common.load(Some(training))? {
        samples.push(Sample::choose(experiment, common, training, verifying)?);
    }
    let [first, second] = [scratch()?, scratch()?];
    let chosen: Vec<&Chosen> = samples.iter().map(|sample| &sample.chosen).collect();
    if !again.make(&samples, &chosen, first.path())? {
        return Ok(INTERRUPT_CODE);
    }
    let checks = samples.iter().map(|sample| sample.checks(first.path(), verifying.tolerance));
    let mut checks: Vec<Vec<Check>> = checks.collect::<Result<_>>()?;
    let doubtful = samples.iter().zip(&checks).map(|(sample, checks)| sample.doubtful(checks));
    let doubtful: Vec<Chosen> = doubtful.collect();
    if doubtful.iter().any(|chosen| !chosen.is_empty()) {
        say("some programs gave other scores than those that are stored; running them once more");
        if !again.make(&samples, &doubtful.iter().collect::<Vec<_>>(), second.path())? {
            return Ok(INTERRUPT_CODE);
        }
        for (sample, checks) in samples.iter().zip(&mut checks) {
            sample.judge_programs(checks, first.path(), second.path())?;
        }
    }
    show(&samples, &checks, (common.json, devices.kind, verifying.tolerance))?;
    let has = |verdict| checks.iter().flatten().any(|check| check.verdict == verdict);
    Ok(match (has(Verdict::Differs), has(Verdict::NotRepeatable)) {
        (true, _) => 1,
        (false, true) => NOT_REPEATABLE,
        (false, false) => 0,
    })
}

fn scratch() -> Result<tempfile::TempDir> {
    tempfile::tempdir()
        .map_err(|error| Error::Failed(format!("cannot make a temporary folder: {error}")))
}

fn show(
    samples: &[Sample],
    checks: &[Vec<Check>],
    (json, kind, tolerance): (bool, &str, f64),
) -> Result<()> {
    let mut output = Output::new(json);
    for (sample, checks) in samples.iter().zip(checks) {
        let (name, from) = (&sample.experiment.name, sample.derived.from());
        output.next();
        output.show(
            || text(checks, sample, kind, tolerance),
            || {
                [
                    ("experiment", json!(name)),
                    ("from", json!(from)),
                    ("stored", json!(sample.derived.rows.len())),
                    ("tolerance", json!(tolerance)),
                    ("runs", json!(checks)),
                ]
            },
        )?;
    }
    output.end()
}

/// How runs are made again.
struct Again<'a> {
    training: &'a Training,
    devices: &'a Devices,
    search: &'a [PathBuf],
    /// Seconds.
    timeout: Option<u64>,
}

impl Again<'_> {
    /// Makes the chosen runs of each sample below a folder; false where it was interrupted.
    fn make(&self, samples: &[Sample], chosen: &[&Chosen], scratch: &Path) -> Result<bool> {
        let mut plans = Vec::new();
        for (sample, chosen) in samples.iter().zip(chosen) {
            plans.extend(sample.plans(chosen, self.training, scratch, self.devices.kind)?);
        }
        for plan in &mut plans {
            plan.check_commands(self.training.allow_commands)?;
            plan.check_data(self.search)?;
            plan.store.settle()?;
        }
        let timeout = self.timeout.map(Duration::from_secs);
        let workers = Workers { out: scratch, timeout, stop: &STOP };
        let patience = Patience { retries: 1, fail_fast: false, waits: true };
        let planned: Vec<&Plan> = plans.iter().collect();
        let needs = memory_needs(&planned)?;
        let session = Session::new(&planned, &needs, self.devices, self.search);
        train(&session, self.devices, &workers, patience, &mut |_| ())?;
        if interrupted() {
            say("interrupted; nothing is verified");
        }
        Ok(!interrupted())
    }
}

impl Sample {
    fn choose(
        experiment: Experiment,
        common: &Common,
        training: &Training,
        verifying: &Verifying,
    ) -> Result<Self> {
        let making = Making { resamples: 0, mixed_code: true, tell: say };
        let derived = match &verifying.against {
            Some(folder) => Derived::published(&experiment, folder, making)?,
            None => Derived::stored(&experiment, &common.out(), making)?,
        };
        let asked = training.seeds.is_some() || training.runs.is_some();
        if derived.is_elsewhere() {
            return Err(Error::Usage(format!(
                "{} holds scores from elsewhere: seedbed did not make them and cannot make them again; \
                 'seedbed score' judges their files again",
                derived.from()
            )));
        }
        let mut chosen = Chosen::new();
        for cell in experiment.select(&training.cell)? {
            // a run that may end otherwise the next time cannot be verified
            let stored = |row: &Row| row.cell == cell.label && row.state.is_final();
            let places = (0..derived.rows.len()).filter(|&place| stored(&derived.rows[place]));
            let seed = |place: &usize| derived.rows[*place].seed;
            let places = if asked {
                places.filter(|place| experiment.seeds.contains(&seed(place))).collect()
            } else {
                let mut places: Vec<usize> = places.collect();
                places.sort_by_cached_key(|place| rank(&experiment.name, seed(place)));
                places.truncate(verifying.sample as usize);
                places.sort_unstable();
                places
            };
            if !places.is_empty() {
                chosen.insert(cell.label, places);
            }
        }
        if chosen.is_empty() {
            return Err(Error::Data(format!(
                "{} holds no run of {} that could be trained again: name another folder with \
                 --out or --against",
                derived.from(),
                experiment.name,
            )));
        }
        Ok(Self { experiment, derived, chosen })
    }

    /// One plan for all cells with the same seeds, so that cells that share their training share it
    /// here too.
    fn plans(
        &self,
        chosen: &Chosen,
        training: &Training,
        scratch: &Path,
        kind: &'static str,
    ) -> Result<Vec<Plan>> {
        let mut groups: IndexMap<Vec<u64>, Vec<Cell>> = IndexMap::new();
        for cell in self.experiment.select(&training.cell)? {
            let Some(places) = chosen.get(&cell.label) else { continue };
            let seeds = places.iter().map(|&place| self.derived.rows[place].seed).collect();
            groups.entry(seeds).or_default().push(cell);
        }
        let plan = |(seeds, cells)| {
            let experiment = Experiment { seeds, ..self.experiment.clone() };
            Plan::new(experiment, cells, scratch, kind, false)
        };
        groups.into_iter().map(plan).collect()
    }

    fn checks(&self, scratch: &Path, tolerance: f64) -> Result<Vec<Check>> {
        let (records, _) = Store::open(scratch, &self.experiment.name).load_all()?;
        let rows = report::rows_of(&records);
        let stored = self.derived.records();
        let mut checks = Vec::new();
        for &place in self.chosen.values().flatten() {
            let row = &self.derived.rows[place];
            let same = |record: &&Record| record.cell.label == row.cell && record.seed == row.seed;
            let again = records.iter().find(same);
            let again_row = rows.iter().find(|one| one.cell == row.cell && one.seed == row.seed);
            let (Some(again), Some(again_row)) = (again, again_row) else {
                return Err(Error::Failed(format!(
                    "seed {} of {} {} was not trained again",
                    row.seed, row.experiment, row.cell
                )));
            };
            let stored = Stored { row, record: stored.iter().find(same) };
            checks.push(check(stored, again, again_row, tolerance));
        }
        Ok(checks)
    }
}

impl Sample {
    /// The runs of programs that came out otherwise than what is stored.
    fn doubtful(&self, checks: &[Check]) -> Chosen {
        let mut chosen = Chosen::new();
        for (&place, check) in self.chosen.values().flatten().zip(checks) {
            let cell = self.experiment.cells.iter().find(|cell| cell.label == check.cell);
            let is_program = cell.is_some_and(|cell| matches!(cell.model, ModelSpec::Command(_)));
            if is_program && check.is_doubtful() {
                chosen.entry(check.cell.clone()).or_default().push(place);
            }
        }
        chosen
    }

    /// Tells programs that are not repeatable from stored runs that are not what was made.
    fn judge_programs(&self, checks: &mut [Check], first: &Path, second: &Path) -> Result<()> {
        let made = |out: &Path| Store::open(out, &self.experiment.name).load_all();
        let ((first, _), (second, _)) = (made(first)?, made(second)?);
        for check in checks {
            let same =
                |record: &&Record| record.cell.label == check.cell && record.seed == check.seed;
            if let (Some(again), Some(once_more)) =
                (first.iter().find(same), second.iter().find(same))
            {
                check.made_twice(again, once_more);
            }
        }
        Ok(())
    }
}

/// What a sample is drawn by: the same for everyone, and the same seeds for all cells of an
/// experiment as far as they are stored.
fn rank(experiment: &str, seed: u64) -> Vec<u8> {
    Sha256::digest(format!("{experiment} {seed}")).to_vec()
}

/// One line a run, and under one whose bits are others its distances.
fn text(checks: &[Check], sample: &Sample, kind: &str, tolerance: f64) -> String {
    let Sample { experiment, derived, .. } = sample;
    let mut text = format!(
        "{} · {} · {} of {} stored runs trained again on {kind} · tolerance {tolerance}\n",
        experiment.name,
        derived.from(),
        checks.len(),
        derived.rows.len(),
    );
    let header = ["seed", "split", "weights", "scores", "largest distance of a metric", "verdict"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    rows.extend(checks.iter().map(fields));
    let laid_out = columns::lines(&rows, 0..1, |_, _| "");
    let mut laid_out = laid_out.iter();
    laid_out.by_ref().take(1).for_each(|header| text += &format!("  {header}\n"));
    let mut cell = "";
    for (line, check) in laid_out.zip(checks) {
        if check.cell != cell {
            cell = &check.cell;
            text += &format!("{}\n", printable(cell));
        }
        text += &format!("  {line}\n");
        if check.verdict != Verdict::SameBits {
            text += &details(check);
        }
    }
    text
}

/// Says of one run what became of its parts, and how far its metrics are apart.
fn fields(check: &Check) -> Vec<String> {
    let part = |name: &str| match check.parts.iter().find(|part| part.name == name) {
        Some(part) => part.same.map_or("unknown", |same| if same { "same" } else { "other" }),
        None => "unknown",
    };
    let largest = check.largest().map_or(String::new(), |one| match one.distance {
        Some(far) if far > 0.0 => format!("{far:.6} ({})", one.name),
        Some(_) | None => "0".to_owned(),
    });
    let [split, weights, scores] = ["split", "weights", "scores"].map(|name| part(name).to_owned());
    let verdict = check.verdict.as_str().to_owned();
    vec![check.seed.to_string(), split, weights, scores, largest, verdict]
}

fn details(check: &Check) -> String {
    let mut text = String::new();
    let different = check.different();
    if !different.is_empty() {
        let _ = writeln!(text, "        other: {}", different.join(", "));
    }
    for one in &check.distances {
        let number =
            |value: Option<f64>| value.map_or("blank".to_owned(), |value| value.to_string());
        if let Some(distance) = one.distance {
            let (name, stored, again) = (one.name, number(one.stored), number(one.again));
            let _ = writeln!(
                text,
                "        {name}: stored {stored}, again {again}, {distance:.3e} apart"
            );
        }
    }
    if check.verdict == Verdict::NotRepeatable {
        text += "        not repeatable: run twice more under its seed and on the same rows, the program \
                 did not write the same twice\n";
    }
    if let Some(far) = check.loss_distance {
        let _ = writeln!(text, "        loss curve: up to {far:.3e} of its size apart");
    }
    if !check.circumstances.is_empty() {
        let _ = writeln!(
            text,
            "        made in other circumstances: {}",
            check.circumstances.join(", ")
        );
    }
    text
}
