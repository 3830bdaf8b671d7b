//! `seedbed list`: experiments, papers, data sets and methods, and where each is.
use std::path::Path;

use serde_json::{Value, json};

use seedbed::dataset;
use seedbed::error::Result;
use seedbed::experiment::{self, Experiment, Selection};
use seedbed::model;
use seedbed::paper;
use seedbed::report::columns;
use seedbed::shipped;

use crate::output::{print_json, print_text};

const PAPERS: &str = "experiments/papers";

/// What there is of one kind: a name, a few words and where it is.
struct Kind {
    name: &'static str,
    entries: Vec<[String; 3]>,
}

/// Shows everything that can be named on a command line or in a file.
pub fn list(json: bool) -> Result<u8> {
    let kinds = [
        Kind { name: "experiments", entries: experiments() },
        Kind { name: "papers", entries: papers() },
        Kind { name: "data", entries: data()? },
        Kind { name: "methods", entries: methods() },
    ];
    if json {
        let entry = |[name, about, place]: &[String; 3]| json!({"name": name, "about": about, "place": place});
        let of_kind = |kind: &Kind| {
            let all: Vec<Value> = kind.entries.iter().map(entry).collect();
            (kind.name.to_owned(), Value::Array(all))
        };
        print_json(&kinds.iter().map(of_kind).collect::<serde_json::Map<_, _>>())?;
        return Ok(0);
    }
    for kind in &kinds {
        // titles are long: they come last
        let row =
            |[name, about, place]: &[String; 3]| vec![name.clone(), place.clone(), about.clone()];
        let rows: Vec<Vec<String>> = kind.entries.iter().map(row).collect();
        let lines = columns::lines(&rows, 0..0, |_, _| "");
        let lines: String = lines.iter().map(|line| format!("  {line}\n")).collect();
        print_text(&format!("{}\n{lines}", kind.name))?;
    }
    Ok(0)
}

/// Where a file is that may ship: `shipped`, its path, or its path and that it is not the shipped one.
fn place(path: &Path, differs: bool) -> String {
    match (path.is_file(), differs) {
        (false, _) => "shipped".to_owned(),
        (true, false) => path.display().to_string(),
        (true, true) => format!("{} (differs from the shipped one)", path.display()),
    }
}

fn experiments() -> Vec<[String; 3]> {
    let entry = |name: String| match Experiment::load(&name, &Selection::default()) {
        Ok(one) => {
            let place = place(&one.path, one.beside_shipped().is_some());
            [name, one.title, place]
        }
        Err(error) => [name, format!("cannot be read: {error}"), String::new()],
    };
    experiment::names().into_iter().map(entry).collect()
}

fn papers() -> Vec<[String; 3]> {
    let folder = Path::new(PAPERS);
    let entry = |name: String| match paper::find(folder, &name) {
        Ok(one) => {
            let differs = paper::beside_shipped(folder, &name).is_some();
            let place = place(&folder.join(format!("{name}.toml")), differs);
            [name, one.title, place]
        }
        Err(error) => [name, format!("cannot be read: {error}"), String::new()],
    };
    paper::all_names(folder).into_iter().map(entry).collect()
}

fn data() -> Result<Vec<[String; 3]>> {
    let search = dataset::search_path(None);
    let mut entries = Vec::new();
    for name in dataset::NAMES {
        let files = dataset::files(name)?;
        let found = files.iter().all(|file| dataset::find(file, &search).is_some());
        let place = match (files.is_empty(), found) {
            (true, _) => "made by seedbed".to_owned(),
            (false, true) => "found".to_owned(),
            (false, false) => format!("missing: seedbed data fetch {name}"),
        };
        entries.push([name.to_owned(), String::new(), place]);
    }
    Ok(entries)
}

fn methods() -> Vec<[String; 3]> {
    let own = model::NAMES
        .iter()
        .map(|(name, about)| [(*name).to_owned(), (*about).to_owned(), "[model] name".to_owned()]);
    let programs = shipped::methods().into_iter().map(|path| {
        let place = place(Path::new(path), false);
        [path.to_owned(), "a program for name = \"command\"".to_owned(), place]
    });
    own.chain(programs).collect()
}
