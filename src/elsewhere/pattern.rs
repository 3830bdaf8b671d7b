//! Where files of runs lie: a path with places for the cell and the seed.

use std::path::PathBuf;

use crate::error::{Error, Result};

const CELL: &str = "{cell}";
const SEED: &str = "{seed}";

/// A path such as `DIR/{cell}/{seed}.npy`. In the place of `{cell}` stands a cell's label as it is: the name
/// of its folder below `runs/`, which any file system takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// The option that gave it, for errors.
    option: &'static str,
    text: String,
}

impl Pattern {
    /// Reads what an option gave.
    ///
    /// # Errors
    /// `Usage` for braces that hold something else than `cell` or `seed`.
    pub fn parse(option: &'static str, text: &str) -> Result<Self> {
        let rest = text.replace(CELL, "").replace(SEED, "");
        if rest.contains(['{', '}']) {
            return Err(Error::Usage(format!(
                "{option} {text}: braces hold {CELL} or {SEED}: write for example \
                 '{option} DIR/{CELL}/{SEED}.npy'"
            )));
        }
        Ok(Self { option, text: text.to_owned() })
    }

    /// Refuses a path that is the same for several runs.
    ///
    /// # Errors
    /// `Usage`, with what is missing.
    pub fn tells_apart(&self, cells: usize, seeds: usize) -> Result<()> {
        let Self { option, text } = self;
        for (part, count, what, choose) in
            [(CELL, cells, "cells", "--cell"), (SEED, seeds, "seeds", "--seeds")]
        {
            if count > 1 && !text.contains(part) {
                return Err(Error::Usage(format!(
                    "{option} {text}: there are {count} {what}, so the path needs {part}; or choose one \
                     with {choose}"
                )));
            }
        }
        Ok(())
    }

    /// The file of a run.
    pub fn path(&self, cell: &str, seed: u64) -> PathBuf {
        // a label has no braces
        PathBuf::from(self.text.replace(CELL, cell).replace(SEED, &seed.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_the_places_that_tell_its_runs_apart() {
        let of = |text| Pattern::parse("--scores", text).unwrap();
        let both = of("a b/{cell}/{seed}.npy");
        assert_eq!(both.path("x=1,y=2", 18), PathBuf::from("a b/x=1,y=2/18.npy"));
        assert_eq!(both.tells_apart(9, 9), Ok(()));
        assert_eq!(of("3.npy").tells_apart(1, 1), Ok(()));
        let cells = of("{seed}.npy").tells_apart(2, 20).unwrap_err().to_string();
        assert!(cells.contains("there are 2 cells, so the path needs {cell}"), "{cells}");
        let seeds = of("{cell}.npy").tells_apart(2, 20).unwrap_err().to_string();
        assert!(seeds.contains("there are 20 seeds, so the path needs {seed}"), "{seeds}");
        for wrong in ["{seeds}.npy", "{cell}/{}.npy", "{cell", "a}b", "{ seed }"] {
            let error = Pattern::parse("--scores", wrong).unwrap_err().to_string();
            assert!(error.contains("braces hold {cell} or {seed}"), "{error}");
        }
    }
}
