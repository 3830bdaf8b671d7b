//! What a template of a document may ask for: rows of the CSV files of a project. It reads files and computes nothing that a file could hold; what it cannot
//! find is an error that names what there is.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use csv::ReaderBuilder;
use minijinja::value::{Kwargs, Value};
use minijinja::{Environment, Error, ErrorKind, State};

use crate::experiment::{CellName, Experiment, Selection};

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

    /// Returns what templates left out because its file is not there, in the order of asking.
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

    /// Returns the number of runs that an experiment of `experiments/` declares for each cell. A name that begins with
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

    /// Reads a file's text.
    fn text(&self, file: &str) -> Found<String> {
        std::fs::read_to_string(self.root.join(file))
            .map_err(|error| wrong(format!("cannot read {file}: {error}")))
    }

    /// Lists the experiments of `experiments/` without a `runs.csv` in `results/`, by name.
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

    /// Lists the labels of the cells that have results, in the order of `summary.csv`, without controls.
    fn cells(&self, experiment: &str) -> Found<Vec<String>> {
        let table = self.table(&format!("results/{experiment}/summary.csv"))?;
        let column = table.column("cell")?;
        let mut cells: Vec<String> = Vec::new();
        for texts in &table.texts {
            let label = &texts[column];
            if !CellName::from(label.as_str()).is_control() && !cells.contains(label) {
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

    /// Finds the places of the rows that hold all that is wanted.
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

    /// Makes a value of a text. A blank number is `none`, which no filter writes by mistake; a blank word is empty.
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

/// Gives an environment the functions that ask for facts.
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
}

/// Gives an environment functions that find rows by the words that name them.
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
