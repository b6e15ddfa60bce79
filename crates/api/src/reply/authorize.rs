//! Decides who is answered. People of other organisations are refused until an admin opens the channel to
//! them, and so is a bot that keeps talking to this one.

use assistant::people;
use models::{Affiliation, InboundMessage, Installation, Person, Role};

use super::notices::post_notice_once;
use crate::job::context::JobContext;
use crate::job::error::JobError;

/// Messages of another bot in a row that are answered in a thread.
const MAX_BOT_MESSAGES: usize = 3;

const EXTERNAL_DENIED_TEXT: &str =
    "Sorry, I only answer people of the workspace I belong to. An admin there can open this channel to you.";

/// The decision on the person who asks.
pub(super) enum Requester {
    /// They are answered.
    Allowed(Person),
    /// They are answered, and Slack is asked about them meanwhile.
    Unknown,
    /// They are not answered, for this reason.
    Denied(&'static str),
}

/// Decides whether the person is answered. A new person is `Unknown` if nothing points to another
/// organisation.
pub(super) async fn authorize_requester(
    context: &JobContext<'_>,
    installation: &Installation,
    message: &InboundMessage,
) -> Result<Requester, JobError> {
    let job = context.job;
    let known = db::people::find(&mut context.begin().await?, &job.tenant_id, &job.user_id).await?;
    let person = match known {
        Some(person) => person,
        None if is_possibly_external(installation, message) => {
            resolve_external(context, installation).await?
        }
        None => return Ok(Requester::Unknown),
    };
    match person.affiliation {
        Affiliation::Member | Affiliation::Guest => Ok(Requester::Allowed(person)),
        Affiliation::External => authorize_external(context, person).await,
        Affiliation::Bot => authorize_bot(context, person).await,
    }
}

/// Asks Slack about the person, and stores the result for a day, unless they were forgotten meanwhile.
pub(super) async fn fetch_person(
    context: &JobContext<'_>,
    installation: &Installation,
) -> Result<Person, JobError> {
    let job = context.job;
    let user = context.slack.fetch_user(&context.bot, &job.user_id).await?;
    let person = people::person_from_slack(installation, user);
    let mut tx = context.begin_fenced().await?;
    if !db::events::is_open(&mut tx, &job.tenant_id, job.seq).await? {
        return Ok(person);
    }
    let person = people::store_person(&mut tx, &job.tenant_id, &job.user_id, person).await?;
    tx.commit().await?;
    Ok(person)
}

/// Returns whether the message may be from outside. Slack's event names only its author's own workspace.
fn is_possibly_external(installation: &Installation, message: &InboundMessage) -> bool {
    let is_own = |team_id: &str| {
        let team = installation.team_id.as_ref().map(|id| id.as_str());
        let enterprise = installation.enterprise_id.as_ref().map(|id| id.as_str());
        team.is_none() || team == Some(team_id) || enterprise == Some(team_id)
    };
    message.is_ext_shared || message.user_team_id.as_ref().is_some_and(|id| !is_own(id.as_str()))
}

/// Asks Slack about a person who may be external. They count as external if Slack does not say.
async fn resolve_external(context: &JobContext<'_>, installation: &Installation) -> Result<Person, JobError> {
    match fetch_person(context, installation).await {
        Err(JobError::Slack(error)) if error.is_refusal() => {
            tracing::warn!(error = %error, "user lookup failed");
            Ok(people::unknown_person(Affiliation::External))
        }
        fetched => fetched,
    }
}

async fn authorize_external(context: &JobContext<'_>, person: Person) -> Result<Requester, JobError> {
    let job = context.job;
    let mut tx = context.begin().await?;
    if db::channels::is_external_allowed(&mut tx, &job.tenant_id, &job.thread.channel_id).await? {
        return Ok(Requester::Allowed(person));
    }
    drop(tx);
    post_notice_once(context, EXTERNAL_DENIED_TEXT).await?;
    Ok(Requester::Denied("external people are not answered in this channel"))
}

async fn authorize_bot(context: &JobContext<'_>, person: Person) -> Result<Requester, JobError> {
    let job = context.job;
    let mut tx = context.begin().await?;
    let limit = i64::try_from(2 * MAX_BOT_MESSAGES).unwrap_or(i64::MAX);
    let history = db::chat_memory::list(&mut tx, &job.tenant_id, &job.thread, limit).await?;
    let asked = history.iter().rev().filter(|message| message.role == Role::User);
    if asked.take_while(|message| message.affiliation == Affiliation::Bot).count() >= MAX_BOT_MESSAGES {
        return Ok(Requester::Denied("two bots would talk to each other forever"));
    }
    Ok(Requester::Allowed(person))
}
