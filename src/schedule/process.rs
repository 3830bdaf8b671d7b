//! A worker's process: how it is started, heard line by line and ended with all that it has started. What
//! its lines mean, and what becomes of a job, is `worker`'s business.
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::machine::process;

/// One thread a worker: the slots are what runs side by side. NVIDIA's libraries are kept from rounding
/// f32 factors to 10 bits (TF32) and from adding in another order each time, as `determinism` keeps
/// libtorch. glibc would hand the half-megabyte temporaries of a training step back to the kernel at
/// each step, and fault them in again; it asks for huge pages, which makes the convolutional VAE's
/// step a little faster.
const ENVIRONMENT: [(&str, &str); 7] = [
    ("OMP_NUM_THREADS", "1"),
    ("MKL_NUM_THREADS", "1"),
    ("NVIDIA_TF32_OVERRIDE", "0"),
    ("CUBLAS_WORKSPACE_CONFIG", ":4096:8"),
    ("MALLOC_MMAP_THRESHOLD_", "1073741824"),
    ("MALLOC_TRIM_THRESHOLD_", "1073741824"),
    ("MALLOC_TOP_PAD_", "67108864"),
];

/// By these a user chooses the instructions or the precision that libtorch, its mathematics libraries and
/// NumPy compute with: the same run would have other bits under the same key.
const NOT_PASSED_ON: [&str; 14] = [
    "ATEN_CPU_CAPABILITY",
    "MKL_CBWR",
    "MKL_DEBUG_CPU_TYPE",
    "MKL_DOMAIN_NUM_THREADS",
    "MKL_ENABLE_INSTRUCTIONS",
    "MKL_VML_MODE",
    "DNNL_DEFAULT_FPMATH_MODE",
    "DNNL_MAX_CPU_ISA",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "ONEDNN_MAX_CPU_ISA",
    "OPENBLAS_CORETYPE",
    "NPY_DISABLE_CPU_FEATURES",
    "NPY_ENABLE_CPU_FEATURES",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
];

/// Of glibc; the user's own, where there are some.
const TUNABLES: &str = "GLIBC_TUNABLES";
/// What is tuned where the user tunes nothing.
const OWN_TUNABLES: &str = "glibc.malloc.hugetlb=1";

/// Bytes of a message: the longest is a record, of half a million epochs of a loss with four terms.
const LONGEST_MESSAGE: u64 = 1 << 26;

/// How long one look at what a worker says takes at most.
const MOMENT: Duration = Duration::from_millis(50);
/// How long a worker may live on once its stdout is closed, and what it has started once it has ended.
const PATIENCE: Duration = Duration::from_secs(5);
/// Characters of a line that is no message that people are shown.
const SHOWN: usize = 200;

/// A worker at work. Its stdin is open for as long as this lives: the end of stdin ends the worker.
pub(super) struct Process {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<Heard>,
    /// Since when its stdout is closed, or it has ended, and not both.
    parting: Option<Instant>,
}

/// What came within a moment.
#[derive(Debug, PartialEq)]
pub(super) enum Heard {
    Line(String),
    /// What is no line of text, in words.
    Garbled(String),
    Nothing,
    /// It has ended.
    Ended,
    /// It closed its stdout long ago and lives on.
    Mute,
}

impl Process {
    /// Starts a worker and writes a line to its stdin. The worker has a process group of its own, so that a
    /// terminal's Ctrl-C reaches only the process that decides what to do about it; and it ignores SIGTERM,
    /// which a batch system sends to every process of a task.
    ///
    /// # Errors
    /// `Failed` where no process, pipe or thread is to be had, or the program does not start.
    pub(super) fn start(mut command: Command, text: &str, log: File) -> Result<Self> {
        set_environment(&mut command);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).process_group(0);
        // SAFETY: may be called between fork and exec, and what it sets stays so over exec
        unsafe {
            command.pre_exec(|| {
                libc::signal(libc::SIGTERM, libc::SIG_IGN);
                Ok(())
            });
        }
        process::end_with_this_thread(&mut command);
        let mut child = command.spawn().map_err(|error| failed("cannot start a worker", &error))?;
        let stdin = child.stdin.take().expect("stdin is piped");
        let stdout = child.stdout.take().expect("stdout is piped");
        let text = format!("{text}\n");
        // a worker that says more than is heard waits
        let (sender, lines) = mpsc::sync_channel(1);
        let listener = stdin.as_fd().try_clone_to_owned().and_then(|input| {
            thread::Builder::new().name("listener".to_owned()).spawn(move || {
                // nobody waits for one that does not read; that it died is found out by its status
                drop(File::from(input).write_all(text.as_bytes()));
                listen(BufReader::new(stdout), &sender);
            })
        });
        listener.map_err(|error| {
            // nobody will hear it, so it has nothing to live for
            drop((child.kill(), child.wait()));
            failed("cannot start a thread that listens to a worker", &error)
        })?;
        Ok(Self { child, stdin, lines, parting: None })
    }

    /// Waits a moment for what the worker says next.
    pub(super) fn hear(&mut self) -> Heard {
        let (closed, ended) = match self.lines.recv_timeout(MOMENT) {
            Ok(heard) => return heard,
            Err(RecvTimeoutError::Disconnected) => (true, self.ends_within(MOMENT)),
            Err(RecvTimeoutError::Timeout) => (false, self.has_ended()),
        };
        if closed == ended {
            return if ended { Heard::Ended } else { Heard::Nothing };
        }
        // the one follows the other at once, or something is wrong
        let since = *self.parting.get_or_insert_with(Instant::now);
        match since.elapsed() > PATIENCE {
            false => Heard::Nothing,
            true if closed => Heard::Mute,
            // what it has started holds its stdout open
            true => Heard::Ended,
        }
    }

    fn ends_within(&self, most: Duration) -> bool {
        let started = Instant::now();
        while !self.has_ended() {
            if started.elapsed() > most {
                return false;
            }
            thread::sleep(Duration::from_millis(1));
        }
        true
    }

    fn has_ended(&self) -> bool {
        self.wait_for_end(libc::WNOHANG)
    }

    /// Waits for the end without reaping: until then the process's number names no other.
    fn wait_for_end(&self, options: i32) -> bool {
        let options = libc::WEXITED | libc::WNOWAIT | options;
        loop {
            // SAFETY: `info` is written by the kernel alone
            let (answer, process) = unsafe {
                let mut info: libc::siginfo_t = std::mem::zeroed();
                let answer = libc::waitid(libc::P_PID, self.child.id(), &raw mut info, options);
                (answer, info.si_pid())
            };
            let interrupted = || std::io::Error::last_os_error().kind() == ErrorKind::Interrupted;
            if answer == 0 || !interrupted() {
                // what cannot be waited for is nobody's child any more
                return answer != 0 || process != 0;
            }
        }
    }

    /// Ends the worker now, unless it has ended.
    pub(super) fn kill(&mut self) {
        // it may be gone already
        drop(self.child.kill());
    }

    /// Waits for the worker's end, and then ends what it has left behind in its process group: a method's
    /// program, and what that has started.
    ///
    /// # Errors
    /// `Failed` where the system does not say how it ended.
    pub(super) fn end(mut self) -> Result<ExitStatus> {
        self.wait_for_end(0);
        let group = self.child.id() as libc::pid_t;
        // SAFETY: takes numbers alone. The worker is not reaped yet, so its number, which is its group's,
        // names no other process.
        unsafe {
            libc::kill(-group, libc::SIGKILL);
        }
        let status =
            self.child.wait().map_err(|error| failed("cannot wait for a worker", &error))?;
        drop(self.stdin);
        Ok(status)
    }
}

/// Sets what the trainer, and every program that computes, is to find in its environment.
pub(super) fn set_environment(command: &mut Command) {
    command.envs(ENVIRONMENT).env(TUNABLES, tunables(std::env::var(TUNABLES).ok()));
    for name in NOT_PASSED_ON {
        command.env_remove(name);
    }
}

/// The user's tunables of glibc but those of the processor, by which its functions compute with other
/// instructions.
fn tunables(own: Option<String>) -> String {
    let Some(own) = own else { return OWN_TUNABLES.to_owned() };
    let kept = own.split(':').filter(|tunable| !tunable.starts_with("glibc.cpu."));
    kept.collect::<Vec<_>>().join(":")
}

/// Passes lines on until the stream ends, or something in it is no line. A last line without an end is left
/// out: its writer died in it.
fn listen(mut stdout: impl BufRead, lines: &SyncSender<Heard>) {
    loop {
        let mut line = Vec::new();
        // the longest message is a record's
        let read = stdout.by_ref().take(LONGEST_MESSAGE + 1).read_until(b'\n', &mut line);
        let heard = match (read, line.pop_if(|last| *last == b'\n')) {
            (Err(_), _) => return,
            (Ok(_), Some(_)) => text_of(line),
            (Ok(_), None) if line.len() as u64 <= LONGEST_MESSAGE => return,
            (Ok(_), None) => Heard::Garbled(format!(
                "a line of more than {} MiB: {}",
                LONGEST_MESSAGE >> 20,
                shown(&line)
            )),
        };
        let is_line = matches!(heard, Heard::Line(_));
        if lines.send(heard).is_err() || !is_line {
            return;
        }
    }
}

fn text_of(line: Vec<u8>) -> Heard {
    match String::from_utf8(line) {
        Ok(line) => Heard::Line(line),
        Err(error) => {
            Heard::Garbled(format!("bytes that are not UTF-8: {}", shown(error.as_bytes())))
        }
    }
}

/// The beginning of what was said, fit for people.
pub(super) fn shown(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(&line[..line.len().min(4 * SHOWN)]);
    text.chars().take(SHOWN).flat_map(char::escape_debug).collect()
}

pub(super) fn failed(what: &str, error: &std::io::Error) -> Error {
    Error::Failed(format!("{what}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(stdout: impl BufRead + Send) -> Vec<Heard> {
        let (sender, lines) = mpsc::sync_channel(1);
        thread::scope(|scope| {
            scope.spawn(move || listen(stdout, &sender));
            lines.iter().collect()
        })
    }

    #[test]
    fn lines_are_passed_on_and_one_in_which_its_writer_died_is_none() {
        let line = |text: &str| Heard::Line(text.to_owned());
        assert_eq!(heard(&b""[..]), []);
        assert_eq!(heard(&b"one\n\ntwo\nthr"[..]), [line("one"), line(""), line("two")]);
    }

    #[test]
    fn bytes_that_are_no_text_are_named_and_nothing_after_them_is_heard() {
        let found = heard(&b"one\ncaf\xe9 \x1b[2J\ntwo\n"[..]);
        let words = "bytes that are not UTF-8: caf\u{fffd} \\u{1b}[2J".to_owned();
        assert_eq!(found, [Heard::Line("one".to_owned()), Heard::Garbled(words)]);
    }

    #[test]
    fn a_line_without_an_end_is_given_up_before_it_fills_memory() {
        let endless = BufReader::with_capacity(1 << 20, std::io::repeat(b'x'));
        let [Heard::Garbled(words)] = &heard(endless)[..] else { panic!() };
        assert!(words.starts_with("a line of more than 64 MiB: xxx"), "{words}");
        assert!(words.len() < 300, "{words}");
    }

    #[test]
    fn of_the_users_tunables_those_of_the_processor_are_left_out() {
        assert_eq!(tunables(None), OWN_TUNABLES);
        let own = "glibc.malloc.hugetlb=0:glibc.cpu.hwcaps=-AVX2,-FMA:glibc.malloc.check=1";
        assert_eq!(tunables(Some(own.to_owned())), "glibc.malloc.hugetlb=0:glibc.malloc.check=1");
        assert_eq!(tunables(Some("glibc.cpu.hwcaps=-FMA".to_owned())), "");
    }

    fn started(script: &str) -> Process {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Process::start(command, "a job", tempfile::tempfile().unwrap()).unwrap()
    }

    /// What a process says until it ends or is given up.
    fn all(process: &mut Process) -> Vec<Heard> {
        let mut all = Vec::new();
        let began = Instant::now();
        loop {
            assert!(began.elapsed() < Duration::from_secs(60), "{all:?}");
            match process.hear() {
                Heard::Nothing => {}
                heard @ (Heard::Ended | Heard::Mute) => {
                    all.push(heard);
                    return all;
                }
                heard => all.push(heard),
            }
        }
    }

    #[test]
    fn a_process_is_heard_to_its_end() {
        let mut process = started("read job; echo \"$job\"; exit 7");
        assert_eq!(all(&mut process), [Heard::Line("a job".to_owned()), Heard::Ended]);
        assert_eq!(process.end().unwrap().code(), Some(7));
    }

    #[test]
    fn one_that_does_not_read_is_not_waited_for() {
        let mut command = Command::new("sleep");
        command.arg("600");
        let log = tempfile::tempfile().unwrap();
        let mut process = Process::start(command, &"x".repeat(1 << 20), log).unwrap();
        assert_eq!(process.hear(), Heard::Nothing);
        process.kill();
        assert!(!process.end().unwrap().success());
    }

    #[test]
    fn one_that_closes_its_stdout_and_lives_on_is_given_up() {
        let mut process = started("echo one; exec >&-; sleep 600");
        assert_eq!(all(&mut process), [Heard::Line("one".to_owned()), Heard::Mute]);
        process.kill();
        assert!(!process.end().unwrap().success());
    }

    #[test]
    fn one_that_has_ended_is_not_waited_for_because_of_what_holds_its_stdout() {
        // out of the group, so that it is not ended with it
        let mut process = started("setsid sleep 30 & exit 0");
        assert_eq!(all(&mut process), [Heard::Ended]);
        assert!(process.end().unwrap().success());
    }
}
