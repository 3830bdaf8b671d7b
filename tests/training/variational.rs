//! Variational models through the real binary: scores of one trained model, what they refuse, and
//! pictures.

use crate::sandbox::{Sandbox, TINY};
use serde_json::Value;
use sha2::{Digest, Sha256};

const SCORES: [&str; 3] = ["reconstruction-probability", "reconstruction-error", "negative-elbo"];

/// `tiny` with a VAE in place of DAGMM and an axis of its three scores.
fn tiny(decoder: &str) -> String {
    let model = TINY.find("[model]").unwrap()..TINY.find("[training]").unwrap();
    let mut text = TINY.to_owned();
    let spec =
        format!("[model]\nname = \"vae\"\nhidden = [6]\nlatent = 2\ndecoder = \"{decoder}\"\n\n");
    text.replace_range(model, &spec);
    let axis = format!("\"protocol.score\" = {SCORES:?}");
    // the paper's figures are of cells that a VAE does not have
    text.replace("paper = \"made-up\"\n", "")
        .replace("\"model.reconstruction\" = [\"sum\", \"mean\"]", &axis)
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
    // a row of a table counts as stored, too
    std::fs::remove_file(sandbox.path("results/tiny/runs.csv")).unwrap();
    sandbox.seedbed("run tiny --runs 1").expect(0).says("1 runs in 1 jobs");
    let again = sandbox.records("results");
    for (run, record) in &records {
        assert_eq!(again[run]["digests"], record["digests"], "{run:?}");
    }
}

#[test]
fn a_run_does_not_depend_on_the_scores_beside_it() {
    let together = sandbox("gaussian");
    let with_samples = |sandbox: &Sandbox| {
        let axes = "[axes]\n\"protocol.samples\" = [0, 3]";
        sandbox.write("experiments/tiny.toml", &tiny("gaussian").replace("[axes]", axes));
    };
    with_samples(&together);
    together.seedbed("run tiny --runs 1").expect(0).says("12 runs in 2 jobs");
    let all = together.records("results");
    for score in SCORES {
        for samples in [0, 3] {
            let alone = sandbox("gaussian");
            with_samples(&alone);
            let label = format!("samples={samples},{}", label(score));
            alone.seedbed(&format!("run tiny --runs 1 --cell {label}")).expect(0);
            let one = alone.records("results");
            let run = (label, 1);
            for part in ["state", "digests", "metrics", "threshold", "diagnostics"] {
                assert_eq!(one[&run][part], all[&run][part], "{run:?} {part}");
            }
        }
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

/// An idx file of bytes: magic, the sizes and the values.
fn idx(sizes: &[u32], values: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, sizes.len() as u8];
    sizes.iter().for_each(|size| bytes.extend(size.to_be_bytes()));
    bytes.extend(values);
    bytes
}

/// 28 × 28 images, a bright square on the left in class 0 and on the right in class 1, every fifth
/// image; and the `[dataset]` table that names them.
fn squares(sandbox: &Sandbox) -> String {
    let mut table = "name = \"idx\"\nanomaly-class = 1\n".to_owned();
    for (part, count) in [("train", 80u32), ("test", 40)] {
        let classes: Vec<u8> = (0..count).map(|row| u8::from(row % 5 == 0)).collect();
        let pixel = |class: u8, row: u32, place: u32| {
            let (y, x) = (place / 28, place % 28 + 14 * u32::from(class == 0));
            let inside = (8 + row % 3..18).contains(&y) && (16..26).contains(&x);
            if inside { 200 + (row * 7 + place) as u8 % 50 } else { (row + place * 3) as u8 % 20 }
        };
        let images = classes
            .iter()
            .zip(0..)
            .flat_map(|(&class, row)| (0..28 * 28).map(move |place| pixel(class, row, place)));
        let images = idx(&[count, 28, 28], &images.collect::<Vec<u8>>());
        for (kind, bytes) in [("images", images), ("labels", idx(&[count], &classes))] {
            let file = format!("data/{part}-{kind}");
            std::fs::create_dir_all(sandbox.path("data")).unwrap();
            std::fs::write(sandbox.path(&file), &bytes).unwrap();
            let digest: String =
                Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            table +=
                &format!("{part}-{kind} = {{ file = \"{part}-{kind}\", sha256 = \"{digest}\" }}\n");
        }
    }
    table
}

#[test]
fn a_convolutional_vae_finds_the_odd_images_by_every_score_and_draws_reconstructions() {
    let sandbox = Sandbox::new();
    let dataset = squares(&sandbox);
    let text = tiny("gaussian").replace("name = \"synthetic\"\nrows = 600\n", &dataset);
    let model = text.find("[model]").unwrap()..text.find("[training]").unwrap();
    // by libtorch, and by the steps on a core
    let choices = [
        ("bernoulli", "elbo", [4, 4]),
        ("gaussian", "elbo", [8, 32]),
        ("gaussian", "notebook", [8, 32]),
    ];
    for (decoder, loss, channels) in choices {
        let mut text = text.clone();
        let spec = format!(
            "[model]\nname = \"conv-vae\"\nlatent = 4\nchannels = {channels:?}\ndecoder = \
             \"{decoder}\"\nloss = \"{loss}\"\n\n"
        );
        text.replace_range(model.clone(), &spec);
        let text = text
            .replace("half-of-all", "official")
            .replace("epochs = 3", "epochs = 20")
            .replace("batch-size = 128", "batch-size = 16")
            .replace("learning-rate = 1e-3", "learning-rate = 1e-2");
        sandbox.write("experiments/tiny.toml", &text);
        let out = format!("{decoder}-{loss}");
        sandbox.seedbed(&format!("run tiny --runs 2 --width 2 --pictures=1 --out {out}")).expect(0);
        let records = sandbox.records(&out);
        for score in SCORES {
            let auroc = records[&(label(score), 1)]["metrics"]["auroc"].as_f64().unwrap();
            assert!(auroc > 0.95, "{out} {score}: {auroc}");
            let folder = format!("{out}/tiny/pictures/{}/seed-1", label(score));
            for epoch in [1, 20] {
                let name = format!("{folder}/reconstructions-epoch-{epoch}.png");
                let png = std::fs::read(sandbox.path(&name)).unwrap();
                assert!(png.starts_with(b"\x89PNG"), "{name}");
            }
        }
    }
}

#[test]
fn pictures_are_made_again_for_another_run_or_other_epochs_and_not_for_a_diverged_one_twice() {
    let sandbox = sandbox("gaussian");
    let run = |arguments: &str| {
        sandbox.seedbed(&format!("run tiny --runs 1 --cell {} {arguments}", label(SCORES[0])))
    };
    run("--quick --pictures").expect(0).says("2 runs in 2 jobs");
    run("--quick --pictures").expect(0).says("nothing to run");
    run("--quick --pictures=2").expect(0).says("2 runs in 2 jobs");
    let text = tiny("gaussian").replace("\"training.epochs\" = 2", "\"training.epochs\" = 1");
    sandbox.write("experiments/tiny.toml", &text);
    run("--quick").expect(0).says("1 runs in 1 jobs");
    run("--quick --pictures=2").expect(0).says("1 runs in 1 jobs");
    // a step so long that nothing stays finite
    let text = text.replace("learning-rate = 1e-3", "learning-rate = 1e30");
    sandbox.write("experiments/tiny.toml", &text);
    run("--quick --pictures=2 --replace").expect(1).says("diverged");
    run("--quick --pictures=2").expect(1).says("nothing to run");
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
