//! `seedbed bench-step`: times training steps of one cell, for the benchmarks.
use seedbed::error::{Error, Result};
use seedbed::experiment::{Experiment, Selection};
use seedbed::schedule::worker;
use seedbed::store::record::Job;

use crate::args::{BenchOptions, searched};
use crate::output::print_json;

/// Times training steps and prints them.
pub fn bench_step(options: BenchOptions) -> Result<u8> {
    let BenchOptions { experiment, cell, width, steps, device, data, set } = options;
    let experiment = Experiment::load(&experiment, &Selection { set, ..Selection::default() })?;
    let labels: Vec<String> = cell.into_iter().collect();
    let cell = experiment.select(&labels)?.into_iter().next();
    let cell = cell.ok_or_else(|| Error::Usage("the experiment has no cell".to_owned()))?;
    if !cell.model.is_trained() {
        // and so no program of somebody's is started here, where nobody allowed it
        return Err(Error::Usage("this model has no training steps to time".to_owned()));
    }
    let seeds = (1..=width.max(1) as u64).collect();
    let job = Job::of(&experiment.name, experiment.scale, vec![cell], seeds);
    let job = Job { device, data: searched(data.as_deref())?, ..job };
    print_json(&worker::calibrate(&job, steps)?)?;
    Ok(0)
}
