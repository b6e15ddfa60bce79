//! `ALLOWED_TEAMS`: the workspaces and organisations that may install the bot.

use std::collections::BTreeSet;
use std::str::FromStr;

use models::{EnterpriseId, TeamId};

/// The workspaces and organisations that may install the bot; by default all.
#[derive(Clone, Debug, Default)]
pub struct AllowedTeams(Option<BTreeSet<String>>);

impl AllowedTeams {
    /// Returns true if there is a list.
    pub(crate) fn is_restricted(&self) -> bool {
        self.0.is_some()
    }

    /// Returns whether a workspace may install the bot, or an organisation; a workspace also if its
    /// organisation may.
    pub(crate) fn contains(&self, team_id: Option<&TeamId>, enterprise_id: Option<&EnterpriseId>) -> bool {
        let Some(allowed) = &self.0 else { return true };
        let ids = [team_id.map(TeamId::as_str), enterprise_id.map(EnterpriseId::as_str)];
        ids.into_iter().flatten().any(|id| allowed.contains(id))
    }
}

impl FromStr for AllowedTeams {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let entries = text.split(',').map(str::trim).enumerate().filter(|(_, entry)| !entry.is_empty());
        let parsed = entries.map(|(at, entry)| match is_team_or_enterprise(entry) {
            true => Ok(entry.to_owned()),
            false => Err(format!("has an entry ({}) that is neither a T… nor an E… id", at + 1)),
        });
        let allowed: BTreeSet<String> = parsed.collect::<Result<_, _>>()?;
        // Otherwise a list of commas would let everybody in, or nobody.
        if allowed.is_empty() { Err("names no workspace".into()) } else { Ok(Self(Some(allowed))) }
    }
}

fn is_team_or_enterprise(id: &str) -> bool {
    id.len() > 2
        && id.starts_with(['T', 'E'])
        && id.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listed_teams_and_organisations_are_allowed() {
        let allowed: AllowedTeams = "T0ACME, E0ORG ,".parse().expect("a list");
        let contains = |team: Option<&str>, org: Option<&str>| {
            allowed.contains(team.map(TeamId::from).as_ref(), org.map(EnterpriseId::from).as_ref())
        };
        assert!(contains(Some("T0ACME"), None) && contains(None, Some("E0ORG")));
        assert!(contains(Some("T0NORTH"), Some("E0ORG")), "a workspace of the organisation");
        assert!(!contains(Some("T0BETA"), None) && !contains(None, Some("E0OTHER")));
        assert!(!contains(Some("T0BETA"), Some("E0OTHER")) && !contains(None, None));
        assert!(AllowedTeams::default().contains(None, None));
    }

    #[test]
    fn malformed_team_list_names_position() {
        for wrong in ["acme", "T0ACME,U0ADA", "T0ACME;T0BETA", "t0acme", "T", "T0ACME E0ORG"] {
            let error = wrong.parse::<AllowedTeams>().expect_err(wrong);
            assert!(error.starts_with("has an entry ("), "{error}");
        }
        assert!(" , ".parse::<AllowedTeams>().is_err());
    }
}
