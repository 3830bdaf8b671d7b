//! What is stored is not lost unsaid: by two commands in one folder, by what is removed or swapped for a link
//! while a grid trains, or by what only looks like a file of seedbed's.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Child;

use crate::sandbox::{Ended, Sandbox, TINY, folders, signal, wait_for, workers};

/// Two runs, one after the other, each of which takes a moment.
const SLOW: &str =
    "run tiny --slots 1 --width 1 --cell reconstruction=sum --runs 2 --resamples 0 --out out";

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    let slow = TINY.replace("untrained = true", "").replace("epochs = 3", "epochs = 300");
    let slow = slow.replace("paper = \"made-up\"\n", "");
    sandbox.write("experiments/tiny.toml", &slow);
    sandbox
}

fn start(sandbox: &Sandbox, arguments: &str) -> Child {
    sandbox.command(arguments).spawn().expect("seedbed starts")
}

fn end(child: Child) -> Ended {
    Ended::from(child.wait_with_output().expect("seedbed ends"))
}

/// Starts the runs and waits for the first record; the run and where that record lies.
fn begun(sandbox: &Sandbox) -> (Child, PathBuf) {
    let run = start(sandbox, SLOW);
    let seed = wait_for("record", || {
        let ((_, seed), _) = sandbox.records("out").pop_first()?;
        Some(seed)
    });
    (run, sandbox.path(&format!("out/tiny/runs/reconstruction=sum/{seed}.json")))
}

#[test]
fn two_experiments_of_one_name_in_one_folder_overwrite_no_finished_run() {
    let sandbox = sandbox();
    let other = sandbox.read("experiments/tiny.toml").replace("1e-3", "2e-3");
    sandbox.write("other/tiny.toml", &other);
    let one = "--slots 1 --cell reconstruction=sum --seeds 1 --resamples 0 --out out";
    let first = start(&sandbox, &format!("run tiny {one}"));
    wait_for("claim", || {
        sandbox.path("out/tiny/runs/reconstruction=sum/1.claim").exists().then_some(())
    });
    let second = start(&sandbox, &format!("run other/tiny.toml {one}"));
    end(first).expect(0);
    let stored = sandbox.records("out");
    let second = end(second).expect(2);
    second
        .says("1.json holds a finished run that was made otherwise (training.learning-rate 0.001 -> 0.002)")
        .says("another one trains into the same folder; name a folder of its own with --out DIR");
    assert_eq!(sandbox.records("out"), stored);
}

#[test]
fn a_record_that_is_removed_while_others_train_is_missed_at_the_end() {
    let sandbox = sandbox();
    let (run, record) = begun(&sandbox);
    std::fs::remove_file(&record).expect("removed");
    let ended = end(run).expect(1).says("1 records that were stored are no longer there");
    ended.says(&format!("{}", record.file_name().expect("a name").to_string_lossy()));
    sandbox.seedbed(SLOW).expect(0).says("1 runs in 1 jobs");
    assert_eq!(sandbox.records("out").len(), 2);
}

#[test]
fn a_task_misses_its_records_too() {
    let sandbox = sandbox();
    let run = start(&sandbox, &format!("{SLOW} --train-only").replace("--resamples 0 ", ""));
    wait_for("record", || (!sandbox.records("out").is_empty()).then_some(()));
    std::fs::remove_dir_all(sandbox.path("out/tiny/runs")).expect("removed");
    end(run).expect(1);
}

#[test]
fn a_record_that_is_stored_and_removed_is_missed_as_well() {
    let sandbox = sandbox();
    let first = SLOW.replace("--runs 2", "--seeds 1");
    sandbox.seedbed(&first).expect(0);
    let record = sandbox.path("out/tiny/runs/reconstruction=sum/1.json");
    let run = start(&sandbox, SLOW);
    wait_for("worker", || workers(run.id()).first().copied());
    std::fs::remove_file(record).expect("removed");
    end(run).expect(1).says("1 records that were stored are no longer there");
}

#[test]
fn nothing_is_written_by_a_link_that_takes_the_place_of_a_folder_meanwhile() {
    for place in ["runs/reconstruction=sum", "runs", "logs"] {
        let sandbox = sandbox();
        let (run, _) = begun(&sandbox);
        wait_for("next worker", || workers(run.id()).first().copied());
        let (folder, away) = (sandbox.path("out/tiny").join(place), sandbox.path("away"));
        std::fs::create_dir_all(sandbox.path("theirs/reconstruction=sum")).expect("a folder");
        std::fs::rename(&folder, &away).expect("renamed");
        symlink(sandbox.path("theirs"), &folder).expect("a link");
        if place == "logs" {
            // the next log is that of another attempt
            signal("KILL", workers(run.id())[0]);
        }
        let ended = end(run);
        let theirs = folders(&sandbox.path("theirs/reconstruction=sum"));
        let theirs = [theirs, folders(&sandbox.path("theirs"))].concat();
        assert_eq!(theirs, [sandbox.path("theirs/reconstruction=sum")], "{place}");
        ended.expect(1).says("is a symbolic link, by which results would be written elsewhere");
    }
}

#[test]
fn a_users_file_that_looks_half_written_stays_where_a_report_is_written() {
    let sandbox = sandbox();
    sandbox.write("theirs.csv", "experiment,cell,seed,scale,state,f1\ntiny,base,1,full,ok,0.5\n");
    for name in [".writing-notes.txt", ".writing-abcdef", ".writing-"] {
        sandbox.write(&format!("mine/{name}"), "mine");
    }
    sandbox.seedbed("report --runs theirs.csv --to mine").expect(0);
    for name in [".writing-notes.txt", ".writing-abcdef", ".writing-"] {
        assert_eq!(sandbox.read(&format!("mine/{name}")), "mine");
    }
}

#[test]
fn a_folder_that_a_lock_cannot_name_is_not_left_out_of_it() {
    let sandbox = sandbox();
    let rows = "experiment,cell,seed,scale,state,f1\ntiny,base,1,full,ok,0.5\n";
    sandbox.write("results/tiny/runs.csv", rows);
    sandbox.seedbed("lock").expect(0);
    let folder = sandbox.path("results").join(OsStr::from_bytes(b"t\xffny"));
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::write(folder.join("runs.csv"), rows).expect("a table");
    for command in ["lock", "verify --lock"] {
        sandbox.seedbed(command).expect(3).says("its name is not UTF-8, which a lock cannot hold");
    }
}

#[test]
fn an_output_folder_that_is_no_text_changes_no_exit_code_and_no_word() {
    let sandbox = sandbox();
    let out = OsStr::from_bytes(b"d\xffta");
    let run = |arguments: &str| {
        let mut command = sandbox.command(arguments);
        command.arg("--out").arg(out);
        command
    };
    let one = "run tiny --slots 1 --cell reconstruction=sum --resamples 0 --set training.epochs=";
    let ended = run(&format!("{one}3 --runs 1")).output().expect("seedbed starts");
    Ended::from(ended).expect(0);
    let child = run(&format!("{one}100000 --runs 2")).spawn().expect("seedbed starts");
    wait_for("worker", || workers(child.id()).first().copied());
    signal("INT", child.id());
    end(child).expect(130).says("continue with: ").says("\"$(printf 'd\\377ta')\"");
    std::fs::remove_dir_all(sandbox.path("").join(out)).expect("removed");
    std::fs::write(sandbox.path("").join(out), "a file").expect("a file");
    let ended = run(&format!("{one}3 --runs 1")).output().expect("seedbed starts");
    Ended::from(ended).expect(1).says("error: cannot ");
}

#[test]
fn a_file_that_may_not_grow_is_an_error_like_a_full_disk() {
    let sandbox = sandbox();
    let command = sandbox.command(&SLOW.replace("--runs 2", "--runs 1"));
    let mut limited = std::process::Command::new("prlimit");
    limited.args(["--fsize=1500", "--"]).arg(command.get_program()).args(command.get_args());
    let ended = limited.current_dir(sandbox.path("")).output().expect("prlimit starts");
    let ended = Ended::from(ended).expect(1).says("File too large");
    ended.says("raise the limit of a file's size (ulimit -f), then start again");
    sandbox.seedbed(&SLOW.replace("--runs 2", "--runs 1")).expect(0);
}
