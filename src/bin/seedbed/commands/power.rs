//! `seedbed plan --power`: what as many runs as planned can show.
use serde_json::json;

use seedbed::error::Result;
use seedbed::report::derive::{Derived, Making, papers_of};
use seedbed::report::terminal;
use seedbed::summary;

use crate::args::{Common, Training};
use crate::output::{Output, sheet};
use crate::screen::say;

/// Shows what as many runs as planned can show about each published figure.
pub fn power(common: &Common, training: &Training, margin: Option<f64>) -> Result<u8> {
    let mut output = Output::new(common.json);
    for experiment in common.load(Some(training))? {
        let papers = papers_of(&experiment)?;
        let making = Making { resamples: 0, mixed_code: true, tell: say };
        let stored = Derived::stored(&experiment, &common.out(), making)?;
        let cells = experiment.select(&training.cell)?;
        let cells: Vec<_> = cells.into_iter().map(|cell| cell.label).collect();
        let (name, runs) = (&experiment.name, experiment.seeds.len());
        let lines = summary::power(&summary::Planned {
            experiment: name,
            cells: &cells,
            summaries: &stored.summaries,
            papers: &papers,
            runs,
            margin,
        });
        output.next();
        output.show(
            || terminal::power_table(&lines, name, &stored.from(), sheet()) + "\n",
            || [("experiment", json!(name)), ("power", json!(lines))],
        )?;
    }
    output.end()?;
    Ok(0)
}
