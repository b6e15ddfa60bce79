//! Settings of the simulator.

use std::time::Duration;

/// Settings of the simulated Slack and its app. The default secrets are for loopback only.
#[derive(Clone)]
pub struct SimulatorSettings {
    /// The port on 127.0.0.1; 0 takes any free one.
    pub port: u16,
    /// Address that events are delivered to: `api`'s `/slack/events`.
    pub events_url: String,
    /// Address of the page's "Add the bot" button: `web`'s `/slack/install`.
    pub install_url: String,
    /// The app's and its bot's name.
    pub app_name: String,
    /// The app's client id, as `SLACK_CLIENT_ID`.
    pub client_id: String,
    /// The app's client secret, as `SLACK_CLIENT_SECRET`.
    pub client_secret: String,
    /// Signs every delivery, as `SLACK_SIGNING_SECRET`.
    pub signing_secret: String,
    /// Delay of each retry after a failed delivery.
    /// Slack's: at once, a minute, five minutes (<https://docs.slack.dev/apis/events-api#retries>).
    pub retry_delays: [Duration; 3],
    /// Acknowledgement time-out of a delivery. Slack's: 3 s.
    pub ack_timeout: Duration,
    /// Lifetime of a bot token; `None`: no expiry. Slack's with token rotation: 12 h
    /// (<https://docs.slack.dev/authentication/using-token-rotation>).
    pub token_lifetime: Option<Duration>,
    /// Lifetime of a stream from its start. Slack's: about 5 minutes.
    pub stream_lifetime: Duration,
    /// True if Slack's rate limits apply (<https://docs.slack.dev/apis/web-api/rate-limits>).
    pub has_rate_limits: bool,
    /// True if the app is listed in Slack's Marketplace. If not, `conversations.history` and
    /// `conversations.replies` answer once a minute and with at most 15 messages.
    pub is_marketplace_app: bool,
    /// True if the app has `agent_view`, and with it `agents.sessions.*`. If not, it is the older assistant:
    /// threads are opened for it (<https://docs.slack.dev/ai/migrating-to-agent-messaging>).
    pub has_agent_sessions: bool,
    /// True if the app's Home tab is enabled.
    pub has_home_tab: bool,
    /// Lifetime of a `response_url`. Slack's: 30 minutes.
    pub response_url_lifetime: Duration,
}

impl Default for SimulatorSettings {
    fn default() -> Self {
        Self {
            port: 0,
            events_url: "http://127.0.0.1:8001/slack/events".into(),
            install_url: "http://127.0.0.1:8000/slack/install".into(),
            app_name: "EnableBot".into(),
            client_id: "1000000001.2000000001".into(),
            client_secret: "simulated-client-secret".into(),
            signing_secret: "simulated-signing-secret".into(),
            retry_delays: [0, 60, 300].map(Duration::from_secs),
            ack_timeout: Duration::from_secs(3),
            token_lifetime: None,
            stream_lifetime: Duration::from_secs(300),
            has_rate_limits: true,
            is_marketplace_app: true,
            has_agent_sessions: true,
            has_home_tab: true,
            response_url_lifetime: Duration::from_secs(1800),
        }
    }
}
