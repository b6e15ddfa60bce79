//! The calls to Slack that create and fill one message of a reply. Before a post its intent is stored, and
//! after it the message's `ts`, so that a retry fills the same message.

use std::time::{Duration, Instant};

use models::{ChannelId, MessageTs};
use slack::{Buttons, MessageUpdate, NewMessage, NewStream, Recipient, SlackError, SlackErrorKind};

use crate::fail_point;
use crate::job::context::JobContext;
use crate::job::error::JobError;

/// The interval between two posts. A channel takes about one per second
/// (<https://docs.slack.dev/apis/web-api/rate-limits>).
const MESSAGE_POST_INTERVAL: Duration = Duration::from_secs(1);

/// Posts, updates and streams messages in the event's thread. A message is identified by `part_start`, the
/// byte of the reply at which it begins.
pub(super) struct MessagePoster<'a> {
    pub(super) context: &'a JobContext<'a>,
    recipient: Option<Recipient<'a>>,
    /// The earliest time of the next post.
    next_post_at: Instant,
}

impl<'a> MessagePoster<'a> {
    pub(super) fn new(context: &'a JobContext<'a>, recipient: Option<Recipient<'a>>) -> Self {
        Self { context, recipient, next_post_at: Instant::now() }
    }

    /// Waits for the channel's rate limit, then stores that the message may exist from now on.
    pub(super) async fn record_posting(&mut self, part_start: usize) -> Result<(), JobError> {
        tokio::time::sleep_until(self.next_post_at.into()).await;
        self.next_post_at = Instant::now() + MESSAGE_POST_INTERVAL;
        fail_point::reach("posting_unnoted");
        let JobContext { job, lease, .. } = self.context;
        let begun_at = Instant::now();
        let mut tx = self.context.begin_fenced().await?;
        db::replies::set_posting(&mut tx, &job.tenant_id, job.seq, part_start).await?;
        db::threads::renew(&mut tx, &[lease.lease.token]).await?;
        tx.commit().await?;
        lease.confirm_renewal(begun_at);
        fail_point::reach("posting_noted");
        Ok(())
    }

    /// Stores the message's `ts`.
    pub(super) async fn record_posted(&self, ts: &MessageTs) -> Result<(), JobError> {
        fail_point::reach("message_posted");
        let job = self.context.job;
        let mut tx = self.context.begin_fenced().await?;
        db::replies::set_posted(&mut tx, &job.tenant_id, job.seq, ts).await?;
        tx.commit().await?;
        fail_point::reach("message_noted");
        Ok(())
    }

    /// Posts a plain message.
    pub(super) async fn post(
        &self,
        part_start: usize,
        markdown: &str,
        buttons: Option<Buttons>,
    ) -> Result<MessageTs, JobError> {
        let metadata = self.context.message_metadata(part_start);
        let message = NewMessage {
            channel_id: self.channel_id(),
            thread_ts: Some(&self.context.job.thread.thread_ts),
            markdown,
            metadata: &metadata,
            buttons,
        };
        match self.context.slack.post_message(&self.context.bot, &message).await {
            Ok(ts) => Ok(ts),
            Err(error) => Err(self.handle_post_error(error).await),
        }
    }

    /// Replaces the text of a message.
    pub(super) async fn update(
        &self,
        part_start: usize,
        ts: &MessageTs,
        markdown: &str,
        buttons: Option<Buttons>,
    ) -> Result<(), JobError> {
        let metadata = self.context.message_metadata(part_start);
        let channel_id = self.channel_id();
        let update = MessageUpdate { channel_id, ts, markdown, metadata: &metadata, buttons };
        Ok(self.context.slack.update_message(&self.context.bot, &update).await?)
    }

    /// Starts a stream; `None` if Slack refuses a stream, but may accept a plain message.
    pub(super) async fn start_stream(&self, markdown: &str) -> Result<Option<MessageTs>, JobError> {
        let stream = NewStream {
            channel_id: self.channel_id(),
            thread_ts: &self.context.job.thread.thread_ts,
            recipient: self.recipient.clone(),
            markdown,
        };
        match self.context.slack.start_stream(&self.context.bot, &stream).await {
            Ok(ts) => Ok(Some(ts)),
            Err(error) if is_stream_refused(&error) => {
                tracing::info!("stream refused, the reply is posted and updated: {error}");
                Ok(None)
            }
            Err(error) => Err(self.handle_post_error(error).await),
        }
    }

    pub(super) async fn append_stream(&self, ts: &MessageTs, markdown: &str) -> Result<(), SlackError> {
        let JobContext { slack, bot, .. } = self.context;
        let appended = slack.append_stream(bot, self.channel_id(), ts, markdown).await;
        fail_point::reach("words_appended");
        appended
    }

    pub(super) async fn stop_stream(
        &self,
        part_start: usize,
        ts: &MessageTs,
        rest: &str,
        buttons: Option<Buttons>,
    ) -> Result<(), SlackError> {
        let JobContext { slack, bot, .. } = self.context;
        let metadata = self.context.message_metadata(part_start);
        slack.stop_stream(bot, self.channel_id(), ts, rest, &metadata, buttons).await
    }

    /// Stops a stream that may still be open. It is no error if it is not.
    pub(super) async fn stop_stream_if_open(
        &self,
        part_start: usize,
        ts: &MessageTs,
    ) -> Result<(), JobError> {
        match self.stop_stream(part_start, ts, "", None).await {
            Ok(()) | Err(SlackError::Api { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Clears the stored intent if Slack refused the post: then no retry needs to look for the message.
    async fn handle_post_error(&self, error: SlackError) -> JobError {
        let is_refused =
            matches!(error, SlackError::RateLimited { .. }) || error.kind() != SlackErrorKind::Transient;
        let cleared = async {
            if is_refused {
                let job = self.context.job;
                let mut tx = self.context.begin_fenced().await?;
                db::replies::clear_posting(&mut tx, &job.tenant_id, job.seq).await?;
                tx.commit().await?;
            }
            Ok::<_, JobError>(())
        };
        cleared.await.err().unwrap_or_else(|| error.into())
    }

    fn channel_id(&self) -> &'a ChannelId {
        &self.context.job.thread.channel_id
    }
}

/// Returns whether a plain message may be accepted where a stream was not: it has another rate limit.
fn is_stream_refused(error: &SlackError) -> bool {
    !matches!(
        error.kind(),
        SlackErrorKind::Transient | SlackErrorKind::TokenRevoked | SlackErrorKind::ChannelUnavailable
    )
}
