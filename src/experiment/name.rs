//! The names of cells. That of a control holds two: the cell's that it stands beside, and its own.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Control;

/// What stands before a control's own name.
const CONTROL: &str = ",control=";

/// A cell's label, in files and on screens the text that it is. Whether it is a control's is found out
/// once, where the label is read. Sorted as text.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct CellName {
    label: Arc<str>,
    /// Bytes of the label up to its control.
    trained: usize,
}

impl CellName {
    /// Returns the whole label.
    pub fn as_str(&self) -> &str {
        &self.label
    }

    /// Returns the label of the cell that is trained: a control's is that of the cell beside it.
    pub fn trained(&self) -> &str {
        &self.label[..self.trained]
    }

    /// Returns the control's own name; a file of someone else's may have others than [`Control`].
    pub fn control(&self) -> Option<&str> {
        self.label.get(self.trained + CONTROL.len()..)
    }

    pub fn is_control(&self) -> bool {
        self.control().is_some()
    }

    /// Whether it is the cell of this label, or a control of that.
    pub fn belongs_to(&self, label: &str) -> bool {
        self.as_str() == label || self.trained() == label
    }

    /// Whether it is this control of a cell.
    pub fn is(&self, control: Control) -> bool {
        self.control() == Some(control.as_str())
    }

    /// Names a control of this cell.
    pub fn with(&self, control: Control) -> Self {
        Self::from(format!("{self}{CONTROL}{control}").as_str())
    }
}

impl From<&str> for CellName {
    fn from(label: &str) -> Self {
        Self { label: label.into(), trained: label.rfind(CONTROL).unwrap_or(label.len()) }
    }
}

impl From<String> for CellName {
    fn from(label: String) -> Self {
        Self::from(label.as_str())
    }
}

impl From<CellName> for String {
    fn from(name: CellName) -> Self {
        name.as_str().into()
    }
}

impl Deref for CellName {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq<&str> for CellName {
    fn eq(&self, label: &&str) -> bool {
        self.as_str() == *label
    }
}

impl fmt::Display for CellName {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        out.pad(self)
    }
}

impl fmt::Debug for CellName {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_taken_apart_at_its_last_control_and_stays_what_it_is() {
        for (label, trained, control) in [
            ("base", "base", None),
            ("a=1,b=x,control=untrained", "a=1,b=x", Some("untrained")),
            ("a=1,control=x,control=of mine", "a=1,control=x", Some("of mine")),
            ("control=untrained", "control=untrained", None),
            ("a=1,control=", "a=1", Some("")),
        ] {
            let name = CellName::from(label);
            assert_eq!((name.trained(), name.control()), (trained, control));
            assert_eq!(name.is(Control::Untrained), control == Some("untrained"));
            let text = serde_json::to_string(&name).unwrap();
            assert_eq!(text, format!("\"{label}\""));
            assert_eq!(serde_json::from_str::<CellName>(&text).unwrap(), name);
        }
        let name = CellName::from("a=1");
        let control = name.with(Control::Untrained);
        assert_eq!(control, "a=1,control=untrained");
        assert!(control.belongs_to("a=1") && control.belongs_to(&control));
        assert!(name.belongs_to("a=1") && !name.belongs_to(&control));
    }
}
