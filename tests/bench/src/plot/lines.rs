//! Cost against size, a line a contestant.

use anyhow::anyhow;
use plotters::{
    coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter},
    prelude::*,
};

use super::{
    Point, in_order,
    style::{FAINT, FONT, INK, Palette, figure, mark, range, width},
};

const SIZE: (u32, u32) = (900, 560);
const TEXT: u32 = 15;
/// Title and legend; the legend's lines follow each other by so much.
const HEAD: i32 = 48;
const LEGEND: i32 = 20;

struct Series<'a> {
    name: &'a str,
    colour: RGBColor,
    points: Vec<(f64, f64)>,
}

/// The SVG.
pub(super) fn draw(bench: &str, title: &str, points: &[&Point]) -> anyhow::Result<String> {
    let points: Vec<_> = points.iter().filter(|p| p.cost.is_finite()).collect();
    let names = in_order(points.iter().map(|p| p.series.as_str()));
    let palette = Palette::new(names.iter().copied());
    let series = names.into_iter().map(|name| {
        let mine = points.iter().filter(|p| p.series == name);
        let mut points: Vec<_> = mine.map(|p| (p.size as f64, p.cost)).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        // A case may name one contestant twice.
        points.dedup_by(|a, b| a.0 == b.0);
        Series {
            name,
            colour: palette.of(name),
            points,
        }
    });
    let series: Vec<_> = series.collect();
    let descriptions = points.first().map_or(("", ""), |p| (&p.size_unit, &p.unit));
    let mut sizes: Vec<_> = points.iter().map(|p| p.size as f64).collect();
    sizes.sort_by(f64::total_cmp);
    sizes.dedup();
    let (left, right, wide) = range(points.iter().map(|p| p.size as f64));
    let (low, high, tall) = range(points.iter().map(|p| p.cost));
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        root.fill(&WHITE).map_err(|e| anyhow!("{e}"))?;
        let font = (FONT, 20).into_font().color(&INK);
        root.draw(&Text::new(format!("{bench}: {title}"), (16, 12), font))?;
        let head = legend(&root, &series)?;
        let (x, y) = (left..right, low..high);
        // Marks where it was measured; those of plotters overlap over a decade and a half.
        let log_x = x.clone().log_scale().with_key_points(sizes);
        match (wide, tall) {
            (true, true) => chart(&root, head, &series, log_x, y.log_scale(), descriptions),
            (true, false) => chart(&root, head, &series, log_x, y, descriptions),
            (false, true) => chart(&root, head, &series, x, y.log_scale(), descriptions),
            (false, false) => chart(&root, head, &series, x, y, descriptions),
        }?;
        root.present()?;
    }
    Ok(svg)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

/// Gives where it ends.
fn legend(root: &Area<'_>, series: &[Series<'_>]) -> anyhow::Result<i32> {
    let (mut x, mut y) = (16, HEAD);
    for Series { name, colour, .. } in series {
        let entry = 40 + width(name, TEXT);
        if x + entry > SIZE.0 as i32 {
            (x, y) = (16, y + LEGEND);
        }
        let line = [(x, y), (x + 20, y)];
        root.draw(&PathElement::new(line, colour.stroke_width(2)))?;
        root.draw(&Circle::new((x + 10, y), 4, colour.filled()))?;
        let font = (FONT, TEXT).into_font().color(&INK);
        root.draw(&Text::new((*name).to_owned(), (x + 26, y - 7), font))?;
        x += entry;
    }
    Ok(y + LEGEND)
}

fn chart<X, Y>(
    root: &Area<'_>,
    head: i32,
    series: &[Series<'_>],
    x: X,
    y: Y,
    (x_name, y_name): (&str, &str),
) -> anyhow::Result<()>
where
    X: AsRangedCoord<Value = f64>,
    X::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
    Y: AsRangedCoord<Value = f64>,
    Y::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    let mut chart = ChartBuilder::on(root)
        .margin_top(head)
        .margin_right(90)
        .margin_bottom(8)
        .margin_left(8)
        .x_label_area_size(48)
        .y_label_area_size(70)
        .build_cartesian_2d(x, y)?;
    chart
        .configure_mesh()
        .max_light_lines(0)
        .bold_line_style(FAINT)
        .axis_style(INK)
        .x_label_formatter(&|x| mark(*x))
        .y_label_formatter(&|y| mark(*y))
        .x_desc(x_name)
        .y_desc(y_name)
        .label_style((FONT, TEXT).into_font().color(&INK))
        .draw()?;
    for Series { colour, points, .. } in series {
        let line = points.iter().copied();
        chart.draw_series(LineSeries::new(line, colour.stroke_width(2)))?;
        let dots = points.iter().map(|&p| Circle::new(p, 4, colour.filled()));
        chart.draw_series(dots)?;
    }
    labels(root, &chart_ends(&chart, series))
}

/// Where the lines end, in pixels, and with which figure.
fn chart_ends<'s, X, Y>(
    chart: &ChartContext<'_, SVGBackend<'_>, Cartesian2d<X, Y>>,
    series: &'s [Series<'_>],
) -> Vec<(i32, i32, String, &'s RGBColor)>
where
    X: Ranged<ValueType = f64>,
    Y: Ranged<ValueType = f64>,
{
    let end = |s: &'s Series<'_>| {
        let last = s.points.last()?;
        let (x, y) = chart.backend_coord(last);
        Some((x, y, figure(last.1), &s.colour))
    };
    series.iter().filter_map(end).collect()
}

/// The figure of the largest size at the end of each line, moved down where two would overlap.
fn labels(root: &Area<'_>, ends: &[(i32, i32, String, &RGBColor)]) -> anyhow::Result<()> {
    let mut ends: Vec<_> = ends.iter().collect();
    ends.sort_by_key(|e| e.1);
    let mut free = 0;
    for (x, y, text, colour) in ends {
        let at = (y - 7).max(free);
        let font = (FONT, TEXT).into_font().color(*colour);
        root.draw(&Text::new(text.clone(), (x + 10, at), font))?;
        free = at + TEXT as i32 + 1;
    }
    Ok(())
}
