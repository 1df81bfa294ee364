//! The plots of an evaluation as SVG.

use super::bootstrap::Estimate;
use super::froc::{OPERATING_POINTS, Point, sensitivity_at};
use super::markdown::rate;
use super::summary::Summary;
use super::{Bin, Error, Stratum};
use plotters::backend::SVGBackend;
use plotters::chart::{ChartBuilder, ChartContext};
use plotters::coord::cartesian::Cartesian2d;
use plotters::coord::types::RangedCoordf64;
use plotters::drawing::IntoDrawingArea;
use plotters::element::{Circle, PathElement, Rectangle, Text};
use plotters::series::LineSeries;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{BLACK, Color, IntoFont, RGBColor, WHITE};

const SIZE_PX: (u32, u32) = (720, 480);
const FONT: &str = "sans-serif";
const TITLE_PX: u32 = 18;
const LABEL_PX: u32 = 14;
/// Blue and orange that are told apart by people of every colour vision.
const BLUE: RGBColor = RGBColor(0, 114, 178);
const ORANGE: RGBColor = RGBColor(213, 94, 0);
const GREY: RGBColor = RGBColor(150, 150, 150);

type Chart<'a> = ChartContext<'a, SVGBackend<'a>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

/// A plot without its content.
struct Axes<'a> {
    file: &'static str,
    title: String,
    x: (f64, f64),
    /// The most labels of the x axis.
    x_labels: usize,
    x_name: &'a str,
    x_label: &'a dyn Fn(&f64) -> String,
    top: f64,
    y_name: &'a str,
}

impl Axes<'_> {
    /// The bytes of the plot with what `content` draws on it.
    fn draw(&self, content: impl FnOnce(&mut Chart) -> Drawn) -> Result<Vec<u8>, Error> {
        let mut svg = String::new();
        let drawn = self.draw_on(&mut svg, content).map_err(|e| e.to_string());
        drawn.map_err(|reason| Error::Plot {
            file: self.file,
            reason,
        })?;
        Ok(svg.into_bytes())
    }

    fn draw_on(&self, svg: &mut String, content: impl FnOnce(&mut Chart) -> Drawn) -> Drawn {
        let area = SVGBackend::with_string(svg, SIZE_PX).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(&self.title, (FONT, TITLE_PX))
            .margin(12)
            .x_label_area_size(46)
            .y_label_area_size(56)
            .build_cartesian_2d(self.x.0..self.x.1, 0.0..self.top)?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .bold_line_style(GREY.mix(0.3))
            .x_labels(self.x_labels)
            .y_labels(11)
            .x_label_formatter(self.x_label)
            .y_label_formatter(&share)
            .x_desc(self.x_name)
            .y_desc(self.y_name)
            .label_style((FONT, LABEL_PX))
            .axis_desc_style((FONT, LABEL_PX))
            .draw()?;
        content(&mut chart)?;
        area.present()?;
        Ok(())
    }
}

/// Shares above 1 have no label: there are only remarks.
fn share(value: &f64) -> String {
    match *value > 1.001 {
        true => String::new(),
        false => format!("{value:.1}"),
    }
}

/// A figure for a title.
fn titled(estimate: &Estimate, digits: usize) -> String {
    let value = estimate.value;
    value.map_or_else(|| "none".into(), |value| format!("{value:.digits$}"))
}

/// Sensitivity over false positives a scan, with the intervals at the operating points.
pub(super) fn froc(curve: &[Point], summary: &Summary) -> Result<Vec<u8>, Error> {
    let detection = &summary.detection;
    let mean = titled(&summary.froc.competition_performance_metric, 3);
    let axes = Axes {
        file: "froc.svg",
        title: format!(
            "FROC: CPM {mean}, {} nodules in {} series",
            detection.nodules, detection.scans
        ),
        x: (-3.1, 3.1),
        x_labels: OPERATING_POINTS.len(),
        x_name: "false positives a scan",
        x_label: &|x| rate(x.round().exp2()),
        top: 1.05,
        y_name: "sensitivity",
    };
    axes.draw(|chart| {
        if curve.is_empty() {
            return Ok(());
        }
        // The axis is of base 2, so the curve between two points is no straight line.
        let place = |step: i32| f64::from(step) / 100.0;
        let line =
            (-300..=300).map(|step| (place(step), sensitivity_at(curve, place(step).exp2())));
        chart.draw_series(LineSeries::new(line, BLUE.stroke_width(2)))?;
        for point in &summary.froc.operating_points {
            let x = point.false_positives_per_scan.log2();
            mark(chart, x, &point.sensitivity, BLUE)?;
        }
        Ok(())
    })
}

/// A dot with its interval.
fn mark(chart: &mut Chart, x: f64, estimate: &Estimate, colour: RGBColor) -> Drawn {
    if let Some([lower, upper]) = estimate.interval_95 {
        let interval = PathElement::new(vec![(x, lower), (x, upper)], colour.stroke_width(1));
        chart.draw_series([interval])?;
    }
    if let Some(value) = estimate.value {
        chart.draw_series([Circle::new((x, value), 4, colour.filled())])?;
    }
    Ok(())
}

/// Share of hits over confidence, bin by bin.
pub(super) fn reliability(summary: &Summary) -> Result<Vec<u8>, Error> {
    let calibration = &summary.calibration;
    let axes = Axes {
        file: "reliability.svg",
        title: format!(
            "Reliability: ECE {} over {} bins of equal count, {} candidates",
            titled(&calibration.expected_calibration_error, 3),
            calibration.bins.len(),
            calibration.n
        ),
        x: (0.0, 1.05),
        x_labels: 11,
        x_name: "mean confidence",
        x_label: &share,
        top: 1.05,
        y_name: "share that hit a nodule",
    };
    axes.draw(|chart| {
        let diagonal = [(0.0, 0.0), (1.0, 1.0)];
        chart.draw_series(LineSeries::new(diagonal, GREY.stroke_width(1)))?;
        let place = |bin: &Bin| (bin.confidence, bin.observed);
        let line = calibration.bins.iter().map(place);
        chart.draw_series(LineSeries::new(line, ORANGE.stroke_width(2)))?;
        let dots = calibration.bins.iter().map(place);
        chart.draw_series(dots.map(|dot| Circle::new(dot, 4, ORANGE.filled())))?;
        Ok(())
    })
}

/// Sensitivity of each size class at the threshold.
pub(super) fn size(summary: &Summary) -> Result<Vec<u8>, Error> {
    let strata = &summary.strata.by_size;
    let axes = Axes {
        file: "size.svg",
        title: format!(
            "Sensitivity by diameter, confidence ≥ {}",
            summary.parameters.threshold
        ),
        x: (-0.5, strata.len().max(1) as f64 - 0.5),
        x_labels: 0,
        x_name: "equivalent diameter",
        x_label: &|_| String::new(),
        top: 1.25,
        y_name: "sensitivity",
    };
    axes.draw(|chart| {
        for (index, stratum) in strata.iter().enumerate() {
            bar(chart, index as f64, stratum)?;
        }
        Ok(())
    })
}

/// A bar with its interval, and above it what it is of.
fn bar(chart: &mut Chart, x: f64, stratum: &Stratum) -> Drawn {
    let height = stratum.sensitivity.value.unwrap_or(0.0);
    let corners = [(x - 0.3, 0.0), (x + 0.3, height)];
    chart.draw_series([Rectangle::new(corners, BLUE.mix(0.4).filled())])?;
    mark(chart, x, &stratum.sensitivity, BLUE)?;
    let centre = Pos::new(HPos::Center, VPos::Center);
    let style = (FONT, LABEL_PX).into_font().color(&BLACK).pos(centre);
    let count = format!("{} of {}", stratum.found, stratum.n);
    let texts = [(1.18, stratum.name.clone()), (1.1, count)];
    chart.draw_series(texts.map(|(y, text)| Text::new(text, (x, y), style.clone())))?;
    Ok(())
}
