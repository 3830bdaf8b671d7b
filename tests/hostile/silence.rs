//! Nobody reads: stderr blocks, as after Ctrl-S or behind a pipe whose reader sleeps. Runs are stored
//! and signals heard all the same, and the process ends.

use std::ffi::OsStr;
use std::io::{ErrorKind, PipeReader, PipeWriter, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use crate::sandbox::{Ended, Sandbox, folders, signal, wait_for, workers};

/// A pipe that takes nothing until somebody reads.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    let set = |writer: &PipeWriter, flags: i32| {
        // SAFETY: sets flags of a file that is open
        let set = unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_SETFL, flags) };
        assert_eq!(set, 0);
    };
    set(&writer, libc::O_NONBLOCK);
    let full = loop {
        if let Err(error) = writer.write_all(&[b'.'; 4096]) {
            break error;
        }
    };
    assert_eq!(full.kind(), ErrorKind::WouldBlock);
    // what is left is less than a page
    while writer.write_all(b".").is_ok() {}
    set(&writer, 0);
    (reader, writer)
}

/// Starts a command whose stderr blocks for as long as the reader is not read.
fn unheard(mut command: Command) -> (Child, PipeReader) {
    let (reader, writer) = full_pipe();
    let child = command.stderr(writer).spawn().expect("seedbed starts");
    (child, reader)
}

fn code_of(child: &mut Child) -> Option<i32> {
    wait_for("end of seedbed", || child.try_wait().expect("a status")).code()
}

#[test]
fn where_nobody_reads_stderr_every_run_is_stored_and_the_process_ends() {
    let sandbox = Sandbox::new();
    let (mut run, unread) = unheard(sandbox.command("run tiny --slots 1 --width 1"));
    assert_eq!(code_of(&mut run), Some(0));
    drop(unread);
    let ended = Ended::from(run.wait_with_output().expect("its stdout"));
    ended.prints("tables: results/tiny");
    let records = sandbox.records("results");
    assert_eq!(records.len(), 12);
    assert!(records.values().all(|record| record["state"] == "ok"));
    assert!(sandbox.path("results/tiny/summary.csv").exists());
}

#[test]
fn where_nobody_reads_stderr_one_signal_stops_a_run() {
    let sandbox = Sandbox::new();
    let arguments = "run tiny --slots 1 --width 1 --set training.epochs=100000";
    let (mut run, _unread) = unheard(sandbox.command(arguments));
    let worker = wait_for("worker", || workers(run.id()).first().copied());
    let tasks = format!("/proc/{worker}/task");
    wait_for("worker that listens", || (folders(tasks.as_ref()).len() > 1).then_some(()));
    let told = Instant::now();
    signal("TERM", run.id());
    assert_eq!(code_of(&mut run), Some(130));
    assert!(told.elapsed() < Duration::from_secs(20), "{:?}", told.elapsed());
    wait_for("end of the worker", || (!std::fs::exists(&tasks).ok()?).then_some(()));
}

#[test]
fn where_nobody_reads_stderr_an_error_still_ends_it_with_its_code() {
    let sandbox = Sandbox::new();
    for arguments in ["run no-such-experiment", "run tiny --no-such-flag"] {
        let (mut run, _unread) = unheard(sandbox.command(arguments));
        assert_eq!(code_of(&mut run), Some(2), "{arguments}");
    }
}

#[test]
fn a_folder_of_data_that_json_cannot_name_is_a_usage_error_that_names_it() {
    let sandbox = Sandbox::new();
    let folder = OsStr::from_bytes(b"d\xffta");
    for arguments in ["plan tiny", "run tiny", "bench-step tiny"] {
        let mut given = sandbox.command(arguments);
        let given = given.arg("--data").arg(folder).output().expect("seedbed starts");
        Ended::from(given).expect(2).says("error: --data: d").says("is not UTF-8");
        let mut set = sandbox.command(arguments);
        let set = set.env("SEEDBED_DATA", folder).output().expect("seedbed starts");
        Ended::from(set).expect(2).says("error: SEEDBED_DATA: d").says("is not UTF-8");
    }
    assert!(sandbox.records("results").is_empty());
}
