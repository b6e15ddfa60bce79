//! Addresses that take the app's answers to a click or a command.
//! Source: <https://docs.slack.dev/interactivity/handling-user-interaction#message_responses>

use std::time::Instant;

use uuid::Uuid;

use super::message::Content;
use super::{Change, World};

/// How often an address takes an answer.
const USES: u8 = 5;

/// Who asked, and where: what an answer is to.
#[derive(Clone)]
pub(crate) struct Asked {
    pub(crate) team: String,
    channel: String,
    user: String,
    /// The message that was clicked, or the one that came as an answer.
    original: Option<String>,
}

/// An address that was given out.
pub(crate) struct ResponseUrl {
    asked: Asked,
    used: u8,
    issued: Instant,
}

/// How an answer is to be shown.
pub(crate) enum Showing {
    /// To the person who asked.
    Private,
    /// To everyone in the channel.
    Public,
    /// Instead of the original.
    Replacing,
}

impl Asked {
    pub(crate) fn new(team: &str, channel: &str, user: &str, original: Option<&str>) -> Self {
        let (team, channel, user) = (team.to_owned(), channel.to_owned(), user.to_owned());
        Self { team, channel, user, original: original.map(str::to_owned) }
    }
}

impl World {
    /// A new address for answers. `kind` is what was asked with, `actions` or `commands`.
    pub(crate) fn response_url(&mut self, kind: &str, asked: Asked) -> String {
        let secret = Uuid::new_v4().simple().to_string();
        let id = 1_000_000_000 + self.response_urls.len();
        let url = format!("{}/{kind}/{}/{id}/{secret}", self.origin(), asked.team);
        self.response_urls.insert(secret, ResponseUrl { asked, used: 0, issued: Instant::now() });
        url
    }

    /// Uses an address up by one answer.
    pub(crate) fn use_response_url(&mut self, team: &str, secret: &str) -> Result<Asked, &'static str> {
        let lifetime = self.settings.response_url_lifetime;
        let known = self.response_urls.get_mut(secret).filter(|known| known.asked.team == team);
        let known = known.ok_or("invalid_url")?;
        if known.issued.elapsed() > lifetime {
            return Err("expired_url");
        }
        if known.used >= USES {
            return Err("used_url");
        }
        known.used += 1;
        Ok(known.asked.clone())
    }

    /// Shows an answer; its message's `ts`, None where the app is no longer installed.
    pub(crate) fn answer(
        &mut self,
        asked: &Asked,
        content: Content,
        showing: Showing,
        thread_ts: Option<&str>,
    ) -> Option<String> {
        let (team, channel) = (asked.team.as_str(), asked.channel.as_str());
        // Outside a thread, unless the answer names one, even to what was clicked in a thread.
        let root =
            thread_ts.filter(|root| self.message_mut(team, channel, root).is_some()).map(str::to_owned);
        match (showing, &asked.original) {
            (Showing::Public, _) => self.post_as_bot(team, channel, root, content),
            (Showing::Replacing, Some(original)) => {
                self.replace(asked, original, content);
                Some(original.clone())
            }
            (Showing::Private | Showing::Replacing, _) => {
                let message = self.bot_message(team, root, content)?;
                Some(self.add_ephemeral(team, channel, asked.user.clone(), message))
            }
        }
    }

    /// Lets a later answer replace this message, if there was none to replace.
    pub(crate) fn remember_answer(&mut self, secret: &str, ts: String) {
        if let Some(known) = self.response_urls.get_mut(secret) {
            known.asked.original.get_or_insert(ts);
        }
    }

    /// Takes the original away, whoever saw it.
    pub(crate) fn withdraw(&mut self, asked: &Asked) {
        let Some(ts) = asked.original.clone() else { return };
        let (team, channel) = (asked.team.clone(), asked.channel.clone());
        let Some(place) = self.channel_mut(&team, &channel) else { return };
        let before = place.ephemerals.len();
        place.ephemerals.retain(|(_, message)| message.ts != ts);
        if place.ephemerals.len() == before {
            self.delete(&team, &channel, &ts);
        } else {
            self.changed(Change::Deleted { team, channel, ts });
        }
    }

    fn replace(&mut self, asked: &Asked, ts: &str, content: Content) {
        let (team, channel) = (asked.team.clone(), asked.channel.clone());
        let place = self.channel_mut(&team, &channel);
        let private =
            place.and_then(|place| place.ephemerals.iter_mut().find(|(_, message)| message.ts == ts));
        let Some((_, message)) = private else { return self.update(&team, &channel, ts, content) };
        message.text = content.text;
        message.markdown = content.markdown;
        message.blocks = content.blocks;
        self.changed(Change::Message { team, channel, ts: ts.to_owned() });
    }
}
