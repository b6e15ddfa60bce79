//! Configuration for the checks, as far as it can be read. One malformed variable does not stop the other
//! checks.

use std::path::Path;
use std::time::Duration;

use ::slack::{Client, OAuthApp};
use crypto::MasterKeys;
use db::diagnostics::PostgresServer;
use db::{Db, DbError};
use secrecy::SecretString;
use service::{DatabaseSettings, Environment, SettingsError};
use tokio::time::timeout;
use url::Url;

use super::finding::Finding;
use crate::settings::{read_environment, read_master_keys, read_redirect_uri};

pub(super) const API_ENV_FILE: &str = ".env.api";

/// Time limit for one response of Postgres, Slack or a proxy.
pub(super) const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// One connection for each check that runs at the same time.
const MAX_DOCTOR_CONNECTIONS: u32 = 6;

/// A master key for a set-up without one. It decrypts nothing; the checks encrypt nothing.
const PLACEHOLDER_KEY: &str = "none:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// The configuration that the checks look at.
pub(super) struct DoctorConfig {
    pub(super) web: Environment,
    /// The error of reading `.env.web`, if any.
    pub(super) web_error: Option<SettingsError>,
    /// The variables of `api`, if they are available here.
    pub(super) api: Option<Environment>,
    pub(super) database: Option<DatabaseSettings>,
    pub(super) has_master_keys: bool,
    pub(super) redis_url: Option<SecretString>,
    pub(super) redirect_uri: Option<Url>,
    pub(super) slack: Option<Client>,
    pub(super) slack_app: Option<OAuthApp>,
    pub(super) db: Option<Db>,
    /// The server, or the reason it could not be reached.
    pub(super) server: Result<PostgresServer, String>,
    /// `Ok` if the schema matches this binary, else the reason.
    pub(super) schema: Result<(), String>,
}

impl DoctorConfig {
    /// Reads all variables, and probes the database.
    pub(super) async fn read() -> Self {
        let (web, web_error) = match read_environment() {
            Ok(env) => (Ok(env), None),
            Err(error) => (Environment::from_process(), Some(error)),
        };
        let web = web.unwrap_or_else(|_| empty_environment());
        // Problems noted in this copy are dropped: `env.rs` reads everything again and reports them.
        let mut env = web.clone();
        let database = DatabaseSettings::read(&mut env);
        let master_keys = read_master_keys(&mut env);
        let redis_url = env.optional("REDIS_URL", "", cache::parse_redis_url);
        let redirect_uri = read_redirect_uri(&mut env);
        let slack_base_url = env.http_url("SLACK_BASE_URL", "https://slack.com");
        let slack_app = Option::zip(env.text("SLACK_CLIENT_ID"), env.text("SLACK_CLIENT_SECRET")).map(
            |(client_id, client_secret)| OAuthApp {
                client_id,
                client_secret: client_secret.into(),
                redirect_uri: redirect_uri.as_ref().map(Url::to_string).unwrap_or_default(),
            },
        );
        let has_master_keys = master_keys.is_some();
        let db = database.as_ref().and_then(|database| open_db(database, master_keys));
        let (server, schema) = probe_database(db.as_ref()).await;
        Self {
            api: read_api_environment(),
            web,
            web_error,
            database,
            has_master_keys,
            redis_url,
            redirect_uri,
            slack: Client::new(&slack_base_url, PROBE_TIMEOUT).ok(),
            slack_app,
            db,
            server,
            schema,
        }
    }

    /// Runs a query that needs the schema.
    pub(super) async fn query<T>(
        &self,
        query: impl AsyncFnOnce(&Db) -> Result<T, DbError>,
    ) -> Result<T, Finding> {
        let db = self.require_db()?;
        with_probe_timeout(query(db)).await.map_err(|error| match &self.schema {
            // The check of the migrations already reports this.
            Err(reason) => Finding::skipped(reason),
            Ok(()) => Finding::fault(format!("database error: {error}"), "see the database's log"),
        })
    }

    /// Returns the database, or a finding if it cannot be reached.
    pub(super) fn require_db(&self) -> Result<&Db, Finding> {
        match (&self.db, &self.server) {
            (Some(db), Ok(_)) => Ok(db),
            _ => Err(Finding::skipped("no database connection")),
        }
    }

    /// Returns a variable of `api` if its variables are available, else of `web`.
    pub(super) fn api_var(&self, name: &str) -> Option<String> {
        self.api.as_ref().and_then(|env| env.text(name)).or_else(|| self.web.text(name))
    }
}

/// Waits for the database, at most [`PROBE_TIMEOUT`].
async fn with_probe_timeout<T>(query: impl Future<Output = Result<T, DbError>>) -> Result<T, DbError> {
    timeout(PROBE_TIMEOUT, query).await.unwrap_or(Err(DbError::Timeout))
}

fn empty_environment() -> Environment {
    #[expect(clippy::expect_used, reason = "empty sources are always valid")]
    Environment::from_sources(Default::default(), Default::default()).expect("empty sources are valid")
}

/// Reads the variables of `api`, if its file exists or the process has variables that only `api` uses.
fn read_api_environment() -> Option<Environment> {
    let env = match Environment::read(API_ENV_FILE) {
        Ok(env) => env,
        // `api check` reports errors in the file.
        Err(_) => Environment::from_process().ok()?,
    };
    let has_own = ["SLACK_SIGNING_SECRET", "OPENAI_API_KEY"].iter().any(|name| env.text(name).is_some());
    (has_own || Path::new(API_ENV_FILE).exists()).then_some(env)
}

fn open_db(database: &DatabaseSettings, master_keys: Option<MasterKeys>) -> Option<Db> {
    let settings = db::DbSettings {
        urls: database.urls.clone(),
        direct_urls: database.direct_urls.clone(),
        read_url: None,
        pool_size: 0,
        max_overflow: MAX_DOCTOR_CONNECTIONS,
        pool_timeout: PROBE_TIMEOUT,
    };
    let master_keys = master_keys.or_else(|| MasterKeys::parse(PLACEHOLDER_KEY).ok())?;
    Db::open(&settings, master_keys).ok()
}

async fn probe_database(db: Option<&Db>) -> (Result<PostgresServer, String>, Result<(), String>) {
    let Some(db) = db else {
        let reason = "DATABASE_URL is not set or malformed".to_owned();
        return (Err(reason.clone()), Err(reason));
    };
    match with_probe_timeout(db.inspect_server()).await {
        Ok(server) => {
            (Ok(server), with_probe_timeout(db.check_schema()).await.map_err(|error| error.to_string()))
        }
        Err(error) => (Err(error.to_string()), Err("no database connection".to_owned())),
    }
}
