//! The checks before a message is answered.

use std::time::Duration;

use cache::{Admission, RateLimiter};
use db::threads::Job;
use db::workspaces::WorkspaceSnapshot;
use models::{EventOutcome, InboundMessage};

use super::authorize::{Requester, authorize_requester};
use super::channel_policy::{ChannelDecision, check_channel};
use super::notices::post_notice_once;
use super::pipeline::reply_to;
use super::target::ReplyTarget;
use super::unanswered::{finish_stopped, finish_suspended, finish_unanswered, post_over_budget};
use crate::app_metrics::count_rate_limited;
use crate::job::context::OutcomeWithReason;
use crate::job::error::JobError;
use crate::state::ApiState;

const CHANNEL_DENIED_TEXT: &str = "Sorry, an admin of this workspace has not allowed me to answer in this \
     channel. Please send me a direct message instead.";

/// Answers a message, unless it was stopped, its workspace is suspended, or its author or channel is not
/// allowed.
pub(crate) async fn answer_message(
    state: &ApiState,
    target: &ReplyTarget<'_>,
    workspace: &WorkspaceSnapshot,
) -> Result<EventOutcome, JobError> {
    let context = target.context;
    if context.job.is_stop_requested {
        return finish_stopped(target).await;
    }
    if workspace.installed.suspended_reason.is_some() {
        return finish_suspended(target).await;
    }
    if let Some(ending) = apply_channel_policy(target, workspace).await? {
        return finish_unanswered(context, ending).await;
    }
    let person = match authorize_requester(context, &workspace.installed.installation, target.message).await?
    {
        Requester::Denied(reason) => {
            return finish_unanswered(context, (EventOutcome::Refused, Some(reason))).await;
        }
        Requester::Allowed(person) => Some(person),
        Requester::Unknown => None,
    };
    acquire_rate_limit(&state.rate_limiter, context.job).await?;
    match reply_to(state, target, workspace, person).await {
        Err(JobError::OverBudget(denied)) => post_over_budget(target, denied).await,
        replied => replied,
    }
}

/// Returns the outcome of a message in a channel in which the bot does not answer. The person is told once
/// per thread.
async fn apply_channel_policy(
    target: &ReplyTarget<'_>,
    workspace: &WorkspaceSnapshot,
) -> Result<Option<OutcomeWithReason>, JobError> {
    let (context, message): (_, &InboundMessage) = (target.context, target.message);
    let channel_id = &context.job.thread.channel_id;
    match check_channel(&workspace.settings.settings, context.bot_user_id, channel_id, message) {
        ChannelDecision::Allowed => Ok(None),
        ChannelDecision::NeedsMention => {
            let reason = "only mentions are answered in threads, by a setting of the workspace";
            Ok(Some((EventOutcome::NotForBot, Some(reason))))
        }
        ChannelDecision::Denied => {
            post_notice_once(context, CHANNEL_DENIED_TEXT).await?;
            Ok(Some((EventOutcome::Refused, Some("channel not allowed"))))
        }
    }
}

/// Returns an error that defers the event if the message is above the limits. A reply that has begun
/// continues.
async fn acquire_rate_limit(rate_limiter: &RateLimiter, job: &Job) -> Result<(), JobError> {
    if job.is_started {
        return Ok(());
    }
    let admission = rate_limiter.reserve(&job.tenant_id, job.has_rate_limit_slot).await;
    count_rate_limited(admission);
    match admission {
        Admission::Allowed => Ok(()),
        Admission::QueuedFor(after) => Err(JobError::RateLimited { after }),
        // The jitter keeps deferred messages from returning all at once.
        Admission::RetryAfter(after) => {
            let jitter = Duration::from_secs(1).mul_f64(rand::random::<f64>());
            Err(JobError::RateLimited { after: after + jitter })
        }
    }
}
