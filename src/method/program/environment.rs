//! What a method's results depend on beside its files: what the program of `model.environment` prints, such
//! as `pip freeze`. Its digest goes into records, and its text once into the folder of results.

use std::fs;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use super::{Failure, crashed, ending, log, new_folder, placed, start};
use crate::digest;
use crate::files;
use crate::model::CommandSpec;
use crate::store::record::Job;
use crate::store::whole;

/// Bytes of what is printed: some ten thousand packages.
const LONGEST: u64 = 1 << 20;

/// Runs the program of a job's environment and returns the digest of what it prints; empty where there is no
/// such program. The text is kept where the job says what is kept.
///
/// # Errors
/// A program that cannot be started, that fails, or that prints nothing or too much.
pub fn print(spec: &CommandSpec, job: &Job) -> Result<String, Failure> {
    if spec.environment.is_empty() {
        return Ok(String::new());
    }
    let wrong = |what: &str| crashed(&format!("the program of model.environment {what}"));
    let folder = new_folder()?;
    let placed = placed(spec, &spec.environment, job)?;
    let mut child = start(&placed.words, folder.path(), 1)?;
    let log = child.stderr.take().map(|stderr| log::Copied::of(stderr, io::stderr()));
    let mut text = Vec::new();
    let read = match child.stdout.take() {
        Some(stdout) => stdout.take(LONGEST + 1).read_to_end(&mut text),
        None => Ok(0),
    };
    if text.len() as u64 > LONGEST {
        // it would wait for ever for somebody who reads
        drop(child.kill());
    }
    let status = child.wait().map_err(|error| wrong(&format!("cannot be waited for: {error}")))?;
    log.into_iter().for_each(log::Copied::end);
    read.map_err(|error| wrong(&format!("cannot be read: {error}")))?;
    if text.len() as u64 > LONGEST {
        return Err(wrong("prints more than a mebibyte: print names and versions"));
    }
    if !status.success() {
        return Err(wrong(&ending(status).replace("the program ", "")));
    }
    if text.is_empty() {
        return Err(wrong("prints nothing"));
    }
    let digest = digest::sha256(&text);
    if let Some(kept) = &job.kept {
        keep(&kept.folder, &digest, &text)
            .map_err(|error| crashed(&format!("cannot keep the environment: {error}")))?;
    }
    Ok(digest)
}

/// Writes a text into the folder of results, once a digest.
fn keep(results: &Path, digest: &str, text: &[u8]) -> io::Result<()> {
    let folder = results.join("environments");
    files::refuse_links(results, &folder)?;
    // the folder of results is not made here: where it is gone it was another one
    match fs::create_dir(&folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    whole::create(&folder.join(format!("{digest}.txt")), text).map(drop)
}
