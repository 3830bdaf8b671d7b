//! The seed audit: runs of one cell are independent only if each has its own split, initial weights
//! and scores. A harness that seeds once, or not at all, trains the same run again and again and
//! calls the spread of nothing a standard deviation. Pure: it reads rows alone.

use std::collections::HashMap;

use super::Row;
use crate::error::{Error, Result};
use crate::experiment::CellName;
use crate::store::record::State;

/// A digest that no two runs of a cell can have in common: its name, its column, its value.
type Own = (&'static str, &'static str, fn(&Row) -> &str);

const OWN: [Own; 3] = [
    ("split", "split_sha256", |row| &row.split_sha256),
    ("initial weights", "init_sha256", |row| &row.init_sha256),
    ("scores", "scores_sha256", |row| &row.scores_sha256),
];

/// Refuses runs that ended `ok`, are of one cell and have the digest of a split, of initial weights
/// or of scores in common: they are one run counted twice, at least in part. A blank digest is
/// unknown and equals none. Different cells may share: they do so under one seed.
///
/// # Errors
/// `Data` with the first such two runs, the digest, and how many runs repeat another's.
pub fn refuse_shared_digests(rows: &[Row]) -> Result<()> {
    refuse_shared(rows, &|_| None)
}

/// Does the same, and names the program that made them, where a cell's method is one: its seed has no effect.
///
/// # Errors
/// As [`refuse_shared_digests`].
pub fn refuse_shared(rows: &[Row], program: &dyn Fn(&CellName) -> Option<String>) -> Result<()> {
    for (name, column, digest) in OWN {
        let mut first: HashMap<(&str, &str, &str), &Row> = HashMap::new();
        let mut shared: Vec<(&Row, &Row)> = Vec::new();
        for row in rows.iter().filter(|row| row.state == State::Ok && !digest(row).is_empty()) {
            let known = *first.entry((&row.experiment, &row.cell, digest(row))).or_insert(row);
            if known.seed != row.seed {
                shared.push((known, row));
            }
        }
        let Some((known, row)) = shared.first() else { continue };
        let others = match shared.len() {
            1 => String::new(),
            count => format!(" ({count} runs repeat another's)"),
        };
        let advice = match program(&row.cell) {
            Some(program) => format!(
                "the program {program} makes the same of every seed: have it use the one that it is given, or \
                 run it under one seed where it draws nothing (--runs 1)"
            ),
            None => "leave one out, or train them again with a harness whose seeds take effect"
                .to_owned(),
        };
        return Err(Error::Data(format!(
            "runs that should be independent share their {name}: {} {}, seeds {} and {}, have \
             {column} {}{others}; no table is made of them: {advice}",
            row.experiment,
            row.cell,
            known.seed,
            row.seed,
            digest(row),
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::tests::rows;

    /// Three runs of a cell, every digest its own.
    fn audited() -> Vec<Row> {
        let mut rows = rows("base", &[0.5, 0.6, 0.7]);
        for row in &mut rows {
            row.split_sha256 = format!("split{}", row.seed);
            row.init_sha256 = format!("init{}", row.seed);
            row.scores_sha256 = format!("scores{}", row.seed);
        }
        rows
    }

    #[test]
    fn runs_of_a_cell_that_share_any_of_the_three_digests_are_named() {
        assert_eq!(refuse_shared_digests(&audited()), Ok(()));
        type Change = fn(&mut Row);
        let changes: [(Change, &str); 3] = [
            (
                |row| row.split_sha256 = "split1".into(),
                "share their split: made-up base, seeds 1 and 3, have split_sha256 split1;",
            ),
            (
                |row| row.init_sha256 = "init1".into(),
                "initial weights: made-up base, seeds 1 and 3, have init_sha256 init1;",
            ),
            (
                |row| row.scores_sha256 = "scores1".into(),
                "scores: made-up base, seeds 1 and 3, have scores_sha256 scores1;",
            ),
        ];
        for (change, complaint) in changes {
            let mut rows = audited();
            change(&mut rows[2]);
            let error = refuse_shared_digests(&rows).unwrap_err();
            assert_eq!(error.exit_code(), 3);
            assert!(error.to_string().contains(complaint), "{error}");
        }
    }

    #[test]
    fn failed_runs_other_cells_and_unknown_digests_share_nothing() {
        let mut rows = audited();
        rows[1].split_sha256 = "split1".into();
        rows[1].state = State::Diverged;
        assert_eq!(refuse_shared_digests(&rows), Ok(()));
        let mut rows = audited();
        let mut control = rows[0].clone();
        control.cell = "base,control=untrained".into();
        rows.push(control);
        assert_eq!(refuse_shared_digests(&rows), Ok(()));
        for row in &mut rows {
            row.scores_sha256.clear();
        }
        assert_eq!(refuse_shared_digests(&rows), Ok(()));
    }

    #[test]
    fn a_program_whose_seed_has_no_effect_is_named() {
        let mut rows = audited();
        rows[2].scores_sha256 = "scores1".into();
        let named = |cell: &CellName| (*cell == "base").then(|| "python3 forest.py".to_owned());
        let error = refuse_shared(&rows, &named).unwrap_err().to_string();
        assert!(error.contains("share their scores: made-up base, seeds 1 and 3"), "{error}");
        assert!(
            error.contains("the program python3 forest.py makes the same of every seed"),
            "{error}"
        );
    }

    #[test]
    fn a_harness_without_seeds_is_told_how_many_runs_repeat_another() {
        let mut rows = audited();
        for row in &mut rows {
            row.init_sha256 = "same".into();
        }
        let error = refuse_shared_digests(&rows).unwrap_err().to_string();
        assert!(error.contains("seeds 1 and 2, have init_sha256 same (2 runs repeat"), "{error}");
    }
}
