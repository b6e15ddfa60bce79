//! Parses deliveries to `/slack/events`. It is lenient, since Slack adds fields and types without notice.
//! Source: <https://docs.slack.dev/apis/events-api>

use models::{EventOutcome, EventPayload, IgnoredEvent, InboundEvent, InboundMessage, TeamId, ThreadKey};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::delivery::{IgnoreReason, ParsedDelivery, StopRequest, is_valid_id, unsupported};
use crate::inner_event::InnerEvent;

/// A body that is not JSON. No other content is an error.
#[derive(Debug, thiserror::Error)]
#[error("the body is not JSON: {0}")]
pub struct EnvelopeError(#[from] serde_json::Error);

/// The fields that are used; the rest of a body is skipped.
#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "type")]
    kind: String,
    challenge: Option<String>,
    event_id: Option<String>,
    #[serde(default)]
    event_time: i64,
    #[serde(default)]
    authorizations: Vec<Authorization>,
    team_id: Option<String>,
    enterprise_id: Option<String>,
    context_team_id: Option<String>,
    #[serde(default)]
    is_ext_shared_channel: bool,
    event: Option<InnerEvent>,
}

#[derive(Deserialize)]
struct Authorization {
    enterprise_id: Option<String>,
    team_id: Option<String>,
    user_id: Option<String>,
    #[serde(default)]
    is_enterprise_install: bool,
}

/// The installation an event is for.
struct TargetInstallation {
    tenant_id: String,
    bot_user_id: Option<String>,
    /// The workspace of the event, in an org-wide install.
    team_id: Option<TeamId>,
}

/// Parses a delivery. Unexpected content is ignored and not an error: after an error Slack would deliver it
/// again, and count it against the app.
///
/// # Errors
/// The body is not JSON.
pub fn parse_delivery(body: &[u8]) -> Result<ParsedDelivery, EnvelopeError> {
    let envelope: Envelope = match serde_json::from_slice(body) {
        Ok(envelope) => envelope,
        // Another shape, or a lone surrogate in a text. It still has to be valid JSON to its end.
        Err(_) => {
            serde_json::from_slice::<IgnoredAny>(body)?;
            return Ok(ParsedDelivery::Ignored { outcome: EventOutcome::Unsupported, event: None });
        }
    };
    Ok(match envelope.kind.as_str() {
        "url_verification" => {
            ParsedDelivery::UrlVerification { challenge: envelope.challenge.unwrap_or_default() }
        }
        "event_callback" => envelope.into_delivery(),
        _ => ParsedDelivery::Ignored { outcome: EventOutcome::Unsupported, event: None },
    })
}

impl Envelope {
    fn into_delivery(mut self) -> ParsedDelivery {
        let ignored = ParsedDelivery::Ignored { outcome: EventOutcome::Unsupported, event: None };
        let (Some(target), Some(event_id), Some(event)) =
            (self.target_installation(), self.event_id.take(), self.event.take())
        else {
            return ignored;
        };
        let ids = [Some(target.tenant_id.as_str()), Some(event_id.as_str())];
        if !ids.into_iter().chain(event.ids()).flatten().all(is_valid_id) {
            return ignored;
        }
        let mut ignored_event = IgnoredEvent {
            tenant_id: target.tenant_id.as_str().into(),
            event_id: event_id.as_str().into(),
            channel_id: event.channel.as_deref().map(Into::into),
            message_ts: event.ts.as_deref().map(Into::into),
            user_id: event.user.as_ref().map(|user| user.id.as_str().into()),
            outcome: EventOutcome::Unsupported,
            reason: String::new(),
        };
        match self.parse_event(target, event_id, event) {
            Ok(delivery) => delivery,
            Err((outcome, reason)) => {
                (ignored_event.outcome, ignored_event.reason) = (outcome, reason);
                ParsedDelivery::Ignored { outcome, event: Some(Box::new(ignored_event)) }
            }
        }
    }

    fn parse_event(
        &self,
        target: TargetInstallation,
        event_id: String,
        event: InnerEvent,
    ) -> Result<ParsedDelivery, IgnoreReason> {
        match event.kind.as_str() {
            "message" | "app_mention" => self.parse_message(target, event_id, event),
            "agent_session_stopped" => {
                let (Some(user), Some(channel), Some(thread_ts)) =
                    (event.user, event.channel, event.thread_ts)
                else {
                    return Err(unsupported("agent_session_stopped without a thread"));
                };
                let thread = ThreadKey { channel_id: channel.into(), thread_ts: thread_ts.into() };
                let (tenant_id, user_id) = (target.tenant_id.into(), user.id.into());
                let stop = StopRequest { tenant_id, thread, user_id, event_id: event_id.into() };
                Ok(ParsedDelivery::Stop(Box::new(stop)))
            }
            _ => {
                let (user_id, payload) = event.into_payload(target.team_id, self.event_seconds())?;
                let (tenant_id, event_id) = (target.tenant_id.into(), event_id.into());
                let event = InboundEvent::system_event(tenant_id, event_id, user_id, payload);
                Ok(ParsedDelivery::Event(Box::new(event)))
            }
        }
    }

    fn parse_message(
        &self,
        target: TargetInstallation,
        event_id: String,
        event: InnerEvent,
    ) -> Result<ParsedDelivery, IgnoreReason> {
        let bot_user_id = target.bot_user_id.as_deref();
        let user_id = event.author(bot_user_id)?;
        let (Some(channel), Some(ts)) = (&event.channel, &event.ts) else {
            return Err(unsupported("a message without a channel or ts"));
        };
        let thread_ts = event.parent_ts().unwrap_or(ts);
        Ok(ParsedDelivery::Event(Box::new(InboundEvent {
            tenant_id: target.tenant_id.as_str().into(),
            event_id: event_id.into(),
            thread: ThreadKey { channel_id: channel.as_str().into(), thread_ts: thread_ts.into() },
            message_ts: Some(ts.as_str().into()),
            relevance: event.relevance(bot_user_id)?,
            user_id,
            payload: EventPayload::Message(InboundMessage {
                is_dm: event.is_dm(),
                user_team_id: event.user_team_id().or(self.team_id.as_deref()).map(Into::into),
                team_id: target.team_id,
                is_ext_shared: self.is_ext_shared_channel,
                files: event.files.into_iter().filter_map(Into::into).collect(),
                text: event.text.unwrap_or_default(),
            }),
            client_msg_id: event.client_msg_id,
            traceparent: None,
        })))
    }

    /// Returns the installation that the event is for.
    fn target_installation(&self) -> Option<TargetInstallation> {
        // In Slack Connect the top-level ids may be those of the other workspace. They count only without
        // authorizations.
        let (tenant_id, bot_user_id, is_org_wide) = match self.authorizations.first() {
            Some(authorization) if authorization.is_enterprise_install => {
                (authorization.enterprise_id.clone()?, authorization.user_id.clone(), true)
            }
            Some(authorization) => (authorization.team_id.clone()?, authorization.user_id.clone(), false),
            None => (self.team_id.clone().or_else(|| self.enterprise_id.clone())?, None, false),
        };
        let is_team = |id: &&String| id.starts_with('T');
        let team_id = self.context_team_id.as_ref().filter(is_team).or(self.team_id.as_ref().filter(is_team));
        let team_id = team_id.filter(|_| is_org_wide).map(|id| id.as_str().into());
        Some(TargetInstallation { tenant_id, bot_user_id, team_id })
    }

    /// Returns `event_time` in Unix seconds; some of Slack's own examples have microseconds.
    fn event_seconds(&self) -> i64 {
        if self.event_time > 100_000_000_000 { self.event_time / 1_000_000 } else { self.event_time }
    }
}
