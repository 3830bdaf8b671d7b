//! The numbers of README.md and docs/: written from files by templates, and recomputed by another
//! program. It reads this project's results and changes nothing there.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::sandbox::Sandbox;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

const RUNS: &str = "cell,seed,f1,commit\na,1,0.5,123e456\n\"a,control=untrained\",1,,1e5\n";

/// A document of two blocks, their templates, and a table.
fn documents(template: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("results/tiny/runs.csv", RUNS);
    sandbox.write("docs/templates/one.md", template);
    sandbox.write("docs/templates/two.md", "{{ 1 + 1 }}");
    let block = |name: &str| {
        format!(
            "<!-- begin docs/templates/{name}.md -->\nold\n<!-- end docs/templates/{name}.md -->\n"
        )
    };
    let text =
        format!("Before.\n{}between\n{}after, `<!-- begin` too\n", block("one"), block("two"));
    sandbox.write("README.md", &text);
    sandbox
}

/// What `fill` makes of one template's block.
fn filled(template: &str) -> String {
    let sandbox = documents(template);
    sandbox.seedbed("fill README.md").expect(0);
    let text = sandbox.read("README.md");
    let start = text.find("one.md -->\n").expect("the block") + "one.md -->\n".len();
    text[start..text.find("\n<!-- end").expect("its end")].to_owned()
}

/// Why a template is refused, after the document's place.
fn refused(template: &str, complaint: &str) {
    let sandbox = documents(template);
    let before = sandbox.read("README.md");
    sandbox.seedbed("fill README.md").expect(2).says(complaint);
    assert_eq!(sandbox.read("README.md"), before);
}

#[test]
fn the_documents_of_this_project_say_what_its_files_say() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_seedbed"));
    let done =
        command.args(["fill", "--check"]).current_dir(ROOT).output().expect("seedbed starts");
    let said = [done.stdout, done.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(done.status.success(), "{}", said.join("\n"));
}

#[test]
fn every_template_of_this_project_has_its_place_in_a_document() {
    let read = |path: &Path| std::fs::read_to_string(path).expect("a file");
    let files = |folder: &str| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(Path::new(ROOT).join(folder)).expect("a folder");
        entries.map(|entry| entry.expect("an entry").path()).collect()
    };
    let is_text = |path: &PathBuf| path.extension().is_some_and(|kind| kind == "md");
    let documents = files("docs").into_iter().filter(is_text);
    let documents: String =
        documents.chain([Path::new(ROOT).join("README.md")]).map(|path| read(&path)).collect();
    for template in files("docs/templates").into_iter().filter(is_text) {
        let name = template.file_name().expect("a name").to_string_lossy().into_owned();
        let begin = format!("<!-- begin docs/templates/{name} ");
        assert_eq!(documents.matches(&begin).count(), 1, "{name}");
    }
}

fn recomputed(folder: &Path) -> Output {
    let script = Path::new(ROOT).join("tests/readme_figures.py");
    Command::new("python3").arg(script).arg(folder).output().expect("python3 starts")
}

#[test]
fn another_program_recomputes_every_number_of_the_readme() {
    let done = recomputed(Path::new(ROOT));
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn a_wrong_number_anywhere_in_a_generated_block_is_found() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["results", "experiments"] {
        symlink(Path::new(ROOT).join(name), folder.path().join(name)).expect("a link");
    }
    let text = std::fs::read_to_string(Path::new(ROOT).join("README.md")).expect("README.md");
    let mut inside = false;
    let mut tried = 0;
    for (number, line) in text.lines().enumerate() {
        let marker = line.starts_with("<!-- ");
        inside = if marker { line.starts_with("<!-- begin docs/templates/") } else { inside };
        // the last digit of the line's last number with decimals: the one that is easiest to overlook
        let last = line.rfind(|letter: char| letter.is_ascii_digit());
        let decimal = last.filter(|&last| {
            line[..last].trim_end_matches(|letter: char| letter.is_ascii_digit()).ends_with('.')
        });
        let Some(place) = decimal.filter(|_| inside && !marker && number % 7 == 0) else {
            continue;
        };
        if line[..place].matches('`').count() % 2 == 1 {
            continue;
        }
        let digit = if &line[place..=place] == "9" { "0" } else { "9" };
        let wrong = format!("{}{digit}{}", &line[..place], &line[place + 1..]);
        let lines = text.lines().enumerate();
        let lines = lines.map(|(other, line)| if other == number { wrong.as_str() } else { line });
        let changed = lines.collect::<Vec<_>>().join("\n");
        std::fs::write(folder.path().join("README.md"), changed).expect("a file");
        let done = recomputed(folder.path());
        assert!(!done.status.success(), "nobody saw that line {} reads: {wrong}", number + 1);
        tried += 1;
    }
    assert!(tried >= 5, "only {tried} lines were changed");
}

#[test]
fn blocks_are_made_anew_and_the_rest_stays() {
    let sandbox = documents("{{ row('results/tiny/runs.csv', cell='a').f1|f(3) }}\n");
    sandbox.seedbed("fill README.md --check").expect(1).prints("README.md:3 is not what its files");
    sandbox.seedbed("fill README.md").expect(0).prints("README.md");
    let expected = "Before.\n<!-- begin docs/templates/one.md -->\n0.500\n<!-- end docs/templates/one.md \
                    -->\nbetween\n<!-- begin docs/templates/two.md -->\n2\n<!-- end \
                    docs/templates/two.md -->\nafter, `<!-- begin` too\n";
    assert_eq!(sandbox.read("README.md"), expected);
    sandbox.seedbed("fill README.md --check").expect(0);
    sandbox.write("results/tiny/runs.csv", &RUNS.replace("0.5", "0.75"));
    sandbox.seedbed("fill README.md --check").expect(1).prints("README.md:3");
    sandbox.seedbed("fill").expect(0).prints("README.md");
    assert!(sandbox.read("README.md").contains("\n0.750\n"));
}

#[test]
fn pictures_of_benchmarks_are_drawn_from_their_tables() {
    let sandbox = documents("said");
    let table = "step,runs,cells,seconds,mebibytes\ntables,100,5,0.4,120\ntables,10000,500,2,200\n";
    sandbox.write("results/growth.csv", table);
    let other = "results/growth.svg is not what its table says";
    sandbox.seedbed("fill --check").expect(1).prints(other);
    sandbox.seedbed("fill").expect(0).prints("results/growth.svg");
    assert!(sandbox.read("results/growth.svg").contains("tables, time: 0.4 at 100, 2 at 10000."));
    sandbox.seedbed("fill --check").expect(0);
    sandbox.write("results/growth.svg", "by hand");
    sandbox.seedbed("fill README.md").expect(0);
    assert_eq!(sandbox.read("results/growth.svg"), "by hand", "a document alone was asked for");
    sandbox.seedbed("fill --check").expect(1).prints(other);
    sandbox.write("results/growth.csv", "step,runs\n");
    sandbox.write("results/width.csv", "measure\nstep\n");
    sandbox.seedbed("fill").expect(3).says("results/width.csv").says("'make bench-width'");
}

#[test]
fn numbers_are_written_as_people_write_them() {
    for (expression, text) in [
        ("-0.0004|f(3)", "0.000"),
        ("-0.5|f(2)", "−0.50"),
        ("0.25|signed(3)", "+0.250"),
        ("-0.25|signed(1)", "−0.2"),
        ("0.923|percent", "92 %"),
        ("0.00001|p", "< 0.0001"),
        ("0.0219|p", "0.022"),
        ("0.93|p", "0.93"),
        ("0.00123|digits(2)", "0.0012"),
        ("1619|digits(3)", "1619"),
        ("21.05|digits(3)", "21.1"),
        ("100000|thousands", "100,000"),
        ("100|thousands", "100"),
        ("[1, 2, 6]|mean", "3.0"),
        ("find('results/tiny/runs.csv', cell='b')|length", "0"),
        ("find('results/tiny/runs.csv', seed=1)|length", "2"),
        // a commit is a word, whatever it looks like
        ("rows('results/tiny/runs.csv')[0].commit", "123e456"),
        ("rows('results/tiny/runs.csv')[1].f1 is none", "True"),
        ("has('results/none.csv')", "False"),
        ("declared_runs('tiny')", "3"),
        ("declared_runs('reduced/tiny')", "2"),
    ] {
        // a filter binds more tightly than a minus
        let expression = match expression.split_once('|').filter(|_| expression.starts_with('-')) {
            Some((number, filter)) => format!("({number})|{filter}"),
            None => expression.to_owned(),
        };
        assert_eq!(filled(&format!("{{{{ {expression} }}}}")), text, "{expression}");
    }
}

#[test]
fn prose_is_filled_and_code_stays_whole() {
    let word = "twelve-bytes ".repeat(9);
    let text = format!(
        "{{% filter wrap %}}\n- {word}`a code span` {word}\nend.\n- next\n{{% endfilter %}}"
    );
    let lines: Vec<String> = filled(&text).lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert_eq!(lines[0], format!("- {word}").trim());
    assert!(lines[1].starts_with("  `a code span` twelve-bytes"), "{lines:?}");
    assert!(lines[..3].iter().all(|line| line.chars().count() <= 130), "{lines:?}");
    assert!(lines[2].ends_with("end."), "{lines:?}");
    assert_eq!(lines[3], "- next");
}

#[test]
fn what_a_template_cannot_have_is_named_with_its_line() {
    let file = "'results/tiny/runs.csv'";
    for (wanted, complaint) in [
        (
            format!("row({file}, cell='b').f1"),
            "README.md:2: docs/templates/one.md:2: results/tiny/runs.csv has no row with cell = b \
             (nearest cell: 'a')",
        ),
        (
            format!("row({file}, cel='a').f1"),
            "one.md:2: results/tiny/runs.csv has no column 'cel', only",
        ),
        (
            format!("row({file}, seed=1).f1"),
            "one.md:2: results/tiny/runs.csv has 2 rows with seed = 1; name another column too",
        ),
        (format!("row({file}, cell='a').f2"), "docs/templates/one.md:2: `(...).f2` is undefined"),
        (format!("rows({file})[1].f1|f(3)"), "one.md:2: the field is blank"),
        (format!("row({file}, cell='a').f2|f(3)"), "one.md:2: there is no such column"),
        ("rows('results/none.csv')".into(), "one.md:2: cannot read results/none.csv"),
        ("estimate('tiny', 'a', 'f1')".into(), "one.md:2: cannot read results/tiny/summary.csv"),
        ("declared_runs('none')".into(), "one.md:2: cannot read experiments/none.toml"),
        ("unknown()".into(), "docs/templates/one.md:2: "),
    ] {
        refused(&format!("text\n{{{{ {wanted} }}}}\n"), complaint);
    }
    refused("{% if %}", "README.md:2: docs/templates/one.md:1: ");
    refused(
        "{% from 'docs/templates/none.jinja' import runs %}",
        "README.md:2: docs/templates/one.md:1: ",
    );
}

#[test]
fn an_error_in_a_macro_names_the_template_that_asked() {
    let sandbox = documents("{% from 'docs/templates/two.md' import f1 %}\n{{ f1('b') }}");
    let text =
        "{% macro f1(cell) %}\n{{ row('results/tiny/runs.csv', cell=cell).f1 }}\n{% endmacro %}";
    sandbox.write("docs/templates/two.md", text);
    let complaint = "README.md:2: docs/templates/one.md: docs/templates/two.md:2: results/tiny/runs.csv has \
                     no row with cell = b";
    sandbox.seedbed("fill README.md").expect(2).says(complaint);
}

#[test]
fn a_block_that_does_not_end_or_names_no_template_is_refused_by_its_line() {
    let sandbox = documents("1");
    for (text, complaint) in [
        (
            "<!-- begin docs/templates/one.md -->\n",
            "README.md:1: the block 'docs/templates/one.md' has no end",
        ),
        (
            "a\n<!-- end docs/templates/one.md -->\n",
            "README.md:2: 'docs/templates/one.md' ends here",
        ),
        (
            "<!-- begin docs/templates/one.md -->\n<!-- end docs/templates/two.md -->\n",
            "README.md:2: 'docs/templates/two.md' stands within the block",
        ),
        (
            "<!-- begin docs/templates/none.md -->\n<!-- end docs/templates/none.md -->\n",
            "README.md:1: docs/templates/none.md",
        ),
    ] {
        sandbox.write("README.md", text);
        sandbox.seedbed("fill README.md").expect(2).says(complaint);
    }
    sandbox.seedbed("fill none.md").expect(2).says("cannot read none.md");
}

#[test]
fn what_a_template_leaves_out_is_told() {
    let sandbox = documents("{% if has('results/later.csv') %}later{% else %}not yet{% endif %}");
    let told = "docs/templates/one.md leaves out what results/later.csv would hold";
    sandbox.seedbed("fill README.md").expect(0).says(told);
    assert!(sandbox.read("README.md").contains("\nnot yet\n"));
}
