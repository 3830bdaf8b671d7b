//! What a decision of the scheduler costs: made-up grids on 64 devices, with several thousand
//! different needs of memory, planned and dispatched to the end. `make bench-schedule` prints it and
//! writes `results/schedule.csv`.
//! Takes no device, starts no process and checks nothing: the tests of the policy do.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use seedbed::experiment::{Experiment, Selection};
use seedbed::machine::memory::{Memory, Need};
use seedbed::schedule::Slot;
use seedbed::schedule::policy::{Next, Planned, Policy};
use seedbed::store::record::Job;

const DEVICES: usize = 64;
const SLOTS: usize = 2;

fn main() {
    let mut table = "runs,cells,rounds,seconds,microseconds\n".to_owned();
    println!("{:>8}  {:>8}  {:>12}  {:>16}", "runs", "cells", "total, s", "a run, µs");
    for runs in [100, 1_000, 10_000, 100_000] {
        let cells = (runs / 20).max(1);
        let seconds: Vec<f64> = (0..5).map(|_| dispatch(runs, cells)).collect();
        let seconds = seedbed::stats::median(&seconds).expect("five rounds");
        let each = seconds / runs as f64 * 1e6;
        println!("{runs:>8}  {cells:>8}  {seconds:>12.4}  {each:>16.2}");
        table += &format!("{runs},{cells},5,{seconds:.6},{each:.3}\n");
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("results/schedule.csv");
    std::fs::write(&path, table).expect("results/ can be written");
}

/// Seconds from the jobs, one a run, to the end of the last.
fn dispatch(runs: usize, cells: usize) -> f64 {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/synthetic.toml");
    let experiment = Experiment::load(&path.to_string_lossy(), &Selection::default())
        .expect("the experiment is part of the project");
    let slots: Vec<Slot> = (0..DEVICES * SLOTS)
        .map(|index| Slot { device: format!("cuda:{}", index / SLOTS), index })
        .collect();
    let job = |run: usize| Planned {
        job: Job::of(
            &experiment.name,
            experiment.scale,
            vec![experiment.cells[0].clone()],
            vec![run as u64],
        ),
        // neighbours differ, as the cells of a grid do
        weight: (run * 7919 % 1009) as f64,
        need: Some(Need { fixed: 1000 + (run % cells) as u64, per_seed: 10 }),
    };
    let jobs: Vec<Planned> = (0..runs).map(job).collect();
    let started = Instant::now();
    let mut policy = Policy::new(&slots, jobs, 2);
    for device in 0..DEVICES {
        policy.set_memory(&format!("cuda:{device}"), Memory { total: 12_000, free: 12_000 });
    }
    let mut running = BTreeMap::new();
    let mut free: Vec<usize> = (0..slots.len()).collect();
    let mut now = 0;
    loop {
        free.retain(|&index| match policy.next(&slots[index]) {
            Next::Start(start) => {
                let end = now + 1 + start.waiting.planned.weight as u64;
                running.insert((end, index), start.reserved);
                false
            }
            Next::Wait | Next::Done => true,
        });
        let Some(((time, index), reserved)) = running.pop_first() else { break };
        now = time;
        policy.end(&slots[index], reserved);
        free.push(index);
    }
    started.elapsed().as_secs_f64()
}
