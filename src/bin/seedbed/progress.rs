//! What people see while jobs run, on stderr: bars on a terminal, plain lines elsewhere. Decides
//! nothing; a broken terminal changes no result.
use std::cell::Cell;
use std::collections::HashMap;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use seedbed::metrics::Metric;
use seedbed::schedule::policy::Planned;
use seedbed::schedule::{self, Event};
use seedbed::store::record::{Job, Record, State};

use crate::say;
use seedbed::schedule::plan::duration;

/// A worker's plain lines are at least this far apart.
const PLAIN_INTERVAL: Duration = Duration::from_secs(10);

/// The time left is reckoned anew after that long.
const ETA_INTERVAL: Duration = Duration::from_secs(1);

/// The display of one call of `schedule::run`.
pub struct Progress {
    /// None where stderr is no terminal.
    bars: Option<Bars>,
    /// By slot.
    running: Vec<Option<Running>>,
    work: Work,
    done: usize,
    failed: usize,
    total: usize,
    /// Seconds left, and when they were reckoned: with 100,000 jobs that takes its time.
    left: Cell<Option<(Instant, Option<f64>)>>,
}

struct Bars {
    all: MultiProgress,
    overall: ProgressBar,
    workers: Vec<ProgressBar>,
}

struct Running {
    job: Job,
    weight: f64,
    started: Instant,
    share: f64,
    told: Instant,
}

/// What is left, in units of weight, and how many seconds of a slot a unit takes.
struct Work {
    /// Weights of jobs that have not begun, by cell and first seed.
    waiting: HashMap<(String, u64), f64>,
    /// Whether weights are expected seconds, so that there is an ETA before anything is measured.
    in_seconds: bool,
    finished_weight: f64,
    finished_seconds: f64,
}

impl Progress {
    /// For jobs whose weights are expected seconds if `in_seconds`, else only relative.
    pub fn new(slots: usize, jobs: &[Planned], in_seconds: bool) -> Self {
        let total = jobs.iter().map(|planned| planned.job.runs()).sum();
        let bars = std::io::stderr().is_terminal().then(|| Bars::new(slots, total));
        let waiting = jobs.iter().map(|planned| (key(&planned.job), planned.weight)).collect();
        Self {
            bars,
            running: (0..slots).map(|_| None).collect(),
            work: Work { waiting, in_seconds, finished_weight: 0.0, finished_seconds: 0.0 },
            done: 0,
            failed: 0,
            total,
            left: Cell::new(None),
        }
    }

    /// Shows an event.
    pub fn show(&mut self, event: &Event) {
        match event {
            Event::Started { slot, job } => self.started(*slot, job),
            Event::Progress { slot, epoch, epochs, loss, rows_per_second } => {
                let speed = if *epoch == 0 {
                    "data loaded".to_owned()
                } else {
                    let loss =
                        loss.map_or("no finite loss".to_owned(), |loss| format!("loss {loss:.4}"));
                    format!("epoch {epoch}/{epochs}  {loss}  {}", rows(*rows_per_second))
                };
                // a unit beside the epochs stands for loading and scoring
                let share = (*epoch as f64 + 0.5) / (*epochs as f64 + 1.0);
                self.advanced(*slot, share, &speed);
            }
            Event::Record { slot: _, record } => self.recorded(record),
            Event::Warning { text } => self.say(text),
            Event::Elsewhere { job, by } => {
                self.say(&format!("{}: {by} has it; waiting for it", title(job)));
            }
            Event::Found { job, records } => {
                self.say(&format!("{}: another process has trained it", title(job)));
                self.work.waiting.remove(&key(job));
                records.iter().for_each(|record| self.recorded(record));
            }
            Event::Retry { slot, job, death } => {
                self.say(&format!("{}: {}; trying again", title(job), death.why));
                self.tail(&death.log_tail);
                self.work.waiting.insert(key(job), self.weight_of(*slot, job));
            }
            Event::Lost { slot: _, job, death } => {
                self.done += job.runs();
                self.failed += job.runs();
                self.say(&format!("{}: {} ({})", title(job), death.state.as_str(), death.why));
                self.tail(&death.log_tail);
            }
            Event::Finished { slot } => self.finished(*slot),
        }
        self.overall();
    }

    /// Writes a line among the bars.
    pub fn say(&self, line: &str) {
        match &self.bars {
            // an error here means that the terminal is gone
            Some(bars) => drop(bars.all.println(line)),
            None => say(line),
        }
    }

    /// Takes the bars away.
    pub fn close(self) {
        if let Some(bars) = self.bars {
            drop(bars.all.clear());
        }
    }

    fn tail(&self, tail: &str) {
        if !tail.is_empty() {
            self.say(tail);
        }
    }

    fn started(&mut self, slot: usize, job: &Job) {
        // of a retry in halves only the first is found; the weights of the rest do not matter
        let weight = self.work.waiting.remove(&key(job)).unwrap_or(0.0);
        let now = Instant::now();
        let job = job.clone();
        if let Some(bars) = &self.bars {
            bars.workers[slot].set_message(format!("{}  starting", title(&job)));
        }
        self.running[slot] = Some(Running { job, weight, started: now, share: 0.0, told: now });
    }

    fn weight_of(&self, slot: usize, rest: &Job) -> f64 {
        self.running[slot].as_ref().map_or(0.0, |running| {
            running.weight * rest.seeds.len() as f64 / running.job.seeds.len().max(1) as f64
        })
    }

    fn advanced(&mut self, slot: usize, share: f64, text: &str) {
        let Some(running) = &mut self.running[slot] else { return };
        running.share = share;
        let line = format!("{}  {text}", title(&running.job));
        if let Some(bars) = &self.bars {
            bars.workers[slot].set_message(line);
            return;
        }
        if running.told.elapsed() >= PLAIN_INTERVAL {
            running.told = Instant::now();
            self.say(&format!("{line}  ({})", self.summary()));
        }
    }

    fn recorded(&mut self, record: &Record) {
        self.done += 1;
        let outcome = match (record.state, record.metrics.as_ref()) {
            (State::Ok, Some(metrics)) => {
                let show =
                    |value: Option<f64>| value.map_or("none".to_owned(), |v| format!("{v:.4}"));
                format!("f1 {}  auroc {}", show(metrics[Metric::F1]), show(metrics[Metric::Auroc]))
            }
            (state, _) => {
                self.failed += 1;
                format!(
                    "{}: {}",
                    state.as_str(),
                    record.failure.as_deref().unwrap_or("no reason given")
                )
            }
        };
        let Record { experiment, cell, seed, wall_seconds, .. } = record;
        let label = &cell.label;
        let wall = duration(*wall_seconds);
        let summary = self.summary();
        self.say(&format!("{experiment} {label} seed {seed}: {outcome}  {wall}  ({summary})"));
    }

    fn finished(&mut self, slot: usize) {
        if let Some(running) = self.running[slot].take() {
            self.work.finished_weight += running.weight;
            self.work.finished_seconds += running.started.elapsed().as_secs_f64();
        }
        if let Some(bars) = &self.bars {
            bars.workers[slot].set_message("idle");
        }
    }

    fn overall(&self) {
        if let Some(bars) = &self.bars {
            bars.overall.set_position(self.done as u64);
            bars.overall.set_message(self.remaining());
        }
    }

    fn summary(&self) -> String {
        format!("{}/{} runs, {}", self.done, self.total, self.remaining())
    }

    fn remaining(&self) -> String {
        let failed =
            if self.failed > 0 { format!("{} failed, ", self.failed) } else { String::new() };
        match self.eta() {
            Some(seconds) => format!("{failed}about {} left", duration(seconds)),
            None => format!("{failed}time left unknown until an epoch is done"),
        }
    }

    /// Seconds left, as of a moment ago.
    fn eta(&self) -> Option<f64> {
        if let Some((reckoned, left)) = self.left.get()
            && reckoned.elapsed() < ETA_INTERVAL
        {
            return left.map(|seconds| (seconds - reckoned.elapsed().as_secs_f64()).max(0.0));
        }
        let left = self.reckon();
        self.left.set(Some((Instant::now(), left)));
        left
    }

    /// Seconds left: what runs at the speed measured so far, then what waits, longest first.
    fn reckon(&self) -> Option<f64> {
        let running = || self.running.iter().flatten();
        // a job that only loads its data says nothing about epochs
        let timed = || running().filter(|running| running.share > 0.0);
        let weight: f64 = timed().map(|running| running.weight * running.share).sum();
        let seconds: f64 = timed().map(|running| running.started.elapsed().as_secs_f64()).sum();
        let (weight, seconds) =
            (weight + self.work.finished_weight, seconds + self.work.finished_seconds);
        let unit = match (weight > 0.0, self.work.in_seconds) {
            (true, _) => seconds / weight,
            (false, true) => 1.0,
            (false, false) => return None,
        };
        let left = |slot: &Option<Running>| {
            slot.as_ref().map_or(0.0, |running| unit * running.weight * (1.0 - running.share))
        };
        let mut waiting: Vec<f64> =
            self.work.waiting.values().map(|weight| unit * weight).collect();
        waiting.sort_by(|a, b| b.total_cmp(a));
        Some(schedule::makespan(self.running.iter().map(left).collect(), waiting))
    }
}

impl Bars {
    fn new(slots: usize, total: usize) -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(4));
        let style = |template: &str| {
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
        };
        let overall = all.add(ProgressBar::new(total as u64));
        overall.set_style(style("{elapsed_precise} [{bar:30}] {pos}/{len} runs  {msg}"));
        overall.enable_steady_tick(Duration::from_secs(1));
        let workers = (0..slots).map(|slot| {
            let bar = all.add(ProgressBar::new_spinner());
            bar.set_style(style("  {prefix} {wide_msg}"));
            bar.set_prefix(format!("{slot}"));
            bar.set_message("idle");
            bar
        });
        let workers = workers.collect();
        Self { all, overall, workers }
    }
}

fn place(job: &Job) -> String {
    format!("{} {}", job.experiment, job.label())
}

fn key(job: &Job) -> (String, u64) {
    (place(job), job.seeds.first().copied().unwrap_or(0))
}

/// `dagmm-kddcup reconstruction=sum seeds 1-4`
fn title(job: &Job) -> String {
    let seeds: Vec<String> = job.seeds.iter().map(u64::to_string).collect();
    let noun = if seeds.len() == 1 { "seed" } else { "seeds" };
    format!("{} {noun} {}", place(job), seeds.join(","))
}

fn rows(per_second: f64) -> String {
    if per_second >= 10_000.0 {
        format!("{:.0}k rows/s", per_second / 1000.0)
    } else {
        format!("{per_second:.0} rows/s")
    }
}
