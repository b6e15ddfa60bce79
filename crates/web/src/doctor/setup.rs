//! What is set, as far as it can be read: a variable that is wrong keeps nobody from looking at what the others lead to.

use std::path::Path;
use std::time::Duration;

use ::slack::{App, Client};
use crypto::MasterKeys;
use db::diagnosis::Server;
use db::{Db, DbError};
use secrecy::SecretString;
use service::{DatabaseSettings, Environment, SettingsError};
use tokio::time::timeout;
use url::Url;

use super::Finding;
use crate::settings::{read_environment, read_master_keys, read_redirect_uri};

pub(super) const ENV_FILE_OF_API: &str = ".env.api";

/// How long Postgres, Slack or a proxy may take over one answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Checks ask at once, and each has one connection.
const CONNECTIONS: u32 = 6;

/// Opens nothing. Nothing is sealed either: whoever looks only reads.
const NO_KEY: &str = "none:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// What is set.
pub(super) struct Setup {
    pub(super) web: Environment,
    /// Why `.env.web` could not be read, if it could not.
    pub(super) web_unread: Option<SettingsError>,
    /// `api`'s, where they are given here.
    pub(super) api: Option<Environment>,
    pub(super) database: Option<DatabaseSettings>,
    pub(super) has_master_keys: bool,
    pub(super) redis_url: Option<SecretString>,
    pub(super) redirect_uri: Option<Url>,
    pub(super) slack: Option<Client>,
    pub(super) slack_app: Option<App>,
    pub(super) db: Option<Db>,
    /// The server, or why it was not reached.
    pub(super) server: Result<Server, String>,
    /// Whether the schema is this binary's, or why that is not known.
    pub(super) schema: Result<(), String>,
}

impl Setup {
    /// Reads all variables, and looks whether the database is there.
    pub(super) async fn read() -> Self {
        let (web, web_unread) = match read_environment() {
            Ok(env) => (Ok(env), None),
            Err(error) => (Environment::of_process(), Some(error)),
        };
        let web = web.unwrap_or_else(|_| empty());
        // Notes of problems are for `variables.rs`, which reads everything anew.
        let mut env = web.clone();
        let database = DatabaseSettings::read(&mut env);
        let master_keys = read_master_keys(&mut env);
        let redis_url = env.optional("REDIS_URL", "", cache::parse_address);
        let redirect_uri = read_redirect_uri(&mut env);
        let slack_base_url = env.address("SLACK_BASE_URL", "https://slack.com");
        let slack_app = Option::zip(env.text("SLACK_CLIENT_ID"), env.text("SLACK_CLIENT_SECRET")).map(
            |(client_id, client_secret)| App {
                client_id,
                client_secret: client_secret.into(),
                redirect_uri: redirect_uri.as_ref().map(Url::to_string).unwrap_or_default(),
            },
        );
        let has_master_keys = master_keys.is_some();
        let db = database.as_ref().and_then(|database| open(database, master_keys));
        let (server, schema) = reach(db.as_ref()).await;
        Self {
            api: read_api(),
            web,
            web_unread,
            database,
            has_master_keys,
            redis_url,
            redirect_uri,
            slack: Client::new(&slack_base_url, PATIENCE).ok(),
            slack_app,
            db,
            server,
            schema,
        }
    }

    /// Asks the database something for which the schema has to be there.
    pub(super) async fn ask<T>(
        &self,
        question: impl AsyncFnOnce(&Db) -> Result<T, DbError>,
    ) -> Result<T, Finding> {
        let db = self.reached()?;
        in_time(question(db)).await.map_err(|error| match &self.schema {
            // What is not there yet is told once, by the migrations.
            Err(why) => Finding::unseen(why),
            Ok(()) => Finding::fault(format!("the database did not answer: {error}"), "see its log"),
        })
    }

    /// The database, if it was reached.
    pub(super) fn reached(&self) -> Result<&Db, Finding> {
        match (&self.db, &self.server) {
            (Some(db), Ok(_)) => Ok(db),
            _ => Err(Finding::unseen("the database is not reached")),
        }
    }

    /// A variable of `api`'s where they are given, else of `web`'s.
    pub(super) fn text_of_api(&self, name: &str) -> Option<String> {
        self.api.as_ref().and_then(|env| env.text(name)).or_else(|| self.web.text(name))
    }
}

/// Waits for the database, but not for long.
async fn in_time<T>(answer: impl Future<Output = Result<T, DbError>>) -> Result<T, DbError> {
    timeout(PATIENCE, answer).await.unwrap_or(Err(DbError::Silent))
}

fn empty() -> Environment {
    #[expect(clippy::expect_used, reason = "nothing that is read can be wrong")]
    Environment::from_sources(Default::default(), Default::default()).expect("nothing is read")
}

/// They are given where their file is, or where the process has those that only `api` has.
fn read_api() -> Option<Environment> {
    let env = match Environment::read(ENV_FILE_OF_API) {
        Ok(env) => env,
        // What is wrong with the file is said by `api` itself.
        Err(_) => Environment::of_process().ok()?,
    };
    let has_own = ["SLACK_SIGNING_SECRET", "OPENAI_API_KEY"].iter().any(|name| env.text(name).is_some());
    (has_own || Path::new(ENV_FILE_OF_API).exists()).then_some(env)
}

fn open(database: &DatabaseSettings, master_keys: Option<MasterKeys>) -> Option<Db> {
    let settings = db::Settings {
        urls: database.urls.clone(),
        direct_urls: database.direct_urls.clone(),
        read_url: None,
        pool_size: 0,
        max_overflow: CONNECTIONS,
        pool_timeout: PATIENCE,
    };
    let master_keys = master_keys.or_else(|| MasterKeys::parse(NO_KEY).ok())?;
    Db::open(&settings, master_keys).ok()
}

async fn reach(db: Option<&Db>) -> (Result<Server, String>, Result<(), String>) {
    let Some(db) = db else {
        let why = "DATABASE_URL leads nowhere".to_owned();
        return (Err(why.clone()), Err(why));
    };
    match in_time(db.look_at_server()).await {
        Ok(server) => (Ok(server), in_time(db.check_schema()).await.map_err(|error| error.to_string())),
        Err(error) => (Err(error.to_string()), Err("the database is not reached".to_owned())),
    }
}
