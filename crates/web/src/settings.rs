//! What `web` is told by its environment.

use std::time::Duration;

use crypto::MasterKeys;
use secrecy::SecretString;
use service::{DatabaseSettings, Environment, ProcessSettings, SettingsError, secret};
use slack::App;
use url::Url;

const REDIRECT_PATH: &str = "/slack/oauth/callback";
pub(crate) const LOGIN_PATH: &str = "/login/callback";
const REDIRECT_EXAMPLE: &str = "https://bot.example.com/slack/oauth/callback";

/// The settings of `web`; the README lists the variables.
#[derive(Debug)]
pub struct Settings {
    /// `WEB_PORT`, else `PORT`.
    pub port: u16,
    /// How to reach Postgres.
    pub database: DatabaseSettings,
    /// `REDIS_URL`: what replicas share.
    pub redis_url: Option<SecretString>,
    /// `ENCRYPTION_KEYS`.
    pub master_keys: MasterKeys,
    /// `SLACK_CLIENT_ID`, `SLACK_CLIENT_SECRET`, `SLACK_REDIRECT_URI`.
    pub slack_app: App,
    /// Where Slack sends the browser back to after a sign-in: at the origin of `SLACK_REDIRECT_URI`.
    pub login_uri: String,
    /// `SESSION_SECRET`: seals what browsers keep.
    pub session_secret: SecretString,
    /// `SLACK_BASE_URL`.
    pub slack_base_url: String,
    /// `TIMEOUT`: how long Slack may stay silent.
    pub timeout: Duration,
}

impl Settings {
    /// Reads the process's variables over those of `.env.web`.
    ///
    /// # Errors
    /// Everything that is missing or malformed, at once.
    pub fn read() -> Result<(ProcessSettings, Self), SettingsError> {
        let mut env = read_environment()?;
        let process = ProcessSettings::read(&mut env);
        let port = env.port("WEB_PORT", 8000);
        let database = DatabaseSettings::read(&mut env);
        let redis_url = env.optional("REDIS_URL", "redis://host:6379", cache::parse_address);
        let master_keys = read_master_keys(&mut env);
        let client_id = env.required("SLACK_CLIENT_ID", "1234567890.1234567890", |id| Ok(id.to_owned()));
        let client_secret: Option<SecretString> =
            env.required("SLACK_CLIENT_SECRET", "0123456789abcdef0123456789abcdef", secret);
        let redirect_uri = read_redirect_uri(&mut env);
        let session_secret =
            env.required("SESSION_SECRET", "<the output of `openssl rand -base64 32`>", |text| {
                if text.len() < 32 { Err("is shorter than 32 characters".into()) } else { secret(text) }
            });
        let slack_base_url = env.address("SLACK_BASE_URL", "https://slack.com");
        let timeout = Duration::from_secs(env.number("TIMEOUT", 30, 1..=600).into());
        env.finish(|| {
            let redirect_uri = redirect_uri?;
            let login_uri = login_uri(&redirect_uri);
            let slack_app = App {
                client_id: client_id?,
                client_secret: client_secret?,
                redirect_uri: redirect_uri.into(),
            };
            let own = Self {
                port,
                database: database?,
                redis_url,
                master_keys: master_keys?,
                slack_app,
                login_uri,
                session_secret: session_secret?,
                slack_base_url,
                timeout,
            };
            Some((process, own))
        })
    }
}

/// At the same origin.
pub(crate) fn login_uri(redirect_uri: &Url) -> String {
    let mut uri = redirect_uri.clone();
    uri.set_path(LOGIN_PATH);
    uri.into()
}

pub(crate) fn read_environment() -> Result<Environment, SettingsError> {
    Environment::read(".env.web")
}

pub(crate) fn read_master_keys(env: &mut Environment) -> Option<MasterKeys> {
    env.required("ENCRYPTION_KEYS", service::ENCRYPTION_KEYS_EXAMPLE, |list| {
        MasterKeys::parse(list).map_err(|error| format!("is wrong: {error}"))
    })
}

/// Slack sends the browser back there, so it must be https, except on loopback.
pub(crate) fn read_redirect_uri(env: &mut Environment) -> Option<Url> {
    env.required("SLACK_REDIRECT_URI", REDIRECT_EXAMPLE, |text| {
        let url = Url::parse(text.trim()).map_err(|error| format!("is not an address ({error})"))?;
        let loopback = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        match url.scheme() {
            "https" => {}
            "http" if loopback => {}
            _ => return Err("does not begin with https://".into()),
        }
        if url.path() == REDIRECT_PATH { Ok(url) } else { Err(format!("does not end in {REDIRECT_PATH}")) }
    })
}
