//! What people see while jobs run: counts, the time left and lines, made of events. The screen's thread
//! shows them.
use std::time::{Duration, Instant};

use seedbed::metrics::Metric;
use seedbed::schedule::Event;
use seedbed::schedule::estimate::duration;
use seedbed::schedule::session::Session;
use seedbed::schedule::time_left::TimeLeft;
use seedbed::store::record::{Job, Record, State};

use crate::screen::{self, Bars, detail, mention, say};

/// A worker's plain lines are at least this far apart.
const PLAIN_INTERVAL: Duration = Duration::from_secs(10);

/// The display of one session.
pub struct Progress {
    left: TimeLeft,
    /// When each slot's job was last told of, or began.
    told: Vec<Instant>,
    done: usize,
    failed: usize,
    total: usize,
}

impl Progress {
    /// Opens the display of a session on so many slots.
    pub fn open(session: &Session, slots: usize) -> Self {
        let total = session.runs();
        screen::open(Bars {
            template: template(),
            done: 0,
            total: total as u64,
            message: String::new(),
            slots: vec!["idle".to_owned(); slots],
        });
        let told = vec![Instant::now(); slots];
        Self { left: session.time_left(), told, done: 0, failed: 0, total }
    }

    /// Shows an event.
    pub fn show(&mut self, event: &Event) {
        // a job that has finished is on its slot no more
        let advanced = self.line_of_progress(event);
        self.left.see(event, Instant::now());
        match event {
            Event::Started { slot, job } => {
                self.told[*slot] = Instant::now();
                set(*slot, format!("{}  starting", title(job)));
            }
            Event::Progress { slot, .. } => {
                if let Some(line) = advanced {
                    self.advanced(*slot, line);
                }
            }
            Event::Record { slot: _, record } => self.recorded(record),
            Event::Warning { text } => say(text),
            Event::Elsewhere { job, by } => {
                say(&format!("{}: {by} has it; waiting for it", title(job)));
            }
            Event::Found { job, records } => {
                mention(&format!("{}: another process has trained it", title(job)));
                records.iter().for_each(|record| self.recorded(record));
            }
            Event::Retry { slot: _, job, death } => {
                say(&format!("{}: {}; trying again", title(job), death.why));
                tail(&death.log_tail);
            }
            Event::Lost { slot: _, job, death } => {
                self.done += job.runs();
                self.failed += job.runs();
                say(&format!("{}: {} ({})", title(job), death.state.as_str(), death.why));
                tail(&death.log_tail);
            }
            Event::Finished { slot } => set(*slot, "idle".to_owned()),
        }
        self.overall();
    }

    /// Takes the bars away.
    pub fn close(self) {
        screen::close();
    }

    fn line_of_progress(&self, event: &Event) -> Option<String> {
        let Event::Progress { slot, epoch, epochs, loss, rows_per_second } = event else {
            return None;
        };
        let text = if *epoch == 0 {
            "data loaded".to_owned()
        } else {
            let loss = loss.map_or("no finite loss".to_owned(), |loss| format!("loss {loss:.4}"));
            format!("epoch {epoch}/{epochs}  {loss}  {}", rows(*rows_per_second))
        };
        Some(format!("{}  {text}", title(self.left.job_on(*slot)?)))
    }

    fn advanced(&mut self, slot: usize, line: String) {
        if screen::has_bars() {
            set(slot, line);
        } else if self.told[slot].elapsed() >= PLAIN_INTERVAL {
            self.told[slot] = Instant::now();
            mention(&format!("{line}  ({})", self.summary()));
        }
    }

    fn recorded(&mut self, record: &Record) {
        self.done += 1;
        let (outcome, tell): (_, fn(&str)) = match (record.state, record.metrics.as_ref()) {
            (State::Ok, Some(metrics)) => {
                let show =
                    |value: Option<f64>| value.map_or("none".to_owned(), |v| format!("{v:.4}"));
                (
                    format!(
                        "f1 {}  auroc {}",
                        show(metrics[Metric::F1]),
                        show(metrics[Metric::Auroc])
                    ),
                    detail,
                )
            }
            (state, _) => {
                self.failed += 1;
                let why = record.failure.as_deref().unwrap_or("no reason given");
                (format!("{}: {why}", state.as_str()), say)
            }
        };
        let Record { experiment, cell, seed, wall_seconds, .. } = record;
        let label = &cell.label;
        let wall = duration(*wall_seconds);
        let summary = self.summary();
        tell(&format!("{experiment} {label} seed {seed}: {outcome}  {wall}  ({summary})"));
    }

    fn overall(&mut self) {
        if screen::has_bars() {
            let (done, message) = (self.done as u64, self.remaining());
            screen::update(|bars| (bars.done, bars.message) = (done, message));
        }
    }

    fn summary(&mut self) -> String {
        let remaining = self.remaining();
        format!("{}/{} runs, {remaining}", self.done, self.total)
    }

    fn remaining(&mut self) -> String {
        let failed =
            if self.failed > 0 { format!("{} failed, ", self.failed) } else { String::new() };
        match self.left.seconds(Instant::now()) {
            Some(seconds) => format!("{failed}about {} left", duration(seconds)),
            None => format!("{failed}time left unknown until an epoch is done"),
        }
    }
}

/// The overall line: what is left is worth more than a long bar.
fn template() -> String {
    let bar = if screen::width().is_some_and(|width| width < 90) { 10 } else { 30 };
    format!("{{elapsed_precise}} [{{bar:{bar}}}] {{pos}}/{{len}} runs  {{wide_msg}}")
}

fn set(slot: usize, text: String) {
    screen::update(|bars| bars.slots[slot] = text);
}

fn tail(tail: &str) {
    if !tail.is_empty() {
        say(tail);
    }
}

/// Names a job as `dagmm-kddcup reconstruction=sum seeds 1,2`.
fn title(job: &Job) -> String {
    let seeds: Vec<String> = job.seeds.iter().map(u64::to_string).collect();
    let noun = if seeds.len() == 1 { "seed" } else { "seeds" };
    format!("{} {} {noun} {}", job.experiment, job.label(), seeds.join(","))
}

fn rows(per_second: f64) -> String {
    if per_second >= 10_000.0 {
        format!("{:.0}k rows/s", per_second / 1000.0)
    } else {
        format!("{per_second:.0} rows/s")
    }
}
