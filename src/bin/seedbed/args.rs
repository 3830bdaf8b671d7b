//! The command line: what its words are and what they come to. Texts that stand below the options are
//! `help`'s.
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};

use seedbed::dataset;
use seedbed::error::{Error, Result};
use seedbed::experiment::{self, Experiment, Selection, parse_seeds};
use seedbed::metrics::Metric;
use seedbed::paper::beside_shipped;
use seedbed::report::derive::Making;
use seedbed::schedule::devices::Devices;
use seedbed::summary::sequential;
use seedbed::text::nearest;

use crate::by_hand::{ScoreOptions, SplitOptions};
use crate::help;
use crate::output::Colour;
use crate::screen::{note, say};
use crate::table_options::TableOptions;

/// Headings of options in help texts.
pub const SELECTION: &str = "Selection";
pub const TRAINING: &str = "Training";
pub const DEVICES: &str = "Devices";
pub const OUTPUT: &str = "Output";

/// Does this paper's table reproduce? Trains every cell of an experiment under many seeds, keeps a
/// record of each run, and compares the tables with the published figures.
#[derive(Parser)]
#[command(name = "seedbed", version, long_version = help::LONG_VERSION, max_term_width = 100,
          after_help = help::PROGRAM)]
pub struct Cli {
    #[command(flatten)]
    pub voice: Voice,
    #[command(subcommand)]
    pub command: Command,
}

/// What `explain` is asked.
#[derive(Args)]
pub struct Explaining {
    /// The metric that is explained
    #[arg(long, value_name = "METRIC", default_value = "f1", help_heading = SELECTION, value_parser = metric)]
    pub metric: Metric,
    /// The cell whose distance from another is shared out [default: the first of the grid]
    #[arg(long, value_name = "CELL", help_heading = SELECTION)]
    pub from: Option<String>,
    /// The other [default: the last of a whole grid, the highest of a fraction]
    #[arg(long, value_name = "CELL", help_heading = SELECTION)]
    pub to: Option<String>,
}

/// Reads the name of a metric.
fn metric(name: &str) -> std::result::Result<Metric, String> {
    let known = Metric::ALL.map(Metric::as_str);
    let found = Metric::ALL.into_iter().find(|metric| metric.as_str() == name);
    found.ok_or_else(|| {
        format!("no metric of that name{}; there are: {}", nearest(name, &known), known.join(", "))
    })
}

/// How much is said, and how.
#[derive(Args)]
pub struct Voice {
    /// Say only what went wrong: no progress, no notes
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = OUTPUT)]
    pub quiet: bool,
    /// Also say each run that ended, on a terminal too
    #[arg(short, long, global = true, help_heading = OUTPUT)]
    pub verbose: bool,
    /// When texts are coloured [env: NO_COLOR, where it is auto]
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", help_heading = OUTPUT)]
    pub color: Colour,
}

#[derive(Subcommand)]
pub enum Command {
    /// Show what is stored, what is to run and why, and how long it will take
    #[command(after_help = help::PLAN)]
    Plan {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        training: Training,
        /// Instead: what as many runs can show about each published figure
        #[arg(long)]
        power: bool,
        /// With --power: this margin instead of those that the papers' files declare
        #[arg(long, value_name = "M", requires = "power", value_parser = margin)]
        margin: Option<f64>,
    },
    /// Train what is not stored, then write tables and report, and sum up how it compares
    #[command(after_help = help::RUN)]
    Run(RunArguments),
    /// The same on a Slurm cluster: submit an array of tasks that share the runs, and wait for it
    #[command(after_help = help::SLURM)]
    Slurm(SlurmArguments),
    /// Write every table that follows from the stored runs, and show the estimates
    #[command(after_help = help::TABLES)]
    Tables {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        tables: Tables,
        #[command(flatten)]
        source: Source,
    },
    /// Write comparison.csv, each mean beside the published figure, and show it
    #[command(after_help = help::COMPARE)]
    Compare {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        tables: Tables,
        #[command(flatten)]
        source: Source,
        /// Exit with 1 unless every judged figure is reproduced; with '=not-refuted' only when one is
        /// not reproduced
        #[arg(long, value_name = "LEVEL", num_args = 0..=1, require_equals = true,
              default_missing_value = "reproduced", help_heading = OUTPUT)]
        strict: Option<Strict>,
    },
    /// Say which readings of a paper reach which figure, and what each choice that it leaves open does
    #[command(after_help = help::EXPLAIN)]
    Explain {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        tables: Tables,
        #[command(flatten)]
        explaining: Explaining,
    },
    /// Write every table, and report.html, .md, .tex and .json beside the experiments' folders
    #[command(after_help = help::REPORT)]
    Report {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        tables: Tables,
        #[command(flatten)]
        source: Source,
        /// Where the report goes [default: where the results are]
        #[arg(long, value_name = "DIR", help_heading = OUTPUT)]
        to: Option<PathBuf>,
        /// Open report.html in this system's browser; no server is started
        #[arg(long, conflicts_with = "json", help_heading = OUTPUT)]
        open: bool,
    },
    /// Print one table for a paper: means ± std in rows and columns, beside published figures
    #[command(after_help = help::TABLE)]
    Table {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        source: Source,
        #[command(flatten)]
        layout: TableOptions,
    },
    /// Write the numbers of Markdown documents anew (the blocks that name a template of docs/templates),
    /// and the pictures of benchmarks
    Fill {
        /// Documents, as paths below the current folder; by default README.md, docs/*.md and the
        /// pictures beside results/width.csv and results/growth.csv
        #[arg(value_name = "DOCUMENT")]
        documents: Vec<String>,
        /// Change nothing; exit with 1 when a document is not what its files say
        #[arg(long)]
        check: bool,
    },
    /// Write results.lock, one line a run with its digest, and a root digest over all, to be signed
    Lock {
        /// Folders of --out; by default all that hold runs
        #[arg(value_name = "EXPERIMENT")]
        experiments: Vec<String>,
        #[arg(long, value_name = "DIR", default_value = "results")]
        out: PathBuf,
    },
    /// Train a sample of the stored runs again and compare, or (--lock) look for changed ones
    #[command(after_help = help::VERIFY)]
    Verify {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        training: Training,
        #[command(flatten)]
        verifying: Verifying,
        /// Instead: compare what is stored with DIR/results.lock; trains nothing
        #[arg(long, conflicts_with_all = ["sample", "against", "tolerance", "timeout"])]
        lock: bool,
    },
    /// Write the rows of runs, without labels, for who trains by hand: the folder that a program gets
    Split(SplitOptions),
    /// Judge scores that were made elsewhere by an experiment's splits, thresholds and figures
    #[command(after_help = help::SCORE)]
    Score(ScoreOptions),
    /// Hold published figures against each other, the data's counts, the flagging rule and test sets
    CheckFigures {
        /// Names of papers' files; by default all
        #[arg(value_name = "PAPER")]
        papers: Vec<String>,
        /// The folder with the papers' files [default: experiments/papers, and the shipped ones]
        #[arg(long = "papers", value_name = "DIR")]
        folder: Option<PathBuf>,
        /// JSON on stdout
        #[arg(long)]
        json: bool,
    },
    /// Write a commented experiment that runs as it is, as experiments/NAME.toml
    #[command(after_help = help::NEW)]
    New(NewArguments),
    /// Write a paper's file to fill in, as experiments/papers/NAME.toml
    NewPaper {
        /// Letters, digits, '-' and '_'
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Show the experiments, papers, data sets and methods that there are
    List {
        /// JSON on stdout
        #[arg(long)]
        json: bool,
    },
    /// Print the JSON schema of experiments' or papers' files, by which editors explain and check them
    Schema {
        /// Whose files
        of: SchemaOf,
    },
    /// Find, download and check data files
    #[command(after_help = help::DATA)]
    Data {
        #[command(subcommand)]
        command: DataCommand,
    },
    /// Show versions, devices and data, and the next step for each thing that is missing
    Doctor {
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
        #[arg(long)]
        json: bool,
    },
    /// Print what completes commands and options in a shell
    #[command(after_help = help::COMPLETIONS)]
    Completions {
        /// The shell that is to read it
        shell: clap_complete::Shell,
    },
    /// Print the manual page of seedbed or of a subcommand, or write all of them into a folder
    #[command(after_help = help::MAN)]
    Man {
        /// A subcommand [default: seedbed itself]
        #[arg(value_name = "SUBCOMMAND", conflicts_with = "to")]
        of: Option<String>,
        /// Write a page for seedbed and one for each subcommand here
        #[arg(long, value_name = "DIR", help_heading = OUTPUT)]
        to: Option<PathBuf>,
    },
    /// Time training steps of a cell and print them as JSON
    #[command(hide = true)]
    BenchStep(BenchOptions),
    /// Fit and score the job on stdin, for a method that needs no trainer
    #[command(hide = true, subcommand)]
    Fit(FitCommand),
}

#[derive(Args)]
pub struct NewArguments {
    /// Letters, digits, '-' and '_'; also the name of the folder of its results
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Begin as a copy of this experiment, which keeps its comparison with published figures
    #[arg(long, value_name = "EXPERIMENT", conflicts_with_all = ["command", "table"])]
    pub from: Option<String>,
    /// Its method is this program, such as 'python3 forest.py' [default: principal components]
    #[arg(long, value_name = "PROGRAM")]
    pub command: Option<String>,
    /// Its data are this table, whose label and classes are guessed [default: made-up rows]
    #[arg(long, value_name = "FILE")]
    pub table: Option<PathBuf>,
}

/// Whose schema.
#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
pub enum SchemaOf {
    /// experiments/NAME.toml
    Experiment,
    /// experiments/papers/NAME.toml
    Paper,
}

/// What `seedbed fit` does with the job on stdin.
#[derive(Subcommand)]
pub enum FitCommand {
    /// Write messages and records
    Run,
    /// Time its first run; the number of steps is the trainer's
    Time { steps: usize },
}

#[derive(Args, Clone)]
pub struct RunArguments {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub training: Training,
    #[command(flatten)]
    pub run: RunOptions,
    #[command(flatten)]
    pub alone: Alone,
    #[command(flatten)]
    pub looking: Looking,
    #[command(flatten)]
    pub tables: Tables,
}

#[derive(Args, Clone)]
pub struct SlurmArguments {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub training: Training,
    #[command(flatten)]
    pub run: RunOptions,
    #[command(flatten)]
    pub tables: Tables,
    #[command(flatten)]
    pub looking: Looking,
    #[command(flatten)]
    pub slurm: SlurmOptions,
}

/// When runs are looked at that are added until a verdict falls.
#[derive(Args, Clone)]
pub struct Looking {
    /// Add runs until every judged figure is decided: look at 5, 10, 20, 40 … of them, by bounds that hold
    /// for all looks together and are stored before the first run
    #[arg(long, help_heading = SELECTION, conflicts_with_all = ["runs", "seeds", "quick", "set"])]
    pub until_decided: bool,
    /// With --until-decided: this many runs of a cell at the most [default: 320]
    #[arg(long, value_name = "N", help_heading = SELECTION, requires = "until_decided")]
    pub max_runs: Option<usize>,
}

impl Looking {
    /// Runs of a cell at the most.
    pub fn most(&self) -> usize {
        self.max_runs.unwrap_or(sequential::MOST_RUNS)
    }
}

#[derive(Args, Clone)]
pub struct Common {
    /// Names (of experiments/NAME.toml, or of shipped experiments) or paths of experiment files
    #[arg(value_name = "EXPERIMENT")]
    pub experiments: Vec<String>,
    /// Where records and tables go [default: results, with --quick results/quick]
    #[arg(short, long, value_name = "DIR", help_heading = OUTPUT)]
    pub out: Option<PathBuf>,
    /// The reduced protocol of the experiment's [quick] table, which earns no verdict
    #[arg(long, help_heading = SELECTION)]
    pub quick: bool,
    /// Give a key of the experiment another value, such as training.epochs=25 (repeatable)
    #[arg(long, value_name = "KEY=VALUE", help_heading = SELECTION)]
    pub set: Vec<String>,
    /// JSON on stdout
    #[arg(long, help_heading = OUTPUT)]
    pub json: bool,
}

// its group would have the name of the subcommand's, which clap refuses in a debug build
#[derive(Args, Clone)]
#[group(skip)]
pub struct Tables {
    /// Resamples of each bootstrap interval; 0 leaves them out
    #[arg(long, value_name = "N", default_value_t = 10_000, help_heading = OUTPUT,
          value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub resamples: u32,
    /// Put runs that different versions of the code made into one table, which then says so; other
    /// commits of one protocol version and libtorch are one version
    #[arg(long, help_heading = OUTPUT)]
    pub mixed_code: bool,
}

impl Tables {
    /// Returns how tables are to be made.
    pub fn making(&self) -> Making {
        Making { resamples: self.resamples as usize, mixed_code: self.mixed_code, tell: say }
    }
}

#[derive(Args)]
pub struct Source {
    /// A runs.csv of any origin, instead of stored records; no table is written then
    #[arg(long, value_name = "FILE.csv", help_heading = SELECTION)]
    pub from: Option<PathBuf>,
    /// What --from was called
    #[arg(long = "runs", value_name = "FILE.csv", hide = true, conflicts_with = "from")]
    pub before: Option<PathBuf>,
}

impl Source {
    /// Returns the file that rows are read from; says where it was named in the old way.
    ///
    /// # Errors
    /// `Usage` for a number of runs: tables are of all runs that are stored.
    pub fn file(&self) -> Result<Option<&Path>> {
        let Some(before) = &self.before else { return Ok(self.from.as_deref()) };
        let shown = before.display();
        let is_number = before.to_str().is_some_and(|text| text.parse::<u64>().is_ok());
        if is_number && !before.exists() {
            return Err(Error::Usage(format!(
                "--runs {shown}: a table is of every run that is stored, so there is no number of runs to \
                 give; a file of runs is read with --from FILE.csv"
            )));
        }
        note(&format!(
            "--runs {shown} is now --from {shown}: --runs is a number of runs wherever it stands"
        ));
        Ok(Some(before))
    }
}

#[derive(Args, Clone)]
pub struct Training {
    /// How many runs: seeds 1 to N [default: as many as the experiment says]
    #[arg(short = 'n', long, value_name = "N", conflicts_with = "seeds", help_heading = SELECTION,
          value_parser = number_of_runs)]
    pub runs: Option<u64>,
    /// These seeds, such as 3,7-9
    #[arg(short, long, help_heading = SELECTION)]
    pub seeds: Option<String>,
    /// Only this cell and its controls (repeatable)
    #[arg(short, long, value_name = "LABEL", help_heading = SELECTION)]
    pub cell: Vec<String>,
    /// auto, cpu, cuda (every GPU) or cuda:0,1
    #[arg(short, long, default_value = "auto", help_heading = DEVICES)]
    pub device: String,
    /// Workers side by side on each device, and on the CPU the cores that runs share [default: one a
    /// core, one a GPU]
    #[arg(short = 'j', long, value_name = "N", help_heading = DEVICES,
          value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub slots: Option<u16>,
    /// Seeds that a worker trains together [default: 1 on a CPU, 20 on a GPU]
    #[arg(long, value_name = "N", help_heading = DEVICES,
          value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub width: Option<u16>,
    /// A directory with data files, searched first [env: SEEDBED_DATA is searched next]
    #[arg(long, value_name = "DIR", help_heading = TRAINING)]
    pub data: Option<PathBuf>,
    /// Run the programs that experiments name as their methods
    #[arg(long, help_heading = TRAINING)]
    pub allow_commands: bool,
    /// Every experiment of experiments/ and every shipped one; see also --available
    #[arg(long, conflicts_with = "experiments", help_heading = SELECTION)]
    pub all: bool,
}

#[derive(Args, Clone)]
pub struct RunOptions {
    /// Overwrite finished full runs that were made otherwise; their runs.csv is kept aside
    #[arg(long, help_heading = TRAINING)]
    pub replace: bool,
    /// Leave out experiments whose data can be neither found nor fetched, instead of failing
    #[arg(long, help_heading = TRAINING)]
    pub available: bool,
    /// Exit with 1 unless every judged figure is reproduced; with '=not-refuted' only when one is not
    /// reproduced
    #[arg(long, value_name = "LEVEL", num_args = 0..=1, require_equals = true,
          default_missing_value = "reproduced", help_heading = OUTPUT)]
    pub strict: Option<Strict>,
    /// End a worker that is silent for longer, and record its runs as timed-out
    #[arg(long, value_name = "SECONDS", help_heading = TRAINING,
          value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: Option<u64>,
    /// How often a run that crashed or timed out is tried again
    #[arg(long, value_name = "N", default_value_t = 2, help_heading = TRAINING,
          value_parser = clap::value_parser!(u32).range(0..=100))]
    pub retries: u32,
    /// End everything at the first run that fails
    #[arg(long, help_heading = TRAINING)]
    pub fail_fast: bool,
    /// Keep the scores of each run beside its record, as CELL/SEED.scores.npy
    #[arg(long, help_heading = TRAINING)]
    pub keep_scores: bool,
    /// Show the whole tables too, not only what they come to
    #[arg(long = "tables", help_heading = OUTPUT)]
    pub show_tables: bool,
}

/// What `run` has and an array of tasks has not.
#[derive(Args, Clone)]
pub struct Alone {
    /// Write pictures of the first seed, with reconstructions of images after these epochs and the
    /// last; a stored run is trained once more for them
    #[arg(long, value_name = "EPOCHS", num_args = 0..=1, require_equals = true,
          default_missing_value = "1,5,20", value_delimiter = ',', help_heading = TRAINING)]
    pub pictures: Option<Vec<u64>>,
    /// Write when each job started, advanced and ended, as JSON
    #[arg(long, value_name = "FILE", help_heading = OUTPUT)]
    pub record_schedule: Option<PathBuf>,
    /// Which stored runs are tried again beside those that may end otherwise: every failed one,
    /// also diverged and invalid-data
    #[arg(long, value_name = "WHICH", help_heading = TRAINING)]
    pub retry: Option<Retry>,
    /// Train what no other process has, then end: wait for nobody's runs, write no tables
    #[arg(long, help_heading = TRAINING,
          conflicts_with_all = ["strict", "json", "resamples", "show_tables"])]
    pub train_only: bool,
}

/// What a gate asks of judged figures.
#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
pub enum Strict {
    /// Every one is reproduced
    Reproduced,
    /// None is not reproduced
    NotRefuted,
}

#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
pub enum Retry {
    Failed,
}

#[derive(Args, Clone)]
pub struct SlurmOptions {
    /// Tasks of the array, each with --slots workers (1, or the cores of a run) and as many cores
    /// [default: as many as there is work for, at most 8]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub array_size: Option<u32>,
    /// As sbatch has it
    #[arg(long, value_name = "NAMES")]
    pub partition: Option<String>,
    /// As sbatch has it, such as gpu:1; with a GPU, --device auto means cuda
    #[arg(long, value_name = "LIST")]
    pub gres: Option<String>,
    /// Time limit of a task, as sbatch has it; longer than the longest run
    #[arg(long, value_name = "TIME")]
    pub time: Option<String>,
    /// How often what was cut off is submitted again, while runs advance
    #[arg(long, value_name = "N", default_value_t = 10,
          value_parser = clap::value_parser!(u32).range(0..=10_000))]
    pub resubmit: u32,
    /// Submit, print the array's number, and wait for nothing
    #[arg(long)]
    pub detach: bool,
    /// Instead: cancel what the queue has of these experiments
    #[arg(long, conflicts_with_all = ["detach", "print"])]
    pub cancel: bool,
    /// Instead: print the script for sbatch
    #[arg(long, conflicts_with = "detach")]
    pub print: bool,
    /// Any further option of sbatch, as --name=value, after --
    #[arg(last = true, value_name = "SBATCH OPTION")]
    pub sbatch: Vec<String>,
}

#[derive(Args)]
pub struct Verifying {
    /// Runs of each cell; which, docs/verification.md says
    #[arg(long, value_name = "K", default_value_t = 1, conflicts_with_all = ["seeds", "runs"],
          value_parser = clap::value_parser!(u32).range(1..))]
    pub sample: u32,
    /// Compare with the runs.csv of a published folder, whether records lie beside it or not
    #[arg(long, value_name = "DIR", conflicts_with = "out")]
    pub against: Option<PathBuf>,
    /// How far a metric may lie from its stored value where bits cannot be expected to agree
    #[arg(long, value_name = "T", default_value_t = seedbed::summary::rerun::TOLERANCE, value_parser = tolerance)]
    pub tolerance: f64,
    /// End a worker that is silent for longer
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: Option<u64>,
}

#[derive(Args)]
pub struct BenchOptions {
    pub experiment: String,
    /// The cell; by default the first
    #[arg(long, value_name = "LABEL")]
    pub cell: Option<String>,
    #[arg(long, default_value_t = 1)]
    pub width: usize,
    #[arg(long, default_value_t = 100)]
    pub steps: usize,
    #[arg(long, default_value = "cpu")]
    pub device: String,
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

#[derive(Subcommand)]
pub enum DataCommand {
    /// List the data files and where they were found
    List(DataOptions),
    /// Download a data set's files, into the user's cache directory unless --data names another
    Fetch {
        /// The data set: kddcup or mnist
        name: String,
        #[command(flatten)]
        options: DataOptions,
    },
    /// Read every data file that is found, and compare its digest
    Check(DataOptions),
}

#[derive(Args)]
pub struct DataOptions {
    /// A directory with data files, searched first
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    #[arg(long)]
    pub json: bool,
}

/// Reads what `--runs N` takes.
fn number_of_runs(text: &str) -> std::result::Result<u64, String> {
    text.parse().map_err(|_| {
        let file = match text.contains(['.', '/']) {
            true => {
                "; a runs.csv is read by 'seedbed tables', 'compare' and 'report --from FILE.csv'"
            }
            false => "",
        };
        format!("must be a whole number of runs, such as 20{file}")
    })
}

fn margin(text: &str) -> std::result::Result<f64, String> {
    match text.parse::<f64>() {
        Ok(margin) if margin > 0.0 && margin <= 1.0 => Ok(margin),
        Ok(_) | Err(_) => Err("must be a number above 0 and up to 1, such as 0.02".to_owned()),
    }
}

fn tolerance(text: &str) -> std::result::Result<f64, String> {
    match text.parse::<f64>() {
        Ok(tolerance) if (0.0..=1.0).contains(&tolerance) => Ok(tolerance),
        Ok(_) | Err(_) => Err("must be a number from 0 to 1, such as 0.005".to_owned()),
    }
}

impl Training {
    /// Finds the devices that are asked for.
    ///
    /// # Errors
    /// As [`Devices::find`].
    pub fn devices(&self) -> Result<Devices> {
        Devices::find(&self.device, self.slots.map(usize::from), self.width.map(usize::from))
    }

    /// Lists the folders where jobs search data files.
    ///
    /// # Errors
    /// As [`searched`].
    pub fn search(&self) -> Result<Vec<PathBuf>> {
        searched(self.data.as_deref())
    }
}

/// Lists the folders where jobs search data files. A job goes to the trainer as JSON, which holds UTF-8
/// alone.
///
/// # Errors
/// `Usage` for a folder whose name is not UTF-8, with what names it.
pub fn searched(data: Option<&Path>) -> Result<Vec<PathBuf>> {
    let search = dataset::search_path(data);
    let Some(folder) = search.iter().find(|folder| folder.to_str().is_none()) else {
        return Ok(search);
    };
    let variable = std::env::var_os("SEEDBED_DATA").map(PathBuf::from);
    let named_by = match folder {
        _ if data == Some(folder) => "--data",
        _ if variable.as_ref() == Some(folder) => "SEEDBED_DATA",
        _ => "the user's cache folder (HOME or XDG_CACHE_HOME)",
    };
    Err(Error::Usage(format!(
        "{named_by}: {} is not UTF-8, so a trainer cannot be told of it; give it another name, or \
         a link with one",
        folder.display()
    )))
}

/// Says where a file on disk is taken that differs from the shipped one of its name.
pub fn tell_beside_shipped(experiment: &Experiment) {
    let folder = experiment.papers_folder();
    let papers = experiment.papers.iter().filter_map(|name| beside_shipped(&folder, name));
    experiment.beside_shipped().into_iter().chain(papers).for_each(|note| say(&note));
}

impl Common {
    /// Returns the words for what is stored, without any name.
    pub fn of_stored(quick: bool) -> Self {
        Self { experiments: Vec::new(), out: None, quick, set: Vec::new(), json: false }
    }

    /// Returns the folder of results.
    pub fn out(&self) -> PathBuf {
        let default = if self.quick { "results/quick" } else { "results" };
        self.out.clone().unwrap_or_else(|| default.into())
    }

    /// Loads the experiments that are named.
    ///
    /// # Errors
    /// `Usage` where none is named, or one twice, and as [`Experiment::load`].
    pub fn load(&self, training: Option<&Training>) -> Result<Vec<Experiment>> {
        let seeds = training.and_then(|training| training.seeds.as_deref());
        let selection = Selection {
            quick: self.quick,
            runs: training.and_then(|training| training.runs),
            seeds: seeds.map(parse_seeds).transpose()?,
            set: self.set.clone(),
        };
        let all = training.is_some_and(|training| training.all);
        let names = if all { experiment::names() } else { self.experiments.clone() };
        if names.is_empty() {
            return Err(Error::Usage(
                "name one experiment or more: a NAME of experiments/NAME.toml or of a shipped \
                 experiment ('seedbed list' has them), or a path"
                    .to_owned(),
            ));
        }
        let mut experiments: Vec<Experiment> = Vec::new();
        for name in &names {
            let experiment = Experiment::load(name, &selection)?;
            tell_beside_shipped(&experiment);
            if experiments.iter().any(|known| known.name == experiment.name) {
                return Err(Error::Usage(format!(
                    "experiment '{}' is named twice",
                    experiment.name
                )));
            }
            experiments.push(experiment);
        }
        Ok(experiments)
    }
}
