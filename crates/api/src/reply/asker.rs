//! Who is asking, and whether they are answered: closed to people of other organisations until a channel is opened to
//! them, and to a bot that talks to this one in circles.

use models::{Installation, Origin, Person, Profile, Role};
use slack::SlackUser;

use super::Question;
use crate::failure::Failure;
use crate::work::Work;

/// Turns of another bot in a row that are answered in a thread.
const BOT_TURNS: usize = 3;

const CLOSED: &str =
    "Sorry, I only answer people of the workspace I belong to. An admin there can open this channel to you.";

/// What is to be done about whoever asks.
pub(super) enum Asker {
    /// They are answered.
    Welcome(Person),
    /// They are answered, and nothing is known of them yet.
    New,
    /// They are not, and why.
    Refused(&'static str),
}

impl Work<'_> {
    /// Where nothing hints at another organisation, somebody new is answered while Slack is asked about them.
    pub(super) async fn find_asker(&self, question: &Question) -> Result<Asker, Failure> {
        let (tenant_id, user_id) = (&self.job.tenant_id, &self.job.user_id);
        let known = db::people::find(&mut self.app.db.begin(tenant_id).await?, tenant_id, user_id).await?;
        let person = match known {
            Some(person) => person,
            None if self.may_be_external(question) => self.find_stranger().await?,
            None => return Ok(Asker::New),
        };
        match person.origin {
            Origin::Member | Origin::Guest => Ok(Asker::Welcome(person)),
            Origin::External => self.admit_external(person).await,
            Origin::Bot => self.admit_bot(person).await,
        }
    }

    /// Slack says of a message only where its writer comes from; what they are here is asked.
    fn may_be_external(&self, question: &Question) -> bool {
        let known = |team_id: &str| {
            let team = self.installation.team_id.as_ref().map(|id| id.as_str());
            let enterprise = self.installation.enterprise_id.as_ref().map(|id| id.as_str());
            team.is_none() || team == Some(team_id) || enterprise == Some(team_id)
        };
        question.is_ext_shared || question.user_team_id.as_ref().is_some_and(|id| !known(id.as_str()))
    }

    /// Somebody who may be of another organisation; so they are, where Slack does not tell.
    async fn find_stranger(&self) -> Result<Person, Failure> {
        match self.learn_of_person().await {
            Err(Failure::Slack(error))
                if !matches!(
                    error.failure(),
                    slack::Failure::Throttled(_) | slack::Failure::Transient | slack::Failure::Expired
                ) =>
            {
                tracing::warn!(error = %error, "who asks is not known");
                Ok(unknown(Origin::External))
            }
            learned => learned,
        }
    }

    /// Asks Slack who asks, for a day.
    pub(super) async fn learn_of_person(&self) -> Result<Person, Failure> {
        let user = self.app.slack.find_user(&self.bot, &self.job.user_id).await?;
        let person = to_person(&self.installation, user);
        let mut tx = self.fenced().await?;
        let (tenant_id, user_id) = (&self.job.tenant_id, &self.job.user_id);
        db::people::upsert(&mut tx, tenant_id, user_id, &person).await?;
        // With what was set here.
        let known = db::people::find(&mut tx, tenant_id, user_id).await?;
        tx.commit().await?;
        Ok(known.unwrap_or(person))
    }

    /// They are told once a thread, and only they see it.
    async fn admit_external(&self, person: Person) -> Result<Asker, Failure> {
        let thread = &self.job.thread;
        let mut tx = self.app.db.begin(&self.job.tenant_id).await?;
        if db::channels::is_external_allowed(&mut tx, &self.job.tenant_id, &thread.channel_id).await? {
            return Ok(Asker::Welcome(person));
        }
        drop(tx);
        self.tell_once(CLOSED).await?;
        Ok(Asker::Refused("external people are not answered in this channel"))
    }

    /// Tells whoever asks, and nobody else, why there is no answer; once a thread.
    pub(super) async fn tell_once(&self, sentence: &str) -> Result<(), Failure> {
        // Noted first: better not told than told twice.
        let mut tx = self.fenced().await?;
        let is_first = db::threads::set_refused(&mut tx, &self.held.lease).await?;
        tx.commit().await?;
        if is_first {
            self.tell_alone(sentence).await;
        }
        Ok(())
    }

    /// Says something that only whoever asks sees.
    pub(super) async fn tell_alone(&self, sentence: &str) {
        let (thread, user_id) = (&self.job.thread, &self.job.user_id);
        let root = (self.job.message_ts.as_ref() != Some(&thread.thread_ts)).then_some(&thread.thread_ts);
        let told =
            self.app.slack.post_ephemeral(&self.bot, &thread.channel_id, root, user_id, sentence).await;
        if let Err(error) = told {
            tracing::warn!(error = %error, "whoever asked could not be told");
        }
    }

    async fn admit_bot(&self, person: Person) -> Result<Asker, Failure> {
        let mut tx = self.app.db.begin(&self.job.tenant_id).await?;
        let limit = i64::try_from(2 * BOT_TURNS).unwrap_or(i64::MAX);
        let turns = db::turns::list(&mut tx, &self.job.tenant_id, &self.job.thread, limit).await?;
        let asked = turns.iter().rev().filter(|turn| turn.role == Role::User);
        if asked.take_while(|turn| turn.origin == Origin::Bot).count() >= BOT_TURNS {
            return Ok(Asker::Refused("two bots would go on for ever"));
        }
        Ok(Asker::Welcome(person))
    }
}

/// A person of whom nothing is known but where they come from.
pub(crate) fn unknown(origin: Origin) -> Person {
    Person { origin, name: String::new(), is_admin: false, profile: Profile::default() }
}

/// What somebody is to the workspace, by what Slack says of them.
pub(crate) fn to_person(installation: &Installation, user: SlackUser) -> Person {
    let same_team = installation.team_id.as_ref().is_none_or(|team_id| *team_id == user.team_id);
    let same_enterprise = user.enterprise_id.is_some() && user.enterprise_id == installation.enterprise_id;
    let origin = if user.is_bot {
        Origin::Bot
    } else if user.is_stranger || !(same_team || same_enterprise) {
        Origin::External
    } else if user.is_guest {
        Origin::Guest
    } else {
        Origin::Member
    };
    // Slack's time zones are named after places: that is all it says of where somebody is.
    let location = user.tz.rsplit('/').next().unwrap_or_default().replace('_', " ");
    let profile = Profile { role: user.title, location, ..Profile::default() };
    Person { origin, name: user.real_name, is_admin: user.is_admin, profile }
}
