//! What Slack posts to `/slack/events`, read tolerantly: Slack adds fields and types without notice.
//! Source: <https://docs.slack.dev/apis/events-api>

use models::{EventBody, InboundEvent, Outcome, Relevance, ThreadKey, UserId};
use serde::Deserialize;
use serde::de::IgnoredAny;

/// The body is no JSON; nothing else about it is an error.
#[derive(Debug, thiserror::Error)]
#[error("the body is not JSON: {0}")]
pub struct NotJson(#[from] serde_json::Error);

/// What a verified delivery asks for.
#[derive(Clone, Debug)]
pub enum Delivery {
    /// Slack checks the address: the challenge goes back.
    UrlVerification {
        /// To be echoed.
        challenge: String,
    },
    /// Something to store and to answer.
    Event(Box<InboundEvent>),
    /// Of no interest, and why.
    Ignored(Outcome),
}

/// Only what is used, so that the rest of a body is skipped and not kept.
#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "type")]
    kind: String,
    challenge: Option<String>,
    event_id: Option<String>,
    #[serde(default)]
    authorizations: Vec<Authorization>,
    team_id: Option<String>,
    enterprise_id: Option<String>,
    event: Option<Message>,
}

#[derive(Deserialize)]
struct Authorization {
    enterprise_id: Option<String>,
    team_id: Option<String>,
    user_id: Option<String>,
    #[serde(default)]
    is_enterprise_install: bool,
}

#[derive(Deserialize)]
struct Message {
    #[serde(rename = "type")]
    kind: String,
    subtype: Option<String>,
    #[serde(default)]
    hidden: bool,
    bot_id: Option<String>,
    user: Option<String>,
    user_team: Option<String>,
    team: Option<String>,
    text: Option<String>,
    channel: Option<String>,
    channel_type: Option<String>,
    ts: Option<String>,
    thread_ts: Option<String>,
    parent_user_id: Option<String>,
    client_msg_id: Option<String>,
}

/// Reads a delivery. What does not look as expected is of no interest, never an error: an error would make Slack
/// deliver it again, and count against the app.
pub fn read_delivery(body: &[u8]) -> Result<Delivery, NotJson> {
    let envelope: Envelope = match serde_json::from_slice(body) {
        Ok(envelope) => envelope,
        // Of another shape; that it is JSON to its end is still to be seen.
        Err(error) if error.is_data() => {
            serde_json::from_slice::<IgnoredAny>(body)?;
            return Ok(Delivery::Ignored(Outcome::Unsupported));
        }
        Err(error) => return Err(error.into()),
    };
    let delivery = match envelope.kind.as_str() {
        "url_verification" => {
            return Ok(Delivery::UrlVerification { challenge: envelope.challenge.unwrap_or_default() });
        }
        "event_callback" => envelope.into_event(),
        _ => Err(Outcome::Unsupported),
    };
    Ok(delivery.map_or_else(Delivery::Ignored, |event| Delivery::Event(Box::new(event))))
}

impl Envelope {
    fn into_event(self) -> Result<InboundEvent, Outcome> {
        let (tenant_id, bot_user_id) = self.tenant().ok_or(Outcome::Unsupported)?;
        let (Some(event_id), Some(message)) = (self.event_id, self.event) else {
            return Err(Outcome::Unsupported);
        };
        let ids = [Some(&tenant_id), Some(&event_id), message.user.as_ref(), message.channel.as_ref()];
        let more_ids = [message.ts.as_ref(), message.thread_ts.as_ref(), message.client_msg_id.as_ref()];
        if !ids.into_iter().chain(more_ids).flatten().all(|id| is_id(id)) {
            return Err(Outcome::Unsupported);
        }
        let user_id = message.writer(bot_user_id.as_deref())?;
        let (Some(channel), Some(ts)) = (&message.channel, &message.ts) else {
            return Err(Outcome::Unsupported);
        };
        let thread_ts = message.thread_ts.as_ref().filter(|thread_ts| !thread_ts.is_empty()).unwrap_or(ts);
        Ok(InboundEvent {
            tenant_id: tenant_id.into(),
            event_id: event_id.into(),
            thread: ThreadKey { channel_id: channel.as_str().into(), thread_ts: thread_ts.as_str().into() },
            message_ts: Some(ts.as_str().into()),
            relevance: message.relevance(bot_user_id.as_deref())?,
            user_id,
            body: EventBody::Message {
                is_dm: message.is_dm(),
                user_team_id: message.user_team.or(message.team).or(self.team_id).map(Into::into),
                text: message.text.unwrap_or_default(),
            },
            client_msg_id: message.client_msg_id,
        })
    }

    /// The tenant and the bot's user, from `authorizations[0]`: in Slack Connect the ids at the top are those of the
    /// other workspace. Only where Slack sends no authorization do the ids at the top count.
    fn tenant(&self) -> Option<(String, Option<String>)> {
        match self.authorizations.first() {
            Some(authorization) if authorization.is_enterprise_install => {
                Some((authorization.enterprise_id.clone()?, authorization.user_id.clone()))
            }
            Some(authorization) => Some((authorization.team_id.clone()?, authorization.user_id.clone())),
            None => Some((self.team_id.clone().or_else(|| self.enterprise_id.clone())?, None)),
        }
    }
}

impl Message {
    /// Who wrote it, if it is a message that counts: edits, deletions and notices do not, nor do bots.
    fn writer(&self, bot_user_id: Option<&str>) -> Result<UserId, Outcome> {
        let counts = matches!(self.kind.as_str(), "message" | "app_mention")
            && matches!(
                self.subtype.as_deref(),
                None | Some("file_share" | "thread_broadcast" | "me_message")
            )
            && !self.hidden;
        match &self.user {
            _ if self.bot_id.is_some() || self.subtype.as_deref() == Some("bot_message") => {
                Err(Outcome::FromBot)
            }
            Some(user) if Some(user.as_str()) == bot_user_id => Err(Outcome::FromBot),
            Some(user) if counts => Ok(user.as_str().into()),
            _ => Err(Outcome::Unsupported),
        }
    }

    fn is_dm(&self) -> bool {
        self.channel_type.as_deref() == Some("im")
    }

    fn relevance(&self, bot_user_id: Option<&str>) -> Result<Relevance, Outcome> {
        let text = self.text.as_deref().unwrap_or_default();
        let mentioned = bot_user_id
            .is_some_and(|bot| text.contains(&format!("<@{bot}>")) || text.contains(&format!("<@{bot}|")));
        let began_the_thread = bot_user_id.is_some() && self.parent_user_id.as_deref() == bot_user_id;
        if self.kind == "app_mention" || self.is_dm() || mentioned || began_the_thread {
            Ok(Relevance::Addressed)
        } else if self.thread_ts.as_ref().is_some_and(|thread_ts| !thread_ts.is_empty()) {
            Ok(Relevance::InThreadOfTheBot)
        } else {
            Err(Outcome::NotAddressed)
        }
    }
}

/// Ids are opaque, but short and printable; what is not would not go into an index.
fn is_id(text: &str) -> bool {
    text.len() <= 255 && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A channel message as Slack sends it, with some of the event's and the envelope's fields changed.
    fn read(event: Value, envelope: Value) -> Delivery {
        let mut body = json!({
            "type": "event_callback", "event_id": "Ev1", "team_id": "TOTHER", "event_time": 1,
            "authorizations": [{"enterprise_id": null, "team_id": "T1", "user_id": "UBOT", "is_bot": true,
                                "is_enterprise_install": false}],
            "event": {"type": "message", "channel": "C1", "channel_type": "channel", "user": "U1",
                      "text": "hi", "ts": "1.000001", "team": "T1", "client_msg_id": "m1"},
        });
        merge(&mut body["event"], event);
        merge(&mut body, envelope);
        read_delivery(body.to_string().as_bytes()).unwrap()
    }

    fn merge(target: &mut Value, changes: Value) {
        let Value::Object(changes) = changes else { panic!("changes are an object") };
        for (key, value) in changes {
            target[key] = value;
        }
    }

    fn event(event: Value) -> InboundEvent {
        match read(event, json!({})) {
            Delivery::Event(event) => *event,
            other => panic!("expected an event, got {other:?}"),
        }
    }

    fn outcome(event: Value, envelope: Value) -> Outcome {
        match read(event, envelope) {
            Delivery::Ignored(outcome) => outcome,
            other => panic!("expected it to be ignored, got {other:?}"),
        }
    }

    #[test]
    fn a_dm_is_answered_in_its_own_thread() {
        let dm = event(json!({"channel_type": "im", "channel": "D1"}));
        assert_eq!((dm.tenant_id.as_str(), dm.relevance), ("T1", Relevance::Addressed));
        assert_eq!(dm.thread.thread_ts.as_str(), "1.000001");
        let later = event(json!({"channel_type": "im", "channel": "D1", "thread_ts": "0.5", "ts": "2.0"}));
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
            assert_eq!(event(case.clone()).relevance, Relevance::Addressed, "{case}");
        }
        assert_eq!(event(json!({"thread_ts": "0.5"})).relevance, Relevance::InThreadOfTheBot);
        assert_eq!(outcome(json!({}), json!({})), Outcome::NotAddressed);
    }

    #[test]
    fn what_is_no_persons_message_is_ignored() {
        assert_eq!(outcome(json!({"bot_id": "B1"}), json!({})), Outcome::FromBot);
        assert_eq!(outcome(json!({"user": "UBOT"}), json!({})), Outcome::FromBot);
        for subtype in ["message_changed", "message_deleted", "channel_join", "something_new"] {
            assert_eq!(outcome(json!({"subtype": subtype}), json!({})), Outcome::Unsupported, "{subtype}");
        }
        assert_eq!(outcome(json!({"type": "reaction_added"}), json!({})), Outcome::Unsupported);
        assert_eq!(outcome(json!({}), json!({"type": "app_rate_limited"})), Outcome::Unsupported);
        assert_eq!(outcome(json!({"user": 7}), json!({})), Outcome::Unsupported);
        assert_eq!(outcome(json!({"user": "U\u{0}"}), json!({})), Outcome::Unsupported);
        assert_eq!(outcome(json!({"ts": "1".repeat(3000)}), json!({})), Outcome::Unsupported);
    }

    #[test]
    fn the_tenant_is_the_first_authorization_or_else_the_top() {
        let tenant = |envelope| match read(json!({"type": "app_mention"}), envelope) {
            Delivery::Event(event) => event.tenant_id.into_string(),
            other => panic!("expected an event, got {other:?}"),
        };
        assert_eq!(tenant(json!({})), "T1");
        assert_eq!(tenant(json!({"authorizations": []})), "TOTHER");
        let org = json!([{"enterprise_id": "E1", "team_id": null, "is_enterprise_install": true}]);
        assert_eq!(tenant(json!({"authorizations": org})), "E1");
    }

    #[test]
    fn anything_that_is_json_is_read_without_an_error() {
        for body in ["{}", "[]", "null", "7", "\"x\"", r#"{"type":"event_callback"}"#] {
            assert!(matches!(read_delivery(body.as_bytes()), Ok(Delivery::Ignored(_))), "{body}");
        }
        for body in ["", "{", "payload=%7B%7D", "\u{0}"] {
            assert!(read_delivery(body.as_bytes()).is_err(), "{body}");
        }
        let challenge = read_delivery(br#"{"type":"url_verification","challenge":"c"}"#).unwrap();
        assert!(matches!(challenge, Delivery::UrlVerification { challenge } if challenge == "c"));
    }
}
