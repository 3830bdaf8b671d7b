//! The trainer as a program: where it lies, and the questions that it answers at once. Jobs go to it
//! through `worker`; docs/trainer.md has the whole protocol.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::log::last_line;
use super::process::set_environment;
use crate::error::{Error, Result};
use crate::experiment::Cell;
use crate::machine::memory::Need;
use crate::machine::process;
use crate::machine::{About, Versions};
use crate::method;
use crate::model::ModelSpec;

/// The trainer's name, beside this program.
const NAME: &str = "seedbed-train";

/// A program's file, opened when it was first looked for: what is started later is that very program, also
/// where another has taken its place since.
struct Held {
    path: PathBuf,
    file: File,
    found: Found,
}

/// What tells a file's bytes from other ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Found {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
}

impl Found {
    fn of(found: &Metadata) -> Self {
        let modified = (found.mtime(), found.mtime_nsec());
        Self { device: found.dev(), inode: found.ino(), length: found.len(), modified }
    }
}

impl Held {
    fn open(path: PathBuf) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true);
        // a program may be started that may not be read
        #[cfg(target_os = "linux")]
        options.custom_flags(libc::O_PATH);
        let file = options.open(&path)?;
        let found = Found::of(&file.metadata()?);
        Ok(Self { path, file, found })
    }

    /// Starts nothing yet. Runs of two builds are not to be mixed unseen: the open file is started where its
    /// name leads elsewhere.
    fn command(&self) -> Result<Command> {
        let is_found =
            |now: io::Result<Metadata>| now.is_ok_and(|now| Found::of(&now) == self.found);
        if is_found(fs::metadata(&self.path)) {
            return Ok(Command::new(&self.path));
        }
        let open = PathBuf::from(format!("/proc/self/fd/{}", self.file.as_raw_fd()));
        if !is_found(self.file.metadata()) || !open.exists() {
            return Err(Error::Failed(format!(
                "{} was replaced since this command began, and runs of two builds are not mixed: start it \
                 again; what is stored stays",
                self.path.display()
            )));
        }
        let mut command = Command::new(open);
        command.arg0(&self.path);
        Ok(command)
    }
}

/// Makes a command of the trainer beside this program.
///
/// # Errors
/// `Failed` where there is none, with how to make it, and where it was overwritten meanwhile.
pub fn command() -> Result<Command> {
    static HELD: OnceLock<Result<Held>> = OnceLock::new();
    let find = || {
        let name = format!("{NAME}{}", std::env::consts::EXE_SUFFIX);
        let trainer = this_program()?.parent().unwrap_or(Path::new(".")).join(name);
        Held::open(trainer.clone()).map_err(|error| match error.kind() {
            ErrorKind::NotFound => Error::Failed(format!(
                "there is no {}, which trains: 'make build' makes it ('make report' makes seedbed alone, for \
                 tables and reports)",
                trainer.display()
            )),
            _ => Error::of_file("open", &trainer, &error),
        })
    };
    HELD.get_or_init(find).as_ref().map_err(Clone::clone)?.command()
}

/// Makes a command of this very program, also where its file was replaced since it began.
///
/// # Errors
/// `Failed` where the operating system does not say which file it is.
pub fn this_command() -> Result<Command> {
    let path = this_program()?;
    let this = Path::new("/proc/self/exe");
    if path.exists() || !this.exists() {
        return Ok(Command::new(path));
    }
    let mut command = Command::new(this);
    command.arg0(&path);
    Ok(command)
}

/// Finds the file of this program.
///
/// # Errors
/// `Failed` where the operating system does not say.
pub fn this_program() -> Result<PathBuf> {
    std::env::current_exe()
        .map_err(|error| Error::Failed(format!("cannot find this program's own file: {error}")))
}

/// Returns the versions that runs of a model are made with: libtorch's is blank where nothing is trained.
///
/// # Errors
/// As [`about`], of which a method that needs no trainer is not asked.
pub fn versions(model: &ModelSpec) -> Result<Versions> {
    match model.is_trained() {
        true => Ok(about()?.versions),
        false => Ok(Versions::of_build(String::new())),
    }
}

/// What the trainer has said of itself; kept, for it takes half a second to load libtorch.
static ABOUT: OnceLock<Result<About>> = OnceLock::new();

/// Returns what the trainer says of itself, and asks it where it has not said so yet.
///
/// # Errors
/// `Failed` where there is no trainer, where it does not answer, and where it is of another build.
pub fn about() -> Result<About> {
    ABOUT.get_or_init(|| checked(ask(&["about"], "")?)).clone()
}

/// Refuses a trainer of another build: what the two say to each other may differ.
fn checked(about: About) -> Result<About> {
    let own = Versions::of_build(about.versions.libtorch.clone());
    if about.versions.seedbed != own.seedbed || about.versions.commit != own.commit {
        return Err(Error::Failed(format!(
            "seedbed is of commit {} and {NAME} beside it of commit {}: 'make build' makes both",
            own.commit, about.versions.commit
        )));
    }
    Ok(about)
}

/// The trainer's answer to a question about needs: it says of itself what `about` would ask, too.
#[derive(Deserialize)]
struct Needs {
    about: About,
    needs: Vec<Option<Need>>,
}

/// Returns what a job of each cell needs of a device's memory, where that is known before its data are
/// read. The trainer is asked of the cells that it trains, if there are some.
///
/// # Errors
/// As [`about`], and what the trainer says of a cell that it cannot train.
pub fn needs(cells: &[&Cell], device_kind: &str) -> Result<Vec<Option<Need>>> {
    let trained: Vec<&Cell> =
        cells.iter().copied().filter(|cell| cell.model.is_trained()).collect();
    let mut answers = Vec::new();
    if !trained.is_empty() {
        let question = serde_json::to_string(&trained).map_err(unwritable)?;
        let Needs { about, needs } = ask(&["need", device_kind], &question)?;
        ABOUT.get_or_init(|| checked(about)).clone()?;
        answers = needs;
    }
    let mut answers = answers.into_iter();
    let need = |cell: &&Cell| match cell.model.is_trained() {
        true => answers.next().flatten(),
        false => method::memory_need(cell),
    };
    Ok(cells.iter().map(need).collect())
}

/// Runs the trainer to its end with `input` on stdin, and reads the one line of its answer.
fn ask<T: DeserializeOwned>(arguments: &[&str], input: &str) -> Result<T> {
    let cannot = |error: io::Error| Error::Failed(format!("cannot start {NAME}: {error}"));
    let mut command = command()?;
    command.args(arguments);
    set_environment(&mut command);
    process::end_with_this_thread(&mut command);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(cannot)?;
    if let Some(mut stdin) = child.stdin.take() {
        // a trainer that died at once is found out by its status
        drop(stdin.write_all(input.as_bytes()));
    }
    let output = child.wait_with_output().map_err(cannot)?;
    let words = last_line(&String::from_utf8_lossy(&output.stderr));
    if !output.status.success() {
        let how = super::worker::describe(output.status, &words);
        return Err(match output.status.code() {
            Some(2) => Error::Usage(words),
            Some(3) => Error::Data(words),
            Some(_) | None => Error::Failed(format!("{NAME} {}: {how}", arguments.join(" "))),
        });
    }
    serde_json::from_slice(&output.stdout).map_err(|error| {
        Error::Failed(format!(
            "{NAME} {} answered what is not asked for: {error}",
            arguments.join(" ")
        ))
    })
}

fn unwritable(error: serde_json::Error) -> Error {
    Error::Failed(format!("cannot write a question to {NAME}: {error}"))
}
