//! When runs are looked at that are added until a figure is decided: `looks.csv`, stored before the first run, for a
//! plan that is made with the runs at hand proves nothing.

use std::io::ErrorKind;
use std::path::Path;

use crate::error::{Error, Result};
use crate::files::read_text;
use crate::stats::Looks;
use crate::store::whole;

/// In the experiment's folder of results.
pub const NAME: &str = "looks.csv";
/// Bytes of the file: nobody looks as often.
const LARGEST: u64 = 1 << 16;
const HEAD: &str = "look,runs,tail,bound";

/// Reads the looks of a folder; none where none are stored.
///
/// # Errors
/// `Data` for a file that holds no looks.
pub fn read(folder: &Path) -> Result<Option<Looks>> {
    let path = folder.join(NAME);
    let text = match read_text(&path, LARGEST) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::of_file("read", &path, &error)),
    };
    let wrong = |line: usize, what: &str| {
        Error::Data(format!(
            "{}:{line}: {what}; it was stored before the first run, and nothing may change it",
            path.display()
        ))
    };
    let mut lines = text.lines().enumerate();
    if lines.next().is_none_or(|(_, head)| head.trim_end() != HEAD) {
        return Err(wrong(1, &format!("the columns are not {HEAD}")));
    }
    let mut runs: Vec<usize> = Vec::new();
    for (line, text) in lines {
        let number = text.split(',').nth(1).and_then(|number| number.parse().ok());
        let number =
            number.filter(|number| runs.last().is_none_or(|last| number > last) && *number > 1);
        runs.push(
            number.ok_or_else(|| wrong(line + 1, "no number of runs above the line before"))?,
        );
    }
    if runs.is_empty() {
        return Err(wrong(1, "there is no look"));
    }
    // bounds follow from the numbers of runs
    Ok(Some(Looks::at(runs)))
}

/// Stores looks in a folder that has none.
///
/// # Errors
/// `Usage` where other looks are stored, and whatever the file system refuses.
pub fn keep(folder: &Path, looks: &Looks) -> Result<()> {
    let path = folder.join(NAME);
    match read(folder)? {
        Some(known) if known.runs == looks.runs => Ok(()),
        Some(known) => {
            let (path, most) = (path.display(), known.runs.last().copied().unwrap_or_default());
            Err(Error::Usage(format!(
                "{path} holds another plan, up to {most} runs: go on with --max-runs {most}, or run into another \
                 folder with --out DIR"
            )))
        }
        None => whole::write(&path, table(looks))
            .map_err(|error| Error::of_file("write", &path, &error)),
    }
}

/// Says when a folder's runs are looked at; none where no looks are stored.
///
/// # Errors
/// As [`read`].
pub fn text(folder: &Path) -> Result<Option<String>> {
    let Some(looks) = read(folder)? else { return Ok(None) };
    let bounds = looks.bounds();
    let look = |(runs, bound): (&usize, &f64)| format!("{runs} runs (t {bound:.2})");
    let said: Vec<String> = looks.runs.iter().zip(&bounds).map(look).collect();
    Ok(Some(format!("  looks, until decided: {}\n", said.join(", "))))
}

fn table(looks: &Looks) -> String {
    let rows = looks.runs.iter().zip(&looks.tails).zip(looks.bounds()).enumerate();
    let rows =
        rows.map(|(place, ((runs, tail), bound))| format!("{},{runs},{tail},{bound}\n", place + 1));
    format!("{HEAD}\n{}", rows.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_are_stored_once_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let looks = Looks::doubling(40).unwrap();
        assert_eq!(read(folder.path()).unwrap(), None);
        keep(folder.path(), &looks).unwrap();
        keep(folder.path(), &looks).unwrap();
        assert_eq!(read(folder.path()).unwrap(), Some(looks));
        let other = keep(folder.path(), &Looks::doubling(80).unwrap()).unwrap_err().to_string();
        assert!(other.contains("up to 40 runs: go on with --max-runs 40"), "{other}");
        for damaged in
            ["", "a,b\n", "look,runs,tail,bound\n", "look,runs,tail,bound\n1,10,.1,2\n2,5,.1,2\n"]
        {
            std::fs::write(folder.path().join(NAME), damaged).unwrap();
            let error = read(folder.path()).unwrap_err().to_string();
            assert!(error.contains("looks.csv:"), "{error}");
        }
    }
}
