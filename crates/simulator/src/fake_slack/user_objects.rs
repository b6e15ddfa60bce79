//! User objects: people as the app sees them.
//! Source: <https://docs.slack.dev/reference/objects/user-object>

use serde_json::{Value, json};

use super::person::SimulatedUser;
use super::{FakeSlack, StateChange};

impl FakeSlack {
    /// Returns the user object that an app in this team gets. Only people of its own organisation have roles.
    pub(crate) fn user_object(&self, team: &str, user: &str) -> Option<Value> {
        let home = self.find_home_team(user)?;
        let person = home.find_person(user)?;
        let mut object = json!({
            "id": person.id, "team_id": home.id, "name": person.name.to_lowercase(),
            "deleted": person.is_deactivated, "real_name": person.real_name(), "tz": person.tz(),
            "tz_label": person.tz(), "locale": "en-GB", "is_bot": person.is_bot, "is_app_user": false,
            "updated": 1_700_000_000, "is_stranger": self.is_stranger(team, user),
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
                "is_admin": person.is_org_admin, "is_owner": false, "is_primary_owner": false, "teams": [home.id],
            });
        }
        Some(object)
    }

    /// Returns whether a person is external and in no channel that the app can see. An external person in a
    /// shared channel differs only by `team_id` (<https://api.slack.com/types/user>).
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
        self.notify(StateChange::Team { team: id.to_owned() });
    }
}
