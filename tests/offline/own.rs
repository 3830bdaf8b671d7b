//! Experiments and papers of one's own: which figures they are compared with, files that ship, files to
//! begin with, and what is said of a file that is wrong.

use std::path::Path;

use seedbed::experiment::{self, Experiment, Selection};
use seedbed::report::derive::papers_of;
use seedbed::{paper, shipped};
use serde_json::Value;

use crate::sandbox::{Sandbox, TINY};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn project(file: &str) -> String {
    std::fs::read_to_string(Path::new(ROOT).join(file)).expect("a file of the project")
}

/// What `compare` says of an experiment, without its name.
fn comparisons(sandbox: &Sandbox, arguments: &str) -> Vec<Value> {
    let text = sandbox.seedbed(&format!("compare {arguments} --json")).expect(0).stdout;
    let document: Value = serde_json::from_str(&text).expect("JSON");
    let mut all = document[0]["comparison"].as_array().expect("a list").clone();
    for one in &mut all {
        one["experiment"] = Value::Null;
    }
    all
}

/// The published runs of DAGMM, under another experiment's name.
fn published(sandbox: &Sandbox, name: &str) {
    for file in ["runs.csv", "diagnostics.csv"] {
        let text = project(&format!("results/dagmm-kddcup/{file}"));
        let text = text.replace("\ndagmm-kddcup,", &format!("\n{name},"));
        sandbox.write(&format!("results/{name}/{file}"), &text);
    }
}

#[test]
fn a_copy_of_a_shipped_experiment_keeps_its_comparison_wherever_it_lies() {
    let sandbox = Sandbox::new();
    let text = project("experiments/dagmm-kddcup.toml");
    for name in ["dagmm-kddcup", "my-dagmm", "nameless"] {
        published(&sandbox, name);
    }
    let name = "name  = \"dagmm-kddcup\"\n";
    assert!(text.contains(name));
    sandbox.write("experiments/my-dagmm.toml", &text.replace(name, "name = \"my-dagmm\"\n"));
    sandbox.write("elsewhere/nameless.toml", &text.replace(name, ""));
    let shipped = comparisons(&sandbox, "dagmm-kddcup");
    assert!(shipped.len() >= 12, "{}", shipped.len());
    assert_eq!(comparisons(&sandbox, "my-dagmm"), shipped);
    assert_eq!(comparisons(&sandbox, "elsewhere/nameless.toml"), shipped);
    // a name that is left as it was is refused with what to do
    sandbox.write("experiments/forgotten.toml", &text);
    let said = sandbox.seedbed("compare forgotten").expect(2);
    said.says(
        "forgotten.toml:5:1: the name 'dagmm-kddcup' is not the file's, 'forgotten'; correct it",
    );
}

/// Every shipped experiment is compared with the figures that name it in the papers' files: neither
/// figures nor experiments are changed without the other.
#[test]
fn shipped_experiments_choose_the_figures_that_name_them() {
    let mut chosen = 0;
    for name in shipped::experiments() {
        let path = Path::new(ROOT).join(format!("experiments/{name}.toml"));
        let text = shipped::experiment(name).expect("its text");
        let experiment = Experiment::parse(&path, text, &Selection::default()).expect(name);
        for found in papers_of(&experiment).expect(name) {
            let file = paper::load(&experiment.papers_folder(), &found.name).expect("a paper");
            let names = |of: &Option<String>| of.as_deref() == Some(name);
            // what readings are compared with names the experiment that is judged by one reading
            if !file.figures.iter().any(|one| names(&one.experiment)) {
                continue;
            }
            assert_eq!(found, file, "{name}");
            chosen += 1;
        }
    }
    assert!(chosen >= 15, "{chosen}");
}

fn tiny(compare: &str) -> String {
    assert!(TINY.contains("paper = \"made-up\"\n"));
    TINY.replace("paper = \"made-up\"\n", compare)
}

const RUNS: &str = "experiment,cell,seed,scale,state,auroc,f1
tiny,reconstruction=sum,1,full,ok,0.9,0.5
tiny,reconstruction=sum,2,full,ok,0.91,0.51
tiny,reconstruction=sum,3,full,ok,0.92,0.52
tiny,reconstruction=mean,1,full,ok,0.8,0.4
tiny,reconstruction=mean,2,full,ok,0.81,0.41
tiny,reconstruction=mean,3,full,ok,0.82,0.42
";

/// A tiny experiment and a paper whose figures name no experiment.
fn choosing(compare: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    let paper = sandbox.read("experiments/papers/made-up.toml");
    let paper = paper.replace("experiment = \"tiny\"\ncell = \"reconstruction=sum\"\n", "");
    assert!(!paper.contains("tiny"));
    sandbox.write("experiments/papers/made-up.toml", &paper);
    sandbox.write("experiments/tiny.toml", &tiny(compare));
    sandbox.write("mine.csv", RUNS);
    sandbox
}

#[test]
fn an_experiment_chooses_figures_by_table_method_data_set_setting_and_cell() {
    for (compare, count) in [
        ("paper = \"made-up\"", 4),
        (
            "paper = \"made-up\", table = \"Table 1\", method = \"DAGMM\", dataset = \"synthetic\"",
            4,
        ),
        ("paper = \"made-up\", setting = \"a test\", cell = \"reconstruction=mean\"", 2),
    ] {
        let sandbox = choosing(&format!("compare = {{ {compare} }}\n"));
        let found = comparisons(&sandbox, "tiny --from mine.csv");
        assert_eq!(found.len(), count, "{compare}");
    }
    // of two that take the same figure for the same cell, it is compared once
    let list =
        "compare = [{ paper = \"made-up\" }, { paper = \"made-up\", table = \"Table 1\" }]\n";
    assert_eq!(comparisons(&choosing(list), "tiny --from mine.csv").len(), 4);
    // a table's name may go on after a comma
    let sandbox = choosing("compare = { paper = \"made-up\", table = \"Table 1\" }\n");
    let paper = sandbox.read("experiments/papers/made-up.toml");
    let longer = paper.replacen("\"Table 1\"", "\"Table 1, preprint\"", 1);
    sandbox.write("experiments/papers/made-up.toml", &longer);
    let found = comparisons(&sandbox, "tiny --from mine.csv");
    assert!(found.iter().all(|one| one["table"] == "Table 1"), "the table of that very name");
    let both = longer.replace("\"Table 1\"", "\"Table 1, second edition\"");
    sandbox.write("experiments/papers/made-up.toml", &both);
    assert_eq!(comparisons(&sandbox, "tiny --from mine.csv").len(), 4);
}

#[test]
fn a_choice_that_takes_no_figure_is_refused_with_what_there_is() {
    for (compare, said) in [
        (
            "{ paper = \"made-up\", table = \"Tabel 1\" }",
            "did you mean 'Table 1'?; there are: 'Table 1'",
        ),
        ("{ paper = \"made-up\", method = \"VAE\" }", "no figure of made-up has the method 'VAE'"),
        ("{ paper = \"made-up\", dataset = \"kdd\" }", "there are: 'synthetic'"),
        ("{ paper = \"made-up\", setting = \"b\" }", "there are: 'a test'"),
        ("{ paper = \"made-upp\" }", "did you mean 'made-up'?"),
        (
            "{ paper = \"made-up\", cell = \"reconstruction=summ\" }",
            "did you mean 'reconstruction=sum'?",
        ),
        (
            "{ paper = \"made-up\", tabel = \"1\" }",
            "unknown key 'compare.tabel'; did you mean 'table'?",
        ),
        ("{ table = \"1\" }", "missing field `paper`"),
        ("\"made-up\"", "'compare' must be a table, or a list of tables"),
        ("[]", "'compare' is empty"),
    ] {
        let sandbox = choosing(&format!("compare = {compare}\n"));
        for command in ["compare tiny --from mine.csv", "plan tiny --power"] {
            sandbox.seedbed(command).expect(2).says(said);
        }
    }
}

#[test]
fn a_figure_whose_cell_cannot_be_is_refused_when_the_files_are_read() {
    let sandbox = Sandbox::new();
    let paper = sandbox.read("experiments/papers/made-up.toml");
    for wrong in ["reconstruction=summ", "learning-rate=1e-4", "reconstruction=sum,control=none"] {
        let text =
            paper.replacen("cell = \"reconstruction=sum\"", &format!("cell = \"{wrong}\""), 1);
        sandbox.write("experiments/papers/made-up.toml", &text);
        sandbox.write("mine.csv", RUNS);
        let said = sandbox.seedbed("compare tiny --from mine.csv").expect(2);
        said.says(&format!("experiment tiny has no cell '{wrong}'"))
            .says("its cells: reconstruction=sum ");
    }
}

#[test]
fn a_value_is_a_value_however_it_is_spelled() {
    let grid = TINY.replace(
        "\"model.reconstruction\" = [\"sum\", \"mean\"]",
        "\"training.learning-rate\" = [1e-4, 1e-3]",
    );
    let path = Path::new("experiments/tiny.toml");
    let experiment = Experiment::parse(path, &grid, &Selection::default()).expect("an experiment");
    for spelled in ["learning-rate=1e-4", "learning-rate=0.0001", "learning-rate=1.0E-4"] {
        let cells = experiment.select(&[spelled.to_owned()]).expect(spelled);
        assert_eq!(cells[0].label, "learning-rate=0.0001");
        assert_eq!(cells.len(), 2, "the cell and its control");
    }
    let other = experiment.select(&["learning-rate=2e-4".to_owned()]).expect_err("no such cell");
    assert!(other.to_string().contains("has no cell 'learning-rate=2e-4'"), "{other}");
}

/// The program in a folder of its own that has nothing else.
fn bare() -> Sandbox {
    let sandbox = Sandbox::new();
    std::fs::remove_dir_all(sandbox.path("experiments")).expect("removed");
    sandbox
}

#[test]
fn what_ships_is_found_in_a_folder_that_has_nothing() {
    let sandbox = bare();
    sandbox.seedbed("run pca-kddcup").expect(3).says("experiment pca-kddcup needs kddcup");
    sandbox.seedbed("check-figures zong2018").expect(0).prints("DSEBM-e");
    sandbox
        .seedbed("compare nothing-like-it")
        .expect(2)
        .says("there are: attribution-dagmm-danieltan07");
    sandbox.seedbed("compare synthetik").expect(2).says("did you mean 'synthetic'?");
    published(&sandbox, "dagmm-kddcup");
    let alone = comparisons(&sandbox, "dagmm-kddcup");
    let text = project("experiments/dagmm-kddcup.toml");
    sandbox.write("experiments/dagmm-kddcup.toml", &text);
    assert_eq!(comparisons(&sandbox, "dagmm-kddcup"), alone);
    let same = sandbox.seedbed("compare dagmm-kddcup").expect(0);
    assert!(!same.stderr.contains("differs"), "{}", same.stderr);
    // a file on disk counts, and that is said where it is another one
    sandbox.write("experiments/dagmm-kddcup.toml", &text.replace("runs  = 20", "runs  = 30"));
    let other = sandbox.seedbed("compare dagmm-kddcup").expect(0).prints("20 of 30 runs");
    other.says(
        "experiments/dagmm-kddcup.toml is taken, which differs from the experiment dagmm-kddcup",
    );
    let paper = project("experiments/papers/zong2018.toml");
    sandbox.write("experiments/papers/zong2018.toml", &paper.replace("0.9369", "0.9368"));
    let other = sandbox.seedbed("compare dagmm-kddcup").expect(0).prints("0.9368");
    other.says("zong2018.toml is taken, which differs from the paper zong2018");
}

#[test]
fn new_files_run_as_they_are_and_nothing_is_overwritten() {
    let sandbox = bare();
    sandbox.seedbed("new mine").expect(0).prints("experiments/mine.toml").says("seedbed run mine");
    sandbox.seedbed("run mine --tables").expect(0).prints("mine · full protocol");
    sandbox.seedbed("new mine").expect(2).says("experiments/mine.toml is there already");
    sandbox.seedbed("new-paper ours").expect(0).prints("experiments/papers/ours.toml");
    sandbox.seedbed("new-paper ours").expect(2).says("is there already");
    sandbox.seedbed("new-paper zong2018").expect(2).says("ships with seedbed");
    sandbox.seedbed("check-figures ours").expect(0);
    let text = sandbox.read("experiments/mine.toml");
    let chosen = text.replace("# compare = { paper = \"NAME\"", "compare = { paper = \"ours\"");
    let chosen = chosen.replace("method = \"…\", dataset = \"…\"", "method = \"My method\"");
    assert_ne!(chosen, text);
    sandbox.write("experiments/mine.toml", &chosen);
    sandbox.seedbed("compare mine").expect(0).prints("unverified");

    sandbox.seedbed("new copied --from dagmm-kddcup").expect(0);
    published(&sandbox, "copied");
    assert!(comparisons(&sandbox, "copied").len() >= 12);
    for wrong in ["new ../mine", "new a/b", "new-paper ../mine", "new-paper a.b"] {
        sandbox.seedbed(wrong).expect(2).says("may hold only letters");
    }
    sandbox.seedbed("new other --from nothing").expect(2).says("no experiment 'nothing'");
    assert!(!sandbox.path("experiments/other.toml").exists());
}

#[test]
fn a_program_of_ones_own_begins_with_the_file_that_it_is() {
    let sandbox = bare();
    sandbox
        .seedbed("new mine --command method.py")
        .expect(2)
        .says("there is no file method.py here");
    sandbox.write("method.py", include_str!("method.py"));
    sandbox.seedbed("new mine --command method.py").expect(0).says("run mine --allow-commands");
    let text = sandbox.read("experiments/mine.toml");
    assert!(text.contains("program = [\"python3\", \"method.py\"]"), "{text}");
    let with = format!("{text}[model.settings]\npower = 2\n");
    sandbox.write("experiments/mine.toml", &with);
    sandbox.seedbed("run mine --seeds 1").expect(2).says("--allow-commands");
    sandbox.seedbed("run mine --seeds 1 --allow-commands").expect(0);
    std::fs::remove_file(sandbox.path("method.py")).expect("removed");
    sandbox.seedbed("plan mine").expect(2).says("cannot read experiments/method.py");
}

#[test]
fn a_table_of_ones_own_begins_with_its_digest_and_guesses_that_run() {
    let sandbox = bare();
    let mut text = "size;colour;defect\n".to_owned();
    for row in 0..120 {
        let (colour, defect) = (["red", "blue"][row % 2], if row % 12 == 0 { "yes" } else { "no" });
        text += &format!("{}.5;{colour};{defect}\n", row * row % 17);
    }
    sandbox.write("parts.csv", &text);
    sandbox.seedbed("new parts --table parts.csv").expect(0);
    let written = sandbox.read("experiments/parts.toml");
    for line in [
        "label  = \"defect\" # a guess: the last column",
        "anomaly = [\"yes\"] # a guess: the rarer class of no (110 rows), yes (10 rows)",
        "categorical = [\"colour\"]",
        "top = 0.083,",
    ] {
        assert!(written.contains(line), "no '{line}' in:\n{written}");
    }
    sandbox.seedbed("run parts --tables").expect(0).prints("parts · full protocol");
    sandbox.seedbed("new nothing --table nowhere.csv").expect(3).says("cannot read nowhere.csv");
}

#[test]
fn list_names_what_can_be_named() {
    let sandbox = Sandbox::new();
    let all = sandbox.seedbed("list").expect(0).stdout;
    for name in
        ["experiments", "tiny", "dagmm-kddcup", "papers", "made-up", "zong2018", "kddcup", "pca"]
    {
        assert!(all.contains(name), "{name}: {all}");
    }
    let json = sandbox.seedbed("list --json").expect(0).stdout;
    let json: Value = serde_json::from_str(&json).expect("JSON");
    let entries = json["experiments"].as_array().expect("a list");
    let of =
        |name: &str| entries.iter().find(|one| one["name"] == name).expect(name)["place"].clone();
    assert_eq!((of("tiny"), of("synthetic")), ("experiments/tiny.toml".into(), "shipped".into()));
    assert!(!experiment::names().is_empty());
}

#[test]
fn all_experiments_are_planned_together() {
    let sandbox = Sandbox::new();
    sandbox.seedbed("run tiny --all").expect(2).says("cannot be used with");
    sandbox.write("experiments/broken.toml", "title = 3\n");
    sandbox.seedbed("run --all").expect(2).says("experiments/broken.toml:1:1");
}

#[test]
fn rows_of_a_foreign_table_get_nobodys_protocol() {
    let sandbox = Sandbox::new();
    sandbox.write("mine.csv", RUNS);
    sandbox.seedbed("report tiny --from mine.csv --to report").expect(0);
    let sentence = "Rows from mine.csv; their protocol is not recorded.";
    for file in ["report/report.md", "report/report.html"] {
        let text = sandbox.read(file);
        assert!(text.contains(sentence), "{file}");
        assert!(!text.contains("squared reconstruction error"), "{file}");
    }
    // nor where it stands in for results, beside an experiment of the same name
    sandbox.write("results/tiny/runs.csv", RUNS);
    sandbox.seedbed("report tiny").expect(0);
    let text = sandbox.read("results/report.md");
    assert!(text.contains("Rows from tiny/runs.csv; their protocol is not recorded."), "{text}");
    assert!(!text.contains("made-up rows of") && !text.contains("seedbed run tiny"), "{text}");
}

#[test]
fn what_is_wrong_with_a_value_a_flag_or_a_column_is_said_in_the_users_words() {
    let sandbox = Sandbox::new();
    for (from, to, said) in [
        ("latent = 1", "latent = [2, 3]", "model.latent: a list of values belongs in [axes]"),
        (
            "epochs = 3",
            "epochs = \"300\"",
            "training.epochs: is the text \"300\"; it must be a whole number",
        ),
        ("epochs = 3", "epochs = [3, 5]", "\"training.epochs\" = […]"),
        ("runs = 3", "runs = \"3\"", "runs: is the text \"3\"; it must be a whole number"),
        (
            "batch-size = 128",
            "batch-size = 12.5",
            "training.batch-size: is 12.5; it must be a whole",
        ),
        ("title = ", "titel = ", "unknown key 'titel'; did you mean 'title'?"),
    ] {
        assert!(TINY.contains(from), "{from}");
        sandbox.write("experiments/tiny.toml", &TINY.replacen(from, to, 1));
        sandbox.seedbed("plan tiny").expect(2).says(said);
    }
    sandbox.write("experiments/tiny.toml", TINY);
    let paper = sandbox.read("experiments/papers/made-up.toml");
    for (from, to, said) in [
        ("title = ", "titel = ", "unknown field `titel`, expected one of"),
        ("title = ", "titel = ", "did you mean 'title'?"),
        ("metric = \"f1\"", "metric = \"f1_score\"", "did you mean 'f1'?"),
        ("runs = 20", "runs = \"20\"", "is the text \"20\"; it must be a whole number"),
    ] {
        sandbox.write("experiments/papers/made-up.toml", &paper.replacen(from, to, 1));
        sandbox.seedbed("check-figures made-up").expect(2).says(said);
    }
    let flag = sandbox.seedbed("run tiny --runs my.csv").expect(2);
    flag.says("must be a whole number of runs, such as 20; a runs.csv is read by 'seedbed tables'");
    sandbox.seedbed("run tiny --slots two").expect(2).says("it takes a whole number");
    for (column, ours) in [("roc_auc", "auroc"), ("average_precision", "auprc"), ("f1_score", "f1")]
    {
        let text = format!("experiment,cell,seed,scale,state,{column}\ntiny,base,1,full,ok,0.5\n");
        sandbox.write("mine.csv", &text);
        let said = sandbox.seedbed("tables tiny --from mine.csv").expect(3);
        said.says(&format!("unknown column `{column}` (nearest: `{ours}`)"));
    }
}

#[test]
fn the_committed_schemas_are_those_of_the_types_and_every_shipped_file_names_its_own() {
    for (of, text) in [("experiment", experiment::schema::text()), ("paper", paper::schema::text())]
    {
        let file = format!("schema/{of}.json");
        let again = format!("write it anew: seedbed schema {of} > {file}");
        assert!(project(&file) == text, "{again}");
        let sandbox = bare();
        assert!(sandbox.seedbed(&format!("schema {of}")).expect(0).stdout == text);
    }
    for file in shipped::FILES {
        let schema = match file.path {
            path if path.starts_with("experiments/papers/") => "../../schema/paper.json",
            path if path.starts_with("experiments/") => "../schema/experiment.json",
            _ => continue,
        };
        let first = format!("#:schema {schema}\n");
        assert!(file.text.starts_with(&first), "{} begins with {first}", file.path);
    }
}

/// What a schema says against a file, a line each.
fn complaints(schema: &str, text: &str) -> Vec<String> {
    let schema: Value = serde_json::from_str(schema).expect("JSON");
    let file: toml::Table = toml::from_str(text).expect("TOML");
    let file = serde_json::to_value(file).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    validator.iter_errors(&file).map(|error| error.to_string()).collect()
}

#[test]
fn a_schema_takes_every_shipped_file_and_marks_what_is_wrong() {
    let (experiment, paper) = (experiment::schema::text(), paper::schema::text());
    for file in shipped::FILES {
        let schema = match file.path {
            path if path.starts_with("experiments/papers/") => &paper,
            path if path.starts_with("experiments/") => &experiment,
            _ => continue,
        };
        assert_eq!(complaints(schema, file.text), Vec::<String>::new(), "{}", file.path);
    }
    for (from, to) in [
        ("title = ", "titel = "),
        ("latent = 1", "latnet = 1"),
        ("latent = 1", "latent = \"1\""),
        ("epochs = 3", "epochs = [3, 5]"),
        ("name = \"dagmm\"", "name = \"dagm\""),
        ("kind = \"half-of-all\"", "kind = \"half\""),
        ("untrained = true", "untrained = 1"),
        ("paper = \"made-up\"", "compare = { papre = \"made-up\" }"),
    ] {
        assert!(TINY.contains(from), "{from}");
        assert!(complaints(&experiment, TINY).is_empty());
        assert!(!complaints(&experiment, &TINY.replacen(from, to, 1)).is_empty(), "{to}");
    }
}
