//! How the templates of documents write numbers and fill lines: filters, knowing no files.

use minijinja::value::Value;
use minijinja::{Environment, Error, ErrorKind};

use crate::stats;

type Found<T> = std::result::Result<T, Error>;

fn wrong(message: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}

/// Gives an environment the filters that write numbers.
pub fn add_to(environment: &mut Environment<'_>) {
    environment.add_filter("f", |value: Value, decimals: usize| fixed(&value, decimals));
    environment.add_filter("signed", |value: Value, decimals: usize| signed(&value, decimals));
    environment.add_filter("percent", |value: Value, decimals: Option<usize>| {
        let share = 100.0 * number(&value)?;
        Ok::<_, Error>(format!("{} %", written(share, decimals.unwrap_or(0))))
    });
    environment.add_filter("p", |value: Value| Ok::<_, Error>(p_value(number(&value)?)));
    environment.add_filter("digits", |value: Value, digits: usize| significant(&value, digits));
    environment.add_filter("wrap", |text: String| wrapped(&text));
    environment.add_filter("thousands", |value: i64| thousands(value));
    environment.add_filter("mean", |values: Vec<Value>| {
        let numbers = values.iter().map(number).collect::<Found<Vec<f64>>>()?;
        stats::mean(&numbers).ok_or_else(|| wrong("no values have no mean".into()))
    });
    environment.add_filter("pm", |row: Value, decimals: usize| {
        let (mean, std) = (row.get_attr("mean")?, row.get_attr("std")?);
        let spread = match std.is_none() {
            // one run has no spread
            true => String::new(),
            false => format!(" ± {}", fixed(&std, decimals)?),
        };
        Ok::<_, Error>(fixed(&mean, decimals)? + &spread)
    });
    environment.add_filter("interval", |row: Value, decimals: usize| {
        let (low, high) = (row.get_attr("ci95_low")?, row.get_attr("ci95_high")?);
        Ok::<_, Error>(format!("[{}, {}]", fixed(&low, decimals)?, fixed(&high, decimals)?))
    });
}

fn number(value: &Value) -> Found<f64> {
    if value.is_undefined() {
        return Err(wrong("there is no such column, and so no number".into()));
    }
    let number = if value.is_none() { None } else { f64::try_from(value.clone()).ok() };
    number.ok_or_else(|| match value.is_none() {
        true => wrong("the field is blank, so there is no number to write".into()),
        false => wrong(format!("'{value}' is not a number")),
    })
}

/// Writes a number with so many decimals and a minus sign; never a negative zero.
fn written(number: f64, decimals: usize) -> String {
    let text = format!("{number:.decimals$}");
    match text.strip_prefix('-') {
        Some(rest) if rest.bytes().all(|byte| matches!(byte, b'0' | b'.')) => rest.to_owned(),
        Some(rest) => format!("−{rest}"),
        None => text,
    }
}

fn fixed(value: &Value, decimals: usize) -> Found<String> {
    Ok(written(number(value)?, decimals))
}

fn signed(value: &Value, decimals: usize) -> Found<String> {
    let text = written(number(value)?, decimals);
    Ok(if text.starts_with('−') { text } else { format!("+{text}") })
}

/// Writes a number with so many digits that count: 0.00123, 12.3, 123.
fn significant(value: &Value, digits: usize) -> Found<String> {
    let number = number(value)?;
    let before = if number == 0.0 { 1 } else { number.abs().log10().floor() as i64 + 1 };
    Ok(written(number, usize::try_from(digits as i64 - before).unwrap_or(0)))
}

/// Columns at which `wrap` breaks lines.
const WIDTH: usize = 130;

/// Fills the lines of paragraphs and bullets, whose numbers make them longer or shorter. Code is not
/// broken.
fn wrapped(text: &str) -> String {
    let mut filled = String::new();
    let mut column = 0;
    for line in text.lines() {
        if line.trim().is_empty() || line.starts_with("- ") {
            filled.push_str(if column > 0 { "\n" } else { "" });
            column = 0;
        }
        if line.trim().is_empty() {
            filled.push('\n');
        }
        for word in words(line) {
            let length = word.chars().count();
            let bullet = filled.lines().last().is_some_and(|last| last.starts_with(['-', ' ']));
            if column == 0 {
                column = length;
            } else if column + 1 + length > WIDTH {
                filled.push_str(if bullet { "\n  " } else { "\n" });
                column = length + if bullet { 2 } else { 0 };
            } else {
                filled.push(' ');
                column += 1 + length;
            }
            filled.push_str(&word);
        }
    }
    filled.push_str(if column > 0 { "\n" } else { "" });
    filled
}

/// Returns the words between spaces; those of a code span stay together.
fn words(line: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in line.split_whitespace() {
        match words.last_mut() {
            Some(last) if last.matches('`').count() % 2 == 1 => {
                last.push(' ');
                last.push_str(word);
            }
            Some(_) | None => words.push(word.to_owned()),
        }
    }
    words
}

/// Writes a whole number with a comma between groups of three digits.
fn thousands(value: i64) -> String {
    let digits = value.unsigned_abs().to_string();
    let mut text = if value < 0 { "−".to_owned() } else { String::new() };
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Writes a p value with two digits that count, and no more precision than it has.
fn p_value(p: f64) -> String {
    if p < 0.0001 {
        return "< 0.0001".into();
    }
    let decimals = (1.0 - p.log10().floor()).max(2.0) as usize;
    written(p, decimals)
}
