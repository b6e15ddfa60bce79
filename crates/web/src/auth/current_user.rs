//! The signed-in person, as pages and templates see them.

use std::sync::OnceLock;
use std::time::Instant;

use db::Stale;
use db::sessions::DashboardSession;

/// Pages show the age of their data from this age on.
const MIN_SHOWN_AGE_SECONDS: u64 = 2;

/// A person who is signed in, with their permissions.
#[derive(Clone, Debug)]
pub(crate) struct CurrentUser {
    pub(crate) session: DashboardSession,
    /// True for admins and owners of the workspace, and for the managers whom they named.
    pub(crate) is_admin: bool,
    /// True for admins and owners of the workspace, who name managers.
    pub(crate) is_slack_admin: bool,
    /// True for people listed in `OPERATORS`.
    pub(crate) is_operator: bool,
    /// The reason of a suspension by an operator; `None` if the workspace is not suspended.
    pub(crate) suspended_reason: Option<String>,
    pub(super) digest: Vec<u8>,
    /// Reads go to the primary until this time.
    pub(crate) read_primary_until: Option<Instant>,
    /// Age of the data on the page, in seconds; set by the first read.
    pub(crate) data_age_seconds: OnceLock<u64>,
}

/// A person who manages the workspace.
#[derive(Clone, Debug)]
pub(crate) struct WorkspaceAdmin(pub(crate) CurrentUser);

/// A person who manages the workspace, as Slack has confirmed for this request: for exports, deletions and keys.
#[derive(Clone, Debug)]
pub(crate) struct ConfirmedAdmin(pub(crate) CurrentUser);

/// A person who administers the whole deployment.
#[derive(Clone, Debug)]
pub(crate) struct Operator(pub(crate) CurrentUser);

impl CurrentUser {
    /// Returns true if the digest is that of this request's session.
    pub(crate) fn is_session(&self, digest: &[u8]) -> bool {
        self.digest == digest
    }

    /// Returns true while this person reads from the primary, because they changed something a moment ago.
    pub(crate) fn has_recent_write(&self) -> bool {
        self.read_primary_until.is_some_and(|until| Instant::now() < until)
    }

    /// Records how old the data on the page is, and returns the data.
    pub(crate) fn record_age<T>(&self, stale: Stale<T>) -> T {
        let _ = self.data_age_seconds.set(stale.age.as_secs());
        stale.value
    }

    /// Returns the age of the data in seconds, if it is worth mentioning.
    pub(crate) fn data_age(&self) -> Option<u64> {
        self.data_age_seconds.get().copied().filter(|age| *age >= MIN_SHOWN_AGE_SECONDS)
    }
}
