//! An answer's money: held before the model is asked, given back where it was not needed; and what people read when there is
//! none left.

use db::Tx;
use db::audit_log::Action;
use models::Outcome;
use serde_json::Value;
use slack::Status;

use super::Question;
use super::draft::Draft;
use crate::failure::Failure;
use crate::money::{self, Bill, Purse, Refusal, Taken};
use crate::work::Work;

const OVER: &str = "Sorry, what this workspace lets me spend in a month is used up. An admin can raise it in my dashboard, under Settings; else I am back when the next month begins.";

const OVER_TODAY: &str = "Sorry, what I may spend on one person in a day is used up for you. I am back for you when the next day begins, in UTC; an admin can raise it in my dashboard, under Settings.";

/// Said behind what there is of an answer.
const BREAKS_OFF: &str = "_My answer breaks off here, because what I may spend is used up. An admin can raise it in my dashboard._";

impl Work<'_> {
    /// Holds what a call costs at its worst. What an earlier try held is taken over.
    pub(super) async fn reserve(&self, messages: &[Value]) -> Result<Purse, Failure> {
        let (tenant_id, seq, user_id) = (&self.job.tenant_id, self.job.seq, &self.job.user_id);
        if !self.settings.settings.has_budget() {
            return Ok(Purse::open(tenant_id, &self.settings));
        }
        let bill = Bill { tenant_id, seq, user_id, stored: &self.settings, messages, expires_after: None };
        let mut tx = self.fenced().await?;
        let reserved = money::reserve(&self.app.model, &mut tx, &bill).await?;
        tx.commit().await?;
        reserved.map_err(|refusal| match refusal {
            // What is not needed of it comes back as soon as those answers have ended.
            Refusal::Held => Failure::Throttled { reason: refusal.reason().into(), after: refusal.ends_in() },
            refusal => Failure::OverBudget(refusal),
        })
    }

    /// Charges a call, in the transaction that keeps what came of it.
    pub(super) async fn charge(&self, tx: &mut Tx, purse: &Purse, taken: &Taken) -> Result<(), Failure> {
        let (tenant_id, seq) = (&self.job.tenant_id, self.job.seq);
        db::replies::charge(tx, tenant_id, seq, &taken.usage, taken.cost_micros).await?;
        self.end_call(tx, purse).await
    }

    /// Holds no more than what calls have cost, which only the end of the event books: Slack may be away until then.
    pub(super) async fn end_call(&self, tx: &mut Tx, purse: &Purse) -> Result<(), Failure> {
        if purse.is_held {
            db::reservations::end_call(tx, &self.job.tenant_id, self.job.seq).await?;
        }
        Ok(())
    }

    /// No model took the question: others may have what was held for it.
    pub(super) async fn give_back(&self, purse: &Purse) -> Result<(), Failure> {
        if !purse.is_held {
            return Ok(());
        }
        let mut tx = self.fenced().await?;
        self.end_call(&mut tx, purse).await?;
        Ok(tx.commit().await?)
    }

    pub(super) async fn say_over_budget(
        &self,
        question: &Question,
        refusal: Refusal,
    ) -> Result<Outcome, Failure> {
        let progress = self.progress().await?;
        let mut draft = Draft::resume(self, question, &progress).await?;
        match progress.text_so_far {
            Some(text) => draft.finish(&format!("{text}\n\n{BREAKS_OFF}"), None).await?,
            None if refusal == Refusal::PersonDay => draft.replace(OVER_TODAY, None).await?,
            None => draft.replace(OVER, None).await?,
        }
        self.set_status(Status::Active).await;
        self.refuse((Outcome::Refused, Some(refusal.reason()))).await
    }

    /// Notes, with an answer's cost, that somebody is to be told; once a month.
    pub(super) async fn is_budget_ending(&self, tx: &mut Tx) -> Result<bool, Failure> {
        match money::note_ending(tx, &self.job.tenant_id, &self.settings.settings).await? {
            Some(detail) => self.audit(tx, Action::BudgetWarned, detail).await.map(|()| true),
            None => Ok(false),
        }
    }

    pub(super) async fn tell_of_budget(&self) {
        let settings = &self.settings.settings;
        money::tell(self.app, &self.bot, &self.installation, settings, &self.metadata(0)).await;
    }
}
