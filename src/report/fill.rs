//! Documents whose numbers come from files: the blocks of a Markdown file between
//! `<!-- begin docs/templates/NAME.md … -->` and `<!-- end docs/templates/NAME.md -->` are what the
//! template NAME makes of the CSV files ([`super::facts`]). Text outside of blocks stays.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, UndefinedBehavior, context};

use super::facts::{self, Facts};
use super::wording;
use crate::error::{Error, Result};

/// Where templates are, below the root of a project.
pub const TEMPLATES: &str = "docs/templates";

/// Makes blocks of documents below a root.
pub struct Filler {
    root: PathBuf,
    environment: Environment<'static>,
    facts: Arc<Facts>,
}

impl Filler {
    pub fn new(root: &Path) -> Self {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_debug(true);
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.expect("the delimiters are the usual ones"));
        let folder = root.to_owned();
        environment.set_loader(move |name| {
            let path = folder.join(name);
            match std::fs::read_to_string(&path) {
                Ok(text) => Ok(Some(text)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(minijinja::Error::new(
                    minijinja::ErrorKind::TemplateNotFound,
                    format!("cannot read {}: {error}", path.display()),
                )),
            }
        });
        let facts = Facts::new(root);
        facts::add_to(&mut environment, &facts);
        wording::add_to(&mut environment);
        Self { root: root.to_owned(), environment, facts }
    }

    /// Gives templates one more function, of one word.
    pub fn add_function(
        &mut self,
        name: &'static str,
        function: impl Fn(&str) -> Result<String> + Send + Sync + 'static,
    ) {
        self.environment.add_function(name, move |word: String| {
            function(&word).map_err(|error| {
                minijinja::Error::new(minijinja::ErrorKind::InvalidOperation, error.to_string())
            })
        });
    }

    /// Returns what templates left out because its file is not there.
    pub fn left_out(&self) -> Vec<String> {
        self.facts.left_out()
    }

    /// Reads a document below the root and makes its blocks anew; returns what it was and is to be.
    ///
    /// # Errors
    /// A document that cannot be read, and those of [`Filler::fill`].
    pub fn fill_file(&self, document: &str) -> Result<(String, String)> {
        let path = self.root.join(document);
        let before = std::fs::read_to_string(&path)
            .map_err(|error| Error::Usage(format!("cannot read {}: {error}", path.display())))?;
        let after = self.fill(document, &before)?;
        Ok((before, after))
    }

    /// Makes the blocks of a document's text anew.
    ///
    /// # Errors
    /// A block without an end or of another end, by its line in the document, and whatever a template
    /// asks for and cannot have, by its line in the template.
    pub fn fill(&self, document: &str, text: &str) -> Result<String> {
        let mut filled = String::new();
        let mut open: Option<(&str, usize)> = None;
        for (number, line) in (1..).zip(text.split_inclusive('\n')) {
            let wrong = |why: String| Error::Usage(format!("{document}:{number}: {why}"));
            match (Marker::of(line), open) {
                (None, None) => filled.push_str(line),
                (None, Some(_)) => {}
                (Some(Marker::Begin(template)), None) => {
                    filled.push_str(line);
                    filled.push_str(&self.block(document, number, template)?);
                    open = Some((template, number));
                }
                (Some(Marker::End(template)), Some((opened, _))) if template == opened => {
                    filled.push_str(line);
                    open = None;
                }
                (Some(Marker::Begin(template) | Marker::End(template)), Some((opened, from))) => {
                    return Err(wrong(format!(
                        "'{template}' stands within the block '{opened}' of line {from}; end that \
                         with '<!-- end {opened} -->'"
                    )));
                }
                (Some(Marker::End(template)), None) => {
                    return Err(wrong(format!("'{template}' ends here and begins nowhere")));
                }
            }
        }
        match open {
            None => Ok(filled),
            Some((template, line)) => Err(Error::Usage(format!(
                "{document}:{line}: the block '{template}' has no end; write \
                 '<!-- end {template} -->' behind it"
            ))),
        }
    }

    fn block(&self, document: &str, line: usize, template: &str) -> Result<String> {
        let rendered =
            self.environment.get_template(template).and_then(|found| found.render(context! {}));
        match rendered {
            Ok(text) => Ok(format!("{}\n", text.trim_matches('\n'))),
            Err(error) => {
                let why = explain(&error, template);
                // a macro's error says where in the macro, and not who asked
                let own = why.starts_with(template);
                let asked = if own { String::new() } else { format!("{template}: ") };
                Err(Error::Usage(format!("{document}:{line}: {asked}{why}")))
            }
        }
    }
}

/// Tells a template's error with its place, its line, and the errors below it.
fn explain(error: &minijinja::Error, template: &str) -> String {
    let mut message = String::new();
    let mut next: Option<&minijinja::Error> = Some(error);
    while let Some(error) = next {
        let place = error.name().unwrap_or(template);
        let line = error.line().map_or(String::new(), |line| format!(":{line}"));
        let said = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
        // writing to a String cannot fail
        let _ = write!(message, "{place}{line}: {said}");
        let source = error.template_source().zip(error.line());
        let quoted = source.and_then(|(text, line)| text.lines().nth(line - 1));
        if let Some(quoted) = quoted.filter(|_| error.detail().is_none()) {
            let _ = write!(message, " in '{}'", quoted.trim());
        }
        next = std::error::Error::source(error).and_then(|below| below.downcast_ref());
        if next.is_some() {
            message.push_str("; ");
        }
    }
    message
}

/// A line that begins or ends a block, with the template's path.
enum Marker<'a> {
    Begin(&'a str),
    End(&'a str),
}

impl<'a> Marker<'a> {
    fn of(line: &'a str) -> Option<Self> {
        let inside = line.trim().strip_prefix("<!-- ")?.strip_suffix(" -->")?;
        let mut words = inside.split(' ');
        let (word, template) = (words.next()?, words.next()?);
        if !template.starts_with(TEMPLATES) {
            return None;
        }
        match word {
            "begin" => Some(Self::Begin(template)),
            "end" => Some(Self::End(template)),
            _ => None,
        }
    }
}
