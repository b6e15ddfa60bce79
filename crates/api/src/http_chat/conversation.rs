//! A conversation over HTTP: its owner, its history, and the lease that allows one answer at a time. It is
//! stored as a thread of the channel `api`, an id that Slack never uses.

use std::sync::Arc;
use std::time::{Duration, Instant};

use assistant::budget::{
    Allowance, BudgetDenied, Charge, ReservationOwner, ReserveRequest, reserve_call, send_alerts,
};
use assistant::{
    AnswerOrigin, AnswerRecord, Attachments, MAX_HISTORY_MESSAGES, Prompt, PromptInput, RememberedTurn,
    commit,
};
use db::settings::TenantConfig;
use db::{DbError, Tx};
use models::{ChatMessage, EventOutcome, ThreadKey};
use serde_json::{Value, json};
use slack::MessageMetadata;
use tokio::time::sleep;
use tracing::Instrument;
use uuid::Uuid;

use super::caller::Caller;
use super::problem::Problem;
use super::problem_kind::ProblemKind;
use super::service::ChatService;
use super::subject::Subject;
use crate::state::ApiState;
use crate::{token_refresh, trace_spans, workspace_loader};

const API_CHANNEL_ID: &str = "api";

const API_PLACE_TEXT: &str = "a conversation with a program that people of the workspace use";

/// The interval between two renewals of the lease, which lasts for thirty seconds.
const CHAT_LEASE_RENEW_INTERVAL: Duration = Duration::from_secs(8);

/// Seconds after which a reservation expires: longer than an answer may take.
const RESERVATION_EXPIRY_SECONDS: f64 = 360.0;

/// A conversation with an answer in progress.
pub(super) struct ChatConversation<'a> {
    state: &'a ApiState,
    caller: &'a Caller,
    subject: Subject,
    /// The actor in the audit log.
    actor: String,
    thread: ThreadKey,
    lease: Uuid,
    workspace: String,
    config: TenantConfig,
    history: Vec<ChatMessage>,
}

/// An answer that ended, whole or not.
pub(super) struct EndedAnswer<'a> {
    pub(super) message_id: &'a str,
    pub(super) reserved_seq: Option<i64>,
    /// `None` if no model accepted the request.
    pub(super) charge: Option<&'a Charge>,
    pub(super) asked_at: Instant,
    pub(super) first_token_at: Option<Instant>,
}

impl<'a> ChatConversation<'a> {
    /// Starts a conversation, or continues one of the same person or key. No other answer can be made in it
    /// until its lease is released.
    pub(super) async fn open(
        state: &'a ApiState,
        caller: &'a Caller,
        subject: Subject,
        requested_id: Option<&str>,
    ) -> Result<Self, Problem> {
        let id = match requested_id {
            Some(id) if is_conversation_id(id) => id.to_owned(),
            Some(_) => return Err(unknown_conversation_problem()),
            None => new_id("c_"),
        };
        let thread = ThreadKey { channel_id: API_CHANNEL_ID.into(), thread_ts: id.as_str().into() };
        let tenant_id = &caller.tenant_id;
        let found = workspace_loader::find_workspace(state, tenant_id).await?.ok_or(DbError::NotInstalled)?;
        let (workspace, config) = (found.installed.installation.name, found.settings);
        let mut tx = state.db.begin(tenant_id).await?;
        if requested_id.is_some()
            && !db::chat_memory::has_messages(&mut tx, tenant_id, &thread, &subject.user_id).await?
        {
            return Err(unknown_conversation_problem());
        }
        let Some(lease) = db::chat_leases::acquire(&mut tx, tenant_id, &id).await? else {
            let detail = "Wait for the answer to the conversation's last message, then try again.";
            return Err(Problem::new(ProblemKind::Busy, detail));
        };
        // Read after the lease was acquired, so that it includes the answer before.
        let history = db::chat_memory::list(&mut tx, tenant_id, &thread, MAX_HISTORY_MESSAGES).await?;
        tx.commit().await?;
        let actor = format!("key:{}", caller.key_id);
        Ok(Self { state, caller, subject, actor, thread, lease, workspace, config, history })
    }

    pub(super) fn id(&self) -> &str {
        self.thread.thread_ts.as_str()
    }

    /// Returns the request for the model.
    pub(super) fn build_prompt(&self, message: &str) -> Prompt {
        Prompt::build(PromptInput {
            workspace: &self.workspace,
            place: API_PLACE_TEXT,
            person: &self.subject.person,
            extra_context: "",
            settings: &self.config.settings,
            history: &self.history,
            message,
            attachments: Attachments::default(),
        })
    }

    /// Reserves the worst-case cost of an answer.
    pub(super) async fn reserve_budget(&self, messages: &[Value]) -> Result<Allowance, Problem> {
        let request = ReserveRequest {
            tenant_id: &self.caller.tenant_id,
            user_id: &self.subject.user_id,
            config: &self.config,
            messages,
            owner: ReservationOwner::HttpRequest { expires_after_seconds: RESERVATION_EXPIRY_SECONDS },
        };
        let reserved = reserve_call(&self.state.db, &self.state.model, &request).await?;
        reserved.map_err(over_budget_problem)
    }

    /// Renews the lease while the answer is written. Returns once another answer holds it.
    pub(super) async fn renew_lease_until_lost(&self) -> Problem {
        loop {
            sleep(CHAT_LEASE_RENEW_INTERVAL).await;
            let renewed = async {
                let mut tx = self.begin().await?;
                let (tenant_id, id) = (&self.caller.tenant_id, self.id());
                let is_held = db::chat_leases::renew(&mut tx, tenant_id, id, self.lease).await?;
                tx.commit().await?;
                Ok::<_, DbError>(is_held)
            };
            match renewed.await {
                Ok(true) => {}
                Ok(false) => return lease_lost_problem(),
                // The commit checks the lease again.
                Err(error) => tracing::warn!(error = %error, "conversation lease not renewed"),
            }
        }
    }

    /// Writes the chat memory, the cost and the audit entry in one transaction, and releases the lease with
    /// it. Returns whether the budget alert is due.
    pub(super) async fn commit_answer(
        &self,
        message: String,
        answer: String,
        ended: &EndedAnswer<'_>,
    ) -> Result<bool, Problem> {
        let mut tx = self.begin().await?;
        if !db::chat_leases::release(&mut tx, &self.caller.tenant_id, self.id(), self.lease).await? {
            return Err(lease_lost_problem());
        }
        let affiliation = self.subject.person.affiliation;
        let turn = RememberedTurn { affiliation, message, answer };
        let is_alert_due = commit(&mut tx, self.record(Some(turn), ended)).await?;
        tx.commit().await?;
        Ok(is_alert_due)
    }

    /// Writes the cost of an answer that broke off. Its text is not remembered: the client does not have it,
    /// and asks again.
    pub(super) async fn commit_cost(&self, ended: &EndedAnswer<'_>) -> Result<bool, Problem> {
        let mut tx = self.begin().await?;
        let is_alert_due = commit(&mut tx, self.record(None, ended)).await?;
        tx.commit().await?;
        Ok(is_alert_due)
    }

    /// Releases the reservation of a request that no model accepted.
    pub(super) async fn release_reservation(&self, seq: i64) {
        let released = async {
            let mut tx = self.begin().await?;
            db::reservations::release(&mut tx, &self.caller.tenant_id, seq).await?;
            tx.commit().await
        };
        if let Err(error) = released.await {
            tracing::warn!(error = %error, "reservation not released; it will expire");
        }
    }

    /// Sends the budget alert in the background.
    pub(super) fn spawn_budget_alert(&self, service: &Arc<ChatService>) {
        let (state, tenant_id) = (Arc::clone(&service.state), self.caller.tenant_id.clone());
        let settings = self.config.settings.clone();
        let metadata = MessageMetadata { event_id: self.id().into(), part_start: 0 };
        let alert = async move {
            match token_refresh::load_with_valid_token(&state, &tenant_id).await {
                Ok(workspace) => {
                    let bot = token_refresh::unguarded_bot(&workspace);
                    let installation = &workspace.installed.installation;
                    send_alerts(&state.db, &state.slack, &bot, installation, &settings, &metadata).await;
                }
                Err(error) => tracing::warn!(error = ?error, "budget alert failed"),
            }
        };
        service.tasks.spawn(alert.instrument(trace_spans::task("tell of budget")));
    }

    /// Releases the lease of a conversation that did not change.
    pub(super) async fn release_lease(&self) {
        let released = async {
            let mut tx = self.begin().await?;
            db::chat_leases::release(&mut tx, &self.caller.tenant_id, self.id(), self.lease).await?;
            tx.commit().await
        };
        if let Err(error) = released.await {
            tracing::warn!(error = %error, "conversation lease not released; it will expire");
        }
    }

    async fn begin(&self) -> Result<Tx, DbError> {
        self.state.db.begin(&self.caller.tenant_id).await
    }

    fn record<'r>(&'r self, turn: Option<RememberedTurn>, ended: &EndedAnswer<'r>) -> AnswerRecord<'r> {
        let is_partial = turn.is_none();
        let model = ended.charge.map(|charge| charge.usage.model.as_str()).unwrap_or_default();
        AnswerRecord {
            tenant_id: &self.caller.tenant_id,
            user_id: &self.subject.user_id,
            thread: &self.thread,
            actor: &self.actor,
            settings: &self.config.settings,
            turn,
            charge: ended.charge,
            outcome: if is_partial { EventOutcome::Stopped } else { EventOutcome::Answered },
            reason: is_partial.then_some("broke off"),
            since_first_token: ended.first_token_at.map(|at| at.elapsed()),
            audit_detail: json!({
                "conversation_id": self.id(), "message_id": ended.message_id, "model": model,
                "for": self.subject.user_id, "broke_off": is_partial,
            }),
            origin: AnswerOrigin::HttpRequest { reserved_seq: ended.reserved_seq, asked_at: ended.asked_at },
        }
    }
}

fn over_budget_problem(denied: BudgetDenied) -> Problem {
    let detail = match denied {
        BudgetDenied::Month => {
            "The workspace has used its monthly budget. It resets when the next month begins; an admin can \
             raise it in the dashboard, under Settings."
        }
        BudgetDenied::PersonDay => {
            "This person's daily budget is used up. It resets at 00:00 UTC; an admin can raise it in the \
             dashboard, under Settings."
        }
        BudgetDenied::AllReserved => {
            "The rest of the budget is reserved for answers in progress. Try again in a moment."
        }
    };
    Problem::new(ProblemKind::OverLimit, detail).with_retry_after(denied.retry_after())
}

/// Returns a new id of a conversation or an answer. Ids cannot be guessed, and sort by their time.
pub(super) fn new_id(prefix: &str) -> String {
    format!("{prefix}{}", Uuid::now_v7().simple())
}

/// Returns whether this can be a conversation's id; if not, the database is not queried for it.
fn is_conversation_id(id: &str) -> bool {
    let random = id.strip_prefix("c_").unwrap_or_default();
    random.len() == 32 && random.chars().all(|c| c.is_ascii_hexdigit())
}

fn unknown_conversation_problem() -> Problem {
    let detail =
        "It does not exist, or belongs to another person or key. Omit `conversation_id` to start a new one.";
    Problem::new(ProblemKind::NoConversation, detail)
}

fn lease_lost_problem() -> Problem {
    let detail = "Another answer was started in this conversation in the meantime. Try again.";
    Problem::new(ProblemKind::Busy, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conversation_id_format_is_checked() {
        assert!(is_conversation_id(&new_id("c_")));
        for wrong in ["", "c_", "1732500000.000100", "c_0199a5b2c3d47e6f8091a2b3c4d5e6f\0", &new_id("m_")] {
            assert!(!is_conversation_id(wrong), "{wrong}");
        }
    }
}
