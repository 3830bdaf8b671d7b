//! `seedbed explain`: which readings of a source reach which figure, and what each choice does to it.
use serde_json::json;

use seedbed::error::{Error, Result};
use seedbed::report::columns;
use seedbed::report::derive::{Derived, Losing, Making};
use seedbed::report::readings;
use seedbed::report::terminal::Sheet;
use seedbed::summary::readings::Asked;

use crate::args::{Common, Explaining};
use crate::output::{Output, sheet};

/// Writes `specification.csv` and `effects.csv` of each experiment, and shows what they say.
pub fn explain(common: &Common, making: Making, explaining: &Explaining) -> Result<u8> {
    let mut output = Output::new(common.json);
    for experiment in common.load(None)? {
        if experiment.readings.is_empty() {
            return Err(Error::Usage(format!(
                "{} has no [[readings]], so there is nothing to explain: docs/readings.md says how to write them",
                experiment.path.display()
            )));
        }
        let making = Making { resamples: 0, ..making };
        let mut derived = Derived::stored(&experiment, &common.out(), making)?;
        derived.require_rows()?;
        let Explaining { metric, from, to } = explaining;
        let (from, to) = (from.as_deref(), to.as_deref());
        derived
            .explain(&experiment, Asked { of: (*metric).into(), from, to, ..Asked::default() })?;
        derived.write_tables(Losing::Refused)?;
        output.next();
        let Sheet { colour, width } = sheet();
        let text = || columns::reflowed(&readings::text(&derived, colour), width);
        output.show(text, || {
            [("experiment", json!(derived.name)), ("readings", json!(derived.explained))]
        })?;
    }
    output.end()?;
    Ok(0)
}
