//! A method that is a program: a folder with rows goes in, a file of scores comes out (docs/methods.md). The
//! program never sees a label. What it writes is believed no further than its shape and that its scores are
//! numbers.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Read};
#[cfg(target_os = "linux")]
use std::os::unix::process::CommandExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use npyz::WriterBuilder;
use serde_json::json;

use super::{Failure, Given, Rows, Scored};
use crate::model::CommandSpec;
use crate::store::record::{Message, State};

/// Bytes of a line of stdout that are read; the rest of a longer one is passed over.
const LONGEST_LINE: u64 = 4096;

/// How often the program is asked whether it has ended.
const PATIENCE: Duration = Duration::from_millis(20);

/// Bytes that a header of a scores file may take, beside eight a score.
const HEADER: u64 = 65_536;

/// Runs the program on a run's rows and reads its scores.
pub fn fit_and_score(
    spec: &CommandSpec,
    given: &Given,
    emit: &mut dyn FnMut(Message),
) -> Result<Scored, Failure> {
    let folder = tempfile::Builder::new().prefix("seedbed-").tempdir();
    let folder =
        folder.map_err(|error| invalid(&format!("cannot make a folder for a run: {error}")))?;
    write_input(spec, given, folder.path()).map_err(|error| {
        invalid(&format!("cannot write to {}: {error}", folder.path().display()))
    })?;
    run(spec, given, folder.path(), emit)?;
    let test = read_scores(&folder.path().join("scores.npy"), given.test.count())?;
    let path = folder.path().join("train_scores.npy");
    let train = match path.exists() {
        true => Some(read_scores(&path, given.train.count())?),
        false if given.wants_train => {
            let what = "the threshold ranks the training rows too";
            return Err(crashed(&format!("the program wrote no train_scores.npy, and {what}")));
        }
        false => None,
    };
    Ok(Scored { train, test_error: vec![f64::NAN; test.len()], test, broken: None })
}

fn invalid(text: &str) -> Failure {
    (State::InvalidData, text.to_owned())
}

fn crashed(text: &str) -> Failure {
    (State::Crashed, text.to_owned())
}

/// Writes `job.json`, `train.npy` and `test.npy`.
fn write_input(spec: &CommandSpec, given: &Given, folder: &Path) -> std::io::Result<()> {
    let job = json!({
        "seed": given.seed,
        "settings": spec.settings,
        "columns": given.columns,
        "image": given.image.map(|(height, width)| [height, width]),
        "threads": spec.threads,
        "device": "cpu",
    });
    fs::write(folder.join("job.json"), format!("{job:#}\n"))?;
    for (name, rows) in [("train.npy", given.train), ("test.npy", given.test)] {
        write_rows(&folder.join(name), rows)?;
    }
    Ok(())
}

/// Writes f32 [rows, features].
fn write_rows(path: &Path, rows: Rows) -> std::io::Result<()> {
    let shape = [rows.count() as u64, rows.features as u64];
    let file = BufWriter::new(File::create(path)?);
    let mut writer =
        npyz::WriteOptions::new().default_dtype().shape(&shape).writer(file).begin_nd()?;
    writer.extend(rows.values.iter().copied())?;
    writer.finish()
}

/// Starts the program in its folder and listens to it until it ends.
fn run(
    spec: &CommandSpec,
    given: &Given,
    folder: &Path,
    emit: &mut dyn FnMut(Message),
) -> Result<(), Failure> {
    let words = spec.arguments(&given.folder);
    let Some((program, arguments)) = words.split_first() else {
        return Err(invalid("model.program is empty"));
    };
    let threads = spec.threads.to_string();
    let mut command = Command::new(program);
    command
        .args(arguments)
        .arg(folder)
        .current_dir(folder)
        .envs(
            ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"]
                .map(|name| (name, &threads)),
        )
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    end_with_this_process(&mut command);
    let mut child = command.spawn().map_err(|error| {
        crashed(&format!("cannot start the program '{}': {error}", program.to_string_lossy()))
    })?;
    let (sender, messages) = mpsc::channel();
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
    if status.success() { Ok(()) } else { Err(crashed(&ending(status))) }
}

/// Asks the kernel, on Linux, to end the program with the thread that waits for it. Elsewhere the harness
/// ends the whole group of a worker that it waits for.
fn end_with_this_process(command: &mut Command) {
    #[cfg(target_os = "linux")]
    // SAFETY: may be called between fork and exec, and stays set over exec
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            Ok(())
        });
    }
    #[cfg(not(target_os = "linux"))]
    let _ = command;
}

/// Sends what stdout says of progress, and drops all else; ends with the stream, or when nobody listens.
fn listen(mut stdout: impl BufRead, messages: &Sender<Message>) {
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

/// Reads a file of scores: as many numbers as there are rows, f64 or f32.
fn read_scores(path: &Path, rows: usize) -> Result<Vec<f64>, Failure> {
    let name = path.file_name().map(PathBuf::from).unwrap_or_default();
    let wrong = |what: &str| crashed(&format!("{} {what}", name.display()));
    let found = path.symlink_metadata();
    let found = found.map_err(|error| wrong(&format!("cannot be read: {error}")))?;
    if !found.is_file() {
        return Err(wrong("is no regular file"));
    }
    if found.len() > HEADER + 8 * rows as u64 {
        return Err(wrong(&format!("has {} bytes, more than {rows} scores take", found.len())));
    }
    let file = File::open(path).map_err(|error| wrong(&format!("cannot be read: {error}")))?;
    let array = npyz::NpyFile::new(BufReader::new(file))
        .map_err(|error| wrong(&format!("is no array of numpy's: {error}")))?;
    if array.shape() != [rows as u64] {
        let shape = array.shape();
        return Err(wrong(&format!(
            "has the shape {shape:?}, and there are {rows} rows: write [{rows}]"
        )));
    }
    let dtype = array.dtype().descr();
    let scores: std::io::Result<Vec<f64>> = match array.try_data::<f64>() {
        Ok(numbers) => numbers.collect(),
        Err(array) => match array.try_data::<f32>() {
            Ok(numbers) => numbers.map(|number| number.map(f64::from)).collect(),
            Err(_) => return Err(wrong(&format!("holds {dtype}: write float64"))),
        },
    };
    let scores = scores.map_err(|error| wrong(&format!("breaks off: {error}")))?;
    match scores.iter().position(|score| score.is_nan()) {
        Some(row) => Err((State::Diverged, format!("{}: score {row} is NaN", name.display()))),
        None => Ok(scores),
    }
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
