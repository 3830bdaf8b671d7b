//! What becomes of the cells of a table: numbers, words of one-hot columns, classes, or nothing. Cells
//! come row by row, each row's in the file's order. Numbers take eight bytes each, words four.

use std::collections::HashMap;

use indexmap::IndexSet;

use super::{Missing, Outcome, Problem, TableSpec, listed};
use crate::text::nearest;

/// What a column is for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Role {
    Number,
    /// One-hot; the place of its vocabulary.
    Word(usize),
    Label,
    Dropped,
}

/// Takes cells and makes rows of them.
pub(super) struct Builder<'a> {
    spec: &'a TableSpec,
    /// Of the columns of the first file.
    names: Vec<String>,
    roles: Vec<Role>,
    /// [rows, number columns].
    numbers: Vec<f64>,
    /// [rows, word columns]: places in the vocabularies.
    words: Vec<u32>,
    vocabularies: Vec<Vocabulary>,
    /// A place in `classes` a row.
    labels: Vec<u32>,
    classes: Vocabulary,
    /// Whether a value of the row to come is missing, so that it is left out.
    lacks: bool,
    /// Rows that were left out.
    left_out: usize,
}

/// The rows' values once encoded: one-hot columns first, then numbers.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct Cells {
    /// [rows, number columns].
    numbers: Vec<f64>,
    /// [rows, word columns]: the column of each word's 1.
    words: Vec<u32>,
    width: Width,
}

/// How many of each kind a row has.
#[derive(Debug, Clone, Copy, Default)]
struct Width {
    numbers: usize,
    words: usize,
    /// Columns that the words become.
    one_hot: usize,
}

impl Cells {
    /// Writes the unscaled values of a row, one a column.
    pub(in super::super) fn decode(&self, row: u32, values: &mut [f64]) {
        let (row, Width { numbers, words, one_hot }) = (row as usize, self.width);
        let (hot, rest) = values.split_at_mut(one_hot);
        hot.fill(0.0);
        for &column in &self.words[row * words..(row + 1) * words] {
            hot[column as usize] = 1.0;
        }
        rest.copy_from_slice(&self.numbers[row * numbers..(row + 1) * numbers]);
    }
}

/// What a data set is made of.
pub(super) struct Built {
    pub(super) columns: Vec<String>,
    pub(super) scaled: Vec<bool>,
    pub(super) labels: Vec<bool>,
    pub(super) cells: Cells,
}

/// Columns of a file, and columns once encoded: names take memory, and a value may make a column.
pub(super) const MOST_COLUMNS: usize = 1 << 16;

impl<'a> Builder<'a> {
    pub(super) fn new(spec: &'a TableSpec) -> Self {
        Self {
            spec,
            names: Vec::new(),
            roles: Vec::new(),
            numbers: Vec::new(),
            words: Vec::new(),
            vocabularies: Vec::new(),
            labels: Vec::new(),
            classes: Vocabulary::default(),
            lacks: false,
            left_out: 0,
        }
    }

    pub(super) fn spec(&self) -> &'a TableSpec {
        self.spec
    }

    /// Returns how many rows there are.
    pub(super) fn rows(&self) -> usize {
        self.labels.len()
    }

    pub(super) fn roles(&self) -> &[Role] {
        &self.roles
    }

    /// Returns a column's name, for errors.
    pub(super) fn name(&self, column: usize) -> &str {
        &self.names[column]
    }

    /// Begins a file with the names of its columns, of which one holds the classes unless they come
    /// apart. A second file must have the first one's.
    pub(super) fn begin(&mut self, names: Vec<String>, apart: bool) -> Outcome<()> {
        if names.len() > MOST_COLUMNS {
            let count = names.len();
            return Err(Problem::Data(format!(
                "it has {count} columns; {MOST_COLUMNS} are the limit"
            )));
        }
        if !self.names.is_empty() {
            return self.compare(&names);
        }
        self.check_names(&names, apart)?;
        let spec = self.spec;
        let mut words = 0;
        for name in &names {
            self.roles.push(if !apart && *name == spec.label {
                Role::Label
            } else if spec.drop.contains(name) {
                Role::Dropped
            } else if spec.categorical.contains(name) {
                words += 1;
                Role::Word(words - 1)
            } else {
                Role::Number
            });
        }
        if words == 0 && !self.roles.contains(&Role::Number) {
            return Err(Problem::Spec("dataset.drop leaves no column beside the label".into()));
        }
        self.vocabularies.resize_with(words, Vocabulary::default);
        self.names = names;
        Ok(())
    }

    fn compare(&self, names: &[String]) -> Outcome<()> {
        if names.len() != self.names.len() {
            return Err(Problem::Data(format!(
                "it has {} columns, and dataset.file has {}",
                names.len(),
                self.names.len()
            )));
        }
        match names.iter().zip(&self.names).enumerate().find(|(_, (one, other))| one != other) {
            Some((place, (one, other))) => Err(Problem::Data(format!(
                "column {} is '{one}', and in dataset.file it is '{other}'",
                place + 1
            ))),
            None => Ok(()),
        }
    }

    /// Refuses names that stand for two columns, and names in the table that stand for none.
    fn check_names(&self, names: &[String], apart: bool) -> Outcome<()> {
        let mut known = IndexSet::new();
        for (place, name) in names.iter().enumerate() {
            if !known.insert(name.as_str()) {
                return Err(Problem::Data(format!(
                    "column {} is called '{name}' as an earlier one is; rename one of them",
                    place + 1
                )));
            }
        }
        let spec = self.spec;
        let label = [spec.label.clone()];
        let lists: [(&str, &[String]); 4] = [
            ("label", if apart { &[] } else { &label }),
            ("categorical", &spec.categorical),
            ("drop", &spec.drop),
            ("unscaled", &spec.unscaled),
        ];
        for (key, wanted) in lists {
            if let Some(name) = wanted.iter().find(|name| !known.contains(name.as_str())) {
                let near = nearest(name, &known.iter().copied().collect::<Vec<_>>());
                let all = listed(known.iter().copied());
                return Err(Problem::Spec(format!(
                    "dataset.{key} names the column '{name}', which it has not{near}; its columns: {all}"
                )));
            }
        }
        // pandas' row numbers would be taken for a feature
        let index = |name: &&str| name.starts_with("__index_level_");
        match known.iter().find(|name| index(name) && !spec.drop.contains(&(**name).to_owned())) {
            Some(name) => Err(Problem::Spec(format!(
                "the column '{name}' is an index that pandas wrote; name it in dataset.drop"
            ))),
            None => Ok(()),
        }
    }

    /// Takes the text of a cell, or says what is wrong with it.
    #[inline]
    pub(super) fn text(&mut self, column: usize, text: &[u8]) -> Result<(), String> {
        match self.roles[column] {
            Role::Dropped => Ok(()),
            Role::Word(_) if text.is_empty() || text == b"?" => {
                self.words.push(0);
                self.missing(text)
            }
            Role::Word(place) => {
                let code = self.vocabularies[place].code(text)?;
                self.words.push(code);
                Ok(())
            }
            Role::Label if text.is_empty() || text == b"?" => {
                self.labels.push(0);
                self.missing(text)
            }
            Role::Label => {
                let code = self.classes.code(text)?;
                self.labels.push(code);
                Ok(())
            }
            Role::Number => self.number_from(text),
        }
    }

    /// Takes the column's last word once more if it `is` the cell; returns its length.
    #[inline]
    pub(super) fn repeated(&mut self, column: usize, is: impl Fn(&[u8]) -> bool) -> Option<usize> {
        let (vocabulary, codes) = match self.roles[column] {
            Role::Word(place) => (&self.vocabularies[place], &mut self.words),
            Role::Label => (&self.classes, &mut self.labels),
            Role::Number | Role::Dropped => return None,
        };
        let word = vocabulary.plain_last().filter(|word| is(word))?;
        codes.push(vocabulary.last as u32);
        Some(word.len())
    }

    /// Takes the text of a number.
    fn number_from(&mut self, text: &[u8]) -> Result<(), String> {
        if is_missing(text) {
            self.numbers.push(f64::NAN);
            return self.missing(text);
        }
        let shown = || String::from_utf8_lossy(text);
        match std::str::from_utf8(text).ok().and_then(|text| text.parse::<f64>().ok()) {
            Some(number) if number.is_finite() => {
                self.numbers.push(number);
                Ok(())
            }
            Some(_) => Err(format!("'{}' is not a finite number", shown())),
            None => {
                let comma =
                    text.contains(&b',') && text.iter().all(|b| b"+-0123456789,.eE".contains(b));
                let advice = if comma {
                    "numbers need a decimal point and nothing between thousands"
                } else {
                    "name the column in dataset.categorical (it becomes one-hot) or in dataset.drop"
                };
                Err(format!("'{}' is not a number; {advice}", shown()))
            }
        }
    }

    /// Takes a cell that its file says is not there.
    pub(super) fn absent(&mut self, column: usize) -> Result<(), String> {
        match self.roles[column] {
            Role::Number => self.number_from(b""),
            Role::Word(_) | Role::Label | Role::Dropped => self.text(column, b""),
        }
    }

    /// Takes a number that is known to be finite, of a column of numbers.
    #[inline]
    pub(super) fn finite(&mut self, number: f64) {
        self.numbers.push(number);
    }

    /// Takes a cell that is a number in its file, whatever its column is for.
    pub(super) fn number(&mut self, column: usize, number: f64) -> Result<(), String> {
        match self.roles[column] {
            Role::Dropped => Ok(()),
            Role::Number if number.is_finite() => {
                self.numbers.push(number);
                Ok(())
            }
            Role::Number if number.is_nan() => {
                self.numbers.push(number);
                self.missing(b"NaN")
            }
            Role::Number => Err(format!("{number} is not a finite number")),
            Role::Word(_) | Role::Label if number.is_nan() => self.text(column, b""),
            Role::Word(place) => {
                let code = self.vocabularies[place].code_of(number)?;
                self.words.push(code);
                Ok(())
            }
            Role::Label => self.class_of(number),
        }
    }

    /// Takes a row's class that is a number.
    pub(super) fn class_of(&mut self, number: f64) -> Result<(), String> {
        if number.is_nan() {
            self.labels.push(0);
            return self.missing(b"NaN");
        }
        let code = self.classes.code_of(number)?;
        self.labels.push(code);
        Ok(())
    }

    /// Takes a row's class.
    pub(super) fn class(&mut self, text: &[u8]) -> Result<(), String> {
        let code = self.classes.code(text)?;
        self.labels.push(code);
        Ok(())
    }

    /// Leaves the row out, or refuses it.
    pub(super) fn missing(&mut self, text: &[u8]) -> Result<(), String> {
        match self.spec.missing {
            Missing::DropRow => {
                self.lacks = true;
                Ok(())
            }
            Missing::Refuse => Err(format!(
                "'{}' is a missing value; leave such rows out with dataset.missing = \"drop-row\", or \
                 the column with dataset.drop",
                String::from_utf8_lossy(text)
            )),
        }
    }

    /// Ends a row, all of whose cells were given.
    #[inline]
    pub(super) fn end_row(&mut self) {
        if self.lacks {
            self.left_out += 1;
            // the label is among the cells
            self.cut(self.labels.len() - 1);
        }
    }

    /// Takes back the cells of a row that has not ended; `rows` had.
    pub(super) fn cut(&mut self, rows: usize) {
        let width = self.width();
        self.labels.truncate(rows);
        self.numbers.truncate(rows * width.numbers);
        self.words.truncate(rows * width.words);
        self.lacks = false;
    }

    fn width(&self) -> Width {
        let numbers = self.roles.iter().filter(|role| **role == Role::Number).count();
        Width { numbers, words: self.vocabularies.len(), one_hot: 0 }
    }

    /// Makes the encoded rows and their labels.
    pub(super) fn finish(mut self) -> Outcome<Built> {
        let rows = self.rows();
        if rows == 0 {
            let left_out = match self.left_out {
                0 => String::new(),
                count => format!(": {count} were left out, because a value is missing"),
            };
            return Err(Problem::Data(format!("it has no rows{left_out}")));
        }
        if u32::try_from(rows).is_err() {
            return Err(Problem::Data(format!("it has {rows} rows, which are too many")));
        }
        let labels = self.labels()?;
        let (mut columns, width) = self.one_hot()?;
        let mut scaled = vec![false; columns.len()];
        for (name, role) in self.names.iter().zip(&self.roles) {
            if *role == Role::Number {
                columns.push(name.clone());
                scaled.push(!self.spec.unscaled.contains(name));
            }
        }
        if columns.len() > MOST_COLUMNS {
            return Err(Problem::Spec(format!(
                "the rows become {} columns; {MOST_COLUMNS} are the limit: name columns with many \
                 values in dataset.drop",
                columns.len()
            )));
        }
        self.numbers.shrink_to_fit();
        let cells = Cells { numbers: self.numbers, words: self.words, width };
        Ok(Built { columns, scaled, labels, cells })
    }

    /// Gives each word its column, by column of the file and by value in code-point order; returns the
    /// columns' names.
    fn one_hot(&mut self) -> Outcome<(Vec<String>, Width)> {
        let mut width = self.width();
        let mut columns = Vec::new();
        let names = self.names.iter().zip(&self.roles);
        let names: Vec<&String> =
            names.filter(|(_, role)| matches!(role, Role::Word(_))).map(|(name, _)| name).collect();
        for (place, name) in names.into_iter().enumerate() {
            let codes = self.words.iter().skip(place).step_by(width.words);
            let (order, values) = self.vocabularies[place].ordered(codes.copied());
            let first = columns.len() as u32;
            columns.extend(values.iter().map(|value| format!("{name}={value}")));
            let codes = self.words.iter_mut().skip(place).step_by(width.words);
            codes.for_each(|code| *code = first + order[*code as usize]);
        }
        width.one_hot = columns.len();
        Ok((columns, width))
    }

    /// Whether each row is an anomaly.
    fn labels(&self) -> Outcome<Vec<bool>> {
        let spec = self.spec;
        let (key, wanted) = match spec.anomaly.is_empty() {
            false => ("anomaly", &spec.anomaly),
            true => ("normal", &spec.normal),
        };
        let (order, classes) = self.classes.ordered(self.labels.iter().copied());
        let known = || classes.iter().map(String::as_str);
        if let Some(value) = wanted.iter().find(|value| !known().any(|known| same(known, value))) {
            let near = nearest(value, &known().collect::<Vec<_>>());
            return Err(Problem::Spec(format!(
                "dataset.{key} names '{value}', which no row has as its label{near}; there are: {}",
                listed(known())
            )));
        }
        let named = |class: &String| wanted.iter().any(|value| same(class, value));
        let anomaly = key == "anomaly";
        let of_class: Vec<bool> = classes.iter().map(|class| named(class) == anomaly).collect();
        if of_class.iter().all(|one| *one == of_class[0]) {
            return Err(Problem::Spec(format!(
                "dataset.{key} makes every row {}: the labels are {}",
                if of_class[0] { "an anomaly" } else { "normal" },
                listed(known())
            )));
        }
        let label = |code: &u32| of_class[order[*code as usize] as usize];
        Ok(self.labels.iter().map(label).collect())
    }
}

/// What stands for a number that is not there, in the words of pandas, Weka and R.
fn is_missing(text: &[u8]) -> bool {
    text.len() <= 4
        && matches!(
            text,
            b"" | b"?" | b"NA" | b"N/A" | b"NaN" | b"nan" | b"NAN" | b"null" | b"NULL" | b"None"
        )
}

/// Whether a class of a file is the one that an experiment names: the same text, in quotes or not, or
/// the same number; a truth value is 1 or 0.
fn same(class: &str, wanted: &str) -> bool {
    let bare = |text: &str| -> String {
        let inner = text.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
        inner.unwrap_or(text).to_owned()
    };
    let (class, wanted) = (bare(class), bare(wanted));
    let number = |text: &str| match text.to_ascii_lowercase().as_str() {
        "true" => Some(1.0),
        "false" => Some(0.0),
        text => text.parse::<f64>().ok().filter(|number| number.is_finite()),
    };
    class == wanted || number(&class).is_some_and(|one| number(&wanted) == Some(one))
}

/// Different words in the order of their first appearance.
#[derive(Debug, Default)]
struct Vocabulary {
    words: IndexSet<Box<[u8]>>,
    /// Of numbers, by their bits.
    numbers: HashMap<u64, u32>,
    /// The place of the last word: rows often repeat it.
    last: usize,
    /// Whether the last word would look the same with quotes around it as without.
    is_plain: bool,
}

impl Vocabulary {
    #[inline]
    fn code(&mut self, word: &[u8]) -> Result<u32, String> {
        if self.words.get_index(self.last).is_some_and(|last| **last == *word) {
            return Ok(self.last as u32);
        }
        self.is_plain =
            word.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_.".contains(byte));
        if let Some(place) = self.words.get_index_of(word) {
            self.last = place;
            return Ok(place as u32);
        }
        if self.words.len() >= MOST_COLUMNS {
            return Err(format!(
                "'{}' is its {}th value; {MOST_COLUMNS} are the limit of a column of words",
                String::from_utf8_lossy(word),
                self.words.len() + 1
            ));
        }
        self.last = self.words.insert_full(word.into()).0;
        Ok(self.last as u32)
    }

    /// Returns the last word, if it can stand in a text as it is.
    #[inline]
    fn plain_last(&self) -> Option<&[u8]> {
        self.words.get_index(self.last).filter(|_| self.is_plain).map(|word| &**word)
    }

    fn code_of(&mut self, number: f64) -> Result<u32, String> {
        if let Some(&code) = self.numbers.get(&number.to_bits()) {
            return Ok(code);
        }
        // -0 and 0 are one word
        let code = self.code((number + 0.0).to_string().as_bytes())?;
        self.numbers.insert(number.to_bits(), code);
        Ok(code)
    }

    /// Returns the words that are used, in code-point order, and the place there of each code.
    fn ordered(&self, codes: impl Iterator<Item = u32>) -> (Vec<u32>, Vec<String>) {
        let mut used = vec![false; self.words.len()];
        codes.for_each(|code| used[code as usize] = true);
        let mut places: Vec<usize> = (0..used.len()).filter(|&place| used[place]).collect();
        places.sort_by(|&one, &other| self.words[one].cmp(&self.words[other]));
        let mut order = vec![0; used.len()];
        places.iter().enumerate().for_each(|(rank, &place)| order[place] = rank as u32);
        let word = |&place: &usize| String::from_utf8_lossy(&self.words[place]).into_owned();
        (order, places.iter().map(word).collect())
    }
}
