//! Arrays of a real Slurm: they train what a plain run trains, what is cut off is submitted again,
//! and what is cancelled leaves nothing in the queue and can be resumed.
mod cluster;
#[path = "../support/sandbox.rs"]
mod sandbox;

use std::process::{Child, Command};

use cluster::Cluster;
use sandbox::{Ended, Sandbox, TINY, folders, signal, wait_for, workers};

/// Two cells and their controls, three seeds.
const RUNS: usize = 12;

fn sandbox(epochs: u32) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox
        .write("experiments/tiny.toml", &TINY.replace("epochs = 3", &format!("epochs = {epochs}")));
    sandbox
}

/// `seedbed slurm tiny …` of a sandbox, on a cluster.
fn slurm(sandbox: &Sandbox, cluster: &Cluster, arguments: &str) -> Command {
    let mut command = sandbox.command(&format!("slurm tiny {arguments}"));
    command.env("SLURM_CONF", cluster.conf());
    command
}

fn ended(mut command: Command) -> Ended {
    Ended::from(command.output().expect("seedbed starts"))
}

fn end(child: Child) -> Ended {
    Ended::from(child.wait_with_output().expect("seedbed ends"))
}

/// Processes that hold claims on runs.
fn owners(sandbox: &Sandbox, out: &str) -> Vec<u32> {
    let cells = folders(&sandbox.path(out).join("tiny/runs"));
    let claims = cells.iter().flat_map(|cell| folders(cell));
    let claims = claims.filter(|path| path.extension().is_some_and(|e| e == "claim"));
    // one that is given up meanwhile is nobody's
    let texts = claims.filter_map(|path| std::fs::read_to_string(path).ok());
    let claims = texts.filter_map(|text| serde_json::from_str::<serde_json::Value>(&text).ok());
    claims.filter_map(|claim| claim["pid"].as_u64().map(|pid| pid as u32)).collect()
}

fn wait_for_a_record(sandbox: &Sandbox, out: &str) {
    wait_for("a record", || (!sandbox.records(out).is_empty()).then_some(()));
}

/// Arrays of this sandbox in the queue.
fn queue(sandbox: &Sandbox, cluster: &Cluster) -> Vec<String> {
    let queue = cluster.ask("squeue", &["--noheader", "--format=%F %Z"]);
    let folder = sandbox.path("").display().to_string();
    let tasks = queue.lines().filter_map(|line| line.split_once(' '));
    let ours = tasks.filter(|(_, at)| folder.starts_with(at));
    ours.map(|(number, _)| number.to_owned()).collect()
}

/// Nothing of this sandbox's arrays is left in the queue, nor a claim.
#[track_caller]
fn assert_gone(sandbox: &Sandbox, cluster: &Cluster, out: &str) {
    assert_eq!(queue(sandbox, cluster), Vec::<String>::new());
    assert_eq!(owners(sandbox, out), Vec::<u32>::new());
}

/// The tables are those of a run without Slurm.
#[track_caller]
fn assert_undisturbed(sandbox: &Sandbox, out: &str) {
    sandbox.seedbed("run tiny --out alone").expect(0);
    sandbox.assert_same_tables(out, "alone");
    assert_eq!(sandbox.records(out).len(), RUNS);
    assert_eq!(owners(sandbox, out), Vec::<u32>::new());
}

#[test]
fn an_array_leaves_the_tables_of_a_plain_run_whatever_its_folders_are_called() {
    let Some(cluster) = cluster::find() else { return };
    let sandbox = sandbox(3);
    let out = r#"it's 100% "odd" $HOME"#;
    let mut command = slurm(&sandbox, &cluster, "--array-size 3 --partition main");
    // what a user's environment says for other calls
    command.envs([("SBATCH_PARTITION", "nowhere"), ("SQUEUE_STATES", "SUSPENDED")]);
    command.arg("--out").arg(out).args(["--", "--comment=\"a b\" \\ #c"]);
    ended(command)
        .expect(0)
        .says("submitted array")
        .says("12 of 12 runs stored")
        .prints("tables: ");
    let logs = folders(&sandbox.path(out).join("slurm"));
    assert_eq!(logs.len(), 3, "{logs:?}");
    assert_undisturbed(&sandbox, out);
    // and there is nothing left to submit
    let mut command = slurm(&sandbox, &cluster, "");
    command.arg("--out").arg(out);
    ended(command).expect(0).says("nothing to run").prints("tables: ");
}

#[test]
fn a_task_that_is_killed_is_submitted_again_and_the_grid_completed() {
    let Some(cluster) = cluster::find() else { return };
    let sandbox = sandbox(400);
    let waiting = slurm(&sandbox, &cluster, "--out out --array-size 1").spawn().expect("it starts");
    wait_for_a_record(&sandbox, "out");
    let owner = wait_for("an owner", || owners(&sandbox, "out").first().copied());
    signal("KILL", owner);
    let ended = end(waiting).expect(0);
    assert_eq!(ended.stderr.matches("again: ").count(), 1, "{}", ended.stderr);
    assert_undisturbed(&sandbox, "out");
}

#[test]
fn what_a_time_limit_cuts_off_is_submitted_again() {
    let Some(cluster) = cluster::find() else { return };
    let sandbox = sandbox(3);
    let arguments = "--out out --array-size 1 --slots 2 --time 60";
    let waiting = slurm(&sandbox, &cluster, arguments).spawn().expect("it starts");
    // one of its two workers stands still: the task would never end
    let worker = wait_for("a worker", || {
        owners(&sandbox, "out").iter().flat_map(|owner| workers(*owner)).next()
    });
    signal("STOP", worker);
    wait_for("the rest", || (sandbox.records("out").len() == RUNS - 1).then_some(()));
    // Slurm knows no shorter limit
    let update = format!("JobId={}", queue(&sandbox, &cluster)[0]);
    cluster.ask("scontrol", &["update", &update, "TimeLimit=1"]);
    let ended = end(waiting).expect(0);
    assert!(ended.stderr.contains("again: 1 runs"), "{}", ended.stderr);
    assert_undisturbed(&sandbox, "out");
    let logs = folders(&sandbox.path("out/slurm"));
    assert_eq!(logs.len(), 2, "{logs:?}");
    let said = std::fs::read_to_string(&logs[0]).expect("a log");
    assert!(said.contains("stopping the workers"), "{said}");
}

#[test]
fn tasks_that_have_not_begun_when_all_is_done_are_not_waited_for() {
    let Some(cluster) = cluster::find() else { return };
    let sandbox = sandbox(100);
    let mut command = slurm(&sandbox, &cluster, "--out out --array-size 3 -- --licenses=single");
    let waiting = command.spawn().expect("it starts");
    wait_for("a claim", || owners(&sandbox, "out").first().copied());
    let number = queue(&sandbox, &cluster)[0].clone();
    cluster.ask("scontrol", &["hold", &format!("{number}_1,{number}_2")]);
    end(waiting).expect(0).says("1 running, 2 waiting");
    assert_gone(&sandbox, &cluster, "out");
    assert_eq!(folders(&sandbox.path("out/slurm")).len(), 1, "one task did everything");
    assert_undisturbed(&sandbox, "out");
}

#[test]
fn an_array_of_which_nothing_advances_is_not_submitted_again() {
    let Some(cluster) = cluster::find() else { return };
    let sandbox = sandbox(1_000_000);
    let arguments = "--out out --runs 1 --cell reconstruction=sum --slots 2";
    let waiting = slurm(&sandbox, &cluster, arguments).spawn().expect("it starts");
    // the untrained control is there at once
    wait_for_a_record(&sandbox, "out");
    // the process that waits looks at claims too, by taking them for a moment
    let tasks = || owners(&sandbox, "out").into_iter().filter(|it| *it != waiting.id());
    let kill = || {
        let owner = wait_for("an owner", || tasks().next());
        signal("KILL", owner);
        owner
    };
    let first = kill();
    wait_for("another task", || tasks().find(|it| *it != first));
    kill();
    let ended = end(waiting).expect(1).says("without finishing any of the 1 runs that are left");
    assert!(ended.stderr.contains("a task's last words: "), "{}", ended.stderr);
    assert_eq!(ended.stderr.matches("submitted array").count(), 2, "{}", ended.stderr);
    assert_eq!(sandbox.records("out").len(), 1);
}

#[test]
fn a_cancelled_array_leaves_no_task_and_no_claim_and_is_resumed() {
    let Some(cluster) = cluster::find() else { return };
    let sandbox = sandbox(1000);
    let number = ended(slurm(&sandbox, &cluster, "--out out --array-size 2 --detach")).expect(0);
    assert!(number.stdout.trim().parse::<u64>().is_ok(), "{}", number.stdout);
    // what is in the queue is not submitted twice, but waited for
    let again = slurm(&sandbox, &cluster, "--out out --detach");
    ended(again).expect(0).says("is in the queue");
    let waiting = slurm(&sandbox, &cluster, "--out out").spawn().expect("it starts");
    wait_for_a_record(&sandbox, "out");
    // another folder's is another array
    ended(slurm(&sandbox, &cluster, "--cancel")).expect(0).says("no array of yours");
    ended(slurm(&sandbox, &cluster, "--out out --cancel")).expect(0).says("cancelled array");
    assert_gone(&sandbox, &cluster, "out");
    end(waiting).expect(130).says("was cancelled").says("finished runs are kept");
    assert!((1..RUNS).contains(&sandbox.records("out").len()), "it was cancelled too late");
    ended(slurm(&sandbox, &cluster, "--out out")).expect(0).says("submitted array");
    assert_undisturbed(&sandbox, "out");
}

#[test]
fn the_first_signal_cancels_the_array_that_is_waited_for() {
    let Some(cluster) = cluster::find() else { return };
    let sandbox = sandbox(100_000);
    for name in ["INT", "TERM"] {
        let waiting = slurm(&sandbox, &cluster, "--out out").spawn().expect("it starts");
        wait_for("a claim", || owners(&sandbox, "out").first().copied());
        signal(name, waiting.id());
        end(waiting).expect(130).says("cancelled array").says("continue with");
        assert_gone(&sandbox, &cluster, "out");
    }
}

#[test]
fn a_terminal_that_closes_leaves_the_array() {
    let Some(cluster) = cluster::find() else { return };
    let sandbox = sandbox(100_000);
    let waiting = slurm(&sandbox, &cluster, "--out out").spawn().expect("it starts");
    wait_for("a claim", || owners(&sandbox, "out").first().copied());
    signal("HUP", waiting.id());
    assert_eq!(end(waiting).code, None);
    assert!(!owners(&sandbox, "out").is_empty());
    ended(slurm(&sandbox, &cluster, "--out out --cancel")).expect(0).says("cancelled array");
    assert_gone(&sandbox, &cluster, "out");
}

#[test]
fn what_slurm_refuses_is_said_in_its_own_words() {
    let Some(cluster) = cluster::find() else { return };
    let sandbox = sandbox(3);
    let nowhere = ended(slurm(&sandbox, &cluster, "--partition nowhere"));
    nowhere.expect(1).says("invalid partition specified: nowhere; 'sinfo' lists partitions");
    let unknown = ended(slurm(&sandbox, &cluster, "-- --no-such-option=1"));
    unknown.expect(1).says("sbatch refuses: ").says("no-such-option");
    ended(slurm(&sandbox, &cluster, "-- --array=0-9")).expect(2).says("give --array-size N");
    assert_gone(&sandbox, &cluster, "results");
}

#[test]
fn without_slurm_the_script_is_printed_and_does_what_a_task_does() {
    let sandbox = sandbox(3);
    let command = |arguments: &str| {
        let mut command = sandbox.command(&format!("slurm tiny {arguments}"));
        command.env("PATH", "/nowhere").arg("--out").arg("it's \"odd\"");
        command
    };
    ended(command("")).expect(1).says("there is no squeue here").says("--print");
    let script = ended(command("--array-size 5 --time 10 --print")).expect(0).stdout;
    for line in ["#SBATCH --array=0-4", "#SBATCH --time=10", "#SBATCH --cpus-per-task=1"] {
        assert!(script.lines().any(|found| found == line), "{line} in\n{script}");
    }
    assert!(!sandbox.path("it's \"odd\"").exists(), "--print wrote something");
    let task = Command::new("bash").args(["-c", &script]).current_dir("/").output();
    Ended::from(task.expect("bash starts")).expect(0);
    assert_eq!(sandbox.records("it's \"odd\"").len(), RUNS);
    assert!(!sandbox.path("it's \"odd\"/tiny/runs.csv").exists(), "a task writes no tables");
}

#[test]
fn a_task_leaves_alone_what_another_has_and_does_not_wait_for_it() {
    let sandbox = sandbox(200);
    let first = sandbox.command("run tiny --slots 2 --out out").spawn().expect("it starts");
    let workers = wait_for("two workers", || {
        let workers = workers(first.id());
        (workers.len() == 2).then_some(workers)
    });
    workers.iter().for_each(|worker| signal("STOP", *worker));
    // a job of three seeds, of which another has one or two
    let task = sandbox.seedbed("run tiny --slots 1 --width 3 --out out --train-only");
    task.expect(0);
    assert_eq!(sandbox.records("out").len(), RUNS - 2);
    assert!(!sandbox.path("out/tiny/runs.csv").exists(), "a task writes no tables");
    workers.iter().for_each(|worker| signal("CONT", *worker));
    end(first).expect(0);
    assert_eq!(sandbox.records("out").len(), RUNS);
}

#[test]
fn nothing_of_a_cluster_outlives_it() {
    if !cluster::is_installed() {
        return;
    }
    let cluster = Cluster::start();
    let conf = cluster.conf();
    // what leaves its session and ignores what it is told
    let stubborn = "trap '' TERM HUP; setsid sleep 1000 & sleep 1000";
    cluster.ask("sbatch", &["--output=/dev/null", "--wrap", stubborn]);
    let count = || Cluster::processes(&conf).len();
    // munged, slurmctld and its scripts' keeper, slurmd, the job's keeper, its shell, both sleeps
    wait_for("the job", || (count() >= 8).then_some(()));
    drop(cluster);
    assert_eq!(Cluster::processes(&conf), Vec::<String>::new());
}

#[test]
fn a_worker_leaves_it_to_its_harness_what_sigterm_means() {
    let sandbox = sandbox(100);
    let run =
        sandbox.command("run tiny --slots 1 --retries 0 --out out").spawn().expect("it starts");
    let worker = wait_for("a worker", || workers(run.id()).into_iter().next());
    signal("TERM", worker);
    end(run).expect(0);
    assert_eq!(sandbox.records("out").len(), RUNS);
}
