//! A person and their representation for the app.

use serde::Serialize;
use serde_json::{Value, json};

use super::FakeSlack;

/// The default time zone.
const DEFAULT_TIME_ZONE: &str = "Europe/London";

/// A person who can write messages.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SimulatedUser {
    /// `U…`, unique over all teams.
    pub id: String,
    /// The display name.
    pub name: String,
    /// The full name; if empty it is `name`.
    pub real_name: String,
    /// The job title.
    pub title: String,
    /// A name of the time zone database; if empty it is `Europe/London`.
    pub tz: String,
    /// True if they may install apps.
    pub is_admin: bool,
    /// True if they own the workspace.
    pub is_owner: bool,
    /// True if they are a multi-channel guest.
    pub is_restricted: bool,
    /// True if they are a single-channel guest; then `is_restricted` is also set.
    pub is_ultra_restricted: bool,
    /// True if they are another app's bot.
    pub is_bot: bool,
    /// True if their account is deactivated.
    pub is_deactivated: bool,
    /// True if their e-mail address is unverified.
    pub is_unconfirmed: bool,
}

impl SimulatedUser {
    fn real_name(&self) -> &str {
        if self.real_name.is_empty() { &self.name } else { &self.real_name }
    }

    fn tz(&self) -> &str {
        if self.tz.is_empty() { DEFAULT_TIME_ZONE } else { &self.tz }
    }
}

impl FakeSlack {
    /// A user object as an app in this team gets it (<https://docs.slack.dev/reference/objects/user-object>).
    /// Roles are
    /// told of the own organisation's people only.
    pub(crate) fn user_object(&self, team: &str, user: &str) -> Option<Value> {
        let home = self.find_home_team(user)?;
        let person = home.find_person(user)?;
        let mut object = json!({
            "id": person.id, "team_id": home.id, "name": person.name.to_lowercase(), "deleted": person.is_deactivated,
            "real_name": person.real_name(), "tz": person.tz(), "tz_label": person.tz(), "locale": "en-GB",
            "is_bot": person.is_bot, "is_app_user": false, "updated": 1_700_000_000,
            "is_stranger": self.is_stranger(team, user),
            "profile": {
                "real_name": person.real_name(), "real_name_normalized": person.real_name(),
                "display_name": person.name, "display_name_normalized": person.name,
                "title": person.title, "team": home.id,
            },
        });
        if self.has_scope(team, "users:read.email") {
            object["profile"]["email"] = json!(format!("{}@example.com", person.name.to_lowercase()));
        }
        if self.is_same_organization(&home.id, team) && !person.is_deactivated {
            object["is_admin"] = json!(person.is_admin || person.is_owner);
            object["is_owner"] = json!(person.is_owner);
            object["is_primary_owner"] = json!(person.is_owner);
            object["is_restricted"] = json!(person.is_restricted || person.is_ultra_restricted);
            object["is_ultra_restricted"] = json!(person.is_ultra_restricted);
        }
        if let Some(enterprise) = self.find_enterprise(&home.id) {
            object["enterprise_user"] = json!({
                "id": person.id, "enterprise_id": enterprise.id, "enterprise_name": enterprise.name,
                "is_admin": false, "is_owner": false, "is_primary_owner": false, "teams": [home.id],
            });
        }
        Some(object)
    }

    /// Slack calls so only who is external and in no channel that the app can see; an external person in a
    /// shared
    /// channel is told by `team_id` alone (<https://api.slack.com/types/user>).
    fn is_stranger(&self, team: &str, user: &str) -> bool {
        let Some(home) = self.find_home_team(user).filter(|home| !self.is_same_organization(&home.id, team))
        else {
            return false;
        };
        let channels = self.teams.get(team).into_iter().flat_map(|team| team.channels.values());
        !channels
            .filter(|channel| channel.is_bot_member)
            .any(|channel| channel.shared_with.contains(&home.id))
    }

    /// Adds a person to a team; the app gets `team_join` if its scopes allow.
    pub(crate) fn add_person(&mut self, id: &str, person: SimulatedUser) {
        let Some(team) = self.teams.get_mut(id) else { return };
        let user = person.id.clone();
        team.people.push(person);
        if team.installation.is_some() {
            team.open_dm(&user);
        }
        if self.has_scope(id, "users:read") {
            // Here `user` is an object (<https://docs.slack.dev/reference/events/team_join>).
            let event =
                json!({"type": "team_join", "user": self.user_object(id, &user), "event_ts": self.next_ts()});
            self.announce(id, id, false, event);
        }
        self.notify(super::StateChange::Team { team: id.to_owned() });
    }
}
