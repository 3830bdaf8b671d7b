//! What a run leaves beside its row: `diagnostics.csv`, a line for each further measurement, and
//! `curves.csv`, a line for each term of the loss. Both have lines of single runs, so that those of
//! runs from another day or another machine can be put together.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::csv::write_lines;
use crate::error::{Error, Result};
use crate::experiment::{CellName, Scale};
use crate::store::record::Record;
use crate::summary::Measurement;

/// One term of a run's loss over its epochs; a line of `curves.csv`.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    pub experiment: String,
    pub cell: CellName,
    pub seed: u64,
    pub scale: Scale,
    pub term: String,
    /// The mean over each epoch, in seven significant digits.
    pub means: Vec<f64>,
}

/// A [`Curve`] as its line has it, the means separated by spaces.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CurveLine {
    experiment: String,
    cell: CellName,
    seed: u64,
    scale: Scale,
    term: String,
    means: String,
}

/// A line that belongs to a run.
pub trait OfRun {
    /// The run's cell and seed.
    fn run(&self) -> (&CellName, u64);
    /// Puts the line under another label of the same cell.
    fn relabel(&mut self, label: &CellName);
}

impl OfRun for Measurement {
    fn run(&self) -> (&CellName, u64) {
        (&self.cell, self.seed)
    }

    fn relabel(&mut self, label: &CellName) {
        self.cell.clone_from(label);
    }
}

impl OfRun for Curve {
    fn run(&self) -> (&CellName, u64) {
        (&self.cell, self.seed)
    }

    fn relabel(&mut self, label: &CellName) {
        self.cell.clone_from(label);
    }
}

/// Puts lines in the order of both files: by label and seed, and within a run as they are.
pub fn sort<T: OfRun>(lines: &mut [T]) {
    lines.sort_by(|a, b| a.run().cmp(&b.run()));
}

/// Returns what the records measured beside the metrics, and every term of the loss in the first and
/// in the last epoch.
pub fn diagnostics_of(records: &[Record]) -> Vec<Measurement> {
    let mut lines = Vec::new();
    for record in records {
        let epoch = |place: &str, means: Option<&Vec<f64>>| {
            let means = means.cloned().unwrap_or_default();
            let named = record.loss_terms.iter().zip(means);
            named.map(|(term, mean)| (format!("{term}_{place}_epoch"), mean)).collect()
        };
        let first: Vec<(String, f64)> = epoch("first", record.loss_curve.first());
        let last = epoch("last", record.loss_curve.last());
        let measured = record.diagnostics.iter().map(|(name, value)| (name.clone(), *value));
        lines.extend(measured.chain(first).chain(last).map(|(name, value)| Measurement {
            experiment: record.experiment.clone(),
            cell: record.cell.label.clone(),
            seed: record.seed,
            scale: record.scale,
            name,
            value,
        }));
    }
    sort(&mut lines);
    lines
}

/// Returns the loss curves of records; a run without epochs has none.
pub fn curves_of(records: &[Record]) -> Vec<Curve> {
    let mut curves = Vec::new();
    for record in records.iter().filter(|record| !record.loss_curve.is_empty()) {
        for (place, term) in record.loss_terms.iter().enumerate() {
            let means = record.loss_curve.iter().filter_map(|epoch| epoch.get(place));
            curves.push(Curve {
                experiment: record.experiment.clone(),
                cell: record.cell.label.clone(),
                seed: record.seed,
                scale: record.scale,
                term: term.clone(),
                means: means.map(|&mean| rounded(mean)).collect(),
            });
        }
    }
    sort(&mut curves);
    curves
}

/// Rounds to seven significant digits: a file with every digit would be twice as long, and says no
/// more about how a loss fell. Records have them all.
fn rounded(mean: f64) -> f64 {
    // what is written in this form reads back as a number
    format!("{mean:.6e}").parse().unwrap_or(mean)
}

/// Writes `diagnostics.csv`.
///
/// # Errors
/// Whatever the file system refuses.
pub fn write_diagnostics(path: &Path, lines: &[Measurement]) -> Result<()> {
    write_lines(path, &Measurement::default(), lines.iter())
}

/// Writes `curves.csv`.
///
/// # Errors
/// Whatever the file system refuses.
pub fn write_curves(path: &Path, curves: &[Curve]) -> Result<()> {
    let lines = curves.iter().map(|curve| CurveLine {
        experiment: curve.experiment.clone(),
        cell: curve.cell.clone(),
        seed: curve.seed,
        scale: curve.scale,
        term: curve.term.clone(),
        // in the fewest digits that read back exactly, as everywhere
        means: curve.means.iter().map(|mean| format!("{mean:?}")).collect::<Vec<_>>().join(" "),
    });
    write_lines(path, &CurveLine::default(), lines)
}

/// Reads a `diagnostics.csv` as [`write_diagnostics`] writes it; nothing where there is no file.
///
/// # Errors
/// `Data` for a file that is no `diagnostics.csv`, by its line.
pub fn read_diagnostics(path: &Path) -> Result<Vec<Measurement>> {
    read(path)
}

/// Reads a `curves.csv` as [`write_curves`] writes it; nothing where there is no file.
///
/// # Errors
/// `Data` for a file that is no `curves.csv`, by its line.
pub fn read_curves(path: &Path) -> Result<Vec<Curve>> {
    let mut curves = Vec::new();
    for line in read::<CurveLine>(path)? {
        let CurveLine { experiment, cell, seed, scale, term, means } = line;
        let mut parsed = Vec::new();
        for word in means.split_whitespace() {
            parsed.push(word.parse().map_err(|_| {
                let path = path.display();
                Error::Data(format!(
                    "{path}: {term} of {cell} seed {seed}: `{}` is not a number",
                    word.escape_debug()
                ))
            })?);
        }
        curves.push(Curve { experiment, cell, seed, scale, term, means: parsed });
    }
    Ok(curves)
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let failed = |error: csv::Error| {
        Error::Data(format!("cannot read what runs left in {}: {error}", path.display()))
    };
    let mut reader = super::csv::open(path).map_err(failed)?;
    reader.deserialize().collect::<std::result::Result<_, _>>().map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIAGNOSTICS: &str = "experiment,cell,seed,scale,name,value";
    const CURVES: &str = "experiment,cell,seed,scale,term,means";

    #[test]
    fn lines_read_back_as_they_were_written_and_an_unknown_column_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines.csv");
        assert_eq!(read_curves(&path), Ok(Vec::new()));
        let means = [0.1 + 0.2, 1e-300, 123_456_789.0, f64::INFINITY, 6.0];
        let curve = Curve {
            experiment: "e".into(),
            cell: "a=1,b=2".into(),
            seed: 3,
            scale: Scale::Full,
            term: "loss".into(),
            means: means.map(rounded).to_vec(),
        };
        write_curves(&path, std::slice::from_ref(&curve)).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let line = "e,\"a=1,b=2\",3,full,loss,0.3 1e-300 123456800.0 inf 6.0";
        assert_eq!(text, format!("{CURVES}\n{line}\n"));
        assert_eq!(read_curves(&path), Ok(vec![curve.clone()]));
        std::fs::write(&path, text.replace("1e-300", "one")).unwrap();
        let error = read_curves(&path).unwrap_err().to_string();
        assert!(error.contains("loss of a=1,b=2 seed 3: `one` is not a number"), "{error}");

        let diagnostic = Measurement {
            experiment: curve.experiment,
            cell: curve.cell,
            seed: 3,
            scale: Scale::Quick,
            name: "bayes_auroc".into(),
            value: 0.1 + 0.2,
        };
        write_diagnostics(&path, std::slice::from_ref(&diagnostic)).unwrap();
        assert_eq!(read_diagnostics(&path), Ok(vec![diagnostic]));
        std::fs::write(&path, format!("{DIAGNOSTICS},mine\n")).unwrap();
        assert_eq!(read_diagnostics(&path), Ok(Vec::new()), "without a line nothing is lost");
        std::fs::write(&path, format!("{DIAGNOSTICS},mine\ne,a,1,full,x,1.0,y\n")).unwrap();
        assert!(read_diagnostics(&path).unwrap_err().to_string().contains("mine"));
    }
}
