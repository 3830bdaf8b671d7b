//! What `run` ends with: a summary that fits on a screen, the report, and tables no wider than the
//! terminal. The method is PCA of made-up rows, which needs no trainer.

use crate::sandbox::Sandbox;

/// An experiment of two cells.
fn experiment(name: &str, runs: u32) -> String {
    format!(
        r#"name = "{name}"
title = "PCA residuals of made-up rows"
runs = {runs}
compare = {{ paper = "author2020", table = "Table 1", method = "{name}" }}

[dataset]
name = "synthetic"
rows = 300

[protocol]
split = {{ kind = "half-of-all" }}
threshold = {{ top = 0.2, of = "test" }}

[model]
name = "pca"
components = 2

[axes]
"model.components" = [2, 1]

[quick]
runs = 2
"#
    )
}

/// A paper that prints an F1 of 0.5 and an AUROC of 0.01 of each method.
fn paper(methods: &[&str]) -> String {
    let mut text = "name = \"author2020\"\ntitle = \"A paper\"\nsource = \"none\"\n\
                    [margins.f1]\nvalue = 0.9\nreason = \"a test\"\n\
                    [margins.auroc]\nvalue = 0.02\nreason = \"a test\"\n"
        .to_owned();
    for method in methods {
        for (metric, value) in [("auroc", "0.01"), ("f1", "0.5")] {
            text += &format!(
                "[[figures]]\ntable = \"Table 1\"\ndataset = \"made up\"\nsetting = \"a test\"\n\
                 method = \"{method}\"\nmetric = \"{metric}\"\nvalue = {value}\nruns = 20\n\
                 status = \"verified\"\n"
            );
        }
    }
    text
}

fn sandbox(names: &[&str], runs: u32) -> Sandbox {
    let sandbox = Sandbox::new();
    for name in names {
        sandbox.write(&format!("experiments/{name}.toml"), &experiment(name, runs));
    }
    sandbox.write("experiments/papers/author2020.toml", &paper(names));
    sandbox
}

#[test]
fn a_run_ends_with_a_line_for_each_method_and_says_where_all_is() {
    let sandbox = sandbox(&["one", "two"], 3);
    let run = sandbox.seedbed("run one two").expect(0);
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert!(lines.len() <= 12, "{}", run.stdout);
    // the first cell of the file, not of the alphabet
    let first = "Author 2020, Table 1, one: reproduced: F1 0.";
    assert!(lines[0].starts_with(first), "{}", run.stdout);
    let first = run.stdout.replace("\n  ", " ");
    assert!(first.contains("(components=2) against 0.500 ± 0.9; 3 runs"), "{first}");
    assert!(first.contains("3 other figures: 1 reproduced, 2 not"), "{first}");
    for words in [
        "Author 2020, Table 1, two: reproduced",
        "for 12 runs",
        "report: results/report.html",
        "tables: results/EXPERIMENT",
        "'seedbed tables one two'",
    ] {
        assert!(run.stdout.contains(words), "no '{words}' in:\n{}", run.stdout);
    }
    let html = sandbox.read("results/report.html");
    assert!(html.contains("Author") || html.contains("A paper"));
    // the command that it names shows the tables, and the report is the one that 'report' makes
    sandbox.seedbed("tables one two").expect(0).prints("components=1");
    sandbox.seedbed("report").expect(0);
    assert!(sandbox.read("results/report.html") == html);
    // what lies in the folder is in its report, whoever asked for what
    sandbox.seedbed("run one").expect(0).prints("every run was stored");
    assert!(sandbox.read("results/report.html") == html);
    let whole = sandbox.seedbed("run one --tables").expect(0);
    whole.prints("one · full protocol").prints("paired by seed").prints("report: ");
}

#[test]
fn an_ending_fits_on_a_screen_however_many_experiments_there_are() {
    let names: Vec<String> = (0..45).map(|at| format!("method-{at}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let sandbox = sandbox(&names, 1);
    let mut command = sandbox.command("run --resamples 0");
    let run = command.args(&names).env("COLUMNS", "80").output().expect("seedbed starts");
    let said = String::from_utf8_lossy(&run.stdout);
    assert_eq!(run.status.code(), Some(0), "{}", String::from_utf8_lossy(&run.stderr));
    assert!(said.lines().count() <= 30, "{said}");
    assert!(said.lines().all(|line| line.chars().count() <= 80), "{said}");
    assert!(said.contains("more figures: the report, or 'seedbed compare'"), "{said}");
    assert!(said.contains("too few runs: F1 "), "{said}");
    assert!(sandbox.path("results/report.html").exists());
}

#[test]
fn a_reduced_run_says_what_it_reached_and_judges_nothing() {
    let sandbox = sandbox(&["one"], 3);
    let run = sandbox.seedbed("run one --quick").expect(0);
    let said = run.stdout.replace("\n  ", " ");
    assert!(
        said.starts_with("Author 2020, Table 1, one: not judged (reduced run): F1 0."),
        "{said}"
    );
    assert!(said.contains("; 2 runs; 3 other figures\n"), "{said}");
    assert!(!said.contains("reproduced"), "{said}");
    assert!(said.contains("results/quick/report.html"), "{said}");
    assert!(said.contains("'seedbed tables one --quick'"), "{said}");
}

#[test]
fn failed_runs_are_counted_and_the_report_is_written_all_the_same() {
    let sandbox = Sandbox::new();
    sandbox.write("method.py", "import sys\nsys.exit('no such luck')\n");
    sandbox.seedbed("new mine --command method.py").expect(0);
    let run = sandbox.seedbed("run mine --allow-commands --retries 0 -n 2").expect(1);
    assert!(run.stdout.contains("failed: mine: 2 of 2 runs (2 crashed)"), "{}", run.stdout);
    assert!(run.stdout.contains("report: results/report.html"), "{}", run.stdout);
    assert!(sandbox.path("results/report.html").exists());
    // and where the first failure ends everything
    std::fs::remove_file(sandbox.path("results/report.html")).expect("removed");
    let again = "run mine --allow-commands --retries 0 -n 3 --fail-fast";
    let ended = sandbox.seedbed(again).expect(1).says("--fail-fast: mine");
    assert!(ended.stdout.contains("failed: mine: "), "{}", ended.stdout);
    assert!(sandbox.path("results/report.html").exists());
}

#[test]
fn an_experiment_without_figures_says_what_it_reached() {
    let sandbox = Sandbox::new();
    sandbox.seedbed("new mine").expect(0);
    let run = sandbox.seedbed("run mine -n 2").expect(0);
    assert!(run.stdout.starts_with("mine: no published figure: F1 0."), "{}", run.stdout);
}

#[test]
fn tables_are_no_wider_than_the_terminal_and_say_what_they_leave_out() {
    let sandbox = sandbox(&["one"], 6);
    sandbox.seedbed("run one").expect(0);
    let at = |command: &str, width: &str| {
        let output = sandbox.command(command).env("COLUMNS", width).output();
        let output = output.expect("seedbed starts");
        assert!(output.status.success());
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    for command in ["compare one", "tables one", "plan one", "plan one --power", "list", "doctor"] {
        for width in ["100", "80", "72"] {
            let text = at(command, width);
            let most = text.lines().map(|line| line.chars().count()).max();
            let fits = most.is_some_and(|most| most <= width.parse().expect("a number"));
            assert!(fits, "{command} at {width}:\n{text}");
        }
    }
    let wide = sandbox.seedbed("compare one").expect(0).stdout;
    assert!(wide.lines().any(|line| line.chars().count() > 120), "{wide}");
    assert!(!wide.contains("no room here"), "{wide}");
    let narrow = at("compare one", "80");
    for kept in ["published", "mean", "verdict", "not reproduced", "no room here for: source"] {
        assert!(narrow.contains(kept), "no '{kept}' in:\n{narrow}");
    }
    // the widest keeps most
    let left_out = |width| at("tables one", width).split(" here for: ").nth(1).map(str::len);
    assert!(left_out("100") < left_out("72"), "{:?}", left_out("100"));
}

#[test]
fn intervals_of_fewer_than_five_runs_are_blank_but_for_a_verdicts() {
    let sandbox = sandbox(&["one"], 3);
    sandbox.seedbed("run one").expect(0);
    let summary = sandbox.seedbed("tables one").expect(0).stdout;
    assert!(!summary.contains('['), "{summary}");
    assert!(summary.contains("no interval: fewer than 5 runs"), "{summary}");
    // three runs earn a verdict, and what it rests on is shown
    assert!(sandbox.seedbed("compare one").expect(0).stdout.contains("not reproduced"));
    let comparison = sandbox.read("results/one/comparison.csv");
    let mut reader = csv::Reader::from_reader(comparison.as_bytes());
    let headers = reader.headers().expect("a header").clone();
    let column = headers.iter().position(|name| name == "ci90_low").expect("a column");
    for row in reader.records() {
        assert!(!row.expect("a row")[column].is_empty());
    }
    sandbox.seedbed("run one -n 2 --out two").expect(0);
    for (table, columns) in [
        ("comparison", vec!["ci90_low", "ci90_high", "prediction_low", "compatible"]),
        ("summary", vec!["ci95_low", "ci95_high", "bca95_low", "bca95_high"]),
        ("pairs", vec!["ci95_low", "ci95_high"]),
    ] {
        let text = sandbox.read(&format!("two/one/{table}.csv"));
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let headers = reader.headers().expect("a header").clone();
        for row in reader.records() {
            let row = row.expect("a row");
            for (name, field) in headers.iter().zip(&row) {
                assert!(!columns.contains(&name) || field.is_empty(), "{table} {name}: {field}");
            }
        }
    }
    let report = sandbox.read("two/report.json");
    assert!(report.contains("\"ci95_low\":null") && !report.contains("\"ci95_low\":-"), "{report}");
}
