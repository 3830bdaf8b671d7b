//! The pictures of one run: what is shown and where it is written. Drawing is `picture`'s; what
//! each picture shows is in `docs/pictures.md`. A picture that cannot be written is told and
//! changes nothing about the run.

use std::fs;
use std::path::{Path, PathBuf};

use tch::{Kind, Tensor, no_grad};

use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::experiment::Cell;
use crate::metrics::{Counts, Metrics};
use crate::model::Detector;
use crate::model::layers::Parameters;
use crate::picture::{self, ImageGroup};
use crate::run::{Job, Pictures};
use crate::train::Course;

/// Test rows of each class that are shown as images.
const IMAGES: usize = 10;

/// The pictures of a job's first seed, one folder a cell.
pub struct Album<'a> {
    job: &'a Job,
    pictures: &'a Pictures,
    detector: &'a Detector,
    /// Test rows, [rows, features], and their labels.
    test: Tensor,
    labels: Vec<bool>,
    image: Option<(usize, usize)>,
    /// Why pictures are missing.
    problems: Vec<String>,
}

/// What a cell's scores came to.
pub struct Scored<'a> {
    pub scores: &'a [f64],
    pub threshold: f64,
    pub counts: Counts,
    pub metrics: &'a Metrics,
}

/// The folder of a cell's pictures, below an experiment's.
pub fn folder(experiment: &Path, cell: &str, seed: u64) -> PathBuf {
    experiment.join("pictures").join(cell).join(format!("seed-{seed}"))
}

/// The picture that every run has; with it the others are taken to be there.
pub const LAST: &str = "roc.svg";

impl<'a> Album<'a> {
    /// For a job that is to have pictures, from the test rows of its first seed.
    pub fn new(
        job: &'a Job,
        detector: &'a Detector,
        dataset: &Dataset,
        test: Tensor,
        labels: Vec<bool>,
    ) -> Option<Self> {
        let pictures = job.pictures.as_ref()?;
        let image = dataset.image();
        Some(Self { job, pictures, detector, test, labels, image, problems: Vec::new() })
    }

    /// Why pictures are missing, in words.
    pub fn problems(self) -> Vec<String> {
        self.problems
    }

    /// Inputs beside reconstructions after an epoch, where rows are images and the epoch was chosen.
    pub fn epoch(&mut self, epoch: u64, parameters: &Parameters) {
        let last = epoch == self.job.cell().training.epochs;
        let Some((height, width)) = self.image else { return };
        if !(last || self.pictures.epochs.contains(&epoch)) {
            return;
        }
        let groups = [("normal", false), ("anomalous", true)].map(|(name, label)| {
            let rows = self.rows(label, IMAGES);
            let shown = no_grad(|| self.detector.reconstruct(&parameters.of_seed(0), &rows));
            (name, rows, shown)
        });
        // one grey scale for all: black and white are the extremes of the inputs
        let inputs = Tensor::cat(&[&groups[0].1, &groups[1].1], 0);
        let (low, high) = (inputs.min().double_value(&[]), inputs.max().double_value(&[]));
        let grey = |rows: &Tensor| images(&((rows - low) / (high - low).max(f64::MIN_POSITIVE)));
        let groups = groups.map(|(name, rows, shown)| ImageGroup {
            name: name.to_owned(),
            height,
            width,
            inputs: grey(&rows),
            reconstructions: grey(&shown),
        });
        for cell in &self.job.cells {
            let title = format!("{}, epoch {epoch}", self.title(cell));
            let drawn = picture::reconstruction_grid(&title, &groups);
            self.write(cell, &format!("reconstructions-epoch-{epoch}.png"), drawn);
        }
    }

    /// The loss curves, and for a model with a space of few coordinates the test rows in it.
    pub fn trained(&mut self, course: &Course, parameters: &Parameters) {
        let terms: Vec<String> =
            self.detector.terms().iter().map(|&term| term.to_owned()).collect();
        let space = no_grad(|| self.detector.space(&parameters.of_seed(0), &self.test));
        for cell in &self.job.cells {
            let title = self.title(cell);
            let drawn = picture::loss_curves(&title, &terms, &course.curve);
            self.write(cell, "loss.svg", Ok(drawn.into_bytes()));
            if let Some((names, coordinates)) = &space {
                let points = triples(coordinates);
                let drawn = picture::scatter_projections(&title, &points, *names, &self.labels);
                self.write(cell, "latent.svg", Ok(drawn.into_bytes()));
            }
        }
    }

    /// A cell's scores by label, and their ROC curve.
    pub fn scored(&mut self, cell: &Cell, scored: &Scored) {
        let title = self.title(cell);
        let name = score_name(cell);
        let Scored { scores, threshold, counts, metrics } = scored;
        let drawn = picture::score_histogram(&title, name, scores, &self.labels, *threshold);
        self.write(cell, "scores.svg", Ok(drawn.into_bytes()));
        // NaN, and no mark, without rows of a class
        let share = |part: u64, rest: u64| part as f64 / (part + rest) as f64;
        let point = (share(counts.fp, counts.tn), share(counts.tp, counts.fn_));
        let drawn = picture::roc_curve(&title, scores, &self.labels, metrics.auroc, point);
        self.write(cell, LAST, Ok(drawn.into_bytes()));
    }

    /// The first `count` test rows with this label.
    fn rows(&self, label: bool, count: usize) -> Tensor {
        let rows = (0..self.labels.len()).filter(|&row| self.labels[row] == label).take(count);
        let rows: Vec<i64> = rows.map(|row| row as i64).collect();
        self.test.index_select(0, &Tensor::from_slice(&rows).to_device(self.test.device()))
    }

    fn title(&self, cell: &Cell) -> String {
        format!("{}, {}, seed {}", self.job.experiment, cell.label, self.job.seeds[0])
    }

    fn write(&mut self, cell: &Cell, name: &str, drawn: Result<Vec<u8>>) {
        let folder = folder(&self.pictures.folder, &cell.label, self.job.seeds[0]);
        let path = folder.join(name);
        let failed =
            |why: &dyn std::fmt::Display| format!("cannot write {}: {why}", path.display());
        let written = drawn.map_err(|error: Error| failed(&error)).and_then(|bytes| {
            let written = fs::create_dir_all(&folder).and_then(|()| fs::write(&path, bytes));
            written.map_err(|error| failed(&error))
        });
        self.problems.extend(written.err());
    }
}

/// [rows, pixels] as one list a row.
fn images(rows: &Tensor) -> Vec<Vec<f32>> {
    let rows = rows.to_device(tch::Device::Cpu).to_kind(Kind::Float).contiguous();
    Vec::<Vec<f32>>::try_from(rows).expect("a matrix of f32 on the CPU")
}

/// [rows, 3]
fn triples(rows: &Tensor) -> Vec<[f64; 3]> {
    let rows = rows.to_device(tch::Device::Cpu).to_kind(Kind::Double).contiguous();
    let rows = Vec::<Vec<f64>>::try_from(rows).expect("a matrix of f64 on the CPU");
    rows.iter().map(|row| [row[0], row[1], row[2]]).collect()
}

fn score_name(cell: &Cell) -> &'static str {
    use crate::model::Score;
    match cell.protocol.score {
        None => "energy (nats)",
        Some(Score::ReconstructionProbability) => "negative reconstruction probability (nats)",
        Some(Score::ReconstructionError) => "reconstruction error (mean square of a feature)",
        Some(Score::NegativeElbo) => "negative ELBO (nats)",
    }
}
