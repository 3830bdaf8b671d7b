//! The subcommands `lock` and `verify --lock`: which runs a folder of results holds, written down and
//! compared. Nothing here trains, and nothing needs an experiment's file.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use serde_json::json;

use seedbed::error::{Error, Result};
use seedbed::files;
use seedbed::report;
use seedbed::report::lock::{self, Difference, Digests, Form, Lock, Locked};
use seedbed::report::published;
use seedbed::store::Store;
use seedbed::store::whole;
use seedbed::summary::Row;

use crate::output::{print, print_json};

/// Writes `results.lock` of these experiments, or of all that have runs below `out`.
pub fn lock(names: &[String], out: &Path) -> Result<u8> {
    let folders = chosen(names, out)?;
    let mut all = locked_runs(&folders, out, Form::Fields)?;
    if all.is_empty() {
        return Err(Error::Data(format!(
            "{} holds no run; name a folder of results with --out",
            out.display()
        )));
    }
    let path = out.join(lock::FILE);
    if path.symlink_metadata().is_ok() {
        let earlier = files::read_text(&path, files::LARGEST_TABLE)
            .map_err(|error| Error::of_file("read", &path, &error))?;
        let earlier = lock::read(&earlier)
            .map_err(|error| Error::Data(format!("{}: {error}; move it away", path.display())))?;
        if let Some(broken) = earlier.broken {
            return Err(Error::Data(format!("{}: {broken}; move it away", path.display())));
        }
        let here = match earlier.form {
            Form::Fields => all.clone(),
            Form::Line => locked_runs(&folders, out, Form::Line)?,
        };
        lock::keep_records(&mut all, &here, &earlier.lock);
    }
    let text = lock::write(&all)?;
    whole::write(&path, &text).map_err(|error| Error::of_file("write", &path, &error))?;
    let root = text.lines().last().unwrap_or_default();
    print(&format!("{}: {} runs, {root}\n", path.display(), all.len()))?;
    Ok(0)
}

/// The runs of these folders, each of which must be readable.
fn locked_runs(folders: &[String], out: &Path, form: Form) -> Result<Lock> {
    let mut all = Lock::new();
    for name in folders {
        let Runs { lock, unreadable } = runs(out, name, form)?;
        if let Some(why) = unreadable.values().next() {
            return Err(Error::Data(format!("{why}; what is no record cannot be locked")));
        }
        all.extend(lock);
    }
    Ok(all)
}

/// Compares the runs below `out` with its `results.lock`; 1 when any differs.
pub fn verify(names: &[String], out: &Path, json: bool) -> Result<u8> {
    let path = out.join(lock::FILE);
    let text = files::read_text(&path, files::LARGEST_TABLE).map_err(|error| {
        Error::Data(format!("cannot read {}: {error}; 'seedbed lock' writes one", path.display()))
    })?;
    let Locked { form, lock: mut locked, broken: root } =
        lock::read(&text).map_err(|error| Error::Data(format!("{}: {error}", out.display())))?;
    let mut folders = chosen(&[], out)?;
    if !names.is_empty() {
        let known = |name: &&String| {
            folders.contains(*name) || locked.keys().any(|(experiment, ..)| experiment == *name)
        };
        if let Some(unknown) = names.iter().find(|name| !known(name)) {
            return Err(no_such(unknown, out));
        }
        folders.retain(|folder| names.contains(folder));
        locked.retain(|(experiment, ..), _| names.contains(experiment));
    }
    let mut here = Lock::new();
    let mut unreadable = IndexMap::new();
    for name in folders {
        let runs = runs(out, &name, form)?;
        here.extend(runs.lock);
        unreadable.extend(runs.unreadable);
    }
    let mut found: Vec<Difference> = root.into_iter().collect();
    found.extend(lock::differences(&locked, &here));
    // a file that is no record is there, but it is not what was locked
    found.retain(|difference| match difference {
        Difference::Missing { experiment, cell, seed } => {
            !unreadable.contains_key(&Store::open(out, experiment).path(cell, *seed))
        }
        Difference::Root { .. } | Difference::Added { .. } | Difference::Changed { .. } => true,
    });
    let unreadable: Vec<String> = unreadable.into_values().collect();
    let agrees = found.is_empty() && unreadable.is_empty();
    if json {
        let runs = locked.len();
        print_json(&json!({"lock": path.to_string_lossy(), "runs": runs, "agrees": agrees,
            "differences": found, "unreadable": unreadable}))?;
        return Ok(u8::from(!agrees));
    }
    for difference in &found {
        print(&format!("{difference}\n"))?;
    }
    for why in &unreadable {
        print(&format!("changed  {why}\n"))?;
    }
    let runs = match agrees {
        true => format!("all {} runs are those of the lock", locked.len()),
        false => format!("differences from the lock: {}", found.len() + unreadable.len()),
    };
    print(&format!("{}: {runs}\n", path.display()))?;
    Ok(u8::from(!agrees))
}

/// The folders below `out` with runs in them: of these names, or all.
fn chosen(names: &[String], out: &Path) -> Result<Vec<String>> {
    let unreadable = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => Error::Data(format!(
            "there is no folder {}; name a folder of results with --out",
            out.display()
        )),
        _ => Error::Failed(format!("cannot look for results in {}: {error}", out.display())),
    };
    let mut folders = Vec::new();
    for entry in fs::read_dir(out).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let folder = entry.path();
        let has_runs = folder.join("runs.csv").exists() || folder.join("runs").is_dir();
        if !has_runs {
            continue;
        }
        // a lock without them would look whole
        folders.push(entry.file_name().into_string().map_err(|_| {
            Error::Data(format!(
                "{} holds runs, and its name is not UTF-8, which a lock cannot hold: give it another name \
                 or move it away",
                folder.display()
            ))
        })?);
    }
    folders.sort();
    if let Some(unknown) = names.iter().find(|name| !folders.contains(name)) {
        return Err(no_such(unknown, out));
    }
    folders.retain(|folder| names.is_empty() || names.contains(folder));
    Ok(folders)
}

fn no_such(name: &str, out: &Path) -> Error {
    Error::Usage(format!(
        "{} holds no runs of '{name}'; name a folder in it, or another place with --out",
        out.display()
    ))
}

/// What an experiment's folder holds.
struct Runs {
    lock: Lock,
    /// Why files in a record's place are none, by path.
    unreadable: IndexMap<PathBuf, String>,
}

/// The runs of an experiment: its records, and rows of its `runs.csv` that have none.
fn runs(out: &Path, name: &str, form: Form) -> Result<Runs> {
    let store = Store::open(out, name);
    let (records, unreadable) = store.load_all()?;
    let id = |row: &Row| (row.key.clone(), row.cell.clone(), row.seed);
    let rows = published::rows(&store.dir().join("runs.csv"))?;
    let called: HashMap<(&str, u64), &Row> =
        rows.iter().map(|row| ((row.key.as_str(), row.seed), row)).collect();
    let mut recorded = HashSet::new();
    let mut lock = Lock::new();
    for record in &records {
        let row = report::rows_of(std::slice::from_ref(record)).remove(0);
        // a run is called as in the table, also where it was stored under an earlier label
        let row = match called.get(&(row.key.as_str(), row.seed)) {
            Some(Row { cell, axes, .. }) if !row.key.is_empty() => {
                Row { cell: cell.clone(), axes: axes.clone(), ..row }
            }
            Some(_) | None => row,
        };
        recorded.insert(id(&row));
        let digests = Digests::of(&row, Some(record), form)?;
        lock.insert((row.experiment, row.cell, row.seed), digests);
    }
    for row in &rows {
        // a file in the place of its record is what is there of the run
        if recorded.contains(&id(row)) || store.path(&row.cell, row.seed).exists() {
            continue;
        }
        let digests = Digests::of(row, None, form)?;
        lock.insert((row.experiment.clone(), row.cell.clone(), row.seed), digests);
    }
    // each says its file first
    let path = |why: &str| format!("{}.json", why.split(".json: ").next().unwrap_or_default());
    let unreadable = unreadable.into_iter().map(|why| (PathBuf::from(path(&why)), why)).collect();
    Ok(Runs { lock, unreadable })
}
