//! Who is asking, and whether they are answered: closed to people of other organisations until a channel is opened to
//! them, and to a bot that talks to this one in circles.

use models::{Affiliation, EmployeeProfile, Installation, Person, Role};
use slack::SlackUser;

use super::IncomingMessage;
use crate::job_context::JobContext;
use crate::job_error::JobError;

/// Turns of another bot in a row that are answered in a thread.
const MAX_BOT_MESSAGES: usize = 3;

const EXTERNAL_DENIED_TEXT: &str =
    "Sorry, I only answer people of the workspace I belong to. An admin there can open this channel to you.";

/// What is to be done about whoever asks.
pub(super) enum Requester {
    /// They are answered.
    Allowed(Person),
    /// They are answered, and nothing is known of them yet.
    Unknown,
    /// They are not, and why.
    Denied(&'static str),
}

impl JobContext<'_> {
    /// Where nothing hints at another organisation, somebody new is answered while Slack is asked about them.
    pub(super) async fn authorize_requester(
        &self,
        question: &IncomingMessage,
    ) -> Result<Requester, JobError> {
        let (tenant_id, user_id) = (&self.job.tenant_id, &self.job.user_id);
        let known = db::people::find(&mut self.app.db.begin(tenant_id).await?, tenant_id, user_id).await?;
        let person = match known {
            Some(person) => person,
            None if self.is_possibly_external(question) => self.resolve_external().await?,
            None => return Ok(Requester::Unknown),
        };
        match person.affiliation {
            Affiliation::Member | Affiliation::Guest => Ok(Requester::Allowed(person)),
            Affiliation::External => self.authorize_external(person).await,
            Affiliation::Bot => self.authorize_bot(person).await,
        }
    }

    /// Slack says of a message only where its writer comes from; what they are here is asked.
    fn is_possibly_external(&self, question: &IncomingMessage) -> bool {
        let known = |team_id: &str| {
            let team = self.installation.team_id.as_ref().map(|id| id.as_str());
            let enterprise = self.installation.enterprise_id.as_ref().map(|id| id.as_str());
            team.is_none() || team == Some(team_id) || enterprise == Some(team_id)
        };
        question.is_ext_shared || question.user_team_id.as_ref().is_some_and(|id| !known(id.as_str()))
    }

    /// Somebody who may be of another organisation; so they are, where Slack does not tell.
    async fn resolve_external(&self) -> Result<Person, JobError> {
        match self.fetch_person().await {
            Err(JobError::Slack(error))
                if !matches!(
                    error.kind(),
                    slack::SlackErrorKind::RateLimited(_)
                        | slack::SlackErrorKind::Transient
                        | slack::SlackErrorKind::TokenExpired
                ) =>
            {
                tracing::warn!(error = %error, "who asks is not known");
                Ok(unknown_person(Affiliation::External))
            }
            learned => learned,
        }
    }

    /// Asks Slack who asks, for a day.
    pub(super) async fn fetch_person(&self) -> Result<Person, JobError> {
        let user = self.app.slack.fetch_user(&self.bot, &self.job.user_id).await?;
        let person = person_from_slack(&self.installation, user);
        let mut tx = self.begin_fenced().await?;
        let (tenant_id, user_id) = (&self.job.tenant_id, &self.job.user_id);
        db::people::upsert(&mut tx, tenant_id, user_id, &person).await?;
        // With what was set here.
        let known = db::people::find(&mut tx, tenant_id, user_id).await?;
        tx.commit().await?;
        Ok(known.unwrap_or(person))
    }

    /// They are told once a thread, and only they see it.
    async fn authorize_external(&self, person: Person) -> Result<Requester, JobError> {
        let thread = &self.job.thread;
        let mut tx = self.app.db.begin(&self.job.tenant_id).await?;
        if db::channels::is_external_allowed(&mut tx, &self.job.tenant_id, &thread.channel_id).await? {
            return Ok(Requester::Allowed(person));
        }
        drop(tx);
        self.post_notice_once(EXTERNAL_DENIED_TEXT).await?;
        Ok(Requester::Denied("external people are not answered in this channel"))
    }

    /// Tells whoever asks, and nobody else, why there is no answer; once a thread.
    pub(super) async fn post_notice_once(&self, sentence: &str) -> Result<(), JobError> {
        // Noted first: better not told than told twice.
        let mut tx = self.begin_fenced().await?;
        let is_first = db::threads::set_refused(&mut tx, &self.lease_handle.lease).await?;
        tx.commit().await?;
        if is_first {
            self.post_ephemeral_notice(sentence).await;
        }
        Ok(())
    }

    /// Says something that only whoever asks sees.
    pub(super) async fn post_ephemeral_notice(&self, sentence: &str) {
        let (thread, user_id) = (&self.job.thread, &self.job.user_id);
        let root = (self.job.message_ts.as_ref() != Some(&thread.thread_ts)).then_some(&thread.thread_ts);
        let told =
            self.app.slack.post_ephemeral(&self.bot, &thread.channel_id, root, user_id, sentence).await;
        if let Err(error) = told {
            tracing::warn!(error = %error, "whoever asked could not be told");
        }
    }

    async fn authorize_bot(&self, person: Person) -> Result<Requester, JobError> {
        let mut tx = self.app.db.begin(&self.job.tenant_id).await?;
        let limit = i64::try_from(2 * MAX_BOT_MESSAGES).unwrap_or(i64::MAX);
        let turns = db::chat_memory::list(&mut tx, &self.job.tenant_id, &self.job.thread, limit).await?;
        let asked = turns.iter().rev().filter(|turn| turn.role == Role::User);
        if asked.take_while(|turn| turn.affiliation == Affiliation::Bot).count() >= MAX_BOT_MESSAGES {
            return Ok(Requester::Denied("two bots would go on for ever"));
        }
        Ok(Requester::Allowed(person))
    }
}

/// A person of whom nothing is known but where they come from.
pub(crate) fn unknown_person(origin: Affiliation) -> Person {
    Person { affiliation: origin, name: String::new(), is_admin: false, profile: EmployeeProfile::default() }
}

/// What somebody is to the workspace, by what Slack says of them.
pub(crate) fn person_from_slack(installation: &Installation, user: SlackUser) -> Person {
    let same_team = installation.team_id.as_ref().is_none_or(|team_id| *team_id == user.team_id);
    let same_enterprise = user.enterprise_id.is_some() && user.enterprise_id == installation.enterprise_id;
    let origin = if user.is_bot {
        Affiliation::Bot
    } else if user.is_stranger || !(same_team || same_enterprise) {
        Affiliation::External
    } else if user.is_guest {
        Affiliation::Guest
    } else {
        Affiliation::Member
    };
    // Slack's time zones are named after places: that is all it says of where somebody is.
    let location = user.tz.rsplit('/').next().unwrap_or_default().replace('_', " ");
    let profile = EmployeeProfile { role: user.title, location, ..EmployeeProfile::default() };
    Person { affiliation: origin, name: user.real_name, is_admin: user.is_admin, profile }
}
