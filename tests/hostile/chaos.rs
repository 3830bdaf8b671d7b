//! Two harnesses over one store whose workers and which themselves are killed at random points, on a
//! disk that runs full again and again. In the end every run is there once, and the tables are those
//! of an undisturbed run. `SEEDBED_CHAOS_SEED` repeats what was done, if not to the millisecond.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::sandbox::{Disk, Sandbox, TINY, folders, is_in_namespace, wait_for, workers};

const CELLS: usize = 2;

/// Never given up, however often its worker dies.
const RUN: &str = "run tiny --slots 2 --retries 100 --resamples 0";

const HARNESS_KILLS: usize = 20;
const WORKER_KILLS: usize = 40;
const FULL_DISKS: usize = 6;

/// No more than a guard against a test that never ends.
const PATIENCE: Duration = Duration::from_secs(300);

struct Chaos<'a> {
    sandbox: &'a Sandbox,
    disk: Disk,
    random: ChaCha8Rng,
    harnesses: Vec<Harness>,
    /// Seeds of each cell; more once they are all done, so that there is something to kill.
    seeds: u64,
    started: usize,
    harness_kills: usize,
    worker_kills: usize,
    full_disks: usize,
}

struct Harness {
    process: Child,
    seeds: u64,
    said: PathBuf,
}

impl Chaos<'_> {
    fn start(&mut self) {
        self.started += 1;
        let said = self.sandbox.path(&format!("said/{}", self.started));
        let mut command = self.sandbox.command(&format!("{RUN} --out disk --runs {}", self.seeds));
        command.stderr(File::create(&said).expect("a file"));
        let process = command.stdout(Stdio::null()).spawn().expect("seedbed starts");
        self.harnesses.push(Harness { process, seeds: self.seeds, said });
    }

    /// Starts harnesses in the place of those that ended.
    fn tend(&mut self) {
        let mut running = Vec::new();
        for mut harness in std::mem::take(&mut self.harnesses) {
            match harness.process.try_wait().expect("a status") {
                None => running.push(harness),
                Some(status) => self.ended(&harness, status),
            }
        }
        self.harnesses = running;
        while self.harnesses.len() < 2 {
            self.start();
        }
    }

    /// One ends by itself with all done, or because of a full disk, and then says so.
    fn ended(&mut self, harness: &Harness, status: ExitStatus) {
        let said = std::fs::read_to_string(&harness.said).expect("what it said");
        match status.code() {
            Some(0) => self.seeds = self.seeds.max(harness.seeds + 2),
            Some(1) if said.contains("No space left on device") => {
                assert!(said.contains("stopped; ") && said.contains("free space there"), "{said}");
                self.full_disks += 1;
            }
            Some(_) | None => panic!("a harness ended with {status}:\n{said}"),
        }
    }

    fn kill_harness(&mut self) {
        let one = self.random.random_range(0..self.harnesses.len());
        let mut harness = self.harnesses.swap_remove(one);
        harness.process.kill().expect("killed");
        let status = harness.process.wait().expect("a status");
        match status.signal() {
            Some(_) => self.harness_kills += 1,
            None => self.ended(&harness, status),
        }
    }

    fn kill_worker(&mut self) {
        let of = |harness: &Harness| workers(harness.process.id());
        let workers: Vec<u32> = self.harnesses.iter().flat_map(of).collect();
        if workers.is_empty() {
            return;
        }
        let worker = workers[self.random.random_range(0..workers.len())] as i32;
        // SAFETY: takes numbers alone; one that has ended meanwhile is not there to be hit
        let hit = unsafe { libc::kill(worker, libc::SIGKILL) } == 0;
        self.worker_kills += usize::from(hit);
    }

    /// Leaves little free until a harness has noticed.
    fn fill(&mut self) {
        self.disk.fill(4 * self.random.random_range(0..8));
        let full_disks = self.full_disks;
        wait_for("harness that ends on a full disk", || {
            self.tend();
            (self.full_disks > full_disks).then_some(())
        });
        self.pause();
        self.disk.free();
    }

    fn pause(&mut self) {
        sleep(Duration::from_millis(self.random.random_range(0..700)));
    }

    fn is_done(&self) -> bool {
        self.harness_kills >= HARNESS_KILLS
            && self.worker_kills >= WORKER_KILLS
            && self.full_disks >= FULL_DISKS
    }

    fn rage(&mut self) {
        let began = Instant::now();
        while !self.is_done() {
            assert!(began.elapsed() < PATIENCE, "{} runs a cell and no end", self.seeds);
            self.tend();
            self.pause();
            match self.random.random_range(0..20) {
                0 if self.full_disks < FULL_DISKS => self.fill(),
                0..6 => self.kill_harness(),
                _ => self.kill_worker(),
            }
        }
        println!(
            "{} harnesses started; killed: {} harnesses, {} workers; {} times on a full disk",
            self.started, self.harness_kills, self.worker_kills, self.full_disks
        );
    }

    /// Lets the last ones end.
    fn calm(&mut self) {
        let began = Instant::now();
        while let Some(mut harness) = self.harnesses.pop() {
            match harness.process.try_wait().expect("a status") {
                Some(status) => self.ended(&harness, status),
                None => self.harnesses.push(harness),
            }
            assert!(began.elapsed() < PATIENCE, "a harness does not end");
            sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Chaos<'_> {
    fn drop(&mut self) {
        for harness in &mut self.harnesses {
            drop(harness.process.kill());
        }
    }
}

fn seed() -> u64 {
    let given = std::env::var("SEEDBED_CHAOS_SEED").ok();
    given.map_or_else(
        || SystemTime::UNIX_EPOCH.elapsed().expect("a clock").as_nanos() as u64,
        |text| text.parse().expect("SEEDBED_CHAOS_SEED is a whole number"),
    )
}

#[test]
fn after_kills_at_random_points_and_full_disks_everything_is_there_once_and_the_same() {
    if !is_in_namespace(
        "chaos::after_kills_at_random_points_and_full_disks_everything_is_there_once_and_the_same",
    ) {
        return;
    }
    let seed = seed();
    println!("SEEDBED_CHAOS_SEED={seed}");
    let sandbox = Sandbox::new();
    let grid = TINY.replace("epochs = 3", "epochs = 60").replace("untrained = true", "");
    sandbox.write("experiments/tiny.toml", &grid);
    sandbox.write("said/0", "");
    let disk = Disk::mount(sandbox.path("disk"), 8192);
    let mut chaos = Chaos {
        sandbox: &sandbox,
        disk,
        random: ChaCha8Rng::seed_from_u64(seed),
        harnesses: Vec::new(),
        seeds: 10,
        started: 0,
        harness_kills: 0,
        worker_kills: 0,
        full_disks: 0,
    };
    chaos.rage();
    chaos.calm();
    let runs = format!("--runs {}", chaos.seeds);
    sandbox.seedbed(&format!("{RUN} {runs} --out disk")).expect(0);
    assert_trained_once(&sandbox);
    sandbox.seedbed(&format!("{RUN} {runs} --out alone")).expect(0);
    assert_eq!(sandbox.records("disk").len(), CELLS * chaos.seeds as usize);
    assert_same(&sandbox, "alone", "disk");
}

/// No two harnesses trained the same run to its end: what each has trained it tells once.
#[track_caller]
fn assert_trained_once(sandbox: &Sandbox) {
    let mut trained: BTreeMap<String, i32> = BTreeMap::new();
    for path in folders(&sandbox.path("said")) {
        for line in std::fs::read_to_string(path).expect("what it said").lines() {
            let Some((run, what)) = line.split_once(": ") else { continue };
            if what.starts_with("f1 ") {
                *trained.entry(run.to_owned()).or_default() += 1;
            } else if what == "another process has trained it" {
                *trained.entry(run.to_owned()).or_default() -= 1;
            }
        }
    }
    trained.retain(|_, count| *count > 1);
    assert!(trained.is_empty(), "trained more than once: {trained:#?}");
}

/// The same files in both but for logs, with the same bytes but for records, which hold the time
/// that a run took, as does one column of runs.csv.
#[track_caller]
fn assert_same(sandbox: &Sandbox, expected: &str, found: &str) {
    let all = |out: &str| {
        let top = sandbox.path(out).join("tiny");
        let mut files = Vec::new();
        files_below(&top, &top, &mut files);
        files.retain(|file| !file.starts_with("logs/"));
        files
    };
    let (expected_files, found_files) = (all(expected), all(found));
    assert_eq!(found_files, expected_files, "the files below {found}/tiny");
    sandbox.assert_same_tables(found, expected);
}

fn files_below(folder: &Path, top: &Path, files: &mut Vec<String>) {
    for path in folders(folder) {
        if path.is_dir() {
            files_below(&path, top, files);
        } else {
            let name = path.strip_prefix(top).expect("below it").display().to_string();
            files.push(name);
        }
    }
}
