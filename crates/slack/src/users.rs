//! Users, and the bot's Home tab.

use models::{EnterpriseId, TeamId, UserId};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::messages::missing_field_error;
use crate::{BotAuth, Client, SlackError};

/// The user id of Slackbot, which Slack does not mark as a bot.
const SLACKBOT: &str = "USLACKBOT";

/// Users of a page; Slack recommends at most 200.
const MAX_LISTED_USERS: &str = "200";

/// A person or a bot. Source: <https://docs.slack.dev/reference/objects/user-object>
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlackUser {
    /// Their id.
    pub user_id: UserId,
    /// Their display name.
    pub name: String,
    /// Their full name; the same as `name` if it is not set.
    pub real_name: String,
    /// Their job title; empty if it is not set.
    pub title: String,
    /// Their time zone, like `Europe/London`; empty if it is unknown.
    pub tz: String,
    /// Their own workspace, which is not the bot's for people from Slack Connect.
    pub team_id: TeamId,
    /// Their organisation, on Enterprise Grid.
    pub enterprise_id: Option<EnterpriseId>,
    /// True for bots.
    pub is_bot: bool,
    /// True for guests, of one channel or of several.
    pub is_guest: bool,
    /// True for people of another workspace who share no channel with the bot; for others compare `team_id`.
    pub is_stranger: bool,
    /// True for admins and owners of the workspace.
    pub is_admin: bool,
    /// True for admins and owners of the organisation, on Enterprise Grid.
    pub is_org_admin: bool,
    /// True for deactivated accounts.
    pub is_deleted: bool,
}

/// The fields that are used. Flags that Slack omits are false.
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

impl SlackUser {
    /// Returns whether they are an admin or owner of all that an installation covers. An admin of one workspace
    /// is none of the organisation.
    pub fn manages(&self, is_org_wide: bool) -> bool {
        self.is_org_admin || self.is_admin && !is_org_wide
    }
}

impl Client {
    /// `users.list`: returns a page of the users of a workspace, and the cursor of the next one.
    pub async fn list_users(
        &self,
        bot: &BotAuth,
        cursor: Option<&str>,
    ) -> Result<(Vec<SlackUser>, Option<String>), SlackError> {
        const USERS_LIST: &str = "users.list";
        let arguments = [("limit", MAX_LISTED_USERS), ("cursor", cursor.unwrap_or_default())];
        let mut response = self.call_form(USERS_LIST, bot, &arguments).await?;
        let cursor = response.pointer("/response_metadata/next_cursor").and_then(Value::as_str);
        let cursor = cursor.filter(|cursor| !cursor.is_empty()).map(str::to_owned);
        let users = Vec::<UserObject>::deserialize(response["members"].take());
        let users = users.map_err(|_| missing_field_error(USERS_LIST))?;
        Ok((users.into_iter().map(SlackUser::from).collect(), cursor))
    }

    /// `users.info`: returns a user.
    pub async fn fetch_user(&self, bot: &BotAuth, user_id: &UserId) -> Result<SlackUser, SlackError> {
        const USERS_INFO: &str = "users.info";
        let response = self.call_form(USERS_INFO, bot, &[("user", user_id.as_str())]).await?;
        let user = response.get("user").and_then(|user| UserObject::deserialize(user).ok());
        user.map(SlackUser::from).ok_or_else(|| missing_field_error(USERS_INFO))
    }

    /// `views.publish`: publishes a person's Home tab.
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
        let non_blank = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        let enterprise = user.enterprise_user.unwrap_or_default();
        let name = non_blank(user.profile.display_name).unwrap_or(user.name);
        Self {
            user_id: user.id.as_str().into(),
            real_name: non_blank(user.profile.real_name)
                .or(non_blank(user.real_name))
                .unwrap_or_else(|| name.clone()),
            name,
            title: user.profile.title.unwrap_or_default(),
            tz: user.tz.unwrap_or_default(),
            team_id: user.team_id.into(),
            enterprise_id: enterprise.enterprise_id.map(Into::into),
            is_bot: user.is_bot || user.id == SLACKBOT,
            is_guest: user.is_restricted || user.is_ultra_restricted,
            is_stranger: user.is_stranger,
            is_admin: user.is_admin || user.is_owner || user.is_primary_owner,
            is_org_admin: enterprise.is_admin || enterprise.is_owner,
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
        assert!(full.is_admin && full.is_org_admin && full.is_guest);
        let of_workspace =
            user(json!({ "id": "U1", "is_admin": true, "enterprise_user": { "is_admin": false } }));
        let of_organisation = user(json!({ "id": "U1", "enterprise_user": { "is_owner": true } }));
        assert_eq!([false, true].map(|org_wide| of_workspace.manages(org_wide)), [true, false]);
        assert_eq!([false, true].map(|org_wide| of_organisation.manages(org_wide)), [true, true]);
        assert!(user(json!({ "id": "USLACKBOT" })).is_bot);
    }
}
