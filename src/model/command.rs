//! The table of a method that is somebody's program (docs/methods.md).

use std::collections::BTreeMap;
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
    /// SHA-256 of each of `files`, so that a run of another program is another run. Set when the experiment
    /// is read, whatever the file says.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sha256: BTreeMap<String, String>,
}

impl CommandSpec {
    /// Digests the files, which lie below `folder`.
    ///
    /// # Errors
    /// The first file that cannot be read, and why.
    pub(crate) fn digest_files(&mut self, folder: &Path) -> Result<(), (String, std::io::Error)> {
        self.sha256.clear();
        for name in &self.files {
            let path = folder.join(name);
            let read = || match path.metadata()?.is_file() {
                true => std::fs::read(&path),
                false => Err(std::io::Error::other("it is no regular file")),
            };
            let bytes = read().map_err(|error| (name.clone(), error))?;
            self.sha256.insert(name.clone(), digest::sha256(bytes));
        }
        Ok(())
    }

    /// The program and its arguments, files by their paths below `folder`.
    pub fn arguments(&self, folder: &Path) -> Vec<std::ffi::OsString> {
        let argument = |word: &String| match self.files.contains(word) {
            true => folder.join(word).into_os_string(),
            false => word.into(),
        };
        self.program.iter().map(argument).collect()
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
