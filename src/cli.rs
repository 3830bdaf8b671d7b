//! The command line: one function a subcommand. stdout is data, stderr is progress.
//! Exit codes: 0 done, 1 some run failed (or, with --strict, a figure did not reproduce),
//! 2 usage or configuration, 3 data missing or wrong, 130 interrupted.
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use serde::Serialize;
use serde_json::{Value, json};

use seedbed::dataset::fetch::{self, Options};
use seedbed::dataset::{self, DataFile, FileState};
use seedbed::error::{Error, Result};
use seedbed::experiment::{Cell, Experiment, Selection, parse_seeds};
use seedbed::paper::{self, Paper};
use seedbed::report::{csv, terminal};
use seedbed::run::{Digests, Job, PROTOCOL_VERSION, Pictures, Provenance, Record, State};
use seedbed::schedule::{self, Death, Event, Slot};
use seedbed::store::{self, Store};
use seedbed::summary::{self, Comparison, Row, Verdict};
use seedbed::{device, doctor, libtorch};

use crate::derived::Derived;
use crate::plan::{Estimate, Plan, Source, duration};
use crate::progress::Progress;
use crate::worker::{self, Workers};

/// Seeds that train together in one job, where --width does not say.
const WIDTH_CPU: usize = 1;
const WIDTH_CUDA: usize = 20;
/// Steps that `plan` times where nothing is stored to go by.
const CALIBRATION_STEPS: usize = 20;
/// A mirror's longest silence for `run --available`, which is not to wait for a dead network.
const AVAILABLE_TIMEOUT: Duration = Duration::from_secs(10);

/// Set by the first Ctrl-C, or by an error that ends everything.
static STOP: AtomicBool = AtomicBool::new(false);
/// Set by the first Ctrl-C only.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

const INTERRUPT_CODE: u8 = 130;

/// Does this paper's table reproduce? Trains every cell of an experiment under many seeds, keeps a
/// record of each run, and compares the tables with the published figures.
#[derive(Parser)]
#[command(name = "seedbed", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show what is stored, what is to run and why, and how long it will take
    Plan {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        training: Training,
    },
    /// Train what is not stored, then write and show the tables and the comparison
    Run {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        training: Training,
        #[command(flatten)]
        run: RunOptions,
    },
    /// Write runs.csv and summary.csv from the stored records, and show the summary
    Tables {
        #[command(flatten)]
        common: Common,
    },
    /// Write comparison.csv, each mean beside the published figure, and show it
    Compare {
        #[command(flatten)]
        common: Common,
        /// A runs.csv of any origin, instead of stored records; nothing is written then
        #[arg(long, value_name = "FILE.csv")]
        runs: Option<PathBuf>,
        /// Exit with 1 when a figure did not reproduce
        #[arg(long)]
        strict: bool,
    },
    /// Find, download and check data files
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
    /// Run one job from stdin (for seedbed itself)
    #[command(hide = true)]
    Worker {
        #[arg(long)]
        steps: Option<usize>,
    },
    /// Time training steps of a cell and print them as JSON
    #[command(hide = true)]
    BenchStep {
        experiment: String,
        /// The cell; by default the first
        #[arg(long, value_name = "LABEL")]
        cell: Option<String>,
        #[arg(long, default_value_t = 1)]
        width: usize,
        #[arg(long, default_value_t = 100)]
        steps: usize,
        #[arg(long, default_value = "cpu")]
        device: String,
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
        #[arg(long, value_name = "KEY=VALUE")]
        set: Vec<String>,
    },
}

#[derive(Args)]
struct Common {
    /// Names (of experiments/NAME.toml) or paths of experiment files
    #[arg(required = true, value_name = "EXPERIMENT")]
    experiments: Vec<String>,
    /// Where records and tables go [default: results, with --quick results/quick]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// The reduced protocol of the experiment's [quick] table
    #[arg(long)]
    quick: bool,
    /// Give a key of the experiment another value, such as training.epochs=25 (repeatable)
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// JSON on stdout
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct Training {
    /// Seeds 1 to N, instead of as many as the experiment says
    #[arg(long, value_name = "N", conflicts_with = "seeds")]
    runs: Option<u64>,
    /// These seeds, such as 3,7-9
    #[arg(long)]
    seeds: Option<String>,
    /// Only this cell and its controls (repeatable)
    #[arg(long, value_name = "LABEL")]
    cell: Vec<String>,
    /// auto, cpu, cuda (every GPU) or cuda:0,1
    #[arg(long, default_value = "auto")]
    device: String,
    /// Workers side by side on each device [default: one a core, one a GPU]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    slots: Option<u16>,
    /// Seeds that a worker trains together [default: 1 on a CPU, 20 on a GPU]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    width: Option<u16>,
    /// A directory with data files, searched first
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

#[derive(Args)]
struct RunOptions {
    /// Overwrite finished full runs that were made otherwise
    #[arg(long)]
    replace: bool,
    /// Leave out experiments whose data can be neither found nor fetched, instead of failing
    #[arg(long)]
    available: bool,
    /// Exit with 1 when a figure did not reproduce
    #[arg(long)]
    strict: bool,
    /// Write pictures of the first seed, with reconstructions of images after these epochs and the
    /// last; a stored run is trained once more for them
    #[arg(long, value_name = "EPOCHS", num_args = 0..=1, require_equals = true,
          default_missing_value = "1,5,20", value_delimiter = ',')]
    pictures: Option<Vec<u64>>,
    /// End a worker that is silent for longer, and record its runs as timed-out
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    timeout: Option<u64>,
}

#[derive(Subcommand)]
enum DataCommand {
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
struct DataOptions {
    /// A directory with data files, searched first
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    #[arg(long)]
    json: bool,
}

/// Parses the command line, does what it says, and reports an error on stderr.
pub fn main() -> ExitCode {
    match dispatch(Cli::parse().command) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn dispatch(command: Command) -> Result<u8> {
    match command {
        Command::Plan { common, training } => plan(&common, &training),
        Command::Run { common, training, run } => self::run(&common, &training, &run),
        Command::Tables { common } => tables(&common),
        Command::Compare { common, runs, strict } => compare(&common, runs.as_deref(), strict),
        Command::Data { command } => data(&command),
        Command::Doctor { data, json } => doctor(data.as_deref(), json),
        Command::Worker { steps } => {
            libtorch::load_cuda();
            worker::serve(steps).map(|()| 0)
        }
        Command::BenchStep { experiment, cell, width, steps, device, data, set } => {
            let selection = Selection { set, ..Selection::default() };
            let experiment = Experiment::load(&experiment, &selection)?;
            bench_step(&experiment, cell, width, steps, &device, data.as_deref())
        }
    }
}

impl Common {
    fn out(&self) -> PathBuf {
        let default = if self.quick { "results/quick" } else { "results" };
        self.out.clone().unwrap_or_else(|| default.into())
    }

    fn load(&self, training: Option<&Training>) -> Result<Vec<Experiment>> {
        let seeds = training.and_then(|training| training.seeds.as_deref());
        let selection = Selection {
            quick: self.quick,
            runs: training.and_then(|training| training.runs),
            seeds: seeds.map(parse_seeds).transpose()?,
            set: self.set.clone(),
        };
        let mut experiments: Vec<Experiment> = Vec::new();
        for name in &self.experiments {
            let experiment = Experiment::load(name, &selection)?;
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

/// Where jobs run: the device kind and the slots on its devices.
struct Devices {
    kind: &'static str,
    slots: Vec<Slot>,
    width: usize,
}

impl Training {
    fn devices(&self) -> Result<Devices> {
        let names = device_names(&self.device)?;
        let kind = if names[0].starts_with("cuda") { "cuda" } else { "cpu" };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let (slots, width) = match kind {
            "cuda" => (1, WIDTH_CUDA),
            _ => (cores, WIDTH_CPU),
        };
        let slots = self.slots.map_or(slots, usize::from);
        let places = names.iter().flat_map(|name| vec![name.clone(); slots]);
        let slots = places.enumerate().map(|(index, device)| Slot { device, index }).collect();
        Ok(Devices { kind, slots, width: self.width.map_or(width, usize::from) })
    }
}

/// `auto`, `cpu`, `cuda` or `cuda:0,1` → the devices' own names, each checked to be here.
fn device_names(asked: &str) -> Result<Vec<String>> {
    if asked == "cpu" {
        return Ok(vec!["cpu".to_owned()]);
    }
    let here = libtorch::devices();
    let cuda: Vec<String> = here
        .into_iter()
        .map(|device| device.name)
        .filter(|name| name.starts_with("cuda"))
        .collect();
    match asked {
        "auto" if cuda.is_empty() => Ok(vec!["cpu".to_owned()]),
        "auto" => Ok(cuda),
        "cuda" if !cuda.is_empty() => Ok(cuda),
        _ => {
            let numbers = asked.strip_prefix("cuda:").unwrap_or("0").split(',');
            let names: Vec<String> = numbers.map(|number| format!("cuda:{number}")).collect();
            let named_cuda = asked == "cuda" || asked.starts_with("cuda:");
            match names.iter().find(|name| !cuda.contains(name)) {
                None if named_cuda => Ok(names),
                Some(name) if named_cuda => Err(Error::Usage(format!(
                    "--device {asked}: there is no {name} here; run 'seedbed doctor'"
                ))),
                Some(_) | None => Err(Error::Usage(format!(
                    "--device {asked}: write auto, cpu, cuda or cuda:0,1"
                ))),
            }
        }
    }
}

fn plans(common: &Common, training: &Training, kind: &'static str) -> Result<Vec<Plan>> {
    let mut plans = Vec::new();
    for experiment in common.load(Some(training))? {
        let cells = experiment.select(&training.cell)?;
        plans.push(Plan::new(experiment, cells, &common.out(), kind)?);
    }
    Ok(plans)
}

fn plan(common: &Common, training: &Training) -> Result<u8> {
    let devices = training.devices()?;
    let search = dataset::search_path(training.data.as_deref());
    let plans = plans(common, training, devices.kind)?;
    let mut expected = Vec::new();
    let mut missing = Vec::new();
    for plan in &plans {
        let mut estimates = plan.estimates();
        match plan.check_data(&search) {
            Ok(()) => plan.calibrate(&mut estimates, devices.width, &search, &|job| {
                let job = Job { device: devices.slots[0].device.clone(), ..job.clone() };
                eprintln!("timing {CALIBRATION_STEPS} steps of {} {}", job.experiment, job.label());
                worker::calibrate(&job, CALIBRATION_STEPS)
            })?,
            Err(error) => missing.push(error.to_string()),
        }
        expected.push(estimates);
    }
    if common.json {
        let all: Vec<_> = plans.iter().zip(&expected).map(|(plan, e)| plan.json(e)).collect();
        let seconds = total_seconds(&plans, &expected, &devices);
        print_json(&json!({"experiments": all, "seconds": seconds, "notes": missing}))?;
        return Ok(0);
    }
    for plan in &plans {
        print(&plan.table())?;
        if let Err(error) = plan.check_replaced() {
            print(&format!("  note: {error}\n"))?;
        }
    }
    for error in missing {
        print(&format!("note: {error}\n"))?;
    }
    print(&format!("{}\n", outlook(&plans, &expected, &devices)))?;
    Ok(0)
}

/// `45 runs in about 3 h 05 min on 2 cpu workers (from a calibration of 20 steps)`
fn outlook(plans: &[Plan], expected: &[Vec<Estimate>], devices: &Devices) -> String {
    let count: usize = plans.iter().map(Plan::to_run).sum();
    if count == 0 {
        return "nothing to run: every run is stored".to_owned();
    }
    let used: Vec<Source> = plans
        .iter()
        .zip(expected)
        .flat_map(|(plan, estimates)| plan.cells.iter().zip(estimates))
        .filter(|(cell, _)| !cell.seeds_to_run().is_empty())
        .filter_map(|(_, estimate)| estimate.map(|(_, source)| source))
        .collect();
    let sources = [
        (Source::Cell, "stored runs of the same cell".to_owned()),
        (Source::OtherCells, "stored runs of another cell".to_owned()),
        (Source::Calibration, format!("a calibration of {CALIBRATION_STEPS} steps")),
    ];
    let from: Vec<String> =
        sources.into_iter().filter(|(source, _)| used.contains(source)).map(|(_, t)| t).collect();
    let (slots, kind, width) = (devices.slots.len(), devices.kind, devices.width);
    let workers = format!("{slots} {kind} worker(s), up to {width} seeds together");
    match total_seconds(plans, expected, devices) {
        Some(seconds) => {
            let from = from.join(" and ");
            format!("{count} runs in about {} on {workers} (from {from})", duration(seconds))
        }
        None => format!("{count} runs on {workers}; the time is unknown without the data"),
    }
}

fn total_seconds(plans: &[Plan], expected: &[Vec<Estimate>], devices: &Devices) -> Option<f64> {
    let mut seconds = Vec::new();
    for (plan, estimates) in plans.iter().zip(expected) {
        for (cells, job) in plan.jobs(devices.width, &[]) {
            let each = cells.iter().map(|&cell| estimates[cell].map(|(seconds, _)| seconds));
            seconds.push(each.sum::<Option<f64>>()? * job.seeds.len() as f64);
        }
    }
    seconds.sort_by(|a, b| b.total_cmp(a));
    Some(schedule::makespan(vec![0.0; devices.slots.len()], seconds))
}

fn run(common: &Common, training: &Training, options: &RunOptions) -> Result<u8> {
    let devices = training.devices()?;
    let search = dataset::search_path(training.data.as_deref());
    let mut plans = plans(common, training, devices.kind)?;
    let papers =
        plans.iter().map(|plan| papers_of(&plan.experiment)).collect::<Result<Vec<_>>>()?;
    for plan in &mut plans {
        let (folder, seed) = (plan.store.dir().to_owned(), plan.experiment.seeds[0]);
        plan.pictures = options.pictures.clone().map(|epochs| Pictures { seed, folder, epochs });
    }
    let mut left_out = Vec::new();
    if options.available {
        fetch_missing(&plans, &search);
    }
    let mut kept = Vec::new();
    for (plan, papers) in plans.drain(..).zip(papers) {
        let checked = plan.check_data(&search);
        let checked = checked
            .and_then(|()| if options.available { plan.check_bytes(&search) } else { Ok(()) });
        match checked {
            Err(error) if options.available => left_out.push((plan.experiment.name, error)),
            Err(error) => return Err(error),
            Ok(()) => kept.push((plan, papers)),
        }
    }
    for (plan, _) in kept.iter().filter(|_| !options.replace) {
        plan.check_replaced()?;
    }
    let out = common.out();
    let plans: Vec<&Plan> = kept.iter().map(|(plan, _)| plan).collect();
    train(&plans, &devices, &search, &out, options.timeout.map(Duration::from_secs))?;
    if INTERRUPTED.load(Ordering::SeqCst) {
        return Ok(interrupted(&plans));
    }
    let mut code = 0;
    let mut documents = Vec::new();
    for (plan, papers) in &kept {
        let derived = Derived::new(&plan.experiment, &out)?;
        derived.write_tables()?;
        code = code.max(u8::from(derived.rows.iter().any(|row| row.state != State::Ok)));
        let mut shown = summary_shown(&derived);
        if !papers.is_empty() {
            let comparisons = derived.write_comparison(papers)?;
            code = code.max(strict_code(options.strict, &comparisons));
            shown.add(comparison_shown(&comparisons, papers, &derived.from()));
        }
        shown.print(common.json, &mut documents)?;
    }
    print_documents(common.json, documents)?;
    for (name, error) in &left_out {
        eprintln!("left out: {name}: {error}");
    }
    Ok(code)
}

/// What one experiment has to say on stdout: for people, and as fields for programs.
struct Shown {
    text: String,
    fields: serde_json::Map<String, Value>,
}

impl Shown {
    fn new(text: String, fields: [(&str, Value); 2]) -> Self {
        let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Self { text, fields }
    }

    fn add(&mut self, other: Self) {
        self.text.push_str(&other.text);
        self.fields.extend(other.fields);
    }

    /// Text goes out at once; JSON waits to be one document with that of other experiments.
    fn print(self, json: bool, documents: &mut Vec<Value>) -> Result<()> {
        if json {
            documents.push(Value::Object(self.fields));
            return Ok(());
        }
        print(&self.text)
    }
}

/// The summary of an experiment, with the ceiling that a made-up data set has.
fn summary_shown(derived: &Derived) -> Shown {
    let table = terminal::summary_table(&derived.summaries, &derived.from(), colour());
    let ceiling = derived.best_auroc.map_or(String::new(), |best| {
        format!("no score can have an expected auroc above {best:.4} on these made-up rows\n")
    });
    let Experiment { name, title, .. } = derived.experiment;
    let fields = [("experiment", json!(name)), ("summary", json!(derived.summaries))];
    Shown::new(format!("{title}\n{table}{ceiling}\n"), fields)
}

fn print_documents(json: bool, documents: Vec<Value>) -> Result<()> {
    if json { print_json(&documents) } else { Ok(()) }
}

fn strict_code(strict: bool, comparisons: &[Comparison]) -> u8 {
    let failed = |one: &Comparison| one.verdict == Verdict::NotReproduced && !one.null_model;
    u8::from(strict && comparisons.iter().any(failed))
}

fn interrupted(plans: &[&Plan]) -> u8 {
    let arguments: Vec<String> = std::env::args().collect();
    let dirs: Vec<String> =
        plans.iter().map(|plan| plan.store.dir().display().to_string()).collect();
    eprintln!(
        "interrupted; finished runs are kept in {}; continue with: {}",
        dirs.join(" "),
        arguments.join(" ")
    );
    INTERRUPT_CODE
}

/// Trains what the plans miss and stores the records as they come.
fn train(
    plans: &[&Plan],
    devices: &Devices,
    search: &[PathBuf],
    out: &Path,
    timeout: Option<Duration>,
) -> Result<()> {
    let (jobs, in_seconds) = weighted_jobs(plans, devices.width, search);
    if jobs.is_empty() {
        eprintln!("nothing to run: every run is stored");
        return Ok(());
    }
    let count: usize = jobs.iter().map(|(job, _)| job.runs()).sum();
    let (slots, kind) = (devices.slots.len(), devices.kind);
    eprintln!("{count} runs in {} jobs on {slots} {kind} worker(s)", jobs.len());
    catch_interrupts()?;
    let workers = Workers { out, timeout, stop: &STOP };
    let mut progress = Progress::new(slots, &jobs, in_seconds);
    let result = schedule::run(
        &devices.slots,
        jobs,
        &STOP,
        |_, job, emit| workers.execute(job, emit),
        &mut |event| {
            for record in records_of(&event, plans, devices.kind) {
                if let Some(stored) = stored(plans, &record) {
                    // it was trained once more for its pictures alone
                    if record.state == State::Ok && stored.digests != record.digests {
                        progress.say(&otherwise(&record));
                    }
                    continue;
                }
                if let Some(aside) = Store::open(out, &record.experiment).put(&record)? {
                    progress.say(&format!("kept what was no record as {}", aside.display()));
                }
            }
            progress.show(&event);
            Ok(())
        },
    );
    progress.close();
    result
}

/// The record in whose place this one would come.
fn stored<'a>(plans: &[&'a Plan], record: &Record) -> Option<&'a Record> {
    let plan = plans.iter().find(|plan| plan.experiment.name == record.experiment)?;
    plan.stored(&record.cell.label, record.seed)
}

fn otherwise(record: &Record) -> String {
    format!(
        "{} {} seed {} came out otherwise than its record, which stays: the pictures are not of it \
         (another libtorch, processor or batch width)",
        record.experiment, record.cell.label, record.seed
    )
}

/// Jobs with their weights: expected seconds if all are known, else epochs.
fn weighted_jobs(plans: &[&Plan], width: usize, data: &[PathBuf]) -> (Vec<(Job, f64)>, bool) {
    let mut timed = Vec::new();
    let mut in_seconds = true;
    for plan in plans {
        let estimates = plan.estimates();
        for (cells, job) in plan.jobs(width, data) {
            let each = cells.iter().map(|&cell| estimates[cell].map(|(seconds, _)| seconds));
            let seconds = each.sum::<Option<f64>>();
            in_seconds &= seconds.is_some();
            timed.push((seconds, job));
        }
    }
    let weight = |(seconds, job): (Option<f64>, Job)| {
        let epochs = (job.cell().training.epochs + 1) as f64;
        let one = seconds.filter(|_| in_seconds).unwrap_or(epochs);
        let together = job.seeds.len() as f64;
        (job, one * together)
    };
    (timed.into_iter().map(weight).collect(), in_seconds)
}

/// What an event leaves in the store.
fn records_of(event: &Event, plans: &[&Plan], kind: &str) -> Vec<Record> {
    match event {
        Event::Record { slot: _, record } => vec![(**record).clone()],
        Event::Lost { slot: _, job, death } => {
            let runs = job.cells.iter().flat_map(|c| job.seeds.iter().map(move |seed| (c, *seed)));
            runs.map(|run| lost_record(job, run, death, plans, kind)).collect()
        }
        Event::Started { .. }
        | Event::Progress { .. }
        | Event::Warning { .. }
        | Event::Retry { .. }
        | Event::Finished { .. } => Vec::new(),
    }
}

/// The record of a run whose worker could not write one.
fn lost_record(
    job: &Job,
    (cell, seed): (&Cell, u64),
    death: &Death,
    plans: &[&Plan],
    kind: &str,
) -> Record {
    let planned = plans
        .iter()
        .filter(|plan| plan.experiment.name == job.experiment)
        .flat_map(|plan| &plan.cells)
        .find(|planned| planned.cell.label == cell.label);
    let data = planned.map(|planned| planned.data_sha256.clone()).unwrap_or_default();
    // a device that was found before the first job has a provenance
    let provenance = device::parse(&job.device).map(device::provenance).unwrap_or_default();
    Record {
        experiment: job.experiment.clone(),
        cell: cell.clone(),
        seed,
        scale: job.scale,
        key: store::key(cell, seed, &data, PROTOCOL_VERSION, kind),
        protocol_version: PROTOCOL_VERSION,
        device_kind: kind.to_owned(),
        state: death.state,
        failure: Some(death.why.clone()),
        counts: None,
        metrics: None,
        threshold: None,
        diagnostics: Default::default(),
        epochs: 0,
        loss_curve: Vec::new(),
        loss_terms: Vec::new(),
        digests: Digests { data, ..Digests::default() },
        batch_width: job.seeds.len(),
        // a worker has one thread, whatever this process has
        provenance: Provenance { threads: 1, ..provenance },
        wall_seconds: 0.0,
    }
}

fn catch_interrupts() -> Result<()> {
    ctrlc::set_handler(|| {
        if INTERRUPTED.swap(true, Ordering::SeqCst) {
            // the workers end with this process: it holds their stdin
            std::process::exit(i32::from(INTERRUPT_CODE));
        }
        STOP.store(true, Ordering::SeqCst);
        eprintln!("stopping; once more stops at once");
    })
    .map_err(|error| Error::Failed(format!("cannot listen for Ctrl-C: {error}")))
}

/// Tries to download what the plans need and no place has. A failure is told and not an error: the
/// experiment is then left out.
fn fetch_missing(plans: &[Plan], search: &[PathBuf]) {
    let mut failed: Vec<&str> = Vec::new();
    for plan in plans.iter().filter(|plan| plan.check_data(search).is_err()) {
        for file in plan.cells.iter().flat_map(|planned| planned.cell.dataset.files()) {
            let nowhere = file.urls.is_empty() || failed.contains(&file.dataset);
            if nowhere || dataset::find(&file, search).is_some() {
                continue;
            }
            let fetched = Options::from_env().and_then(|options| {
                let timeout = options.timeout.min(AVAILABLE_TIMEOUT);
                fetch_file(&file, None, &Options { timeout, ..options })
            });
            if let Err(error) = fetched {
                eprintln!("{error}");
                failed.push(file.dataset);
            }
        }
    }
}

fn fetch_file(file: &DataFile, into: Option<&Path>, options: &Options) -> Result<PathBuf> {
    let into = into.map(Path::to_owned).or_else(dataset::cache).ok_or_else(|| {
        Error::Usage("there is no cache directory for this user; name one with --data".to_owned())
    })?;
    eprintln!("fetching {} ({:.1} MB) into {}", file.name, megabytes(file.bytes), into.display());
    let bar = indicatif::ProgressBar::new(file.bytes);
    let path = fetch::fetch(file, &into, options, &|done, total| {
        bar.set_length(total.unwrap_or(file.bytes));
        bar.set_position(done);
    });
    bar.finish_and_clear();
    path
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

fn papers_of(experiment: &Experiment) -> Result<Vec<Paper>> {
    let folder = experiment.papers_folder();
    experiment.papers.iter().map(|name| paper::load(&folder, name)).collect()
}

fn tables(common: &Common) -> Result<u8> {
    let mut documents = Vec::new();
    for experiment in common.load(None)? {
        let derived = Derived::new(&experiment, &common.out())?;
        derived.require_rows()?;
        derived.write_tables()?;
        summary_shown(&derived).print(common.json, &mut documents)?;
    }
    print_documents(common.json, documents)?;
    Ok(0)
}

/// The rows of one experiment in a `runs.csv` of any origin.
fn rows_in(file: &Path, experiment: &str) -> Result<Vec<Row>> {
    let rows = csv::read_runs(file)?;
    let mut others: Vec<&str> = rows.iter().map(|row| row.experiment.as_str()).collect();
    others.dedup();
    if !others.is_empty() && !others.contains(&experiment) {
        let others = others.join(", ");
        return Err(Error::Data(format!(
            "{} has no run of experiment '{experiment}', only of {others}",
            file.display()
        )));
    }
    Ok(rows.into_iter().filter(|row| row.experiment == experiment).collect())
}

fn compare(common: &Common, runs: Option<&Path>, strict: bool) -> Result<u8> {
    let mut code = 0;
    let mut documents = Vec::new();
    for experiment in common.load(None)? {
        let papers = papers_of(&experiment)?;
        if papers.is_empty() {
            eprintln!("{} names no paper, so there is nothing to compare it with", experiment.name);
            continue;
        }
        let (comparisons, from) = match runs {
            Some(file) => {
                let rows = rows_in(file, &experiment.name)?;
                let summaries = summary::summarise(&rows)?;
                let of = |paper| summary::compare(&summaries, paper, &experiment.name);
                (papers.iter().flat_map(of).collect(), file.display().to_string())
            }
            None => {
                let derived = Derived::new(&experiment, &common.out())?;
                derived.require_rows()?;
                (derived.write_comparison(&papers)?, derived.from())
            }
        };
        comparison_shown(&comparisons, &papers, &from).print(common.json, &mut documents)?;
        code = code.max(strict_code(strict, &comparisons));
    }
    print_documents(common.json, documents)?;
    Ok(code)
}

/// One table a paper.
fn comparison_shown(comparisons: &[Comparison], papers: &[Paper], from: &str) -> Shown {
    let table = |paper: &Paper| {
        let of_paper = comparisons.iter().filter(|one| one.paper == paper.name).cloned();
        let table =
            terminal::comparison_table(&of_paper.collect::<Vec<_>>(), paper, from, colour());
        format!("{table}\n")
    };
    let names: Vec<&str> = papers.iter().map(|paper| paper.name.as_str()).collect();
    let fields = [("papers", json!(names)), ("comparison", json!(comparisons))];
    Shown::new(papers.iter().map(table).collect(), fields)
}

fn data(command: &DataCommand) -> Result<u8> {
    match command {
        DataCommand::List(options) => data_status(options, false),
        DataCommand::Check(options) => data_status(options, true),
        DataCommand::Fetch { name, options } => {
            let files = dataset::files(name)?;
            if files.is_empty() {
                eprintln!("{name} needs no file");
            }
            let fetching = Options::from_env()?;
            let mut paths = Vec::new();
            for file in files {
                paths.push(fetch_file(&file, options.data.as_deref(), &fetching)?);
            }
            if options.json {
                print_json(&json!({"files": paths}))?;
                return Ok(0);
            }
            for path in paths {
                print(&format!("{}\n", path.display()))?;
            }
            Ok(0)
        }
    }
}

/// Lists the data files; with `check`, exit code 3 unless all that are found are right.
fn data_status(options: &DataOptions, check: bool) -> Result<u8> {
    let search = dataset::search_path(options.data.as_deref());
    let mut code = 0;
    let mut listed = Vec::new();
    for status in dataset::status(&search, check) {
        let state = match &status.state {
            FileState::Missing => {
                format!("missing: run 'seedbed data fetch {}'", status.file.dataset)
            }
            FileState::Found => "found".to_owned(),
            FileState::Right => "right".to_owned(),
            FileState::Wrong(why) => {
                code = 3;
                format!("wrong: {why}")
            }
        };
        if check && status.state == FileState::Missing {
            code = 3;
        }
        let place = status.path.map(|path| path.display().to_string());
        if options.json {
            let file = status.file;
            listed.push(json!({
                "dataset": file.dataset, "file": file.name, "path": place, "state": state,
                "raw-sha256": file.raw_sha256, "bytes": file.bytes,
            }));
            continue;
        }
        let place = place.unwrap_or_else(|| "-".to_owned());
        print(&format!("{}  {}  {place}  {state}\n", status.file.dataset, status.file.name))?;
    }
    if options.json {
        print_json(&listed)?;
    }
    Ok(code)
}

fn doctor(data: Option<&Path>, json: bool) -> Result<u8> {
    let found = doctor::diagnose(data, Path::new("experiments"), Path::new("results"));
    if json {
        print_json(&found)?;
    } else {
        print(&doctor::text(&found))?;
    }
    Ok(u8::from(!found.ready))
}

fn bench_step(
    experiment: &Experiment,
    cell: Option<String>,
    width: usize,
    steps: usize,
    device: &str,
    data: Option<&Path>,
) -> Result<u8> {
    let labels: Vec<String> = cell.into_iter().collect();
    let cell = experiment.select(&labels)?.into_iter().next();
    let cell = cell.ok_or_else(|| Error::Usage("the experiment has no cell".to_owned()))?;
    let job = Job {
        experiment: experiment.name.clone(),
        cells: vec![cell],
        seeds: (1..=width.max(1) as u64).collect(),
        scale: experiment.scale,
        device: device.to_owned(),
        data: dataset::search_path(data),
        pictures: None,
    };
    print_json(&worker::calibrate(&job, steps)?)?;
    Ok(0)
}

/// Whether stdout is a terminal that wants colour (no-color.org).
fn colour() -> bool {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    std::io::stdout().is_terminal() && !unwanted
}

fn print_json<T: Serialize>(value: &T) -> Result<()> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Error::Failed(format!("cannot write JSON: {error}")))?;
    print(&format!("{text}\n"))
}

/// Writes to stdout; a reader that has gone away (`| head`) is no failure.
fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::Failed(format!("cannot write to stdout: {error}")))
        }
        Err(_) | Ok(()) => Ok(()),
    }
}
