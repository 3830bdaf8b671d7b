//! The tutorials of docs/tutorials, run as they are printed: every block of shell commands in one shell, in
//! an empty folder, with the program on PATH; what stands in a block of text must be among what they say.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::sandbox::unaligned;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A tutorial's shell commands, and the lines that it says they print.
fn blocks(text: &str) -> (String, Vec<String>) {
    let (mut script, mut printed) = (String::new(), Vec::new());
    let mut kind: Option<&str> = None;
    for line in text.lines() {
        match (kind, line.strip_prefix("```")) {
            (None, Some(name)) => kind = Some(name),
            (Some(_), Some("")) => kind = None,
            (Some("sh"), _) => script += &format!("{line}\n"),
            (Some("text"), _) => printed.push(line.trim().to_owned()),
            (Some(other), _) => panic!("a block of {other}: a tutorial has commands and texts"),
            (None, None) => {}
        }
    }
    assert!(kind.is_none() && !script.is_empty(), "a block has no end, or there is none");
    (script, printed)
}

/// Runs a tutorial. `python` comes first on the shell's PATH, after the program.
#[track_caller]
fn run(name: &str, python: Option<&Path>) {
    let path = Path::new(ROOT).join("docs/tutorials").join(name);
    let text = std::fs::read_to_string(&path).expect("a tutorial");
    let (script, printed) = blocks(&text);
    let folder = tempfile::tempdir().expect("a folder");
    let program = Path::new(env!("CARGO_BIN_EXE_seedbed")).parent().expect("its folder");
    let rest = std::env::var_os("PATH").unwrap_or_default();
    let first = [Some(program), python].into_iter().flatten().map(Path::to_path_buf);
    let search = std::env::join_paths(first.chain(std::env::split_paths(&rest))).expect("a PATH");
    let done = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &format!("exec 2>&1\n{script}")])
        .current_dir(folder.path())
        .env("PATH", search)
        .env("HOME", folder.path())
        .env_remove("SEEDBED_DATA")
        .output()
        .expect("bash starts");
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{name}:\n{said}");
    let plain = unaligned(&said);
    for line in printed {
        assert!(plain.contains(&unaligned(&line)), "{name}: nothing says '{line}':\n{said}");
    }
}

#[test]
fn the_first_experiment_runs_as_it_is_printed() {
    run("first-experiment.md", None);
}

#[test]
fn a_paper_of_ones_own_is_judged_as_it_is_printed() {
    run("own-paper.md", None);
}

/// The folder of a `python3` that has torch and numpy: the environment of `make methods`, or the user's own.
fn python_with_torch() -> Option<PathBuf> {
    let folders = [".methods/bin", ".libtorch/peer/bin"];
    let folders = folders.iter().map(|folder| Path::new(ROOT).join(folder));
    let named = std::env::var_os("SEEDBED_PYTHON").map(PathBuf::from);
    let named = named.and_then(|python| python.parent().map(Path::to_path_buf));
    let own =
        std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect::<Vec<_>>();
    let has_torch = |folder: &PathBuf| {
        let python = folder.join("python3");
        let mut command = Command::new(&python);
        python.is_file()
            && command
                .args(["-c", "import numpy, torch"])
                .output()
                .is_ok_and(|done| done.status.success())
    };
    named.into_iter().chain(folders).chain(own).find(has_torch)
}

#[test]
fn a_model_in_pytorch_is_judged_as_it_is_printed() {
    let Some(python) = python_with_torch() else {
        let why = "no python3 here has torch and numpy; 'make methods' installs them";
        assert!(std::env::var_os("CI").is_none(), "{why}");
        eprintln!("SKIPPED the tutorial of PyTorch: {why}");
        return;
    };
    run("pytorch-model.md", Some(&python));
}

#[test]
fn every_tutorial_is_run_by_a_test() {
    let entries = std::fs::read_dir(Path::new(ROOT).join("docs/tutorials")).expect("a folder");
    let mut names: Vec<String> =
        entries.map(|one| one.expect("an entry").file_name().to_string_lossy().into()).collect();
    names.sort();
    assert_eq!(names, ["first-experiment.md", "own-paper.md", "pytorch-model.md"]);
}
