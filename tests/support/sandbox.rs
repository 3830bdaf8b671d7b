//! A folder of its own for a test that drives the real binary: an experiment that trains in a
//! second, its results, and an environment in which no data can be found and no network reached.
#![allow(dead_code, reason = "each test program uses its part")]

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A DAGMM on made-up rows: two cells with controls, three seeds.
pub const TINY: &str = r#"name = "tiny"
title = "Tiny"
paper = "made-up"
runs = 3

[dataset]
name = "synthetic"
rows = 600

[protocol]
split = { kind = "half-of-all" }
threshold = { top = 0.2, of = "test" }

[model]
name = "dagmm"
hidden = [6]
latent = 1
mixtures = 2

[training]
epochs = 3
batch-size = 128
learning-rate = 1e-3

[axes]
"model.reconstruction" = ["sum", "mean"]

[controls]
untrained = true

[quick]
runs = 2
"training.epochs" = 2
"#;

/// No score has an AUROC of 0.01 here, and every one lies within 0.6 of 0.5.
const PAPER: &str = r#"name = "made-up"
title = "Made-up figures"
source = "none"

[margins.auroc]
value = 0.1
reason = "a test"

[margins.f1]
value = 0.9
reason = "a test"

[[figures]]
table = "Table 1"
dataset = "synthetic"
setting = "a test"
method = "DAGMM"
metric = "auroc"
value = 0.01
runs = 20
status = "verified"
experiment = "tiny"
cell = "reconstruction=sum"

[[figures]]
table = "Table 1"
dataset = "synthetic"
setting = "a test"
method = "DAGMM"
metric = "f1"
value = 0.5
runs = 20
status = "verified"
experiment = "tiny"
cell = "reconstruction=sum"
"#;

pub struct Sandbox {
    folder: tempfile::TempDir,
}

impl Sandbox {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let sandbox = Self { folder };
        sandbox.write("experiments/tiny.toml", TINY);
        sandbox.write("experiments/papers/made-up.toml", PAPER);
        sandbox
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }

    pub fn read(&self, name: &str) -> String {
        let path = self.path(name);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// `seedbed` with arguments separated by spaces.
    pub fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_seedbed"));
        command
            .args(arguments.split_whitespace())
            .current_dir(self.folder.path())
            .env_remove("SEEDBED_DATA")
            .env_remove("COLUMNS")
            .env_remove("NO_COLOR")
            .env("HOME", self.folder.path())
            .env("XDG_CACHE_HOME", self.path("cache"))
            .env("ALL_PROXY", "http://127.0.0.1:9")
            .env("HTTPS_PROXY", "http://127.0.0.1:9")
            .env("HTTP_PROXY", "http://127.0.0.1:9")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // SAFETY: sets a disposition, which a process may do between fork and exec. Tests that run
        // under nohup would hand an ignored signal on.
        unsafe {
            command.pre_exec(|| {
                libc::signal(libc::SIGHUP, libc::SIG_DFL);
                Ok(())
            });
        }
        command
    }

    pub fn seedbed(&self, arguments: &str) -> Ended {
        Ended::from(self.command(arguments).output().expect("seedbed starts"))
    }

    /// Every record below a folder of results, by cell and seed.
    pub fn records(&self, results: &str) -> BTreeMap<(String, u64), Value> {
        let mut records = BTreeMap::new();
        for cell in folders(&self.path(results).join("tiny/runs")) {
            for path in folders(&cell)
                .into_iter()
                .filter(|path| path.extension().is_some_and(|e| e == "json"))
            {
                let text = std::fs::read_to_string(&path).expect("a record");
                let record: Value = serde_json::from_str(&text).expect("JSON");
                let label = record["cell"]["label"].as_str().expect("a label").to_owned();
                records.insert((label, record["seed"].as_u64().expect("a seed")), record);
            }
        }
        records
    }

    /// The same tables lie in both folders of results, with the same bytes but for the column that
    /// holds the time a run took.
    #[track_caller]
    pub fn assert_same_tables(&self, found: &str, expected: &str) {
        let [found, expected] = [found, expected].map(|out| tables(&self.path(out).join("tiny")));
        assert!(!expected.is_empty());
        assert!(found.keys().eq(expected.keys()), "{:?}", found.keys());
        for (name, text) in expected {
            assert!(found[&name] == text, "{name} differs:\n{}\n{text}", found[&name]);
        }
    }
}

/// The text of every table in a folder, without the column that holds the time a run took.
fn tables(folder: &Path) -> BTreeMap<String, String> {
    let paths = folders(folder).into_iter().filter(|path| path.extension() == Some("csv".as_ref()));
    let without_times = |path: PathBuf| {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).expect("a table");
        let reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
        let rows: Vec<csv::StringRecord> =
            reader.into_records().map(|row| row.expect("a row")).collect();
        let Some(times) = rows[0].iter().position(|column| column == "wall_seconds") else {
            return (name, text);
        };
        let mut kept = csv::Writer::from_writer(Vec::new());
        for row in &rows {
            let fields = row.iter().enumerate().filter(|(column, _)| *column != times);
            kept.write_record(fields.map(|(_, field)| field)).expect("a row");
        }
        (name, String::from_utf8(kept.into_inner().expect("a table")).expect("text"))
    };
    paths.map(without_times).collect()
}

pub fn folders(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// A process that ended.
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Ended {
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        let Self { code: ended, stdout, stderr } = &self;
        assert_eq!(*ended, Some(code), "stdout:\n{stdout}\nstderr:\n{stderr}");
        self
    }

    #[track_caller]
    pub fn says(self, words: &str) -> Self {
        assert!(self.stderr.contains(words), "no '{words}' in:\n{}", self.stderr);
        self
    }

    /// As `prints`, however columns are aligned.
    #[track_caller]
    pub fn lists(self, words: &str) -> Self {
        assert!(unaligned(&self.stdout).contains(words), "no '{words}' in:\n{}", self.stdout);
        self
    }

    #[track_caller]
    pub fn prints(self, words: &str) -> Self {
        assert!(self.stdout.contains(words), "no '{words}' in:\n{}", self.stdout);
        self
    }
}

/// A text with one space wherever columns are apart.
pub fn unaligned(text: &str) -> String {
    let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    lines.collect::<Vec<_>>().join("\n")
}

/// Waits until `found` finds something.
#[track_caller]
pub fn wait_for<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(60) {
        if let Some(found) = found() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("no {what} within a minute");
}

/// Trainers at work on a job that `parent` has given them; not those that only answer a question.
pub fn workers(parent: u32) -> Vec<u32> {
    let at_work = |process: &u32| {
        let arguments = std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        let mut arguments = arguments.split(|byte| *byte == 0);
        let is_trainer = arguments.next().is_some_and(|name| name.ends_with(b"seedbed-train"));
        is_trainer && arguments.next().is_some_and(|does| does == b"run" || does == b"time")
    };
    children(parent).into_iter().filter(at_work).collect()
}

/// Processes whose parent is `parent`, that have not ended.
pub fn children(parent: u32) -> Vec<u32> {
    let numbers = folders(Path::new("/proc"));
    let numbers = numbers.iter().filter_map(|path| path.file_name()?.to_str()?.parse::<u32>().ok());
    numbers.filter(|&process| parent_of(process) == Some(parent)).collect()
}

fn parent_of(process: u32) -> Option<u32> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // the name may hold anything; what follows it does not
    let mut fields = text.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?;
    (state != "Z").then(|| fields.next()?.parse().ok())?
}

/// Sends a signal by its name, such as `KILL`.
pub fn signal(name: &str, process: u32) {
    let sent = Command::new("kill").arg(format!("-{name}")).arg(process.to_string()).status();
    assert!(sent.expect("kill starts").success());
}

/// Set in a process that has a mount namespace of its own.
const NAMESPACE: &str = "SEEDBED_TEST_NAMESPACE";

/// Whether this process has a mount namespace of its own, in which a test may mount what it likes and
/// leaves nothing mounted however it ends. If not, runs the test of this name again in one.
///
/// # Panics
/// Where CI is set and no namespace can be had: a test that is left out there would be missed by
/// nobody.
#[track_caller]
pub fn is_in_namespace(test: &str) -> bool {
    if std::env::var_os(NAMESPACE).is_some() {
        return true;
    }
    // root may mount; anyone else is root in a user namespace, where the system allows those
    let unshare = |more: &[&str]| {
        let mut command = Command::new("unshare");
        command.arg("--mount").args(more);
        command
    };
    let mounts = |more: &[&str]| {
        let mut command = unshare(more);
        command.args(["mount", "-t", "tmpfs", "none", "/tmp"]);
        command.output().is_ok_and(|output| output.status.success())
    };
    let ways: [&[&str]; 2] = [&[], &["--map-root-user"]];
    let Some(way) = ways.into_iter().find(|way| mounts(way)) else {
        let why = "neither root nor a user namespace is to be had here, so nothing can be mounted";
        assert!(std::env::var_os("CI").is_none(), "{test}: {why}");
        eprintln!("SKIPPED {test}: {why}");
        return false;
    };
    let mut again = unshare(way);
    again.arg(std::env::current_exe().expect("a test program")).args(["--exact", test]);
    let again = again.arg("--nocapture").env(NAMESPACE, "1").output().expect("unshare starts");
    let said = String::from_utf8_lossy(&again.stdout) + String::from_utf8_lossy(&again.stderr);
    println!("{said}");
    assert!(again.status.success() && said.contains("1 passed"), "{test} failed, see above");
    false
}

/// A small file system of its own, in the namespace of the test.
pub struct Disk {
    place: PathBuf,
}

impl Disk {
    pub fn mount(place: PathBuf, kilobytes: u64) -> Self {
        std::fs::create_dir_all(&place).expect("a folder");
        let disk = Self { place };
        mount(&["-t", "tmpfs", "-o", &format!("size={kilobytes}k"), "none"], &disk.place);
        disk
    }

    fn ballast(&self) -> PathBuf {
        self.place.join("ballast")
    }

    /// Fills it up, but for so many kilobytes.
    pub fn fill(&self, but_for: u64) {
        let mut options = OpenOptions::new();
        let mut file = options.create(true).append(true).open(self.ballast()).expect("a file");
        // whatever else is written meanwhile, at the end nothing is free
        while file.write_all(&[0; 4096]).is_ok() {}
        let full = file.metadata().expect("a size").len();
        file.set_len(full.saturating_sub(but_for * 1024)).expect("shorter");
    }

    pub fn free(&self) {
        std::fs::remove_file(self.ballast()).expect("removed");
    }

    /// Lets nothing more be written by way of its place, also while files there are open.
    pub fn protect(&self) {
        mount(&["--bind", &self.place.display().to_string()], &self.place);
        mount(&["-o", "remount,bind,ro"], &self.place);
    }

    /// Takes the last mount away from its place, also while files there are open.
    pub fn unmount(&self) {
        let status = Command::new("umount").arg("--lazy").arg(&self.place).status();
        assert!(status.expect("umount starts").success());
    }

    /// Shows it in another place too.
    pub fn bind(&self, place: PathBuf) -> Self {
        std::fs::create_dir_all(&place).expect("a folder");
        mount(&["--bind", &self.place.display().to_string()], &place);
        Self { place }
    }
}

#[track_caller]
fn mount(arguments: &[&str], place: &Path) {
    let status = Command::new("mount").args(arguments).arg(place).status();
    assert!(status.expect("mount starts").success(), "mount {arguments:?}");
}
