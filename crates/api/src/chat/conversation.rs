//! A conversation over HTTP: whose it is, what was said in it, and that one answer is made in it at a time. It is a thread
//! of the channel `api`, which Slack cannot have.

use std::sync::Arc;
use std::time::{Duration, Instant};

use db::Tx;
use db::audit_log::Action;
use db::settings::Stored;
use db::usage::{Asked, End};
use db::workspaces::Workspace;
use models::{Outcome, Role, ThreadKey, Turn};
use serde_json::{Value, json};
use slack::{Bot, MessageMetadata};
use tokio::time::sleep;
use tracing::Instrument;
use uuid::Uuid;

use super::Desk;
use super::asker::Asker;
use super::caller::Caller;
use super::problem::{Kind, Problem};
use crate::app::App;
use crate::money::{self, Bill, Purse, Refusal, Taken};
use crate::reply::prompt::{MAX_TURNS, begin, introduce, marked};
use crate::{spans, tokens, workspaces};

const CHANNEL: &str = "api";

const PLACE: &str = "a conversation with a program that people of the workspace use";

/// Between two renewals of the lease, which lasts for thirty seconds.
const RENEWAL: Duration = Duration::from_secs(8);

/// Seconds after which nobody makes an answer any more for which money is held: longer than one may take.
const HELD_FOR: f64 = 360.0;

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
    /// The question's number, where money is held for it.
    pub(super) seq: Option<i64>,
    pub(super) taken: &'a Taken,
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
        let found = workspaces::find(app, tenant_id).await?.ok_or(db::DbError::NotInstalled)?;
        let (workspace, stored) = (found.installed.installation.name, found.settings);
        let mut tx = app.db.begin(tenant_id).await?;
        if named.is_some() && !db::turns::is_known(&mut tx, tenant_id, &thread, &asker.user_id).await? {
            return Err(none());
        }
        let Some(lease) = db::chat_leases::take(&mut tx, tenant_id, &conversation_id).await? else {
            let detail = "Wait for the answer to the last message of this conversation, then ask again.";
            return Err(Problem::new(Kind::Busy, detail));
        };
        // Read behind the lease: what another answer has just added is there.
        let turns = db::turns::list(&mut tx, tenant_id, &thread, MAX_TURNS).await?;
        tx.commit().await?;
        Ok(Self { app, caller, asker, thread, lease, workspace, stored, turns })
    }

    pub(super) fn id(&self) -> &str {
        self.thread.thread_ts.as_str()
    }

    /// Holds what an answer costs at its worst, and the question's number with it; where nothing is limited, nothing.
    pub(super) async fn reserve(&self, messages: &[Value]) -> Result<(Purse, Option<i64>), Problem> {
        let (tenant_id, user_id) = (&self.caller.tenant_id, &self.asker.user_id);
        if !self.stored.settings.has_budget() {
            return Ok((Purse::open(tenant_id, &self.stored), None));
        }
        let mut tx = self.app.db.begin(tenant_id).await?;
        let seq = db::events::next_seq(&mut tx).await?;
        let (stored, expires_after) = (&self.stored, Some(HELD_FOR));
        let bill = Bill { tenant_id, seq, user_id, stored, messages, expires_after };
        let reserved = money::reserve(&self.app.model, &mut tx, &bill).await?;
        tx.commit().await?;
        reserved.map(|purse| (purse, Some(seq))).map_err(over_budget)
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
                let (tenant_id, id) = (&self.caller.tenant_id, self.id());
                let mut tx = self.app.db.begin(tenant_id).await?;
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

    /// What was said, what it cost and the audit entry, or none of them; the conversation is free again. Whether somebody is to
    /// be told that the budget goes to its end.
    pub(super) async fn keep(&self, message: &str, answer: &str, deed: &Deed<'_>) -> Result<bool, Problem> {
        let turns = [self.turn(Role::User, message), self.turn(Role::Assistant, answer)];
        let tenant_id = &self.caller.tenant_id;
        let mut tx = self.app.db.begin(tenant_id).await?;
        if !db::chat_leases::release(&mut tx, tenant_id, self.id(), self.lease).await? {
            return Err(lost());
        }
        let seq = number(&mut tx, deed).await?;
        db::turns::insert(&mut tx, tenant_id, &self.thread, seq, &turns).await?;
        let is_ending = self.book_in(&mut tx, seq, deed).await?;
        tx.commit().await?;
        Ok(is_ending)
    }

    /// The cost of an answer that broke off. What was said is not remembered: whoever asked does not have it, and asks
    /// again.
    pub(super) async fn book(&self, deed: &Deed<'_>) -> Result<bool, Problem> {
        let mut tx = self.app.db.begin(&self.caller.tenant_id).await?;
        let seq = number(&mut tx, deed).await?;
        let is_ending = self.book_in(&mut tx, seq, deed).await?;
        tx.commit().await?;
        Ok(is_ending)
    }

    /// Gives back what was held for an answer of which the model has not said a word.
    pub(super) async fn give_back(&self, seq: i64) {
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
    pub(super) fn tell_of_budget(&self, desk: &Arc<Desk>) {
        let (app, tenant_id) = (Arc::clone(&desk.app), self.caller.tenant_id.clone());
        let settings = self.stored.settings.clone();
        let metadata = MessageMetadata { event_id: self.id().into(), part_start: 0 };
        let told = async move {
            match tokens::find_fresh(&app, &tenant_id).await {
                Ok(Workspace { installed, .. }) => {
                    let bot = Bot { tenant_id, token: installed.bot_token, team_id: None, hold: None };
                    money::tell(&app, &bot, &installed.installation, &settings, &metadata).await;
                }
                Err(failure) => tracing::warn!(error = ?failure, "nobody could be told of the budget"),
            }
        };
        desk.tasks.spawn(told.instrument(spans::task("tell of budget")));
    }

    /// Lets the conversation go as it was.
    pub(super) async fn let_go(&self) {
        let released = async {
            let mut tx = self.app.db.begin(&self.caller.tenant_id).await?;
            db::chat_leases::release(&mut tx, &self.caller.tenant_id, self.id(), self.lease).await?;
            tx.commit().await
        };
        if let Err(error) = released.await {
            tracing::warn!(error = %error, "a conversation is free again only in half a minute");
        }
    }

    async fn book_in(&self, tx: &mut Tx, seq: i64, deed: &Deed<'_>) -> Result<bool, Problem> {
        let (tenant_id, user_id) = (&self.caller.tenant_id, &self.asker.user_id);
        let Taken { usage, cost_micros } = deed.taken;
        let asked = Asked {
            user_id,
            thread: &self.thread,
            since_asked: deed.asked_at.elapsed(),
            usage,
            cost_micros: *cost_micros,
        };
        let end = End {
            outcome: if deed.broke_off { Outcome::Stopped } else { Outcome::Answered },
            reason: deed.broke_off.then_some("broke off"),
            since_first_word: deed.first_word_at.map(|at| at.elapsed()),
        };
        db::usage::insert(tx, tenant_id, seq, asked, end).await?;
        let ending = money::note_ending(tx, tenant_id, &self.stored.settings).await?;
        let is_ending = ending.is_some();
        let actor = format!("key:{}", self.caller.key_id);
        if let Some(detail) = ending {
            db::audit_log::insert(tx, tenant_id, &actor, Action::BudgetWarned, detail).await?;
        }
        let detail = json!({
            "conversation_id": self.id(), "message_id": deed.message_id, "model": usage.model,
            "for": user_id, "broke_off": deed.broke_off,
        });
        db::audit_log::insert(tx, tenant_id, &actor, Action::Answered, detail).await?;
        Ok(is_ending)
    }

    fn turn(&self, role: Role, text: &str) -> Turn {
        let Asker { user_id, person } = &self.asker;
        Turn { role, user_id: user_id.clone(), origin: person.origin, text: text.to_owned() }
    }
}

/// The question's number: the one under which money is held, or a new one.
async fn number(tx: &mut Tx, deed: &Deed<'_>) -> Result<i64, db::DbError> {
    match deed.seq {
        Some(seq) => Ok(seq),
        None => db::events::next_seq(tx).await,
    }
}

fn over_budget(refusal: Refusal) -> Problem {
    let detail = match refusal {
        Refusal::Month => {
            "What the workspace lets its bot spend in a month is used up. An admin can raise it in the dashboard, under \
             Settings; else ask again when the next month begins."
        }
        Refusal::PersonDay => {
            "What the bot may spend on one person in a day is used up for this one. An admin can raise it in the dashboard, \
             under Settings; else ask again when the next day begins, in UTC."
        }
        Refusal::Held => {
            "What is left of the budget is held for answers in work. Ask again when those have ended, in a moment."
        }
    };
    Problem::new(Kind::OverLimit, detail).after(refusal.ends_in())
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
