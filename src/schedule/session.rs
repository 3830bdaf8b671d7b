//! One process's work on a grid: jobs from plans, claims and their heartbeat, records kept as they come,
//! the end at a first failure. What making an attempt means is an argument, and what happens goes to
//! a closure: nothing here starts a process or prints.
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use super::cost;
use super::devices::Devices;
use super::plan::Plan;
use super::policy::{Planned, Policy};
use super::recording::Recorder;
use super::time_left::{Expected, TimeLeft};
use super::{Claim, Death, Dispatch, Event, Execute, chunks};
use crate::error::{Error, Result};
use crate::experiment::Cell;
use crate::machine::Versions;
use crate::machine::memory::{Memory, Need};
use crate::model::ModelSpec;
use crate::store::claim::{self, Claims};
use crate::store::record::{Job, Record, State};

/// What plans have left to do on devices.
pub struct Session<'a> {
    plans: &'a [&'a Plan],
    devices: &'a Devices,
    jobs: Vec<Planned>,
    /// What each is expected to take.
    expected: Vec<Expected>,
    claims: Claims,
    /// The places of the records that were stored.
    stored: Mutex<BTreeSet<PathBuf>>,
}

/// What becomes of a run that fails, and of one that another process has.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// How often a run that died is tried again.
    pub retries: u32,
    /// Whether the first run that fails ends everything.
    pub fail_fast: bool,
    /// Whether runs that other processes have are waited for.
    pub waits: bool,
}

/// What a session cannot know by itself.
pub struct Means<'a> {
    /// Makes one attempt at a job; is to heed `stop` too.
    pub execute: Execute<'a>,
    /// Tells what a device has of memory when nothing of ours runs there.
    pub memory: &'a (dyn Fn(&str) -> Option<Memory> + Sync),
    /// Tells the versions of what trains, for the records of runs that left none.
    pub versions: &'a dyn Fn(&ModelSpec) -> Result<Versions>,
    /// Ends everything early when it becomes true.
    pub stop: &'a AtomicBool,
}

impl<'a> Session<'a> {
    /// Makes jobs of what the plans miss. `needs` are those of each cell of each plan, and `data` the
    /// folders where jobs search data files.
    pub fn new(
        plans: &'a [&'a Plan],
        needs: &[Vec<Option<Need>>],
        devices: &'a Devices,
        data: &[PathBuf],
    ) -> Self {
        let (mut jobs, mut all) = (Vec::new(), Vec::new());
        for (plan, needs) in plans.iter().zip(needs) {
            let estimates = plan.estimates();
            for (cells, job) in plan.jobs(devices.width, data) {
                let each = cells.iter().map(|&cell| estimates[cell].map(|(seconds, _)| seconds));
                let seconds = each.sum::<Option<f64>>();
                let (seeds, parts) = (job.seeds.len() as f64, cost::expected(&job));
                // what is stored took this long after its data were loaded
                let parts = seconds.map_or(parts, |seconds| parts.with_rest(seconds * seeds));
                let (weight, need) = (parts.total(), needs[cells[0]]);
                jobs.push(Planned { job, weight, need });
                all.push(Expected { parts, known: seconds.is_some() });
            }
        }
        let (claims, stored) = (Claims::new(), Mutex::default());
        Self { plans, devices, jobs, expected: all, claims, stored }
    }

    /// Returns how many jobs there are.
    pub fn jobs(&self) -> usize {
        self.jobs.len()
    }

    /// Returns how many runs the jobs have together.
    pub fn runs(&self) -> usize {
        self.jobs.iter().map(|planned| planned.job.runs()).sum()
    }

    /// Begins to reckon the time that the jobs take.
    pub fn time_left(&self) -> TimeLeft {
        TimeLeft::new(self.devices.slots.len(), self.expected())
    }

    /// Begins to record when the jobs start, advance and end.
    pub fn recorder(&self) -> Recorder {
        Recorder::new(self.devices.slots.len(), self.expected(), Instant::now())
    }

    fn expected(&self) -> impl Iterator<Item = (&Job, Expected)> {
        self.jobs.iter().map(|planned| &planned.job).zip(self.expected.iter().copied())
    }

    /// Runs the jobs and stores their records as they come. `tell` learns what happens, of a run after
    /// its record is stored; it is called on this thread, and what it does delays the next record.
    ///
    /// # Errors
    /// As [`Dispatch::run`], those of the store, with `fail_fast` the first failure, and records that are gone at
    /// the end. What is stored by then is kept, and no claim is left.
    pub fn run(
        &self,
        means: &Means,
        patience: Patience,
        tell: &mut dyn FnMut(&Event),
    ) -> Result<()> {
        let claim = |job: &Job| self.claim(job, patience.waits);
        let dispatch = Dispatch {
            slots: &self.devices.slots,
            stop: means.stop,
            memory: means.memory,
            claim: &claim,
            execute: means.execute,
        };
        let policy = Policy::new(&self.devices.slots, self.jobs.clone(), patience.retries);
        let mut handle = |event: Event| {
            for record in self.records_of(&event, means.versions)? {
                self.keep(&record, tell)?;
            }
            tell(&event);
            self.release(&event);
            if patience.fail_fast { stop_at_failure(&event) } else { Ok(()) }
        };
        self.with_heartbeat(|| dispatch.run(policy, &mut handle))?;
        match means.stop.load(Ordering::SeqCst) {
            true => Ok(()),
            false => self.check_there(patience.waits),
        }
    }

    fn remember(&self, place: PathBuf) {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner).insert(place);
    }

    /// Refuses to end well where records are gone that were there or were stored: with `waits` every run has
    /// one by now, and otherwise those that this process has trained.
    fn check_there(&self, waits: bool) -> Result<()> {
        let stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        let of_plans = || self.plans.iter().flat_map(|plan| plan.unrecorded());
        let gone: Vec<PathBuf> = match waits {
            true => of_plans().collect(),
            false => {
                stored.iter().filter(|path| path.symlink_metadata().is_err()).cloned().collect()
            }
        };
        let Some(first) = gone.first() else { return Ok(()) };
        Err(Error::Failed(format!(
            "{} records that were stored are no longer there, {} first: were they removed while this command \
             ran? Start it again, which trains their runs once more",
            gone.len(),
            first.display()
        )))
    }

    /// Does something while others are shown that the owner of the claims is alive.
    fn with_heartbeat(&self, act: impl FnOnce() -> Result<()>) -> Result<()> {
        thread::scope(|scope| {
            let (ended, end) = mpsc::channel::<()>();
            let beat = move || {
                while end.recv_timeout(claim::BEAT) == Err(RecvTimeoutError::Timeout) {
                    self.claims.beat();
                }
            };
            let beats = thread::Builder::new().name("heartbeat".to_owned());
            beats.spawn_scoped(scope, beat).map_err(|error| {
                Error::Failed(format!(
                    "cannot start a thread: {error}; raise the limit of processes (ulimit -u)"
                ))
            })?;
            let result = act();
            drop(ended);
            result
        })
    }

    fn plan_of(&self, experiment: &str) -> Option<&'a Plan> {
        self.plans.iter().find(|plan| plan.experiment.name == experiment).copied()
    }

    fn claim(&self, job: &Job, waits: bool) -> Claim {
        match self.plan_of(&job.experiment) {
            Some(plan) if waits => plan.claim(job, &self.claims),
            Some(plan) => claim_free(plan, job, &self.claims),
            None => Claim::Refused(Error::Failed(format!("no plan of {}", job.experiment))),
        }
    }

    /// Stores a record, unless its run has one: the first word counts.
    fn keep(&self, record: &Record, tell: &mut dyn FnMut(&Event)) -> Result<()> {
        let Some(plan) = self.plan_of(&record.experiment) else { return Ok(()) };
        let (cell, seed) = (&record.cell.label, record.seed);
        if let Some((_, stored)) = plan.left_alone(cell, seed) {
            // it was trained once more for its pictures alone
            if record.state == State::Ok && stored != record.digests {
                plan.store.forget_scores(cell, seed)?;
                tell(&Event::Warning { text: otherwise(record) });
            }
        } else if plan.stored_since(cell, seed)?.is_none_or(|record| !record.state.is_final()) {
            // what lies there may be of the run that was here before
            plan.check_overwritten(cell, seed)?;
            if !plan.keep_scores || record.state != State::Ok {
                plan.store.forget_scores(cell, seed)?;
            }
            self.remember(plan.store.path(cell, seed));
            if let Some(aside) = plan.store.put(record)? {
                let text = format!("kept what was no record as {}", aside.display());
                tell(&Event::Warning { text });
            }
        }
        Ok(())
    }

    /// Gives up the claims of the runs that an event ends.
    fn release(&self, event: &Event) {
        for (experiment, cell, seeds) in ended_in(event) {
            let plan = self.plan_of(experiment);
            let paths = plan.map(|plan| plan.claimed(cell, &seeds)).unwrap_or_default();
            paths.iter().for_each(|path| self.claims.release(path));
        }
    }

    /// What an event leaves in the store.
    fn records_of(
        &self,
        event: &Event,
        versions: &dyn Fn(&ModelSpec) -> Result<Versions>,
    ) -> Result<Vec<Record>> {
        Ok(match event {
            Event::Record { slot: _, record } => vec![(**record).clone()],
            Event::Lost { slot: _, job, death } => {
                let versions = versions(&job.cell().model)?;
                let seeds = |cell| job.seeds.iter().map(move |&seed| (cell, seed));
                let runs = job.cells.iter().flat_map(seeds);
                runs.map(|run| self.lost_record(job, run, death, &versions)).collect()
            }
            Event::Started { .. }
            | Event::Progress { .. }
            | Event::Warning { .. }
            | Event::Elsewhere { .. }
            | Event::Found { .. }
            | Event::Retry { .. }
            | Event::Finished { .. } => Vec::new(),
        })
    }

    /// Makes the record of a run whose worker could not write one.
    fn lost_record(
        &self,
        job: &Job,
        (cell, seed): (&Cell, u64),
        death: &Death,
        versions: &Versions,
    ) -> Record {
        let planned = self
            .plans
            .iter()
            .filter(|plan| plan.experiment.name == job.experiment)
            .flat_map(|plan| &plan.cells)
            .find(|planned| planned.cell.label == cell.label);
        let data = planned.map_or("", |planned| &planned.data_sha256);
        Record {
            state: death.state,
            failure: Some(death.why.clone()),
            // whatever this process has
            provenance: versions.provenance(&job.device, cell.model.cores()),
            ..Record::of(job, cell, seed, data)
        }
    }
}

/// Claims those seeds of a job that no other process has.
fn claim_free(plan: &Plan, job: &Job, claims: &Claims) -> Claim {
    let whole = plan.claim(job, claims);
    if !matches!(whole, Claim::Elsewhere(_)) {
        return whole;
    }
    let (mut all_found, mut all_rest): (Vec<Record>, Vec<Job>) = (Vec::new(), Vec::new());
    for part in chunks(job, &job.seeds, 1) {
        match plan.claim(&part, claims) {
            Claim::Elsewhere(_) => {}
            refused @ Claim::Refused(_) => return refused,
            Claim::Ours { found, rest } => {
                all_found.extend(found);
                for job in rest {
                    // what trains together stays together
                    match all_rest.iter_mut().find(|known| known.cells == job.cells) {
                        Some(known) => known.seeds.extend(job.seeds),
                        None => all_rest.push(job),
                    }
                }
            }
        }
    }
    Claim::Ours { found: all_found, rest: all_rest }
}

/// The runs that an event ends, by experiment and cell.
fn ended_in<'e>(event: &'e Event) -> Vec<(&'e str, &'e Cell, Vec<u64>)> {
    match event {
        Event::Record { slot: _, record } => {
            vec![(record.experiment.as_str(), &record.cell, vec![record.seed])]
        }
        Event::Found { job: _, records } => {
            let run = |one: &'e Record| (one.experiment.as_str(), &one.cell, vec![one.seed]);
            records.iter().map(run).collect()
        }
        Event::Lost { slot: _, job, death: _ } => {
            let of = |cell| (job.experiment.as_str(), cell, job.seeds.clone());
            job.cells.iter().map(of).collect()
        }
        Event::Started { .. }
        | Event::Progress { .. }
        | Event::Warning { .. }
        | Event::Elsewhere { .. }
        | Event::Retry { .. }
        | Event::Finished { .. } => Vec::new(),
    }
}

fn stop_at_failure(event: &Event) -> Result<()> {
    let failed = match event {
        Event::Record { slot: _, record } if record.state != State::Ok => {
            let why = record.failure.as_deref().unwrap_or("no reason given");
            let label = record.cell.label.to_string();
            (&record.experiment, label, record.seed, record.state, why)
        }
        Event::Lost { slot: _, job, death } => {
            (&job.experiment, job.label(), job.seeds[0], death.state, death.why.as_str())
        }
        Event::Record { .. }
        | Event::Found { .. }
        | Event::Started { .. }
        | Event::Progress { .. }
        | Event::Warning { .. }
        | Event::Elsewhere { .. }
        | Event::Retry { .. }
        | Event::Finished { .. } => return Ok(()),
    };
    let (experiment, label, seed, state, why) = failed;
    let state = state.as_str();
    Err(Error::Failed(format!("--fail-fast: {experiment} {label} seed {seed}: {state} ({why})")))
}

fn otherwise(record: &Record) -> String {
    format!(
        "{} {} seed {} came out otherwise than what is stored, which stays: the pictures are not of it \
         (another libtorch, processor or batch width)",
        record.experiment, record.cell.label, record.seed
    )
}

/// Says whether a run that is asked for has a record by now that is not `ok`.
///
/// # Errors
/// As [`Plan::stored_since`].
pub fn has_failed(plans: &[&Plan]) -> Result<bool> {
    for plan in plans {
        let runs = plan.cells.iter().flat_map(|planned| {
            planned.runs.iter().map(move |(seed, _)| (planned.cell.label.as_str(), *seed))
        });
        for (cell, seed) in runs {
            let now = plan.stored_since(cell, seed)?.map(|record| record.state);
            let before = || plan.left_alone(cell, seed).map(|(state, _)| state);
            if now.or_else(before).is_some_and(|state| state != State::Ok) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Removes what killed processes left.
///
/// # Errors
/// As [`Store::folders`](crate::store::Store::folders).
pub fn sweep(plans: &[&Plan]) -> Result<()> {
    let claims = Claims::new();
    for plan in plans {
        plan.store.folders()?.iter().for_each(|folder| claims.sweep(folder));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;
    use crate::experiment::{Experiment, Selection};
    use crate::schedule::{Outcome, Slot};
    use crate::store::Store;
    use crate::store::record::Message;

    /// A plan of one cell that is stored below a folder.
    fn plan(out: &Path, runs: u64) -> Plan {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/synthetic.toml");
        let selection = Selection { runs: Some(runs), ..Selection::default() };
        let experiment = Experiment::load(&path.to_string_lossy(), &selection).unwrap();
        let cells = vec![experiment.cells[0].clone()];
        let mut plan = Plan::new(experiment, cells, out, "cpu", false).unwrap();
        plan.store.settle().unwrap();
        plan
    }

    fn devices(slots: usize) -> Devices {
        let slots = (0..slots).map(|index| Slot { device: "cpu".to_owned(), index }).collect();
        Devices { kind: "cpu", slots, width: 1 }
    }

    /// What a worker would say at the end of a run.
    fn ended(job: &Job, seed: u64, state: State) -> Message {
        let data = job.cell().dataset.sha256().unwrap();
        let record = Record::of(job, job.cell(), seed, &data);
        let record = if state == State::Ok { record.ended_well() } else { record };
        Message::Record(Box::new(Record { state, ..record }))
    }

    fn trained(_: &Slot, job: &Job, emit: &dyn Fn(Message)) -> Outcome {
        job.seeds.iter().for_each(|&seed| emit(ended(job, seed, State::Ok)));
        Outcome::Done
    }

    /// Runs what a plan misses; the events, and how it ended.
    fn run(
        plan: &Plan,
        slots: usize,
        fail_fast: bool,
        execute: Execute,
    ) -> (Vec<Event>, Result<()>) {
        let stop = AtomicBool::new(false);
        run_until(&stop, plan, slots, fail_fast, execute)
    }

    fn run_until(
        stop: &AtomicBool,
        plan: &Plan,
        slots: usize,
        fail_fast: bool,
        execute: Execute,
    ) -> (Vec<Event>, Result<()>) {
        let (plans, devices) = ([plan], devices(slots));
        let needs = [vec![None; plan.cells.len()]];
        let session = Session::new(&plans, &needs, &devices, &[]);
        let versions = |_: &ModelSpec| Ok(Versions::of_build("2.0".to_owned()));
        let means = Means { execute, memory: &|_| None, versions: &versions, stop };
        let patience = Patience { retries: 0, fail_fast, waits: true };
        let mut seen = Vec::new();
        let result = session.run(&means, patience, &mut |event| {
            if let Event::Record { record, .. } = event {
                let stored = plan.stored_since(&record.cell.label, record.seed).unwrap();
                assert!(stored.is_some(), "a record is told of before it is stored");
            }
            seen.push(event.clone());
        });
        (seen, result)
    }

    /// States of the stored runs, by seed.
    fn stored(out: &Path, plan: &Plan) -> Vec<(u64, State)> {
        let (records, unreadable) = Store::open(out, &plan.experiment.name).load_all().unwrap();
        assert!(unreadable.is_empty());
        let mut states: Vec<(u64, State)> =
            records.iter().map(|record| (record.seed, record.state)).collect();
        states.sort_by_key(|(seed, _)| *seed);
        states
    }

    fn claims(plan: &Plan) -> usize {
        let cell = &plan.cells[0].cell;
        plan.claimed(cell, &plan.experiment.seeds).iter().filter(|path| path.exists()).count()
    }

    #[test]
    fn a_grid_is_claimed_run_and_kept_and_then_nothing_is_left_to_do() {
        let out = tempfile::tempdir().unwrap();
        let first = plan(out.path(), 5);
        let claimed = AtomicUsize::new(0);
        let (seen, result) = run(&first, 2, false, &|slot, job, emit| {
            claimed.fetch_add(claims(&first).min(1), Ordering::SeqCst);
            trained(slot, job, emit)
        });
        assert_eq!(result, Ok(()));
        assert_eq!(claimed.load(Ordering::SeqCst), 5);
        assert_eq!(seen.iter().filter(|event| matches!(event, Event::Record { .. })).count(), 5);
        assert_eq!(stored(out.path(), &first), [1, 2, 3, 4, 5].map(|seed| (seed, State::Ok)));
        assert_eq!(claims(&first), 0);
        assert!(!has_failed(&[&first]).unwrap());

        let again = plan(out.path(), 5);
        let plans = [&again];
        let devices = devices(2);
        assert_eq!(Session::new(&plans, &[vec![None]], &devices, &[]).jobs(), 0);
    }

    #[test]
    fn what_is_stopped_keeps_its_records_and_the_next_session_trains_the_rest() {
        let out = tempfile::tempdir().unwrap();
        let first = plan(out.path(), 3);
        let stop = AtomicBool::new(false);
        let (_, result) = run_until(&stop, &first, 1, false, &|slot, job, emit| {
            if job.seeds == [2] {
                stop.store(true, Ordering::SeqCst);
                return Outcome::Stopped;
            }
            trained(slot, job, emit)
        });
        assert_eq!(result, Ok(()));
        let kept = stored(out.path(), &first);
        assert!(kept.len() < 3 && !kept.contains(&(2, State::Ok)), "{kept:?}");
        assert_eq!(claims(&first), 0);

        let rest = Mutex::new(Vec::new());
        let next = plan(out.path(), 3);
        let (_, result) = run(&next, 1, false, &|slot, job, emit| {
            rest.lock().unwrap().extend(job.seeds.clone());
            trained(slot, job, emit)
        });
        assert_eq!(result, Ok(()));
        assert_eq!(rest.lock().unwrap().len(), 3 - kept.len());
        assert_eq!(stored(out.path(), &next).len(), 3);
    }

    #[test]
    fn the_impatient_end_at_the_first_failure_which_is_kept() {
        let out = tempfile::tempdir().unwrap();
        let plan = plan(out.path(), 9);
        let (_, result) = run(&plan, 1, true, &|_, job, emit| {
            emit(ended(job, job.seeds[0], State::Diverged));
            // the next job starts only once this one has been heard
            std::thread::sleep(Duration::from_millis(100));
            Outcome::Done
        });
        let why = result.unwrap_err().to_string();
        assert!(why.starts_with("--fail-fast: ") && why.contains("diverged"), "{why}");
        let kept = stored(out.path(), &plan);
        assert!(kept.len() < 9 && kept.iter().all(|(_, state)| *state == State::Diverged));
        assert!(has_failed(&[&plan]).unwrap());
        assert_eq!(claims(&plan), 0);
    }

    #[test]
    fn a_run_whose_worker_dies_has_a_record_that_says_so() {
        let out = tempfile::tempdir().unwrap();
        let plan = plan(out.path(), 2);
        let (seen, result) = run(&plan, 1, false, &|slot, job, emit| match job.seeds[0] {
            1 => Outcome::Died(Death {
                state: State::TimedOut,
                why: "silent for 3 seconds".to_owned(),
                log_tail: String::new(),
            }),
            _ => trained(slot, job, emit),
        });
        assert_eq!(result, Ok(()));
        assert!(seen.iter().any(|event| matches!(event, Event::Lost { .. })));
        assert_eq!(stored(out.path(), &plan), [(1, State::TimedOut), (2, State::Ok)]);
        let label = &plan.cells[0].cell.label;
        let record = plan.stored_since(label, 1).unwrap().unwrap();
        assert_eq!(record.failure.as_deref(), Some("silent for 3 seconds"));
        assert_eq!(record.provenance.libtorch, "2.0");
    }

    #[test]
    fn a_panic_in_a_slot_stops_the_grid_and_keeps_what_is_stored() {
        let out = tempfile::tempdir().unwrap();
        let plan = plan(out.path(), 6);
        let stop = AtomicBool::new(false);
        let (_, result) = run_until(&stop, &plan, 2, false, &|slot, job, emit| {
            if slot.index == 1 {
                while !stop.load(Ordering::SeqCst) {
                    std::thread::sleep(Duration::from_millis(1));
                }
                return Outcome::Stopped;
            }
            if stored(out.path(), &plan).is_empty() {
                return trained(slot, job, emit);
            }
            panic!("no such column")
        });
        let why = result.unwrap_err().to_string();
        assert!(why.contains("slot 0 on cpu") && why.contains("no such column"), "{why}");
        assert!(!stored(out.path(), &plan).is_empty());
        assert_eq!(claims(&plan), 0);
    }
}
