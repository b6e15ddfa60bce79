//! Settings of `web`, read from the environment.

use std::time::Duration;

use cache::Rate;
use chrono::TimeDelta;
use crypto::MasterKeys;
use models::BudgetCeiling;
use secrecy::SecretString;
use service::{DatabaseSettings, Environment, ProcessSettings, SettingsError, TrustedProxies, parse_secret};
use slack::OAuthApp;
use url::Url;

use crate::allowed_teams::AllowedTeams;
use crate::auth::operators::Operators;
use crate::jobs::audit_archive::AuditSettings;

const REDIRECT_PATH: &str = "/slack/oauth/callback";
pub(crate) const LOGIN_PATH: &str = "/login/callback";
const DEFAULT_RATE_LIMIT_PER_ADDRESS: &str = "30/minute";
const REDIRECT_EXAMPLE: &str = "https://bot.example.com/slack/oauth/callback";

/// The settings of `web`; the README lists the variables.
#[derive(Debug)]
pub struct WebSettings {
    /// `WEB_PORT`, else `PORT`.
    pub port: u16,
    /// Connection settings of Postgres.
    pub database: DatabaseSettings,
    /// `DATABASE_READ_URL`: a standby for reads of the dashboard, if it differs from the primary.
    pub read_url: Option<SecretString>,
    /// `REDIS_URL`: shared by replicas.
    pub redis_url: Option<SecretString>,
    /// `ENCRYPTION_KEYS`.
    pub master_keys: MasterKeys,
    /// `SLACK_CLIENT_ID`, `SLACK_CLIENT_SECRET`, `SLACK_REDIRECT_URI`.
    pub slack_app: OAuthApp,
    /// Redirect URI of the sign-in, at the origin of `SLACK_REDIRECT_URI`.
    pub login_uri: String,
    /// `SESSION_SECRET`: encrypts cookies and signs sessions.
    pub session_secret: SecretString,
    /// `TRUSTED_PROXIES`: proxies whose `X-Forwarded-For` is trusted.
    pub trusted_proxies: TrustedProxies,
    /// `RATE_LIMIT_PER_ADDRESS`: sign-ins and installs per address.
    pub rate_limit_per_address: Rate,
    /// `OPERATORS`: people who administer the whole deployment.
    pub operators: Operators,
    /// `ALLOWED_TEAMS`: workspaces and organisations that may install the bot.
    pub allowed_teams: AllowedTeams,
    /// `DEFAULT_MONTHLY_BUDGET`: the most that a workspace may spend in a month.
    pub budget_ceiling: BudgetCeiling,
    /// `KEY_ROTATION_INTERVAL`: age at which a data key is due for replacement.
    pub key_rotation_interval: TimeDelta,
    /// Retention and archive of the audit log.
    pub(crate) audit: AuditSettings,
    /// `SLACK_BASE_URL`.
    pub slack_base_url: String,
    /// `TIMEOUT`: time limit for a response of Slack.
    pub timeout: Duration,
}

impl WebSettings {
    /// Reads the process's variables and `.env.web`. The process's variables win.
    ///
    /// # Errors
    /// Lists all variables that are missing or malformed.
    pub fn read() -> Result<(ProcessSettings, Self), SettingsError> {
        Self::from_environment(read_environment()?)
    }

    /// Parses an environment that was read before.
    ///
    /// # Errors
    /// Lists all variables that are missing or malformed.
    pub(crate) fn from_environment(mut env: Environment) -> Result<(ProcessSettings, Self), SettingsError> {
        let process = ProcessSettings::read(&mut env);
        let port = port(&mut env);
        let database = DatabaseSettings::read(&mut env);
        let read_url = database.as_ref().and_then(|database| database.read_standby(&mut env));
        let redis_url = env.optional("REDIS_URL", "redis://host:6379", cache::parse_redis_url);
        // Only `api` uses it. It is validated here too, since both services share their variables.
        env.number("CACHE_TTL", 3600, 0..=604_800);
        let master_keys = read_master_keys(&mut env);
        let client_id = env.required("SLACK_CLIENT_ID", "1234567890.1234567890", |id| Ok(id.to_owned()));
        let client_secret: Option<SecretString> =
            env.required("SLACK_CLIENT_SECRET", "0123456789abcdef0123456789abcdef", parse_secret);
        let redirect_uri = read_redirect_uri(&mut env);
        let session_secret =
            env.required("SESSION_SECRET", "<the output of `openssl rand -base64 32`>", |text| {
                if text.len() < 32 { Err("is shorter than 32 characters".into()) } else { parse_secret(text) }
            });
        let trusted_proxies = TrustedProxies::read(&mut env);
        let limit =
            env.text("RATE_LIMIT_PER_ADDRESS").unwrap_or_else(|| DEFAULT_RATE_LIMIT_PER_ADDRESS.to_owned());
        let limit: Option<Rate> = limit
            .parse()
            .map_err(|why: String| {
                env.add_problem("RATE_LIMIT_PER_ADDRESS", &why, DEFAULT_RATE_LIMIT_PER_ADDRESS)
            })
            .ok();
        let operators =
            env.optional("OPERATORS", "T012AB3CD/U012AB3CD,T012AB3CD/ada@example.com", str::parse);
        let allowed_teams = read_allowed_teams(&mut env);
        let budget_ceiling = env.optional("DEFAULT_MONTHLY_BUDGET", "50", str::parse);
        let key_rotation_interval = read_key_rotation_interval(&mut env);
        let audit = AuditSettings::read(&mut env);
        let slack_base_url = env.http_url("SLACK_BASE_URL", "https://slack.com");
        let timeout = Duration::from_secs(env.number("TIMEOUT", 30, 1..=600).into());
        env.finish(|| {
            let redirect_uri = redirect_uri?;
            let login_uri = login_uri(&redirect_uri);
            let slack_app = OAuthApp {
                client_id: client_id?,
                client_secret: client_secret?,
                redirect_uri: redirect_uri.into(),
            };
            let settings = Self {
                port,
                database: database?,
                read_url,
                redis_url,
                master_keys: master_keys?,
                slack_app,
                login_uri,
                session_secret: session_secret?,
                trusted_proxies,
                rate_limit_per_address: limit?,
                operators: operators.unwrap_or_default(),
                allowed_teams,
                budget_ceiling: budget_ceiling.unwrap_or_default(),
                key_rotation_interval,
                audit,
                slack_base_url,
                timeout,
            };
            Some((process, settings))
        })
    }

    /// Reads only the port, so that a health check needs no other variables.
    ///
    /// # Errors
    /// The port is malformed.
    pub fn read_port() -> Result<u16, SettingsError> {
        let mut env = read_environment()?;
        let port = port(&mut env);
        env.finish(|| Some(port))
    }
}

fn port(env: &mut Environment) -> u16 {
    env.port("WEB_PORT", 8000)
}

/// Parses an interval such as `90 days`, `12 weeks` or `36 hours`.
fn parse_interval(text: &str) -> Result<TimeDelta, String> {
    let invalid = || "is not a positive number of hours, days or weeks".to_owned();
    let text = text.trim();
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(invalid)?;
    let count: i64 =
        text[..unit_at].parse().ok().filter(|count| (1..=10_000).contains(count)).ok_or_else(invalid)?;
    match text[unit_at..].trim() {
        "hour" | "hours" => Ok(TimeDelta::hours(count)),
        "day" | "days" => Ok(TimeDelta::days(count)),
        "week" | "weeks" => Ok(TimeDelta::weeks(count)),
        _ => Err(invalid()),
    }
}

/// Returns the redirect URI of the sign-in, at the same origin.
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

pub(crate) fn read_allowed_teams(env: &mut Environment) -> AllowedTeams {
    env.optional("ALLOWED_TEAMS", "T012AB3CD,E012AB3CD", str::parse).unwrap_or_default()
}

pub(crate) fn read_key_rotation_interval(env: &mut Environment) -> TimeDelta {
    env.optional("KEY_ROTATION_INTERVAL", "90 days", parse_interval).unwrap_or(TimeDelta::days(90))
}

/// Reads the redirect URI of the install. It must be https, except on loopback.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configuration_doc_matches_settings() {
        let faults = service::configuration_doc_faults("web", WebSettings::from_environment);
        assert_eq!(faults.unwrap(), Vec::<String>::new());
    }

    #[test]
    fn interval_accepts_units_and_whitespace() {
        assert_eq!(parse_interval("90 days"), Ok(TimeDelta::days(90)));
        assert_eq!(parse_interval(" 1week "), Ok(TimeDelta::days(7)));
        for wrong in ["", "90", "days", "0 days", "-1 days", "3 fortnights", "10001 hours"] {
            assert!(parse_interval(wrong).is_err(), "{wrong}");
        }
    }
}
