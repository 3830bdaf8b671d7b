//! The command line as people meet it: help texts, versions, mistakes, completions and manual pages.

use crate::sandbox::Sandbox;

/// Every subcommand that is shown.
const COMMANDS: [&str; 23] = [
    "plan",
    "run",
    "slurm",
    "tables",
    "compare",
    "explain",
    "report",
    "table",
    "fill",
    "lock",
    "verify",
    "split",
    "score",
    "check-figures",
    "new",
    "new-paper",
    "list",
    "schema",
    "data",
    "doctor",
    "completions",
    "man",
    "help",
];

#[test]
fn help_has_options_under_headings_with_defaults_examples_and_variables() {
    let sandbox = Sandbox::new();
    let all = sandbox.seedbed("--help").expect(0).stdout;
    for command in COMMANDS {
        assert!(all.contains(&format!("\n  {command} ")), "{command} is missing:\n{all}");
    }
    for words in
        ["SEEDBED_DATA", "NO_COLOR", "COLUMNS", "Examples:", "Exit codes:", "--color <WHEN>"]
    {
        assert!(all.contains(words), "no '{words}' in:\n{all}");
    }
    let run = sandbox.seedbed("run --help").expect(0).stdout;
    let mut from = 0;
    for heading in ["Selection:", "Training:", "Devices:", "Output:", "Examples:"] {
        let at = run.find(heading).unwrap_or_else(|| panic!("no {heading} in:\n{run}"));
        assert!(run[at + 1..].find(&format!("\n{heading}")).is_none(), "{heading} twice:\n{run}");
        from = from.max(at);
    }
    assert_eq!(run.find("Examples:"), Some(from), "examples come last:\n{run}");
    for words in [
        "-n, --runs <N>",
        "-s, --seeds <SEEDS>",
        "-c, --cell <LABEL>",
        "-j, --slots <N>",
        "-o, --out <DIR>",
        "-q, --quiet",
        "-v, --verbose",
        "[default: auto]",
        "[default: 2]",
        "SEEDBED_DATA",
        "--tables",
    ] {
        assert!(run.contains(words), "no '{words}' in:\n{run}");
    }
    // every option stands under a heading of ours
    let rest = run.split("Options:").nth(1).and_then(|rest| rest.split("\n\n").next());
    let rest = rest.unwrap_or_default();
    assert!(rest.matches("--").count() <= 1 && rest.contains("--help"), "{rest}");
    let short = sandbox.seedbed("run -h").expect(0).stdout;
    assert!(short.lines().all(|line| line.chars().count() <= 100), "{short}");
}

#[test]
fn what_is_misspelt_gets_the_nearest_name() {
    let sandbox = Sandbox::new();
    for (wrong, right) in [
        ("rnu", "run"),
        ("tabels tiny", "tables"),
        ("reprot", "report"),
        ("check-figure", "check-figures"),
    ] {
        sandbox.seedbed(wrong).expect(2).says(&format!("'{right}'"));
    }
    sandbox.seedbed("run tiny --sede 3").expect(2).says("--seeds");
    sandbox.seedbed("man tabels").expect(2).says("did you mean 'tables'?");
    sandbox.seedbed("table tiny --metric roc_auc").expect(2).says("did you mean 'auroc'?");
    sandbox.seedbed("plan tiny --color sometimes").expect(2).says("always, never");
}

#[test]
fn a_version_says_what_the_program_is_of() {
    let sandbox = Sandbox::new();
    let number = env!("CARGO_PKG_VERSION");
    let short = sandbox.seedbed("-V").expect(0).stdout;
    assert_eq!(short, format!("seedbed {number}\n"));
    let long = sandbox.seedbed("--version").expect(0).stdout;
    for words in
        [&format!("seedbed {number}\n"), "commit: ", "compiler: rustc", "libtorch", "methods: "]
    {
        assert!(long.contains(words), "no '{words}' in:\n{long}");
    }
}

#[test]
fn a_file_of_runs_is_from_and_what_it_was_called_still_works_and_says_so() {
    let sandbox = Sandbox::new();
    let rows = "experiment,cell,seed,scale,state,f1\ntiny,reconstruction=sum,1,full,ok,0.5\n";
    sandbox.write("mine.csv", rows);
    for command in ["tables", "compare", "report", "table tiny --metric f1"] {
        let new = sandbox.seedbed(&format!("{command} --from mine.csv")).expect(0);
        assert!(!new.stderr.contains("--runs"), "{}", new.stderr);
        let old = sandbox.seedbed(&format!("{command} --runs mine.csv")).expect(0);
        assert_eq!(old.stdout, new.stdout, "{command}");
        let said = "--runs mine.csv is now --from mine.csv";
        assert_eq!(old.stderr.matches(said).count(), 1, "{}", old.stderr);
        let help = sandbox.seedbed(&format!("{command} --help")).expect(0).stdout;
        assert!(help.contains("--from <FILE.csv>") && !help.contains("--runs"), "{help}");
        sandbox.seedbed(&format!("{command} --runs 5")).expect(2).says("--from FILE.csv");
        sandbox.seedbed(&format!("{command} --runs mine.csv --from mine.csv")).expect(2);
    }
    sandbox.seedbed("run tiny --runs mine.csv").expect(2).says("report --from FILE.csv");
}

#[test]
fn quiet_says_only_what_went_wrong_and_colours_are_chosen() {
    let sandbox = Sandbox::new();
    sandbox.seedbed("new mine").expect(0);
    let loud = sandbox.seedbed("run mine -n 2").expect(0);
    assert!(loud.stderr.contains("2 runs in 2 jobs") && loud.stderr.contains("seed 1: f1"));
    let quiet = sandbox.seedbed("-q run mine -n 4").expect(0);
    assert_eq!(quiet.stderr, "");
    assert!(quiet.stdout.contains("report: "));
    sandbox.seedbed("run nothing -q").expect(2).says("no experiment 'nothing'");
    sandbox.seedbed("run mine -q -v").expect(2).says("cannot be used with");

    let plain = sandbox.seedbed("tables mine").expect(0).stdout;
    assert!(!plain.contains('\x1b'));
    let coloured = sandbox.seedbed("tables mine --color always").expect(0).stdout;
    assert!(coloured.contains("\x1b[1mmine\x1b[0m"), "{coloured}");
    let mut command = sandbox.command("tables mine --color always");
    let asked = command.env("NO_COLOR", "1").output().expect("seedbed starts");
    assert_eq!(String::from_utf8_lossy(&asked.stdout), coloured, "what is asked for counts");
    let help = sandbox.seedbed("run --help --color always").expect(0).stdout;
    assert!(help.contains('\x1b'), "{help}");
    let wrong = sandbox.seedbed("run --no-such --color=always").expect(2).stderr;
    assert!(wrong.contains('\x1b'), "{wrong}");
}

#[test]
fn faults_of_a_file_show_their_line_with_a_caret() {
    let sandbox = Sandbox::new();
    let tiny = sandbox.read("experiments/tiny.toml");
    for (wrong, shown) in [
        (tiny.replace("latent = 1", "latnet = 1"), "\n  17 | latnet = 1\n     | ^^^^^^"),
        (tiny.replace("latent = 1", "latent = [1, 2]"), "| latent = [1, 2]\n     | ^^^^^^"),
        (tiny.replace("epochs = 3", "epochs = \"3\""), "| epochs = \"3\"\n     | ^^^^^^"),
        (tiny.replace("epochs = 3", "epochs = = 3"), "| epochs = = 3\n     |          ^"),
        (tiny.replace("runs = 3\n", "runs = 3\nrusn = 3\n"), "| rusn = 3\n    | ^^^^"),
    ] {
        sandbox.write("experiments/tiny.toml", &wrong);
        sandbox.seedbed("plan tiny").expect(2).says(shown);
    }
    sandbox.write("experiments/tiny.toml", &tiny);
    let paper = sandbox.read("experiments/papers/made-up.toml");
    sandbox.write("experiments/papers/made-up.toml", &paper.replace("title =", "titel ="));
    let said = sandbox.seedbed("compare tiny --from none.csv").stderr;
    assert!(said.contains("none.csv"), "{said}");
    let said = sandbox.seedbed("check-figures made-up").expect(2).stderr;
    assert!(said.contains("\n  2 | titel = \"Made-up figures\"\n    | ^^^^^"), "{said}");
}

#[test]
fn completions_and_manual_pages_are_of_the_command_line_as_it_is() {
    let sandbox = Sandbox::new();
    for (shell, words) in [
        ("bash", "complete -F _seedbed"),
        ("zsh", "#compdef seedbed"),
        ("fish", "complete -c seedbed"),
    ] {
        let text = sandbox.seedbed(&format!("completions {shell}")).expect(0).prints(words).stdout;
        assert!(text.contains("check-figures") && text.contains("allow-commands"), "{shell}");
    }
    let page = sandbox.seedbed("man").expect(0).prints(".TH seedbed 1").stdout;
    assert!(page.contains("SEEDBED_DATA") && page.contains("check\\-figures"), "{page}");
    let run = sandbox.seedbed("man run").expect(0).prints(".TH seedbed-run 1").stdout;
    assert!(run.contains("allow\\-commands") && run.contains("Examples:"), "{run}");
    sandbox.seedbed("man --to pages").expect(0).prints("pages/seedbed-run.1");
    assert_eq!(sandbox.read("pages/seedbed-run.1"), run);
    assert!(!sandbox.path("pages/seedbed-bench-step.1").exists());
}
