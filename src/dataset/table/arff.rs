//! Weka's attribute-relation files: a head that declares the columns, then rows between commas.

use std::collections::HashSet;
use std::io::Read;

use super::builder::Builder;
use super::text::{Source, Syntax};
use super::{Outcome, Problem};

/// Reads an arff file's rows.
pub(super) fn read(input: &mut dyn Read, builder: &mut Builder) -> Outcome<()> {
    let spec = builder.spec();
    spec.refuse_array_keys()?;
    spec.refuse_text_keys()?;
    let mut source = Source::new(input)?;
    let mut names = Vec::new();
    loop {
        let Some(line) = next_line(&mut source)? else {
            return Err(Problem::Data("it has no line '@data'".into()));
        };
        let number = source.line - 1;
        let wrong = |what: String| Problem::Data(format!("line {number}: {what}"));
        match declared(&line).map_err(wrong)? {
            Declared::Nothing => {}
            Declared::Column(name) => names.push(name),
            Declared::Data => break,
        }
    }
    if names.is_empty() {
        return Err(Problem::Data("it declares no '@attribute'".into()));
    }
    builder.begin(names, false)?;
    let newline = source.newline;
    let (quotes, comment) = (b"'\"".as_slice(), Some(b'%'));
    let syntax = Syntax { separator: b',', quotes, escapes: true, comment, newline };
    source.rows(syntax, builder)
}

/// Takes the next line; none at the end.
fn next_line(source: &mut Source) -> Outcome<Option<String>> {
    loop {
        let lines = source.lines();
        if let Some(length) = memchr::memchr(source.newline, lines) {
            let line = String::from_utf8_lossy(&lines[..length]).trim().to_owned();
            source.consume(length + 1);
            source.line += 1;
            return Ok(Some(line));
        }
        if source.is_empty() || !source.fill()? && source.lines().is_empty() {
            return Ok(None);
        }
    }
}

/// What a line of the head says.
enum Declared {
    Nothing,
    Column(String),
    Data,
}

fn declared(line: &str) -> Result<Declared, String> {
    if line.is_empty() || line.starts_with('%') {
        return Ok(Declared::Nothing);
    }
    let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    match word.to_ascii_lowercase().as_str() {
        "@relation" => Ok(Declared::Nothing),
        "@data" => Ok(Declared::Data),
        "@attribute" => attribute(rest.trim()).map(Declared::Column),
        _ => Err(format!("'{word}' is none of @relation, @attribute and @data")),
    }
}

/// Reads a column's name; its type matters only where its values could not be read.
fn attribute(text: &str) -> Result<String, String> {
    let (name, kind) = match text.chars().next() {
        Some(quote @ ('\'' | '"')) => {
            let (name, rest) = text[1..].split_once(quote).ok_or("its quote is never closed")?;
            (name, rest)
        }
        Some(_) => text
            .split_once([' ', '\t', '{'])
            .map_or((text, ""), |(name, _)| (name, &text[name.len()..])),
        None => return Err("@attribute needs a name and a type".into()),
    };
    let kind = kind.trim();
    let word = kind.split(|c: char| c.is_whitespace() || c == '{').next().unwrap_or_default();
    let known: HashSet<&str> = ["numeric", "real", "integer", "string", "date"].into();
    match word.to_ascii_lowercase().as_str() {
        "relational" => Err(format!("the column '{name}' is relational, which a table cannot be")),
        "" if kind.starts_with('{') => Ok(name.to_owned()),
        word if known.contains(word) => Ok(name.to_owned()),
        _ => Err(format!(
            "the column '{name}' has the type '{word}'; known: numeric, real, integer, string, date, \
             and values in braces"
        )),
    }
}
