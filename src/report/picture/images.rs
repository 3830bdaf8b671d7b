//! Images beside their reconstructions, as a PNG in shades of grey.

use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

use crate::error::{Error, Result};

/// Pixels of the picture for one of an image.
const SCALE: usize = 3;
const MARGIN: usize = 16;
const GAP: usize = 6;
const WHITE: u8 = 255;
/// Shade of the line around each image, which bounds light ones on white paper.
const FRAME: u8 = 128;
const TEXT: RasterHeight = RasterHeight::Size20;

/// Images of one kind of rows with what a model made of them.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageGroup {
    /// Such as `normal` or `anomalous`.
    pub name: String,
    /// Pixels of each image.
    pub height: usize,
    pub width: usize,
    /// Images row by row from the top left, `height · width` values each, 0 black, 1 white.
    pub inputs: Vec<Vec<f32>>,
    /// One for each of `inputs`, likewise.
    pub reconstructions: Vec<Vec<f32>>,
}

/// Inputs above their reconstructions, each group in two rows, as the bytes of a PNG with 8-bit
/// grey: each pixel of an image is a square of 3 × 3. Values outside [0, 1] are shown as the nearer
/// end, and a line at the foot counts them. The font has Latin letters; other characters of `title`
/// and of the names become `?`.
///
/// # Errors
/// No image; an image of another size than its group says; as many reconstructions as inputs are
/// not there; a value that is not a number. Each by group and place.
pub fn reconstruction_grid(title: &str, groups: &[ImageGroup]) -> Result<Vec<u8>> {
    for group in groups {
        check(group)?;
    }
    let columns = groups.iter().map(|group| group.inputs.len()).max().unwrap_or(0);
    if columns == 0 {
        return Err(Error::Failed("a picture of reconstructions needs an image".into()));
    }
    let cell = groups.iter().map(|group| group.width).max().unwrap_or(0) * SCALE + GAP;
    let labels = groups.iter().map(|group| group.name.chars().count()).chain([14]).max();
    let left = MARGIN + text_width(labels.unwrap_or(14)) + 2 * GAP;
    let width = left + columns * cell - GAP + MARGIN;
    let mut page = Page { width, shades: Vec::new() };
    page.grow(MARGIN);
    page.paragraph(title, FontWeight::Bold);
    for group in groups {
        page.grow(2 * GAP);
        page.pair(group, left, cell);
    }
    page.grow(GAP);
    page.paragraph(&legend(groups), FontWeight::Regular);
    page.grow(MARGIN - GAP);
    page.encode()
}

fn check(group: &ImageGroup) -> Result<()> {
    let wrong = |what: String| Err(Error::Failed(format!("image group {}: {what}", group.name)));
    let (inputs, reconstructions) = (group.inputs.len(), group.reconstructions.len());
    if inputs != reconstructions {
        return wrong(format!("{inputs} inputs and {reconstructions} reconstructions"));
    }
    for (kind, images) in [("input", &group.inputs), ("reconstruction", &group.reconstructions)] {
        for (number, image) in (1..).zip(images) {
            let (height, width, values) = (group.height, group.width, image.len());
            if values != height * width || values == 0 {
                return wrong(format!(
                    "{kind} {number} has {values} values, not {height} × {width}"
                ));
            }
            if let Some(at) = image.iter().position(|value| value.is_nan()) {
                let (row, column) = (at / width + 1, at % width + 1);
                return wrong(format!(
                    "{kind} {number} is not a number in row {row}, column {column}"
                ));
            }
        }
    }
    Ok(())
}

fn legend(groups: &[ImageGroup]) -> String {
    let values = || groups.iter().flat_map(|g| g.inputs.iter().chain(&g.reconstructions)).flatten();
    let outside = values().filter(|value| !(0.0..=1.0).contains(*value)).count();
    let text = "pixel value (no unit): 0 is black, 1 is white";
    match outside {
        0 => text.to_owned(),
        _ => {
            format!("{text}; {outside} of {} values lie outside and are clipped", values().count())
        }
    }
}

/// Rows of grey pixels that grow downwards.
struct Page {
    width: usize,
    /// `width` shades a row.
    shades: Vec<u8>,
}

impl Page {
    fn height(&self) -> usize {
        self.shades.len() / self.width
    }

    fn grow(&mut self, rows: usize) {
        self.shades.resize(self.shades.len() + rows * self.width, WHITE);
    }

    /// Text from margin to margin.
    fn paragraph(&mut self, text: &str, weight: FontWeight) {
        let most = ((self.width - 2 * MARGIN) / text_width(1)).max(1);
        for line in wrapped(text, most) {
            let top = self.height();
            self.grow(TEXT.val());
            self.text(MARGIN, top, &line, weight);
        }
    }

    /// A group's inputs and, below, its reconstructions, with labels that end at `left`.
    fn pair(&mut self, group: &ImageGroup, left: usize, cell: usize) {
        for (kind, images) in [("input", &group.inputs), ("reconstruction", &group.reconstructions)]
        {
            let top = self.height();
            let height = (group.height * SCALE).max(2 * TEXT.val());
            self.grow(height + GAP);
            let middle = top + height / 2;
            for (label, y, weight) in [
                (group.name.as_str(), middle - TEXT.val(), FontWeight::Bold),
                (kind, middle, FontWeight::Regular),
            ] {
                let x = left - 2 * GAP - text_width(label.chars().count());
                self.text(x, y, label, weight);
            }
            for (number, image) in images.iter().enumerate() {
                self.image(left + number * cell, top, group.width, image);
            }
        }
    }

    fn image(&mut self, left: usize, top: usize, width: usize, image: &[f32]) {
        let (across, down) = (width * SCALE, image.len() / width * SCALE);
        for y in 0..down + 2 {
            for x in 0..across + 2 {
                let inside = (1..=across).contains(&x) && (1..=down).contains(&y);
                let shade = if inside {
                    shade(image[(y - 1) / SCALE * width + (x - 1) / SCALE])
                } else {
                    FRAME
                };
                self.shades[(top + y - 1) * self.width + left + x - 1] = shade;
            }
        }
    }

    fn text(&mut self, left: usize, top: usize, text: &str, weight: FontWeight) {
        for (number, character) in text.chars().enumerate() {
            let raster =
                get_raster(character, weight, TEXT).or_else(|| get_raster('?', weight, TEXT));
            for (y, row) in raster.iter().flat_map(|raster| raster.rows()).enumerate() {
                for (x, ink) in row.iter().enumerate() {
                    let at = (top + y) * self.width + left + text_width(number) + x;
                    self.shades[at] = self.shades[at].min(WHITE - ink);
                }
            }
        }
    }

    fn encode(&self) -> Result<Vec<u8>> {
        let failed = |error| Error::Failed(format!("cannot encode a PNG: {error}"));
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, self.width as u32, self.height() as u32);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header().map_err(failed)?;
        writer.write_image_data(&self.shades).map_err(failed)?;
        writer.finish().map_err(failed)?;
        Ok(bytes)
    }
}

fn shade(value: f32) -> u8 {
    (value.clamp(0.0, 1.0) * 255.0).round() as u8
}

fn text_width(characters: usize) -> usize {
    characters * get_raster_width(FontWeight::Regular, TEXT)
}

/// Lines of at most `most` characters, broken at spaces, and within a word that is longer alone.
fn wrapped(text: &str, most: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line: Vec<char> = Vec::new();
    for word in text.split_whitespace() {
        let word: Vec<char> = word.chars().collect();
        if !line.is_empty() && line.len() + 1 + word.len() > most {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.extend(word);
        while line.len() > most {
            let rest = line.split_off(most);
            lines.push(std::mem::replace(&mut line, rest));
        }
    }
    lines.push(line);
    lines.into_iter().filter(|line| !line.is_empty()).map(String::from_iter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(inputs: Vec<Vec<f32>>, reconstructions: Vec<Vec<f32>>) -> ImageGroup {
        ImageGroup { name: "normal".into(), height: 2, width: 3, inputs, reconstructions }
    }

    fn decode(bytes: &[u8]) -> (usize, Vec<u8>) {
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().expect("a PNG");
        assert_eq!(reader.info().color_type, png::ColorType::Grayscale);
        let mut shades = vec![0; reader.output_buffer_size().expect("a size")];
        let frame = reader.next_frame(&mut shades).expect("pixels");
        assert_eq!(shades.len(), frame.width as usize * frame.height as usize);
        (frame.width as usize, shades)
    }

    #[test]
    fn pixels_come_back_as_squares_with_their_shade() {
        let input = vec![0.0, 0.5, 1.0, 0.2, 0.4, 0.6];
        let output = vec![1.0, 0.0, 1.0, 0.0, 1.0, 0.0];
        let both = group(vec![input.clone(), output.clone()], vec![output.clone(), input.clone()]);
        let (width, shades) = decode(&reconstruction_grid("t", &[both]).expect("a picture"));
        let (left, cell) = (MARGIN + text_width(14) + 2 * GAP, 3 * SCALE + GAP);
        assert_eq!(width, left + 2 * cell - GAP + MARGIN);
        let row = 2 * TEXT.val() + GAP; // the images are lower than their labels
        let top = MARGIN + TEXT.val() + 2 * GAP;
        assert_eq!(
            shades.len() / width,
            top + 2 * row + 3 * TEXT.val() + MARGIN,
            "3 lines of legend"
        );
        for (x, y, image) in [(0, 0, &input), (1, 0, &output), (0, 1, &output), (1, 1, &input)] {
            for (at, value) in image.iter().enumerate() {
                for step in 0..SCALE {
                    let across = left + x * cell + at % 3 * SCALE + step;
                    let down = top + y * row + at / 3 * SCALE + step;
                    assert_eq!(shades[down * width + across], (value * 255.0).round() as u8);
                }
            }
        }
        let margin = |at: &usize| at % width < MARGIN / 2 || at % width >= width - MARGIN / 2;
        assert!((0..shades.len()).filter(margin).all(|at| shades[at] == WHITE));
    }

    #[test]
    fn values_outside_the_range_are_clipped_and_counted() {
        let image = vec![vec![-1.0, 0.0, 0.5, 1.0, 2.0, f32::INFINITY]];
        let groups = [group(image.clone(), image)];
        assert!(legend(&groups).ends_with("6 of 12 values lie outside and are clipped"));
        assert_eq!([shade(-1.0), shade(f32::INFINITY)], [0, 255]);
    }

    #[test]
    fn wrong_images_are_refused_by_name() {
        let good = vec![0.0; 6];
        let mut broken = good.clone();
        broken[4] = f32::NAN;
        let cases = [
            (vec![], "a picture of reconstructions needs an image"),
            (
                vec![group(vec![good.clone()], vec![broken])],
                "image group normal: reconstruction 1 is not a number in row 2, column 2",
            ),
            (
                vec![group(vec![good.clone()], vec![vec![0.0; 5]])],
                "image group normal: reconstruction 1 has 5 values, not 2 × 3",
            ),
            (vec![group(vec![good], vec![])], "image group normal: 1 inputs and 0 reconstructions"),
        ];
        for (groups, message) in cases {
            let error = reconstruction_grid("t", &groups).expect_err("an error");
            assert_eq!(error.to_string(), message);
        }
    }

    #[test]
    fn the_same_images_give_the_same_bytes() {
        let images = || vec![(0..6).map(|value| value as f32 / 5.0).collect()];
        let picture = || reconstruction_grid("λ · a/b", &[group(images(), images())]);
        assert_eq!(picture(), picture());
    }
}
