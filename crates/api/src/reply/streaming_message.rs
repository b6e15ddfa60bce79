//! The message in Slack that fills with the answer: a stream if Slack accepts one, otherwise a message that
//! is updated. A long answer continues in further messages.

use std::time::{Duration, Instant};

use db::replies::ReplyProgress;
use models::MessageTs;
use slack::{Buttons, MessageChunk, Recipient, SlackError, SlackErrorKind};

use super::poster::MessagePoster;
use super::progress::load_progress;
use super::recovery::find_posted_message;
use super::target::ReplyTarget;
use crate::fail_point;
use crate::job::error::JobError;

/// Bytes of the answer in one message: below Slack's limit, with room to close a code fence.
const MAX_CHUNK_BYTES: usize = slack::MAX_MARKDOWN_CHARS - 1_000;

/// The interval between two appends. A workspace has a hundred per minute for all of its streams.
const STREAM_APPEND_INTERVAL: Duration = Duration::from_millis(700);

/// The interval between two updates, as Slack asks (<https://docs.slack.dev/reference/methods/chat.update>).
const MESSAGE_UPDATE_INTERVAL: Duration = Duration::from_secs(3);

/// The state of the current message.
enum MessageState {
    NotPosted,
    Streaming { ts: MessageTs, since: Instant },
    Posted { ts: MessageTs },
}

/// The message that is being filled.
pub(super) struct StreamingMessage<'a> {
    poster: MessagePoster<'a>,
    max_stream_age: Duration,
    state: MessageState,
    /// The byte of the text at which the current message begins.
    part_start: usize,
    /// The number of bytes of the text that are shown.
    shown_bytes: usize,
    /// The earliest time of the next append or update.
    next_send_at: Instant,
}

impl<'a> StreamingMessage<'a> {
    /// Continues the message of an earlier try, and returns its progress. A new message is posted with the
    /// first text.
    pub(super) async fn resume(target: &ReplyTarget<'a>) -> Result<(Self, ReplyProgress), JobError> {
        let (context, message) = (target.context, target.message);
        let progress = load_progress(context).await?;
        let part_start = progress.message_start_byte;
        let ts = match &progress.message_ts {
            None if progress.is_posting => find_posted_message(context, part_start).await?,
            known => known.clone(),
        };
        let team_id = message.user_team_id.as_ref().filter(|_| !message.is_dm);
        let recipient = team_id.map(|team_id| Recipient { user_id: &context.job.user_id, team_id });
        let poster = MessagePoster::new(context, recipient);
        let state = match ts {
            Some(ts) => {
                poster.record_posted(&ts).await?;
                poster.stop_stream_if_open(part_start, &ts).await?;
                MessageState::Posted { ts }
            }
            None => MessageState::NotPosted,
        };
        let (max_stream_age, next_send_at) = (target.max_stream_age, Instant::now());
        let reply = Self { poster, max_stream_age, state, part_start, shown_bytes: part_start, next_send_at };
        Ok((reply, progress))
    }

    /// Shows the text so far, as often as Slack allows.
    pub(super) async fn show_progress(&mut self, text: &str) -> Result<(), JobError> {
        if Instant::now() < self.next_send_at || text.len() <= self.shown_bytes {
            return Ok(());
        }
        self.snap_to_char(text);
        if text[self.shown_bytes..].trim().is_empty() {
            // Slack accepts no message, and no part of one, that has only white space.
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
                let updated = self.poster.update(self.part_start, ts, &part_text, Some(Buttons::Stop)).await;
                self.apply_pacing(updated, MESSAGE_UPDATE_INTERVAL, text.len())?;
            }
        }
        Ok(())
    }

    /// Shows the whole text, with buttons under its last message.
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

    /// Replaces whatever the current message holds.
    pub(super) async fn replace(&mut self, text: &str, buttons: Option<Buttons>) -> Result<(), JobError> {
        (self.part_start, self.shown_bytes) = (0, 0);
        self.finish(text, buttons).await
    }

    /// Returns the part of a text that is kept when it breaks off: complete messages, and whole words.
    pub(super) fn resumable_prefix<'t>(&self, text: &'t str) -> &'t str {
        let words = text.rfind([' ', '\n']).map_or(0, |at| at + 1);
        &text[..text.floor_char_boundary(words.max(self.part_start))]
    }

    /// Moves the positions to character boundaries of this text: a model that is asked again writes another
    /// text.
    fn snap_to_char(&mut self, text: &str) {
        self.part_start = text.floor_char_boundary(self.part_start);
        self.shown_bytes = text.floor_char_boundary(self.shown_bytes).max(self.part_start);
    }

    fn next_chunk(&self, text: &str) -> MessageChunk {
        slack::next_chunk(text, self.part_start, self.shown_bytes, MAX_CHUNK_BYTES)
    }

    /// Returns the chunk that ends with the last whole word so far.
    fn last_stream_chunk(&self, text: &str) -> MessageChunk {
        let words = text[self.shown_bytes..].rfind([' ', '\n']).map_or(0, |at| at + 1);
        let limit = self.shown_bytes + words - self.part_start;
        slack::next_chunk(text, self.part_start, self.shown_bytes, limit)
    }

    /// Completes a message of an answer that continues in the next one. A retry begins there.
    async fn continue_in_next_message(&mut self, text: &str, part: &MessageChunk) -> Result<(), JobError> {
        self.complete_message(text, part, None).await?;
        let job = self.poster.context.job;
        let mut tx = self.poster.context.begin_fenced().await?;
        db::replies::complete_message(&mut tx, &job.tenant_id, job.seq, &text[..part.end]).await?;
        Ok(tx.commit().await?)
    }

    /// Fills the current message to the end of the chunk, and moves on to the next.
    async fn complete_message(
        &mut self,
        text: &str,
        part: &MessageChunk,
        buttons: Option<Buttons>,
    ) -> Result<(), JobError> {
        let start = self.part_start;
        let whole = format!("{}{}{}", part.prefix, &text[start..part.end], part.suffix);
        match std::mem::replace(&mut self.state, MessageState::NotPosted) {
            MessageState::NotPosted => {
                self.poster.record_posting(start).await?;
                let ts = self.poster.post(start, &whole, buttons).await?;
                self.poster.record_posted(&ts).await?;
            }
            MessageState::Posted { ts } => self.poster.update(start, &ts, &whole, buttons).await?,
            MessageState::Streaming { ts, .. } => {
                let rest = format!("{}{}", &text[self.shown_bytes.min(part.end)..part.end], part.suffix);
                fail_point::reach("stream_ending");
                let ended = self.poster.stop_stream(start, &ts, &rest, buttons).await;
                fail_point::reach("stream_ended");
                match ended {
                    Ok(()) => {}
                    // The stream ended before, or its state is unknown: then the whole text is set.
                    Err(error) if !is_rate_limited(&error) => {
                        self.poster.update(start, &ts, &whole, buttons).await?
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
        self.part_start = part.end;
        self.shown_bytes = part.end;
        Ok(())
    }

    /// Posts the current message: as a stream, or as a plain message if Slack refuses a stream.
    async fn post_first(&mut self, text: &str, part_text: &str) -> Result<(), JobError> {
        self.poster.record_posting(self.part_start).await?;
        let (ts, interval) = match self.poster.start_stream(part_text).await? {
            Some(ts) => {
                self.state = MessageState::Streaming { ts: ts.clone(), since: Instant::now() };
                (ts, STREAM_APPEND_INTERVAL)
            }
            None => {
                let ts = self.poster.post(self.part_start, part_text, Some(Buttons::Stop)).await?;
                self.state = MessageState::Posted { ts: ts.clone() };
                (ts, MESSAGE_UPDATE_INTERVAL)
            }
        };
        self.poster.record_posted(&ts).await?;
        self.apply_pacing(Ok(()), interval, text.len())
    }

    /// Appends the new text to the stream. If Slack has ended the stream, or it is unknown whether the append
    /// took effect, the message is updated as a whole from now on.
    async fn append(&mut self, ts: &MessageTs, text: &str) -> Result<(), JobError> {
        match self.poster.append_stream(ts, &text[self.shown_bytes..]).await {
            Err(error) if error.kind() == SlackErrorKind::StoppedByUser => {
                // Slack reports the stop here before, or instead of, the event.
                self.poster.context.stop.cancel();
                Ok(())
            }
            Err(error) if !is_rate_limited(&error) => {
                tracing::warn!(error = %error, "stream ended early; its message is updated instead");
                self.poster.stop_stream_if_open(self.part_start, ts).await?;
                self.state = MessageState::Posted { ts: ts.clone() };
                Ok(())
            }
            appended => {
                self.apply_pacing(appended.map_err(JobError::from), STREAM_APPEND_INTERVAL, text.len())
            }
        }
    }

    /// Sets the time of the next call: after the interval, or after the pause that Slack's rate limit asks
    /// for.
    fn apply_pacing(
        &mut self,
        result: Result<(), JobError>,
        interval: Duration,
        shown_bytes: usize,
    ) -> Result<(), JobError> {
        match result {
            Ok(()) => {
                self.shown_bytes = shown_bytes;
                self.next_send_at = Instant::now() + interval;
                Ok(())
            }
            Err(JobError::Slack(SlackError::RateLimited { retry_after, .. })) => {
                self.next_send_at = Instant::now() + retry_after;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Returns whether the stream would be too old at the next append.
    fn is_stream_expiring(&self, since: Instant) -> bool {
        since.elapsed() + STREAM_APPEND_INTERVAL > self.max_stream_age
    }
}

fn is_rate_limited(error: &SlackError) -> bool {
    matches!(error, SlackError::RateLimited { .. })
}
