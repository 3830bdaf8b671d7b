//! `seedbed run`: trains what is not stored, then writes tables and report and says what it came to. What it
//! shares with `slurm` and `verify` is here too.
use std::path::PathBuf;
use std::time::{Duration, Instant};

use seedbed::dataset;
use seedbed::dataset::fetch::Options;
use seedbed::error::{Error, Result};
use seedbed::machine::device;
use seedbed::machine::memory::Need;
use seedbed::report::derive::{Making, papers_of};
use seedbed::schedule::Event;
use seedbed::schedule::design;
use seedbed::schedule::devices::Devices;
use seedbed::schedule::plan::{Plan, memory_needs};
use seedbed::schedule::session::{Means, Patience, Session, has_failed, sweep};
use seedbed::schedule::trainer;
use seedbed::schedule::worker::Workers;
use seedbed::shell;
use seedbed::store::record::Pictures;

use super::data::fetch_file;
use super::ending::End;
use super::plan::plans;
use crate::args::{RunArguments, RunOptions};
use crate::progress::Progress;
use crate::screen::{note, say};
use crate::signals::{INTERRUPT_CODE, STOP, interrupted, stopping_workers};

/// A mirror's longest silence for `run --available`, which is not to wait for a dead network.
const AVAILABLE_TIMEOUT: Duration = Duration::from_secs(10);

/// Trains, and says what it came to; 1 where a run failed or a figure falls short of what is asked for.
pub fn run(arguments: &RunArguments) -> Result<u8> {
    let began = Instant::now();
    let RunArguments { common, training, run: options, alone, tables, looking: _ } = arguments;
    let making = tables.making();
    let devices = training.devices()?;
    let search = training.search()?;
    let mut plans = plans(common, training, devices.kind, alone.retry)?;
    for plan in &mut plans {
        let (folder, seed) = (plan.store.dir().to_owned(), plan.experiment.seeds[0]);
        plan.pictures = alone.pictures.clone().map(|epochs| Pictures { seed, folder, epochs });
        plan.keep_scores = options.keep_scores;
    }
    for plan in &plans {
        plan.check_commands(training.allow_commands)?;
    }
    let Checked { mut kept, left_out, needs } = check(plans, options, making, &search)?;
    for plan in &mut kept {
        plan.store.settle()?;
        design::keep(&plan.experiment, &plan.store)?;
    }
    let plans: Vec<&Plan> = kept.iter().collect();
    tell_before(&plans, &devices);
    let session = Session::new(&plans, &needs, &devices, &search);
    let (strict, tables) = (options.strict, options.show_tables);
    let made = Some(session.runs());
    let end = End { common, making, strict, tables, began, made };
    let trained = train_all(&session, &devices, arguments);
    if alone.train_only {
        trained.inspect_err(|_| say(&format!("stopped; {}", what_is_kept(&plans))))?;
        if interrupted() {
            return Ok(interruption(&plans));
        }
        tell_left_out(&left_out);
        return Ok(u8::from(has_failed(&plans)?));
    }
    if interrupted() || trained.is_err() {
        end.publish_rest(&plans);
        trained.inspect_err(|_| say(&format!("stopped; {}", what_is_kept(&plans))))?;
        return Ok(interruption(&plans));
    }
    sweep(&plans)?;
    tell_left_out(&left_out);
    end.publish(&plans).inspect_err(|error| match error {
        Error::Failed(_) => say(&format!("stopped; {}", what_is_kept(&plans))),
        Error::Usage(_) | Error::Data(_) => {}
    })
}

/// Trains what a session has left to do, as the command line says.
fn train_all(session: &Session, devices: &Devices, arguments: &RunArguments) -> Result<()> {
    let RunArguments { common, run: options, alone, .. } = arguments;
    let patience = Patience {
        retries: options.retries,
        fail_fast: options.fail_fast,
        waits: !alone.train_only,
    };
    let timeout = options.timeout.map(Duration::from_secs);
    let workers = Workers { out: &common.out(), timeout, stop: &STOP };
    let Some(path) = &alone.record_schedule else {
        return train(session, devices, &workers, patience, &mut |_| ());
    };
    let mut recorder = session.recorder();
    let mut record = |event: &Event| recorder.see(event, Instant::now());
    let trained = train(session, devices, &workers, patience, &mut record);
    recorder.write(path)?;
    trained
}

/// Says what is kept after a signal.
fn interruption(plans: &[&Plan]) -> u8 {
    say(&format!("interrupted; {}", what_is_kept(plans)));
    INTERRUPT_CODE
}

/// Says what will not be as somebody might expect.
fn tell_before(plans: &[&Plan], devices: &Devices) {
    for plan in plans {
        plan.on_cores(devices.slots.len()).into_iter().for_each(|note| say(&note));
        let without = if plan.keep_scores { plan.without_scores() } else { 0 };
        if without > 0 {
            say(&format!(
                "{}: {without} stored runs have no scores beside their records; --keep-scores keeps those of \
                 what runs now (move a record away to have its run made again)",
                plan.experiment.name
            ));
        }
    }
}

/// Plans that may be trained, and experiments that are left out.
pub struct Checked {
    pub kept: Vec<Plan>,
    /// Names of experiments, with why.
    pub left_out: Vec<(String, Error)>,
    /// What a job of each cell of each kept plan needs of memory.
    pub needs: Vec<Vec<Option<Need>>>,
}

/// Refuses what may not be trained before anything is.
pub fn check(
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
    // before the code is checked: the trainer says its versions with this answer
    let needs = memory_needs(&kept.iter().collect::<Vec<_>>())?;
    for plan in kept.iter().filter(|_| !making.mixed_code) {
        plan.check_code()?;
    }
    kept.iter().filter_map(Plan::on_others).for_each(|note| say(&note));
    Ok(Checked { kept, left_out, needs })
}

/// Says which experiments were left out, and why.
pub fn tell_left_out(left_out: &[(String, Error)]) {
    for (name, error) in left_out {
        say(&format!("left out: {name}: {error}"));
    }
}

/// Trains what a session has left to do with workers, and shows how far it is; `tell` learns what happens
/// too.
pub fn train(
    session: &Session,
    devices: &Devices,
    workers: &Workers,
    patience: Patience,
    tell: &mut dyn FnMut(&Event),
) -> Result<()> {
    if session.jobs() == 0 {
        note("nothing to run: every run is stored");
        return Ok(());
    }
    let (slots, kind) = (devices.slots.len(), devices.kind);
    let (runs, jobs) = (session.runs(), session.jobs());
    note(&format!("{runs} runs in {jobs} jobs on {slots} {kind} worker(s)"));
    let means = Means {
        execute: &|_, job, emit| workers.execute(job, emit),
        memory: &device::memory,
        versions: &trainer::versions,
        stop: workers.stop,
    };
    stopping_workers(|| {
        let mut progress = Progress::open(session, slots);
        let trained = session.run(&means, patience, &mut |event| {
            tell(event);
            progress.show(event);
        });
        progress.close();
        trained
    })
}

fn what_is_kept(plans: &[&Plan]) -> String {
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
        this_command(),
    )
}

/// Writes the words that this program was started with, as a shell takes them.
pub fn this_command() -> String {
    shell::command_of(std::env::args_os())
}

/// Tries to download what the plans need and no place has. A failure is told and not an error: the
/// experiment is then left out.
fn fetch_missing(plans: &[Plan], search: &[PathBuf]) {
    let mut failed: Vec<&str> = Vec::new();
    for plan in plans.iter().filter(|plan| plan.check_data(search).is_err()) {
        let search = &plan.experiment.searched(search);
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
