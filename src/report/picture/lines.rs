//! Lines over numbers that were measured: what a job costs by its seeds, and what a grid costs by its
//! runs.

use super::axis::{Axis, number};
use super::canvas::{CHANCE, Canvas, LEFT_OF_PANEL, Mark, Panel, dot, dots, series, series_colour};

/// A line with its name and its points, from the left.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    pub name: String,
    pub points: Vec<(f64, f64)>,
}

/// A panel with lines, of which the first, the second and so on look alike in every panel.
struct Chart<'a> {
    name: &'a str,
    x: (Axis, &'a str),
    y: (Axis, &'a str),
    lines: &'a [Line],
}

const HEIGHT: f64 = 190.0;
const RIGHT_OF_PANEL: f64 = 18.0;

/// Draws what a job costs by its seeds, as SVG: `times` and `memories` hold a line for each model, in
/// parts of what one seed takes, and `walls` the seconds that some runs took with 1, 2, … workers.
pub fn job_width(times: &[Line], memories: &[Line], walls: &[f64]) -> String {
    let title = "Time of a step and memory of a worker by seeds a job, and wall time by workers";
    let (wide, narrow) = (190.0, 156.0);
    let lines = described(&[("time of a step", times), ("memory of a worker", memories)]);
    let said = |(worker, seconds): (usize, &f64)| format!("{worker} in {} s", number(*seconds));
    let bars: Vec<String> = (1..).zip(walls).map(said).collect();
    let bars = format!("Six runs by workers: {}.", bars.join(", "));
    let width = 3.0 * (LEFT_OF_PANEL + RIGHT_OF_PANEL) + 2.0 * wide + narrow;
    let mut canvas = Canvas::new(width, title, &(lines + &bars));
    canvas.legend(&named(times));
    let mut panel = first_panel(&canvas, wide);
    for (name, lines) in [("time of a step, a seed", times), ("memory of a worker", memories)] {
        let seeds: Vec<f64> = points(lines).map(|(x, _)| x).collect();
        let x = (Axis::of_curve(&seeds), "seeds a job");
        let y = (from_nothing(points(lines).map(|(_, y)| y)), "of that at one seed");
        draw(&mut canvas, panel, &Chart { name, x, y, lines });
        panel.left += wide + RIGHT_OF_PANEL + LEFT_OF_PANEL;
    }
    panel.width = narrow;
    let x = Axis::of_bars(walls.len());
    let y = from_nothing(walls.iter().copied());
    canvas.axes(panel, (&x, "workers"), (&y, "seconds"));
    canvas.panel_name((panel.left, panel.top - 8.0), "six DAGMM runs");
    for (worker, &seconds) in (1..).zip(walls) {
        let (left, right) = (f64::from(worker) - 0.3, f64::from(worker) + 0.3);
        let corners = [(left, 0.0), (left, seconds), (right, seconds), (right, 0.0)];
        let places = corners.into_iter().map(|(at, value)| (x.place(at), y.place(value)));
        canvas.path(&(panel.line(places) + "z"), &format!("fill=\"{}\"", series_colour(0)));
    }
    canvas.finish()
}

/// Draws what a grid costs by its runs, as SVG, on logarithmic axes: `times` holds a line for each
/// step in seconds, `memories` the same in MiB. Dashed is what grows as the runs do.
pub fn grid_growth(times: &[Line], memories: &[Line]) -> String {
    let title = "Time and memory of plan, resume and tables by the runs of a grid";
    let wide = 270.0;
    let width = 2.0 * (LEFT_OF_PANEL + wide + RIGHT_OF_PANEL);
    let mut canvas =
        Canvas::new(width, title, &described(&[("time", times), ("memory", memories)]));
    let mut legend = named(times);
    legend.push((Mark::Chance, "proportional to the runs".to_owned()));
    canvas.legend(&legend);
    let mut panel = first_panel(&canvas, wide);
    for (name, label, lines) in [("time", "seconds", times), ("memory", "MiB", memories)] {
        let x = Axis::of_decades(points(lines).map(|(x, _)| x));
        let y = Axis::of_decades(points(lines).map(|(_, y)| y));
        let ((left, right), (low, high)) = (x.ends(), y.ends());
        let rise = (right / left).min(high / low);
        let ends = [(left, low), (left * rise, low * rise)];
        let ends = ends.map(|(at, value)| (x.place(at), y.place(value)));
        let chart = Chart { name, x: (x, "runs of the grid"), y: (y, label), lines };
        draw(&mut canvas, panel, &chart);
        canvas.path(&panel.line(ends.into_iter()), CHANCE);
        panel.left += wide + RIGHT_OF_PANEL + LEFT_OF_PANEL;
    }
    canvas.finish()
}

fn first_panel(canvas: &Canvas, width: f64) -> Panel {
    Panel { left: LEFT_OF_PANEL, top: canvas.bottom + 22.0, width, height: HEIGHT }
}

fn points(lines: &[Line]) -> impl Iterator<Item = (f64, f64)> {
    lines.iter().flat_map(|line| line.points.iter().copied())
}

fn named(lines: &[Line]) -> Vec<(Mark, String)> {
    (0..).zip(lines).map(|(index, line)| (Mark::Series(index), line.name.clone())).collect()
}

/// An axis from 0, on which lengths may be compared.
fn from_nothing(values: impl Iterator<Item = f64>) -> Axis {
    let most = values.fold(0.0, f64::max);
    Axis::linear(0.0, if most > 0.0 { 1.08 * most } else { 1.0 })
}

/// Says where each line begins and ends, for those who cannot see it.
fn described(panels: &[(&str, &[Line])]) -> String {
    let lines = panels.iter().flat_map(|(of, lines)| lines.iter().map(move |line| (of, line)));
    let said = lines.filter_map(|(of, line)| {
        let ((x1, y1), (x2, y2)) = (line.points.first()?, line.points.last()?);
        let [x1, y1, x2, y2] = [x1, y1, x2, y2].map(|value| number(*value));
        Some(format!("{}, {of}: {y1} at {x1}, {y2} at {x2}. ", line.name))
    });
    said.collect()
}

fn draw(canvas: &mut Canvas, panel: Panel, chart: &Chart) {
    let ((x, x_label), (y, y_label)) = (&chart.x, &chart.y);
    canvas.axes(panel, (x, x_label), (y, y_label));
    canvas.panel_name((panel.left, panel.top - 8.0), chart.name);
    for (index, line) in chart.lines.iter().enumerate() {
        let places = || line.points.iter().map(|&(at, value)| (x.place(at), y.place(value)));
        canvas.path(&panel.line(places()), &series(index));
        let marks: String = places().map(|(x, y)| dot(panel.x(x), panel.y(y))).collect();
        canvas.path(&marks, &dots(series_colour(index), 5.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, points: &[(f64, f64)]) -> Line {
        Line { name: name.into(), points: points.to_vec() }
    }

    #[test]
    fn every_line_is_drawn_named_and_within_its_panel() {
        let lines =
            [line("a<b", &[(1.0, 1.0), (20.0, 0.5)]), line("c", &[(1.0, 1.0), (20.0, 7.0)])];
        for svg in [job_width(&lines, &lines, &[20.0, 10.0]), grid_growth(&lines, &lines)] {
            let tree = roxmltree::Document::parse(&svg).expect("well-formed XML");
            let named = |name| tree.descendants().any(|node| node.text() == Some(name));
            assert!(named("a<b") && named("c"), "{svg}");
            assert_eq!(svg.matches("stroke-linejoin").count(), 2 * 2 + 2, "lines and legend");
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }

    #[test]
    fn what_grows_as_the_runs_do_is_parallel_to_the_dashed_line() {
        let lines = [line("a", &[(100.0, 1.0), (10_000.0, 100.0)])];
        let svg = grid_growth(&lines, &lines);
        let tree = roxmltree::Document::parse(&svg).expect("well-formed XML");
        let path = |dashes: &str| -> Vec<f64> {
            let of = |node: &roxmltree::Node| {
                let is_line = node.attribute("d").is_some_and(|data| data.contains('L'));
                match node.attribute("stroke-dasharray") {
                    Some(dashed) => is_line && dashed == dashes,
                    None => is_line && dashes.is_empty() && node.has_attribute("stroke-linejoin"),
                }
            };
            let data = tree.descendants().find(of).and_then(|node| node.attribute("d")).unwrap();
            data.split(['M', 'L', ' ']).filter_map(|number| number.parse().ok()).collect()
        };
        assert_eq!(path(""), path("2 3"), "in a panel of as many decades both are its diagonal");
    }

    #[test]
    fn no_measurement_is_an_empty_picture() {
        for svg in [job_width(&[], &[], &[]), grid_growth(&[], &[])] {
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
            assert!(roxmltree::Document::parse(&svg).is_ok());
        }
    }
}
