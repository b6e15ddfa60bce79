//! For whom a program asks: a person of the workspace, or nobody in particular.

use std::time::Duration;

use models::{ApiScope, Origin, Person, TenantId, UserId};
use slack::{Bot, SlackUser};
use tokio::time::timeout;
use tracing::Span;

use super::caller::Caller;
use super::problem::{Kind, Problem};
use crate::app::App;
use crate::failure::Failure;
use crate::reply::asker::{to_person, unknown};
use crate::tokens;

/// How long an answer waits for Slack to say who asks.
const LEARNING: Duration = Duration::from_secs(3);

/// For whom a program asks.
#[derive(Debug)]
pub(super) struct Asker {
    /// The person, or the key where there is none: whose the conversation is, and whose the cost.
    pub(super) user_id: UserId,
    pub(super) person: Person,
}

impl Asker {
    /// A person of another organisation is asked for by nobody: what they may read here is not for a key to say.
    pub(super) async fn find(app: &App, caller: &Caller, named: Option<&str>) -> Result<Self, Problem> {
        let Some(named) = named else {
            return Ok(Self {
                user_id: format!("key:{}", caller.key_id).into(),
                person: unknown(Origin::Member),
            });
        };
        caller.may(ApiScope::ChatPeople)?;
        if !is_person_id(named) {
            return Err(nobody());
        }
        let (tenant_id, user_id) = (&caller.tenant_id, UserId::from(named));
        Span::current().record("user_id", named);
        let known = db::people::find(&mut app.db.begin(tenant_id).await?, tenant_id, &user_id).await?;
        let person = match known {
            Some(person) => person,
            None => learn(app, tenant_id, &user_id).await?,
        };
        match person.origin {
            Origin::Member | Origin::Guest => Ok(Self { user_id, person }),
            Origin::External | Origin::Bot => {
                Err(Problem::new(Kind::NotAllowed, "`user_id` is no person of this workspace."))
            }
        }
    }
}

/// What Slack says of somebody. While it says nothing they are answered without their name.
async fn learn(app: &App, tenant_id: &TenantId, user_id: &UserId) -> Result<Person, Problem> {
    let failure = match timeout(LEARNING, ask_slack(app, tenant_id, user_id)).await {
        Ok(Ok((person, false))) => {
            let mut tx = app.db.begin(tenant_id).await?;
            db::people::upsert(&mut tx, tenant_id, user_id, &person).await?;
            // With what was set here.
            let known = db::people::find(&mut tx, tenant_id, user_id).await?;
            tx.commit().await?;
            return Ok(known.unwrap_or(person));
        }
        Ok(Ok((_, true))) => {
            return Err(Problem::new(Kind::NotAllowed, "The account of `user_id` is closed."));
        }
        Ok(Err(Failure::Slack(error)))
            if matches!(error.code(), Some("user_not_found" | "user_not_visible")) =>
        {
            return Err(nobody());
        }
        Ok(Err(failure)) => failure,
        Err(_) => Failure::retry("Slack takes its time"),
    };
    tracing::info!(error = ?failure, "for whom a program asks is not known yet");
    Ok(unknown(Origin::Member))
}

/// Who they are, and whether their account is closed.
async fn ask_slack(app: &App, tenant_id: &TenantId, user_id: &UserId) -> Result<(Person, bool), Failure> {
    let installed = tokens::find_fresh(app, tenant_id).await?.installed;
    let bot = Bot { tenant_id: tenant_id.clone(), token: installed.bot_token, team_id: None, hold: None };
    let user: SlackUser = app.slack.find_user(&bot, user_id).await?;
    let is_closed = user.is_deleted;
    Ok((to_person(&installed.installation, user), is_closed))
}

fn nobody() -> Problem {
    Problem::new(
        Kind::BadRequest,
        "`user_id` is nobody's in this workspace. It is a Slack id like U012AB3CD.",
    )
}

fn is_person_id(id: &str) -> bool {
    let characters = id.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit());
    id.starts_with(['U', 'W']) && (3..=32).contains(&id.len()) && characters
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ids_of_people_are_asked_of_slack() {
        assert!(is_person_id("U0ADA") && is_person_id("W012A3CDE"));
        for wrong in ["", "U", "C0CHANNEL", "u0ada", "U0ADA&x=1", "forgotten", "key:1"] {
            assert!(!is_person_id(wrong), "{wrong}");
        }
    }
}
