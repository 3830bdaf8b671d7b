//! `seedbed report`: the tables, and a report of them for people.
use std::path::{Path, PathBuf};

use serde_json::json;

use seedbed::error::{Error, Result};
use seedbed::report::derive::{Losing, Making};
use seedbed::report::document::Document;
use seedbed::report::terminal::printable_json;
use seedbed::report::{html, latex, markdown};
use seedbed::store::whole;

use super::tables::derive;
use crate::args::{Common, Source};
use crate::output::{print, print_json};

/// Writes the tables and the report, and prints the paths of its files; with `is_opened` the page is opened.
pub fn report(
    common: &Common,
    source: &Source,
    making: Making,
    (to, is_opened): (Option<PathBuf>, bool),
) -> Result<u8> {
    let mut sections = Vec::new();
    for derived in derive(common, source, making)? {
        derived.write_tables(Losing::Refused)?;
        if !derived.papers.is_empty() {
            derived.write_comparison()?;
        }
        sections.push(derived.section()?);
    }
    let document = Document { sections };
    let folder = to.unwrap_or_else(|| match source.from.as_ref().or(source.before.as_ref()) {
        Some(file) => file.parent().unwrap_or(Path::new("")).to_owned(),
        None => common.out(),
    });
    let paths = write(&document, &folder)?;
    if common.json {
        // JSON cannot hold every name of a file
        let paths: Vec<_> = paths.iter().map(|path| path.to_string_lossy()).collect();
        print_json(&json!({"report": paths}))?;
        return Ok(0);
    }
    for path in &paths {
        print(&format!("{}\n", path.display()))?;
    }
    if is_opened {
        paths.first().map_or(Ok(()), |page| open(page))?;
    }
    Ok(0)
}

/// Opens a page with what this system opens files with.
fn open(page: &Path) -> Result<()> {
    let page = std::path::absolute(page).unwrap_or_else(|_| page.to_owned());
    open::that_detached(&page).map_err(|error| {
        Error::Failed(format!(
            "cannot open {}: {error}; the report is written: open that file in a browser",
            page.display()
        ))
    })
}

/// Writes the files of a report into a folder; returns their paths, the one for browsers first.
///
/// # Errors
/// What the file system refuses.
pub fn write(document: &Document, folder: &Path) -> Result<Vec<PathBuf>> {
    std::fs::create_dir_all(folder).map_err(|error| {
        let folder = folder.display();
        Error::Failed(format!(
            "cannot write the report into {folder}: {error}; name another with --to"
        ))
    })?;
    let json = serde_json::to_string(document)
        .map_err(|error| Error::Failed(format!("cannot write JSON: {error}")))?;
    whole::sweep(folder);
    let mut paths = Vec::new();
    for (name, text) in [
        ("report.html", html::render(document)),
        ("report.md", markdown::render(document)),
        ("report.tex", latex::render(document)),
        ("report.json", printable_json(&json).into_owned() + "\n"),
    ] {
        let path = folder.join(name);
        whole::write(&path, &text).map_err(|error| Error::of_file("write", &path, &error))?;
        paths.push(path);
    }
    Ok(paths)
}
