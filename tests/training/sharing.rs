//! Several harnesses over one store: they share the work, no run is trained twice, and what one
//! leaves when it is killed another takes over.

use std::process::Child;

use crate::sandbox::{Ended, Sandbox, TINY, folders, signal, wait_for, workers};

/// Two cells and their controls, three seeds.
const RUNS: usize = 12;

/// Two workers each.
const RUN: &str = "run tiny --slots 2 --resamples 0";

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("experiments/tiny.toml", &TINY.replace("epochs = 3", "epochs = 200"));
    sandbox
}

fn start(sandbox: &Sandbox, out: &str) -> Child {
    sandbox.command(&format!("{RUN} --out {out}")).spawn().expect("seedbed starts")
}

fn end(child: Child) -> Ended {
    Ended::from(child.wait_with_output().expect("seedbed ends"))
}

/// Names of files below `<out>/tiny/<folder>` that end so.
fn files(sandbox: &Sandbox, out: &str, folder: &str, ending: &str) -> Vec<String> {
    let top = folders(&sandbox.path(out).join("tiny").join(folder));
    let all = top.iter().flat_map(|path| folders(path)).chain(top.iter().cloned());
    let names = all.map(|path| path.display().to_string());
    names.filter(|name| name.ends_with(ending)).collect()
}

/// Every attempt at a job leaves a log, and a job here is a run.
fn trainings(sandbox: &Sandbox, out: &str) -> usize {
    files(sandbox, out, "logs", ".log").len()
}

/// Everything of an undisturbed run, once, and nothing else.
#[track_caller]
fn assert_undisturbed(sandbox: &Sandbox, out: &str) {
    sandbox.seedbed(&format!("{RUN} --out alone")).expect(0);
    sandbox.assert_same_tables(out, "alone");
    assert_eq!(sandbox.records(out).len(), RUNS);
    assert!(files(sandbox, out, "runs", ".claim").is_empty());
}

#[test]
fn harnesses_that_run_at_once_train_every_run_once() {
    let sandbox = sandbox();
    let both = [start(&sandbox, "shared"), start(&sandbox, "shared")];
    for run in both {
        end(run).expect(0);
    }
    assert_eq!(trainings(&sandbox, "shared"), RUNS);
    assert_undisturbed(&sandbox, "shared");
}

/// A harness that has claimed as many runs as it has workers and gets no further.
fn stuck(sandbox: &Sandbox) -> (Child, Vec<u32>) {
    let run = start(sandbox, "shared");
    let workers = wait_for("two workers", || {
        let workers = workers(run.id());
        (workers.len() == 2).then_some(workers)
    });
    workers.iter().for_each(|worker| signal("STOP", *worker));
    // what they had done before
    assert!(sandbox.records("shared").is_empty());
    (run, workers)
}

fn wait_for_the_rest(sandbox: &Sandbox) {
    wait_for("records of the rest", || (sandbox.records("shared").len() == RUNS - 2).then_some(()));
}

#[test]
fn what_one_harness_has_another_leaves_alone_and_waits_for() {
    let sandbox = sandbox();
    let (first, workers) = stuck(&sandbox);
    let second = start(&sandbox, "shared");
    wait_for_the_rest(&sandbox);
    let plan = sandbox.seedbed("plan tiny --out shared").expect(0);
    plan.prints(&format!("claimed by process {} on ", first.id()));
    workers.iter().for_each(|worker| signal("CONT", *worker));
    end(first).expect(0).says("another process has trained it");
    end(second).expect(0).says("has it; waiting for it").says("another process has trained it");
    assert_eq!(trainings(&sandbox, "shared"), RUNS);
    assert_undisturbed(&sandbox, "shared");
}

#[test]
fn what_a_killed_harness_had_another_that_waits_takes_over() {
    let sandbox = sandbox();
    let (first, _) = stuck(&sandbox);
    let second = start(&sandbox, "shared");
    wait_for_the_rest(&sandbox);
    signal("KILL", first.id());
    assert_eq!(end(first).code, None);
    end(second).expect(0).says("has it; waiting for it");
    // two were begun twice
    assert_eq!(trainings(&sandbox, "shared"), RUNS + 2);
    assert_undisturbed(&sandbox, "shared");
}

#[test]
fn what_a_killed_harness_had_a_later_one_takes_over() {
    let sandbox = sandbox();
    let (first, _) = stuck(&sandbox);
    signal("KILL", first.id());
    assert_eq!(end(first).code, None);
    assert_eq!(files(&sandbox, "shared", "runs", ".claim").len(), 2);
    sandbox.seedbed("plan tiny --out shared").expect(0).prints(", which has ended");
    end(start(&sandbox, "shared")).expect(0);
    assert_undisturbed(&sandbox, "shared");
}
