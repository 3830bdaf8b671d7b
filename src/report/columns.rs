//! Lines of columns for a terminal. How wide a text is there, comfy-table and textwrap know; a character
//! that no shown text has divides its columns, so that each field is coloured after it was laid out.
//! Where a table is wider than its terminal, columns are left out by their rank, and texts are wrapped.

use std::ops::Range;

use comfy_table::{CellAlignment, ContentLineStyle, Row, Table, TableStyle};
use textwrap::{Options, WordSplitter, core::display_width};

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

/// Columns of the last text that a narrow table leaves room for.
const LAST_TEXT: usize = 24;
/// What stands between columns.
const GAP: usize = 2;

/// Which columns of a table its terminal has room for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fit {
    /// From the left.
    pub kept: Vec<usize>,
    /// In the order in which they were left out.
    pub left_out: Vec<usize>,
    /// Where the last text is wrapped; none where it is as wide as it likes.
    pub last: Option<Last>,
}

/// Where the last text of each row stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Last {
    /// In its column, which begins there and is so wide.
    Beside { begin: usize, room: usize },
    /// In lines of its own, since what stands before it leaves too little room.
    Below { begin: usize, room: usize },
}

/// Chooses the columns of rows for a terminal of so many columns: those of the highest rank are left out
/// first, of equal ones the rightmost, and those of rank 0 never. The last column holds text that is
/// wrapped, so it needs no more than a few words' room.
pub fn fit(rows: &[Vec<String>], ranks: &[u8], width: Option<usize>) -> Fit {
    let count = ranks.len();
    let of_column = |at: usize| {
        let widths = rows.iter().filter_map(|row| row.get(at));
        widths.map(|field| display_width(&printable(field))).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..count).map(of_column).collect();
    let mut fit = Fit { kept: (0..count).collect(), left_out: Vec::new(), last: None };
    let (Some(width), Some(last)) = (width, count.checked_sub(1)) else { return fit };
    let before =
        |kept: &[usize]| kept.iter().filter(|&&at| at != last).map(|&at| widths[at] + GAP).sum();
    let is_kept = |kept: &[usize]| kept.contains(&last);
    loop {
        let begin: usize = before(&fit.kept);
        let room = if is_kept(&fit.kept) { widths[last].min(LAST_TEXT) } else { 0 };
        let droppable = fit.kept.iter().copied().filter(|&at| ranks[at] > 0);
        match droppable.max_by_key(|&at| (ranks[at], at)) {
            Some(dropped) if begin + room > width => {
                fit.kept.retain(|&at| at != dropped);
                fit.left_out.push(dropped);
            }
            Some(_) | None => break,
        }
    }
    let begin = before(&fit.kept);
    if is_kept(&fit.kept) && begin + widths[last] > width {
        let room = width.saturating_sub(begin);
        fit.last = Some(match room >= LAST_TEXT {
            true => Last::Beside { begin, room },
            false => Last::Below { begin: GAP, room: width.saturating_sub(GAP).max(LAST_TEXT) },
        });
    }
    fit
}

/// Wraps a text to lines of a width, those after the first further in by `hanging` columns. Colours count
/// for nothing, and a word that is wider than a line is cut.
pub fn wrapped(text: &str, width: usize, hanging: usize) -> Vec<String> {
    let indent = " ".repeat(hanging.min(width / 2));
    let options = Options::new(width.max(1))
        .subsequent_indent(&indent)
        .word_separator(textwrap::WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation)
        .wrap_algorithm(textwrap::WrapAlgorithm::FirstFit);
    textwrap::wrap(text, options).into_iter().map(|line| line.into_owned()).collect()
}

/// Wraps every line of a text that is wider than its terminal, further in than it begins.
pub fn reflowed(text: &str, width: Option<usize>) -> String {
    let Some(width) = width.filter(|&width| text.lines().any(|line| display_width(line) > width))
    else {
        return text.to_owned();
    };
    let mut lines: Vec<String> = Vec::new();
    for line in text.split('\n') {
        if display_width(line) <= width {
            lines.push(line.to_owned());
            continue;
        }
        let begin = line.len() - line.trim_start_matches(' ').len();
        let begin = begin.min(width / 2);
        let rest = line.trim_start_matches(' ');
        let wrapped = wrapped(rest, width - begin, 2);
        lines.extend(wrapped.into_iter().map(|line| " ".repeat(begin) + &line));
    }
    lines.join("\n")
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

    #[test]
    fn columns_are_left_out_by_their_rank_until_the_rest_fits() {
        let rows = rows(&[
            &["metric", "n", "mean", "q1", "verdict"],
            &["f1", "20", "0.8751", "0.8000", "not reproduced, and a long text behind it"],
        ]);
        let ranks = [0, 1, 0, 2, 0];
        let of = |width| fit(&rows, &ranks, width);
        let all = Fit { kept: vec![0, 1, 2, 3, 4], left_out: vec![], last: None };
        assert_eq!(of(None), all);
        assert_eq!(of(Some(100)), all);
        // the last text is wrapped before a column goes
        assert_eq!(of(Some(60)), Fit { last: Some(Last::Beside { begin: 28, room: 32 }), ..all });
        let last = Some(Last::Beside { begin: 16, room: 24 });
        let two = Fit { kept: vec![0, 2, 4], left_out: vec![3, 1], last };
        assert_eq!(of(Some(40)), two);
        // what must stay stays, however narrow the terminal
        let last = Some(Last::Below { begin: 2, room: 28 });
        assert_eq!(of(Some(30)), Fit { last, ..two });
    }

    #[test]
    fn a_line_wider_than_its_terminal_goes_on_below_further_in() {
        let text = "short\n  a line that is too wide for it\n";
        assert_eq!(reflowed(text, None), text);
        assert_eq!(reflowed(text, Some(80)), text);
        let narrow = "short\n  a line that is too\n    wide for it\n";
        assert_eq!(reflowed(text, Some(20)), narrow);
        let coloured = "\x1b[1mnine cols\x1b[0m";
        assert_eq!(reflowed(coloured, Some(9)), coloured);
        assert_eq!(reflowed("数据数据", Some(4)), "数据\n  数\n  据");
        assert_eq!(wrapped("a-b c=d,e", 5, 0), ["a-b", "c=d,e"]);
    }
}
