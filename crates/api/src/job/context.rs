//! The means to process one event, and to end it.

use db::threads::{Job, Lease};
use db::{Db, DbError, Tx};
use models::{EventOutcome, MessageTs, UserId};
use serde_json::{Value, json};
use slack::{BotAuth, MessageMetadata};
use tokio_util::sync::CancellationToken;

use crate::job::error::JobError;
use crate::lease::LeaseHandle;

/// The outcome of an event, and the reason where the outcome needs one.
pub(crate) type OutcomeWithReason = (EventOutcome, Option<&'static str>);

/// The event, and the lease, database and bot with which it is processed.
pub(crate) struct JobContext<'a> {
    pub(crate) db: &'a Db,
    pub(crate) slack: &'a slack::Client,
    pub(crate) bot: BotAuth,
    pub(crate) bot_user_id: &'a UserId,
    pub(crate) lease: &'a LeaseHandle,
    pub(crate) job: &'a Job,
    /// Cancelled when a person presses "Stop".
    pub(crate) stop: &'a CancellationToken,
}

impl JobContext<'_> {
    /// Begins a transaction of the tenant.
    pub(crate) async fn begin(&self) -> Result<Tx, DbError> {
        self.db.begin(&self.job.tenant_id).await
    }

    /// Begins a transaction that fails if this worker no longer holds the thread.
    pub(crate) async fn begin_fenced(&self) -> Result<Tx, DbError> {
        begin_fenced(self.db, &self.lease.lease).await
    }

    /// Ends the event; nothing else is stored with it.
    pub(crate) async fn finish(&self, ending: OutcomeWithReason) -> Result<EventOutcome, JobError> {
        finish_event(self.begin_fenced().await?, self.job, ending).await
    }

    /// Returns the `ts` of the thread's first message, unless the event's message is the first itself.
    pub(crate) fn thread_root(&self) -> Option<&MessageTs> {
        let thread_ts = &self.job.thread.thread_ts;
        (self.job.message_ts.as_ref() != Some(thread_ts)).then_some(thread_ts)
    }

    /// Returns the metadata by which the bot's message is found again.
    pub(crate) fn message_metadata(&self, part_start: usize) -> MessageMetadata {
        MessageMetadata { event_id: self.job.event_id.clone(), part_start }
    }

    /// Returns the message's text as people read it.
    pub(crate) fn readable_text(&self, text: &str) -> String {
        slack::unescape_message(text, self.bot_user_id.as_str())
    }

    /// Adds the event's id to the detail of an audit entry.
    pub(crate) fn audit_detail(&self, mut detail: Value) -> Value {
        detail["event_id"] = json!(self.job.event_id);
        detail
    }
}

/// Begins a transaction that fails if the lease is lost.
pub(crate) async fn begin_fenced(db: &Db, lease: &Lease) -> Result<Tx, DbError> {
    let mut tx = db.begin(&lease.tenant_id).await?;
    db::threads::assert_lease(&mut tx, lease).await?;
    Ok(tx)
}

/// Ends the event in this transaction, and commits it.
pub(crate) async fn finish_event(
    mut tx: Tx,
    job: &Job,
    (outcome, reason): OutcomeWithReason,
) -> Result<EventOutcome, JobError> {
    db::events::finish(&mut tx, &job.tenant_id, job.seq, outcome, reason).await?;
    tx.commit().await?;
    Ok(outcome)
}
