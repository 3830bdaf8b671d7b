//! The subcommands, one file each. Each returns its exit code: 0 done, 1 some run failed (or, with
//! --strict, a judged figure is not reproduced), 130 interrupted; errors have their own (2 usage or
//! configuration, 3 data missing or wrong, 1 all else).
mod bench_step;
mod check_figures;
mod compare;
mod data;
mod decide;
mod doctor;
mod ending;
mod explain;
mod fill;
mod fit;
mod list;
mod lock;
mod man;
mod new;
mod plan;
mod power;
mod report;
mod run;
mod schema;
mod score;
mod slurm;
mod split;
mod table;
mod tables;
mod verify;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Parser, ValueEnum};

use seedbed::error::Result;
use seedbed::text::nearest;

use crate::args::{Cli, Command, Voice};
use crate::help;
use crate::output::{self, Colour, choose_colour, is_coloured};
use crate::screen::{choose_voice, say, say_in_colour};

/// Parses the command line, does what it says, and says what went wrong; returns the exit code.
pub fn main() -> u8 {
    choose_colour(colour_asked());
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return answer(&error),
    };
    let Voice { quiet, verbose, color: _ } = cli.voice;
    choose_voice(quiet, verbose);
    match dispatch(cli.command) {
        Ok(code) => code,
        Err(error) => {
            say(&format!("error: {error}"));
            error.exit_code()
        }
    }
}

/// Shows what was asked for instead of a command's work, or what is wrong with the command line.
fn answer(error: &clap::Error) -> u8 {
    let text = error.render();
    if !error.use_stderr() {
        let is_version = error.kind() == ErrorKind::DisplayVersion;
        let asked = std::env::args_os().any(|word| word == "--version");
        let shown = match is_coloured(&std::io::stdout()) {
            _ if is_version && asked => help::version(),
            true => text.ansi().to_string(),
            false => text.to_string(),
        };
        return output::print(&shown).map_or_else(|error| error.exit_code(), |()| 0);
    }
    let is_coloured = is_coloured(&std::io::stderr());
    let text = if is_coloured { text.ansi().to_string() } else { text.to_string() };
    if let Some(text) = misspelt(error) {
        say(&format!("error: {text}"));
        return 2;
    }
    // the standard library's words for what is typed where a number is wanted
    let text = text.replace("invalid digit found in string", "it takes a whole number");
    match is_coloured {
        true => say_in_colour(text.trim_end()),
        false => say(text.trim_end()),
    }
    u8::try_from(error.exit_code()).unwrap_or(2)
}

/// Says which subcommand is meant, where there is none of that name.
fn misspelt(error: &clap::Error) -> Option<String> {
    let Some(ContextValue::String(wrong)) = error.get(ContextKind::InvalidSubcommand) else {
        return None;
    };
    let program = Cli::command();
    let inner = std::env::args_os().skip(1).find_map(|word| {
        program.find_subcommand(&word).filter(|command| command.has_subcommands())
    });
    let command = inner.unwrap_or(&program);
    let shown = command.get_subcommands().filter(|one| !one.is_hide_set());
    let known: Vec<&str> = shown.map(clap::Command::get_name).collect();
    let advice = nearest(wrong, &known);
    Some(format!("there is no subcommand '{wrong}'{advice}; there are: {}", known.join(" ")))
}

/// What `--color` says, also on a command line that has faults: what is said of them has a colour too.
fn colour_asked() -> Colour {
    let words: Vec<String> = std::env::args_os()
        .map(|word| word.to_string_lossy().into_owned())
        .take_while(|word| word != "--")
        .collect();
    let next = words.iter().skip(1).map(String::as_str).chain([""]);
    let asked = words.iter().zip(next).filter_map(|(word, next)| match word.as_str() {
        "--color" => Colour::from_str(next, true).ok(),
        word => Colour::from_str(word.strip_prefix("--color=")?, true).ok(),
    });
    asked.last().unwrap_or_default()
}

/// Prints what completes commands in a shell.
fn completions(shell: clap_complete::Shell) -> Result<u8> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "seedbed", &mut text);
    output::print(&String::from_utf8_lossy(&text))?;
    Ok(0)
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
        Command::Report { common, tables, source, to, open } => {
            report::report(&common, &source, tables.making(), (to, open))
        }
        Command::Table { common, source, layout } => table::table(&common, &source, &layout),
        Command::Completions { shell } => completions(shell),
        Command::Man { of, to } => man::man(of.as_deref(), to.as_deref()),
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
