//! `response_url`s that accept the app's responses to a click or a command.
//! Source: <https://docs.slack.dev/interactivity/handling-user-interaction#message_responses>

use std::time::Instant;

use uuid::Uuid;

use super::message::MessageContent;
use super::response_target::{ResponseMode, ResponseTarget, ResponseUrl};
use super::{FakeSlack, StateChange};

/// Responses that a `response_url` accepts.
const MAX_RESPONSE_URL_USES: u8 = 5;

impl FakeSlack {
    /// Issues a new `response_url`. `kind` is `actions` or `commands`.
    pub(crate) fn issue_response_url(&mut self, kind: &str, asked: ResponseTarget) -> String {
        let secret = Uuid::new_v4().simple().to_string();
        let id = 1_000_000_000 + self.response_urls.len();
        let url = format!("{}/{kind}/{}/{id}/{secret}", self.base_url(), asked.team);
        self.response_urls
            .insert(secret, ResponseUrl { target: asked, use_count: 0, issued_at: Instant::now() });
        url
    }

    /// Uses one response of a `response_url`.
    pub(crate) fn consume_response_url(
        &mut self,
        team: &str,
        secret: &str,
    ) -> Result<ResponseTarget, &'static str> {
        let lifetime = self.settings.response_url_lifetime;
        let known = self.response_urls.get_mut(secret).filter(|known| known.target.team == team);
        let known = known.ok_or("invalid_url")?;
        if known.issued_at.elapsed() > lifetime {
            return Err("expired_url");
        }
        if known.use_count >= MAX_RESPONSE_URL_USES {
            return Err("used_url");
        }
        known.use_count += 1;
        Ok(known.target.clone())
    }

    /// Shows a response and returns its `ts`; `None` if the app is no longer installed.
    pub(crate) fn show_response(
        &mut self,
        asked: &ResponseTarget,
        content: MessageContent,
        showing: ResponseMode,
        thread_ts: Option<&str>,
    ) -> Option<String> {
        let (team, channel) = (asked.team.as_str(), asked.channel.as_str());
        // Slack posts outside a thread unless the response names one, even after a click in a thread.
        let root =
            thread_ts.filter(|root| self.message_mut(team, channel, root).is_some()).map(str::to_owned);
        match (showing, &asked.original) {
            (ResponseMode::InChannel, _) => self.post_as_bot(team, channel, root, content),
            (ResponseMode::ReplaceOriginal, Some(original)) => {
                self.replace_original(asked, original, content);
                Some(original.clone())
            }
            (ResponseMode::Ephemeral | ResponseMode::ReplaceOriginal, _) => {
                let message = self.new_bot_message(team, root, content)?;
                Some(self.add_ephemeral(team, channel, asked.user.clone(), message))
            }
        }
    }

    /// Lets a later response replace this message if there was no original.
    pub(crate) fn set_original(&mut self, secret: &str, ts: String) {
        if let Some(known) = self.response_urls.get_mut(secret) {
            known.target.original.get_or_insert(ts);
        }
    }

    /// Deletes the original message.
    pub(crate) fn delete_original(&mut self, asked: &ResponseTarget) {
        let Some(ts) = asked.original.clone() else { return };
        let (team, channel) = (asked.team.clone(), asked.channel.clone());
        let Some(place) = self.channel_mut(&team, &channel) else { return };
        let before = place.ephemerals.len();
        place.ephemerals.retain(|(_, message)| message.ts != ts);
        if place.ephemerals.len() == before {
            self.delete_message(&team, &channel, &ts);
        } else {
            self.notify(StateChange::Deleted { team, channel, ts });
        }
    }

    fn replace_original(&mut self, asked: &ResponseTarget, ts: &str, content: MessageContent) {
        let (team, channel) = (asked.team.clone(), asked.channel.clone());
        let place = self.channel_mut(&team, &channel);
        let private =
            place.and_then(|place| place.ephemerals.iter_mut().find(|(_, message)| message.ts == ts));
        let Some((_, message)) = private else { return self.update_message(&team, &channel, ts, content) };
        message.text = content.text;
        message.is_markdown = content.is_markdown;
        message.blocks = content.blocks;
        self.notify(StateChange::Message { team, channel, ts: ts.to_owned() });
    }
}
