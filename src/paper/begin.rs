//! The text that a paper's file begins as. Makes text alone; nothing is written.

use crate::experiment::begin::SCHEMA;

/// Writes a paper's file of this name, with figures to be replaced: they are marked as recalled, so that
/// nothing is judged by them. `schema` is the schema's path from the file, where it is to be had.
pub fn text(name: &str, schema: Option<&str>) -> String {
    let schema = schema.map_or_else(String::new, |path| format!("{SCHEMA}{path}\n"));
    let name = toml::Value::String(name.to_owned());
    format!(
        r#"{schema}# Figures of a paper, a repository or another source. An experiment chooses those that it is compared with:
#     compare = {{ paper = {name}, table = "Table 1", method = "My method", dataset = "mine" }}
name   = {name}
title  = "Title (Authors, Journal, Year)"
source = "https://example.org/" # where it can be read

# How far from a figure still counts as reproduced. Declare it before the runs, and say why this much: a margin
# chosen afterwards proves nothing. A metric without one gets no verdict.
[margins.f1]
value  = 0.02
reason = "declared before the runs: REPLACE THIS by why two points matter and less does not"

[[figures]]
table   = "Table 1"
dataset = "mine"
setting = "mean of 10 runs, REPLACE THIS by the protocol as published"
method  = "My method"
metric  = "f1"       # precision, recall, f1, auroc, auprc, auroc_of_flags
value   = 0.500      # with the digits that are printed: 0.500, not 0.5
# std   = 0.010      # where the source prints one
runs    = 10         # how many runs it is the mean of; without it the figure counts as one run's
status  = "recalled" # "verified" once you have seen it in the source: only such figures are judged

[[figures]]
table   = "Table 1"
dataset = "mine"
setting = "mean of 10 runs, REPLACE THIS by the protocol as published"
method  = "Another method"
metric  = "f1"
value   = 0.400
runs    = 10
status  = "recalled"
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paper::{Status, load};

    #[test]
    fn a_new_paper_is_read_and_judges_nothing_until_its_figures_are_seen() {
        let folder = tempfile::tempdir().expect("a folder");
        for schema in [None, Some("../../schema/paper.json")] {
            std::fs::write(folder.path().join("mine.toml"), text("mine", schema)).expect("a file");
            let paper = load(folder.path(), "mine").expect("a paper");
            assert_eq!(paper.figures.len(), 2);
            assert!(paper.figures.iter().all(|one| one.status == Status::Recalled));
        }
    }
}
