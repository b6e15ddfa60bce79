//! Charts in the units of their picture: templates draw them as SVG.

use chrono::{DateTime, Utc};

/// The picture's size.
pub(crate) const WIDTH: f64 = 720.0;
pub(crate) const HEIGHT: f64 = 150.0;

/// Stacked bars over time.
pub(crate) struct Bars {
    pub(crate) bars: Vec<Bar>,
    pub(crate) width: f64,
    /// What fills the whole height.
    pub(crate) most: f64,
}

pub(crate) struct Bar {
    pub(crate) begins_at: DateTime<Utc>,
    pub(crate) x: f64,
    /// From below, each with its place among the series.
    pub(crate) parts: Vec<Part>,
}

pub(crate) struct Part {
    pub(crate) series: usize,
    pub(crate) y: f64,
    pub(crate) height: f64,
}

impl Bars {
    /// A bar for each of the columns: when it begins, and the values from below.
    pub(crate) fn draw<const N: usize>(columns: impl Iterator<Item = (DateTime<Utc>, [f64; N])>) -> Self {
        let columns: Vec<_> = columns.collect();
        let most = columns.iter().map(|(_, values)| values.iter().sum()).fold(0.0, f64::max);
        let slot = WIDTH / columns.len().max(1) as f64;
        let bar = |(at, (begins_at, values)): (usize, &(DateTime<Utc>, [f64; N]))| {
            let mut y = HEIGHT;
            let part = |(series, value): (usize, &f64)| {
                let height = if most > 0.0 { HEIGHT * value / most } else { 0.0 };
                y -= height;
                Part { series, y, height }
            };
            let parts = values.iter().enumerate().map(part).filter(|part| part.height > 0.0).collect();
            Bar { begins_at: *begins_at, x: at as f64 * slot + slot * 0.1, parts }
        };
        Self { bars: columns.iter().enumerate().map(bar).collect(), width: slot * 0.8, most }
    }
}

/// Lines over time, each broken where nothing is known.
pub(crate) struct Lines {
    /// Each series as an SVG path.
    pub(crate) paths: Vec<String>,
    /// What fills the whole height.
    pub(crate) most: f64,
}

impl Lines {
    pub(crate) fn draw(series: &[Vec<Option<f64>>]) -> Self {
        let most = series.iter().flatten().flatten().copied().fold(0.0, f64::max);
        let path = |values: &Vec<Option<f64>>| {
            let slot = WIDTH / values.len().max(1) as f64;
            let mut path = String::new();
            let mut is_drawing = false;
            for (at, value) in values.iter().enumerate() {
                if let Some(value) = value {
                    let y = HEIGHT - if most > 0.0 { (HEIGHT - 4.0) * value / most } else { 0.0 };
                    let x = (at as f64 + 0.5) * slot;
                    // A point by itself is seen too: its cap is round.
                    path +=
                        &if is_drawing { format!("L{x:.1} {y:.1}") } else { format!("M{x:.1} {y:.1}h.1") };
                }
                is_drawing = value.is_some();
            }
            path
        };
        Self { paths: series.iter().map(path).collect(), most }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_bar_fills_the_picture_and_nothing_divides_by_nothing() {
        let at = Utc::now();
        let bars = Bars::draw([(at, [3.0, 1.0]), (at, [0.0, 0.0])].into_iter());
        assert_eq!((bars.most, bars.bars[0].parts[1].y), (4.0, 0.0));
        assert!(bars.bars[1].parts.is_empty());
        assert!(Bars::draw([(at, [0.0])].into_iter()).bars[0].parts.is_empty());
        assert!(Bars::draw::<1>([].into_iter()).bars.is_empty());
    }

    #[test]
    fn a_line_breaks_where_nothing_is_known() {
        let lines = Lines::draw(&[vec![Some(1.0), Some(2.0), None, Some(2.0)]]);
        assert_eq!(lines.paths, ["M90.0 77.0h.1L270.0 4.0M630.0 4.0h.1"]);
        assert_eq!(Lines::draw(&[vec![None]]).paths, [""]);
    }
}
