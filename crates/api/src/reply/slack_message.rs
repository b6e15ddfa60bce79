//! The message in Slack that fills with the answer: a stream where Slack takes one, else a message that is updated.
//! Its `ts` is kept as soon as it is known, so that whoever goes on fills the same message.

use std::time::{Duration, Instant};

use db::replies::ReplyProgress;
use models::{ChannelId, MessageTs};
use slack::{
    Buttons, MessageChunk, MessageUpdate, NewMessage, NewStream, Recipient, SlackError, SlackErrorKind,
};

use super::IncomingMessage;
use crate::fail_point;
use crate::job_context::JobContext;
use crate::job_error::JobError;

/// Bytes of the answer in one message: below Slack's limit, with room for closing a code fence.
const MAX_CHUNK_BYTES: usize = slack::MAX_MARKDOWN_CHARS - 1_000;

/// Between two appends: a workspace has a hundred a minute, for all of its streams.
const STREAM_APPEND_INTERVAL: Duration = Duration::from_millis(700);

/// Between two updates, as Slack asks (<https://docs.slack.dev/reference/methods/chat.update>).
const MESSAGE_UPDATE_INTERVAL: Duration = Duration::from_secs(3);

/// Between two posts: a channel takes about one a second (<https://docs.slack.dev/apis/web-api/rate-limits>).
const MESSAGE_POST_INTERVAL: Duration = Duration::from_secs(1);

/// How the current message is filled.
enum MessageState {
    NotPosted,
    Streaming { ts: MessageTs, since: Instant },
    Posted { ts: MessageTs },
}

pub(super) struct StreamingMessage<'a> {
    context: &'a JobContext<'a>,
    recipient: Option<Recipient<'a>>,
    state: MessageState,
    /// Where in the text the current message begins.
    part_start: usize,
    /// How far the text is shown.
    shown_bytes: usize,
    /// Nothing is sent before this time.
    next_send_at: Instant,
    /// No further message is posted before this time.
    next_post_at: Instant,
}

impl<'a> StreamingMessage<'a> {
    /// Takes up the message of an earlier try, or will post one.
    pub(super) async fn resume(
        work: &'a JobContext<'a>,
        question: &'a IncomingMessage,
        progress: &ReplyProgress,
    ) -> Result<Self, JobError> {
        let part_start = progress.part_start;
        let ts = match &progress.message_ts {
            None if progress.is_posting => work.find_posted_message(part_start).await?,
            known => known.clone(),
        };
        let team_id = question.user_team_id.as_ref().filter(|_| !question.is_dm);
        let recipient = team_id.map(|team_id| Recipient { user_id: &work.job.user_id, team_id });
        let mut draft = Self {
            context: work,
            recipient,
            state: MessageState::NotPosted,
            part_start,
            shown_bytes: part_start,
            next_send_at: Instant::now(),
            next_post_at: Instant::now(),
        };
        if let Some(ts) = ts {
            draft.record_posted(&ts).await?;
            draft.stop_stream_quietly(&ts).await?;
            draft.state = MessageState::Posted { ts };
        }
        Ok(draft)
    }

    /// Shows what there is of the text so far, as often as Slack allows.
    pub(super) async fn show_progress(&mut self, text: &str) -> Result<(), JobError> {
        if Instant::now() < self.next_send_at || text.len() <= self.shown_bytes {
            return Ok(());
        }
        self.snap_to_char(text);
        if text[self.shown_bytes..].trim().is_empty() {
            // Slack takes no message, and no part of one, that is empty to the eye.
            return Ok(());
        }
        let part = self.next_chunk(text);
        if part.end < text.len() {
            return self.continue_in_next_message(text, &part).await;
        }
        let part_text = format!("{}{}", part.prefix, &text[self.part_start..]);
        match &self.state {
            MessageState::NotPosted => self.post_first(text, &part_text).await?,
            MessageState::Streaming { since, .. } if self.is_stream_expiring(*since) => {
                let part = self.last_stream_chunk(text);
                return self.continue_in_next_message(text, &part).await;
            }
            MessageState::Streaming { ts, .. } => {
                let ts = ts.clone();
                self.append(&ts, text).await?;
            }
            MessageState::Posted { ts } => {
                let ts = ts.clone();
                let updated = self.update_posted(&ts, &part_text, Some(Buttons::Stop)).await;
                self.apply_pacing(updated, MESSAGE_UPDATE_INTERVAL, text.len())?;
            }
        }
        Ok(())
    }

    /// Brings the whole text into Slack, with buttons under its last message.
    pub(super) async fn finish(&mut self, text: &str, buttons: Option<Buttons>) -> Result<(), JobError> {
        let text = text.trim_end();
        self.snap_to_char(text);
        while self.part_start < text.len() {
            let part = self.next_chunk(text);
            let buttons = buttons.filter(|_| part.end == text.len());
            self.complete_message(text, &part, buttons).await?;
        }
        Ok(())
    }

    /// Says something else in the current message, whatever stands there.
    pub(super) async fn replace(&mut self, text: &str, buttons: Option<Buttons>) -> Result<(), JobError> {
        (self.part_start, self.shown_bytes) = (0, 0);
        self.finish(text, buttons).await
    }

    /// What of a text is worth keeping when it breaks off: what stands in complete messages, and whole words.
    pub(super) fn resumable_prefix<'t>(&self, text: &'t str) -> &'t str {
        let words = text.rfind([' ', '\n']).map_or(0, |at| at + 1);
        &text[..text.floor_char_boundary(words.max(self.part_start))]
    }

    /// A model that is asked again answers in other words: what was shown of the first may end within a character.
    fn snap_to_char(&mut self, text: &str) {
        self.part_start = text.floor_char_boundary(self.part_start);
        self.shown_bytes = text.floor_char_boundary(self.shown_bytes).max(self.part_start);
    }

    fn next_chunk(&self, text: &str) -> MessageChunk {
        slack::next_chunk(text, self.part_start, self.shown_bytes, MAX_CHUNK_BYTES)
    }

    /// What is shown, and the whole words that are there by now.
    fn last_stream_chunk(&self, text: &str) -> MessageChunk {
        let words = text[self.shown_bytes..].rfind([' ', '\n']).map_or(0, |at| at + 1);
        let limit = self.shown_bytes + words - self.part_start;
        slack::next_chunk(text, self.part_start, self.shown_bytes, limit)
    }

    /// Completes a part of an answer of which more will come; whoever goes on begins behind it.
    async fn continue_in_next_message(&mut self, text: &str, part: &MessageChunk) -> Result<(), JobError> {
        self.complete_message(text, part, None).await?;
        let (tenant_id, seq) = (&self.context.job.tenant_id, self.context.job.seq);
        let mut tx = self.context.begin_fenced().await?;
        db::replies::complete_message(&mut tx, tenant_id, seq, &text[..part.end]).await?;
        Ok(tx.commit().await?)
    }

    /// Fills the current message to the part's end and begins with the next.
    async fn complete_message(
        &mut self,
        text: &str,
        part: &MessageChunk,
        buttons: Option<Buttons>,
    ) -> Result<(), JobError> {
        let whole = format!("{}{}{}", part.prefix, &text[self.part_start..part.end], part.suffix);
        match std::mem::replace(&mut self.state, MessageState::NotPosted) {
            MessageState::NotPosted => {
                self.record_posting().await?;
                let ts = self.post_message(&whole, buttons).await?;
                self.record_posted(&ts).await?;
            }
            MessageState::Posted { ts } => self.update_posted(&ts, &whole, buttons).await?,
            MessageState::Streaming { ts, .. } => {
                let rest = format!("{}{}", &text[self.shown_bytes.min(part.end)..part.end], part.suffix);
                let (slack, bot) = (&self.context.app.slack, &self.context.bot);
                let metadata = self.context.message_metadata(self.part_start);
                fail_point::reach("stream_ending");
                let ended = slack.stop_stream(bot, self.channel_id(), &ts, &rest, &metadata, buttons).await;
                fail_point::reach("stream_ended");
                match ended {
                    Ok(()) => {}
                    // It ended without us, or we cannot know: then the text is set as a whole.
                    Err(error) if !is_rate_limited(&error) => {
                        self.update_posted(&ts, &whole, buttons).await?
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
        self.part_start = part.end;
        self.shown_bytes = part.end;
        Ok(())
    }

    /// Posts the current message: as a stream, or where Slack takes none, as a plain one.
    async fn post_first(&mut self, text: &str, part_text: &str) -> Result<(), JobError> {
        self.record_posting().await?;
        let stream = NewStream {
            channel_id: self.channel_id(),
            thread_ts: &self.context.job.thread.thread_ts,
            recipient: self.recipient.clone(),
            markdown: part_text,
        };
        let started = self.context.app.slack.start_stream(&self.context.bot, &stream).await;
        let (ts, interval) = match started {
            Ok(ts) => {
                self.state = MessageState::Streaming { ts: ts.clone(), since: Instant::now() };
                (ts, STREAM_APPEND_INTERVAL)
            }
            Err(error) if is_stream_refused(&error) => {
                tracing::info!("no stream ({error}): the answer is posted and updated");
                let ts = self.post_message(part_text, Some(Buttons::Stop)).await?;
                self.state = MessageState::Posted { ts: ts.clone() };
                (ts, MESSAGE_UPDATE_INTERVAL)
            }
            Err(error) => return Err(self.handle_post_error(error).await),
        };
        self.record_posted(&ts).await?;
        self.apply_pacing(Ok(()), interval, text.len())
    }

    async fn post_message(&self, markdown: &str, buttons: Option<Buttons>) -> Result<MessageTs, JobError> {
        let metadata = self.context.message_metadata(self.part_start);
        let message = NewMessage {
            channel_id: self.channel_id(),
            thread_ts: Some(&self.context.job.thread.thread_ts),
            markdown,
            metadata: &metadata,
            buttons,
        };
        match self.context.app.slack.post_message(&self.context.bot, &message).await {
            Ok(ts) => Ok(ts),
            Err(error) => Err(self.handle_post_error(error).await),
        }
    }

    /// A stream that Slack ended, or an append of which nobody knows whether it took effect: from here on the message
    /// is updated as a whole.
    async fn append(&mut self, ts: &MessageTs, text: &str) -> Result<(), JobError> {
        let (slack, bot) = (&self.context.app.slack, &self.context.bot);
        let appended = slack.append_stream(bot, self.channel_id(), ts, &text[self.shown_bytes..]).await;
        fail_point::reach("words_appended");
        match appended {
            Err(error) if error.kind() == SlackErrorKind::StoppedByUser => {
                // Slack says so itself, before or instead of the event.
                self.context.stop_token.cancel();
                Ok(())
            }
            Err(error) if !is_rate_limited(&error) => {
                tracing::warn!(error = %error, "a stream ended early; its message is updated instead");
                self.stop_stream_quietly(ts).await?;
                self.state = MessageState::Posted { ts: ts.clone() };
                Ok(())
            }
            appended => {
                self.apply_pacing(appended.map_err(JobError::from), STREAM_APPEND_INTERVAL, text.len())
            }
        }
    }

    async fn update_posted(
        &self,
        ts: &MessageTs,
        markdown: &str,
        buttons: Option<Buttons>,
    ) -> Result<(), JobError> {
        let metadata = self.context.message_metadata(self.part_start);
        let update =
            MessageUpdate { channel_id: self.channel_id(), ts, markdown, metadata: &metadata, buttons };
        Ok(self.context.app.slack.update_message(&self.context.bot, &update).await?)
    }

    /// Sets the pace: by the interval after a success, by Slack's word when it held the call back.
    fn apply_pacing(
        &mut self,
        result: Result<(), JobError>,
        interval: Duration,
        shown: usize,
    ) -> Result<(), JobError> {
        match result {
            Ok(()) => {
                self.shown_bytes = shown;
                self.next_send_at = Instant::now() + interval;
                Ok(())
            }
            Err(JobError::Slack(SlackError::RateLimited { retry_after, .. })) => {
                self.next_send_at = Instant::now() + retry_after;
                Ok(())
            }
            Err(failure) => Err(failure),
        }
    }

    /// Ends a stream that may still be open; that it is not, or not any more, is no fault.
    async fn stop_stream_quietly(&self, ts: &MessageTs) -> Result<(), JobError> {
        let (slack, bot) = (&self.context.app.slack, &self.context.bot);
        let metadata = self.context.message_metadata(self.part_start);
        match slack.stop_stream(bot, self.channel_id(), ts, "", &metadata, None).await {
            Ok(()) | Err(SlackError::Api { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether a stream would be too old at the next append.
    fn is_stream_expiring(&self, since: Instant) -> bool {
        since.elapsed() + STREAM_APPEND_INTERVAL > self.context.app.max_stream_age
    }

    /// Waits for the message's turn in the channel, and notes that it may stand there from now on.
    async fn record_posting(&mut self) -> Result<(), JobError> {
        tokio::time::sleep_until(self.next_post_at.into()).await;
        self.next_post_at = Instant::now() + MESSAGE_POST_INTERVAL;
        fail_point::reach("posting_unnoted");
        let noted_at = Instant::now();
        let mut tx = self.context.begin_fenced().await?;
        let job = self.context.job;
        db::replies::set_posting(&mut tx, &job.tenant_id, job.seq, self.part_start).await?;
        db::threads::renew(&mut tx, &[self.context.lease_handle.lease.token]).await?;
        tx.commit().await?;
        self.context.lease_handle.confirm_renewal(noted_at);
        fail_point::reach("posting_noted");
        Ok(())
    }

    async fn record_posted(&self, ts: &MessageTs) -> Result<(), JobError> {
        fail_point::reach("message_posted");
        let mut tx = self.context.begin_fenced().await?;
        let job = self.context.job;
        db::replies::set_posted(&mut tx, &job.tenant_id, job.seq, ts).await?;
        tx.commit().await?;
        fail_point::reach("message_noted");
        Ok(())
    }

    /// What Slack refused does not stand in the thread, so nobody needs to look for it.
    async fn handle_post_error(&self, error: SlackError) -> JobError {
        let refused =
            matches!(error, SlackError::RateLimited { .. }) || error.kind() != SlackErrorKind::Transient;
        let noted = async {
            if refused {
                let mut tx = self.context.begin_fenced().await?;
                db::replies::clear_posting(&mut tx, &self.context.job.tenant_id, self.context.job.seq)
                    .await?;
                tx.commit().await?;
            }
            Ok::<_, JobError>(())
        };
        noted.await.err().unwrap_or_else(|| error.into())
    }

    fn channel_id(&self) -> &'a ChannelId {
        &self.context.job.thread.channel_id
    }
}

fn is_rate_limited(error: &SlackError) -> bool {
    matches!(error, SlackError::RateLimited { .. })
}

/// Held back, or refused for being a stream: a plain message may go through at once.
fn is_stream_refused(error: &SlackError) -> bool {
    !matches!(
        error.kind(),
        SlackErrorKind::Transient | SlackErrorKind::TokenRevoked | SlackErrorKind::ChannelUnavailable
    )
}
