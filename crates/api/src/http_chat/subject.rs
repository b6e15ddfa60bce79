//! The person for whom a program asks, if it names one.

use assistant::people::{self, USER_LOOKUP_TIMEOUT, person_from_slack, unknown_person};
use chrono::TimeDelta;
use models::{Affiliation, ApiScope, Person, TenantId, UserId};
use tokio::time::timeout;
use tracing::Span;

use super::caller::Caller;
use super::problem::Problem;
use super::problem_kind::ProblemKind;
use crate::job::error::JobError;
use crate::state::ApiState;
use crate::token_refresh::{load_with_valid_token, unguarded_bot};

/// Slack's word about a person counts for this time.
const MAX_SUBJECT_AGE: TimeDelta = TimeDelta::hours(1);

const UNCONFIRMED_TEXT: &str = "Slack does not confirm who `user_id` is, because it does not accept the bot's token any more. An admin must \
     add the bot to Slack again.";

/// The person for whom a program asks.
#[derive(Debug)]
pub(super) struct Subject {
    /// The person, or the key if none is named. They own the conversation, and the usage is counted for them.
    pub(super) user_id: UserId,
    pub(super) person: Person,
}

impl Subject {
    /// Returns the person, or an anonymous member if none is named.
    ///
    /// # Errors
    /// The person is unknown, deactivated or from outside the workspace: a key cannot decide what they may read
    /// here. Or Slack cannot be asked about them at the moment.
    pub(super) async fn resolve(
        state: &ApiState,
        caller: &Caller,
        user_id: Option<&str>,
    ) -> Result<Self, Problem> {
        let Some(user_id) = user_id else {
            return Ok(Self {
                user_id: format!("key:{}", caller.key_id).into(),
                person: unknown_person(Affiliation::Member),
            });
        };
        caller.require_scope(ApiScope::ChatPeople)?;
        if !is_user_id(user_id) {
            return Err(unknown_user_problem());
        }
        Span::current().record("user_id", user_id);
        let (tenant_id, user_id) = (&caller.tenant_id, UserId::from(user_id));
        let mut tx = state.db.begin(tenant_id).await?;
        let known = db::people::find_checked_within(&mut tx, tenant_id, &user_id, MAX_SUBJECT_AGE).await?;
        drop(tx);
        let person = match known {
            Some(person) => person,
            None => look_up_person(state, tenant_id, &user_id).await?,
        };
        match person.affiliation {
            Affiliation::Member | Affiliation::Guest => Ok(Self { user_id, person }),
            Affiliation::External | Affiliation::Bot => Err(Problem::new(
                ProblemKind::NotAllowed,
                "`user_id` does not belong to a person of this workspace.",
            )),
        }
    }
}

/// Asks Slack about the person, and stores the result. Nobody is answered on whom Slack does not say a word.
async fn look_up_person(state: &ApiState, tenant_id: &TenantId, user_id: &UserId) -> Result<Person, Problem> {
    let error = match timeout(USER_LOOKUP_TIMEOUT, fetch_from_slack(state, tenant_id, user_id)).await {
        Ok(Ok((person, false))) => {
            let mut tx = state.db.begin(tenant_id).await?;
            let person = people::store_person(&mut tx, tenant_id, user_id, person).await?;
            tx.commit().await?;
            return Ok(person);
        }
        Ok(Ok((_, true))) => {
            return Err(Problem::new(ProblemKind::NotAllowed, "The account of `user_id` is deactivated."));
        }
        Ok(Err(JobError::Slack(error))) if error.is_unknown_user() => return Err(unknown_user_problem()),
        Ok(Err(JobError::Slack(error))) if error.is_refusal() => {
            tracing::info!(error = %error, "user lookup refused");
            return Err(Problem::new(ProblemKind::NotAllowed, UNCONFIRMED_TEXT));
        }
        Ok(Err(JobError::Fatal { .. })) => {
            return Err(Problem::new(ProblemKind::NotAllowed, UNCONFIRMED_TEXT));
        }
        Ok(Err(error)) => error,
        Err(_) => JobError::retry("timeout"),
    };
    tracing::info!(error = ?error, "user lookup failed");
    Err(Problem::new(
        ProblemKind::Unavailable,
        "Slack cannot be asked about `user_id` at the moment. Nothing was done. Try again.",
    ))
}

/// Returns the person, and whether their account is deactivated.
async fn fetch_from_slack(
    state: &ApiState,
    tenant_id: &TenantId,
    user_id: &UserId,
) -> Result<(Person, bool), JobError> {
    let workspace = load_with_valid_token(state, tenant_id).await?;
    let user = state.slack.fetch_user(&unguarded_bot(&workspace), user_id).await?;
    let is_deactivated = user.is_deleted;
    Ok((person_from_slack(&workspace.installed.installation, user), is_deactivated))
}

fn unknown_user_problem() -> Problem {
    Problem::new(
        ProblemKind::BadRequest,
        "`user_id` is unknown in this workspace. It must be a Slack id like U012AB3CD.",
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
