//! `seedbed check-figures` through the real binary: what it finds in the papers that ship, and in a
//! user's own.

use crate::sandbox::Sandbox;
use serde_json::Value;

const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/experiments/papers");
const SUBMISSION: &str = "Table 2, double-blind submission";

/// What is found in a shipped paper.
fn document(paper: &str) -> Value {
    let command = format!("check-figures {paper} --papers {SHIPPED} --json");
    let ended = Sandbox::new().seedbed(&command).expect(0);
    let documents: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!(documents[0]["paper"], paper);
    documents[0].clone()
}

/// The lines of a shipped paper.
fn checks(paper: &str) -> Vec<Value> {
    document(paper)["checks"].as_array().expect("an array").clone()
}

#[track_caller]
fn line<'a>(checks: &'a [Value], table: &str, dataset: &str, method: &str) -> &'a Value {
    let this = |check: &&Value| {
        check["table"] == table && check["dataset"] == dataset && check["method"] == method
    };
    checks.iter().find(this).unwrap_or_else(|| panic!("no {method} in {table}, {dataset}"))
}

#[track_caller]
fn finding<'a>(line: &'a Value, split: &str, of: &str) -> &'a Value {
    let mut findings = line["protocols"].as_array().expect("counts").iter();
    findings.find(|one| one["split"] == split && one["of"] == of).expect("such a protocol")
}

#[track_caller]
fn expect_verdicts(line: &Value, expected: [(&str, &str, &str); 4]) {
    for (split, of, verdict) in expected {
        let finding = finding(line, split, of);
        assert_eq!(finding["verdict"], verdict, "{split}, {of}: {finding}");
    }
}

fn near(value: &Value, expected: f64) -> bool {
    (value.as_f64().expect("a number") - expected).abs() < 5e-5
}

#[test]
fn the_papers_figures_fit_the_top_of_the_test_half_and_not_of_train_and_test() {
    let checks = checks("zong2018");
    let dagmm = line(&checks, SUBMISSION, "kddcup", "DAGMM");
    assert_eq!(dagmm["harmonic"]["verdict"], "consistent");
    expect_verdicts(
        dagmm,
        [
            ("half-of-all", "test", "consistent"),
            ("half-of-all", "train-and-test", "implausible"),
            ("half-of-normals", "test", "impossible"),
            ("half-of-normals", "train-and-test", "implausible"),
        ],
    );
    let stated = finding(dagmm, "half-of-all", "test");
    assert_eq!((&stated["stated"], &stated["ground"]), (&true.into(), &"counts".into()));
    // 48,639 ± 4 · 139.7 anomalies are expected among 247,010 or 247,011 rows, 49,402 or 49,403 flagged
    assert!(near(&stated["required"]["low"], 48_081.0 / 49_403.0), "{stated}");
    assert!(near(&stated["required"]["high"], 49_198.0 / 49_402.0), "{stated}");
    // 0.92965/0.94425 to 0.92975/0.94415
    assert!(near(&stated["printed"]["low"], 0.98454) && near(&stated["printed"]["high"], 0.98475));
    // 20 % of 445,382 rows flagged, 45,925 of 48,639 anomalies and 3,473 normal rows of the test half
    let other = &finding(dagmm, "half-of-all", "train-and-test")["rates"];
    assert!((other["train"].as_f64().unwrap() - 39_678.0 / 198_371.0).abs() < 1e-4, "{other}");
    assert!((other["test_normals"].as_f64().unwrap() - 3_473.0 / 198_372.0).abs() < 1e-4);
}

#[test]
fn the_ports_figures_fit_train_and_test_on_its_own_split_and_not_the_papers_rule() {
    let checks = checks("danieltan07");
    let readme = line(&checks, "README", "kddcup", "DAGMM");
    assert_eq!(
        (&readme["runs"], &readme["harmonic"]["verdict"]),
        (&1.into(), &"consistent".into())
    );
    expect_verdicts(
        readme,
        [
            ("half-of-normals", "train-and-test", "consistent"),
            ("half-of-all", "test", "impossible"),
            ("half-of-all", "train-and-test", "implausible"),
            ("half-of-normals", "test", "impossible"),
        ],
    );
    assert_eq!(finding(readme, "half-of-normals", "train-and-test")["stated"], true);
}

#[test]
fn the_lines_that_cannot_have_followed_the_papers_rule_are_named() {
    let checks = checks("zong2018");
    let under_rule =
        |check: &&Value| finding(check, "half-of-all", "test")["verdict"] != "consistent";
    let wrong: Vec<_> = checks.iter().filter(under_rule).collect();
    let methods: Vec<_> = wrong.iter().map(|check| check["method"].as_str().unwrap()).collect();
    assert_eq!(methods, ["OC-SVM", "DSEBM-r", "DSEBM-e"]);
    for check in &wrong {
        assert_eq!((&check["table"], &check["dataset"]), (&SUBMISSION.into(), &"kddcup".into()));
        let finding = finding(check, "half-of-all", "test");
        assert_eq!(finding["verdict"], "impossible");
    }
    let dsebm = line(&checks, SUBMISSION, "kddcup", "DSEBM-r");
    assert!(near(&dsebm["ratio"]["low"], 0.85205 / 0.64725), "{}", dsebm["ratio"]);
    let f1 = |method: &str| &line(&checks, SUBMISSION, "kddcup", method)["harmonic"]["verdict"];
    assert_eq!(
        [f1("DSEBM-r"), f1("DSEBM-e"), f1("OC-SVM")],
        ["consistent", "impossible", "consistent"]
    );
    // as the camera-ready version is remembered, they fit
    for method in ["DSEBM-r", "DSEBM-e"] {
        let recalled = line(&checks, "Table 2, camera-ready", "kddcup", method);
        assert_eq!(recalled["status"], "recalled");
        assert_eq!(finding(recalled, "half-of-all", "test")["verdict"], "consistent");
    }
}

#[test]
fn without_a_name_every_paper_is_checked_and_the_words_say_what_is_found() {
    let ended = Sandbox::new().seedbed(&format!("check-figures --papers {SHIPPED}")).expect(0);
    assert!(!ended.stdout.contains('\x1b') && !ended.stdout.contains("NaN"), "{}", ended.stdout);
    ended
        .prints("zong2018 · ")
        .prints("precision/recall is 0.9845 to 0.9847, must be 0.9732 to 0.9959")
        .prints("20.00 % of train and 1.75 % of normal test rows")
        .prints("lines are consistent with the stated protocol; OC-SVM (Table 2, double-blind submission, kddcup) impossible, DSEBM-r")
        .prints("danieltan07 · ")
        .prints("(2·auroc_of_flags − 1)·441980 is 212408.357: no whole number")
        .prints("(2·auroc_of_flags − 1)·8704 is 4183.000; whole numbers expected there: less than 0.0001")
        .lists("2 figures together: excluded all test images (by 1 run, anomaly digit 0")
        .prints("in whole batches of 2 to 1024 rows: 2 of 1023 sizes fit, 512, 544")
        .prints("no line prints two of precision, recall and f1");
}

#[track_caller]
fn array<'a>(value: &'a Value, key: &str) -> &'a Vec<Value> {
    value[key].as_array().unwrap_or_else(|| panic!("{key} in {value}"))
}

/// The verdict on each test set of a figure, or on each of a paper's.
fn fits<'a>(value: &'a Value) -> Vec<(&'a str, &'a str)> {
    let of = |set: &'a Value| {
        (set["test_set"].as_str().expect("a name"), set["verdict"].as_str().expect("a verdict"))
    };
    array(value, "test_sets").iter().map(of).collect()
}

#[test]
fn the_notebooks_digits_fit_whole_batches_of_512_and_exclude_all_test_images() {
    let granularity = &document("mnist-vae-notebook")["granularity"];
    let [zero, one] = &array(granularity, "figures")[..] else { panic!("{granularity}") };
    assert_eq!(zero["printed"], "0.7402918198529411");
    assert_eq!(fits(zero), [("all test images", "excluded"), ("whole batches of 512", "fits")]);
    let [all, batches] = &array(zero, "test_sets")[..] else { panic!("{zero}") };
    assert_eq!((&all["positives"], &all["negatives"]), (&980.into(), &9020.into()));
    assert_eq!(all["whole"]["multiple"], 441_980.0);
    assert!((all["whole"]["value"].as_f64().unwrap() - 212_408.36).abs() < 0.005, "{all}");
    assert_eq!((&batches["positives"], &batches["negatives"]), (&512.into(), &8704.into()));
    assert!((batches["whole"]["value"].as_f64().unwrap() - 4183.0).abs() < 1e-6, "{batches}");

    // seven decimals: a whole number of 17,408ths, and of four in ten finer fractions
    assert_eq!(fits(one), [("all test images", "cannot-tell"), ("whole batches of 512", "fits")]);
    let [all, batches] = &array(one, "test_sets")[..] else { panic!("{one}") };
    assert!((all["expected"].as_f64().unwrap() - 0.4025).abs() < 1e-4, "{all}");
    assert_eq!((&batches["positives"], &batches["negatives"]), (&1024.into(), &8704.into()));
    assert!((batches["whole"]["value"].as_f64().unwrap() + 5112.0).abs() < 0.002, "{batches}");
    assert!(batches["expected"].as_f64().unwrap() < 0.004, "{batches}");

    let sizes = |figure: &Value| -> Vec<u64> {
        let left = array(&figure["searches"][0], "left").iter();
        left.map(|batches| batches["size"].as_u64().unwrap()).collect()
    };
    assert_eq!(sizes(zero), [512, 544]);
    assert!(sizes(one).len() > 2 && sizes(one).contains(&512), "{one}");
    let both: Vec<_> = array(granularity, "test_sets")
        .iter()
        .map(|joint| (joint["batches"].as_u64(), joint["figures"].as_u64(), &joint["verdict"]))
        .collect();
    assert_eq!(
        both,
        [
            (None, Some(2), &Value::from("excluded")),
            (None, Some(2), &"fits".into()),
            (Some(512), Some(2), &"fits".into()),
            (Some(544), Some(2), &"fits".into()),
        ]
    );
}

#[test]
fn digits_too_few_to_tell_a_test_set_are_said_to_be() {
    for paper in ["danieltan07", "tnakae", "zefang-liu-needle", "csdn-vae-blog"] {
        let granularity = &document(paper)["granularity"];
        let figures = array(granularity, "figures");
        assert!(!figures.is_empty());
        for figure in figures {
            let [(_, verdict)] = fits(figure)[..] else { panic!("{figure}") };
            assert_eq!(verdict, "cannot-tell", "{figure}");
        }
    }
    let port = document("danieltan07");
    let recall = &array(&port["granularity"], "figures")[1];
    assert_eq!(recall["metric"], "recall");
    // four decimals of 97,278ths
    assert!((recall["test_sets"][0]["expected"].as_f64().unwrap() - 9.7278).abs() < 1e-3);
}

#[test]
fn test_sets_of_a_users_own_are_told_apart_by_digits_and_wrong_ones_are_refused() {
    let sandbox = Sandbox::new();
    // 11 of 25 anomalies, and 10 of 23
    let mine = r#"name = "mine"
title = "A paper of mine"
source = "none"
figures = [
  { table = "1", dataset = "small", setting = "A", method = "M", metric = "recall", value = 0.4400, runs = 1, status = "verified" },
  { table = "1", dataset = "small", setting = "B", method = "M", metric = "recall", value = 0.43478, runs = 1, status = "verified" },
]

[[test-sets]]
name = "all"
dataset = "small"
positives = 25
negatives = 100

[[test-sets]]
name = "some"
dataset = "small"
setting = "B"
positives = 23
negatives = 90
"#;
    sandbox.write("experiments/papers/mine.toml", mine);
    sandbox
        .seedbed("check-figures mine")
        .expect(0)
        .lists("all, 25 anomalies + 100 normal fits recall·25 is 11.000")
        .lists("all, 25 anomalies + 100 normal excluded recall·25 is 10.870: no whole number")
        .lists("some, 23 anomalies + 90 normal fits recall·23 is 10.000")
        .lists("2 figures together: excluded all (by B)")
        .lists("1 figure: fits some (0.00023 would by chance)");

    let of = |right: &str, wrong: &str| {
        assert!(mine.contains(right), "{right}");
        sandbox.write("experiments/papers/mine.toml", &mine.replace(right, wrong));
        sandbox.seedbed("check-figures mine").expect(2)
    };
    of("setting = \"B\"\npos", "setting = \"C\"\npos")
        .says("test set \"some\" of small: no figure has this dataset and setting");
    of("positives = 25", "positives = 0")
        .says("positives and negatives must be from 1 to 10000000");
    of("negatives = 90", "negatives = 90\nwhole-batches-up-to = 1")
        .says("whole-batches-up-to must be from 2 to 4096");
    of("[[test-sets]]\nname = \"some\"", "[[test-sets]]\nname = \"\"").says("must not be empty");
    of(
        "name = \"some\"\ndataset = \"small\"\nsetting = \"B\"",
        "name = \"all\"\ndataset = \"small\"",
    )
    .says("it is given twice");
}

/// A table as a user writes it: one number was swapped with that of another data set.
const PAPER: &str = r#"name = "mine"
title = "A paper of mine"
source = "none"
figures = [
  { table = "1", dataset = "small", setting = "test set", method = "A", metric = "precision", value = 0.650, runs = 1, status = "verified" },
  { table = "1", dataset = "small", setting = "test set", method = "A", metric = "recall", value = 0.520, runs = 1, status = "verified" },
  { table = "1", dataset = "small", setting = "test set", method = "B", metric = "precision", value = 0.65, runs = 1, status = "verified" },
  { table = "1", dataset = "small", setting = "test set", method = "B", metric = "recall", value = 0.73, runs = 1, status = "verified" },
]

[counts.small]
rows = 200
positives = 50
train-normals = 300
top = 0.2
stated = { split = "official", of = "test" }
"#;

#[test]
fn a_users_own_paper_needs_figures_and_counts_and_no_experiment() {
    let sandbox = Sandbox::new();
    sandbox.write("experiments/papers/mine.toml", PAPER);
    let ended = sandbox.seedbed("check-figures mine").expect(0);
    ended
        .prints("50 anomalies in 200 rows, 25.0 %")
        .prints("A: precision 0.650, recall 0.520 (verified, one run)")
        .lists(
            "the source's test set, top 20 % of test (stated) consistent precision/recall is 1.24",
        )
        .lists("impossible no whole numbers of rows print these figures") // 0.73 of 50 anomalies
        .prints("1 of 2 lines are consistent with the stated protocol; B (1, small) impossible");

    let of = |right: &str, wrong: &str| {
        assert!(PAPER.contains(right), "{right}");
        sandbox.write("experiments/papers/mine.toml", &PAPER.replace(right, wrong));
        sandbox.seedbed("check-figures mine").expect(2)
    };
    of("counts.small", "counts.large").says("counts.large: no figure has this dataset");
    of("train-normals = 300\n", "").says("train-normals goes with the split \"official\"");
    of("positives = 50", "positives = 200").says("200 positives of 200 rows");
    of("top = 0.2", "top = 1.0").says("mine.toml:15:7: 1 flags no row or every row");
    of("0.650", "6.5e-1").says("mine.toml:5:").says("6.5e-1 has an exponent").says("write 0.65");
    sandbox.seedbed("check-figures nothing").expect(2).says("experiments/papers/nothing.toml");
    sandbox.seedbed("check-figures --papers nowhere").expect(2).says("nowhere").says("--papers");
}
