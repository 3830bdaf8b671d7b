//! `seedbed data`: list, fetch and check data files.

use std::path::{Path, PathBuf};

use serde_json::json;

use seedbed::dataset::fetch::{self, Options};
use seedbed::dataset::{self, DataFile, FileState};
use seedbed::error::{Error, Result};
use seedbed::report::columns;

use crate::args::{DataCommand, DataOptions};
use crate::output::{print, print_json, print_text};
use crate::screen::{self, Bars, say};

/// Downloads a file, by default into the user's cache, and shows how far it is.
pub fn fetch_file(file: &DataFile, into: Option<&Path>, options: &Options) -> Result<PathBuf> {
    let into = into.map(Path::to_owned).or_else(dataset::cache).ok_or_else(|| {
        Error::Usage("there is no cache directory for this user; name one with --data".to_owned())
    })?;
    say(&format!(
        "fetching {} ({:.1} MB) into {}",
        file.name,
        megabytes(file.bytes),
        into.display()
    ));
    screen::open(Bars {
        template: "{wide_bar} {pos}/{len}".to_owned(),
        done: 0,
        total: file.bytes,
        message: String::new(),
        slots: Vec::new(),
    });
    let path = fetch::fetch(file, &into, options, &|done, total| {
        let total = total.unwrap_or(file.bytes);
        screen::update(|bars| (bars.done, bars.total) = (done, total));
    });
    screen::close();
    path
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// Does what a subcommand of `data` says.
pub fn data(command: &DataCommand) -> Result<u8> {
    match command {
        DataCommand::List(options) => data_status(options, false),
        DataCommand::Check(options) => data_status(options, true),
        DataCommand::Fetch { name, options } => {
            let files = dataset::files(name)?;
            if files.is_empty() {
                say(&format!("{name} needs no file"));
            }
            let fetching = Options::from_env()?;
            let mut paths = Vec::new();
            for file in files {
                paths.push(fetch_file(&file, options.data.as_deref(), &fetching)?);
            }
            if options.json {
                // JSON cannot hold every name of a file
                let paths: Vec<_> = paths.iter().map(|path| path.to_string_lossy()).collect();
                print_json(&json!({"files": paths}))?;
                return Ok(0);
            }
            for path in paths {
                print(&format!("{}\n", path.display()))?;
            }
            Ok(0)
        }
    }
}

/// Lists the data files; with `check`, exit code 3 unless all that are found are right.
fn data_status(options: &DataOptions, check: bool) -> Result<u8> {
    let search = dataset::search_path(options.data.as_deref());
    let (mut code, mut misses) = (0, false);
    let (mut listed, mut rows) = (Vec::new(), Vec::new());
    for status in dataset::status(&search, check) {
        let state = match &status.state {
            FileState::Missing => {
                format!("missing: run 'seedbed data fetch {}'", status.file.dataset)
            }
            FileState::Found => "found".to_owned(),
            FileState::Right => "right".to_owned(),
            FileState::Wrong(why) => {
                code = 3;
                format!("wrong: {why}")
            }
        };
        let is_missing = status.state == FileState::Missing;
        misses |= is_missing;
        if check && is_missing {
            code = 3;
        }
        let place = status.path.map(|path| path.display().to_string());
        if options.json {
            let file = status.file;
            listed.push(json!({
                "dataset": file.dataset, "file": file.name, "path": place, "state": state,
                "raw-sha256": file.raw_sha256, "bytes": file.bytes,
            }));
            continue;
        }
        let place = place.unwrap_or_else(|| "-".to_owned());
        rows.push(vec![status.file.dataset.to_owned(), status.file.name.to_string(), place, state]);
    }
    if options.json {
        print_json(&listed)?;
    }
    for line in columns::lines(&rows, 0..0, |_, _| "") {
        print_text(&format!("{line}\n"))?;
    }
    if misses {
        say(&format!("searched: {}", dataset::searched(&search)));
    }
    Ok(code)
}
