//! The pictures of one run: what is shown and where it is written. Drawing is `picture`'s; what
//! each picture shows is in `docs/pictures.md`. A picture that cannot be made is told of and
//! changes nothing about the run.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tch::{Kind, Tensor, no_grad};

use crate::model::{Decoder, Detector, ModelSpec, Score};
use crate::nn::Parameters;
use seedbed::error::{Error, Result};
use seedbed::experiment::Cell;
use seedbed::files;
use seedbed::metrics::{Counts, Metric, Metrics};
use seedbed::report::picture::{self, ImageGroup};
use seedbed::store::record::{Job, Pictures};

use crate::training::Course;
use seedbed::store::pictures::{MARK, folder, mark};
use seedbed::store::whole;

/// Test rows of each class that are shown as images.
const IMAGES: usize = 10;

/// The pictures of one seed of a job, one folder a cell.
pub struct Album<'a> {
    job: &'a Job,
    pictures: &'a Pictures,
    /// The seed's place in the job.
    index: usize,
    detector: &'a Detector,
    rows: TestRows,
    /// Why pictures are missing.
    problems: Vec<String>,
}

/// The rows that are shown.
pub struct TestRows {
    /// [rows, features]
    pub values: Tensor,
    pub labels: Vec<bool>,
    /// Height and width, where rows are images.
    pub image: Option<(usize, usize)>,
}

/// The test rows that count for a cell, and what their scores came to.
pub struct Shown<'a> {
    pub scores: &'a [f64],
    pub labels: &'a [bool],
    pub threshold: f64,
    pub counts: Counts,
    pub metrics: &'a Metrics,
}

impl<'a> Album<'a> {
    /// Of the job's seed at `index`.
    pub fn new(
        job: &'a Job,
        pictures: &'a Pictures,
        index: usize,
        detector: &'a Detector,
        rows: TestRows,
    ) -> Self {
        Self { job, pictures, index, detector, rows, problems: Vec::new() }
    }

    /// The seed's place in the job.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Whether these are this seed's pictures.
    pub fn is_of(&self, seed: u64) -> bool {
        self.pictures.seed == seed
    }

    /// Why pictures are missing, in words.
    pub fn close(self) -> Vec<String> {
        self.problems
    }

    /// Notes that a cell's pictures are done.
    pub fn ended(&mut self, cell: &str, key: &str) {
        self.write(cell, MARK, Ok(mark(self.pictures, key).into_bytes()));
    }

    /// Inputs beside reconstructions after an epoch, where rows are images and the epoch was chosen or is a
    /// cell's last; `parameters` are of the seed alone, here and below.
    pub fn epoch(&mut self, epoch: u64, parameters: &Parameters) {
        let chosen = self.pictures.epochs.contains(&epoch);
        let shows = |cell: &&Cell| {
            let last = cell.training.epochs;
            epoch == last || (chosen && epoch < last)
        };
        let cells: Vec<&Cell> = self.job.cells.iter().filter(shows).collect();
        let Some(image) = self.rows.image.filter(|_| !cells.is_empty()) else { return };
        self.guarded(|album| album.reconstructions(&cells, epoch, parameters, image));
    }

    fn reconstructions(
        &mut self,
        cells: &[&Cell],
        epoch: u64,
        parameters: &Parameters,
        image: (usize, usize),
    ) {
        let classes = [("normal", false), ("anomalous", true)];
        let shown: Vec<_> = classes
            .into_iter()
            .map(|(name, label)| (name, self.some_rows(label)))
            .filter(|(_, inputs)| inputs.size()[0] > 0)
            .map(|(name, inputs)| {
                let reconstructed = no_grad(|| {
                    self.detector
                        .network
                        .reconstruct(parameters, &inputs.unsqueeze(0))
                        .squeeze_dim(0)
                });
                (name, inputs, reconstructed)
            })
            .collect();
        // one grey scale for all: black and white are the extremes of the inputs
        let inputs: Vec<&Tensor> = shown.iter().map(|(_, inputs, _)| inputs).collect();
        let inputs = Tensor::cat(&inputs, 0);
        let (low, high) = (inputs.min().double_value(&[]), inputs.max().double_value(&[]));
        let grey = |rows: &Tensor| images(&((rows - low) / (high - low).max(f64::MIN_POSITIVE)));
        let groups: Vec<ImageGroup> = shown
            .iter()
            .map(|(name, inputs, reconstructed)| ImageGroup {
                name: (*name).to_owned(),
                height: image.0,
                width: image.1,
                inputs: grey(inputs),
                reconstructions: grey(reconstructed),
            })
            .collect();
        for cell in cells {
            let title = format!("{}, epoch {epoch}", self.title(cell));
            let drawn = picture::reconstruction_grid(&title, &groups);
            self.write(&cell.label, &format!("reconstructions-epoch-{epoch}.png"), drawn);
        }
    }

    /// The loss curves of some of the job's cells, and for a model with a space of few coordinates the test
    /// rows in it.
    pub fn trained(&mut self, cells: &[usize], course: &Course, parameters: &Parameters) {
        self.guarded(|album| album.curves_and_space(cells, course, parameters));
    }

    fn curves_and_space(&mut self, cells: &[usize], course: &Course, parameters: &Parameters) {
        let terms: Vec<String> =
            self.detector.network.terms().iter().map(|&term| term.to_owned()).collect();
        let space = no_grad(|| self.detector.network.space(parameters, &self.rows.values));
        for cell in cells.iter().map(|&cell| &self.job.cells[cell]) {
            let title = self.title(cell);
            let drawn = picture::loss_curves(&title, &terms, &course.curve);
            self.write(&cell.label, "loss.svg", Ok(drawn.into_bytes()));
            if let Some((names, coordinates)) = &space {
                let points = triples(coordinates);
                let drawn =
                    picture::scatter_projections(&title, &points, *names, &self.rows.labels);
                self.write(&cell.label, "latent.svg", Ok(drawn.into_bytes()));
            }
        }
    }

    /// A cell's scores by label, and their ROC curve.
    pub fn scored(&mut self, cell: &Cell, scored: &Shown) {
        self.guarded(|album| album.histogram_and_roc(cell, scored));
    }

    fn histogram_and_roc(&mut self, cell: &Cell, scored: &Shown) {
        let title = self.title(cell);
        let Shown { scores, labels, threshold, counts, metrics } = scored;
        // NaN, and no mark, without rows of a class
        let share = |part: u64, rest: u64| part as f64 / (part + rest) as f64;
        let point = (share(counts.fp, counts.tn), share(counts.tp, counts.fn_));
        let roc = picture::roc_curve(&title, scores, labels, metrics[Metric::Auroc], point);
        let name = score_name(cell);
        let histogram = picture::score_histogram(&title, name, scores, labels, *threshold);
        self.write(&cell.label, "scores.svg", Ok(histogram.into_bytes()));
        self.write(&cell.label, "roc.svg", Ok(roc.into_bytes()));
    }

    /// The first test rows with this label.
    fn some_rows(&self, label: bool) -> Tensor {
        let labels = &self.rows.labels;
        let rows = (0..labels.len()).filter(|&row| labels[row] == label).take(IMAGES);
        let rows: Vec<i64> = rows.map(|row| row as i64).collect();
        let values = &self.rows.values;
        values.index_select(0, &Tensor::from_slice(&rows).to_device(values.device()))
    }

    fn title(&self, cell: &Cell) -> String {
        format!("{}, {}, seed {}", self.job.experiment, cell.label, self.pictures.seed)
    }

    /// A panic in the making of a picture (libtorch's errors are panics) is a picture's alone.
    fn guarded(&mut self, draw: impl FnOnce(&mut Self)) {
        if catch_unwind(AssertUnwindSafe(|| draw(self))).is_err() {
            let name = format!("{} {}", self.job.experiment, self.job.label());
            self.problems.push(format!("a picture of {name} could not be made: see its log"));
        }
    }

    fn write(&mut self, cell: &str, name: &str, drawn: Result<Vec<u8>>) {
        let folder = folder(&self.pictures.folder, cell, self.pictures.seed);
        let path = folder.join(name);
        let failed =
            |why: &dyn std::fmt::Display| format!("cannot write {}: {why}", path.display());
        let written = drawn.map_err(|error: Error| failed(&error)).and_then(|bytes| {
            let written = files::refuse_links(&self.pictures.folder, &folder)
                .and_then(|()| fs::create_dir_all(&folder))
                .and_then(|()| whole::write(&path, bytes));
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

/// A cell's score with its unit.
fn score_name(cell: &Cell) -> &'static str {
    let blog = matches!(&cell.model, ModelSpec::Vae(spec) if spec.decoder == Decoder::Blog);
    match cell.protocol.score {
        None => "energy (nats)",
        Some(Score::ReconstructionError) => "reconstruction error (mean square of a feature)",
        Some(Score::ReconstructionProbability) if blog => "sum of the blog's terms (no unit)",
        Some(Score::NegativeElbo) if blog => "sum of the blog's terms + KL (no unit)",
        Some(Score::ReconstructionProbability) => "negative reconstruction probability (nats)",
        Some(Score::NegativeElbo) => "negative ELBO (nats)",
    }
}
