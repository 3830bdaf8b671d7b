//! A protocol that is finished over several days: runs of which only their rows are left count as
//! stored, and no table ever takes the place of one without keeping each of its runs.

use std::fs;

use crate::sandbox::{Sandbox, TINY, folders};

/// Takes the records away, as a fresh clone of published results has none.
fn publish(sandbox: &Sandbox, out: &str) {
    fs::remove_dir_all(sandbox.path(out).join("tiny/runs")).expect("records");
    fs::remove_dir_all(sandbox.path(out).join("tiny/logs")).expect("logs");
}

fn table(sandbox: &Sandbox) -> String {
    sandbox.read("results/tiny/runs.csv")
}

/// The files that were kept aside, by their names.
fn kept(sandbox: &Sandbox) -> Vec<String> {
    let paths = folders(&sandbox.path("results/tiny"));
    let names = paths.iter().map(|path| path.file_name().expect("a name").to_string_lossy());
    names.filter(|name| name.starts_with("runs.csv.")).map(Into::into).collect()
}

/// Rewrites the rows of the published table: each field by its column.
fn edit(sandbox: &Sandbox, change: impl Fn(&str, &str) -> String) {
    let text = table(sandbox);
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().expect("a header").clone();
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(&header).expect("a line");
    for row in reader.records() {
        let row = row.expect("a row");
        let fields = header.iter().zip(&row).map(|(column, field)| change(column, field));
        writer.write_record(fields).expect("a line");
    }
    let text = String::from_utf8(writer.into_inner().expect("a table")).expect("text");
    sandbox.write("results/tiny/runs.csv", &text);
}

/// `tiny` alone: the figures of its paper are of cells that it has only with its axis.
fn without_paper() -> String {
    TINY.replace("paper = \"made-up\"\n", "")
}

#[test]
fn half_the_seeds_published_and_half_trained_give_the_tables_of_one_go() {
    let sandbox = Sandbox::new();
    sandbox.seedbed("run tiny --runs 4 --out whole").expect(0);
    sandbox.seedbed("run tiny --runs 2").expect(0);
    publish(&sandbox, "results");

    let plan = sandbox.seedbed("plan tiny --runs 4").expect(0);
    plan.prints("2 missing; 2 published").prints("8 runs in about");
    let plan = sandbox.seedbed("plan tiny --runs 4 --json").expect(0).stdout;
    let plan: serde_json::Value = serde_json::from_str(&plan).expect("JSON");
    let cell = &plan["experiments"][0]["cells"][0];
    assert_eq!((&cell["stored"], &cell["published"]), (&2.into(), &2.into()));
    assert_eq!(cell["to-run"], serde_json::json!([3, 4]));

    let run = sandbox.seedbed("run tiny --runs 4").expect(0).says("8 runs in 8 jobs");
    assert!(!run.stderr.contains("kept"), "{}", run.stderr);
    assert_eq!(sandbox.records("results").len(), 8);
    sandbox.assert_same_tables("results", "whole");
    assert!(sandbox.read("results/tiny/losses.csv").contains(",full,loss,1,4,"));
    sandbox.seedbed("run tiny --runs 4").expect(0).says("nothing to run: every run is stored");
    sandbox.seedbed("report tiny").expect(0);
    sandbox.assert_same_tables("results", "whole");

    // and on the third day, from the rows of both
    publish(&sandbox, "results");
    sandbox.seedbed("run tiny --runs 5 --out whole").expect(0);
    sandbox.seedbed("run tiny --runs 5").expect(0).says("4 runs in 4 jobs");
    sandbox.assert_same_tables("results", "whole");
    assert_eq!(kept(&sandbox), Vec::<String>::new());
}

#[test]
fn a_cell_that_is_called_otherwise_now_keeps_its_runs_and_their_pictures() {
    let sandbox = Sandbox::new();
    let before = without_paper().replace("\"model.reconstruction\" = [\"sum\", \"mean\"]\n", "");
    sandbox.write("experiments/tiny.toml", &before);
    sandbox.seedbed("run tiny --runs 2 --pictures").expect(0);
    publish(&sandbox, "results");
    sandbox.write("experiments/tiny.toml", TINY);
    sandbox.seedbed("run tiny --runs 2 --out whole").expect(0);

    sandbox.seedbed("verify tiny --against results").expect(0).prints("same bits");
    let plan = sandbox.seedbed("plan tiny --runs 2").expect(0);
    plan.prints("2 published").prints("4 runs in about");
    // tables of the rows alone have the new labels too
    sandbox.seedbed("tables tiny").expect(0).prints("reconstruction=sum");
    assert!(table(&sandbox).contains("tiny,reconstruction=sum,1,"));
    assert!(sandbox.path("results/tiny/pictures/reconstruction=sum/seed-1/roc.svg").exists());
    assert!(!sandbox.path("results/tiny/pictures/base").exists());
    sandbox.seedbed("run tiny --runs 2").expect(0).says("4 runs in 4 jobs");
    sandbox.assert_same_tables("results", "whole");
    assert_eq!(kept(&sandbox), Vec::<String>::new());
}

#[test]
fn records_of_a_cell_that_is_called_otherwise_now_are_its_records() {
    let sandbox = Sandbox::new();
    let before = without_paper().replace("\"model.reconstruction\" = [\"sum\", \"mean\"]\n", "");
    sandbox.write("experiments/tiny.toml", &before);
    sandbox.seedbed("run tiny --runs 2").expect(0);
    sandbox.write("experiments/tiny.toml", TINY);
    sandbox.seedbed("run tiny --runs 2 --out whole").expect(0);
    sandbox.seedbed("run tiny --runs 2").expect(0).says("4 runs in 4 jobs");
    sandbox.assert_same_tables("results", "whole");
    sandbox.seedbed("lock").expect(0);
    publish(&sandbox, "results");
    sandbox.seedbed("verify --lock").expect(0).prints("all 8 runs are those of the lock");
}

#[test]
fn a_job_trains_only_those_of_its_cells_that_are_not_published() {
    let sandbox = Sandbox::new();
    let axis =
        "\"protocol.threshold\" = [{ top = 0.2, of = \"test\" }, { top = 0.1, of = \"test\" }]\n";
    let text = without_paper()
        .replace("threshold = { top = 0.2, of = \"test\" }\n", "")
        .replace("\"model.reconstruction\" = [\"sum\", \"mean\"]\n", axis);
    sandbox.write("experiments/tiny.toml", &text);
    sandbox.seedbed("run tiny --runs 2 --out whole").expect(0);
    sandbox.seedbed("run tiny --runs 2").expect(0);
    publish(&sandbox, "results");
    let (first, rest): (Vec<_>, Vec<_>) = table(&sandbox)
        .lines()
        .map(str::to_owned)
        .partition(|line| !line.contains("threshold=0.1-test"));
    assert_eq!(rest.len(), 4, "{rest:?}");
    sandbox.write("results/tiny/runs.csv", &(first.join("\n") + "\n"));
    sandbox.seedbed("run tiny --runs 2").expect(0).says("4 runs in 4 jobs");
    // batch_width and the times alone may be others: nothing was trained beside these runs
    sandbox.assert_same_tables("results", "whole");
}

#[test]
fn published_runs_that_failed_are_left_or_tried_again_as_recorded_ones_are() {
    let sandbox = Sandbox::new();
    sandbox.seedbed("run tiny --runs 3 --cell reconstruction=sum").expect(0);
    publish(&sandbox, "results");
    let states = ["ok", "diverged", "crashed"];
    let lines: Vec<String> = table(&sandbox)
        .lines()
        .map(|line| {
            let of = |seed: usize| format!("tiny,reconstruction=sum,{seed},full,");
            let found = (1..=3).find(|&seed| line.starts_with(&of(seed)));
            found.map_or(line.to_owned(), |seed| {
                line.replace("full,ok", &format!("full,{}", states[seed - 1]))
            })
        })
        .collect();
    sandbox.write("results/tiny/runs.csv", &(lines.join("\n") + "\n"));
    let plan = sandbox.seedbed("plan tiny --cell reconstruction=sum").expect(0);
    plan.prints("1 crashed (to be tried again)")
        .prints("1 published; 1 published, diverged (left: it would come again")
        .prints("1 runs in about");
    let run = sandbox.seedbed("run tiny --cell reconstruction=sum").expect(1);
    run.says("1 runs in 1 jobs");
    assert!(!table(&sandbox).contains("crashed") && table(&sandbox).contains("diverged"));
    let run = sandbox.seedbed("run tiny --cell reconstruction=sum --retry failed").expect(0);
    run.says("1 runs in 1 jobs");
    assert!(!table(&sandbox).contains("diverged"));
    assert_eq!(table(&sandbox).lines().count(), 7);
    assert_eq!(kept(&sandbox), Vec::<String>::new());
}

#[test]
fn a_published_run_that_is_trained_for_its_pictures_stays_as_it_is() {
    let sandbox = Sandbox::new();
    sandbox.seedbed("run tiny --runs 1").expect(0);
    publish(&sandbox, "results");
    let before = table(&sandbox);
    let run = sandbox.seedbed("run tiny --runs 1 --pictures").expect(0);
    assert!(!run.stderr.contains("otherwise"), "{}", run.stderr);
    assert!(sandbox.path("results/tiny/pictures/reconstruction=sum/seed-1/roc.svg").exists());
    assert_eq!((table(&sandbox), sandbox.records("results").len()), (before, 0));
}

#[test]
fn a_column_of_the_users_own_is_refused_before_anything_is_trained_and_stays() {
    let sandbox = Sandbox::new();
    sandbox.seedbed("run tiny --runs 2").expect(0);
    publish(&sandbox, "results");
    let text = table(&sandbox);
    let mut lines = text.lines();
    let mut own = format!("{},notes\n", lines.next().expect("a header"));
    lines.for_each(|line| own += &format!("{line},mine\n"));
    sandbox.write("results/tiny/runs.csv", &own);
    for command in ["plan tiny", "run tiny", "tables tiny", "report tiny", "compare tiny"] {
        let refused = sandbox.seedbed(command).expect(3);
        refused.says("unknown column `notes`").says("it stays as it is");
    }
    // also where records lie beside it
    sandbox.write("results/tiny/runs.csv", &text);
    sandbox.seedbed("run tiny --runs 3").expect(0);
    sandbox.write("results/tiny/runs.csv", &own);
    for command in ["run tiny --runs 3", "run tiny --runs 4", "tables tiny"] {
        sandbox.seedbed(command).expect(3).says("unknown column `notes`");
    }
    assert_eq!((table(&sandbox), sandbox.records("results").len()), (own, 4));
    assert_eq!(kept(&sandbox), Vec::<String>::new());
}

#[test]
fn a_column_that_reads_as_an_axis_is_kept_aside_with_its_rows() {
    let sandbox = Sandbox::new();
    sandbox.seedbed("run tiny --runs 2").expect(0);
    publish(&sandbox, "results");
    let text = table(&sandbox);
    let mut lines = text.lines();
    let mut own = format!("{},my.note\n", lines.next().expect("a header"));
    lines.for_each(|line| own += &format!("{line},mine\n"));
    sandbox.write("results/tiny/runs.csv", &own);
    let run = sandbox.seedbed("run tiny --runs 3").expect(0);
    run.says("4 runs in 4 jobs")
        .says("kept what was results/tiny/runs.csv as results/tiny/runs.csv.before");
    assert_eq!(sandbox.read("results/tiny/runs.csv.before"), own);
    assert_eq!(table(&sandbox).lines().count(), 13);
}

#[test]
fn a_reduced_run_is_refused_the_place_of_full_rows_and_replaces_them_only_when_asked() {
    let sandbox = Sandbox::new();
    sandbox.seedbed("run tiny --runs 2").expect(0);
    publish(&sandbox, "results");
    let before = table(&sandbox);
    for reduced in ["--quick --out results", "--set training.epochs=1"] {
        sandbox
            .seedbed(&format!("plan tiny {reduced}"))
            .expect(0)
            .prints("8 finished runs of the full");
        let refused = sandbox.seedbed(&format!("run tiny {reduced}")).expect(2);
        refused.says("8 finished runs of the full protocol").says("--out").says("--replace");
    }
    assert!(sandbox.records("results").is_empty());
    assert_eq!(table(&sandbox), before);
    let asked = sandbox.seedbed("run tiny --quick --out results --replace").expect(0);
    asked.says("8 of its 8 runs are not in the new one").says("scale full -> quick");
    assert_eq!(sandbox.read("results/tiny/runs.csv.before"), before);
    assert!(sandbox.path("results/tiny/diagnostics.csv.before").exists());
    assert!(sandbox.path("results/tiny/curves.csv.before").exists());
    assert!(sandbox.path("results/tiny/losses.csv.before").exists());
}

#[test]
fn what_is_kept_aside_is_never_overwritten() {
    let sandbox = Sandbox::new();
    let protocol = |mixtures: u32| {
        let text = TINY.replace("mixtures = 2", &format!("mixtures = {mixtures}"));
        sandbox.write("experiments/tiny.toml", &text);
    };
    let mut tables = Vec::new();
    for (count, mixtures) in (2..5).enumerate() {
        protocol(mixtures);
        let run = sandbox.seedbed("run tiny --seeds 1 --cell reconstruction=sum").expect(0);
        if count > 0 {
            // before anything is trained, and when it is done
            let note = "2 runs that are none of this experiment as it now is";
            let run =
                run.says(note).says("1 of cell reconstruction=sum: made otherwise (another key)");
            let name = if count == 1 { "runs.csv.before:" } else { "runs.csv.before.2:" };
            run.says(name);
        }
        publish(&sandbox, "results");
        tables.push(table(&sandbox));
    }
    assert_eq!(kept(&sandbox), ["runs.csv.before", "runs.csv.before.2"]);
    assert_eq!(sandbox.read("results/tiny/runs.csv.before"), tables[0]);
    assert_eq!(sandbox.read("results/tiny/runs.csv.before.2"), tables[1]);
}

#[test]
fn rows_without_a_key_count_only_where_there_is_nothing_else() {
    let sandbox = Sandbox::new();
    sandbox.seedbed("run tiny --runs 2").expect(0);
    publish(&sandbox, "results");
    edit(&sandbox, |column, field| if column == "key" { String::new() } else { field.to_owned() });
    let before = table(&sandbox);
    sandbox.seedbed("tables tiny").expect(0).prints("reconstruction=mean");
    assert_eq!(table(&sandbox), before);
    sandbox.seedbed("plan tiny --runs 2").expect(0).prints("2 missing").prints("without a key");
    let run = sandbox.seedbed("run tiny --runs 2").expect(0).says("8 runs in 8 jobs");
    run.says("8 of its 8 runs are not in the new one").says("without a key");
    assert_eq!(sandbox.read("results/tiny/runs.csv.before"), before);
}

#[test]
fn other_commits_of_one_version_are_named_and_other_versions_are_refused() {
    let sandbox = Sandbox::new();
    sandbox.seedbed("run tiny --runs 2").expect(0);
    publish(&sandbox, "results");
    let commit = "0123456789abcdef0123456789abcdef01234567";
    edit(&sandbox, |column, field| match column {
        "commit" => commit.to_owned(),
        _ => field.to_owned(),
    });
    let run = sandbox.seedbed("run tiny --runs 3 --tables").expect(0);
    assert!(!run.stdout.contains("versions of the code"), "{}", run.stdout);
    let summary = sandbox.read("results/tiny/summary.csv");
    assert!(summary.contains("0123456, "), "{summary}");
    sandbox.seedbed("report tiny").expect(0);
    assert!(sandbox.read("results/report.md").contains(commit));

    publish(&sandbox, "results");
    edit(&sandbox, |column, field| match column {
        "libtorch" => "1.0.0".to_owned(),
        _ => field.to_owned(),
    });
    let refused = sandbox.seedbed("run tiny --runs 4").expect(2);
    refused.says("with libtorch 1.0.0").says("--mixed-code");
    let mixed = sandbox.seedbed("run tiny --runs 4 --mixed-code --tables").expect(0);
    mixed.prints("(2 versions of the code)");
}

#[test]
fn losses_published_without_curves_stay_until_more_runs_have_one() {
    let sandbox = Sandbox::new();
    sandbox.seedbed("run tiny --runs 2 --cell reconstruction=sum").expect(0);
    publish(&sandbox, "results");
    fs::remove_file(sandbox.path("results/tiny/curves.csv")).expect("curves");
    let losses = |results: &str| sandbox.read(&format!("{results}/tiny/losses.csv"));
    let before = losses("results");
    sandbox.seedbed("tables tiny").expect(0);
    assert_eq!(losses("results"), before);
    sandbox.seedbed("run tiny --runs 3 --cell reconstruction=sum").expect(0);
    assert_eq!(losses("results"), before, "two runs say more than one");
    sandbox.seedbed("run tiny --runs 5 --cell reconstruction=sum").expect(0);
    sandbox.seedbed("run tiny --seeds 3-5 --cell reconstruction=sum --out whole").expect(0);
    assert_eq!(losses("results"), losses("whole"), "three runs say more than two");
    assert!(losses("whole").contains(",loss,1,3,"));
}

#[test]
fn tables_do_not_lose_runs_whose_records_are_there_for_want_of_a_flag() {
    let sandbox = Sandbox::new();
    sandbox.seedbed("run tiny --quick --set training.epochs=1 --out changed").expect(0);
    let read = || sandbox.read("changed/tiny/runs.csv");
    let before = read();
    assert_eq!(before.lines().count(), 9);
    for command in ["tables", "report"] {
        // the controls have no epochs and are the same runs
        let refused = sandbox.seedbed(&format!("{command} tiny --quick --out changed")).expect(2);
        refused
            .says("holds 4 runs whose records are here")
            .says("--set")
            .says("training.epochs 1 -> 2");
        let refused = sandbox.seedbed(&format!("{command} tiny --out changed")).expect(2);
        refused.says("as it is asked for").says("--quick").says("scale quick -> full");
        assert_eq!(read(), before);
    }
    sandbox.seedbed("report tiny --quick --set training.epochs=1 --out changed").expect(0);
    assert_eq!(read(), before);
}

#[test]
fn a_row_whose_record_is_broken_does_not_stand_in_for_it_and_is_kept() {
    let sandbox = Sandbox::new();
    sandbox.seedbed("run tiny").expect(0);
    let before = table(&sandbox);
    sandbox.write("results/tiny/runs/reconstruction=sum/1.json", "half");
    sandbox.seedbed("plan tiny").expect(0).prints("unreadable: ").prints("1 runs in about");
    sandbox.seedbed("tables tiny").expect(0).says("runs.csv.before");
    assert_eq!(table(&sandbox).lines().count(), 12);
    assert_eq!(sandbox.read("results/tiny/runs.csv.before"), before);
}
