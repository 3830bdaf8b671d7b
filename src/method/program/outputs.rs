//! What a program may write beside scores: `curve.csv` and `diagnostics.json`. Read with bounds: whatever
//! stands there goes into a record.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value};

use super::{Failure, crashed};
use crate::store::record::State;

const CURVE: &str = "curve.csv";
const DIAGNOSTICS: &str = "diagnostics.json";

const LARGEST_CURVE: u64 = 1 << 24;
const LARGEST_DIAGNOSTICS: u64 = 1 << 16;
const MOST_TERMS: usize = 32;
const MOST_DIAGNOSTICS: usize = 256;
const LONGEST_NAME: usize = 64;

/// What seedbed measures itself, under these names.
const RESERVED: [&str; 4] = [
    "bayes_auroc",
    "reconstruction_error_anomaly_test",
    "reconstruction_error_normal_test",
    "score_train",
];

/// The ends of names that seedbed makes of the loss's terms.
const RESERVED_ENDS: [&str; 2] = ["_first_epoch", "_last_epoch"];

/// Reads `curve.csv`: the terms of the loss, and their means, an entry an epoch. Both are empty where there
/// is no such file.
pub fn curve(folder: &Path) -> Result<(Vec<String>, Vec<Vec<f64>>), Failure> {
    let Some(text) = text_of(folder, CURVE, LARGEST_CURVE)? else {
        return Ok((Vec::new(), Vec::new()));
    };
    let mut reader = csv::ReaderBuilder::new();
    let mut reader = reader.trim(csv::Trim::All).from_reader(text.as_bytes());
    let unreadable = |error: csv::Error| wrong(CURVE, &format!("cannot be read: {error}"));
    let header = reader.headers().map_err(unreadable)?.clone();
    let terms = terms(header.iter().map(str::to_owned).collect())?;
    let mut curve = Vec::new();
    for record in reader.records() {
        let record = record.map_err(unreadable)?;
        let epoch = 1 + curve.len();
        if record[0].parse() != Ok(epoch) {
            let found = record[0].chars().take(40).collect::<String>();
            let found = found.escape_debug();
            return Err(wrong(CURVE, &format!("has the epoch '{found}' in the place of {epoch}")));
        }
        let means = terms.iter().zip(record.iter().skip(1)).map(|(term, mean)| {
            let mean: f64 = mean.parse().map_err(|_| {
                wrong(CURVE, &format!("holds a {term} in epoch {epoch} that is no number"))
            })?;
            match mean.is_finite() {
                true => Ok(mean),
                false => {
                    Err((State::Diverged, format!("{CURVE}: {term} of epoch {epoch} is {mean}")))
                }
            }
        });
        curve.push(means.collect::<Result<Vec<f64>, Failure>>()?);
    }
    Ok((terms, curve))
}

/// The names of a curve's columns but the first.
fn terms(header: Vec<String>) -> Result<Vec<String>, Failure> {
    let is_one = header.len() >= 2 && header[0] == "epoch" && header[1] == "loss";
    let mut names = header.into_iter().skip(1).collect::<Vec<_>>();
    let all = names.len();
    if !is_one || all > MOST_TERMS || !names.iter().all(|name| is_plain(name)) {
        let what = "has another header than epoch,loss and up to 31 more plain names";
        return Err(wrong(CURVE, what));
    }
    let terms = names.clone();
    names.sort_unstable();
    names.dedup();
    if names.len() == all { Ok(terms) } else { Err(wrong(CURVE, "names a column twice")) }
}

/// Reads `diagnostics.json`: numbers by their names; none where there is no such file.
pub fn diagnostics(folder: &Path) -> Result<BTreeMap<String, f64>, Failure> {
    let Some(text) = text_of(folder, DIAGNOSTICS, LARGEST_DIAGNOSTICS)? else {
        return Ok(BTreeMap::new());
    };
    let wrong = |what: &str| wrong(DIAGNOSTICS, what);
    let found: Map<String, Value> = serde_json::from_str(&text)
        .map_err(|error| wrong(&format!("is no JSON object (NaN is no JSON): {error}")))?;
    if found.len() > MOST_DIAGNOSTICS {
        return Err(wrong(&format!(
            "holds {} numbers; {MOST_DIAGNOSTICS} are the limit",
            found.len()
        )));
    }
    let mut numbers = BTreeMap::new();
    for (name, value) in found {
        let shown: String = name.chars().take(LONGEST_NAME).collect();
        let shown = shown.escape_debug();
        if !is_plain(&name) {
            let what = "letters, digits, '_', '-' and '.' make a name, at most 64";
            return Err(wrong(&format!("has the name '{shown}': {what}")));
        }
        let is_own = |end: &&str| name.ends_with(end);
        if RESERVED.contains(&name.as_str()) || RESERVED_ENDS.iter().any(is_own) {
            return Err(wrong(&format!(
                "has the name '{shown}', under which seedbed measures itself"
            )));
        }
        match value.as_f64().filter(|number| number.is_finite()) {
            Some(number) => {
                numbers.insert(name, number);
            }
            None => return Err(wrong(&format!("has a '{shown}' that is no number"))),
        }
    }
    Ok(numbers)
}

fn is_plain(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    !name.is_empty() && name.len() <= LONGEST_NAME && name.chars().all(plain)
}

fn wrong(name: &str, what: &str) -> Failure {
    crashed(&format!("{name} {what}"))
}

/// The text of a file; none where there is no such file.
fn text_of(folder: &Path, name: &str, most: u64) -> Result<Option<String>, Failure> {
    let path = folder.join(name);
    let found = match path.symlink_metadata() {
        Ok(found) => found,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(wrong(name, &format!("cannot be read: {error}"))),
    };
    if !found.is_file() {
        return Err(wrong(name, "is no regular file"));
    }
    if found.len() > most {
        return Err(wrong(name, &format!("has {} bytes; {most} is the limit", found.len())));
    }
    let mut text = String::new();
    let read = File::open(&path).and_then(|file| file.take(most).read_to_string(&mut text));
    read.map_err(|error| wrong(name, &format!("cannot be read: {error}")))?;
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str, text: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(name), text).unwrap();
        folder
    }

    #[test]
    fn a_curve_has_an_epoch_a_line_and_the_loss_first() {
        let of = |text: &str| curve(folder(CURVE, text).path());
        let none = curve(tempfile::tempdir().unwrap().path()).unwrap();
        assert_eq!(none, (Vec::new(), Vec::new()));
        let (terms, means) = of("epoch,loss,kl\n1,0.5,1e-3\n2, 0.25 ,0\n").unwrap();
        assert_eq!(terms, ["loss", "kl"]);
        assert_eq!(means, [[0.5, 1e-3], [0.25, 0.0]]);
        assert_eq!(of("epoch,loss\n").unwrap().1, Vec::<Vec<f64>>::new());
        for (text, words) in [
            ("", "another header"),
            ("loss\n1\n", "another header"),
            ("epoch,loss,a b\n", "another header"),
            ("epoch,loss,kl,kl\n", "names a column twice"),
            ("epoch,loss\n0,0.5\n", "the epoch '0' in the place of 1"),
            ("epoch,loss\n1,0.5\n1,0.5\n", "the epoch '1' in the place of 2"),
            ("epoch,loss\n1,x\n", "holds a loss in epoch 1 that is no number"),
            ("epoch,loss\n1,0.5,0.5\n", "cannot be read"),
        ] {
            let (state, why) = of(text).unwrap_err();
            assert!(state == State::Crashed && why.contains(words), "{text:?}: {why}");
        }
        let diverged = (State::Diverged, "curve.csv: loss of epoch 2 is NaN".to_owned());
        assert_eq!(of("epoch,loss\n1,0.5\n2,nan\n").unwrap_err(), diverged);
    }

    #[test]
    fn diagnostics_are_numbers_under_names_that_are_not_seedbeds() {
        let of = |text: &str| diagnostics(folder(DIAGNOSTICS, text).path());
        assert_eq!(diagnostics(tempfile::tempdir().unwrap().path()), Ok(BTreeMap::new()));
        let found = of(r#"{"trees.used": 100, "seconds": 1.5}"#).unwrap();
        assert_eq!(found, [("seconds".to_owned(), 1.5), ("trees.used".to_owned(), 100.0)].into());
        let many: Vec<String> = (0..257).map(|number| format!("\"a{number}\": 1")).collect();
        for (text, words) in [
            ("[1]", "is no JSON object"),
            (r#"{"a": NaN}"#, "is no JSON object"),
            (r#"{"a": "1"}"#, "has a 'a' that is no number"),
            (r#"{"a": true}"#, "has a 'a' that is no number"),
            (r#"{"a b": 1}"#, "has the name 'a b'"),
            (r#"{"bayes_auroc": 1}"#, "under which seedbed measures itself"),
            (r#"{"kl_last_epoch": 1}"#, "under which seedbed measures itself"),
            (&format!("{{{}}}", many.join(",")), "256 are the limit"),
            (&" ".repeat(70_000), "65536 is the limit"),
        ] {
            let (state, why) = of(text).unwrap_err();
            assert!(state == State::Crashed && why.contains(words), "{why}");
        }
        let place = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/dev/zero", place.path().join(DIAGNOSTICS)).unwrap();
        assert!(diagnostics(place.path()).unwrap_err().1.contains("no regular file"));
    }
}
