//! Scores that were made elsewhere become records: the same splits, thresholds and metrics as for any run,
//! under an identity of their own. The key has the digest of the file, and no word of a method of
//! seedbed's, so that no such record is ever taken for a run that seedbed made, nor resumed or verified as
//! one.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::{Pattern, job, same_rows};
use crate::digest::sha256;
use crate::error::{Error, Result};
use crate::experiment::{Cell, CellName, Experiment};
use crate::machine::Versions;
use crate::method::score_file::ScoreFile;
use crate::method::{Ending, Prepared, Run, Scored};
use crate::model::{ModelSpec, ScoresSpec};
use crate::report;
use crate::store::record::{Elsewhere, Record};
use crate::store::{Store, Stored, Wanted};
use crate::summary;

/// Where the files of scores lie.
#[derive(Debug, Clone)]
pub struct Files {
    pub test: Pattern,
    /// Of the training rows, where a threshold ranks them.
    pub train: Option<Pattern>,
}

/// Where a run's scores were made, in the record's provenance.
const DEVICE: &str = "elsewhere";

/// Judges a file of scores for each cell of an experiment of scores ([`Experiment::of_scores`]) and each of
/// its seeds. Nothing is stored: where one file is wrong there are no records.
///
/// # Errors
/// `Usage` for patterns that do not tell runs apart, `Data` for files that are missing or wrong, and data
/// that are.
pub fn judge(
    experiment: &Experiment,
    cells: &[Cell],
    files: &Files,
    search: &[PathBuf],
) -> Result<Vec<Record>> {
    let cells: Vec<&Cell> = cells.iter().collect();
    check(experiment, &cells, files)?;
    let mut records = Vec::new();
    for group in same_rows(experiment, &cells) {
        let job = job(experiment, &group, search);
        let prepared = Prepared::without_runs(&job)?;
        for &seed in &experiment.seeds {
            let run = prepared.run(0, seed)?;
            let labels = prepared.labels(&run);
            for place in 0..group.len() {
                records.push(record(&prepared, (&run, place), &labels, files)?);
            }
        }
    }
    records.sort_by(|a, b| (&a.cell.label, a.seed).cmp(&(&b.cell.label, b.seed)));
    Ok(records)
}

/// Refuses patterns before anything is read.
fn check(experiment: &Experiment, cells: &[&Cell], files: &Files) -> Result<()> {
    let seeds = &experiment.seeds;
    files.test.tells_apart(cells.len(), seeds.len())?;
    let ranked: Vec<&&Cell> =
        cells.iter().filter(|cell| cell.protocol.scores_training_rows()).collect();
    match (&files.train, ranked.first()) {
        (Some(_), None) => {
            let what =
                "--train-scores: no threshold of these cells ranks training rows; leave it out";
            return Err(Error::Usage(what.to_owned()));
        }
        (None, Some(cell)) => {
            return Err(Error::Usage(format!(
                "the threshold of cell {} ranks the training rows too: name their scores with \
                 --train-scores",
                cell.label
            )));
        }
        (Some(train), Some(_)) => train.tells_apart(ranked.len(), seeds.len())?,
        (None, None) => {}
    }
    let run =
        |cell: &Cell| seeds.iter().map(|seed| (cell.label.clone(), *seed)).collect::<Vec<_>>();
    let test =
        cells.iter().flat_map(|cell| run(cell)).map(|(cell, seed)| files.test.path(&cell, seed));
    let train = files.train.iter().flat_map(|train| {
        let runs = ranked.iter().flat_map(|cell| run(cell));
        runs.map(|(cell, seed)| train.path(&cell, seed))
    });
    let all: Vec<PathBuf> = test.chain(train).collect();
    let missing: Vec<&PathBuf> = all.iter().filter(|path| !path.exists()).collect();
    let Some(first) = missing.first() else { return Ok(()) };
    Err(Error::Data(format!(
        "{} of {} files of scores are missing, such as {}: name the seeds that there are with --seeds, and \
         the cells with --cell",
        missing.len(),
        all.len(),
        first.display()
    )))
}

/// Judges one run of the job's cell of this number.
fn record(
    prepared: &Prepared,
    (run, place): (&Run, usize),
    labels: &[bool],
    files: &Files,
) -> Result<Record> {
    let cell = &prepared.job.cells[place];
    let read = |pattern: &Pattern, rows: usize| {
        let path = pattern.path(&cell.label, run.seed);
        let file = ScoreFile::read(&path, rows)
            .map_err(|fault| Error::Data(format!("{}{fault}", path.display())))?;
        Ok((path, file))
    };
    let (path, test) = read(&files.test, run.split.test.len())?;
    let ranked = cell.protocol.scores_training_rows();
    let train = files.train.as_ref().filter(|_| ranked);
    let train = train.map(|pattern| read(pattern, run.split.train.len())).transpose()?;
    let digest = |file: &ScoreFile| sha256(&file.bytes);
    let sha256 = digest(&test);
    let train_sha256 = train.as_ref().map(|(_, file)| digest(file)).unwrap_or_default();
    let elsewhere = Elsewhere {
        scores: path.display().to_string(),
        train_scores: train.as_ref().map(|(path, _)| path.display().to_string()),
    };
    let (test, train) = (test.scores, train.map(|(_, file)| file.scores));
    let scored = Scored { train, test_error: vec![f64::NAN; test.len()], test, broken: None };
    let outcome = prepared.measure(run, place, &scored, labels);
    if let Err((_, why)) = &outcome {
        return Err(Error::Data(format!("{}: {why}", path.display())));
    }
    let mut provenance = Versions::of_build(String::new()).provenance(DEVICE, 1);
    provenance.elsewhere = Some(elsewhere);
    let ending = Ending { outcome, curve: Vec::new(), terms: Vec::new(), wall: 0.0, provenance };
    let record = prepared.record(run, place, ending);
    Ok(with_files(record, sha256, train_sha256))
}

/// Gives a record the identity of its files.
fn with_files(mut record: Record, sha256: String, train_sha256: String) -> Record {
    if let ModelSpec::Scores(spec) = &record.cell.model {
        let settings = spec.settings.clone();
        record.cell.model = ModelSpec::Scores(ScoresSpec { settings, sha256, train_sha256 });
    }
    record.batch_width = 1;
    let Record { cell, seed, digests, device_kind, .. } = &record;
    record.key = crate::store::key(cell, *seed, &digests.data, device_kind);
    record
}

/// How many records were stored, and how many were there already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Judged {
    pub stored: usize,
    pub known: usize,
}

/// Stores records of scores, all or none; those that are there stay as they are.
///
/// # Errors
/// `Usage` where a folder holds runs that seedbed made, or (unless `replace`) scores of another file;
/// `Data` for runs of different seeds with the same scores; and those of the store.
pub fn store(
    records: &[Record],
    out: &Path,
    replace: bool,
    tell: &mut dyn FnMut(&str),
) -> Result<Judged> {
    let Some(first) = records.first() else { return Ok(Judged::default()) };
    let mut store = Store::open(out, &first.experiment);
    let (there, unreadable) = store.load_all()?;
    refuse_others(&store, &there)?;
    for why in unreadable {
        tell(&why);
    }
    let place = |record: &Record| (record.cell.label.clone(), record.seed);
    let known: HashMap<(CellName, u64), &Record> =
        there.iter().map(|record| (place(record), record)).collect();
    let mut open: Vec<&Record> = Vec::new();
    for record in records {
        match known.get(&place(record)) {
            Some(known) if known.key == record.key && known.scale == record.scale => {}
            Some(known) if !replace => return Err(refuse_replacing(&store, known, record)?),
            Some(_) | None => open.push(record),
        }
    }
    let replaced: HashSet<(CellName, u64)> = open.iter().map(|record| place(record)).collect();
    let stays = there.iter().filter(|known| !replaced.contains(&place(known)));
    let all: Vec<Record> = stays.chain(open.iter().copied()).cloned().collect();
    summary::refuse_shared_digests(&report::rows_of(&all))?;
    store.settle()?;
    for record in &open {
        if let Some(aside) = store.put(record)? {
            tell(&format!("kept what was no record as {}", aside.display()));
        }
    }
    Ok(Judged { stored: open.len(), known: records.len() - open.len() })
}

/// Refuses a folder of runs that seedbed made, by records or by the rows of its table.
fn refuse_others(store: &Store, there: &[Record]) -> Result<()> {
    let table = store.dir().join("runs.csv");
    let of_records = there.iter().any(|record| !record.cell.model.is_elsewhere());
    let of_rows = || {
        let rows = report::published::rows(&table)?;
        Ok::<_, Error>(rows.iter().any(|row| !row.is_elsewhere()))
    };
    if !of_records && !of_rows()? {
        return Ok(());
    }
    Err(Error::Usage(format!(
        "{} holds runs that seedbed made, and scores from elsewhere need a folder of their own: name another \
         with --out DIR",
        store.dir().display()
    )))
}

/// Says which record other scores would take the place of.
fn refuse_replacing(store: &Store, known: &Record, record: &Record) -> Result<Error> {
    let wanted = Wanted {
        cell: &record.cell,
        seed: record.seed,
        scale: record.scale,
        data_sha256: &record.digests.data,
        device_kind: None,
    };
    let differs = match store.get(&wanted)? {
        Stored::Different(_, parts) => parts.join(", "),
        // an experiment asks for no file, so only the files differ
        Stored::Same(_) | Stored::Missing | Stored::Unreadable(_) => {
            "another file of scores".to_owned()
        }
    };
    Ok(Error::Usage(format!(
        "{} is the record of other scores ({differs}), and these would take its place: keep it with --out \
         DIR, or give --replace",
        store.path(&known.cell.label, known.seed).display()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::Selection;
    use crate::method::score_file;
    use crate::store::record::State;

    const TEXT: &str = r#"name = "made-up"
title = "Made-up rows"
runs = 2

[dataset]
name = "synthetic"
rows = 300

[protocol]
split = { kind = "half-of-all" }
threshold = { top = 0.2, of = "test" }

[model]
name = "pca"
components = 2

[axes]
"model.components" = [1, 2]
"#;

    fn experiment() -> Experiment {
        let path = Path::new("made-up.toml");
        Experiment::parse(path, TEXT, &Selection::default()).unwrap().of_scores()
    }

    /// A file of scores for each run, which differ by `by`.
    fn files(folder: &Path, by: f64) -> Files {
        for (number, cell) in ["components=1", "components=2"].into_iter().enumerate() {
            std::fs::create_dir_all(folder.join(cell)).unwrap();
            for seed in 1..=2 {
                let start = by + number as f64 + 10.0 * seed as f64;
                let scores: Vec<f64> = (0..150).map(|row| (start * row as f64).sin()).collect();
                score_file::write(&folder.join(cell).join(format!("{seed}.npy")), &scores).unwrap();
            }
        }
        let text = format!("{}/{{cell}}/{{seed}}.npy", folder.display());
        Files { test: Pattern::parse("--scores", &text).unwrap(), train: None }
    }

    fn judged(files: &Files) -> Result<Vec<Record>> {
        let experiment = experiment();
        judge(&experiment, &experiment.cells, files, &[])
    }

    #[test]
    fn a_record_of_scores_has_the_identity_of_its_file_and_of_no_method() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path(), 0.0);
        let records = judged(&files).unwrap();
        assert_eq!(records.len(), 4);
        let bytes = std::fs::read(folder.path().join("components=1/1.npy")).unwrap();
        let ModelSpec::Scores(spec) = &records[0].cell.model else { panic!("{records:?}") };
        assert_eq!((spec.sha256.clone(), spec.train_sha256.as_str()), (sha256(&bytes), ""));
        let record = &records[0];
        assert_eq!((record.state, record.provenance.device.as_str()), (State::Ok, "elsewhere"));
        let named = record.provenance.elsewhere.as_ref().unwrap();
        assert!(named.scores.ends_with("components=1/1.npy") && named.train_scores.is_none());
        let trained = Experiment::parse(Path::new("made-up.toml"), TEXT, &Selection::default());
        let trained = trained.unwrap();
        let data = &record.digests.data;
        assert_ne!(record.key, crate::store::key(&trained.cells[0], 1, data, "cpu"));
        // other scores of the same run are another run
        let others = judged(&self::files(folder.path(), 0.5)).unwrap();
        assert!(others.iter().zip(&records).all(|(a, b)| a.key != b.key));
        assert_eq!(others[0].digests.split, records[0].digests.split);
    }

    #[test]
    fn all_are_stored_or_none_and_nothing_takes_the_place_of_others_unasked() {
        let (folder, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let first = judged(&files(folder.path(), 0.0)).unwrap();
        let put = |records: &[Record], replace| store(records, out.path(), replace, &mut |_| {});
        let there = || Store::open(out.path(), "made-up").load_all().unwrap().0;
        assert_eq!(put(&first, false), Ok(Judged { stored: 4, known: 0 }));
        assert_eq!(put(&first, false), Ok(Judged { stored: 0, known: 4 }));
        let second = judged(&files(folder.path(), 0.5)).unwrap();
        let error = put(&second, false).unwrap_err().to_string();
        assert!(error.contains("another file of scores") && error.contains("--replace"), "{error}");
        assert_eq!(there(), first);
        assert_eq!(put(&second, true), Ok(Judged { stored: 4, known: 0 }));
        assert_eq!(there(), second);
        // one score file under two seeds is one run, twice
        let (digests, key) = (second[0].digests.clone(), "another".to_owned());
        let twin = Record { digests, key, ..second[1].clone() };
        let error = put(&[twin], true).unwrap_err().to_string();
        assert!(error.contains("share their"), "{error}");
        assert_eq!(there(), second);
        // seedbed's own runs stay alone
        let own = tempfile::tempdir().unwrap();
        let trained = Experiment::parse(Path::new("made-up.toml"), TEXT, &Selection::default());
        let trained = trained.unwrap();
        let job = crate::store::record::Job::of("made-up", trained.scale, trained.cells, vec![1]);
        Store::open(own.path(), "made-up")
            .put(&Record::of(&job, &job.cells[0], 1, "d").ended_well())
            .unwrap();
        let error = store(&first, own.path(), true, &mut |_| {}).unwrap_err().to_string();
        assert!(error.contains("holds runs that seedbed made"), "{error}");
    }

    #[test]
    fn what_is_missing_or_wrong_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path(), 0.0);
        let place = folder.path().join("components=2/2.npy");
        score_file::write(&place, &[0.0; 149]).unwrap();
        let error = judged(&files).unwrap_err();
        assert_eq!(error.exit_code(), 3);
        assert!(error.to_string().contains("components=2/2.npy has the shape [149]"), "{error}");
        std::fs::remove_file(&place).unwrap();
        let error = judged(&files).unwrap_err().to_string();
        assert!(error.contains("1 of 4 files of scores are missing"), "{error}");
        let train = Files { train: Some(files.test.clone()), ..files };
        let error = judged(&train).unwrap_err().to_string();
        assert!(error.contains("no threshold of these cells ranks training rows"), "{error}");
    }
}
