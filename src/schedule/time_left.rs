//! The time that a running grid still takes: what each job is expected to take, corrected by what has run.
//! Knows no clock: the time is an argument.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::cost::Parts;
use super::{Event, makespan};
use crate::store::record::Job;

/// How long a reckoning lasts: with 100,000 jobs it takes its time.
const RECKON_INTERVAL: Duration = Duration::from_secs(1);

/// What a job is expected to take.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Expected {
    pub parts: Parts,
    /// Whether it is known from runs that are stored here; else it is reckoned from what the job is.
    pub known: bool,
}

/// The parts of a job, in the order in which they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Part {
    Start,
    Training,
    End,
}

const PARTS: [Part; 3] = [Part::Start, Part::Training, Part::End];

impl Part {
    fn of(self, parts: &Parts) -> f64 {
        match self {
            Self::Start => parts.start,
            Self::Training => parts.training,
            Self::End => parts.end,
        }
    }
}

/// How long what has run took beside what was expected of it.
#[derive(Debug, Clone, Copy, Default)]
struct Rate {
    seconds: f64,
    expected: f64,
}

impl Rate {
    fn add(&mut self, seconds: f64, expected: f64) {
        // what nothing was expected of says nothing of what is expected
        if expected > 0.0 {
            self.seconds += seconds;
            self.expected += expected;
        }
    }

    fn factor(&self) -> Option<f64> {
        (self.expected > 0.0).then(|| self.seconds / self.expected)
    }
}

/// Whose times are alike: the jobs of an experiment, as far as what is expected of them has one origin.
type Kind = (usize, bool);

/// The time that a running grid still takes, from what has happened so far.
pub struct TimeLeft {
    /// By slot.
    running: Vec<Option<Running>>,
    /// Jobs that have not begun, by experiment, cells and first seed.
    waiting: HashMap<(String, u64), Waiting>,
    /// Places of experiments, by name.
    experiments: HashMap<String, usize>,
    /// Of jobs that ended.
    ended: Rates,
    /// When it was last reckoned, and what came out.
    reckoned: Option<(Instant, Option<f64>)>,
}

/// What was measured.
#[derive(Debug, Clone, Default)]
struct Rates {
    of_kind: HashMap<(Kind, Part), Rate>,
    /// Of all that is known, and of all that is reckoned.
    of_all: HashMap<(bool, Part), Rate>,
}

impl Rates {
    fn add(&mut self, kind: Kind, part: Part, seconds: f64, expected: f64) {
        self.of_kind.entry((kind, part)).or_default().add(seconds, expected);
        self.of_all.entry((kind.1, part)).or_default().add(seconds, expected);
    }

    /// How much longer a part takes than expected: as those of its experiment did, else as all others did.
    /// None where nothing was measured by which a reckoned time could be corrected.
    fn factor(&self, kind: Kind, part: Part) -> Option<f64> {
        let of_kind = self.of_kind.get(&(kind, part)).and_then(Rate::factor);
        let of_all = |part| self.of_all.get(&(kind.1, part)).and_then(Rate::factor);
        // an end is spent as a start is: by one process, on rows and files
        let alike = (part == Part::End).then(|| of_all(Part::Start)).flatten();
        let other = of_kind.or_else(|| of_all(part)).or(alike);
        let other = other.or_else(|| of_all(Part::Training));
        other.or(kind.1.then_some(1.0))
    }

    fn corrected(&self, kind: Kind, parts: &Parts) -> Option<Parts> {
        let part = |part: Part| match part.of(parts) {
            expected if expected > 0.0 => Some(self.factor(kind, part)? * expected),
            _ => Some(0.0),
        };
        Some(Parts {
            start: part(Part::Start)?,
            training: part(Part::Training)?,
            end: part(Part::End)?,
        })
    }
}

struct Waiting {
    kind: Kind,
    parts: Parts,
    seeds: Vec<u64>,
}

struct Running {
    job: Job,
    kind: Kind,
    parts: Parts,
    started: Instant,
    /// When its data were loaded, its last epoch was told, and its epochs were done.
    loaded: Option<Instant>,
    advanced: Option<Instant>,
    trained: Option<Instant>,
    /// How much of the training is done, from 0 to 1.
    share: f64,
    /// Whether the attempt died: its times are those of no run.
    died: bool,
}

impl TimeLeft {
    /// Begins with all jobs of a session on so many slots, and what is expected of each.
    pub fn new<'a>(slots: usize, jobs: impl IntoIterator<Item = (&'a Job, Expected)>) -> Self {
        let mut left = Self {
            running: (0..slots).map(|_| None).collect(),
            waiting: HashMap::new(),
            experiments: HashMap::new(),
            ended: Rates::default(),
            reckoned: None,
        };
        for (job, Expected { parts, known }) in jobs {
            let next = left.experiments.len();
            let place = match left.experiments.get(&job.experiment) {
                Some(place) => *place,
                None => *left.experiments.entry(job.experiment.clone()).or_insert(next),
            };
            let seeds = job.seeds.clone();
            left.waiting.insert(key(job), Waiting { kind: (place, known), parts, seeds });
        }
        left
    }

    /// Takes in what happened at a time.
    pub fn see(&mut self, event: &Event, now: Instant) {
        match event {
            Event::Started { slot, job } => {
                let (kind, parts) = self.take(job);
                self.running[*slot] = Some(Running::new(job.clone(), kind, parts, now));
            }
            Event::Progress { slot, epoch, epochs, .. } => {
                if let Some(running) = &mut self.running[*slot] {
                    running.advance(*epoch, *epochs, now);
                }
            }
            Event::Found { job, .. } => drop(self.waiting.remove(&key(job))),
            Event::Retry { slot, job, .. } => {
                if let Some(running) = &mut self.running[*slot] {
                    running.died = true;
                    let parts = of_seeds(running.parts, running.job.seeds.len(), job.seeds.len());
                    let again = Waiting { kind: running.kind, parts, seeds: job.seeds.clone() };
                    self.waiting.insert(key(job), again);
                }
            }
            Event::Lost { slot, .. } => {
                if let Some(running) = &mut self.running[*slot] {
                    running.died = true;
                }
            }
            Event::Finished { slot } => {
                if let Some(running) = self.running[*slot].take()
                    && !running.died
                {
                    running.measure_all(now, &mut self.ended);
                }
            }
            Event::Record { .. } | Event::Warning { .. } | Event::Elsewhere { .. } => {}
        }
    }

    /// Takes a job from those that wait; seeds that it does not have wait on. One that nobody planned is
    /// like no other.
    fn take(&mut self, job: &Job) -> (Kind, Parts) {
        let Some(Waiting { kind, parts, seeds }) = self.waiting.remove(&key(job)) else {
            return ((usize::MAX, false), Parts::default());
        };
        let rest: Vec<u64> =
            seeds.iter().filter(|seed| !job.seeds.contains(seed)).copied().collect();
        if let Some(&first) = rest.first() {
            let parts = of_seeds(parts, seeds.len(), rest.len());
            self.waiting.insert((key(job).0, first), Waiting { kind, parts, seeds: rest });
        }
        (kind, of_seeds(parts, seeds.len(), job.seeds.len()))
    }

    /// Returns the job that runs on a slot.
    pub fn job_on(&self, slot: usize) -> Option<&Job> {
        self.running[slot].as_ref().map(|running| &running.job)
    }

    /// Returns the seconds left, as of a moment ago; none until something is measured by which they can be
    /// told.
    pub fn seconds(&mut self, now: Instant) -> Option<f64> {
        if let Some((reckoned, left)) = self.reckoned
            && now - reckoned < RECKON_INTERVAL
        {
            return left.map(|seconds| (seconds - (now - reckoned).as_secs_f64()).max(0.0));
        }
        let left = self.reckon(now);
        self.reckoned = Some((now, left));
        left
    }

    /// Reckons what runs, then what waits, longest first.
    fn reckon(&self, now: Instant) -> Option<f64> {
        let mut rates = self.ended.clone();
        for running in self.running.iter().flatten().filter(|running| !running.died) {
            running.measure_so_far(&mut rates);
        }
        let left = |slot: &Option<Running>| match slot {
            None => Some(0.0),
            Some(running) => {
                Some(running.left(&rates.corrected(running.kind, &running.parts)?, now))
            }
        };
        let free = self.running.iter().map(left).collect::<Option<Vec<f64>>>()?;
        let total =
            |one: &Waiting| rates.corrected(one.kind, &one.parts).map(|parts| parts.total());
        let mut waiting = self.waiting.values().map(total).collect::<Option<Vec<f64>>>()?;
        waiting.sort_by(|a, b| b.total_cmp(a));
        Some(makespan(free, waiting))
    }
}

/// Of some seeds of a job; its data are loaded once whatever their number.
fn of_seeds(parts: Parts, all: usize, some: usize) -> Parts {
    let share = some as f64 / all.max(1) as f64;
    Parts { start: parts.start, ..parts.times(share) }
}

impl Running {
    fn new(job: Job, kind: Kind, parts: Parts, started: Instant) -> Self {
        let (loaded, advanced, trained) = (None, None, None);
        Self { job, kind, parts, started, loaded, advanced, trained, share: 0.0, died: false }
    }

    fn advance(&mut self, epoch: u64, epochs: u64, now: Instant) {
        self.loaded.get_or_insert(now);
        if epoch == 0 {
            return;
        }
        self.advanced = Some(now);
        self.share = (epoch as f64 / epochs.max(1) as f64).min(1.0);
        if epoch >= epochs {
            self.trained.get_or_insert(now);
        }
    }

    /// Measures what is done of a job that runs.
    fn measure_so_far(&self, rates: &mut Rates) {
        let Self { kind, ref parts, .. } = *self;
        let seconds = |from: Instant, to: Instant| to.saturating_duration_since(from).as_secs_f64();
        let Some(loaded) = self.loaded else { return };
        rates.add(kind, Part::Start, seconds(self.started, loaded), parts.start);
        if let Some(advanced) = self.advanced {
            rates.add(kind, Part::Training, seconds(loaded, advanced), parts.training * self.share);
        }
    }

    /// Measures a job that has ended.
    fn measure_all(&self, now: Instant, rates: &mut Rates) {
        let Self { kind, ref parts, .. } = *self;
        let seconds = |from: Instant, to: Instant| to.saturating_duration_since(from).as_secs_f64();
        let Some(loaded) = self.loaded else {
            // it told nothing: each part took its share
            let all = seconds(self.started, now);
            for part in PARTS {
                let share = part.of(parts) / parts.total().max(f64::MIN_POSITIVE);
                rates.add(kind, part, all * share, part.of(parts));
            }
            return;
        };
        rates.add(kind, Part::Start, seconds(self.started, loaded), parts.start);
        let rest = parts.training + parts.end;
        match self.trained {
            Some(trained) if parts.training > 0.0 => {
                rates.add(kind, Part::Training, seconds(loaded, trained), parts.training);
                rates.add(kind, Part::End, seconds(trained, now), parts.end);
            }
            _ => {
                for part in [Part::Training, Part::End] {
                    let share = part.of(parts) / rest.max(f64::MIN_POSITIVE);
                    rates.add(kind, part, seconds(loaded, now) * share, part.of(parts));
                }
            }
        }
    }

    /// Returns the seconds left of it, given what its parts take.
    fn left(&self, parts: &Parts, now: Instant) -> f64 {
        let since = |from: Instant| now.saturating_duration_since(from).as_secs_f64();
        match (self.loaded, self.trained) {
            (_, Some(trained)) => (parts.end - since(trained)).max(0.0),
            (Some(loaded), None) => {
                let from = self.advanced.unwrap_or(loaded);
                let training = parts.training * (1.0 - self.share) - since(from);
                training.max(0.0) + parts.end
            }
            (None, None) => {
                (parts.start - since(self.started)).max(0.0) + parts.training + parts.end
            }
        }
    }
}

fn key(job: &Job) -> (String, u64) {
    (format!("{} {}", job.experiment, job.label()), job.seeds.first().copied().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::tests::job;

    type Planned = (Job, Expected);

    fn expected(seed: u64, training: f64, known: bool) -> Planned {
        let parts = Parts { start: 2.0, training, end: 1.0 };
        (job(3, &[seed]), Expected { parts, known })
    }

    fn begin(slots: usize, jobs: &[Planned]) -> TimeLeft {
        TimeLeft::new(slots, jobs.iter().map(|(job, expected)| (job, *expected)))
    }

    fn progress(epoch: u64, epochs: u64) -> Event {
        Event::Progress { slot: 0, epoch, epochs, loss: None, rows_per_second: 1.0 }
    }

    #[test]
    fn before_anything_is_measured_what_is_known_is_told_and_what_is_reckoned_is_not() {
        let jobs = |known| [expected(1, 27.0, known), expected(2, 7.0, known)];
        let now = Instant::now();
        assert_eq!(begin(2, &jobs(true)).seconds(now), Some(30.0));
        assert_eq!(begin(1, &jobs(true)).seconds(now), Some(40.0));
        assert_eq!(begin(2, &jobs(false)).seconds(now), None);
    }

    #[test]
    fn each_part_is_corrected_by_what_it_took() {
        let jobs = [expected(1, 10.0, false), expected(2, 20.0, false)];
        let first = jobs[0].0.clone();
        let mut left = begin(1, &jobs);
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        left.see(&Event::Started { slot: 0, job: first.clone() }, start);
        assert_eq!(left.job_on(0), Some(&first));
        // its data took thrice as long
        left.see(&progress(0, 2), at(6));
        assert_eq!(left.seconds(at(6)), None, "nothing is known of an epoch yet");
        // an epoch takes twice as long, and an end as much longer as a start, as far as one can tell
        left.see(&progress(1, 2), at(16));
        assert_eq!(left.seconds(at(16)), Some(10.0 + 3.0 + (6.0 + 40.0 + 3.0)));
        assert_eq!(left.seconds(start + Duration::from_millis(16_500)), Some(61.5));
        left.see(&progress(2, 2), at(26));
        // scoring takes as long as was expected
        left.see(&Event::Finished { slot: 0 }, at(27));
        assert_eq!(left.seconds(at(27)), Some(6.0 + 40.0 + 1.0));
        left.see(&Event::Found { job: jobs[1].0.clone(), records: Vec::new() }, at(28));
        assert_eq!(left.seconds(at(29)), Some(0.0));
    }

    #[test]
    fn what_dies_is_tried_again_and_teaches_nothing() {
        let jobs = [expected(1, 10.0, true)];
        let job = jobs[0].0.clone();
        let mut left = begin(1, &jobs);
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        left.see(&Event::Started { slot: 0, job: job.clone() }, start);
        let state = crate::store::record::State::Crashed;
        let death = super::super::Death { state, why: String::new(), log_tail: String::new() };
        left.see(&Event::Retry { slot: 0, job, death }, at(500));
        left.see(&Event::Finished { slot: 0 }, at(500));
        assert_eq!(left.seconds(at(500)), Some(13.0));
    }
}
