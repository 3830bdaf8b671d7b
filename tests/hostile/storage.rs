//! What a store's file system can do to a run: full, read-only, forbidden, gone. seedbed stops and
//! says which file, why and what next; what was stored stays valid, and the next run goes on.

use std::collections::BTreeMap;
use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::sandbox::{Disk, Ended, Sandbox, folders, is_in_namespace, signal, wait_for, workers};
use serde_json::Value;

type Records = BTreeMap<(String, u64), Value>;

/// Two seeds of one cell and its control, one after the other; a trained one takes a moment.
const GRID: &str = "tiny --cell reconstruction=sum --runs 2 --slots 1 --set training.epochs=300";

const RUNS: usize = 4;

fn run(out: &str) -> String {
    format!("run {GRID} --resamples 0 --out {out}")
}

/// Starts a run and waits for its first record, while it trains the next.
fn begun(sandbox: &Sandbox, out: &str) -> Child {
    let run = sandbox.command(&run(out)).spawn().expect("seedbed starts");
    wait_for("record", || (!sandbox.records(out).is_empty()).then_some(()));
    wait_for("next worker", || (!workers(run.id()).is_empty()).then_some(()));
    run
}

fn end(child: Child) -> Ended {
    Ended::from(child.wait_with_output().expect("seedbed ends"))
}

/// Goes on, trains no more than what is missing, and leaves what was there as it was.
#[track_caller]
fn goes_on(sandbox: &Sandbox, out: &str, kept: &Records) {
    let missing = RUNS - kept.len();
    sandbox.seedbed(&run(out)).expect(0).says(&format!("{missing} runs in {missing} jobs"));
    let all = sandbox.records(out);
    assert_eq!(all.len(), RUNS);
    assert!(kept.iter().all(|(run, record)| all[run] == *record));
    assert_eq!(leftovers(&sandbox.path(out)), Vec::<PathBuf>::new());
    let rows = sandbox.read(&format!("{out}/tiny/runs.csv"));
    assert_eq!(rows.lines().count(), 1 + RUNS);
}

/// Claims and what was half written.
fn leftovers(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in folders(folder) {
        if path.is_dir() {
            found.extend(leftovers(&path));
        }
        let name = path.file_name().expect("a name").to_string_lossy();
        if name.starts_with('.') || name.contains(".claim") {
            found.push(path);
        }
    }
    found
}

#[test]
fn a_full_disk_stops_a_run_before_it_starts_and_in_the_middle() {
    if !is_in_namespace("storage::a_full_disk_stops_a_run_before_it_starts_and_in_the_middle") {
        return;
    }
    let sandbox = Sandbox::new();
    let disk = Disk::mount(sandbox.path("disk"), 2048);
    disk.fill(0);
    let full = sandbox.seedbed(&run("disk")).expect(1);
    let full = full.says("disk/tiny").says("No space left on device");
    full.says("free space there, then start again").says("stopped; finished runs are kept in");
    assert_eq!(leftovers(&sandbox.path("disk")), Vec::<PathBuf>::new());
    disk.free();

    let run = begun(&sandbox, "disk");
    disk.fill(0);
    let ended = end(run).expect(1).says("stopped; finished runs are kept in disk/tiny; continue");
    let ended = ended.says("error: cannot ").says("No space left on device");
    let ended = ended.says("free space there");
    disk.free();
    assert_eq!(leftovers(&sandbox.path("disk")), Vec::<PathBuf>::new());
    let kept = sandbox.records("disk");
    assert!(!kept.is_empty() && kept.len() < RUNS);
    ended.says(&format!("{} of {RUNS} runs have a record", kept.len()));
    sandbox.seedbed("tables tiny --set training.epochs=300 --out disk").expect(0);
    let rows = sandbox.read("disk/tiny/runs.csv");
    assert_eq!(rows.lines().count(), 1 + kept.len());
    goes_on(&sandbox, "disk", &kept);
}

#[test]
fn a_disk_that_fills_up_among_the_tables_leaves_each_as_it_was_or_as_it_is_to_be() {
    let name =
        "storage::a_disk_that_fills_up_among_the_tables_leaves_each_as_it_was_or_as_it_is_to_be";
    if !is_in_namespace(name) {
        return;
    }
    let sandbox = Sandbox::new();
    let disk = Disk::mount(sandbox.path("disk"), 4096);
    sandbox.seedbed("run tiny --resamples 0 --out disk").expect(0);
    let report = |resamples| format!("report tiny --resamples {resamples} --out disk");
    let tables = || -> BTreeMap<PathBuf, Vec<u8>> {
        let paths = [folders(&sandbox.path("disk")), folders(&sandbox.path("disk/tiny"))].concat();
        let files = paths.into_iter().filter(|path| path.is_file() && !path.ends_with("ballast"));
        files.map(|path| (path.clone(), std::fs::read(path).expect("a table"))).collect()
    };
    let [without, with] = [0, 100].map(|resamples| {
        sandbox.seedbed(&report(resamples)).expect(0);
        tables()
    });
    assert_eq!(without.len(), 11);
    let mut refused = Vec::new();
    for step in 0..12 {
        disk.fill((1 << step) / 2 * 4);
        let ended = sandbox.seedbed(&report(if step % 2 == 0 { 0 } else { 100 }));
        for (path, bytes) in tables() {
            assert!(bytes == without[&path] || bytes == with[&path], "{}", path.display());
        }
        disk.free();
        assert_eq!(leftovers(&sandbox.path("disk")), Vec::<PathBuf>::new());
        if ended.code == Some(0) {
            continue;
        }
        let ended = ended.expect(1).says("No space left on device").says("free space there");
        let file = ended.stderr.split_once("cannot write ").expect("a file").1;
        refused.push(file.split_once(": ").expect("a cause").0.to_owned());
    }
    refused.dedup();
    assert!(refused.len() > 1, "it was full at {refused:?} alone");
}

#[test]
fn a_read_only_store_is_an_error_at_once_and_in_the_middle() {
    if !is_in_namespace("storage::a_read_only_store_is_an_error_at_once_and_in_the_middle") {
        return;
    }
    let sandbox = Sandbox::new();
    let disk = Disk::mount(sandbox.path("disk"), 8192);
    let says = |ended: Ended| {
        let ended = ended.expect(1).says("disk/tiny").says("Read-only file system");
        ended.says("make its file system writable, then start again")
    };
    disk.protect();
    says(sandbox.seedbed(&run("disk")));
    disk.unmount();

    let first = begun(&sandbox, "disk");
    disk.protect();
    says(end(first)).says("stopped; finished runs are kept in disk/tiny; continue with: ");
    let kept = sandbox.records("disk");
    assert!(!kept.is_empty() && kept.len() < RUNS);
    disk.unmount();
    goes_on(&sandbox, "disk", &kept);

    // what is done is done, and only its tables cannot be written
    disk.protect();
    says(sandbox.seedbed(&run("disk"))).says("nothing to run").says("diagnostics.csv");
}

#[test]
fn an_unmounted_store_is_not_begun_anew_in_the_folder_below() {
    if !is_in_namespace("storage::an_unmounted_store_is_not_begun_anew_in_the_folder_below") {
        return;
    }
    let sandbox = Sandbox::new();
    // below the mount nothing, and something that looks like a store
    for (number, below) in ["", "disk1/tiny/runs/other"].into_iter().enumerate() {
        let out = format!("disk{number}");
        std::fs::create_dir_all(sandbox.path(below)).expect("a folder");
        let disk = Disk::mount(sandbox.path(&out), 8192);
        let elsewhere = disk.bind(sandbox.path(&format!("elsewhere{number}")));
        let first = begun(&sandbox, &out);
        disk.unmount();
        let under = folders(&sandbox.path(&out).join("tiny"));
        let ended = end(first).expect(1).says("tiny is no longer the folder that this run began");
        ended.says("was its file system unmounted?").says("bring it back, then start again");
        assert_eq!(folders(&sandbox.path(&out).join("tiny")), under);
        assert!(sandbox.records(&out).is_empty());
        elsewhere.bind(sandbox.path(&out));
        let kept = sandbox.records(&out);
        assert!(!kept.is_empty() && kept.len() < RUNS);
        goes_on(&sandbox, &out, &kept);
    }
}

/// The same command without root's right to ignore permissions.
fn bound(command: &Command) -> Command {
    let root = Command::new("id").arg("-u").output().expect("id starts").stdout == b"0\n";
    if !root {
        let mut same = Command::new(command.get_program());
        same.args(command.get_args());
        return like(same, command);
    }
    let rights = "-dac_override,-dac_read_search";
    let mut bound = Command::new("setpriv");
    bound.args(["--inh-caps", rights, "--bounding-set", rights]);
    bound.arg(command.get_program()).args(command.get_args());
    like(bound, command)
}

fn like(mut command: Command, other: &Command) -> Command {
    for (name, value) in other.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.current_dir(other.get_current_dir().expect("a folder")).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn may(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).expect("permissions");
}

#[test]
fn a_forbidden_store_is_an_error_at_once_and_in_the_middle() {
    let sandbox = Sandbox::new();
    let bound = |arguments: &str| bound(&sandbox.command(arguments));
    let says = |ended: Ended| {
        ended.expect(1).says("Permission denied").says("get permission for it, then start again")
    };
    std::fs::create_dir(sandbox.path("results")).expect("a folder");
    may(&sandbox.path("results"), 0o555);
    says(Ended::from(bound(&run("results")).output().expect("it starts"))).says("results/tiny");
    may(&sandbox.path("results"), 0o755);

    let first = bound(&run("results")).spawn().expect("it starts");
    wait_for("record", || (!sandbox.records("results").is_empty()).then_some(()));
    let cells = folders(&sandbox.path("results/tiny/runs"));
    cells.iter().for_each(|cell| may(cell, 0o555));
    may(&sandbox.path("results/tiny/runs"), 0o555);
    says(end(first)).says("stopped; finished runs are kept in results/tiny; continue with: ");
    may(&sandbox.path("results/tiny/runs"), 0o755);
    folders(&sandbox.path("results/tiny/runs")).iter().for_each(|cell| may(cell, 0o755));
    let kept = sandbox.records("results");
    assert!(!kept.is_empty() && kept.len() < RUNS);
    goes_on(&sandbox, "results", &kept);
}

#[test]
fn a_record_that_may_not_be_read_is_neither_trained_again_nor_put_aside_nor_left_out() {
    let sandbox = Sandbox::new();
    let arguments = "tiny --slots 1 --runs 1 --cell reconstruction=sum";
    sandbox.seedbed(&format!("run {arguments}")).expect(0);
    let place = sandbox.path("results/tiny/runs/reconstruction=sum/1.json");
    let tables = sandbox.read("results/tiny/runs.csv");
    may(&place, 0o000);
    for command in [format!("run {arguments}"), format!("plan {arguments}"), "tables tiny".into()] {
        let ended = bound(&sandbox.command(&command)).output().expect("it starts");
        let ended = Ended::from(ended).expect(1).says("cannot read the record");
        ended.says("reconstruction=sum/1.json: Permission denied").says("get permission for it");
    }
    may(&place, 0o644);
    assert_eq!(folders(place.parent().expect("a folder")), [place]);
    assert_eq!(sandbox.read("results/tiny/runs.csv"), tables);
}

#[test]
fn nobody_who_listens_ends_nothing_and_what_cannot_be_printed_is_an_error() {
    let sandbox = Sandbox::new();
    let full = || File::options().write(true).open("/dev/full").expect("/dev/full");
    let arguments = "run tiny --slots 1 --runs 1 --cell reconstruction=sum";
    // as for `2> log` on a full disk
    let quiet = sandbox.command(arguments).stderr(full()).output().expect("seedbed starts");
    Ended::from(quiet).expect(0).prints("tables: results/tiny");
    assert_eq!(sandbox.records("results").len(), 2);
    for command in [arguments, "tables tiny", "tables tiny --json", "report tiny"] {
        let ended = sandbox.command(command).stdout(full()).output().expect("seedbed starts");
        Ended::from(ended).expect(1).says("error: cannot write to stdout: No space left on device");
        let both = sandbox.command(command).stdout(full()).stderr(full()).output();
        Ended::from(both.expect("seedbed starts")).expect(1);
        let mut closed = sandbox.command(command).spawn().expect("seedbed starts");
        drop(closed.stdout.take());
        end(closed).expect(0);
    }
    // a run whose terminal and pipe are both gone trains to its end
    let mut alone = sandbox.command("run tiny --slots 1").spawn().expect("seedbed starts");
    drop((alone.stdout.take(), alone.stderr.take()));
    end(alone).expect(0);
    assert_eq!(sandbox.records("results").len(), 12);
}

#[test]
fn what_killed_processes_left_is_never_read_and_swept_by_the_next_run() {
    let sandbox = Sandbox::new();
    let first = begun(&sandbox, "results");
    wait_for("claim", || {
        signal("STOP", first.id());
        let claimed = leftovers(&sandbox.path("results")).len() == 1;
        if !claimed {
            signal("CONT", first.id());
        }
        claimed.then_some(())
    });
    signal("KILL", first.id());
    assert_eq!(end(first).code, None);
    let kept = sandbox.records("results");
    // as when it is killed between storing a record and giving its claim up
    let claim = std::fs::read(&leftovers(&sandbox.path("results"))[0]).expect("a claim");
    let stored = kept.keys().next().expect("a record");
    let place = sandbox.path(&format!("results/tiny/runs/{}/{}.claim", stored.0, stored.1));
    std::fs::write(&place, &claim).expect("a file");
    std::fs::write(place.with_extension("claim.00ff"), &claim).expect("a file");
    let text = sandbox.read("results/tiny/runs/reconstruction=sum/1.json");
    sandbox.write(
        "results/tiny/runs/reconstruction=sum/.writing-aB12cD.seedbed",
        &text[..text.len() / 2],
    );
    sandbox.write("results/tiny/.writing-aB12cD.seedbed", "experiment,ce");
    sandbox.seedbed("plan tiny --set training.epochs=300").expect(0);
    goes_on(&sandbox, "results", &kept);
    sandbox.write("results/.writing-aB12cD.seedbed", "<html");
    sandbox.seedbed("report tiny --set training.epochs=300").expect(0);
    assert_eq!(leftovers(&sandbox.path("results")), Vec::<PathBuf>::new());
}
