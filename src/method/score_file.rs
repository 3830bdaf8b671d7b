//! Files of scores, one number a row: numpy's `.npy` and `.npz`, and `.csv` with one column. What a file
//! says is believed no further than its shape and that its scores are numbers, and no more of it is read
//! than so many scores can take.

use std::borrow::Cow;
use std::fmt::Display;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::Path;

use npyz::WriterBuilder;
use zip::ZipArchive;

use crate::store::whole;

/// Bytes that a file may have beside its scores: a header, or an archive's table of contents.
const BESIDE: u64 = 65_536;

/// Bytes of a score as text: more digits than any f64 has, a sign, an exponent and a line end.
const LONGEST_TEXT: u64 = 400;

/// Brackets in the header of an array of plain numbers: two, and room for other ways to say it.
const MOST_BRACKETS: usize = 16;

/// The array of an archive that holds several.
const ARRAY: &str = "scores";

/// Why a file holds no scores of so many rows. Follows the file's name in a message.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// It is no such file.
    File(String),
    /// The score of this row, from 0, is NaN.
    NotANumber(usize),
}

impl Display for Fault {
    fn fmt(&self, out: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Self::File(what) => write!(out, " {what}"),
            Self::NotANumber(row) => write!(out, ": score {row} is NaN"),
        }
    }
}

type Result<T> = std::result::Result<T, Fault>;

fn fault(what: impl Into<String>) -> Fault {
    Fault::File(what.into())
}

/// Reads the scores of so many rows from a file's bytes.
type Format = fn(&[u8], usize) -> Result<Vec<f64>>;

/// The scores of a file and its bytes, which its digest is of.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoreFile {
    pub scores: Vec<f64>,
    pub bytes: Vec<u8>,
}

impl ScoreFile {
    /// Reads a file by the ending of its name.
    ///
    /// # Errors
    /// What is no regular file, another ending, another number of scores than `rows`, NaN.
    pub fn read(path: &Path, rows: usize) -> Result<Self> {
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        let (most, read): (u64, Format) = match ending {
            "npy" => (8, from_npy),
            // several arrays may lie in one archive
            "npz" => (8 * 64, from_npz),
            "csv" => (LONGEST_TEXT, from_csv),
            _ => return Err(fault("has no ending that is known: write a .npy, .npz or .csv")),
        };
        let bytes = read_bytes(path, rows, most)?;
        let scores = numbers(read(&bytes, rows)?)?;
        Ok(Self { scores, bytes })
    }
}

/// Reads a `.npy` that a program wrote; one that is a link is refused.
///
/// # Errors
/// As [`ScoreFile::read`].
pub(super) fn read_written(path: &Path, rows: usize) -> Result<Vec<f64>> {
    let found = path.symlink_metadata().map_err(|error| unreadable(&error))?;
    if !found.is_file() {
        return Err(fault("is no regular file"));
    }
    numbers(from_npy(&read_bytes(path, rows, 8)?, rows)?)
}

/// Writes scores as a `.npy` of f64, whole or not at all.
///
/// # Errors
/// Those of the file system.
pub fn write(path: &Path, scores: &[f64]) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(8 * scores.len() + 128);
    let shape = [scores.len() as u64];
    let options = npyz::WriteOptions::new().default_dtype().shape(&shape);
    let mut writer = options.writer(&mut bytes).begin_nd()?;
    writer.extend(scores.iter().copied())?;
    writer.finish()?;
    whole::write(path, bytes)
}

fn unreadable(error: &io::Error) -> Fault {
    fault(format!("cannot be read: {error}"))
}

fn read_bytes(path: &Path, rows: usize, a_score: u64) -> Result<Vec<u8>> {
    let found = path.metadata().map_err(|error| unreadable(&error))?;
    // opening a pipe may wait forever, and a device may never end
    if !found.is_file() {
        return Err(fault("is no regular file"));
    }
    let most = BESIDE + a_score * rows as u64;
    if found.len() > most {
        return Err(fault(format!("has {} bytes, more than {rows} scores take", found.len())));
    }
    let mut bytes = Vec::with_capacity(found.len() as usize);
    let file = File::open(path).map_err(|error| unreadable(&error))?;
    file.take(most).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
    Ok(bytes)
}

fn numbers(scores: Vec<f64>) -> Result<Vec<f64>> {
    match scores.iter().position(|score| score.is_nan()) {
        Some(row) => Err(Fault::NotANumber(row)),
        None => Ok(scores),
    }
}

/// As many numbers as there are rows, f64 or f32.
fn from_npy(bytes: &[u8], rows: usize) -> Result<Vec<f64>> {
    let wrong = |why: &dyn Display| fault(format!("is no array of numpy's: {why}"));
    let header = header_of(bytes).ok_or_else(|| wrong(&"it does not begin as one"))?;
    // the reader of literals goes as deep as they are nested
    let depth = header.iter().filter(|byte| b"([{".contains(byte)).count();
    if depth > MOST_BRACKETS {
        return Err(wrong(&"its header is no plain type's"));
    }
    let array = npyz::NpyFile::new(bytes).map_err(|error| wrong(&error))?;
    if array.shape() != [rows as u64] {
        let shape = array.shape();
        let what = format!("has the shape {shape:?}, and there are {rows} rows: write [{rows}]");
        return Err(fault(what));
    }
    let dtype = array.dtype().descr();
    let scores: io::Result<Vec<f64>> = match array.try_data::<f64>() {
        Ok(numbers) => numbers.collect(),
        Err(array) => match array.try_data::<f32>() {
            Ok(numbers) => numbers.map(|number| number.map(f64::from)).collect(),
            Err(_) => return Err(fault(format!("holds {dtype}: write float64"))),
        },
    };
    scores.map_err(|error| fault(format!("breaks off: {error}")))
}

/// The literal at the beginning of a file that says type and shape.
fn header_of(bytes: &[u8]) -> Option<&[u8]> {
    let rest = bytes.strip_prefix(b"\x93NUMPY")?;
    let (start, length): (usize, usize) = match rest.first()? {
        1 => (4, usize::from(u16::from_le_bytes(rest.get(2..4)?.try_into().ok()?))),
        2 | 3 => (6, u32::from_le_bytes(rest.get(2..6)?.try_into().ok()?) as usize),
        _ => return None,
    };
    rest.get(start..start.checked_add(length)?)
}

/// The one array of an archive, or the one named `scores`.
fn from_npz(bytes: &[u8], rows: usize) -> Result<Vec<f64>> {
    let wrong = |error: &dyn Display| fault(format!("is no archive of numpy's: {error}"));
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|error| wrong(&error))?;
    let names = archive.file_names().map(|name| name.map(Cow::into_owned));
    let names: Vec<String> = names.collect::<std::result::Result<_, _>>().map_err(|e| wrong(&e))?;
    let of_scores = format!("{ARRAY}.npy");
    let place = match (names.len(), names.iter().position(|name| *name == of_scores)) {
        (1, _) => 0,
        (_, Some(place)) => place,
        (count, None) => {
            let what = format!("holds {count} arrays and none named '{ARRAY}': name it so");
            return Err(fault(what));
        }
    };
    let member = archive.by_index(place).map_err(|error| wrong(&error))?;
    // what is packed may unpack to anything
    let most = BESIDE + 8 * rows as u64;
    if member.size() > most {
        let what = format!("unpacks to {} bytes, more than {rows} scores take", member.size());
        return Err(fault(what));
    }
    let mut unpacked = Vec::new();
    member.take(most).read_to_end(&mut unpacked).map_err(|error| wrong(&error))?;
    from_npy(&unpacked, rows)
}

/// One number a line; a first line that is none is a header, and blank lines count for nothing.
fn from_csv(bytes: &[u8], rows: usize) -> Result<Vec<f64>> {
    let text = std::str::from_utf8(bytes).map_err(|_| fault("is not UTF-8: save it as UTF-8"))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (mut scores, mut is_first) = (Vec::new(), true);
    for (place, line) in lines(text).enumerate() {
        let field = unquoted(line.trim());
        if field.is_empty() {
            continue;
        }
        let may_be_header = std::mem::replace(&mut is_first, false);
        let number = 1 + place;
        match field.parse::<f64>() {
            Ok(score) => scores.push(score),
            Err(_) if field.contains([',', ';', '\t']) => {
                return Err(fault(format!("has several columns on line {number}: write one")));
            }
            Err(_) if may_be_header => {}
            Err(_) => {
                let shown: String = field.chars().take(40).collect();
                let shown = shown.escape_debug();
                return Err(fault(format!("holds '{shown}' on line {number}, which is no number")));
            }
        }
    }
    if scores.len() != rows {
        let count = scores.len();
        return Err(fault(format!("holds {count} scores, and there are {rows} rows")));
    }
    Ok(scores)
}

/// Lines as an editor shows them, whichever way they end.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let end = if text.contains('\n') { '\n' } else { '\r' };
    text.split(end)
}

fn unquoted(field: &str) -> &str {
    let inner = field.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inner.unwrap_or(field).trim()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use zip::write::SimpleFileOptions;

    use super::*;

    /// Reads a file of these bytes.
    fn read(name: &str, bytes: &[u8], rows: usize) -> Result<Vec<f64>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        ScoreFile::read(&path, rows).map(|file| {
            assert_eq!(file.bytes, bytes);
            file.scores
        })
    }

    #[track_caller]
    fn refused(name: &str, bytes: &[u8], rows: usize, words: &str) {
        let fault = read(name, bytes, rows).unwrap_err().to_string();
        assert!(fault.contains(words), "{fault}");
    }

    fn npy(scores: &[f64]) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.npy");
        write(&path, scores).unwrap();
        fs::read(path).unwrap()
    }

    fn npz(arrays: &[(&str, &[u8])], packed: bool) -> Vec<u8> {
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
        let method = match packed {
            true => zip::CompressionMethod::Deflated,
            false => zip::CompressionMethod::Stored,
        };
        for (name, bytes) in arrays {
            let options = SimpleFileOptions::default().compression_method(method);
            writer.start_file(format!("{name}.npy"), options).unwrap();
            writer.write_all(bytes).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    const SCORES: [f64; 4] = [0.1 + 0.2, -1e300, f64::INFINITY, 5e-324];

    #[test]
    fn every_format_gives_the_same_bits_back() {
        let bits = |scores: Vec<f64>| scores.iter().map(|x| x.to_bits()).collect::<Vec<u64>>();
        let expected = bits(SCORES.to_vec());
        let array = npy(&SCORES);
        assert_eq!(bits(read("x.npy", &array, 4).unwrap()), expected);
        let other = npy(&[1.0]);
        for packed in [false, true] {
            for arrays in [&[("x", &array[..])][..], &[("a", &other), ("scores", &array)]] {
                assert_eq!(bits(read("x.npz", &npz(arrays, packed), 4).unwrap()), expected);
            }
        }
        let lines = SCORES.map(|score| format!("{score:?}"));
        for end in ["\n", "\r\n", "\r"] {
            for header in ["", "score", "\u{feff}\"anomaly score\""] {
                let lines: Vec<&str> =
                    [header].into_iter().chain(lines.iter().map(String::as_str)).collect();
                let text = lines.join(end).trim_start_matches(end).to_owned() + end;
                assert_eq!(bits(read("x.csv", text.as_bytes(), 4).unwrap()), expected, "{text:?}");
            }
        }
    }

    #[test]
    fn what_is_no_file_of_so_many_scores_is_said_and_not_guessed() {
        let array = npy(&SCORES);
        refused("x.npy", &array, 5, "has the shape [4], and there are 5 rows: write [5]");
        refused("x.npy", &array[..array.len() - 3], 4, "breaks off");
        refused("x.npy", b"0.1\n", 1, "is no array of numpy's");
        let tower = [b"\x93NUMPY\x01\x00\x00\x80".to_vec(), b"(".repeat(0x8000)].concat();
        refused("x.npy", &tower, 1, "its header is no plain type's");
        refused("x.txt", b"0.1\n", 1, "no ending that is known");
        refused("x.npy", &npy(&vec![0.0; 100_000]), 4, "more than 4 scores take");
        let nan = npy(&[0.0, f64::NAN]);
        assert_eq!(read("x.npy", &nan, 2), Err(Fault::NotANumber(1)));
        refused("x.npz", &npz(&[("x", &nan)], true), 2, "score 1 is NaN");
        refused("x.npz", &npz(&[("a", &array), ("b", &array)], false), 4, "none named 'scores'");
        let bomb = npy(&vec![0.0; 1_000_000]);
        refused("x.npz", &npz(&[("x", &bomb)], true), 4, "unpacks to");
        refused("x.npz", b"PK", 4, "is no archive of numpy's");
        refused("x.csv", b"score\n0.1\n\xff\n", 2, "is not UTF-8");
        refused("x.csv", b"score\n0.1\n\nx\n", 2, "holds 'x' on line 4, which is no number");
        refused("x.csv", b"0.1\nscore\n", 2, "holds 'score' on line 2");
        refused("x.csv", b"a,b\n1,2\n", 1, "has several columns on line 1");
        refused("x.csv", b"0.1\n0.2\n", 3, "holds 2 scores, and there are 3 rows");
        refused("x.csv", b"score\nnan\n", 1, "score 0 is NaN");
    }

    #[test]
    fn a_folder_a_device_and_a_missing_file_are_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("x.npy");
        let of = || ScoreFile::read(&place, 4).unwrap_err().to_string();
        assert!(of().contains("cannot be read"));
        fs::create_dir(&place).unwrap();
        assert!(of().contains("no regular file"));
        fs::remove_dir(&place).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &place).unwrap();
        assert!(of().contains("no regular file"));
        fs::remove_file(&place).unwrap();
        let target = folder.path().join("scores.npy");
        write(&target, &SCORES).unwrap();
        std::os::unix::fs::symlink(&target, &place).unwrap();
        assert_eq!(ScoreFile::read(&place, 4).unwrap().scores[0], SCORES[0]);
        assert!(read_written(&place, 4).is_err(), "a program's link");
    }
}
