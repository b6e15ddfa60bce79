//! The message in Slack that fills with the answer: a stream where Slack takes one, else a message that is updated.
//! Its `ts` is kept as soon as it is known, so that whoever goes on fills the same message.

use std::time::{Duration, Instant};

use db::replies::Progress;
use models::{ChannelId, MessageTs};
use slack::{Buttons, Failure as SlackFailure, NewMessage, NewStream, Part, Recipient, SlackError, Update};

use super::Question;
use crate::fail_point;
use crate::failure::Failure;
use crate::work::Work;

/// Bytes of the answer in one message: below Slack's limit, with room for closing a code fence.
const PART_BYTES: usize = slack::MARKDOWN_LIMIT - 1_000;

/// Between two appends: a workspace has a hundred a minute, for all of its streams.
const APPEND_INTERVAL: Duration = Duration::from_millis(700);

/// Between two updates, as Slack asks (<https://docs.slack.dev/reference/methods/chat.update>).
const UPDATE_INTERVAL: Duration = Duration::from_secs(3);

/// Between two posts: a channel takes about one a second (<https://docs.slack.dev/apis/web-api/rate-limits>).
const POST_INTERVAL: Duration = Duration::from_secs(1);

/// How the current message is filled.
enum Message {
    NotPosted,
    Streaming { ts: MessageTs, since: Instant },
    Posted { ts: MessageTs },
}

pub(super) struct Draft<'a> {
    work: &'a Work<'a>,
    recipient: Option<Recipient<'a>>,
    message: Message,
    /// Where in the text the current message begins.
    part_start: usize,
    /// How far the text is shown.
    shown: usize,
    /// Nothing is sent before this time.
    next_at: Instant,
    /// No further message is posted before this time.
    next_post_at: Instant,
}

impl<'a> Draft<'a> {
    /// Takes up the message of an earlier try, or will post one.
    pub(super) async fn resume(
        work: &'a Work<'a>,
        question: &'a Question,
        progress: &Progress,
    ) -> Result<Self, Failure> {
        let part_start = progress.part_start;
        let ts = match &progress.message_ts {
            None if progress.posting => work.find_posted(part_start).await?,
            known => known.clone(),
        };
        let team_id = question.user_team_id.as_ref().filter(|_| !question.is_dm);
        let recipient = team_id.map(|team_id| Recipient { user_id: &work.job.user_id, team_id });
        let mut draft = Self {
            work,
            recipient,
            message: Message::NotPosted,
            part_start,
            shown: part_start,
            next_at: Instant::now(),
            next_post_at: Instant::now(),
        };
        if let Some(ts) = ts {
            draft.note_posted(&ts).await?;
            draft.stop_quietly(&ts).await?;
            draft.message = Message::Posted { ts };
        }
        Ok(draft)
    }

    /// Shows what there is of the text so far, as often as Slack allows.
    pub(super) async fn show(&mut self, text: &str) -> Result<(), Failure> {
        if Instant::now() < self.next_at || text.len() <= self.shown {
            return Ok(());
        }
        self.stay_within(text);
        if text[self.shown..].trim().is_empty() {
            // Slack takes no message, and no part of one, that is empty to the eye.
            return Ok(());
        }
        let part = self.part(text);
        if part.end < text.len() {
            return self.go_on_behind(text, &part).await;
        }
        let part_text = format!("{}{}", part.prefix, &text[self.part_start..]);
        match &self.message {
            Message::NotPosted => self.post(text, &part_text).await?,
            Message::Streaming { since, .. } if self.is_ending(*since) => {
                let part = self.part_for_ending_stream(text);
                return self.go_on_behind(text, &part).await;
            }
            Message::Streaming { ts, .. } => {
                let ts = ts.clone();
                self.append(&ts, text).await?;
            }
            Message::Posted { ts } => {
                let ts = ts.clone();
                let updated = self.update(&ts, &part_text, Some(Buttons::Stop)).await;
                self.paced(updated, UPDATE_INTERVAL, text.len())?;
            }
        }
        Ok(())
    }

    /// Brings the whole text into Slack, with buttons under its last message.
    pub(super) async fn finish(&mut self, text: &str, buttons: Option<Buttons>) -> Result<(), Failure> {
        let text = text.trim_end();
        self.stay_within(text);
        while self.part_start < text.len() {
            let part = self.part(text);
            let buttons = buttons.filter(|_| part.end == text.len());
            self.complete_part(text, &part, buttons).await?;
        }
        Ok(())
    }

    /// Says something else in the current message, whatever stands there.
    pub(super) async fn replace(&mut self, text: &str, buttons: Option<Buttons>) -> Result<(), Failure> {
        (self.part_start, self.shown) = (0, 0);
        self.finish(text, buttons).await
    }

    /// What of a text is worth keeping when it breaks off: what stands in complete messages, and whole words.
    pub(super) fn worth_keeping<'t>(&self, text: &'t str) -> &'t str {
        let words = text.rfind([' ', '\n']).map_or(0, |at| at + 1);
        &text[..text.floor_char_boundary(words.max(self.part_start))]
    }

    /// A model that is asked again answers in other words: what was shown of the first may end within a character.
    fn stay_within(&mut self, text: &str) {
        self.part_start = text.floor_char_boundary(self.part_start);
        self.shown = text.floor_char_boundary(self.shown).max(self.part_start);
    }

    fn part(&self, text: &str) -> Part {
        slack::next_part(text, self.part_start, self.shown, PART_BYTES)
    }

    /// What is shown, and the whole words that are there by now.
    fn part_for_ending_stream(&self, text: &str) -> Part {
        let words = text[self.shown..].rfind([' ', '\n']).map_or(0, |at| at + 1);
        let limit = self.shown + words - self.part_start;
        slack::next_part(text, self.part_start, self.shown, limit)
    }

    /// Completes a part of an answer of which more will come; whoever goes on begins behind it.
    async fn go_on_behind(&mut self, text: &str, part: &Part) -> Result<(), Failure> {
        self.complete_part(text, part, None).await?;
        let (tenant_id, seq) = (&self.work.job.tenant_id, self.work.job.seq);
        let mut tx = self.work.fenced().await?;
        db::replies::complete_part(&mut tx, tenant_id, seq, &text[..part.end]).await?;
        Ok(tx.commit().await?)
    }

    /// Fills the current message to the part's end and begins with the next.
    async fn complete_part(
        &mut self,
        text: &str,
        part: &Part,
        buttons: Option<Buttons>,
    ) -> Result<(), Failure> {
        let whole = format!("{}{}{}", part.prefix, &text[self.part_start..part.end], part.suffix);
        match std::mem::replace(&mut self.message, Message::NotPosted) {
            Message::NotPosted => {
                self.note_posting().await?;
                let ts = self.post_message(&whole, buttons).await?;
                self.note_posted(&ts).await?;
            }
            Message::Posted { ts } => self.update(&ts, &whole, buttons).await?,
            Message::Streaming { ts, .. } => {
                let rest = format!("{}{}", &text[self.shown.min(part.end)..part.end], part.suffix);
                let (slack, bot) = (&self.work.app.slack, &self.work.bot);
                let metadata = self.work.metadata(self.part_start);
                fail_point::reach("stream_ending");
                let ended = slack.stop_stream(bot, self.channel_id(), &ts, &rest, &metadata, buttons).await;
                fail_point::reach("stream_ended");
                match ended {
                    Ok(()) => {}
                    // It ended without us, or we cannot know: then the text is set as a whole.
                    Err(error) if !is_throttled(&error) => self.update(&ts, &whole, buttons).await?,
                    Err(error) => return Err(error.into()),
                }
            }
        }
        self.part_start = part.end;
        self.shown = part.end;
        Ok(())
    }

    /// Posts the current message: as a stream, or where Slack takes none, as a plain one.
    async fn post(&mut self, text: &str, part_text: &str) -> Result<(), Failure> {
        self.note_posting().await?;
        let stream = NewStream {
            channel_id: self.channel_id(),
            thread_ts: &self.work.job.thread.thread_ts,
            recipient: self.recipient.clone(),
            markdown: part_text,
        };
        let started = self.work.app.slack.start_stream(&self.work.bot, &stream).await;
        let (ts, interval) = match started {
            Ok(ts) => {
                self.message = Message::Streaming { ts: ts.clone(), since: Instant::now() };
                (ts, APPEND_INTERVAL)
            }
            Err(error) if refuses_streams(&error) => {
                tracing::info!("no stream ({error}): the answer is posted and updated");
                let ts = self.post_message(part_text, Some(Buttons::Stop)).await?;
                self.message = Message::Posted { ts: ts.clone() };
                (ts, UPDATE_INTERVAL)
            }
            Err(error) => return Err(self.not_posted(error).await),
        };
        self.note_posted(&ts).await?;
        self.paced(Ok(()), interval, text.len())
    }

    async fn post_message(&self, markdown: &str, buttons: Option<Buttons>) -> Result<MessageTs, Failure> {
        let metadata = self.work.metadata(self.part_start);
        let message = NewMessage {
            channel_id: self.channel_id(),
            thread_ts: Some(&self.work.job.thread.thread_ts),
            markdown,
            metadata: &metadata,
            buttons,
        };
        match self.work.app.slack.post_message(&self.work.bot, &message).await {
            Ok(ts) => Ok(ts),
            Err(error) => Err(self.not_posted(error).await),
        }
    }

    /// A stream that Slack ended, or an append of which nobody knows whether it took effect: from here on the message
    /// is updated as a whole.
    async fn append(&mut self, ts: &MessageTs, text: &str) -> Result<(), Failure> {
        let (slack, bot) = (&self.work.app.slack, &self.work.bot);
        let appended = slack.append_stream(bot, self.channel_id(), ts, &text[self.shown..]).await;
        fail_point::reach("words_appended");
        match appended {
            Err(error) if error.failure() == SlackFailure::Stopped => {
                // Slack says so itself, before or instead of the event.
                self.work.stop.cancel();
                Ok(())
            }
            Err(error) if !is_throttled(&error) => {
                tracing::warn!(error = %error, "a stream ended early; its message is updated instead");
                self.stop_quietly(ts).await?;
                self.message = Message::Posted { ts: ts.clone() };
                Ok(())
            }
            appended => self.paced(appended.map_err(Failure::from), APPEND_INTERVAL, text.len()),
        }
    }

    async fn update(&self, ts: &MessageTs, markdown: &str, buttons: Option<Buttons>) -> Result<(), Failure> {
        let metadata = self.work.metadata(self.part_start);
        let update = Update { channel_id: self.channel_id(), ts, markdown, metadata: &metadata, buttons };
        Ok(self.work.app.slack.update_message(&self.work.bot, &update).await?)
    }

    /// Sets the pace: by the interval after a success, by Slack's word when it held the call back.
    fn paced(
        &mut self,
        result: Result<(), Failure>,
        interval: Duration,
        shown: usize,
    ) -> Result<(), Failure> {
        match result {
            Ok(()) => {
                self.shown = shown;
                self.next_at = Instant::now() + interval;
                Ok(())
            }
            Err(Failure::Slack(SlackError::RateLimited { retry_after, .. })) => {
                self.next_at = Instant::now() + retry_after;
                Ok(())
            }
            Err(failure) => Err(failure),
        }
    }

    /// Ends a stream that may still be open; that it is not, or not any more, is no fault.
    async fn stop_quietly(&self, ts: &MessageTs) -> Result<(), Failure> {
        let (slack, bot) = (&self.work.app.slack, &self.work.bot);
        let metadata = self.work.metadata(self.part_start);
        match slack.stop_stream(bot, self.channel_id(), ts, "", &metadata, None).await {
            Ok(()) | Err(SlackError::Refused { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether a stream would be too old at the next append.
    fn is_ending(&self, since: Instant) -> bool {
        since.elapsed() + APPEND_INTERVAL > self.work.app.max_stream_age
    }

    /// Waits for the message's turn in the channel, and notes that it may stand there from now on.
    async fn note_posting(&mut self) -> Result<(), Failure> {
        tokio::time::sleep_until(self.next_post_at.into()).await;
        self.next_post_at = Instant::now() + POST_INTERVAL;
        fail_point::reach("posting_unnoted");
        let noted_at = Instant::now();
        let mut tx = self.work.fenced().await?;
        let job = self.work.job;
        db::replies::set_posting(&mut tx, &job.tenant_id, job.seq, self.part_start).await?;
        db::threads::renew(&mut tx, &[self.work.held.lease.token]).await?;
        tx.commit().await?;
        self.work.held.confirm(noted_at);
        fail_point::reach("posting_noted");
        Ok(())
    }

    async fn note_posted(&self, ts: &MessageTs) -> Result<(), Failure> {
        fail_point::reach("message_posted");
        let mut tx = self.work.fenced().await?;
        let job = self.work.job;
        db::replies::set_posted(&mut tx, &job.tenant_id, job.seq, ts).await?;
        tx.commit().await?;
        fail_point::reach("message_noted");
        Ok(())
    }

    /// What Slack refused does not stand in the thread, so nobody needs to look for it.
    async fn not_posted(&self, error: SlackError) -> Failure {
        let refused =
            matches!(error, SlackError::RateLimited { .. }) || error.failure() != SlackFailure::Transient;
        let noted = async {
            if refused {
                let mut tx = self.work.fenced().await?;
                db::replies::clear_posting(&mut tx, &self.work.job.tenant_id, self.work.job.seq).await?;
                tx.commit().await?;
            }
            Ok::<_, Failure>(())
        };
        noted.await.err().unwrap_or_else(|| error.into())
    }

    fn channel_id(&self) -> &'a ChannelId {
        &self.work.job.thread.channel_id
    }
}

fn is_throttled(error: &SlackError) -> bool {
    matches!(error, SlackError::RateLimited { .. })
}

/// Held back, or refused for being a stream: a plain message may go through at once.
fn refuses_streams(error: &SlackError) -> bool {
    !matches!(error.failure(), SlackFailure::Transient | SlackFailure::DeadToken | SlackFailure::PlaceGone)
}
