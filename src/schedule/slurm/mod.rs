//! What is said to Slurm and what it says: the script of an array of tasks, the queue as `squeue`
//! lists it, and what is to be done next. Nothing in this file calls a program, reads a clock or knows
//! records: `queue` calls Slurm's programs, and `watch` waits for an array.
pub mod queue;
pub mod watch;

use std::path::{Path, PathBuf};

use crate::digest::sha256;
use crate::error::{Error, Result};
use crate::shell::{command, quoted};

/// Seconds that a task has to stop in good order before its time limit.
const NOTICE: u32 = 30;

/// How `squeue` is asked for the tasks that [`parse_queue`] reads.
pub const QUEUE_FORMAT: &str = "--format=%F|%K|%T|%r|%j";

/// Options of sbatch by which an array would no longer be what the caller counts on, and what to
/// write instead.
const REFUSED: [(&str, &str, &str); 7] = [
    ("--array", "-a", "give --array-size N"),
    ("--job-name", "-J", "by its name the array is found again"),
    ("--clusters", "-M", "set SLURM_CLUSTERS, which squeue and scancel heed too"),
    ("--wait", "-W", "seedbed waits by itself, and with --detach does not"),
    ("--wrap", "", "the script is seedbed's"),
    ("--test-only", "", "give --print, and try that script"),
    ("--uid", "", "run seedbed as that user"),
];

/// An array of equal tasks.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// See [`name`].
    pub name: String,
    pub tasks: u32,
    /// Cores of a task.
    pub cores: u32,
    /// Where the tasks' output goes, an absolute path.
    pub logs: PathBuf,
    /// Options of sbatch, such as `--time=60`; the last word of several.
    pub options: Vec<String>,
    /// Where the command is started.
    pub directory: PathBuf,
    /// Set for the command.
    pub environment: Vec<(String, String)>,
    /// What each task runs: a program and its arguments.
    pub command: Vec<String>,
}

impl Array {
    /// Lists all options of sbatch, which are in the script too: there a user's environment (`SBATCH_TIMELIMIT`
    /// and the like) would win over them.
    ///
    /// # Errors
    /// `Usage` for what cannot be written into a script: a control character in an option, a path that
    /// Slurm would change, an option that would make another array of it.
    pub fn sbatch_options(&self) -> Result<Vec<String>> {
        let mut options = vec![
            format!("--job-name={}", self.name),
            format!("--array=0-{}", self.tasks.max(1) - 1),
            "--nodes=1".to_owned(),
            "--ntasks=1".to_owned(),
            format!("--cpus-per-task={}", self.cores),
            format!("--output={}", self.output()?),
            "--open-mode=append".to_owned(),
            "--requeue".to_owned(),
            // to the task itself, which then stops its workers and gives its claims up
            format!("--signal=B:TERM@{NOTICE}"),
        ];
        for option in &self.options {
            check_option(option)?;
            options.push(option.clone());
        }
        Ok(options)
    }

    /// Writes the script for `sbatch`.
    ///
    /// # Errors
    /// As [`Array::sbatch_options`], and for a path that is not UTF-8.
    pub fn script(&self) -> Result<String> {
        let mut script = "#!/bin/sh\n".to_owned();
        for option in self.sbatch_options()? {
            script += &format!("#SBATCH {}\n", quoted_for_sbatch(&option));
        }
        let (logs, directory) = (text(&self.logs)?, text(&self.directory)?);
        let logs = quoted(&logs);
        script += &format!("# Slurm writes into this folder and does not make it: {logs}\n");
        script += &format!("cd -- {} || exit\n", quoted(&directory));
        for (name, value) in &self.environment {
            script += &format!("export {name}={}\n", quoted(value));
        }
        // so that Slurm's signals reach seedbed itself
        script += &format!("exec {}\n", command(self.command.iter().map(String::as_str)));
        Ok(script)
    }

    fn output(&self) -> Result<String> {
        let folder = text(&self.logs)?;
        if folder.contains('\\') || folder.contains(char::is_control) {
            return Err(Error::Usage(format!(
                "Slurm cannot write its logs to {folder:?}, for the backslash or control character \
                 in it; give --out another folder"
            )));
        }
        Ok(format!("{}/%A_%a.log", folder.replace('%', "%%")))
    }
}

fn text(path: &Path) -> Result<String> {
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| Error::Usage(format!("{} is not UTF-8; give another path", path.display())))
}

/// sbatch's options of one letter that take a value: what follows the letter is that.
const SHORT_WITH_VALUE: &str = "AbBcCdDeFGiJLmMnNopPqStwx";

/// The letters of a word of options, `Ha` of `-Ha0-9`; none of a long one.
fn letters(option: &str) -> &str {
    let letters = option.strip_prefix('-').filter(|rest| !rest.starts_with('-')).unwrap_or("");
    // of the array the value begins with a digit, as no letter does
    let is_last = |c: char| SHORT_WITH_VALUE.contains(c) || !c.is_ascii_alphabetic();
    let end = letters.char_indices().find(|(_, c)| is_last(*c));
    end.map_or(letters, |(at, c)| &letters[..at + c.len_utf8()])
}

fn check_option(option: &str) -> Result<()> {
    let fault = |why: &str| Err(Error::Usage(format!("sbatch option {option:?}: {why}")));
    if option.contains(char::is_control) {
        return fault("a line of a script holds no control characters");
    }
    if !option.starts_with('-') || option.trim_start_matches('-').is_empty() {
        return fault("write --name=value, or --name");
    }
    for (long, short, instead) in REFUSED {
        let name = option.split('=').next().unwrap_or_default();
        // sbatch takes any beginning of a name
        let is_long = name.len() > 2 && long.starts_with(name);
        let letter = short.strip_prefix('-').filter(|letter| !letter.is_empty());
        let is_short = letter.is_some_and(|letter| letters(option).contains(letter));
        if is_long || is_short {
            return fault(&format!("not with 'seedbed slurm': {instead}"));
        }
    }
    Ok(())
}

/// As sbatch reads words of a `#SBATCH` line; unlike a shell it heeds a backslash in single quotes too.
fn quoted_for_sbatch(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=.,:/@%+".contains(c);
    if word.chars().all(plain) {
        return word.to_owned();
    }
    format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))
}

/// GPUs of a task that asks Slurm for them with `--gres`: 2 of `gpu:a100:2`; none of another kind of
/// resource.
pub fn gpus(gres: &str) -> Option<u32> {
    let mut kinds = gres.split(',').map(|kind| kind.split(':').collect::<Vec<_>>());
    let gpu = kinds.find(|parts| parts[0].trim_start_matches("gres/") == "gpu")?;
    Some(gpu.last().and_then(|count| count.parse().ok()).unwrap_or(1))
}

/// GPUs of a task that asks Slurm for them with an option of sbatch, such as `--gpus-per-task=a100:2`.
pub fn gpus_asked(option: &str) -> Option<u32> {
    let (name, value) = option.split_once('=').unwrap_or((option, ""));
    match (name, option.strip_prefix("-G")) {
        ("--gres", _) => gpus(value),
        (_, Some(count)) => gpus(&format!("gpu:{count}")),
        (_, None) if name.starts_with("--gpus") => gpus(&format!("gpu:{value}")),
        (_, None) => None,
    }
}

/// Makes the name of an array that trains these experiments into `out`, an absolute path: for people, and
/// so that the array is found again.
pub fn name(experiments: &[&str], out: &Path) -> String {
    format!("{}{}", experiments.join(","), mark(out))
}

fn mark(out: &Path) -> String {
    let digest = sha256(out.as_os_str().as_encoded_bytes());
    format!(".seedbed-{}", &digest[..12])
}

/// A task that has not ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// The number of its array.
    pub array: u64,
    /// Its number in the array; none for what is no array.
    pub index: Option<u32>,
    /// `RUNNING`, `PENDING`, `COMPLETING` …
    pub state: String,
    /// Why it waits, in Slurm's words; `None` when it does not.
    pub reason: String,
    pub name: String,
}

impl Task {
    /// Says whether it has not begun.
    pub fn is_waiting(&self) -> bool {
        self.state == "PENDING"
    }

    /// Says whether it trains any of these experiments into `out`.
    pub fn trains(&self, experiments: &[&str], out: &Path) -> bool {
        let theirs = self.name.strip_suffix(&mark(out));
        theirs.is_some_and(|names| names.split(',').any(|name| experiments.contains(&name)))
    }
}

/// Reads what `squeue --noheader --array` prints in [`QUEUE_FORMAT`].
///
/// # Errors
/// `Failed` for a line that is not of that format.
pub fn parse_queue(text: &str) -> Result<Vec<Task>> {
    let task = |line: &str| {
        let mut fields = line.splitn(5, '|');
        let mut next = || fields.next();
        Some(Task {
            array: next()?.trim().parse().ok()?,
            index: next()?.trim().parse().ok(),
            state: next()?.to_owned(),
            reason: next()?.to_owned(),
            name: next()?.to_owned(),
        })
    };
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let tasks = lines.map(|line| {
        task(line).ok_or_else(|| Error::Failed(format!("squeue answered what is no task: {line}")))
    });
    tasks.collect()
}

/// Describes tasks as `2 running, 3 waiting (Resources)`.
pub fn describe_queue(tasks: &[Task]) -> String {
    if tasks.is_empty() {
        return "none left".to_owned();
    }
    let running = tasks.iter().filter(|task| task.state == "RUNNING").count();
    let mut reasons: Vec<&str> =
        tasks.iter().filter(|task| task.is_waiting()).map(|task| task.reason.as_str()).collect();
    let waiting = reasons.len();
    let mut parts = vec![format!("{running} running")];
    if waiting > 0 {
        reasons.retain(|reason| *reason != "None");
        reasons.sort_unstable();
        reasons.dedup();
        let reasons = reasons.join("; ");
        let reasons = if reasons.is_empty() { reasons } else { format!(" ({reasons})") };
        parts.push(format!("{waiting} waiting{reasons}"));
    }
    if running + waiting < tasks.len() {
        parts.push(format!("{} ending", tasks.len() - running - waiting));
    }
    parts.join(", ")
}

/// Reads the number that `sbatch --parsable` prints: `123`, or `123;cluster`.
///
/// # Errors
/// `Failed` when it is none.
pub fn parse_submitted(text: &str) -> Result<u64> {
    let number = text.trim().split(';').next().unwrap_or_default().parse();
    number.map_err(|_| {
        Error::Failed(format!(
            "sbatch answered no job number: {:?}; look with 'squeue'",
            text.trim()
        ))
    })
}

/// Returns the first line of what a program of Slurm's complains of, less its own name.
pub fn complaint(stderr: &str) -> &str {
    let line =
        stderr.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("no reason given");
    line.split_once(": error: ").map_or(line, |(_, rest)| rest)
}

/// How far an array is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Standing {
    /// Tasks that have begun and not ended.
    pub running: usize,
    /// Tasks that have not begun.
    pub waiting: usize,
    /// Runs without a record now, and when the array was submitted.
    pub to_run: usize,
    pub to_run_then: usize,
    /// How often it may still be submitted again.
    pub left: u32,
}

/// What is to be done about an array.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Next {
    Wait,
    /// Every run has a record.
    Done,
    /// Something cut the array off.
    Resubmit,
    /// The array ended, and no run has a record that had none before.
    Stuck,
    /// It was submitted as often as was said.
    Enough,
}

impl Standing {
    /// Says whether what has no record now will have none.
    pub fn is_without_tasks(&self) -> bool {
        self.running == 0 && self.waiting == 0
    }
}

/// Tasks that run are waited for, also when every run has its record: they end by themselves. Those
/// that have not begun are not, then. An array is submitted again while that helps.
pub fn next(standing: &Standing) -> Next {
    match standing {
        Standing { running: 1.., .. } => Next::Wait,
        Standing { to_run: 0, .. } => Next::Done,
        Standing { waiting: 1.., .. } => Next::Wait,
        Standing { to_run, to_run_then, .. } if to_run >= to_run_then => Next::Stuck,
        Standing { left: 0, .. } => Next::Enough,
        Standing { .. } => Next::Resubmit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array() -> Array {
        Array {
            name: name(&["tiny", "other"], Path::new("/data/out")),
            tasks: 4,
            cores: 2,
            logs: "/data/out/slurm".into(),
            options: vec!["--partition=long".to_owned(), "--time=1-00:00:00".to_owned()],
            directory: "/home/somebody's files".into(),
            environment: vec![("SEEDBED_DATA".to_owned(), "/data $HOME".to_owned())],
            command: ["/bin/seedbed", "run", "tiny"].map(str::to_owned).to_vec(),
        }
    }

    #[test]
    fn a_script_says_what_slurm_needs_and_then_becomes_seedbed() {
        let script = array().script().unwrap();
        let lines: Vec<&str> = script.lines().collect();
        assert_eq!(lines[0], "#!/bin/sh");
        let name = format!("#SBATCH --job-name={}", array().name);
        for line in [
            name.as_str(),
            "#SBATCH --array=0-3",
            "#SBATCH --cpus-per-task=2",
            "#SBATCH --output=/data/out/slurm/%A_%a.log",
            "#SBATCH --signal=B:TERM@30",
            "#SBATCH --partition=long",
            "#SBATCH --time=1-00:00:00",
            r#"cd -- "/home/somebody's files" || exit"#,
            "export SEEDBED_DATA='/data $HOME'",
        ] {
            assert!(lines.contains(&line), "{line} in\n{script}");
        }
        assert_eq!(lines.last(), Some(&"exec /bin/seedbed run tiny"));
    }

    #[test]
    fn a_shell_reads_every_word_of_a_script_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("a b'c\"d$e`f\\g\nh");
        std::fs::create_dir(&directory).unwrap();
        let words =
            ["it's", "\"$HOME\"", "`id`", "a\nb", "", "-n", "\\", "*", "#SBATCH --array=0-9"];
        let print = ["printf", "[%s]"].into_iter().chain(words);
        let nasty = Array {
            directory: directory.clone(),
            environment: vec![("GIVEN".to_owned(), "x'\n$y".to_owned())],
            command: ["sh", "-c", "printf '[%s]' \"$PWD\" \"$GIVEN\"; exec \"$@\"", "sh"]
                .into_iter()
                .chain(print)
                .map(str::to_owned)
                .collect(),
            ..array()
        };
        let script = nasty.script().unwrap();
        let mut said = std::process::Command::new("sh");
        let said = said.args(["-c", &script]).output().unwrap();
        let expected = [directory.to_str().unwrap(), "x'\n$y"].into_iter().chain(words);
        let expected: String = expected.map(|word| format!("[{word}]")).collect();
        assert_eq!(String::from_utf8_lossy(&said.stdout), expected);
    }

    #[test]
    fn no_option_and_no_path_adds_a_line_for_sbatch() {
        let with = |option: &str| Array { options: vec![option.to_owned()], ..array() };
        let at = |logs: &str| Array { logs: logs.into(), ..array() };
        let wrong =
            [with("--comment=a\n#SBATCH --uid=0"), at("/out\n#SBATCH --uid=0"), at("/a\\b")];
        for array in wrong {
            assert_eq!(array.script().unwrap_err().exit_code(), 2);
        }
        let script = with("--comment=a \"b\" \\ #c").script().unwrap();
        assert!(script.contains("#SBATCH \"--comment=a \\\"b\\\" \\\\ #c\"\n"), "{script}");
        let script = at("/o u%t").script().unwrap();
        assert!(script.contains("#SBATCH \"--output=/o u%%t/%A_%a.log\"\n"), "{script}");
    }

    #[test]
    fn options_that_would_break_the_array_are_refused_and_others_are_not() {
        let refused =
            ["--array=0-9", "-a0-9", "-J", "--job-n=x", "--wrap=true", "--wait", "-M", "x", "--"];
        let bundled = ["-Ha0-9", "-HQa0-9", "-Ha", "-HW", "-QJname", "-kMother"];
        for option in refused.into_iter().chain(bundled) {
            assert!(check_option(option).is_err(), "{option}");
        }
        for option in [
            "--account=a",
            "-A",
            "-pmain",
            "-HApart",
            "-tJ",
            "--mem=4G",
            "--wait-all-nodes=1",
            "--exclusive",
        ] {
            assert_eq!(check_option(option), Ok(()), "{option}");
        }
    }

    #[test]
    fn a_queue_is_read_and_shows_whose_tasks_are_ours() {
        let out = Path::new("/data/out");
        let name = name(&["tiny", "other"], out);
        let text = format!(
            "12|0|RUNNING|None|{name}\n12|1|PENDING|ReqNodeNotAvail, Unavailable:one|{name}\n\
             12|2|COMPLETING|None|{name}\n7|N/A|RUNNING|None|my | own\n"
        );
        let tasks = parse_queue(&text).unwrap();
        let ours = |experiments: &[&str], out: &str| {
            let mine = tasks.iter().filter(|task| task.trains(experiments, Path::new(out)));
            mine.cloned().collect::<Vec<_>>()
        };
        assert_eq!(ours(&["other"], "/data/out").len(), 3);
        assert!(ours(&["tiny"], "/data/out2").is_empty());
        assert!(ours(&["tin", "tiny,other"], "/data/out").is_empty());
        let said = describe_queue(&ours(&["tiny"], "/data/out"));
        assert_eq!(said, "1 running, 1 waiting (ReqNodeNotAvail, Unavailable:one), 1 ending");
        assert_eq!(tasks[3].index, None);
        assert!(parse_queue("slurm_load_jobs error").is_err());
        assert_eq!(parse_queue("\n").unwrap(), []);
    }

    #[test]
    fn gpus_are_counted_as_slurm_names_them() {
        let counts = ["gpu", "gpu:2", "gpu:a100", "gpu:a100:4", "shard:1,gpu:3"].map(gpus);
        assert_eq!(counts, [Some(1), Some(2), Some(1), Some(4), Some(3)]);
        assert_eq!([gpus("shard:2"), gpus("")], [None, None]);
        let options = ["--gpus=2", "--gpus-per-task=a100:4", "-G3", "--gres=gpu:5", "--gpus=a100"];
        assert_eq!(options.map(gpus_asked), [2, 4, 3, 5, 1].map(Some));
        assert_eq!(["--gpu-bind=closest", "--gres=shard:1"].map(gpus_asked), [None, None]);
    }

    #[test]
    fn answers_of_sbatch_are_read() {
        assert_eq!(parse_submitted("123\n"), Ok(123));
        assert_eq!(parse_submitted("123;north\n"), Ok(123));
        assert!(parse_submitted("Submitted batch job 123").is_err());
        let said = "sbatch: error: invalid partition specified: nope\nsbatch: error: Batch job \
                    submission failed: Invalid partition name specified";
        assert_eq!(complaint(said), "invalid partition specified: nope");
        assert_eq!(complaint("\n"), "no reason given");
    }

    #[test]
    fn an_array_is_submitted_again_while_runs_advance_and_no_more_often_than_said() {
        let ended = Standing { running: 0, waiting: 0, to_run: 3, to_run_then: 9, left: 2 };
        assert_eq!(next(&ended), Next::Resubmit);
        assert_eq!(next(&Standing { running: 1, ..ended }), Next::Wait);
        assert_eq!(next(&Standing { waiting: 1, ..ended }), Next::Wait);
        assert_eq!(next(&Standing { running: 1, to_run: 0, ..ended }), Next::Wait);
        assert_eq!(next(&Standing { waiting: 1, to_run: 0, ..ended }), Next::Done);
        assert_eq!(next(&Standing { to_run: 0, left: 0, ..ended }), Next::Done);
        assert_eq!(next(&Standing { left: 0, ..ended }), Next::Enough);
        assert_eq!(next(&Standing { to_run: 9, ..ended }), Next::Stuck);
        assert_eq!(next(&Standing { to_run: 9, left: 0, ..ended }), Next::Stuck);
    }
}
