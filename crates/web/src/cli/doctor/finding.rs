//! Findings of the checks.

use serde::Serialize;

/// Severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    Ok,
    /// It works, but not in every case; or the check was skipped.
    Warn,
    /// It does not work, or data may be lost or exposed.
    Fault,
}

/// A result of a check, with its remedy.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Finding {
    pub(super) verdict: Severity,
    pub(super) found: String,
    #[serde(rename = "do", skip_serializing_if = "Option::is_none")]
    pub(super) remedy: Option<String>,
}

impl Finding {
    pub(super) fn ok(found: impl Into<String>) -> Self {
        Self { verdict: Severity::Ok, found: found.into(), remedy: None }
    }

    pub(super) fn warn(found: impl Into<String>, todo: impl Into<String>) -> Self {
        Self { verdict: Severity::Warn, found: found.into(), remedy: Some(todo.into()) }
    }

    pub(super) fn fault(found: impl Into<String>, todo: impl Into<String>) -> Self {
        Self { verdict: Severity::Fault, found: found.into(), remedy: Some(todo.into()) }
    }

    /// Creates the finding of a check that could not run because of a fault that another check reports.
    pub(super) fn skipped(why: &str) -> Self {
        Self { verdict: Severity::Warn, found: format!("skipped: {why}"), remedy: None }
    }
}

/// The findings of a check. An error is one more finding, at which the check stopped early.
pub(super) type CheckResult = Result<Vec<Finding>, Finding>;
