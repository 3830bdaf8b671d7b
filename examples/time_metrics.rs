//! Times the threshold and all metrics of 250,000 test rows (a test half of KDD Cup 99 has 247,011):
//! `cargo run --release --example time_metrics`.

use std::time::Instant;

use seedbed::error::Result;
use seedbed::metrics::{Population, ThresholdRule, evaluate, flag};
use seedbed::random::{Numbers, Stream};

fn main() -> Result<()> {
    let mut random = Numbers::new(1, Stream::Data, 0);
    let labels: Vec<bool> = (0..250_000).map(|_| random.uniform() < 0.2).collect();
    let mut scores = |labels: &[bool]| -> Vec<f64> {
        labels.iter().map(|&label| random.normal() + if label { 2.0 } else { 0.0 }).collect()
    };
    let (test, train) = (scores(&labels), scores(&[false; 200_000]));
    for of in [Population::Test, Population::TrainAndTest] {
        let mut seconds: Vec<f64> = Vec::new();
        for _ in 0..9 {
            let start = Instant::now();
            let flagged = flag(&ThresholdRule::Top { top: 0.2, of }, &test, &labels, &train)?;
            evaluate(&test, &labels, &flagged.flags)?;
            seconds.push(start.elapsed().as_secs_f64());
        }
        seconds.sort_by(f64::total_cmp);
        println!("top 0.2 of {of:?}: median {:.1} ms of 9", 1e3 * seconds[4]);
    }
    Ok(())
}
