//! What a person may do in a workspace, as Slack reports it at this moment.

use models::{Affiliation, Installation};
use slack::{SlackError, SlackUser};

use crate::people::person_from_slack;

/// A person's standing in a workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// An admin or owner of all that the installation covers.
    Admin,
    /// A member with a full account.
    Member,
    /// A guest, a bot, or a person of another organisation.
    Outsider,
    /// Their account is deactivated, or Slack does not know or show them.
    Gone,
    /// Slack refuses the workspace's token, so that it vouches for nobody.
    Unconfirmed,
}

impl Standing {
    /// Derives the standing from the response to `users.info`. A refusal is an answer too.
    ///
    /// # Errors
    /// Slack cannot be asked at the moment.
    pub fn from_response(
        installation: &Installation,
        response: Result<SlackUser, SlackError>,
    ) -> Result<Self, SlackError> {
        let user = match response {
            Ok(user) if user.is_deleted => return Ok(Self::Gone),
            Ok(user) => user,
            Err(error) if error.is_unknown_user() => return Ok(Self::Gone),
            Err(error) if error.is_refusal() => return Ok(Self::Unconfirmed),
            Err(error) => return Err(error),
        };
        let person = person_from_slack(installation, user);
        Ok(match (person.affiliation, person.is_admin) {
            (Affiliation::Member, true) => Self::Admin,
            (Affiliation::Member, false) => Self::Member,
            (Affiliation::Guest | Affiliation::External | Affiliation::Bot, _) => Self::Outsider,
        })
    }
}
