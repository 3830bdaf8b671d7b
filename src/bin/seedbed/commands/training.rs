//! The subcommands that train, and those that look at what training needs: `plan`, `run`, `doctor`
//! and the hidden ones. What runs where is `schedule`'s business, what a run does `run`'s.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use serde_json::json;

use seedbed::dataset;
use seedbed::dataset::fetch::Options;
use seedbed::error::{Error, Result};
use seedbed::experiment::{Cell, Experiment, Selection};
use seedbed::machine::memory::{self, Need};
use seedbed::machine::{device, doctor};
use seedbed::schedule::policy::{Planned, Policy};
use seedbed::schedule::{self, Death, Event, Slot, trainer};
use seedbed::store;
use seedbed::store::claim::{self, Claims};
use seedbed::store::record::{Digests, Job, Pictures, Record, State};

use super::data::fetch_file;
use super::tables::{show_comparison, show_summary, strict_code};
use super::{
    Alone, BenchOptions, Common, Output, Retry, RunOptions, Strict, Training, lines, print,
    print_json,
};
use crate::progress::Progress;
use crate::{end_now, say};
use seedbed::report::derive::{Derived, Losing, Making, papers_of};
use seedbed::schedule::plan::{Estimate, Plan, Source, duration, memory_needs};
use seedbed::schedule::worker::{self, Workers};

/// Seeds that train together in one job, where --width does not say.
pub(super) const WIDTH_CPU: usize = 1;
pub(super) const WIDTH_CUDA: usize = 20;
/// Steps that `plan` times where nothing is stored to go by.
const CALIBRATION_STEPS: usize = 20;
/// A mirror's longest silence for `run --available`, which is not to wait for a dead network.
const AVAILABLE_TIMEOUT: Duration = Duration::from_secs(10);

/// Set by the first signal, or by an error that ends everything.
static STOP: AtomicBool = AtomicBool::new(false);
/// Set by the first signal only.
pub(super) static INTERRUPTED: AtomicBool = AtomicBool::new(false);
/// Whether there are workers to stop.
static TRAINING: AtomicBool = AtomicBool::new(false);

pub(super) const INTERRUPT_CODE: u8 = 130;

/// Where jobs run: the device kind and the slots on its devices.
pub(super) struct Devices {
    pub(super) kind: &'static str,
    slots: Vec<Slot>,
    width: usize,
}

impl Training {
    pub(super) fn devices(&self) -> Result<Devices> {
        let names = device_names(&self.device)?;
        let kind = device::kind(&names[0]);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let (slots, width) = match kind {
            "cuda" => (1, WIDTH_CUDA),
            _ => (cores, WIDTH_CPU),
        };
        let slots = self.slots.map_or(slots, usize::from);
        let places = names.iter().flat_map(|name| vec![name.clone(); slots]);
        let slots = places.enumerate().map(|(index, device)| Slot { device, index }).collect();
        Ok(Devices { kind, slots, width: self.width.map_or(width, usize::from) })
    }
}

/// `auto`, `cpu`, `cuda` or `cuda:0,1` → the devices' own names, each checked to be here.
fn device_names(asked: &str) -> Result<Vec<String>> {
    if asked == "cpu" {
        return Ok(vec!["cpu".to_owned()]);
    }
    let here = device::here(&trainer::about)?;
    let cuda =
        here.into_iter().map(|device| device.name).filter(|name| device::kind(name) == "cuda");
    let cuda: Vec<String> = cuda.collect();
    match asked {
        "auto" if cuda.is_empty() => Ok(vec!["cpu".to_owned()]),
        "auto" => Ok(cuda),
        "cuda" if !cuda.is_empty() => Ok(cuda),
        _ => {
            let numbers = asked.strip_prefix("cuda:").unwrap_or("0").split(',');
            let names: Vec<String> = numbers.map(|number| format!("cuda:{number}")).collect();
            let named_cuda = asked == "cuda" || asked.starts_with("cuda:");
            match names.iter().find(|name| !cuda.contains(name)) {
                None if named_cuda => Ok(names),
                Some(name) if named_cuda => Err(Error::Usage(format!(
                    "--device {asked}: there is no {name} here; run 'seedbed doctor'"
                ))),
                Some(_) | None => Err(Error::Usage(format!(
                    "--device {asked}: write auto, cpu, cuda or cuda:0,1"
                ))),
            }
        }
    }
}

fn plans(
    common: &Common,
    training: &Training,
    kind: &'static str,
    retry: Option<Retry>,
) -> Result<Vec<Plan>> {
    let mut plans = Vec::new();
    for experiment in common.load(Some(training))? {
        let cells = experiment.select(&training.cell)?;
        let retry_failed = retry == Some(Retry::Failed);
        plans.push(Plan::new(experiment, cells, &common.out(), kind, retry_failed)?);
    }
    Ok(plans)
}

pub fn plan(common: &Common, training: &Training) -> Result<u8> {
    let devices = training.devices()?;
    let search = dataset::search_path(training.data.as_deref());
    let plans = plans(common, training, devices.kind, None)?;
    let mut expected = Vec::new();
    let mut missing = Vec::new();
    for plan in &plans {
        let mut estimates = plan.estimates();
        match plan.check_data(&search) {
            Ok(()) => plan.calibrate(&mut estimates, devices.width, &search, &|job| {
                let job = Job { device: devices.slots[0].device.clone(), ..job.clone() };
                say(&format!(
                    "timing {CALIBRATION_STEPS} steps of {} {}",
                    job.experiment,
                    job.label()
                ));
                worker::calibrate(&job, CALIBRATION_STEPS)
            })?,
            Err(error) => missing.push(error.to_string()),
        }
        expected.push(estimates);
    }
    let needs = memory_needs(&plans.iter().collect::<Vec<_>>())?;
    if common.json {
        let all: Vec<_> = plans
            .iter()
            .zip(&expected)
            .zip(&needs)
            .map(|((plan, expected), needs)| plan.json(expected, needs, devices.width))
            .collect();
        let seconds = total_seconds(&plans, &expected, &devices);
        print_json(&json!({"experiments": all, "seconds": seconds, "notes": missing}))?;
        return Ok(0);
    }
    for plan in &plans {
        print(&plan.table())?;
        let refused = plan.check_replaced().and_then(|()| plan.check_published());
        if let Err(error) = refused {
            print(&format!("  note: {error}\n"))?;
        } else if let Some(note) = plan.on_others() {
            print(&format!("  note: {note}\n"))?;
        }
    }
    for error in missing {
        print(&format!("note: {error}\n"))?;
    }
    print(&format!("{}\n", outlook(&plans, &expected, &needs, &devices)))?;
    Ok(0)
}

/// `45 runs in about 3 h 05 min on 2 cpu workers (from a calibration of 20 steps)`
fn outlook(
    plans: &[Plan],
    expected: &[Vec<Estimate>],
    needs: &[Vec<Option<Need>>],
    devices: &Devices,
) -> String {
    let count: usize = plans.iter().map(Plan::to_run).sum();
    if count == 0 {
        return "nothing to run: every run is stored".to_owned();
    }
    let used: Vec<Source> = plans
        .iter()
        .zip(expected)
        .flat_map(|(plan, estimates)| plan.cells.iter().zip(estimates))
        .filter(|(cell, _)| !cell.seeds_to_run().is_empty())
        .filter_map(|(_, estimate)| estimate.map(|(_, source)| source))
        .collect();
    let sources = [
        (Source::Cell, "stored runs of the same cell".to_owned()),
        (Source::OtherCells, "stored runs of another cell".to_owned()),
        (Source::Calibration, format!("a calibration of {CALIBRATION_STEPS} steps")),
    ];
    let from: Vec<String> =
        sources.into_iter().filter(|(source, _)| used.contains(source)).map(|(_, t)| t).collect();
    let (slots, kind, width) = (devices.slots.len(), devices.kind, devices.width);
    let bytes = plans.iter().zip(needs).flat_map(|(plan, needs)| plan.bytes_per_job(needs, width));
    let memory = bytes.max().flatten();
    let memory =
        memory.map_or(String::new(), |bytes| format!(", up to {} each", memory::text(bytes)));
    let workers = format!("{slots} {kind} worker(s), up to {width} seeds together{memory}");
    match total_seconds(plans, expected, devices) {
        Some(seconds) => {
            let from = from.join(" and ");
            format!("{count} runs in about {} on {workers} (from {from})", duration(seconds))
        }
        None => format!("{count} runs on {workers}; the time is unknown without the data"),
    }
}

fn total_seconds(plans: &[Plan], expected: &[Vec<Estimate>], devices: &Devices) -> Option<f64> {
    let mut seconds = Vec::new();
    for (plan, estimates) in plans.iter().zip(expected) {
        for (cells, job) in plan.jobs(devices.width, &[]) {
            let each = cells.iter().map(|&cell| estimates[cell].map(|(seconds, _)| seconds));
            seconds.push(each.sum::<Option<f64>>()? * job.seeds.len() as f64);
        }
    }
    seconds.sort_by(|a, b| b.total_cmp(a));
    Some(schedule::makespan(vec![0.0; devices.slots.len()], seconds))
}

pub fn run(
    common: &Common,
    training: &Training,
    options: &RunOptions,
    alone: &Alone,
    making: Making,
) -> Result<u8> {
    let devices = training.devices()?;
    let search = dataset::search_path(training.data.as_deref());
    let mut plans = plans(common, training, devices.kind, alone.retry)?;
    for plan in &mut plans {
        let (folder, seed) = (plan.store.dir().to_owned(), plan.experiment.seeds[0]);
        plan.pictures = alone.pictures.clone().map(|epochs| Pictures { seed, folder, epochs });
    }
    let (mut kept, left_out) = check(plans, options, making, &search)?;
    for plan in &mut kept {
        plan.store.settle()?;
    }
    let out = common.out();
    let plans: Vec<&Plan> = kept.iter().collect();
    let patience = Patience {
        timeout: options.timeout.map(Duration::from_secs),
        retries: options.retries,
        fail_fast: options.fail_fast,
        waits: !alone.train_only,
    };
    let stopped = |_: &Error| say(&format!("stopped; {}", what_is_kept(&plans)));
    train(&plans, &devices, &search, &out, &patience).inspect_err(stopped)?;
    if INTERRUPTED.load(Ordering::SeqCst) {
        return Ok(interrupted(&plans));
    }
    if alone.train_only {
        tell_left_out(&left_out);
        return Ok(u8::from(has_failed(&plans)?));
    }
    sweep(&plans)?;
    let code =
        publish(&plans, common, options.strict, making).inspect_err(|error| match error {
            Error::Failed(_) => stopped(error),
            Error::Usage(_) | Error::Data(_) => {}
        })?;
    tell_left_out(&left_out);
    Ok(code)
}

/// What `run` and `slurm` train.
pub(super) fn checked_plans(
    common: &Common,
    training: &Training,
    options: &RunOptions,
    making: Making,
    kind: &'static str,
) -> Result<Checked> {
    let search = dataset::search_path(training.data.as_deref());
    check(plans(common, training, kind, None)?, options, making, &search)
}

/// Plans that may be trained, and experiments that are left out with why.
type Checked = (Vec<Plan>, Vec<(String, Error)>);

/// Refuses what may not be trained before anything is.
fn check(
    plans: Vec<Plan>,
    options: &RunOptions,
    making: Making,
    search: &[PathBuf],
) -> Result<Checked> {
    for plan in &plans {
        papers_of(&plan.experiment)?;
    }
    if options.available {
        fetch_missing(&plans, search);
    }
    let (mut kept, mut left_out) = (Vec::new(), Vec::new());
    for plan in plans {
        let checked = plan.check_data(search);
        let checked = checked
            .and_then(|()| if options.available { plan.check_bytes(search) } else { Ok(()) });
        match checked {
            Err(error) if options.available => left_out.push((plan.experiment.name, error)),
            Err(error) => return Err(error),
            Ok(()) => kept.push(plan),
        }
    }
    for plan in kept.iter().filter(|_| !options.replace) {
        plan.check_replaced()?;
        plan.check_published()?;
    }
    for plan in kept.iter().filter(|_| !making.mixed_code) {
        plan.check_code()?;
    }
    kept.iter().filter_map(Plan::on_others).for_each(|note| say(&note));
    Ok((kept, left_out))
}

pub(super) fn tell_left_out(left_out: &[(String, Error)]) {
    for (name, error) in left_out {
        say(&format!("left out: {name}: {}", lines(&error.to_string())));
    }
}

/// Whether a run that is asked for has a record by now that is not `ok`.
fn has_failed(plans: &[&Plan]) -> Result<bool> {
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
pub(super) fn sweep(plans: &[&Plan]) -> Result<()> {
    let claims = Claims::new();
    for plan in plans {
        plan.store.folders()?.iter().for_each(|folder| claims.sweep(folder));
    }
    Ok(())
}

/// Writes and shows the tables of what is stored; 1 when a run failed or a figure falls short of
/// what `strict` asks for.
pub(super) fn publish(
    plans: &[&Plan],
    common: &Common,
    strict: Option<Strict>,
    making: Making,
) -> Result<u8> {
    let mut code = 0;
    let mut output = Output::new(common.json);
    for plan in plans {
        plan.store.check_place()?;
        let derived = Derived::stored(&plan.experiment, &common.out(), making)?;
        derived.write_tables(Losing::KeptAside)?;
        code = code.max(u8::from(derived.rows.iter().any(|row| row.state != State::Ok)));
        output.next();
        show_summary(&derived, &mut output)?;
        if !derived.papers.is_empty() {
            derived.write_comparison()?;
            code = code.max(strict_code(strict, &derived.comparisons));
            show_comparison(&derived, &mut output)?;
        }
    }
    output.end()?;
    Ok(code)
}

fn interrupted(plans: &[&Plan]) -> u8 {
    say(&format!("interrupted; {}", what_is_kept(plans)));
    INTERRUPT_CODE
}

fn what_is_kept(plans: &[&Plan]) -> String {
    let arguments: Vec<String> = std::env::args().collect();
    let dirs: Vec<String> =
        plans.iter().map(|plan| plan.store.dir().display().to_string()).collect();
    let runs: usize = plans.iter().flat_map(|plan| &plan.cells).map(|cell| cell.runs.len()).sum();
    let recorded: usize = plans.iter().map(|plan| plan.recorded()).sum();
    let published: usize = plans.iter().map(|plan| plan.published()).sum();
    let published =
        if published > 0 { format!(", {published} are published") } else { String::new() };
    format!(
        "finished runs are kept in {}; continue with: {}\n\
         {recorded} of {runs} runs have a record{published}",
        dirs.join(" "),
        arguments.join(" "),
    )
}

/// How long a worker may be silent, and what becomes of a run that fails.
pub(super) struct Patience {
    pub timeout: Option<Duration>,
    pub retries: u32,
    pub fail_fast: bool,
    /// Whether runs that other processes have are waited for.
    pub waits: bool,
}

/// Trains what the plans miss and stores the records as they come.
pub(super) fn train(
    plans: &[&Plan],
    devices: &Devices,
    search: &[PathBuf],
    out: &Path,
    patience: &Patience,
) -> Result<()> {
    let (jobs, in_seconds) = planned_jobs(plans, devices, search)?;
    if jobs.is_empty() {
        say("nothing to run: every run is stored");
        return Ok(());
    }
    let count: usize = jobs.iter().map(|planned| planned.job.runs()).sum();
    let (slots, kind) = (devices.slots.len(), devices.kind);
    say(&format!("{count} runs in {} jobs on {slots} {kind} worker(s)", jobs.len()));
    catch_signals()?;
    TRAINING.store(true, Ordering::SeqCst);
    let workers = Workers { out, timeout: patience.timeout, stop: &STOP };
    let mut progress = Progress::new(slots, &jobs, in_seconds);
    let claims = Claims::new();
    let claim = |job: &Job| match plan_of(plans, &job.experiment) {
        Some(plan) if patience.waits => plan.claim(job, &claims),
        Some(plan) => claim_free(plan, job, &claims),
        None => schedule::Claim::Refused(Error::Failed(format!("no plan of {}", job.experiment))),
    };
    let mut handle = |event: Event| {
        for record in records_of(&event, plans, devices.kind)? {
            keep(&record, plans, &progress)?;
        }
        progress.show(&event);
        let ended = ended_in(&event);
        for (experiment, cell, seeds) in &ended {
            let plan = plan_of(plans, experiment);
            let paths = plan.map(|plan| plan.claimed(cell, seeds)).unwrap_or_default();
            paths.iter().for_each(|path| claims.release(path));
        }
        if patience.fail_fast { stop_at_failure(&event) } else { Ok(()) }
    };
    let result = thread::scope(|scope| {
        let (ended, end) = mpsc::channel::<()>();
        let claims = &claims;
        scope.spawn(move || {
            while end.recv_timeout(claim::BEAT) == Err(RecvTimeoutError::Timeout) {
                claims.beat();
            }
        });
        let execute = |_: &Slot, job: &Job, emit: &dyn Fn(_)| workers.execute(job, emit);
        let slots = &devices.slots;
        let policy = Policy::new(slots, jobs, patience.retries);
        let memory = &device::memory;
        let result = schedule::run(slots, policy, &STOP, memory, claim, execute, &mut handle);
        drop(ended);
        result
    });
    TRAINING.store(false, Ordering::SeqCst);
    progress.close();
    result
}

/// Claims those seeds of a job that no other process has.
fn claim_free(plan: &Plan, job: &Job, claims: &Claims) -> schedule::Claim {
    let whole = plan.claim(job, claims);
    if !matches!(whole, schedule::Claim::Elsewhere(_)) {
        return whole;
    }
    let (mut all_found, mut all_rest): (Vec<Record>, Vec<Job>) = (Vec::new(), Vec::new());
    for part in schedule::chunks(job, &job.seeds, 1) {
        match plan.claim(&part, claims) {
            schedule::Claim::Elsewhere(_) => {}
            refused @ schedule::Claim::Refused(_) => return refused,
            schedule::Claim::Ours { found, rest } => {
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
    schedule::Claim::Ours { found: all_found, rest: all_rest }
}

/// Stores a record, unless its run has one: the first word counts.
fn keep(record: &Record, plans: &[&Plan], progress: &Progress) -> Result<()> {
    let Some(plan) = plan_of(plans, &record.experiment) else { return Ok(()) };
    let (cell, seed) = (&record.cell.label, record.seed);
    if let Some((_, stored)) = plan.left_alone(cell, seed) {
        // it was trained once more for its pictures alone
        if record.state == State::Ok && stored != record.digests {
            progress.say(&otherwise(record));
        }
    } else if plan.stored_since(cell, seed)?.is_none_or(|record| !record.state.is_final())
        && let Some(aside) = plan.store.put(record)?
    {
        progress.say(&format!("kept what was no record as {}", aside.display()));
    }
    Ok(())
}

/// The runs that an event ends, by experiment and cell.
fn ended_in(event: &Event) -> Vec<(&str, &Cell, Vec<u64>)> {
    match event {
        Event::Record { slot: _, record } => {
            vec![(record.experiment.as_str(), &record.cell, vec![record.seed])]
        }
        Event::Found { job: _, records } => {
            let mut runs = Vec::new();
            for record in records {
                runs.push((record.experiment.as_str(), &record.cell, vec![record.seed]));
            }
            runs
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
            let label = &record.cell.label;
            (&record.experiment, label.clone(), record.seed, record.state, why)
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

fn plan_of<'a>(plans: &[&'a Plan], experiment: &str) -> Option<&'a Plan> {
    plans.iter().find(|plan| plan.experiment.name == experiment).copied()
}

fn otherwise(record: &Record) -> String {
    format!(
        "{} {} seed {} came out otherwise than what is stored, which stays: the pictures are not of it \
         (another libtorch, processor or batch width)",
        record.experiment, record.cell.label, record.seed
    )
}

/// Jobs with their weights: expected seconds if all are known (true), else epochs.
fn planned_jobs(
    plans: &[&Plan],
    devices: &Devices,
    data: &[PathBuf],
) -> Result<(Vec<Planned>, bool)> {
    let mut timed = Vec::new();
    let mut in_seconds = true;
    for (plan, needs) in plans.iter().zip(memory_needs(plans)?) {
        let estimates = plan.estimates();
        for (cells, job) in plan.jobs(devices.width, data) {
            let each = cells.iter().map(|&cell| estimates[cell].map(|(seconds, _)| seconds));
            let seconds = each.sum::<Option<f64>>();
            in_seconds &= seconds.is_some();
            timed.push((seconds, needs[cells[0]], job));
        }
    }
    let planned = |(seconds, need, job): (Option<f64>, Option<Need>, Job)| {
        let epochs = (job.cell().training.epochs + 1) as f64;
        let one = seconds.filter(|_| in_seconds).unwrap_or(epochs);
        let weight = one * job.seeds.len() as f64;
        Planned { job, weight, need }
    };
    Ok((timed.into_iter().map(planned).collect(), in_seconds))
}

/// What an event leaves in the store.
fn records_of(event: &Event, plans: &[&Plan], kind: &str) -> Result<Vec<Record>> {
    Ok(match event {
        Event::Record { slot: _, record } => vec![(**record).clone()],
        Event::Lost { slot: _, job, death } => {
            let runs = job.cells.iter().flat_map(|c| job.seeds.iter().map(move |seed| (c, *seed)));
            runs.map(|run| lost_record(job, run, death, plans, kind)).collect::<Result<_>>()?
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

/// The record of a run whose worker could not write one.
fn lost_record(
    job: &Job,
    (cell, seed): (&Cell, u64),
    death: &Death,
    plans: &[&Plan],
    kind: &str,
) -> Result<Record> {
    let planned = plans
        .iter()
        .filter(|plan| plan.experiment.name == job.experiment)
        .flat_map(|plan| &plan.cells)
        .find(|planned| planned.cell.label == cell.label);
    let data = planned.map(|planned| planned.data_sha256.clone()).unwrap_or_default();
    let protocol_version = cell.model.protocol_version();
    Ok(Record {
        experiment: job.experiment.clone(),
        cell: cell.clone(),
        seed,
        scale: job.scale,
        key: store::key(cell, seed, &data, protocol_version, kind),
        protocol_version,
        device_kind: kind.to_owned(),
        state: death.state,
        failure: Some(death.why.clone()),
        counts: None,
        metrics: None,
        threshold: None,
        diagnostics: Default::default(),
        epochs: 0,
        loss_curve: Vec::new(),
        loss_terms: Vec::new(),
        digests: Digests { data, ..Digests::default() },
        batch_width: job.seeds.len(),
        // a worker has one thread, whatever this process has
        provenance: trainer::about()?.versions.provenance(&job.device, 1),
        wall_seconds: 0.0,
    })
}

/// Ctrl-C, SIGTERM (a batch system's) and SIGHUP (a terminal's that closes): the first stops the
/// workers, the second ends this process, and with it they end.
fn catch_signals() -> Result<()> {
    let ignored = ignores_hangup();
    ctrlc::set_handler(|| {
        if INTERRUPTED.swap(true, Ordering::SeqCst) || !TRAINING.load(Ordering::SeqCst) {
            end_now(INTERRUPT_CODE);
        }
        STOP.store(true, Ordering::SeqCst);
        say("stopping the workers; finished runs are kept; once more ends at once");
    })
    .map_err(|error| Error::Failed(format!("cannot listen for Ctrl-C: {error}")))?;
    if ignored {
        ignores_hangup();
    }
    Ok(())
}

/// Ignores SIGHUP from now on; whether it was ignored before, as under `nohup`.
pub(super) fn ignores_hangup() -> bool {
    // SAFETY: sets no handler of ours
    unsafe { libc::signal(libc::SIGHUP, libc::SIG_IGN) == libc::SIG_IGN }
}

/// Tries to download what the plans need and no place has. A failure is told and not an error: the
/// experiment is then left out.
fn fetch_missing(plans: &[Plan], search: &[PathBuf]) {
    let mut failed: Vec<&str> = Vec::new();
    for plan in plans.iter().filter(|plan| plan.check_data(search).is_err()) {
        for file in plan.cells.iter().flat_map(|planned| planned.cell.dataset.files()) {
            let nowhere = file.urls.is_empty() || failed.contains(&file.dataset);
            if nowhere || dataset::find(&file, search).is_some() {
                continue;
            }
            let fetched = Options::from_env().and_then(|options| {
                let timeout = options.timeout.min(AVAILABLE_TIMEOUT);
                fetch_file(&file, None, &Options { timeout, ..options })
            });
            if let Err(error) = fetched {
                say(&error.to_string());
                failed.push(file.dataset);
            }
        }
    }
}

pub fn doctor(data: Option<&Path>, json: bool) -> Result<u8> {
    let found =
        doctor::diagnose(&trainer::about(), data, Path::new("experiments"), Path::new("results"));
    if json {
        print_json(&found)?;
    } else {
        print(&doctor::text(&found))?;
    }
    Ok(u8::from(!found.ready))
}

/// Times training steps and prints them.
pub fn bench_step(options: BenchOptions) -> Result<u8> {
    let BenchOptions { experiment, cell, width, steps, device, data, set } = options;
    let experiment = Experiment::load(&experiment, &Selection { set, ..Selection::default() })?;
    let labels: Vec<String> = cell.into_iter().collect();
    let cell = experiment.select(&labels)?.into_iter().next();
    let cell = cell.ok_or_else(|| Error::Usage("the experiment has no cell".to_owned()))?;
    let job = Job {
        experiment: experiment.name.clone(),
        cells: vec![cell],
        seeds: (1..=width.max(1) as u64).collect(),
        scale: experiment.scale,
        device,
        data: dataset::search_path(data.as_deref()),
        pictures: None,
    };
    print_json(&worker::calibrate(&job, steps)?)?;
    Ok(0)
}
