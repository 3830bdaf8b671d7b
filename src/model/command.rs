//! The table of a method that is somebody's program (docs/methods.md).

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tempfile::TempDir;

use super::Table;
use crate::{digest, files, shipped};

/// A program that fits and scores, and what its result depends on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct CommandSpec {
    /// The program and its arguments. One that names one of `files` means that file; the run's folder is
    /// put after the last.
    pub program: Vec<String>,
    /// Files that the result depends on, by their paths from the experiment file's folder or, where that
    /// is called `experiments`, from the folder that holds it; `methods/…` may be one that ships.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// The program's own switches, as it finds them in `job.json`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub settings: Map<String, Value>,
    /// Cores that a run may use.
    #[serde(default = "one_core", skip_serializing_if = "is_one_core")]
    pub threads: usize,
    /// Bytes that a run takes at its largest, as `"2 GiB"`; that many are kept for it. No part of a run's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Bytes>,
    /// A program, with its arguments, that prints what the result depends on beside `files`: versions of
    /// packages. What it prints is kept with the run and is no part of its key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub environment: Vec<String>,
    /// SHA-256 of each of `files`, so that a run of another program is another run. Set when the experiment
    /// is read, whatever the file says.
    #[schemars(skip)]
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sha256: BTreeMap<String, String>,
}

/// A number of bytes, as `2 GiB` or `512 MiB` in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Bytes(pub u64);

const UNITS: [(&str, u64); 4] =
    [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

impl TryFrom<String> for Bytes {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let read = || {
            let (digits, unit) =
                UNITS.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit)))?;
            let count: f64 = digits.trim().parse().ok()?;
            let bytes = count * unit as f64;
            // no machine has more, and a float has every whole number below
            (bytes >= 1.0 && bytes < (1u64 << 50) as f64).then_some(Self(bytes as u64))
        };
        read().ok_or_else(|| "must be a size such as \"2 GiB\" or \"512 MiB\"".to_owned())
    }
}

impl From<Bytes> for String {
    fn from(Bytes(bytes): Bytes) -> Self {
        let whole = UNITS.iter().find(|(_, unit)| bytes % unit == 0);
        let &(name, unit) = whole.unwrap_or(&("KiB", 1 << 10));
        format!("{} {name}", bytes as f64 / unit as f64)
    }
}

/// Bytes of all files of a method together: what is a result's own, such as a data set or a model that was
/// trained before, belongs elsewhere.
const LARGEST_FILES: u64 = 1 << 28;

/// Digests of files that were read once, by their names: the cells of a grid share most of theirs.
#[derive(Debug, Default)]
pub(crate) struct FileDigests {
    known: BTreeMap<String, String>,
    bytes: u64,
}

impl FileDigests {
    /// Digests a file below `folder`.
    ///
    /// # Errors
    /// Those of the file system, what is no regular file, and more bytes together than a method may have.
    fn of(&mut self, folder: &Path, name: &str) -> std::io::Result<String> {
        if let Some(known) = self.known.get(name) {
            return Ok(known.clone());
        }
        let (_, bytes) = read(folder, name, LARGEST_FILES - self.bytes)?;
        self.bytes += bytes.len() as u64;
        let digest = digest::sha256(bytes);
        self.known.insert(name.to_owned(), digest.clone());
        Ok(digest)
    }
}

impl CommandSpec {
    /// Digests the files, which lie below `folder`, where they are not `known`.
    ///
    /// # Errors
    /// The first file that cannot be read, and why.
    pub(crate) fn digest_files(
        &mut self,
        folder: &Path,
        known: &mut FileDigests,
    ) -> Result<(), (String, std::io::Error)> {
        self.sha256.clear();
        for name in &self.files {
            let digest = known.of(folder, name).map_err(|error| (name.clone(), error))?;
            self.sha256.insert(name.clone(), digest);
        }
        Ok(())
    }

    /// Whether each of the files is, byte for byte, one that ships with the program.
    pub fn has_shipped_files(&self) -> bool {
        let is_shipped = |name: &String| {
            let text = shipped::file(name).filter(|_| name.starts_with(shipped::METHODS));
            text.is_some_and(|text| self.sha256.get(name) == Some(&digest::sha256(text)))
        };
        self.files.iter().all(is_shipped)
    }

    /// Finds the files of a command of this table (the program or its environment's) and copies into a folder
    /// of their own those that ship.
    ///
    /// # Errors
    /// A file that cannot be read, or a copy that cannot be written.
    pub fn place(&self, command: &[String], folder: &Path) -> std::io::Result<Placed> {
        let mut copies: Option<TempDir> = None;
        let mut places: BTreeMap<&str, PathBuf> = BTreeMap::new();
        for name in &self.files {
            let (path, bytes) = read(folder, name, LARGEST_FILES)?;
            let path = match path {
                Some(path) => path,
                None => {
                    let copies = match &mut copies {
                        Some(copies) => copies,
                        None => copies
                            .insert(tempfile::Builder::new().prefix("seedbed-methods-").tempdir()?),
                    };
                    let path = copies.path().join(name);
                    std::fs::create_dir_all(path.parent().unwrap_or(copies.path()))?;
                    std::fs::write(&path, bytes)?;
                    path
                }
            };
            places.insert(name, path);
        }
        let word = |word: &String| match places.get(word.as_str()) {
            Some(path) => path.clone().into_os_string(),
            None => word.into(),
        };
        Ok(Placed { words: command.iter().map(word).collect(), _copies: copies })
    }
}

/// A program that can be started.
pub struct Placed {
    /// It and its arguments, files by their paths.
    pub words: Vec<OsString>,
    /// Copies of its files, which end with this value.
    _copies: Option<TempDir>,
}

/// Reads one of a method's files: below the experiment's folder; where that is called `experiments`, below
/// the folder that holds it; `methods/…` else as it ships. Bytes that ship have no path: what lies beside a
/// file on disk could be taken for a part of the program.
fn read(folder: &Path, name: &str, most: u64) -> std::io::Result<(Option<PathBuf>, Vec<u8>)> {
    let shipped = shipped::file(name).filter(|_| name.starts_with(shipped::METHODS));
    let shipped = shipped.map(str::as_bytes);
    let is_of_project = folder.file_name().is_some_and(|name| name == "experiments");
    let project = folder.parent().filter(|_| is_of_project);
    let beside = project.map(|project| project.join(name));
    let mut missing = None;
    for path in [Some(folder.join(name)), beside].into_iter().flatten() {
        match read_file(&path, most) {
            Ok(bytes) if shipped == Some(bytes.as_slice()) => return Ok((None, bytes)),
            Ok(bytes) => return Ok((Some(path), bytes)),
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                missing.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
    match (shipped, missing) {
        (Some(bytes), _) => Ok((None, bytes.to_vec())),
        (None, missing) => Err(missing.unwrap_or_else(|| ErrorKind::NotFound.into())),
    }
}

fn read_file(path: &Path, most: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    files::open(path, u64::MAX)?.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        let limit = LARGEST_FILES >> 20;
        return Err(std::io::Error::other(format!(
            "model.files have more than {limit} MiB together: list programs and their settings, and have the \
             program read what is large from elsewhere and check it"
        )));
    }
    Ok(bytes)
}

impl Table for CommandSpec {
    fn protocol_version(&self) -> u32 {
        1
    }

    fn checks(&self) -> Vec<(&'static str, bool, &'static str)> {
        let is_below = |name: &String| {
            let parts = Path::new(name).components();
            !name.is_empty()
                && parts.into_iter().all(|part| matches!(part, std::path::Component::Normal(_)))
        };
        let programs = self.program.first().is_some_and(|program| !program.is_empty());
        let files = self.files.iter().all(is_below);
        vec![
            (
                "program",
                programs,
                "must be a program and its arguments: [\"python3\", \"method.py\"]",
            ),
            ("files", files, "must be paths below the experiment file's folder"),
            (
                "environment",
                self.environment.first().is_none_or(|program| !program.is_empty()),
                "must be a program and its arguments: [\"python3\", \"-m\", \"pip\", \"freeze\"]",
            ),
            ("threads", (1..=1024).contains(&self.threads), "must lie between 1 and 1024"),
        ]
    }

    fn is_trained(&self) -> bool {
        false
    }
}

fn one_core() -> usize {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_one_core(threads: &usize) -> bool {
    *threads == 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::{Experiment, Selection};

    const OWN: &str = "print('another')\n";

    impl CommandSpec {
        fn placed(&self, folder: &Path) -> std::io::Result<Placed> {
            self.place(&self.program, folder)
        }
    }

    /// A project's folder with `experiments/`, and these files.
    fn project(files: &[&str]) -> TempDir {
        let root = tempfile::tempdir().expect("a folder");
        std::fs::create_dir_all(root.path().join("experiments/methods")).expect("a folder");
        std::fs::create_dir_all(root.path().join("methods")).expect("a folder");
        for name in files {
            std::fs::write(root.path().join(name), OWN).expect("a file");
        }
        root
    }

    fn spec(files: &[&str]) -> CommandSpec {
        let files = files.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let program = [&["python3".to_owned()][..], &files].concat();
        let (settings, sha256) = (Map::new(), BTreeMap::new());
        let (memory, environment) = (None, Vec::new());
        CommandSpec { program, files, settings, threads: 1, memory, environment, sha256 }
    }

    #[test]
    fn a_file_is_found_beside_the_experiment_then_in_its_project_then_among_the_shipped_ones() {
        let name = "methods/tested.py";
        let shipped = shipped::file(name).expect("its text");
        for (files, expected) in [
            (&["experiments/methods/tested.py", "methods/tested.py"][..], "experiments"),
            (&["methods/tested.py"], ""),
            (&[], "shipped"),
        ] {
            let root = project(files);
            let folder = root.path().join("experiments");
            let placed = spec(&[name]).placed(&folder).expect("a program");
            let path = PathBuf::from(&placed.words[1]);
            let text = std::fs::read_to_string(&path).expect("a file");
            match expected {
                "shipped" => assert!(text == shipped && !path.starts_with(root.path())),
                below => assert_eq!(path, root.path().join(below).join(name)),
            }
        }
        // a folder of another name is no project's, and only methods ship
        let root = project(&["mine.py"]);
        assert!(spec(&["mine.py"]).placed(&root.path().join("experiments")).is_ok());
        assert!(spec(&["mine.py"]).placed(&root.path().join("methods")).is_err());
        let mut elsewhere = spec(&["experiments/tested.toml"]);
        assert_eq!(
            elsewhere
                .digest_files(root.path(), &mut FileDigests::default())
                .expect_err("no such file")
                .0,
            elsewhere.files[0]
        );
    }

    #[test]
    fn bytes_that_ship_are_run_from_a_folder_that_holds_nothing_else() {
        let root = project(&["methods/json.py"]);
        let name = "methods/tested.py";
        std::fs::write(root.path().join(name), shipped::file(name).expect("its text"))
            .expect("a file");
        let placed = spec(&[name]).placed(&root.path().join("experiments")).expect("a program");
        let path = PathBuf::from(&placed.words[1]);
        assert!(!path.starts_with(root.path()));
        let beside = std::fs::read_dir(path.parent().expect("a folder")).expect("a folder").count();
        assert_eq!(beside, 1);
        drop(placed);
        assert!(!path.exists());
    }

    #[test]
    fn a_shipped_experiment_needs_no_leave_as_long_as_nothing_of_it_is_another() {
        let text = shipped::experiment("tested").expect("its text");
        let asks = |root: &Path, text: &str, set: &str| {
            let set = if set.is_empty() { Vec::new() } else { vec![set.to_owned()] };
            let selection = Selection { set, ..Selection::default() };
            let path = root.join("experiments/tested.toml");
            let experiment = Experiment::parse(&path, text, &selection).expect("an experiment");
            let crate::model::ModelSpec::Command(program) = &experiment.cells[0].model else {
                panic!("a program")
            };
            !experiment.ships(program)
        };
        let empty = project(&[]);
        assert!(!asks(empty.path(), text, ""));
        assert!(!asks(empty.path(), text, "model.settings.power=2"));
        assert!(!asks(empty.path(), text, "dataset.rows=500"));
        assert!(asks(empty.path(), text, "model.program=[\"sh\", \"-c\", \"true\"]"));
        assert!(asks(empty.path(), text, "model.files=[]"));
        assert!(asks(empty.path(), &format!("{text}# changed\n"), ""));
        assert!(asks(project(&["methods/tested.py"]).path(), text, ""), "another program");
    }

    #[test]
    fn sizes_have_units_and_come_back_as_they_were() {
        for (text, bytes) in
            [("2 GiB", 2u64 << 30), ("512MiB", 512 << 20), ("1.5 GiB", 3 << 29), ("0.5 KiB", 512)]
        {
            let read = Bytes::try_from(text.to_owned()).unwrap();
            assert_eq!(read, Bytes(bytes));
            assert_eq!(Bytes::try_from(String::from(read)), Ok(read), "{text}");
        }
        for text in ["2", "2 GB", "-1 GiB", "nan GiB", "inf TiB", "1e9 TiB", "GiB", "0 MiB", ""] {
            assert!(Bytes::try_from(text.to_owned()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_file_is_read_once_and_a_gigabyte_of_them_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.py"), "one").unwrap();
        let mut known = FileDigests::default();
        let first = known.of(folder.path(), "a.py").unwrap();
        std::fs::write(folder.path().join("a.py"), "two").unwrap();
        assert_eq!(known.of(folder.path(), "a.py").unwrap(), first);
        let large = std::fs::File::create(folder.path().join("weights.pt")).unwrap();
        large.set_len(1 << 30).unwrap();
        let error = known.of(folder.path(), "weights.pt").unwrap_err().to_string();
        assert!(error.contains("more than 256 MiB together"), "{error}");
    }
}
