//! The folder that a program, or a person, is given of a run: `job.json`, `train.npy`, `test.npy`
//! (docs/methods.md). There is no label in it.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use npyz::{AutoSerialize, WriterBuilder};
use serde_json::{Value, json};

use super::prepare::{Prepared, Run};
use crate::experiment::Cell;
use crate::model::ModelSpec;

/// Rows that are encoded and written at a time: a copy of them all would be as large as the file.
const CHUNK: usize = 4096;

/// Writes a cell's run into a folder that is there.
///
/// # Errors
/// Those of the file system.
pub fn write(folder: &Path, prepared: &Prepared, run: &Run, cell: &Cell) -> io::Result<()> {
    let job = description(prepared, run.seed, cell);
    fs::write(folder.join("job.json"), format!("{job:#}\n"))?;
    for (name, rows) in [("train.npy", &run.split.train), ("test.npy", &run.split.test)] {
        write_rows(&folder.join(name), prepared, run, rows)?;
    }
    Ok(())
}

/// What `job.json` says.
fn description(prepared: &Prepared, seed: u64, cell: &Cell) -> Value {
    let dataset = &prepared.dataset;
    json!({
        "seed": seed,
        "settings": settings(cell),
        "columns": dataset.columns(),
        "image": dataset.image().map(|(height, width)| [height, width]),
        "threads": cell.model.cores(),
        "device": "cpu",
    })
}

/// A program's own settings; of a method of seedbed's its tables, for who builds the same by hand.
fn settings(cell: &Cell) -> Value {
    match &cell.model {
        ModelSpec::Command(spec) => json!(spec.settings),
        ModelSpec::Scores(spec) => json!(spec.settings),
        ModelSpec::Pca(_) => json!({"model": cell.model}),
        ModelSpec::Dagmm(_)
        | ModelSpec::Autoencoder(_)
        | ModelSpec::Vae(_)
        | ModelSpec::ConvVae(_) => json!({"model": cell.model, "training": cell.training}),
    }
}

/// Writes f32 [rows, features]. The writer of arrays takes a number at a time, which sixty million of them
/// make long: only the header is its.
fn write_rows(path: &Path, prepared: &Prepared, run: &Run, rows: &[u32]) -> io::Result<()> {
    let dataset = &prepared.dataset;
    let shape = [rows.len() as u64, dataset.features() as u64];
    let file = BufWriter::new(File::create(path)?);
    let options = npyz::WriteOptions::new_header_only().dtype(f32::default_dtype()).shape(&shape);
    let mut file = options.writer(file).write_header_only()?;
    let mut bytes = Vec::new();
    for chunk in rows.chunks(CHUNK) {
        let values = dataset.encode(chunk, &run.scaling);
        bytes.clear();
        bytes.extend(values.iter().flat_map(|value| value.to_ne_bytes()));
        file.write_all(&bytes)?;
    }
    file.flush()
}
