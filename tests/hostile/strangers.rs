//! Files of someone else's, through the real binary: nothing in an experiment, a paper, a record, a
//! `runs.csv` or a folder of results makes seedbed write outside the folder it was told to, run a
//! command, put markup into a report or control a terminal. Trains nothing.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::records::ended_well;
use crate::sandbox::{Ended, Sandbox, TINY};
use seedbed::experiment::{Experiment, Scale, Selection};
use seedbed::store::Store;
use seedbed::store::record::{Job, Provenance, Record};

/// Names that a file can give to cells and experiments.
const NASTY: [&str; 12] = [
    "../../escaped",
    "/tmp/seedbed-escaped",
    "..",
    "a\0b",
    "a\nb",
    "$(touch pwned)",
    "`touch pwned`; touch pwned",
    "'; touch pwned; '",
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "\x1b]0;pwned\x07\x1b[2J\u{9b}31m",
    "\u{202e}desrever",
];

/// Those that a `runs.csv` may give: control characters are refused there.
fn names() -> impl DoubleEndedIterator<Item = &'static str> + Clone {
    NASTY.into_iter().filter(|name| !name.contains(char::is_control))
}

/// What lies below a folder: files with their bytes, links with what they name.
fn everything(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for path in crate::sandbox::folders(&next) {
            let kind = std::fs::symlink_metadata(&path).expect("a file").file_type();
            if kind.is_dir() {
                folders.push(path);
                continue;
            }
            let content = match kind.is_symlink() {
                true => {
                    std::fs::read_link(&path).expect("a link").into_os_string().into_encoded_bytes()
                }
                false => std::fs::read(&path).expect("a file"),
            };
            found.insert(path.strip_prefix(folder).expect("a path in it").to_owned(), content);
        }
    }
    found
}

/// Runs seedbed; whatever it answers, nothing outside `inside` has changed and no control character
/// reaches the terminal.
#[track_caller]
fn harmless(sandbox: &Sandbox, arguments: &str, inside: &str) -> Ended {
    let outside = |mut files: BTreeMap<PathBuf, Vec<u8>>| {
        files.retain(|path, _| !path.starts_with(inside));
        files
    };
    let before = outside(everything(&sandbox.path("")));
    let ended = sandbox.seedbed(arguments);
    assert_eq!(outside(everything(&sandbox.path(""))), before, "seedbed {arguments}");
    assert!(!Path::new("/tmp/seedbed-escaped").exists());
    for text in [&ended.stdout, &ended.stderr] {
        let raw = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!text.contains(raw), "seedbed {arguments}: {text:?}");
    }
    ended
}

/// No report has markup of a stranger's, and no line that begins with what a stranger wrote.
#[track_caller]
fn plain_reports(sandbox: &Sandbox, folder: &str) {
    let page = sandbox.read(&format!("{folder}/report.html"));
    for markup in ["<script", "<img src=x", "<b>"] {
        assert!(!page.contains(markup), "{markup}");
    }
    let raw = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    assert!(!page.contains(raw), "html");
    for end in ["md", "tex"] {
        let text = sandbox.read(&format!("{folder}/report.{end}"));
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{end}");
        assert!(!text.contains("<script") && !text.contains("<img"), "{end}");
    }
}

fn field(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

#[test]
fn names_in_a_runs_csv_are_text_and_no_path_command_or_markup() {
    let sandbox = Sandbox::new();
    let mut text = "experiment,cell,seed,scale,state,f1,device,\"model.<b>\"\n".to_owned();
    for (experiment, cell) in names().zip(names().rev()) {
        for seed in 1..=3 {
            let f1 = 0.5 + f64::from(seed) / 10.0;
            let (experiment, cell) = (field(experiment), field(cell));
            let device = field("<script>\x1b[2J");
            text += &format!("{experiment},{cell},{seed},full,ok,{f1},{device},{cell}\n");
        }
    }
    sandbox.write("theirs/runs.csv", &text);
    harmless(&sandbox, "tables --runs theirs/runs.csv", "nowhere").expect(0);
    harmless(&sandbox, "compare --runs theirs/runs.csv", "nowhere").expect(0);
    harmless(&sandbox, "report --runs theirs/runs.csv --to theirs", "theirs").expect(0);
    harmless(&sandbox, "tables tiny --runs theirs/runs.csv", "nowhere").expect(3);
}

#[test]
fn what_a_runs_csv_says_of_its_rows_is_text_in_every_report() {
    let sandbox = Sandbox::new();
    let mut text = "experiment,cell,seed,scale,state,f1,device\n".to_owned();
    for name in names() {
        for (seed, device) in (1..).zip(NASTY) {
            let (name, device) = (field(name), field(device));
            text += &format!("{name},{name},{seed},full,ok,0.{seed},{device}\n");
        }
    }
    sandbox.write("theirs/runs.csv", &text);
    harmless(&sandbox, "report --runs theirs/runs.csv", "theirs").expect(0);
    plain_reports(&sandbox, "theirs");
    // errors quote what they refuse
    for nasty in NASTY {
        let (header, nasty) = ("experiment,cell,seed,scale,state,f1", field(nasty));
        // a name with a dot is an axis
        sandbox.write("theirs/runs.csv", &format!("{header},{nasty}\n"));
        harmless(&sandbox, "tables --runs theirs/runs.csv", "nowhere");
        for text in [
            format!("{header}\ntiny,base,{nasty},full,ok,0.5\n"),
            format!("{header}\ntiny,base,1,full,{nasty},0.5\n"),
            format!("{header}\n{nasty},base,1,full,ok,0.5\n{nasty},base,1,full,ok,0.5\n"),
            format!("{header}\ntiny,{nasty},1,full,ok,0.5\ntiny,{nasty},2,quick,ok,0.5\n"),
        ] {
            sandbox.write("theirs/runs.csv", &text);
            harmless(&sandbox, "tables --runs theirs/runs.csv", "nowhere").expect(3);
        }
    }
}

#[test]
fn what_a_lock_or_a_claim_says_is_text_in_a_terminal() {
    let sandbox = Sandbox::new();
    let header = "experiment,cell,seed,fields_sha256,record_sha256";
    let csv = "experiment,cell,seed,scale,state,f1\ntiny,reconstruction=sum,1,full,ok,0.5\n";
    sandbox.write("results/tiny/runs.csv", csv);
    for nasty in NASTY {
        let named = field(nasty);
        let lines = format!("{header}\n{named},{named},1,a,b\n");
        sandbox.write("results/results.lock", &format!("{lines}root {nasty}\n"));
        for command in ["verify --lock", "verify --lock --json", "lock"] {
            harmless(&sandbox, command, "nowhere");
        }
        let cell = "results/tiny/runs/reconstruction=mean";
        let owner = serde_json::json!({
            "host": nasty, "machine": nasty, "pid": 1, "started": 1, "token": "00ff",
        });
        sandbox.write(&format!("{cell}/1.claim"), &format!("{owner}\n"));
        // a plan times a few steps
        if NASTY[10..].contains(&nasty) {
            harmless(&sandbox, "plan tiny", "nowhere").expect(0);
            harmless(&sandbox, "plan tiny --json", "nowhere").expect(0);
        }
        let name = nasty.replace(['\0', '/'], "");
        let folder = sandbox.path("results").join(&name);
        if !name.is_empty() && name != ".." && std::fs::create_dir(&folder).is_ok() {
            std::fs::write(folder.join("runs.csv"), csv).expect("a table");
            harmless(&sandbox, "tables --resamples 0", "results");
            std::fs::remove_dir_all(folder).expect("removed");
        }
    }
}

#[test]
fn a_record_of_very_many_values_is_refused_before_it_takes_memory() {
    let sandbox = Sandbox::new();
    let values = "[1],".repeat(15_000_000);
    sandbox.write("results/tiny/runs/reconstruction=sum/1.json", &format!("[{values}1]"));
    let mut command = std::process::Command::new("prlimit");
    let seedbed = sandbox.command("tables tiny");
    command.args(["--as=1500000000", "--"]).arg(seedbed.get_program()).args(seedbed.get_args());
    let ended = command.current_dir(sandbox.path("")).output().expect("prlimit starts");
    let ended = Ended::from(ended).says("it has more than 4194304 values");
    assert!(ended.code == Some(2) || ended.code == Some(0), "{:?}", ended.code);
}

#[test]
fn commands_of_a_report_hold_no_words_of_a_stranger() {
    let sandbox = Sandbox::new();
    let header = "experiment,cell,seed,scale,state,f1,commit,device,key\n";
    let rows = |commit: &str| -> String {
        let row = |seed| {
            let key = record(&sandbox, seed).key;
            format!("tiny,reconstruction=sum,{seed},full,ok,0.{seed},{commit},cpu,{key}\n")
        };
        header.to_owned() + &(1..=3).map(row).collect::<String>()
    };
    for (commit, checked_out) in [
        ("0123abc", true),
        ("HEAD; touch pwned", false),
        ("--upload-pack=touch", false),
        ("\"a\ntouch pwned\"", false),
        ("$(touch pwned)", false),
    ] {
        sandbox.write("results/tiny/runs.csv", &rows(commit));
        harmless(&sandbox, "report tiny", "results").expect(0);
        let report: serde_json::Value =
            serde_json::from_str(&sandbox.read("results/report.json")).expect("JSON");
        let commands = report["sections"][0]["commands"].to_string();
        assert_eq!(commands.contains("git checkout 0123abc"), checked_out, "{commands}");
        assert!(!commands.contains("touch") && commands.contains("--cell 'reconstruction=sum'"));
    }
}

#[test]
fn an_experiment_names_no_file_outside_its_folders() {
    let sandbox = Sandbox::new();
    sandbox.write("secret.toml", "token = \"hunter2\"\n");
    let toml = |name: &str| -> String {
        let shown = name.chars().map(|c| match c {
            '"' | '\\' => format!("\\{c}"),
            c if c.is_control() => format!("\\u{:04x}", u32::from(c)),
            c => c.to_string(),
        });
        format!("\"{}\"", shown.collect::<String>())
    };
    let changes = |nasty: &str| {
        let nasty = toml(nasty);
        [
            ("name = \"tiny\"", format!("name = {nasty}")),
            ("paper = \"made-up\"", format!("paper = {nasty}")),
            ("paper = \"made-up\"", "paper = \"../../secret\"".to_owned()),
            ("[\"sum\", \"mean\"]", format!("[\"sum\", {nasty}]")),
            ("\"model.reconstruction\"", format!("{nasty} = [1]\n\"model.reconstruction\"")),
            ("[controls]", "\"protocol.split./tmp/x\" = [1]\n[controls]".to_owned()),
            ("latent = 1", format!("latent = 1\n{nasty} = 1")),
            ("name = \"dagmm\"", format!("name = {nasty}")),
        ]
    };
    for nasty in NASTY {
        for (right, wrong) in changes(nasty) {
            assert!(TINY.contains(right));
            sandbox.write("experiments/tiny.toml", &TINY.replacen(right, &wrong, 1));
            let rows =
                "experiment,cell,seed,scale,state,f1\ntiny,reconstruction=sum,1,full,ok,0.5\n";
            sandbox.write("results/tiny/runs.csv", rows);
            let ended = harmless(&sandbox, "report tiny", "nowhere").expect(2);
            assert!(!ended.stderr.contains("hunter2"), "{}", ended.stderr);
        }
        // a title may be anything
        let title = format!("title = {}", toml(nasty));
        sandbox.write("experiments/tiny.toml", &TINY.replacen("title = \"Tiny\"", &title, 1));
        harmless(&sandbox, "report tiny", "results").expect(0);
        harmless(&sandbox, "tables tiny", "results").expect(0);
        plain_reports(&sandbox, "results");
    }
    harmless(&sandbox, "check-figures ../../secret", "nowhere").expect(2).says("no paper's name");
    let paper = sandbox.read("experiments/papers/made-up.toml");
    let method = format!("method = {}", toml(NASTY[10]));
    let paper = paper.replace("method = \"DAGMM\"", &method).replace("auroc", "precision");
    let paper = paper.replace("\"a test\"", &toml(NASTY[8]));
    sandbox.write("experiments/papers/made-up.toml", &paper);
    sandbox.write("experiments/tiny.toml", TINY);
    harmless(&sandbox, "check-figures", "nowhere").expect(0).prints("\\u{1b}");
    harmless(&sandbox, "compare tiny", "results").expect(0);
    harmless(&sandbox, "report tiny", "results").expect(0);
    plain_reports(&sandbox, "results");
}

/// A record of the sandbox's experiment.
fn record(sandbox: &Sandbox, seed: u64) -> Record {
    let path = sandbox.path("experiments/tiny.toml");
    let experiment = Experiment::load(&path.to_string_lossy(), &Selection::default());
    let cell = experiment.expect("an experiment").cells.remove(0);
    let data = cell.dataset.sha256().expect("made-up data");
    let job = Job::of("tiny", Scale::Full, Vec::new(), vec![seed]);
    Record {
        epochs: 3,
        loss_curve: vec![vec![2.0], vec![1.5], vec![1.0]],
        loss_terms: vec!["loss".to_owned()],
        provenance: Provenance { device: "cpu".to_owned(), ..Provenance::default() },
        wall_seconds: 1.0,
        ..ended_well(Record::of(&job, &cell, seed, &data))
    }
}

#[test]
fn a_record_with_any_words_stays_in_its_place_and_they_stay_words() {
    let sandbox = Sandbox::new();
    let store = Store::open(&sandbox.path("results"), "tiny");
    for seed in 1..=3 {
        let mut record = record(&sandbox, seed);
        let nasty = NASTY[8].to_owned() + NASTY[10] + NASTY[5];
        record.provenance.commit = nasty.clone();
        record.provenance.device = nasty.clone();
        record.provenance.libtorch = nasty.clone();
        record.loss_terms = vec![nasty.clone()];
        record.digests.scores = format!("{nasty}{seed}");
        store.put(&record).expect("a record");
    }
    // and ones whose label would be another place
    for (seed, nasty) in NASTY.iter().enumerate().filter(|(_, nasty)| !nasty.contains('\0')) {
        let mut record = record(&sandbox, 100 + seed as u64);
        record.cell.label = (*nasty).into();
        let made = tempfile::tempdir().expect("a folder");
        let own = Store::open(&made.path().join("a/b/c/d"), "tiny");
        record.cell.label = nasty.trim_start_matches('/').into();
        own.put(&record).expect("a record");
        let path = own.path(&record.cell.label, record.seed);
        let text = std::fs::read_to_string(path).expect("its file");
        let name = format!("results/tiny/runs/reconstruction=sum/{}.json", record.seed);
        sandbox.write(&name, &text);
    }
    harmless(&sandbox, "tables tiny", "results").expect(0).says("belongs elsewhere");
    harmless(&sandbox, "report tiny", "results").expect(0);
    plain_reports(&sandbox, "results");
    assert!(!sandbox.read("results/report.md").contains("git checkout"));
    assert!(sandbox.read("results/tiny/runs.csv").lines().count() == 4);
}

#[test]
fn links_in_a_folder_of_results_lead_no_writing_and_no_report_elsewhere() {
    let sandbox = Sandbox::new();
    let store = Store::open(&sandbox.path("results"), "tiny");
    let rows = "experiment,cell,seed,scale,state,f1\ntiny,reconstruction=sum,9,full,ok,0.5\n";
    sandbox.write("results/tiny/runs.csv", rows);
    for seed in 1..=3 {
        store.put(&record(&sandbox, seed)).expect("a record");
    }
    sandbox.write("secret", "hunter2\n");
    let secret = sandbox.path("secret");
    let files = [
        "curves.csv",
        "summary.csv",
        "pairs.csv",
        "losses.csv",
        "diagnostics.csv",
        "comparison.csv",
    ];
    for name in files
        .map(|name| format!("tiny/{name}"))
        .into_iter()
        .chain(["html", "md", "tex", "json"].map(|end| format!("report.{end}")))
    {
        symlink(&secret, sandbox.path("results").join(name)).expect("a link");
    }
    // a name that is taken, by whatever, is passed over
    symlink(&secret, sandbox.path("results/tiny/runs.csv.before")).expect("a link");
    let pictures = "results/tiny/pictures/reconstruction=sum/seed-1";
    sandbox.write(&format!("{pictures}/roc.svg"), "<svg xmlns='http://www.w3.org/2000/svg'/>");
    symlink(&secret, sandbox.path(pictures).join("secret.svg")).expect("a link");
    harmless(&sandbox, "report tiny", "results").expect(0);
    assert_eq!(sandbox.read("secret"), "hunter2\n");
    assert_eq!(sandbox.read("results/tiny/runs.csv.before.2"), rows);
    for file in files {
        let path = sandbox.path("results/tiny").join(file);
        assert!(std::fs::symlink_metadata(path).expect("a file").is_file(), "{file} is a link");
    }
    let page = sandbox.read("results/report.html");
    assert!(page.contains("<img ") && !page.contains("aHVudGVyMg"), "the secret is in the page");

    // what would be written below a linked folder would be elsewhere
    sandbox.write("elsewhere/here", "");
    for name in ["tiny/logs", "tiny/runs/reconstruction=mean", "tiny/pictures/other"] {
        let link = sandbox.path("results").join(name);
        symlink(sandbox.path("elsewhere"), &link).expect("a link");
        for command in ["tables", "compare", "report"] {
            let refused = harmless(&sandbox, &format!("{command} tiny"), "nowhere").expect(1);
            refused.says(name).says("is a symbolic link");
        }
        std::fs::remove_file(link).expect("a link");
    }
    std::fs::rename(sandbox.path("results/tiny"), sandbox.path("theirs")).expect("a folder");
    symlink(sandbox.path("theirs"), sandbox.path("results/tiny")).expect("a link");
    harmless(&sandbox, "tables tiny", "nowhere").expect(1).says("results/tiny is a symbolic link");
    // a folder of results may be a link: it is the reader's own
    symlink(sandbox.path("results"), sandbox.path("linked")).expect("a link");
    std::fs::remove_file(sandbox.path("results/tiny")).expect("a link");
    std::fs::rename(sandbox.path("theirs"), sandbox.path("results/tiny")).expect("a folder");
    harmless(&sandbox, "tables tiny --out linked", "results").expect(0);
}
