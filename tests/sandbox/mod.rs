//! A folder of its own for a test that drives the real binary: an experiment that trains in a
//! second, its results, and an environment in which no data can be found and no network reached.
#![allow(dead_code, reason = "each test program uses its part")]

use std::collections::BTreeMap;
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
            .env("HOME", self.folder.path())
            .env("XDG_CACHE_HOME", self.path("cache"))
            .env("ALL_PROXY", "http://127.0.0.1:9")
            .env("HTTPS_PROXY", "http://127.0.0.1:9")
            .env("HTTP_PROXY", "http://127.0.0.1:9")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
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

    #[track_caller]
    pub fn prints(self, words: &str) -> Self {
        assert!(self.stdout.contains(words), "no '{words}' in:\n{}", self.stdout);
        self
    }
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
