//! Tables, comparisons and reports through the real binary, from a `runs.csv` of any origin and from
//! the results that this project publishes. Nothing here trains or needs libtorch.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::sandbox::Sandbox;
use serde_json::Value;

const HEADER: &str = "experiment,cell,seed,scale,state,f1,auroc\n";

/// Rows of one cell of `tiny`, with an F1 and no AUROC.
fn rows(cell: &str, f1: &[&str]) -> String {
    let row = |(seed, f1): (usize, &&str)| match *f1 {
        "failed" => format!("tiny,\"{cell}\",{},full,diverged,,\n", seed + 1),
        f1 => format!("tiny,\"{cell}\",{},full,ok,{f1},\n", seed + 1),
    };
    f1.iter().enumerate().map(row).collect()
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn a_hand_made_file_of_an_experiment_that_nobody_knows_becomes_tables_and_a_report() {
    let sandbox = Sandbox::new();
    let text = format!(
        "{HEADER}mine,a=1,1,full,ok,0.5,0.6\nmine,a=1,2,full,ok,0.7,0.6\n\
                        mine,a=2,1,full,ok,0.8,0.6\nmine,a=2,2,full,ok,0.9,0.6\n"
    );
    sandbox.write("elsewhere/mine.csv", &text);
    let tables = sandbox.seedbed("tables --from elsewhere/mine.csv").expect(0);
    tables.prints("mine · full protocol · elsewhere/mine.csv").prints("0.6000");
    let compared = sandbox.seedbed("compare --from elsewhere/mine.csv").expect(0);
    compared.says("mine names no paper").prints("paired by seed");
    sandbox.seedbed("report --from elsewhere/mine.csv").expect(0).prints("elsewhere/report.html");
    assert!(sandbox.read("elsewhere/report.html").contains("a=2"));
    assert!(!sandbox.path("results").exists(), "a file of someone else's writes no table");
}

#[test]
fn what_is_wrong_with_a_file_is_named_with_line_and_column() {
    let sandbox = Sandbox::new();
    for (text, complaint) in [
        (
            "experiment,cel,seed,scale,state,f1\n",
            "mine.csv:1: unknown column `cel` (nearest: `cell`)",
        ),
        ("experiment,cell,seed,scale,f1\n", "mine.csv:1: column `state` is missing"),
        (
            &format!("{HEADER}tiny,a,1,full,ok,0.5,\ntiny,a,1,full,ok,0.6,\n"),
            "mine.csv:3: seed 1 of tiny a is already on line 2",
        ),
        (
            &format!("{HEADER}tiny,a,1,full,ok,half,\n"),
            "mine.csv:2: column f1: `half` is not a number",
        ),
        (
            &format!("{HEADER}tiny,a,1,full,ok,NaN,\n"),
            "mine.csv:2: column f1: `NaN` is not a number",
        ),
        (
            &format!("{HEADER}tiny,a,1,full,ok,0.5,\ntiny,a,2,quick,ok,0.5,\n"),
            "full protocol and reduced runs cannot share a table: tiny a seed 1 is full, tiny a \
             seed 2 is quick",
        ),
    ] {
        sandbox.write("mine.csv", text);
        for command in ["tables", "compare", "report"] {
            let ended = sandbox.seedbed(&format!("{command} tiny --from mine.csv")).expect(3);
            ended.says(complaint);
        }
    }
    assert!(!sandbox.path("report.html").exists());
}

#[test]
fn no_table_holds_nan_and_every_blank_has_its_reason() {
    let sandbox = Sandbox::new();
    for (f1, verdict, note) in [
        (vec![], "too few runs (0 of 3 runs)", "nobody ran this cell"),
        (vec!["failed"], "too few runs (1 of 3 runs) (1 of 1 runs failed)", "no run ended ok"),
        (vec!["0.5"], "too few runs (1 of 3 runs)", "one run has no spread"),
        (vec!["0.5", "0.6"], "too few runs (2 of 3 runs)", ""),
        (vec!["0.5", "0.5", "0.5"], "reproduced", "all runs are equal"),
        (vec!["0.5", "failed", "0.6", "0.55"], "reproduced (1 of 4 runs failed)", ""),
        (
            vec![""],
            "too few runs (1 of 3 runs) (1 of 1 runs without a value)",
            "no run has a value",
        ),
    ] {
        let other = rows("reconstruction=mean", &["0.5", "0.6", "0.7"]);
        let text = rows("reconstruction=sum", &f1) + &other;
        sandbox.write("mine.csv", &format!("{HEADER}{text}"));
        let compared = sandbox.seedbed("compare tiny --from mine.csv --json").expect(0).stdout;
        let compared = parsed(&compared);
        let comparisons = compared[0]["comparison"].as_array().expect("comparisons");
        let one = comparisons.iter().find(|one| one["metric"] == "f1").expect("the figure of F1");
        assert_eq!(one["verdict"], verdict.split(" (").next().expect("a word"), "{f1:?}");
        assert_eq!(one["note"], note, "{f1:?}");
        let compared = sandbox.seedbed("compare tiny --from mine.csv").expect(0).prints(verdict);
        let tables = sandbox.seedbed("tables tiny --from mine.csv").expect(0);
        sandbox.seedbed("report tiny --from mine.csv").expect(0);
        let mut texts = vec![compared.stdout, tables.stdout];
        texts.extend(
            ["html", "md", "tex", "json"].map(|kind| sandbox.read(&format!("report.{kind}"))),
        );
        for text in texts {
            let words = text.split(|c: char| !c.is_alphanumeric());
            assert!(words.into_iter().all(|word| word != "NaN" && word != "inf"), "{f1:?}: {text}");
        }
    }
}

#[test]
fn figures_without_a_margin_or_with_one_of_0_are_shown_and_never_reproduced() {
    let sandbox = Sandbox::new();
    sandbox.write("mine.csv", &format!("{HEADER}{}", rows("reconstruction=sum", &["0.5"; 3])));
    let paper = sandbox.read("experiments/papers/made-up.toml");
    sandbox
        .write("experiments/papers/made-up.toml", &paper.replace("value = 0.9\n", "value = 0\n"));
    let exact = sandbox.seedbed("compare tiny --from mine.csv").expect(0);
    exact.prints("undecidable").prints("a margin of 0 can only be missed");
    let bare = paper.replace("[margins.f1]\nvalue = 0.9\nreason = \"a test\"\n", "");
    assert_ne!(bare, paper);
    sandbox.write("experiments/papers/made-up.toml", &bare);
    sandbox.seedbed("compare tiny --from mine.csv").expect(0).prints("no margin");
}

/// A gate passes only what is reproduced; its second level passes whatever is not refuted.
#[test]
fn a_gate_passes_no_figure_whose_runs_failed_or_leave_it_open() {
    let sandbox = Sandbox::new();
    let paper = sandbox.read("experiments/papers/made-up.toml");
    let narrow = paper.replace("value = 0.9\n", "value = 0.05\n");
    let (start, end) = (narrow.find("[[figures]]"), narrow.rfind("[[figures]]"));
    let (start, end) = (start.expect("a figure"), end.expect("a figure"));
    let only_f1 = narrow[..start].to_owned() + &narrow[end..];
    sandbox.write("experiments/papers/made-up.toml", &only_f1);
    for (f1, verdict, codes) in [
        (["failed"; 3], "too few runs", (1, 0)),
        (["0.48", "0.5", "failed"], "too few runs", (1, 0)),
        (["0.47", "0.5", "0.53"], "inconclusive", (1, 0)),
        (["0.1", "0.5", "0.9"], "undecidable", (1, 0)),
        (["0.6", "0.61", "0.62"], "not reproduced", (1, 1)),
        (["0.49", "0.5", "0.51"], "reproduced", (0, 0)),
    ] {
        let text = format!("{HEADER}{}", rows("reconstruction=sum", &f1));
        sandbox.write("mine.csv", &text);
        let gate = sandbox.seedbed("compare tiny --from mine.csv --strict").expect(codes.0);
        gate.prints(&format!("  {verdict}"));
        sandbox.seedbed("compare tiny --from mine.csv --strict=not-refuted").expect(codes.1);
    }
}

#[test]
fn runs_missing_from_the_declared_number_are_named_in_every_table() {
    let sandbox = Sandbox::new();
    let tiny = sandbox.read("experiments/tiny.toml").replace("runs = 3\n", "runs = 20\n");
    sandbox.write("experiments/tiny.toml", &tiny);
    let picked = rows("reconstruction=sum", &["0.5", "0.51", "0.49", "0.5", "0.52", "0.48"]);
    sandbox.write("mine.csv", &format!("{HEADER}{picked}"));
    let compared = sandbox.seedbed("compare tiny --from mine.csv").expect(0);
    compared.prints("reproduced (6 of 20 runs)");
    let tables = sandbox.seedbed("tables tiny --from mine.csv").expect(0);
    tables.prints("fewer runs than declared: reconstruction=sum: 6 of 20 runs");
    sandbox.seedbed("report tiny --from mine.csv").expect(0);
    for kind in ["html", "md", "tex", "json"] {
        let text = sandbox.read(&format!("report.{kind}"));
        assert!(text.contains("6 of 20 runs"), "{kind}");
    }
    // of an experiment that nobody knows nothing is declared
    sandbox.write("other.csv", &format!("{HEADER}{}", picked.replace("tiny,", "other,")));
    let other = sandbox.seedbed("compare --from other.csv").expect(0);
    assert!(!other.stdout.contains("of 20 runs"));
}

#[test]
fn runs_of_several_versions_of_the_code_share_a_table_only_when_asked_and_it_says_so() {
    let sandbox = Sandbox::new();
    let header = "experiment,cell,seed,scale,state,f1,commit\n";
    let row = |seed: u64, commit: &str| {
        format!("tiny,reconstruction=sum,{seed},full,ok,0.5{seed},{commit}\n")
    };
    let text = header.to_owned() + &row(1, "aaaaaaaa") + &row(2, "aaaaaaaa") + &row(3, "bbbbbbbb");
    sandbox.write("results/tiny/runs.csv", &text);
    for command in ["tables", "compare", "report"] {
        let refused = sandbox.seedbed(&format!("{command} tiny")).expect(3);
        refused
            .says("seed 1 by aaaaaaaa, reconstruction=sum seed 3 by bbbbbbbb")
            .says("--mixed-code");
        assert!(!sandbox.path("results/tiny/summary.csv").exists());
        assert!(!sandbox.path("results/tiny/comparison.csv").exists());
    }
    let asked = sandbox.seedbed("report tiny --mixed-code").expect(0);
    assert!(asked.stdout.contains("report.html"));
    for file in
        ["tiny/summary.csv", "tiny/comparison.csv", "report.html", "report.md", "report.tex"]
    {
        let text = sandbox.read(&format!("results/{file}"));
        assert!(
            text.contains("aaaaaaaa + bbbbbbbb") || text.contains("2 versions of the code"),
            "{file}"
        );
    }
    let compared = sandbox.seedbed("compare tiny --mixed-code").expect(0);
    compared.prints("reproduced (2 versions of the code)").prints("aaaaaaaa + bbbbbbbb");
}

#[test]
fn cells_are_paired_by_seed_and_json_holds_everything() {
    let sandbox = Sandbox::new();
    let text = rows("reconstruction=mean", &["0.5", "0.6", "0.7", "0.8"])
        + &rows("reconstruction=sum", &["0.6", "0.7", "failed", "0.95"])
        + &rows("reconstruction=sum,control=untrained", &["0.1", "0.2", "0.3", "0.4"]);
    sandbox.write("results/tiny/runs.csv", &format!("{HEADER}{text}"));
    let all = parsed(&sandbox.seedbed("compare tiny --json").expect(0).stdout);
    let pairs = all[0]["pairs"].as_array().expect("pairs");
    let pair = |against: &str| pairs.iter().find(|one| one["against"] == against).expect(against);
    let sum = pair("reconstruction=mean");
    assert_eq!((sum["cell"].as_str(), sum["n"].as_u64()), (Some("reconstruction=sum"), Some(3)));
    // 0.1, 0.1 and 0.15
    assert!((sum["mean_difference"].as_f64().expect("a number") - 0.35 / 3.0).abs() < 1e-12);
    assert_eq!(pair("reconstruction=sum,control=untrained")["axis"], "control");
    let one = &all[0]["comparison"][0];
    let keys: Vec<&str> = one.as_object().expect("fields").keys().map(String::as_str).collect();
    let mut columns = seedbed::report::csv::comparison_columns().into_iter();
    assert!(columns.all(|column| keys.contains(&column.as_str())), "{keys:?}");
    sandbox.seedbed("tables tiny").expect(0);
    let lines = sandbox.read("results/tiny/pairs.csv");
    assert!(lines.lines().nth(1).is_some_and(|line| line.starts_with("tiny,reconstruction=sum,")));
}

#[test]
fn power_says_what_planned_runs_can_show_and_where_no_number_of_runs_helps() {
    let sandbox = Sandbox::new();
    let text = rows("reconstruction=sum", &["0.45", "0.5", "0.55"]);
    sandbox.write("results/tiny/runs.csv", &format!("{HEADER}{text}"));
    sandbox.seedbed("plan tiny --power --runs 20").expect(0).prints("runs for 80 %");
    let power = parsed(&sandbox.seedbed("plan tiny --power --runs 20 --json").expect(0).stdout);
    let lines = power[0]["power"].as_array().expect("lines");
    let f1 = lines.iter().find(|line| line["metric"] == "f1").expect("F1");
    assert_eq!((f1["runs"].as_u64(), f1["n"].as_u64()), (Some(20), Some(3)));
    assert!(f1["power"].as_f64().is_some_and(|power| power > 0.999), "{f1}");
    // nothing is stored of the other metric: only what the margin says
    let auroc = lines.iter().find(|line| line["metric"] == "auroc").expect("AUROC");
    assert_eq!(auroc["published_runs"], 20);
    assert!(auroc["std"].is_null() && auroc["power"].is_null(), "{auroc}");
    assert!(auroc["largest_std"].as_f64().is_some_and(|std| std > 0.1), "{auroc}");
    // a source of 20 runs that spread by 0.05 is itself off by more than this margin
    let hopeless = sandbox.seedbed("plan tiny --power --runs 20 --margin 0.01").expect(0);
    hopeless
        .prints("none")
        .prints("f1: no number of runs has a chance of 80 % within ±0.01 of a source of 20 runs");
}

#[test]
fn a_terminal_gets_colour_unless_it_asks_for_none() {
    let sandbox = Sandbox::new();
    let text = rows("reconstruction=sum", &["0.45", "0.5", "0.55"]);
    sandbox.write("mine.csv", &format!("{HEADER}{text}"));
    let seedbed = env!("CARGO_BIN_EXE_seedbed");
    let on_terminal = |no_colour: &str| {
        let command = format!("{seedbed} compare tiny --from mine.csv");
        let mut script = Command::new("script");
        script.args(["-qec", &command, "/dev/null"]).current_dir(sandbox.path("."));
        let output = script.env("NO_COLOR", no_colour).output().expect("script (bsdutils) starts");
        String::from_utf8_lossy(&output.stdout).replace('\r', "")
    };
    let piped = sandbox.seedbed("compare tiny --from mine.csv").expect(0).stdout;
    assert!(!piped.contains('\x1b'));
    assert!(on_terminal("").contains("\x1b[32mreproduced"), "{}", on_terminal(""));
    assert_eq!(on_terminal("1"), piped);
}

/// Every file below a folder, by its path in it.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for path in crate::sandbox::folders(&next) {
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).expect("a path in it").to_owned();
                found.insert(name, std::fs::read(&path).expect("a file"));
            }
        }
    }
    found
}

fn copy(from: &Path, to: &Path, keep: &dyn Fn(&Path) -> bool) {
    for (name, bytes) in files(from).into_iter().filter(|(name, _)| keep(name)) {
        let path = to.join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, bytes).expect("a file");
    }
}

/// What `make report` does, in a copy of the committed results from which all that can be made anew
/// is taken away.
#[test]
fn the_committed_results_follow_from_their_runs_byte_for_byte() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tracked =
        Command::new("git").args(["ls-files", "-z", "results"]).current_dir(project).output();
    let tracked = String::from_utf8(tracked.expect("git starts").stdout).expect("names");
    let tracked: Vec<PathBuf> = tracked
        .split('\0')
        .filter_map(|name| name.strip_prefix("results/"))
        .map(Into::into)
        .collect();
    assert!(tracked.len() > 20, "the results are in git");
    let sandbox = Sandbox::new();
    copy(&project.join("experiments"), &sandbox.path("experiments"), &|_| true);
    let given = [
        "runs.csv",
        "losses.csv",
        "diagnostics.csv",
        "curves.csv",
        "svg",
        "png",
        "pictures.json",
        "README.md",
        // what the environments of methods printed
        "txt",
        "results.lock",
    ];
    // a CSV file beside the experiments' folders is a benchmark's or another program's
    let is_given = |name: &Path| {
        let beside = name.components().count() == 1;
        let name = name.to_string_lossy();
        given.iter().any(|end| name.ends_with(end)) || beside && name.ends_with(".csv")
    };
    let results = project.join("results");
    copy(&results, &sandbox.path("results"), &|name| {
        tracked.iter().any(|known| known == name) && is_given(name)
    });
    sandbox.seedbed("report").expect(0);
    sandbox.seedbed("report --quick --out results/reduced").expect(0);
    let made = files(&sandbox.path("results"));
    for name in &tracked {
        let committed = std::fs::read(results.join(name)).expect("a tracked file");
        let same = made.get(name).is_some_and(|bytes| *bytes == committed);
        assert!(same, "{} is not what 'make report' makes", name.display());
    }
    let new: Vec<&PathBuf> = made.keys().filter(|name| !tracked.contains(name)).collect();
    assert!(new.is_empty(), "not committed: {new:?}");
}

#[test]
fn the_committed_results_are_those_of_their_locks() {
    for results in ["results", "results/reduced"] {
        let results = Path::new(env!("CARGO_MANIFEST_DIR")).join(results);
        let checked = Sandbox::new().seedbed(&format!("verify --lock --out {}", results.display()));
        checked.expect(0).prints("runs are those of the lock");
    }
}
