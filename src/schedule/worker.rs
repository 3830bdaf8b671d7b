//! One job, one process: what a worker says and how it ends become messages and an outcome.
//! The job goes in on stdin, messages come out on stdout, and stderr goes to a log file.
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::log::{self, Log, last_line};
use super::process::{Heard, Process, failed, shown};
use super::{Death, Outcome, trainer};
use crate::error::{Error, Result};
use crate::machine::{device, memory};
use crate::store::record::{Calibration, Job, Message, State};

/// Why a worker was ended that can say nothing any more.
const MUTE: &str = "it closed its stdout, lived on for seconds and was ended";

/// How workers are run.
pub struct Workers<'a> {
    /// Directory below which `<experiment>/logs/` lies.
    pub out: &'a Path,
    /// A worker silent for longer is ended.
    pub timeout: Option<Duration>,
    pub stop: &'a AtomicBool,
}

impl Workers<'_> {
    /// Runs one attempt at a job in a process of its own, passing on what the process says.
    pub fn execute(&self, job: &Job, emit: &dyn Fn(Message)) -> Outcome {
        match self.attempt(job, emit) {
            Ok(outcome) => outcome,
            Err(error) => Outcome::Refused(error),
        }
    }

    fn attempt(&self, job: &Job, emit: &dyn Fn(Message)) -> Result<Outcome> {
        let log = Log::open(self.out, job)?;
        let kills = memory::kills();
        let mut worker = Process::start(command(&["run"], job)?, &line_of(job)?, log.file()?)?;
        let ending = self.listen(&mut worker, emit);
        if !matches!(ending, Listened::Ended) {
            worker.kill();
        }
        let status = worker.end()?;
        let death = |state, why| Outcome::Died(Death { state, why, log_tail: log.tail() });
        Ok(match ending {
            Listened::Stopped => Outcome::Stopped,
            Listened::Silent(limit) => {
                death(State::TimedOut, format!("silent for {} seconds", limit.as_secs()))
            }
            Listened::Garbled(what) => {
                death(State::Crashed, format!("its stdout holds what is no message: {what}"))
            }
            // it was about to end after all
            Listened::Ended | Listened::Mute if status.success() => Outcome::Done,
            Listened::Mute => death(State::Crashed, MUTE.to_owned()),
            Listened::Ended => match (status.code(), log.last_line()) {
                (Some(2), why) => Outcome::Refused(Error::Usage(log.or_where(why))),
                (Some(3), why) => Outcome::Refused(Error::Data(log.or_where(why))),
                (Some(_) | None, last) => {
                    let state = state_of(status, &log.tail(), memory::kills() > kills);
                    death(state, describe(status, &last))
                }
            },
        })
    }

    fn listen(&self, worker: &mut Process, emit: &dyn Fn(Message)) -> Listened {
        let mut heard = Instant::now();
        loop {
            match worker.hear() {
                Heard::Line(line) => match serde_json::from_str(&line) {
                    Ok(message) => {
                        heard = Instant::now();
                        emit(message);
                    }
                    Err(_) => return Listened::Garbled(shown(line.as_bytes())),
                },
                Heard::Garbled(what) => return Listened::Garbled(what),
                Heard::Ended => return Listened::Ended,
                Heard::Mute => return Listened::Mute,
                Heard::Nothing => {}
            }
            if self.stop.load(Ordering::SeqCst) {
                return Listened::Stopped;
            }
            if let Some(limit) = self.timeout.filter(|limit| heard.elapsed() > *limit) {
                return Listened::Silent(limit);
            }
        }
    }
}

enum Listened {
    Ended,
    /// It closed its stdout and lived on.
    Mute,
    Stopped,
    Silent(Duration),
    Garbled(String),
}

/// Times a few steps of a job in a worker of its own.
///
/// # Errors
/// What the worker says of a job that it cannot begin, or `Failed` when it dies.
pub fn calibrate(job: &Job, steps: usize) -> Result<Calibration> {
    let log =
        tempfile::tempfile().map_err(|error| failed("cannot make a temporary file", &error))?;
    let log_reader =
        log.try_clone().map_err(|error| failed("cannot share a temporary file", &error))?;
    let started = Instant::now();
    let command = command(&["time", &steps.to_string()], job)?;
    let mut worker = Process::start(command, &line_of(job)?, log)?;
    let first = next(&mut worker);
    let first_step_seconds = started.elapsed().as_secs_f64();
    let (answer, ending) = (next(&mut worker), next(&mut worker));
    if ending != Heard::Ended {
        worker.kill();
    }
    let status = worker.end()?;
    if let (true, Heard::Line(_), Heard::Line(line)) = (status.success(), first, answer) {
        let answer: Calibration = serde_json::from_str(&line).map_err(|error| {
            Error::Failed(format!("a calibration answered '{}': {error}", shown(line.as_bytes())))
        })?;
        return Ok(Calibration { first_step_seconds, ..answer });
    }
    let last = last_line(&log::end_of(log_reader, 0));
    let how = match ending {
        Heard::Mute => MUTE.to_owned(),
        _ => describe(status, &last),
    };
    Err(match status.code() {
        Some(2) => Error::Usage(last),
        Some(3) => Error::Data(last),
        Some(_) | None => Error::Failed(format!("a calibration failed: {how}")),
    })
}

/// What a worker says next, and where it says nothing more, how that came.
fn next(worker: &mut Process) -> Heard {
    loop {
        match worker.hear() {
            Heard::Nothing => {}
            heard => return heard,
        }
    }
}

/// Writes a job as JSON, which cannot hold every name of a file.
fn line_of(job: &Job) -> Result<String> {
    let folders = job.data.iter().chain(job.pictures.iter().map(|pictures| &pictures.folder));
    let folders = folders.chain(&job.folder).chain(job.kept.iter().map(|kept| &kept.folder));
    for folder in folders {
        if folder.to_str().is_none() {
            return Err(Error::Usage(format!(
                "{} is not UTF-8, so a trainer cannot be told of it; give it another name, or a \
                 link with one",
                folder.display()
            )));
        }
    }
    serde_json::to_string(job)
        .map_err(|error| Error::Failed(format!("cannot write a job for a trainer: {error}")))
}

/// What works on a job: the trainer, or this program where nothing is trained.
fn command(arguments: &[&str], job: &Job) -> Result<Command> {
    let mut command = match job.cell().model.is_trained() {
        true => trainer::command()?,
        false => {
            let mut this = trainer::this_command()?;
            this.arg("fit");
            this
        }
    };
    command.args(arguments).env("CUDA_VISIBLE_DEVICES", device::visible(&job.device)?);
    Ok(command)
}

/// `ended by signal 9 (SIGKILL); its last words: …`
pub(super) fn describe(status: ExitStatus, last: &str) -> String {
    let how = match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(libc::SIGKILL)) => "ended by signal 9 (SIGKILL)".to_owned(),
        (None, Some(libc::SIGSEGV)) => "ended by signal 11 (SIGSEGV)".to_owned(),
        (None, Some(libc::SIGABRT)) => "ended by signal 6 (SIGABRT)".to_owned(),
        (None, Some(signal)) => format!("ended by signal {signal}"),
        (None, None) => "ended in an unknown way".to_owned(),
    };
    if last.is_empty() { how } else { format!("{how}; its last words: {last}") }
}

/// A SIGKILL alone could be anyone's: `memory_kill` says whether the kernel killed something of ours for want
/// of memory meanwhile.
fn state_of(status: ExitStatus, log: &str, memory_kill: bool) -> State {
    let words = ["out of memory", "can't allocate memory", "memory allocation of"];
    let killed = memory_kill && status.signal() == Some(libc::SIGKILL);
    if killed || words.iter().any(|words| log.contains(words)) {
        State::OutOfMemory
    } else {
        State::Crashed
    }
}
