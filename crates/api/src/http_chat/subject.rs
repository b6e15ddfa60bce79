//! For whom a program asks: a person of the workspace, or nobody in particular.

use std::time::Duration;

use models::{Affiliation, ApiScope, Person, TenantId, UserId};
use slack::{BotAuth, SlackUser};
use tokio::time::timeout;
use tracing::Span;

use super::caller::Caller;
use super::problem::{Problem, ProblemKind};
use crate::job_error::JobError;
use crate::reply::authorize::{person_from_slack, unknown_person};
use crate::state::ApiState;
use crate::token_refresh;

/// How long an answer waits for Slack to say who asks.
const SUBJECT_LOOKUP_TIMEOUT: Duration = Duration::from_secs(3);

/// For whom a program asks.
#[derive(Debug)]
pub(super) struct Subject {
    /// The person, or the key where there is none: whose the conversation is, and whose the cost.
    pub(super) user_id: UserId,
    pub(super) person: Person,
}

impl Subject {
    /// A person of another organisation is asked for by nobody: what they may read here is not for a key to say.
    pub(super) async fn resolve(
        app: &ApiState,
        caller: &Caller,
        named: Option<&str>,
    ) -> Result<Self, Problem> {
        let Some(named) = named else {
            return Ok(Self {
                user_id: format!("key:{}", caller.key_id).into(),
                person: unknown_person(Affiliation::Member),
            });
        };
        caller.require_scope(ApiScope::ChatPeople)?;
        if !is_user_id(named) {
            return Err(unknown_user_problem());
        }
        let (tenant_id, user_id) = (&caller.tenant_id, UserId::from(named));
        Span::current().record("user_id", named);
        let known = db::people::find(&mut app.db.begin(tenant_id).await?, tenant_id, &user_id).await?;
        let person = match known {
            Some(person) => person,
            None => look_up_person(app, tenant_id, &user_id).await?,
        };
        match person.affiliation {
            Affiliation::Member | Affiliation::Guest => Ok(Self { user_id, person }),
            Affiliation::External | Affiliation::Bot => {
                Err(Problem::new(ProblemKind::NotAllowed, "`user_id` is no person of this workspace."))
            }
        }
    }
}

/// What Slack says of somebody. While it says nothing they are answered without their name.
async fn look_up_person(app: &ApiState, tenant_id: &TenantId, user_id: &UserId) -> Result<Person, Problem> {
    let failure = match timeout(SUBJECT_LOOKUP_TIMEOUT, fetch_from_slack(app, tenant_id, user_id)).await {
        Ok(Ok((person, false))) => {
            let mut tx = app.db.begin(tenant_id).await?;
            db::people::upsert(&mut tx, tenant_id, user_id, &person).await?;
            // With what was set here.
            let known = db::people::find(&mut tx, tenant_id, user_id).await?;
            tx.commit().await?;
            return Ok(known.unwrap_or(person));
        }
        Ok(Ok((_, true))) => {
            return Err(Problem::new(ProblemKind::NotAllowed, "The account of `user_id` is closed."));
        }
        Ok(Err(JobError::Slack(error)))
            if matches!(error.code(), Some("user_not_found" | "user_not_visible")) =>
        {
            return Err(unknown_user_problem());
        }
        Ok(Err(failure)) => failure,
        Err(_) => JobError::retry("Slack takes its time"),
    };
    tracing::info!(error = ?failure, "for whom a program asks is not known yet");
    Ok(unknown_person(Affiliation::Member))
}

/// Who they are, and whether their account is closed.
async fn fetch_from_slack(
    app: &ApiState,
    tenant_id: &TenantId,
    user_id: &UserId,
) -> Result<(Person, bool), JobError> {
    let installed = token_refresh::load_with_valid_token(app, tenant_id).await?.installed;
    let bot =
        BotAuth { tenant_id: tenant_id.clone(), token: installed.bot_token, team_id: None, send_guard: None };
    let user: SlackUser = app.slack.fetch_user(&bot, user_id).await?;
    let is_closed = user.is_deleted;
    Ok((person_from_slack(&installed.installation, user), is_closed))
}

fn unknown_user_problem() -> Problem {
    Problem::new(
        ProblemKind::BadRequest,
        "`user_id` is nobody's in this workspace. It is a Slack id like U012AB3CD.",
    )
}

fn is_user_id(id: &str) -> bool {
    let characters = id.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit());
    id.starts_with(['U', 'W']) && (3..=32).contains(&id.len()) && characters
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_id_format_is_checked() {
        assert!(is_user_id("U0ADA") && is_user_id("W012A3CDE"));
        for wrong in ["", "U", "C0CHANNEL", "u0ada", "U0ADA&x=1", "forgotten", "key:1"] {
            assert!(!is_user_id(wrong), "{wrong}");
        }
    }
}
