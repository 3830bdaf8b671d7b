//! Variational models through the real binary: scores of one trained model, what they refuse, and
//! pictures.
mod sandbox;

use sandbox::{Sandbox, TINY};
use serde_json::Value;

const SCORES: [&str; 3] = ["reconstruction-probability", "reconstruction-error", "negative-elbo"];

/// `tiny` with a VAE in place of DAGMM and an axis of its three scores.
fn tiny(decoder: &str) -> String {
    let model = TINY.find("[model]").unwrap()..TINY.find("[training]").unwrap();
    let mut text = TINY.to_owned();
    let spec =
        format!("[model]\nname = \"vae\"\nhidden = [6]\nlatent = 2\ndecoder = \"{decoder}\"\n\n");
    text.replace_range(model, &spec);
    let axis = format!("\"protocol.score\" = {SCORES:?}");
    text.replace("\"model.reconstruction\" = [\"sum\", \"mean\"]", &axis)
}

fn sandbox(decoder: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("experiments/tiny.toml", &tiny(decoder));
    sandbox
}

fn label(score: &str) -> String {
    format!("score={score}")
}

#[test]
fn cells_that_differ_in_their_score_are_trained_once() {
    let sandbox = sandbox("gaussian");
    sandbox.seedbed("run tiny --runs 1").expect(0).says("6 runs in 2 jobs");
    let records = sandbox.records("results");
    let of = |score: &str| &records[&(label(score), 1)];
    let first = of(SCORES[0]);
    for score in &SCORES[1..] {
        assert_eq!(of(score)["loss_curve"], first["loss_curve"]);
        assert_eq!(of(score)["digests"]["init"], first["digests"]["init"]);
        assert_ne!(of(score)["digests"]["scores"], first["digests"]["scores"]);
    }
    let lost = sandbox.path("results/tiny/runs/score=negative-elbo/1.json");
    std::fs::remove_file(lost).unwrap();
    sandbox.seedbed("run tiny --runs 1").expect(0).says("1 runs in 1 jobs");
    let again = sandbox.records("results");
    for (run, record) in &records {
        assert_eq!(again[run]["digests"], record["digests"], "{run:?}");
    }
}

#[test]
fn a_score_does_not_depend_on_the_scores_beside_it() {
    let together = sandbox("gaussian");
    together.seedbed("run tiny --runs 1").expect(0);
    for score in SCORES {
        let alone = sandbox("gaussian");
        alone.seedbed(&format!("run tiny --runs 1 --cell {}", label(score))).expect(0);
        let run = (label(score), 1);
        let (one, all) = (alone.records("results"), together.records("results"));
        assert_eq!(one[&run]["digests"], all[&run]["digests"], "{score}");
    }
}

#[test]
fn widths_1_and_3_agree_within_the_stated_tolerance() {
    let [one, three] = [1, 3].map(|width| {
        let sandbox = sandbox("gaussian");
        sandbox.seedbed(&format!("run tiny --width {width} --set training.epochs=20")).expect(0);
        sandbox.records("results")
    });
    assert_eq!(one.len(), 18);
    for (run, alone) in &one {
        let beside = &three[run];
        assert_eq!(beside["batch_width"], 3);
        for metric in ["precision", "recall", "f1", "auroc", "auprc"] {
            let value = |record: &Value| record["metrics"][metric].as_f64().unwrap();
            let gap = (value(alone) - value(beside)).abs();
            assert!(gap <= 0.005, "{run:?} {metric}: {gap}");
        }
    }
}

#[test]
fn a_bernoulli_decoder_refuses_values_outside_0_to_1_and_says_how_to_scale() {
    let sandbox = sandbox("bernoulli");
    let run = sandbox.seedbed("run tiny --runs 1").expect(2);
    run.says("column '").says("values from 0 to 1").says("clip = true");
    let scaled = "rows = 600\nscaling = { kind = \"min-max\", fit = \"train\", clip = true }";
    sandbox.write("experiments/tiny.toml", &tiny("bernoulli").replace("rows = 600", scaled));
    sandbox.seedbed("run tiny --runs 1").expect(0);
}

#[test]
fn a_score_is_chosen_where_there_is_a_choice_and_nowhere_else() {
    let sandbox = Sandbox::new();
    let axes = tiny("gaussian");
    let without = axes
        .replace("\"protocol.score\"", "\"protocol.samples\"")
        .replace(&format!("{SCORES:?}"), "[1, 2]");
    sandbox.write("experiments/tiny.toml", &without);
    sandbox.seedbed("plan tiny").expect(2).says("needs a 'score'").says("negative-elbo");
    sandbox.write("experiments/tiny.toml", TINY);
    let given = sandbox.seedbed("plan tiny --set protocol.score=negative-elbo").expect(2);
    given.says("protocol.score").says("which has one score");
    sandbox.write("experiments/tiny.toml", &axes.replace("negative-elbo", "negative-elbow"));
    sandbox.seedbed("plan tiny").expect(2).says("did you mean 'negative-elbo'?");
    sandbox.write("experiments/tiny.toml", &axes);
    let given = sandbox.seedbed("plan tiny --set model.sigma=-1").expect(2);
    given.says("model.sigma").says("must be a number above 0");
}

#[test]
fn pictures_are_of_the_first_seed_and_leave_stored_records_alone() {
    for (text, latent) in [(TINY.to_owned(), true), (tiny("gaussian"), false)] {
        let sandbox = Sandbox::new();
        sandbox.write("experiments/tiny.toml", &text);
        sandbox.seedbed("run tiny --runs 2").expect(0);
        let before = sandbox.records("results");
        let cell = before.keys().next().unwrap().0.clone();
        let run = sandbox.seedbed("run tiny --runs 2 --pictures").expect(0);
        assert!(!run.stderr.contains("came out otherwise"), "{}", run.stderr);
        assert_eq!(sandbox.records("results"), before);
        let folder = format!("results/tiny/pictures/{cell}");
        for name in ["loss.svg", "scores.svg", "roc.svg"] {
            let text = sandbox.read(&format!("{folder}/seed-1/{name}"));
            assert!(text.starts_with("<svg") || text.starts_with("<?xml"), "{name}");
        }
        assert_eq!(sandbox.path(&format!("{folder}/seed-1/latent.svg")).exists(), latent);
        assert!(!sandbox.path(&format!("{folder}/seed-2")).exists());
        sandbox.seedbed("run tiny --runs 2 --pictures").expect(0).says("nothing to run");
    }
}
