//! Measured figures: `measured.csv`, written by `cargo xtask bench … --record`.

use serde::{Serialize, Serializer};

const MEASURED_CSV: &str = include_str!("measured.csv");

/// A row of the file.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct MeasuredValue {
    pub(super) name: &'static str,
    pub(super) value: f64,
    pub(super) unit: &'static str,
    /// The command that measures it.
    pub(super) command: &'static str,
    /// The date, and the commit if known.
    pub(super) measured: &'static str,
}

/// All measured figures.
#[derive(Clone, Debug)]
pub(super) struct Measurements(Vec<MeasuredValue>);

impl Serialize for Measurements {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl Measurements {
    /// Reads the figures of this release.
    ///
    /// # Errors
    /// A line does not have five columns, or a figure was never measured.
    pub(super) fn read() -> Result<Self, String> {
        let figures: Option<Vec<MeasuredValue>> =
            MEASURED_CSV.lines().skip(1).map(MeasuredValue::read).collect();
        let measured = Self(figures.ok_or("measured.csv is malformed")?);
        let unmeasured = measured.0.iter().find(|figure| figure.value <= 0.0);
        match unmeasured {
            Some(MeasuredValue { name, command, .. }) => {
                Err(format!("{name} was never measured: run `{command}`"))
            }
            None => Ok(measured),
        }
    }

    pub(super) fn rows(&self) -> &[MeasuredValue] {
        &self.0
    }

    /// Returns the value of a figure, or NaN for an unknown name. The tests cover every name in use.
    pub(super) fn value(&self, name: &str) -> f64 {
        self.0.iter().find(|figure| figure.name == name).map_or(f64::NAN, |figure| figure.value)
    }
}

impl MeasuredValue {
    fn read(line: &'static str) -> Option<Self> {
        let columns: Vec<&str> = line.split(',').collect();
        let [name, value, unit, command, measured] = columns[..] else { return None };
        Some(Self { name, value: value.parse().ok()?, unit, command, measured })
    }
}
