//! The `[dataset]` table with `name = "table"`, and what can be refused without reading a file.

use std::path::Path;

use schemars::JsonSchema;
use serde::de::Deserializer;
use serde::{Deserialize, Serialize};

use super::super::{DataFile, Fit, ScalingSpec, Shape};
use super::known::{self, Known};
use super::{Outcome, Problem, combined};
use crate::error::{Error, Result};

/// `[dataset]` with `name = "table"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TableSpec {
    /// Path inside a data directory or from the experiment file's folder, or an absolute one.
    pub file: String,
    /// SHA-256 of the file's bytes, of a `.gz` of the unpacked ones; lowercase hexadecimal.
    pub sha256: String,
    /// A file whose rows are for testing, for the split `official`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_file: Option<String>,
    /// As `sha256`, of `test-file`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_sha256: Option<String>,
    /// The column, or the array of an `.npz` or `.mat`, that holds the classes.
    #[schemars(with = "Word")]
    #[serde(deserialize_with = "word")]
    pub label: String,
    /// The array of an `.npz` or `.mat` that holds the rows; `X` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub features: Option<String>,
    /// The classes that are anomalies; all others are normal.
    #[schemars(with = "Option<Words>")]
    #[serde(default, deserialize_with = "words", skip_serializing_if = "Vec::is_empty")]
    pub anomaly: Vec<String>,
    /// Or the classes that are normal; all others are anomalies.
    #[schemars(with = "Option<Words>")]
    #[serde(default, deserialize_with = "words", skip_serializing_if = "Vec::is_empty")]
    pub normal: Vec<String>,
    /// Columns that become one-hot.
    #[schemars(with = "Option<Words>")]
    #[serde(default, deserialize_with = "words", skip_serializing_if = "Vec::is_empty")]
    pub categorical: Vec<String>,
    /// Columns that are left out.
    #[schemars(with = "Option<Words>")]
    #[serde(default, deserialize_with = "words", skip_serializing_if = "Vec::is_empty")]
    pub drop: Vec<String>,
    /// Columns of numbers that no scaling applies to, unless its `columns` is `all`.
    #[schemars(with = "Option<Words>")]
    #[serde(default, deserialize_with = "words", skip_serializing_if = "Vec::is_empty")]
    pub unscaled: Vec<String>,
    /// What becomes of a row that lacks a value.
    #[serde(default, skip_serializing_if = "Missing::is_refuse")]
    pub missing: Missing,
    /// Whether the first line of a csv file names the columns, as it does by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<bool>,
    /// What stands between the cells of a csv file; found out where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub separator: Option<String>,
    /// As for every data set.
    #[serde(default)]
    pub scaling: ScalingSpec,
}

/// `refuse`: a missing value is an error with its place; `drop-row`: its row is left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Missing {
    #[default]
    Refuse,
    DropRow,
}

impl Missing {
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_refuse(&self) -> bool {
        *self == Self::Refuse
    }
}

impl TableSpec {
    pub(in super::super) fn check(&self) -> Result<()> {
        let wrong = |text: String| Err(Error::Usage(text));
        check_file("", &self.file, &self.sha256)?;
        match (&self.test_file, &self.test_sha256) {
            (Some(file), Some(sha256)) => check_file("test-", file, sha256)?,
            (None, None) => {}
            (Some(_), None) => return wrong("dataset.test-file needs dataset.test-sha256".into()),
            (None, Some(_)) => return wrong("dataset.test-sha256 needs dataset.test-file".into()),
        }
        let found = match (self.anomaly.is_empty(), self.normal.is_empty()) {
            (true, true) => "neither",
            (false, false) => "both",
            (true, false) | (false, true) => "",
        };
        if !found.is_empty() {
            return wrong(format!(
                "give exactly one of dataset.anomaly and dataset.normal, a list of values of the \
                 label; there are {found}"
            ));
        }
        self.check_columns()?;
        // what a number or a plain word may hold splits none of them
        let splits = |byte: u8| byte.is_ascii() && !byte.is_ascii_alphanumeric();
        if let Some(separator) = &self.separator
            && !matches!(separator.as_bytes(), [byte] if splits(*byte) && !b"\"\r\n+-._".contains(byte))
        {
            return wrong(format!(
                "dataset.separator is '{}'; it must be one character that is neither letter nor digit, \
                 such as \";\" or \"\\t\"",
                separator.escape_debug()
            ));
        }
        if self.scaling.fit == Fit::Attack {
            return wrong(
                "dataset.scaling.fit is attack; it must be train or all: only kddcup has attack rows"
                    .into(),
            );
        }
        self.scaling.check()
    }

    /// Refuses a column that is to become two things.
    fn check_columns(&self) -> Result<()> {
        let lists = [
            ("categorical", &self.categorical),
            ("drop", &self.drop),
            ("unscaled", &self.unscaled),
        ];
        let mut seen = vec![("label", self.label.as_str())];
        for (key, names) in lists {
            for name in names {
                if let Some((other, _)) = seen.iter().find(|(_, known)| known == name) {
                    return Err(Error::Usage(format!(
                        "dataset.{key} names the column '{name}', and dataset.{other} does too"
                    )));
                }
                seen.push((key, name));
            }
        }
        Ok(())
    }

    /// The names of the arrays with the rows and the classes.
    pub(super) fn arrays(&self) -> [&str; 2] {
        [self.features.as_deref().unwrap_or("X"), &self.label]
    }

    /// Refuses keys that only text files have a use for.
    pub(super) fn refuse_text_keys(&self) -> Outcome<()> {
        let given = [("header", self.header.is_some()), ("separator", self.separator.is_some())];
        match given.iter().find(|(_, given)| *given) {
            Some((key, _)) => {
                Err(Problem::Spec(format!("dataset.{key} goes with csv files alone; leave it out")))
            }
            None => Ok(()),
        }
    }

    /// Refuses a key that only files of arrays have a use for.
    pub(super) fn refuse_array_keys(&self) -> Outcome<()> {
        match self.features {
            Some(_) => Err(Problem::Spec(
                "dataset.features names the array of an .npz or .mat file; leave it out".into(),
            )),
            None => Ok(()),
        }
    }

    pub(in super::super) fn files(&self) -> Vec<DataFile> {
        let file = |name: &str, sha256: &str| match known::file(sha256) {
            // what is fetched lies under its own name
            Some(known) if known.name == name => known.clone(),
            Some(_) | None => DataFile {
                name: name.to_owned().into(),
                folder: None,
                dataset: "table",
                raw_sha256: sha256.to_owned().into(),
                bytes: 0,
                raw_bytes: None,
                urls: &[],
                npm: None,
            },
        };
        let test = self.test_file.as_deref().zip(self.test_sha256.as_deref());
        let all = [Some((self.file.as_str(), self.sha256.as_str())), test];
        all.into_iter().flatten().map(|(name, sha256)| file(name, sha256)).collect()
    }

    /// What [`super::super::Dataset::sha256`] will say.
    pub(in super::super) fn digest(&self) -> String {
        let all: Vec<&str> = [Some(self.sha256.as_str()), self.test_sha256.as_deref()]
            .into_iter()
            .flatten()
            .collect();
        combined(&all)
    }

    /// The size, where the file is a known one and all of it is used.
    pub(in super::super) fn shape(&self) -> Option<Shape> {
        let Known { rows, features, .. } = *known::of(&self.sha256)?;
        let all = self.test_file.is_none()
            && self.categorical.is_empty()
            && self.drop.is_empty()
            && self.missing == Missing::Refuse;
        all.then_some(Shape { rows, official_train: None, features, image: None })
    }
}

fn check_file(prefix: &str, file: &str, sha256: &str) -> Result<()> {
    if Path::new(file).file_name().is_none() {
        return Err(Error::Usage(format!(
            "dataset.{prefix}file is '{file}'; it must be the path of a file"
        )));
    }
    let digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if sha256.len() != 64 || !sha256.bytes().all(digit) {
        return Err(Error::Usage(format!(
            "dataset.{prefix}sha256 is '{sha256}'; it must be the 64 lowercase hexadecimal digits \
             that 'sha256sum' shows for the file (unpacked, if it is a .gz)"
        )));
    }
    Ok(())
}

/// A text, which may be written as a number: `label = 42`.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged, expecting = "it must be a text or a number")]
enum Word {
    Text(String),
    Whole(i64),
    Real(f64),
    Truth(bool),
}

impl From<Word> for String {
    fn from(word: Word) -> Self {
        match word {
            Word::Text(text) => text,
            Word::Whole(number) => number.to_string(),
            Word::Real(number) => number.to_string(),
            Word::Truth(value) => value.to_string(),
        }
    }
}

/// A list of texts, or one: `anomaly = [1, "two"]`.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged, expecting = "it must be a list of texts or numbers")]
enum Words {
    One(Word),
    Several(Vec<Word>),
}

fn word<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<String, D::Error> {
    Word::deserialize(from).map(String::from)
}

fn words<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<Vec<String>, D::Error> {
    Ok(match Words::deserialize(from)? {
        Words::One(word) => vec![word.into()],
        Words::Several(words) => words.into_iter().map(String::from).collect(),
    })
}
