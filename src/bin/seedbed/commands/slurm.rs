//! The subcommand `slurm`: submits an array whose tasks are `seedbed run --train-only`, waits for it
//! and shows the tables.
use std::path::{Path, PathBuf};
use std::time::Instant;

use seedbed::error::{Error, Result};
use seedbed::schedule::devices::{WIDTH_CPU, WIDTH_CUDA};
use seedbed::schedule::plan::Plan;
use seedbed::schedule::session::sweep;
use seedbed::schedule::slurm::watch::{Ended, News, Options, Watch, Work};
use seedbed::schedule::slurm::{self, Array, queue};

use super::ending::End;
use super::plan::plans;
use super::run::{Checked, check, tell_left_out, this_command};
use crate::args::{Common, SlurmArguments, SlurmOptions, Training};
use crate::output::{print, print_as_it_is};
use crate::screen::{self, Bars, mention, say};
use crate::signals::{INTERRUPT_CODE, cancelling_arrays, interrupt_flag};

/// Tasks of an array where --array-size does not say.
const ARRAY_SIZE: usize = 8;
/// Submits an array, waits for it and shows the tables, or does what is asked for instead.
pub fn slurm(arguments: &SlurmArguments) -> Result<u8> {
    let began = Instant::now();
    let SlurmArguments { common, training, run, tables, slurm: options, looking: _ } = arguments;
    let making = tables.making();
    if options.cancel {
        return cancel_named(common);
    }
    let kind = device_kind(&training.device, options)?;
    let plans = plans(common, training, kind, None)?;
    for plan in &plans {
        plan.check_commands(training.allow_commands)?;
    }
    let Checked { kept, left_out, needs: _ } = check(plans, run, making, &training.search()?)?;
    let plans: Vec<&Plan> = kept.iter().collect();
    let mut work = Work::new(&plans);
    let mut array = array(arguments, kind, &plans)?;
    let script = array.script()?;
    if options.print {
        print_as_it_is(&script)?;
        return Ok(0);
    }
    let ended = if work.is_done() {
        say("nothing to run: every run is stored");
        Ok(Ended::Done)
    } else {
        // where there is no Slurm nothing is made
        queue::tasks_of(&names(&plans), array.logs.parent().unwrap_or(&array.logs))?;
        queue::make_logs(&array.logs)?;
        // the folder is there, so that its name is the same for all who look
        (array.name, array.logs) = named(&plans, &common.out())?;
        wait(&plans, &array, &mut work, arguments)
    };
    screen::close();
    match ended? {
        Ended::Done => {
            sweep(&plans)?;
            tell_left_out(&left_out);
            let (strict, tables, made) = (run.strict, run.show_tables, None);
            End { common, making, strict, tables, began, made }.publish(&plans)
        }
        Ended::Detached => Ok(0),
        Ended::Interrupted => Ok(INTERRUPT_CODE),
    }
}

/// Submits an array and waits for it, and shows how far it is.
fn wait(
    plans: &[&Plan],
    array: &Array,
    work: &mut Work,
    arguments: &SlurmArguments,
) -> Result<Ended> {
    let options = Options {
        fail_fast: arguments.run.fail_fast,
        resubmit: arguments.slurm.resubmit,
        detach: arguments.slurm.detach,
        again: this_command(),
    };
    cancelling_arrays()?;
    let mut line = Line { total: work.total, is_open: false, last: String::new() };
    Watch::new(plans, array, options, interrupt_flag()).until_done(work, &mut |news| {
        match news {
            News::Said(text) => say(&text),
            News::Standing { done, text } => line.tell(done, text),
            News::Detached(number) => print(&format!("{number}\n"))?,
        }
        Ok(())
    })
}

/// What kind of device the tasks find. That of this host says nothing of theirs.
fn device_kind(asked: &str, options: &SlurmOptions) -> Result<&'static str> {
    match asked {
        "cpu" => Ok("cpu"),
        "auto" if gpus_asked(options).is_some() => Ok("cuda"),
        "auto" => Ok("cpu"),
        _ if asked == "cuda" || asked.starts_with("cuda:") => Ok("cuda"),
        _ => Err(Error::Usage(format!("--device {asked}: write auto, cpu, cuda or cuda:0,1"))),
    }
}

/// GPUs of a task.
fn gpus_asked(options: &SlurmOptions) -> Option<u32> {
    let further = options.sbatch.iter().rev().find_map(|option| slurm::gpus_asked(option));
    further.or_else(|| options.gres.as_deref().and_then(slurm::gpus))
}

/// What each task runs.
fn task_command(arguments: &SlurmArguments, kind: &str, plans: &[&Plan]) -> Result<Vec<String>> {
    let SlurmArguments { common, training, run, tables, .. } = arguments;
    let program = std::env::current_exe()
        .map_err(|error| Error::Failed(format!("cannot tell where seedbed lies: {error}")))?;
    let device = if training.device == "auto" { kind } else { &training.device };
    let mut command = vec![text(&program)?, "run".to_owned(), "--train-only".to_owned()];
    let mut add = |name: &str, value: String| command.push(format!("--{name}={value}"));
    add("out", text(&common.out())?);
    add("device", device.to_owned());
    add("slots", slots(training, plans).to_string());
    add("retries", run.retries.to_string());
    common.set.iter().for_each(|set| add("set", set.clone()));
    training.cell.iter().for_each(|cell| add("cell", cell.clone()));
    training.runs.iter().for_each(|runs| add("runs", runs.to_string()));
    training.seeds.iter().for_each(|seeds| add("seeds", seeds.clone()));
    training.width.iter().for_each(|width| add("width", width.to_string()));
    run.timeout.iter().for_each(|seconds| add("timeout", seconds.to_string()));
    if let Some(data) = &training.data {
        add("data", text(data)?);
    }
    let flags = [
        ("--quick", common.quick),
        ("--allow-commands", training.allow_commands),
        ("--replace", run.replace),
        ("--fail-fast", run.fail_fast),
        ("--mixed-code", tables.mixed_code),
        ("--keep-scores", run.keep_scores),
    ];
    command.extend(flags.iter().filter(|(_, given)| *given).map(|(flag, _)| (*flag).to_owned()));
    command.push("--".to_owned());
    for plan in plans {
        command.push(text(&plan.experiment.path)?);
    }
    Ok(command)
}

fn text(path: &Path) -> Result<String> {
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| Error::Usage(format!("{} is not UTF-8; give another path", path.display())))
}

/// Workers of a task on each of its devices, and so its cores: those of one run, where nothing is said.
fn slots(training: &Training, plans: &[&Plan]) -> u16 {
    training.slots.unwrap_or_else(|| widest(plans))
}

/// Cores that a run takes.
fn widest(plans: &[&Plan]) -> u16 {
    let cells = plans.iter().flat_map(|plan| &plan.cells);
    let cores = cells.map(|planned| planned.cell.model.cores()).max().unwrap_or(1);
    u16::try_from(cores).unwrap_or(u16::MAX)
}

fn array(arguments: &SlurmArguments, kind: &str, plans: &[&Plan]) -> Result<Array> {
    let SlurmArguments { common, training, slurm: options, .. } = arguments;
    let here = std::env::current_dir()
        .map_err(|error| Error::Failed(format!("cannot tell the current directory: {error}")))?;
    let (width, devices) = match (kind, training.device.strip_prefix("cuda:")) {
        ("cuda", Some(numbers)) => (WIDTH_CUDA, numbers.split(',').count() as u32),
        ("cuda", None) => (WIDTH_CUDA, gpus_asked(options).unwrap_or(1)),
        _ => (WIDTH_CPU, 1),
    };
    let width = training.width.map_or(width, usize::from);
    let cores = u32::from(slots(training, plans)) * devices;
    let jobs: usize = plans.iter().map(|plan| plan.jobs(width, &[]).len()).sum();
    let at_once = (cores / u32::from(widest(plans))).max(1);
    let needed = jobs.div_ceil(at_once as usize).clamp(1, ARRAY_SIZE) as u32;
    let named_options =
        [("partition", &options.partition), ("gres", &options.gres), ("time", &options.time)];
    let given = named_options
        .iter()
        .filter_map(|(name, value)| value.as_ref().map(|value| format!("--{name}={value}")));
    let data = std::env::var("SEEDBED_DATA").ok().filter(|data| !data.is_empty());
    let (name, logs) = named(plans, &common.out())?;
    Ok(Array {
        name,
        tasks: options.array_size.unwrap_or(needed),
        cores,
        logs,
        options: given.chain(options.sbatch.iter().cloned()).collect(),
        directory: here,
        environment: data.into_iter().map(|data| ("SEEDBED_DATA".to_owned(), data)).collect(),
        command: task_command(arguments, kind, plans)?,
    })
}

/// An array's name and the folder of its logs.
fn named(plans: &[&Plan], out: &Path) -> Result<(String, PathBuf)> {
    let out = queue::place(out)?;
    Ok((slurm::name(&names(plans), &out), out.join("slurm")))
}

/// Cancels what the queue has of the experiments that are named.
fn cancel_named(common: &Common) -> Result<u8> {
    let experiments = common.load(None)?;
    let names: Vec<&str> = experiments.iter().map(|experiment| experiment.name.as_str()).collect();
    let out = queue::place(&common.out())?;
    let begun = || say("cancelling; the tasks give their runs up");
    match queue::cancel_tasks(&names, &out, &mut { begun })? {
        Some(which) => say(&format!("cancelled array {which}; finished runs are kept")),
        None => say(&format!(
            "the queue has no array of yours that trains {} into {}",
            names.join(", "),
            out.display()
        )),
    }
    Ok(0)
}

fn names<'a>(plans: &[&'a Plan]) -> Vec<&'a str> {
    plans.iter().map(|plan| plan.experiment.name.as_str()).collect()
}

/// How far the runs are: a bar on a terminal, elsewhere a line whenever it changes.
struct Line {
    total: usize,
    is_open: bool,
    last: String,
}

impl Line {
    /// Shows how far the runs are, with words; nothing that was said last.
    fn tell(&mut self, done: usize, text: String) {
        if !self.is_open {
            screen::open(Bars {
                template: "{elapsed_precise} [{bar:30}] {wide_msg}".to_owned(),
                done: 0,
                total: self.total as u64,
                message: String::new(),
                slots: Vec::new(),
            });
            self.is_open = true;
        }
        if screen::has_bars() {
            let done = done as u64;
            screen::update(|bars| (bars.done, bars.message) = (done, text));
        } else if text != self.last {
            mention(&text);
            self.last = text;
        }
    }
}
