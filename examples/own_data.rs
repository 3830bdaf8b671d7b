//! Brings a data set of one's own: `cargo run --example own_data -- FOLDER`, or without a folder to
//! look only. It writes rows of bytes as four idx files and an experiment that names them with their
//! digests, then reads them back as a run would. Afterwards `seedbed run` trains on them.
//!
//! The rows here are made-up images of 8 × 8 pixels, stripes one way and the other; put your own into
//! [`images`]. Rows of another kind (a table of numbers, say) need a reader: CONTRIBUTING.md, "a data
//! set".

use std::fmt::Write;
use std::path::{Path, PathBuf};

use seedbed::dataset::{load, split};
use seedbed::digest::sha256;
use seedbed::error::{Error, Result};
use seedbed::experiment::{Experiment, Selection};
use seedbed::random::{Numbers, Stream};
use seedbed::shell;

const SIDE: usize = 8;
/// The class that is an anomaly; all others are normal.
const ANOMALY: u8 = 1;

fn main() -> Result<()> {
    let scratch = tempfile::tempdir()
        .map_err(|error| Error::of_file("make", Path::new("a temporary folder"), &error))?;
    let folder = std::env::args_os().nth(1).map(PathBuf::from);
    print!("{}", bring(folder.as_deref().unwrap_or(scratch.path()))?);
    Ok(())
}

/// Writes the files and the experiment below a folder; says what a run will find there.
///
/// # Errors
/// A folder that cannot be written, and whatever is wrong with the files.
pub fn bring(folder: &Path) -> Result<String> {
    let (train, train_classes) = images(600, 1);
    let (test, test_classes) = images(200, 2);
    let files = [
        ("train-images", idx(&[600, SIDE, SIDE], &train)),
        ("train-labels", idx(&[600], &train_classes)),
        ("test-images", idx(&[200, SIDE, SIDE], &test)),
        ("test-labels", idx(&[200], &test_classes)),
    ];
    // the digest in the experiment is what makes a run repeatable: other bytes are refused
    let mut toml = EXPERIMENT.replace("CLASS", &ANOMALY.to_string());
    for (name, bytes) in &files {
        write(&folder.join(format!("stripes/{name}")), bytes)?;
        let digest = sha256(bytes);
        // writing to a String cannot fail
        let _ = write!(
            toml,
            "\n[dataset.{name}]\nfile   = \"stripes/{name}\"\nsha256 = \"{digest}\"\n"
        );
    }
    let path = folder.join("experiments/stripes.toml");
    write(&path, toml.as_bytes())?;
    read_back(&path, folder)
}

/// Reads the experiment and its data as a run does, and makes the first seed's split.
fn read_back(path: &Path, folder: &Path) -> Result<String> {
    let name = path.to_string_lossy();
    let experiment = Experiment::load(&name, &Selection::default())?;
    let cell = &experiment.cells[0];
    let data = load(&cell.dataset, &[folder.to_owned()])?;
    let parts = split(&data, &cell.protocol.split, cell.protocol.contamination, 1)?;
    let anomalies = |rows: &[u32]| rows.iter().filter(|&&row| data.labels()[row as usize]).count();
    let place = folder.to_string_lossy();
    let next = shell::command(["seedbed", "run", &*name, "--data", &*place]);
    Ok(format!(
        "{}: {} rows of {} columns, digest {}\n\
         train on {} rows, {} of them anomalies; test on {}, {} of them anomalies\n\
         train with: {next}\n",
        experiment.title,
        data.rows(),
        data.features(),
        data.sha256(),
        parts.train.len(),
        anomalies(&parts.train),
        parts.test.len(),
        anomalies(&parts.test),
    ))
}

/// Makes images, a byte a pixel, and their classes: every fifth has stripes the other way.
fn images(count: usize, seed: u64) -> (Vec<u8>, Vec<u8>) {
    let mut random = Numbers::new(seed, Stream::Data, 0);
    let classes: Vec<u8> = (0..count).map(|row| if row % 5 == 4 { ANOMALY } else { 0 }).collect();
    let mut pixels = Vec::with_capacity(count * SIDE * SIDE);
    for &class in &classes {
        for place in 0..SIDE * SIDE {
            let along = if class == ANOMALY { place % SIDE } else { place / SIDE };
            let noise = (random.uniform() * 100.0) as u8;
            pixels.push(if along % 2 == 0 { 155 + noise } else { noise });
        }
    }
    (pixels, classes)
}

/// Writes bytes as an idx file: two zeros, 8 for bytes, the number of dimensions, then each of them.
fn idx(shape: &[usize], bytes: &[u8]) -> Vec<u8> {
    let mut file = vec![0, 0, 8, shape.len() as u8];
    file.extend(shape.iter().flat_map(|&length| (length as u32).to_be_bytes()));
    file.extend_from_slice(bytes);
    file
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new(""));
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(path, bytes))
        .map_err(|error| Error::of_file("write", path, &error))
}

/// What is trained and how it is judged; docs/experiments.md has every key.
const EXPERIMENT: &str = r#"name  = "stripes"
title = "Stripes, one way against the other"
runs  = 5

[protocol]
split     = { kind = "official" } # the training files train, the test files test
threshold = { top = 0.2, of = "test" }

[model]
name     = "dagmm"
hidden   = [16]
latent   = 2
mixtures = 2

[training]
epochs        = 50
batch-size    = 64
learning-rate = 1e-3

[controls]
untrained = true

[dataset]
name          = "idx"
anomaly-class = CLASS
range         = [0.0, 1.0] # what the bytes 0 and 255 become
"#;
