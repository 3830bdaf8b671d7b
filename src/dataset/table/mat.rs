//! MATLAB's files of version 5 (as `-v6` and `-v7` write them): a head, then elements, one a variable,
//! each perhaps compressed. Own code because little may unpack to very much: the library there is,
//! `matfile`, holds the whole file and unpacks without a limit. After "MAT-File Format", MathWorks.

use std::io::{self, Read};

use flate2::read::ZlibDecoder;

use super::array::{self, Array, Values};
use super::npz::unknown;
use super::{Outcome, Problem, Unpacked};

/// What an element holds, by the numbers of the format.
mod kind {
    pub(super) const INT8: u32 = 1;
    pub(super) const UINT8: u32 = 2;
    pub(super) const INT16: u32 = 3;
    pub(super) const UINT16: u32 = 4;
    pub(super) const INT32: u32 = 5;
    pub(super) const UINT32: u32 = 6;
    pub(super) const SINGLE: u32 = 7;
    pub(super) const DOUBLE: u32 = 9;
    pub(super) const INT64: u32 = 12;
    pub(super) const UINT64: u32 = 13;
    pub(super) const MATRIX: u32 = 14;
    pub(super) const COMPRESSED: u32 = 15;
}

/// Bytes of the head.
const HEAD: usize = 128;

/// Reads the two variables of these names.
pub(super) fn read((mut input, bytes): (impl Read, u64), names: [&str; 2]) -> Outcome<[Array; 2]> {
    let mut head = [0; HEAD];
    input.read_exact(&mut head)?;
    let big = match &head[HEAD - 2..] {
        b"IM" => false,
        b"MI" => true,
        _ => return Err(Problem::Data("its head does not end as version 5 does".into())),
    };
    let mut left = bytes.saturating_sub(HEAD as u64);
    let (mut found, mut known) = ([None, None], Vec::new());
    while left > 0 && found.iter().any(Option::is_none) {
        let element = Element::begin(&mut input, big)?;
        let Some(element) = element else { break };
        let length = u64::from(element.length);
        if element.small.is_some() || length > left {
            return Err(Problem::Data(format!(
                "an element claims {length} bytes where {left} are left"
            )));
        }
        left = left.saturating_sub(8 + length);
        let mut inside = (&mut input).take(length);
        let variable = match element.kind {
            kind::COMPRESSED => {
                let mut unpacked = Unpacked::new(ZlibDecoder::new(&mut inside), length);
                match Element::begin(&mut unpacked, big)? {
                    Some(element) if element.kind == kind::MATRIX => {
                        let claimed = u64::from(element.length).min(length.saturating_mul(1032));
                        variable(&mut unpacked, big, claimed, names)?
                    }
                    Some(_) | None => None,
                }
            }
            kind::MATRIX => variable(&mut inside, big, length, names)?,
            _ => None,
        };
        // the rest of a variable that is not wanted
        io::copy(&mut inside, &mut io::sink())?;
        if let Some(variable) = variable {
            known.push(variable.name.clone());
            let place = names.iter().position(|name| *name == variable.name);
            if let (Some(place), Some(array)) = (place, variable.array) {
                found[place] = Some(array);
            }
        }
    }
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    match found {
        [Some(rows), Some(labels)] => Ok([rows, labels]),
        [None, _] => Err(unknown(names[0], names, &known)),
        [Some(_), None] => Err(unknown(names[1], names, &known)),
    }
}

/// A variable's name, and its values if they are wanted.
struct Variable {
    name: String,
    array: Option<Array>,
}

/// Reads a variable of `bytes` bytes at most; of one that is not wanted its name alone.
fn variable(
    input: &mut impl Read,
    big: bool,
    bytes: u64,
    names: [&str; 2],
) -> Outcome<Option<Variable>> {
    // flags, whose first number has the class in its low byte
    let Some(flags) = numbers(input, big, 16)? else { return Ok(None) };
    let Some(sides) = numbers(input, big, 64)? else { return Ok(None) };
    let Some(name) = numbers(input, big, 256)? else { return Ok(None) };
    let name: String = name.iter().map(|&byte| char::from(byte as u8)).collect();
    if !names.contains(&name.as_str()) {
        return Ok(Some(Variable { name, array: None }));
    }
    let flags = flags.first().map_or(0, |&flags| flags as u32);
    let wrong = |what: &str| Problem::Data(format!("the variable '{name}' {what}"));
    match flags & 0xff {
        6..=15 => {}
        5 => return Err(wrong("is sparse; save full(…) of it")),
        1..=4 => return Err(wrong("is a cell, a struct, an object or text; save numbers")),
        class => return Err(wrong(&format!("is of the unknown class {class}"))),
    }
    if flags & 0x0800 != 0 {
        return Err(wrong("is complex; save real numbers"));
    }
    let shape: Vec<u64> = sides.iter().map(|&side| side.max(0.0) as u64).collect();
    let element = Element::begin(input, big)?.ok_or_else(|| wrong("has no values"))?;
    let size = size(element.kind).ok_or_else(|| wrong("holds what is not numbers"))?;
    let count = array::count(&name, &shape, size, u64::from(element.length).min(bytes))?;
    let values = element.values(input, big)?;
    if values.len() as u64 != count {
        let found = values.len();
        return Err(wrong(&format!("has {found} values, and its shape says {count}")));
    }
    let shape = shape.into_iter().map(|side| side as usize).collect();
    let array =
        Array { name: name.clone(), shape, by_column: true, values: Values::Numbers(values) };
    Ok(Some(Variable { name, array: Some(array) }))
}

/// Reads a small element of whole numbers, of at most `most` bytes; none at the end, or where it is larger.
fn numbers(input: &mut impl Read, big: bool, most: u32) -> Outcome<Option<Vec<f64>>> {
    match Element::begin(input, big)? {
        Some(element) if element.length <= most && size(element.kind).is_some() => {
            element.values(input, big).map(Some)
        }
        Some(_) | None => Ok(None),
    }
}

/// Bytes of a number of a kind; none for a kind that is not one of numbers.
fn size(kind: u32) -> Option<u64> {
    match kind {
        kind::INT8 | kind::UINT8 => Some(1),
        kind::INT16 | kind::UINT16 => Some(2),
        kind::INT32 | kind::UINT32 | kind::SINGLE => Some(4),
        kind::DOUBLE | kind::INT64 | kind::UINT64 => Some(8),
        _ => None,
    }
}

/// What stands before an element's values.
struct Element {
    kind: u32,
    /// Bytes of the values.
    length: u32,
    /// The values themselves, where they are so few that they stand in the tag.
    small: Option<[u8; 4]>,
}

impl Element {
    /// Reads a tag; none at the end.
    fn begin(input: &mut impl Read, big: bool) -> Outcome<Option<Self>> {
        let mut tag = Vec::new();
        input.by_ref().take(8).read_to_end(&mut tag)?;
        let Ok(tag) = <[u8; 8]>::try_from(tag) else { return Ok(None) };
        let [a, b, c, d, rest @ ..] = tag;
        let word = |bytes: [u8; 4]| match big {
            true => u32::from_be_bytes(bytes),
            false => u32::from_le_bytes(bytes),
        };
        let first = word([a, b, c, d]);
        Ok(Some(match first >> 16 {
            0 => Self { kind: first, length: word(rest), small: None },
            length => Self { kind: first & 0xffff, length: length.min(4), small: Some(rest) },
        }))
    }

    /// Reads the numbers, and what fills them up to whole eights of bytes. Allocates for what there is.
    fn values(self, input: &mut impl Read, big: bool) -> Outcome<Vec<f64>> {
        let Some(size) = size(self.kind) else { return Ok(Vec::new()) };
        let mut values = Vec::new();
        if let Some(small) = self.small {
            extend(&mut values, self.kind, big, &small[..self.length as usize]);
            return Ok(values);
        }
        let length = u64::from(self.length);
        let mut piece = vec![0; 1 << 16];
        let mut left = length;
        while left >= size {
            let wanted = (left - left % size).min(piece.len() as u64) as usize;
            input.read_exact(&mut piece[..wanted])?;
            extend(&mut values, self.kind, big, &piece[..wanted]);
            left -= wanted as u64;
        }
        let filling = left + (8 - length % 8) % 8;
        // the last element of a file may end without it
        io::copy(&mut input.take(filling), &mut io::sink())?;
        Ok(values)
    }
}

/// Appends the numbers that these bytes are.
fn extend(values: &mut Vec<f64>, kind: u32, big: bool, bytes: &[u8]) {
    macro_rules! numbers {
        ($number:ty) => {
            values.extend(bytes.chunks_exact(size_of::<$number>()).map(|chunk| {
                let mut bytes = [0; size_of::<$number>()];
                bytes.copy_from_slice(chunk);
                if big {
                    bytes.reverse();
                }
                <$number>::from_le_bytes(bytes) as f64
            }))
        };
    }
    match kind {
        kind::INT8 => numbers!(i8),
        kind::UINT8 => numbers!(u8),
        kind::INT16 => numbers!(i16),
        kind::UINT16 => numbers!(u16),
        kind::INT32 => numbers!(i32),
        kind::UINT32 => numbers!(u32),
        kind::SINGLE => numbers!(f32),
        kind::DOUBLE => numbers!(f64),
        kind::INT64 => numbers!(i64),
        kind::UINT64 => numbers!(u64),
        _ => {}
    }
}
