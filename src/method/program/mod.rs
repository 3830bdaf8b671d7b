//! A method that is a program: a folder with rows goes in, a file of scores comes out (docs/methods.md). The
//! program never sees a label. What it writes is believed no further than its shape and that its scores are
//! numbers.

mod environment;
mod log;
mod outputs;

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
#[cfg(target_os = "linux")]
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::Duration;

use super::prepare::{Prepared, Run};
use super::score_file::{self, Fault};
use super::{Failure, Fitted, Scored, folder};
use crate::machine::{memory, process};
use crate::model::{CommandSpec, Placed};
use crate::store::record::{Job, Message, State};

pub use environment::print as environment;

/// Bytes of a line of stdout that are read; the rest of a longer one is passed over.
const LONGEST_LINE: u64 = 4096;

/// Lines of progress that may wait to be passed on; a program that says more waits.
const MOST_LINES: usize = 256;

/// How often the program is asked whether it has ended.
const PATIENCE: Duration = Duration::from_millis(20);

/// Runs the program on a run's rows and reads what it wrote.
pub fn fit_and_score(
    spec: &CommandSpec,
    prepared: &Prepared,
    run: &Run,
    emit: &mut dyn FnMut(Message),
) -> Result<Fitted, Failure> {
    let place = new_folder()?;
    let (job, path) = (prepared.job, place.path());
    // a full disk says nothing of the run: it may be tried again
    folder::write(path, prepared, run, job.cell())
        .map_err(|error| crashed(&format!("cannot write to {}: {error}", path.display())))?;
    let mut placed = placed(spec, &spec.program, job)?;
    placed.words.push(path.into());
    listen_to(start(&placed.words, path, spec.threads)?, emit)?;
    let test = read_scores(path, "scores.npy", run.split.test.len())?;
    let wants_train = job.cells.iter().any(|cell| cell.protocol.scores_training_rows());
    let train = match path.join(TRAIN_SCORES).symlink_metadata().is_ok() {
        true => Some(read_scores(path, TRAIN_SCORES, run.split.train.len())?),
        false if wants_train => {
            let what = "the threshold ranks the training rows too";
            return Err(crashed(&format!("the program wrote no {TRAIN_SCORES}, and {what}")));
        }
        false => None,
    };
    let scored = Scored { train, test_error: vec![f64::NAN; test.len()], test, broken: None };
    let (terms, curve) = outputs::curve(path)?;
    Ok(Fitted { scored, terms, curve, diagnostics: outputs::diagnostics(path)? })
}

const TRAIN_SCORES: &str = "train_scores.npy";

fn invalid(text: &str) -> Failure {
    (State::InvalidData, text.to_owned())
}

fn crashed(text: &str) -> Failure {
    (State::Crashed, text.to_owned())
}

/// Finds the files of a program or of its environment's.
fn placed(spec: &CommandSpec, command: &[String], job: &Job) -> Result<Placed, Failure> {
    let placed = spec.place(command, &job.folder.clone().unwrap_or_default());
    placed.map_err(|error| crashed(&format!("cannot place the program's files: {error}")))
}

fn new_folder() -> Result<tempfile::TempDir, Failure> {
    let folder = tempfile::Builder::new().prefix("seedbed-").tempdir();
    folder.map_err(|error| crashed(&format!("cannot make a folder for a run: {error}")))
}

/// Starts a program in a folder, with as many threads for libraries that heed it.
fn start(words: &[OsString], folder: &Path, threads: usize) -> Result<Child, Failure> {
    let Some((program, arguments)) = words.split_first() else {
        return Err(invalid("model.program is empty"));
    };
    let threads = threads.to_string();
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir(folder)
        .envs(
            ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"]
                .map(|name| (name, &threads)),
        )
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    process::end_with_this_thread(&mut command);
    command.spawn().map_err(|error| {
        crashed(&format!("cannot start the program '{}': {error}", program.to_string_lossy()))
    })
}

/// Listens to a program until it ends, well or not.
fn listen_to(mut child: Child, emit: &mut dyn FnMut(Message)) -> Result<(), Failure> {
    let kills = memory::kills();
    let log = child.stderr.take().map(|stderr| log::Copied::of(stderr, std::io::stderr()));
    let (sender, messages) = mpsc::sync_channel(MOST_LINES);
    if let Some(stdout) = child.stdout.take() {
        // not waited for: what the program leaves behind may hold its stdout open
        thread::spawn(move || listen(BufReader::new(stdout), &sender));
    }
    let status = loop {
        match messages.recv_timeout(PATIENCE) {
            Ok(message) => emit(message),
            Err(RecvTimeoutError::Disconnected) => break child.wait(),
            Err(RecvTimeoutError::Timeout) => match child.try_wait() {
                Ok(None) => {}
                Ok(Some(status)) => break Ok(status),
                Err(error) => break Err(error),
            },
        }
    };
    let status =
        status.map_err(|error| crashed(&format!("cannot wait for the program: {error}")))?;
    messages.try_iter().for_each(emit);
    log.into_iter().for_each(log::Copied::end);
    match status.signal() {
        _ if status.success() => Ok(()),
        // anyone may send it
        Some(libc::SIGKILL) if memory::kills() > kills => {
            Err((State::OutOfMemory, format!("{}: memory ran out", ending(status))))
        }
        Some(_) | None => Err(crashed(&ending(status))),
    }
}

/// Sends what stdout says of progress, and drops all else; ends with the stream, or when nobody listens.
fn listen(mut stdout: impl BufRead, messages: &SyncSender<Message>) {
    let mut line = Vec::new();
    loop {
        line.clear();
        match stdout.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let message = progress(&String::from_utf8_lossy(&line));
        if message.is_some_and(|message| messages.send(message).is_err()) {
            return;
        }
    }
}

/// `progress 3/10 loss 0.42`, the loss where there is one.
fn progress(line: &str) -> Option<Message> {
    let mut words = line.split_whitespace();
    if words.next() != Some("progress") {
        return None;
    }
    let (epoch, epochs) = words.next()?.split_once('/')?;
    let loss = match words.next() {
        Some("loss") => words.next()?.parse().ok().filter(|loss: &f64| loss.is_finite()),
        Some(_) | None => None,
    };
    let (epoch, epochs) = (epoch.parse().ok()?, epochs.parse().ok()?);
    Some(Message::Progress { epoch, epochs, loss, rows_per_second: 0.0 })
}

fn ending(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => {
            format!("the program ended with exit code {code}; the log has its words")
        }
        (None, Some(signal)) => format!("the program ended by signal {signal}"),
        (None, None) => "the program ended in an unknown way".to_owned(),
    }
}

fn read_scores(folder: &Path, name: &str, rows: usize) -> Result<Vec<f64>, Failure> {
    score_file::read_written(&folder.join(name), rows).map_err(|fault| {
        let state = match &fault {
            Fault::File(_) => State::Crashed,
            Fault::NotANumber(_) => State::Diverged,
        };
        (state, format!("{name}{fault}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_a_word_two_numbers_and_perhaps_a_loss() {
        let of = |line: &str| match progress(line) {
            Some(Message::Progress { epoch, epochs, loss, .. }) => Some((epoch, epochs, loss)),
            _ => None,
        };
        assert_eq!(of("progress 3/10 loss 0.5\n"), Some((3, 10, Some(0.5))));
        assert_eq!(of("progress 3/10"), Some((3, 10, None)));
        assert_eq!(of("progress 3/10 loss nan"), Some((3, 10, None)));
        for line in ["progress", "progress 3", "progress a/b", "Progress 1/2", "", "progress -1/2"]
        {
            assert_eq!(of(line), None, "{line}");
        }
    }
}
