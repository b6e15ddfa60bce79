//! `OPERATORS`: people who administer the whole deployment, by Slack id or by an email that Slack verified.

use std::str::FromStr;

use db::sessions::DashboardSession;

/// The operators. Slack's user ids are unique over all workspaces.
#[derive(Clone, Debug, Default)]
pub struct Operators(Vec<OperatorEntry>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum OperatorEntry {
    Id(String),
    /// Lower-case address.
    Email(String),
}

impl Operators {
    /// Returns true if there are no operators, and thus no operators' pages.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns true if the signed-in person is an operator.
    pub(crate) fn contains(&self, session: &DashboardSession) -> bool {
        let email = session.email.as_deref().map(str::to_lowercase);
        self.0.iter().any(|entry| match entry {
            OperatorEntry::Id(id) => id == session.user_id.as_str(),
            OperatorEntry::Email(address) => email.as_ref() == Some(address),
        })
    }
}

impl FromStr for Operators {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let entries = text.split(',').map(str::trim).enumerate().filter(|(_, entry)| !entry.is_empty());
        let parsed = entries.map(|(at, entry)| {
            parse_entry(entry).ok_or_else(|| {
                format!("has an entry ({}) that is neither a Slack user id nor an email", at + 1)
            })
        });
        parsed.collect::<Result<_, _>>().map(Self)
    }
}

fn parse_entry(entry: &str) -> Option<OperatorEntry> {
    if let Some((local, domain)) = entry.split_once('@') {
        let is_plain =
            |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic() && c != '@');
        let is_domain = domain.contains('.') && !domain.starts_with('.') && !domain.ends_with('.');
        return (is_plain(local) && is_plain(domain) && is_domain)
            .then(|| OperatorEntry::Email(entry.to_lowercase()));
    }
    let is_id = entry.len() > 2
        && entry.starts_with(['U', 'W'])
        && entry.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit());
    is_id.then(|| OperatorEntry::Id(entry.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(user_id: &str, email: Option<&str>) -> DashboardSession {
        DashboardSession {
            tenant_id: "T1".into(),
            user_id: user_id.into(),
            name: String::new(),
            email: email.map(str::to_owned),
            is_admin: false,
            checked_at: chrono::Utc::now(),
        }
    }

    #[test]
    fn operators_match_by_id_or_email() -> Result<(), String> {
        let operators: Operators = "U0ADA, Ops@Example.com ,".parse()?;
        assert!(operators.contains(&session("U0ADA", None)));
        assert!(operators.contains(&session("U0GRACE", Some("ops@example.COM"))));
        assert!(!operators.contains(&session("U0GRACE", Some("u0ada"))));
        assert!(!operators.contains(&session("U0GRACE", None)));
        assert!(Operators::default().is_empty() && " ".parse::<Operators>()?.is_empty());
        Ok(())
    }

    #[test]
    fn invalid_operator_entry_names_position() {
        for wrong in
            ["ada", "u0ada", "T0ACME", "U1,ada@", "U0ADA,@example.com", "a@b", "a@b@c.d", "a b@c.d", "U"]
        {
            let error = wrong.parse::<Operators>().expect_err(wrong);
            assert!(error.starts_with("has an entry ("), "{error}");
        }
    }
}
