//! `results.lock`: which runs were published, by digest. One line a run and a root digest over all
//! lines, so that one signature on one small file holds for every run. Pure over names and digests:
//! it reads and writes no file and signs nothing.

use std::collections::BTreeMap;
use std::fmt;

use crate::digest::sha256;
use crate::error::{Error, Result};
use crate::experiment::CellName;
use crate::report::csv as table;
use crate::store::checksum;
use crate::store::record::Record;
use crate::summary::Row;
use serde::Serialize;

/// The file's name, in a folder of results.
pub const FILE: &str = "results.lock";

/// How a lock makes the digest of a run's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Of its columns by their names, those left out that are empty: a column that files get later
    /// changes no digest.
    Fields,
    /// Of the `runs.csv` that would hold the run alone, as locks were written at first.
    Line,
}

impl Form {
    fn header(self) -> &'static str {
        match self {
            Self::Fields => "experiment,cell,seed,fields_sha256,record_sha256",
            Self::Line => "experiment,cell,seed,row_sha256,record_sha256",
        }
    }
}

/// The columns that `runs.csv` had, beside those of axes, when locks were of the form `Line`.
const FIRST_COLUMNS: &str = "experiment,cell,seed,scale,state,tp,fp,fn,tn,precision,recall,f1,\
    auroc,auprc,auroc_of_flags,threshold,epochs,batch_width,device,wall_seconds,data_sha256,\
    split_sha256,init_sha256,scores_sha256,key,protocol_version,commit,libtorch";

/// Which run: experiment, cell, seed.
pub type Run = (String, CellName, u64);

/// SHA-256, in hexadecimal, of what is known of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Digests {
    /// Of its row of `runs.csv`, as the lock's form says.
    pub row_sha256: String,
    /// Of the record's canonical JSON, which is its file's own checksum; none where no record is.
    pub record_sha256: Option<String>,
}

impl Digests {
    /// Of a run and, where there is one, its record.
    ///
    /// # Errors
    /// `Failed` for a row that cannot be written, which no row that was read is.
    pub fn of(row: &Row, record: Option<&Record>, form: Form) -> Result<Self> {
        let fields = table::fields_of(row)?;
        let text = match form {
            Form::Fields => serde_json::to_string(&fields)
                .map_err(|error| Error::Failed(format!("cannot write a row: {error}")))?,
            Form::Line => line_of(row, &fields)?,
        };
        Ok(Self { row_sha256: sha256(&text), record_sha256: record.map(checksum) })
    }
}

/// The `runs.csv` that holds this run alone, with the columns that it had at first.
fn line_of(row: &Row, fields: &BTreeMap<String, String>) -> Result<String> {
    let names: Vec<&str> =
        FIRST_COLUMNS.split(',').chain(row.axes.keys().map(String::as_str)).collect();
    let values = names.iter().map(|&name| fields.get(name).map_or("", String::as_str));
    text_of(|writer| {
        writer.write_record(&names)?;
        writer.write_record(values)
    })
}

/// What is written as CSV.
fn text_of(
    write: impl FnOnce(&mut csv::Writer<Vec<u8>>) -> std::result::Result<(), csv::Error>,
) -> Result<String> {
    let failed = |error: &dyn fmt::Display| Error::Failed(format!("cannot write a lock: {error}"));
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    write(&mut writer).map_err(|error| failed(&error))?;
    let bytes = writer.into_inner().map_err(|error| failed(&error))?;
    String::from_utf8(bytes).map_err(|error| failed(&error))
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
    Missing { experiment: String, cell: CellName, seed: u64 },
    /// A run that the lock does not have.
    Added { experiment: String, cell: CellName, seed: u64 },
    /// A run whose digest is another: of its row, or of its record alone.
    Changed { experiment: String, cell: CellName, seed: u64, what: &'static str },
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
    write_in(Form::Fields, lock)
}

fn write_in(form: Form, lock: &Lock) -> Result<String> {
    let lines = text_of(|writer| {
        writer.write_record(form.header().split(','))?;
        lock.iter().try_for_each(|line| writer.serialize(line))
    })?;
    Ok(format!("{lines}root {}\n", sha256(&lines)))
}

/// A lock as it was read.
#[derive(Debug, PartialEq)]
pub struct Locked {
    pub form: Form,
    pub lock: Lock,
    /// Set where the root is not that of the lines.
    pub broken: Option<Difference>,
}

/// Reads a lock of either form, and finds out whether its root is that of its lines.
///
/// # Errors
/// `Data` for what is no lock, by its line: another header, a line that is none, a run that is
/// there twice, no root.
pub fn read(text: &str) -> Result<Locked> {
    // git with autocrlf, and editors, change line ends, which say nothing of a run
    let text = &*text.replace("\r\n", "\n");
    let wrong = |what: String| Error::Data(format!("{FILE} {what}"));
    let cut = text.trim_end_matches('\n').rfind('\n').map_or(0, |newline| newline + 1);
    let (lines, root) = text.split_at(cut);
    let Some(root) = root.trim_end_matches('\n').strip_prefix("root ") else {
        return Err(wrong("does not end with its root: it is not whole".to_owned()));
    };
    let header = lines.lines().next().unwrap_or_default();
    let form = [Form::Fields, Form::Line].into_iter().find(|form| form.header() == header);
    let form = form.ok_or_else(|| {
        wrong(format!("is no lock: its first line is not {}", Form::Fields.header()))
    })?;
    let mut lock = Lock::new();
    for line in csv::Reader::from_reader(lines.as_bytes()).into_deserialize() {
        let (experiment, cell, seed, row_sha256, record_sha256): (String, CellName, u64, _, _) =
            line.map_err(|error| wrong(format!("has a line that is none: {error}")))?;
        let run = (experiment, cell, seed);
        if let Some((experiment, cell, seed)) =
            lock.insert(run.clone(), Digests { row_sha256, record_sha256 }).map(|_| run)
        {
            return Err(wrong(format!("has {experiment} {cell} seed {seed} twice")));
        }
    }
    let computed = sha256(lines);
    let broken =
        (computed != root).then(|| Difference::Root { written: root.to_owned(), computed });
    Ok(Locked { form, lock, broken })
}

/// Takes over from an earlier lock the digests of records that are not at hand, where the run's row is
/// still the same: a protocol is finished over several days, and records stay on the machine that made them.
/// `here` has the digests of `lock`'s runs in the form of the earlier lock.
pub fn keep_records(lock: &mut Lock, here: &Lock, earlier: &Lock) {
    for (run, digests) in lock.iter_mut().filter(|(_, digests)| digests.record_sha256.is_none()) {
        let now = here.get(run).map(|digests| &digests.row_sha256);
        let same = earlier.get(run).filter(|known| Some(&known.row_sha256) == now);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(runs: &[(&str, u64, &str, Option<&str>)]) -> Lock {
        let line = |&(cell, seed, row, record): &(&str, u64, &str, Option<&str>)| {
            let record_sha256 = record.map(str::to_owned);
            (
                ("mine".to_owned(), cell.into(), seed),
                Digests { row_sha256: row.to_owned(), record_sha256 },
            )
        };
        runs.iter().map(line).collect()
    }

    #[test]
    fn a_new_lock_keeps_the_record_digest_of_a_row_that_has_not_changed() {
        let run = |seed| ("tiny".to_owned(), "base".into(), seed);
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
        let here = lock.clone();
        keep_records(&mut lock, &here, &earlier);
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
            format!(
                "{}\nmine,\"a=1,b=2\",9,r9,\nmine,\"a=1,b=2\",10,r10,c10\n",
                Form::Fields.header()
            )
        );
        assert_eq!(root, format!("root {}\n", sha256(lines)));
        for form in [Form::Fields, Form::Line] {
            let text = write_in(form, &whole).unwrap();
            assert_eq!(read(&text), Ok(Locked { form, lock: whole.clone(), broken: None }));
        }
        let none = Locked { form: Form::Fields, lock: Lock::new(), broken: None };
        assert_eq!(read(&write(&Lock::new()).unwrap()), Ok(none));
    }

    #[test]
    fn an_empty_column_more_changes_no_digest_and_the_first_form_is_that_of_a_file_of_one_run() {
        let mut row = Row::new("mine", "a=1", 3);
        row.axes.insert("model.a".into(), "1".into());
        row.threshold = Some(0.25);
        let digest = |row: &Row, form| Digests::of(row, None, form).unwrap().row_sha256;
        let file = table::runs_text(std::slice::from_ref(&row)).unwrap();
        assert_eq!(digest(&row, Form::Line), sha256(&file));
        let fields = "{\"cell\":\"a=1\",\"experiment\":\"mine\",\"model.a\":\"1\",\
            \"scale\":\"full\",\"seed\":\"3\",\"state\":\"ok\",\"threshold\":\"0.25\"}";
        assert_eq!(digest(&row, Form::Fields), sha256(fields));
    }

    #[test]
    fn a_changed_line_shows_in_the_root() {
        let text = write(&lock(&[("base", 1, "r1", None)])).unwrap();
        let Locked { lock: changed, broken, .. } = read(&text.replace("r1", "r2")).unwrap();
        assert_eq!(changed, lock(&[("base", 1, "r2", None)]));
        assert!(matches!(broken, Some(Difference::Root { .. })), "{broken:?}");
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
