//! The figures that an experiment says it is compared with. Reads and checks what the file says; which
//! figures that are, `paper::choice` finds out.

use schemars::JsonSchema;
use serde::Deserialize;
use toml::{Table, Value};

use super::{Cell, CellName, Source, cell_named};
use crate::error::Result;

/// The key of an experiment file that holds choices.
pub(super) const KEY: &str = "compare";

/// Figures of one paper: those that agree with everything that is given.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// The name of the paper's file, without `.toml`.
    pub paper: String,
    /// The table, as the paper's file has it; `Table 2` also takes `Table 2, second edition`.
    pub table: Option<String>,
    /// Whose figures, as the paper's file has it.
    pub method: Option<String>,
    /// The data set, as the paper's file has it.
    pub dataset: Option<String>,
    /// The setting, as the paper's file has it.
    pub setting: Option<String>,
    /// The label of the one cell that the figures are compared with. Without it, that is the cell that a
    /// figure names, and else every cell.
    #[schemars(with = "Option<String>")]
    pub cell: Option<CellName>,
    /// `experiments/x.toml:6:1`, to begin an error with.
    #[serde(skip)]
    pub origin: String,
}

/// Reads `compare = { … }` or a list of such tables.
pub(super) fn choices(source: &Source, value: Option<Value>) -> Result<Vec<Choice>> {
    let tables = match value {
        None => return Ok(Vec::new()),
        Some(Value::Table(table)) => vec![table],
        Some(Value::Array(list)) => {
            let table = |value| match value {
                Value::Table(table) => Ok(table),
                _ => Err(wrong_kind(source)),
            };
            list.into_iter().map(table).collect::<Result<Vec<Table>>>()?
        }
        Some(_) => return Err(wrong_kind(source)),
    };
    if tables.is_empty() {
        return Err(
            source.fault(KEY, "'compare' is empty: list at least one table, or leave it out")
        );
    }
    let origin = source.place_of(&[KEY.to_owned()]);
    let read = |table: &Table| {
        let choice: Choice = source.read(KEY, table, &[])?;
        Ok(Choice { origin: origin.clone(), ..choice })
    };
    tables.iter().map(read).collect()
}

fn wrong_kind(source: &Source) -> crate::error::Error {
    let example = "{ paper = \"zong2018\", table = \"Table 2\", method = \"DAGMM\" }";
    source.fault(KEY, &format!("'compare' must be a table, or a list of tables: {example}"))
}

/// Gives each choice the label of its cell as the grid spells it, and refuses one that names no cell.
pub(super) fn settle(choices: &mut [Choice], source: &Source, cells: &[Cell]) -> Result<()> {
    for choice in choices {
        let Some(label) = &choice.cell else { continue };
        let cell = cell_named(cells, label)
            .map_err(|what| source.fault(KEY, &format!("'compare': there is {what}")))?;
        choice.cell = Some(cell.label.clone());
    }
    Ok(())
}
