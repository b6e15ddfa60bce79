//! One event in work: with whose bot, under which lease, and what is done for each kind of event.

use db::audit_log::Action;
use db::installations::Installed;
use db::settings::Stored;
use db::threads::{Job, Lease};
use db::workspaces::Workspace;
use db::{DbError, Tx};
use models::{EventBody, Installation, Outcome};
use serde_json::json;
use slack::{Bot, MessageMetadata, SlackError};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::failure::{COMMAND_FAILED, Failure, SLACK_REFUSED};
use crate::reply::Question;
use crate::worker::HeldLease;
use crate::{life_cycle, tokens};

/// What an event is worked on with.
pub(crate) struct Work<'a> {
    pub(crate) app: &'a App,
    pub(crate) held: &'a HeldLease,
    pub(crate) job: &'a Job,
    /// Cancelled when somebody presses "Stop".
    pub(crate) stop: &'a CancellationToken,
    pub(crate) installation: Installation,
    pub(crate) bot: Bot,
    /// How the workspace wants its bot.
    pub(crate) settings: Stored,
    installed: Installed,
}

/// How an event ended, and why, where that is not plain.
pub(crate) type Ending = (Outcome, Option<&'static str>);

/// What an event asks for, and where that stands in its trace.
pub(crate) async fn open(app: &App, job: &Job) -> Result<(EventBody, Option<String>), DbError> {
    let mut tx = app.db.begin(&job.tenant_id).await?;
    db::events::open_body(&mut tx, &job.tenant_id, job.seq, &job.sealed_body).await
}

/// Does what an event asks for, or goes on where an earlier try stopped.
pub(crate) async fn run(
    app: &App,
    held: &HeldLease,
    job: &Job,
    body: Result<EventBody, DbError>,
    stop: &CancellationToken,
) -> Result<Outcome, Failure> {
    let body = match body {
        Ok(body) => body,
        // With a tenant its key goes too, and nothing opens any more.
        Err(error) => return life_cycle::end_orphan(app, &held.lease, job, error).await,
    };
    // What ends an installation needs no token that works.
    match body {
        EventBody::Uninstalled { event_time } => {
            life_cycle::uninstall(app, &held.lease, job, event_time).await
        }
        EventBody::TokensRevoked { event_time, bot_user_ids } => {
            life_cycle::revoke_tokens(app, &held.lease, job, event_time, &bot_user_ids).await
        }
        EventBody::TeamAccess { granted, team_ids } => {
            life_cycle::set_team_access(app, &held.lease, job, granted, &team_ids).await
        }
        body => {
            let work = Work::begin(app, held, job, stop, &body).await?;
            match work.act(body).await {
                Ok(outcome) => Ok(outcome),
                Err(failure) => Err(work.note(failure).await),
            }
        }
    }
}

/// Tells the person that there will be no answer, in the message of the answer if it has begun, and clears the status.
pub(crate) async fn apologise(
    app: &App,
    held: &HeldLease,
    job: &Job,
    sentence: Option<&'static str>,
) -> Result<(), Failure> {
    let (body, _) = open(app, job).await?;
    let never = CancellationToken::new();
    let work = Work::begin(app, held, job, &never, &body).await?;
    match body {
        EventBody::Message(message) => work.apologise(Question::new(message), sentence).await,
        EventBody::Command { response_url, .. } => {
            work.respond(&response_url, sentence.unwrap_or(COMMAND_FAILED)).await
        }
        _ => Ok(()),
    }
}

impl<'a> Work<'a> {
    async fn begin(
        app: &'a App,
        held: &'a HeldLease,
        job: &'a Job,
        stop: &'a CancellationToken,
        body: &EventBody,
    ) -> Result<Self, Failure> {
        let Workspace { installed, settings } = tokens::find_fresh(app, &job.tenant_id).await?;
        let bot = Bot {
            tenant_id: job.tenant_id.clone(),
            token: installed.bot_token.clone(),
            team_id: body.team_id().cloned(),
            hold: Some(held.hold()),
        };
        let installation = installed.installation.clone();
        Ok(Self { app, held, job, stop, installation, bot, settings, installed })
    }

    async fn act(&self, body: EventBody) -> Result<Outcome, Failure> {
        match body {
            EventBody::Message(message) => self.answer(Question::new(message)).await,
            EventBody::Welcome => self.welcome().await,
            EventBody::TeamJoined { .. } => self.greet(None).await,
            EventBody::ConversationOpened { channel_id, thread_ts, .. } => {
                self.open_conversation(&channel_id, thread_ts.as_ref()).await
            }
            EventBody::HomeOpened { .. } => self.publish_home().await,
            EventBody::ContextChanged { channel_id } => self.note_context(channel_id.as_ref()).await,
            EventBody::Feedback { event_id, positive } => self.keep_feedback(&event_id, positive).await,
            EventBody::TryAgain { event_id } => self.try_again(&event_id).await,
            EventBody::Command { text, response_url, .. } => self.run_command(&text, &response_url).await,
            EventBody::Uninstalled { .. }
            | EventBody::TokensRevoked { .. }
            | EventBody::TeamAccess { .. } => Err(Failure::give_up_silently("an event without a bot")),
        }
    }

    /// The installation as it stands, for those who look at it.
    pub(crate) fn installed(&self) -> &Installed {
        &self.installed
    }

    /// A transaction in which this worker holds the thread.
    pub(crate) async fn fenced(&self) -> Result<Tx, Failure> {
        fenced(self.app, &self.held.lease).await
    }

    /// Ends the event; nothing else is to be stored with it.
    pub(crate) async fn finish(&self, (outcome, reason): Ending) -> Result<Outcome, Failure> {
        let mut tx = self.fenced().await?;
        db::events::finish(&mut tx, &self.job.tenant_id, self.job.seq, outcome, reason).await?;
        tx.commit().await?;
        Ok(outcome)
    }

    pub(crate) fn metadata(&self, part_start: usize) -> MessageMetadata {
        MessageMetadata { event_id: self.job.event_id.clone(), part_start }
    }

    /// Sorts Slack's refusals, and notes for an admin what only an admin can mend.
    async fn note(&self, failure: Failure) -> Failure {
        let Failure::Slack(error) = failure else { return failure };
        let noted = match error.failure() {
            slack::Failure::Throttled(after) => {
                return Failure::Throttled { reason: error.to_string(), after };
            }
            slack::Failure::Transient => return Failure::retry(error),
            slack::Failure::Content | slack::Failure::Stopped => {
                return Failure::give_up(error, SLACK_REFUSED);
            }
            slack::Failure::PlaceGone => return Failure::give_up_silently(error),
            slack::Failure::Expired => self.note_expired(&error).await,
            slack::Failure::DeadToken => self.note_dead(&error).await,
            slack::Failure::Setup => self.note_problem(&error).await,
        };
        match (noted, error.failure()) {
            (Err(failure), _) => failure,
            (Ok(()), slack::Failure::Expired) => {
                Failure::Retry { reason: error.to_string(), after: Some(std::time::Duration::ZERO) }
            }
            (Ok(()), _) => Failure::give_up_silently(error),
        }
    }

    /// A token that rotates is refreshed before the next try; another one is dead.
    async fn note_expired(&self, error: &SlackError) -> Result<(), Failure> {
        let Some(read_with) = self.installed.token_expires_at else {
            return self.note_dead(error).await;
        };
        let mut tx = self.app.db.begin(&self.job.tenant_id).await?;
        db::tokens::expire(&mut tx, &self.job.tenant_id, Some(read_with)).await?;
        tx.commit().await?;
        // The next try may come before the news of it.
        self.app.workspaces.forget(&self.job.tenant_id).await;
        Ok(())
    }

    /// Only the token that was called with is dead: by now there may be another one.
    async fn note_dead(&self, error: &SlackError) -> Result<(), Failure> {
        if tokens::disable_as_read(self.app, &self.installed, &error.to_string()).await? {
            return Ok(());
        }
        self.app.workspaces.forget(&self.job.tenant_id).await;
        Err(Failure::retry("the token that Slack refused is another one by now"))
    }

    async fn note_problem(&self, error: &SlackError) -> Result<(), Failure> {
        tracing::error!(error = %error, "the app is not set up for this; an admin can mend it");
        let mut tx = self.app.db.begin(&self.job.tenant_id).await?;
        db::installations::set_problem(&mut tx, &self.job.tenant_id, &error.to_string()).await?;
        Ok(tx.commit().await?)
    }

    /// Writes down what was done for somebody.
    pub(crate) async fn audit(
        &self,
        tx: &mut Tx,
        action: Action,
        detail: serde_json::Value,
    ) -> Result<(), Failure> {
        let mut detail = detail;
        detail["event_id"] = json!(self.job.event_id);
        let (tenant_id, actor) = (&self.job.tenant_id, self.job.user_id.as_str());
        Ok(db::audit_log::insert(tx, tenant_id, actor, action, detail).await?)
    }
}

/// A transaction in which this worker holds the thread.
pub(crate) async fn fenced(app: &App, lease: &Lease) -> Result<Tx, Failure> {
    let mut tx = app.db.begin(&lease.tenant_id).await?;
    db::threads::hold(&mut tx, lease).await?;
    Ok(tx)
}
