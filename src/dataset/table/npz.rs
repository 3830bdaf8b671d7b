//! Arrays that `numpy.savez` or `numpy.savez_compressed` wrote.

use std::io::{BufReader, Read, Seek};

use npyz::{NpyFile, NpyHeader, Order};
use zip::ZipArchive;

use super::array::{self, Array, Values};
use super::{Outcome, Problem, Unpacked, listed};
use crate::text::nearest;

/// Reads the two arrays of these names.
pub(super) fn read(
    (file, bytes): &mut (impl Read + Seek, u64),
    names: [&str; 2],
) -> Outcome<[Array; 2]> {
    let wrong = |error| Problem::Data(format!("it cannot be read as a zip file: {error}"));
    let mut archive = ZipArchive::new(file).map_err(wrong)?;
    let entries: Vec<String> = archive
        .file_names()
        .map(|name| name.map(|name| name.into_owned()).unwrap_or_default())
        .collect();
    let mut read = |name: &str| {
        let arrays = entries.iter().map(|entry| npyz::npz::array_name_from_file_name(entry));
        let Some(index) = arrays.clone().position(|array| array == Some(name)) else {
            let known: Vec<&str> = arrays.flatten().collect();
            return Err(unknown(name, names, &known));
        };
        let entry = archive.by_index(index).map_err(wrong)?;
        // what the directory says of an entry may be a lie; what deflate can do is known
        let claimed = entry.size().min(bytes.saturating_mul(1032));
        let entry = Unpacked::new(entry, *bytes);
        npy(name, BufReader::with_capacity(1 << 16, entry), claimed)
    };
    Ok([read(names[0])?, read(names[1])?])
}

/// Says that there is no array of a name, and which there are.
pub(super) fn unknown(name: &str, [features, _]: [&str; 2], known: &[&str]) -> Problem {
    if known.is_empty() {
        return Problem::Data("it holds no array".into());
    }
    let key = if name == features { "features" } else { "label" };
    let near = nearest(name, known);
    let all = listed(known.iter().copied());
    Problem::Spec(format!(
        "it has no array '{name}'{near}; name one in dataset.{key}: there are {all}"
    ))
}

/// Bytes of a header, as numpy itself limits them; and brackets in it, for structures in structures.
const LONGEST_HEADER: usize = 10_000;
const MOST_BRACKETS: usize = 12;

/// Reads an array that says of itself what it is.
fn npy(name: &str, mut input: impl Read, bytes: u64) -> Outcome<Array> {
    let wrong = |what: &str| Problem::Data(format!("the array '{name}' {what}"));
    let start = header(&mut input)?.ok_or_else(|| wrong("has no header of numpy's"))?;
    let shape = shape(&start).ok_or_else(|| wrong("has a header without a usable shape"))?;
    // the library multiplies what the header says without a look
    array::count(name, &shape, 1, bytes)?;
    let header = NpyHeader::from_reader(&start[..])
        .map_err(|error| wrong(&format!("cannot be read: {error}")))?;
    let kind = header.dtype().descr();
    if header.uses_pickled_array() {
        return Err(wrong(&format!(
            "holds Python objects ({kind}); convert it, as with y.astype(str) or X.astype(float)"
        )));
    }
    let size = header.dtype().num_bytes().unwrap_or(usize::MAX) as u64;
    if size == 0 || header.shape() != shape {
        return Err(wrong(&format!("holds {kind}, which is not read")));
    }
    let count = array::count(name, &shape, size, bytes.saturating_sub(start.len() as u64))?;
    let by_column = header.order() == Order::Fortran;
    let values = values(NpyFile::with_header(header, input))?
        .ok_or_else(|| wrong(&format!("holds {kind}; write numbers or text")))?;
    let found = match &values {
        Values::Numbers(numbers) => numbers.len(),
        Values::Words(words) => words.len(),
    };
    if found as u64 != count {
        return Err(wrong(&format!("has {found} values, and its header says {count}")));
    }
    let shape = shape.into_iter().map(|side| side as usize).collect();
    Ok(Array { name: name.to_owned(), shape, by_column, values })
}

/// Reads an array's header; none where it is none that numpy would read.
fn header(input: &mut impl Read) -> Outcome<Option<Vec<u8>>> {
    let mut start = Vec::new();
    input.by_ref().take(8).read_to_end(&mut start)?;
    let size: u64 = match start[..] {
        [0x93, b'N', b'U', b'M', b'P', b'Y', 1, _] => 2,
        [0x93, b'N', b'U', b'M', b'P', b'Y', 2 | 3, _] => 4,
        [..] => return Ok(None),
    };
    input.by_ref().take(size).read_to_end(&mut start)?;
    let length = start[8..].iter().rev().fold(0, |sum, &byte| sum << 8 | usize::from(byte));
    if start.len() < 8 + size as usize || length > LONGEST_HEADER {
        return Ok(None);
    }
    input.by_ref().take(length as u64).read_to_end(&mut start)?;
    let brackets = start.iter().filter(|byte| b"([{".contains(byte)).count();
    Ok(Some(start).filter(|_| brackets <= MOST_BRACKETS))
}

/// Finds the shape in a header's text; none where there is not exactly one.
fn shape(header: &[u8]) -> Option<Vec<u64>> {
    let text = String::from_utf8_lossy(header);
    let mut parts = text.split("shape");
    let (_, rest, None) = (parts.next(), parts.next()?, parts.next()) else { return None };
    let (_, rest) = rest.split_once('(')?;
    let (inside, _) = rest.split_once(')')?;
    let sides = inside.split(',').map(str::trim).filter(|side| !side.is_empty());
    sides.map(|side| side.trim_end_matches('L').parse().ok()).collect()
}

/// Reads the values, whichever of the usual kinds they are; none where they are of another.
fn values(array: NpyFile<impl Read>) -> Outcome<Option<Values>> {
    let mut array = array;
    macro_rules! numbers {
        ($($kind:ty as $number:expr),+) => {
            $(array = match array.try_data::<$kind>() {
                Ok(data) => {
                    let numbers = data.map(|value| value.map($number));
                    let numbers = numbers.collect::<std::io::Result<Vec<f64>>>()?;
                    return Ok(Some(Values::Numbers(numbers)));
                }
                Err(array) => array,
            };)+
        };
    }
    numbers!(
        f64 as |value| value,
        f32 as f64::from,
        i64 as |value| value as f64,
        i32 as f64::from,
        i16 as f64::from,
        i8 as f64::from,
        u64 as |value| value as f64,
        u32 as f64::from,
        u16 as f64::from,
        u8 as f64::from,
        bool as |value| f64::from(u8::from(value))
    );
    array = match array.try_data::<String>() {
        Ok(data) => return Ok(Some(Values::Words(data.collect::<std::io::Result<_>>()?))),
        Err(array) => array,
    };
    match array.try_data::<Vec<u8>>() {
        Ok(data) => {
            let word = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
            let words = data.map(|bytes| bytes.map(word));
            Ok(Some(Values::Words(words.collect::<std::io::Result<_>>()?)))
        }
        Err(_) => Ok(None),
    }
}
