//! The `seedbed` program: parses its command line, prints and handles signals. What it does is the
//! library's business.
mod args;
mod by_hand;
mod commands;
mod help;
mod output;
mod progress;
mod screen;
mod signals;
mod table_options;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic;
use std::process::ExitCode;

fn main() -> ExitCode {
    signals::take_over();
    panic::set_hook(Box::new(|panic| {
        let trace = Backtrace::capture();
        match trace.status() {
            BacktraceStatus::Captured => screen::say(&format!("{panic}\n{trace}")),
            _ => screen::say(&panic.to_string()),
        }
    }));
    let code = panic::catch_unwind(commands::main).unwrap_or(1);
    screen::close();
    if !screen::settle() {
        // its thread may hold what the usual exit waits for
        signals::end_now(code);
    }
    ExitCode::from(code)
}
