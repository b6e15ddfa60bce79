//! The services' variables in a checkout: from `.env.api` and `.env.web`, and generated values for the rest.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::cluster::{self, ROLE, SERVICE_ROLE};
use crate::service::{self, Variables};

/// The ports of the three programs on 127.0.0.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// `WEB_PORT`.
    pub web: u16,
    /// `API_PORT`.
    pub api: u16,
    /// `SIMULATOR_PORT`.
    pub simulator: u16,
}

impl Ports {
    /// Returns three ports that are free now.
    pub fn free() -> Result<Self> {
        Ok(Self { web: cluster::free_port()?, api: cluster::free_port()?, simulator: cluster::free_port()? })
    }
}

/// Secrets that must survive a restart.
#[derive(Clone, Debug)]
pub struct Secrets {
    /// `ENCRYPTION_KEYS`.
    pub encryption_keys: String,
    /// `SESSION_SECRET`.
    pub session_secret: String,
}

impl Secrets {
    /// Generates new secrets.
    pub fn generate() -> Result<Self> {
        Ok(Self { encryption_keys: format!("dev:{}", random_base64()?), session_secret: random_base64()? })
    }

    /// Loads the secrets from a file that only its owner can read. Generates them if there is no such file.
    pub fn load_or_create(file: &Path) -> Result<Self> {
        if !file.exists() {
            let new = Self::generate()?;
            let text =
                format!("ENCRYPTION_KEYS={}\nSESSION_SECRET={}\n", new.encryption_keys, new.session_secret);
            let mut handle = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
            handle.write_all(text.as_bytes())?;
        }
        let kept = read_env_file(file)?;
        let get =
            |name: &str| kept.get(name).cloned().with_context(|| format!("{} lacks {name}", file.display()));
        Ok(Self { encryption_keys: get("ENCRYPTION_KEYS")?, session_secret: get("SESSION_SECRET")? })
    }
}

/// The variables that make both services talk to a private Postgres, the simulated Slack and the offline
/// model.
#[derive(Clone, Debug)]
pub struct StackSettings {
    /// The ports.
    pub ports: Ports,
    /// The database, if it is a private one, as the owner of its tables.
    pub database_url: Option<String>,
    /// The address that bypasses a pooler in `database_url`.
    pub database_direct_url: Option<String>,
    /// The role that the services log in as. `None`: that of the addresses, which owns the tables.
    pub service_role: Option<&'static str>,
    /// A Redis shared by the replicas.
    pub redis_url: Option<String>,
    /// If true, the reply rate limits are too high to matter.
    pub is_rate_limit_off: bool,
    /// `OPERATORS`: the users who can see all workspaces.
    pub operators: Option<String>,
    /// `TRUSTED_PROXIES`: the proxies whose forwarded headers are trusted.
    pub trusted_proxies: Option<String>,
    /// Encryption keys and session secret.
    pub secrets: Secrets,
    /// True if Slack is the simulator.
    pub is_slack_simulated: bool,
    /// True if the model is the simulator's.
    pub is_model_simulated: bool,
}

impl StackSettings {
    /// Settings with everything private and simulated, for tests and benchmarks.
    pub fn simulated(ports: Ports, database_url: String, secrets: Secrets) -> Self {
        Self {
            ports,
            database_url: Some(database_url),
            database_direct_url: None,
            service_role: Some(SERVICE_ROLE),
            redis_url: None,
            is_rate_limit_off: true,
            operators: None,
            trusted_proxies: None,
            secrets,
            is_slack_simulated: true,
            is_model_simulated: true,
        }
    }

    /// Runs `web migrate` as the owner of the tables, and returns its output. It lets the services log in as
    /// their role.
    pub fn migrate(&self, web: &Path) -> Result<String> {
        service::run_command(web, &self.migrate_arguments(), &self.owner().web_variables())
    }

    /// Returns the same settings for the owner of the tables.
    #[must_use]
    pub fn owner(&self) -> Self {
        Self { service_role: None, ..self.clone() }
    }

    /// Returns the arguments with which `web` migrates, as the owner of the tables.
    pub fn migrate_arguments(&self) -> Vec<&'static str> {
        let role = self.service_role.map(|role| ["--service-role", role]);
        ["migrate"].into_iter().chain(role.into_iter().flatten()).collect()
    }

    /// Returns the variables of `web`.
    pub fn web_variables(&self) -> Variables {
        let origin = format!("http://127.0.0.1:{}", self.ports.web);
        let mut all = self.shared_variables();
        all.insert("WEB_PORT".into(), self.ports.web.to_string());
        all.insert("SESSION_SECRET".into(), self.secrets.session_secret.clone());
        all.insert("SLACK_REDIRECT_URI".into(), format!("{origin}/slack/oauth/callback"));
        all.extend(self.operators.clone().map(|list| ("OPERATORS".into(), list)));
        all.extend(self.trusted_proxies.clone().map(|list| ("TRUSTED_PROXIES".into(), list)));
        all
    }

    /// Returns the variables of `api`.
    pub fn api_variables(&self) -> Variables {
        let mut all = self.shared_variables();
        all.insert("API_PORT".into(), self.ports.api.to_string());
        if self.is_rate_limit_off {
            for limit in ["RATE_LIMIT_PER_TENANT", "RATE_LIMIT_GLOBAL"] {
                all.insert(limit.into(), UNLIMITED_RATE.into());
            }
        }
        if self.is_slack_simulated {
            all.insert("SLACK_SIGNING_SECRET".into(), SIGNING_SECRET.into());
        }
        if self.is_model_simulated {
            all.insert("OPENAI_API_KEY".into(), "offline".into());
            all.insert("OPENAI_BASE_URL".into(), format!("http://127.0.0.1:{}/v1", self.ports.simulator));
            all.insert("OPENAI_MODEL".into(), "offline".into());
        }
        all
    }

    /// Returns the variables of the simulator, which describe its Slack app.
    pub fn simulator_variables(&self) -> Variables {
        let app = SIMULATED_SLACK_APP.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        app.chain([("SLACK_SIGNING_SECRET".into(), SIGNING_SECRET.into())]).collect()
    }

    /// Returns the simulator's arguments.
    pub fn simulator_arguments(&self) -> Vec<String> {
        let Ports { web, api, simulator } = self.ports;
        let arguments = [
            ("--port", simulator.to_string()),
            ("--events-url", format!("http://127.0.0.1:{api}/slack/events")),
            ("--install-url", format!("http://127.0.0.1:{web}/slack/install")),
        ];
        arguments.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect()
    }

    /// Returns an address of the owner for the role of the services.
    pub fn service_url(&self, url: &str) -> String {
        match self.service_role {
            Some(role) => url.replace(&format!("//{ROLE}@"), &format!("//{role}@")),
            None => url.to_owned(),
        }
    }

    fn shared_variables(&self) -> Variables {
        let mut all = Variables::new();
        if self.is_rate_limit_off {
            all.insert("RATE_LIMIT_PER_ADDRESS".into(), UNLIMITED_RATE.into());
        }
        // Generated keys must never encrypt data in a developer's own database.
        if let Some(url) = &self.database_url {
            let direct_url = self.database_direct_url.as_ref();
            all.insert("DATABASE_URL".into(), self.service_url(url));
            all.extend(direct_url.map(|url| ("DATABASE_DIRECT_URL".into(), self.service_url(url))));
            all.insert("ENCRYPTION_KEYS".into(), self.secrets.encryption_keys.clone());
        }
        all.extend(self.redis_url.clone().map(|url| ("REDIS_URL".into(), url)));
        if self.is_slack_simulated {
            all.extend(SIMULATED_SLACK_APP.iter().map(|(name, value)| ((*name).into(), (*value).into())));
            all.insert("SLACK_BASE_URL".into(), format!("http://127.0.0.1:{}", self.ports.simulator));
        }
        all
    }
}

const UNLIMITED_RATE: &str = "1000000/second";

/// The app of the simulated Slack. These values protect nothing real.
const SIMULATED_SLACK_APP: [(&str, &str); 2] =
    [("SLACK_CLIENT_ID", "1000000001.2000000001"), ("SLACK_CLIENT_SECRET", "simulated-client-secret")];

/// The signing secret of the simulated Slack.
pub const SIGNING_SECRET: &str = "simulated-signing-secret";

/// Reads the variables of a `.env` file, without the empty ones. A missing file has none.
pub fn read_env_file(file: &Path) -> Result<Variables> {
    if !file.exists() {
        return Ok(Variables::new());
    }
    let entries = dotenvy::from_path_iter(file).with_context(|| format!("cannot read {}", file.display()))?;
    let entries: Result<Variables, _> = entries.collect();
    let mut entries = entries.with_context(|| format!("{} has a malformed line", file.display()))?;
    entries.retain(|_, value| !value.is_empty());
    Ok(entries)
}

/// Returns 32 random bytes from the system, in base64.
fn random_base64() -> Result<String> {
    let mut bytes = [0; 32];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(STANDARD.encode(bytes))
}
