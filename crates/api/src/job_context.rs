//! One event in work: with whose bot, under which lease, and what is done for each kind of event.

use db::audit_log::AuditAction;
use db::installations::StoredInstallation;
use db::settings::TenantConfig;
use db::threads::{Job, Lease};
use db::workspaces::WorkspaceSnapshot;
use db::{DbError, Tx};
use models::{EventOutcome, EventPayload, Installation};
use serde_json::json;
use slack::{BotAuth, MessageMetadata, SlackError};
use tokio_util::sync::CancellationToken;

use crate::job_error::{COMMAND_FAILED_TEXT, JobError, SLACK_REJECTED_TEXT};
use crate::reply::IncomingMessage;
use crate::state::ApiState;
use crate::worker::LeaseHandle;
use crate::{lifecycle, token_refresh};

/// What an event is worked on with.
pub(crate) struct JobContext<'a> {
    pub(crate) app: &'a ApiState,
    pub(crate) lease_handle: &'a LeaseHandle,
    pub(crate) job: &'a Job,
    /// Cancelled when somebody presses "Stop".
    pub(crate) stop_token: &'a CancellationToken,
    pub(crate) installation: Installation,
    pub(crate) bot: BotAuth,
    /// How the workspace wants its bot.
    pub(crate) config: TenantConfig,
    installed: StoredInstallation,
}

/// How an event ended, and why, where that is not plain.
pub(crate) type OutcomeWithReason = (EventOutcome, Option<&'static str>);

/// What an event asks for, and where that stands in its trace.
pub(crate) async fn open_body(app: &ApiState, job: &Job) -> Result<(EventPayload, Option<String>), DbError> {
    let mut tx = app.db.begin(&job.tenant_id).await?;
    db::events::open_payload(&mut tx, &job.tenant_id, job.seq, &job.sealed_payload).await
}

/// Does what an event asks for, or goes on where an earlier try stopped.
pub(crate) async fn run_job(
    app: &ApiState,
    held: &LeaseHandle,
    job: &Job,
    body: Result<EventPayload, DbError>,
    stop: &CancellationToken,
) -> Result<EventOutcome, JobError> {
    let body = match body {
        Ok(body) => body,
        // With a tenant its key goes too, and nothing opens any more.
        Err(error) => return lifecycle::finish_orphan(app, &held.lease, job, error).await,
    };
    // What ends an installation needs no token that works.
    match body {
        EventPayload::Uninstalled { event_time } => {
            lifecycle::uninstall(app, &held.lease, job, event_time).await
        }
        EventPayload::TokensRevoked { event_time, bot_user_ids } => {
            lifecycle::revoke_tokens(app, &held.lease, job, event_time, &bot_user_ids).await
        }
        EventPayload::TeamAccess { is_granted: granted, team_ids } => {
            lifecycle::set_team_access(app, &held.lease, job, granted, &team_ids).await
        }
        body => {
            let work = JobContext::load(app, held, job, stop, &body).await?;
            match work.dispatch(body).await {
                Ok(outcome) => Ok(outcome),
                Err(failure) => Err(work.classify_error(failure).await),
            }
        }
    }
}

/// Tells the person that there will be no answer, in the message of the answer if it has begun, and clears the status.
pub(crate) async fn send_failure_notice(
    app: &ApiState,
    held: &LeaseHandle,
    job: &Job,
    sentence: Option<&'static str>,
) -> Result<(), JobError> {
    let (body, _) = open_body(app, job).await?;
    let never = CancellationToken::new();
    let work = JobContext::load(app, held, job, &never, &body).await?;
    match body {
        EventPayload::Message(message) => {
            work.post_failure_notice(IncomingMessage::new(message), sentence).await
        }
        EventPayload::Command { response_url, .. } => {
            work.respond(&response_url, sentence.unwrap_or(COMMAND_FAILED_TEXT)).await
        }
        _ => Ok(()),
    }
}

impl<'a> JobContext<'a> {
    async fn load(
        app: &'a ApiState,
        held: &'a LeaseHandle,
        job: &'a Job,
        stop: &'a CancellationToken,
        body: &EventPayload,
    ) -> Result<Self, JobError> {
        let WorkspaceSnapshot { installed, settings } =
            token_refresh::load_with_valid_token(app, &job.tenant_id).await?;
        let bot = BotAuth {
            tenant_id: job.tenant_id.clone(),
            token: installed.bot_token.clone(),
            team_id: body.team_id().cloned(),
            send_guard: Some(held.send_guard()),
        };
        let installation = installed.installation.clone();
        Ok(Self {
            app,
            lease_handle: held,
            job,
            stop_token: stop,
            installation,
            bot,
            config: settings,
            installed,
        })
    }

    async fn dispatch(&self, body: EventPayload) -> Result<EventOutcome, JobError> {
        match body {
            EventPayload::Message(message) => self.answer_message(IncomingMessage::new(message)).await,
            EventPayload::Welcome => self.send_welcome().await,
            EventPayload::TeamJoined { .. } => self.greet_person(None).await,
            EventPayload::ConversationOpened { channel_id, thread_ts, .. } => {
                self.open_conversation(&channel_id, thread_ts.as_ref()).await
            }
            EventPayload::HomeOpened { .. } => self.publish_home().await,
            EventPayload::ContextChanged { channel_id } => self.record_context(channel_id.as_ref()).await,
            EventPayload::Feedback { event_id, is_positive: positive } => {
                self.record_feedback(&event_id, positive).await
            }
            EventPayload::TryAgain { event_id } => self.redrive_event(&event_id).await,
            EventPayload::Command { text, response_url, .. } => self.run_command(&text, &response_url).await,
            EventPayload::Uninstalled { .. }
            | EventPayload::TokensRevoked { .. }
            | EventPayload::TeamAccess { .. } => Err(JobError::fatal_silent("an event without a bot")),
        }
    }

    /// The installation as it stands, for those who look at it.
    pub(crate) fn installed(&self) -> &StoredInstallation {
        &self.installed
    }

    /// A transaction in which this worker holds the thread.
    pub(crate) async fn begin_fenced(&self) -> Result<Tx, JobError> {
        begin_fenced(self.app, &self.lease_handle.lease).await
    }

    /// Ends the event; nothing else is to be stored with it.
    pub(crate) async fn finish_event(
        &self,
        (outcome, reason): OutcomeWithReason,
    ) -> Result<EventOutcome, JobError> {
        let mut tx = self.begin_fenced().await?;
        db::events::finish(&mut tx, &self.job.tenant_id, self.job.seq, outcome, reason).await?;
        tx.commit().await?;
        Ok(outcome)
    }

    pub(crate) fn message_metadata(&self, part_start: usize) -> MessageMetadata {
        MessageMetadata { event_id: self.job.event_id.clone(), part_start }
    }

    /// Sorts Slack's refusals, and notes for an admin what only an admin can mend.
    async fn classify_error(&self, failure: JobError) -> JobError {
        let JobError::Slack(error) = failure else { return failure };
        let noted = match error.kind() {
            slack::SlackErrorKind::RateLimited(after) => {
                return JobError::Throttled { reason: error.to_string(), after };
            }
            slack::SlackErrorKind::Transient => return JobError::retry(error),
            slack::SlackErrorKind::InvalidContent | slack::SlackErrorKind::StoppedByUser => {
                return JobError::fatal(error, SLACK_REJECTED_TEXT);
            }
            slack::SlackErrorKind::ChannelUnavailable => return JobError::fatal_silent(error),
            slack::SlackErrorKind::TokenExpired => self.handle_expired_token(&error).await,
            slack::SlackErrorKind::TokenRevoked => self.handle_revoked_token(&error).await,
            slack::SlackErrorKind::AppMisconfigured => self.record_setup_problem(&error).await,
        };
        match (noted, error.kind()) {
            (Err(failure), _) => failure,
            (Ok(()), slack::SlackErrorKind::TokenExpired) => {
                JobError::Retry { reason: error.to_string(), after: Some(std::time::Duration::ZERO) }
            }
            (Ok(()), _) => JobError::fatal_silent(error),
        }
    }

    /// A token that rotates is refreshed before the next try; another one is dead.
    async fn handle_expired_token(&self, error: &SlackError) -> Result<(), JobError> {
        let Some(read_with) = self.installed.token_expires_at else {
            return self.handle_revoked_token(error).await;
        };
        let mut tx = self.app.db.begin(&self.job.tenant_id).await?;
        db::tokens::expire(&mut tx, &self.job.tenant_id, Some(read_with)).await?;
        tx.commit().await?;
        // The next try may come before the news of it.
        self.app.workspace_cache.invalidate(&self.job.tenant_id).await;
        Ok(())
    }

    /// Only the token that was called with is dead: by now there may be another one.
    async fn handle_revoked_token(&self, error: &SlackError) -> Result<(), JobError> {
        if token_refresh::disable_if_unchanged(self.app, &self.installed, &error.to_string()).await? {
            return Ok(());
        }
        self.app.workspace_cache.invalidate(&self.job.tenant_id).await;
        Err(JobError::retry("the token that Slack refused is another one by now"))
    }

    async fn record_setup_problem(&self, error: &SlackError) -> Result<(), JobError> {
        tracing::error!(error = %error, "the app is not set up for this; an admin can mend it");
        let mut tx = self.app.db.begin(&self.job.tenant_id).await?;
        db::installations::set_problem(&mut tx, &self.job.tenant_id, &error.to_string()).await?;
        Ok(tx.commit().await?)
    }

    /// Writes down what was done for somebody.
    pub(crate) async fn write_audit_entry(
        &self,
        tx: &mut Tx,
        action: AuditAction,
        detail: serde_json::Value,
    ) -> Result<(), JobError> {
        let mut detail = detail;
        detail["event_id"] = json!(self.job.event_id);
        let (tenant_id, actor) = (&self.job.tenant_id, self.job.user_id.as_str());
        Ok(db::audit_log::insert(tx, tenant_id, actor, action, detail).await?)
    }
}

/// A transaction in which this worker holds the thread.
pub(crate) async fn begin_fenced(app: &ApiState, lease: &Lease) -> Result<Tx, JobError> {
    let mut tx = app.db.begin(&lease.tenant_id).await?;
    db::threads::assert_lease(&mut tx, lease).await?;
    Ok(tx)
}
