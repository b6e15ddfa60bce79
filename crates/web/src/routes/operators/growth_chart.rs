//! The chart of tenants and installs over time.

use chrono::{DateTime, Utc};
use db::operators::TenantGrowth;

/// Length of the chart, and width of a bar.
pub(super) const GROWTH_DAYS: i32 = 90;
pub(super) const GROWTH_STEP_DAYS: i32 = 3;

const GROWTH_CHART_HEIGHT: f64 = 110.0;
const GROWTH_CHART_WIDTH: f64 = 720.0;

/// Installs as bars, and tenants as a line above them, in SVG units.
pub(super) struct GrowthChart {
    pub(super) bars: Vec<GrowthBar>,
    pub(super) bar_width: f64,
    /// The line as a list of SVG points.
    pub(super) line: String,
    pub(super) max: i64,
    pub(super) tenants: i64,
    pub(super) installs: i64,
    pub(super) first: Option<DateTime<Utc>>,
    pub(super) last: Option<DateTime<Utc>>,
}

pub(super) struct GrowthBar {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) height: f64,
    pub(super) installs: i64,
    pub(super) tenants: i64,
    pub(super) begins_at: DateTime<Utc>,
}

impl GrowthChart {
    pub(super) fn draw(growth: &[TenantGrowth]) -> Self {
        let max = growth.iter().map(|one| one.tenants.max(one.installs)).max().unwrap_or(0);
        let slot = GROWTH_CHART_WIDTH / growth.len().max(1) as f64;
        let scale = |count: i64| GROWTH_CHART_HEIGHT * count.max(0) as f64 / max.max(1) as f64;
        let bar = |(at, one): (usize, &TenantGrowth)| {
            let height = scale(one.installs);
            GrowthBar {
                x: at as f64 * slot + slot * 0.2,
                y: GROWTH_CHART_HEIGHT - height,
                height,
                installs: one.installs,
                tenants: one.tenants,
                begins_at: one.begins_at,
            }
        };
        let point = |(at, one): (usize, &TenantGrowth)| {
            format!("{:.1},{:.1}", (at as f64 + 0.5) * slot, GROWTH_CHART_HEIGHT - scale(one.tenants))
        };
        Self {
            bars: growth.iter().enumerate().map(bar).collect(),
            bar_width: slot * 0.6,
            line: growth.iter().enumerate().map(point).collect::<Vec<_>>().join(" "),
            max,
            tenants: growth.last().map_or(0, |one| one.tenants),
            installs: growth.iter().map(|one| one.installs).sum(),
            first: growth.first().map(|one| one.begins_at),
            last: growth.last().map(|one| one.begins_at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_chart_scales_to_highest_point() {
        let one = |installs, tenants| TenantGrowth { begins_at: Utc::now(), installs, tenants };
        let chart = GrowthChart::draw(&[one(1, 1), one(2, 4)]);
        assert_eq!((chart.line.as_str(), chart.max), ("180.0,82.5 540.0,0.0", 4));
        assert_eq!((chart.installs, chart.tenants, chart.bars[1].height), (3, 4, 55.0));
        assert_eq!(GrowthChart::draw(&[one(0, 0)]).bars[0].y, GROWTH_CHART_HEIGHT);
        assert!(GrowthChart::draw(&[]).bars.is_empty());
    }
}
