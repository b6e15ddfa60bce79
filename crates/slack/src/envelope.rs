//! What Slack posts to `/slack/events`, read tolerantly: Slack adds fields and types without notice.
//! Source: <https://docs.slack.dev/apis/events-api>

use models::{
    EventId, EventOutcome, EventPayload, IgnoredEvent, InboundEvent, InboundMessage, Relevance, TeamId,
    ThreadKey, UserId,
};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::inner_event::InnerEvent;

/// The body is no JSON; nothing else about it is an error.
#[derive(Debug, thiserror::Error)]
#[error("the body is not JSON: {0}")]
pub struct EnvelopeError(#[from] serde_json::Error);

/// What a verified delivery asks for.
#[derive(Clone, Debug)]
pub enum ParsedDelivery {
    /// Slack checks the address: the challenge goes back.
    UrlVerification {
        /// To be echoed.
        challenge: String,
    },
    /// Something to store and to answer.
    Event(Box<InboundEvent>),
    /// An answer in work is unwanted: to be acted on at once, not in its turn.
    Stop(Box<StopRequest>),
    /// Of no interest.
    Ignored {
        /// Which kind of no interest.
        outcome: EventOutcome,
        /// What is kept of it, where it is somebody's.
        event: Option<Box<IgnoredEvent>>,
    },
}

/// Somebody pressed "Stop".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StopRequest {
    /// Whose thread it is.
    pub tenant_id: models::TenantId,
    /// The thread in which nothing more is to be said.
    pub thread: ThreadKey,
    /// Who pressed it.
    pub user_id: UserId,
    /// The event that said so.
    pub event_id: EventId,
}

/// Why an event is of no interest.
pub(crate) type IgnoreReason = (EventOutcome, String);

pub(crate) fn unsupported(reason: impl Into<String>) -> IgnoreReason {
    (EventOutcome::Unsupported, reason.into())
}

/// Only what is used, so that the rest of a body is skipped and not kept.
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
    /// The workspace it happened in, where the installation is org-wide.
    team_id: Option<TeamId>,
}

/// Reads a delivery. What does not look as expected is of no interest, never an error: an error would make Slack
/// deliver it again, and count against the app.
///
/// # Errors
/// The body is not JSON.
pub fn parse_delivery(body: &[u8]) -> Result<ParsedDelivery, EnvelopeError> {
    let envelope: Envelope = match serde_json::from_slice(body) {
        Ok(envelope) => envelope,
        // Of another shape, or with half a character in a text; that it is JSON to its end is still to be seen.
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
        let (Some(receiver), Some(event_id), Some(event)) =
            (self.target_installation(), self.event_id.take(), self.event.take())
        else {
            return ignored;
        };
        let ids = [Some(receiver.tenant_id.as_str()), Some(event_id.as_str())];
        if !ids.into_iter().chain(event.ids()).flatten().all(is_valid_id) {
            return ignored;
        }
        let mut ignored_event = IgnoredEvent {
            tenant_id: receiver.tenant_id.as_str().into(),
            event_id: event_id.as_str().into(),
            channel_id: event.channel.as_deref().map(Into::into),
            message_ts: event.ts.as_deref().map(Into::into),
            user_id: event.user.as_ref().map(|user| user.id.as_str().into()),
            outcome: EventOutcome::Unsupported,
            reason: String::new(),
        };
        match self.parse_event(receiver, event_id, event) {
            Ok(delivery) => delivery,
            Err((outcome, reason)) => {
                (ignored_event.outcome, ignored_event.reason) = (outcome, reason);
                ParsedDelivery::Ignored { outcome, event: Some(Box::new(ignored_event)) }
            }
        }
    }

    fn parse_event(
        &self,
        receiver: TargetInstallation,
        event_id: String,
        event: InnerEvent,
    ) -> Result<ParsedDelivery, IgnoreReason> {
        match event.kind.as_str() {
            "message" | "app_mention" => self.parse_message(receiver, event_id, event),
            "agent_session_stopped" => {
                let (Some(user), Some(channel), Some(thread_ts)) =
                    (event.user, event.channel, event.thread_ts)
                else {
                    return Err(unsupported("agent_session_stopped without its thread"));
                };
                let thread = ThreadKey { channel_id: channel.into(), thread_ts: thread_ts.into() };
                let (tenant_id, user_id) = (receiver.tenant_id.into(), user.id.into());
                let stop = StopRequest { tenant_id, thread, user_id, event_id: event_id.into() };
                Ok(ParsedDelivery::Stop(Box::new(stop)))
            }
            _ => {
                let (user_id, body) = event.into_payload(receiver.team_id, self.event_seconds())?;
                let (tenant_id, event_id) = (receiver.tenant_id.into(), event_id.into());
                let event = InboundEvent::system_event(tenant_id, event_id, user_id, body);
                Ok(ParsedDelivery::Event(Box::new(event)))
            }
        }
    }

    fn parse_message(
        &self,
        receiver: TargetInstallation,
        event_id: String,
        event: InnerEvent,
    ) -> Result<ParsedDelivery, IgnoreReason> {
        let bot_user_id = receiver.bot_user_id.as_deref();
        let user_id = event.author(bot_user_id)?;
        let (Some(channel), Some(ts)) = (&event.channel, &event.ts) else {
            return Err(unsupported("a message without its channel or ts"));
        };
        let thread_ts = event.parent_ts().unwrap_or(ts);
        Ok(ParsedDelivery::Event(Box::new(InboundEvent {
            tenant_id: receiver.tenant_id.as_str().into(),
            event_id: event_id.into(),
            thread: ThreadKey { channel_id: channel.as_str().into(), thread_ts: thread_ts.into() },
            message_ts: Some(ts.as_str().into()),
            relevance: event.relevance(bot_user_id)?,
            user_id,
            payload: EventPayload::Message(InboundMessage {
                is_dm: event.is_dm(),
                user_team_id: event.user_team_id().or(self.team_id.as_deref()).map(Into::into),
                team_id: receiver.team_id,
                is_ext_shared: self.is_ext_shared_channel,
                files: event.files.into_iter().filter_map(Into::into).collect(),
                text: event.text.unwrap_or_default(),
            }),
            client_msg_id: event.client_msg_id,
            traceparent: None,
        })))
    }

    /// The installation, from `authorizations[0]`: in Slack Connect the ids at the top are those of the other workspace.
    /// Only where Slack sends no authorization do the ids at the top count.
    fn target_installation(&self) -> Option<TargetInstallation> {
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

    /// `event_time` in Unix seconds; some of Slack's own examples have microseconds.
    fn event_seconds(&self) -> i64 {
        if self.event_time > 100_000_000_000 { self.event_time / 1_000_000 } else { self.event_time }
    }
}

impl InnerEvent {
    /// Who wrote it, if it is a message that counts: edits, deletions and notices do not, nor do bots.
    fn author(&self, bot_user_id: Option<&str>) -> Result<UserId, IgnoreReason> {
        let subtype = self.subtype.as_deref();
        let from_bot = |reason: &str| Err((EventOutcome::FromBot, reason.to_owned()));
        match &self.user {
            Some(user) if Some(user.id.as_str()) == bot_user_id => from_bot("the bot's own message"),
            _ if self.bot_id.is_some() || subtype == Some("bot_message") => from_bot("another bot's message"),
            _ if self.edited.is_some() => Err(unsupported("an edit")),
            _ if self.hidden => Err(unsupported(subtype.unwrap_or("hidden"))),
            Some(user)
                if matches!(subtype, None | Some("file_share" | "thread_broadcast" | "me_message")) =>
            {
                Ok(user.id.as_str().into())
            }
            _ => Err(unsupported(subtype.unwrap_or("a message without its writer"))),
        }
    }

    /// Decided before the message is claimed: a copy of no interest must not take its place.
    fn relevance(&self, bot_user_id: Option<&str>) -> Result<Relevance, IgnoreReason> {
        let text = self.text.as_deref().unwrap_or_default();
        let is_mentioned = bot_user_id
            .is_some_and(|bot| text.contains(&format!("<@{bot}>")) || text.contains(&format!("<@{bot}|")));
        let is_thread_starter = bot_user_id.is_some() && self.parent_user_id.as_deref() == bot_user_id;
        if self.kind == "app_mention" || self.is_dm() || is_mentioned || is_thread_starter {
            Ok(Relevance::Addressed)
        } else if self.parent_ts().is_some() {
            Ok(Relevance::ThreadReply)
        } else {
            Err((EventOutcome::NotForBot, "a channel message without a mention".into()))
        }
    }
}

/// Ids are opaque, but short and printable; what is not would not go into an index.
pub(crate) fn is_valid_id(text: &str) -> bool {
    text.len() <= 255 && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A channel message as Slack sends it, with some of the event's and the envelope's fields changed.
    fn parse_case(event: Value, envelope: Value) -> ParsedDelivery {
        let mut body = json!({
            "type": "event_callback", "event_id": "Ev1", "team_id": "TOTHER", "event_time": 1,
            "authorizations": [{"enterprise_id": null, "team_id": "T1", "user_id": "UBOT", "is_bot": true,
                                "is_enterprise_install": false}],
            "event": {"type": "message", "channel": "C1", "channel_type": "channel", "user": "U1",
                      "text": "hi", "ts": "1.000001", "team": "T1", "client_msg_id": "m1"},
        });
        merge(&mut body["event"], event);
        merge(&mut body, envelope);
        parse_delivery(body.to_string().as_bytes()).unwrap()
    }

    fn merge(target: &mut Value, changes: Value) {
        let Value::Object(changes) = changes else { panic!("changes are an object") };
        for (key, value) in changes {
            target[key] = value;
        }
    }

    fn parse_event_case(event: Value) -> InboundEvent {
        match parse_case(event, json!({})) {
            ParsedDelivery::Event(event) => *event,
            other => panic!("expected an event, got {other:?}"),
        }
    }

    fn parse_outcome_case(event: Value, envelope: Value) -> EventOutcome {
        match parse_case(event, envelope) {
            ParsedDelivery::Ignored { outcome, .. } => outcome,
            other => panic!("expected it to be ignored, got {other:?}"),
        }
    }

    #[test]
    fn dm_starts_its_own_thread() {
        let dm = parse_event_case(json!({"channel_type": "im", "channel": "D1"}));
        assert_eq!((dm.tenant_id.as_str(), dm.relevance), ("T1", Relevance::Addressed));
        assert_eq!(dm.thread.thread_ts.as_str(), "1.000001");
        let later =
            parse_event_case(json!({"channel_type": "im", "channel": "D1", "thread_ts": "0.5", "ts": "2.0"}));
        assert_eq!(later.thread.thread_ts.as_str(), "0.5");
    }

    #[test]
    fn relevance_follows_mention_and_thread() {
        let addressed = [
            json!({"type": "app_mention"}),
            json!({"text": "hey <@UBOT> there"}),
            json!({"thread_ts": "0.5", "parent_user_id": "UBOT"}),
            json!({"text": "<@UBOT>", "subtype": "file_share"}),
        ];
        for case in addressed {
            assert_eq!(parse_event_case(case.clone()).relevance, Relevance::Addressed, "{case}");
        }
        assert_eq!(parse_event_case(json!({"thread_ts": "0.5"})).relevance, Relevance::ThreadReply);
        assert_eq!(parse_outcome_case(json!({}), json!({})), EventOutcome::NotForBot);
    }

    #[test]
    fn non_user_messages_are_ignored() {
        assert_eq!(parse_outcome_case(json!({"bot_id": "B1"}), json!({})), EventOutcome::FromBot);
        assert_eq!(parse_outcome_case(json!({"user": "UBOT"}), json!({})), EventOutcome::FromBot);
        for subtype in ["message_changed", "message_deleted", "channel_join", "something_new"] {
            assert_eq!(
                parse_outcome_case(json!({"subtype": subtype}), json!({})),
                EventOutcome::Unsupported,
                "{subtype}"
            );
        }
        assert_eq!(
            parse_outcome_case(json!({"type": "app_mention", "edited": {"ts": "2.0"}}), json!({})),
            EventOutcome::Unsupported
        );
        assert_eq!(
            parse_outcome_case(json!({"type": "reaction_added"}), json!({})),
            EventOutcome::Unsupported
        );
        assert_eq!(
            parse_outcome_case(json!({}), json!({"type": "app_rate_limited"})),
            EventOutcome::Unsupported
        );
        assert_eq!(parse_outcome_case(json!({"user": 7}), json!({})), EventOutcome::Unsupported);
        assert_eq!(parse_outcome_case(json!({"user": "U\u{0}"}), json!({})), EventOutcome::Unsupported);
        assert_eq!(parse_outcome_case(json!({"ts": "1".repeat(3000)}), json!({})), EventOutcome::Unsupported);
    }

    #[test]
    fn tenant_comes_from_first_authorization() {
        let tenant = |envelope| match parse_case(json!({"type": "app_mention"}), envelope) {
            ParsedDelivery::Event(event) => event.tenant_id.into_string(),
            other => panic!("expected an event, got {other:?}"),
        };
        assert_eq!(tenant(json!({})), "T1");
        assert_eq!(tenant(json!({"authorizations": []})), "TOTHER");
        let org = json!([{"enterprise_id": "E1", "team_id": null, "is_enterprise_install": true}]);
        assert_eq!(tenant(json!({"authorizations": org})), "E1");
    }

    #[test]
    fn any_json_parses_without_error() {
        let half_a_character = r#"{"type":"event_callback","event":{"type":"message","text":"\ud800"}}"#;
        for body in ["{}", "[]", "null", "7", "\"x\"", r#"{"type":"event_callback"}"#, half_a_character] {
            assert!(matches!(parse_delivery(body.as_bytes()), Ok(ParsedDelivery::Ignored { .. })), "{body}");
        }
        for body in ["", "{", "payload=%7B%7D", "\u{0}"] {
            assert!(parse_delivery(body.as_bytes()).is_err(), "{body}");
        }
        let challenge = parse_delivery(br#"{"type":"url_verification","challenge":"c"}"#).unwrap();
        assert!(matches!(challenge, ParsedDelivery::UrlVerification { challenge } if challenge == "c"));
    }
}
