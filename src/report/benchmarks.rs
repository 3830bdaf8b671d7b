//! The pictures beside the tables of benchmarks: `width.csv` → `width.svg`, `growth.csv` →
//! `growth.svg`. The same table gives the same bytes.

use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::picture::{Line, grid_growth, job_width};
use crate::error::{Error, Result};

/// A picture, and the target of the Makefile that measures its table.
type Kind = (&'static str, &'static str, fn(&Path) -> Result<String>);

const KINDS: [Kind; 2] = [("width", "bench-width", width), ("growth", "bench-growth", growth)];

/// Draws the benchmarks that have a table in a folder; gives each picture's path and bytes.
///
/// # Errors
/// `Data` for a table that cannot be read or lacks what its picture shows.
pub fn pictures(folder: &Path) -> Result<Vec<(PathBuf, String)>> {
    let mut pictures = Vec::new();
    for (name, target, draw) in KINDS {
        let table = folder.join(format!("{name}.csv"));
        if table.exists() {
            let cannot = |error: Error| {
                Error::Data(format!(
                    "cannot draw {}: {error}; 'make {target}' measures it anew",
                    table.display()
                ))
            };
            pictures.push((folder.join(format!("{name}.svg")), draw(&table).map_err(cannot)?));
        }
    }
    Ok(pictures)
}

fn rows<Row: DeserializeOwned>(table: &Path) -> Result<Vec<Row>> {
    let mut reader =
        csv::Reader::from_path(table).map_err(|error| Error::Data(error.to_string()))?;
    let header = reader.headers().cloned().map_err(|error| Error::Data(error.to_string()))?;
    let unreadable = |error: csv::Error| Error::Data(explained(&error, &header));
    reader.deserialize().collect::<std::result::Result<_, _>>().map_err(unreadable)
}

/// Says what is wrong with a table, by line and column where that is known.
fn explained(error: &csv::Error, header: &csv::StringRecord) -> String {
    let csv::ErrorKind::Deserialize { pos: Some(place), err } = error.kind() else {
        return error.to_string();
    };
    let name = err.field().and_then(|field| header.get(field as usize));
    let column = name.map_or(String::new(), |name| format!(", column '{name}'"));
    format!("line {}{column}: {}", place.line(), err.kind())
}

/// A line of `width.csv`.
#[derive(Deserialize)]
struct Width {
    measure: String,
    model: String,
    width: u32,
    workers: usize,
    milliseconds: f64,
    /// Of steps alone.
    mebibytes: Option<f64>,
}

fn width(table: &Path) -> Result<String> {
    let rows: Vec<Width> = rows(table)?;
    let (mut times, mut memories) = (IndexMap::new(), IndexMap::new());
    for row in rows.iter().filter(|row| row.measure == "step") {
        let lack = |what: &str| Error::Data(format!("a step of {} has no {what}", row.model));
        let memory = row.mebibytes.ok_or_else(|| lack("mebibytes"))?;
        add(&mut times, &row.model, (f64::from(row.width), row.milliseconds));
        add(&mut memories, &row.model, (f64::from(row.width), memory));
    }
    let walls = rows.iter().filter(|row| row.measure == "six runs");
    let mut walls: Vec<&Width> = walls.collect();
    walls.sort_by_key(|row| row.workers);
    if !walls.iter().map(|row| row.workers).eq(1..=walls.len()) {
        return Err(Error::Data("the six runs are not those of 1, 2, … workers".to_owned()));
    }
    let seconds: Vec<f64> = walls.iter().map(|row| row.milliseconds / 1e3).collect();
    Ok(job_width(&in_parts(lines(times))?, &in_parts(lines(memories))?, &seconds))
}

/// Puts each line in parts of its own value at one seed.
fn in_parts(mut lines: Vec<Line>) -> Result<Vec<Line>> {
    for line in &mut lines {
        let whole = line.points.iter().find(|(seeds, _)| *seeds == 1.0).map(|(_, value)| *value);
        let whole = whole.filter(|whole| *whole > 0.0).ok_or_else(|| {
            Error::Data(format!("{} has no positive value at one seed", line.name))
        })?;
        line.points.iter_mut().for_each(|(_, value)| *value /= whole);
    }
    Ok(lines)
}

/// A line of `growth.csv`.
#[derive(Deserialize)]
struct Growth {
    step: String,
    runs: u32,
    seconds: f64,
    mebibytes: f64,
}

/// Steps that are drawn, with the names that they have in the picture.
const STEPS: [(&str, &str); 4] = [
    ("plan, all stored", "plan"),
    ("run, none missing", "resume"),
    ("tables", "tables"),
    ("tables, 10,000 resamples", "tables with bootstrap intervals"),
];

fn growth(table: &Path) -> Result<String> {
    let rows: Vec<Growth> = rows(table)?;
    let (mut times, mut memories) = (IndexMap::new(), IndexMap::new());
    for (step, name) in STEPS {
        for row in rows.iter().filter(|row| row.step == step) {
            if row.runs == 0 || row.seconds <= 0.0 || row.mebibytes <= 0.0 {
                return Err(Error::Data(format!("'{step}' has a number that is not positive")));
            }
            add(&mut times, name, (f64::from(row.runs), row.seconds));
            add(&mut memories, name, (f64::from(row.runs), row.mebibytes));
        }
    }
    Ok(grid_growth(&lines(times), &lines(memories)))
}

type Points<'a> = IndexMap<&'a str, Vec<(f64, f64)>>;

fn add<'a>(of: &mut Points<'a>, name: &'a str, point: (f64, f64)) {
    of.entry(name).or_default().push(point);
}

fn lines(of: Points) -> Vec<Line> {
    of.into_iter().map(|(name, points)| Line { name: name.to_owned(), points }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(name: &str, text: &str) -> Result<Vec<(PathBuf, String)>> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(name), text).unwrap();
        pictures(folder.path())
    }

    const WIDTH: &str = "measure,model,width,workers,milliseconds,mebibytes\n\
                         step,VAE,1,1,2.0,100\nstep,VAE,2,1,1.5,150\n\
                         six runs,VAE,1,1,20000,\nsix runs,VAE,1,2,11000,\n";

    #[test]
    fn a_table_is_drawn_beside_itself_and_a_folder_without_one_has_no_picture() {
        let found = drawn("width.csv", WIDTH).unwrap();
        assert_eq!(found.len(), 1);
        assert!(found[0].0.ends_with("width.svg"));
        assert!(found[0].1.contains("VAE, time of a step: 1 at 1, 0.75 at 2."));
        assert_eq!(drawn("other.csv", "").unwrap(), []);
    }

    #[test]
    fn a_table_that_lacks_what_is_drawn_is_an_error_that_says_what_measures_it() {
        let wrong = [
            ("width.csv", WIDTH.replace("VAE,1,1,2.0", "VAE,3,1,2.0"), "at one seed"),
            ("width.csv", WIDTH.replace("1.5,150", "1.5,"), "no mebibytes"),
            ("width.csv", WIDTH.replace("VAE,1,2,", "VAE,1,3,"), "1, 2, … workers"),
            ("width.csv", WIDTH.replace("20000", "long"), "line 4, column 'milliseconds'"),
            ("growth.csv", "step,runs,seconds,mebibytes\ntables,100,0,5\n".into(), "not positive"),
        ];
        for (name, text, said) in wrong {
            let error = drawn(name, &text).unwrap_err().to_string();
            let target = format!("'make bench-{}", name.trim_end_matches(".csv"));
            assert!(error.contains(said) && error.contains(&target), "{error}");
        }
    }
}
