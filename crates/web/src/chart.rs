//! Chart geometry in SVG units. Templates draw the charts as SVG.

use chrono::{DateTime, Utc};

/// Size of a chart in SVG units.
pub(crate) const CHART_WIDTH: f64 = 720.0;
pub(crate) const CHART_HEIGHT: f64 = 150.0;

/// Stacked bars over time.
pub(crate) struct BarChart {
    pub(crate) bars: Vec<ChartBar>,
    pub(crate) width: f64,
    /// The value at full height.
    pub(crate) max: f64,
}

pub(crate) struct ChartBar {
    pub(crate) begins_at: DateTime<Utc>,
    pub(crate) x: f64,
    /// Segments from bottom to top.
    pub(crate) segments: Vec<BarSegment>,
}

pub(crate) struct BarSegment {
    pub(crate) series: usize,
    pub(crate) y: f64,
    pub(crate) height: f64,
}

impl BarChart {
    /// Draws a bar for each column, given by its start time and its values from bottom to top.
    pub(crate) fn draw<const N: usize>(columns: impl Iterator<Item = (DateTime<Utc>, [f64; N])>) -> Self {
        let columns: Vec<_> = columns.collect();
        let max = columns.iter().map(|(_, values)| values.iter().sum()).fold(0.0, f64::max);
        let slot = CHART_WIDTH / columns.len().max(1) as f64;
        let bar = |(at, (begins_at, values)): (usize, &(DateTime<Utc>, [f64; N]))| {
            let mut y = CHART_HEIGHT;
            let part = |(series, value): (usize, &f64)| {
                let height = if max > 0.0 { CHART_HEIGHT * value / max } else { 0.0 };
                y -= height;
                BarSegment { series, y, height }
            };
            let parts = values.iter().enumerate().map(part).filter(|part| part.height > 0.0).collect();
            ChartBar { begins_at: *begins_at, x: at as f64 * slot + slot * 0.1, segments: parts }
        };
        Self { bars: columns.iter().enumerate().map(bar).collect(), width: slot * 0.8, max }
    }
}

/// Lines over time, with gaps for missing values.
pub(crate) struct LineChart {
    /// Each series as an SVG path.
    pub(crate) paths: Vec<String>,
    /// The value at full height.
    pub(crate) max: f64,
}

impl LineChart {
    pub(crate) fn draw(series: &[Vec<Option<f64>>]) -> Self {
        let max = series.iter().flatten().flatten().copied().fold(0.0, f64::max);
        let path = |values: &Vec<Option<f64>>| {
            let slot = CHART_WIDTH / values.len().max(1) as f64;
            let mut path = String::new();
            let mut is_drawing = false;
            for (at, value) in values.iter().enumerate() {
                if let Some(value) = value {
                    let y = CHART_HEIGHT - if max > 0.0 { (CHART_HEIGHT - 4.0) * value / max } else { 0.0 };
                    let x = (at as f64 + 0.5) * slot;
                    // A single point is visible too, because line caps are round.
                    path +=
                        &if is_drawing { format!("L{x:.1} {y:.1}") } else { format!("M{x:.1} {y:.1}h.1") };
                }
                is_drawing = value.is_some();
            }
            path
        };
        Self { paths: series.iter().map(path).collect(), max }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bar_chart_scales_to_highest_bar() {
        let at = Utc::now();
        let bars = BarChart::draw([(at, [3.0, 1.0]), (at, [0.0, 0.0])].into_iter());
        assert_eq!((bars.max, bars.bars[0].segments[1].y), (4.0, 0.0));
        assert!(bars.bars[1].segments.is_empty());
        assert!(BarChart::draw([(at, [0.0])].into_iter()).bars[0].segments.is_empty());
        assert!(BarChart::draw::<1>([].into_iter()).bars.is_empty());
    }

    #[test]
    fn line_chart_breaks_at_missing_values() {
        let lines = LineChart::draw(&[vec![Some(1.0), Some(2.0), None, Some(2.0)]]);
        assert_eq!(lines.paths, ["M90.0 77.0h.1L270.0 4.0M630.0 4.0h.1"]);
        assert_eq!(LineChart::draw(&[vec![None]]).paths, [""]);
    }
}
