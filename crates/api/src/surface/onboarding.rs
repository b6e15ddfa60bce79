//! The first message to each person, and the conversation that they open.

use std::borrow::Cow;

use models::{ChannelId, EventOutcome, MessageTs};
use slack::{NewMessage, SUGGESTED_PROMPTS};

use crate::job::context::{JobContext, finish_event};
use crate::job::error::JobError;

const WELCOME_TEXT: &str = "Hello! I am installed and ready.

- **Ask me here**, in this conversation: I answer in a thread under your message.
- **Mention me in a channel** after you `/invite` me. I follow up in that thread without mentions.

I remember what was said in the thread, encrypted at rest.";

const GREETING_TEXT: &str = "Hello! I answer questions, here and in channels.

- **Ask me here**: I answer in a thread under your message, and remember what was said in it.
- **Mention me in a channel** that I was invited to. I follow up in that thread without further mentions.
- `/enablebot help` lists my commands; `/enablebot forget me` deletes what I know about you.

I am a language model: check what matters.";

/// Greets the person who installed the bot; in a suspended workspace with the reason instead.
pub(crate) async fn send_welcome(
    context: &JobContext<'_>,
    suspended_reason: Option<&str>,
) -> Result<EventOutcome, JobError> {
    let text = match suspended_reason {
        Some(reason) => Cow::from(format!(
            "I am installed, but the operator of this server has suspended this workspace. I do not answer \
             until they resume it. Their reason: {reason}"
        )),
        None => WELCOME_TEXT.into(),
    };
    post_once(context, None, &text).await?;
    finish_greeting(context, EventOutcome::Welcomed).await
}

/// Greets a person by direct message, unless they were greeted before.
pub(crate) async fn greet_person(
    context: &JobContext<'_>,
    channel_id: Option<&ChannelId>,
) -> Result<EventOutcome, JobError> {
    let job = context.job;
    let mut tx = context.begin().await?;
    let is_onboarded = db::people::is_onboarded(&mut tx, &job.tenant_id, &job.user_id).await?;
    drop(tx);
    if !is_onboarded {
        post_once(context, channel_id, GREETING_TEXT).await?;
    }
    finish_greeting(context, EventOutcome::Done).await
}

/// Suggests prompts in a conversation that was opened, and greets a new person.
pub(crate) async fn open_conversation(
    context: &JobContext<'_>,
    channel_id: &ChannelId,
    thread_ts: Option<&MessageTs>,
) -> Result<EventOutcome, JobError> {
    let suggested =
        context.slack.set_suggested_prompts(&context.bot, channel_id, thread_ts, SUGGESTED_PROMPTS);
    if let Err(error) = suggested.await {
        // The manifest has suggestions too.
        tracing::info!("prompts not suggested: {error}");
    }
    greet_person(context, Some(channel_id)).await
}

/// Stores the channel that a person looks at beside the conversation with the bot.
pub(crate) async fn store_viewed_channel(
    context: &JobContext<'_>,
    channel_id: Option<&ChannelId>,
) -> Result<EventOutcome, JobError> {
    let job = context.job;
    let mut tx = context.begin_fenced().await?;
    if db::events::is_open(&mut tx, &job.tenant_id, job.seq).await? {
        db::people::set_viewed_channel(&mut tx, &job.tenant_id, &job.user_id, channel_id).await?;
    }
    finish_event(tx, job, (EventOutcome::Done, None)).await
}

/// Posts the event's only message, unless an earlier try posted it.
pub(super) async fn post_once(
    context: &JobContext<'_>,
    channel_id: Option<&ChannelId>,
    text: &str,
) -> Result<(), JobError> {
    let JobContext { slack, bot, job, .. } = context;
    let channel_id = match channel_id {
        Some(channel_id) => channel_id.clone(),
        None => slack.open_dm(bot, &job.user_id).await?,
    };
    if job.attempt == 1 || !is_already_posted(context, &channel_id).await? {
        let metadata = context.message_metadata(0);
        let message = NewMessage {
            channel_id: &channel_id,
            thread_ts: None,
            markdown: text,
            metadata: &metadata,
            buttons: None,
        };
        slack.post_message(bot, &message).await?;
    }
    Ok(())
}

/// Returns whether an earlier try posted the message: it may have ended between the post and its commit.
async fn is_already_posted(context: &JobContext<'_>, channel_id: &ChannelId) -> Result<bool, JobError> {
    let JobContext { slack, bot, bot_user_id, .. } = context;
    let messages = slack.list_bot_messages(bot, channel_id, bot_user_id).await?;
    Ok(messages.iter().any(|message| message.metadata.as_ref() == Some(&context.message_metadata(0))))
}

async fn finish_greeting(context: &JobContext<'_>, outcome: EventOutcome) -> Result<EventOutcome, JobError> {
    let job = context.job;
    let mut tx = context.begin_fenced().await?;
    if db::events::is_open(&mut tx, &job.tenant_id, job.seq).await? {
        db::people::set_onboarded(&mut tx, &job.tenant_id, &job.user_id).await?;
    }
    finish_event(tx, job, (outcome, None)).await
}
