//! Waiting for an array of tasks: it is submitted, and what was cut off again, until every run that
//! plans miss is stored. What happens goes to a closure.
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use super::queue::{arrays, ask, cancel_tasks, cancelled_mark, numbers, tasks_of};
use super::{Array, Next, Standing, Task};
use crate::error::{Error, Result};
use crate::experiment::CellName;
use crate::schedule::plan::{Plan, Status};
use crate::store::claim::Claims;
use crate::store::record::State;

/// How long between two looks at the queue: short at first, for short grids.
const FIRST_LOOK: Duration = Duration::from_secs(1);
const LONGEST_LOOK: Duration = Duration::from_secs(15);
/// After how long a claim that neither changed nor was lost is believed to be somebody's.
const CLAIM_PATIENCE: Duration = Duration::from_secs(150);

/// The runs that are waited for.
pub struct Work {
    pub total: usize,
    stored: usize,
    failed: usize,
    failed_before: usize,
    left: Vec<Left>,
}

/// A run that is waited for.
struct Left {
    plan: usize,
    cell: CellName,
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
    /// Counts what plans have stored and what they miss.
    pub fn new(plans: &[&Plan]) -> Self {
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

    /// Says whether every run is stored.
    pub fn is_done(&self) -> bool {
        self.left.is_empty()
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

    fn news(&self, text: String) -> News {
        News::Standing { done: self.stored + self.failed, text }
    }
}

/// How a wait ended.
pub enum Ended {
    Done,
    Detached,
    /// By Ctrl-C or SIGTERM.
    Interrupted,
}

/// What people are told meanwhile.
pub enum News {
    /// Something that they should know.
    Said(String),
    /// How many runs have ended, and how far all is in words.
    Standing { done: usize, text: String },
    /// An array was submitted that nobody waits for.
    Detached(u64),
}

type Tell<'a> = &'a mut dyn FnMut(News) -> Result<()>;

/// What is asked of a wait.
pub struct Options {
    /// Whether the first run that fails ends everything.
    pub fail_fast: bool,
    /// How often what was cut off is submitted again.
    pub resubmit: u32,
    /// Whether an array is submitted and not waited for.
    pub detach: bool,
    /// The command that goes on with the work.
    pub again: String,
}

/// One wait for an array, and for those that go on with its work.
pub struct Watch<'a> {
    plans: &'a [&'a Plan],
    array: &'a Array,
    options: Options,
    /// Cancels the array when it becomes true.
    stop: &'a AtomicBool,
    claims: Claims,
    /// Numbers of the arrays that were seen, and of those that this process submitted.
    arrays: Vec<u64>,
    submitted: Vec<u64>,
}

impl<'a> Watch<'a> {
    /// Prepares to wait for an array that trains what plans miss.
    pub fn new(
        plans: &'a [&'a Plan],
        array: &'a Array,
        options: Options,
        stop: &'a AtomicBool,
    ) -> Self {
        let (arrays, submitted) = (Vec::new(), Vec::new());
        Self { plans, array, options, stop, claims: Claims::new(), arrays, submitted }
    }

    /// Submits the array, as often as is needed, and waits until every run is stored.
    ///
    /// # Errors
    /// `Failed` where the work does not go on, those of Slurm's programs, of the store and of `tell`.
    pub fn until_done(&mut self, work: &mut Work, tell: Tell) -> Result<Ended> {
        let tasks = self.tasks()?;
        if !tasks.is_empty() {
            let which = numbers(&tasks);
            tell(News::Said(format!(
                "array {which} is in the queue for these experiments; nothing is submitted"
            )))?;
            if self.options.detach {
                return Ok(Ended::Detached);
            }
        }
        // nothing was submitted yet for all of what is asked for now
        let (to_run, left) = (work.left.len(), self.options.resubmit.saturating_add(1));
        let mut standing =
            Standing { running: 0, waiting: 0, to_run, to_run_then: usize::MAX, left };
        self.see(&tasks, &mut standing);
        let mut pause = FIRST_LOOK;
        loop {
            if standing.is_without_tasks() {
                self.free_lost_claims(work, tell)?;
                standing.to_run = work.look(self.plans)?;
            }
            if let Some(ended) = self.ends_early(work, &standing, tell)? {
                return Ok(ended);
            }
            match super::next(&standing) {
                Next::Wait => {}
                Next::Done => return self.done(&standing),
                Next::Stuck => return Err(stuck(self.array, &standing)),
                Next::Enough => return Err(enough(self.array, &standing, self.options.resubmit)),
                Next::Resubmit => {
                    self.submit(&mut standing, tell)?;
                    if self.options.detach {
                        return Ok(Ended::Detached);
                    }
                    pause = FIRST_LOOK;
                }
            }
            self.sleep(pause);
            pause = (pause * 2).min(LONGEST_LOOK);
            // the queue first: what a task stored before it left the queue is then seen
            match self.tasks() {
                Ok(tasks) => {
                    self.see(&tasks, &mut standing);
                    standing.to_run = work.look(self.plans)?;
                    tell(work.news(describe(work, &tasks)))?;
                }
                Err(error) => {
                    // whether it has ended cannot be told
                    standing.running = standing.running.max(1);
                    tell(work.news(format!("{error}; asking again")))?;
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
    fn ends_early(&self, work: &Work, standing: &Standing, tell: Tell) -> Result<Option<Ended>> {
        let array = self.array;
        let failed = self.options.fail_fast && work.failed > work.failed_before;
        if self.is_interrupted() || failed {
            let cancelled = match self.cancel(tell)? {
                Some(which) => format!("cancelled array {which}"),
                None => "stopped".to_owned(),
            };
            if failed {
                let logs = array.logs.display();
                return Err(Error::Failed(format!(
                    "--fail-fast: a run failed; {cancelled}; the tasks' logs are in {logs}"
                )));
            }
            tell(News::Said(format!("{cancelled}; {}", self.go_on())))?;
            return Ok(Some(Ended::Interrupted));
        }
        let marked = |number: &&u64| cancelled_mark(&array.logs, **number).exists();
        match self.arrays.iter().find(marked).filter(|_| standing.is_without_tasks()) {
            Some(number) => {
                tell(News::Said(format!("array {number} was cancelled; {}", self.go_on())))?;
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

    fn submit(&mut self, standing: &mut Standing, tell: Tell) -> Result<()> {
        let is_first = standing.to_run_then == usize::MAX;
        let tasks = self.array.tasks.min(u32::try_from(standing.to_run).unwrap_or(u32::MAX));
        let array = &Array { tasks, ..self.array.clone() };
        let options = array.sbatch_options()?;
        let mut arguments = vec!["--parsable"];
        arguments.extend(options.iter().map(String::as_str));
        standing.left -= 1;
        let answer = ask("sbatch", &arguments, &array.script()?);
        let number = match answer.and_then(|answer| super::parse_submitted(&answer)) {
            Ok(number) => number,
            Err(error) if is_first => return Err(error),
            // once it was taken, so it may be again
            Err(error) => {
                return tell(News::Said(format!("{error}; trying again")));
            }
        };
        // of an array before Slurm began to count anew
        drop(std::fs::remove_file(cancelled_mark(&array.logs, number)));
        self.arrays.push(number);
        self.submitted.push(number);
        tell(News::Said(format!(
            "submitted array {number}{}: {} runs for {tasks} task(s) of {} core(s); logs in {}",
            if is_first { "" } else { " again" },
            standing.to_run,
            array.cores,
            array.logs.display()
        )))?;
        standing.to_run_then = standing.to_run;
        if self.options.detach { tell(News::Detached(number)) } else { Ok(()) }
    }

    /// Takes the claims of dead processes away, which new tasks could not tell from those of living
    /// ones on another host: for that a claim must be watched. Taking one in each folder also has a
    /// network file system show what is in it.
    fn free_lost_claims(&self, work: &Work, tell: Tell) -> Result<()> {
        let mut paths: Vec<PathBuf> = Vec::new();
        let mut folder: Option<PathBuf> = None;
        for Left { plan, cell, seed, .. } in &work.left {
            let path = self.plans[*plan].store.path(cell, *seed).with_extension("claim");
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
        while started.elapsed() < CLAIM_PATIENCE && !self.is_interrupted() {
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
                        tell(News::Said(format!(
                            "{by} has runs; waiting to see whether it is alive"
                        )))?;
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

    fn is_interrupted(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    fn sleep(&self, pause: Duration) {
        let started = Instant::now();
        while started.elapsed() < pause && !self.is_interrupted() {
            thread::sleep(Duration::from_millis(100));
        }
    }

    fn go_on(&self) -> String {
        format!("finished runs are kept; continue with: {}", self.options.again)
    }

    /// What the queue has of these experiments.
    fn tasks(&self) -> Result<Vec<Task>> {
        let (names, out) = self.whose();
        tasks_of(&names, out)
    }

    fn cancel(&self, tell: Tell) -> Result<Option<String>> {
        let (names, out) = self.whose();
        let mut told = Ok(());
        let begun = || "cancelling; the tasks give their runs up".to_owned();
        let cancelled = cancel_tasks(&names, out, &mut || told = tell(News::Said(begun())))?;
        told?;
        Ok(cancelled)
    }

    fn whose(&self) -> (Vec<&'a str>, &'a Path) {
        let names = self.plans.iter().map(|plan| plan.experiment.name.as_str()).collect();
        (names, self.array.logs.parent().unwrap_or(&self.array.logs))
    }
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

fn describe(work: &Work, tasks: &[Task]) -> String {
    format!(
        "{} of {} runs stored, {} failed, {} to run; tasks: {}",
        work.stored,
        work.total,
        work.failed,
        work.left.len(),
        super::describe_queue(tasks)
    )
}
