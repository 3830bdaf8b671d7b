//! Published figures and the margins within which a figure counts as reproduced, from
//! `experiments/papers/*.toml`. Says what was published and how well that is known; compares
//! nothing.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Deserializer, Serialize};

use crate::error::{Error, Result};
use crate::metrics::Metric;

/// A paper, a repository or another source of figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Paper {
    /// The file's name without `.toml`.
    pub name: String,
    pub title: String,
    /// Where it can be read: a URL.
    pub source: String,
    /// By metric; a figure of a metric without a margin gets no verdict.
    #[serde(default)]
    pub margins: BTreeMap<Metric, Margin>,
    pub figures: Vec<Figure>,
}

/// How far from a published figure still counts as reproduced; declared before the runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Margin {
    /// Half the width of the accepted band, in (0, 1].
    #[serde(deserialize_with = "positive")]
    pub value: f64,
    /// Why this much and not more.
    #[serde(deserialize_with = "said")]
    pub reason: String,
}

/// One published number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figure {
    /// Table, section or thread that prints it.
    #[serde(deserialize_with = "said")]
    pub table: String,
    pub dataset: String,
    /// Protocol and number of runs, as published.
    pub setting: String,
    pub method: String,
    pub metric: Metric,
    /// In [0, 1].
    #[serde(deserialize_with = "fraction")]
    pub value: f64,
    /// The published standard deviation, where there is one.
    #[serde(default, deserialize_with = "some_fraction", skip_serializing_if = "Option::is_none")]
    pub std: Option<f64>,
    pub status: Status,
    /// Where this figure can be read, if not in the paper's `source`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The experiment that reproduces it.
    #[serde(deserialize_with = "said")]
    pub experiment: String,
    /// The label of the one cell that it and the cell's control are compared with; without one it is
    /// compared with every cell and control of the experiment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cell: Option<String>,
}

/// How well a figure is known. Only a verified one earns a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Seen in the source itself.
    Verified,
    /// Quoted by a later text.
    Indirect,
    /// Computed from verified numbers.
    Derived,
    /// From memory, not seen.
    Recalled,
}

impl Status {
    /// The name in files and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Indirect => "indirect",
            Self::Derived => "derived",
            Self::Recalled => "recalled",
        }
    }
}

/// Reads `DIR/NAME.toml`.
///
/// # Errors
/// A missing file; TOML that does not parse, an unknown key or a value out of range, by line and
/// column; a `name` that is not the file's; one number published twice in one place.
pub fn load(dir: &Path, name: &str) -> Result<Paper> {
    let path = dir.join(format!("{name}.toml"));
    let text = std::fs::read_to_string(&path).map_err(|error| {
        Error::Usage(format!("cannot read published figures from {}: {error}", path.display()))
    })?;
    parse(&text, name).map_err(|complaint| Error::Usage(format!("{}:{complaint}", path.display())))
}

/// The error reads `LINE:COLUMN: what is wrong`, or ` what is wrong` where no line is to blame.
fn parse(text: &str, name: &str) -> std::result::Result<Paper, String> {
    let paper: Paper = toml::from_str(text).map_err(|error| {
        let before = &text[..error.span().map_or(0, |span| span.start)];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        format!("{line}:{column}: {}", error.message())
    })?;
    if paper.name != name {
        return Err(format!(" name is `{}`, but the file is named `{name}.toml`", paper.name));
    }
    for (index, figure) in paper.figures.iter().enumerate() {
        let place = |figure: &Figure| {
            let Figure { table, metric, experiment, cell, method, .. } = figure.clone();
            (table, metric, experiment, cell, method)
        };
        if paper.figures[..index].iter().any(|other| place(other) == place(figure)) {
            return Err(format!(
                " {} of {}, {}, is published twice for experiment {}: remove one",
                figure.metric.name(),
                figure.method,
                figure.table,
                figure.experiment
            ));
        }
    }
    Ok(paper)
}

fn positive<'de, D: Deserializer<'de>>(input: D) -> std::result::Result<f64, D::Error> {
    let value = fraction(input)?;
    if value > 0.0 {
        return Ok(value);
    }
    Err(serde::de::Error::custom("a margin of 0 can never be met: give a positive one"))
}

fn fraction<'de, D: Deserializer<'de>>(input: D) -> std::result::Result<f64, D::Error> {
    let value = f64::deserialize(input)?;
    if (0.0..=1.0).contains(&value) {
        return Ok(value);
    }
    Err(serde::de::Error::custom(format!("{value} is not between 0 and 1 (0.93, not 93 %)")))
}

fn some_fraction<'de, D: Deserializer<'de>>(
    input: D,
) -> std::result::Result<Option<f64>, D::Error> {
    fraction(input).map(Some)
}

fn said<'de, D: Deserializer<'de>>(input: D) -> std::result::Result<String, D::Error> {
    let text = String::deserialize(input)?;
    if text.trim().is_empty() {
        return Err(serde::de::Error::custom("must not be empty"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
name = "made-up"
title = "A made-up paper"
source = "https://example.org"

[margins.f1]
value = 0.02
reason = "two points"

[[figures]]
table = "Table 1"
dataset = "made-up"
setting = "mean of 20 runs"
method = "DAGMM"
metric = "f1"
value = 0.9
status = "verified"
experiment = "made-up"
"#;

    #[test]
    fn every_shipped_paper_loads_and_states_margins_for_all_its_figures_or_for_none() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/papers");
        let mut papers = 0;
        for entry in std::fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let paper = load(&dir, path.file_stem().unwrap().to_str().unwrap()).unwrap();
            for figure in &paper.figures {
                let stated = paper.margins.contains_key(&figure.metric);
                assert!(stated || paper.margins.is_empty(), "{}", path.display());
            }
            papers += 1;
        }
        assert!(papers >= 7);
    }

    #[test]
    fn the_published_figures_are_those_of_the_sources() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/papers");
        let values = |paper: &str, table: &str| -> Vec<f64> {
            let paper = load(&dir, paper).unwrap();
            let of_table = paper.figures.iter().filter(|figure| figure.table == table);
            of_table.map(|figure| figure.value).collect()
        };
        assert_eq!(values("zong2018", "Table 2"), [0.9297, 0.9442, 0.9369]);
        assert_eq!(values("danieltan07", "README"), [0.9677, 0.9538, 0.9607]);
        assert_eq!(values("danieltan07", "issue 19"), [0.9573, 0.9312, 0.9441]);
        assert_eq!(values("danieltan07", "issue 29"), [0.9169, 0.8786, 0.8974]);
        assert_eq!(values("csdn-vae-blog", "text"), [0.6825, 0.7598]);
        assert_eq!(values("mnist-vae-notebook", "output"), [0.7402918, 0.353171]);
    }

    #[test]
    fn what_is_wrong_is_refused_with_line_and_column() {
        let paper = parse(TEXT, "made-up").unwrap();
        assert_eq!((paper.figures[0].value, paper.figures[0].cell.as_deref()), (0.9, None));
        for (right, wrong, complaint) in [
            ("table = ", "tabel = ", "11:1: unknown field `tabel`"),
            ("value = 0.9\n", "value = 93.0\n", "16:9: 93 is not between 0 and 1"),
            ("value = 0.02", "value = 0.0", "7:9: a margin of 0"),
            ("\"two points\"", "\"\"", "8:10: must not be empty"),
            ("\"f1\"", "\"F1\"", "15:10: unknown variant `F1`"),
            ("[margins.f1]", "[margins.g1]", "6:10: unknown variant `g1`"),
            ("\"verified\"", "\"seen\"", "17:10: unknown variant `seen`"),
            ("\"made-up\"\ntitle", "\"other\"\ntitle", " name is `other`"),
        ] {
            assert!(TEXT.contains(right), "{right}");
            let error = parse(&TEXT.replace(right, wrong), "made-up").unwrap_err();
            assert!(error.starts_with(complaint), "{wrong}: {error}");
        }
        let twice = format!("{TEXT}{}", &TEXT[TEXT.find("[[figures]]").unwrap()..]);
        assert!(parse(&twice, "made-up").unwrap_err().contains("published twice"));
        let error = load(Path::new("nowhere"), "made-up").unwrap_err().to_string();
        assert!(error.contains("nowhere/made-up.toml"), "{error}");
    }
}
