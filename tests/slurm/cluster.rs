//! A real Slurm of one node, which `one-node.sh` starts and ends; tests that run at once share it.
//! It lies in a temporary folder, and nothing of it outlives the process of the tests.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tempfile::TempDir;

pub struct Cluster {
    keeper: Child,
    folder: TempDir,
}

static RUNNING: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());

/// A Slurm, if it is installed.
///
/// # Panics
/// Where CI is set and there is none: a check that is left out there would be missed by nobody.
pub fn find() -> Option<Arc<Cluster>> {
    if !is_installed() {
        return None;
    }
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    Some(running.upgrade().unwrap_or_else(|| {
        let cluster = Arc::new(Cluster::start());
        *running = Arc::downgrade(&cluster);
        cluster
    }))
}

/// # Panics
/// As [`find`].
pub fn is_installed() -> bool {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let is_there = |name| std::env::split_paths(&path).any(|folder| folder.join(name).is_file());
    let needed = ["munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "sinfo"];
    let found = needed.into_iter().all(is_there);
    if !found {
        let advice = "no Slurm here: scripts/setup-slurm.sh installs one";
        assert!(std::env::var_os("CI").is_none(), "{advice}");
        eprintln!("SKIPPED the checks on a Slurm: {advice}");
    }
    found
}

impl Cluster {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let free = || TcpListener::bind("127.0.0.1:0").expect("a port");
        let [controller, node] = [free(), free()].map(|port| port.local_addr().unwrap().port());
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/slurm/one-node.sh");
        let mut keeper = Command::new(script)
            .arg(folder.path())
            .args([controller, node].map(|port| port.to_string()))
            // its end, which comes however this process ends, ends the cluster
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .expect("bash starts");
        let mut ready = String::new();
        let answer = BufReader::new(keeper.stdout.take().unwrap()).read_line(&mut ready);
        if answer.is_err() || ready != "ready\n" {
            let mut why = String::new();
            let _ = keeper.stderr.take().unwrap().read_to_string(&mut why);
            panic!("no Slurm starts:\n{why}");
        }
        Self { keeper, folder }
    }

    /// The value of SLURM_CONF that names this Slurm.
    pub fn conf(&self) -> PathBuf {
        self.folder.path().join("slurm.conf")
    }

    /// Processes of this Slurm and of its jobs, which all have its name from it.
    pub fn processes(conf: &Path) -> Vec<String> {
        let mark = format!("SLURM_CONF={}", conf.display());
        let is_ours = |process: &String| {
            let environment = std::fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
        };
        let entries = std::fs::read_dir("/proc").expect("/proc").flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names.filter(is_ours).collect()
    }

    /// What a program of Slurm's answers.
    pub fn ask(&self, program: &str, arguments: &[&str]) -> String {
        let answer = Command::new(program).args(arguments).env("SLURM_CONF", self.conf()).output();
        let answer = answer.unwrap_or_else(|error| panic!("{program}: {error}"));
        let said = String::from_utf8_lossy(&answer.stderr);
        assert!(answer.status.success(), "{program} {arguments:?}: {said}");
        String::from_utf8_lossy(&answer.stdout).into_owned()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}
