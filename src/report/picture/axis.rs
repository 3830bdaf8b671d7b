//! Axes: the scale that suits some values, the place of a value on it, ticks, and numbers in
//! words. Draws nothing.

/// Magnitudes beyond this count as infinite: no measurement reaches them, and below it every
/// difference of two values is finite.
const LARGEST: f64 = 1e100;

/// Differences below this count as none, so that a step between ticks is never 0.
const SMALLEST: f64 = 1e-100;

/// Whether a value has a place on an axis: not NaN, not infinite, not beyond ±10¹⁰⁰.
pub fn is_placeable(value: f64) -> bool {
    value.abs() <= LARGEST
}

/// How values become lengths.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Scale {
    Linear,
    /// log₁₀, of positive values.
    Log,
    /// asinh((value − centre) / width): linear about the centre, logarithmic far from it.
    Asinh {
        centre: f64,
        width: f64,
    },
}

impl Scale {
    fn forward(self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            Self::Log => value.log10(),
            Self::Asinh { centre, width } => ((value - centre) / width).asinh(),
        }
    }

    fn inverse(self, length: f64) -> f64 {
        match self {
            Self::Linear => length,
            Self::Log => 10f64.powf(length),
            Self::Asinh { centre, width } => centre + width * length.sinh(),
        }
    }

    /// The first of linear, logarithmic and asinh under which the middle half of the values,
    /// ascending, takes at least `fair` of the axis. Where it is one value, as with scores of 0
    /// and 1, the distinct values are asked instead.
    fn suited(sorted: &[f64], fair: f64) -> Self {
        let quartiles = |of: &[f64]| {
            let last = of.len() - 1;
            [last / 4, last / 2, last - last / 4].map(|at| of[at])
        };
        let (low, high) = (sorted[0], sorted[sorted.len() - 1]);
        let [mut lower, mut middle, mut upper] = quartiles(sorted);
        if lower == upper {
            let mut distinct = sorted.to_vec();
            distinct.dedup();
            [lower, middle, upper] = quartiles(&distinct);
        }
        let is_fair = |scale: Self| {
            let [low, lower, upper, high] = [low, lower, upper, high].map(|v| scale.forward(v));
            upper - lower >= fair * (high - low)
        };
        if is_fair(Self::Linear) {
            Self::Linear
        } else if low > 0.0 && is_fair(Self::Log) {
            Self::Log
        } else {
            let width = ((upper - lower) / 2.0).max((high - low) * 1e-12);
            Self::Asinh { centre: middle, width }
        }
    }
}

/// A mark beside an axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Tick {
    /// 0 at the axis' low end, 1 at its high end.
    pub place: f64,
    /// Empty for a minor tick.
    pub label: String,
}

/// A scale with its ends.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    scale: Scale,
    /// Ends on the scale, `low < high`.
    low: f64,
    high: f64,
    /// Whether it counts things, so that ticks between whole numbers make no sense.
    whole: bool,
}

impl Axis {
    /// An axis with room for every placeable value, from 0 to 1 without any. It is linear if that
    /// leaves the middle half of the values at least the share `fair` of the axis.
    pub fn spanning(values: impl Iterator<Item = f64>, fair: f64) -> Self {
        let mut sorted: Vec<f64> = values.filter(|&value| is_placeable(value)).collect();
        sorted.sort_unstable_by(f64::total_cmp);
        match sorted[..] {
            [] => Self::linear(0.0, 1.0),
            [low, .., high] if high - low > (1e-9 * low.abs().max(high.abs())).max(SMALLEST) => {
                Self::padded(Scale::suited(&sorted, fair), low, high)
            }
            [value, ..] => {
                let room = if value.abs() < SMALLEST { 1.0 } else { 0.1 * value.abs() };
                Self::linear(value - room, value + room)
            }
        }
    }

    /// As `spanning`, but logarithmic as soon as positive values spread over a factor of 20: a
    /// curve that falls steeply and then slowly is read on that scale.
    pub fn of_curve(values: &[f64]) -> Self {
        let placeable = || values.iter().copied().filter(|&value| is_placeable(value));
        let low = placeable().fold(f64::INFINITY, f64::min);
        let high = placeable().fold(0.0, f64::max);
        if low > 0.0 && high >= 20.0 * low {
            Self::padded(Scale::Log, low, high)
        } else {
            Self::spanning(placeable(), 0.01)
        }
    }

    /// From `low` to `high` exactly.
    pub fn linear(low: f64, high: f64) -> Self {
        Self { scale: Scale::Linear, low, high, whole: false }
    }

    /// Of bars at 1 to `last`, with room beside the first and the last.
    pub fn of_bars(last: usize) -> Self {
        Self { whole: true, ..Self::linear(0.4, last.max(1) as f64 + 0.6) }
    }

    /// Logarithmic between the powers of ten about some positive values, from 1 to 10 without any.
    pub fn of_decades(values: impl Iterator<Item = f64>) -> Self {
        let placeable = values.filter(|&value| value >= SMALLEST && is_placeable(value));
        let (least, most) = placeable
            .fold((f64::INFINITY, 0.0), |(least, most): (f64, f64), value| {
                (least.min(value), most.max(value))
            });
        let (least, most) = if least <= most { (least, most) } else { (1.0, 10.0) };
        let low = least.log10().floor();
        let high = most.log10().ceil().max(low + 1.0);
        Self { scale: Scale::Log, low, high, whole: false }
    }

    /// Returns the values at its ends.
    pub fn ends(&self) -> (f64, f64) {
        (self.scale.inverse(self.low), self.scale.inverse(self.high))
    }

    /// Of the epochs 1 to `last`, with some room.
    pub fn of_epochs(last: usize) -> Self {
        let room = if last == 1 { 1.0 } else { 0.02 * last as f64 };
        Self { whole: true, ..Self::linear(1.0 - room, last as f64 + room) }
    }

    /// Of the numbers of rows in the bins of a histogram: from 0, or logarithmic from half a row
    /// when the fullest bin holds at least 100 times what the emptiest one with a row does.
    pub fn of_counts(counts: impl Iterator<Item = u64>) -> Self {
        let (low, high) = counts
            .filter(|&count| count > 0)
            .fold((u64::MAX, 0), |(low, high), count| (low.min(count), high.max(count)));
        if high / low.max(1) >= 100 {
            let (low, high) = (0.5f64.log10(), (high as f64 * 1.5).log10());
            Self { scale: Scale::Log, low, high, whole: true }
        } else {
            Self { whole: true, ..Self::linear(0.0, high.max(1) as f64 * 1.05) }
        }
    }

    fn padded(scale: Scale, low: f64, high: f64) -> Self {
        let (low, high) = (scale.forward(low), scale.forward(high));
        let room = 0.03 * (high - low);
        Self { scale, low: low - room, high: high + room, whole: false }
    }

    /// 0 at the low end, 1 at the high end.
    pub fn place(&self, value: f64) -> f64 {
        (self.scale.forward(value) - self.low) / (self.high - self.low)
    }

    /// What to call a scale that is not linear.
    pub fn scale_name(&self) -> Option<&'static str> {
        match self.scale {
            Scale::Linear => None,
            Scale::Log => Some("log scale"),
            Scale::Asinh { .. } => Some("asinh scale"),
        }
    }

    /// How to read a scale that is not linear.
    pub fn remark(&self) -> Option<String> {
        match self.scale {
            Scale::Linear => None,
            Scale::Log => Some("log scale".into()),
            Scale::Asinh { centre, .. } => Some(format!(
                "asinh scale: linear near {}, logarithmic far from it",
                number(centre)
            )),
        }
    }

    /// Labelled ticks, about `most` of them, and minor ones between, ascending.
    pub fn ticks(&self, most: usize) -> Vec<Tick> {
        let most = most.max(2);
        let values = match self.scale {
            Scale::Linear => labelled(&self.round_values(self.low, self.high, most)),
            Scale::Log => self.log_values(most),
            Scale::Asinh { centre, width } => self.asinh_values(centre, width, most),
        };
        let ticks =
            values.into_iter().map(|(value, label)| Tick { place: self.place(value), label });
        let mut ticks: Vec<Tick> =
            ticks.filter(|tick| (-1e-9..=1.0 + 1e-9).contains(&tick.place)).collect();
        ticks.sort_by(|a, b| a.place.total_cmp(&b.place));
        ticks
    }

    /// Multiples of a round step from `low` to `high`, at most about `most`.
    fn round_values(&self, low: f64, high: f64, most: usize) -> Vec<f64> {
        let least = (high - low) / most as f64;
        let step = round_step(if self.whole { least.max(1.0) } else { least });
        let (first, last) = ((low / step - 1e-9).ceil(), (high / step + 1e-9).floor());
        (first as i64..=last as i64).map(|multiple| multiple as f64 * step).collect()
    }

    fn log_values(&self, most: usize) -> Vec<(f64, String)> {
        let exponents: Vec<i32> = (self.low.ceil() as i32..=self.high.floor() as i32).collect();
        if exponents.len() < 2 {
            let (low, high) = (self.scale.inverse(self.low), self.scale.inverse(self.high));
            return labelled(&self.round_values(low, high, most));
        }
        let stride = exponents.len().div_ceil(most) as i32;
        let plain = exponents.iter().all(|exponent| (-3..=4).contains(exponent));
        let mut values = Vec::new();
        for exponent in exponents[0] - 1..=exponents[exponents.len() - 1] {
            let power = 10f64.powi(exponent);
            let label = if plain { number(power) } else { format!("10{}", raised(exponent)) };
            values.push((power, if exponent % stride == 0 { label } else { String::new() }));
            if stride == 1 {
                values.extend((2..10).map(|digit| {
                    let value = f64::from(digit) * power;
                    let shown = plain && exponents.len() == 2 && matches!(digit, 2 | 5);
                    (value, if shown { number(value) } else { String::new() })
                }));
            }
        }
        values
    }

    /// Round values about the centre first, then 0, then powers of ten outwards, as long as there
    /// is room between labels.
    fn asinh_values(&self, centre: f64, width: f64, most: usize) -> Vec<(f64, String)> {
        let step = round_step(2.0 * width);
        let nearest = (centre / step).round() * step;
        let mut candidates = vec![nearest, nearest - step, nearest + step, 0.0];
        for exponent in width.log10().floor() as i32..=LARGEST.log10() as i32 {
            let power = 10f64.powi(exponent);
            candidates.extend([power, -power]);
        }
        let mut values: Vec<(f64, String)> = Vec::new();
        for value in candidates {
            let place = self.place(value);
            let room =
                |(other, _): &(f64, String)| (self.place(*other) - place).abs() * most as f64;
            if values.iter().all(|other| room(other) >= 0.7) && (0.0..=1.0).contains(&place) {
                values.push((value, number(value)));
            }
        }
        for power in (width.log10().ceil() as i32..=LARGEST.log10() as i32).map(|e| 10f64.powi(e)) {
            let both = (1..10).map(f64::from).flat_map(|digit| [digit * power, -digit * power]);
            values.extend(both.map(|value| (value, String::new())));
        }
        values
    }
}

/// The smallest of 1, 2, 5 times a power of ten that is not below `least`.
fn round_step(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    let step = [1.0, 2.0, 5.0].map(|digit| digit * power);
    step.into_iter().find(|&step| step >= least * 0.999_999).unwrap_or(10.0 * power)
}

/// Values at equal distances with labels of equal precision.
fn labelled(values: &[f64]) -> Vec<(f64, String)> {
    let largest = values.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
    let step = values.get(1).map_or(largest, |second| second - values[0]);
    let digit = |value: f64| if value > 0.0 { (value.log10() + 1e-9).floor() as i32 } else { 0 };
    let scientific = digit(largest) >= 5 || digit(step) < -4;
    let exponent = if scientific { digit(largest) } else { 0 };
    let decimals = (exponent - digit(step)).max(0) as usize;
    let label = |value: f64| {
        if value == 0.0 {
            return "0".to_owned();
        }
        let mantissa = format!("{:.*}", decimals, value / 10f64.powi(exponent)).replace('-', "−");
        if exponent == 0 { mantissa } else { format!("{mantissa}×10{}", raised(exponent)) }
    };
    values.iter().map(|&value| (value, label(value))).collect()
}

/// An exponent.
fn raised(exponent: i32) -> String {
    let superscripts = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let raise = |c: char| c.to_digit(10).map_or('⁻', |digit| superscripts[digit as usize]);
    exponent.to_string().chars().map(raise).collect()
}

/// A number with up to four significant digits, `1.5×10⁷` where it is very large or small.
pub fn number(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return if value == 0.0 { "0".into() } else { value.to_string().replace("inf", "∞") }
            .replace('-', "−");
    }
    // rounded first, so that 9999.9 is 10000 in either spelling
    let rounded: String = format!("{value:.3e}");
    let (mantissa, exponent) = rounded.split_once('e').unwrap_or((&rounded, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trim = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    let text = if (-3..5).contains(&exponent) {
        trim(&format!("{:.*}", (3 - exponent).max(0) as usize, value))
    } else {
        match trim(mantissa).as_str() {
            "1" => format!("10{}", raised(exponent)),
            "-1" => format!("-10{}", raised(exponent)),
            mantissa => format!("{mantissa}×10{}", raised(exponent)),
        }
    };
    text.replace('-', "−")
}

/// A count with a comma before each three digits.
pub fn count(rows: usize) -> String {
    let digits = rows.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scale_of(values: &[f64]) -> Scale {
        Axis::spanning(values.iter().copied(), 0.05).scale
    }

    fn labels(axis: &Axis, most: usize) -> Vec<String> {
        let ticks = axis.ticks(most).into_iter().map(|tick| tick.label);
        ticks.filter(|label| !label.is_empty()).collect()
    }

    #[test]
    fn the_simplest_scale_that_shows_the_middle_half_is_taken() {
        let even: Vec<f64> = (0..100).map(f64::from).collect();
        let decades: Vec<f64> = (0..100).map(|i| 10f64.powf(f64::from(i) / 10.0)).collect();
        let tail: Vec<f64> = (0..100).map(|i| f64::from(i) - 60.0).chain([1e6]).collect();
        let flags: Vec<f64> = (0..100).map(|i| f64::from(u8::from(i % 10 == 0))).collect();
        assert_eq!(scale_of(&even), Scale::Linear);
        assert_eq!(scale_of(&decades), Scale::Log);
        assert_eq!(scale_of(&tail), Scale::Asinh { centre: -10.0, width: 25.0 });
        assert_eq!(scale_of(&flags), Scale::Linear, "most are 0, but so nothing is squeezed");
        assert_eq!(scale_of(&[5.0; 3]), Scale::Linear);
    }

    #[test]
    fn every_placeable_value_lies_on_its_axis() {
        let sets: [&[f64]; 6] = [
            &[-1e100, 1e100],
            &[0.0, 5e-324],
            &[3.0],
            &[1e-300, 1.0, 1.1, 1.2, 1e90],
            &[1.0, f64::INFINITY, f64::NAN, -2.0],
            &[0.0, 0.0, 0.0, 0.0, 1e-30, 1e30],
        ];
        for values in sets {
            let axis = Axis::spanning(values.iter().copied(), 0.05);
            for &value in values.iter().filter(|value| is_placeable(**value)) {
                assert!(
                    (0.0..=1.0).contains(&axis.place(value)),
                    "{value} of {values:?}: {axis:?}"
                );
            }
            let places: Vec<f64> = axis.ticks(6).iter().map(|tick| tick.place).collect();
            assert!(places.iter().all(|place| place.is_finite()) && places.is_sorted());
        }
    }

    #[test]
    fn ticks_stand_at_round_values() {
        assert_eq!(labels(&Axis::linear(-0.07, 0.31), 5), ["0", "0.1", "0.2", "0.3"]);
        assert_eq!(labels(&Axis::linear(0.0, 3e6), 3), ["0", "1×10⁶", "2×10⁶", "3×10⁶"]);
        assert_eq!(labels(&Axis::of_epochs(2), 6), ["1", "2"], "no half epochs");
        assert_eq!(labels(&Axis::of_curve(&[1e-9, 1e3]), 4), ["10⁻⁸", "10⁻⁴", "10⁰"]);
        assert_eq!(labels(&Axis::of_curve(&[0.5, 30.0]), 9), ["0.5", "1", "2", "5", "10", "20"]);
        let tail = Axis::spanning((-90..10).map(f64::from).chain([1e6]), 0.05);
        assert_eq!(labels(&tail, 7), ["−50", "0", "1000", "10000", "10⁵", "10⁶"]);
    }

    #[test]
    fn decades_begin_and_end_at_powers_of_ten_and_bars_stand_at_whole_numbers() {
        let of = |values: &[f64]| Axis::of_decades(values.iter().copied());
        assert_eq!(labels(&of(&[0.4, 52.0]), 5), ["0.1", "1", "10", "100"]);
        assert_eq!(of(&[0.4, 52.0]).ends(), (0.1, 100.0));
        assert_eq!(of(&[10.0]).ends(), (10.0, 100.0));
        assert_eq!(of(&[-1.0, 0.0, f64::NAN, f64::INFINITY]).ends(), (1.0, 10.0));
        assert_eq!(labels(&Axis::of_bars(2), 5), ["1", "2"]);
    }

    #[test]
    fn counts_that_differ_a_hundredfold_get_a_log_axis() {
        assert_eq!(Axis::of_counts([0, 3, 99].into_iter()).scale_name(), None);
        assert_eq!(Axis::of_counts([0, 1, 100].into_iter()).scale_name(), Some("log scale"));
        assert!(Axis::of_counts([1, 100].into_iter()).place(1.0) > 0.05, "one row is seen");
        assert_eq!(labels(&Axis::of_counts([0].into_iter()), 5), ["0", "1"]);
    }

    #[test]
    fn numbers_have_four_digits_and_a_minus_sign() {
        let cases = [
            (0.0, "0"),
            (-4.37412, "−4.374"),
            (0.0012345, "0.001234"),
            (98765.4, "98765"),
            (99999.9, "10⁵"),
            (-1e7, "−10⁷"),
            (1.5e-7, "1.5×10⁻⁷"),
            (f64::NEG_INFINITY, "−∞"),
        ];
        for (value, text) in cases {
            assert_eq!(number(value), text);
        }
        assert_eq!([count(7), count(1234), count(1_234_567)], ["7", "1,234", "1,234,567"]);
    }
}
