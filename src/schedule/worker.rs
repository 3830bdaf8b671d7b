//! One process a job: starting the trainer, listening to it and ending it.
//! The job goes in on stdin, messages come out on stdout, and stderr goes to a log file.
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use super::{Death, Outcome, trainer};
use crate::error::{Error, Result};
use crate::machine::device;
use crate::store::record::{Calibration, Job, Message, State};

/// One thread a worker: the slots are what runs side by side. NVIDIA's libraries are kept from rounding
/// f32 factors to 10 bits (TF32) and from adding in another order each time, as `determinism` keeps
/// libtorch. glibc would hand the half-megabyte temporaries of a training step back to the kernel at
/// each step, and fault them in again; it asks for huge pages, which makes the convolutional VAE's
/// step a little faster.
const ENVIRONMENT: [(&str, &str); 8] = [
    ("OMP_NUM_THREADS", "1"),
    ("MKL_NUM_THREADS", "1"),
    ("NVIDIA_TF32_OVERRIDE", "0"),
    ("CUBLAS_WORKSPACE_CONFIG", ":4096:8"),
    ("MALLOC_MMAP_THRESHOLD_", "1073741824"),
    ("MALLOC_TRIM_THRESHOLD_", "1073741824"),
    ("MALLOC_TOP_PAD_", "67108864"),
    (TUNABLES, "glibc.malloc.hugetlb=1"),
];
/// Of glibc; the user's own, where there are some.
const TUNABLES: &str = "GLIBC_TUNABLES";

/// Lines of a log that people are shown.
const TAIL_LINES: usize = 10;
/// Characters of a line of a log that people are shown.
const LONGEST_LINE: usize = 2000;
/// Bytes of the end of a log that are looked at.
const TAIL_BYTES: u64 = 1 << 16;

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
        let kills = memory_kills();
        let (mut child, stdin) = start(&["run"], log.file()?, job)?;
        let ending = self.listen(&mut child, emit)?;
        if !matches!(ending, Listened::Closed) {
            // it may be gone already
            drop(child.kill());
        }
        end_group(&child);
        let status = child.wait().map_err(|error| failed("cannot wait for a worker", &error))?;
        drop(stdin);
        let death = |state, why| Outcome::Died(Death { state, why, log_tail: log.tail() });
        Ok(match ending {
            Listened::Stopped => Outcome::Stopped,
            Listened::Silent(limit) => {
                death(State::TimedOut, format!("silent for {} seconds", limit.as_secs()))
            }
            Listened::Garbled(line) => {
                death(State::Crashed, format!("its stdout holds what is no message: {line}"))
            }
            Listened::Closed if status.success() => Outcome::Done,
            Listened::Closed => match (status.code(), log.last_line()) {
                (Some(2), why) => Outcome::Refused(Error::Usage(log.or_where(why))),
                (Some(3), why) => Outcome::Refused(Error::Data(log.or_where(why))),
                (Some(_) | None, last) => {
                    let state = state_of(&log.tail(), memory_kills() > kills);
                    death(state, describe(status, &last))
                }
            },
        })
    }

    fn listen(&self, child: &mut Child, emit: &dyn Fn(Message)) -> Result<Listened> {
        let lines = lines_of(child)?;
        let mut heard = Instant::now();
        loop {
            match lines.recv_timeout(Duration::from_millis(50)) {
                Ok(line) => match serde_json::from_str(&line) {
                    Ok(message) => {
                        heard = Instant::now();
                        emit(message);
                    }
                    Err(_) => return Ok(Listened::Garbled(line.chars().take(200).collect())),
                },
                Err(RecvTimeoutError::Disconnected) => return Ok(Listened::Closed),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if self.stop.load(Ordering::SeqCst) {
                return Ok(Listened::Stopped);
            }
            if let Some(limit) = self.timeout.filter(|limit| heard.elapsed() > *limit) {
                return Ok(Listened::Silent(limit));
            }
        }
    }
}

/// Waits for a worker's end, and then ends what it has left behind in its process group: a method's
/// program, and what that has started.
fn end_group(child: &Child) {
    let group = child.id() as libc::pid_t;
    // SAFETY: `info` is written by the kernel alone. The worker is not reaped yet, so its number, which is
    // its group's, names no other process.
    unsafe {
        let mut info = std::mem::zeroed();
        let options = libc::WEXITED | libc::WNOWAIT;
        while libc::waitid(libc::P_PID, child.id(), &raw mut info, options) != 0
            && std::io::Error::last_os_error().kind() == ErrorKind::Interrupted
        {}
        libc::kill(-group, libc::SIGKILL);
    }
}

/// Times a few steps of a job in a worker of its own.
///
/// # Errors
/// What the worker says of a job that it cannot begin, or `Failed` when it dies.
pub fn calibrate(job: &Job, steps: usize) -> Result<Calibration> {
    let log =
        tempfile::tempfile().map_err(|error| failed("cannot make a temporary file", &error))?;
    let mut log_reader =
        log.try_clone().map_err(|error| failed("cannot share a temporary file", &error))?;
    let started = Instant::now();
    let (mut child, stdin) = start(&["time", &steps.to_string()], log, job)?;
    let lines = lines_of(&mut child)?;
    let first_step = lines.recv().map(|_| started.elapsed());
    let answer = lines.recv();
    end_group(&child);
    let status = child.wait().map_err(|error| failed("cannot wait for a worker", &error))?;
    drop(stdin);
    if let (true, Ok(first_step), Ok(line)) = (status.success(), first_step, answer) {
        let answer: Calibration = serde_json::from_str(&line)
            .map_err(|error| Error::Failed(format!("a calibration answered '{line}': {error}")))?;
        return Ok(Calibration { first_step_seconds: first_step.as_secs_f64(), ..answer });
    }
    let mut text = String::new();
    // the position is shared with the writer's
    drop(log_reader.seek(SeekFrom::Start(0)));
    drop(log_reader.read_to_string(&mut text));
    let last = last_line(&text);
    Err(match status.code() {
        Some(2) => Error::Usage(last),
        Some(3) => Error::Data(last),
        Some(_) | None => {
            Error::Failed(format!("a calibration failed: {}", describe(status, &last)))
        }
    })
}

enum Listened {
    /// It closed its stdout.
    Closed,
    Stopped,
    Silent(Duration),
    Garbled(String),
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
fn program(job: &Job) -> Result<Command> {
    if job.cell().model.is_trained() {
        return Ok(Command::new(trainer::program()?));
    }
    let mut command = Command::new(trainer::this_program()?);
    command.arg("fit");
    Ok(command)
}

/// Starts a worker with a job on stdin. The caller keeps stdin open: its end ends the
/// worker. The worker has a process group of its own, so that a terminal's Ctrl-C reaches only
/// the process that decides what to do about it; and it ignores SIGTERM, which a batch system sends
/// to every process of a task.
fn start(arguments: &[&str], log: File, job: &Job) -> Result<(Child, ChildStdin)> {
    let cannot = |error: std::io::Error| failed("cannot start a worker", &error);
    let text = line_of(job)?;
    let card = device::visible(&job.device)?;
    let mut command = program(job)?;
    command
        .args(arguments)
        .envs(ENVIRONMENT)
        .env("CUDA_VISIBLE_DEVICES", card)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log)
        .process_group(0);
    if let Some(own) = std::env::var_os(TUNABLES) {
        command.env(TUNABLES, own);
    }
    // SAFETY: both may be called between fork and exec, and what they set stays so over exec
    unsafe {
        command.pre_exec(|| {
            libc::signal(libc::SIGTERM, libc::SIG_IGN);
            // The kernel is to kill the trainer when the thread that waits for it ends, also while it
            // still loads libtorch. One that had ended before is found out by stdin, which the trainer
            // watches; elsewhere than on Linux that is all there is.
            #[cfg(target_os = "linux")]
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            Ok(())
        });
    }
    let mut child = command.spawn().map_err(cannot)?;
    let mut stdin = child.stdin.take().expect("stdin is piped");
    // a worker that died at once is found out by its status
    drop(writeln!(stdin, "{text}"));
    Ok((child, stdin))
}

fn lines_of(child: &mut Child) -> Result<Receiver<String>> {
    let stdout = child.stdout.take().expect("stdout is piped");
    let (sender, receiver) = mpsc::channel();
    let listen = move || {
        for line in BufReader::new(stdout).lines() {
            let Ok(line) = line else { break };
            if sender.send(line).is_err() {
                break;
            }
        }
    };
    let listener = thread::Builder::new().name("listener".to_owned()).spawn(listen);
    listener.map_err(|error| {
        // nobody will hear it, so it has nothing to live for
        drop((child.kill(), child.wait()));
        failed("cannot start a thread that listens to a worker", &error)
    })?;
    Ok(receiver)
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

fn state_of(log: &str, memory_kill: bool) -> State {
    let words = ["out of memory", "can't allocate memory", "memory allocation of"];
    if memory_kill || words.iter().any(|words| log.contains(words)) {
        State::OutOfMemory
    } else {
        State::Crashed
    }
}

/// How many processes the kernel has killed for want of memory since it started; 0 where it does
/// not say. A SIGKILL alone could be anyone's.
fn memory_kills() -> u64 {
    let text = fs::read_to_string("/proc/vmstat").unwrap_or_default();
    let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
    count.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}

fn failed(what: &str, error: &std::io::Error) -> Error {
    Error::Failed(format!("{what}: {error}"))
}

/// `<out>/<experiment>/logs/<cell>-<first seed>.<attempt>.log`: the first free number from 1.
struct Log {
    path: PathBuf,
    /// Where the worker's own lines begin.
    start: u64,
}

impl Log {
    fn open(out: &Path, job: &Job) -> Result<Self> {
        let folder = out.join(&job.experiment).join("logs");
        let first = job.seeds.first().copied().unwrap_or(0);
        let path =
            |attempt: u64| folder.join(format!("{}-{first}.{attempt}.log", job.cell().label));
        let mut attempt = 1;
        let mut log = Self { path: path(attempt), start: 0 };
        fs::create_dir_all(&folder).map_err(|error| log.failed(&error))?;
        let mut file = loop {
            match File::create_new(&log.path) {
                Ok(file) => break file,
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    attempt += 1;
                    log.path = path(attempt);
                }
                Err(error) => return Err(log.failed(&error)),
            }
        };
        let seeds: Vec<String> = job.seeds.iter().map(u64::to_string).collect();
        writeln!(file, "seedbed: seeds {} on {}", seeds.join(" "), job.device)
            .map_err(|error| log.failed(&error))?;
        log.start = file.metadata().map_err(|error| log.failed(&error))?.len();
        Ok(log)
    }

    fn file(&self) -> Result<File> {
        // never through a link to another place
        let mut options = OpenOptions::new();
        options.append(true).custom_flags(libc::O_NOFOLLOW);
        let file = options.open(&self.path);
        file.map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &std::io::Error) -> Error {
        Error::of_file("write the log", &self.path, error)
    }

    /// What a worker said, or where it should have said something.
    fn or_where(&self, words: String) -> String {
        let path = self.path.display();
        let nothing = || format!("a worker ended and says nothing in {path}: is its disk full?");
        if words.is_empty() { nothing() } else { words }
    }

    /// The end of what the worker said: a log may be of any length.
    fn text(&self) -> String {
        let read = || {
            let mut file = File::open(&self.path)?;
            let end = file.metadata()?.len();
            file.seek(SeekFrom::Start(self.start.max(end.saturating_sub(TAIL_BYTES))))?;
            let mut bytes = Vec::new();
            file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
            Ok::<_, std::io::Error>(bytes)
        };
        String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
    }

    /// The path and the last lines.
    fn tail(&self) -> String {
        let text = self.text();
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let last = &lines[lines.len().saturating_sub(TAIL_LINES)..];
        let shown = if last.is_empty() { "    (empty)".to_owned() } else { indent(last) };
        format!("  {}:\n{shown}", self.path.display())
    }

    fn last_line(&self) -> String {
        last_line(&self.text())
    }
}

fn indent(lines: &[&str]) -> String {
    lines.iter().map(|line| format!("    {}", beginning(line))).collect::<Vec<_>>().join("\n")
}

/// The last line with anything in it, less the prefix that `main` gives errors.
pub(super) fn last_line(text: &str) -> String {
    let last = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    beginning(last.strip_prefix("error: ").unwrap_or(last)).to_owned()
}

/// As much of a line as people are shown: a program may write a million characters without an end of line.
fn beginning(line: &str) -> &str {
    line.char_indices().nth(LONGEST_LINE).map_or(line, |(end, _)| &line[..end])
}
