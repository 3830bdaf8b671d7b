//! What `run` and `slurm` end with: every table, the report of all that lies in the folder of results, and
//! a summary that fits on a screen.
use std::path::{Path, PathBuf};
use std::time::Instant;

use seedbed::error::Result;
use seedbed::report::brief::{self, Ending};
use seedbed::report::derive::{Derived, Losing, Making};
use seedbed::report::document::Document;
use seedbed::report::terminal::printable;
use seedbed::schedule::estimate::duration;
use seedbed::schedule::plan::Plan;
use seedbed::shell::quoted;
use seedbed::store::record::State;

use super::compare::{show_comparison, strict_code};
use super::report;
use super::tables::{known, show_summary, stored_names};
use crate::args::{Common, Strict};
use crate::output::{Output, columns_of, print};
use crate::screen::say;

/// How a session ends.
pub struct End<'a> {
    pub common: &'a Common,
    pub making: Making,
    pub strict: Option<Strict>,
    /// Whether the whole tables are shown too.
    pub tables: bool,
    pub began: Instant,
    /// Runs that were made in it, where that is known.
    pub made: Option<usize>,
}

impl End<'_> {
    /// Writes every table of what is stored and the report, and shows what came out; 1 when a run failed or
    /// a figure falls short of what `strict` asks for.
    ///
    /// # Errors
    /// As [`Derived::stored`], and what the file system or stdout refuses.
    pub fn publish(&self, plans: &[&Plan]) -> Result<u8> {
        let mut code = 0;
        let mut output = Output::new(self.common.json);
        let mut all = Vec::new();
        for plan in plans {
            plan.store.check_place()?;
            let derived = Derived::stored(&plan.experiment, &self.common.out(), self.making)?;
            derived.write_tables(Losing::KeptAside)?;
            if !derived.papers.is_empty() {
                derived.write_comparison()?;
                code = code.max(strict_code(self.strict, &derived.comparisons));
            }
            let without = plan.without_row(&derived.rows);
            if without > 0 {
                say(&format!(
                    "{}: {without} runs that were asked for are in no table",
                    derived.name
                ));
                code = 1;
            }
            code = code.max(u8::from(derived.rows.iter().any(|row| row.state != State::Ok)));
            self.show_tables(&derived, &mut output)?;
            all.push(derived);
        }
        output.end()?;
        self.sum_up(all)?;
        Ok(code)
    }

    /// Does the same for what a session has left that did not come to its end. Where nothing is stored
    /// there is nothing to say; what goes wrong is said, and is not why the session ended.
    pub fn publish_rest(&self, plans: &[&Plan]) {
        let has_records = |plan: &&&Plan| plan.recorded() + plan.published() > 0;
        let plans: Vec<&Plan> = plans.iter().filter(has_records).copied().collect();
        if plans.is_empty() {
            return;
        }
        say("writing tables and report of what is stored; once more ends at once");
        if let Err(error) = self.publish(&plans) {
            say(&format!("no tables and no report: {}", error));
        }
    }

    fn show_tables(&self, derived: &Derived, output: &mut Output) -> Result<()> {
        output.next();
        if !self.tables && !self.common.json {
            return Ok(());
        }
        show_summary(derived, output)?;
        if derived.papers.is_empty() { Ok(()) } else { show_comparison(derived, output) }
    }

    /// Writes the report and shows the summary.
    fn sum_up(&self, all: Vec<Derived>) -> Result<()> {
        let methods = brief::methods(&all);
        let failures = all.iter().filter_map(brief::failures).collect();
        let names: Vec<String> = all.iter().map(|one| one.name.clone()).collect();
        let paths = self.write_report(all)?;
        if self.common.json {
            return Ok(());
        }
        let mut last = vec![self.time()];
        if let Some(html) = paths.first() {
            let path = html.display().to_string();
            last.push(format!("report: {} (.md, .tex and .json beside it)", printable(&path)));
        }
        let folder = self.common.out();
        let place = match &names[..] {
            [name] => folder.join(name),
            _ => folder.join("EXPERIMENT"),
        };
        let command = self.command("tables", &names);
        last.push(format!(
            "tables: {} (runs.csv and more), shown by '{command}'",
            printable(&place.display().to_string())
        ));
        let all_in = format!("the report, or '{}'", self.command("compare", &names));
        let ending = Ending { methods, all_in, failures, last };
        print(&ending.text(columns_of(&std::io::stdout())))
    }

    /// Writes the report of these experiments and of all others that have results beside them: a report
    /// of a folder is of all that lies there.
    fn write_report(&self, all: Vec<Derived>) -> Result<Vec<PathBuf>> {
        let out = self.common.out();
        let mut sections = Vec::new();
        let mut here: Vec<String> = stored_names(&out)?;
        here.extend(all.iter().map(|derived| derived.name.clone()));
        here.sort();
        here.dedup();
        let mut all: Vec<Option<Derived>> = all.into_iter().map(Some).collect();
        for name in here {
            let ours = all.iter_mut().find(|one| one.as_ref().is_some_and(|one| one.name == name));
            match ours.and_then(Option::take) {
                Some(derived) if derived.rows.is_empty() => {}
                Some(derived) => sections.push(derived.section()?),
                None => match self.other(&name, &out) {
                    Ok(section) => sections.extend(section),
                    Err(error) => {
                        say(&format!("left out of the report: {}: {}", printable(&name), error))
                    }
                },
            }
        }
        if sections.is_empty() {
            return Ok(Vec::new());
        }
        report::write(&Document { sections }, &out)
    }

    /// Makes the part of the report of an experiment that was not asked for.
    fn other(&self, name: &str, out: &Path) -> Result<Option<seedbed::report::document::Section>> {
        let common = Common::of_stored(self.common.quick);
        let Some(experiment) = known(name, &common)? else { return Ok(None) };
        let derived = Derived::stored(&experiment, out, Making { tell: |_| (), ..self.making })?;
        derived.require_rows()?;
        derived.section().map(Some)
    }

    fn time(&self) -> String {
        let time = duration(self.began.elapsed().as_secs_f64());
        match self.made {
            Some(0) => format!("time: {time}; every run was stored"),
            Some(1) => format!("time: {time} for 1 run"),
            Some(made) => format!("time: {time} for {made} runs"),
            None => format!("time: {time}"),
        }
    }

    /// Writes a command on the same experiments.
    fn command(&self, what: &str, names: &[String]) -> String {
        let mut command = format!("seedbed {what}");
        // of many experiments the folder's all are meant
        let names = if names.len() > 3 { &[] } else { names };
        names.iter().for_each(|name| command += &format!(" {}", quoted(name)));
        if self.common.quick {
            command += " --quick";
        }
        for change in &self.common.set {
            command += &format!(" --set {}", quoted(change));
        }
        if let Some(out) = &self.common.out {
            command += &format!(" --out {}", quoted(&out.display().to_string()));
        }
        command
    }
}
