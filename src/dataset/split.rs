//! Which rows train and which test. One permutation per seed decides, and the model does not enter,
//! so two models under one seed see the same split. Touches labels, families and the data set's own
//! division into files, never values.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Anomaly, Dataset, DatasetSpec, Family, Shape};
use crate::error::{Error, Result};
use crate::random::{Numbers, Stream};

/// The `split` of a `[protocol]` table: `{ kind = "half-of-all" }`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", from = "SplitTable")]
pub enum SplitSpec {
    /// Zong et al. (2018): a random half of all rows is for training, and only its normal
    /// rows train; all rows of the other half are for testing.
    HalfOfAll,
    /// danieltan07: a random half of the normal rows trains; the other half and all anomalies test.
    HalfOfNormals,
    /// The normal rows of the data set's own training files train; all rows of its test files test.
    Official,
    /// After An & Cho (2015): a random half of the normal rows trains; the other half and all attacks
    /// of one family test. Under one seed every family has the same normal rows on either side.
    AttackFamily { family: Family },
}

/// What is read in its stead: serde refuses unknown keys beside a variant with braces only.
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
enum SplitTable {
    HalfOfAll {},
    HalfOfNormals {},
    Official {},
    AttackFamily { family: Family },
}

impl From<SplitTable> for SplitSpec {
    fn from(table: SplitTable) -> Self {
        match table {
            SplitTable::HalfOfAll {} => Self::HalfOfAll,
            SplitTable::HalfOfNormals {} => Self::HalfOfNormals,
            SplitTable::Official {} => Self::Official,
            SplitTable::AttackFamily { family } => Self::AttackFamily { family },
        }
    }
}

impl SplitSpec {
    /// Refuses a split that the data set cannot give, with [`Error::Usage`] naming the keys.
    pub fn check(&self, dataset: &DatasetSpec) -> Result<()> {
        let possible = match (self, dataset) {
            (Self::HalfOfAll | Self::HalfOfNormals, _) => true,
            (Self::Official, DatasetSpec::Mnist(_) | DatasetSpec::Idx(_)) => true,
            (Self::Official, DatasetSpec::Kddcup(_) | DatasetSpec::Synthetic(_)) => false,
            (Self::AttackFamily { .. }, DatasetSpec::Kddcup(spec)) => {
                spec.anomaly == Anomaly::Attack
            }
            (
                Self::AttackFamily { .. },
                DatasetSpec::Mnist(_) | DatasetSpec::Idx(_) | DatasetSpec::Synthetic(_),
            ) => false,
        };
        if possible { Ok(()) } else { Err(self.impossible()) }
    }

    /// Bounds on the numbers of training and test rows that it makes.
    pub fn at_most(&self, shape: &Shape) -> (usize, usize) {
        let Shape { rows, official_train, .. } = *shape;
        match self {
            Self::HalfOfAll => (rows / 2, rows.div_ceil(2)),
            Self::HalfOfNormals | Self::AttackFamily { .. } => (rows / 2, rows),
            Self::Official => official_train.map_or((rows, rows), |train| (train, rows - train)),
        }
    }

    fn impossible(&self) -> Error {
        let what = match self {
            Self::HalfOfAll | Self::HalfOfNormals => "rows",
            Self::Official => {
                "a data set with training and test files of its own: dataset.name = \"mnist\" or \"idx\""
            }
            Self::AttackFamily { .. } => {
                "attacks as anomalies: dataset.name = \"kddcup\" with dataset.anomaly = \"attack\""
            }
        };
        let kind = match self {
            Self::HalfOfAll => "half-of-all",
            Self::HalfOfNormals => "half-of-normals",
            Self::Official => "official",
            Self::AttackFamily { .. } => "attack-family",
        };
        Error::Usage(format!("protocol.split of kind \"{kind}\" needs {what}"))
    }
}

/// Row numbers, both lists in the order of one random permutation of all rows. No row is in both.
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
        super::hex(hasher)
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
    normal.iter().chain(&added).for_each(|&row| part[row as usize] = Part::Train);
    let rows = |wanted| order.iter().copied().filter(|&row| part[row as usize] == wanted).collect();
    Ok(Split { train: rows(Part::Train), test: rows(Part::Test) })
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
        SplitSpec::Official => {
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
    if normal.is_empty() && *spec == SplitSpec::Official {
        return Err(Error::Data("the data set's training files have no normal row".into()));
    }
    Ok(Parts { part, normal, anomalies })
}

/// What becomes of a row.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    Train,
    Test,
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
        let split = split(&plain(), &SplitSpec::Official, 0.0, 1).unwrap();
        let normal = (0..600).filter(|&row| !labels()[row as usize]);
        assert_eq!(sorted(split.train.clone()), normal.collect::<Vec<u32>>());
        assert_eq!(sorted(split.test.clone()), (600..1001).collect::<Vec<u32>>());
        // in the order of the seed's permutation
        let order = Numbers::new(1, Stream::Split, 0).permutation(1001);
        let test = order.into_iter().filter(|&row| row >= 600);
        assert_eq!(split.test, test.collect::<Vec<u32>>());
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
            (&undivided, SplitSpec::Official, "name = 'synthetic'", "\"mnist\" or \"idx\""),
        ] {
            let after = split(dataset, &spec, 0.0, 1).unwrap_err();
            let before = spec.check(&toml::from_str(text).unwrap()).unwrap_err();
            assert_eq!((after.exit_code(), &after), (2, &before));
            assert!(before.to_string().contains(wanted), "{before}");
        }
        let attack = toml::from_str("name = 'kddcup'\nanomaly = 'attack'").unwrap();
        probe.check(&attack).unwrap();
        let digit = toml::from_str("name = 'mnist'\nanomaly-digit = 3").unwrap();
        SplitSpec::Official.check(&digit).unwrap();
        let all = rows(vec![true; 1001], Table::Dense(Vec::new()));
        let error = split(&all, &SplitSpec::Official, 0.0, 1).unwrap_err();
        assert_eq!(error.exit_code(), 3);
    }

    #[test]
    fn contamination_reaches_its_share_and_never_tests_what_it_trains() {
        for (spec, leave) in [
            (SplitSpec::HalfOfAll, false),
            (SplitSpec::HalfOfNormals, true),
            (SplitSpec::Official, false),
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
