//! The handle to a running simulator.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, PoisonError};

use anyhow::Context;
use axum::Router;
use bytes::Bytes;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::fake_slack::{AppInstallation, Effect, FakeSlack, InstallGrant, PostMessage, SimulatedUser};
use crate::state::SimulatorState;
use crate::web_api::InjectedFault;
use crate::{consent, delivery, files, model, page, settings::SimulatorSettings, sign_in, web_api};

/// A running simulator; it serves until its last clone is dropped, or [`Simulator::shutdown`].
#[derive(Clone)]
pub struct Simulator {
    pub(crate) state: Arc<SimulatorState>,
    address: SocketAddr,
    _stop_on_drop: Arc<StopOnDrop>,
}

struct StopOnDrop(Arc<SimulatorState>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stopping.send_replace(true);
    }
}

impl Simulator {
    /// Listens on 127.0.0.1 and serves on the current runtime. Fails when the port is taken.
    pub async fn start(settings: SimulatorSettings) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, settings.port))
            .await
            .with_context(|| format!("cannot listen on 127.0.0.1:{}", settings.port))?;
        let address = listener.local_addr()?;
        let settings = SimulatorSettings { port: address.port(), ..settings };
        let shared = Arc::new(SimulatorState::new(settings)?);
        let routes = Router::new()
            .merge(page::routes())
            .merge(consent::routes())
            .merge(files::routes())
            .merge(sign_in::routes())
            .merge(web_api::routes())
            .merge(model::routes())
            .with_state(shared.clone());
        let mut stopping = shared.stopping.subscribe();
        tokio::spawn(async move {
            let stop = async move { drop(stopping.wait_for(|stopping| *stopping).await) };
            if let Err(error) = axum::serve(listener, routes).with_graceful_shutdown(stop).await {
                tracing::error!(%error, "the simulator stopped serving");
            }
        });
        Ok(Self { address, _stop_on_drop: Arc::new(StopOnDrop(shared.clone())), state: shared })
    }

    /// Stops serving and ends open streams; the recorded state stays readable.
    pub fn shutdown(&self) {
        self.state.stopping.send_replace(true);
    }

    /// `http://127.0.0.1:port`, for `SLACK_BASE_URL` and for a browser.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// `http://127.0.0.1:port/v1`, for `OPENAI_BASE_URL`.
    pub fn model_url(&self) -> String {
        format!("{}/v1", self.base_url())
    }

    /// Delivers events to this address from now on.
    pub fn set_events_url(&self, url: impl Into<String>) {
        self.set_events_urls(vec![url.into()]);
    }

    /// Delivers events to these addresses in turn, as a load balancer over replicas would.
    pub fn set_events_urls(&self, urls: Vec<String>) {
        *self.state.events_urls.lock().unwrap_or_else(PoisonError::into_inner) = urls;
    }

    /// Runs a function with the locked state.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut FakeSlack) -> T) -> T {
        self.state.with(work)
    }

    /// Adds a workspace with three people, `#general` and `#random`. Ids are Slack-like and derived: in
    /// `T0BETA` they are `U0ADABETA` (the admin), `U0GRACEBETA`, `U0LINUSBETA`, `C0GENERALBETA`,
    /// `C0RANDOMBETA`;
    /// in the default `T0ACME` they are without an ending.
    pub fn add_team(&self, id: &str, name: &str) {
        self.with(|slack| slack.add_team(id, name));
    }

    /// Adds a person to a team, with a DM where the app is installed.
    pub fn add_person(&self, team: &str, person: SimulatedUser) {
        self.with(|slack| slack.add_person(team, person));
    }

    /// Invites the bot to a channel (id or name).
    pub fn invite(&self, team: &str, channel: &str) -> anyhow::Result<()> {
        self.with(|slack| slack.invite(team, channel))
    }

    /// Returns a person's DM with the bot and opens it if needed; `None` if the person is not in the team.
    pub fn dm(&self, team: &str, user: &str) -> Option<String> {
        self.with(|slack| slack.teams.get_mut(team)?.open_dm(user))
    }

    /// Installs the app past OAuth, allowed by the team's admin.
    pub fn install(&self, team: &str, scopes: &[&str]) -> anyhow::Result<AppInstallation> {
        self.with(|slack| {
            let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
            let user = slack.find_admin(team).with_context(|| format!("no team {team} with an admin"))?;
            let grant = InstallGrant {
                team: team.into(),
                enterprise: None,
                user,
                scopes,
                redirect_uri: String::new(),
            };
            slack.install(grant).with_context(|| format!("no team {team}"))
        })
    }

    /// Finds the installation of a team or an organisation.
    pub fn installation(&self, team: &str) -> Option<AppInstallation> {
        self.with(|slack| slack.find_installation(team).cloned())
    }

    /// Uninstalls the app as an admin does, from a team or an organisation; the app gets `app_uninstalled` and
    /// `tokens_revoked`.
    pub fn uninstall(&self, team: &str) {
        self.with(|slack| slack.uninstall(team, "account_inactive"));
    }

    /// Submits a consent page as the admin's Allow does; returns the redirect address.
    pub fn allow(&self, authorize_url: &str) -> anyhow::Result<String> {
        self.with(|slack| consent::decide(slack, authorize_url, consent::ConsentDecision::Allow))
    }

    /// Submits a consent page as this person's Allow does, where members may install apps.
    pub fn allow_as(&self, authorize_url: &str, user: &str) -> anyhow::Result<String> {
        self.allow(&format!("{authorize_url}&user={user}"))
    }

    /// Submits a consent page as Cancel does; returns the redirect address.
    pub fn deny(&self, authorize_url: &str) -> anyhow::Result<String> {
        self.with(|slack| consent::decide(slack, authorize_url, consent::ConsentDecision::Cancel))
    }

    /// Answers a "Sign in with Slack" page as this person, or with Cancel for None: the address the browser
    /// is sent
    /// to.
    pub fn sign_in(&self, authorize_url: &str, user: Option<&str>) -> anyhow::Result<String> {
        self.with(|slack| sign_in::decide(slack, authorize_url, user))
    }

    /// Posts as a person and delivers Slack's events; returns the message's `ts`.
    pub fn post(&self, message: PostMessage) -> anyhow::Result<String> {
        self.post_with_copies(1, message)
    }

    /// Posts as a person and delivers each envelope `copies` times concurrently with the same `event_id`.
    pub fn post_with_copies(&self, copies: usize, message: PostMessage) -> anyhow::Result<String> {
        self.with(|slack| {
            let before = slack.effects.len();
            let ts = slack.post(message)?;
            for effect in slack.effects.iter_mut().skip(before) {
                if let Effect::Deliver { copies: planned, .. } = effect {
                    *planned = copies;
                }
            }
            Ok(ts)
        })
    }

    /// Delivers an event of any type in an envelope, if the app is installed in the team.
    pub fn deliver_event(&self, team: &str, event: Value) {
        self.with(|slack| slack.announce(team, team, false, event));
    }

    /// Signs a body, posts it once to the app and returns the status. Fails on a time-out.
    pub async fn deliver_raw(&self, body: impl Into<Bytes>) -> anyhow::Result<u16> {
        let answer = delivery::post_event(&self.state, body.into(), None).await?;
        Ok(answer.status().as_u16())
    }

    /// Makes the next `times` calls of a method fail.
    pub fn inject_fault(&self, method: &str, fault: InjectedFault, times: usize) {
        self.with(|slack| {
            let faults = slack.faults.entry(method.to_owned()).or_default();
            faults.extend(std::iter::repeat_n(fault, times));
        });
    }

    /// Ends the injected failures of a method.
    pub fn clear_faults(&self, method: &str) {
        self.with(|slack| slack.faults.remove(method));
    }

    /// Sets Slack's clock (the `Date` header) this many seconds ahead of this machine's.
    pub fn set_clock_offset(&self, seconds: i64) {
        self.with(|slack| slack.clock_offset = chrono::TimeDelta::seconds(seconds));
    }

    /// Overrides the knobs in the model's name with those of `query`; an empty query ends that. Starts
    /// `fail_times` afresh.
    pub fn set_model_options(&self, query: &str) {
        self.with(|slack| {
            slack.model_options_override = Some(query.to_owned()).filter(|query| !query.is_empty());
            slack.model_failure_count = 0;
        });
    }
}
