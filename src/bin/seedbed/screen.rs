//! stderr: lines for people, and bars where it is a terminal. A thread of its own writes them, since
//! stderr may block for as long as it likes (Ctrl-S, a pipe that nobody reads), and neither storing nor
//! stopping may wait for that. Decides nothing; a broken terminal changes no result.
use std::collections::VecDeque;
use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use seedbed::report::columns;
use seedbed::report::terminal::{printable, printable_lines};

use crate::output::columns_of;

/// Lines that may wait before lines of progress are left out.
const PROGRESS_LINES: usize = 1_000;
/// Lines that may wait before any is left out.
const ALL_LINES: usize = 20_000;

/// How long stderr may take nothing before nobody waits for it any more.
const MOMENT: Duration = Duration::from_secs(2);
/// How long a reader that reads slowly is waited for at most.
const LONGEST: Duration = Duration::from_secs(20);

static SCREEN: Screen = Screen { waiting: Mutex::new(Waiting::new()), changed: Condvar::new() };

/// How much is said: [`QUIET`], [`USUAL`] or [`VERBOSE`].
static VOICE: AtomicU8 = AtomicU8::new(USUAL);
const QUIET: u8 = 0;
const USUAL: u8 = 1;
const VERBOSE: u8 = 2;

/// Chooses how much is said from now on.
pub fn choose_voice(quiet: bool, verbose: bool) {
    let voice = match (quiet, verbose) {
        (true, _) => QUIET,
        (false, true) => VERBOSE,
        (false, false) => USUAL,
    };
    VOICE.store(voice, Ordering::Relaxed);
}

fn voice() -> u8 {
    VOICE.load(Ordering::Relaxed)
}

/// Says a line that people should know; it is kept until stderr takes it. Whatever a file or a program of
/// someone else's put into it, a terminal shows it.
pub fn say(line: &str) {
    SCREEN.add(&printable_lines(line, false), ALL_LINES);
}

/// Says a line that may have colours.
pub fn say_in_colour(line: &str) {
    SCREEN.add(&printable_lines(line, true), ALL_LINES);
}

/// Says what is as it should be, unless --quiet.
pub fn note(line: &str) {
    if voice() > QUIET {
        say(line);
    }
}

/// Mentions how far something is, unless --quiet; it is left out where stderr does not keep up.
pub fn mention(line: &str) {
    if voice() > QUIET {
        SCREEN.add(line, PROGRESS_LINES);
    }
}

/// Mentions what bars show already: beside them only with --verbose.
pub fn detail(line: &str) {
    if !has_bars() || voice() >= VERBOSE {
        mention(line);
    }
}

/// Shows bars from now on, where stderr is a terminal, unless --quiet.
pub fn open(bars: Bars) {
    if std::io::stderr().is_terminal() && voice() > QUIET {
        SCREEN.change(|shown| *shown = Some(bars));
    }
}

/// Returns the columns of the bars' terminal.
pub fn width() -> Option<usize> {
    columns_of(&std::io::stderr()).filter(|_| std::io::stderr().is_terminal())
}

/// Wraps lines that are wider than the terminal, but for a command that people paste.
fn fitted(text: &str) -> String {
    let width = width();
    let line = |line: &str| match line.contains("continue with: ") {
        true => line.to_owned(),
        false => columns::reflowed(line, width),
    };
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// Says whether bars are shown.
pub fn has_bars() -> bool {
    SCREEN.lock().bars.is_some()
}

/// Changes the bars that are shown, if any are.
pub fn update(change: impl FnOnce(&mut Bars)) {
    SCREEN.change(|shown| {
        if let Some(bars) = shown {
            change(bars);
        }
    });
}

/// Takes the bars away.
pub fn close() {
    SCREEN.change(|shown| *shown = None);
}

/// Waits until everything is written that waits, but not for a stderr that takes nothing; says whether it
/// took everything.
pub fn settle() -> bool {
    SCREEN.settle()
}

/// What bars show.
#[derive(Debug, Clone)]
pub struct Bars {
    /// Of the first bar, as indicatif has it.
    pub template: String,
    pub done: u64,
    pub total: u64,
    pub message: String,
    /// A line below the first bar for each slot.
    pub slots: Vec<String>,
}

struct Screen {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

struct Waiting {
    entries: VecDeque<Entry>,
    bars: Option<Bars>,
    bars_changed: bool,
    has_thread: bool,
    /// Whether the thread is about to write, or writes.
    busy: bool,
    /// How many writes have ended.
    written: u64,
    /// The number of writes when somebody gave up waiting for the next.
    given_up_at: Option<u64>,
}

enum Entry {
    Line(String),
    LeftOut(usize),
}

/// What the thread is to do.
enum Task {
    Entry(Entry),
    Bars(Option<Bars>),
}

impl Waiting {
    const fn new() -> Self {
        Self {
            entries: VecDeque::new(),
            bars: None,
            bars_changed: false,
            has_thread: false,
            busy: false,
            written: 0,
            given_up_at: None,
        }
    }

    /// Adds a line, unless so many wait already; then that one was left out is what waits.
    fn add(&mut self, line: String, most: usize) {
        if self.entries.len() < most {
            self.entries.push_back(Entry::Line(line));
        } else if let Some(Entry::LeftOut(count)) = self.entries.back_mut() {
            *count += 1;
        } else {
            self.entries.push_back(Entry::LeftOut(1));
        }
    }

    /// The next task: bars that come or go, then lines, then what bars show.
    fn next(&mut self, has_bars: bool) -> Option<Task> {
        let come_or_go = has_bars != self.bars.is_some();
        if !come_or_go && let Some(entry) = self.entries.pop_front() {
            return Some(Task::Entry(entry));
        }
        std::mem::take(&mut self.bars_changed).then(|| Task::Bars(self.bars.clone()))
    }

    fn is_settled(&self) -> bool {
        self.entries.is_empty() && !self.bars_changed && !self.busy
    }
}

impl Screen {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // it is whole between any two statements
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&'static self, line: &str, most: usize) {
        let mut waiting = self.lock();
        if self.has_thread(&mut waiting) {
            waiting.add(line.to_owned(), most);
            drop(waiting);
            self.changed.notify_all();
        } else {
            drop(waiting);
            write(line);
        }
    }

    fn change(&'static self, change: impl FnOnce(&mut Option<Bars>)) {
        let mut waiting = self.lock();
        let had_bars = waiting.bars.is_some();
        change(&mut waiting.bars);
        // without bars before and after nothing is to be drawn, and without a thread by nobody
        if (had_bars || waiting.bars.is_some()) && self.has_thread(&mut waiting) {
            waiting.bars_changed = true;
            drop(waiting);
            self.changed.notify_all();
        }
    }

    /// Starts the thread, if there is none yet; false where none can be had.
    fn has_thread(&'static self, waiting: &mut Waiting) -> bool {
        if !waiting.has_thread {
            let thread = thread::Builder::new().name("screen".to_owned());
            waiting.has_thread = thread.spawn(|| self.serve()).is_ok();
        }
        waiting.has_thread
    }

    fn serve(&self) {
        let mut drawn: Option<Drawn> = None;
        loop {
            match (self.next(drawn.is_some()), &drawn) {
                (Task::Entry(entry), Some(drawn)) => drawn.say(&entry.text()),
                (Task::Entry(entry), None) => write(&entry.text()),
                (Task::Bars(Some(bars)), Some(drawn)) => drawn.update(&bars),
                (Task::Bars(Some(bars)), None) => drawn = Some(Drawn::new(&bars)),
                (Task::Bars(None), Some(shown)) => {
                    shown.clear();
                    drawn = None;
                }
                (Task::Bars(None), None) => {}
            }
        }
    }

    /// Waits for the next task; the one before is done.
    fn next(&self, has_bars: bool) -> Task {
        let mut waiting = self.lock();
        if waiting.busy {
            waiting.busy = false;
            waiting.written += 1;
            self.changed.notify_all();
        }
        loop {
            if let Some(task) = waiting.next(has_bars) {
                waiting.busy = true;
                return task;
            }
            waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn settle(&self) -> bool {
        let started = Instant::now();
        let mut waiting = self.lock();
        let mut last = (waiting.written, started);
        while !waiting.is_settled() {
            if waiting.written != last.0 {
                last = (waiting.written, Instant::now());
            }
            let given_up = waiting.given_up_at == Some(waiting.written);
            if given_up || last.1.elapsed() > MOMENT || started.elapsed() > LONGEST {
                waiting.given_up_at = Some(waiting.written);
                return false;
            }
            let pause = Duration::from_millis(100);
            let waited = self.changed.wait_timeout(waiting, pause);
            waiting = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

impl Entry {
    fn text(self) -> String {
        match self {
            Self::Line(line) => line,
            Self::LeftOut(count) => {
                format!("({count} lines were left out, since stderr took none for a while)")
            }
        }
    }
}

/// Writes a line to stderr. A terminal that has gone away, or a full disk under the file that stderr
/// goes to, ends nothing: what trains goes on, or stops in good order.
fn write(line: &str) {
    drop(writeln!(std::io::stderr(), "{}", fitted(line)));
}

/// Bars on the terminal.
struct Drawn {
    all: MultiProgress,
    overall: ProgressBar,
    slots: Vec<ProgressBar>,
}

impl Drawn {
    fn new(bars: &Bars) -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(4));
        let style = |template: &str| {
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
        };
        let overall = all.add(ProgressBar::new(bars.total));
        overall.set_style(style(&bars.template));
        overall.enable_steady_tick(Duration::from_secs(1));
        let slots = (0..bars.slots.len()).map(|slot| {
            let bar = all.add(ProgressBar::new_spinner());
            bar.set_style(style("  {prefix} {wide_msg}"));
            bar.set_prefix(format!("{slot}"));
            bar
        });
        let slots = slots.collect();
        let drawn = Self { all, overall, slots };
        drawn.update(bars);
        drawn
    }

    fn update(&self, bars: &Bars) {
        self.overall.set_length(bars.total);
        self.overall.set_position(bars.done);
        self.overall.set_message(printable(&bars.message).into_owned());
        for (bar, text) in self.slots.iter().zip(&bars.slots) {
            bar.set_message(printable(text).into_owned());
        }
    }

    fn say(&self, line: &str) {
        // an error here means that the terminal is gone
        drop(self.all.println(fitted(line)));
    }

    fn clear(&self) {
        drop(self.all.clear());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(waiting: &mut Waiting) -> Vec<String> {
        std::mem::take(&mut waiting.entries).into_iter().map(Entry::text).collect()
    }

    #[test]
    fn where_many_lines_wait_progress_is_left_out_and_counted_and_what_matters_is_kept() {
        let mut waiting = Waiting::new();
        for line in ["one", "two", "three", "four"] {
            waiting.add(line.to_owned(), 2);
        }
        waiting.add("an error".to_owned(), 10);
        waiting.add("five".to_owned(), 2);
        let left_out =
            |count| format!("({count} lines were left out, since stderr took none for a while)");
        let kept = ["one".into(), "two".into(), left_out(2), "an error".into(), left_out(1)];
        assert_eq!(texts(&mut waiting), kept);
        waiting.add("six".to_owned(), 2);
        assert_eq!(texts(&mut waiting), ["six"]);
    }

    #[test]
    fn bars_come_before_lines_and_change_after_them() {
        let bars = |done| Bars {
            template: String::new(),
            done,
            total: 2,
            message: String::new(),
            slots: Vec::new(),
        };
        let mut waiting = Waiting::new();
        waiting.add("a line".to_owned(), 9);
        waiting.bars = Some(bars(1));
        waiting.bars_changed = true;
        assert!(matches!(waiting.next(false), Some(Task::Bars(Some(Bars { done: 1, .. })))));
        waiting.bars = Some(bars(2));
        waiting.bars_changed = true;
        assert!(matches!(waiting.next(true), Some(Task::Entry(_))));
        assert!(matches!(waiting.next(true), Some(Task::Bars(Some(Bars { done: 2, .. })))));
        assert!(waiting.next(true).is_none());
    }
}
