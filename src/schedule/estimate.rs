//! How long a grid will take: before it starts, from what is stored or was timed; while it runs, from
//! the speed so far. Knows no clock: the time is an argument.
use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::devices::Devices;
use super::plan::Plan;
use super::policy::Planned;
use super::{Event, makespan};
use crate::machine::memory::Need;
use crate::store::record::Job;

/// Says where the expected time of a cell's runs comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// Stored runs of the same cell.
    Cell,
    /// Stored runs of another cell, by the number of epochs.
    OtherCells,
    /// A few steps, timed.
    Calibration,
    /// A run, timed, of a method without steps.
    TimedRun,
}

/// Expected seconds of a slot for one run of a cell.
pub type Estimate = Option<(f64, Source)>;

/// What is to be expected of a grid that has not started.
#[derive(Debug, Clone, PartialEq)]
pub struct Outlook {
    /// How many runs are to run.
    pub runs: usize,
    /// None where the time of some cell is not known.
    pub seconds: Option<f64>,
    /// Where the times come from, each source once.
    pub sources: Vec<Source>,
    /// What the largest job needs, where that is known.
    pub bytes: Option<u64>,
}

impl Outlook {
    /// Adds up plans, given what each cell of each plan takes in time and in memory.
    pub fn new(
        plans: &[Plan],
        expected: &[Vec<Estimate>],
        needs: &[Vec<Option<Need>>],
        devices: &Devices,
    ) -> Self {
        let cells = plans.iter().zip(expected).flat_map(|(plan, estimates)| {
            plan.cells.iter().zip(estimates).filter(|(cell, _)| !cell.seeds_to_run().is_empty())
        });
        let used: Vec<Source> =
            cells.filter_map(|(_, estimate)| estimate.map(|(_, source)| source)).collect();
        let all = [Source::Cell, Source::OtherCells, Source::Calibration, Source::TimedRun];
        let bytes = plans
            .iter()
            .zip(needs)
            .flat_map(|(plan, needs)| plan.bytes_per_job(needs, devices.width));
        Self {
            runs: plans.iter().map(Plan::to_run).sum(),
            seconds: total_seconds(plans, expected, devices),
            sources: all.into_iter().filter(|source| used.contains(source)).collect(),
            bytes: bytes.max().flatten(),
        }
    }
}

/// Reckons the seconds that all jobs of plans take on the slots, as many at once as the widest leaves room
/// for; none where the time of some cell is not known.
fn total_seconds(plans: &[Plan], expected: &[Vec<Estimate>], devices: &Devices) -> Option<f64> {
    let (mut seconds, mut widest) = (Vec::new(), 1);
    for (plan, estimates) in plans.iter().zip(expected) {
        for (cells, job) in plan.jobs(devices.width, &[]) {
            widest = widest.max(job.cell().model.cores());
            let each = cells.iter().map(|&cell| estimates[cell].map(|(seconds, _)| seconds));
            seconds.push(each.sum::<Option<f64>>()? * job.seeds.len() as f64);
        }
    }
    seconds.sort_by(|a, b| b.total_cmp(a));
    let at_once = (devices.slots.len() / widest).max(1);
    Some(makespan(vec![0.0; at_once], seconds))
}

/// How long a reckoning lasts: with 100,000 jobs it takes its time.
const RECKON_INTERVAL: Duration = Duration::from_secs(1);

/// The time that a running grid still takes, from what has happened so far.
pub struct TimeLeft {
    /// By slot.
    running: Vec<Option<Running>>,
    /// Weights of jobs that have not begun, by experiment, cells and first seed.
    waiting: HashMap<(String, u64), f64>,
    /// Whether weights are expected seconds, so that the time left is known before anything is measured.
    in_seconds: bool,
    finished_weight: f64,
    finished_seconds: f64,
    /// When it was last reckoned, and what came out.
    reckoned: Option<(Instant, Option<f64>)>,
}

struct Running {
    job: Job,
    weight: f64,
    started: Instant,
    /// How much of it is done, from 0 to 1.
    share: f64,
}

impl TimeLeft {
    /// Begins with jobs whose weights are expected seconds if `in_seconds`, else only relative.
    pub fn new(slots: usize, jobs: &[Planned], in_seconds: bool) -> Self {
        Self {
            running: (0..slots).map(|_| None).collect(),
            waiting: jobs.iter().map(|planned| (key(&planned.job), planned.weight)).collect(),
            in_seconds,
            finished_weight: 0.0,
            finished_seconds: 0.0,
            reckoned: None,
        }
    }

    /// Takes in what happened at a time.
    pub fn see(&mut self, event: &Event, now: Instant) {
        match event {
            Event::Started { slot, job } => {
                // of a retry in halves only the first is found; the weights of the rest do not matter
                let weight = self.waiting.remove(&key(job)).unwrap_or(0.0);
                let job = job.clone();
                self.running[*slot] = Some(Running { job, weight, started: now, share: 0.0 });
            }
            Event::Progress { slot, epoch, epochs, .. } => {
                if let Some(running) = &mut self.running[*slot] {
                    // a unit beside the epochs stands for loading and scoring
                    running.share = (*epoch as f64 + 0.5) / (*epochs as f64 + 1.0);
                }
            }
            Event::Found { job, .. } => drop(self.waiting.remove(&key(job))),
            Event::Retry { slot, job, .. } => {
                let weight = self.running[*slot].as_ref().map_or(0.0, |running| {
                    let all = running.job.seeds.len().max(1) as f64;
                    running.weight * job.seeds.len() as f64 / all
                });
                self.waiting.insert(key(job), weight);
            }
            Event::Finished { slot } => {
                if let Some(running) = self.running[*slot].take() {
                    self.finished_weight += running.weight;
                    self.finished_seconds += (now - running.started).as_secs_f64();
                }
            }
            Event::Record { .. }
            | Event::Warning { .. }
            | Event::Elsewhere { .. }
            | Event::Lost { .. } => {}
        }
    }

    /// Returns the job that runs on a slot.
    pub fn job_on(&self, slot: usize) -> Option<&Job> {
        self.running[slot].as_ref().map(|running| &running.job)
    }

    /// Returns the seconds left, as of a moment ago; none until an epoch is done, where nothing was known
    /// before.
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

    /// Reckons what runs at the speed measured so far, then what waits, longest first.
    fn reckon(&self, now: Instant) -> Option<f64> {
        // a job that only loads its data says nothing about epochs
        let timed = || self.running.iter().flatten().filter(|running| running.share > 0.0);
        let weight: f64 = timed().map(|running| running.weight * running.share).sum();
        let seconds: f64 = timed().map(|running| (now - running.started).as_secs_f64()).sum();
        let (weight, seconds) = (weight + self.finished_weight, seconds + self.finished_seconds);
        let unit = match (weight > 0.0, self.in_seconds) {
            (true, _) => seconds / weight,
            (false, true) => 1.0,
            (false, false) => return None,
        };
        let left = |slot: &Option<Running>| {
            slot.as_ref().map_or(0.0, |running| unit * running.weight * (1.0 - running.share))
        };
        let mut waiting: Vec<f64> = self.waiting.values().map(|weight| unit * weight).collect();
        waiting.sort_by(|a, b| b.total_cmp(a));
        Some(makespan(self.running.iter().map(left).collect(), waiting))
    }
}

fn key(job: &Job) -> (String, u64) {
    (format!("{} {}", job.experiment, job.label()), job.seeds.first().copied().unwrap_or(0))
}

/// Writes seconds as `45 s`, `12 min` or `3 h 05 min`: as precise as an estimate deserves.
pub fn duration(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    match (seconds / 3600, seconds / 60) {
        (0, 0..2) => format!("{seconds} s"),
        (0, minutes) => format!("{minutes} min"),
        (hours, minutes) => format!("{hours} h {:02} min", minutes % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::tests::job;

    fn planned(seed: u64, weight: f64) -> Planned {
        Planned { job: job(3, &[seed]), weight, need: None }
    }

    #[test]
    fn before_anything_is_measured_the_time_left_is_what_was_expected_or_unknown() {
        let jobs = [planned(1, 30.0), planned(2, 10.0), planned(3, 10.0)];
        let now = Instant::now();
        assert_eq!(TimeLeft::new(2, &jobs, true).seconds(now), Some(30.0));
        assert_eq!(TimeLeft::new(2, &jobs, false).seconds(now), None);
        assert_eq!(TimeLeft::new(1, &jobs, true).seconds(now), Some(50.0));
    }

    #[test]
    fn the_speed_so_far_counts_for_what_runs_and_what_waits() {
        let jobs = [planned(1, 10.0), planned(2, 10.0)];
        let mut left = TimeLeft::new(1, &jobs, true);
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        left.see(&Event::Started { slot: 0, job: jobs[0].job.clone() }, start);
        assert_eq!(left.job_on(0), Some(&jobs[0].job));
        // half of it took twice as long as the whole was to take
        let (epoch, epochs, loss) = (1, 2, None);
        let progress = Event::Progress { slot: 0, epoch, epochs, loss, rows_per_second: 1.0 };
        left.see(&progress, at(20));
        assert_eq!(left.seconds(at(20)), Some(20.0 + 40.0));
        // within a second it counts down from there
        assert_eq!(left.seconds(start + Duration::from_millis(20_500)), Some(59.5));
        left.see(&Event::Finished { slot: 0 }, at(40));
        assert_eq!(left.seconds(at(40)), Some(40.0));
        left.see(&Event::Found { job: jobs[1].job.clone(), records: Vec::new() }, at(41));
        assert_eq!(left.seconds(at(42)), Some(0.0));
    }

    #[test]
    fn durations_are_as_precise_as_an_estimate_deserves() {
        let shown = [44.6, 119.0, 120.0, 3599.0, 11_100.0].map(duration);
        assert_eq!(shown, ["45 s", "119 s", "2 min", "59 min", "3 h 05 min"]);
    }
}
