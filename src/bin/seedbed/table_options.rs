//! The command line of `table`.
use clap::Args;

use seedbed::metrics::Metric;
use seedbed::report::paper_table::{Format, Layout};
use seedbed::text::nearest;

use crate::args::{OUTPUT, SELECTION};

#[derive(Args)]
pub struct TableOptions {
    /// How it is written
    #[arg(short, long, value_name = "FORMAT", default_value = "markdown", help_heading = OUTPUT)]
    pub format: Written,
    /// What the rows are: cell, experiment, metric, or an axis
    #[arg(long, value_name = "WHAT", default_value = "cell", help_heading = OUTPUT)]
    pub rows: String,
    /// What the columns are
    #[arg(long, value_name = "WHAT", default_value = "metric", help_heading = OUTPUT)]
    pub columns: String,
    /// Only this metric (repeatable) [default: those of published figures, else f1, auprc, auroc]
    #[arg(short, long, value_name = "METRIC", value_parser = metric, help_heading = SELECTION)]
    pub metric: Vec<Metric>,
    /// Decimals
    #[arg(long, value_name = "N", default_value_t = 3, help_heading = OUTPUT,
          value_parser = clap::value_parser!(u8).range(1..=9))]
    pub decimals: u8,
    /// Mark the best mean of each column
    #[arg(long, help_heading = OUTPUT)]
    pub best: bool,
    /// Leave the published figures out
    #[arg(long, help_heading = OUTPUT)]
    pub no_published: bool,
    /// Rows for controls too, such as the untrained network
    #[arg(long, help_heading = SELECTION)]
    pub controls: bool,
    /// Put runs that different versions of the code made into one table
    #[arg(long, help_heading = OUTPUT)]
    pub mixed_code: bool,
}

/// How a table is written.
#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
pub enum Written {
    /// A tabular with booktabs' rules, for a paper
    Latex,
    /// The same as a document of its own, with Type 1 fonts
    LatexDocument,
    Markdown,
    /// Unrounded, with std and runs in columns of their own
    Csv,
    Html,
}

impl Written {
    /// Returns the format.
    pub fn format(self) -> Format {
        match self {
            Self::Latex => Format::Latex,
            Self::LatexDocument => Format::LatexDocument,
            Self::Markdown => Format::Markdown,
            Self::Csv => Format::Csv,
            Self::Html => Format::Html,
        }
    }
}

impl TableOptions {
    /// Returns how the table is laid out.
    pub fn layout(&self) -> Layout {
        Layout {
            rows: self.rows.clone(),
            columns: self.columns.clone(),
            metrics: self.metric.clone(),
            decimals: self.decimals.into(),
            best: self.best,
            published: !self.no_published,
            controls: self.controls,
        }
    }
}

fn metric(text: &str) -> Result<Metric, String> {
    let known = Metric::ALL.map(Metric::as_str);
    let found = Metric::ALL.into_iter().find(|metric| metric.as_str() == text);
    found.ok_or_else(|| {
        format!("there is no such metric{}; there are: {}", nearest(text, &known), known.join(", "))
    })
}
