//! Calls the function for the kind of an event.

use db::DbError;
use db::threads::Job;
use db::workspaces::WorkspaceSnapshot;
use models::{EventOutcome, EventPayload};
use slack::BotAuth;
use tokio_util::sync::CancellationToken;

use crate::job::classify::classify_slack_error;
use crate::job::context::JobContext;
use crate::job::error::{COMMAND_FAILED_TEXT, JobError};
use crate::lease::LeaseHandle;
use crate::reply::{self, ReplyTarget};
use crate::state::ApiState;
use crate::{lifecycle, surface, token_refresh};

/// Decrypts an event. Returns its payload, and the trace that it belongs to.
pub(crate) async fn open_payload(
    state: &ApiState,
    job: &Job,
) -> Result<(EventPayload, Option<String>), DbError> {
    let mut tx = state.db.begin(&job.tenant_id).await?;
    db::events::open_payload(&mut tx, &job.tenant_id, job.seq, &job.sealed_payload).await
}

/// Processes an event, or continues where an earlier try stopped.
pub(crate) async fn run_job(
    state: &ApiState,
    lease: &LeaseHandle,
    job: &Job,
    payload: Result<EventPayload, DbError>,
    stop: &CancellationToken,
) -> Result<EventOutcome, JobError> {
    let payload = match payload {
        Ok(payload) => payload,
        // A deleted tenant's key is deleted too, and its events do not open.
        Err(error) => return lifecycle::finish_orphan(&state.db, &lease.lease, job, error).await,
    };
    // Events that end an installation do not need a working token.
    match payload {
        EventPayload::Uninstalled { event_time } => {
            let grace_days = state.uninstall_grace_days;
            lifecycle::uninstall(&state.db, &lease.lease, job, event_time, grace_days).await
        }
        EventPayload::TokensRevoked { event_time, bot_user_ids } => {
            lifecycle::revoke_tokens(&state.db, &lease.lease, job, event_time, &bot_user_ids).await
        }
        EventPayload::TeamAccess { is_granted, team_ids } => {
            lifecycle::set_team_access(&state.db, &lease.lease, job, is_granted, &team_ids).await
        }
        payload => {
            let workspace = token_refresh::load_with_valid_token(state, &job.tenant_id).await?;
            let context = job_context(state, lease, job, stop, &workspace, &payload);
            match dispatch(state, &context, &workspace, payload).await {
                Ok(outcome) => Ok(outcome),
                Err(error) => Err(classify_slack_error(state, &workspace.installed, error).await),
            }
        }
    }
}

/// Tells the person that there will be no reply, in the message of a reply that has begun, and clears the
/// status.
pub(crate) async fn send_failure_notice(
    state: &ApiState,
    lease: &LeaseHandle,
    job: &Job,
    notice: Option<&'static str>,
) -> Result<(), JobError> {
    let (payload, _) = open_payload(state, job).await?;
    let workspace = token_refresh::load_with_valid_token(state, &job.tenant_id).await?;
    let stop = CancellationToken::new();
    let context = job_context(state, lease, job, &stop, &workspace, &payload);
    match payload {
        EventPayload::Message(message) => {
            let target = ReplyTarget::new(state, &context, &message);
            reply::post_failure_notice(&target, notice).await
        }
        EventPayload::Command { response_url, .. } => {
            surface::respond(context.slack, &response_url, notice.unwrap_or(COMMAND_FAILED_TEXT)).await
        }
        _ => Ok(()),
    }
}

fn job_context<'a>(
    state: &'a ApiState,
    lease: &'a LeaseHandle,
    job: &'a Job,
    stop: &'a CancellationToken,
    workspace: &'a WorkspaceSnapshot,
    payload: &EventPayload,
) -> JobContext<'a> {
    let bot = BotAuth {
        tenant_id: job.tenant_id.clone(),
        token: workspace.installed.bot_token.clone(),
        team_id: payload.team_id().cloned(),
        send_guard: Some(lease.send_guard()),
    };
    let bot_user_id = &workspace.installed.installation.bot_user_id;
    JobContext { db: &state.db, slack: &state.slack, bot, bot_user_id, lease, job, stop }
}

async fn dispatch(
    state: &ApiState,
    context: &JobContext<'_>,
    workspace: &WorkspaceSnapshot,
    payload: EventPayload,
) -> Result<EventOutcome, JobError> {
    let installed = &workspace.installed;
    match payload {
        EventPayload::Message(message) => {
            reply::answer_message(state, &ReplyTarget::new(state, context, &message), workspace).await
        }
        EventPayload::Welcome => surface::send_welcome(context, installed.suspended_reason.as_deref()).await,
        EventPayload::ExportNotice { exported_by, person } => {
            surface::announce_export(context, installed, &exported_by, person.as_ref()).await
        }
        EventPayload::TeamJoined { .. } => surface::greet_person(context, None).await,
        EventPayload::ConversationOpened { channel_id, thread_ts, .. } => {
            surface::open_conversation(context, &channel_id, thread_ts.as_ref()).await
        }
        EventPayload::HomeOpened { .. } => surface::publish_home(context, installed).await,
        EventPayload::ContextChanged { channel_id } => {
            surface::store_viewed_channel(context, channel_id.as_ref()).await
        }
        EventPayload::Feedback { event_id, is_positive } => {
            surface::store_feedback(context, &event_id, is_positive).await
        }
        EventPayload::TryAgain { event_id } => surface::redrive_event(context, &event_id).await,
        EventPayload::Command { text, response_url, .. } => {
            surface::run_command(context, installed, &text, &response_url).await
        }
        EventPayload::Uninstalled { .. }
        | EventPayload::TokensRevoked { .. }
        | EventPayload::TeamAccess { .. } => Err(JobError::fatal_silent("this kind of event needs no bot")),
    }
}
