//! stdout: data, as text or as one JSON document. It may block, unlike stderr: whoever asks for data reads
//! them.
use std::io::{IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::OnceLock;

use serde::Serialize;
use serde_json::Value;

use seedbed::error::{Error, Result};
use seedbed::report::columns;
use seedbed::report::terminal::{Sheet, printable_json, printable_lines};

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
            None => print_text(&text()),
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

/// Whether texts are coloured, as `--color` says it.
#[derive(Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Colour {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Also in files and pipes
    Always,
    /// Nowhere
    Never,
}

/// What `--color` said, for all that is printed.
static COLOUR: OnceLock<Colour> = OnceLock::new();

/// Takes what `--color` says, once.
pub fn choose_colour(colour: Colour) {
    // a second word would come too late for what is printed by then
    COLOUR.set(colour).unwrap_or_default();
}

/// Says whether a stream is to be coloured (no-color.org).
pub fn is_coloured(stream: &impl IsTerminal) -> bool {
    match COLOUR.get().copied().unwrap_or_default() {
        Colour::Always => true,
        Colour::Never => false,
        Colour::Auto => {
            let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
            stream.is_terminal() && !unwanted
        }
    }
}

/// Narrower than this nothing can be laid out.
const NARROWEST: usize = 40;

/// Returns the columns of a stream: those of its terminal, or elsewhere of COLUMNS where that is set; none
/// where lines may be as wide as they like.
pub fn columns_of<Stream: IsTerminal + AsFd>(stream: &Stream) -> Option<usize> {
    let told = || std::env::var("COLUMNS").ok()?.trim().parse().ok().filter(|&width| width > 0);
    let width = match stream.is_terminal() {
        true => terminal_size::terminal_size_of(stream).map(|(width, _)| usize::from(width.0)),
        false => told(),
    };
    width.filter(|&width| width > 0).map(|width| width.max(NARROWEST))
}

/// Returns what tables on stdout are written on.
pub fn sheet() -> Sheet {
    let stdout = std::io::stdout();
    Sheet { colour: is_coloured(&stdout), width: columns_of(&stdout) }
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

/// Writes a text for people to stdout: lines that are wider than the terminal go on below.
///
/// # Errors
/// As [`print`].
pub fn print_text(text: &str) -> Result<()> {
    print(&columns::reflowed(text, columns_of(&std::io::stdout())))
}

/// Writes a text for people to stdout, after what is to be said before it: whatever a file of someone else's
/// put into it, a terminal shows it. A reader that has gone away (`| head`) is not a failure.
///
/// # Errors
/// `Failed` where stdout does not take it.
pub fn print(text: &str) -> Result<()> {
    print_as_it_is(&printable_lines(text, is_coloured(&std::io::stdout())))
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
