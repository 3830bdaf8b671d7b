//! How long a grid will take before it starts, from what is stored or was timed. While it runs, that is
//! `time_left`'s.

use serde::Serialize;

use super::devices::Devices;
use super::makespan;
use super::plan::Plan;
use crate::machine::memory::Need;

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

    #[test]
    fn durations_are_as_precise_as_an_estimate_deserves() {
        let shown = [44.6, 119.0, 120.0, 3599.0, 11_100.0].map(duration);
        assert_eq!(shown, ["45 s", "119 s", "2 min", "59 min", "3 h 05 min"]);
    }
}
