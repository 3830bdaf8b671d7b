//! Texts of experiments that people begin with: a copy of one that is there, or a small one that runs as
//! it is, with a comment on every choice. Makes text alone; nothing is read or written.

use std::fmt::Write;

use crate::dataset::peek::Head;
use crate::shell;

/// The first line of a file that is to be explained by an editor, without the schema's path.
pub const SCHEMA: &str = "#:schema ";

/// What a new experiment is about.
pub struct Beginning<'a> {
    pub name: &'a str,
    /// The path of the schema from the new file, where it is to be had.
    pub schema: Option<&'a str>,
    /// A table of somebody's own and the name that the file is to have; made-up rows without one.
    pub table: Option<(&'a Head, &'a str)>,
    /// Words of a program, and those of them that are files; principal components without one.
    pub program: Option<(&'a [String], &'a [String])>,
}

impl Beginning<'_> {
    /// Writes the file.
    pub fn text(&self) -> String {
        let mut text = self.head();
        text += &self.dataset();
        text += &self.protocol();
        text += &self.model();
        text
    }

    fn head(&self) -> String {
        let schema = self.schema.map_or_else(String::new, |path| format!("{SCHEMA}{path}\n"));
        let (name, title) = (self.name, quoted(self.name));
        let allow = if self.program.is_some() { " --allow-commands" } else { "" };
        format!(
            "{schema}\
             # An experiment: data, a method, how it is judged, and the figures that it is compared with.\n\
             # 'seedbed plan {name}' shows what is to run, 'seedbed run {name}{allow}' runs it, and\n\
             # 'seedbed report' writes results/report.html.\n\
             title = {title} # a line for people\n\
             runs  = 5 # seeds 1 to 5, each with a split of its own; a verdict takes 3 or more\n\
             \n\
             # The figures of a paper: those that agree with everything that is given here. 'seedbed list' names\n\
             # the papers, and 'seedbed new-paper NAME' begins one of your own.\n\
             # compare = {{ paper = \"NAME\", table = \"Table 1\", method = \"…\", dataset = \"…\" }}\n"
        )
    }

    fn dataset(&self) -> String {
        let Some((head, file)) = self.table else {
            return "\n# Made-up rows, which need no file. 'kddcup' and 'mnist' are known too, and 'table' is a file of\n\
                    # your own ('seedbed new NAME --table FILE').\n\
                    [dataset]\n\
                    name    = \"synthetic\"\n\
                    scaling = { kind = \"standard\", fit = \"train\" } # by the statistics of the training rows\n"
                .to_owned();
        };
        let mut text = format!(
            "\n[dataset]\n\
             name   = \"table\"\n\
             file   = {} # in a data directory (--data), beside this file, or an absolute path\n\
             sha256 = {} # of the unpacked bytes: other bytes are refused\n\
             label  = {} # {}\n",
            quoted(file),
            quoted(&head.sha256),
            quoted(&head.label),
            head.why_label,
        );
        let list = |values: &[String]| {
            let all: Vec<String> = values.iter().map(|value| quoted(value)).collect();
            all.join(", ")
        };
        match &head.classes {
            Some(classes) => {
                let (key, value, why) = classes.guess();
                let _ = writeln!(text, "{key} = [{}] # {why}", quoted(&value));
            }
            None => {
                text += "anomaly = [\"1\"] # a guess: the classes that are anomalies; all others are normal\n"
            }
        }
        if !head.categorical.is_empty() {
            let columns = list(&head.categorical);
            let _ = writeln!(text, "categorical = [{columns}] # columns of words become one-hot");
        }
        if head.lacks_values {
            text += "missing = \"drop-row\" # rows that lack a value are left out\n";
        }
        text + "scaling = { kind = \"min-max\", fit = \"train\" } # by the lowest and highest value of the training rows\n"
    }

    fn protocol(&self) -> String {
        let known = self.table.and_then(|(head, _)| head.classes.as_ref()?.share());
        let (top, why) = match (self.table, known) {
            (Some(_), Some(share)) => (share, "the share of anomalies in the file"),
            (Some(_), None) => (0.1, "a guess: the share of rows that are flagged"),
            (None, _) => (0.2, "the top 20 % of the scores of the test rows are flagged"),
        };
        format!(
            "\n[protocol]\n\
             split     = {{ kind = \"half-of-all\" }} # a random half; its normal rows train, the other half tests\n\
             threshold = {{ top = {top}, of = \"test\" }} # {why}\n"
        )
    }

    fn model(&self) -> String {
        let Some((words, files)) = self.program else {
            return "\n# The distance of a row from the first principal components of the training rows: a baseline that\n\
                    # takes no training. 'seedbed list' names the other methods.\n\
                    [model]\n\
                    name       = \"pca\"\n\
                    components = 1\n\
                    \n\
                    # A list of values: each is a cell of the grid, and has runs of its own.\n\
                    # [axes]\n\
                    # \"model.components\" = [1, 2]\n"
                .to_owned();
        };
        let list = |all: &[String]| {
            let all: Vec<String> = all.iter().map(|one| quoted(one)).collect();
            all.join(", ")
        };
        format!(
            "\n# The program is started once a run, in a folder whose path is its last argument. It reads job.json\n\
             # (with the seed), train.npy and test.npy, and writes scores.npy: a number for each test row, higher\n\
             # is more anomalous. It sees no label. docs/methods.md has the rest.\n\
             [model]\n\
             name    = \"command\"\n\
             program = [{}] # as in a shell: {}\n\
             files   = [{}] # what the result depends on: another text is another run\n\
             threads = 1 # cores that a run may use\n\
             \n\
             # [model.settings] # the program's own, in job.json; [axes] may vary them\n\
             # trees = 100\n",
            list(words),
            shell::command(words.iter().map(String::as_str)),
            list(files),
        )
    }
}

/// Returns a copy of an experiment's text under another name.
pub fn copy(text: &str, from: &str, name: &str, schema: Option<&str>) -> String {
    let first = schema.map_or_else(String::new, |path| format!("{SCHEMA}{path}\n"));
    let mut copy = format!("{first}# Begun as a copy of the experiment {from}.\n");
    let mut head = true;
    for line in text.lines().filter(|line| !line.starts_with(SCHEMA)) {
        head &= !line.trim_start().starts_with('[');
        let key = line.split_once('=').map(|(key, _)| key.trim());
        if head && key == Some("name") {
            let _ = writeln!(copy, "name  = {}", quoted(name));
        } else {
            let _ = writeln!(copy, "{line}");
        }
    }
    copy
}

/// A text as TOML has it.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::experiment::{Experiment, Selection};
    use crate::shipped;

    fn parsed(name: &str, text: &str) -> Experiment {
        let path = Path::new("experiments").join(format!("{name}.toml"));
        Experiment::parse(&path, text, &Selection::default()).expect("an experiment")
    }

    #[test]
    fn a_new_experiment_is_one_as_it_is_written() {
        let new = Beginning { name: "mine", schema: None, table: None, program: None };
        let experiment = parsed("mine", &new.text());
        assert_eq!((experiment.name.as_str(), experiment.cells.len()), ("mine", 1));
        let words = ["python3".to_owned(), "a \"b\".py".to_owned()];
        let program = Some((&words[..], &[][..]));
        let with = Beginning { program, schema: Some("../schema/experiment.json"), ..new };
        let text = with.text();
        assert!(text.starts_with("#:schema ../schema/experiment.json\n"), "{text}");
        assert!(!parsed("mine", &text).cells[0].model.is_trained());
    }

    #[test]
    fn a_copy_of_every_shipped_experiment_is_the_same_under_another_name() {
        for from in shipped::experiments() {
            let text = shipped::experiment(from).expect("its text");
            let copied = parsed("mine", &copy(text, from, "mine", None));
            let original = parsed(from, text);
            assert!(!copied.is_shipped && original.is_shipped, "{from}");
            assert_eq!((copied.cells, copied.papers), (original.cells, original.papers), "{from}");
            assert_eq!(copied.compare.len(), original.compare.len(), "{from}");
        }
    }
}
