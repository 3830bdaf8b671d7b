//! Which rows train and which test. One permutation per seed decides, and the model does not enter,
//! so two models under one seed see the same split. Touches labels, families and the data set's own
//! division into files, never values.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Anomaly, Dataset, DatasetSpec, Family, Shape};
use crate::digest;
use crate::error::{Error, Result};
use crate::random::{Numbers, Stream};

/// The `split` of a `[protocol]` table: `{ kind = "half-of-all" }`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", from = "SplitTable")]
pub enum SplitSpec {
    /// Zong et al. (2018): a random half of all rows is for training, and only its normal
    /// rows train; all rows of the other half are for testing.
    HalfOfAll,
    /// danieltan07: a random half of the normal rows trains; the other half and all anomalies test.
    HalfOfNormals,
    /// A blog's, which builds danieltan07's loader twice, for training and for testing, so that the
    /// normal rows are shuffled twice: a random half of them trains, and all anomalies and another
    /// random half test, about half of which was trained on.
    IndependentHalves,
    /// Needle's: of the normal rows and of the anomalies one in `one-in` is drawn at random. Half as
    /// many normal rows as were drawn in all train; the other drawn ones test, normal rows first.
    HalfOfSample {
        #[serde(rename = "one-in")]
        one_in: u32,
    },
    /// The normal rows of the data set's own training files train; the rows of its test files test.
    Official {
        /// A notebook's, whose evaluation loads normal rows and anomalies apart, in the file's order,
        /// in batches of so many rows, and leaves out the last batch where it is not whole. 1 leaves
        /// out nothing.
        // not written when 1: the keys of stored runs were made without it
        #[serde(rename = "whole-batches", skip_serializing_if = "is_one")]
        whole_batches: u32,
    },
    /// After An & Cho (2015): a random half of the normal rows trains; the other half and all attacks
    /// of one family test. Under one seed every family has the same normal rows on either side.
    AttackFamily { family: Family },
}

// what is read in its stead: serde refuses unknown keys beside a variant with braces only
/// Which rows train and which are tested.
#[derive(Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
enum SplitTable {
    /// A random half of all rows tests; the normal rows of the other half train.
    HalfOfAll {},
    /// A random half of the normal rows trains; the other half and all anomalies test.
    HalfOfNormals {},
    /// A random half of the normal rows trains; all anomalies and another random half of the normal rows,
    /// drawn anew, test.
    IndependentHalves {},
    /// Of normal rows and anomalies apart one in `one-in` is drawn; half as many normal rows as were drawn
    /// in all train, the others test.
    #[serde(rename_all = "kebab-case")]
    HalfOfSample {
        /// How many rows one is drawn of.
        one_in: u32,
    },
    /// The data set's own training and test files.
    #[serde(rename_all = "kebab-case")]
    Official {
        /// Tests only rows that fill whole batches of so many, anomalies and normal rows apart.
        #[serde(default = "one")]
        whole_batches: u32,
    },
    /// A random half of the normal rows trains; the other half and all attacks of one family test.
    AttackFamily {
        /// Which attacks.
        family: Family,
    },
}

fn one() -> u32 {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_one(number: &u32) -> bool {
    *number == 1
}

impl From<SplitTable> for SplitSpec {
    fn from(table: SplitTable) -> Self {
        match table {
            SplitTable::HalfOfAll {} => Self::HalfOfAll,
            SplitTable::HalfOfNormals {} => Self::HalfOfNormals,
            SplitTable::IndependentHalves {} => Self::IndependentHalves,
            SplitTable::HalfOfSample { one_in } => Self::HalfOfSample { one_in },
            SplitTable::Official { whole_batches } => Self::Official { whole_batches },
            SplitTable::AttackFamily { family } => Self::AttackFamily { family },
        }
    }
}

impl SplitSpec {
    /// Refuses a split that the data set cannot give, with [`Error::Usage`] naming the keys.
    pub fn check(&self, dataset: &DatasetSpec) -> Result<()> {
        let possible = match (self, dataset) {
            (Self::HalfOfAll | Self::HalfOfNormals | Self::IndependentHalves, _) => true,
            (Self::HalfOfSample { one_in: 0 }, _) => return Err(zero("one-in")),
            (Self::HalfOfSample { .. }, _) => true,
            (Self::Official { whole_batches: 0 }, _) => return Err(zero("whole-batches")),
            (Self::Official { .. }, DatasetSpec::Mnist(_) | DatasetSpec::Idx(_)) => true,
            (Self::Official { .. }, DatasetSpec::Table(spec)) => spec.test_file.is_some(),
            (Self::Official { .. }, DatasetSpec::Kddcup(_) | DatasetSpec::Synthetic(_)) => false,
            (Self::AttackFamily { .. }, DatasetSpec::Kddcup(spec)) => {
                spec.anomaly == Anomaly::Attack
            }
            (
                Self::AttackFamily { .. },
                DatasetSpec::Mnist(_)
                | DatasetSpec::Idx(_)
                | DatasetSpec::Synthetic(_)
                | DatasetSpec::Table(_),
            ) => false,
        };
        if possible { Ok(()) } else { Err(self.impossible()) }
    }

    /// Bounds on the numbers of training and test rows that it makes.
    pub fn at_most(&self, shape: &Shape) -> (usize, usize) {
        let Shape { rows, official_train, .. } = *shape;
        match self {
            Self::HalfOfAll => (rows / 2, rows.div_ceil(2)),
            Self::HalfOfNormals | Self::IndependentHalves | Self::AttackFamily { .. } => {
                (rows / 2, rows)
            }
            Self::HalfOfSample { one_in } => {
                let drawn = rows / (*one_in).max(1) as usize;
                (drawn / 2, drawn.div_ceil(2) + 1)
            }
            Self::Official { .. } => {
                official_train.map_or((rows, rows), |train| (train, rows - train))
            }
        }
    }

    /// The same split before incomplete batches of test rows are left out: what is trained and scored.
    pub fn before_batches(self) -> Self {
        match self {
            Self::Official { .. } => Self::Official { whole_batches: 1 },
            other => other,
        }
    }

    fn impossible(&self) -> Error {
        let what = match self {
            Self::HalfOfAll
            | Self::HalfOfNormals
            | Self::IndependentHalves
            | Self::HalfOfSample { .. } => "rows",
            Self::Official { .. } => {
                "a data set with training and test files of its own: dataset.name = \"mnist\" or \"idx\", \
                 or \"table\" with a test-file"
            }
            Self::AttackFamily { .. } => {
                "attacks as anomalies: dataset.name = \"kddcup\" with dataset.anomaly = \"attack\""
            }
        };
        let kind = match self {
            Self::HalfOfAll => "half-of-all",
            Self::HalfOfNormals => "half-of-normals",
            Self::IndependentHalves => "independent-halves",
            Self::HalfOfSample { .. } => "half-of-sample",
            Self::Official { .. } => "official",
            Self::AttackFamily { .. } => "attack-family",
        };
        Error::Usage(format!("protocol.split of kind \"{kind}\" needs {what}"))
    }
}

/// Row numbers, both lists in the order of one random permutation of all rows (`half-of-sample` tests
/// normal rows before anomalies). No row is in both, but for `independent-halves`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    pub train: Vec<u32>,
    pub test: Vec<u32>,
}

impl Split {
    /// SHA-256, in hexadecimal, of the number of training rows (u64), their numbers and then the
    /// test rows' (u32), all little endian.
    pub fn sha256(&self) -> String {
        let mut hasher = Sha256::new();
        hasher.update((self.train.len() as u64).to_le_bytes());
        for row in self.train.iter().chain(&self.test) {
            hasher.update(row.to_le_bytes());
        }
        digest::ended(hasher)
    }
}

/// Splits the rows of `dataset`. Of an odd number the training half is the smaller one.
///
/// With a `contamination` c > 0, anomalies join the training rows until they are the share c of
/// them (rounded to whole rows): anomalies of the training half for `half-of-all` and of the
/// training files for `official`, which tests would otherwise never see; for `half-of-normals` and
/// `attack-family`, which train on no anomaly, those that would be tested leave the test rows.
///
/// # Errors
/// [`Error::Usage`] if c is outside [0, 1), if there are too few anomalies for it, or if the data
/// set cannot give the split; [`Error::Data`] if its training files have no normal row.
pub fn split(dataset: &Dataset, spec: &SplitSpec, contamination: f64, seed: u64) -> Result<Split> {
    if !(0.0..1.0).contains(&contamination) {
        return Err(Error::Usage(format!(
            "protocol.contamination is {contamination}; it is a share, at least 0 and below 1"
        )));
    }
    let mut numbers = Numbers::new(seed, Stream::Split, 0);
    let order = numbers.permutation(dataset.rows());
    if let SplitSpec::HalfOfSample { one_in } = *spec {
        return half_of_sample(dataset.labels(), &order, one_in, contamination);
    }
    let Parts { mut part, normal, anomalies } = parts(dataset, spec, &order, &mut numbers)?;
    let share = contamination / (1.0 - contamination);
    let wanted = (share * normal.len() as f64).round() as usize;
    if wanted > anomalies.len() {
        return Err(Error::Usage(format!(
            "protocol.contamination = {contamination} needs {wanted} anomalies beside {} normal \
             training rows, and {} are at hand; lower it",
            normal.len(),
            anomalies.len()
        )));
    }
    let added = pick(&mut numbers, &anomalies, wanted);
    let leaks = *spec == SplitSpec::IndependentHalves;
    for &row in &normal {
        let part = &mut part[row as usize];
        *part = if leaks && *part == Part::Test { Part::Both } else { Part::Train };
    }
    added.iter().for_each(|&row| part[row as usize] = Part::Train);
    let rows = |wanted| {
        let is = |part| part == wanted || part == Part::Both;
        order.iter().copied().filter(|&row| is(part[row as usize])).collect()
    };
    let split = Split { train: rows(Part::Train), test: rows(Part::Test) };
    match *spec {
        SplitSpec::Official { whole_batches } => split.in_whole_batches(dataset, whole_batches),
        _ => Ok(split),
    }
}

impl Split {
    /// Keeps of the test rows those of whole batches, each class apart and in the file's order.
    fn in_whole_batches(mut self, dataset: &Dataset, rows: u32) -> Result<Self> {
        let labels = dataset.labels();
        for class in [false, true] {
            let of_class = |row: &u32| labels[*row as usize] == class;
            let mut inside: Vec<u32> = self.test.iter().copied().filter(of_class).collect();
            inside.sort_unstable();
            let whole = inside.len() - inside.len() % rows as usize;
            if whole == 0 && !inside.is_empty() {
                let (count, class) =
                    (inside.len(), if class { "anomalies" } else { "normal rows" });
                return Err(Error::Usage(format!(
                    "protocol.split.whole-batches = {rows} leaves no test row of a class: there are \
                     {count} {class}; lower it"
                )));
            }
            if let Some(&first) = inside.get(whole) {
                self.test.retain(|row| !of_class(row) || *row < first);
            }
        }
        Ok(self)
    }
}

fn zero(key: &str) -> Error {
    Error::Usage(format!("protocol.split.{key} is 0; it must be at least 1"))
}

/// Needle's split; `order` is one random permutation of all rows.
fn half_of_sample(
    labels: &[bool],
    order: &[u32],
    one_in: u32,
    contamination: f64,
) -> Result<Split> {
    if contamination > 0.0 {
        return Err(Error::Usage(
            "protocol.contamination goes with every split but kind = \"half-of-sample\"; leave it out"
                .into(),
        ));
    }
    let drawn = |class: bool| -> Vec<u32> {
        let rows = order.iter().copied().filter(|&row| labels[row as usize] == class);
        let count = labels.iter().filter(|&&label| label == class).count();
        rows.take(count / one_in.max(1) as usize).collect()
    };
    let (mut normal, anomalies) = (drawn(false), drawn(true));
    let trained = (normal.len() + anomalies.len()) / 2;
    if trained == 0 || trained >= normal.len() {
        return Err(Error::Usage(format!(
            "protocol.split of kind \"half-of-sample\" draws {} normal rows and {} anomalies, and \
             cannot train on {trained} normal rows and test on others; lower one-in, or choose \
             another split",
            normal.len(),
            anomalies.len()
        )));
    }
    let mut test = normal.split_off(trained);
    test.extend(anomalies);
    Ok(Split { train: normal, test })
}

/// A split before its training rows are marked.
struct Parts {
    /// One a row: `Test`, or `Neither`.
    part: Vec<Part>,
    /// The normal rows that train.
    normal: Vec<u32>,
    /// The anomalies that may join them.
    anomalies: Vec<u32>,
}

fn parts(
    dataset: &Dataset,
    spec: &SplitSpec,
    order: &[u32],
    numbers: &mut Numbers,
) -> Result<Parts> {
    let labels = dataset.labels();
    let anomaly = |row: &u32| labels[*row as usize];
    let every = 0..labels.len() as u32;
    let mut part = vec![Part::Test; labels.len()];
    // drawn apart from the order: by place in it, the test rows would begin with a stretch of
    // anomalies, and their order would not be random
    let mut half = |rows: &[u32]| pick(numbers, rows, rows.len() / 2);
    let (normal, anomalies): (Vec<u32>, Vec<u32>) = match spec {
        SplitSpec::HalfOfAll => {
            let half = &order[..labels.len() / 2];
            half.iter().for_each(|&row| part[row as usize] = Part::Neither);
            half.iter().partition(|row| !anomaly(row))
        }
        SplitSpec::HalfOfNormals => {
            let (normal, anomalies): (Vec<u32>, _) = every.partition(|row| !anomaly(row));
            (half(&normal), anomalies)
        }
        SplitSpec::IndependentHalves => {
            let (normal, anomalies): (Vec<u32>, Vec<u32>) = every.partition(|row| !anomaly(row));
            let trained = half(&normal);
            half(&normal).iter().for_each(|&row| part[row as usize] = Part::Neither);
            (trained, anomalies)
        }
        SplitSpec::HalfOfSample { .. } => unreachable!("it is drawn by itself"),
        SplitSpec::Official { .. } => {
            let train = dataset.official_train().ok_or_else(|| spec.impossible())?;
            part[..train].fill(Part::Neither);
            (0..train as u32).partition(|row| !anomaly(row))
        }
        SplitSpec::AttackFamily { family } => {
            let (normal, mut anomalies): (Vec<u32>, Vec<u32>) =
                every.partition(|row| !anomaly(row));
            anomalies.iter().for_each(|&row| part[row as usize] = Part::Neither);
            anomalies.retain(|&row| dataset.family(row) == Some(*family));
            anomalies.iter().for_each(|&row| part[row as usize] = Part::Test);
            // other data sets have no family, and none of KDD Cup's normal rows has one
            if anomalies.is_empty() {
                return Err(spec.impossible());
            }
            (half(&normal), anomalies)
        }
    };
    if normal.is_empty() && matches!(spec, SplitSpec::Official { .. }) {
        return Err(Error::Data("the data set's training files have no normal row".into()));
    }
    Ok(Parts { part, normal, anomalies })
}

/// What becomes of a row.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    Train,
    Test,
    Both,
    /// An anomaly of the training half or files, or an attack of another family.
    Neither,
}

/// `count` of `rows`, at random.
fn pick(numbers: &mut Numbers, rows: &[u32], count: usize) -> Vec<u32> {
    let chosen = &numbers.permutation(rows.len())[..count];
    chosen.iter().map(|&place| rows[place as usize]).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{ScalingSpec, Table, kddcup};
    use super::*;

    /// 1001 rows, every fifth an anomaly: 201 anomalies, 800 normal rows.
    fn labels() -> Vec<bool> {
        (0..1001).map(|row| row % 5 == 0).collect()
    }

    /// Rows with these labels and without values; the first 600 are the official training rows.
    fn rows(labels: Vec<bool>, table: Table) -> Dataset {
        Dataset {
            columns: Vec::new(),
            scaled: Vec::new(),
            labels,
            sha256: String::new(),
            scaling: ScalingSpec::default(),
            table,
            bayes_auroc: None,
            image: None,
            official_train: Some(600),
        }
    }

    const OFFICIAL: SplitSpec = SplitSpec::Official { whole_batches: 1 };

    fn plain() -> Dataset {
        rows(labels(), Table::Dense(Vec::new()))
    }

    /// The same labels; of the attacks, every tenth row is a probe and the others are denials of
    /// service.
    fn attacks() -> Dataset {
        let mut table = kddcup::Table::default();
        let family = |row| if row % 10 == 0 { Family::Probe } else { Family::Dos };
        table.families =
            labels().iter().zip(0..).map(|(&attack, row)| attack.then(|| family(row))).collect();
        rows(labels(), Table::Kddcup(table))
    }

    fn sorted(rows: impl IntoIterator<Item = u32>) -> Vec<u32> {
        let mut rows: Vec<u32> = rows.into_iter().collect();
        rows.sort_unstable();
        rows
    }

    fn anomalies(rows: &[u32]) -> usize {
        rows.iter().filter(|&&row| labels()[row as usize]).count()
    }

    #[test]
    fn half_of_all_trains_on_the_normal_rows_of_one_half_and_tests_on_all_of_the_other() {
        let split = split(&plain(), &SplitSpec::HalfOfAll, 0.0, 1).unwrap();
        let order = Numbers::new(1, Stream::Split, 0).permutation(1001);
        assert_eq!(split.test, order[500..]);
        let normal = order[..500].iter().copied().filter(|&row| !labels()[row as usize]);
        assert_eq!(split.train, normal.collect::<Vec<u32>>());
    }

    #[test]
    fn half_of_normals_tests_on_every_anomaly_in_one_random_order() {
        let split = split(&plain(), &SplitSpec::HalfOfNormals, 0.0, 1).unwrap();
        assert_eq!((split.train.len(), anomalies(&split.train)), (400, 0));
        assert_eq!((split.test.len(), anomalies(&split.test)), (601, 201));
        let all = split.train.iter().chain(&split.test).copied();
        assert_eq!(sorted(all), (0..1001).collect::<Vec<u32>>());
        // mixed: both halves of the test list hold anomalies in about their share
        // a random order has about as many anomalies in its first half (100 ± 6) as in its second,
        // also when some of them have left to contaminate the training rows
        for contamination in [0.0, 0.2] {
            let test = super::split(&plain(), &SplitSpec::HalfOfNormals, contamination, 1);
            let test = test.unwrap().test;
            let expected = anomalies(&test) as f64 / 2.0;
            let first = anomalies(&test[..test.len() / 2]) as f64;
            assert!((first - expected).abs() < 25.0, "{first} anomalies come first");
        }
    }

    #[test]
    fn official_trains_on_the_normal_rows_of_the_training_files_and_tests_on_all_of_the_others() {
        let split = split(&plain(), &OFFICIAL, 0.0, 1).unwrap();
        let normal = (0..600).filter(|&row| !labels()[row as usize]);
        assert_eq!(sorted(split.train.clone()), normal.collect::<Vec<u32>>());
        assert_eq!(sorted(split.test.clone()), (600..1001).collect::<Vec<u32>>());
        // in the order of the seed's permutation
        let order = Numbers::new(1, Stream::Split, 0).permutation(1001);
        let test = order.into_iter().filter(|&row| row >= 600);
        assert_eq!(split.test, test.collect::<Vec<u32>>());
    }

    #[test]
    fn whole_batches_keep_the_first_rows_of_each_class_in_the_files_order() {
        let split = |whole_batches| split(&plain(), &SplitSpec::Official { whole_batches }, 0.0, 1);
        let (all, some) = (split(1).unwrap(), split(50).unwrap());
        assert_eq!(all.train, some.train);
        // of the 401 test rows 81 are anomalies, every fifth from 600 on
        let kept: Vec<u32> = (600..1001)
            .filter(|row| if row % 5 == 0 { *row < 850 } else { *row < 600 + 300 * 5 / 4 })
            .collect();
        assert_eq!(sorted(some.test.clone()), kept);
        assert_eq!(anomalies(&some.test), 50);
        // in the order in which all are tested
        let rest: Vec<u32> = all.test.iter().copied().filter(|row| kept.contains(row)).collect();
        assert_eq!(some.test, rest);
        let error = split(100).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        let text = error.to_string();
        assert!(text.contains("whole-batches = 100 leaves no test row of a class"), "{text}");
        assert!(text.contains("81 anomalies"), "{text}");
        let zero = SplitSpec::Official { whole_batches: 0 };
        let mnist: DatasetSpec = toml::from_str("name = 'mnist'\nnormal-digit = 1").unwrap();
        assert!(zero.check(&mnist).unwrap_err().to_string().contains("whole-batches is 0"));
    }

    #[test]
    fn independent_halves_train_on_about_half_of_the_normal_rows_that_they_test() {
        let split = split(&plain(), &SplitSpec::IndependentHalves, 0.0, 1).unwrap();
        assert_eq!((split.train.len(), anomalies(&split.train)), (400, 0));
        assert_eq!((split.test.len(), anomalies(&split.test)), (601, 201));
        let both = split.test.iter().filter(|row| split.train.contains(row)).count();
        // hypergeometric: 200 ± 7
        assert!((170..=230).contains(&both), "{both}");
        // the training rows are those of half-of-normals under the same seed
        let halves = super::split(&plain(), &SplitSpec::HalfOfNormals, 0.0, 1).unwrap();
        assert_eq!(split.train, halves.train);
    }

    #[test]
    fn half_of_sample_draws_a_share_of_each_class_and_tests_normal_rows_first() {
        let spec = SplitSpec::HalfOfSample { one_in: 10 };
        let split = split(&plain(), &spec, 0.0, 1).unwrap();
        // of 800 normal rows 80, of 201 anomalies 20; half of 100 train
        assert_eq!((split.train.len(), anomalies(&split.train)), (50, 0));
        assert_eq!((split.test.len(), anomalies(&split.test)), (50, 20));
        assert_eq!(anomalies(&split.test[..30]), 0);
        let mut drawn = sorted(split.train.iter().chain(&split.test).copied());
        drawn.dedup();
        assert_eq!(drawn.len(), 100);
        let other = super::split(&plain(), &spec, 0.0, 2).unwrap();
        assert_ne!(sorted(other.train), sorted(split.train));
        for one_in in [0, 1000] {
            let spec = SplitSpec::HalfOfSample { one_in };
            let synthetic: DatasetSpec = toml::from_str("name = 'synthetic'").unwrap();
            let refused = spec.check(&synthetic).err();
            let refused = refused.or_else(|| super::split(&plain(), &spec, 0.0, 1).err());
            assert_eq!(refused.unwrap().exit_code(), 2, "one-in = {one_in}");
        }
        let contaminated = super::split(&plain(), &spec, 0.1, 1).unwrap_err();
        assert!(contaminated.to_string().contains("contamination"), "{contaminated}");
    }

    #[test]
    fn attack_family_tests_on_one_family_and_shares_its_normal_rows_with_the_others() {
        let split = |family| {
            let spec = SplitSpec::AttackFamily { family };
            split(&attacks(), &spec, 0.0, 1).unwrap()
        };
        let (probe, dos) = (split(Family::Probe), split(Family::Dos));
        assert_eq!(probe.train, dos.train);
        assert_eq!((probe.train.len(), anomalies(&probe.train)), (400, 0));
        let normal = |rows: &[u32]| -> Vec<u32> {
            rows.iter().copied().filter(|row| row % 5 != 0).collect()
        };
        assert_eq!(normal(&probe.test), normal(&dos.test));
        assert_eq!(normal(&dos.test).len(), 400);
        let anomalous = |rows: &[u32]| sorted(rows.iter().copied().filter(|row| row % 5 == 0));
        assert_eq!(anomalous(&probe.test), (0..1001).step_by(10).collect::<Vec<u32>>());
        assert_eq!(anomalous(&dos.test), (5..1001).step_by(10).collect::<Vec<u32>>());
        let halves = super::split(&attacks(), &SplitSpec::HalfOfNormals, 0.0, 1).unwrap();
        assert_eq!(halves.train, dos.train);
    }

    #[test]
    fn a_split_that_the_data_set_cannot_give_is_refused_before_and_after_loading() {
        let probe = SplitSpec::AttackFamily { family: Family::Probe };
        let mut turned = attacks();
        turned.labels.iter_mut().for_each(|label| *label = !*label);
        let other = plain();
        let mut undivided = plain();
        undivided.official_train = None;
        for (dataset, spec, text, wanted) in [
            (&turned, probe, "name = 'kddcup'", "dataset.anomaly = \"attack\""),
            (&other, probe, "name = 'mnist'\nnormal-digit = 1", "dataset.name = \"kddcup\""),
            (&undivided, OFFICIAL, "name = 'synthetic'", "\"mnist\" or \"idx\""),
        ] {
            let after = split(dataset, &spec, 0.0, 1).unwrap_err();
            let before = spec.check(&toml::from_str(text).unwrap()).unwrap_err();
            assert_eq!((after.exit_code(), &after), (2, &before));
            assert!(before.to_string().contains(wanted), "{before}");
        }
        let attack = toml::from_str("name = 'kddcup'\nanomaly = 'attack'").unwrap();
        probe.check(&attack).unwrap();
        let digit = toml::from_str("name = 'mnist'\nanomaly-digit = 3").unwrap();
        OFFICIAL.check(&digit).unwrap();
        let all = rows(vec![true; 1001], Table::Dense(Vec::new()));
        let error = split(&all, &OFFICIAL, 0.0, 1).unwrap_err();
        assert_eq!(error.exit_code(), 3);
    }

    #[test]
    fn contamination_reaches_its_share_and_never_tests_what_it_trains() {
        for (spec, leave) in [
            (SplitSpec::HalfOfAll, false),
            (SplitSpec::HalfOfNormals, true),
            (OFFICIAL, false),
            (SplitSpec::AttackFamily { family: Family::Dos }, true),
        ] {
            let clean = split(&attacks(), &spec, 0.0, 3).unwrap();
            let split = split(&attacks(), &spec, 0.05, 3).unwrap();
            let added = anomalies(&split.train);
            let normal = split.train.len() - added;
            assert_eq!(normal, clean.train.len(), "the normal training rows stay the same");
            assert_eq!(added, (0.05 / 0.95 * normal as f64).round() as usize);
            let rows = sorted(split.train.iter().chain(&split.test).copied());
            assert!(rows.windows(2).all(|pair| pair[0] != pair[1]), "{spec:?} shares rows");
            let left = if leave { added } else { 0 };
            assert_eq!(split.test.len(), clean.test.len() - left);
        }
    }

    #[test]
    fn contamination_of_independent_halves_tests_no_anomaly_that_it_trains() {
        let spec = SplitSpec::IndependentHalves;
        let clean = split(&attacks(), &spec, 0.0, 3).unwrap();
        let split = split(&attacks(), &spec, 0.05, 3).unwrap();
        let added: Vec<u32> = split.train.iter().copied().filter(|row| row % 5 == 0).collect();
        assert_eq!(added.len(), (0.05f64 / 0.95 * 400.0).round() as usize);
        assert!(added.iter().all(|row| !split.test.contains(row)));
        assert_eq!(split.test.len(), clean.test.len() - added.len());
    }

    #[test]
    fn too_much_contamination_is_refused_with_the_numbers() {
        let error = split(&plain(), &SplitSpec::HalfOfAll, 0.5, 1).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("protocol.contamination = 0.5 needs"), "{error}");
        for share in [-0.1, 1.0, f64::NAN] {
            assert!(split(&plain(), &SplitSpec::HalfOfAll, share, 1).is_err());
        }
    }

    #[test]
    fn the_seed_decides_the_split_and_its_digest() {
        let digest = |seed| split(&plain(), &SplitSpec::HalfOfAll, 0.0, seed).unwrap().sha256();
        assert_eq!(digest(1), digest(1));
        assert_ne!(digest(1), digest(2));
        let moved = Split { train: vec![1], test: vec![2, 3] };
        assert_ne!(moved.sha256(), Split { train: vec![1, 2], test: vec![3] }.sha256());
    }

    #[test]
    fn unknown_kinds_and_keys_are_refused() {
        let parse = |text: &str| toml::from_str::<SplitSpec>(text);
        assert_eq!(parse("kind = 'half-of-all'").unwrap(), SplitSpec::HalfOfAll);
        assert_eq!(parse("kind = 'half-of-normals'").unwrap(), SplitSpec::HalfOfNormals);
        let written = toml::to_string(&SplitSpec::HalfOfAll).unwrap();
        assert_eq!(written, "kind = \"half-of-all\"\n");
        let probe = SplitSpec::AttackFamily { family: Family::Probe };
        assert_eq!(
            toml::to_string(&probe).unwrap(),
            "kind = \"attack-family\"\nfamily = \"probe\"\n"
        );
        for (name, family) in [("dos", Family::Dos), ("r2l", Family::R2l), ("u2r", Family::U2r)] {
            let text = format!("kind = 'attack-family'\nfamily = '{name}'");
            assert_eq!(parse(&text).unwrap(), SplitSpec::AttackFamily { family });
        }
        assert!(parse("kind = 'attack-family'").is_err());
        assert!(parse("kind = 'official'\nfamily = 'dos'").is_err());
        assert!(parse("kind = 'half'").is_err());
        assert!(parse("kind = 'half-of-all'\nshare = 0.5").is_err());
    }
}
