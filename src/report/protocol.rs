//! The protocol of an experiment's cells in plain sentences: data, split, model, training, score,
//! threshold, controls. It reads the cells' settings alone and judges nothing.

use indexmap::IndexMap;

use crate::dataset::{
    Anomaly, DatasetSpec, DrawnAttacks, Encoding, Family, Fit, IdxSpec, KddcupSpec, Missing,
    MnistSpec, ScaledColumns, ScalingKind, ScalingSpec, SplitSpec, SyntheticSpec, TableSpec,
};
use crate::experiment::{Cell, Control, LastBatch, ProtocolSpec};
use crate::metrics::{Population, ThresholdRule};
use crate::model::{
    Activation, AutoencoderSpec, Average, CommandSpec, ConvDecoder, ConvLoss, ConvVaeSpec,
    DagmmSpec, Decoder, Determinant, EnergyGuard, LogVariance, Mixture, ModelSpec, Reconstruction,
    Reduction, Score, ScoresSpec, Start, VaeSpec,
};
use crate::shell;

/// More cells than this are counted, not named.
const NAMED: usize = 6;

/// What is said of one part of the protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Such as `data` or `threshold`.
    pub topic: &'static str,
    pub statements: Vec<Statement>,
}

/// Sentences that hold for some cells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    pub text: String,
    /// Labels of the cells that it holds for; empty where it holds for all.
    pub cells: String,
}

/// The protocol of an experiment's cells, in the order of a run. What differs between cells is said
/// once for all cells that share it.
pub fn of_cells(cells: &[Cell]) -> Vec<Part> {
    let mut parts: IndexMap<&str, IndexMap<String, Vec<&str>>> = IndexMap::new();
    let trained: Vec<&Cell> = cells.iter().filter(|cell| cell.control.is_none()).collect();
    for cell in &trained {
        for (topic, text) in of_cell(cell) {
            parts.entry(topic).or_default().entry(text).or_default().push(&cell.label);
        }
    }
    let mut parts: Vec<Part> = parts
        .into_iter()
        .map(|(topic, texts)| {
            let statements = texts.into_iter().map(|(text, labels)| Statement {
                text,
                cells: if labels.len() == trained.len() { String::new() } else { named(&labels) },
            });
            Part { topic, statements: statements.collect() }
        })
        .collect();
    parts.extend(controls(cells));
    parts
}

fn named(labels: &[&str]) -> String {
    let names = labels[..labels.len().min(NAMED)].join("; ");
    match labels.len().saturating_sub(NAMED) {
        0 => names,
        more => format!("{names}; and {more} more"),
    }
}

fn controls(cells: &[Cell]) -> Option<Part> {
    let control = cells.iter().find_map(|cell| cell.control)?;
    let text = match control {
        Control::Untrained => {
            "Beside every cell stands the same network with 0 epochs of training, under the same \
             seeds and splits. What it reaches, training did not earn."
        }
    };
    let statement = Statement { text: text.into(), cells: String::new() };
    Some(Part { topic: "control", statements: vec![statement] })
}

/// Topics with sentences, in the order of a run.
fn of_cell(cell: &Cell) -> Vec<(&'static str, String)> {
    let [data, preparation, anomalies] = dataset(&cell.dataset);
    let [model, loss] = model(&cell.model);
    vec![
        ("data", data),
        ("preparation", preparation),
        ("anomalies", anomalies),
        ("split", split(&cell.protocol)),
        ("model", model),
        ("loss", loss),
        ("training", training(cell)),
        ("score", score(cell)),
        ("threshold", threshold(&cell.protocol.threshold)),
    ]
}

/// Where rows come from, what becomes of them, which of them are anomalies.
fn dataset(dataset: &DatasetSpec) -> [String; 3] {
    match dataset {
        DatasetSpec::Kddcup(spec) => kddcup(spec),
        DatasetSpec::Mnist(spec) => mnist(spec),
        DatasetSpec::Idx(spec) => idx(spec),
        DatasetSpec::Synthetic(spec) => synthetic(spec),
        DatasetSpec::Table(spec) => table(spec),
    }
}

fn kddcup(spec: &KddcupSpec) -> [String; 3] {
    let encoding = match spec.encoding {
        Encoding::ProtocolServiceFlag => {
            "Protocol, service and flag are one-hot, the other 38 fields are numbers: 118 columns."
        }
        Encoding::AllCategorical => {
            "All seven categorical fields are one-hot, the other 34 are numbers: 121 columns."
        }
        Encoding::AllButConstant => {
            "All seven categorical fields are one-hot, and the constant num_outbound_cmds is left \
             out: 120 columns."
        }
    };
    let anomalies = match spec.anomaly {
        Anomaly::Normal => {
            "The rows labelled normal, the minority of the file, count as the anomalies; the \
             attacks count as normal."
        }
        Anomaly::Attack => "The attacks are the anomalies.",
    };
    let rows = match spec.attacks {
        Some(DrawnAttacks { rows, seed }) => format!(
            " All its normal rows, and {rows} of its attack rows, drawn at random once (seed {seed})."
        ),
        None => String::new(),
    };
    [
        format!("KDD Cup 99, the 10 % file.{rows}"),
        format!("{encoding} {}", scaling(&spec.scaling, NUMERIC_OF_KDDCUP)),
        anomalies.into(),
    ]
}

const NUMERIC_OF_KDDCUP: &str = "Each of the 31 columns that hold counts and shares (one-hot columns \
                                 and the file's switches stay as they are)";

/// `numeric` names the columns that are scaled unless all are.
fn scaling(spec: &ScalingSpec, numeric: &str) -> String {
    let columns = match spec.columns {
        ScaledColumns::Numeric => numeric,
        ScaledColumns::All => "Every column, one-hot columns and switches included,",
    };
    let rows = match spec.fit {
        Fit::Train => "the training rows",
        Fit::Attack => "the attack rows, wherever the split puts them",
        Fit::All => "all rows, the test rows among them",
    };
    match (spec.kind, spec.clip) {
        (ScalingKind::MinMax, clip) => {
            let outside = if clip { "are clipped" } else { "are kept" };
            format!(
                "{columns} is scaled to [0, 1] by the lowest and highest value of {rows}; values \
                 outside {outside}."
            )
        }
        (ScalingKind::Standard, _) => format!(
            "{columns} is scaled to mean 0 and standard deviation 1 by the statistics of {rows}."
        ),
        (ScalingKind::None, _) => "Columns are not scaled.".into(),
    }
}

fn mnist(spec: &MnistSpec) -> [String; 3] {
    let anomalies = match (spec.anomaly_digit, spec.normal_digit) {
        (Some(digit), _) => format!("Digit {digit} is the anomaly, the other nine are normal."),
        (None, Some(digit)) => format!("Digit {digit} is normal, the other nine are anomalies."),
        (None, None) => "Which digit is the anomaly is not said.".into(),
    };
    ["MNIST's handwritten digits, 28 × 28 pixels.".into(), pixels(spec.range), anomalies]
}

fn idx(spec: &IdxSpec) -> [String; 3] {
    let files = [&spec.train_images, &spec.train_labels, &spec.test_images, &spec.test_labels];
    let files: Vec<&str> = files.iter().map(|file| file.file.as_str()).collect();
    let anomalies = match (spec.anomaly_class, spec.normal_class) {
        (Some(class), _) => format!("Class {class} is the anomaly, the others are normal."),
        (None, Some(class)) => format!("Class {class} is normal, the others are anomalies."),
        (None, None) => "Which class is the anomaly is not said.".into(),
    };
    [format!("Images and labels of {}.", files.join(", ")), pixels(spec.range), anomalies]
}

fn pixels([low, high]: [f64; 2]) -> String {
    format!("The bytes 0 to 255 become {} to {}.", plain(low), plain(high))
}

fn synthetic(spec: &SyntheticSpec) -> [String; 3] {
    [
        format!(
            "{} made-up rows of {} columns. Normal rows form {} clusters on a circle of radius {} in \
             a subspace of {} dimensions, with a standard deviation of {} off it; the data's own \
             seed is {}.",
            spec.rows,
            spec.features,
            spec.clusters,
            plain(spec.separation),
            spec.subspace,
            plain(spec.noise),
            spec.seed
        ),
        scaling(&spec.scaling, "Each column"),
        format!(
            "{} of the rows are anomalies: their standard deviation off the subspace is {} times \
             that of normal rows.",
            percent(spec.anomaly_share),
            plain(spec.excess)
        ),
    ]
}

fn table(spec: &TableSpec) -> [String; 3] {
    let start: String = spec.sha256.chars().take(12).collect();
    let mut data = format!("The table {} (sha256 {start}…).", spec.file);
    if let Some(file) = &spec.test_file {
        data += &format!(" The rows of {file} are its test rows.");
    }
    let mut preparation = Vec::new();
    if !spec.drop.is_empty() {
        preparation.push(format!("Left out: {}.", spec.drop.join(", ")));
    }
    match spec.missing {
        Missing::Refuse => {}
        Missing::DropRow => preparation.push("Rows that lack a value are left out.".into()),
    }
    if !spec.categorical.is_empty() {
        preparation.push(format!("One-hot: {}.", spec.categorical.join(", ")));
    }
    let kept = match (spec.categorical.is_empty(), spec.unscaled.is_empty()) {
        (true, true) => "Each column".to_owned(),
        (false, true) => "Each column of numbers".to_owned(),
        (_, false) => format!("Each column of numbers but {}", spec.unscaled.join(", ")),
    };
    preparation.push(scaling(&spec.scaling, &kept));
    let (classes, others) = match spec.anomaly.is_empty() {
        false => (&spec.anomaly, "are anomalies; all others are normal"),
        true => (&spec.normal, "are normal; all others are anomalies"),
    };
    let anomalies = format!("Rows whose {} is {} {others}.", spec.label, classes.join(" or "));
    [data, preparation.join(" "), anomalies]
}

fn split(protocol: &ProtocolSpec) -> String {
    let rows = match protocol.split {
        SplitSpec::HalfOfAll => {
            "A random half of all rows is for training, and of these only the normal ones train; \
             all rows of the other half are tested."
                .into()
        }
        SplitSpec::HalfOfNormals => "A random half of the normal rows trains; the other half and \
                                     all anomalies are tested."
            .into(),
        SplitSpec::IndependentHalves => {
            "A random half of the normal rows trains; all anomalies and another random half of the \
             normal rows are tested, about half of which was trained on."
                .into()
        }
        SplitSpec::HalfOfSample { one_in } => format!(
            "Of the normal rows and of the anomalies one in {one_in} is drawn at random. Half as many \
             normal rows as were drawn in all train; the other drawn rows are tested, the normal ones \
             first."
        ),
        SplitSpec::Official { whole_batches } => {
            let left_out = match whole_batches {
                1 => String::new(),
                rows => format!(
                    " that fill whole batches of {rows}, normal rows and anomalies apart, in the \
                     files' order"
                ),
            };
            format!(
                "The normal rows of the data set's own training files train; all rows of its test \
                 files{left_out} are tested."
            )
        }
        SplitSpec::AttackFamily { family } => {
            let family = match family {
                Family::Dos => "denial-of-service",
                Family::R2l => "R2L (remote to local)",
                Family::U2r => "U2R (user to root)",
                Family::Probe => "probing",
            };
            format!(
                "A random half of the normal rows trains; the other half and all {family} attacks \
                 are tested."
            )
        }
    };
    let contamination = if protocol.contamination > 0.0 {
        format!(
            "Anomalies join the training rows until they are {} of them.",
            percent(protocol.contamination)
        )
    } else {
        "No anomaly is among the training rows.".into()
    };
    format!("{rows} {contamination}")
}

/// The network, and what is minimised.
fn model(model: &ModelSpec) -> [String; 2] {
    match model {
        ModelSpec::Dagmm(spec) => dagmm(spec),
        ModelSpec::Autoencoder(spec) => autoencoder(spec),
        ModelSpec::Vae(spec) => vae(spec),
        ModelSpec::ConvVae(spec) => conv_vae(spec),
        ModelSpec::Pca(spec) => [
            format!("Principal component analysis with {} components.", spec.components),
            "Components along which the training rows vary most.".into(),
        ],
        ModelSpec::Command(spec) => [command(spec), "The program's own affair.".into()],
        ModelSpec::Scores(spec) => [elsewhere(spec), "Not known.".into()],
    }
}

fn command(spec: &CommandSpec) -> String {
    let words = shell::command(spec.program.iter().map(String::as_str));
    let settings = match spec.settings.is_empty() {
        true => "without settings".to_owned(),
        false => format!("with {}", settings(&spec.settings)),
    };
    format!("The program {words}, {settings}. It sees training and test rows and no label.")
}

fn settings(settings: &serde_json::Map<String, serde_json::Value>) -> String {
    let all = settings.iter().map(|(key, value)| format!("{key} = {value}"));
    all.collect::<Vec<_>>().join(", ")
}

fn elsewhere(spec: &ScoresSpec) -> String {
    let said = match spec.settings.is_empty() {
        true => String::new(),
        false => format!(" Whoever made them says: {}.", settings(&spec.settings)),
    };
    format!(
        "None of seedbed's: the scores were made elsewhere and read from a file for each run. seedbed made the \
         splits, flagged and measured. That the scores are of these rows, and of a model that trained on \
         these rows alone, is the word of whoever made them.{said}"
    )
}

/// How squared differences become a row's error.
fn gathered(reconstruction: Reconstruction) -> &'static str {
    match reconstruction {
        Reconstruction::Sum => "summed over the features",
        Reconstruction::Mean => "averaged over the features",
        Reconstruction::Norm => "as the root of its sum over the features",
    }
}

fn autoencoder(spec: &AutoencoderSpec) -> [String; 2] {
    [
        format!(
            "An autoencoder with {} ({}), mirrored in the decoder, and a code of width {}.{}",
            hidden(&spec.hidden),
            name(spec.activation),
            spec.latent,
            start(spec.init)
        ),
        format!("The squared reconstruction error, {}.", gathered(spec.reconstruction)),
    ]
}

fn dagmm(spec: &DagmmSpec) -> [String; 2] {
    let error = gathered(spec.reconstruction);
    [
        format!(
            "DAGMM: an autoencoder with {} (tanh), mirrored in the decoder, \
             and a code of width {}; a mixture of {} Gaussians over the code, the relative \
             distance and the cosine of row and reconstruction; an estimation network with a \
             hidden layer of {} units and dropout {}.{}",
            hidden(&spec.hidden),
            spec.latent,
            spec.mixtures,
            spec.estimation_hidden,
            plain(spec.dropout),
            start(spec.init)
        ),
        format!(
            "The squared reconstruction error, {error}, plus {} times the energy and {} times the \
             penalty on small covariance diagonals, to which {} is added.",
            plain(spec.lambda_energy),
            plain(spec.lambda_covariance),
            plain(spec.covariance_epsilon)
        ),
    ]
}

fn vae(spec: &VaeSpec) -> [String; 2] {
    let decoder = match (spec.decoder, spec.sigma) {
        (Decoder::Gaussian, Some(sigma)) => {
            format!("a normal density of fixed standard deviation {} a feature", plain(sigma))
        }
        (Decoder::Gaussian, None) => {
            format!("a normal density with learnt mean and {} a feature", log_variance(spec))
        }
        (Decoder::Bernoulli, _) => "a Bernoulli probability a feature".into(),
        (Decoder::BernoulliProbabilities, _) => {
            "a Bernoulli probability a feature, whose logarithms are taken without a guard".into()
        }
        (Decoder::Blog, _) => format!(
            "√(2πσ²)·(x−μ)²/(2σ²) a feature, which is no likelihood, with {}",
            log_variance(spec)
        ),
    };
    let activation = match spec.decoder_activation.filter(|&other| other != spec.activation) {
        Some(other) => format!("{}; {} in the decoder", name(spec.activation), name(other)),
        None => name(spec.activation).to_owned(),
    };
    let objective = match spec.decoder {
        Decoder::Gaussian | Decoder::Bernoulli | Decoder::BernoulliProbabilities => {
            "The negative log-likelihood of the reconstruction"
        }
        Decoder::Blog => "The Euclidean norm, over the features, of the decoder's quantity",
    };
    let reduction = match spec.reduction {
        Reduction::Mean => "averaged",
        Reduction::Sum => "summed",
    };
    [
        format!(
            "A fully connected variational autoencoder with {} ({activation}), \
             mirrored in the decoder, and {} latent variables. The decoder gives {decoder}.{}",
            hidden(&spec.hidden),
            spec.latent,
            start(spec.init)
        ),
        format!("{objective} plus {}, {reduction} over the rows of a batch.", kl(spec.beta)),
    ]
}

/// How the weights start, where it is not the usual way.
fn start(start: Start) -> &'static str {
    match start {
        Start::Pytorch => "",
        Start::Glorot => " Weights start uniform in ±√(6/(inputs + outputs)), biases at 0.",
        Start::He => " Weights start uniform in ±√(6/inputs), biases in ±√(6/outputs).",
    }
}

fn log_variance(spec: &VaeSpec) -> String {
    let [low, high] = spec.log_variance_bounds;
    match spec.log_variance {
        LogVariance::Bounded => {
            format!("log-variance (kept between {} and {})", plain(low), plain(high))
        }
        LogVariance::Unbounded => "log-variance (without bounds)".into(),
    }
}

fn conv_vae(spec: &ConvVaeSpec) -> [String; 2] {
    let decoder = match spec.decoder {
        ConvDecoder::Gaussian => {
            format!("a normal density of standard deviation {} a pixel", plain(spec.sigma))
        }
        ConvDecoder::Bernoulli => "a Bernoulli probability a pixel".into(),
    };
    let loss = match spec.loss {
        ConvLoss::Elbo => format!(
            "The negative log-likelihood of the reconstruction plus {}, averaged over the rows of a \
             batch.",
            kl(spec.beta)
        ),
        ConvLoss::Notebook => format!(
            "The squared error averaged over all pixels of a batch, plus {} summed over its rows.",
            kl(spec.beta)
        ),
    };
    let [first, second] = spec.channels;
    [
        format!(
            "A convolutional variational autoencoder with {first} and {second} channels and {} latent \
             variables. The decoder gives {decoder}.",
            spec.latent
        ),
        loss,
    ]
}

fn kl(beta: f64) -> String {
    if beta == 1.0 {
        "the Kullback-Leibler divergence".into()
    } else {
        format!("{} times the Kullback-Leibler divergence", plain(beta))
    }
}

fn training(cell: &Cell) -> String {
    if !cell.model.is_trained() {
        return match &cell.model {
            ModelSpec::Command(_) => "The program's own affair, under the seed that it is given.",
            ModelSpec::Scores(_) => "Done elsewhere, and not known.",
            _ => "Fitted once, in closed form: nothing is drawn, nothing trained in epochs.",
        }
        .into();
    }
    let spec = &cell.training;
    let clip = match spec.gradient_clip {
        Some(norm) => format!("The norm of the gradient is clipped at {}.", plain(norm)),
        None => "The gradient is not clipped.".into(),
    };
    let decay = spec.weight_decay.map_or(String::new(), |decay| {
        format!(" {} times the parameters are added to it.", plain(decay))
    });
    let left = match spec.last_batch {
        LastBatch::Keep => "",
        LastBatch::Drop => ", of which an incomplete last one is left out in each epoch",
    };
    let epochs = if spec.epochs == 1 { "epoch" } else { "epochs" };
    format!(
        "{} {epochs} of Adam with a step size of {} in batches of {} rows{left}. {clip}{decay}",
        spec.epochs,
        plain(spec.learning_rate),
        spec.batch_size
    )
}

fn score(cell: &Cell) -> String {
    match &cell.model {
        ModelSpec::Dagmm(spec) => energy(spec),
        ModelSpec::Autoencoder(spec) => {
            format!("The squared reconstruction error of a row, {}.", gathered(spec.reconstruction))
        }
        ModelSpec::Vae(_) | ModelSpec::ConvVae(_) => variational(&cell.protocol),
        ModelSpec::Pca(_) => {
            "The squared distance of a row from the subspace of the components.".into()
        }
        ModelSpec::Command(_) => {
            "What the program writes for a row; higher is more anomalous.".into()
        }
        ModelSpec::Scores(_) => {
            "What the file of a run holds for a row; higher is more anomalous. The run's record has the \
             file's SHA-256."
                .into()
        }
    }
}

fn energy(spec: &DagmmSpec) -> String {
    let mixture = match spec.mixture {
        Mixture::Train => "the mixture of all training rows",
        Mixture::TestBatches => "the mixture of its own batch of test rows, in their order",
        Mixture::LastBatch => {
            "the mixture of the last batch of one more shuffled pass over the training rows"
        }
    };
    let density = match spec.determinant {
        Determinant::Sqrt => "with the Gaussian normalisation",
        Determinant::SqrtDetached => {
            "with the Gaussian normalisation, through which no gradient passes"
        }
        Determinant::FourthRoot => {
            "divided by the fourth root of |2πΣ| in place of its square root"
        }
    };
    let guard = match spec.energy_guard {
        EnergyGuard::LogSumExp => "exactly",
        EnergyGuard::Clamped => "clamped, which caps it near 27.63",
    };
    format!(
        "The energy of a row: minus the logarithm of its density under {mixture}, {density}, \
         computed {guard}."
    )
}

fn variational(protocol: &ProtocolSpec) -> String {
    let draws = match protocol.samples {
        None | Some(0) => "at the mean of the latent variables".to_owned(),
        Some(1) => "with one draw of the latent variables a row".to_owned(),
        Some(many) => format!("with {many} draws of the latent variables a row"),
    };
    let what = match (protocol.score, protocol.average) {
        (Some(Score::ReconstructionProbability), Some(Average::Likelihood)) => {
            "Minus the reconstruction probability, the logarithm of the mean of p(x|z)"
        }
        (Some(Score::ReconstructionProbability), Some(Average::LogLikelihood) | None) => {
            "Minus the reconstruction probability, the mean of log p(x|z)"
        }
        (Some(Score::ReconstructionError), _) => {
            "The squared reconstruction error, averaged over the features"
        }
        (Some(Score::NegativeElbo), _) => "The negative evidence lower bound (ELBO)",
        (None, _) => return "What the score is, is not said.".into(),
    };
    format!("{what}, {draws}.")
}

fn threshold(rule: &ThresholdRule) -> String {
    let above = |top: f64, rows: &str| {
        let percentile = ordinal(100.0 * (1.0 - top));
        format!(
            "Test rows are flagged whose score lies above the {percentile} percentile of the scores of {rows}."
        )
    };
    match *rule {
        ThresholdRule::Top { top, of: Population::Test } => format!(
            "The {} of the test rows with the highest scores are flagged, exactly that many.",
            percent(top)
        ),
        ThresholdRule::Top { top, of: Population::TrainAndTest } => {
            above(top, "training and test rows together")
        }
        ThresholdRule::Top { top, of: Population::Train } => above(top, "the training rows"),
        ThresholdRule::Value(value) => {
            format!("Test rows are flagged whose score lies above {}.", plain(value))
        }
        ThresholdRule::AnomalyCount => {
            "As many test rows are flagged as there are anomalies among \
                                        them, those with the highest scores: precision, recall and \
                                        F1 are one number."
                .into()
        }
        ThresholdRule::BestF1 => {
            "The threshold is that with the largest F1 on the test labels: an \
                                  upper bound on what a threshold can do, not a detector that \
                                  anyone could use."
                .into()
        }
    }
}

/// `hidden layers of 60, 30 units`.
fn hidden(widths: &[usize]) -> String {
    let widths: Vec<String> = widths.iter().map(ToString::to_string).collect();
    match &widths[..] {
        [] => "no hidden layer".into(),
        [one] => format!("a hidden layer of {one} units"),
        [..] => format!("hidden layers of {} units", widths.join(", ")),
    }
}

fn name(activation: Activation) -> &'static str {
    match activation {
        Activation::Tanh => "tanh",
        Activation::Relu => "ReLU",
        Activation::Sigmoid => "sigmoid",
    }
}

/// In the fewest digits that read back exactly.
fn plain(value: f64) -> String {
    let small = value != 0.0 && value.abs() < 1e-3;
    let text = if small || value.abs() >= 1e6 { format!("{value:e}") } else { value.to_string() };
    // a minus sign, but for an exponent, which is written as in the experiment's file
    text.strip_prefix('-').map_or(text.clone(), |digits| format!("−{digits}"))
}

/// `20 %`, with as many digits as it takes and no noise of the conversion.
fn percent(share: f64) -> String {
    format!("{} %", rounded(100.0 * share))
}

fn ordinal(value: f64) -> String {
    let text = rounded(value);
    let ending = match text.as_bytes() {
        [.., b'1', b'1' | b'2' | b'3'] => "th",
        [.., b'1'] => "st",
        [.., b'2'] => "nd",
        [.., b'3'] => "rd",
        [..] => "th",
    };
    format!("{text}{ending}")
}

fn rounded(value: f64) -> String {
    plain((value * 1e6).round() / 1e6)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::experiment::{Experiment, Selection};

    fn cells(name: &str) -> Vec<Cell> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments");
        let path = folder.join(format!("{name}.toml"));
        let text = std::fs::read_to_string(&path).unwrap();
        Experiment::parse(&path, &text, &Selection::default()).unwrap().cells
    }

    fn said(name: &str, topic: &str) -> Vec<(String, String)> {
        let parts = of_cells(&cells(name));
        let part = parts.into_iter().find(|part| part.topic == topic).unwrap();
        part.statements.into_iter().map(|one| (one.text, one.cells)).collect()
    }

    #[test]
    fn every_shipped_protocol_is_said_in_whole_sentences() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments");
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        for path in entries.filter(|path| path.extension().is_some_and(|end| end == "toml")) {
            let cells = cells(path.file_stem().unwrap().to_str().unwrap());
            let parts = of_cells(&cells);
            let controls = cells.iter().any(|cell| cell.control.is_some());
            assert_eq!(parts.len(), 9 + usize::from(controls), "nine topics and the control");
            for Statement { text, .. } in parts.iter().flat_map(|part| &part.statements) {
                assert!(text.ends_with('.') && !text.contains("not said"), "{text}");
                assert!(
                    text.starts_with(|c: char| c.is_uppercase() || c.is_ascii_digit()),
                    "{text}"
                );
            }
        }
    }

    #[test]
    fn which_columns_are_scaled_is_said_as_it_is_done() {
        let of = |kind, columns| {
            let spec = ScalingSpec { kind, columns, ..ScalingSpec::default() };
            scaling(&spec, NUMERIC_OF_KDDCUP)
        };
        for (kind, how) in [
            (ScalingKind::Standard, "is scaled to mean 0 and standard deviation 1"),
            (ScalingKind::MinMax, "is scaled to [0, 1]"),
        ] {
            let text = of(kind, ScaledColumns::Numeric);
            assert!(
                text.starts_with("Each of the 31 columns that hold counts and shares"),
                "{text}"
            );
            assert!(text.contains(how), "{text}");
            let text = of(kind, ScaledColumns::All);
            assert!(text.starts_with("Every column, one-hot columns"), "{text}");
        }
        assert_eq!(of(ScalingKind::None, ScaledColumns::Numeric), "Columns are not scaled.");
    }

    #[test]
    fn what_cells_differ_in_is_said_for_each_and_the_rest_once() {
        let loss = said("dagmm-kddcup", "loss");
        assert!(loss[0].0.contains("summed over the features"));
        assert_eq!(loss[0].1, "reconstruction=sum");
        assert!(loss[1].0.contains("averaged over the features"));
        assert_eq!(loss[1].1, "reconstruction=mean", "controls are not named beside their cells");
        assert_eq!(said("dagmm-kddcup", "training").len(), 1);
        let digits = said("conv-vae-mnist", "score");
        assert!(digits[0].1.ends_with("; and 4 more"), "{}", digits[0].1);
    }

    #[test]
    fn numbers_of_the_files_are_in_the_sentences() {
        let has = |name, topic, words: &str| {
            let text = &said(name, topic)[0].0;
            assert!(text.contains(words), "{words}: {text}");
        };
        has("dagmm-kddcup", "threshold", "The 20 % of the test rows");
        has(
            "danieltan07-kddcup",
            "threshold",
            "the 80th percentile of the scores of training and test",
        );
        has(
            "vae-families-kddcup",
            "threshold",
            "the 95th percentile of the scores of the training rows",
        );
        has("conv-vae-notebook-mnist", "threshold", "above 0.3.");
        has("conv-vae-notebook-mnist", "preparation", "0 to 255 become −1 to 1.");
        has("danieltan07-kddcup", "training", "clipped at 5.");
        has("danieltan07-kddcup", "preparation", "the attack rows, wherever");
        has("vae-kddcup", "preparation", "values outside are clipped");
        has("dagmm-kddcup", "training", "a step size of 1e-4");
    }

    #[test]
    fn shares_have_no_noise_of_the_conversion() {
        assert_eq!([percent(0.07), percent(0.125), percent(0.29)], ["7 %", "12.5 %", "29 %"]);
        let ordinals = [1.0, 2.0, 3.0, 11.0, 52.0, 97.5].map(ordinal);
        assert_eq!(ordinals, ["1st", "2nd", "3rd", "11th", "52nd", "97.5th"]);
        assert_eq!([plain(-1.0), plain(1e-12), plain(0.005)], ["−1", "1e-12", "0.005"]);
    }
}
