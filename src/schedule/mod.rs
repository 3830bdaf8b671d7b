//! Slots, jobs, retries, events: jobs run where and when `policy` says. What running a job means is
//! an argument, so this module knows no processes, no tensors and no files, and it prints nothing.
pub mod answer;
pub mod cost;
pub mod design;
pub mod devices;
pub mod estimate;
mod log;
pub mod plan;
pub mod policy;
mod process;
pub mod recording;
pub mod session;
pub mod slurm;
pub mod time_left;
pub mod trainer;
pub mod worker;

use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::machine::memory::{self, Memory};
use crate::store::record::{Job, Message, Record, State};

use policy::{Next, Planned, Policy, Start, Waiting};

/// A place on a device where one job at a time runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// `cpu` or `cuda:0` …
    pub device: String,
    /// Number among all slots, from 0.
    pub index: usize,
}

/// After how long it is looked again at what other processes have: jobs, and a device's memory.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// How long a job waits on an idle device for memory that other processes have.
const MEMORY_PATIENCE: Duration = Duration::from_secs(60);

/// Whose a job is that is about to start.
#[derive(Debug, Clone, PartialEq)]
pub enum Claim {
    /// This process's: records that another has stored by now, and the jobs that train the rest.
    Ours { found: Vec<Record>, rest: Vec<Job> },
    /// Another process, named here, has some of its runs.
    Elsewhere(String),
    /// It cannot be told.
    Refused(Error),
}

/// What became of one attempt at a job.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It ended by itself, with a record for every seed or not.
    Done,
    /// It was ended because of the stop flag.
    Stopped,
    /// It died; the seeds without a record may be tried again.
    Died(Death),
    /// It cannot be run at all, and neither can the jobs like it: no data, no such device.
    Refused(Error),
}

/// How an attempt died.
#[derive(Debug, Clone, PartialEq)]
pub struct Death {
    pub state: State,
    /// `ended by signal 9 (SIGKILL)`
    pub why: String,
    /// The last lines it wrote, for people.
    pub log_tail: String,
}

/// What happens while jobs run, in the order in which it happens.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    Started {
        slot: usize,
        job: Job,
    },
    Progress {
        slot: usize,
        epoch: u64,
        epochs: u64,
        loss: Option<f64>,
        rows_per_second: f64,
    },
    /// Something that people should know.
    Warning {
        text: String,
    },
    /// A run ended.
    Record {
        slot: usize,
        record: Box<Record>,
    },
    /// Another process has runs of a job, which waits for them.
    Elsewhere {
        job: Job,
        by: String,
    },
    /// Runs of a job that another process has stored since the plan was made.
    Found {
        job: Job,
        records: Vec<Record>,
    },
    /// An attempt died and `job.seeds` are tried again.
    Retry {
        slot: usize,
        job: Job,
        death: Death,
    },
    /// `job.seeds` have no record and are not tried again now.
    Lost {
        slot: usize,
        job: Job,
        death: Death,
    },
    Finished {
        slot: usize,
    },
}

/// Cuts a job into pieces: its seeds in the given order, `width` at a time. The number of slots has no
/// part in it, so that it has none in a result.
pub fn chunks(job: &Job, seeds: &[u64], width: usize) -> Vec<Job> {
    let of = |seeds: &[u64]| Job { seeds: seeds.to_vec(), ..job.clone() };
    seeds.chunks(width.max(1)).map(of).collect()
}

/// Returns the seconds until all is done, when each job in turn takes the slot that is free first.
/// `free` holds the seconds until each slot is free.
pub fn makespan(mut free: Vec<f64>, jobs: impl IntoIterator<Item = f64>) -> f64 {
    for seconds in jobs {
        if let Some(first) = free.iter_mut().min_by(|a, b| a.total_cmp(b)) {
            *first += seconds;
        }
    }
    free.into_iter().fold(0.0, f64::max)
}

/// Where jobs run, and what claiming and running one is.
pub struct Dispatch<'a> {
    pub slots: &'a [Slot],
    /// Ends everything early when it becomes true, which `execute` is to heed too. Becomes true at the
    /// first error.
    pub stop: &'a AtomicBool,
    /// Tells what a device has when nothing of ours runs there.
    pub memory: &'a (dyn Fn(&str) -> Option<Memory> + Sync),
    /// Is asked before a job starts; what another process has is asked for again until it has a
    /// record or is free.
    pub claim: &'a (dyn Fn(&Job) -> Claim + Sync),
    /// Makes one attempt at a job.
    pub execute: Execute<'a>,
}

/// One attempt at a job on a slot, which passes on what it hears.
pub type Execute<'a> = &'a (dyn Fn(&Slot, &Job, &dyn Fn(Message)) -> Outcome + Sync);

/// Passes on what happens, from a slot's thread.
type Send<'a> = &'a dyn Fn(Result<Event>);

struct Shared<'a> {
    policy: Mutex<Policy>,
    changed: Condvar,
    dispatch: &'a Dispatch<'a>,
}

impl Dispatch<'_> {
    /// Runs jobs on the slots as a [`Policy`] made of both says, and passes what happens to `handle`
    /// on the calling thread.
    ///
    /// # Errors
    /// The error of a refused job or of `handle`, or `Failed` where a thread panics or cannot be
    /// started: all after everything under way was stopped.
    pub fn run(&self, policy: Policy, handle: &mut dyn FnMut(Event) -> Result<()>) -> Result<()> {
        let policy = Mutex::new(policy);
        let shared = &Shared { policy, changed: Condvar::new(), dispatch: self };
        let (sender, receiver) = mpsc::channel();
        let mut result = Ok(());
        thread::scope(|scope| {
            for slot in self.slots {
                let events = sender.clone();
                let thread = thread::Builder::new().name(format!("slot {}", slot.index));
                let started = thread.spawn_scoped(scope, move || shared.serve(slot, &events));
                if let Err(error) = started {
                    result = Err(no_thread(slot, &error));
                    shared.stop();
                    break;
                }
            }
            drop(sender);
            for event in receiver {
                let handled =
                    event.and_then(|event| guarded("handling an event", || handle(event))?);
                if let (Err(error), true) = (handled, result.is_ok()) {
                    result = Err(error);
                    shared.stop();
                }
            }
        });
        result
    }
}

/// Does something that may panic; the panic is then an error, so that whoever waits for the thread
/// learns of it.
fn guarded<T>(what: &str, act: impl FnOnce() -> T) -> Result<T> {
    // what a panic leaves half changed is used for stopping alone
    panic::catch_unwind(AssertUnwindSafe(act)).map_err(|payload| {
        let words = payload.downcast_ref::<&str>().map(|words| (*words).to_owned());
        let words = words.or_else(|| payload.downcast_ref::<String>().cloned());
        let words = words.unwrap_or_else(|| "it does not say why".to_owned());
        Error::Failed(format!(
            "{what} failed by a defect of seedbed, so everything was stopped: {words}"
        ))
    })
}

fn no_thread(slot: &Slot, error: &std::io::Error) -> Error {
    Error::Failed(format!(
        "cannot start a thread for slot {} on {}: {error}; raise the limit of processes (ulimit -u) or \
         lower --slots",
        slot.index, slot.device
    ))
}

impl Shared<'_> {
    fn lock(&self) -> MutexGuard<'_, Policy> {
        // a policy is whole between any two of its calls
        self.policy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has every slot end, those that wait too.
    fn stop(&self) {
        self.dispatch.stop.store(true, Ordering::SeqCst);
        // between two waits of a slot, not just before one
        drop(self.lock());
        self.changed.notify_all();
    }

    /// Works on a slot until nothing is left to do. Others may wait for what runs here, so a panic is
    /// told like an error of the job.
    fn serve(&self, slot: &Slot, events: &Sender<Result<Event>>) {
        // the receiver outlives every sender, so a failed send cannot be
        let send = |event: Result<Event>| drop(events.send(event));
        let what = format!("slot {} on {}", slot.index, slot.device);
        if let Err(error) = guarded(&what, || self.work(slot, &send)) {
            send(Err(error));
        }
    }

    fn work(&self, slot: &Slot, send: Send) {
        while let Some(Start { waiting, reserved, too_large }) = self.next(slot, send) {
            let mut again = Vec::new();
            let of = |job| Waiting {
                planned: Planned { job, ..waiting.planned.clone() },
                tries: waiting.tries,
            };
            match (self.dispatch.claim)(&waiting.planned.job) {
                Claim::Elsewhere(by) => {
                    let Waiting { planned, mut tries } = waiting;
                    if !tries.told {
                        send(Ok(Event::Elsewhere { job: planned.job.clone(), by }));
                    }
                    tries.told = true;
                    self.leave(slot, reserved, Waiting { planned, tries });
                    continue;
                }
                Claim::Refused(error) => send(Err(error)),
                Claim::Ours { found, rest } => {
                    if !found.is_empty() {
                        let job = waiting.planned.job.clone();
                        send(Ok(Event::Found { job, records: found }));
                    }
                    let mut rest = rest.into_iter().map(of);
                    if let Some(first) = rest.next() {
                        if too_large {
                            let text = tried_nevertheless(&first, slot, reserved);
                            send(Ok(Event::Warning { text }));
                        }
                        again.extend(rest);
                        again.extend(self.try_job(slot, first, send));
                    }
                }
            }
            self.end(slot, reserved, again);
        }
    }

    /// The next job, waiting for one that a running attempt may put back or another process free,
    /// and for memory.
    fn next(&self, slot: &Slot, send: Send) -> Option<Start> {
        let mut short_since = None;
        let mut policy = self.lock();
        loop {
            if self.dispatch.stop.load(Ordering::SeqCst) {
                return None;
            }
            if policy.is_idle(&slot.device)
                && let Some(memory) = (self.dispatch.memory)(&slot.device)
            {
                policy.set_memory(&slot.device, memory);
            }
            match policy.next(slot) {
                Next::Done => return None,
                Next::Start(start) => return Some(*start),
                Next::Wait => {}
            }
            if let Some(short) = policy.short_of_memory(&slot.device) {
                let since = *short_since.get_or_insert_with(|| {
                    send(Ok(Event::Warning { text: waits(short, &slot.device) }));
                    Instant::now()
                });
                if since.elapsed() > MEMORY_PATIENCE {
                    policy.tire(&slot.device);
                }
            }
            // a slot that waits for other processes must look; any other is woken
            if short_since.is_none() && !policy.waits_for_others() {
                policy = self.changed.wait(policy).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let waited = self.changed.wait_timeout(policy, LOOK_AGAIN);
            let timed_out;
            (policy, timed_out) = waited.unwrap_or_else(PoisonError::into_inner);
            if timed_out.timed_out() {
                policy.look_again();
            }
        }
    }

    /// Puts back what is left of a job that was started.
    fn end(&self, slot: &Slot, reserved: u64, again: Vec<Waiting>) {
        let mut policy = self.lock();
        policy.end(slot, reserved);
        again.into_iter().for_each(|waiting| policy.add(waiting));
        drop(policy);
        self.changed.notify_all();
    }

    fn leave(&self, slot: &Slot, reserved: u64, waiting: Waiting) {
        let mut policy = self.lock();
        policy.end(slot, reserved);
        policy.leave(waiting);
        drop(policy);
        self.changed.notify_all();
    }

    /// Makes one attempt at a job, and says what is to be tried after it.
    fn try_job(&self, slot: &Slot, mut waiting: Waiting, send: Send) -> Vec<Waiting> {
        waiting.planned.job.device.clone_from(&slot.device);
        let job = &waiting.planned.job;
        send(Ok(Event::Started { slot: slot.index, job: job.clone() }));
        let next = |rest: &Job, state| self.lock().after(&waiting, rest, state, slot);
        let is_tried_again = |state| next(job, state).is_some();
        let open = Mutex::new(Open::of(job));
        let heard = |message| hear(message, slot.index, &open, &is_tried_again, send);
        let outcome = (self.dispatch.execute)(slot, job, &heard);
        let open = open.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut again = Vec::new();
        if let Some((seeds, death)) = unfinished(outcome, open, send) {
            let rest = Job { seeds, ..job.clone() };
            if let Some(pieces) = next(&rest, death.state) {
                again = pieces;
                send(Ok(Event::Retry { slot: slot.index, job: rest, death }));
            } else {
                send(Ok(Event::Lost { slot: slot.index, job: rest, death }));
            }
        }
        send(Ok(Event::Finished { slot: slot.index }));
        again
    }
}

fn waits(short: policy::Short, device: &str) -> String {
    let policy::Short { job, need, memory: Memory { total, free } } = short;
    format!(
        "{} {} waits for memory: a seed needs about {}, and {device} has {} of {} left",
        job.experiment,
        job.label(),
        memory::text(need),
        memory::text(free),
        memory::text(total),
    )
}

fn tried_nevertheless(waiting: &Waiting, slot: &Slot, reserved: u64) -> String {
    let job = &waiting.planned.job;
    format!(
        "{} {} needs about {}, more than {} has left; it is tried with the device to itself",
        job.experiment,
        job.label(),
        memory::text(reserved),
        slot.device
    )
}

/// Seeds of an attempt without a final record of every cell.
struct Open {
    seeds: Vec<u64>,
    /// Records that a seed has when it is done.
    cells: usize,
    /// Records of seeds that lack those of other cells.
    partial: Vec<Record>,
    /// Of a record that came but is not final.
    death: Option<Death>,
}

impl Open {
    fn of(job: &Job) -> Self {
        Self { seeds: job.seeds.clone(), cells: job.cells.len(), partial: Vec::new(), death: None }
    }

    /// Takes a record in. When it is the last that its seed lacks, all of that seed are returned, unless
    /// the seed is to be tried again.
    fn take(&mut self, record: Record, is_tried_again: &dyn Fn(State) -> bool) -> Vec<Record> {
        let seed = record.seed;
        // the first word on a seed counts
        let Some(place) = self.seeds.iter().position(|open| *open == seed) else {
            return Vec::new();
        };
        self.partial.push(record);
        if self.partial.iter().filter(|record| record.seed == seed).count() < self.cells {
            return Vec::new();
        }
        let of_seed: Vec<Record> =
            self.partial.extract_if(.., |record| record.seed == seed).collect();
        if let Some(death) = death_in(&of_seed)
            && is_tried_again(death.state)
        {
            self.death = Some(death);
            return Vec::new();
        }
        self.seeds.remove(place);
        of_seed
    }
}

/// Passes on what an attempt says, and its records once they are final.
fn hear(
    message: Message,
    slot: usize,
    open: &Mutex<Open>,
    is_tried_again: &dyn Fn(State) -> bool,
    send: Send,
) {
    match message {
        Message::Progress { epoch, epochs, loss, rows_per_second } => {
            send(Ok(Event::Progress { slot, epoch, epochs, loss, rows_per_second }));
        }
        Message::Warning { text } => send(Ok(Event::Warning { text })),
        Message::Record(record) => {
            let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
            for record in open.take(*record, is_tried_again) {
                send(Ok(Event::Record { slot, record: Box::new(record) }));
            }
        }
    }
}

/// Of records that came, the first that is not final.
fn death_in(records: &[Record]) -> Option<Death> {
    let record = records.iter().find(|record| !record.state.is_final())?;
    let why = record.failure.clone().unwrap_or_default();
    Some(Death { state: record.state, why, log_tail: String::new() })
}

/// The seeds that an attempt left open, and why; reports a refusal.
fn unfinished(outcome: Outcome, open: Open, send: Send) -> Option<(Vec<u64>, Death)> {
    let silent = || Death {
        state: State::Crashed,
        why: "the worker ended without a record".to_owned(),
        log_tail: String::new(),
    };
    match outcome {
        Outcome::Stopped => None,
        Outcome::Refused(error) => {
            send(Err(error));
            None
        }
        Outcome::Done | Outcome::Died(_) if open.seeds.is_empty() => None,
        Outcome::Done => Some((open.seeds, open.death.unwrap_or_else(silent))),
        Outcome::Died(death) => Some((open.seeds, death)),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::path::Path;
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use super::*;
    use crate::experiment::{Experiment, Selection};

    pub(super) fn job(epochs: u64, seeds: &[u64]) -> Job {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/synthetic.toml");
        let set = vec![format!("training.epochs={epochs}")];
        let selection = Selection { set, ..Selection::default() };
        let experiment = Experiment::load(&path.to_string_lossy(), &selection).unwrap();
        let Experiment { name, scale, cells, .. } = experiment;
        Job::of(&name, scale, vec![cells[0].clone()], seeds.to_vec())
    }

    pub(super) fn record(job: &Job, seed: u64, state: State) -> Message {
        Message::Record(Box::new(Record { state, ..Record::of(job, job.cell(), seed, "") }))
    }

    fn slots(count: usize) -> Vec<Slot> {
        (0..count).map(|index| Slot { device: format!("cuda:{index}"), index }).collect()
    }

    fn death(state: State) -> Outcome {
        let (why, log_tail) = ("ended".to_owned(), String::new());
        Outcome::Died(Death { state, why, log_tail })
    }

    /// Without known needs, retrying once.
    fn policy(slots: &[Slot], jobs: impl IntoIterator<Item = (Job, f64)>) -> Policy {
        let planned = |(job, weight)| Planned { job, weight, need: None };
        Policy::new(slots, jobs.into_iter().map(planned).collect(), 1)
    }

    fn ours(job: &Job) -> Claim {
        Claim::Ours { found: Vec::new(), rest: vec![job.clone()] }
    }

    fn dispatch<'a>(slots: &'a [Slot], stop: &'a AtomicBool, execute: Execute<'a>) -> Dispatch<'a> {
        Dispatch { slots, stop, memory: &|_| None, claim: &ours, execute }
    }

    /// Runs jobs of equal weight, retrying once, and gives the events.
    fn events<E>(slots: &[Slot], jobs: Vec<Job>, execute: E) -> (Vec<Event>, Result<()>)
    where
        E: Fn(&Slot, &Job, &dyn Fn(Message)) -> Outcome + Sync,
    {
        let stop = AtomicBool::new(false);
        let mut seen = Vec::new();
        let policy = policy(slots, jobs.into_iter().map(|job| (job, 1.0)));
        let result = dispatch(slots, &stop, &execute).run(policy, &mut |event| {
            seen.push(event);
            Ok(())
        });
        (seen, result)
    }

    fn recorded(events: &[Event]) -> Vec<u64> {
        let mut seeds: Vec<u64> = events
            .iter()
            .filter_map(|event| match event {
                Event::Record { slot: _, record } => Some(record.seed),
                Event::Started { .. } | Event::Progress { .. } | Event::Retry { .. } => None,
                Event::Lost { .. } | Event::Finished { .. } | Event::Warning { .. } => None,
                Event::Elsewhere { .. } | Event::Found { .. } => None,
            })
            .collect();
        seeds.sort_unstable();
        seeds
    }

    #[test]
    fn a_seed_is_done_when_every_cell_has_its_record_and_not_in_part() {
        let mut two = job(1, &[1, 2]);
        let mut other = two.cell().clone();
        other.label = "other".into();
        two.cells.push(other);
        let of_cell = |job: &Job, cell: usize, seed| match record(job, seed, State::Ok) {
            Message::Record(mut record) => {
                record.cell = job.cells[cell].clone();
                Message::Record(record)
            }
            other => other,
        };
        let attempts = AtomicUsize::new(0);
        let (events, result) = events(&slots(1), vec![two], |_, job, emit| {
            let first = attempts.fetch_add(1, Ordering::SeqCst) == 0;
            for &seed in &job.seeds {
                emit(of_cell(job, 0, seed));
                if first && seed == 2 {
                    return death(State::Crashed);
                }
                emit(of_cell(job, 1, seed));
            }
            Outcome::Done
        });
        assert_eq!(result, Ok(()));
        let retried: Vec<&[u64]> = events
            .iter()
            .filter_map(|event| {
                let Event::Retry { job, .. } = event else { return None };
                Some(job.seeds.as_slice())
            })
            .collect();
        assert_eq!(retried, [&[2]]);
        assert_eq!(recorded(&events), [1, 1, 2, 2]);
    }

    #[test]
    fn jobs_take_seeds_by_their_position() {
        let chunks = chunks(&job(1, &[]), &[9, 2, 5, 7, 1], 2);
        let seeds: Vec<Vec<u64>> = chunks.into_iter().map(|job| job.seeds).collect();
        assert_eq!(seeds, [vec![9, 2], vec![5, 7], vec![1]]);
    }

    #[test]
    fn the_makespan_gives_each_job_the_slot_that_is_free_first() {
        assert_eq!(makespan(vec![0.0, 0.0], [5.0, 3.0, 3.0]), 6.0);
        assert_eq!(makespan(vec![4.0, 0.0], [1.0, 2.0]), 4.0);
        assert_eq!(makespan(vec![2.0], []), 2.0);
    }

    #[test]
    fn every_seed_is_recorded_once_and_jobs_go_to_their_slots_device() {
        let jobs = chunks(&job(1, &[]), &[1, 2, 3, 4, 5, 6, 7], 2);
        let (events, result) = events(&slots(3), jobs, |slot, job, emit| {
            assert_eq!(job.device, slot.device);
            job.seeds.iter().for_each(|seed| emit(record(job, *seed, State::Ok)));
            Outcome::Done
        });
        assert_eq!(result, Ok(()));
        assert_eq!(recorded(&events), [1, 2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn the_job_with_the_largest_estimate_starts_first() {
        let jobs = [(1, 1.0), (2, 9.0), (3, 5.0)];
        let jobs = jobs.map(|(seed, weight)| (job(1, &[seed]), weight));
        let stop = AtomicBool::new(false);
        let mut order = Vec::new();
        let execute = |_: &Slot, job: &Job, emit: &dyn Fn(Message)| {
            emit(record(job, job.seeds[0], State::Ok));
            Outcome::Done
        };
        let one = slots(1);
        dispatch(&one, &stop, &execute)
            .run(policy(&one, jobs), &mut |event| {
                if let Event::Started { slot: _, job } = event {
                    order.push(job.seeds[0]);
                }
                Ok(())
            })
            .unwrap();
        assert_eq!(order, [2, 3, 1]);
    }

    #[test]
    fn the_seeds_a_dead_job_leaves_are_tried_once_more() {
        let attempts = AtomicUsize::new(0);
        let (events, _) = events(&slots(2), vec![job(1, &[1, 2, 3])], |_, job, emit| {
            emit(record(job, job.seeds[0], State::Ok));
            if attempts.fetch_add(1, Ordering::SeqCst) == 0 {
                return death(State::Crashed);
            }
            assert_eq!(job.seeds, [2, 3]);
            emit(record(job, 3, State::Ok));
            death(State::Crashed)
        });
        assert_eq!(attempts.load(Ordering::SeqCst), 2);
        assert_eq!(recorded(&events), [1, 2, 3]);
        assert!(!events.iter().any(|event| matches!(event, Event::Lost { .. })));
    }

    #[test]
    fn seeds_that_die_twice_are_lost() {
        let (events, result) =
            events(&slots(1), vec![job(1, &[1, 2])], |_, _, _| death(State::TimedOut));
        assert_eq!(result, Ok(()));
        let lost: Vec<&Event> =
            events.iter().filter(|event| matches!(event, Event::Lost { .. })).collect();
        let [Event::Lost { slot: 0, job, death }] = lost[..] else { panic!("{lost:?}") };
        assert_eq!((job.seeds.as_slice(), death.state), (&[1, 2][..], State::TimedOut));
    }

    #[test]
    fn a_record_that_is_not_final_is_tried_again_and_a_later_one_is_no_second_word() {
        let attempts = AtomicUsize::new(0);
        let (events, _) = events(&slots(1), vec![job(1, &[1, 2])], |_, job, emit| {
            let state = match attempts.fetch_add(1, Ordering::SeqCst) {
                0 => State::OutOfMemory,
                _ => State::Ok,
            };
            emit(record(job, job.seeds[0], State::Diverged));
            job.seeds.iter().for_each(|seed| emit(record(job, *seed, state)));
            Outcome::Done
        });
        assert_eq!(recorded(&events), [1, 2]);
        assert!(
            events
                .iter()
                .any(|event| matches!(event, Event::Retry { job, .. } if job.seeds == [2]))
        );
    }

    #[test]
    fn a_job_out_of_memory_is_tried_again_in_halves() {
        let widths = Mutex::new(Vec::new());
        let (events, _) = events(&slots(1), vec![job(1, &[1, 2, 3, 4, 5])], |_, job, emit| {
            widths.lock().unwrap().push(job.seeds.len());
            if job.seeds.len() > 3 {
                return death(State::OutOfMemory);
            }
            job.seeds.iter().for_each(|seed| emit(record(job, *seed, State::Ok)));
            Outcome::Done
        });
        assert_eq!(*widths.lock().unwrap(), [5, 3, 2]);
        assert_eq!(recorded(&events), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_job_that_died_is_tried_on_another_slot() {
        let died_on = Mutex::new(Vec::new());
        let (events, _) = events(&slots(2), vec![job(1, &[1])], |slot, _, _| {
            died_on.lock().unwrap().push(slot.index);
            death(State::Crashed)
        });
        assert!(matches!(died_on.lock().unwrap()[..], [0, 1] | [1, 0]));
        assert_eq!(events.iter().filter(|event| matches!(event, Event::Lost { .. })).count(), 1);
    }

    #[test]
    fn a_job_alone_has_its_device_to_itself() {
        let one = |index| Slot { device: "cpu".to_owned(), index };
        let (running, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let tries = AtomicUsize::new(0);
        let jobs = (1..=6).map(|seed| job(1, &[seed])).collect();
        let (events, _) = events(&[one(0), one(1), one(2)], jobs, |_, job, emit| {
            let side_by_side = running.fetch_add(1, Ordering::SeqCst) + 1;
            if tries.fetch_add(1, Ordering::SeqCst) >= 6 {
                most.fetch_max(side_by_side, Ordering::SeqCst);
            }
            thread::sleep(Duration::from_millis(5));
            let outcome = if tries.load(Ordering::SeqCst) <= 6 {
                death(State::OutOfMemory)
            } else {
                emit(record(job, job.seeds[0], State::Ok));
                Outcome::Done
            };
            running.fetch_sub(1, Ordering::SeqCst);
            outcome
        });
        assert_eq!(recorded(&events), [1, 2, 3, 4, 5, 6]);
        assert_eq!(most.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn what_another_process_has_is_waited_for_and_its_records_are_found() {
        let stop = AtomicBool::new(false);
        let asked = AtomicUsize::new(0);
        let claim = |job: &Job| match (job.seeds[0], asked.fetch_add(1, Ordering::SeqCst)) {
            (1, 0..3) => Claim::Elsewhere("process 7".to_owned()),
            (1, _) => {
                let Message::Record(record) = record(job, 1, State::Ok) else { panic!() };
                let rest = Job { seeds: vec![2], ..job.clone() };
                Claim::Ours { found: vec![*record], rest: vec![rest] }
            }
            (_, _) => ours(job),
        };
        let execute = |_: &Slot, job: &Job, emit: &dyn Fn(Message)| {
            job.seeds.iter().for_each(|seed| emit(record(job, *seed, State::Ok)));
            Outcome::Done
        };
        let mut seen = Vec::new();
        let jobs = vec![(job(1, &[1, 2]), 2.0), (job(1, &[3]), 1.0)];
        let one = slots(1);
        let dispatch = Dispatch { claim: &claim, ..dispatch(&one, &stop, &execute) };
        dispatch
            .run(policy(&one, jobs), &mut |event| {
                seen.push(event);
                Ok(())
            })
            .unwrap();
        assert_eq!(recorded(&seen), [2, 3]);
        let told = seen.iter().filter(|event| matches!(event, Event::Elsewhere { .. }));
        assert_eq!(told.count(), 1);
        let found =
            |event: &Event| matches!(event, Event::Found { records, .. } if records[0].seed == 1);
        assert!(seen.iter().any(found));
    }

    #[test]
    fn a_refused_job_ends_everything_with_its_error() {
        let jobs = (1..=50).map(|seed| job(1, &[seed])).collect();
        let started = AtomicUsize::new(0);
        let (_, result) = events(&slots(2), jobs, |_, _, _| {
            started.fetch_add(1, Ordering::SeqCst);
            thread::sleep(Duration::from_millis(5));
            Outcome::Refused(Error::Data("no file".to_owned()))
        });
        assert_eq!(result, Err(Error::Data("no file".to_owned())));
        assert!(started.load(Ordering::SeqCst) < 10);
    }

    #[test]
    fn the_stop_flag_ends_it_without_retries() {
        let stop = AtomicBool::new(false);
        let started = AtomicUsize::new(0);
        let jobs = (1..=5).map(|seed| (job(1, &[seed]), 1.0));
        let execute = |_: &Slot, _: &Job, _: &dyn Fn(Message)| {
            started.fetch_add(1, Ordering::SeqCst);
            stop.store(true, Ordering::SeqCst);
            Outcome::Stopped
        };
        let one = slots(1);
        dispatch(&one, &stop, &execute).run(policy(&one, jobs), &mut |_| Ok(())).unwrap();
        assert_eq!(started.load(Ordering::SeqCst), 1);
    }

    /// Runs a grid on its own thread, so that a test fails where it would wait for ever.
    fn ends<T: std::marker::Send + 'static>(
        grid: impl FnOnce() -> T + std::marker::Send + 'static,
    ) -> T {
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || sender.send(grid()));
        receiver.recv_timeout(Duration::from_secs(30)).expect("it ends")
    }

    #[test]
    fn a_slot_that_panics_stops_the_others_and_the_error_says_why() {
        let (seen, result) = ends(|| {
            let stop = AtomicBool::new(false);
            let (one, two) = (job(1, &[1]), job(1, &[2]));
            // the second slot runs until it is stopped, and a third waits for what it leaves
            let execute = |_: &Slot, job: &Job, emit: &dyn Fn(Message)| {
                if job.seeds == [2] {
                    emit(record(job, 2, State::Ok));
                    while !stop.load(Ordering::SeqCst) {
                        thread::sleep(Duration::from_millis(1));
                    }
                    return Outcome::Stopped;
                }
                thread::sleep(Duration::from_millis(50));
                panic!("no such row")
            };
            let mut seen = Vec::new();
            let slots = slots(3);
            let policy = policy(&slots, [(one, 2.0), (two, 1.0)]);
            let result = dispatch(&slots, &stop, &execute).run(policy, &mut |event| {
                seen.push(event);
                Ok(())
            });
            (seen, result)
        });
        assert_eq!(recorded(&seen), [2]);
        let why = result.unwrap_err().to_string();
        assert!(why.contains("no such row") && why.contains("slot "), "{why}");
    }

    #[test]
    fn a_handler_that_panics_stops_every_slot() {
        let result = ends(|| {
            let stop = AtomicBool::new(false);
            let execute = |_: &Slot, _: &Job, _: &dyn Fn(Message)| {
                while !stop.load(Ordering::SeqCst) {
                    thread::sleep(Duration::from_millis(1));
                }
                Outcome::Stopped
            };
            let slots = slots(2);
            let policy = policy(&slots, [(job(1, &[1]), 1.0), (job(1, &[2]), 1.0)]);
            dispatch(&slots, &stop, &execute).run(policy, &mut |_| panic!("no such line"))
        });
        assert!(result.unwrap_err().to_string().contains("no such line"));
    }
}
