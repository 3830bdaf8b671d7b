//! The command line of who trains elsewhere: `split` and `score`.

use std::path::PathBuf;

use clap::Args;

use seedbed::error::Result;
use seedbed::experiment::{Experiment, Selection, parse_seeds};

use crate::args::{OUTPUT, SELECTION, TRAINING, Tables};

/// An experiment, and which of its runs.
#[derive(Args)]
pub struct Runs {
    /// The name (of experiments/NAME.toml) or path of an experiment file
    #[arg(value_name = "EXPERIMENT")]
    pub experiment: String,
    /// These seeds, such as 3 or 3,7-9 [default: as many as the experiment says]
    #[arg(short, long, visible_alias = "seed", value_name = "SEEDS", help_heading = SELECTION)]
    pub seeds: Option<String>,
    /// How many runs: seeds 1 to N
    #[arg(short = 'n', long, value_name = "N", conflicts_with = "seeds", help_heading = SELECTION)]
    pub runs: Option<u64>,
    /// Only this cell (repeatable)
    #[arg(short, long, value_name = "LABEL", help_heading = SELECTION)]
    pub cell: Vec<String>,
    /// The reduced protocol of the experiment's [quick] table
    #[arg(long, help_heading = SELECTION)]
    pub quick: bool,
    /// Give a key of the experiment another value, such as protocol.contamination=0.05 (repeatable)
    #[arg(long, value_name = "KEY=VALUE", help_heading = SELECTION)]
    pub set: Vec<String>,
    /// A directory with data files, searched first [env: SEEDBED_DATA is searched next]
    #[arg(long, value_name = "DIR", help_heading = TRAINING)]
    pub data: Option<PathBuf>,
}

#[derive(Args)]
pub struct SplitOptions {
    #[command(flatten)]
    pub runs: Runs,
    /// Where the folders CELL/SEED go
    #[arg(long, value_name = "DIR", help_heading = OUTPUT)]
    pub to: PathBuf,
}

#[derive(Args)]
pub struct ScoreOptions {
    #[command(flatten)]
    pub runs: Runs,
    /// A file of scores for each run, with {cell} and {seed} in its path, such as
    /// 'DIR/{cell}/{seed}.npy'; .npy, .npz or .csv
    #[arg(long, value_name = "PATTERN")]
    pub scores: String,
    /// The same of the training rows, where the threshold ranks them
    #[arg(long, value_name = "PATTERN")]
    pub train_scores: Option<String>,
    /// Where records and tables go [default: results/scores; results where the experiment's model is
    /// 'scores']
    #[arg(short, long, value_name = "DIR", help_heading = OUTPUT)]
    pub out: Option<PathBuf>,
    /// Let these scores take the place of others that were judged before
    #[arg(long, help_heading = OUTPUT)]
    pub replace: bool,
    #[command(flatten)]
    pub tables: Tables,
    /// JSON on stdout
    #[arg(long, help_heading = OUTPUT)]
    pub json: bool,
}

impl Runs {
    /// Loads the experiment.
    ///
    /// # Errors
    /// As [`Experiment::load`].
    pub fn load(&self) -> Result<Experiment> {
        let selection = Selection {
            quick: self.quick,
            runs: self.runs,
            seeds: self.seeds.as_deref().map(parse_seeds).transpose()?,
            set: self.set.clone(),
        };
        Experiment::load(&self.experiment, &selection)
    }
}
