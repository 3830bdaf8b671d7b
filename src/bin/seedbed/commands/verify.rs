//! The subcommand `verify`: trains a sample of the stored runs again, in a temporary folder, and says
//! of each whether it came out as stored. What counts as the same is `seedbed::summary::rerun`'s business.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use indexmap::IndexMap;
use serde_json::json;
use sha2::{Digest, Sha256};

use seedbed::error::{Error, Result};
use seedbed::experiment::{Cell, CellName, Experiment};
use seedbed::report::derive::{Derived, Making};
use seedbed::report::terminal::printable;
use seedbed::report::{self, columns};
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
    /// By cell, the places of their rows.
    chosen: IndexMap<CellName, Vec<usize>>,
}

/// Trains the sample of every experiment again; 1 when any run differs.
pub fn verify(common: &Common, training: &Training, verifying: &Verifying) -> Result<u8> {
    let devices = training.devices()?;
    let search = training.search()?;
    let scratch = tempfile::tempdir()
        .map_err(|error| Error::Failed(format!("cannot make a temporary folder: {error}")))?;
    let mut samples = Vec::new();
    let mut plans = Vec::new();
    for experiment in common.load(Some(training))? {
        let sample = Sample::choose(experiment, common, training, verifying)?;
        plans.extend(sample.plans(training, scratch.path(), devices.kind)?);
        samples.push(sample);
    }
    for plan in &plans {
        plan.check_commands(training.allow_commands)?;
        plan.check_data(&search)?;
    }
    let timeout = verifying.timeout.map(Duration::from_secs);
    let workers = Workers { out: scratch.path(), timeout, stop: &STOP };
    let patience = Patience { retries: 1, fail_fast: false, waits: true };
    let planned: Vec<&Plan> = plans.iter().collect();
    let session = Session::new(&planned, &memory_needs(&planned)?, &devices, &search);
    train(&session, &devices, &workers, patience)?;
    if interrupted() {
        say("interrupted; nothing is verified");
        return Ok(INTERRUPT_CODE);
    }
    let mut output = Output::new(common.json);
    let mut agree = true;
    for sample in &samples {
        let checks = sample.checks(scratch.path(), verifying.tolerance)?;
        agree &= checks.iter().all(|check| check.verdict != Verdict::Differs);
        let (name, from) = (&sample.experiment.name, sample.derived.from());
        output.next();
        output.show(
            || text(&checks, sample, devices.kind, verifying.tolerance),
            || {
                [
                    ("experiment", json!(name)),
                    ("from", json!(from)),
                    ("stored", json!(sample.derived.rows.len())),
                    ("tolerance", json!(verifying.tolerance)),
                    ("runs", json!(checks)),
                ]
            },
        )?;
    }
    output.end()?;
    Ok(u8::from(!agree))
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
        let mut chosen: IndexMap<CellName, Vec<usize>> = IndexMap::new();
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
    fn plans(&self, training: &Training, scratch: &Path, kind: &'static str) -> Result<Vec<Plan>> {
        let mut groups: IndexMap<Vec<u64>, Vec<Cell>> = IndexMap::new();
        for cell in self.experiment.select(&training.cell)? {
            let Some(places) = self.chosen.get(&cell.label) else { continue };
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
