//! The subcommand `slurm`: submits an array whose tasks are `seedbed run --train-only`, waits for it
//! and shows the tables. Calls Slurm's programs; what their words mean, and what is to be done
//! next, is `seedbed::schedule::slurm`'s business.

use std::collections::HashMap;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use seedbed::error::{Error, Result};
use seedbed::schedule::devices::{WIDTH_CPU, WIDTH_CUDA};
use seedbed::schedule::plan::{Plan, Status};
use seedbed::schedule::session::sweep;
use seedbed::schedule::slurm::{self, Array, Next, QUEUE_FORMAT, Standing, Task};
use seedbed::store::claim::Claims;
use seedbed::store::record::State;
use seedbed::store::whole;

use super::plan::plans;
use super::run::{Checked, check, publish, tell_left_out, this_command};
use crate::args::{Common, RunOptions, SlurmArguments, SlurmOptions, Training};
use crate::output::print;
use crate::screen::{self, Bars, mention, say};
use crate::signals::{INTERRUPT_CODE, cancelling_arrays, interrupted};

/// Tasks of an array where --array-size does not say.
const ARRAY_SIZE: usize = 8;
/// How long between two looks at the queue: short at first, for short grids.
const FIRST_LOOK: Duration = Duration::from_secs(1);
const LONGEST_LOOK: Duration = Duration::from_secs(15);
/// After how long a claim that neither changed nor was lost is believed to be somebody's.
const CLAIM_PATIENCE: Duration = Duration::from_secs(150);

/// Submits an array, waits for it and shows the tables, or does what is asked for instead.
pub fn slurm(arguments: &SlurmArguments) -> Result<u8> {
    let SlurmArguments { common, training, run, tables, slurm: options } = arguments;
    let making = tables.making();
    if options.cancel {
        return cancel_named(common);
    }
    let kind = device_kind(&training.device, options)?;
    let plans = plans(common, training, kind, None)?;
    let Checked { kept, left_out } = check(plans, run, making, &training.search()?)?;
    let plans: Vec<&Plan> = kept.iter().collect();
    let mut work = Work::new(&plans);
    let mut array = array(arguments, kind, &plans)?;
    let script = array.script()?;
    if options.print {
        print(&script)?;
        return Ok(0);
    }
    let mut watch = Watch {
        run,
        options,
        claims: Claims::new(),
        arrays: Vec::new(),
        submitted: Vec::new(),
        line: Line::new(work.total),
    };
    if !work.left.is_empty() {
        // where there is no Slurm nothing is made
        ours(&plans, &array)?;
        make_logs(&array.logs)?;
        // the folder is there, so that its name is the same for all who look
        (array.name, array.logs) = named(&plans, &common.out())?;
    }
    let ended = watch.until_done(&plans, &array, &mut work);
    screen::close();
    match ended? {
        Ended::Done => {
            sweep(&plans)?;
            let code = publish(&plans, common, run.strict, making)?;
            tell_left_out(&left_out);
            Ok(code)
        }
        Ended::Detached => Ok(0),
        Ended::Interrupted => Ok(INTERRUPT_CODE),
    }
}

/// What kind of device the tasks find. That of this host says nothing of theirs.
fn device_kind(asked: &str, options: &SlurmOptions) -> Result<&'static str> {
    match asked {
        "cpu" => Ok("cpu"),
        "auto" if gpus_asked(options).is_some() => Ok("cuda"),
        "auto" => Ok("cpu"),
        _ if asked == "cuda" || asked.starts_with("cuda:") => Ok("cuda"),
        _ => Err(Error::Usage(format!("--device {asked}: write auto, cpu, cuda or cuda:0,1"))),
    }
}

/// GPUs of a task.
fn gpus_asked(options: &SlurmOptions) -> Option<u32> {
    let further = options.sbatch.iter().rev().find_map(|option| slurm::gpus_asked(option));
    further.or_else(|| options.gres.as_deref().and_then(slurm::gpus))
}

/// What each task runs.
fn task_command(arguments: &SlurmArguments, kind: &str, plans: &[&Plan]) -> Result<Vec<String>> {
    let SlurmArguments { common, training, run, tables, slurm: _ } = arguments;
    let program = std::env::current_exe()
        .map_err(|error| Error::Failed(format!("cannot tell where seedbed lies: {error}")))?;
    let device = if training.device == "auto" { kind } else { &training.device };
    let mut command = vec![text(&program)?, "run".to_owned(), "--train-only".to_owned()];
    let mut add = |name: &str, value: String| command.push(format!("--{name}={value}"));
    add("out", text(&common.out())?);
    add("device", device.to_owned());
    add("slots", slots(training).to_string());
    add("retries", run.retries.to_string());
    common.set.iter().for_each(|set| add("set", set.clone()));
    training.cell.iter().for_each(|cell| add("cell", cell.clone()));
    training.runs.iter().for_each(|runs| add("runs", runs.to_string()));
    training.seeds.iter().for_each(|seeds| add("seeds", seeds.clone()));
    training.width.iter().for_each(|width| add("width", width.to_string()));
    run.timeout.iter().for_each(|seconds| add("timeout", seconds.to_string()));
    if let Some(data) = &training.data {
        add("data", text(data)?);
    }
    let flags = [
        ("--quick", common.quick),
        ("--replace", run.replace),
        ("--fail-fast", run.fail_fast),
        ("--mixed-code", tables.mixed_code),
    ];
    command.extend(flags.iter().filter(|(_, given)| *given).map(|(flag, _)| (*flag).to_owned()));
    command.push("--".to_owned());
    for plan in plans {
        command.push(text(&plan.experiment.path)?);
    }
    Ok(command)
}

fn text(path: &Path) -> Result<String> {
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| Error::Usage(format!("{} is not UTF-8; give another path", path.display())))
}

/// Workers of a task on each of its devices.
fn slots(training: &Training) -> u16 {
    training.slots.unwrap_or(1)
}

fn array(arguments: &SlurmArguments, kind: &str, plans: &[&Plan]) -> Result<Array> {
    let SlurmArguments { common, training, slurm: options, .. } = arguments;
    let here = std::env::current_dir()
        .map_err(|error| Error::Failed(format!("cannot tell the current directory: {error}")))?;
    let (width, devices) = match (kind, training.device.strip_prefix("cuda:")) {
        ("cuda", Some(numbers)) => (WIDTH_CUDA, numbers.split(',').count() as u32),
        ("cuda", None) => (WIDTH_CUDA, gpus_asked(options).unwrap_or(1)),
        _ => (WIDTH_CPU, 1),
    };
    let width = training.width.map_or(width, usize::from);
    let cores = u32::from(slots(training)) * devices;
    let jobs: usize = plans.iter().map(|plan| plan.jobs(width, &[]).len()).sum();
    let needed = jobs.div_ceil(cores as usize).clamp(1, ARRAY_SIZE) as u32;
    let named_options =
        [("partition", &options.partition), ("gres", &options.gres), ("time", &options.time)];
    let given = named_options
        .iter()
        .filter_map(|(name, value)| value.as_ref().map(|value| format!("--{name}={value}")));
    let data = std::env::var("SEEDBED_DATA").ok().filter(|data| !data.is_empty());
    let (name, logs) = named(plans, &common.out())?;
    Ok(Array {
        name,
        tasks: options.array_size.unwrap_or(needed),
        cores,
        logs,
        options: given.chain(options.sbatch.iter().cloned()).collect(),
        directory: here,
        environment: data.into_iter().map(|data| ("SEEDBED_DATA".to_owned(), data)).collect(),
        command: task_command(arguments, kind, plans)?,
    })
}

/// An array's name and the folder of its logs.
fn named(plans: &[&Plan], out: &Path) -> Result<(String, PathBuf)> {
    let out = place(out)?;
    let names: Vec<&str> = plans.iter().map(|plan| plan.experiment.name.as_str()).collect();
    Ok((slurm::name(&names, &out), out.join("slurm")))
}

/// Makes the folder of the tasks' logs. Results of someone else's could have them written to any place
/// by links.
fn make_logs(logs: &Path) -> Result<()> {
    let failed = |error| {
        let place = logs.display();
        Error::Failed(format!("cannot make the folder {place} for the tasks' logs: {error}"))
    };
    std::fs::create_dir_all(logs).map_err(failed)?;
    let mut paths = vec![logs.to_owned()];
    for entry in std::fs::read_dir(logs).map_err(failed)? {
        paths.push(entry.map_err(failed)?.path());
    }
    match paths.iter().find(|path| path.is_symlink()) {
        None => Ok(()),
        Some(link) => Err(Error::Failed(format!(
            "{} is a symbolic link, by which logs would be written elsewhere; remove it",
            link.display()
        ))),
    }
}

/// Is there when an array was cancelled, so that who waits for it does not submit it again.
fn cancelled_mark(logs: &Path, number: u64) -> PathBuf {
    logs.join(format!("{number}.cancelled"))
}

fn mark_cancelled(logs: &Path, number: u64) -> Result<()> {
    let mark = cancelled_mark(logs, number);
    match whole::write(&mark, "") {
        Ok(()) => Ok(()),
        // the results were removed: nobody waits for them
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::Failed(format!("cannot write {}: {error}", mark.display()))),
    }
}

/// The folder of results by the one name that all who look give it.
fn place(out: &Path) -> Result<PathBuf> {
    let absolute = std::fs::canonicalize(out).or_else(|_| std::path::absolute(out));
    absolute.map_err(|error| Error::Failed(format!("cannot tell where --out lies: {error}")))
}

/// The runs that are waited for.
struct Work {
    total: usize,
    stored: usize,
    failed: usize,
    failed_before: usize,
    left: Vec<Left>,
}

/// A run that is waited for.
struct Left {
    plan: usize,
    cell: String,
    seed: u64,
    /// When the record of a failure was written that is to be tried again: another of the same failure
    /// may be the same, byte for byte.
    failed: Option<SystemTime>,
}

impl Left {
    fn failed_at(plan: &Plan, cell: &str, seed: u64) -> Option<SystemTime> {
        plan.store.path(cell, seed).metadata().and_then(|found| found.modified()).ok()
    }
}

impl Work {
    fn new(plans: &[&Plan]) -> Self {
        let mut work = Self { total: 0, stored: 0, failed: 0, failed_before: 0, left: Vec::new() };
        for (index, plan) in plans.iter().enumerate() {
            for planned in &plan.cells {
                let cell = &planned.cell.label;
                for (seed, status) in &planned.runs {
                    work.total += 1;
                    let failed = match status {
                        Status::Stored(record) => {
                            work.count(record.state);
                            continue;
                        }
                        Status::Published(row) => {
                            work.count(row.state);
                            continue;
                        }
                        Status::Failed(..) => Left::failed_at(plan, cell, *seed),
                        Status::Missing | Status::Changed(..) | Status::Unreadable(_) => None,
                    };
                    let (plan, cell, seed) = (index, cell.clone(), *seed);
                    work.left.push(Left { plan, cell, seed, failed });
                }
            }
        }
        work.failed_before = work.failed;
        work
    }

    fn count(&mut self, state: State) {
        if state == State::Ok {
            self.stored += 1;
        } else {
            self.failed += 1;
        }
    }

    /// Looks what has a record by now; how many have none.
    fn look(&mut self, plans: &[&Plan]) -> Result<usize> {
        for left in std::mem::take(&mut self.left) {
            let plan = plans[left.plan];
            match plan.stored_since(&left.cell, left.seed)? {
                Some(record) => self.count(record.state),
                None if left.failed.is_some()
                    && left.failed != Left::failed_at(plan, &left.cell, left.seed) =>
                {
                    self.failed += 1;
                }
                None => self.left.push(left),
            }
        }
        Ok(self.left.len())
    }
}

enum Ended {
    Done,
    Detached,
    /// By Ctrl-C or SIGTERM.
    Interrupted,
}

/// One wait for an array, and for those that go on with its work.
struct Watch<'a> {
    run: &'a RunOptions,
    options: &'a SlurmOptions,
    claims: Claims,
    /// Numbers of the arrays that were seen, and of those that this process submitted.
    arrays: Vec<u64>,
    submitted: Vec<u64>,
    line: Line,
}

impl Watch<'_> {
    fn until_done(&mut self, plans: &[&Plan], array: &Array, work: &mut Work) -> Result<Ended> {
        if work.left.is_empty() {
            say("nothing to run: every run is stored");
            return Ok(Ended::Done);
        }
        let tasks = ours(plans, array)?;
        if !tasks.is_empty() {
            let which = numbers(&tasks);
            say(&format!(
                "array {which} is in the queue for these experiments; nothing is submitted"
            ));
            if self.options.detach {
                return Ok(Ended::Detached);
            }
        }
        cancelling_arrays()?;
        // nothing was submitted yet for all of what is asked for now
        let (to_run, left) = (work.left.len(), self.options.resubmit.saturating_add(1));
        let mut standing =
            Standing { running: 0, waiting: 0, to_run, to_run_then: usize::MAX, left };
        self.see(&tasks, &mut standing);
        let mut pause = FIRST_LOOK;
        loop {
            if standing.is_without_tasks() {
                self.free_lost_claims(plans, work)?;
                standing.to_run = work.look(plans)?;
            }
            if let Some(ended) = self.ends_early(plans, array, work, &standing)? {
                return Ok(ended);
            }
            match slurm::next(&standing) {
                Next::Wait => {}
                Next::Done => return self.done(&standing),
                Next::Stuck => return Err(stuck(array, &standing)),
                Next::Enough => return Err(enough(array, &standing, self.options.resubmit)),
                Next::Resubmit => {
                    self.submit(array, &mut standing)?;
                    if self.options.detach {
                        return Ok(Ended::Detached);
                    }
                    pause = FIRST_LOOK;
                }
            }
            sleep(pause);
            pause = (pause * 2).min(LONGEST_LOOK);
            // the queue first: what a task stored before it left the queue is then seen
            match ours(plans, array) {
                Ok(tasks) => {
                    self.see(&tasks, &mut standing);
                    standing.to_run = work.look(plans)?;
                    self.line.tell(work, describe(work, &tasks));
                }
                Err(error) => {
                    // whether it has ended cannot be told
                    standing.running = standing.running.max(1);
                    self.line.tell(work, format!("{error}; asking again"));
                }
            }
        }
    }

    fn see(&mut self, tasks: &[Task], standing: &mut Standing) {
        standing.waiting = tasks.iter().filter(|task| task.is_waiting()).count();
        standing.running = tasks.len() - standing.waiting;
        self.arrays.extend(arrays(tasks));
        self.arrays.sort_unstable();
        self.arrays.dedup();
    }

    /// What ends the wait before the work is done.
    fn ends_early(
        &self,
        plans: &[&Plan],
        array: &Array,
        work: &Work,
        standing: &Standing,
    ) -> Result<Option<Ended>> {
        let interrupted = interrupted();
        let failed = self.run.fail_fast && work.failed > work.failed_before;
        if interrupted || failed {
            screen::close();
            let cancelled = match cancel(plans, array)? {
                Some(which) => format!("cancelled array {which}"),
                None => "stopped".to_owned(),
            };
            if failed {
                let logs = array.logs.display();
                return Err(Error::Failed(format!(
                    "--fail-fast: a run failed; {cancelled}; the tasks' logs are in {logs}"
                )));
            }
            say(&format!("{cancelled}; {}", go_on()));
            return Ok(Some(Ended::Interrupted));
        }
        let marked = |number: &&u64| cancelled_mark(&array.logs, **number).exists();
        match self.arrays.iter().find(marked).filter(|_| standing.is_without_tasks()) {
            Some(number) => {
                say(&format!("array {number} was cancelled; {}", go_on()));
                Ok(Some(Ended::Interrupted))
            }
            None => Ok(None),
        }
    }

    /// Tasks that wait would find nothing to do; another's may have been submitted for more.
    fn done(&self, standing: &Standing) -> Result<Ended> {
        for number in self.submitted.iter().filter(|_| standing.waiting > 0) {
            ask("scancel", &["--state=PENDING", &number.to_string()], "")?;
        }
        Ok(Ended::Done)
    }

    fn submit(&mut self, array: &Array, standing: &mut Standing) -> Result<()> {
        let is_first = standing.to_run_then == usize::MAX;
        let tasks = array.tasks.min(u32::try_from(standing.to_run).unwrap_or(u32::MAX));
        let array = &Array { tasks, ..array.clone() };
        let options = array.sbatch_options()?;
        let mut arguments = vec!["--parsable"];
        arguments.extend(options.iter().map(String::as_str));
        standing.left -= 1;
        let answer = ask("sbatch", &arguments, &array.script()?);
        let number = match answer.and_then(|answer| slurm::parse_submitted(&answer)) {
            Ok(number) => number,
            Err(error) if is_first => return Err(error),
            // once it was taken, so it may be again
            Err(error) => {
                say(&format!("{error}; trying again"));
                return Ok(());
            }
        };
        // of an array before Slurm began to count anew
        drop(std::fs::remove_file(cancelled_mark(&array.logs, number)));
        self.arrays.push(number);
        self.submitted.push(number);
        say(&format!(
            "submitted array {number}{}: {} runs for {tasks} task(s) of {} core(s); logs in {}",
            if is_first { "" } else { " again" },
            standing.to_run,
            array.cores,
            array.logs.display()
        ));
        standing.to_run_then = standing.to_run;
        if self.options.detach { print(&format!("{number}\n")) } else { Ok(()) }
    }

    /// Takes the claims of dead processes away, which new tasks could not tell from those of living
    /// ones on another host: for that a claim must be watched. Taking one in each folder also has a
    /// network file system show what is in it.
    fn free_lost_claims(&self, plans: &[&Plan], work: &Work) -> Result<()> {
        let mut paths: Vec<PathBuf> = Vec::new();
        let mut folder: Option<PathBuf> = None;
        for Left { plan, cell, seed, .. } in &work.left {
            let path = plans[*plan].store.path(cell, *seed).with_extension("claim");
            let first = path.parent() != folder.as_deref();
            folder = path.parent().map(Path::to_path_buf);
            // nothing is made for a run whose cell has no folder yet
            let is_there = path.symlink_metadata().is_ok();
            if is_there || (first && folder.as_ref().is_some_and(|folder| folder.is_dir())) {
                paths.push(path);
            }
        }
        let mut seen: HashMap<PathBuf, SystemTime> = HashMap::new();
        let started = Instant::now();
        while started.elapsed() < CLAIM_PATIENCE && !interrupted() {
            let mut held = Vec::new();
            for path in paths {
                let failed = |error| {
                    Error::Failed(format!("cannot look at the claim {}: {error}", path.display()))
                };
                let Some(by) = self.claims.take(&path).map_err(failed)? else {
                    self.claims.release(&path);
                    continue;
                };
                let beat = path.symlink_metadata().and_then(|found| found.modified()).ok();
                let before = seen.get(&path).copied();
                if let Some(beat) = beat.filter(|beat| before.is_none_or(|before| before == *beat))
                {
                    if seen.is_empty() {
                        say(&format!("{by} has runs; waiting to see whether it is alive"));
                    }
                    seen.insert(path.clone(), beat);
                    held.push(path);
                }
            }
            if held.is_empty() {
                return Ok(());
            }
            paths = held;
            thread::sleep(Duration::from_millis(500));
        }
        Ok(())
    }
}

fn go_on() -> String {
    format!("finished runs are kept; continue with: {}", this_command())
}

fn stuck(array: &Array, standing: &Standing) -> Error {
    let said = match last_words(&array.logs) {
        Some(words) => format!("a task's last words: {words}"),
        None => "no task said why".to_owned(),
    };
    Error::Failed(format!(
        "the array ended without finishing any of the {} runs that are left, so it is not submitted \
         again; {said}; the logs are in {} (a time limit must be longer than the longest run: see \
         'seedbed plan'); what is stored is kept",
        standing.to_run,
        array.logs.display()
    ))
}

/// The last line of the newest log.
fn last_words(logs: &Path) -> Option<String> {
    let entries = std::fs::read_dir(logs).ok()?.flatten();
    let logs = entries.filter(|entry| entry.path().extension().is_some_and(|e| e == "log"));
    let newest = logs.max_by_key(|log| log.metadata().and_then(|found| found.modified()).ok())?;
    let text = String::from_utf8_lossy(&std::fs::read(newest.path()).ok()?).into_owned();
    let last = text.lines().rev().find(|line| !line.trim().is_empty())?;
    Some(last.chars().take(300).collect())
}

fn enough(array: &Array, standing: &Standing, resubmit: u32) -> Error {
    Error::Failed(format!(
        "the array was submitted again {resubmit} times (--resubmit), and {} runs are left; the \
         tasks' logs are in {}; the same command goes on from there",
        standing.to_run,
        array.logs.display()
    ))
}

/// Cancels what the queue has of the experiments that are named.
fn cancel_named(common: &Common) -> Result<u8> {
    let experiments = common.load(None)?;
    let names: Vec<&str> = experiments.iter().map(|experiment| experiment.name.as_str()).collect();
    let out = place(&common.out())?;
    match cancel_tasks(&names, &out)? {
        Some(which) => say(&format!("cancelled array {which}; finished runs are kept")),
        None => say(&format!(
            "the queue has no array of yours that trains {} into {}",
            names.join(", "),
            out.display()
        )),
    }
    Ok(0)
}

fn cancel(plans: &[&Plan], array: &Array) -> Result<Option<String>> {
    let (names, out) = whose(plans, array);
    cancel_tasks(&names, out)
}

/// Cancels arrays and waits until the queue has nothing of them; their numbers.
fn cancel_tasks(names: &[&str], out: &Path) -> Result<Option<String>> {
    let mut cancelled: Option<String> = None;
    loop {
        let tasks = tasks_of(names, out)?;
        if tasks.is_empty() {
            return Ok(cancelled);
        }
        if cancelled.is_none() {
            for number in arrays(&tasks) {
                mark_cancelled(&out.join("slurm"), number)?;
                ask("scancel", &[&number.to_string()], "")?;
            }
            cancelled = Some(numbers(&tasks));
            say("cancelling; the tasks give their runs up");
        }
        thread::sleep(FIRST_LOOK);
    }
}

fn whose<'a>(plans: &[&'a Plan], array: &'a Array) -> (Vec<&'a str>, &'a Path) {
    let names = plans.iter().map(|plan| plan.experiment.name.as_str()).collect();
    (names, array.logs.parent().unwrap_or(&array.logs))
}

fn ours(plans: &[&Plan], array: &Array) -> Result<Vec<Task>> {
    let (names, out) = whose(plans, array);
    tasks_of(&names, out)
}

fn tasks_of(names: &[&str], out: &Path) -> Result<Vec<Task>> {
    let queue = ask("squeue", &["--noheader", "--array", "--me", QUEUE_FORMAT], "")?;
    let tasks = slurm::parse_queue(&queue)?;
    Ok(tasks.into_iter().filter(|task| task.trains(names, out)).collect())
}

fn arrays(tasks: &[Task]) -> Vec<u64> {
    let mut arrays: Vec<u64> = tasks.iter().map(|task| task.array).collect();
    arrays.sort_unstable();
    arrays.dedup();
    arrays
}

/// `12`, or `12, 15`
fn numbers(tasks: &[Task]) -> String {
    arrays(tasks).iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
}

/// What a program of Slurm's answers.
fn ask(program: &str, arguments: &[&str], input: &str) -> Result<String> {
    let failed = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => Error::Failed(format!(
            "there is no {program} here: run this where Slurm is, on a login node of the cluster, \
             or give --print, which only prints the script for sbatch"
        )),
        _ => Error::Failed(format!("cannot start {program}: {error}")),
    };
    let mut command = Command::new(program);
    // what a user has set for looks of their own would hide tasks
    for (name, _) in std::env::vars_os() {
        let hides = |start: &str| name.to_str().is_some_and(|name| name.starts_with(start));
        if hides("SQUEUE_") || hides("SCANCEL_") || name == "SBATCH_WAIT" {
            command.env_remove(name);
        }
    }
    let (stdin, pipe) = (Stdio::piped(), Stdio::piped);
    let child = command.args(arguments).stdin(stdin).stdout(pipe()).stderr(pipe()).spawn();
    let mut child = child.map_err(failed)?;
    // one that does not read to the end says why
    drop(child.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes())));
    let answer = child.wait_with_output().map_err(failed)?;
    if answer.status.success() {
        return Ok(String::from_utf8_lossy(&answer.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&answer.stderr).into_owned();
    let advice = match program {
        "sbatch" => "; 'sinfo' lists partitions, --print shows the script",
        _ => "; does 'sinfo' answer here?",
    };
    Err(Error::Failed(format!("{program} refuses: {}{advice}", slurm::complaint(&said))))
}

fn sleep(pause: Duration) {
    let started = Instant::now();
    while started.elapsed() < pause && !interrupted() {
        thread::sleep(Duration::from_millis(100));
    }
}

fn describe(work: &Work, tasks: &[Task]) -> String {
    format!(
        "{} of {} runs stored, {} failed, {} to run; tasks: {}",
        work.stored,
        work.total,
        work.failed,
        work.left.len(),
        slurm::describe_queue(tasks)
    )
}

/// How far the runs are: a bar on a terminal, elsewhere a line whenever it changes.
struct Line {
    last: String,
}

impl Line {
    fn new(total: usize) -> Self {
        screen::open(Bars {
            template: "{elapsed_precise} [{bar:30}] {wide_msg}",
            done: 0,
            total: total as u64,
            message: String::new(),
            slots: Vec::new(),
        });
        Self { last: String::new() }
    }

    /// Shows how far the runs are, with words; nothing that was said last.
    fn tell(&mut self, work: &Work, line: String) {
        if screen::has_bars() {
            let done = (work.stored + work.failed) as u64;
            screen::update(|bars| (bars.done, bars.message) = (done, line));
        } else if line != self.last {
            mention(&line);
            self.last = line;
        }
    }
}
