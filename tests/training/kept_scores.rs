//! `run --keep-scores` of a network: what is kept gives the same metrics again, and goes with its record.

use serde_json::Value;

use crate::sandbox::{Sandbox, TINY};

const CELL: &str = "reconstruction=sum";

#[test]
fn the_kept_scores_of_a_network_give_its_metrics_back_to_the_last_bit() {
    let sandbox = Sandbox::new();
    let text = TINY.replace("of = \"test\"", "of = \"train-and-test\"");
    sandbox.write("experiments/tiny.toml", &text);
    sandbox.seedbed("run tiny --keep-scores --resamples 0").expect(0);
    let kept = "results/tiny/runs/{cell}/{seed}";
    sandbox
        .seedbed(&format!(
            "score tiny --scores {kept}.scores.npy --train-scores {kept}.train_scores.npy \
             --resamples 0 --out judged"
        ))
        .expect(0);
    let (trained, judged) = (sandbox.records("results"), sandbox.records("judged"));
    // a control is of the network, and no one else's
    assert_eq!((trained.len(), judged.len()), (12, 6));
    for (run, record) in &judged {
        let own = &trained[run];
        for part in ["counts", "metrics", "threshold", "state"] {
            assert_eq!(record[part], own[part], "{run:?} {part}");
        }
        for digest in ["data", "split", "scores"] {
            assert_eq!(record["digests"][digest], own["digests"][digest], "{run:?} {digest}");
        }
        assert_ne!(record["key"], own["key"]);
        assert_eq!(record["cell"]["model"]["name"], "scores");
        assert_eq!(record["digests"]["init"], Value::from(""));
    }
    let control = format!("results/tiny/runs/{CELL},control=untrained/1.scores.npy");
    assert!(sandbox.path(&control).exists());
    // another run in the record's place takes what was kept away
    let other = format!("run tiny --cell {CELL} --set training.epochs=4 --replace --resamples 0");
    sandbox.seedbed(&other).expect(0);
    let kept =
        |cell: &str| sandbox.path(&format!("results/tiny/runs/{cell}/1.scores.npy")).exists();
    assert!(!kept(CELL) && kept("reconstruction=mean"));
    let again = sandbox.seedbed(&format!("{other} --keep-scores")).expect(0);
    again.says("6 stored runs have no scores beside their records");
}
