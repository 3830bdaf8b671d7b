//! The table of a method that seedbed does not run: its scores come from elsewhere, a file for each run
//! (docs/methods.md).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Table, is_default};

/// Scores that were made elsewhere.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ScoresSpec {
    /// What the experiment file says of how they were made. Nobody checks it.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub settings: Map<String, Value>,
    /// SHA-256 of the run's file of scores. Set when the file is read; blank in an experiment, whose cells
    /// know no files.
    #[schemars(skip)]
    #[serde(default, skip_serializing_if = "is_default")]
    pub sha256: String,
    /// The same of the training rows' scores; blank where none were needed.
    #[schemars(skip)]
    #[serde(default, skip_serializing_if = "is_default")]
    pub train_sha256: String,
}

impl ScoresSpec {
    /// Forgets the digests, whatever a file says.
    pub(crate) fn forget_files(&mut self) {
        (self.sha256, self.train_sha256) = Default::default();
    }

    /// Returns the same with the digests of another: an experiment does not ask for certain files.
    #[must_use]
    pub fn with_files_of(&self, other: &Self) -> Self {
        let Self { sha256, train_sha256, .. } = other.clone();
        Self { settings: self.settings.clone(), sha256, train_sha256 }
    }

    /// The digests as a row has them, separated by a space.
    pub fn files(&self) -> String {
        format!("{} {}", self.sha256, self.train_sha256).trim().to_owned()
    }

    /// Reads what [`ScoresSpec::files`] wrote.
    #[must_use]
    pub fn with_files(&self, text: &str) -> Self {
        let (sha256, train_sha256) = text.split_once(' ').unwrap_or((text, ""));
        let (sha256, train_sha256) = (sha256.to_owned(), train_sha256.to_owned());
        Self { settings: self.settings.clone(), sha256, train_sha256 }
    }
}

impl Table for ScoresSpec {
    fn protocol_version(&self) -> u32 {
        1
    }

    fn checks(&self) -> Vec<(&'static str, bool, &'static str)> {
        Vec::new()
    }

    fn is_trained(&self) -> bool {
        false
    }
}
