//! Parses the forms that Slack posts to `/slack/interactions` (with JSON in `payload`) and `/slack/commands`.
//! Source: <https://docs.slack.dev/interactivity/handling-user-interaction>,
//! <https://docs.slack.dev/interactivity/implementing-slash-commands>

use models::{EventId, EventOutcome, EventPayload, InboundEvent, TeamId, TenantId, ThreadKey, UserId};
use serde::Deserialize;
use url::form_urlencoded;

use crate::buttons::{ACTION_FEEDBACK, ACTION_STOP, ACTION_TRY_AGAIN};
use crate::delivery::{IgnoreReason, ParsedDelivery, StopRequest, is_valid_id, unsupported};

/// A body that is not a form of Slack.
#[derive(Debug, thiserror::Error)]
pub enum SlackFormError {
    /// A required field is missing.
    #[error("the form has no {0}")]
    MissingField(&'static str),
    /// The payload is not JSON.
    #[error("the payload is not JSON: {0}")]
    InvalidJson(#[from] serde_json::Error),
}

#[derive(Deserialize)]
struct InteractionPayload {
    #[serde(rename = "type")]
    kind: String,
    trigger_id: Option<String>,
    user: Option<InteractingUser>,
    team: Option<ObjectRef>,
    enterprise: Option<ObjectRef>,
    #[serde(default)]
    is_enterprise_install: bool,
    channel: Option<ObjectRef>,
    message: Option<SourceMessage>,
    #[serde(default)]
    actions: Vec<BlockAction>,
}

#[derive(Deserialize)]
struct ObjectRef {
    id: String,
}

#[derive(Deserialize)]
struct InteractingUser {
    id: String,
    team_id: Option<String>,
}

#[derive(Deserialize)]
struct SourceMessage {
    ts: String,
    thread_ts: Option<String>,
    team: Option<String>,
}

#[derive(Deserialize)]
struct BlockAction {
    action_id: String,
    value: Option<String>,
    action_ts: Option<String>,
}

/// Parses a click. A click that the bot does not support is ignored and not an error.
///
/// # Errors
/// The payload is missing, or it is not JSON.
pub fn parse_interaction(body: &[u8]) -> Result<ParsedDelivery, SlackFormError> {
    let payload = form_field(body, "payload").ok_or(SlackFormError::MissingField("payload"))?;
    let payload: InteractionPayload = match serde_json::from_str(&payload) {
        Ok(payload) => payload,
        Err(error) if error.is_data() => return Ok(ignored_delivery()),
        Err(error) => return Err(error.into()),
    };
    Ok(payload
        .into_delivery()
        .unwrap_or_else(|(outcome, _)| ParsedDelivery::Ignored { outcome, event: None }))
}

/// Parses a slash command.
///
/// # Errors
/// A field that the response depends on is missing.
pub fn parse_command(body: &[u8]) -> Result<ParsedDelivery, SlackFormError> {
    let required = |name| {
        form_field(body, name).filter(|value| is_valid_id(value)).ok_or(SlackFormError::MissingField(name))
    };
    required("command")?;
    let trigger_id = required("trigger_id")?;
    let (team_id, user_id, channel_id) =
        (required("team_id")?, required("user_id")?, required("channel_id")?);
    let response_url =
        form_field(body, "response_url").ok_or(SlackFormError::MissingField("response_url"))?;
    let is_org_wide = form_field(body, "is_enterprise_install").as_deref() == Some("true");
    let enterprise_id = form_field(body, "enterprise_id").filter(|_| is_org_wide);
    let team_in_org = enterprise_id.is_some().then(|| TeamId::from(team_id.as_str()));
    let tenant_id: TenantId = enterprise_id.unwrap_or(team_id).into();
    let payload = EventPayload::Command {
        text: form_field(body, "text").unwrap_or_default(),
        channel_id: channel_id.into(),
        team_id: team_in_org,
        response_url,
    };
    let event_id = EventId::new(format!("command-{trigger_id}"));
    let event = InboundEvent::system_event(tenant_id, event_id, Some(user_id.into()), payload);
    Ok(ParsedDelivery::Event(Box::new(event)))
}

fn ignored_delivery() -> ParsedDelivery {
    ParsedDelivery::Ignored { outcome: EventOutcome::Unsupported, event: None }
}

fn form_field(body: &[u8], name: &str) -> Option<String> {
    form_urlencoded::parse(body).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

impl InteractionPayload {
    fn into_delivery(self) -> Result<ParsedDelivery, IgnoreReason> {
        if self.kind != "block_actions" {
            return Err(unsupported(self.kind));
        }
        let tenant_id = self.tenant_id().ok_or_else(|| unsupported("an interaction without a workspace"))?;
        let (Some(user), Some(action)) = (self.user, self.actions.into_iter().next()) else {
            return Err(unsupported("an interaction without a user or action"));
        };
        let value = action.value.unwrap_or_default();
        let trigger = self.trigger_id.or(action.action_ts).unwrap_or_default();
        if ![tenant_id.as_str(), &user.id, &value, &trigger].into_iter().all(is_valid_id) {
            return Err(unsupported("an interaction with invalid ids"));
        }
        let user_id = UserId::from(user.id);
        let event_id = EventId::new(format!("interaction-{trigger}"));
        let payload = match action.action_id.as_str() {
            ACTION_FEEDBACK => {
                parse_feedback(&value).ok_or_else(|| unsupported("feedback without an event id"))?
            }
            ACTION_TRY_AGAIN => EventPayload::TryAgain { event_id: value.into() },
            ACTION_STOP => {
                let (Some(channel), Some(message)) = (self.channel, self.message) else {
                    return Err(unsupported("a stop without a message"));
                };
                let thread_ts = message.thread_ts.unwrap_or(message.ts).into();
                let thread = ThreadKey { channel_id: channel.id.into(), thread_ts };
                return Ok(ParsedDelivery::Stop(Box::new(StopRequest {
                    tenant_id,
                    thread,
                    user_id,
                    event_id,
                })));
            }
            other => return Err(unsupported(other)),
        };
        let event = InboundEvent::system_event(tenant_id, event_id, Some(user_id), payload);
        Ok(ParsedDelivery::Event(Box::new(event)))
    }

    /// Returns the tenant of the installation.
    fn tenant_id(&self) -> Option<TenantId> {
        // The message is the bot's own, so its workspace is the installation's. The top-level one is that of
        // the person who clicked, which in Slack Connect may be another.
        let enterprise =
            self.enterprise.as_ref().filter(|_| self.is_enterprise_install).map(|enterprise| &enterprise.id);
        let message = || self.message.as_ref().and_then(|message| message.team.as_ref());
        let team = || self.team.as_ref().map(|team| &team.id);
        let user = || self.user.as_ref().and_then(|user| user.team_id.as_ref());
        enterprise.or_else(message).or_else(team).or_else(user).map(|id| id.as_str().into())
    }
}

fn parse_feedback(value: &str) -> Option<EventPayload> {
    let (rating, event_id) = value.split_once(':')?;
    let is_positive = match rating {
        "positive" => true,
        "negative" => false,
        _ => return None,
    };
    Some(EventPayload::Feedback { event_id: event_id.into(), is_positive })
}
