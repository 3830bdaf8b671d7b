//! `seedbed plan`: what is stored, what is to run and why, and how long it will take.
use std::path::PathBuf;

use serde_json::json;

use seedbed::error::Result;
use seedbed::machine::memory;
use seedbed::schedule::design;
use seedbed::schedule::devices::Devices;
use seedbed::schedule::estimate::{Estimate, Outlook, Source, duration};
use seedbed::schedule::plan::{Plan, memory_needs};
use seedbed::schedule::worker;
use seedbed::store::looks;
use seedbed::store::record::Job;

use crate::args::{Common, Retry, Training};
use crate::output::{print_json, print_text};
use crate::screen::say;

/// Steps that are timed where nothing is stored to go by.
const CALIBRATION_STEPS: usize = 20;

/// Plans the runs of the experiments that are named.
pub fn plans(
    common: &Common,
    training: &Training,
    kind: &'static str,
    retry: Option<Retry>,
) -> Result<Vec<Plan>> {
    let mut plans = Vec::new();
    for experiment in common.load(Some(training))? {
        let cells = experiment.select(&training.cell)?;
        let retry_failed = retry == Some(Retry::Failed);
        plans.push(Plan::new(experiment, cells, &common.out(), kind, retry_failed)?);
    }
    Ok(plans)
}

/// Shows the plans.
pub fn plan(common: &Common, training: &Training) -> Result<u8> {
    let devices = training.devices()?;
    let search = training.search()?;
    let plans = plans(common, training, devices.kind, None)?;
    let mut missing = Vec::new();
    let mut expected = Vec::new();
    for plan in &plans {
        let allowed = training.allow_commands;
        expected.push(expect(plan, &devices, (&search, allowed), &mut missing)?);
    }
    let needs = memory_needs(&plans.iter().collect::<Vec<_>>())?;
    let outlook = Outlook::new(&plans, &expected, &needs, &devices);
    if common.json {
        let all: Vec<_> = plans
            .iter()
            .zip(&expected)
            .zip(&needs)
            .map(|((plan, expected), needs)| plan.json(expected, needs, devices.width))
            .collect();
        let seconds = outlook.seconds;
        print_json(&json!({"experiments": all, "seconds": seconds, "notes": missing}))?;
        return Ok(0);
    }
    for plan in &plans {
        print_text(&plan.table())?;
        design::text(&plan.experiment).map_or(Ok(()), |text| print_text(&text))?;
        looks::text(plan.store.dir())?.map_or(Ok(()), |text| print_text(&text))?;
        let refused = plan.check_replaced().and_then(|()| plan.check_published());
        if let Err(error) = refused {
            print_text(&format!("  note: {error}\n"))?;
        } else if let Some(note) = plan.on_others() {
            print_text(&format!("  note: {note}\n"))?;
        }
    }
    for error in missing {
        print_text(&format!("note: {error}\n"))?;
    }
    print_text(&format!("{}\n", text(&outlook, &devices)))?;
    Ok(0)
}

/// Says how long a run of each cell takes: from stored runs, or from steps that are timed now where the
/// data are there. Data that are missing are noted.
fn expect(
    plan: &Plan,
    devices: &Devices,
    (search, allow_commands): (&[PathBuf], bool),
    missing: &mut Vec<String>,
) -> Result<Vec<Estimate>> {
    let mut estimates = plan.estimates();
    let checked = plan.check_data(search).and_then(|()| plan.check_commands(allow_commands));
    match checked {
        Ok(()) => plan.calibrate(&mut estimates, devices.width, search, &|job| {
            let job = Job { device: devices.slots[0].device.clone(), ..job.clone() };
            let what = match job.cell().model.is_trained() {
                true => format!("{CALIBRATION_STEPS} steps"),
                false => "a run".to_owned(),
            };
            say(&format!("timing {what} of {} {}", job.experiment, job.label()));
            worker::calibrate(&job, CALIBRATION_STEPS)
        })?,
        Err(error) => missing.push(error.to_string()),
    }
    Ok(estimates)
}

/// Writes an outlook, such as `45 runs in about 3 h 05 min on 2 cpu workers (from a calibration of 20
/// steps)`.
fn text(outlook: &Outlook, devices: &Devices) -> String {
    let count = outlook.runs;
    if count == 0 {
        return "nothing to run: every run is stored".to_owned();
    }
    let (slots, kind, width) = (devices.slots.len(), devices.kind, devices.width);
    let memory = outlook
        .bytes
        .map_or(String::new(), |bytes| format!(", up to {} each", memory::text(bytes)));
    let workers = format!("{slots} {kind} worker(s), up to {width} seeds together{memory}");
    let Some(seconds) = outlook.seconds else {
        return format!("{count} runs on {workers}; the time is unknown: see the note");
    };
    let source = |source: &Source| match source {
        Source::Cell => "stored runs of the same cell".to_owned(),
        Source::OtherCells => "stored runs of another cell".to_owned(),
        Source::Calibration => format!("a calibration of {CALIBRATION_STEPS} steps"),
        Source::TimedRun => "a run that was timed".to_owned(),
    };
    let from: Vec<String> = outlook.sources.iter().map(source).collect();
    let from = from.join(" and ");
    format!("{count} runs in about {} on {workers} (from {from})", duration(seconds))
}
