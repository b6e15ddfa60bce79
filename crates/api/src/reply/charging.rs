//! An answer's money: held before the model is asked, given back where it was not needed; and what people read when there is
//! none left.

use db::Tx;
use db::audit_log::AuditAction;
use models::EventOutcome;
use serde_json::Value;
use slack::ThreadStatus;

use super::IncomingMessage;
use super::slack_message::StreamingMessage;
use crate::budget::{self, Allowance, BudgetDenied, Charge, ReserveRequest};
use crate::job_context::JobContext;
use crate::job_error::JobError;

const MONTH_BUDGET_TEXT: &str = "Sorry, what this workspace lets me spend in a month is used up. An admin can raise it in my dashboard, under Settings; else I am back when the next month begins.";

const DAY_BUDGET_TEXT: &str = "Sorry, what I may spend on one person in a day is used up for you. I am back for you when the next day begins, in UTC; an admin can raise it in my dashboard, under Settings.";

/// Said behind what there is of an answer.
const BUDGET_BREAK_OFF_TEXT: &str = "_My answer breaks off here, because what I may spend is used up. An admin can raise it in my dashboard._";

impl JobContext<'_> {
    /// Holds what a call costs at its worst. What an earlier try held is taken over.
    pub(super) async fn reserve_budget(&self, messages: &[Value]) -> Result<Allowance, JobError> {
        let (tenant_id, seq, user_id) = (&self.job.tenant_id, self.job.seq, &self.job.user_id);
        if !self.config.settings.has_budget() {
            return Ok(Allowance::unlimited(tenant_id, &self.config));
        }
        let bill =
            ReserveRequest { tenant_id, seq, user_id, config: &self.config, messages, expires_after: None };
        let mut tx = self.begin_fenced().await?;
        let reserved = budget::reserve_call(&self.app.model, &mut tx, &bill).await?;
        tx.commit().await?;
        reserved.map_err(|refusal| match refusal {
            // What is not needed of it comes back as soon as those answers have ended.
            BudgetDenied::AllReserved => {
                JobError::Throttled { reason: refusal.reason().into(), after: refusal.retry_after() }
            }
            refusal => JobError::OverBudget(refusal),
        })
    }

    /// Charges a call, in the transaction that keeps what came of it.
    pub(super) async fn charge_call(
        &self,
        tx: &mut Tx,
        purse: &Allowance,
        taken: &Charge,
    ) -> Result<(), JobError> {
        let (tenant_id, seq) = (&self.job.tenant_id, self.job.seq);
        db::replies::add_usage(tx, tenant_id, seq, &taken.usage, taken.cost_micros).await?;
        self.release_unspent(tx, purse).await
    }

    /// Holds no more than what calls have cost, which only the end of the event books: Slack may be away until then.
    pub(super) async fn release_unspent(&self, tx: &mut Tx, purse: &Allowance) -> Result<(), JobError> {
        if purse.is_reserved {
            db::reservations::settle_call(tx, &self.job.tenant_id, self.job.seq).await?;
        }
        Ok(())
    }

    /// No model took the question: others may have what was held for it.
    pub(super) async fn release_reservation(&self, purse: &Allowance) -> Result<(), JobError> {
        if !purse.is_reserved {
            return Ok(());
        }
        let mut tx = self.begin_fenced().await?;
        self.release_unspent(&mut tx, purse).await?;
        Ok(tx.commit().await?)
    }

    pub(super) async fn post_over_budget(
        &self,
        question: &IncomingMessage,
        refusal: BudgetDenied,
    ) -> Result<EventOutcome, JobError> {
        let progress = self.load_progress().await?;
        let mut draft = StreamingMessage::resume(self, question, &progress).await?;
        match progress.partial_text {
            Some(text) => draft.finish(&format!("{text}\n\n{BUDGET_BREAK_OFF_TEXT}"), None).await?,
            None if refusal == BudgetDenied::PersonDay => draft.replace(DAY_BUDGET_TEXT, None).await?,
            None => draft.replace(MONTH_BUDGET_TEXT, None).await?,
        }
        self.set_status(ThreadStatus::Active).await;
        self.finish_unanswered((EventOutcome::Refused, Some(refusal.reason()))).await
    }

    /// Notes, with an answer's cost, that somebody is to be told; once a month.
    pub(super) async fn mark_budget_threshold(&self, tx: &mut Tx) -> Result<bool, JobError> {
        match budget::mark_threshold_reached(tx, &self.job.tenant_id, &self.config.settings).await? {
            Some(detail) => {
                self.write_audit_entry(tx, AuditAction::BudgetWarned, detail).await.map(|()| true)
            }
            None => Ok(false),
        }
    }

    pub(super) async fn send_budget_alert(&self) {
        let settings = &self.config.settings;
        budget::notify_budget_contacts(
            self.app,
            &self.bot,
            &self.installation,
            settings,
            &self.message_metadata(0),
        )
        .await;
    }
}
