//! Columns of numbers, words and truth values in a parquet file, as pandas writes a flat table.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};

use parquet::basic::{ConvertedType, LogicalType, Type};
use parquet::column::reader::ColumnReader;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use parquet::schema::types::ColumnDescriptor;

use super::builder::{Builder, Role};
use super::{Outcome, Problem};

/// Rows that are decoded at a time; bounds the memory beside the rows themselves.
const AT_ONCE: usize = 1024;

impl From<ParquetError> for Problem {
    fn from(error: ParquetError) -> Self {
        let text = error.to_string();
        Self::Data(match text.split_once("Disabled feature at compile time: ") {
            Some((_, packed)) => {
                format!(
                    "it is packed with {packed}; write it with snappy, zstd or gzip, or unpacked"
                )
            }
            None => format!("it cannot be read as parquet: {text}"),
        })
    }
}

/// Reads a parquet file's rows.
pub(super) fn read(file: File, builder: &mut Builder) -> Outcome<()> {
    builder.spec().refuse_array_keys()?;
    // the library asserts some of what a file claims
    let read = catch_unwind(AssertUnwindSafe(|| read_groups(file, builder)));
    read.unwrap_or_else(|_| Err(Problem::Data("it contradicts itself".into())))
}

fn read_groups(file: File, builder: &mut Builder) -> Outcome<()> {
    let reader = SerializedFileReader::new(file)?;
    let schema = reader.metadata().file_metadata().schema_descr_ptr();
    let columns = schema.columns();
    let names = columns.iter().map(|column| column.path().string()).collect();
    builder.begin(names, false)?;
    let wanted: Vec<usize> =
        (0..columns.len()).filter(|&place| builder.roles()[place] != Role::Dropped).collect();
    for &place in &wanted {
        check(&columns[place]).map_err(|what| {
            Problem::Data(format!("column {} ({}) {what}", place + 1, builder.name(place)))
        })?;
    }
    let mut row = 0;
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group)?;
        let mut batches = wanted
            .iter()
            .map(|&place| Batch::new(&*group, place, &columns[place]))
            .collect::<Outcome<Vec<Batch>>>()?;
        loop {
            let mut counts = Vec::new();
            for batch in &mut batches {
                counts.push(batch.fill()?);
            }
            if counts.iter().any(|count| *count != counts[0]) {
                return Err(Problem::Data(format!(
                    "its columns have different numbers of rows after row {row}"
                )));
            }
            if counts[0] == 0 {
                break;
            }
            for _ in 0..counts[0] {
                row += 1;
                take_row(row, &mut batches, builder)?;
            }
        }
    }
    Ok(())
}

fn take_row(row: usize, batches: &mut [Batch], builder: &mut Builder) -> Outcome<()> {
    for batch in batches {
        let column = batch.column;
        batch.take(builder).map_err(|what| {
            let name = builder.name(column);
            Problem::Data(format!("row {row}, column {} ({name}): {what}", column + 1))
        })?;
    }
    builder.end_row();
    Ok(())
}

/// Refuses a column that is not a cell a row, or whose numbers stand for something else.
fn check(column: &ColumnDescriptor) -> Result<(), String> {
    const DROP: &str = "name it in dataset.drop, or write it as numbers or text";
    if column.max_rep_level() > 0 || column.path().parts().len() > 1 {
        return Err(format!("is nested; {DROP}"));
    }
    let plain = matches!(
        column.logical_type_ref(),
        None | Some(
            LogicalType::String
                | LogicalType::Enum
                | LogicalType::Integer(_)
                | LogicalType::Unknown
        )
    );
    let (physical, converted) = (column.physical_type(), column.converted_type());
    let other = match converted {
        ConvertedType::DECIMAL
        | ConvertedType::DATE
        | ConvertedType::TIME_MILLIS
        | ConvertedType::TIME_MICROS
        | ConvertedType::TIMESTAMP_MILLIS
        | ConvertedType::TIMESTAMP_MICROS
        | ConvertedType::INTERVAL => true,
        _ => matches!(physical, Type::INT96 | Type::FIXED_LEN_BYTE_ARRAY),
    };
    if plain && !other {
        return Ok(());
    }
    let kind = match column.logical_type_ref() {
        Some(kind) => {
            // its parts are of no interest
            let text = format!("{kind:?}");
            text.split('(').next().unwrap_or_default().to_owned()
        }
        None if converted == ConvertedType::NONE => physical.to_string(),
        None => converted.to_string(),
    };
    Err(format!("holds values of the kind {kind}; {DROP}"))
}

/// Some rows of a column.
struct Batch {
    column: usize,
    reader: ColumnReader,
    /// Whether whole numbers have no sign.
    unsigned: bool,
    /// Whether cells may be missing; then a level a row says which are there.
    optional: bool,
    levels: Vec<i16>,
    values: Cells,
    /// The next row's place in this batch, and its value's.
    row: usize,
    value: usize,
}

enum Cells {
    Numbers(Vec<f64>),
    Truths(Vec<bool>),
    Words(Vec<ByteArray>),
}

impl Batch {
    fn new(group: &dyn RowGroupReader, place: usize, column: &ColumnDescriptor) -> Outcome<Self> {
        let unsigned = matches!(
            column.converted_type(),
            ConvertedType::UINT_8
                | ConvertedType::UINT_16
                | ConvertedType::UINT_32
                | ConvertedType::UINT_64
        );
        Ok(Self {
            column: place,
            reader: group.get_column_reader(place)?,
            unsigned,
            optional: column.max_def_level() > 0,
            levels: Vec::new(),
            values: Cells::Numbers(Vec::new()),
            row: 0,
            value: 0,
        })
    }

    /// Decodes some rows in place of the last ones; returns how many.
    fn fill(&mut self) -> Outcome<usize> {
        (self.row, self.value) = (0, 0);
        self.levels.clear();
        let levels = self.optional.then_some(&mut self.levels);
        let unsigned = self.unsigned;
        macro_rules! numbers {
            ($reader:expr, $number:expr) => {{
                let mut values = Vec::new();
                let (rows, ..) = $reader.read_records(AT_ONCE, levels, None, &mut values)?;
                (rows, Cells::Numbers(values.into_iter().map($number).collect()))
            }};
        }
        let (rows, values) = match &mut self.reader {
            ColumnReader::Int32ColumnReader(reader) => {
                numbers!(reader, |value: i32| match unsigned {
                    true => f64::from(value as u32),
                    false => f64::from(value),
                })
            }
            ColumnReader::Int64ColumnReader(reader) => {
                numbers!(reader, |value: i64| match unsigned {
                    true => value as u64 as f64,
                    false => value as f64,
                })
            }
            ColumnReader::FloatColumnReader(reader) => numbers!(reader, f64::from),
            ColumnReader::DoubleColumnReader(reader) => numbers!(reader, |value: f64| value),
            ColumnReader::BoolColumnReader(reader) => {
                let mut values = Vec::new();
                let (rows, ..) = reader.read_records(AT_ONCE, levels, None, &mut values)?;
                (rows, Cells::Truths(values))
            }
            ColumnReader::ByteArrayColumnReader(reader) => {
                let mut values = Vec::new();
                let (rows, ..) = reader.read_records(AT_ONCE, levels, None, &mut values)?;
                (rows, Cells::Words(values))
            }
            ColumnReader::Int96ColumnReader(_) | ColumnReader::FixedLenByteArrayColumnReader(_) => {
                (0, Cells::Numbers(Vec::new()))
            }
        };
        self.values = values;
        Ok(rows)
    }

    /// Hands the next row's cell on.
    fn take(&mut self, builder: &mut Builder) -> Result<(), String> {
        let there = !self.optional || self.levels.get(self.row).is_some_and(|level| *level > 0);
        self.row += 1;
        if !there {
            return builder.absent(self.column);
        }
        let place = self.value;
        self.value += 1;
        let lacking = || "the file ends before it".to_owned();
        match &self.values {
            Cells::Numbers(numbers) => {
                builder.number(self.column, *numbers.get(place).ok_or_else(lacking)?)
            }
            Cells::Truths(truths) => {
                let truth = *truths.get(place).ok_or_else(lacking)?;
                builder.number(self.column, f64::from(u8::from(truth)))
            }
            Cells::Words(words) => {
                builder.text(self.column, words.get(place).ok_or_else(lacking)?.data())
            }
        }
    }
}
