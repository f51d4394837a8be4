//! Every case of a benchmark as a group of bars, one panel a unit.

use anyhow::anyhow;
use plotters::{
    coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter},
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use super::{
    Case, in_order,
    style::{FAINT, FONT, INK, Palette, figure, mark, range, width},
};

const BAR: i32 = 15;
/// Between groups.
const GAP: i32 = 8;
const TEXT: u32 = 14;
/// Pixels of the part with bars, and of the names at their ends.
const BARS: i32 = 420;
const ENDS: i32 = 260;
/// Title and legend above a panel's bars, axis below.
const HEAD: i32 = 50;
const FOOT: i32 = 48;
/// Columns are broken where they would be higher.
const HEIGHT: i32 = 1500;

struct Group<'a> {
    case: &'a str,
    bars: Vec<(&'a str, f64)>,
}

impl Group<'_> {
    fn height(&self) -> i32 {
        self.bars.len() as i32 * BAR + GAP
    }
}

/// The cases of one unit, or some of them.
struct Panel<'a> {
    unit: &'a str,
    title: String,
    groups: Vec<Group<'a>>,
    /// Low, high, logarithmic: one for all panels of the unit.
    range: (f64, f64, bool),
}

impl Panel<'_> {
    fn bars_height(&self) -> i32 {
        self.groups.iter().map(Group::height).sum::<i32>() + GAP
    }

    fn height(&self) -> i32 {
        HEAD + self.bars_height() + FOOT
    }
}

/// The SVG.
pub(super) fn draw(bench: &str, cases: &[&Case]) -> anyhow::Result<String> {
    let mut panels = Vec::new();
    for unit in in_order(cases.iter().map(|c| c.unit.as_str())) {
        let cases: Vec<_> = cases.iter().copied().filter(|c| c.unit == unit).collect();
        panels.extend(cut(unit, groups(&cases)));
    }
    let longest = cases.iter().map(|c| width(&c.case, TEXT)).max();
    let labels = longest.unwrap_or(0) + 20;
    let column = labels + BARS + ENDS;
    let places = places(&panels, column);
    let columns = places.last().map_or(1, |p| p.0 / column + 1);
    let heights = places
        .iter()
        .zip(&panels)
        .map(|(p, panel)| p.1 + panel.height());
    let size = (columns * column, heights.max().unwrap_or(0));
    let names = panels.iter().flat_map(|p| &p.groups);
    let palette = Palette::new(names.flat_map(|g| g.bars.iter().map(|b| b.0)));
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (size.0 as u32, size.1 as u32));
        let root = root.into_drawing_area();
        root.fill(&WHITE).map_err(|e| anyhow!("{e}"))?;
        let title = format!("{bench}: ours beside its peers");
        let font = (FONT, 20).into_font().color(&INK);
        root.draw(&Text::new(title, (12, 10), font))?;
        for ((x, y), panel) in places.into_iter().zip(&panels) {
            let area = root.clone().shrink((x, y), (column, panel.height()));
            draw_panel(&area, panel, labels, &palette)?;
        }
        root.present()?;
    }
    Ok(svg)
}

/// Lines of one case that agree on our figure are one group.
fn groups<'a>(cases: &[&'a Case]) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    for case in cases {
        let peer = case.peer.as_ref().map(|p| (p.0.as_str(), p.1));
        let same = |g: &&mut Group<'_>| g.case == case.case && g.bars[0].1 == case.ours;
        match groups.iter_mut().rev().find(same) {
            Some(group) => group.bars.extend(peer),
            None => {
                let mut bars = vec![("ours", case.ours)];
                bars.extend(peer);
                groups.push(Group {
                    case: &case.case,
                    bars,
                });
            }
        }
    }
    groups
}

/// Panels that fit a column, of about one height.
fn cut<'a>(unit: &'a str, groups: Vec<Group<'a>>) -> Vec<Panel<'a>> {
    let range = range(groups.iter().flat_map(|g| g.bars.iter().map(|b| b.1)));
    let total: i32 = groups.iter().map(Group::height).sum();
    let of = total / (HEIGHT - 2 * HEAD - FOOT) + 1;
    let part = total / of;
    let mut panels: Vec<Panel<'a>> = Vec::new();
    for group in groups {
        match panels.last_mut() {
            Some(panel) if panel.bars_height() < part => panel.groups.push(group),
            _ => panels.push(Panel {
                unit,
                title: unit.to_owned(),
                groups: vec![group],
                range,
            }),
        }
    }
    let of = panels.len();
    for (index, panel) in panels.iter_mut().enumerate().filter(|_| of > 1) {
        panel.title = format!("{unit} ({} of {of})", index + 1);
    }
    panels
}

/// Upper left corners: one below the other, and in a next column where they do not fit.
fn places(panels: &[Panel<'_>], column: i32) -> Vec<(i32, i32)> {
    let (mut x, mut y) = (0, HEAD);
    let mut places = Vec::new();
    for panel in panels {
        if y > HEAD && y + panel.height() > HEIGHT {
            (x, y) = (x + column, HEAD);
        }
        places.push((x, y));
        y += panel.height();
    }
    places
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

fn draw_panel(
    area: &Area<'_>,
    panel: &Panel<'_>,
    labels: i32,
    palette: &Palette<'_>,
) -> anyhow::Result<()> {
    let names = in_order(panel.groups.iter().flat_map(|g| g.bars.iter().map(|b| b.0)));
    let bold = (FONT, 14).into_font().style(FontStyle::Bold).color(&INK);
    area.draw(&Text::new(panel.title.clone(), (12, 8), bold))?;
    let mut x = 12;
    for name in names {
        let colour = palette.of(name);
        area.draw(&Rectangle::new([(x, 30), (x + 12, 42)], colour.filled()))?;
        let font = (FONT, TEXT).into_font().color(&INK);
        area.draw(&Text::new(name.to_owned(), (x + 16, 30), font))?;
        x += 32 + width(name, TEXT);
    }
    let (low, high, logarithmic) = panel.range;
    if logarithmic {
        draw_bars(area, panel, labels, (low..high).log_scale(), palette)
    } else {
        draw_bars(area, panel, labels, low..high, palette)
    }
}

fn draw_bars<X>(
    area: &Area<'_>,
    panel: &Panel<'_>,
    labels: i32,
    axis: X,
    palette: &Palette<'_>,
) -> anyhow::Result<()>
where
    X: AsRangedCoord<Value = f64>,
    X::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    // Downwards from 0, a pixel a unit: plotters has no axis that runs backwards.
    let height = f64::from(panel.bars_height());
    let mut chart = ChartBuilder::on(area)
        .margin_top(HEAD)
        .margin_right(ENDS)
        .set_label_area_size(LabelAreaPosition::Left, labels)
        .set_label_area_size(LabelAreaPosition::Bottom, FOOT)
        .build_cartesian_2d(axis, -height..0.0)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .max_light_lines(0)
        .bold_line_style(FAINT)
        .axis_style(INK)
        .x_labels(6)
        .x_label_formatter(&|x| mark(*x))
        .x_desc(panel.unit)
        .label_style((FONT, TEXT).into_font().color(&INK))
        .draw()?;
    let start = if panel.range.2 { panel.range.0 } else { 0.0 };
    let right = Pos::new(HPos::Right, VPos::Center);
    let left = Pos::new(HPos::Left, VPos::Center);
    let font = (FONT, TEXT).into_font().color(&INK);
    let origin = area.get_pixel_range();
    let down = |y: i32| -f64::from(y);
    let inside = |(x, y): (i32, i32)| (x - origin.0.start, y - origin.1.start);
    let mut y = GAP;
    for group in &panel.groups {
        let middle = y + (group.height() - GAP) / 2;
        let (x, label) = inside(chart.backend_coord(&(panel.range.0, down(middle))));
        let style = font.clone().pos(right);
        area.draw(&Text::new(group.case.to_owned(), (x - 8, label), style))?;
        for &(name, value) in &group.bars {
            let shown = if value.is_finite() { value } else { start };
            chart.draw_series([Rectangle::new(
                [(start, down(y + 1)), (shown, down(y + BAR - 1))],
                palette.of(name).filled(),
            )])?;
            let (x, text) = inside(chart.backend_coord(&(shown.max(start), down(y + BAR / 2))));
            let label = format!("{} {name}", figure(value));
            area.draw(&Text::new(label, (x + 5, text), font.clone().pos(left)))?;
            y += BAR;
        }
        y += GAP;
    }
    Ok(())
}
