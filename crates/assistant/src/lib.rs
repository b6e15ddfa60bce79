//! The pipeline from a message to an answer. Slack replies and `POST /api/chat` both use it; they differ in
//! where the answer is shown, what interrupts it, and which lease they hold.
//!
//! 1. [`people`]: describes the person who asks. The caller decides whether they may.
//! 2. [`Prompt`]: builds the request for the model from the history, the message and its [`Attachments`].
//!    Text that does not come from the workspace is wrapped in tags (`untrusted_text`).
//! 3. [`budget::reserve_call`]: reserves the worst-case cost in a transaction of its own, before the request
//!    is sent.
//! 4. [`complete`]: sends the request and passes the text to an [`AnswerSink`] as it arrives, until the model
//!    ends, fails, or the sink reports an interrupt. It returns the charge for the call, however the answer
//!    ended.
//! 5. The caller stores the charge: with a whole answer by [`commit`], in its own transaction, otherwise
//!    together with what it keeps of a partial answer. Without a charge the model never accepted the request,
//!    and the caller releases the reservation.
//! 6. [`budget::send_alerts`]: tells the workspace's contacts, or its [`managers`], when [`commit`] reports that the threshold was
//!    reached.
//!
//! No function here holds a transaction open during a network call.

mod attachments;
pub mod budget;
mod commit;
mod completion;
pub mod managers;
pub mod people;
mod prompt;
mod standing;
mod untrusted_text;

pub use attachments::Attachments;
pub use commit::{AnswerOrigin, AnswerRecord, RememberedTurn, commit};
pub use completion::{AnswerSink, CallPhase, CallResult, FinishedAnswer, ModelCall, PartialAnswer, complete};
pub use prompt::{MAX_HISTORY_MESSAGES, Prompt, PromptInput};
pub use standing::Standing;
