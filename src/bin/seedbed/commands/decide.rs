//! `run --until-decided` and `slurm --until-decided`: adds runs, look by look, until every figure has a verdict.

use seedbed::error::{Error, Result};
use seedbed::experiment::{Experiment, FRESH};
use seedbed::paper::{Paper, Status};
use seedbed::report::derive::{Derived, Making, papers_of};
use seedbed::stats::Looks;
use seedbed::store::{Store, looks};
use seedbed::summary::{Comparison, sequential};

use crate::args::{Alone, Common, Looking, RunArguments, SlurmArguments, Training};
use crate::screen::say;
use crate::signals::INTERRUPT_CODE;

/// Trains, look by look, then writes and shows the tables.
pub fn run(arguments: &RunArguments) -> Result<u8> {
    let RunArguments { common, training, tables, looking, .. } = arguments;
    let deciding = Deciding::begin(common, training, looking)?;
    let code =
        deciding.until_decided(common, training, tables.making(), &mut |common, training| {
            let alone = Alone { train_only: true, ..arguments.alone.clone() };
            let (common, training) = (common.clone(), training.clone());
            super::run::run(&RunArguments { common, training, alone, ..arguments.clone() })
        })?;
    match code {
        INTERRUPT_CODE => Ok(code),
        // every run is stored: what is left are the tables
        _ => super::run::run(&RunArguments {
            training: deciding.first_look(training),
            ..arguments.clone()
        }),
    }
}

/// The same with an array of tasks for each look.
pub fn slurm(arguments: &SlurmArguments) -> Result<u8> {
    let SlurmArguments { common, training, tables, looking, slurm, .. } = arguments;
    if slurm.detach || slurm.print || slurm.cancel {
        let what = "--until-decided waits for each array before it makes the next: leave --detach, --print and \
                    --cancel out";
        return Err(Error::Usage(what.to_owned()));
    }
    let deciding = Deciding::begin(common, training, looking)?;
    deciding.until_decided(common, training, tables.making(), &mut |common, training| {
        let (common, training) = (common.clone(), training.clone());
        super::slurm::slurm(&SlurmArguments { common, training, ..arguments.clone() })
    })
}

/// The experiments whose figures are to be decided, and when they are looked at.
pub struct Deciding {
    experiments: Vec<Experiment>,
    looks: Looks,
}

impl Deciding {
    /// Stores the looks of experiments that have figures and no run.
    pub fn begin(common: &Common, training: &Training, looking: &Looking) -> Result<Self> {
        if training.runs.is_some() || training.seeds.is_some() {
            return Err(Error::Usage(
                "--until-decided chooses the seeds itself: leave --runs and --seeds out".to_owned(),
            ));
        }
        let planned = sequential::looks(looking.most()).map_err(Error::Usage)?;
        let experiments = common.load(None)?;
        let with_readings = experiments.iter().filter(|one| !one.readings.is_empty()).count();
        if with_readings > 0 && with_readings < experiments.len() {
            return Err(Error::Usage(
                "some of these experiments have [[readings]], whose seeds begin at 101, and some have none: \
                 give them to --until-decided in commands of their own"
                    .to_owned(),
            ));
        }
        for experiment in &experiments {
            refuse(experiment, training)?;
            let mut store = Store::open(&common.out(), &experiment.name);
            if looks::read(store.dir())?.is_none() {
                refuse_known(experiment, &store)?;
            }
            store.settle()?;
            looks::keep(store.dir(), &planned)?;
        }
        Ok(Self { experiments, looks: planned })
    }

    /// The training of the first look's runs, of whichever cells.
    fn first_look(&self, training: &Training) -> Training {
        let afresh = self.experiments.iter().all(|experiment| !experiment.readings.is_empty());
        let first = if afresh { FRESH } else { 1 };
        let runs = self.looks.runs.first().copied().unwrap_or(1) as u64;
        Training { seeds: Some(format!("{first}-{}", first + runs - 1)), ..training.clone() }
    }

    /// Has the runs of one look after another made, of the cells that are not decided yet; `train` is told the
    /// experiment, its cells and its seeds.
    pub fn until_decided(
        &self,
        common: &Common,
        training: &Training,
        making: Making,
        train: &mut dyn FnMut(&Common, &Training) -> Result<u8>,
    ) -> Result<u8> {
        let making = Making { resamples: 0, ..making };
        for experiment in &self.experiments {
            let named = vec![experiment.path.to_string_lossy().into_owned()];
            let common = Common { experiments: named, ..common.clone() };
            let mut cells = training.cell.clone();
            let first = if experiment.readings.is_empty() { 1 } else { FRESH };
            for &runs in &self.looks.runs {
                let seeds = Some(format!("{first}-{}", first + runs as u64 - 1));
                let training = Training { seeds, cell: cells, ..training.clone() };
                let code = train(&common, &training)?;
                if code == INTERRUPT_CODE {
                    return Ok(code);
                }
                let derived = Derived::stored(experiment, &common.out(), making)?;
                cells = open_cells(&derived.comparisons, &training.cell);
                let most = self.looks.runs.last() == Some(&runs);
                say(&standing(&experiment.name, (runs, most), &derived.comparisons, &cells));
                if cells.is_empty() {
                    break;
                }
            }
        }
        Ok(0)
    }
}

/// Refuses what no look can decide.
fn refuse(experiment: &Experiment, training: &Training) -> Result<()> {
    let file = experiment.path.display();
    if experiment.papers.is_empty() {
        return Err(Error::Usage(format!(
            "{file} is compared with no figure ('compare'), so there is nothing to decide"
        )));
    }
    let figures = papers_of(experiment)?;
    let is_judged = |paper: &Paper| {
        let own =
            paper.figures.iter().filter(|one| one.experiment.as_ref() == Some(&experiment.name));
        let mut verified = own.filter(|one| one.status == Status::Verified);
        verified.any(|one| paper.margins.contains_key(&one.metric))
    };
    if !figures.iter().any(is_judged) {
        return Err(Error::Usage(format!(
            "no figure that {file} is compared with is judged: none is verified and has a margin, so there is \
             nothing to decide"
        )));
    }
    if !experiment.readings.is_empty() && training.cell.is_empty() {
        return Err(Error::Usage(format!(
            "{file} has readings: choose the cell that fresh seeds are to judge with --cell"
        )));
    }
    Ok(())
}

/// Refuses runs that were there before anybody said when they would be looked at; of readings those that explore
/// are no part of it.
fn refuse_known(experiment: &Experiment, store: &Store) -> Result<()> {
    let rows = seedbed::report::published::rows(&store.dir().join("runs.csv"))?;
    let is_judged = |seed: u64| experiment.readings.is_empty() || seed >= FRESH;
    let recorded = store.load_all()?.0.iter().filter(|record| is_judged(record.seed)).count();
    let known = recorded.max(rows.iter().filter(|row| is_judged(row.seed)).count());
    if known == 0 {
        return Ok(());
    }
    Err(Error::Usage(format!(
        "{} holds {known} runs already, made before anybody said when they would be looked at: bounds of \
         several looks mean nothing for them; choose another folder with --out DIR",
        store.dir().display()
    )))
}

/// The cells beside which a figure has no verdict yet.
fn open_cells(comparisons: &[Comparison], chosen: &[String]) -> Vec<String> {
    let mut cells: Vec<String> = Vec::new();
    for one in comparisons.iter().filter(|one| sequential::is_open(one)) {
        let label = one.cell.to_string();
        let is_chosen = chosen.is_empty() || chosen.contains(&label);
        if is_chosen && !cells.contains(&label) {
            cells.push(label);
        }
    }
    cells
}

fn standing(
    name: &str,
    (runs, most): (usize, bool),
    comparisons: &[Comparison],
    open: &[String],
) -> String {
    let judged = comparisons.iter().filter(|one| !one.null_model && one.margin.is_some());
    let judged: Vec<&Comparison> = judged.filter(|one| one.verdict.is_of_an_interval()).collect();
    let decided = judged.iter().filter(|one| !sequential::is_open(one)).count();
    match open.len() {
        0 => format!("{name}: every figure is decided after {runs} runs"),
        count => {
            let then = match most {
                true => "the most that were planned: the others stay open".to_owned(),
                false => format!("{count} cells go on"),
            };
            format!(
                "{name}: {decided} of {} figures are decided after {runs} runs; {then}",
                judged.len()
            )
        }
    }
}
