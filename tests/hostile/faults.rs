//! What goes wrong from outside: killed workers, interrupts, broken files. Finished runs survive,
//! nothing broken is believed, and the next run goes on.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::sandbox::{Ended, Sandbox, TINY, folders, signal, wait_for, workers};

/// Seeds 1 and 2 of one cell, one after the other in one worker; seed 1 takes a moment and the
/// whole takes some seconds.
const SLOW: &str = "run tiny --slots 1 --width 1 --cell reconstruction=sum --runs 2";

fn start(sandbox: &Sandbox, arguments: &str) -> Child {
    sandbox.command(arguments).spawn().expect("seedbed starts")
}

fn end(child: Child) -> Ended {
    Ended::from(child.wait_with_output().expect("seedbed ends"))
}

/// The worker of `parent` that is neither of `known`.
fn next_worker(parent: &Child, known: &[u32]) -> u32 {
    wait_for("worker", || workers(parent.id()).into_iter().find(|worker| !known.contains(worker)))
}

fn slow(epochs: u64) -> String {
    format!("{SLOW} --set training.epochs={epochs}")
}

#[test]
fn a_killed_worker_is_told_and_its_runs_are_tried_again() {
    let sandbox = Sandbox::new();
    let run = start(&sandbox, &slow(200));
    signal("KILL", next_worker(&run, &[]));
    let ended = end(run).expect(0);
    ended.says("signal 9 (SIGKILL)").says("trying again").says(".log");
    let records = sandbox.records("results");
    assert_eq!(records.len(), 4);
    assert!(records.values().all(|record| record["state"] == "ok"));
}

/// One job, that of one run.
const ONE: &str =
    "run tiny --slots 1 --cell reconstruction=sum --seeds 1 --set training.epochs=200";

fn without_controls() -> Sandbox {
    let sandbox = Sandbox::new();
    let text = TINY.replace("untrained = true", "untrained = false");
    sandbox.write("experiments/tiny.toml", &text);
    sandbox
}

/// Kills the worker again and again, as often as given.
fn kill_workers(run: &Child, times: usize) {
    let mut known = Vec::new();
    for _ in 0..times {
        let worker = next_worker(run, &known);
        signal("KILL", worker);
        known.push(worker);
    }
}

#[test]
fn a_run_that_keeps_dying_is_recorded_as_crashed_and_the_next_run_tries_it_again() {
    let sandbox = without_controls();
    let run = start(&sandbox, ONE);
    kill_workers(&run, 3);
    end(run).expect(1).says("trying again").says("crashed").says("SIGKILL");
    let logs = folders(&sandbox.path("results/tiny/logs"));
    let logs: Vec<_> = logs.iter().filter_map(|path| path.file_name()?.to_str()).collect();
    let kept = [1, 2, 3].map(|attempt| format!("reconstruction=sum-1.{attempt}.log"));
    assert_eq!(logs, kept, "each attempt has a log");
    let record = &sandbox.records("results")[&("reconstruction=sum".to_owned(), 1)];
    assert_eq!(record["state"], "crashed");
    assert!(record["failure"].as_str().is_some_and(|why| why.contains("SIGKILL")));
    assert!(record.get("metrics").is_none());
    let planned = sandbox.seedbed(&ONE.replacen("run", "plan", 1)).expect(0);
    planned.prints("1 crashed (to be tried again)");
    sandbox.seedbed(ONE).expect(0).says("1 runs in 1 jobs");
}

#[test]
fn a_run_that_dies_is_tried_as_often_as_asked_and_stops_no_other() {
    let sandbox = without_controls();
    let grid = "run tiny --slots 1 --runs 1 --set training.epochs=200";
    let run = start(&sandbox, &format!("{grid} --retries 0"));
    kill_workers(&run, 1);
    end(run).expect(1).says("crashed");
    let records = sandbox.records("results");
    let states: Vec<_> = records.values().map(|record| record["state"].as_str()).collect();
    assert_eq!(states.len(), 2);
    assert!(states.contains(&Some("ok")) && states.contains(&Some("crashed")), "{states:?}");
}

#[test]
fn the_impatient_end_at_the_first_failure_with_what_is_done() {
    let sandbox = without_controls();
    let grid = "run tiny --slots 1 --runs 1 --set training.epochs=200";
    let run = start(&sandbox, &format!("{grid} --retries 0 --fail-fast"));
    kill_workers(&run, 1);
    let ended = end(run).expect(1).says("error: --fail-fast: tiny reconstruction=");
    ended.says("stopped; finished runs are kept in results/tiny; continue with: ");
    assert_eq!(sandbox.records("results").len(), 1);
    sandbox.seedbed(grid).expect(0);
    assert_eq!(sandbox.records("results").len(), 2);
}

#[test]
fn a_run_that_would_fail_again_is_trained_again_only_when_asked() {
    let sandbox = without_controls();
    let arguments = "tiny --slots 1 --seeds 1 --set training.learning-rate=1e30";
    sandbox.seedbed(&format!("run {arguments}")).expect(1).says("diverged");
    let why = "1 diverged (left: it would come again; run --retry failed)";
    sandbox.seedbed(&format!("plan {arguments}")).expect(0).prints(why);
    sandbox.seedbed(&format!("run {arguments}")).expect(1).says("nothing to run");
    let again = sandbox.seedbed(&format!("run {arguments} --retry failed")).expect(1);
    again.says("2 runs in 2 jobs").says("diverged");
}

#[test]
fn an_interrupt_keeps_finished_runs_ends_the_workers_and_the_next_run_continues() {
    let sandbox = Sandbox::new();
    let run = start(&sandbox, &slow(300));
    wait_for("record", || (!sandbox.records("results").is_empty()).then_some(()));
    let worker = next_worker(&run, &[]);
    signal("INT", run.id());
    let ended = end(run).expect(130).says("stopping the workers; finished runs are kept");
    ended.says("interrupted; finished runs are kept").says("continue with");
    wait_for("end of the worker", || gone(worker));
    let kept = sandbox.records("results");
    assert!(!kept.is_empty() && kept.len() < 4, "{}", kept.len());
    assert!(kept.values().all(|record| record["state"] == "ok"));
    // what is stored is in tables and report by then
    assert_eq!(sandbox.read("results/tiny/runs.csv").lines().count(), 1 + kept.len());
    assert!(sandbox.read("results/report.html").contains("tiny"));
    sandbox.seedbed(&slow(300)).expect(0);
    let all = sandbox.records("results");
    assert_eq!(all.len(), 4);
    assert!(kept.iter().all(|(run, record)| all[run] == *record));
}

#[test]
fn a_batch_systems_signal_and_a_closed_terminals_stop_it_like_an_interrupt() {
    for name in ["TERM", "HUP"] {
        let sandbox = Sandbox::new();
        let mut run = start(&sandbox, &slow(100_000));
        let worker = next_worker(&run, &[]);
        wait_until_it_listens(worker);
        // what is said goes nowhere, as in a terminal that has closed
        drop(run.stderr.take());
        signal(name, run.id());
        assert_eq!(end(run).code, Some(130), "{name}");
        wait_for("end of the worker", || gone(worker));
    }
}

#[test]
fn under_nohup_a_closed_terminal_ends_nothing() {
    let sandbox = Sandbox::new();
    let seedbed = sandbox.command(&slow(200));
    let mut command = Command::new("nohup");
    command.arg(seedbed.get_program()).args(seedbed.get_args());
    command.current_dir(sandbox.path("")).stdin(Stdio::null());
    let run = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("nohup starts");
    wait_until_it_listens(next_worker(&run, &[]));
    signal("HUP", run.id());
    end(run).expect(0);
    assert_eq!(sandbox.records("results").len(), 4);
}

#[test]
fn a_second_interrupt_ends_at_once_and_leaves_no_worker() {
    let sandbox = Sandbox::new();
    let run = start(&sandbox, &slow(100_000));
    let worker = next_worker(&run, &[]);
    wait_until_it_listens(worker);
    // both wait for it when it goes on
    for name in ["STOP", "INT", "TERM", "CONT"] {
        signal(name, run.id());
    }
    assert_eq!(end(run).code, Some(130));
    wait_for("end of the worker", || gone(worker));
}

#[test]
fn workers_do_not_outlive_the_process_that_started_them() {
    let sandbox = Sandbox::new();
    let run = start(&sandbox, &slow(100_000));
    let worker = next_worker(&run, &[]);
    wait_until_it_listens(worker);
    // a process that does nothing, like one deep in libtorch, does not look at its stdin either
    signal("STOP", worker);
    signal("KILL", run.id());
    assert_eq!(end(run).code, None);
    wait_for("end of the worker", || gone(worker));
}

#[test]
fn a_worker_that_hangs_before_its_main_does_not_outlive_the_process_that_started_it_either() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command(&slow(100_000));
    // as under nohup: the kernel sends SIGHUP to what is stopped and has lost its parent
    // SAFETY: `signal` may be called between fork and exec
    unsafe {
        command.pre_exec(|| {
            libc::signal(libc::SIGHUP, libc::SIG_IGN);
            Ok(())
        });
    }
    let run = command.spawn().expect("seedbed starts");
    // loading libtorch takes longer than it takes to find the process
    let worker = next_worker(&run, &[]);
    signal("STOP", worker);
    signal("KILL", run.id());
    assert_eq!(end(run).code, None);
    wait_for("end of the worker", || {
        // SAFETY: takes integers alone; the process may be gone already
        unsafe { libc::kill(worker as i32, libc::SIGSTOP) };
        gone(worker)
    });
}

/// Waits until a worker has its job: it then has a thread beside that of `main`.
fn wait_until_it_listens(worker: u32) {
    let tasks = PathBuf::from(format!("/proc/{worker}/task"));
    wait_for("worker that listens", || (folders(&tasks).len() > 1).then_some(()));
}

fn gone(process: u32) -> Option<()> {
    let status = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    (status.is_empty() || status.contains(") Z ")).then_some(())
}

#[test]
fn a_silent_worker_is_ended_and_recorded_as_timed_out() {
    let sandbox = without_controls();
    let run = start(&sandbox, &format!("{ONE} --timeout 1 --retries 1"));
    // stopped processes say nothing
    let mut known = Vec::new();
    for _ in 0..2 {
        let worker = next_worker(&run, &known);
        signal("STOP", worker);
        known.push(worker);
    }
    end(run).expect(1).says("silent for 1 seconds").says("timed-out");
    let record = &sandbox.records("results")[&("reconstruction=sum".to_owned(), 1)];
    assert_eq!(record["state"], "timed-out");
}

#[test]
fn a_broken_record_is_told_kept_and_never_read_as_a_result() {
    let sandbox = Sandbox::new();
    sandbox.seedbed("run tiny").expect(0);
    let whole = sandbox.records("results");
    let place = "results/tiny/runs/reconstruction=sum/1.json";
    let text = sandbox.read(place);
    let edited = text.replace("\"state\": \"ok\"", "\"state\": \"diverged\"");
    for (broken, why) in [(&text[..text.len() / 2], "is not whole"), (&edited, "was changed since")]
    {
        sandbox.write(place, broken);
        sandbox.seedbed("plan tiny").expect(0).prints("unreadable: ").prints(why);
        sandbox.seedbed("tables tiny").expect(0).says("left out: ").says(why);
        assert_eq!(sandbox.read("results/tiny/runs.csv").lines().count(), 12);
        assert_eq!(sandbox.read(place), broken);
        sandbox.seedbed("run tiny").expect(0).says("1 runs in 1 jobs").says(".unreadable");
        let again = sandbox.records("results");
        for (run, record) in &whole {
            assert_eq!(again[run]["digests"], record["digests"]);
        }
    }
    assert_eq!(sandbox.read(&format!("{place}.unreadable")), text[..text.len() / 2]);
    assert_eq!(sandbox.read(&format!("{place}.unreadable2")), edited);
}

#[test]
fn broken_data_end_with_3_and_leave_no_record() {
    let sandbox = Sandbox::new();
    let text = TINY.replace("name = \"synthetic\"\nrows = 600", "name = \"kddcup\"");
    sandbox.write("experiments/tiny.toml", &text);
    sandbox.write("data/kddcup.data_10_percent.gz", "no such data");
    sandbox.seedbed("run tiny").expect(3).says("kddcup.data_10_percent.gz");
    assert!(sandbox.records("results").is_empty());
}

#[test]
fn a_store_that_fails_in_the_middle_stops_it_and_it_goes_on_when_that_is_mended() {
    let sandbox = Sandbox::new();
    let run = start(&sandbox, &slow(300));
    wait_for("record", || (!sandbox.records("results").is_empty()).then_some(()));
    let worker = next_worker(&run, &[]);
    // like a mount that goes away: also root cannot make a folder below a file
    let (runs, away) = (sandbox.path("results/tiny/runs"), sandbox.path("away"));
    std::fs::rename(&runs, &away).expect("renamed");
    sandbox.write("results/tiny/runs", "not a folder");
    let ended = end(run).expect(1).says("stopped; finished runs are kept in results/tiny");
    ended.says("error: cannot").says("results/tiny/runs/reconstruction=sum");
    wait_for("end of the worker", || gone(worker));
    std::fs::remove_file(&runs).expect("removed");
    std::fs::rename(&away, &runs).expect("renamed");
    let kept = sandbox.records("results");
    sandbox.seedbed(&slow(300)).expect(0);
    let all = sandbox.records("results");
    assert_eq!(all.len(), 4);
    assert!(kept.iter().all(|(run, record)| all[run] == *record));
}

#[test]
fn a_place_that_cannot_be_written_is_an_error_that_names_it() {
    let sandbox = Sandbox::new();
    sandbox.write("occupied", "a file");
    sandbox.seedbed("run tiny --out occupied").expect(1).says("occupied/tiny");
}
