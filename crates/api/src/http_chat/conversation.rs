//! A conversation over HTTP: whose it is, what was said in it, and that one answer is made in it at a time. It is a thread
//! of the channel `api`, which Slack cannot have.

use std::sync::Arc;
use std::time::{Duration, Instant};

use db::Tx;
use db::audit_log::AuditAction;
use db::settings::TenantConfig;
use db::usage::{NewUsage, UsageOutcome};
use db::workspaces::WorkspaceSnapshot;
use models::{ChatMessage, EventOutcome, Role, ThreadKey};
use serde_json::{Value, json};
use slack::{BotAuth, MessageMetadata};
use tokio::time::sleep;
use tracing::Instrument;
use uuid::Uuid;

use super::ChatService;
use super::caller::Caller;
use super::problem::{Problem, ProblemKind};
use super::subject::Subject;
use crate::budget::{self, Allowance, BudgetDenied, Charge, ReserveRequest};
use crate::reply::prompt::{MAX_HISTORY_MESSAGES, build_messages, system_prompt, wrap_if_external};
use crate::state::ApiState;
use crate::{token_refresh, trace_spans, workspace_loader};

const API_CHANNEL_ID: &str = "api";

const API_PLACE_TEXT: &str = "a conversation with a program that people of the workspace use";

/// Between two renewals of the lease, which lasts for thirty seconds.
const CHAT_LEASE_RENEW_INTERVAL: Duration = Duration::from_secs(8);

/// Seconds after which nobody makes an answer any more for which money is held: longer than one may take.
const RESERVATION_EXPIRY_SECONDS: f64 = 360.0;

/// A conversation in which an answer is being made.
pub(super) struct ChatConversation<'a> {
    app: &'a ApiState,
    caller: &'a Caller,
    subject: Subject,
    thread: ThreadKey,
    lease: Uuid,
    workspace: String,
    config: TenantConfig,
    history: Vec<ChatMessage>,
}

/// What is written down of an answer.
pub(super) struct CompletionRecord<'a> {
    pub(super) message_id: &'a str,
    /// The question's number, where money is held for it.
    pub(super) seq: Option<i64>,
    pub(super) charge: &'a Charge,
    pub(super) asked_at: Instant,
    pub(super) first_token_at: Option<Instant>,
    /// Whether nobody got it as a whole.
    pub(super) is_partial: bool,
}

impl<'a> ChatConversation<'a> {
    /// Begins one, or goes on in one of the same person or key; nobody else answers in it until it is let go.
    pub(super) async fn open(
        app: &'a ApiState,
        caller: &'a Caller,
        asker: Subject,
        named: Option<&str>,
    ) -> Result<Self, Problem> {
        let conversation_id = match named {
            Some(id) if is_conversation_id(id) => id.to_owned(),
            Some(_) => return Err(unknown_conversation_problem()),
            None => new_id("c_"),
        };
        let thread =
            ThreadKey { channel_id: API_CHANNEL_ID.into(), thread_ts: conversation_id.as_str().into() };
        let tenant_id = &caller.tenant_id;
        let found =
            workspace_loader::find_workspace(app, tenant_id).await?.ok_or(db::DbError::NotInstalled)?;
        let (workspace, stored) = (found.installed.installation.name, found.settings);
        let mut tx = app.db.begin(tenant_id).await?;
        if named.is_some()
            && !db::chat_memory::has_messages(&mut tx, tenant_id, &thread, &asker.user_id).await?
        {
            return Err(unknown_conversation_problem());
        }
        let Some(lease) = db::chat_leases::acquire(&mut tx, tenant_id, &conversation_id).await? else {
            let detail = "Wait for the answer to the last message of this conversation, then ask again.";
            return Err(Problem::new(ProblemKind::Busy, detail));
        };
        // Read behind the lease: what another answer has just added is there.
        let turns = db::chat_memory::list(&mut tx, tenant_id, &thread, MAX_HISTORY_MESSAGES).await?;
        tx.commit().await?;
        Ok(Self { app, caller, subject: asker, thread, lease, workspace, config: stored, history: turns })
    }

    pub(super) fn id(&self) -> &str {
        self.thread.thread_ts.as_str()
    }

    /// Holds what an answer costs at its worst, and the question's number with it; where nothing is limited, nothing.
    pub(super) async fn reserve_budget(
        &self,
        messages: &[Value],
    ) -> Result<(Allowance, Option<i64>), Problem> {
        let (tenant_id, user_id) = (&self.caller.tenant_id, &self.subject.user_id);
        if !self.config.settings.has_budget() {
            return Ok((Allowance::unlimited(tenant_id, &self.config), None));
        }
        let mut tx = self.app.db.begin(tenant_id).await?;
        let seq = db::events::next_seq(&mut tx).await?;
        let (stored, expires_after) = (&self.config, Some(RESERVATION_EXPIRY_SECONDS));
        let bill = ReserveRequest { tenant_id, seq, user_id, config: stored, messages, expires_after };
        let reserved = budget::reserve_call(&self.app.model, &mut tx, &bill).await?;
        tx.commit().await?;
        reserved.map(|purse| (purse, Some(seq))).map_err(over_budget_problem)
    }

    /// What the model is asked.
    pub(super) fn build_messages(&self, message: &str) -> Vec<Value> {
        let settings = &self.config.settings;
        let instructions = system_prompt(&self.workspace, API_PLACE_TEXT, &self.subject.person, "", settings);
        let mut messages = build_messages(&instructions, &self.history, settings);
        let content = wrap_if_external(self.subject.person.affiliation, &settings.redact_if_enabled(message));
        messages.push(json!({ "role": Role::User.as_str(), "content": content }));
        messages
    }

    /// Keeps the conversation while an answer is made; returns once it is another answer's.
    pub(super) async fn renew_lease_until_lost(&self) -> Problem {
        loop {
            sleep(CHAT_LEASE_RENEW_INTERVAL).await;
            let renewed = async {
                let (tenant_id, id) = (&self.caller.tenant_id, self.id());
                let mut tx = self.app.db.begin(tenant_id).await?;
                let held = db::chat_leases::renew(&mut tx, tenant_id, id, self.lease).await?;
                tx.commit().await?;
                Ok::<_, db::DbError>(held)
            };
            match renewed.await {
                Ok(true) => {}
                Ok(false) => return lease_lost_problem(),
                // The end finds out whether it is still held.
                Err(error) => tracing::warn!(error = %error, "a conversation could not be kept"),
            }
        }
    }

    /// What was said, what it cost and the audit entry, or none of them; the conversation is free again. Whether somebody is to
    /// be told that the budget goes to its end.
    pub(super) async fn commit_answer(
        &self,
        message: &str,
        answer: &str,
        deed: &CompletionRecord<'_>,
    ) -> Result<bool, Problem> {
        let turns =
            [self.to_chat_message(Role::User, message), self.to_chat_message(Role::Assistant, answer)];
        let tenant_id = &self.caller.tenant_id;
        let mut tx = self.app.db.begin(tenant_id).await?;
        if !db::chat_leases::release(&mut tx, tenant_id, self.id(), self.lease).await? {
            return Err(lease_lost_problem());
        }
        let seq = event_seq(&mut tx, deed).await?;
        db::chat_memory::insert(&mut tx, tenant_id, &self.thread, seq, &turns).await?;
        let is_ending = self.insert_usage(&mut tx, seq, deed).await?;
        tx.commit().await?;
        Ok(is_ending)
    }

    /// The cost of an answer that broke off. What was said is not remembered: whoever asked does not have it, and asks
    /// again.
    pub(super) async fn commit_cost(&self, deed: &CompletionRecord<'_>) -> Result<bool, Problem> {
        let mut tx = self.app.db.begin(&self.caller.tenant_id).await?;
        let seq = event_seq(&mut tx, deed).await?;
        let is_ending = self.insert_usage(&mut tx, seq, deed).await?;
        tx.commit().await?;
        Ok(is_ending)
    }

    /// Gives back what was held for an answer of which the model has not said a word.
    pub(super) async fn release_reservation(&self, seq: i64) {
        let given = async {
            let mut tx = self.app.db.begin(&self.caller.tenant_id).await?;
            db::reservations::release(&mut tx, &self.caller.tenant_id, seq).await?;
            tx.commit().await
        };
        if let Err(error) = given.await {
            tracing::warn!(error = %error, "money is held until nobody can come back for it");
        }
    }

    /// Tells those who are to know that the budget goes to its end; the answer does not wait for that.
    pub(super) fn spawn_budget_alert(&self, desk: &Arc<ChatService>) {
        let (app, tenant_id) = (Arc::clone(&desk.app), self.caller.tenant_id.clone());
        let settings = self.config.settings.clone();
        let metadata = MessageMetadata { event_id: self.id().into(), part_start: 0 };
        let told = async move {
            match token_refresh::load_with_valid_token(&app, &tenant_id).await {
                Ok(WorkspaceSnapshot { installed, .. }) => {
                    let bot =
                        BotAuth { tenant_id, token: installed.bot_token, team_id: None, send_guard: None };
                    budget::notify_budget_contacts(&app, &bot, &installed.installation, &settings, &metadata)
                        .await;
                }
                Err(failure) => tracing::warn!(error = ?failure, "nobody could be told of the budget"),
            }
        };
        desk.tasks.spawn(told.instrument(trace_spans::task("tell of budget")));
    }

    /// Lets the conversation go as it was.
    pub(super) async fn release_lease(&self) {
        let released = async {
            let mut tx = self.app.db.begin(&self.caller.tenant_id).await?;
            db::chat_leases::release(&mut tx, &self.caller.tenant_id, self.id(), self.lease).await?;
            tx.commit().await
        };
        if let Err(error) = released.await {
            tracing::warn!(error = %error, "a conversation is free again only in half a minute");
        }
    }

    async fn insert_usage(
        &self,
        tx: &mut Tx,
        seq: i64,
        deed: &CompletionRecord<'_>,
    ) -> Result<bool, Problem> {
        let (tenant_id, user_id) = (&self.caller.tenant_id, &self.subject.user_id);
        let Charge { usage, cost_micros } = deed.charge;
        let asked = NewUsage {
            user_id,
            thread: &self.thread,
            since_asked: deed.asked_at.elapsed(),
            usage,
            cost_micros: *cost_micros,
        };
        let end = UsageOutcome {
            outcome: if deed.is_partial { EventOutcome::Stopped } else { EventOutcome::Answered },
            reason: deed.is_partial.then_some("broke off"),
            since_first_token: deed.first_token_at.map(|at| at.elapsed()),
        };
        db::usage::record_api(tx, tenant_id, seq, asked, end).await?;
        let ending = budget::mark_threshold_reached(tx, tenant_id, &self.config.settings).await?;
        let is_ending = ending.is_some();
        let actor = format!("key:{}", self.caller.key_id);
        if let Some(detail) = ending {
            db::audit_log::insert(tx, tenant_id, &actor, AuditAction::BudgetWarned, detail).await?;
        }
        let detail = json!({
            "conversation_id": self.id(), "message_id": deed.message_id, "model": usage.model,
            "for": user_id, "broke_off": deed.is_partial,
        });
        db::audit_log::insert(tx, tenant_id, &actor, AuditAction::Answered, detail).await?;
        Ok(is_ending)
    }

    fn to_chat_message(&self, role: Role, text: &str) -> ChatMessage {
        let Subject { user_id, person } = &self.subject;
        ChatMessage { role, user_id: user_id.clone(), affiliation: person.affiliation, text: text.to_owned() }
    }
}

/// The question's number: the one under which money is held, or a new one.
async fn event_seq(tx: &mut Tx, deed: &CompletionRecord<'_>) -> Result<i64, db::DbError> {
    match deed.seq {
        Some(seq) => Ok(seq),
        None => db::events::next_seq(tx).await,
    }
}

fn over_budget_problem(refusal: BudgetDenied) -> Problem {
    let detail = match refusal {
        BudgetDenied::Month => {
            "What the workspace lets its bot spend in a month is used up. An admin can raise it in the dashboard, under \
             Settings; else ask again when the next month begins."
        }
        BudgetDenied::PersonDay => {
            "What the bot may spend on one person in a day is used up for this one. An admin can raise it in the dashboard, \
             under Settings; else ask again when the next day begins, in UTC."
        }
        BudgetDenied::AllReserved => {
            "What is left of the budget is held for answers in work. Ask again when those have ended, in a moment."
        }
    };
    Problem::new(ProblemKind::OverLimit, detail).with_retry_after(refusal.retry_after())
}

/// A name for a conversation or an answer: nobody guesses it, and those that are new sort last.
pub(super) fn new_id(prefix: &str) -> String {
    format!("{prefix}{}", Uuid::now_v7().simple())
}

/// What cannot be one is not asked of the database.
fn is_conversation_id(id: &str) -> bool {
    let random = id.strip_prefix("c_").unwrap_or_default();
    random.len() == 32 && random.chars().all(|c| c.is_ascii_hexdigit())
}

fn unknown_conversation_problem() -> Problem {
    let detail = "It is unknown, or another's. Leave `conversation_id` out to begin a new one.";
    Problem::new(ProblemKind::NoConversation, detail)
}

fn lease_lost_problem() -> Problem {
    Problem::new(ProblemKind::Busy, "Another answer was begun in this conversation meanwhile. Ask again.")
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
