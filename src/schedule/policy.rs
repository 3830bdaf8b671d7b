//! What starts where: jobs that wait, devices with their slots and memory, and what was tried before,
//! in one state. Given the same calls it decides the same; it knows no clock, no thread and no
//! process. `schedule` tells it what happens and does what it says.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use crate::machine::memory::{Memory, Need};
use crate::store::record::{Job, State};

use super::{Slot, chunks};

/// A job with what is expected of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    pub job: Job,
    /// Expected seconds, or any other unit that all jobs share.
    pub weight: f64,
    /// Of memory; unknown needs are taken to fit.
    pub need: Option<Need>,
}

/// A job that waits, with what was tried before.
#[derive(Debug, Clone, PartialEq)]
pub struct Waiting {
    pub planned: Planned,
    pub tries: Tries,
}

/// What was tried of a job.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Tries {
    /// Deaths other than for want of memory.
    deaths: u32,
    /// Whether memory ran out once.
    halved: bool,
    /// Whether it has its device to itself.
    alone: bool,
    /// The slot on which it died.
    died_on: Option<usize>,
    /// Whether it was told that another process has it.
    pub told: bool,
}

/// What a slot is to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// Start this job; the state has given it its memory.
    Start(Box<Start>),
    /// Wait until something ends or comes back.
    Wait,
    /// Nothing will come any more.
    Done,
}

/// A job that starts.
#[derive(Debug, Clone, PartialEq)]
pub struct Start {
    pub waiting: Waiting,
    /// Bytes that it is given.
    pub reserved: u64,
    /// Whether it needs more than there is: it is tried nevertheless, for a need is an estimate.
    pub too_large: bool,
}

/// A job that waits for memory that others use.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Short<'a> {
    pub job: &'a Job,
    /// Bytes that one seed of it needs.
    pub need: u64,
    pub memory: Memory,
}

/// The jobs and devices of one call of `schedule::run`.
#[derive(Debug, Default)]
pub struct Policy {
    /// By need, cores and the slot that may not have them: what is true of one of them is true of all.
    waiting: BTreeMap<Lane, BinaryHeap<Entry>>,
    /// Those that need a device to themselves, once nothing else waits for it.
    alone: VecDeque<Waiting>,
    /// Those that other processes have.
    elsewhere: Vec<Waiting>,
    devices: BTreeMap<String, Place>,
    slots: usize,
    retries: u32,
    /// Numbers entries, so that equal ones keep their order.
    entries: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Lane {
    need: Option<Need>,
    cores: usize,
    /// A slot that may not have them.
    barred: Option<usize>,
}

/// A device.
#[derive(Debug, Default)]
struct Place {
    slots: u64,
    /// As it was when last nothing of ours ran there; all jobs fit where it is not known.
    memory: Option<Memory>,
    /// Bytes given to what runs.
    reserved: u64,
    /// Cores given to what runs, by its slot; there are as many as slots.
    cores: BTreeMap<usize, usize>,
    running: usize,
    /// One job has it to itself.
    occupied: bool,
    /// Others' use of its memory has been waited out in vain.
    tired: bool,
}

#[derive(Debug)]
struct Entry {
    waiting: Waiting,
    number: u64,
}

impl Ord for Entry {
    /// The heaviest first; of equal ones the first that came.
    fn cmp(&self, other: &Self) -> Ordering {
        let weight = |entry: &Self| entry.waiting.planned.weight;
        weight(self).total_cmp(&weight(other)).then(other.number.cmp(&self.number))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}

impl Policy {
    /// Begins with jobs none of which was tried.
    pub fn new(slots: &[Slot], jobs: Vec<Planned>, retries: u32) -> Self {
        let mut policy = Self { slots: slots.len(), retries, ..Self::default() };
        for slot in slots {
            policy.devices.entry(slot.device.clone()).or_default().slots += 1;
        }
        for planned in jobs {
            policy.add(Waiting { planned, tries: Tries::default() });
        }
        policy
    }

    /// Says whether nothing of ours runs on a device: its memory is worth another look.
    pub fn is_idle(&self, device: &str) -> bool {
        self.devices.get(device).is_some_and(|place| place.running == 0)
    }

    /// Takes note of an idle device's memory.
    pub fn set_memory(&mut self, device: &str, memory: Memory) {
        if let Some(place) = self.devices.get_mut(device).filter(|place| place.running == 0) {
            place.memory = Some(memory);
        }
    }

    /// Returns the next job for a free slot: of those that fit the heaviest. A job that needs more than the
    /// slot's share of its device, or than is left there, is cut to the seeds that fit; one whose
    /// single seed needs more than is left waits. A job that died here is left to others, if there
    /// are any.
    pub fn next(&mut self, slot: &Slot) -> Next {
        if self.is_done() {
            return Next::Done;
        }
        let place = &self.devices[&slot.device];
        if place.occupied {
            return Next::Wait;
        }
        let others = self.slots > 1;
        let open = |(lane, heap): (&Lane, &BinaryHeap<Entry>)| {
            let planned = &heap.peek()?.waiting.planned;
            let barred = others && lane.barred == Some(slot.index);
            (!barred && place.fits(planned).is_some()).then_some((*lane, planned.weight))
        };
        let best = self.waiting.iter().filter_map(open).max_by(|a, b| a.1.total_cmp(&b.1));
        if let Some((lane, _)) = best {
            return self.start(slot, lane);
        }
        let free = place.running == 0;
        let open = |waiting: &Waiting| !others || waiting.tries.died_on != Some(slot.index);
        let first = free.then(|| self.alone.iter().position(open)).flatten();
        let Some(waiting) = first.and_then(|first| self.alone.remove(first)) else {
            return Next::Wait;
        };
        let place = self.place(slot);
        place.running = 1;
        place.occupied = true;
        place.cores.insert(slot.index, cores_of(&waiting.planned));
        Next::Start(Box::new(Start { waiting, reserved: 0, too_large: false }))
    }

    /// Starts the first of a lane.
    fn start(&mut self, slot: &Slot, lane: Lane) -> Next {
        let heap = self.waiting.get_mut(&lane);
        let Some(Entry { mut waiting, .. }) = heap.and_then(BinaryHeap::pop) else {
            return Next::Wait;
        };
        if self.waiting.get(&lane).is_some_and(BinaryHeap::is_empty) {
            self.waiting.remove(&lane);
        }
        let place = &self.devices[&slot.device];
        let (width, reserved) = place.fits(&waiting.planned).unwrap_or((usize::MAX, 0));
        let too_large = place.memory.is_some_and(|memory| reserved > memory.free);
        if width < waiting.planned.job.seeds.len() {
            let rest = waiting.planned.job.seeds.split_off(width);
            let share = width as f64 / (width + rest.len()) as f64;
            let mut left = waiting.clone();
            left.planned.job.seeds = rest;
            left.planned.weight *= 1.0 - share;
            waiting.planned.weight *= share;
            self.add(left);
        }
        let place = self.place(slot);
        place.running += 1;
        place.reserved += reserved;
        place.cores.insert(slot.index, cores_of(&waiting.planned));
        place.occupied = too_large;
        place.tired = false;
        Next::Start(Box::new(Start { waiting, reserved, too_large }))
    }

    fn place(&mut self, slot: &Slot) -> &mut Place {
        self.devices.entry(slot.device.clone()).or_default()
    }

    /// Ends what was started on a slot.
    pub fn end(&mut self, slot: &Slot, reserved: u64) {
        let place = self.place(slot);
        // who has a device to himself is alone there
        place.occupied = false;
        place.running -= 1;
        place.reserved -= reserved;
        place.cores.remove(&slot.index);
    }

    /// Puts jobs back.
    pub fn add(&mut self, waiting: Waiting) {
        if waiting.tries.alone {
            self.alone.push_back(waiting);
            return;
        }
        self.entries += 1;
        let lane = Lane {
            need: waiting.planned.need,
            cores: cores_of(&waiting.planned),
            barred: waiting.tries.died_on,
        };
        let entry = Entry { waiting, number: self.entries };
        self.waiting.entry(lane).or_default().push(entry);
    }

    /// Takes note of a job that another process has.
    pub fn leave(&mut self, waiting: Waiting) {
        self.elsewhere.push(waiting);
    }

    /// Says whether other processes have jobs.
    pub fn waits_for_others(&self) -> bool {
        !self.elsewhere.is_empty()
    }

    /// Has what other processes had asked for again.
    pub fn look_again(&mut self) {
        for waiting in std::mem::take(&mut self.elsewhere) {
            self.add(waiting);
        }
    }

    /// Returns the heaviest job, where a device on which nothing of ours runs has too little memory left for one
    /// seed of it.
    pub fn short_of_memory(&self, device: &str) -> Option<Short<'_>> {
        let place = self.devices.get(device).filter(|place| place.running == 0)?;
        let first = self.waiting.values().filter_map(BinaryHeap::peek).max()?;
        let planned = &first.waiting.planned;
        let short = Short { job: &planned.job, need: planned.need?.of(1), memory: place.memory? };
        place.fits(planned).is_none().then_some(short)
    }

    /// Ends the patience of what waits for the memory of an idle device.
    pub fn tire(&mut self, device: &str) {
        if let Some(place) = self.devices.get_mut(device) {
            place.tired = true;
        }
    }

    /// Returns what is tried after a death with `rest` unfinished; none when that was enough.
    pub fn after(
        &self,
        tried: &Waiting,
        rest: &Job,
        state: State,
        slot: &Slot,
    ) -> Option<Vec<Waiting>> {
        let next = tried.tries.after(state, slot.index, self.retries)?;
        let Planned { job, weight, need } = &tried.planned;
        let weight = weight * rest.seeds.len() as f64 / job.seeds.len().max(1) as f64;
        let planned = Planned { job: rest.clone(), weight, need: *need };
        Some(next.pieces(&planned, state, self.retries))
    }

    fn is_done(&self) -> bool {
        self.waiting.is_empty()
            && self.alone.is_empty()
            && self.elsewhere.is_empty()
            && self.devices.values().all(|place| place.running == 0)
    }
}

/// Cores that a job takes.
fn cores_of(planned: &Planned) -> usize {
    planned.job.cells.first().map_or(1, |cell| cell.model.cores().max(1))
}

impl Place {
    /// How many seeds of a job a slot takes now and the bytes that they need; none where they, or the cores
    /// that it takes, do not fit beside what runs.
    fn fits(&self, planned: &Planned) -> Option<(usize, u64)> {
        let seeds = planned.job.seeds.len();
        let (slots, taken) = (self.slots as usize, self.cores.values().sum::<usize>());
        // one that takes more than there are has the device to itself
        if cores_of(planned).min(slots) > slots.saturating_sub(taken) {
            return None;
        }
        let (Some(memory), Some(need)) = (self.memory, planned.need) else {
            return Some((seeds, 0));
        };
        let left = memory.free.saturating_sub(self.reserved);
        let width = need.width_within(left.min(memory.free / self.slots.max(1))).min(seeds);
        let bytes = need.of(width);
        // waiting is of no use: the estimate is put to the test
        let hopeless = self.running == 0 && (self.tired || bytes > memory.total);
        (hopeless || bytes <= left).then_some((width, bytes))
    }
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
    fn pieces(mut self, rest: &Planned, state: State, retries: u32) -> Vec<Waiting> {
        let seeds = &rest.job.seeds;
        let width = match state {
            State::OutOfMemory if self.alone => 1,
            State::OutOfMemory => {
                // there is no half of one
                self.alone = seeds.len() == 1;
                seeds.len().div_ceil(2)
            }
            State::Crashed | State::TimedOut if self.deaths == retries && retries > 1 => 1,
            State::Crashed | State::TimedOut => seeds.len(),
            State::Ok | State::Diverged | State::InvalidData => seeds.len(),
        };
        let piece = |job: Job| {
            let weight = rest.weight * job.seeds.len() as f64 / seeds.len().max(1) as f64;
            Waiting { planned: Planned { job, weight, need: rest.need }, tries: self }
        };
        chunks(&rest.job, seeds, width).into_iter().map(piece).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;
    use crate::experiment::{Experiment, Selection};
    use crate::random::{Numbers, Stream};

    fn job(seeds: &[u64]) -> Job {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/synthetic.toml");
        let experiment = Experiment::load(&path.to_string_lossy(), &Selection::default()).unwrap();
        Job::of(&experiment.name, experiment.scale, Vec::new(), seeds.to_vec())
    }

    fn planned(seeds: &[u64], weight: f64, need: Option<[u64; 2]>) -> Planned {
        let need = need.map(|[fixed, per_seed]| Need { fixed, per_seed });
        Planned { job: job(seeds), weight, need }
    }

    /// `each` slots on every one of `devices` devices.
    fn slots(devices: usize, each: usize) -> Vec<Slot> {
        let device = |index: usize| format!("cuda:{}", index / each);
        (0..devices * each).map(|index| Slot { device: device(index), index }).collect()
    }

    #[track_caller]
    fn started(policy: &mut Policy, slot: &Slot) -> Start {
        match policy.next(slot) {
            Next::Start(start) => *start,
            other => panic!("{other:?}"),
        }
    }

    fn seeds(start: &Start) -> &[u64] {
        &start.waiting.planned.job.seeds
    }

    fn memory(total: u64, free: u64) -> Memory {
        Memory { total, free }
    }

    #[test]
    fn memory_is_asked_for_in_halves_then_alone_and_that_is_all() {
        let first = Tries::default().after(State::OutOfMemory, 0, 2).unwrap();
        let halves = first.pieces(&planned(&[1, 2, 3], 3.0, None), State::OutOfMemory, 2);
        let widths = |pieces: &[Waiting]| -> Vec<usize> {
            pieces.iter().map(|piece| piece.planned.job.seeds.len()).collect()
        };
        assert_eq!(widths(&halves), [2, 1]);
        assert_eq!(halves[0].planned.weight, 2.0);
        assert!(halves.iter().all(|half| !half.tries.alone));
        let second = halves[0].tries.after(State::OutOfMemory, 0, 2).unwrap();
        let singly = second.pieces(&halves[0].planned, State::OutOfMemory, 2);
        assert_eq!(widths(&singly), [1, 1]);
        assert!(singly.iter().all(|one| one.tries.alone));
        assert_eq!(singly[0].tries.after(State::OutOfMemory, 0, 2), None);
        // one seed has no half
        assert!(first.pieces(&planned(&[1], 1.0, None), State::OutOfMemory, 2)[0].tries.alone);
    }

    #[test]
    fn a_crash_is_tried_again_as_often_as_asked_and_the_last_time_one_by_one() {
        let job = planned(&[1, 2, 3], 1.0, None);
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
    fn a_job_is_cut_to_the_seeds_that_a_slots_share_of_its_device_holds() {
        let slots = slots(1, 2);
        let jobs = vec![planned(&[1, 2, 3, 4, 5], 5.0, Some([10, 20]))];
        let mut policy = Policy::new(&slots, jobs, 2);
        policy.set_memory("cuda:0", memory(300, 110));
        // 55 for either slot: 10 and two seeds
        let first = started(&mut policy, &slots[0]);
        assert_eq!((seeds(&first), first.reserved), (&[1, 2][..], 50));
        assert_eq!(first.waiting.planned.weight, 2.0);
        let second = started(&mut policy, &slots[1]);
        assert_eq!((seeds(&second), second.reserved), (&[3, 4][..], 50));
        policy.end(&slots[0], first.reserved);
        let third = started(&mut policy, &slots[0]);
        assert_eq!((seeds(&third), third.reserved), (&[5][..], 30));
        assert!(!third.too_large);
    }

    #[test]
    fn one_seed_that_needs_more_than_a_share_waits_for_what_others_hold_and_lets_smaller_ones_by() {
        let slots = slots(1, 2);
        let jobs = vec![
            planned(&[1], 5.0, Some([0, 60])),
            planned(&[2], 4.0, Some([0, 70])),
            planned(&[3], 3.0, Some([0, 30])),
        ];
        let mut policy = Policy::new(&slots, jobs, 2);
        policy.set_memory("cuda:0", memory(100, 100));
        let first = started(&mut policy, &slots[0]);
        assert_eq!(seeds(&first), [1]);
        let by = started(&mut policy, &slots[1]);
        assert_eq!(seeds(&by), [3]);
        policy.end(&slots[1], by.reserved);
        assert_eq!(policy.next(&slots[1]), Next::Wait);
        policy.end(&slots[0], first.reserved);
        let last = started(&mut policy, &slots[1]);
        assert_eq!((seeds(&last), last.reserved), (&[2][..], 70));
        assert_eq!(policy.next(&slots[0]), Next::Wait);
        policy.end(&slots[1], last.reserved);
        assert_eq!(policy.next(&slots[0]), Next::Done);
    }

    #[test]
    fn what_is_larger_than_the_device_is_tried_alone() {
        let slots = slots(1, 2);
        let jobs = vec![planned(&[1], 5.0, Some([0, 200])), planned(&[2], 1.0, Some([0, 10]))];
        let mut policy = Policy::new(&slots, jobs, 2);
        policy.set_memory("cuda:0", memory(100, 90));
        let first = started(&mut policy, &slots[0]);
        assert!(first.too_large && seeds(&first) == [1]);
        assert_eq!(policy.next(&slots[1]), Next::Wait);
        policy.end(&slots[0], first.reserved);
        assert_eq!(seeds(&started(&mut policy, &slots[1])), [2]);
    }

    #[test]
    fn what_others_have_of_an_idle_devices_memory_is_waited_for_until_patience_ends() {
        let slots = slots(1, 1);
        let jobs = vec![planned(&[1], 5.0, Some([0, 80])), planned(&[2], 1.0, Some([0, 81]))];
        let mut policy = Policy::new(&slots, jobs, 2);
        policy.set_memory("cuda:0", memory(100, 40));
        assert_eq!(policy.next(&slots[0]), Next::Wait);
        let short = policy.short_of_memory("cuda:0").unwrap();
        assert_eq!((short.need, short.memory.free), (80, 40));
        // somebody else's job ends
        policy.set_memory("cuda:0", memory(100, 80));
        let first = started(&mut policy, &slots[0]);
        assert!(!first.too_large && seeds(&first) == [1]);
        // a device's memory is looked at only when nothing of ours is in it
        policy.set_memory("cuda:0", memory(100, 20));
        policy.end(&slots[0], first.reserved);
        assert_eq!(policy.next(&slots[0]), Next::Wait);
        policy.tire("cuda:0");
        let second = started(&mut policy, &slots[0]);
        assert!(second.too_large && seeds(&second) == [2]);
    }

    #[test]
    fn each_device_that_is_short_of_memory_is_told_and_not_only_the_first() {
        let slots = slots(2, 1);
        let mut policy = Policy::new(&slots, vec![planned(&[1], 5.0, Some([0, 80]))], 2);
        for device in ["cuda:0", "cuda:1"] {
            policy.set_memory(device, memory(100, 40));
            assert_eq!(policy.short_of_memory(device).unwrap().need, 80);
        }
        policy.set_memory("cuda:1", memory(100, 90));
        assert_eq!(policy.short_of_memory("cuda:1"), None);
        assert_eq!(policy.next(&slots[0]), Next::Wait);
        assert_eq!(seeds(&started(&mut policy, &slots[1])), [1]);
    }

    #[test]
    fn a_job_alone_waits_until_its_device_is_empty_and_bars_it() {
        let slots = slots(2, 2);
        let tries = Tries { alone: true, ..Tries::default() };
        let mut policy = Policy::new(&slots, vec![planned(&[1], 1.0, None)], 2);
        policy.add(Waiting { planned: planned(&[2], 9.0, None), tries });
        let first = started(&mut policy, &slots[0]);
        assert_eq!(seeds(&first), [1]);
        assert_eq!(policy.next(&slots[1]), Next::Wait);
        let alone = started(&mut policy, &slots[2]);
        assert_eq!(seeds(&alone), [2]);
        assert_eq!(policy.next(&slots[3]), Next::Wait);
        policy.end(&slots[2], alone.reserved);
        policy.end(&slots[0], first.reserved);
        assert_eq!(policy.next(&slots[3]), Next::Done);
    }

    /// A job whose program takes so many cores.
    fn threaded(seeds: &[u64], weight: f64, threads: usize) -> Planned {
        let program = serde_json::json!({"name": "command", "program": ["x"], "threads": threads});
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/synthetic.toml");
        let experiment = Experiment::load(&path.to_string_lossy(), &Selection::default()).unwrap();
        let mut cell = experiment.cells[0].clone();
        cell.model = serde_json::from_value(program).unwrap();
        let mut planned = planned(seeds, weight, None);
        planned.job.cells = vec![cell];
        planned
    }

    #[test]
    fn a_job_takes_its_cores_and_narrower_ones_go_by() {
        let slots = slots(1, 4);
        let jobs = vec![
            threaded(&[1], 9.0, 3),
            threaded(&[2], 8.0, 3),
            threaded(&[3], 2.0, 1),
            threaded(&[4], 1.0, 1),
            threaded(&[5], 0.5, 9),
        ];
        let mut policy = Policy::new(&slots, jobs, 2);
        let wide = started(&mut policy, &slots[0]);
        assert_eq!(seeds(&wide), [1]);
        let by = started(&mut policy, &slots[1]);
        assert_eq!(seeds(&by), [3]);
        assert_eq!(policy.next(&slots[2]), Next::Wait);
        policy.end(&slots[1], by.reserved);
        let by = started(&mut policy, &slots[1]);
        assert_eq!(seeds(&by), [4]);
        policy.end(&slots[0], wide.reserved);
        let wide = started(&mut policy, &slots[2]);
        assert_eq!(seeds(&wide), [2]);
        policy.end(&slots[1], by.reserved);
        // nine of four cores are all of them
        assert_eq!(policy.next(&slots[0]), Next::Wait);
        policy.end(&slots[2], wide.reserved);
        let widest = started(&mut policy, &slots[3]);
        assert_eq!(seeds(&widest), [5]);
        assert_eq!(policy.next(&slots[0]), Next::Wait);
        policy.end(&slots[3], widest.reserved);
        assert_eq!(policy.next(&slots[0]), Next::Done);
    }

    /// What a made-up state is drawn from.
    struct Dice(Numbers);

    impl Dice {
        fn below(&mut self, bound: u64) -> u64 {
            (self.0.uniform() * bound as f64) as u64
        }

        fn jobs(&mut self, runs: u64) -> Vec<Planned> {
            let mut jobs = Vec::new();
            let mut seed = 0;
            while seed < runs {
                let width = (1 + self.below(20)).min(runs - seed);
                let seeds: Vec<u64> = (seed..seed + width).collect();
                seed += width;
                let need = (self.below(5) > 0).then(|| [self.below(40), self.below(12)]);
                jobs.push(planned(&seeds, self.below(1000) as f64, need));
            }
            jobs
        }
    }

    /// Simulates `runs` runs on made-up devices, with deaths; checks every decision, the order
    /// against all that waits if `thorough`. Gives how many runs ended and how many were given up.
    fn simulate(state: u64, devices: usize, runs: usize, thorough: bool) -> (usize, usize) {
        let mut dice = Dice(Numbers::new(state, Stream::Split, 0));
        let slots = slots(devices, 1 + dice.below(4) as usize);
        let mut policy = Policy::new(&slots, dice.jobs(runs as u64), 2);
        for slot in &slots {
            policy.set_memory(&slot.device, memory(200, 60 + dice.below(140)));
        }
        let mut ended: BTreeSet<u64> = BTreeSet::new();
        let mut lost = 0;
        // by the time of its end, what runs on a slot
        let mut running: BTreeMap<(u64, usize), Start> = BTreeMap::new();
        let mut free: BTreeSet<usize> = (0..slots.len()).collect();
        let mut now = 0;
        loop {
            for index in free.clone() {
                let before = if thorough { heaviest(&policy, &slots[index]) } else { None };
                let Next::Start(start) = policy.next(&slots[index]) else {
                    assert_eq!(before, None, "a slot waits for nothing");
                    continue;
                };
                check(&policy, &slots[index], &start, before);
                let time = now + 1 + start.waiting.planned.weight as u64;
                running.insert((time, index), *start);
                free.remove(&index);
            }
            let Some(((time, index), start)) = running.pop_first() else { break };
            now = time;
            free.insert(index);
            let slot = &slots[index];
            policy.end(slot, start.reserved);
            let job = &start.waiting.planned.job;
            let state = match dice.below(20) {
                0 => State::OutOfMemory,
                1 => State::Crashed,
                2 => State::TimedOut,
                _ => State::Ok,
            };
            let done = if state == State::Ok { job.seeds.len() as u64 } else { dice.below(2) };
            let (done, rest) = job.seeds.split_at((done as usize).min(job.seeds.len()));
            assert!(done.iter().all(|seed| ended.insert(*seed)), "a run came twice");
            if rest.is_empty() {
                continue;
            }
            let rest = Job { seeds: rest.to_vec(), ..job.clone() };
            match policy.after(&start.waiting, &rest, state, slot) {
                Some(again) => again.into_iter().for_each(|waiting| policy.add(waiting)),
                None => {
                    lost += rest.seeds.len();
                    assert!(rest.seeds.iter().all(|seed| ended.insert(*seed)));
                }
            }
        }
        assert_eq!(policy.next(&slots[0]), Next::Done);
        (ended.len(), lost)
    }

    /// The weight of the heaviest job that a slot could start, by looking at all.
    fn heaviest(policy: &Policy, slot: &Slot) -> Option<f64> {
        let place = &policy.devices[&slot.device];
        let barred =
            |waiting: &Waiting| policy.slots > 1 && waiting.tries.died_on == Some(slot.index);
        let all = policy.waiting.values().flatten().map(|entry| &entry.waiting);
        let could = all.filter(|waiting| {
            !place.occupied && !barred(waiting) && place.fits(&waiting.planned).is_some()
        });
        could.map(|waiting| waiting.planned.weight).max_by(f64::total_cmp)
    }

    /// What must hold after a start: memory is not given twice, a lone job is alone, the heaviest
    /// started, and no job starts where it died.
    fn check(policy: &Policy, slot: &Slot, start: &Start, heaviest: Option<f64>) {
        let place = &policy.devices[&slot.device];
        let memory = place.memory.unwrap();
        assert!(place.reserved <= memory.free || (place.running == 1 && start.too_large));
        let tries = start.waiting.tries;
        assert!(!(tries.alone || start.too_large) || place.running == 1);
        assert!(policy.slots == 1 || tries.died_on != Some(slot.index));
        if let (Some(heaviest), false) = (heaviest, tries.alone) {
            // of a job that was cut, this is its share
            assert!(start.waiting.planned.weight <= heaviest);
        }
    }

    #[test]
    fn made_states_end_with_every_run_once_and_no_memory_given_twice() {
        for state in 0..60 {
            let devices = 1 + state as usize % 9;
            let (ended, lost) = simulate(state, devices, 150, true);
            assert_eq!(ended, 150);
            assert!(lost < 75, "{lost} given up");
        }
    }

    #[test]
    fn sixty_four_devices_and_a_hundred_thousand_runs_end_too() {
        let (ended, lost) = simulate(7, 64, 100_000, false);
        assert_eq!(ended, 100_000);
        assert!(lost < 5_000, "{lost} given up");
    }
}
