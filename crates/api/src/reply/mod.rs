//! The reply to a message in Slack: authorize → prompt → complete within the budget → show → commit.

mod authorize;
mod channel_policy;
mod completion;
mod handler;
mod notices;
mod pipeline;
mod poster;
mod progress;
mod recovery;
mod streaming_message;
mod target;
mod unanswered;

pub(crate) use handler::answer_message;
pub(crate) use target::ReplyTarget;
pub(crate) use unanswered::post_failure_notice;
