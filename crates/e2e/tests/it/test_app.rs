//! EnableBot as its users see it: both services as processes, and the simulated Slack in the test's process.

use std::sync::Arc;
use std::time::{Duration, Instant};

use simulator::{PostMessage, Simulator, SlackMessage};
use xtask::binaries::Binaries;
use xtask::service::{Service, ServiceSpec, Variables};
use xtask::settings::{Ports, Secrets, StackSettings};

use crate::fixtures::{TestDatabase, binaries};

/// The workspace, and the person who installs the bot.
pub(crate) const TEAM: &str = "T0ACME";
pub(crate) const ADA: &str = "U0ADA";
pub(crate) const GRACE: &str = "U0GRACE";

/// The second workspace of tests with two, and its people. They are external in the first one.
pub(crate) const BETA: &str = "T0BETA";
pub(crate) const BETA_ADA: &str = "U0ADABETA";
pub(crate) const BETA_GRACE: &str = "U0GRACEBETA";

/// Longer than everything here takes: a test that waits this long has failed.
pub(crate) const TEST_TIMEOUT: Duration = Duration::from_secs(20);

/// The services respond with 503 after two seconds; the rest is for the round trip.
pub(crate) const ACK_TIMEOUT: Duration = Duration::from_millis(2300);

/// EnableBot on its own database. When the test ends, the queue must be empty.
pub(crate) struct TestApp {
    pub(crate) simulator: Simulator,
    pub(crate) web: Service,
    /// The replicas of `api`. The first one is on `settings.ports.api`.
    pub(crate) apis: Vec<Service>,
    pub(crate) settings: StackSettings,
    pub(crate) http: reqwest::Client,
    pub(crate) database: TestDatabase,
    /// The release of everything that is started from now on.
    pub(crate) release: Binaries,
}

impl TestApp {
    /// Starts one replica, without installing the bot.
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}, &[]).await
    }

    /// Starts one replica and installs the bot, with the welcome message posted.
    pub(crate) async fn installed() -> Self {
        let app = Self::start().await;
        app.install().await;
        app
    }

    /// Starts one replica of `api` with additional variables.
    pub(crate) async fn start_with(
        configure_slack: impl FnOnce(&mut simulator::SimulatorSettings),
        extra_variables: &[(&str, &str)],
    ) -> Self {
        Self::start_on_database(TestDatabase::create(), |_| {}, configure_slack, extra_variables).await
    }

    /// Starts on this database. The settings may lead to it in another way.
    pub(crate) async fn start_on_database(
        database: TestDatabase,
        configure: impl FnOnce(&mut StackSettings),
        configure_slack: impl FnOnce(&mut simulator::SimulatorSettings),
        extra_variables: &[(&str, &str)],
    ) -> Self {
        Self::start_release(binaries().clone(), database, configure, configure_slack, extra_variables).await
    }

    /// Starts the programs of this release.
    pub(crate) async fn start_release(
        release: Binaries,
        database: TestDatabase,
        configure: impl FnOnce(&mut StackSettings),
        configure_slack: impl FnOnce(&mut simulator::SimulatorSettings),
        extra_variables: &[(&str, &str)],
    ) -> Self {
        let ports = Ports::free().expect("free ports");
        let secrets = Secrets::generate().expect("random bytes");
        let mut settings = StackSettings::simulated(ports, database.url.clone(), secrets);
        configure(&mut settings);
        let mut simulated_settings = simulator::SimulatorSettings {
            port: ports.simulator,
            events_url: format!("http://127.0.0.1:{}/slack/events", ports.api),
            install_url: format!("http://127.0.0.1:{}/slack/install", ports.web),
            retry_delays: [0, 1, 2].map(Duration::from_secs),
            ..simulator::SimulatorSettings::default()
        };
        configure_slack(&mut simulated_settings);
        let simulator = Simulator::start(simulated_settings).await.expect("the simulator starts");
        settings.migrate(release.path("web").expect("web")).expect("it migrates");
        let web = start_service(&release, "web", settings.web_variables(), ports.web);
        let redirects = reqwest::redirect::Policy::none();
        let http = reqwest::Client::builder().redirect(redirects).build().expect("a client");
        let mut app = Self { simulator, web, apis: Vec::new(), settings, http, database, release };
        app.add_api(ports.api, extra_variables);
        app
    }

    /// Starts another replica of `api`.
    pub(crate) fn add_api(&mut self, port: u16, extra_variables: &[(&str, &str)]) {
        let mut variables = self.settings.api_variables();
        variables
            .extend(extra_variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        variables.insert("API_PORT".into(), port.to_string());
        self.apis.push(start_service(&self.release, "api", variables, port));
    }

    /// Distributes the events over all replicas in turn.
    pub(crate) fn balance_events(&self) {
        let urls = self.apis.iter().map(|api| format!("{}/slack/events", api.url()));
        self.simulator.set_events_urls(urls.collect());
    }

    /// Starts another replica of `web` on this port.
    pub(crate) fn add_web(&self, port: u16) -> Service {
        self.add_web_with(port, &[])
    }

    /// Starts another replica of `web` on this port, with additional variables.
    pub(crate) fn add_web_with(&self, port: u16, extra_variables: &[(&str, &str)]) -> Service {
        let mut variables = self.settings.web_variables();
        variables
            .extend(extra_variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        variables.insert("WEB_PORT".into(), port.to_string());
        start_service(&self.release, "web", variables, port)
    }

    /// Installs by OAuth as a browser does, and waits for the welcome message.
    pub(crate) async fn install(&self) {
        self.install_in(TEAM).await;
    }

    /// Installs in the team that the person selects at Slack.
    pub(crate) async fn install_in(&self, team: &str) {
        let begun = self.begin_install().await;
        let authorize_url = format!("{}&team={team}", begun.authorize_url);
        let back = self.simulator.allow(&authorize_url).expect("Slack allows it");
        let page = self.finish_install(&back, Some(&begun.cookie)).await;
        assert_eq!(page.status(), 200, "{:?}", self.web.log_lines());
        self.wait_idle().await;
    }

    pub(crate) async fn begin_install(&self) -> PendingInstall {
        let answer = self.get_page("/slack/install", None).await;
        assert_eq!(answer.status(), 302);
        let header = |name| answer.headers()[name].to_str().expect("text").to_owned();
        let cookie = header("set-cookie").split(';').next().expect("a cookie").to_owned();
        PendingInstall { authorize_url: header("location"), cookie, cookie_attributes: header("set-cookie") }
    }

    /// Returns to `web` from Slack's consent page.
    pub(crate) async fn finish_install(&self, url: &str, cookie: Option<&str>) -> reqwest::Response {
        let path = url.split_once("/slack/").expect("the callback").1;
        self.get_page(&format!("/slack/{path}"), cookie).await
    }

    /// Requests a page of `web`.
    pub(crate) async fn get_page(&self, path: &str, cookie: Option<&str>) -> reqwest::Response {
        let request = self.http.get(format!("{}{path}", self.web.url()));
        request.header("cookie", cookie.unwrap_or_default()).send().await.expect("web answers")
    }

    /// Posts in the DM with the bot, at its top level or in a thread. Returns the message's `ts`.
    pub(crate) fn send_dm(&self, user: &str, thread_ts: Option<&str>, text: &str) -> String {
        let channel = self.dm(user);
        self.post(user, &channel, thread_ts, text)
    }

    /// Posts in a channel. `@bot` becomes a mention.
    pub(crate) fn post(&self, user: &str, channel: &str, thread_ts: Option<&str>, text: &str) -> String {
        self.simulator.post(self.new_message(user, channel, thread_ts, text)).expect("Slack takes it")
    }

    pub(crate) fn new_message(
        &self,
        user: &str,
        channel: &str,
        thread_ts: Option<&str>,
        text: &str,
    ) -> PostMessage {
        let bot = self.simulator.installation(TEAM).map(|installation| installation.bot_user_id);
        PostMessage {
            team: TEAM.into(),
            channel: channel.into(),
            user: user.into(),
            text: text.replace("@bot", &format!("<@{}>", bot.unwrap_or_default())),
            thread_ts: thread_ts.map(str::to_owned),
            ..PostMessage::default()
        }
    }

    pub(crate) fn dm(&self, user: &str) -> String {
        self.simulator.dm(TEAM, user).expect("a person of the team")
    }

    /// Returns the bot's messages of a thread, once this many are complete.
    pub(crate) async fn wait_replies(
        &self,
        channel: &str,
        thread_ts: &str,
        count: usize,
    ) -> Vec<SlackMessage> {
        let complete = self.simulator.wait_for(
            |world| {
                let thread = world.thread(TEAM, channel, thread_ts);
                let replies = thread.iter().filter(|message| message.bot_id.is_some());
                let complete = replies.filter(|reply| !reply.is_streaming).count();
                (complete >= count && thread.iter().all(|message| !message.is_streaming)).then_some(())
            },
            TEST_TIMEOUT,
        );
        if complete.await.is_err() {
            panic!("no {count} replies but {:?}\n{}", self.bot_messages(channel, thread_ts), self.api_logs());
        }
        self.wait_idle().await;
        self.bot_messages(channel, thread_ts)
    }

    /// Returns the text of the only reply to a message.
    pub(crate) async fn wait_reply(&self, channel: &str, thread_ts: &str) -> String {
        let replies = self.wait_replies(channel, thread_ts, 1).await;
        assert_eq!(replies.len(), 1, "{replies:?}");
        replies[0].visible_text()
    }

    /// Returns the bot's current messages of a thread.
    pub(crate) fn bot_messages(&self, channel: &str, thread_ts: &str) -> Vec<SlackMessage> {
        let mut messages = self.simulator.thread(TEAM, channel, thread_ts);
        messages.retain(|message| message.bot_id.is_some());
        messages
    }

    /// Waits until every event has an outcome.
    pub(crate) async fn wait_idle(&self) {
        let begun = Instant::now();
        while self.count_pending() != "0" {
            assert!(begun.elapsed() < TEST_TIMEOUT, "events still wait\n{}", self.api_logs());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) fn count_pending(&self) -> String {
        self.database.query(
            "select (select count(*) from events where outcome is null)
                  + (select coalesce(sum(event_count), 0) from event_inbox)",
        )
    }

    /// Returns the logs of all replicas of `api`.
    pub(crate) fn api_logs(&self) -> String {
        self.apis.iter().map(|api| api.log_lines().join("\n")).collect::<Vec<_>>().join("\n--\n")
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(
                self.count_pending(),
                "0",
                "the queue must be empty at the end of a test\n{}",
                self.api_logs()
            );
        }
    }
}

/// An installation whose browser is at Slack's consent page.
pub(crate) struct PendingInstall {
    pub(crate) authorize_url: String,
    pub(crate) cookie: String,
    pub(crate) cookie_attributes: String,
}

fn start_service(release: &Binaries, name: &str, variables: Variables, port: u16) -> Service {
    let program = release.path(name).expect("it is built");
    let show = Arc::new(|_: &str| ());
    let start = ServiceSpec { name, program, arguments: Vec::new(), variables, port, log_sink: show };
    let mut service = Service::start(start).expect("it starts");
    service.wait_until_ready("/health/ready", TEST_TIMEOUT).expect("it gets ready");
    service
}
