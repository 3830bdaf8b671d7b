//! The `seedbed` program: `cli` says what its subcommands do.
mod cli;
mod derived;
#[cfg(feature = "training")]
mod plan;
#[cfg(feature = "training")]
mod progress;
mod published;
#[cfg(feature = "training")]
mod worker;

use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}

/// Writes a line to stderr. A terminal that has gone away, or a full disk under the file that stderr
/// goes to, ends nothing: what trains goes on, or stops in good order.
fn say(line: &str) {
    drop(writeln!(std::io::stderr(), "{line}"));
}
