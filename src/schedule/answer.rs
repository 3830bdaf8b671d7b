//! The other side of the pipe: what a program that `worker` starts does with its stdin and stdout
//! (docs/trainer.md). The trainer answers so, and this program's own `fit`.

use std::io::{Read, Write};
use std::thread;

use crate::error::{Error, Result};
use crate::store::record::Job;

/// Reads a job from stdin, which the harness keeps open: its end ends this process, so that no worker
/// outlives the process that started it.
///
/// # Errors
/// `Usage` for what is no job, `Failed` where stdin cannot be read.
pub fn begin() -> Result<Job> {
    let mut line = String::new();
    std::io::stdin()
        .read_line(&mut line)
        .map_err(|error| Error::Failed(format!("a worker cannot read from stdin: {error}")))?;
    let job: Job = serde_json::from_str(&line)
        .map_err(|error| Error::Usage(format!("a worker's stdin holds no job: {error}")))?;
    thread::spawn(|| {
        let mut rest = Vec::new();
        // an error is an end too
        drop(std::io::stdin().read_to_end(&mut rest));
        end_now(1);
    });
    Ok(job)
}

/// Writes one line of JSON; ends this process where nobody listens any more.
///
/// # Panics
/// If the message cannot be written as JSON.
pub fn say<T: serde::Serialize>(message: &T) {
    let line = serde_json::to_string(message).expect("messages serialise");
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
        end_now(1);
    }
}

/// Ends this process now: the handlers that run at a usual exit would take down what a thread computes
/// with.
fn end_now(code: u8) -> ! {
    // SAFETY: has no preconditions
    unsafe { libc::_exit(i32::from(code)) }
}
