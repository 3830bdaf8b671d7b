//! A report's tables as LaTeX with booktabs: a document that pdflatex sets as it is, of which each
//! table can be taken. No pictures and no protocol. Every value is escaped.

use std::fmt::{self, Write};

use askama::Template;
use askama::filters::Escaper;

use crate::report::document::Document;
use crate::report::table::{self, Table};

/// Escapes text for LaTeX under T1 fonts. A character that pdflatex lacks is written as its code
/// point, such as `[U+903B]`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Latex;

impl Escaper for Latex {
    fn write_escaped_str<W: Write>(&self, mut to: W, text: &str) -> fmt::Result {
        text.chars().try_for_each(|c| self.write_escaped_char(&mut to, c))
    }

    fn write_escaped_char<W: Write>(&self, mut to: W, c: char) -> fmt::Result {
        if let Some(command) = command(c) {
            return to.write_str(command);
        }
        match c {
            '{' | '}' | '$' | '&' | '#' | '%' => {
                to.write_char('\\')?;
                to.write_char(c)
            }
            // labels are long words without a space
            ',' | '=' | '/' => write!(to, "{c}\\allowbreak{{}}"),
            c if c.is_control() => to.write_char(' '),
            c if c.is_ascii() || ('À'..='ſ').contains(&c) => to.write_char(c),
            c => write!(to, "{{[}}U+{:04X}{{]}}\\allowbreak{{}}", u32::from(c)),
        }
    }
}

/// What stands for a character that means something else to LaTeX, or that T1 fonts lack.
fn command(c: char) -> Option<&'static str> {
    Some(match c {
        '\\' => "\\textbackslash{}",
        '^' => "\\textasciicircum{}",
        '~' => "\\textasciitilde{}",
        '_' => "\\_\\allowbreak{}",
        '<' => "\\textless{}",
        '>' => "\\textgreater{}",
        '|' => "\\textbar{}",
        '"' => "\\textquotedbl{}",
        '\'' => "\\textquotesingle{}",
        '`' => "\\textasciigrave{}",
        // no ligatures: -- and ?` mean something else
        '-' => "-{}",
        '?' => "?{}",
        '!' => "!{}",
        '[' => "{[}",
        ']' => "{]}",
        '−' => "\\ensuremath{-}",
        '±' => "\\ensuremath{\\pm}",
        '×' => "\\ensuremath{\\times}",
        '·' => "\\ensuremath{\\cdot}",
        '√' => "\\ensuremath{\\surd}",
        '≤' => "\\ensuremath{\\le}",
        '≥' => "\\ensuremath{\\ge}",
        '≠' => "\\ensuremath{\\neq}",
        '∞' => "\\ensuremath{\\infty}",
        '→' => "\\ensuremath{\\to}",
        'α' => "\\ensuremath{\\alpha}",
        'β' => "\\ensuremath{\\beta}",
        'λ' => "\\ensuremath{\\lambda}",
        'μ' | 'µ' => "\\ensuremath{\\mu}",
        'σ' => "\\ensuremath{\\sigma}",
        'φ' => "\\ensuremath{\\varphi}",
        'Σ' => "\\ensuremath{\\Sigma}",
        '²' => "\\ensuremath{^2}",
        '³' => "\\ensuremath{^3}",
        '°' => "\\ensuremath{^\\circ}",
        '–' => "\\textendash{}",
        '—' => "\\textemdash{}",
        '‘' => "\\textquoteleft{}",
        '’' => "\\textquoteright{}",
        '“' => "\\textquotedblleft{}",
        '”' => "\\textquotedblright{}",
        '…' => "\\ldots{}",
        '\u{a0}' | '\u{202f}' => "~",
        _ => return None,
    })
}

#[derive(Template)]
#[template(path = "report.tex", syntax = "angles")]
struct Page<'a> {
    document: &'a Document,
    lead: [String; 2],
    runs: String,
}

/// Column types: labels may break, numbers stand flush right.
fn columns(table: &Table) -> String {
    let text = |name| match name {
        "cell" | "against" => "L{30mm}",
        "source" | "note" | "verdict" => "L{28mm}",
        "corrected" | "flips at a paper-std" => "L{20mm}",
        _ => "l",
    };
    table.columns.iter().map(|column| if column.number { "r" } else { text(column.name) }).collect()
}

/// The document as LaTeX; the same document gives the same bytes.
pub fn render(document: &Document) -> String {
    let page = Page { document, lead: table::lead(document), runs: table::runs(document) };
    page.render().expect("writing to a string does not fail")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(text: &str) -> String {
        let mut to = String::new();
        Latex.write_escaped_str(&mut to, text).unwrap();
        to
    }

    #[test]
    fn text_cannot_become_a_command() {
        assert_eq!(
            escaped("\\input{x} $ & # % _ ^ ~"),
            "\\textbackslash{}input\\{x\\} \\$ \\& \\# \\% \
             \\_\\allowbreak{} \\textasciicircum{} \\textasciitilde{}"
        );
        assert_eq!(escaped("a\n\nb"), "a  b", "a blank line would end the paragraph");
        assert_eq!(escaped("--?`"), "-{}-{}?{}\\textasciigrave{}", "no ligature");
    }

    #[test]
    fn every_character_is_one_that_pdflatex_knows_or_is_named() {
        assert_eq!(escaped("−0.5 ± 1"), "\\ensuremath{-}0.5 \\ensuremath{\\pm} 1");
        assert_eq!(escaped("Müller, Łukasz"), "Müller,\\allowbreak{} Łukasz");
        assert_eq!(escaped("逻"), "{[}U+903B{]}\\allowbreak{}");
    }
}
