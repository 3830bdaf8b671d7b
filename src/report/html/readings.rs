//! The part of a section that shows what readings do: drawings and tables of what `summary::readings` found.

use crate::paper::fingerprint::Quantity;
use crate::report::chart::{self, Svg};
use crate::report::document::Section;
use crate::report::{readings, table};
use crate::summary::readings::{Attribution, Explained};

/// Effects drawn of a quantity.
const EFFECTS: usize = 16;
/// Cells that a curve is drawn of: more would be as narrow as a line.
const CELLS: usize = 1024;

pub struct Readings {
    pub basis: String,
    pub literal: Option<String>,
    pub reached: Option<String>,
    pub curve: Option<Svg>,
    pub scatter: Option<(Svg, String)>,
    pub panels: Vec<Panel>,
    pub reasons: Vec<Reason>,
}

/// Effects on a quantity, or shares of a difference, each with its drawing.
pub struct Panel {
    pub title: String,
    /// Whether rows are shares of a whole.
    pub is_shared: bool,
    pub rows: Vec<PanelRow>,
    pub left_out: String,
}

pub struct PanelRow {
    pub term: String,
    pub change: String,
    pub chart: Svg,
    pub estimate: String,
    pub interval: String,
    /// Of the whole difference; empty for an effect.
    pub share: String,
}

/// Why a value of a reading is plausible.
pub struct Reason {
    pub key: String,
    pub value: String,
    pub stated: &'static str,
    pub why: String,
}

impl Readings {
    pub fn of(section: &Section) -> Option<Self> {
        let explained = section.readings.as_ref()?;
        let published = readings::published(&section.papers, &section.experiment, &explained.of);
        let effects = readings::quantities(explained);
        let effects = effects.iter().map(|of| effects_panel(explained, of));
        let shares = explained.attribution.iter().map(shares_panel);
        let reasons = explained.readings.iter().flat_map(|reading| {
            reading.values.iter().map(|value| Reason {
                key: reading.key.clone(),
                value: value.text.clone(),
                stated: value.stated.as_str(),
                why: value.why.clone(),
            })
        });
        Some(Self {
            basis: readings::basis(explained),
            literal: readings::literal(explained),
            reached: readings::reached(explained, &section.papers, &section.experiment),
            curve: (explained.specification.len() <= CELLS)
                .then(|| chart::curve(explained, published)),
            scatter: scatter(section, explained),
            panels: effects.chain(shares).collect(),
            reasons: reasons.collect(),
        })
    }
}

/// Drawn where cells have a fingerprint; dots are told apart by the factor that moves the figure most.
fn scatter(section: &Section, explained: &Explained) -> Option<(Svg, String)> {
    let mark = explained.fingerprint.as_ref()?;
    if explained.specification.iter().all(|cell| cell.fingerprint.is_none()) {
        return None;
    }
    let of = explained.of.to_string();
    let is_main = |term: &str| !term.contains('×');
    let largest = readings::largest(explained, &of).into_iter().find(|one| is_main(&one.term));
    let factor = largest
        .and_then(|one| explained.factors.iter().position(|factor| factor.short() == one.term));
    let factor = factor.unwrap_or(0);
    let published = |of: &Quantity| readings::published(&section.papers, &section.experiment, of);
    let source = (published(mark).map(|one| one.value), published(&explained.of));
    let told = &explained.factors[factor];
    let words = format!(
        "Across: {}. Filled dots are cells with {} = {}, hollow ones the others. The cross is the source's own point.",
        table::quantity(mark),
        told.short(),
        told.values.first().map(String::as_str).unwrap_or_default(),
    );
    Some((chart::scatter(explained, factor, source), words))
}

fn effects_panel(explained: &Explained, of: &str) -> Panel {
    let effects = readings::largest(explained, of);
    let shown = &effects[..effects.len().min(EFFECTS)];
    let ends = shown.iter().flat_map(|one| [Some(one.estimate), one.low, one.high]);
    let axis = chart::effect_axis(ends.flatten());
    let rows = shown.iter().map(|one| {
        let estimate = table::signed(one.estimate);
        let words = format!("{} from {} to {}: {estimate}", one.term, one.from, one.to);
        PanelRow {
            term: one.term.clone(),
            change: format!("{} → {}", one.from, one.to),
            chart: chart::effect(&axis, one.estimate, one.low.zip(one.high), &words),
            estimate,
            interval: table::interval(one.low, one.high, table::signed),
            share: String::new(),
        }
    });
    Panel {
        title: format!("Effects on {of}"),
        is_shared: false,
        rows: rows.collect(),
        left_out: table::left_out(shown.len(), effects.len(), "effects", "effects.csv"),
    }
}

fn shares_panel(one: &Attribution) -> Panel {
    let ends = one.shares.iter().flat_map(|share| [Some(share.value), share.low, share.high]);
    let axis = chart::effect_axis(ends.flatten());
    let rows = one.shares.iter().map(|share| {
        let estimate = table::signed(share.value);
        PanelRow {
            term: share.key.clone(),
            change: format!("{} → {}", share.from, share.to),
            chart: chart::effect(
                &axis,
                share.value,
                share.low.zip(share.high),
                &format!("{}: {estimate} of the difference", share.key),
            ),
            estimate,
            interval: table::interval(share.low, share.high, table::signed),
            share: share.share.map(table::percent).unwrap_or_default(),
        }
    });
    Panel {
        title: format!("Shapley values, {}", readings::attribution_title(one)),
        is_shared: true,
        rows: rows.collect(),
        left_out: String::new(),
    }
}
