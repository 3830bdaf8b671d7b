//! Lines of columns for a terminal. How wide a text is there, comfy-table knows; a character that no
//! shown text has divides its columns, so that each field is coloured after it was laid out.

use std::ops::Range;

use comfy_table::{CellAlignment, ContentLineStyle, Row, Table, TableStyle};

use super::terminal::{paint, printable};

/// Stands between columns until they are coloured; [`printable`] writes it as an escape.
const DIVIDER: char = '\u{1f}';

const STYLE: TableStyle =
    TableStyle::new().content_lines(ContentLineStyle::none().junction(DIVIDER));

/// Lays rows out in columns, one line a row, with nothing after the last text of a line. The columns
/// `numbers` end at their right, the others begin at their left. `code` says the colour of a row's
/// field, empty for none.
pub fn lines(
    rows: &[Vec<String>],
    numbers: Range<usize>,
    code: impl Fn(usize, usize) -> &'static str,
) -> Vec<String> {
    let mut table = Table::new();
    table.load_style(STYLE);
    for fields in rows {
        let mut row = Row::from(fields.iter().map(|field| printable(field)));
        row.max_height(1);
        table.add_row(row);
    }
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 0));
        let right = numbers.contains(&index);
        column.set_cell_alignment(if right { CellAlignment::Right } else { CellAlignment::Left });
    }
    let coloured = |(row, line): (usize, String)| {
        let parts = line.split(DIVIDER).zip(&rows[row]).enumerate();
        let parts = parts.map(|(column, (part, field))| match code(row, column) {
            code if code.is_empty() || field.is_empty() => part.to_owned(),
            code => part.replacen(&*printable(field), &paint(field, code, true), 1),
        });
        parts.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    table.lines().enumerate().map(coloured).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::terminal::{DIM, GREEN};

    fn rows(rows: &[&[&str]]) -> Vec<Vec<String>> {
        rows.iter().map(|row| row.iter().map(|field| (*field).to_owned()).collect()).collect()
    }

    #[test]
    fn columns_are_as_wide_as_a_terminal_shows_their_texts() {
        let rows = rows(&[&["name", "n", "note"], &["数据", "10", ""], &["e\u{301}", "9", "a b"]]);
        let expected = ["name   n  note", "数据  10", "e\u{301}      9  a b"];
        assert_eq!(lines(&rows, 1..2, |_, _| ""), expected);
    }

    #[test]
    fn a_colour_holds_its_text_alone_and_moves_no_column() {
        let rows = rows(&[&["a", "12", ""], &["long", "1", "said"]]);
        let code = |row, column| match (row, column) {
            (0, _) => DIM,
            (1, 2) => GREEN,
            _ => "",
        };
        let coloured = lines(&rows, 1..2, code);
        assert_eq!(
            coloured,
            ["\x1b[2ma\x1b[0m     \x1b[2m12\x1b[0m", "long   1  \x1b[32msaid\x1b[0m"]
        );
    }

    #[test]
    fn a_text_of_a_file_adds_no_line_and_no_column() {
        let long = "x".repeat(70_000);
        let rows = rows(&[&["a\nb", "c\u{1f}d"], &[&long, "end"]]);
        let lines = lines(&rows, 0..0, |_, _| DIM);
        assert_eq!(lines.len(), 2);
        assert!(lines[0].contains(r"a\nb") && lines[0].contains(r"c\u{1f}d"), "{}", lines[0]);
        assert!(lines[1].ends_with("\x1b[2mend\x1b[0m"));
    }
}
