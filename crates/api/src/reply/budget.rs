//! What answers may cost in a month: whoever is to know is told before it is used up, and then nobody is answered any
//! more.

use db::Tx;
use db::audit_log::Action;
use models::{Outcome, UserId};
use serde_json::json;
use slack::{NewMessage, SlackError};

use super::Question;
use super::draft::Draft;
use crate::failure::Failure;
use crate::work::Work;

/// Hundredths of the budget at which somebody is told.
const TOLD_AT: i64 = 80;

const OVER: &str = "Sorry, what this workspace lets me spend in a month is used up. An admin can raise it in my dashboard, under Settings; else I am back when the next month begins.";

impl Work<'_> {
    /// Whether an answer that was not begun is one too many.
    pub(super) async fn is_over_budget(&self) -> Result<bool, Failure> {
        let Some(budget) = self.settings.settings.budget_micros.filter(|_| !self.job.is_begun) else {
            return Ok(false);
        };
        let mut tx = self.app.db.begin().await?;
        Ok(db::usage::spent_this_month(&mut tx, &self.job.tenant_id).await? >= budget)
    }

    pub(super) async fn say_over_budget(&self, question: &Question) -> Result<Outcome, Failure> {
        Draft::resume(self, question, &self.progress().await?).await?.replace(OVER, None).await?;
        self.refuse((Outcome::Refused, Some("over budget"))).await
    }

    /// Notes, with an answer's cost, that somebody is to be told; once a month.
    pub(super) async fn is_budget_ending(&self, tx: &mut Tx) -> Result<bool, Failure> {
        let tenant_id = &self.job.tenant_id;
        let Some(budget) = self.settings.settings.budget_micros else { return Ok(false) };
        let spent = db::usage::spent_this_month(tx, tenant_id).await?;
        if spent.saturating_mul(100) < budget.saturating_mul(TOLD_AT)
            || !db::settings::note_budget_told(tx, tenant_id).await?
        {
            return Ok(false);
        }
        let detail = json!({ "spent_micros": spent, "budget_micros": budget });
        self.audit(tx, Action::BudgetWarned, detail).await?;
        Ok(true)
    }

    /// Tells those who are to know, each in their own conversation with the bot.
    pub(super) async fn tell_of_budget(&self) {
        let settings = &self.settings.settings;
        let budget = settings.budget_micros.unwrap_or_default() as f64 / 1e6;
        let text = format!(
            "More than {TOLD_AT} % of what I may spend this month ({budget:.2} $) is used up. When all of it is, I answer \
             nobody until the next month begins, or until an admin raises it in my dashboard, under Settings."
        );
        let told = match settings.budget_told.as_slice() {
            [] => std::slice::from_ref(&self.installation.installed_by),
            told => told,
        };
        for user_id in told {
            if let Err(error) = self.write_to(user_id, &text).await {
                tracing::warn!(error = %error, "somebody could not be told of the budget");
            }
        }
    }

    async fn write_to(&self, user_id: &UserId, text: &str) -> Result<(), SlackError> {
        let dm = self.app.slack.open_dm(&self.bot, user_id).await?;
        let metadata = self.metadata(0);
        let message = NewMessage {
            channel_id: &dm,
            thread_ts: None,
            markdown: text,
            metadata: &metadata,
            buttons: None,
        };
        self.app.slack.post_message(&self.bot, &message).await.map(drop)
    }
}
