//! A table of one's own: csv (also gzip), arff, npz, mat (version 5) or parquet, named by an experiment
//! file with its digest. Accepts the bytes of that digest and no others. The formats hand cells to one
//! [`Builder`], which knows what becomes of each column; a cell that cannot be used is named by its
//! place.

mod arff;
mod array;
mod builder;
mod csv;
mod known;
mod mat;
mod npz;
mod parquet;
mod spec;
mod text;

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use super::idx::Hashed;
use super::{DataFile, Dataset};
use crate::digest;
use crate::error::{Error, Result};

use builder::Builder;
pub(super) use builder::Cells;
pub(super) use known::KNOWN;
pub use spec::{Missing, TableSpec};

/// Why a file cannot be used although its bytes are the right ones.
#[derive(Debug, Clone, PartialEq)]
enum Problem {
    /// The experiment file asks for what the data have not.
    Spec(String),
    /// The data are not what they should be.
    Data(String),
}

impl Problem {
    fn text(&self) -> &str {
        match self {
            Self::Spec(text) | Self::Data(text) => text,
        }
    }
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        Self::Data(format!("it {}: {error}", super::fault(&error)))
    }
}

type Outcome<T> = std::result::Result<T, Problem>;

/// Reads the files and makes their rows a data set, those of the test file last.
///
/// # Errors
/// `Usage` for a table that names columns or values which the files have not; `Data` for files that are
/// missing, wrong, or hold what cannot be used.
pub(super) fn load(spec: &TableSpec, search: &[PathBuf]) -> Result<Dataset> {
    spec.check()?;
    let mut builder = Builder::new(spec);
    let mut train = None;
    for file in spec.files() {
        let path = super::locate(&file, search)?;
        read(&file, &path, &mut builder)?;
        train.get_or_insert(builder.rows());
    }
    let official_train = train.filter(|_| spec.test_file.is_some());
    let built = builder.finish();
    let built = built.map_err(|problem| of_problem(Path::new(&spec.file), problem))?;
    Ok(Dataset {
        columns: built.columns,
        scaled: built.scaled,
        labels: built.labels,
        sha256: spec.digest(),
        scaling: spec.scaling,
        table: super::Table::Cells(built.cells),
        bayes_auroc: None,
        image: None,
        official_train,
    })
}

/// How a file is written, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Format {
    Csv,
    Arff,
    Npz,
    Mat,
    Parquet,
}

impl Format {
    /// Tells the format from the first unpacked bytes and, for arff, the name.
    fn of(name: &str, start: &[u8]) -> std::result::Result<Self, &'static str> {
        let name = name.trim_end_matches(".gz").to_ascii_lowercase();
        match start {
            [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Ok(Self::Npz),
            [b'P', b'A', b'R', b'1', ..] => Ok(Self::Parquet),
            [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => {
                Err("it is a single array; write rows and labels into one file with numpy.savez")
            }
            [0x89, b'H', b'D', b'F', ..] => {
                Err("it is HDF5, as MATLAB's version 7.3 writes; save it with '-v7'")
            }
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Err("it is UTF-16 text; save it as UTF-8"),
            _ if start.starts_with(b"MATLAB 7.3") => {
                Err("it is of MATLAB's version 7.3; save it with '-v7'")
            }
            _ if start.starts_with(b"MATLAB 5.0") => Ok(Self::Mat),
            _ if name.ends_with(".arff") || begins_like_arff(start) => Ok(Self::Arff),
            _ if name.ends_with(".npz") => Err("it is not a zip file, which every .npz is"),
            _ if name.ends_with(".mat") => {
                Err("it does not begin like a .mat file of version 5; save it with '-v7'")
            }
            _ if name.ends_with(".parquet") => Err("it does not begin like a .parquet file"),
            _ if start.iter().take(512).any(|&byte| byte == 0) => {
                Err("it is not text, and none of npz, mat and parquet")
            }
            _ => Ok(Self::Csv),
        }
    }
}

/// Whether the first line that is no comment names a relation.
fn begins_like_arff(start: &[u8]) -> bool {
    let text = String::from_utf8_lossy(start);
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.find(|line| !line.starts_with('%')).unwrap_or_default();
    first.to_ascii_lowercase().starts_with("@relation")
}

/// Adds a file's rows to those there are.
fn read(file: &DataFile, path: &Path, builder: &mut Builder) -> Result<()> {
    let wrong = |what: String| Error::Data(format!("{}: {what}", path.display()));
    let mut start = Vec::new();
    let begun = super::open(path, None).and_then(|input| input.take(4096).read_to_end(&mut start));
    // what cannot be unpacked is named by the digest's check
    let format = match begun {
        Ok(_) => Format::of(&file.name, &start),
        Err(_) => Ok(Format::Csv),
    };
    match format {
        Ok(Format::Csv) => return read_text(file, path, builder, csv::read),
        Ok(Format::Arff) => return read_text(file, path, builder, arff::read),
        Ok(Format::Npz | Format::Mat | Format::Parquet) | Err(_) => {}
    }
    super::fetch::check(file, path)?;
    if File::open(path).is_ok_and(begins_like_gzip) {
        let what = "it is packed with gzip, as csv and arff files alone may be; unpack it".into();
        return Err(wrong(what));
    }
    let format = format.map_err(|what| wrong(format!("its sha256 is right, but {what}")))?;
    let arrays = builder.spec().arrays();
    let outcome = builder.spec().refuse_text_keys().and_then(|()| match format {
        Format::Mat => array::add(builder, mat::read(whole(path)?, arrays)?),
        Format::Parquet => parquet::read(File::open(path)?, builder),
        Format::Npz | Format::Csv | Format::Arff => {
            array::add(builder, npz::read(&mut whole(path)?, arrays)?)
        }
    });
    outcome.map_err(|problem| of_problem(path, problem))
}

fn begins_like_gzip(mut file: File) -> bool {
    let mut start = [0; 2];
    file.read_exact(&mut start).is_ok() && start == [0x1f, 0x8b]
}

/// Opens a file that is not packed, and gives its size.
fn whole(path: &Path) -> Outcome<(BufReader<File>, u64)> {
    let file = File::open(path)?;
    let bytes = file.metadata()?.len();
    Ok((BufReader::with_capacity(1 << 17, file), bytes))
}

fn of_problem(path: &Path, problem: Problem) -> Error {
    match problem {
        Problem::Spec(text) => Error::Usage(format!("{}: {text}", path.display())),
        Problem::Data(text) => Error::Data(format!("{}: {text}", path.display())),
    }
}

/// Reads a text once: unpacking, hashing and parsing go hand in hand.
fn read_text(
    file: &DataFile,
    path: &Path,
    builder: &mut Builder,
    parse: impl FnOnce(&mut dyn Read, &mut Builder) -> Outcome<()>,
) -> Result<()> {
    let wrong =
        |what: String| Error::Data(format!("{}: {what}; {}", path.display(), file.if_wrong()));
    let unreadable = |error| wrong(format!("cannot be read: {error}"));
    let packed = std::fs::metadata(path).map_err(unreadable)?.len();
    let input = super::open(path, None).map_err(unreadable)?;
    let mut input = Hashed::new(Unpacked::new(input, packed));
    let before = builder.rows();
    let parsed = parse(&mut input, builder);
    // what follows the first problem has a say in the digest
    let rest = io::copy(&mut input, &mut io::sink());
    let (bytes, found) = input.digest();
    let right = rest.is_ok() && found == file.raw_sha256;
    match parsed {
        Ok(()) if right => Ok(()),
        Err(problem) if right => Err(of_problem(path, problem)),
        parsed => {
            let what = match parsed {
                Ok(()) => format!("its {} rows can be read", builder.rows() - before),
                Err(problem) => problem.text().to_owned(),
            };
            Err(wrong(match rest {
                Err(error) => {
                    let fault = super::fault(&error);
                    format!("{fault} after {bytes} bytes: {error}; {what}")
                }
                Ok(_) => format!(
                    "sha256 of the uncompressed {bytes} bytes is {found}, not {}; {what}",
                    file.raw_sha256
                ),
            }))
        }
    }
}

/// Ends with an error when little unpacks to very much: rows cost memory.
pub(super) struct Unpacked<R> {
    input: R,
    read: u64,
    most: u64,
}

/// What a packed byte may become, where it becomes much. Deflate reaches 1032; tables and images, about 40.
const MOST_UNPACKED: u64 = 300;
const MUCH: u64 = 64 << 20;

impl<R: Read> Unpacked<R> {
    pub(super) fn new(input: R, packed: u64) -> Self {
        Self { input, read: 0, most: most_unpacked(packed) }
    }
}

/// Bytes that so many packed ones are believed to become.
pub(super) fn most_unpacked(packed: u64) -> u64 {
    packed.saturating_mul(MOST_UNPACKED).max(MUCH)
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.input.read(buffer)?;
        self.read += got as u64;
        if self.read > self.most {
            return Err(io::Error::other(format!(
                "it unpacks to more than {MOST_UNPACKED} times its size, as no data do; if these do, unpack \
                 it and name the unpacked file"
            )));
        }
        Ok(got)
    }
}

/// Returns the first names of a list, and how many there are if there are more.
fn listed<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 12;
    let count = names.len();
    let mut text = names.take(SHOWN).collect::<Vec<_>>().join(", ");
    if count > SHOWN {
        text += &format!(", … ({count} in all)");
    }
    text
}

/// Returns the digest of several files: of their digests' text, one after the other.
fn combined(digests: &[&str]) -> String {
    match digests {
        [one] => (*one).to_owned(),
        several => digest::sha256(several.concat()),
    }
}

#[cfg(test)]
mod tests;
