//! Trainers that misbehave, in the place of the real one: they close their stdout and live on, say what is no
//! text or has no end, die in the middle of a record, or are replaced while a grid trains.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use crate::sandbox::{Ended, Sandbox, TINY, signal, wait_for};

/// One run.
const ONE: &str = "tiny --slots 1 --cell reconstruction=sum --seeds 1 --resamples 0 --retries 0";

/// A copy of seedbed in a folder of its own, with any trainer beside it.
struct Installed {
    sandbox: Sandbox,
}

impl Installed {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        sandbox.write("experiments/tiny.toml", &TINY.replace("untrained = true", ""));
        std::fs::create_dir(sandbox.path("bin")).expect("a folder");
        let installed = Self { sandbox };
        place(Path::new(env!("CARGO_BIN_EXE_seedbed")), &installed.program());
        installed
    }

    /// With the real trainer, in a file that may be replaced.
    fn with_real() -> Self {
        let installed = Self::new();
        place(&real_trainer(), &installed.trainer());
        installed
    }

    /// With a trainer that answers questions as the real one does, and does something else with jobs.
    fn with_script(job: &str) -> Self {
        let installed = Self::new();
        installed.write_trainer(&format!(
            "#!/bin/sh\ncase \"$1\" in\nrun|time)\n{job}\n;;\n*) exec {} \"$@\" ;;\nesac\n",
            real_trainer().display()
        ));
        installed
    }

    fn program(&self) -> PathBuf {
        self.sandbox.path("bin/seedbed")
    }

    fn trainer(&self) -> PathBuf {
        self.sandbox.path("bin/seedbed-train")
    }

    /// Puts a script in the place of the trainer, as a build does: by another file.
    fn write_trainer(&self, script: &str) {
        let new = self.sandbox.path("bin/new");
        std::fs::write(&new, script).expect("a script");
        std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o755))
            .expect("permissions");
        std::fs::rename(&new, self.trainer()).expect("renamed");
    }

    fn command(&self, arguments: &str) -> Command {
        let template = self.sandbox.command(arguments);
        let mut command = Command::new(self.program());
        command.args(template.get_args()).current_dir(self.sandbox.path(""));
        command.env_remove("SEEDBED_DATA").env("HOME", self.sandbox.path(""));
        command.stdin(std::process::Stdio::null());
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        command
    }

    fn seedbed(&self, arguments: &str) -> Ended {
        end(self.start(arguments))
    }

    fn start(&self, arguments: &str) -> Child {
        self.command(arguments).spawn().expect("seedbed starts")
    }

    #[track_caller]
    fn failure(&self, state: &str) -> String {
        let records = self.sandbox.records("results");
        let record = &records[&("reconstruction=sum".to_owned(), 1)];
        assert_eq!(record["state"], state, "{record}");
        record["failure"].as_str().expect("why").to_owned()
    }
}

fn real_trainer() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_seedbed")).with_file_name("seedbed-train")
}

/// The same file under another name, or a copy where the other name is on another file system.
fn place(file: &Path, name: &Path) {
    if std::fs::hard_link(file, name).is_err() {
        std::fs::copy(file, name).expect("copied");
    }
}

fn end(child: Child) -> Ended {
    Ended::from(child.wait_with_output().expect("seedbed ends"))
}

#[test]
fn a_trainer_that_closes_its_stdout_and_lives_on_is_ended_and_told() {
    let installed = Installed::with_script("exec >&-; sleep 600");
    let began = Instant::now();
    let ended = installed.seedbed(&format!("run {ONE}")).expect(1);
    ended.says("crashed (it closed its stdout, lived on for seconds and was ended)");
    assert!(installed.failure("crashed").contains("closed its stdout"));
    let timed = installed.seedbed("bench-step tiny").expect(1);
    timed.says("error: a calibration failed: it closed its stdout");
    assert!(began.elapsed() < Duration::from_secs(120), "{:?}", began.elapsed());
}

#[test]
fn while_a_trainer_without_stdout_is_waited_for_stop_and_timeout_are_obeyed() {
    let installed = Installed::with_script("exec >&-; touch closed; sleep 600");
    let ended = installed.seedbed(&format!("run {ONE} --timeout 1")).expect(1);
    ended.says("timed-out (silent for 1 seconds)");
    let (again, mark) = (Installed::with_script("exec >&-; touch closed; sleep 600"), "closed");
    let run = again.start(&format!("run {ONE}"));
    wait_for("trainer", || again.sandbox.path(mark).exists().then_some(()));
    signal("TERM", run.id());
    end(run).expect(130);
}

#[test]
fn bytes_that_are_no_text_are_named_and_shown_so_that_no_terminal_obeys_them() {
    let installed = Installed::with_script("printf 'caf\\351 \\033[2J\\n'; sleep 600");
    let ended = installed.seedbed(&format!("run {ONE} --timeout 30")).expect(1);
    let words =
        "its stdout holds what is no message: bytes that are not UTF-8: caf\u{fffd} \\u{1b}[2J";
    assert!(!ended.stderr.contains('\u{1b}'), "{:?}", ended.stderr);
    ended.says(words);
    assert_eq!(installed.failure("crashed"), words);
}

/// Waits for a process; how it ended, and the most memory that it had, in kilobytes.
fn measured(mut child: Child) -> (ExitStatus, String, i64) {
    let mut said = String::new();
    let mut stderr = child.stderr.take().expect("stderr is piped");
    std::io::Read::read_to_string(&mut stderr, &mut said).expect("text");
    let mut status = 0;
    // SAFETY: both are written by the kernel alone; the child is not waited for otherwise
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        assert_eq!(
            libc::wait4(child.id() as i32, &raw mut status, 0, &raw mut usage),
            child.id() as i32
        );
        usage
    };
    (ExitStatus::from_raw(status), said, usage.ru_maxrss)
}

#[test]
fn a_line_of_stdout_without_an_end_takes_little_memory_and_is_a_failure() {
    let endless = "head -c 800000000 /dev/zero | tr '\\0' x; sleep 600";
    let installed = Installed::with_script(endless);
    let (status, said, kilobytes) = measured(installed.start(&format!("run {ONE}")));
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("a line of more than 64 MiB: xxx"), "{said}");
    assert!(kilobytes < 400_000, "{kilobytes} KB");
    assert!(installed.failure("crashed").len() < 1000);
}

#[test]
fn a_line_of_the_log_without_an_end_takes_little_memory_and_is_a_failure() {
    let endless = "head -c 400000000 /dev/zero | tr '\\0' x >&2; exit 9";
    let installed = Installed::with_script(endless);
    let (status, said, kilobytes) = measured(installed.start(&format!("run {ONE}")));
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("ended with exit code 9"), "{said}");
    assert!(kilobytes < 400_000, "{kilobytes} KB");
    assert!(installed.failure("crashed").len() < 10_000);
}

#[test]
fn a_trainer_killed_in_the_middle_of_a_record_was_killed() {
    let half = "printf '{\"message\":\"record\",\"experiment\":\"ti'; kill -KILL $$";
    let installed = Installed::with_script(half);
    installed.seedbed(&format!("run {ONE}")).expect(1).says("signal 9 (SIGKILL)");
    assert!(installed.failure("crashed").contains("SIGKILL"));
}

#[test]
fn a_trainer_that_ends_well_without_records_has_failed() {
    let installed = Installed::with_script("printf '{\"message\":\"rec'; exit 0");
    installed.seedbed(&format!("run {ONE}")).expect(1).says("the worker ended without a record");
}

/// Three runs, one after the other, each of which takes a moment.
const SLOW: &str = "run tiny --slots 1 --width 1 --cell reconstruction=sum --runs 3 --resamples 0 \
                    --set training.epochs=300";

/// Starts a grid and waits for its first record.
fn begun(installed: &Installed) -> Child {
    let run = installed.start(SLOW);
    wait_for("record", || (!installed.sandbox.records("results").is_empty()).then_some(()));
    run
}

#[test]
fn a_grid_goes_on_with_the_programs_that_it_began_with_when_they_are_replaced() {
    let installed = Installed::with_real();
    let run = begun(&installed);
    installed.write_trainer("#!/bin/sh\nexit 7\n");
    std::fs::remove_file(installed.program()).expect("removed");
    end(run).expect(0);
    let records = installed.sandbox.records("results");
    assert_eq!(records.len(), 3);
    assert!(records.values().all(|record| record["state"] == "ok"));
}

#[test]
fn a_method_without_a_trainer_goes_on_when_the_program_is_replaced() {
    let installed = Installed::with_real();
    let (before, _) = TINY.split_once("[model]").expect("a model");
    let before = before.replace("rows = 600", "rows = 2000").replace("paper = \"made-up\"\n", "");
    let text = format!(
        "{before}[model]\nname = \"pca\"\ncomponents = 1\n\n\
         [axes]\n\"model.components\" = [1, 2, 3]\n"
    );
    installed.sandbox.write("experiments/tiny.toml", &text);
    let run = installed.start("run tiny --slots 1 --width 1 --runs 4 --resamples 0");
    wait_for("record", || (!installed.sandbox.records("results").is_empty()).then_some(()));
    installed.write_trainer("#!/bin/sh\nexit 7\n");
    std::fs::remove_file(installed.program()).expect("removed");
    end(run).expect(0);
    assert_eq!(installed.sandbox.records("results").len(), 12);
}

#[test]
fn a_trainer_that_is_written_over_ends_the_grid_with_words_on_what_to_do() {
    let installed = Installed::new();
    std::fs::copy(real_trainer(), installed.trainer()).expect("copied");
    // the run waits for somebody elsewhere, so that no trainer runs: the system would refuse
    let claim = "results/tiny/runs/reconstruction=sum/1.claim";
    let owner = r#"{"host":"there","machine":"other","pid":1,"started":1,"token":"00ff"}"#;
    installed.sandbox.write(claim, owner);
    let said = installed.sandbox.path("said");
    let mut run = installed.command(&format!("run {ONE}"));
    run.stderr(std::fs::File::create(&said).expect("a file"));
    let run = run.spawn().expect("seedbed starts");
    wait_for("word of it", || {
        let text = std::fs::read_to_string(&said).ok()?;
        text.contains("has it; waiting for it").then_some(())
    });
    std::fs::write(installed.trainer(), "#!/bin/sh\nexit 7\n").expect("written over");
    std::fs::remove_file(installed.sandbox.path(claim)).expect("removed");
    end(run).expect(1);
    let text = std::fs::read_to_string(&said).expect("text");
    for words in [
        "seedbed-train was replaced since this command began",
        "start it again; what is stored stays",
        "stopped; finished runs are kept",
    ] {
        assert!(text.contains(words), "no '{words}' in:\n{text}");
    }
}

#[test]
fn a_worker_that_ends_while_something_of_its_holds_its_stdout_is_not_waited_for() {
    let installed = Installed::with_script("setsid sleep 60 & exit 9");
    let began = Instant::now();
    installed.seedbed(&format!("run {ONE}")).expect(1).says("ended with exit code 9");
    assert!(began.elapsed() < Duration::from_secs(50), "{:?}", began.elapsed());
}
