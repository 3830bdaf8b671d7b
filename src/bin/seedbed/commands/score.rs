//! `seedbed score`: judges scores that were made elsewhere, and shows their tables.

use std::path::PathBuf;

use seedbed::elsewhere::{self, Files, Pattern};
use seedbed::error::Result;
use seedbed::report::derive::{Derived, Losing, papers_of};

use super::compare::show_comparison;
use super::tables::show_summary;
use crate::args::searched;
use crate::by_hand::ScoreOptions;
use crate::output::Output;
use crate::screen::say;

/// Judges, stores and shows.
pub fn score(options: &ScoreOptions) -> Result<u8> {
    let asked = options.runs.load()?;
    let out = options.out.clone().unwrap_or_else(|| default_out(options, asked.is_elsewhere()));
    let experiment = asked.of_scores();
    papers_of(&experiment)?;
    let cells = experiment.select(&options.runs.cell)?;
    let parse = |text: &String| Pattern::parse("--train-scores", text);
    let files = Files {
        test: Pattern::parse("--scores", &options.scores)?,
        train: options.train_scores.as_ref().map(parse).transpose()?,
    };
    let search = searched(options.runs.data.as_deref())?;
    let records = elsewhere::judge(&experiment, &cells, &files, &search)?;
    let judged = elsewhere::store(&records, &out, options.replace, &mut say)?;
    say(&format!(
        "{} files of scores judged, {} of them stored before; records and tables are in {}",
        judged.stored + judged.known,
        judged.known,
        out.join(&experiment.name).display()
    ));
    let derived = Derived::stored(&experiment, &out, options.tables.making())?;
    derived.write_tables(Losing::KeptAside)?;
    let mut output = Output::new(options.json);
    output.next();
    show_summary(&derived, &mut output)?;
    if !derived.papers.is_empty() {
        derived.write_comparison()?;
        show_comparison(&derived, &mut output)?;
    }
    output.end()?;
    Ok(0)
}

/// Apart from what seedbed trained: beside it nobody could tell the rows apart.
fn default_out(options: &ScoreOptions, has_no_method: bool) -> PathBuf {
    let results = PathBuf::from(if options.runs.quick { "results/quick" } else { "results" });
    if has_no_method { results } else { results.join("scores") }
}
