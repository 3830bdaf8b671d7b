//! `seedbed fill`: the numbers of README.md and of docs/, and the pictures of benchmarks, from the CSV
//! files of results.

use std::path::Path;

use seedbed::error::{Error, Result};
use seedbed::experiment::{Experiment, Selection};
use seedbed::paper::Paper;
use seedbed::report::benchmarks;
use seedbed::report::derive::{Derived, Making};
use seedbed::report::fill::Filler;
use seedbed::report::terminal::{self, Sheet};
use seedbed::store::whole;
use seedbed::summary::{Comparison, Pair};

use crate::output::print;
use crate::screen::say;

/// Makes the blocks of documents anew, and the pictures of benchmarks where no document is named, or
/// (`check`) says which are not what their files say.
///
/// # Errors
/// Those of the templates, and files that cannot be read or written.
pub fn fill(documents: &[String], check: bool) -> Result<u8> {
    let all = documents.is_empty();
    let documents = if all { own_documents()? } else { documents.to_vec() };
    let mut filler = Filler::new(Path::new(""));
    filler.add_function("compare_text", compare_text);
    let mut differ = false;
    for document in &documents {
        let (before, after) = filler.fill_file(document)?;
        if before == after {
            continue;
        }
        differ = true;
        if check {
            let line = 1 + before.lines().zip(after.lines()).take_while(|(a, b)| a == b).count();
            print(&format!(
                "{document}:{line} is not what its files say; 'make report' mends it\n"
            ))?;
        } else {
            let path = Path::new(document);
            whole::write(path, &after).map_err(|error| Error::of_file("write", path, &error))?;
            print(&format!("{document}\n"))?;
        }
    }
    for line in filler.left_out() {
        say(&line);
    }
    if all {
        differ |= draw(Path::new("results"), check)?;
    }
    Ok(u8::from(check && differ))
}

/// Draws the benchmarks of a folder anew, or (`check`) says which pictures are not what their tables
/// say; tells whether any was not.
fn draw(folder: &Path, check: bool) -> Result<bool> {
    let mut differ = false;
    for (path, picture) in benchmarks::pictures(folder)? {
        if std::fs::read(&path).is_ok_and(|there| there == picture.as_bytes()) {
            continue;
        }
        differ = true;
        let name = path.display();
        if check {
            print(&format!("{name} is not what its table says; 'make report' mends it\n"))?;
        } else {
            whole::write(&path, &picture)
                .map_err(|error| Error::of_file("write", &path, &error))?;
            print(&format!("{name}\n"))?;
        }
    }
    Ok(differ)
}

/// Lists README.md and the documents in docs/.
fn own_documents() -> Result<Vec<String>> {
    let entries = std::fs::read_dir("docs").map_err(|error| {
        Error::Usage(format!("cannot look for documents in docs: {error}; name them"))
    })?;
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut documents: Vec<String> =
        names.filter(|name| name.ends_with(".md")).map(|name| format!("docs/{name}")).collect();
    documents.sort();
    documents.insert(0, "README.md".to_owned());
    Ok(documents)
}

/// Makes what `seedbed compare` prints for the published results of an experiment.
fn compare_text(name: &str) -> Result<String> {
    let experiment = Experiment::load(name, &Selection::default())?;
    let making = Making { resamples: 0, mixed_code: true, tell: say };
    let derived = Derived::published(&experiment, Path::new("results"), making)?;
    let from = derived.from();
    let table = |paper: &Paper| {
        let figures = derived.comparisons.iter().filter(|one| one.paper == paper.name);
        let figures: Vec<&Comparison> = figures.collect();
        terminal::comparison_table(&figures, paper, &from, Sheet::default()) + "\n"
    };
    let compared = |pair: &&Pair| derived.comparisons.iter().any(|one| one.metric == pair.metric);
    let pairs: Vec<&Pair> = derived.pairs.iter().filter(compared).collect();
    let text = derived.papers.iter().map(table).collect::<String>();
    Ok(text + &terminal::pairs_table(&pairs, &from, Sheet::default()))
}
