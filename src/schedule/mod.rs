//! Slots, jobs, retries, events: jobs run where and when `policy` says. What running a job means is
//! an argument, so this module knows no processes, no tensors and no files, and it prints nothing.
pub mod plan;
pub mod policy;
pub mod slurm;
pub mod trainer;
pub mod worker;

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

/// A job in pieces: its seeds in the given order, `width` at a time. The number of slots has no
/// part in it, so that it has none in a result.
pub fn chunks(job: &Job, seeds: &[u64], width: usize) -> Vec<Job> {
    let of = |seeds: &[u64]| Job { seeds: seeds.to_vec(), ..job.clone() };
    seeds.chunks(width.max(1)).map(of).collect()
}

/// Seconds until all is done, when each job in turn takes the slot that is free first.
/// `free` holds the seconds until each slot is free.
pub fn makespan(mut free: Vec<f64>, jobs: impl IntoIterator<Item = f64>) -> f64 {
    for seconds in jobs {
        if let Some(first) = free.iter_mut().min_by(|a, b| a.total_cmp(b)) {
            *first += seconds;
        }
    }
    free.into_iter().fold(0.0, f64::max)
}

struct Shared<'a> {
    policy: Mutex<Policy>,
    changed: Condvar,
    stop: &'a AtomicBool,
    memory: &'a (dyn Fn(&str) -> Option<Memory> + Sync),
}

/// Runs jobs on slots as a [`Policy`] made of both says, and passes what happens to `handle` on the
/// calling thread. `memory` tells what a device has when nothing of ours runs there. `claim` is asked
/// before a job starts; what another process has is asked for again until it has a record or is
/// free.
///
/// Ends early when `stop` becomes true, which `execute` is to heed too.
///
/// # Errors
/// The error of a refused job or of `handle`, after everything under way was stopped.
pub fn run<C, E>(
    slots: &[Slot],
    policy: Policy,
    stop: &AtomicBool,
    memory: &(dyn Fn(&str) -> Option<Memory> + Sync),
    claim: C,
    execute: E,
    handle: &mut dyn FnMut(Event) -> Result<()>,
) -> Result<()>
where
    C: Fn(&Job) -> Claim + Sync,
    E: Fn(&Slot, &Job, &dyn Fn(Message)) -> Outcome + Sync,
{
    let policy = Mutex::new(policy);
    let shared = Shared { policy, changed: Condvar::new(), stop, memory };
    let (sender, receiver) = mpsc::channel();
    let mut result = Ok(());
    thread::scope(|scope| {
        for slot in slots {
            let (sender, shared, claim, execute) = (sender.clone(), &shared, &claim, &execute);
            scope.spawn(move || work(slot, shared, claim, execute, &sender));
        }
        drop(sender);
        for event in receiver {
            let handled = event.and_then(&mut *handle);
            if let (Err(error), true) = (handled, result.is_ok()) {
                result = Err(error);
                stop.store(true, Ordering::SeqCst);
                // between two waits of a slot, not just before one
                drop(shared.lock());
                shared.changed.notify_all();
            }
        }
    });
    result
}

impl Shared<'_> {
    fn lock(&self) -> MutexGuard<'_, Policy> {
        // a policy is whole between any two of its calls
        self.policy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next job, waiting for one that a running attempt may put back or another process free,
    /// and for memory.
    fn next(&self, slot: &Slot, send: &dyn Fn(Result<Event>)) -> Option<Start> {
        let mut short_since = None;
        let mut policy = self.lock();
        loop {
            if self.stop.load(Ordering::SeqCst) {
                return None;
            }
            if policy.is_idle(&slot.device)
                && let Some(memory) = (self.memory)(&slot.device)
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
            // who waits for others has to look; who does not is woken
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

fn work<C, E>(slot: &Slot, shared: &Shared, claim: &C, execute: &E, events: &Sender<Result<Event>>)
where
    C: Fn(&Job) -> Claim,
    E: Fn(&Slot, &Job, &dyn Fn(Message)) -> Outcome,
{
    // the receiver outlives every sender, so a failed send cannot be
    let send = |event: Result<Event>| drop(events.send(event));
    while let Some(Start { waiting, reserved, too_large }) = shared.next(slot, &send) {
        let mut again = Vec::new();
        let of = |job| Waiting {
            planned: Planned { job, ..waiting.planned.clone() },
            tries: waiting.tries,
        };
        match claim(&waiting.planned.job) {
            Claim::Elsewhere(by) => {
                let Waiting { planned, mut tries } = waiting;
                if !tries.told {
                    send(Ok(Event::Elsewhere { job: planned.job.clone(), by }));
                }
                tries.told = true;
                shared.leave(slot, reserved, Waiting { planned, tries });
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
                        send(Ok(Event::Warning {
                            text: tried_nevertheless(&first, slot, reserved),
                        }));
                    }
                    again.extend(rest);
                    again.extend(try_job(slot, first, shared, execute, &send));
                }
            }
        }
        shared.end(slot, reserved, again);
    }
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

/// Makes one attempt at a job, and says what is to be tried after it.
fn try_job<E>(
    slot: &Slot,
    mut waiting: Waiting,
    shared: &Shared,
    execute: &E,
    send: &dyn Fn(Result<Event>),
) -> Vec<Waiting>
where
    E: Fn(&Slot, &Job, &dyn Fn(Message)) -> Outcome,
{
    waiting.planned.job.device.clone_from(&slot.device);
    let job = &waiting.planned.job;
    send(Ok(Event::Started { slot: slot.index, job: job.clone() }));
    let next = |rest: &Job, state| shared.lock().after(&waiting, rest, state, slot);
    let (outcome, open) =
        attempt_job(slot, job, &|state| next(job, state).is_some(), execute, send);
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

/// Seeds of an attempt without a final record of every cell.
struct Open {
    seeds: Vec<u64>,
    /// Records of seeds that lack those of other cells.
    partial: Vec<Record>,
    /// Of a record that came but is not final.
    death: Option<Death>,
}

fn attempt_job<E>(
    slot: &Slot,
    job: &Job,
    is_tried_again: &dyn Fn(State) -> bool,
    execute: &E,
    send: &dyn Fn(Result<Event>),
) -> (Outcome, Open)
where
    E: Fn(&Slot, &Job, &dyn Fn(Message)) -> Outcome,
{
    let open = Mutex::new(Open { seeds: job.seeds.clone(), partial: Vec::new(), death: None });
    let emit = |message: Message| match message {
        Message::Progress { epoch, epochs, loss, rows_per_second } => {
            let slot = slot.index;
            send(Ok(Event::Progress { slot, epoch, epochs, loss, rows_per_second }));
        }
        Message::Warning { text } => send(Ok(Event::Warning { text })),
        Message::Record(record) => {
            let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
            // the first word on a seed counts
            let Some(place) = open.seeds.iter().position(|seed| *seed == record.seed) else {
                return;
            };
            let seed = record.seed;
            open.partial.push(*record);
            if open.partial.iter().filter(|record| record.seed == seed).count() < job.cells.len() {
                return;
            }
            let of_seed: Vec<Record> =
                open.partial.extract_if(.., |record| record.seed == seed).collect();
            if let Some(death) = death_in(&of_seed)
                && is_tried_again(death.state)
            {
                open.death = Some(death);
                return;
            }
            open.seeds.remove(place);
            for record in of_seed {
                send(Ok(Event::Record { slot: slot.index, record: Box::new(record) }));
            }
        }
    };
    let outcome = execute(slot, job, &emit);
    (outcome, open.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Of records that came, the first that is not final.
fn death_in(records: &[Record]) -> Option<Death> {
    let record = records.iter().find(|record| !record.state.is_final())?;
    let why = record.failure.clone().unwrap_or_default();
    Some(Death { state: record.state, why, log_tail: String::new() })
}

/// The seeds that an attempt left open, and why; reports a refusal.
fn unfinished(
    outcome: Outcome,
    open: Open,
    send: &dyn Fn(Result<Event>),
) -> Option<(Vec<u64>, Death)> {
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
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use super::*;
    use crate::experiment::{Experiment, Selection};
    use crate::store::record::{Digests, Provenance};

    fn job(epochs: u64, seeds: &[u64]) -> Job {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/synthetic.toml");
        let set = vec![format!("training.epochs={epochs}")];
        let selection = Selection { set, ..Selection::default() };
        let experiment = Experiment::load(&path.to_string_lossy(), &selection).unwrap();
        Job {
            experiment: experiment.name,
            cells: vec![experiment.cells[0].clone()],
            seeds: seeds.to_vec(),
            scale: experiment.scale,
            device: String::new(),
            data: Vec::new(),
            pictures: None,
        }
    }

    fn record(job: &Job, seed: u64, state: State) -> Message {
        Message::Record(Box::new(Record {
            experiment: job.experiment.clone(),
            cell: job.cell().clone(),
            seed,
            scale: job.scale,
            key: String::new(),
            protocol_version: 1,
            device_kind: "cpu".to_owned(),
            state,
            failure: None,
            counts: None,
            metrics: None,
            threshold: None,
            diagnostics: BTreeMap::new(),
            epochs: 0,
            loss_curve: Vec::new(),
            loss_terms: Vec::new(),
            digests: Digests::default(),
            batch_width: 1,
            provenance: Provenance::default(),
            wall_seconds: 0.0,
        }))
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

    /// Runs jobs of equal weight, retrying once, and gives the events.
    fn events<E>(slots: &[Slot], jobs: Vec<Job>, execute: E) -> (Vec<Event>, Result<()>)
    where
        E: Fn(&Slot, &Job, &dyn Fn(Message)) -> Outcome + Sync,
    {
        let stop = AtomicBool::new(false);
        let mut seen = Vec::new();
        let policy = policy(slots, jobs.into_iter().map(|job| (job, 1.0)));
        let result = run(slots, policy, &stop, &|_| None, ours, execute, &mut |event| {
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
        other.label = "other".to_owned();
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
        run(&slots(1), policy(&slots(1), jobs), &stop, &|_| None, ours, execute, &mut |event| {
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
        run(&slots(1), policy(&slots(1), jobs), &stop, &|_| None, claim, execute, &mut |event| {
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
        run(&slots(1), policy(&slots(1), jobs), &stop, &|_| None, ours, execute, &mut |_| Ok(()))
            .unwrap();
        assert_eq!(started.load(Ordering::SeqCst), 1);
    }
}
