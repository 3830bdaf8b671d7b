//! `results.lock`: which runs were published, by digest. One line a run and a root digest over all
//! lines, so that one signature on one small file holds for every run. Pure over names and digests:
//! it reads and writes no file and signs nothing.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::report::csv as table;
use crate::store::checksum;
use crate::store::record::Record;
use crate::summary::Row;

/// The file's name, in a folder of results.
pub const FILE: &str = "results.lock";

const HEADER: &str = "experiment,cell,seed,row_sha256,record_sha256";

/// Which run: experiment, cell, seed.
pub type Run = (String, String, u64);

/// SHA-256, in hexadecimal, of what is known of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Digests {
    /// Of the `runs.csv` that holds this run alone.
    pub row_sha256: String,
    /// Of the record's canonical JSON, which is its file's own checksum; none where no record is.
    pub record_sha256: Option<String>,
}

impl Digests {
    /// Of a run and, where there is one, its record.
    ///
    /// # Errors
    /// `Failed` for a row that cannot be written, which no row that was read is.
    pub fn of(row: &Row, record: Option<&Record>) -> Result<Self> {
        let row_sha256 = sha256(&table::runs_text(std::slice::from_ref(row))?);
        Ok(Self { row_sha256, record_sha256: record.map(checksum) })
    }
}

/// The runs of a folder of results, sorted.
pub type Lock = BTreeMap<Run, Digests>;

/// In what the runs at hand are not those of a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "difference")]
pub enum Difference {
    /// The lock's lines are not those that its root digest was made of.
    Root { written: String, computed: String },
    /// A run of the lock that is not here.
    Missing { experiment: String, cell: String, seed: u64 },
    /// A run that the lock does not have.
    Added { experiment: String, cell: String, seed: u64 },
    /// A run whose digest is another: of its row, or of its record alone.
    Changed { experiment: String, cell: String, seed: u64, what: &'static str },
}

impl fmt::Display for Difference {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Root { written, computed } => write!(
                out,
                "changed  {FILE} itself: its root is {written}, and its lines give {computed}"
            ),
            Self::Missing { experiment, cell, seed } => {
                write!(out, "missing  {experiment} {cell} seed {seed}")
            }
            Self::Added { experiment, cell, seed } => {
                write!(out, "added    {experiment} {cell} seed {seed}")
            }
            Self::Changed { experiment, cell, seed, what } => {
                write!(out, "changed  {experiment} {cell} seed {seed}: its {what}")
            }
        }
    }
}

/// The text of a lock: header, one line a run, and the root, the SHA-256 of all bytes before it.
///
/// # Errors
/// `Failed` for names that cannot be written.
pub fn write(lock: &Lock) -> Result<String> {
    let failed = |error: &dyn fmt::Display| Error::Failed(format!("cannot write a lock: {error}"));
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    writer.write_record(HEADER.split(',')).map_err(|error| failed(&error))?;
    for line in lock {
        writer.serialize(line).map_err(|error| failed(&error))?;
    }
    let bytes = writer.into_inner().map_err(|error| failed(&error))?;
    let lines = String::from_utf8(bytes).map_err(|error| failed(&error))?;
    Ok(format!("{lines}root {}\n", sha256(&lines)))
}

/// Reads a lock, and finds out whether its root is that of its lines.
///
/// # Errors
/// `Data` for what is no lock, by its line: another header, a line that is none, a run that is
/// there twice, no root.
pub fn read(text: &str) -> Result<(Lock, Option<Difference>)> {
    let wrong = |what: String| Error::Data(format!("{FILE} {what}"));
    let cut = text.trim_end_matches('\n').rfind('\n').map_or(0, |newline| newline + 1);
    let (lines, root) = text.split_at(cut);
    let Some(root) = root.trim_end_matches('\n').strip_prefix("root ") else {
        return Err(wrong("does not end with its root: it is not whole".to_owned()));
    };
    if lines.lines().next() != Some(HEADER) {
        return Err(wrong(format!("is no lock: its first line is not {HEADER}")));
    }
    let mut lock = Lock::new();
    for line in csv::Reader::from_reader(lines.as_bytes()).into_deserialize() {
        let (experiment, cell, seed, row_sha256, record_sha256): (String, String, u64, _, _) =
            line.map_err(|error| wrong(format!("has a line that is none: {error}")))?;
        let run = (experiment, cell, seed);
        if let Some((experiment, cell, seed)) =
            lock.insert(run.clone(), Digests { row_sha256, record_sha256 }).map(|_| run)
        {
            return Err(wrong(format!("has {experiment} {cell} seed {seed} twice")));
        }
    }
    let computed = sha256(lines);
    let difference =
        (computed != root).then(|| Difference::Root { written: root.to_owned(), computed });
    Ok((lock, difference))
}

/// Takes over from an earlier lock the digests of records that are not at hand, where the run's row is
/// still the same: a protocol is finished over several days, and records stay on the machine that made them.
pub fn keep_records(lock: &mut Lock, earlier: &Lock) {
    for (run, digests) in lock.iter_mut().filter(|(_, digests)| digests.record_sha256.is_none()) {
        let same = earlier.get(run).filter(|known| known.row_sha256 == digests.row_sha256);
        digests.record_sha256 = same.and_then(|known| known.record_sha256.clone());
    }
}

/// In what the runs `here` are not those of `lock`, in the order of the runs. Records are compared
/// where the lock and this place have them both: what is published without records is what its rows
/// say.
pub fn differences(lock: &Lock, here: &Lock) -> Vec<Difference> {
    let mut found: BTreeMap<&Run, Difference> = BTreeMap::new();
    for (run, locked) in lock {
        let (experiment, cell, seed) = run.clone();
        let difference = match here.get(run) {
            None => Difference::Missing { experiment, cell, seed },
            Some(digests) => {
                let both = locked.record_sha256.as_ref().zip(digests.record_sha256.as_ref());
                let what = match both {
                    _ if locked.row_sha256 != digests.row_sha256 => "row",
                    Some((locked, here)) if locked != here => "record, in what no row holds",
                    Some(_) | None => continue,
                };
                Difference::Changed { experiment, cell, seed, what }
            }
        };
        found.insert(run, difference);
    }
    for run in here.keys().filter(|run| !lock.contains_key(*run)) {
        let (experiment, cell, seed) = run.clone();
        found.insert(run, Difference::Added { experiment, cell, seed });
    }
    found.into_values().collect()
}

fn sha256(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(runs: &[(&str, u64, &str, Option<&str>)]) -> Lock {
        let line = |&(cell, seed, row, record): &(&str, u64, &str, Option<&str>)| {
            let record_sha256 = record.map(str::to_owned);
            (
                ("mine".to_owned(), cell.to_owned(), seed),
                Digests { row_sha256: row.to_owned(), record_sha256 },
            )
        };
        runs.iter().map(line).collect()
    }

    #[test]
    fn a_new_lock_keeps_the_record_digest_of_a_row_that_has_not_changed() {
        let run = |seed| ("tiny".to_owned(), "base".to_owned(), seed);
        let digests = |row: &str, record: Option<&str>| Digests {
            row_sha256: row.to_owned(),
            record_sha256: record.map(str::to_owned),
        };
        let earlier: Lock = [
            (run(1), digests("a", Some("record a"))),
            (run(2), digests("b", Some("record b"))),
            (run(3), digests("c", Some("record c"))),
        ]
        .into();
        let mut lock: Lock = [
            (run(1), digests("a", None)),
            (run(2), digests("another", None)),
            (run(3), digests("c", Some("made again"))),
            (run(4), digests("d", None)),
        ]
        .into();
        keep_records(&mut lock, &earlier);
        let records: Vec<_> = lock.values().map(|one| one.record_sha256.as_deref()).collect();
        assert_eq!(records, [Some("record a"), None, Some("made again"), None]);
    }

    #[test]
    fn a_lock_reads_back_and_its_root_is_the_digest_of_the_bytes_before_it() {
        let whole = lock(&[("a=1,b=2", 10, "r10", Some("c10")), ("a=1,b=2", 9, "r9", None)]);
        let text = write(&whole).unwrap();
        let (lines, root) = text.split_at(text.rfind("root ").unwrap());
        assert_eq!(
            lines,
            format!("{HEADER}\nmine,\"a=1,b=2\",9,r9,\nmine,\"a=1,b=2\",10,r10,c10\n")
        );
        assert_eq!(root, format!("root {}\n", sha256(lines)));
        assert_eq!(read(&text), Ok((whole, None)));
        assert_eq!(read(&write(&Lock::new()).unwrap()), Ok((Lock::new(), None)));
    }

    #[test]
    fn a_changed_line_shows_in_the_root() {
        let text = write(&lock(&[("base", 1, "r1", None)])).unwrap();
        let (changed, difference) = read(&text.replace("r1", "r2")).unwrap();
        assert_eq!(changed, lock(&[("base", 1, "r2", None)]));
        assert!(matches!(difference, Some(Difference::Root { .. })), "{difference:?}");
    }

    #[test]
    fn what_is_no_lock_is_refused() {
        let text = write(&lock(&[("base", 1, "r1", None)])).unwrap();
        let twice = text.replace("mine,base,1,r1,\n", "mine,base,1,r1,\nmine,base,1,r2,\n");
        for (text, complaint) in [
            ("", "not whole"),
            (&text[..text.len() / 2], "not whole"),
            ("root abc", "is no lock"),
            (&text.replace("seed", "sede"), "is no lock"),
            (&text.replace(",1,", ",one,"), "a line that is none"),
            (&text.replace(",1,", ","), "a line that is none"),
            (&twice, "has mine base seed 1 twice"),
        ] {
            let error = read(text).unwrap_err();
            assert_eq!(error.exit_code(), 3);
            assert!(error.to_string().contains(complaint), "{complaint}: {error}");
        }
    }

    #[test]
    fn every_changed_added_and_missing_run_is_named() {
        let locked = lock(&[
            ("base", 1, "r1", Some("c1")),
            ("base", 2, "r2", Some("c2")),
            ("base", 3, "r3", Some("c3")),
            ("base", 4, "r4", None),
        ]);
        assert_eq!(differences(&locked, &locked), []);
        let here = lock(&[
            ("base", 1, "other", Some("other")),
            ("base", 2, "r2", Some("other")),
            ("base", 4, "r4", Some("c4")),
            ("base", 5, "r5", None),
        ]);
        let found: Vec<String> =
            differences(&locked, &here).iter().map(Difference::to_string).collect();
        assert_eq!(
            found,
            [
                "changed  mine base seed 1: its row",
                "changed  mine base seed 2: its record, in what no row holds",
                "missing  mine base seed 3",
                "added    mine base seed 5",
            ]
        );
        // published without records: the rows are all there is
        let published = lock(&[("base", 1, "r1", None), ("base", 2, "r2", None)]);
        assert_eq!(differences(&locked, &published).len(), 2, "seeds 3 and 4 are missing");
    }
}
