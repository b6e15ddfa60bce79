//! The reply from the prompt to the committed transaction.

use assistant::budget::send_alerts;
use assistant::people::{USER_LOOKUP_TIMEOUT, unknown_person};
use assistant::{
    AnswerOrigin, AnswerRecord, Attachments, MAX_HISTORY_MESSAGES, Prompt, PromptInput, RememberedTurn,
    commit,
};
use db::workspaces::WorkspaceSnapshot;
use models::{Affiliation, ChannelId, ChatMessage, EventOutcome, Person, WorkspaceSettings};
use serde_json::json;
use slack::{Buttons, ThreadStatus};
use tokio::time::timeout;
use tracing::Instrument;

use super::authorize::fetch_person;
use super::completion::{CompletedReply, CompletionDeps, complete_reply};
use super::streaming_message::StreamingMessage;
use super::target::ReplyTarget;
use crate::job::context::JobContext;
use crate::job::error::JobError;
use crate::state::ApiState;
use crate::{fail_point, trace_spans};

/// Replies to a message whose author may ask. A person who is not known yet is looked up meanwhile.
pub(super) async fn reply_to(
    state: &ApiState,
    target: &ReplyTarget<'_>,
    workspace: &WorkspaceSnapshot,
    person: Option<Person>,
) -> Result<EventOutcome, JobError> {
    let is_known = person.is_some();
    let person = person.unwrap_or_else(|| unknown_person(Affiliation::Member));
    let lookup = async {
        match is_known {
            true => person.affiliation,
            false => look_up_affiliation(target.context, workspace).await,
        }
    };
    let deps = CompletionDeps { model: &state.model, config: &workspace.settings, handoff: &state.handoff };
    // Slack may take its time over the status, and the model need not wait for it.
    let ((), affiliation, completed) = tokio::join!(
        target.set_status(ThreadStatus::Processing),
        lookup,
        produce_reply(&deps, target, workspace, &person)
    );
    let completed = completed?;
    target.set_status(ThreadStatus::Active).await;
    let outcome = if completed.is_stopped { EventOutcome::Stopped } else { EventOutcome::Answered };
    let is_first = completed.is_first_in_thread;
    commit_reply(target, workspace, affiliation, completed, outcome)
        .instrument(trace_spans::database("commit"))
        .await?;
    if target.message.is_dm && is_first {
        target.set_title().await;
    }
    Ok(outcome)
}

/// Asks Slack about a new person, so that they are known the next time.
async fn look_up_affiliation(context: &JobContext<'_>, workspace: &WorkspaceSnapshot) -> Affiliation {
    let fetched = fetch_person(context, &workspace.installed.installation);
    match timeout(USER_LOOKUP_TIMEOUT, fetched).await {
        Ok(Ok(person)) => person.affiliation,
        // What nobody of the workspace wrote is not trusted.
        Ok(Err(JobError::Slack(error))) if error.is_unknown_user() => Affiliation::External,
        Ok(Err(error)) => {
            tracing::info!(error = ?error, "user lookup failed");
            Affiliation::Member
        }
        Err(_) => Affiliation::Member,
    }
}

/// Shows the answer in Slack: the one that an earlier try has paid for, or a new one.
async fn produce_reply(
    deps: &CompletionDeps<'_>,
    target: &ReplyTarget<'_>,
    workspace: &WorkspaceSnapshot,
    person: &Person,
) -> Result<CompletedReply, JobError> {
    let (mut reply, progress) = StreamingMessage::resume(target).await?;
    let completed = match progress.answer {
        Some((text, usage)) => CompletedReply {
            text,
            model: usage.model,
            message_text: None,
            is_first_in_thread: false,
            is_stopped: false,
            unbilled: None,
            first_token_at: None,
        },
        None => {
            let prompt = build_prompt(target, workspace, person).await?;
            let text_so_far = progress.partial_text.unwrap_or_default();
            complete_reply(deps, target.context, prompt, text_so_far, &mut reply).await?
        }
    };
    let buttons = deps.config.settings.has_feedback_buttons.then_some(Buttons::Feedback);
    reply.finish(&completed.text, buttons).await?;
    Ok(completed)
}

async fn build_prompt(
    target: &ReplyTarget<'_>,
    workspace: &WorkspaceSnapshot,
    person: &Person,
) -> Result<Prompt, JobError> {
    let (context, message) = (target.context, target.message);
    let (history, viewed_channel) =
        load_history(context).instrument(trace_spans::database("history")).await?;
    let attachments = Attachments::download(context.slack, &context.bot, &message.files).await?;
    let viewed_channel = viewed_channel
        .filter(|_| message.is_dm)
        .map(|channel_id| format!(" Beside this conversation they look at the channel {channel_id}."));
    Ok(Prompt::build(PromptInput {
        workspace: &workspace.installed.installation.name,
        place: if message.is_dm { "a direct message" } else { "a thread of a channel" },
        person,
        extra_context: &viewed_channel.unwrap_or_default(),
        settings: &workspace.settings.settings,
        history: &history,
        message: &context.readable_text(&message.text),
        attachments,
    }))
}

/// Returns the thread's history, and the channel that the person looks at.
async fn load_history(
    context: &JobContext<'_>,
) -> Result<(Vec<ChatMessage>, Option<ChannelId>), db::DbError> {
    let job = context.job;
    let mut tx = context.begin().await?;
    let history = db::chat_memory::list(&mut tx, &job.tenant_id, &job.thread, MAX_HISTORY_MESSAGES).await?;
    Ok((history, db::people::find_viewed_channel(&mut tx, &job.tenant_id, &job.user_id).await?))
}

/// Writes the chat memory, the cost, the audit entry and the end of the event in one transaction.
async fn commit_reply(
    target: &ReplyTarget<'_>,
    workspace: &WorkspaceSnapshot,
    affiliation: Affiliation,
    completed: CompletedReply,
    outcome: EventOutcome,
) -> Result<(), JobError> {
    let (context, job) = (target.context, target.context.job);
    let settings: &WorkspaceSettings = &workspace.settings.settings;
    let message = completed.message_text.unwrap_or_else(|| context.readable_text(&target.message.text));
    let record = AnswerRecord {
        tenant_id: &job.tenant_id,
        user_id: &job.user_id,
        thread: &job.thread,
        actor: job.user_id.as_str(),
        settings,
        turn: Some(RememberedTurn { affiliation, message, answer: completed.text }),
        charge: completed.unbilled.as_ref(),
        outcome,
        reason: None,
        since_first_token: completed.first_token_at.map(|at| at.elapsed()),
        audit_detail: json!({ "model": completed.model }),
        origin: AnswerOrigin::Event { seq: job.seq, event_id: &job.event_id },
    };
    let mut tx = context.begin_fenced().await?;
    let is_alert_due = commit(&mut tx, record).await?;
    fail_point::reach("end_uncommitted");
    tx.commit().await?;
    fail_point::reach("end_committed");
    if is_alert_due {
        let (installation, metadata) = (&workspace.installed.installation, context.message_metadata(0));
        send_alerts(context.db, context.slack, &context.bot, installation, settings, &metadata).await;
    }
    Ok(())
}
