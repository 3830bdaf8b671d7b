//! What a template of a document may ask for: rows of the CSV files of a project, and how their
//! numbers are written. It reads files and computes nothing that a file could hold; what it cannot
//! find is an error that names what there is.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use csv::ReaderBuilder;
use minijinja::value::{Kwargs, Value};
use minijinja::{Environment, Error, ErrorKind, State};

use crate::experiment::{Experiment, Selection};

/// Columns whose words may look like numbers, such as a commit 123e456.
const WORDS: [&str; 3] = ["commit", "key", "libtorch"];

type Found<T> = std::result::Result<T, Error>;

/// The CSV files below a folder, each read once.
pub struct Facts {
    root: PathBuf,
    tables: Mutex<HashMap<String, Arc<Table>>>,
    left_out: Mutex<Vec<String>>,
}

/// A CSV file: texts as they stand there, and what a template sees of them.
struct Table {
    file: String,
    columns: Vec<String>,
    texts: Vec<Vec<String>>,
    rows: Vec<Value>,
}

impl Facts {
    pub fn new(root: &Path) -> Arc<Self> {
        let (tables, left_out) = (Mutex::default(), Mutex::default());
        Arc::new(Self { root: root.to_owned(), tables, left_out })
    }

    /// What templates left out because its file is not there, in the order of asking.
    pub fn left_out(&self) -> Vec<String> {
        self.left_out.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn has(&self, template: &str, file: &str) -> bool {
        let there = self.root.join(file).exists();
        if !there {
            let mut left_out = self.left_out.lock().unwrap_or_else(PoisonError::into_inner);
            let line = format!("{template} leaves out what {file} would hold, which is not there");
            if !left_out.contains(&line) {
                left_out.push(line);
            }
        }
        there
    }

    fn table(&self, file: &str) -> Found<Arc<Table>> {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = tables.get(file) {
            return Ok(Arc::clone(known));
        }
        let table = Arc::new(Table::read(&self.root, file)?);
        tables.insert(file.to_owned(), Arc::clone(&table));
        Ok(table)
    }

    fn find(&self, file: &str, wanted: &Kwargs) -> Found<Vec<Value>> {
        let wanted = Wanted::of(wanted)?;
        let table = self.table(file)?;
        Ok(table.find(&wanted)?.into_iter().map(|place| table.rows[place].clone()).collect())
    }

    fn rows(&self, file: &str, wanted: &Kwargs) -> Found<Vec<Value>> {
        let wanted = Wanted::of(wanted)?;
        self.some_rows(file, &wanted)
    }

    fn some_rows(&self, file: &str, wanted: &[Wanted]) -> Found<Vec<Value>> {
        let table = self.table(file)?;
        let places = table.find(wanted)?;
        if places.is_empty() {
            return Err(table.nothing(wanted));
        }
        Ok(places.into_iter().map(|place| table.rows[place].clone()).collect())
    }

    fn row(&self, file: &str, wanted: &[Wanted]) -> Found<Value> {
        let mut rows = self.some_rows(file, wanted)?;
        match rows.len() {
            1 => Ok(rows.remove(0)),
            count => Err(wrong(format!(
                "{file} has {count} rows with {}; name another column too",
                Wanted::list(wanted)
            ))),
        }
    }

    /// The runs that an experiment of `experiments/` declares for each cell. A name that begins with
    /// `reduced/` is the same experiment's reduced protocol.
    fn declared_runs(&self, name: &str) -> Found<usize> {
        let (quick, name) = match name.strip_prefix("reduced/") {
            Some(name) => (true, name),
            None => (false, name),
        };
        let path = self.root.join(format!("experiments/{name}.toml"));
        let text = std::fs::read_to_string(&path)
            .map_err(|error| wrong(format!("cannot read {}: {error}", path.display())))?;
        let selection = Selection { quick, ..Selection::default() };
        let experiment = Experiment::parse(&path, &text, &selection)
            .map_err(|error| wrong(error.to_string()))?;
        Ok(experiment.seeds.len())
    }

    /// A file's text.
    fn text(&self, file: &str) -> Found<String> {
        std::fs::read_to_string(self.root.join(file))
            .map_err(|error| wrong(format!("cannot read {file}: {error}")))
    }

    /// The experiments of `experiments/` without a `runs.csv` in `results/`, by name.
    fn unrun_experiments(&self) -> Found<Vec<String>> {
        let folder = self.root.join("experiments");
        let entries = std::fs::read_dir(&folder)
            .map_err(|error| wrong(format!("cannot look into {}: {error}", folder.display())))?;
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let names = names.filter_map(|name| name.strip_suffix(".toml").map(str::to_owned));
        let run = |name: &String| self.root.join(format!("results/{name}/runs.csv")).exists();
        let mut unrun: Vec<String> = names.filter(|name| !run(name)).collect();
        unrun.sort();
        Ok(unrun)
    }

    /// The labels of the cells that have results, in the order of `summary.csv`, without controls.
    fn cells(&self, experiment: &str) -> Found<Vec<String>> {
        let table = self.table(&format!("results/{experiment}/summary.csv"))?;
        let column = table.column("cell")?;
        let mut cells: Vec<String> = Vec::new();
        for texts in &table.texts {
            let label = &texts[column];
            if !label.contains(",control=") && !cells.contains(label) {
                cells.push(label.clone());
            }
        }
        Ok(cells)
    }
}

/// A column and the value that a row must have there.
struct Wanted {
    column: String,
    value: Value,
}

impl Wanted {
    fn of(arguments: &Kwargs) -> Found<Vec<Self>> {
        let mut columns: Vec<&str> = arguments.args().collect();
        columns.sort_unstable();
        let wanted = |column: &str| {
            Ok(Self { column: column.to_owned(), value: arguments.get::<Value>(column)? })
        };
        columns.into_iter().map(wanted).collect()
    }

    fn new(column: &str, value: &str) -> Self {
        Self { column: column.to_owned(), value: Value::from(value) }
    }

    fn holds(&self, text: &str) -> bool {
        match self.value.as_str() {
            Some(wanted) => wanted == text,
            None => {
                let wanted = f64::try_from(self.value.clone());
                matches!((wanted, text.parse::<f64>()), (Ok(a), Ok(b)) if a == b)
            }
        }
    }

    fn list(wanted: &[Self]) -> String {
        let one = |wanted: &Self| format!("{} = {}", wanted.column, wanted.value);
        wanted.iter().map(one).collect::<Vec<_>>().join(", ")
    }
}

impl Table {
    fn read(root: &Path, file: &str) -> Found<Self> {
        let cannot = |error: &dyn std::fmt::Display| {
            wrong(format!("cannot read {file}: {error}; 'make report' and the benchmarks write it"))
        };
        let mut reader =
            ReaderBuilder::new().from_path(root.join(file)).map_err(|error| cannot(&error))?;
        let header = reader.headers().map_err(|error| cannot(&error))?;
        let columns: Vec<String> = header.iter().map(str::to_owned).collect();
        let mut texts: Vec<Vec<String>> = Vec::new();
        for record in reader.records() {
            let record = record.map_err(|error| cannot(&error))?;
            texts.push(record.iter().map(str::to_owned).collect());
        }
        let kinds: Vec<Kind> = (0..columns.len())
            .map(|column| Kind::of(&columns[column], texts.iter().map(|row| row[column].as_str())))
            .collect();
        let row = |row: &Vec<String>| {
            let values = row.iter().zip(&kinds).map(|(text, kind)| kind.value(text));
            Value::from_pairs(columns.iter().map(String::as_str).zip(values))
        };
        let rows = texts.iter().map(row).collect();
        Ok(Self { file: file.to_owned(), columns, texts, rows })
    }

    fn column(&self, name: &str) -> Found<usize> {
        let place = self.columns.iter().position(|column| column == name);
        place.ok_or_else(|| {
            let (file, there) = (&self.file, self.columns.join(", "));
            wrong(format!("{file} has no column '{name}', only {there}"))
        })
    }

    /// The places of the rows that hold all that is wanted.
    fn find(&self, wanted: &[Wanted]) -> Found<Vec<usize>> {
        let mut places: Vec<usize> = (0..self.texts.len()).collect();
        for one in wanted {
            let column = self.column(&one.column)?;
            places.retain(|&place| one.holds(&self.texts[place][column]));
        }
        Ok(places)
    }

    /// Says which wanted value no row has, and which are nearest.
    fn nothing(&self, wanted: &[Wanted]) -> Error {
        let mut places: Vec<usize> = (0..self.texts.len()).collect();
        for one in wanted {
            let Ok(column) = self.column(&one.column) else { continue };
            let before: Vec<&str> =
                places.iter().map(|&place| self.texts[place][column].as_str()).collect();
            places.retain(|&place| one.holds(&self.texts[place][column]));
            if places.is_empty() {
                let sought = one.value.to_string();
                let distance = |text: &&str| strsim::damerau_levenshtein(text, &sought);
                let nearest = before.iter().copied().min_by_key(distance).unwrap_or("nothing");
                let (file, list) = (&self.file, Wanted::list(wanted));
                let column = &one.column;
                return wrong(format!(
                    "{file} has no row with {list} (nearest {column}: '{nearest}')"
                ));
            }
        }
        wrong(format!("{} has no row", self.file))
    }
}

/// What the texts of a column are.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Whole,
    Number,
    Word,
}

impl Kind {
    fn of<'a>(column: &str, texts: impl Iterator<Item = &'a str> + Clone) -> Self {
        let mut said = texts.filter(|text| !text.is_empty());
        let finite = |text: &str| text.parse::<f64>().is_ok_and(f64::is_finite);
        if WORDS.contains(&column) || column.ends_with("sha256") {
            Self::Word
        } else if said.clone().all(|text| text.parse::<i64>().is_ok()) {
            Self::Whole
        } else if said.all(finite) {
            Self::Number
        } else {
            Self::Word
        }
    }

    /// A blank number is `none`, which no filter writes by mistake; a blank word is empty.
    fn value(self, text: &str) -> Value {
        match self {
            Self::Whole => text.parse::<i64>().map_or(Value::from(()), Value::from),
            Self::Number => text.parse::<f64>().map_or(Value::from(()), Value::from),
            Self::Word => Value::from(text),
        }
    }
}

fn wrong(message: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}

/// Gives an environment the functions that ask for facts and the filters that write them.
pub fn add_to(environment: &mut Environment<'_>, facts: &Arc<Facts>) {
    let own = Arc::clone(facts);
    environment
        .add_function("has", move |state: &mut State, file: String| own.has(state.name(), &file));
    let own = Arc::clone(facts);
    environment.add_function("rows", move |file: String, wanted: Kwargs| own.rows(&file, &wanted));
    let own = Arc::clone(facts);
    environment.add_function("find", move |file: String, wanted: Kwargs| own.find(&file, &wanted));
    let own = Arc::clone(facts);
    environment.add_function("row", move |file: String, wanted: Kwargs| {
        own.row(&file, &Wanted::of(&wanted)?)
    });
    let own = Arc::clone(facts);
    environment.add_function("declared_runs", move |name: String| own.declared_runs(&name));
    let own = Arc::clone(facts);
    environment.add_function("text", move |file: String| own.text(&file));
    let own = Arc::clone(facts);
    environment.add_function("unrun_experiments", move || own.unrun_experiments());
    let own = Arc::clone(facts);
    environment.add_function("cells", move |experiment: String| own.cells(&experiment));
    add_estimates(environment, facts);
    add_filters(environment);
}

/// Rows of an experiment's tables by the words that name them.
fn add_estimates(environment: &mut Environment<'_>, facts: &Arc<Facts>) {
    let own = Arc::clone(facts);
    environment.add_function("estimate", move |name: String, cell: String, metric: String| {
        let file = format!("results/{name}/summary.csv");
        own.row(&file, &[Wanted::new("cell", &cell), Wanted::new("metric", &metric)])
    });
    let own = Arc::clone(facts);
    environment.add_function(
        "pair",
        move |name: String, cell: String, against: String, metric: String| {
            let file = format!("results/{name}/pairs.csv");
            let cells = [Wanted::new("cell", &cell), Wanted::new("against", &against)];
            let [cell, against] = cells;
            own.row(&file, &[cell, against, Wanted::new("metric", &metric)])
        },
    );
    let own = Arc::clone(facts);
    environment.add_function(
        "measured",
        move |name: String, cell: String, what: String| -> Found<Vec<Value>> {
            let file = format!("results/{name}/diagnostics.csv");
            let rows =
                own.some_rows(&file, &[Wanted::new("cell", &cell), Wanted::new("name", &what)])?;
            rows.iter().map(|row| row.get_attr("value")).collect()
        },
    );
}

fn add_filters(environment: &mut Environment<'_>) {
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
        crate::stats::mean(&numbers).ok_or_else(|| wrong("no values have no mean".into()))
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

/// With so many decimals and a minus sign; never a negative zero.
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

/// With so many digits that count: 0.00123, 12.3, 123.
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

/// Words between spaces; those of a code span stay together.
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

/// With a comma between groups of three digits.
fn thousands(value: i64) -> String {
    let digits = value.unsigned_abs().to_string();
    let mut text = if value < 0 { "−".to_owned() } else { String::new() };
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Two digits that count, and no more precision than a p value has.
fn p_value(p: f64) -> String {
    if p < 0.0001 {
        return "< 0.0001".into();
    }
    let decimals = (1.0 - p.log10().floor()).max(2.0) as usize;
    written(p, decimals)
}
