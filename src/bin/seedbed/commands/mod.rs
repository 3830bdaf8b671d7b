//! The subcommands, one file each. Each returns its exit code: 0 done, 1 some run failed (or, with
//! --strict, a judged figure is not reproduced), 130 interrupted; errors have their own (2 usage or
//! configuration, 3 data missing or wrong, 1 all else).
mod bench_step;
mod check_figures;
mod compare;
mod data;
mod decide;
mod doctor;
mod explain;
mod fill;
mod fit;
mod list;
mod lock;
mod new;
mod plan;
mod power;
mod report;
mod run;
mod schema;
mod score;
mod slurm;
mod split;
mod tables;
mod verify;

use std::io::IsTerminal;

use clap::Parser;

use seedbed::error::Result;

use crate::args::{Cli, Command};
use crate::screen::{say, say_in_colour};

/// Parses the command line, does what it says, and says what went wrong; returns the exit code.
pub fn main() -> u8 {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if !error.use_stderr() => error.exit(),
        Err(error) => {
            let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
            let text = error.render();
            let is_coloured = std::io::stderr().is_terminal() && !plain;
            let text = if is_coloured { text.ansi().to_string() } else { text.to_string() };
            // the standard library's words for what is typed where a number is wanted
            let text = text.replace("invalid digit found in string", "it takes a whole number");
            match is_coloured {
                true => say_in_colour(text.trim_end()),
                false => say(text.trim_end()),
            }
            return u8::try_from(error.exit_code()).unwrap_or(2);
        }
    };
    match dispatch(cli.command) {
        Ok(code) => code,
        Err(error) => {
            say(&format!("error: {error}"));
            error.exit_code()
        }
    }
}

fn dispatch(command: Command) -> Result<u8> {
    match command {
        Command::Tables { common, tables, source } => {
            tables::tables(&common, &source, tables.making())
        }
        Command::Compare { common, tables, source, strict } => {
            compare::compare(&common, &source, tables.making(), strict)
        }
        Command::Explain { common, tables, explaining } => {
            explain::explain(&common, tables.making(), &explaining)
        }
        Command::Report { common, tables, source, to } => {
            report::report(&common, &source, tables.making(), to)
        }
        Command::Plan { common, training, power: true, margin } => {
            power::power(&common, &training, margin)
        }
        Command::CheckFigures { papers, folder, json } => {
            check_figures::check_figures(&papers, folder.as_deref(), json)
        }
        Command::Fill { documents, check } => fill::fill(&documents, check),
        Command::New(arguments) => new::new(&arguments),
        Command::NewPaper { name } => new::new_paper(&name),
        Command::List { json } => list::list(json),
        Command::Schema { of } => schema::schema(of),
        Command::Fit(command) => fit::fit(&command),
        Command::Split(options) => split::split(&options),
        Command::Score(options) => score::score(&options),
        Command::Data { command } => data::data(&command),
        Command::Lock { experiments, out } => lock::lock(&experiments, &out),
        Command::Verify { common, lock: true, .. } => {
            lock::verify(&common.experiments, &common.out(), common.json)
        }
        Command::Plan { common, training, power: false, .. } => plan::plan(&common, &training),
        Command::Run(arguments) if arguments.looking.until_decided => decide::run(&arguments),
        Command::Run(arguments) => run::run(&arguments),
        Command::Slurm(arguments) if arguments.looking.until_decided => decide::slurm(&arguments),
        Command::Slurm(arguments) => slurm::slurm(&arguments),
        Command::Verify { common, training, verifying, lock: false } => {
            verify::verify(&common, &training, &verifying)
        }
        Command::Doctor { data, json } => doctor::doctor(data.as_deref(), json),
        Command::BenchStep(options) => bench_step::bench_step(options),
    }
}
