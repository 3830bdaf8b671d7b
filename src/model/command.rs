//! The table of a method that is somebody's program (docs/methods.md).

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Table;
use crate::digest;

/// A program that fits and scores, and what its result depends on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct CommandSpec {
    /// The program and its arguments. One that names one of `files` means that file; the run's folder is
    /// put after the last.
    pub program: Vec<String>,
    /// Files that the result depends on, by their paths from the experiment file's folder.
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
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sha256: BTreeMap<String, String>,
}

/// A number of bytes, as `2 GiB` or `512 MiB` in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
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
        let path = folder.join(name);
        let found = path.metadata()?;
        if !found.is_file() {
            return Err(std::io::Error::other("it is no regular file"));
        }
        let left = LARGEST_FILES - self.bytes;
        let too_large = || {
            let limit = LARGEST_FILES >> 20;
            std::io::Error::other(format!(
                "model.files have more than {limit} MiB together: list programs and their settings, and \
                 have the program read what is large from elsewhere and check it"
            ))
        };
        if found.len() > left {
            return Err(too_large());
        }
        let mut bytes = Vec::new();
        std::fs::File::open(&path)?.take(left + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > left {
            return Err(too_large());
        }
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

    /// The words of a command, files by their paths below `folder`.
    fn words(&self, command: &[String], folder: &Path) -> Vec<OsString> {
        let argument = |word: &String| match self.files.contains(word) {
            true => folder.join(word).into_os_string(),
            false => word.into(),
        };
        command.iter().map(argument).collect()
    }

    /// The program and its arguments.
    pub fn arguments(&self, folder: &Path) -> Vec<OsString> {
        self.words(&self.program, folder)
    }

    /// The program that prints the environment, and its arguments; empty where there is none.
    pub fn environment_arguments(&self, folder: &Path) -> Vec<OsString> {
        self.words(&self.environment, folder)
    }
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
