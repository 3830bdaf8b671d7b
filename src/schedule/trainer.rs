//! The trainer as a program: where it lies, and the questions that it answers at once. Jobs go to it
//! through `worker`; docs/trainer.md has the whole protocol.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::worker::last_line;
use crate::error::{Error, Result};
use crate::experiment::Cell;
use crate::machine::memory::Need;
use crate::machine::{About, Versions};
use crate::method;
use crate::model::ModelSpec;

/// The trainer's name, beside this program.
const NAME: &str = "seedbed-train";

/// Finds the trainer beside this program.
///
/// # Errors
/// `Failed` where there is none, with how to make it.
pub fn program() -> Result<PathBuf> {
    let this = this_program()?;
    let name = format!("{NAME}{}", std::env::consts::EXE_SUFFIX);
    let trainer = this.parent().unwrap_or(Path::new(".")).join(name);
    if trainer.exists() {
        return Ok(trainer);
    }
    Err(Error::Failed(format!(
        "there is no {}, which trains: 'make build' makes it ('make report' makes seedbed alone, for \
         tables and reports)",
        trainer.display()
    )))
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
    let cannot = |error: std::io::Error| Error::Failed(format!("cannot start {NAME}: {error}"));
    let mut child = Command::new(program()?)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(cannot)?;
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
