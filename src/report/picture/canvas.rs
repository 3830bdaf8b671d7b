//! A page of SVG that grows downwards: title, legend, panels with axes, notes. All text passes
//! through one function that escapes it. Knows nothing of what is drawn.

use std::fmt::Write;

use super::axis::Axis;

/// Fill of what stands for normal rows.
pub const NORMAL: &str = "#56b4e9";
/// The same hue, for outlines.
pub const NORMAL_DARK: &str = "#0072b2";
/// Everything that stands for anomalies.
pub const ANOMALY: &str = "#b03a00";
const INK: &str = "#111";
const GRID: &str = "#e4e4e4";

const SIZE: f64 = 12.0;
const TITLE_SIZE: f64 = 13.0;
const LINE: f64 = 16.0;
const EDGE: f64 = 10.0;

/// What a legend shows before a text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mark {
    NormalArea,
    AnomalousArea,
    /// Of this diameter.
    NormalDots(f64),
    /// Of this width.
    AnomalousCrosses(f64),
    Curve,
    /// One of several lines, by its place among them.
    Series(usize),
    Chance,
    Ring,
}

impl Mark {
    fn width(self) -> f64 {
        match self {
            Self::NormalArea | Self::AnomalousArea | Self::Curve => 24.0,
            Self::Series(_) | Self::Chance => 24.0,
            Self::NormalDots(_) | Self::AnomalousCrosses(_) | Self::Ring => 10.0,
        }
    }
}

/// Where a text stands about its point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Anchor {
    Start,
    Middle,
    End,
}

/// How a text looks.
struct Style<'a> {
    anchor: Anchor,
    size: f64,
    /// Further attributes.
    more: &'a str,
}

impl Style<'_> {
    fn bold(size: f64) -> Self {
        Self { anchor: Anchor::Start, size, more: "font-weight=\"bold\"" }
    }
}

/// A picture in the making.
#[derive(Debug)]
pub struct Canvas {
    width: f64,
    /// Where the next part begins.
    pub bottom: f64,
    title: String,
    description: String,
    body: String,
}

/// The inner rectangle of a pair of axes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Panel {
    pub left: f64,
    pub top: f64,
    pub width: f64,
    pub height: f64,
}

/// Room that a panel's ticks and labels take left of it.
pub const LEFT_OF_PANEL: f64 = 70.0;

impl Canvas {
    /// An empty page, `width` units (px) wide, with its title at the top. The description is for
    /// those who cannot see the picture.
    pub fn new(width: f64, title: &str, description: &str) -> Self {
        let (title, description) = (legal(title), legal(description));
        let mut canvas = Self { width, bottom: EDGE, title, description, body: String::new() };
        for line in wrapped(&canvas.title.clone(), canvas.inner_width(), TITLE_SIZE * 1.08) {
            let place = (EDGE, canvas.bottom + TITLE_SIZE);
            canvas.set(place, Style::bold(TITLE_SIZE), &escaped(&line));
            canvas.bottom += LINE;
        }
        canvas.bottom += 4.0;
        canvas
    }

    fn inner_width(&self) -> f64 {
        self.width - 2.0 * EDGE
    }

    /// The whole file.
    pub fn finish(self) -> String {
        let (width, height) = (length(self.width), length(self.bottom + EDGE));
        let (title, description) = (escaped(&self.title), escaped(&self.description));
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" role=\"img\" \
             font-family=\"Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif\">\n\
             <title>{title}</title>\n<desc>{description}</desc>\n\
             <defs><pattern id=\"hatch\" width=\"5\" height=\"5\" patternUnits=\"userSpaceOnUse\">\
             <path d=\"M-1 1L1-1M0 5L5 0M4 6L6 4\" stroke=\"{ANOMALY}\" stroke-width=\"1.1\"/>\
             </pattern></defs>\n\
             <rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n{}</svg>\n",
            self.body
        )
    }

    /// A text in the common size.
    pub fn text(&mut self, place: (f64, f64), anchor: Anchor, text: &str) {
        let style = Style { anchor, size: SIZE, more: "" };
        self.set(place, style, &escaped(&legal(text)));
    }

    /// The name above a panel.
    pub fn panel_name(&mut self, place: (f64, f64), text: &str) {
        let text = escaped(&legal(text));
        self.set(place, Style::bold(SIZE), &text);
    }

    /// Writes marked-up text, with attributes beside the usual ones.
    fn set(&mut self, (x, y): (f64, f64), style: Style, markup: &str) {
        let Style { anchor, size, more } = style;
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let more = if more.is_empty() { String::new() } else { format!(" {more}") };
        let (x, y, size) = (length(x), length(y), length(size));
        self.push(format_args!(
            "<text x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\" font-size=\"{size}\" \
             fill=\"{INK}\"{more}>{markup}</text>"
        ));
    }

    /// Lines and areas: path data with its attributes.
    pub fn path(&mut self, data: &str, attributes: &str) {
        self.push(format_args!("<path d=\"{data}\" {attributes}/>"));
    }

    fn push(&mut self, element: std::fmt::Arguments<'_>) {
        let _ = writeln!(self.body, "{element}"); // a String takes everything
    }

    /// Entries side by side, on as many lines as they need.
    pub fn legend(&mut self, entries: &[(Mark, String)]) {
        let mut left = EDGE;
        for (index, (mark, text)) in entries.iter().enumerate() {
            let mark_width = mark.width();
            let needed = mark_width + 6.0 + text_width(text, SIZE);
            if index > 0 && left + needed > self.width - EDGE {
                left = EDGE;
                self.bottom += LINE;
            }
            let (x, y) = (left, self.bottom + 2.0);
            self.mark(*mark, x, y);
            self.text((x + mark_width + 6.0, y + 10.0), Anchor::Start, text);
            left += needed + if text.is_empty() { 0.0 } else { 14.0 };
        }
        self.bottom += LINE + 2.0;
    }

    /// A sample of a mark in the rectangle right of and below `x`, `y`.
    fn mark(&mut self, mark: Mark, x: f64, y: f64) {
        let area = format!("M{} {}h24v11h-24z", length(x), length(y));
        let line = format!("M{} {}h24", length(x), length(y + 6.0));
        let (x, y) = (x + mark.width() / 2.0, y + 6.0);
        match mark {
            Mark::NormalArea => self.path(&area, &normal_area()),
            Mark::AnomalousArea => self.path(&area, &anomalous_area()),
            Mark::NormalDots(size) => self.path(&dot(x, y), &dots(NORMAL, size)),
            Mark::AnomalousCrosses(size) => self.path(&cross(x, y, size), &crosses(size)),
            Mark::Curve => self.path(&line, &curve()),
            Mark::Series(index) => self.path(&line, &series(index)),
            Mark::Chance => self.path(&line, CHANCE),
            Mark::Ring => self.ring(x, y),
        }
    }

    /// A point that must be found at once.
    pub fn ring(&mut self, x: f64, y: f64) {
        let data =
            format!("M{} {}a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0-9 0", length(x - 4.5), length(y));
        self.path(&data, &format!("fill=\"#fff\" stroke=\"{ANOMALY}\" stroke-width=\"2.2\""));
    }

    /// A remark below everything so far, over as many lines as it needs.
    pub fn note(&mut self, text: &str) {
        self.bottom += 4.0;
        for line in wrapped(text, self.inner_width(), SIZE) {
            self.bottom += LINE;
            self.text((EDGE, self.bottom - 4.0), Anchor::Start, &line);
        }
    }

    /// Grid, ticks and labels of a panel, below which the page goes on. A scale that is not linear is said beside the label.
    pub fn axes(&mut self, panel: Panel, (x, x_label): (&Axis, &str), (y, y_label): (&Axis, &str)) {
        let Panel { left, top, width, height } = panel;
        let (bottom, mut grid, mut marks) = (top + height, String::new(), String::new());
        let mut free = f64::NEG_INFINITY;
        for tick in x.ticks((width / 52.0) as usize) {
            let (at, half) = (panel.x(tick.place), text_width(&tick.label, SIZE) / 2.0);
            let labelled = !tick.label.is_empty() && at - half > free;
            free = if labelled { at + half } else { free };
            let (at, long) = (length(at), if labelled { 6 } else { 3 });
            let _ = write!(marks, "M{at} {}v{long}", length(bottom));
            if labelled {
                let _ = write!(grid, "M{at} {}V{}", length(top), length(bottom));
                let place = (panel.x(tick.place), bottom + 19.0);
                self.text(place, Anchor::Middle, &tick.label);
            }
        }
        for tick in y.ticks((height / 28.0).min(7.0) as usize) {
            let at = length(panel.y(tick.place));
            let long = if tick.label.is_empty() { 3 } else { 6 };
            let _ = write!(marks, "M{} {at}h-{long}", length(left));
            if !tick.label.is_empty() {
                let _ = write!(grid, "M{} {at}H{}", length(left), length(left + width));
                let place = (left - 9.0, panel.y(tick.place) + 4.2);
                self.text(place, Anchor::End, &tick.label);
            }
        }
        self.path(&grid, &format!("stroke=\"{GRID}\" fill=\"none\""));
        let frame = format!(
            "M{} {}V{}H{}",
            length(left),
            length(top),
            length(bottom),
            length(left + width)
        );
        self.path(&(frame + &marks), &format!("stroke=\"{INK}\" fill=\"none\""));
        self.x_label(panel, x, x_label);
        self.y_label(panel, y, y_label);
    }

    fn x_label(&mut self, panel: Panel, axis: &Axis, label: &str) {
        let (middle, bottom) = (panel.left + panel.width / 2.0, panel.top + panel.height);
        self.text((middle, bottom + 35.0), Anchor::Middle, label);
        let mut end = bottom + 38.0;
        if let Some(remark) = axis.remark() {
            self.text((middle, bottom + 50.0), Anchor::Middle, &format!("({remark})"));
            end += 15.0;
        }
        self.bottom = self.bottom.max(end);
    }

    fn y_label(&mut self, panel: Panel, axis: &Axis, label: &str) {
        let label = match axis.scale_name() {
            Some(scale) => format!("{label}, {scale}"),
            None => label.to_owned(),
        };
        let (x, y) = (panel.left - 57.0, panel.top + panel.height / 2.0);
        let turn = format!("transform=\"rotate(-90 {} {})\"", length(x), length(y));
        let style = Style { anchor: Anchor::Middle, size: SIZE, more: &turn };
        self.set((x, y), style, &escaped(&legal(&label)));
    }
}

impl Panel {
    /// Of a place on the horizontal axis, 0 at its left end.
    pub fn x(&self, place: f64) -> f64 {
        self.left + place * self.width
    }

    /// Of a place on the vertical axis, 0 at its lower end.
    pub fn y(&self, place: f64) -> f64 {
        self.top + (1.0 - place) * self.height
    }

    /// Path data through places on both axes.
    pub fn line(&self, places: impl Iterator<Item = (f64, f64)>) -> String {
        let mut data = String::new();
        for (x, y) in places {
            let command = if data.is_empty() { 'M' } else { 'L' };
            let _ = write!(data, "{command}{} {}", length(self.x(x)), length(self.y(y)));
        }
        data
    }
}

pub const CHANCE: &str =
    "fill=\"none\" stroke=\"#777\" stroke-width=\"1.2\" stroke-dasharray=\"2 3\"";

/// Colours after Okabe and Ito and dashes of lines beside each other, which stay apart in grey.
const SERIES: [(&str, &str); 4] =
    [(NORMAL_DARK, ""), (ANOMALY, "8 3"), ("#00664b", "5 2 1.5 2"), ("#8a4a70", "2.5 2")];

/// Returns the colour of a line by its place among several.
pub fn series_colour(index: usize) -> &'static str {
    SERIES[index % SERIES.len()].0
}

/// Writes the attributes of a line by its place among several.
pub fn series(index: usize) -> String {
    let (colour, dashes) = SERIES[index % SERIES.len()];
    let dashes = match dashes {
        "" => String::new(),
        dashes => format!(" stroke-dasharray=\"{dashes}\""),
    };
    format!(
        "fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.8\" stroke-linejoin=\"round\"{dashes}"
    )
}

pub fn curve() -> String {
    format!("fill=\"none\" stroke=\"{NORMAL_DARK}\" stroke-width=\"1.8\" stroke-linejoin=\"round\"")
}

pub fn normal_area() -> String {
    format!("fill=\"{NORMAL}\" stroke=\"{NORMAL_DARK}\" stroke-width=\"1\"")
}

pub fn anomalous_area() -> String {
    format!("fill=\"url(#hatch)\" stroke=\"{ANOMALY}\" stroke-width=\"1.6\"")
}

/// Attributes of a path made of `dot`s.
pub fn dots(colour: &str, diameter: f64) -> String {
    let width = length(diameter);
    format!("stroke=\"{colour}\" stroke-width=\"{width}\" stroke-linecap=\"round\" fill=\"none\"")
}

/// Attributes of a path made of `cross`es; larger ones are bolder.
pub fn crosses(size: f64) -> String {
    format!("stroke=\"{ANOMALY}\" stroke-width=\"{}\" fill=\"none\"", length(size / 3.0 - 0.5))
}

/// A dot as a line without length, whose round ends make it one: few bytes for many dots.
pub fn dot(x: f64, y: f64) -> String {
    format!("M{} {}h0", length(x), length(y))
}

/// A diagonal cross.
pub fn cross(x: f64, y: f64, size: f64) -> String {
    let (half, size) = (size / 2.0, length(size));
    format!("M{} {}l{size} {size}m0-{size}l-{size} {size}", length(x - half), length(y - half))
}

/// Units with at most one decimal, which at 12 units to a line of text is finer than print.
pub fn length(value: f64) -> String {
    let text = format!("{value:.1}");
    let text = text.strip_suffix(".0").unwrap_or(&text);
    if text == "-0" { "0".into() } else { text.into() }
}

/// XML has no control characters; each becomes U+FFFD.
fn legal(text: &str) -> String {
    let legal = |c: char| !(c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}'));
    text.chars().map(|c| if legal(c) { c } else { '\u{fffd}' }).collect()
}

fn escaped(text: &str) -> String {
    let mut markup = String::new();
    for c in text.chars() {
        match c {
            '&' => markup += "&amp;",
            '<' => markup += "&lt;",
            '>' => markup += "&gt;",
            '"' => markup += "&quot;",
            '\'' => markup += "&#39;",
            c => markup.push(c),
        }
    }
    markup
}

/// About the width of a text in a sans-serif font: fonts are not known here, so it is generous.
fn text_width(text: &str, size: f64) -> f64 {
    let em = |c: char| match c {
        ' ' | '.' | ',' | ':' | ';' | 'i' | 'j' | 'l' | 'I' | '(' | ')' | '\'' | '|' => 0.33,
        'm' | 'w' | 'M' | 'W' | '%' | '@' | '=' | '+' | '−' => 0.86,
        c if c.is_uppercase() => 0.7,
        c if u32::from(c) > 0x2e7f => 1.0,
        _ => 0.57,
    };
    text.chars().map(em).sum::<f64>() * size
}

/// Lines no wider than `width`, broken at spaces, and within a word that is wider alone.
fn wrapped(text: &str, width: f64, size: f64) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is a first line");
        let separator = if line.is_empty() { "" } else { " " };
        if text_width(&format!("{line}{separator}{word}"), size) <= width {
            *line += separator;
            *line += word;
            continue;
        }
        let mut rest = String::new();
        for c in word.chars() {
            if text_width(&rest, size) + size > width {
                lines.push(std::mem::take(&mut rest));
            }
            rest.push(c);
        }
        lines.push(rest);
    }
    lines.retain(|line| !line.is_empty());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_comes_back_from_xml_as_it_was() {
        let text = "a<b> & \"c\" 'd' – ∞";
        let mut canvas = Canvas::new(400.0, text, text);
        canvas.text((1.0, 2.0), Anchor::End, text);
        let svg = canvas.finish();
        let tree = roxmltree::Document::parse(&svg).expect("well-formed XML");
        for name in ["title", "desc"] {
            let node = tree.descendants().find(|node| node.has_tag_name(name));
            assert_eq!(node.and_then(|node| node.text()), Some(text), "{name}");
        }
        assert!(tree.descendants().any(|n| n.has_tag_name("text") && n.text() == Some(text)));
    }

    #[test]
    fn characters_that_xml_lacks_are_replaced() {
        let svg = Canvas::new(400.0, "a\u{0}b\u{1b}c\nd\u{ffff}", "").finish();
        let tree = roxmltree::Document::parse(&svg).expect("well-formed XML");
        let title = tree.descendants().find(|node| node.has_tag_name("title"));
        assert_eq!(
            title.and_then(|node| node.text()),
            Some("a\u{fffd}b\u{fffd}c\u{fffd}d\u{fffd}")
        );
    }

    #[test]
    fn long_lines_break_at_spaces_and_long_words_within() {
        assert_eq!(wrapped("one two three", 60.0, 12.0), ["one two", "three"]);
        assert_eq!(wrapped("abcdefghijkl", 40.0, 12.0).concat(), "abcdefghijkl");
        assert!(wrapped("abcdefghijkl", 40.0, 12.0).len() > 1);
        assert!(wrapped("", 40.0, 12.0).is_empty());
    }

    #[test]
    fn lengths_are_short() {
        assert_eq!([length(3.0), length(-0.04), length(1.26)], ["3", "0", "1.3"]);
    }
}
