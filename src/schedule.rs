//! Slots, jobs, retries, events: which job runs where and when. What running a job means is an
//! argument, so this module knows no processes, no tensors and no files, and it prints nothing.
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::record::{Job, Message, Record, State};

/// A place on a device where one job at a time runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// `cpu` or `cuda:0` …
    pub device: String,
    /// Number among all slots, from 0.
    pub index: usize,
}

/// After how long it is looked again at jobs that other processes have.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

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

/// A job that waits, with what was tried before.
#[derive(Debug, Clone, PartialEq)]
struct Waiting {
    job: Job,
    tries: Tries,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Tries {
    /// Deaths other than for want of memory.
    deaths: u32,
    /// Whether memory ran out once.
    halved: bool,
    /// Whether it has its device to itself.
    alone: bool,
    /// The slot on which it died.
    died_on: Option<usize>,
    /// Whether it was told that another process has it.
    told: bool,
}

impl Tries {
    /// What is tried next, after a death; none when that was enough.
    fn after(self, state: State, slot: usize, retries: u32) -> Option<Self> {
        match state {
            State::OutOfMemory if self.alone => None,
            State::OutOfMemory if self.halved => Some(Self { alone: true, ..self }),
            State::OutOfMemory => Some(Self { halved: true, ..self }),
            State::Crashed | State::TimedOut if self.deaths == retries => None,
            State::Crashed | State::TimedOut => {
                Some(Self { deaths: self.deaths + 1, died_on: Some(slot), ..self })
            }
            State::Ok | State::Diverged | State::InvalidData => None,
        }
    }

    /// How the seeds that are left are tried: out of memory in halves, then each alone; crashed or
    /// timed out together, and the last of several times each by itself, for one may be what kills
    /// the others.
    fn pieces(mut self, rest: &Job, state: State, retries: u32) -> Vec<Waiting> {
        let seeds = rest.seeds.len();
        let width = match state {
            State::OutOfMemory if self.alone => 1,
            State::OutOfMemory => {
                // there is no half of one
                self.alone = seeds == 1;
                seeds.div_ceil(2)
            }
            State::Crashed | State::TimedOut if self.deaths == retries && retries > 1 => 1,
            State::Crashed | State::TimedOut => seeds,
            State::Ok | State::Diverged | State::InvalidData => seeds,
        };
        let wait = |job| Waiting { job, tries: self };
        chunks(rest, &rest.seeds, width).into_iter().map(wait).collect()
    }
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    /// Those that need a device to themselves, once nothing else waits for it.
    alone: VecDeque<Waiting>,
    /// Those that other processes have.
    elsewhere: Vec<Waiting>,
    /// By device, attempts under way, each of which may put a job back.
    running: BTreeMap<String, usize>,
    /// Devices that one job has to itself.
    occupied: BTreeSet<String>,
    /// Nothing more is to be started.
    closed: bool,
}

impl Queue {
    /// A job for a slot: not one that died there, if `others` may take that.
    fn pick(&mut self, slot: &Slot, others: bool) -> Option<Waiting> {
        if self.occupied.contains(&slot.device) {
            return None;
        }
        let fits = |waiting: &Waiting| !others || waiting.tries.died_on != Some(slot.index);
        if let Some(place) = self.waiting.iter().position(fits) {
            return self.waiting.remove(place);
        }
        if self.running.contains_key(&slot.device) {
            return None;
        }
        let place = self.alone.iter().position(fits)?;
        self.alone.remove(place)
    }

    fn begin(&mut self, slot: &Slot, waiting: &Waiting) {
        *self.running.entry(slot.device.clone()).or_default() += 1;
        if waiting.tries.alone {
            self.occupied.insert(slot.device.clone());
        }
    }

    fn end(&mut self, slot: &Slot) {
        // who has a device to himself is alone there
        self.occupied.remove(&slot.device);
        if let Some(count) = self.running.get_mut(&slot.device) {
            *count -= 1;
            if *count == 0 {
                self.running.remove(&slot.device);
            }
        }
    }

    fn add(&mut self, waiting: Waiting) {
        if waiting.tries.alone {
            self.alone.push_back(waiting);
        } else {
            self.waiting.push_back(waiting);
        }
    }

    fn is_done(&self) -> bool {
        self.waiting.is_empty()
            && self.alone.is_empty()
            && self.elsewhere.is_empty()
            && self.running.is_empty()
    }
}

struct Shared<'a> {
    queue: Mutex<Queue>,
    changed: Condvar,
    stop: &'a AtomicBool,
    slots: usize,
    retries: u32,
}

/// Runs jobs on slots, those with the largest estimate (any unit) first, and passes what happens to
/// `handle` on the calling thread. `claim` is asked before a job starts; what another process has is
/// asked for again until it has a record or is free.
///
/// The seeds that a job dies with, and those whose record is not final, are tried again: out of
/// memory in two halves, then one by one with the device to itself; else up to `retries` times on
/// another slot, if there is one.
///
/// Ends early when `stop` becomes true, which `execute` is to heed too.
///
/// # Errors
/// The error of a refused job or of `handle`, after everything under way was stopped.
pub fn run<C, E>(
    slots: &[Slot],
    mut jobs: Vec<(Job, f64)>,
    retries: u32,
    stop: &AtomicBool,
    claim: C,
    execute: E,
    handle: &mut dyn FnMut(Event) -> Result<()>,
) -> Result<()>
where
    C: Fn(&Job) -> Claim + Sync,
    E: Fn(&Slot, &Job, &dyn Fn(Message)) -> Outcome + Sync,
{
    jobs.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    let wait = |(job, _)| Waiting { job, tries: Tries::default() };
    let waiting = jobs.into_iter().map(wait).collect();
    let shared = Shared {
        queue: Mutex::new(Queue { waiting, ..Queue::default() }),
        changed: Condvar::new(),
        stop,
        slots: slots.len(),
        retries,
    };
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
                shared.close();
            }
        }
    });
    result
}

impl Shared<'_> {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // a queue is whole between any two of its statements
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// The next job, waiting for one that a running attempt may put back or another process free.
    fn next(&self, slot: &Slot) -> Option<Waiting> {
        let mut queue = self.lock();
        loop {
            if queue.closed || self.stop.load(Ordering::SeqCst) || queue.is_done() {
                return None;
            }
            if let Some(waiting) = queue.pick(slot, self.slots > 1) {
                queue.begin(slot, &waiting);
                return Some(waiting);
            }
            if queue.elsewhere.is_empty() {
                queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let waited = self.changed.wait_timeout(queue, LOOK_AGAIN);
            let timed_out;
            (queue, timed_out) = waited.unwrap_or_else(PoisonError::into_inner);
            if timed_out.timed_out() {
                let again = std::mem::take(&mut queue.elsewhere);
                again.into_iter().for_each(|waiting| queue.add(waiting));
            }
        }
    }

    fn put_back(&self, slot: &Slot, again: Vec<Waiting>) {
        let mut queue = self.lock();
        queue.end(slot);
        again.into_iter().for_each(|waiting| queue.add(waiting));
        drop(queue);
        self.changed.notify_all();
    }

    fn leave(&self, slot: &Slot, waiting: Waiting) {
        let mut queue = self.lock();
        queue.end(slot);
        queue.elsewhere.push(waiting);
        drop(queue);
        self.changed.notify_all();
    }
}

fn work<C, E>(slot: &Slot, shared: &Shared, claim: &C, execute: &E, events: &Sender<Result<Event>>)
where
    C: Fn(&Job) -> Claim,
    E: Fn(&Slot, &Job, &dyn Fn(Message)) -> Outcome,
{
    // the receiver outlives every sender, so a failed send cannot be
    let send = |event: Result<Event>| drop(events.send(event));
    while let Some(Waiting { job, tries }) = shared.next(slot) {
        let mut again = Vec::new();
        match claim(&job) {
            Claim::Elsewhere(by) => {
                if !tries.told {
                    send(Ok(Event::Elsewhere { job: job.clone(), by }));
                }
                shared.leave(slot, Waiting { job, tries: Tries { told: true, ..tries } });
                continue;
            }
            Claim::Refused(error) => send(Err(error)),
            Claim::Ours { found, rest } => {
                if !found.is_empty() {
                    send(Ok(Event::Found { job, records: found }));
                }
                again.extend(rest.into_iter().map(|job| Waiting { job, tries }));
                if !again.is_empty() {
                    let first = again.remove(0);
                    again.extend(try_job(slot, first, shared.retries, execute, &send));
                }
            }
        }
        shared.put_back(slot, again);
    }
}

/// Makes one attempt at a job, and says what is to be tried after it.
fn try_job<E>(
    slot: &Slot,
    Waiting { mut job, tries }: Waiting,
    retries: u32,
    execute: &E,
    send: &dyn Fn(Result<Event>),
) -> Vec<Waiting>
where
    E: Fn(&Slot, &Job, &dyn Fn(Message)) -> Outcome,
{
    job.device.clone_from(&slot.device);
    send(Ok(Event::Started { slot: slot.index, job: job.clone() }));
    let next = |state| tries.after(state, slot.index, retries);
    let (outcome, open) = attempt_job(slot, &job, &|state| next(state).is_some(), execute, send);
    let mut again = Vec::new();
    if let Some((seeds, death)) = unfinished(outcome, open, send) {
        let rest = Job { seeds, ..job };
        if let Some(next) = next(death.state) {
            again = next.pieces(&rest, death.state, retries);
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
    use crate::record::{Digests, Provenance};

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
        let jobs = jobs.into_iter().map(|job| (job, 1.0)).collect();
        let result = run(slots, jobs, 1, &stop, ours, execute, &mut |event| {
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
        let jobs = jobs.map(|(seed, weight)| (job(1, &[seed]), weight)).to_vec();
        let stop = AtomicBool::new(false);
        let mut order = Vec::new();
        let execute = |_: &Slot, job: &Job, emit: &dyn Fn(Message)| {
            emit(record(job, job.seeds[0], State::Ok));
            Outcome::Done
        };
        run(&slots(1), jobs, 1, &stop, ours, execute, &mut |event| {
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
    fn memory_is_asked_for_in_halves_then_alone_and_that_is_all() {
        let first = Tries::default().after(State::OutOfMemory, 0, 2).unwrap();
        let halves = first.pieces(&job(1, &[1, 2, 3]), State::OutOfMemory, 2);
        let widths = |pieces: &[Waiting]| -> Vec<usize> {
            pieces.iter().map(|piece| piece.job.seeds.len()).collect()
        };
        assert_eq!(widths(&halves), [2, 1]);
        assert!(halves.iter().all(|half| !half.tries.alone));
        let second = halves[0].tries.after(State::OutOfMemory, 0, 2).unwrap();
        let singly = second.pieces(&halves[0].job, State::OutOfMemory, 2);
        assert_eq!(widths(&singly), [1, 1]);
        assert!(singly.iter().all(|one| one.tries.alone));
        assert_eq!(singly[0].tries.after(State::OutOfMemory, 0, 2), None);
        // one seed has no half
        assert!(first.pieces(&job(1, &[1]), State::OutOfMemory, 2)[0].tries.alone);
    }

    #[test]
    fn a_crash_is_tried_again_as_often_as_asked_and_the_last_time_one_by_one() {
        let job = job(1, &[1, 2, 3]);
        for state in [State::Crashed, State::TimedOut] {
            assert_eq!(Tries::default().after(state, 0, 0), None);
            let first = Tries::default().after(state, 4, 2).unwrap();
            assert_eq!(first.died_on, Some(4));
            assert_eq!(first.pieces(&job, state, 2).len(), 1);
            let second = first.after(state, 4, 2).unwrap();
            assert_eq!(second.pieces(&job, state, 2).len(), 3);
            assert_eq!(second.after(state, 4, 2), None);
        }
        for state in [State::Ok, State::Diverged, State::InvalidData] {
            assert_eq!(Tries::default().after(state, 0, 9), None);
        }
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
        run(&slots(1), jobs, 1, &stop, claim, execute, &mut |event| {
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
        let jobs = (1..=5).map(|seed| (job(1, &[seed]), 1.0)).collect();
        let execute = |_: &Slot, _: &Job, _: &dyn Fn(Message)| {
            started.fetch_add(1, Ordering::SeqCst);
            stop.store(true, Ordering::SeqCst);
            Outcome::Stopped
        };
        run(&slots(1), jobs, 1, &stop, ours, execute, &mut |_| Ok(())).unwrap();
        assert_eq!(started.load(Ordering::SeqCst), 1);
    }
}
