//! stdout: data, as text or as one JSON document. It may block, unlike stderr: whoever asks for data reads
//! them.
use std::io::{IsTerminal, Write};

use serde::Serialize;
use serde_json::Value;

use seedbed::error::{Error, Result};
use seedbed::report::terminal::{printable_json, printable_lines};

use crate::screen;

/// What the experiments have to say on stdout: text goes out at once, and fields for programs wait
/// to be one JSON document.
pub struct Output {
    json: bool,
    documents: Vec<serde_json::Map<String, Value>>,
}

impl Output {
    /// Begins with nothing said.
    pub fn new(json: bool) -> Self {
        Self { json, documents: Vec::new() }
    }

    /// Begins what one experiment has to say.
    pub fn next(&mut self) {
        self.documents.push(serde_json::Map::new());
    }

    /// Makes the text or the fields, whichever is asked for: of a large grid each is large.
    pub fn show<const N: usize>(
        &mut self,
        text: impl FnOnce() -> String,
        fields: impl FnOnce() -> [(&'static str, Value); N],
    ) -> Result<()> {
        match self.documents.last_mut().filter(|_| self.json) {
            Some(document) => {
                document.extend(fields().map(|(name, value)| (name.to_owned(), value)));
                Ok(())
            }
            None => print(&text()),
        }
    }

    /// Prints what waits.
    ///
    /// # Errors
    /// As [`print`].
    pub fn end(self) -> Result<()> {
        if self.json { print_json(&self.documents) } else { Ok(()) }
    }
}

/// Says whether stdout is a terminal that wants colour (no-color.org).
pub fn colour() -> bool {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    std::io::stdout().is_terminal() && !unwanted
}

/// Writes a value to stdout as JSON.
///
/// # Errors
/// As [`print`].
pub fn print_json<T: Serialize>(value: &T) -> Result<()> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Error::Failed(format!("cannot write JSON: {error}")))?;
    print_as_it_is(&format!("{}\n", printable_json(&text)))
}

/// Writes a text for people to stdout, after what is to be said before it: whatever a file of someone else's
/// put into it, a terminal shows it. A reader that has gone away (`| head`) is not a failure.
///
/// # Errors
/// `Failed` where stdout does not take it.
pub fn print(text: &str) -> Result<()> {
    print_as_it_is(&printable_lines(text, colour()))
}

/// Writes to stdout what is for a program, byte by byte; else as [`print`].
///
/// # Errors
/// As [`print`].
pub fn print_as_it_is(text: &str) -> Result<()> {
    screen::settle();
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::Failed(format!("cannot write to stdout: {error}")))
        }
        Err(_) | Ok(()) => Ok(()),
    }
}
