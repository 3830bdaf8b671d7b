//! The program `seedbed-train`: a question or a job in, messages out (docs/trainer.md). `seedbed` starts
//! it; people need it only to look at.

use std::io::{Read, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use seedbed::error::{Error, Result};
use seedbed::experiment::Cell;
use seedbed::schedule::answer::{self, say};
use seedbed::store::record::Job;
use seedbed_train::{about, libtorch, run};

/// Trains for seedbed, which starts it: questions and jobs as JSON on stdin, answers as lines of JSON.
#[derive(Parser)]
#[command(name = "seedbed-train", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Train the job on stdin, and write messages and records
    Run,
    /// Time so many steps of the job on stdin
    Time { steps: usize },
    /// Say versions, and what libtorch can compute on
    About,
    /// Say what jobs of the cells on stdin need of the memory of a cpu or cuda device
    Need { device_kind: String },
}

fn main() -> ExitCode {
    match dispatch(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // to the log, where the harness looks for it
            drop(writeln!(std::io::stderr(), "error: {error}"));
            ExitCode::from(error.exit_code())
        }
    }
}

fn dispatch(command: Command) -> Result<()> {
    match command {
        Command::Run => {
            let job = begin()?;
            run::execute(&job, &mut |message| say(&message))
        }
        Command::Time { steps } => {
            let job = begin()?;
            say(&run::calibrate(&job, steps, &mut || say(&"the first step is done"))?);
            Ok(())
        }
        Command::About => {
            say(&about::about());
            Ok(())
        }
        Command::Need { device_kind } => {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .map_err(|error| Error::Failed(format!("cannot read from stdin: {error}")))?;
            let cells: Vec<Cell> = serde_json::from_str(&text)
                .map_err(|error| Error::Usage(format!("stdin holds no cells: {error}")))?;
            let needs: Vec<_> =
                cells.iter().map(|cell| run::memory_need(cell, &device_kind)).collect();
            say(&serde_json::json!({"about": about::about(), "needs": needs}));
            Ok(())
        }
    }
}

/// Reads a job, with libtorch ready for it.
fn begin() -> Result<Job> {
    libtorch::load_cuda();
    answer::begin()
}
