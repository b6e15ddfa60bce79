//! The programs and variables of `cargo dev`: everything that the checkout's `.env` files do not set is
//! simulated.

use std::net::TcpStream;
use std::path::Path;

use anyhow::{Result, bail};

use crate::cluster::SERVICE_ROLE;
use crate::service::Variables;
use crate::settings::{self, Ports, Secrets, StackSettings};

/// Settings that a developer may want to try in one run; set in the environment, they override the files.
const OVERRIDABLE_VARIABLES: [&str; 13] = [
    "LOG_LEVEL",
    "MAX_WORKERS",
    "MAX_CONCURRENT_REPLIES",
    "TIMEOUT",
    "RATE_LIMIT_PER_TENANT",
    "RATE_LIMIT_GLOBAL",
    "REDIS_URL",
    "CACHE_TTL",
    "DATABASE_POOL_SIZE",
    "DATABASE_MAX_OVERFLOW",
    "DATABASE_POOL_TIMEOUT",
    "KEY_ROTATION_INTERVAL",
    "OPENAI_FALLBACK_MODELS",
];

/// The variables that a developer has set, by service.
#[derive(Debug, Default)]
pub(super) struct EnvFiles {
    web: Variables,
    api: Variables,
}

impl EnvFiles {
    /// Reads `.env.web` and `.env.api`. A value that equals the one in the `.example` file does not count as
    /// set.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let tried: Variables = OVERRIDABLE_VARIABLES
            .iter()
            .filter_map(|name| Some(((*name).into(), std::env::var(name).ok()?)))
            .collect();
        let read = |name: &str| {
            let example = settings::read_env_file(&root.join(format!("{name}.example")))?;
            let mut own = settings::read_env_file(&root.join(name))?;
            own.retain(|name, value| example.get(name) != Some(value));
            own.extend(tried.clone());
            Ok::<_, anyhow::Error>(own)
        };
        Ok(Self { web: read(".env.web")?, api: read(".env.api")? })
    }

    /// Returns whether a real Slack app is set.
    pub(super) fn has_slack(&self) -> bool {
        self.has_any(&["SLACK_CLIENT_ID", "SLACK_CLIENT_SECRET", "SLACK_SIGNING_SECRET"])
    }

    /// Returns whether a model is set. A local model needs no key.
    pub(super) fn has_model(&self) -> bool {
        self.has_any(&["OPENAI_API_KEY", "OPENAI_BASE_URL"])
    }

    /// Returns whether a database is set.
    pub(super) fn has_database(&self) -> bool {
        self.has_any(&["DATABASE_URL", "SUPABASE_URL"])
    }

    /// Returns the ports: from the environment, else from the files, else the contract's.
    pub(super) fn ports(&self) -> Result<Ports> {
        let port = |variable: &str, file: &Variables, usual: u16| {
            let set = std::env::var(variable).ok().or_else(|| file.get(variable).cloned());
            let Some(text) = set else { return Ok(usual) };
            text.parse().or_else(|_| bail!("{variable} is not a port: {text:?}. Example: {variable}={usual}"))
        };
        let none = Variables::new();
        Ok(Ports {
            web: port("WEB_PORT", &self.web, 8000)?,
            api: port("API_PORT", &self.api, 8001)?,
            simulator: port("SIMULATOR_PORT", &none, 8002)?,
        })
    }

    /// Generates everything that is not set.
    pub(super) fn into_plan(self, ports: Ports, database_url: Option<String>, secrets: Secrets) -> DevPlan {
        let settings = StackSettings {
            ports,
            database_url,
            database_direct_url: None,
            service_role: Some(SERVICE_ROLE),
            redis_url: None,
            is_rate_limit_off: false,
            // The admin of the simulated workspace, so that someone can open the operators' pages.
            operators: (!self.has_slack()).then(|| "T0ACME/U0ADA".to_owned()),
            trusted_proxies: None,
            secrets,
            is_slack_simulated: !self.has_slack(),
            is_model_simulated: !self.has_model(),
        };
        let (mut web, mut api) = (settings.web_variables(), settings.api_variables());
        web.extend(self.web);
        api.extend(self.api);
        // The ports were chosen above.
        web.insert("WEB_PORT".into(), ports.web.to_string());
        api.insert("API_PORT".into(), ports.api.to_string());
        DevPlan { settings, web, api }
    }

    fn has_any(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.web.contains_key(*name) || self.api.contains_key(*name))
    }
}

/// The settings and variables of everything that runs.
pub(super) struct DevPlan {
    pub(super) settings: StackSettings,
    pub(super) web: Variables,
    pub(super) api: Variables,
}

impl DevPlan {
    pub(super) fn needs_simulator(&self) -> bool {
        self.settings.is_slack_simulated || self.settings.is_model_simulated
    }
}

/// Fails if another program listens on one of the ports.
pub(super) fn require_free_ports(ports: Ports, needs_simulator: bool) -> Result<()> {
    let mut wanted = vec![("WEB_PORT", ports.web), ("API_PORT", ports.api)];
    if needs_simulator {
        wanted.push(("SIMULATOR_PORT", ports.simulator));
    }
    for (variable, port) in wanted {
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            let other = port.saturating_add(100);
            bail!(
                "Port {port} is in use. Stop what listens there, or choose another: {variable}={other} cargo dev"
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    const TEST_PORTS: Ports = Ports { web: 1, api: 2, simulator: 3 };

    fn plan(web: &[(&str, &str)], api: &[(&str, &str)]) -> DevPlan {
        let of = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        let own = EnvFiles { web: of(web), api: of(api) };
        let database =
            if own.has_database() { None } else { Some("postgres://enablebot@private".to_owned()) };
        own.into_plan(TEST_PORTS, database, Secrets::generate().expect("secrets"))
    }

    #[test]
    fn missing_env_files_are_simulated() {
        let plan = plan(&[], &[]);
        assert!(plan.needs_simulator());
        assert_eq!(plan.api["OPENAI_BASE_URL"], "http://127.0.0.1:3/v1");
        assert_eq!(plan.web["SLACK_REDIRECT_URI"], "http://127.0.0.1:1/slack/oauth/callback");
        assert_eq!(plan.web["DATABASE_URL"], plan.api["DATABASE_URL"]);
        assert_eq!(plan.web["DATABASE_URL"], "postgres://enablebot_app@private");
    }

    #[test]
    fn slack_and_model_are_simulated_separately() {
        let real = plan(&[], &[("OPENAI_API_KEY", "sk-1")]);
        assert!(real.settings.is_slack_simulated && !real.settings.is_model_simulated);
        assert_eq!(real.api["OPENAI_API_KEY"], "sk-1");
        assert!(!real.api.contains_key("OPENAI_BASE_URL") && !real.api.contains_key("OPENAI_MODEL"));
        let real = plan(&[("SLACK_CLIENT_ID", "1.2")], &[("SLACK_CLIENT_ID", "1.2")]);
        assert!(!real.settings.is_slack_simulated && real.needs_simulator());
        assert!(!real.web.contains_key("SLACK_BASE_URL") && !real.api.contains_key("SLACK_SIGNING_SECRET"));
    }

    #[test]
    fn real_database_gets_no_generated_keys() {
        let plan = plan(&[("DATABASE_URL", "postgres://own")], &[("DATABASE_URL", "postgres://own")]);
        assert!(!plan.web.contains_key("ENCRYPTION_KEYS") && !plan.api.contains_key("ENCRYPTION_KEYS"));
    }

    #[test]
    fn busy_port_error_names_variable() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let ports = Ports { api: port, ..UNUSED_PORTS };
        let error = require_free_ports(ports, false).expect_err("busy").to_string();
        assert!(error.contains(&port.to_string()) && error.contains("API_PORT="), "{error}");
        drop(listener);
        require_free_ports(ports, true).expect("free now");
    }

    /// Nothing listens on port 0.
    const UNUSED_PORTS: Ports = Ports { web: 0, api: 0, simulator: 0 };
}
