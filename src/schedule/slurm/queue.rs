//! Slurm's programs: what the queue has, cancelling it, and the folder where an array's tasks write.
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use super::{QUEUE_FORMAT, Task};
use crate::error::{Error, Result};
use crate::store::whole;

/// How long between two looks at a queue from which tasks are to go.
const PAUSE: Duration = Duration::from_secs(1);

/// Cancels arrays and waits until the queue has nothing of them; returns their numbers. `begun` is called
/// once, where there is something to cancel.
///
/// # Errors
/// As [`ask`].
pub fn cancel_tasks(names: &[&str], out: &Path, begun: &mut dyn FnMut()) -> Result<Option<String>> {
    let mut cancelled: Option<String> = None;
    loop {
        let tasks = tasks_of(names, out)?;
        if tasks.is_empty() {
            return Ok(cancelled);
        }
        if cancelled.is_none() {
            for number in arrays(&tasks) {
                mark_cancelled(&out.join("slurm"), number)?;
                ask("scancel", &[&number.to_string()], "")?;
            }
            cancelled = Some(numbers(&tasks));
            begun();
        }
        thread::sleep(PAUSE);
    }
}

/// Lists the tasks in the queue that train experiments of these names into a folder.
///
/// # Errors
/// As [`ask`].
pub fn tasks_of(names: &[&str], out: &Path) -> Result<Vec<Task>> {
    let queue = ask("squeue", &["--noheader", "--array", "--me", QUEUE_FORMAT], "")?;
    let tasks = super::parse_queue(&queue)?;
    Ok(tasks.into_iter().filter(|task| task.trains(names, out)).collect())
}

/// Lists the numbers of the tasks' arrays, each once.
pub fn arrays(tasks: &[Task]) -> Vec<u64> {
    let mut arrays: Vec<u64> = tasks.iter().map(|task| task.array).collect();
    arrays.sort_unstable();
    arrays.dedup();
    arrays
}

/// Writes the numbers of the tasks' arrays as `12`, or `12, 15`.
pub fn numbers(tasks: &[Task]) -> String {
    arrays(tasks).iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
}

/// Asks a program of Slurm's.
///
/// # Errors
/// `Failed` where there is none, or where it refuses.
pub fn ask(program: &str, arguments: &[&str], input: &str) -> Result<String> {
    let failed = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => Error::Failed(format!(
            "there is no {program} here: run this where Slurm is, on a login node of the cluster, \
             or give --print, which only prints the script for sbatch"
        )),
        _ => Error::Failed(format!("cannot start {program}: {error}")),
    };
    let mut command = Command::new(program);
    // what a user has set for looks of their own would hide tasks
    for (name, _) in std::env::vars_os() {
        let hides = |start: &str| name.to_str().is_some_and(|name| name.starts_with(start));
        if hides("SQUEUE_") || hides("SCANCEL_") || name == "SBATCH_WAIT" {
            command.env_remove(name);
        }
    }
    let (stdin, pipe) = (Stdio::piped(), Stdio::piped);
    let child = command.args(arguments).stdin(stdin).stdout(pipe()).stderr(pipe()).spawn();
    let mut child = child.map_err(failed)?;
    // one that does not read to the end says why
    drop(child.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes())));
    let answer = child.wait_with_output().map_err(failed)?;
    if answer.status.success() {
        return Ok(String::from_utf8_lossy(&answer.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&answer.stderr).into_owned();
    let advice = match program {
        "sbatch" => "; 'sinfo' lists partitions, --print shows the script",
        _ => "; does 'sinfo' answer here?",
    };
    Err(Error::Failed(format!("{program} refuses: {}{advice}", super::complaint(&said))))
}

/// Makes the folder of the tasks' logs. Results of someone else's could have them written to any place
/// by links.
///
/// # Errors
/// `Failed` where it cannot be made, or where a link is in it.
pub fn make_logs(logs: &Path) -> Result<()> {
    let failed = |error| {
        let place = logs.display();
        Error::Failed(format!("cannot make the folder {place} for the tasks' logs: {error}"))
    };
    std::fs::create_dir_all(logs).map_err(failed)?;
    let mut paths = vec![logs.to_owned()];
    for entry in std::fs::read_dir(logs).map_err(failed)? {
        paths.push(entry.map_err(failed)?.path());
    }
    match paths.iter().find(|path| path.is_symlink()) {
        None => Ok(()),
        Some(link) => Err(Error::Failed(format!(
            "{} is a symbolic link, by which logs would be written elsewhere; remove it",
            link.display()
        ))),
    }
}

/// Names the file that is there when an array was cancelled, so that a process that waits for it does not
/// submit it again.
pub fn cancelled_mark(logs: &Path, number: u64) -> PathBuf {
    logs.join(format!("{number}.cancelled"))
}

fn mark_cancelled(logs: &Path, number: u64) -> Result<()> {
    let mark = cancelled_mark(logs, number);
    match whole::write(&mark, "") {
        Ok(()) => Ok(()),
        // the results were removed: nobody waits for them
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::Failed(format!("cannot write {}: {error}", mark.display()))),
    }
}

/// Returns the folder of results by the one name that all who look give it.
///
/// # Errors
/// `Failed` where the system does not tell.
pub fn place(out: &Path) -> Result<PathBuf> {
    let absolute = std::fs::canonicalize(out).or_else(|_| std::path::absolute(out));
    absolute.map_err(|error| Error::Failed(format!("cannot tell where --out lies: {error}")))
}
