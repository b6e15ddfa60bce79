//! The settings of `api`, read from the environment.

use std::time::Duration;

use cache::Rate;
use crypto::MasterKeys;
use models::BudgetCeiling;
use secrecy::SecretString;
use service::{DatabaseSettings, Environment, ProcessSettings, SettingsError, TrustedProxies, parse_secret};
use slack::SigningSecret;

/// The longest grace period: fourteen business days are at least this many calendar days.
/// Source: <https://docs.slack.dev/developer-policy>
const MAX_GRACE_DAYS: u32 = 18;

/// The settings of `api`. The README lists the variables.
#[derive(Debug)]
pub struct ApiSettings {
    /// `API_PORT`, otherwise `PORT`.
    pub port: u16,
    /// The connection to Postgres.
    pub database: DatabaseSettings,
    /// `REDIS_URL`: shared by replicas. Without it each replica counts its limits alone.
    pub redis_url: Option<SecretString>,
    /// `CACHE_TTL`: the time for which installations and settings are cached; zero disables the cache.
    pub cache_ttl: Duration,
    /// `RATE_LIMIT_PER_TENANT`: answers started for one tenant, across all replicas.
    pub rate_limit_per_tenant: Rate,
    /// `RATE_LIMIT_GLOBAL`: answers started for all tenants.
    pub rate_limit_global: Rate,
    /// `RATE_LIMIT_PER_ADDRESS`: invalid keys that one address may send to `/api/chat`.
    pub rate_limit_per_address: Rate,
    /// `TRUSTED_PROXIES`: proxies whose `X-Forwarded-For` is trusted.
    pub trusted_proxies: TrustedProxies,
    /// `ENCRYPTION_KEYS`.
    pub master_keys: MasterKeys,
    /// `SLACK_SIGNING_SECRET`.
    pub signing_secret: SigningSecret,
    /// `SLACK_BASE_URL`.
    pub slack_base_url: String,
    /// `SLACK_CLIENT_ID`, `SLACK_CLIENT_SECRET`: needed to refresh rotating tokens.
    pub slack_app: Option<SlackApp>,
    /// `SLACK_STREAM_SECONDS`: the time for which a stream is appended to. Slack ends it after about five
    /// minutes.
    pub max_stream_age: Duration,
    /// `UNINSTALL_GRACE_DAYS`: the time for which data is kept after an uninstall. Slack's policy allows 14
    /// business days.
    pub uninstall_grace_days: i32,
    /// `EVENT_RETENTION_DAYS`: the time for which an event's outcome can be looked up.
    pub event_retention_days: i32,
    /// The model's server and the models.
    pub model: llm::ModelSettings,
    /// `DEFAULT_MONTHLY_BUDGET`: the most that a workspace may spend in a month.
    pub budget_ceiling: BudgetCeiling,
    /// `MAX_CONCURRENT_REPLIES`: with 0 this replica only receives.
    pub max_concurrent_replies: u32,
    /// `TIMEOUT`: the time that Slack or the model may stay silent.
    pub timeout: Duration,
}

/// The credentials of the Slack app.
#[derive(Clone, Debug)]
pub struct SlackApp {
    /// `SLACK_CLIENT_ID`.
    pub client_id: String,
    /// `SLACK_CLIENT_SECRET`.
    pub client_secret: SecretString,
}

impl ApiSettings {
    /// Reads the process's variables, and `.env.api` for those that are not set.
    ///
    /// # Errors
    /// Lists every variable that is missing or malformed.
    pub fn read() -> Result<(ProcessSettings, Self), SettingsError> {
        Self::from_environment(Environment::read(".env.api")?)
    }

    /// Reads only the port: a health check needs nothing else.
    ///
    /// # Errors
    /// The port is malformed.
    pub fn read_port() -> Result<u16, SettingsError> {
        let mut env = Environment::read(".env.api")?;
        let port = port(&mut env);
        env.finish(|| Some(port))
    }

    fn from_environment(mut env: Environment) -> Result<(ProcessSettings, Self), SettingsError> {
        let process = ProcessSettings::read(&mut env);
        let port = port(&mut env);
        let database = DatabaseSettings::read(&mut env);
        let redis_url = env.optional("REDIS_URL", "redis://host:6379", cache::parse_redis_url);
        let cache_ttl = Duration::from_secs(env.number("CACHE_TTL", 3600, 0..=604_800).into());
        let rate_limit_per_tenant = read_rate(&mut env, "RATE_LIMIT_PER_TENANT", "100/minute");
        let rate_limit_global = read_rate(&mut env, "RATE_LIMIT_GLOBAL", "10000/minute");
        let rate_limit_per_address = read_rate(&mut env, "RATE_LIMIT_PER_ADDRESS", "30/minute");
        let trusted_proxies = TrustedProxies::read(&mut env);
        let master_keys = env.required("ENCRYPTION_KEYS", service::ENCRYPTION_KEYS_EXAMPLE, |list| {
            MasterKeys::parse(list).map_err(|error| format!("is wrong: {error}"))
        });
        let signing_secret =
            env.required("SLACK_SIGNING_SECRET", "8f742231b10e8888abcd99yyyzzz85a5", parse_secret);
        let slack_base_url = env.http_url("SLACK_BASE_URL", "https://slack.com");
        let client_id = env.text("SLACK_CLIENT_ID");
        let client_secret = env.text("SLACK_CLIENT_SECRET").map(SecretString::from);
        let slack_app = client_id
            .zip(client_secret)
            .map(|(client_id, client_secret)| SlackApp { client_id, client_secret });
        let max_stream_age = Duration::from_secs(env.number("SLACK_STREAM_SECONDS", 240, 1..=280).into());
        let grace_days = env.number("UNINSTALL_GRACE_DAYS", 0, 0..=MAX_GRACE_DAYS);
        let retention_days = env.number("EVENT_RETENTION_DAYS", 30, 1..=3650);
        let model = read_model(&mut env);
        let budget_ceiling = env.optional("DEFAULT_MONTHLY_BUDGET", "50", str::parse);
        let max_concurrent_replies = env.number("MAX_CONCURRENT_REPLIES", 256, 0..=100_000);
        let timeout = Duration::from_secs(env.number("TIMEOUT", 30, 1..=600).into());
        env.finish(|| {
            let settings = Self {
                port,
                database: database?,
                redis_url,
                cache_ttl,
                rate_limit_per_tenant: rate_limit_per_tenant?,
                rate_limit_global: rate_limit_global?,
                rate_limit_per_address: rate_limit_per_address?,
                trusted_proxies,
                master_keys: master_keys?,
                signing_secret: SigningSecret::new(signing_secret?),
                slack_base_url,
                slack_app,
                max_stream_age,
                uninstall_grace_days: i32::try_from(grace_days).unwrap_or_default(),
                event_retention_days: i32::try_from(retention_days).unwrap_or(i32::MAX),
                model: model?,
                budget_ceiling: budget_ceiling.unwrap_or_default(),
                max_concurrent_replies,
                timeout,
            };
            Some((process, settings))
        })
    }
}

fn port(env: &mut Environment) -> u16 {
    env.port("API_PORT", 8001)
}

fn read_rate(env: &mut Environment, name: &str, default: &str) -> Option<Rate> {
    let text = env.text(name).unwrap_or_else(|| default.to_owned());
    text.parse().map_err(|reason: String| env.add_problem(name, &reason, default)).ok()
}

fn read_model(env: &mut Environment) -> Option<llm::ModelSettings> {
    let api_key = env.required("OPENAI_API_KEY", "sk-… (any word for a server without keys)", parse_secret);
    let base_url = env.http_url("OPENAI_BASE_URL", "https://api.openai.com/v1");
    let first = env.text("OPENAI_MODEL").unwrap_or_else(|| "gpt-5-mini".to_owned());
    let fallbacks = env.text("OPENAI_FALLBACK_MODELS").unwrap_or_default();
    let fallbacks = fallbacks.split(',').map(str::trim).filter(|model| !model.is_empty());
    let models = std::iter::once(first.trim()).chain(fallbacks).map(str::to_owned).collect();
    Some(llm::ModelSettings { api_key: api_key?, base_url, models })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configuration_doc_matches_settings() {
        let faults = service::configuration_doc_faults("api", ApiSettings::from_environment);
        assert_eq!(faults.unwrap(), Vec::<String>::new());
    }
}
