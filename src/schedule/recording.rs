//! When the jobs of a session started, advanced and ended: written for people who ask where the time went,
//! and replayed by the test of the time left. Knows no clock: the time is an argument.

use std::path::Path;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::Event;
use super::cost;
use super::time_left::{Expected, TimeLeft};
use crate::error::{Error, Result};
use crate::experiment::{Cell, Scale};
use crate::files::read_text;
use crate::store::record::Job;
use crate::store::whole;

/// Bytes of a file that is read.
const LARGEST_FILE: u64 = 1 << 28;

/// What happened in a session, and when.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recording {
    pub slots: usize,
    /// Each once; jobs name them by their places.
    pub cells: Vec<Cell>,
    pub jobs: Vec<Recorded>,
    pub moments: Vec<Moment>,
}

/// A job of a recording, without where it was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recorded {
    pub experiment: String,
    pub scale: Scale,
    pub cells: Vec<usize>,
    pub seeds: Vec<u64>,
    /// Seconds that its training and scoring took in runs that were stored before; none where there were
    /// none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<f64>,
}

/// What happened at a time, in seconds from the beginning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Moment {
    pub at: f64,
    pub slot: usize,
    #[serde(flatten)]
    pub what: What,
}

/// What happened on a slot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "what")]
pub enum What {
    /// A job began; its place.
    Started { job: usize },
    /// It told that so many of its epochs are done; 0 when its data are loaded.
    Progress { epoch: u64, epochs: u64 },
    /// It ended.
    Finished,
}

/// Records a session.
pub struct Recorder {
    began: Instant,
    jobs: Vec<Job>,
    recording: Recording,
}

impl Recorder {
    /// Begins to record a session of these jobs on so many slots.
    pub fn new<'a>(
        slots: usize,
        planned: impl IntoIterator<Item = (&'a Job, Expected)>,
        now: Instant,
    ) -> Self {
        let mut recording = Recording { slots, ..Recording::default() };
        let mut jobs = Vec::new();
        for (job, Expected { parts, known }) in planned {
            let known = known.then_some(parts.training + parts.end);
            let recorded = recording.of(job, known);
            recording.jobs.push(recorded);
            jobs.push(job.clone());
        }
        Self { began: now, jobs, recording }
    }

    /// Takes in what happened at a time.
    pub fn see(&mut self, event: &Event, now: Instant) {
        let (slot, what) = match event {
            Event::Started { slot, job } => (*slot, What::Started { job: self.place(job) }),
            Event::Progress { slot, epoch, epochs, .. } => {
                (*slot, What::Progress { epoch: *epoch, epochs: *epochs })
            }
            Event::Finished { slot } => (*slot, What::Finished),
            Event::Record { .. }
            | Event::Warning { .. }
            | Event::Elsewhere { .. }
            | Event::Found { .. }
            | Event::Retry { .. }
            | Event::Lost { .. } => return,
        };
        let at = now.saturating_duration_since(self.began).as_secs_f64();
        // more digits would be those of the clock
        let at = (at * 1000.0).round() / 1000.0;
        self.recording.moments.push(Moment { at, slot, what });
    }

    /// Returns the place of a job; one that was cut or is tried again is a job of its own.
    fn place(&mut self, job: &Job) -> usize {
        let same = |known: &Job| {
            known.experiment == job.experiment
                && known.cells == job.cells
                && known.seeds == job.seeds
        };
        if let Some(place) = self.jobs.iter().position(same) {
            return place;
        }
        let recorded = self.recording.of(job, None);
        self.recording.jobs.push(recorded);
        self.jobs.push(job.clone());
        self.jobs.len() - 1
    }

    /// Writes what was recorded, as JSON.
    ///
    /// # Errors
    /// `Failed` where the file system refuses.
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string(&self.recording)
            .map_err(|error| Error::Failed(format!("cannot write JSON: {error}")))?;
        whole::write(path, &(text + "\n")).map_err(|error| Error::of_file("write", path, &error))
    }
}

impl Recording {
    fn of(&mut self, job: &Job, known: Option<f64>) -> Recorded {
        let cells = job.cells.iter().map(|cell| {
            self.cells.iter().position(|known| known == cell).unwrap_or_else(|| {
                self.cells.push(cell.clone());
                self.cells.len() - 1
            })
        });
        let cells = cells.collect();
        let (experiment, seeds) = (job.experiment.clone(), job.seeds.clone());
        Recorded { experiment, scale: job.scale, cells, seeds, known }
    }

    /// Reads what [`Recorder::write`] wrote.
    ///
    /// # Errors
    /// `Usage` for a file that is none.
    pub fn read(path: &Path) -> Result<Self> {
        let wrong = |why: String| Error::Usage(format!("{}: {why}", path.display()));
        let text = read_text(path, LARGEST_FILE).map_err(|error| wrong(error.to_string()))?;
        let recording: Self =
            serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        let cells = recording.cells.len();
        let is_there =
            |job: &Recorded| !job.cells.is_empty() && job.cells.iter().all(|&cell| cell < cells);
        let jobs = recording.jobs.len();
        let happened = |moment: &Moment| {
            let is_known = !matches!(moment.what, What::Started { job } if job >= jobs);
            is_known && moment.slot < recording.slots && moment.at.is_finite() && moment.at >= 0.0
        };
        if !recording.jobs.iter().all(is_there) || !recording.moments.iter().all(happened) {
            return Err(wrong("it names a cell, job or slot that it does not have".to_owned()));
        }
        Ok(recording)
    }

    /// Tells it all to a [`TimeLeft`]; returns what that says after each moment, with its time.
    pub fn replay(&self) -> Vec<(f64, Option<f64>)> {
        let jobs: Vec<Job> = self.jobs.iter().map(|recorded| self.job(recorded)).collect();
        let expected = jobs.iter().zip(&self.jobs).map(|(job, recorded)| {
            let parts = cost::expected(job);
            let parts = recorded.known.map_or(parts, |seconds| parts.with_rest(seconds));
            (job, Expected { parts, known: recorded.known.is_some() })
        });
        let mut left = TimeLeft::new(self.slots, expected);
        let began = Instant::now();
        let mut said = Vec::new();
        for Moment { at, slot, what } in &self.moments {
            let slot = *slot;
            let event = match what {
                What::Started { job } => Event::Started { slot, job: jobs[*job].clone() },
                What::Progress { epoch, epochs } => {
                    let (loss, rows_per_second) = (None, 0.0);
                    Event::Progress { slot, epoch: *epoch, epochs: *epochs, loss, rows_per_second }
                }
                What::Finished => Event::Finished { slot },
            };
            let now = began + Duration::from_secs_f64(*at);
            left.see(&event, now);
            said.push((*at, left.seconds(now)));
        }
        said
    }

    fn job(&self, recorded: &Recorded) -> Job {
        let cells = recorded.cells.iter().map(|&cell| self.cells[cell].clone()).collect();
        Job::of(&recorded.experiment, recorded.scale, cells, recorded.seeds.clone())
    }
}
