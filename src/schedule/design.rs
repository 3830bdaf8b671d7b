//! The design of an experiment with readings: in words for who plans it, and as a table that is stored before
//! the first run, so that nobody need wonder which cells were meant to run.

use std::fmt::Write;

use crate::error::{Error, Result};
use crate::experiment::{Cell, Design, Experiment, Fraction, letters};
use crate::files::read_text;
use crate::report::terminal::printable;
use crate::store::{Store, whole};

/// In the experiment's folder of results.
const NAME: &str = "design.csv";
/// Bytes of a table of the most cells that a grid may have.
const LARGEST: u64 = 1 << 24;

/// Writes the design beside the runs that are to follow it.
///
/// # Errors
/// `Usage` where another design is stored there, and what writing a file can end with.
pub fn keep(experiment: &Experiment, store: &Store) -> Result<()> {
    if experiment.readings.is_empty() {
        return Ok(());
    }
    let path = store.dir().join(NAME);
    let table = table(experiment)?;
    match read_text(&path, LARGEST) {
        Ok(known) if known.replace("\r\n", "\n") == table => Ok(()),
        Ok(_) => Err(Error::Usage(format!(
            "{} is not the design of {}: it was stored before the first run, and the readings have changed \
             since; run the new ones into another folder with --out DIR, or move this one away",
            path.display(),
            experiment.path.display()
        ))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let written = whole::write(&path, table);
            written.map_err(|error| Error::of_file("write", &path, &error))
        }
        Err(error) => Err(Error::of_file("read", &path, &error)),
    }
}

fn trained(experiment: &Experiment) -> impl Iterator<Item = &Cell> {
    experiment.cells.iter().filter(|cell| cell.control.is_none())
}

/// A row a cell: its label and the value of each of its axes.
fn table(experiment: &Experiment) -> Result<String> {
    let failed =
        |error: &dyn std::fmt::Display| Error::Failed(format!("cannot write a design: {error}"));
    let mut table = csv::WriterBuilder::new().from_writer(Vec::new());
    let mut head = vec!["cell"];
    if let Some(first) = trained(experiment).next() {
        head.extend(first.axes.keys().map(String::as_str));
    }
    table.write_record(&head).map_err(|error| failed(&error))?;
    for cell in trained(experiment) {
        let values = cell.axes.values().map(String::as_str);
        let row = std::iter::once(cell.label.as_str()).chain(values);
        table.write_record(row).map_err(|error| failed(&error))?;
    }
    let bytes = table.into_inner().map_err(|error| failed(&error))?;
    String::from_utf8(bytes).map_err(|error| failed(&error))
}

/// Says what the readings are, which of their combinations are run, what can be told from what, and how many
/// trainings that takes.
pub fn text(experiment: &Experiment) -> Option<String> {
    let Experiment { readings, design, seeds, .. } = experiment;
    if readings.is_empty() {
        return None;
    }
    let mut text = String::new();
    let all = readings.iter().map(|reading| reading.values.len()).product::<usize>();
    let count = readings.len();
    match design {
        Design::Full => {
            writeln!(text, "  design: all {all} combinations of {count} readings").ok()?;
        }
        Design::Fraction(fraction) => {
            let (run, resolution) = (1 << fraction.free, roman(fraction.resolution()));
            writeln!(
                text,
                "  design: {run} of the {all} combinations of {count} readings, resolution {resolution}"
            )
            .ok()?;
        }
    }
    for (place, reading) in readings.iter().enumerate() {
        let value = |value: &crate::experiment::ReadingValue| {
            format!("{} (stated: {})", printable(&value.text), value.stated)
        };
        let values: Vec<String> = reading.values.iter().map(value).collect();
        let (letter, key) = (letters(1 << place), printable(&reading.key));
        writeln!(text, "    {letter} {key}: {}", values.join(" | ")).ok()?;
    }
    if let Design::Fraction(fraction) = design {
        text += &aliases(fraction);
    }
    let trainings: indexmap::IndexSet<String> =
        trained(experiment).map(Cell::training_identity).collect();
    let (cells, trainings) = (trained(experiment).count(), trainings.len());
    writeln!(
        text,
        "    cost: {cells} cells, which share {trainings} trainings a seed; {} seeds",
        seeds.len()
    )
    .ok()?;
    Some(text)
}

/// The generators, the defining relation, and what effects are aliased with.
fn aliases(fraction: &Fraction) -> String {
    let generator = |(place, &generator): (usize, &u32)| {
        format!("{} = {}", letters(1 << (fraction.free + place)), letters(generator))
    };
    let generators: Vec<String> = fraction.generators.iter().enumerate().map(generator).collect();
    let relation = fraction.relation();
    let words: Vec<String> = relation.iter().map(|&word| letters(word)).collect();
    let shortest = |size: u32| {
        let terms = (1u32..1 << fraction.readings).filter(|term| term.count_ones() == size);
        let aliases = terms.filter_map(|term| Some((term, *fraction.aliases(term).first()?)));
        aliases.min_by_key(|(_, alias)| alias.count_ones())
    };
    let mut text = format!("    {}; I = {}\n", generators.join(", "), words.join(" = "));
    for (size, what) in [(1, "main effects"), (2, "two-way terms")] {
        let Some((term, alias)) = shortest(size) else { continue };
        let (order, example) =
            (alias.count_ones(), format!("{} with {}", letters(term), letters(alias)));
        text += &format!(
            "    {what} are aliased with terms of {order} readings and more ({example})\n"
        );
    }
    text
}

fn roman(number: u32) -> &'static str {
    const ROMAN: [&str; 13] =
        ["0", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"];
    ROMAN.get(number as usize).copied().unwrap_or("above XII")
}
