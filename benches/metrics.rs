//! What flagging and measuring a run of KDD Cup 99's size takes: 250,000 scores, a fifth of them of
//! anomalies. `make bench-metrics` prints it and writes `results/flagging.csv`; what the numbers mean, the
//! tests check.

use std::path::Path;
use std::time::Instant;

use seedbed::metrics::{self, Population, ThresholdRule};
use seedbed::random::{Numbers, Stream};

const ROWS: usize = 250_000;

fn main() {
    let mut table = "rule,rows,rounds,milliseconds\n".to_owned();
    let mut numbers = Numbers::new(1, Stream::Split, 0);
    let labels: Vec<bool> = (0..ROWS).map(|_| numbers.uniform() < 0.2).collect();
    let score = |&anomaly: &bool| numbers.uniform() + if anomaly { 0.5 } else { 0.0 };
    let scores: Vec<f64> = labels.iter().map(score).collect();
    let (train, test) = (&scores[..ROWS / 2], &scores[..]);
    for (name, rule) in [
        ("top 20 % of test", ThresholdRule::Top { top: 0.2, of: Population::Test }),
        ("top 20 % of train", ThresholdRule::Top { top: 0.2, of: Population::Train }),
    ] {
        let round = |_| {
            let started = Instant::now();
            let flagged = metrics::flag(&rule, test, &labels, train).expect("scores are numbers");
            let measured = metrics::evaluate(test, &labels, &flagged.flags);
            assert!(measured.is_ok());
            started.elapsed().as_secs_f64()
        };
        let seconds: Vec<f64> = (0..21).map(round).collect();
        let median = seedbed::stats::median(&seconds).expect("21 rounds");
        println!("{name}: {:.1} ms for {ROWS} rows", median * 1e3);
        table += &format!("{name},{ROWS},21,{:.2}\n", median * 1e3);
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("results/flagging.csv");
    std::fs::write(&path, table).expect("results/ can be written");
}
