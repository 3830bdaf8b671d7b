//! What a paper leaves open: readings, each a key of the grid with the values that it may have, and which of
//! their combinations are run. Knows keys and values alone; what they do to a figure, `summary::readings` finds
//! out of runs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::{Axis, Source};
use crate::error::{Error, Result};
use crate::words::words;

/// The keys of an experiment file that hold readings, and which of their combinations are run.
pub(super) const KEY: &str = "readings";
pub(super) const DESIGN: &str = "design";

/// Seeds of this number and above are fresh: nothing is chosen by them, so they alone judge a cell that was
/// chosen by its figure.
pub const FRESH: u64 = 101;

/// No main effect and no two-way term of such a design is aliased with another.
const RESOLUTION: u32 = 5;
/// Of two-valued readings in a fraction.
const MOST_READINGS: usize = 12;
const SMALLEST: usize = 16;
const LARGEST: usize = 256;

words! {
    /// What the source says of a value.
    pub enum Stated {
        /// It states the value.
        Yes = "yes",
        /// It says nothing, so the value is as good as others.
        No = "no",
        /// It states something else.
        Contradicted = "contradicted",
    }
}

/// A choice that the source leaves to its reader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reading {
    /// The full dotted key.
    pub key: String,
    /// The first is that of the most literal reading.
    pub values: Vec<ReadingValue>,
}

/// One way to read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReadingValue {
    /// As it stands in a label.
    pub text: String,
    pub stated: Stated,
    /// Why it is plausible, and by what source.
    pub why: String,
}

impl Reading {
    /// The part of the key that stands in labels.
    pub fn short(&self) -> &str {
        self.key.rsplit('.').next().unwrap_or(&self.key)
    }
}

/// A table of `[[readings]]`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReadingTable {
    /// The key that the source leaves open: `table.key`.
    key: String,
    /// Its values; the first is that of the most literal reading.
    #[schemars(with = "Vec<serde_json::Value>")]
    values: Vec<Value>,
    /// Whether the source states the values: one word for all, or a list with a word a value.
    stated: OneOrEach<Stated>,
    /// Why each value is plausible, and by what source: one text for all, or a list with a text a value.
    why: OneOrEach<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "one for all values, or a list with one a value; 'stated' is yes, no or contradicted"
)]
enum OneOrEach<T> {
    One(T),
    Each(Vec<T>),
}

impl<T: Clone> OneOrEach<T> {
    /// One a value; none where a list is of another length.
    fn of(&self, count: usize) -> Option<Vec<T>> {
        match self {
            Self::One(value) => Some(vec![value.clone(); count]),
            Self::Each(values) => (values.len() == count).then(|| values.clone()),
        }
    }
}

/// `design = { fraction = 64 }`: how many of the readings' combinations are run.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DesignTable {
    /// Combinations of the readings: a power of two. They are chosen so that no effect of one reading and
    /// none of two together is mistaken for another (resolution V).
    #[schemars(range(min = 16, max = 256))]
    fraction: usize,
}

/// Which combinations of the readings are run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Design {
    /// All of them.
    #[default]
    Full,
    Fraction(Fraction),
}

/// A regular fraction of a factorial of two-valued readings: some are free, and the level of each other is the
/// sum, without carry, of those of some free ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fraction {
    pub readings: usize,
    /// How many are free; they come first.
    pub free: usize,
    /// Of each other reading: the free ones that give it its level, a bit each.
    pub generators: Vec<u32>,
}

impl Fraction {
    /// Returns the fraction of so many cells with the highest resolution, V at least.
    ///
    /// # Errors
    /// Why there is none.
    pub fn new(readings: usize, cells: usize) -> std::result::Result<Self, String> {
        if !cells.is_power_of_two() || !(SMALLEST..=LARGEST).contains(&cells) {
            return Err(format!("a fraction has 16, 32, 64, 128 or 256 cells, and not {cells}"));
        }
        let free = cells.ilog2() as usize;
        if readings > MOST_READINGS {
            return Err(format!("{readings} readings are more than {MOST_READINGS}"));
        }
        if readings <= free {
            return Err(format!(
                "{readings} readings of two values have {} combinations; leave 'design' out, and all are run",
                1usize << readings
            ));
        }
        let generated = readings - free;
        let mut generators = Vec::new();
        if generated == 1 {
            // the product of all free readings is as long as a word can be
            generators.push((1 << free) - 1);
        }
        if !search(free, generated, &mut generators) {
            return Err(format!(
                "no {cells} combinations of {readings} readings tell all effects of one reading and of two \
                 apart (resolution V); ask for {}, or leave a reading out",
                2 * cells
            ));
        }
        Ok(Self { readings, free, generators })
    }

    /// The level of every reading in each of the combinations; the first has every reading at its first value.
    pub fn rows(&self) -> Vec<Vec<usize>> {
        let row = |number: usize| {
            // the first reading changes slowest, as the first axis of a grid does
            let mut row: Vec<usize> =
                (0..self.free).rev().map(|place| number >> place & 1).collect();
            for generator in &self.generators {
                let of = (0..self.free).filter(|place| generator >> place & 1 == 1);
                row.push(of.map(|place| row[place]).sum::<usize>() % 2);
            }
            row
        };
        (0..1 << self.free).map(row).collect()
    }

    /// The words of the defining relation, shortest first: products of readings that are the same in every
    /// combination, a bit a reading.
    pub fn relation(&self) -> Vec<u32> {
        let mut words: Vec<u32> = products(&words_of(self.free, &self.generators))
            .into_iter()
            .filter(|&word| word != 0)
            .collect();
        words.sort_by_key(|&word| (word.count_ones(), letters(word)));
        words
    }

    /// The length of the shortest word.
    pub fn resolution(&self) -> u32 {
        self.relation().first().map_or(0, |word| word.count_ones())
    }

    /// What a term, a bit a reading, cannot be told from, shortest first.
    pub fn aliases(&self, term: u32) -> Vec<u32> {
        let mut aliases: Vec<u32> = self.relation().into_iter().map(|word| word ^ term).collect();
        aliases.sort_by_key(|&alias| (alias.count_ones(), letters(alias)));
        aliases
    }
}

/// A, B, C, …: the letters of a term's readings.
pub fn letters(term: u32) -> String {
    let places = (0..32u8).filter(|place| term >> place & 1 == 1);
    places.map(|place| char::from(b'A' + place)).collect()
}

/// Finds generators, one after another, such that no product of words is shorter than the resolution.
fn search(free: usize, generated: usize, generators: &mut Vec<u32>) -> bool {
    if generators.len() == generated {
        return true;
    }
    let known = products(&words_of(free, generators));
    let own = 1u32 << (free + generators.len());
    for generator in generators.last().map_or(0, |last| last + 1)..1 << free {
        let word = generator | own;
        if known.iter().all(|other| (word ^ other).count_ones() >= RESOLUTION) {
            generators.push(generator);
            if search(free, generated, generators) {
                return true;
            }
            generators.pop();
        }
    }
    false
}

/// A word a generator: the readings that it gives a level from, and the one that gets it.
fn words_of(free: usize, generators: &[u32]) -> Vec<u32> {
    let words = generators.iter().enumerate();
    words.map(|(place, generator)| generator | 1 << (free + place)).collect()
}

/// Every product of some of the words, that of none too.
fn products(words: &[u32]) -> Vec<u32> {
    words.iter().fold(vec![0], |known, word| {
        known.iter().copied().chain(known.iter().map(|other| other ^ word)).collect()
    })
}

/// Reads `[[readings]]`: the readings, and an axis of each.
pub(super) fn readings(source: &Source, value: Option<Value>) -> Result<(Vec<Reading>, Vec<Axis>)> {
    let wrong = || {
        source.fault(KEY, "'readings' are tables: write [[readings]] above the key, values, stated and why of each")
    };
    let tables = match value {
        None => return Ok((Vec::new(), Vec::new())),
        Some(Value::Array(tables)) => tables,
        Some(_) => return Err(wrong()),
    };
    let (mut readings, mut axes) = (Vec::<Reading>::new(), Vec::new());
    for table in tables {
        let Value::Table(table) = table else { return Err(wrong()) };
        let (reading, axis) = reading(source, &table)?;
        if readings.iter().any(|known| known.key == reading.key) {
            let what = format!("'{}' is the key of two readings", reading.key);
            return Err(source.fault(KEY, &what));
        }
        readings.push(reading);
        axes.push(axis);
    }
    Ok((readings, axes))
}

/// Refuses an axis that is a reading too.
pub(super) fn refuse_axes(readings: &[Reading], axes: &[Axis]) -> Result<()> {
    let is_reading = |axis: &&Axis| readings.iter().any(|reading| reading.key == axis.key);
    match axes.iter().find(is_reading) {
        None => Ok(()),
        Some(axis) => Err(Error::Usage(format!(
            "{}: '{}' is a reading and an axis; leave one of them out",
            axis.origin, axis.key
        ))),
    }
}

fn reading(source: &Source, table: &Table) -> Result<(Reading, Axis)> {
    let table: ReadingTable = source.read(KEY, table, &[])?;
    let fault = |what: &str| source.fault(KEY, &format!("the reading '{}' {what}", table.key));
    let axis = source.axis(KEY, table.key.clone(), Value::Array(table.values.clone()))?;
    let count = axis.values.len();
    if count < 2 {
        return Err(fault("has one value: write it into its table, or give two"));
    }
    let (Some(stated), Some(why)) = (table.stated.of(count), table.why.of(count)) else {
        return Err(fault(&format!(
            "has {count} values; 'stated' and 'why' have one entry, or one a value"
        )));
    };
    if why.iter().any(|why| why.trim().is_empty()) {
        return Err(fault("says nowhere why it is plausible: 'why' is empty"));
    }
    let values = axis.values.iter().zip(stated).zip(why);
    let values =
        values.map(|(((text, _), stated), why)| ReadingValue { text: text.clone(), stated, why });
    Ok((Reading { key: axis.key.clone(), values: values.collect() }, axis))
}

/// Reads `design`.
pub(super) fn design(
    source: &Source,
    value: Option<Value>,
    readings: &[Reading],
) -> Result<Design> {
    let Some(value) = value else { return Ok(Design::Full) };
    let Value::Table(table) = value else {
        return Err(source.fault(DESIGN, "'design' must be a table: { fraction = 64 }"));
    };
    let DesignTable { fraction } = source.read(DESIGN, &table, &[])?;
    if readings.is_empty() {
        return Err(source.fault(DESIGN, "there are no [[readings]] to take a fraction of"));
    }
    if let Some(other) = readings.iter().find(|reading| reading.values.len() != 2) {
        let (key, count) = (&other.key, other.values.len());
        let what = format!(
            "a fraction takes readings of two values, and '{key}' has {count}; leave one out, or move the key \
             to [axes], of which every value is run"
        );
        return Err(source.fault(DESIGN, &what));
    }
    Fraction::new(readings.len(), fraction)
        .map(Design::Fraction)
        .map_err(|what| source.fault(DESIGN, &format!("'design': {what}")))
}

/// The values' places of every combination that is run: of the readings as the design says, then of each of
/// the other axes every one, the last fastest. None where there are more than `most`.
pub(super) fn combinations(
    design: &Design,
    readings: usize,
    axes: &[Axis],
    most: u128,
) -> std::result::Result<Vec<Vec<usize>>, u128> {
    let (of_readings, others) = axes.split_at(readings);
    let start = match design {
        Design::Full => vec![Vec::new()],
        Design::Fraction(fraction) => fraction.rows(),
    };
    let full = if *design == Design::Full { axes } else { others };
    let counts = full.iter().map(|axis| axis.values.len() as u128);
    let count = counts.fold(start.len() as u128, u128::saturating_mul);
    if count > most {
        return Err(count);
    }
    debug_assert!(start.iter().all(|row| row.is_empty() || row.len() == of_readings.len()));
    Ok(full.iter().fold(start, |rows, axis| {
        let longer = |row: Vec<usize>| {
            (0..axis.values.len()).map(move |value| [row.as_slice(), &[value]].concat())
        };
        rows.into_iter().flat_map(longer).collect()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the product of the columns of a term is the same in all rows, the readings coded ±1.
    fn is_constant(rows: &[Vec<usize>], term: u32) -> bool {
        let parity = |row: &Vec<usize>| {
            (0..row.len())
                .filter(|place| term >> place & 1 == 1)
                .map(|place| row[place])
                .sum::<usize>()
                % 2
        };
        rows.iter().all(|row| parity(row) == parity(&rows[0]))
    }

    #[test]
    fn eight_readings_in_64_cells_have_resolution_v() {
        let fraction = Fraction::new(8, 64).unwrap();
        let generators: Vec<String> = fraction.generators.iter().map(|&g| letters(g)).collect();
        assert_eq!(generators, ["ABCD", "ABEF"]);
        let words: Vec<String> = fraction.relation().iter().map(|&word| letters(word)).collect();
        assert_eq!(words, ["ABCDG", "ABEFH", "CDEFGH"]);
        assert_eq!(fraction.resolution(), 5);
    }

    #[test]
    fn the_combinations_are_what_the_relation_says_and_balanced() {
        for (readings, cells) in [(5, 16), (6, 32), (7, 64), (8, 64), (10, 128), (12, 256)] {
            let fraction = Fraction::new(readings, cells).unwrap();
            let rows = fraction.rows();
            assert_eq!(rows.len(), cells);
            assert!(rows[0].iter().all(|&level| level == 0), "the most literal reading is run");
            let distinct: std::collections::HashSet<&Vec<usize>> = rows.iter().collect();
            assert_eq!(distinct.len(), cells);
            let relation = fraction.relation();
            for term in 1u32..1 << readings {
                assert_eq!(is_constant(&rows, term), relation.contains(&term), "{}", letters(term));
                // every effect of one or two readings is told from every other
                let short = |term: u32| term.count_ones() <= 2;
                assert!(!short(term) || !fraction.aliases(term).into_iter().any(short));
            }
        }
    }

    #[test]
    fn a_fraction_that_cannot_be_is_refused() {
        let why = |readings, cells| Fraction::new(readings, cells).unwrap_err();
        assert!(why(8, 60).contains("60"));
        assert!(why(4, 8).contains("not 8"), "its resolution is IV");
        assert!(why(6, 64).contains("64 combinations"));
        assert!(why(8, 32).contains("ask for 64"));
        assert!(why(13, 64).contains("more than 12"));
    }
}
