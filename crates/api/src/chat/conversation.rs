//! A conversation over HTTP: whose it is, what was said in it, and that one answer is made in it at a time. It is a thread
//! of the channel `api`, which Slack cannot have.

use std::time::{Duration, Instant};

use chrono::{Months, NaiveTime, Utc};
use db::Tx;
use db::audit_log::Action;
use db::settings::Stored;
use db::usage::{Asked, End};
use llm::Choice;
use models::{Outcome, Role, ThreadKey, Turn, Usage};
use serde_json::{Value, json};
use tokio::time::sleep;
use uuid::Uuid;

use super::asker::Asker;
use super::caller::Caller;
use super::problem::{Kind, Problem};
use crate::app::App;
use crate::reply::answer::choice;
use crate::reply::prompt::{MAX_TURNS, begin, introduce, marked};

const CHANNEL: &str = "api";

const PLACE: &str = "a conversation with a program that people of the workspace use";

/// Between two renewals of the lease, which lasts for thirty seconds.
const RENEWAL: Duration = Duration::from_secs(8);

/// A conversation in which an answer is being made.
pub(super) struct Conversation<'a> {
    app: &'a App,
    caller: &'a Caller,
    asker: Asker,
    thread: ThreadKey,
    lease: Uuid,
    workspace: String,
    stored: Stored,
    turns: Vec<Turn>,
}

/// What is written down of an answer.
pub(super) struct Deed<'a> {
    pub(super) message_id: &'a str,
    pub(super) usage: &'a Usage,
    pub(super) asked_at: Instant,
    pub(super) first_word_at: Option<Instant>,
    /// Whether nobody got it as a whole.
    pub(super) broke_off: bool,
}

impl<'a> Conversation<'a> {
    /// Begins one, or goes on in one of the same person or key; nobody else answers in it until it is let go.
    pub(super) async fn open(
        app: &'a App,
        caller: &'a Caller,
        asker: Asker,
        named: Option<&str>,
    ) -> Result<Self, Problem> {
        let conversation_id = match named {
            Some(id) if is_conversation_id(id) => id.to_owned(),
            Some(_) => return Err(none()),
            None => new_id("c_"),
        };
        let thread = ThreadKey { channel_id: CHANNEL.into(), thread_ts: conversation_id.as_str().into() };
        let tenant_id = &caller.tenant_id;
        let mut tx = app.db.begin().await?;
        if named.is_some() && !db::turns::is_known(&mut tx, tenant_id, &thread, &asker.user_id).await? {
            return Err(none());
        }
        let Some(lease) = db::chat_leases::take(&mut tx, tenant_id, &conversation_id).await? else {
            let detail = "Wait for the answer to the last message of this conversation, then ask again.";
            return Err(Problem::new(Kind::Busy, detail));
        };
        // Read behind the lease: what another answer has just added is there.
        let turns = db::turns::list(&mut tx, tenant_id, &thread, MAX_TURNS).await?;
        let installed = db::installations::find(&mut tx, tenant_id).await?;
        let workspace = installed.ok_or(db::DbError::NotInstalled)?.installation.name;
        let stored = db::settings::find(&mut tx, tenant_id).await?;
        tx.commit().await?;
        Ok(Self { app, caller, asker, thread, lease, workspace, stored, turns })
    }

    pub(super) fn id(&self) -> &str {
        self.thread.thread_ts.as_str()
    }

    /// The models and the key that the workspace has chosen.
    pub(super) fn choice(&self) -> Choice {
        choice(&self.caller.tenant_id, &self.stored)
    }

    /// Refuses an answer for which the workspace's budget has nothing left.
    pub(super) async fn check_budget(&self) -> Result<(), Problem> {
        let Some(budget) = self.stored.settings.budget_micros else { return Ok(()) };
        let mut tx = self.app.db.begin().await?;
        if db::usage::spent_this_month(&mut tx, &self.caller.tenant_id).await? < budget {
            return Ok(());
        }
        let detail = "What the workspace lets its bot spend in a month is used up. An admin can raise it in the dashboard, \
                      under Settings; else ask again when the next month begins.";
        Err(Problem::new(Kind::OverLimit, detail).after(until_next_month()))
    }

    /// What the model is asked.
    pub(super) fn prompt(&self, message: &str) -> Vec<Value> {
        let settings = &self.stored.settings;
        let instructions = introduce(&self.workspace, PLACE, &self.asker.person, "", settings);
        let mut messages = begin(&instructions, &self.turns, settings);
        let content = marked(self.asker.person.origin, &settings.shown(message));
        messages.push(json!({ "role": Role::User.as_str(), "content": content }));
        messages
    }

    /// Keeps the conversation while an answer is made; returns once it is another answer's.
    pub(super) async fn hold(&self) -> Problem {
        loop {
            sleep(RENEWAL).await;
            let renewed = async {
                let mut tx = self.app.db.begin().await?;
                let (tenant_id, id) = (&self.caller.tenant_id, self.id());
                let held = db::chat_leases::renew(&mut tx, tenant_id, id, self.lease).await?;
                tx.commit().await?;
                Ok::<_, db::DbError>(held)
            };
            match renewed.await {
                Ok(true) => {}
                Ok(false) => return lost(),
                // The end finds out whether it is still held.
                Err(error) => tracing::warn!(error = %error, "a conversation could not be kept"),
            }
        }
    }

    /// What was said, what it cost and the audit entry, or none of them; the conversation is free again.
    pub(super) async fn keep(&self, message: &str, answer: &str, deed: &Deed<'_>) -> Result<(), Problem> {
        let turns = [self.turn(Role::User, message), self.turn(Role::Assistant, answer)];
        let tenant_id = &self.caller.tenant_id;
        let mut tx = self.app.db.begin().await?;
        if !db::chat_leases::release(&mut tx, tenant_id, self.id(), self.lease).await? {
            return Err(lost());
        }
        let seq = db::events::next_seq(&mut tx).await?;
        db::turns::insert(&mut tx, tenant_id, &self.thread, seq, &turns).await?;
        self.book_in(&mut tx, seq, deed).await?;
        Ok(tx.commit().await?)
    }

    /// The cost of an answer that broke off. What was said is not remembered: whoever asked does not have it, and asks
    /// again.
    pub(super) async fn book(&self, deed: &Deed<'_>) -> Result<(), Problem> {
        let mut tx = self.app.db.begin().await?;
        let seq = db::events::next_seq(&mut tx).await?;
        self.book_in(&mut tx, seq, deed).await?;
        Ok(tx.commit().await?)
    }

    /// Lets the conversation go as it was.
    pub(super) async fn let_go(&self) {
        let released = async {
            let mut tx = self.app.db.begin().await?;
            db::chat_leases::release(&mut tx, &self.caller.tenant_id, self.id(), self.lease).await?;
            tx.commit().await
        };
        if let Err(error) = released.await {
            tracing::warn!(error = %error, "a conversation is free again only in half a minute");
        }
    }

    async fn book_in(&self, tx: &mut Tx, seq: i64, deed: &Deed<'_>) -> Result<(), Problem> {
        let (tenant_id, user_id) = (&self.caller.tenant_id, &self.asker.user_id);
        let Usage { model, prompt_tokens, completion_tokens } = deed.usage;
        let asked = Asked { user_id, thread: &self.thread, since_asked: deed.asked_at.elapsed() };
        let end = End {
            outcome: if deed.broke_off { Outcome::Stopped } else { Outcome::Answered },
            reason: deed.broke_off.then_some("broke off"),
            usage: deed.usage,
            cost_micros: llm::cost_micros(model, *prompt_tokens, *completion_tokens).unwrap_or_default(),
            since_first_word: deed.first_word_at.map(|at| at.elapsed()),
        };
        db::usage::insert(tx, tenant_id, seq, asked, end).await?;
        let detail = json!({
            "conversation_id": self.id(), "message_id": deed.message_id, "model": model,
            "for": user_id, "broke_off": deed.broke_off,
        });
        let actor = format!("key:{}", self.caller.key_id);
        Ok(db::audit_log::insert(tx, tenant_id, &actor, Action::Answered, detail).await?)
    }

    fn turn(&self, role: Role, text: &str) -> Turn {
        let Asker { user_id, person } = &self.asker;
        Turn { role, user_id: user_id.clone(), origin: person.origin, text: text.to_owned() }
    }
}

fn until_next_month() -> Duration {
    let now = Utc::now();
    let first = chrono::Datelike::with_day(&now.date_naive(), 1)
        .and_then(|day| day.checked_add_months(Months::new(1)));
    let begins = first.map(|day| day.and_time(NaiveTime::MIN).and_utc());
    begins.and_then(|begins| (begins - now).to_std().ok()).unwrap_or_default()
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

fn none() -> Problem {
    let detail = "It is unknown, or another's. Leave `conversation_id` out to begin a new one.";
    Problem::new(Kind::NoConversation, detail)
}

fn lost() -> Problem {
    Problem::new(Kind::Busy, "Another answer was begun in this conversation meanwhile. Ask again.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_made_here_can_be_a_conversation() {
        assert!(is_conversation_id(&new_id("c_")));
        for wrong in ["", "c_", "1732500000.000100", "c_0199a5b2c3d47e6f8091a2b3c4d5e6f\0", &new_id("m_")] {
            assert!(!is_conversation_id(wrong), "{wrong}");
        }
    }
}
