//! `POST /api/chat`: a program asks, by a key of the workspace, what people ask in Slack. `routes/chat.rs` hands a question
//! in at the [`ChatService`] and passes on what is said; the answer is made in a task of its own, which ends in order whatever
//! becomes of the connection: `asker` → `conversation` → model → one transaction (`inquiry`).

mod auth_throttle;
mod caller;
mod chat_task;
mod conversation;
pub(crate) mod openapi;
mod problem;
mod subject;
mod types;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, Span};

use crate::state::ApiState;
use crate::trace_spans;
pub(crate) use auth_throttle::AuthThrottle;
pub(crate) use caller::Caller;
use chat_task::ChatTask;
pub(crate) use problem::Problem;
pub(crate) use types::{ChatAnswer, ChatDelta, ChatEnd, ChatEvent, ChatRequest};

/// How long answers in work may go on after the signal: a little shorter than connections are kept, so that who waits still
/// hears that there will be none.
const CHAT_DRAIN_TIMEOUT: Duration = Duration::from_secs(9);

/// How long it may take then to book what they cost.
const CHAT_CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// What an answer in work says. It ends with one of the last two.
#[derive(Debug)]
pub(crate) enum StreamItem {
    /// The next words.
    Delta(String),
    /// It is complete, and kept.
    End(ChatEnd),
    /// There will be no (more of an) answer.
    Problem(Problem),
}

/// Where questions are handed in.
pub(crate) struct ChatService {
    pub(crate) app: Arc<ApiState>,
    auth_throttle: AuthThrottle,
    slots: Arc<Semaphore>,
    tasks: TaskTracker,
    /// Cancelled when this replica cannot go on with answers in work.
    closing: CancellationToken,
}

impl ChatService {
    /// At most `slots` answers are made at once.
    pub(crate) fn start(
        app: Arc<ApiState>,
        guesses: AuthThrottle,
        slots: u32,
        shutdown: CancellationToken,
    ) -> Arc<Self> {
        let closing = CancellationToken::new();
        tokio::spawn({
            let closing = closing.clone();
            async move {
                shutdown.cancelled().await;
                sleep(CHAT_DRAIN_TIMEOUT).await;
                closing.cancel();
            }
        });
        let slots = Arc::new(Semaphore::new(slots as usize));
        Arc::new(Self { app, auth_throttle: guesses, slots, tasks: TaskTracker::new(), closing })
    }

    /// Begins to answer. Whoever drops what is returned does not want the answer any more. The channel has no bound of its
    /// own: an answer has.
    pub(crate) fn ask(
        self: &Arc<Self>,
        caller: Caller,
        request: ChatRequest,
    ) -> UnboundedReceiver<StreamItem> {
        let (say, said) = mpsc::unbounded_channel();
        let inquiry = ChatTask { service: Arc::clone(self), caller, request, sender: say };
        self.tasks.spawn(inquiry.run().instrument(Span::current()).instrument(trace_spans::task("answer")));
        said
    }

    /// Ends what is still in work, and waits until it is booked.
    pub(crate) async fn close(&self) {
        self.closing.cancel();
        self.tasks.close();
        let _ = timeout(CHAT_CLOSE_TIMEOUT, self.tasks.wait()).await;
    }
}
