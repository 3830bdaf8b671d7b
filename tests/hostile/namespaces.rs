//! Claims of processes that cannot be seen: in another process or time namespace, or behind a `/proc` that
//! hides others. Not to be seen is not to be dead.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::sandbox::{Ended, Sandbox, TINY, is_in_namespace, signal, wait_for, workers};

const RUN: &str = "run tiny --slots 1 --cell reconstruction=sum --seeds 1 --resamples 0 --out out";

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    let slow = TINY.replace("untrained = true", "").replace("epochs = 3", "epochs = 100000");
    sandbox.write("experiments/tiny.toml", &slow);
    sandbox
}

fn claim(sandbox: &Sandbox) -> PathBuf {
    sandbox.path("out/tiny/runs/reconstruction=sum/1.claim")
}

/// The same command through programs that start it.
fn through(command: Command, programs: &[&str]) -> Command {
    let mut through = Command::new(programs[0]);
    through.args(&programs[1..]).arg(command.get_program()).args(command.get_args());
    through.current_dir(command.get_current_dir().expect("a folder"));
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => through.env(name, value),
            None => through.env_remove(name),
        };
    }
    through.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // with all that it starts, so that nothing stays when the test ends
    through.process_group(0);
    through
}

fn end_all(mut child: Child) {
    // SAFETY: takes numbers alone; the group is the child's
    unsafe { libc::kill(-(child.id() as i32), libc::SIGKILL) };
    drop(child.wait());
}

/// Of two commands the second waits for the first, whose claim it finds, and takes nothing from it.
#[track_caller]
fn waits(sandbox: &Sandbox, first: Command, second: Command) {
    let mut first = first;
    let first = first.spawn().expect("it starts");
    let held =
        wait_for("claim", || std::fs::read(claim(sandbox)).ok().filter(|text| !text.is_empty()));
    let mut second = second;
    let said = sandbox.path("said");
    second.stderr(std::fs::File::create(&said).expect("a file"));
    let second = second.spawn().expect("it starts");
    let told = wait_for("word of the second", || {
        let text = std::fs::read_to_string(&said).unwrap_or_default();
        text.contains("seed").then_some(text)
    });
    // it looks twice a second
    std::thread::sleep(std::time::Duration::from_secs(3));
    let still = std::fs::read(claim(sandbox)).expect("a claim");
    let now = std::fs::read_to_string(&said).expect("text");
    end_all(first);
    end_all(second);
    assert!(told.contains("has it; waiting for it"), "{now}");
    assert_eq!(still, held, "{now}");
}

fn plain(sandbox: &Sandbox) -> Command {
    through(sandbox.command(RUN), &["env"])
}

#[test]
fn a_claim_from_another_process_namespace_is_waited_for_and_so_is_one_from_here_there() {
    let test = "namespaces::a_claim_from_another_process_namespace_is_waited_for_and_so_is_one_from_here_there";
    if !is_in_namespace(test) {
        return;
    }
    // with a /proc of its own, and with that of the outside, which numbers other processes
    for programs in [
        &["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"][..],
        &["unshare", "--pid", "--fork", "--kill-child"][..],
    ] {
        let (one, other) = (sandbox(), sandbox());
        waits(&one, through(one.command(RUN), programs), plain(&one));
        waits(&other, plain(&other), through(other.command(RUN), programs));
    }
}

#[test]
fn a_claim_from_another_time_namespace_is_waited_for() {
    let test = "namespaces::a_claim_from_another_time_namespace_is_waited_for";
    if !is_in_namespace(test) {
        return;
    }
    let programs = ["unshare", "--time", "--boottime", "100000", "--fork", "--kill-child"];
    let (one, other) = (sandbox(), sandbox());
    waits(&one, through(one.command(RUN), &programs), plain(&one));
    waits(&other, plain(&other), through(other.command(RUN), &programs));
}

#[test]
fn a_claim_whose_owner_proc_hides_is_waited_for() {
    if !is_in_namespace("namespaces::a_claim_whose_owner_proc_hides_is_waited_for") {
        return;
    }
    let mounted = Command::new("mount")
        .args(["-t", "proc", "-o", "hidepid=2", "proc", "/proc"])
        .output()
        .expect("mount starts");
    let other = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "env"];
    let mut nothing = Command::new("true");
    nothing.current_dir("/");
    let can_be = through(nothing, &other).output();
    if !mounted.status.success() || !can_be.is_ok_and(|ended| ended.status.success()) {
        let why = "only root can hide processes and be another user";
        assert!(std::env::var_os("CI").is_none(), "{why}");
        eprintln!("SKIPPED: {why}");
        return;
    }
    let sandbox = sandbox();
    for place in ["", "out"] {
        drop(std::fs::create_dir(sandbox.path(place)));
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(sandbox.path(place), open).expect("permissions");
    }
    let first = plain(&sandbox);
    let second = through(sandbox.command(RUN), &other);
    // what the first makes may be written by all
    // SAFETY: sets the mask of this process, which is the test's alone
    unsafe { libc::umask(0) };
    waits(&sandbox, first, second);
}

#[test]
fn without_proc_nothing_is_trained_and_no_claim_is_taken() {
    if !is_in_namespace("namespaces::without_proc_nothing_is_trained_and_no_claim_is_taken") {
        return;
    }
    let sandbox = sandbox();
    let first = plain(&sandbox).spawn().expect("it starts");
    let claimed = || std::fs::read(claim(&sandbox)).ok().filter(|text| !text.is_empty());
    let held = wait_for("claim", claimed);
    let without =
        ["unshare", "--mount", "sh", "-c", "mount -t tmpfs none /proc && exec \"$@\"", "sh"];
    let second = through(sandbox.command(RUN), &without).output().expect("it starts");
    let still = claimed();
    end_all(first);
    let second = Ended::from(second).expect(1);
    second.says("error: cannot find this program's own file");
    assert_eq!(still, Some(held));
}

#[test]
fn a_claim_of_a_process_that_has_ended_is_taken_over_at_once_all_the_same() {
    let sandbox = sandbox();
    let text = sandbox.read("experiments/tiny.toml").replace("epochs = 100000", "epochs = 3");
    let run = sandbox.command(RUN).spawn().expect("seedbed starts");
    wait_for("worker", || workers(run.id()).first().copied());
    signal("KILL", run.id());
    assert_eq!(Ended::from(run.wait_with_output().expect("it ends")).code, None);
    assert!(claim(&sandbox).exists());
    sandbox.write("experiments/tiny.toml", &text);
    sandbox.seedbed(RUN).expect(0);
}
