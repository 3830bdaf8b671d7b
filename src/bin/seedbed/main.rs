//! The `seedbed` program: `commands` says what its subcommands do.
mod commands;
mod progress;

use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    commands::main()
}

/// Writes a line to stderr. A terminal that has gone away, or a full disk under the file that stderr
/// goes to, ends nothing: what trains goes on, or stops in good order.
fn say(line: &str) {
    drop(writeln!(std::io::stderr(), "{line}"));
}

/// Ends this process now, whatever its threads are at: handlers that run at a usual exit could wait for
/// them.
fn end_now(code: u8) -> ! {
    // SAFETY: has no preconditions
    unsafe { libc::_exit(i32::from(code)) }
}
