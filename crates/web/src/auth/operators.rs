//! `OPERATORS`: people who administer the whole deployment, by their workspace or organisation and their Slack
//! id or an email that Slack verified there. A workspace vouches for its own people only.

use std::str::FromStr;

use db::sessions::DashboardSession;

/// The operators.
#[derive(Clone, Debug, Default)]
pub struct Operators(Vec<OperatorEntry>);

/// A person of a workspace (`T…`) or an organisation (`E…`).
#[derive(Clone, Debug, PartialEq, Eq)]
struct OperatorEntry {
    home: String,
    person: OperatorName,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum OperatorName {
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
        let team_id = session.team_id.as_ref().map(|id| id.as_str());
        let enterprise_id = session.enterprise_id.as_ref().map(|id| id.as_str());
        let email = session.email.as_deref().map(str::to_lowercase);
        let of_home = self.0.iter().filter(|entry| {
            let home = Some(entry.home.as_str());
            home == team_id || home == enterprise_id
        });
        of_home.map(|entry| &entry.person).any(|person| match person {
            OperatorName::Id(id) => id == session.user_id.as_str(),
            OperatorName::Email(address) => email.as_ref() == Some(address),
        })
    }
}

impl FromStr for Operators {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let entries = text.split(',').map(str::trim).enumerate().filter(|(_, entry)| !entry.is_empty());
        let parsed = entries.map(|(at, entry)| {
            parse_entry(entry).ok_or_else(|| {
                format!(
                    "has an entry ({}) that is not a workspace or organisation, a slash, and a Slack user id or \
                     an email",
                    at + 1
                )
            })
        });
        parsed.collect::<Result<_, _>>().map(Self)
    }
}

fn parse_entry(entry: &str) -> Option<OperatorEntry> {
    let (home, person) = entry.split_once('/')?;
    if !is_slack_id(home, ['T', 'E']) {
        return None;
    }
    let home = home.to_owned();
    if let Some((local, domain)) = person.split_once('@') {
        let is_plain =
            |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic() && !"@/".contains(c));
        let is_domain = domain.contains('.') && !domain.starts_with('.') && !domain.ends_with('.');
        return (is_plain(local) && is_plain(domain) && is_domain)
            .then(|| OperatorEntry { home, person: OperatorName::Email(person.to_lowercase()) });
    }
    let person = is_slack_id(person, ['U', 'W']).then(|| OperatorName::Id(person.to_owned()))?;
    Some(OperatorEntry { home, person })
}

fn is_slack_id(text: &str, initials: [char; 2]) -> bool {
    text.len() > 2
        && text.starts_with(initials)
        && text.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(team: &str, enterprise: Option<&str>, user_id: &str, email: Option<&str>) -> DashboardSession {
        DashboardSession {
            tenant_id: "T1".into(),
            user_id: user_id.into(),
            name: String::new(),
            email: email.map(str::to_owned),
            team_id: Some(team.into()),
            enterprise_id: enterprise.map(Into::into),
            is_admin: false,
            checked_at: chrono::Utc::now(),
        }
    }

    #[test]
    fn operators_match_by_team_and_id_or_email() -> Result<(), String> {
        let operators: Operators = "T0ACME/U0ADA, T0ACME/Ops@Example.com ,E0ORG/U0EVA".parse()?;
        assert!(operators.contains(&session("T0ACME", None, "U0ADA", None)));
        assert!(operators.contains(&session("T0ACME", Some("E0ORG"), "U0GRACE", Some("ops@example.COM"))));
        assert!(operators.contains(&session("T0ANY", Some("E0ORG"), "U0EVA", None)));
        // Another workspace can assert any address through its own identity provider.
        assert!(!operators.contains(&session("T0OTHER", None, "U0GRACE", Some("ops@example.com"))));
        assert!(!operators.contains(&session("T0OTHER", Some("E0OTHER"), "U0ADA", None)));
        assert!(!operators.contains(&session("T0ACME", None, "U0EVA", Some("u0ada"))));
        let unknown_home =
            DashboardSession { team_id: None, ..session("T0ACME", None, "U0ADA", Some("ops@example.com")) };
        assert!(!operators.contains(&unknown_home));
        assert!(Operators::default().is_empty() && " ".parse::<Operators>()?.is_empty());
        Ok(())
    }

    #[test]
    fn invalid_operator_entry_names_position() {
        for wrong in [
            "ada",
            "U0ADA",
            "ada@example.com",
            "T0ACME",
            "T0ACME/",
            "/U0ADA",
            "t0acme/U0ADA",
            "U0ADA/T0ACME",
            "T0ACME/u0ada",
            "T0ACME/U1,T0ACME/ada@",
            "T0ACME/@example.com",
            "T0ACME/a@b",
            "T0ACME/a@b@c.d",
            "T0ACME/a b@c.d",
            "T0ACME/T0ACME/a@b.c",
            "T0ACME/U",
        ] {
            let error = wrong.parse::<Operators>().expect_err(wrong);
            assert!(error.starts_with("has an entry ("), "{error}");
        }
    }
}
