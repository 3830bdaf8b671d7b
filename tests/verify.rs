//! Can a published result be trusted without training it again? The seed audit of every table, and
//! `results.lock`. Nothing here trains or needs libtorch.

mod sandbox;

use sandbox::Sandbox;

/// Three runs of a cell and one of its control, from a harness whose seeds take effect.
const INDEPENDENT: &str =
    "experiment,cell,seed,scale,state,f1,split_sha256,init_sha256,scores_sha256
tiny,reconstruction=sum,1,full,ok,0.5,5a,1a,ca
tiny,reconstruction=sum,2,full,ok,0.6,5b,1b,cb
tiny,reconstruction=sum,3,full,ok,0.7,5c,1c,cc
tiny,\"reconstruction=sum,control=untrained\",1,full,ok,0.2,5a,1a,cd
";

#[test]
fn runs_of_a_cell_that_share_a_split_weights_or_scores_get_no_table() {
    let sandbox = Sandbox::new();
    sandbox.write("mine.csv", INDEPENDENT);
    for command in ["tables", "compare", "report"] {
        sandbox.seedbed(&format!("{command} tiny --runs mine.csv")).expect(0);
    }
    for (own, shared, named) in [
        (
            "5c",
            "5a",
            "share their split: tiny reconstruction=sum, seeds 1 and 3, have split_sha256 5a",
        ),
        (
            "1c",
            "1b",
            "initial weights: tiny reconstruction=sum, seeds 2 and 3, have init_sha256 1b",
        ),
        ("cb", "ca", "scores: tiny reconstruction=sum, seeds 1 and 2, have scores_sha256 ca"),
    ] {
        let text = INDEPENDENT.replace(own, shared);
        sandbox.write("mine.csv", &text);
        sandbox.write("results/tiny/runs.csv", &text);
        for command in ["tables", "compare", "report"] {
            sandbox.seedbed(&format!("{command} tiny --runs mine.csv")).expect(3).says(named);
            sandbox.seedbed(&format!("{command} tiny")).expect(3).says(named);
        }
        assert!(!sandbox.path("results/tiny/summary.csv").exists(), "a table of one run, twice");
    }
}

#[test]
fn a_file_that_says_nothing_of_digests_is_not_suspected() {
    let sandbox = Sandbox::new();
    sandbox.write("mine.csv", &INDEPENDENT.replace(",5a,1a,ca", ",,,").replace(",5b,1b,cb", ",,,"));
    sandbox.seedbed("tables tiny --runs mine.csv").expect(0);
    // runs that failed are in no mean
    let failed = INDEPENDENT.replace("2,full,ok,0.6,5b", "2,full,diverged,,5a");
    sandbox.write("mine.csv", &failed);
    sandbox.seedbed("tables tiny --runs mine.csv").expect(0);
}
