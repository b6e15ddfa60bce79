//! The person who asks, as Slack describes them.

use std::time::Duration;

use db::{DbError, Tx};
use models::{Affiliation, EmployeeProfile, Installation, Person, TenantId, UserId};
use slack::SlackUser;

/// The time that an answer waits for Slack to describe the person who asks.
pub const USER_LOOKUP_TIMEOUT: Duration = Duration::from_secs(3);

/// Returns a person of whom only the affiliation is known.
pub fn unknown_person(affiliation: Affiliation) -> Person {
    Person { affiliation, name: String::new(), is_admin: false, profile: EmployeeProfile::default() }
}

/// Returns the person that Slack describes, as seen from this installation.
pub fn person_from_slack(installation: &Installation, user: SlackUser) -> Person {
    let is_same_team = installation.team_id.as_ref().is_none_or(|team_id| *team_id == user.team_id);
    let is_same_enterprise = user.enterprise_id.is_some() && user.enterprise_id == installation.enterprise_id;
    let affiliation = if user.is_bot {
        Affiliation::Bot
    } else if user.is_stranger || !(is_same_team || is_same_enterprise) {
        Affiliation::External
    } else if user.is_guest {
        Affiliation::Guest
    } else {
        Affiliation::Member
    };
    let is_admin = affiliation == Affiliation::Member && user.manages(installation.team_id.is_none());
    // Slack names no place, but its time zones are named after one.
    let location = user.tz.rsplit('/').next().unwrap_or_default().replace('_', " ");
    let profile = EmployeeProfile { role: user.title, location, ..EmployeeProfile::default() };
    Person { affiliation, name: user.real_name, is_admin, profile }
}

/// Stores the person for a day. Returns them with the profile fields that were set in the dashboard.
pub async fn store_person(
    tx: &mut Tx,
    tenant_id: &TenantId,
    user_id: &UserId,
    person: Person,
) -> Result<Person, DbError> {
    db::people::upsert(tx, tenant_id, user_id, &person).await?;
    Ok(db::people::find(tx, tenant_id, user_id).await?.unwrap_or(person))
}
