//! The `seedbed` program: `cli` says what its subcommands do.
mod cli;
mod derived;
#[cfg(feature = "training")]
mod plan;
#[cfg(feature = "training")]
mod progress;
#[cfg(feature = "training")]
mod worker;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
