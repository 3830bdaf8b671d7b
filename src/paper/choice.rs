//! Which figures of a paper an experiment is compared with: those that it chooses or, of a paper that it
//! names and chooses nothing of, those that name the experiment.

use indexmap::IndexSet;

use crate::error::{Error, Result};
use crate::experiment::{CellName, Choice, Experiment};
use crate::paper::fingerprint::{Fingerprint, Mark};
use crate::paper::{Figure, Paper};
use crate::text::nearest;

/// Returns a paper whose figures name this experiment, and a cell of it, where they are to be compared
/// with it. All that reads a paper beside runs goes by what its figures name.
///
/// # Errors
/// `Usage` for a choice that no figure agrees with, and for a figure whose cell the experiment does not
/// have.
pub fn of_experiment(paper: Paper, experiment: &Experiment) -> Result<Paper> {
    let own = experiment.compare.iter().filter(|choice| choice.paper == paper.name);
    let choices: Vec<Sought> = own.map(|choice| Sought::of(choice, &paper)).collect();
    let mut paper = paper;
    if choices.is_empty() {
        settle_cells(&mut paper.figures, &paper.name, experiment)?;
        settle_cells(&mut paper.fingerprints, &paper.name, experiment)?;
        return Ok(paper);
    }
    for choice in &choices {
        refuse_empty(choice, &paper, experiment)?;
    }
    paper.figures = chosen(&paper.figures, &choices, experiment);
    paper.fingerprints = chosen(&paper.fingerprints, &choices, experiment);
    Ok(paper)
}

/// A choice, and which tables of the paper it means.
struct Sought<'a> {
    choice: &'a Choice,
    /// Every one where it is none.
    tables: Option<Vec<String>>,
}

impl<'a> Sought<'a> {
    /// Finds the table that a choice names or, where none is called so, those whose names go on with a
    /// comma.
    fn of(choice: &'a Choice, paper: &Paper) -> Self {
        let tables = choice.table.as_ref().map(|wanted| {
            let figures = paper.figures.iter().map(|one| &one.table);
            let all = figures.chain(paper.fingerprints.iter().map(|one| &one.table));
            let all: IndexSet<&String> = all.collect();
            if all.contains(wanted) {
                return vec![wanted.clone()];
            }
            let goes_on = |table: &&&String| {
                table.strip_prefix(wanted.as_str()).is_some_and(|rest| rest.starts_with(','))
            };
            all.iter().filter(goes_on).map(|table| (*table).clone()).collect()
        });
        Self { choice, tables }
    }

    /// What is asked for, in the order of [`Line::place`].
    fn fields(&self) -> [(&'static str, Option<&str>); 4] {
        let Choice { table, method, dataset, setting, .. } = self.choice;
        [
            ("table", table.as_deref()),
            ("method", method.as_deref()),
            ("dataset", dataset.as_deref()),
            ("setting", setting.as_deref()),
        ]
    }

    /// Whether a figure of this place has what is asked of its field.
    fn agrees(&self, field: usize, place: &[&str; 4]) -> bool {
        match (&self.tables, self.fields()[field].1) {
            (Some(tables), _) if field == 0 => tables.iter().any(|table| table == place[0]),
            (_, wanted) => wanted.is_none_or(|wanted| wanted == place[field]),
        }
    }

    /// Whether a figure of this place has all that is asked for.
    fn takes(&self, place: &[&str; 4]) -> bool {
        (0..place.len()).all(|field| self.agrees(field, place))
    }

    /// Returns the cell that a line is compared with, or that it is compared with all; nothing where the
    /// choice does not take it.
    fn cell_of<L: Line>(&self, line: &L, experiment: &Experiment) -> Option<Option<CellName>> {
        if !self.takes(&line.place()) {
            return None;
        }
        match (&self.choice.cell, line.cell()) {
            (Some(cell), _) => Some(Some(cell.clone())),
            (None, None) => Some(None),
            // a cell of another experiment may be none of this one's
            (None, Some(label)) => Some(Some(experiment.cell(label).ok()?.label.clone())),
        }
    }

    /// Returns the first line that would be taken if its cell were one of the experiment's, and whether
    /// it names another experiment; lines that do not come first.
    fn without_cell<'l, L: Line>(
        &self,
        lines: &'l [L],
        experiment: &Experiment,
    ) -> Option<(bool, &'l L)> {
        let missing = lines
            .iter()
            .filter(|line| self.takes(&line.place()) && self.cell_of(*line, experiment).is_none());
        let is_other = |line: &L| line.experiment().is_some_and(|of| of != experiment.name);
        missing.map(|line| (is_other(line), line)).min_by_key(|(is_other, _)| *is_other)
    }
}

/// What figures and fingerprints share.
trait Line: Clone {
    /// Table, method, data set and setting.
    fn place(&self) -> [&str; 4];
    /// What it is of, as a name.
    fn quantity(&self) -> String;
    fn experiment(&self) -> Option<&str>;
    fn cell(&self) -> Option<&CellName>;
    /// The same number as one that is compared with this cell of the experiment, or with none.
    fn compared(&self, experiment: Option<&str>, cell: Option<CellName>) -> Self;
}

impl Line for Figure {
    fn place(&self) -> [&str; 4] {
        [&self.table, &self.method, &self.dataset, &self.setting]
    }

    fn quantity(&self) -> String {
        self.metric.as_str().to_owned()
    }

    fn experiment(&self) -> Option<&str> {
        self.experiment.as_deref()
    }

    fn cell(&self) -> Option<&CellName> {
        self.cell.as_ref()
    }

    fn compared(&self, experiment: Option<&str>, cell: Option<CellName>) -> Self {
        Self { experiment: experiment.map(str::to_owned), cell, ..self.clone() }
    }
}

impl Line for Fingerprint {
    fn place(&self) -> [&str; 4] {
        [&self.table, &self.method, &self.dataset, &self.setting]
    }

    fn quantity(&self) -> String {
        match &self.of {
            Mark::Diagnostic(name) => name.clone(),
            Mark::Outcome(state) => format!("outcome {state}"),
        }
    }

    fn experiment(&self) -> Option<&str> {
        self.experiment.as_deref()
    }

    fn cell(&self) -> Option<&CellName> {
        self.cell.as_ref()
    }

    fn compared(&self, experiment: Option<&str>, cell: Option<CellName>) -> Self {
        Self { experiment: experiment.map(str::to_owned), cell, ..self.clone() }
    }
}

/// Gives each figure that names a cell of the experiment the label as the grid spells it.
fn settle_cells<L: Line>(lines: &mut [L], paper: &str, experiment: &Experiment) -> Result<()> {
    let name = experiment.name.as_str();
    for line in lines.iter_mut().filter(|line| line.experiment() == Some(name)) {
        let Some(label) = line.cell() else { continue };
        let cell = experiment.cell(label).map_err(|what| {
            let [table, method, ..] = line.place();
            let quantity = line.quantity();
            Error::Usage(format!(
                "papers/{paper}.toml: {quantity} of {method}, {table}, cannot be compared: \
                 experiment {name} has {what}"
            ))
        })?;
        *line = line.compared(Some(name), Some(cell.label.clone()));
    }
    Ok(())
}

/// Returns the lines of a paper: those that are chosen name the experiment, and of all others none does.
fn chosen<L: Line>(lines: &[L], choices: &[Sought], experiment: &Experiment) -> Vec<L> {
    let name = experiment.name.as_str();
    let is_other = |line: &L| line.experiment().is_some_and(|of| of != name);
    // a number may stand there for each of several experiments: the line of this one comes before theirs
    let (others, own): (Vec<usize>, Vec<usize>) =
        (0..lines.len()).partition(|&place| is_other(&lines[place]));
    let mut claims: Vec<(usize, L)> = Vec::new();
    for place in own.into_iter().chain(others) {
        for choice in choices {
            let Some(cell) = choice.cell_of(&lines[place], experiment) else { continue };
            let claim = lines[place].compared(Some(name), cell);
            if !claims.iter().any(|(_, known)| is_same(known, &claim)) {
                claims.push((place, claim));
            }
        }
    }
    let mut all = Vec::new();
    for (place, line) in lines.iter().enumerate() {
        let of_line = claims.iter().filter(|(of, _)| *of == place).map(|(_, claim)| claim);
        let mut of_line = of_line.cloned().peekable();
        if is_other(line) {
            all.push(line.clone());
        } else if of_line.peek().is_none() {
            all.push(line.compared(None, line.cell().cloned()));
        }
        all.extend(of_line);
    }
    all
}

fn is_same<L: Line>(one: &L, other: &L) -> bool {
    let number =
        |line: &L| (line.place().map(str::to_owned), line.quantity(), line.cell().cloned());
    number(one) == number(other)
}

/// Refuses a choice that takes no figure, and figures that it takes whose cell is not to be found.
fn refuse_empty(sought: &Sought, paper: &Paper, experiment: &Experiment) -> Result<()> {
    let figures = paper.figures.iter().map(Line::place);
    let all: Vec<[&str; 4]> = figures.chain(paper.fingerprints.iter().map(Line::place)).collect();
    if let Some(what) = disagreement(sought, all, &paper.name) {
        return Err(wrong(sought, &what));
    }
    refuse_missing_cells(sought, &paper.figures, experiment)?;
    refuse_missing_cells(sought, &paper.fingerprints, experiment)
}

fn wrong(sought: &Sought, what: &str) -> Error {
    Error::Usage(format!("{}: compare: {what}", sought.choice.origin))
}

/// Says which field of a choice leaves no figure of those that agree with the fields before it.
fn disagreement(sought: &Sought, mut places: Vec<[&str; 4]>, paper: &str) -> Option<String> {
    for (field, (key, wanted)) in sought.fields().into_iter().enumerate() {
        let known: IndexSet<&str> = places.iter().map(|place| place[field]).collect();
        places.retain(|place| sought.agrees(field, place));
        if let Some(wanted) = wanted.filter(|_| places.is_empty()) {
            let known: Vec<&str> = known.into_iter().collect();
            let advice = nearest(wanted, &known);
            let quoted: Vec<String> = known.iter().map(|one| format!("'{one}'")).collect();
            let known = quoted.join(", ");
            return Some(format!(
                "no figure of {paper} has the {key} '{wanted}'{advice}; there are: {known}"
            ));
        }
    }
    None
}

/// Refuses lines whose cell the experiment does not have. Those that name another experiment may be left
/// out beside ones that are taken.
fn refuse_missing_cells<L: Line>(
    sought: &Sought,
    lines: &[L],
    experiment: &Experiment,
) -> Result<()> {
    let Some((is_other, line)) = sought.without_cell(lines, experiment) else { return Ok(()) };
    let is_taken = lines.iter().any(|line| sought.cell_of(line, experiment).is_some());
    let missing = line.cell().and_then(|label| experiment.cell(label).err());
    let Some(what) = missing.filter(|_| !(is_other && is_taken)) else { return Ok(()) };
    let ([table, method, ..], quantity) = (line.place(), line.quantity());
    Err(wrong(
        sought,
        &format!(
            "{quantity} of {method}, {table}, is compared with a cell that is not here: there is \
             {what}; say which one is meant with cell = \"LABEL\""
        ),
    ))
}
