//! The dashboard's navigation.

use crate::auth::CurrentUser;

/// A page of the dashboard: its path, its name in templates, and its label.
type NavEntry = (&'static str, &'static str, &'static str);

const MEMBER_PAGES: [NavEntry; 3] = [
    ("/dashboard", "overview", "Overview"),
    ("/dashboard/conversations", "conversations", "Conversations"),
    ("/dashboard/events", "events", "Events"),
];

const ADMIN_PAGES: [NavEntry; 6] = [
    ("/dashboard/people", "people", "People"),
    ("/dashboard/settings", "settings", "Settings"),
    ("/dashboard/api-keys", "api_keys", "API keys"),
    ("/dashboard/health", "health", "Health"),
    ("/dashboard/audit", "audit", "Audit log"),
    ("/dashboard/data", "data", "Workspace data"),
];

const OWN_PAGES: [NavEntry; 2] =
    [("/dashboard/people/me", "me", "Your data"), ("/dashboard/sessions", "sessions", "Sessions")];

const OPERATOR_PAGES: [NavEntry; 1] = [("/operators", "operators", "Operators")];

impl CurrentUser {
    /// Returns the pages that this person may open.
    pub(crate) fn pages(&self) -> impl Iterator<Item = &'static NavEntry> {
        let admin_pages = ADMIN_PAGES.iter().filter(|_| self.is_admin);
        let operator_pages = OPERATOR_PAGES.iter().filter(|_| self.is_operator);
        MEMBER_PAGES.iter().chain(admin_pages).chain(&OWN_PAGES).chain(operator_pages)
    }
}
