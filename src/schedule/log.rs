//! The log of an attempt at a job: where it lies, and the end of what it holds, for people.
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::files;
use crate::store::record::Job;

/// Lines of a log that people are shown.
const TAIL_LINES: usize = 10;
/// Characters of a line of a log that people are shown.
const LONGEST_LINE: usize = 2000;
/// Bytes of the end of a log that are looked at.
const TAIL_BYTES: u64 = 1 << 16;

/// `<out>/<experiment>/logs/<cell>-<first seed>.<attempt>.log`: the first free number from 1.
pub(super) struct Log {
    path: PathBuf,
    /// Where the worker's own lines begin.
    start: u64,
}

impl Log {
    pub(super) fn open(out: &Path, job: &Job) -> Result<Self> {
        let folder = out.join(&job.experiment).join("logs");
        let first = job.seeds.first().copied().unwrap_or(0);
        let path =
            |attempt: u64| folder.join(format!("{}-{first}.{attempt}.log", job.cell().label));
        let mut attempt = 1;
        let mut log = Self { path: path(attempt), start: 0 };
        // it may have been swapped since the run began
        let found = files::refuse_links(out, &folder).and_then(|()| fs::create_dir_all(&folder));
        found.map_err(|error| log.failed(&error))?;
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

    pub(super) fn file(&self) -> Result<File> {
        // never through a link to another place
        let mut options = OpenOptions::new();
        options.append(true).custom_flags(libc::O_NOFOLLOW);
        let file = options.open(&self.path);
        file.map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &io::Error) -> Error {
        Error::of_file("write the log", &self.path, error)
    }

    /// What a worker said, or where it should have said something.
    pub(super) fn or_where(&self, words: String) -> String {
        let path = self.path.display();
        let nothing = || format!("a worker ended and says nothing in {path}: is its disk full?");
        if words.is_empty() { nothing() } else { words }
    }

    /// The end of what the worker said.
    fn text(&self) -> String {
        // what lies there may no longer be the file that was made
        let file = files::open(&self.path, u64::MAX);
        file.map_or_else(|_| String::new(), |file| end_of(file, self.start))
    }

    /// The path and the last lines.
    pub(super) fn tail(&self) -> String {
        let text = self.text();
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let last = &lines[lines.len().saturating_sub(TAIL_LINES)..];
        let shown = if last.is_empty() { "    (empty)".to_owned() } else { indent(last) };
        format!("  {}:\n{shown}", self.path.display())
    }

    pub(super) fn last_line(&self) -> String {
        last_line(&self.text())
    }
}

/// The end of a log, of what stands there from a place on: it may be of any length.
pub(super) fn end_of(mut file: File, start: u64) -> String {
    let mut read = || {
        let end = file.metadata()?.len();
        file.seek(SeekFrom::Start(start.max(end.saturating_sub(TAIL_BYTES))))?;
        let mut bytes = Vec::new();
        (&file).take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok::<_, io::Error>(bytes)
    };
    String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
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
