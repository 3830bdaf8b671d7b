//! `seedbed table`: one table as a paper prints it. It writes no file.
use seedbed::error::{Error, Result};
use seedbed::report::derive::Making;
use seedbed::report::paper_table::{Format, PaperTable};

use super::tables::derive;
use crate::args::{Common, Source};
use crate::output::print;
use crate::screen::say;
use crate::table_options::TableOptions;

/// Prints the table.
pub fn table(common: &Common, source: &Source, options: &TableOptions) -> Result<u8> {
    if common.json {
        return Err(Error::Usage(
            "a table for a paper has no JSON: 'seedbed tables --json' and 'compare --json' have every number"
                .to_owned(),
        ));
    }
    let format = options.format.format();
    if format == Format::Csv && options.best {
        return Err(Error::Usage(
            "--best marks nothing in CSV, which holds numbers alone".to_owned(),
        ));
    }
    let making = Making { resamples: 0, mixed_code: options.mixed_code, tell: say };
    let all = derive(common, source, making)?;
    let layout = options.layout();
    let table = PaperTable::new(&all, &layout)?;
    if format == Format::Csv {
        // its numbers say nothing of what they are
        say(&table.caption);
    }
    print(&table.render(format, layout.decimals)?)?;
    Ok(0)
}
