//! `POST /api/chat`: a program asks, with a key of the workspace, as people ask in Slack. `routes/chat.rs`
//! starts a [`task`] for each request and passes on its items. The task ends in order even if the connection
//! breaks: subject → conversation → `assistant` → one transaction.

mod auth_throttle;
mod caller;
mod conversation;
mod problem;
mod problem_kind;
mod request;
mod service;
mod subject;
mod task;
mod types;

pub(crate) use auth_throttle::AuthThrottle;
pub(crate) use caller::Caller;
pub(crate) use problem::Problem;
pub(crate) use service::ChatService;
pub(crate) use task::{StreamItem, start_chat};
pub(crate) use types::{ChatAnswer, ChatDelta, ChatEnd, ChatEvent, ChatRequest};
