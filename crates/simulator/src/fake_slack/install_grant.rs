//! A grant to install the app, and the code that it is redeemed by.

use std::collections::BTreeSet;
use std::time::Instant;

/// A requested or approved grant.
#[derive(Clone)]
pub(crate) struct InstallGrant {
    pub(crate) team: String,
    /// The organisation, for an org-wide grant.
    pub(crate) enterprise: Option<String>,
    pub(crate) user: String,
    pub(crate) scopes: BTreeSet<String>,
    pub(crate) redirect_uri: String,
}

/// An issued code for `oauth.v2.access`.
pub(crate) struct InstallCode {
    pub(crate) grant: InstallGrant,
    pub(super) issued_at: Instant,
}
