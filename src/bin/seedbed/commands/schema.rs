//! `seedbed schema`: the JSON schemas of experiments and papers, for editors.
use seedbed::error::Result;
use seedbed::experiment::schema as experiment;
use seedbed::paper::schema as paper;

use crate::args::SchemaOf;
use crate::output::print;

/// Prints a schema.
pub fn schema(of: SchemaOf) -> Result<u8> {
    print(&match of {
        SchemaOf::Experiment => experiment::text(),
        SchemaOf::Paper => paper::text(),
    })?;
    Ok(0)
}
