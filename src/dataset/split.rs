//! Which rows train and which test. One permutation per seed decides, and the model does not enter,
//! so two models under one seed see the same split. Touches labels only, never values.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

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
}

/// What is read in its stead: serde refuses unknown keys beside a variant with braces only.
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
enum SplitTable {
    HalfOfAll {},
    HalfOfNormals {},
}

impl From<SplitTable> for SplitSpec {
    fn from(table: SplitTable) -> Self {
        match table {
            SplitTable::HalfOfAll {} => Self::HalfOfAll,
            SplitTable::HalfOfNormals {} => Self::HalfOfNormals,
        }
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

/// Splits the rows with these labels (true = anomaly). Of an odd number the training half is the
/// smaller one.
///
/// With a `contamination` c > 0, anomalies join the training rows until they are the share c of
/// them (rounded to whole rows): for `half-of-all` anomalies of the training half, which tests
/// would otherwise never see; for `half-of-normals`, whose training half has none, anomalies that
/// leave the test rows. [`Error::Usage`] if c is outside [0, 1) or there are too few of them.
pub fn split(labels: &[bool], spec: &SplitSpec, contamination: f64, seed: u64) -> Result<Split> {
    if !(0.0..1.0).contains(&contamination) {
        return Err(Error::Usage(format!(
            "protocol.contamination is {contamination}; it is a share, at least 0 and below 1"
        )));
    }
    let mut numbers = Numbers::new(seed, Stream::Split, 0);
    let order = numbers.permutation(labels.len());
    let anomaly = |row: &u32| labels[*row as usize];
    let mut part = vec![Part::Test; labels.len()];
    let (normal, anomalies): (Vec<u32>, Vec<u32>) = match spec {
        SplitSpec::HalfOfAll => {
            let half = &order[..labels.len() / 2];
            half.iter().for_each(|&row| part[row as usize] = Part::Neither);
            half.iter().partition(|row| !anomaly(row))
        }
        SplitSpec::HalfOfNormals => {
            let (normal, anomalies): (Vec<u32>, _) =
                (0..labels.len() as u32).partition(|row| !anomaly(row));
            // drawn apart from the order: by place in it, the test rows would begin with a stretch
            // of anomalies, and their order would not be random
            (pick(&mut numbers, &normal, normal.len() / 2), anomalies)
        }
    };
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

/// What becomes of a row.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    Train,
    Test,
    /// An anomaly of the training half.
    Neither,
}

/// `count` of `rows`, at random.
fn pick(numbers: &mut Numbers, rows: &[u32], count: usize) -> Vec<u32> {
    let chosen = &numbers.permutation(rows.len())[..count];
    chosen.iter().map(|&place| rows[place as usize]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1001 rows, every fifth an anomaly: 201 anomalies, 800 normal rows.
    fn labels() -> Vec<bool> {
        (0..1001).map(|row| row % 5 == 0).collect()
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
        let split = split(&labels(), &SplitSpec::HalfOfAll, 0.0, 1).unwrap();
        let order = Numbers::new(1, Stream::Split, 0).permutation(1001);
        assert_eq!(split.test, order[500..]);
        let normal = order[..500].iter().copied().filter(|&row| !labels()[row as usize]);
        assert_eq!(split.train, normal.collect::<Vec<u32>>());
    }

    #[test]
    fn half_of_normals_tests_on_every_anomaly_in_one_random_order() {
        let split = split(&labels(), &SplitSpec::HalfOfNormals, 0.0, 1).unwrap();
        assert_eq!((split.train.len(), anomalies(&split.train)), (400, 0));
        assert_eq!((split.test.len(), anomalies(&split.test)), (601, 201));
        let all = split.train.iter().chain(&split.test).copied();
        assert_eq!(sorted(all), (0..1001).collect::<Vec<u32>>());
        // mixed: both halves of the test list hold anomalies in about their share
        // a random order has about as many anomalies in its first half (100 ± 6) as in its second,
        // also when some of them have left to contaminate the training rows
        for contamination in [0.0, 0.2] {
            let test = super::split(&labels(), &SplitSpec::HalfOfNormals, contamination, 1);
            let test = test.unwrap().test;
            let expected = anomalies(&test) as f64 / 2.0;
            let first = anomalies(&test[..test.len() / 2]) as f64;
            assert!((first - expected).abs() < 25.0, "{first} anomalies come first");
        }
    }

    #[test]
    fn contamination_reaches_its_share_and_never_tests_what_it_trains() {
        for spec in [SplitSpec::HalfOfAll, SplitSpec::HalfOfNormals] {
            let clean = split(&labels(), &spec, 0.0, 3).unwrap();
            let split = split(&labels(), &spec, 0.05, 3).unwrap();
            let added = anomalies(&split.train);
            let normal = split.train.len() - added;
            assert_eq!(normal, clean.train.len(), "the normal training rows stay the same");
            assert_eq!(added, (0.05 / 0.95 * normal as f64).round() as usize);
            let rows = sorted(split.train.iter().chain(&split.test).copied());
            assert!(rows.windows(2).all(|pair| pair[0] != pair[1]), "{spec:?} shares rows");
            let left = match spec {
                SplitSpec::HalfOfAll => 0,
                SplitSpec::HalfOfNormals => added,
            };
            assert_eq!(split.test.len(), clean.test.len() - left);
        }
    }

    #[test]
    fn too_much_contamination_is_refused_with_the_numbers() {
        let error = split(&labels(), &SplitSpec::HalfOfAll, 0.5, 1).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("protocol.contamination = 0.5 needs"), "{error}");
        for share in [-0.1, 1.0, f64::NAN] {
            assert!(split(&labels(), &SplitSpec::HalfOfAll, share, 1).is_err());
        }
    }

    #[test]
    fn the_seed_decides_the_split_and_its_digest() {
        let digest = |seed| split(&labels(), &SplitSpec::HalfOfAll, 0.0, seed).unwrap().sha256();
        assert_eq!(digest(1), digest(1));
        assert_ne!(digest(1), digest(2));
        let moved = Split { train: vec![1], test: vec![2, 3] };
        assert_ne!(moved.sha256(), Split { train: vec![1, 2], test: vec![3] }.sha256());
    }

    #[test]
    fn unknown_kinds_and_keys_are_refused() {
        let parse = toml::from_str::<SplitSpec>;
        assert_eq!(parse("kind = 'half-of-all'").unwrap(), SplitSpec::HalfOfAll);
        assert_eq!(parse("kind = 'half-of-normals'").unwrap(), SplitSpec::HalfOfNormals);
        let written = toml::to_string(&SplitSpec::HalfOfAll).unwrap();
        assert_eq!(written, "kind = \"half-of-all\"\n");
        assert!(parse("kind = 'half'").is_err());
        assert!(parse("kind = 'half-of-all'\nshare = 0.5").is_err());
    }
}
