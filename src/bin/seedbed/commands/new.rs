//! `seedbed new` and `seedbed new-paper`: files to begin with. Nothing that is there is overwritten.
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Component, Path, PathBuf};

use seedbed::dataset::peek;
use seedbed::error::{Error, Result};
use seedbed::experiment::begin::{self, Beginning};
use seedbed::experiment::{self, Experiment, Selection};
use seedbed::model::ModelSpec;
use seedbed::paper;
use seedbed::shipped;

use crate::args::NewArguments;
use crate::output::print;
use crate::screen::say;

const EXPERIMENTS: &str = "experiments";
const PAPERS: &str = "experiments/papers";

/// Writes `experiments/NAME.toml`.
pub fn new(arguments: &NewArguments) -> Result<u8> {
    let NewArguments { name, from, command, table } = arguments;
    let path = path_of(EXPERIMENTS, name)?;
    let schema = Path::new("schema/experiment.json");
    let schema = schema.exists().then_some("../schema/experiment.json");
    let (text, files) = match from {
        Some(from) => {
            let text = experiment::text(from)?;
            (begin::copy(&text, from, name, schema), shipped_files(from)?)
        }
        None => {
            let head = table.as_deref().map(peek::look).transpose()?;
            let file = table.as_deref().map(file_of).transpose()?;
            let program = command.as_deref().map(program).transpose()?;
            let beginning = Beginning {
                name,
                schema,
                table: head.as_ref().zip(file.as_deref()),
                program: program.as_ref().map(|(words, files)| (&words[..], &files[..])),
            };
            (beginning.text(), Vec::new())
        }
    };
    // a file that seedbed cannot read is not left behind
    Experiment::parse(&path, &text, &Selection::default())?;
    write_new(&path, &text)?;
    for (name, text) in files {
        write_file(Path::new(name), text)?;
    }
    let allow = if command.is_some() { " --allow-commands" } else { "" };
    print(&format!("{}\n", path.display()))?;
    say(&format!("run it with: seedbed run {name}{allow}"));
    Ok(0)
}

/// Writes `experiments/papers/NAME.toml`.
pub fn new_paper(name: &str) -> Result<u8> {
    let path = path_of(PAPERS, name)?;
    if shipped::paper(name).is_some() {
        return Err(Error::Usage(format!(
            "a paper {name} ships with seedbed, and {} would take its place; choose another name",
            path.display()
        )));
    }
    let schema = Path::new("schema/paper.json").exists().then_some("../../schema/paper.json");
    write_new(&path, &paper::begin::text(name, schema))?;
    print(&format!("{}\n", path.display()))?;
    say(&format!(
        "replace its figures, then name it in an experiment: compare = {{ paper = \"{name}\" }}"
    ));
    Ok(0)
}

/// The path of a new file; its name becomes a folder of results and a field of CSV files.
fn path_of(folder: &str, name: &str) -> Result<PathBuf> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    if name.is_empty() || !name.chars().all(plain) {
        return Err(Error::Usage(format!(
            "the name '{name}' may hold only letters, digits, '-' and '_'"
        )));
    }
    Ok(Path::new(folder).join(format!("{name}.toml")))
}

/// Writes a file where there is none, and the folders above it.
fn write_new(path: &Path, text: &str) -> Result<()> {
    let unwritten = |error: std::io::Error| match error.kind() {
        ErrorKind::AlreadyExists => Error::Usage(format!(
            "{} is there already; choose another name, or move it away",
            path.display()
        )),
        _ => Error::of_file("write", path, &error),
    };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)
            .map_err(|error| Error::of_file("make the folder", folder, &error))?;
    }
    let file = OpenOptions::new().write(true).create_new(true).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(unwritten)
}

/// Writes a method's file, unless it is there with the same text.
fn write_file(path: &Path, text: &str) -> Result<()> {
    if std::fs::read(path).is_ok_and(|found| found == text.as_bytes()) {
        return Ok(());
    }
    write_new(path, text)?;
    say(&format!("wrote {}, which the experiment runs", path.display()));
    Ok(())
}

/// The files of an experiment's program that ship, with their texts.
fn shipped_files(name: &str) -> Result<Vec<(&'static str, &'static str)>> {
    let experiment = Experiment::load(name, &Selection::default())?;
    let mut files = Vec::new();
    for cell in &experiment.cells {
        let ModelSpec::Command(program) = &cell.model else { continue };
        for file in shipped::FILES.iter().filter(|file| file.path.starts_with(shipped::METHODS)) {
            let found = (file.path, file.text);
            if program.files.iter().any(|name| name == file.path) && !files.contains(&found) {
                files.push(found);
            }
        }
    }
    Ok(files)
}

/// A program's words, and those of them that are files below this folder.
fn program(command: &str) -> Result<(Vec<String>, Vec<String>)> {
    let Some(mut words) = shlex::split(command).filter(|words| !words.is_empty()) else {
        return Err(Error::Usage(format!(
            "--command {command}: its quotes do not match; write for example --command 'python3 \
             forest.py'"
        )));
    };
    let is_python = words[0].ends_with(".py") && Path::new(&words[0]).is_file();
    if is_python {
        words.insert(0, "python3".to_owned());
    }
    let mut files = Vec::new();
    for word in &mut words {
        let path = Path::new(word.as_str());
        let looks_like_file = path.extension().is_some() || path.is_file();
        if path.is_absolute() || !looks_like_file {
            continue;
        }
        if !path.is_file() {
            return Err(Error::Usage(format!(
                "--command {command}: there is no file {word} here; docs/methods.md says what a program \
                 reads and writes"
            )));
        }
        let below: PathBuf =
            path.components().filter(|part| !matches!(part, Component::CurDir)).collect();
        if below.components().any(|part| !matches!(part, Component::Normal(_))) {
            return Err(Error::Usage(format!(
                "--command {command}: {word} does not lie below this folder; start seedbed in the folder \
                 that holds it"
            )));
        }
        *word = below.display().to_string();
        files.push(word.clone());
    }
    Ok((words, files))
}

/// The name of a table's file in an experiment: from the experiment's folder where it lies below that,
/// else from the root.
fn file_of(path: &Path) -> Result<String> {
    let absolute = |path: &Path| {
        std::path::absolute(path).map_err(|error| Error::of_file("find", path, &error))
    };
    let (file, folder) = (absolute(path)?, absolute(Path::new(EXPERIMENTS))?);
    let name = file.strip_prefix(&folder).unwrap_or(&file);
    let text = name.to_str().map(str::to_owned);
    text.ok_or_else(|| {
        Error::Usage(format!("{} is not UTF-8; give the file another name", name.display()))
    })
}
