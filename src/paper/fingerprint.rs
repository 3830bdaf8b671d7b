//! What a figure is of: a metric, a further measurement of a run, or the way in which runs ended. The
//! latter two are fingerprints: they say whether the code that is run here is the one that printed the
//! figures beside them.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

use crate::experiment::CellName;
use crate::metrics::Metric;
use crate::paper::{Margin, Status};
use crate::store::record::State;

/// What is compared with a published number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Quantity {
    Metric(Metric),
    /// Its name in `diagnostics.csv`.
    Diagnostic(String),
    /// The share of runs that ended so.
    Outcome(State),
}

impl fmt::Display for Quantity {
    /// Writes the name in files and tables.
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Metric(metric) => to.write_str(metric.as_str()),
            Self::Diagnostic(name) => to.write_str(name),
            Self::Outcome(state) => write!(to, "outcome:{}", state.as_str()),
        }
    }
}

impl Quantity {
    /// The metric, where it is one.
    pub fn metric(&self) -> Option<Metric> {
        match self {
            Self::Metric(metric) => Some(*metric),
            Self::Diagnostic(_) | Self::Outcome(_) => None,
        }
    }
}

impl From<Metric> for Quantity {
    fn from(metric: Metric) -> Self {
        Self::Metric(metric)
    }
}

impl PartialEq<Metric> for Quantity {
    fn eq(&self, other: &Metric) -> bool {
        self.metric() == Some(*other)
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// A published number that is not a metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Table, section or thread that prints it.
    pub table: String,
    pub dataset: String,
    /// Protocol and number of runs, as published.
    pub setting: String,
    pub method: String,
    #[serde(flatten)]
    pub of: Mark,
    pub value: f64,
    /// Decimals of `value` as it is typed in the file.
    pub decimals: u32,
    /// The published standard deviation, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub std: Option<f64>,
    /// How many runs the value is of, where the source says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runs: Option<u64>,
    pub status: Status,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The experiment that reproduces it; without one it is compared with no run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experiment: Option<String>,
    /// The label of the one cell that it is compared with; else all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cell: Option<CellName>,
    /// Of a measurement alone; without one there is no verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin: Option<Margin>,
}

/// What a fingerprint is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mark {
    Diagnostic(String),
    Outcome(State),
}

impl From<&Mark> for Quantity {
    fn from(mark: &Mark) -> Self {
        match mark {
            Mark::Diagnostic(name) => Self::Diagnostic(name.clone()),
            Mark::Outcome(state) => Self::Outcome(*state),
        }
    }
}
