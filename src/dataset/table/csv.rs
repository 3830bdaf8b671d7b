//! Cells between separators, a row a line, with or without a line of names.

use std::io::Read;

use super::builder::Builder;
use super::text::{Source, Syntax};
use super::{Outcome, Problem, TableSpec};

/// Reads a csv file's rows.
pub(super) fn read(input: &mut dyn Read, builder: &mut Builder) -> Outcome<()> {
    let spec = builder.spec();
    spec.refuse_array_keys()?;
    let mut source = Source::new(input)?;
    let separator = match &spec.separator {
        Some(given) => given.as_bytes()[0],
        None => detected(source.lines(), source.newline),
    };
    let newline = source.newline;
    let syntax = Syntax { separator, quotes: b"\"", escapes: false, comment: None, newline };
    let first = loop {
        skip_blank_lines(&mut source, syntax);
        if let Some(first) = first_line(&source, syntax)? {
            break first;
        }
        if !source.fill()? {
            let what = if source.is_empty() { "it is empty" } else { "a quote is never closed" };
            return Err(Problem::Data(what.into()));
        }
    };
    if first.cells.len() < 2 && spec.separator.is_none() {
        return Err(Problem::Spec(
            "its first line has no comma, semicolon, tab or bar; name what stands between cells in \
             dataset.separator"
                .into(),
        ));
    }
    if spec.header == Some(false) {
        let names = (1..=first.cells.len()).map(|place| place.to_string()).collect();
        builder.begin(names, false)?;
    } else {
        let names = names(first.cells, spec)
            .map_err(|what| Problem::Spec(format!("line {}, column {what}", source.line)))?;
        builder.begin(names, false)?;
        source.consume(first.bytes);
        source.line += first.lines;
    }
    source.rows(syntax, builder)
}

/// A line that is taken apart before it is known what its cells are for.
struct Line {
    cells: Vec<String>,
    bytes: usize,
    lines: usize,
}

fn skip_blank_lines(source: &mut Source, syntax: Syntax) {
    while let Some(next) =
        Some(source.lines()).filter(|lines| !lines.is_empty()).and_then(|l| syntax.skipped(l, 0))
    {
        source.consume(next);
        source.line += 1;
    }
}

/// Takes the first line apart; none where its end is not among the bytes.
fn first_line(source: &Source, syntax: Syntax) -> Outcome<Option<Line>> {
    let (bytes, number) = (source.lines(), source.line);
    let mut line = Line { cells: Vec::new(), bytes: 0, lines: 1 };
    while line.bytes < bytes.len() {
        let column = line.cells.len() + 1;
        let wrong = |what| Problem::Data(format!("line {number}, column {column}: {what}"));
        let Some(field) = syntax.field(bytes, line.bytes).map_err(wrong)? else { return Ok(None) };
        line.cells.push(String::from_utf8_lossy(&field.text).into_owned());
        line.lines += field.lines;
        line.bytes = field.end + 1;
        if bytes[field.end] == syntax.newline {
            return Ok(Some(line));
        }
    }
    Ok(None)
}

/// Makes a line of names the columns' names; refuses what looks like a row, with its place.
fn names(cells: Vec<String>, spec: &TableSpec) -> Result<Vec<String>, String> {
    let number = |cell: &String| cell.parse::<f64>().is_ok();
    if let Some(place) = cells.iter().position(number)
        && spec.header.is_none()
    {
        return Err(format!(
            "{}: '{}' looks like a value; say dataset.header = false if the first line is a row \
             (columns are then called \"1\", \"2\", …), or true if it has names",
            place + 1,
            cells[place]
        ));
    }
    let mut names = Vec::new();
    for (place, cell) in cells.into_iter().enumerate() {
        let position = (place + 1).to_string();
        if !cell.is_empty() {
            names.push(cell);
        } else if spec.drop.contains(&position) {
            names.push(position);
        } else {
            return Err(format!(
                "{position}: the column has no name; if it numbers the rows, say dataset.drop = \
                 [\"{position}\"]"
            ));
        }
    }
    Ok(names)
}

/// Finds the separator in the first lines: the one that splits them all into equally many cells, and
/// into most.
fn detected(bytes: &[u8], newline: u8) -> u8 {
    const LINES: usize = 10;
    let lines = bytes.split(|&byte| byte == newline).filter(|line| !line.trim_ascii().is_empty());
    let lines: Vec<&[u8]> = lines.take(LINES).collect();
    let counts = |separator: u8| -> Vec<usize> {
        let outside = |line: &&[u8]| {
            let mut quoted = false;
            let found = line.iter().filter(|&&byte| {
                quoted ^= byte == b'"';
                byte == separator && !quoted
            });
            found.count()
        };
        lines.iter().map(outside).collect()
    };
    let rank = |separator: &u8| {
        let counts = counts(*separator);
        let first = counts.first().copied().unwrap_or(0);
        (counts.iter().all(|count| *count == first) && first > 0, first)
    };
    // of equals the first
    *b",;\t|".iter().rev().max_by_key(|separator| rank(separator)).unwrap_or(&b',')
}
