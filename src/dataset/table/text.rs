//! Rows of text: finds cells between separators and quotes, and hands them on. Own code because cells
//! are found and numbers read in one pass over the bytes, without a copy: a library that splits first
//! takes longer for that alone than all the rest of reading takes.

use std::borrow::Cow;
use std::io::Read;

use super::builder::{Builder, Role};
use super::{Outcome, Problem};

/// How cells are written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Syntax {
    pub(super) separator: u8,
    /// What may stand around a cell that holds a separator.
    pub(super) quotes: &'static [u8],
    /// Whether a backslash lets the next byte of a quoted cell stand for itself; else a quote is doubled.
    pub(super) escapes: bool,
    /// What begins a line that is not a row.
    pub(super) comment: Option<u8>,
    /// What ends a line.
    pub(super) newline: u8,
}

/// A cell, without its quotes and the blanks around it.
pub(super) struct Field<'a> {
    pub(super) text: Cow<'a, [u8]>,
    /// Where the separator or the line's end stands that follows it.
    pub(super) end: usize,
    /// Lines that end inside it.
    pub(super) lines: usize,
}

impl Syntax {
    /// Finds the cell that begins at `at`; none where its closing quote is not among the bytes, which
    /// end with a line's end.
    pub(super) fn field<'a>(
        &self,
        bytes: &'a [u8],
        at: usize,
    ) -> Result<Option<Field<'a>>, String> {
        let start = self.skip_blanks(bytes, at);
        if self.quotes.contains(&bytes[start]) {
            return self.quoted(bytes, start);
        }
        let length = memchr::memchr2(self.separator, self.newline, &bytes[start..]);
        // the bytes end with a line's end
        let end = start + length.unwrap_or(bytes.len() - 1 - start);
        let text = Cow::Borrowed(trimmed(&bytes[start..end]));
        Ok(Some(Field { text, end, lines: 0 }))
    }

    fn skip_blanks(&self, bytes: &[u8], mut at: usize) -> usize {
        while bytes[at] == b' ' && self.separator != b' ' {
            at += 1;
        }
        at
    }

    fn quoted<'a>(&self, bytes: &'a [u8], start: usize) -> Result<Option<Field<'a>>, String> {
        let quote = bytes[start];
        let mut text = Cow::Borrowed(&bytes[..0]);
        let mut from = start + 1;
        let close = loop {
            let rest = &bytes[from..];
            let found = match self.escapes {
                true => memchr::memchr2(quote, b'\\', rest),
                false => memchr::memchr(quote, rest),
            };
            let Some(length) = found else { return Ok(None) };
            let at = from + length;
            let Some(&next) = bytes.get(at + 1) else { return Ok(None) };
            if bytes[at] == quote && (self.escapes || next != quote) {
                append(&mut text, &bytes[from..at]);
                break at;
            }
            append(&mut text, &bytes[from..at]);
            text.to_mut().push(next);
            from = at + 2;
        };
        let mut end = self.skip_blanks(bytes, close + 1);
        if bytes[end] == b'\r' && bytes.get(end + 1) == Some(&self.newline) {
            end += 1;
        }
        if bytes[end] != self.separator && bytes[end] != self.newline {
            return Err("text follows its closing quote".into());
        }
        let lines = memchr::memchr_iter(self.newline, &bytes[start..close]).count();
        Ok(Some(Field { text, end, lines }))
    }

    /// Returns where the line after a blank or comment line begins, if the line at `at` is one.
    pub(super) fn skipped(&self, bytes: &[u8], at: usize) -> Option<usize> {
        let start = self.skip_blanks(bytes, at);
        if bytes[start] == self.newline {
            return Some(start + 1);
        }
        if bytes[start] == b'\r' && bytes.get(start + 1) == Some(&self.newline) {
            return Some(start + 2);
        }
        if self.comment != Some(bytes[start]) {
            return None;
        }
        let length = memchr::memchr(self.newline, &bytes[start..]);
        Some(length.map_or(bytes.len(), |length| start + length + 1))
    }

    /// Whether the row at `at` lists places and values, as arff files may.
    fn is_sparse(&self, bytes: &[u8], at: usize) -> bool {
        self.comment.is_some() && bytes[self.skip_blanks(bytes, at)] == b'{'
    }
}

/// Adds a piece to a text, which is borrowed as long as it is one piece.
fn append<'a>(text: &mut Cow<'a, [u8]>, piece: &'a [u8]) {
    match text.is_empty() {
        true => *text = Cow::Borrowed(piece),
        false => text.to_mut().extend_from_slice(piece),
    }
}

fn trimmed(text: &[u8]) -> &[u8] {
    text.trim_ascii()
}

/// Bytes of a text, whole lines at a time.
pub(super) struct Source<'a> {
    input: &'a mut dyn Read,
    buffer: Vec<u8>,
    at: usize,
    filled: usize,
    ended: bool,
    pub(super) newline: u8,
    /// Number of the line that begins at `at`, from 1.
    pub(super) line: usize,
}

/// Bytes of a row: nobody means more.
const LONGEST_ROW: usize = 1 << 24;

impl<'a> Source<'a> {
    /// Begins a text, without the mark that some programs put before UTF-8.
    pub(super) fn new(input: &'a mut dyn Read) -> Outcome<Self> {
        // a buffer that stays in the processor's cache
        let buffer = vec![0; 1 << 18];
        let (at, filled, ended) = (0, 0, false);
        let mut source = Self { input, buffer, at, filled, ended, newline: b'\n', line: 1 };
        source.read()?;
        let start = &source.buffer[..source.filled];
        if start.starts_with(b"\xef\xbb\xbf") {
            source.at = 3;
        }
        // as old Macs end lines
        if !start.contains(&b'\n') && start.contains(&b'\r') {
            source.newline = b'\r';
        }
        source.end_last_line();
        Ok(source)
    }

    /// Returns what there is of whole lines.
    pub(super) fn lines(&self) -> &[u8] {
        let there = &self.buffer[self.at..self.filled];
        &there[..memchr::memrchr(self.newline, there).map_or(0, |last| last + 1)]
    }

    /// Goes past bytes that were read.
    pub(super) fn consume(&mut self, bytes: usize) {
        self.at += bytes;
    }

    /// Whether nothing is left to read.
    pub(super) fn is_empty(&self) -> bool {
        self.ended && self.at == self.filled
    }

    /// Reads until the buffer is full, which grows if it was; whether there was anything more.
    pub(super) fn fill(&mut self) -> Outcome<bool> {
        self.buffer.copy_within(self.at..self.filled, 0);
        self.filled -= self.at;
        self.at = 0;
        // a place is kept for the end of a last line that has none
        if self.filled + 1 >= self.buffer.len() {
            if self.buffer.len() >= LONGEST_ROW {
                let line = self.line;
                return Err(Problem::Data(format!("line {line}, column 1: the row has no end")));
            }
            self.buffer.resize(2 * self.buffer.len(), 0);
        }
        let before = self.filled;
        self.read()?;
        self.end_last_line();
        Ok(self.filled > before)
    }

    /// Reads until the buffer is full but for a place.
    fn read(&mut self) -> Outcome<()> {
        while !self.ended && self.filled + 1 < self.buffer.len() {
            let place = self.filled..self.buffer.len() - 1;
            match self.input.read(&mut self.buffer[place])? {
                0 => self.ended = true,
                got => self.filled += got,
            }
        }
        Ok(())
    }

    fn end_last_line(&mut self) {
        let last = self.buffer[..self.filled].last();
        if self.ended && last.is_some_and(|last| *last != self.newline) {
            self.buffer[self.filled] = self.newline;
            self.filled += 1;
        }
    }

    /// Hands the lines that are left to a builder.
    pub(super) fn rows(&mut self, syntax: Syntax, builder: &mut Builder) -> Outcome<()> {
        let last = builder.roles().len() - 1;
        loop {
            let mut rows = Rows { syntax, builder: &mut *builder, last, line: self.line };
            let used = rows.take(self.lines())?;
            self.line = rows.line;
            self.consume(used);
            if self.is_empty() {
                return Ok(());
            }
            if !self.fill()? && used == 0 {
                return Err(Problem::Data(format!("line {}: a quote is never closed", self.line)));
            }
        }
    }
}

/// Turns lines into rows.
struct Rows<'a, 'b> {
    syntax: Syntax,
    builder: &'a mut Builder<'b>,
    /// Place of the last column.
    last: usize,
    line: usize,
}

impl Rows<'_, '_> {
    /// Takes whole rows; returns how many bytes they have.
    fn take(&mut self, bytes: &[u8]) -> Outcome<usize> {
        let mut at = 0;
        while at < bytes.len() {
            if let Some(next) = self.syntax.skipped(bytes, at) {
                self.line += 1;
                at = next;
                continue;
            }
            if self.syntax.is_sparse(bytes, at) {
                return Err(Problem::Data(format!(
                    "line {}: the row is in braces, as sparse rows are; write all values of every row",
                    self.line
                )));
            }
            let rows = self.builder.rows();
            match self.row(bytes, at)? {
                Some(next) => at = next,
                None => {
                    // its end is not there yet
                    self.builder.cut(rows);
                    break;
                }
            }
        }
        Ok(at)
    }

    /// Takes the row that begins at `at`; returns where the next one begins.
    fn row(&mut self, bytes: &[u8], mut at: usize) -> Outcome<Option<usize>> {
        let Syntax { separator, newline, .. } = self.syntax;
        let mut lines = 1;
        for column in 0..=self.last {
            let start = at;
            at = match self.plain(bytes, at, column) {
                Some(end) => end,
                None => {
                    let field = self.syntax.field(bytes, at);
                    let Some(field) = field.map_err(|what| self.fault(column, &what))? else {
                        return Ok(None);
                    };
                    let taken = self.builder.text(column, &field.text);
                    // a short row has a reason of its own
                    let short = column < self.last && bytes[field.end] == newline;
                    taken
                        .or_else(|what| if short { Ok(()) } else { Err(what) })
                        .map_err(|what| self.fault(column, &what))?;
                    lines += field.lines;
                    field.end
                }
            };
            let (found, wanted) = (bytes[at], if column < self.last { separator } else { newline });
            if found != wanted {
                return Err(self.fault(column, &self.width(column, &bytes[start..at])));
            }
            at += 1;
        }
        self.builder.end_row();
        self.line += lines;
        Ok(Some(at))
    }

    /// Takes a cell that is a plain number in a column of numbers, or the word of the row before, and
    /// returns where it ends. Such are nearly all cells.
    #[inline]
    fn plain(&mut self, bytes: &[u8], at: usize, column: usize) -> Option<usize> {
        let Syntax { separator, newline, .. } = self.syntax;
        let ends = |byte: u8| byte == separator || byte == newline;
        if self.builder.roles()[column] != Role::Number {
            let rest = &bytes[at..];
            let length = self.builder.repeated(column, |word| {
                rest.starts_with(word) && rest.get(word.len()).is_some_and(|next| ends(*next))
            })?;
            return Some(at + length);
        }
        // the commonest number has one digit
        if let [digit @ b'0'..=b'9', next, ..] = bytes[at..]
            && ends(next)
        {
            self.builder.finite(f64::from(digit - b'0'));
            return Some(at + 1);
        }
        let (number, mut end) = plain_number(bytes, at)?;
        if bytes[end] == b'\r' && bytes.get(end + 1) == Some(&newline) {
            end += 1;
        }
        if !ends(bytes[end]) {
            return None;
        }
        self.builder.finite(number);
        Some(end)
    }

    /// Says that a row has too few or too many columns.
    fn width(&self, column: usize, cell: &[u8]) -> String {
        let (text, needed) = (String::from_utf8_lossy(trimmed(cell)), self.last + 1);
        match column < self.last {
            true => format!("the row ends here with '{text}'; it needs {needed} columns"),
            false => format!("the row goes on after '{text}'; it needs {needed} columns"),
        }
    }

    fn fault(&self, column: usize, what: &str) -> Problem {
        let (line, name) = (self.line, self.builder.name(column));
        Problem::Data(format!("line {line}, column {} ({name}): {what}", column + 1))
    }
}

/// Reads a number of at most 15 digits without exponent, which is the double nearest to its decimal:
/// the quotient of two numbers that a double holds exactly.
#[inline]
fn plain_number(bytes: &[u8], at: usize) -> Option<(f64, usize)> {
    const POWERS: [f64; 16] =
        [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
    let negative = bytes[at] == b'-';
    let start = at + usize::from(negative);
    let mut value = 0u64;
    let mut digits = |mut at: usize| {
        while let digit @ 0..=9 = bytes[at].wrapping_sub(b'0') {
            value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
            at += 1;
        }
        at
    };
    let mut end = digits(start);
    let mut count = end - start;
    let mut decimals = 0;
    if bytes[end] == b'.' {
        let point = end + 1;
        end = digits(point);
        decimals = end - point;
        count += decimals;
    }
    if !(1..=15).contains(&count) {
        return None;
    }
    let number = match decimals {
        0 => value as f64,
        _ => value as f64 / POWERS[decimals],
    };
    Some((if negative { -number } else { number }, end))
}
