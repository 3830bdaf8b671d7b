//! What a report says, before it is said in HTML, Markdown, LaTeX or JSON: everything is here, and
//! the renderers add nothing. Made from rows, figures and what lies beside them; it reads no files.

use serde::{Deserialize, Serialize};

use crate::experiment::{Cell, CellName, Scale};
use crate::paper::Paper;
use crate::summary::readings::Explained;
use crate::summary::{Comparison, Pair, Row, Summary};

/// A report: one section an experiment.
#[derive(Debug, Clone, Serialize)]
pub struct Document {
    pub sections: Vec<Section>,
}

/// One experiment.
#[derive(Debug, Clone, Serialize)]
pub struct Section {
    /// The experiment's name.
    pub experiment: String,
    pub title: String,
    pub scale: Scale,
    /// Where the rows were read, for people: a folder or a file.
    pub from: String,
    pub papers: Vec<Paper>,
    /// The experiment's cells and controls, in its order; none for rows that do not say what was done.
    #[serde(skip)]
    pub cells: Vec<Cell>,
    /// Says that nobody knows how the rows were made, in place of a protocol.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unrecorded: Option<String>,
    pub comparisons: Vec<Comparison>,
    pub summaries: Vec<Summary>,
    pub pairs: Vec<Pair>,
    /// What the choices that a paper leaves open do, where the experiment has such.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub readings: Option<Explained>,
    /// In `runs.csv`.
    #[serde(skip)]
    pub rows: Vec<Row>,
    /// In `losses.csv`.
    #[serde(skip)]
    pub losses: Vec<Loss>,
    #[serde(skip)]
    pub pictures: Vec<Picture>,
    /// Commands that make the runs again, one a line, to be typed in a clone of this project.
    pub commands: Vec<String>,
    /// What was left out, and how many runs for each reason.
    pub notes: Vec<String>,
}

/// One term of the loss in one epoch, over the runs of a cell; a line of `losses.csv`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Loss {
    pub experiment: String,
    pub cell: CellName,
    pub scale: Scale,
    /// `loss` is the sum that is minimised; the others are its parts before their weights.
    pub term: String,
    /// From 1.
    pub epoch: u64,
    /// Runs whose value is finite.
    pub n: usize,
    pub min: Option<f64>,
    pub q1: Option<f64>,
    pub median: Option<f64>,
    pub q3: Option<f64>,
    pub max: Option<f64>,
}

/// A stored picture of one run, see `docs/pictures.md`.
#[derive(Debug, Clone)]
pub struct Picture {
    pub cell: CellName,
    pub seed: u64,
    /// The file's name, such as `roc.svg` or `reconstructions-epoch-5.png`.
    pub name: String,
    pub bytes: Vec<u8>,
}
