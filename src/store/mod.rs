//! Records on disk: the key of a run, and reading and writing its file whole or not at all.
//! A file that is not exactly what was written is reported, never believed and never deleted.
//! Knows nothing of how a record is made or tabulated.

pub mod claim;
pub mod looks;
pub mod pictures;
pub mod record;
pub mod scores;
mod sound;
pub mod whole;

use std::borrow::Cow;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde_json::{Value, json};

use crate::digest::sha256;
use crate::error::{Error, Result};
use crate::experiment::{Cell, Scale};
use crate::files::{self, read_text};
use crate::model::ModelSpec;
use record::{Record, State};

/// The field that a file has beside those of its record: SHA-256 of the rest.
const CHECKSUM: &str = "sha256";

/// Bytes of a record's file: some half a million epochs of a loss with four terms.
const LARGEST_RECORD: u64 = 1 << 28;

/// Values of a record. Each takes a hundred bytes and more while it is read, and few in the file.
const MOST_VALUES: usize = 1 << 22;

/// Names everything that a run's result depends on: SHA-256, in hexadecimal, of the canonical JSON
/// of the cell's spec (not its label), the seed, the data's digest, the protocol version and the
/// device kind (`cpu` or `cuda`). Time, host and the other seeds of a job have no part in it.
pub fn key(cell: &Cell, seed: u64, data_sha256: &str, device_kind: &str) -> String {
    let version = cell.model.protocol_version();
    sha256(canonical(parts(cell, seed, data_sha256, version, device_kind)))
}

/// The key that a record's own fields give.
fn key_of(record: &Record) -> String {
    let Record { cell, seed, protocol_version, device_kind, digests, .. } = record;
    sha256(canonical(parts(cell, *seed, &digests.data, *protocol_version, device_kind)))
}

fn parts(cell: &Cell, seed: u64, data: &str, version: u32, device_kind: &str) -> Value {
    json!({
        "dataset": cell.dataset,
        "protocol": cell.protocol,
        "model": cell.model.of_key(),
        "training": cell.training,
        "control": cell.control,
        "seed": seed,
        "data-sha256": data,
        "protocol-version": version,
        "device": device_kind,
    })
}

/// JSON without spaces whose objects are sorted by key.
fn canonical(mut value: Value) -> String {
    value.sort_all_objects();
    value.to_string()
}

/// SHA-256, in hexadecimal, of the canonical JSON of a record: the `sha256` of its file.
pub fn checksum(record: &Record) -> String {
    // all fields of a record serialise: no maps with keys other than strings
    sha256(canonical(serde_json::to_value(record).expect("a record serialises")))
}

/// The run that is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    pub cell: &'a Cell,
    pub seed: u64,
    pub scale: Scale,
    pub data_sha256: &'a str,
    /// `cpu` or `cuda`; none where a record of either will do.
    pub device_kind: Option<&'a str>,
}

/// What the store has for a run.
#[derive(Debug, Clone, PartialEq)]
pub enum Stored {
    Missing,
    /// The record of this very run.
    Same(Box<Record>),
    /// A record in this run's place that was made otherwise, and in what: `training.epochs 200 -> 3`
    /// (stored -> wanted).
    Different(Box<Record>, Vec<String>),
    /// A file in this run's place that is no record: its path and why.
    Unreadable(String),
}

impl State {
    /// Whether the same run would end the same way again, so that `run` leaves the record alone.
    pub fn is_final(self) -> bool {
        match self {
            Self::Ok | Self::Diverged | Self::InvalidData => true,
            Self::OutOfMemory | Self::Crashed | Self::TimedOut => false,
        }
    }
}

/// The records of one experiment: `<out>/<experiment>/runs/<cell>/<seed>.json`.
#[derive(Debug, Clone, PartialEq)]
pub struct Store {
    dir: PathBuf,
    experiment: String,
    /// Device and inode of the folder, once it is settled.
    place: Option<(u64, u64)>,
}

/// What lies in the place of a record.
enum Found {
    Nothing,
    Record(Box<Record>),
    /// No record, and why.
    Other(String),
}

impl Store {
    /// The store of an experiment below `out`; it is made when the first record is put.
    pub fn open(out: &Path, experiment: &str) -> Self {
        Self { dir: out.join(experiment), experiment: experiment.to_owned(), place: None }
    }

    /// `<out>/<experiment>`, where the tables and logs go too.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the record of a run lies.
    pub fn path(&self, label: &str, seed: u64) -> PathBuf {
        self.dir.join("runs").join(label).join(format!("{seed}.json"))
    }

    /// Makes the folder where it is missing, and from now on refuses to write into another one in its
    /// place: where a file system is unmounted, the folder below it would quietly become a new store.
    ///
    /// # Errors
    /// `Failed` when the file system refuses.
    pub fn settle(&mut self) -> Result<()> {
        let found = whole::create_folder(&self.dir).and_then(|()| fs::metadata(&self.dir));
        let found = found.map_err(|error| Error::of_file("make the folder", &self.dir, &error))?;
        self.place = Some((found.dev(), found.ino()));
        Ok(())
    }

    /// Refuses a folder that is not the one that was settled.
    ///
    /// # Errors
    /// `Failed`, also when the folder cannot be looked at.
    pub fn check_place(&self) -> Result<()> {
        let Some(place) = self.place else { return Ok(()) };
        match fs::metadata(&self.dir) {
            Ok(found) if (found.dev(), found.ino()) == place => Ok(()),
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(Error::of_file("look at the folder", &self.dir, &error))
            }
            Ok(_) | Err(_) => Err(Error::Failed(format!(
                "{} is no longer the folder that this run began with: was its file system \
                 unmounted? what is stored is in that folder; bring it back, then start again",
                self.dir.display()
            ))),
        }
    }

    /// Refuses to write where a cell's claims and records lie: into another folder than the one that was
    /// settled, or by a link that has taken the place of a folder since.
    ///
    /// # Errors
    /// As [`Store::check_place`], and `Failed` for such a link.
    pub fn check_cell(&self, label: &str) -> Result<()> {
        self.check_place()?;
        let folder = self.dir.join("runs").join(label);
        let refused = |error| Error::of_file("write into", &folder, &error);
        files::refuse_links(&self.dir, &folder).map_err(refused)
    }

    /// Where claims and records lie, one folder a cell.
    ///
    /// # Errors
    /// `Failed` when the folder of them cannot be read.
    pub fn folders(&self) -> Result<Vec<PathBuf>> {
        entries(&self.dir.join("runs"))
    }

    /// Refuses folders of the experiment that are symbolic links: results of someone else's could have
    /// records, tables and logs written to any place by them. A file that is a link is no such
    /// danger: writing replaces the link.
    ///
    /// # Errors
    /// `Failed` for such a link, and for a directory that cannot be read.
    pub fn refuse_links(&self) -> Result<()> {
        let mut folders = vec![self.dir.clone()];
        while let Some(folder) = folders.pop() {
            let Ok(found) = fs::symlink_metadata(&folder) else { continue };
            if found.is_symlink() {
                return Err(Error::Failed(format!(
                    "{} is a symbolic link, by which results would be written elsewhere; put the \
                     folder itself there, or name its place with --out",
                    folder.display()
                )));
            }
            let failed = |error| {
                let place = folder.display();
                Error::Failed(format!("cannot read the directory {place}: {error}"))
            };
            for entry in fs::read_dir(&folder).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                let (path, kind) = (entry.path(), entry.file_type().map_err(failed)?);
                if kind.is_dir() || (kind.is_symlink() && path.is_dir()) {
                    folders.push(path);
                }
            }
        }
        Ok(())
    }

    /// Looks for a run.
    ///
    /// # Errors
    /// `Failed` when the file system refuses: that says nothing of what is stored.
    pub fn get(&self, wanted: &Wanted) -> Result<Stored> {
        let path = self.path(&wanted.cell.label, wanted.seed);
        Ok(match self.read(&path)? {
            Found::Nothing => Stored::Missing,
            Found::Other(why) => Stored::Unreadable(format!("{}: {why}", path.display())),
            Found::Record(record) => {
                let differences = differences(&record, wanted);
                if differences.is_empty() {
                    Stored::Same(record)
                } else {
                    Stored::Different(record, differences)
                }
            }
        })
    }

    /// Writes a record whole or not at all, over the one in its place. A file there that is no
    /// record is kept under another name, which is returned.
    ///
    /// # Errors
    /// `Failed` when the file system refuses, and for a record that could not be read back; as
    /// [`Store::check_cell`].
    pub fn put(&self, record: &Record) -> Result<Option<PathBuf>> {
        self.check_cell(&record.cell.label)?;
        let path = self.path(&record.cell.label, record.seed);
        let failed = |error| Error::of_file("write the record", &path, &error);
        let folder = path.parent().unwrap_or(&self.dir);
        whole::create_folder(folder).map_err(failed)?;
        if has_too_long_a_curve(record) {
            return Err(Error::Failed(format!(
                "cannot write the record {}: its loss curve is too long to be read back; train for fewer \
                 epochs",
                path.display()
            )));
        }
        let aside = match self.read(&path)? {
            Found::Nothing | Found::Record(_) => None,
            Found::Other(_) => Some(set_aside(&path).map_err(failed)?),
        };
        whole::write(&path, file_text(record)).map_err(failed)?;
        Ok(aside)
    }

    /// Removes the scores that were kept of a run.
    ///
    /// # Errors
    /// `Failed` when the file system refuses.
    pub fn forget_scores(&self, label: &str, seed: u64) -> Result<()> {
        scores::forget(&self.dir, label, seed).map_err(|error| {
            Error::of_file("remove kept scores beside", &self.path(label, seed), &error)
        })
    }

    /// Every record of the experiment, sorted by cell and seed, and why other files are none.
    ///
    /// # Errors
    /// `Failed` when a directory or a file cannot be read, and as [`Store::refuse_links`].
    pub fn load_all(&self) -> Result<(Vec<Record>, Vec<String>)> {
        self.refuse_links()?;
        let mut paths = Vec::new();
        for folder in self.folders()? {
            paths.extend(entries(&folder)?);
        }
        // `3.json.unreadable`, `.writing-AbC` and the like have been dealt with
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
        let read: Vec<_> = paths.par_iter().map(|path| self.read(path)).collect();
        let (mut records, mut unreadable) = (Vec::new(), Vec::new());
        for (path, found) in paths.iter().zip(read) {
            match found? {
                Found::Nothing => {}
                Found::Record(record) => records.push(*record),
                Found::Other(why) => unreadable.push(format!("{}: {why}", path.display())),
            }
        }
        records.sort_by(|a, b| (&a.cell.label, a.seed).cmp(&(&b.cell.label, b.seed)));
        Ok((records, unreadable))
    }

    fn read(&self, path: &Path) -> Result<Found> {
        let text = match read_text(path, LARGEST_RECORD) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Found::Nothing),
            Err(error) if error.raw_os_error().is_some() => {
                return Err(Error::of_file("read the record", path, &error));
            }
            // too large, no text, no regular file: no words of the system's
            Err(error) => return Ok(Found::Other(format!("cannot be read: {error}"))),
        };
        Ok(self.record_in(&text, path).map_or_else(Found::Other, Found::Record))
    }

    /// The record that a file's text is, or why it is none.
    fn record_in(&self, text: &str, path: &Path) -> std::result::Result<Box<Record>, String> {
        if has_too_many_values(text) {
            return Err(format!("is no record of a run: it has more than {MOST_VALUES} values"));
        }
        let mut value =
            sound::json(text).map_err(|error| format!("is not whole, or no JSON: {error}"))?;
        let written = value.as_object_mut().and_then(|object| object.shift_remove(CHECKSUM));
        let Some(Value::String(written)) = written else {
            return Err(format!("is no record of a run: it has no '{CHECKSUM}'"));
        };
        if written != sha256(canonical(value.clone())) {
            return Err(format!("was changed since it was written: its '{CHECKSUM}' is wrong"));
        }
        let record: Record = serde_json::from_value(value)
            .map_err(|error| format!("is no record of this version of seedbed: {error}"))?;
        if let Some(fault) = sound::fault(&record) {
            return Err(format!("contradicts itself, whole as it is: {fault}"));
        }
        let place = self.path(&record.cell.label, record.seed);
        if record.experiment != self.experiment || place != path {
            return Err(format!(
                "belongs elsewhere: it is seed {} of cell {} of {}",
                record.seed, record.cell.label, record.experiment
            ));
        }
        Ok(Box::new(record))
    }
}

fn file_text(record: &Record) -> String {
    // all fields of a record serialise: no maps with keys other than strings
    let mut value = serde_json::to_value(record).expect("a record serialises");
    let checksum = sha256(canonical(value.clone()));
    if let Some(object) = value.as_object_mut() {
        object.insert(CHECKSUM.to_owned(), Value::String(checksum));
    }
    format!("{value:#}\n")
}

/// Says whether a record's file would have more values than are read, of which all but a few are its curve's.
fn has_too_long_a_curve(record: &Record) -> bool {
    let values: usize = record.loss_curve.iter().map(|means| means.len() + 1).sum();
    values > MOST_VALUES - (1 << 16)
}

/// Says whether a text has more values than a record, strings with commas or brackets in them aside.
fn has_too_many_values(text: &str) -> bool {
    memchr::memchr3_iter(b',', b'[', b'{', text.as_bytes()).nth(MOST_VALUES).is_some()
}

/// Renames a file to the first free `<name>.unreadable`, `<name>.unreadable2`, …
fn set_aside(path: &Path) -> std::io::Result<PathBuf> {
    let mut count = 1;
    loop {
        let suffix = if count == 1 { String::new() } else { count.to_string() };
        let aside = PathBuf::from(format!("{}.unreadable{suffix}", path.display()));
        if !aside.try_exists()? {
            fs::rename(path, &aside)?;
            return Ok(aside);
        }
        count += 1;
    }
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed =
        |error| Error::Failed(format!("cannot read the directory {}: {error}", folder.display()));
    let list = match fs::read_dir(folder) {
        Ok(list) => list,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(failed(error)),
    };
    let mut paths = Vec::new();
    for entry in list {
        paths.push(entry.map_err(failed)?.path());
    }
    paths.sort();
    Ok(paths)
}

/// In what a record is not the wanted run: `part stored -> wanted`; nothing when it is.
pub fn differences(record: &Record, wanted: &Wanted) -> Vec<String> {
    let device = wanted.device_kind.unwrap_or(&record.device_kind);
    let data = &record.digests.data;
    let (version, kind) = (record.protocol_version, &record.device_kind);
    let stored = parts(&record.cell, record.seed, data, version, kind);
    let &Wanted { cell, seed, data_sha256, .. } = wanted;
    let cell = &with_files_of(cell, &record.cell);
    let asked = parts(cell, seed, data_sha256, cell.model.protocol_version(), device);
    let mut found = Vec::new();
    compare("", &stored, &asked, &mut found);
    if record.scale != wanted.scale {
        found.push(format!("scale {} -> {}", record.scale, wanted.scale));
    }
    if found.is_empty() && record.key != sha256(canonical(asked)) {
        found.push("the way keys are computed".to_owned());
    }
    found
}

/// Returns a cell of scores from elsewhere with the files that a record's scores came from: an experiment
/// asks for none by name. Any other cell is what it is.
fn with_files_of<'a>(cell: &'a Cell, stored: &Cell) -> Cow<'a, Cell> {
    match (&cell.model, &stored.model) {
        (ModelSpec::Scores(asked), ModelSpec::Scores(stored)) => {
            let model = ModelSpec::Scores(asked.with_files_of(stored));
            Cow::Owned(Cell { model, ..cell.clone() })
        }
        _ => Cow::Borrowed(cell),
    }
}

fn compare(path: &str, stored: &Value, asked: &Value, found: &mut Vec<String>) {
    match (stored, asked) {
        (Value::Object(stored), Value::Object(asked)) => {
            let added = asked.keys().filter(|key| !stored.contains_key(*key));
            for key in stored.keys().chain(added) {
                let inner = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                let of = |object: &serde_json::Map<String, Value>| {
                    object.get(key).cloned().unwrap_or(Value::Null)
                };
                compare(&inner, &of(stored), &of(asked), found);
            }
        }
        (stored, asked) if stored == asked => {}
        (stored, asked) => found.push(format!("{path} {} -> {}", text_of(stored), text_of(asked))),
    }
}

fn text_of(value: &Value) -> String {
    match value {
        // digests: their beginning tells them apart
        Value::String(text) if text.len() == 64 => text.chars().take(12).chain(['…']).collect(),
        Value::String(text) => text.clone(),
        Value::Null => "none".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::{Experiment, Selection};
    use crate::metrics::Metric;
    use record::Job;

    fn cell(set: &[&str]) -> Cell {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/synthetic.toml");
        let set = set.iter().map(|&text| text.to_owned()).collect();
        let selection = Selection { set, ..Selection::default() };
        Experiment::load(&path.to_string_lossy(), &selection).unwrap().cells.remove(0)
    }

    fn record(cell: &Cell, seed: u64) -> Record {
        let job = Job::of("synthetic", Scale::Full, vec![cell.clone()], vec![seed]);
        Record {
            diagnostics: [("x".to_owned(), 1e-300)].into(),
            epochs: 3,
            loss_curve: vec![vec![1.0 / 3.0], vec![f64::MAX]],
            loss_terms: vec!["reconstruction".to_owned()],
            wall_seconds: 1.5,
            ..Record::of(&job, cell, seed, "d").ended_well()
        }
    }

    fn wanted(cell: &Cell, seed: u64) -> Wanted<'_> {
        Wanted { cell, seed, scale: Scale::Full, data_sha256: "d", device_kind: Some("cpu") }
    }

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), "synthetic");
        (folder, store)
    }

    #[test]
    fn every_part_of_the_spec_is_in_the_key_and_the_label_is_not() {
        let base = cell(&[]);
        let of = |cell: &Cell| key(cell, 1, "d", "cpu");
        let mut renamed = base.clone();
        renamed.label = "other".into();
        assert_eq!(of(&base), of(&renamed));
        for change in ["training.epochs=7", "model.latent=7", "protocol.contamination=0.1"] {
            assert_ne!(of(&base), of(&cell(&[change])), "{change}");
        }
        let mut control = base.clone();
        control.control = Some(crate::experiment::Control::Untrained);
        assert_ne!(of(&base), of(&control));
        assert_ne!(of(&base), key(&base, 2, "d", "cpu"));
        assert_ne!(of(&base), key(&base, 1, "e", "cpu"));
        assert_ne!(of(&base), key(&base, 1, "d", "cuda"));
        let of_version = |version| canonical(parts(&base, 1, "d", version, "cpu"));
        assert_ne!(of_version(1), of_version(2));
    }

    /// The vectors were made by another program, Python's json and hashlib.
    #[test]
    fn keys_are_those_of_the_vectors_in_the_documentation() {
        let lines: Vec<&str> = include_str!("../../docs/verification.md").lines().collect();
        let vectors = lines.windows(2).filter(|pair| pair[0].starts_with("{\"control\":"));
        let mut keys = Vec::new();
        for pair in vectors {
            let parts: Value = serde_json::from_str(pair[0]).unwrap();
            let cell = json!({
                "label": "any", "axes": {}, "control": parts["control"],
                "dataset": parts["dataset"], "protocol": parts["protocol"],
                "model": parts["model"], "training": parts["training"],
            });
            let cell: Cell = serde_json::from_value(cell).unwrap();
            let seed = parts["seed"].as_u64().unwrap();
            let version = parts["protocol-version"].as_u64().unwrap() as u32;
            let text = |name: &str| parts[name].as_str().unwrap();
            let (data, device) = (text("data-sha256"), text("device"));
            assert_eq!(canonical(super::parts(&cell, seed, data, version, device)), pair[0]);
            keys.push(sha256(pair[0]));
            assert_eq!(pair[1], format!("sha256 {}", keys[keys.len() - 1]));
        }
        let literal = [
            "ac56ecbe897afc951406868afb31be11c94f18ccb2e3df1d574533a978362dba",
            "d2996f0508f5bde736ff4123412e904e67828b0b7ed9d56e8dc8d0ccadfd3f72",
        ];
        assert_eq!(keys, literal);
    }

    #[test]
    fn numbers_are_written_as_those_in_the_documentation() {
        let numbers = [
            0.0,
            -0.0,
            1.0,
            0.1,
            123_456.789,
            0.00001,
            0.000_009,
            0.000_001_5,
            0.000_000_1,
            5e-324,
            1e15,
            1e16,
            1.5e16,
            123_456_789_012_345_680.0,
            f64::MAX,
        ];
        let written = canonical(json!(numbers));
        let mut lines = include_str!("../../docs/verification.md").lines();
        assert!(lines.any(|line| line == written), "{written}");
        assert_eq!(lines.next(), Some(&*format!("sha256 {}", sha256(&written))));
    }

    #[test]
    fn a_record_of_more_values_than_can_be_read_is_neither_written_nor_read() {
        let (_folder, store) = store();
        let cell = cell(&[]);
        let mut long = record(&cell, 1);
        long.loss_curve = vec![Vec::new(); MOST_VALUES];
        let refused = store.put(&long).unwrap_err().to_string();
        assert!(refused.contains("its loss curve is too long"), "{refused}");
        assert_eq!(store.get(&wanted(&cell, 1)), Ok(Stored::Missing));
        let path = store.path(&cell.label, 1);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("[{}1]", "1,".repeat(MOST_VALUES))).unwrap();
        let (_, unreadable) = store.load_all().unwrap();
        assert!(unreadable[0].contains("more than 4194304 values"), "{unreadable:?}");
    }

    #[test]
    fn a_record_reads_back_exactly() {
        let (_folder, store) = store();
        let cell = cell(&[]);
        assert_eq!(store.get(&wanted(&cell, 1)), Ok(Stored::Missing));
        let put = record(&cell, 1);
        assert_eq!(store.put(&put), Ok(None));
        assert_eq!(store.get(&wanted(&cell, 1)), Ok(Stored::Same(Box::new(put.clone()))));
        assert_eq!(store.load_all(), Ok((vec![put], Vec::new())));
    }

    #[test]
    fn a_record_made_otherwise_says_in_what() {
        let (_folder, store) = store();
        let (old, new) = (cell(&[]), cell(&["training.epochs=7", "training.gradient-clip=5"]));
        store.put(&record(&old, 1)).unwrap();
        let Stored::Different(_, parts) = store.get(&wanted(&new, 1)).unwrap() else {
            panic!("same")
        };
        let epochs = old.training.epochs;
        assert_eq!(
            parts,
            [
                format!("training.epochs {epochs} -> 7"),
                "training.gradient-clip none -> 5.0".to_owned()
            ]
        );
        let parts_of = |wanted: Wanted| match store.get(&wanted).unwrap() {
            Stored::Different(_, parts) => parts.join(", "),
            other => panic!("{other:?}"),
        };
        let base = wanted(&old, 1);
        assert_eq!(parts_of(Wanted { scale: Scale::Quick, ..base }), "scale full -> quick");
        assert_eq!(parts_of(Wanted { data_sha256: "e", ..base }), "data-sha256 d -> e");
        assert_eq!(parts_of(Wanted { device_kind: Some("cuda"), ..base }), "device cpu -> cuda");
        let either = Wanted { device_kind: None, ..base };
        assert!(matches!(store.get(&either), Ok(Stored::Same(_))));
        let version = old.model.protocol_version();
        let mut other = Record { protocol_version: 99, ..record(&old, 1) };
        other.key = key_of(&other);
        store.put(&other).unwrap();
        assert_eq!(parts_of(base), format!("protocol-version 99 -> {version}"));
    }

    #[test]
    fn truncated_edited_and_foreign_files_are_reported_and_kept() {
        let (_folder, store) = store();
        let cell = cell(&[]);
        store.put(&record(&cell, 1)).unwrap();
        let path = store.path(&cell.label, 1);
        let whole = fs::read_to_string(&path).unwrap();
        let foreign = store.path(&cell.label, 2);
        fs::copy(&path, &foreign).unwrap();
        for (text, why) in [
            (whole[..whole.len() / 2].to_owned(), "is not whole"),
            (whole.replace("\"epochs\": 3", "\"epochs\": 4"), "was changed since it was written"),
            ("{}".to_owned(), "is no record of a run"),
            (String::new(), "is not whole"),
        ] {
            fs::write(&path, &text).unwrap();
            let Stored::Unreadable(message) = store.get(&wanted(&cell, 1)).unwrap() else {
                panic!("{why}")
            };
            assert!(message.contains(why) && message.contains("1.json"), "{message}");
        }
        let Stored::Unreadable(message) = store.get(&wanted(&cell, 2)).unwrap() else {
            panic!("foreign")
        };
        assert!(message.contains("belongs elsewhere: it is seed 1"), "{message}");
        let (records, unreadable) = store.load_all().unwrap();
        assert_eq!((records.len(), unreadable.len()), (0, 2));
        fs::write(&path, "half").unwrap();
        let aside = store.put(&record(&cell, 1)).unwrap().unwrap();
        assert_eq!(fs::read_to_string(aside).unwrap(), "half");
        assert!(matches!(store.get(&wanted(&cell, 1)), Ok(Stored::Same(_))));
        assert_eq!(store.load_all().unwrap().1.len(), 1);
    }

    #[test]
    fn a_record_that_contradicts_itself_is_not_believed_whatever_its_checksum() {
        type Change = fn(&mut Record);
        let (_folder, store) = store();
        let cell = cell(&["training.epochs=3"]);
        let found = |record: &Record| {
            store.put(record).unwrap();
            match store.load_all().unwrap() {
                (records, unreadable) if unreadable.is_empty() => Ok(records.len()),
                (_, unreadable) => Err(unreadable.concat()),
            }
        };
        assert_eq!(found(&record(&cell, 1)), Ok(1));
        let failed =
            Record { state: State::Crashed, counts: None, metrics: None, ..record(&cell, 1) };
        assert_eq!(found(&failed), Ok(1));
        let changes: [(&str, Change); 12] = [
            ("f1: 0.9 is not what the counts give", |r| set(r, Metric::F1, Some(0.9))),
            ("f1: 7 is not between 0 and 1", |r| set(r, Metric::F1, Some(7.0))),
            ("auroc: -17000", |r| set(r, Metric::Auroc, Some(-1.7e308))),
            ("precision: undefined is not", |r| set(r, Metric::Precision, None)),
            ("counts: a run that ended well", |r| r.counts = None),
            ("metrics: a run that ended well", |r| r.metrics = None),
            ("threshold: a run that ended well", |r| r.threshold = None),
            ("counts: more than", |r| r.counts.as_mut().unwrap().tp = u64::MAX),
            ("digests.split: a run that ended well", |r| r.digests.split.clear()),
            ("digests.scores: a run that ended well", |r| r.digests.scores.clear()),
            ("wall_seconds: -1 is no number of seconds", |r| r.wall_seconds = -1.0),
            ("key: it is not that of the cell", |r| r.cell.training.epochs = 4),
        ];
        for (why, change) in changes {
            let mut record = record(&cell, 1);
            change(&mut record);
            let text = found(&record).unwrap_err();
            assert!(text.contains("contradicts itself") && text.contains(why), "{why}: {text}");
        }
        let mut lie = record(&cell, 1);
        lie.cell.axes.insert("training.epochs".to_owned(), "300".to_owned());
        assert!(found(&lie).unwrap_err().contains("cell.axes: 'training.epochs' is not"));
        lie.cell.axes.insert("training.epochs".to_owned(), "3".to_owned());
        lie.cell.axes.insert("protocol.threshold".to_owned(), "0.2-test".to_owned());
        assert_eq!(found(&lie), Ok(1));
    }

    fn set(record: &mut Record, metric: Metric, value: Option<f64>) {
        record.metrics.as_mut().unwrap()[metric] = value;
    }

    #[test]
    fn an_object_with_a_key_twice_is_no_record() {
        let (_folder, store) = store();
        let cell = cell(&[]);
        store.put(&record(&cell, 1)).unwrap();
        let path = store.path(&cell.label, 1);
        let text = fs::read_to_string(&path).unwrap();
        let twice = text.replacen("\"epochs\": 3", "\"epochs\": 900, \"epochs\": 3", 1);
        assert_ne!(text, twice);
        fs::write(&path, twice).unwrap();
        let (records, unreadable) = store.load_all().unwrap();
        assert_eq!(records.len(), 0);
        assert!(unreadable[0].contains("the key `epochs` is there twice"), "{unreadable:?}");
    }

    #[test]
    fn only_states_that_would_come_again_are_final() {
        let states = [State::Ok, State::Diverged, State::InvalidData];
        assert!(states.into_iter().all(State::is_final));
        let states = [State::Crashed, State::OutOfMemory, State::TimedOut];
        assert!(!states.into_iter().any(State::is_final));
    }

    #[test]
    fn what_is_settled_is_not_written_into_another_folder_in_its_place() {
        let (folder, mut store) = store();
        store.settle().unwrap();
        let cell = cell(&[]);
        store.put(&record(&cell, 1)).unwrap();
        let away = folder.path().join("away");
        fs::rename(store.dir(), &away).unwrap();
        for another in [false, true] {
            if another {
                fs::create_dir(store.dir()).unwrap();
            }
            let error = store.put(&record(&cell, 2)).unwrap_err().to_string();
            assert!(error.contains("is no longer the folder"), "{error}");
            assert!(!store.dir().join("runs").exists());
        }
        fs::remove_dir(store.dir()).unwrap();
        fs::rename(&away, store.dir()).unwrap();
        assert_eq!(store.put(&record(&cell, 2)), Ok(None));
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_that_is_a_link_is_refused_and_a_device_is_no_record() {
        use std::os::unix::fs::symlink;
        let (folder, store) = store();
        store.put(&record(&cell(&[]), 1)).unwrap();
        symlink("/dev/zero", store.path("base", 2)).unwrap();
        let (records, unreadable) = store.load_all().unwrap();
        assert_eq!((records.len(), unreadable.len()), (1, 1));
        assert!(unreadable[0].contains("no regular file"), "{unreadable:?}");
        let elsewhere = folder.path().join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        for name in ["runs/other", "pictures", "logs"] {
            let link = store.dir().join(name);
            symlink(&elsewhere, &link).unwrap();
            let error = store.load_all().unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("is a symbolic link"), "{error}");
            fs::remove_file(&link).unwrap();
        }
        assert!(store.load_all().is_ok());
        symlink(store.dir(), folder.path().join("linked")).unwrap();
        assert!(Store::open(folder.path(), "linked").refuse_links().is_err());
    }
}
