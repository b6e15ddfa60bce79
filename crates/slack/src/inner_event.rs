//! The `event` of an envelope, with the fields of all event types.
//! Source: <https://docs.slack.dev/reference/events>

use models::{EventPayload, FileRef, TeamId, UserId};
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::delivery::{IgnoreReason, unsupported};

#[derive(Deserialize)]
pub(crate) struct InnerEvent {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) subtype: Option<String>,
    #[serde(default)]
    pub(crate) hidden: bool,
    /// Present after an edit. A mention added by an edit arrives as another `app_mention` of a message
    /// already processed.
    pub(crate) edited: Option<IgnoredAny>,
    pub(crate) bot_id: Option<String>,
    #[serde(default, deserialize_with = "deserialize_user")]
    pub(crate) user: Option<EventUser>,
    pub(crate) user_team: Option<String>,
    pub(crate) source_team: Option<String>,
    pub(crate) team: Option<String>,
    pub(crate) text: Option<String>,
    #[serde(default, deserialize_with = "deserialize_id")]
    pub(crate) channel: Option<String>,
    pub(crate) channel_type: Option<String>,
    pub(crate) ts: Option<String>,
    pub(crate) thread_ts: Option<String>,
    pub(crate) parent_user_id: Option<String>,
    pub(crate) client_msg_id: Option<String>,
    #[serde(default)]
    pub(crate) files: Vec<EventFile>,
    /// Of `app_home_opened`.
    tab: Option<String>,
    /// Of `tokens_revoked`.
    tokens: Option<RevokedTokens>,
    /// Of `team_access_granted` and `team_access_revoked`.
    #[serde(default)]
    team_ids: Vec<String>,
    /// Of `app_context_changed`.
    context: Option<EventContext>,
    /// Of `assistant_thread_started` and `assistant_thread_context_changed`.
    assistant_thread: Option<AssistantThread>,
}

/// A user: only an id, or in some events the whole object.
#[derive(Default, Deserialize)]
pub(crate) struct EventUser {
    #[serde(default)]
    pub(crate) id: String,
    #[serde(default)]
    is_bot: bool,
    #[serde(default)]
    is_restricted: bool,
}

#[derive(Deserialize)]
pub(crate) struct EventFile {
    id: Option<String>,
    name: Option<String>,
    mimetype: Option<String>,
    size: Option<u64>,
    file_access: Option<String>,
    url_private_download: Option<String>,
    url_private: Option<String>,
}

#[derive(Deserialize)]
struct RevokedTokens {
    #[serde(default)]
    bot: Vec<String>,
}

#[derive(Default, Deserialize)]
struct EventContext {
    #[serde(default)]
    entities: Vec<ContextEntity>,
    channel_id: Option<String>,
}

#[derive(Deserialize)]
struct ContextEntity {
    #[serde(rename = "type", default)]
    kind: String,
    value: Option<String>,
}

#[derive(Deserialize)]
struct AssistantThread {
    user_id: Option<String>,
    channel_id: Option<String>,
    thread_ts: Option<String>,
    #[serde(default)]
    context: EventContext,
}

impl InnerEvent {
    /// Returns all ids that may be stored.
    pub(crate) fn ids(&self) -> impl Iterator<Item = Option<&str>> {
        let user = self.user.as_ref().map(|user| user.id.as_str());
        let thread = self.assistant_thread.as_ref();
        [
            user,
            self.channel.as_deref(),
            self.ts.as_deref(),
            self.thread_ts.as_deref(),
            self.client_msg_id.as_deref(),
            thread.and_then(|thread| thread.user_id.as_deref()),
            thread.and_then(|thread| thread.channel_id.as_deref()),
            thread.and_then(|thread| thread.thread_ts.as_deref()),
        ]
        .into_iter()
    }

    /// Returns the user and the payload of an event that is not a message.
    pub(crate) fn into_payload(
        self,
        team_id: Option<TeamId>,
        event_time: i64,
    ) -> Result<(Option<UserId>, EventPayload), IgnoreReason> {
        let kind = self.kind.as_str();
        let missing = || unsupported(format!("{kind} without a required field"));
        let user_id = self.user.as_ref().map(|user| UserId::new(user.id.as_str()));
        match (kind, self.tab.as_deref()) {
            ("app_uninstalled", _) => Ok((None, EventPayload::Uninstalled { event_time })),
            ("tokens_revoked", _) => {
                let bots = self.tokens.map(|tokens| tokens.bot).unwrap_or_default();
                if bots.is_empty() {
                    return Err(unsupported("tokens_revoked without a bot token"));
                }
                let bot_user_ids = bots.into_iter().map(Into::into).collect();
                Ok((None, EventPayload::TokensRevoked { event_time, bot_user_ids }))
            }
            ("team_access_granted" | "team_access_revoked", _) => {
                let is_granted = kind == "team_access_granted";
                let team_ids = self.team_ids.into_iter().map(Into::into).collect();
                Ok((None, EventPayload::TeamAccess { is_granted, team_ids }))
            }
            ("app_home_opened", Some("messages")) => {
                let channel_id = self.channel.ok_or_else(missing)?.into();
                let payload = EventPayload::ConversationOpened { team_id, channel_id, thread_ts: None };
                Ok((Some(user_id.ok_or_else(missing)?), payload))
            }
            ("app_home_opened", _) => {
                Ok((Some(user_id.ok_or_else(missing)?), EventPayload::HomeOpened { team_id }))
            }
            ("app_context_changed", _) => {
                let channel_id = self.context.and_then(EventContext::into_channel_id).map(Into::into);
                Ok((Some(user_id.ok_or_else(missing)?), EventPayload::ContextChanged { channel_id }))
            }
            ("assistant_thread_started" | "assistant_thread_context_changed", _) => {
                let thread = self.assistant_thread.ok_or_else(missing)?;
                let user_id = UserId::from(thread.user_id.ok_or_else(missing)?);
                if kind == "assistant_thread_context_changed" {
                    let channel_id = thread.context.into_channel_id().map(Into::into);
                    return Ok((Some(user_id), EventPayload::ContextChanged { channel_id }));
                }
                let channel_id = thread.channel_id.ok_or_else(missing)?.into();
                let thread_ts = thread.thread_ts.map(Into::into);
                Ok((Some(user_id), EventPayload::ConversationOpened { team_id, channel_id, thread_ts }))
            }
            ("team_join", _) => {
                let user = self.user.ok_or_else(missing)?;
                if user.is_bot || user.is_restricted {
                    // Slack does not let guests use agents.
                    return Err(unsupported("team_join of a bot or a guest"));
                }
                Ok((Some(user.id.into()), EventPayload::TeamJoined { team_id }))
            }
            _ => Err(unsupported(kind)),
        }
    }
}

impl EventContext {
    fn into_channel_id(self) -> Option<String> {
        let channel = |entity: &ContextEntity| entity.kind.ends_with("/channel_id");
        self.channel_id.or_else(|| self.entities.into_iter().find(channel)?.value)
    }
}

impl From<EventFile> for Option<FileRef> {
    fn from(file: EventFile) -> Self {
        // `file_access` marks files of other organisations, which need a call of `files.info`.
        let url = file.url_private_download.or(file.url_private);
        Some(FileRef {
            id: file.id?,
            name: file.name.unwrap_or_else(|| "a file".into()),
            mimetype: file.mimetype.unwrap_or_default(),
            size: file.size.unwrap_or_default(),
            url: url.filter(|_| file.file_access.as_deref() != Some("check_file_info")),
        })
    }
}

/// Deserializes `"U1"` or `{"id": "U1", …}`; anything else becomes `None`.
fn deserialize_user<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<EventUser>, D::Error> {
    let user = match Value::deserialize(deserializer)? {
        Value::String(id) => Some(EventUser { id, ..EventUser::default() }),
        object => EventUser::deserialize(object).ok(),
    };
    Ok(user.filter(|user| !user.id.is_empty()))
}

/// Deserializes an id, or the id of an object: some events contain the whole channel.
fn deserialize_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(deserialize_user(deserializer)?.map(|object| object.id))
}
