//! A look at a table of somebody's own, to begin an experiment with: its digest, its columns, and guesses
//! that the experiment's file then says in words. Reads the file twice and keeps no row.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};

use crate::digest;
use crate::error::{Error, Result};

/// What can be told of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    /// Of the unpacked bytes.
    pub sha256: String,
    pub label: String,
    /// Why that column or array is taken for the label.
    pub why_label: &'static str,
    /// How often each value of the label is there; none where the file was not read as text.
    pub classes: Option<Classes>,
    /// Columns with a value that is not a number, the label apart.
    pub categorical: Vec<String>,
    /// Whether any value is missing.
    pub lacks_values: bool,
}

/// How many rows have each class.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Classes(BTreeMap<String, u64>);

/// Values of a label that are told apart; a column with more is no label.
const MOST_CLASSES: usize = 1000;

/// Names that labels have.
const LABELS: [&str; 12] = [
    "label",
    "labels",
    "class",
    "target",
    "y",
    "outlier",
    "anomaly",
    "is_anomaly",
    "attack",
    "fraud",
    "is_fraud",
    "outlier_label",
];

impl Classes {
    /// The key of `[dataset]`, its value, and why.
    pub fn guess(&self) -> (&'static str, String, String) {
        let all = self.listed();
        let rare = self.0.iter().min_by_key(|(_, count)| **count);
        let common = self.0.iter().max_by_key(|(_, count)| **count);
        match (self.0.len(), rare, common) {
            (2, Some((rare, _)), _) => {
                ("anomaly", rare.clone(), format!("a guess: the rarer class of {all}"))
            }
            (_, _, Some((common, _))) => {
                ("normal ", common.clone(), format!("a guess: the most frequent class of {all}"))
            }
            _ => ("anomaly", "1".to_owned(), "a guess: the file has no rows".to_owned()),
        }
    }

    /// `0 (90 rows), 1 (10 rows)`, of the most frequent ones.
    fn listed(&self) -> String {
        let mut all: Vec<_> = self.0.iter().collect();
        all.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let said = all.iter().take(5).map(|(name, count)| {
            let plain: String = name.chars().filter(|c| !c.is_control()).take(40).collect();
            format!("{plain} ({count} rows)")
        });
        let said: Vec<String> = said.collect();
        let more =
            if all.len() > 5 { format!(" and {} more", all.len() - 5) } else { String::new() };
        said.join(", ") + &more
    }

    /// The share of rows that the guess calls anomalies, in three digits; none where it is 0 or all.
    pub fn share(&self) -> Option<f64> {
        let total: u64 = self.0.values().sum();
        let (key, value, _) = self.guess();
        let named = self.0.get(&value).copied()?;
        let anomalies = if key == "anomaly" { named } else { total - named };
        let share = (anomalies as f64 / total as f64 * 1000.0).round() / 1000.0;
        (share > 0.0 && share < 1.0).then_some(share)
    }
}

/// Looks at a table.
///
/// # Errors
/// `Data` for a file that cannot be read, or whose first line names no columns.
pub fn look(path: &Path) -> Result<Head> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let plain = name.strip_suffix(".gz").unwrap_or(&name);
    let sha256 = digest_of(path)?;
    let kind = plain.rsplit_once('.').map_or("", |(_, kind)| kind);
    if matches!(kind, "csv" | "tsv" | "txt" | "data") {
        return look_at_text(path, sha256);
    }
    let (label, why_label) = match kind {
        "npz" | "mat" => ("y", "the array of the classes; X is the array of the rows"),
        _ => ("label", "a guess: the column that holds the classes"),
    };
    let (classes, categorical, lacks_values) = (None, Vec::new(), false);
    Ok(Head { sha256, label: label.to_owned(), why_label, classes, categorical, lacks_values })
}

fn unread(path: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::Data(format!("cannot read {}: {error}", path.display()))
}

/// Opens a file, unpacked.
fn open(path: &Path) -> Result<Box<dyn BufRead>> {
    let found = path.metadata().map_err(|error| unread(path, &error))?;
    if !found.is_file() {
        return Err(unread(path, &"it is no regular file"));
    }
    let file = File::open(path).map_err(|error| unread(path, &error))?;
    let mut file = BufReader::with_capacity(1 << 16, file);
    let start = file.fill_buf().map_err(|error| unread(path, &error))?;
    Ok(match start.starts_with(&[0x1f, 0x8b]) {
        true => Box::new(BufReader::with_capacity(1 << 16, MultiGzDecoder::new(file))),
        false => Box::new(file),
    })
}

fn digest_of(path: &Path) -> Result<String> {
    let (mut file, mut hasher) = (open(path)?, Sha256::new());
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer).map_err(|error| unread(path, &error))? {
            0 => return Ok(digest::ended(hasher)),
            count => hasher.update(&buffer[..count]),
        }
    }
}

/// The character between the fields of a first line: the one that it has most often.
fn separator(line: &[u8]) -> u8 {
    let count = |sought: &u8| line.iter().filter(|byte| *byte == sought).count();
    // of equally many the first counts
    [b',', b';', b'\t'].into_iter().rev().max_by_key(count).unwrap_or(b',')
}

fn look_at_text(path: &Path, sha256: String) -> Result<Head> {
    let mut file = open(path)?;
    let start = file.fill_buf().map_err(|error| unread(path, &error))?;
    let line = start.split(|byte| matches!(byte, b'\n' | b'\r')).next().unwrap_or_default();
    let delimiter = separator(line);
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(file);
    let header = reader.byte_headers().map_err(|error| unread(path, &error))?.clone();
    let names: Vec<String> = header
        .iter()
        .map(|name| String::from_utf8_lossy(name).trim_start_matches('\u{feff}').trim().to_owned())
        .collect();
    if names.len() < 2 || names.iter().any(|name| name.is_empty() || name.parse::<f64>().is_ok()) {
        return Err(Error::Data(format!(
            "{}:1: the first line does not name columns; give the file a header, or write the experiment \
             by hand (header = false in docs/tables.md)",
            path.display()
        )));
    }
    let known = names.iter().position(|name| LABELS.contains(&name.to_lowercase().as_str()));
    let (place, why_label) = match known {
        Some(place) => (place, "the column that holds the classes, by its name"),
        None => (names.len() - 1, "a guess: the last column holds the classes"),
    };
    let (mut classes, mut words, mut lacks_values) =
        (Classes::default(), vec![false; names.len()], false);
    let mut record = csv::ByteRecord::new();
    while reader.read_byte_record(&mut record).map_err(|error| unread(path, &error))? {
        for (column, field) in record.iter().enumerate() {
            let text = String::from_utf8_lossy(field);
            let text = text.trim();
            let missing = text.is_empty() || text == "?";
            lacks_values |= missing;
            if column == place && classes.0.len() <= MOST_CLASSES && !missing {
                *classes.0.entry(text.to_owned()).or_default() += 1;
            }
            words[column] |= !missing && text.parse::<f64>().is_err();
        }
    }
    let is_word =
        |(column, name): (usize, &String)| (column != place && words[column]).then(|| name.clone());
    let categorical = names.iter().enumerate().filter_map(is_word).collect();
    let (label, classes) = (names[place].clone(), Some(classes));
    Ok(Head { sha256, label, why_label, classes, categorical, lacks_values })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn head(name: &str, bytes: &[u8]) -> Result<Head> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("a file");
        look(&path)
    }

    const TEXT: &str =
        "size;kind;class\r\n1.5;round;good\r\n2;\"flat; thin\";good\r\n?;round;bad\r\n";

    #[test]
    fn a_table_is_known_by_its_bytes_its_columns_and_its_classes() {
        let found = head("mine.csv", TEXT.as_bytes()).expect("a table");
        assert_eq!(found.sha256, digest::sha256(TEXT));
        assert_eq!(
            (found.label.as_str(), &found.categorical[..]),
            ("class", &["kind".to_owned()][..])
        );
        assert!(found.lacks_values);
        let classes = found.classes.clone().expect("classes");
        let (key, value, why) = classes.guess();
        assert_eq!((key, value.as_str()), ("anomaly", "bad"));
        assert!(why.contains("good (2 rows), bad (1 rows)"), "{why}");
        assert_eq!(classes.share(), Some(0.333));

        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(TEXT.as_bytes()).expect("packed");
        let packed = head("mine.csv.gz", &packed.finish().expect("packed")).expect("a table");
        assert_eq!(packed, found);
    }

    #[test]
    fn a_file_without_a_header_is_refused_and_one_that_is_no_text_is_digested() {
        let error = head("mine.csv", b"1,2,0\n3,4,1\n").unwrap_err().to_string();
        assert!(error.contains(":1: the first line does not name columns"), "{error}");
        let found = head("mine.npz", b"PK").expect("a table");
        assert_eq!((found.label.as_str(), found.classes), ("y", None));
        assert!(look(Path::new("/dev/zero")).is_err());
    }

    #[test]
    fn the_most_frequent_of_several_classes_is_taken_for_the_normal_one() {
        let text = "a,y\n1,0\n1,0\n1,1\n1,2\n";
        let classes = head("mine.csv", text.as_bytes()).expect("a table").classes.expect("classes");
        assert_eq!(classes.guess().1, "0");
        assert_eq!(classes.share(), Some(0.5));
    }
}
