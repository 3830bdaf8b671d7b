//! seedbed answers one question: does this paper's table reproduce?
//!
//! The path of the data, in the order to read the modules:
//!
//! ```text
//! experiment   TOML → cells × seeds = runs
//! store        which runs are stored, and why the others are not
//! schedule     runs → jobs → device slots; one worker process a job
//! method       dataset → split → fit or train → score → metrics → a record
//! report::csv  records → runs.csv
//! summary      runs.csv → summary.csv → (with paper's figures) comparison.csv
//! report       the same, for people
//! ```
//!
//! Beside the path: `elsewhere` writes rows for who trains by hand, and judges the scores that come back;
//! `plausibility` asks of a paper's figures alone whether they can be right.
//!
//! What stands right of a record is a pure function of `runs.csv`. The library never prints: the program
//! `seedbed` (`bin/seedbed/`) is a user of it, and `seedbed-train` trains.

pub mod dataset;
pub mod digest;
pub mod elsewhere;
pub mod error;
pub mod experiment;
pub mod files;
pub mod machine;
pub mod method;
pub mod metrics;
pub mod model;
pub mod paper;
pub mod random;
pub mod report;
pub mod schedule;
pub mod shell;
pub mod shipped;
pub mod stats;
pub mod store;
pub mod summary;
pub mod text;
mod words;
