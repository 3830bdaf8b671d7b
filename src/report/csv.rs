//! `runs.csv` in and out, `summary.csv` and `comparison.csv` out. Numbers are written in the
//! fewest digits that read back exactly, `None` as an empty field; a file appears whole or not at
//! all. Reading refuses whatever it would have to guess at, by file, line and column.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::Path;
use std::str::FromStr;

use csv::{ReaderBuilder, StringRecord, WriterBuilder};
use indexmap::{IndexMap, IndexSet};
use serde::de::value::{Error as WordError, StrDeserializer};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::files;
use crate::metrics::{Counts, Metric, Metrics};
use crate::paper::fingerprint::Quantity;
use crate::report::document::Loss;
use crate::store::whole;
use crate::summary::readings::{Attribution, Effect, Explained, Share, Specified};
use crate::summary::{Comparison, Pair, Row, Summary, Verdict};
use crate::text::near;

/// A column of files that hold scores from elsewhere: see [`Row::scores_from`].
const SCORES_FROM: &str = "scores_from";

/// Without these a row says nothing.
const REQUIRED: [&str; 5] = ["experiment", "cell", "seed", "scale", "state"];

/// Returns the columns of `runs.csv` that every file has; one column an axis follows them, named by the
/// axis's dotted key.
pub fn run_columns() -> Vec<String> {
    columns_of(&Row::new("", "", 0))
}

/// Returns the columns of a run that are not empty, by their names.
///
/// # Errors
/// None for rows that were read or made from records.
pub fn fields_of(row: &Row) -> Result<BTreeMap<String, String>> {
    let text = runs_text(std::slice::from_ref(row))?;
    let mut reader = ReaderBuilder::new().from_reader(text.as_bytes());
    let failed = |error: csv::Error| Error::Failed(format!("cannot read a row back: {error}"));
    let names = reader.headers().map_err(failed)?.clone();
    let mut fields = BTreeMap::new();
    for record in reader.records() {
        let record = record.map_err(failed)?;
        let filled = names.iter().zip(record.iter()).filter(|(_, value)| !value.is_empty());
        fields.extend(filled.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
    Ok(fields)
}

/// Returns the names of the columns that a line's fields make, those of structs in it in their place.
fn columns_of(line: &impl Serialize) -> Vec<String> {
    fn add(name: &str, value: &Value, names: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                fields.iter().for_each(|(name, value)| add(name, value, names))
            }
            _ => names.push(name.to_owned()),
        }
    }
    let mut names = Vec::new();
    // the lines of tables are plain structs
    add("", &serde_json::to_value(line).unwrap_or_default(), &mut names);
    names
}

/// Writes `runs.csv`, rows as they come (see [`crate::report::rows_of`]).
///
/// # Errors
/// Whatever the file system refuses.
pub fn write_runs(path: &Path, rows: &[Row]) -> Result<()> {
    write_bytes(path, runs_text(rows)?.as_bytes())
}

/// The text of a `runs.csv` with these rows.
///
/// # Errors
/// None for rows that were read or made from records.
pub fn runs_text(rows: &[Row]) -> Result<String> {
    let axes: IndexSet<&str> =
        rows.iter().flat_map(|row| row.axes.keys()).map(String::as_str).collect();
    // other files stay what they were before there was such a column
    let elsewhere = rows.iter().any(Row::is_elsewhere).then_some(SCORES_FROM);
    let further = elsewhere.into_iter().chain(axes.iter().copied()).map(str::to_owned);
    let header = run_columns().into_iter().chain(further);
    let lines = rows.iter().map(|row| {
        let from = elsewhere.map(|_| Some(&row.scores_from));
        let values: Vec<Option<&String>> =
            from.into_iter().chain(axes.iter().map(|&axis| row.axes.get(axis))).collect();
        (row, values)
    });
    let failed = |error: &dyn std::fmt::Display| {
        Error::Failed(format!("cannot write rows of runs.csv: {error}"))
    };
    let bytes = bytes(header, lines).map_err(|error| failed(&error))?;
    String::from_utf8(bytes).map_err(|error| failed(&error))
}

/// Writes `specification.csv`: cells of readings in the order of a quantity, then a column a key of the grid.
///
/// # Errors
/// Whatever the file system refuses.
pub fn write_specification(path: &Path, explained: &Explained) -> Result<()> {
    let Explained { of, fingerprint, factors, specification, .. } = explained;
    let of = of.to_string();
    let mark = fingerprint.as_ref().map_or_else(String::new, |mark| mark.to_string());
    let example = SpecificationLine::default();
    let header = columns_of(&example).into_iter().chain(factors.iter().map(|one| one.key.clone()));
    let lines = specification.iter().map(|cell| {
        let values =
            factors.iter().zip(&cell.levels).map(|(one, &level)| one.values[level].as_str());
        let line =
            SpecificationLine { of: &of, fingerprint_of: &mark, ..SpecificationLine::from(cell) };
        (line, values.collect::<Vec<&str>>())
    });
    let bytes = bytes(header, lines)
        .map_err(|error| Error::Failed(format!("cannot write {}: {error}", path.display())))?;
    write_bytes(path, &bytes)
}

/// Writes `effects.csv`: main effects and two-way terms of the readings, then the Shapley values of the
/// difference between two cells.
///
/// # Errors
/// Whatever the file system refuses.
pub fn write_effects(path: &Path, explained: &Explained) -> Result<()> {
    let effects = explained.effects.iter().map(EffectLine::from);
    let shares = explained
        .attribution
        .iter()
        .flat_map(|whole| whole.shares.iter().map(move |share| EffectLine::of_share(whole, share)));
    write_lines(path, &EffectLine::default(), effects.chain(shares))
}

/// Writes `summary.csv`, in the order of the summaries.
///
/// # Errors
/// Whatever the file system refuses.
pub fn write_summary(path: &Path, summaries: &[Summary]) -> Result<()> {
    write_lines(path, &SummaryLine::default(), summaries.iter().map(SummaryLine::from))
}

/// Returns the columns of `comparison.csv`.
pub fn comparison_columns() -> Vec<String> {
    columns_of(&ComparisonLine::default())
}

/// Writes `comparison.csv`, in the order of the comparisons. The column `verdict` holds
/// [`Comparison::verdict_text`].
///
/// # Errors
/// Whatever the file system refuses.
pub fn write_comparison(path: &Path, comparisons: &[Comparison]) -> Result<()> {
    write_lines(path, &ComparisonLine::default(), comparisons.iter().map(ComparisonLine::from))
}

/// Writes `pairs.csv`, in the order of the pairs.
///
/// # Errors
/// Whatever the file system refuses.
pub fn write_pairs(path: &Path, pairs: &[Pair]) -> Result<()> {
    write_lines(path, &PairLine::default(), pairs.iter().map(PairLine::from))
}

/// Writes `losses.csv`, in the order of the losses.
///
/// # Errors
/// Whatever the file system refuses.
pub fn write_losses(path: &Path, losses: &[Loss]) -> Result<()> {
    write_lines(path, &Loss::default(), losses.iter())
}

/// Reads a `losses.csv` as [`write_losses`] writes it.
///
/// # Errors
/// A missing file, or one that is no `losses.csv`.
pub fn read_losses(path: &Path) -> Result<Vec<Loss>> {
    let failed = |error: csv::Error| {
        Error::Data(format!("cannot read losses from {}: {error}", path.display()))
    };
    let mut reader = open(path).map_err(failed)?;
    reader.deserialize().collect::<std::result::Result<_, _>>().map_err(failed)
}

/// Writes a file of lines like `example`, whose columns are its fields.
pub(super) fn write_lines<L: Serialize>(
    path: &Path,
    example: &L,
    lines: impl Iterator<Item: Serialize>,
) -> Result<()> {
    let bytes = bytes(columns_of(example).into_iter(), lines)
        .map_err(|error| Error::Failed(format!("cannot write {}: {error}", path.display())))?;
    write_bytes(path, &bytes)
}

fn bytes(
    header: impl Iterator<Item = String>,
    lines: impl Iterator<Item: Serialize>,
) -> std::result::Result<Vec<u8>, csv::Error> {
    let mut writer = WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    writer.write_record(header)?;
    for line in lines {
        writer.serialize(line)?;
    }
    writer.into_inner().map_err(|error| error.into_error().into())
}

fn write_bytes(path: &Path, bytes: &[u8]) -> Result<()> {
    whole::write(path, bytes).map_err(|error| Error::of_file("write", path, &error))
}

/// Defines the line that a table has of something: its columns in order, and their values.
macro_rules! lines {
    ($(#[$doc:meta])* $name:ident of $one:ident: $of:ty {
        $($column:ident: $kind:ty = $value:expr,)+
    }) => {
        $(#[$doc])*
        #[derive(Default, Serialize)]
        struct $name<'a> {
            $($column: $kind,)+
        }

        impl<'a> From<&'a $of> for $name<'a> {
            fn from($one: &'a $of) -> Self {
                Self { $($column: $value,)+ }
            }
        }
    };
}

lines! {
    /// One cell of the readings' specification curve.
    SpecificationLine of one: Specified {
        of: &'a str = "",
        rank: usize = one.rank,
        cell: &'a str = &one.cell,
        n: usize = one.n,
        n_failed: usize = one.n_failed,
        mean: f64 = one.mean,
        ci95_low: Option<f64> = one.low,
        ci95_high: Option<f64> = one.high,
        control_mean: Option<f64> = one.control_mean,
        fingerprint_of: &'a str = "",
        fingerprint: Option<f64> = one.fingerprint,
    }
}

lines! {
    /// One effect, or one share of a difference.
    EffectLine of one: Effect {
        of: &'a str = &one.of,
        kind: &'a str = if one.term.contains('×') { "two-way" } else { "main" },
        term: &'a str = &one.term,
        from: &'a str = &one.from,
        to: &'a str = &one.to,
        estimate: f64 = one.estimate,
        ci95_low: Option<f64> = one.low,
        ci95_high: Option<f64> = one.high,
        share: Option<f64> = None,
        share_low: Option<f64> = None,
        share_high: Option<f64> = None,
        seeds: usize = one.seeds,
        from_cell: &'a str = "",
        to_cell: &'a str = "",
    }
}

impl<'a> EffectLine<'a> {
    fn of_share(whole: &'a Attribution, one: &'a Share) -> Self {
        Self {
            of: &whole.of,
            kind: if whole.observed { "shapley" } else { "shapley of the model" },
            term: &one.key,
            from: &one.from,
            to: &one.to,
            estimate: one.value,
            ci95_low: one.low,
            ci95_high: one.high,
            share: one.share,
            share_low: one.share_low,
            share_high: one.share_high,
            seeds: whole.seeds,
            from_cell: &whole.from,
            to_cell: &whole.to,
        }
    }
}

lines! {
    /// A line of `summary.csv`.
    SummaryLine of one: Summary {
        experiment: &'a str = &one.experiment,
        cell: &'a str = &one.cell,
        metric: &'a str = one.metric.as_str(),
        n: usize = one.n,
        n_failed: usize = one.n_failed,
        mean: Option<f64> = one.mean,
        std: Option<f64> = one.std,
        min: Option<f64> = one.min,
        median: Option<f64> = one.median,
        max: Option<f64> = one.max,
        ci95_low: Option<f64> = one.ci95_low,
        ci95_high: Option<f64> = one.ci95_high,
        q1: Option<f64> = one.q1,
        q3: Option<f64> = one.q3,
        bca95_low: Option<f64> = one.bca95_low,
        bca95_high: Option<f64> = one.bca95_high,
        scale: &'a str = one.scale.as_str(),
        code: &'a str = &one.code,
        note: &'a str = &one.note,
    }
}

lines! {
    /// A line of `comparison.csv`.
    ComparisonLine of one: Comparison {
        experiment: &'a str = &one.experiment,
        cell: &'a str = &one.cell,
        metric: Option<&'a Quantity> = Some(&one.metric),
        paper: &'a str = &one.paper,
        table: &'a str = &one.table,
        published: f64 = one.published,
        published_std: Option<f64> = one.published_std,
        status: &'a str = one.status.as_str(),
        n: usize = one.n,
        n_failed: usize = one.n_failed,
        mean: Option<f64> = one.mean,
        std: Option<f64> = one.std,
        difference: Option<f64> = one.difference,
        ci90_low: Option<f64> = one.ci90_low,
        ci90_high: Option<f64> = one.ci90_high,
        margin: Option<f64> = one.margin,
        verdict: String = one.verdict_text(),
        runs_needed: Option<usize> = one.runs_needed,
        method: &'a str = &one.method,
        published_runs: Option<u64> = one.published_runs,
        rounding: f64 = one.rounding,
        test: &'a str = one.test.as_str(),
        p_equivalent: Option<f64> = one.p_equivalent,
        p_different: Option<f64> = one.p_different,
        verdict_rounded: &'a str = one.verdict_rounded.as_str(),
        verdict_holm: &'a str = one.verdict_holm.as_str(),
        smallest_margin: Option<f64> = one.smallest_margin,
        power: Option<f64> = one.power,
        control_mean: Option<f64> = one.control_mean,
        control_share: Option<f64> = one.control_share,
        scale: &'a str = one.scale.as_str(),
        code: &'a str = &one.code,
        note: &'a str = &one.note,
        declared_runs: Option<u64> = one.declared_runs,
        prediction_low: Option<f64> = one.prediction_low,
        prediction_high: Option<f64> = one.prediction_high,
        compatible: Option<bool> = one.compatible,
        decidable_margin: Option<f64> = one.decidable_margin,
        flip_std: Option<f64> = one.flip_std,
        flip_below: Option<&'a str> = one.flip_below.map(Verdict::as_str),
        ended: Option<usize> = one.ended,
        share_low: Option<f64> = one.share_low,
        share_high: Option<f64> = one.share_high,
    }
}

lines! {
    /// A line of `pairs.csv`.
    PairLine of one: Pair {
        experiment: &'a str = &one.experiment,
        cell: &'a str = &one.cell,
        against: &'a str = &one.against,
        axis: &'a str = &one.axis,
        metric: &'a str = one.metric.as_str(),
        n: usize = one.n,
        mean_difference: Option<f64> = one.mean_difference,
        std_difference: Option<f64> = one.std_difference,
        ci95_low: Option<f64> = one.ci95_low,
        ci95_high: Option<f64> = one.ci95_high,
        p_wilcoxon: Option<f64> = one.p_wilcoxon,
        p_holm: Option<f64> = one.p_holm,
        cohen_dz: Option<f64> = one.cohen_dz,
        rank_biserial: Option<f64> = one.rank_biserial,
        scale: &'a str = one.scale.as_str(),
        note: &'a str = &one.note,
    }
}

/// Reads a `runs.csv`, columns in any order, and puts its rows in the order of every table. Only
/// experiment, cell, seed, scale, state and one metric are needed; a column with a dot in its name
/// is an axis.
///
/// # Errors
/// A missing file; an unknown, missing or repeated column; a field that is not what its column
/// says, NaN and figures outside [0, 1] among them; a run that is there twice: by file, line and
/// column.
pub fn read_runs(path: &Path) -> Result<Vec<Row>> {
    let bytes = files::read(path, files::LARGEST_TABLE).map_err(|error| {
        Error::Data(format!("cannot read runs from {}: {error}", path.display()))
    })?;
    let mut reader = ReaderBuilder::new().from_reader(&*bytes);
    let mut lines = Lines { bytes: &bytes, at: 0, line: 1 };
    let header = reader.headers().map_err(|error| unreadable(path, &error, &mut lines))?;
    let number = lines.of(header.position());
    let columns = columns(path, number, header)?;
    let mut rows = Vec::new();
    let mut seen = HashMap::new();
    for record in reader.records() {
        let record = record.map_err(|error| unreadable(path, &error, &mut lines))?;
        let number = lines.of(record.position());
        let row = Line { path, number, columns: &columns, fields: &record }.row()?;
        let run = (row.experiment.clone(), row.cell.clone(), row.seed);
        if let Some(first) = seen.insert(run, number) {
            return Err(Error::Data(format!(
                "{}:{number}: seed {} of {} {} is already on line {first}: remove one",
                path.display(),
                row.seed,
                row.experiment,
                row.cell
            )));
        }
        rows.push(row);
    }
    if rows.is_empty() {
        let path = path.display();
        return Err(Error::Data(format!("{path} holds no run: there is no line below its header")));
    }
    crate::summary::sort(&mut rows);
    Ok(rows)
}

/// Says that the first column of a `runs.csv` is left out, where it has no name: pandas writes its index so.
pub fn left_out(path: &Path) -> Option<String> {
    let header = open(path).ok()?.headers().ok()?.clone();
    let is_index = header.len() > 1 && header.get(0) == Some("");
    is_index.then(|| format!("{}: its first column has no name and is left out", path.display()))
}

/// Lines as an editor counts them, whichever characters end them, blank ones and those within quotes too. The
/// csv crate counts otherwise.
struct Lines<'a> {
    bytes: &'a [u8],
    /// A place, and the line that it is on.
    at: usize,
    line: u64,
}

impl Lines<'_> {
    /// The line where a record begins that the csv crate found somewhere at or after the place before.
    fn of(&mut self, position: Option<&csv::Position>) -> u64 {
        let start = position.map_or(0, csv::Position::byte) as usize;
        let blank = |byte: &u8| matches!(byte, b'\r' | b'\n');
        let rest = self.bytes.get(start..).unwrap_or_default();
        // the position may be among the ends of lines before the record
        let start = start + rest.iter().take_while(|byte| blank(byte)).count();
        for place in self.at..start.min(self.bytes.len()) {
            let ends = match self.bytes[place] {
                b'\n' => true,
                b'\r' => self.bytes.get(place + 1) != Some(&b'\n'),
                _ => false,
            };
            self.line += u64::from(ends);
        }
        self.at = self.at.max(start);
        self.line
    }
}

/// A reader of the lines of a table.
pub(super) fn open(path: &Path) -> csv::Result<csv::Reader<File>> {
    Ok(ReaderBuilder::new().from_reader(files::open(path, files::LARGEST_TABLE)?))
}

/// Says whether a `runs.csv` has the column of scores from elsewhere; not where it cannot be read.
pub(super) fn may_be_elsewhere(path: &Path) -> bool {
    let header = open(path).and_then(|mut reader| reader.headers().cloned());
    header.is_ok_and(|header| header.iter().any(|name| name == SCORES_FROM))
}

/// What the csv crate found, by line.
fn unreadable(path: &Path, error: &csv::Error, lines: &mut Lines) -> Error {
    let path = path.display();
    let line = lines.of(error.position());
    Error::Data(match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("{path}:{line}: {len} fields, but the header names {expected_len} columns")
        }
        csv::ErrorKind::Utf8 { err, .. } => {
            format!("{path}:{line}: field {} is not UTF-8: save the file as UTF-8", err.field() + 1)
        }
        _ => format!("{path}:{line}: {error}"),
    })
}

/// Column name → index.
fn columns(path: &Path, line: u64, header: &StringRecord) -> Result<IndexMap<String, usize>> {
    let wrong = |what: String| Error::Data(format!("{}:{line}: {what}", path.display()));
    if let (1, Some(text)) = (header.len(), header.get(0))
        && let Some((separator, name)) = [(';', "semicolons"), ('\t', "tabs"), ('|', "bars")]
            .into_iter()
            .find(|(separator, _)| text.contains(*separator))
    {
        let separator = separator.escape_default();
        return Err(wrong(format!(
            "fields are separated by {name} (`{separator}`): save the file with commas"
        )));
    }
    let (mut columns, mut known) = (IndexMap::new(), run_columns());
    known.push(SCORES_FROM.to_owned());
    // pandas writes its index as a first column without a name
    let is_index = |index: usize, name: &str| index == 0 && name.is_empty() && header.len() > 1;
    for (index, name) in header.iter().enumerate().filter(|(index, name)| !is_index(*index, name)) {
        if !known.iter().any(|known| known == name) && !name.contains('.') {
            let names: Vec<&str> = known.iter().map(String::as_str).collect();
            let near = near(name, &names).map_or_else(
                || format!("known are {}", names.join(", ")),
                |near| format!("nearest: `{near}`"),
            );
            return Err(wrong(format!(
                "unknown column `{name}` ({near}); an axis has a dot in its name"
            )));
        }
        if columns.insert(name.to_string(), index).is_some() {
            return Err(wrong(format!("column `{name}` is there twice: remove one")));
        }
    }
    for name in REQUIRED {
        if !columns.contains_key(name) {
            return Err(wrong(format!(
                "column `{name}` is missing; needed are {} and a metric",
                REQUIRED.join(", ")
            )));
        }
    }
    let metrics = Metric::ALL.map(Metric::as_str);
    if !metrics.iter().any(|&metric| columns.contains_key(metric)) {
        return Err(wrong(format!("no metric to read: add one of {}", metrics.join(", "))));
    }
    Ok(columns)
}

/// One line of a `runs.csv` being read.
struct Line<'a> {
    path: &'a Path,
    number: u64,
    columns: &'a IndexMap<String, usize>,
    fields: &'a StringRecord,
}

impl Line<'_> {
    fn row(&self) -> Result<Row> {
        let axes = self.columns.keys().filter(|name| name.contains('.'));
        self.check_metrics()?;
        Ok(Row {
            experiment: self.name("experiment")?.into(),
            cell: self.name("cell")?.into(),
            seed: self.whole("seed")?.ok_or_else(|| self.wrong("seed", "is empty"))?,
            scale: self.word("scale")?,
            state: self.word("state")?,
            tp: self.whole("tp")?,
            fp: self.whole("fp")?,
            fn_: self.whole("fn")?,
            tn: self.whole("tn")?,
            metrics: Metrics::try_from_fn(|metric| self.fraction(metric.as_str()))?,
            threshold: self.number("threshold")?,
            epochs: self.whole("epochs")?,
            batch_width: self.whole("batch_width")?,
            device: self.text("device").into(),
            wall_seconds: self.number("wall_seconds")?,
            data_sha256: self.text("data_sha256").into(),
            split_sha256: self.text("split_sha256").into(),
            init_sha256: self.text("init_sha256").into(),
            scores_sha256: self.text("scores_sha256").into(),
            key: self.text("key").into(),
            protocol_version: self.whole("protocol_version")?,
            commit: self.text("commit").into(),
            libtorch: self.text("libtorch").into(),
            scores_from: self.digests(SCORES_FROM)?.into(),
            axes: axes
                .filter(|axis| !self.text(axis).is_empty())
                .map(|axis| (axis.clone(), self.text(axis).into()))
                .collect(),
        })
    }

    /// Holds metrics against the counts beside them, as far as their digits go.
    fn check_metrics(&self) -> Result<()> {
        let [tp, fp, fn_, tn] = ["tp", "fp", "fn", "tn"].map(|column| self.whole::<u32>(column));
        let (Some(tp), Some(fp), Some(fn_), Some(tn)) = (tp?, fp?, fn_?, tn?) else {
            return Ok(());
        };
        let counts = Counts { tp: tp.into(), fp: fp.into(), fn_: fn_.into(), tn: tn.into() };
        for metric in Metric::ALL {
            let column = metric.as_str();
            let (Some(found), Some(given)) = (self.fraction(column)?, counts.metric(metric)) else {
                continue;
            };
            let rounding = 0.5 * last_place(self.text(column)) + 1e-12;
            match given {
                Some(given) if (found - given).abs() <= rounding => {}
                Some(given) => {
                    let what = format!("is not what its counts give, {given}");
                    return Err(self.wrong(column, &what));
                }
                None => return Err(self.wrong(column, "is undefined for its counts")),
            }
        }
        Ok(())
    }

    /// One SHA-256 or two, or nothing.
    fn digests(&self, column: &str) -> Result<&str> {
        let text = self.text(column);
        let is_one =
            |word: &str| word.len() == 64 && word.bytes().all(|digit| digit.is_ascii_hexdigit());
        let words: Vec<&str> = text.split(' ').collect();
        match text.is_empty() || (words.len() <= 2 && words.into_iter().all(is_one)) {
            true => Ok(text),
            false => Err(self.wrong(column, "is no SHA-256, nor two with a space between them")),
        }
    }

    /// Empty for a column that the file does not have.
    fn text(&self, column: &str) -> &str {
        self.columns.get(column).and_then(|&index| self.fields.get(index)).unwrap_or("")
    }

    fn needed(&self, column: &str) -> Result<&str> {
        match self.text(column) {
            "" => Err(self.wrong(column, "is empty")),
            text => Ok(text),
        }
    }

    /// A space that nobody sees would make another cell of it, and a control character could do
    /// anything to a terminal.
    fn name(&self, column: &str) -> Result<&str> {
        let text = self.needed(column)?;
        if text.trim() != text {
            return Err(self.wrong(column, "begins or ends with a space"));
        }
        if text.chars().any(char::is_control) {
            return Err(self.wrong(column, "holds a control character"));
        }
        Ok(text)
    }

    fn word<'de, T: Deserialize<'de>>(&'de self, column: &str) -> Result<T> {
        let text: StrDeserializer<'de, WordError> = StrDeserializer::new(self.needed(column)?);
        T::deserialize(text).map_err(|error| self.wrong(column, &format!("has an {error}")))
    }

    /// A whole number may be written as one with decimals that are zeros: tables with blanks in a column
    /// become so.
    fn whole<T: FromStr>(&self, column: &str) -> Result<Option<T>> {
        let text = self.text(column);
        let zeros =
            |decimals: &str| !decimals.is_empty() && decimals.bytes().all(|digit| digit == b'0');
        match text.split_once('.').filter(|(_, decimals)| zeros(decimals)) {
            Some((whole, _)) => {
                whole.parse().map(Some).map_err(|_| self.wrong(column, "is not a whole number"))
            }
            None => self.parse(column, "is not a whole number"),
        }
    }

    /// NaN is no number; infinity is one.
    fn number(&self, column: &str) -> Result<Option<f64>> {
        match self.parse(column, "is not a number")? {
            Some(value) if f64::is_nan(value) => Err(self.wrong(column, "is not a number")),
            value => Ok(value),
        }
    }

    fn fraction(&self, column: &str) -> Result<Option<f64>> {
        match self.number(column)? {
            Some(value) if !(0.0..=1.0).contains(&value) => {
                Err(self.wrong(column, "is not between 0 and 1 (0.93, not 93 %)"))
            }
            value => Ok(value),
        }
    }

    fn parse<T: FromStr>(&self, column: &str, complaint: &str) -> Result<Option<T>> {
        match self.text(column) {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|_| self.wrong(column, complaint)),
        }
    }

    fn wrong(&self, column: &str, complaint: &str) -> Error {
        Error::Data(format!(
            "{}:{}: column {column}: `{}` {complaint}",
            self.path.display(),
            self.number,
            self.text(column).escape_debug()
        ))
    }
}

/// What the last digit of a decimal number counts for: 0.01 of `0.93`, 0.001 of `9.31e-1`.
fn last_place(number: &str) -> f64 {
    let (digits, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let decimals = digits.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    let exponent: i32 = exponent.parse().unwrap_or(0);
    10f64.powi(exponent.saturating_sub(i32::try_from(decimals).unwrap_or(i32::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::Scale;
    use crate::store::record::State;
    use crate::summary::tests::{figure, paper, row, rows};
    use crate::summary::{Evidence, compare, summarise};

    fn written(write: impl FnOnce(&Path) -> Result<()>) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.csv");
        write(&path).unwrap();
        std::fs::read_to_string(path).unwrap()
    }

    fn read(text: &str) -> Result<Vec<Row>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs.csv");
        std::fs::write(&path, text).unwrap();
        read_runs(&path)
    }

    fn complete(seed: u64) -> Row {
        Row {
            tp: Some(7),
            fp: Some(3),
            fn_: Some(3),
            tn: Some(9),
            metrics: Metrics::from_fn(|metric| match metric {
                Metric::Precision | Metric::Recall | Metric::F1 => Some(0.7),
                Metric::Auroc => Some(0.1 + 0.2),
                Metric::Auprc => Some(5e-324),
                Metric::AurocOfFlags => Some(0.725),
            }),
            threshold: Some(f64::INFINITY),
            epochs: Some(200),
            batch_width: Some(4),
            device: "cpu".into(),
            wall_seconds: Some(1234.5),
            data_sha256: "d".into(),
            split_sha256: "s".into(),
            init_sha256: "i".into(),
            scores_sha256: "c".into(),
            key: "k".into(),
            protocol_version: Some(1),
            commit: "abc-dirty".into(),
            libtorch: "2.11.0".into(),
            axes: IndexMap::from([
                ("model.reconstruction".into(), "sum".into()),
                ("model.hidden".into(), "[60, 30]".into()),
            ]),
            ..row("reconstruction=sum,hidden=[60, 30]", seed, 0.7)
        }
    }

    #[test]
    fn runs_read_back_exactly_as_they_were_written() {
        let mut failed = complete(2);
        (failed.state, failed.metrics[Metric::F1], failed.metrics[Metric::Auroc], failed.tp) =
            (State::TimedOut, None, None, None);
        let runs = vec![complete(1), failed];
        let text = written(|path| write_runs(path, &runs));
        assert_eq!(
            text.lines().nth(1).unwrap(),
            "made-up,\"reconstruction=sum,hidden=[60, 30]\",1,full,ok,7,3,3,9,\
             0.7,0.7,0.7,0.30000000000000004,5e-324,0.725,inf,200,4,cpu,1234.5,\
             d,s,i,c,k,1,abc-dirty,2.11.0,sum,\"[60, 30]\""
        );
        assert!(text.starts_with(&format!(
            "{},model.reconstruction,model.hidden\n",
            run_columns().join(",")
        )));
        assert_eq!(read(&text).unwrap(), runs);
    }

    #[test]
    fn someone_elses_runs_need_little_and_may_be_in_any_order() {
        let text = "state,f1,seed,cell,scale,experiment\r\n\
                    ok,0.5,10,base,full,mine\r\n\
                    ok,,2,base,full,mine\r\n\
                    out-of-memory,,1,base,full,mine\r\n";
        let runs = read(text).unwrap();
        let seeds: Vec<(u64, State, Option<f64>)> =
            runs.iter().map(|row| (row.seed, row.state, row.metrics[Metric::F1])).collect();
        let expected =
            [(1, State::OutOfMemory, None), (2, State::Ok, None), (10, State::Ok, Some(0.5))];
        assert_eq!(seeds, expected);
        assert_eq!(runs[0].scale, Scale::Full);
    }

    #[test]
    fn lines_are_those_of_an_editor_whatever_ends_them() {
        let header = "experiment,cell,seed,scale,state,f1";
        for (end, blank) in [("\n", 0), ("\r\n", 0), ("\r", 0), ("\n", 2), ("\r\n", 3), ("\r", 1)] {
            let gap = end.repeat(blank + 1);
            let lines = [
                header,
                "a,\"b\nc\",1,full,ok,0.5",
                "a,base,2,full,ok,0.5",
                "a,base,2,full,ok,0.5",
            ];
            let error = read(&lines.join(&gap)).unwrap_err().to_string();
            // the control character in a name is told first, on the second line that is not blank
            let line = 2 + blank;
            assert!(error.contains(&format!(":{line}: column cell")), "{end:?} {blank}: {error}");
            let lines =
                [header, "a,base,1,full,ok,0.5", "a,base,2,full,ok,0.5", "a,base,2,full,ok,0.5"];
            let error = read(&lines.join(&gap)).unwrap_err().to_string();
            let (first, second) = (3 + 2 * blank, 4 + 3 * blank);
            let told = error.contains(&format!(":{second}: seed 2"))
                && error.contains(&format!("already on line {first}:"));
            assert!(told, "{end:?} {blank}: {error}");
            let lines = [header, "a,base,1,full,ok,0.5", "a,base,2,full,ok"];
            let error = read(&lines.join(&gap)).unwrap_err().to_string();
            assert!(error.contains(&format!(":{first}: 5 fields")), "{end:?} {blank}: {error}");
        }
    }

    #[test]
    fn what_pandas_makes_of_a_file_is_read_and_other_separators_are_named() {
        let text = ",experiment,cell,seed,scale,state,tp,fp,fn,tn,f1\n\
                    0,a,base,1,full,ok,7.0,3.0,3.0,9.0,0.7\n1,a,base,2,full,crashed,,,,,\n";
        let rows = read(text).unwrap();
        assert_eq!((rows.len(), rows[0].tp, rows[1].tp), (2, Some(7), None));
        let error = read(&text.replace("7.0,3.0,3", "7.5,3.0,3")).unwrap_err().to_string();
        assert!(error.contains("column tp: `7.5` is not a whole number"), "{error}");
        for (separator, name) in [(";", "semicolons"), ("\t", "tabs")] {
            let error = read(&text[1..].replace(',', separator)).unwrap_err().to_string();
            assert!(
                error.contains(":1: fields are separated by") && error.contains(name),
                "{error}"
            );
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs.csv");
        std::fs::write(&path, text).unwrap();
        assert!(left_out(&path).unwrap().contains("first column has no name"));
        std::fs::write(&path, &text[1..]).unwrap();
        assert_eq!(left_out(&path), None);
    }

    #[test]
    fn metrics_are_what_their_counts_give_as_far_as_their_digits_go() {
        let header = "experiment,cell,seed,scale,state,tp,fp,fn,tn,precision,f1\n";
        let of = |counts: &str, metrics: &str| {
            read(&format!("{header}a,base,1,full,ok,{counts},{metrics}\n"))
        };
        // 2/3 and 4/7
        for metrics in
            ["0.6666666666666666,0.5714285714285714", "0.667,0.57", "0.67,", ",5.714286e-1"]
        {
            assert!(of("2,1,2,5", metrics).is_ok(), "{metrics}");
        }
        for (counts, metrics, complaint) in [
            ("2,1,2,5", "0.668,", "column precision: `0.668` is not what its counts give, 0.666"),
            ("2,1,2,5", ",0.8", "column f1: `0.8` is not what its counts give, 0.571"),
            ("2,1,2,5", ",5.8e-1", "column f1: `5.8e-1` is not what its counts give"),
            ("0,0,0,5", "0.5,", "column precision: `0.5` is undefined for its counts"),
            ("99999999999,1,2,5", "0.5,", "column tp: `99999999999` is not a whole number"),
        ] {
            let error = of(counts, metrics).unwrap_err().to_string();
            assert!(error.contains(complaint), "{error}");
        }
        // who gives no counts is believed
        assert!(of(",,,", "0.8,0.8").is_ok());
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_line_and_column() {
        let header = "experiment,cell,seed,scale,state,f1,model.latent\n";
        for (text, complaint) in [
            ("experiment,cell,seed,scale,state,F1\n", ":1: unknown column `F1` (nearest: `f1`)"),
            ("experiment,cell,seed,scale,f1\n", ":1: column `state` is missing"),
            ("experiment,cell,seed,scale,state\n", ":1: no metric to read"),
            ("experiment,cell,seed,scale,state,f1,f1\n", ":1: column `f1` is there twice"),
            ("", ":1: column `experiment` is missing"),
            ("{}a,base,1,full,ok,0.5,1\na,base,2,full,ok,nan,1\n", ":3: column f1: `nan` is not a"),
            ("{}a,base,1,full,ok,93.7,1\n", ":2: column f1: `93.7` is not between 0 and 1"),
            ("{}a,base,1,full,ok,\"0,9\",1\n", ":2: column f1: `0,9` is not a number"),
            ("{}a,base,1.5,full,ok,0.9,1\n", ":2: column seed: `1.5` is not a whole number"),
            ("{}a,base,,full,ok,0.9,1\n", ":2: column seed: `` is empty"),
            ("{}a,,1,full,ok,0.9,1\n", ":2: column cell: `` is empty"),
            ("{}a,base,1,full,OK,0.9,1\n", ":2: column state: `OK` has an unknown variant"),
            ("{}a,base,1,fast,ok,0.9,1\n", ":2: column scale: `fast` has an unknown variant"),
            ("{}a,base,1,full,ok,0.9\n", ":2: 6 fields, but the header names 7 columns"),
            ("{}a,base ,1,full,ok,0.9,1\n", ":2: column cell: `base ` begins or ends with a space"),
            (
                "{}a,\u{1b}[31m,1,full,ok,0.9,1\n",
                "column cell: `\\u{1b}[31m` holds a control character",
            ),
            ("{}", "holds no run: there is no line below its header"),
            (
                "{}a,base,1,full,ok,0.9,1\na,base,1,full,ok,0.8,1\n",
                ":3: seed 1 of a base is already on line 2",
            ),
        ] {
            let error = read(&text.replace("{}", header)).unwrap_err();
            assert_eq!(error.exit_code(), 3);
            assert!(error.to_string().contains(complaint), "{complaint}: {error}");
            assert!(error.to_string().contains("runs.csv"), "{error}");
        }
        let error = read_runs(Path::new("nowhere.csv")).unwrap_err();
        assert!(error.to_string().contains("nowhere.csv"), "{error}");
    }

    #[test]
    fn summaries_and_comparisons_are_written_with_blanks_for_what_is_undefined() {
        let mut runs = rows("base", &[0.875, 0.875, 0.875]);
        runs.extend(rows("base,control=untrained", &[0.5]));
        runs[3].state = State::Diverged;
        let summaries = summarise(&runs).unwrap();
        let text = written(|path| write_summary(path, &summaries));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((lines.len(), lines[0]), (13, &*columns_of(&SummaryLine::default()).join(",")));
        assert_eq!(
            lines[3],
            "made-up,base,f1,3,0,0.875,0.0,0.875,0.875,0.875,,,0.875,0.875,,,full,,no interval: fewer than 5 runs"
        );
        assert_eq!(lines[4], "made-up,base,auroc,0,0,,,,,,,,,,,,full,,no run has a value");
        assert_eq!(
            lines[9],
            "made-up,\"base,control=untrained\",f1,0,1,,,,,,,,,,,,full,,no run ended ok"
        );

        let evidence: Vec<Evidence> = summaries.iter().map(Evidence::from).collect();
        let comparisons = compare(&evidence, &paper(vec![figure()]), "made-up", Some(20));
        let text = written(|path| write_comparison(path, &comparisons));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], comparison_columns().join(","));
        assert_eq!(
            lines[1],
            format!(
                "made-up,base,f1,paper,Table 2,0.9,,verified,3,0,0.875,0.0,{0},{0},{0},0.02,\
                 not reproduced (3 of 20 runs),,DAGMM,20,0.00005,t with our std,1.0,0.0,\
                 not reproduced,not reproduced,{1},1.0,,,full,,all runs are equal,20,0.875,0.875,\
                 false,0.0,{2},not reproduced,,,",
                0.875 - 0.9,
                0.9 - 0.875,
                comparisons[0].flip_std.unwrap()
            )
        );
        assert_eq!(
            lines[2],
            "made-up,\"base,control=untrained\",f1,paper,Table 2,0.9,,verified,0,1,,,,,,0.02,\
             too few runs (1 of 20 runs) (1 of 1 runs failed),,DAGMM,20,0.00005,t with our std,,,\
             too few runs,too few runs,,,,,full,,no run ended ok,20,,,,,,,,,"
        );
    }

    #[test]
    fn the_same_runs_in_another_order_give_the_same_bytes() {
        let mut runs = vec![complete(1), complete(2), complete(10), row("base", 1, 0.5)];
        let mut other: Vec<Row> = runs.iter().rev().cloned().collect();
        crate::summary::sort(&mut runs);
        crate::summary::sort(&mut other);
        let bytes = |rows: &[Row]| {
            let summaries = summarise(rows).unwrap();
            written(|path| write_runs(path, rows))
                + &written(|path| write_summary(path, &summaries))
        };
        assert_eq!(bytes(&runs), bytes(&other));
    }

    #[test]
    fn a_column_of_any_length_is_refused_without_more_memory_than_it_takes() {
        let name = "x".repeat(10_000_000);
        let text = read(&format!("experiment,cell,seed,scale,state,f1,{name}\n")).unwrap_err();
        assert!(text.to_string().contains("unknown column `xxx"));
    }
}
