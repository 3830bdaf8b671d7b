//! A report as Markdown, for a README or a review thread: the tables, the protocol, the commands. No
//! pictures. Every value is escaped, so that nothing in a file of someone else's becomes markup.

use std::fmt::{self, Write};

use askama::Template;
use askama::filters::Escaper;

use crate::report::document::Document;
use crate::report::protocol;
use crate::report::table;

/// Escapes text for one line of CommonMark or a cell of a table.
#[derive(Debug, Clone, Copy, Default)]
pub struct Markdown;

impl Escaper for Markdown {
    fn write_escaped_str<W: Write>(&self, mut to: W, text: &str) -> fmt::Result {
        text.chars().try_for_each(|c| self.write_escaped_char(&mut to, c))
    }

    fn write_escaped_char<W: Write>(&self, mut to: W, c: char) -> fmt::Result {
        match c {
            '&' => to.write_str("&amp;"),
            '<' => to.write_str("&lt;"),
            '>' => to.write_str("&gt;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '#' | '|' | '~' | '$' | '!' | '@' => {
                to.write_char('\\')?;
                to.write_char(c)
            }
            // a line that a text began would be read as whatever it begins with
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => to.write_char(' '),
            c => to.write_char(c),
        }
    }
}

/// A command is set as code, where nothing is escaped: it must not end its block.
fn code(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[derive(Template)]
#[template(path = "report.md")]
struct Page<'a> {
    document: &'a Document,
    lead: [String; 2],
    runs: String,
}

/// The document as Markdown; the same document gives the same bytes.
pub fn render(document: &Document) -> String {
    let page = Page { document, lead: table::lead(document), runs: table::runs(document) };
    page.render().expect("writing to a string does not fail")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_markup_or_leave_its_cell() {
        let mut text = String::new();
        Markdown.write_escaped_str(&mut text, "a|b\n# c <d> `e` *f* _g_ [h](i) & \\").unwrap();
        assert_eq!(text, "a\\|b \\# c &lt;d&gt; \\`e\\` \\*f\\* \\_g\\_ \\[h\\](i) &amp; \\\\");
        assert_eq!(code("a\n```\tb"), "a ``` b");
    }
}
