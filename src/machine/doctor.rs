//! What `seedbed doctor` says: versions, devices, data, and for each thing that is missing the exact
//! next step. Looks and reports; it changes nothing, downloads nothing and does not print.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::device::{self, DeviceInfo};
use super::memory::{self, Memory};
use super::{About, CudaLibrary, LIBTORCH, Versions, gpu};
use crate::dataset::{self, FileState, FileStatus};
use crate::error::Result;
use crate::report::columns;
use crate::shell::quoted_path;
use crate::shipped;

/// Everything that was looked at.
#[derive(Debug, Clone, Serialize)]
pub struct Diagnosis {
    pub versions: Versions,
    pub devices: Vec<DeviceInfo>,
    /// Threads that can run at once: as many workers as `run` starts on the CPU.
    pub cores: usize,
    pub checks: Vec<Check>,
    /// Whether `make quick` would end well; it needs no data, since it leaves out what lacks them.
    pub ready: bool,
}

/// One thing that a run needs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Check {
    pub name: String,
    pub state: CheckState,
    /// What was seen.
    pub detail: String,
    /// The command or action that helps; none where nothing is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// `Missing` leaves a part of the experiments or devices out; `Broken` stops every run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckState {
    Ok,
    Missing,
    Broken,
}

impl Check {
    fn ok(name: &str, detail: impl Into<String>) -> Self {
        Self { name: name.into(), state: CheckState::Ok, detail: detail.into(), next: None }
    }

    fn wrong(name: &str, state: CheckState, detail: String, next: String) -> Self {
        Self { name: name.into(), state, detail, next: Some(next) }
    }
}

/// Looks at everything. `about` is the trainer's answer, `data` the user's `--data`, `out` where results
/// would go. Reads the data files whole, to compare their digests.
pub fn diagnose(
    about: &Result<About>,
    data: Option<&Path>,
    experiments: &Path,
    out: &Path,
) -> Diagnosis {
    let mut checks = vec![check_trainer(about)];
    if let Ok(about) = about {
        checks.push(check_libtorch(about));
        checks.push(check_cuda(&about.cuda, about.cards, &gpu::cards()));
    }
    checks.extend([check_experiments(experiments), check_writable(out)]);
    let search = dataset::search_path(data);
    checks.extend(dataset::status(&search, true).iter().map(|file| check_file(file, &search)));
    let versions = about.as_ref().map(|about| about.versions.clone());
    let devices = device::here(&|| about.clone());
    Diagnosis {
        versions: versions.unwrap_or_else(|_| Versions::of_build(String::new())),
        // a check says why cards cannot be used
        devices: devices.unwrap_or_else(|_| vec![device::cpu()]),
        cores: std::thread::available_parallelism().map_or(1, |cores| cores.get()),
        ready: checks.iter().all(|check| check.state != CheckState::Broken),
        checks,
    }
}

fn check_trainer(about: &Result<About>) -> Check {
    match about {
        Ok(_) => Check::ok("trainer", "seedbed-train answers"),
        Err(error) => {
            let next = "make build".into();
            Check::wrong("trainer", CheckState::Broken, error.to_string(), next)
        }
    }
}

fn check_libtorch(about: &About) -> Check {
    let version = &about.versions.libtorch;
    let broken = |detail: String, next: &str| {
        Check::wrong("libtorch", CheckState::Broken, detail, next.into())
    };
    if version.split('+').next() != Some(LIBTORCH) {
        let detail = format!("version {version}, not {LIBTORCH}");
        return broken(detail, "unset LIBTORCH; make setup build");
    }
    match (&about.broken, &about.folder) {
        (Some(reason), _) => broken(reason.clone(), "rm -r .libtorch; make setup build"),
        (None, Some(folder)) => Check::ok("libtorch", folder.clone()),
        (None, None) => Check::ok("libtorch", "linked into the trainer"),
    }
}

/// A host without a GPU lacks nothing.
fn check_cuda(
    library: &CudaLibrary,
    seen: usize,
    cards: &std::result::Result<Vec<gpu::Card>, String>,
) -> Check {
    let wrong = |detail: &str, next: &str| {
        Check::wrong("cuda", CheckState::Missing, detail.into(), next.into())
    };
    let cards = match cards {
        Ok(cards) => cards.len(),
        Err(reason) => return wrong(reason, "mend the driver until 'nvidia-smi' works"),
    };
    match library {
        CudaLibrary::Loaded if cards > 0 && seen == cards => {
            Check::ok("cuda", format!("{cards} device(s)"))
        }
        CudaLibrary::Loaded if cards > 0 || seen > 0 => wrong(
            &format!("the driver has {cards} NVIDIA card(s) for us, and libtorch sees {seen}"),
            "compare the driver ('nvidia-smi') with CUDA 13.0, and look at CUDA_VISIBLE_DEVICES",
        ),
        CudaLibrary::Loaded => Check::ok("cuda", "no NVIDIA card here"),
        CudaLibrary::Absent if cards > 0 => wrong(
            "there is an NVIDIA card, and this libtorch is for CPUs",
            "SEEDBED_LIBTORCH=cuda make setup build",
        ),
        CudaLibrary::Absent => Check::ok("cuda", "no NVIDIA card here; libtorch for CPUs"),
        CudaLibrary::Failed(reason) => {
            wrong(reason, "rm -r .libtorch; SEEDBED_LIBTORCH=cuda make setup build")
        }
    }
}

fn check_experiments(folder: &Path) -> Check {
    let names = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let count =
        names.filter(|path| path.extension().is_some_and(|extension| extension == "toml")).count();
    let shipped = shipped::experiments().len();
    let detail = format!("{count} in {}, {shipped} ship with the program", folder.display());
    Check::ok("experiments", detail)
}

fn check_writable(out: &Path) -> Check {
    let existing = out.ancestors().find(|folder| folder.is_dir());
    // A relative path's last ancestor is empty and means the working directory.
    let existing = existing.map_or(Path::new("."), |folder| folder);
    match tempfile::tempfile_in(existing) {
        Ok(_) => Check::ok("results", format!("{} can be written", out.display())),
        Err(error) => {
            let detail = format!("cannot write in {}: {error}", existing.display());
            Check::wrong(
                "results",
                CheckState::Broken,
                detail,
                "choose another folder with --out DIR".into(),
            )
        }
    }
}

fn check_file(status: &FileStatus, search: &[PathBuf]) -> Check {
    let FileStatus { file, path, state } = status;
    let name = format!("data {}", file.dataset);
    let fetch = format!("target/release/seedbed data fetch {}", file.dataset);
    match (state, path) {
        (FileState::Right | FileState::Found, Some(path)) => {
            Check::ok(&name, path.display().to_string())
        }
        (FileState::Wrong(reason), path) => {
            let away = |path: &PathBuf| format!("rm {} && ", quoted_path(path));
            let away = path.as_ref().map_or(String::new(), away);
            Check::wrong(&name, CheckState::Missing, reason.clone(), format!("{away}{fetch}"))
        }
        (FileState::Missing | FileState::Right | FileState::Found, _) => {
            let places: Vec<_> = search.iter().map(|place| place.display().to_string()).collect();
            let detail = format!("no {} in {}", file.name, places.join(", "));
            Check::wrong(&name, CheckState::Missing, detail, fetch)
        }
    }
}

/// The diagnosis for people.
pub fn text(diagnosis: &Diagnosis) -> String {
    let Diagnosis { versions, devices, cores, checks, ready } = diagnosis;
    let commit = match (versions.commit.as_str(), versions.dirty) {
        ("", _) => "no commit".into(),
        (commit, false) => format!("commit {commit}"),
        (commit, true) => format!("commit {commit}, modified"),
    };
    let mut text = format!(
        "seedbed {} ({commit}), tch {}, libtorch {}\n\n",
        versions.seedbed, versions.tch, versions.libtorch
    );
    let mut rows = Vec::new();
    for device in devices {
        let DeviceInfo { name, model, memory, utilisation } = device;
        let mut line = format!("{name}: {model}");
        if name == "cpu" {
            let _ = write!(line, ", {cores} threads");
        }
        if let Some(Memory { total, free }) = memory {
            let _ = write!(line, ", {} of {} free", memory::text(*free), memory::text(*total));
        }
        if let Some(percent) = utilisation {
            let _ = write!(line, ", computing {percent} % of the time");
        }
        put(&mut rows, "device", &line);
    }
    for check in checks {
        let mark = match check.state {
            CheckState::Ok => "",
            CheckState::Missing => "MISSING: ",
            CheckState::Broken => "BROKEN: ",
        };
        put(&mut rows, &check.name, &format!("{mark}{}", check.detail));
        if let Some(next) = &check.next {
            put(&mut rows, "", &format!("next: {next}"));
        }
    }
    for line in columns::lines(&rows, 0..0, |_, _| "") {
        text += &format!("{line}\n");
    }
    let complete = checks.iter().all(|check| check.state == CheckState::Ok);
    text.push_str(match (ready, complete) {
        (true, true) => "\nready: 'make quick' trains every experiment\n",
        (true, false) => "\nready: 'make quick' works; what is marked MISSING is left out\n",
        (false, _) => "\nnot ready: mend what is marked BROKEN\n",
    });
    text
}

/// Adds a name with what is said of it, a row for each line of that.
fn put(rows: &mut Vec<Vec<String>>, name: &str, detail: &str) {
    let names = std::iter::once(name).chain(std::iter::repeat(""));
    for (name, line) in names.zip(detail.lines()) {
        rows.push(vec![name.to_owned(), line.to_owned()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    fn about() -> Result<About> {
        Ok(About {
            versions: Versions::of_build(format!("{LIBTORCH}+cpu")),
            folder: Some("a folder".into()),
            broken: None,
            cuda: CudaLibrary::Absent,
            cards: 0,
        })
    }

    #[test]
    fn a_trainer_that_does_not_answer_and_a_libtorch_that_does_not_compute_stop_every_run() {
        let state = |about: &Result<About>| {
            let empty = tempfile::tempdir().expect("a folder");
            std::fs::write(empty.path().join("one.toml"), "").expect("a file");
            let found = diagnose(about, None, empty.path(), &empty.path().join("results"));
            let broken = found.checks.into_iter().filter(|one| one.state == CheckState::Broken);
            (found.ready, broken.map(|check| check.name).collect::<Vec<_>>())
        };
        let none = Err(Error::Failed("there is no seedbed-train".into()));
        let broken = About { broken: Some("no LAPACK".into()), ..about().expect("an answer") };
        let mut old = about().expect("an answer");
        old.versions.libtorch = "2.1.0".into();
        assert_eq!(state(&about()), (true, vec![]));
        assert_eq!(state(&none), (false, vec!["trainer".to_owned()]));
        assert_eq!(state(&Ok(broken)), (false, vec!["libtorch".to_owned()]));
        assert_eq!(state(&Ok(old)), (false, vec!["libtorch".to_owned()]));
    }

    #[test]
    fn every_wrong_thing_comes_with_a_next_step_and_only_broken_ones_stop_a_quick_run() {
        let empty = tempfile::tempdir().expect("a folder");
        let none = Err(Error::Failed("there is no seedbed-train".into()));
        let diagnosis = diagnose(&none, None, empty.path(), &empty.path().join("results"));
        assert!(!diagnosis.ready, "nothing is trained without a trainer");
        for check in &diagnosis.checks {
            assert_eq!(check.next.is_some(), check.state != CheckState::Ok, "{check:?}");
        }
        std::fs::write(empty.path().join("one.toml"), "").expect("a file");
        let diagnosis = diagnose(&about(), None, empty.path(), &empty.path().join("results"));
        assert!(diagnosis.ready, "{}", text(&diagnosis));
    }

    #[test]
    fn missing_data_name_the_command_and_the_places_and_stop_nothing() {
        let file = dataset::files("kddcup").expect("a known data set").remove(0);
        let status = FileStatus { file: file.clone(), path: None, state: FileState::Missing };
        let check = check_file(&status, &["here".into(), "there".into()]);
        assert_eq!(check.state, CheckState::Missing);
        let fetch = "target/release/seedbed data fetch kddcup";
        assert_eq!(check.next.as_deref(), Some(fetch));
        assert!(check.detail.ends_with("in here, there"), "{}", check.detail);

        // a wrong file would be found first again
        let state = FileState::Wrong("other bytes".into());
        let status = FileStatus { file, path: Some("it's here/file".into()), state };
        let next = check_file(&status, &[]).next;
        assert_eq!(next, Some(format!("rm \"it's here/file\" && {fetch}")));
    }

    #[test]
    fn a_card_that_cannot_be_used_is_named_and_a_host_without_one_lacks_nothing() {
        let card = gpu::Card {
            uuid: "GPU-1".into(),
            model: "card".into(),
            memory: None,
            utilisation: None,
        };
        let (none, one) = (Ok(Vec::new()), Ok(vec![card]));
        assert_eq!(check_cuda(&CudaLibrary::Absent, 0, &none).state, CheckState::Ok);
        assert_eq!(check_cuda(&CudaLibrary::Loaded, 0, &none).state, CheckState::Ok);
        assert_eq!(check_cuda(&CudaLibrary::Loaded, 1, &one).state, CheckState::Ok);
        assert_eq!(check_cuda(&CudaLibrary::Loaded, 0, &one).state, CheckState::Missing);
        assert_eq!(check_cuda(&CudaLibrary::Absent, 0, &one).state, CheckState::Missing);
        let broken = check_cuda(&CudaLibrary::Loaded, 1, &Err("versions differ".into()));
        assert_eq!(
            (broken.state, broken.detail.as_str()),
            (CheckState::Missing, "versions differ")
        );
        let failed = check_cuda(&CudaLibrary::Failed("libcudnn.so.9: not found".into()), 0, &one);
        assert_eq!(failed.state, CheckState::Missing);
        assert!(failed.detail.contains("libcudnn"));
    }
}
