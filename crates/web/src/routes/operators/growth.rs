//! How many tenants there were over time, as a picture.

use chrono::{DateTime, Utc};
use db::operators::Growth;

/// How far back the picture goes, and how much of it makes a bar.
pub(super) const DAYS: i32 = 90;
pub(super) const STEP: i32 = 3;

const HEIGHT: f64 = 110.0;
const WIDTH: f64 = 720.0;

/// Installs as bars and tenants as a line over them, in the units of the picture.
pub(super) struct Picture {
    pub(super) bars: Vec<Bar>,
    pub(super) bar_width: f64,
    /// Points of the line, as SVG writes them.
    pub(super) line: String,
    pub(super) most: i64,
    pub(super) tenants: i64,
    pub(super) installs: i64,
    pub(super) first: Option<DateTime<Utc>>,
    pub(super) last: Option<DateTime<Utc>>,
}

pub(super) struct Bar {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) height: f64,
    pub(super) installs: i64,
    pub(super) tenants: i64,
    pub(super) begins_at: DateTime<Utc>,
}

impl Picture {
    pub(super) fn draw(growth: &[Growth]) -> Self {
        let most = growth.iter().map(|one| one.tenants.max(one.installs)).max().unwrap_or(0);
        let slot = WIDTH / growth.len().max(1) as f64;
        let scale = |count: i64| HEIGHT * count.max(0) as f64 / most.max(1) as f64;
        let bar = |(at, one): (usize, &Growth)| {
            let height = scale(one.installs);
            Bar {
                x: at as f64 * slot + slot * 0.2,
                y: HEIGHT - height,
                height,
                installs: one.installs,
                tenants: one.tenants,
                begins_at: one.begins_at,
            }
        };
        let point = |(at, one): (usize, &Growth)| {
            format!("{:.1},{:.1}", (at as f64 + 0.5) * slot, HEIGHT - scale(one.tenants))
        };
        Self {
            bars: growth.iter().enumerate().map(bar).collect(),
            bar_width: slot * 0.6,
            line: growth.iter().enumerate().map(point).collect::<Vec<_>>().join(" "),
            most,
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
    fn the_line_reaches_the_top_and_nothing_divides_by_nothing() {
        let one = |installs, tenants| Growth { begins_at: Utc::now(), installs, tenants };
        let picture = Picture::draw(&[one(1, 1), one(2, 4)]);
        assert_eq!((picture.line.as_str(), picture.most), ("180.0,82.5 540.0,0.0", 4));
        assert_eq!((picture.installs, picture.tenants, picture.bars[1].height), (3, 4, 55.0));
        assert_eq!(Picture::draw(&[one(0, 0)]).bars[0].y, HEIGHT);
        assert!(Picture::draw(&[]).bars.is_empty());
    }
}
