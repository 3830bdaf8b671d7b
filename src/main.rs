//! The `seedbed` program: `cli` says what its subcommands do.
mod cli;
mod derived;
mod plan;
mod progress;
mod worker;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
