//! People as Slack knows them, and their view of the bot's Home.

use models::{EnterpriseId, TeamId, UserId};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::messages::missing_field_error;
use crate::{BotAuth, Client, SlackError};

/// Slackbot, which Slack does not call a bot.
const SLACKBOT: &str = "USLACKBOT";

/// A person or a bot. Source: <https://docs.slack.dev/reference/objects/user-object>
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlackUser {
    /// What others call them.
    pub name: String,
    /// Their full name; the same as `name` where they gave none.
    pub real_name: String,
    /// Their position; empty where they gave none.
    pub title: String,
    /// Their time zone, like `Europe/London`; empty where Slack does not tell.
    pub tz: String,
    /// Their own workspace: another than the bot's for people who come by Slack Connect.
    pub team_id: TeamId,
    /// Their organisation, on Enterprise Grid.
    pub enterprise_id: Option<EnterpriseId>,
    /// Whether it is a bot.
    pub is_bot: bool,
    /// Whether they are a guest, of one channel or of several.
    pub is_guest: bool,
    /// Whether they belong to another workspace and share no channel with the bot; `team_id` tells the rest.
    pub is_stranger: bool,
    /// Whether they administer the workspace or the organisation.
    pub is_admin: bool,
    /// Whether their account is gone.
    pub is_deleted: bool,
}

/// Only what is used; flags that Slack leaves out are false.
#[derive(Default, Deserialize)]
#[serde(default)]
struct UserObject {
    id: String,
    team_id: String,
    name: String,
    real_name: Option<String>,
    tz: Option<String>,
    profile: ProfileObject,
    enterprise_user: Option<EnterpriseUser>,
    deleted: bool,
    is_bot: bool,
    is_restricted: bool,
    is_ultra_restricted: bool,
    is_stranger: bool,
    is_admin: bool,
    is_owner: bool,
    is_primary_owner: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ProfileObject {
    display_name: Option<String>,
    real_name: Option<String>,
    title: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct EnterpriseUser {
    enterprise_id: Option<String>,
    is_admin: bool,
    is_owner: bool,
}

impl Client {
    /// `users.info`.
    pub async fn fetch_user(&self, bot: &BotAuth, user_id: &UserId) -> Result<SlackUser, SlackError> {
        const USERS_INFO: &str = "users.info";
        let answer = self.call_form(USERS_INFO, bot, &[("user", user_id.as_str())]).await?;
        let user = answer.get("user").and_then(|user| UserObject::deserialize(user).ok());
        user.map(SlackUser::from).ok_or_else(|| missing_field_error(USERS_INFO))
    }

    /// `views.publish`: what a person sees in the Home tab.
    pub async fn publish_home(
        &self,
        bot: &BotAuth,
        user_id: &UserId,
        blocks: &Value,
    ) -> Result<(), SlackError> {
        let view = json!({ "type": "home", "blocks": blocks });
        self.call("views.publish", bot, json!({ "user_id": user_id, "view": view })).await.map(drop)
    }
}

impl From<UserObject> for SlackUser {
    fn from(user: UserObject) -> Self {
        let given = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        let enterprise = user.enterprise_user.unwrap_or_default();
        let name = given(user.profile.display_name).unwrap_or(user.name);
        Self {
            real_name: given(user.profile.real_name)
                .or(given(user.real_name))
                .unwrap_or_else(|| name.clone()),
            name,
            title: user.profile.title.unwrap_or_default(),
            tz: user.tz.unwrap_or_default(),
            team_id: user.team_id.into(),
            enterprise_id: enterprise.enterprise_id.map(Into::into),
            is_bot: user.is_bot || user.id == SLACKBOT,
            is_guest: user.is_restricted || user.is_ultra_restricted,
            is_stranger: user.is_stranger,
            is_admin: user.is_admin
                || user.is_owner
                || user.is_primary_owner
                || enterprise.is_admin
                || enterprise.is_owner,
            is_deleted: user.deleted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(user: Value) -> SlackUser {
        UserObject::deserialize(user).unwrap().into()
    }

    #[test]
    fn partial_user_object_is_parsed() {
        let bare = user(json!({ "id": "U1", "team_id": "T1", "name": "ada" }));
        assert_eq!((bare.name.as_str(), bare.real_name.as_str(), bare.tz.as_str()), ("ada", "ada", ""));
        assert!(!bare.is_admin && !bare.is_bot && !bare.is_guest && !bare.is_stranger && !bare.is_deleted);
        let full = user(json!({
            "id": "U1", "team_id": "T1", "name": "ada", "tz": null, "is_owner": true, "is_ultra_restricted": true,
            "profile": { "display_name": "Ada L.", "real_name": "Ada Lovelace", "title": "Countess" },
            "enterprise_user": { "enterprise_id": "E1", "is_admin": true },
        }));
        assert_eq!((full.name.as_str(), full.real_name.as_str()), ("Ada L.", "Ada Lovelace"));
        assert_eq!(full.enterprise_id, Some("E1".into()));
        assert!(full.is_admin && full.is_guest);
        assert!(user(json!({ "id": "USLACKBOT" })).is_bot);
    }
}
