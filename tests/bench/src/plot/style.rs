//! Colours, figures as text, axes: what bars and lines share.

use plotters::style::RGBColor;

use super::in_order;

pub(super) const FONT: &str = "sans-serif";
pub(super) const INK: RGBColor = RGBColor(34, 34, 34);
pub(super) const FAINT: RGBColor = RGBColor(226, 226, 226);

/// Ours in blues; the peers in colours that colour-blind readers tell apart (after Okabe and Ito).
const OURS: [RGBColor; 3] = [
    RGBColor(0, 83, 166),
    RGBColor(74, 144, 217),
    RGBColor(148, 190, 235),
];
const PEERS: [RGBColor; 10] = [
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 102, 119),
    RGBColor(153, 153, 153),
    RGBColor(213, 94, 0),
    RGBColor(170, 120, 200),
    RGBColor(140, 120, 60),
    RGBColor(102, 194, 190),
    RGBColor(90, 90, 90),
    RGBColor(200, 190, 60),
];

/// A colour for every contestant of a plot.
pub(super) struct Palette<'a>(Vec<(&'a str, RGBColor)>);

impl<'a> Palette<'a> {
    /// In the order of the names: those that begin with `ours` blue.
    pub(super) fn new(names: impl Iterator<Item = &'a str>) -> Self {
        let (mut ours, mut peers) = (OURS.iter().cycle(), PEERS.iter().cycle());
        let mut colour = |name: &str| match name.starts_with("ours") {
            true => ours.next(),
            false => peers.next(),
        };
        let named = |name| (name, colour(name).copied().unwrap_or(INK));
        Self(in_order(names).into_iter().map(named).collect())
    }

    pub(super) fn of(&self, name: &str) -> RGBColor {
        let entry = self.0.iter().find(|e| e.0 == name);
        entry.map_or(INK, |e| e.1)
    }
}

/// Three digits that count; thousands in groups.
pub(super) fn figure(value: f64) -> String {
    let size = value.abs();
    if size >= 1000.0 {
        let digits = format!("{size:.0}");
        let mut text = String::from(if value < 0.0 { "-" } else { "" });
        for (i, digit) in digits.chars().enumerate() {
            if i > 0 && (digits.len() - i).is_multiple_of(3) {
                text.push(',');
            }
            text.push(digit);
        }
        return text;
    }
    match size {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        1.0.. => format!("{value:.2}"),
        0.001.. => format!("{value:.3}"),
        0.0 => "0".to_owned(),
        _ => format!("{value:.1e}"),
    }
}

/// As [`figure`], without zeros at the end: marks of an axis are round.
pub(super) fn mark(value: f64) -> String {
    let text = figure(value);
    match text.contains('.') && !text.contains('e') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// Pixels that a text of `font` pixels takes, with some to spare: sans-serif is 0.5 to 0.6 wide.
pub(super) fn width(text: &str, font: u32) -> i32 {
    (text.chars().count() as f64 * f64::from(font) * 0.5) as i32
}

/// Figures that differ by more than this get a logarithmic axis.
const WIDE: f64 = 30.0;

/// `(low, high, logarithmic)` of an axis over the positive ones of `values`; a linear one begins
/// at 0, a logarithmic one a little below the smallest.
pub(super) fn range(values: impl Iterator<Item = f64> + Clone) -> (f64, f64, bool) {
    let valid = values.filter(|v| v.is_finite());
    let high = valid.clone().fold(0.0, f64::max);
    let low = valid.clone().fold(high, f64::min);
    if low > 0.0 && high / low > WIDE {
        return (low / 2.0, high * 1.25, true);
    }
    let high = if high > 0.0 { high * 1.05 } else { 1.0 };
    (low.min(0.0) * 1.05, high, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_show_three_digits() {
        let shown: Vec<_> = [0.0, 0.98765, 9.8765, 98.765, 987.65, 9876.5, 1234567.8]
            .map(figure)
            .to_vec();
        assert_eq!(
            shown,
            ["0", "0.988", "9.88", "98.8", "988", "9,876", "1,234,568"]
        );
    }

    #[test]
    fn marks_are_short() {
        let shown = [64.0, 0.5, 1e6, 2.25, 1e-5].map(mark);
        assert_eq!(shown, ["64", "0.5", "1,000,000", "2.25", "1.0e-5"]);
    }

    #[test]
    fn only_wide_ranges_are_logarithmic() {
        assert!(!range([1.0, 30.0].into_iter()).2);
        assert!(range([1.0, 31.0, f64::NAN].into_iter()).2);
        assert_eq!(range([f64::NAN].into_iter()), (0.0, 1.0, false));
    }
}
